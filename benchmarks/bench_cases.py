"""For looking closely at one problem with pytest-benchmark: every case of the report, and every loss on every layout.

One group of results a problem, one result a contender.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from benchmarks import problem
from benchmarks.cases import Case, all_cases
from benchmarks.design_rows import EXPRESSION, MULTIPLY
from benchmarks.problem import Problem, Size
from benchmarks.report import RIVALS
from hingefast.losses import MARGIN_LOSSES

# Enough for a look at every problem in a few minutes; `--benchmark-max-time` does not override it.
pytestmark = pytest.mark.benchmark(max_time=0.1, min_rounds=5, warmup=False)

# Moderate: beyond a level-2 cache, and hundreds of problems still fit in minutes. The report uses larger ones.
SIZE = Size(x_bytes=2**24)

CASES = {case.id: case for case in all_cases() if case.n_threads == 1}

# What is cast into a tile, by the dtype that it is computed in.
TILES = {np.float64: np.int64, np.float32: np.uint8}

LAYOUTS: dict[str, Callable[..., Problem]] = {
    "32 scores": lambda loss, dtype: problem.scores_problem(loss, dtype, dtype, 32, EXPRESSION),
    "10^4 scores": lambda loss, dtype: problem.scores_problem(loss, dtype, dtype, 10**4, MULTIPLY),
    "dense": lambda loss, dtype: problem.dense_problem(loss, dtype, 100, "C", SIZE),
    "Fortran": lambda loss, dtype: problem.dense_problem(loss, dtype, 100, "F", SIZE),
    "CSR": lambda loss, dtype: problem.text_problem(loss, dtype, np.int32, 0.5, SIZE),
    "CSR, int64": lambda loss, dtype: problem.text_problem(loss, dtype, np.int64, 0.5, SIZE),
    "tile": lambda loss, dtype: problem.tile_problem(loss, TILES[dtype], 200, SIZE, dtype),
}

contenders = pytest.mark.parametrize("contender", ["hingefast", "ceiling", *RIVALS])


@contenders
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def bench_case(benchmark: Any, case: Case, contender: str) -> None:
    if reason := case.missing():
        pytest.skip(reason)
    _time(benchmark, case.id, partial(case.build, SIZE), contender)


@contenders
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("loss", MARGIN_LOSSES)
def bench_loss(benchmark: Any, loss: str, layout: str, dtype: type, contender: str) -> None:
    if layout.startswith("CSR"):
        pytest.importorskip("scipy")
    _time(benchmark, f"{loss}, {layout}, {dtype.__name__}", partial(LAYOUTS[layout], loss, dtype), contender)


def _time(benchmark: Any, group: str, build: Callable[[], Problem], contender: str) -> None:
    problem = _checked(group, build)
    if contender not in ("hingefast", "ceiling") and contender not in problem.others:
        pytest.skip(f"no {contender} pass for this problem here")
    benchmark.group = group
    benchmark(problem.contenders()[contender])
    benchmark.extra_info["bytes"] = problem.n_bytes
    if benchmark.stats is not None:  # None with --benchmark-disable
        benchmark.extra_info["GB/s"] = problem.n_bytes / benchmark.stats.stats.median / 1e9


# The last problem, by its group: pytest runs all contenders of a problem one after the other.
_kept: dict[str, Problem] = {}


def _checked(group: str, build: Callable[[], Problem]) -> Problem:
    """The problem, after all its contenders gave the same answer; kept until another one is asked for."""
    if group not in _kept:
        _kept.clear()
        problem = build()
        problem.check()
        _kept[group] = problem
    return _kept[group]
