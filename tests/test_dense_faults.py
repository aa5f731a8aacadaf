"""Promise: bad arguments of linear calls get the right error, in one line that names argument, rule, value and lowest
position for any number of threads, and lose nothing.
"""

import array as array_module
import contextlib
import gc
import re
import weakref
from functools import partial

import numpy as np
import pytest
from conftest import THREADS, bits, raises
from kinds import FEW, KINDS, as_csr, problem
from scipy import sparse
from test_scores_faults import BAD_CLASSES
from test_scores_faults import BAD_LABELS as BAD_LABELS_OF_CLASSES

import hingefast as hf

pytestmark = [pytest.mark.sanitizer, pytest.mark.any_python]

N_ROWS, N_FEATURES, N_CLASSES = 24, 5, 4
TWO = {"hinge": KINDS["hinge"], "crammer_singer": FEW["crammer_singer:hinge"].of(N_CLASSES)[0]}
two_kinds = pytest.mark.parametrize("kind", TWO.values(), ids=TWO.keys())
CASES = {f"{name} {layout}": (kind, layout) for name, kind in TWO.items() for layout in ("dense", "csr")}


def _some(name):
    chosen = {key: each for key, each in CASES.items() if key.startswith(name)}
    return pytest.mark.parametrize("case", chosen.values(), ids=chosen.keys(), indirect=True)


one_score, of_classes = _some("hinge"), _some("crammer_singer")


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    """A small problem of either kind; `case.A` is X in the layout of the parameter."""
    kind, layout = request.param
    case = kind.problem(N_ROWS, N_FEATURES, seed=2)
    case.A = case.X if layout == "dense" else as_csr(case.X)
    return case


def run(case, **changes):
    """linear_value_and_grad with some arguments replaced."""
    arguments = {"X": case.A, "y": case.y, "coef": case.coef, "intercept": case.intercept, **changes}
    first = [arguments.pop(name) for name in ("X", "y", "coef", "intercept")]
    return hf.linear_value_and_grad(*first, **{"loss": case.kind.loss, **arguments})


def refused(error, fragment, case, **changes):
    with raises(error, fragment) as caught:
        run(case, **changes)
    return str(caught.value)


def sevens(case):
    """Outputs of the gradients: what to pass, and the arrays in it."""
    grads = [np.full(case.coef.shape, 7.0)]
    if not case.kind.binary:
        grads.append(np.full(N_CLASSES, 7.0))
    return (grads[0] if case.kind.binary else tuple(grads)), grads


# Shapes


@pytest.mark.parametrize("X", [np.float64(3.0), np.zeros(5), np.zeros((2, 2, 2))], ids=["0d", "1d", "3d"])
def test_dimensions_of_X(case, X):
    refused(ValueError, "X", case, X=X)
    with raises(ValueError, "X"):
        hf.decision_function(X, case.coef)
    with raises(ValueError, "X"):
        case.kind.objective(X, case.y)


@pytest.mark.parametrize("length", [0, N_ROWS - 1, N_ROWS + 1])
def test_lengths_of_y_and_weights(case, length):
    y = np.resize(case.y, length)
    refused(ValueError, f"y has {length} rows but X has {N_ROWS}", case, y=y)
    with raises(ValueError, f"y has {length} rows but X has {N_ROWS}"):
        case.kind.objective(case.A, y)
    message = refused(ValueError, "sample_weight", case, sample_weight=np.ones(length))
    assert str(length) in message and str(N_ROWS) in message


@pytest.mark.parametrize("shape", [(N_ROWS, 1), (1, N_ROWS), (N_ROWS, 2), (N_ROWS, N_CLASSES), ()])
def test_shape_of_y_and_sample_weight(case, shape):
    refused(ValueError, "y", case, y=np.ones(shape, int))
    refused(ValueError, "sample_weight", case, sample_weight=np.ones(shape))


@pytest.mark.parametrize(
    "shape",
    [
        (),
        (0,),
        (N_FEATURES - 1,),
        (N_FEATURES + 1,),
        (1, N_FEATURES + 1),
        (1, 1, N_FEATURES),
        (0, N_FEATURES),
        (N_CLASSES, N_FEATURES - 1),
        (N_CLASSES, N_FEATURES + 1),
        (1, N_CLASSES, N_FEATURES),
        (N_CLASSES * N_FEATURES,),
    ],
)
def test_shape_of_coef(case, shape):
    refused(ValueError, "coef", case, coef=np.ones(shape))
    if shape != (0, N_FEATURES):
        with raises(ValueError, "coef"):
            hf.decision_function(case.A, np.ones(shape))


