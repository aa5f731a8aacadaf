"""Promise: no content of CSR buffers can do harm in a multiclass call; a fault gets an error that names the lowest
position.
"""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds import INDEX_PAIRS, csr_parts, namespace
from multiclass_cases import problem, random_csr
from reference import densify
from test_csr_faults import is_valid, pointer_faults

import hingefast as hf

N_ROWS, N_FEATURES, N_CLASSES = 40, 50, 5


def one_call(X, y, coef, **keywords):
    return hf.linear_value_and_grad(X, y, coef, 0.5, loss="crammer_singer", **keywords)


def scores_call(X, y, coef, **keywords):
    return hf.decision_function(X, coef, 0.5, **keywords)


def objective_call(X, y, coef, **keywords):
    objective = hf.Objective(X, y, loss="weston_watkins:logistic", classes=len(coef), **keywords)
    theta = np.append(coef.ravel(), np.zeros(len(coef)))
    objective.hessp(theta, theta)
    objective.step(theta, 0.1)
    return objective.value_and_grad(theta)


CALLS = [one_call, scores_call, objective_call]
every_call = pytest.mark.parametrize("call", CALLS, ids=["linear", "decision", "objective"])


@pytest.fixture
def parts():
    """indptr, indices, data of a valid matrix, with its labels and coefficients."""
    case = problem(N_ROWS, N_FEATURES, N_CLASSES, density=0.3, seed=11)
    indptr, indices, data = csr_parts(case.X, np.int64, np.int64)
    return SimpleNamespace(indptr=indptr, indices=indices, data=data, y=case.y, coef=case.coef)


def matrix(parts, shape=(N_ROWS, N_FEATURES)):
    return namespace(parts.indptr, parts.indices, parts.data, shape)


@every_call
def test_the_valid_matrix_is_accepted(call, parts):
    call(matrix(parts), parts.y, parts.coef)


