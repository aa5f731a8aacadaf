"""Small batches, where a call costs more than its work; the ceiling is the idiomatic expression."""

from typing import Any

import numpy as np
import pytest

from benchmarks.cases import batch_problem, small_scores_problem
from benchmarks.contest import LOSSES, brief, compete
from benchmarks.problem import Size

pytestmark = brief

CONTENDERS = ["hingefast", "strongest", "idiomatic"]  # the ceiling is the idiomatic one


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("n_rows", [1, 32])
@pytest.mark.parametrize("loss", LOSSES)
def bench_scores(benchmark: Any, loss: str, n_rows: int, contender: str) -> None:
    compete(benchmark, contender, small_scores_problem, loss, np.float64, n_rows)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("n_rows", [1, 32])
@pytest.mark.parametrize("layout", ["dense", "csr"])
def bench_objective(benchmark: Any, layout: str, n_rows: int, contender: str) -> None:
    if layout == "csr":
        pytest.importorskip("scipy")
    compete(benchmark, contender, batch_problem, "hinge", layout, n_rows, Size(x_bytes=2**22))
