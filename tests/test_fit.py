"""`minimize`: it finds the minimum, proves it, and every method finds the same."""

import functools
import itertools
import math
import os
import pickle
import time
from fractions import Fraction

import numpy as np
import pytest
from conftest import LEVELS, run_at_level
from hingefast._kernels.dual import Descent
from hingefast._kernels.rows import Line
from scipy import sparse

import hingefast as hf
from hingefast import _threads
from hingefast.checks.explain import explained
from hingefast.solvers.dual import DualBox
from hingefast.solvers.linear_problem import LinearProblem

BOXES = ("hinge", "squared_hinge", "smooth_hinge", "modified_huber", "huberized_hinge", "huber_margin")
SMOOTH = (
    "squared_hinge",
    "smooth_hinge",
    "modified_huber",
    "psi_g",
    "psi_m",
    "logistic",
    "softplus",
    "safe_logistic",
)
METHODS = {
    "dual_cd": BOXES,
    "interior_point": BOXES,
    "newton": (*SMOOTH, "hinge"),
    "lbfgs": SMOOTH,
}
PAIRS = [(method, loss) for method, losses in METHODS.items() for loss in losses]
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "tile": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "CSR": sparse.csr_array,
}
INTERCEPTS = {
    "penalised": {"penalize_intercept": True},
    "free": {},
    "none": {"fit_intercept": False},
    "a tenth": {"penalize_intercept": 0.1},
}

over_methods = pytest.mark.parametrize("method", METHODS)
over_pairs = pytest.mark.parametrize("method, loss", PAIRS)
over_layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
over_intercepts = pytest.mark.parametrize("intercept", INTERCEPTS.values(), ids=INTERCEPTS.keys())


def data(n=300, d=8, seed=0):
    """Two classes that overlap, off the origin."""
    rng = np.random.default_rng([n, d, seed])
    X = rng.normal(size=(n, d)) + 0.3
    y = np.where(X @ rng.normal(size=d) + rng.normal(size=n) > 0.5, 1.0, -1.0)
    assert {-1.0, 1.0} == set(y)
    return X, y


def is_proved(method, intercept):
    """Whether there is a certificate: of all but L-BFGS also for an intercept without a penalty."""
    return method != "lbfgs" or intercept != INTERCEPTS["free"]


@over_intercepts
@over_pairs
def test_the_gap_is_a_proof(method, loss, intercept):
    """The value is that of the objective, and no point that another method finds is below the bound."""
    X, y = data()
    objective = hf.Objective(X, y, loss=loss, alpha=0.01, **intercept)
    result = hf.minimize(objective, method=method, tol=1e-8)
    assert result.method == method and result.x.dtype == np.float64 and result.x.shape == (objective.size,)
    assert math.isclose(result.fun, objective.value(result.x), rel_tol=1e-12)
    if not is_proved(method, intercept):
        assert math.isnan(result.gap) and "penalize_intercept=True" in result.message
        tolerance = 1e-6
    else:
        assert result.success and result.status == 0 and 0 <= result.gap <= 1e-8
        tolerance = 1e-8
    other = "interior_point" if loss in BOXES else "newton"
    best = hf.minimize(objective, method=other, tol=1e-11)
    assert -1e-11 <= result.fun / best.fun - 1 <= tolerance


@over_layouts
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@over_pairs
def test_layouts_and_dtypes(method, loss, dtype, layout):
    X, y = data()
    X = X.astype(dtype)
    exact = hf.minimize(
        hf.Objective(X.astype(float), y, loss=loss, alpha=0.02, penalize_intercept=True), tol=1e-10
    )
    objective = hf.Objective(layout(X), y, loss=loss, alpha=0.02, penalize_intercept=True)
    result = hf.minimize(objective, method=method, tol=1e-5)
    assert result.success and abs(result.fun / exact.fun - 1) <= 2e-5


@pytest.mark.at_every_level
@over_layouts
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("method", ["dual_cd", "interior_point", "newton"])
def test_loops_of_solvers(method, dtype, layout):
    """Narrow rows, rows of a few lines, a class more than a vector has lanes: for the sanitizers, and the values."""
    for d in (3, 40):
        X, y = data(200, d)
        objective = hf.Objective(layout(X.astype(dtype)), y, loss="squared_hinge", alpha=0.1)
        result = hf.minimize(objective, method=method, tol=1e-5)
        best = hf.minimize(hf.Objective(X, y, loss="squared_hinge", alpha=0.1), method="newton", tol=1e-10)
        assert result.success and abs(result.fun / best.fun - 1) <= 2e-5
    if method == "dual_cd":
        y = np.arange(200) % 9
        for loss in ("one_vs_rest:smooth_hinge", "crammer_singer:smooth_hinge"):
            objective = hf.Objective(
                layout(X.astype(dtype)), y, loss=loss, classes=9, alpha=0.1, penalize_intercept=True
            )
            result = hf.minimize(objective, method=method, tol=1e-4)
            assert result.success and math.isclose(result.fun, objective.value(result.x), rel_tol=1e-6)


BITS = """
import numpy as np, hingefast as hf
from scipy import sparse
rng = np.random.default_rng(0)
X = rng.normal(size=(500, 20)) * (rng.random((500, 20)) < 0.5)
y = np.where(X[:, 0] + rng.normal(size=500) > 0, 1, -1)
for A in (X, sparse.csr_array(X), X.astype(np.float32)):
    for method in ("dual_cd", "interior_point", "newton"):
        objective = hf.Objective(A, y, loss="smooth_hinge", alpha=0.01, penalize_intercept=True)
        print(hf.minimize(objective, method=method, tol=1e-6).x.tobytes().hex())
    for loss in ("one_vs_rest:hinge", "crammer_singer:hinge"):
        objective = hf.Objective(A, rng.integers(0, 3, 500), loss=loss, classes=3, alpha=0.1, penalize_intercept=True)
        print(hf.minimize(objective, method="dual_cd", tol=1e-3).x.tobytes().hex())
columns = np.sort(rng.integers(0, 70000, (2100, 132)), axis=1)
A = sparse.csr_array((rng.normal(size=columns.size) / 11, columns.ravel(), np.arange(2101) * 132), (2100, 70000))
objective = hf.Objective(A, np.where(rng.random(2100) < 0.4, -1, 1), loss="hinge", alpha=1e-3, n_threads=2)
print(hf.minimize(objective, method="dual_cd", tol=1e-4).x.tobytes().hex())
"""


def test_same_bits_at_every_level():
    assert len({run_at_level(level, BITS) for level in LEVELS}) == 1


@over_methods
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("pointer", [np.int32, np.int64])
def test_index_types(method, index, pointer):
    X, y = data()
    X[np.abs(X) < 0.5] = 0
    A = sparse.csr_array(X)
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(pointer)
    results = [
        hf.minimize(hf.Objective(X, y, loss="squared_hinge", alpha=0.1), method=method, tol=1e-9).fun
        for X in (X, A)
    ]
    assert math.isclose(*results, rel_tol=1e-8)


