"""The one harness: contenders are timed in turns, in one process or in several, and what is told is a ratio.

Times of different moments cannot be compared: frequency, neighbours and caches drift. So everybody has a turn in every
round, and medians over the rounds are divided by each other (`Times`).

- `interleave` times callables of one process; `in_turns` whatever takes a sample when it is called, so also two
  processes.
- A `Worker` is what a process of its own does, started by ``python -m benchmarks.measure OPTIONS``; a `Process` is the
  other end of it, to which the report (`__main__.py`) and ``ci/bench_compare.py`` give their orders. A process of its
  own, because a BLAS learns its number of threads when it is loaded, and hingefast its level.

NumPy and hingefast are only imported inside functions: who gives orders may have neither, and `environment.pin` has to
come first.
"""

import contextlib
import gc
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import benchmarks
from benchmarks import environment

# One sample lasts at least this long: 1000 times what reading the clock twice costs.
SAMPLE_SECONDS = 2e-4

MIN_ROUNDS = 5
MAX_ROUNDS = 300

# A slow one of the others leaves the turns after this many rounds.
MIN_ROUNDS_SLOW = 3

# Timing ends early when the ratio is known this well: the standard error of its median, relative. Fewer rounds
# than SETTLED_ROUNDS do not tell it.
SETTLED, SETTLED_ROUNDS = 0.004, 15

# The two of the ratio that counts.
OURS, CEILING = "hingefast", "ceiling"


@dataclass(frozen=True)
class Times:
    """Seconds of one call of each contender, one number a round, the first round first for all."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def minimum(self, name: str) -> float:
        return min(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Median time of `name` divided by the median time of `to`, over the rounds that both took part in."""
        ours, theirs = self._common(name, to)
        return statistics.median(ours) / statistics.median(theirs)

    def ratio_of_minima(self, name: str, to: str) -> float:
        ours, theirs = self._common(name, to)
        return min(ours) / min(theirs)

    def ratio_quartiles(self, name: str, to: str) -> tuple[float, float]:
        """How far the ratio moved from round to round: its first and third quartile."""
        return quartiles([ours / theirs for ours, theirs in zip(*self._common(name, to), strict=True)])

    def _common(self, *names: str) -> list[list[float]]:
        n_rounds = min(len(self.seconds[name]) for name in names)
        return [self.seconds[name][:n_rounds] for name in names]


def quartiles(ratios: list[float]) -> tuple[float, float]:
    first, _, third = statistics.quantiles(ratios, n=4, method="inclusive")
    return first, third


# ----------------------------------------------------------------------------------------------------
# Turns


def in_turns(
    samplers: Mapping[str, Callable[[], float]],
    seconds: float,
    min_rounds: int,
    max_rounds: int,
    *,
    throughout: Collection[str],
    is_strict: bool = False,
    is_settled: Callable[[Times], bool] = lambda times: False,
) -> Times:
    """Take samples in turns for about `seconds` seconds.

    Those of `throughout` take part in every round; of the others each leaves when MIN_ROUNDS_SLOW rounds or more took
    longer than its share of `seconds`. Every round has another order, so that nobody always finds the cache as the same
    neighbour left it, unless it `is_strict`: then all samples of all find it so.
    """
    times = Times({name: [] for name in samplers})
    spent = dict.fromkeys(samplers, 0.0)
    share = seconds / len(samplers)
    start = perf_counter()
    for n_rounds in range(1, max_rounds + 1):
        names = [
            name
            for name in samplers
            if name in throughout or n_rounds <= MIN_ROUNDS_SLOW or spent[name] < share
        ]
        for name in names if is_strict else _order(names, n_rounds):
            begin = perf_counter()
            times.seconds[name].append(samplers[name]())
            spent[name] += perf_counter() - begin
        if (n_rounds >= min_rounds and perf_counter() - start >= seconds) or is_settled(times):
            break
    return times


def interleave(
    callables: Mapping[str, Callable[[], object]],
    seconds: float,
    throughout: Collection[str] = (OURS, CEILING),
) -> Times:
    """Time the callables in turns for about `seconds` seconds, at least MIN_ROUNDS rounds.

    Every callable is called once before the clock starts, which also touches its buffers. A callable that is
    faster than SAMPLE_SECONDS is called several times a sample.
    """
    calls = {name: _calls_per_sample(function) for name, function in callables.items()}

    def sampler(name: str) -> Callable[[], float]:
        return lambda: sample(callables[name], calls[name])

    with no_collection():
        return in_turns(
            {name: sampler(name) for name in callables},
            seconds,
            MIN_ROUNDS,
            MAX_ROUNDS,
            throughout=throughout,
            is_settled=_is_settled,
        )


