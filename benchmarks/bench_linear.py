"""linear_value_and_grad: every loss on dense and CSR X; the hinge on every layout, dtype and shape."""

from typing import Any

import numpy as np
import pytest

from benchmarks.cases import active_problem, dense_problem, text_problem, tile_problem, uniform_problem
from benchmarks.contest import CONTENDERS, LOSSES, brief, compete
from benchmarks.problem import Size

pytestmark = brief

# Moderate: beyond a level-2 cache, and hundreds of problems still fit in minutes. The report uses larger
# ones.
SIZE = Size(x_bytes=2**24)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("loss", LOSSES)
def bench_dense_loss(benchmark: Any, loss: str, contender: str) -> None:
    compete(benchmark, contender, dense_problem, loss, np.float64, 100, "C", SIZE)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("loss", LOSSES)
def bench_csr_loss(benchmark: Any, loss: str, contender: str) -> None:
    pytest.importorskip("scipy")
    compete(benchmark, contender, text_problem, loss, np.float64, np.int32, 0.5, SIZE)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("n_features", [2, 8, 32, 200, 1000, 10000])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def bench_dense(benchmark: Any, dtype: type, order: str, n_features: int, contender: str) -> None:
    compete(benchmark, contender, dense_problem, "hinge", dtype, n_features, order, SIZE)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("activity", [0.0, 0.01, 0.1, 0.5, 1.0])
def bench_dense_activity(benchmark: Any, activity: float, contender: str) -> None:
    compete(benchmark, contender, active_problem, "hinge", np.float64, 1000, activity, SIZE)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("x_dtype", [np.uint8, np.int8, np.int16, np.bool_, np.float16])
def bench_tile(benchmark: Any, x_dtype: type, contender: str) -> None:
    compete(benchmark, contender, tile_problem, "hinge", x_dtype, 200, SIZE)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("activity", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def bench_csr(benchmark: Any, dtype: type, index_dtype: type, activity: float, contender: str) -> None:
    pytest.importorskip("scipy")
    compete(benchmark, contender, text_problem, "hinge", dtype, index_dtype, activity, SIZE)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("nonzeros, n_heavy", [(5, 0), (50, 0), (50, 5), (500, 0)])
def bench_csr_rows(benchmark: Any, nonzeros: int, n_heavy: int, contender: str) -> None:
    pytest.importorskip("scipy")
    compete(benchmark, contender, uniform_problem, "hinge", nonzeros, n_heavy, 0.25, SIZE)
