"""Dual coordinate descent for losses whose dual is a box and a diagonal (dual.py), its kernel in `_kernels/dual.pyx`.

Rows are visited in random order, each with the exact step in its dual variable; those that rest at a bound are
visited no more (Hsieh et al., A dual coordinate descent method for large-scale linear SVM, ICML 2008), until a check
of all rows finds that they should.

The intercept. As a feature that is 1 in every row it couples all rows: on text that costs 1.5 to 2.3 times the visits
of a problem without one. Here it is found from outside, by proximal points: while rows are visited the intercept
moves only by a stiff spring about a centre, and after each pass the centre moves on, by what the slope of the last
passes says, within bounds. The same works without a penalty on the intercept, which no method of this kind has by
itself.

Two threads. Of long CSR rows each can have half of the features (`Descent.halve`); the bits are those of one.

The certificate. At a check the scores of all rows give the value, and the dual variables the bound. Between them the
rows' own shares of the gap, which each visit adds up, tell when a check is worth it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.dual import Centres, ClassDescent, Descent
from hingefast._kernels.slopes import StrongestRival
from hingefast.checks.explain import explained
from hingefast.solvers.dual import DualBox
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem

__all__ = ["dual_cd"]

Array = npt.NDArray[Any]

# The spring: its share of a row's curvature. On rcv1 and imdb 0.01 to 0.03 took the fewest visits, which were those
# without an intercept; 1 is a feature.
SPRING = 0.01
# A sum of y_i*a_i below this share of the sum of a_i is rounding.
ROUNDING = 1e-12
# A check is worth it where the estimate says that it is the last, at once or, when that was wrong, after so many
# passes; and where the gap may be so much lower than at the last: rows that rest by mistake are found, and some that
# should rest.
PASSES_BETWEEN = 3
FAR_LOWER = 0.1
# Without one for so many passes there is one all the same, so that whoever waits sees where it is.
MAX_PASSES_BETWEEN = 30
# After so many checks in turn without a lower value or a higher bound it is rounding that is left.
MAX_IDLE = 40
# One class against the rest: a visit of a row for all classes takes the time of so many for one. Where fewer classes
# are left for each row, the descent in step ends, and each class goes on by itself (20 classes, 20 Newsgroups).
WORTH_TOGETHER = 4
# Rows of so many entries on average, of so many features, are halved, so that two threads can visit them together:
# with less a visit takes no longer than what one has to tell the other (0.2 us; 20 Newsgroups).
LONG_ROW, WIDE = 128, 65536
# Rows whose norms are looked at to set the spring.
SAMPLE = 1000
# Below this relative gap the rounding of coef counts: it is summed anew from the dual variables.
FINE = 1e-8


def dual_cd(
    problem: LinearProblem, theta: Array, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """Minimise from dual variables on, if there are any, else from 0; of theta only the intercepts matter."""
    if isinstance(problem.loss._bound, StrongestRival):
        yield from strongest_rival_cd(problem, dual, seed, tol)
        return
    box, n = DualBox(problem), problem.n_rows
    limits = (box.margin, box.upper, box.diagonal)
    if problem.width == 1:
        descent = Descent(problem.layout, problem.rows, problem.signs, limits, seed)
        if problem.is_sparse and problem.entries_a_row >= LONG_ROW and problem.n_features >= WIDE:
            descent.halve(problem.layout.middle_feature(), problem.n_threads)
    else:
        own = problem.y.astype(np.int32)
        descent = ClassDescent(problem.layout, problem.rows, own, problem.width, True, None, limits, seed)
    a = descent.dual
    shown = a[:, 0] if problem.width == 1 else a
    combined = np.zeros(problem.size)
    if dual is not None:
        a[:] = np.clip(dual.reshape(a.shape), 0.0, box.upper[:, np.newaxis])
        combined = problem.combine(box.slopes(a))
        descent.coef[:] = problem.coefs(combined)
    centres = _centres(problem, box, None if dual is None else theta, problem.intercepts(combined))
    checks = _Checks(problem, tol)
    if dual is None:  # scores are known, and so is the bound at 0
        at = problem.theta(descent.coef, centres.intercepts())
        scores = np.broadcast_to(problem.intercepts(at), (n, problem.width)).reshape(problem.shape_of_scores)
        iterate = Iterate(
            at, problem.value(np.ascontiguousarray(scores)) + problem.penalty(at), 0.0, dual=shown
        )
        yield iterate
        checks.take(iterate)
    largest, smallest, noise = np.zeros(problem.width), np.zeros(problem.width), 0.0
    while True:
        if checks.is_due(descent.n_active):
            if checks.gap <= FINE * abs(checks.value) and problem.layout.is_f64:
                descent.coef[:] = problem.coefs(problem.combine(box.slopes(a)))
            if problem.has_intercept:
                centres.totals[:] = np.sum(box.slopes(a).reshape(a.shape), axis=0)
            at = problem.theta(descent.coef, centres.intercepts())
            scores = problem.scores(at)
            value = problem.value(scores) + problem.penalty(at)
            bound = box.bound(a, descent.coef, centres.totals)
            iterate = Iterate(at, value, bound, dual=shown, passes=problem.passes)
            yield iterate
            checks.take(iterate)
            if checks.idle == MAX_IDLE:
                return
            largest, smallest, n_pairs = _reopen(descent, box, scores.reshape(a.shape), a)
            if problem.width > 1 and n_pairs < WORTH_TOGETHER * descent.n_active:
                return
            noise = ROUNDING * float(a.sum())
            centres.begin()
        if centres.is_far:
            descent.activate(np.arange(n))
            centres.begin()
        share = descent.n_active / max(n, 1)
        estimate, largest, smallest, moved = explained(
            descent.visit, centres.intercepts(), centres.rate, *centres.rest(largest, smallest)
        )
        if problem.has_intercept:
            centres.move(moved, noise)
        checks.count(share, estimate + centres.gap())


def _reopen(
    descent: Descent | ClassDescent, box: DualBox, scores: Array, a: Array
) -> tuple[Array, Array, int]:
    """Let those rows be visited that a step would move, or may soon; extremes of gradients, pairs of row and class."""
    gradient = box.diagonal[:, np.newaxis] * a + box.signs * scores - box.margin
    at_zero, at_end = a <= 0, a >= box.upper[:, np.newaxis]
    highs = np.where(at_zero, 0.0, gradient).max(axis=0, initial=0.0)
    lows = np.where(at_end, 0.0, gradient).min(axis=0, initial=0.0)
    moves = ~((at_zero & (gradient >= highs)) | (at_end & (gradient <= lows) & ~at_zero))
    descent.activate(np.flatnonzero(moves.any(axis=1)))
    return highs, lows, int(np.count_nonzero(moves))


def _centres(problem: LinearProblem, box: DualBox, start: Array | None, totals: Array) -> Centres:
    """The intercepts and where their centres begin; without intercepts they stay at 0."""
    totals = np.ascontiguousarray(totals)
    if not problem.has_intercept or problem.n_rows == 0:
        return Centres(np.zeros(problem.width), np.zeros(problem.width), 0.0, 0.0, 0.0)
    square = float(problem.row_norms(max(problem.n_rows // SAMPLE, 1)).mean())
    softness = float(np.mean(box.diagonal))
    spring = SPRING * (square + softness) or SPRING  # rows of zeros and the hinge
    rate = 1 / max(1 / spring, box.intercept_share)
    gain = max(rate, (square + (softness or 1 / float(np.mean(box.upper)))) / problem.n_rows)
    if start is not None:
        return Centres(problem.intercepts(start).copy(), totals, rate, box.intercept_share, gain)
    # What is best for squares where w is 0.
    weights = np.broadcast_to(np.asarray(problem.weights) / problem.alpha, problem.n_rows)
    centres = 2 * (weights @ box.signs) / (2 * float(weights.sum()) + box.intercept_share) * box.margin
    return Centres(centres, totals, rate, box.intercept_share, gain)


def strongest_rival_cd(
    problem: LinearProblem, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """The same for the strongest of K - 1 rivals, where a visit steps in all variables of a row at once.

    Intercepts are features here: a common shift of all changes nothing.
    """
    box = DualBox(problem)
    n, n_classes = problem.n_rows, problem.width
    own = problem.y.astype(np.int32)
    costs = problem.loss._bound.cost_matrix
    margins = box.margin if costs is None else costs[own]  # (n,K), or the same for all
    rate = 1 / box.intercept_share if problem.has_intercept else 0.0
    limits = (box.margin, box.upper, box.diagonal)
    descent = ClassDescent(problem.layout, problem.rows, own, n_classes, False, costs, limits, seed)
    if dual is not None:
        descent.dual[:] = _inside(dual, box.upper)
        descent.rows[:, 0] = descent.dual.sum(axis=1)
        changes = -descent.dual
        changes[np.arange(n), own] += descent.rows[:, 0]
        started = problem.combine(changes)
        descent.coef[:] = problem.coefs(started)
        descent.intercepts[:] = rate * problem.intercepts(started)
    checks = _Checks(problem, tol)
    high = math.inf
    while True:
        if checks.is_due(descent.n_active):
            at = problem.theta(descent.coef, descent.intercepts)
            scores = problem.scores(at) if at.any() else np.zeros(problem.shape_of_scores)
            sums = descent.rows[:, 0]
            linear = float(np.sum(descent.dual * margins))
            bound = problem.alpha * (
                linear - 0.5 * float(np.dot(box.diagonal * sums, sums))
            ) - problem.penalty(at)
            value = problem.value(scores) + problem.penalty(at)
            iterate = Iterate(at, value, bound, dual=descent.dual, passes=problem.passes)
            yield iterate
            checks.take(iterate)
            if checks.idle == MAX_IDLE:
                return
            lacks = scores - scores[np.arange(n), own][:, np.newaxis] + margins
            lacks[np.arange(n), own] = -math.inf
            descent.activate(np.flatnonzero((sums > 0) | (lacks.max(axis=1) > -min(high, 1.0))))
        share = descent.n_active / max(n, 1)
        estimate, high = explained(descent.visit_rivals, rate, high)
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
        self.value = self.gap = self.lowest = math.inf
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
        # With little penalty, or features far from centred, values rise and fall for long while bounds only rise.
        rises = iterate.bound - self.highest > ROUNDING * abs(iterate.bound)
        self.idle = 0 if rises or iterate.value < self.lowest else self.idle + 1
        self.lowest, self.highest = min(self.lowest, iterate.value), max(self.highest, iterate.bound)
        self.seen, self.estimate, self.since = self.estimate, math.inf, 0.0
