"""Who minimises the objective of a `FitProblem`: hingefast and other libraries, where they are installed.

All of them minimise the same function, 1/2 |theta|^2 + C * sum of the losses, theta with a penalised intercept at its
end, which is what LIBLINEAR has. What each does inside the clock:

- hingefast: everything, from X and y; `Objective` checks them.
- scikit-learn's `LinearSVC`: `fit`, which converts X. Its iterations are not limited.
- `liblinear-official`: once with its conversion of X, once its training alone. Its dual solver of the hinge ends after
  300 passes over the data, wherever it is.
- rehline: `ReHLine_solver` alone. The X with a column of ones that it needs is made beforehand, as CSR where X has many
  zeros.
- SciPy's L-BFGS-B on `Objective.value_and_grad`, where X is narrow: the targets next to it are those of "newton".
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

import hingefast as hf
from benchmarks.data import Array
from benchmarks.fit_report import (
    LBFGS,
    LIBLINEAR,
    LIBLINEAR_TRAINING,
    LINEAR_SVC,
    LOOSEST,
    METHODS,
    OURS,
    REHLINE,
)

# No limit but that of time.
MANY = 10**8

# A dense X with fewer numbers than this that are not 0, as a share, is given to rehline as CSR.
SPARSE = 0.5

# Rounded ratios of 3: the loosest of these with which somebody arrives is the one he is timed with.
TOLERANCES = tuple(float(f"{3.0**-k:.2g}") for k in range(27))

MODULES = {
    LINEAR_SVC: "sklearn",
    LIBLINEAR: "liblinear",
    LIBLINEAR_TRAINING: "liblinear",
    REHLINE: "rehline",
    LBFGS: "scipy",
}


class FitProblem:
    """Labels -1 and +1 as float64, X dense or CSR, a loss by name, and C, which multiplies the loss of a row."""

    def __init__(self, X: Any, y: Array, loss: str, C: float) -> None:
        self.X, self.y, self.loss, self.C = X, y, loss, C

    def objective(self, n_threads: int = 1) -> hf.Objective:
        """The function that all minimise, divided by C times the number of rows."""
        alpha = 1 / (self.C * len(self.y))
        return hf.Objective(
            self.X, self.y, loss=self.loss, alpha=alpha, penalize_intercept=True, n_threads=n_threads
        )

    @cached_property
    def with_ones(self) -> Any:
        """X with a column of ones at its end."""
        from scipy import sparse

        ones = np.ones((len(self.y), 1))
        if not isinstance(self.X, np.ndarray):
            return sparse.csr_array(sparse.hstack([self.X, ones], format="csr"))
        whole = np.hstack([self.X, ones])
        return sparse.csr_array(whole) if np.count_nonzero(whole) < SPARSE * whole.size else whole

    @cached_property
    def converted(self) -> Any:
        """Rows as LIBLINEAR has them."""
        return _liblinear_problem(self)


class Fitter(NamedTuple):
    """One way to minimise: theta for a tolerance, which means something else for everybody.

    Attributes
    ----------
    fit : callable
    is_certified : bool
        It stops by a proof, so the distance wanted is its tolerance, and none is searched for.
    like : str
        Who does the same but for what is inside the clock, so that his tolerance holds here too.
    """

    fit: Callable[[float], Array]
    is_certified: bool = False
    like: str = ""


def fitters(problem: FitProblem, chosen: str) -> tuple[dict[str, Fitter], list[str]]:
    """By name, and who is not installed. `chosen`: the method that "auto" takes."""
    found: dict[str, Fitter] = {
        OURS: Fitter(partial(_ours, problem, "auto"), is_certified=True),
        LOOSEST: Fitter(partial(_ours, problem, "auto")),
    }
    for method in METHODS:
        if method != chosen and _can(problem, method):
            found[f"{OURS} ({method})"] = Fitter(partial(_ours, problem, method), is_certified=True)
    missing = []
    for name, makers in _others(problem):
        if find_spec(MODULES[name]) is None:
            missing.append(name)
        else:
            found |= makers
    return found, missing


def warm_up(problem: FitProblem, found: Mapping[str, Fitter]) -> dict[str, str]:
    """Import everybody, make what is made outside the clock, and tell who fails on some rows, and how."""
    some = np.sort(np.concatenate([np.flatnonzero(problem.y == sign)[:50] for sign in (-1, 1)]))
    small = FitProblem(problem.X[some], problem.y[some], problem.loss, problem.C)
    failed = {}
    for name, fitter in fitters(small, "")[0].items():
        if name in found:
            try:
                fitter.fit(0.1)
            except Exception as error:  # one that fails must not hide the others
                failed[name] = f"{type(error).__name__}: {error}"
    for name in found.keys() - failed.keys():
        if name.startswith(LIBLINEAR_TRAINING):
            assert problem.converted is not None
        elif name == REHLINE:
            assert problem.with_ones is not None
    return failed


def _others(problem: FitProblem) -> Iterator[tuple[str, dict[str, Fitter]]]:
    """Everybody else by the name of the package, the stronger of several ways still to be found out."""
    if problem.loss != "hinge" and is_narrow(problem):
        yield LBFGS, {LBFGS: Fitter(partial(_lbfgs, problem))}
    if problem.loss == "logistic":
        return
    ways = {"dual": True} if problem.loss == "hinge" else {"dual": True, "primal": False}
    yield (
        LINEAR_SVC,
        {f"{LINEAR_SVC} ({way})": Fitter(partial(_svc, problem, is_dual)) for way, is_dual in ways.items()},
    )
    alone, whole = {}, {}
    for way, is_dual in ways.items():
        alone[f"{LIBLINEAR_TRAINING} ({way})"] = Fitter(partial(_train, problem, is_dual, True))
        whole[f"{LIBLINEAR} ({way})"] = Fitter(
            partial(_train, problem, is_dual, False), like=f"{LIBLINEAR_TRAINING} ({way})"
        )
    yield LIBLINEAR_TRAINING, alone
    yield LIBLINEAR, whole
    yield REHLINE, {REHLINE: Fitter(partial(_rehline, problem))}


def is_narrow(problem: FitProblem) -> bool:
    """Whether a matrix of d x d is small."""
    return bool(problem.X.shape[1] <= 1000)


def _can(problem: FitProblem, method: str) -> bool:
    """Whether a method takes the loss, and, of those that factor a matrix of d x d, whether X is narrow."""
    if method in ("newton", "interior_point") and not is_narrow(problem):
        return False
    return method == "newton" or problem.loss != "logistic"


def _ours(problem: FitProblem, method: str, tol: float) -> Array:
    return hf.minimize(problem.objective(), method=method, tol=tol, max_iter=MANY).x


def _svc(problem: FitProblem, is_dual: bool, tol: float) -> Array:
    from sklearn.svm import LinearSVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged: its value tells
        model = LinearSVC(
            loss=problem.loss, dual=is_dual, C=problem.C, tol=tol, max_iter=MANY, random_state=0
        ).fit(problem.X, problem.y)
    return np.append(model.coef_[0], model.intercept_)


def _liblinear_problem(problem: FitProblem) -> Any:
    from liblinear import liblinear
    from scipy import sparse

    return liblinear.problem(problem.y, sparse.csr_matrix(problem.X), 1.0)


def _train(problem: FitProblem, is_dual: bool, is_alone: bool, tol: float) -> Array:
    from liblinear import liblinear, liblinearutil

    solver = (3 if problem.loss == "hinge" else 1) if is_dual else 2
    rows = problem.converted if is_alone else _liblinear_problem(problem)
    options = liblinear.parameter(f"-s {solver} -c {problem.C!r} -e {tol!r} -B 1 -q")
    model = liblinearutil.train(rows, options)
    theta = np.ctypeslib.as_array(model.w, (model.nr_feature + 1,)).copy()
    return theta if model.get_labels()[0] > 0 else -theta


def _rehline(problem: FitProblem, tol: float) -> Array:
    """Of losses made of max(0, u) and max(0, u)^2/2."""
    from rehline import ReHLine_solver

    rows, C = problem.y[np.newaxis], problem.C
    parts: dict[str, Array] = {"U": -C * rows, "V": np.full(rows.shape, C)}
    if problem.loss == "squared_hinge":
        root = np.sqrt(2 * C)
        empty, ends = np.empty((0, rows.size)), np.full(rows.shape, np.inf)
        parts = {"U": empty, "V": empty, "S": -root * rows, "T": np.full(rows.shape, root), "Tau": ends}
    solved = ReHLine_solver(problem.with_ones, **parts, tol=tol, shrink=1, max_iter=MANY, verbose=0)
    theta: Array = np.array(solved.beta)
    return theta


def _lbfgs(problem: FitProblem, tol: float) -> Array:
    from scipy.optimize import minimize

    objective = problem.objective()
    theta: Array = minimize(
        objective.value_and_grad,
        np.zeros(objective.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": 10, "ftol": tol, "gtol": 0.0, "maxiter": MANY, "maxfun": MANY},
    ).x
    return theta
