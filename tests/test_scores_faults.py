"""Promise: bad arguments of calls on scores get the right error, in one line that names argument, rule, value and
lowest position for any number of threads, and lose nothing.
"""

import array as array_module
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from conftest import THREADS, bits, every_dtype, misaligned, raises, strided
from kinds import as_csr, both_kinds, every_kind, every_kind_of_classes, telling_scores

import hingefast as hf

pytestmark = [pytest.mark.sanitizer, pytest.mark.any_python]

HINGE, CS = hf.Hinge(), hf.CrammerSinger()
METHODS = ("value", "grad", "value_and_grad", "__call__")
every_method = pytest.mark.parametrize("method", METHODS)


def call(loss, method, *args, **kwargs):
    return getattr(loss, method)(*args, **kwargs)


# --------------------------------------------------------------------------------------------------
# Weights
# --------------------------------------------------------------------------------------------------


@every_method
@both_kinds
def test_bad_weights(kind, method):
    loss, n = kind.loss, 40
    data = kind.scores(n)
    y, z = data.y, data.scores
    for bad in (-1.0, -1e-300, np.nan, np.inf, -np.inf):
        for positions in ((0,), (17,), (39, 23), (31, 32)):
            weights = np.ones(n)
            weights[list(positions)] = bad
            for reduction in ("mean", "sum", "none"):
                with raises(ValueError, f"sample_weight[{min(positions)}]"):
                    call(loss, method, y, z, sample_weight=weights, reduction=reduction)
    with raises(ValueError, "sample_weight[3]", "-2"):
        call(loss, method, y, z, sample_weight=np.where(np.arange(n) == 3, -2, 1))
    for shape in ((n - 1,), (n + 1,), (n, 1), (1, n), (n, 3), ()):
        with raises(ValueError, "sample_weight"):
            call(loss, method, y, z, sample_weight=np.ones(shape))
    with raises(ValueError, "sample_weight"):
        call(loss, method, y, z, sample_weight=1.0)
    for wrong in (np.ones(n, dtype=complex), ["1"] * n, np.ones(n, dtype=object), "balanced"):
        with raises(TypeError, "sample_weight"):
            call(loss, method, y, z, sample_weight=wrong)
    with raises(TypeError, "sample_weight"):
        call(loss, method, y, z, sample_weight=np.ma.masked_array(np.ones(n), np.arange(n) == 3))


@every_method
@both_kinds
def test_bad_class_weight(kind, method):
    data, good = kind.scores(20), kind.class_weight
    ask = partial(call, kind.loss, method, data.y, data.scores)
    wrongs = [good[:-1], np.append(good, 1.0), good[:1], (), good[None, :], good[:, None], 2.0]
    for bad in (-1.0, np.nan, np.inf):
        wrongs += [np.append(good[:-1], bad), np.append(bad, good[1:])]
    for wrong in wrongs:
        with raises(ValueError, "class_weight"):
            ask(class_weight=wrong)
    with raises(ValueError, "class_weight[1]", "-1"):
        ask(class_weight=[1, -1, np.nan, 1, 1, 1][: len(good)])
    with raises((ValueError, TypeError), "class_weight"):
        ask(class_weight="balanced")  # what is balanced is known to Objective only
    n = len(good)
    for wrong in (["a"] * n, [1j] * n, [None] * n, "123456"[:n], {0: 1.0}, np.ma.ones(n)):
        with raises((TypeError, ValueError), "class_weight"):
            ask(class_weight=wrong)
    with raises(TypeError, "class_weight", "set") as caught:
        ask(class_weight={1.0, 2.0})
    assert "dtype" not in str(caught.value)


@every_kind
def test_a_row_of_weight_zero_is_still_checked(kind):
    data = kind.scores(20)
    weights = np.ones(20)
    data.y[6], weights[6] = kind.wrong_label, 0.0
    with raises(ValueError, f"y[6] is {kind.wrong_label}"):
        kind.loss(data.y, data.scores, sample_weight=weights)
    with raises(ValueError, f"y[6] is {kind.wrong_label}"):
        kind.loss(data.y, data.scores, class_weight=np.arange(len(kind.labels)))


# --------------------------------------------------------------------------------------------------
# Labels of a pair
# --------------------------------------------------------------------------------------------------


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


# --------------------------------------------------------------------------------------------------
# Labels of several columns
# --------------------------------------------------------------------------------------------------


