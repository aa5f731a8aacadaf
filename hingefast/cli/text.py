"""How ``hingefast eval`` shows an `Evaluation` and ``hingefast fit`` a `Fit`: as text with a table, or as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from hingefast.cli.evaluate import Evaluation
from hingefast.cli.fit import Fit
from hingefast.cli.inputs import label_number, label_text
from hingefast.io.compressed import printable

__all__ = ["as_json", "as_text", "fit_as_json", "fit_as_text"]

# So many classes are listed in the header; of more, the first and the last, and the smallest and largest count.
MAX_LISTED_CLASSES = 4


def as_json(result: Evaluation) -> str:
    """One JSON object; numbers in full precision."""
    content = _content(result)
    del content["margins"]["n_classes"]  # told by `classes`
    return _as_json(content)


def fit_as_json(result: Fit) -> str:
    """One JSON object; numbers in full precision."""
    content = _content(result)
    for part in ("training", "test"):
        if content[part] is not None:
            del content[part]["margins"]["n_classes"]
    return _as_json(content)


def _as_json(content: dict[str, Any]) -> str:
    return json.dumps(_finite(content), indent=2, allow_nan=False)


def _content(result: Evaluation | Fit) -> dict[str, Any]:
    """What the two have in common as JSON wants it."""
    content = asdict(result)
    del content["multiclass"], content["dense"]  # told by `classes` and `nonzeros`
    if result.labels_file is None:
        del content["labels_file"]
    if result.multiclass:
        content["classes"] = [label_number(label) for label in result.classes]
    else:
        content["classes"] = {"negative": result.classes[0], "positive": result.classes[1]}
        content["class_rows"] = {"negative": result.class_rows[0], "positive": result.class_rows[1]}
    return content


def _finite(content: Any) -> Any:
    """Replace NaN and infinities, which JSON does not know, by null."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def as_text(result: Evaluation) -> str:
    """Header, table, legend, margin report."""
    return "\n\n".join(
        [
            "\n".join(_header(result)),
            "\n".join(_table(result)),
            "\n".join(_legend(result)),
            str(result.margins),
        ]
    )


def fit_as_text(result: Fit) -> str:
    """Data, training, accuracy, margin report."""
    rows = [["", "rows", "errors", "accuracy"]]
    parts = [("training", result.training)]
    if result.test is not None:
        parts.append(("held out" if result.held_out is not None else "test", result.test))
    for name, part in parts:
        rows.append([name, f"{part.rows:,}", f"{part.errors:,}", f"{100 * part.accuracy:.2f} %"])
    data = _data_lines(result)
    if result.test is not None:
        what = f"in {printable(result.test.file)}"
        if result.held_out is not None:
            what = f"held out at random, seed {result.seed}"
        data.append(("test", f"{_plural(result.test.rows, 'row')} {what}"))
    return "\n\n".join(
        [
            "\n".join(_block(result.file, data)),
            "\n".join(_block(result.model, _training(result))),
            "\n".join(_aligned(rows)),
            ("" if result.test is None else "Of the rows to train on:\n") + str(result.training.margins),
        ]
    )


def _training(result: Fit) -> list[tuple[str, str]]:
    """What is told of the training, each with its name."""
    intercept = {
        "penalized": "intercept penalised",
        "free": "intercept without penalty",
        "none": "no intercept",
    }
    work = (
        f"{_plural(result.iterations, 'iteration')}, {_plural(result.passes, 'pass', 'passes')} over the data"
    )
    return [
        ("loss", f"{result.loss}, C {result.C:g} (alpha {result.alpha:.6g}), {intercept[result.intercept]}"),
        ("method", f"{result.method}: {work}"),
        ("time", _duration(result.seconds)),
        ("objective", f"{result.objective:.8g}"),
        ("gap", f"{result.gap:.3g}" if result.converged else result.message),
    ]


def _header(result: Evaluation) -> list[str]:
    lines = [*_data_lines(result), ("coef", printable(result.coef))]
    if result.alpha:
        lines.append(("alpha", f"{result.alpha:g}"))
    return _block(result.file, lines)