@of_classes
@pytest.mark.parametrize("shape", [(N_FEATURES,), (1, N_FEATURES)])
def test_coef_of_a_binary_model(case, shape):
    """For a loss of several classes."""
    refused(ValueError, "coef", case, coef=np.ones(shape))


@of_classes
def test_a_binary_loss_takes_one_row_of_coef(case):
    signs = np.where(case.y > 1, 1, -1)
    for loss in ("hinge", "logistic"):
        refused(ValueError, "coef", case, y=signs, loss=loss)
    with raises(ValueError, "coef"):
        hf.linear_value_and_grad(case.A, signs, case.coef)  # the default loss is binary


@of_classes
def test_y_of_more_classes_than_coef_has_rows(case):
    first = int(np.flatnonzero(case.y == 3)[0])
    refused(ValueError, f"y[{first}] is 3", case, coef=case.coef[:3], intercept=0.0)


def test_transposed_coef(case):
    for n_classes in (1, 3) if case.kind.binary else (2, 3, 4, 9):
        shape = (N_FEATURES, n_classes)
        message = refused(ValueError, "pass coef.T", case, coef=np.ones(shape), intercept=0.0)
        assert case.kind.binary or str(shape) in message
        with raises(ValueError, "coef", "pass coef.T"):
            hf.decision_function(case.A, np.ones(shape))
    # Where both readings fit, it is (K, d).
    square = np.arange(25.0).reshape(5, 5)
    scores = hf.decision_function(case.A, square)
    np.testing.assert_allclose(scores, case.X @ square.T, rtol=1e-12, atol=1e-12)


def test_shape_of_intercept(case):
    for shape in ((2,), (3,), (5,), (4, 1), (1, 4), (1, 1), (0,)):
        refused(ValueError, "intercept", case, intercept=np.zeros(shape))
        with raises(ValueError, "intercept"):
            hf.decision_function(case.A, case.coef, np.zeros(shape))
    for bad in (
        "1",
        1j,
        None,
        np.array([1j]),
        np.full(4, 1j),
        object(),
        True,
        np.array(["1"] * 4),
        np.ma.zeros(4),
    ):
        refused(TypeError, "intercept", case, intercept=bad)


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


@pytest.mark.parametrize("what", BAD_KINDS)
def test_kinds_of_arrays(case, what):
    made = BAD_KINDS[what]
    for name, shape in (("X", (N_ROWS, N_FEATURES)), ("y", N_ROWS), ("coef", case.coef.shape)):
        refused(TypeError, name, case, **{name: made(shape)})
    if what != "none":
        refused(TypeError, "sample_weight", case, sample_weight=made(N_ROWS))
    with raises(TypeError, "X"):
        hf.decision_function(made((N_ROWS, N_FEATURES)), case.coef)
    with raises(TypeError, "coef"):
        hf.decision_function(case.A, made(case.coef.shape))
    with raises(TypeError, "X"):
        case.kind.objective(made((N_ROWS, N_FEATURES)), case.y)
    with raises(TypeError, "y"):
        case.kind.objective(case.A, made(N_ROWS))


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


@one_score
@pytest.mark.parametrize("name", ARRAYS)
def test_a_failing_array_protocol_names_the_argument(case, name):
    """The text and, as the cause, the error of the object; but an error that bad input may have."""
    for failure in (RuntimeError, KeyError, AttributeError, OverflowError, ZeroDivisionError, UserWarning):
        with pytest.raises(ValueError, match=f"{name} .*no array today") as caught:
            run(case, **{name: Broken(failure("no array today"))})
        assert isinstance(caught.value.__cause__, failure)
    with raises(TypeError, name, "no array today"):
        run(case, **{name: Broken(TypeError("no array today"))})
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


@one_score
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


@one_score
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


@one_score
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


@one_score
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


@one_score
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


