"""`python -m benchmarks`: measure every case, print ratios and write the report.

This process measures nothing itself.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import hingefast as hf
from benchmarks import cases, design_rows, environment, fit, fit_report, measure, report, tables

ROOT = Path(__file__).resolve().parent.parent
FULL_JSON, FULL_HTML = ROOT / "benchmarks" / "report.json", ROOT / "benchmarks" / "report.html"

# X in MiB: a full run is far beyond any level-2 cache and most last-level ones; a short one only beyond the former.
FULL_X, SHORT_X = 256, 48
# Seconds of timing a case, when a few rounds do not take longer. With the making of data and the comparing of answers
# a full run then takes 7 to 20 minutes on two cores of 2023, the longer with the real sets, for which the part on
# fitting takes half an hour to an hour more.
FULL_SECONDS, SHORT_SECONDS = 0.5, 0.3


class Job(NamedTuple):
    """What one worker measures."""

    n_threads: int
    level: str
    is_judged: bool  # targets are for the level in use
    cases: list[cases.Case]


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    start = perf_counter()
    x_bytes = int((options.x_mb or (SHORT_X if options.short else FULL_X)) * 2**20)
    seconds = options.seconds or (SHORT_SECONDS if options.short else FULL_SECONDS)
    json_file, html_file = options.json, options.html
    selected = cases.select(cases.all_cases(), options.only)
    fits = cases.select(fit.all_cases(), options.only)
    if options.readme:
        fits = []
        selected = [case for case in selected if case.id in {case_id for case_id, *_ in tables.README_ROWS}]
        options.threads, options.levels = [1], [_levels()[0]]
    elif options.only is None and json_file is html_file is None:
        json_file, html_file = FULL_JSON, FULL_HTML
    if html_file and find_spec("matplotlib") is None:
        parser.error("the page needs matplotlib: install it, or ask for --json FILE alone")
    jobs = list(_jobs(selected, options.threads, options.levels))
    levels_left_out = _levels_left_out(selected, options.levels)
    for level in levels_left_out:
        print(f"level {level} is left out: this machine cannot run it")
    level = _levels()[0]
    if level not in (options.levels or [level]) or 1 not in (options.threads or [1]):
        fits = []  # only at the level in use, and what is not there to compare threads has one
    if options.into and (jobs or not fits):
        parser.error("--into adds the part on fitting alone: with --only fit/ or a pattern of its cases")
    if not (jobs or fits):
        print("no case has this pattern, number of threads and level", file=sys.stderr)
        return 2

    run = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "command": " ".join(["python -m benchmarks", *(sys.argv[1:] if arguments is None else arguments)]),
    }
    measured = _run(jobs, x_bytes, seconds)
    of_fit = _run_fits(fits, fit.SHORT if options.short else fit.FULL, run) if fits else {}
    written = {
        **run,
        "x_bytes": x_bytes,
        "seconds_per_case": seconds,
        "design_rows": {key: asdict(row) for key, row in design_rows.DESIGN_ROWS.items()},
        "levels_left_out": levels_left_out,
        "about": of_fit["fit_run"]["about"] if of_fit else {},
        **measured,
        **of_fit,
        "seconds_total": perf_counter() - start,
    }
    results = [*written["results"], *written.get("fit", [])]
    summaries = [report.summary(written["results"])] if jobs else []
    summaries += [f"of fitting {fit_report.summary(written)}"] if fits else []
    print(f"\n{'; '.join(summaries)}; {report.minutes(written)}")
    if options.into:
        _add(of_fit, options.into)
    if options.readme:
        print(f"\n{tables.readme_rows(written)}")
    if json_file:
        json_file.write_text(report.as_json(written), encoding="utf-8")
        print(f"wrote {json_file}")
    if html_file:
        from benchmarks import page

        html_file.write_text(page.html(written), encoding="utf-8")
        print(f"wrote {html_file}")
    return int(any(result.get("failed") for result in results))


def _run(jobs: list[Job], x_bytes: int, seconds: float) -> dict[str, Any]:
    """Measure each job in a process of its own, and print each result as it comes."""
    about: dict[str, Any] = {}
    results: list[report.Result] = []
    for job in jobs:
        told = f"level {job.level}, {report.threads(job.n_threads)}"
        variables = {"HINGEFAST_LEVEL": job.level} if job.is_judged else environment.at_level(job.level)
        options = {"n_threads": job.n_threads, "x_bytes": x_bytes}
        with measure.worker(f"benchmarks at {told}", options, variables, sys.executable) as worker:
            facts = worker("about")
            if report.level(facts) != job.level:
                raise measure.Failure(f"hingefast runs at level {report.level(facts)}, must be {job.level}")
            if not about:
                about = facts
                print(report.about(about, x_bytes))
            print(f"\n{told}\n{report.COLUMNS}", flush=True)
            for case in job.cases:
                results.append(worker("measure", case.id, seconds, job.level, job.is_judged))
                print(report.line(results[-1]), flush=True)
    return {"about": about, "results": results} if jobs else {"results": results}


def _run_fits(fits: list[fit.FitCase], budget: fit.Budget, run: dict[str, str]) -> dict[str, Any]:
    """Measure the part on fitting in a process of its own; `run` says when and how."""
    start = perf_counter()
    results: list[report.Result] = []
    told = f"level {_levels()[0]}, time to the minimum"
    with measure.worker(
        "benchmarks of fitting",
        {"n_threads": 1, "x_bytes": 0},
        {"HINGEFAST_LEVEL": _levels()[0]},
        sys.executable,
    ) as worker:
        facts = worker("about")
        print(f"\n{report.machine(facts)}; {told}\n{report.versions(facts)}", flush=True)
        for case in fits:
            results.append(worker("fit", case.id, asdict(budget)))
            print(fit_report.line(results[-1]), flush=True)
    rest = {"about": facts, "budget": asdict(budget), "seconds_total": perf_counter() - start}
    return {"fit_run": {**run, **rest}, "fit": results}


def _add(of_fit: dict[str, Any], file: Path) -> None:
    """Put the part on fitting into an earlier report: new cases in the order of the list, others as they were."""
    whole = json.loads(file.read_text(encoding="utf-8"))
    by_id = {result["id"]: result for result in whole.get("fit", [])}
    # What was left out now does not take the place of what was measured before.
    by_id |= {
        one["id"]: one for one in of_fit["fit"] if one["id"] not in by_id or one.get("failed") is not False
    }
    order = [case.id for case in fit.all_cases() if case.id in by_id]
    whole |= {"fit_run": of_fit["fit_run"], "fit": [by_id[case_id] for case_id in order]}
    file.write_text(report.as_json(whole), encoding="utf-8")
    print(f"added to {file}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time hingefast in turns with the ceiling of each pass and with other ways to do the same; print "
        "ratios. Without any option the report is written to benchmarks/report.json and .html. Exits "
        "with 1 if a case fails or answers differ; a missed target is only told.",
    )
    parser.add_argument(
        "--short", action="store_true", help=f"X of {SHORT_X} MiB, and less time for each case"
    )
    parser.add_argument(
        "--only", metavar="PATTERN", help="cases whose id contains PATTERN, or matches its wildcards"
    )
    parser.add_argument(
        "--readme",
        action="store_true",
        help="only the rows of the README's table, which is printed at the end",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=int,
        nargs="+",
        help="only cases with N threads on both sides",
    )
    parser.add_argument(
        "--levels",
        metavar="LEVEL",
        nargs="+",
        help="only at these instruction-set levels (default: every one)",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure to FILE")
    parser.add_argument(
        "--into", metavar="FILE", type=Path, help="add the part on fitting to FILE, an earlier report"
    )
    parser.add_argument("--html", metavar="FILE", type=Path, help="write the page with the plots to FILE")
    parser.add_argument("--x-mb", metavar="MIB", type=float, help=f"size of X in MiB (default {FULL_X})")
    parser.add_argument(
        "--seconds", metavar="S", type=float, help=f"timing a case (default {FULL_SECONDS:g})"
    )
    return parser


def _jobs(selected: list[cases.Case], threads: list[int] | None, levels: list[str] | None) -> Iterator[Job]:
    """All cases at the level in use, then at every other level those that ask for it, if not told otherwise with
    one thread.
    """
    chosen, runnable = _levels()
    for level in [chosen, *(level for level in reversed(runnable) if level != chosen)]:
        if levels is not None and level not in levels:
            continue
        for n_threads in sorted({case.n_threads for case in selected}):
            if n_threads not in (threads or ([1] if level != chosen else [n_threads])):
                continue
            measured = [
                case
                for case in selected
                if case.n_threads == n_threads and (level == chosen or level in case.levels)
            ]
            if measured:
                yield Job(n_threads, level, level == chosen, measured)


def _levels_left_out(selected: Iterable[cases.Case], levels: list[str] | None) -> list[str]:
    """What was asked for and this machine cannot run."""
    asked = levels or [report.TARGETS_LEVEL, *(level for case in selected for level in case.levels)]
    _, runnable = _levels()
    return [level for level in dict.fromkeys(asked) if level not in runnable]


def _levels() -> tuple[str, list[str]]:
    """The level in use and all that this machine can run, lowest first."""
    config: Any = hf.show_config(mode="dicts")
    return config["level"], config["levels"]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except measure.Failure as error:
        sys.exit(str(error))