@over_methods
def test_weights(method):
    """They equal repetition, 0 leaves a row out whatever it holds, and their scale does not matter."""
    X, y = data()
    weights = np.random.default_rng(3).integers(0, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), weights)
    options = {"loss": "squared_hinge", "alpha": 0.01, "penalize_intercept": True}
    wanted = hf.minimize(hf.Objective(X[repeated], y[repeated], **options), method=method, tol=1e-10)
    broken = X.copy()
    broken[weights == 0] = np.nan
    for factor in (1, 1e-200, 1e200):
        objective = hf.Objective(broken, y, sample_weight=weights * factor, **options)
        result = hf.minimize(objective, method=method, tol=1e-10)
        assert result.success and np.abs(result.x - wanted.x).max() <= 1e-4 * np.abs(wanted.x).max()
        assert math.isclose(result.fun, wanted.fun, rel_tol=2e-10)
    by_class = hf.Objective(X, y, class_weight=[0.5, 3], **options)
    by_row = hf.Objective(X, y, sample_weight=np.where(y > 0, 3.0, 0.5), **options)
    results = [hf.minimize(objective, method=method, tol=1e-10).fun for objective in (by_class, by_row)]
    assert math.isclose(*results, rel_tol=2e-10)


@over_methods
def test_sums_scale_with_alpha(method):
    X, y = data()
    mean = hf.Objective(X, y, loss="smooth_hinge", alpha=0.01, penalize_intercept=True)
    total = hf.Objective(
        X, y, loss="smooth_hinge", alpha=0.01 * len(y), penalize_intercept=True, reduction="sum"
    )
    results = [hf.minimize(objective, method=method, tol=1e-10).fun for objective in (mean, total)]
    assert math.isclose(results[0] * len(y), results[1], rel_tol=1e-9)


def dual_by_hand(rows, labels, weight, margin, intercept_share):
    """The dual of a few rows in fractions, by trying which dual variables are at which bound: (value, coef)."""
    n = len(rows)
    upper, diagonal = weight
    products = [
        [
            labels[i]
            * labels[j]
            * (sum(a * b for a, b in zip(rows[i], rows[j], strict=True)) + intercept_share)
            for j in range(n)
        ]
        for i in range(n)
    ]
    best = None
    for state in itertools.product("0UF", repeat=n):
        if upper is None and "U" in state:
            continue
        a = [upper if s == "U" else Fraction(0) for s in state]
        free = [i for i in range(n) if state[i] == "F"]
        system = [
            [products[i][j] + (diagonal if i == j else 0) for j in free]
            + [margin - sum(products[i][j] * a[j] for j in range(n) if j not in free)]
            for i in free
        ]
        solved = solve(system)
        if solved is None:
            continue
        for i, value in zip(free, solved, strict=True):
            a[i] = value
        if any(x < 0 or (upper is not None and x > upper) for x in a):
            continue
        value = margin * sum(a) - sum(diagonal * x * x for x in a) / 2
        value -= sum(a[i] * a[j] * products[i][j] for i in range(n) for j in range(n)) / 2
        if best is None or value > best:
            best = value
    return best


def solve(system):
    """The solution of a small linear system of fractions, or None."""
    system = [list(row) for row in system]
    n = len(system)
    for k in range(n):
        pivot = next((i for i in range(k, n) if system[i][k]), None)
        if pivot is None:
            return None
        system[k], system[pivot] = system[pivot], system[k]
        system[k] = [x / system[k][k] for x in system[k]]
        for i in range(n):
            if i != k:
                system[i] = [x - system[i][k] * y for x, y in zip(system[i], system[k], strict=True)]
    return [row[-1] for row in system]


