"""Promise: `Objective` is reduction(loss) + alpha/2·|coef|^2 of one vector, checked once and called often."""

import array as array_module
import math
import os
import pickle
import sys
import time
import tracemalloc
import warnings
from fractions import Fraction

import numpy as np
import pytest
import reference
from conftest import bits, every_dtype, raises
from kinds import (
    SMOOTH_LOSSES,
    as_csr,
    assert_close,
    every_default_loss,
    every_loss,
    expected,
    namespace,
    problem,
    random_csr,
)
from scipy import optimize

import hingefast as hf

LAYOUTS = {"dense": np.asarray, "fortran": np.asfortranarray, "csr": as_csr}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@pytest.fixture(scope="module")
def case():
    return problem(90, 7, seed=71)


def make(case, layout="dense", **keywords):
    keywords = {"loss": "squared_hinge", "alpha": 0.25, **keywords}
    return hf.Objective(LAYOUTS[layout](case.X), case.y, **keywords)


# Values


@every_loss
@every_layout
def test_value_and_gradient(case, loss, layout):
    objective = make(case, layout, loss=loss, sample_weight=case.weights)
    theta = objective.pack(case.coef, case.intercept)
    want = expected(case.X, case.y, case.coef, case.intercept, loss, alpha=0.25, weights=case.weights)
    value, grad = objective.value_and_grad(theta)
    assert type(value) is float and grad.shape == (8,) and grad.dtype == np.float64
    assert_close((value, grad[:-1], grad[-1]), want)
    assert bits(objective(theta)) == bits(value, grad)
    scores = objective.decision_function(theta)
    assert (np.abs(scores - want.scores) <= want.scores_bound).all()


@every_layout
@every_dtype
@pytest.mark.parametrize("d", [600, 1500, 3001])
def test_long_rows(d, layout, dtype):
    """Value, gradient, step and Hessian product of rows of 2 to 24 KB, which different loops take."""
    long = problem(70, d, dtype, seed=79)
    objective = make(long, layout, loss="logistic", sample_weight=long.weights)
    theta = objective.pack(long.coef, long.intercept)
    want = expected(long.X, long.y, long.coef, long.intercept, "logistic", alpha=0.25, weights=long.weights)
    value, grad = objective.value_and_grad(theta)
    assert_close((value, grad[:-1], grad[-1]), want, out_eps=float(np.finfo(dtype).eps))
    stepped = theta.copy()
    assert objective.step(stepped, 0.5) == value
    np.testing.assert_array_equal(stepped, theta - theta.dtype.type(0.5) * grad)
    v = np.random.default_rng(7).standard_normal(objective.size)
    Z = np.hstack([long.X.astype(np.float64), np.ones((70, 1))])
    terms = reference.curvature("logistic", {}, long.y * (Z @ theta.astype(np.float64))) * long.weights
    terms = terms / long.weights.sum()
    product = Z.T @ (terms * (Z @ v)) + 0.25 * np.append(v[:-1], 0)
    bound = np.abs(Z).T @ (terms * (np.abs(Z) @ np.abs(v))) + 0.25 * np.abs(v)
    relative = 2e-5 if dtype is np.float32 else 1e-12
    assert (np.abs(objective.hessp(theta, v) - product) <= relative * bound).all()


@every_layout
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_without_an_intercept(case, layout, reduction):
    objective = make(case, layout, fit_intercept=False, reduction=reduction)
    assert objective.size == 7
    want = expected(case.X, case.y, case.coef, 0.0, "squared_hinge", alpha=0.25, reduction=reduction)
    value, grad = objective.value_and_grad(case.coef)
    assert grad.shape == (7,)
    assert_close((value, grad, want.grad_intercept), want)
    coef, intercept = objective.unpack(case.coef)
    assert float(intercept) == 0.0 and np.array_equal(coef, case.coef)


