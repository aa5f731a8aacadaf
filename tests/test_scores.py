"""Promise: value, grad and value_and_grad on scores are right, for every loss, reduction, weighting and size."""

import math
from itertools import product

import multiclass_reference as oracle
import numpy as np
import pytest
import reference
from conftest import bits, every_dtype, every_reduction, misaligned, strided
from kinds import (
    CATALOGUE,
    FEW,
    assert_right,
    binary,
    both_kinds,
    every_loss,
    every_way,
    few_kinds_of_classes,
    telling_scores,
    whole_catalogue_of_classes,
)

import hingefast as hf

pytestmark = pytest.mark.sanitizer

HINGE, CS = hf.Hinge(), hf.CrammerSinger()
METHODS = ("value", "grad", "value_and_grad", "__call__")


# --------------------------------------------------------------------------------------------------
# Reductions and weights
# --------------------------------------------------------------------------------------------------


@pytest.mark.any_python
@every_dtype
@every_loss
def test_every_margin_loss_and_weighting(loss, dtype):
    check_weightings(binary(loss), dtype)


@every_dtype
@whole_catalogue_of_classes
def test_every_loss_and_weighting(kind, dtype):
    check_weightings(kind, dtype)


def check_weightings(kind, dtype):
    for n, K in [(90, None)] if kind.binary else [(26, 2), (26, 3), (26, 10), (26, 17)]:
        (of_K,) = kind.of(K)
        loss, data = of_K.loss, of_K.scores(n, dtype)
        y, scores, by_class = data.y, data.scores, np.linspace(0.25, 2.5, len(of_K.labels))
        zeroed = data.weights * (np.arange(n) % 4 > 0)
        columns, narrow = np.searchsorted(of_K.labels, y), by_class.astype(np.float32)
        of_rows = by_class[columns]
        first = np.arange(len(by_class)) > 0
        weightings = [
            ({}, None),
            ({"sample_weight": None, "class_weight": None}, None),
            ({"sample_weight": data.weights}, data.weights),
            ({"sample_weight": zeroed}, zeroed),
            ({"class_weight": tuple(by_class)}, of_rows),
            ({"class_weight": by_class.tolist()}, of_rows),
            ({"class_weight": narrow}, narrow[columns]),
            ({"sample_weight": zeroed, "class_weight": by_class}, zeroed * of_rows),
            ({"class_weight": first}, 1.0 * (y != of_K.labels[0])),
        ]
        for keywords, weights in weightings if kind.binary else weightings[::3] + weightings[7:]:
            for reduction in ("mean", "sum", "none"):
                more = {"reduction": reduction, **keywords}
                result = loss.value_and_grad(y, scores, **more)
                assert_right(result, loss, y, scores, weights, reduction)
                assert result[1].dtype == dtype and result[1].flags.c_contiguous
                assert bits(loss.value(y, scores, **more)) == bits(result[0])
                assert bits(loss(y, scores, **more)) == bits(result[0])
                assert bits(loss.grad(y, scores, **more)) == bits(result[1])


@pytest.mark.any_python
@every_dtype
def test_default_reduction_is_the_weighted_mean(dtype):
    y, z, w = [1, 1, -1], np.array([0.0, -1.0, 0.5], dtype=dtype), [1.0, 2.0, 5.0]
    assert HINGE(y, z, sample_weight=w) == (1.0 + 4.0 + 7.5) / 8
    assert HINGE(y, z, sample_weight=w, reduction="sum") == 12.5
    np.testing.assert_array_equal(HINGE(y, z, sample_weight=w, reduction="none"), [1, 4, 7.5])
    np.testing.assert_array_equal(HINGE.grad(y, z, sample_weight=w), np.array([-1, -2, 5]) / 8)
    np.testing.assert_array_equal(HINGE.grad(y, z, sample_weight=w, reduction="none"), [-1, -2, 5])
    # A mean, not a sum over n, whatever the weights sum to.
    assert HINGE(y, z, sample_weight=np.multiply(w, 1024)) == 12.5 / 8


