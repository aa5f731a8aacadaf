"""NaN in, NaN out: in every lane and tail, at every level, for every loss, and nowhere else."""

import numpy as np
import pytest
from conftest import bits, every_dtype, every_level, every_loss, run_at_level, telling_scores

import hingefast as hf

# One process per level and dtype works through all losses, lengths and positions.
_SWEEP = """
import numpy as np
from conftest import CATALOGUE

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
        value, grad = hf.Hinge().value_and_grad(data.signs, scores, reduction="sum", n_threads=n_threads)
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
        y = data.signs.copy()
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