@every_layout
def test_penalized_intercept(case, layout):
    theta = np.append(case.coef, -1.5)
    plain, penalized = make(case, layout), make(case, layout, penalize_intercept=True)
    value, grad = plain.value_and_grad(theta)
    got_value, got_grad = penalized.value_and_grad(theta)
    assert got_value == pytest.approx(value + 0.125 * 1.5**2, rel=1e-14)
    np.testing.assert_array_equal(got_grad[:-1], grad[:-1])
    assert got_grad[-1] == pytest.approx(grad[-1] - 0.25 * 1.5, rel=1e-13)
    v = np.ones(8)
    difference = penalized.hessp(theta, v) - plain.hessp(theta, v)
    np.testing.assert_allclose(difference, [0] * 7 + [0.25], atol=1e-13)


@every_layout
def test_step_counts_the_penalty_of_the_intercept(case, layout):
    objective = make(case, layout, penalize_intercept=True)
    theta = np.append(case.coef, -1.5)
    want = theta - 0.5 * objective.grad(theta)
    objective.step(theta, 0.5)
    assert bits(theta) == bits(want)


def test_balanced_classes(case):
    """N/(K·N_k); with weights, sum(w)/(K·sum of w in k)."""
    n_positive = int((case.y > 0).sum())
    n_negative = len(case.y) - n_positive
    assert n_positive != n_negative
    n = len(case.y)
    theta = np.append(case.coef, case.intercept)
    for loss in ("hinge", "logistic"):
        got = make(case, loss=loss, class_weight="balanced").value_and_grad(theta)
        explicit = make(case, loss=loss, class_weight=(n / (2 * n_negative), n / (2 * n_positive)))
        assert bits(got) == bits(explicit.value_and_grad(theta))
    w = case.weights
    pair = tuple(w.sum() / (2 * w[case.y == label].sum()) for label in (-1, 1))
    got = make(case, class_weight="balanced", sample_weight=w).value_and_grad(theta)
    want = make(case, class_weight=pair, sample_weight=w).value_and_grad(theta)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-13)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-11, atol=1e-13)
    plain = make(case).value_and_grad(theta)
    assert got[0] != plain[0]


def test_balanced_needs_both_classes(case):
    with pytest.raises(ValueError, match="balanced"):
        hf.Objective(case.X, np.ones(90), loss="hinge", class_weight="balanced")


def test_attributes(case):
    objective = make(case, alpha=0.01)
    assert (objective.n_rows, objective.n_features, objective.size) == (90, 7, 8)
    assert pytest.approx(1 / (90 * 0.01), rel=1e-15) == objective.C
    assert tuple(objective.classes) == (-1, 1)
    assert tuple(make_labels(case, (0, 1)).classes) == (0, 1)
    assert tuple(hf.Objective(case.X, case.y > 0, loss="hinge").classes) == (False, True)


def scaled(*weights):
    """The sum of products as an exact fraction."""
    return sum(math.prod(Fraction(float(w)) for w in row) for row in zip(*weights, strict=True))


WEIGHTS = {
    "none": lambda case: {},
    "sample": lambda case: {"sample_weight": case.weights},
    "class": lambda case: {"class_weight": [0.25, 5.0]},
    "both": lambda case: {"sample_weight": case.weights, "class_weight": [0.25, 5.0]},
    "zeros": lambda case: {"sample_weight": case.weights * (np.arange(90) % 3 > 0)},
    "balanced": lambda case: {"class_weight": "balanced"},
    "largest integers": lambda case: {"sample_weight": np.full(90, 2**64 - 1, np.uint64)},
    "tiny": lambda case: {"sample_weight": case.weights * 1e-310},
    "huge": lambda case: {"sample_weight": case.weights * 1e307},
    "tiny and huge": lambda case: {
        "sample_weight": np.where(case.y > 0, 1e-300, 1e300),
        "class_weight": [0.0, 1e-5],
    },
    "opposite": lambda case: {
        "sample_weight": np.where(case.y > 0, 1e-300, 1e300),
        "class_weight": [1e-300, 1e300],
    },
}


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("alpha", [1e-300, 0.25, 1e300])
def test_C_is_that_of_the_svm(case, kind, alpha):
    """1/(alpha*sum of all weights), right wherever a float64 can hold it."""
    keywords = WEIGHTS[kind](case)
    objective = make(case, alpha=alpha, **keywords)
    w = keywords.get("sample_weight", np.ones(90))
    of_class = keywords.get("class_weight", [1.0, 1.0])
    if isinstance(of_class, str):
        of_class = [90 / (2 * (case.y < 0).sum()), 90 / (2 * (case.y > 0).sum())]
    want = 1 / (Fraction(alpha) * scaled(w, np.where(case.y > 0, of_class[1], of_class[0])))
    if want > Fraction(sys.float_info.max):
        assert np.inf == objective.C
    else:
        assert abs(Fraction(objective.C) - want) <= want * Fraction(1, 10**13) + Fraction(5e-324)
    assert 1 / alpha == make(case, alpha=alpha, reduction="sum", **keywords).C
    assert np.inf == make(case, alpha=0.0, **keywords).C


