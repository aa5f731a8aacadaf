"""The other side of ``hingefast eval --compare``: the same pass in NumPy, or SciPy if installed.

Nothing here uses hingefast's kernels, so that agreement says something. Three parts:

- `NUMPY_LOSSES`, the formulas of the losses of one margin ``m = y * score``, as in the literature;
- `NumpyPass`, value and gradient of a linear model in as few passes as NumPy allows: ``X @ coef``, the loss,
  ``X.T @ slopes``;
- `tolerance`, how far two correct passes may lie apart because they round differently.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hingefast._svmlight import CSR

Array: TypeAlias = npt.NDArray[Any]
Params: TypeAlias = Mapping[str, float]
NumpyLoss: TypeAlias = Callable[[Params, Array], tuple[Array, Array]]


# ---- formulas: (parameters, margins) -> (values, slopes d value / d margin), in the dtype of the margins


def _s_family(margins: Array, margin: float, width: float) -> tuple[Array, Array]:
    """Zero, a parabola of the given width, then a line of slope -1: Rennie's smooth hinge, generalised."""
    v = np.clip(margin - margins, 0, width)
    return v * (margin - margins - v / 2) / width, -v / width


def _hinge(params: Params, margins: Array) -> tuple[Array, Array]:
    u = params["margin"] - margins
    slopes = -(u > 0).astype(margins.dtype)
    slopes[u == 0] = params["kink_slope"]
    slopes[np.isnan(u)] = np.nan  # a comparison loses NaN; the minima and maxima of the other losses keep it
    return np.maximum(u, 0), slopes


def _perceptron(params: Params, margins: Array) -> tuple[Array, Array]:
    slopes = -(margins <= 0).astype(margins.dtype)
    slopes[np.isnan(margins)] = np.nan
    return np.maximum(-margins, 0), slopes


def _squared_hinge(params: Params, margins: Array) -> tuple[Array, Array]:
    v = np.maximum(params["margin"] - margins, 0)
    return v * v, -2 * v


def _smooth_hinge(params: Params, margins: Array) -> tuple[Array, Array]:
    return _s_family(margins, params["margin"], params["width"])


def _modified_huber(params: Params, margins: Array) -> tuple[Array, Array]:
    u = params["margin"] - margins
    v = np.clip(u, 0, 2)
    return v * (2 * u - v), -2 * v


def _huberized_hinge(params: Params, margins: Array) -> tuple[Array, Array]:
    half_width = params["half_width"]
    return _s_family(margins, params["margin"] + half_width, 2 * half_width)


def _huber_margin(params: Params, margins: Array) -> tuple[Array, Array]:
    v = np.maximum(params["margin"] - margins, 0)
    clipped = np.minimum(v, params["delta"])
    return clipped * (v - clipped / 2), -clipped


def _psi_g(params: Params, margins: Array) -> tuple[Array, Array]:
    """Hinge convolved with a Gaussian: u Phi(u/sigma) + sigma pdf(u/sigma), u = margin - m."""
    sigma = params["sigma"]
    v = (params["margin"] - margins) / sigma
    pdf = np.exp(-v * v / 2) / math.sqrt(2 * math.pi)
    cdf = _erfc(v * -math.sqrt(0.5)) / 2
    values = sigma * (v * cdf + pdf)
    # Below -5 the sum cancels. Mills' ratio cdf/pdf = 1/(x + k), x = -v, k = 1/(x + 2/(x + 3/(x + ...))),
    # gives v cdf + pdf = pdf k/(x + k) without a difference; 25 terms are enough for float64 from x = 5 on.
    tail = v < -5
    if tail.any():
        x = -v[tail]
        k = np.zeros_like(x)
        for j in range(25, 0, -1):
            k = j / (x + k)
        values[tail] = sigma * pdf[tail] * (k / (x + k))
    return values, -cdf


def _psi_m(params: Params, margins: Array) -> tuple[Array, Array]:
    """(u + sqrt(u^2 + sigma^2)) / 2; for u < 0 the equal quotient, which does not cancel."""
    sigma = params["sigma"]
    u = params["margin"] - margins
    root = np.hypot(u, sigma)
    values = np.where(u > 0, (u + root) / 2, sigma * (sigma / (root + np.abs(u))) / 2)
    return values, -values / root


