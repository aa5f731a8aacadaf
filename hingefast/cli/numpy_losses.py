"""The losses of one margin ``m = y * score`` in NumPy, written as in the literature.

Together with `_numpy_arrangements.py` and `cli/compare.py` this is the other side of ``hingefast eval --compare``.
None of the three uses hingefast's kernels, so that agreement says something.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

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
