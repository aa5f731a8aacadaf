"""A linear problem as solvers see it: sum of c_i*loss(y_i, z_i) + penalties/2 . theta^2, z = X @ coef.T + intercept.

Passes over X are those of the kernels, and the loss is the loss object's. Arrays of rows are float64, whatever the
dtype of X.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.csr import CSR
from hingefast._kernels.labels import Targets
from hingefast._kernels.problem import Problem
from hingefast._kernels.rows import Line
from hingefast._kernels.table import default_environment
from hingefast.checks import arguments
from hingefast.checks.explain import explained
from hingefast.losses import Loss
from hingefast.multiclass import OneVsRest

if TYPE_CHECKING:
    from hingefast.objective import Objective

__all__ = ["LinearProblem", "penalties_of", "solution"]

Array = npt.NDArray[Any]


class LinearProblem:
    """An objective, or one class's share of it where classes are fitted one by one.

    Parameters
    ----------
    objective : Objective
    of_class : int, optional
        With `OneVsRest`: the problem of this class against the others, of one score a row.

    Attributes
    ----------
    n_rows : int
        Rows that have a weight; the others are left out.
    rows : tuple, ndarray of int64, or None
        Start, end and step of their numbers in X, or the numbers; None where they are all.
    n_features : int
    width : int
        Scores a row: 1, or K.
    size : int
        Numbers of theta.
    loss : Loss
    y : ndarray of shape (n_rows,)
        Labels.
    signs : ndarray of shape (n_rows,), or None
        The same of one score a row: -1 and +1.
    weights : ndarray of shape (n_rows,), or float
        c, > 0; a float where it is the same for all rows.
    penalties : ndarray of shape (size,)
        alpha, and for intercepts the strength of their own penalty.
    alpha, intercept_alpha : float
    has_intercept, frees_intercept : bool
        Whether theta ends with intercepts, and whether these have no penalty.
    shape_of_scores : tuple
    passes : float
        Passes over the rows of X so far.
    """

    def __init__(self, objective: Objective, of_class: int | None = None) -> None:
        whole, inputs = objective._problem, objective._inputs
        classes = whole.targets.classes
        self.objective = objective
        self.layout, self.n_threads = whole.layout, objective.n_threads
        self.n_features = objective.n_features
        self.alpha, self.has_intercept = objective.alpha, objective.fit_intercept
        self.intercept_alpha = objective._intercept_alpha
        self.frees_intercept = self.has_intercept and self.intercept_alpha == 0
        self.passes = 0.0
        with default_environment():
            self.weights, rows = _weights(objective)
            self.rows: tuple[int, int, int] | Array | None = rows
            index = arguments.columns(inputs["y"], classes, 0)
            index = index if rows is None else index[rows]
        self.loss: Loss = objective.loss
        self.width = whole.width
        if of_class is not None:
            assert isinstance(objective.loss, OneVsRest)
            index, self.loss, self.width = index == of_class, objective.loss.base, 1
        self.signs = _signs(index) if self.width == 1 else None
        self.y = index if self.signs is None else self.signs
        self.n_coefs = self.width * self.n_features
        self.size = self.n_coefs + self.has_intercept * self.width
        self._theta = np.zeros(self.size)
        self.penalties = penalties_of(objective, self.width)
        self.dtype = np.float64 if self.layout.is_f64 else np.float32
        self._classes = arguments.SIGNS if self.width == 1 else classes
        self._open_rows()

    def _open_rows(self) -> None:
        self.n_rows = len(self.y)
        self.shape_of_scores = (self.n_rows,) if self.width == 1 else (self.n_rows, self.width)
        targets = Targets(self.objective.n_rows, self._classes, rows=self.rows)
        self._problem = Problem(self.layout, targets, n_threads=self.n_threads)

    def sample(self, step: int) -> LinearProblem:
        """The problem of every so many-th row, whose weights make up for the others."""
        part = copy.copy(self)
        part.rows = self._every(step)
        part.y = self.y[::step].copy()
        part.signs = None if self.signs is None else part.y
        weights = self.weights if isinstance(self.weights, float) else self.weights[::step]
        part.weights = weights * (self.n_rows / len(part.y))
        part.passes = 0.0
        part._open_rows()
        return part

    def with_loss(self, loss: Loss) -> LinearProblem:
        """The same rows with another loss."""
        other = copy.copy(self)
        other.loss = loss
        return other

    def _every(self, step: int) -> tuple[int, int, int] | Array:
        """Every so many-th row: start, end and step, or the numbers of the rows."""
        if isinstance(self.rows, np.ndarray):
            return np.ascontiguousarray(self.rows[::step])
        first, end, old = self.rows or (0, self.n_rows, 1)
        return first, end, old * step

    @property
    def is_sparse(self) -> bool:
        """Whether X is CSR."""
        return isinstance(self.layout, CSR)

    @property
    def entries_a_row(self) -> float:
        """Numbers that a row of X has, on average."""
        return self.layout.n_stored / max(self.layout.n_rows, 1) if self.is_sparse else self.n_features

    # The parts of a theta

    def coefs(self, theta: Array) -> Array:
        """The coefficients in it, (width, n_features): a view."""
        return theta[: self.n_coefs].reshape(self.width, -1)

    def intercepts(self, theta: Array) -> Array:
        """The intercepts in it, (width,): a view, or zeros where there are none."""
        return theta[self.n_coefs :] if self.has_intercept else np.zeros(self.width)

    def theta(self, coefs: Array, intercepts: Array) -> Array:
        """One of these: an array that the next call changes."""
        self._theta[: self.n_coefs].reshape(coefs.shape)[:] = coefs
        self._theta[self.n_coefs :] = intercepts if self.has_intercept else []
        return self._theta

    # Passes over X

    def scores(self, theta: Array, out: Array | None = None) -> Array:
        """z, (n_rows,) or (n_rows, K); float64, in `out` if that is given."""
        self.passes += 0.5
        found = np.empty(self.shape_of_scores, self.dtype) if out is None or self.dtype != np.float64 else out
        explained(self._problem.scores, theta, None, found)
        if out is None:
            return found.astype(np.float64, copy=False)
        if found is not out:
            out[...] = found
        return out

    def combine(self, slopes: Array) -> Array:
        """What `scores` is the transpose of: X.T @ slopes and, if there are intercepts, their sums, as a theta."""
        self.passes += 0.5
        out = np.zeros(self.size)
        total = explained(self._problem.add_slopes, np.ascontiguousarray(slopes, self.dtype))
        self._problem.finish(total, out, None, out)
        return out

    def products(self, weights: Array) -> Array:
        """X.T @ diag(weights) @ X, X with a column of ones behind it if there is an intercept; of one score a row."""
        self.passes += 0.5
        products: Array
        products, of_ones = explained(self._problem.product_columns, weights)
        if not self.has_intercept:
            return products
        result = np.empty((self.size, self.size))
        result[:-1, :-1] = products
        result[-1, :-1] = result[:-1, -1] = of_ones
        result[-1, -1] = weights.sum()
        return result

    def squares(self, weights: Array) -> Array:
        """The diagonal of `products`."""
        self.passes += 0.5
        columns: Array = explained(self._problem.square_columns, weights)
        return np.append(columns, weights.sum()) if self.has_intercept else columns

    def row_norms(self, step: int = 1) -> Array:
        """Sums of the squares of the entries of every so many-th row."""
        self.passes += 0.5 / step
        norms: Array = explained(self._problem.square_rows, self._every(step))
        return norms

    # The loss of given scores

    def value(self, scores: Array) -> float:
        """Sum of c_i*loss(y_i, z_i)."""
        if isinstance(self.weights, float):
            value = self.weights * self.loss.value(self.y, scores, **self._options)
        else:
            value = self.loss.value(self.y, scores, sample_weight=self.weights, **self._options)
        return float(value)

    def slopes(self, scores: Array) -> Array:
        """Its derivative with respect to each score."""
        slopes = self.loss.grad(self.y, scores, **self._options)
        of_rows = isinstance(self.weights, float) or self.width == 1
        slopes *= self.weights if of_rows else np.asarray(self.weights)[:, np.newaxis]
        return slopes

    def line(self) -> Line:
        """The same at once with second derivatives, and along lines of scores; of one score a row."""
        return Line(self.loss._bound.margin, self.signs, self.weights)

    @property
    def _options(self) -> dict[str, Any]:
        return {"reduction": "sum", "n_threads": self.n_threads}

    def value_at_0(self) -> float:
        """That of scores that are all 0, of one score a row."""
        of_weights = self.n_rows * self.weights if isinstance(self.weights, float) else self.weights.sum()
        return float(of_weights * self.loss.value(self.y[:1], np.zeros(1), reduction="sum"))

    def squares_of_slopes(self, slopes: Array) -> float:
        """Sum of slopes^2/c, of one score a row."""
        if isinstance(self.weights, float):
            return float(np.dot(slopes, slopes)) / self.weights
        return float(np.dot(slopes, slopes / self.weights))

    def penalty(self, theta: Array) -> float:
        """penalties/2 . theta^2, without an array of its size."""
        coefs, intercepts = theta[: self.n_coefs], theta[self.n_coefs :]
        with np.errstate(over="ignore"):
            of_intercepts = self.intercept_alpha * np.dot(intercepts, intercepts)
            return float(0.5 * (self.alpha * np.dot(coefs, coefs) + of_intercepts))


def _signs(is_positive: Array) -> Array:
    """-1.0 and 1.0 for 0 and 1."""
    signs: Array = is_positive.astype(np.float64)
    signs *= 2
    signs -= 1
    return signs


def solution(matrix: Array, right: Array) -> Array:
    """Of matrix @ x = right; NaN where rounding, or what X holds, has made the matrix singular."""
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return np.full_like(right, np.nan)


def penalties_of(objective: Objective, width: int) -> Array:
    """Strength of the penalty of each number of a theta of `width` scores a row."""
    of_coefs = np.full(width * objective.n_features, objective.alpha)
    return np.append(of_coefs, np.full(width * objective.fit_intercept, objective._intercept_alpha))


def _weights(objective: Objective) -> tuple[Array | float, Array | None]:
    """What the loss of each row is multiplied by in the objective, and which rows that is not 0 of, unless all."""
    inputs, classes = objective._inputs, objective._problem.targets.classes
    y, of_samples, of_classes = inputs["y"], inputs["sample_weight"], objective._class_weight
    total, exponent = arguments.weight_exponent(y, classes, of_samples, of_classes)
    if objective.reduction == "sum":
        total, exponent = 1.0, 0
    if of_samples is None and of_classes is None:
        return 1.0 / total, None
    weights = np.ones(len(y)) if of_samples is None else np.array(of_samples, np.float64)
    if of_classes is not None:
        weights *= of_classes[arguments.columns(y, classes, 0).astype(np.intp)]
    weights = np.ldexp(weights, -exponent) / total
    rows = np.flatnonzero(weights > 0)
    return (weights, None) if len(rows) == len(weights) else (weights[rows], rows)
