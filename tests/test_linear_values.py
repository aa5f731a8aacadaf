"""Promise: value, gradient and scores of linear models are right, for every loss, shape, layout and keyword."""

from itertools import product
from types import SimpleNamespace

import multiclass_reference as oracle
import numpy as np
import pytest
import reference
from conftest import bits, every_dtype
from kinds import (
    FEW,
    KINDS,
    LAYOUTS,
    as_csr,
    assert_close,
    both_kinds,
    csr_scores,
    every_kind,
    every_layout,
    expected,
    on_a_base,
    problem,
    whole_catalogue,
)
from scipy import sparse

import hingefast as hf

pytestmark = [pytest.mark.at_every_level, pytest.mark.clang, pytest.mark.arm64]

WIDTHS = [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 200]
WIDTHS_OF_CLASSES = [*WIDTHS[:14], 255, 256, 257, 511, 512, 513, 1030]
HEIGHTS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 130, 200]
CLASSES = [2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 65]
HINGE, SQUARED = KINDS["hinge"], KINDS["squared_hinge"]
CRAMMER_SINGER, WESTON_WATKINS = FEW["crammer_singer:hinge"], FEW["weston_watkins:squared_hinge"]


def eps(dtype):
    return float(np.finfo(dtype).eps)


def check(kind, case, want, **keywords):
    """`linear_value_and_grad` is right in every layout, its results of the right types and shapes."""
    for convert in LAYOUTS.values():
        got = kind.call(convert(case.X), case, **keywords)
        assert_close(got, want, out_eps=eps(case.coef.dtype))
        assert type(got[0]) is float
        assert got[1].dtype == case.coef.dtype and got[1].shape == case.coef.shape
        assert got[1].flags.c_contiguous
        if kind.binary:
            assert type(got[2]) is float
        else:
            assert got[2].dtype == case.coef.dtype and got[2].shape == case.intercept.shape


def check_scores(case, want):
    for convert in LAYOUTS.values():
        scores = hf.decision_function(convert(case.X), case.coef, case.intercept)
        assert scores.dtype == case.coef.dtype and scores.shape == want.scores.shape
        assert scores.flags.c_contiguous
        assert (np.abs(scores - want.scores) <= want.scores_bound).all()


def check_shape(kinds, n, d, dtype):
    for kind in kinds:
        case = kind.problem(n, d, dtype, seed=32)
        # With few rows one that lies at a kink or tie is many.
        want = kind.expected(case, most_unsure=max(0.05, 1.5 / n))
        check(kind, case, want)
    check_scores(case, want)


@whole_catalogue
@every_dtype
def test_every_loss(kind, dtype):
    shapes = ((9, 3, None), (70, 20, None)) if kind.binary else ((9, 3, 2), (45, 20, 5), (40, 9, 17))
    for n, d, K in shapes:
        (of_K,) = kind.of(K)
        case = of_K.problem(n, d, dtype, seed=31)
        by_class = of_K.weights_of_classes(case.y)
        for keywords, weights in (
            ({}, None),
            ({"alpha": 0.7, "sample_weight": case.weights}, case.weights),
            ({"alpha": 0.7, "class_weight": of_K.class_weight, "reduction": "sum"}, by_class),
        ):
            penalty, reduction = keywords.get("alpha", 0.0), keywords.get("reduction", "mean")
            want = of_K.expected(case, alpha=penalty, weights=weights, reduction=reduction)
            check(of_K, case, want, **keywords)


@whole_catalogue
def test_against_the_slow_oracle(kind):
    """One number at a time, in plain Python; far from ties and kinks nothing but roundings apart."""
    (kind,) = kind.of(4)
    case, loss = kind.problem(11, 5, seed=30), kind.loss
    model = (case.X, case.y, case.coef, case.intercept)
    if kind.binary:
        want = reference.linear_value_and_grad(*model, loss.name, loss.params, 0.3, case.weights)[:3]
    else:
        want = oracle.linear_value_and_grad(oracle.definition(loss), *model, 0.3, case.weights)
    for convert in LAYOUTS.values():
        got = kind.call(convert(case.X), case, alpha=0.3, sample_weight=case.weights)
        assert got[0] == pytest.approx(want[0], rel=1e-12)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(got[2], want[2], rtol=1e-11, atol=1e-12)


# Shapes


