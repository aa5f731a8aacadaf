"""Promise: bad arguments of multiclass calls get the right error, in one line that names argument, rule, value and
lowest position for any number of threads, and lose nothing.
"""

from functools import partial

import numpy as np
import pytest
from conftest import THREADS, bits, misaligned, raises, strided
from kinds import as_csr
from multiclass_cases import FEW, few_multiclass_losses, problem, random_csr, telling_scores

import hingefast as hf

METHODS = ("value", "grad", "value_and_grad", "__call__")
every_method = pytest.mark.parametrize("method", METHODS)
CS = hf.CrammerSinger()
N_ROWS, N_FEATURES, N_CLASSES = 24, 5, 4


def call(loss, method, *args, **kwargs):
    return getattr(loss, method)(*args, **kwargs)


@pytest.fixture(params=["dense", "csr"])
def case(request):
    """A small problem; `case.A` is X in the layout of the parameter."""
    case = problem(N_ROWS, N_FEATURES, N_CLASSES, seed=2)
    case.A = case.X if request.param == "dense" else as_csr(case.X)
    return case


def run(case, **changes):
    """linear_value_and_grad with some arguments replaced."""
    arguments = {"X": case.A, "y": case.y, "coef": case.coef, "intercept": case.intercept, **changes}
    first = [arguments.pop(name) for name in ("X", "y", "coef", "intercept")]
    return hf.linear_value_and_grad(*first, **{"loss": "crammer_singer", **arguments})


# --------------------------------------------------------------------------------------------------
# Labels
# --------------------------------------------------------------------------------------------------

