"""The definitions of the losses in NumPy, with how far a careful computation may be off.

Written from the definitions, not from the package: m is a margin, u = t - m, t the parameter `margin`. All is
computed in float64 from numbers as rounded to the computing dtype; `eps` is that dtype's. Whoever calls says how
uncertain a score is (`dz`, 0 where it was given); where that leaves open on which side of a kink a row lies, the
tolerance of its slope covers both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FLAT = ("hinge", "perceptron")  # no second derivative anywhere: no Hessian
FAR = 1e-300  # below, a product may be subnormal

_erfc = np.frompyfunc(math.erfc, 1, 1)


@dataclass
class Margins:
    """phi, phi' and phi'' of margins, and how far each may be off."""

    value: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray
    d_value: np.ndarray
    d_slope: np.ndarray
    d_curvature: np.ndarray


def rounded(number, is_f64):
    return float(number) if is_f64 else float(np.float32(number))


def of_margins(name, params, m, dz, is_f64, is_exact):
    """`Margins` of a loss at m, float64. `is_exact`: all sums behind m were exact, so that kinks are met exactly."""
    eps = 2.0**-52 if is_f64 else 2.0**-23
    p = {key: rounded(value, is_f64) for key, value in params.items()}
    t = p.get("margin", 0.0)
    u = t - m
    bend = p.get("half_width", 0.0) + p.get("width", 0.0) + p.get("delta", 0.0)
    du = dz + eps * (t + np.abs(m) + bend)
    du = np.where(np.isfinite(m), du, 0.0)
    at_kink = (
        0.0 if is_exact else dz
    )  # where only a score may be wrong: u itself is one rounding, its sign exact
    at_joint = 0.0 if is_exact else du
    if name in ("hinge", "perceptron"):
        kink = -1.0 if name == "perceptron" else p["kink_slope"]
        slope = np.where(u > 0, -1.0, np.where(u == 0, kink, 0.0)) + np.where(np.isnan(u), u, 0.0)
        unsure = (np.abs(u) <= at_kink) & (np.asarray(at_kink) > 0)
        zero = np.zeros_like(u)
        value = np.maximum(u, 0.0)
        return Margins(value, slope, zero, np.where(u > -du, du, 0.0) + eps * value, 1.0 * unsure, zero)
    if name == "squared_hinge":
        v = np.maximum(u, 0.0)
        near = (np.abs(u) <= at_kink) & (np.asarray(at_kink) > 0)
        live = np.where(u > -du, du, 0.0)
        d_value = 2 * v * live + live * live + 4 * eps * v * v
        return Margins(
            v * v,
            -2 * v,
            np.where(u > 0, 2.0, 0.0) + np.where(np.isnan(u), u, 0.0),
            d_value,
            2 * live + 4 * eps * v,
            2.0 * near,
        )
    if name == "smooth_hinge":
        return corner(u, p["width"], 1.0, du, at_joint, eps)
    if name == "modified_huber":
        return corner(u, 2.0, 4.0, du, at_joint, eps)
    if name == "huber_margin":
        return corner(u, p["delta"], p["delta"], du, at_joint, eps)
    if name == "huberized_hinge":
        h = p["half_width"]
        return corner(u + h, 2 * h, 1.0, du, at_joint if is_exact and h in (0.5, 0.25, 1.0, 2.0) else du, eps)
    if name == "psi_g":
        return gaussian(u, p["sigma"], du, eps)
    if name == "psi_m":
        return algebraic(u, p["sigma"], du, eps)
    if name in ("softplus_hinge", "logistic"):
        return softplus(u, p.get("beta", 1.0), du, eps)
    if name == "safe_logistic":
        return safe_logistic(u, du, eps)
    raise KeyError(name)


def corner(u, g, scale, du, at_joint, eps):
    """scale*S: u^2/(2g) for 0 < u < g, u - g/2 beyond."""
    inside, beyond = (u > 0) & (u < g), u >= g
    nan = np.where(np.isnan(u), u, 0.0)
    part = np.where(inside, u, 0.0)
    share = part / g
    value = np.where(inside, part * share / 2, np.where(beyond, u - g / 2, 0.0)) + nan
    slope = np.where(inside, -share, np.where(beyond, -1.0, 0.0)) + nan
    curvature = np.where(inside, 1 / g, 0.0) + nan
    live = np.where(u > -du, du, 0.0)
    d_slope = np.minimum(live / g, 1.0) + 4 * eps * np.abs(slope)
    d_value = (np.abs(slope) + np.minimum(live / g, 1.0)) * live + 8 * eps * np.abs(value)
    near = (np.minimum(np.abs(u), np.abs(u - g)) <= at_joint) & (np.asarray(at_joint) > 0)
    return Margins(
        scale * value,
        scale * slope,
        scale * curvature,
        scale * d_value,
        scale * d_slope,
        scale * (near / g + 4 * eps * curvature),
    )


