"""Promise: `Objective` is reduction(loss) + alpha/2·|coef|^2 of one vector, coef row by row and then the intercepts,
checked once and called often; of one score a row and of K.
"""

import array as array_module
import functools
import math
import os
import pickle
import sys
import time
import tracemalloc
import warnings
from fractions import Fraction

import multiclass_reference as oracle
import numpy as np
import pytest
from conftest import bits, class_weight_of, every_dtype, raises
from kinds import (
    DEFAULT_LOSSES,
    FEW,
    KINDS,
    LAYOUTS,
    ON_A_BASE,
    SMOOTH_LOSSES,
    as_csr,
    assert_close,
    away_from_bends,
    binary,
    every_layout,
    every_way,
    expected,
    hessian_product,
    namespace,
    on_a_base,
    problem,
    random_csr,
    right_rows,
    scores_of,
    whole_catalogue,
)
from scipy import optimize

import hingefast as hf

pytestmark = [pytest.mark.sanitizer, pytest.mark.any_python]

N, D, K = 90, 7, 5
SQUARED, WESTON_WATKINS = KINDS["squared_hinge"], on_a_base("weston_watkins", "squared_hinge", K)
TWO = {"squared_hinge": SQUARED, "weston_watkins:squared_hinge": WESTON_WATKINS}
both = pytest.mark.parametrize("kind", TWO.values(), ids=TWO.keys())
one = pytest.mark.parametrize("kind", [SQUARED], ids=str)


@functools.cache
def case_of(kind, dtype=np.float64, seed=71):
    case = kind.problem(N, D, dtype, seed=seed)
    for array in (case.X, case.coef, case.weights):
        array.flags.writeable = False
    return case


@pytest.fixture
def case(kind):
    return case_of(kind)


def make(case, layout="dense", **keywords):
    return case.kind.objective(LAYOUTS[layout](case.X), case.y, **{"alpha": 0.25, **keywords})


def model(case):
    """Coefficients and intercepts in one vector."""
    return np.append(case.coef.ravel(), case.intercept).astype(np.float64)


def taken_apart(case, grad):
    """Gradients of coef and of the intercepts."""
    grad_coef, grad_intercept = grad[: case.coef.size], grad[case.coef.size :]
    return grad_coef.reshape(case.coef.shape), grad_intercept[0] if case.kind.binary else grad_intercept


# Values


@whole_catalogue
def test_value_and_gradient(case):
    want = case.kind.expected(case, alpha=0.25, weights=case.weights)
    size = case.coef.size
    for layout, convert in LAYOUTS.items():
        objective = make(case, layout, sample_weight=case.weights)
        theta = objective.pack(case.coef, case.intercept)
        value, grad = objective.value_and_grad(theta)
        assert type(value) is float and grad.shape == (objective.size,) and grad.dtype == np.float64
        assert objective.size == size + np.size(case.intercept)
        assert_close((value, *taken_apart(case, grad)), want)
        assert bits(objective(theta)) == bits(value, grad)
        scores = objective.decision_function(theta)
        assert scores.shape == want.scores.shape
        assert (np.abs(scores - want.scores) <= want.scores_bound).all()
        direct = case.kind.call(convert(case.X), case, alpha=0.25, sample_weight=case.weights)
        assert bits(direct[0], direct[1].ravel()) == bits(value, grad[:size])
        assert np.array_equal(np.atleast_1d(direct[2]), grad[size:])


@every_layout
@every_dtype
@pytest.mark.parametrize("d", [600, 1500, 3001])
@pytest.mark.parametrize("kind", [KINDS["logistic"], *KINDS["weston_watkins:logistic"].of(3)], ids=str)
def test_long_rows(kind, d, layout, dtype):
    """Value, gradient, step and Hessian product of rows of 2 to 24 KB, which different loops take."""
    long = kind.problem(70, d, dtype, seed=79)
    objective = make(long, layout, sample_weight=long.weights)
    theta = objective.pack(long.coef, long.intercept)
    want = kind.expected(long, alpha=0.25, weights=long.weights, most_unsure=0.2)
    value, grad = objective.value_and_grad(theta)
    assert_close((value, *taken_apart(long, grad)), want, out_eps=float(np.finfo(dtype).eps))
    stepped = theta.copy()
    assert objective.step(stepped, 0.5) == value
    np.testing.assert_array_equal(stepped, theta - theta.dtype.type(0.5) * grad)
    v = np.random.default_rng(7).standard_normal(objective.size)
    product, bound = hessian_product(long, kind.loss, theta.astype(np.float64), v, 0.25, long.weights)
    relative = 2e-5 if dtype is np.float32 else 1e-12
    assert (np.abs(objective.hessp(theta, v) - product) <= relative * bound).all()


@both
@every_layout
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_without_an_intercept(case, layout, reduction):
    objective = make(case, layout, fit_intercept=False, reduction=reduction)
    flat = case.coef.ravel()
    assert objective.size == case.coef.size
    want = expected(case.X, case.y, case.coef, 0.0, case.kind.loss, alpha=0.25, reduction=reduction)
    value, grad = objective.value_and_grad(flat)
    assert grad.shape == flat.shape
    assert_close((value, grad.reshape(case.coef.shape), want.grad_intercept), want)
    coef, intercept = objective.unpack(flat)
    assert not np.any(intercept) and np.array_equal(coef, case.coef)
    np.testing.assert_array_equal(
        objective.decision_function(flat), hf.decision_function(LAYOUTS[layout](case.X), case.coef)
    )


@both
@every_layout
def test_penalized_intercepts(case, layout):
    b = np.linspace(-1.5, 2, np.size(case.intercept))
    theta, size = np.append(case.coef.ravel(), b), case.coef.size
    plain, penalized = make(case, layout), make(case, layout, penalize_intercept=True)
    value, grad = plain.value_and_grad(theta)
    got_value, got_grad = penalized.value_and_grad(theta)
    assert got_value == pytest.approx(value + 0.125 * (b**2).sum(), rel=1e-14)
    np.testing.assert_array_equal(got_grad[:size], grad[:size])
    np.testing.assert_allclose(got_grad[size:], grad[size:] + 0.25 * b, rtol=1e-12, atol=1e-14)
    v = np.ones(theta.size)
    difference = penalized.hessp(theta, v) - plain.hessp(theta, v)
    np.testing.assert_allclose(difference, np.arange(theta.size) // size * 0.25, atol=1e-13)
    # A step counts the penalty, too.
    want = theta - 0.5 * got_grad
    penalized.step(theta, 0.5)
    assert bits(theta) == bits(want)


@both
def test_balanced_classes(case):
    """N/(K·N_k); with weights, sum(w)/(K·sum of w in k)."""
    labels, w, theta = case.kind.labels, case.weights, model(case)
    counts = np.array([(case.y == label).sum() for label in labels])
    assert np.unique(counts).size > 1
    smooth = "logistic" if case.kind.binary else "one_vs_rest:logistic"
    for loss in ("hinge" if case.kind.binary else "crammer_singer", smooth):
        got = make(case, loss=loss, class_weight="balanced").value_and_grad(theta)
        explicit = make(case, loss=loss, class_weight=N / (len(labels) * counts)).value_and_grad(theta)
        np.testing.assert_allclose(got[0], explicit[0], rtol=1e-14)
        np.testing.assert_allclose(got[1], explicit[1], rtol=1e-13, atol=1e-15)
        assert got[0] != make(case, loss=loss).value(theta)
    explicit = [w.sum() / (len(labels) * w[case.y == label].sum()) for label in labels]
    got = make(case, class_weight="balanced", sample_weight=w).value_and_grad(theta)
    want = make(case, class_weight=explicit, sample_weight=w).value_and_grad(theta)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-13)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-11, atol=1e-13)
    # Any order of classes: a weight belongs to its class.
    others = np.array([30, 10, 50, 20, 40])[: len(labels)]
    y = others[np.searchsorted(labels, case.y)]
    again = make_labels(case, y, others, class_weight="balanced", sample_weight=w)
    assert bits(again.value_and_grad(theta)) == bits(got)


