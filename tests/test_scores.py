"""Promise: value, grad and value_and_grad on scores are right, for every loss, keyword, dtype and layout."""

import math
from itertools import product

import multiclass_reference as oracle
import numpy as np
import pytest
import reference
from conftest import bits, computing_dtype, every_dtype, every_reduction, misaligned, raises, strided
from kinds import (
    CATALOGUE,
    FEW,
    assert_right,
    both_kinds,
    every_way,
    few_kinds_of_classes,
    telling_scores,
    whole_catalogue,
)

import hingefast as hf

HINGE, CS = hf.Hinge(), hf.CrammerSinger()
METHODS = ("value", "grad", "value_and_grad", "__call__")
LABEL_DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", ">i2", ">i4", ">i8", ">u2", ">u4", ">f4", ">f8"),
]
SCORE_DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", ">i2", ">i4", ">f2", ">f4", ">f8"),
]


# --------------------------------------------------------------------------------------------------
# Reductions and weights
# --------------------------------------------------------------------------------------------------


@every_dtype
@whole_catalogue
def test_every_loss_and_weighting(kind, dtype):
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


@both_kinds
def test_broadcast_weights(kind):
    data = kind.scores(64)
    constant = np.broadcast_to(np.float64(0.5), 64)
    got = kind.loss.value_and_grad(data.y, data.scores, sample_weight=constant)
    assert bits(got) == bits(kind.loss.value_and_grad(data.y, data.scores, sample_weight=np.full(64, 0.5)))


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
# Labels
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_dtype", LABEL_DTYPES)
def test_label_dtypes(label_dtype):
    for n in (1, 15, 16, 17, 64, 5000):
        data = telling_scores(max(n, 16), np.float64)
        signs, scores = data.y[:n], data.scores[:n]
        want = bits(HINGE.value_and_grad(signs, scores))
        zero_one = (signs > 0).astype(label_dtype)
        variants = [(zero_one, {"classes": (0, 1)}), ((signs < 0).astype(label_dtype), {"classes": (1, 0)})]
        kind = np.dtype(label_dtype).kind
        if kind == "b":
            variants.append((zero_one, {}))
        else:
            variants.append((np.where(signs > 0, 7, 3).astype(label_dtype), {"classes": (3, 7)}))
        if kind in "if":
            variants.append((signs.astype(label_dtype), {}))
        for y, classes in variants:
            assert y.dtype == np.dtype(label_dtype)
            forms = [y, strided(y), np.ascontiguousarray(y[::-1])[::-1], misaligned(y)]
            if n < 100:
                forms.append(y.tolist())
            for form in forms:
                assert bits(HINGE.value_and_grad(form, scores, **classes)) == want


@pytest.mark.parametrize("label_dtype", LABEL_DTYPES)
def test_one_label_repeated_by_a_zero_stride(label_dtype):
    z = np.linspace(-3, 3, 40)
    y = np.broadcast_to(np.array(1, dtype=label_dtype), 40)
    want = bits(HINGE.value_and_grad(np.ones(40), z))
    assert bits(HINGE.value_and_grad(y, z, classes=(0, 1))) == want


@pytest.mark.parametrize("label_dtype", LABEL_DTYPES[1:])
def test_label_dtypes_of_classes(label_dtype):
    top = 127 if label_dtype == "int8" else 200
    for n, n_classes in ((6, 3), (17, 5), (300, 11), (260, top)):
        data = telling_scores(n, n_classes=n_classes)
        want = bits(CS.value_and_grad(data.y, data.scores))
        y = data.y.astype(label_dtype)
        assert y.dtype == np.dtype(label_dtype)
        forms = [y, strided(y), np.ascontiguousarray(y[::-1])[::-1], misaligned(y)]
        if n < 100:
            forms.append(y.tolist())
        for form in forms:
            assert bits(CS.value_and_grad(form, data.scores)) == want
            assert bits(CS.value_and_grad(form, data.scores, classes=n_classes)) == want
            assert bits(CS.value_and_grad(form, data.scores, classes=np.arange(n_classes))) == want


def test_bool_labels_are_zero_and_one():
    data = telling_scores(40, n_classes=2)
    want = bits(CS.value_and_grad(data.y, data.scores))
    assert bits(CS.value_and_grad(data.y.astype(bool), data.scores)) == want
    wide = np.hstack([data.scores, np.full((40, 1), -9.0)])
    want = bits(CS.value_and_grad(data.y, wide))
    assert bits(CS.value_and_grad(data.y.astype(bool), wide)) == want


