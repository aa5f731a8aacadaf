"""Promise: bad arguments of linear calls get the right error, named, and lose nothing."""

import array as array_module
import contextlib
import gc
import re
import weakref

import numpy as np
import pytest
from conftest import bits, raises
from kinds import as_csr, problem
from scipy import sparse

import hingefast as hf

N_ROWS, N_FEATURES = 12, 5


@pytest.fixture(params=["dense", "csr"])
def case(request):
    """A small problem; `case.A` is X in the layout of the parameter."""
    case = problem(N_ROWS, N_FEATURES, seed=2)
    case.A = case.X if request.param == "dense" else as_csr(case.X)
    return case


def run(case, **changes):
    """linear_value_and_grad with some arguments replaced."""
    arguments = {"X": case.A, "y": case.y, "coef": case.coef, "intercept": case.intercept, **changes}
    first = [arguments.pop(name) for name in ("X", "y", "coef", "intercept")]
    return hf.linear_value_and_grad(*first, **arguments)


def refused(error, match, case, **changes):
    with pytest.raises(error, match=match) as caught:
        run(case, **changes)
    assert type(caught.value) in (error, hf.InvalidCSRError)
    assert len(str(caught.value)) <= 500 and "\n" not in str(caught.value)
    return str(caught.value)


# Shapes of X


@pytest.mark.parametrize("X", [np.float64(3.0), np.zeros(5), np.zeros((2, 2, 2))], ids=["0d", "1d", "3d"])
def test_dimensions_of_X(case, X):
    refused(ValueError, r"\bX\b", case, X=X)
    with pytest.raises(ValueError, match=r"\bX\b"):
        hf.decision_function(X, case.coef)
    with pytest.raises(ValueError, match=r"\bX\b"):
        hf.Objective(X, case.y, loss="hinge")


# Lengths


@pytest.mark.parametrize("length", [0, N_ROWS - 1, N_ROWS + 1])
def test_length_of_y(case, length):
    message = refused(ValueError, "y has", case, y=np.ones(length))
    assert f"y has {length} rows but X has {N_ROWS}" in message
    with pytest.raises(ValueError, match=f"y has {length} rows but X has {N_ROWS}"):
        hf.Objective(case.A, np.ones(length), loss="hinge")


@pytest.mark.parametrize("length", [0, N_ROWS - 1, N_ROWS + 1])
def test_length_of_sample_weight(case, length):
    message = refused(ValueError, "sample_weight", case, sample_weight=np.ones(length))
    assert str(length) in message and str(N_ROWS) in message


@pytest.mark.parametrize("shape", [(N_ROWS, 1), (1, N_ROWS), (N_ROWS, 2), ()])
def test_shape_of_y_and_sample_weight(case, shape):
    refused(ValueError, r"\by\b", case, y=np.ones(shape))
    refused(ValueError, "sample_weight", case, sample_weight=np.ones(shape))


@pytest.mark.parametrize(
    "shape", [(), (0,), (N_FEATURES - 1,), (N_FEATURES + 1,), (1, N_FEATURES + 1), (1, 1, N_FEATURES)]
)
def test_shape_of_coef(case, shape):
    refused(ValueError, r"\bcoef\b", case, coef=np.ones(shape))
    with pytest.raises(ValueError, match=r"\bcoef\b"):
        hf.decision_function(case.A, np.ones(shape))


@pytest.mark.parametrize("classes", [1, 3])
def test_transposed_coef(case, classes):
    refused(ValueError, r"pass coef\.T", case, coef=np.ones((N_FEATURES, classes)))
    with pytest.raises(ValueError, match=r"pass coef\.T"):
        hf.decision_function(case.A, np.ones((N_FEATURES, classes)))


def test_shape_of_intercept(case):
    for intercept in (np.zeros(2), np.zeros((1, 1)), np.zeros(0)):
        refused(ValueError, "intercept", case, intercept=intercept)
    for intercept in ("1", 1j, None, np.array([1j]), object()):
        refused(TypeError, "intercept", case, intercept=intercept)


# Kinds


BAD_KINDS = {
    "complex": lambda shape: np.ones(shape, dtype=complex),
    "object": lambda shape: np.ones(shape, dtype=object),
    "str": lambda shape: np.full(shape, "1"),
    "bytes": lambda shape: np.full(shape, b"1"),
    "datetime": lambda shape: np.zeros(shape, dtype="M8[D]"),
    "timedelta": lambda shape: np.zeros(shape, dtype="m8[D]"),
    "structured": lambda shape: np.zeros(shape, dtype=[("a", "f8")]),
    "masked": lambda shape: np.ma.masked_array(np.ones(shape), mask=False),
    "none": lambda shape: None,
    "string": lambda shape: "abc",
    "dict": lambda shape: {"a": 1},
}
bad_kinds = pytest.mark.parametrize("kind", BAD_KINDS)


