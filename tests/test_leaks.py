"""Neither calls that succeed nor calls that fail keep references or memory; none copies what it can read
in place.
"""

import contextlib
import gc
import sys
import time
import tracemalloc
import weakref

import numpy as np
import pytest
from conftest import bits, every_dtype, least_growth
from kinds import as_csr, namespace, telling_scores
from kinds import problem as linear_problem

import hingefast as hf

# A sanitizer's own bookkeeping shows in what is measured here.
pytestmark = [pytest.mark.any_python, pytest.mark.no_sanitizer]

REPEATS = 100


def quietly(call):
    with contextlib.suppress(TypeError, ValueError):
        call()


def calls_on(data, n_threads=None):
    """(name, call): each way through the code, good and bad, on the arrays of `data`."""
    y, z, w, out = data.y, data.scores, data.weights, data.out
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
        "an unknown loss": lambda: hf.get_loss("x" * 40),
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


CALLS = {
    "f32": lambda n: calls_on(problem(n, np.float32)),
    "f64": lambda n: calls_on(problem(n, np.float64)),
    "classes": lambda n: class_calls(),
}
every_set = pytest.mark.parametrize("make", CALLS.values(), ids=CALLS.keys())


@every_set
def test_references(make):
    held, calls = make(100)
    for name, call in calls.items():
        quietly(call)
        gc.collect()
        before = [sys.getrefcount(thing) for thing in held]
        for _ in range(50):
            quietly(call)
        gc.collect()
        assert [sys.getrefcount(thing) for thing in held] == before, name


@every_set
def test_memory_of_repeated_calls(make):
    _, calls = make(2000)
    for name, call in calls.items():

        def batch(call=call):
            for _ in range(REPEATS):
                quietly(call)

        grown = least_growth(batch)
        # One array of 2000 rows kept per call would be 100 times 8 kB; one small object per call 100
        # times 16 bytes.
        assert grown < 16 * REPEATS, (name, grown)


@every_set
def test_nothing_is_allocated_for_good(make):
    """Not even the few bytes that `test_memory_of_repeated_calls` allows."""
    _, calls = make(2000)
    for name, call in calls.items():
        growths = []
        for _ in range(5):
            gc.collect()
            before = sys.getallocatedblocks()
            for _ in range(REPEATS):
                quietly(call)
            gc.collect()
            growths.append(sys.getallocatedblocks() - before)
        assert min(growths) < REPEATS // 2, (name, growths)


class Scarce(MemoryError):
    """Unlike MemoryError it may be weakly referred to."""


class ScarceMemory:
    """`np.ascontiguousarray`, which the kernels cast with, with memory for some casts only."""

    def __init__(self, n_good):
        self.n_good, self.cast = n_good, np.ascontiguousarray
        self.errors = []

    def __call__(self, *args, **kwargs):
        self.n_good -= 1
        if self.n_good < 0:
            error = Scarce("no room")
            self.errors.append(weakref.ref(error))
            raise error
        return self.cast(*args, **kwargs)


