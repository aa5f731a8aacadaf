"""value, grad and value_and_grad on scores: every keyword, every dtype, every rule about bad input."""

import array as array_module
import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import reference
from conftest import THREADS, bits, computing_dtype, every_dtype, every_reduction, misaligned, raises, strided
from kinds import CATALOGUE, assert_right, every_default_loss, telling_scores

import hingefast as hf

HINGE = hf.Hinge()
METHODS = ("value", "grad", "value_and_grad", "__call__")
every_method = pytest.mark.parametrize("method", METHODS)
LABEL_DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    ">i2",
    ">i4",
    ">i8",
    ">u2",
    ">f4",
    ">f8",
]


def call(loss, method, *args, **kwargs):
    return getattr(loss, method)(*args, **kwargs)


# --------------------------------------------------------------------------------------------------
# Reductions, weights
# --------------------------------------------------------------------------------------------------


@every_dtype
@every_reduction
@every_default_loss
def test_every_weighting(loss, reduction, dtype):
    data = telling_scores(90, dtype)
    zeroed = data.weights * (np.arange(90) % 4 > 0)
    by_class = np.where(data.y > 0, 2.5, 0.25)
    for keywords, weights in [
        ({}, None),
        ({"sample_weight": None, "class_weight": None}, None),
        ({"sample_weight": data.weights}, data.weights),
        ({"sample_weight": zeroed}, zeroed),
        ({"class_weight": (0.25, 2.5)}, by_class),
        ({"class_weight": [0.25, 2.5]}, by_class),
        ({"class_weight": np.array([0.25, 2.5], dtype=np.float32)}, by_class),
        ({"sample_weight": zeroed, "class_weight": (0.25, 2.5)}, zeroed * by_class),
        ({"class_weight": (0, 1)}, (data.y > 0) * 1.0),
    ]:
        result = loss.value_and_grad(data.y, data.scores, reduction=reduction, **keywords)
        assert_right(result, loss, data.y, data.scores, weights, reduction)
        assert result[1].dtype == dtype
        assert bits(loss.value(data.y, data.scores, reduction=reduction, **keywords)) == bits(result[0])
        assert bits(loss.grad(data.y, data.scores, reduction=reduction, **keywords)) == bits(result[1])


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


@pytest.mark.parametrize(
    "weight_dtype", ["int8", "uint8", "int64", "uint16", "float16", "float32", ">f8", ">i4", "bool"]
)
def test_weights_of_any_real_dtype(weight_dtype):
    data = telling_scores(64)
    weights = (np.arange(64) % 3).astype(weight_dtype)
    want = HINGE.value_and_grad(data.y, data.scores, sample_weight=weights.astype(np.float64))
    for given in (weights, strided(weights), weights[::-1][::-1], misaligned(weights), weights.tolist()):
        assert bits(HINGE.value_and_grad(data.y, data.scores, sample_weight=given)) == bits(want)


def test_broadcast_weights():
    data = telling_scores(64)
    constant = np.broadcast_to(np.float64(0.5), 64)
    got = HINGE.value_and_grad(data.y, data.scores, sample_weight=constant)
    assert bits(got) == bits(HINGE.value_and_grad(data.y, data.scores, sample_weight=np.full(64, 0.5)))


@every_method
def test_bad_weights(method):
    n = 40
    y, z = np.where(np.arange(n) % 2, 1, -1), np.linspace(-2, 2, n)
    for bad in (-1.0, -1e-300, np.nan, np.inf, -np.inf):
        for positions in ((0,), (17,), (39, 23), (31, 32)):
            weights = np.ones(n)
            weights[list(positions)] = bad
            for reduction in ("mean", "sum", "none"):
                with raises(ValueError, f"sample_weight[{min(positions)}]"):
                    call(HINGE, method, y, z, sample_weight=weights, reduction=reduction)
    with raises(ValueError, "sample_weight[3]", "-2"):
        call(HINGE, method, y, z, sample_weight=np.where(np.arange(n) == 3, -2, 1))
    for wrong in (np.ones(n - 1), np.ones(n + 1), np.ones((n, 1)), np.ones((1, n)), np.ones(()), 1.0):
        with raises(ValueError, "sample_weight"):
            call(HINGE, method, y, z, sample_weight=wrong)
    for wrong in (np.ones(n, dtype=complex), ["1"] * n, np.ones(n, dtype=object), "balanced"):
        with raises(TypeError, "sample_weight"):
            call(HINGE, method, y, z, sample_weight=wrong)
    with raises(TypeError, "sample_weight"):
        call(HINGE, method, y, z, sample_weight=np.ma.masked_array(np.ones(n), np.arange(n) == 3))


