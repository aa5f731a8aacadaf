"""Newton's method for losses with a second derivative, with an exact line search on stored scores.

The Hessian is X.T @ D @ X, D the second derivatives of the rows' losses, plus the penalty. Of few columns it is made
and factorised; of many, and of K classes, conjugate gradients multiply with it. The losses are convex, and where
their slope has corners, as that of the squared hinge, D is a generalised derivative: with an exact line search the
method still converges in a few steps (Mangasarian, A finite Newton method for classification, Optimization Methods
and Software 17, 2002).

The certificate. The slopes of the losses are dual variables. Of losses whose dual is a box and a diagonal the dual
objective is computed from them; where the intercept has no penalty, after the sum of the slopes was made 0 by making
those of one sign smaller. Of other losses the duality gap is |g|^2/(2*alpha), g the gradient (Fenchel), if an intercept
without a penalty is at its minimum, which one more line search on the scores sees to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast.checks.explain import explained
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem, solution

__all__ = [
    "IDLE",
    "MAX_COLUMNS",
    "NEAR",
    "OneScore",
    "begin",
    "dual_bound",
    "iterates",
    "newton",
    "newton_step",
    "search_along",
]

Array = npt.NDArray[Any]

# Columns of which the Hessian is made: 8 MB of it, and a factor of it takes less than a few passes.
MAX_COLUMNS = 1000
# Evaluations of a line search, at most, and where it ends: the slope is so much of that at its beginning.
MAX_EVALUATIONS = 60
SLOPE_LEFT = 1e-2
# A step that gains no more than so much of the value gains nothing but rounding.
IDLE = 1e-13
# Rounding of a sum of slopes that cancel, beside the sum of their sizes, and of values.
ROUNDING, ROUNDING_OF_FLOAT32 = 1e-14, 1e-6
# Scores are computed anew when they have become so many times as small.
STRAYED = 8
# Where no more than this of the value is expected to be left, a bound for an intercept without a penalty is looked for.
NEAR = 0.1
# The method begins with every eighth row, and that with every eighth of these, while that leaves so many rows a column;
# and how many steps it takes there, at most. Where the objective of all rows is more than so many times that of the
# sample, this says nothing about the rest.
SAMPLE, SAMPLE_ROWS, SAMPLE_STEPS = 8, 8, 20
ALIKE = 2.0
# Conjugate gradients: the residual beside the gradient at which a step is good enough (the smaller the closer to the
# minimum), and how many of them there are.
RESIDUAL = 0.1
MAX_PRODUCTS = 250


def newton(
    problem: LinearProblem, theta: Array, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """Minimise from theta on, which is changed. Neither `dual` nor `seed` nor `tol` matters."""
    losses = OneScore(problem) if problem.width == 1 else _ManyScores(problem)
    begin(losses, theta)
    return iterates(losses, theta)


def begin(losses: OneScore | _ManyScores, theta: Array) -> None:
    """Find the scores of theta; from 0 and with many rows, go near the minimum first."""
    problem = losses.problem
    has_many_rows = problem.n_rows >= SAMPLE * SAMPLE_ROWS * max(problem.size, 1)
    if has_many_rows and problem.width == 1 and not theta.any():
        _approach(problem, theta, losses.scores)
    else:
        _find_scores(problem, theta, losses.scores)
    losses.is_fresh = True


def iterates(losses: OneScore | _ManyScores, theta: Array, step: float = 0.0) -> Iterator[Iterate]:
    """Go on from theta, and change it; the scores that `losses` has still lack a step along `losses.along`."""
    problem, left = losses.problem, math.inf
    penalties = problem.penalties
    while True:
        value, slopes = losses.move(losses.along, step)
        if losses.has_strayed():
            _find_scores(problem, theta, losses.scores)
            losses.is_fresh = True
            value, slopes = losses.move(losses.along, 0.0)
        is_near = left <= NEAR * abs(value)
        if problem.frees_intercept and isinstance(losses, OneScore) and losses.needs_shift(step, is_near):
            shift = _best_shift(losses, slopes)
            if shift != 0:
                theta[-1] += shift
                value, slopes = losses.move(losses.ones, shift)
        value += problem.penalty(theta)
        sums = problem.combine(slopes)
        grad = sums + penalties * theta
        bound = losses.bound(theta, value, sums, grad, is_near)
        is_bounded = bound > -math.inf
        if is_bounded:
            yield Iterate(theta, value, bound, passes=problem.passes)
        direction = losses.direction(theta, grad)
        decrement = -float(np.dot(grad, direction))
        left = decrement / 2
        if not is_bounded:
            if left <= NEAR * abs(value):
                bound = losses.bound(theta, value, sums, grad, True)
            is_bounded = bound > -math.inf
            known = (bound, math.inf) if is_bounded else (-math.inf, left)
            yield Iterate(theta, value, *known, passes=problem.passes)
        problem.scores(direction, losses.along)
        step = search_along(losses, theta, direction, -decrement)
        if step != 0:
            theta += step * direction
            losses.is_fresh = False
        elif losses.is_fresh and (is_bounded or is_near or not problem.frees_intercept):
            return
        elif losses.is_fresh:
            left = 0.0  # there may be a bound all the same
        else:
            _find_scores(problem, theta, losses.scores)
            losses.is_fresh = True


def dual_bound(problem: LinearProblem, slopes: Array, sums: Array) -> float:
    """The objective of the dual of a loss with a box, where the slopes of the rows are minus y times the variables.

    `sums` is what `problem.combine` makes of the slopes. Nothing here depends on scores, nor on theta. The variables
    are multiplied by what is best for all of them, if the box allows it.
    """
    margin, steepest, compliance = problem.loss._bound.box
    assert problem.signs is not None
    linear = -margin * float(np.dot(problem.signs, slopes))
    square = _penalised_square(problem, sums)
    if compliance > 0:
        square += compliance * problem.squares_of_slopes(slopes)
    factor = linear / square if square > 0 else 1.0
    factor = factor if steepest == math.inf else min(factor, 1.0)
    return float(factor * (linear - 0.5 * factor * square))


def _penalised_square(problem: LinearProblem, grad: Array) -> float:
    """Squares divided by penalties, of all that has one."""
    is_penalised = problem.penalties > 0
    with np.errstate(over="ignore"):
        return float(np.sum(grad[is_penalised] ** 2 / problem.penalties[is_penalised]))


def _find_scores(problem: LinearProblem, theta: Array, out: Array) -> None:
    """The scores of theta, without a pass over X if it is 0."""
    if theta.any():
        problem.scores(theta, out)
    else:
        out[...] = 0


def _approach(problem: LinearProblem, theta: Array, scores: Array) -> None:
    """Go from 0 near the minimum by a sample of the rows, until it falls by no more than what that leaves unknown."""
    part = problem.sample(SAMPLE)
    value = math.inf
    for number, iterate in enumerate(newton(part, theta, None, 0, 0.0)):
        fall, value = value - iterate.value, iterate.value
        if number == SAMPLE_STEPS or not fall > abs(value) * part.size / part.n_rows:
            break
    problem.passes += part.passes / SAMPLE
    problem.scores(theta, scores)
    of_all = problem.value(scores) + problem.penalty(theta)
    if not (of_all <= min(ALIKE * value, problem.value_at_0()) and np.isfinite(scores).all()):
        theta[:] = scores[:] = 0  # the rest is nothing like the sample


class _Scores:
    """Where Newton's method is.

    Attributes
    ----------
    problem : LinearProblem
    scores, along, slopes : ndarray of the shape of scores
        Scores, how they change along a direction, and the slopes of the weighted losses there.
    is_fresh : bool
        Whether scores are those of theta, and not sums of what steps have added to them.
    """

    problem: LinearProblem
    scores: Array
    along: Array
    slopes: Array
    is_fresh = False
    _largest = 0.0

    def has_strayed(self) -> bool:
        """Whether scores have been so much larger than they are that what was rounded then counts now."""
        with np.errstate(over="ignore"):
            square = float(np.vdot(self.scores, self.scores))
        self._largest = square if self.is_fresh else max(self._largest, square)
        return self._largest > STRAYED**2 * square


class OneScore(_Scores):
    """The losses of one score a row, and Newton's direction from their second derivatives.

    Attributes
    ----------
    curvature : ndarray of shape (n_rows,)
        Second derivatives of the weighted losses.
    dual : tuple of ndarray
        Of a loss with a box, slopes and what `LinearProblem.combine` makes of them.
    is_feasible : bool
        Whether the dual allows these, as it always does but for an intercept without a penalty.
    """

    def __init__(self, problem: LinearProblem) -> None:
        self.take(problem)
        self.dual, self.is_feasible = (np.zeros(0), np.zeros(0)), False
        self.ones = np.ones(problem.n_rows if problem.frees_intercept else 0)
        # One array, as large ones lie on large pages; rows begin with a cache line.
        room = np.empty((5, -(-problem.n_rows // 8) * 8))[:, : problem.n_rows]
        self.scores, self.along, self.slopes, self.curvature, self.made_of = room
        # The last Hessian, without the penalty; the curvatures that it was made of are in `made_of`.
        self.products: Array | None = None

    def take(self, problem: LinearProblem) -> None:
        """Go on with another loss on the same rows."""
        self.problem = problem
        self.line = problem.line()
        self.has_box = problem.loss._bound.box is not None

    def needs_shift(self, step: float, is_near: bool) -> bool:
        """Whether an intercept without a penalty is to be put to its minimum: for the bound, or for lack of curvature.

        Not after every step: that may take the only rows off a parabola that Newton's method would see.
        """
        return step == 0 or (is_near and not self.has_box) or not self.curvature.any()

    def bound(self, theta: Array, value: float, sums: Array, grad: Array, is_near: bool) -> float:
        """What the minimum is not below; -inf if that is not known, or not worth knowing far from it."""
        problem = self.problem
        if not self.has_box or problem.alpha == 0:
            return _fenchel_bound(problem, theta, value, grad, self.slopes)
        self.dual = self.slopes, sums
        self.is_feasible = not problem.frees_intercept
        if is_near and not self.is_feasible:
            self.balance()
        return dual_bound(problem, *self.dual) if self.is_feasible else -math.inf

    def balance(self) -> None:
        """Make `dual` feasible for an intercept without a penalty: slopes whose sum is 0.

        Those of the sign that has more are made smaller.
        """
        slopes, sums = self.dual
        total = sums[-1]
        if total != 0:
            has_more = slopes * total > 0
            of_sign = float(slopes[has_more].sum())
            slopes = np.where(has_more, slopes * (1 - total / of_sign if of_sign != 0 else 0.0), slopes)
            sums = self.problem.combine(slopes)
            sums[-1] = 0
        self.dual, self.is_feasible = (slopes, sums), True

    def move(self, along: Array, step: float) -> tuple[float, Array]:
        """Add step*along to the scores; value and slopes there. Second derivatives are kept."""
        by = None if step == 0 else along
        return self.line.at(self.scores, self.slopes, self.curvature, by, step), self.slopes

    def derivatives(self, along: Array, t: float) -> tuple[float, float]:
        """First and second derivative in t of the losses at scores + t*along."""
        both: tuple[float, float] = self.line.along(self.scores, along, t)
        return both

    def direction(self, theta: Array, grad: Array) -> Array:
        """Newton's direction, with many columns roughly."""
        problem, penalties = self.problem, self.problem.penalties
        if problem.n_features <= MAX_COLUMNS:
            return newton_step(self.hessian(), penalties, grad)
        return _conjugate_gradients(
            lambda v: problem.combine(self.curvature * problem.scores(v)) + penalties * v,
            problem.squares(self.curvature) + penalties,
            grad,
        )

    def hessian(self) -> Array:
        """X.T @ diag(curvature) @ X, from the last one where few rows differ."""
        curvature = change = self.curvature
        if self.products is not None:
            change = np.subtract(curvature, self.made_of, out=self.made_of)
        if self.products is None or 2 * np.count_nonzero(change) >= np.count_nonzero(curvature):
            self.products = self.problem.products(curvature)
        else:
            self.products += self.problem.products(change)
        self.made_of[:] = curvature
        return self.products


