"""On scores: the same bits from fused and separate calls, on any threads, at any level, from any layout."""

import json
import math

import numpy as np
import pytest
from conftest import (
    LEVELS,
    THREADS,
    bits,
    every_dtype,
    every_reduction,
    misaligned,
    run_at_level,
    run_python,
    strided,
)
from kinds import every_default_loss, every_loss, telling_scores

import hingefast as hf

LARGE = 300_007  # several tasks, and a tail in every lane width
WEIGHTINGS = ("none", "sample_weight", "class_weight", "both")


def weighting(kind, data):
    chosen = {}
    if kind in ("sample_weight", "both"):
        chosen["sample_weight"] = data.weights * (np.arange(data.weights.size) % 5 > 0)
    if kind in ("class_weight", "both"):
        chosen["class_weight"] = (0.3, 1.7)
    return chosen


@every_dtype
@every_reduction
@every_loss
def test_fused_is_separate(loss, reduction, dtype):
    for n in (*range(16, 50), 257, 1000, 4099):
        data = telling_scores(n, dtype)
        for kind in WEIGHTINGS if n in (17, 33, 1000) else ("none",):
            chosen = weighting(kind, data)
            value, grad = loss.value_and_grad(data.y, data.scores, reduction=reduction, **chosen)
            assert bits(value) == bits(loss.value(data.y, data.scores, reduction=reduction, **chosen))
            assert bits(value) == bits(loss(data.y, data.scores, reduction=reduction, **chosen))
            assert bits(grad) == bits(loss.grad(data.y, data.scores, reduction=reduction, **chosen))


@every_dtype
@every_default_loss
def test_short_lengths_and_positions(loss, dtype):
    """A row's number does not depend on its place, its neighbours or the number of rows."""
    data = telling_scores(70, dtype)
    values, grads = loss.value_and_grad(data.y, data.scores, reduction="none")
    for n in range(71):
        for start in {0, 1, 70 - n}:
            part = slice(start, start + n)
            got = loss.value_and_grad(data.y[part], data.scores[part], reduction="none")
            assert bits(got) == bits((values[part], grads[part]))


@every_dtype
@every_default_loss
def test_sum_and_none_have_the_same_slopes(loss, dtype):
    data = telling_scores(1003, dtype)
    for kind in WEIGHTINGS:
        chosen = weighting(kind, data)
        one, other = (loss.grad(data.y, data.scores, reduction=each, **chosen) for each in ("sum", "none"))
        assert bits(one) == bits(other)


@every_dtype
@every_default_loss
def test_any_number_of_threads(loss, dtype):
    data = telling_scores(LARGE, dtype)
    for kind in WEIGHTINGS:
        chosen = weighting(kind, data)
        for reduction in ("mean", "none"):
            results = [
                loss.value_and_grad(data.y, data.scores, reduction=reduction, n_threads=n, **chosen)
                for n in THREADS
            ]
            assert len({bits(result) for result in results}) == 1
            value, grad = results[0]
            separate = [
                (
                    loss.value(data.y, data.scores, reduction=reduction, n_threads=n, **chosen),
                    loss.grad(data.y, data.scores, reduction=reduction, n_threads=n, **chosen),
                )
                for n in (1, 3)
            ]
            assert all(bits(each) == bits((value, grad)) for each in separate)


@every_dtype
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_any_number_of_threads_where_a_row_is_a_few_operations(loss, dtype):
    """Such a call is shared out from 3 MiB of scores on only."""
    data = telling_scores(3 * LARGE, dtype)
    results = [
        hf.get_loss(loss).value_and_grad(data.y, data.scores, reduction="sum", n_threads=n) for n in THREADS
    ]
    assert len({bits(result) for result in results}) == 1
    assert results[0][0] == pytest.approx(
        math.fsum(hf.get_loss(loss).value(data.y, data.scores, reduction="none"))
    )


_FROM_ENVIRONMENT = """
import hashlib
import hingefast as hf
from conftest import bits
from kinds import telling_scores
data = telling_scores(300_007)
print(hashlib.sha256(bits(hf.LogisticLoss().value_and_grad(data.y, data.scores))).hexdigest())
"""


def test_threads_from_the_environment():
    digests = {
        run_python(_FROM_ENVIRONMENT, HINGEFAST_NUM_THREADS=ours, OMP_NUM_THREADS=theirs).stdout
        for ours, theirs in ((None, None), ("1", None), ("3", "1"), (None, "2"))
    }
    assert len(digests) == 1


_DIGEST = """
import hashlib
import json
import numpy as np
import hingefast as hf
from conftest import bits
from kinds import CATALOGUE, telling_scores
from test_same_bits import LARGE, WEIGHTINGS, weighting

assert hf.show_config(mode="dicts")["level"] == "{level}"
digests = {{}}
for dtype in (np.float32, np.float64):
    info = np.finfo(dtype)
    edges = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0, info.smallest_subnormal, info.max, info.min]
    edges = np.array([*edges, 40.0, -40.0, 100.0, -100.0, 1e-30, 700.0], dtype=dtype)
    problems = [telling_scores(n, dtype) for n in (*range(16, 66, 3), 4099, LARGE)]
    for key, loss in CATALOGUE.items():
        digest = hashlib.sha256()
        for data in problems:
            n = data.y.size
            if n == LARGE and "-" in key:
                continue
            for kind in WEIGHTINGS if n == 4099 else ("none", "both"):
                chosen = weighting(kind, data)
                for reduction in ("mean", "none") if n == LARGE else ("mean", "sum", "none"):
                    got = loss.value_and_grad(data.y, data.scores, reduction=reduction, **chosen)
                    digest.update(bits(got))
        for label in (-1, 1):
            digest.update(bits(loss.value_and_grad(np.full(edges.size, label), edges, reduction="none")))
        digests[key + np.dtype(dtype).name] = digest.hexdigest()
print(json.dumps(digests))
"""