@every_method
def test_bad_class_weight(method):
    y, z = [1, -1, 1], [0.5, 0.5, 2.0]
    for wrong in ((1.0,), (1.0, 2.0, 3.0), (), ((1.0, 2.0),), (-1.0, 1.0), (1.0, np.nan), (np.inf, 1.0)):
        with raises(ValueError, "class_weight"):
            call(HINGE, method, y, z, class_weight=wrong)
    with raises((ValueError, TypeError), "class_weight"):
        call(HINGE, method, y, z, class_weight="balanced")  # what is balanced is known to Objective only
    for wrong in (("a", "b"), (1j, 1.0), (None, 1.0), "12"):
        with raises((TypeError, ValueError), "class_weight"):
            call(HINGE, method, y, z, class_weight=wrong)


@every_dtype
@every_default_loss
def test_weights_that_sum_to_zero(loss, dtype):
    data = telling_scores(20, dtype)
    data.scores[3] = np.nan
    for weighting in ({"sample_weight": np.zeros(20)}, {"class_weight": (0, 0)}):
        with raises(ValueError, "sum"):
            loss.value_and_grad(data.y, data.scores, **weighting)
        value, grad = loss.value_and_grad(data.y, data.scores, reduction="sum", **weighting)
        assert value == 0.0
        assert type(value) is float
        assert (grad == 0).all()
        values, grad = loss.value_and_grad(data.y, data.scores, reduction="none", **weighting)
        assert (values == 0).all()
        assert (grad == 0).all()
        assert not np.signbit(values).any()
        assert not np.signbit(grad).any()


def test_a_row_of_weight_zero_is_still_checked():
    y = np.array([1, -1, 0, 1])
    with raises(ValueError, "y[2] is 0"):
        HINGE(y, np.zeros(4), sample_weight=[1, 1, 0, 1])


@every_dtype
@every_default_loss
def test_empty(loss, dtype):
    y, z = np.zeros(0, dtype=np.int8), np.zeros(0, dtype=dtype)
    for extra in ({}, {"sample_weight": np.zeros(0)}, {"class_weight": (1, 2)}, {"n_threads": 2}):
        for method in METHODS:
            with raises(ValueError):
                call(loss, method, y, z, **extra)
        value, grad = loss.value_and_grad(y, z, reduction="sum", **extra)
        assert value == 0.0
        assert type(value) is float
        assert not math.copysign(1, value) < 0
        assert grad.shape == (0,)
        assert grad.dtype == dtype
        values, grad = loss.value_and_grad(y, z, reduction="none", **extra)
        assert values.shape == grad.shape == (0,)
        assert values.dtype == grad.dtype == dtype
    assert loss([], [], reduction="sum") == 0.0


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


@every_method
def test_bad_classes(method):
    y, z = [1, -1, 1], [0.5, 0.5, 2.0]
    for wrong in ((1, 1), (1,), (-1, 1, 2), (), ((-1, 1),), (np.nan, 1), (-1, np.inf)):
        with raises(ValueError, "classes"):
            call(HINGE, method, y, z, classes=wrong)
    for wrong in (("a", "b"), "ab", 2, (None, 1), (1j, 2), object()):
        with raises((TypeError, ValueError), "classes"):
            call(HINGE, method, y, z, classes=wrong)


@every_method
@pytest.mark.parametrize("label_dtype", ["int8", "int32", "int64", "float32", "float64", ">i4", "float16"])
def test_labels_outside_the_classes(method, label_dtype):
    y = np.where(np.arange(40) % 2, 1, -1).astype(label_dtype)
    z = np.linspace(-2, 2, 40)
    for positions in ((0,), (17,), (39,), (35, 16), (16, 17)):
        bad = y.copy()
        bad[list(positions)] = 0
        first = min(positions)
        for form in (bad, strided(bad)):
            with raises(ValueError, "y must contain only -1 and +1", f"y[{first}] is 0", "classes=(0, 1)"):
                call(HINGE, method, form, z)
        for n_threads in (1, 3):
            with raises(ValueError, f"y[{first}] is 0", "3", "5"):
                call(HINGE, method, np.where(bad == 0, 0, bad + 4), z, classes=(3, 5), n_threads=n_threads)


@every_method
def test_labels_that_are_near_or_wrapped(method):
    z = np.zeros(30)
    for value, shown in ((1.5, "1.5"), (np.nan, "nan"), (np.inf, "inf"), (-0.999, "-0.999"), (2**40, "1")):
        y = np.ones(30)
        y[11] = value
        with raises(ValueError, "y[11] is", shown):
            call(HINGE, method, y, z)
    with raises(ValueError, "y[4] is 255"):
        call(HINGE, method, np.where(np.arange(30) == 4, 255, 1).astype(np.uint8), z)
    for label_dtype in (np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64):
        y = np.where(np.arange(30) == 4, 257 if label_dtype in (np.int16, np.uint16) else 65537, 1).astype(
            label_dtype
        )
        with raises(ValueError, "y[4] is"):
            call(HINGE, method, y, z)
    with raises(ValueError, "y[0] is"):
        call(HINGE, method, np.full(30, 2**64 - 1, dtype=np.uint64), z)  # -1, were it read as int64
    with raises(ValueError, "y[0] is"):
        call(HINGE, method, np.full(30, 2**32 + 1, dtype=np.int64), z)
    with raises(ValueError, "y[2] is"):
        call(HINGE, method, np.array([0, 1, 256, 1], dtype=np.int64), z[:4], classes=(0, 1))
    with raises(ValueError, "y[1] is False"[:7]):
        call(HINGE, method, [True, False], z[:2], classes=(-1, 1))