@pytest.mark.parametrize("d", WIDTHS)
@every_dtype
def test_every_shape(d, dtype):
    for n in HEIGHTS:
        check_shape((HINGE, SQUARED), n, d, dtype)


@pytest.mark.parametrize("d", WIDTHS_OF_CLASSES)
@every_dtype
def test_every_width_of_classes(d, dtype):
    for n, K in ((3, 2), (9, 10), (66, 5), (34, 17)):
        check_shape((*CRAMMER_SINGER.of(K), *WESTON_WATKINS.of(K)), n, d, dtype)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 31, 63, 64, 65, 127, 130])
@every_dtype
def test_every_height_of_classes(n, dtype):
    for d, K in ((1, 3), (16, 2), (9, 9), (40, 16)):
        check_shape((*CRAMMER_SINGER.of(K), *WESTON_WATKINS.of(K)), n, d, dtype)


@pytest.mark.parametrize("n_classes", CLASSES)
@every_dtype
def test_every_number_of_classes(n_classes, dtype):
    for n, d in ((5, 8), (13, 33), (64, 3), (67, 17)):
        check_shape((*CRAMMER_SINGER.of(n_classes), *WESTON_WATKINS.of(n_classes)), n, d, dtype)


@every_dtype
@pytest.mark.parametrize("n_classes", [100, 257, 1000])
def test_many_classes(n_classes, dtype):
    """Panels of classes, of which the last is not full."""
    check_shape((*CRAMMER_SINGER.of(n_classes), *WESTON_WATKINS.of(n_classes)), 70, 37, dtype)
    for key in ("crammer_singer:squared_hinge", "one_vs_rest:hinge", "top_2_beta", "top_all_alpha"):
        (kind,) = FEW[key].of(n_classes)
        case = kind.problem(40, 300, dtype, seed=33)
        check(kind, case, kind.expected(case, most_unsure=0.2))


@pytest.mark.parametrize("d", [600, 1500, 3001, 5000])
@every_dtype
def test_long_rows(d, dtype):
    """On both sides of 4 KB and of 16 KB a row, from which on other loops take them."""
    for n in (1, 2, 3, 4, 5, 7, 9, 64, 70):
        case = problem(n, d, dtype, seed=46)
        for kind, weights in ((SQUARED, None), (KINDS["logistic"], case.weights)):
            want = kind.expected(case, weights=weights)
            check(kind, case, want, sample_weight=weights)
        check_scores(case, want)
    (kind,) = CRAMMER_SINGER.of(3)
    case = kind.problem(66, d, dtype, seed=46)
    check(kind, case, kind.expected(case, most_unsure=0.2))


@every_dtype
@every_kind
def test_few_rows(kind, dtype):
    """One row of each label, and two."""
    for n in (1, 2):
        case = kind.problem(n, 9, dtype, seed=41)
        for label in kind.labels[:5]:
            case.y[:] = label
            check(kind, case, kind.expected(case, most_unsure=1.0))


@every_kind
def test_no_rows(kind):
    for d, convert in product((0, 1, 5), LAYOUTS.values()):
        X, y = convert(np.zeros((0, d))), np.zeros(0, np.int8)
        coef = np.full((*kind.shape, d), 2.0)
        value, grad, grad_intercept = hf.linear_value_and_grad(
            X, y, coef, 1.0, loss=kind.loss, reduction="sum", alpha=0.5
        )
        assert value == 0.25 * 4 * coef.size
        np.testing.assert_array_equal(grad, 0.5 * coef)
        np.testing.assert_array_equal(grad_intercept, np.zeros(kind.shape))
        with pytest.raises(ValueError):
            hf.linear_value_and_grad(X, y, coef, 1.0, loss=kind.loss)
        assert hf.decision_function(X, coef).shape == (0, *kind.shape)


@every_layout
def test_no_columns(layout):
    """The value at the intercept alone."""
    X = LAYOUTS[layout](np.zeros((4, 0)))
    value, grad, grad_intercept = hf.linear_value_and_grad(X, np.array([1, -1, 1, 1]), np.zeros(0), 0.5)
    assert value == (0.5 * 3 + 1.5) / 4 and grad.shape == (0,) and grad_intercept == (1 - 3) / 4
    np.testing.assert_array_equal(hf.decision_function(X, np.zeros(0), 0.5), np.full(4, 0.5))
    y = np.array([0, 1, 2, 2])
    value, grad, grad_intercept = hf.linear_value_and_grad(
        X, y, np.zeros((3, 0)), [0.5, 0.25, 0.0], loss="crammer_singer"
    )
    assert value == (0.75 + 1.25 + 1.5 + 1.5) / 4 and grad.shape == (3, 0)
    np.testing.assert_array_equal(grad_intercept, np.array([-1 + 3, 1 - 1, -2]) / 4)
    np.testing.assert_array_equal(
        hf.decision_function(X, np.zeros((3, 0)), [0.5, 0.25, 0.0]), [[0.5, 0.25, 0.0]] * 4
    )


