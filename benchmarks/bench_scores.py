"""value_and_grad of given scores: every loss and dtype, in the cache and beyond it; other labels."""

from typing import Any

import numpy as np
import pytest

from benchmarks.cases import scores_problem
from benchmarks.contest import CONTENDERS, LOSSES, brief, compete
from benchmarks.design_rows import MULTIPLY

pytestmark = brief


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("n_rows", [10**4, 10**6])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", LOSSES)
def bench_loss(benchmark: Any, loss: str, dtype: type, n_rows: int, contender: str) -> None:
    compete(benchmark, contender, scores_problem, loss, dtype, dtype, n_rows, MULTIPLY)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("label_dtype", [np.int8, np.int64])
def bench_labels(benchmark: Any, label_dtype: type, contender: str) -> None:
    compete(benchmark, contender, scores_problem, "hinge", np.float64, label_dtype, 10**6, MULTIPLY)