@pytest.mark.any_python
def test_default_reduction_of_classes_is_the_weighted_mean():
    y, s, w = [0, 1, 2], np.zeros((3, 3)), [1.0, 2.0, 5.0]
    assert CS(y, s, sample_weight=w) == 1.0
    assert CS(y, s, sample_weight=w, reduction="sum") == 8.0
    np.testing.assert_array_equal(CS(y, s, sample_weight=w, reduction="none"), w)
    want = np.array([[-1, 1, 0], [2, -2, 0], [5, 0, -5]])  # the rival is the lowest of two that tie
    assert bits(CS.grad(y, s, sample_weight=w, reduction="none")) == bits(want * 1.0)
    assert bits(CS.grad(y, s, sample_weight=w)) == bits(want / 8)
    weighted = CS.value_and_grad(y, s, sample_weight=w, class_weight=[4, 0, 1], reduction="sum")
    assert weighted[0] == 4.0 + 5.0
    assert bits(weighted[1]) == bits(np.array([[-4.0, 4, 0], [0, 0, 0], [5, 0, -5]]))


@pytest.mark.any_python
@both_kinds
@pytest.mark.parametrize(
    "weight_dtype", ["int8", "uint8", "int64", "uint16", "float16", "float32", ">f8", ">i4", "bool"]
)
def test_weights_of_any_real_dtype(kind, weight_dtype):
    data, loss = kind.scores(64), kind.loss
    weights = (np.arange(64) % 3).astype(weight_dtype)
    want = loss.value_and_grad(data.y, data.scores, sample_weight=weights.astype(np.float64))
    backwards = weights[::-1].copy()[::-1]
    for given in (weights, strided(weights), backwards, misaligned(weights), weights.tolist()):
        assert bits(loss.value_and_grad(data.y, data.scores, sample_weight=given)) == bits(want)


@pytest.mark.any_python
@both_kinds
def test_broadcast_weights(kind):
    data = kind.scores(64)
    constant = np.broadcast_to(np.float64(0.5), 64)
    got = kind.loss.value_and_grad(data.y, data.scores, sample_weight=constant)
    assert bits(got) == bits(kind.loss.value_and_grad(data.y, data.scores, sample_weight=np.full(64, 0.5)))


@pytest.mark.any_python
@every_dtype
@every_way
def test_weights_that_sum_to_zero(kind, dtype):
    loss, data = kind.loss, kind.scores(20, dtype)
    data.scores[3] = np.nan
    zeros = bits(np.zeros(data.scores.shape, dtype=dtype))
    for weighting in ({"sample_weight": np.zeros(20)}, {"class_weight": np.zeros(len(kind.labels))}):
        with pytest.raises(ValueError, match="sum"):
            loss.value_and_grad(data.y, data.scores, **weighting)
        value, grad = loss.value_and_grad(data.y, data.scores, reduction="sum", **weighting)
        assert bits(value) == bits(0.0) and type(value) is float
        assert bits(grad) == zeros
        values, grad = loss.value_and_grad(data.y, data.scores, reduction="none", **weighting)
        assert bits(values) == bits(np.zeros(20, dtype=dtype)) and bits(grad) == zeros


@pytest.mark.any_python
@every_dtype
@every_way
def test_empty(kind, dtype):
    loss, y, z = kind.loss, np.zeros(0, dtype=np.int8), np.zeros((0, *kind.shape), dtype=dtype)
    by_class = {"class_weight": kind.class_weight}
    for extra in ({}, {"sample_weight": np.zeros(0)}, by_class, {"n_threads": 2}):
        for method in METHODS:
            with pytest.raises(ValueError):
                getattr(loss, method)(y, z, **extra)
        value, grad = loss.value_and_grad(y, z, reduction="sum", **extra)
        assert bits(value) == bits(0.0) and type(value) is float
        assert grad.shape == z.shape and grad.dtype == dtype
        values, grad = loss.value_and_grad(y, z, reduction="none", **extra)
        assert values.shape == (0,) and grad.shape == z.shape and values.dtype == grad.dtype == dtype
    if kind.binary:
        assert loss([], [], reduction="sum") == 0.0


# --------------------------------------------------------------------------------------------------
# Numbers by hand
# --------------------------------------------------------------------------------------------------


