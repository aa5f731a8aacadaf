"""Exactly at the kink, u = t - y z = 0: one rule in every path, lane, tail, dtype and arrangement; and the second
derivative where it jumps.
"""

from functools import partial
from itertools import product

import numpy as np
import pytest
import reference
from conftest import THREADS, every_dtype
from kinds import CATALOGUE, as_csr, telling_scores

import hingefast as hf

pytestmark = [pytest.mark.sanitizer, pytest.mark.arm64]

KINK_SLOPES = (0.0, -0.25, -0.5, -1.0)
every_kink_slope = pytest.mark.parametrize("kink_slope", KINK_SLOPES)
every_label = pytest.mark.parametrize("label", [-1, 1])


@every_dtype
@every_label
@every_kink_slope
@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0, 3.0])
def test_at_and_beside_the_kink(margin, kink_slope, label, dtype):
    loss = hf.Hinge(margin=margin, kink_slope=kink_slope)
    t = dtype(margin)
    margins = np.array([np.nextafter(t, dtype(-np.inf)), t, np.nextafter(t, dtype(np.inf))])
    values, grads = loss.value_and_grad(np.full(3, label), label * margins, reduction="none")
    np.testing.assert_array_equal(grads, [-label, label * kink_slope, 0])
    assert values[0] == t - margins[0] > 0
    assert values[1] == values[2] == 0
    assert not np.signbit(values).any()
    assert not np.signbit(grads[2])
    if kink_slope == 0:
        assert not np.signbit(grads[1])


@every_dtype
@every_kink_slope
def test_every_lane_and_tail(kink_slope, dtype):
    loss = hf.Hinge(kink_slope=kink_slope)
    for n in range(1, 71):
        rng = np.random.default_rng(n)
        signs = rng.choice([-1, 1], n)
        at_kink = rng.random(n) < 0.5
        scores = (signs * np.where(at_kink, 1.0, rng.choice([0.5, 1.5], n))).astype(dtype)
        want = signs * np.where(at_kink, kink_slope, np.where(signs * scores < 1, -1.0, 0.0))
        np.testing.assert_array_equal(loss.grad(signs, scores, reduction="sum"), want)
        values, grads = loss.value_and_grad(signs, scores, reduction="none")
        np.testing.assert_array_equal(grads, want)
        np.testing.assert_array_equal(values, np.where(signs * scores < 1, 0.5, 0.0))


@every_dtype
@every_kink_slope
@pytest.mark.parametrize("labels", [np.int8, np.uint8, np.int32, np.int64, np.float32, np.float64, bool])
def test_every_arrangement(labels, kink_slope, dtype):
    """Whatever else a call asks for, the kink's rows have the kink's slope, scaled by the weight alone."""
    loss = hf.Hinge(kink_slope=kink_slope)
    data = telling_scores(300, dtype)
    data.scores[::3] = data.y[::3]
    y = (data.y > 0).astype(labels)
    weights = np.ldexp(1.0, np.arange(300) % 5)  # powers of two: exact products in either dtype
    for n_threads in (1, 2):
        plain = loss.grad(y, data.scores, classes=(0, 1), reduction="sum", n_threads=n_threads)
        np.testing.assert_array_equal(plain[::3], data.y[::3] * kink_slope)
        weighted = loss.grad(y, data.scores, classes=(0, 1), sample_weight=weights, reduction="sum")
        np.testing.assert_array_equal(weighted, plain * weights)
        by_class = loss.grad(y, data.scores, classes=(0, 1), class_weight=(2.0, 0.5), reduction="none")
        np.testing.assert_array_equal(by_class, plain * np.where(data.y > 0, 0.5, 2.0))
        mean = loss.grad(y, data.scores, classes=(0, 1), n_threads=n_threads)
        np.testing.assert_allclose(mean[::3], plain[::3] / 300, rtol=4 * float(np.finfo(dtype).eps))


