"""Promise: value, grad and value_and_grad of (n, K) scores are right, for every loss, keyword, dtype and layout."""

import math

import multiclass_reference as oracle
import numpy as np
import pytest
from conftest import bits, computing_dtype, every_dtype, every_reduction, misaligned, raises, strided
from multiclass_cases import (
    FEW,
    assert_right,
    every_multiclass_loss,
    few_multiclass_losses,
    telling_scores,
)

import hingefast as hf

METHODS = ("value", "grad", "value_and_grad", "__call__")
LABEL_DTYPES = [
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", ">i2", ">i4", ">i8", ">u2", ">u4", ">f4", ">f8"),
]
CS = hf.CrammerSinger()


# --------------------------------------------------------------------------------------------------
# Values and gradients
# --------------------------------------------------------------------------------------------------


@every_dtype
@every_multiclass_loss
def test_every_loss(make, dtype):
    for n_classes in (2, 3, 10, 17):
        loss = make(n_classes)
        data = telling_scores(26, n_classes, dtype)
        zeroed = data.weights * (np.arange(26) % 5 > 0)
        by_class = np.linspace(0.25, 2.0, n_classes)
        for reduction in ("mean", "sum", "none"):
            for keywords, weights in [
                ({}, None),
                ({"sample_weight": zeroed}, zeroed),
                ({"class_weight": by_class.tolist()}, by_class[data.labels]),
                ({"sample_weight": zeroed, "class_weight": by_class}, zeroed * by_class[data.labels]),
            ]:
                keywords = {"reduction": reduction, **keywords}
                result = loss.value_and_grad(data.labels, data.scores, **keywords)
                assert_right(result, loss, data.labels, data.scores, weights, reduction)
                assert result[1].dtype == dtype and result[1].flags.c_contiguous
                assert bits(loss.value(data.labels, data.scores, **keywords)) == bits(result[0])
                assert bits(loss(data.labels, data.scores, **keywords)) == bits(result[0])
                assert bits(loss.grad(data.labels, data.scores, **keywords)) == bits(result[1])


@every_dtype
@few_multiclass_losses
@pytest.mark.parametrize("n_classes", [4, 5, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 100, 1000])
def test_every_number_of_classes(make, n_classes, dtype):
    """Around the widths of vectors; n with every tail."""
    loss = make(n_classes)
    for n in (6, 7, 8, 9, 13) if n_classes < 100 else (7, 70):
        data = telling_scores(n, n_classes, dtype, seed=1)
        for reduction in ("mean", "none"):
            result = loss.value_and_grad(
                data.labels, data.scores, sample_weight=data.weights, reduction=reduction
            )
            assert_right(result, loss, data.labels, data.scores, data.weights, reduction)


@every_dtype
@pytest.mark.parametrize("key", ["crammer_singer:hinge", "weston_watkins:logistic", "one_vs_rest:hinge"])
def test_a_hundred_thousand_classes(key, dtype):
    n_classes = 100_000
    loss = FEW[key](n_classes)
    data = telling_scores(6, n_classes, dtype, seed=2)
    data.labels[:2] = 0, n_classes - 1
    result = loss.value_and_grad(data.labels, data.scores, reduction="none")
    assert_right(result, loss, data.labels, data.scores, reduction="none")
    mean = loss.value_and_grad(data.labels, data.scores)
    assert_right(mean, loss, data.labels, data.scores)


@every_dtype
@pytest.mark.parametrize("k", [1, 2, 3, 50, 1000, 49_999, 99_999])
@pytest.mark.parametrize("variant", ["alpha", "beta"])
def test_the_largest_of_very_many(k, variant, dtype):
    loss = hf.TopKHinge(k, variant)
    data = telling_scores(6, 100_000, dtype, seed=3)
    result = loss.value_and_grad(data.labels, data.scores, reduction="none")
    assert_right(result, loss, data.labels, data.scores, reduction="none")
    assert (np.count_nonzero(result[1], axis=1) > 0).any()


@every_dtype
@few_multiclass_losses
@pytest.mark.parametrize("n,n_classes", [(3_001, 10), (257, 300)])
def test_many_rows(make, n, n_classes, dtype):
    loss = make(n_classes)
    data = telling_scores(n, n_classes, dtype, seed=4)
    for reduction in ("mean", "sum"):
        result = loss.value_and_grad(
            data.labels, data.scores, sample_weight=data.weights, reduction=reduction
        )
        assert_right(result, loss, data.labels, data.scores, data.weights, reduction)


