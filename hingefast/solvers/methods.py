"""The methods by name: what each can minimise, and which one "auto" takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from hingefast._kernels.slopes import StrongestRival
from hingefast.multiclass import OneVsRest
from hingefast.solvers.dual_cd import dual_cd
from hingefast.solvers.interior_point import interior_point
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.lbfgs import lbfgs
from hingefast.solvers.linear_problem import LinearProblem
from hingefast.solvers.newton import IDLE, MAX_COLUMNS, newton
from hingefast.solvers.one_vs_rest import one_vs_rest
from hingefast.solvers.smoothed import smoothed_newton

if TYPE_CHECKING:
    from hingefast.objective import Objective

__all__ = ["METHODS", "Method", "choose", "limit", "problems", "refusal", "solve", "why_no_gap"]

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of `minimize`.

    Attributes
    ----------
    iterates : callable
        (problem, theta, dual, seed, tol) -> iterates from theta on, which it may change, or from dual variables.
        None: L-BFGS.
    refuses : callable
        (problem) -> why it cannot minimise that, as the end of a sentence that begins with its name; or None.
    max_iter : int
        Iterations, if the caller does not say.
    counts_passes : bool
        Whether these are counted in passes over the data: visits of rows, divided by their number.
    """

    iterates: Callable[[LinearProblem, Array, Array | None, int, float], Iterator[Iterate]] | None
    refuses: Callable[[LinearProblem], str | None]
    max_iter: int
    counts_passes: bool = False


# Steps of Newton's method in a row that gain nothing but rounding, after which it ends.
IDLE_STEPS = 10


def _newton(
    problem: LinearProblem, theta: Array, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """Newton's method, on the hinge smoothed; where that ends before the gap is `tol`, an interior point if it can."""
    is_smooth = problem.loss.smoothness != "nonsmooth"
    value, bound, n_idle = math.inf, -math.inf, 0
    for iterate in (newton if is_smooth else smoothed_newton)(problem, theta, dual, seed, tol):
        gains = max(value - iterate.value, iterate.bound - bound)
        n_idle = 0 if gains > IDLE * abs(iterate.value) else n_idle + 1
        value, bound = min(value, iterate.value), max(bound, iterate.bound)
        yield iterate
        if is_smooth and n_idle == IDLE_STEPS:
            break
    # Where rounding of the scores hides the dual variables, as on separable data of a scale far from 1.
    is_missed = value - bound > tol * abs(value) > 0
    if is_missed and problem.n_features <= MAX_COLUMNS and _without_box(problem) is None:
        yield from interior_point(problem, theta, dual, seed, tol)


def _without_slope(problem: LinearProblem) -> str | None:
    if problem.loss.smoothness != "nonsmooth":
        return None
    if problem.width > 1 or problem.loss._bound.box is None:
        return "needs a loss whose slope is continuous, or the hinge"
    return _without_box(problem)


def _without_box(problem: LinearProblem) -> str | None:
    if problem.width > 1 or problem.loss._bound.box is None:
        return "needs the hinge or a loss of the S family, or one-vs-rest on one"
    if problem.alpha == 0:
        return "needs a penalty: alpha > 0"
    return None


def _without_descent(problem: LinearProblem) -> str | None:
    if problem.width == 1:
        return _without_box(problem)
    if problem.loss._bound.box is None or not isinstance(problem.loss._bound, StrongestRival):
        return "needs the hinge or a loss of the S family, or one-vs-rest, Crammer-Singer or costs on one"
    if problem.alpha == 0:
        return "needs a penalty: alpha > 0"
    if problem.frees_intercept:
        return "needs intercepts with a penalty or none: penalize_intercept=True, or fit_intercept=False"
    return None


def _without_curvature(problem: LinearProblem) -> str | None:
    if not problem.loss._bound.has_curvature:
        return "needs a loss with a second derivative, or a multiclass loss on one"
    return None


# Rows for each column from which a matrix of products of columns costs less than the passes it saves, and columns up
# to which it costs next to nothing anyhow: 100 x 100 numbers, factorised in some 50 us.
ROWS_A_COLUMN = 5
FEW_COLUMNS = 100

# One class against the rest: descents go in step while that is worth it, up to so many dual variables.
MAX_TOGETHER = 1 << 27

METHODS = {
    "dual_cd": Method(dual_cd, _without_descent, 1000, counts_passes=True),
    "interior_point": Method(interior_point, _without_box, 200),
    "newton": Method(_newton, _without_slope, 200),
    "lbfgs": Method(None, _without_curvature, 15000),
}


def limit(method: str) -> tuple[int, bool]:
    """The iterations of a method, if the caller does not say, and whether these are passes over the data."""
    return METHODS[method].max_iter, METHODS[method].counts_passes


def problems(objective: Objective) -> list[LinearProblem]:
    """The problems that an objective falls into: one, or one for each class against the rest."""
    if isinstance(objective.loss, OneVsRest):
        return [LinearProblem(objective, of_class) for of_class in range(objective.n_classes)]
    return [LinearProblem(objective)]


def refusal(method: str, parts: list[LinearProblem]) -> str | None:
    """Why a method cannot minimise an objective, or None."""
    return METHODS[method].refuses(parts[0])


def choose(parts: list[LinearProblem]) -> str | None:
    """The method that "auto" takes for an objective, or None: there is none.

    Of one score a row and at most 1000 columns with five times as many rows, or at most 100 columns whatever the rows,
    Newton's method if that can; else the first of the list that can.
    """
    problem = parts[0]
    n_columns = problem.n_features
    is_narrow = n_columns <= MAX_COLUMNS and problem.n_rows >= ROWS_A_COLUMN * n_columns
    is_narrow = is_narrow or n_columns <= FEW_COLUMNS
    names = ("newton", *METHODS) if is_narrow and problem.width == 1 else METHODS
    return next((name for name in names if refusal(name, parts) is None), None)


def solve(
    method: str,
    parts: list[LinearProblem],
    theta: Array,
    dual: Array | None,
    seed: int,
    tol: float,
    accept: Callable[[Iterate], bool],
) -> None:
    """Let a method work on the problems of an objective until an iterate is accepted, or it finds no better one."""
    solver = METHODS[method].iterates
    if solver is None:  # SciPy calls, and is not called
        lbfgs(parts[0], theta, accept)
        return
    if len(parts) > 1 and method == "dual_cd" and parts[0].n_rows * len(parts) <= MAX_TOGETHER:
        for iterate in dual_cd(LinearProblem(parts[0].objective), theta, dual, seed, tol):
            if accept(iterate):
                return
            theta, dual, parts[0].passes = iterate.theta, iterate.dual, iterate.passes
    if len(parts) == 1:
        iterates = solver(parts[0], theta, dual, seed, tol)
    else:
        iterates = one_vs_rest(solver, parts, theta, dual, seed, tol)
    for iterate in iterates:
        if accept(iterate):
            return


def why_no_gap(problem: LinearProblem) -> str | None:
    """Why there is no bound from below, if so."""
    if problem.alpha == 0:
        return "without a penalty (alpha is 0) there is no dual bound"
    if problem.frees_intercept:
        return (
            "the intercept has no penalty; pass penalize_intercept=True, or fit_intercept=False, for a bound"
        )
    return None
