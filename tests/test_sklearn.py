"""Promise: `HingeClassifier` is a scikit-learn classifier without a flaw, and finds the minimum that it states."""

import dataclasses
import doctest
import math
import pickle
import warnings

import numpy as np
import pytest
from conftest import run_python
from scipy import optimize, sparse

import hingefast as hf
from hingefast.io.svmlight import read_svmlight

pytest.importorskip("sklearn")

import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import hingefast.sklearn
from hingefast.sklearn import HingeClassifier

MULTI_CLASS = ("ovr", "ovo", "weston_watkins")


every_check = parametrize_with_checks(
    [
        HingeClassifier(),
        HingeClassifier("hinge"),
        HingeClassifier("logistic"),
        HingeClassifier("psi_g", class_weight="balanced"),
        HingeClassifier(multi_class="ovo"),
        HingeClassifier("hinge", multi_class="ovo"),
        HingeClassifier(multi_class="weston_watkins"),
        HingeClassifier(intercept_scaling=math.inf),
        HingeClassifier(warm_start=True),
    ]
).mark


# A list: pytest 9 warns of the generator that scikit-learn 1.6 makes.
@pytest.mark.parametrize(every_check.args[0], list(every_check.args[1]), ids=every_check.kwargs["ids"])
def test_every_check_of_scikit_learn(estimator, check):
    check(estimator)


def test_docstring_runs():
    assert doctest.testmod(hingefast.sklearn) == (0, 6)