def _softplus_hinge(params: Params, margins: Array) -> tuple[Array, Array]:
    beta = params["beta"]
    x = beta * (params["margin"] - margins)
    small = np.exp(-np.abs(x))  # of the larger of exp(x), exp(-x) only the inverse: nothing overflows
    return (np.maximum(x, 0) + np.log1p(small)) / beta, -np.where(x > 0, 1, small) / (1 + small)


def _logistic(params: Params, margins: Array) -> tuple[Array, Array]:
    return _softplus_hinge({"margin": 0.0, "beta": 1.0}, margins)


def _erfc(x: Array) -> Array:
    """`scipy.special.erfc`, or Python's number by number where SciPy is not installed."""
    try:
        from scipy.special import erfc  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        return np.array([math.erfc(v) for v in x.tolist()], x.dtype)
    result: Array = erfc(x)
    return result


NUMPY_LOSSES: dict[str, NumpyLoss] = {
    "hinge": _hinge,
    "perceptron": _perceptron,
    "squared_hinge": _squared_hinge,
    "smooth_hinge": _smooth_hinge,
    "modified_huber": _modified_huber,
    "huberized_hinge": _huberized_hinge,
    "huber_margin": _huber_margin,
    "psi_g": _psi_g,
    "psi_m": _psi_m,
    "softplus_hinge": _softplus_hinge,
    "logistic": _logistic,
}


# ---- the pass


class Pass(NamedTuple):
    """Value and gradient of mean loss + alpha/2 |coef|^2, or how far each may be off."""

    value: float
    grad_coef: Array
    grad_intercept: float


class _NumpyProducts:
    """X @ v and X.T @ v of a CSR matrix with NumPy alone; what does not depend on v is computed once."""

    def __init__(self, X: CSR) -> None:
        self._X = X
        self._row_lengths = np.diff(X.indptr)
        self._filled = np.flatnonzero(self._row_lengths)  # reduceat cannot sum an empty row
        self._starts = X.indptr[self._filled]

    def scores(self, coef: Array) -> Array:
        X = self._X
        scores = np.zeros(X.shape[0], X.data.dtype)
        if self._filled.size:
            scores[self._filled] = np.add.reduceat(X.data * coef[X.indices], self._starts)
        return scores

    def gradient(self, slopes: Array) -> Array:
        X = self._X
        weights = np.repeat(slopes, self._row_lengths)
        weights *= X.data
        return np.bincount(X.indices, weights, minlength=X.shape[1])


class _ScipyProducts:
    """X @ v and X.T @ v with `scipy.sparse`, on the same arrays."""

    def __init__(self, X: CSR) -> None:
        from scipy.sparse import csr_array  # type: ignore[import-untyped,import-not-found,unused-ignore]

        self._X = csr_array((X.data, X.indices, X.indptr), shape=X.shape)
        self._transposed = self._X.T  # CSC on the same arrays: nothing is copied

    def scores(self, coef: Array) -> Array:
        scores: Array = self._X @ coef
        return scores

    def gradient(self, slopes: Array) -> Array:
        grad: Array = self._transposed @ slopes
        return grad


def _products(X: CSR) -> tuple[_NumpyProducts | _ScipyProducts, str]:
    """Return the faster products that are installed, and the name of the library."""
    try:
        return _ScipyProducts(X), "SciPy"
    except ImportError:
        return _NumpyProducts(X), "NumPy"