def make_labels(case, y, classes, **keywords):
    return hf.Objective(case.X, y, **{"loss": case.kind.loss, "alpha": 0.25, "classes": classes, **keywords})


@both
def test_balanced_needs_every_class(case):
    last, before = case.kind.labels[-1], case.kind.labels[-2]
    y = np.where(case.y == last, before, case.y)
    with raises(ValueError, "balanced", str(last)):
        case.kind.objective(case.X, y, class_weight="balanced")
    with raises(ValueError, "balanced"):
        make(case, class_weight="balanced", sample_weight=(case.y != last) * 1.0)
    for call in (
        lambda: case.kind.call(case.X, case, class_weight="balanced"),
        lambda: case.kind.loss(case.y, case.X @ case.coef.T, class_weight="balanced"),
    ):
        with raises(ValueError, "balanced"):
            call()


@both
def test_attributes(case):
    objective, n_classes = make(case, alpha=0.01), len(case.kind.labels)
    size = case.coef.size + np.size(case.intercept)
    assert (objective.n_rows, objective.n_features, objective.size) == (N, D, size)
    assert pytest.approx(1 / (N * 0.01), rel=1e-15) == objective.C
    assert list(objective.classes) == list(case.kind.labels)
    labels = [30, -10, 50, 20, 40][:n_classes]
    y = np.array(labels)[np.searchsorted(case.kind.labels, case.y)]
    declared = make_labels(case, y, labels)
    assert list(declared.classes) == labels
    assert list(pickle.loads(pickle.dumps(declared)).classes) == labels


def test_classes_of_boolean_labels():
    case = case_of(SQUARED)
    assert tuple(hf.Objective(case.X, case.y > 0, loss="hinge").classes) == (False, True)


def scaled(*weights):
    """The sum of products as an exact fraction."""
    return sum(math.prod(Fraction(float(w)) for w in row) for row in zip(*weights, strict=True))


WEIGHTS = {
    "none": lambda case: {},
    "sample": lambda case: {"sample_weight": case.weights},
    "class": lambda case: {"class_weight": case.kind.class_weight * 2.5},
    "both": lambda case: {"sample_weight": case.weights, "class_weight": case.kind.class_weight * 2.5},
    "zeros": lambda case: {"sample_weight": case.weights * (np.arange(N) % 3 > 0)},
    "balanced": lambda case: {"class_weight": "balanced"},
    "largest integers": lambda case: {"sample_weight": np.full(N, 2**64 - 1, np.uint64)},
    "tiny": lambda case: {"sample_weight": case.weights * 1e-310},
    "huge": lambda case: {"sample_weight": case.weights * 1e307},
    "tiny and huge": lambda case: {
        "sample_weight": np.where(case.y > 0, 1e-300, 1e300),
        "class_weight": np.where(case.kind.labels > 0, 1e-5, 0.0),
    },
    "opposite": lambda case: {
        "sample_weight": np.where(case.y > 0, 1e-300, 1e300),
        "class_weight": np.where(case.kind.labels > 0, 1e300, 1e-300),
    },
}


@both
@pytest.mark.parametrize("weighting", WEIGHTS)
@pytest.mark.parametrize("alpha", [1e-300, 0.25, 1e300])
def test_C_is_that_of_the_svm(case, weighting, alpha):
    """1/(alpha*sum of all weights), right wherever a float64 can hold it."""
    keywords = WEIGHTS[weighting](case)
    objective = make(case, alpha=alpha, **keywords)
    w = keywords.get("sample_weight", np.ones(N))
    labels = case.kind.labels
    of_class = keywords.get("class_weight", np.ones(len(labels)))
    if isinstance(of_class, str):
        of_class = N / (len(labels) * np.array([(case.y == label).sum() for label in labels]))
    want = 1 / (Fraction(alpha) * scaled(w, of_class[np.searchsorted(labels, case.y)]))
    if want > Fraction(sys.float_info.max):
        assert np.inf == objective.C
    else:
        assert abs(Fraction(objective.C) - want) <= want * Fraction(1, 10**13) + Fraction(5e-324)
    assert 1 / alpha == make(case, alpha=alpha, reduction="sum", **keywords).C
    assert np.inf == make(case, alpha=0.0, **keywords).C


def test_C_gives_the_svm_the_same_minimum():
    """By hand: one feature, all x = y = 1, squared hinge: t = 2/(2 + alpha), and 2 C W/(1 + 2 C W) for the SVM."""
    X, y = np.ones((3, 1)), np.ones(3)
    for keywords in ({"sample_weight": [0, 0, 0]}, {"class_weight": [0, 0]}):  # the mean is not defined
        assert np.inf == hf.Objective(X, y, loss="hinge", alpha=0.25, **keywords).C
    for keywords, total in (({}, 3), ({"sample_weight": [2, 0, 4]}, 6), ({"class_weight": [1, 5]}, 15)):
        objective = hf.Objective(X, y, loss="squared_hinge", alpha=0.25, fit_intercept=False, **keywords)
        t = 2 / 2.25
        assert abs(objective.grad([t])[0]) < 1e-15
        assert 2 * objective.C * total / (1 + 2 * objective.C * total) == pytest.approx(t, rel=1e-15)


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")  # since NumPy 2.5
def test_the_classes_given_out_are_the_callers_own():
    case = case_of(WESTON_WATKINS)
    labels = np.array([30, 10, 50, 20, 40])
    objective = hf.Objective(case.X, labels[case.y], loss="one_vs_rest:logistic", classes=labels)
    theta = np.append(case.coef.ravel(), case.intercept)
    want = objective.value_and_grad(theta)
    given = objective.classes
    given.shape = (1, K)
    with pytest.raises(ValueError):
        given[:] = 7
    while given.base is not None and isinstance(given.base, np.ndarray):
        given = given.base
    with pytest.raises(ValueError):
        given.flags.writeable = True
    assert objective.classes.tolist() == labels.tolist()
    assert bits(objective.value_and_grad(theta)) == bits(want)


