"""The catalogue of multiclass losses, problems for them on scores, dense X and CSR, and how far a right answer may be
from the oracle's.

Nothing here knows hingefast's code but its constructors: the generators draw numbers and assert that what they drew
can tell right from wrong; the bounds follow from rounding errors, from the convexity of the margin losses and from
which classes a rounding could have put first.
"""

import functools
from dataclasses import dataclass
from types import SimpleNamespace

import multiclass_reference as oracle
import numpy as np
import pytest
from conftest import CATALOGUE, computing_dtype, slack
from linear_cases import RELATIVE, namespace

import hingefast as hf

ON_A_BASE = {
    "crammer_singer": hf.CrammerSinger,
    "weston_watkins": hf.WestonWatkins,
    "one_vs_rest": hf.OneVsRest,
}
# Default and narrow parameters: wide ones would say nothing new about an arrangement.
BASES = {key: base for key, base in CATALOGUE.items() if not key.endswith("-wide")}


@functools.cache
def random_cost(n_classes):
    """An asymmetric cost in multiples of 1/64, exact in float32, whose diagonal is not 0 (and counts for nothing)."""
    rng = np.random.default_rng([7, n_classes])
    cost = np.round(rng.uniform(0.25, 3.0, (n_classes, n_classes)) * 64) / 64
    if n_classes > 1:
        assert (cost != cost.T).any() and cost.diagonal().all()
    cost.flags.writeable = False
    return cost


def _catalogue(bases):
    """id -> the loss for a number of classes, as a function."""
    for name, cls in ON_A_BASE.items():
        for key, base in bases.items():
            yield f"{name}:{key}", lambda _, cls=cls, base=base: cls(base)
    yield "cost_sensitive_hinge", lambda n_classes: hf.CostSensitiveHinge(random_cost(n_classes))
    for variant in ("alpha", "beta"):
        yield f"top_1_{variant}", lambda _, variant=variant: hf.TopKHinge(1, variant)
        yield (
            f"top_2_{variant}",
            lambda n_classes, variant=variant: hf.TopKHinge(min(2, n_classes - 1), variant),
        )
        yield f"top_all_{variant}", lambda n_classes, variant=variant: hf.TopKHinge(n_classes - 1, variant)


MULTICLASS = dict(_catalogue(BASES))
# One loss for each way through an arrangement: flat and sloping, nonsmooth and smooth.
FEW = dict(_catalogue({key: BASES[key] for key in ("hinge", "squared_hinge", "logistic")}))
# What has rows and classes of slope zero.
FLAT = dict(_catalogue({key: BASES[key] for key in ("hinge", "squared_hinge", "smooth_hinge")}))

every_multiclass_loss = pytest.mark.parametrize("make", MULTICLASS.values(), ids=MULTICLASS.keys())
few_multiclass_losses = pytest.mark.parametrize("make", FEW.values(), ids=FEW.keys())
flat_multiclass_losses = pytest.mark.parametrize("make", FLAT.values(), ids=FLAT.keys())


def has_hessian(loss):
    return type(loss) in ON_A_BASE.values() and loss.base.name not in oracle.FLAT


# --------------------------------------------------------------------------------------------------
# Scores
# --------------------------------------------------------------------------------------------------


