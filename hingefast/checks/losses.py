"""The parameters of losses and the names they go by, converted or refused."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.slopes import ScoreLoss
from hingefast._kernels.table import default_environment
from hingefast.checks.arrays import as_integer, as_number, describe, frozen, quote, real_array, shorten

__all__ = [
    "as_cost",
    "as_k",
    "as_parameter",
    "as_variant",
    "check_curvature",
    "immutable",
    "needs_object",
    "no_formula",
    "unknown",
]


def as_parameter(name: str, kind: str, value: Any) -> float:
    """A parameter of a margin loss as a float, if its kind in the catalogue allows it."""
    number = as_number(value, name)
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}, must be finite")
    if kind == "margin" and number < 0:
        raise ValueError(f"{name} is {number}, must be >= 0")
    if kind == "width" and not (number > 0 and math.isfinite(1 / number)):
        raise ValueError(f"{name} is {number}, must be > 0 and have a finite reciprocal")
    if kind == "slope" and not -1 <= number <= 0:
        raise ValueError(f"{name} is {number}, must be in [-1, 0]")
    return number + 0.0  # -0.0 and 0.0 are the same parameter


def as_cost(cost: Any) -> npt.NDArray[np.float64]:
    """A read-only copy of a cost matrix."""
    with default_environment():  # a long double beyond float64 is infinite
        matrix = np.array(real_array(cost, "cost"), np.float64, order="C")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 2:
        raise ValueError(f"cost has shape {matrix.shape}, must be (K, K) for K >= 2 classes")
    wrong = np.argwhere(~np.isfinite(matrix))
    if wrong.size:
        i, j = wrong[0]
        raise ValueError(f"cost[{i}, {j}] is {matrix[i, j]}, must be finite")
    matrix += 0.0  # -0.0 and 0.0 are the same cost
    return frozen(matrix)


def as_k(k: Any) -> int:
    """The k of a top-k loss as an int."""
    number = as_integer(k, "k")
    if not 1 <= number <= sys.maxsize:
        raise ValueError(f"k is {shorten(number)}, must be in 1 .. K - 1 for K classes")
    return number


def as_variant(variant: Any) -> str:
    """The variant of a top-k loss."""
    if not isinstance(variant, str):
        raise TypeError(f"variant must be 'alpha' or 'beta', got {describe(variant)}")
    if variant not in ("alpha", "beta"):
        raise ValueError(f"variant is {quote(variant)}, must be 'alpha' or 'beta'")
    return str(variant)


def check_curvature(loss: ScoreLoss, shown: Any, width: int) -> None:
    """Refuse a loss, of `width` scores a row, whose second derivative is zero everywhere."""
    if not loss.has_curvature:
        smooth = "smooth_hinge" if width == 1 else "crammer_singer:smooth_hinge"
        raise ValueError(
            f"the second derivative of {shorten(shown)} is zero everywhere; use a smooth loss such as {smooth!r}"
        )


def needs_object(name: str, example: str) -> ValueError:
    """Why a name alone cannot give a loss."""
    return ValueError(f"loss is {name!r}, which needs a parameter; pass the object hingefast.{example}")


def immutable(name: str) -> AttributeError:
    """Why an attribute of a loss cannot be set or deleted."""
    return AttributeError(f"{name} is immutable; make a new one")


def no_formula(name: str) -> TypeError:
    """Why a class cannot be a margin loss."""
    return TypeError(f"{shorten(name)} has no compiled formula; subclass a loss such as Hinge instead")


def unknown(
    argument: str, value: Any, known: Iterable[str], more: str = "", what: str = "a name or a loss object"
) -> TypeError | ValueError:
    """Why an argument names no loss; `more` goes behind the names that it may be, `what` is what it must be."""
    if not isinstance(value, str):
        return TypeError(f"{argument} must be {what}, got {describe(value)}")
    return ValueError(f"{argument} is {quote(value)}, must be one of {', '.join(known)}{more}")
