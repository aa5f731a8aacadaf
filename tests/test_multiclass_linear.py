"""Promise: value, gradient and scores of linear models of K classes are right, for every loss, shape and keyword."""

import multiclass_reference as oracle
import numpy as np
import pytest
from conftest import every_dtype
from kinds import as_csr
from multiclass_cases import (
    FEW,
    assert_close,
    csr_scores,
    every_multiclass_loss,
    expected,
    problem,
    random_csr,
)
from scipy import sparse

import hingefast as hf

WIDTHS = [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 255, 256, 257, 511, 512, 513, 1030]
HEIGHTS = [1, 2, 3, 4, 5, 7, 8, 9, 31, 63, 64, 65, 127, 130]
CLASSES = [2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 65]
LAYOUTS = {"dense": np.asarray, "fortran": np.asfortranarray, "csr": as_csr}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def eps(dtype):
    return float(np.finfo(dtype).eps)


def check(X, case, loss, want, **keywords):
    got = hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, loss=loss, **keywords)
    assert_close(got, want, out_eps=eps(case.coef.dtype))
    assert type(got[0]) is float
    assert got[1].dtype == got[2].dtype == case.coef.dtype
    assert got[1].shape == case.coef.shape and got[2].shape == case.intercept.shape
    assert got[1].flags.c_contiguous


@every_multiclass_loss
@every_dtype
def test_every_loss(make, dtype):
    for n, d, n_classes in ((9, 3, 2), (45, 20, 5), (40, 9, 17)):
        loss = make(n_classes)
        case = problem(n, d, n_classes, dtype, seed=31)
        by_class = np.linspace(0.5, 2, n_classes)
        for keywords, weights in (
            ({}, np.ones(n)),
            ({"alpha": 0.7, "sample_weight": case.weights}, case.weights),
            ({"alpha": 0.7, "class_weight": by_class, "reduction": "sum"}, by_class[case.y]),
        ):
            want = expected(
                case.X,
                case.y,
                case.coef,
                case.intercept,
                loss,
                alpha=keywords.get("alpha", 0.0),
                weights=weights,
                reduction=keywords.get("reduction", "mean"),
            )
            for convert in LAYOUTS.values():
                check(convert(case.X), case, loss, want, **keywords)