def calls_that_cast():
    """By name, each way by which NumPy casts what the loops do not know."""
    n, d, K = 90, 6, 3
    rng = np.random.default_rng(11)
    X, scores = rng.standard_normal((n, d)), rng.standard_normal((n, K))
    wide, y = np.longdouble, np.arange(n) % 2
    Y = np.arange(n) % K
    sparse = as_csr(X)
    wide_csr = namespace(sparse.indptr, sparse.indices, sparse.data.astype(wide), X.shape)
    told = {"n_threads": 1, "classes": (0, 1)}
    many = {"n_threads": 1, "classes": K, "loss": "weston_watkins"}
    zeros, matrix = np.zeros(d), np.zeros((K, d))
    linear = hf.linear_value_and_grad
    objective = hf.Objective(X, y.astype(wide), loss="hinge", classes=(0, 1), n_threads=1)
    theta = np.zeros(objective.size)
    return {
        "scores": lambda: hf.Hinge().grad(y, scores[:, 0].astype(wide), **told),
        "labels of scores": lambda: hf.Hinge().grad(y.astype(wide), scores[:, 0], **told),
        "weights of scores": lambda: hf.Hinge().grad(y, scores[:, 0], sample_weight=np.ones(n, wide), **told),
        "scores of K classes": lambda: hf.CrammerSinger().grad(Y, scores.astype(wide), n_threads=1),
        "labels of K classes": lambda: hf.CrammerSinger().grad(Y.astype(wide), scores, n_threads=1),
        "dense X": lambda: linear(X.astype(wide), y, zeros, **told),
        "dense X, K classes": lambda: linear(X.astype(wide), Y, matrix, **many),
        "Fortran X": lambda: linear(np.asfortranarray(X.astype(wide)), y, zeros, **told),
        "CSR X": lambda: linear(wide_csr, y, zeros, **told),
        "CSR X, K classes": lambda: linear(wide_csr, Y, matrix, **many),
        "labels": lambda: linear(X, y.astype(wide), zeros, **told),
        "labels, K classes": lambda: linear(X, Y.astype(wide), matrix, **many),
        "weights": lambda: linear(X, y, zeros, sample_weight=np.ones(n, wide), **told),
        "labels of a batch": lambda: objective.value_and_grad(theta, rows=[0, 5, 9]),
        "a batch with a bad row": lambda: objective.value_and_grad(theta, rows=[0, 5, 99]),
        "a bad label": lambda: linear(X, (y + (np.arange(n) == 80)).astype(wide), zeros, **told),
        "decision_function": lambda: hf.decision_function(X.astype(wide), zeros, n_threads=1),
    }


def outcome(call):
    """What a call returns or says."""
    try:
        return bits(call())
    except (IndexError, ValueError) as error:
        return str(error)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="no dtype that NumPy casts")
@pytest.mark.parametrize("name", calls_that_cast())
def test_errors_of_casts(monkeypatch, name):
    """A cast that has no memory is what the call raises, whichever of its casts it is, and nothing keeps the error."""
    call = calls_that_cast()[name]
    calm = outcome(call)
    for n_good in range(30):
        memory = ScarceMemory(n_good)
        with monkeypatch.context() as patched:
            patched.setattr(np, "ascontiguousarray", memory)
            with contextlib.suppress(Scarce):
                assert outcome(call) == calm
                assert not memory.errors
                break
        assert memory.errors
        gc.collect()
        assert not any(error() for error in memory.errors)
        assert outcome(call) == calm
    assert n_good > 0  # and the last call had memory enough
    assert memory.n_good >= 0


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


LABELS = [np.int8, np.int64, np.uint16, np.float64, bool, ">i4", "strided", "declared"]


@every_dtype
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(
    "loss,n_columns", [(hf.Hinge(), None), (hf.CrammerSinger(), 4)], ids=["hinge", "classes"]
)
def test_labels_and_weights_are_read_in_place(loss, n_columns, labels, dtype):
    """With out= no call needs memory that grows with n, whatever the real dtype of labels and weights."""
    n, rng = (200_000, np.random.default_rng(0)) if n_columns is None else (100_000, np.random.default_rng(0))
    scores = rng.standard_normal((n,) if n_columns is None else (n, n_columns)).astype(dtype)
    y, classes = rng.integers(0, 2 if labels is bool else n_columns or 2, n), np.arange(n_columns or 2)
    if labels == "strided":
        y = np.repeat(y, 2)[::2]
    elif labels == "declared":
        classes = np.array([3, 7, -2, 100])[: len(classes)]
        y = classes[y]
    else:
        y = y.astype(labels)
    weights, out = rng.uniform(0, 1, n).astype(np.float32), np.empty_like(scores)

    def call():
        return loss.value_and_grad(y, scores, classes=classes, sample_weight=weights, out=out, n_threads=1)

    call()
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n / 2, peak  # half a byte a row: no copy of any kind


