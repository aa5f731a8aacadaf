"""Runs cases with one number of threads at one level and prints each result as a line of JSON; started by
__main__.py.

A process of its own, because a BLAS learns its number of threads when it is loaded, and hingefast its level.
"""

import json
import sys
import traceback
from dataclasses import replace
from time import perf_counter
from typing import Any

import benchmarks
from benchmarks import environment


def run(
    n_threads: int, level: str, is_judged: bool, x_bytes: int, seconds: float, case_ids: list[str]
) -> None:
    """Print what `environment.describe` says, then the results of these cases with this number of threads."""
    environment.pin(n_threads)
    from benchmarks import cases, data, problem

    environment.check_pinned(n_threads)
    facts = environment.describe()
    if facts["hingefast"]["level"] != level:
        raise RuntimeError(f"hingefast runs at level {facts['hingefast']['level']}, must be {level}")
    _emit(facts)
    size = problem.Size(x_bytes, n_threads)
    wanted = set(case_ids)
    group = ""
    for case in cases.all_cases():
        if case.n_threads != n_threads or case.id not in wanted:
            continue
        if case.id.rpartition("/")[0] != group:  # rows that share data differ only in the last part
            data.forget()
            group = case.id.rpartition("/")[0]
        start = perf_counter()
        result = {"level": level, "is_judged": is_judged, **_result(case, size, seconds, is_judged)}
        _emit({**result, "seconds_total": perf_counter() - start})


def _result(case: Any, size: Any, seconds: float, is_judged: bool) -> dict[str, Any]:
    from benchmarks.measure import gigabytes_per_second

    result: dict[str, Any] = {
        "id": case.id,
        "n_threads": case.n_threads,
        "dtype": case.dtype,
        "ceiling": case.ceiling,
        "target": case.target,
        "least_speedup": case.least_speedup,
        "design_row": case.design_row,
        "sweep": case.sweep,
        "series": case.series,
        "x": case.x,
    }
    if reason := case.missing():
        return {**result, "error": f"left out: {reason}", "failed": False}
    try:
        problem, times = _timed(case, size, seconds, is_judged)
    except Exception as error:  # a case that fails must not hide the others
        traceback.print_exc()
        return {**result, "error": f"FAILED: {type(error).__name__}: {error}", "failed": True}
    rivals = [name for name in problem.contenders() if name not in ("hingefast", "ceiling")]
    gains = {"gain": ("one thread", "hingefast"), "ceiling_gain": ("ceiling, one thread", "ceiling")}
    return {
        **result,
        "note": problem.note,
        "ratio": times.ratio("hingefast", "ceiling"),
        "quartiles": times.ratio_quartiles("hingefast", "ceiling"),
        "ratio_of_minima": times.ratio_of_minima("hingefast", "ceiling"),
        "speedups": {name: times.ratio(name, "hingefast") for name in rivals},
        "speedup_quartiles": times.ratio_quartiles("strongest", "hingefast") if problem.strongest else None,
        **{key: times.ratio(*names) for key, names in gains.items() if names[0] in times.seconds},
        "gb_per_second": gigabytes_per_second(problem.n_bytes, times.median("hingefast")),
        "n_bytes": problem.n_bytes,
        "rounds": len(times.seconds["hingefast"]),
        "seconds": {name: times.median(name) for name in times.seconds},
        "minimum_seconds": {name: times.minimum(name) for name in times.seconds},
    }


def _timed(case: Any, size: Any, seconds: float, is_judged: bool) -> tuple[Any, Any]:
    """The problem with those who took part, and their times.

    With several threads hingefast also runs with one, so that what they gain is measured in turns. At levels beside
    the one in use only ratios to what has a target are asked for.
    """
    from benchmarks.measure import interleave

    problem = case.build(size)
    if not is_judged:
        problem = replace(problem, idiomatic=None, others={})
    problem.check()
    throughout = ["hingefast", "ceiling"]
    if case.least_speedup is not None:
        throughout.append("strongest")
    elif not is_judged:
        problem = replace(problem, strongest=None)
    contenders = problem.contenders()
    if size.n_threads > 1 and is_judged:
        alone = case.build(replace(size, n_threads=1))
        contenders["one thread"] = alone.hingefast
        if case.sweep == "threads":
            contenders["ceiling, one thread"] = alone.ceiling
    return problem, interleave(contenders, seconds, throughout)


def _emit(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    assert benchmarks  # imported first: it decides which hingefast is measured
    run(**options)