def test_reference_values():
    scores = [[2, 0.5, 0.3, 0.1, 0], [0.5, 2, 1.8, 0.1, 0], [0.5, 0.3, 2, 0.1, 0], [0.5, 0.8, 0.3, 0.1, 0]]
    for loss, rows, mean in (
        (hf.CrammerSinger(), (0, 0.8, 0, 1.7), 0.625),
        (hf.WestonWatkins(), (0, 0.8, 0, 5.2), 1.5),
    ):
        np.testing.assert_allclose(loss([0, 1, 2, 3], scores, reduction="none"), rows, rtol=4e-16, atol=1e-16)
        assert loss([0, 1, 2, 3], scores) == pytest.approx(mean, rel=4e-16)
    grad = hf.CrammerSinger().grad([0, 1, 2, 3], scores, reduction="sum")
    want = np.zeros((4, 5))
    want[1, [1, 2]] = want[3, [3, 1]] = -1, 1
    assert bits(grad) == bits(want)
    grad = hf.WestonWatkins().grad([0, 1, 2, 3], scores, reduction="sum")
    want[3] = [1, 1, 1, -4, 1]
    assert bits(grad) == bits(want)
    assert bits(hf.WestonWatkins().grad([0, 1, 2, 3], scores)) == bits(want / 4)
    # Not Keras's categorical hinge, which floors the maximum at 0.
    assert hf.CrammerSinger()([0], [[-1.0, -5.0, -5.0]]) == 0.0
    # Not torch's MultiMargin, which divides by K.
    assert hf.WestonWatkins()([0], [[0.0, 0.0, 0.0]]) == 2.0


def test_small_numbers_by_hand():
    s = [[1.0, 0.5, 0.75, -3.0]]
    for loss, value, slopes in (
        (hf.CrammerSinger("squared_hinge"), 0.5625, [-1.5, 0, 1.5, 0]),
        (hf.WestonWatkins("squared_hinge"), 0.25 + 0.5625, [-2.5, 1, 1.5, 0]),
        (hf.OneVsRest(), 1.5 + 1.75, [0, 1, 1, 0]),
        (hf.TopKHinge(2), 0.625, [-1, 0.5, 0.5, 0]),
        (hf.TopKHinge(2, "beta"), 0.625, [-1, 0.5, 0.5, 0]),
        (hf.CostSensitiveHinge(4 * np.ones((4, 4))), 3.75, [-1, 0, 1, 0]),
        (hf.CostSensitiveHinge([[9, 2, 0.5, 1], *[[1] * 4] * 3]), 1.5, [-1, 1, 0, 0]),
    ):
        got, grad = loss.value_and_grad([0], s, reduction="sum")
        assert got == value
        assert bits(grad) == bits(np.array([slopes]) + 0.0)


# --------------------------------------------------------------------------------------------------
# Numbers of classes and rows
# --------------------------------------------------------------------------------------------------


@every_dtype
@few_kinds_of_classes
def test_every_number_of_classes(kind, dtype):
    """Around the widths of vectors; n with every tail."""
    for (of_K,) in map(kind.of, (4, 5, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 100, 1000)):
        for n in (6, 7, 8, 9, 13) if of_K.n_classes < 100 else (7, 70):
            data = of_K.scores(n, dtype, seed=1)
            for reduction in ("mean", "none"):
                keywords = {"sample_weight": data.weights, "reduction": reduction}
                result = of_K.loss.value_and_grad(data.y, data.scores, **keywords)
                assert_right(result, of_K.loss, data.y, data.scores, data.weights, reduction)


@every_dtype
@pytest.mark.parametrize("key", ["crammer_singer:hinge", "weston_watkins:logistic", "one_vs_rest:hinge"])
def test_a_hundred_thousand_classes(key, dtype):
    (kind,) = FEW[key].of(100_000)
    data = kind.scores(6, dtype, seed=2)
    data.y[:2] = 0, 99_999
    for reduction in ("none", "mean"):
        result = kind.loss.value_and_grad(data.y, data.scores, reduction=reduction)
        assert_right(result, kind.loss, data.y, data.scores, reduction=reduction)


@every_dtype
@pytest.mark.parametrize("k", [1, 2, 3, 50, 1000, 49_999, 99_999])
@pytest.mark.parametrize("variant", ["alpha", "beta"])
def test_the_largest_of_very_many(k, variant, dtype):
    loss = hf.TopKHinge(k, variant)
    data = telling_scores(6, dtype, seed=3, n_classes=100_000)
    result = loss.value_and_grad(data.y, data.scores, reduction="none")
    assert_right(result, loss, data.y, data.scores, reduction="none")
    assert (np.count_nonzero(result[1], axis=1) > 0).any()


