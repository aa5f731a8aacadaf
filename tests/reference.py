"""Slow, obvious, independent oracles: every formula is written out from its definition, none from
hingefast's code.

Two twins of each loss: in mpmath (`phi_mp`, `slope_mp`, `curvature_mp`: true to all digits that float64 can
hold, and far beyond) and in plain float64 Python (`phi`, `slope`, `curvature`: fast enough for thousands of
rows, within a few roundings of the truth). Both compute from the definitions of the papers, one function
per loss: that several losses are one S function with other parameters is hingefast's claim, so it may not
be the oracle's.

Throughout, m = sign * score is the margin, u = t - m, and NaN in gives NaN out.
"""

import math

import mpmath
import numpy as np

# Parameters and their defaults; the order of the names is the catalogue's.
DEFAULTS = {
    "hinge": {"margin": 1.0, "kink_slope": 0.0},
    "perceptron": {},
    "squared_hinge": {"margin": 1.0},
    "smooth_hinge": {"margin": 1.0, "width": 1.0},
    "modified_huber": {"margin": 1.0},
    "huberized_hinge": {"margin": 1.0, "half_width": 0.5},
    "huber_margin": {"margin": 1.0, "delta": 1.0},
    "psi_g": {"margin": 1.0, "sigma": 1.0},
    "psi_m": {"margin": 1.0, "sigma": 1.0},
    "softplus_hinge": {"margin": 1.0, "beta": 1.0},
    "logistic": {},
    "safe_logistic": {"margin": 1.0},
}
ALIASES = {
    "log_loss": "logistic",
    "logistic_loss": "logistic",
    "perceptron_loss": "perceptron",
    "gaussian_hinge": "psi_g",
    "algebraic_hinge": "psi_m",
    "softplus": "softplus_hinge",
}


def full_params(name, params=None):
    """The canonical name and all parameters, the given ones replacing defaults."""
    name = ALIASES.get(name, name)
    given = {} if params is None else dict(params)
    unknown = set(given) - set(DEFAULTS[name])
    if unknown:
        raise KeyError(f"{name} has no parameters {sorted(unknown)}")
    return name, {**DEFAULTS[name], **given}


# --------------------------------------------------------------------------------------------------
# The definitions. Each class gets a margin m, the parameters and `ops`, the arithmetic to use: plain floats
# or mpmath. A definition branches on m only through comparisons, so both arithmetics share the branches but
# not the functions.
# --------------------------------------------------------------------------------------------------


def _hinge(m, p, ops):
    u = p["margin"] - m
    if u > 0:
        return u, ops.one * -1, ops.zero
    return ops.zero, p["kink_slope"] if u == 0 else ops.zero, ops.zero


def _perceptron(m, p, ops):
    if m <= 0:
        return -m, ops.one * -1, ops.zero
    return ops.zero, ops.zero, ops.zero


def _squared_hinge(m, p, ops):
    u = p["margin"] - m
    if u > 0:
        return u * u, -2 * u, 2 * ops.one
    return ops.zero, ops.zero, ops.zero


def _smooth_hinge(m, p, ops):
    """Rennie 2005 with width 1; Shalev-Shwartz and Zhang 2013 in general."""
    u, width = p["margin"] - m, p["width"]
    if u <= 0:
        return ops.zero, ops.zero, ops.zero
    if u < width:
        return u * u / (2 * width), -u / width, 1 / width
    return u - width / 2, ops.one * -1, ops.zero


def _modified_huber(m, p, ops):
    """Zhang 2004, for margin 1: max(0, 1-m)^2 if m >= -1, else -4m. Another margin t shifts m by 1 - t."""
    u = p["margin"] - m  # 1 - m of the shifted margin; -m is then u - 1
    if u <= 0:
        return ops.zero, ops.zero, ops.zero
    if u < 2:
        return u * u, -2 * u, 2 * ops.one
    return 4 * (u - 1), -4 * ops.one, ops.zero


def _huberized_hinge(m, p, ops):
    """Chapelle 2007, for margin 1: 0 if m > 1+h; (1+h-m)^2/(4h) if |1-m| <= h; 1-m below."""
    u, h = p["margin"] - m, p["half_width"]
    if u < -h:
        return ops.zero, ops.zero, ops.zero
    if abs(u) <= h:
        inside = abs(u) < h
        return (h + u) * (h + u) / (4 * h), -(h + u) / (2 * h), 1 / (2 * h) if inside else ops.zero
    return u, ops.one * -1, ops.zero


def _huber_margin(m, p, ops):
    """v = max(0, t-m): v^2/2 if v <= d, else d (v - d/2)."""
    v, d = p["margin"] - m, p["delta"]
    if v <= 0:
        return ops.zero, ops.zero, ops.zero
    if v <= d:
        return v * v / 2, -v, ops.one if v < d else ops.zero
    return d * (v - d / 2), -d, ops.zero


