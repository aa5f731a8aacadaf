"""The report as one page of HTML that needs nothing else: plots, every figure, machine, versions.

`python -m benchmarks.page report.json report.html` makes it anew from figures that were measured before. Needs
matplotlib.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

from benchmarks import fit_report
from benchmarks.plots import Plot, all_plots
from benchmarks.report import (
    RIVALS,
    Report,
    Result,
    is_fast_enough,
    is_met,
    least_speedup,
    machine,
    minutes,
    summary,
    target,
    threads,
    times,
    verdict,
    versions,
)

CSS = """
:root { color-scheme: light; }
body { background: #fff; color: #111; font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif;
  margin: 1.5rem 2rem; }
p, figure, dl { max-width: 1100px; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; } summary { font-weight: bold; margin: .6rem 0; }
figure { margin: 0; } figure svg { width: 100%; height: auto; } figcaption { color: #444; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 12px; line-height: 1.3; }
th, td { padding: 2px 7px; border-bottom: 1px solid #e4e4e4; text-align: right; white-space: nowrap; }
th { position: sticky; top: 0; background: #fff; vertical-align: bottom; white-space: normal; }
td.text, th.text { text-align: left; } td.note { color: #555; }
.missed { color: #b34700; font-weight: bold; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; } pre { background: #f5f5f5; padding: .6rem; }
dt { font-weight: bold; } dd { margin: 0 0 .4rem 0; }
"""


def html(report: Report) -> str:
    facts = report["about"]
    lead = f"{summary(report['results'])}. {machine(facts)}; {report['date'][:10]}."
    sections = [
        "<h1>hingefast: every pass against its physical limit</h1>",
        f"<p>{escape(lead)}</p>",
        "<p>Each pass (value and gradient, both) is timed in turns with a <em>ceiling</em>, something simpler that "
        "moves the same bytes, and with other ways to do the same job. All answers are compared before anything is "
        "timed.</p>",
        *map(_figure, all_plots(report)),
        "<h2>Every figure</h2>",
        "<p>Ratios are median times, hingefast / ceiling, with the quartiles from round to round and the ratio of the "
        "shortest times. <em>x torch</em>: how many times as fast as torch.</p>",
        *_tables(report["results"]),
        *_of_fit(report),
        "<h2>Machine, versions, and how to repeat it</h2>",
        _repeat(report),
    ]
    body = "\n".join(sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>hingefast: benchmarks</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _figure(plot: Plot) -> str:
    caption = f"<figcaption>{escape(plot.text)}</figcaption>"
    return f"<h2>{escape(plot.title)}</h2>\n<figure>\n{plot.svg}\n{caption}\n</figure>"


def _tables(results: Iterable[Result]) -> Iterable[str]:
    """One table for each level and number of threads, in the order of the results, folded up."""
    tables: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        tables.setdefault((result["level"], result["n_threads"]), []).append(result)
    for (level, n_threads), some in tables.items():
        rivals = [name for name in RIVALS if any(name in result.get("speedups", {}) for result in some)]
        heads = ["ms", "ratio", "quartiles", "of minima", "target", "", "GB/s"]
        cells = [
            _cell("th", "case", "text"),
            _cell("th", "ceiling", "text"),
            *(_cell("th", head) for head in heads),
            *(_cell("th", f"x {RIVALS[name]}") for name in rivals),
            _cell("th", "data", "text"),
        ]
        rows = "\n".join([f"<tr>{''.join(cells)}</tr>", *(_row(result, rivals) for result in some)])
        heading = f"<summary>{escape(level)}, {threads(n_threads)}: {len(some)} cases</summary>"
        yield f'<details>{heading}<div class="wide"><table>\n{rows}\n</table></div></details>'


def _of_fit(report: Report) -> Iterable[str]:
    """What REPORT.md says of fitting, without its marks; nothing without figures."""
    if not fit_report.of_solvers(report):
        return
    yield f"<h2>{fit_report.TITLE}</h2>"
    told = f"{fit_report.told(report)} {fit_report.DETAILS} {fit_report.summary(report)}."
    yield f"<p>{escape(_plain(told))}</p>"
    for table in (fit_report.table_of_solvers(report), fit_report.table_of_methods(report)):
        heads = [_cell("th", _plain(head), "text" if n == 0 else "") for n, head in enumerate(table.heads)]
        rows = ["".join(heads), *("".join(map(_fit_cell, range(len(cells)), cells)) for cells in table.rows)]
        inside = "\n".join(f"<tr>{row}</tr>" for row in rows)
        yield f'<div class="wide"><table>\n{inside}\n</table></div>'


def _fit_cell(column: int, text: str) -> str:
    return _cell("td", _plain(text), "text" if column == 0 else "missed" if "**" in text else "")


def _plain(markdown: str) -> str:
    return markdown.replace("**", "").replace("`", "").replace("\\", "")


def _row(result: Result, rivals: list[str]) -> str:
    first = [_cell("td", result["id"], "text"), _cell("td", result["ceiling"], "text")]
    if "error" in result:
        kind = "text missed" if result["failed"] else "text note"
        return f'<tr>{"".join(first)}<td class="{kind}" colspan="{8 + len(rivals)}">{escape(result["error"])}</td></tr>'
    low, high = result["quartiles"]
    cells = [
        _cell("td", f"{result['seconds']['hingefast'] * 1e3:.4g}"),
        _cell("td", f"{result['ratio']:.2f}"),
        _cell("td", f"{low:.2f} to {high:.2f}"),
        _cell("td", f"{result['ratio_of_minima']:.2f}"),
        _cell("td", target(result)),
        _verdict_cell(result, is_met(result)),
        _cell("td", f"{result['gb_per_second']:.1f}"),
        *(_speedup_cell(result, name) for name in rivals),
        _cell("td", result["note"], "text note"),
    ]
    return f"<tr>{''.join(first + cells)}</tr>"


def _verdict_cell(result: Result, met: bool | None) -> str:
    return _cell("td", verdict(met), "missed" if met is False else "")


def _speedup_cell(result: Result, rival: str) -> str:
    text, met = times(result["speedups"].get(rival)), is_fast_enough(result)
    if rival == "strongest" and met is not None:
        text = f"{text} ({least_speedup(result)}: {verdict(met)})"
        return _cell("td", text, "" if met else "missed")
    return _cell("td", text)


def _cell(tag: str, text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f"<{tag}{attribute}>{escape(text)}</{tag}>"


def _repeat(report: Report) -> str:
    facts = report["about"]
    told = {
        "machine": machine(facts),
        "versions": versions(facts),
        "sizes": f"X of {report['x_bytes'] / 2**20:g} MiB, about {report['seconds_per_case']:g} s of timing a case",
        "levels that this machine cannot run": ", ".join(report["levels_left_out"]) or "none",
        "measured": f"{report['date']}, in {minutes(report)}",
    }
    items = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in told.items())
    return f"<dl>{items}</dl>\n<pre>{escape(report['command'])}</pre>"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("json", type=Path)
    parser.add_argument("html", type=Path)
    options = parser.parse_args()
    report = json.loads(options.json.read_text(encoding="utf-8"))
    options.html.write_text(html(report), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