# Numbers by hand


@every_layout
def test_exact_numbers(layout):
    """Small dyadic numbers, worked out by hand: nothing may be rounded."""
    X = LAYOUTS[layout](np.array([[2.0, 0.0, 1.0], [0.5, -1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 4.0, 0.25]]))
    y = np.array([1, -1, 1, -1])
    coef, intercept = np.array([1.0, 0.5, -2.0]), 0.25
    # scores .25, .25, .25, .75; margins .25, -.25, .25, -.75; hinge .75, 1.25, .75, 1.75
    np.testing.assert_array_equal(hf.decision_function(X, coef, intercept), [0.25, 0.25, 0.25, 0.75])
    value, grad, grad_intercept = hf.linear_value_and_grad(X, y, coef, intercept)
    assert value == 4.5 / 4 and grad_intercept == 0.0
    np.testing.assert_array_equal(grad, [(-2 + 0.5 - 1) / 4, (-1 + 4) / 4, (-1 + 0.25) / 4])
    value, grad, grad_intercept = hf.linear_value_and_grad(
        X, y, coef, intercept, loss="perceptron", sample_weight=[1, 2, 0, 1], reduction="sum", alpha=2.0
    )
    assert value == 0.5 + 0.75 + 5.25 and grad_intercept == 2 + 1
    np.testing.assert_array_equal(grad, [1 - 1 + 2, -2 + 4 + 1, 0.25 - 4])


@every_layout
def test_exact_numbers_of_classes(layout):
    """Small dyadic numbers, worked out by hand: nothing may be rounded."""
    X = LAYOUTS[layout](np.array([[2.0, 0.0], [0.5, -1.0], [0.0, 0.0]]))
    y = np.array([0, 2, 1])
    coef, intercept = np.array([[1.0, 0.5], [0.5, -0.5], [0.25, 1.0]]), np.array([0.25, 0.0, -0.5])
    # scores (2.25, 1, 0), (0.25, 0.75, -1.375), (0.25, 0, -0.5); the rivals are 1, 1, 0
    scores = [[2.25, 1.0, 0.0], [0.25, 0.75, -1.375], [0.25, 0.0, -0.5]]
    np.testing.assert_array_equal(hf.decision_function(X, coef, intercept), scores)
    value, grad, grad_intercept = hf.linear_value_and_grad(
        X, y, coef, intercept, loss="crammer_singer", reduction="sum", alpha=2.0
    )
    assert value == 0 + 3.125 + 1.25 + (1 + 0.25 + 0.25 + 0.25 + 0.0625 + 1)
    np.testing.assert_array_equal(grad, 2 * coef + [[0, 0], [0.5, -1], [-0.5, 1]])
    np.testing.assert_array_equal(grad_intercept, [1, 0, -1])
    value, grad, grad_intercept = hf.linear_value_and_grad(
        X, y, coef, intercept, loss="weston_watkins", reduction="sum", sample_weight=[1, 2, 4]
    )
    # u of row 1: 2.625, 3.125; of row 2: 1.25, 0.5
    assert value == 2 * 5.75 + 4 * 1.75
    np.testing.assert_array_equal(grad, [[1, -2], [1, -2], [-2, 4]])
    np.testing.assert_array_equal(grad_intercept, [2 + 4, 2 - 8, -4 + 4])


def test_reference_mean_of_the_hinge():
    """The row of reference values: scores as one feature."""
    z = np.array([2, 0.5, -1, -2, 0.5])
    y = np.array([1, 1, 1, -1, -1])
    value, grad, grad_intercept = hf.linear_value_and_grad(z[:, None], y, np.array([1.0]))
    slopes = np.array([0, -0.2, -0.2, 0, 0.2])
    assert value == pytest.approx(0.8, rel=1e-15)
    assert grad[0] == pytest.approx(slopes @ z, rel=1e-15)
    assert grad_intercept == pytest.approx(-0.2, rel=1e-15)