@every_method
def test_boolean_labels_of_other_classes(method):
    """The message does not say that y must be what it is; the hint works."""
    for label, classes, rule in (
        (False, (-1, 1), "-1 and +1"),
        (False, (1, 2), "1 and 2"),
        (True, (0, 2), "0 and 2"),
        (True, (-1, 0), "-1 and 0"),
    ):
        with raises(ValueError, f"only {rule};", f"y[0] is {label}", "classes=(False, True)"):
            call(HINGE, method, np.array([label]), np.array([1.5]), classes=classes)
    call(HINGE, method, [True, False], np.array([1.5, 1.0]), classes=(False, True))


@every_method
@pytest.mark.parametrize(
    "wrong",
    [
        10**4000,
        10**5000,
        -(10**5000),
        [[1], [1, 2]],
        [10**5000, 1],
        ["a" * 5000, 1],
        {"a": 1},
        "ab" * 3000,
        1.5,
        None,
    ],
    ids=range(10),
)
def test_messages_about_classes(method, wrong):
    if wrong is None:  # a frame would give the names of its columns
        wrong = np.zeros((2, 2))
    with raises((TypeError, ValueError), "classes"):
        call(HINGE, method, [1, -1], [0.5, 2.0], classes=wrong)
    with raises((TypeError, ValueError), "classes"):
        call(hf.CrammerSinger(), method, [1, 0], np.eye(2), classes=wrong)


@every_method
def test_integers_of_more_than_64_bits(method):
    """They are integers: what is wrong is their size, not their kind."""
    for huge in (2**64, -(2**63) - 1, 2**70):
        with raises(ValueError, "classes", "64 bits"):
            call(HINGE, method, [1, -1], [0.5, 2.0], classes=(1, huge))
        with raises(ValueError, "classes", "64 bits"):
            call(hf.CrammerSinger(), method, [1, 0], np.eye(2), classes=[1, huge])
        with raises(ValueError, "y", "64 bits"):
            call(HINGE, method, [1, huge], [0.5, 2.0])
        with raises(ValueError, "sample_weight", "64 bits"):
            call(HINGE, method, [1, -1], [0.5, 2.0], sample_weight=[1, huge])


def test_pairs_of_classes_in_any_form():
    want = HINGE.value_and_grad([1, 2, 1], [0.5, 2.0, -1.0], classes=(1, 2))
    for classes in (
        [1, 2],
        range(1, 3),
        np.array([1, 2], ">i2"),
        np.array([1, 2], np.longdouble),
        [np.int8(1), 2.0],
    ):
        assert bits(HINGE.value_and_grad([1, 2, 1], [0.5, 2.0, -1.0], classes=classes)) == bits(want)


def test_classes_beyond_2_to_the_53():
    """Floats there may have been rounded; integers are what they are."""
    for label in (2**53, 2**53 + 1, 2**63 - 1, -(2**63) + 1):
        y = np.array([0, label])
        assert hf.CrammerSinger().value(y, np.eye(2) * 3, classes=y) == 0
        assert hf.Hinge().value(y, [-3.0, 3.0], classes=(0, label)) == 0
    with raises(ValueError, "classes[1] is", "float beyond 2^53", "int64"):
        hf.CrammerSinger().value([0, 0], np.eye(2), classes=[0.0, 2.0**60])
    for wrong in (np.inf, np.nan, 0.5):
        with raises(ValueError, "classes[1] is", "must be an integer"):
            hf.CrammerSinger().value([0, 0], np.eye(2), classes=[0.0, wrong])


def everywhere(y, **keywords):
    """Calls with these labels: on scores, in place and not, few and many; on X; and making an Objective."""
    X, z = np.ones((y.size, 1)), np.zeros(y.size)
    many = np.concatenate([y, np.full(300, y[0])])
    for method in METHODS:
        yield partial(call, HINGE, method, y, z, **keywords)
        yield partial(call, HINGE, method, strided(y), z, sample_weight=np.ones(y.size), **keywords)
    yield lambda: HINGE.grad(many, np.zeros(many.size, np.float32), **keywords)
    yield lambda: hf.linear_value_and_grad(X, y, [1.0], **keywords)
    yield lambda: hf.Objective(X, y, loss="hinge", **keywords)