class _ManyScores(_Scores):
    """The losses of K scores a row, which meet in second derivatives: a Hessian is only multiplied with."""

    def __init__(self, problem: LinearProblem) -> None:
        self.problem = problem
        self.scores, self.along = (np.zeros(problem.shape_of_scores) for _ in range(2))

    def move(self, along: Array, step: float) -> tuple[float, Array]:
        """Add step*along to the scores; value and slopes there."""
        if step != 0:
            self.scores += step * along
        self.slopes = self.problem.slopes(self.scores)
        return self.problem.value(self.scores), self.slopes

    def derivatives(self, along: Array, t: float) -> tuple[float, float]:
        """First derivative in t of the losses at scores + t*along; the second is not known."""
        return float(np.vdot(self.problem.slopes(self.scores + t * along), along)), math.nan

    def bound(self, theta: Array, value: float, sums: Array, grad: Array, is_near: bool) -> float:
        """What the minimum is not below; -inf if that is not known."""
        return _fenchel_bound(self.problem, theta, value, grad, self.slopes)

    def direction(self, theta: Array, grad: Array) -> Array:
        """Newton's direction, roughly."""
        whole, out = self.problem.objective._problem, np.empty_like(theta)

        def product(v: Array) -> Array:
            self.problem.passes += 1.5
            explained(whole.hessp, theta, v, out)
            return out

        return _conjugate_gradients(product, np.ones_like(grad), grad)


