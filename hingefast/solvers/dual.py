"""The dual of a problem whose loss is the hinge or of the S family: a box and a diagonal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast.solvers.linear_problem import LinearProblem

__all__ = ["DualBox"]

Array = npt.NDArray[Any]


class DualBox:
    """The dual problem in units of alpha: the largest of t*sum(a) - D/2 . a^2 - 1/2*|w|^2 - k/2*b^2 for 0 <= a <= U.

    w is the sum of y_i*a_i*x_i, and k*b that of y_i*a_i; an intercept without a penalty makes the latter 0.

    Attributes
    ----------
    margin : float
        t.
    upper, diagonal : ndarray of shape (n_rows,)
        U, inf where there is no end, and D.
    has_end : bool
        Whether U is finite.
    intercept_share : float
        k: the intercept's penalty in units of alpha; inf without an intercept.
    problem : LinearProblem
    """

    def __init__(self, problem: LinearProblem) -> None:
        margin, steepest, compliance = problem.loss._bound.box
        weights = np.broadcast_to(np.asarray(problem.weights) / problem.alpha, problem.n_rows)
        self.problem = problem
        self.margin = margin
        self.upper = weights * steepest
        self.has_end = steepest < math.inf
        self.diagonal = compliance / weights
        self.intercept_share = problem.intercept_alpha / problem.alpha if problem.has_intercept else math.inf

    def bound(self, dual: Array, combined: Array) -> float:
        """The dual objective times alpha; `combined` is ``problem.combine(y*dual)``.

        An intercept without a penalty needs a dual whose sum of y_i*a_i is 0: of the sign that has more, all are made
        smaller by the same factor.
        """
        problem = self.problem
        if self.intercept_share == 0 and combined[-1] != 0:
            of_sign = problem.signs == math.copysign(1.0, combined[-1])
            total = float(dual[of_sign].sum())
            dual = np.where(of_sign, dual * ((total - abs(combined[-1])) / total), dual)
            combined = problem.combine(problem.signs * dual)
        coefs = combined[: problem.n_coefs]
        squares = float(np.dot(coefs, coefs))
        if problem.has_intercept and self.intercept_share > 0:
            squares += float(combined[-1]) ** 2 / self.intercept_share
        linear = self.margin * float(dual.sum()) - 0.5 * float(np.dot(self.diagonal * dual, dual))
        return float(problem.alpha * (linear - 0.5 * squares))
