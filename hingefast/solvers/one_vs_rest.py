"""K classes against the rest: K problems of one score a row that share X, each at its own pace, on some threads."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.job import call_all
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem

__all__ = ["one_vs_rest"]

Array = npt.NDArray[Any]

# Classes go on whose gap is at least this share of the largest: the others would add little to the sum.
SHARE = 0.1


def one_vs_rest(
    solve: Callable[[LinearProblem, Array, Array | None, int, float], Iterator[Iterate]],
    parts: list[LinearProblem],
    theta: Array,
    dual: Array | None,
    seed: int,
    tol: float,
) -> Iterator[Iterate]:
    """Minimise the sum of the problems of K classes: in each iteration those furthest from their minimum go on."""
    n_classes, n_features = len(parts), parts[0].n_features
    coefs = theta[: n_classes * n_features].reshape(n_classes, n_features)
    intercepts = theta[n_classes * n_features :]
    runs = []
    for k, part in enumerate(parts):
        own = np.append(coefs[k], intercepts[k]) if part.has_intercept else coefs[k].copy()
        runs.append(solve(part, own, None if dual is None else dual[:, k], seed, tol))
    now = call_all([functools.partial(next, run) for run in runs], parts[0].n_threads)
    bounds = [iterate.bound for iterate in now]
    is_over = [False] * n_classes
    while True:
        for k, iterate in enumerate(now):
            coefs[k] = iterate.theta[:n_features]
            intercepts[k : k + 1] = iterate.theta[n_features:]
        duals = [iterate.dual for iterate in now if iterate.dual is not None]
        yield Iterate(
            theta,
            math.fsum(iterate.value for iterate in now),
            sum(bounds),
            sum(iterate.decrease for iterate in now),
            np.stack(duals, axis=1) if duals else None,
            sum(iterate.passes for iterate in now),
        )
        left = [_left(iterate, bound) for iterate, bound in zip(now, bounds, strict=True)]
        largest = max((gap for gap, over in zip(left, is_over, strict=True) if not over), default=0.0)
        due = [k for k, gap in enumerate(left) if not (is_over[k] or gap < SHARE * largest)]
        calls = [functools.partial(next, runs[k], None) for k in due]
        for k, following in zip(due, call_all(calls, parts[0].n_threads), strict=True):
            if following is None:
                is_over[k] = True
            else:
                now[k], bounds[k] = following, max(bounds[k], following.bound)
        if all(is_over):
            return


def _left(iterate: Iterate, bound: float) -> float:
    """What may be left between an iterate and the minimum."""
    return iterate.value - bound if bound > -math.inf else iterate.decrease
