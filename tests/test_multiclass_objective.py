"""Promise: `Objective` of K classes is reduction(loss) + alpha/2·|coef|^2 of one vector: coef row by row, then K
intercepts.
"""

import pickle
import time
import tracemalloc

import multiclass_reference as oracle
import numpy as np
import pytest
from conftest import bits, every_dtype, raises
from kinds import as_csr, namespace
from multiclass_cases import (
    FEW,
    MULTICLASS,
    assert_close,
    every_multiclass_loss,
    expected,
    few_multiclass_losses,
    has_hessian,
    problem,
    random_csr,
)
from scipy import optimize

import hingefast as hf

LAYOUTS = {"dense": np.asarray, "fortran": np.asfortranarray, "csr": as_csr}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
K, D, N = 5, 7, 90


@pytest.fixture(scope="module")
def case():
    return problem(N, D, K, seed=71)


def make_objective(case, layout="dense", **keywords):
    keywords = {"loss": "weston_watkins:squared_hinge", "alpha": 0.25, "classes": len(case.coef), **keywords}
    return hf.Objective(LAYOUTS[layout](case.X), case.y, **keywords)


# Values


@every_multiclass_loss
@every_layout
def test_value_and_gradient(case, make, layout):
    loss = make(K)
    objective = make_objective(case, layout, loss=loss, sample_weight=case.weights)
    theta = objective.pack(case.coef, case.intercept)
    want = expected(case.X, case.y, case.coef, case.intercept, loss, alpha=0.25, weights=case.weights)
    value, grad = objective.value_and_grad(theta)
    assert type(value) is float and grad.shape == (K * D + K,) and grad.dtype == np.float64
    assert_close((value, grad[: K * D].reshape(K, D), grad[K * D :]), want)
    assert bits(objective(theta)) == bits(value, grad)
    scores = objective.decision_function(theta)
    assert scores.shape == (N, K) and (np.abs(scores - want.scores) <= want.scores_bound).all()
    direct = hf.linear_value_and_grad(
        LAYOUTS[layout](case.X),
        case.y,
        case.coef,
        case.intercept,
        loss=loss,
        alpha=0.25,
        sample_weight=case.weights,
    )
    assert bits(direct[0], direct[1].ravel(), direct[2]) == bits(value, grad[: K * D], grad[K * D :])


@every_layout
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_without_an_intercept(case, layout, reduction):
    objective = make_objective(case, layout, fit_intercept=False, reduction=reduction)
    assert objective.size == K * D
    loss = hf.WestonWatkins("squared_hinge")
    want = expected(case.X, case.y, case.coef, 0.0, loss, alpha=0.25, reduction=reduction)
    value, grad = objective.value_and_grad(case.coef.ravel())
    assert grad.shape == (K * D,)
    assert_close((value, grad.reshape(K, D), want.grad_intercept), want)
    coef, intercept = objective.unpack(case.coef.ravel())
    assert np.array_equal(coef, case.coef)
    assert not np.any(intercept)
    np.testing.assert_array_equal(
        objective.decision_function(case.coef.ravel()), hf.decision_function(case.X, case.coef)
    )


@every_layout
def test_penalized_intercepts(case, layout):
    theta = np.append(case.coef.ravel(), np.linspace(-1.5, 2, K))
    b = theta[K * D :]
    plain, penalized = make_objective(case, layout), make_objective(case, layout, penalize_intercept=True)
    value, grad = plain.value_and_grad(theta)
    got_value, got_grad = penalized.value_and_grad(theta)
    assert got_value == pytest.approx(value + 0.125 * (b**2).sum(), rel=1e-14)
    np.testing.assert_array_equal(got_grad[: K * D], grad[: K * D])
    np.testing.assert_allclose(got_grad[K * D :], grad[K * D :] + 0.25 * b, rtol=1e-12, atol=1e-14)
    v = np.ones(K * D + K)
    difference = penalized.hessp(theta, v) - plain.hessp(theta, v)
    np.testing.assert_allclose(difference, [0] * (K * D) + [0.25] * K, atol=1e-13)
    want = theta - 0.5 * got_grad
    penalized.step(theta, 0.5)
    assert bits(theta) == bits(want)


