"""Promise: X of any dtype and layout is cast as NumPy casts it, number by number, whichever rows are asked for."""

import numpy as np
import pytest
from conftest import LEVELS, bits, misaligned, run_at_level
from linear_cases import problem

import hingefast as hf

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


def compare(dtype, order):
    """Scores, and a gradient of both parts, over all shapes and batches; returns how many were compared."""
    made = 0
    for n, d in SHAPES:
        given, cast = numbers(dtype, n, d, 5)
        X = in_order(given, order)
        case = problem(n, d, seed=3)
        coef = case.coef / np.abs(cast).max()
        for rows in batches(n):
            found = [
                (
                    hf.decision_function(x, coef, 0.25, rows=rows),
                    hf.linear_value_and_grad(x, case.y, coef, 0.25, rows=rows, reduction="sum"),
                    hf.linear_value_and_grad(
                        x,
                        np.arange(n) % 3,
                        np.stack([coef, -coef, coef[::-1]]),
                        np.zeros(3),
                        loss="crammer_singer",
                        classes=3,
                        rows=rows,
                        reduction="sum",
                    ),
                )
                for x in (X, cast)
            ]
            assert bits(*found[0]) == bits(*found[1]), (dtype, order, n, d, rows)
            made += 1
    return made


@pytest.mark.parametrize("level", LEVELS)
def test_every_dtype_in_every_order(level):
    code = f"""
from test_tile import *
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


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, ">f4", np.longdouble])
def test_any_number_of_threads(dtype):
    rng = np.random.default_rng(9)
    X = rng.integers(0, 50, (5000, 1100)).astype(dtype)
    y = rng.choice([-1, 1], 5000)
    coef = rng.standard_normal(1100) / 800
    found = [hf.linear_value_and_grad(X, y, coef, n_threads=n) for n in (1, 2, 3)]
    assert len({bits(*each) for each in found}) == 1