def test_declared_classes():
    z = np.array([0.25, -0.5, 2.0])
    want = bits(HINGE.value_and_grad([1, -1, 1], z))
    for classes in (
        (0, 1),
        (1, 0),
        (5, 2),
        (-3, 1000),
        (0, -1),
        [2, 4],
        np.array([7, 8]),
        (1.0, 2.0),
        (False, True),
    ):
        y = np.array([classes[1], classes[0], classes[1]])
        assert bits(HINGE.value_and_grad(y, z, classes=classes)) == want
    assert bits(HINGE.value_and_grad([True, False, True], z)) == want
    assert bits(HINGE.value_and_grad(np.array([1, 0, 1]), z, classes=(False, True))) == want
    big = 2**53
    y = np.array([big + 1, big, big + 1], dtype=np.int64)  # equal to each other once rounded to float64
    assert bits(HINGE.value_and_grad(y, z, classes=(big, big + 1))) == want
    with raises(ValueError, "y[1]"):
        HINGE(np.array([big + 1, big + 2, big]), z, classes=(big, big + 1))
    top = 2**64 - 1
    y = np.array([top, 0, top], dtype=np.uint64)
    assert bits(HINGE.value_and_grad(y, z, classes=(0, top))) == want
    # Labels are declared: a batch of one class means what it says.
    assert HINGE([0, 0], [-2.0, -2.0], classes=(0, 1)) == 0.0
    assert HINGE([0, 0], [-2.0, -2.0], classes=(1, 0)) == 3.0


LABELINGS = {
    "sorted": [0, 1, 2, 3, 4],
    "reversed": [4, 3, 2, 1, 0],
    "gaps": [3, 7, 20, 21, 100],
    "inner order": [0, 2, 1, 3, 4],
    "unsorted": [3, 7, -2, 100, 5],
    "negative": [-5, -4, -3, -2, -1],
    "one based": [1, 2, 3, 4, 5],
    "tuple": (3, 7, -2, 9, 1),
    "array": np.array([9, 8, 127, -128, 0], dtype=np.int8),
    "unsigned": np.array([9, 8, 200, 1, 0], dtype=np.uint8),
    "far apart": [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1],
    "lowest": [-(2**63) + j for j in range(5)],
    "highest": [2**63 - 5 + j for j in range(5)],
    "close": [2**53, 2**53 + 1, 2**53 + 2, -(2**53), -(2**53) - 1],
}


@pytest.mark.parametrize("labeling", LABELINGS)
@few_kinds_of_classes
def test_declared_labels_of_columns(labeling, kind):
    """classes[j] is the label of column j, whatever its order."""
    loss, data = kind.loss, kind.scores(60)
    by_class = [0.5, 1.0, 2.0, 3.0, 0.25]
    want = bits(loss.value_and_grad(data.y, data.scores, class_weight=by_class))
    classes = LABELINGS[labeling]
    y = np.asarray(classes, dtype=np.int64)[data.y]
    for labels in (y, strided(y), y.tolist()):
        got = loss.value_and_grad(labels, data.scores, classes=classes, class_weight=by_class)
        assert bits(got) == want
    if np.abs(y).max() < 2**24:
        for narrow in (np.float32, np.int32, ">i4"):
            got = loss.value_and_grad(y.astype(narrow), data.scores, classes=classes, class_weight=by_class)
            assert bits(got) == want


def test_many_declared_classes():
    """Looked up, not searched for one by one; unsorted labels of 100 000 columns."""
    n_classes = 100_000
    rng = np.random.default_rng(0)
    classes = rng.permutation(n_classes) * 7 - 12_345
    data = telling_scores(6, np.float32, n_classes=n_classes)
    want = bits(CS.value_and_grad(data.y, data.scores))
    assert bits(CS.value_and_grad(classes[data.y], data.scores, classes=classes)) == want


def test_labels_are_declared_not_guessed():
    """A batch without the lowest or the highest class means what it says."""
    s = [[0.0, 0.0, 5.0]] * 2
    assert CS([2, 2], s) == 0.0
    assert CS([1, 1], s) == 6.0
    assert CS([7, 7], s, classes=(3, 7, 9)) == 6.0


# --------------------------------------------------------------------------------------------------
# Scores
# --------------------------------------------------------------------------------------------------