@few_multiclass_losses
@every_reduction
def test_the_gradient_is_a_difference_of_returned_values(make, reduction):
    """Central differences of what `value` returns, number by number, off kinks and ties."""
    n, n_classes, h = 12, 4, 2.0**-20
    loss = make(n_classes)
    data = telling_scores(n, n_classes, seed=5)
    keywords = {"sample_weight": data.weights, "reduction": reduction}
    grad = loss.grad(data.labels, data.scores, **keywords)
    near = [loss.grad(data.labels, data.scores + shift, **keywords) for shift in (0, 1e-9)]
    np.testing.assert_allclose(near[0], near[1], atol=1e-7)
    compared = 0
    for i in range(n):
        for j in range(n_classes):
            scores = [data.scores.copy(), data.scores.copy()]
            scores[0][i, j] -= h
            scores[1][i, j] += h
            around = [loss.grad(data.labels, s, **keywords)[i] for s in scores]
            if np.abs(around[0] - around[1]).max() > 1e-4:
                continue  # a kink or a tie within h
            ends = [np.sum(loss.value(data.labels, s, **keywords)) for s in scores]
            assert (ends[1] - ends[0]) / (2 * h) == pytest.approx(grad[i, j], rel=1e-6, abs=1e-7)
            compared += 1
    assert compared >= n * n_classes - 3


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
# Reductions and weights
# --------------------------------------------------------------------------------------------------


def test_default_reduction_is_the_weighted_mean():
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


@pytest.mark.parametrize(
    "weight_dtype", ["int8", "uint8", "int64", "uint16", "float16", "float32", ">f8", ">i4", "bool"]
)
def test_weights_of_any_real_dtype(weight_dtype):
    data = telling_scores(64, 5)
    weights = (np.arange(64) % 3).astype(weight_dtype)
    want = CS.value_and_grad(data.labels, data.scores, sample_weight=weights.astype(np.float64))
    for given in (
        weights,
        strided(weights),
        weights[::-1].copy()[::-1],
        misaligned(weights),
        weights.tolist(),
    ):
        assert bits(CS.value_and_grad(data.labels, data.scores, sample_weight=given)) == bits(want)


@every_dtype
@few_multiclass_losses
def test_weights_that_sum_to_zero(make, dtype):
    loss = make(3)
    data = telling_scores(20, 3, dtype)
    data.scores[3] = np.nan
    for weighting in ({"sample_weight": np.zeros(20)}, {"class_weight": (0, 0, 0)}):
        with raises(ValueError, "sum"):
            loss.value_and_grad(data.labels, data.scores, **weighting)
        value, grad = loss.value_and_grad(data.labels, data.scores, reduction="sum", **weighting)
        assert bits(value) == bits(0.0)
        assert bits(grad) == bits(np.zeros((20, 3), dtype=dtype))
        values, grad = loss.value_and_grad(data.labels, data.scores, reduction="none", **weighting)
        assert bits(values) == bits(np.zeros(20, dtype=dtype))
        assert bits(grad) == bits(np.zeros((20, 3), dtype=dtype))


@every_dtype
@few_multiclass_losses
def test_empty(make, dtype):
    loss = make(4)
    y, s = np.zeros(0, dtype=np.int8), np.zeros((0, 4), dtype=dtype)
    for extra in ({}, {"sample_weight": np.zeros(0)}, {"class_weight": (1, 2, 3, 4)}, {"n_threads": 2}):
        for method in METHODS:
            with raises(ValueError):
                getattr(loss, method)(y, s, **extra)
        value, grad = loss.value_and_grad(y, s, reduction="sum", **extra)
        assert bits(value) == bits(0.0)
        assert grad.shape == (0, 4) and grad.dtype == dtype
        values, grad = loss.value_and_grad(y, s, reduction="none", **extra)
        assert values.shape == (0,) and grad.shape == (0, 4)
        assert values.dtype == grad.dtype == dtype


@every_dtype
@few_multiclass_losses
def test_inactive_rows_give_positive_zero(make, dtype):
    loss = make(9)
    labels = np.arange(70) % 9
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
def test_no_class_gets_a_negative_zero(dtype):
    """Classes without a slope in an active row, too."""
    data = telling_scores(60, 12, dtype, seed=6)
    for make in FEW.values():
        for weights in (None, data.weights):
            for reduction in ("mean", "sum", "none"):
                grad = make(12).grad(data.labels, data.scores, sample_weight=weights, reduction=reduction)
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


