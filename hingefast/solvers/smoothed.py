"""The hinge by Newton's method on Huberised hinges that come closer to it.

A Huberised hinge (`HuberizedHinge`) is the hinge but for a parabola over margins within h of its corner. From the
minimum for one h Newton's method goes on with a smaller one (Chapelle, Training a support vector machine in the primal,
Neural Computation 19, 2007). Only rows on the parabola have a second derivative, fewer the smaller h is, so that a
Hessian costs less than in an interior-point method, which needs all rows for it.

The certificate: both losses have the same box, so slopes of one are dual variables of the other. Let the slope of a
row be -c*s with 0 <= s <= 1. Its dual objective is c*h*s*(1 - s) lower for the hinge: when no more than the sum of
these is left to the minimum for one h, the next has its turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast.losses import HuberizedHinge
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem
from hingefast.solvers.newton import (
    IDLE,
    MAX_COLUMNS,
    NEAR,
    OneScore,
    begin,
    dual_bound,
    iterates,
    newton_step,
    search_along,
)

__all__ = ["smoothed_newton"]

Array = npt.NDArray[Any]

# The first h, beside the margin at which the hinge begins; how much smaller the next may be, and the last.
WIDEST = 0.25
RATIO = 8.0
NARROWEST = 1e-11
# The last h is such that what the parabola leaves is so much of what is wanted.
SHARE = 0.4


def smoothed_newton(
    problem: LinearProblem, theta: Array, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """Minimise from theta on, which is changed. Neither `dual` nor `seed` matters."""
    margin = problem.loss._bound.box[0]
    if margin == 0:
        theta[:] = 0  # which loses nothing
    if not theta.any():
        yield Iterate(theta, problem.value_at_0(), 0.0, passes=problem.passes)
    half_width, narrowest = WIDEST * margin, max(NARROWEST * margin, 1e-300)
    if not half_width > narrowest:
        yield Iterate(
            theta, problem.value(problem.scores(theta)) + problem.penalty(theta), passes=problem.passes
        )
        return
    losses = OneScore(problem.with_loss(HuberizedHinge(margin, half_width)))
    begin(losses, theta)
    step = 0.0
    while True:
        before = math.inf
        for iterate in iterates(losses, theta, step):
            value = problem.value(losses.scores) + problem.penalty(theta)
            on_parabola = half_width * _on_parabola(problem, losses.slopes)
            left = min(iterate.decrease, iterate.value - iterate.bound)
            if not losses.is_feasible and left <= NEAR * abs(value):
                losses.balance()
            bound = dual_bound(problem, *losses.dual) if losses.is_feasible else -math.inf
            problem.passes = iterate.passes
            yield Iterate(theta, value, bound, iterate.decrease + on_parabola, passes=iterate.passes)
            if left <= on_parabola or not before - iterate.value > IDLE * abs(iterate.value):
                break
            before = iterate.value
        # What the parabola leaves falls with the square of h, as fewer rows are on it.
        enough = SHARE * tol * abs(value)
        ratio = RATIO
        while ratio > 2 and on_parabola * 4 <= enough * ratio * ratio:
            ratio /= 2
        if not half_width > narrowest * ratio:
            return
        step = _predict(losses, theta, problem, half_width, ratio)
        half_width /= ratio


def _predict(
    losses: OneScore, theta: Array, problem: LinearProblem, half_width: float, ratio: float
) -> float:
    """Go where the rows on the parabola have the same slopes when it is so many times as narrow.

    That is a step of Newton's method with these rows on a parabola without ends.
    """
    loss = HuberizedHinge(problem.loss._bound.box[0], half_width / ratio)
    if problem.n_features > MAX_COLUMNS:
        losses.take(problem.with_loss(loss))
        return 0.0
    hessian = losses.hessian()
    hessian *= ratio
    losses.made_of *= ratio
    assert problem.signs is not None
    slopes = losses.along  # not needed any more
    slopes[:] = problem.signs
    slopes *= 0.5 * problem.weights
    slopes += losses.slopes
    slopes *= losses.curvature
    slopes *= (ratio - 1) * 2 * half_width / problem.weights
    slopes += losses.slopes
    grad = problem.combine(slopes) + problem.penalties * theta
    direction = newton_step(hessian, problem.penalties, grad)
    losses.take(problem.with_loss(loss))
    problem.scores(direction, losses.along)
    step = search_along(losses, theta, direction)
    if step > 0:
        theta += step * direction
        losses.is_fresh = False
    return step


def _on_parabola(problem: LinearProblem, slopes: Array) -> float:
    """The sum of c*s*(1 - s) over rows of slope -c*s."""
    assert problem.signs is not None
    return max(-float(np.dot(problem.signs, slopes)) - problem.squares_of_slopes(slopes), 0.0)
