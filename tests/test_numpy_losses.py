"""Promise: the NumPy twin of the losses, and the pass that ``hingefast eval --compare`` makes of it, are right; the
tolerance between it and another correct pass holds, and lets nothing else through.
"""

import sys

import multiclass_reference
import numpy as np
import pytest
import reference

import hingefast as hf
from hingefast.cli import compare
from hingefast.cli.compare import Answer, NumpyPass, agree, tolerance
from hingefast.cli.numpy_losses import ARRANGEMENTS, NUMPY_LOSSES, Binary, numpy_loss
from hingefast.io.csr import CSR
from hingefast.losses import MARGIN_LOSSES

KINDS = {"crammer_singer": "CrammerSinger", "weston_watkins": "WestonWatkins", "one_vs_rest": "OneVsRest"}

every_arrangement = pytest.mark.parametrize("kind", ARRANGEMENTS)
every_base = pytest.mark.parametrize("base", NUMPY_LOSSES)
every_class_count = pytest.mark.parametrize("n_classes", [2, 3, 7])


def made(kind, base):
    """The arrangement with its loss's default parameters; "binary" is one too."""
    return {"binary": Binary, **ARRANGEMENTS}[kind](base, reference.DEFAULTS[base])


def rows_with_ties(n_classes, n_rows=60):
    """Classes and scores: grid points, so that ties and kinks are many, and some that are none."""
    rng = np.random.default_rng(n_classes)
    scores = rng.integers(-6, 7, (n_rows, n_classes)) / 2
    scores[: n_rows // 3] += rng.uniform(-0.1, 0.1, (n_rows // 3, n_classes))
    y = np.arange(n_rows) % n_classes
    own = scores[np.arange(n_rows), y]
    assert (own == scores.max(axis=1)).any() and (own < scores.max(axis=1)).any()
    assert n_classes == 2 or any(np.sum(row == row.max()) > 1 for row in scores)
    return y, scores


def without_scipy(monkeypatch):
    for name in ("scipy", "scipy.sparse", "scipy.special"):
        monkeypatch.setitem(sys.modules, name, None)


def csr(dense):
    """Compressed sparse rows of a matrix."""
    rows, columns = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(dense)))])
    return CSR(indptr, columns, dense[rows, columns], dense.shape)


def problem(kind, n_classes=4, n_rows=300, dtype=np.float64):
    """X (a third of it stored), y, coef and intercept of the shapes that the arrangement wants."""
    rng = np.random.default_rng(7)
    X = np.where(rng.random((n_rows, 20)) < 0.3, rng.standard_normal((n_rows, 20)), 0).astype(dtype)
    X[[5, n_rows - 1]] = 0
    if kind == "binary":
        return X, np.where(rng.random(n_rows) < 0.4, 1, -1), rng.standard_normal(20), 0.25
    y = rng.integers(0, n_classes, n_rows)
    assert len(set(y)) == n_classes
    return X, y, rng.standard_normal((n_classes, 20)), rng.standard_normal(n_classes)


# ---- formulas


@every_base
@pytest.mark.parametrize("number", [1.0, 0.25, 3.0])
def test_formulas_are_those_of_the_literature(base, number, monkeypatch):
    params = dict.fromkeys(reference.DEFAULTS[base], number)
    if "kink_slope" in params:
        params["kink_slope"] = -0.5
    margins = np.concatenate(
        [np.linspace(-6, 12, 73), params.get("margin", 0) + np.array([0.0, -1e-9, 1e-9, -1e3, 20.0])]
    )
    for remove_scipy in (False, True):
        if remove_scipy:
            without_scipy(monkeypatch)
        values, slopes = NUMPY_LOSSES[base](margins, **params)
        for m, value, slope in zip(margins.tolist(), values.tolist(), slopes.tolist(), strict=True):
            # Relative, except that u = margin - m rounds: u*u and exp(-u*u/2) carry (1 + u*u) eps, and smooth
            # losses of a small width carry that divided by the width.
            u = (abs(m) + number) / min(number, 1.0)
            allowed = 16 * np.finfo(float).eps * (1 + u * u)
            assert value == pytest.approx(float(reference.phi_mp(base, params, m)), rel=allowed, abs=1e-300)
            assert slope == pytest.approx(float(reference.slope_mp(base, params, m)), rel=allowed, abs=1e-300)


