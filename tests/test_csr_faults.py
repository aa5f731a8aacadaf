"""Promise: no content of CSR buffers can do harm; a fault gets an error that names the lowest position."""

import sys
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LEVELS, bits, least_growth, raises, run_at_level
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds import FEW, INDEX_PAIRS, KINDS, as_csr, csr_parts, namespace
from reference import densify
from scipy import sparse

import hingefast as hf

pytestmark = [pytest.mark.at_every_level, pytest.mark.clang]

N_ROWS, N_FEATURES = 40, 50
THREADS = range(1, 9)


def loss_of(coef):
    """A flat loss and a smooth one, of one score a row or of K."""
    return ("hinge", "logistic") if coef.ndim == 1 else ("crammer_singer", "weston_watkins:logistic")


def one_call(X, y, coef, **keywords):
    return hf.linear_value_and_grad(X, y, coef, 0.5, loss=loss_of(coef)[0], **keywords)


def scores_call(X, y, coef, **keywords):
    return hf.decision_function(X, coef, 0.5, **keywords)


def objective_call(X, y, coef, **keywords):
    flat, smooth = loss_of(coef)
    classes = None if coef.ndim == 1 else len(coef)
    objective = hf.Objective(X, y, loss=smooth, classes=classes, **keywords)
    theta = np.zeros(objective.size)
    theta[: coef.size] = coef.ravel()
    objective.hessp(theta, theta)
    objective.step(theta.copy(), 0.1)
    return hf.Objective(X, y, loss=flat, classes=classes, **keywords).value_and_grad(theta)


CALLS = [one_call, scores_call, objective_call]
every_call = pytest.mark.parametrize("call", CALLS, ids=["linear", "decision", "objective"])
TWO = {"hinge": KINDS["hinge"], "crammer_singer": FEW["crammer_singer:hinge"]}
two_kinds = pytest.mark.parametrize("kind", TWO.values(), ids=TWO.keys())


@pytest.fixture(params=TWO.values(), ids=TWO.keys())
def parts(request):
    """indptr, indices, data of a valid matrix, with its labels and coefficients, of either kind."""
    kind = request.param
    case = kind.problem(N_ROWS, N_FEATURES, density=0.3, seed=11)
    indptr, indices, data = csr_parts(case.X, np.int64, np.int64)
    return SimpleNamespace(indptr=indptr, indices=indices, data=data, y=case.y, coef=case.coef, kind=kind)


def matrix(parts, shape=(N_ROWS, N_FEATURES)):
    return namespace(parts.indptr, parts.indices, parts.data, shape)


def ones(kind, n, d):
    """Labels of n rows and coefficients for d columns."""
    return kind.labels[np.arange(n) % 2], np.ones((*kind.shape, d))


@every_call
def test_the_valid_matrix_is_accepted(call, parts):
    call(matrix(parts), parts.y, parts.coef)


# Column indices


OUTSIDE = [
    (*pair, bad)
    for pair in INDEX_PAIRS
    for bad in (N_FEATURES, -1, 10**9, -(2**31), 2**32 + 3, -(2**63), 2**63 - 1)
    if np.iinfo(pair[0]).min <= bad <= np.iinfo(pair[0]).max
]


