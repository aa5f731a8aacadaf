"""The strongest NumPy passes we can write for the multiclass losses: on scores, and for linear models.

Crammer-Singer and Weston-Watkins on the hinge. Labels are class numbers, of int64; u is 1 - (s_true - s_j)
throughout. All passes compute the mean and its derivatives.

On scores they walk the rows in blocks that stay in the cache and write into buffers made beforehand. What helped
besides, measured on 64 MiB of scores:

- Crammer-Singer: the true class is masked by -inf in the caller's scores and put back, which saves a copy.
  For many classes `argmax` of each row finds the rival; for few its branches cost more than a transposed copy,
  whose rows are long enough for vectorised maxima and comparisons (float32, K = 10: 1.6 times faster).
- Weston-Watkins: the 0/1 mask of u > 0 as floats, so that BLAS sums both the values, mask . u, and the slopes
  of the true classes. The scores of the true classes are spread over the columns by an outer product of BLAS,
  which for few classes beats broadcasting. `copyto(where=)`, a mask times a number and columns one by one
  lost.

Linear models are two products with the slopes between them, in blocks of rows, and two liberties that the idiomatic
pass does not take:

- Rows of zero slope may be left out of the second product. The two slopes that Crammer-Singer leaves in an
  active row may also be a sparse matrix, if SciPy is there, which saves most of that product.
- Both products are done in the way that is fastest for this shape, this BLAS and this number of threads: a
  trial finds it out before the timing. OpenBLAS, for one, is 2.0 (float32) to 2.6 times (float64) faster at
  K = 10 in products of at most 10^6 terms, so X is taken in blocks of a hundred rows, all of them in one call
  of `np.matmul`.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

try:
    from scipy.sparse import csc_array
except ImportError:  # the slopes stay dense then
    csc_array = None

Array: TypeAlias = npt.NDArray[Any]

# Bytes of the scores of one block; three such buffers are in use. Between 2**18 and 2**21 it makes little
# difference; in smaller blocks calls cost more.
SCORES_BLOCK_BYTES = 2**19

# Up to so many classes Crammer-Singer transposes instead of asking `argmax`.
FEW_CLASSES = 16


class Buffers:
    """Scratch for one block of rows, in the dtype of the scores."""

    def __init__(self, n_rows: int, n_classes: int, dtype: npt.DTypeLike) -> None:
        self.n_rows, self.n_classes = n_rows, n_classes
        self.first = np.arange(n_rows) * n_classes  # where each row starts among the block's scores
        self.at, self.rival = np.empty(n_rows, np.intp), np.empty(n_rows, np.intp)
        self.a, self.b = np.empty(n_rows, dtype), np.empty(n_rows, dtype)
        self.active = np.empty(n_rows, np.bool_)
        self.u = np.empty((n_rows, n_classes), dtype)
        self.mask = np.empty((n_rows, n_classes), np.bool_)
        self.ones = np.ones(n_classes, dtype)
        self.shorter: Buffers | None = None

    def rows(self, n_rows: int) -> "Buffers":
        """Buffers for so many rows; those of the last block, which is shorter, are made once."""
        if n_rows == self.n_rows:
            return self
        if self.shorter is None or self.shorter.n_rows != n_rows:
            self.shorter = Buffers(n_rows, self.n_classes, self.a.dtype)
        return self.shorter


# Of (y, scores, scale, grad, buffers): writes scale * d loss / d score into grad, returns the unscaled sum of
# losses.
BlockPass: TypeAlias = Callable[[Array, Array, float, Array, Buffers], float]


def crammer_singer(y: Array, scores: Array, scale: float, grad: Array, buffers: Buffers) -> float:
    """max(0, 1 - (s_true - s_rival)), the rival being the best other class, the first of equals."""
    if scores.shape[1] > FEW_CLASSES:
        return _crammer_singer_by_rows(y, scores, scale, grad, buffers)
    value = _crammer_singer_by_columns(y, scores, scale, grad, buffers)
    return _crammer_singer_by_rows(y, scores, scale, grad, buffers) if value is None else value


def _crammer_singer_by_rows(y: Array, scores: Array, scale: float, grad: Array, buffers: Buffers) -> float:
    at, rival, true, u = buffers.at, buffers.rival, buffers.a, buffers.b
    flat, flat_grad = scores.reshape(-1), grad.reshape(-1)
    np.add(buffers.first, y, out=at)
    np.take(flat, at, out=true, mode="clip")  # mode="raise" takes a second copy
    flat[at] = -np.inf
    scores.argmax(axis=1, out=rival)
    flat[at] = true
    np.add(buffers.first, rival, out=rival)
    np.take(flat, rival, out=u, mode="clip")
    value = _two_slopes(true, u, scale, buffers)
    grad.fill(0)
    flat_grad[rival] = true
    np.negative(true, out=true)
    flat_grad[at] = true
    return value


def _crammer_singer_by_columns(
    y: Array, scores: Array, scale: float, grad: Array, buffers: Buffers
) -> float | None:
    """The same; None if two rivals of a row are equal, since all classes that equal the best are marked."""
    at, true, u = buffers.at, buffers.a, buffers.b
    by_class = buffers.u.reshape(scores.shape[::-1])
    is_rival = buffers.mask.reshape(scores.shape[::-1])
    flat = scores.reshape(-1)
    np.add(buffers.first, y, out=at)
    np.take(flat, at, out=true, mode="clip")
    flat[at] = -np.inf
    np.copyto(by_class, scores.T)
    flat[at] = true
    np.maximum.reduce(by_class, axis=0, out=u)
    np.equal(by_class, u, out=is_rival)
    if np.count_nonzero(is_rival) != len(y):
        return None
    value = _two_slopes(true, u, scale, buffers)
    np.copyto(by_class, is_rival)
    np.multiply(by_class, true, out=by_class)
    np.copyto(grad, by_class.T)
    np.negative(true, out=true)
    grad.reshape(-1)[at] = true
    return value


def _two_slopes(true: Array, rival: Array, scale: float, buffers: Buffers) -> float:
    """The sum of losses, from the scores of both classes; the rival's slopes are written into `true`."""
    np.subtract(true, rival, out=rival)
    np.subtract(1, rival, out=rival)
    np.greater(rival, 0, out=buffers.active)
    np.copyto(true, buffers.active)
    value = float(np.dot(true, rival))
    np.multiply(true, scale, out=true)
    return value


