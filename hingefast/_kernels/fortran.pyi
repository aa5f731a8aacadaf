from typing import Any

import numpy.typing as npt
from typing_extensions import disjoint_base

from hingefast._kernels.dense import Dense

def has_contiguous_columns(X: npt.NDArray[Any], is_f64: bool) -> bool: ...

@disjoint_base
class Fortran(Dense): ...