@every_dtype
@few_kinds_of_classes
@pytest.mark.parametrize("n,n_classes", [(3_001, 10), (257, 300)])
def test_many_rows(kind, n, n_classes, dtype):
    (kind,) = kind.of(n_classes)
    data = kind.scores(n, dtype, seed=4)
    for reduction in ("mean", "sum"):
        keywords = {"sample_weight": data.weights, "reduction": reduction}
        result = kind.loss.value_and_grad(data.y, data.scores, **keywords)
        assert_right(result, kind.loss, data.y, data.scores, data.weights, reduction)


@few_kinds_of_classes
@every_reduction
def test_the_gradient_is_a_difference_of_returned_values(kind, reduction):
    """Central differences of what `value` returns, number by number, off kinks and ties."""
    n, n_classes, h = 12, 4, 2.0**-20
    (kind,) = kind.of(4)
    loss, data = kind.loss, kind.scores(n, seed=5)
    keywords = {"sample_weight": data.weights, "reduction": reduction}
    grad = loss.grad(data.y, data.scores, **keywords)
    near = [loss.grad(data.y, data.scores + shift, **keywords) for shift in (0, 1e-9)]
    np.testing.assert_allclose(near[0], near[1], atol=1e-7)
    compared = 0
    for i in range(n):
        for j in range(n_classes):
            scores = [data.scores.copy(), data.scores.copy()]
            scores[0][i, j] -= h
            scores[1][i, j] += h
            around = [loss.grad(data.y, s, **keywords)[i] for s in scores]
            if np.abs(around[0] - around[1]).max() > 1e-4:
                continue  # a kink or a tie within h
            ends = [np.sum(loss.value(data.y, s, **keywords)) for s in scores]
            assert (ends[1] - ends[0]) / (2 * h) == pytest.approx(grad[i, j], rel=1e-6, abs=1e-7)
            compared += 1
    assert compared >= n * n_classes - 3


@pytest.mark.any_python
@pytest.mark.parametrize("key", CATALOGUE)
@every_reduction
def test_against_the_plain_oracle(key, reduction):
    """float64 against sums by math.fsum: nothing but a few roundings apart, values and gradients alike."""
    loss = CATALOGUE[key]
    data = telling_scores(257)
    value, grad = loss.value_and_grad(data.y, data.scores, sample_weight=data.weights, reduction=reduction)
    want, want_grad = reference.scores_value_and_grad(
        loss.name, loss.params, data.y, data.scores, data.weights, reduction
    )
    # Within +-4 the largest argument of exp is (5/sigma)^2/2 = 50 or 5 beta = 20: 3 + 2 v^2 <= 203 ulp,
    # twice.
    eps = np.finfo(float).eps
    allowed = (2 * 203 + 257) * eps
    assert np.all(np.abs(value - want) <= allowed * np.abs(want) + 4e-308)
    assert (np.abs(grad - want_grad) <= allowed * np.abs(want_grad) + 4e-308).all()


# --------------------------------------------------------------------------------------------------
# Rows without a slope, kinks and ties
# --------------------------------------------------------------------------------------------------


@every_dtype
@few_kinds_of_classes
def test_inactive_rows_give_positive_zero(kind, dtype):
    (kind,) = kind.of(9)
    loss, labels = kind.loss, np.arange(70) % 9
    scores = np.full((70, 9), -40.0, dtype=dtype)
    scores[np.arange(70), labels] = 40.0
    for extra in ({}, {"sample_weight": np.linspace(0.5, 2, 70)}, {"class_weight": np.arange(9) + 0.5}):
        for reduction in ("mean", "sum", "none"):
            value, grad = loss.value_and_grad(labels, scores, reduction=reduction, **extra)
            if getattr(loss, "base", None) == hf.LogisticLoss():
                assert np.max(value) < 1e-10 and np.abs(grad).max() < 1e-10
            else:
                assert bits(grad) == bits(np.zeros((70, 9), dtype=dtype))
                assert not np.any(value) and not np.signbit(value).any()


@every_dtype
@few_kinds_of_classes
def test_no_class_gets_a_negative_zero(kind, dtype):
    """Classes without a slope in an active row, too."""
    (kind,) = kind.of(12)
    data = kind.scores(60, dtype, seed=6)
    for weights, reduction in product((None, data.weights), ("mean", "sum", "none")):
        grad = kind.loss.grad(data.y, data.scores, sample_weight=weights, reduction=reduction)
        assert not np.signbit(grad[grad == 0]).any()


