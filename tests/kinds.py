"""Kinds of problems: for each its loss, its data on scores, dense X and CSR, and what is right by the oracle.

A promise is tested once, over kinds: a binary loss is the kind whose rows have one score, all others have K. A new
margin loss is in every list by being in hingefast's catalogue and having a definition in `reference`; a new
arrangement of margins is a row of `ARRANGEMENTS` and a definition in `multiclass_reference`.

Nothing here knows hingefast's code but its constructors: the generators draw numbers and assert that what they drew
can tell right from wrong; the bounds follow from rounding errors, from the convexity of the margin losses and from
which classes a rounding could have put first.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import multiclass_reference as oracle
import numpy as np
import pytest
import reference
from conftest import computing_dtype
from scipy import sparse

import hingefast as hf
from hingefast.losses import MARGIN_LOSSES, Loss, MarginLoss

# What X is summed to relative to the sums of absolute terms: the promise of the design.
RELATIVE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 2.0**-40}

# --------------------------------------------------------------------------------------------------
# The catalogue of margin losses
# --------------------------------------------------------------------------------------------------

# One other value per parameter, dyadic so that it is exact in float32 too; a parameter that a later loss
# brings along gets 1.5. Two sets, because a width below 1 and one above 1 lie on different sides of every
# threshold.
_NARROW = {
    "margin": 0.5,
    "kink_slope": -0.5,
    "width": 0.25,
    "half_width": 0.25,
    "delta": 0.5,
    "sigma": 0.5,
    "beta": 4.0,
}
_WIDE = {
    "margin": 2.0,
    "kink_slope": -1.0,
    "width": 2.0,
    "half_width": 1.5,
    "delta": 3.0,
    "sigma": 2.0,
    "beta": 0.5,
}


def _catalogue():
    """(id, loss object): each class with its defaults and with two other sets of parameters, where it has any."""
    for name, cls in MARGIN_LOSSES.items():
        names = tuple(cls().params)
        yield name, cls()
        if names:
            yield f"{name}-narrow", cls(**{key: _NARROW.get(key, 1.5) for key in names})
            yield f"{name}-wide", cls(**{key: _WIDE.get(key, 1.5) for key in names})


CATALOGUE = dict(_catalogue())
DEFAULT_LOSSES = {name: cls() for name, cls in MARGIN_LOSSES.items()}

# Every margin loss that is exactly flat for a large margin: only these have rows of slope zero.
FLAT_LOSSES = tuple(name for name in MARGIN_LOSSES if reference.slope(name, None, 30.0) == 0.0)
SMOOTH_LOSSES = tuple(name for name in MARGIN_LOSSES if name not in FLAT_LOSSES)
# Every margin loss whose second derivative is not zero everywhere: what is built on it has a Hessian.
CURVED_LOSSES = tuple(name for name in MARGIN_LOSSES if name not in oracle.FLAT)

every_loss = pytest.mark.parametrize("loss", CATALOGUE.values(), ids=CATALOGUE.keys())
every_default_loss = pytest.mark.parametrize("loss", DEFAULT_LOSSES.values(), ids=DEFAULT_LOSSES.keys())


# --------------------------------------------------------------------------------------------------
# Kinds
# --------------------------------------------------------------------------------------------------

ON_A_BASE = {
    "crammer_singer": hf.CrammerSinger,
    "weston_watkins": hf.WestonWatkins,
    "one_vs_rest": hf.OneVsRest,
}


@functools.cache
def random_cost(n_classes):
    """An asymmetric cost in multiples of 1/64, exact in float32, whose diagonal is not 0 (and counts for nothing)."""
    rng = np.random.default_rng([7, n_classes])
    cost = np.round(rng.uniform(0.25, 3.0, (n_classes, n_classes)) * 64) / 64
    if n_classes > 1:
        assert (cost != cost.T).any() and cost.diagonal().all()
    cost.flags.writeable = False
    return cost


# What else makes a loss of K scores, for a number of classes.
ARRANGEMENTS = {
    "cost_sensitive_hinge": lambda n_classes: hf.CostSensitiveHinge(random_cost(n_classes)),
    **{
        f"top_{name}_{variant}": lambda n_classes, k=k, variant=variant: hf.TopKHinge(k(n_classes), variant)
        for variant in ("alpha", "beta")
        for name, k in {"1": lambda _: 1, "2": lambda K: min(2, K - 1), "all": lambda K: K - 1}.items()
    },
}


@dataclass(frozen=True)
class Kind:
    """A loss with its number of classes, None for a binary loss, and the data that belong to it."""

    name: str
    make: Callable[[int | None], Loss]
    n_classes: int | None = None

    def __str__(self):
        return self.name

    @functools.cached_property
    def loss(self):
        return self.make(self.n_classes)

    @property
    def binary(self):
        return self.n_classes is None

    def of(self, *numbers):
        """This kind with each of these numbers of classes; a binary one is what it is."""
        return (self,) if self.binary else tuple(Kind(self.name, self.make, K) for K in numbers)

    @property
    def shape(self):
        """What a row has scores for: () or (K,)."""
        return () if self.binary else (self.n_classes,)

    @property
    def labels(self):
        """The labels, in the order of the classes."""
        return np.array([-1, 1]) if self.binary else np.arange(self.n_classes)

    @property
    def wrong_label(self):
        return 0 if self.binary else self.n_classes

    @property
    def classes(self):
        """What an `Objective` must be told."""
        return {} if self.binary else {"classes": self.n_classes}

    @property
    def class_weight(self):
        return np.linspace(0.5, 2.0, len(self.labels))

    def weights_of_classes(self, y):
        """The class weight of each row."""
        return self.class_weight[np.searchsorted(self.labels, y)]

    @property
    def has_hessian(self):
        base = self.loss if self.binary else getattr(self.loss, "base", None)
        return base is not None and base.name in CURVED_LOSSES

    def scores(self, n, dtype=np.float64, seed=0):
        """`n` rows of telling scores: .y, .scores, .weights."""
        return telling_scores(n, dtype, seed, n_classes=self.n_classes)

    def problem(self, n, d, dtype=np.float64, seed=0, density=None):
        """A problem of this kind, which it names: .kind."""
        case = problem(n, d, dtype, seed, density, self.n_classes)
        case.kind = self
        return case

    def random_csr(self, n, d, per_row, dtype=np.float64, seed=0, index_dtype=np.int32, indptr_dtype=None):
        return random_csr(n, d, per_row, dtype, seed, index_dtype, indptr_dtype, self.n_classes)

    def objective(self, X, y, **keywords):
        return hf.Objective(X, y, **{"loss": self.loss, **self.classes, **keywords})

    def call(self, X, case, **keywords):
        """`linear_value_and_grad` of a problem, with another X."""
        arguments = {"coef": case.coef, "intercept": case.intercept, "loss": self.loss, **keywords}
        return hf.linear_value_and_grad(X, arguments.pop("y", case.y), **arguments)

    def expected(self, case, **keywords):
        return expected(case.X, case.y, case.coef, case.intercept, self.loss, **keywords)


def binary(loss, name=None):
    return Kind(name or loss.name, lambda _: loss)


def on_a_base(name, base="hinge", n_classes=5):
    return Kind(f"{name}:{base}", lambda _: ON_A_BASE[name](CATALOGUE[base]), n_classes)


def arrangement(name, n_classes=5):
    return Kind(name, ARRANGEMENTS[name], n_classes)


def _kinds(bases):
    """Every margin loss of `bases` alone and in every arrangement, and all that needs no base."""
    binaries = [binary(base, key) for key, base in bases.items()]
    built = [on_a_base(name, key) for name in ON_A_BASE for key in bases]
    return {kind.name: kind for kind in (*binaries, *built, *map(arrangement, ARRANGEMENTS))}


# Every loss. Wide parameters would say nothing new about an arrangement.
WHOLE_CATALOGUE = {key: binary(loss, key) for key, loss in CATALOGUE.items()} | _kinds(
    {key: base for key, base in CATALOGUE.items() if not key.endswith("-wide")}
)
# One loss for each way through an arrangement: flat and sloping, nonsmooth and smooth.
FEW = _kinds({key: CATALOGUE[key] for key in ("hinge", "squared_hinge", "logistic")})
# Every formula alone, and every way through an arrangement.
EVERY_WAY = {key: binary(loss, key) for key, loss in DEFAULT_LOSSES.items()} | FEW
# What has rows and classes of slope zero.
FLAT = {key: binary(CATALOGUE[key]) for key in FLAT_LOSSES} | _kinds(
    {key: CATALOGUE[key] for key in ("hinge", "squared_hinge", "smooth_hinge")}
)
# One of each kind, with the numbers of classes at which the kernels take other ways.
KINDS = {
    kind.name: kind
    for kind in (
        *map(
            binary,
            (hf.Hinge(), hf.PerceptronLoss(), hf.SquaredHinge(), hf.LogisticLoss(), hf.GaussianHinge()),
        ),
        on_a_base("crammer_singer", "hinge", 3),
        on_a_base("crammer_singer", "squared_hinge", 6),
        on_a_base("weston_watkins", "hinge", 20),
        on_a_base("weston_watkins", "logistic", 7),
        on_a_base("one_vs_rest", "hinge", 100),
        on_a_base("one_vs_rest", "logistic", 17),
        arrangement("top_2_alpha", 5),
        arrangement("top_2_beta", 9),
        arrangement("cost_sensitive_hinge", 4),
    )
}
# A pair that knows both walks: one score a row and K of them.
BOTH = {"hinge": KINDS["hinge"], "crammer_singer:squared_hinge": KINDS["crammer_singer:squared_hinge"]}


def _over(kinds):
    return pytest.mark.parametrize("kind", kinds.values(), ids=kinds.keys())


whole_catalogue, few_kinds, flat_kinds = _over(WHOLE_CATALOGUE), _over(FEW), _over(FLAT)
every_kind, both_kinds, every_way = _over(KINDS), _over(BOTH), _over(EVERY_WAY)
every_kind_of_classes, few_kinds_of_classes, whole_catalogue_of_classes = (
    _over({key: kind for key, kind in kinds.items() if not kind.binary})
    for kinds in (KINDS, FEW, WHOLE_CATALOGUE)
)


# --------------------------------------------------------------------------------------------------
# Scores
# --------------------------------------------------------------------------------------------------


def assert_telling(y, scores, thresholds=(0.0, 1.0)):
    """Data that could hide an error proves nothing: both labels, distinct scores, and for either label rows on both
    sides of each threshold of the margin.
    """
    y, scores = np.asarray(y), np.asarray(scores, dtype=np.float64)
    assert set(np.unique(y)) == {-1, 1}
    assert np.unique(scores).size == scores.size
    for label in (-1, 1):
        margins = label * scores[y == label]
        for threshold in thresholds:
            assert (margins < threshold).any(), (label, threshold)
            assert (margins > threshold).any(), (label, threshold)


def assert_telling_classes(y, scores):
    """All that a wrong answer could hide behind: every class (or, of many, many), rows right and wrong, inside and
    outside the margin, no two equal scores in a row, and rivals before and after the true class.
    """
    n, n_classes = scores.shape
    assert np.unique(y).size >= min(n_classes, n // 3)
    assert all(np.unique(row).size == n_classes for row in scores)
    rival = oracle.rivals(y, scores)
    here = np.arange(n)
    margins = scores[here, y].astype(np.float64) - scores[here, rival]
    for threshold in (0.0, 1.0):
        assert (margins < threshold).any() and (margins > threshold).any()
    if n >= 16:
        assert (rival < y).any() and (rival > y).any()
        assert np.unique(rival).size >= min(n_classes, n // 4)


def telling_scores(n, dtype=np.float64, seed=0, spread=None, n_classes=None):
    """`n` rows (16 or more of one score, 6 or more of K): .y, .scores within +-spread, .weights (float64, positive).

    Of one score a row y is int8 and holds -1 and +1, scores are distinct; of K scores y is int64, scores are distinct
    within a row.
    """
    if n_classes is not None:
        return _telling_scores_of_classes(n, dtype, seed, spread or 3.0, n_classes)
    assert n >= 16
    rng = np.random.default_rng([seed, n])
    spread = spread or 4.0
    step = 2 * spread / n
    grid = -spread + step * (np.arange(n) + 0.5)
    scores = rng.permutation(grid + rng.uniform(-0.4, 0.4, n) * step).astype(dtype)
    y = rng.choice(np.array([-1, 1], dtype=np.int8), n)
    extremes = np.argsort(scores)[[0, 1, -2, -1]]  # one row of either label at either end
    y[extremes] = [-1, 1, -1, 1]
    assert_telling(y, scores)
    return SimpleNamespace(y=y, scores=scores, weights=rng.uniform(0.25, 2.0, n))


def _telling_scores_of_classes(n, dtype, seed, spread, n_classes):
    rng = np.random.default_rng([seed, n, n_classes])
    step = 2 * spread / n_classes
    # Permuted points of a grid, moved a little: distinct even where float32 has few numbers to give.
    places = rng.permuted(np.tile(np.arange(n_classes), (n, 1)), axis=1)
    scores = -spread + step * (places + rng.uniform(0.1, 0.9, (n, n_classes)))
    y = rng.permutation(np.arange(n) % n_classes)
    here = np.arange(n)
    # The true class stands anywhere from far behind the best other one to far ahead of it.
    ahead = rng.permutation(np.linspace(-2.3, 3.7, n)) + rng.uniform(0, 1e-3, n)
    moved = rng.permutation(n) % 4 > 0
    best = scores[here, oracle.rivals(y, scores)]
    scores[here, y] = np.where(moved, best + ahead, scores[here, y])
    scores = scores.astype(dtype)
    # The moved score may meet another one: then it gets the next free number.
    for i in np.flatnonzero([np.unique(row).size < n_classes for row in scores]):
        while np.count_nonzero(scores[i] == scores[i, y[i]]) > 1:
            scores[i, y[i]] = np.nextafter(scores[i, y[i]], dtype(-100))
    if n >= 6:
        assert_telling_classes(y, scores)
    return SimpleNamespace(y=y, scores=scores, weights=rng.uniform(0.25, 2.0, n))


# --------------------------------------------------------------------------------------------------
# How far a right answer may be from the oracle's
# --------------------------------------------------------------------------------------------------


def slack(loss, margins, dtype):
    """How far the margin may effectively be moved by rounding, per row.

    u = t - m is rounded once, scaled by a rounded reciprocal of the width and squared inside exp: relative
    errors of u, at most eight halves of eps in the kernel and in the oracle together. Parameters are rounded
    to the computing dtype, which moves the threshold t (plus half_width) by an absolute amount.
    """
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).smallest_subnormal)
    params = loss.params
    threshold = Fraction(params.get("margin", 0.0)) + Fraction(params.get("half_width", 0.0))
    exact = all(Fraction(float(np.dtype(dtype).type(float(p)))) == p for p in (*params.values(), threshold))
    distance = np.abs(params.get("margin", 0.0) - margins) + params.get("half_width", 0.0)
    return 4 * eps * distance + (0.0 if exact else 4 * (eps * float(threshold) + tiny))


@dataclass
class Rows:
    """Values (n,) and slopes (n,) or (n, K) per row, each with its lowest and highest right number."""

    value: np.ndarray
    value_low: np.ndarray
    value_high: np.ndarray
    slope: np.ndarray
    slope_low: np.ndarray
    slope_high: np.ndarray


def margin_bounds(base, m, move, dtype):
    """(low, high) of phi and of phi' for margins within `move` of m: phi falls and phi' rises with m.

    Give or take four roundings of the result itself (and of the smallest subnormal). A kink must be met exactly where
    the parameters are exact: there the margin itself counts, too.
    """
    last = 4 * float(np.finfo(dtype).eps)
    tiny = 4 * float(np.finfo(dtype).smallest_subnormal)
    below, here, above = (evaluate(base, each) for each in (m - move, m, m + move))
    found = []
    for which in (0, 1):
        low = np.minimum(np.minimum(below[which], here[which]), above[which])
        high = np.maximum(np.maximum(below[which], here[which]), above[which])
        found += [low - last * np.abs(low) - tiny, high + last * np.abs(high) + tiny]
    return found


def evaluate(base, m):
    """(phi, phi', phi'') of margins: of one a row from the definitions, of K by the twin that is made for many."""
    if np.ndim(m) < 2 and np.size(m) <= 5_000:
        return reference.of_margins(base.name, base.params, m)
    return oracle.phi_array(base.name, base.params, m)


def right_rows(loss, y, scores, dtype, error=None):
    """What a right implementation may return per row.

    scores: (n,) or (n, K), finite. error: of the same shape, how far a computed score may be from `scores`; None
    where the scores were given, so that differences of scores are those of the definition, to the bit.
    """
    if not isinstance(loss, MarginLoss):
        return _right_rows_of_classes(
            loss, np.asarray(y), np.asarray(scores).astype(np.float64), dtype, error
        )
    y = np.asarray(y).astype(np.float64)
    m = y * np.asarray(scores).astype(np.float64)
    move = slack(loss, m, dtype) + (0.0 if error is None else error)
    value, slope, _ = evaluate(loss, m)
    value_low, value_high, low, high = margin_bounds(loss, m, move, dtype)
    slope_low, slope_high = np.where(y > 0, low, -high), np.where(y > 0, high, -low)
    return Rows(value, value_low, value_high, y * slope + 0.0, slope_low, slope_high)


def _right_rows_of_classes(loss, labels, scores, dtype, error):
    what = oracle.definition(loss)
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
        value_low, value_high, low, high = margin_bounds(loss.base, m, move, dtype)
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
        lows, highs, low, high = margin_bounds(loss.base, m, move, dtype)
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


def assert_right(result, loss, y, scores, weights=None, reduction="mean", dtype=None):
    """`result` of value_and_grad on given scores is right: values and slopes lie between the bounds of their rows."""
    value, grad = result
    scores = np.asarray(scores)
    dtype = computing_dtype(scores.dtype) if dtype is None else np.dtype(dtype)
    rows = right_rows(loss, y, scores, dtype)
    n = len(scores)
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    factor = w / math.fsum(w) if reduction == "mean" else w
    # Two more roundings for the weight and for the division by the sum, which itself has n of float64.
    rounding = 2 * float(np.finfo(dtype).eps) + (n + 4) * float(np.finfo(np.float64).eps)
    tiny = float(np.finfo(dtype).smallest_subnormal)
    assert isinstance(grad, np.ndarray) and grad.shape == scores.shape
    column = factor if scores.ndim == 1 else factor[:, None]
    assert_inside(grad, times(column, rows.slope_low), times(column, rows.slope_high), rounding, tiny, "grad")
    low, high = times(factor, rows.value_low), times(factor, rows.value_high)
    if reduction == "none":
        assert value.shape == (n,) and value.dtype == dtype
        assert_inside(value, low, high, rounding, tiny, "value")
        return
    assert type(value) is float
    low, high = (np.array([math.fsum(each)]) for each in (low, high))
    assert_inside([value], low, high, rounding, tiny, "value")


def times(factor, bounds):
    """Their product; a row of weight 0 has none, whatever its bounds."""
    return np.where(factor == 0, 0.0, factor * bounds)


# --------------------------------------------------------------------------------------------------
# Linear problems
# --------------------------------------------------------------------------------------------------


@dataclass
class Problem:
    """`X` is always the dense (n, d) matrix. y holds -1 and +1 as int8, coef is (d,) and the intercept a float; or y
    holds 0 to K - 1, coef is (K, d) and the intercept (K,).
    """

    X: np.ndarray
    y: np.ndarray
    coef: np.ndarray
    intercept: float | np.ndarray
    weights: np.ndarray
    kind: Kind | None = None


def assert_telling_linear(y, scores):
    """Rows right and wrong, active and inactive, and distinct scores: of both labels, or of most classes and rivals."""
    if scores.ndim == 1:
        margins = y * scores
        assert (y > 0).any() and (y < 0).any()
        assert (margins < 1).any() and (margins > 1).any()
        assert np.unique(scores).size > scores.size // 2
        return
    n, n_classes = scores.shape
    here = np.arange(n)
    rival = oracle.rivals(y, scores)
    margins = scores[here, y] - scores[here, rival]
    assert np.unique(y).size >= min(0.8 * n_classes, n // 4)
    for threshold in (0.0, 1.0):
        assert (margins < threshold).any() and (margins > threshold).any()
    assert np.unique(rival).size >= min(0.8 * n_classes, n // 8)
    assert all(np.unique(row).size > n_classes // 2 for row in scores)


def problem(n, d, dtype=np.float64, seed=0, density=None, n_classes=None):
    """A problem with rows right and wrong, inside and outside the margin; `density` below 1 zeroes entries."""
    shape = () if n_classes is None else (n_classes,)
    for attempt in range(50):
        rng = np.random.default_rng([seed, n, d, *shape, attempt])
        X = rng.standard_normal((n, d))
        if density is not None:
            X[rng.random((n, d)) >= density] = 0.0
        X = X.astype(dtype)
        scale = (2.5 if shape else 2.0) / np.sqrt(max(1.0, d * (1.0 if density is None else density)))
        coef = (rng.standard_normal((*shape, d)) * scale).astype(dtype)
        intercept = (
            (rng.standard_normal(shape) * 0.3).astype(dtype) if shape else float(dtype(rng.normal() * 0.3))
        )
        scores = X.astype(np.float64) @ coef.T.astype(np.float64) + intercept
        y = labels_of(scores, rng)
        weights = rng.uniform(0.25, 2.0, n)
        stored = d if density is None else density * d
        if (n >= 30 and d >= 3 and stored >= 3) if shape else (n >= 8 and d >= 3 and stored >= 2):
            try:
                assert_telling_linear(y, scores)
            except AssertionError:
                continue
        return Problem(X, y, coef, intercept, weights)
    raise AssertionError(f"no telling problem of {n} x {d} and {n_classes} classes in 50 attempts")


def labels_of(scores, rng):
    """Labels that these scores meet often, but not always."""
    n = len(scores)
    if scores.ndim == 2:
        K = scores.shape[1]
        return np.where(rng.random(n) < 0.6, scores.argmax(axis=1), rng.permutation(np.arange(n) % K))
    y = np.where(rng.random(n) < 0.35, -1.0, 1.0) * np.where(scores >= 0, 1.0, -1.0)
    if n >= 2:
        y[:2] = rng.permutation([-1.0, 1.0])
    return y.astype(np.int8)


INDEX_PAIRS = [(a, b) for a in (np.int32, np.int64) for b in (np.int32, np.int64)]


def csr_parts(dense, index_dtype=np.int32, indptr_dtype=np.int32):
    """indptr, indices, data of a dense matrix, written out from the definition (rows in order, columns sorted)."""
    rows, columns = np.nonzero(dense)
    counts = np.bincount(rows, minlength=dense.shape[0]) if dense.shape[0] else np.zeros(0, int)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(indptr_dtype)
    return indptr, columns.astype(index_dtype), np.ascontiguousarray(dense[rows, columns])


def namespace(indptr, indices, data, shape):
    """The plainest thing that is CSR: four attributes and no `format`."""
    return SimpleNamespace(indptr=indptr, indices=indices, data=data, shape=shape)


def as_csr(dense, kind="namespace", index_dtype=np.int32, indptr_dtype=np.int32):
    """`dense` as a CSR object of one of three kinds: csr_array, csr_matrix, namespace."""
    indptr, indices, data = csr_parts(dense, index_dtype, indptr_dtype)
    if kind == "namespace":
        return namespace(indptr, indices, data, dense.shape)
    made = getattr(sparse, kind)((data, indices, indptr), shape=dense.shape)
    made.indices, made.indptr = indices, indptr  # SciPy may have narrowed them
    return made


# What has loops of its own.
LAYOUTS = {"dense": np.asarray, "fortran": np.asfortranarray, "csr": as_csr}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)

CSR_KINDS = ("namespace", "csr_array", "csr_matrix")


def random_csr(
    n, d, per_row, dtype=np.float64, seed=0, index_dtype=np.int32, indptr_dtype=None, n_classes=None
):
    """A large CSR matrix without a dense copy: (X, y, coef, intercept); columns of a row distinct and sorted."""
    shape = () if n_classes is None else (n_classes,)
    rng = np.random.default_rng([seed, n, d, per_row, *shape])
    stride = d // per_row
    columns = (np.arange(per_row) * stride)[None, :] + rng.integers(0, stride, (n, per_row))
    data = rng.standard_normal((n, per_row)).astype(dtype)
    coef = (rng.standard_normal((*shape, d)) * (2.5 if shape else 2.0) / np.sqrt(per_row)).astype(dtype)
    if shape:
        intercept = (rng.standard_normal(n_classes) * 0.3).astype(dtype)
        scores = csr_scores(columns, data, coef, intercept)
        y = np.where(rng.random(n) < 0.6, scores.argmax(axis=1), rng.integers(0, n_classes, n))
    else:
        intercept = 0.25
        scores = csr_scores(columns, data, coef[None, :], [0.0])[:, 0]
        y = (np.where(rng.random(n) < 0.35, -1, 1) * np.where(scores >= 0, 1, -1)).astype(np.int8)
    head = slice(0, 2_000)
    assert_telling_linear(y[head], scores[head])
    indptr = (np.arange(n + 1, dtype=np.int64) * per_row).astype(indptr_dtype or index_dtype)
    X = namespace(indptr, columns.ravel().astype(index_dtype), data.ravel(), (n, d))
    return X, y, coef, intercept


def csr_scores(columns, data, coef, intercept):
    """(n, K) scores in float64 of rows that all store as many entries."""
    scores = np.zeros((len(data), len(coef)))
    for k, row in enumerate(coef.astype(np.float64)):
        scores[:, k] = (data * row[columns]).sum(axis=1) + intercept[k]
    return scores


@dataclass
class Expected:
    """What the oracle says and how far a right answer may be from it; arrays have the shapes of the answer."""

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
    y,
    coef,
    intercept,
    loss,
    *,
    alpha=0.0,
    weights=None,
    reduction="mean",
    dtype=None,
    longest=None,
    most_unsure=0.05,
):
    """The oracle's answer with bounds that hold for any order of additions.

    A score of d products has an error of at most (d + 2) roundings of its absolute terms, and one for an intercept of
    K that float32 has to round. Losses are convex, so phi and phi' at a margin known within e lie between their
    numbers at m - e and m + e: that is the whole effect of the scores' rounding, kinks included. Where it leaves open
    which class is a row's rival, or on which side of a kink it lies, the slope of each class may be any number
    between the possible ones; no more than `most_unsure` of the rows of K scores may be such rows. On top comes the
    promised relative error of the sums.

    dense: (n, d) array, or a SciPy matrix of which `longest` tells the entries of the longest row.
    """
    loss = hf.get_loss(loss)
    dtype = computing_dtype(dense.dtype) if dtype is None else np.dtype(dtype)
    relative, unit = RELATIVE[dtype], float(np.finfo(dtype).eps)
    X = dense.astype(np.float64)
    absolute = abs(X)
    coef = np.asarray(coef, dtype=np.float64)
    binary = isinstance(loss, MarginLoss)
    rounded = coef.astype(dtype).astype(np.float64)
    terms = (X.shape[1] if longest is None else longest) + (2 if binary else 3)
    scores = np.asarray(X @ rounded.T) + intercept
    scores_bound = terms * unit * (np.asarray(absolute @ np.abs(rounded).T) + np.abs(intercept)) + 1e-300
    rows = right_rows(loss, y, scores, dtype, scores_bound)
    widths = np.maximum(rows.slope_high - rows.slope, rows.slope - rows.slope_low)
    assert (widths >= 0).all()
    w = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = w.sum() if reduction == "mean" else 1.0
    factor = w / total if binary else (w / total)[:, None]
    magnitude = np.abs(rows.slope)
    if not binary:
        unsure = (widths > 0.1 * (1 + magnitude)).any(axis=1)
        assert unsure.mean() <= most_unsure, unsure.mean()
        # Absolute terms of a slope that itself is a difference (top-k: 1/k - 1) are at most one more.
        magnitude = magnitude + (magnitude > 0)
    error = factor * (widths + relative * magnitude)
    penalty = alpha / 2 * float((coef * coef).sum())
    value = float((w * rows.value).sum() / total + penalty)
    error_of_sums = 2 * relative * (value + penalty) + 1e-300
    slopes = factor * rows.slope
    return Expected(
        scores,
        scores_bound,
        value,
        float((w * rows.value_low).sum() / total + penalty) - error_of_sums,
        float((w * rows.value_high).sum() / total + penalty) + error_of_sums,
        np.asarray(X.T @ slopes).T + alpha * coef,
        np.asarray(absolute.T @ error).T + 2 * relative * alpha * np.abs(coef) + 1e-300,
        slopes.sum(axis=0),
        error.sum(axis=0) + 1e-300,
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
        assert got.shape == np.shape(right)
        excess = np.abs(got - right) - (bound + out_eps * np.abs(right))
        where = np.flatnonzero(excess > 0)[:3]
        assert not where.size, (name, where, np.ravel(got)[where], np.ravel(right)[where])


# --------------------------------------------------------------------------------------------------
# Second derivatives
# --------------------------------------------------------------------------------------------------


def products(loss, y, scores, directions):
    """The generalised Hessian of each row's value with respect to its scores, times directions of the same shape."""
    if isinstance(loss, MarginLoss):
        return reference.curvature(loss.name, loss.params, y * scores) * directions
    return oracle.products(oracle.definition(loss), y, scores, directions)


def scores_of(case, theta):
    """In float64: scores of all rows, where `theta` ends with intercepts or has none."""
    shape, size = case.coef.shape, case.coef.size
    scores = case.X.astype(np.float64) @ theta[:size].reshape(shape).T
    intercept = theta[size:] if theta.size > size else np.zeros(1)
    return scores + (intercept if len(shape) == 2 else intercept[0])


def hessian_product(case, loss, theta, v, alpha, weights):
    """X' q / sum w + alpha v, q from the definition, and a bound for its rounding: the sum of absolute terms."""
    Z, size = case.X.astype(np.float64), case.coef.size
    share = weights / weights.sum()
    column = share if case.coef.ndim == 1 else share[:, None]
    q = products(loss, case.y, scores_of(case, theta), scores_of(case, v)) * column
    absolute = np.abs(Z) @ np.abs(v[:size].reshape(case.coef.shape)).T
    absolute = absolute + (np.abs(v[size:]) if v.size > size else 0.0)
    if case.coef.ndim == 1:
        curvature = products(loss, case.y, scores_of(case, theta), np.ones(len(Z)))
        terms = curvature * share * absolute
    else:
        # Each entry of q is made of products of phi'' and directions, at most those of all classes.
        largest = oracle.phi_array(loss.base.name, loss.base.params, np.linspace(-8, 8, 4001))[2].max()
        terms = np.repeat(largest * absolute.sum(axis=1, keepdims=True) * column, len(case.coef), axis=1)
    V = v[:size].reshape(case.coef.shape)
    want, bound = (Z.T @ q).T + alpha * V, (np.abs(Z).T @ terms).T + alpha * np.abs(V)
    if v.size == size:
        return want.ravel(), bound.ravel()
    return np.append(want.ravel(), q.sum(axis=0)), np.append(bound.ravel(), terms.sum(axis=0))


def away_from_bends(case, loss, theta):
    """No margin lies where phi'' jumps, nor two rivals close together: there the product may be either one."""
    scores = scores_of(case, theta)
    v = np.ones_like(scores) * (1.0 if scores.ndim == 1 else np.arange(1.0, scores.shape[1] + 1))
    middle = products(loss, case.y, scores, v)
    rng = np.random.default_rng(0)
    for _ in range(8):
        moved = scores + 2e-5 * rng.uniform(-1, 1, scores.shape)
        if np.abs(products(loss, case.y, moved, v) - middle).max() > 1e-2:
            return False
    return True