@every_multiclass_loss
def test_against_the_slow_oracle(make):
    """One number at a time, in plain Python; far from ties and kinks nothing but roundings apart."""
    loss = make(4)
    case = problem(11, 5, 4, seed=30)
    value, grad, grad_intercept = oracle.linear_value_and_grad(
        oracle.definition(loss), case.X, case.y, case.coef, case.intercept, 0.3, case.weights
    )
    for convert in LAYOUTS.values():
        got = hf.linear_value_and_grad(
            convert(case.X),
            case.y,
            case.coef,
            case.intercept,
            loss=loss,
            alpha=0.3,
            sample_weight=case.weights,
        )
        assert got[0] == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(got[1], grad, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(got[2], grad_intercept, rtol=1e-11, atol=1e-12)


def check_shape(n, d, n_classes, dtype):
    case = problem(n, d, n_classes, dtype, seed=32)
    for loss in (hf.CrammerSinger(), hf.WestonWatkins("squared_hinge")):
        # With few rows one that lies at a kink or tie is many.
        want = expected(case.X, case.y, case.coef, case.intercept, loss, most_unsure=max(0.05, 1.5 / n))
        for convert in LAYOUTS.values():
            check(convert(case.X), case, loss, want)
    for convert in LAYOUTS.values():
        scores = hf.decision_function(convert(case.X), case.coef, case.intercept)
        assert scores.dtype == dtype and scores.shape == (n, n_classes) and scores.flags.c_contiguous
        assert (np.abs(scores - want.scores) <= want.scores_bound).all()


@pytest.mark.parametrize("d", WIDTHS)
@every_dtype
def test_every_width(d, dtype):
    for n, n_classes in ((3, 2), (9, 10), (66, 5), (34, 17)):
        check_shape(n, d, n_classes, dtype)


@pytest.mark.parametrize("n_classes", CLASSES)
@every_dtype
def test_every_number_of_classes(n_classes, dtype):
    for n, d in ((5, 8), (13, 33), (64, 3), (67, 17)):
        check_shape(n, d, n_classes, dtype)


@pytest.mark.parametrize("n", HEIGHTS)
@every_dtype
def test_every_height(n, dtype):
    for d, n_classes in ((1, 3), (16, 2), (9, 9), (40, 16)):
        check_shape(n, d, n_classes, dtype)


@every_dtype
@pytest.mark.parametrize("n_classes", [100, 257, 1000])
def test_many_classes(n_classes, dtype):
    """Panels of classes, of which the last is not full."""
    check_shape(70, 37, n_classes, dtype)
    case = problem(40, 300, n_classes, dtype, seed=33)
    for key in ("crammer_singer:squared_hinge", "one_vs_rest:hinge", "top_2_beta", "top_all_alpha"):
        loss = FEW[key](n_classes)
        want = expected(case.X, case.y, case.coef, case.intercept, loss, most_unsure=0.2)
        for convert in LAYOUTS.values():
            check(convert(case.X), case, loss, want)


@every_layout
def test_exact_numbers(layout):
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


# Labels, weights, classes, intercepts


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
def test_classes_and_label_dtypes(layout, classes, label_dtype):
    case = problem(67, 9, 4, seed=33)
    labels = np.arange(4) if classes is None or isinstance(classes, int) else np.asarray(classes)
    y = labels[case.y].astype(label_dtype)
    by_class = np.array([0.5, 3.0, 1.0, 0.25])
    want = expected(case.X, case.y, case.coef, case.intercept, hf.CrammerSinger(), weights=by_class[case.y])
    for given in (y, np.repeat(y, 2)[::2]):
        got = hf.linear_value_and_grad(
            LAYOUTS[layout](case.X),
            given,
            case.coef,
            case.intercept,
            loss="crammer_singer",
            classes=classes,
            class_weight=by_class,
        )
        assert_close(got, want)


@every_layout
def test_bool_labels_are_zero_and_one(layout):
    case = problem(67, 9, 2, seed=34)
    assert {0, 1} == set(case.y)
    results = [
        hf.linear_value_and_grad(LAYOUTS[layout](case.X), y, case.coef, 0.5, loss="crammer_singer")
        for y in (case.y, case.y.astype(bool))
    ]
    assert results[0][0] == results[1][0] and np.array_equal(results[0][1], results[1][1])


@every_layout
@pytest.mark.parametrize("weight_dtype", [np.float64, np.float32, np.int64, np.uint8, np.float16, bool])
def test_weights_of_any_real_dtype(layout, weight_dtype):
    case = problem(67, 9, 5, seed=35)
    weights = np.random.default_rng(1).integers(0, 2 if weight_dtype is bool else 5, 67).astype(weight_dtype)
    assert (weights == 0).any() and (weights > 0).any()
    loss = hf.WestonWatkins("logistic")
    want = expected(case.X, case.y, case.coef, case.intercept, loss, weights=weights)
    got = hf.linear_value_and_grad(
        LAYOUTS[layout](case.X), case.y, case.coef, case.intercept, loss=loss, sample_weight=weights
    )
    assert_close(got, want)


@every_layout
@every_dtype
def test_a_float_intercept_is_that_of_each_class(layout, dtype):
    """It broadcasts, and its gradient has K numbers all the same."""
    case = problem(67, 9, 5, dtype, seed=36)
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


@every_layout
@pytest.mark.parametrize("x_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("coef_dtype", [np.float32, np.float64, np.int64, np.float16, ">f8", ">f4"])
def test_dtypes_of_results(layout, x_dtype, coef_dtype):
    case = problem(67, 9, 5, x_dtype, seed=37)
    coef = (case.coef * 8).round().astype(coef_dtype)
    X = LAYOUTS[layout](case.X)
    loss = hf.CrammerSinger("squared_hinge")
    result = np.dtype(coef_dtype).newbyteorder("=")
    result = result if result in (np.dtype(np.float32), np.dtype(np.float64)) else np.dtype(np.float64)
    want = expected(case.X, case.y, coef.astype(np.float64), case.intercept, loss, alpha=0.5)
    for given in (coef, np.asfortranarray(coef), np.repeat(coef, 2, axis=1)[:, ::2]):
        got = hf.linear_value_and_grad(X, case.y, given, case.intercept, loss=loss, alpha=0.5)
        assert got[1].dtype == got[2].dtype == result and got[1].dtype.isnative
        assert got[1].flags.c_contiguous
        assert_close(got, want, out_eps=eps(result))
    assert hf.decision_function(X, coef, case.intercept).dtype == x_dtype
    if coef_dtype is np.int64:
        assert_close(
            hf.linear_value_and_grad(X, case.y, coef.tolist(), case.intercept.tolist(), loss=loss, alpha=0.5),
            want,
        )


@every_layout
def test_float64_sums_of_float32_data(layout):
    """A float64 coef gets a float64 gradient: more digits than float32 has."""
    case = problem(200, 5, 4, np.float32, seed=38)
    value, grad, _ = hf.linear_value_and_grad(
        LAYOUTS[layout](case.X), case.y, case.coef.astype(np.float64), loss="crammer_singer"
    )
    assert (grad != grad.astype(np.float32)).any()
    assert value != float(np.float32(value))


def test_the_mean_is_of_the_weights_and_alpha_is_unscaled():
    case = problem(40, 4, 3, seed=39)
    total = case.weights.sum()
    keywords = {"loss": "weston_watkins", "sample_weight": case.weights}
    mean = hf.linear_value_and_grad(case.X, case.y, case.coef, 0.5, **keywords)
    summed = hf.linear_value_and_grad(case.X, case.y, case.coef, 0.5, reduction="sum", **keywords)
    assert mean[0] * total == pytest.approx(summed[0], rel=1e-13)
    np.testing.assert_allclose(mean[1] * total, summed[1], rtol=1e-12, atol=1e-13)
    for reduction, plain in (("mean", mean), ("sum", summed)):
        got = hf.linear_value_and_grad(
            case.X, case.y, case.coef, 0.5, reduction=reduction, alpha=3.0, **keywords
        )
        assert got[0] - plain[0] == pytest.approx(1.5 * (case.coef**2).sum(), rel=1e-12)
        np.testing.assert_allclose(got[1] - plain[1], 3.0 * case.coef, rtol=1e-11, atol=1e-12)
        assert np.array_equal(got[2], plain[2])


# out


@every_layout
@every_dtype
def test_out(layout, dtype):
    case = problem(67, 9, 5, dtype, seed=40)
    X = LAYOUTS[layout](case.X)
    keywords = {"loss": "weston_watkins", "alpha": 0.25}
    want = hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, **keywords)
    grad, grad_intercept = np.full((5, 9), np.nan, dtype=dtype), np.full(5, np.nan, dtype=dtype)
    got = hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, out=grad, **keywords)
    assert got[1] is grad and np.array_equal(grad, want[1]) and np.array_equal(got[2], want[2])
    grad[:] = np.nan
    got = hf.linear_value_and_grad(
        X, case.y, case.coef, case.intercept, out=(grad, grad_intercept), **keywords
    )
    assert got[1] is grad and got[2] is grad_intercept and got[0] == want[0]
    assert np.array_equal(grad, want[1]) and np.array_equal(grad_intercept, want[2])
    scores = np.full((67, 5), np.nan, dtype=dtype)
    assert hf.decision_function(X, case.coef, case.intercept, out=scores) is scores
    assert np.array_equal(scores, hf.decision_function(X, case.coef, case.intercept))