# Labels, weights, classes


@every_layout
@pytest.mark.parametrize(
    "classes,label_dtype",
    [
        (None, np.float64),
        (None, np.int64),
        (None, np.int8),
        (None, bool),
        ((-1, 1), np.float32),
        ((0, 1), np.uint8),
        ((0, 1), np.float64),
        ((1, 2), np.int32),
        ((2, 1), np.int64),
        ((1, -1), np.int8),
        ((7, 250), np.uint8),
        ((-(2**40), 2**40), np.int64),
        ((False, True), bool),
        ((True, False), bool),
    ],
)
def test_classes_and_label_dtypes(layout, classes, label_dtype):
    case = problem(67, 9, seed=33)
    negative, positive = classes or ((False, True) if label_dtype is bool else (-1, 1))
    y = np.where(case.y > 0, positive, negative).astype(label_dtype)
    want = HINGE.expected(case, weights=np.where(case.y > 0, 3.0, 0.5))
    for given in (y, np.repeat(y, 2)[::2]):
        keywords = {"y": given, "classes": classes, "class_weight": (0.5, 3.0)}
        assert_close(HINGE.call(LAYOUTS[layout](case.X), case, **keywords), want)


@every_layout
@pytest.mark.parametrize(
    "classes,label_dtype",
    [
        (None, np.int64),
        (None, np.int8),
        (None, np.uint64),
        (None, np.float32),
        (4, np.float64),
        ([3, 7, -2, 100], np.int16),
        ((9, 8, 7, 6), np.uint8),
        (np.array([2**40, -(2**40), 0, 5]), np.int64),
        ([1, 2, 3, 4], ">i4"),
    ],
)
def test_several_classes_and_label_dtypes(layout, classes, label_dtype):
    (kind,) = CRAMMER_SINGER.of(4)
    case = kind.problem(67, 9, seed=33)
    labels = np.arange(4) if classes is None or isinstance(classes, int) else np.asarray(classes)
    y = labels[case.y].astype(label_dtype)
    by_class = np.array([0.5, 3.0, 1.0, 0.25])
    want = kind.expected(case, weights=by_class[case.y])
    for given in (y, np.repeat(y, 2)[::2]):
        keywords = {"y": given, "classes": classes, "class_weight": by_class}
        assert_close(kind.call(LAYOUTS[layout](case.X), case, **keywords), want)


@every_layout
def test_bool_labels_are_zero_and_one(layout):
    (kind,) = CRAMMER_SINGER.of(2)
    case = kind.problem(67, 9, seed=34)
    assert {0, 1} == set(case.y)
    X = LAYOUTS[layout](case.X)
    assert bits(kind.call(X, case)) == bits(kind.call(X, case, y=case.y.astype(bool)))


@every_kind
@pytest.mark.parametrize("weight_dtype", [np.float64, np.float32, np.int64, np.uint8, np.float16, bool])
def test_weights_of_any_real_dtype(weight_dtype, kind):
    case = kind.problem(67, 9, seed=35)
    weights = np.random.default_rng(1).integers(0, 2 if weight_dtype is bool else 5, 67).astype(weight_dtype)
    assert (weights == 0).any() and (weights > 0).any()
    want = kind.expected(case, weights=weights)
    for convert in LAYOUTS.values():
        assert_close(kind.call(convert(case.X), case, sample_weight=weights), want)


@every_kind
def test_weights_multiply_and_repeat(kind):
    """Integer weights are repetitions of rows, in the sum and in the mean."""
    case = kind.problem(40, 6, seed=35)
    weights = np.random.default_rng(2).integers(0, 4, 40)
    rows = np.repeat(np.arange(40), weights)
    for reduction, convert in product(("mean", "sum"), LAYOUTS.values()):
        want = expected(
            *(case.X[rows], case.y[rows], case.coef, case.intercept, kind.loss),
            reduction=reduction,
            most_unsure=0.2,
        )
        got = kind.call(convert(case.X), case, sample_weight=weights, reduction=reduction)
        assert_close(got, want)


