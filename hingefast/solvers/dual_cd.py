"""Dual coordinate descent for losses whose dual is a box and a diagonal (dual.py), its kernel in `_kernels/dual.pyx`.

Rows are visited in random order, each with the exact step in its dual variable; those that rest at a bound are
visited no more (Hsieh et al., A dual coordinate descent method for large-scale linear SVM, ICML 2008), until a check
of all rows finds that they should.

The intercept. As a feature that is 1 in every row it couples all rows: on text that costs 1.5 to 2.3 times the visits
of a problem without one. Here it is found from outside, by proximal points: while rows are visited the intercept
moves only by a stiff spring about a centre, and after each pass the centre moves on, by what the slope of the last
passes says, within bounds. The same works without a penalty on the intercept, which no method of this kind has by
itself.

The certificate. At a check the scores of all rows give the value, and the dual variables the bound. Between them the
rows' own shares of the gap, which each visit adds up, tell when a check is worth it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.dual import ClassDescent, Descent
from hingefast.checks.explain import explained
from hingefast.solvers.dual import DualBox
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem

__all__ = ["dual_cd"]

Array = npt.NDArray[Any]

# The spring: its share of a row's curvature. On rcv1 and imdb 0.01 to 0.03 took the fewest visits, which were those
# without an intercept; 1 is a feature.
SPRING = 0.01
# How the gain of the centre's steps may change from pass to pass, and how far a step may go next to the one before.
SLOWER, FASTER, LONGER = 0.25, 2.0, 1.5
# A sum of y_i*a_i below this share of the sum of a_i is rounding.
ROUNDING = 1e-12
# A check is worth it where the estimate says that it is the last, at once or, when that was wrong, after so many passes;
# and where the gap may be so much lower than at the last: rows that rest by mistake are found, and some that should rest.
PASSES_BETWEEN = 3
FAR_LOWER = 0.1
# Without one for so many passes there is one all the same, so that whoever waits sees where it is.
MAX_PASSES_BETWEEN = 30
# After so many checks in turn without a lower value or a higher bound it is rounding that is left.
MAX_IDLE = 20
# Rows whose norms are looked at to set the spring.
SAMPLE = 1000
# Below this relative gap the rounding of coef counts: it is summed anew from the dual variables.
FINE = 1e-8


def dual_cd(
    problem: LinearProblem, theta: Array, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """Minimise from dual variables on, if there are any, else from 0; of theta only the intercept matters."""
    if problem.width > 1:
        yield from strongest_rival_cd(problem, theta, dual, seed, tol)
        return
    box = DualBox(problem)
    y, n = problem.signs, problem.n_rows
    descent = Descent(problem.layout, problem.rows, y, (box.margin, box.upper, box.diagonal), seed)
    a = descent.dual
    if dual is not None:
        a[:] = np.minimum(np.maximum(dual, 0.0), box.upper)
        descent.coef[:] = problem.combine(y * a)[: problem.n_coefs]
    centre = _Centre(problem, box, float(theta[-1]) if dual is not None and problem.has_intercept else None)
    checks = _Checks(problem, tol)
    if dual is None:  # scores are known, and so is the bound at 0
        at = np.append(descent.coef, centre.intercept) if problem.has_intercept else descent.coef
        iterate = Iterate(at, problem.value(np.full(n, centre.intercept)) + problem.penalty(at), 0.0, dual=a)
        yield iterate
        checks.take(iterate)
    high, low, slack = math.inf, -math.inf, 0.0
    while True:
        if checks.is_due(descent.n_active):
            if checks.gap <= FINE * abs(checks.value) and problem.layout.is_f64:
                descent.coef[:] = problem.combine(y * a)[: problem.n_coefs]
            centre.total = float(np.dot(y, a))
            at = np.append(descent.coef, centre.intercept) if problem.has_intercept else descent.coef
            combined = np.append(descent.coef, centre.total) if problem.has_intercept else descent.coef
            scores = problem.scores(at)
            value = problem.value(scores) + problem.penalty(at)
            iterate = Iterate(at, value, box.bound(a, combined), dual=a)
            yield iterate
            checks.take(iterate)
            if checks.idle == MAX_IDLE:
                return
            high, low = _reopen(descent, box, y * scores, a)
            centre.noise, slack = ROUNDING * float(a.sum()), 0.0
        share = descent.n_active / max(n, 1)
        descent.set_intercept(centre.intercept, centre.rate)
        estimate, largest, smallest, moved = explained(descent.visit, high + slack, low - slack)
        slack = centre.move(moved)
        checks.count(share, estimate + centre.gap)
        high = largest if largest > 0 else math.inf
        low = smallest if smallest < 0 else -math.inf


def strongest_rival_cd(
    problem: LinearProblem, theta: Array, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """The same for K scores a row and the strongest rival, where a visit steps in all variables of a row at once.

    Intercepts are features here: a common shift of all changes nothing.
    """
    box = DualBox(problem)
    n, n_classes = problem.n_rows, problem.width
    own = problem.y.astype(np.int32)
    costs = problem.loss._bound.cost_matrix
    margins = box.margin if costs is None else costs[own]  # (n,K), or the same for all
    rate = 1 / box.intercept_share if problem.has_intercept else 0.0
    limits = (box.margin, box.upper, box.diagonal)
    descent = ClassDescent(problem.layout, problem.rows, own, n_classes, costs, limits, rate, seed)
    if dual is not None:
        descent.dual[:] = _inside(dual, box.upper)
        descent.rows[:, 0] = descent.dual.sum(axis=1)
        changes = -descent.dual
        changes[np.arange(n), own] += descent.rows[:, 0]
        started = problem.combine(changes)
        descent.coef[:] = started[: problem.n_coefs].reshape(n_classes, -1)
        if problem.has_intercept:
            descent.intercepts[:n_classes] = rate * started[problem.n_coefs :]
    checks = _Checks(problem, tol)
    at = np.empty(problem.size)
    high = math.inf
    while True:
        if checks.is_due(descent.n_active):
            at[: problem.n_coefs] = descent.coef.ravel()
            at[problem.n_coefs :] = descent.intercepts[:n_classes] if problem.has_intercept else []
            scores = problem.scores(at) if at.any() else np.zeros(problem.shape_of_scores)
            sums = descent.rows[:, 0]
            linear = float(np.sum(descent.dual * margins))
            bound = problem.alpha * (linear - 0.5 * float(np.dot(box.diagonal * sums, sums))) - problem.penalty(at)
            value = problem.value(scores) + problem.penalty(at)
            iterate = Iterate(at, value, bound, dual=descent.dual)
            yield iterate
            checks.take(iterate)
            if checks.idle == MAX_IDLE:
                return
            lacks = scores - scores[np.arange(n), own][:, np.newaxis] + margins
            lacks[np.arange(n), own] = -math.inf
            descent.activate(np.flatnonzero((sums > 0) | (lacks.max(axis=1) > -min(high, 1.0))))
        share = descent.n_active / max(n, 1)
        estimate, high = explained(descent.visit, high)
        checks.count(share, estimate)


def _inside(dual: Array, upper: Array) -> Array:
    """Variables that are inside their bounds, also where these have become narrower."""
    dual = np.maximum(dual, 0.0)
    total = dual.sum(axis=1)
    scale = np.where(total > upper, upper / np.where(total > 0, total, 1.0), 1.0)
    return dual * scale[:, np.newaxis]


class _Checks:
    """When to look at all rows: the last look, and what visits have said since."""

    def __init__(self, problem: LinearProblem, tol: float) -> None:
        self.problem, self.tol = problem, tol
        self.value = self.gap = self.lowest = self.least = math.inf
        self.highest = -math.inf
        self.estimate, self.seen, self.since, self.idle = math.inf, math.inf, math.inf, 0

    def count(self, share: float, estimate: float) -> None:
        """Note visits of so many of the rows, and their estimate of the gap in units of alpha."""
        self.problem.passes += share
        self.since += share
        self.estimate = self.problem.alpha * estimate

    def is_due(self, n_active: int) -> bool:
        """Whether a check is worth it, or nobody has seen where the method is for long."""
        if n_active == 0 or self.since >= MAX_PASSES_BETWEEN:
            return True
        if self.estimate <= self.tol * abs(self.value):
            return self.since >= PASSES_BETWEEN or self.estimate <= 0.5 * self.seen
        return self.estimate <= FAR_LOWER * self.gap and self.since >= PASSES_BETWEEN

    def take(self, iterate: Iterate) -> None:
        """Note a check."""
        self.value, self.gap = iterate.value, iterate.value - iterate.bound
        # With little penalty values rise and fall for long while bounds only rise.
        self.lowest, self.highest = min(self.lowest, iterate.value), max(self.highest, iterate.bound)
        left = self.lowest - self.highest
        self.idle = 0 if left < self.least else self.idle + 1
        self.least = min(self.least, left)
        self.seen, self.estimate, self.since = self.estimate, math.inf, 0.0


def _reopen(descent: Descent, box: DualBox, margins: Array, a: Array) -> tuple[float, float]:
    """Let those rows be visited that a step would move, or may soon; the bounds of rest."""
    gradient = box.diagonal * a + margins - box.margin
    at_zero, at_end = a <= 0, a >= box.upper
    high = max(float(gradient[~at_zero].max(initial=0.0)), 0.0)
    low = min(float(gradient[~at_end].min(initial=0.0)), 0.0)
    rests = (at_zero & (gradient >= high)) | (at_end & (gradient <= low) & ~at_zero)
    descent.activate(np.flatnonzero(~rests))
    return (high if high > 0 else math.inf), (low if low < 0 else -math.inf)


class _Centre:
    """The intercept b = centre + rate*(sum of y_i*a_i - k*centre), and how its centre moves.

    With the centre held, rows are visited as if a penalty 1/(2*rate)*(b - ...)^2 held the intercept; at the minimum
    sum of y_i*a_i = k*b whatever the rate. A step of `rate` times what is missing there is that of the proximal point
    method, which converges; longer ones come from the secant through the last two, and are never more than bounds that
    halve when the sign changes.
    """

    def __init__(self, problem: LinearProblem, box: DualBox, start: float | None) -> None:
        self.total, self.at, self.rate, self.share = 0.0, 0.0, 0.0, box.intercept_share
        self.has_intercept = problem.has_intercept
        if not problem.has_intercept or problem.n_rows == 0:
            self.has_intercept = False
            return
        step = max(problem.n_rows // SAMPLE, 1)
        square = float(problem.row_norms(step).mean())
        stiffness = float(np.mean(box.diagonal)) or 1 / float(np.mean(box.upper))
        spring = SPRING * (square + float(np.mean(box.diagonal))) or SPRING  # rows of zeros and the hinge
        self.rate = 1 / max(1 / spring, self.share)
        self.gain = max(self.rate, (square + stiffness) / problem.n_rows)
        weights = np.broadcast_to(np.asarray(problem.weights) / problem.alpha, problem.n_rows)
        self.at = 2 * float(np.dot(weights, problem.signs)) / (2 * float(weights.sum()) + self.share) * box.margin
        if start is not None:
            self.at = start
        self.radius, self.last, self.missing, self.noise = 0.5, 0.0, 0.0, 0.0

    @property
    def intercept(self) -> float:
        """B."""
        return self.at + self.rate * (self.total - self.share * self.at) if self.has_intercept else 0.0

    @property
    def gap(self) -> float:
        """The intercept's share of the duality gap, in units of alpha."""
        if not self.has_intercept or self.share == 0:
            return 0.0
        return (self.total - self.share * self.intercept) ** 2 / (2 * self.share)

    def move(self, moved: float) -> float:
        """Move on after a pass that changed the sum of y_i*a_i by `moved`; how far the intercept has moved in all."""
        before = self.intercept
        self.total += moved
        if not self.has_intercept:
            return 0.0
        missing = self.total - self.share * self.at
        if abs(missing) > self.noise:
            if self.missing != 0:
                ratio = missing / self.missing
                faster = min(max(1 / (1 - ratio), SLOWER), FASTER) if ratio < 1 else FASTER
                self.gain = max(self.rate, self.gain * faster)
                self.radius = min(self.radius, abs(self.last) / 2) if ratio < 0 else LONGER * self.radius
            length = max(min(self.gain * abs(missing), self.radius), self.rate * abs(missing))
            self.radius = max(self.radius, length)
            self.gain = length / abs(missing)
            self.last, self.missing = math.copysign(length, missing), missing
            self.at += self.last
        return abs(self.intercept - before)