# Few and no rows and columns


@pytest.mark.parametrize("d", [0, 1, 5])
@every_layout
def test_no_rows(layout, d):
    X, y = LAYOUTS[layout](np.zeros((0, d))), np.zeros(0, np.int8)
    coef = np.full((3, d), 2.0)
    for loss in ("crammer_singer", "weston_watkins", "one_vs_rest"):
        value, grad, grad_intercept = hf.linear_value_and_grad(
            X, y, coef, 1.0, loss=loss, reduction="sum", alpha=0.5
        )
        assert value == 0.25 * 4 * 3 * d
        np.testing.assert_array_equal(grad, 0.5 * coef)
        np.testing.assert_array_equal(grad_intercept, np.zeros(3))
        with pytest.raises(ValueError):
            hf.linear_value_and_grad(X, y, coef, 1.0, loss=loss)
    assert hf.decision_function(X, coef).shape == (0, 3)


@every_layout
def test_no_columns(layout):
    """The value at the intercepts alone."""
    X = LAYOUTS[layout](np.zeros((4, 0)))
    y = np.array([0, 1, 2, 2])
    value, grad, grad_intercept = hf.linear_value_and_grad(
        X, y, np.zeros((3, 0)), [0.5, 0.25, 0.0], loss="crammer_singer"
    )
    assert value == (0.75 + 1.25 + 1.5 + 1.5) / 4 and grad.shape == (3, 0)
    np.testing.assert_array_equal(grad_intercept, np.array([-1 + 3, 1 - 1, -2]) / 4)
    np.testing.assert_array_equal(
        hf.decision_function(X, np.zeros((3, 0)), [0.5, 0.25, 0.0]), [[0.5, 0.25, 0.0]] * 4
    )