@every_way
def test_score_dtypes(kind):
    rng, loss, n = np.random.default_rng(1), kind.loss, 60
    y = kind.labels[np.arange(n) % len(kind.labels)]
    for score_dtype in map(np.dtype, SCORE_DTYPES):
        low, high = {"b": (0, 2), "u": (0, 7)}.get(score_dtype.kind, (-6, 7))
        scores = rng.integers(low, high, (n, *kind.shape)).astype(score_dtype)
        if score_dtype.kind == "f":
            scores = (scores / score_dtype.type(4)).astype(score_dtype)
        computed = computing_dtype(score_dtype)
        wide = score_dtype.kind == "f" and score_dtype.itemsize >= 4
        grad_dtype = np.dtype(score_dtype.newbyteorder("=") if wide else "f8")
        values, grad = loss.value_and_grad(y, scores, reduction="none")
        assert values.dtype == computed and values.dtype.isnative
        assert grad.dtype == grad_dtype and grad.dtype.isnative and grad.flags.c_contiguous
        want_values, want_grad = loss.value_and_grad(y, scores.astype(computed), reduction="none")
        assert bits(values) == bits(want_values)
        np.testing.assert_array_equal(grad, want_grad)
        total, grad = loss.value_and_grad(y, scores)
        assert type(total) is float and grad.dtype == grad_dtype
        assert_right((total, grad), loss, y, scores)


def score_layouts(z):
    """The same numbers, held otherwise than in contiguous rows."""
    wide, tall = (
        np.full((len(z), 99), 99, dtype=z.dtype),
        np.full((3 * len(z), *z.shape[1:]), 99, dtype=z.dtype),
    )
    K = z[0].size
    wide[:, 1 : K + 1], tall[::3] = z.reshape(len(z), K), z
    read_only = z.copy()
    read_only.flags.writeable = False
    column = np.repeat(z, 2, axis=-1)[..., ::2]
    forms = {
        "row stride": wide[:, 1 : K + 1].reshape(z.shape) if K == 1 else wide[:, 1 : K + 1],
        "row step": tall[::3],
        "column step": column,
        "rows reversed": z[::-1].copy()[::-1],
        "all reversed": np.flip(np.flip(z).copy()),
        "misaligned": misaligned(z),
        "big endian": z.astype(z.dtype.newbyteorder(">")),
        "little endian": z.astype(z.dtype.newbyteorder("<")),
        "read only": read_only,
        "subclass": z.copy().view(type("Sub", (np.ndarray,), {})),
        "fortran": np.asfortranarray(z),
    }
    if z.ndim == 1:
        return forms | {
            "column of two": np.asfortranarray(np.stack([z, z], axis=1))[:, 1],
            "diagonal": np.diag(z).diagonal(),
        }
    return forms | {"columns reversed": z[:, ::-1].copy()[:, ::-1]}


@every_dtype
@every_way
def test_score_layouts(kind, dtype):
    for n, K in ((1, 2), (7, 3), (31, 5), (65, 17)):
        (of_K,) = kind.of(K)
        loss, data = of_K.loss, of_K.scores(max(n, 16), dtype)
        y, z, w = data.y[:n], data.scores[:n], data.weights[:n]
        want = bits(loss.value_and_grad(y, z, sample_weight=w))
        for name, form in score_layouts(z).items():
            got = loss.value_and_grad(y, form, sample_weight=w)
            assert bits(got) == want, name
            assert got[1].flags.c_contiguous and type(got[1]) is np.ndarray
        if dtype is np.float64:
            assert bits(loss.value_and_grad(y.tolist(), z.tolist(), sample_weight=tuple(w))) == want
            assert (
                bits(
                    loss.value_and_grad(
                        tuple(y), tuple(map(tuple, z)) if z.ndim > 1 else tuple(z), sample_weight=w
                    )
                )
                == want
            )
        for repeated in (np.broadcast_to(z[0], z.shape), np.broadcast_to(z[..., :1], z.shape)):
            assert bits(loss.value_and_grad(y, repeated)) == bits(loss.value_and_grad(y, repeated.copy()))


def test_array_likes():
    """Anything that np.asarray understands."""

    class Series:
        def __init__(self, data):
            self.data = data

        def __array__(self, dtype=None, copy=None):
            return np.array(self.data, dtype=dtype)

    y, z = [1, -1, 1], [0.5, -0.25, 2.0]
    want = bits(HINGE.value_and_grad(y, z))
    assert bits(HINGE.value_and_grad(Series(y), Series(z), sample_weight=Series([1, 1, 1]))) == want
    z = [[0.5, -0.25, 2.0], [0.1, 0.2, 0.3], [1.0, 0.0, 0.5]]
    want = bits(CS.value_and_grad([0, 2, 1], z))
    assert bits(CS.value_and_grad(Series([0, 2, 1]), Series(z), sample_weight=Series([1, 1, 1]))) == want
    assert bits(CS.value_and_grad(range(3), np.eye(3))) == bits(CS.value_and_grad([0, 1, 2], np.eye(3)))
    assert bits(HINGE.value_and_grad(range(1, 2), memoryview(np.array([0.5])))) == bits(
        HINGE.value_and_grad([1], np.array([0.5]))
    )