@every_kind
def test_the_mean_is_of_the_weights_and_alpha_is_unscaled(kind):
    case = kind.problem(40, 4, seed=39)
    total = case.weights.sum()
    keywords = {"intercept": 0.5, "sample_weight": case.weights}
    mean, summed = (kind.call(case.X, case, reduction=each, **keywords) for each in ("mean", "sum"))
    assert mean[0] * total == pytest.approx(summed[0], rel=1e-13)
    np.testing.assert_allclose(mean[1] * total, summed[1], rtol=1e-12, atol=1e-13)
    for reduction, plain in (("mean", mean), ("sum", summed)):
        got = kind.call(case.X, case, reduction=reduction, alpha=3.0, **keywords)
        assert got[0] - plain[0] == pytest.approx(1.5 * (case.coef**2).sum(), rel=1e-11)
        np.testing.assert_allclose(got[1] - plain[1], 3.0 * case.coef, rtol=1e-11, atol=1e-12)
        assert np.array_equal(got[2], plain[2])


# Shapes and dtypes of coef and intercept


@every_layout
@both_kinds
@pytest.mark.parametrize("x_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("coef_dtype", [np.float32, np.float64, np.int64, np.float16, ">f8", ">f4"])
def test_dtypes_of_results(layout, x_dtype, coef_dtype, kind):
    case = kind.problem(67, 9, x_dtype, seed=37)
    coef, X = (case.coef * 8).round().astype(coef_dtype), LAYOUTS[layout](case.X)
    result = np.dtype(coef_dtype).newbyteorder("=")
    result = result if result in (np.dtype(np.float32), np.dtype(np.float64)) else np.dtype(np.float64)
    want = expected(
        case.X, case.y, coef.astype(np.float64), case.intercept, kind.loss, alpha=0.5, most_unsure=0.2
    )
    for given in (coef, np.asfortranarray(coef), np.repeat(coef, 2, axis=-1)[..., ::2]):
        got = kind.call(X, case, coef=given, alpha=0.5)
        assert got[1].dtype == result and got[1].dtype.isnative and got[1].flags.c_contiguous
        assert kind.binary or got[2].dtype == result
        assert_close(got, want, out_eps=eps(result))
    assert hf.decision_function(X, coef, case.intercept).dtype == x_dtype
    if coef_dtype is np.int64:
        lists = {"coef": coef.tolist(), "intercept": np.asarray(case.intercept).tolist()}
        assert_close(kind.call(X, case, alpha=0.5, **lists), want)


@every_layout
@both_kinds
def test_float64_sums_of_float32_data(layout, kind):
    """A float64 coef gets a float64 gradient: more digits than float32 has, and never those of the mean rounded."""
    case = kind.problem(200, 5, np.float32, seed=38)
    value, grad, _ = kind.call(LAYOUTS[layout](case.X), case, coef=case.coef.astype(np.float64))
    assert (grad != grad.astype(np.float32)).any()
    assert value != float(np.float32(value))


@every_layout
@every_dtype
def test_a_row_of_coef_as_scikit_learn_has_it(layout, dtype):
    case = problem(67, 9, dtype, seed=39)
    X = LAYOUTS[layout](case.X)
    value, grad, grad_intercept = hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, alpha=0.5)
    coef, intercept = case.coef.reshape(1, -1), np.array([case.intercept], dtype=dtype)
    got = hf.linear_value_and_grad(X, case.y, coef, intercept, alpha=0.5)
    assert got[1].shape == (1, 9) and np.array_equal(got[1][0], grad)
    assert np.shape(got[2]) == (1,) and float(got[2][0]) == pytest.approx(grad_intercept, rel=eps(dtype))
    assert got[0] == value
    scores = hf.decision_function(X, coef, intercept)
    assert scores.shape == (67,)
    np.testing.assert_array_equal(scores, hf.decision_function(X, case.coef, case.intercept))


@pytest.mark.parametrize("intercept", [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), 1, np.int64(1)])
def test_kinds_of_intercept(intercept):
    case = problem(20, 3, seed=40)
    np.testing.assert_array_equal(
        hf.decision_function(case.X, case.coef, intercept),
        hf.decision_function(case.X, case.coef, float(intercept)),
    )


def test_defaults():
    case = problem(20, 3, seed=41)
    want = expected(case.X, case.y, case.coef, 0.0, "hinge")
    assert_close(hf.linear_value_and_grad(case.X, case.y, case.coef), want)
    np.testing.assert_allclose(hf.decision_function(case.X, case.coef), want.scores, rtol=1e-13, atol=1e-14)