def test_C_gives_the_svm_the_same_minimum(case):
    """By hand: one feature, all x = y = 1, squared hinge: t = 2/(2 + alpha), and 2 C W/(1 + 2 C W) for the SVM."""
    X, y = np.ones((3, 1)), np.ones(3)
    for keywords in ({"sample_weight": [0, 0, 0]}, {"class_weight": [0, 0]}):  # the mean is not defined
        assert np.inf == hf.Objective(X, y, loss="hinge", alpha=0.25, **keywords).C
    for keywords, total in (({}, 3), ({"sample_weight": [2, 0, 4]}, 6), ({"class_weight": [1, 5]}, 15)):
        objective = hf.Objective(X, y, loss="squared_hinge", alpha=0.25, fit_intercept=False, **keywords)
        t = 2 / 2.25
        assert abs(objective.grad([t])[0]) < 1e-15
        assert 2 * objective.C * total / (1 + 2 * objective.C * total) == pytest.approx(t, rel=1e-15)


@pytest.mark.parametrize("scale", [1e-320, 1e-310, 1e-300, 1e300, 1e306])
def test_balanced_with_tiny_and_huge_weights(case, scale):
    """Balanced weights do not change when all sample weights are multiplied."""
    w = np.ldexp(np.round(case.weights * 8), math.frexp(scale)[1])  # a power of two: exact, subnormal or not
    want = make(case, class_weight="balanced", sample_weight=np.round(case.weights * 8))._class_weight
    assert bits(make(case, class_weight="balanced", sample_weight=w)._class_weight) == bits(want)


def test_balanced_with_integers_of_the_largest_size(case):
    w = np.array([2**63, 2**64 - 1], np.uint64)[np.arange(90) % 2]
    want = make(case, class_weight="balanced", sample_weight=w.astype(np.float64))._class_weight
    assert bits(make(case, class_weight="balanced", sample_weight=w)._class_weight) == bits(want)
    by_hand = [float(w.astype(float).sum() / (2 * w[case.y == c].astype(float).sum())) for c in (-1, 1)]
    np.testing.assert_allclose(want, by_hand, rtol=1e-13)


def test_balanced_weights_that_would_be_infinite(case):
    w = np.where(case.y > 0, 5e-324, 1e300)
    with raises(ValueError, "balanced", "sample_weight", "class 1"):
        make(case, class_weight="balanced", sample_weight=w)


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


@pytest.mark.parametrize("kind", FOREIGN)
def test_outputs_over_the_memory_of_any_argument(case, kind):
    """Whatever was passed now or when the objective was made, and `step`'s theta too."""
    values = {
        "y": case.y.astype(float),
        "sample_weight": case.weights,
        "class_weight": np.array([1.0, 2.0]),
        "classes": np.array([-1, 1]),
        "theta": np.append(case.coef, 0.5),
        "rows": np.arange(90),
        "lr": np.zeros(1),
    }
    for name, value in values.items():
        given = FOREIGN[kind](value) if name != "lr" else value.reshape(())
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
        memory = (memory if memory.base is None else memory.base) if kind == "strided" else memory
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


def make_labels(case, classes):
    y = np.where(case.y > 0, classes[1], classes[0])
    return hf.Objective(case.X, y, loss="squared_hinge", alpha=0.25, classes=classes)


