"""A primal-dual interior-point method for losses whose dual is a box and a diagonal: the hinge and the S family.

In units of alpha the dual variables a_i of the rows are in [0, U_i], and a_i*u - D_i/2*a_i^2 is at its largest
c_i*phi, where u is what the margin y_i*z_i is short of t. The conditions of the minimum are

    y_i*z_i + D_i*a_i - t = p_i - q_i,    a_i*p_i = 0,    (U_i - a_i)*q_i = 0,    p, q >= 0,
    w = sum of y_i*a_i*x_i,    k*b = sum of y_i*a_i,

k the share of the intercept's penalty, 0 where it has none. Newton's method on them, with products that are held
above 0 and led to it together, takes some 20 to 50 iterations whatever the penalty, each X.T @ Theta @ X, one factor
and two passes (Mehrotra, On the implementation of a primal-dual interior point method, SIAM J. Optim. 2, 1992).

The certificate: a is inside the box all along, so its dual objective bounds the minimum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.rows import Interior
from hingefast.solvers.dual import DualBox
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem, solution

__all__ = ["interior_point"]

Array = npt.NDArray[Any]

# How far a step goes towards the boundary, at most.
TO_BOUNDARY = 0.995


def interior_point(
    problem: LinearProblem, theta: Array, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """Minimise from theta = 0 on, whatever is given: a warm start would be on the boundary."""
    box = DualBox(problem)
    strengths = problem.penalties / problem.alpha
    theta = np.zeros(problem.size)
    a = 0.5 * box.upper if box.has_end else 0.5 * max(box.margin, 1.0) / box.diagonal
    rows = Interior(problem.signs, box.upper, box.diagonal, box.margin, a)

    def scores_along(step: Array) -> Array:
        return problem.scores(step) if np.isfinite(step).all() else np.full(problem.n_rows, math.nan)

    while True:
        combined = problem.combine(problem.signs * a)
        value = problem.value(rows.scores) + problem.penalty(theta)
        bound = box.bound(a, problem.coefs(combined), problem.intercepts(combined))
        yield Iterate(theta, value, bound, dual=a, passes=problem.passes)
        products, distance = rows.look()
        if not (distance > 0 and products > 0):
            return  # rounding has led to the boundary
        matrix = problem.products(rows.weights)
        matrix[np.diag_indices_from(matrix)] += strengths
        right = combined - strengths * theta
        # Where Newton's own step leads says how far the products should be led now, and its error what to correct.
        step = solution(matrix, right + problem.combine(rows.right))
        linear, square, steepest = rows.predict(scores_along(step))
        length = _length(steepest, 1.0)
        left = max(products + length * (linear + length * square), 0.0)
        rows.correct((left / products) ** 3 * products / rows.n_products)
        step = solution(matrix, right + problem.combine(rows.right))
        along = scores_along(step)
        length = _length(rows.steepest(along), TO_BOUNDARY)
        if not (length > 0 and np.isfinite(step).all()):
            return
        theta += length * step
        rows.move(along, length)
        if problem.dtype != np.float64:  # sums of rounded steps are not the scores
            problem.scores(theta, rows.scores)


def _length(steepest: float, share: float) -> float:
    """The longest step, of at most 1, that keeps all inside: so much of the way to the boundary."""
    return share / -steepest if -steepest > share else 1.0
