"""`python -m benchmarks.readme_table`: write the README's table of targets from benchmarks/report.json.

With --check nothing is written; it exits with 1 where README.md does not hold the table of report.json.
"""

import argparse
import json
import sys
from pathlib import Path
from textwrap import wrap

from benchmarks import targets
from benchmarks.report import TARGETS_LEVEL, Report, levels, machine, versions

ROOT = Path(__file__).resolve().parent.parent

BEGIN = "<!-- made by `python -m benchmarks.readme_table`: begin -->"
END = "<!-- made by `python -m benchmarks.readme_table`: end -->"


def table(report: Report) -> str:
    """What stands between BEGIN and END: two sentences and the table, without a line break at either end."""
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
        f"{machine(facts)}. {versions(facts)}. X of {report['x_bytes'] / 2**20:g} MiB. {report['date'][:10]}. "
        f"One thread at level `{chosen}` where nothing else is said; float64 / float32; **bold: the target is missed** "
        f"(targets are for `{TARGETS_LEVEL}`). At the levels below, NumPy and OpenBLAS are held to the level too."
    )
    lines = [
        *wrap(told, 118, break_on_hyphens=False),
        "",
        f"| {' | '.join(heads)} |",
        f"|---|---|{'--:|' * (len(heads) - 2)}",
        *(_line(row, columns) for row in targets.rows(report)),
    ]
    return "\n".join(lines)


def _line(row: targets.Row, columns: list[tuple[str, int]]) -> str:
    by_column: dict[tuple[str, int], list[targets.Ratio]] = {column: [] for column in columns}
    for ratio in row.ratios:
        if (ratio.level, ratio.n_threads) in by_column:
            by_column[ratio.level, ratio.n_threads].append(ratio)
    targeted = by_column[columns[0]] or row.ratios
    wanted = dict.fromkeys(f"{round(ratio.target, 2):g}" for ratio in targeted if ratio.target is not None)
    speedups = [
        " / ".join(
            _times(ratio, rival) for ratio in by_column[columns[0]] if rival in ratio.result["speedups"]
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


def _ratio(ratio: targets.Ratio) -> str:
    text = f"{ratio.ratio:.2f}"
    return f"**{text}**" if ratio.met is False else text


def _times(ratio: targets.Ratio, rival: str) -> str:
    return f"{ratio.result['speedups'][rival]:.1f}"


def with_table(readme: str, report: Report) -> str:
    """The README with this report's table. Raises ValueError unless it holds BEGIN and END once, in this order."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise ValueError(f"the README must hold {BEGIN!r} and {END!r}, each once")
    return f"{before}{BEGIN}\n{table(report)}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme_table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether README.md is up to date")
    parser.add_argument("--json", metavar="FILE", type=Path, default=ROOT / "benchmarks" / "report.json")
    parser.add_argument("--readme", metavar="FILE", type=Path, default=ROOT / "README.md")
    options = parser.parse_args()
    text = options.readme.read_text(encoding="utf-8")
    new = with_table(text, json.loads(options.json.read_text(encoding="utf-8")))
    if options.check:
        if new != text:
            print(
                f"{options.readme} does not hold the table of {options.json}: python -m benchmarks.readme_table"
            )
        return int(new != text)
    options.readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