@bad_kinds
def test_kinds_of_X(case, kind):
    bad = BAD_KINDS[kind]((N_ROWS, N_FEATURES))
    refused(TypeError, r"\bX\b", case, X=bad)
    with pytest.raises(TypeError, match=r"\bX\b"):
        hf.decision_function(bad, case.coef)
    with pytest.raises(TypeError, match=r"\bX\b"):
        hf.Objective(bad, case.y, loss="hinge")


@bad_kinds
def test_kinds_of_y(case, kind):
    refused(TypeError, r"\by\b", case, y=BAD_KINDS[kind](N_ROWS))
    with pytest.raises(TypeError, match=r"\by\b"):
        hf.Objective(case.A, BAD_KINDS[kind](N_ROWS), loss="hinge")


@bad_kinds
def test_kinds_of_coef(case, kind):
    refused(TypeError, r"\bcoef\b", case, coef=BAD_KINDS[kind](N_FEATURES))


@bad_kinds
def test_kinds_of_sample_weight(case, kind):
    if kind != "none":
        refused(TypeError, "sample_weight", case, sample_weight=BAD_KINDS[kind](N_ROWS))


def test_ragged_lists(case):
    with pytest.raises((TypeError, ValueError), match=r"\bX\b"):
        run(case, X=[[1.0, 2.0], [1.0]])


class Broken:
    """An array that fails when it is asked for."""

    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


ARRAYS = ("X", "y", "coef", "intercept", "sample_weight", "class_weight", "classes", "alpha", "rows")


@pytest.mark.parametrize("name", ARRAYS)
def test_a_failing_array_protocol_names_the_argument(case, name):
    """The text and, as the cause, the error of the object; but an error that bad input may have."""
    for failure in (RuntimeError, KeyError, AttributeError, OverflowError, ZeroDivisionError, UserWarning):
        with pytest.raises(ValueError, match=f"{name} .*no array today") as caught:
            run(case, **{name: Broken(failure("no array today"))})
        assert isinstance(caught.value.__cause__, failure)
    refused(TypeError, f"{name} .*no array today", case, **{name: Broken(TypeError("no array today"))})
    for failure in (MemoryError, KeyboardInterrupt):
        with pytest.raises(failure):
            run(case, **{name: Broken(failure())})


class Unspeakable:
    """Has every attribute and no text; whatever it is asked for, it raises."""

    def __getattr__(self, name):
        raise RuntimeError("x" * 3000)

    def __repr__(self):
        raise KeyError("no text")

    def __index__(self):
        raise KeyError("no index")


LONG = type("L" * 5000, (), {})()
UNPRINTABLE = "\U0001fffe\n" * 200


@pytest.mark.parametrize("name", [*ARRAYS, "reduction", "loss", "out"])
@pytest.mark.parametrize(
    "wrong",
    [
        Unspeakable(),
        LONG,
        "x" * 5000,
        UNPRINTABLE,
        -(10**5000),
        [[0.5] * 500] * 500,
        np.zeros(3, [("n" * 3000, float)]),
        Broken(ValueError("v" * 5000)),
    ],
    ids=["unspeakable", "long name", "long", "unprintable", "huge", "large list", "structured", "long error"],
)
def test_messages_are_short_and_name_the_argument(case, name, wrong):
    for keywords in ({}, {"loss": "crammer_singer", "coef": np.ones((3, N_FEATURES)), "y": case.y > 0}):
        with raises((TypeError, ValueError), name):
            run(case, **{**keywords, name: wrong})


HINT = re.compile(r"pass ([^;]+?)(?: for one-hot labels)?$")


