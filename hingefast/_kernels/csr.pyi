from typing import Any

import numpy.typing as npt

from hingefast._kernels.linear import Layout

class CSR(Layout):
    n_stored: int
    def __init__(
        self,
        data: npt.NDArray[Any],
        indices: npt.NDArray[Any],
        indptr: npt.NDArray[Any],
        n_features: int,
        is_f64: bool,
    ) -> None: ...
