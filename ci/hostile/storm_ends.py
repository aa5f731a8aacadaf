"""Calls when the interpreter ends, and many callers at once, some of whom are wrong."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time

import kinds
import numpy as np

import hingefast as hf


def fail(why):
    """End the process at once, also where exceptions are swallowed."""
    sys.stderr.write(f"{why}\n")
    sys.stderr.flush()
    os._exit(5)


def check(kind, why):
    try:
        if kind.bits(3) != kind.want:
            fail(f"other bits {why}")
    except BaseException as error:
        fail(f"{type(error).__name__}: {error} {why}")


def at_exit(name, used_before):
    def storm(choose, seconds):
        kind = kinds.make(name)
        if used_before:
            kind.call(3)
        atexit.register(check, kind, "at exit")

    return storm


def outlive_main(name):
    """A thread goes on calling when main has ended."""

    def storm(choose, seconds):
        kind = kinds.make(name)

        def work():
            end = time.monotonic() + min(seconds, 1.5)
            while time.monotonic() < end:
                check(kind, "in a thread that outlives main")

        for _ in range(2 if kind.out is None else 1):
            threading.Thread(target=work).start()

    return storm


class Last:
    """Calls when it is deleted, as the interpreter takes its modules down."""

    def __init__(self, kind):
        self.kind = kind
        self.check = check

    def __del__(self):
        self.check(self.kind, "in __del__ at shutdown")


def in_del(name):
    def storm(choose, seconds):
        kind = kinds.make(name)
        kind.call(3)
        held = Last(kind)
        held.itself = held  # a cycle, which ends late
        sys.modules["held by the end"] = held

    return storm


def daemon_thread(name):
    """A daemon thread is in the middle of calls when the interpreter ends."""

    def storm(choose, seconds):
        kind = kinds.make(name)

        def work():
            while True:
                kind.call(3)

        threading.Thread(target=work, daemon=True).start()
        time.sleep(choose.random() * 0.2)

    return storm


def many_callers(make_X):
    """16 threads on one Objective: every caller gets the bits or the error of its own call."""

    def storm(choose, seconds):
        numbers = np.random.default_rng(0)
        n_rows, n_features = 60_000, 40
        X = make_X(numbers, n_rows, n_features)
        y = np.where(numbers.random(n_rows) < 0.5, -1.0, 1.0)
        weight = numbers.random(n_rows)
        weight[50_000:] = np.nan  # content that the rows of some callers meet
        objective = hf.Objective(X, y, loss="logistic", n_threads=2)
        thetas = [numbers.standard_normal(n_features + 1) for _ in range(4)]
        rows = np.arange(0, n_rows, 3)
        bad_rows = rows.copy()
        bad_rows[2_000] = n_rows
        want = [(objective.value(theta), objective.grad(theta, rows=rows)) for theta in thetas]
        coef = thetas[0][:-1]

        def weighted(which):
            return hf.linear_value_and_grad(X, y, coef, sample_weight=weight, rows=which, n_threads=2)

        good = weighted(slice(0, 50_000))
        faults, stop = [], threading.Event()

        def work(k):
            theta, (value, grad) = thetas[k % 4], want[k % 4]
            try:
                while not stop.is_set() and not faults:
                    if objective.value(theta) != value or not np.array_equal(
                        objective.grad(theta, rows=rows), grad
                    ):
                        faults.append("other bits")
                    expect(faults, "rows[2000]", lambda: objective.value(theta, rows=bad_rows))
                    expect(faults, "sample_weight[50000]", lambda: weighted(slice(None)))
                    found = weighted(slice(0, 50_000))
                    if found[0] != good[0] or not np.array_equal(found[1], good[1]):
                        faults.append("other bits")
            except BaseException as error:
                faults.append(f"{type(error).__name__}: {error}")

        callers = [threading.Thread(target=work, args=(k,)) for k in range(16)]
        for caller in callers:
            caller.start()
        stop.wait(seconds)
        stop.set()
        for caller in callers:
            caller.join()
        assert not faults, faults[:3]

    return storm


def expect(faults, text, call):
    try:
        call()
        faults.append(f"accepted where {text} is wrong")
    except ValueError as error:
        if text not in str(error):
            faults.append(f"another call's error: {error}")


def csr_of(dtype):
    def make(numbers, n_rows, n_features):
        return kinds.sparse(kinds.private, numbers, n_rows, n_features, 30, dtype)[1]

    return make


def dense_of(dtype):
    return lambda numbers, n_rows, n_features: numbers.standard_normal((n_rows, n_features)).astype(dtype)


SOME = (
    "scores f64",
    "dense f64",
    "CSR f64",
    "CSR one accumulator",
    "step CSR",
    "hessp dense",
    "scores longdouble",
)

STORMS = {
    **{f"at exit: {name}": at_exit(name, k % 2) for k, name in enumerate(SOME)},
    **{f"a thread outlives main: {name}": outlive_main(name) for name in SOME},
    **{f"in __del__ at shutdown: {name}": in_del(name) for name in SOME[:4]},
    **{f"a daemon thread at exit: {name}": daemon_thread(name) for name in SOME},
    "16 callers: dense": many_callers(dense_of("f8")),
    "16 callers: dense longdouble": many_callers(dense_of("longdouble")),
    "16 callers: CSR": many_callers(csr_of("f8")),
    "16 callers: CSR longdouble": many_callers(csr_of("longdouble")),
}