def column_kinds():
    """Ways to hand over a vector that has one dimension too many."""
    yield "array", lambda v: v[:, None]
    yield "one row", lambda v: v[None, :]
    yield "list", lambda v: v[:, None].tolist()
    yield "matrix", lambda v: np.asmatrix(v).T
    yield "sparse", lambda v: sparse.coo_matrix(v[:, None])


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("kind", [kind for kind, _ in column_kinds()])
@pytest.mark.parametrize("name", ["y", "sample_weight"])
def test_the_hint_for_a_column_works(case, name, kind):
    vector = {"y": case.y, "sample_weight": case.weights}[name]
    given = dict(column_kinds())[kind](vector)
    want = run(case, **{name: vector})
    with pytest.raises((TypeError, ValueError)) as caught:
        run(case, **{name: given})
    follow = HINT.search(str(caught.value)).group(1)
    assert bits(run(case, **{name: eval(follow, {"np": np, name: given})})) == bits(want)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize(
    "convert", [np.asarray, np.asmatrix, np.ndarray.tolist], ids=["array", "matrix", "list"]
)
def test_the_hints_for_transposed_coef_and_one_hot_labels_work(case, convert):
    def follow(wrong, **arguments):
        with pytest.raises(ValueError) as caught:
            run(case, loss="crammer_singer", **arguments, **wrong)
        ((name, given),) = wrong.items()
        return {name: eval(HINT.search(str(caught.value)).group(1), {"np": np, name: given})}

    y, coef = np.arange(N_ROWS) % 3, np.eye(3, N_FEATURES)
    want = run(case, loss="crammer_singer", y=y, coef=coef)
    right = follow({"coef": convert(coef.T)}, y=y)
    assert bits(run(case, loss="crammer_singer", y=y, **right)) == bits(want)
    right = follow({"y": convert(np.eye(3)[y])}, coef=coef)
    assert bits(run(case, loss="crammer_singer", coef=coef, **right)) == bits(want)
    with pytest.raises(ValueError, match=r"pass (coef\.T|np\.transpose\(coef\))"):
        hf.decision_function(case.A, convert(coef.T))


# The caller's state of NumPy


@pytest.mark.parametrize("state", ["raise", "warn"])
def test_the_callers_errstate_is_not_ours(case, state):
    """Roundings that NumPy would tell: to float32, from long doubles, of signalling NaN, of infinite differences."""
    huge, tiny = np.longdouble("1e400"), np.longdouble("1e-400")
    signalling = np.frombuffer(np.uint32([0x7FA00000] * N_FEATURES).tobytes(), np.float32)
    coef32 = case.coef.astype(np.float32)
    y01 = (case.y > 0).astype(int)
    with np.errstate(all=state):
        run(case, coef=coef32, intercept=np.array([1e-60]))
        run(case, coef=coef32, intercept=[1e300], loss="squared_hinge", reduction="sum")
        run(case, coef=np.full(N_FEATURES, huge))
        run(case, coef=np.full(N_FEATURES, tiny), intercept=np.array(tiny))
        run(case, coef=signalling)
        run(
            case,
            y=y01,
            coef=np.tile(signalling, (2, 1)),
            intercept=np.array([huge, tiny]),
            loss="one_vs_rest",
        )
        for bad in (huge, -huge):
            refused(ValueError, "alpha", case, alpha=bad)
            refused(ValueError, "class_weight", case, class_weight=[1, bad])
            refused(ValueError, "classes", case, classes=(bad, 1))
            refused(
                ValueError,
                "classes",
                case,
                coef=np.ones((2, N_FEATURES)),
                classes=[bad, 1],
                loss="one_vs_rest",
            )
        assert hf.Hinge(margin=tiny) == hf.Hinge(margin=0.0)
        with pytest.raises(ValueError, match="cost"):
            hf.CostSensitiveHinge([[0, huge], [1, 0]])
        hf.CostSensitiveHinge([[0, 1e300], [1, tiny]])
        hf.margin_report([1, -1], np.array([huge, tiny]), coef=[huge, 1.0])
        hf.margin_report([0, 1], np.array([[1e308, -1e308], [np.inf, np.inf]]), sample_weight=[1e308, 1e308])
        objective = hf.Objective(
            case.A, case.y, loss="squared_hinge", alpha=1e-3, sample_weight=np.full(N_ROWS, 1e300)
        )
        theta = objective.pack(coef32 * np.float32(1e30), 1e300)
        objective.value_and_grad(theta)
        objective.hessp(theta, theta)
        objective.value_and_grad(objective.pack(coef32, 1e-60))
        assert objective.C < 1e-290


# Nothing is left behind


