"""The one NumPy twin of the losses: written as in the literature, without any of hingefast's kernels.

``hingefast eval --compare`` and the benchmarks hold the kernels against it; that it uses none of them makes their
agreement say something. `numpy_loss` gives the twin of a loss object, an `Arrangement`, which answers two questions
about a block of rows:

- `evaluate(y, scores)`: values (n,) and slopes d value / d score, of the shape and dtype of the scores;
- `bounds(y, scores, errors)`: how far the answers of two correct programs may lie apart when each score may be
  off by its error. Scores and errors are float64; `eps` is that of the dtype the programs compute in.

Scores are (n,) with labels -1 and +1, or (n, K) with classes 0..K-1.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hingefast.losses import Loss, MarginLoss

__all__ = ["ARRANGEMENTS", "NUMPY_LOSSES", "Arrangement", "Binary", "Bounds", "numpy_loss"]

Array: TypeAlias = npt.NDArray[Any]


# ---- losses of one margin: (margins, parameters by name) -> (values, slopes d value / d margin), in the margins' dtype


def _hinge(m: Array, margin: float, kink_slope: float) -> tuple[Array, Array]:
    values = margin - m
    np.maximum(values, 0, out=values)
    slopes = -np.sign(values)  # keeps NaN, unlike a comparison, and is faster than np.where and np.heaviside
    if kink_slope:
        slopes[m == margin] = kink_slope
    return values, slopes


def _squared_hinge(m: Array, margin: float) -> tuple[Array, Array]:
    v = np.maximum(margin - m, 0)
    return v * v, -2 * v


def _s_family(u: Array, width: float, rate: float) -> tuple[Array, Array]:
    """Zero, a parabola of the given width, then a line: Rennie's smooth hinge, generalised."""
    v = np.clip(u, 0, width)
    return rate * v * (u - v / 2), -rate * v


def _psi_g(m: Array, margin: float, sigma: float) -> tuple[Array, Array]:
    """Hinge convolved with a Gaussian: u Phi(u/sigma) + sigma pdf(u/sigma), u = margin - m."""
    v = (margin - m) / sigma
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


def _psi_m(m: Array, margin: float, sigma: float) -> tuple[Array, Array]:
    """(u + sqrt(u^2 + sigma^2)) / 2; for u < 0 the equal quotient, which does not cancel."""
    u = margin - m
    root = np.hypot(u, sigma)
    values = np.where(u > 0, (u + root) / 2, sigma * (sigma / (root + np.abs(u))) / 2)
    return values, -values / root


def _softplus_hinge(m: Array, margin: float, beta: float) -> tuple[Array, Array]:
    x = beta * (margin - m)
    small = np.exp(-np.abs(x))  # of the larger of exp(x), exp(-x) only the inverse: nothing overflows
    return (np.maximum(x, 0) + np.log1p(small)) / beta, -np.where(x > 0, 1, small) / (1 + small)


def _safe_logistic(m: Array, margin: float) -> tuple[Array, Array]:
    """exp(-u) + u - 1 for u > 0, u = margin - m; below 1 its series, because the sum cancels there."""
    u = np.maximum(margin - m, 0)
    slopes = np.expm1(-u)
    values = slopes + u
    near = u < 1
    if near.any():
        v = u[near]
        series = np.zeros_like(v)
        for k in range(18, 1, -1):
            series = 1 / math.factorial(k) - v * series
        values[near] = v * v * series
    return values, slopes


def _erfc(x: Array) -> Array:
    """`scipy.special.erfc`, or Python's number by number where SciPy is not installed."""
    try:
        from scipy.special import erfc  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        return np.array([math.erfc(v) for v in x.tolist()], x.dtype)
    result: Array = erfc(x)
    return result