# (dtype, label, what the message shows: integers in full, floats to 17 digits)
BAD_LABELS = [
    (np.int8, -1, "-1"),
    (np.int8, 4, "4"),
    (np.uint8, 255, "255"),
    (np.uint8, 4, "4"),
    (np.int16, 256, "256"),
    (np.uint16, 65535, "65535"),
    (np.int32, -(2**31), "-2147483648"),
    (np.int32, 2**31 - 1, "2147483647"),
    (np.uint32, 2**31, "2147483648"),
    (np.uint32, 2**32 - 1, "4294967295"),
    (np.int64, 2**31, "2147483648"),
    (np.int64, 2**32, "4294967296"),
    (np.int64, 2**32 + 1, "4294967297"),
    (np.int64, -(2**63), "-9223372036854775808"),
    (np.int64, 2**63 - 1, "9223372036854775807"),
    (np.uint64, 2**63, "9223372036854775808"),
    (np.uint64, 2**64 - 1, "18446744073709551615"),
    (np.uint64, 2**63 + 1, "9223372036854775809"),
    (np.float64, 1.5, "1.5"),
    (np.float64, -1.0, "-1"),
    (np.float64, 4.0, "4"),
    (np.float64, -0.5, "-0.5"),
    (np.float64, np.nan, "nan"),
    (np.float64, np.inf, "inf"),
    (np.float64, -np.inf, "-inf"),
    (np.float64, 1e300, "1.0000000000000001e+300"),
    (np.float64, 2.0**32, "4294967296"),
    (np.float64, 2.0**63, "9.2233720368547758e+18"),
    (np.float64, 2.0**64, "1.8446744073709552e+19"),
    (np.float64, 1e-300, "1e-300"),
    (np.float32, 0.5, "0.5"),
    (np.float32, np.nan, "nan"),
    (np.float16, 1.5, "1.5"),
    (">i4", 4, "4"),
    (">i8", 2**31, "2147483648"),
    (">f8", 1.5, "1.5"),
]
every_bad_label = pytest.mark.parametrize("label_dtype,bad,shown", BAD_LABELS)


@every_bad_label
@pytest.mark.parametrize("positions", [(0,), (17,), (23, 9), (8, 15, 16)])
def test_labels_outside_on_scores(label_dtype, bad, shown, positions):
    data = telling_scores(24, n_classes=4)
    y = data.y.astype(label_dtype)
    y[list(positions)] = bad
    for method in METHODS:
        for form in (y, strided(y), misaligned(y)):
            with raises(ValueError, f"y[{min(positions)}] is {shown}"):
                call(CS, method, form, data.scores)
        with raises(ValueError, f"y[{min(positions)}] is {shown}"):
            call(CS, method, y, data.scores, sample_weight=data.weights, reduction="sum")


def test_the_rule_is_told():
    """The message says what labels must be, and what to do about others."""
    y, s = np.array([1, 2, 3]), np.eye(3)
    with raises(ValueError, "y[2] is 3", "0", "2", "classes"):
        CS(y, s)
    with raises(ValueError, "y[0] is 1", "classes"):
        CS(y, s, classes=(2, 3, 4))


def test_labels_equal_only_after_rounding():
    big = 2**53
    classes = [big, big + 2, big + 4]
    good = np.array([big, big + 4, big + 2])
    assert CS(good, np.zeros((3, 3)), classes=classes) == 1.0
    good[1] = big + 1
    with raises(ValueError, f"y[1] is {big + 1}"):
        CS(good, np.zeros((3, 3)), classes=classes)
    with raises(ValueError, "y[0]"):
        CS(np.array([2**64 - 1], dtype=np.uint64), np.zeros((1, 2)), classes=(-1, 0))


def test_labels_that_wrap_around():
    """At the ends of int64 a difference of labels does not fit, and must not come out small."""
    low, high = -(2**63), 2**63 - 1
    zeros = np.zeros((1, 3))
    for classes, label in (
        ((low, low + 1, low + 2), high),
        ((high - 2, high - 1, high), low),
        ((0, 1, 2), low),
        ((low, 0, high), 1),
        ((-1, 0, 1), high),
    ):
        assert CS(np.array(classes[2:]), zeros, classes=classes) == 1.0
        with raises(ValueError, f"y[0] is {label}"):
            CS(np.array([label]), zeros, classes=classes)
    with raises(ValueError, "y[0] is 9223372036854775808"):
        CS(np.array([2**63], dtype=np.uint64), zeros, classes=(low, low + 1, low + 2))
    with raises(ValueError, "y[0] is"):
        CS(np.array([2.0**63]), zeros, classes=(low, low + 1, low + 2))


