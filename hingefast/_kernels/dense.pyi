from typing import Any

import numpy.typing as npt

from hingefast._kernels.linear import Layout

class Dense(Layout):
    def __init__(self, X: npt.NDArray[Any], is_f64: bool) -> None: ...
