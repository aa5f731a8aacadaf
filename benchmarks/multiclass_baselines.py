"""The strongest NumPy passes we can write for the multiclass losses, and the idiomatic ones: on scores.

`STRONGEST` and `IDIOMATIC` hold Crammer-Singer and Weston-Watkins on the hinge. Labels are class numbers, of
int64; u is 1 - (s_true - s_j) throughout. All passes compute the mean and its derivatives.

A strongest pass walks the rows in blocks that stay in the cache and writes into buffers made beforehand. What
helped besides, measured on 64 MiB of scores:

- Crammer-Singer: the true class is masked by -inf in the caller's scores and put back, which saves a copy.
  For many classes `argmax` of each row finds the rival; for few its branches cost more than a transposed copy,
  whose rows are long enough for vectorised maxima and comparisons (float32, K = 10: 1.6 times faster).
- Weston-Watkins: the 0/1 mask of u > 0 as floats, so that BLAS sums both the values, mask . u, and the slopes
  of the true classes. The scores of the true classes are spread over the columns by an outer product of BLAS,
  which for few classes beats broadcasting. `copyto(where=)`, a mask times a number and columns one by one
  lost.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

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

    def rows(self, n_rows: int) -> "Buffers":
        """Buffers for the last block, which is shorter."""
        return self if n_rows == self.n_rows else Buffers(n_rows, self.n_classes, self.a.dtype)


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
        self.last_buffers = self.buffers.rows(n_rows % self.block_rows or self.block_rows)

    def __call__(self) -> tuple[float, Array]:
        n_rows = len(self.y)
        value, scale = 0.0, 1 / n_rows
        for start in range(0, n_rows, self.block_rows):
            block = slice(start, start + self.block_rows)
            y = self.y[block]
            buffers = self.buffers if len(y) == self.block_rows else self.last_buffers
            value += self.block_pass(y, self.scores[block], scale, self.grad[block], buffers)
        return value * scale, self.grad


# ----------------------------------------------------------------------------------------------------
# What people write


def idiomatic_crammer_singer(y: Array, scores: Array) -> tuple[float, Array]:
    """Of (y, scores): returns (mean, gradient of the mean)."""
    rows = np.arange(len(y))
    others = scores.copy()
    others[rows, y] = -np.inf
    rival = others.argmax(axis=1)
    u = 1 - (scores[rows, y] - scores[rows, rival])
    slopes = (u > 0) / len(y)
    grad = np.zeros_like(scores)
    grad[rows, rival] = slopes
    grad[rows, y] = -slopes
    return np.maximum(0, u).mean(), grad


def idiomatic_weston_watkins(y: Array, scores: Array) -> tuple[float, Array]:
    rows = np.arange(len(y))
    u = 1 - (scores[rows, y][:, None] - scores)
    u[rows, y] = 0
    grad = (u > 0).astype(scores.dtype) / len(y)
    grad[rows, y] = -grad.sum(axis=1)
    return np.maximum(0, u).sum() / len(y), grad


IDIOMATIC: dict[str, Callable[[Array, Array], tuple[float, Array]]] = {
    "crammer_singer": idiomatic_crammer_singer,
    "weston_watkins": idiomatic_weston_watkins,
}
