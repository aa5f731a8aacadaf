"""Promise: with K classes too, `rows=` gives the bits of the same call on X[rows], y[rows], sample_weight[rows], and
reads no other row.
"""

import numpy as np
import pytest
from conftest import bits, raises
from linear_cases import as_csr, csr_parts, namespace
from multiclass_cases import problem, random_csr

import hingefast as hf

N_ROWS, N_FEATURES, N_CLASSES = 150, 21, 6
SLICES = [
    slice(None),
    slice(10, 90),
    slice(None, None, 3),
    slice(140, 3, -7),
    slice(None, None, -1),
    slice(-20, None),
    slice(5, 10_000),
    slice(0, 1),
    slice(-1, -152, -2),
]
_RNG = np.random.default_rng(0)
ARRAYS = [
    np.array([3]),
    np.arange(N_ROWS)[::-1],
    _RNG.permutation(N_ROWS).astype(np.int32),
    _RNG.integers(0, N_ROWS, 400),
    np.repeat([5, 5, 9], 40),
    np.sort(_RNG.choice(N_ROWS, 64, replace=False)).astype(np.uint8),
    [0, N_ROWS - 1],
]
ROWS = SLICES + ARRAYS
ROW_IDS = [str(r) for r in SLICES] + [f"array{i}" for i in range(len(ARRAYS))]
every_rows = pytest.mark.parametrize("rows", ROWS, ids=ROW_IDS)
LAYOUTS = {
    "dense": lambda X: X,
    "fortran": np.asfortranarray,
    "step": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "big endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "csr": as_csr,
    "csr_matrix": lambda X: as_csr(X, "csr_matrix", np.int32, np.int64),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@pytest.fixture(scope="module", params=[np.float32, np.float64], ids=["f32", "f64"])
def case(request):
    return problem(N_ROWS, N_FEATURES, N_CLASSES, request.param, seed=21, density=0.6)


@every_rows
@every_layout
def test_rows_have_the_bits_of_the_part(case, layout, rows):
    X = LAYOUTS[layout](case.X)
    part = LAYOUTS["csr" if layout == "csr_matrix" else layout](np.ascontiguousarray(case.X[rows]))
    scores = hf.decision_function(X, case.coef, case.intercept, rows=rows)
    assert bits(scores) == bits(hf.decision_function(part, case.coef, case.intercept))
    by_class = np.linspace(0.5, 2, N_CLASSES)
    for loss in ("crammer_singer", "weston_watkins:logistic"):
        for weights in (None, case.weights):
            for reduction in ("mean", "sum"):
                keywords = {"loss": loss, "reduction": reduction, "alpha": 0.5, "class_weight": by_class}
                whole = hf.linear_value_and_grad(
                    X, case.y, case.coef, case.intercept, rows=rows, sample_weight=weights, **keywords
                )
                of_part = hf.linear_value_and_grad(
                    part,
                    case.y[rows],
                    case.coef,
                    case.intercept,
                    sample_weight=None if weights is None else weights[rows],
                    **keywords,
                )
                assert bits(whole) == bits(of_part)


@every_rows
@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_objective_with_rows(case, layout, rows):
    X, part = LAYOUTS[layout](case.X), LAYOUTS[layout](np.ascontiguousarray(case.X[rows]))
    keywords = {"loss": "crammer_singer:squared_hinge", "alpha": 0.1, "classes": N_CLASSES}
    objective = hf.Objective(X, case.y, sample_weight=case.weights, **keywords)
    of_part = hf.Objective(part, case.y[rows], sample_weight=case.weights[rows], **keywords)
    theta = objective.pack(case.coef, case.intercept)
    want = of_part.value_and_grad(theta)
    assert bits(objective.value_and_grad(theta, rows=rows)) == bits(want)
    assert bits(objective.value(theta, rows=rows), objective.grad(theta, rows=rows)) == bits(want)
    assert bits(objective.decision_function(theta, rows=rows)) == bits(of_part.decision_function(theta))
    one, other = theta.copy(), theta.copy()
    assert objective.step(one, 0.25, rows=rows) == of_part.step(other, 0.25) == want[0]
    assert bits(one) == bits(other)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_rows_of_large_data(n_threads):
    X, y, coef, intercept = random_csr(12_000, 1_000, 40, 5, seed=22)
    rng = np.random.default_rng(1)
    for rows in (slice(None, None, 2), slice(11_000, 50, -1), rng.integers(0, 12_000, 9_000)):
        picked = np.arange(12_000)[rows]
        part = namespace(
            np.arange(picked.size + 1) * 40,
            X.indices.reshape(-1, 40)[picked].ravel(),
            X.data.reshape(-1, 40)[picked].ravel(),
            (picked.size, 1_000),
        )
        want = hf.linear_value_and_grad(part, y[picked], coef, intercept, loss="crammer_singer")
        got = hf.linear_value_and_grad(
            X, y, coef, intercept, loss="crammer_singer", rows=rows, n_threads=n_threads
        )
        assert bits(got) == bits(want)


def test_only_the_named_rows_are_read(case):
    """Labels, weights, features and CSR entries of other rows may hold anything."""
    rows = np.array([3, 77, 140, 3])
    others = np.setdiff1d(np.arange(N_ROWS), rows)
    y, weights, X = case.y.copy(), case.weights.copy(), case.X.copy()
    y[others], weights[others], X[others] = 77, -1.0, np.nan
    indptr, indices, data = csr_parts(case.X)
    keep = np.isin(np.repeat(np.arange(N_ROWS), np.diff(indptr)), rows)
    broken = namespace(indptr, np.where(keep, indices, -5).astype(np.int32), data, X.shape)
    for good, bad in ((case.X, X), (as_csr(case.X), broken)):
        want = hf.linear_value_and_grad(
            good,
            case.y,
            case.coef,
            case.intercept,
            loss="weston_watkins",
            rows=rows,
            sample_weight=case.weights,
        )
        got = hf.linear_value_and_grad(
            bad, y, case.coef, case.intercept, loss="weston_watkins", rows=rows, sample_weight=weights
        )
        assert bits(got) == bits(want)


def test_no_rows_at_all(case):
    for rows in (slice(0, 0), np.zeros(0, dtype=int), []):
        for X in (case.X, as_csr(case.X)):
            value, grad, grad_intercept = hf.linear_value_and_grad(
                X, case.y, case.coef, case.intercept, loss="crammer_singer", rows=rows, reduction="sum"
            )
            assert value == 0 and not grad.any() and not grad_intercept.any()
            with raises(ValueError):
                hf.linear_value_and_grad(
                    X, case.y, case.coef, case.intercept, loss="crammer_singer", rows=rows
                )
            scores = hf.decision_function(X, case.coef, case.intercept, rows=rows)
            assert scores.shape == (0, N_CLASSES)


@pytest.mark.parametrize("bad", [-1, N_ROWS, 2**31, -(2**63)])
def test_rows_outside(case, bad):
    rows = np.array([0, 5, bad, 7, bad])
    for X in (case.X, as_csr(case.X)):
        for n_threads in (1, 2):
            with raises(ValueError, f"rows[2] is {bad}"):
                hf.linear_value_and_grad(
                    X, case.y, case.coef, loss="crammer_singer", rows=rows, n_threads=n_threads
                )
            with raises(ValueError, f"rows[2] is {bad}"):
                hf.decision_function(X, case.coef, rows=rows, n_threads=n_threads)


def test_rows_of_the_wrong_kind(case):
    mask = np.ones(N_ROWS, dtype=bool)
    with raises(TypeError, "rows", "np.flatnonzero"):
        hf.linear_value_and_grad(case.X, case.y, case.coef, loss="crammer_singer", rows=mask)
    for bad in (np.array([0.0, 1.0]), "rows", np.zeros((2, 2), dtype=int)):
        with raises((TypeError, ValueError), "rows"):
            hf.linear_value_and_grad(case.X, case.y, case.coef, loss="crammer_singer", rows=bad)


def test_a_few_rows_cost_a_few_rows():
    X = np.broadcast_to(np.arange(8.0), (2**40, 8))
    coef = np.arange(24.0).reshape(3, 8)
    rows = np.array([0, 2**40 - 1, 2**39])
    np.testing.assert_array_equal(hf.decision_function(X, coef, rows=rows), [coef @ np.arange(8.0)] * 3)
