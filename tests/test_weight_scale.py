"""Promise: weights scale out. All of them times one number: the mean and its gradient change by rounding only.

Whatever that number is, as long as the weights are finite and not all zero, whatever the dtype of scores or X, and in
every call: a weight in float64 lies far outside the range of float32 easily.
"""

from fractions import Fraction

import numpy as np
import pytest
from conftest import DTYPES, bits
from kinds import WHOLE_CATALOGUE, as_csr, problem

import hingefast as hf

SCALES = (1e-310, 1e-300, 1e-50, 1e-42, 2.0**-149, 1e30, 1e39, 1e300)
SCORED = {key: WHOLE_CATALOGUE[key] for key in ("hinge", "squared_hinge-wide", "psi_g", "psi_m", "logistic")}
SCORED |= {
    f"{kind} of 4": kind.of(4)[0]
    for kind in (
        *(WHOLE_CATALOGUE[f"crammer_singer:{base}"] for base in ("hinge", "logistic")),
        WHOLE_CATALOGUE["weston_watkins:squared_hinge"],
        WHOLE_CATALOGUE["one_vs_rest:psi_m"],
        *(WHOLE_CATALOGUE[name] for name in ("top_2_alpha", "top_2_beta", "cost_sensitive_hinge")),
    )
}
LAYOUTS = {
    "dense": lambda X: X,
    "fortran": np.asfortranarray,
    "tile": lambda X: X.astype(X.dtype.newbyteorder("S")),
    "csr": as_csr,
}

every_scale = pytest.mark.parametrize("scale", SCALES, ids=str)
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["f32", "f64"])


def relative(dtype):
    """A weight is rounded at most three times more than without its scale: the weight itself, product and quotient.

    A subnormal weight holds fewer bits itself; 1e-310 keeps 39.
    """
    return 8 * max(float(np.finfo(dtype).eps), 2.0**-39)


