"""`python -m benchmarks.tables`: write the README's tables and benchmarks/REPORT.md from benchmarks/report.json.

With --check nothing is written; it exits with 1 where one of them does not say what report.json says.
"""

import argparse
import json
import sys
from pathlib import Path
from textwrap import wrap

from benchmarks import fit_report
from benchmarks.report import (
    TARGETS_LEVEL,
    Ratio,
    Report,
    Result,
    Row,
    level,
    levels,
    machine,
    rows_of_design,
    summary,
    versions,
)

ROOT = Path(__file__).resolve().parent.parent

BEGIN = "<!-- made by `python -m benchmarks.tables`: begin -->"
END = "<!-- made by `python -m benchmarks.tables`: end -->"
FIT_BEGIN, FIT_END = BEGIN.replace("tables`", "tables`, fit"), END.replace("tables`", "tables`, fit")

# (id of the case, what it is in plain words, bytes of X or of the scores for each of the rows)
README_ROWS = (
    ("scores/hinge/f64/n=32", "32 scores, hinge: a small batch", 0),
    ("scores/hinge/f64/n=1e6", "a million scores, hinge", 0),
    ("scores/logistic/f64/n=1e6", "a million scores, logistic loss", 0),
    ("multiclass/scores/f64-K=10/weston_watkins", "{} x 10 scores, Weston-Watkins", 160),
    ("dense/logistic/f64/d=200", "linear model, X of {} x 200, logistic loss", 1600),
    ("tile/hinge/uint8/d=1000", "linear model, X of {} x 1000 bytes (uint8), hinge", 4000),
    ("csr/logistic/f64-text/all-rows", "linear model, {} texts as CSR, logistic loss", 12 * 207),
    (
        "multiclass/dense/f64-K=10/weston_watkins",
        "linear model of 10 classes, {} images, Weston-Watkins",
        6272,
    ),
)