@pytest.mark.parametrize("classes", [(0, 1), (1, 2), (5, -5)])
def test_declared_classes(case, classes):
    theta = np.append(case.coef, case.intercept)
    assert bits(make_labels(case, classes).value_and_grad(theta)) == bits(make(case).value_and_grad(theta))


@every_layout
def test_float64_forced_on_float32_data(case, layout):
    X = LAYOUTS[layout](case.X.astype(np.float32))
    wide = LAYOUTS[layout](case.X.astype(np.float32).astype(np.float64))
    theta = np.append(case.coef, case.intercept)
    keywords = {"loss": "logistic", "alpha": 0.1}
    forced = hf.Objective(X, case.y, dtype=np.float64, **keywords)
    native = hf.Objective(wide, case.y, **keywords)
    narrow = hf.Objective(X, case.y, **keywords)
    assert bits(forced.value_and_grad(theta)) == bits(native.value_and_grad(theta))
    assert bits(forced.hessp(theta, theta)) == bits(native.hessp(theta, theta))
    assert forced.decision_function(theta).dtype == np.float64
    assert narrow.decision_function(theta).dtype == np.float32
    assert forced.value(theta) != narrow.value(theta)
    for bad in (np.int64, np.float16, complex, "nonsense", 3):
        with pytest.raises((TypeError, ValueError), match="dtype"):
            hf.Objective(X, case.y, dtype=bad, **keywords)


