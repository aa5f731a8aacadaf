"""Values and slopes of every loss: against the definitions, against each other, and at the edges of
floats.
"""

import math

import numpy as np
import pytest
import reference
from conftest import every_dtype
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import CATALOGUE, FLAT_LOSSES, assert_right, every_loss, margin_bounds, slack, telling_scores

import hingefast as hf
from hingefast.losses import MARGIN_LOSSES

pytestmark = [pytest.mark.clang, pytest.mark.arm64]


def of_margins(loss, margins, label=1):
    """phi and phi' of the margins, as the kernel gives them for rows of that label."""
    margins = np.asarray(margins)
    scores = margins * margins.dtype.type(label)
    values, grads = loss.value_and_grad(np.full(margins.size, label, dtype=np.int8), scores, reduction="none")
    return values, grads * margins.dtype.type(label)


def thresholds(loss):
    """Margins at which a definition may change its branch."""
    p = loss.params
    t = p.get("margin", 0.0)
    distances = [0.0, 2.0, p.get("width", 0.0), p.get("delta", 0.0), p.get("half_width", 0.0)]
    return [t + sign * distance for distance in distances for sign in (-1, 1)]


def telling_margins(loss, dtype, count=80):
    """Margins in `dtype`: around every threshold, dense where the loss bends, and out to the ends of
    floats.
    """
    rng = np.random.default_rng(len(loss.name))
    info = np.finfo(dtype)
    near = np.array(thresholds(loss), dtype=dtype)
    around = [near]
    for direction in (-np.inf, np.inf):
        step = near
        for _ in range(3):
            step = np.nextafter(step, dtype(direction))
            around.append(step)
    tails = -20.0 if dtype is np.float32 else -45.0
    ends = np.array([info.max, 1e30, 1e18, 1e10, 1e5, 1e-5, info.tiny, info.smallest_subnormal], dtype=dtype)
    pieces = [
        *around,
        rng.uniform(-6, 8, count).astype(dtype),
        rng.uniform(tails, -tails, count).astype(dtype),
        (rng.choice([-1, 1], count) * 10.0 ** rng.uniform(-8, 6, count)).astype(dtype),
        ends,
        -ends,
        np.array([0.0, -0.0], dtype=dtype),
    ]
    return np.concatenate(pieces)


def promised_ulps(loss, m):
    return reference.promised_ulps(loss.name, loss.params, m)


def test_every_loss_has_an_oracle():
    assert list(MARGIN_LOSSES) == list(reference.DEFAULTS)
    for name, cls in MARGIN_LOSSES.items():
        assert cls().params == reference.DEFAULTS[name]


@every_dtype
@every_loss
def test_promised_accuracy(loss, dtype):
    """Parameters of the catalogue are dyadic, so that nothing but the kernel's own roundings is left."""
    margins = telling_margins(loss, dtype)
    values, slopes = of_margins(loss, margins, 1)
    assert values.dtype == slopes.dtype == dtype
    for m, value, slope in zip(margins, values, slopes, strict=True):
        allowed = promised_ulps(loss, m)
        wanted = reference.exact(loss.name, loss.params, m)[:2]
        for what, got, want in zip(("phi", "phi'"), (value, slope), wanted, strict=True):
            far = reference.ulps_apart(got, want, dtype)
            assert far <= allowed, (
                f"{what}({m!r}) is {got!r}, {far} ulp off {float(want)!r}; allowed {allowed}"
            )
    of_negative = of_margins(loss, margins, -1)
    np.testing.assert_array_equal(of_negative[0], values)
    np.testing.assert_array_equal(of_negative[1], slopes)


_POSITIVE = st.floats(1e-3, 1e3, allow_subnormal=False)