# --------------------------------------------------------------------------------------------------
# Ties
# --------------------------------------------------------------------------------------------------


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
    top = 127 if label_dtype == "int8" else 200
    for n, n_classes in ((6, 3), (17, 5), (300, 11), (260, top)):
        data = telling_scores(n, n_classes)
        want = bits(CS.value_and_grad(data.labels, data.scores))
        y = data.labels.astype(label_dtype)
        assert y.dtype == np.dtype(label_dtype)
        forms = [y, strided(y), np.ascontiguousarray(y[::-1])[::-1], misaligned(y)]
        if n < 100:
            forms.append(y.tolist())
        for form in forms:
            assert bits(CS.value_and_grad(form, data.scores)) == want
            assert bits(CS.value_and_grad(form, data.scores, classes=n_classes)) == want
            assert bits(CS.value_and_grad(form, data.scores, classes=np.arange(n_classes))) == want


def test_bool_labels_are_zero_and_one():
    data = telling_scores(40, 2)
    want = bits(CS.value_and_grad(data.labels, data.scores))
    assert bits(CS.value_and_grad(data.labels.astype(bool), data.scores)) == want
    wide = np.hstack([data.scores, np.full((40, 1), -9.0)])
    want = bits(CS.value_and_grad(data.labels, wide))
    assert bits(CS.value_and_grad(data.labels.astype(bool), wide)) == want


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


@pytest.mark.parametrize("kind", LABELINGS)
@pytest.mark.parametrize("key", FEW)
def test_declared_classes(kind, key):
    """classes[j] is the label of column j, whatever its order."""
    loss = FEW[key](5)
    data = telling_scores(60, 5)
    by_class = [0.5, 1.0, 2.0, 3.0, 0.25]
    want = bits(loss.value_and_grad(data.labels, data.scores, class_weight=by_class))
    classes = LABELINGS[kind]
    y = np.asarray(classes, dtype=np.int64)[data.labels]
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
    data = telling_scores(6, n_classes, np.float32)
    want = bits(CS.value_and_grad(data.labels, data.scores))
    assert bits(CS.value_and_grad(classes[data.labels], data.scores, classes=classes)) == want


def test_labels_are_declared_not_guessed():
    """A batch without the lowest or the highest class means what it says."""
    s = [[0.0, 0.0, 5.0]] * 2
    assert CS([2, 2], s) == 0.0
    assert CS([1, 1], s) == 6.0
    assert CS([7, 7], s, classes=(3, 7, 9)) == 6.0


# --------------------------------------------------------------------------------------------------
# Scores
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "score_dtype",
    [
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", ">i2", ">i4", ">f2", ">f4", ">f8"),
    ],
)
@few_multiclass_losses
def test_score_dtypes(make, score_dtype):
    score_dtype = np.dtype(score_dtype)
    loss = make(6)
    rng = np.random.default_rng(1)
    raw = {"b": rng.integers(0, 2, (50, 6)), "u": rng.integers(0, 7, (50, 6))}.get(
        score_dtype.kind, rng.integers(-6, 7, (50, 6))
    )
    scores = raw.astype(score_dtype)
    if score_dtype.kind == "f":
        scores = (scores / score_dtype.type(4)).astype(score_dtype)
    labels = np.arange(50) % 6
    computed = computing_dtype(score_dtype)
    grad_dtype = (
        score_dtype.newbyteorder("=") if score_dtype.kind == "f" and score_dtype.itemsize >= 4 else "f8"
    )
    values, grad = loss.value_and_grad(labels, scores, reduction="none")
    assert values.dtype == computed and values.dtype.isnative
    assert grad.dtype == np.dtype(grad_dtype) and grad.dtype.isnative and grad.flags.c_contiguous
    want_values, want_grad = loss.value_and_grad(labels, scores.astype(computed), reduction="none")
    assert bits(values) == bits(want_values)
    np.testing.assert_array_equal(grad, want_grad)
    total, grad = loss.value_and_grad(labels, scores)
    assert type(total) is float and grad.dtype == np.dtype(grad_dtype)
    assert_right((total, grad), loss, labels, scores)