def assert_telling(labels, scores):
    """All that a wrong answer could hide behind: every class (or, of many, many), rows right and wrong, inside and
    outside the margin, no two equal scores in a row, and rivals before and after the true class.
    """
    n, n_classes = scores.shape
    assert np.unique(labels).size >= min(n_classes, n // 3)
    assert all(np.unique(row).size == n_classes for row in scores)
    rival = oracle.rivals(labels, scores)
    here = np.arange(n)
    margins = scores[here, labels].astype(np.float64) - scores[here, rival]
    for threshold in (0.0, 1.0):
        assert (margins < threshold).any() and (margins > threshold).any()
    if n >= 16:
        assert (rival < labels).any() and (rival > labels).any()
        assert np.unique(rival).size >= min(n_classes, n // 4)


def telling_scores(n, n_classes, dtype=np.float64, seed=0, spread=3.0):
    """`n` >= 6 rows: .labels (int64), .scores (n, K) distinct within a row, .weights (float64, positive)."""
    rng = np.random.default_rng([seed, n, n_classes])
    step = 2 * spread / n_classes
    # Permuted points of a grid, moved a little: distinct even where float32 has few numbers to give.
    places = rng.permuted(np.tile(np.arange(n_classes), (n, 1)), axis=1)
    scores = -spread + step * (places + rng.uniform(0.1, 0.9, (n, n_classes)))
    labels = rng.permutation(np.arange(n) % n_classes)
    here = np.arange(n)
    # The true class stands anywhere from far behind the best other one to far ahead of it.
    ahead = rng.permutation(np.linspace(-2.3, 3.7, n)) + rng.uniform(0, 1e-3, n)
    moved = rng.permutation(n) % 4 > 0
    best = scores[here, oracle.rivals(labels, scores)]
    scores[here, labels] = np.where(moved, best + ahead, scores[here, labels])
    scores = scores.astype(dtype)
    # The moved score may meet another one: then it gets the next free number.
    for i in np.flatnonzero([np.unique(row).size < n_classes for row in scores]):
        while np.count_nonzero(scores[i] == scores[i, labels[i]]) > 1:
            scores[i, labels[i]] = np.nextafter(scores[i, labels[i]], dtype(-100))
    if n >= 6:
        assert_telling(labels, scores)
    return SimpleNamespace(labels=labels, scores=scores, weights=rng.uniform(0.25, 2.0, n))


# --------------------------------------------------------------------------------------------------
# How far a right answer may be from the oracle's
# --------------------------------------------------------------------------------------------------


@dataclass
class Rows:
    """Values (n,) and slopes (n, K) per row, each with its lowest and highest right number."""

    value: np.ndarray
    value_low: np.ndarray
    value_high: np.ndarray
    slope: np.ndarray
    slope_low: np.ndarray
    slope_high: np.ndarray


def _phi_between(base, m, move, dtype):
    """(low, high) of phi and of phi' for margins within `move` of m: phi falls and phi' rises with m."""
    last = 4 * float(np.finfo(dtype).eps)
    tiny = 4 * float(np.finfo(dtype).smallest_subnormal)
    at = [oracle.phi_array(base.name, base.params, each) for each in (m - move, m, m + move)]
    found = []
    for which in (0, 1):
        values = np.stack([triple[which] for triple in at])
        low, high = values.min(axis=0), values.max(axis=0)
        found += [low - last * np.abs(low) - tiny, high + last * np.abs(high) + tiny]
    return found


def right_rows(loss, labels, scores, dtype, error=None):
    """What a right implementation may return per row.

    scores: (n, K) finite. error: (n, K), how far a computed score may be from `scores`; None where the scores were
    given, so that differences of scores are those of the definition, to the bit.
    """
    what = oracle.definition(loss)
    scores = np.asarray(scores).astype(np.float64)
    labels = np.asarray(labels)
    n, _ = scores.shape
    here = np.arange(n)
    eps, relative = float(np.finfo(dtype).eps), RELATIVE[np.dtype(dtype)]
    exact = error is None
    error = np.zeros_like(scores) if exact else error
    # Without an error of the scores the differences are rounded by the oracle just as they are by us.
    forming = dtype if exact else np.float64
    value, slope = oracle.rows(what, labels, scores, forming)
    gaps = oracle.differences(labels, scores, forming)
    gap_error = error[here, labels][:, None] + error + (0.0 if exact else eps) * np.abs(gaps)
    slope_low, slope_high = np.zeros_like(scores), np.zeros_like(scores)

    if what.kind == "CrammerSinger":
        others, other_error = scores.copy(), error.copy()
        others[here, labels] = -np.inf
        floor = (others - other_error).max(axis=1)
        candidates = others + other_error >= floor[:, None]
        if exact:
            candidates = np.zeros_like(candidates)
            candidates[here, oracle.rivals(labels, scores)] = True
        best = others.max(axis=1)
        move = error[here, labels] + np.where(candidates, error, 0).max(axis=1)
        m = gaps[here, oracle.rivals(labels, scores)]
        move = move + (0.0 if exact else eps) * np.abs(m) + slack(loss.base, m, dtype)
        value_low, value_high, low, high = _phi_between(loss.base, m, move, dtype)
        slope_low[here, labels], slope_high[here, labels] = low, high
        sure = candidates.sum(axis=1) == 1
        assert np.isfinite(best).all()
        slope_low = np.where(candidates, np.where(sure, -high, 0.0)[:, None], slope_low)
        slope_high = np.where(candidates, -low[:, None], slope_high)
        slope_high = np.where(candidates & ~sure[:, None], np.maximum(slope_high, 0), slope_high)
    elif what.kind in ("WestonWatkins", "OneVsRest"):
        if what.kind == "OneVsRest":
            signs = np.full_like(scores, -1.0)
            signs[here, labels] = 1.0
            m, move = signs * scores, error
        else:
            m, move = gaps, gap_error
        move = move + slack(loss.base, m, dtype)
        lows, highs, low, high = _phi_between(loss.base, m, move, dtype)
        if what.kind == "OneVsRest":
            slope_low = np.where(signs > 0, low, -high)
            slope_high = np.where(signs > 0, high, -low)
        else:
            for each in (lows, highs, low, high):
                each[here, labels] = 0.0
            slope_low, slope_high = -high, -low
            total_low, total_high = low.sum(axis=1), high.sum(axis=1)
            slope_low[here, labels] = total_low - relative * np.abs(total_low)
            slope_high[here, labels] = total_high + relative * np.abs(total_high)
        value_low, value_high = lows.sum(axis=1), highs.sum(axis=1)
        value_low, value_high = value_low * (1 - relative), value_high * (1 + relative)
    else:
        top = oracle.top_values(what, labels, scores, forming)
        others = np.arange(scores.shape[1])[None, :] != labels[:, None]
        # A cost in float32 is rounded, and so is u; given scores are rounded by the oracle in the same places.
        top_error = np.where(others, gap_error + (0.0 if exact else 2 * eps * (np.abs(top) + 4)), 0.0)
        k = 1 if what.kind == "CostSensitiveHinge" else what.k
        low_sorted = -np.sort(-(top - top_error), axis=1)
        candidates = top + top_error >= low_sorted[:, k - 1][:, None]
        if exact:
            candidates = np.zeros_like(candidates)
            np.put_along_axis(candidates, np.argsort(-top, axis=1, kind="stable")[:, :k], True, axis=1)
        certain = candidates & (candidates.sum(axis=1) == k)[:, None]
        moved = np.where(candidates, top_error, 0).max(axis=1)
        largest = -np.sort(-top, axis=1)[:, :k]
        if what.variant == "beta":
            largest = np.maximum(largest, 0)
        mean = largest.sum(axis=1) / k
        summed = 4 * eps * np.abs(mean)
        if k > 1:
            summed += relative * np.abs(largest).sum(axis=1) / k
        value_low, value_high = np.maximum(mean - moved - summed, 0), np.maximum(mean + moved + summed, 0)
        share, rounded = 1 / k, 4 * eps
        if what.variant == "beta":
            on, off = top - top_error > 0, top + top_error <= 0
        else:
            # One number does not round to the other side of 0, a sum that cancels may.
            wide = moved + (0.0 if k == 1 else summed)
            on = np.repeat((mean - wide > 0)[:, None], top.shape[1], axis=1)
            off = np.repeat((mean + wide <= 0)[:, None], top.shape[1], axis=1)
        slope_low = np.where(certain & on & others, share * (1 - rounded), 0.0)
        slope_high = np.where(candidates & ~off & others, share * (1 + rounded), 0.0)
        if what.variant == "beta" or what.kind == "CostSensitiveHinge":
            # Minus the sum of the others, of which at most k have a slope at a time.
            lowest, highest = slope_high.sum(axis=1), slope_low.sum(axis=1)
            slope_low[here, labels] = -np.minimum(lowest, 1) * (1 + rounded)
            slope_high[here, labels] = -highest * (1 - rounded)
        else:
            low = -1.0 + share * certain[here, labels] - rounded
            high = -1.0 + share * candidates[here, labels] + rounded
            flat, steep = off[:, 0], on[:, 0]
            slope_low[here, labels] = np.where(flat, 0.0, low)
            slope_high[here, labels] = np.where(steep, high, 0.0)
    return Rows(value, value_low, value_high, slope + 0.0, slope_low, slope_high)


def assert_inside(got, low, high, rounding, tiny, what):
    """low - rounding |low| - tiny <= got <= high + rounding |high| + tiny, everywhere."""
    got = np.asarray(got, dtype=np.float64)
    margin = rounding * np.maximum(np.abs(low), np.abs(high)) + tiny
    wrong = ~((got >= low - margin) & (got <= high + margin))
    where = np.argwhere(wrong)
    assert not wrong.any(), (what, where[0].tolist(), got[wrong][:3], low[wrong][:3], high[wrong][:3])


def assert_right(result, loss, labels, scores, weights=None, reduction="mean", dtype=None):
    """`result` of value_and_grad on given scores is right."""
    value, grad = result
    scores = np.asarray(scores)
    dtype = computing_dtype(scores.dtype) if dtype is None else np.dtype(dtype)
    rows = right_rows(loss, labels, scores, dtype)
    n = len(labels)
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    factor = w / w.sum() if reduction == "mean" else w
    # Two more roundings for the weight and for the division by the sum, which itself has n of float64.
    rounding = 2 * float(np.finfo(dtype).eps) + (n + 4) * float(np.finfo(np.float64).eps)
    tiny = float(np.finfo(dtype).smallest_subnormal)
    assert isinstance(grad, np.ndarray) and grad.shape == scores.shape
    column = factor[:, None]
    assert_inside(grad, column * rows.slope_low, column * rows.slope_high, rounding, tiny, "grad")
    if reduction == "none":
        assert value.shape == (n,) and value.dtype == dtype
        assert_inside(value, factor * rows.value_low, factor * rows.value_high, rounding, tiny, "value")
        return
    assert type(value) is float
    low, high = (factor * rows.value_low).sum(), (factor * rows.value_high).sum()
    assert_inside([value], np.array([low]), np.array([high]), rounding, tiny, "value")


# --------------------------------------------------------------------------------------------------
# Linear problems
# --------------------------------------------------------------------------------------------------


@dataclass
class Problem:
    """`X` is always the dense (n, d) matrix; `y` holds the classes 0 to K-1; coef (K, d); intercept (K,)."""

    X: np.ndarray
    y: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    weights: np.ndarray


def assert_telling_linear(y, scores):
    n, n_classes = scores.shape
    here = np.arange(n)
    rival = oracle.rivals(y, scores)
    margins = scores[here, y] - scores[here, rival]
    assert np.unique(y).size >= min(0.8 * n_classes, n // 4)
    for threshold in (0.0, 1.0):
        assert (margins < threshold).any() and (margins > threshold).any()
    assert np.unique(rival).size >= min(0.8 * n_classes, n // 8)
    assert all(np.unique(row).size > n_classes // 2 for row in scores)


def problem(n, d, n_classes, dtype=np.float64, seed=0, density=None):
    """A problem with rows right and wrong, inside and outside the margin; `density` below 1 zeroes entries."""
    for attempt in range(50):
        rng = np.random.default_rng([seed, n, d, n_classes, attempt])
        X = rng.standard_normal((n, d))
        if density is not None:
            X[rng.random((n, d)) >= density] = 0.0
        X = X.astype(dtype)
        scale = 2.5 / np.sqrt(max(1.0, d * (1.0 if density is None else density)))
        coef = (rng.standard_normal((n_classes, d)) * scale).astype(dtype)
        intercept = (rng.standard_normal(n_classes) * 0.3).astype(dtype)
        scores = X.astype(np.float64) @ coef.T.astype(np.float64) + intercept
        y = np.where(rng.random(n) < 0.6, scores.argmax(axis=1), rng.permutation(np.arange(n) % n_classes))
        weights = rng.uniform(0.25, 2.0, n)
        if n >= 30 and d >= 3 and (density is None or density * d >= 3):
            try:
                assert_telling_linear(y, scores)
            except AssertionError:
                continue
        return Problem(X, y, coef, intercept, weights)
    raise AssertionError(f"no telling problem of {n} x {d} and {n_classes} classes in 50 attempts")


def random_csr(n, d, per_row, n_classes, dtype=np.float64, seed=0, index_dtype=np.int32):
    """A large CSR matrix without a dense copy: (X, y, coef, intercept); columns of a row distinct and sorted."""
    rng = np.random.default_rng([seed, n, d, per_row, n_classes])
    stride = d // per_row
    columns = (np.arange(per_row) * stride)[None, :] + rng.integers(0, stride, (n, per_row))
    data = rng.standard_normal((n, per_row)).astype(dtype)
    coef = (rng.standard_normal((n_classes, d)) * 2.5 / np.sqrt(per_row)).astype(dtype)
    intercept = (rng.standard_normal(n_classes) * 0.3).astype(dtype)
    # Labels of a coarser model, which are right often enough, without n x K x per_row numbers at once.
    scores = csr_scores(columns, data, coef, intercept)
    y = np.where(rng.random(n) < 0.6, scores.argmax(axis=1), rng.integers(0, n_classes, n))
    head = slice(0, 2_000)
    assert_telling_linear(y[head], scores[head])
    X = namespace(
        np.arange(n + 1, dtype=index_dtype) * per_row,
        columns.ravel().astype(index_dtype),
        data.ravel(),
        (n, d),
    )
    return X, y, coef, intercept


def csr_scores(columns, data, coef, intercept):
    """(n, K) scores in float64 of rows that all store as many entries."""
    scores = np.zeros((len(data), len(coef)))
    for k, row in enumerate(coef.astype(np.float64)):
        scores[:, k] = (data * row[columns]).sum(axis=1) + intercept[k]
    return scores


@dataclass
class Expected:
    """What the oracle says and how far a right answer may be from it."""

    scores: np.ndarray
    scores_bound: np.ndarray
    value: float
    value_low: float
    value_high: float
    grad: np.ndarray
    grad_bound: np.ndarray
    grad_intercept: np.ndarray
    grad_intercept_bound: np.ndarray


def expected(
    dense,
    labels,
    coef,
    intercept,
    loss,
    *,
    alpha=0.0,
    weights=None,
    reduction="mean",
    dtype=None,
    matrix=None,
    most_unsure=0.05,
):
    """The oracle's answer with bounds that hold for any order of additions.

    A score of d products has an error of at most (d + 2) roundings of its absolute terms. Where that leaves open
    which class is a row's rival, or on which side of a kink it lies, the slope of each class may be any number
    between the possible ones; no more than `most_unsure` of the rows may be such rows. On top comes the promised
    relative error of the sums.

    dense: (n, d) array, or a SciPy matrix of which `matrix` tells the longest row.
    """
    dtype = computing_dtype(dense.dtype) if dtype is None else np.dtype(dtype)
    relative, unit = RELATIVE[dtype], float(np.finfo(dtype).eps)
    X = dense.astype(np.float64)
    absolute = abs(X)
    coef = np.asarray(coef, dtype=np.float64)
    n_classes = len(coef)
    labels = np.asarray(labels)
    intercept = np.broadcast_to(np.asarray(intercept, dtype=np.float64), (n_classes,))
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    rounded = coef.astype(dtype).astype(np.float64)
    terms = X.shape[1] if matrix is None else matrix
    scores = np.asarray(X @ rounded.T) + intercept
    # (d + 2) roundings, of which the intercept's into float32 is one.
    scores_bound = (terms + 3) * unit * (np.asarray(absolute @ np.abs(rounded).T) + np.abs(intercept))
    rows = right_rows(loss, labels, scores, dtype, scores_bound + 1e-300)
    widths = np.maximum(rows.slope_high - rows.slope, rows.slope - rows.slope_low)
    assert (widths >= 0).all()
    unsure = (widths > 0.1 * (1 + np.abs(rows.slope))).any(axis=1)
    assert unsure.mean() <= most_unsure, unsure.mean()
    total = w.sum() if reduction == "mean" else 1.0
    factor = (w / total)[:, None]
    penalty = alpha / 2 * float((coef * coef).sum())
    value = float((w * rows.value).sum() / total + penalty)
    slack_of_sums = 2 * relative * (value + penalty) + 1e-300
    grad = np.asarray(X.T @ (factor * rows.slope)).T + alpha * coef
    # Absolute terms of a slope that itself is a difference (top-k: 1/k - 1) are at most one more.
    magnitude = factor * (np.abs(rows.slope) + (np.abs(rows.slope) > 0))
    grad_bound = np.asarray(absolute.T @ (factor * widths + relative * magnitude)).T
    grad_bound = grad_bound + 2 * relative * alpha * np.abs(coef) + 1e-300
    return Expected(
        scores,
        scores_bound + 1e-300,
        value,
        float((w * rows.value_low).sum() / total + penalty) - slack_of_sums,
        float((w * rows.value_high).sum() / total + penalty) + slack_of_sums,
        grad,
        grad_bound,
        (factor * rows.slope).sum(axis=0),
        (factor * widths + relative * magnitude).sum(axis=0) + 1e-300,
    )


def assert_close(result, want, out_eps=0.0):
    """`result` of linear_value_and_grad lies within the bounds; `out_eps`: rounding to a narrow gradient dtype."""
    value, grad, grad_intercept = result
    assert want.value_low <= value <= want.value_high, (want.value_low, value, want.value_high)
    for name, got, right, bound in (
        ("coef", grad, want.grad, want.grad_bound),
        ("intercept", grad_intercept, want.grad_intercept, want.grad_intercept_bound),
    ):
        got = np.asarray(got, dtype=np.float64)
        assert got.shape == right.shape
        excess = np.abs(got - right) - (bound + out_eps * np.abs(right))
        assert (excess <= 0).all(), (
            name,
            np.argwhere(excess > 0)[0].tolist(),
            got[excess > 0][:3],
            right[excess > 0][:3],
        )
