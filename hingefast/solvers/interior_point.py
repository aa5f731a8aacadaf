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

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast.solvers.dual import DualBox
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem

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
    point = _Point(problem, box)
    while True:
        combined = problem.combine(point.y * point.a)
        value = problem.value(point.scores) + problem.penalty(theta)
        yield Iterate(theta, value, box.bound(point.a, combined), dual=point.a)
        if not point.is_inside():
            return
        point.look()
        matrix = problem.products(point.weights)
        matrix[np.diag_indices_from(matrix)] += strengths
        right = combined - strengths * theta
        # Where Newton's step alone would lead says how far the products should be led now, and its error, what to
        # correct.
        steps = point.steps(matrix, right, 0.0, 0.0, 0.0)
        shrunk = point.mean_after(steps, point.length(steps, 1.0)) / point.mean
        target = max(shrunk, 0.0) ** 3 * point.mean
        steps = point.steps(matrix, right, target, steps.a * steps.p, -steps.a * steps.q)
        length = point.length(steps, TO_BOUNDARY)
        if not (length > 0 and np.isfinite(steps.theta).all()):
            return
        theta += length * steps.theta
        point.move(steps, length)


@dataclasses.dataclass
class _Steps:
    """A step in theta, and what it makes of scores and variables of rows."""

    theta: Array
    scores: Array
    a: Array
    p: Array
    q: Array


class _Point:
    """The variables of the rows, strictly inside their bounds."""

    def __init__(self, problem: LinearProblem, box: DualBox) -> None:
        self.problem, self.box = problem, box
        self.y = problem.y.astype(np.float64)
        self.scores = np.zeros(problem.n_rows)
        self.has_end = bool(np.isfinite(box.upper).all())  # of all rows, or of none
        self.a = 0.5 * box.upper if self.has_end else 0.5 * max(box.margin, 1.0) / box.diagonal
        self.p = np.ones(problem.n_rows)
        self.q = np.full(problem.n_rows, float(self.has_end))

    def is_inside(self) -> bool:
        """Whether rounding has not led to the boundary."""
        return bool(self.a.min(initial=math.inf) > 0 and (self.box.upper - self.a).min(initial=math.inf) > 0)

    def look(self) -> None:
        """Find the weights of the rows, how far they are from the conditions, and the mean of the products."""
        self.room = self.box.upper - self.a
        self.per_a, self.per_room = self.p / self.a, self.q / self.room
        self.weights = 1 / (self.box.diagonal + self.per_a + self.per_room)
        self.excess = self.y * self.scores + self.box.diagonal * self.a - self.box.margin
        self.mean = self._mean(
            float(np.dot(self.a, self.p)), float(np.dot(self.room, self.q)) if self.has_end else 0.0
        )

    def steps(
        self, matrix: Array, right: Array, target: float, of_a: Array | float, of_room: Array | float
    ) -> _Steps:
        """Newton's step to products that are `target`, less corrections."""
        to_a, to_room = (target - of_a) / self.a, (target - of_room) / self.room
        wanted = to_a - to_room - self.excess
        step = np.linalg.solve(matrix, right + self.problem.combine(self.y * self.weights * wanted))
        along = self.problem.scores(step)
        da = self.weights * (wanted - self.y * along)
        dq = to_room - self.q + self.per_room * da if self.has_end else self.q
        return _Steps(step, along, da, to_a - self.p - self.per_a * da, dq)

    def length(self, steps: _Steps, share: float) -> float:
        """The longest step, of at most 1, that keeps all inside: so much of the way to the boundary."""
        length = 1.0
        pairs = [(self.a, steps.a), (self.p, steps.p)]
        if self.has_end:
            pairs += [(self.room, -steps.a), (self.q, steps.q)]
        for x, dx in pairs:
            steepest = float((dx / x).min(initial=0.0))
            if -steepest * length > share:
                length = share / -steepest
        return length

    def mean_after(self, steps: _Steps, length: float) -> float:
        """The mean of the products after a step."""
        of_a = float(np.dot(self.a + length * steps.a, self.p + length * steps.p))
        if not self.has_end:
            return self._mean(of_a, 0.0)
        return self._mean(of_a, float(np.dot(self.room - length * steps.a, self.q + length * steps.q)))

    def _mean(self, of_a: float, of_room: float) -> float:
        return (of_a + of_room) / ((1 + self.has_end) * max(self.problem.n_rows, 1))

    def move(self, steps: _Steps, length: float) -> None:
        """Take a step."""
        self.scores += length * steps.scores
        self.a += length * steps.a
        self.p += length * steps.p
        if self.has_end:
            self.q += length * steps.q