class NumpyPass:
    """Mean loss and gradient of a linear model on CSR rows, as one would write it with NumPy or SciPy.

    Parameters
    ----------
    X : CSR
        Shape (n_rows, n_features).
    y : ndarray, shape (n_rows,)
        Labels -1 and +1.
    loss : str
        A key of `NUMPY_LOSSES`.
    params : mapping
        The parameters of the loss by name.
    alpha : float
        alpha/2 |coef|^2 is added; the intercept is not penalised.

    Attributes
    ----------
    library : str
        ``"SciPy"`` or ``"NumPy"``: whose sparse products are used.
    """

    def __init__(self, X: CSR, y: Array, loss: str, params: Params, alpha: float = 0.0) -> None:
        self._products, self.library = _products(X)
        self._y = y.astype(X.data.dtype)
        self._loss = NUMPY_LOSSES[loss]
        self._params = params
        self._alpha = alpha

    def __call__(self, coef: Array, intercept: float) -> Pass:
        """Return value, gradient for coef (n_features,) and for the intercept; computed in the dtype of X."""
        n_rows = self._y.size
        coef = coef.astype(self._y.dtype, copy=False)
        margins = self._products.scores(coef)
        margins += intercept
        margins *= self._y
        values, slopes = self._loss(self._params, margins)
        slopes *= self._y
        grad = self._products.gradient(slopes)
        grad /= n_rows
        value = float(values.sum(dtype=np.float64)) / n_rows
        if self._alpha:
            value += self._alpha / 2 * float(np.vdot(coef, coef))
            grad += self._alpha * coef
        return Pass(value, grad, float(slopes.sum(dtype=np.float64)) / n_rows)


# ---- agreement


def tolerance(
    X: CSR, y: Array, coef: Array, intercept: float, loss: str, params: Params, alpha: float = 0.0
) -> Pass:
    """Bound the difference of two correct passes over the same numbers in the dtype of X.

    Both start from rounded margins: a sum of k products is off by at most k eps times the sum of their
    absolute values. Every loss here is convex and falls with the margin, so the ends of the interval of
    possible margins bound its value and slope, at a kink as elsewhere; no constant per loss is needed. The
    rest is the evaluation of the formula (16 eps, generous for a few operations) and the sums over the rows
    (a column of k numbers: k eps).

    Parameters and result are those of `NumpyPass`, the result holding the largest allowed differences.
    """
    eps = float(np.finfo(X.data.dtype).eps)
    n_rows = X.shape[0]
    coef = coef.astype(np.float64)
    row_lengths = np.diff(X.indptr)
    column_lengths = np.bincount(X.indices, minlength=X.shape[1])
    exact, _ = _products(CSR(X.indptr, X.indices, X.data.astype(np.float64), X.shape))
    absolute, _ = _products(CSR(X.indptr, X.indices, np.abs(X.data, dtype=np.float64), X.shape))

    margins = y * (exact.scores(coef) + intercept)
    terms = absolute.scores(np.abs(coef)) + abs(intercept)
    # + 4: the coefficient, the intercept and y*z are rounded too; then margin - m and its multiples.
    margin_error = eps * ((row_lengths + 4) * terms + 4 * (np.abs(margins) + params.get("margin", 0.0)))
    highest, steepest = NUMPY_LOSSES[loss](params, margins - margin_error)
    lowest, flattest = NUMPY_LOSSES[loss](params, margins + margin_error)
    slope = np.abs(steepest)
    slope_error = flattest - steepest + 16 * eps * slope

    penalty = alpha * float(np.vdot(coef, coef))
    value = float(np.mean(highest - lowest + 16 * eps * highest))
    value += n_rows * np.finfo(np.float64).eps * float(np.mean(highest)) + (X.shape[1] + 4) * eps * penalty
    grad_coef = absolute.gradient(slope_error) + (column_lengths + 8) * eps * absolute.gradient(slope)
    grad_intercept = float(np.sum(slope_error)) + (n_rows + 8) * eps * float(np.sum(slope))
    return Pass(value, grad_coef / n_rows + 4 * eps * alpha * np.abs(coef), grad_intercept / n_rows)


def agree(one: Pass, other: Pass, allowed: Pass) -> bool:
    """Tell whether two passes differ by no more than is allowed anywhere; NaN agrees with NaN."""
    return (
        _all_close(one.value, other.value, allowed.value)
        and _all_close(one.grad_coef, other.grad_coef, allowed.grad_coef)
        and _all_close(one.grad_intercept, other.grad_intercept, allowed.grad_intercept)
    )


def _all_close(a: npt.ArrayLike, b: npt.ArrayLike, limit: npt.ArrayLike) -> bool:
    equal = np.equal(a, b) | (np.isnan(a) & np.isnan(b))  # infinities differ by NaN
    return bool(np.all(equal | (np.abs(np.subtract(a, b)) <= limit)))
