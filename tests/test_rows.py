"""Promise: `rows=` gives the bits of the same call on X[rows], y[rows], sample_weight[rows], and reads no other row."""

import numpy as np
import pytest
from conftest import bits, raises
from linear_cases import as_csr, csr_parts, namespace, problem, random_csr

import hingefast as hf

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
    _RNG.permutation(N_ROWS),
    _RNG.integers(0, N_ROWS, 400),
    np.repeat([5, 5, 9], 40),
    np.sort(_RNG.choice(N_ROWS, 64, replace=False)),
    np.array([0, N_ROWS - 1]),
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
every_float = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(scope="module", params=[np.float32, np.float64], ids=["f32", "f64"])
def case(request):
    return problem(N_ROWS, N_FEATURES, request.param, seed=21, density=0.6)


@every_rows
@every_layout
def test_rows_have_the_bits_of_the_part(case, layout, rows):
    X = LAYOUTS[layout](case.X)
    part = LAYOUTS["csr" if layout == "csr_matrix" else layout](np.ascontiguousarray(case.X[rows]))
    scores = hf.decision_function(X, case.coef, case.intercept, rows=rows)
    assert bits(scores) == bits(hf.decision_function(part, case.coef, case.intercept))
    for loss in ("hinge", "logistic"):
        for weights in (None, case.weights):
            for reduction in ("mean", "sum"):
                keywords = {"loss": loss, "reduction": reduction, "alpha": 0.5, "class_weight": (1.5, 0.5)}
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
@every_layout
def test_objective_takes_rows(case, layout, rows):
    X = LAYOUTS[layout](case.X)
    keywords = {"loss": "squared_hinge", "alpha": 0.5}
    whole = hf.Objective(X, case.y, sample_weight=case.weights, **keywords)
    part = hf.Objective(
        LAYOUTS["dense" if "csr" not in layout else "csr"](np.ascontiguousarray(case.X[rows])),
        case.y[rows],
        sample_weight=case.weights[rows],
        **keywords,
    )
    theta = whole.pack(case.coef, case.intercept)
    assert bits(whole.value_and_grad(theta, rows=rows)) == bits(part.value_and_grad(theta))
    assert bits(whole.value(theta, rows=rows)) == bits(part.value(theta))
    assert bits(whole.grad(theta, rows=rows)) == bits(part.grad(theta))
    assert bits(whole.decision_function(theta, rows=rows)) == bits(part.decision_function(theta))
    assert bits(whole(theta, rows=rows)) == bits(part(theta))


@pytest.mark.parametrize(
    "index_dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32, np.uint64, ">i8"]
)
def test_integer_dtypes_of_rows(case, index_dtype):
    rows = np.array([3, 100, 3, 0, 99])
    want = hf.linear_value_and_grad(case.X, case.y, case.coef, rows=rows)
    for X in (case.X, as_csr(case.X)):
        got = hf.linear_value_and_grad(X, case.y, case.coef, rows=rows.astype(index_dtype))
        assert bits(got) == bits(hf.linear_value_and_grad(X, case.y, case.coef, rows=rows))
    assert bits(hf.linear_value_and_grad(case.X, case.y, case.coef, rows=rows.tolist())) == bits(want)
    strided = np.repeat(rows, 3)[::3]
    assert bits(hf.linear_value_and_grad(case.X, case.y, case.coef, rows=strided)) == bits(want)


def test_no_rows(case):
    for X in (case.X, as_csr(case.X)):
        for rows in (slice(5, 5), slice(10, 3), np.zeros(0, dtype=np.int64)):
            value, grad, grad_intercept = hf.linear_value_and_grad(
                X, case.y, case.coef, rows=rows, reduction="sum"
            )
            assert value == 0.0 and grad_intercept == 0.0 and not grad.any() and grad.shape == (N_FEATURES,)
            assert hf.decision_function(X, case.coef, rows=rows).shape == (0,)
            with pytest.raises(ValueError):
                hf.linear_value_and_grad(X, case.y, case.coef, rows=rows)


