"""Promise: X, scores, labels and weights of any dtype, byte order and layout are cast as NumPy casts them, number by
number, whichever rows are asked for.
"""

import numpy as np
import pytest
from conftest import LEVELS, bits, misaligned, run_at_level, strided
from kinds import namespace, problem

import hingefast as hf

pytestmark = [pytest.mark.at_every_level, pytest.mark.arm64]

INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
DTYPES_OF_X = [*INTEGERS, np.bool_, np.float16, np.float32, np.float64]
ORDERS = ("C", "F", "column step", "F, row step", "misaligned", "other byte order", "row of another")
# Around the 64 rows of a block, and widths around whole vectors of the narrowest dtype.
SHAPES = [(1, 3), (2, 1), (7, 16), (63, 33), (64, 64), (65, 129), (131, 17), (150, 700)]


def in_order(X, order):
    """The same numbers, in memory as `order` says."""
    if order == "column step":
        return np.repeat(X, 3, axis=1)[:, ::3]
    if order == "F":
        return np.asfortranarray(X)
    if order == "F, row step":
        return np.asfortranarray(np.repeat(X, 2, axis=0))[::2]
    if order == "misaligned":
        return misaligned(X)
    if order == "other byte order":
        return X.astype(X.dtype.newbyteorder())
    if order == "row of another":
        return np.concatenate([X, X[:, ::-1]], axis=1)[:, : X.shape[1]]
    return X


