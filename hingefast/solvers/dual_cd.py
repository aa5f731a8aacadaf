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

from hingefast._kernels.dual import Descent
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
# A check is worth it after so many visits of all rows, or where the estimate is so much lower than wanted.
PASSES_BETWEEN = 3
FAR_LOWER = 0.1
# Without one for so many passes there is one all the same, so that whoever waits sees where it is.
MAX_PASSES_BETWEEN = 30
# After so many checks in turn without a smaller gap it is rounding that is left.
MAX_IDLE = 20
# Rows whose norms are looked at to set the spring.
SAMPLE = 1000
# Below this relative gap the rounding of coef counts: it is summed anew from the dual variables.
FINE = 1e-8


def dual_cd(
    problem: LinearProblem, theta: Array, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """Minimise from dual variables on, if there are any, else from 0; of theta only the intercept matters."""
    box = DualBox(problem)
    y, n = problem.y.astype(np.float64), problem.n_rows
    descent = Descent(problem.layout, problem.rows, problem.y, (box.margin, box.upper, box.diagonal), seed)
    a = descent.dual
    if dual is not None:
        a[:] = np.minimum(np.maximum(dual, 0.0), box.upper)
        descent.coef[:] = problem.combine(y * a)[: problem.n_coefs]
    centre = _Centre(problem, box, float(theta[-1]) if dual is not None and problem.has_intercept else None)
    centre.total = float(np.dot(y, a))
    high, low, slack = math.inf, -math.inf, 0.0
    estimate, since = math.inf, 0.0
    value = gap = least = math.inf
    idle = 0
    while True:
        wanted = max(tol * abs(value), FAR_LOWER * gap) / problem.alpha if math.isfinite(value) else math.inf
        is_worth_it = estimate <= wanted and (since >= PASSES_BETWEEN or estimate <= FAR_LOWER * wanted)
        if is_worth_it or since >= MAX_PASSES_BETWEEN or descent.n_active == 0 or value == math.inf:
            if gap <= FINE * abs(value) and problem.layout.is_f64:
                descent.coef[:] = problem.combine(y * a)[: problem.n_coefs]
            centre.total = float(np.dot(y, a))
            at = np.append(descent.coef, centre.intercept) if problem.has_intercept else descent.coef
            scores = problem.scores(at)
            value = problem.value(scores) + problem.penalty(at)
            combined = np.append(descent.coef, centre.total) if problem.has_intercept else descent.coef
            bound = box.bound(a, combined)
            gap = value - bound
            yield Iterate(at, value, bound, dual=a)
            idle = 0 if value - bound < least else idle + 1
            least = min(least, value - bound)
            if idle == MAX_IDLE:
                return
            high, low = _reopen(descent, box, y * scores, a)
            slack = since = 0.0
        share = descent.n_active / max(n, 1)
        problem.passes += share
        since += share
        descent.set_intercept(centre.intercept, centre.rate)
        estimate, largest, smallest, moved = explained(descent.visit, high + slack, low - slack)
        slack = centre.move(moved, float(a.sum()))
        estimate += centre.gap
        high = largest if largest > 0 else math.inf
        low = smallest if smallest < 0 else -math.inf


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
        self.at = 2 * float(np.dot(weights, problem.y)) / (2 * float(weights.sum()) + self.share) * box.margin
        if start is not None:
            self.at = start
        self.radius, self.last, self.missing = 0.5, 0.0, 0.0

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

    def move(self, moved: float, size: float) -> float:
        """Move on after a pass that changed the sum of y_i*a_i by `moved`; how far the intercept has moved in all."""
        before = self.intercept
        self.total += moved
        if not self.has_intercept:
            return 0.0
        missing = self.total - self.share * self.at
        if abs(missing) > ROUNDING * size:
            if self.missing != 0:
                ratio = missing / self.missing
                faster = min(max(1 / (1 - ratio), SLOWER), FASTER) if ratio < 1 else FASTER
                self.gain = max(self.rate, self.gain * faster)
                self.radius = min(self.radius, abs(self.last) / 2) if ratio < 0 else LONGER * self.radius
            size_of_step = max(min(self.gain * abs(missing), self.radius), self.rate * abs(missing))
            self.radius = max(self.radius, size_of_step)
            self.gain = size_of_step / abs(missing)
            self.last, self.missing = math.copysign(size_of_step, missing), missing
            self.at += self.last
        return abs(self.intercept - before)