@every_layout
@every_dtype
def test_a_float_intercept_is_that_of_each_class(layout, dtype):
    """It broadcasts, and its gradient has K numbers all the same."""
    case = problem(67, 9, dtype, seed=36, n_classes=5)
    X = LAYOUTS[layout](case.X)
    for intercept in (0.5, np.float32(0.5), np.array(0.5), 0, -2):
        whole = np.full(5, intercept, dtype=dtype)
        want = hf.linear_value_and_grad(X, case.y, case.coef, whole, loss="weston_watkins")
        got = hf.linear_value_and_grad(X, case.y, case.coef, intercept, loss="weston_watkins")
        assert got[0] == want[0] and np.array_equal(got[1], want[1])
        assert got[2].shape == (5,) and got[2].dtype == dtype and np.array_equal(got[2], want[2])
        np.testing.assert_array_equal(
            hf.decision_function(X, case.coef, intercept), hf.decision_function(X, case.coef, whole)
        )
    default = hf.linear_value_and_grad(X, case.y, case.coef, loss="weston_watkins")
    zero = hf.linear_value_and_grad(X, case.y, case.coef, np.zeros(5), loss="weston_watkins")
    assert default[0] == zero[0] and np.array_equal(default[1], zero[1])


# Size


SIZES = [
    (20_000, 120, None), (130, 20_000, None), (300_000, 3, None), (2_200_000, 1, None),
    (15_000, 90, 10), (300, 5_000, 5), (150_000, 8, 3),
]  # fmt: skip


@every_dtype
@pytest.mark.parametrize("n,d,n_classes", SIZES)
def test_several_dense_tasks(dtype, n, d, n_classes):
    case = problem(n, d, dtype, seed=42, n_classes=n_classes)
    keys = ("hinge",) if n_classes is None else ("crammer_singer:hinge", "weston_watkins:hinge")
    for (kind,) in (FEW[key].of(n_classes) for key in keys):
        # Thousands of products in float32 leave some rows near a kink or a tie unsure.
        want = kind.expected(case, weights=case.weights, most_unsure=0.2)
        got = kind.call(case.X, case, sample_weight=case.weights)
        assert_close(got, want, out_eps=eps(dtype))


@every_dtype
@pytest.mark.parametrize(
    "kind",
    [HINGE, *CRAMMER_SINGER.of(7), on_a_base("one_vs_rest", "squared_hinge", 7)],
    ids=str,
)
def test_several_csr_tasks(dtype, kind):
    n, d, per_row = (30_000 if kind.binary else 9_000), 1_200, 40
    X, y, coef, intercept = kind.random_csr(n, d, per_row, dtype, seed=43)
    assert n * per_row > 2**16
    plain = sparse.csr_array((X.data, X.indices, X.indptr), shape=X.shape)
    scores = csr_scores(
        X.indices.reshape(n, per_row),
        X.data.reshape(n, per_row),
        np.atleast_2d(coef),
        np.atleast_1d(intercept),
    )
    want = expected(plain, y, coef, intercept, kind.loss, longest=per_row, reduction="sum")
    np.testing.assert_allclose(want.scores, scores.reshape(want.scores.shape), rtol=1e-9, atol=1e-9)
    got = hf.linear_value_and_grad(X, y, coef, intercept, loss=kind.loss, reduction="sum")
    assert_close(got, want, out_eps=eps(dtype))
    got = hf.decision_function(X, coef, intercept)
    assert (np.abs(got - want.scores) <= want.scores_bound).all()


@every_layout
@pytest.mark.parametrize("entries", ["tenths", "thirds", "uniform"])
def test_sums_of_numbers_of_one_sign(layout, entries):
    """Where every rounding may lean the same way: 1e-6 of the sum for float32 all the same."""
    n, d, n_classes = 40_000, 19, 3
    X = {
        "tenths": np.full((n, d), 0.1),
        "thirds": np.full((n, d), 1 / 3),
        "uniform": np.random.default_rng(0).uniform(0.5, 1.0, (n, d)),
    }[entries].astype(np.float32)
    y = np.zeros(n, dtype=np.int8)
    exact = X.astype(np.float64).sum(axis=0)
    for loss, slopes in (("weston_watkins", (-2, 1, 1)), ("crammer_singer", (-1, 1, 0))):
        _, grad, grad_intercept = hf.linear_value_and_grad(
            LAYOUTS[layout](X), y, np.zeros((n_classes, d)), loss=loss, reduction="sum"
        )
        for k, slope in enumerate(slopes):
            assert (np.abs(grad[k] - slope * exact) <= 1e-6 * abs(slope) * exact).all()
        np.testing.assert_array_equal(grad_intercept, np.multiply(slopes, n))
    _, grad, grad_intercept = hf.linear_value_and_grad(
        LAYOUTS[layout](X), np.ones(n, np.int8), np.zeros(d), reduction="sum"
    )
    assert (np.abs(grad + exact) <= 1e-6 * exact).all() and grad_intercept == -n