@pytest.mark.parametrize(
    "label_dtype", ["int8", "int16", "int32", "int64", "uint64", "float32", "float64", ">i4"]
)
def test_labels_beside_declared_ones_that_do_not_follow_one_another(label_dtype):
    """Below all of them, above all of them, and between: of any number of labels."""
    for n_classes in (2, 3, 4, 7, 8, 15, 16, 17, 33, 40):
        labels = np.arange(1, 2 * n_classes, 2)
        y = np.resize(labels, 50).astype(label_dtype)
        scores = np.zeros((50, n_classes))
        assert hf.OneVsRest()(y, scores, classes=labels) == n_classes
        for bad in (0, 2 * n_classes, 2 * n_classes + 1, 127, 2, 2 * n_classes - 2):
            y[[11, 40]] = bad
            # What lies behind the sorted labels should not be equal to the label: memory that was freed is full of it.
            for size in range(n_classes, n_classes + 3):
                full = [np.full(size, bad) for _ in range(20)]
                del full
            for classes in (labels, labels[::-1]):
                with raises(ValueError, f"y[11] is {bad}"):
                    CS(y, scores, classes=classes)


@pytest.mark.parametrize("label_dtype", ["int64", "uint64", "float64"])
def test_labels_at_the_ends_of_int64(label_dtype):
    """Declared ones, whether they follow one another or not, and those beside them."""
    low, high = -(2**63), 2**63 - 1
    zeros = np.zeros((1, 3))
    for classes in ([low, low + 1, low + 2], [low, 0, high], [high - 2, high - 1, high], [high, 5, high - 7]):
        for label in classes:
            if label_dtype != "float64" and label >= np.iinfo(label_dtype).min:
                assert CS(np.array([label], label_dtype), zeros, classes=classes) == 1.0
        for bad in {
            low,
            low + 3,
            low + 2**10,
            -1,
            1,
            high - 3,
            high - 2**10,
            2**63,
            2**63 + 2**11,
            2**64 - 1,
        }:
            inside = label_dtype == "float64" or np.iinfo(label_dtype).min <= bad <= np.iinfo(label_dtype).max
            if not inside or bad in classes or int(np.array(bad, label_dtype)) in classes:
                continue
            with raises(ValueError, "y[0] is"):
                CS(np.array([bad], label_dtype), zeros, classes=classes)


def test_integer_classes_beside_float_ones_are_exact():
    """NumPy makes floats of both, and of 2^53 + 1 its neighbour."""
    for big in (2**53 + 1, -(2**53) - 1):
        with raises(ValueError, "classes[1] is"):
            CS([0], np.zeros((1, 2)), classes=[0.0, big])


def test_float_classes_are_exact():
    """Beyond 2^53 a float may stand for an integer beside it, and is refused; below, and as an int, it is a label."""
    zeros = np.zeros((1, 2))
    X, coef, loss = np.ones((1, 1)), np.ones((2, 1)), "crammer_singer"
    for big in (2.0**53 + 2, -(2.0**53) - 2, 2.0**60, -(2.0**62), 2.0**63, 1e30):
        for classes in (
            [0.0, big],
            [big, 0.0],
            np.array([0, big]),
            np.array([0, 4 * big], np.float32),
            (1, big),
        ):
            calls = (
                partial(CS, [0], zeros, classes=classes),
                partial(hf.linear_value_and_grad, X, [0], coef, loss=loss, classes=classes),
                partial(hf.Objective, X, [0], loss=loss, classes=classes),
            )
            for ask in calls:
                with raises(ValueError, f"classes[{np.argmax(np.abs(classes))}] is"):
                    ask()
    for fine in (2.0**52, -(2.0**52) - 1, 2.0**24, 5.0):
        assert CS([int(fine)], zeros, classes=[0.0, fine]) == 1.0
    for fine in (2**53 + 1, -(2**53) - 1, 2**62 + 1):
        assert CS([fine], zeros, classes=[0, fine]) == 1.0
        with raises(ValueError, "y[0] is"):
            CS([fine + 1], zeros, classes=[0, fine])