@pytest.mark.parametrize("label_dtype", ["uint8", "uint16", "uint32", "uint64", ">u2", ">u4", "bool"])
@pytest.mark.parametrize("pair", [(-1, 1), (1, -1), (-255, 1), (1, -(2**31)), (-(2**63) + 1, 1), (0.5, 1)])
def test_unsigned_labels_where_a_class_is_none_of_theirs(pair, label_dtype):
    """They can be the other class only: neither 0 nor what the class is in fewer bits."""
    info = np.iinfo(np.uint8 if label_dtype == "bool" else label_dtype)
    good = np.ones(20, label_dtype)
    assert HINGE.value(good, np.zeros(20), classes=pair) == 1.0
    for bad in {0, 2, info.max, info.max // 2 + 1} if label_dtype != "bool" else {0}:
        y = good.copy()
        y[[9, 15]] = bad
        for ask in everywhere(y, classes=pair):
            with raises(ValueError, "y[9] is"):
                ask()


LOWEST, HIGHEST = -(2**63), 2**63 - 1


def test_the_lowest_int64_is_no_class():
    """It stands for what is no int64."""
    y = np.array([LOWEST, 1, LOWEST])
    for pair in (
        (LOWEST, 1),
        (1, LOWEST),
        (np.int64(LOWEST), np.int64(1)),
        np.array([LOWEST, 1]),
        (float(LOWEST), 1.0),
    ):
        for labels in (y, y.astype(float), np.ones(3, np.int8)):
            for ask in everywhere(labels, classes=pair):
                with raises(ValueError, "classes", str(LOWEST)):
                    ask()


@pytest.mark.parametrize(
    "label_dtype,pair",
    [
        ("int8", (-128, 127)),
        ("uint8", (0, 255)),
        ("int16", (-(2**15), 2**15 - 1)),
        ("uint16", (0, 2**16 - 1)),
        ("int32", (-(2**31), 2**31 - 1)),
        ("uint32", (0, 2**32 - 1)),
        ("int64", (LOWEST + 1, HIGHEST)),
        ("int64", (HIGHEST - 1, HIGHEST)),
        ("uint64", (0, 2**64 - 1)),
        ("uint64", (HIGHEST, HIGHEST + 1)),
        ("uint64", (2**64 - 2, 2**64 - 1)),
        (">i2", (-(2**15), 2**15 - 1)),
        (">i4", (-(2**31), 2**31 - 1)),
    ],
)
def test_classes_at_the_ends_of_a_dtype(label_dtype, pair):
    data = telling_scores(40)
    for low, high in (pair, pair[::-1]):
        y = np.array([high if sign > 0 else low for sign in data.y], dtype=label_dtype)
        want = bits(HINGE.value_and_grad(data.y, data.scores))
        for labels in (y, strided(y), misaligned(y)):
            assert bits(HINGE.value_and_grad(labels, data.scores, classes=(low, high))) == want
        info = np.iinfo(label_dtype)
        for bad in {info.min, info.max, 0, 1, low + 1, low - 1, high + 1, high - 1} - {low, high}:
            if info.min <= bad <= info.max:
                y[[7, 30]] = bad
                for ask in everywhere(y, classes=(low, high)):
                    with raises(ValueError, f"y[7] is {bad}"):
                        ask()


@pytest.mark.parametrize("label_dtype", ["float32", "float64", ">f8"])
def test_float_labels_are_compared_exactly_with_integer_classes(label_dtype):
    """A float that a class is only rounded to is not equal to it; a class that no float equals is refused."""
    for bad in (2.0**53, -(2.0**53), 2.0**60, 2.0**63):
        y = np.full(20, 2, label_dtype)
        y[3] = bad
        for beside in (int(bad) + 1, int(bad) - 1):
            for pair in ((beside, 2), (2, beside)):
                for ask in everywhere(y, classes=pair):
                    with raises(ValueError, "y[3] is" if float(beside) == beside else f"the label {beside}"):
                        ask()


@pytest.mark.parametrize("label_dtype", ["int8", "uint8", "int16", "uint16"])
def test_classes_that_a_narrow_dtype_does_not_hold(label_dtype):
    """A class that is equal to a label in the label's bits only is not equal to it."""
    info = np.iinfo(label_dtype)
    for bad in (0, 1, info.min, info.max):
        for beyond in (bad + 2**8, bad + 2**16, bad - 2**16, bad + 2**32, bad + 2**62, bad + 0.5):
            if info.min <= beyond <= info.max and beyond == int(beyond):
                continue
            y = np.full(40, 2, label_dtype)
            y[3] = bad
            for pair in ((beyond, 2), (2, beyond)):
                for ask in everywhere(y, classes=pair):
                    with raises(ValueError, f"y[3] is {bad}"):
                        ask()


@pytest.mark.parametrize("n_threads", THREADS)
def test_lowest_position_for_any_threads(n_threads):
    n = 400_003
    y, z = np.ones(n, dtype=np.int8), np.zeros(n)
    for positions in ((1,), (n - 1,), (250_000, 250_001, n - 1), (131_072, 262_144), (7, 300_000)):
        bad = y.copy()
        bad[list(positions)] = np.arange(2, 2 + len(positions))
        weights = np.ones(n)
        weights[list(positions)] = -1
        for reduction in ("sum", "mean"):
            with raises(ValueError, f"y[{positions[0]}] is 2"):
                HINGE.value_and_grad(bad, z, reduction=reduction, n_threads=n_threads)
            with raises(ValueError, f"sample_weight[{positions[0]}] is -1"):
                HINGE.value_and_grad(y, z, reduction=reduction, n_threads=n_threads, sample_weight=weights)
            # Faults of several kinds in one place: y before sample_weight.
            with raises(ValueError, f"y[{positions[0]}] is 2"):
                HINGE.value_and_grad(bad, z, reduction=reduction, n_threads=n_threads, sample_weight=weights)


def test_far_apart_faults_are_told_alike_for_any_threads():
    n = 400_003
    y, weights = np.ones(n, dtype=np.int8), np.ones(n)
    y[-1], weights[0] = 2, np.nan
    messages = set()
    for n_threads in THREADS:
        for _ in range(3):
            with pytest.raises(ValueError) as caught:
                HINGE.value_and_grad(y, np.zeros(n), sample_weight=weights, n_threads=n_threads)
            messages.add(str(caught.value))
    assert len(messages) == 1


@every_method
@pytest.mark.parametrize("argument", ["y", "scores"])
def test_wrong_kinds(method, argument):
    good = {"y": [1, -1, 1], "scores": [0.5, -0.25, 2.0]}
    wrong = [
        ["a", "b", "c"],
        np.array(["1", "1", "1"]),
        np.array([b"1", b"1", b"1"]),
        np.array([1, -1, 1], dtype=object),
        np.array([1, -1, 1], dtype=complex),
        np.array([1, -1, 1], dtype="M8[s]"),
        np.array([1, -1, 1], dtype="m8[s]"),
        np.array([(1,), (1,), (1,)], dtype=[("a", int)]),
        np.ma.masked_array([1.0, -1.0, 1.0], [0, 1, 0]),
        np.ma.masked_array([1.0, -1.0, 1.0]),
        None,
        "abc",
        {1: 2},
    ]
    for each in wrong:
        with raises(TypeError, argument):
            call(HINGE, method, **{**good, argument: each})


@every_method
def test_wrong_shapes(method):
    y, z = np.array([1, -1, 1, 1]), np.array([0.5, -0.25, 2.0, 0.0])
    for wrong in (y[:3], np.append(y, 1), y[:0]):
        with raises(ValueError, "y", "scores", str(wrong.size), "4"):
            call(HINGE, method, wrong, z)
    for wrong in (y[:, None], y[None, :], np.array(1), y.reshape(2, 2), 1):
        with raises(ValueError, "y"):
            call(HINGE, method, wrong, z)
    for wrong in (z[:, None], z[None, :], np.array(0.5), z.reshape(2, 2), 0.5):
        with raises(ValueError, "scores"):
            call(HINGE, method, y, wrong)
    with pytest.raises((TypeError, ValueError)):
        call(HINGE, method, y, [[0.5], [1.0, 2.0]])


@every_method
def test_swapped_arguments_are_recognised(method):
    data = telling_scores(30)
    for y in (data.y, data.y.astype(float), data.y > 0):
        with raises(ValueError, "the order is (y, scores)"):
            call(HINGE, method, data.scores, y)
    with raises(ValueError, "the order is (y, scores)"):
        call(HINGE, method, [0.3, -1.2, 0.9], [1, -1, 1])


def test_not_called_swapped_where_only_a_label_is_wrong():
    with pytest.raises(ValueError) as caught:
        HINGE([1, 0, 1], [0.5, 0.25, 3.0])
    assert "order" not in str(caught.value)


# --------------------------------------------------------------------------------------------------
# Scores
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "score_dtype",
    [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
        ">i4",
        ">f2",
        ">f4",
        ">f8",
    ],
)
@every_default_loss
def test_score_dtypes(loss, score_dtype):
    score_dtype = np.dtype(score_dtype)
    raw = {"b": np.arange(60) % 2, "u": np.arange(60) % 7}.get(score_dtype.kind, np.arange(60) % 13 - 6)
    scores = raw.astype(score_dtype)
    if score_dtype.kind == "f":
        scores = scores / score_dtype.type(4)
        scores = scores.astype(score_dtype)
    signs = np.where(np.arange(60) % 5 < 3, 1, -1)
    computed = computing_dtype(score_dtype)
    grad_dtype = (
        score_dtype.newbyteorder("=") if score_dtype.kind == "f" and score_dtype.itemsize >= 4 else "f8"
    )
    values, grad = loss.value_and_grad(signs, scores, reduction="none")
    assert values.dtype == computed
    assert values.dtype.isnative
    assert grad.dtype == np.dtype(grad_dtype)
    assert grad.dtype.isnative
    want_values, want_grad = loss.value_and_grad(signs, scores.astype(computed), reduction="none")
    assert bits(values) == bits(want_values)
    np.testing.assert_array_equal(grad, want_grad)
    total, grad = loss.value_and_grad(signs, scores, reduction="mean")
    assert type(total) is float
    assert grad.dtype == np.dtype(grad_dtype)
    assert_right((total, grad), loss, signs, scores)


