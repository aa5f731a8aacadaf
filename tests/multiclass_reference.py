"""Slow, obvious, independent oracles of the multiclass losses, written from their definitions.

Two twins: `row` takes one row in plain Python, built on the oracle of the margin losses in `reference`; `rows` says
the same in NumPy for many rows, on formulas of its own (`phi_array`). tests/test_multiclass_oracle.py holds them
against each other, against published numbers and against differences of values.

s holds the K scores of a row, c is its class. A difference is always formed as s_c - s_j first, in the dtype of the
computation: what is made of it is exact from there on, up to a few roundings.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import reference
from scipy import special

BUILT_ON_A_MARGIN_LOSS = ("CrammerSinger", "WestonWatkins", "OneVsRest")
FLAT = ("hinge", "perceptron")  # phi'' is zero everywhere: no Hessian


@dataclass(frozen=True)
class Definition:
    """Which loss, in the words of the definitions: `kind` is the name of its class."""

    kind: str
    base: str = "hinge"
    params: dict = field(default_factory=dict)
    cost: np.ndarray | None = None
    k: int = 1
    variant: str = "alpha"


def definition(loss):
    """The definition that a loss object's public attributes name."""
    kind = type(loss).__name__
    if kind in BUILT_ON_A_MARGIN_LOSS:
        return Definition(kind, loss.base.name, loss.base.params)
    if kind == "CostSensitiveHinge":
        return Definition(kind, cost=np.array(loss.cost))
    if kind == "TopKHinge":
        return Definition(kind, k=loss.k, variant=loss.variant)
    raise KeyError(kind)


# --------------------------------------------------------------------------------------------------
# One row, in plain Python
# --------------------------------------------------------------------------------------------------


def row(what, c, scores, dtype=np.float64):
    """(value, slopes) of one row; the K slopes are the derivatives of the value with respect to its scores.

    A row with a NaN has the value NaN and slopes of NaN at c and at every class whose score is NaN; what the
    other classes get is not specified, and None here.
    """
    s = [np.dtype(dtype).type(score) for score in scores]
    n_classes = len(s)
    if any(math.isnan(score) for score in s):
        return math.nan, [math.nan if j == c or math.isnan(s[j]) else None for j in range(n_classes)]
    others = [j for j in range(n_classes) if j != c]

    def minus(a, b):
        with np.errstate(all="ignore"):
            return float(np.dtype(dtype).type(a) - np.dtype(dtype).type(b))

    slopes = [0.0] * n_classes
    if what.kind == "CrammerSinger":
        rival = others[0]
        for j in others:
            if s[j] > s[rival]:  # strictly: ties stay with the lowest index
                rival = j
        m = minus(s[c], s[rival])
        slopes[c] = reference.slope(what.base, what.params, m)
        slopes[rival] = -slopes[c]
        return reference.phi(what.base, what.params, m), slopes
    if what.kind == "WestonWatkins":
        margins = {j: minus(s[c], s[j]) for j in others}
        for j in others:
            slopes[j] = -reference.slope(what.base, what.params, margins[j])
        slopes[c] = -math.fsum(slopes[j] for j in others)
        return math.fsum(reference.phi(what.base, what.params, m) for m in margins.values()), slopes
    if what.kind == "OneVsRest":
        margins = [float(s[j]) if j == c else -float(s[j]) for j in range(n_classes)]
        for j in range(n_classes):
            slope = reference.slope(what.base, what.params, margins[j])
            slopes[j] = slope if j == c else -slope
        return math.fsum(reference.phi(what.base, what.params, m) for m in margins), slopes
    if what.kind == "CostSensitiveHinge":
        u = {j: minus(what.cost[c, j], minus(s[c], s[j])) for j in others}
        rival = max(others, key=lambda j: (u[j], -j))
        if u[rival] > 0:
            slopes[c], slopes[rival] = -1.0, 1.0
            return u[rival], slopes
        return 0.0, slopes
    if what.kind == "TopKHinge":
        a = [0.0 if j == c else minus(1.0, minus(s[c], s[j])) for j in range(n_classes)]
        largest = sorted(range(n_classes), key=lambda j: (-a[j], j))[: what.k]
        if what.variant == "alpha":
            mean = math.fsum(a[j] for j in largest) / what.k
            if mean <= 0:
                return 0.0, slopes
            for j in largest:
                slopes[j] += 1 / what.k
            slopes[c] -= 1.0
            return mean, slopes
        for j in largest:
            if a[j] > 0:  # never c itself
                slopes[j] += 1 / what.k
                slopes[c] -= 1 / what.k
        return math.fsum(max(0.0, a[j]) for j in largest) / what.k, slopes
    raise KeyError(what.kind)


