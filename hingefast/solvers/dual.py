"""The dual of a problem whose loss is the hinge or of the S family: a box and a diagonal, for each class its own."""

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
    signs : ndarray of shape (n_rows, 1), or (n_rows, K) for one class against the rest
        y.
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
        self.signs = (
            problem.signs[:, np.newaxis]
            if problem.signs is not None
            else np.where(problem.y[:, np.newaxis] == np.arange(problem.width), 1.0, -1.0)
        )
        self.intercept_share = problem.intercept_alpha / problem.alpha if problem.has_intercept else math.inf

    def slopes(self, dual: Array) -> Array:
        """y_i*a_i, in the shape of scores."""
        return (self.signs * dual.reshape(self.signs.shape)).reshape(self.problem.shape_of_scores)

    def bound(self, dual: Array, coefs: Array, totals: Array) -> float:
        """The dual objective times alpha.

        Parameters
        ----------
        dual : ndarray
        coefs, totals : ndarray of shape (width, n_features) and (width,)
            The sums of y_i*a_i*x_i and of y_i*a_i. An intercept without a penalty needs a dual whose total is 0: of the
            sign that has more, all are made smaller by the same factor.
        """
        problem = self.problem
        dual = dual.reshape(self.signs.shape)
        if problem.has_intercept and self.intercept_share == 0 and totals.any():
            has_more = self.signs == np.where(totals > 0, 1, -1)
            of_sign = np.where(has_more, dual, 0.0).sum(axis=0)
            factors = 1 - np.abs(totals) / np.where(of_sign > 0, of_sign, 1.0)
            dual = np.where(has_more, dual * factors, dual)
            coefs = problem.coefs(problem.combine(self.slopes(dual)))
        squares = float(np.vdot(coefs, coefs))
        if problem.has_intercept and self.intercept_share > 0:
            squares += float(np.vdot(totals, totals)) / self.intercept_share
        linear = self.margin * float(dual.sum()) - 0.5 * float(np.sum(self.diagonal[:, np.newaxis] * dual**2))
        return float(problem.alpha * (linear - 0.5 * squares))