def gaussian(u, s, du, eps):
    """u*Phi(v) + s*pdf(v), v = u/s; promised within (3 + 2 v^2) ulp."""
    v = np.where(np.isinf(u), 0.0, u) / s
    cdf = _erfc(-v / math.sqrt(2)).astype(np.float64) / 2
    pdf = np.exp(-v * v / 2) / math.sqrt(2 * math.pi)
    far = np.where(np.isinf(u), np.sign(u), 0.0)
    value = np.where(far > 0, np.inf, np.where(far < 0, 0.0, np.maximum(s * (v * cdf + pdf), 0.0)))
    value = np.where(np.isnan(u), u, value)
    cdf = np.where(far > 0, 1.0, np.where(far < 0, 0.0, cdf))
    pdf = np.where(far != 0, 0.0, pdf)
    ulps = eps * (8 + 4 * v * v)
    off = 4e-16 * (1 + v * v) * s * (np.abs(v) * cdf + pdf)  # of this computation
    return Margins(
        value,
        -cdf,
        pdf / s,
        cdf * du + 0.4 * du * du / s + ulps * np.abs(value) + off,
        np.minimum(0.4 * du / s, 1.0) + ulps * cdf,
        np.minimum(0.25 * du / s / s, 0.4 / s) + ulps * pdf / s,
    )


def algebraic(u, s, du, eps):
    """(u + sqrt(u^2 + s^2))/2."""
    root = np.hypot(u, s)
    finite = np.where(np.isinf(u), 0.0, u)
    raised = np.where(u >= 0, u + root, s * (s / (np.hypot(finite, s) - finite)))
    raised = np.where(u == -np.inf, 0.0, raised) + np.where(np.isnan(u), u, 0.0)
    slope = np.where(
        u == np.inf, -1.0, np.where(u == -np.inf, 0.0, -raised / np.where(np.isinf(root), 1, root) / 2)
    )
    curvature = s / root * (s / root) / (2 * root)
    return Margins(
        raised / 2,
        slope,
        curvature,
        np.abs(slope) * du + du * du / (2 * s) + 16 * eps * np.abs(raised),
        np.minimum(du / (2 * s), 1.0) + 16 * eps * np.abs(slope),
        np.minimum(du / s / s, 1 / s) + 32 * eps * curvature,
    )


def softplus(u, b, du, eps):
    """log(1 + exp(b u))/b; promised within (3 + |b u|) ulp."""
    x = b * u
    chance = 1 / (1 + np.exp(-x))
    value = np.logaddexp(0.0, x) / b
    ulps = eps * (8 + 2 * np.where(np.isinf(x), 0.0, np.abs(x)))
    other = 1 / (1 + np.exp(x))
    return Margins(
        value,
        -chance,
        b * chance * other,
        chance * du + b * du * du / 4 + ulps * np.where(np.isinf(value), 0.0, np.abs(value)),
        np.minimum(chance * other * b * du + b * b * du * du, 1.0) + ulps * chance,
        np.minimum(b * b * du, b) * chance + 2 * ulps * b * chance * other,
    )


def safe_logistic(u, du, eps):
    """exp(-u) + u - 1 for u > 0."""
    v = np.maximum(u, 0.0)
    low = -np.expm1(-v)  # minus the slope
    series = sum((-v) ** k / math.factorial(k) for k in range(25, 1, -1))  # below 1, where the sum cancels
    value = np.where(v < 1, series, np.exp(-v) + v - 1)
    live = np.where(u > -du, du, 0.0)
    near = (np.abs(u) <= du) & (np.asarray(du) > 0)
    return Margins(
        value,
        -low,
        np.where(u > 0, np.exp(-v), 0.0) + np.where(np.isnan(u), u, 0.0),
        low * live + live * live + 16 * eps * np.abs(value),
        live + 16 * eps * low,
        live + near + 16 * eps,
    )