def score_layouts(z):
    """The same numbers, held otherwise than in contiguous rows."""
    n, n_classes = z.shape
    wide = np.full((n, 2 * n_classes + 3), 99, dtype=z.dtype)
    wide[:, 1 : n_classes + 1] = z
    tall = np.full((3 * n, n_classes), 99, dtype=z.dtype)
    tall[::3] = z
    read_only = z.copy()
    read_only.flags.writeable = False
    return {
        "fortran": np.asfortranarray(z),
        "row stride": wide[:, 1 : n_classes + 1],
        "row step": tall[::3],
        "column step": np.repeat(z, 2, axis=1)[:, ::2],
        "rows reversed": z[::-1].copy()[::-1],
        "columns reversed": z[:, ::-1].copy()[:, ::-1],
        "both reversed": z[::-1, ::-1].copy()[::-1, ::-1],
        "misaligned": misaligned(z),
        "big endian": z.astype(z.dtype.newbyteorder(">")),
        "read only": read_only,
        "subclass": z.copy().view(type("Sub", (np.ndarray,), {})),
    }


@every_dtype
@few_multiclass_losses
def test_score_layouts(make, dtype):
    for n, n_classes in ((7, 3), (65, 17)):
        loss = make(n_classes)
        data = telling_scores(n, n_classes, dtype)
        want = bits(loss.value_and_grad(data.labels, data.scores, sample_weight=data.weights))
        for name, form in score_layouts(data.scores).items():
            got = loss.value_and_grad(data.labels, form, sample_weight=data.weights)
            assert bits(got) == want, name
            assert got[1].flags.c_contiguous and type(got[1]) is np.ndarray
        if dtype is np.float64:
            got = loss.value_and_grad(
                data.labels.tolist(), data.scores.tolist(), sample_weight=tuple(data.weights)
            )
            assert bits(got) == want
        for repeated in (
            np.broadcast_to(data.scores[0], data.scores.shape),
            np.broadcast_to(data.scores[:, :1], data.scores.shape),
        ):
            assert bits(loss.value_and_grad(data.labels, repeated)) == bits(
                loss.value_and_grad(data.labels, repeated.copy())
            )


def test_array_likes():
    """Anything that np.asarray understands."""

    class Frame:
        def __init__(self, data):
            self.data = data

        def __array__(self, dtype=None, copy=None):
            return np.array(self.data, dtype=dtype)

    y, z = [0, 2, 1], [[0.5, -0.25, 2.0], [0.1, 0.2, 0.3], [1.0, 0.0, 0.5]]
    want = bits(CS.value_and_grad(y, z))
    assert bits(CS.value_and_grad(Frame(y), Frame(z), sample_weight=Frame([1, 1, 1]))) == want
    assert bits(CS.value_and_grad(range(3), np.eye(3))) == bits(CS.value_and_grad([0, 1, 2], np.eye(3)))


def test_inputs_are_untouched_and_may_be_read_only():
    data = telling_scores(300, 7)
    for array in (data.labels, data.scores, data.weights):
        array.flags.writeable = False
    before = bits(data.labels, data.scores, data.weights)
    for make in FEW.values():
        loss = make(7)
        for reduction in ("mean", "sum", "none"):
            loss.value_and_grad(
                data.labels, data.scores, sample_weight=data.weights, reduction=reduction, n_threads=2
            )
            loss.value(data.labels[::2], data.scores[::2], reduction=reduction)
    assert bits(data.labels, data.scores, data.weights) == before


# --------------------------------------------------------------------------------------------------
# Extreme values
# --------------------------------------------------------------------------------------------------


@every_dtype
@few_multiclass_losses
def test_infinite_scores(make, dtype):
    """One infinity follows IEEE: far ahead nothing is lost, far behind all is."""
    n_classes = 5
    loss = make(n_classes)
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
@few_multiclass_losses
@pytest.mark.parametrize("n_classes", [4, 17, 33, 70])
def test_any_mix_of_infinities_is_that_of_the_definition(make, n_classes, dtype):
    """Row by row against plain Python: where the definition subtracts inf from inf, the value is NaN."""
    loss = make(n_classes)
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
@every_reduction
@few_multiclass_losses
def test_out_is_filled_and_returned(make, reduction, dtype):
    loss = make(9)
    data = telling_scores(70, 9, dtype)
    y, z = data.labels, data.scores
    value, grad = loss.value_and_grad(y, z, reduction=reduction)
    out = np.full((70, 9), 7, dtype=dtype)
    assert loss.grad(y, z, reduction=reduction, out=out) is out
    assert bits(out) == bits(grad)
    out[:] = np.nan
    if reduction == "none":
        values_out = np.full(70, np.nan, dtype=dtype)
        assert loss.value(y, z, reduction="none", out=values_out) is values_out
        assert bits(values_out) == bits(value)
        values_out[:] = 7
        result = loss.value_and_grad(y, z, reduction="none", out=(values_out, out))
        assert result[0] is values_out and result[1] is out
        assert bits(values_out, out) == bits(value, grad)
    else:
        again, same = loss.value_and_grad(y, z, reduction=reduction, out=out)
        assert same is out and bits(again, out) == bits(value, grad)
        with raises(TypeError, "out"):
            loss.value(y, z, reduction=reduction, out=np.empty(70, dtype=dtype))


