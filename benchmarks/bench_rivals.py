"""The hinge and the logistic loss next to torch, numba and scikit-learn, where they are installed."""

from typing import Any

import numpy as np
import pytest

from benchmarks.cases import dense_problem, scores_problem, text_problem
from benchmarks.contest import brief, compete
from benchmarks.design_rows import MULTIPLY
from benchmarks.problem import NO_X, Size
from benchmarks.rivals import VALUE_ALONE

pytestmark = brief

CONTENDERS = ["hingefast", "strongest", "torch", "numba", "scikit-learn", VALUE_ALONE]

# Moderate, as in bench_linear.py.
SIZE = Size(x_bytes=2**24)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def bench_scores(benchmark: Any, loss: str, dtype: type, contender: str) -> None:
    compete(benchmark, contender, scores_problem, loss, dtype, dtype, 10**6, MULTIPLY, NO_X, True)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def bench_dense(benchmark: Any, loss: str, dtype: type, contender: str) -> None:
    compete(benchmark, contender, dense_problem, loss, dtype, 200, "C", SIZE, None, True)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def bench_csr(benchmark: Any, loss: str, contender: str) -> None:
    pytest.importorskip("scipy")
    compete(benchmark, contender, text_problem, loss, np.float64, np.int32, 0.25, SIZE, True)