def _data_lines(result: Evaluation | Fit) -> list[tuple[str, str]]:
    """What is told of the data, each with its name."""
    cells = result.rows * result.features
    share = ""
    if cells:
        kind = "entries; all are stored" if result.dense else "entries are stored"
        share = f" ({100 * result.nonzeros / cells:.3g} % of all {kind})"
    lines = [
        ("rows", f"{result.rows:,}"),
        ("features", f"{result.features:,}"),
        ("nonzeros", f"{result.nonzeros:,}{share}"),
        ("labels", _classes(result)),
        ("computing", f"{result.dtype}, level {result.level}, {_plural(result.threads, 'thread')}"),
    ]
    if result.labels_file is not None:
        lines.insert(0, ("labels in", printable(result.labels_file)))
    return lines


def _block(title: str, lines: list[tuple[str, str]]) -> list[str]:
    return [printable(title), *(f"  {name:<9}  {text}" for name, text in lines)]


def _classes(result: Evaluation | Fit) -> str:
    """The labels and how many rows have each."""
    labels = [label_text(label) for label in result.classes]
    counts = result.class_rows
    if not result.multiclass:
        return ", ".join(
            f"{label} -> {sign} ({_plural(n_rows, 'row')})"
            for label, sign, n_rows in zip(labels, ("-1", "+1"), counts, strict=True)
        )
    if len(labels) <= MAX_LISTED_CLASSES:
        return ", ".join(
            f"{label} ({_plural(n_rows, 'row')})" for label, n_rows in zip(labels, counts, strict=True)
        )
    return (
        f"{len(labels):,} classes, {labels[0]}, {labels[1]}, ..., {labels[-1]}, "
        f"each of {min(counts):,} to {_plural(max(counts), 'row')}"
    )


def _table(result: Evaluation) -> list[str]:
    compared = [line.comparison for line in result.losses if line.comparison]
    head = ["loss", "value", "|gradient|", "active", "errors", "time"]
    if compared:
        head += [compared[0].library, "ratio", "agrees"]
    rows = [head]
    for line in result.losses:
        cells = [
            line.loss,
            f"{line.value:.6g}",
            f"{line.gradient_norm:.5g}",
            f"{line.active_rows:,}",
            f"{line.errors:,}",
            _duration(line.seconds),
        ]
        if line.comparison:
            cells += [
                _duration(line.comparison.seconds),
                f"{line.comparison.ratio:.2f}x",
                "yes" if line.comparison.agree else "NO",
            ]
        rows.append(cells)
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]).rstrip()
        for cells in rows
    ]


def _legend(result: Evaluation) -> list[str]:
    penalty = " + alpha/2 |coef|^2" if result.alpha else ""
    repeats = sorted({line.repeats for line in result.losses})
    times = f"{repeats[0]} to {repeats[-1]}" if len(repeats) > 1 else f"{repeats[0]}"
    errors = "rows on the wrong side, label * score <= 0"
    if result.multiclass:
        errors = "rows whose own class does not have the highest score alone"
    lines = [
        ("value", f"mean of the loss over the rows{penalty}"),
        ("|gradient|", "Euclidean norm of the gradient for coef and intercept"),
        ("active", "rows whose loss has a nonzero slope: only they move the gradient"),
        ("errors", f"{errors}; the same for every loss"),
        ("time", f"of one pass, value and gradient together; the best of {times} repeats"),
    ]
    compared = [line.comparison for line in result.losses if line.comparison]
    if compared:
        library = compared[0].library
        how = "with scipy.sparse" if library == "SciPy" else "in NumPy alone, SciPy is not installed"
        note = "" if result.threads == 1 else f"; its 1 thread against {result.threads}"
        if result.dense:
            how, note = "in NumPy, on as many threads as its BLAS takes", ""
        lines += [
            (library, f"time of the same pass {how}, measured in turns{note}"),
            ("ratio", f"{library} time / hingefast time: above 1 hingefast is faster"),
            ("agrees", f"value and gradient equal but for the rounding of {result.dtype}"),
        ]
    return [f"{name:<10}  {text}" for name, text in lines]


def _plural(count: int, noun: str, several: str | None = None) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {several or noun + 's'}"


def _duration(seconds: float) -> str:
    """Three digits and a unit."""
    unit, number = "us", seconds * 1e6
    for larger in ("ms", "s"):
        if number >= 999.5:  # would be shown as 1000
            unit, number = larger, number / 1000
    decimals = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:,.{decimals}f} {unit}"