NUMPY_LOSSES: dict[str, Callable[..., tuple[Array, Array]]] = {
    "hinge": _hinge,
    "perceptron": lambda m: _hinge(m, 0.0, -1.0),
    "squared_hinge": _squared_hinge,
    "smooth_hinge": lambda m, margin, width: _s_family(margin - m, width, 1 / width),
    "modified_huber": lambda m, margin: _s_family(margin - m, 2.0, 2.0),
    "huberized_hinge": lambda m, margin, half_width: _s_family(
        margin + half_width - m, 2 * half_width, 0.5 / half_width
    ),
    "huber_margin": lambda m, margin, delta: _s_family(margin - m, delta, 1.0),
    "psi_g": _psi_g,
    "psi_m": _psi_m,
    "softplus_hinge": _softplus_hinge,
    "logistic": lambda m: _softplus_hinge(m, 0.0, 1.0),
    "safe_logistic": _safe_logistic,
}


# ---- arrangements: which margins of a row the loss is applied to


class Bounds(NamedTuple):
    """Largest possible answers, and the largest possible difference of two."""

    values: Array  # (n,)
    value_errors: Array
    slopes: Array  # absolute, of the shape of the scores
    slope_errors: Array


class Arrangement(ABC):
    """A margin loss, and which margins of a row it is applied to.

    Parameters
    ----------
    loss : str
        A key of `NUMPY_LOSSES`.
    params : mapping
        Its parameters by name.
    """

    def __init__(self, loss: str, params: Mapping[str, float]) -> None:
        self._formula = NUMPY_LOSSES[loss]
        self._params = params

    @abstractmethod
    def evaluate(self, y: Array, scores: Array) -> tuple[Array, Array]:
        """Values and slopes."""

    @abstractmethod
    def bounds(self, y: Array, scores: Array, errors: Array, eps: float) -> Bounds:
        """How far the values and slopes of two correct programs may lie apart."""

    def _phi(self, margins: Array) -> tuple[Array, Array]:
        """Values and slopes of the margin loss, for margins of any shape."""
        values, slopes = self._formula(margins.ravel(), **self._params)
        return values.reshape(margins.shape), slopes.reshape(margins.shape)

    def _phi_bounds(self, margins: Array, errors: Array, eps: float) -> Bounds:
        """Bounds of the margin loss where each margin may be off by its error.

        Every loss here is convex and falls with the margin, so the ends of the interval of possible margins
        bound its value and slope, at a kink as elsewhere; no constant per loss is needed. The rest is the
        evaluation of the formula: 16 eps, generous for a few operations.
        """
        # Forming the margin rounds, so do `margin - m` and its multiples.
        errors = errors + 4 * eps * (np.abs(margins) + self._params.get("margin", 0.0))
        highest, steepest = self._phi(margins - errors)
        lowest, flattest = self._phi(margins + errors)
        slopes = np.abs(steepest)
        return Bounds(
            highest, highest - lowest + 16 * eps * highest, slopes, flattest - steepest + 16 * eps * slopes
        )


class Binary(Arrangement):
    """phi(y z)."""

    def evaluate(self, y: Array, scores: Array) -> tuple[Array, Array]:
        signs = y.astype(scores.dtype, copy=False)
        values, slopes = self._phi(signs * scores)
        slopes *= signs
        return values, slopes

    def bounds(self, y: Array, scores: Array, errors: Array, eps: float) -> Bounds:
        return self._phi_bounds(y * scores, errors, eps)