def test_balanced_classes(case):
    """N/(K·N_k); with weights, sum(w)/(K·sum of w in k)."""
    counts = np.bincount(case.y, minlength=K)
    assert np.unique(counts).size > 1
    theta = np.append(case.coef.ravel(), case.intercept)
    for loss in ("crammer_singer", "one_vs_rest:logistic"):
        got = make_objective(case, loss=loss, class_weight="balanced").value_and_grad(theta)
        explicit = make_objective(case, loss=loss, class_weight=N / (K * counts)).value_and_grad(theta)
        np.testing.assert_allclose(got[0], explicit[0], rtol=1e-14)
        np.testing.assert_allclose(got[1], explicit[1], rtol=1e-13, atol=1e-15)
        assert got[0] != make_objective(case, loss=loss).value(theta)
    w = case.weights
    explicit = [w.sum() / (K * w[case.y == k].sum()) for k in range(K)]
    got = make_objective(case, class_weight="balanced", sample_weight=w).value_and_grad(theta)
    want = make_objective(case, class_weight=explicit, sample_weight=w).value_and_grad(theta)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-13)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-11, atol=1e-13)
    # Any order of classes: a weight belongs to its class.
    labels = np.array([30, 10, 50, 20, 40])
    again = hf.Objective(
        case.X,
        labels[case.y],
        loss="weston_watkins:squared_hinge",
        alpha=0.25,
        classes=labels,
        class_weight="balanced",
        sample_weight=w,
    )
    assert bits(again.value_and_grad(theta)) == bits(got)


def test_C_is_that_of_the_svm(case):
    """1/(alpha*sum of all weights), weights of the rows times those of their classes."""
    of_class = np.linspace(0.5, 2, K)
    for keywords, total in (
        ({}, N),
        ({"sample_weight": case.weights}, case.weights.sum()),
        ({"class_weight": of_class}, of_class[case.y].sum()),
        ({"class_weight": of_class, "sample_weight": case.weights}, (of_class[case.y] * case.weights).sum()),
        ({"class_weight": "balanced"}, N),
        (
            {"class_weight": "balanced", "sample_weight": case.weights * 2.0**1000},
            case.weights.sum() * 2.0**1000,
        ),
    ):
        assert pytest.approx(1 / (0.25 * total), rel=1e-13) == make_objective(case, **keywords).C


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")  # since NumPy 2.5
def test_the_classes_given_out_are_the_callers_own(case):
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


def test_balanced_needs_every_class(case):
    y = np.where(case.y == 3, 2, case.y)
    with raises(ValueError, "balanced", "3"):
        hf.Objective(case.X, y, loss="crammer_singer", classes=K, class_weight="balanced")
    with raises(ValueError, "balanced"):
        hf.Objective(
            case.X,
            case.y,
            loss="crammer_singer",
            classes=K,
            class_weight="balanced",
            sample_weight=(case.y != 1) * 1.0,
        )
    for call in (
        lambda: hf.linear_value_and_grad(
            case.X, case.y, case.coef, loss="crammer_singer", class_weight="balanced"
        ),
        lambda: hf.CrammerSinger()(case.y, case.coef @ case.X.T, class_weight="balanced"),
    ):
        with raises(ValueError):
            call()


def test_attributes(case):
    objective = make_objective(case, alpha=0.01)
    assert (objective.n_rows, objective.n_features, objective.size) == (N, D, K * D + K)
    assert pytest.approx(1 / (N * 0.01), rel=1e-15) == objective.C
    assert list(objective.classes) == list(range(K))
    labels = [30, -10, 50, 20, 40]
    y = np.array(labels)[case.y]
    declared = hf.Objective(case.X, y, loss="crammer_singer", classes=labels)
    assert list(declared.classes) == labels