def test_an_error_keeps_no_argument_alive(case):
    """Without the cyclic collector: no exception in a cycle with a frame that holds the arrays."""

    class Array(np.ndarray):
        pass

    y01 = (case.y > 0).astype(int)
    faults = [
        {"y": np.zeros(N_ROWS)},
        {"y": case.y[:-1]},
        {"sample_weight": np.full(N_ROWS, -1.0)},
        {"alpha": Broken(RuntimeError)},
        {"alpha": Broken(MemoryError)},
        {"rows": [N_ROWS]},
        {"rows": slice(None, None, 0)},
        {"classes": [2**70, 1]},
        {"y": y01, "coef": np.ones((2, N_FEATURES)), "loss": "crammer_singer", "classes": 3},
    ]
    gc.collect()
    gc.disable()
    try:
        for fault in faults:
            X = case.X.view(Array)
            alive = weakref.ref(X)
            with contextlib.suppress(ValueError, TypeError, MemoryError):
                run(case, **{"X": X, **fault})
                raise AssertionError(fault)
            del X
            assert alive() is None, fault
    finally:
        gc.enable()


# Arrays that change between a check and its use


class Meanwhile:
    """A number that, when it is read, lets something happen that a handler of signals could do at that moment."""

    def __init__(self, value, happen):
        self.value, self.happen = value, happen

    def __array__(self, dtype=None, copy=None):
        self.happen()
        return np.array(self.value)

    def __index__(self):
        self.happen()
        return self.value