@every_dtype
@every_label
def test_perceptron_trains_from_zero(label, dtype):
    """Slope -1 at m = 0, so that w = 0 is no fixed point; the loss there is 0."""
    for zero in (0.0, -0.0):
        for n in (1, 7, 16, 33):
            values, grads = hf.PerceptronLoss().value_and_grad(
                np.full(n, label), np.full(n, zero, dtype=dtype), reduction="none"
            )
            np.testing.assert_array_equal(grads, np.full(n, -label))
            assert (values == 0).all()
            assert not np.signbit(values).any()
    tiny = np.finfo(dtype).smallest_subnormal
    grads = hf.PerceptronLoss().grad(np.full(2, label), label * np.array([tiny, -tiny]), reduction="sum")
    np.testing.assert_array_equal(grads, [0, -label])


@every_dtype
@every_label
def test_negative_zero_as_kink_slope(label, dtype):
    assert hf.Hinge(kink_slope=-0.0) == hf.Hinge()
    grad = hf.Hinge(kink_slope=-0.0).grad(np.full(20, label), np.full(20, label, dtype=dtype))
    assert (grad == 0).all()
    assert not np.signbit(grad).any()


@every_dtype
@every_label
@pytest.mark.parametrize(
    ("loss", "kink"),
    [
        (hf.SquaredHinge(), 1.0),
        (hf.SmoothHinge(width=0.5), 1.0),
        (hf.ModifiedHuber(), 1.0),
        (hf.HuberizedHinge(half_width=0.5), 1.5),
        (hf.HuberMargin(delta=2.0), 1.0),
    ],
    ids=repr,
)
def test_c1_losses_have_slope_zero_there(loss, kink, label, dtype):
    values, grads = loss.value_and_grad(
        np.full(40, label), np.full(40, label * kink, dtype=dtype), reduction="none"
    )
    for result in (values, grads):
        assert (result == 0).all()
        assert not np.signbit(result).any()


@every_dtype
@pytest.mark.parametrize(
    ("loss", "bend", "slope"),
    [
        (hf.SmoothHinge(width=0.5), 0.5, -1.0),
        (hf.ModifiedHuber(), -1.0, -4.0),
        (hf.HuberizedHinge(half_width=0.5), 0.5, -1.0),
        (hf.HuberMargin(delta=2.0), -1.0, -2.0),
    ],
    ids=repr,
)
def test_where_the_parabola_meets_the_line(loss, bend, slope, dtype):
    """Both formulas give the same number there; the value continues, too."""
    beside = np.nextafter(dtype(bend), dtype(-np.inf))
    for m in (dtype(bend), beside):
        assert loss.grad(np.ones(1), np.array([m]), reduction="sum")[0] == slope
    one, other = (loss([1], np.array([m]), reduction="sum") for m in (dtype(bend), beside))
    assert 0 <= other - one <= 4 * abs(slope) * float(np.spacing(dtype(2)))


@every_dtype
def test_kink_in_large_data_on_any_threads(dtype):
    n = 300_007
    signs = np.where(np.arange(n) % 2, 1, -1).astype(np.int8)
    scores = signs.astype(dtype)
    scores[::1000] = 0
    want = np.where(np.arange(n) % 1000 == 0, -signs, signs * -0.5)
    for n_threads in THREADS:
        grad = hf.Hinge(kink_slope=-0.5).grad(signs, scores, reduction="sum", n_threads=n_threads)
        np.testing.assert_array_equal(grad, want)


# The second derivative


def jumps(loss):
    """Margins at which phi'' jumps: the kink, and the joint of the parabola and the line."""
    p, h = loss.params, 2.0**-30
    t = p.get("margin", 0.0)
    distances = [0.0, 2.0, *(value for key, value in p.items() if key != "margin")]
    margins = sorted({t + sign * distance for distance in distances for sign in (-1, 1)})
    curvature = partial(reference.curvature, loss.name, loss.params)
    found = [m for m in margins if abs(curvature(m + h) - curvature(m - h)) > 0.05]
    assert found, loss
    return found


