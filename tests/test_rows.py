"""Promise: `rows=` gives the bits of the same call on X[rows], y[rows], sample_weight[rows], and reads no other row."""

import functools

import numpy as np
import pytest
from conftest import DTYPES, bits, raises
from kinds import as_csr, both_kinds, csr_parts, namespace

import hingefast as hf

pytestmark = pytest.mark.sanitizer

N_ROWS, N_FEATURES = 150, 21
SLICES = [
    slice(None),
    slice(10, 90),
    slice(None, None, 3),
    slice(140, 3, -7),
    slice(None, None, -1),
    slice(-20, None),
    slice(5, 10_000),
    slice(149, None),
    slice(0, 1),
    slice(7, 8, 5),
    slice(-1, -152, -2),
]
_RNG = np.random.default_rng(0)
ARRAYS = [
    np.array([3]),
    np.arange(N_ROWS),
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
    "reversed": lambda X: X[::-1].copy()[::-1],
    "big endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "csr": as_csr,
    "csr_matrix": lambda X: as_csr(X, "csr_matrix", np.int32, np.int64),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
# Of either kind a loss that is flat beyond the margin and one that is flat nowhere.
SMOOTH = {"hinge": "logistic", "crammer_singer:squared_hinge": "weston_watkins:logistic"}


@functools.cache
def case_of(kind, dtype=np.float64):
    case = kind.problem(N_ROWS, N_FEATURES, dtype, seed=21, density=0.6)
    for array in (case.X, case.y, case.coef, case.weights):
        array.flags.writeable = False
    return case


@pytest.fixture
def case(kind):
    return case_of(kind)


def in_layout(X, layout, rows=None):
    """X as `layout` says, or the rows of it by themselves, whose row pointers may be of another width."""
    if rows is not None:
        return LAYOUTS["csr" if layout == "csr_matrix" else layout](np.ascontiguousarray(X[rows]))
    return LAYOUTS[layout](X)


@both_kinds
@every_rows
@every_layout
def test_rows_have_the_bits_of_the_part(kind, layout, rows):
    for dtype in DTYPES:
        case = case_of(kind, dtype)
        X, part = in_layout(case.X, layout), in_layout(case.X, layout, rows)
        scores = hf.decision_function(X, case.coef, case.intercept, rows=rows)
        assert bits(scores) == bits(hf.decision_function(part, case.coef, case.intercept))
        for loss in (kind.loss, SMOOTH[kind.name]):
            for weights in (None, case.weights):
                for reduction in ("mean", "sum"):
                    more = {"loss": loss, "reduction": reduction, "alpha": 0.5}
                    more["class_weight"] = kind.class_weight
                    whole = kind.call(X, case, rows=rows, sample_weight=weights, **more)
                    of_rows = None if weights is None else weights[rows]
                    of_part = kind.call(part, case, y=case.y[rows], sample_weight=of_rows, **more)
                    assert bits(whole) == bits(of_part)


@both_kinds
@every_rows
@every_layout
def test_objective_takes_rows(kind, case, layout, rows):
    keywords = {"loss": "squared_hinge" if kind.binary else kind.loss, "alpha": 0.5}
    whole = kind.objective(in_layout(case.X, layout), case.y, sample_weight=case.weights, **keywords)
    X = in_layout(case.X, "csr" if "csr" in layout else "dense", rows)
    part = kind.objective(X, case.y[rows], sample_weight=case.weights[rows], **keywords)
    theta = whole.pack(case.coef, case.intercept)
    want = part.value_and_grad(theta)
    assert bits(whole.value_and_grad(theta, rows=rows)) == bits(want)
    assert bits(whole.value(theta, rows=rows), whole.grad(theta, rows=rows)) == bits(want)
    assert bits(whole.decision_function(theta, rows=rows)) == bits(part.decision_function(theta))
    assert bits(whole(theta, rows=rows)) == bits(part(theta))
    one, other = theta.copy(), theta.copy()
    assert whole.step(one, 0.25, rows=rows) == part.step(other, 0.25) == want[0]
    assert bits(one) == bits(other)


@both_kinds
@pytest.mark.parametrize(
    "index_dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32, np.uint64, ">i8"]
)
def test_integer_dtypes_of_rows(kind, case, index_dtype):
    rows = np.array([3, 100, 3, 0, 99])
    want = kind.call(case.X, case, rows=rows)
    for X in (case.X, as_csr(case.X)):
        got = kind.call(X, case, rows=rows.astype(index_dtype))
        assert bits(got) == bits(kind.call(X, case, rows=rows))
    assert bits(kind.call(case.X, case, rows=rows.tolist())) == bits(want)
    strided = np.repeat(rows, 3)[::3]
    assert bits(kind.call(case.X, case, rows=strided)) == bits(want)


@both_kinds
def test_no_rows(kind, case):
    for X in (case.X, as_csr(case.X)):
        for rows in (slice(5, 5), slice(10, 3), np.zeros(0, dtype=np.int64), []):
            value, grad, grad_intercept = kind.call(X, case, rows=rows, reduction="sum")
            assert value == 0.0 and not np.any(grad_intercept) and not grad.any()
            assert grad.shape == (*kind.shape, N_FEATURES)
            assert hf.decision_function(X, case.coef, rows=rows).shape == (0, *kind.shape)
            with pytest.raises(ValueError):
                kind.call(X, case, rows=rows)


@both_kinds
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("sparse_too", [False, True], ids=["dense", "csr"])
def test_rows_of_several_tasks(kind, n_threads, sparse_too):
    rng = np.random.default_rng(22)
    if sparse_too:
        n, d, per_row = (20_000, 1_200, 50) if kind.binary else (12_000, 1_000, 40)
        X, y, coef, intercept = kind.random_csr(n, d, per_row, seed=22)
        case = None
    else:
        n, d = (6_000, 300) if kind.binary else (3_000, 300)
        case = kind.problem(n, d, seed=22)
        X, y, coef, intercept = case.X, case.y, case.coef, case.intercept
    weights = rng.uniform(0, 2, n)
    for rows in (rng.integers(0, n, n + n // 4), slice(None, None, 2), slice(n - 100, 50, -1)):
        picked = np.arange(n)[rows]
        if sparse_too:
            indptr = np.arange(picked.size + 1, dtype=np.int32) * per_row
            indices, data = X.indices.reshape(-1, per_row)[picked], X.data.reshape(-1, per_row)[picked]
            part = namespace(indptr, indices.ravel(), data.ravel(), (picked.size, d))
        else:
            part = X[picked]
        loss = {"loss": "squared_hinge" if kind.binary else kind.loss}
        whole = hf.linear_value_and_grad(
            X, y, coef, intercept, rows=rows, sample_weight=weights, n_threads=n_threads, **loss
        )
        want = hf.linear_value_and_grad(
            part, y[picked], coef, intercept, sample_weight=weights[picked], n_threads=1, **loss
        )
        assert bits(whole) == bits(want)
        scores = hf.decision_function(X, coef, intercept, rows=rows, n_threads=n_threads)
        assert bits(scores) == bits(hf.decision_function(part, coef, intercept))


@both_kinds
def test_only_the_named_rows_are_read_and_checked(kind, case):
    """Labels, weights, features and indices of other rows may be anything."""
    rows = np.array([4, 77, 100, 4])
    others = np.setdiff1d(np.arange(N_ROWS), rows)
    y, weights, X = case.y.astype(np.float64), case.weights.copy(), case.X.copy()
    want, sparse_want = (
        kind.call(A, case, y=y, rows=rows, sample_weight=weights) for A in (X, as_csr(case.X))
    )
    y[others], weights[others], X[others] = np.nan, -np.inf, np.nan
    assert bits(kind.call(X, case, y=y, rows=rows, sample_weight=weights)) == bits(want)
    indptr, indices, data = csr_parts(case.X)
    keep = np.isin(np.repeat(np.arange(N_ROWS), np.diff(indptr)), rows)
    indices[~keep], data[~keep] = -5, np.nan
    broken = namespace(indptr, indices, data, case.X.shape)
    assert bits(kind.call(broken, case, y=y, rows=rows, sample_weight=weights)) == bits(sparse_want)
    with pytest.raises(hf.InvalidCSRError):
        hf.decision_function(broken, case.coef)


@both_kinds
def test_faults_in_the_named_rows_name_their_place_in_X(kind, case):
    """A position is the one in y, sample_weight and X, not the one in `rows`."""
    y, weights = case.y.copy(), case.weights.copy()
    y[77], weights[100] = kind.wrong_label, -1.0
    with raises(ValueError, "y[77]"):
        kind.call(case.X, case, y=y, rows=[3, 77, 4])
    with raises(ValueError, "sample_weight[100]"):
        kind.call(case.X, case, rows=[3, 100, 4], sample_weight=weights)
    indptr, indices, data = csr_parts(case.X)
    position = int(indptr[77]) + 1
    indices[position] = -1
    X = namespace(indptr, indices, data, case.X.shape)
    for call in (
        lambda rows: kind.call(X, case, rows=rows),
        lambda rows: hf.decision_function(X, case.coef, rows=rows),
    ):
        with raises(hf.InvalidCSRError, f"X.indices[{position}] (row 77) is -1"):
            call(np.array([90, 77, 4]))
        call(np.array([90, 4]))


@both_kinds
@pytest.mark.parametrize("bad", [N_ROWS, -1, 10**9, -(2**31), 2**31, 2**63 - 1, -(2**63), 2**32 + 3])
def test_rows_outside(kind, case, bad):
    for place in (0, 1, 40):
        rows = np.arange(41)
        rows[[place, 40]] = bad
        for X in (case.X, as_csr(case.X), np.asfortranarray(case.X)):
            for n_threads in (1, 2):
                with raises(ValueError, f"rows[{place}] is {bad}", f"[0, {N_ROWS})"):
                    kind.call(X, case, rows=rows, n_threads=n_threads)
                with raises(ValueError, f"rows[{place}] is {bad}"):
                    hf.decision_function(X, case.coef, rows=rows, n_threads=n_threads)
            objective = kind.objective(X, case.y)
            theta = np.zeros(objective.size)
            for call in (
                lambda objective=objective, theta=theta, rows=rows: objective.value_and_grad(
                    theta, rows=rows
                ),
                lambda objective=objective, theta=theta, rows=rows: objective.step(theta, 0.1, rows=rows),
                lambda objective=objective, theta=theta, rows=rows: objective.decision_function(
                    theta, rows=rows
                ),
            ):
                with raises(ValueError, f"rows[{place}]"):
                    call()
            assert not theta.any()


@both_kinds
def test_no_rows_have_one_dimension(kind, case):
    with raises(TypeError, "rows"):
        kind.call(case.X, case, rows=[[]], reduction="sum")


@both_kinds
def test_rows_of_unsigned_numbers_are_told_as_they_are(kind, case):
    rows = np.array([0, 2**63 + 1], np.uint64)
    with raises(ValueError, "rows[1] is 9223372036854775809"):
        kind.call(case.X, case, rows=rows)


@both_kinds
def test_rows_of_unsigned_numbers_beyond_int64(kind, case):
    with raises(ValueError, "rows[0]"):
        hf.decision_function(case.X, case.coef, rows=np.array([2**64 - 1], dtype=np.uint64))


@both_kinds
@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_lowest_row_outside(kind, n_threads):
    case = kind.problem(500, 300, seed=23)
    rows = np.random.default_rng(23).integers(0, 500, 20_000)
    rows[[19_999, 15_000, 7_777]] = [-3, -2, 500]
    with raises(ValueError, "rows[7777] is 500"):
        kind.call(case.X, case, rows=rows, n_threads=n_threads)


@both_kinds
def test_rows_of_another_kind(kind, case):
    for bad in (np.ones(N_ROWS, dtype=bool), [True, False]):
        with raises(TypeError, "np.flatnonzero"):
            kind.call(case.X, case, rows=bad)
        with raises(TypeError, "np.flatnonzero"):
            hf.decision_function(case.X, case.coef, rows=bad)
    for bad in (
        np.array([0.0, 1.0]),
        "rows",
        np.array(["1"]),
        np.array([1], dtype=object),
        np.ma.array([1]),
        3.0,
        1j,
    ):
        with raises(TypeError, "rows"):
            kind.call(case.X, case, rows=bad)
    for bad in (np.array([[1, 2]]), np.zeros((2, 2), dtype=int)):
        with raises(ValueError, "rows"):
            kind.call(case.X, case, rows=bad)
    for bad in (np.array(1), 1):
        with pytest.raises((TypeError, ValueError), match="rows"):
            kind.call(case.X, case, rows=bad)
    with pytest.raises(ValueError, match=r"rows .*zero"):
        hf.decision_function(case.X, case.coef, rows=slice(0, 5, 0))
    with pytest.raises(TypeError, match=r"rows .*integers"):
        hf.decision_function(case.X, case.coef, rows=slice(0.0, 5.0))
    with pytest.raises(ValueError, match="rows"):
        hf.decision_function(case.X, case.coef, rows=[[1], [1, 2]])
    for bad in (slice("a" * 5000), slice(0, 5, [0] * 5000), slice(object())):
        with raises(TypeError, "rows", "integers"):
            hf.decision_function(case.X, case.coef, rows=bad)


HUGE_SLICES = [slice(None, None, step) for step in (2**70, -(2**70), 2**63, 2**63 - 1, -(2**63), 10**400)] + [
    slice(2**70, None),
    slice(-(2**70), 2**70),
    slice(None, -(2**70), -1),
    slice(2**70, -(2**70), -(2**63)),
]


@both_kinds
@pytest.mark.parametrize("rows", HUGE_SLICES, ids=lambda rows: str(rows)[:40])
def test_slices_of_any_integers(kind, case, rows):
    """As NumPy takes them: X[::2**70] is X[:1]."""
    arguments = {"reduction": "sum", "loss": SMOOTH[kind.name], "intercept": 0.0}
    want = kind.call(case.X[rows], case, y=case.y[rows], **arguments)
    assert bits(kind.call(case.X, case, rows=rows, **arguments)) == bits(want)
    assert bits(hf.decision_function(case.X, case.coef, rows=rows)) == bits(
        hf.decision_function(case.X[rows], case.coef)
    )
    objective = kind.objective(case.X, case.y, fit_intercept=False, reduction="sum", loss=SMOOTH[kind.name])
    assert bits(objective.grad(case.coef.ravel(), rows=rows)) == bits(want[1].ravel())


@both_kinds
def test_y_keeps_the_length_of_X(kind, case):
    with raises(ValueError, f"y has 3 rows but X has {N_ROWS}"):
        kind.call(case.X, case, y=case.y[:3], rows=[0, 1, 2])
    with raises(ValueError, "sample_weight"):
        kind.call(case.X, case, rows=[0, 1, 2], sample_weight=np.ones(3))


@both_kinds
def test_scores_out_has_the_length_of_rows(kind, case):
    rows = np.array([5, 6, 7])
    out = np.empty((3, *kind.shape), dtype=case.X.dtype)
    assert hf.decision_function(case.X, case.coef, rows=rows, out=out) is out
    for size in (2, N_ROWS):
        with raises(ValueError, "out"):
            hf.decision_function(
                case.X, case.coef, rows=rows, out=np.empty((size, *kind.shape), dtype=case.X.dtype)
            )


@both_kinds
def test_rows_are_not_modified(kind, case):
    rows = np.array([5, 5, 7])
    rows.flags.writeable = False
    kind.call(case.X, case, rows=rows)
    assert rows.tolist() == [5, 5, 7]


@both_kinds
def test_a_few_rows_cost_a_few_rows(kind):
    """Ten rows of a matrix that cannot be read as a whole: 2^45 bytes of address space would be touched."""
    X = np.broadcast_to(np.arange(8.0), (2**40, 8))
    coef = np.ones(8) if kind.binary else np.arange(24.0).reshape(3, 8)
    for rows in (np.array([0, 2**40 - 1, 2**39]), slice(2**40 - 3, 2**40)):
        want = [coef @ np.arange(8.0)] * 3
        np.testing.assert_array_equal(hf.decision_function(X, coef, rows=rows), want)


@both_kinds
@pytest.mark.parametrize("rows", [slice(3, None, 4), slice(None, 2, -7), [149, 58, 7, 23]], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.longdouble])
def test_what_is_wrong_is_named_by_its_row(rows, dtype, kind):
    """By its place in the caller's arrays, not in the batch, and with the number that stands there."""
    case = kind.problem(N_ROWS, N_FEATURES, seed=25)
    rows = np.array(rows) if isinstance(rows, list) else rows
    y, weights = case.y.astype(dtype), np.ones(N_ROWS, dtype)
    row = int(np.arange(N_ROWS)[rows][2])
    y[row], weights[row] = 7, -3
    with raises(ValueError, f"y[{row}] is 7"):
        kind.call(case.X, case, y=y, rows=rows)
    y[row] = 1
    with raises(ValueError, f"sample_weight[{row}] is -3"):
        kind.call(case.X, case, y=y, rows=rows, sample_weight=weights)


@both_kinds
@pytest.mark.parametrize("weighted", [False, True])
def test_batches_keep_the_class_weights(kind, weighted):
    """An Objective's batch has the bits of the call that is given the weights with it."""
    case = kind.problem(N_ROWS, N_FEATURES, seed=24)
    keywords = {"class_weight": kind.class_weight, "sample_weight": case.weights if weighted else None}
    objective = kind.objective(case.X, case.y, fit_intercept=False, **keywords)
    for rows in (slice(10, 90), slice(None, None, -3), np.array([3, 5, 5, 149])):
        value, grad, _ = kind.call(case.X, case, intercept=0.0, rows=rows, **keywords)
        got = objective.value_and_grad(case.coef.ravel(), rows=rows)
        assert bits(got) == bits((value, grad.ravel()))


@both_kinds
def test_a_row_longer_than_a_task(kind):
    """CSR rows of more entries than a task holds: each is one by itself, in a batch too."""
    n, d, per_row = 5, 20, 300_000
    rng = np.random.default_rng(5)
    X = namespace(
        np.arange(n + 1) * per_row,
        rng.integers(0, d, n * per_row).astype(np.int32),
        rng.standard_normal(n * per_row),
        (n, d),
    )
    y = kind.labels[np.arange(n) % 2]
    coef = rng.standard_normal((*kind.shape, d)) / 500
    want = hf.linear_value_and_grad(X, y, coef, loss=kind.loss)
    got = hf.linear_value_and_grad(X, y, coef, loss=kind.loss, rows=np.arange(n))
    assert bits(*got) == bits(*want)
    got = hf.linear_value_and_grad(X, y, coef, loss=kind.loss, rows=slice(n - 1, None, -1))
    assert got[0] == pytest.approx(want[0], rel=1e-12)


@both_kinds
@pytest.mark.parametrize("rows", [slice(None, None, -1), slice(140, 3, -7), slice(2, 99, 5)], ids=str)
def test_labels_and_weights_that_numpy_casts(rows, kind):
    """Rows keep their order where labels and weights go through a cast."""
    case = kind.problem(N_ROWS, N_FEATURES, seed=23)
    want = kind.call(case.X, case, sample_weight=case.weights, rows=rows)
    for y, weights in (
        (case.y.astype(np.longdouble), case.weights),
        (case.y, case.weights.astype(np.longdouble)),
    ):
        got = kind.call(case.X, case, y=y, sample_weight=weights, rows=rows)
        assert bits(*got) == bits(*want)
