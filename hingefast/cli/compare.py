"""The other side of ``hingefast eval --compare``: a pass over X in NumPy, or SciPy if installed.

- `NumpyPass`, value and gradient of a linear model in as few passes as NumPy allows: ``X @ coef.T``, the loss,
  ``slopes.T @ X``;
- `tolerance`, how far two correct passes may lie apart because they round differently;
- `compared`, what is told of the two.

Shapes, here and in what is called: X (n, d); coef (d,), scores and slopes (n,) and a float intercept for a
binary loss; coef (K, d), scores and slopes (n, K) and intercept (K,) for K classes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from hingefast.cli.numpy_losses import Arrangement
from hingefast.io.csr import CSR

__all__ = ["Answer", "Comparison", "NumpyPass", "compared", "row_blocks", "tolerance"]

Array: TypeAlias = npt.NDArray[Any]

# Scores of so many rows at a time: some arrays of this size are the memory it takes (8 MiB each in float64).
BLOCK_NUMBERS = 2**20


class Answer(NamedTuple):
    """Value and gradient of mean loss + alpha/2 |coef|^2, or how far each may be off."""

    value: float
    grad_coef: Array
    grad_intercept: float | Array


def row_blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Cut the rows so that a block of them by `width` columns has at most about `BLOCK_NUMBERS` numbers."""
    step = max(1, BLOCK_NUMBERS // max(1, width))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


# ---- products


class _Products(Protocol):
    """Both products of one matrix X, for one coef vector or for K."""

    def scores(self, coef: Array) -> Array:
        """X @ coef.T."""

    def gradient(self, slopes: Array) -> Array:
        """slopes.T @ X."""


class _DenseProducts:
    def __init__(self, X: Array) -> None:
        self._X = X

    def scores(self, coef: Array) -> Array:
        scores: Array = self._X @ coef.T
        return scores

    def gradient(self, slopes: Array) -> Array:
        grad: Array = slopes.T @ self._X
        return grad


class _NumpyProducts:
    """Of a CSR matrix with NumPy alone, class by class; what does not depend on coef is computed once."""

    def __init__(self, X: CSR) -> None:
        self._X = X
        self._row_lengths = np.diff(X.indptr)
        self._filled = np.flatnonzero(self._row_lengths)  # reduceat cannot sum an empty row
        self._starts = X.indptr[self._filled]

    def scores(self, coef: Array) -> Array:
        if coef.ndim > 1:
            return np.stack([self.scores(one) for one in coef], axis=1)
        X = self._X
        scores = np.zeros(X.shape[0], X.data.dtype)
        if self._filled.size:
            scores[self._filled] = np.add.reduceat(X.data * coef[X.indices], self._starts)
        return scores

    def gradient(self, slopes: Array) -> Array:
        if slopes.ndim > 1:
            return np.stack([self.gradient(one) for one in slopes.T])
        X = self._X
        weights = np.repeat(slopes, self._row_lengths)
        weights *= X.data
        grad = np.bincount(X.indices, weights, minlength=X.shape[1])
        return grad.astype(np.float64, copy=False)  # of no numbers: integers


class _ScipyProducts:
    """Of a CSR matrix with `scipy.sparse`, on the same arrays."""

    def __init__(self, X: CSR) -> None:
        from scipy.sparse import csr_array  # type: ignore[import-untyped,import-not-found,unused-ignore]

        self._X = csr_array((X.data, X.indices, X.indptr), shape=X.shape)
        self._transposed = self._X.T  # CSC on the same arrays: nothing is copied

    def scores(self, coef: Array) -> Array:
        scores: Array = self._X @ coef.T
        return scores

    def gradient(self, slopes: Array) -> Array:
        grad: Array = (self._transposed @ slopes).T
        return grad


def _products(X: CSR | Array) -> tuple[_Products, str]:
    """Return the fastest products that are installed, and the name of the library."""
    if isinstance(X, np.ndarray):
        return _DenseProducts(X), "NumPy"
    try:
        return _ScipyProducts(X), "SciPy"
    except ImportError:
        return _NumpyProducts(X), "NumPy"


def _rows_of(X: CSR | Array, rows: slice) -> CSR | Array:
    """Some rows of X, on the same numbers."""
    if isinstance(X, np.ndarray):
        return X[rows]
    indptr = X.indptr[rows.start : rows.stop + 1]
    stored = slice(indptr[0], indptr[-1])
    return CSR(indptr - indptr[0], X.indices[stored], X.data[stored], (indptr.size - 1, X.shape[1]))


def _numbers(X: CSR | Array) -> Array:
    """The stored numbers of X."""
    return X if isinstance(X, np.ndarray) else X.data


# ---- the pass


class NumpyPass:
    """Mean loss and gradient of a linear model, as one would write it with NumPy or SciPy.

    Parameters
    ----------
    X : CSR or ndarray, shape (n_rows, n_features)
    y : ndarray, shape (n_rows,)
        Labels as the arrangement wants them.
    arrangement : Arrangement
    n_classes : int
        Scores in a row: K, or 1 for a binary loss.
    alpha : float
        alpha/2 |coef|^2 is added; the intercept is not penalised.

    Attributes
    ----------
    library : str
        ``"SciPy"`` or ``"NumPy"``: whose products are used.
    """

    library: str

    def __init__(
        self, X: CSR | Array, y: Array, arrangement: Arrangement, n_classes: int = 1, alpha: float = 0.0
    ) -> None:
        self._arrangement = arrangement
        self._alpha = alpha
        self._dtype = _numbers(X).dtype
        self._n_rows = y.size
        self._blocks = []
        for rows in row_blocks(y.size, n_classes):
            products, self.library = _products(_rows_of(X, rows))
            self._blocks.append((products, y[rows]))

    def __call__(self, coef: Array, intercept: float | Array) -> Answer:
        """Return value, gradient for coef and for the intercept; computed in the dtype of X."""
        coef = coef.astype(self._dtype, copy=False)
        intercept = np.asarray(intercept, self._dtype)
        value, grad, grad_intercept = 0.0, None, np.zeros(intercept.shape)
        for products, y in self._blocks:
            scores = products.scores(coef)
            scores += intercept
            values, slopes = self._arrangement.evaluate(y, scores)
            part = products.gradient(slopes)
            grad = part if grad is None else np.add(grad, part, out=grad)
            value += float(values.sum(dtype=np.float64))
            grad_intercept += slopes.sum(axis=0, dtype=np.float64)
        assert grad is not None  # there are rows
        value /= self._n_rows
        grad /= self._n_rows
        if self._alpha:
            value += self._alpha / 2 * float(np.vdot(coef, coef))
            grad += self._alpha * coef
        return Answer(value, grad, (grad_intercept / self._n_rows)[()])


# ---- agreement


@dataclass(frozen=True)
class Comparison:
    """The same pass in NumPy or SciPy, timed in turns with ours."""

    library: str
    seconds: float
    ratio: float  # its time / our time
    value: float
    value_difference: float
    gradient_difference: float  # the largest of any component
    agree: bool


def compared(
    ours: Answer, other: Answer, allowed: Answer, library: str, our_seconds: float, seconds: float
) -> Comparison:
    """Hold the other side's answer and time against ours; `allowed` is the tolerance."""
    differences = (
        np.abs(ours.grad_coef - other.grad_coef).max(initial=0.0),
        np.abs(ours.grad_intercept - other.grad_intercept).max(),
    )
    return Comparison(
        library=library,
        seconds=seconds,
        ratio=seconds / our_seconds if our_seconds else math.inf,  # a coarse clock may see no time pass
        value=other.value,
        value_difference=abs(ours.value - other.value),
        gradient_difference=float(np.maximum(*differences)),  # NaN if one is
        agree=agree(ours, other, allowed),
    )


def tolerance(
    X: CSR | Array,
    y: Array,
    coef: Array,
    intercept: float | Array,
    arrangement: Arrangement,
    alpha: float = 0.0,
) -> Answer:
    """Bound the difference of two correct passes over the same numbers in the dtype of X.

    Both start from rounded scores: a sum of k products is off by at most k eps times the sum of their
    absolute values. `Arrangement.bounds` tells what that makes of values and slopes. The rest are the sums over
    the rows (a column of k numbers: k eps).

    Parameters and result are those of `NumpyPass`, the result holding the largest allowed differences.
    """
    eps = float(np.finfo(_numbers(X).dtype).eps)
    n_rows, n_features = X.shape
    coef = coef.astype(np.float64)
    intercept = np.asarray(intercept, np.float64)
    n_classes = intercept.size
    column_lengths = n_rows if isinstance(X, np.ndarray) else np.bincount(X.indices, minlength=n_features)

    value = value_error = 0.0
    sums, errors = np.zeros(coef.shape), np.zeros(coef.shape)
    intercept_sum, intercept_error = np.zeros(intercept.shape), np.zeros(intercept.shape)
    # A block is copied twice; dense rows are what takes the memory then.
    width = max(n_classes, n_features) if isinstance(X, np.ndarray) else n_classes
    for rows in row_blocks(n_rows, width):
        part = _rows_of(X, rows)
        exact = _products(_with_numbers(part, _numbers(part).astype(np.float64)))[0]
        absolute = _products(_with_numbers(part, np.abs(_numbers(part), dtype=np.float64)))[0]
        row_lengths = n_features if isinstance(part, np.ndarray) else np.diff(part.indptr)
        terms = absolute.scores(np.abs(coef)) + np.abs(intercept)
        # + 4: the coefficient, the intercept, their sum and the product with a label are rounded too.
        score_errors = eps * ((np.reshape(row_lengths, (-1,) + (1,) * (terms.ndim - 1)) + 4) * terms)
        bounds = arrangement.bounds(y[rows], exact.scores(coef) + intercept, score_errors, eps)
        value += float(bounds.values.sum())
        value_error += float(bounds.value_errors.sum())
        sums += absolute.gradient(bounds.slopes)
        errors += absolute.gradient(bounds.slope_errors)
        intercept_sum += bounds.slopes.sum(axis=0)
        intercept_error += bounds.slope_errors.sum(axis=0)

    penalty = alpha * float(np.vdot(coef, coef))
    value_error += n_rows * float(np.finfo(np.float64).eps) * value
    errors += (column_lengths + 8) * eps * sums
    intercept_error += (n_rows + 8) * eps * intercept_sum
    return Answer(
        value_error / n_rows + (coef.size + 4) * eps * penalty,
        errors / n_rows + 4 * eps * alpha * np.abs(coef),
        (intercept_error / n_rows)[()],
    )


def _with_numbers(X: CSR | Array, numbers: Array) -> CSR | Array:
    """X with other stored numbers."""
    return numbers if isinstance(X, np.ndarray) else CSR(X.indptr, X.indices, numbers, X.shape)


def agree(one: Answer, other: Answer, allowed: Answer) -> bool:
    """Tell whether two passes differ by no more than is allowed anywhere; NaN agrees with NaN."""
    return (
        _all_close(one.value, other.value, allowed.value)
        and _all_close(one.grad_coef, other.grad_coef, allowed.grad_coef)
        and _all_close(one.grad_intercept, other.grad_intercept, allowed.grad_intercept)
    )


def _all_close(a: npt.ArrayLike, b: npt.ArrayLike, limit: npt.ArrayLike) -> bool:
    equal = np.equal(a, b) | (np.isnan(a) & np.isnan(b))  # infinities differ by NaN
    return bool(np.all(equal | (np.abs(np.subtract(a, b)) <= limit)))