def row_product(what, c, scores, direction):
    """The generalised Hessian of one row's value with respect to its scores, times `direction` (K,)."""
    s, q = [float(score) for score in scores], [0.0] * len(scores)
    others = [j for j in range(len(s)) if j != c]
    if what.kind == "CrammerSinger":
        rival = max(others, key=lambda j: (s[j], -j))
        q[c] = reference.curvature(what.base, what.params, s[c] - s[rival]) * (
            direction[c] - direction[rival]
        )
        q[rival] = -q[c]
        return q
    if what.kind == "WestonWatkins":
        for j in others:
            q[j] = -reference.curvature(what.base, what.params, s[c] - s[j]) * (direction[c] - direction[j])
        q[c] = -math.fsum(q[j] for j in others)
        return q
    if what.kind == "OneVsRest":
        signed = [score if j == c else -score for j, score in enumerate(s)]
        return [
            reference.curvature(what.base, what.params, m) * v for m, v in zip(signed, direction, strict=True)
        ]
    raise KeyError(what.kind)


def scores_value_and_grad(what, labels, scores, weights=None, reduction="mean", dtype=np.float64):
    """Value (float, or (n,) for "none") and gradient (n, K), a row at a time."""
    weights = [1.0] * len(labels) if weights is None else [float(w) for w in weights]
    total = math.fsum(weights) if reduction == "mean" else 1.0
    values, grad = [], []
    for c, s, w in zip(labels, scores, weights, strict=True):
        value, slopes = row(what, int(c), s, dtype)
        values.append(w * value / total if w else 0.0)
        grad.append([w * slope / total + 0.0 if w else 0.0 for slope in slopes])
    grad = np.array(grad, dtype=np.float64).reshape(np.shape(scores))
    return (np.array(values) if reduction == "none" else math.fsum(values)), grad


def linear_value_and_grad(what, X, labels, coef, intercept, alpha=0.0, weights=None, reduction="mean"):
    """J = reduction(w loss(coef x + intercept)) + alpha/2 |coef|^2 and its gradient, a number at a time.

    X: (n, d) dense. coef: (K, d). intercept: (K,). Returns value, grad_coef (K, d), grad_intercept (K,).
    A slope of zero adds nothing, whatever the row's features hold.
    """
    n_classes, n_features = np.shape(coef)
    scores = [
        [
            math.fsum(float(X[i][f]) * float(coef[k][f]) for f in range(n_features)) + float(intercept[k])
            for k in range(n_classes)
        ]
        for i in range(len(X))
    ]
    value, slopes = scores_value_and_grad(
        what, labels, np.reshape(scores, (len(X), n_classes)), weights, reduction
    )
    grad = [
        [
            math.fsum(slopes[i][k] * float(X[i][f]) for i in range(len(X)) if slopes[i][k])
            + alpha * float(coef[k][f])
            for f in range(n_features)
        ]
        for k in range(n_classes)
    ]
    value += alpha / 2 * math.fsum(float(c) ** 2 for c in np.ravel(coef))
    return value, np.reshape(grad, (n_classes, n_features)), slopes.sum(axis=0)


# --------------------------------------------------------------------------------------------------
# Many rows, in NumPy
# --------------------------------------------------------------------------------------------------


def phi_array(name, params, m):
    """(phi, phi', phi'') of an array of margins, in float64 and for margins within +-30 or so.

    A loss without a formula here gets the one of its definition, which is slow.
    """
    name, p = reference.full_params(name, params)
    m = np.asarray(m, dtype=np.float64)
    t = p.get("margin", 0.0)
    u = t - m
    zero, one = np.zeros_like(u), np.ones_like(u)
    with np.errstate(all="ignore"):
        if name == "hinge":
            kink = np.where(u == 0, p["kink_slope"], 0.0)
            return np.maximum(u, 0), np.where(u > 0, -1.0, kink) + np.where(np.isnan(u), u, 0), zero
        if name == "perceptron":
            return np.maximum(-m, 0), np.where(m <= 0, -1.0, 0.0) + np.where(np.isnan(u), u, 0), zero
        v = np.maximum(u, 0)
        if name == "squared_hinge":
            return v**2, -2 * v, np.where(u > 0, 2.0, 0.0)
        if name == "smooth_hinge":
            g = p["width"]
            return (
                np.where(v < g, v**2 / (2 * g), v - g / 2),
                -np.minimum(v / g, 1),
                np.where((u > 0) & (u < g), 1 / g, 0.0),
            )
        if name == "modified_huber":
            return (
                np.where(v < 2, v**2, 4 * (v - 1)),
                -2 * np.minimum(v, 2),
                np.where((u > 0) & (u < 2), 2.0, 0),
            )
        if name == "huberized_hinge":
            h = p["half_width"]
            w = np.clip(u + h, 0, 2 * h)
            return (
                np.where(u >= h, u, w**2 / (4 * h)),
                -w / (2 * h),
                np.where(np.abs(u) < h, 1 / (2 * h), 0.0),
            )
        if name == "huber_margin":
            d = p["delta"]
            return (
                np.where(v <= d, v**2 / 2, d * (v - d / 2)),
                -np.minimum(v, d),
                np.where((u > 0) & (u < d), one, zero),
            )
        if name == "psi_g":
            s = p["sigma"]
            x = u / s
            # pdf(x) - |x| Phi(-|x|), both scaled by exp(x^2/2), so that their difference cancels less.
            tail = special.erfcx(np.abs(x) / np.sqrt(2)) / 2
            pdf = np.exp(-(x**2) / 2)
            below = s * pdf * (1 / np.sqrt(2 * np.pi) - np.abs(x) * tail)
            return np.where(x < 0, below, u + below), -special.ndtr(x), pdf / np.sqrt(2 * np.pi) / s
        if name == "psi_m":
            s = p["sigma"]
            root = np.hypot(u, s)
            raised = np.where(u >= 0, u + root, s**2 / (root - u))
            return raised / 2, -raised / root / 2, s**2 / (2 * root**3)
        if name in ("softplus_hinge", "logistic"):
            b = p.get("beta", 1.0)
            return (
                np.logaddexp(0, b * u) / b,
                -special.expit(b * u),
                b * special.expit(b * u) * special.expit(-b * u),
            )
    return reference.of_margins(name, p, m)


