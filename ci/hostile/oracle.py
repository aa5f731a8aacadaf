"""What a valid call must answer: values, gradients, scores, Hessian products, margins; each with its tolerance.

The numbers are those of the caller's arrays, rounded to the computing dtype. A tolerance is what rounding explains and
no more: n*eps times the sum of absolute terms, plus what the slopes of the rows may be off. Weights are normalised in
longdouble first, so that their scale cannot matter; a row of weight 0 is left out; a row without a slope adds nothing.

Not covered: which NaN columns a linear gradient has where a score is NaN, gradients through infinite features, and
rows of K classes with infinite scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import losses
import numpy as np

SUBNORMAL = {True: 5e-324, False: 2.0**-149}
NORMAL = {True: 2.3e-308, False: 1.2e-38}


class Wrong(Exception):
    """An answer that is none."""


@dataclass
class Loss:
    """A loss in the words of the definitions."""

    kind: str  # "binary" or the name of a multiclass class
    base: str = "hinge"
    params: dict | None = None
    cost: np.ndarray | None = None
    k: int = 1
    variant: str = "alpha"

    @property
    def has_curvature(self):
        return self.base not in losses.FLAT and self.kind not in ("CostSensitiveHinge", "TopKHinge")


@dataclass
class Shares:
    """What every row counts: w/sum(w) for the mean, w otherwise; and which rows count at all."""

    share: np.ndarray | None  # (n,), None: all the same, `one`
    one: float
    counts: np.ndarray | None  # (n,) bool, None: all


def shares_of(weight, n_rows, reduction):
    """`weight`: (n,) longdouble or None; `Shares`, or None where a mean does not exist."""
    if weight is None:
        if reduction == "mean" and n_rows == 0:
            return None
        return Shares(None, 1.0 / n_rows if reduction == "mean" else 1.0, None)
    if reduction == "mean":
        total = weight.sum()
        if not total > 0:
            return None
        weight = weight / total
    if reduction == "mean" or (weight.max(initial=0) < 1e200 and weight[weight > 0].min(initial=1) > 1e-200):
        weight = weight.astype(np.float64)
    counts = weight > 0
    return Shares(weight, 1.0, None if counts.all() else counts)


def spread(share, like):
    return share if like.ndim == 1 else share[:, None]


@dataclass
class Answer:
    """A number or an array, and how far it may be off."""

    value: np.ndarray
    off: np.ndarray
    dtype: np.dtype

    def check(self, got, what):
        """Raise `Wrong` where `got` is not it."""
        got = np.asarray(got)
        if got.shape != np.shape(self.value):
            raise Wrong(f"{what} has shape {got.shape}, not {np.shape(self.value)}")
        if got.dtype != self.dtype or not got.dtype.isnative:
            raise Wrong(f"{what} has dtype {got.dtype}, not {self.dtype}")
        want, off = self.value, self.off
        got_wide = got.astype(want.dtype)
        good = np.abs(got_wide - want) <= off
        if good.all():
            return
        largest = float(np.finfo(self.dtype).max)
        good |= (np.isnan(got_wide) & np.isnan(want)) | (got_wide == want) | np.isposinf(off) | np.isnan(off)
        beyond = np.abs(want) + off >= largest * (1 - 1e-6)
        good |= beyond & np.isinf(got_wide) & ((got_wide > 0) == (want > 0))
        if not good.all():
            bad = np.argwhere(~good)[0]
            at = tuple(bad.tolist())
            error = np.broadcast_to(off, want.shape)[at]
            raise Wrong(
                f"{what}{list(at) if at else ''} is {got[at]!r}, not {want[at]!r} +- {error:.3g}"
                f" ({int((~good).sum())} of {want.size} differ)"
            )


def rows_of(loss, z, labels, dz, is_f64, is_exact):
    """`losses.Rows` at scores z in float64; labels are signs for a binary loss, columns otherwise."""
    if loss.kind == "binary":
        return losses.binary_rows(loss, z, labels, dz, is_f64, is_exact)
    return losses.class_rows(loss, z, labels, dz, is_f64, is_exact)


def tiny(is_f64, share):
    """What may vanish, or round, below the normal numbers."""
    return 16 * NORMAL[is_f64] * share


def score_answers(loss, z, labels, weight, reduction, is_f64, grad_dtype, is_exact):
    """Answers (value, gradient) of a call on scores; value is per row for "none". None where a mean does not exist."""
    eps = 2.0**-52 if is_f64 else 2.0**-23
    computing = np.dtype(np.float64 if is_f64 else np.float32)
    n_rows = z.shape[0]
    shares = shares_of(weight, n_rows, reduction)
    if shares is None:
        return None
    rows = rows_of(loss, z, labels, np.zeros(z.shape), is_f64, is_exact)
    value, slope, d_value, d_slope = rows.value, rows.slope, rows.d_value, rows.d_slope
    limit = 1e300 if is_f64 else 1e37  # what overflows before it is weighted is not covered
    d_value = np.where(np.abs(value) > limit, np.inf, d_value)
    d_slope = np.where(np.abs(slope) > limit, np.inf, d_slope)
    share = shares.share
    if share is None:
        value, slope = value * shares.one, slope * shares.one
        d_value, d_slope = d_value * shares.one, d_slope * shares.one
        least = tiny(is_f64, shares.one)
        least_slope = least
    else:
        wide = spread(share, slope)
        value, slope, d_value, d_slope = value * share, slope * wide, d_value * share, d_slope * wide
        least = tiny(is_f64, share)
        least_slope = spread(least, slope)
        if shares.counts is not None:
            out = ~shares.counts
            value[out] = d_value[out] = 0.0
            slope[out] = d_slope[out] = 0.0
            least = np.where(out, 0.0, least)
            least_slope = spread(least, slope)
    grad_eps = 8 * max(eps, float(np.finfo(grad_dtype).eps))
    if share is not None and reduction == "mean":
        grad_eps += n_rows * 2.0**-52  # of the sum of weights
    grad = Answer(
        slope,
        d_slope
        + grad_eps * np.abs(slope)
        + least_slope
        + (slope != 0) * 2 * SUBNORMAL[grad_dtype.itemsize == 8],
        grad_dtype,
    )
    if reduction == "none":
        per_row = Answer(value, d_value + 8 * eps * np.abs(value) + least + SUBNORMAL[is_f64], computing)
        return per_row, grad
    total, off = total_of(value, d_value + least, n_rows, is_f64)
    return Answer(total, off, np.dtype(np.float64)), grad


def total_of(value, d_value, n_rows, is_f64):
    total = value.sum()
    if np.abs(value).max(initial=0) > (1e290 if is_f64 else 1e30):  # may overflow on the way
        return np.asarray(total), np.asarray(np.inf)
    off = d_value.sum() + (n_rows + 8) * 2.0**-52 * np.abs(value).sum() + (n_rows + 1) * 5e-324
    return np.asarray(total), np.where(np.isnan(off) & ~np.isnan(total), np.inf, off) if np.isnan(
        off
    ) else off


# ---- linear models


@dataclass
class Features:
    """X as numbers: (n, d) in float64, as rounded to the computing dtype."""

    dense: np.ndarray  # duplicates of CSR summed
    size: np.ndarray  # the same of absolute values
    is_f64: bool
    is_exact: bool
    finite: np.ndarray | None = None  # `size` of what is finite; None: all, or one entry for each column

    def batch(self, rows):
        finite = None if self.finite is None else self.finite[rows]
        return Features(self.dense[rows], self.size[rows], self.is_f64, self.is_exact, finite)


def round_to(values, is_f64):
    return (
        values.astype(np.float64)
        if is_f64
        else values.astype(np.float64).astype(np.float32).astype(np.float64)
    )


def scores_of(X, coef, intercept):
    """Scores (n,) or (n, K) in float64 and how far they may be off."""
    eps = 2.0**-52 if X.is_f64 else 2.0**-23
    c = round_to(coef, X.is_f64)
    b = np.asarray(intercept, np.float64)
    z = X.dense @ c.T + b
    if X.is_exact:
        return z, np.zeros(z.shape)
    terms = X.size @ np.abs(c).T + np.abs(b)
    off = (X.dense.shape[1] + 4) * eps * terms + NORMAL[X.is_f64] * (X.dense.shape[1] + 1)
    limit = 1e300 if X.is_f64 else 1e37  # what overflows on the way to a score is not covered
    off = np.where(terms < limit, off, np.inf)
    if not np.isfinite(X.size).all():
        finite = np.where(np.isfinite(X.size), X.size, 0.0) if X.finite is None else X.finite
        finite = finite @ np.abs(c).T
        off = np.where(np.isfinite(z), off, np.where(finite < limit, 0.0, np.inf))
    return z, off


def decision_answer(X, coef, intercept):
    z, off = scores_of(X, coef, intercept)
    eps = 2.0**-52 if X.is_f64 else 2.0**-23
    limit = 1e300 if X.is_f64 else 1e37
    off = off + 2 * eps * np.abs(np.where(np.isfinite(z), z, 0.0))
    off = np.where(np.isfinite(z) & (np.abs(z) >= limit), np.inf, off)
    if not np.isfinite(X.size).all() or not np.isfinite(round_to(coef, X.is_f64)).all():
        off = np.where(
            np.isfinite(z), off, np.inf
        )  # what is not stored adds nothing, also where coef is infinite
    return Answer(z, off, np.dtype(np.float64 if X.is_f64 else np.float32))


def gradient_sums(X, share, slope, d_slope):
    """Sums over rows of share * slope * x, (d,) or (K, d), and how far they may be off."""
    live = (slope != 0) | (d_slope > 0)
    if slope.ndim == 2:
        live = live.any(axis=1)
    if share is not None:
        live &= share > 0
        slope, d_slope = slope * spread(share, slope), d_slope * spread(share, slope)
    if not live.all():
        slope, d_slope = slope[live], d_slope[live]
        X = X.batch(live)
    n_rows = slope.shape[0]
    # float32 sums over 64 rows at most before they go on in float64
    eps = (n_rows + 8) * 2.0**-51 if X.is_f64 else (min(n_rows, 64) + 8) * 2.0**-23
    grad = slope.T @ X.dense
    terms = np.abs(slope).T @ X.size
    off = d_slope.T @ X.size + eps * terms + n_rows * SUBNORMAL[X.is_f64] * (1 + X.size.max(initial=0))
    flat = slope.sum(axis=0)
    d_flat = d_slope.sum(axis=0) + (n_rows + 8) * 2.0**-51 * np.abs(slope).sum(axis=0)
    if not X.is_f64:
        d_flat = d_flat + 4 * 2.0**-23 * np.abs(slope).sum(axis=0)
    limit = 1e300 if X.is_f64 else 1e37  # what overflows on the way, shares not yet taken, is not covered
    if share is not None and share.size:
        limit = limit * min(1.0, float(share.min(where=share > 0, initial=1.0)))
    if not (terms < limit).all():
        off = np.where(terms < limit, off, np.inf)
        grad = np.where(np.isfinite(grad), grad, 0.0)
    return grad, off, flat, d_flat


def linear_answers(
    loss, X, labels, weight, reduction, coef, intercept, alpha, coef_dtype, intercept_alpha=0.0
):
    """Answers (value, grad_coef, grad_intercept), the last in float64 for a binary loss; None where there is no mean.

    `coef` (d,) or (K, d) and `intercept` in float64, exactly as given.
    """
    n_rows = X.dense.shape[0]
    shares = shares_of(weight, n_rows, reduction)
    if shares is None:
        return None
    z, dz = scores_of(X, coef, intercept)
    rows = rows_of(loss, z, labels, dz, X.is_f64, X.is_exact)
    share = np.full(n_rows, shares.one) if shares.share is None else shares.share
    value, d_value = rows.value * share, rows.d_value * share + tiny(X.is_f64, share)
    if shares.counts is not None:
        value, d_value = value[shares.counts], d_value[shares.counts]
    total, off = total_of(value, d_value, n_rows, X.is_f64)
    is_lost = np.isinf(dz) if dz.ndim == 1 else np.isinf(dz).any(axis=1)
    is_lost |= np.abs(rows.value) > (1e300 if X.is_f64 else 1e37)
    if shares.counts is not None:
        is_lost &= shares.counts
    if is_lost.any():
        off = np.asarray(np.inf)
    penalty = 0.5 * alpha * np.square(coef).sum() + 0.5 * intercept_alpha * np.square(intercept).sum()
    total = total + penalty
    off = off + (coef.size + 16) * 2.0**-52 * (np.abs(penalty) + np.abs(total))
    grad, d_grad, flat, d_flat = gradient_sums(X, share, rows.slope, rows.d_slope)
    eps = float(np.finfo(coef_dtype).eps)
    is_double = coef_dtype.itemsize == 8
    grad = grad + alpha * coef
    d_grad = d_grad + 4 * eps * (np.abs(grad) + np.abs(alpha * coef)) + 4 * SUBNORMAL[is_double]
    flat = flat + intercept_alpha * np.asarray(intercept, np.float64)
    is_float = loss.kind == "binary"
    eps = 2.0**-52 if is_float else eps
    d_flat = d_flat + 4 * eps * (np.abs(flat) + np.abs(intercept_alpha * np.asarray(intercept)))
    d_flat = d_flat + NORMAL[X.is_f64] + 4 * SUBNORMAL[is_double]
    unknown = is_lost | np.isnan(rows.d_value) | np.isinf(rows.d_value) | ~np.isfinite(rows.value)
    if shares.counts is not None:
        unknown &= shares.counts
    if unknown.any():  # a score that is NaN or infinite: what it gives to which column is not promised
        d_grad = np.full(grad.shape, np.inf)
        d_flat = np.full(np.shape(flat), np.inf)
    return (
        Answer(np.asarray(total), np.asarray(off), np.dtype(np.float64)),
        Answer(np.asarray(grad), d_grad, coef_dtype),
        Answer(np.asarray(flat), np.asarray(d_flat), np.dtype(np.float64) if is_float else coef_dtype),
    )


def hessian_answers(
    loss, X, labels, weight, reduction, coef, intercept, alpha, intercept_alpha, along, along_b, dtype
):
    """Answers (product of coefficients, of intercepts) of a Hessian product."""
    n_rows = X.dense.shape[0]
    shares = shares_of(weight, n_rows, reduction)
    if shares is None:
        return None
    eps = 2.0**-52 if X.is_f64 else 2.0**-23
    z, dz = scores_of(X, coef, intercept)
    ahead, d_ahead = scores_of(X, along, along_b)
    if loss.kind == "binary":
        found = losses.of_margins(loss.base, loss.params, labels * z, dz, X.is_f64, X.is_exact)
        product, off = (
            found.curvature * ahead,
            found.d_curvature * np.abs(ahead) + (found.curvature + found.d_curvature) * d_ahead,
        )
    else:
        product, off = losses.class_products(loss, z, labels, ahead, dz, X.is_f64, X.is_exact)
        most = {"OneVsRest": 1, "CrammerSinger": 2}.get(loss.kind, z.shape[1])
        steepest = steepest_curvature(loss)
        off = off + most * steepest * d_ahead.max(axis=1, initial=0)[:, None] + 8 * eps * np.abs(product)
    off = off + 16 * eps * np.abs(product)
    share = np.full(n_rows, shares.one) if shares.share is None else shares.share
    # Also what may be infinite on the way in float32: how far it may be off is not known then.
    unknown = ~np.isfinite(z) | ~np.isfinite(ahead) | np.isinf(dz) | np.isinf(d_ahead)
    unknown = unknown if unknown.ndim == 1 else unknown.any(axis=1)
    if shares.counts is not None:
        unknown &= shares.counts
    grad, d_grad, flat, d_flat = gradient_sums(X, share, product, off)
    grad, flat = grad + alpha * along, flat + intercept_alpha * np.asarray(along_b, np.float64)
    out_eps = float(np.finfo(dtype).eps)
    d_grad = d_grad + 4 * out_eps * (np.abs(grad) + np.abs(alpha * along)) + 4 * NORMAL[dtype.itemsize == 8]
    d_flat = (
        d_flat + 4 * out_eps * (np.abs(flat) + np.abs(intercept_alpha * np.asarray(along_b))) + NORMAL[False]
    )
    if unknown.any():
        d_grad, d_flat = np.full(grad.shape, np.inf), np.full(np.shape(flat), np.inf)
    return Answer(grad, d_grad, dtype), Answer(np.asarray(flat), np.asarray(d_flat), dtype)


def steepest_curvature(loss):
    """No second derivative of the loss is larger."""
    p = loss.params
    return {
        "squared_hinge": 2.0,
        "smooth_hinge": 1 / p.get("width", 1.0),
        "modified_huber": 2.0,
        "huberized_hinge": 1 / (2 * p.get("half_width", 0.5)),
        "huber_margin": 1.0,
        "psi_g": 0.4 / p.get("sigma", 1.0),
        "psi_m": 0.5 / p.get("sigma", 1.0),
        "softplus_hinge": p.get("beta", 1.0) / 4,
        "logistic": 0.25,
        "safe_logistic": 1.0,
    }[loss.base]


# ---- margins


def margins_of(z, labels, is_binary):
    """The margin of each row."""
    if is_binary:
        return labels * z
    here = np.arange(len(z))
    others = z.copy()
    own = others[here, labels]
    others[here, labels] = -np.inf
    return own - others.max(axis=1)
