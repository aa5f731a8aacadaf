"""L-BFGS-B, SciPy's, for what no other method covers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast.checks import fits
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem, penalties_of

__all__ = ["lbfgs"]

Array = npt.NDArray[Any]

# Pairs of steps and changes of the gradient that are remembered: the default of SciPy.
MEMORY = 10


def lbfgs(problem: LinearProblem, theta: Array, accept: Callable[[Iterate], bool]) -> None:
    """Minimise the whole objective of a problem from theta on, until an iterate is accepted.

    The bound is that of Newton's method (newton.py), where all numbers of theta have a penalty.
    """
    minimize = fits.scipy_minimize()
    objective = problem.objective
    penalties = penalties_of(objective, objective._width)
    is_bounded = bool(np.all(penalties > 0))
    now = Iterate(theta, math.inf)

    def value_and_grad(theta: Array) -> tuple[float, Array]:
        problem.passes += 1
        value, grad = objective.value_and_grad(theta)
        bound = -math.inf
        if is_bounded:
            bound = value - float(np.sum(grad**2 / penalties)) / 2
        if value <= now.value:
            now.theta, now.value, now.bound = theta.copy(), value, bound
        now.passes = problem.passes
        return value, grad

    def callback(theta: Array) -> None:
        if accept(now):
            raise StopIteration

    value_and_grad(theta)
    if accept(now):
        return
    # It ends when a number of theta no longer changes; whoever accepts decides before.
    options = {"maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0, "maxiter": 10**9, "maxfun": 10**9}
    with np.errstate(all="ignore"):  # it divides by the last change of the gradient, which may be all but 0
        minimize(value_and_grad, theta, jac=True, method="L-BFGS-B", callback=callback, options=options)