def test_kink_slope_at_a_tie_of_margins():
    """Exactly at the kink the base's kink_slope counts, in every arrangement."""
    s = np.array([[1.0, 0.0, -1.0]])
    for slope in (0.0, -0.5, -1.0):
        base = hf.Hinge(kink_slope=slope)
        assert bits(hf.CrammerSinger(base).grad([0], s)) == bits(np.array([[slope, -slope, 0]]) + 0.0)
        assert bits(hf.WestonWatkins(base).grad([0], s)) == bits(np.array([[slope, -slope, 0]]) + 0.0)
        assert bits(hf.OneVsRest(base).grad([0], s)) == bits(np.array([[slope, 1.0, -slope]]) + 0.0)
    # The perceptron moves where all scores are 0, as it must for training to start.
    assert bits(hf.CrammerSinger("perceptron").grad([1], [[0.0, 0, 0]])) == bits(np.array([[1.0, -1, 0]]))
    assert bits(hf.CostSensitiveHinge(1 - np.eye(3)).grad([0], s)) == bits(np.zeros((1, 3)))
    for variant in ("alpha", "beta"):
        assert bits(hf.TopKHinge(1, variant).grad([0], s)) == bits(np.zeros((1, 3)))


@every_dtype
@pytest.mark.parametrize("n_classes", [3, 8, 9, 16, 17, 33, 100])
def test_ties_go_to_the_lowest_class(n_classes, dtype):
    """Wherever the equal scores stand, in whatever lane, and with the true class before, between or after them."""
    rng = np.random.default_rng(n_classes)
    cost = hf.CostSensitiveHinge(1 - np.eye(n_classes))
    losses = [hf.CrammerSinger(), hf.CrammerSinger("squared_hinge"), cost]
    losses += [hf.TopKHinge(1), hf.TopKHinge(min(2, n_classes - 1)), hf.TopKHinge(1, "beta")]
    labels, scores = [], []
    for _ in range(150):
        best = rng.choice(n_classes, rng.integers(2, min(6, n_classes + 1)), replace=False)
        row = np.full(n_classes, -1.0)
        row[best] = 0.5
        labels.append(rng.integers(n_classes))
        scores.append(row)
    labels, scores = np.array(labels), np.array(scores, dtype=dtype)
    assert np.unique(oracle.rivals(labels, scores)).size > 2 or n_classes < 4
    for loss in losses:
        what = oracle.definition(loss)
        _, want = oracle.scores_value_and_grad(what, labels, scores, reduction="sum")
        grad = loss.grad(labels, scores, reduction="sum")
        np.testing.assert_array_equal(grad, want.astype(dtype))


@every_dtype
@pytest.mark.parametrize("n_classes", [2, 16, 31])
def test_all_scores_equal(n_classes, dtype):
    for zero in (0.0, -0.0):
        labels = np.arange(n_classes)
        scores = np.full((n_classes, n_classes), zero, dtype=dtype)
        grad = hf.CrammerSinger().grad(labels, scores, reduction="sum")
        want = -np.eye(n_classes, dtype=dtype)
        want[0, 1], want[1:, 0] = 1, 1
        assert bits(grad) == bits(want + 0)


@every_dtype
def test_zeros_of_either_sign_tie(dtype):
    scores = np.array([[-1, -0.0, 0.0, -1], [-1, 0.0, -0.0, -1]], dtype=dtype)
    grad = hf.CrammerSinger().grad([0, 0], scores, reduction="sum")
    assert bits(grad) == bits(np.array([[-1, 1, 0, 0]] * 2, dtype=dtype))


# --------------------------------------------------------------------------------------------------
# Extreme values
# --------------------------------------------------------------------------------------------------