# ---- K classes


@dataclass
class Rows:
    """Values (n,) and slopes of rows, and how far they may be off; infinite where nothing is promised."""

    value: np.ndarray
    slope: np.ndarray  # (n,) with respect to the score, or (n, K)
    d_value: np.ndarray
    d_slope: np.ndarray


def binary_rows(loss, z, sign, dz, is_f64, is_exact):
    """`Rows` of a margin loss `(name, params)` at scores z (n,), float64."""
    found = of_margins(loss.base, loss.params, sign * z, dz, is_f64, is_exact)
    return Rows(found.value, sign * found.slope, found.d_value, found.d_slope)


def class_rows(loss, z, true, dz, is_f64, is_exact):
    """`Rows` of a multiclass loss at scores z (n, K), float64; dz (n, K)."""
    n_rows, n_classes = z.shape
    computing = np.float64 if is_f64 else np.float32
    eps = 2.0**-52 if is_f64 else 2.0**-23
    here = np.arange(n_rows)
    s = z.astype(computing)
    dz = np.broadcast_to(np.asarray(dz, np.float64), z.shape)
    unknown = ~np.isfinite(z).all(axis=1)
    gaps = (s[here, true][:, None] - s).astype(np.float64)
    d_gaps = dz + dz[here, true][:, None]
    slope, d_slope = np.zeros(z.shape), np.zeros(z.shape)
    if loss.kind == "CrammerSinger":
        others = s.copy()
        others[here, true] = -np.inf
        rival = others.argmax(axis=1)
        found = of_margins(
            loss.base,
            loss.params,
            gaps[here, rival],
            d_gaps[here, rival] + eps * np.abs(gaps[here, rival]) * (not is_exact),
            is_f64,
            is_exact,
        )
        value, d_value = found.value, found.d_value
        slope[here, true], slope[here, rival] = found.slope, -found.slope
        d_slope[here, true] = d_slope[here, rival] = found.d_slope
        if not is_exact and dz.any():  # which rival it is may be open
            close = others >= (others[here, rival] - (dz[here, rival] * 2 + dz.max(axis=1)))[:, None]
            open_rows = close.sum(axis=1) > 1
            d_slope[close & open_rows[:, None]] += np.repeat(
                np.abs(found.slope[open_rows]) + found.d_slope[open_rows], close[open_rows].sum(axis=1)
            )
    elif loss.kind == "WestonWatkins":
        found = of_margins(
            loss.base, loss.params, gaps, d_gaps + eps * np.abs(gaps) * (not is_exact), is_f64, is_exact
        )
        for part in (found.value, found.slope, found.d_value, found.d_slope):
            part[here, true] = 0.0
        value = found.value.sum(axis=1)
        d_value = found.d_value.sum(axis=1) + n_classes * eps * np.abs(found.value).sum(axis=1)
        slope, d_slope = -found.slope, found.d_slope
        d_true = d_slope.sum(axis=1) + n_classes * eps * np.abs(slope).sum(axis=1)
        slope[here, true] = -slope.sum(axis=1)
        d_slope[here, true] = d_true
    elif loss.kind == "OneVsRest":
        sign = np.full(z.shape, -1.0)
        sign[here, true] = 1.0
        found = of_margins(loss.base, loss.params, sign * s.astype(np.float64), dz, is_f64, is_exact)
        value = found.value.sum(axis=1)
        d_value = found.d_value.sum(axis=1) + n_classes * eps * np.abs(found.value).sum(axis=1)
        slope, d_slope = sign * found.slope, found.d_slope
    else:
        value, d_value, slope, d_slope = top_rows(loss, gaps, d_gaps, true, computing, is_exact)
    if unknown.any():
        is_nan = np.isnan(z)
        nan_rows = is_nan.any(axis=1)
        value = np.where(nan_rows, np.nan, value)
        d_value = np.where(nan_rows, 0.0, np.where(unknown, np.inf, d_value))
        must_be_nan = is_nan.copy()
        must_be_nan[here, true] |= nan_rows
        slope = np.where(must_be_nan, np.nan, np.where(unknown[:, None], 0.0, slope))
        d_slope = np.where(must_be_nan, 0.0, np.where(unknown[:, None], np.inf, d_slope))
    return Rows(value, slope + 0.0, d_value, d_slope)