@every_layout
def test_subnormals_are_kept(layout):
    tiny = np.full((9, 3), 5e-324)
    scores = hf.decision_function(LAYOUTS[layout](tiny), np.array([1.0, 2.0, 4.0]))
    assert (scores == 7 * 5e-324).all()
    small = np.full((9, 3), 1e-45, dtype=np.float32)
    scores = hf.decision_function(LAYOUTS[layout](small), np.array([1.0, 2.0, 4.0], dtype=np.float32))
    assert (scores == 7 * np.float32(1e-45)).all()
    coef = np.array([[1.0, 2.0, 4.0], [1.0, 1.0, 1.0]])
    scores = hf.decision_function(LAYOUTS[layout](tiny), coef)
    assert (scores[:, 0] == 7 * 5e-324).all() and (scores[:, 1] == 3 * 5e-324).all()


# Numbers that are not finite


def test_coefs_not_finite_follow_ieee():
    """+inf and -inf as IEEE says, NaN in NaN out."""
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [2.0, 3.0]])
    y = np.array([1, 1, -1])
    np.testing.assert_array_equal(hf.decision_function(X, [np.inf, 1.0]), X @ [np.inf, 1.0])
    np.testing.assert_array_equal(hf.decision_function(X, [np.nan, 1.0]), [np.nan] * 3)
    sparse = as_csr(X)
    np.testing.assert_array_equal(hf.decision_function(sparse, [np.inf, 1.0]), [np.inf, -np.inf, np.inf])
    for A in (X, sparse):
        value, _, _ = hf.linear_value_and_grad(A, y, np.array([np.inf, 1.0]))
        assert value == np.inf
        value, _, _ = hf.linear_value_and_grad(A, y, np.array([np.nan, 1.0]))
        assert np.isnan(value)
        value, _, _ = hf.linear_value_and_grad(A, y, np.array([1.0, 1.0]), np.nan)
        assert np.isnan(value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_not_finite_follow_ieee(dtype):
    X = np.arange(1.0, 13.0).reshape(4, 3).astype(dtype)
    y = np.array([1, -1, -1, 1])
    coef = np.array([0.5, -0.25, 0.125], dtype=dtype)
    for bad in (np.inf, -np.inf, np.nan):
        Z = X.copy()
        Z[2, 1] = bad
        for A in (Z, as_csr(Z)):
            scores = hf.decision_function(A, coef)
            np.testing.assert_array_equal(scores, Z @ coef)
            value, grad, grad_intercept = hf.linear_value_and_grad(A, y, coef)
            if np.isnan(bad):
                assert np.isnan(value) and np.isnan(grad).all() and np.isnan(grad_intercept)
            elif bad < 0:  # z = +inf against y = -1: an infinite loss of slope +1
                assert value == np.inf and grad[1] == -np.inf and np.isfinite(grad[[0, 2]]).all()
            else:  # z = -inf, right and far away: nothing
                assert np.isfinite(value) and np.isfinite(grad).all()


def test_coefs_of_classes_not_finite_follow_ieee():
    X = np.array([[1.0, 0.5], [-1.0, 0.5], [2.0, 3.0]])
    coef = np.array([[np.inf, 1.0], [1.0, 1.0], [0.5, -1.0]])
    for A in (X, as_csr(X)):
        np.testing.assert_array_equal(hf.decision_function(A, coef), X @ coef.T)
        # scores (inf, 1.5, 0), (-inf, -0.5, -1), (inf, 5, -2): only row 1 is inside the margin, by 0.5
        value, grad, _ = hf.linear_value_and_grad(A, [0, 1, 0], coef, loss="crammer_singer", reduction="sum")
        assert value == 0.5
        np.testing.assert_array_equal(grad, [[0, 0], [1, -0.5], [-1, 0.5]])
        assert hf.linear_value_and_grad(A, [0, 1, 1], coef, loss="crammer_singer")[0] == np.inf
        coef_nan = np.where(np.isinf(coef), np.nan, coef)
        assert np.isnan(hf.linear_value_and_grad(A, [0, 1, 0], coef_nan, loss="crammer_singer")[0])


# Gradients too large for one a task


@pytest.mark.parametrize("n_threads", [1, 2])
def test_gradient_too_large_for_one_a_task(n_threads):
    """More than 64 MiB: all tasks add into one accumulator, in the order of rows."""
    n, per_row, d = 5000, 60, 9_000_000
    rng = np.random.default_rng(44)
    indices = np.sort(rng.integers(0, d, (n, per_row)), axis=1).astype(np.int32)
    X = SimpleNamespace(
        indptr=np.arange(0, n * per_row + 1, per_row),
        indices=indices.ravel(),
        data=rng.standard_normal(n * per_row),
        shape=(n, d),
        format="csr",
    )
    y = np.where(rng.random(n) < 0.5, -1, 1)
    coef = rng.standard_normal(d) * 0.1
    value, grad, grad_intercept = hf.linear_value_and_grad(X, y, coef, 0.25, n_threads=n_threads)
    entries = X.data.reshape(n, per_row)
    slack = 1 - y * ((entries * coef[indices]).sum(axis=1) + 0.25)
    assert 0.1 < np.mean(slack > 0) < 0.9
    slopes = np.where(slack > 0, -y, 0) / n
    want = np.zeros(d)
    np.add.at(want, indices.ravel(), (entries * slopes[:, None]).ravel())
    np.testing.assert_allclose(grad, want, rtol=0, atol=1e-15)
    np.testing.assert_allclose(value, np.maximum(slack, 0).mean(), rtol=1e-13)
    np.testing.assert_allclose(grad_intercept, slopes.sum(), rtol=1e-13)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("sparse_too", [False, True], ids=["dense", "csr"])
def test_blocks_that_take_turns_at_one_gradient_are_whole(sparse_too, n_threads):
    """Of so many products that a call could look for Ctrl-C more often than once a block: none of its rows is lost."""
    rng = np.random.default_rng(78)
    if sparse_too:
        n_classes, n, d = 2, 1_200, 300_000
        X = sparse.csr_array(
            (rng.standard_normal(4 * n), rng.integers(0, d, 4 * n), np.arange(n + 1) * 4), shape=(n, d)
        )
    else:
        n_classes, n, d = 1_000, 70, 9_000
        X = rng.standard_normal((n, d)).astype(np.float32)
    coef = (rng.standard_normal((n_classes, d)) / 100).astype(X.dtype)
    assert 60 * n_classes * d > 2**27 / 4 and n_classes * d * 8 > 2**20
    y = rng.integers(0, n_classes, n)
    value, slopes = hf.CrammerSinger().value_and_grad(y, hf.decision_function(X, coef))
    assert (slopes != 0).any(axis=1).mean() > 0.9
    got = hf.linear_value_and_grad(X, y, coef, loss="crammer_singer", n_threads=n_threads)
    assert got[0] == pytest.approx(value, rel=1e-12)
    want = np.asarray(X.T @ slopes).T
    assert np.abs(got[1] - want).max() < 1e-6
    np.testing.assert_allclose(got[2], slopes.sum(axis=0, dtype=np.float64), atol=1e-6)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_very_wide_rows(n_threads):
    """Rows so long that a few of them are worth a look for Ctrl-C, and a gradient beyond 64 MiB: blocks stay whole."""
    n, d, n_classes = 19, 1_100_000, 8
    rng = np.random.default_rng(77)
    X = rng.standard_normal((n, d)).astype(np.float32)
    coef = (rng.standard_normal((n_classes, d)) / 1000).astype(np.float32)
    y = rng.integers(0, n_classes, n)
    scores = hf.decision_function(X, coef, n_threads=n_threads)
    assert np.unique(scores.argmax(axis=1)).size > 2
    value, slopes = hf.CrammerSinger().value_and_grad(y, scores)
    got = hf.linear_value_and_grad(X, y, coef, loss="crammer_singer", n_threads=n_threads)
    assert got[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(got[1], slopes.T.astype(np.float64) @ X, rtol=0, atol=1e-6 * np.abs(X).max())
    np.testing.assert_allclose(got[2], slopes.sum(axis=0, dtype=np.float64), atol=1e-6)
