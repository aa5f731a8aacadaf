from typing import Any, Self

import numpy.typing as npt
from typing_extensions import disjoint_base

from hingefast._kernels.linear import Layout

@disjoint_base
class CSR(Layout):
    n_stored: int
    def __new__(
        cls,
        data: npt.NDArray[Any],
        indices: npt.NDArray[Any],
        indptr: npt.NDArray[Any],
        n_features: int,
        is_f64: bool,
    ) -> Self: ...