@every_dtype
@both_kinds
def test_results_are_new_plain_arrays(kind, dtype):
    data, loss = kind.scores(20, dtype), kind.loss
    for scores in (data.scores, data.scores.view(type("Sub", (np.ndarray,), {}))):
        values, grad = loss.value_and_grad(data.y, scores, reduction="none")
        for result in (values, grad):
            assert type(result) is np.ndarray
            assert result.flags.c_contiguous and result.flags.writeable
            assert not np.shares_memory(result, data.scores)
        assert not np.shares_memory(values, grad)
    for reduction in ("mean", "sum"):
        assert type(loss(data.y, data.scores, reduction=reduction)) is float


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


# --------------------------------------------------------------------------------------------------
# out=
# --------------------------------------------------------------------------------------------------


@every_dtype
@every_way
def test_out_is_filled_and_returned(kind, dtype):
    for n, K in [(100, None)] if kind.binary else [(70, 9)]:
        (of_K,) = kind.of(K)
        loss, data = of_K.loss, of_K.scores(n, dtype)
        y, z = data.y, data.scores
        for reduction in ("mean", "sum", "none"):
            value, grad = loss.value_and_grad(y, z, reduction=reduction)
            out = np.full(z.shape, 7, dtype=dtype)
            assert loss.grad(y, z, reduction=reduction, out=out) is out
            assert bits(out) == bits(grad)
            assert loss.grad(y, z, reduction=reduction, out=None) is not None
            out[:] = np.nan
            if reduction != "none":
                again, same = loss.value_and_grad(y, z, reduction=reduction, out=out)
                assert same is out and bits(again, out) == bits(value, grad)
                continue
            values_out = np.full(n, np.nan, dtype=dtype)
            assert loss.value(y, z, reduction="none", out=values_out) is values_out
            assert bits(values_out) == bits(value)
            assert loss(y, z, reduction="none", out=values_out) is values_out
            values_out[:] = 7
            result = loss.value_and_grad(y, z, reduction="none", out=(values_out, out))
            assert result[0] is values_out and result[1] is out
            assert bits(values_out, out) == bits(value, grad)


@both_kinds
def test_out_for_other_score_dtypes(kind):
    """The result's dtype, not the scores'."""
    loss, y = kind.loss, kind.labels[[1, 0, 1]]
    numbers = np.arange(3 * int(np.prod(kind.shape, dtype=int))).reshape(3, *kind.shape)
    for scores in (numbers.astype(np.int8), numbers.astype(np.float16)):
        grad = np.empty(scores.shape)
        assert loss.grad(y, scores, out=grad) is grad
        values = np.empty(3, dtype=np.float32)
        assert loss.value_and_grad(y, scores, reduction="none", out=(values, grad))[0] is values
        with pytest.raises(ValueError, match="out"):
            loss.grad(y, scores, out=np.empty(scores.shape, dtype=np.float32))
        with pytest.raises(ValueError, match="out"):
            loss.value(y, scores, reduction="none", out=np.empty(3))


def test_out_comes_back_as_the_very_object(tmp_path):
    """Also where the kernels write to a view of our own: subclasses, memory maps, any keyword."""
    data = telling_scores(40)
    for out in (
        np.empty(40),
        np.empty(40).view(type("Out", (np.ndarray,), {})),
        np.memmap(tmp_path / "out", np.float64, "w+", shape=(40,)),
    ):
        for keywords in ({}, {"sample_weight": data.weights}):
            want = HINGE.value_and_grad(data.y, data.scores, **keywords)
            assert HINGE.grad(data.y, data.scores, out=out, **keywords) is out
            got = HINGE.value_and_grad(data.y, data.scores, out=out, **keywords)
            assert got[1] is out and bits(got[0], np.asarray(out)) == bits(*want)
            assert HINGE.value(data.y, data.scores, reduction="none", out=out, **keywords) is out
            both = (np.empty(40), out)
            got = HINGE.value_and_grad(data.y, data.scores, reduction="none", out=both, **keywords)
            assert got[0] is both[0] and got[1] is out
            X = np.eye(40)
            assert hf.decision_function(X, data.scores, out=out) is out
            assert hf.linear_value_and_grad(X, data.y, data.scores, out=out, **keywords)[1] is out
            objective = hf.Objective(X, data.y, loss="hinge", fit_intercept=False, **keywords)
            assert objective.grad(data.scores, out=out) is out
            assert objective.value_and_grad(data.scores, out=out)[1] is out
            assert objective.decision_function(data.scores, out=out) is out