def assert_same(got, want, dtype):
    """Equal to rounding, relative to the largest number: sums of terms of both signs cancel."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert np.abs(want).max() > 0
    assert np.abs(got - want).max() <= relative(dtype) * np.abs(want).max()


def weights_of(n):
    """Telling weights: several sizes, a zero."""
    weights = np.array([1.0, 0.5, 3.0, 0.25, 0.0, 2.0])[np.arange(n) % 6]
    assert np.unique(weights).size > 3
    return weights


@every_scale
@pytest.mark.parametrize("kind", SCORED.values(), ids=SCORED.keys())
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scores(kind, dtype, scale):
    computed = np.float64 if dtype == np.float64 else np.float32
    for n in (7, 1100):  # fewer than a block, and more
        rng = np.random.default_rng([2, n])
        scores = rng.standard_normal((n, *kind.shape)).astype(dtype)
        y, weights, loss = rng.choice(kind.labels, n), weights_of(n), kind.loss
        want = loss.value_and_grad(y, scores, sample_weight=weights)
        got = loss.value_and_grad(y, scores, sample_weight=weights * scale)
        assert_same(got[0], want[0], np.float64 if kind.binary else computed)
        # each slope is a result of its own
        np.testing.assert_allclose(got[1], want[1], rtol=relative(computed), atol=0)
        assert bits(loss.value(y, scores, sample_weight=weights * scale)) == bits(got[0])
        assert bits(loss.grad(y, scores, sample_weight=weights * scale)) == bits(got[1])


@every_scale
@both_dtypes
@every_layout
@pytest.mark.parametrize("name", ["squared_hinge", "psi_g"])
def test_linear(name, layout, dtype, scale):
    case = problem(900, 20, dtype, seed=3)
    X, weights = LAYOUTS[layout](case.X), weights_of(900)
    want = hf.linear_value_and_grad(X, case.y, case.coef, 0.5, loss=name, sample_weight=weights, alpha=0.1)
    got = hf.linear_value_and_grad(
        X, case.y, case.coef, 0.5, loss=name, sample_weight=weights * scale, alpha=0.1
    )
    for a, b in zip(got, want, strict=True):
        assert_same(a, b, dtype)


@every_scale
@both_dtypes
@every_layout
def test_objective(layout, dtype, scale):
    """Value, gradient, Hessian product and step, of one score and of K."""
    case = problem(300, 20, dtype, seed=4)
    X, weights = LAYOUTS[layout](case.X), weights_of(300)
    classes = np.arange(300) % 3
    for y, loss, K in ((case.y, "squared_hinge", None), (classes, "weston_watkins:squared_hinge", 3)):
        one, other = (
            hf.Objective(X, y, loss=loss, classes=K, sample_weight=w) for w in (weights, weights * scale)
        )
        theta = np.tile(case.coef.astype(np.float64), K or 1)
        theta = np.append(theta, np.linspace(-0.5, 0.5, K or 1))
        for rows in (None, slice(0, 100), np.array([3, 7, 7, 200])):
            assert_same(other.value(theta, rows=rows), one.value(theta, rows=rows), dtype)
            assert_same(other.grad(theta, rows=rows), one.grad(theta, rows=rows), dtype)
            a, b = theta.copy(), theta.copy()
            other.step(a, 0.5, rows=rows)
            one.step(b, 0.5, rows=rows)
            assert_same(a - theta, b - theta, dtype)
        v = np.linspace(-1, 1, theta.size)
        assert_same(other.hessp(theta, v), one.hessp(theta, v), dtype)


@both_dtypes
def test_equal_weights_are_none(dtype):
    """By hand: the gradient of equal weights, of whatever size, is that without weights."""
    y, scores = np.array([1, -1, 1, 1]), np.array([0.0, 0.5, 2.0, -1.0], dtype)
    for scale in SCALES:
        value, grad = hf.Hinge().value_and_grad(y, scores, sample_weight=np.full(4, scale))
        np.testing.assert_allclose(grad, [-0.25, 0.25, 0.0, -0.25], rtol=relative(dtype), atol=0)
        assert value == pytest.approx((1 + 1.5 + 0 + 2) / 4, rel=1e-11)


@both_dtypes
@pytest.mark.parametrize(
    "sample,by_class",
    [(1e-50, 1e-50), (1e-200, 1e-200), (1e-310, 1e-310), (1e200, 1e200), (4e307, 4e307), (1e300, 1e-300)],
)
def test_weights_of_samples_and_classes_together(dtype, sample, by_class):
    """Their product may leave the range of float64; the mean is that of the products all the same."""
    case = problem(400, 12, dtype, seed=5)
    weights, pair = weights_of(400), np.array([1.0, 0.25])
    classes = np.arange(400) % 3
    three = np.array([1.0, 0.25, 4.0])
    for X, y, coef, loss, of_class in (
        (case.X, case.y, case.coef, "squared_hinge", pair),
        (case.X, classes, np.stack([case.coef, -case.coef, case.coef / 2]), "weston_watkins", three),
    ):
        want = hf.linear_value_and_grad(X, y, coef, loss=loss, sample_weight=weights, class_weight=of_class)
        got = hf.linear_value_and_grad(
            X, y, coef, loss=loss, sample_weight=weights * sample, class_weight=of_class * by_class
        )
        for a, b in zip(got, want, strict=True):
            assert_same(a, b, dtype)
        scores = hf.decision_function(X, coef)
        losses = hf.get_loss(loss)
        want = losses.value_and_grad(y, scores, sample_weight=weights, class_weight=of_class)
        got = losses.value_and_grad(
            y, scores, sample_weight=weights * sample, class_weight=of_class * by_class
        )
        assert_same(got[0], want[0], np.float64)
        assert_same(got[1], want[1], dtype)


LARGE, SMALL = 1.7e308, 5e-324


@pytest.mark.parametrize("layout", ["dense", "fortran", "csr"])
@pytest.mark.parametrize(
    "sample,by_class",
    [
        (1e-310, None), (SMALL, None), (None, SMALL), (SMALL, SMALL), (LARGE, LARGE), (2.0**500, SMALL),
        (SMALL, 2.0**500), (2.0**1000, SMALL), (SMALL, LARGE), (1e-200, 1e-200), (1e200, 1e200),
    ],
)  # fmt: skip
def test_the_only_row_of_weight_counts_whole(layout, sample, by_class):
    """The mean's gradient is that row's, to the last bit, also where X holds the smallest normal float32."""
    x = np.array([[-(2.0**-126), 2.0**-126, 2.0**100, 1.0]])
    X = np.vstack([np.ones((1, 4)), x, np.ones((1, 4))]).astype(np.float32)
    weight = None if sample is None else np.array([0.0, sample, 0.0])
    pair = None if by_class is None else [0.0, by_class]
    labels, coef = [-1, 1, -1], np.zeros(4, np.float32)
    value, grad, _ = hf.linear_value_and_grad(
        LAYOUTS[layout](X), labels, coef, sample_weight=weight, class_weight=pair
    )
    assert value == 1.0
    assert grad.tolist() == (-x[0]).tolist()
    value, grad, _ = hf.linear_value_and_grad(
        LAYOUTS[layout](X), [0, 1, 0], np.zeros((2, 4), np.float32), loss="crammer_singer",
        sample_weight=weight, class_weight=pair,
    )  # fmt: skip
    assert value == 1.0
    assert grad.tolist() == [x[0].tolist(), (-x[0]).tolist()]
    value, grad = hf.Hinge().value_and_grad(
        labels, np.zeros(3, np.float32), sample_weight=weight, class_weight=pair
    )
    assert (value, grad.tolist()) == (1.0, [0.0, -1.0, 0.0])


@pytest.mark.parametrize(
    "sample,by_class,x",
    [
        (1e-200, 1e-200, 1e300), (1e200, 1e200, 1e-300), (2.0**500, SMALL, 1e100), (SMALL, None, 1e300),
        (None, SMALL, 1e300),
    ],
)  # fmt: skip
def test_a_sum_holds_what_float64_holds(sample, by_class, x):
    """The products of weights may leave the range of float64 where the gradient does not."""
    _, grad, _ = hf.linear_value_and_grad(
        np.array([[x]]), [1], np.zeros(1), classes=[-1, 1], reduction="sum",
        sample_weight=None if sample is None else [sample], class_weight=None if by_class is None else [1, by_class],
    )  # fmt: skip
    want = float(-Fraction(sample or 1) * Fraction(by_class or 1) * Fraction(x))
    assert grad[0] == pytest.approx(want, rel=1e-15, abs=0)


@pytest.mark.parametrize(
    "weights,pair",
    [
        ([1.9e-57, 1e58], [1e-300, 1e-300]), ([1e-60, 1e60], [1e-300, 1e-200]), ([1.0, 2.0**100], [SMALL, SMALL]),
        ([1e-250, 1e-20], [1e-100, 1e-60]), ([2.0**-600, 2.0**600], [2.0**400, 1.0]), ([1e-250, 1e300], [1e300, 1e10]),
        ([2.0**700, 2.0**300], [2.0**-900, 2.0**-400]), ([1e-20, 1.0], [1e-295, 1e-10]),
        ([3e-162, 2e-162], [1e-162, 1e-162]),
    ],
)  # fmt: skip
def test_the_share_of_each_row(weights, pair):
    """w_i/sum(w) of products of weights, some of which float64 does not hold: the gradient of the hinge at 0."""
    products = [Fraction(w) * Fraction(c) for w, c in zip(weights, pair, strict=True)]
    want = [float(product / sum(products)) for product in products]
    assert min(want) > 1e-307
    told = {"sample_weight": weights, "class_weight": pair}
    grad = hf.Hinge().grad([-1, 1], np.zeros(2), **told)
    np.testing.assert_allclose(grad * [1, -1], want, rtol=1e-15, atol=0)
    grad = hf.CrammerSinger().grad([0, 1], np.zeros((2, 2)), **told)
    np.testing.assert_allclose(-grad.diagonal(), want, rtol=1e-15, atol=0)
    grad = hf.linear_value_and_grad(np.eye(2), [-1, 1], np.zeros(2), **told)[1]
    np.testing.assert_allclose(grad * [1, -1], want, rtol=1e-15, atol=0)


@both_dtypes
def test_weights_whose_sum_overflows(dtype):
    """The sum of the weights need not be a float64; the mean and its gradient are."""
    case = problem(300, 5, dtype, seed=6)
    weights = weights_of(300)
    large = weights / weights.max() * np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        assert np.isinf(large.sum())
    want = hf.linear_value_and_grad(case.X, case.y, case.coef, sample_weight=weights)
    got = hf.linear_value_and_grad(case.X, case.y, case.coef, sample_weight=large)
    for a, b in zip(got, want, strict=True):
        assert_same(a, b, dtype)
    scores = (case.X @ case.coef).astype(dtype)
    assert_same(
        hf.Hinge().grad(case.y, scores, sample_weight=large),
        hf.Hinge().grad(case.y, scores, sample_weight=weights),
        dtype,
    )


@both_dtypes
@pytest.mark.parametrize("total", [2.0**1000, 2.0**1023, 1e308, np.finfo(np.float64).max], ids=str)
def test_weights_that_sum_to_the_last_numbers_of_float64(dtype, total):
    """Their reciprocal has bits to spare no more."""
    case = problem(40, 5, dtype, seed=6)
    scores = (case.X @ case.coef).astype(dtype)
    one = np.where(np.arange(40) == 3, 1.0, 0.0)
    case.y[3] = -1 if scores[3] > -0.5 else 1  # a row with a slope
    want = hf.linear_value_and_grad(case.X, case.y, case.coef, sample_weight=one)
    got = hf.linear_value_and_grad(case.X, case.y, case.coef, sample_weight=one * total)
    for a, b in zip(got, want, strict=True):
        assert_same(a, b, dtype)
    want = hf.Hinge().value_and_grad(case.y, scores, sample_weight=one)
    got = hf.Hinge().value_and_grad(case.y, scores, sample_weight=one * total)
    assert_same(got[0], want[0], np.float64)
    assert_same(got[1], want[1], dtype)


@pytest.mark.parametrize("scale", [1e-50, 1e-42, 1e39, 1e300])
@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.float32, np.float64])
def test_sums_keep_the_scale(dtype, scale):
    """A sum is what it is, where its dtype holds it: a gradient in float64 is not rounded to float32 on the way."""
    y, scores = np.array([1, -1, 1, -1]), np.array([0, 1, -1, -2]).astype(dtype)
    weights = np.array([1.0, 2.0, 0.5, 4.0]) * scale
    value, grad = hf.Hinge().value_and_grad(y, scores, sample_weight=weights, reduction="sum")
    assert value == pytest.approx((1 + 2 * 2 + 0.5 * 2) * scale, rel=1e-12)
    want = np.array([-1.0, 2.0, -0.5, 0.0]) * scale
    with np.errstate(over="ignore", under="ignore"):
        want = want.astype(np.float32 if dtype == np.float32 else np.float64)
    np.testing.assert_allclose(grad, want, rtol=1e-6, atol=0)
    # K classes, as the same numbers on both sides
    Z = np.stack([np.zeros(4), scores], axis=1).astype(dtype)
    value, grad = hf.CrammerSinger().value_and_grad([1, 0, 1, 0], Z, sample_weight=weights, reduction="sum")
    np.testing.assert_allclose(grad[:, 1], want, rtol=1e-6, atol=0)
    # linear: the sums are float64
    X = scores[:, None]
    for A in (X, as_csr(X.astype(np.float64)) if dtype == np.float64 else X):
        value, grad, _ = hf.linear_value_and_grad(
            A, y, np.array([1.0]), sample_weight=weights, reduction="sum"
        )
        assert value == pytest.approx(6 * scale, rel=1e-6)
        assert grad[0] == pytest.approx((0 + 2 * 1 - 0.5 * -1) * scale, rel=1e-6)


@pytest.mark.parametrize(
    "alpha,coef", [(1e-300, 1e200), (1e300, 1e-200), (1e300, 1e-161), (1e40, 1e-170), (1e-5, 1e155)]
)
def test_the_penalty_is_what_it_is(alpha, coef):
    """alpha/2 |coef|^2 neither overflows nor vanishes where the squares alone would."""
    X, y = np.zeros((2, 20)), [1, -1]
    w = np.full(20, coef)
    want = 0.5 * (alpha * coef) * coef * 20
    assert 0 < want < np.inf
    value = hf.linear_value_and_grad(X, y, w, loss="perceptron", alpha=alpha)[0]
    assert value == pytest.approx(want, rel=1e-13)
    value = hf.linear_value_and_grad(X, [0, 1], np.stack([w, w]), loss="crammer_singer", alpha=alpha)[0]
    assert value - 1 == pytest.approx(2 * want, rel=1e-12, abs=1e-12)
    # with the intercept, for rows that are right
    objective = hf.Objective(X, [1, 1], loss="perceptron", alpha=alpha, penalize_intercept=True)
    assert objective.value(np.append(w, coef)) == pytest.approx(want * 21 / 20, rel=1e-12)


def test_weights_of_zero_beside_tiny_ones():
    """Weight 0 is no small weight: the row is left out, NaN or not."""
    y, scores = [1, -1, 1], np.array([0.0, np.nan, 0.5])
    value, grad = hf.Hinge().value_and_grad(y, scores, sample_weight=[1e-310, 0.0, 1e-310])
    assert value == pytest.approx(0.75, rel=1e-11)
    assert grad.tolist() == pytest.approx([-0.5, 0.0, -0.5], rel=1e-11)
    with pytest.raises(ValueError, match="sum to 0"):
        hf.Hinge().value(y, scores, sample_weight=[0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="sum to 0"):
        hf.linear_value_and_grad(np.ones((3, 1)), y, [0.0], sample_weight=np.zeros(3), class_weight=[1, 2])


@pytest.mark.parametrize("n_rows", [1, 4, 1000])
@pytest.mark.parametrize("layout", ["dense", "fortran", "csr"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_no_term_vanishes_for_being_one_of_many(layout, n_rows, n_classes):
    """The largest weight counts about 1, not a share: its row's product with X is not rounded to zero."""
    x = np.float32(3e-45)  # twice the least number
    X = LAYOUTS[layout](np.full((n_rows, 2), x))
    y = np.zeros(n_rows, np.int64)
    loss, classes = ("hinge", (0, 1)) if n_classes == 2 else ("crammer_singer:hinge", 3)
    coef = np.zeros(2 if n_classes == 2 else (3, 2), np.float32)
    keywords = {"loss": loss, "classes": classes}
    for reduction, total in (("sum", n_rows), ("mean", 1)):
        want = hf.linear_value_and_grad(X, y, coef, reduction=reduction, **keywords)
        assert np.abs(want[1]).max() == np.float32(total * float(x))
        for weights in (np.ones(n_rows), np.full(n_rows, 2.0**-30)):
            got = hf.linear_value_and_grad(X, y, coef, reduction=reduction, sample_weight=weights, **keywords)
            assert np.array_equal(
                got[1], (want[1] * np.float32(weights[0]) if reduction == "sum" else want[1])
            )