def test_results_are_released():
    data = problem(500_000, np.float64)
    data.loss.grad(data.y, data.scores)
    tracemalloc.start()
    results = data.loss.value_and_grad(data.y, data.scores, reduction="none")
    held = tracemalloc.get_traced_memory()[0]
    del results
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held >= 2 * data.scores.nbytes
    assert left < held / 100


# K classes


def class_calls(n_threads=None):
    """(held arrays, calls): the ways of multiclass calls through the code, good and bad."""
    case = linear_problem(200, 9, seed=1, n_classes=5)
    X, y, coef, w = case.X, case.y, case.coef, case.weights
    sparse = as_csr(X)
    broken = namespace(sparse.indptr, sparse.indices.copy(), sparse.data, sparse.shape)
    broken.indices[100] = -1
    scores = X @ coef.T
    bad_y = y.copy()
    bad_y[-2] = 5
    out, grad, cost = np.empty((5, 9)), np.empty((200, 5)), np.ones((5, 5))
    loss, costly = hf.CrammerSinger("logistic"), hf.CostSensitiveHinge(cost)
    labels = [7, 3, 9, -1, 5]
    y_named = np.array(labels)[y]
    more = {"n_threads": n_threads}
    keywords = {"loss": loss, **more}
    objective = hf.Objective(X, y, loss=loss, classes=5)
    theta = objective.pack(coef, 0.5)
    held = [X, y, coef, w, sparse.indptr, sparse.indices, sparse.data, broken.indices, scores, bad_y]
    held += [out, grad, cost, loss, costly, labels, y_named, theta]
    calls = {
        "scores": lambda: loss.value_and_grad(y, scores, out=grad, **more),
        "none": lambda: loss.value_and_grad(y, scores, sample_weight=w, reduction="none", **more),
        "cost": lambda: costly(y, scores, class_weight=[1, 2, 3, 4, 5], **more),
        "top k": lambda: hf.TopKHinge(3)(y, scores, **more),
        "named": lambda: loss.grad(y_named, scores, classes=labels, **more),
        "fortran": lambda: loss.grad(y, np.asfortranarray(scores), **more),
        "linear": lambda: hf.linear_value_and_grad(X, y, coef, 0.5, out=out, **keywords),
        "csr": lambda: hf.linear_value_and_grad(sparse, y, coef, alpha=0.5, **keywords),
        "tile": lambda: hf.linear_value_and_grad(X.astype(">f8"), y, coef, sample_weight=w, **keywords),
        "decision": lambda: hf.decision_function(X, coef, rows=[1, 5], **more),
        "objective": lambda: objective.value_and_grad(theta),
        "hessp": lambda: objective.hessp(theta, theta),
        "step": lambda: objective.step(theta, 1e-9, rows=slice(0, 20)),
        "new objective": lambda: hf.Objective(sparse, y_named, loss="weston_watkins", classes=labels).value(
            theta
        ),
        "balanced": lambda: hf.Objective(X, y, loss=costly, classes=5, class_weight="balanced").value(theta),
        "report": lambda: hf.margin_report(y, scores, coef=coef),
        "bad label": lambda: hf.linear_value_and_grad(X, bad_y, coef, out=out, **keywords),
        "bad label on scores": lambda: loss.value_and_grad(bad_y, scores, out=grad, **more),
        "bad index": lambda: hf.linear_value_and_grad(broken, y, coef, **keywords),
        "bad shape": lambda: hf.linear_value_and_grad(X, y, coef.T, **keywords),
        "bad classes": lambda: loss(y, scores, classes=4, **more),
        "bad cost": lambda: hf.CostSensitiveHinge(cost[:2]),
        "bad k": lambda: hf.TopKHinge(5)(y, scores, **more),
        "overlap": lambda: loss.grad(y, scores, out=scores, **more),
        "an unknown loss": lambda: hf.get_loss("crammer_singer:" + "x" * 40),
    }
    return held, calls