@both
@pytest.mark.parametrize("scale", [1e-320, 1e-310, 1e-300, 1e300, 1e306])
def test_balanced_with_tiny_and_huge_weights(case, scale):
    """Balanced weights do not change when all sample weights are multiplied."""
    w = np.ldexp(np.round(case.weights * 8), math.frexp(scale)[1])  # a power of two: exact, subnormal or not
    want = class_weight_of(make(case, class_weight="balanced", sample_weight=np.round(case.weights * 8)))
    assert bits(class_weight_of(make(case, class_weight="balanced", sample_weight=w))) == bits(want)


@both
def test_balanced_with_integers_of_the_largest_size(case):
    w = np.array([2**63, 2**64 - 1], np.uint64)[np.arange(N) % 2]
    want = class_weight_of(make(case, class_weight="balanced", sample_weight=w.astype(np.float64)))
    assert bits(class_weight_of(make(case, class_weight="balanced", sample_weight=w))) == bits(want)
    labels, total = case.kind.labels, w.astype(float)
    by_hand = [total.sum() / (len(labels) * total[case.y == label].sum()) for label in labels]
    np.testing.assert_allclose(want, by_hand, rtol=1e-13)


@both
def test_balanced_weights_that_would_be_infinite(case):
    w = np.where(case.y > 0, 5e-324, 1e300)
    with raises(ValueError, "balanced", "sample_weight", "class 1"):
        make(case, class_weight="balanced", sample_weight=w)


@both
def test_what_was_checked_together_stays_together(case):
    objective = make(case)
    for name in (
        "loss",
        "alpha",
        "fit_intercept",
        "penalize_intercept",
        "reduction",
        "n_threads",
        "C",
        "size",
    ):
        with pytest.raises(AttributeError):
            setattr(objective, name, getattr(objective, name))


class Meanwhile:
    """A row number that, when it is read, lets something happen as a handler of signals could."""

    def __init__(self, happen):
        self.happen = happen

    def __index__(self):
        self.happen()
        return 0


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")  # since NumPy 2.5
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@one
def test_arrays_reshaped_between_check_and_use(case, dtype):
    """theta, out, v and what the objective keeps: a call uses the views that it checked."""
    w = case.weights.astype(np.longdouble)
    X, y = case.X.astype(np.longdouble), case.y.astype(np.longdouble)
    objective = hf.Objective(X, y, loss="squared_hinge", sample_weight=w)
    theta = np.append(case.coef, 0.5).astype(dtype)
    want = objective.value_and_grad(theta)
    scores = objective.decision_function(theta)
    stepped = theta.copy()
    objective.step(stepped, 0.25)

    def reshape():
        for array in (theta, out):
            array.shape = (2, -1)
            array.dtype = np.uint8
        for array in (X, y, w):
            array.shape = (-1, 2) if array.size % 2 == 0 else (-1,)

    def restore():
        theta.dtype = dtype
        theta.shape = (8,)

    out = np.empty_like(theta)
    got = objective.value_and_grad(theta, rows=slice(Meanwhile(reshape), None), out=out)
    assert got[1] is out and got[0] == want[0] and out.tobytes() == want[1].tobytes()
    restore()
    out = np.empty_like(scores)
    got = objective.decision_function(
        theta, rows=slice(Meanwhile(lambda: setattr(theta, "shape", (2, 4))), None)
    )
    assert bits(got) == bits(scores)
    restore()
    out = np.empty_like(theta)
    objective.step(theta, 0.25, rows=slice(Meanwhile(reshape), None))
    assert theta.tobytes() == stepped.tobytes()


FOREIGN = {
    "memoryview": memoryview,
    "array.array": lambda a: array_module.array(a.dtype.char, a.tolist()),
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "strided": lambda a: np.repeat(a, 2)[::2],
}


@one
@pytest.mark.parametrize("form", FOREIGN)
def test_outputs_over_the_memory_of_any_argument(case, form):
    """Whatever was passed now or when the objective was made, and `step`'s theta too."""
    values = {
        "y": case.y.astype(float),
        "sample_weight": case.weights.copy(),
        "class_weight": np.array([1.0, 2.0]),
        "classes": np.array([-1, 1]),
        "theta": np.append(case.coef, 0.5),
        "rows": np.arange(90),
        "lr": np.zeros(1),
    }
    for name, value in values.items():
        given = FOREIGN[form](value) if name != "lr" else value.reshape(())
        arguments = {**values, name: given}
        made = [arguments[key] for key in ("y", "sample_weight", "class_weight", "classes")]
        X = case.X[:, : 1 if name in ("class_weight", "classes") else 7]
        size = X.shape[1] + 1 - (name == "lr") * 7
        objective = hf.Objective(
            X[:, :size],
            made[0],
            loss="squared_hinge",
            sample_weight=made[1],
            class_weight=made[2],
            classes=made[3],
            fit_intercept=name != "lr",
        )
        theta = np.zeros(objective.size) if name != "theta" else given
        rows = arguments["rows"]
        memory = np.asarray(given)
        memory = (memory if memory.base is None else memory.base) if form == "strided" else memory
        over = np.frombuffer(memory, np.float64)[: objective.size]
        before = memory.tobytes()
        if name != "lr":
            with raises(ValueError, "out", "overlap", name):
                objective.grad(theta, rows=rows, out=over)
        if name != "theta":
            with raises(ValueError, "theta", "overlap", name):
                objective.step(over, arguments["lr"] if name != "lr" else given, rows=rows)
        if memory.nbytes >= 90 * 8:
            with raises(ValueError, "out", "overlap", name):
                objective.decision_function(theta, rows=rows, out=np.frombuffer(memory, np.float64)[:90])
        assert memory.tobytes() == before


@pytest.mark.parametrize("classes", [(0, 1), (1, 2), (5, -5)])
def test_declared_classes(classes):
    case = case_of(SQUARED)
    got = make_labels(case, np.where(case.y > 0, classes[1], classes[0]), classes)
    assert bits(got.value_and_grad(model(case))) == bits(make(case).value_and_grad(model(case)))


@pytest.mark.parametrize("classes", [[5, 6, 7, 8, 9], (3, 7, -2, 100, 5), np.array([4, 3, 2, 1, 0], np.int8)])
def test_several_declared_classes(classes):
    case = case_of(WESTON_WATKINS)
    theta = model(case)
    got, want = make_labels(case, np.asarray(classes)[case.y], classes), make(case)
    assert bits(got.value_and_grad(theta)) == bits(want.value_and_grad(theta))
    assert bits(got.hessp(theta, theta)) == bits(want.hessp(theta, theta))


