"""NaN in, NaN out: in every lane and tail, at every level, for every loss, and nowhere else."""

from itertools import product

import numpy as np
import pytest
from conftest import bits, every_dtype, every_level, misaligned, run_at_level, strided
from kinds import every_loss, telling_scores

import hingefast as hf

# One process per level and dtype works through all losses, lengths and positions.
_SWEEP = """
import numpy as np
from kinds import CATALOGUE

dtype = np.{dtype}
rng = np.random.default_rng(0)
signs_of_all = rng.choice(np.array([-1, 1], dtype=np.int8), 70)
scores_of_all = rng.uniform(-3, 3, 70).astype(dtype)
assert set(signs_of_all[:16]) == {{-1, 1}}

def check(loss, signs, scores, n, **weights):
    clean_values, clean = loss.value_and_grad(signs, scores, reduction="none", **weights)
    clean_mean = loss.grad(signs, scores, **weights)
    values, grad = np.empty_like(clean_values), np.empty_like(clean)
    for position in range(n):
        kept = scores[position]
        scores[position] = np.nan
        total, mean = loss.value_and_grad(signs, scores, **weights)
        loss.value_and_grad(signs, scores, reduction="none", out=(values, grad), **weights)
        alone = loss.value(signs, scores, reduction="sum", **weights)
        scores[position] = kept
        where = (loss, n, position, weights.keys())
        assert total != total and alone != alone, where
        for got, want in ((values, clean_values), (grad, clean), (mean, clean_mean)):
            assert got[position] != got[position], where
            got[position] = want[position]
            assert got.tobytes() == want.tobytes(), where

for key, loss in CATALOGUE.items():
    for n in range(1, 71):
        if "-" in key and n % 7:
            continue  # other parameters: every seventh length
        signs, scores = signs_of_all[:n], scores_of_all[:n].copy()
        assert np.isfinite(loss.value(signs, scores))
        check(loss, signs, scores, n)
        if n % 9 == 5:
            check(loss, signs.astype(np.float64), scores, n)
            check(loss, signs.astype(np.int64), scores, n)
            check(loss, signs, scores, n, sample_weight=np.linspace(0.5, 2, n))
            check(loss, signs, scores, n, class_weight=(0.5, 2.0))
    assert loss.value(signs[:0], scores[:0], reduction="sum") == 0.0
print("done")
"""


@every_level
@every_dtype
def test_every_position_of_every_length(dtype, level):
    assert run_at_level(level, _SWEEP.format(dtype=dtype.__name__)) == b"done\n"


@every_dtype
@every_loss
def test_any_nan(loss, dtype):
    """Negative, quiet and signalling NaN, and all rows at once."""
    raw = {
        np.float32: np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFBFFFFF], dtype=np.uint32),
        np.float64: np.array(
            [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0xFFF7FFFFFFFFFFFF], dtype=np.uint64
        ),
    }[dtype].view(dtype)
    for nan in range(raw.size):
        for label in (-1, 1):
            scores = np.linspace(-2, 2, 21).astype(dtype)
            scores[10] = 0  # any slot; the bits are copied below so that no conversion touches them
            scores[10:11].view(f"u{scores.itemsize}")[:] = raw[nan : nan + 1].view(f"u{scores.itemsize}")
            value, grad = loss.value_and_grad(np.full(21, label), scores)
            assert np.isnan(value)
            assert np.isnan(grad[10])
            assert np.isfinite(np.delete(grad, 10)).all()
    value, grad = loss.value_and_grad(np.ones(33), np.full(33, np.nan, dtype=dtype))
    assert np.isnan(value)
    assert np.isnan(grad).all()


@every_dtype
@every_loss
def test_nan_beside_infinities(loss, dtype):
    scores = np.array([np.inf, np.nan, -np.inf, np.inf, 0.5], dtype=dtype)
    value, grad = loss.value_and_grad([1, 1, -1, 1, -1], scores, reduction="sum")
    assert np.isnan(value)
    np.testing.assert_array_equal(np.isnan(grad), [False, True, False, False, False])