@pytest.mark.parametrize("method", ["dual_cd", "interior_point"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", BOXES)
def test_fractions(loss, fit_intercept, method):
    """Of four rows the dual is solved exactly; alpha = 1/2 and the mean of 4: c = 1/2 a row."""
    rows, labels = [(1, 2), (3, -1), (0, 1), (-2, -2)], [1, -1, 1, -1]
    c = Fraction(1, 2)
    half = Fraction(1, 2)
    upper, diagonal, margin = {
        "hinge": (c, Fraction(0), Fraction(1)),
        "squared_hinge": (None, 1 / (2 * c), Fraction(1)),
        "smooth_hinge": (c, 1 / c, Fraction(1)),
        "modified_huber": (4 * c, 1 / (2 * c), Fraction(1)),
        "huberized_hinge": (c, 1 / c, 1 + half),
        "huber_margin": (c, 1 / c, Fraction(1)),
    }[loss]
    wanted = dual_by_hand(rows, labels, (upper, diagonal), margin, int(fit_intercept)) * half
    objective = hf.Objective(
        np.array(rows, float),
        labels,
        loss=loss,
        alpha=0.5,
        fit_intercept=fit_intercept,
        penalize_intercept=fit_intercept,
    )
    result = hf.minimize(objective, method=method, tol=1e-12)
    assert math.isclose(result.fun, float(wanted), rel_tol=1e-11)


@over_intercepts
@over_pairs
@pytest.mark.parametrize("alpha", [1e-8, 1e-4, 1.0, 1e4, 1e8])
def test_any_penalty(alpha, method, loss, intercept):
    """alpha from 1e-8, where coordinates are too slow and say so, to 1e8: a proof, and the least that anybody finds."""
    X, y = data(60, 5)
    objective = hf.Objective(X, y, loss=loss, alpha=alpha, **intercept)
    # By coordinates 1e-4 takes some 10 000 passes.
    max_iter = 10**5 if method == "dual_cd" and alpha > 1e-8 else None
    result = hf.minimize(objective, method=method, tol=1e-6, max_iter=max_iter)
    fast = [name for name, losses in METHODS.items() if loss in losses and name != "dual_cd"]
    least = min(hf.minimize(objective, method=name, tol=1e-10).fun for name in fast)
    assert result.fun >= least * (1 - 1e-10)
    if method == "dual_cd" and alpha == 1e-8:
        assert result.status == 1 and "raise max_iter, or scale the features" in result.message
        assert 1e-6 < result.gap <= 1 and least >= result.fun * (1 - result.gap)
        return
    assert result.fun <= least * (1 + 1e-6)
    if is_proved(method, intercept):
        assert result.success and 0 <= result.gap <= 1e-6
        assert least >= result.fun * (1 - result.gap - 1e-10)
    else:
        assert math.isnan(result.gap)


SHAPES = {
    "one row": (1, 4),
    "more columns": (10, 40),
    "one column": (50, 1),
    "one row, one column": (1, 1),
}


@over_intercepts
@over_methods
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_shapes(shape, method, intercept):
    rng = np.random.default_rng(shape)
    X, y = rng.normal(size=shape), np.resize([1.0, -1.0], shape[0])
    objective = hf.Objective(X, y, loss="squared_hinge", alpha=0.1, **intercept)
    result = hf.minimize(objective, method=method, tol=1e-8)
    best = hf.minimize(objective, method="newton", tol=1e-12)
    assert result.fun <= best.fun + 1e-7 * max(best.fun, 1e-3)
    assert result.fun >= best.fun - 1e-12


@over_intercepts
@over_pairs
def test_awkward_data(method, loss, intercept):
    """Rows of zeros, duplicate rows, a constant column, one of zeros, columns that depend on each other."""
    X, y = data(100, 4)
    X[:5] = 0
    X[5:30] = X[30]
    X[:, 1] = 1
    X = np.column_stack([X, np.zeros(100), X[:, 0] + X[:, 2]])
    objective = hf.Objective(X, y, loss=loss, alpha=0.01, **intercept)
    result = hf.minimize(objective, method=method, tol=1e-7)
    assert result.success or not is_proved(method, intercept)
    other = hf.minimize(objective, method="interior_point" if loss in BOXES else "newton", tol=1e-10)
    assert -1e-10 <= result.fun / other.fun - 1 <= 1e-6


@over_pairs
def test_separable(method, loss):
    """All rows outside the margin: the coefficients are those of a few rows, slowly found by coordinates."""
    X, y = data(80, 3)
    X[:, 0] = y * 5
    objective = hf.Objective(X, y, loss=loss, alpha=1e-3, penalize_intercept=True)
    result = hf.minimize(objective, method=method, tol=1e-4 if method == "dual_cd" else 1e-6)
    assert result.success


@over_methods
def test_one_class(method):
    X, _ = data(50, 3)
    objective = hf.Objective(X, np.ones(50), loss="squared_hinge", alpha=0.1, penalize_intercept=True)
    result = hf.minimize(objective, method=method, tol=1e-8)
    assert result.success
    free = hf.Objective(X, np.ones(50), loss="squared_hinge", alpha=0.1)
    assert hf.minimize(free, method=method, tol=1e-8).fun <= 1e-8


@over_pairs
def test_same_bits(method, loss):
    """For any number of threads, again, and for the same random_state."""
    X, y = data(3000, 40)
    bits = []
    for n_threads in (1, 2, 3, 1):
        objective = hf.Objective(X, y, loss=loss, alpha=1e-3, penalize_intercept=True, n_threads=n_threads)
        result = hf.minimize(objective, method=method, tol=1e-5, random_state=7)
        bits.append((result.x.tobytes(), result.fun, result.gap, result.nit, result.nfev))
    assert len(set(bits)) == 1


def long_rows(n=2100, d=70_000, k=132, seed=0):
    """CSR that two threads visit together: random columns in order."""
    rng = np.random.default_rng(seed)
    columns = np.sort(rng.integers(0, d, (n, k), np.int32), axis=1)
    values = rng.standard_normal((n, k)) / math.sqrt(k)
    X = sparse.csr_array((values.ravel(), columns.ravel(), np.arange(n + 1) * k), (n, d))
    return X, np.where(X @ rng.standard_normal(d) + 0.3 > 0, 1.0, -1.0)


@pytest.mark.at_every_level
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("kind", ["float64", "float32", "int64 indices", "int16", "some rows out of order"])
def test_two_threads_visit_rows_together(kind, loss):
    X, y = long_rows()
    if kind == "int64 indices":
        X.indices = X.indices.astype(np.int64)
    elif kind == "some rows out of order":
        for i in range(3, X.shape[0], 70):
            row = slice(X.indptr[i], X.indptr[i + 1])
            X.indices[row], X.data[row] = X.indices[row][::-1].copy(), X.data[row][::-1].copy()
        X = sparse.csr_array((X.data, X.indices, X.indptr), X.shape)
    elif kind == "int16":
        X.data = np.round(X.data * 1000)
        X = sparse.csr_array((X.data.astype(np.int16), X.indices, X.indptr), X.shape)
    elif kind == "float32":
        X = X.astype(np.float32)
    options = {"loss": loss, "alpha": 1e-3 * (1e6 if kind == "int16" else 1), "penalize_intercept": True}
    results = []
    for n_threads in (1, 2, 3, 2):
        objective = hf.Objective(X, y, n_threads=n_threads, **options)
        results.append(hf.minimize(objective, method="dual_cd", tol=1e-5))
        assert results[-1].success
        assert math.isclose(objective.value(results[-1].x), results[-1].fun, rel_tol=1e-6)
    assert len({(r.x.tobytes(), r.fun, r.gap, r.nit, r.nfev) for r in results}) == 1
    if loss != "hinge":  # Newton's method takes seconds for it here
        other = hf.minimize(objective, method="newton", tol=1e-5)
        assert other.success and math.isclose(other.fun, results[0].fun, rel_tol=2e-5)


@pytest.mark.at_every_level
@pytest.mark.parametrize("column", [-1, 70_000])
def test_two_threads_meet_a_fault(column):
    """-1 at a row's begin is found by the thread that has the lower features, and what is too large by the other."""
    X, y = long_rows()
    problem = LinearProblem(hf.Objective(X, y, loss="hinge", alpha=1e-3))
    box = DualBox(problem)
    descent = Descent(problem.layout, None, problem.signs, (box.margin, box.upper, box.diagonal), 0)
    descent.halve(problem.layout.middle_feature(), 2)
    visit = functools.partial(descent.visit, np.zeros(1), 0.0, np.array([math.inf]), np.array([-math.inf]))
    visit()
    X.indices[X.indptr[1000] if column < 0 else X.indptr[1001] - 1] = column
    with pytest.raises(hf.InvalidCSRError, match=rf"\(row 1000\) is {column}, must be in \[0, 70000\)$"):
        explained(visit)


def test_interrupted_before_two_threads_begin(monkeypatch):
    """The helper has come, and nobody asks it for anything."""
    X, y = long_rows()
    objective = hf.Objective(X, y, loss="hinge", alpha=1e-3, n_threads=2)
    hand_out = _threads.hand_out

    def interrupted(work, n_helpers):
        hand_out(work, n_helpers)
        time.sleep(0.05)  # until the helper is there
        if isinstance(work.__self__, Descent):
            raise KeyboardInterrupt

    monkeypatch.setattr(_threads, "hand_out", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        hf.minimize(objective, method="dual_cd")
    assert caught.value.result.nit == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is Linux's")
def test_two_threads_on_one_processor():
    """A helper that does not come, or keeps the other waiting, is done without."""
    X, y = long_rows()
    before = os.sched_getaffinity(0)
    bits = set()
    try:
        os.sched_setaffinity(0, {min(before)})
        for n_threads in (1, 2):
            objective = hf.Objective(X, y, loss="hinge", alpha=1e-4, n_threads=n_threads)
            bits.add(hf.minimize(objective, method="dual_cd", tol=1e-4).x.tobytes())
    finally:
        os.sched_setaffinity(0, before)
    assert len(bits) == 1


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_long_rows_that_are_all_alike(loss):
    """Scoring a row before the step of the one before it converges there too: most rest, few are scored in turn."""
    X, y = long_rows()
    row = sparse.csr_array(X[[0]])
    X = sparse.csr_array(
        (np.tile(row.data, len(y)), np.tile(row.indices, len(y)), np.arange(len(y) + 1) * row.nnz), X.shape
    )
    objective = hf.Objective(X, y, loss=loss, alpha=1e-3, penalize_intercept=True, n_threads=2)
    result = hf.minimize(objective, method="dual_cd", tol=1e-4)
    other = hf.minimize(objective, method="newton", tol=1e-6)
    assert result.success and math.isclose(result.fun, other.fun, rel_tol=2e-4)


# Of these a descent swung about the intercept, or ended at one that few rows agreed on: (seed, penalised).
SWINGS = [
    (27, False), (30, True), (59, False), (99, False), (183, False), (240, False), (249, False), (267, True),
    (276, False), (285, False), (291, False), (294, False), (294, True), (306, True), (309, True), (327, False),
    (336, False), (357, False),
]  # fmt: skip


@pytest.mark.parametrize("seed, penalised", SWINGS)
def test_the_intercept_settles(seed, penalised):
    rng = np.random.default_rng(1000 + seed)
    n, d = int(rng.integers(20, 600)), int(rng.integers(1, 20))
    X = rng.standard_normal((n, d)) * 10 ** rng.uniform(-1, 1) + rng.standard_normal(d) * rng.integers(0, 2)
    noise = rng.standard_normal(d), rng.standard_normal(n) * X.std(), rng.standard_normal() * X.std()
    y = np.where(X @ noise[0] + noise[1] > noise[2], 1.0, -1.0)
    alpha, loss = 10 ** rng.uniform(-3, 0), ["hinge", "smooth_hinge", "squared_hinge"][seed % 3]
    objective = hf.Objective(X, y, loss=loss, alpha=alpha, penalize_intercept=penalised)
    assert hf.minimize(objective, method="dual_cd", tol=1e-6, max_iter=5000).success


def test_random_state_changes_the_order():
    X, y = data()
    objective = hf.Objective(X, y, loss="hinge", alpha=0.01, penalize_intercept=True)
    first, second = (hf.minimize(objective, method="dual_cd", random_state=seed) for seed in (0, 1))
    assert (first.x != second.x).any() and math.isclose(first.fun, second.fun, rel_tol=1e-4)


@over_methods
def test_permuted_rows(method):
    X, y = data()
    order = np.random.default_rng(0).permutation(len(y))
    results = [
        hf.minimize(hf.Objective(X[rows], y[rows], loss="squared_hinge", alpha=0.01), method=method, tol=1e-9)
        for rows in (slice(None), order)
    ]
    assert math.isclose(results[0].fun, results[1].fun, rel_tol=1e-8)


@pytest.mark.parametrize("loss", BOXES)
def test_conditions_of_the_minimum(loss):
    """The gradient vanishes; where the hinge has a kink, dual variables between 0 and their end fill it."""
    X, y = data()
    objective = hf.Objective(X, y, loss=loss, alpha=0.01, penalize_intercept=True)
    result = hf.minimize(objective, method="dual_cd", tol=1e-12)
    if loss != "hinge":
        assert np.abs(objective.grad(result.x)).max() <= 1e-6
    else:
        coef, intercept = objective.unpack(result.x)
        lack = 1 - y * (X @ coef + intercept)
        c = 1 / (len(y) * 0.01)
        dual = np.where(lack > 1e-5, c, 0.0)
        kinks = np.abs(lack) <= 1e-5
        rest = np.append(coef, intercept) - np.append(X, np.ones((len(y), 1)), axis=1).T @ (y * dual)
        columns = np.append(X, np.ones((len(y), 1)), axis=1)[kinks].T * y[kinks]
        solved = np.linalg.lstsq(columns, rest, rcond=None)[0]
        assert np.abs(columns @ solved - rest).max() <= 1e-4 * np.abs(result.x).max()
        assert solved.min() >= -1e-3 * c and solved.max() <= c * 1.001


@pytest.mark.parametrize("base", ["hinge", "squared_hinge", "logistic"])
@over_intercepts
def test_one_vs_rest(base, intercept):
    """K problems of one class against the others, together."""
    X, _ = data(400, 5)
    y = np.random.default_rng(1).integers(0, 4, 400) + 10
    X[np.arange(400), y % 5] += 2
    objective = hf.Objective(
        X,
        y,
        loss=f"one_vs_rest:{base}",
        classes=[10, 12, 11, 13],
        alpha=0.01,
        class_weight=[1, 2, 3, 4],
        **intercept,
    )
    result = hf.minimize(objective, tol=1e-8)
    assert result.success and result.gap <= 1e-8 and result.method in METHODS
    assert math.isclose(result.fun, objective.value(result.x), rel_tol=1e-12)
    coefs, _ = objective.unpack(result.x)
    weights = np.array([0.0] * 10 + [1, 3, 2, 4])[y]
    for k, label in enumerate([10, 12, 11, 13]):
        alone = hf.Objective(
            X, np.where(y == label, 1, -1), loss=base, alpha=0.01, sample_weight=weights, **intercept
        )
        assert np.allclose(hf.minimize(alone, tol=1e-12).x[:5], coefs[k], atol=1e-3)


@over_intercepts
@pytest.mark.parametrize("base", BOXES)
def test_one_vs_rest_by_coordinates(base, intercept):
    """In step for all classes, then class by class, on any number of threads: the minimum of the other methods."""
    X, _ = data(400, 5)
    y = np.random.default_rng(1).integers(0, 9, 400)
    X[np.arange(400), y % 5] += 2
    options = {"loss": f"one_vs_rest:{base}", "classes": 9, "alpha": 0.05, **intercept}
    best = hf.minimize(hf.Objective(X, y, **options), method="interior_point", tol=1e-9)
    bits = set()
    for n_threads in (1, 3):
        result = hf.minimize(hf.Objective(X, y, n_threads=n_threads, **options), method="dual_cd", tol=1e-7)
        assert result.success and result.dual.shape == (400, 9)
        assert -1e-9 <= result.fun / best.fun - 1 <= 1e-7
        bits.add((result.x.tobytes(), result.gap, result.nit))
    assert len(bits) == 1


@over_intercepts
@pytest.mark.parametrize("loss", ["squared_hinge", "logistic", "psi_g"])
@over_layouts
def test_many_columns(layout, loss, intercept):
    """Beyond the columns of which a Hessian is made Newton's method multiplies with it."""
    X, y = data(120, 1100)
    objective = hf.Objective(layout(X), y, loss=loss, alpha=1.0, **intercept)
    result = hf.minimize(objective, method="newton", tol=1e-9)
    assert result.success and 0 <= result.gap <= 1e-9
    assert math.isclose(result.fun, objective.value(result.x), rel_tol=1e-12)
    other = hf.minimize(objective, method="lbfgs", tol=1e-9, max_iter=300)
    assert -1e-9 <= other.fun / result.fun - 1 <= 1e-6


@pytest.mark.parametrize("layout", [np.ascontiguousarray, sparse.csr_array])
@pytest.mark.parametrize(
    "intercept", [INTERCEPTS["penalised"], INTERCEPTS["none"]], ids=["penalised", "none"]
)
@pytest.mark.parametrize("base", BOXES)
def test_crammer_singer(base, intercept, layout):
    """The sequential dual method, against SciPy where the loss is smooth but for ties."""
    X, _ = data(300, 5)
    y = np.random.default_rng(1).integers(0, 4, 300) + 3
    X[np.arange(300), y - 3] += 2
    loss = f"crammer_singer:{base}"
    objective = hf.Objective(layout(X), y, loss=loss, classes=[3, 4, 5, 6], alpha=0.05, **intercept)
    result = hf.minimize(objective, tol=1e-6)
    assert result.method == "dual_cd" and result.success and 0 <= result.gap <= 1e-6
    assert math.isclose(result.fun, objective.value(result.x), rel_tol=1e-12)
    if base != "hinge":
        other = hf.minimize(objective, method="lbfgs", tol=1e-4)
        assert -1e-6 <= other.fun / result.fun - 1 <= 1e-3
    warm = hf.minimize(objective, result, tol=1e-5)
    assert warm.nit == 0
    free = hf.Objective(layout(X), y, loss=loss, classes=[3, 4, 5, 6], alpha=0.05)
    with pytest.raises(
        ValueError, match="needs intercepts with a penalty or none: penalize_intercept=True, or fit_"
    ):
        hf.minimize(free, method="dual_cd")


def test_two_classes_are_a_binary_problem():
    """Crammer-Singer of two classes: the hinge of the difference of scores, of which each class has a half."""
    X, y = data(200, 6)
    binary = hf.Objective(X, y, loss="hinge", alpha=0.05, penalize_intercept=True)
    pair = hf.Objective(
        X, (y > 0).astype(int), loss="crammer_singer", classes=2, alpha=0.1, penalize_intercept=True
    )
    one, two = hf.minimize(binary, tol=1e-9, method="dual_cd"), hf.minimize(pair, tol=1e-9)
    assert math.isclose(one.fun, two.fun, rel_tol=1e-8)
    coefs, _ = pair.unpack(two.x)
    assert np.allclose(coefs[1] - coefs[0], one.x[:-1], atol=1e-3)


@pytest.mark.parametrize(
    "intercept", [INTERCEPTS["penalised"], INTERCEPTS["none"]], ids=["penalised", "none"]
)
def test_costs(intercept):
    X, _ = data(300, 5)
    y = np.random.default_rng(1).integers(0, 3, 300)
    X[np.arange(300), y] += 2
    cost = np.array([[0, 1, 3], [0.5, 0, 1], [2, 2, 0.0]])
    objective = hf.Objective(X, y, loss=hf.CostSensitiveHinge(cost), classes=3, alpha=0.05, **intercept)
    result = hf.minimize(objective, tol=1e-6)
    assert result.success and math.isclose(result.fun, objective.value(result.x), rel_tol=1e-12)
    same = hf.Objective(X, y, loss=hf.CostSensitiveHinge(1 - np.eye(3)), classes=3, alpha=0.05, **intercept)
    plain = hf.Objective(X, y, loss="crammer_singer", classes=3, alpha=0.05, **intercept)
    values = [hf.minimize(objective, tol=1e-7).fun for objective in (same, plain)]
    assert math.isclose(*values, rel_tol=1e-6)


@pytest.mark.parametrize("loss", ["weston_watkins:logistic", "weston_watkins:squared_hinge"])
def test_classes_that_meet(loss):
    X, _ = data(300, 5)
    y = np.random.default_rng(1).integers(0, 3, 300)
    X[np.arange(300), y] += 2
    objective = hf.Objective(X, y, loss=loss, classes=3, alpha=0.01, penalize_intercept=True)
    result = hf.minimize(objective, method="newton", tol=1e-9)
    assert result.success
    other = hf.minimize(objective, method="lbfgs", tol=1e-7)
    assert -1e-9 <= other.fun / result.fun - 1 <= 1e-6


def test_no_columns():
    objective = hf.Objective(np.zeros((6, 0)), [1, 1, 1, 1, -1, -1], loss="squared_hinge", alpha=0.1)
    for method in ("newton", "dual_cd", "interior_point"):
        result = hf.minimize(objective, method=method, tol=1e-9)
        # (4(1 - b)^2 + 2(1 + b)^2)/6 at b = 1/3
        assert math.isclose(result.x[0], 1 / 3, abs_tol=1e-4) and math.isclose(
            result.fun, 8 / 9, rel_tol=1e-8
        )
    for loss in ("hinge", "squared_hinge"):
        objective = hf.Objective(np.zeros((200, 0)), np.ones(200), loss=loss, alpha=0.1, fit_intercept=False)
        result = hf.minimize(objective, method="newton")
        assert result.success and result.fun == 1 and result.x.shape == (0,)


def test_without_a_penalty():
    """No dual bound: the method ends when it expects nothing to be left, and says that nothing is proved."""
    X, y = data()
    objective = hf.Objective(X, y, loss="logistic")
    result = hf.minimize(objective, tol=1e-10)
    assert result.success and math.isnan(result.gap) and "alpha is 0" in result.message
    assert np.abs(objective.grad(result.x)).max() <= 1e-6


# What a caller sees


def test_result():
    X, y = data()
    objective = hf.Objective(X, y, loss="hinge", alpha=0.01, penalize_intercept=True)
    result = hf.minimize(objective, method="dual_cd", tol=1e-6)
    assert {len(values) for values in result.history.values()} == {result.nit + 1}
    assert sorted(result.history) == ["fun", "gap", "passes", "seconds"]
    assert result.history["gap"][-1] == result.gap and round(result.history["passes"][-1]) == result.nfev
    assert (np.diff(result.history["gap"]) <= 0).all() and min(result.history["fun"]) == result.fun
    again = pickle.loads(pickle.dumps(result))
    assert again.fun == result.fun and (again.x == result.x).all()
    assert str(result).splitlines()[0].startswith(" message: converged: the relative duality gap is")


def test_out_of_iterations():
    X, y = data()
    objective = hf.Objective(X, y, loss="squared_hinge", alpha=1e-6, penalize_intercept=True)
    for method in METHODS:
        result = hf.minimize(objective, method=method, tol=1e-12, max_iter=1)
        assert not result.success and result.status == 1 and "raise max_iter" in result.message
        assert math.isclose(result.fun, objective.value(result.x), rel_tol=1e-12)
        assert hf.minimize(objective, method=method, max_iter=0).nit == 0


@over_methods
def test_callback(method):
    X, y = data()
    objective = hf.Objective(X, y, loss="squared_hinge", alpha=1e-4, penalize_intercept=True)
    seen = []

    def stop_at_second(result):
        seen.append(result)
        if len(seen) == 2:
            raise StopIteration

    result = hf.minimize(objective, method=method, tol=0, callback=stop_at_second)
    assert result.status == 2 and not result.success and "stopped by the callback" in result.message
    assert [part.nit for part in seen] == [0, 1] and (seen[1].x == result.x).all()
    assert seen[0].fun > seen[1].fun


@over_methods
def test_errors_of_a_callback_pass_through(method):
    X, y = data()
    objective = hf.Objective(X, y, loss="squared_hinge", alpha=1e-4)
    with pytest.raises(ZeroDivisionError):
        hf.minimize(objective, method=method, callback=lambda result: 1 / 0)


@over_methods
def test_interrupt_brings_the_result_so_far(method):
    X, y = data()
    objective = hf.Objective(X, y, loss="squared_hinge", alpha=1e-4)

    def interrupt(result):
        if result.nit == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        hf.minimize(objective, method=method, tol=0, callback=interrupt)
    assert caught.value.result.nit == 1
    assert math.isclose(caught.value.result.fun, objective.value(caught.value.result.x), rel_tol=1e-12)


@pytest.mark.parametrize("loss", BOXES)
def test_warm_start(loss):
    """From the result of a neighbouring alpha fewer passes are needed, and the minimum is the same."""
    X, y = data(2000, 30)
    first = hf.minimize(
        hf.Objective(X, y, loss=loss, alpha=0.011, penalize_intercept=True), method="dual_cd", tol=1e-6
    )
    objective = hf.Objective(X, y, loss=loss, alpha=0.01, penalize_intercept=True)
    cold = hf.minimize(objective, method="dual_cd", tol=1e-6)
    warm = hf.minimize(objective, first, method="dual_cd", tol=1e-6)
    assert warm.success and warm.nfev < cold.nfev and math.isclose(warm.fun, cold.fun, rel_tol=2e-6)
    again = hf.minimize(objective, cold, method="dual_cd", tol=1e-5)
    assert again.success and again.nit == 0


def test_start():
    X, y = data()
    objective = hf.Objective(X, y, loss="logistic", alpha=0.01)
    cold = hf.minimize(objective, tol=1e-10)
    start = cold.x.copy()
    warm = hf.minimize(objective, start, tol=1e-10)
    assert warm.nit == 0 and (start == cold.x).all()


def test_dual_cd_goes_on_while_only_the_bound_rises():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((2000, 30)), rng.choice([-1, 1], 2000)
    objective = hf.Objective(X, y, loss="hinge", alpha=1 / (1e4 * len(y)), penalize_intercept=True)
    result = hf.minimize(objective, method="dual_cd", max_iter=1500)
    assert result.status == 1 and result.nfev >= 1500 and "rounding" not in result.message


@over_methods
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_data_without_a_value_are_no_success(method, number):
    X = np.eye(4)
    X[1, 1] = number
    objective = hf.Objective(X, [1, -1, 1, -1], loss="squared_hinge", alpha=0.1, penalize_intercept=True)
    result = hf.minimize(objective, method=method)
    assert not result.success


def test_faults_of_the_data_are_told():
    X, y = data()
    A = sparse.csr_array(X)
    for method in ("dual_cd", "interior_point"):
        objective = hf.Objective(A, y, loss="squared_hinge", alpha=0.01)
        kept = A.indices[11]
        A.indices[11] = 99
        with pytest.raises(
            hf.InvalidCSRError, match=r"^X\.indices\[11\] \(row 1\) is 99, must be in \[0, 8\)$"
        ):
            hf.minimize(objective, method=method)
        A.indices[11] = kept


WRONG = [
    (lambda o: hf.minimize("x"), TypeError, r"objective must be a hingefast.Objective, got str"),
    (lambda o: hf.minimize(o, [1.0]), ValueError, r"x0 has shape \(1,\), must be \(9,\)"),
    (lambda o: hf.minimize(o, [math.nan] * 9), ValueError, r"x0\[0\] is nan, must be finite"),
    (lambda o: hf.minimize(o, method="sgd"), ValueError, r"method is 'sgd', must be one of auto, dual_cd, "),
    (lambda o: hf.minimize(o, method=1), TypeError, r"method must be a name, got int"),
    (lambda o: hf.minimize(o, tol=-1), ValueError, r"tol is -1.0, must be finite and >= 0"),
    (lambda o: hf.minimize(o, tol=math.nan), ValueError, r"tol is nan, must be finite and >= 0"),
    (lambda o: hf.minimize(o, max_iter=-1), ValueError, r"max_iter is -1, must be >= 0"),
    (lambda o: hf.minimize(o, max_iter=1.5), TypeError, r"max_iter must be an integer, got float"),
    (lambda o: hf.minimize(o, callback=3), TypeError, r"callback must be callable, got int"),
    (lambda o: hf.minimize(o, random_state=-1), ValueError, r"random_state is -1, must be in \[0, 2\*\*32\)"),
    (
        lambda o: hf.minimize(o, method="lbfgs"),
        ValueError,
        r"method 'lbfgs' needs a loss with a second derivative",
    ),
]


@pytest.mark.parametrize("call, error, message", WRONG)
def test_errors(call, error, message):
    X, y = data()
    objective = hf.Objective(X, y, loss="hinge", alpha=0.01)
    with pytest.raises(error, match=f"^{message}"):
        call(objective)


def test_losses_that_no_method_minimises():
    X, _ = data()
    y = np.arange(len(X)) % 3
    for loss in ("weston_watkins", hf.TopKHinge(2)):
        objective = hf.Objective(X, y, loss=loss, classes=3, alpha=0.01)
        with pytest.raises(
            ValueError, match=r"^no method minimises .*; use a smooth base, such as 'weston_watkins:"
        ):
            hf.minimize(objective)
    hinge = hf.Objective(X, np.where(y > 0, 1, -1), loss="hinge")
    with pytest.raises(ValueError, match=r"^method 'dual_cd' needs a penalty: alpha > 0, got Hinge"):
        hf.minimize(hinge, method="dual_cd")


def test_slow_is_not_stuck():
    """Where features are far from centred the value goes up and down for long, but the bound still rises."""
    rng = np.random.default_rng(0)
    X = rng.normal(100, 1, (150, 10))
    y = np.where(X[:, 0] + 0.5 * rng.standard_normal(150) > 100, 1, -1)
    objective = hf.Objective(X, y, loss="squared_hinge", alpha=1 / 150, penalize_intercept=True)
    result = hf.minimize(objective, method="dual_cd", max_iter=3000)
    assert (
        result.gap > 0.5 and result.status == 1 and "raise max_iter, or scale the features" in result.message
    )


def test_dual_variables_of_other_rows_are_no_start():
    """An earlier result with other rows, but as many features, gives its coefficients at most."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    y = np.where(X[:, 0] + rng.standard_normal(60) > 0, 1, -1)
    few, all_rows = (
        hf.Objective(X[:n], y[:n], loss="hinge", alpha=0.05, penalize_intercept=True) for n in (40, 60)
    )
    first = hf.minimize(few, method="dual_cd", tol=1e-8)
    assert first.dual.shape == (40,)
    cold, warm = (hf.minimize(all_rows, x0, method="dual_cd", tol=1e-8) for x0 in (None, first))
    assert warm.success and math.isclose(warm.fun, cold.fun, rel_tol=1e-7)


@pytest.mark.parametrize(
    "shape, method", [((30, 100), "newton"), ((30, 101), "dual_cd"), ((600, 101), "newton")]
)
def test_auto_takes_second_order_for_few_columns(shape, method):
    rng = np.random.default_rng(0)
    X = rng.standard_normal(shape)
    y = np.where(X[:, 0] > 0, 1, -1)
    for loss in ("squared_hinge", "hinge"):
        objective = hf.Objective(X, y, loss=loss, alpha=0.1, penalize_intercept=True)
        assert hf.minimize(objective).method == method


@pytest.mark.parametrize("loss", ["perceptron", hf.Hinge(margin=0.0)])
def test_nothing_is_below_zero(loss):
    """Without a margin, coefficients of 0 lose nothing: a proof, whatever bound the dual has."""
    X = np.random.default_rng(0).standard_normal((60, 5))
    objective = hf.Objective(X, np.where(X[:, 0] > 0, 1, -1), loss=loss, alpha=0.1, penalize_intercept=True)
    result = hf.minimize(objective)
    assert result.success and result.fun == result.gap == 0 and not result.x.any()
    result = hf.minimize(objective, np.ones(objective.size), method="newton")
    assert result.success and result.fun == result.gap == 0


@pytest.mark.parametrize("rest", ["alike", "of another kind", "one class"])
@pytest.mark.parametrize("intercept", ["penalised", "free"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
def test_newton_begins_with_a_sample(loss, dtype, intercept, rest):
    """Of many rows: every eighth, whatever the others are; those without a weight are no rows."""
    X, y = data(6000, 3)
    weights = np.random.default_rng(3).random(len(y))
    if rest != "alike":
        others = np.arange(len(y)) % 8 != 0
        y[others] = -y[others] if rest == "of another kind" else -1
    weights[5::7] = 0
    X = X.astype(dtype)
    options = {"loss": loss, "alpha": 1e-3, "sample_weight": weights, **INTERCEPTS[intercept]}
    objective = hf.Objective(X, y, **options)
    result = hf.minimize(objective, method="newton", tol=1e-5)
    start = np.full(objective.size, 1e-3)
    other = hf.minimize(objective, start, method="newton", tol=1e-5)
    assert result.success and other.success
    assert abs(result.fun / other.fun - 1) <= 1e-5
    if rest == "alike" and dtype is np.float64:
        assert result.nit < other.nit and result.nfev <= other.nfev
        assert result.history["fun"][0] < 1.1 * result.fun < other.history["fun"][0]


@pytest.mark.parametrize("loss", ["hinge", "smooth_hinge"])
def test_a_bound_far_from_the_minimum_is_one(loss):
    """Where the objective is 1e19 times the minimum, the difference of two such numbers proves nothing."""
    X = np.array([[1001.0, 979.0], [986.0, 992.0]])
    objective = hf.Objective(X, [1, 1], loss=loss, alpha=1e-5, penalize_intercept=True, reduction="sum")
    best = hf.minimize(objective, method="interior_point", tol=1e-9)
    result = hf.minimize(objective, method="newton", tol=1e-4)
    assert best.success and result.success and abs(result.fun / best.fun - 1) <= 1e-4


@pytest.mark.parametrize("start", [1e10, 1e50])
@pytest.mark.parametrize(
    "intercept", [INTERCEPTS["penalised"], INTERCEPTS["free"]], ids=["penalised", "free"]
)
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "logistic"])
def test_far_starts(loss, intercept, start):
    """What was rounded in scores of 1e50 does not count at the end."""
    X, y = data(50, 3)
    objective = hf.Objective(X, y, loss=loss, alpha=0.01, **intercept)
    best = hf.minimize(objective, tol=1e-9)
    result = hf.minimize(objective, np.full(4, start), method="newton", tol=1e-4)
    assert result.success and abs(result.fun / best.fun - 1) <= 1e-4
    assert math.isclose(result.fun, objective.value(result.x), rel_tol=1e-8)


@pytest.mark.parametrize("base", ["squared_hinge", "logistic"])
def test_far_starts_of_classes(base):
    X, _ = data(80, 3)
    options = {"loss": f"weston_watkins:{base}", "classes": 3, "alpha": 0.01, "penalize_intercept": True}
    objective = hf.Objective(X, np.digitize(X[:, 0], [0.0, 0.6]), **options)
    best = hf.minimize(objective, tol=1e-9)
    start = 1e50 * np.random.default_rng(1).normal(size=objective.size)
    result = hf.minimize(objective, start, method="newton", tol=1e-4)
    assert best.success and result.success and abs(result.fun / best.fun - 1) <= 1e-4
    assert math.isclose(result.fun, objective.value(result.x), rel_tol=1e-8)


@pytest.mark.parametrize("intercept", INTERCEPTS.values(), ids=INTERCEPTS.keys())
@pytest.mark.parametrize("loss", BOXES)
def test_a_bound_is_at_least_0(loss, intercept):
    """Far from the minimum, with a weak penalty, dual variables are made smaller until they bound something."""
    X, y = data()
    gaps = hf.minimize(hf.Objective(X, y, loss=loss, alpha=1e-6, **intercept), method="newton").history["gap"]
    known = [gap for gap in gaps if not math.isnan(gap)]
    assert known and max(known) <= 1


@pytest.mark.parametrize("seed", [33, 69, 78, 87])
def test_float32_scores_are_those_of_the_result(seed):
    """Sums of rounded steps are not, far from the origin."""
    X = (np.random.default_rng(seed).standard_normal((60, 5)) + 1000).astype(np.float32)
    y = np.where(X[:, 0] > 1000.2, 1, -1)
    objective = hf.Objective(X, y, loss="hinge", alpha=1e-4, penalize_intercept=True)
    result = hf.minimize(objective, method="interior_point", tol=1e-5)
    assert math.isclose(result.fun, objective.value(result.x), rel_tol=1e-6)


@pytest.mark.parametrize("method", ["newton", "interior_point"])
@pytest.mark.parametrize("margin", [1e-200, 1e-310])
def test_margins_that_vanish_raise_nothing(method, margin):
    X, y = data(60, 3)
    objective = hf.Objective(X, y, loss=hf.Hinge(margin=margin), alpha=0.1)
    for start in (np.zeros(4), np.ones(4)):
        result = hf.minimize(objective, start, method=method)
        assert math.isclose(result.fun, objective.value(result.x), rel_tol=1e-9, abs_tol=1e-290)


@pytest.mark.parametrize("scale", [1e-6, 1e6, 1e8])
@pytest.mark.parametrize("alpha", [1e-4, 1.0])
@pytest.mark.parametrize("loss", ["hinge", "smooth_hinge", "squared_hinge"])
def test_separable_rows_of_any_scale(loss, alpha, scale):
    X = np.array([[1.0], [-1.0], [2.0]]) * scale
    objective = hf.Objective(X, [1, -1, 1], loss=loss, alpha=alpha, fit_intercept=False)
    best = hf.minimize(objective, method="interior_point", tol=1e-6)
    result = hf.minimize(objective, method="newton", tol=1e-4)
    assert best.success and result.success and abs(result.fun / best.fun - 1) <= 1.1e-4


@pytest.mark.parametrize("loss", ["hinge", "smooth_hinge", "squared_hinge"])
def test_a_free_intercept_and_a_weak_penalty(loss):
    """Its minimum after every step would hide the only rows that have a second derivative."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(30, 4))
        for noise in (0, 1):
            y = np.where(X[:, 0] + noise * rng.normal(size=30) > 0.3, 1, -1)
            objective = hf.Objective(X, y, loss=loss, alpha=1e-4 / 30)
            assert hf.minimize(objective, method="newton", tol=1e-6).success
    X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]])
    result = hf.minimize(hf.Objective(X, [-1, 1, 1], loss=loss, alpha=1 / 3e4), tol=1e-4)
    assert result.success and result.fun <= 3.3337e-5