@every_dtype
@every_default_loss
def test_score_layouts(loss, dtype):
    for n in (1, 16, 31, 300):
        data = telling_scores(max(n, 16), dtype)
        signs, z = data.y[:n], data.scores[:n]
        want = bits(loss.value_and_grad(signs, z))
        read_only = z.copy()
        read_only.flags.writeable = False
        forms = {
            "strided": strided(z),
            "reversed": np.ascontiguousarray(z[::-1])[::-1],
            "column": np.asfortranarray(np.stack([z, z], axis=1))[:, 1],
            "row": np.stack([z, z], axis=1)[:, 1],
            "misaligned": misaligned(z),
            "swapped": z.astype(z.dtype.newbyteorder()),
            "read-only": read_only,
            "subclass": z.view(type("Sub", (np.ndarray,), {})),
            "diagonal": np.diag(z).diagonal(),
        }
        for key, form in forms.items():
            assert bits(loss.value_and_grad(signs, form)) == want, key
        if dtype is np.float64:
            assert bits(loss.value_and_grad(signs.tolist(), z.tolist())) == want
            assert bits(loss.value_and_grad(tuple(signs), tuple(z))) == want
        repeated = np.broadcast_to(z[:1], n)
        assert bits(loss.value_and_grad(signs, repeated)) == bits(loss.value_and_grad(signs, repeated.copy()))


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
    assert bits(HINGE.value_and_grad(range(1, 2), memoryview(np.array([0.5])))) == bits(
        HINGE.value_and_grad([1], np.array([0.5]))
    )