def test_classes_must_be_declared(case):
    """The number of classes is not guessed from y."""
    with raises(ValueError, "classes"):
        hf.Objective(case.X, case.y, loss="crammer_singer")
    for k in (2, 3, K - 1):  # y holds K - 1
        with raises(ValueError, f"y[{int(np.flatnonzero(case.y >= k)[0])}]"):
            hf.Objective(case.X, case.y, loss="crammer_singer", classes=k)
    more = hf.Objective(case.X, case.y, loss="crammer_singer", classes=K + 3)
    assert more.size == (K + 3) * (D + 1)
    theta = np.zeros(more.size)
    assert more.value(theta) == 1.0


@pytest.mark.parametrize("labels", [[5, 6, 7, 8, 9], (3, 7, -2, 100, 5), np.array([4, 3, 2, 1, 0], np.int8)])
def test_declared_classes(case, labels):
    theta = np.append(case.coef.ravel(), case.intercept)
    keywords = {"loss": "crammer_singer:logistic", "alpha": 0.1}
    got = hf.Objective(case.X, np.asarray(labels)[case.y], classes=labels, **keywords)
    want = hf.Objective(case.X, case.y, classes=K, **keywords)
    assert bits(got.value_and_grad(theta)) == bits(want.value_and_grad(theta))
    assert bits(got.hessp(theta, theta)) == bits(want.hessp(theta, theta))


@every_layout
def test_float64_forced_on_float32_data(case, layout):
    X = LAYOUTS[layout](case.X.astype(np.float32))
    wide = LAYOUTS[layout](case.X.astype(np.float32).astype(np.float64))
    theta = np.append(case.coef.ravel(), case.intercept)
    keywords = {"loss": "weston_watkins:logistic", "alpha": 0.1, "classes": K}
    forced = hf.Objective(X, case.y, dtype=np.float64, **keywords)
    native = hf.Objective(wide, case.y, **keywords)
    narrow = hf.Objective(X, case.y, **keywords)
    assert bits(forced.value_and_grad(theta)) == bits(native.value_and_grad(theta))
    assert bits(forced.hessp(theta, theta)) == bits(native.hessp(theta, theta))
    assert forced.decision_function(theta).dtype == np.float64
    assert narrow.decision_function(theta).dtype == np.float32
    assert forced.value(theta) != narrow.value(theta)