class CrammerSinger(Arrangement):
    """phi(s_c - max of the other scores); the rival is the lowest class that has the maximum."""

    def evaluate(self, y: Array, scores: Array) -> tuple[Array, Array]:
        rows = np.arange(y.size)
        others = scores.copy()
        others[rows, y] = -np.inf
        rivals = others.argmax(axis=1)  # the first NaN, if there is one
        values, class_slopes = self._phi(scores[rows, y] - others[rows, rivals])
        slopes = np.zeros_like(scores)
        slopes[rows, rivals] = -class_slopes
        slopes[rows, y] = class_slopes
        if np.isnan(values).any():
            slopes[np.isnan(scores)] = np.nan
        return values, slopes

    def bounds(self, y: Array, scores: Array, errors: Array, eps: float) -> Bounds:
        rows = np.arange(y.size)
        own, own_errors = scores[rows, y], errors[rows, y]
        # Scores of nearly the same distance to the true one may round to the same difference.
        reach = errors + eps * np.abs(own[:, None] - scores)
        highest, lowest = scores + reach, scores - reach
        highest[rows, y] = lowest[rows, y] = -np.inf
        least_maximum = lowest.max(axis=1)
        low = own - highest.max(axis=1)
        high = own - least_maximum
        one = self._phi_bounds((low + high) / 2, (high - low) / 2 + own_errors, eps)

        # Every class that may have the maximum may be the rival. If there are several, one program may give a
        # class the whole slope and another none of it.
        possible = highest >= least_maximum[:, None]
        ambiguous = np.count_nonzero(possible, axis=1) > 1
        slopes = np.where(possible, one.slopes[:, None], 0.0)
        slope_errors = np.where(possible, (one.slope_errors + ambiguous * one.slopes)[:, None], 0.0)
        slopes[rows, y] = one.slopes
        slope_errors[rows, y] = one.slope_errors
        return Bounds(one.values, one.value_errors, slopes, slope_errors)


class WestonWatkins(Arrangement):
    """Sum over the other classes j of phi(s_c - s_j)."""

    def evaluate(self, y: Array, scores: Array) -> tuple[Array, Array]:
        rows = np.arange(y.size)
        values, slopes = self._phi(scores[rows, y][:, None] - scores)
        values[rows, y] = slopes[rows, y] = 0
        class_slopes = _sum_of_rows(slopes)
        np.negative(slopes, out=slopes)
        slopes[rows, y] = class_slopes
        return _sum_of_rows(values), slopes

    def bounds(self, y: Array, scores: Array, errors: Array, eps: float) -> Bounds:
        rows = np.arange(y.size)
        margins = scores[rows, y][:, None] - scores
        each = self._phi_bounds(margins, errors[rows, y][:, None] + errors, eps)
        for array in each:
            array[rows, y] = 0
        values, value_errors = _sum_of_classes(each.values, each.value_errors, eps)
        each.slopes[rows, y], each.slope_errors[rows, y] = _sum_of_classes(
            each.slopes, each.slope_errors, eps
        )
        return Bounds(values, value_errors, each.slopes, each.slope_errors)


class OneVsRest(Arrangement):
    """Sum over all classes j of phi(s_j) for the true class and phi(-s_j) for the others."""

    def evaluate(self, y: Array, scores: Array) -> tuple[Array, Array]:
        signs = _signs(y, scores)
        values, slopes = self._phi(signs * scores)
        slopes *= signs
        return _sum_of_rows(values), slopes

    def bounds(self, y: Array, scores: Array, errors: Array, eps: float) -> Bounds:
        each = self._phi_bounds(_signs(y, scores) * scores, errors, eps)
        values, value_errors = _sum_of_classes(each.values, each.value_errors, eps)
        return Bounds(values, value_errors, each.slopes, each.slope_errors)


ARRANGEMENTS: dict[str, type[Arrangement]] = {
    "crammer_singer": CrammerSinger,
    "weston_watkins": WestonWatkins,
    "one_vs_rest": OneVsRest,
}


def _signs(y: Array, scores: Array) -> Array:
    """+1 at the true class of each row, -1 elsewhere."""
    signs = np.full_like(scores, -1)
    signs[np.arange(y.size), y] = 1
    return signs


def _sum_of_rows(terms: Array) -> Array:
    """terms.sum(axis=1), several times as fast for few classes."""
    total: Array = terms @ np.ones(terms.shape[1], terms.dtype)
    return total


def _sum_of_classes(terms: Array, errors: Array, eps: float) -> tuple[Array, Array]:
    """Sum over the classes, and how far two programs' sums may lie apart: K numbers, K eps."""
    total = _sum_of_rows(terms)
    return total, _sum_of_rows(errors) + terms.shape[1] * eps * total


def numpy_loss(loss: Loss) -> Arrangement:
    """Return the twin of a loss."""
    if isinstance(loss, MarginLoss):
        return Binary(loss.name, loss.params)
    base = loss.params["base"]
    return ARRANGEMENTS[loss.name.partition(":")[0]](base.name, base.params)