def _rounding(problem: LinearProblem, slopes: Array) -> float:
    """What is left of a sum of slopes that cancel."""
    rounding = ROUNDING if problem.dtype == np.float64 else ROUNDING_OF_FLOAT32
    return float(rounding * math.sqrt(slopes.size) * np.abs(slopes).sum())


def _fenchel_bound(problem: LinearProblem, theta: Array, value: float, grad: Array, slopes: Array) -> float:
    """The objective of the dual where the variables are the slopes: value - |grad|^2/(2*alpha), less rounding."""
    if problem.alpha == 0:
        return -math.inf
    uncertain = 0.0
    if problem.frees_intercept:
        of_intercepts = np.abs(grad[problem.n_coefs :])
        if not of_intercepts.max() <= _rounding(problem, slopes):
            return -math.inf
        uncertain = float(np.dot(of_intercepts, np.abs(theta[problem.n_coefs :])))
    gap = 0.5 * _penalised_square(problem, grad)
    return value - gap - ROUNDING * (value + gap) - uncertain


def newton_step(hessian: Array, penalties: Array, grad: Array) -> Array:
    """Of (hessian + diag(penalties)) @ x = -grad, whatever the rank of the hessian."""
    # Without a penalty, rows without curvature, or columns that depend on each other: rounding decides about the sign
    # of what is all but 0, in units of each column.
    own = hessian.diagonal() + penalties
    least = np.finfo(np.float64).eps * len(penalties) * np.where(own > 0, own, own.max(initial=0.0) or 1.0)
    whole = hessian.copy()
    whole[np.diag_indices_from(whole)] += np.maximum(penalties, least)
    return solution(whole, -grad)