@every_dtype
@pytest.mark.parametrize("name", MARGIN_LOSSES)
@settings(deadline=None, derandomize=True, max_examples=15)
@given(data=st.data())
def test_any_parameters(name, dtype, data):
    kinds = {"margin": st.floats(0, 8), "kink_slope": st.floats(-1, 0)}
    params = {key: data.draw(kinds.get(key, _POSITIVE), key) for key in reference.DEFAULTS[name]}
    loss = MARGIN_LOSSES[name](**params)
    assert loss.params == params
    margins = data.draw(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40), "margins")
    margins = np.concatenate([margins, thresholds(loss)]).astype(dtype)
    values, slopes = of_margins(loss, margins)
    low, high, slope_low, slope_high = margin_bounds(
        loss, margins.astype(np.float64), slack(loss, margins.astype(np.float64), dtype), dtype
    )
    assert ((low <= values) & (values <= high)).all()
    assert ((slope_low <= slopes) & (slopes <= slope_high)).all()


@every_dtype
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@every_loss
def test_sums_of_rows(loss, reduction, dtype):
    data = telling_scores(203, dtype)
    assert_right(
        loss.value_and_grad(data.y, data.scores, reduction=reduction),
        loss,
        data.y,
        data.scores,
        reduction=reduction,
    )
    result = loss.value_and_grad(data.y, data.scores, reduction=reduction, sample_weight=data.weights)
    assert_right(result, loss, data.y, data.scores, data.weights, reduction)


# --------------------------------------------------------------------------------------------------
# Published and hand-made numbers
# --------------------------------------------------------------------------------------------------


def test_table_mean_and_gradient():
    y, z = np.array([1, 1, 1, -1, -1]), np.array([2, 0.5, -1, -2, 0.5])
    value, grad = hf.Hinge().value_and_grad(y, z)
    assert value == 0.8
    np.testing.assert_array_equal(grad, [0, -0.2, -0.2, 0, 0.2])


def test_table_hinge_of_single_rows():
    pairs = [(1, 3), (1, 1.5), (1, 1), (1, 0.5), (1, 0), (1, -0.5), (1, -2), (-1, -1.5), (-1, 0.5)]
    y, z = np.array(pairs).T
    np.testing.assert_array_equal(hf.Hinge()(y, z, reduction="none"), [0, 0, 0, 0.5, 1, 1.5, 3, 0, 1.5])


def test_table_hinge_and_squared_hinge():
    y, z = [1, 1, 1, -1, -1], [0.5, 1.5, -0.5, -1.5, 0.5]
    np.testing.assert_array_equal(hf.Hinge()(y, z, reduction="none"), [0.5, 0, 1.5, 0, 1.5])
    np.testing.assert_array_equal(hf.SquaredHinge()(y, z, reduction="none"), [0.25, 0, 2.25, 0, 2.25])


def test_table_mean_of_three():
    assert round(hf.Hinge()([-1, 1, 1], [-2.18, 2.36, 0.09]), 2) == 0.30


def test_all_positive_labels_are_not_guessed_to_be_negative():
    assert hf.Hinge()([1, 1, 1], [2.0, 2.0, 2.0]) == 0.0


@pytest.mark.parametrize(
    ("name", "at_zero", "slope_at_zero"),
    [
        ("hinge", 1.0, -1.0),
        ("perceptron", 0.0, -1.0),
        ("squared_hinge", 1.0, -2.0),
        ("smooth_hinge", 0.5, -1.0),
        ("modified_huber", 1.0, -2.0),
        ("huberized_hinge", 1.0, -1.0),
        ("huber_margin", 0.5, -1.0),
        ("psi_g", 1.0833154705876862, -0.8413447460685429),
        ("psi_m", 1.2071067811865475, -0.8535533905932737),
        ("softplus_hinge", 1.3132616875182228, -0.7310585786300049),
        ("logistic", 0.6931471805599453, -0.5),
    ],
)
def test_margin_zero(name, at_zero, slope_at_zero):
    values, slopes = of_margins(MARGIN_LOSSES[name](), np.zeros(1))
    assert abs(values[0] - at_zero) <= 8 * np.finfo(float).eps
    assert abs(slopes[0] - slope_at_zero) <= 8 * np.finfo(float).eps


# --------------------------------------------------------------------------------------------------
# Shape
# --------------------------------------------------------------------------------------------------


def rounding_of(loss, margins, dtype):
    """The promised error of phi and phi' at these margins, as a relative number."""
    return np.array([promised_ulps(loss, m) for m in margins]) * float(np.finfo(dtype).eps)