def readme_rows(report: Report) -> str:
    """What stands in the README between BEGIN and END."""
    facts = report["about"]
    found = {
        result["id"]: result
        for result in report["results"]
        if result["n_threads"] == 1 and result["level"] == level(facts) and "error" not in result
    }
    installed = [
        f"{name} {facts['versions'][name]}"
        for name in ("numpy", "scipy", "scikit-learn", "torch")
        if facts["versions"].get(name)
    ]
    told = (
        f"Milliseconds of one call, one thread on every side, float64 (bytes: float32); on CSR, NumPy is SciPy's "
        f"products with NumPy between them. {machine(facts)}, level "
        f"`{level(facts)}`; {', '.join(installed)}; {report['date'][:10]}. \\* its value alone: scikit-learn has no "
        "gradient of the hinge."
    )
    heads = [
        "loss and gradient of",
        "NumPy as people write it",
        "scikit-learn",
        "torch",
        "hingefast",
        "times as fast as NumPy",
    ]
    return "\n".join(
        [
            f"| {' | '.join(heads)} |",
            f"|---|{'--:|' * (len(heads) - 1)}",
            *(
                _readme_line(words.format(_rounded(report["x_bytes"] // (row_bytes or 1))), found[case_id])
                for case_id, words, row_bytes in README_ROWS
                if case_id in found
            ),
            "",
            *wrap(told, 118, break_on_hyphens=False),
        ]
    )


def _readme_line(words: str, result: Result) -> str:
    seconds = result["seconds"]
    value_alone = _milliseconds(seconds.get("scikit-learn, value alone"), " \\*")
    cells = [
        words,
        _milliseconds(seconds["idiomatic"]),
        _milliseconds(seconds.get("scikit-learn")) or value_alone,
        _milliseconds(seconds.get("torch")),
        f"**{_milliseconds(seconds['hingefast'])}**",
        f"{seconds['idiomatic'] / seconds['hingefast']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _milliseconds(seconds: float | None, mark: str = "") -> str:
    """In two or three digits."""
    if seconds is None:
        return ""
    number = seconds * 1e3
    decimals = 0 if number >= 99.5 else 1 if number >= 9.95 else 2 if number >= 0.1 else 4
    return f"{number:,.{decimals}f}{mark}"


def _rounded(count: int) -> str:
    """In two digits."""
    return f"{round(count, 2 - len(str(count))):,}"


# ----------------------------------------------------------------------------------------------------
# The table of targets


def judged(report: Report) -> str:
    """What REPORT.md holds."""
    facts = report["about"]
    chosen, *others = levels(report)
    several = sorted({result["n_threads"] for result in report["results"]} - {1})
    columns = [(chosen, 1), *((chosen, n_threads) for n_threads in several), *((name, 1) for name in others)]
    heads = [
        "value and gradient",
        "time relative to",
        "target",
        *(f"{n_threads} threads" if n_threads > 1 else f"`{name}`" for name, n_threads in columns),
        "times as fast as NumPy's strongest; idiomatic",
    ]
    told = (
        "Loss and gradient together, divided by the time of a *ceiling*: something simpler that has to move the same "
        "bytes. Times are medians of runs taken in turns, with the same number of threads on both sides (BLAS pinned; "
        "SciPy's sparse product and NumPy's ufuncs have only one). All answers are compared before anything is timed.",
        f"One thread at level `{chosen}` where nothing else is said; float64 / float32; **bold: the target is missed** "
        f"(targets are for `{TARGETS_LEVEL}`; why, in [NOTES.md](NOTES.md)). At the levels below, NumPy and OpenBLAS "
        f"are held to the level too. {summary(report['results'])}.",
        f"{machine(facts)}. {versions(facts)}. X of {report['x_bytes'] / 2**20:g} MiB. {report['date'][:10]}.",
    )
    lines = [
        "# Every pass against its physical limit",
        "",
        "<!-- made by `python -m benchmarks.tables` -->",
        "",
    ]
    for paragraph in told:
        lines += [*wrap(paragraph, 118, break_on_hyphens=False), ""]
    lines += [f"| {' | '.join(heads)} |", f"|---|---|{'--:|' * (len(heads) - 2)}"]
    lines += [_judged_line(row, columns) for row in rows_of_design(report)]
    if of_fit := fit_report.report_lines(report):
        lines += ["", *of_fit]
    return "\n".join(lines) + "\n"


def _judged_line(row: Row, columns: list[tuple[str, int]]) -> str:
    by_column: dict[tuple[str, int], list[Ratio]] = {column: [] for column in columns}
    for ratio in row.ratios:
        if (ratio.level, ratio.n_threads) in by_column:
            by_column[ratio.level, ratio.n_threads].append(ratio)
    targeted = by_column[columns[0]] or row.ratios
    wanted = dict.fromkeys(f"{round(ratio.target, 2):g}" for ratio in targeted if ratio.target is not None)
    speedups = [
        " / ".join(
            f"{ratio.result['speedups'][rival]:.1f}"
            for ratio in by_column[columns[0]]
            if rival in ratio.result["speedups"]
        )
        for rival in ("strongest", "idiomatic")
    ]
    cells = [
        row.title,
        f"`{row.ceiling}`" if "(" in row.ceiling or row.ceiling.startswith("X @") else row.ceiling,
        f"≤ {' / '.join(wanted)}" if wanted else "",
        *(" / ".join(_ratio(ratio) for ratio in ratios) for ratios in by_column.values()),
        "; ".join(filter(None, speedups)),
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(ratio: Ratio) -> str:
    text = f"{ratio.ratio:.2f}"
    return f"**{text}**" if ratio.met is False else text


# ----------------------------------------------------------------------------------------------------
# The command


def with_tables(readme: str, report: Report) -> str:
    """The README with this report's tables; that of fitting is empty where the report has no such figures.

    Raises ValueError unless it holds the marks of both once, in this order.
    """
    readme = _with_table(readme, BEGIN, END, readme_rows(report).splitlines())
    return _with_table(readme, FIT_BEGIN, FIT_END, fit_report.readme_lines(report))


def _with_table(readme: str, begin: str, end: str, lines: list[str]) -> str:
    before, found, rest = readme.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end) or begin in rest or end in after:
        raise ValueError(f"the README must hold {begin!r} and {end!r}, each once")
    return "\n".join([f"{before}{begin}", *lines, f"{end}{after}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether the tables are up to date")
    parser.add_argument("--json", metavar="FILE", type=Path, default=ROOT / "benchmarks" / "report.json")
    parser.add_argument("--readme", metavar="FILE", type=Path, default=ROOT / "README.md")
    parser.add_argument("--report", metavar="FILE", type=Path, default=ROOT / "benchmarks" / "REPORT.md")
    options = parser.parse_args()
    measured = json.loads(options.json.read_text(encoding="utf-8"))
    made = {
        options.readme: with_tables(options.readme.read_text(encoding="utf-8"), measured),
        options.report: judged(measured),
    }
    stale = 0
    for file, text in made.items():
        if not options.check:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            print(f"{file} does not say what {options.json} says: python -m benchmarks.tables")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