def problem(n=120, d=5, n_classes=2, seed=0, dtype=np.float64):
    """Noisy rows around a centre for each class; every class has rows inside and outside the margin."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = rng.standard_normal((n, d)) + 1.5 * rng.standard_normal((n_classes, d))[y]
    X[3 : n // 6] = np.roll(X[3 : n // 6], 1, axis=0)  # rows of another class
    model = HingeClassifier().fit(X, y)
    score = model.score(X, y)
    assert set(y) == set(range(n_classes)) and 1 / n_classes < score < 1
    return X.astype(dtype), y


PHI = {
    "hinge": lambda m: np.maximum(0, 1 - m),
    "squared_hinge": lambda m: np.maximum(0, 1 - m) ** 2,
    "logistic": lambda m: np.logaddexp(0, -m),
}


def stated_minimum(theta, X, y, loss, *, C=1.0, scaling=1.0, weights=1.0):
    """What the docstring says is minimised; theta: coefficients, then the intercept."""
    w, b = theta[:-1], theta[-1]
    margins = np.where(y == np.max(y), 1, -1) * (X @ w + b)
    return w @ w / 2 + (b / scaling) ** 2 / 2 + C * np.sum(weights * PHI[loss](margins))


def theta_of(model, k=0):
    return np.append(model.coef_[k], model.intercept_[k])


# --------------------------------------------------------------------------------------------------
# The minimum
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("C, scaling", [(1.0, 1.0), (0.01, 3.0), (10.0, 0.5)])
def test_the_minimum_of_linear_svc(loss, C, scaling):
    X, y = problem()
    weights = np.random.default_rng(1).uniform(0, 2, len(y))
    model = HingeClassifier(loss, C=C, intercept_scaling=scaling).fit(X, y, weights)
    options = {"dual": loss == "hinge", "tol": 1e-8, "max_iter": 10**6, "random_state": 0}
    other = LinearSVC(loss=loss, C=C, intercept_scaling=scaling, **options).fit(X, y, weights)
    given = {"C": C, "scaling": scaling, "weights": weights}
    ours, theirs = (stated_minimum(theta_of(m), X, y, loss, **given) for m in (model, other))
    assert math.isclose(ours, theirs, rel_tol=1e-6) and ours <= theirs * (1 + 1e-9)
    assert np.abs(model.coef_ - other.coef_).max() < 1e-3
    assert model.coef_.shape == other.coef_.shape and model.intercept_.shape == (1,)


@pytest.mark.parametrize("loss", list(PHI))
def test_the_gap_bounds_the_objective_and_the_scores(loss):
    X, y = problem(n=600, d=101)  # too many columns to go beyond tol
    near = HingeClassifier(loss, tol=1e-3).fit(X, y)
    exact = HingeClassifier(loss, tol=1e-11).fit(X, y)
    value, least = (stated_minimum(theta_of(model), X, y, loss) for model in (near, exact))
    assert 0 <= near.dual_gap_ <= 1e-3 and 0 <= exact.dual_gap_ <= 1e-11
    assert least <= value <= least + near.dual_gap_ * value * (1 + 1e-9)
    lengths = np.hypot(np.linalg.norm(X, axis=1), 1)
    moved = np.abs(near.decision_function(X) - exact.decision_function(X))
    assert np.all(moved <= math.sqrt(2 * near.dual_gap_ * value) * lengths + 1e-6)


def test_an_intercept_without_a_penalty():
    """Only then the minimum stays where it is when the features are shifted."""
    X, y = problem()
    at, shifted = (HingeClassifier(intercept_scaling=math.inf).fit(X + shift, y) for shift in (0, 5))
    np.testing.assert_allclose(shifted.coef_, at.coef_, rtol=0, atol=1e-6)
    best = optimize.minimize(
        stated_minimum,
        theta_of(at),
        (
            X,
            y,
            "squared_hinge",
        ),
        tol=1e-12,
    )
    assert best.x[-1] != pytest.approx(at.intercept_[0], abs=1e-3)  # of a penalised one
    none = HingeClassifier(fit_intercept=False).fit(X, y)
    assert none.intercept_ == 0 and none.intercept_.shape == (1,)


@pytest.mark.parametrize("solver", ["newton", "interior_point", "dual_cd", "lbfgs"])
def test_every_solver_finds_the_same(solver):
    X, y = problem(n_classes=3)
    model = HingeClassifier(solver=solver, tol=1e-9, max_iter=10**5).fit(X, y)
    np.testing.assert_allclose(model.coef_, HingeClassifier().fit(X, y).coef_, rtol=0, atol=1e-3)


def test_the_seed_decides():
    X = np.random.default_rng(0).standard_normal((60, 150))  # columns for dual coordinate descent
    y = np.arange(60) % 2
    fitted = [HingeClassifier(random_state=seed).fit(X, y).coef_ for seed in (3, 3, 4)]
    assert np.array_equal(fitted[0], fitted[1]) and not np.array_equal(fitted[0], fitted[2])
    one, two = HingeClassifier().fit(X, y).coef_, HingeClassifier().fit(X, y).coef_
    assert not np.array_equal(one, two)  # as None means in scikit-learn


# --------------------------------------------------------------------------------------------------
# Many classes
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", hf.SmoothHinge(width=0.5)])
@pytest.mark.parametrize(
    "multi_class, wrapper, pairs",
    [("ovr", OneVsRestClassifier, 4), ("ovo", OneVsOneClassifier, 6)],
)
def test_one_by_one_as_scikit_learn_does_it(multi_class, wrapper, pairs, loss):
    X, y = problem(n=160, n_classes=4)
    model = HingeClassifier(loss, multi_class=multi_class).fit(X, y)
    other = wrapper(HingeClassifier(loss)).fit(X, y)
    assert model.coef_.shape == (pairs, 5) and model.intercept_.shape == (pairs,)
    coef = np.concatenate([one.coef_ for one in other.estimators_])
    np.testing.assert_allclose(model.coef_, coef, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.decision_function(X), other.decision_function(X), rtol=0, atol=1e-4)
    assert np.mean(model.predict(X) != other.predict(X)) < 0.02  # rows between two classes
    assert model.dual_gap_ <= 1e-4 and model.n_iter_ >= 1


def test_weston_watkins():
    X, y = problem(n_classes=3)

    def value(theta):
        W, b = theta[:15].reshape(3, 5), theta[15:]
        scores = X @ W.T + b
        margins = scores[np.arange(len(y)), y][:, None] - scores
        losses = np.maximum(0, 1 - margins) ** 2
        losses[np.arange(len(y)), y] = 0
        return theta @ theta / 2 + 0.1 * losses.sum()

    model = HingeClassifier(C=0.1, multi_class="weston_watkins", tol=1e-8).fit(X, y)
    ours = np.append(model.coef_.ravel(), model.intercept_)
    best = optimize.minimize(value, np.zeros(18), method="BFGS", options={"gtol": 1e-5}).fun
    assert math.isclose(value(ours), best, rel_tol=1e-7)
    assert model.predict(X).tolist() == model.decision_function(X).argmax(axis=1).tolist()


@pytest.mark.parametrize("multi_class", [*MULTI_CLASS, "crammer_singer"])
def test_two_classes_are_one_problem(multi_class):
    X, y = problem()
    model = HingeClassifier("hinge", multi_class=multi_class).fit(X, y)
    assert model.coef_.shape == (1, 5) and model.decision_function(X).shape == (len(y),)
    assert np.array_equal(model.coef_, HingeClassifier("hinge").fit(X, y).coef_)


# --------------------------------------------------------------------------------------------------
# Labels and weights
# --------------------------------------------------------------------------------------------------

LABELS = {
    "strings": ["spam", "ham", "eggs"],
    "bytes": [b"b", b"a", b"c"],
    "negative": [5, -7, 0],
    "bool": [False, True],
    "whole floats": [2.0, -1.0, 0.0],
    "huge": np.array([2**63, 1, 2**64 - 1], np.uint64),
    "objects": np.array(["b", "a", "c"], object),
    "integer objects": np.array([10**30, -1, 0], object),
    "tuples": np.fromiter([(1, 2), (0, 1), (5,)], object, 3),
    "dates": np.array(["2020-01-03", "1999-05-05", "2020-01-02"], "datetime64[D]"),
}


@pytest.mark.parametrize("names", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("multi_class", MULTI_CLASS)
def test_any_labels(names, multi_class):
    names = np.asarray(names)
    X, index = problem(n=90, n_classes=len(names))
    y = names[index]
    model = HingeClassifier(multi_class=multi_class).fit(X, y)
    assert model.classes_.dtype == y.dtype and model.classes_.tolist() == sorted(set(y.tolist()))
    predicted = model.predict(X)
    assert predicted.dtype == y.dtype and np.mean(predicted == y) > 0.5
    ordered = np.argsort(
        np.argsort(names.tolist() if y.dtype != object else model.classes_.searchsorted(names))
    )
    plain = HingeClassifier(multi_class=multi_class).fit(X, ordered[index])
    assert np.array_equal(plain.coef_, model.coef_)


@pytest.mark.parametrize("multi_class", MULTI_CLASS)
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_weights_are_repetition(multi_class, class_weight):
    X, y = problem(n_classes=3)
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    weights[y == 2] //= 2
    model = HingeClassifier(multi_class=multi_class, class_weight=class_weight)
    weighted = clone(model).fit(X, y, weights)
    repeated = clone(model).fit(X.repeat(weights, axis=0), y.repeat(weights))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=0, atol=1e-8)


@pytest.mark.parametrize("multi_class", MULTI_CLASS)
def test_class_weights_are_weights_of_rows(multi_class):
    X, y = problem(n_classes=3)
    names = np.array(["a", "b", "c"])[y]
    model = HingeClassifier(multi_class=multi_class, class_weight={"a": 2, "c": 0.5}).fit(X, names)
    other = HingeClassifier(multi_class=multi_class).fit(X, names, np.array([2, 1, 0.5])[y])
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=0, atol=1e-8)
    counts = np.bincount(y, minlength=3)
    uneven = np.r_[0:90, np.flatnonzero(y == 0), np.flatnonzero(y == 1)]
    counts = np.bincount(y[uneven])
    balanced = HingeClassifier(multi_class=multi_class, class_weight="balanced").fit(X[uneven], y[uneven])
    other.fit(X[uneven], y[uneven], (len(uneven) / (3 * counts))[y[uneven]])
    np.testing.assert_allclose(balanced.coef_, other.coef_, rtol=0, atol=1e-8)


@pytest.mark.parametrize("multi_class", MULTI_CLASS)
def test_a_class_without_weight_is_none(multi_class):
    X, y = problem(n_classes=4)
    model = HingeClassifier(multi_class=multi_class, class_weight={3: 1.5}).fit(X, y, (y != 1) + 0.0)
    other = HingeClassifier(multi_class=multi_class, class_weight={3: 1.5}).fit(X[y != 1], y[y != 1])
    assert model.classes_.tolist() == [0, 2, 3]
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=0, atol=1e-9)
    same = HingeClassifier(multi_class=multi_class, class_weight={1: 0, 3: 1.5}).fit(X, y)
    assert np.array_equal(same.coef_, model.coef_)


def test_weights_of_any_size():
    """Only the product of C and a weight counts."""
    X, y = problem()
    at = HingeClassifier(C=2.0).fit(X, y)
    for scale in (1e-200, 1e-30, 1e30, 1e200):
        model = HingeClassifier(C=2.0 / scale).fit(X, y, np.full(len(y), scale))
        np.testing.assert_allclose(model.coef_, at.coef_, rtol=1e-9)


# --------------------------------------------------------------------------------------------------
# X as it is
# --------------------------------------------------------------------------------------------------


def wide_indices(X):
    """As CSR with int64 indices, which SciPy itself would make smaller."""
    X = sparse.csr_array(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


FORMS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "int64": wide_indices,
}


def memory(X):
    return [X.data, X.indices, X.indptr] if sparse.issparse(X) else [X]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("multi_class", MULTI_CLASS)
def test_x_is_not_copied(monkeypatch, form, dtype, multi_class):
    X, y = problem(n_classes=3, dtype=dtype)
    held, given = [], form(X)

    class Spy(hf.Objective):
        def __init__(self, X, *arguments, **keywords):
            held.append(X)
            super().__init__(X, *arguments, **keywords)

    monkeypatch.setattr(hingefast.sklearn, "Objective", Spy)
    model = HingeClassifier(multi_class=multi_class).fit(given, y)
    assert len(held) == (3 if multi_class == "ovo" else 1)
    for X_held in held:
        for ours, theirs in zip(memory(X_held), memory(given), strict=True):
            assert np.shares_memory(ours, theirs) and ours.dtype == theirs.dtype
    scores = model.decision_function(given)
    assert scores.dtype == (np.float64 if multi_class == "ovo" else dtype)
    assert scores.shape == (len(y), 3)
    reference = HingeClassifier(multi_class=multi_class, tol=1e-8).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(
        model.coef_, reference.coef_, rtol=0, atol=1e-6 if dtype == np.float64 else 0.1
    )


def test_small_integers_are_not_copied(monkeypatch):
    X, y = problem()
    small = np.clip(np.round(X * 10), -128, 127).astype(np.int8)
    held = []
    objective = hf.Objective
    monkeypatch.setattr(
        hingefast.sklearn, "Objective", lambda X, *a, **k: held.append(X) or objective(X, *a, **k)
    )
    model = HingeClassifier(C=1e-3).fit(small, y)
    assert held[0].dtype == np.int8 and np.shares_memory(held[0], small)
    wide = HingeClassifier(C=1e-3).fit(small.astype(float), y)
    np.testing.assert_allclose(model.coef_, wide.coef_, rtol=0, atol=1e-3)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_frames(library, dtype, monkeypatch):
    frames = pytest.importorskip(library)
    X, y = problem(dtype=dtype)
    names = ["age", "height", "weight", "speed", "depth"]
    frame = frames.DataFrame(X, columns=names) if library == "pandas" else frames.DataFrame(X, schema=names)
    held = []
    objective = hf.Objective
    monkeypatch.setattr(
        hingefast.sklearn, "Objective", lambda X, *a, **k: held.append(X) or objective(X, *a, **k)
    )
    labels = frames.Series(["yes" if one else "no" for one in y])
    model = HingeClassifier(random_state=0).fit(frame, labels)
    assert model.n_features_in_ == 5
    assert held[0].dtype == dtype
    if library == "pandas":
        assert np.shares_memory(held[0], np.asarray(frame))
    assert np.array_equal(model.coef_, HingeClassifier(random_state=0).fit(held[0], labels).coef_)
    assert set(model.predict(frame)) == {"yes", "no"}
    if not hasattr(StandardScaler().fit(frame), "feature_names_in_"):
        return  # a polars that this scikit-learn does not know
    assert model.feature_names_in_.tolist() == names
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[names[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_our_own_sparse_matrix():
    X, y = read_svmlight(hf_examples() / "a9a.xz")
    model = HingeClassifier().fit(X, y)
    assert model.score(X, y) > 0.84 and model.dual_gap_ <= 1e-4


def hf_examples():
    from conftest import TESTS

    folder = TESTS.parent / "examples"
    if not (folder / "a9a.xz").exists():
        pytest.skip("no examples beside the tests")
    return folder


# --------------------------------------------------------------------------------------------------
# Among others
# --------------------------------------------------------------------------------------------------


def test_pipelines_searches_and_calibration():
    X, y = problem(n_classes=3)
    pipe = make_pipeline(StandardScaler(), HingeClassifier())
    grid = {"hingeclassifier__C": [0.01, 1], "hingeclassifier__multi_class": list(MULTI_CLASS)}
    search = GridSearchCV(pipe, grid, cv=3).fit(X, y)
    assert search.score(X, y) > 0.7 and len(search.cv_results_["params"]) == 6
    chances = CalibratedClassifierCV(HingeClassifier(), cv=3).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert np.mean(chances.argmax(axis=1) == y) > 0.7


def test_other_processes():
    X, y = problem(n_classes=3)
    scores = cross_val_score(HingeClassifier("hinge", random_state=0), X, y, cv=4, n_jobs=2)
    assert np.array_equal(scores, cross_val_score(HingeClassifier("hinge", random_state=0), X, y, cv=4))


@pytest.mark.parametrize("loss", ["hinge", hf.SmoothHinge(width=0.5), hf.GaussianHinge(sigma=2.0)])
def test_clones_and_pickles(loss):
    X, y = problem()
    model = HingeClassifier(loss, warm_start=True).fit(X, y)
    other = pickle.loads(pickle.dumps(model))
    assert np.array_equal(other.decision_function(X), model.decision_function(X))
    fresh = clone(model)
    assert fresh.get_params() == model.get_params() and not hasattr(fresh, "coef_")
    cold = pickle.dumps(HingeClassifier(loss).fit(X, y))
    assert len(cold) < len(pickle.dumps(model)) - 8 * len(y) * (loss == "hinge")  # no dual variables kept


def test_metadata_routing():
    X, y = problem()
    weights = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    halves = [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(60))]
    with sklearn.config_context(enable_metadata_routing=True):
        model = HingeClassifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        found = cross_validate(
            model, X, y, cv=halves, params={"sample_weight": weights}, return_estimator=True
        )["estimator"]
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        pipe.fit(X, y, sample_weight=weights)
    for (train, _), one in zip(halves, found, strict=True):
        direct = HingeClassifier().fit(X[train], y[train], weights[train])
        assert np.array_equal(one.coef_, direct.coef_)
        assert not np.allclose(one.coef_, HingeClassifier().fit(X[train], y[train]).coef_)
    scaled = StandardScaler().fit_transform(X)
    assert np.array_equal(pipe[-1].coef_, HingeClassifier().fit(scaled, y, weights).coef_)


# --------------------------------------------------------------------------------------------------
# How far it came
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("multi_class", ["ovr", "ovo"])
@pytest.mark.parametrize("solver", ["newton", "interior_point", "dual_cd"])
def test_not_converged(multi_class, solver):
    X, y = problem(n_classes=3)
    model = HingeClassifier(C=100, multi_class=multi_class, solver=solver, max_iter=2)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert model.dual_gap_ > 1e-4 and model.n_iter_ == 2
    text = str(caught[0].message)
    assert "HingeClassifier did not converge: the relative duality gap is" in text
    assert f"tol=0.0001, after 2 iterations of '{solver}'; raise max_iter" in text


def test_rounding_ends_it(monkeypatch):
    """More iterations would be no help then."""
    X, y = problem()

    def stuck(*arguments, **options):
        result = hf.minimize(*arguments, **options)
        return dataclasses.replace(result, gap=0.25, success=False, status=3)

    monkeypatch.setattr(hingefast.sklearn, "minimize", stuck)
    with pytest.warns(
        ConvergenceWarning, match=r"gap is 0\.25, tol=0\.0001, after \d+ .* it gets no further"
    ):
        HingeClassifier().fit(X, y)


@pytest.mark.parametrize("multi_class", MULTI_CLASS)
@pytest.mark.parametrize("solver", ["auto", "dual_cd"])
def test_warm_start(multi_class, solver):
    if solver == "dual_cd" and multi_class == "weston_watkins":
        pytest.skip("not for this loss")
    X, y = problem(n=300, n_classes=3)
    options = {
        "multi_class": multi_class,
        "solver": solver,
        "random_state": 0,
        "tol": 1e-6,
        "max_iter": 10**4,
    }
    model = HingeClassifier(warm_start=True, **options).fit(X, y)
    first = model.n_iter_
    assert np.array_equal(model.coef_, HingeClassifier(**options).fit(X, y).coef_)
    again = model.fit(X, y).n_iter_
    assert again < first
    model.set_params(C=1.1).fit(X, y)
    cold = HingeClassifier(C=1.1, **options).fit(X, y)
    np.testing.assert_allclose(model.coef_, cold.coef_, rtol=0, atol=0.02)
    for rows in (np.arange(200), np.flatnonzero(y < 2)):  # other rows, other classes
        model.fit(X[rows], y[rows])
        np.testing.assert_allclose(model.coef_, clone(cold).fit(X[rows], y[rows]).coef_, rtol=0, atol=0.02)
    model.fit(X[:, :3], y)  # other features
    np.testing.assert_allclose(model.coef_, clone(cold).fit(X[:, :3], y).coef_, rtol=0, atol=0.02)


# --------------------------------------------------------------------------------------------------
# Errors
# --------------------------------------------------------------------------------------------------

WRONG = [
    ({"C": 0}, ValueError, r"^C is 0.0, must be finite and > 0"),
    ({"C": math.inf}, ValueError, r"^C is inf, must be finite"),
    ({"C": "1"}, TypeError, r"^C has dtype"),
    (
        {"C": 1e-320},
        ValueError,
        r"^C times the sum of the weights is \S+e-321 \* 120, must be finite and have a",
    ),
    ({"loss": "hing"}, ValueError, r"^loss is 'hing', must be one of hinge, "),
    ({"loss": "crammer_singer"}, ValueError, r"^loss is 'crammer_singer', must be one of hinge, "),
    ({"loss": hf.OneVsRest()}, TypeError, r"^loss must be a margin loss or its name, got OneVsRest"),
    ({"loss": "hinge", "solver": "lbfgs"}, ValueError, r"^method 'lbfgs' needs a loss with a second"),
    (
        {"multi_class": "all"},
        ValueError,
        r"^multi_class is 'all', must be one of ovr, crammer_singer, weston",
    ),
    ({"multi_class": None}, TypeError, r"^multi_class must be a name, got NoneType"),
    ({"solver": "liblinear"}, ValueError, r"^solver is 'liblinear', must be one of auto, dual_cd, "),
    ({"intercept_scaling": 0}, ValueError, r"^intercept_scaling is 0.0, must be > 0 and not tiny; inf is"),
    ({"intercept_scaling": 1e-200}, ValueError, r"^intercept_scaling is 1e-200, must be > 0 and not tiny"),
    ({"intercept_scaling": math.nan}, ValueError, r"^intercept_scaling is nan"),
    ({"fit_intercept": 1}, TypeError, r"^fit_intercept must be a bool"),
    ({"warm_start": "no"}, TypeError, r"^warm_start must be a bool"),
    (
        {"class_weight": "balance"},
        ValueError,
        r"^class_weight is 'balance', must be a dict, 'balanced' or None",
    ),
    ({"class_weight": [1, 2]}, TypeError, r"^class_weight must be a dict, 'balanced' or None, got list"),
    ({"class_weight": {7: 1}}, ValueError, r"not in class_weight"),
    ({"class_weight": {0: -1}}, ValueError, r"^class_weight\[.*0.*\] is -1.0, must be finite and >= 0"),
    ({"tol": -1}, ValueError, r"^tol is -1.0, must be finite and >= 0"),
    ({"max_iter": 1.5}, TypeError, r"^max_iter must be an integer"),
    ({"n_threads": 0}, ValueError, r"^n_threads is 0"),
    ({"random_state": "a"}, ValueError, r"cannot be used to seed"),
]


@pytest.mark.parametrize("parameters, kind, text", WRONG)
def test_wrong_parameters(parameters, kind, text):
    X, y = problem()
    with pytest.raises(kind, match=text):
        HingeClassifier(**parameters).fit(X, y)


def test_a_loss_that_nothing_minimises():
    X, y = problem(n_classes=3)
    with pytest.raises(ValueError, match=r"^no method minimises WestonWatkins.*weston_watkins:smooth_hinge"):
        HingeClassifier("hinge", multi_class="weston_watkins").fit(X, y)


def test_wrong_data():
    """In scikit-learn's words."""
    X, y = problem()
    bad = X.copy()
    bad[3, 1] = np.nan
    fit = HingeClassifier().fit
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fit(bad, y)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fit(bad, y, np.arange(len(y)) != 3)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fit(sparse.csr_array(bad), y)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        fit(X, np.where(y == 0, np.nan, y))
    with pytest.raises(ValueError, match=r"at least 2 classes in the data, .* only one class: 0$"):
        fit(X, np.zeros(len(y), int))
    with pytest.raises(ValueError, match=r"at least 2 classes in the data, .* only one class: 'b'$"):
        fit(X, np.array(["a", "b"])[y], y)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        fit(X, y + 0.5)
    with pytest.raises(ValueError, match="at least one non-zero"):
        fit(X, y, np.zeros(len(y)))
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        fit(X, y, np.linspace(-1, 1, len(y)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(X, y[:-1])
    with pytest.raises(TypeError, match="y must hold labels of one kind"):
        fit(X, np.array([0, "a"], object)[y])
    with pytest.raises(NotFittedError):
        HingeClassifier().predict(X)
    with pytest.raises(ValueError, match="X has 4 features, but HingeClassifier is expecting 5"):
        fit(X, y).predict(X[:, :4])
    broken = sparse.csr_array(X)
    broken.indices[7] = 5
    with pytest.raises(hf.InvalidCSRError, match=r"X.indices\[7\] \(row 1\) is 5, must be in \[0, 5\)"):
        fit(broken, y)


def test_one_column_of_labels():
    X, y = problem()
    with pytest.warns(sklearn.exceptions.DataConversionWarning):
        model = HingeClassifier().fit(X, y[:, np.newaxis])
    assert np.array_equal(model.coef_, HingeClassifier().fit(X, y).coef_)


@pytest.mark.parametrize(
    "code", ["sys.modules['sklearn'] = None", "sys.modules['sklearn.utils.multiclass'] = None"]
)
def test_without_scikit_learn(code):
    done = run_python(f"import sys; {code}; import hingefast; import hingefast.sklearn", check=False)
    text = done.stderr.decode().splitlines()[-1]
    assert text.startswith("ImportError: hingefast.sklearn needs scikit-learn 1.6 or later (")
    assert text.endswith('): pip install "hingefast[sklearn]"')


def test_the_library_does_not_import_it():
    code = "import sys, hingefast; print('sklearn' in sys.modules or 'scipy' in sys.modules)"
    assert run_python(code).stdout == b"False\n"


def test_inputs_are_untouched_and_nothing_warns():
    X, y = problem(n_classes=3)
    weights = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    before = X.copy(), y.copy(), weights.copy()
    for array in (X, y, weights):
        array.flags.writeable = False
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        for multi_class in MULTI_CLASS:
            HingeClassifier(multi_class=multi_class).fit(X, y, weights).predict(X)
    for array, was in zip((X, y, weights), before, strict=True):
        assert np.array_equal(array, was)