@pytest.mark.parametrize("n_threads", [1, 2, 8])
@pytest.mark.parametrize("sparse_too", [False, True])
def test_rows_of_several_tasks(n_threads, sparse_too):
    rng = np.random.default_rng(22)
    if sparse_too:
        X, y, coef, intercept = random_csr(20_000, 1_200, 50, seed=22)
        rows = rng.integers(0, 20_000, 25_000)
        data, indices = X.data.reshape(-1, 50), X.indices.reshape(-1, 50)
        indptr = np.arange(25_001, dtype=np.int32) * 50
        part = namespace(indptr, indices[rows].ravel(), data[rows].ravel(), (25_000, 1_200))
    else:
        case = problem(6_000, 300, seed=22)
        X, y, coef, intercept = case.X, case.y, case.coef, case.intercept
        rows = rng.integers(0, 6_000, 11_000)
        part = X[rows]
    weights = rng.uniform(0, 2, len(y))
    whole = hf.linear_value_and_grad(
        X, y, coef, intercept, rows=rows, sample_weight=weights, loss="squared_hinge", n_threads=n_threads
    )
    want = hf.linear_value_and_grad(
        part, y[rows], coef, intercept, sample_weight=weights[rows], loss="squared_hinge", n_threads=1
    )
    assert bits(whole) == bits(want)
    scores = hf.decision_function(X, coef, intercept, rows=rows, n_threads=n_threads)
    assert bits(scores) == bits(hf.decision_function(part, coef, intercept))


def test_only_the_named_rows_are_read_and_checked(case):
    """Labels, weights, features and indices of other rows may be anything."""
    rows = np.array([4, 77, 100, 4])
    others = np.setdiff1d(np.arange(N_ROWS), rows)
    y, weights, X = case.y.astype(np.float64), case.weights.copy(), case.X.copy()
    want = hf.linear_value_and_grad(X, y, case.coef, rows=rows, sample_weight=weights)
    sparse_want = hf.linear_value_and_grad(as_csr(case.X), y, case.coef, rows=rows, sample_weight=weights)
    y[others], weights[others], X[others] = np.nan, -np.inf, np.nan
    got = hf.linear_value_and_grad(X, y, case.coef, rows=rows, sample_weight=weights)
    assert bits(got) == bits(want)
    indptr, indices, data = csr_parts(case.X)
    keep = np.zeros(len(data), dtype=bool)
    for row in rows:
        keep[indptr[row] : indptr[row + 1]] = True
    indices[~keep], data[~keep] = -5, np.nan
    broken = namespace(indptr, indices, data, case.X.shape)
    got = hf.linear_value_and_grad(broken, y, case.coef, rows=rows, sample_weight=weights)
    assert bits(got) == bits(sparse_want)
    with pytest.raises(hf.InvalidCSRError):
        hf.decision_function(broken, case.coef)


def test_faults_in_the_named_rows_name_their_place_in_X(case):
    """A position is the one in y, sample_weight and X, not the one in `rows`."""
    y, weights = case.y.copy(), case.weights.copy()
    y[77], weights[100] = 0, -1.0
    with pytest.raises(ValueError, match=r"y\[77\]"):
        hf.linear_value_and_grad(case.X, y, case.coef, rows=[3, 77, 4])
    with pytest.raises(ValueError, match=r"sample_weight\[100\]"):
        hf.linear_value_and_grad(case.X, y, case.coef, rows=[3, 100, 4], sample_weight=weights)
    indptr, indices, data = csr_parts(case.X)
    position = int(indptr[77]) + 1
    indices[position] = -1
    X = namespace(indptr, indices, data, case.X.shape)
    for call in (
        lambda rows: hf.linear_value_and_grad(X, case.y, case.coef, rows=rows),
        lambda rows: hf.decision_function(X, case.coef, rows=rows),
    ):
        with pytest.raises(hf.InvalidCSRError, match=rf"X\.indices\[{position}\] \(row 77\) is -1"):
            call(np.array([90, 77, 4]))
        call(np.array([90, 4]))


@pytest.mark.parametrize("bad", [N_ROWS, -1, 10**9, -(2**31), 2**63 - 1, 2**32 + 3])
@pytest.mark.parametrize("place", [0, 1, 40])
def test_rows_outside(case, bad, place):
    rows = np.arange(41)
    rows[place] = bad
    for X in (case.X, as_csr(case.X), np.asfortranarray(case.X)):
        with pytest.raises(ValueError, match=rf"rows\[{place}\] is {bad}.*\[0, {N_ROWS}\)"):
            hf.linear_value_and_grad(X, case.y, case.coef, rows=rows)
        with pytest.raises(ValueError, match=rf"rows\[{place}\] is {bad}"):
            hf.decision_function(X, case.coef, rows=rows)
        objective = hf.Objective(X, case.y, loss="hinge")
        theta = np.zeros(objective.size)
        for call in (
            lambda objective=objective, theta=theta: objective.value_and_grad(theta, rows=rows),
            lambda objective=objective, theta=theta: objective.step(theta, 0.1, rows=rows),
            lambda objective=objective, theta=theta: objective.decision_function(theta, rows=rows),
        ):
            with pytest.raises(ValueError, match=rf"rows\[{place}\]"):
                call()
        assert not theta.any()