def test_classes_must_be_declared():
    """The number of classes is not guessed from y."""
    case = case_of(WESTON_WATKINS)
    with raises(ValueError, "classes"):
        hf.Objective(case.X, case.y, loss="crammer_singer")
    for k in (2, 3, K - 1):  # y holds K - 1
        with raises(ValueError, f"y[{int(np.flatnonzero(case.y >= k)[0])}]"):
            hf.Objective(case.X, case.y, loss="crammer_singer", classes=k)
    more = hf.Objective(case.X, case.y, loss="crammer_singer", classes=K + 3)
    assert more.size == (K + 3) * (D + 1)
    theta = np.zeros(more.size)
    assert more.value(theta) == 1.0


@both
@every_layout
def test_float64_forced_on_float32_data(case, layout):
    X = LAYOUTS[layout](case.X.astype(np.float32))
    wide = LAYOUTS[layout](case.X.astype(np.float32).astype(np.float64))
    theta, kind = model(case), case.kind
    forced = kind.objective(X, case.y, dtype=np.float64, alpha=0.1)
    native, narrow = (kind.objective(each, case.y, alpha=0.1) for each in (wide, X))
    assert bits(forced.value_and_grad(theta)) == bits(native.value_and_grad(theta))
    assert bits(forced.hessp(theta, theta)) == bits(native.hessp(theta, theta))
    assert forced.decision_function(theta).dtype == np.float64
    assert narrow.decision_function(theta).dtype == np.float32
    assert forced.value(theta) != narrow.value(theta)
    for bad in (np.int64, np.float16, complex, "nonsense", 3):
        with pytest.raises((TypeError, ValueError), match="dtype"):
            kind.objective(X, case.y, dtype=bad)


