"""Promise: threads, forks and Ctrl-C leave everything in order in multiclass calls, too."""

import concurrent.futures
import os
import threading

import numpy as np
import pytest
from conftest import THREADS, bits, raises, run_python
from kinds import as_csr
from multiclass_cases import problem, random_csr

import hingefast as hf

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@needs_fork
def test_fork_after_use():
    code = """
import faulthandler, os, warnings
import numpy as np
import hingefast as hf
from conftest import bits
from multiclass_cases import problem, random_csr

warnings.simplefilter("ignore", DeprecationWarning)
faulthandler.dump_traceback_later(60, exit=True)
case = problem(20_000, 60, 5, seed=91)
sparse, y, coef, _ = random_csr(15_000, 1_000, 40, 5, seed=91)
scores = np.random.default_rng(0).standard_normal((60_000, 10))
labels = np.arange(60_000) % 10

def answers(n_threads):
    return bits(hf.linear_value_and_grad(case.X, case.y, case.coef, loss="crammer_singer", n_threads=n_threads),
                hf.linear_value_and_grad(sparse, y, coef, loss="weston_watkins", n_threads=n_threads),
                hf.CrammerSinger().value_and_grad(labels, scores, n_threads=n_threads))

want = answers(2)
child = os.fork()
if child == 0:
    code = 9
    try:
        code = 0 if all(answers(n) == want for n in (1, 2, 3)) else 8
    finally:
        os._exit(code)
assert answers(2) == want
assert os.waitpid(child, 0)[1] == 0
print("fine")
"""
    assert run_python(code).stdout.strip() == b"fine"


def test_sixteen_threads_at_once_on_shared_inputs():
    case = problem(4_000, 150, 10, seed=93)
    sparse, y, coef, _ = random_csr(9_000, 1_000, 40, 5, seed=93)
    small = problem(64, 10, 7, seed=93)
    objective = hf.Objective(sparse, y, loss="crammer_singer:squared_hinge", alpha=0.1, classes=5)
    theta = objective.pack(coef, 0.5)
    scores = np.random.default_rng(0).standard_normal((20_000, 10))
    labels = np.arange(20_000) % 10

    def answers(n_threads):
        return bits(
            hf.linear_value_and_grad(case.X, case.y, case.coef, loss="crammer_singer", n_threads=n_threads),
            hf.linear_value_and_grad(sparse, y, coef, loss="weston_watkins", n_threads=n_threads),
            hf.linear_value_and_grad(
                small.X.astype(np.float16), small.y, small.coef, loss="one_vs_rest", n_threads=n_threads
            ),
            hf.decision_function(np.asfortranarray(small.X), small.coef, n_threads=n_threads),
            hf.TopKHinge(3).value_and_grad(labels, scores, n_threads=n_threads),
            objective.value_and_grad(theta),
            objective.hessp(theta, theta),
        )

    want = answers(1)
    barrier = threading.Barrier(16)

    def work(number):
        barrier.wait()
        return [answers(THREADS[(number + turn) % len(THREADS)]) == want for turn in range(2)]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    assert results == [[True] * 2] * 16


def test_errors_of_one_caller_do_not_reach_another():
    sparse, y, coef, _ = random_csr(9_000, 1_000, 40, 5, seed=94)
    broken = y.copy()
    broken[[7_000, 8_999]] = 5
    want = bits(hf.linear_value_and_grad(sparse, y, coef, loss="crammer_singer"))
    barrier = threading.Barrier(6)

    def work(number):
        barrier.wait()
        for _ in range(4):
            if number % 2:
                with raises(ValueError, "y[7000] is 5"):
                    hf.linear_value_and_grad(sparse, broken, coef, loss="crammer_singer", n_threads=2)
            else:
                got = hf.linear_value_and_grad(sparse, y, coef, loss="crammer_singer", n_threads=2)
                assert bits(got) == want
        return True

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))