@pytest.mark.parametrize("loss", ["squared_hinge", "smooth_hinge", "logistic"])
@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_a_free_intercept_far_from_the_origin(loss, alpha):
    """The scale of one column is nothing to another's."""
    X, y = data(300, 3)
    best = hf.minimize(hf.Objective(X, y, loss=loss, alpha=alpha), tol=1e-9)
    result = hf.minimize(hf.Objective(X + 1e5, y, loss=loss, alpha=alpha), method="newton", tol=1e-6)
    assert result.success and abs(result.fun / best.fun - 1) <= 1e-5


@pytest.mark.parametrize(
    "intercept", [INTERCEPTS["penalised"], INTERCEPTS["none"]], ids=["penalised", "none"]
)
@pytest.mark.parametrize("size", [1e6, 1e20])
def test_a_sample_with_an_outlier(size, intercept):
    """One row in the sample may lead it where the others lose more than at 0."""
    X, y = data(960, 5)
    X[8] *= size
    objective = hf.Objective(X, y, loss="smooth_hinge", alpha=1e-3, **intercept)
    result = hf.minimize(objective, method="newton")
    best = hf.minimize(objective, np.full(objective.size, 1e-12), method="newton")
    assert result.fun <= best.fun * (1 + 1e-3)


def test_newton_for_the_hinge_on_many_columns(monkeypatch):
    """Conjugate gradients, and no matrix of 1200 columns."""
    monkeypatch.delattr(LinearProblem, "products")
    X = sparse.random(60, 1200, 0.05, format="csr", random_state=0)
    y = np.where(np.arange(60) % 3, 1, -1)
    objective = hf.Objective(X, y, loss="hinge", alpha=0.01, penalize_intercept=True)
    result = hf.minimize(objective, method="newton", tol=1e-3)
    best = hf.minimize(objective, method="dual_cd", tol=1e-6)
    assert result.success and abs(result.fun / best.fun - 1) <= 1e-3


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [8, 9])
def test_a_sample_of_rows_without_a_value(row, number):
    X, y = data(960, 5)
    X[row, 0] = number
    for loss in ("hinge", "squared_hinge", "logistic"):
        objective = hf.Objective(X, y, loss=loss, alpha=1e-3, penalize_intercept=True)
        assert not hf.minimize(objective, method="newton").success