def reshape(*arrays):
    """Give each array another shape, or another dtype where it has no other shape."""
    for array in arrays:
        if array.ndim == 1 and array.size % 2 == 0:
            array.shape = (2, -1)
        elif array.ndim == 2:
            array.shape = (-1,)
        else:
            array.dtype = np.uint8


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")  # since NumPy 2.5
@pytest.mark.parametrize("X_dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("moment", ["alpha", "rows", "n_threads"])
@pytest.mark.parametrize("n_classes", [1, 2])
def test_arrays_reshaped_between_check_and_use(X_dtype, moment, n_classes):
    case = problem(N_ROWS, N_FEATURES, seed=3)
    arguments = {
        "X": case.X.astype(X_dtype),
        "y": (case.y > 0).astype(np.longdouble),
        "coef": np.ascontiguousarray(np.tile(case.coef, (n_classes, 1)))
        if n_classes > 1
        else case.coef.copy(),
        "sample_weight": case.weights.astype(np.longdouble),
        "intercept": np.full(n_classes, 0.5),
        "class_weight": np.array([0.5, 2.0]),
        "classes": np.array([0, 1]),
        "loss": "squared_hinge" if n_classes == 1 else "crammer_singer:squared_hinge",
    }
    want = hf.linear_value_and_grad(**arguments)
    out = np.empty(want[1].shape)
    changed = [array for array in arguments.values() if isinstance(array, np.ndarray)]
    # The arguments after the one that changes them have not been looked at yet.
    if moment == "rows":
        arguments["class_weight"] = arguments["class_weight"].copy()
        rows = slice(Meanwhile(0, lambda: reshape(*changed[:-2])), None)
        got = hf.linear_value_and_grad(**arguments, rows=rows, out=out)
    elif moment == "alpha":
        got = hf.linear_value_and_grad(**arguments, alpha=Meanwhile(0.0, lambda: reshape(*changed)), out=out)
    else:
        outs = (out, np.empty(n_classes)) if n_classes > 1 else (out,)
        got = hf.linear_value_and_grad(
            **arguments,
            n_threads=Meanwhile(1, lambda: reshape(*changed, *outs)),
            out=outs if n_classes > 1 else out,
        )
        got = (*got[:2], got[2].ravel()) if n_classes > 1 else got
    assert got[1] is out
    assert bits(got[0], np.frombuffer(out.tobytes()), got[2]) == bits(want[0], want[1].ravel(), want[2])


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")  # since NumPy 2.5
@pytest.mark.parametrize("loss", ["hinge", "crammer_singer"])
def test_row_numbers_reshaped_between_check_and_use(loss):
    case = problem(N_ROWS, N_FEATURES, seed=3)
    coef = case.coef if loss == "hinge" else np.stack([case.coef, -case.coef])
    arguments = {"X": case.X, "y": case.y > 0, "coef": coef, "loss": loss}
    rows = np.arange(N_ROWS)[::-1].copy()
    want = hf.linear_value_and_grad(**arguments, class_weight=[0.5, 2.0], rows=rows)
    weight = Meanwhile([0.5, 2.0], lambda: reshape(rows))
    got = hf.linear_value_and_grad(**arguments, class_weight=weight, rows=rows)
    assert rows.ndim == 2
    assert bits(*got) == bits(*want)


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")  # since NumPy 2.5
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("n_classes", [1, 3])
def test_scores_reshaped_during_the_call(dtype, n_classes):
    case = problem(600, 3, seed=4)
    loss = hf.SquaredHinge() if n_classes == 1 else hf.CrammerSinger("squared_hinge")
    scores = np.ascontiguousarray(case.X[:, 0] if n_classes == 1 else case.X).astype(dtype)
    y = case.y.astype(np.longdouble) if n_classes == 1 else (np.arange(600) % 3).astype(np.longdouble)
    weights = case.weights.astype(np.longdouble)
    want = loss.value_and_grad(y, scores, sample_weight=weights, reduction="none")
    out = np.empty(600, want[0].dtype), np.empty(scores.shape, want[1].dtype)
    n_threads = Meanwhile(1, lambda: reshape(y, scores, weights, *out))
    got = loss.value_and_grad(
        y, scores, sample_weight=weights, reduction="none", out=out, n_threads=n_threads
    )
    assert got[0] is out[0] and got[1] is out[1]
    assert [array.tobytes() for array in out] == [array.tobytes() for array in want]


# `out` over the memory of anything that was passed

BUFFERS = {
    "ndarray": lambda array: array,
    "memoryview": memoryview,
    "array.array": lambda array: array_module.array(array.dtype.char, array.tolist()),
    "bytearray": lambda array: np.frombuffer(bytearray(array.tobytes()), array.dtype).reshape(array.shape),
    "swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "protocol": lambda array: HasArray(array),
}


class HasArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def over(given, shape):
    """A float64 array of this shape over the memory of an argument."""
    memory = np.asarray(given)
    memory = memory if memory.flags.writeable else np.frombuffer(memory.base, np.uint8)
    return memory.reshape(-1).view(np.uint8)[: 8 * int(np.prod(shape))].view(np.float64).reshape(shape)


@pytest.mark.parametrize("kind", BUFFERS)
@pytest.mark.parametrize(
    "name", ["y", "coef", "sample_weight", "class_weight", "classes", "intercept", "rows", "X"]
)
def test_out_over_the_memory_of_any_argument(name, kind):
    case = problem(N_ROWS, 2, seed=5)
    values = {
        "X": case.X,
        "y": case.y.astype(np.float64),
        "coef": np.array([1, 2]),
        "sample_weight": case.weights,
        "class_weight": np.array([1.0, 2.0]),
        "classes": np.array([-1, 1]),
        "intercept": np.array([1.0]),
        "rows": np.arange(N_ROWS),
    }
    if kind == "array.array" and name == "X":
        pytest.skip("an array.array has one dimension")
    given = BUFFERS[kind](values[name])
    arguments = {**values, name: given}
    shape = (2,)
    if name == "intercept":  # of K classes, and its gradient
        given = arguments["intercept"] = BUFFERS[kind](np.array([1.0, 2.0]))
        arguments |= {"coef": np.eye(2), "loss": "crammer_singer"}
        out = np.empty((2, 2)), over(given, shape)
    else:
        out = over(given, shape)
    before = np.asarray(given).tobytes()
    with raises(ValueError, "out", "overlap", name):
        hf.linear_value_and_grad(**arguments, out=out)
    if name in ("X", "coef", "rows"):
        some = {"X": arguments["X"], "coef": arguments["coef"], "rows": arguments["rows"]}
        length = {"X": N_ROWS, "coef": 2, "rows": N_ROWS}[name]
        some["rows"] = some["rows"] if name == "rows" else np.arange(length)
        with raises(ValueError, "out", "overlap", name):
            hf.decision_function(**some, out=over(given, (length,)))
    assert np.asarray(given).tobytes() == before


# Labels and weights


BAD_LABELS = [
    (np.float64, 0.0),
    (np.float64, 1.5),
    (np.float64, np.nan),
    (np.float64, np.inf),
    (np.float32, 0.5),
    (np.int64, 2),
    (np.int64, 2**32 + 1),
    (np.int64, -(2**63)),
    (np.int8, 0),
    (np.int32, -2),
]


@pytest.mark.parametrize("dtype,bad", BAD_LABELS)
@pytest.mark.parametrize("place", [0, 7, N_ROWS - 1])
def test_labels_outside_the_pair(case, dtype, bad, place):
    y = case.y.astype(dtype)
    y[place] = bad
    y[N_ROWS - 1] = bad
    message = refused(ValueError, rf"y\[{place}\]", case, y=y)
    assert "must contain only -1 and +1" in message
    with pytest.raises(ValueError, match=rf"y\[{place}\]"):
        hf.Objective(case.A, y, loss="hinge").value(np.zeros(N_FEATURES + 1))


def test_labels_of_unsigned_bytes(case):
    y = np.ones(N_ROWS, dtype=np.uint8)
    y[3] = 255
    refused(ValueError, r"y\[3\]", case, y=y)


def test_zero_one_labels_are_explained(case):
    y = (case.y > 0).astype(int)
    first = int(np.flatnonzero(y == 0)[0])
    message = refused(ValueError, r"y\[", case, y=y)
    assert message == f"y must contain only -1 and +1; y[{first}] is 0 (pass classes=(0, 1) for 0/1 labels)"


@pytest.mark.parametrize("bad", [-1.0, -1e-300, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_negative_or_not_finite(case, bad, dtype):
    weights = np.ones(N_ROWS, dtype=dtype)
    bad = dtype(bad) if bad != -1e-300 else -np.finfo(dtype).smallest_subnormal
    weights[[4, 9]] = bad
    for reduction in ("mean", "sum"):
        refused(ValueError, r"sample_weight\[4\]", case, sample_weight=weights, reduction=reduction)
    with pytest.raises(ValueError, match=r"sample_weight\[4\]"):
        hf.Objective(case.A, case.y, loss="hinge", sample_weight=weights).value(np.zeros(N_FEATURES + 1))


def test_minus_zero_is_a_weight(case):
    weights = case.weights.copy()
    weights[5] = 0.0
    want = bits(run(case, sample_weight=weights))
    weights[5] = -0.0
    assert bits(run(case, sample_weight=weights)) == want


def test_weights_that_sum_to_zero(case):
    zero = np.zeros(N_ROWS)
    refused(ValueError, "weight", case, sample_weight=zero)
    value, grad, grad_intercept = run(case, sample_weight=zero, reduction="sum")
    assert value == 0.0 and grad_intercept == 0.0 and not grad.any()


def test_a_label_of_weight_zero_is_still_checked(case):
    weights, y = case.weights.copy(), case.y.copy()
    weights[6], y[6] = 0.0, 5
    refused(ValueError, r"y\[6\]", case, y=y, sample_weight=weights)


@pytest.mark.parametrize(
    "bad", [(1.0,), (1.0, 2.0, 3.0), (1.0, -1.0), (np.nan, 1.0), (1.0, np.inf), "balanced", "unbalanced"]
)
def test_class_weight(case, bad):
    refused(ValueError, "class_weight", case, class_weight=bad)


@pytest.mark.parametrize("bad", [(1, 1), (1,), (0, 1, 2), (np.nan, 1)])
def test_classes(case, bad):
    refused(ValueError, "classes", case, classes=bad)


@pytest.mark.parametrize("bad", ["none", "average", ""])
def test_reduction(case, bad):
    message = refused(ValueError, "reduction", case, reduction=bad)
    assert bad != "none" or "decision_function" in message


def test_reduction_of_another_kind(case):
    for bad in (1, None, b"mean"):
        with pytest.raises((TypeError, ValueError), match="reduction"):
            run(case, reduction=bad)


# Other arguments


@pytest.mark.parametrize("bad", [0, -2, -100, np.int64(0)])
def test_n_threads_out_of_range(case, bad):
    refused(ValueError, "n_threads", case, n_threads=bad)
    with pytest.raises(ValueError, match="n_threads"):
        hf.decision_function(case.A, case.coef, n_threads=bad)
    with pytest.raises(ValueError, match="n_threads"):
        hf.Objective(case.A, case.y, loss="hinge", n_threads=bad)


@pytest.mark.parametrize("bad", [2.0, True, "2", np.float64(1), np.True_, [1], 1j])
def test_n_threads_of_another_kind(case, bad):
    refused(TypeError, "n_threads", case, n_threads=bad)
    with pytest.raises(TypeError, match="n_threads"):
        hf.decision_function(case.A, case.coef, n_threads=bad)
    with pytest.raises(TypeError, match="n_threads"):
        hf.Objective(case.A, case.y, loss="hinge", n_threads=bad)


@pytest.mark.parametrize("good", [None, 1, 2, -1, np.int64(3), np.uint8(2), 1000])
def test_n_threads_accepted(case, good):
    assert bits(run(case, n_threads=good)) == bits(run(case))


@pytest.mark.parametrize("bad", [-1e-9, -1, np.nan, np.inf, -np.inf])
def test_alpha_out_of_range(case, bad):
    refused(ValueError, "alpha", case, alpha=bad)
    with pytest.raises(ValueError, match="alpha"):
        hf.Objective(case.A, case.y, loss="hinge", alpha=bad)


@pytest.mark.parametrize("bad", ["1", 1j, None, object()])
def test_alpha_of_another_kind(case, bad):
    refused(TypeError, "alpha", case, alpha=bad)


def test_alpha_of_numpy(case):
    for alpha in (np.float64(0.5), np.float32(0.5), np.array(0.5)):
        assert bits(run(case, alpha=alpha)) == bits(run(case, alpha=0.5))


def test_unknown_losses(case):
    message = refused(ValueError, "loss", case, loss="hinge_loss_of_another_name")
    assert "hinge" in message
    for bad in (None, 3, object(), hf.Hinge):
        refused(TypeError, "loss", case, loss=bad)


def test_keywords_are_keywords(case):
    with pytest.raises(TypeError):
        hf.linear_value_and_grad(case.A, case.y, case.coef, 0.0, "hinge")
    with pytest.raises(TypeError):
        hf.linear_value_and_grad(case.A, case.y, case.coef, 0.0, weights=None)


# out


def test_out_is_returned(case):
    want = run(case)
    out = np.full(N_FEATURES, np.nan)
    value, grad, grad_intercept = run(case, out=out)
    assert grad is out
    assert bits(value, grad, grad_intercept) == bits(want)
    scores = np.full(N_ROWS, np.nan)
    assert hf.decision_function(case.A, case.coef, case.intercept, out=scores) is scores
    assert bits(scores) == bits(hf.decision_function(case.A, case.coef, case.intercept))


def test_out_of_a_row_of_coef(case):
    want = run(case, coef=case.coef.reshape(1, -1), intercept=np.array([case.intercept]))
    out = np.full((1, N_FEATURES), 7.0)
    got = run(case, coef=case.coef.reshape(1, -1), intercept=np.array([case.intercept]), out=out)
    assert got[1] is out and bits(got) == bits(want)


def bad_outs(shape):
    readonly = np.full(shape, 7.0)
    readonly.flags.writeable = False
    size = int(np.prod(shape))
    return {
        "long": np.full(size + 1, 7.0),
        "short": np.full(size - 1, 7.0),
        "two_dimensional": np.full((size, 1), 7.0),
        "row": np.full((1, size), 7.0),
        "float32": np.full(shape, 7.0, dtype=np.float32),
        "int64": np.full(shape, 7, dtype=np.int64),
        "big_endian": np.full(shape, 7.0, dtype=">f8"),
        "strided": np.full(2 * size, 7.0)[::2],
        "reversed": np.full(size, 7.0)[::-1],
        "readonly": readonly,
    }


@pytest.mark.parametrize("name", bad_outs(N_FEATURES))
def test_out_refused(case, name):
    out = bad_outs(N_FEATURES)[name]
    refused(ValueError, r"\bout\b", case, out=out)
    assert (out == 7).all()
    out = bad_outs(N_ROWS)[name]
    with pytest.raises(ValueError, match=r"\bout\b"):
        hf.decision_function(case.A, case.coef, out=out)
    assert (out == 7).all()


def test_out_of_another_kind(case):
    for bad in ([0.0] * N_FEATURES, "out", 3.0, np.ma.zeros(N_FEATURES), memoryview(np.zeros(N_FEATURES))):
        refused(TypeError, r"\bout\b", case, out=bad)


def overlapping(kind):
    """(changes of the call, out) where out shares memory with an input: whole, in part, or only in its range."""
    case = problem(N_ROWS, N_FEATURES, seed=2)
    n, d = N_ROWS, N_FEATURES
    if kind == "X row":
        return {"X": case.X}, case.X[3]
    if kind in ("X head", "X tail", "X gap"):
        store = np.zeros(4 * n * d)
        if kind == "X gap":
            X = store[: 2 * n * d].reshape(n, 2 * d)[:, :d]
            out = store[d : 2 * d]
        else:
            X = store[2 * d : 2 * d + n * d].reshape(n, d)
            out = (
                store[d + 1 : 2 * d + 1] if kind == "X head" else store[2 * d + n * d - 1 : 3 * d + n * d - 1]
            )
        X[...] = case.X
        return {"X": X}, out
    if kind == "X bytes":
        store = np.zeros(8 * (n * d + d), dtype=np.uint8)
        X = store[: 8 * n * d].view(np.float64).reshape(n, d)
        X[...] = case.X
        return {"X": X}, store[8 * (n * d - 2) : 8 * (n * d - 2 + d)].view(np.float64)
    if kind == "y":
        y = case.y.astype(np.float64)
        return {"y": y}, y[2 : 2 + d]
    if kind == "y reversed":
        y = case.y.astype(np.float64)
        return {"y": y[::-1]}, y[:d]
    if kind == "coef":
        return {"coef": case.coef}, case.coef
    if kind == "coef part":
        store = np.zeros(2 * d)
        store[:d] = case.coef
        return {"coef": store[:d]}, store[d - 1 : 2 * d - 1]
    if kind == "weights":
        return {"sample_weight": case.weights}, case.weights[-d:]
    if kind == "rows":
        store = np.zeros(d)
        rows = store.view(np.int64)[:2]
        rows[:] = [0, 1]
        return {"rows": rows}, store
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "X row",
        "X head",
        "X tail",
        "X gap",
        "X bytes",
        "y",
        "y reversed",
        "coef",
        "coef part",
        "weights",
        "rows",
    ],
)
def test_out_overlapping_an_input(kind):
    case = problem(N_ROWS, N_FEATURES, seed=2)
    case.A = case.X
    changes, out = overlapping(kind)
    before = bits(out, *changes.values())
    refused(ValueError, "overlap", case, out=out, **changes)
    assert bits(out, *changes.values()) == before


def test_out_overlapping_sparse_parts():
    case = problem(N_ROWS, N_FEATURES, seed=2)
    case.A = as_csr(case.X, "namespace", np.int64, np.int64)
    for out in (case.A.data[3:8], case.A.indices.view(np.float64)[-5:], case.A.indptr.view(np.float64)[:5]):
        before = bits(case.A.data, case.A.indices, case.A.indptr)
        refused(ValueError, "overlap", case, out=out)
        assert bits(case.A.data, case.A.indices, case.A.indptr) == before
    with pytest.raises(ValueError, match="overlap"):
        hf.decision_function(case.A, case.coef, out=case.A.data[:N_ROWS])


def test_scores_overlapping_an_input():
    case = problem(N_ROWS, N_FEATURES, seed=2)
    for out in (case.X.ravel()[:N_ROWS], case.X.ravel()[-N_ROWS:]):
        before = bits(case.X)
        with pytest.raises(ValueError, match="overlap"):
            hf.decision_function(case.X, case.coef, out=out)
        assert bits(case.X) == before


def test_neighbours_do_not_overlap():
    """Address ranges that touch are apart: out may follow X at once."""
    case = problem(N_ROWS, N_FEATURES, seed=2)
    size = N_ROWS * N_FEATURES
    store = np.zeros(size + 2 * N_FEATURES)
    X = store[N_FEATURES : N_FEATURES + size].reshape(N_ROWS, N_FEATURES)
    X[...] = case.X
    want = hf.linear_value_and_grad(case.X, case.y, case.coef)
    for out in (store[:N_FEATURES], store[-N_FEATURES:]):
        assert bits(hf.linear_value_and_grad(X, case.y, case.coef, out=out)) == bits(want)


@pytest.mark.parametrize("fault", ["label", "weight", "length", "alpha", "index"])
def test_out_is_untouched_by_any_error(case, fault):
    out = np.full(N_FEATURES, 7.0)
    y, weights = case.y.copy(), case.weights.copy()
    changes = {}
    if fault == "label":
        y[-1] = 0
    elif fault == "weight":
        weights[-1] = np.nan
    elif fault == "length":
        y = y[:-1]
    elif fault == "alpha":
        changes["alpha"] = -1.0
    else:
        changes["rows"] = np.array([0, N_ROWS])
    with pytest.raises(ValueError):
        run(case, y=y, sample_weight=weights, out=out, **changes)
    assert (out == 7.0).all()


def test_inputs_are_never_modified(case):
    held = [case.X, case.y, case.coef, case.weights]
    if case.A is not case.X:
        held += [case.A.indptr, case.A.indices, case.A.data]
    for array in held:
        array.flags.writeable = False
    before = bits(*held)
    for loss in hf.losses.MARGIN_LOSSES:
        run(case, loss=loss, sample_weight=case.weights, alpha=0.5)
        hf.Objective(case.A, case.y, loss=loss, sample_weight=case.weights).value_and_grad(
            np.append(case.coef, 1.0)
        )
    hf.decision_function(case.A, case.coef)
    assert bits(*held) == before