CURVED = {key: loss for key, loss in CATALOGUE.items() if loss.smoothness != "nonsmooth"}
JUMPING = {key: loss for key, loss in CURVED.items() if loss.smoothness == "c1"}
LAYOUTS = {"dense": np.asarray, "fortran": np.asfortranarray, "csr": as_csr}


def curvatures(loss, margins, label, layout):
    """phi'' at these margins: the Hessian's diagonal where each row has a feature of its own."""
    n = margins.size
    X, theta = LAYOUTS[layout](np.eye(n, dtype=margins.dtype)), label * margins
    objective = hf.Objective(X, np.full(n, label), loss=loss, fit_intercept=False, reduction="sum")
    return objective.hessp(theta, np.ones_like(theta))


@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("key", JUMPING)
def test_the_second_derivative_is_zero_where_it_jumps(key, layout, dtype):
    loss = JUMPING[key]
    for label, n in product((-1, 1), (1, 7, 16, 37)):
        for jump in jumps(loss):
            at = np.full(n, jump, dtype)
            assert (curvatures(loss, at, label, layout) == 0).all()
            # Beside it, far enough for u = t - m to be another number, it is that of its side.
            beside = at + np.where(np.arange(n) % 2, 1, -1).astype(dtype) * dtype(2.0**-20)
            want = reference.curvature(loss.name, loss.params, beside)
            got = curvatures(loss, beside, label, layout)
            np.testing.assert_allclose(got, want, rtol=1e-6)
            assert n == 1 or ((got == 0).any() and (got > 0).any())


@every_dtype
@every_label
@pytest.mark.parametrize("key", CURVED)
def test_the_second_derivative_anywhere(key, label, dtype):
    """Far from the kink on both sides, at it where it does not jump there, and NaN for NaN."""
    loss = CURVED[key]
    t = loss.params.get("margin", 0.0)
    margins = t + np.array([-1e4, -37.0, -3.25, -1.75, -0.625, 0.125, 0.6875, 2.5, 40.0, 1e4])
    if key not in JUMPING:
        margins = np.append(margins, t)
    want = reference.curvature(loss.name, loss.params, margins)
    got = curvatures(loss, margins.astype(dtype), label, "dense")
    # psi_G and softplus take exp of numbers up to v^2/2, rounded.
    tolerance = 64 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=1e-30)
    assert np.isnan(curvatures(loss, np.array([np.nan], dtype), label, "dense")).all()


@every_dtype
@pytest.mark.parametrize("key", JUMPING)
def test_the_second_derivative_of_classes_is_zero_where_it_jumps(key, dtype):
    """Rows whose own class is ahead of one other, or of 0, by the margin of the jump, and far ahead of the rest."""
    loss, n = JUMPING[key], 9
    for kind, n_classes in product((hf.CrammerSinger, hf.WestonWatkins, hf.OneVsRest), (3, 20)):
        objective = hf.Objective(
            np.eye(n, dtype=dtype),
            np.zeros(n, int),
            loss=kind(loss),
            classes=n_classes,
            fit_intercept=False,
            reduction="sum",
        )
        for jump, move in product(jumps(loss), (0.0, -(2.0**-20), 2.0**-20)):
            coef = np.full((n_classes, n), -1000, dtype)
            coef[0] = jump + move
            if kind is not hf.OneVsRest:
                coef[1] = 0
            direction = np.zeros_like(coef)
            direction[0] = 1
            curved = objective.hessp(coef.ravel(), direction.ravel()).reshape(coef.shape)
            want = 0.0 if move == 0 else reference.curvature(loss.name, loss.params, jump + move)
            np.testing.assert_allclose(curved[0], want, rtol=1e-6)
            np.testing.assert_array_equal(curved[1], 0 if kind is hf.OneVsRest else -curved[0])
            assert not curved[2:].any()