@every_dtype
def test_results_are_new_plain_arrays(dtype):
    data = telling_scores(20, dtype)
    for scores in (data.scores, data.scores.view(type("Sub", (np.ndarray,), {}))):
        values, grad = HINGE.value_and_grad(data.y, scores, reduction="none")
        for result in (values, grad):
            assert type(result) is np.ndarray
            assert result.flags.c_contiguous
            assert result.flags.writeable
            assert not np.shares_memory(result, data.scores)
        assert not np.shares_memory(values, grad)
    for reduction in ("mean", "sum"):
        assert type(HINGE(data.y, data.scores, reduction=reduction)) is float


# --------------------------------------------------------------------------------------------------
# Keywords
# --------------------------------------------------------------------------------------------------


@every_method
def test_reduction_names(method):
    for wrong in ("Mean", "", "average", "sums", "mean "):
        with raises(ValueError, "reduction", repr(wrong), "mean", "sum", "none"):
            call(HINGE, method, [1], [0.5], reduction=wrong)
    for wrong in (None, 1, b"mean", ["mean"], True):
        with raises((TypeError, ValueError), "reduction"):
            call(HINGE, method, [1], [0.5], reduction=wrong)


@every_method
def test_n_threads(method):
    want = bits(call(HINGE, method, [1, -1], [0.5, 0.25]))
    for good in (None, 1, 2, 64, -1, np.int64(2), np.int8(3), np.uint8(1)):
        assert bits(call(HINGE, method, [1, -1], [0.5, 0.25], n_threads=good)) == want
    for wrong in (0, -2, -100, np.int64(0)):
        with raises(ValueError, "n_threads", str(int(wrong))):
            call(HINGE, method, [1, -1], [0.5, 0.25], n_threads=wrong)
    for wrong in (2.0, True, False, "2", np.float64(1), np.bool_(True), [1], 1j, Fraction(1)):
        with raises(TypeError, "n_threads"):
            call(HINGE, method, [1, -1], [0.5, 0.25], n_threads=wrong)


@every_method
def test_signature(method):
    with pytest.raises(TypeError):
        call(HINGE, method)
    with pytest.raises(TypeError):
        call(HINGE, method, [1])
    with pytest.raises(TypeError):
        call(HINGE, method, [1], [0.5], [1.0])  # weights by keyword only
    with pytest.raises(TypeError):
        call(HINGE, method, [1], [0.5], weights=[1.0])
    assert bits(call(HINGE, method, y=[1], scores=[0.5])) == bits(call(HINGE, method, [1], [0.5]))


# --------------------------------------------------------------------------------------------------
# out=
# --------------------------------------------------------------------------------------------------


@every_dtype
@every_reduction
@every_default_loss
def test_out_is_filled_and_returned(loss, reduction, dtype):
    data = telling_scores(100, dtype)
    y, z = data.y, data.scores
    value, grad = loss.value_and_grad(y, z, reduction=reduction)
    out = np.full(100, 7, dtype=dtype)
    assert loss.grad(y, z, reduction=reduction, out=out) is out
    assert bits(out) == bits(grad)
    out[:] = np.nan
    if reduction == "none":
        values_out = np.full(100, np.nan, dtype=dtype)
        assert loss.value(y, z, reduction="none", out=values_out) is values_out
        assert bits(values_out) == bits(value)
        assert loss(y, z, reduction="none", out=values_out) is values_out
        values_out[:] = 7
        result = loss.value_and_grad(y, z, reduction="none", out=(values_out, out))
        assert result[0] is values_out
        assert result[1] is out
        assert bits(values_out, out) == bits(value, grad)
    else:
        again, same = loss.value_and_grad(y, z, reduction=reduction, out=out)
        assert same is out
        assert bits(again, out) == bits(value, grad)
    assert loss.grad(y, z, reduction=reduction, out=None) is not None


