"""Promise: value, gradient and scores of linear models are right, for every loss, shape, layout and keyword."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import every_dtype
from kinds import as_csr, assert_close, every_loss, expected, problem, random_csr

import hingefast as hf

WIDTHS = [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 200]
HEIGHTS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 130, 200]
LAYOUTS = {"dense": np.asarray, "fortran": np.asfortranarray, "csr": as_csr}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def eps(dtype):
    return float(np.finfo(dtype).eps)


def check(X, case, loss, want, **keywords):
    got = hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, loss=loss, **keywords)
    assert_close(got, want, out_eps=eps(case.coef.dtype))
    assert type(got[0]) is float and type(got[2]) is float
    assert got[1].dtype == case.coef.dtype and got[1].shape == case.coef.shape


@every_loss
@every_dtype
@pytest.mark.parametrize("n,d", [(9, 3), (70, 20)])
def test_every_loss(loss, dtype, n, d):
    case = problem(n, d, dtype, seed=31)
    for alpha, weights, reduction in (
        (0.0, None, "mean"),
        (0.7, case.weights, "mean"),
        (0.7, case.weights, "sum"),
    ):
        want = expected(
            case.X,
            case.y,
            case.coef,
            case.intercept,
            loss,
            alpha=alpha,
            weights=weights,
            reduction=reduction,
        )
        for convert in LAYOUTS.values():
            X = convert(case.X)
            check(X, case, loss, want, alpha=alpha, sample_weight=weights, reduction=reduction)


@pytest.mark.parametrize("d", WIDTHS)
@every_dtype
def test_every_shape(d, dtype):
    for n in HEIGHTS:
        case = problem(n, d, dtype, seed=32)
        for loss in ("hinge", "squared_hinge"):
            want = expected(case.X, case.y, case.coef, case.intercept, loss)
            for convert in LAYOUTS.values():
                check(convert(case.X), case, loss, want)
        for convert in LAYOUTS.values():
            scores = hf.decision_function(convert(case.X), case.coef, case.intercept)
            assert scores.dtype == dtype and scores.shape == (n,)
            assert (np.abs(scores - want.scores) <= want.scores_bound).all()


@pytest.mark.parametrize("d", [600, 1500, 3001, 5000])
@every_dtype
def test_long_rows(d, dtype):
    """On both sides of 4 KB and of 16 KB a row, from which on other loops take them."""
    for n in (1, 2, 3, 4, 5, 7, 9, 64, 70):
        case = problem(n, d, dtype, seed=46)
        for loss, weights in (("squared_hinge", None), ("logistic", case.weights)):
            want = expected(case.X, case.y, case.coef, case.intercept, loss, weights=weights)
            for convert in LAYOUTS.values():
                check(convert(case.X), case, loss, want, sample_weight=weights)
        for convert in LAYOUTS.values():
            scores = hf.decision_function(convert(case.X), case.coef, case.intercept)
            assert (np.abs(scores - want.scores) <= want.scores_bound).all()


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
    "classes,dtype",
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
def test_classes_and_label_dtypes(layout, classes, dtype):
    case = problem(67, 9, seed=33)
    X = LAYOUTS[layout](case.X)
    negative, positive = classes or ((False, True) if dtype is bool else (-1, 1))
    y = np.where(case.y > 0, positive, negative).astype(dtype)
    weights = np.where(case.y > 0, 3.0, 0.5)
    want = expected(case.X, case.y, case.coef, case.intercept, "hinge", weights=weights)
    got = hf.linear_value_and_grad(X, y, case.coef, case.intercept, classes=classes, class_weight=(0.5, 3.0))
    assert_close(got, want)


@every_layout
@pytest.mark.parametrize("weight_dtype", [np.float64, np.float32, np.int64, np.uint8, np.float16, bool])
def test_weights_of_any_real_dtype(layout, weight_dtype):
    case = problem(67, 9, seed=34)
    weights = np.random.default_rng(1).integers(0, 2 if weight_dtype is bool else 5, 67).astype(weight_dtype)
    assert (weights == 0).any() and (weights > 0).any()
    want = expected(case.X, case.y, case.coef, case.intercept, "logistic", weights=weights)
    got = hf.linear_value_and_grad(
        LAYOUTS[layout](case.X), case.y, case.coef, case.intercept, loss="logistic", sample_weight=weights
    )
    assert_close(got, want)


@every_layout
def test_weights_multiply_and_repeat(layout):
    """Integer weights are repetitions of rows, in the sum and in the mean."""
    case = problem(40, 6, seed=35)
    weights = np.random.default_rng(2).integers(0, 4, 40)
    rows = np.repeat(np.arange(40), weights)
    want = expected(case.X[rows], case.y[rows], case.coef, case.intercept, "squared_hinge")
    got = hf.linear_value_and_grad(
        LAYOUTS[layout](case.X),
        case.y,
        case.coef,
        case.intercept,
        loss="squared_hinge",
        sample_weight=weights,
    )
    assert_close(got, want)


def test_the_mean_is_of_the_weights_and_alpha_is_unscaled():
    case = problem(33, 4, seed=36)
    total = case.weights.sum()
    mean = hf.linear_value_and_grad(case.X, case.y, case.coef, 0.5, sample_weight=case.weights)
    summed = hf.linear_value_and_grad(
        case.X, case.y, case.coef, 0.5, sample_weight=case.weights, reduction="sum"
    )
    assert mean[0] * total == pytest.approx(summed[0], rel=1e-13)
    np.testing.assert_allclose(mean[1] * total, summed[1], rtol=1e-12)
    for reduction, plain in (("mean", mean), ("sum", summed)):
        got = hf.linear_value_and_grad(
            case.X, case.y, case.coef, 0.5, sample_weight=case.weights, reduction=reduction, alpha=3.0
        )
        assert got[0] - plain[0] == pytest.approx(1.5 * (case.coef @ case.coef), rel=1e-12)
        np.testing.assert_allclose(got[1] - plain[1], 3.0 * case.coef, rtol=1e-11, atol=1e-12)
        assert got[2] == plain[2]


# Shapes and dtypes of coef and intercept


@every_layout
@pytest.mark.parametrize("x_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("coef_dtype", [np.float32, np.float64, np.int64, np.float16, ">f8", ">f4"])
def test_dtypes_of_results(layout, x_dtype, coef_dtype):
    case = problem(67, 9, x_dtype, seed=37)
    coef = (case.coef * 8).round().astype(coef_dtype)
    got = hf.linear_value_and_grad(LAYOUTS[layout](case.X), case.y, coef, case.intercept, alpha=0.5)
    result = np.dtype(coef_dtype).newbyteorder("=")
    result = result if result in (np.dtype(np.float32), np.dtype(np.float64)) else np.dtype(np.float64)
    assert got[1].dtype == result and got[1].dtype.isnative
    scores = hf.decision_function(LAYOUTS[layout](case.X), coef, case.intercept)
    assert scores.dtype == x_dtype
    want = expected(case.X, case.y, coef.astype(np.float64), case.intercept, "hinge", alpha=0.5)
    assert_close(got, want, out_eps=eps(result))


@every_layout
def test_float64_sums_of_float32_data(layout):
    """A float64 coef gets a float64 gradient: more digits than float32 has, and never those of the mean rounded."""
    case = problem(200, 5, np.float32, seed=38)
    coef = case.coef.astype(np.float64)
    value, grad, _ = hf.linear_value_and_grad(LAYOUTS[layout](case.X), case.y, coef)
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


# Size


@every_dtype
@pytest.mark.parametrize("n,d", [(20_000, 120), (130, 20_000), (300_000, 3), (2_200_000, 1)])
def test_several_dense_tasks(dtype, n, d):
    case = problem(n, d, dtype, seed=42)
    X = case.X.astype(np.float64)
    coef = case.coef.astype(np.float64)
    scores = X @ coef + case.intercept
    u = 1 - case.y * scores
    # float32 scores: rows closer to the kink than their rounding error may fall to either side; none is here.
    bound = (d + 2) * eps(dtype) * (np.abs(X) @ np.abs(coef) + abs(case.intercept))
    unsure = np.abs(u) <= bound
    active = u > 0
    slopes = np.where(active, -case.y, 0.0)
    got = hf.linear_value_and_grad(case.X, case.y, case.coef, case.intercept, reduction="sum")
    relative = 1e-6 if dtype is np.float32 else 2.0**-40
    absolute = np.abs(X)
    assert abs(got[0] - u[active].sum()) <= bound[active | unsure].sum() + relative * u[active].sum()
    grad_bound = absolute.T @ unsure + (relative + eps(dtype)) * (absolute.T @ np.abs(slopes))
    assert (np.abs(got[1] - slopes @ X) <= grad_bound).all()
    assert abs(got[2] - slopes.sum()) <= unsure.sum() + relative * active.sum()


@every_dtype
def test_several_csr_tasks(dtype):
    X, y, coef, intercept = random_csr(30_000, 1_200, 40, dtype, seed=43)
    data, columns = X.data.astype(np.float64).reshape(-1, 40), X.indices.reshape(-1, 40)
    terms = data * coef.astype(np.float64)[columns]
    scores = terms.sum(axis=1) + intercept
    got_scores = hf.decision_function(X, coef, intercept)
    bound = 42 * eps(dtype) * (np.abs(terms).sum(axis=1) + intercept)
    assert (np.abs(got_scores - scores) <= bound).all()
    u = 1 - y * scores
    unsure = np.abs(u) <= bound
    slopes = np.where(u > 0, -y, 0.0)
    got = hf.linear_value_and_grad(X, y, coef, intercept, reduction="sum")
    relative = 1e-6 if dtype is np.float32 else 2.0**-40

    def gather(per_row, values):
        return np.bincount(columns.ravel(), weights=(per_row[:, None] * values).ravel(), minlength=1_200)

    grad_bound = gather(unsure * 1.0, np.abs(data))
    grad_bound += (relative + eps(dtype)) * gather(np.abs(slopes), np.abs(data))
    assert (np.abs(got[1] - gather(slopes, data)) <= grad_bound).all()
    assert abs(got[0] - np.maximum(u, 0).sum()) <= bound[u > -bound].sum() + relative * np.maximum(u, 0).sum()


@every_layout
def test_subnormals_are_kept(layout):
    tiny = np.full((9, 3), 5e-324)
    scores = hf.decision_function(LAYOUTS[layout](tiny), np.array([1.0, 2.0, 4.0]))
    assert (scores == 7 * 5e-324).all()
    small = np.full((9, 3), 1e-45, dtype=np.float32)
    scores = hf.decision_function(LAYOUTS[layout](small), np.array([1.0, 2.0, 4.0], dtype=np.float32))
    assert (scores == 7 * np.float32(1e-45)).all()


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