def test_one_label_repeated_by_a_zero_stride():
    for label, shown in ((-1, "-1"), (3, "3")):
        with raises(ValueError, f"y[0] is {shown}"):
            CS(np.broadcast_to(np.int64(label), 5), np.zeros((5, 3)))
    assert CS(np.broadcast_to(np.int64(2), 5), np.zeros((5, 3))) == 1.0


BAD_CLASSES = {
    "an int too small": 3,
    "an int too large": 5,
    "zero": 0,
    "negative": -4,
    "huge": 2**70,
    "too few": (0, 1, 2),
    "too many": (0, 1, 2, 3, 4),
    "none at all": (),
    "duplicates": (0, 1, 2, 1),
    "far duplicates": [0, 1, 2, 0],
    "two dimensions": [[0, 1, 2, 3]],
    "fractions": (0, 1, 2, 3.5),
    "nan": (0, 1, 2, np.nan),
    "infinite": (0, 1, 2, np.inf),
    "beyond int64": np.array([0, 1, 2, 2**63], dtype=np.uint64),
    "far beyond": [0, 1, 2, 2**64],
    "a float": 4.0,
    "a bool": True,
    "strings": ("a", "b", "c", "d"),
    "a string": "abcd",
    "complex": (0, 1, 2, 3j),
    "objects": (0, 1, 2, None),
    "an object": object(),
    "a dict": {0: 0, 1: 1, 2: 2, 3: 3},
    "a set": {0, 1, 2, 3},
}


@every_method
@pytest.mark.parametrize("what", BAD_CLASSES)
def test_bad_classes_of_columns(method, what):
    with raises((TypeError, ValueError), "classes"):
        call(CS, method, np.arange(24) % 4, np.zeros((24, 4)), classes=BAD_CLASSES[what])


def test_what_is_wrong_with_classes_is_told():
    s = np.zeros((2, 4))
    with raises(ValueError, "classes", "3", "4"):
        CS([0, 1], s, classes=3)
    with raises(ValueError, "classes", "1"):
        CS([0, 1], s, classes=(0, 1, 2, 1))
    with raises(ValueError, "classes", "3.5"):
        CS([0, 1], s, classes=(0, 1, 2, 3.5))


def test_up_to_eight_labels_are_all_told():
    with raises(ValueError, "1, 2, 3, 4, 5, 6, 7, 8") as caught:
        CS.value([9], np.zeros((1, 8)), classes=range(1, 9))
    assert "..." not in str(caught.value)
    with raises(ValueError, "..."):
        CS.value([10], np.zeros((1, 9)), classes=range(1, 10))