@every_layout
@pytest.mark.parametrize("x_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("theta_dtype", [np.float32, np.float64])
def test_dtype_of_theta_is_that_of_the_gradient(case, layout, x_dtype, theta_dtype):
    loss = hf.CrammerSinger("squared_hinge")
    objective = hf.Objective(LAYOUTS[layout](case.X.astype(x_dtype)), case.y, loss=loss, alpha=0.1, classes=K)
    theta = np.append(case.coef.ravel(), case.intercept).astype(theta_dtype)
    value, grad = objective.value_and_grad(theta)
    assert grad.dtype == theta_dtype and objective.grad(theta).dtype == theta_dtype
    assert objective.decision_function(theta).dtype == x_dtype
    coef, intercept = objective.unpack(theta)
    want = expected(case.X.astype(x_dtype), case.y, coef, intercept, loss, alpha=0.1)
    assert_close((value, grad[: K * D].reshape(K, D), grad[K * D :]), want, out_eps=np.finfo(theta_dtype).eps)
    assert objective.step(theta, 0.5) == value and theta.dtype == theta_dtype


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


# pack, unpack, pickle


def test_pack_and_unpack(case):
    objective = make_objective(case)
    theta = objective.pack(case.coef, case.intercept)
    assert theta.shape == (K * D + K,) and theta.dtype == np.float64
    assert np.array_equal(theta, np.append(case.coef.ravel(), case.intercept))
    coef, intercept = objective.unpack(theta)
    assert np.array_equal(coef, case.coef) and coef.shape == (K, D) and intercept.shape == (K,)
    assert np.shares_memory(coef, theta) and np.shares_memory(intercept, theta)
    theta[0], theta[-1] = 99.0, 77.0
    assert coef[0, 0] == 99.0 and intercept[-1] == 77.0
    assert np.array_equal(objective.pack(np.asfortranarray(case.coef), 0.5)[K * D :], [0.5] * K)
    assert not np.shares_memory(objective.pack(case.coef, 0.0), case.coef)
    for bad in (np.ones((K, D - 1)), np.ones((K + 1, D)), np.ones(K * D), np.ones((K, D, 1)), np.ones(D)):
        with raises(ValueError, "coef"):
            objective.pack(bad, 0.0)
    with raises(ValueError, "coef", "pass coef.T"):
        objective.pack(case.coef.T, 0.0)
    for bad in (np.ones(K - 1), np.ones((K, 1)), np.ones(K + 1)):
        with raises(ValueError, "intercept"):
            objective.pack(case.coef, bad)
    for bad in (np.ones(K * D + K - 1), np.ones((K, D + 1))):
        with raises(ValueError, "theta"):
            objective.unpack(bad)


@every_layout
@pytest.mark.parametrize("class_weight", [None, np.linspace(0.5, 2, K), "balanced"])
def test_pickle(case, layout, class_weight):
    for loss in (
        "weston_watkins:logistic",
        hf.CostSensitiveHinge(1 + np.arange(K * K).reshape(K, K) / 8),
        hf.TopKHinge(2, "beta"),
        hf.CrammerSinger(hf.SmoothHinge(width=0.5)),
    ):
        objective = make_objective(
            case,
            layout,
            loss=loss,
            sample_weight=case.weights,
            class_weight=class_weight,
            penalize_intercept=True,
            n_threads=2,
        )
        theta = objective.pack(case.coef, case.intercept)
        for protocol in (2, 5):
            again = pickle.loads(pickle.dumps(objective, protocol))
            assert bits(again.value_and_grad(theta)) == bits(objective.value_and_grad(theta))
            assert (again.size, again.C, list(again.classes)) == (
                objective.size,
                objective.C,
                list(objective.classes),
            )


def test_pickle_keeps_declared_labels(case):
    labels = [9, 3, 7, 100, -4]
    objective = hf.Objective(case.X, np.array(labels)[case.y], loss="crammer_singer", classes=labels)
    again = pickle.loads(pickle.dumps(objective))
    assert list(again.classes) == labels


def test_it_keeps_references(case):
    X, y = case.X.copy(), case.y.copy()
    objective = hf.Objective(X, y, loss="crammer_singer", classes=K)
    theta = np.append(case.coef.ravel(), case.intercept)
    before = objective.value(theta)
    X[:20] *= 2
    y[40:] = (y[40:] + 1) % K
    assert objective.value(theta) != before
    assert objective.value(theta) == hf.Objective(X, y, loss="crammer_singer", classes=K).value(theta)
    y[3] = K
    for call in (objective.value, objective.grad, objective.value_and_grad, lambda t: objective.step(t, 0.1)):
        with raises(ValueError, f"y[3] is {K}"):
            call(theta)


# step


STEP_ROWS = [None, slice(10, 40), slice(None, None, -3), np.array([3, 3, 80, 5])]


@few_multiclass_losses
@every_layout
@every_dtype
def test_step_is_theta_minus_lr_times_gradient(make, layout, dtype):
    """Bit for bit, in theta's dtype, and it returns the value before the step."""
    case = problem(N, D, K, dtype, seed=72)
    for alpha in (0.0, 0.3):
        for fit_intercept in (True, False):
            objective = make_objective(case, layout, loss=make(K), alpha=alpha, fit_intercept=fit_intercept)
            for rows in STEP_ROWS:
                for lr in (0.125, 0.1, np.float64(0.7)):
                    theta = objective.pack(case.coef, case.intercept if fit_intercept else 0.0).astype(dtype)
                    value, grad = objective.value_and_grad(theta, rows=rows)
                    want = theta - dtype(lr) * grad
                    same = theta
                    assert objective.step(theta, lr, rows=rows) == value
                    assert same is theta and bits(theta) == bits(want)


@every_dtype
@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("batch", [np.array([5]), np.array([2, 9, 2]), slice(3, 8)])
@pytest.mark.parametrize("key", ["crammer_singer:hinge", "weston_watkins:logistic"])
def test_step_touches_only_the_columns_of_the_batch(dtype, width, batch, key):
    """CSR with alpha = 0: columns that the batch does not store keep NaN, -0.0 and their last bit, in every class."""
    n_classes, d = 6, 3_000
    loss = FEW[key](n_classes)
    X, y, coef, _ = random_csr(2_000, d, 6, n_classes, dtype, seed=74, index_dtype=width)
    objective = hf.Objective(X, y, loss=loss, classes=n_classes)
    stored = np.unique(X.indices.reshape(-1, 6)[batch])
    untouched = np.setdiff1d(np.arange(d), stored)
    theta = np.zeros(objective.size, dtype=dtype)
    W = theta[: n_classes * d].reshape(n_classes, d)
    W[:, stored] = coef[:, stored]
    clean = theta.copy()
    W[:, untouched] = np.where(np.arange(len(untouched)) % 2, np.nan, -0.0)
    before = W[:, untouched].tobytes()
    value = objective.step(theta, 0.5, rows=batch)
    assert value == objective.step(clean, 0.5, rows=batch)
    assert W[:, untouched].tobytes() == before
    after = clean[: n_classes * d].reshape(n_classes, d)
    assert np.array_equal(W[:, stored], after[:, stored])
    assert (W[:, stored] != coef[:, stored]).any()
    if "logistic" in key:
        assert (W[:, stored] != coef[:, stored]).all()
    # The next step knows nothing of this one.
    other, fresh = slice(20, 23), hf.Objective(X, y, loss=loss, classes=n_classes)
    again = clean.copy()
    assert objective.step(clean, 0.5, rows=other) == fresh.step(again, 0.5, rows=other)
    assert bits(clean) == bits(again)


@every_dtype
@pytest.mark.parametrize("width", [np.int32, np.int64])
@pytest.mark.parametrize("n_classes,d", [(3, 30_000), (8, 14_000)])  # with 8, for more entries than d/4 too
def test_a_step_knows_columns_again(dtype, width, n_classes, d):
    """Many rows, whose few columns come again in every block, in steps after others."""
    n = 1_500
    rng = np.random.default_rng(77)
    common = rng.choice(d, 700, replace=False)
    X, y, _, _ = random_csr(2 * n, d, 4, n_classes, dtype, seed=77, index_dtype=width)
    X.indices[:] = common[rng.integers(0, 700, X.indices.size)]
    objective = hf.Objective(X, y, loss="weston_watkins:squared_hinge", classes=n_classes, n_threads=1)
    theta = np.zeros(objective.size, dtype=dtype)
    theta[: n_classes * d].reshape(n_classes, d)[:, common] = rng.standard_normal((n_classes, 700))
    for rows in (slice(n, 2 * n), slice(0, n), np.arange(n)[::-1], slice(0, 600)):
        want = theta - dtype(0.5) * objective.grad(theta, rows=rows)
        objective.step(theta, 0.5, rows=rows)
        assert theta.tobytes() == want.tobytes()


@every_dtype
def test_step_costs_the_batch_and_not_the_features(dtype):
    d, n_classes = 1_000_000, 8
    X, y, _, _ = random_csr(2_000, d, 20, n_classes, dtype, seed=75)
    objective = hf.Objective(X, y, loss="crammer_singer", classes=n_classes)
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


def test_step_of_an_sgd_loop_goes_down():
    case = problem(2000, 10, 6, seed=73)
    rng = np.random.default_rng(0)
    best = (case.X @ case.coef.T).argmax(axis=1)
    case.y = np.where(rng.random(2000) < 0.95, best, case.y)
    for layout in LAYOUTS:
        objective = make_objective(case, layout, loss="crammer_singer", alpha=1e-4)
        theta = np.zeros(objective.size)
        start = objective.value(theta)
        for _ in range(4):
            for batch in np.split(rng.permutation(2000), 40):
                objective.step(theta, 0.05, rows=batch)
        assert objective.value(theta) < 0.9 * start


def test_step_refuses(case):
    objective = make_objective(case)
    theta = np.append(case.coef.ravel(), case.intercept)
    before = theta.copy()
    frozen = theta.copy()
    frozen.flags.writeable = False
    for bad, error in (
        (theta.tolist(), TypeError),
        (frozen, ValueError),
        (theta[:-1], ValueError),
        (np.append(theta, 0.0), ValueError),
        (theta.reshape(K, D + 1), ValueError),
        (theta.astype(np.int64), (TypeError, ValueError)),
        (theta.astype(complex), (TypeError, ValueError)),
    ):
        with raises(error, "theta"):
            objective.step(bad, 0.1)
    with raises(TypeError, "lr"):
        objective.step(theta, "0.1")
    assert bits(theta) == bits(before) and bits(frozen) == bits(before)


# hessp


def hessian_product(case, loss, theta, v, alpha, weights, fit_intercept):
    """X' q / sum w + alpha v, q from the definition; and the sum of absolute terms."""
    Z = case.X.astype(np.float64)
    n_classes, d = case.coef.shape
    size = n_classes * d
    W, V = theta[:size].reshape(n_classes, d), v[:size].reshape(n_classes, d)
    b, vb = (theta[size:], v[size:]) if fit_intercept else (np.zeros(n_classes), np.zeros(n_classes))
    scores, directions = Z @ W.T + b, Z @ V.T + vb
    what = oracle.definition(loss)
    q = oracle.products(what, case.y, scores, directions) * (weights / weights.sum())[:, None]
    absolute = np.abs(Z) @ np.abs(V).T + np.abs(vb)
    # Each entry of q is made of products of phi'' and directions, at most those of all classes.
    largest = oracle.phi_array(loss.base.name, loss.base.params, np.linspace(-8, 8, 4001))[2].max()
    terms = largest * absolute.sum(axis=1, keepdims=True) * (weights / weights.sum())[:, None]
    terms = np.repeat(terms, n_classes, axis=1)
    want = np.append((q.T @ Z + alpha * V).ravel(), q.sum(axis=0) if fit_intercept else [])
    bound = np.append(
        (terms.T @ np.abs(Z) + alpha * np.abs(V)).ravel(), terms.sum(axis=0) if fit_intercept else []
    )
    return want, bound


def away_from_bends(loss, case, theta, fit_intercept):
    """No margin lies where phi'' jumps, nor two rivals close together: there the product may be either one."""
    n_classes, d = case.coef.shape
    scores = case.X.astype(np.float64) @ theta[: n_classes * d].reshape(n_classes, d).T
    if fit_intercept:
        scores = scores + theta[n_classes * d :]
    v = np.ones_like(scores) * np.arange(1.0, n_classes + 1)
    what = oracle.definition(loss)
    middle = oracle.products(what, case.y, scores, v)
    rng = np.random.default_rng(0)
    for _ in range(8):
        moved = scores + 2e-5 * rng.uniform(-1, 1, scores.shape)
        if np.abs(oracle.products(what, case.y, moved, v) - middle).max() > 1e-2:
            return False
    return True


@every_multiclass_loss
@every_layout
@every_dtype
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_hessp_is_the_generalised_hessian(make, layout, dtype, fit_intercept):
    loss = make(K)
    for seed in range(40):
        case = problem(60, D, K, dtype, seed=100 + seed)
        size = K * D + (K if fit_intercept else 0)
        theta = np.append(case.coef.ravel(), case.intercept).astype(np.float64)[:size]
        if not has_hessian(loss) or away_from_bends(loss, case, theta, fit_intercept):
            break
    else:
        raise AssertionError("no problem away from bends")
    objective = make_objective(
        case, layout, loss=loss, sample_weight=case.weights, fit_intercept=fit_intercept
    )
    v = np.random.default_rng(7).standard_normal(size)
    if not has_hessian(loss):
        with raises(ValueError, "smooth_hinge"):
            objective.hessp(theta, v)
        return
    want, bound = hessian_product(case, loss, theta, v, 0.25, case.weights, fit_intercept)
    got = objective.hessp(theta, v)
    assert got.shape == v.shape and got.dtype == np.float64
    assert np.abs(want).max() > 0.1
    relative = 2e-5 if dtype is np.float32 else 1e-12
    assert (np.abs(got - want) <= relative * bound + 1e-15).all()


@pytest.mark.parametrize(
    "key", [key for key in MULTICLASS if key.endswith((":logistic", ":psi_g", ":psi_m", ":softplus_hinge"))]
)
@every_layout
def test_hessp_is_the_derivative_of_the_gradient(case, key, layout):
    loss = MULTICLASS[key](K)
    objective = make_objective(case, layout, loss=loss)
    theta = np.append(case.coef.ravel(), case.intercept)
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
    X, y, coef, intercept = random_csr(9_000, 1_000, 40, 4, seed=77)
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
@pytest.mark.parametrize("n_classes", [3, 18])
@pytest.mark.parametrize(
    "key", ["crammer_singer:logistic", "weston_watkins:logistic", "one_vs_rest:logistic"]
)
def test_hessp_of_many_blocks_of_rows(key, n_classes, layout):
    """What one block leaves behind may not reach the next; twice in a row, and with the gradient in between."""
    case = problem(1_500, 11, n_classes, seed=78)
    loss = MULTICLASS[key](n_classes)
    objective = make_objective(case, layout, loss=loss, sample_weight=case.weights)
    theta = np.append(case.coef.ravel(), case.intercept)
    v = np.random.default_rng(2).standard_normal(theta.size)
    want, bound = hessian_product(case, loss, theta, v, 0.25, case.weights, True)
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
    case = problem(60, 8, n_classes, x_dtype, seed=79)
    theta = np.append(case.coef.ravel(), case.intercept).astype(np.float64)
    v = np.random.default_rng(3).standard_normal(theta.size)
    for key in ("weston_watkins:logistic", "one_vs_rest:logistic"):
        loss = hf.get_loss(key)
        objective = hf.Objective(
            LAYOUTS[layout](case.X),
            case.y,
            loss=loss,
            classes=n_classes,
            alpha=0.25,
            sample_weight=case.weights,
        )
        want, bound = hessian_product(case, loss, theta, v, 0.25, case.weights, True)
        relative = 2e-5 if x_dtype is np.float32 else 1e-12
        excess = np.abs(objective.hessp(theta, v) - want) - (relative * bound / n_classes**0.5 + 1e-15)
        assert (excess <= 0).all(), key


def test_hessp_checks_v(case):
    objective = make_objective(case)
    theta = np.append(case.coef.ravel(), case.intercept)
    for bad in (np.ones(K * D), np.ones((K, D + 1)), np.ones(K * D + K + 1)):
        with raises(ValueError, "v"):
            objective.hessp(theta, bad)
    with raises(TypeError, "v"):
        objective.hessp(theta, np.ones(K * D + K, dtype=complex))
    keep = theta.copy()
    objective.hessp(theta, theta)
    assert bits(keep) == bits(theta)


# out, errors, cost


def test_out(case):
    objective = make_objective(case)
    theta = np.append(case.coef.ravel(), case.intercept)
    value, grad = objective.value_and_grad(theta)
    out = np.full_like(theta, np.nan)
    assert objective.grad(theta, out=out) is out and bits(out) == bits(grad)
    out[:] = np.nan
    again, same = objective.value_and_grad(theta, out=out)
    assert same is out and bits(again, out) == bits(value, grad)
    scores = np.full((N, K), np.nan)
    assert objective.decision_function(theta, out=scores) is scores
    for bad in (np.full(theta.size - 1, 7.0), np.full((K, D + 1), 7.0), np.full(theta.size, 7, np.float32)):
        with raises(ValueError, "out"):
            objective.value_and_grad(theta, out=bad)
        assert (bad == 7).all()
    with raises(ValueError, "out", "overlap"):
        objective.grad(theta, out=theta)


def test_kernels_stay_safe_when_the_data_change_after_the_check():
    case = problem(60, 20, 4, density=0.3, seed=4)
    X = as_csr(case.X)
    objective = hf.Objective(X, case.y, loss="crammer_singer", classes=4)
    theta = objective.pack(case.coef, case.intercept)
    before = bits(objective.value_and_grad(theta))
    for member, bad in (("indices", -1), ("indices", 10**6), ("indptr", -5), ("indptr", 2**31 - 1)):
        array = getattr(X, member)
        good = array[10]
        array[10] = bad
        for call in (objective.value_and_grad, objective.decision_function, objective.value, objective.grad):
            with raises(hf.InvalidCSRError):
                call(theta)
        stepped = theta.copy()
        with raises(hf.InvalidCSRError):
            objective.step(stepped, 0.1)
        assert np.array_equal(stepped, theta)
        array[10] = good
    assert bits(objective.value_and_grad(theta)) == before


@pytest.mark.no_sanitizer
def test_calls_allocate_little():
    """With out= no memory of length n or K·d after the first call on this thread."""
    n_classes, d = 20, 5_000
    X, y, coef, intercept = random_csr(5_000, d, 40, n_classes, seed=78)
    objective = hf.Objective(X, y, loss="crammer_singer", classes=n_classes, n_threads=1)
    theta = objective.pack(coef, intercept)
    out = np.empty_like(theta)
    objective.value_and_grad(theta, out=out)
    tracemalloc.start()
    objective.value_and_grad(theta, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000  # one gradient would be 800 000


def test_minimising_finds_the_minimum():
    """L-BFGS-B and Newton-CG, through `value_and_grad` and `hessp`, meet at the same point."""
    case = problem(300, 6, 4, seed=79)
    for loss in ("one_vs_rest:logistic", "weston_watkins:softplus_hinge"):
        for layout in ("dense", "csr"):
            objective = make_objective(case, layout, loss=loss, alpha=0.1)
            start = np.zeros(objective.size)
            first = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-9})
            second = optimize.minimize(
                objective, start, jac=True, hessp=objective.hessp, method="Newton-CG", tol=1e-9
            )
            assert first.fun == pytest.approx(second.fun, rel=1e-7) and first.fun < objective.value(start)
            np.testing.assert_allclose(first.x[: 4 * 6], second.x[: 4 * 6], atol=2e-3)
            scores = objective.decision_function(first.x)
            assert (scores.argmax(axis=1) == case.y).mean() > 0.5


def test_a_plain_namespace_without_scipy(case):
    X = as_csr(case.X)
    plain = namespace(X.indptr, X.indices, X.data, X.shape)
    theta = np.append(case.coef.ravel(), case.intercept)
    keywords = {"loss": "crammer_singer", "classes": K}
    assert bits(hf.Objective(plain, case.y, **keywords).value_and_grad(theta)) == bits(
        hf.Objective(as_csr(case.X, "csr_array"), case.y, **keywords).value_and_grad(theta)
    )


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