@every_layout
@pytest.mark.parametrize("x_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("theta_dtype", [np.float32, np.float64])
def test_dtype_of_theta_is_that_of_the_gradient(case, layout, x_dtype, theta_dtype):
    objective = hf.Objective(LAYOUTS[layout](case.X.astype(x_dtype)), case.y, loss="squared_hinge", alpha=0.1)
    theta = np.append(case.coef, case.intercept).astype(theta_dtype)
    value, grad = objective.value_and_grad(theta)
    assert grad.dtype == theta_dtype and objective.grad(theta).dtype == theta_dtype
    assert objective.decision_function(theta).dtype == x_dtype
    want = expected(case.X.astype(x_dtype), case.y, theta[:-1], float(theta[-1]), "squared_hinge", alpha=0.1)
    assert_close((value, grad[:-1], grad[-1]), want, out_eps=np.finfo(theta_dtype).eps)
    assert objective.step(theta, 0.5) == value and theta.dtype == theta_dtype


# pack, unpack, pickle


def test_pack_and_unpack(case):
    objective = make(case)
    theta = objective.pack(case.coef, 0.75)
    assert theta.shape == (8,) and theta.dtype == np.float64
    assert np.array_equal(theta, np.append(case.coef, 0.75))
    coef, intercept = objective.unpack(theta)
    assert np.array_equal(coef, case.coef) and coef.shape == (7,) and float(intercept) == 0.75
    assert np.shares_memory(coef, theta)
    theta[0] = 99.0
    assert coef[0] == 99.0
    row = objective.pack(case.coef.reshape(1, 7), np.array([0.75]))
    assert np.array_equal(row, np.append(case.coef, 0.75))
    assert not np.shares_memory(objective.pack(case.coef, 0.0), case.coef)
    for bad in (np.ones(6), np.ones(8), np.ones((7, 2))):
        with pytest.raises(ValueError, match="coef"):
            objective.pack(bad, 0.0)
    with pytest.raises(ValueError, match="theta"):
        objective.unpack(np.ones(7))


@every_layout
@pytest.mark.parametrize("class_weight", [None, (2.0, 0.5), "balanced"])
def test_pickle(case, layout, class_weight):
    objective = make(
        case,
        layout,
        sample_weight=case.weights,
        class_weight=class_weight,
        penalize_intercept=True,
        n_threads=2,
    )
    theta = objective.pack(case.coef, case.intercept)
    for protocol in (2, 5):
        again = pickle.loads(pickle.dumps(objective, protocol))
        assert bits(again.value_and_grad(theta)) == bits(objective.value_and_grad(theta))
        assert bits(again.hessp(theta, theta)) == bits(objective.hessp(theta, theta))
        assert (again.size, again.C, tuple(again.classes)) == (
            objective.size,
            objective.C,
            tuple(objective.classes),
        )


def test_it_keeps_references(case):
    """No copy of X or y is made: what the caller changes is seen."""
    X, y = case.X.copy(), case.y.copy()
    objective = hf.Objective(X, y, loss="squared_hinge")
    theta = np.append(case.coef, case.intercept)
    before = objective.value(theta)
    X[:20] *= 2
    y[40:] = -y[40:]
    assert objective.value(theta) != before
    assert objective.value(theta) == hf.Objective(X, y, loss="squared_hinge").value(theta)
    y[3] = 0
    with pytest.raises(ValueError, match=r"y\[3\]"):
        objective.value(theta)


# step


STEP_ROWS = [None, slice(10, 40), slice(None, None, -3), np.array([3, 3, 80, 5]), np.arange(90)]


@every_default_loss
@every_layout
@every_dtype
def test_step_is_theta_minus_lr_times_gradient(loss, layout, dtype):
    """Bit for bit, in theta's dtype, and it returns the value before the step."""
    case = problem(90, 7, dtype, seed=72)
    for alpha in (0.0, 0.3):
        objective = make(case, layout, loss=loss, alpha=alpha)
        for rows in STEP_ROWS:
            for lr in (0.125, 0.1, 1e-3, np.float64(0.7)):
                theta = objective.pack(case.coef, case.intercept).astype(dtype)
                value, grad = objective.value_and_grad(theta, rows=rows)
                want = theta - dtype(lr) * grad
                same = theta
                assert objective.step(theta, lr, rows=rows) == value
                assert same is theta and bits(theta) == bits(want)


def test_step_of_an_sgd_loop_goes_down():
    case = problem(2000, 10, seed=73)
    rng = np.random.default_rng(0)
    for layout in LAYOUTS:
        objective = make(case, layout, loss="hinge", alpha=1e-4)
        theta = np.zeros(objective.size)
        start = objective.value(theta)
        for _ in range(5):
            for batch in np.split(rng.permutation(2000), 40):
                objective.step(theta, 0.05, rows=batch)
        assert objective.value(theta) < 0.9 * start


@every_dtype
@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("batch", [np.array([5]), np.array([2, 9, 2]), slice(3, 8)])
def test_step_touches_only_the_columns_of_the_batch(dtype, width, batch):
    """CSR with alpha = 0: columns that the batch does not store keep NaN, -0.0 and their last bit."""
    X, y, coef, _ = random_csr(50, 3_000, 6, dtype, seed=74, index_dtype=width)
    objective = hf.Objective(X, y, loss="logistic")
    stored = np.unique(X.indices.reshape(50, 6)[batch])
    untouched = np.setdiff1d(np.arange(3_000), stored)
    theta = np.zeros(3_001, dtype=dtype)
    theta[stored] = coef[stored]
    clean = theta.copy()
    theta[untouched] = np.where(np.arange(len(untouched)) % 2, np.nan, -0.0)
    before = theta[untouched].tobytes()
    value = objective.step(theta, 0.5, rows=batch)
    assert value == objective.step(clean, 0.5, rows=batch)
    assert theta[untouched].tobytes() == before
    assert np.array_equal(theta[stored], clean[stored]) and (theta[stored] != coef[stored]).all()


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


def test_pickles_keep_the_number_of_threads():
    objective = hf.Objective(np.eye(3), [1, -1, 1], loss="hinge", n_threads=2)
    assert pickle.loads(pickle.dumps(objective)).n_threads == 2


@every_dtype
@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("d", [30_000, 3_000_000])  # columns are numbered by a table of all, or searched for
def test_a_step_knows_columns_again(dtype, width, d):
    """Many rows, whose few columns come again in every block and were numbered otherwise in the step before."""
    n, n_stored = 1_500, 4
    rng = np.random.default_rng(76)
    common = rng.choice(d, 700, replace=False)
    X, y, _, _ = random_csr(2 * n, d, n_stored, dtype, seed=76, index_dtype=width)
    X.indices[:] = common[rng.integers(0, 700, X.indices.size)]
    objective = hf.Objective(X, y, loss="squared_hinge", n_threads=1)
    theta = np.zeros(d + 1, dtype=dtype)
    theta[common] = rng.standard_normal(700)
    for rows in (slice(n, 2 * n), slice(0, n), np.arange(n)[::-1], slice(0, 600)):
        want = theta - dtype(0.5) * objective.grad(theta, rows=rows)
        objective.step(theta, 0.5, rows=rows)
        assert theta.tobytes() == want.tobytes()


@every_dtype
def test_step_costs_the_batch_and_not_the_features(dtype):
    d = 6_000_000
    X, y, _, _ = random_csr(2_000, d, 20, dtype, seed=75)
    objective = hf.Objective(X, y, loss="hinge")
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


def test_step_refuses(case):
    objective = make(case)
    theta = np.append(case.coef, case.intercept)
    before = theta.copy()
    frozen = theta.copy()
    frozen.flags.writeable = False
    for bad, error in (
        (theta.tolist(), TypeError),
        (frozen, ValueError),
        (theta[:-1], ValueError),
        (np.append(theta, 0.0), ValueError),
        (theta.reshape(8, 1), ValueError),
        (theta.astype(np.int64), (TypeError, ValueError)),
        (theta.astype(complex), (TypeError, ValueError)),
        (np.ma.masked_array(theta), TypeError),
    ):
        with pytest.raises(error, match="theta"):
            objective.step(bad, 0.1)
    for lr in ("0.1", None, 1j):
        with pytest.raises(TypeError, match="lr"):
            objective.step(theta, lr)
    assert bits(theta) == bits(before) and bits(frozen) == bits(before)
    objective.step(theta, np.float32(0.5))
    assert bits(theta) != bits(before)


def test_a_theta_that_overlaps_X_is_refused():
    """`step` writes to theta: inside X it would change the data."""
    store = np.random.default_rng(0).standard_normal(80)
    X = store.reshape(10, 8)
    y = np.where(np.arange(10) % 2, 1, -1)
    objective = hf.Objective(X, y, loss="hinge", fit_intercept=False)
    before = bits(store)
    with pytest.raises(ValueError, match="overlap"):
        objective.step(X[3], 0.1)
    assert bits(store) == before


# hessp


@every_loss
@every_layout
@every_dtype
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_hessp_is_the_generalised_hessian(loss, layout, dtype, fit_intercept):
    """X' diag(w phi'') X v / sum w + alpha v, from the definition."""
    name, params = loss.name, loss.params
    case = problem(90, 7, dtype, seed=76)
    objective = make(case, layout, loss=loss, sample_weight=case.weights, fit_intercept=fit_intercept)
    theta = objective.pack(case.coef, case.intercept) if fit_intercept else case.coef.astype(np.float64)
    v = np.random.default_rng(7).standard_normal(objective.size)
    if name in ("hinge", "perceptron"):
        with pytest.raises(ValueError, match="smooth_hinge"):
            objective.hessp(theta, v)
        return
    Z = case.X.astype(np.float64)
    if fit_intercept:
        Z = np.hstack([Z, np.ones((90, 1))])
    margins = case.y * (Z @ theta)
    curvature = reference.curvature(name, params, margins)
    # A margin within rounding of a jump of phi'' could fall to either side; these data have none.
    nearby = [reference.curvature(name, params, margins + shift) for shift in (-1e-5, 1e-5)]
    for each in nearby:
        np.testing.assert_allclose(each, curvature, rtol=1e-3, atol=1e-3)
    terms = case.weights * curvature / case.weights.sum()
    penalty = 0.25 * v
    if fit_intercept:
        penalty[-1] = 0.0
    want = Z.T @ (terms * (Z @ v)) + penalty
    bound = np.abs(Z).T @ (terms * (np.abs(Z) @ np.abs(v))) + np.abs(penalty)
    got = objective.hessp(theta, v)
    assert got.shape == v.shape and got.dtype == np.float64
    relative = 2e-5 if dtype is np.float32 else 1e-12
    assert (np.abs(got - want) <= relative * bound + 1e-15).all()


@pytest.mark.parametrize("loss", SMOOTH_LOSSES)
@every_layout
def test_hessp_is_the_derivative_of_the_gradient(case, loss, layout):
    objective = make(case, layout, loss=loss)
    theta = np.append(case.coef, case.intercept)
    rng = np.random.default_rng(8)
    for _ in range(3):
        v = rng.standard_normal(8)
        v /= np.linalg.norm(v)
        h = 1e-4
        difference = (objective.grad(theta + h * v) - objective.grad(theta - h * v)) / (2 * h)
        # O(h²) of the third derivative, and the gradient's rounding divided by h.
        np.testing.assert_allclose(objective.hessp(theta, v), difference, atol=2e-6, rtol=1e-5)


def test_hessp_checks_v(case):
    objective = make(case)
    theta = np.append(case.coef, case.intercept)
    for bad in (np.ones(7), np.ones((8, 1)), np.ones(9)):
        with pytest.raises(ValueError, match=r"\bv\b"):
            objective.hessp(theta, bad)
    with pytest.raises(TypeError, match=r"\bv\b"):
        objective.hessp(theta, np.ones(8, dtype=complex))
    keep = theta.copy()
    objective.hessp(theta, theta)
    assert bits(keep) == bits(theta)


# Minimising


def oracle_minimum(case, loss, alpha):
    """The minimum by another objective, of NumPy and the oracles alone."""

    def function(theta):
        margins = case.y * (case.X @ theta[:-1] + theta[-1])
        slopes = case.y * reference.slope(loss, {}, margins) / len(margins)
        value = reference.phi(loss, {}, margins).mean() + alpha / 2 * theta[:-1] @ theta[:-1]
        return value, np.append(slopes @ case.X + alpha * theta[:-1], slopes.sum())

    found = optimize.minimize(
        function,
        np.zeros(8),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    )
    return found, function


@every_layout
@pytest.mark.parametrize("loss", ["squared_hinge", "logistic", "smooth_hinge", "psi_g"])
def test_scipy_finds_the_minimum(case, layout, loss):
    alpha = 0.05
    objective = make(case, layout, loss=loss, alpha=alpha)
    want, function = oracle_minimum(case, loss, alpha)
    start = np.zeros(objective.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optimize.OptimizeWarning)
        results = {
            "L-BFGS-B": optimize.minimize(
                objective,
                start,
                jac=True,
                method="L-BFGS-B",
                options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
            ),
            "Newton-CG": optimize.minimize(
                objective.value,
                start,
                jac=objective.grad,
                hessp=objective.hessp,
                method="Newton-CG",
                options={"xtol": 1e-12},
            ),
        }
    assert not start.any()
    for result in results.values():
        value, grad = function(result.x)
        assert np.abs(grad).max() < 1e-6
        assert value <= want.fun + 1e-10
        # psi_g and logistic are strictly convex and the others strongly where rows are active: one minimum.
        np.testing.assert_allclose(result.x, want.x, atol=2e-4)
        coef, intercept = objective.unpack(result.x)
        np.testing.assert_allclose(
            objective.decision_function(result.x), case.X @ coef + float(intercept), rtol=1e-10
        )


def test_gradients_may_be_kept(case):
    """Each call returns an array of its own."""
    objective = make(case)
    a = objective.grad(np.zeros(8))
    copy = a.copy()
    b = objective.grad(np.ones(8))
    assert not np.shares_memory(a, b) and np.array_equal(a, copy) and not np.array_equal(a, b)


# theta and out


def test_theta_is_checked(case):
    objective = make(case)
    theta = np.append(case.coef, case.intercept)
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
            theta.reshape(1, 8),
            theta.reshape(8, 1),
            np.float64(1.0),
        ):
            with pytest.raises(ValueError, match="theta"):
                call(bad)
        for bad in (
            theta.astype(complex),
            np.full(8, "a"),
            np.ma.masked_array(theta),
            theta.astype(object),
            None,
        ):
            with pytest.raises(TypeError, match="theta"):
                call(bad)


