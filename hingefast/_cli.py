"""The command ``hingefast``: losses of a linear classifier on an svmlight file, in a table or as JSON.

``hingefast eval`` goes through these steps: `_evaluate` reads and checks what the user named and collects
everything into a `_Result`; `_as_text` and `_as_json` show it. An error of the user is a `_UserError`; `main`
prints it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

import hingefast as hf
from hingefast._kernels import loops
from hingefast._numpy_losses import NumpyPass, Pass, agree, tolerance
from hingefast._parallel import resolve_threads
from hingefast._svmlight import CSR, SvmlightError, read_svmlight
from hingefast.losses import MARGIN_LOSSES, MarginLoss

__all__ = ["main"]

Array: TypeAlias = npt.NDArray[Any]

DEFAULT_LOSSES = ("hinge", "squared_hinge", "logistic")

# The label pairs (negative, positive) that are understood without being told. {0, 1} and {1, 2} both hold a
# 1, so a file with a single label is never guessed.
KNOWN_CLASSES = ((-1.0, 1.0), (0.0, 1.0), (1.0, 2.0))

# A pass is repeated at least 3 times, then until it has taken 0.2 s or 15 repeats: the best of so many is
# steady to a few percent on a quiet machine, and all losses on a file of a million nonzeros take seconds.
MIN_REPEATS, MAX_REPEATS, ENOUGH_SECONDS = 3, 15, 0.2

INTRODUCTION = """\
hingefast computes losses of the hinge family, value and gradient together in one pass over the data.

  hingefast eval DATA    losses of a linear classifier on the svmlight file DATA
  hingefast info         versions, instruction-set level, compiler, threads

DATA has one row a line, "label id:value id:value ...", and may be compressed (.gz, .bz2, .xz). To try it:

  printf '+1 1:0.5 3:1\\n-1 2:1\\n+1 1:1\\n-1 2:0.5 3:1\\n' > tiny.svm
  hingefast eval tiny.svm --all --compare

"hingefast eval --help" lists the options.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0, 2 after an error of the user (told on stderr), 130 after Ctrl-C, 141 when the reader
        of the output went away.
    """
    try:
        arguments = _parser().parse_args(_join_classes(sys.argv[1:] if argv is None else argv))
        arguments.run(arguments)
        sys.stdout.flush()  # here, so that a closed pipe is met here
    except (_UserError, MemoryError) as error:
        reason = str(error) if isinstance(error, _UserError) else "not enough memory"
        print(f"hingefast: error: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Python flushes stdout once more when it exits; let it flush into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


class _UserError(Exception):
    """Something the user can put right; the message says what."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if message.endswith("required: DATA"):
            message += " (name it before --loss, which takes every name that follows)"
        raise _UserError(f'{message} (see "{self.prog} --help")')


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hingefast", description="Losses of the hinge family on large data.", allow_abbrev=False
    )
    parser.set_defaults(run=lambda arguments: print(INTRODUCTION, end=""))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    info = commands.add_parser("info", help="print versions, instruction-set level, compiler, threads")
    info.set_defaults(run=_run_info)

    evaluate = commands.add_parser(
        "eval",
        help="losses of a linear classifier on an svmlight file",
        description="Print value, gradient, active rows, errors and time of losses of a linear classifier.",
        epilog=f"Losses: {', '.join(MARGIN_LOSSES)}.",
        allow_abbrev=False,
    )
    evaluate.set_defaults(run=_run_eval)
    option = evaluate.add_argument
    option("data", metavar="DATA", help="svmlight file, plain or .gz, .bz2, .xz")
    losses = evaluate.add_mutually_exclusive_group()
    losses.add_argument(
        "--loss",
        metavar="NAME",
        nargs="+",
        action="extend",
        help=f"losses to evaluate (default: {' '.join(DEFAULT_LOSSES)})",
    )
    losses.add_argument("--all", action="store_true", help="evaluate every loss")
    option(
        "--coef",
        metavar="FILE",
        help=".npy of d numbers, or d+1, intercept last (default: scaled difference of the class means)",
    )
    option("--alpha", metavar="A", type=_alpha, default=0.0, help="add A/2 |coef|^2 (default: 0)")
    option(
        "--dtype", choices=("float32", "float64"), default="float64", help="of the data (default: float64)"
    )
    option(
        "--threads",
        metavar="N",
        type=_threads,
        help="threads to use, -1 for all (default: all; 1 with --compare)",
    )
    option(
        "--classes",
        metavar="NEG,POS",
        type=_classes,
        help="the two labels; {-1,1}, {0,1} and {1,2} are understood without",
    )
    option(
        "--n-features",
        metavar="D",
        type=_positive,
        help="columns of the data (default: the largest id in DATA)",
    )
    option(
        "--compare", action="store_true", help="time and check the same pass in SciPy, or NumPy without SciPy"
    )
    option("--json", action="store_true", help="print one JSON object; NaN and infinities become null")
    return parser