@every_call
@pytest.mark.parametrize("index_dtype,indptr_dtype,bad", OUTSIDE)
def test_column_outside(call, parts, index_dtype, indptr_dtype, bad):
    parts.indices = parts.indices.astype(index_dtype)
    parts.indptr = parts.indptr.astype(indptr_dtype)
    nnz = len(parts.data)
    for position in (0, nnz // 2, nnz - 1):
        row = int(np.searchsorted(parts.indptr, position, side="right")) - 1
        good, parts.indices[position] = parts.indices[position], bad
        with raises(
            hf.InvalidCSRError, f"X.indices[{position}] (row {row}) is {bad}, must be in [0, {N_FEATURES})"
        ):
            call(matrix(parts), parts.y, parts.coef)
        parts.indices[position] = good


def test_every_position_is_checked(parts):
    good = parts.indices.copy()
    for position in range(0, len(good), 1 if parts.kind.binary else 3):
        parts.indices[position] = N_FEATURES
        for call in (one_call, scores_call):
            with raises(hf.InvalidCSRError, f"X.indices[{position}] "):
                call(matrix(parts), parts.y, parts.coef)
        parts.indices[position] = good[position]
    one_call(matrix(parts), parts.y, parts.coef)


# Rows of every length around the lanes of a group of entries; of another dtype X goes through a tile.
LENGTHS = np.arange(18)
X_DTYPES = ("f4", "f8", "f2", ">f8")


def outside(index_dtype, d):
    """Columns that a matrix of d columns does not have, some of which are one of its columns in fewer bits."""
    for bad in (d, -1, d + 1, 2**31 - 1, -(2**31), 2**32, 2**32 + 3, -(2**32) + 1, 2**63 - 1, -(2**63)):
        if np.iinfo(index_dtype).min <= bad <= np.iinfo(index_dtype).max:
            yield bad


def refuse_columns(x_dtype, n_classes):
    """Columns outside in the last place of a row of each length and in every place of the longest; counts refusals."""
    d, n, refused = 50, len(LENGTHS), 0
    rng = np.random.default_rng(0)
    indptr = np.concatenate([[0], np.cumsum(LENGTHS)])
    columns, data = rng.integers(0, d, indptr[-1]), rng.integers(-3, 4, indptr[-1]).astype(x_dtype)
    y = np.where(rng.random(n) < 0.5, -1, 1) if n_classes == 1 else rng.integers(0, n_classes, n)
    coef = rng.standard_normal(d if n_classes == 1 else (n_classes, d))
    loss = "logistic" if n_classes == 1 else "weston_watkins"
    calls = (
        lambda X: hf.decision_function(X, coef),
        lambda X: hf.linear_value_and_grad(X, y, coef, loss=loss),
        lambda X: hf.decision_function(X, coef, rows=[*range(n), 0]),
        lambda X: hf.decision_function(X, coef, rows=[row]),  # so few entries that coef is read in place
    )
    for index_dtype in (np.int32, np.int64):
        indices = columns.astype(index_dtype)
        X = namespace(indptr.astype(index_dtype), indices, data, (n, d))
        for position in [*(indptr[2:] - 1), *range(indptr[-2], indptr[-1])]:
            row, good = int(np.searchsorted(indptr, position, side="right")) - 1, columns[position]
            every_bad = list(outside(index_dtype, d))
            for bad in [d, every_bad[1 + position % (len(every_bad) - 1)]]:
                indices[position] = bad
                for call in calls:
                    with pytest.raises(hf.InvalidCSRError) as caught:
                        call(X)
                    where = f"X.indices[{position}] (row {row}) is {bad}, must be in [0, {d})"
                    assert where in str(caught.value), (x_dtype, n_classes, index_dtype)
                    refused += 1
            indices[position] = good
        for call in calls:
            call(X)
    return refused


@pytest.mark.parametrize("level", LEVELS)
def test_columns_outside_for_every_dtype_and_level(level):
    code = f"""
import hingefast as hf
from test_csr_faults import X_DTYPES, refuse_columns
assert hf.show_config(mode="dicts")["level"] == {level!r}
print(*(refuse_columns(dtype, k) for dtype in X_DTYPES for k in (1, 3, 20) if k == 1 or dtype in ("f4", "f8")))
"""
    assert min(map(int, run_at_level(level, code).split())) > 500


@pytest.mark.parametrize("x_dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("loss", ["hinge", "crammer_singer"])
def test_an_objective_refuses_them_when_it_is_made(loss, index_dtype, x_dtype):
    """In the first and the last row, and on both sides of where blocks of rows may end."""
    n, d, per_row = 1_100, 30, 5
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, n)
    indices = rng.integers(0, d, n * per_row).astype(index_dtype)
    indptr = (np.arange(n + 1) * per_row).astype(index_dtype)
    X = namespace(indptr, indices, rng.integers(-3, 4, n * per_row).astype(x_dtype), (n, d))
    keywords = {"loss": loss, "classes": (0, 1) if loss == "hinge" else 2}
    hf.Objective(X, y, **keywords)
    for row in (0, 255, 256, 511, 512, 1_023, 1_024, n - 1):
        for position in (row * per_row, row * per_row + per_row - 1):
            for bad in list(outside(index_dtype, d))[:4]:
                good, indices[position] = indices[position], bad
                with pytest.raises(hf.InvalidCSRError) as caught:
                    hf.Objective(X, y, **keywords)
                where = f"X.indices[{position}] (row {row}) is {bad}, must be in [0, {d})"
                assert where in str(caught.value)
                indices[position] = good
    for row in (1, 511, 512, 600, 1_024, n - 1):
        good, indptr[row] = indptr[row], n * per_row + 1
        with pytest.raises(hf.InvalidCSRError, match="indptr"):
            hf.Objective(X, y, **keywords)
        indptr[row] = good


@every_call
def test_lowest_of_several_faults_in_one_task(call, parts):
    parts.indices[[300, 17, 200]] = [-5, N_FEATURES + 4, -1]
    row = int(np.searchsorted(parts.indptr, 17, side="right")) - 1
    with pytest.raises(hf.InvalidCSRError) as caught:
        call(matrix(parts), parts.y, parts.coef)
    assert f"X.indices[17] (row {row}) is {N_FEATURES + 4}, must be in [0, {N_FEATURES})" in str(caught.value)


@pytest.fixture(scope="module", params=TWO.values(), ids=TWO.keys())
def large(request):
    """About 1.2 million nonzeros, or 0.9: at least four tasks of 2^18."""
    return request.param.random_csr(20_000 if request.param.binary else 15_000, 1_200, 60, seed=5)


@pytest.mark.parametrize("n_threads", THREADS)
def test_lowest_position_for_any_number_of_threads(large, n_threads):
    X, y, coef, _ = large
    last = len(X.data) - 1
    for lowest in (31, 270_011, 700_123, last):
        indices = X.indices.copy()
        indices[last] = -7
        indices[max(lowest, last - 100_000)] = -8
        indices[lowest] = -9
        faulty = namespace(X.indptr, indices, X.data, X.shape)
        for call in (one_call, scores_call):
            with raises(
                hf.InvalidCSRError, f"X.indices[{lowest}] (row {lowest // 60}) is -9, must be in [0, 1200)"
            ):
                call(faulty, y, coef, n_threads=n_threads)


@every_call
@two_kinds
def test_entries_in_a_matrix_without_columns(kind, call):
    X = namespace(np.array([0, 1, 1]), np.array([0]), np.array([1.0]), (2, 0))
    with raises(hf.InvalidCSRError, "X.indices[0] (row 0) is 0"):
        call(X, *ones(kind, 2, 0))


# Row pointers


def pointer_faults():
    def starts_late(p):
        p[0] = 1

    def starts_negative(p):
        p[0] = -1

    def decreasing(p):
        p[20] = p[19] - 1

    def negative_inside(p):
        p[20] = -3

    def overshoots(p):
        p[20] = p[-1] + 1

    def ends_past(p):
        p[-1] += 1

    def ends_far_past(p):
        p[-1] = 2**31 - 1

    def last_decreasing(p):
        p[-1] = p[-2] - 1

    def all_but_first_negative(p):
        p[1:] = -1

    return list(locals().values())


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
        parts.indptr = csr_parts(np.eye(N_ROWS, N_FEATURES), np.int64, np.int64)[0]
        parts.indptr[7] = huge
        with pytest.raises(hf.InvalidCSRError, match=r"indptr\[[78]\]"):
            call(matrix(parts), parts.y, parts.coef)


@every_call
def test_the_lowest_pointer_is_named(call, parts):
    parts.indptr[30] = -4
    parts.indptr[12] = parts.indptr[11] - 2
    with pytest.raises(hf.InvalidCSRError, match=r"indptr\[1[12]\]"):
        call(matrix(parts), parts.y, parts.coef)


@pytest.mark.parametrize(
    "rows",
    [slice(None, None, 3), slice(None, None, -3), slice(3, None, 9), [5, 30, 12], [0, 12, 12]],
    ids=str,
)
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_a_pointer_of_a_batch_is_named(parts, rows, index_dtype):
    """The row is that of X, wherever it stands in the batch."""
    parts.indptr = parts.indptr.astype(index_dtype)
    parts.indptr[13] = parts.indptr[12] - 2
    rows = np.array(rows) if isinstance(rows, list) else rows
    match = rf"X.indptr\[13\] is {parts.indptr[13]}, must not be below X.indptr\[12\], which is {parts.indptr[12]}$"
    with pytest.raises(hf.InvalidCSRError, match=match):
        one_call(matrix(parts), parts.y, parts.coef, rows=rows)
    with pytest.raises(hf.InvalidCSRError, match=match):
        hf.decision_function(matrix(parts), parts.coef, rows=rows)


@pytest.mark.parametrize("n_threads", THREADS)
def test_the_lowest_pointer_for_any_number_of_threads(large, n_threads):
    X, y, coef, _ = large
    indptr = X.indptr.copy()
    indptr[14_000] = 5
    indptr[9_000] = 4
    faulty = namespace(indptr, X.indices, X.data, X.shape)
    for call in (one_call, scores_call):
        with pytest.raises(hf.InvalidCSRError, match=r"indptr\[(8999|9000)\]"):
            call(faulty, y, coef, n_threads=n_threads)


@every_call
@pytest.mark.parametrize("length", [0, 1, N_ROWS - 1, N_ROWS, N_ROWS + 2])
def test_indptr_of_the_wrong_length(call, parts, length):
    parts.indptr = np.resize(parts.indptr, length)
    with pytest.raises(hf.InvalidCSRError, match="indptr"):
        call(matrix(parts), parts.y, parts.coef)


@every_call
@pytest.mark.parametrize("shorter", ["indices", "data"])
def test_indices_and_data_of_different_length(call, parts, shorter):
    setattr(parts, shorter, getattr(parts, shorter)[:-1])
    with pytest.raises(hf.InvalidCSRError, match=r"indices.*data|data.*indices"):
        call(matrix(parts), parts.y, parts.coef)


@every_call
@two_kinds
def test_empty_arrays_that_scipy_accepts(kind, call):
    X = namespace(np.array([0, 5, 0]), np.zeros(0, np.int64), np.zeros(0), (2, 3))
    with pytest.raises(hf.InvalidCSRError, match="indptr"):
        call(X, *ones(kind, 2, 3))


@every_call
@pytest.mark.parametrize(
    "shape", [(2**40, N_FEATURES), (N_ROWS + 1, N_FEATURES), (N_ROWS - 1, N_FEATURES), (2**62, 2**62)]
)
def test_shape_that_the_pointers_do_not_have(call, parts, shape):
    coef = parts.coef
    with pytest.raises(ValueError):
        call(matrix(parts, shape), parts.y, coef)


@every_call
@pytest.mark.parametrize("shape", [(N_ROWS,), (N_ROWS, N_FEATURES, 1), (), (-1, N_FEATURES), (N_ROWS, -1)])
def test_shape_that_is_no_matrix(call, parts, shape):
    with pytest.raises((ValueError, TypeError), match=r"X|shape"):
        call(matrix(parts, shape), parts.y, parts.coef)


@every_call
@pytest.mark.parametrize(
    "shape",
    [
        (N_ROWS, 2**63),
        (2**63, N_FEATURES),
        (N_ROWS, 2**64),
        (10**5000, N_FEATURES),
        (N_ROWS, -(10**5000)),
        (N_ROWS, 2**60),  # eight bytes for each are more than there are addresses
        (N_ROWS, 2**57),
        (np.inf, N_FEATURES),
        (N_ROWS, np.nan),
        (N_ROWS + 0.5, N_FEATURES),
        (float(N_ROWS), N_FEATURES),
        (str(N_ROWS), str(N_FEATURES)),
        (None, N_FEATURES),
        "ab",
        7,
        [[N_ROWS], [N_FEATURES]],
        [0.5] * 10_000,
    ],
    ids=range(17),
)
def test_shape_that_no_matrix_has(call, parts, shape):
    with raises(ValueError, "X") as caught:
        call(matrix(parts, shape), parts.y, parts.coef)
    assert "coef" not in str(caught.value)


def test_too_many_features_for_the_classes(parts):
    """Kernels count the bytes of all classes together."""
    X = matrix(parts, (N_ROWS, 2**50))
    with raises(ValueError, "X", "features", "classes"):
        hf.Objective(X, np.zeros(N_ROWS, int), loss="crammer_singer", classes=2**20)


@every_call
def test_kinds_of_integers_in_the_shape(call, parts):
    want = call(matrix(parts), parts.y, parts.coef)
    for kind in (np.array, np.int16, np.uint64):
        got = call(matrix(parts, (kind(N_ROWS), kind(N_FEATURES))), parts.y, parts.coef)
        assert bits(got) == bits(want)
    got = call(matrix(parts, np.array([N_ROWS, N_FEATURES])), parts.y, parts.coef)
    assert bits(got) == bits(want)


@every_call
@pytest.mark.parametrize("member", ["indptr", "indices", "data", "shape", "format"])
@pytest.mark.parametrize("error", [AttributeError, RuntimeError, OverflowError, KeyError])
def test_members_that_raise(call, parts, member, error):
    class Matrix:
        shape, format = (N_ROWS, N_FEATURES), "csr"
        indptr, indices, data = parts.indptr, parts.indices, parts.data

    def fail(self):
        raise error("x" * 3000)

    setattr(Matrix, member, property(fail))
    if member == "format":  # where there is one
        assert bits(call(Matrix(), parts.y, parts.coef)) == bits(call(matrix(parts), parts.y, parts.coef))
        return
    with raises(TypeError, "X"):
        call(Matrix(), parts.y, parts.coef)


@pytest.mark.parametrize("member", ["indptr", "indices", "data"])
@pytest.mark.parametrize("change", ["strided", "swapped", "as it is", "memoryview"])
def test_out_over_a_member(parts, member, change):
    """Also over row pointers that are copied to be contiguous and native."""
    given = getattr(parts, member)
    if change == "strided":
        given = np.repeat(given, 2)[::2]
    elif change == "swapped":
        given = given.astype(given.dtype.newbyteorder())
    memory = given if given.base is None else given.base
    setattr(parts, member, memoryview(given) if change == "memoryview" else given)
    X = matrix(parts)
    before = memory.tobytes()
    shape = (N_ROWS, *parts.kind.shape)
    size = 8 * int(np.prod(shape))
    for place in {0, memory.nbytes - size}:
        if size > memory.nbytes:
            pytest.skip("the scores of several classes are more than this member")
        out = memory.view(np.uint8)[place : place + size].view(np.float64).reshape(shape)
        with raises(ValueError, "out", "overlap", f"X.{member}"):
            hf.decision_function(X, parts.coef, out=out)
        objective = parts.kind.objective(X, parts.y, fit_intercept=False)
        with raises(ValueError, "out", "overlap", f"X.{member}"):
            objective.decision_function(parts.coef.ravel(), out=out)
        theta = memory.view(np.uint8)[: 8 * objective.size].view(np.float64)
        if theta.size == objective.size:
            with raises(ValueError, "theta", "overlap", f"X.{member}"):
                objective.step(theta, 0.1)
    assert memory.tobytes() == before


@pytest.mark.filterwarnings("ignore:Setting the .* on a NumPy array:DeprecationWarning")  # since NumPy 2.5
def test_members_reshaped_after_the_check(parts):
    """An `Objective` keeps views of its own."""
    parts.data = parts.data.astype(np.longdouble)  # read through slices of the array
    loss, theta = loss_of(parts.coef)[1], parts.coef.ravel()
    objective = parts.kind.objective(matrix(parts), parts.y, loss=loss, fit_intercept=False)
    want = objective.value_and_grad(theta)
    for array in (parts.data, parts.indices, parts.indptr):
        array.shape = (array.size, 1)
        array.dtype = np.uint8
    assert bits(objective.value_and_grad(theta)) == bits(want)


@every_call
@pytest.mark.parametrize("member", ["indptr", "indices", "data"])
def test_two_dimensional_members(call, parts, member):
    setattr(parts, member, getattr(parts, member).reshape(-1, 1))
    with pytest.raises((ValueError, TypeError), match=member):
        call(matrix(parts), parts.y, parts.coef)


@every_call
@two_kinds
def test_decreasing_pointers_cost_nothing(kind, call):
    """Clamped only into [0, nnz] these rows would visit 10^10 entries; an honest pass takes milliseconds."""
    n, nnz = 200_000, 100_000
    indptr = np.where(np.arange(n + 1) % 2, nnz, 0).astype(np.int64)
    X = namespace(indptr, np.zeros(nnz, np.int32), np.ones(nnz), (n, 4))
    y, coef = ones(kind, n, 4)
    start = time.perf_counter()
    with pytest.raises(hf.InvalidCSRError, match=r"indptr\[[12]\]"):
        call(X, y, coef)
    assert time.perf_counter() - start < 2.0


# Kinds


@every_call
@pytest.mark.parametrize("form", ["csc", "bsr", "coo", "lil", "dok", "dia"])
@two_kinds
def test_other_sparse_formats(call, form, kind):
    for made in ("array", "matrix"):
        X = getattr(sparse, f"{form}_{made}")(np.eye(4))
        with raises(TypeError, ".tocsr()"):
            call(X, *ones(kind, 4, 4))


@every_call
def test_a_namespace_of_another_format(call, parts):
    X = matrix(parts)
    X.format = "csc"
    with pytest.raises(TypeError, match=r"\.tocsr\(\)"):
        call(X, parts.y, parts.coef)
    X.format = "csr"
    call(X, parts.y, parts.coef)


@every_call
@pytest.mark.parametrize("member", ["indices", "indptr"])
@pytest.mark.parametrize(
    "dtype", [np.uint32, np.uint64, np.int16, np.int8, np.float64, bool, object, complex]
)
@two_kinds
def test_index_dtypes(kind, call, member, dtype):
    good = csr_parts(np.eye(2, 2), np.int64, np.int64)
    X = namespace(*good, (2, 2))
    setattr(X, member, getattr(X, member).astype(dtype))
    with raises(TypeError, member):
        call(X, *ones(kind, 2, 2))


@every_call
@pytest.mark.parametrize("dtype", [complex, object, "S3", "U3", "M8[s]", "m8[s]"])
@two_kinds
def test_data_dtypes(kind, call, dtype):
    indptr, indices, _ = csr_parts(np.eye(2, 2), np.int64, np.int64)
    X = namespace(indptr, indices, np.zeros(2, dtype=dtype), (2, 2))
    with raises(TypeError, "data"):
        call(X, *ones(kind, 2, 2))


@every_call
def test_masked_members(call, parts):
    for member in ("indptr", "indices", "data"):
        X = matrix(parts)
        setattr(X, member, np.ma.masked_array(getattr(X, member)))
        with pytest.raises(TypeError, match="mask"):
            call(X, parts.y, parts.coef)


# Order of faults and leaks


@pytest.mark.parametrize("n_threads", [1, 2, 8])
@pytest.mark.parametrize("position", [0, 250])
def test_order_of_faults(parts, n_threads, position):
    """Structure, indices, y, sample_weight: whatever comes first in this list is told, wherever it is."""

    def message():
        with pytest.raises(ValueError) as caught:
            one_call(matrix(parts), y, parts.coef, sample_weight=weights, n_threads=n_threads)
        return str(caught.value)

    y, weights = parts.y.astype(float), np.ones(N_ROWS)
    weights[0] = -1.0
    assert "sample_weight[0]" in message()
    y[1] = 7.0
    assert "y[1]" in message()
    good = parts.indices[position]
    parts.indices[position] = -1
    assert f"X.indices[{position}]" in message()
    parts.indices[position] = good
    parts.indptr[30] = -1
    assert "indptr" in message()
    parts.indices[position] = -1
    assert "indptr" in message()


@pytest.mark.parametrize("loss", ["hinge", "crammer_singer"])
@pytest.mark.parametrize("behind", [1, 15, 254, 600])
def test_faults_behind_a_row_that_is_not_there(loss, behind):
    """A bad number in `rows` is told last, whether the other fault is in the same block of rows or in a later one."""
    n, d, per_row = 40, 6, 3
    rng = np.random.default_rng(2)
    coef = rng.standard_normal((2, d)) if loss == "crammer_singer" else rng.standard_normal(d)
    indptr, indices = np.arange(n + 1) * per_row, rng.integers(0, d, n * per_row)
    X = namespace(indptr, indices, rng.standard_normal(n * per_row), (n, d))
    y, weights = rng.integers(0, 2, n), np.ones(n)
    keywords = {"loss": loss, "sample_weight": weights}
    classes = (0, 1) if loss == "hinge" else 2
    objective = hf.Objective(X, y, classes=classes, **keywords)
    theta = np.zeros(objective.size)
    rows = np.full(700, 7)
    rows[20] = n + 2
    rows[20 + behind] = 30
    calls = {
        "linear": lambda: hf.linear_value_and_grad(X, y, coef, classes=(0, 1), rows=rows, **keywords),
        "value": lambda: objective.value(theta, rows=rows),
        "gradient": lambda: objective.value_and_grad(theta, rows=rows),
        "step": lambda: objective.step(theta, 0.1, rows=rows),
        "scores": lambda: hf.decision_function(X, coef, rows=rows),
        "Objective's scores": lambda: objective.decision_function(theta, rows=rows),
    }

    def told():
        """What each call says first."""
        first = {}
        for name, call in calls.items():
            with pytest.raises(ValueError) as caught:
                call()
            first[name] = str(caught.value).split()[0]
        return first

    of_rows = dict.fromkeys(calls, "rows[20]")
    of_scores = {"scores": "rows[20]", "Objective's scores": "rows[20]"}
    assert told() == of_rows
    weights[30] = -1
    assert told() == dict.fromkeys(calls, "sample_weight[30]") | of_scores
    y[30] = 5
    with pytest.raises(ValueError, match=r"y\[30\] is 5"):
        calls["linear"]()
    assert told() == dict.fromkeys(calls, "y") | of_scores
    indices[92] = d
    assert told() == dict.fromkeys(calls, "X.indices[92]")
    indptr[31] = n * per_row + 1
    assert all(first.startswith("X.indptr[") for first in told().values())


@pytest.mark.no_sanitizer
def test_failing_calls_leak_nothing(parts):
    X = matrix(parts)
    bad_index = namespace(X.indptr, X.indices.copy(), X.data, X.shape)
    bad_index.indices[100] = -1
    bad_pointer = namespace(X.indptr.copy(), X.indices, X.data, X.shape)
    bad_pointer.indptr[5] = 10**6
    y_bad = parts.y.copy()
    y_bad[7] = parts.kind.wrong_label
    out = np.empty(parts.coef.shape)
    arrays = [
        X.indptr,
        X.indices,
        X.data,
        bad_index.indices,
        bad_pointer.indptr,
        parts.y,
        y_bad,
        parts.coef,
        out,
    ]

    def failing():
        for matrix_, labels in ((bad_index, parts.y), (bad_pointer, parts.y), (X, y_bad), (X, parts.y[:-1])):
            for loss in loss_of(parts.coef):
                try:
                    hf.linear_value_and_grad(matrix_, labels, parts.coef, loss=loss, out=out)
                except ValueError:
                    continue
                raise AssertionError("the call must fail")

    for _ in range(3):
        failing()
    counts = [sys.getrefcount(a) for a in arrays]

    def batch():
        for _ in range(50):
            failing()

    grown = least_growth(batch)
    assert [sys.getrefcount(a) for a in arrays] == counts
    # 400 failing calls: one leaked object a call would be 8 KB at least.
    assert grown < 4_000


def test_inputs_and_out_are_untouched_by_a_fault(parts):
    X = matrix(parts)
    X.indices[-1] = -1
    grads = [np.full(parts.coef.shape, 7.0)]
    if not parts.kind.binary:
        grads.append(np.full(parts.kind.n_classes, 7.0))
    out = grads[0] if parts.kind.binary else tuple(grads)
    snapshot = bits(X.indptr, X.indices, X.data, parts.y, parts.coef)
    with pytest.raises(hf.InvalidCSRError):
        one_call(X, parts.y, parts.coef, out=out)
    assert all((each == 7.0).all() for each in grads)
    assert bits(X.indptr, X.indices, X.data, parts.y, parts.coef) == snapshot


# Hostile buffers


def is_valid(indptr, indices, data, shape):
    """The definition of CSR, trailing slack allowed."""
    n, d = shape
    pointers = [int(p) for p in indptr]
    if len(pointers) != n + 1 or pointers[0] != 0 or len(indices) != len(data):
        return False
    if any(b < a for a, b in pairwise(pointers)) or pointers[-1] > len(indices):
        return False
    return all(0 <= int(j) < d for j in indices[: pointers[-1]])


def judge(indptr, indices, data, shape, n_threads=None):
    """The calls of either kind must accept what is valid, with the right scores, and refuse what is not."""
    X = namespace(indptr, indices, data, shape)
    n, d = shape
    valid = is_valid(indptr, indices, data, shape)
    for y, coef in (
        (np.where(np.arange(n) % 2, 1, -1), 1.0 + np.arange(d, dtype=np.float64)),
        (np.arange(n) % 3, 1.0 + np.arange(3.0 * d).reshape(3, d)),
    ):
        if valid:
            scores = hf.decision_function(X, coef, n_threads=n_threads)
            np.testing.assert_allclose(scores, densify(X) @ coef.T, rtol=1e-12, atol=1e-12)
            value, _, _ = one_call(X, y, coef, reduction="sum", n_threads=n_threads)
            assert np.isfinite(value)
            continue
        for call in (scores_call, one_call):
            with pytest.raises(hf.InvalidCSRError):
                call(X, y, coef, n_threads=n_threads)
    return valid


SMALL = st.integers(-3, 12)
HOSTILE = st.one_of(SMALL, SMALL, SMALL, st.sampled_from([2**31 - 1, -(2**31), 2**20]))


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
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
    for _ in range(1050):
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
    assert accepted > 200 and refused > 200


@pytest.mark.parametrize("n_threads", [1, 2])
def test_buffers_changed_by_another_thread(large, n_threads):
    """Calls may succeed or fail while the contents change under them; nothing else, and the next call works."""
    X, y, coef, intercept = large
    loss = loss_of(coef)[0]
    indptr, indices = X.indptr.copy(), X.indices.copy()
    shared = namespace(indptr, indices, X.data, X.shape)
    labels = y.copy()
    stop = threading.Event()
    changes = 0

    def disturb():
        nonlocal changes
        rng = np.random.default_rng(3)
        hostile = np.array([-1, 2**31 - 1, -(2**31), 1_200, 0, 700_000], dtype=np.int32)
        while not stop.is_set():
            indptr[rng.integers(0, len(indptr), 50)] = rng.choice(hostile, 50)
            indices[rng.integers(0, len(indices), 50)] = rng.choice(hostile, 50)
            labels[rng.integers(0, len(labels), 5)] = 0 if coef.ndim == 1 else len(coef)
            indptr[:] = X.indptr
            indices[:] = X.indices
            labels[:] = y
            changes += 1

    thread = threading.Thread(target=disturb)
    thread.start()
    failed = 0
    try:
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            try:
                hf.linear_value_and_grad(shared, labels, coef, intercept, loss=loss, n_threads=n_threads)
                hf.decision_function(shared, coef, intercept, n_threads=n_threads)
            except ValueError:
                failed += 1
    finally:
        stop.set()
        thread.join()
    assert changes > 10 and failed > 0
    again = hf.linear_value_and_grad(shared, labels, coef, intercept, loss=loss, n_threads=n_threads)
    assert bits(again) == bits(hf.linear_value_and_grad(X, y, coef, intercept, loss=loss, n_threads=1))


@two_kinds
def test_kernels_stay_safe_when_the_data_change_after_the_check(kind):
    case = kind.problem(60, 20, density=0.3, seed=4)
    X = as_csr(case.X)
    objective = kind.objective(X, case.y)
    theta = objective.pack(case.coef, case.intercept)
    before = bits(objective.value_and_grad(theta))
    for member, bad in (("indices", -1), ("indices", 10**6), ("indptr", -5), ("indptr", 2**31 - 1)):
        array = getattr(X, member)
        good = array[10]
        array[10] = bad
        for call in (objective.value_and_grad, objective.decision_function, objective.value, objective.grad):
            with pytest.raises(hf.InvalidCSRError):
                call(theta)
        stepped = theta.copy()
        with pytest.raises(hf.InvalidCSRError):
            objective.step(stepped, 0.1)
        assert np.array_equal(stepped, theta)
        array[10] = good
    assert bits(objective.value_and_grad(theta)) == before


@every_call
def test_attributes_are_read_once(call, parts):
    reads = {}

    class Watched:
        def __getattr__(self, name):
            if name in ("indptr", "indices", "data", "shape"):
                reads[name] = reads.get(name, 0) + 1
                return getattr(plain, name)
            raise AttributeError(name)

    plain = matrix(parts)
    call(Watched(), parts.y, parts.coef)
    times = 2 if call is objective_call else 1  # which makes two
    assert reads == dict.fromkeys(("indptr", "indices", "data", "shape"), times)