def weston_watkins(y: Array, scores: Array, scale: float, grad: Array, buffers: Buffers) -> float:
    """The sum of max(0, 1 - (s_true - s_j)) over the other classes."""
    at, true, counts, u, mask = buffers.at, buffers.a, buffers.b, buffers.u, buffers.mask
    np.add(buffers.first, y, out=at)
    np.take(scores.reshape(-1), at, out=true, mode="clip")
    np.subtract(true, 1, out=true)
    np.dot(true[:, None], buffers.ones[None, :], out=u)
    np.subtract(scores, u, out=u)
    np.greater(u, 0, out=mask)
    np.copyto(grad, mask)
    value = float(np.dot(u.reshape(-1), grad.reshape(-1))) - len(y)  # every true class counted as 1
    np.dot(grad, buffers.ones, out=counts)
    np.multiply(grad, scale, out=grad)
    np.subtract(1, counts, out=counts)
    np.multiply(counts, scale, out=counts)
    grad.reshape(-1)[at] = counts
    return value


STRONGEST: dict[str, BlockPass] = {"crammer_singer": crammer_singer, "weston_watkins": weston_watkins}


class ScoresPass:
    """The strongest pass on scores: calling it returns (mean, gradient of the mean).

    Parameters
    ----------
    name : str
        ``"crammer_singer"`` or ``"weston_watkins"``.
    y : ndarray of int64, shape (n_rows,)
    scores : ndarray, shape (n_rows, n_classes), float32 or float64
        Written to and put back.
    """

    def __init__(self, name: str, y: Array, scores: Array) -> None:
        n_rows, n_classes = scores.shape
        self.block_pass = STRONGEST[name]
        self.y, self.scores, self.grad = y, scores, np.empty_like(scores)
        self.block_rows = max(1, min(n_rows, SCORES_BLOCK_BYTES // (n_classes * scores.itemsize)))
        self.buffers = Buffers(self.block_rows, n_classes, scores.dtype)

    def __call__(self) -> tuple[float, Array]:
        n_rows = len(self.y)
        value, scale = 0.0, 1 / n_rows
        for start in range(0, n_rows, self.block_rows):
            block = slice(start, start + self.block_rows)
            y = self.y[block]
            buffers = self.buffers.rows(len(y))
            value += self.block_pass(y, self.scores[block], scale, self.grad[block], buffers)
        return value * scale, self.grad


# ----------------------------------------------------------------------------------------------------
# Linear models

# Bytes of the rows of X whose slopes are found and used at once. The second product then finds them in the
# last-level cache at least; in smaller blocks the calls cost more than that saves.
X_BLOCK_BYTES = 2**23

# A trial of ways takes so many blocks: more than a last-level cache holds on most machines.
TRIAL_BLOCKS = 8

# OpenBLAS has a faster product, without packing, for at most so many terms.
SMALL_PRODUCT = 10**6


class Slopes(Protocol):
    """Slopes of the scores of a block of rows, found once, then handed out in the form that is wanted."""

    def find(self, y: Array, scores: Array) -> float:
        """Find them; return the sum of losses. The scores may be overwritten."""

    def rows(self) -> Array:
        """The rows of the block that have slopes."""

    def dense(self) -> Array:
        """The slopes of all rows, shape (n_rows, n_classes)."""

    def sparse(self) -> Any:
        """The transposed slopes as a csc_array, shape (n_classes, n_rows)."""


class CrammerSingerSlopes:
    """Two slopes in each active row."""

    def __init__(self, n_rows: int, n_classes: int, dtype: npt.DTypeLike, scale: float) -> None:
        self.scale, self.n_classes = scale, n_classes
        self.whole = self.buffers = Buffers(n_rows, n_classes, dtype)
        self.slopes = np.zeros((n_rows, n_classes), dtype)
        self.pairs = np.tile(np.array([-scale, scale], dtype), n_rows)
        self.classes = np.empty(2 * n_rows, np.int32)
        self.indptr = np.zeros(n_rows + 1, np.int32)
        self.y = self.active_rows = self.whole.at[:0]

    def find(self, y: Array, scores: Array) -> float:
        self.buffers = buffers = self.whole.rows(len(y))
        at, rival, true, u = buffers.at, buffers.rival, buffers.a, buffers.b
        flat = scores.reshape(-1)
        np.add(buffers.first, y, out=at)
        np.take(flat, at, out=true, mode="clip")
        flat[at] = -np.inf
        scores.argmax(axis=1, out=rival)
        np.add(buffers.first, rival, out=at)
        np.take(flat, at, out=u, mode="clip")
        np.subtract(true, u, out=u)
        np.subtract(1, u, out=u)
        np.greater(u, 0, out=buffers.active)
        np.maximum(u, 0, out=u)
        self.y, self.active_rows = y, np.flatnonzero(buffers.active)
        return float(np.add.reduce(u))

    def rows(self) -> Array:
        return self.active_rows

    def dense(self) -> Array:
        rows, slopes = self.active_rows, self.slopes[: len(self.y)]
        slopes.fill(0)
        start = self.buffers.first[rows]
        slopes.reshape(-1)[start + self.y[rows]] = -self.scale
        slopes.reshape(-1)[start + self.buffers.rival[rows]] = self.scale
        return slopes

    def sparse(self) -> Any:
        rows, n = self.active_rows, len(self.y)
        classes, indptr = self.classes[: 2 * len(rows)], self.indptr[: n + 1]
        np.take(self.y, rows, out=classes[::2], mode="clip")
        np.take(self.buffers.rival, rows, out=classes[1::2], mode="clip")
        np.cumsum(self.buffers.active, out=indptr[1:])
        np.multiply(indptr, 2, out=indptr)
        return csc_array((self.pairs[: 2 * len(rows)], classes, indptr), shape=(self.n_classes, n))


class WestonWatkinsSlopes:
    """A slope for each class that comes within 1 of the true one, and one for the true one."""

    def __init__(self, n_rows: int, n_classes: int, dtype: npt.DTypeLike, scale: float) -> None:
        self.scale = scale
        self.whole = self.buffers = Buffers(n_rows, n_classes, dtype)
        self.slopes = np.empty((n_rows, n_classes), dtype)

    def find(self, y: Array, scores: Array) -> float:
        self.buffers = self.whole.rows(len(y))
        return weston_watkins(y, scores, self.scale, self.dense(), self.buffers)

    def rows(self) -> Array:
        return np.flatnonzero(self.buffers.b)  # the slopes of the true classes

    def dense(self) -> Array:
        return self.slopes[: self.buffers.n_rows]

    def sparse(self) -> Any:
        n_rows, n_classes = self.dense().shape
        mask = self.buffers.mask
        mask.reshape(-1)[self.buffers.at] = self.buffers.b != 0
        at = np.flatnonzero(mask)
        indptr = np.zeros(n_rows + 1, np.int32)
        np.cumsum(np.count_nonzero(mask, axis=1), out=indptr[1:])
        parts = (self.dense().reshape(-1)[at], (at % n_classes).astype(np.int32), indptr)
        return csc_array(parts, shape=(n_classes, n_rows))


SLOPES: dict[str, type[CrammerSingerSlopes] | type[WestonWatkinsSlopes]] = {
    "crammer_singer": CrammerSingerSlopes,
    "weston_watkins": WestonWatkinsSlopes,
}

Answer: TypeAlias = tuple[float, Array, Array]


class LinearPass:
    """Value and gradients of a linear model, block by block; both products are left to its children.

    Parameters
    ----------
    name : str
        ``"crammer_singer"`` or ``"weston_watkins"``.
    X : ndarray or csr_array, shape (n_rows, n_features)
    y : ndarray of int64, shape (n_rows,)
    coef : ndarray, shape (n_classes, n_features)
        Of X's dtype, as is everything below.
    intercept : ndarray, shape (n_classes,)
    block_rows : int

    Attributes
    ----------
    ways : tuple of str
        Of doing the first and the second product, as a trial chose them.
    """

    FIRST: tuple[str, ...]
    SECOND: tuple[str, ...]

    def __init__(self, name: str, X: Any, y: Array, coef: Array, intercept: Array, block_rows: int) -> None:
        self.y, self.coef, self.intercept = y, coef, intercept
        blocks = [slice(start, start + block_rows) for start in range(0, len(y), block_rows)]
        self.blocks = [(X if len(blocks) == 1 else X[rows], y[rows]) for rows in blocks]
        self.slopes: Slopes = SLOPES[name](min(block_rows, len(y)), len(coef), coef.dtype, 1 / len(y))
        self.coef_transposed = np.empty(coef.shape[::-1], coef.dtype)
        self.grad_coef, self.grad_intercept = np.empty_like(coef), np.empty_like(intercept)
        self.ways = self.FIRST[0], self.SECOND[0]
        self.ways = self._fastest([(way, self.SECOND[0]) for way in self.FIRST if self.can(way)])
        self.ways = self._fastest([(self.ways[0], way) for way in self.SECOND if self.can(way)])

    def __call__(self) -> Answer:
        first, second = self.ways
        np.copyto(self.coef_transposed, self.coef.T)
        self.grad_coef.fill(0)
        self.grad_intercept.fill(0)
        value = 0.0
        for X, y in self.blocks:
            scores = self.score(X, first)
            np.add(scores, self.intercept, out=scores)
            value += self.slopes.find(y, scores)
            self.accumulate(X, second)
        return value / len(self.y), self.grad_coef, self.grad_intercept

    def can(self, way: str) -> bool:
        """Whether this way can be the fastest here."""
        return way != "sparse" or csc_array is not None

    def score(self, X: Any, way: str) -> Array:
        """The scores of a block, which the caller may overwrite."""
        raise NotImplementedError

    def accumulate(self, X: Any, way: str) -> None:
        """Add the block's gradients."""
        raise NotImplementedError

    def _fastest(self, candidates: list[tuple[str, str]]) -> tuple[str, str]:
        """The ways that are fastest in a trial: the best of three calls each, in turns, on some blocks.

        A way that takes twice the time of another one in the first call is not tried again.
        """
        best = dict.fromkeys(candidates, np.inf)
        blocks, self.blocks = self.blocks, self.blocks[:TRIAL_BLOCKS]
        for _ in range(3 if len(candidates) > 1 else 0):
            for self.ways in [ways for ways in candidates if best[ways] <= 2 * min(best.values())]:
                start = perf_counter()
                self()
                best[self.ways] = min(best[self.ways], perf_counter() - start)
        self.blocks = blocks
        return min(best, key=best.__getitem__)

    def _add_to_intercept(self, slopes: Array) -> None:
        np.add(self.grad_intercept, np.add.reduce(slopes, axis=0), out=self.grad_intercept)

    def _add_sparse_to_intercept(self, slopes: Any) -> None:
        sums = np.bincount(slopes.indices, slopes.data, minlength=len(self.grad_intercept))
        np.add(self.grad_intercept, sums, out=self.grad_intercept, casting="same_kind")


class DensePass(LinearPass):
    """The strongest pass over dense X: returns (mean, its gradients with respect to coef and intercept)."""

    FIRST = ("whole", "transposed", "small")
    SECOND = ("active rows", "all rows", "sparse")

    def __init__(self, name: str, X: Array, y: Array, coef: Array, intercept: Array) -> None:
        n_rows, n_features = X.shape
        block_rows = min(n_rows, max(1, X_BLOCK_BYTES // (n_features * X.itemsize)))
        # OpenBLAS likes multiples of 8 rows, and loses in blocks of fewer.
        self.small = SMALL_PRODUCT // coef.size // 8 * 8
        self.scores = np.empty((block_rows, len(coef)), coef.dtype)
        self.by_class = np.empty(block_rows * len(coef), coef.dtype)
        self.part = np.empty_like(coef)
        self.active_X, self.active_slopes = np.empty((block_rows, n_features), X.dtype), self.scores
        super().__init__(name, X, y, coef, intercept, block_rows)

    def can(self, way: str) -> bool:
        return super().can(way) and (way != "small" or self.small > 0)

    def score(self, X: Array, way: str) -> Array:
        scores = self.scores[: len(X)]
        if way == "whole":
            return np.dot(X, self.coef.T, out=scores)
        if way == "transposed":
            by_class = self.by_class[: scores.size].reshape(scores.shape[::-1])
            np.copyto(scores, np.dot(self.coef, X.T, out=by_class).T)
            return scores
        n_features, n_classes = self.coef_transposed.shape
        n_blocks = len(X) // self.small
        n = n_blocks * self.small
        out = scores[:n].reshape(n_blocks, self.small, n_classes)
        np.matmul(X[:n].reshape(n_blocks, self.small, n_features), self.coef_transposed, out=out)
        np.dot(X[n:], self.coef_transposed, out=scores[n:])
        return scores

    def accumulate(self, X: Array, way: str) -> None:
        if way == "sparse":
            sparse = self.slopes.sparse()
            np.add(self.grad_coef, sparse @ X, out=self.grad_coef)
            self._add_sparse_to_intercept(sparse)
            return
        slopes = self.slopes.dense()
        if way == "active rows":
            rows = self.slopes.rows()
            X = np.take(X, rows, axis=0, out=self.active_X[: len(rows)], mode="clip")
            slopes = np.take(slopes, rows, axis=0, out=self.active_slopes[: len(rows)], mode="clip")
        np.dot(slopes.T, X, out=self.part)
        np.add(self.grad_coef, self.part, out=self.grad_coef)
        self._add_to_intercept(slopes)


class CSRPass(LinearPass):
    """The strongest pass over a SciPy CSR array, in one block."""

    FIRST = ("whole",)
    SECOND = ("all rows", "active rows", "sparse")

    def __init__(self, name: str, X: Any, y: Array, coef: Array, intercept: Array) -> None:
        self.X_transposed = X.T  # a CSC view of the same arrays, made once
        super().__init__(name, X, y, coef, intercept, len(y))

    def score(self, X: Any, way: str) -> Array:
        return X @ self.coef_transposed

    def accumulate(self, X: Any, way: str) -> None:
        if way == "sparse":
            sparse = self.slopes.sparse()
            (sparse.tocsr() @ X).toarray(out=self.grad_coef)
            self._add_sparse_to_intercept(sparse)
            return
        slopes = self.slopes.dense()
        self._add_to_intercept(slopes)
        if way == "all rows":
            product = self.X_transposed @ slopes
        else:
            rows = self.slopes.rows()
            product = X[rows].T @ slopes[rows]
        np.copyto(self.grad_coef, product.T)