@pytest.mark.skipif(len(LEVELS) < 2, reason="this machine supports one level only")
def test_any_level():
    digests = {level: json.loads(run_at_level(level, _DIGEST.format(level=level))) for level in LEVELS}
    for level in LEVELS[1:]:
        assert digests[level] == digests[LEVELS[0]], level


def test_unknown_and_unsupported_levels_are_import_errors():
    unsupported = {"x86_v3", "x86_v4", "neon", "nonsense", "BASE", ""} - set(LEVELS)
    for level in unsupported:
        done = run_python("import hingefast", check=False, HINGEFAST_LEVEL=level)
        if level == "" and done.returncode == 0:
            continue  # an empty variable may count as none
        assert done.returncode != 0, level
        assert b"ImportError" in done.stderr, level
        assert b"HINGEFAST_LEVEL" in done.stderr, level


@every_dtype
@every_default_loss
def test_layout_and_dtype_of_inputs(loss, dtype):
    data = telling_scores(2051, dtype)
    want = bits(loss.value_and_grad(data.y, data.scores, sample_weight=data.weights))

    def check(y, z, w=data.weights, **more):
        assert bits(loss.value_and_grad(y, z, sample_weight=w, **more)) == want

    for label_dtype in (
        np.int8,
        np.int16,
        np.int32,
        np.int64,
        np.float16,
        np.float32,
        np.float64,
        ">i4",
        ">f8",
    ):
        check(data.y.astype(label_dtype), data.scores)
    for label_dtype in (bool, np.uint8, np.uint16, np.uint32, np.uint64):
        check((data.y > 0).astype(label_dtype), data.scores, classes=(0, 1))
    check(data.y > 0, data.scores)
    for change in (
        strided,
        misaligned,
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
    ):
        check(change(data.y), data.scores)
        check(data.y, change(data.scores))
        check(data.y, data.scores, change(data.weights))
        check(change(data.y.astype(np.float64)), change(data.scores), change(data.weights))


@every_dtype
def test_layout_in_large_data(dtype):
    """Across tasks, too: what is converted piece by piece counts its lanes by element, not by piece."""
    data = telling_scores(LARGE, dtype)
    loss = hf.LogisticLoss()
    want = bits(loss.value_and_grad(data.y, data.scores))
    for change in (strided, misaligned, lambda a: a.astype(a.dtype.newbyteorder())):
        for n_threads in (1, 3):
            got = loss.value_and_grad(
                change(data.y.astype(np.int16)), change(data.scores), n_threads=n_threads
            )
            assert bits(got) == want


@every_dtype
@every_default_loss
def test_address_does_not_matter(loss, dtype):
    data = telling_scores(333, dtype)
    results = set()
    for shift in range(17):
        scores, labels = (
            np.empty(350, dtype=dtype)[shift : shift + 333],
            np.empty(350, np.int8)[shift : shift + 333],
        )
        out = np.empty(350, dtype=dtype)[16 - shift : 349 - shift]
        scores[:], labels[:] = data.scores, data.y
        results.add(bits(loss.value_and_grad(labels, scores, out=out)))
    assert len(results) == 1


@every_dtype
def test_address_of_a_large_weighted_gradient_does_not_matter(dtype):
    """Beyond 12 MiB it is written past the caches, from a cache line on: lanes are counted by row all the same."""
    n = 13 * 2**20 // np.dtype(dtype).itemsize
    data, loss = telling_scores(n, dtype), hf.Hinge()
    weights = data.weights.copy()
    weights[[7, 40_000, 300_000, n // 2]] = 2.0**53  # what is added to their lanes later is lost
    want = loss.value(data.y, data.scores, sample_weight=weights)
    room = np.empty(n + 32, dtype)
    first = -room.ctypes.data % 64 // room.itemsize
    grads = set()
    for shift in range(0, 64 // room.itemsize, 3):
        out = room[first + shift : first + shift + n]
        value, _ = loss.value_and_grad(data.y, data.scores, sample_weight=weights, out=out)
        assert bits(value) == bits(want), shift
        grads.add(bits(out[::97]))
    assert len(grads) == 1


def test_repeated_calls():
    data = telling_scores(LARGE)
    assert (
        len({bits(hf.GaussianHinge().value_and_grad(data.y, data.scores, n_threads=2)) for _ in range(10)})
        == 1
    )


@every_dtype
@every_default_loss
def test_sums_are_additive(loss, dtype):
    """Values are added in float64, whatever the dtype: parts, rows and any order agree within n eps of
    the sum.
    """
    data = telling_scores(20_011, dtype)
    n = data.y.size
    total = loss(data.y, data.scores, reduction="sum")
    allowed = n * np.finfo(np.float64).eps * total
    parts = [
        loss(data.y[a : a + 1777], data.scores[a : a + 1777], reduction="sum") for a in range(0, n, 1777)
    ]
    assert abs(math.fsum(parts) - total) <= allowed
    rows = loss(data.y, data.scores, reduction="none")
    assert abs(math.fsum(rows.tolist()) - total) <= allowed
    order = np.random.default_rng(0).permutation(n)
    assert abs(loss(data.y[order], data.scores[order], reduction="sum") - total) <= allowed
    assert abs(loss(data.y, data.scores) * n - total) <= 2 * allowed
    grad = loss.grad(data.y, data.scores, reduction="sum")
    assert bits(loss.grad(data.y[order], data.scores[order], reduction="sum")) == bits(grad[order])
