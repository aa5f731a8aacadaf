"""Problems large enough for threads, one for each way through the package: what storms rage on.

A `Kind` has named buffers, which a storm may fill with anything, a call that reads them, and `calm`, which puts the
good content back and compares the bits of the call with those of the first calm one, made on one thread.
"""

from __future__ import annotations

import mmap
from types import SimpleNamespace

import numpy as np

import hingefast as hf

REFUSALS = (ValueError, TypeError)  # what a call may raise while its buffers are scribbled on


class Kind:
    """One problem and one call on it.

    `call(n_threads)` returns arrays and numbers; `out` is an array that it writes its main result to, or None.
    """

    def __init__(self, name, buffers, call, out=None):
        self.name, self.buffers, self.call, self.out = name, buffers, call, out
        self.good = {key: buffer.copy() for key, buffer in buffers.items()}
        self.want = self.bits(1)

    def bits(self, n_threads):
        return [np.array(part, copy=True).tobytes() for part in self.call(n_threads)]

    def restore(self):
        for key, buffer in self.buffers.items():
            buffer[...] = self.good[key]

    def calm(self, when, n_threads=(1, 3)):
        self.restore()
        for threads in n_threads:
            got = self.bits(threads)
            if got != self.want:
                differ = [k for k, (a, b) in enumerate(zip(got, self.want, strict=True)) if a != b]
                raise AssertionError(
                    f"{self.name}: other bits in results {differ} on {threads} threads {when}"
                )


def private(numbers):
    return np.ascontiguousarray(numbers)


def viewed(numbers):
    """A view of an array of its own, whose strides can be set back."""
    return np.array(numbers, order="C")[...]


def shared(numbers):
    """A copy in memory that a forked child shares."""
    numbers = np.ascontiguousarray(numbers)
    buffer = np.frombuffer(mmap.mmap(-1, max(numbers.nbytes, 1)), np.uint8)[: numbers.nbytes]
    held = buffer.view(numbers.dtype).reshape(numbers.shape)
    held[...] = numbers
    return held


def signs(numbers, n_rows):
    return np.where(numbers.random(n_rows) < 0.5, -1.0, 1.0)


def scores_kind(name, keep, numbers, n_rows, dtype, loss, n_classes=0, weights=False):
    shape = (n_rows, n_classes) if n_classes else (n_rows,)
    buffers = {
        "scores": keep(numbers.standard_normal(shape).astype(dtype)),
        "y": keep(numbers.integers(0, n_classes, n_rows) if n_classes else signs(numbers, n_rows)),
    }
    more = {}
    if weights:
        buffers["sample_weight"] = more["sample_weight"] = keep(numbers.random(n_rows))
    out = np.zeros(shape, dtype if dtype in ("f4", "f8") else "f8")

    def call(n_threads):
        return loss.value_and_grad(buffers["y"], buffers["scores"], out=out, n_threads=n_threads, **more)

    return Kind(name, buffers, call, out)


def sparse(keep, numbers, n_rows, n_features, per_row, dtype="f8", index="i4"):
    """Buffers of CSR, and the object that holds them."""
    stored = n_rows * per_row
    buffers = {
        "data": keep(numbers.standard_normal(stored).astype(dtype)),
        "indices": keep(numbers.integers(0, n_features, stored).astype(index)),
        "indptr": keep(np.arange(0, stored + 1, per_row).astype(index)),
    }
    return buffers, SimpleNamespace(**buffers, shape=(n_rows, n_features))


def linear_kind(name, keep, numbers, X, buffers, n_features, *, loss, n_classes=0, scores=False, rows=None):
    n_rows = X.shape[0]
    buffers = dict(buffers)
    buffers["y"] = keep(numbers.integers(0, n_classes, n_rows) if n_classes else signs(numbers, n_rows))
    buffers["sample_weight"] = keep(numbers.random(n_rows) + 0.5)
    more = {}
    if rows is not None:
        buffers["rows"] = more["rows"] = keep(rows)
    shape = (n_classes, n_features) if n_classes else (n_features,)
    coef = numbers.standard_normal(shape) / np.sqrt(max(n_features, 1))
    if scores:
        is_f64 = (X.data if hasattr(X, "indptr") else X).dtype.itemsize > 4
        n_out = n_rows if rows is None else len(rows)
        out = np.zeros((n_out, n_classes) if n_classes else n_out, "f8" if is_f64 else "f4")
        return Kind(
            name,
            {key: buffers[key] for key in buffers if key not in ("y", "sample_weight")},
            lambda n_threads: (hf.decision_function(X, coef, 0.25, out=out, n_threads=n_threads, **more),),
            out,
        )
    out = np.zeros(shape)

    def call(n_threads):
        return hf.linear_value_and_grad(
            X, buffers["y"], coef, 0.25, loss=loss, alpha=0.125, sample_weight=buffers["sample_weight"], out=out,
            n_threads=n_threads, **more,
        )  # fmt: skip

    return Kind(name, buffers, call, out)


def objective_kind(name, keep, numbers, X, buffers, *, loss, method, n_classes=None, alpha=0.0, rows=None):
    n_rows = X.shape[0]
    buffers = dict(buffers)
    y = keep(numbers.integers(0, n_classes, n_rows) if n_classes else signs(numbers, n_rows))
    buffers["y"] = y
    if rows is not None:
        buffers["rows"] = rows = keep(rows)
    made = {}  # by threads, which an Objective is told once

    def objective(n_threads):
        if n_threads not in made:
            made[n_threads] = hf.Objective(
                X, y, loss=loss, classes=n_classes, alpha=alpha, n_threads=n_threads
            )
        return made[n_threads]

    theta = numbers.standard_normal(objective(1).size) / 8
    objective(2), objective(3), objective(4)  # made while all is well
    if method == "step":

        def call(n_threads):
            moved = theta.copy()
            value = objective(n_threads).step(moved, 0.125, rows=rows)
            return value, moved, objective(n_threads).grad(theta, rows=rows)

        return Kind(name, buffers, call)
    if method == "hessp":
        along = numbers.standard_normal(theta.size)
        return Kind(name, buffers, lambda n_threads: (objective(n_threads).hessp(theta, along),))
    out = np.zeros(theta.size)
    return Kind(
        name, buffers, lambda n_threads: objective(n_threads).value_and_grad(theta, rows=rows, out=out), out
    )


