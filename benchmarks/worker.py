"""Runs cases with one number of threads and prints each result as a line of JSON; started by __main__.py.

A process of its own, because a BLAS learns its number of threads when it is loaded.
"""

import json
import sys
import traceback
from typing import Any

import benchmarks
from benchmarks import environment


def run(n_threads: int, x_bytes: int, seconds: float, pattern: str | None) -> None:
    """Print what `environment.describe` says, then the results of the cases with this number of threads."""
    environment.pin(n_threads)
    from benchmarks import cases, data

    environment.check_pinned(n_threads)
    _emit(environment.describe())
    size = cases.Size(x_bytes, n_threads)
    group = ""
    for case in cases.select(cases.all_cases(), pattern):
        if case.n_threads != n_threads:
            continue
        if case.id.rpartition("/")[0] != group:  # rows that share data differ only in the last part
            data.forget()
            group = case.id.rpartition("/")[0]
        _emit(_result(case, size, seconds))


def _result(case: Any, size: Any, seconds: float) -> dict[str, Any]:
    from benchmarks.measure import gigabytes_per_second, interleave

    result: dict[str, Any] = {
        "id": case.id,
        "n_threads": case.n_threads,
        "ceiling": case.ceiling,
        "target": case.target,
        "target_is_due": case.target_is_due,
        "least_speedup": case.least_speedup,
    }
    if reason := case.missing():
        return {**result, "error": f"left out: {reason}", "failed": False}
    try:
        problem = case.build(size)
        problem.check()
        times = interleave(problem.contenders(), seconds)
    except Exception as error:  # a case that fails must not hide the others
        traceback.print_exc()
        return {**result, "error": f"FAILED: {type(error).__name__}: {error}", "failed": True}
    ours = times.median("hingefast")
    return {
        **result,
        "note": problem.note,
        "ratio": times.ratio("hingefast", "ceiling"),
        "quartiles": times.ratio_quartiles("hingefast", "ceiling"),
        "ratio_of_minima": times.minimum("hingefast") / times.minimum("ceiling"),
        "speedup_strongest": times.ratio("strongest", "hingefast") if problem.strongest else None,
        "speedup_idiomatic": times.ratio("idiomatic", "hingefast") if problem.idiomatic else None,
        "gb_per_second": gigabytes_per_second(problem.n_bytes, ours),
        "n_bytes": problem.n_bytes,
        "rounds": len(times.seconds["hingefast"]),
        "seconds": {name: times.median(name) for name in times.seconds},
        "minimum_seconds": {name: times.minimum(name) for name in times.seconds},
    }


def _emit(record: dict[str, Any]) -> None:
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    assert benchmarks  # imported first: it decides which hingefast is measured
    run(**options)
