"""Multiclass losses: on scores, dense X, CSR X, and next to torch; each number of classes and dtype."""

from typing import Any

import numpy as np
import pytest

from benchmarks import data
from benchmarks.contest import CONTENDERS, brief, compete
from benchmarks.multiclass_cases import (
    LOSSES,
    dense_problem,
    news20_problem,
    scores_problem,
    torch_problem,
)
from benchmarks.problem import Size

pytestmark = brief

# Moderate, as in bench_linear.py.
SIZE = Size(x_bytes=2**24)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("n_classes", [3, 10, 100, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", LOSSES)
def bench_class_scores(benchmark: Any, loss: str, dtype: type, n_classes: int, contender: str) -> None:
    compete(benchmark, contender, scores_problem, loss, dtype, n_classes, SIZE)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("n_classes", [10, 100, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", LOSSES)
def bench_class_dense(benchmark: Any, loss: str, dtype: type, n_classes: int, contender: str) -> None:
    compete(benchmark, contender, dense_problem, loss, dtype, n_classes, SIZE)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", LOSSES)
def bench_class_csr(benchmark: Any, loss: str, dtype: type, contender: str) -> None:
    pytest.importorskip("scipy")
    if data.file_path(data.NEWS20) is None:
        pytest.skip(f"no {data.NEWS20} in the folder named by {data.DATA_VARIABLE}")
    compete(benchmark, contender, news20_problem, loss, dtype, SIZE)


@pytest.mark.parametrize("contender", ["hingefast", "ceiling"])
@pytest.mark.parametrize("n_classes", [10, 100])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def bench_torch(benchmark: Any, dtype: type, n_classes: int, contender: str) -> None:
    pytest.importorskip("torch")
    compete(benchmark, contender, torch_problem, dtype, n_classes, SIZE)