def numbers(dtype, n, d, seed):
    """Random X of this dtype with its extremes, and what NumPy makes of it in the computing dtype."""
    rng = np.random.default_rng([seed, n, d])
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        X = rng.integers(info.min, info.max, (n, d), dtype, endpoint=True)
        X.flat[:: max(1, n * d // 5)] = info.max
        X.flat[1 :: max(1, n * d // 4)] = info.min
    elif dtype.kind == "b":
        X = rng.integers(0, 256, (n, d), np.uint8).view(bool)  # any byte but 0 is true
        X.view(np.uint8)[rng.random((n, d)) < 0.5] = 0
    else:
        X = rng.standard_normal((n, d)).astype(dtype)
    computed = np.float32 if dtype.itemsize < 4 or dtype == np.float32 else np.float64
    return X, np.ascontiguousarray(X.astype(computed))


def batches(n):
    rng = np.random.default_rng(n)
    return (None, slice(n // 3, None), slice(None, None, -2), rng.integers(0, n, n + 3))


def answers(X, y, coef, loss_of_classes, rows):
    """Scores, and the gradient of two classes and of three."""
    return (
        hf.decision_function(X, coef, 0.25, rows=rows),
        hf.linear_value_and_grad(X, y, coef, 0.25, rows=rows, reduction="sum"),
        hf.linear_value_and_grad(
            X,
            np.arange(y.size) % 3,
            np.stack([coef, -coef, coef[::-1]]),
            np.zeros(3),
            loss=loss_of_classes,
            classes=3,
            rows=rows,
            reduction="sum",
        ),
    )


def compare(dtype, order):
    """All answers over all shapes and batches; returns how many were compared."""
    made = 0
    for n, d in SHAPES:
        given, cast = numbers(dtype, n, d, 5)
        X = in_order(given, order)
        case = problem(n, d, seed=3)
        coef = case.coef / np.abs(cast).max()
        for rows in batches(n):
            found = [answers(x, case.y, coef, "crammer_singer", rows) for x in (X, cast)]
            assert bits(*found[0]) == bits(*found[1]), (dtype, order, n, d, rows)
            made += 1
    return made


@pytest.mark.parametrize("level", LEVELS)
def test_every_dtype_in_every_order(level):
    code = f"""
from test_casts import *
assert hf.show_config(mode="dicts")["level"] == {level!r}
print(sum(compare(dtype, order) for dtype in DTYPES_OF_X for order in ORDERS))
"""
    assert int(run_at_level(level, code)) == len(DTYPES_OF_X) * len(ORDERS) * len(SHAPES) * 4


@pytest.mark.parametrize("level", LEVELS)
def test_every_float16(level):
    """All 65,536 patterns, alone and in rows of one number."""
    code = """
import numpy as np
import hingefast as hf
halves = np.arange(65536, dtype=np.uint16).view(np.float16)[:, None]
with np.errstate(invalid="ignore"):
    for d in (1, 33):
        X = np.repeat(halves, d, axis=1)
        for x in (X, np.asfortranarray(X), X[::-1].copy()[::-1]):
            np.testing.assert_array_equal(hf.decision_function(x, np.ones(d)),
                                          hf.decision_function(X.astype(np.float32), np.ones(d)))
    np.testing.assert_array_equal(hf.decision_function(halves, [1.0]), halves[:, 0].astype(np.float32))
    assert np.isnan(hf.decision_function(halves, [1.0])).sum() == 2 * 1023
print("done")
"""
    assert run_at_level(level, code) == b"done\n"


@pytest.mark.parametrize("wide", [False, True], ids=["int32", "int64"])
@pytest.mark.parametrize("dtype", DTYPES_OF_X)
def test_entries_of_csr(dtype, wide):
    """Rows without entries among them, and more of them than a block."""
    n, d = 1100, 37
    case = problem(n, d, seed=3)
    given, cast = numbers(dtype, n, d, 6)
    empty = np.arange(n) % 7 == 0
    kept = (np.random.default_rng(8).random((n, d)) < 0.4) & ~empty[:, None]
    indptr = np.concatenate([[0], np.cumsum(kept.sum(1))]).astype(np.int64 if wide else np.int32)
    indices = np.nonzero(kept)[1].astype(indptr.dtype)
    coef = case.coef / np.abs(cast).max()
    for data in (given[kept], misaligned(given[kept]), given[kept].astype(given.dtype.newbyteorder())):
        for of_data in (lambda x: x, lambda x: np.repeat(x, 2)[::2]):
            for rows in batches(n):
                found = [
                    answers(X, case.y, coef, "weston_watkins", rows)
                    for X in (
                        namespace(indptr, indices, of_data(data), (n, d)),
                        namespace(indptr, indices, cast[kept], (n, d)),
                    )
                ]
                assert bits(*found[0]) == bits(*found[1])


def test_csr_without_entries_of_another_dtype():
    X = namespace(np.zeros(6, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int8), (5, 3))
    value, grad, _ = hf.linear_value_and_grad(X, [1, -1, 1, 1, -1], np.ones(3))
    assert value == 1 and not grad.any()


@pytest.mark.parametrize("dtype", DTYPES_OF_X)
def test_scores(dtype):
    """Of one margin a row, and of K classes."""
    for n in (1, 17, 700):
        given, cast = numbers(dtype, n, 5, 7)
        for order in ORDERS:
            z = in_order(given, order)
            for loss, y, scores, expected in (
                (hf.Hinge(), np.arange(n) % 2 * 2 - 1, z[:, 1], cast[:, 1].copy()),
                (hf.CrammerSinger(), np.arange(n) % 5, z, cast),
            ):
                for reduction in ("sum", "none"):
                    value, grad = loss.value_and_grad(y, scores, reduction=reduction)
                    assert bits(value, grad.astype(cast.dtype)) == bits(
                        *loss.value_and_grad(y, expected, reduction=reduction)
                    )


@pytest.mark.parametrize(
    "dtype", [np.float16, ">f2", ">f4", ">f8", ">i2", ">i4", ">i8", ">u8", np.longdouble]
)
def test_labels_and_weights(dtype):
    n, d = 700, 3
    case = problem(n, d, seed=4)
    classes = (1, 2)
    y = np.where(case.y > 0, 2, 1).astype(dtype)
    weights = (np.arange(n) % 5).astype(dtype)
    z = case.X[:, 0].copy()
    for rows in batches(n):
        found = [
            (
                hf.linear_value_and_grad(
                    case.X, a, case.coef, classes=classes, sample_weight=w, rows=rows, reduction="sum"
                ),
                hf.Hinge().value_and_grad(a, z, classes=classes, sample_weight=w),
                hf.CrammerSinger().value_and_grad(a, case.X, classes=(0, 1, 2), sample_weight=w),
            )
            for a, w in (
                (y, weights),
                (y[::-1].copy()[::-1], strided(weights)),
                (y.astype(int), weights.astype(float)),
            )
        ]
        assert bits(*found[0]) == bits(*found[1]) == bits(*found[2])
    for bad_row in (0, 650):
        y[bad_row] = 3
        with pytest.raises(ValueError, match=rf"y\[{bad_row}\] is 3"):
            hf.Hinge().value(y, z, classes=classes)
        y[bad_row] = 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, ">f4", np.longdouble])
def test_any_number_of_threads(dtype):
    rng = np.random.default_rng(9)
    X = rng.integers(0, 50, (5000, 1100)).astype(dtype)
    y = rng.choice([-1, 1], 5000)
    coef = rng.standard_normal(1100) / 800
    found = [hf.linear_value_and_grad(X, y, coef, n_threads=n) for n in (1, 2, 3)]
    assert len({bits(*each) for each in found}) == 1


@pytest.mark.parametrize("dtype", [np.int8, np.float16])
def test_weighted_scores_of_many_classes(dtype):
    """Several blocks of rows: each has its own weights, whatever the scores are cast from."""
    n, n_classes = 200, 100
    rng = np.random.default_rng(11)
    z, y = rng.integers(-3, 4, (n, n_classes)), rng.integers(0, n_classes, n)
    weights = np.arange(1.0, n + 1)
    found, want = (
        hf.CrammerSinger().grad(y, z.astype(each), sample_weight=weights, reduction="sum")
        for each in (dtype, np.float64)
    )
    assert np.array_equal(found, want)


@pytest.mark.parametrize("n_classes", [1, 4])
def test_large_gradients_of_cast_scores(n_classes):
    """More than 12 MiB, which a gradient of the scores' own dtype goes past the caches for."""
    n = 13 * 2**20 // (8 * n_classes)
    rng = np.random.default_rng(10)
    shape = n if n_classes == 1 else (n, n_classes)
    z = rng.integers(-8, 9, shape).astype(np.float16) / 4
    y = rng.choice([-1, 1], n) if n_classes == 1 else rng.integers(0, n_classes, n)
    loss = hf.SquaredHinge() if n_classes == 1 else hf.WestonWatkins("squared_hinge")
    grad = loss.grad(y, z, reduction="sum")
    assert grad.dtype == np.float64
    assert np.array_equal(
        grad, loss.grad(y, z.astype(np.float64), reduction="sum")
    )  # numbers are quarters: exact