def test_theta_in_any_layout(case):
    objective = make(case)
    theta = np.append(case.coef, case.intercept)
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


def test_out(case):
    objective = make(case)
    theta = np.append(case.coef, case.intercept)
    value, grad = objective.value_and_grad(theta)
    out = np.full(8, np.nan)
    assert objective.grad(theta, out=out) is out and bits(out) == bits(grad)
    out = np.full(8, np.nan)
    got = objective.value_and_grad(theta, out=out)
    assert got[1] is out and bits(got) == bits(value, grad)
    out = np.full(90, np.nan)
    assert objective.decision_function(theta, out=out) is out
    frozen = np.full(8, 7.0)
    frozen.flags.writeable = False
    for bad in (
        np.full(7, 7.0),
        np.full(9, 7.0),
        np.full((8, 1), 7.0),
        np.full(8, 7.0, dtype=np.float32),
        np.full(16, 7.0)[::2],
        frozen,
    ):
        for call in (objective.grad, objective.value_and_grad):
            with pytest.raises(ValueError, match="out"):
                call(theta, out=bad)
        assert (bad == 7).all()
    for bad in (theta, case.X.ravel()[2:10], np.frombuffer(theta)[:]):
        before = bits(theta, case.X)
        for call in (objective.grad, objective.value_and_grad):
            with pytest.raises(ValueError, match=r"overlap|out"):
                call(theta, out=bad)
        assert bits(theta, case.X) == before
    with pytest.raises(TypeError):
        objective.value(theta, out=np.empty(1))


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_nothing_is_allocated_with_out(layout):
    """After the first call nothing as large as a gradient, and nothing that stays."""
    d = 20_000
    if layout == "dense":
        case = problem(40, d, seed=77)
        X, y, coef = case.X, case.y, case.coef
    else:
        X, y, coef, _ = random_csr(500, d, 20, seed=77)
    objective = hf.Objective(X, y, loss="squared_hinge", alpha=0.1, n_threads=1)
    theta, out = np.append(coef, 0.5), np.empty(d + 1)
    batch = np.arange(0, 40, 2)
    for _ in range(3):
        objective.value_and_grad(theta, out=out)
        objective.value_and_grad(theta, out=out, rows=batch)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            objective.value_and_grad(theta, out=out)
            objective.value_and_grad(theta, out=out, rows=batch)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 8 * d / 4
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


