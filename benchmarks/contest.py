"""What the bench_*.py files share: one group of results a problem, one result a contender."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest

from benchmarks.measure import gigabytes_per_second
from benchmarks.problem import Problem, Size
from hingefast.losses import MARGIN_LOSSES

CONTENDERS = ["hingefast", "strongest", "idiomatic", "ceiling"]
LOSSES = list(MARGIN_LOSSES)

# Enough for a look at every problem in a few minutes; `--benchmark-max-time` does not override it.
brief = pytest.mark.benchmark(max_time=0.1, min_rounds=5, warmup=False)


@lru_cache(maxsize=1)
def checked(build: Callable[..., Problem], *arguments: Any) -> Problem:
    """The problem, after all its contenders gave the same answer; kept until another one is asked for."""
    problem = build(*arguments)
    problem.check()
    return problem


def compete(benchmark: Any, contender: str, build: Callable[..., Problem], *arguments: Any) -> None:
    """Time one contender of `build(*arguments)`."""
    problem = checked(build, *arguments)
    way = problem.contenders().get(contender)
    if way is None:
        pytest.skip(f"no {contender} pass for this problem here")
    benchmark.group = " ".join([build.__name__, *map(_label, arguments)])
    benchmark(way)
    benchmark.extra_info["bytes"] = problem.n_bytes
    if benchmark.stats is not None:  # None with --benchmark-disable
        benchmark.extra_info["GB/s"] = gigabytes_per_second(problem.n_bytes, benchmark.stats.stats.median)


def _label(argument: Any) -> str:
    if isinstance(argument, Size):
        return f"{argument.x_bytes / 2**20:.0f} MiB"
    return getattr(argument, "__name__", str(argument))
