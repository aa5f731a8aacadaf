"""Neither calls that succeed nor calls that fail keep references or memory; none copies what it can read
in place.
"""

import contextlib
import gc
import sys
import time
import tracemalloc

import numpy as np
import pytest
from conftest import every_dtype, least_growth, telling_scores

import hingefast as hf

# A sanitizer's own bookkeeping shows in what is measured here.
pytestmark = pytest.mark.no_sanitizer

REPEATS = 100


def quietly(call):
    with contextlib.suppress(TypeError, ValueError):
        call()


def calls_on(data, n_threads=None):
    """(name, call): each way through the code, good and bad, on the arrays of `data`."""
    y, z, w, out = data.signs, data.scores, data.weights, data.out
    bad_y, bad_w = y.copy(), w.copy()
    bad_y[-2], bad_w[-2] = 0, -1
    loss, more = data.loss, {"n_threads": n_threads}
    held = [y, z, w, out, bad_y, bad_w, loss]
    calls = {
        "mean": lambda: loss.value_and_grad(y, z, **more),
        "out": lambda: loss.value_and_grad(y, z, out=out, **more),
        "none": lambda: loss.value_and_grad(y, z, sample_weight=w, reduction="none", **more),
        "value": lambda: loss(y, z, class_weight=(1, 2), **more),
        "strided": lambda: loss.grad(y[::2], z[::2], sample_weight=w[::2], **more),
        "swapped bytes": lambda: loss.grad(y, z.astype(z.dtype.newbyteorder()), **more),
        "lists": lambda: loss.grad(y[:9].tolist(), z[:9].tolist(), classes=[-1, 1], **more),
        "empty": lambda: loss(y[:0], z[:0], reduction="sum", **more),
        "bad label": lambda: loss.value_and_grad(bad_y, z, out=out, **more),
        "bad weight": lambda: loss.value_and_grad(y, z, sample_weight=bad_w, **more),
        "bad length": lambda: loss.value_and_grad(y[1:], z, **more),
        "bad kind": lambda: loss.value_and_grad(y, z.astype(complex), **more),
        "bad dtype of out": lambda: loss.grad(y, z, out=out.astype(np.int32), **more),
        "overlap": lambda: loss.grad(y, z, out=z, **more),
        "bad reduction": lambda: loss.grad(y, z, reduction="x", **more),
        "bad threads": lambda: loss.grad(y, z, n_threads="1"),
        "bad classes": lambda: loss.grad(y, z, classes=(1, 1), **more),
        "zero weights": lambda: loss(y, z, class_weight=(0, 0), **more),
        "a masked array": lambda: loss(y, np.ma.masked_array(z), **more),
        "an unknown loss": lambda: hf.losses.get_loss("x" * 40),
        "a bad parameter": lambda: hf.Hinge(margin=np.nan),
        "a new loss": lambda: hf.SmoothHinge(width=0.3)(y, z, **more),
    }
    return held, calls


def problem(n, dtype):
    data = telling_scores(n, dtype)
    data.out = np.empty(n, dtype=dtype)
    data.loss = hf.Hinge()
    return data


@pytest.fixture(autouse=True)
def only_new_objects():
    """Collections look at what a test makes, not at all that the session holds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@every_dtype
def test_references(dtype):
    held, calls = calls_on(problem(100, dtype))
    for name, call in calls.items():
        quietly(call)
        gc.collect()
        before = [sys.getrefcount(thing) for thing in held]
        for _ in range(50):
            quietly(call)
        gc.collect()
        assert [sys.getrefcount(thing) for thing in held] == before, name


@every_dtype
def test_memory_of_repeated_calls(dtype):
    _, calls = calls_on(problem(2000, dtype))
    for name, call in calls.items():

        def batch(call=call):
            for _ in range(REPEATS):
                quietly(call)

        grown = least_growth(batch)
        # One array of 2000 rows kept per call would be 100 times 8 kB; one small object per call 100
        # times 16 bytes.
        assert grown < 16 * REPEATS, (name, grown)


def counts_within(held, limits, seconds=5.0):
    """Whether the reference counts return to `limits` in time: a pool's thread drops a finished task a little
    after the result is handed over. A leak does not go away by waiting.
    """
    until = time.monotonic() + seconds
    while [sys.getrefcount(thing) for thing in held] != limits:
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_memory_in_threads():
    data = problem(300_007, np.float64)
    held, calls = calls_on(data, n_threads=2)
    chosen = [calls[name] for name in ("out", "bad label", "bad weight", "value")]
    for call in chosen * 3:
        quietly(call)
    gc.collect()
    time.sleep(0.3)  # a thread of the pool may still be letting go of its last task
    before = [sys.getrefcount(thing) for thing in held]

    def batch():
        for call in chosen * 10:
            quietly(call)

    grown = least_growth(batch, batches=3)
    assert counts_within(held, before)
    assert grown < 64 * 1024


@every_dtype
@pytest.mark.parametrize("labels", [np.int8, np.int64, np.uint16, np.float64, bool, ">i4", "strided"])
def test_labels_and_weights_are_read_in_place(labels, dtype):
    """With out= no call needs memory that grows with n, whatever the real dtype of labels and weights."""
    n = 200_000
    data = problem(n, dtype)
    y = np.repeat(data.signs, 2)[::2] if labels == "strided" else (data.signs > 0).astype(labels)
    classes = (-1, 1) if labels == "strided" else (0, 1)
    weights = data.weights.astype(np.float32)

    def call():
        return data.loss.value_and_grad(
            y, data.scores, classes=classes, sample_weight=weights, out=data.out, n_threads=1
        )

    call()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n / 2, peak  # half a byte a row: no copy of any kind


def test_results_are_released():
    data = problem(500_000, np.float64)
    data.loss.grad(data.signs, data.scores)
    tracemalloc.start()
    results = data.loss.value_and_grad(data.signs, data.scores, reduction="none")
    held = tracemalloc.get_traced_memory()[0]
    del results
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held >= 2 * data.scores.nbytes
    assert left < held / 100