@both
@every_layout
@pytest.mark.parametrize("x_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("theta_dtype", [np.float32, np.float64])
def test_dtype_of_theta_is_that_of_the_gradient(case, layout, x_dtype, theta_dtype):
    X = case.X.astype(x_dtype)
    objective = case.kind.objective(LAYOUTS[layout](X), case.y, alpha=0.1)
    theta = model(case).astype(theta_dtype)
    value, grad = objective.value_and_grad(theta)
    assert grad.dtype == theta_dtype and objective.grad(theta).dtype == theta_dtype
    assert objective.decision_function(theta).dtype == x_dtype
    coef, intercept = objective.unpack(theta)
    want = expected(X, case.y, coef, intercept, case.kind.loss, alpha=0.1)
    assert_close((value, *taken_apart(case, grad)), want, out_eps=np.finfo(theta_dtype).eps)
    assert objective.step(theta, 0.5) == value and theta.dtype == theta_dtype


# pack, unpack, pickle


@both
def test_pack_and_unpack(case):
    objective, size, shape = make(case), case.coef.size, case.coef.shape
    theta = objective.pack(case.coef, case.intercept)
    assert theta.shape == (objective.size,) and theta.dtype == np.float64
    assert np.array_equal(theta, model(case))
    coef, intercept = objective.unpack(theta)
    assert np.array_equal(coef, case.coef) and coef.shape == shape
    assert np.array_equal(intercept, case.intercept) and np.shape(intercept) == case.kind.shape
    assert np.shares_memory(coef, theta)
    theta[0] = 99.0
    assert coef.ravel()[0] == 99.0
    assert not np.shares_memory(objective.pack(case.coef, 0.0), case.coef)
    assert np.array_equal(
        objective.pack(np.asfortranarray(case.coef), 0.5)[size:], np.full(np.size(case.intercept), 0.5)
    )
    for bad in (np.ones((*shape[:-1], D - 1)), np.ones(size + 1), np.ones((*shape, 2)), np.ones(D - 1)):
        with raises(ValueError, "coef"):
            objective.pack(bad, 0.0)
    for bad in (np.ones(objective.size - 1), np.ones((2, objective.size))):
        with raises(ValueError, "theta"):
            objective.unpack(bad)


def test_pack_of_a_row_as_scikit_learn_has_it():
    case = case_of(SQUARED)
    row = make(case).pack(case.coef.reshape(1, D), np.array([0.75]))
    assert np.array_equal(row, np.append(case.coef, 0.75))


def test_pack_of_several_classes():
    case = case_of(WESTON_WATKINS)
    objective = make(case)
    theta = objective.pack(case.coef, case.intercept)
    _, intercept = objective.unpack(theta)
    assert np.shares_memory(intercept, theta)
    theta[-1] = 77.0
    assert intercept[-1] == 77.0
    with raises(ValueError, "coef", "pass coef.T"):
        objective.pack(case.coef.T, 0.0)
    for bad in (np.ones((K + 1, D)), np.ones(K * D), np.ones(D)):
        with raises(ValueError, "coef"):
            objective.pack(bad, 0.0)
    for bad in (np.ones(K - 1), np.ones((K, 1)), np.ones(K + 1)):
        with raises(ValueError, "intercept"):
            objective.pack(case.coef, bad)


PICKLED = [
    SQUARED,
    on_a_base("weston_watkins", "logistic", K),
    on_a_base("crammer_singer", "smooth_hinge-narrow", K),
    *KINDS["cost_sensitive_hinge"].of(K),
    *KINDS["top_2_beta"].of(K),
]


@pytest.mark.parametrize("kind", PICKLED, ids=str)
@every_layout
@pytest.mark.parametrize("class_weight", [None, "other", "balanced"])
def test_pickle(case, layout, class_weight):
    objective = make(
        case,
        layout,
        sample_weight=case.weights,
        class_weight=case.kind.class_weight if class_weight == "other" else class_weight,
        penalize_intercept=True,
        n_threads=2,
    )
    theta = objective.pack(case.coef, case.intercept)
    for protocol in (2, 5):
        again = pickle.loads(pickle.dumps(objective, protocol))
        assert bits(again.value_and_grad(theta)) == bits(objective.value_and_grad(theta))
        if case.kind.has_hessian:
            assert bits(again.hessp(theta, theta)) == bits(objective.hessp(theta, theta))
        told = [(each.size, each.C, each.n_threads, list(each.classes)) for each in (again, objective)]
        assert told[0] == told[1] and again.n_threads == 2


@both
def test_it_keeps_references(case):
    """No copy of X or y is made: what the caller changes is seen."""
    X, y, labels = case.X.copy(), case.y.copy(), case.kind.labels
    objective = case.kind.objective(X, y)
    theta = model(case)
    before = objective.value(theta)
    X[:20] *= 2
    y[40:] = np.roll(labels, 1)[np.searchsorted(labels, y[40:])]
    assert objective.value(theta) != before
    assert objective.value(theta) == case.kind.objective(X, y).value(theta)
    y[3] = case.kind.wrong_label
    for call in (objective.value, objective.grad, objective.value_and_grad, lambda t: objective.step(t, 0.1)):
        with raises(ValueError, f"y[3] is {case.kind.wrong_label}"):
            call(theta)


# step


STEP_ROWS = [None, slice(10, 40), slice(None, None, -3), np.array([3, 3, 80, 5]), np.arange(N)]


@every_way
@every_layout
@every_dtype
def test_step_is_theta_minus_lr_times_gradient(kind, layout, dtype):
    """Bit for bit, in theta's dtype, and it returns the value before the step."""
    case = case_of(kind, dtype, 72)
    for alpha, fit_intercept in ((0.0, True), (0.3, True), (0.0, False), (0.3, False)):
        objective = make(case, layout, alpha=alpha, fit_intercept=fit_intercept)
        for rows in STEP_ROWS:
            for lr in (0.125, 0.1, 1e-3, np.float64(0.7)):
                theta = objective.pack(case.coef, case.intercept if fit_intercept else 0.0).astype(dtype)
                value, grad = objective.value_and_grad(theta, rows=rows)
                want = theta - dtype(lr) * grad
                same = theta
                assert objective.step(theta, lr, rows=rows) == value
                assert same is theta and bits(theta) == bits(want)


@pytest.mark.parametrize("kind", [KINDS["hinge"], FEW["crammer_singer:hinge"]], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_step_of_an_sgd_loop_goes_down(kind, layout):
    case = kind.problem(2000, 10, seed=73)
    rng = np.random.default_rng(0)
    if not kind.binary:
        case.y = np.where(rng.random(2000) < 0.95, (case.X @ case.coef.T).argmax(axis=1), case.y)
    objective = make(case, layout, alpha=1e-4)
    theta = np.zeros(objective.size)
    start = objective.value(theta)
    for _ in range(5):
        for batch in np.split(rng.permutation(2000), 40):
            objective.step(theta, 0.05, rows=batch)
    assert objective.value(theta) < 0.9 * start


@every_dtype
@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("batch", [np.array([5]), np.array([2, 9, 2]), slice(3, 8)], ids=str)
@pytest.mark.parametrize(
    "kind",
    [KINDS["logistic"], *FEW["crammer_singer:hinge"].of(6), *FEW["weston_watkins:logistic"].of(6)],
    ids=str,
)
def test_step_touches_only_the_columns_of_the_batch(dtype, width, batch, kind):
    """CSR with alpha = 0: columns that the batch does not store keep NaN, -0.0 and their last bit, in every class."""
    n, d = (50 if kind.binary else 2_000), 3_000
    X, y, coef, _ = kind.random_csr(n, d, 6, dtype, seed=74, index_dtype=width)
    objective = kind.objective(X, y)
    stored = np.unique(X.indices.reshape(n, 6)[batch])
    untouched = np.setdiff1d(np.arange(d), stored)
    theta = np.zeros(objective.size, dtype=dtype)
    W = theta[: coef.size].reshape(-1, d)
    W[:, stored] = np.atleast_2d(coef)[:, stored]
    clean = theta.copy()
    W[:, untouched] = np.where(np.arange(len(untouched)) % 2, np.nan, -0.0)
    before = W[:, untouched].tobytes()
    value = objective.step(theta, 0.5, rows=batch)
    assert value == objective.step(clean, 0.5, rows=batch)
    assert W[:, untouched].tobytes() == before
    after = clean[: coef.size].reshape(-1, d)
    assert np.array_equal(W[:, stored], after[:, stored])
    moved = W[:, stored] != np.atleast_2d(coef)[:, stored]
    assert moved.all() if "logistic" in kind.name else moved.any()
    # The next step knows nothing of this one.
    other, again = slice(20, 23), clean.copy()
    assert objective.step(clean, 0.5, rows=other) == kind.objective(X, y).step(again, 0.5, rows=other)
    assert bits(clean) == bits(again)


def test_pack_copies_without_an_intercept_too():
    X, y, coef = np.eye(2), [1, -1], np.zeros(2)
    objective = hf.Objective(X, y, loss="hinge", fit_intercept=False)
    objective.step(objective.pack(coef), 1.0)
    assert not coef.any()


def test_theta_over_row_numbers_that_are_no_array():
    objective = hf.Objective(np.eye(3), [1, -1, 1], loss="hinge", fit_intercept=False)
    theta = np.zeros(3)
    with raises(ValueError, "theta", "rows"):
        objective.step(theta, 1.0, rows=memoryview(theta.view(np.int64)))
    assert not theta.any()


def test_flags_may_be_numpys():
    assert hf.Objective(np.eye(3), [1, -1, 1], loss="hinge", fit_intercept=np.True_).size == 4


def test_balanced_weights_name_rows_and_classes_as_they_are():
    n = 70_001
    weights = np.ones(n)
    weights[70_000] = -1
    told = {"loss": "hinge", "class_weight": "balanced"}
    with raises(ValueError, "sample_weight[70000] is -1"):
        hf.Objective(np.ones((n, 1)), np.where(np.arange(n) % 2, 1, -1), sample_weight=weights, **told)
    with raises(ValueError, "class -1 has none"):
        hf.Objective(np.ones((3, 1)), [1, 1, 1], **told)


@every_dtype
@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize(
    "n_classes,d",
    # Columns are numbered by a table of all, or searched for; with 8 classes, for more entries than d/4 too.
    [(None, 30_000), (None, 3_000_000), (3, 30_000), (8, 14_000)],
)
def test_a_step_knows_columns_again(dtype, width, n_classes, d):
    """Many rows, whose few columns come again in every block and were numbered otherwise in the step before."""
    kind = SQUARED if n_classes is None else WESTON_WATKINS.of(n_classes)[0]
    n = 1_500
    rng = np.random.default_rng(76)
    common = rng.choice(d, 700, replace=False)
    X, y, _, _ = kind.random_csr(2 * n, d, 4, dtype, seed=76, index_dtype=width)
    X.indices[:] = common[rng.integers(0, 700, X.indices.size)]
    objective = kind.objective(X, y, n_threads=1)
    theta = np.zeros(objective.size, dtype=dtype)
    W = theta[: (n_classes or 1) * d].reshape(-1, d)
    W[:, common] = rng.standard_normal((len(W), 700))
    for rows in (slice(n, 2 * n), slice(0, n), np.arange(n)[::-1], slice(0, 600)):
        want = theta - dtype(0.5) * objective.grad(theta, rows=rows)
        objective.step(theta, 0.5, rows=rows)
        assert theta.tobytes() == want.tobytes()


@every_dtype
@pytest.mark.parametrize("n_classes,d", [(None, 6_000_000), (8, 1_000_000)])
def test_step_costs_the_batch_and_not_the_features(dtype, n_classes, d):
    X, y, _, _ = random_csr(2_000, d, 20, dtype, seed=75, n_classes=n_classes)
    kind = KINDS["hinge"] if n_classes is None else FEW["crammer_singer:hinge"].of(n_classes)[0]
    objective = kind.objective(X, y)
    theta = np.zeros(objective.size, dtype=dtype)
    objective.step(theta, 0.1, rows=slice(0, 32))

    def fastest(call):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    other = np.ones_like(theta)
    step = fastest(lambda: objective.step(theta, 0.1, rows=slice(0, 32)))
    one_pass = fastest(lambda: np.copyto(other, theta))
    assert step < one_pass / 3


@both
def test_step_refuses(case):
    objective, theta = make(case), model(case)
    before = theta.copy()
    frozen = theta.copy()
    frozen.flags.writeable = False
    for bad, error in (
        (theta.tolist(), TypeError),
        (frozen, ValueError),
        (theta[:-1], ValueError),
        (np.append(theta, 0.0), ValueError),
        (theta.reshape(-1, 1), ValueError),
        (theta.reshape(1, -1), ValueError),
        (theta.astype(np.int64), (TypeError, ValueError)),
        (theta.astype(complex), (TypeError, ValueError)),
        (np.ma.masked_array(theta), TypeError),
    ):
        with raises(error, "theta"):
            objective.step(bad, 0.1)
    for lr in ("0.1", None, 1j):
        with raises(TypeError, "lr"):
            objective.step(theta, lr)
    assert bits(theta) == bits(before) and bits(frozen) == bits(before)
    objective.step(theta, np.float32(0.5))
    assert bits(theta) != bits(before)


@both
def test_a_theta_that_overlaps_X_is_refused(kind):
    """`step` writes to theta: inside X it would change the data."""
    d = 8
    size = d * len(kind.labels) if not kind.binary else d
    store = np.random.default_rng(0).standard_normal(10 * size)
    X = store.reshape(-1, d)
    objective = kind.objective(X, kind.labels[np.arange(len(X)) % 2], fit_intercept=False)
    before = bits(store)
    with raises(ValueError, "overlap"):
        objective.step(store[size : 2 * size], 0.1)
    assert bits(store) == before


# hessp


@whole_catalogue
@every_dtype
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_hessp_is_the_generalised_hessian(kind, dtype, fit_intercept):
    """X' diag(w phi'') X v / sum w + alpha v, from the definition."""
    case, theta = problem_away_from_bends(kind, dtype, fit_intercept)
    v = np.random.default_rng(7).standard_normal(theta.size)
    if kind.has_hessian:
        want, bound = hessian_product(case, kind.loss, theta, v, 0.25, case.weights)
        assert np.abs(want).max() > 0.1
    relative = 2e-5 if dtype is np.float32 else 1e-12
    for layout in LAYOUTS:
        objective = make(case, layout, sample_weight=case.weights, fit_intercept=fit_intercept)
        if not kind.has_hessian:
            with raises(ValueError, "smooth_hinge"):
                objective.hessp(theta, v)
            continue
        got = objective.hessp(theta, v)
        assert got.shape == v.shape and got.dtype == np.float64
        assert (np.abs(got - want) <= relative * bound + 1e-15).all()


@functools.cache
def problem_away_from_bends(kind, dtype, fit_intercept):
    for seed in range(40):
        case = case_of(kind, dtype, 100 + seed)
        theta = model(case)[: case.coef.size + (np.size(case.intercept) if fit_intercept else 0)]
        if not kind.has_hessian or away_from_bends(case, kind.loss, theta):
            return case, theta
    raise AssertionError("no problem away from bends")


SMOOTH = [binary(DEFAULT_LOSSES[name]) for name in SMOOTH_LOSSES]
SMOOTH += [on_a_base(name, base, K) for name in ON_A_BASE for base in SMOOTH_LOSSES]


@pytest.mark.parametrize("kind", SMOOTH, ids=str)
@every_layout
def test_hessp_is_the_derivative_of_the_gradient(case, layout):
    objective, theta = make(case, layout), model(case)
    rng = np.random.default_rng(8)
    for _ in range(3):
        v = rng.standard_normal(objective.size)
        v /= np.linalg.norm(v)
        h = 1e-5
        difference = (objective.grad(theta + h * v) - objective.grad(theta - h * v)) / (2 * h)
        # O(h²) of the third derivative, and the gradient's rounding divided by h.
        np.testing.assert_allclose(objective.hessp(theta, v), difference, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_hessp_of_several_tasks(n_threads):
    X, y, coef, intercept = random_csr(9_000, 1_000, 40, seed=77, n_classes=4)
    loss = hf.WestonWatkins("logistic")
    theta = np.append(coef.ravel(), intercept)
    v = np.random.default_rng(1).standard_normal(theta.size)
    got = hf.Objective(X, y, loss=loss, classes=4, alpha=0.1, n_threads=n_threads).hessp(theta, v)
    assert bits(got) == bits(hf.Objective(X, y, loss=loss, classes=4, alpha=0.1, n_threads=1).hessp(theta, v))
    columns, data = X.indices.reshape(-1, 40), X.data.reshape(-1, 40)
    V, vb = v[:4_000].reshape(4, 1_000), v[4_000:]
    scores = np.stack([(data * coef[k][columns]).sum(axis=1) + intercept[k] for k in range(4)], axis=1)
    directions = np.stack([(data * V[k][columns]).sum(axis=1) + vb[k] for k in range(4)], axis=1)
    q = oracle.products(oracle.definition(loss), y, scores, directions) / 9_000
    for k in range(4):
        want = np.bincount(columns.ravel(), (data * q[:, [k]]).ravel(), minlength=1_000) + 0.1 * V[k]
        np.testing.assert_allclose(got[1_000 * k : 1_000 * (k + 1)], want, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got[4_000:], q.sum(axis=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("n_classes", [None, 3, 18])
@pytest.mark.parametrize("base", ["crammer_singer", "weston_watkins", "one_vs_rest"])
def test_hessp_of_many_blocks_of_rows(base, n_classes, layout):
    """What one block leaves behind may not reach the next; twice in a row, and with the gradient in between."""
    kind = KINDS["logistic"] if n_classes is None else on_a_base(base, "logistic", n_classes)
    case = kind.problem(1_500, 11, seed=78)
    objective, theta = make(case, layout, sample_weight=case.weights), model(case)
    v = np.random.default_rng(2).standard_normal(theta.size)
    want, bound = hessian_product(case, kind.loss, theta, v, 0.25, case.weights)
    first = objective.hessp(theta, v)
    # Two rivals that nearly tie could change places; the bound is wide, and no pair of these data does.
    assert (np.abs(first - want) <= 1e-12 * bound + 1e-15).all()
    before = bits(objective.value_and_grad(theta))
    assert bits(objective.hessp(theta, v)) == bits(first)
    assert bits(objective.value_and_grad(theta)) == before


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("x_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [15, 16, 17, 31, 32, 33, 40, 47, 48, 63, 64, 65, 100])
def test_hessp_of_any_number_of_classes(n_classes, x_dtype, layout):
    """Few classes are summed one by one, many in lanes, of which the last may be cut short."""
    for name in ("weston_watkins", "one_vs_rest"):
        kind = on_a_base(name, "logistic", n_classes)
        case = kind.problem(60, 8, x_dtype, seed=79)
        theta = model(case)
        v = np.random.default_rng(3).standard_normal(theta.size)
        objective = make(case, layout, sample_weight=case.weights)
        want, bound = hessian_product(case, kind.loss, theta, v, 0.25, case.weights)
        relative = 2e-5 if x_dtype is np.float32 else 1e-12
        excess = np.abs(objective.hessp(theta, v) - want) - (relative * bound / n_classes**0.5 + 1e-15)
        assert (excess <= 0).all(), kind


@both
def test_hessp_checks_v(case):
    objective, theta = make(case), model(case)
    for bad in (theta[:-1], theta.reshape(-1, 1), np.append(theta, 1.0)):
        with raises(ValueError, "v "):
            objective.hessp(theta, bad)
    with raises(TypeError, "v "):
        objective.hessp(theta, np.ones(theta.size, dtype=complex))
    keep = theta.copy()
    objective.hessp(theta, theta)
    assert bits(keep) == bits(theta)


# Minimising


def oracle_minimum(case, alpha):
    """The minimum by another objective, of NumPy and the oracles alone."""
    size, loss = case.coef.size, case.kind.loss

    def function(theta):
        rows = right_rows(loss, case.y, scores_of(case, theta), np.float64)
        slopes = rows.slope / len(case.y)
        value = rows.value.mean() + alpha / 2 * theta[:size] @ theta[:size]
        return value, np.append((slopes.T @ case.X).ravel() + alpha * theta[:size], slopes.sum(axis=0))

    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
    start = np.zeros(size + np.size(case.intercept))
    return optimize.minimize(function, start, jac=True, method="L-BFGS-B", options=options), function


MINIMISED = [
    *map(binary, (hf.SquaredHinge(), hf.LogisticLoss(), hf.SmoothHinge(), hf.GaussianHinge())),
    on_a_base("one_vs_rest", "logistic", K),
    on_a_base("weston_watkins", "softplus_hinge", K),
]


@every_layout
@pytest.mark.parametrize("kind", MINIMISED, ids=str)
def test_scipy_finds_the_minimum(case, layout):
    """L-BFGS-B and Newton-CG, through `value_and_grad` and `hessp`, meet at the oracle's point."""
    alpha = 0.05
    objective = make(case, layout, alpha=alpha)
    want, function = oracle_minimum(case, alpha)
    start = np.zeros(objective.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optimize.OptimizeWarning)
        options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
        results = [
            optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options),
            optimize.minimize(
                objective.value,
                start,
                jac=objective.grad,
                hessp=objective.hessp,
                method="Newton-CG",
                options={"xtol": 1e-12},
            ),
        ]
    assert not start.any()
    for result in results:
        value, grad = function(result.x)
        assert np.abs(grad).max() < 1e-6
        assert value <= want.fun + 1e-10
        # psi_g and logistic are strictly convex and the others strongly where rows are active: one minimum, but for
        # a number added to all intercepts where differences of scores count.
        coef, intercept = objective.unpack(result.x)
        np.testing.assert_allclose(result.x[: case.coef.size], want.x[: case.coef.size], atol=2e-4)
        if case.kind.binary:
            np.testing.assert_allclose(result.x, want.x, atol=2e-4)
        np.testing.assert_allclose(
            objective.decision_function(result.x), case.X @ coef.T + intercept, rtol=1e-9, atol=1e-12
        )


@both
def test_gradients_may_be_kept(case):
    """Each call returns an array of its own."""
    objective = make(case)
    a = objective.grad(np.zeros(objective.size))
    copy = a.copy()
    b = objective.grad(model(case))
    assert not np.shares_memory(a, b) and np.array_equal(a, copy) and not np.array_equal(a, b)


# theta and out


@both
def test_theta_is_checked(case):
    objective, theta = make(case), model(case)
    calls = [
        objective.value,
        objective.grad,
        objective.value_and_grad,
        objective,
        objective.decision_function,
        lambda t: objective.hessp(t, theta),
    ]
    for call in calls:
        for bad in (
            theta[:-1],
            np.append(theta, 1.0),
            theta.reshape(1, -1),
            theta.reshape(-1, 1),
            np.float64(1.0),
        ):
            with raises(ValueError, "theta"):
                call(bad)
        for bad in (
            theta.astype(complex),
            np.full(theta.size, "a"),
            np.ma.masked_array(theta),
            theta.astype(object),
            None,
        ):
            with raises(TypeError, "theta"):
                call(bad)


@both
def test_theta_in_any_layout(case):
    objective, theta = make(case), model(case)
    want = bits(objective.value_and_grad(theta))
    frozen = theta.copy()
    frozen.flags.writeable = False
    for same in (
        np.repeat(theta, 2)[::2],
        theta[::-1].copy()[::-1],
        theta.astype(">f8"),
        theta.tolist(),
        frozen,
    ):
        assert bits(objective.value_and_grad(same)) == want


@both
def test_out(kind):
    case = kind.problem(N, D, seed=71)
    objective, theta = make(case), model(case)
    value, grad = objective.value_and_grad(theta)
    out = np.full_like(theta, np.nan)
    assert objective.grad(theta, out=out) is out and bits(out) == bits(grad)
    out[:] = np.nan
    again, same = objective.value_and_grad(theta, out=out)
    assert same is out and bits(again, out) == bits(value, grad)
    scores = np.full((N, *kind.shape), np.nan)
    assert objective.decision_function(theta, out=scores) is scores
    size = theta.size
    frozen = np.full(size, 7.0)
    frozen.flags.writeable = False
    for bad in (
        np.full(size - 1, 7.0),
        np.full(size + 1, 7.0),
        np.full((size, 1), 7.0),
        np.full(size, 7.0, dtype=np.float32),
        np.full(2 * size, 7.0)[::2],
        frozen,
    ):
        for call in (objective.grad, objective.value_and_grad):
            with raises(ValueError, "out"):
                call(theta, out=bad)
        assert (bad == 7).all()
    for bad in (theta, case.X.ravel()[2 : 2 + size], np.frombuffer(theta)[:]):
        before = bits(theta, case.X)
        for call in (objective.grad, objective.value_and_grad):
            with raises(ValueError, "out"):
                call(theta, out=bad)
        assert bits(theta, case.X) == before
    with pytest.raises(TypeError):
        objective.value(theta, out=np.empty(1))


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize(
    "kind",
    [SQUARED, pytest.param(*FEW["crammer_singer:hinge"].of(20), marks=pytest.mark.no_sanitizer)],
    ids=str,
)
def test_nothing_is_allocated_with_out(kind, layout):
    """After the first call nothing as large as a gradient, and nothing that stays."""
    n, d = (40, 20_000) if layout == "dense" else (500, 20_000)
    if not kind.binary:
        n, d = (40, 5_000) if layout == "dense" else (5_000, 5_000)
    if layout == "dense":
        case = kind.problem(n, d, seed=77)
        X, y, coef = case.X, case.y, case.coef
    else:
        X, y, coef, _ = kind.random_csr(n, d, 20 if kind.binary else 40, seed=77)
    objective = kind.objective(X, y, alpha=0.1, n_threads=1)
    theta = objective.pack(coef, 0.5)
    out, batch = np.empty_like(theta), np.arange(0, 40, 2)
    for _ in range(3):
        objective.value_and_grad(theta, out=out)
        objective.value_and_grad(theta, out=out, rows=batch)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200 if kind.binary else 50):
            objective.value_and_grad(theta, out=out)
            objective.value_and_grad(theta, out=out, rows=batch)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < out.nbytes / 4
    assert now - before < 4_000


@pytest.mark.no_sanitizer
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_memory_does_not_grow():
    """What C allocates is not traced by Python: the process's resident memory is."""

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    X, y, _, _ = random_csr(500, 20_000, 20, seed=78)
    dense = problem(60, 20_000, seed=78)
    objectives = [hf.Objective(X, y, loss="hinge"), hf.Objective(dense.X, dense.y, loss="hinge")]

    def work(times):
        for _ in range(times):
            for objective in objectives:
                theta = np.zeros(objective.size)
                objective.value_and_grad(theta)
                objective.step(theta, 0.1, rows=slice(0, 20))
                objective.decision_function(theta)

    work(20)
    before = resident()
    work(200)  # one leaked gradient a call would be 64 MB
    assert resident() - before < 8 << 20


# What it is made of


@both
def test_what_is_checked_when_it_is_made(case):
    """Kinds and shapes at once; contents at once or in the first call, for the data may change in between."""
    kind, theta = case.kind, np.zeros(case.coef.size + np.size(case.intercept))
    for arguments, error, match in (
        ((case.X, case.y[:-1]), ValueError, "y has 89 rows but X has 90"),
        ((case.X[0], case.y), ValueError, "X"),
        ((case.X.astype(complex), case.y), TypeError, "X"),
    ):
        with raises(error, match):
            kind.objective(*arguments)
    bad_y = case.y.copy()
    bad_y[5] = kind.wrong_label
    with raises(ValueError, "y[5]"):
        kind.objective(case.X, bad_y).value(theta)
    bad_indices = as_csr(case.X)
    bad_indices.indices[9] = D
    with raises(hf.InvalidCSRError, "X.indices[9]"):
        kind.objective(bad_indices, case.y).value(theta)
    with pytest.raises(TypeError):
        hf.Objective(case.X, case.y)  # the loss must be named
    with pytest.raises(TypeError):
        hf.Objective(case.X, case.y, "hinge")
    with raises(ValueError, "decision_function"):
        kind.objective(case.X, case.y, reduction="none")


def test_a_matrix_without_columns():
    y = case_of(SQUARED).y
    for X in (
        np.zeros((90, 0)),
        namespace(np.zeros(91, np.int32), np.zeros(0, np.int32), np.zeros(0), (90, 0)),
    ):
        objective = hf.Objective(X, y, loss="hinge")
        value, grad = objective.value_and_grad(np.array([0.5]))
        n_positive = (y > 0).sum()
        assert value == pytest.approx((0.5 * n_positive + 1.5 * (90 - n_positive)) / 90, rel=1e-14)
        assert grad[0] == pytest.approx((90 - 2 * n_positive) / 90, rel=1e-14)


@every_dtype
def test_no_columns_and_one_row(dtype):
    for n, d in ((4, 0), (1, 6), (1, 0)):
        X = np.ones((n, d), dtype=dtype)
        for A in (X, as_csr(X)):
            objective = hf.Objective(A, np.arange(n) % 3, loss="one_vs_rest:logistic", classes=3, alpha=0.5)
            theta = np.zeros(objective.size, dtype=dtype)
            assert objective.size == 3 * d + 3
            value, grad = objective.value_and_grad(theta)
            assert value == pytest.approx(3 * np.log(2), rel=1e-6)
            assert np.isfinite(grad).all()
            assert objective.hessp(theta, theta).shape == theta.shape
            assert objective.step(theta, 0.1) == value


@both
def test_a_plain_namespace_without_scipy(case):
    results = [
        case.kind.objective(as_csr(case.X, made), case.y).value_and_grad(model(case))
        for made in ("namespace", "csr_array")
    ]
    assert bits(results[0]) == bits(results[1])


def test_class_weights_are_the_objectives_own():
    X, weights = np.eye(3), np.ones(3)
    objective = hf.Objective(X, [0, 1, 2], loss="crammer_singer", classes=3, class_weight=weights)
    theta = np.zeros(objective.size)
    before = bits(*objective.value_and_grad(theta))
    weights[:] = [-5, np.nan, 7]
    assert bits(*objective.value_and_grad(theta)) == before


def test_a_balanced_class_without_rows_is_named_by_its_label():
    with raises(ValueError, "class 7 has none"):
        hf.Objective(
            np.ones((3, 1)), [5, 6, 5], loss="crammer_singer", classes=[5, 6, 7], class_weight="balanced"
        )


def test_the_intercept_that_is_not_0_is_named():
    objective = hf.Objective(np.eye(3), [0, 1, 2], loss="crammer_singer", classes=3, fit_intercept=False)
    with raises(ValueError, "is 2"):
        objective.pack(np.zeros((3, 3)), [0.0, 2.0, 0.0])


@pytest.mark.parametrize("n_classes", [3, 40, 5_000])
@pytest.mark.parametrize("layout", [np.asarray, as_csr])
def test_x_without_columns(layout, n_classes):
    """All there is are intercepts: a step and a Hessian product of any number of classes."""
    rng = np.random.default_rng(78)
    X, y = layout(np.zeros((8, 0))), np.arange(8) % n_classes
    objective = hf.Objective(X, y, loss="weston_watkins:squared_hinge", classes=n_classes, n_threads=1)
    theta, v = rng.standard_normal((2, n_classes))
    products = [objective.hessp(theta, v) for _ in range(3)]
    assert len({bits(each) for each in products}) == 1
    for _ in range(20):
        want = theta - 0.5 * objective.grad(theta)
        objective.step(theta, 0.5)
        assert bits(theta) == bits(want)