@one_score
@pytest.mark.parametrize("dtype,bad", BAD_LABELS)
@pytest.mark.parametrize("place", [0, 7, N_ROWS - 1])
def test_labels_outside_the_pair(case, dtype, bad, place):
    y = case.y.astype(dtype)
    y[place] = bad
    y[N_ROWS - 1] = bad
    message = refused(ValueError, f"y[{place}]", case, y=y)
    assert "must contain only -1 and +1" in message
    with raises(ValueError, f"y[{place}]"):
        hf.Objective(case.A, y, loss="hinge").value(np.zeros(N_FEATURES + 1))


@of_classes
@pytest.mark.parametrize("label_dtype,bad,shown", BAD_LABELS_OF_CLASSES)
def test_labels_outside(case, label_dtype, bad, shown):
    y = case.y.astype(label_dtype)
    y[[7, 20]] = bad
    out, grads = sevens(case)
    refused(ValueError, f"y[7] is {shown}", case, y=y, out=out)
    assert all((each == 7).all() for each in grads)
    with raises(ValueError, f"y[7] is {shown}"):
        case.kind.objective(case.A, y)


@of_classes
@pytest.mark.parametrize("label_dtype", ["int8", "int64", "uint8", "float64", ">i4"])
def test_labels_outside_the_declared_ones(case, label_dtype):
    labels = np.array([3, 7, 2, 100])
    y = labels[case.y].astype(label_dtype)
    y[[5, 11]] = 4
    scores = hf.decision_function(case.A, case.coef)
    for bad_call in (
        lambda: TWO["crammer_singer"].loss(y, scores, classes=labels),
        lambda: TWO["crammer_singer"].loss.grad(y, scores, classes=labels.tolist()),
        lambda: run(case, y=y, classes=labels),
        lambda: hf.Objective(case.A, y, loss="crammer_singer", classes=labels),
    ):
        with raises(ValueError, "y[5] is 4"):
            bad_call()
    for bad in (101, 127, 1):  # above all of them, and below
        y[5] = bad
        with raises(ValueError, f"y[5] is {bad}"):
            run(case, y=y, classes=labels)
        with raises(ValueError, f"y[5] is {bad}"):
            hf.Objective(case.A, y, loss="crammer_singer", classes=labels)
    # The number of a column is not a label where labels are declared.
    y[[5, 11]] = 0
    with raises(ValueError, "y[5] is 0"):
        TWO["crammer_singer"].loss(y, scores, classes=labels)


@one_score
def test_labels_of_unsigned_bytes(case):
    y = np.ones(N_ROWS, dtype=np.uint8)
    y[3] = 255
    refused(ValueError, "y[3]", case, y=y)


@one_score
def test_zero_one_labels_are_explained(case):
    y = (case.y > 0).astype(int)
    first = int(np.flatnonzero(y == 0)[0])
    message = refused(ValueError, "y[", case, y=y)
    assert message == f"y must contain only -1 and +1; y[{first}] is 0 (pass classes=(0, 1) for 0/1 labels)"


