"""What "auto" takes for the hinge on few columns: dual coordinate descent where it is fast, else an interior point.

Coordinates win while the penalty is strong, and stall where it is weak; an interior point takes some 20 iterations
whatever the data. Which it will be shows after a few passes: how fast the gap has fallen says how many more there
would be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from hingefast.solvers.dual_cd import dual_cd
from hingefast.solvers.interior_point import interior_point
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem

__all__ = ["descent_or_interior_point"]

Array = npt.NDArray[Any]

# Passes of the descent before each decision.
TRIED = 12
# Iterations of an interior point.
ITERATIONS = 20


def _ns_of_row(problem: LinearProblem) -> tuple[float, float]:
    """Nanoseconds of a visit of a row, and of a row in an iteration of an interior point.

    Measured on Emerald Rapids with a9a, cod-rna and skin; only their ratio counts.
    """
    entries = problem.entries_a_row
    if problem.is_sparse:
        return 50 + 4 * entries, 45 + 6 * entries + 0.7 * entries**2
    return 45 + 2 * entries, 50 + 2 * entries + 0.05 * entries**2


def descent_or_interior_point(
    problem: LinearProblem, theta: Array, dual: Array | None, seed: int, tol: float
) -> Iterator[Iterate]:
    """Descend while it is expected to take less than an interior point would; then leave it to that."""
    visit, iteration = _ns_of_row(problem)
    first, decide_at = math.inf, float(TRIED)
    for iterate in dual_cd(problem, theta, dual, seed, tol):
        iterate.method = "dual_cd"
        yield iterate
        gap = (iterate.value - iterate.bound) / abs(iterate.value) if iterate.value != 0 else 0.0
        first = min(first, max(gap, tol)) if first == math.inf else first
        if iterate.passes < decide_at:
            continue
        fallen = math.log(first / gap) if 0 < gap < first else 0.0
        left = iterate.passes * math.log(gap / tol) / fallen if fallen > 0 and gap > tol > 0 else math.inf
        if left * visit > ITERATIONS * iteration:
            break
        decide_at = iterate.passes + TRIED
    for iterate in interior_point(problem, theta, None, seed, tol):
        iterate.method = "interior_point"
        yield iterate