def test_the_interpreter_runs_during_a_call():
    """The GIL is released: another thread counts on while one long call works."""
    X = np.broadcast_to(np.linspace(-1, 1, 5_000), (20_000, 5_000))
    y = np.zeros(20_000, dtype=np.int8)
    stop = threading.Event()
    ticks = 0

    def tick():
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            stop.wait(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    hf.linear_value_and_grad(X, y, np.ones((8, 5_000)), loss="crammer_singer", n_threads=1)
    stop.set()
    thread.join()
    assert ticks > 10


def test_small_work_starts_no_threads():
    code = """
import threading
import numpy as np
import hingefast as hf
from kinds import as_csr
from multiclass_cases import problem
case = problem(64, 20, 5, seed=96)
for X in (case.X, as_csr(case.X)):
    hf.linear_value_and_grad(X, case.y, case.coef, loss="crammer_singer", n_threads=8)
    scores = hf.decision_function(X, case.coef, n_threads=8)
hf.CrammerSinger().value_and_grad(case.y, scores, n_threads=8)
assert threading.active_count() == 1
print("fine")
"""
    assert run_python(code).stdout.strip() == b"fine"


INTERRUPT = """
import os, signal, sys, threading, time
from types import SimpleNamespace
import numpy as np
import hingefast as hf

n, d, n_classes = 200_000, 5_000, 20
row = np.linspace(-1.0, 1.0, d)
y = (np.arange(n) % n_classes).astype(np.int8)
coef = np.ones((n_classes, d))
if LAYOUT == "dense":  # one row seen n times: seconds of work in 40 KB
    X = np.broadcast_to(row, (n, d))
elif LAYOUT == "tile":
    X = np.broadcast_to(row.astype(">f8"), (n, d))
elif LAYOUT == "csr":
    nnz = 20_000_000
    n = 50_000
    indices = np.broadcast_to(np.int32(7), nnz).copy()
    X = SimpleNamespace(indptr=np.arange(n + 1) * (nnz // n), indices=indices, data=np.ones(nnz), shape=(n, d))
    y = y[:n]
else:
    n = 60_000_000
    scores = np.broadcast_to(row[:n_classes], (n, n_classes))
    y = np.broadcast_to(np.int8(0), n)
out = np.full((n_classes, d), 7.0)
times = {}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have us ignore it

def interrupt():
    times["sent"] = time.perf_counter()
    os.kill(os.getpid(), signal.SIGINT)

timer = threading.Timer(0.25, interrupt)
timer.start()
try:
    while True:  # some passes are short: the signal falls into one of them
        if LAYOUT == "scores":
            hf.WestonWatkins("logistic")(y, scores, n_threads=N_THREADS)
        else:
            hf.linear_value_and_grad(X, y, coef, loss="weston_watkins", out=out, n_threads=N_THREADS)
except KeyboardInterrupt:
    seen = time.perf_counter()
snapshot = out.copy()
time.sleep(0.1)
assert np.array_equal(out, snapshot), "something wrote to out after the interruption"
delay = seen - times["sent"]
# 50 ms between looks at the signal; the rest is room for a busy machine.
assert delay < 1.0, f"noticed after {delay:.3f} s"
small = np.arange(6.0).reshape(3, 2)
scores = hf.decision_function(small, np.array([[1.0, 1.0], [0.0, 2.0]]), n_threads=N_THREADS)
assert scores.tolist() == [[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]]
print("fine", round(delay, 3))
"""


@needs_posix
@pytest.mark.parametrize(
    "layout,n_threads", [("dense", 1), ("dense", 2), ("tile", 1), ("csr", 2), ("scores", 1), ("scores", 2)]
)
def test_ctrl_c(layout, n_threads):
    """KeyboardInterrupt promptly, nothing written to `out` afterwards, and the next call works."""
    settings = f"LAYOUT, N_THREADS = {layout!r}, {n_threads}\n"
    assert run_python(settings + INTERRUPT).stdout.startswith(b"fine")


def test_float_environment_is_of_no_account():
    """NumPy's errstate is never consulted: infinities and NaN make no warning (warnings are errors here)."""
    X = np.array([[np.inf, 1.0], [np.nan, 1.0], [1e308, 1e308]])
    coef = np.array([[1.0, 10.0], [-1.0, 1e300], [0.5, 0.5]])
    with np.errstate(all="raise"):
        for A in (X, as_csr(X)):
            for loss in ("crammer_singer:squared_hinge", "weston_watkins:psi_g", "one_vs_rest:logistic"):
                value, _, _ = hf.linear_value_and_grad(A, [1, 0, 2], coef, loss=loss)
                assert np.isnan(value)
            hf.decision_function(A, coef)
        scores = np.array([[np.inf, np.nan, 1e308], [-1e308, 1e308, -np.inf]])
        for loss in (hf.TopKHinge(2), hf.CostSensitiveHinge(np.ones((3, 3))), hf.WestonWatkins("psi_m")):
            assert np.isnan(loss([0, 1], scores))