@every_base
def test_formulas_do_not_overflow_and_keep_float32(base):
    params = reference.DEFAULTS[base]
    values, slopes = NUMPY_LOSSES[base](np.array([-1e4, 1e4, 0.0], np.float32), **params)
    assert values.dtype == slopes.dtype == np.float32
    assert np.isfinite(values).all() and np.isfinite(slopes).all()
    assert values[1] == pytest.approx(0, abs=1e-4) and slopes[1] == pytest.approx(0, abs=1e-4)


@every_arrangement
@every_base
@every_class_count
def test_formulas_are_those_of_the_definitions(kind, base, n_classes):
    y, scores = rows_with_ties(n_classes)
    what = multiclass_reference.Definition(KINDS[kind], base, reference.DEFAULTS[base])
    values, slopes = made(kind, base).evaluate(y, scores)
    for c, s, value, slope in zip(y, scores, values, slopes, strict=True):
        expected, expected_slopes = multiclass_reference.row(what, c, s)
        # Scores are below 4, u below 10: (1 + u u) eps each, as for the losses of one margin, for each class.
        allowed = 16 * np.finfo(float).eps * 100 * n_classes
        assert value == pytest.approx(expected, rel=allowed, abs=1e-300)
        assert slope == pytest.approx(np.array(expected_slopes), rel=allowed, abs=1e-15)


@every_arrangement
@every_base
def test_float32_stays_float32_and_inputs_stay_as_they_are(kind, base):
    y, scores = rows_with_ties(3)
    scores = scores.astype(np.float32)
    before = scores.copy()
    values, slopes = made(kind, base).evaluate(y, scores)
    assert values.dtype == slopes.dtype == np.float32
    assert values.shape == y.shape and slopes.shape == scores.shape and np.array_equal(scores, before)