def make(name, keep=private, seed=0):
    """The kind of this name; `keep` puts its buffers somewhere."""
    return MAKERS[name](name, keep, np.random.default_rng(seed))


def dense_kind(n_rows, n_features, dtype, order="C", **more):
    def maker(name, keep, numbers):
        X = numbers.standard_normal((n_rows, n_features)) * 3
        X = keep(X.T.astype(dtype)).T if order == "F" else keep(X.astype(dtype))
        return linear_kind(name, keep, numbers, X, {"X": X}, n_features, **more)

    return maker


def sparse_kind(n_rows, n_features, per_row, dtype="f8", index="i4", **more):
    def maker(name, keep, numbers):
        buffers, X = sparse(keep, numbers, n_rows, n_features, per_row, dtype, index)
        chosen = dict(more)
        if chosen.get("rows"):
            chosen["rows"] = numbers.integers(0, n_rows, chosen["rows"])
        return linear_kind(name, keep, numbers, X, buffers, n_features, **chosen)

    return maker


def sparse_objective(n_rows, n_features, per_row, **more):
    def maker(name, keep, numbers):
        buffers, X = sparse(keep, numbers, n_rows, n_features, per_row)
        chosen = dict(more)
        if chosen.get("rows"):
            chosen["rows"] = numbers.integers(0, n_rows, chosen["rows"])
        return objective_kind(name, keep, numbers, X, buffers, **chosen)

    return maker


def dense_objective(n_rows, n_features, dtype, **more):
    def maker(name, keep, numbers):
        X = keep(numbers.standard_normal((n_rows, n_features)).astype(dtype))
        return objective_kind(name, keep, numbers, X, {"X": X}, **more)

    return maker


def score_maker(*arguments, **more):
    return lambda name, keep, numbers: scores_kind(name, keep, numbers, *arguments, **more)


MAKERS = {
    "scores f64": score_maker(400_000, "f8", hf.GaussianHinge()),
    "scores f32 weighted": score_maker(400_000, "f4", hf.LogisticLoss(), weights=True),
    "scores longdouble": score_maker(300_000, "longdouble", hf.SquaredHinge()),
    "scores K classes": score_maker(60_000, "f8", hf.WestonWatkins("psi_m"), n_classes=12),
    "dense f64": dense_kind(40_000, 60, "f8", loss="logistic"),
    "dense f32": dense_kind(60_000, 50, "f4", loss="hinge"),
    "dense Fortran": dense_kind(40_000, 60, "f8", order="F", loss="smooth_hinge"),
    "dense int16": dense_kind(60_000, 50, "i2", loss="squared_hinge"),
    "dense longdouble": dense_kind(20_000, 60, "longdouble", loss="hinge"),
    "dense K classes": dense_kind(12_000, 80, "f8", loss="crammer_singer:logistic", n_classes=10),
    "dense scores": dense_kind(80_000, 40, "f8", loss=None, scores=True),
    "CSR f64": sparse_kind(80_000, 5_000, 8, loss="psi_g"),
    "CSR f32 int64": sparse_kind(100_000, 2_000, 6, dtype="f4", index="i8", loss="hinge"),
    "CSR wide rows": sparse_kind(60_000, 40_000, 12, loss="logistic", rows=50_000),
    "CSR longdouble": sparse_kind(40_000, 3_000, 8, dtype="longdouble", loss="hinge"),
    "CSR K classes": sparse_kind(30_000, 2_000, 12, loss="weston_watkins", n_classes=4),
    "CSR one accumulator": sparse_kind(4_000, 70_000, 60, loss="weston_watkins:logistic", n_classes=2),
    "CSR scores": sparse_kind(100_000, 3_000, 8, loss=None, scores=True),
    "Objective CSR": sparse_objective(60_000, 3_000, 10, loss="squared_hinge", method="value_and_grad"),
    "Objective CSR rows": sparse_objective(
        80_000, 3_000, 10, loss="logistic", method="value_and_grad", rows=60_000
    ),
    "Objective dense": dense_objective(40_000, 60, "f8", loss="logistic", method="value_and_grad"),
    "step CSR": sparse_objective(3_000, 20_000, 40, loss="squared_hinge", method="step"),
    "step CSR K classes": sparse_objective(
        3_000, 20_000, 40, loss="weston_watkins:logistic", method="step", n_classes=3
    ),
    "step CSR one accumulator": sparse_objective(
        2_000, 140_000, 60, loss="one_vs_rest:logistic", method="step", n_classes=2
    ),
    "step CSR rows": sparse_objective(6_000, 20_000, 30, loss="logistic", method="step", rows=2_000),
    "step dense": dense_objective(40_000, 60, "f8", loss="hinge", method="step", alpha=0.5),
    "hessp CSR": sparse_objective(60_000, 3_000, 10, loss="logistic", method="hessp"),
    "hessp CSR K classes": sparse_objective(
        20_000, 2_000, 12, loss="weston_watkins:psi_m", method="hessp", n_classes=3
    ),
    "hessp dense": dense_objective(40_000, 60, "f4", loss="psi_m", method="hessp"),
}