@every_call
@pytest.mark.parametrize("index_dtype,indptr_dtype", INDEX_PAIRS)
@pytest.mark.parametrize("bad", [N_FEATURES, -1, 10**9, -(2**31), 2**32 + 3, -(2**63), 2**63 - 1])
def test_column_outside(call, parts, index_dtype, indptr_dtype, bad):
    if not np.iinfo(index_dtype).min <= bad <= np.iinfo(index_dtype).max:
        pytest.skip("not a number of this dtype")
    parts.indices = parts.indices.astype(index_dtype)
    parts.indptr = parts.indptr.astype(indptr_dtype)
    nnz = len(parts.data)
    for position in (0, nnz // 2, nnz - 1):
        row = int(np.searchsorted(parts.indptr, position, side="right")) - 1
        good = parts.indices[position]
        parts.indices[position] = bad
        with pytest.raises(hf.InvalidCSRError) as caught:
            call(matrix(parts), parts.y, parts.coef)
        assert f"X.indices[{position}] (row {row}) is {bad}, must be in [0, {N_FEATURES})" in str(
            caught.value
        )
        parts.indices[position] = good


def test_every_position_is_checked(parts):
    good = parts.indices.copy()
    for position in range(0, len(good), 3):
        parts.indices[position] = N_FEATURES
        for call in (one_call, scores_call):
            with pytest.raises(hf.InvalidCSRError, match=rf"X\.indices\[{position}\] "):
                call(matrix(parts), parts.y, parts.coef)
        parts.indices[position] = good[position]
    one_call(matrix(parts), parts.y, parts.coef)


@every_call
@pytest.mark.parametrize("indptr_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("damage", pointer_faults(), ids=lambda f: f.__name__)
def test_row_pointer_faults(call, parts, indptr_dtype, damage):
    parts.indptr = parts.indptr.astype(indptr_dtype)
    damage(parts.indptr)
    with pytest.raises(hf.InvalidCSRError, match=r"indptr") as caught:
        call(matrix(parts), parts.y, parts.coef)
    assert len(str(caught.value)) <= 500


@every_call
def test_row_pointer_huge(call, parts):
    for huge in (2**62, 2**63 - 1, -(2**63), 2**32 + int(parts.indptr[7])):
        parts.indptr[7] = huge
        with pytest.raises(hf.InvalidCSRError, match=r"indptr\[[78]\]"):
            call(matrix(parts), parts.y, parts.coef)


@every_call
@pytest.mark.parametrize("length", [0, 1, N_ROWS, N_ROWS + 2])
def test_lengths_of_members(call, parts, length):
    indptr = parts.indptr
    parts.indptr = np.resize(indptr, length)
    with pytest.raises(hf.InvalidCSRError, match="indptr"):
        call(matrix(parts), parts.y, parts.coef)
    parts.indptr = indptr
    parts.indices = parts.indices[:-1]
    with pytest.raises(hf.InvalidCSRError, match=r"indices.*data|data.*indices"):
        call(matrix(parts), parts.y, parts.coef)


@every_call
def test_entries_of_a_matrix_without_columns(call):
    X = namespace(np.array([0, 1, 2]), np.zeros(2, np.int64), np.ones(2), (2, 0))
    with pytest.raises(hf.InvalidCSRError, match=r"X\.indices\[0\] \(row 0\) is 0"):
        call(X, np.array([0, 1]), np.zeros((3, 0)))


@every_call
def test_other_formats(call, parts):
    X = matrix(parts)
    X.format = "csc"
    with pytest.raises(TypeError, match=r"\.tocsr\(\)"):
        call(X, parts.y, parts.coef)


@every_call
def test_decreasing_pointers_cost_nothing(call):
    n, nnz = 100_000, 100_000
    indptr = np.where(np.arange(n + 1) % 2, nnz, 0).astype(np.int64)
    X = namespace(indptr, np.zeros(nnz, np.int32), np.ones(nnz), (n, 4))
    start = time.perf_counter()
    with pytest.raises(hf.InvalidCSRError, match=r"indptr\[[12]\]"):
        call(X, np.arange(n) % 3, np.ones((3, 4)))
    assert time.perf_counter() - start < 2.0


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_lowest_position_for_any_number_of_threads(n_threads):
    X, y, coef, _ = random_csr(15_000, 1_200, 60, 4, seed=5)
    indices = X.indices.copy()
    for lowest in (31, 270_011, 899_999):
        indices[[lowest, 899_999]] = -7
        faulty = namespace(X.indptr, indices, X.data, X.shape)
        for call in (one_call, scores_call):
            with pytest.raises(hf.InvalidCSRError) as caught:
                call(faulty, y, coef, n_threads=n_threads)
            assert f"X.indices[{lowest}] (row {lowest // 60}) is -7" in str(caught.value)
        indices[[lowest, 899_999]] = X.indices[[lowest, 899_999]]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("position", [0, 250])
def test_order_of_faults(parts, n_threads, position):
    """Structure, indices, y, sample_weight: whatever comes first in this list is told, wherever it is."""

    def message():
        with pytest.raises(ValueError) as caught:
            one_call(matrix(parts), y, parts.coef, sample_weight=weights, n_threads=n_threads)
        return str(caught.value)

    y, weights = parts.y.copy(), np.ones(N_ROWS)
    weights[0] = -1.0
    assert "sample_weight[0]" in message()
    y[1] = N_CLASSES
    assert "y[1]" in message()
    parts.indices[position] = -1
    assert f"X.indices[{position}]" in message()
    parts.indptr[30] = -1
    assert "indptr" in message()


def test_inputs_and_out_are_untouched_by_a_fault(parts):
    X = matrix(parts)
    X.indices[-1] = -1
    out = (np.full((N_CLASSES, N_FEATURES), 7.0), np.full(N_CLASSES, 7.0))
    snapshot = bits(X.indptr, X.indices, X.data, parts.y, parts.coef)
    with pytest.raises(hf.InvalidCSRError):
        one_call(X, parts.y, parts.coef, out=out)
    assert all((each == 7.0).all() for each in out)
    assert bits(X.indptr, X.indices, X.data, parts.y, parts.coef) == snapshot


def judge(indptr, indices, data, shape, n_threads=None):
    """The call must accept what is valid, with the right scores, and refuse what is not."""
    X = namespace(indptr, indices, data, shape)
    n, d = shape
    y = np.arange(n) % 3
    coef = np.arange(3.0 * d).reshape(3, d) + 1
    if is_valid(indptr, indices, data, shape):
        np.testing.assert_allclose(
            hf.decision_function(X, coef, n_threads=n_threads), densify(X) @ coef.T, rtol=1e-12, atol=1e-12
        )
        value, _, _ = hf.linear_value_and_grad(
            X, y, coef, loss="crammer_singer", reduction="sum", n_threads=n_threads
        )
        assert np.isfinite(value)
        return True
    for call in (scores_call, one_call):
        with pytest.raises(hf.InvalidCSRError):
            call(X, y, coef, n_threads=n_threads)
    return False


SMALL = st.integers(-3, 12)
HOSTILE = st.one_of(SMALL, SMALL, SMALL, st.sampled_from([2**31 - 1, -(2**31), 2**20]))


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    indptr=st.lists(HOSTILE, min_size=0, max_size=7),
    indices=st.lists(HOSTILE, min_size=0, max_size=10),
    n=st.integers(0, 6),
    d=st.integers(0, 9),
    dtypes=st.sampled_from(INDEX_PAIRS),
    off=st.sampled_from([0, 0, 0, -1, 1]),
)
def test_any_buffers(indptr, indices, n, d, dtypes, off):
    data = np.ones(max(0, len(indices) + off))
    judge(np.array(indptr, dtypes[0]), np.array(indices, dtypes[1]), data, (n, d))


def test_seeded_fuzz_of_contents():
    """Matrices that are right but for a few numbers: the hardest to refuse, and some stay valid."""
    rng = np.random.default_rng(77)
    accepted = refused = 0
    for _ in range(600):
        n, d = int(rng.integers(1, 30)), int(rng.integers(1, 20))
        dense = rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.4)
        pair = INDEX_PAIRS[int(rng.integers(4))]
        indptr, indices, data = csr_parts(dense, *pair)
        for _ in range(int(rng.integers(0, 3))):
            target = indptr if rng.random() < 0.5 or not len(indices) else indices
            bad = int(rng.choice([-1, 0, 1, d - 1, d, n, len(data), len(data) + 1, 2**31 - 1, -(2**31)]))
            target[int(rng.integers(len(target)))] = bad
        if judge(indptr, indices, data, (n, d), n_threads=int(rng.integers(1, 4))):
            accepted += 1
        else:
            refused += 1
    assert accepted > 100 and refused > 100