@every_dtype
@pytest.mark.parametrize("n_classes", [2, 3, 16, 64, 100, 1_000])
def test_gradients_past_the_caches(n_classes, dtype):
    """Of more than 12 MiB: those of a few rows at a time, wherever the gradient begins, and nothing beside it."""
    n = 13 * 2**20 // (n_classes * np.dtype(dtype).itemsize)
    rng = np.random.default_rng(n_classes)
    scores = rng.standard_normal((n, n_classes)).astype(dtype)
    labels = rng.integers(0, n_classes, n)
    some = np.append(rng.integers(0, n, 500), [0, 1, n - 2, n - 1])
    for place, key in enumerate(
        ("crammer_singer:hinge", "weston_watkins:squared_hinge", "crammer_singer:hinge")
    ):
        loss = hf.get_loss(key)
        want = loss.grad(labels[some], scores[some], reduction="sum")
        room = np.full(n * n_classes + 16, 99, dtype)
        out = room[3 * place : 3 * place + n * n_classes].reshape(n, n_classes)
        loss.grad(labels, scores, reduction="sum", out=out, n_threads=1 + place)
        assert bits(out[some]) == bits(want)
        assert (room[: 3 * place] == 99).all() and (room[3 * place + n * n_classes :] == 99).all()
        total = out.sum(axis=1, dtype=np.float64)
        assert np.abs(total).max() < 1e-3 * n_classes  # slopes of a row sum to 0: none is left as it was


def test_out_for_other_score_dtypes():
    y = np.array([1, 0, 2])
    for scores in (np.arange(9, dtype=np.int8).reshape(3, 3), np.eye(3, dtype=np.float16)):
        grad = np.empty((3, 3))
        assert CS.grad(y, scores, out=grad) is grad
        values = np.empty(3, dtype=np.float32)
        assert CS.value_and_grad(y, scores, reduction="none", out=(values, grad))[0] is values
        with raises(ValueError, "out"):
            CS.grad(y, scores, out=np.empty((3, 3), dtype=np.float32))
        with raises(ValueError, "out"):
            CS.value(y, scores, reduction="none", out=np.empty(3))


def bad_outs(n, n_classes, dtype):
    other = np.float64 if dtype is np.float32 else np.float32
    shape = (n, n_classes)
    frozen = np.full(shape, 7, dtype=dtype)
    frozen.flags.writeable = False
    return {
        "short": np.full((n - 1, n_classes), 7, dtype=dtype),
        "long": np.full((n + 1, n_classes), 7, dtype=dtype),
        "narrow": np.full((n, n_classes - 1), 7, dtype=dtype),
        "flat": np.full(n * n_classes, 7, dtype=dtype),
        "transposed": np.full((n_classes, n), 7, dtype=dtype),
        "deep": np.full((n, n_classes, 1), 7, dtype=dtype),
        "other float": np.full(shape, 7, dtype=other),
        "integers": np.full(shape, 7, dtype=f"i{np.dtype(dtype).itemsize}"),
        "misordered": np.full(shape, 7, dtype=np.dtype(dtype).newbyteorder()),
        "fortran": np.full(shape, 7, dtype=dtype, order="F"),
        "row step": np.full((2 * n, n_classes), 7, dtype=dtype)[::2],
        "row stride": np.full((n, n_classes + 1), 7, dtype=dtype)[:, :-1],
        "reversed": np.full(shape, 7, dtype=dtype)[::-1],
        "read-only": frozen,
        "broadcast": np.broadcast_to(np.array(7, dtype=dtype), shape),
    }