@pytest.mark.parametrize("bad", [-1.0, -1e-300, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_negative_or_not_finite(case, bad, dtype):
    weights = np.ones(N_ROWS, dtype=dtype)
    bad = dtype(bad) if bad != -1e-300 else -np.finfo(dtype).smallest_subnormal
    weights[[4, 9]] = bad
    for reduction in ("mean", "sum"):
        refused(ValueError, "sample_weight[4]", case, sample_weight=weights, reduction=reduction)
    with raises(ValueError, "sample_weight[4]"):
        objective = case.kind.objective(case.A, case.y, sample_weight=weights)
        objective.value(np.zeros(objective.size))


def test_minus_zero_is_a_weight(case):
    weights = case.weights.copy()
    weights[5] = 0.0
    want = bits(run(case, sample_weight=weights))
    weights[5] = -0.0
    assert bits(run(case, sample_weight=weights)) == want


def test_weights_that_sum_to_zero(case):
    for zero in ({"sample_weight": np.zeros(N_ROWS)}, {"class_weight": np.zeros(len(case.kind.labels))}):
        refused(ValueError, "weight", case, **zero)
        value, grad, grad_intercept = run(case, reduction="sum", **zero)
        assert value == 0.0 and not np.any(grad_intercept) and not grad.any()


def test_a_label_of_weight_zero_is_still_checked(case):
    weights, y = case.weights.copy(), case.y.copy()
    weights[6], y[6] = 0.0, 5
    refused(ValueError, "y[6] is 5", case, y=y, sample_weight=weights)


def test_class_weight(case):
    good = case.kind.class_weight
    wrongs = [good[:-1], np.append(good, 1.0), good[:1], (), good[None, :], good[:, None], 2.0]
    for bad in (-1.0, np.nan, np.inf):
        wrongs += [np.append(good[:-1], bad), np.append(bad, good[1:])]
    for wrong in [*wrongs, "balanced", "unbalanced"]:
        refused(ValueError, "class_weight", case, class_weight=wrong)
        if not isinstance(wrong, str):
            with raises(ValueError, "class_weight"):
                case.kind.objective(case.A, case.y, class_weight=wrong)
    n = len(good)
    for wrong in (["a"] * n, [1j] * n, [None] * n, {0: 1.0}, np.ma.ones(n)):
        with raises((TypeError, ValueError), "class_weight"):
            run(case, class_weight=wrong)


@one_score
@pytest.mark.parametrize("bad", [(1, 1), (1,), (0, 1, 2), (np.nan, 1)])
def test_classes(case, bad):
    refused(ValueError, "classes", case, classes=bad)


@of_classes
@pytest.mark.parametrize("what", BAD_CLASSES)
def test_bad_classes(case, what):
    wrong = BAD_CLASSES[what]
    with raises((TypeError, ValueError), "classes"):
        run(case, classes=wrong)
    if what not in ("an int too large", "too many"):  # there may be more classes than y shows
        with raises((TypeError, ValueError)):
            hf.Objective(case.A, case.y, loss="crammer_singer", classes=wrong)


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


def test_columns_are_counted_in_32_bits():
    """More than 2^31 - 1 classes are refused by their number, before anything is allocated."""
    with raises(ValueError, "classes", "2147483648"):
        hf.Objective(np.ones((2, 1)), [0, 1], loss="crammer_singer", classes=2**31)


@two_kinds
@pytest.mark.parametrize("n_threads", THREADS)
def test_lowest_position_for_any_threads(kind, n_threads):
    X, y, coef, _ = kind.random_csr(20_000, 1_000, 40, seed=3)
    call = partial(hf.linear_value_and_grad, X, coef=coef, loss=kind.loss, n_threads=n_threads)
    for positions in ((19_999,), (9_000, 15_000), (3, 12_345)):
        bad, weights = y.copy(), np.ones(20_000)
        bad[list(positions)], weights[list(positions)] = 4, np.nan
        with raises(ValueError, f"y[{positions[0]}] is 4"):
            call(bad)
        with raises(ValueError, f"sample_weight[{positions[0]}] is nan"):
            call(y, sample_weight=weights)


# Other arguments


@pytest.mark.parametrize("bad", ["none", "average", ""])
def test_reduction(case, bad):
    message = refused(ValueError, "reduction", case, reduction=bad)
    assert bad != "none" or "decision_function" in message
    with raises(ValueError, "reduction"):
        case.kind.objective(case.A, case.y, reduction=bad)


def test_reduction_of_another_kind(case):
    for bad in (1, None, b"mean"):
        with raises((TypeError, ValueError), "reduction"):
            run(case, reduction=bad)


def ask_everywhere(case, error, fragment, **wrong):
    """The three ways to ask a linear model."""
    refused(error, fragment, case, **wrong)
    with raises(error, fragment):
        case.kind.objective(case.A, case.y, **wrong)
    if "n_threads" in wrong:
        with raises(error, fragment):
            hf.decision_function(case.A, case.coef, **wrong)


def test_n_threads(case):
    for bad in (0, -2, -100, np.int64(0)):
        ask_everywhere(case, ValueError, "n_threads", n_threads=bad)
    for bad in (2.0, True, "2", np.float64(1), np.True_, [1], 1j):
        ask_everywhere(case, TypeError, "n_threads", n_threads=bad)
    want = bits(run(case))
    for good in (None, 1, 2, -1, np.int64(3), np.uint8(2), 1000):
        assert bits(run(case, n_threads=good)) == want


def test_alpha(case):
    for bad in (-1e-9, -1, np.nan, np.inf, -np.inf):
        ask_everywhere(case, ValueError, "alpha", alpha=bad)
    for bad in ("1", 1j, None, object()):
        ask_everywhere(case, TypeError, "alpha", alpha=bad)
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
    alpha = {"alpha": 0.25}
    want = run(case, **alpha)
    out, grads = sevens(case)
    got = run(case, out=out, **alpha)
    assert got[1] is grads[0] and (case.kind.binary or got[2] is grads[1])
    assert bits(got) == bits(want)
    alone = np.full(case.coef.shape, np.nan)
    got = run(case, out=alone, **alpha)
    assert got[1] is alone and bits(got) == bits(want)
    scores = np.full((N_ROWS, *case.kind.shape), np.nan)
    assert hf.decision_function(case.A, case.coef, case.intercept, out=scores) is scores
    assert bits(scores) == bits(hf.decision_function(case.A, case.coef, case.intercept))


@one_score
def test_out_of_a_row_of_coef(case):
    want = run(case, coef=case.coef.reshape(1, -1), intercept=np.array([case.intercept]))
    out = np.full((1, N_FEATURES), 7.0)
    got = run(case, coef=case.coef.reshape(1, -1), intercept=np.array([case.intercept]), out=out)
    assert got[1] is out and bits(got) == bits(want)


def bad_outs(shape):
    """Arrays of sevens that are no float64 output of this shape."""

    def full(*shape, **more):
        return np.full(shape, 7.0, **more)

    readonly = full(*shape)
    readonly.flags.writeable = False
    n, rest = shape[0], shape[1:]
    outs = {
        "long": full(n + 1, *rest),
        "short": full(n - 1, *rest),
        "column": full(n, *rest, 1),
        "row": full(1, n, *rest),
        "float32": full(*shape, dtype=np.float32),
        "int64": full(*shape, dtype=np.int64),
        "big_endian": full(*shape, dtype=">f8"),
        "strided": full(*shape[:-1], 2 * shape[-1])[..., ::2],
        "row step": full(2 * n, *rest)[::2],
        "reversed": full(*shape)[::-1],
        "readonly": readonly,
    }
    if not rest:
        return outs
    return outs | {
        "narrow": full(n, rest[0] - 1),
        "flat": full(n * rest[0]),
        "transposed": full(rest[0], n),
        "fortran": full(*shape, order="F"),
    }


def test_out_refused(case):
    _, grads = sevens(case)
    for name, out in bad_outs(case.coef.shape).items():
        refused(ValueError, "out", case, out=out)
        if not case.kind.binary:
            refused(ValueError, "out", case, out=(out, grads[1]))
        assert (out == 7).all(), name
    for name, out in bad_outs((N_ROWS, *case.kind.shape)).items():
        with raises(ValueError, "out"):
            hf.decision_function(case.A, case.coef, out=out)
        assert (out == 7).all(), name
    for name, out in {} if case.kind.binary else bad_outs((N_CLASSES,)).items():
        refused(ValueError, "out", case, out=(grads[0], out))
        assert (out == 7).all(), name
    assert all((each == 7).all() for each in grads)


def test_out_of_another_kind(case):
    shape = case.coef.shape
    for bad in (np.zeros(shape).tolist(), "out", 3.0, np.ma.zeros(shape), memoryview(np.zeros(shape))):
        refused(TypeError, "out", case, out=bad)
    fit = np.zeros(shape)
    for bad in ((fit,), (fit, np.zeros(4), np.zeros(4))):
        with raises((TypeError, ValueError), "out"):
            run(case, out=bad)


@pytest.mark.parametrize("fault", ["label", "weight", "length", "alpha", "rows", "cost", "k"])
def test_out_is_untouched_by_any_error(case, fault):
    out, grads = sevens(case)
    y, weights = case.y.copy(), case.weights.copy()
    changes = {}
    if fault == "label":
        y[-1] = case.kind.wrong_label
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
    with pytest.raises(ValueError):
        run(case, y=y, sample_weight=weights, out=out, **changes)
    assert all((each == 7.0).all() for each in grads)


def test_the_call_after_an_error_is_right(case):
    """Nothing of a failed pass stays in a thread's scratch."""
    want = bits(run(case, sample_weight=case.weights))
    for position in range(0, N_ROWS, 5):
        y = case.y.copy()
        y[position] = 99
        refused(ValueError, f"y[{position}] is 99", case, y=y)
        assert bits(run(case, sample_weight=case.weights)) == want