def _join_classes(argv: Sequence[str]) -> list[str]:
    """Turn ``--classes -1,1`` into ``--classes=-1,1``: argparse takes what starts with - for an option."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--classes":
            joined[-1] += "=" + argument
        else:
            joined.append(argument)
    return joined


def _alpha(text: str) -> float:
    alpha = float(text)
    if not (math.isfinite(alpha) and alpha >= 0):
        raise argparse.ArgumentTypeError(f"must be finite and >= 0, got {text}")
    return alpha


def _threads(text: str) -> int:
    threads = int(text)
    if threads < 1 and threads != -1:
        raise argparse.ArgumentTypeError(f"must be a positive integer or -1, got {text}")
    return threads


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {text}")
    return number


def _classes(text: str) -> tuple[float, float]:
    try:
        negative, positive = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be two numbers NEG,POS, got {text!r}") from None
    if not (math.isfinite(negative) and math.isfinite(positive) and negative != positive):
        raise argparse.ArgumentTypeError(f"must be two different finite numbers, got {text!r}")
    return negative, positive


# ---- what eval finds out


@dataclass(frozen=True)
class _Comparison:
    """The same pass in NumPy or SciPy, timed in turns with ours."""

    library: str
    seconds: float
    ratio: float  # its time / our time
    value: float
    value_difference: float
    gradient_difference: float  # the largest of any component
    agree: bool


@dataclass(frozen=True)
class _LossResult:
    """One line of the table."""

    loss: str
    parameters: dict[str, float]
    value: float
    gradient_norm: float
    active_rows: int
    errors: int
    seconds: float
    repeats: int
    comparison: _Comparison | None


@dataclass(frozen=True)
class _Result:
    """Everything that ``hingefast eval`` shows."""

    file: str
    rows: int
    features: int
    nonzeros: int
    dtype: str
    level: str
    threads: int
    classes: tuple[float, float]
    class_rows: tuple[int, int]
    coef: str
    alpha: float
    losses: list[_LossResult]
    margins: hf.MarginReport


def _run_info(arguments: argparse.Namespace) -> None:
    _n_threads(None)
    hf.show_config()


def _n_threads(asked: int | None) -> int:
    """Return the number of threads to use; the environment, which may decide it, may hold anything."""
    try:
        return resolve_threads(asked)
    except ValueError as error:
        raise _UserError(str(error)) from error


def _run_eval(arguments: argparse.Namespace) -> None:
    result = _evaluate(arguments)
    print(_as_json(result) if arguments.json else _as_text(result))


def _evaluate(arguments: argparse.Namespace) -> _Result:
    losses = _get_losses(list(MARGIN_LOSSES) if arguments.all else arguments.loss or DEFAULT_LOSSES)
    coef_file = None if arguments.coef is None else _load_coef(arguments.coef)
    try:
        X, labels = read_svmlight(arguments.data, n_features=arguments.n_features, dtype=arguments.dtype)
    except OSError as error:
        raise _UserError(f"cannot read {arguments.data}: {error.strerror or error}") from error
    except SvmlightError as error:
        raise _UserError(str(error)) from error
    if X.shape[1] > np.iinfo(np.intp).max // 8:
        raise MemoryError  # NumPy would call an array of so many bytes a ValueError
    classes = _find_classes(labels, arguments.classes, arguments.data)
    y = np.where(labels == classes[1], 1, -1).astype(np.int8)
    class_rows = int(np.count_nonzero(y < 0)), int(np.count_nonzero(y > 0))
    if coef_file is not None:
        coef, intercept = _split_coef(coef_file, X.shape[1], arguments.coef)
        coef_source = arguments.coef
    else:
        if 0 in class_rows:
            raise _UserError(f"{arguments.data} has rows of one class only, so class means need --coef FILE")
        coef, intercept = _class_means_coef(X, y)
        coef_source = "difference of the class means, scaled to mean scores of -1 and +1"
    coef = coef.astype(X.data.dtype)

    # SciPy and NumPy multiply sparse matrices on one thread: by default compare like with like.
    asked = 1 if arguments.compare and arguments.threads is None else arguments.threads
    n_threads = _n_threads(asked)
    scores = hf.decision_function(X, coef, intercept, n_threads=n_threads)
    margins = hf.margin_report(y, scores, coef=coef)
    return _Result(
        file=arguments.data,
        rows=X.shape[0],
        features=X.shape[1],
        nonzeros=X.data.size,
        dtype=arguments.dtype,
        level=loops.level(),
        threads=n_threads,
        classes=classes,
        class_rows=class_rows,
        coef=coef_source,
        alpha=arguments.alpha,
        losses=[
            _evaluate_loss(
                loss,
                X,
                y,
                coef,
                intercept,
                scores,
                margins.wrong,
                arguments.alpha,
                n_threads,
                arguments.compare,
            )
            for loss in losses
        ],
        margins=margins,
    )


def _evaluate_loss(
    loss: MarginLoss,
    X: CSR,
    y: Array,
    coef: Array,
    intercept: float,
    scores: Array,
    errors: int,
    alpha: float,
    n_threads: int,
    compare: bool,
) -> _LossResult:
    out = np.empty_like(coef)

    def ours() -> Pass:
        result = hf.linear_value_and_grad(
            X, y, coef, intercept, loss=loss, alpha=alpha, out=out, n_threads=n_threads
        )
        return Pass(*result)

    passes: list[Callable[[], Pass]] = [ours]
    if compare:
        numpy_pass = NumpyPass(X, y, loss.name, loss.params, alpha)
        passes.append(lambda: numpy_pass(coef, intercept))
    # NaN and infinite features are allowed; NumPy need not warn about what the table then shows.
    with np.errstate(all="ignore"):
        answers, seconds, repeats = _time_in_turns(passes)
    value, grad, grad_intercept = answers[0]

    comparison = None
    if compare:
        other = answers[1]
        with np.errstate(all="ignore"):
            allowed = tolerance(X, y, coef, intercept, loss.name, loss.params, alpha)
            differences = np.append(
                np.abs(grad - other.grad_coef), abs(grad_intercept - other.grad_intercept)
            )
            comparison = _Comparison(
                library=numpy_pass.library,
                seconds=seconds[1],
                ratio=seconds[1] / seconds[0],
                value=other.value,
                value_difference=abs(value - other.value),
                gradient_difference=float(differences.max()),
                agree=agree(answers[0], other, allowed),
            )
    slopes = loss.grad(y, scores, reduction="sum", n_threads=n_threads)
    return _LossResult(
        loss=loss.name,
        parameters=loss.params,
        value=value,
        gradient_norm=math.hypot(float(np.linalg.norm(grad.astype(np.float64))), grad_intercept),
        active_rows=int(np.count_nonzero(slopes)),
        errors=errors,
        seconds=seconds[0],
        repeats=repeats,
        comparison=comparison,
    )


def _get_losses(names: Sequence[str]) -> list[MarginLoss]:
    """Return the loss objects, each once."""
    losses: dict[MarginLoss, None] = {}
    for name in names:
        try:
            loss = hf.get_loss(name)
        except ValueError:
            loss = None
        if not isinstance(loss, MarginLoss):
            raise _UserError(f"unknown loss {name!r}, must be one of {', '.join(MARGIN_LOSSES)}")
        losses[loss] = None
    return list(losses)


def _find_classes(labels: Array, given: tuple[float, float] | None, file: str) -> tuple[float, float]:
    """Return the labels (negative, positive) of the file."""
    found = np.unique(labels)
    shown = ", ".join(f"{label:g}" for label in found[:8]) + (", ..." if found.size > 8 else "")
    if given is not None:
        if not np.isin(found, given).all():
            raise _UserError(f"{file} has the labels {shown}, --classes names {given[0]:g} and {given[1]:g}")
        return given
    if tuple(found) in KNOWN_CLASSES:
        return float(found[0]), float(found[1])
    if found.size > 2:
        raise _UserError(
            f"{file} has {found.size} labels ({shown}); only files of two classes can be evaluated, "
            "{-1,1}, {0,1}, {1,2}, or others with --classes NEG,POS"
        )
    raise _UserError(
        f"{file} has the label{'s' if found.size > 1 else ''} {shown}, not {{-1,1}}, {{0,1}} or {{1,2}}; "
        "say which is which with --classes NEG,POS"
    )


def _load_coef(file: str) -> Array:
    """Read a 1-D array of real numbers from an .npy file."""
    try:
        coef = np.load(file, allow_pickle=False)
    except OSError as error:
        raise _UserError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise _UserError(f"{file} is not an .npy file of numbers") from error
    if not isinstance(coef, np.ndarray) or coef.dtype.kind not in "fiu" or coef.ndim != 1:
        kind = f"{coef.dtype} {coef.shape}" if isinstance(coef, np.ndarray) else "an .npz archive"
        raise _UserError(f"{file} must hold a 1-D array of real numbers, got {kind}")
    return coef.astype(np.float64)


def _split_coef(numbers: Array, n_features: int, file: str) -> tuple[Array, float]:
    """Split d or d+1 numbers into coef and intercept."""
    if numbers.size == n_features:
        return numbers, 0.0
    if numbers.size == n_features + 1:
        return numbers[:-1], float(numbers[-1])
    hint = f"; --n-features {numbers.size} makes the data wider" if numbers.size > n_features else ""
    raise _UserError(
        f"{file} has {numbers.size} numbers, must have {n_features} (the features) "
        f"or {n_features + 1} (with the intercept last){hint}"
    )


def _class_means_coef(X: CSR, y: Array) -> tuple[Array, float]:
    """Return coef along the difference of the class means, and an intercept, for mean scores of -1 and +1.

    With the means p of the positive and q of the negative rows, coef = 2 (p - q) / |p - q|^2 makes the mean
    scores of the classes differ by 2, and intercept = -coef.(p + q)/2 puts 0 midway: the mean margin is 1.
    Equal means give zeros.
    """
    positive_entries = np.repeat(y > 0, np.diff(X.indptr))
    means = []
    for entries, n_rows in ((positive_entries, np.sum(y > 0)), (~positive_entries, np.sum(y < 0))):
        sums = np.bincount(X.indices[entries], X.data[entries], minlength=X.shape[1])
        means.append(sums / n_rows)
    with np.errstate(all="ignore"):  # non-finite features: the scores will show them
        difference = means[0] - means[1]
        square = float(difference @ difference)
        coef = difference if square == 0 else 2 * difference / square
        return coef, -float(coef @ (means[0] + means[1])) / 2


def _time_in_turns(passes: Sequence[Callable[[], Pass]]) -> tuple[list[Pass], list[float], int]:
    """Call the passes in turns; return their answers, the best time of each, and the number of rounds."""
    answers = [work() for work in passes]  # also warms the caches
    best = [math.inf] * len(passes)
    spent, rounds = 0.0, 0
    while rounds < MIN_REPEATS or (rounds < MAX_REPEATS and spent < ENOUGH_SECONDS * len(passes)):
        for i, work in enumerate(passes):
            start = time.perf_counter()
            work()
            elapsed = time.perf_counter() - start
            best[i] = min(best[i], elapsed)
            spent += elapsed
        rounds += 1
    return answers, best, rounds


# ---- how it is shown


def _as_json(result: _Result) -> str:
    """One JSON object; numbers in full precision."""
    content = asdict(result)
    content["classes"] = {"negative": result.classes[0], "positive": result.classes[1]}
    content["class_rows"] = {"negative": result.class_rows[0], "positive": result.class_rows[1]}
    return json.dumps(_finite(content), indent=2, allow_nan=False)


def _finite(content: Any) -> Any:
    """Replace NaN and infinities, which JSON does not know, by null."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _as_text(result: _Result) -> str:
    """Header, table, legend, margin report."""
    return "\n\n".join(
        [
            "\n".join(_header(result)),
            "\n".join(_table(result)),
            "\n".join(_legend(result)),
            str(result.margins),
        ]
    )