@every_arrangement
@every_base
def test_nan_in_any_class_is_nan(kind, base):
    y, scores = rows_with_ties(3)
    scores[np.arange(60), np.arange(60) // 20] = np.nan  # each class at rows of each class
    values, slopes = made(kind, base).evaluate(y, scores)
    assert np.isnan(values).all() and np.isnan(slopes[np.isnan(scores)]).all()


# ---- the tolerance


def inside(one, other, allowed):
    """A difference within what is allowed, but for its own rounding."""
    return (np.abs(one - other) <= allowed * (1 + 1e-9) + 1e-15).all()


@pytest.mark.parametrize("kind", ["binary", *ARRANGEMENTS])
@every_base
@pytest.mark.parametrize("size", [1e-12, 1e-6, 0.05, 0.6])
def test_bounds_hold_for_any_scores_within_the_errors(kind, base, size):
    rng = np.random.default_rng(3)
    y, scores = rows_with_ties(4, n_rows=200)
    if kind == "binary":
        y, scores = np.where(y > 1, 1, -1), scores[:, 0]
    arrangement = made(kind, base)
    errors = size * rng.random(scores.shape)
    bounds = arrangement.bounds(y, scores, errors, np.finfo(float).eps)
    # Corners of the intervals, where the extremes are.
    answers = [
        arrangement.evaluate(y, scores + errors * rng.choice([-1, 0, 1], scores.shape)) for _ in range(40)
    ]
    moved = False
    for values, slopes in answers[1:]:
        assert inside(values, answers[0][0], bounds.value_errors)
        assert inside(slopes, answers[0][1], bounds.slope_errors)
        assert (np.abs(slopes) <= bounds.slopes * (1 + 1e-9) + 1e-15).all()
        moved = moved or not np.array_equal(slopes, answers[0][1])
    assert moved or base == "perceptron" or size < 1e-6


@every_arrangement
@every_base
def test_bounds_are_narrow_where_nothing_is_in_doubt(kind, base):
    rng = np.random.default_rng(4)
    y, scores = rng.integers(0, 4, 100), rng.uniform(-3, 3, (100, 4))
    eps = np.finfo(float).eps
    bounds = made(kind, base).bounds(y, scores, np.zeros_like(scores), eps)
    assert (bounds.value_errors <= 500 * eps * (1 + bounds.values)).all()
    assert (bounds.slope_errors <= 500 * eps * (1 + bounds.slopes)).all()


def test_a_rival_in_doubt_allows_its_whole_slope_and_no_other():
    scores = np.array([[0.0, 1.0, 1.0 + 1e-9, -3.0]])
    bounds = made("crammer_singer", "squared_hinge").bounds(
        np.array([0]), scores, np.full((1, 4), 1e-8), 1e-16
    )
    assert bounds.slope_errors[0, 1:3] == pytest.approx(4, rel=1e-6)  # slope -2 (1 - (0 - 1))
    assert bounds.slope_errors[0, 0] < 1e-6 and bounds.slope_errors[0, 3] == 0
    sure = made("crammer_singer", "squared_hinge").bounds(
        np.array([0]), scores, np.full((1, 4), 1e-11), 1e-16
    )
    assert sure.slope_errors[0, 2] < 1e-6 and sure.slope_errors[0, 1] == 0
    # Large scores round by less than their difference to the true one; it is that which counts.
    scores = 1e8 - np.array([[0, 0.5, 0.5 + 6e-8]])
    far_off = made("crammer_singer", "squared_hinge").bounds(
        np.array([0]), scores, np.zeros((1, 3)), 2.0**-52
    )
    assert far_off.slope_errors.max() < 1e-6


def test_the_value_may_differ_by_the_errors_of_two_scores_in_two_programs():
    scores, errors = np.array([[0.25, 0.0, -3.0]]), np.array([[1e-3, 2e-3, 4e-3]])
    bounds = made("crammer_singer", "hinge").bounds(np.array([0]), scores, errors, 2.0**-52)
    assert bounds.values == pytest.approx([1 - 0.25 + 3e-3])
    assert bounds.value_errors == pytest.approx([2 * 3e-3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["binary", *ARRANGEMENTS])
def test_a_row_more_is_noticed(kind, dtype):
    """The tolerance is far below the part of a single row."""
    X, y, coef, intercept = problem(kind, dtype=dtype)
    arrangement = made(kind, "hinge")
    whole = NumpyPass(X, y, arrangement, np.size(intercept))(coef, intercept)
    _, slopes = arrangement.evaluate(y, X @ coef.T + intercept)
    active = np.flatnonzero(slopes.reshape(len(y), -1).any(axis=1) & X.any(axis=1))
    kept = np.delete(np.arange(len(y)), active[0])
    X_less, y_less = X[kept], y[kept]
    less = NumpyPass(X_less, y_less, arrangement, np.size(intercept))(coef, intercept)
    scaled = Answer(*(part * (len(kept) / len(y)) for part in less))
    allowed = tolerance(X, y, coef, intercept, arrangement)
    assert agree(whole, whole, allowed) and not agree(whole, scaled, allowed)


# ---- the pass


def test_products_survive_empty_rows_and_columns(monkeypatch):
    full = np.zeros((6, 6))
    full[1, 1], full[4, [0, 1, 4]] = 3, [1, 2, 4]
    coef, slopes = np.arange(1.0, 7.0), np.arange(2.0, 8.0)
    pytest.importorskip("scipy")
    for library in ("SciPy", "NumPy"):
        if library == "NumPy":
            without_scipy(monkeypatch)
        products, name = compare._products(csr(full))
        assert name == library
        assert products.scores(coef).tolist() == (full @ coef).tolist()
        assert products.gradient(slopes).tolist() == (full.T @ slopes).tolist()


@pytest.mark.parametrize("base", ["hinge", "logistic"])
@pytest.mark.parametrize("kind", ["binary", *ARRANGEMENTS])
def test_layouts_libraries_and_blocks_agree(kind, base, monkeypatch):
    X, y, coef, intercept = problem(kind)
    arrangement = made(kind, base)
    n_columns = np.size(intercept)
    expected = NumpyPass(X, y, arrangement, n_columns, 0.1)
    assert expected.library == "NumPy"
    expected = expected(coef, intercept)
    allowed = tolerance(X, y, coef, intercept, arrangement, 0.1)
    # The bounds of a sparse matrix are narrower: its rows and columns hold fewer numbers.
    sparse = tolerance(csr(X), y, coef, intercept, arrangement, 0.1)
    assert sparse.value <= allowed.value and (sparse.grad_coef <= allowed.grad_coef).all()
    assert 0 < allowed.value < 1e-9 and 0 < np.max(allowed.grad_coef) < 1e-9

    assert np.shape(expected.grad_intercept) == np.shape(intercept)
    pytest.importorskip("scipy")
    for library in ("SciPy", "NumPy"):
        if library == "NumPy":
            without_scipy(monkeypatch)
        for block in (2**20, 64, 1):
            monkeypatch.setattr(compare, "BLOCK_NUMBERS", block)
            other = NumpyPass(csr(X), y, arrangement, n_columns, 0.1)
            assert other.library == library
            assert agree(expected, other(coef, intercept), allowed)
            assert agree(expected, NumpyPass(X, y, arrangement, n_columns, 0.1)(coef, intercept), allowed)
            # Differences of nearly equal numbers: two programs have few digits of them in common.
            again = tolerance(csr(X), y, coef, intercept, arrangement, 0.1)
            assert again.value == pytest.approx(sparse.value, rel=0.02)
            np.testing.assert_allclose(again.grad_coef, sparse.grad_coef, rtol=0.02)
            np.testing.assert_allclose(again.grad_intercept, sparse.grad_intercept, rtol=0.02)


@every_arrangement
def test_the_gradient_is_the_derivative_of_the_value(kind):
    X, y, coef, intercept = problem(kind)
    one = NumpyPass(X, y, made(kind, "logistic"), 4, 0.1)
    _, grad, grad_intercept = one(coef, intercept)
    step = 1e-6
    for k, j in ((0, 0), (3, 19), (1, 7)):
        moved = coef.copy()
        moved[k, j] += step
        back = coef.copy()
        back[k, j] -= step
        slope = (one(moved, intercept).value - one(back, intercept).value) / (2 * step)
        # Central differences: rounding eps/step and step^2 times a third derivative of order 1.
        assert slope == pytest.approx(grad[k, j], abs=1e-8)
    up, down = intercept + step * np.eye(4)[2], intercept - step * np.eye(4)[2]
    slope = (one(coef, up).value - one(coef, down).value) / (2 * step)
    assert slope == pytest.approx(grad_intercept[2], abs=1e-8)


@pytest.mark.parametrize("n_rows, width, blocks", [(10, 3, 1), (0, 3, 0), (2**20, 2, 2), (3, 2**21, 3)])
def test_row_blocks_cover_the_rows(n_rows, width, blocks):
    cut = list(compare.row_blocks(n_rows, width))
    assert len(cut) == blocks
    assert [i for rows in cut for i in range(rows.start, rows.stop)] == list(range(n_rows))


def test_passes_agree_in_all_they_have():
    def result(value, grad, grad_intercept):
        return Answer(value, np.array(grad), grad_intercept)

    nothing = result(0.0, [0.0, 0.0], 0.0)
    endless = result(np.inf, [1.0, np.inf], 0.0)
    with np.errstate(invalid="ignore"):
        assert agree(endless, endless, result(np.inf, [0.0, np.nan], 0.0))
    one = result(1.0, [1.0, 2.0], 3.0)
    assert agree(one, one, nothing)
    for other in (result(2.0, [1.0, 2.0], 3.0), result(1.0, [1.0, 9.0], 3.0), result(1.0, [1.0, 2.0], 5.0)):
        assert not agree(one, other, nothing)


def test_every_loss_has_its_twin():
    for name in [*MARGIN_LOSSES, *(f"{kind}:{base}" for kind in ARRANGEMENTS for base in MARGIN_LOSSES)]:
        loss = hf.get_loss(name)
        y, scores = rows_with_ties(3)
        if ":" not in name:
            y, scores = np.where(y > 1, 1, -1), scores[:, 0]
        values, slopes = numpy_loss(loss).evaluate(y, scores)
        np.testing.assert_allclose(values, loss.value(y, scores, reduction="none"), rtol=1e-12)
        np.testing.assert_allclose(slopes, loss.grad(y, scores, reduction="none"), rtol=1e-12, atol=1e-15)