def sample(function: Callable[[], object], calls: int) -> float:
    """Seconds of one call, of so many."""
    repeats = itertools.repeat(None, calls)
    start = perf_counter()
    for _ in repeats:
        function()
    return (perf_counter() - start) / calls


def _is_settled(times: Times) -> bool:
    """The median of OURS / CEILING is known to SETTLED, as far as its rounds tell."""
    n_rounds = len(times.seconds[OURS])
    if n_rounds < SETTLED_ROUNDS or CEILING not in times.seconds:
        return False
    first, third = times.ratio_quartiles(OURS, CEILING)
    # Of normal noise: the standard deviation is IQR / 1.349, the median's error 1.2533 deviations / sqrt(n).
    return 0.93 * (third - first) / sqrt(n_rounds) <= SETTLED * first


def _order(names: list[str], n_rounds: int) -> list[str]:
    first = (n_rounds // 2) % len(names)
    rotated = names[first:] + names[:first]
    return rotated[::-1] if n_rounds % 2 else rotated


def _calls_per_sample(function: Callable[[], object]) -> int:
    first = sample(function, 1)
    if first >= 20 * SAMPLE_SECONDS:  # also when the first call took much longer than the next ones will
        return 1
    calls = 1
    while (seconds := sample(function, calls) * calls) < SAMPLE_SECONDS:
        calls = max(2 * calls, int(calls * SAMPLE_SECONDS / max(seconds, 1e-9)))
    return calls


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Without the garbage collector, which would work in somebody's turn."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


# ----------------------------------------------------------------------------------------------------
# Processes: what is inside


class Worker:
    """What the orders do. Each public method is one; its arguments and its result are ready for JSON.

    Between two orders the process sleeps, so that two of them can hold the same problem and be timed in turns on one
    processor.
    """

    def __init__(self, n_threads: int, x_bytes: int, processors: Collection[int] = ()) -> None:
        if processors:
            os.sched_setaffinity(0, processors)
        environment.pin(n_threads)
        from benchmarks import cases, data, problem

        environment.check_pinned(n_threads)
        self._select, self._forget_data = cases.select, data.forget
        self._cases = {case.id: case for case in cases.all_cases() if case.n_threads == n_threads}
        self._size = problem.Size(x_bytes, n_threads)
        self._group = ""
        self._job: Callable[[], Any] | None = None

    def about(self) -> dict[str, Any]:
        """Machine, versions, and what hingefast says about itself."""
        return environment.describe()

    def imported(self) -> str:
        """Where this hingefast lies."""
        import hingefast

        return str(hingefast.__file__)

    def find(self, patterns: list[str | None]) -> dict[str, str]:
        """The ids of the cases that match a pattern, and why a case cannot run here, empty if it can."""
        chosen = {case.id for pattern in patterns for case in self._select(self._cases.values(), pattern)}
        return {case.id: case.missing() for case in self._cases.values() if case.id in chosen}

    def measure(self, case_id: str, seconds: float, level: str, is_judged: bool) -> dict[str, Any]:
        """The result of a case, timed next to everybody who does its job."""
        case, start = self._cases[case_id], perf_counter()
        if case_id.rpartition("/")[0] != self._group:  # rows that share data differ only in the last part
            self.forget()
            self._group = case_id.rpartition("/")[0]
        result = {"level": level, "is_judged": is_judged, **case.fields()}
        if reason := case.missing():
            result |= {"error": f"left out: {reason}", "failed": False}
        else:
            result |= _or_error(lambda: self._measured(case, seconds, is_judged))
        return {**result, "seconds_total": perf_counter() - start}

    def fit(self, case_id: str, budget: dict[str, Any]) -> dict[str, Any]:
        """The result of a case of `fit.py`."""
        from benchmarks import fit

        start = perf_counter()
        self.forget()
        case = next(case for case in fit.all_cases() if case.id == case_id)
        if reason := case.missing():
            told: dict[str, Any] = {"error": f"left out: {reason}", "failed": False}
        else:
            told = _or_error(lambda: fit.measured(case, fit.Budget(**budget)))
        return {**case.fields(), **told, "seconds_total": perf_counter() - start}

    def _measured(self, case: Any, seconds: float, is_judged: bool) -> dict[str, Any]:
        """With several threads hingefast also runs with one, so that what they gain is measured in turns. At levels
        beside the one in use only ratios to what has a target are asked for.
        """
        problem = case.build(self._size)
        rivals = (
            list(problem.others) if is_judged else [name for name in problem.others if name == "strongest"]
        )
        problem.check(rivals)
        throughout = [OURS, CEILING]
        if case.least_speedup is not None:
            throughout.append("strongest")
        elif not is_judged:
            rivals = []
        contenders = problem.contenders(rivals)
        if self._size.n_threads > 1 and is_judged:
            alone = case.build(replace(self._size, n_threads=1))
            contenders["one thread"] = alone.hingefast
            if case.sweep == "threads":
                contenders["ceiling, one thread"] = alone.ceiling
        times = interleave(contenders, seconds, throughout)
        gains = {"gain": ("one thread", OURS), "ceiling_gain": ("ceiling, one thread", CEILING)}
        return {
            "note": problem.note,
            "ratio": times.ratio(OURS, CEILING),
            "quartiles": times.ratio_quartiles(OURS, CEILING),
            "ratio_of_minima": times.ratio_of_minima(OURS, CEILING),
            "speedups": {name: times.ratio(name, OURS) for name in rivals},
            "speedup_quartiles": times.ratio_quartiles("strongest", OURS) if "strongest" in rivals else None,
            **{key: times.ratio(*names) for key, names in gains.items() if names[0] in contenders},
            "gb_per_second": problem.n_bytes / times.median(OURS) / 1e9,
            "n_bytes": problem.n_bytes,
            "rounds": len(times.seconds[OURS]),
            "seconds": {name: times.median(name) for name in contenders},
            "minimum_seconds": {name: times.minimum(name) for name in contenders},
        }

    def build(self, case_id: str) -> tuple[float, float]:
        """Make the data of a case, do hingefast's job twice, and tell the value and the seconds of the second time."""
        self.forget()
        self._job = self._cases[case_id].build(self._size).hingefast
        gc.collect()
        value, *_ = self._job()
        return float(value), self.sample(1)

    def sample(self, calls: int) -> float:
        """Seconds of a call. Short calls, which the caches matter to, start after one that is not timed."""
        if self._job is None:
            raise RuntimeError("no case was built")
        if calls > 1:
            self._job()
        with no_collection():
            return sample(self._job, calls)

    def forget(self) -> None:
        """Free the data of the last case."""
        self._job = None
        self._forget_data()


def _or_error(measured: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured, or its error: a case that fails must not hide the others."""
    try:
        return measured()
    except Exception as error:
        traceback.print_exc()
        return {"error": f"FAILED: {type(error).__name__}: {error}", "failed": True}


def _answers(orders: TextIO, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """{"result": ...} or {"error": one line} of each order, which is a list: name, arguments."""
    inside: Worker | None = None
    for order in orders:
        name, *arguments = json.loads(order)
        try:
            # Made here, so that a version that cannot be imported is told like any other error.
            inside = inside or Worker(**options)
            yield {"result": getattr(inside, name)(*arguments)}
        except Exception as error:
            yield {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def _main() -> None:
    # What anything else prints must not come between the answers.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as to_driver:
        os.dup2(2, 1)
        for answer in _answers(sys.stdin, json.loads(sys.argv[1])):
            print(json.dumps(answer), file=to_driver, flush=True)


# ----------------------------------------------------------------------------------------------------
# Processes: the other end


class Failure(Exception):
    """Nothing can be measured; the message says why."""


class OrderFailed(Failure):
    """A process could not do what it was told."""

    def __init__(self, role: str, reason: str) -> None:
        super().__init__(f"the {role} cannot run it: {reason}")
        self.role, self.reason = role, reason


class Process:
    """A process with a worker in it; calling it gives an order and waits for the answer. `role` is for messages."""

    def __init__(self, role: str, process: subprocess.Popen[str]) -> None:
        self.role, self._process = role, process

    def __call__(self, *order: Any) -> Any:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            print(json.dumps(order), file=process.stdin, flush=True)
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise Failure(f"the process of the {self.role} ended with exit code {process.wait()} at {order}")
        told = json.loads(answer)
        if "error" in told:
            raise OrderFailed(self.role, told["error"])
        return told["result"]


@contextlib.contextmanager
def worker(
    role: str, options: Mapping[str, Any], variables: Mapping[str, str], python: str
) -> Iterator[Process]:
    """A new process with a `Worker(**options)` in it; `variables` are added to the environment."""
    command = [python, "-m", "benchmarks.measure", json.dumps(options)]
    root = Path(__file__).resolve().parent.parent
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started(command, cwd=root, env={**os.environ, **variables}, **pipes) as process:
        yield Process(role, process)


@contextlib.contextmanager
def started(command: list[str], **keywords: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command, with its children in a group of its own; none outlives the block."""
    process = subprocess.Popen(command, start_new_session=True, text=True, **keywords)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    assert benchmarks  # imported first: it decides which hingefast is measured
    _main()