def top_rows(loss, gaps, d_gaps, true, computing, is_exact):
    """Cost-sensitive and top-k hinge."""
    n_rows, n_classes = gaps.shape
    here = np.arange(n_rows)
    eps = float(np.finfo(computing).eps)
    start = loss.cost[true] if loss.kind == "CostSensitiveHinge" else np.ones(gaps.shape)
    top = (start.astype(computing) - gaps.astype(computing)).astype(np.float64)
    d_top = d_gaps + (0.0 if is_exact else eps * (np.abs(top) + np.abs(gaps)))
    top[here, true] = -np.inf if loss.kind == "CostSensitiveHinge" else 0.0
    d_top[here, true] = 0.0
    k = 1 if loss.kind == "CostSensitiveHinge" else loss.k
    chosen = np.argsort(-top, axis=1, kind="stable")[:, :k]
    picked = np.take_along_axis(top, chosen, axis=1)
    d_picked = np.take_along_axis(d_top, chosen, axis=1).sum(axis=1)
    slope, d_slope = np.zeros(gaps.shape), np.zeros(gaps.shape)
    if loss.variant == "beta":
        share = (picked > 0) / k
        value = np.maximum(picked, 0).sum(axis=1) / k
        unsure = (np.abs(picked) <= np.take_along_axis(d_top, chosen, axis=1)).any(axis=1)
    else:
        mean = picked.sum(axis=1) / k
        value = np.maximum(mean, 0)
        share = np.repeat((mean > 0)[:, None] / k, k, axis=1)
        unsure = np.abs(mean) <= d_picked / k + k * eps * np.abs(picked).sum(axis=1)
    np.put_along_axis(slope, chosen, share, axis=1)
    slope[here, true] -= share.sum(axis=1)
    d_slope += 4 * k * eps * np.abs(slope)
    d_value = d_picked + (k + 4) * eps * np.abs(np.where(np.isfinite(picked), picked, 0.0)).sum(axis=1)
    if not is_exact:
        if k < n_classes - (loss.kind == "CostSensitiveHinge"):
            ranked = -np.sort(-top, axis=1)
            unsure |= ranked[:, k - 1] - ranked[:, k] <= 2 * d_top.max(axis=1)
        d_slope[unsure] += 1.0
    return value, d_value, slope, d_slope


def class_products(loss, z, true, along, dz, is_f64, is_exact):
    """The generalised Hessian of each row's value times `along` (n, K), and how far it may be off."""
    n_rows, n_classes = z.shape
    here = np.arange(n_rows)
    dz = np.broadcast_to(np.asarray(dz, np.float64), z.shape)
    product, off = np.zeros(z.shape), np.zeros(z.shape)
    if loss.kind == "OneVsRest":
        sign = np.full(z.shape, -1.0)
        sign[here, true] = 1.0
        found = of_margins(loss.base, loss.params, sign * z, dz, is_f64, is_exact)
        return found.curvature * along, found.d_curvature * np.abs(along)
    eps = 2.0**-52 if is_f64 else 2.0**-23
    gaps = z[here, true][:, None] - z
    d_gaps = dz + dz[here, true][:, None] + (0.0 if is_exact else eps * np.abs(gaps))
    found = of_margins(loss.base, loss.params, gaps, d_gaps, is_f64, is_exact)
    ahead = along[here, true][:, None] - along
    if loss.kind == "CrammerSinger":
        others = z.copy()
        others[here, true] = -np.inf
        rival = others.argmax(axis=1)
        product[here, true] = found.curvature[here, rival] * ahead[here, rival]
        product[here, rival] = -product[here, true]
        off[here, true] = off[here, rival] = found.d_curvature[here, rival] * np.abs(ahead[here, rival])
        if not is_exact:
            close = others >= (others[here, rival] - 4 * dz.max(axis=1))[:, None]
            open_rows = (close.sum(axis=1) > 1) & (dz.max(axis=1) > 0)
            off[open_rows] = np.inf
        return product, off
    product = -found.curvature * ahead
    off = found.d_curvature * np.abs(ahead)
    product[here, true] = off[here, true] = 0.0
    total, d_total = -product.sum(axis=1), off.sum(axis=1) + n_classes * eps * np.abs(product).sum(axis=1)
    product[here, true], off[here, true] = total, d_total
    return product, off