def test_no_rows_have_one_dimension(case):
    with raises(TypeError, "rows"):
        hf.linear_value_and_grad(case.X, case.y, case.coef, rows=[[]], reduction="sum")


def test_rows_of_unsigned_numbers_are_told_as_they_are(case):
    rows = np.array([0, 2**63 + 1], np.uint64)
    with raises(ValueError, "rows[1] is 9223372036854775809"):
        hf.linear_value_and_grad(case.X, case.y, case.coef, rows=rows)


def test_rows_of_unsigned_numbers_beyond_int64(case):
    with pytest.raises(ValueError, match=r"rows\[0\]"):
        hf.decision_function(case.X, case.coef, rows=np.array([2**64 - 1], dtype=np.uint64))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_lowest_row_outside(n_threads):
    case = problem(500, 300, seed=23)
    rows = np.random.default_rng(23).integers(0, 500, 20_000)
    rows[[19_999, 15_000, 7_777]] = [-3, -2, 500]
    with pytest.raises(ValueError, match=r"rows\[7777\] is 500"):
        hf.linear_value_and_grad(case.X, case.y, case.coef, rows=rows, n_threads=n_threads)


def test_rows_of_another_kind(case):
    for bad in (np.ones(N_ROWS, dtype=bool), [True, False]):
        with pytest.raises(TypeError, match=r"np\.flatnonzero"):
            hf.linear_value_and_grad(case.X, case.y, case.coef, rows=bad)
        with pytest.raises(TypeError, match=r"np\.flatnonzero"):
            hf.decision_function(case.X, case.coef, rows=bad)
    for bad in (
        np.array([1.0]),
        "rows",
        np.array(["1"]),
        np.array([1], dtype=object),
        np.ma.array([1]),
        3.0,
        1j,
    ):
        with pytest.raises(TypeError, match="rows"):
            hf.linear_value_and_grad(case.X, case.y, case.coef, rows=bad)
    with pytest.raises(ValueError, match="rows"):
        hf.linear_value_and_grad(case.X, case.y, case.coef, rows=np.array([[1, 2]]))
    for bad in (np.array(1), 1):
        with pytest.raises((TypeError, ValueError), match="rows"):
            hf.linear_value_and_grad(case.X, case.y, case.coef, rows=bad)
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


@pytest.mark.parametrize("rows", HUGE_SLICES, ids=lambda rows: str(rows)[:40])
def test_slices_of_any_integers(case, rows):
    """As NumPy takes them: X[::2**70] is X[:1]."""
    arguments = {"reduction": "sum", "loss": "logistic"}
    part = case.X[rows], case.y[rows], case.coef
    want = hf.linear_value_and_grad(*part, **arguments)
    assert bits(hf.linear_value_and_grad(case.X, case.y, case.coef, rows=rows, **arguments)) == bits(want)
    assert bits(hf.decision_function(case.X, case.coef, rows=rows)) == bits(
        hf.decision_function(case.X[rows], case.coef)
    )
    objective = hf.Objective(case.X, case.y, fit_intercept=False, **arguments)
    assert bits(objective.grad(case.coef, rows=rows)) == bits(want[1])


def test_y_keeps_the_length_of_X(case):
    with pytest.raises(ValueError, match=f"y has 3 rows but X has {N_ROWS}"):
        hf.linear_value_and_grad(case.X, case.y[:3], case.coef, rows=[0, 1, 2])
    with pytest.raises(ValueError, match="sample_weight"):
        hf.linear_value_and_grad(case.X, case.y, case.coef, rows=[0, 1, 2], sample_weight=np.ones(3))


def test_scores_out_has_the_length_of_rows(case):
    rows = np.array([5, 6, 7])
    out = np.empty(3, dtype=case.X.dtype)
    assert hf.decision_function(case.X, case.coef, rows=rows, out=out) is out
    for size in (2, N_ROWS):
        with pytest.raises(ValueError, match="out"):
            hf.decision_function(case.X, case.coef, rows=rows, out=np.empty(size, dtype=case.X.dtype))


def test_rows_are_not_modified(case):
    rows = np.array([5, 5, 7])
    rows.flags.writeable = False
    hf.linear_value_and_grad(case.X, case.y, case.coef, rows=rows)
    assert rows.tolist() == [5, 5, 7]


def test_a_few_rows_cost_a_few_rows():
    """Ten rows of a matrix that cannot be read as a whole: 2^45 bytes of address space would be touched."""
    X = np.broadcast_to(np.arange(8.0), (2**40, 8))
    np.testing.assert_array_equal(
        hf.decision_function(X, np.ones(8), rows=np.array([0, 2**40 - 1, 2**39])), [28.0] * 3
    )
    np.testing.assert_array_equal(
        hf.decision_function(X, np.ones(8), rows=slice(2**40 - 3, 2**40)), [28.0] * 3
    )