def test_what_is_checked_when_it_is_made(case):
    """Kinds and shapes at once; contents at once or in the first call, for the data may change in between."""
    for arguments, error, match in (
        ((case.X, case.y[:-1]), ValueError, "y has 89 rows but X has 90"),
        ((case.X[0], case.y), ValueError, "X"),
        ((case.X.astype(complex), case.y), TypeError, "X"),
    ):
        with pytest.raises(error, match=match):
            hf.Objective(*arguments, loss="hinge")
    bad_y = case.y.copy()
    bad_y[5] = 0
    with pytest.raises(ValueError, match=r"y\[5\]"):
        hf.Objective(case.X, bad_y, loss="hinge").value(np.zeros(8))
    bad_indices = as_csr(case.X)
    bad_indices.indices[9] = 7
    with pytest.raises(hf.InvalidCSRError, match=r"X\.indices\[9\]"):
        hf.Objective(bad_indices, case.y, loss="hinge").value(np.zeros(8))
    with pytest.raises(TypeError):
        hf.Objective(case.X, case.y)  # the loss must be named
    with pytest.raises(TypeError):
        hf.Objective(case.X, case.y, "hinge")
    with pytest.raises(ValueError, match="decision_function"):
        hf.Objective(case.X, case.y, loss="hinge", reduction="none")


def test_a_matrix_without_columns(case):
    for X in (
        np.zeros((90, 0)),
        namespace(np.zeros(91, np.int32), np.zeros(0, np.int32), np.zeros(0), (90, 0)),
    ):
        objective = hf.Objective(X, case.y, loss="hinge")
        value, grad = objective.value_and_grad(np.array([0.5]))
        n_positive = (case.y > 0).sum()
        assert value == pytest.approx((0.5 * n_positive + 1.5 * (90 - n_positive)) / 90, rel=1e-14)
        assert grad[0] == pytest.approx((90 - 2 * n_positive) / 90, rel=1e-14)
