"""`minimize`: from an objective to its minimum, with a certificate."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast.checks import fits
from hingefast.objective import Objective
from hingefast.solvers.iterate import Iterate
from hingefast.solvers.linear_problem import LinearProblem
from hingefast.solvers.methods import METHODS, choose, limit, problems, refusal, solve, why_no_gap

__all__ = ["FitResult", "minimize"]

Array = npt.NDArray[Any]

# What `status` means.
STATUS = ("converged", "out of iterations", "stopped", "stuck")
CONVERGED, OUT_OF_ITERATIONS, STOPPED, STUCK = range(4)


@dataclasses.dataclass(repr=False)
class FitResult:
    """What `minimize` found, or has found so far.

    Attributes
    ----------
    x : ndarray of shape (size,)
        theta, float64: the best met. ``objective.unpack(x)`` gives coefficients and intercept.
    fun : float
        The objective there.
    gap : float
        (fun - bound)/abs(fun), where the minimum is not below `bound`, the best value of the dual problem met: a proof
        that fun is at most ``gap*abs(fun)`` above the minimum, to the rounding of the two. NaN where there is no
        such bound; `message` says why.
    nit : int
        Iterations of the method.
    nfev : int
        Passes over the data, rounded; scores alone, or sums of rows alone, are half of one, and so many visits
        of rows as there are rows are one.
    success : bool
        Whether the gap is at most `tol`; without a gap, whether the method expects no more than that to be left.
    status : int
        0: success; 1: out of iterations; 2: the callback stopped it; 3: no further progress, as a rule because of
        rounding.
    message : str
    method : str
        The one asked for, or that "auto" chose.
    history : dict of lists
        "seconds", "passes", "fun" and "gap" at each iteration; "fun" is the value there, not the best.
    dual : ndarray of shape (n_rows,), or (n_rows, K) for K classes, or None
        The dual variables of the rows that have a weight, for a warm start; None of a method that has none.
    """

    x: Array
    fun: float
    gap: float
    nit: int
    nfev: int
    success: bool
    status: int
    message: str
    method: str
    history: dict[str, list[float]]
    dual: Array | None = None

    def __repr__(self) -> str:
        names = ["message", "success", "status", "method", "fun", "gap", "nit", "nfev", "x"]
        shown = {name: getattr(self, name) for name in names}
        with np.printoptions(threshold=8, edgeitems=3):
            return "\n".join(f"{name:>8}: {value}" for name, value in shown.items())


def minimize(
    objective: Objective,
    x0: npt.ArrayLike | FitResult | None = None,
    *,
    method: str = "auto",
    tol: float = 1e-4,
    max_iter: int | None = None,
    callback: Callable[[FitResult], Any] | None = None,
    random_state: int = 0,
) -> FitResult:
    """Minimise an objective, and prove how close to the minimum it is.

    Parameters
    ----------
    objective : Objective
    x0 : array_like of shape (size,), or FitResult, optional
        Where to begin, by default at 0; or an earlier result, of another `alpha` say, from whose dual variables a
        method begins that has them, if there are as many as there are rows now.
    method : {"auto", "newton", "interior_point", "dual_cd", "lbfgs"}
        ``"newton"`` is for losses whose slope is continuous, with many columns a matter of conjugate gradients, and for
        the hinge, as the limit of `HuberizedHinge`.
        ``"interior_point"`` and ``"dual_cd"``, dual coordinate descent, are for the hinge and the S family (squared and
        smooth hinges and the Huber losses), one class against the rest included: the first for up to some 1000
        columns and any `alpha`, the second for many columns and small ``objective.C``. ``"lbfgs"`` is SciPy's.
        ``"auto"``: for one score a row and at most 1000 columns with five times as many rows, or at most 100 columns,
        "newton" if it can; else the first of "dual_cd", "interior_point", "newton" and "lbfgs" that can.
    tol : float, default 1e-4
        Ends when the relative duality gap is at most this.
    max_iter : int, optional
        Iterations, at most, or, of "dual_cd", passes over the rows: visits divided by rows. By default 200, of
        "dual_cd" 1000.
    callback : callable, optional
        Called with the result so far after every iteration; `StopIteration` from it ends the work. It may keep what
        it gets.
    random_state : int, default 0
        For methods that visit rows in random order. Results have the same bits for the same one, and for any number
        of threads.

    Returns
    -------
    FitResult
        Also where it did not converge; see `success` and `message`.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong kind, and for a loss that the method cannot minimise.
    KeyboardInterrupt
        Within a fraction of a second, with the result so far as its attribute ``result``.

    Examples
    --------
    >>> import numpy as np
    >>> import hingefast as hf
    >>> X = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]])
    >>> objective = hf.Objective(X, [1, -1, 1], loss="squared_hinge", alpha=0.1)
    >>> result = hf.minimize(objective, tol=1e-9)
    >>> result.success, result.gap <= 1e-9
    (True, True)
    >>> coef, intercept = objective.unpack(result.x)
    """
    fits.check_objective(objective, Objective)
    run = _Run(fits.as_tolerance(tol), fits.as_limit(max_iter), callback)
    fits.check_callback(callback)
    seed = fits.as_seed(random_state)
    name = fits.as_method(method, METHODS)
    theta, dual = np.zeros(objective.size), None
    if isinstance(x0, FitResult):
        theta, dual = fits.as_start(x0.x, objective.size), x0.dual
    elif x0 is not None:
        theta = fits.as_start(x0, objective.size)
    parts = problems(objective)
    of_classes = parts[0].width if len(parts) == 1 else len(parts)
    if dual is not None and dual.shape != (parts[0].n_rows, of_classes)[: 1 + (of_classes > 1)]:
        dual = None  # of other rows
    chosen = choose(parts) if name == "auto" else name
    why = None if chosen is None else refusal(chosen, parts)
    if chosen is None or why is not None:
        raise fits.refused(chosen, why, objective.loss)
    return run.follow(chosen, parts, theta, dual, seed)


class _Run:
    """One call of `minimize`: the best met so far, and when to end."""

    def __init__(self, tol: float, max_iter: int | None, callback: Callable[[FitResult], Any] | None) -> None:
        self.tol, self.max_iter, self.callback = tol, max_iter, callback
        self.best: Iterate | None = None
        self.bound = -math.inf
        self.nit = -1
        self.status = STUCK
        self.history: dict[str, list[float]] = {name: [] for name in ("seconds", "passes", "fun", "gap")}
        self.began = time.perf_counter()

    def follow(
        self, method: str, parts: list[LinearProblem], theta: Array, dual: Array | None, seed: int
    ) -> FitResult:
        """Let a method work until it is good enough."""
        self.method, self.parts = method, parts
        own_limit, self.counts_passes = limit(method)
        self.limit = own_limit if self.max_iter is None else self.max_iter
        try:
            solve(method, parts, theta, dual, seed, self.tol, self.accept)
        except KeyboardInterrupt as interrupt:
            if self.best is not None:
                self.status = STOPPED
                interrupt.result = self.result()  # type: ignore[attr-defined]
            raise
        return self.result()

    def accept(self, iterate: Iterate) -> bool:
        """Take an iterate in; whether the method should end."""
        self.nit += 1
        self.bound = max(self.bound, iterate.bound)
        if self.best is None or iterate.value <= self.best.value:
            self.best = dataclasses.replace(iterate, theta=iterate.theta.copy())
        gap = relative_gap(self.best.value, self.bound)
        self.history["seconds"].append(time.perf_counter() - self.began)
        self.history["passes"].append(iterate.passes)
        self.history["fun"].append(iterate.value)
        self.history["gap"].append(gap)
        is_near = gap <= self.tol
        if math.isnan(gap):
            is_near = iterate.decrease <= self.tol * abs(iterate.value) < math.inf
        spent = iterate.passes / len(self.parts) if self.counts_passes else self.nit
        if is_near or spent >= self.limit:
            self.status = CONVERGED if is_near else OUT_OF_ITERATIONS
            return True
        if self.callback is not None:
            try:
                self.callback(self.result())
            except StopIteration:
                self.status = STOPPED
                return True
        return False

    def result(self) -> FitResult:
        """What has been found so far."""
        best = self.best
        assert best is not None
        gap = relative_gap(best.value, self.bound)
        return FitResult(
            x=best.theta.copy(),
            fun=best.value,
            gap=gap,
            nit=self.nit,
            nfev=round(self.history["passes"][-1]),
            success=self.status == CONVERGED,
            status=self.status,
            message=fits.outcome(
                STATUS[self.status], gap, self.tol, (self.nit, self.method), why_no_gap(self.parts[0])
            ),
            method=self.method,
            history={name: list(values) for name, values in self.history.items()},
            dual=None if best.dual is None else best.dual.copy(),
        )


def relative_gap(value: float, bound: float) -> float:
    """(value - bound)/|value|; NaN without a bound."""
    if value == 0:  # the least that losses and penalties can be
        return 0.0
    return math.nan if bound == -math.inf else max(value - bound, 0.0) / abs(value)