def _psi_g(m, p, ops):
    """u Phi(v) + s pdf(v) = s * (integral of Phi up to v), v = u/s."""
    u, s = p["margin"] - m, p["sigma"]
    v = u / s
    return (
        s * ops.integral_of_cdf(v) if v < 0 else u * ops.cdf(v) + s * ops.pdf(v),
        -ops.cdf(v),
        ops.pdf(v) / s,
    )


def _psi_m(m, p, ops):
    """(u + sqrt(u^2 + s^2)) / 2; for u < 0 the same after multiplying with the conjugate."""
    u, s = p["margin"] - m, p["sigma"]
    root = ops.hypot(u, s)
    # The slope -(1 + u/root)/2 cancels in the same way for u < 0: (root + u)/(2 root).
    raised = u + root if u >= 0 else s * (s / (root - u))
    return raised / 2, -(raised / root) / 2, s / root * (s / root) / (2 * root)


def _softplus_hinge(m, p, ops):
    u, b = p["margin"] - m, p["beta"]
    x = b * u
    probability = ops.logistic(x)
    return (
        (max(x, ops.zero) + ops.log1p(ops.exp(-abs(x)))) / b,
        -probability,
        b * probability * ops.logistic(-x),
    )


def _logistic(m, p, ops):
    """log(1 + exp(-m)): binary cross-entropy for labels of -1 and +1."""
    probability = ops.logistic(-m)
    return max(-m, ops.zero) + ops.log1p(ops.exp(-abs(m))), -probability, probability * ops.logistic(m)


def _safe_logistic(m, p, ops):
    """exp(m - t) - (m - t) - 1 for m < t, 0 beyond (Mairal 2019)."""
    u = p["margin"] - m
    if u <= 0:
        return ops.zero, ops.zero, ops.zero
    less = ops.expm1(-u)
    # The sum cancels near 0: there, what is left of the series of exp.
    value = less + u if u > 1 else sum((-u) ** k / math.factorial(k) for k in range(60, 1, -1))
    return value, less, ops.exp(-u)


_DEFINITIONS = {
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
    "safe_logistic": _safe_logistic,
}


# The promise of the design, in ulp of phi and phi': four roundings, or what the rounded argument of exp and erfc
# allows.
PROMISED_ULPS = {
    "psi_g": lambda u, p: 3 + 2 * (u / p["sigma"]) * (u / p["sigma"]),
    "softplus_hinge": lambda u, p: 3 + abs(p["beta"] * u),
    "logistic": lambda u, p: 3 + abs(u),
}


class _Floats:
    """Plain float64 arithmetic, with libm's functions and IEEE's answers for infinities."""

    zero, one = 0.0, 1.0
    hypot, log1p, expm1 = math.hypot, math.log1p, math.expm1

    @staticmethod
    def exp(x):
        return math.inf if x > 709.8 else math.exp(x)

    @classmethod
    def logistic(cls, x):
        return 1.0 / (1.0 + cls.exp(-x)) if x >= 0 else cls.exp(x) / (1.0 + cls.exp(x))

    @staticmethod
    def pdf(v):
        return math.exp(-v * v / 2) / math.sqrt(2 * math.pi)

    @staticmethod
    def cdf(v):
        return math.erfc(-v / math.sqrt(2)) / 2

    @classmethod
    def integral_of_cdf(cls, v):
        """v Phi(v) + pdf(v) for v < 0 without its cancellation.

        It is i1erfc(x)/sqrt(2) at x = -v/sqrt(2), and the ratios r_n = i^n erfc / i^(n-1) erfc of the
        repeated integrals obey r_n = 1 / (2 x + 2 (n+1) r_(n+1)) (DLMF 7.18.7). Below x = 1 that recursion
        converges slowly, and nothing cancels badly; above it, the number of steps it needs falls with x^2.
        """
        if v > -math.sqrt(2):
            return v * cls.cdf(v) + cls.pdf(v)
        x = -v / math.sqrt(2)
        ratio = 0.0
        for n in range(20 + int(400 / x / x), 0, -1):
            ratio = 1.0 / (2 * x + 2 * (n + 1) * ratio)
        return ratio * math.erfc(x) / math.sqrt(2)


