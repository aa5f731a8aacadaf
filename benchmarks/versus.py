"""One of two versions that are compared; ci/bench_compare.py starts this twice, with another hingefast on the path.

Reads orders, one line of JSON each, and answers each with one. Between two orders it sleeps, so that both processes
can hold the same problem and be timed in turns on one processor.
"""

import gc
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, TextIO

import benchmarks
from benchmarks import environment

# NumPy and hingefast are only imported inside functions: `environment.pin` has to come first.


class Side:
    """What the orders do. Each method is one; its arguments and its result are ready for JSON."""

    def __init__(self, n_threads: int, x_bytes: int, processors: list[int]) -> None:
        if processors:
            os.sched_setaffinity(0, processors)
        environment.pin(n_threads)
        from benchmarks import cases, data

        environment.check_pinned(n_threads)
        self._select, self._forget = cases.select, data.forget
        self._cases = [case for case in cases.all_cases() if case.n_threads == n_threads]
        self._size = cases.Size(x_bytes, n_threads)
        self._job: Callable[[], object] | None = None

    def about(self) -> dict[str, str]:
        """Where this hingefast lies, and its instruction-set level."""
        import hingefast

        return {"file": str(hingefast.__file__), "level": str(hingefast.show_config(mode="dicts")["level"])}

    def find(self, patterns: list[str | None]) -> dict[str, str]:
        """The ids of the cases that match a pattern, and why a case cannot run here, empty if it can."""
        chosen = {case.id for pattern in patterns for case in self._select(self._cases, pattern)}
        return {case.id: case.missing() for case in self._cases if case.id in chosen}

    def build(self, case_id: str) -> float:
        """Make the data of a case, do its job twice, and tell the seconds of the second time."""
        self.forget()
        (case,) = (case for case in self._cases if case.id == case_id)
        self._job = case.build(self._size).hingefast
        gc.collect()
        self._job()
        return self.sample(1)

    def sample(self, calls: int) -> float:
        """Seconds of a call. Short calls, which the caches matter to, start after one that is not timed."""
        job = self._job
        if job is None:
            raise RuntimeError("no case was built")
        if calls > 1:
            job()
        repeats = itertools.repeat(None, calls)
        gc.disable()
        start = perf_counter()
        for _ in repeats:
            job()
        seconds = (perf_counter() - start) / calls
        gc.enable()
        return seconds

    def forget(self) -> None:
        """Free the data of the last case."""
        self._job = None
        self._forget()


def answers(orders: TextIO, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """{"result": ...} or {"error": one line} of each order, which is a list: name, arguments."""
    side: Side | None = None
    for order in orders:
        name, *arguments = json.loads(order)
        try:
            # Made here, so that a version that cannot be imported is told like any other error.
            side = side or Side(**options)
            yield {"result": getattr(side, name)(*arguments)}
        except Exception as error:
            yield {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def main() -> None:
    # What anything else prints must not come between the answers.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as to_driver:
        os.dup2(2, 1)
        for answer in answers(sys.stdin, json.loads(sys.argv[1])):
            print(json.dumps(answer), file=to_driver, flush=True)


if __name__ == "__main__":
    assert benchmarks  # imported first: it decides which hingefast is measured
    main()
