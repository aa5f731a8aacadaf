"""The arguments of estimators, converted or refused in scikit-learn's words where it has them, and their warnings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast.checks.arrays import as_number, describe, quote, shorten

__all__ = [
    "as_choice",
    "as_penalty",
    "as_share",
    "as_strength",
    "check_class_weights",
    "mixed_labels",
    "no_class_weight",
    "no_sklearn",
    "no_weight",
    "not_converged",
    "one_class",
]


def no_sklearn(error: ImportError) -> ImportError:
    """Why `hingefast.sklearn` cannot be imported."""
    return ImportError(
        f'hingefast.sklearn needs scikit-learn 1.6 or later ({shorten(error)}): pip install "hingefast[sklearn]"'
    )


def as_penalty(C: Any) -> float:
    """`C` as a float."""
    number = as_number(C, "C")
    if not 0 < number < math.inf:
        raise ValueError(f"C is {number}, must be finite and > 0")
    return number


def as_share(intercept_scaling: Any) -> float:
    """How many times as strong as the other one the penalty on the intercept is; 0: it has none."""
    scaling = as_number(intercept_scaling, "intercept_scaling")
    share = 1 / scaling / scaling if scaling > 0 else math.inf
    if not share < math.inf:
        raise ValueError(
            f"intercept_scaling is {scaling}, must be > 0 and not tiny; inf is an intercept without a penalty"
        )
    return share


def as_choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """An argument that is one of some names."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a name, got {describe(value)}")
    if value not in choices:
        raise ValueError(f"{name} is {quote(value)}, must be one of {', '.join(choices)}")
    return str(value)


def one_class(labels: list[Any]) -> ValueError:
    """Why labels, of rows with a weight, that are all the same cannot be fitted."""
    return ValueError(
        "This solver needs samples of at least 2 classes in the data, but the data contains only one class: "
        f"{quote(*labels)}"
    )


def no_weight() -> ValueError:
    """Why weights that are all 0 cannot be fitted."""
    return ValueError("Sample weights must contain at least one non-zero number.")


def as_strength(C: float, total: float) -> float:
    """Alpha of an objective of C whose weights have this sum."""
    with np.errstate(over="ignore", divide="ignore"):
        alpha = float(1 / (np.float64(C) * total))
    if not 0 < alpha < math.inf:
        raise ValueError(
            f"C times the sum of the weights is {C:g} * {total:g}, must be finite and have a finite reciprocal"
        )
    return alpha


def no_class_weight(class_weight: Any) -> TypeError | ValueError:
    """Why an argument gives no weights of classes."""
    if isinstance(class_weight, str):
        return ValueError(f"class_weight is {quote(class_weight)}, must be a dict, 'balanced' or None")
    return TypeError(f"class_weight must be a dict, 'balanced' or None, got {describe(class_weight)}")


def check_class_weights(weights: npt.NDArray[Any], classes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Weights of classes, if they are finite and >= 0."""
    wrong = np.flatnonzero(~((weights >= 0) & (weights < math.inf)))
    if wrong.size:
        label = quote(classes[wrong[0]])
        raise ValueError(f"class_weight[{label}] is {weights[wrong[0]]}, must be finite and >= 0")
    return weights


def mixed_labels(error: TypeError) -> TypeError:
    """Why labels cannot be told apart or brought in an order."""
    return TypeError(f"y must hold labels of one kind, such as strings or integers: {shorten(error)}")


def not_converged(name: str, gap: float, tol: float, n_iter: int, method: str, *, is_stuck: bool) -> str:
    """How far an estimator came, and what to do; `is_stuck`: it ended because it got no further."""
    reached = (
        "no duality gap is known"
        if math.isnan(gap)
        else f"the relative duality gap is {gap:.3g}, tol={tol:g},"
    )
    advice = "raise max_iter, scale the features, or lower C"
    if is_stuck:
        advice = (
            "it gets no further, as a rule because of rounding: scale the features, or try another solver"
        )
    return f"{name} did not converge: {reached} after {n_iter} iterations of {method!r}; {advice}"