class _Many:
    """mpmath arithmetic: the definitions as they stand, with digits enough for every cancellation."""

    zero, one = mpmath.mpf(0), mpmath.mpf(1)
    log1p = staticmethod(mpmath.log1p)

    @staticmethod
    def exp(x):
        return mpmath.exp(x) if x > -1e6 else mpmath.mpf(0)

    @staticmethod
    def expm1(x):
        return mpmath.expm1(x) if x > -1e6 else mpmath.mpf(-1)

    @staticmethod
    def hypot(a, b):
        return mpmath.sqrt(a * a + b * b)

    @staticmethod
    def logistic(x):
        return 1 / (1 + mpmath.exp(-x)) if abs(x) < 1e6 else mpmath.mpf(x > 0)

    # Beyond 1e6 the tails are below 1e-200000000000: 0, and mpmath need not try.
    @staticmethod
    def pdf(v):
        return mpmath.exp(-v * v / 2) / mpmath.sqrt(2 * mpmath.pi) if abs(v) < 1e6 else mpmath.mpf(0)

    @staticmethod
    def cdf(v):
        return mpmath.erfc(-v / mpmath.sqrt(2)) / 2 if abs(v) < 1e6 else mpmath.mpf(v > 0)

    @classmethod
    def integral_of_cdf(cls, v):
        return v * cls.cdf(v) + cls.pdf(v)


# Limits (phi, phi', phi'') for m -> -inf; for m -> +inf every loss of the catalogue tends to 0, 0, 0.
_STEEPEST = {
    "squared_hinge": lambda p: (math.inf, -math.inf, 2.0),
    "modified_huber": lambda p: (math.inf, -4.0, 0.0),
    "huber_margin": lambda p: (math.inf, -p["delta"], 0.0),
}


def promised_ulps(name, params, m):
    """How many ulp a computed phi or phi' may be off the true one at this margin."""
    name, p = full_params(name, params)
    return PROMISED_ULPS.get(name, lambda u, p: 4.0)(p.get("margin", 0.0) - float(m), p)


def _evaluate(name, params, m, many):
    """(phi, phi', phi'') at one margin, a float."""
    name, p = full_params(name, params)
    m = float(m)
    if math.isnan(m):
        return math.nan, math.nan, math.nan
    if math.isinf(m):
        steepest = _STEEPEST.get(name, lambda p: (math.inf, -1.0, 0.0))
        return (0.0, 0.0, 0.0) if m > 0 else steepest(p)
    if not many:
        return _DEFINITIONS[name](m, {key: float(value) for key, value in p.items()}, _Floats)
    # 60 digits absorb psi_g's cancellation (v^-2) wherever its tail is not 0 altogether.
    with mpmath.workdps(60):
        exact = {key: mpmath.mpf(float(value)) for key, value in p.items()}
        return _DEFINITIONS[name](mpmath.mpf(m), exact, _Many)


def exact(name, params, m):
    """(phi, phi', phi'') at m to some fifty digits; `m` is a float and stands for exactly that number."""
    return _evaluate(name, params, m, True)


def phi_mp(name, params, m):
    """phi(m) to some fifty digits; `m` is a float and stands for exactly that number."""
    return _evaluate(name, params, m, True)[0]


def slope_mp(name, params, m):
    """phi'(m) to some fifty digits."""
    return _evaluate(name, params, m, True)[1]


def curvature_mp(name, params, m):
    """phi''(m) to some fifty digits, 0 at a kink and where phi' bends."""
    return _evaluate(name, params, m, True)[2]


def of_margins(name, params, m):
    """(phi, phi', phi'') in plain float64, as floats of a number or arrays of an array."""
    if np.ndim(m) == 0:
        return tuple(float(each) for each in _evaluate(name, params, m, False))
    m = np.asarray(m, dtype=np.float64)
    triples = [_evaluate(name, params, each, False) for each in m.ravel().tolist()]
    return tuple(np.array(triples, dtype=np.float64).reshape(m.size, 3).T.reshape(3, *m.shape))


def phi(name, params, m):
    """phi(m) in plain float64; `m` is a number or an array."""
    return of_margins(name, params, m)[0]


def slope(name, params, m):
    """phi'(m) in plain float64; `m` is a number or an array."""
    return of_margins(name, params, m)[1]


def curvature(name, params, m):
    """phi''(m) in plain float64; `m` is a number or an array."""
    return of_margins(name, params, m)[2]


# --------------------------------------------------------------------------------------------------
# Sums over rows
# --------------------------------------------------------------------------------------------------


def _sum(terms):
    """Correctly rounded sum where there is one, else what IEEE says (fsum refuses inf - inf and overflow)."""
    terms = [float(term) for term in terms]
    try:
        return math.fsum(terms)
    except (OverflowError, ValueError):
        return sum(terms)


