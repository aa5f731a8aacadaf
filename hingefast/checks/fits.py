"""The arguments of `minimize`, converted or refused, and what came of it in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast.checks.arguments import as_theta
from hingefast.checks.arrays import as_integer, as_number, describe, quote, shorten

__all__ = [
    "as_limit",
    "as_method",
    "as_seed",
    "as_start",
    "as_tolerance",
    "check_callback",
    "check_objective",
    "outcome",
    "refused",
    "scipy_minimize",
]


def check_objective(objective: Any, kind: type) -> None:
    """Refuse what is no `Objective`."""
    if not isinstance(objective, kind):
        raise TypeError(f"objective must be a hingefast.Objective, got {describe(objective)}")


def as_tolerance(tol: Any) -> float:
    """`tol` as a float."""
    number = as_number(tol, "tol")
    if not 0 <= number < math.inf:
        raise ValueError(f"tol is {number}, must be finite and >= 0")
    return number


def as_limit(max_iter: Any) -> int | None:
    """`max_iter` as an int, or None."""
    if max_iter is None:
        return None
    number = as_integer(max_iter, "max_iter")
    if number < 0:
        raise ValueError(f"max_iter is {shorten(number)}, must be >= 0")
    return number


def as_seed(random_state: Any) -> int:
    """`random_state` as an int."""
    number = as_integer(random_state, "random_state")
    if not 0 <= number < 2**32:
        raise ValueError(f"random_state is {shorten(number)}, must be in [0, 2**32)")
    return number


def as_start(x0: Any, size: int) -> npt.NDArray[np.float64]:
    """A float64 copy of `x0`."""
    start = as_theta(x0, "x0", size).astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(start))
    if wrong.size:
        raise ValueError(f"x0[{wrong[0]}] is {start[wrong[0]]}, must be finite")
    return start


def as_method(method: Any, known: Iterable[str]) -> str:
    """`method`, if there is one of that name."""
    names = ["auto", *known]
    if not isinstance(method, str):
        raise TypeError(f"method must be a name, got {describe(method)}")
    if method not in names:
        raise ValueError(f"method is {quote(method)}, must be one of {', '.join(names)}")
    return str(method)


def check_callback(callback: Any) -> None:
    """Refuse a callback that cannot be called."""
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got {describe(callback)}")


def refused(method: str | None, why: str | None, loss: Any) -> ValueError:
    """Why a method cannot minimise an objective; None: none can."""
    if method is None:
        return ValueError(
            f"no method minimises {shorten(loss)}; use a smooth base, such as 'weston_watkins:smooth_hinge'"
        )
    return ValueError(f"method {method!r} {why}, got {shorten(loss)}")


def scipy_minimize() -> Callable[..., Any]:
    """`scipy.optimize.minimize`."""
    try:
        from scipy.optimize import minimize  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise ImportError("method 'lbfgs' is SciPy's, which is not installed: pip install scipy") from None
    return minimize  # type: ignore[no-any-return]


def outcome(status: str, gap: float, tol: float, limits: tuple[int, str], why_no_gap: str | None) -> str:
    """What `minimize` reached and why it ended, as a sentence.

    Parameters
    ----------
    status : str
        "converged", "out of iterations", "stopped" or "stuck".
    limits : tuple of int and str
        Iterations, and the method.
    why_no_gap : str or None
        Why nothing is proved, if nothing is.
    """
    reached = f"the relative duality gap is {gap:.3g}"
    if math.isnan(gap):
        reached = f"no duality gap is known: {why_no_gap or 'no bound was found yet'}"
    nit, method = limits
    if status == "converged" and math.isnan(gap):
        return f"converged: the method expects no more than tol={tol:g} to be left; {reached}"
    if status == "converged":
        return f"converged: {reached}, at most tol={tol:g}"
    if status == "out of iterations":
        return f"not converged after {nit} iterations: {reached}, tol={tol:g}; raise max_iter, or scale the features"
    if status == "stopped":
        return f"stopped by the callback after {nit} iterations: {reached}"
    return f"not converged: {method!r} finds no lower value, as a rule because of rounding; {reached}, tol={tol:g}"
