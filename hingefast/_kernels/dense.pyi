from typing import Any, Self

import numpy.typing as npt
from typing_extensions import disjoint_base

from hingefast._kernels.linear import Layout

@disjoint_base
class Dense(Layout):
    def __new__(cls, X: npt.NDArray[Any], is_f64: bool) -> Self: ...