def weighted_rows(loss_name, params, margins, weights, reduction):
    """Per row: w l and w phi', both divided by sum(w) for the mean. A row of weight 0 is 0, whatever its
    margin.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(reduction)
    margins = [float(m) for m in margins]
    weights = [1.0] * len(margins) if weights is None else [float(w) for w in weights]
    if len(weights) != len(margins):
        raise ValueError("weights and margins differ in length")
    total = math.fsum(weights) if reduction == "mean" else 1.0
    losses, slopes = [], []
    for m, w in zip(margins, weights, strict=True):
        value, derivative, _ = _evaluate(loss_name, params, m, False)
        losses.append(w * float(value) / total if w else 0.0)
        slopes.append(w * float(derivative) / total if w else 0.0)
    return losses, slopes


def scores_value_and_grad(loss_name, params, signs, scores, weights=None, reduction="mean"):
    """Value (float, or (n,) for "none") and gradient (n,) of a loss of binary scores.

    signs: (n,) of -1 and +1. scores: (n,). weights: (n,) of everything that multiplies a row, classes
    included. "mean" is sum(w l) / sum(w); the gradient is the value's derivative with respect to the
    scores.
    """
    signs = [float(s) for s in signs]
    losses, slopes = weighted_rows(
        loss_name, params, [s * float(z) for s, z in zip(signs, scores, strict=True)], weights, reduction
    )
    value = np.array(losses, dtype=np.float64) if reduction == "none" else _sum(losses)
    # + 0.0: an inactive row has no sign.
    return value, np.array([s * g + 0.0 for s, g in zip(signs, slopes, strict=True)], dtype=np.float64)


def linear_value_and_grad(
    X_dense, signs, coef, intercept, loss_name, params, alpha=0.0, weights=None, reduction="mean"
):
    """J = reduction(w phi(sign (x.coef + intercept))) + alpha/2 |coef|^2, and its gradient.

    X_dense: (n, d). coef: (d,). Returns value, grad_coef (d,), grad_intercept and abs_terms (d + 1,): the
    sums of the absolute terms that make up each entry of grad_coef, then of grad_intercept. The error of a
    computed entry is a multiple of eps times its abs_terms. A row whose slope is 0 adds nothing, whatever
    its features hold.
    """
    if reduction == "none":
        raise ValueError('a linear call has no reduction "none"')
    rows = [[float(x) for x in row] for row in np.asarray(X_dense, dtype=np.float64)]
    coef = [float(c) for c in np.asarray(coef, dtype=np.float64).reshape(-1)]
    signs = [float(s) for s in signs]
    intercept = float(intercept)
    scores = [_sum([x * c for x, c in zip(row, coef, strict=True)] + [intercept]) for row in rows]
    losses, slopes = weighted_rows(
        loss_name, params, [s * z for s, z in zip(signs, scores, strict=True)], weights, reduction
    )
    value = _sum([*losses, alpha / 2 * _sum([c * c for c in coef])])
    active = [(s * g, row) for s, g, row in zip(signs, slopes, rows, strict=True) if g != 0]
    grad, abs_terms = [], []
    for column, c in enumerate(coef):
        terms = [g * row[column] for g, row in active] + [alpha * c]
        grad.append(_sum(terms))
        abs_terms.append(_sum([abs(term) for term in terms]))
    grad_intercept = _sum([g for g, _ in active])
    abs_terms.append(_sum([abs(g) for g, _ in active]))
    return value, np.array(grad, dtype=np.float64), grad_intercept, np.array(abs_terms, dtype=np.float64)


def densify(X):
    """The dense (n, d) float64 matrix that CSR parts mean: duplicates are summed, slack beyond indptr[n] is
    unread.
    """
    dense = np.zeros(X.shape, dtype=np.float64)
    for row in range(X.shape[0]):
        for position in range(int(X.indptr[row]), int(X.indptr[row + 1])):
            dense[row, int(X.indices[position])] += float(X.data[position])
    return dense


# --------------------------------------------------------------------------------------------------
# Distances
# --------------------------------------------------------------------------------------------------


def ulp(x, dtype):
    """The distance between `x` (a float or an mpf) and the next number of `dtype` away from 0, subnormals
    included.
    """
    info = np.finfo(dtype)
    with mpmath.workdps(60):
        x = abs(mpmath.mpf(x))
        if x < mpmath.mpf(float(info.smallest_normal)):
            return mpmath.mpf(float(info.smallest_subnormal))
        exponent = mpmath.frexp(x)[1] - 1
        return mpmath.ldexp(1, min(exponent, int(info.maxexp) - 1) - int(info.nmant))


def ulps_apart(got, want, dtype):
    """|got - want| in units of the last place of `want`; NaN equals NaN, an infinity only itself or an
    overflow.
    """
    got = float(got)
    with mpmath.workdps(60):
        if mpmath.isnan(want) or math.isnan(got):
            return 0.0 if mpmath.isnan(want) and math.isnan(got) else math.inf
        largest = mpmath.mpf(float(np.finfo(dtype).max))
        if mpmath.isinf(want) or math.isinf(got):
            overflow = abs(want) > largest * (1 - mpmath.mpf(2) ** -20) and (want > 0) == (got > 0)
            return 0.0 if overflow and math.isinf(got) else math.inf
        return float(abs(mpmath.mpf(got) - want) / ulp(want, dtype))