@every_dtype
@every_loss
def test_slope_lies_between_the_difference_quotients(loss, dtype):
    """For a convex phi, (phi(m)-phi(m-h))/h <= phi'(m) <= (phi(m+h)-phi(m))/h, whatever h: no step to
    tune.
    """
    h = dtype(2.0**-6)
    margins = np.arange(-8, 12, 2.0**-4, dtype=dtype) + dtype(2.0**-8)
    here, slopes = of_margins(loss, margins)
    below, above = of_margins(loss, margins - h)[0], of_margins(loss, margins + h)[0]
    error = rounding_of(loss, margins, dtype) * 2
    tiny = 8 * float(np.finfo(dtype).smallest_subnormal) / float(h)
    allowed = 2 * error * below.astype(float) / float(h) + error * np.abs(slopes) + tiny
    assert (slopes - (here - below).astype(float) / float(h) >= -allowed).all()
    assert ((above - here).astype(float) / float(h) - slopes >= -allowed).all()


@every_dtype
@every_loss
def test_finite_differences(loss, dtype):
    """Central differences in float64 of a sum over rows, at margins off every threshold."""
    h = 2.0**-20
    data = telling_scores(60, dtype, seed=5)
    margins = data.y * data.scores.astype(np.float64)
    far = np.min([np.abs(margins - t) for t in thresholds(loss)], axis=0) > 2 * h
    y, z = data.y[far], data.scores[far].astype(np.float64)
    assert y.size > 40
    grad = loss.grad(y, z, reduction="sum")
    for row in range(y.size):
        step = np.zeros(y.size)
        step[row] = h
        # phi''' is at most 4 beta^2 (or sigma^-2) = 64 in the catalogue; rounding of the sum over h is
        # the rest.
        difference = (loss.value(y, z + step, reduction="sum") - loss.value(y, z - step, reduction="sum")) / (
            2 * h
        )
        total = loss.value(y, z, reduction="sum")
        assert abs(difference - grad[row]) <= 64 * h * h + (y.size + 4) * np.finfo(float).eps * total / h


@every_dtype
@every_loss
def test_convex_monotone_and_nonnegative(loss, dtype):
    margins = np.sort(telling_margins(loss, dtype))
    margins = np.unique(margins[np.abs(margins) < 1e6])
    values, slopes = (x.astype(np.float64) for x in of_margins(loss, margins))
    error = 2 * rounding_of(loss, margins, dtype)
    tiny = 8 * float(np.finfo(dtype).smallest_subnormal)
    assert (values >= 0).all()
    assert (slopes <= 0).all()
    fall = values[:-1] - values[1:]
    assert (fall >= -(error[:-1] * values[:-1] + error[1:] * values[1:] + tiny)).all()
    rise = slopes[1:] - slopes[:-1]
    assert (rise >= -(error[:-1] * -slopes[:-1] + error[1:] * -slopes[1:] + tiny)).all()
    # Chords lie above the curve.
    points = np.linspace(-8, 9, 300).astype(dtype)
    middles = ((points[:-1].astype(float) + points[1:]) / 2).astype(dtype)
    on_curve = of_margins(loss, middles)[0].astype(float)
    ends = of_margins(loss, points)[0].astype(float)
    # The middle is rounded to dtype, too: the slope is at most 8 in the catalogue's range.
    shift = np.abs(of_margins(loss, middles)[1].astype(float)) * np.spacing(np.abs(middles))
    chord = (ends[:-1] + ends[1:]) / 2
    allowed = 2 * rounding_of(loss, points[:-1], dtype) * ends[:-1] + shift + tiny
    assert (on_curve <= chord + allowed).all()


