"""Promise: with K classes too, it does not matter what X is made of: dense, CSR and tile agree, and in place and
through a tile they have the same bits.
"""

import numpy as np
import pytest
from conftest import bits, every_dtype, misaligned
from kinds import CSR_KINDS, INDEX_PAIRS, as_csr, csr_parts, namespace
from multiclass_cases import assert_close, expected, problem
from reference import densify

import hingefast as hf

SHAPES = [(1, 1, 2), (9, 17, 3), (64, 8, 9), (65, 33, 17), (131, 40, 5), (70, 19, 66)]
every_shape = pytest.mark.parametrize("n,d,n_classes", SHAPES)
LOSSES = [
    {"loss": "crammer_singer"},
    {"loss": "weston_watkins:logistic"},
    {"loss": "one_vs_rest:squared_hinge"},
]


def answers(X, case, **keywords):
    """Everything a linear model is asked, as bits."""
    weighted = {"loss": "crammer_singer:squared_hinge", "sample_weight": case.weights, "alpha": 0.5}
    return bits(
        hf.decision_function(X, case.coef, case.intercept),
        *(
            hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, **variant, **keywords)
            for variant in (*LOSSES, weighted)
        ),
    )


def layouts(X):
    """Views and copies that hold the numbers of X otherwise than in contiguous rows."""
    n, d = X.shape
    wide = np.full((n, 2 * d + 3), 7.0, dtype=X.dtype)
    wide[:, 1 : d + 1] = X
    tall = np.full((3 * n, d), 7.0, dtype=X.dtype)
    tall[::3] = X
    readonly = X.copy()
    readonly.flags.writeable = False
    return {
        "fortran": np.asfortranarray(X),
        "fortran rows": np.asfortranarray(tall)[::3],
        "row stride": wide[:, 1 : d + 1],
        "row step": tall[::3],
        "column step": np.repeat(X, 3, axis=1)[:, ::3],
        "rows reversed": X[::-1].copy()[::-1],
        "columns reversed": X[:, ::-1].copy()[:, ::-1],
        "both reversed": X[::-1, ::-1].copy()[::-1, ::-1],
        "big endian": X.astype(X.dtype.newbyteorder(">")),
        "misaligned": misaligned(X),
        "read only": readonly,
        "subclass": X.copy().view(type("Sub", (np.ndarray,), {})),
    }


@pytest.mark.parametrize("name", layouts(np.zeros((2, 2))))
@every_dtype
@every_shape
def test_layouts_have_the_same_bits(name, dtype, n, d, n_classes):
    case = problem(n, d, n_classes, dtype, seed=1)
    X = layouts(case.X)[name]
    before = bits(X)
    np.testing.assert_array_equal(X, case.X)
    assert answers(X, case) == answers(case.X, case)
    assert bits(X) == before


@every_dtype
def test_zero_strides(dtype):
    case = problem(70, 17, 5, dtype, seed=3)
    for X in (
        np.broadcast_to(case.X[0], (70, 17)),
        np.broadcast_to(case.X[:, :1], (70, 17)),
        np.broadcast_to(case.X[0, 0], (70, 17)),
    ):
        assert answers(X, case) == answers(np.ascontiguousarray(X), case)


def test_labels_weights_coef_and_intercept_in_any_layout():
    case = problem(130, 9, 4, seed=4)
    keywords = {"loss": "weston_watkins", "alpha": 1.0}
    want = bits(
        hf.linear_value_and_grad(
            case.X, case.y, case.coef, case.intercept, sample_weight=case.weights, **keywords
        )
    )
    for change in (
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        misaligned,
        np.asfortranarray,
        lambda a: a.tolist(),
    ):
        y, weights, coef, intercept = (change(a) for a in (case.y, case.weights, case.coef, case.intercept))
        got = hf.linear_value_and_grad(case.X, y, coef, intercept, sample_weight=weights, **keywords)
        assert bits(got) == want


def test_memmap(tmp_path):
    case = problem(131, 40, 5, seed=5)
    for dtype in ("<f8", ">f8"):
        path = tmp_path / f"X{dtype[0] == '>'}.npy"
        np.save(path, case.X.astype(dtype))
        for mode in ("r", "c"):
            X = np.load(path, mmap_mode=mode)
            assert isinstance(X, np.memmap)
            assert answers(X, case) == answers(case.X, case)


