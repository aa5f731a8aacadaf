"""Exactly at the kink, u = t - y z = 0: one rule in every path, lane, tail, dtype and arrangement."""

import numpy as np
import pytest
from conftest import THREADS, every_dtype, telling_scores

import hingefast as hf

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
    data.scores[::3] = data.signs[::3]
    y = (data.signs > 0).astype(labels)
    weights = np.ldexp(1.0, np.arange(300) % 5)  # powers of two: exact products in either dtype
    for n_threads in (1, 2):
        plain = loss.grad(y, data.scores, classes=(0, 1), reduction="sum", n_threads=n_threads)
        np.testing.assert_array_equal(plain[::3], data.signs[::3] * kink_slope)
        weighted = loss.grad(y, data.scores, classes=(0, 1), sample_weight=weights, reduction="sum")
        np.testing.assert_array_equal(weighted, plain * weights)
        by_class = loss.grad(y, data.scores, classes=(0, 1), class_weight=(2.0, 0.5), reduction="none")
        np.testing.assert_array_equal(by_class, plain * np.where(data.signs > 0, 0.5, 2.0))
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