def _conjugate_gradients(product: Callable[[Array], Array], diagonal: Array, grad: Array) -> Array:
    """Solve hessian @ x = -grad roughly, preconditioned by a diagonal; `product` multiplies with the hessian."""
    scale = np.where(diagonal > 0, diagonal, 1.0)
    x = np.zeros_like(grad)
    residual = -grad
    direction = residual / scale
    norm = float(np.dot(residual, direction))
    target = RESIDUAL**2 * min(1.0, norm) * norm
    for _ in range(MAX_PRODUCTS):
        if not norm > target:
            break
        bent = product(direction)
        bend = float(np.dot(direction, bent))
        if not bend > 0:
            return x if x.any() else direction
        step = norm / bend
        x += step * direction
        residual -= step * bent
        scaled = residual / scale
        before, norm = norm, float(np.dot(residual, scaled))
        direction = scaled + norm / before * direction
    return x


def search_along(
    losses: OneScore | _ManyScores, theta: Array, direction: Array, slope: float | None = None
) -> float:
    """How far to go along a direction, of which `losses` has the scores; `slope` is the first derivative at theta."""
    penalties = losses.problem.penalties
    bend = float(np.dot(penalties * direction, direction))
    at_theta = float(np.dot(penalties * theta, direction))

    def derivatives(t: float) -> tuple[float, float]:
        first, second = losses.derivatives(losses.along, t)
        return first + at_theta + t * bend, second + bend

    if slope is None:
        slope = derivatives(0.0)[0]
    return _search(derivatives, slope, SLOPE_LEFT * -slope)


def _best_shift(losses: OneScore, slopes: Array) -> float:
    """What to add to all scores so that the sum of losses is least."""
    first, second = losses.derivatives(losses.ones, 0.0)
    target = _rounding(losses.problem, slopes)
    if not abs(first) > target:
        return 0.0
    sign = -math.copysign(1.0, first)
    start = abs(first) / second if second > 0 else 1.0

    def mirrored(t: float) -> tuple[float, float]:
        first, second = losses.derivatives(losses.ones, sign * t)
        return sign * first, second

    return sign * _search(mirrored, -abs(first), target, start)


def _search(
    derivatives: Callable[[float], tuple[float, float]], slope: float, target: float, start: float = 1.0
) -> float:
    """A t > 0 where a convex function is about least, by Newton's method between bounds; 0 if none is found.

    Parameters
    ----------
    derivatives : callable
        t -> first and second derivative.
    slope : float
        The first derivative at 0.
    target : float
        The slope at which it ends.
    start : float
        The first t tried.
    """
    low, high, t = 0.0, math.inf, start
    if not slope < 0:
        return 0.0
    for _ in range(MAX_EVALUATIONS):
        first, second = derivatives(t)
        # Beyond the minimum it may have risen, if that is not near.
        if not abs(first) > target and not first > 0.5 * t * second:
            return t
        if first < 0:
            low = t
        else:
            high = t
        guess = t - first / second if second > 0 else math.inf
        if high == math.inf:
            guess = min(max(guess, 1.1 * t), 10 * t)
        elif not low < guess < high:
            guess = 0.5 * (low + high)
        if guess in (low, high):
            break
        t = guess
    return low
