"""What a solver tells after each of its iterations."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy.typing as npt

__all__ = ["Iterate"]


@dataclasses.dataclass
class Iterate:
    """Where a solver is.

    Attributes
    ----------
    theta : ndarray of shape (size,)
        Coefficients and intercept; the solver may change the array later.
    value : float
        The objective there.
    bound : float
        A number that the minimum is not below: the objective of the dual. -inf where none is known.
    decrease : float
        Where there is no bound: what the method expects to be left between value and minimum.
    dual : ndarray of shape (n_rows,), or (n_rows, K) for K classes, or None
        The dual variables, if the method has them, for a warm start.
    passes : float
        Passes over the rows of X so far.
    """

    theta: npt.NDArray[Any]
    value: float
    bound: float = -math.inf
    decrease: float = math.inf
    dual: npt.NDArray[Any] | None = None
    passes: float = 0.0