def differences(labels, scores, dtype):
    """s_c - s_j (n, K), rounded to `dtype` as the definitions form it."""
    s = np.asarray(scores).astype(dtype)
    with np.errstate(all="ignore"):
        return (s[np.arange(len(s)), labels][:, None] - s).astype(np.float64)


def top_values(what, labels, scores, dtype=np.float64):
    """The u_j of `CostSensitiveHinge` or the a_j of `TopKHinge` (n, K), rounded to `dtype` as they are formed."""
    here = np.arange(len(labels)), labels
    start = what.cost[labels] if what.kind == "CostSensitiveHinge" else np.ones(np.shape(scores))
    gaps = differences(labels, scores, dtype).astype(dtype)
    with np.errstate(all="ignore"):
        top = (start.astype(dtype) - gaps).astype(np.float64)
    top[here] = -np.inf if what.kind == "CostSensitiveHinge" else 0.0
    return top


def rivals(labels, scores):
    """The best other class of each row, the lowest of equals."""
    others = np.array(scores, dtype=np.float64)
    others[np.arange(len(labels)), labels] = -np.inf
    return np.argmax(others, axis=1)


def rows(what, labels, scores, dtype=np.float64):
    """Values (n,) and slopes (n, K) of rows without NaN and infinities."""
    n, _ = np.shape(scores)
    here = np.arange(n)
    slopes = np.zeros(np.shape(scores))
    if what.kind == "CrammerSinger":
        rival = rivals(labels, scores)
        m = differences(labels, scores, dtype)[here, rival]
        values, slope, _ = phi_array(what.base, what.params, m)
        slopes[here, labels] = slope
        slopes[here, rival] = -slope
    elif what.kind == "WestonWatkins":
        values, slopes, _ = phi_array(what.base, what.params, differences(labels, scores, dtype))
        values[here, labels] = slopes[here, labels] = 0.0
        slopes = -slopes
        slopes[here, labels] = -slopes.sum(axis=1)
        values = values.sum(axis=1)
    elif what.kind == "OneVsRest":
        signs = np.full(np.shape(scores), -1.0)
        signs[here, labels] = 1.0
        values, slopes, _ = phi_array(what.base, what.params, signs * np.asarray(scores).astype(dtype))
        values, slopes = values.sum(axis=1), signs * slopes
    else:
        top = top_values(what, labels, scores, dtype)
        k = 1 if what.kind == "CostSensitiveHinge" else what.k
        chosen = np.argsort(-top, axis=1, kind="stable")[:, :k]
        picked = np.take_along_axis(top, chosen, axis=1)
        if what.variant == "beta":
            share = (picked > 0) / k
            values = np.maximum(picked, 0).sum(axis=1) / k
        else:
            mean = picked.sum(axis=1) / k
            values = np.maximum(mean, 0)
            share = np.repeat((mean > 0)[:, None] / k, k, axis=1)
        np.put_along_axis(slopes, chosen, share, axis=1)
        slopes[here, labels] -= share.sum(axis=1)
    return values, slopes + 0.0


def products(what, labels, scores, directions):
    """Generalised Hessians of many rows' values times `directions` (n, K): (n, K)."""
    n, _ = np.shape(scores)
    here = np.arange(n)
    q = np.zeros(np.shape(scores))
    if what.kind == "OneVsRest":
        signs = np.full(np.shape(scores), -1.0)
        signs[here, labels] = 1.0
        return phi_array(what.base, what.params, signs * scores)[2] * directions
    curvature = phi_array(what.base, what.params, differences(labels, scores, np.float64))[2]
    ahead = directions[here, labels][:, None] - directions
    if what.kind == "CrammerSinger":
        rival = rivals(labels, scores)
        along = curvature[here, rival] * ahead[here, rival]
        q[here, labels] = along
        q[here, rival] = -along
        return q
    q = -curvature * ahead
    q[here, labels] = 0.0
    q[here, labels] = -q.sum(axis=1)
    return q
