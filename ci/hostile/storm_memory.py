"""Memory is given back, and nothing keeps X alive after a call has failed."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
from storm_signals import inside, raise_inside

import hingefast as hf

MB = 1 << 20
MOST_LEFT = 4 * MB  # for each caller, and as much for threads and whatever else


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def wide_problem(n_classes):
    """One whose gradient has 32 MB."""
    numbers = np.random.default_rng(0)
    n_features = 32 * MB // 8 // max(n_classes, 1)
    n_rows, each = 3000, 20
    X = SimpleNamespace(
        data=numbers.standard_normal(n_rows * each),
        indices=numbers.integers(0, n_features, n_rows * each),
        indptr=np.arange(n_rows + 1) * each,
        shape=(n_rows, n_features),
    )
    y = (
        numbers.integers(0, n_classes, n_rows)
        if n_classes
        else np.where(numbers.random(n_rows) < 0.5, -1.0, 1.0)
    )
    loss = "weston_watkins:logistic" if n_classes else "logistic"
    return hf.Objective(X, y, loss=loss, classes=n_classes or None, n_threads=3)


def wait_after(call, called, measured):
    try:
        call()
    finally:
        called.wait()
        measured.wait()


def given_back(n_classes, n_callers):
    def storm(choose, seconds):
        small = np.ones((40_000, 30))
        hf.decision_function(small, np.ones(30), n_threads=3)  # threads, and what stays for ever
        hf.linear_value_and_grad(small, np.ones(40_000), np.ones(30), n_threads=3)
        np.random.default_rng(0)  # NumPy imports this when it is first used
        before = resident()

        def call():
            objective = wide_problem(n_classes)
            theta = np.zeros(objective.size)
            objective.value_and_grad(theta)
            objective.step(theta, 0.1)
            objective.hessp(theta, theta)

        called, measured = threading.Barrier(n_callers + 1), threading.Event()
        callers = [
            threading.Thread(target=wait_after, args=(call, called, measured)) for _ in range(n_callers)
        ]
        for caller in callers:
            caller.start()
        called.wait()  # they are alive still, with all that belongs to a thread
        gc.collect()
        left = resident() - before
        measured.set()
        assert left < (n_callers + 1) * MOST_LEFT, (
            f"{left / MB:.0f} MB stay after calls with a gradient of 32 MB"
        )

    return storm


class Watched(np.ndarray):
    """An array that can be watched: whether it is still alive."""


def problem(n_rows=30_000, n_features=80):
    X = np.full((n_rows, n_features), 0.5).view(Watched)
    return X, np.where(np.arange(n_rows) % 2, 1.0, -1.0), np.zeros(n_features)


def is_let_go(provoke):
    """X is dead once the last name of it is gone, without the cyclic collector."""

    def storm(choose, seconds):
        gc.disable()
        end, provoked = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            X, y, coef = problem()
            watched = weakref.ref(X)
            provoked += provoke(choose, X, y, coef)
            del X
            sys.exc_info()
            assert watched() is None, (
                f"X is alive after {provoked} failures: {gc.get_referrers(watched())[:2]!r:.600}"
            )
        assert provoked, "nothing was provoked"
        print(provoked, "provoked")

    return storm


def interrupt(choose, X, y, coef):
    signal.signal(signal.SIGINT, raise_inside)
    timer = threading.Timer(choose.random() * 0.01, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        inside(lambda: hf.linear_value_and_grad(X, y, coef, loss="psi_g", n_threads=choose.choice((1, 3))))
    except KeyboardInterrupt:
        return 1
    finally:
        timer.join()
    return 0


def exhaust(choose, X, y, coef):
    """MemoryError from a cast, at any of its places."""
    real, left = np.ascontiguousarray, choose.randrange(4)

    def failing(*arguments, **keywords):
        nonlocal left
        left -= 1
        if left < 0:
            raise MemoryError("no more of it")
        return real(*arguments, **keywords)

    np.ascontiguousarray = failing
    try:
        hf.linear_value_and_grad(X, y.astype(np.longdouble), coef, n_threads=choose.choice((1, 3)))
    except MemoryError:
        return 1
    finally:
        np.ascontiguousarray = real
    return 0


def limit(choose, X, y, coef):
    """MemoryError from a limit of the process: classes enough that the gradient alone is too large."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    wide = np.zeros((20_000, X.shape[1]))
    resource.setrlimit(resource.RLIMIT_AS, (used + 13 * MB + choose.randrange(16 * MB), hard))
    try:
        hf.linear_value_and_grad(
            X, np.zeros(len(y)), wide, loss="weston_watkins", n_threads=choose.choice((1, 3))
        )
    except MemoryError:
        return 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return 0


def refuse(choose, X, y, coef):
    """A fault in the content."""
    y[choose.randrange(len(y))] = 0
    try:
        hf.linear_value_and_grad(X, y, coef, n_threads=choose.choice((1, 3)))
    except ValueError:
        return 1
    return 0


STORMS = {
    "memory given back: binary, one caller": given_back(0, 1),
    "memory given back: binary, 3 callers": given_back(0, 3),
    "memory given back: K classes, one caller": given_back(4, 1),
    "memory given back: K classes, 3 callers": given_back(4, 3),
    "X let go: KeyboardInterrupt": is_let_go(interrupt),
    "X let go: MemoryError of a cast": is_let_go(exhaust),
    "X let go: MemoryError of a limit": is_let_go(limit),
    "X let go: ValueError": is_let_go(refuse),
}
if os.environ.get("ASAN_OPTIONS"):  # which keeps freed memory for a while, and reserves terabytes
    STORMS = {
        name: storm for name, storm in STORMS.items() if "given back" not in name and "limit" not in name
    }