def test_more_than_two_to_the_31_elements(tmp_path):
    """Index arithmetic in 64 bits: the last row of a sparse file of 2^31 elements and more is read where it lies."""
    d, n = 2**16, 2**15 + 3
    X = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=(n, d))
    assert X.size > 2**31
    X[-1] = 1.0
    X[-1, : d // 2] = 2.0
    X[2**15] = 0.5
    coef = np.stack([np.ones(d), np.zeros(d), -np.ones(d)]).astype(np.float32)
    scores = hf.decision_function(X, coef, rows=np.array([0, n - 1, 2**15]))
    np.testing.assert_array_equal(scores, np.outer([0.0, 1.5 * d, 0.5 * d], [1, 0, -1]))
    y = np.broadcast_to(np.int8(1), (n,))
    _, grad, _ = hf.linear_value_and_grad(
        X, y, np.zeros((3, d), dtype=np.float32), loss="weston_watkins", rows=slice(n - 1, None)
    )
    np.testing.assert_array_equal(grad, np.outer([1, -2, 1], X[-1]))


@pytest.mark.parametrize("name", ["bool", "int8", "uint8", "int16", "uint16", ">i2", "float16", ">f2"])
def test_narrow_dtypes_are_computed_in_float32(name):
    case = problem(131, 40, 9, np.float32, seed=6)
    X = np.round(case.X * (1 if name == "bool" else 3))
    X = (X > 0 if name == "bool" else np.abs(X) if name.startswith("u") else X).astype(name)
    assert np.unique(X).size > 1
    assert hf.decision_function(X, case.coef).dtype == np.float32
    assert answers(X, case) == answers(X.astype(np.float32), case)
    assert answers(np.asfortranarray(X), case) == answers(X.astype(np.float32), case)


@pytest.mark.parametrize("name", ["int32", "uint32", "int64", "uint64", ">i4", ">i8"])
def test_wide_integers_are_computed_in_float64(name):
    case = problem(131, 40, 9, seed=7)
    X = np.round(case.X * 3)
    X = (np.abs(X) if "u" in name else X).astype(name)
    assert hf.decision_function(X, case.coef).dtype == np.float64
    assert answers(X, case) == answers(X.astype(np.float64), case)


# CSR


@pytest.mark.parametrize("kind", CSR_KINDS)
@pytest.mark.parametrize("index_dtype,indptr_dtype", INDEX_PAIRS)
@every_dtype
def test_csr_of_any_index_dtypes(kind, index_dtype, indptr_dtype, dtype):
    for n_classes in (3, 18):
        case = problem(70, 30, n_classes, dtype, seed=8, density=0.4)
        want = answers(as_csr(case.X), case)
        assert answers(as_csr(case.X, kind, index_dtype, indptr_dtype), case) == want


def check_csr(X, y, coef, intercept, dtype):
    """Against the oracle on the dense matrix that the parts mean."""
    dense = densify(X).astype(dtype)
    case = problem(len(y), 2, 2, dtype)  # weights only
    scores = hf.decision_function(X, coef, intercept)
    for loss in (hf.CrammerSinger("squared_hinge"), hf.WestonWatkins("logistic"), hf.OneVsRest("logistic")):
        # Duplicates are rounded one by one: bounds for three times as many terms.
        want = expected(
            dense, y, coef, intercept, loss, weights=case.weights, alpha=0.1, matrix=3 * dense.shape[1]
        )
        got = hf.linear_value_and_grad(
            X, y, coef, intercept, loss=loss, sample_weight=case.weights, alpha=0.1
        )
        assert_close(got, want, out_eps=np.finfo(dtype).eps)
        assert (np.abs(scores - want.scores) <= want.scores_bound).all()


@every_dtype
@pytest.mark.parametrize("n_classes", [2, 7, 17])
def test_unsorted_duplicates_zeros_empty_rows_and_slack(dtype, n_classes):
    case = problem(60, 25, n_classes, dtype, seed=9, density=0.4)
    case.X[[0, 7, 8, 9, 59]] = 0
    indptr, indices, data = csr_parts(case.X, np.int64, np.int64)
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(60), np.diff(indptr))
    unsorted = np.lexsort((rng.random(rows.size), rows))
    # Unsorted: the same numbers in another order within each row.
    check_csr(
        namespace(indptr, indices[unsorted], data[unsorted], case.X.shape),
        case.y,
        case.coef,
        case.intercept,
        dtype,
    )
    # Duplicates: every entry twice, in parts; some rows hold one column three times.
    part = (data * rng.uniform(0.2, 0.8, data.size)).astype(dtype)
    twice = np.lexsort((rng.random(2 * rows.size), np.concatenate([rows, rows])))
    X = namespace(
        2 * indptr,
        np.concatenate([indices, indices])[twice],
        np.concatenate([part, data - part])[twice],
        case.X.shape,
    )
    check_csr(X, case.y, case.coef, case.intercept, dtype)
    # Explicit zeros change no bit of a score.
    zeros = namespace(2 * indptr, np.repeat(indices, 2), np.repeat(data, 2), case.X.shape)
    zeros.data[1::2] = 0
    zeros.indices[1::2] = (zeros.indices[1::2] + 1) % 25
    check_csr(zeros, case.y, case.coef, case.intercept, dtype)
    # Trailing slack is never read.
    slack = namespace(
        indptr,
        np.concatenate([indices, [-5, 10**12]]),
        np.concatenate([data, [np.nan, np.inf]]).astype(dtype),
        case.X.shape,
    )
    assert answers(slack, case) == answers(as_csr(case.X), case)