@every_dtype
@pytest.mark.parametrize("name", bad_outs(3, 2, np.float64))
def test_out_that_does_not_fit_is_untouched(name, dtype):
    n, n_classes = 20, 5
    data = telling_scores(n, n_classes, dtype)
    y, z = data.labels, data.scores
    out = bad_outs(n, n_classes, dtype)[name]
    fit = np.full(n, 7, dtype=dtype)
    for reduction in ("mean", "sum", "none"):
        with raises(ValueError, "out"):
            CS.grad(y, z, reduction=reduction, out=out)
        if reduction != "none":
            with raises(ValueError, "out"):
                CS.value_and_grad(y, z, reduction=reduction, out=out)
    with raises(ValueError, "out"):
        CS.value_and_grad(y, z, reduction="none", out=(fit, out))
    assert (out == 7).all() and (fit == 7).all()
    gradient = np.full((n, n_classes), 7, dtype=dtype)
    for values in (np.full(n + 1, 7, dtype=dtype), np.full((n, 1), 7, dtype=dtype), gradient):
        with raises(ValueError, "out"):
            CS.value(y, z, reduction="none", out=values)
        with raises(ValueError, "out"):
            CS.value_and_grad(y, z, reduction="none", out=(values, gradient))
        assert (values == 7).all() and (gradient == 7).all()


def test_out_of_the_wrong_kind():
    y, z = [0, 1, 2], np.eye(3)
    for wrong in ([[0.0] * 3] * 3, 3, "out", True, (np.empty((3, 3)),), (np.empty((3, 3)),) * 3):
        for method in METHODS:
            with raises((TypeError, ValueError), "out"):
                getattr(CS, method)(y, z, out=wrong)
    with raises((TypeError, ValueError), "out"):
        CS.value_and_grad(y, z, reduction="none", out=np.empty((3, 3)))


@every_dtype
def test_out_overlapping_an_input_or_another_out(dtype):
    n, n_classes = 12, 5
    data = telling_scores(n, n_classes, dtype)
    size = n * n_classes
    room = np.zeros(4 * size, dtype=dtype)
    scores = room[size : 2 * size].reshape(n, n_classes)
    scores[:] = data.scores
    y, weights = data.labels.astype(dtype), np.ones(size, dtype=dtype)
    before = room.tobytes()
    for shift in (0, 1, -1, size - 1, 1 - size):
        out = room[size + shift : 2 * size + shift].reshape(n, n_classes)
        for reduction in ("mean", "none"):
            with raises(ValueError, "out", "overlap"):
                CS.grad(y, scores, reduction=reduction, out=out)
        with raises(ValueError, "out", "overlap"):
            CS.value(y, scores, reduction="none", out=(out.ravel()[-n:] if shift < 0 else out.ravel()[:n]))
    assert room.tobytes() == before
    # In the gaps between the rows of a strided input it overlaps; right after it, it does not.
    wide = np.zeros((n, 2 * n_classes), dtype=dtype)
    with raises(ValueError, "overlap"):
        CS.grad(y, wide[:, :n_classes], out=wide.ravel()[n_classes : n_classes + size].reshape(n, n_classes))
    out = room[2 * size : 3 * size].reshape(n, n_classes)
    assert CS.grad(y, scores, out=out) is out
    with raises(ValueError, "overlap"):
        CS.grad(y, data.scores, sample_weight=weights[:n], out=weights.reshape(n, n_classes))
    labels = np.zeros(size, dtype=dtype)
    with raises(ValueError, "overlap"):
        CS.grad(labels[:n], data.scores, out=labels.reshape(n, n_classes))
    both = np.full(size + n, 7, dtype=dtype)
    for start in (0, 1, size - 1):
        with raises(ValueError, "out", "overlap"):
            CS.value_and_grad(
                y,
                data.scores,
                reduction="none",
                out=(both[start : start + n], both[:size].reshape(n, n_classes)),
            )
    assert (both == 7).all()
    got = CS.value_and_grad(
        y, data.scores, reduction="none", out=(both[size:], both[:size].reshape(n, n_classes))
    )
    assert bits(got) == bits(CS.value_and_grad(y, data.scores, reduction="none"))


@every_dtype
@pytest.mark.parametrize("n,n_classes", [(1, 2), (17, 9), (3_001, 33)])
def test_bytes_beside_outputs_are_untouched(n, n_classes, dtype):
    guard = 64
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((n, n_classes)).astype(dtype)
    labels = rng.integers(0, n_classes, n)
    for make in FEW.values():
        grad_room = np.full(n * n_classes + 2 * guard, 99, dtype=dtype)
        value_room = np.full(n + 2 * guard, 99, dtype=dtype)
        grad = grad_room[guard:-guard].reshape(n, n_classes)
        value = value_room[guard:-guard]
        make(n_classes).value_and_grad(labels, scores, reduction="none", out=(value, grad), n_threads=3)
        for room in (grad_room, value_room):
            assert (room[:guard] == 99).all() and (room[-guard:] == 99).all()
        assert (np.abs(value) < 99 * n_classes).all()