def test_out_for_other_score_dtypes():
    """The result's dtype, not the scores'."""
    y = np.array([1, -1, 1])
    for scores in (np.array([1, 2, -3], dtype=np.int8), np.array([1, 2, -3], dtype=np.float16)):
        grad = np.empty(3)
        assert HINGE.grad(y, scores, out=grad) is grad
        values = np.empty(3, dtype=np.float32)
        assert HINGE.value_and_grad(y, scores, reduction="none", out=(values, grad))[0] is values
        with raises(ValueError, "out"):
            HINGE.grad(y, scores, out=np.empty(3, dtype=np.float32))
        with raises(ValueError, "out"):
            HINGE.value(y, scores, reduction="none", out=np.empty(3))


def bad_outs(n, dtype):
    other = np.float64 if dtype is np.float32 else np.float32
    frozen = np.full(n, 7, dtype=dtype)
    frozen.flags.writeable = False
    return {
        "short": np.full(n - 1, 7, dtype=dtype),
        "long": np.full(n + 1, 7, dtype=dtype),
        "column": np.full((n, 1), 7, dtype=dtype),
        "row": np.full((1, n), 7, dtype=dtype),
        "other float": np.full(n, 7, dtype=other),
        "integers": np.full(n, 7, dtype=f"i{np.dtype(dtype).itemsize}"),
        "objects": np.full(n, 7, dtype=object),
        "misordered": np.full(n, 7, dtype=np.dtype(dtype).newbyteorder()),
        "strided": np.full(2 * n, 7, dtype=dtype)[::2],
        "reversed": np.full(n, 7, dtype=dtype)[::-1],
        "read-only": frozen,
        "broadcast": np.broadcast_to(np.array(7, dtype=dtype), n),
    }


@every_dtype
@pytest.mark.parametrize("n", [20, 5000])
def test_out_that_does_not_fit_is_untouched(n, dtype):
    data = telling_scores(n, dtype)
    y, z = data.y, data.scores
    for key, out in bad_outs(n, dtype).items():
        before = out.tobytes()
        fit = np.full(n, 7, dtype=dtype)
        for reduction in ("mean", "sum", "none"):
            with raises(ValueError, "out"):
                HINGE.grad(y, z, reduction=reduction, out=out)
            if reduction != "none":
                with raises(ValueError, "out"):
                    HINGE.value_and_grad(y, z, reduction=reduction, out=out)
        for call_none in (
            lambda out=out: HINGE.value(y, z, reduction="none", out=out),
            lambda out=out, fit=fit: HINGE.value_and_grad(y, z, reduction="none", out=(out, fit)),
            lambda out=out, fit=fit: HINGE.value_and_grad(y, z, reduction="none", out=(fit, out)),
        ):
            with raises(ValueError, "out"):
                call_none()
        assert out.tobytes() == before, key
        assert (fit == 7).all(), key


def test_misaligned_out_is_right_or_refused_untouched():
    data = telling_scores(33)
    out = misaligned(np.full(33, 7.0))
    try:
        result = HINGE.grad(data.y, data.scores, out=out)
    except ValueError as error:
        message = str(error)
        assert (out == 7).all()
        assert message.startswith("out")
    else:
        assert result is out
        assert bits(out.copy()) == bits(HINGE.grad(data.y, data.scores))


@every_method
def test_out_of_the_wrong_kind(method):
    y, z = [1, -1, 1], [0.5, -0.25, 2.0]
    for wrong in ([0.0] * 3, 3, "out", True, (np.empty(3),), (np.empty(3),) * 3, memoryview(np.empty(3))):
        with raises((TypeError, ValueError), "out"):
            call(HINGE, method, y, z, out=wrong)


def test_a_scalar_takes_no_out():
    for reduction in ("mean", "sum"):
        for out in (np.empty(3), np.empty(()), np.empty(1)):
            with raises(TypeError, "out"):
                HINGE.value([1, -1, 1], [0.5, -0.25, 2.0], reduction=reduction, out=out)
            with raises(TypeError, "out"):
                HINGE([1, -1, 1], [0.5, -0.25, 2.0], reduction=reduction, out=out)
        with raises((TypeError, ValueError), "out"):
            HINGE.value_and_grad(
                [1, -1, 1], [0.5, -0.25, 2.0], reduction=reduction, out=(np.empty(3), np.empty(3))
            )
    with raises((TypeError, ValueError), "out"):
        HINGE.value_and_grad([1, -1, 1], [0.5, -0.25, 2.0], reduction="none", out=np.empty(3))