@every_layout
@every_dtype
def test_one_row(layout, dtype):
    case = problem(1, 9, 5, dtype, seed=41)
    for c in range(5):
        y = np.array([c])
        for loss in (hf.CrammerSinger("logistic"), hf.WestonWatkins("logistic"), hf.OneVsRest("logistic")):
            want = expected(case.X, y, case.coef, case.intercept, loss, most_unsure=1.0)
            got = hf.linear_value_and_grad(LAYOUTS[layout](case.X), y, case.coef, case.intercept, loss=loss)
            assert_close(got, want, out_eps=eps(dtype))


# Size


@every_dtype
@pytest.mark.parametrize("n,d,n_classes", [(15_000, 90, 10), (300, 5_000, 5), (150_000, 8, 3)])
def test_several_dense_tasks(dtype, n, d, n_classes):
    assert n * d > 2**20
    case = problem(n, d, n_classes, dtype, seed=42)
    for loss in (hf.CrammerSinger(), hf.WestonWatkins()):
        # Thousands of products in float32 leave some rows near a kink or a tie unsure.
        want = expected(
            case.X, case.y, case.coef, case.intercept, loss, weights=case.weights, most_unsure=0.2
        )
        check(case.X, case, loss, want, sample_weight=case.weights)


@every_dtype
def test_several_csr_tasks(dtype):
    n, d, per_row, n_classes = 9_000, 1_200, 40, 7
    X, y, coef, intercept = random_csr(n, d, per_row, n_classes, dtype, seed=43)
    assert n * per_row > 2**18
    plain = sparse.csr_array((X.data, X.indices, X.indptr), shape=X.shape)
    scores = csr_scores(X.indices.reshape(n, per_row), X.data.reshape(n, per_row), coef, intercept)
    for loss in (hf.CrammerSinger(), hf.OneVsRest("squared_hinge")):
        want = expected(plain, y, coef, intercept, loss, matrix=per_row)
        np.testing.assert_allclose(want.scores, scores, rtol=1e-9, atol=1e-9)
        got = hf.linear_value_and_grad(X, y, coef, intercept, loss=loss)
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


@every_layout
def test_subnormals_are_kept(layout):
    tiny = np.full((9, 3), 5e-324)
    coef = np.array([[1.0, 2.0, 4.0], [1.0, 1.0, 1.0]])
    scores = hf.decision_function(LAYOUTS[layout](tiny), coef)
    assert (scores[:, 0] == 7 * 5e-324).all() and (scores[:, 1] == 3 * 5e-324).all()


def test_coefs_not_finite_follow_ieee():
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