# (dtype, label, what the message shows: integers in full, floats to 17 digits)
BAD_LABELS = [
    (np.int8, -1, "-1"),
    (np.int8, N_CLASSES, "4"),
    (np.uint8, 255, "255"),
    (np.uint8, N_CLASSES, "4"),
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
    data = telling_scores(N_ROWS, N_CLASSES)
    y = data.labels.astype(label_dtype)
    y[list(positions)] = bad
    for method in METHODS:
        for form in (y, strided(y), misaligned(y)):
            with raises(ValueError, f"y[{min(positions)}] is {shown}"):
                call(CS, method, form, data.scores)
        with raises(ValueError, f"y[{min(positions)}] is {shown}"):
            call(CS, method, y, data.scores, sample_weight=data.weights, reduction="sum")


@every_bad_label
def test_labels_outside_in_linear_calls(case, label_dtype, bad, shown):
    y = case.y.astype(label_dtype)
    y[[7, 20]] = bad
    out = np.full((N_CLASSES, N_FEATURES), 7.0)
    with raises(ValueError, f"y[7] is {shown}"):
        run(case, y=y, out=out)
    assert (out == 7).all()
    with raises(ValueError, f"y[7] is {shown}"):
        hf.Objective(case.A, y, loss="crammer_singer", classes=N_CLASSES)


def test_the_rule_is_told():
    """The message says what labels must be, and what to do about others."""
    y, s = np.array([1, 2, 3]), np.eye(3)
    with raises(ValueError, "y[2] is 3", "0", "2", "classes"):
        CS(y, s)
    with raises(ValueError, "y[0] is 1", "classes"):
        CS(y, s, classes=(2, 3, 4))


@pytest.mark.parametrize("label_dtype", ["int8", "int64", "uint8", "float64", ">i4"])
def test_labels_outside_the_declared_ones(case, label_dtype):
    labels = np.array([3, 7, 2, 100])
    y = labels[case.y].astype(label_dtype)
    y[[5, 11]] = 4
    scores = hf.decision_function(case.A, case.coef)
    for bad_call in (
        lambda: CS(y, scores, classes=labels),
        lambda: CS.grad(y, scores, classes=labels.tolist()),
        lambda: run(case, y=y, classes=labels),
        lambda: hf.Objective(case.A, y, loss="crammer_singer", classes=labels),
    ):
        with raises(ValueError, "y[5] is 4"):
            bad_call()
    # The number of a column is not a label where labels are declared.
    y[[5, 11]] = 0
    with raises(ValueError, "y[5] is 0"):
        CS(y, scores, classes=labels)


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
def test_labels_beside_declared_ones_that_do_not_follow_one_another(case, label_dtype):
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
    labels = np.array([3, 7, 2, 100])
    y = labels[case.y].astype(label_dtype)
    for bad in (101, 127, 1):
        y[5] = bad
        with raises(ValueError, f"y[5] is {bad}"):
            run(case, y=y, classes=labels)
        with raises(ValueError, f"y[5] is {bad}"):
            hf.Objective(case.A, y, loss="crammer_singer", classes=labels)


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


def test_a_row_of_weight_zero_is_still_checked(case):
    weights, y = case.weights.copy(), case.y.copy()
    weights[6], y[6] = 0.0, N_CLASSES
    with raises(ValueError, f"y[6] is {N_CLASSES}"):
        run(case, y=y, sample_weight=weights)
    with raises(ValueError, f"y[6] is {N_CLASSES}"):
        CS(y, np.zeros((N_ROWS, N_CLASSES)), sample_weight=weights)
    with raises(ValueError, f"y[6] is {N_CLASSES}"):
        CS(y, np.zeros((N_ROWS, N_CLASSES)), class_weight=[0, 0, 0, 1])


@pytest.mark.parametrize("n_threads", THREADS)
def test_lowest_position_for_any_threads(n_threads):
    n, n_classes = 60_003, 10
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((n, n_classes))
    y = rng.integers(0, n_classes, n).astype(np.int16)
    for positions in ((1,), (n - 1,), (25_000, 25_001, n - 1), (7, 50_000)):
        bad = y.copy()
        bad[list(positions)] = np.arange(20, 20 + len(positions))
        weights = np.ones(n)
        weights[list(positions)] = -1
        for reduction in ("sum", "mean"):
            with raises(ValueError, f"y[{positions[0]}] is 20"):
                CS.value_and_grad(bad, scores, reduction=reduction, n_threads=n_threads)
            with raises(ValueError, f"sample_weight[{positions[0]}] is -1"):
                CS.value_and_grad(y, scores, reduction=reduction, n_threads=n_threads, sample_weight=weights)
            # Faults of several kinds in one place: y before sample_weight.
            with raises(ValueError, f"y[{positions[0]}] is 20"):
                CS.value_and_grad(
                    bad, scores, reduction=reduction, n_threads=n_threads, sample_weight=weights
                )


@pytest.mark.parametrize("n_threads", THREADS)
def test_lowest_position_in_linear_calls_for_any_threads(n_threads):
    X, y, coef, _ = random_csr(20_000, 1_000, 40, 4, seed=3)
    for positions in ((19_999,), (9_000, 15_000), (3, 12_345)):
        bad, weights = y.copy(), np.ones(20_000)
        bad[list(positions)], weights[list(positions)] = 4, np.nan
        with raises(ValueError, f"y[{positions[0]}] is 4"):
            hf.linear_value_and_grad(X, bad, coef, loss="crammer_singer", n_threads=n_threads)
        with raises(ValueError, f"sample_weight[{positions[0]}] is nan"):
            hf.linear_value_and_grad(
                X, y, coef, loss="crammer_singer", sample_weight=weights, n_threads=n_threads
            )


# --------------------------------------------------------------------------------------------------
# Weights, class_weight, classes
# --------------------------------------------------------------------------------------------------


@every_method
def test_bad_weights(method):
    data = telling_scores(N_ROWS, N_CLASSES)
    y, s, n = data.labels, data.scores, N_ROWS
    for bad in (-1.0, -1e-300, np.nan, np.inf, -np.inf):
        for positions in ((0,), (17,), (23, 9)):
            weights = np.ones(n)
            weights[list(positions)] = bad
            for reduction in ("mean", "sum", "none"):
                with raises(ValueError, f"sample_weight[{min(positions)}]"):
                    call(CS, method, y, s, sample_weight=weights, reduction=reduction)
    for wrong in (np.ones(n - 1), np.ones(n + 1), np.ones((n, 1)), np.ones((n, N_CLASSES)), 1.0):
        with raises(ValueError, "sample_weight"):
            call(CS, method, y, s, sample_weight=wrong)
    for wrong in (np.ones(n, dtype=complex), ["1"] * n, np.ones(n, dtype=object), "balanced"):
        with raises(TypeError, "sample_weight"):
            call(CS, method, y, s, sample_weight=wrong)


BAD_CLASS_WEIGHTS = [
    (1.0,),
    (1.0, 2.0, 3.0),
    (1.0, 2.0, 3.0, 4.0, 5.0),
    (),
    np.ones((4, 1)),
    np.ones((1, 4)),
    2.0,
    (1.0, 1.0, -1.0, 1.0),
    (1.0, np.nan, 1.0, 1.0),
    (1.0, 1.0, 1.0, np.inf),
]


@pytest.mark.parametrize("wrong", BAD_CLASS_WEIGHTS, ids=str)
def test_bad_class_weight(case, wrong):
    scores = hf.decision_function(case.A, case.coef)
    for method in METHODS:
        with raises(ValueError, "class_weight"):
            call(CS, method, case.y, scores, class_weight=wrong)
    with raises(ValueError, "class_weight"):
        run(case, class_weight=wrong)
    with raises(ValueError, "class_weight"):
        hf.Objective(case.A, case.y, loss="crammer_singer", classes=4, class_weight=wrong)


def test_class_weights_of_the_wrong_kind(case):
    for wrong in (("a", "b", "c", "d"), (1j, 1, 1, 1), (None,) * 4, "1234", {0: 1.0}, np.ma.ones(4)):
        with raises((TypeError, ValueError), "class_weight"):
            CS(case.y, np.zeros((N_ROWS, 4)), class_weight=wrong)
        with raises((TypeError, ValueError), "class_weight"):
            run(case, class_weight=wrong)
    with raises(ValueError, "class_weight[2]", "-1"):
        CS(case.y, np.zeros((N_ROWS, 4)), class_weight=(1, 1, -1, np.nan))


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


@pytest.mark.parametrize("kind", BAD_CLASSES)
def test_bad_classes(case, kind):
    wrong = BAD_CLASSES[kind]
    for method in METHODS:
        with raises((TypeError, ValueError), "classes"):
            call(CS, method, case.y, np.zeros((N_ROWS, 4)), classes=wrong)
    with raises((TypeError, ValueError), "classes"):
        run(case, classes=wrong)
    if kind not in ("an int too large", "too many"):  # there may be more classes than y shows
        with raises((TypeError, ValueError)):
            hf.Objective(case.A, case.y, loss="crammer_singer", classes=wrong)


def test_what_is_wrong_with_classes_is_told():
    s = np.zeros((2, 4))
    with raises(ValueError, "classes", "3", "4"):
        CS([0, 1], s, classes=3)
    with raises(ValueError, "classes", "1"):
        CS([0, 1], s, classes=(0, 1, 2, 1))
    with raises(ValueError, "classes", "3.5"):
        CS([0, 1], s, classes=(0, 1, 2, 3.5))


@pytest.mark.parametrize("k", [1, 0, -1])
def test_numbers_of_classes_that_are_none(k):
    """One class is no classification."""
    X, y = np.ones((3, 2)), np.zeros(3, dtype=int)
    for classes in (k, list(range(k))):
        with raises(ValueError, "classes"):
            hf.Objective(X, y, loss="crammer_singer", classes=classes)


def test_more_classes_than_memory():
    """A theta of 2^40 classes cannot exist; asking for them does no harm."""
    X, y = np.ones((3, 2)), np.zeros(3, dtype=int)
    for k in (2**31, 2**40, 2**62, 2**63):
        try:
            objective = hf.Objective(X, y, loss="crammer_singer", classes=k)
        except (ValueError, MemoryError):
            continue
        assert objective.size == 3 * k
        with raises(ValueError, "theta"):
            objective.value(np.zeros(10))


# --------------------------------------------------------------------------------------------------
# Shapes and kinds
# --------------------------------------------------------------------------------------------------


@every_method
@pytest.mark.parametrize("key", FEW)
def test_scores_that_are_no_matrix_of_classes(method, key):
    loss = FEW[key](3)
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
            call(loss, method, y[: len(np.atleast_1d(wrong))] if np.ndim(wrong) else y, wrong)
    with raises(ValueError, "scores"):
        call(loss, method, np.zeros(4, int), np.zeros((4, 1)), reduction="sum")


@every_method
def test_a_binary_loss_takes_no_matrix(method):
    for shape in ((4, 2), (4, 3), (4, 1)):
        with raises(ValueError, "scores"):
            call(hf.Hinge(), method, [1, -1, 1, 1], np.zeros(shape))


@every_method
def test_wrong_shapes(method):
    y, s = np.array([0, 1, 2, 1]), np.zeros((4, 3))
    for wrong in (y[:3], np.append(y, 1), y[:0]):
        with raises(ValueError, "y", "scores", str(wrong.size), "4"):
            call(CS, method, wrong, s)
    for wrong in (y[:, None], y[None, :], np.array(1), y.reshape(2, 2), 1, np.eye(4, 3)):
        with raises(ValueError, "y"):
            call(CS, method, wrong, s)
    with pytest.raises((TypeError, ValueError)):
        call(CS, method, y, [[0.5, 1.0], [1.0], [2.0], [1.0]])


@every_method
@pytest.mark.parametrize("argument", ["y", "scores"])
def test_wrong_kinds(method, argument):
    good = {"y": [0, 2, 1], "scores": np.eye(3)}
    shape = np.shape(good[argument])
    for each in (
        np.full(shape, "a"),
        np.full(shape, b"1"),
        np.ones(shape, dtype=object),
        np.ones(shape, dtype=complex),
        np.ones(shape, dtype="M8[s]"),
        np.zeros(shape, dtype=[("a", int)]),
        np.ma.masked_array(np.ones(shape)),
        None,
        "abc",
        {1: 2},
        as_csr(np.eye(3), "csr_array"),
    ):
        with raises(TypeError, argument):
            call(CS, method, **{**good, argument: each})


@every_method
def test_swapped_arguments(method):
    """(scores, y) is refused as what it is: scores of one dimension and labels of two."""
    data = telling_scores(30, 4)
    with raises(ValueError, "(y, scores)"):
        call(CS, method, data.scores, data.labels)


@every_method
def test_reduction_and_n_threads(method):
    y, s = [0, 1], np.eye(2)
    for wrong in ("Mean", "", "average"):
        with raises(ValueError, "reduction", repr(wrong)):
            call(CS, method, y, s, reduction=wrong)
    for wrong in (0, -2, np.int64(0)):
        with raises(ValueError, "n_threads", str(int(wrong))):
            call(CS, method, y, s, n_threads=wrong)
    for wrong in (2.0, True, "2", np.True_, [1]):
        with raises(TypeError, "n_threads"):
            call(CS, method, y, s, n_threads=wrong)
    want = bits(call(CS, method, y, s))
    for good in (None, 1, 2, -1, np.int64(2), np.uint8(1), 1000):
        assert bits(call(CS, method, y, s, n_threads=good)) == want


@pytest.mark.parametrize(
    "shape",
    [
        (N_CLASSES, N_FEATURES - 1),
        (N_CLASSES, N_FEATURES + 1),
        (1, N_CLASSES, N_FEATURES),
        (N_CLASSES * N_FEATURES,),
        (0, N_FEATURES),
        (N_FEATURES,),
        (1, N_FEATURES),
        (),
        (0,),
    ],
)
def test_shape_of_coef(case, shape):
    """Too narrow, too wide; a binary model's for a multiclass loss."""
    with raises(ValueError, "coef"):
        run(case, coef=np.ones(shape))


def test_transposed_coef(case):
    for n_classes in (2, 3, 4, 9):
        with raises(ValueError, "coef", "pass coef.T", str((N_FEATURES, n_classes))):
            run(case, coef=np.ones((N_FEATURES, n_classes)), intercept=0.0)
        with raises(ValueError, "coef", "pass coef.T"):
            hf.decision_function(case.A, np.ones((N_FEATURES, n_classes)))
    # Where both readings fit, it is (K, d).
    square = np.arange(25.0).reshape(5, 5)
    np.testing.assert_allclose(
        hf.decision_function(case.A, square), case.X @ square.T, rtol=1e-12, atol=1e-12
    )


def test_a_binary_loss_takes_one_row_of_coef(case):
    signs = np.where(case.y > 1, 1, -1)
    for loss in ("hinge", "logistic"):
        with raises(ValueError, "coef"):
            hf.linear_value_and_grad(case.A, signs, case.coef, loss=loss)
    with raises(ValueError, "coef"):
        hf.linear_value_and_grad(case.A, signs, case.coef)  # the default loss is binary


def test_y_of_more_classes_than_coef_has_rows(case):
    first = int(np.flatnonzero(case.y == 3)[0])
    with raises(ValueError, f"y[{first}] is 3"):
        run(case, coef=case.coef[:3], intercept=0.0)


def test_shape_of_intercept(case):
    for intercept in (np.zeros(3), np.zeros(5), np.zeros((4, 1)), np.zeros((1, 4)), np.zeros(0), np.zeros(1)):
        with raises(ValueError, "intercept"):
            run(case, intercept=intercept)
        with raises(ValueError, "intercept"):
            hf.decision_function(case.A, case.coef, intercept)
    for intercept in ("1", 1j, None, np.full(4, 1j), object(), True, np.array(["1"] * 4), np.ma.zeros(4)):
        with raises(TypeError, "intercept"):
            run(case, intercept=intercept)


def test_lengths_of_y_and_weights(case):
    for length in (0, N_ROWS - 1, N_ROWS + 1):
        with raises(ValueError, f"y has {length} rows but X has {N_ROWS}"):
            run(case, y=np.zeros(length, int))
        with raises(ValueError, f"y has {length} rows but X has {N_ROWS}"):
            hf.Objective(case.A, np.zeros(length, int), loss="crammer_singer", classes=4)
        with raises(ValueError, "sample_weight", str(length), str(N_ROWS)):
            run(case, sample_weight=np.ones(length))
    for shape in ((N_ROWS, 1), (1, N_ROWS), (N_ROWS, N_CLASSES)):
        with raises(ValueError, "y"):
            run(case, y=np.zeros(shape, int))
        with raises(ValueError, "sample_weight"):
            run(case, sample_weight=np.ones(shape))


BAD_KINDS = {
    "complex": lambda shape: np.ones(shape, dtype=complex),
    "object": lambda shape: np.ones(shape, dtype=object),
    "str": lambda shape: np.full(shape, "1"),
    "datetime": lambda shape: np.zeros(shape, dtype="M8[D]"),
    "structured": lambda shape: np.zeros(shape, dtype=[("a", "f8")]),
    "masked": lambda shape: np.ma.masked_array(np.ones(shape), mask=False),
    "none": lambda shape: None,
    "dict": lambda shape: {"a": 1},
}


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_kinds_of_arrays(case, kind):
    made = BAD_KINDS[kind]
    for name, shape in (("X", (N_ROWS, N_FEATURES)), ("y", N_ROWS), ("coef", (N_CLASSES, N_FEATURES))):
        with raises(TypeError, name):
            run(case, **{name: made(shape)})
    if kind != "none":
        with raises(TypeError, "sample_weight"):
            run(case, sample_weight=made(N_ROWS))
    with raises(TypeError, "coef"):
        hf.decision_function(case.A, made((N_CLASSES, N_FEATURES)))


def test_reduction_none_names_decision_function(case):
    with raises(ValueError, "reduction", "decision_function"):
        run(case, reduction="none")
    with raises(ValueError, "reduction", "decision_function"):
        hf.Objective(case.A, case.y, loss="crammer_singer", classes=4, reduction="none")


def test_weights_that_sum_to_zero(case):
    with raises(ValueError, "weight"):
        run(case, sample_weight=np.zeros(N_ROWS))
    with raises(ValueError, "weight"):
        run(case, class_weight=np.zeros(4))
    value, grad, grad_intercept = run(case, class_weight=np.zeros(4), reduction="sum")
    assert value == 0.0 and not grad.any() and not grad_intercept.any()


def test_bad_alpha(case):
    for bad in (-1e-9, np.nan, np.inf):
        with raises(ValueError, "alpha"):
            run(case, alpha=bad)
    for bad in ("1", None, 1j):
        with raises(TypeError, "alpha"):
            run(case, alpha=bad)


# --------------------------------------------------------------------------------------------------
# out
# --------------------------------------------------------------------------------------------------


def bad_outs(shape):
    readonly = np.full(shape, 7.0)
    readonly.flags.writeable = False
    k, d = shape
    return {
        "long": np.full((k + 1, d), 7.0),
        "narrow": np.full((k, d - 1), 7.0),
        "flat": np.full(k * d, 7.0),
        "transposed": np.full((d, k), 7.0),
        "float32": np.full(shape, 7.0, dtype=np.float32),
        "int64": np.full(shape, 7),
        "big_endian": np.full(shape, 7.0, dtype=">f8"),
        "fortran": np.full(shape, 7.0, order="F"),
        "strided": np.full((k, 2 * d), 7.0)[:, ::2],
        "row step": np.full((2 * k, d), 7.0)[::2],
        "readonly": readonly,
    }


@pytest.mark.parametrize("name", bad_outs((3, 2)))
def test_out_refused(case, name):
    out = bad_outs((N_CLASSES, N_FEATURES))[name]
    fit = np.full(N_CLASSES, 7.0)
    with raises(ValueError, "out"):
        run(case, out=out)
    with raises(ValueError, "out"):
        run(case, out=(out, fit))
    assert (out == 7).all() and (fit == 7).all()
    out = bad_outs((N_ROWS, N_CLASSES))[name]
    with raises(ValueError, "out"):
        hf.decision_function(case.A, case.coef, out=out)
    assert (out == 7).all()


def test_out_of_the_intercepts_refused(case):
    fit = np.full((N_CLASSES, N_FEATURES), 7.0)
    for bad in (
        np.full(N_CLASSES + 1, 7.0),
        np.full((N_CLASSES, 1), 7.0),
        np.full(N_CLASSES, 7, dtype=np.float32),
        np.full(2 * N_CLASSES, 7.0)[::2],
        np.full(N_CLASSES, 7.0)[::-1],
        np.full(1, 7.0),
    ):
        with raises(ValueError, "out"):
            run(case, out=(fit, bad))
        assert (fit == 7).all() and (bad == 7).all()


def test_out_of_another_kind(case):
    fit = np.zeros((N_CLASSES, N_FEATURES))
    for bad in ([[0.0] * 5] * 4, "out", 3.0, (fit,), (fit, np.zeros(4), np.zeros(4)), np.ma.zeros((4, 5))):
        with raises((TypeError, ValueError), "out"):
            run(case, out=bad)


def test_out_overlapping():
    case = problem(N_ROWS, N_FEATURES, N_CLASSES, seed=2)
    case.A = case.X
    size = N_CLASSES * N_FEATURES
    shape = (N_CLASSES, N_FEATURES)
    for name in ("X", "coef", "sample_weight", "intercept"):
        values = {"X": case.X, "coef": case.coef, "sample_weight": case.weights, "intercept": case.intercept}
        given = values[name]
        store = np.zeros(given.size + 2 * size)
        store[size : size + given.size] = given.ravel()
        inside = store[size : size + given.size].reshape(given.shape)
        for start in (size - 1, size + given.size - 1, 1 if given.size > 1 else size):
            if start == 1 and name in ("intercept",):
                continue
            out = store[start : start + size].reshape(shape)
            before = bits(store)
            with raises(ValueError, "out", "overlap"):
                run(case, out=out, **{name: inside})
            assert bits(store) == before
        # Next to each other they do not overlap.
        want = run(case, **{name: given})
        got = run(case, out=store[:size].reshape(shape), **{name: inside})
        assert bits(got) == bits(want)
    both = np.full(size + N_CLASSES, 7.0)
    for start in (0, size - 1):
        with raises(ValueError, "out", "overlap"):
            run(case, out=(both[:size].reshape(shape), both[start : start + N_CLASSES]))
    assert (both == 7).all()
    want = run(case)
    got = run(case, out=(both[:size].reshape(shape), both[size:]))
    assert bits(got) == bits(want)


@pytest.mark.parametrize("fault", ["label", "weight", "length", "alpha", "rows", "cost", "k"])
def test_out_is_untouched_by_any_error(case, fault):
    out = (np.full((N_CLASSES, N_FEATURES), 7.0), np.full(N_CLASSES, 7.0))
    y, weights = case.y.copy(), case.weights.copy()
    changes = {}
    if fault == "label":
        y[-1] = N_CLASSES
    elif fault == "weight":
        weights[-1] = np.nan
    elif fault == "length":
        y = y[:-1]
    elif fault == "alpha":
        changes["alpha"] = -1.0
    elif fault == "rows":
        changes["rows"] = np.array([0, N_ROWS])
    elif fault == "cost":
        changes["loss"] = hf.CostSensitiveHinge(np.ones((3, 3)))
    else:
        changes["loss"] = hf.TopKHinge(N_CLASSES)
    with raises(ValueError):
        run(case, y=y, sample_weight=weights, out=out, **changes)
    assert all((each == 7.0).all() for each in out)


@few_multiclass_losses
def test_inputs_are_never_modified(case, make):
    held = [case.X, case.y, case.coef, case.intercept, case.weights]
    if case.A is not case.X:
        held += [case.A.indptr, case.A.indices, case.A.data]
    for array in held:
        array.flags.writeable = False
    before = bits(*held)
    loss = make(N_CLASSES)
    run(case, loss=loss, sample_weight=case.weights, alpha=0.5)
    objective = hf.Objective(case.A, case.y, loss=loss, sample_weight=case.weights, classes=4)
    objective.value_and_grad(np.append(case.coef.ravel(), case.intercept))
    hf.decision_function(case.A, case.coef)
    y = case.y.copy()
    y[-1] = -1
    with raises(ValueError):
        run(case, loss=loss, y=y)
    assert bits(*held) == before


def test_the_call_after_an_error_is_right(case):
    """Nothing of a failed pass stays in a thread's scratch."""
    want = bits(run(case, loss="weston_watkins", sample_weight=case.weights))
    for position in range(0, N_ROWS, 5):
        y = case.y.copy()
        y[position] = 99
        with raises(ValueError, f"y[{position}] is 99"):
            run(case, loss="weston_watkins", y=y)
        assert bits(run(case, loss="weston_watkins", sample_weight=case.weights)) == want


def test_up_to_eight_labels_are_all_told():
    with raises(ValueError, "1, 2, 3, 4, 5, 6, 7, 8") as caught:
        CS.value([9], np.zeros((1, 8)), classes=range(1, 9))
    assert "..." not in str(caught.value)
    with raises(ValueError, "..."):
        CS.value([10], np.zeros((1, 9)), classes=range(1, 10))


def test_columns_are_counted_in_32_bits():
    """More than 2^31 - 1 classes are refused by their number, before anything is allocated."""
    with raises(ValueError, "classes", "2147483648"):
        hf.Objective(np.ones((2, 1)), [0, 1], loss="crammer_singer", classes=2**31)