@every_dtype
def test_one_row_holds_everything(dtype):
    case = problem(40, 300, 5, dtype, seed=10)
    case.X[np.arange(40) != 17] = 0
    check_csr(as_csr(case.X), case.y, case.coef, case.intercept, dtype)


def test_nothing_stored_at_all():
    X = as_csr(np.zeros((9, 4)))
    value, grad, grad_intercept = hf.linear_value_and_grad(
        X, np.arange(9) % 3, np.ones((3, 4)), [0.5, 0.0, 0.0], loss="crammer_singer"
    )
    assert value == pytest.approx((0.5 + 1.5 + 1.5) / 3, rel=1e-15)
    assert not grad.any()
    np.testing.assert_allclose(grad_intercept, [1 / 3, 0, -1 / 3], atol=1e-15)


@every_dtype
@pytest.mark.parametrize("n_classes", [3, 10, 40])
def test_dense_csr_and_tile_agree(dtype, n_classes):
    case = problem(90, 25, n_classes, dtype, seed=11, density=0.5)
    want = expected(case.X, case.y, case.coef, case.intercept, hf.CrammerSinger("logistic"), alpha=0.2)
    for X in (case.X, as_csr(case.X), np.asfortranarray(case.X), case.X.tolist()):
        if isinstance(X, list) and dtype is np.float32:
            continue
        got = hf.linear_value_and_grad(
            X, case.y, case.coef, case.intercept, loss="crammer_singer:logistic", alpha=0.2
        )
        assert_close(got, want, out_eps=np.finfo(dtype).eps)


def test_csr_data_of_other_dtypes():
    case = problem(60, 20, 5, np.float32, seed=12, density=0.5)
    X = as_csr(np.round(case.X * 3))
    for name in ("int8", "int16", "float16", ">f4"):
        other = namespace(X.indptr, X.indices, X.data.astype(name), X.shape)
        assert answers(other, case) == answers(X, case)
    case = problem(60, 20, 5, np.float64, seed=12, density=0.5)
    X = as_csr(np.round(case.X * 3))
    for name in ("int32", "int64", ">f8", "uint64"):
        data = np.abs(X.data) if name == "uint64" else X.data
        plain = namespace(X.indptr, X.indices, data.astype(np.float64), X.shape)
        other = namespace(X.indptr, X.indices, data.astype(name), X.shape)
        assert answers(other, case) == answers(plain, case)
    stepped = namespace(
        np.repeat(X.indptr, 2)[::2], np.repeat(X.indices, 2)[::2], np.repeat(X.data, 2)[::2], X.shape
    )
    assert answers(stepped, case) == answers(X, case)
