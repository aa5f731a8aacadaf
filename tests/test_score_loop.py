"""Promise: on scores, labels that lie in one piece and labels that do not give the same bits.

The former go through one loop from the caller's arrays to the gradient, beginning at a cache line of what is
written; the latter through blocks with a loop for each step. Neither is an oracle of itself: the blocks are tested
against the formulas.
"""

import re

import numpy as np
import pytest
from conftest import LEVELS, bits, every_dtype, run_at_level, strided
from kinds import telling_scores

import hingefast as hf

pytestmark = [pytest.mark.at_every_level, pytest.mark.arm64]

LOSSES = {
    "hinge": hf.Hinge(),
    "hinge with a slope at its kink": hf.Hinge(kink_slope=-0.5),
    "squared": hf.SquaredHinge(),
    "smooth": hf.SmoothHinge(),
    "gaussian": hf.GaussianHinge(),
    "algebraic": hf.AlgebraicHinge(),
    "logistic": hf.LogisticLoss(),
}
CLASSES = {  # dtypes of labels, and their classes
    "float64": (-1, 1),
    "float32": (-1, 1),
    "int8": (-1, 1),
    "int8 of others": (-128, 5),
    "uint8": (0, 1),
    "uint8 of others": (3, 200),
    "bool": (0, 1),
    "int16": (-1, 1),
    "int64": (1, 2**40),
}
# Around lines of 16 rows, strips of 64, and 256 rows, from which on the loop begins at a cache line.
N_ROWS = (1, 7, 15, 16, 17, 33, 63, 65, 255, 256, 257, 271, 300, 321)
LINE = 64


def at(offset, array):
    """The same numbers, `offset` items after the beginning of a cache line."""
    wide = np.empty(array.size + offset + LINE, array.dtype)
    first = -wide.ctypes.data % LINE // array.itemsize + offset
    wide[first : first + array.size] = array
    return wide[first : first + array.size]


def labels_of(kind, signs):
    negative, positive = CLASSES[kind]
    dtype = np.dtype(kind.split()[0])
    return np.where(signs > 0, positive, negative).astype(dtype)


def telling(n, dtype):
    """Rows of `telling_scores`, some of them on the hinge's kink."""
    data = telling_scores(max(n, 16), dtype, seed=91)
    data.y, data.scores = data.y[:n], data.scores[:n]
    data.scores[3::5] = data.y[3::5]
    return data


def compare(loss, kind, data, offsets, reduction="mean", **keywords):
    """Value, gradient and both, `offsets` being those of scores and gradient in their cache lines."""
    y = labels_of(kind, data.y)
    scores, out = at(offsets[0], data.scores), at(offsets[1], np.zeros_like(data.scores))
    keywords |= {"classes": CLASSES[kind], "reduction": reduction}
    value, grad = loss.value_and_grad(strided(y), scores, **keywords)
    fused = loss.value_and_grad(y, scores, out=out, **keywords)
    assert fused[1] is out
    assert bits(*fused) == bits(value, grad), (loss, kind, data.y.size, offsets)
    out[:] = 99
    assert bits(loss.grad(y, scores, out=out, **keywords)) == bits(grad), (
        loss,
        kind,
        data.y.size,
        offsets,
    )
    assert bits(loss.value(y, scores, **keywords)) == bits(value), (loss, kind, data.y.size, offsets)


def compare_all(dtype):
    """Every kind of labels with every family; returns the number of comparisons."""
    made = 0
    in_line = LINE // np.dtype(dtype).itemsize
    for n in N_ROWS:
        data = telling(n, dtype)
        for k, loss in enumerate(LOSSES.values()):
            for j, kind in enumerate(CLASSES):
                places = range(in_line) if n in (257, 300) and j < 4 else (0, 1, (3 * k + j) % in_line)
                for place in places:
                    compare(loss, kind, data, ((place + j) % in_line, place))
                    made += 1
    return made


@pytest.mark.parametrize("level", LEVELS)
def test_every_kind_of_labels(level):
    code = f"""
from conftest import DTYPES
from test_score_loop import *
assert hf.show_config(mode="dicts")["level"] == {level!r}
print(*(compare_all(dtype) for dtype in DTYPES))
"""
    assert min(map(int, run_at_level(level, code).split())) > 2000


@every_dtype
@pytest.mark.parametrize("loss", LOSSES)
def test_several_tasks(loss, dtype):
    data = telling(65536 + 300, dtype)
    for place, kind in enumerate(CLASSES):
        compare(LOSSES[loss], kind, data, (1, place), reduction="sum")


@every_dtype
@pytest.mark.parametrize("kind", ["signs", "int8", "uint8 of others", "int64"])
def test_past_the_caches(kind, dtype):
    """A gradient of more than 12 MiB is written past the caches."""
    kind = np.dtype(dtype).name if kind == "signs" else kind
    data = telling(13 * 2**20 // np.dtype(dtype).itemsize + 300, dtype)
    for place in (0, 7):
        compare(LOSSES["hinge"], kind, data, (2, place), n_threads=1 + place % 2)


@every_dtype
@pytest.mark.parametrize("kind", CLASSES)
def test_values_are_summed_in_sixteen_lanes_of_a_task(kind, dtype):
    """Row i in lane i mod 16, whatever its place in memory: the sum of lanes that a few large values show."""
    n = 1003
    signs = np.ones(n, np.int8)
    scores = np.ones(n, dtype)
    scores[::16], scores[5::16], scores[5] = 0, 1 - 2.0**-20, -(2.0**35)
    lanes = np.zeros(16)
    for first in range(0, n, 16):
        values = np.maximum(dtype(1) - scores[first : first + 16], 0).astype(np.float64)
        lanes[: values.size] += values
    for half in (8, 4, 2, 1):
        lanes = lanes[:half] + lanes[half:]
    for place in range(LINE // np.dtype(dtype).itemsize):
        value = LOSSES["hinge"].value(
            labels_of(kind, signs), at(place, scores), classes=CLASSES[kind], reduction="sum"
        )
        assert value == lanes[0]


@every_dtype
@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind != "bool"])
@pytest.mark.parametrize("n", [1, 20, 300, 65536 + 300])
def test_the_first_bad_label_is_named(kind, n, dtype):
    """In the rows before a cache line, in whole lines, in the last rows, in a second task."""
    data = telling(n, dtype)
    for row in sorted({0, min(5, n - 1), n // 2, n - 17 if n > 17 else 0, n - 1}):
        for place, last in ((0, n - 1), (5, row)):
            y = labels_of(kind, data.y)
            y[[row, last]] = 9
            for ask in (LOSSES["hinge"].value, LOSSES["logistic"].value_and_grad):
                with pytest.raises(ValueError, match=re.escape(f"y[{row}] is 9")):
                    ask(y, at(place, data.scores), classes=CLASSES[kind])