@pytest.mark.at_every_level
@pytest.mark.parametrize("n", [1, 7, 8, 9, 300, 1029])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
def test_sums_along_lines_of_scores(loss, weighted, n):
    rng = np.random.default_rng(n)
    found = hf.Objective([[0.0]], [1], loss=loss).loss
    signs = np.where(rng.random(n) > 0.5, 1.0, -1.0)
    scores, along = rng.normal(size=(2, n))
    of_rows = rng.random(n) if weighted else np.full(n, 0.3)
    line = Line(found._bound.margin, signs, of_rows if weighted else 0.3)
    t = 0.7
    at = scores + t * along
    values = found.value(signs, at, reduction="none")
    first = found.grad(signs, at, reduction="none") * along
    second = found.curvature(signs, at, reduction="sum") * along**2
    got = line.along(scores, along, t)
    assert np.allclose(got, (of_rows @ first, of_rows @ second), rtol=1e-12, atol=1e-12)
    slopes, curvatures = np.empty((2, n))
    value = line.at(scores, slopes, curvatures, along, t)
    assert math.isclose(value, of_rows @ values, rel_tol=1e-12)
    assert np.allclose(scores, at, rtol=1e-15)
    assert np.allclose(slopes * along, of_rows * first, rtol=1e-12)
    assert np.allclose(curvatures * along**2, of_rows * second, rtol=1e-12)
    assert math.isclose(line.at(scores, slopes, curvatures), value, rel_tol=1e-15)


