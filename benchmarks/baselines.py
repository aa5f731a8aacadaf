"""What hingefast is compared with: the strongest NumPy passes we can write, and the idiomatic ones.

All of them compute the mean loss and its derivatives, with respect to the scores or to coef and intercept.

- A **strongest** pass writes into buffers made beforehand, takes no temporary it can do without, lets BLAS sum where
  a sum is a dot product, and walks the rows in blocks that stay in the cache. `STRONGEST` holds those on scores, for
  the losses that compute different things and their default parameters; the other losses of their families cost the
  same. `DensePass`, `TilePass` and `CSRPass` put them between the two products of a linear model. Those for K classes
  are in multiclass_baselines.py.
  Measured on 16384 rows, a 0/1 mask copied into a float buffer and multiplied beats `where=`, boolean indexing,
  `np.where`, `np.sign` and `np.heaviside`; `exp(x - softplus(x))` beats `scipy.special.expit` (4 times) and
  `logaddexp` (8 times).
- An **idiomatic** pass is what people write, one expression a line: the NumPy twin of ``hingefast eval --compare``,
  of every loss, for one score a row or K.

u is margin - y*z throughout, as in hingefast.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import pi, sqrt
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import hingefast as hf

try:
    from scipy.special import erfc
except ImportError:  # psi_g has no baseline then: NumPy has no erfc
    erfc = None

Array: TypeAlias = npt.NDArray[Any]

# Does one job, with all preparation done; and what makes such passes, by the name of who does it.
Pass: TypeAlias = Callable[[], Any]
Makers: TypeAlias = dict[str, Callable[[], Pass]]

# Bytes of one buffer of a block of scores. Five of them are in use; they stay in a level-2 cache of 512 KiB,
# and the fixed cost of a dozen ufunc calls is a tenth of the work.
SCORES_BLOCK_BYTES = 2**16

# Bytes of one block of rows of X, which is read twice: in 128 KiB calls cost more, in 1 MiB the second read
# misses.
ROWS_BLOCK_BYTES = 2**19
# A block with fewer rows loses to two passes over all of X: adding up the blocks' gradients costs too much.
MIN_BLOCK_ROWS = 32


class Buffers:
    """Scratch for one block of rows, in the dtype of the scores."""

    def __init__(self, n_rows: int, dtype: npt.DTypeLike) -> None:
        self.y = np.empty(n_rows, dtype)
        self.u = np.empty(n_rows, dtype)
        self.v = np.empty(n_rows, dtype)
        self.mask = np.empty(n_rows, np.bool_)
        self.n_rows = n_rows

    def rows(self, n_rows: int) -> "Buffers":
        """The same memory, cut to the number of rows of the last block."""
        if n_rows == self.n_rows:
            return self
        cut = Buffers(0, self.u.dtype)
        cut.y, cut.u, cut.v, cut.mask = self.y[:n_rows], self.u[:n_rows], self.v[:n_rows], self.mask[:n_rows]
        cut.n_rows = n_rows
        return cut


# Of (y, scores, scale, grad, buffers): writes scale * d loss / d score into grad, returns the unscaled sum of
# losses. y has the dtype of the scores; `grad` may be used as scratch before the end.
BlockPass: TypeAlias = Callable[[Array, Array, float, Array, Buffers], float]


def _shortfall(y: Array, scores: Array, margin: float, u: Array) -> None:
    """Write margin - y*scores into u."""
    np.multiply(y, scores, out=u)
    np.subtract(margin, u, out=u)


def hinge(margin: float) -> BlockPass:
    """max(0, u)."""

    def block_pass(y: Array, scores: Array, scale: float, grad: Array, buffers: Buffers) -> float:
        u, mask = buffers.u, buffers.mask
        _shortfall(y, scores, margin, u)
        np.greater(u, 0, out=mask)
        np.maximum(u, 0, out=u)
        np.copyto(grad, mask)
        np.multiply(grad, y, out=grad)
        np.multiply(grad, -scale, out=grad)
        return float(np.add.reduce(u))

    return block_pass


def squared_hinge(margin: float) -> BlockPass:
    """max(0, u)**2: the sum of squares is a dot product."""

    def block_pass(y: Array, scores: Array, scale: float, grad: Array, buffers: Buffers) -> float:
        u = buffers.u
        _shortfall(y, scores, margin, u)
        np.maximum(u, 0, out=u)
        np.multiply(u, y, out=grad)
        np.multiply(grad, -2 * scale, out=grad)
        return float(np.dot(u, u))

    return block_pass


def gaussian_hinge(margin: float, sigma: float) -> BlockPass:
    """u*Phi(v) + sigma*pdf(v) with v = u/sigma. Its tail cancels for v << 0, which no sum over rows shows."""

    def block_pass(y: Array, scores: Array, scale: float, grad: Array, buffers: Buffers) -> float:
        u, v = buffers.u, buffers.v
        _shortfall(y, scores, margin, u)
        np.multiply(u, -1 / (sigma * sqrt(2)), out=v)
        erfc(v, out=grad)  # 2 * Phi
        np.multiply(v, v, out=v)
        np.negative(v, out=v)
        np.exp(v, out=v)
        value = 0.5 * float(np.dot(u, grad)) + sigma / sqrt(2 * pi) * float(np.add.reduce(v))
        np.multiply(grad, y, out=grad)
        np.multiply(grad, -0.5 * scale, out=grad)
        return value

    return block_pass


def softplus(margin: float, beta: float) -> BlockPass:
    """log(1 + exp(x))/beta with x = beta*u, as max(0, x) + log1p(exp(-|x|)); the sigmoid is exp(x - that)."""

    def block_pass(y: Array, scores: Array, scale: float, grad: Array, buffers: Buffers) -> float:
        x, log_term = buffers.u, buffers.v
        _shortfall(y, scores, margin, x)
        if beta != 1:
            np.multiply(x, beta, out=x)
        np.abs(x, out=log_term)
        np.negative(log_term, out=log_term)
        np.exp(log_term, out=log_term)
        np.log1p(log_term, out=log_term)
        np.maximum(x, 0, out=grad)
        np.add(log_term, grad, out=log_term)
        np.subtract(x, log_term, out=grad)
        np.exp(grad, out=grad)
        np.multiply(grad, y, out=grad)
        np.multiply(grad, -scale, out=grad)
        return float(np.add.reduce(log_term)) / beta

    return block_pass


STRONGEST: dict[str, BlockPass] = {
    "hinge": hinge(1.0),
    "squared_hinge": squared_hinge(1.0),
    "softplus_hinge": softplus(1.0, 1.0),
    "logistic": softplus(0.0, 1.0),
}
if erfc is not None:
    STRONGEST["psi_g"] = gaussian_hinge(1.0, 1.0)


class ScoresPass:
    """The strongest pass on scores: calling it returns (mean, gradient of the mean).

    Parameters
    ----------
    name : str
        Canonical name of the loss.
    y : ndarray, shape (n_rows,)
        -1 and +1 in any dtype; another dtype than the scores' is cast block by block.
    scores : ndarray, shape (n_rows,), float32 or float64
    """

    def __init__(self, name: str, y: Array, scores: Array) -> None:
        self.block_pass = STRONGEST[name]
        self.y, self.scores = y, scores
        self.grad = np.empty_like(scores)
        block_rows = min(len(scores), SCORES_BLOCK_BYTES // scores.itemsize)
        self.buffers = Buffers(block_rows, scores.dtype)
        self.scale = 1 / len(scores)

    def __call__(self) -> tuple[float, Array]:
        n_rows, block_rows = len(self.scores), self.buffers.n_rows
        if n_rows == block_rows and self.y.dtype == self.scores.dtype:  # small batches: no slicing
            value = self.block_pass(self.y, self.scores, self.scale, self.grad, self.buffers)
            return value * self.scale, self.grad
        value = 0.0
        for start in range(0, n_rows, block_rows):
            block = slice(start, min(start + block_rows, n_rows))
            buffers = self.buffers.rows(block.stop - start)
            y = self.y[block]
            if y.dtype != buffers.y.dtype:  # once; the ufuncs below would each cast it again
                np.copyto(buffers.y, y)
                y = buffers.y
            value += self.block_pass(y, self.scores[block], self.scale, self.grad[block], buffers)
        return value * self.scale, self.grad


class DensePass:
    """The strongest pass over dense X: returns (mean, its gradients with respect to coef and intercept).

    X is walked in blocks of rows that the second product finds in the cache. Where a block would have few
    rows (wide X) or X is in Fortran order, it is the two products over the whole of X instead.
    """

    def __init__(self, name: str, X: Array, y: Array, coef: Array, intercept: float) -> None:
        n_rows, n_features = X.shape
        block_rows = ROWS_BLOCK_BYTES // (n_features * coef.itemsize)
        whole = block_rows < MIN_BLOCK_ROWS or block_rows >= n_rows or not X.flags.c_contiguous
        self.X, self.y, self.coef, self.intercept = X, y, coef, intercept
        self.scores = np.empty(n_rows, coef.dtype)
        self.passes: list[tuple[Array, ScoresPass]] = []
        for start in range(0, n_rows, n_rows if whole else block_rows):
            rows = slice(start, min(start + (n_rows if whole else block_rows), n_rows))
            on_scores = ScoresPass(name, y[rows], self.scores[rows])
            on_scores.scale = 1 / n_rows
            if self.passes:  # one gradient buffer and one scratch for all blocks: they stay in the cache
                n = rows.stop - start
                on_scores.grad = self.passes[0][1].grad[:n]
                on_scores.buffers = self.passes[0][1].buffers.rows(min(n, self.passes[0][1].buffers.n_rows))
            self.passes.append((X[rows], on_scores))
        self.grad_coef = np.empty_like(coef)
        self.part = np.empty_like(coef)

    def rows_of(self, X_block: Array) -> Array:
        """The block of X as BLAS takes it."""
        return X_block

    def __call__(self) -> tuple[float, Array, float]:
        value, grad_intercept = 0.0, 0.0
        for i, (X_block, on_scores) in enumerate(self.passes):
            X = self.rows_of(X_block)
            np.dot(X, self.coef, out=on_scores.scores)
            np.add(on_scores.scores, self.intercept, out=on_scores.scores)
            block_value, slopes = on_scores()
            value += block_value
            grad_intercept += float(np.add.reduce(slopes))
            np.dot(slopes, X, out=self.part if i else self.grad_coef)
            if i:
                np.add(self.grad_coef, self.part, out=self.grad_coef)
        return value, self.grad_coef, grad_intercept


class TilePass(DensePass):
    """The same for X in a dtype that BLAS does not take: a block is cast into a tile, for both products."""

    def __init__(self, name: str, X: Array, y: Array, coef: Array, intercept: float) -> None:
        super().__init__(name, X, y, coef, intercept)
        self.tile = np.empty((max(len(X_block) for X_block, _ in self.passes), X.shape[1]), coef.dtype)

    def rows_of(self, X_block: Array) -> Array:
        tile = self.tile[: len(X_block)]
        np.copyto(tile, X_block)
        return tile


class BatchPass(DensePass):
    """The same for some rows of dense X, which are gathered into buffers made beforehand."""

    def __init__(self, name: str, X: Array, y: Array, coef: Array, intercept: float, rows: Array) -> None:
        self.all_rows, self.rows = (X, y), rows
        super().__init__(name, X[rows], y[rows], coef, intercept)

    def __call__(self) -> tuple[float, Array, float]:
        for everything, batch in zip(self.all_rows, (self.X, self.y), strict=True):
            np.take(everything, self.rows, axis=0, out=batch, mode="clip")  # mode="raise" takes a second copy
        return super().__call__()


class CSRPass:
    """The strongest pass over a SciPy CSR array: its two products, the pass on scores between them."""

    def __init__(self, name: str, X: Any, y: Array, coef: Array, intercept: float) -> None:
        self.X, self.X_transposed = X, X.T  # a CSC view of the same arrays, made once
        self.coef, self.intercept = coef, intercept
        self.on_scores = ScoresPass(name, y, np.empty(X.shape[0], coef.dtype))

    def __call__(self) -> tuple[float, Array, float]:
        np.add(self.X @ self.coef, self.intercept, out=self.on_scores.scores)
        value, slopes = self.on_scores()
        return value, self.X_transposed @ slopes, float(np.add.reduce(slopes))


class BusPass:
    """Not a pass but what none can beat without a cache: every byte of these arrays is read once.

    Each thread reduces its part of every array by "or": of NumPy's reductions none is faster, it is as fast as
    BLAS's dot product, and it takes bytes of any meaning.
    """

    def __init__(self, arrays: Iterable[Array], n_threads: int) -> None:
        words = [array.reshape(-1).view(np.uint8) for array in arrays]
        words = [octets[: octets.size // 8 * 8].view(np.uint64) for octets in words]
        self.parts = [[np.array_split(array, n_threads)[i] for array in words] for i in range(n_threads)]
        self.pool = ThreadPoolExecutor(n_threads)

    def __call__(self) -> None:
        first, *others = self.parts
        futures = [self.pool.submit(self._read, part) for part in others]
        self._read(first)
        for future in futures:
            future.result()

    @staticmethod
    def _read(part: list[Array]) -> None:
        for words in part:
            np.bitwise_or.reduce(words)


def idiomatic(loss: str, y: Array, scores: Array) -> Callable[[], tuple[float, Array]]:
    """The idiomatic pass on scores: returns (mean, gradient of the mean)."""
    return partial(_mean(loss), y, scores)


def idiomatic_linear(
    loss: str, X: Any, y: Array, coef: Array, intercept: Any, rows: Array | None = None
) -> Callable[[], tuple[float, Array, Any]]:
    """The same of a linear model, of all rows or some: `X @ coef.T`, the pass on scores, `slopes.T @ X`.

    X is dense or a SciPy CSR array.
    """
    mean = _mean(loss)

    def linear_pass() -> tuple[float, Array, Any]:
        some, labels = (X, y) if rows is None else (X[rows], y[rows])
        value, slopes = mean(labels, some @ coef.T + intercept)
        return value, slopes.T @ some, slopes.sum(axis=0)

    return linear_pass


def _mean(loss: str) -> Callable[[Array, Array], tuple[float, Array]]:
    # Imported here: of two versions that ci/bench_compare.py compares one may lack it, and neither needs it.
    from hingefast.cli.numpy_losses import numpy_loss

    evaluate = numpy_loss(hf.get_loss(loss)).evaluate

    def mean(y: Array, scores: Array) -> tuple[float, Array]:
        values, slopes = evaluate(y, scores)
        slopes /= len(y)
        return values.mean(), slopes

    return mean