@every_dtype
@few_kinds_of_classes
def test_infinite_scores(kind, dtype):
    """One infinity follows IEEE: far ahead nothing is lost, far behind all is."""
    n_classes = 5
    loss = kind.loss
    summing = type(loss) in (hf.WestonWatkins, hf.OneVsRest)
    k = getattr(loss, "k", 1)
    for position in range(n_classes):
        for c in range(n_classes):
            finite = np.array([[0.5, -0.25, 0.75, 0.0, -0.5]], dtype=dtype)
            for infinity in (np.inf, -np.inf):
                scores = finite.copy()
                scores[0, position] = infinity
                value = loss([c], scores)
                # A class that is infinitely far behind: the others remain, unless all k are asked for.
                if (position == c) == (infinity < 0):
                    assert value == np.inf, (position, c, infinity)
                elif position == c and not isinstance(loss, hf.OneVsRest):
                    assert value == 0.0
                elif k < n_classes - 1:
                    assert math.isfinite(value)
                    if summing:
                        assert value <= loss([c], finite)


@every_dtype
@few_kinds_of_classes
@pytest.mark.parametrize("n_classes", [4, 17, 33, 70])
def test_any_mix_of_infinities_is_that_of_the_definition(kind, n_classes, dtype):
    """Row by row against plain Python: where the definition subtracts inf from inf, the value is NaN."""
    (kind,) = kind.of(n_classes)
    loss = kind.loss
    what = oracle.definition(loss)
    rng = np.random.default_rng(n_classes)
    n = 120
    scores = rng.choice([-1.5, -0.5, 0.25, 0.5, 2.0], (n, n_classes)).astype(dtype)
    for share, special in ((0.5, np.inf), (0.5, -np.inf), (0.15, np.nan)):
        rows = rng.random(n) < share
        where = (rng.random((n, n_classes)) < rng.choice([0.02, 0.2, 0.95], (n, 1))) & rows[:, None]
        scores[where] = special
    labels = rng.integers(0, n_classes, n)
    values, grad = loss.value_and_grad(labels, scores, reduction="none")
    finite = infinite = nan = 0
    for i in range(n):
        with np.errstate(invalid="ignore"):
            is_nan = np.isnan(scores[i]).any()
            if not is_nan and what.kind in ("CostSensitiveHinge", "TopKHinge"):
                terms = oracle.top_values(what, labels[i : i + 1], scores[i : i + 1], dtype)[0]
                largest = np.sort(terms)[::-1][: what.k]
                is_nan = np.isnan(terms).any() or (what.variant == "alpha" and np.isnan(largest.sum()))
        if not is_nan:
            want, slopes = oracle.row(what, int(labels[i]), scores[i], dtype)
            is_nan = np.isnan(want)
        if is_nan:
            assert np.isnan(values[i]) and np.isnan(grad[i, labels[i]]), (i, labels[i], scores[i], values[i])
            assert np.isnan(grad[i, np.isnan(scores[i])]).all()
            nan += 1
            continue
        tolerance = 64 * np.finfo(dtype).eps
        np.testing.assert_allclose(values[i], want, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(grad[i], slopes, rtol=tolerance, atol=tolerance)
        finite, infinite = finite + np.isfinite(want), infinite + np.isinf(want)
    assert finite > 10 and infinite > 3 and nan > 5


@every_dtype
def test_huge_and_tiny_scores(dtype):
    info = np.finfo(dtype)
    half = info.max / 4
    value, grad = CS.value_and_grad([0, 1], np.array([[-half, half, 0], [-half, half, 0]], dtype=dtype))
    assert value == float(half)  # the mean of max/2 and 0
    np.testing.assert_array_equal(grad, np.array([[-0.5, 0.5, 0], [0, 0, 0]]))
    small = np.array([[3 * info.smallest_subnormal, info.smallest_subnormal, 0]], dtype=dtype)
    perceptron = hf.CrammerSinger("perceptron")
    assert perceptron([1], small, reduction="none")[0] == 2 * info.smallest_subnormal
    assert perceptron([0], small) == 0.0


def test_values_are_summed_in_float64():
    """2^25 and many ones: float32 would stop counting."""
    scores = np.zeros((4097, 3), dtype=np.float32)
    scores[0, 1] = 2.0**25
    value = CS(np.zeros(4097, dtype=int), scores, reduction="sum")
    assert value == 2.0**25 + 4096
    # Over classes, too: 2^25 from the first and one from each of the others.
    scores = np.zeros((1, 4097), dtype=np.float32)
    scores[0, 1] = 2.0**25
    value = hf.WestonWatkins()([0], scores, reduction="sum")
    assert abs(value - (2.0**25 + 4095)) <= 2e-6 * 2**25