def _header(result: _Result) -> list[str]:
    cells = result.rows * result.features
    share = f" ({100 * result.nonzeros / cells:.3g} % of all entries are stored)" if cells else ""
    mapping = [
        f"{label:g} -> {sign} ({_plural(n_rows, 'row')})"
        for label, sign, n_rows in zip(result.classes, ("-1", "+1"), result.class_rows, strict=True)
    ]
    lines = [
        ("rows", f"{result.rows:,}"),
        ("features", f"{result.features:,}"),
        ("nonzeros", f"{result.nonzeros:,}{share}"),
        ("labels", f"{mapping[0]}, {mapping[1]}"),
        ("computing", f"{result.dtype}, level {result.level}, {_plural(result.threads, 'thread')}"),
        ("coef", result.coef),
    ]
    if result.alpha:
        lines.append(("alpha", f"{result.alpha:g}"))
    return [result.file, *(f"  {name:<9}  {text}" for name, text in lines)]


def _table(result: _Result) -> list[str]:
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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]).rstrip()
        for cells in rows
    ]


def _legend(result: _Result) -> list[str]:
    penalty = " + alpha/2 |coef|^2" if result.alpha else ""
    repeats = sorted({line.repeats for line in result.losses})
    times = f"{repeats[0]} to {repeats[-1]}" if len(repeats) > 1 else f"{repeats[0]}"
    lines = [
        ("value", f"mean of the loss over the rows{penalty}"),
        ("|gradient|", "Euclidean norm of the gradient for coef and intercept"),
        ("active", "rows whose loss has a nonzero slope: only they move the gradient"),
        ("errors", "rows on the wrong side, label * score <= 0; the same for every loss"),
        ("time", f"of one pass, value and gradient together; the best of {times} repeats"),
    ]
    compared = [line.comparison for line in result.losses if line.comparison]
    if compared:
        library = compared[0].library
        how = "with scipy.sparse" if library == "SciPy" else "in NumPy alone, SciPy is not installed"
        note = "" if result.threads == 1 else f"; its 1 thread against {result.threads}"
        lines += [
            (library, f"time of the same pass {how}, measured in turns{note}"),
            ("ratio", f"{library} time / hingefast time: above 1 hingefast is faster"),
            ("agrees", f"value and gradient equal but for the rounding of {result.dtype}"),
        ]
    return [f"{name:<10}  {text}" for name, text in lines]


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _duration(seconds: float) -> str:
    """Three digits and a unit."""
    unit, number = "us", seconds * 1e6
    for larger in ("ms", "s"):
        if number >= 999.5:  # would be shown as 1000
            unit, number = larger, number / 1000
    decimals = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:,.{decimals}f} {unit}"