# Passes to a gap of 1e-6 (one score) and 1e-4 (classes): a quarter more than they were.
EFFORT = {
    ("newton", "hinge"): 33,
    ("newton", "squared_hinge"): 8,
    ("newton", "smooth_hinge"): 8,
    ("newton", "logistic"): 5,
    ("interior_point", "hinge"): 60,
    ("interior_point", "squared_hinge"): 27,
    ("interior_point", "smooth_hinge"): 30,
    ("dual_cd", "hinge"): 45,
    ("dual_cd", "squared_hinge"): 160,
    ("dual_cd", "smooth_hinge"): 61,
    ("dual_cd", "crammer_singer"): 500,
}


@pytest.mark.parametrize("method, loss", EFFORT)
def test_methods_do_not_become_slower(method, loss):
    """What makes a method take more steps is wrong, though the certificate is right in the end."""
    X, y = data(600, 8) if loss == "crammer_singer" else data(5000, 10)
    options = {"alpha": 1 / len(y), "penalize_intercept": True}
    if loss == "crammer_singer":
        y, options["classes"] = np.digitize(X[:, 0], [-0.5, 0.5, 1.0]), 4
    objective = hf.Objective(X, y, loss=loss, **options)
    result = hf.minimize(objective, method=method, tol=1e-4 if loss == "crammer_singer" else 1e-6)
    assert result.success and result.nfev <= EFFORT[method, loss]


@pytest.mark.parametrize("loss", ["psi_g", "psi_m"])
def test_newton_converges_quadratically(loss):
    """Of the smooth hinges of arXiv 2103.00233: near the minimum the gradient is about the square of the one before."""
    X, y = data(500, 10)
    objective = hf.Objective(X, y, loss=loss, alpha=1e-2, penalize_intercept=True)
    result = hf.minimize(objective, method="newton", tol=1e-13)
    norms = np.sqrt(np.array(result.history["gap"]) * result.fun)  # the gap is |gradient|^2/(2 alpha fun)
    norms = norms[(norms > 1e-7) & (norms < 1)]
    assert len(norms) >= 3 and norms[-1] <= 1e-4 and (norms[1:] <= 20 * norms[:-1] ** 2).all()
