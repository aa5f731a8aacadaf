from typing import Any

import numpy.typing as npt
from typing_extensions import disjoint_base

from hingefast._kernels.job import Job
from hingefast._kernels.slopes import Targets
from hingefast._kernels.table import BoundLoss

@disjoint_base
class Layout:
    n_rows: int
    n_features: int
    is_f64: int
    def arrays(self) -> dict[str, npt.NDArray[Any]]: ...
    def first_fault(self, targets: Targets) -> tuple[int, int, int, bytes] | None: ...

@disjoint_base
class LinearPass(Job): ...

def value_and_grad(
    layout: Layout,
    targets: Targets,
    loss: BoundLoss,
    want: int,
    coef: npt.NDArray[Any],
    intercept: float,
    alpha: float,
    intercept_alpha: float,
    mean: bool,
    out: npt.NDArray[Any] | None,
    n_threads: int | None,
) -> tuple[float, float]: ...
def decision_function(
    layout: Layout,
    targets: Targets,
    coef: npt.NDArray[Any],
    intercept: float,
    out: npt.NDArray[Any],
    n_threads: int | None,
) -> None: ...
def hessp(
    layout: Layout,
    targets: Targets,
    loss: BoundLoss,
    coef: npt.NDArray[Any],
    intercept: float,
    direction: npt.NDArray[Any],
    direction_intercept: float,
    alpha: float,
    intercept_alpha: float,
    mean: bool,
    out: npt.NDArray[Any],
    n_threads: int | None,
) -> float: ...
def step(
    layout: Layout,
    targets: Targets,
    loss: BoundLoss,
    theta: npt.NDArray[Any],
    has_intercept: bool,
    rate: float,
    alpha: float,
    intercept_alpha: float,
    mean: bool,
    n_threads: int | None,
) -> float: ...