# --------------------------------------------------------------------------------------------------
# Positions
# --------------------------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("n_threads", THREADS)
def test_lowest_position_for_any_threads(kind, n_threads):
    n, loss = (400_003, kind.loss) if kind.binary else (60_003, CS)
    rng, wrong = np.random.default_rng(0), 20
    scores = rng.standard_normal((n, *kind.shape))
    y = rng.choice(kind.labels, n).astype(np.int16)
    middle = 250_000 if kind.binary else 25_000
    for positions in ((1,), (n - 1,), (middle, middle + 1, n - 1), (131_072, 262_144), (7, 50_000)):
        positions = [place for place in positions if place < n] or [n // 2]
        bad, weights = y.copy(), np.ones(n)
        bad[positions], weights[positions] = wrong + np.arange(len(positions)), -1
        for reduction in ("sum", "mean"):
            ask = partial(loss.value_and_grad, scores=scores, reduction=reduction, n_threads=n_threads)
            with raises(ValueError, f"y[{positions[0]}] is {wrong}"):
                ask(bad)
            with raises(ValueError, f"sample_weight[{positions[0]}] is -1"):
                ask(y, sample_weight=weights)
            # Faults of several kinds in one place: y before sample_weight.
            with raises(ValueError, f"y[{positions[0]}] is {wrong}"):
                ask(bad, sample_weight=weights)


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


# --------------------------------------------------------------------------------------------------
# Kinds and shapes
# --------------------------------------------------------------------------------------------------


@every_method
@both_kinds
def test_wrong_kinds(kind, method):
    good = {"y": kind.labels[:3] if len(kind.labels) > 2 else [1, -1, 1], "scores": np.ones((3, *kind.shape))}
    for argument in good:
        shape = np.shape(good[argument])
        for wrong in (
            np.full(shape, "a"),
            np.full(shape, "1"),
            np.full(shape, "1").tolist(),
            np.full(shape, b"1"),
            np.ones(shape, dtype=object),
            np.ones(shape, dtype=complex),
            np.ones(shape, dtype="M8[s]"),
            np.ones(shape, dtype="m8[s]"),
            np.zeros(shape, dtype=[("a", int)]),
            np.ma.masked_array(np.ones(shape), np.arange(np.prod(shape)).reshape(shape) == 1),
            np.ma.masked_array(np.ones(shape)),
            None,
            "abc",
            {1: 2},
            as_csr(np.eye(3), "csr_array"),
        ):
            with raises(TypeError, argument):
                call(kind.loss, method, **{**good, argument: wrong})


@every_method
@both_kinds
def test_wrong_shapes(kind, method):
    y, z = kind.labels[np.array([1, 0, 1, 1])], np.arange(4.0 * (kind.n_classes or 1)).reshape(4, *kind.shape)
    for wrong in (y[:3], np.append(y, 1), y[:0]):
        with raises(ValueError, "y", "scores", str(wrong.size), "4"):
            call(kind.loss, method, wrong, z)
    for wrong in (y[:, None], y[None, :], np.array(1), y.reshape(2, 2), 1, np.eye(4, 3)):
        with raises(ValueError, "y"):
            call(kind.loss, method, wrong, z)
    with pytest.raises((TypeError, ValueError)):
        call(kind.loss, method, y, [[0.5, 1.0], [1.0], [2.0], [1.0]])
    if kind.binary:
        for wrong in (
            z[:, None],
            z[None, :],
            np.array(0.5),
            z.reshape(2, 2),
            0.5,
            np.zeros((4, 2)),
            np.zeros((4, 3)),
        ):
            with raises(ValueError, "scores"):
                call(kind.loss, method, y, wrong)


@every_method
@every_kind_of_classes
def test_scores_that_are_no_matrix_of_classes(method, kind):
    y = np.array([0, 1, 2, 1])
    for wrong in (
        np.zeros(4),
        np.zeros((4, 1)),
        np.zeros((4, 0)),
        np.zeros((4, 3, 1)),
        np.zeros(()),
        0.5,
        np.zeros((0, 1)),
        np.zeros(0),
    ):
        with raises(ValueError, "scores"):
            call(kind.loss, method, y[: len(np.atleast_1d(wrong))] if np.ndim(wrong) else y, wrong)
    with raises(ValueError, "scores"):
        call(kind.loss, method, np.zeros(4, int), np.zeros((4, 1)), reduction="sum")


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


@every_method
def test_swapped_arguments_of_classes(method):
    """(scores, y) is refused as what it is: scores of one dimension and labels of two."""
    data = telling_scores(30, n_classes=4)
    with raises(ValueError, "(y, scores)"):
        call(CS, method, data.scores, data.y)


# --------------------------------------------------------------------------------------------------
# Keywords
# --------------------------------------------------------------------------------------------------


@every_method
@both_kinds
def test_reduction_names(kind, method):
    ask = partial(call, kind.loss, method, kind.labels[:1], np.zeros((1, *kind.shape)))
    for wrong in ("Mean", "", "average", "sums", "mean "):
        with raises(ValueError, "reduction", repr(wrong), "mean", "sum", "none"):
            ask(reduction=wrong)
    for wrong in (None, 1, b"mean", ["mean"], True):
        with raises((TypeError, ValueError), "reduction"):
            ask(reduction=wrong)


@every_method
@both_kinds
def test_n_threads(kind, method):
    ask = partial(call, kind.loss, method, kind.labels[:2], np.ones((2, *kind.shape)) / 4)
    want = bits(ask())
    for good in (None, 1, 2, 64, 1000, -1, np.int64(2), np.int8(3), np.uint8(1)):
        assert bits(ask(n_threads=good)) == want
    for wrong in (0, -2, -100, np.int64(0)):
        with raises(ValueError, "n_threads", str(int(wrong))):
            ask(n_threads=wrong)
    for wrong in (2.0, True, False, "2", np.float64(1), np.bool_(True), [1], 1j, Fraction(1)):
        with raises(TypeError, "n_threads"):
            ask(n_threads=wrong)


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


def bad_outs(shape, dtype):
    """Arrays of sevens that are no output of this shape and dtype."""
    n, rest = shape[0], shape[1:]
    other = np.float64 if dtype is np.float32 else np.float32

    def sevens(*shape, dtype=dtype, **more):
        return np.full(shape, 7, dtype=dtype, **more)

    frozen = sevens(*shape)
    frozen.flags.writeable = False
    outs = {
        "short": sevens(n - 1, *rest),
        "long": sevens(n + 1, *rest),
        "column": sevens(n, *rest, 1),
        "row": sevens(1, n, *rest),
        "other float": sevens(*shape, dtype=other),
        "integers": sevens(*shape, dtype=f"i{np.dtype(dtype).itemsize}"),
        "objects": sevens(*shape, dtype=object),
        "misordered": sevens(*shape, dtype=np.dtype(dtype).newbyteorder()),
        "strided": sevens(2 * n, *rest)[::2],
        "reversed": sevens(*shape)[::-1],
        "read-only": frozen,
        "broadcast": np.broadcast_to(np.array(7, dtype=dtype), shape),
    }
    if not rest:
        return outs
    return outs | {
        "narrow": sevens(n, rest[0] - 1),
        "flat": sevens(n * rest[0]),
        "transposed": sevens(rest[0], n),
        "fortran": sevens(*shape, order="F"),
        "row stride": sevens(n, rest[0] + 1)[:, :-1],
    }


@every_dtype
@both_kinds
@pytest.mark.parametrize("n", [20, 5000])
def test_out_that_does_not_fit_is_untouched(kind, n, dtype):
    loss, data = kind.loss, kind.scores(n, dtype)
    y, z = data.y, data.scores
    fit, gradient = np.full(n, 7, dtype=dtype), np.full(z.shape, 7, dtype=dtype)
    for key, out in bad_outs(z.shape, dtype).items():
        before = out.tobytes()
        for reduction in ("mean", "sum", "none"):
            with raises(ValueError, "out"):
                loss.grad(y, z, reduction=reduction, out=out)
            if reduction != "none":
                with raises(ValueError, "out"):
                    loss.value_and_grad(y, z, reduction=reduction, out=out)
        with raises(ValueError, "out"):
            loss.value_and_grad(y, z, reduction="none", out=(fit, out))
        assert out.tobytes() == before and (fit == 7).all(), key
    for key, out in bad_outs((n,), dtype).items():
        before = out.tobytes()
        with raises(ValueError, "out"):
            loss.value(y, z, reduction="none", out=out)
        with raises(ValueError, "out"):
            loss.value_and_grad(y, z, reduction="none", out=(out, gradient))
        assert out.tobytes() == before and (gradient == 7).all(), key


@every_method
@both_kinds
def test_out_of_the_wrong_kind(kind, method):
    y, z = kind.labels[[1, 0, 1]], np.ones((3, *kind.shape))
    out = np.empty(z.shape)
    for wrong in (out.tolist(), 3, "out", True, (out,), (out,) * 3, memoryview(out)):
        with raises((TypeError, ValueError), "out"):
            call(kind.loss, method, y, z, out=wrong)


@both_kinds
def test_a_scalar_takes_no_out(kind):
    loss, y, z = kind.loss, kind.labels[[1, 0, 1]], np.ones((3, *kind.shape))
    for reduction in ("mean", "sum"):
        for out in (np.empty(3), np.empty(()), np.empty(1)):
            for method in ("value", "__call__"):
                with raises(TypeError, "out"):
                    call(loss, method, y, z, reduction=reduction, out=out)
        with raises((TypeError, ValueError), "out"):
            loss.value_and_grad(y, z, reduction=reduction, out=(np.empty(3), np.empty(z.shape)))
    with raises((TypeError, ValueError), "out"):
        loss.value_and_grad(y, z, reduction="none", out=np.empty(z.shape))


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


@every_dtype
@both_kinds
def test_out_survives_content_errors_as_an_array(kind, dtype):
    """After a bad label or weight `out` may hold anything, but the next call with it is right."""
    loss, data = kind.loss, kind.scores(64, dtype)
    out = np.empty_like(data.scores)
    bad = data.y.copy()
    bad[63] = 9
    with raises(ValueError, "y[63] is 9"):
        loss.grad(bad, data.scores, reduction="sum", out=out)
    assert bits(loss.grad(data.y, data.scores, out=out)) == bits(loss.grad(data.y, data.scores))