@every_dtype
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_nan_in_any_task(n_threads, dtype):
    n = 300_007
    data = telling_scores(n, dtype)
    for position in (0, n // 2, n - 1):
        scores = data.scores.copy()
        scores[position] = np.nan
        value, grad = hf.Hinge().value_and_grad(data.y, scores, reduction="sum", n_threads=n_threads)
        assert np.isnan(value)
        assert np.isnan(grad[position])
        assert np.isnan(grad).sum() == 1


@every_dtype
@every_loss
def test_converted_scores_keep_nan(loss, dtype):
    """The ways that do not read in place: strided, misordered bytes, float16, lists."""
    scores = np.linspace(-2, 2, 50).astype(dtype)
    scores[31] = np.nan
    y = np.where(np.arange(50) % 2, 1, -1)
    swapped = scores.astype(scores.dtype.newbyteorder())
    for given in (
        np.repeat(scores, 2)[::2],
        scores[::-1],
        swapped,
        scores.astype(np.float16),
        scores.tolist(),
    ):
        value, grad = loss.value_and_grad(y, given)
        assert np.isnan(value)
        assert np.isnan(grad).sum() == 1


@every_dtype
@every_loss
def test_weight_zero_leaves_a_nan_row_out(loss, dtype):
    """A select, not a product: the same bits as with any finite score there, by either kind of weight."""
    for position in range(0, 40, 3):
        data = telling_scores(40, dtype)
        weights = data.weights.copy()
        weights[position] = 0
        y = data.y.copy()
        finite = loss.value_and_grad(y, data.scores, sample_weight=weights)
        for bad in (np.nan, np.inf, -np.inf):
            scores = data.scores.copy()
            scores[position] = bad
            assert bits(loss.value_and_grad(y, scores, sample_weight=weights)) == bits(finite)
            values, grads = loss.value_and_grad(y, scores, sample_weight=weights, reduction="none")
            assert values[position] == 0
            assert grads[position] == 0
            assert not np.signbit(values[position])
            assert not np.signbit(grads[position])
            by_class = (0.0, 2.0) if y[position] < 0 else (2.0, 0.0)
            value, grad = loss.value_and_grad(y, scores, class_weight=by_class)
            assert np.isfinite(value)
            assert np.isfinite(grad).all()
            assert (grad[y == y[position]] == 0).all()


SCORE_LAYOUTS = {
    "in place": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "every second": lambda z: np.repeat(z, 2, axis=0)[::2],
    "backwards": lambda z: z[::-1].copy()[::-1],
    "misaligned": misaligned,
    "other byte order": lambda z: z.astype(z.dtype.newbyteorder()),
    "float16": lambda z: z.astype(np.float16),
    "longdouble": lambda z: z.astype(np.longdouble),
}


@every_dtype
@pytest.mark.parametrize("layout", SCORE_LAYOUTS)
def test_weight_zero_leaves_nan_rows_out_in_every_layout(layout, dtype):
    """One class or several, a few rows and many, by either kind of weight: the bits of finite scores there."""
    change = SCORE_LAYOUTS[layout]
    losses = (hf.Hinge(), hf.LogisticLoss(), hf.CrammerSinger("squared_hinge"), hf.WestonWatkins("logistic"))
    for loss, n in product((*losses, hf.TopKHinge(2), hf.OneVsRest()), (3, 17, 600)):
        rng = np.random.default_rng(n)
        shape = (n,) if loss in losses[:2] else (n, 4)
        scores = rng.standard_normal(shape).astype(dtype)
        y = rng.integers(0, 2 if len(shape) == 1 else 4, n)
        y[:2] = 0, 1
        classes = {"classes": (0, 1)} if len(shape) == 1 else {}
        by_row = rng.uniform(0.5, 2, n)
        by_row[::3] = 0
        by_class = np.array([0.0, 1.5, 0.5, 2.0])[: 2 if len(shape) == 1 else 4]
        weightings = (
            ({"sample_weight": by_row}, by_row == 0),
            ({"sample_weight": strided(by_row > 0)}, by_row == 0),
            ({"class_weight": by_class}, y == 0),
            (
                {"sample_weight": by_row.astype(np.float32), "class_weight": by_class},
                (by_row == 0) | (y == 0),
            ),
        )
        for (weights, left_out), reduction in product(weightings, ("mean", "sum", "none")):
            keywords = {**weights, **classes, "reduction": reduction}
            want = loss.value_and_grad(y, change(scores), **keywords)
            for bad in (np.nan, np.inf, -np.inf):
                given = scores.copy()
                given[left_out] = bad
                got = loss.value_and_grad(y, change(given), **keywords)
                assert bits(got) == bits(want), (loss, n, weights, bad)
                assert bits(loss.value(y, change(given), **keywords)) == bits(want[0])
            assert not np.asarray(got[1])[left_out].any()