def close(a, b, dtype, roundings=8):
    """Equal up to a few roundings of the numbers themselves."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    tiny = roundings * float(np.finfo(dtype).smallest_subnormal)
    return (np.abs(a - b) <= roundings * float(np.finfo(dtype).eps) * np.abs(b) + tiny).all()


@every_dtype
@pytest.mark.parametrize("t", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("width", [0.25, 1.0, 2.0, 8.0])
def test_s_family(width, t, dtype):
    """What losses.md says: most losses are one function S(m; t, g) with other parameters and a factor."""
    m = telling_scores(400, dtype, spread=12.0).scores

    def scaled(factor, pair):
        return tuple(factor * each.astype(np.float64) for each in pair)

    def assert_same(loss, pair):
        for got, want in zip(of_margins(loss, m), pair, strict=True):
            assert close(got, want, dtype)

    s = of_margins(hf.SmoothHinge(margin=t, width=width), m)
    assert_same(hf.HuberMargin(margin=t, delta=width), scaled(width, s))
    if width == 2.0:
        assert_same(hf.ModifiedHuber(margin=t), scaled(4.0, s))
    if t >= width / 2:
        assert_same(hf.HuberizedHinge(margin=t - width / 2, half_width=width / 2), s)
    wide = of_margins(hf.SmoothHinge(margin=t, width=1024.0), m)
    assert_same(hf.SquaredHinge(margin=t), scaled(2048.0, wide))
    hinge = of_margins(hf.Hinge(margin=t), m)[0].astype(np.float64)
    gap = hinge - s[0]
    eps = float(np.finfo(dtype).eps)
    assert (gap >= -4 * eps * hinge).all()
    assert (gap <= width / 2 + 4 * eps * hinge).all()


@every_dtype
@pytest.mark.parametrize("t", [0.0, 1.0])
@pytest.mark.parametrize("width", [0.25, 1.0, 4.0])
def test_smooth_losses_lie_just_above_the_hinge(width, t, dtype):
    m = np.concatenate([telling_scores(400, dtype, spread=12.0).scores, np.array([t], dtype=dtype)])
    hinge = of_margins(hf.Hinge(margin=t), m)[0].astype(np.float64)
    eps = float(np.finfo(dtype).eps)
    for loss, most in [
        (hf.GaussianHinge(margin=t, sigma=width), width / math.sqrt(2 * math.pi)),
        (hf.AlgebraicHinge(margin=t, sigma=width), width / 2),
        (hf.SoftplusHinge(margin=t, beta=1 / width), math.log(2) * width),
    ]:
        gap = of_margins(loss, m)[0].astype(np.float64) - hinge
        assert (gap >= -4 * eps * hinge).all(), loss
        assert (gap <= most + 4 * eps * (hinge + most)).all(), loss
        assert abs(gap[-1] - most) <= 4 * eps * most, loss  # reached at m = t


# Too narrow for float32, in which 1/width would be infinite: the smallest width whose reciprocal float64 can hold, and
# some between. The slope at the kink is that of the middle of the bend, or, where the bend ends there, 0.
NARROW = [
    (cls, parameter, 1 / width if parameter == "beta" else width, kink_slope)
    for cls, parameter, kink_slope in (
        (hf.SmoothHinge, "width", 0.0),
        (hf.HuberizedHinge, "half_width", 0.0),
        (hf.GaussianHinge, "sigma", -0.5),
        (hf.AlgebraicHinge, "sigma", -0.5),
        (hf.SoftplusHinge, "beta", -0.5),
    )
    for width in (1e-308, 1e-100, 1e-45, 1e-42, 1e-39)
]


@pytest.mark.parametrize("cls,parameter,width,kink_slope", NARROW)
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_too_narrow_for_float32_becomes_the_hinge(t, cls, parameter, width, kink_slope):
    loss = cls(margin=t, **{parameter: width})
    bend = t + width if cls is hf.HuberizedHinge else t
    hinge = hf.Hinge(margin=bend, kink_slope=kink_slope)
    rng = np.random.default_rng(0)
    for n in (5, 40, 1_000):
        m = np.concatenate([rng.uniform(-3, 3, n), [t, t, 0, 1e30, -1e30, np.inf, -np.inf]]).astype(
            np.float32
        )
        for label in (-1, 1):
            values, slopes = of_margins(loss, m, label)
            want, want_slopes = of_margins(hinge, m, label)
            np.testing.assert_allclose(values, want, rtol=0, atol=1e-38)
            np.testing.assert_array_equal(slopes, want_slopes)
            finite, y = label * m[:-2], np.full(m.size - 2, label)
            value, grad = loss.value_and_grad(y, finite, reduction="sum")
            assert value == pytest.approx(hinge.value(y, finite, reduction="sum"), rel=1e-12)
            np.testing.assert_array_equal(label * grad, want_slopes[:-2])
    # NaN stays, and neither K classes nor a linear model see another loss.
    assert np.isnan(of_margins(loss, np.array([np.nan], np.float32))[0]).all()
    scores, y = rng.standard_normal((50, 4)).astype(np.float32), rng.integers(0, 4, 50)
    for kind in (hf.CrammerSinger, hf.WestonWatkins, hf.OneVsRest):
        value, grad = kind(loss).value_and_grad(y, scores)
        want, want_grad = kind(hinge).value_and_grad(y, scores)
        assert value == pytest.approx(want, rel=1e-7)
        np.testing.assert_array_equal(grad, want_grad)
    y = np.where(y > 1, 1, -1)
    coef = np.ones(4, np.float32)
    got = hf.linear_value_and_grad(scores, y, coef, loss=loss)
    want = hf.linear_value_and_grad(scores, y, coef, loss=hinge)
    assert got[0] == pytest.approx(want[0], rel=1e-7) and got[2] == want[2]
    np.testing.assert_array_equal(got[1], want[1])


@every_dtype
def test_special_cases_of_parameters(dtype):
    m = telling_scores(300, dtype, spread=9.0).scores
    for one, other in [
        (hf.PerceptronLoss(), hf.Hinge(margin=0.0, kink_slope=-1.0)),
        (hf.LogisticLoss(), hf.SoftplusHinge(margin=0.0, beta=1.0)),
    ]:
        for a, b in zip(of_margins(one, m), of_margins(other, m), strict=True):
            np.testing.assert_array_equal(a, b)


# --------------------------------------------------------------------------------------------------
# Edges of floats
# --------------------------------------------------------------------------------------------------


@every_dtype
@every_loss
def test_infinite_scores(loss, dtype):
    for position in (0, 5, 16, 40):
        for label in (-1, 1):
            data = telling_scores(41, dtype)
            data.y[position] = label
            for m in (np.inf, -np.inf):
                data.scores[position] = label * m
                values, grads = loss.value_and_grad(data.y, data.scores, reduction="none")
                assert values[position] == reference.phi(loss.name, loss.params, m)
                assert grads[position] * label == reference.slope(loss.name, loss.params, m)
                assert loss(data.y, data.scores) == (
                    np.inf if m < 0 else pytest.approx(values.mean(), rel=1e-4)
                )
                others = np.arange(41) != position
                assert np.isfinite(values[others]).all()
                assert np.isfinite(grads[others]).all()


@every_dtype
@every_loss
def test_both_infinities_at_once(loss, dtype):
    z = np.array([np.inf, np.inf], dtype=dtype)
    assert loss([1, -1], z, reduction="sum") == np.inf
    assert loss([1, 1], z, reduction="sum") == 0.0


@every_dtype
@every_loss
def test_inactive_rows_give_positive_zero(loss, dtype):
    """By the sign bit, for both labels, in every lane and tail, scaled or not."""
    beyond = max(thresholds(loss)) + np.array([2.0**-10, 0.5, 1.0, 30.0, 1e30, np.inf], dtype=dtype)
    margins = np.resize(np.concatenate([beyond, [dtype(-3.0)]]), 71).astype(dtype)
    flat = loss.name in FLAT_LOSSES
    for label in (-1, 1):
        for extra in ({}, {"sample_weight": np.linspace(0.5, 2, 71)}, {"class_weight": (0.5, 3.0)}):
            for reduction in ("none", "sum", "mean"):
                y = np.full(71, label)
                grad = loss.grad(y, label * margins, reduction=reduction, **extra)
                inactive = margins > 0
                if flat:
                    assert (grad[inactive] == 0).all()
                    assert not np.signbit(grad[inactive]).any()
                assert (grad[~inactive] * label < 0).all()
                if flat and reduction == "none":
                    values = loss(y, label * margins, reduction="none", **extra)
                    assert (values[inactive] == 0).all()
                    assert not np.signbit(values[inactive]).any()
        assert not np.signbit(loss(np.full(4, label), label * np.full(4, np.inf, dtype=dtype)))


def test_flat_losses_are_what_they_are():
    """The oracle tells them; these seven and these four by name."""
    assert {
        *("hinge", "perceptron", "squared_hinge", "smooth_hinge"),
        *("modified_huber", "huberized_hinge", "huber_margin"),
    } <= set(FLAT_LOSSES)
    assert {"psi_g", "psi_m", "softplus_hinge", "logistic"} <= set(MARGIN_LOSSES) - set(FLAT_LOSSES)


@every_dtype
def test_subnormals_are_not_flushed(dtype):
    info = np.finfo(dtype)
    m = -np.array(
        [info.smallest_subnormal, 3 * info.smallest_subnormal, info.smallest_normal / 2], dtype=dtype
    )
    for label in (-1, 1):
        values, slopes = of_margins(hf.PerceptronLoss(), m, label)
        np.testing.assert_array_equal(values, -m)
        np.testing.assert_array_equal(slopes, -np.ones(3))
        assert hf.PerceptronLoss()(np.full(3, label), label * m, reduction="sum") == float(
            np.sum(-m.astype(float))
        )
        # The slope of a smooth loss is a subnormal itself: Phi(-13.6) = 2e-42, Phi(-37.7) = 2e-311.
        deep = np.full(5, -13.6 if dtype is np.float32 else -37.7, dtype=dtype)
        slopes = of_margins(hf.GaussianHinge(margin=0.0), -deep, label)[1]
        assert (np.abs(slopes) > 0).all()
        assert (np.abs(slopes) < info.smallest_normal).all()
    tiny_weight = np.full(3, float(info.smallest_normal) / 4)
    values = hf.Hinge()([1, 1, 1], np.zeros(3, dtype=dtype), sample_weight=tiny_weight, reduction="none")
    np.testing.assert_array_equal(values, tiny_weight.astype(dtype))


@every_dtype
@every_loss
def test_negative_zero_is_zero(loss, dtype):
    zeros = [np.full(37, z, dtype=dtype) for z in (0.0, -0.0)]
    for label in (-1, 1):
        one, other = (loss.value_and_grad(np.full(37, label), z, reduction="none") for z in zeros)
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@every_dtype
@pytest.mark.parametrize("name", MARGIN_LOSSES)
def test_huge_margins_overflow_only_where_the_answer_does(name, dtype):
    """psi_m squares u, the quadratic pieces square u: beyond sqrt(max) that must not reach the answer."""
    loss = CATALOGUE[name]
    huge = np.array([0.9 * np.finfo(dtype).max, float(np.finfo(dtype).max) ** 0.75], dtype=dtype)
    values, slopes = of_margins(loss, -huge)
    if name == "squared_hinge":
        assert (values == np.inf).all()
        assert np.isfinite(slopes[1])
        return
    factor = 4.0 if name == "modified_huber" else 1.0
    np.testing.assert_array_equal(slopes, [-factor, -factor])
    assert close(values[1], factor * float(huge[1]), dtype)
    values, slopes = of_margins(loss, huge)
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()
    assert (values <= 1e-3).all()


@every_dtype
def test_values_are_summed_in_float64(dtype):
    """2^25 + many ones: float32 would stop counting."""
    scores = np.full(4097, 0.0, dtype=dtype)
    scores[0] = -(2.0**25)
    assert hf.Hinge()(np.ones(4097), scores, reduction="sum") == 2.0**25 + (
        4096 + (1 if dtype is np.float64 else 0)
    )


@every_dtype
@every_loss
def test_labels_are_symmetric(loss, dtype):
    """phi sees y z only: turning both signs changes no value and turns the gradient's sign."""
    data = telling_scores(77, dtype)
    value, grad = loss.value_and_grad(data.y, data.scores)
    turned_value, turned_grad = loss.value_and_grad(-data.y, -data.scores)
    assert value == turned_value
    np.testing.assert_array_equal(grad, -turned_grad)