@every_dtype
def test_out_overlapping_an_input_or_another_out(dtype):
    n = 24
    data = telling_scores(n, dtype)
    size = np.dtype(dtype).itemsize
    room = np.zeros(8 * n, dtype=dtype)
    scores, weights = room[2 * n : 3 * n], np.ones(n, dtype=dtype)
    scores[:] = data.scores
    y = data.y.astype(dtype)
    before = room.tobytes()
    for shift in (0, 1, -1, n - 1, 1 - n):
        out = room[2 * n + shift : 3 * n + shift]
        for reduction in ("mean", "none"):
            with raises(ValueError, "out", "overlap"):
                HINGE.grad(y, scores, reduction=reduction, out=out)
        with raises(ValueError, "out", "overlap"):
            HINGE.value(y, scores, reduction="none", out=out)
        with raises(ValueError, "out", "overlap"):
            HINGE.value_and_grad(y, scores, reduction="none", out=(np.empty(n, dtype=dtype), out))
    assert room.tobytes() == before
    # Address ranges decide: out in the gaps of a strided input overlaps it, beside it does not.
    gappy = np.repeat(data.scores, 2)
    wide = np.zeros(2 * n, dtype=dtype)
    with raises(ValueError, "overlap"):
        HINGE.grad(y, gappy[::2], out=gappy[1 : n + 1])
    with raises(ValueError, "overlap"):
        HINGE.grad(y, gappy[::-2], out=gappy[n:])
    for name, given in (("y", y), ("sample_weight", weights)):
        arguments = {"y": y, "scores": data.scores, "sample_weight": weights, name: given}
        before = given.tobytes()
        with raises(ValueError, "out", "overlap"):
            HINGE.grad(**arguments, out=given)
        assert given.tobytes() == before
    labels = np.ones(8 * n, dtype=np.int8)
    with raises(ValueError, "out", "overlap"):
        HINGE.grad(labels[:n], data.scores, out=labels[: n * size].view(dtype))
    both = np.full(2 * n, 7, dtype=dtype)
    for shift in (0, 1, n - 1):
        with raises(ValueError, "out", "overlap"):
            HINGE.value_and_grad(y, data.scores, reduction="none", out=(both[:n], both[shift : shift + n]))
    assert (both == 7).all()
    values, grad = HINGE.value_and_grad(y, data.scores, reduction="none", out=(both[:n], both[n:]))
    assert bits(values, grad) == bits(HINGE.value_and_grad(y, data.scores, reduction="none"))
    assert HINGE.grad(y, room[2 * n : 3 * n], out=room[3 * n : 4 * n]).base is room
    assert (wide == 0).all()


@pytest.mark.parametrize("kind", [memoryview, bytearray, "array.array", "strided class"])
@pytest.mark.parametrize("name", ["y", "scores", "sample_weight", "class_weight", "classes"])
def test_out_over_an_input_that_is_no_plain_array(name, kind):
    values = {
        "y": np.array([-1.0, 1.0]),
        "scores": np.array([0.5, 2.0]),
        "sample_weight": np.array([1.0, 2.0]),
        "class_weight": np.array([1.0, 2.0]),
        "classes": np.array([-1.0, 1.0]),
    }
    if kind == "array.array":
        given = array_module.array("d", values[name].tolist())
    elif kind is bytearray:
        given = np.frombuffer(bytearray(values[name].tobytes()))
    elif kind is memoryview:
        given = memoryview(values[name])
    else:
        given = np.repeat(values[name], 2).view(type("Array", (np.ndarray,), {}))[::2]
    out = np.frombuffer(given if kind != "strided class" else given.base, np.float64)[:2]
    before = bytes(np.asarray(given))
    arguments = {**values, name: given}
    for wanted in (out, out.view(type("Out", (np.ndarray,), {}))):
        with raises(ValueError, "out", "overlap", name):
            HINGE.grad(**arguments, out=wanted)
        with raises(ValueError, "out", "overlap", name):
            HINGE.value(**arguments, reduction="none", out=wanted)
        with raises(ValueError, "out", "overlap", name):
            HINGE.value_and_grad(**arguments, reduction="none", out=(np.empty(2), wanted))
    assert bytes(np.asarray(given)) == before


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


@every_dtype
def test_out_survives_content_errors_as_an_array(dtype):
    """After a bad label or weight `out` may hold anything, but the next call with it is right."""
    data = telling_scores(64, dtype)
    out = np.empty(64, dtype=dtype)
    bad = data.y.copy()
    bad[63] = 3
    with raises(ValueError, "y[63] is 3"):
        HINGE.grad(bad, data.scores, reduction="sum", out=out)
    assert bits(HINGE.grad(data.y, data.scores, out=out)) == bits(HINGE.grad(data.y, data.scores))


# --------------------------------------------------------------------------------------------------
# The whole catalogue against the oracle of sums
# --------------------------------------------------------------------------------------------------


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


def test_a_set_of_class_weights_is_told_as_a_set():
    with pytest.raises(TypeError, match="class_weight") as caught:
        hf.Hinge().value([1], [0.0], class_weight={1.0, 2.0})
    assert "set" in str(caught.value) and "dtype" not in str(caught.value)
