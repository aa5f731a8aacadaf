from typing import Any

import numpy.typing as npt
from typing_extensions import disjoint_base

from hingefast._kernels.arrangements import BoundArrangement, ClassTargets
from hingefast._kernels.linear import Layout, LinearPass

@disjoint_base
class ClassPass(LinearPass): ...

def value_and_grad(
    layout: Layout,
    targets: ClassTargets,
    arrangement: BoundArrangement,
    want: int,
    coef: npt.NDArray[Any],
    intercept: npt.NDArray[Any],
    alpha: float,
    intercept_alpha: float,
    mean: bool,
    out: npt.NDArray[Any] | None,
    out_intercept: npt.NDArray[Any] | None,
    n_threads: int | None,
) -> float: ...
def decision_function(
    layout: Layout,
    targets: ClassTargets,
    coef: npt.NDArray[Any],
    intercept: npt.NDArray[Any],
    out: npt.NDArray[Any],
    n_threads: int | None,
) -> None: ...
def hessp(
    layout: Layout,
    targets: ClassTargets,
    arrangement: BoundArrangement,
    coef: npt.NDArray[Any],
    intercept: npt.NDArray[Any],
    direction: npt.NDArray[Any],
    direction_intercept: npt.NDArray[Any],
    alpha: float,
    intercept_alpha: float,
    mean: bool,
    out: npt.NDArray[Any],
    out_intercept: npt.NDArray[Any],
    n_threads: int | None,
) -> None: ...
def step(
    layout: Layout,
    targets: ClassTargets,
    arrangement: BoundArrangement,
    theta: npt.NDArray[Any],
    has_intercept: bool,
    rate: float,
    alpha: float,
    intercept_alpha: float,
    mean: bool,
    n_threads: int | None,
) -> float: ...