@pytest.mark.parametrize("rows", [slice(3, None, 4), slice(None, 2, -7), [149, 58, 7, 23]], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.longdouble])
@pytest.mark.parametrize("loss", ["hinge", "crammer_singer"])
def test_what_is_wrong_is_named_by_its_row(rows, dtype, loss):
    """By its place in the caller's arrays, not in the batch, and with the number that stands there."""
    case = problem(N_ROWS, N_FEATURES, seed=25)
    rows = np.array(rows) if isinstance(rows, list) else rows
    coef = case.coef if loss == "hinge" else np.stack([case.coef, -case.coef])
    y, weights = (np.arange(N_ROWS) % 2).astype(dtype), np.ones(N_ROWS, dtype)
    row = int(np.arange(N_ROWS)[rows][2])
    y[row], weights[row] = 5, -3
    classes = (0, 1) if loss == "hinge" else None
    with raises(ValueError, f"y[{row}] is 5"):
        hf.linear_value_and_grad(case.X, y, coef, loss=loss, classes=classes, rows=rows)
    y[row] = 1
    with raises(ValueError, f"sample_weight[{row}] is -3"):
        hf.linear_value_and_grad(
            case.X, y, coef, loss=loss, classes=classes, rows=rows, sample_weight=weights
        )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("K", [2, 3])
def test_batches_keep_the_class_weights(K, weighted):
    """An Objective's batch has the bits of the call that is given the weights with it."""
    case = problem(N_ROWS, N_FEATURES, seed=24)
    y = np.arange(N_ROWS) % 7 % K
    coef = case.coef if K == 2 else np.stack([case.coef, -case.coef, case.coef / 2])
    keywords = {"loss": "hinge" if K == 2 else "crammer_singer", "classes": (0, 1) if K == 2 else K}
    keywords |= {"class_weight": [0.25, 3.0, 0.5][:K], "sample_weight": case.weights if weighted else None}
    objective = hf.Objective(case.X, y, fit_intercept=False, **keywords)
    for rows in (slice(10, 90), slice(None, None, -3), np.array([3, 5, 5, 149])):
        value, grad, _ = hf.linear_value_and_grad(case.X, y, coef, rows=rows, **keywords)
        assert bits(objective.value_and_grad(coef.ravel(), rows=rows)) == bits((value, grad.ravel()))


@pytest.mark.parametrize("loss", ["hinge", "crammer_singer"])
def test_a_row_longer_than_a_task(loss):
    """CSR rows of more entries than a task holds: each is one by itself, in a batch too."""
    n, d, per_row = 5, 20, 300_000
    rng = np.random.default_rng(5)
    X = namespace(
        np.arange(n + 1) * per_row,
        rng.integers(0, d, n * per_row).astype(np.int32),
        rng.standard_normal(n * per_row),
        (n, d),
    )
    y = np.arange(n) % 2
    coef = rng.standard_normal(d) / 500
    coef = coef if loss == "hinge" else np.stack([coef, -coef])
    keywords = {"loss": loss, "classes": (0, 1) if loss == "hinge" else 2}
    want = hf.linear_value_and_grad(X, y, coef, **keywords)
    got = hf.linear_value_and_grad(X, y, coef, rows=np.arange(n), **keywords)
    assert bits(*got) == bits(*want)
    got = hf.linear_value_and_grad(X, y, coef, rows=slice(n - 1, None, -1), **keywords)
    assert got[0] == pytest.approx(want[0], rel=1e-12)


@pytest.mark.parametrize("rows", [slice(None, None, -1), slice(140, 3, -7), slice(2, 99, 5)], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_and_weights_that_numpy_casts(rows, n_classes):
    """Rows keep their order where labels and weights go through a cast."""
    case = problem(N_ROWS, N_FEATURES, seed=23)
    y = np.arange(N_ROWS) % 7 % n_classes
    coef = case.coef if n_classes == 2 else np.stack([case.coef, -case.coef, case.coef / 2])
    keywords = {"loss": "hinge", "classes": (0, 1)} if n_classes == 2 else {"loss": "crammer_singer"}
    want = hf.linear_value_and_grad(case.X, y, coef, sample_weight=case.weights, rows=rows, **keywords)
    for labels, weights in (
        (y.astype(np.longdouble), case.weights),
        (y, case.weights.astype(np.longdouble)),
    ):
        got = hf.linear_value_and_grad(case.X, labels, coef, sample_weight=weights, rows=rows, **keywords)
        assert bits(*got) == bits(*want)
