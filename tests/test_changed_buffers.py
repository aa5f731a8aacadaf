"""Promise: column indices and row numbers that another process changes during a call lead nowhere outside memory,
wherever the call reads them again: for the gradient, for a step, for a Hessian product.
"""

import os

import pytest
from conftest import run_python

pytestmark = pytest.mark.sanitizer

# The other process is made before NumPy is there, so that it has no threads to lose. It flips two indices of a row in
# the middle of a block, one in a group of four entries and one in the tail, between a column of X and one so far
# outside that a read or write there ends the process; both as int32 and as int64.
_STORM = """
import mmap
import os
import signal
import time

N_ROWS, PER_ROW, D, IS_FULL = SHAPE
PLACES = [N_ROWS // 2 * PER_ROW + 1, N_ROWS // 2 * PER_ROW + 5]
GOOD = [1, 5] if IS_FULL else [3, 3]
FAR = {"i": [2**30, -(2**30)], "q": [2**40, -(2**40)]}
shared = mmap.mmap(-1, 65536)
views = {"i": memoryview(shared)[:16384].cast("i"), "q": memoryview(shared)[16384:49152].cast("q")}
state = memoryview(shared)[49152:49153]   # 0: flip, 1: rest, please; 2: resting
parent = os.getpid()
other = os.fork()
if other == 0:
    while os.getppid() == parent:
        if state[0]:
            state[0] = 2
            time.sleep(0.001)
            continue
        for _ in range(100):
            for code, view in views.items():
                for place, far, good in zip(PLACES, FAR[code], GOOD):
                    view[place] = far
                    os.getpid()   # each state lasts for a moment: two writes at once are seen as one
                    view[place] = good
                    os.getpid()
    os._exit(0)

import numpy as np
import hingefast as hf
from conftest import DTYPES, bits
from kinds import namespace

rng = np.random.default_rng(0)
columns = np.tile(np.arange(D), N_ROWS) if IS_FULL else rng.integers(0, D, N_ROWS * PER_ROW)
columns[PLACES] = GOOD
numbers = rng.standard_normal(N_ROWS * PER_ROW)
indptr = np.arange(N_ROWS + 1) * PER_ROW
problems = []
for code, view in views.items():
    indices = np.frombuffer(view, code)[: columns.size]
    for dtype in DTYPES:
        X = namespace(indptr.astype(code), indices, numbers.astype(dtype), (N_ROWS, D))
        for loss, n_classes in LOSSES:
            y = rng.integers(0, n_classes, N_ROWS)
            keywords = {"loss": loss, "classes": (0, 1) if n_classes == 2 else n_classes, "n_threads": 1}
            problems.append((X, y, keywords))

def settle(flipping):
    state[0] = 0 if flipping else 1
    while not flipping and state[0] != 2:
        time.sleep(0.001)
    for X, *_ in problems:
        X.indices[:] = columns

def call_often(call):
    # Until changes were met and missed: no number of calls promises that.
    met = missed = 0
    end = time.monotonic() + 0.25
    while met + missed < 300 or not (met and missed) and time.monotonic() < end:
        try:
            call()
            missed += 1
        except hf.InvalidCSRError:
            met += 1
    return min(met, missed)

least = 10**6
try:
    settle(False)
    objectives = [hf.Objective(X, y, **keywords) for X, y, keywords in problems]
    thetas = [np.linspace(-1, 1, objective.size) for objective in objectives]
    want = [bits(objective(theta)) for objective, theta in zip(objectives, thetas)]
    settle(True)
    for objective, theta in zip(objectives, thetas):
        least = min(least, call_often(lambda: objective.value_and_grad(theta)))
        least = min(least, call_often(lambda: objective.hessp(theta, theta)))
        least = min(least, call_often(lambda: objective.decision_function(theta)))
    settle(False)
    assert want == [bits(objective(theta)) for objective, theta in zip(objectives, thetas)]
    settle(True)
    for objective, theta in zip(objectives, thetas):
        least = min(least, call_often(lambda: objective.step(theta, 1e-3)))
        middle = slice(N_ROWS // 2 - 20, N_ROWS // 2 + 20)
        least = min(least, call_often(lambda: objective.step(theta, 1e-3, rows=middle)))
finally:
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
print(least)
"""


ALL_LOSSES = (("logistic", 2), ("crammer_singer:logistic", 3), ("weston_watkins:logistic", 20))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="makes a process that shares memory")
@pytest.mark.parametrize(
    "shape,losses",
    [
        ((500, 7, 50, False), ALL_LOSSES),
        ((150, 24, 50, False), ALL_LOSSES[:1]),
        ((500, 7, 7, True), ALL_LOSSES[:1]),
    ],
    ids=["short rows", "long rows", "full rows"],
)
def test_indices_changed_between_scoring_and_accumulating(shape, losses):
    given = f"SHAPE, LOSSES = {shape}, {losses}\n"
    assert int(run_python(given + _STORM).stdout) >= 0


# As above, but the other process changes the numbers of the rows of a batch.
_STORM_OF_ROWS = """
import mmap
import os
import signal
import time

N_ROWS, N, D = 300, 256, 20
PLACES, GOOD, FAR = list(range(0, N, 5)), 7, [2**40, -(2**40)]
shared = mmap.mmap(-1, 8192)
view = memoryview(shared)[: 8 * N].cast("q")
parent = os.getpid()
other = os.fork()
if other == 0:
    while os.getppid() == parent:
        for place in PLACES:
            for far in FAR:
                view[place] = far
                os.getpid()
                view[place] = GOOD
                os.getpid()
    os._exit(0)

import numpy as np
import hingefast as hf
from kinds import as_csr

rng = np.random.default_rng(0)
X = rng.standard_normal((N_ROWS, D))
rows = np.frombuffer(view, np.int64)
for place in set(range(N)) - set(PLACES):
    rows[place] = place % N_ROWS

def call_often(call, times):
    # Until as many changes were met, which takes a while where there is one processor.
    met, end = 0, time.monotonic() + 0.5
    while met < times and time.monotonic() < end:
        try:
            call()
        except ValueError as error:
            assert str(error).startswith("rows["), error
            met += 1

try:
    for A in (X, np.asfortranarray(X), as_csr(X), X.astype(">f4")):
        for loss, K in (("logistic", 2), ("weston_watkins:logistic", 3)):
            y = np.arange(N_ROWS) % K
            weights = np.arange(N_ROWS) % 5.0
            classes = (0, 1) if K == 2 else K
            objective = hf.Objective(A, y, loss=loss, classes=classes, sample_weight=weights, n_threads=1)
            theta = np.linspace(-1, 1, objective.size)
            call_often(lambda: objective.value_and_grad(theta, rows=rows), 50)
            call_often(lambda: objective.step(theta, 1e-3, rows=rows), 50)
            call_often(lambda: objective.decision_function(theta, rows=rows), 1000)
finally:
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="makes a process that shares memory")
def test_row_numbers_changed_between_check_and_use():
    assert run_python(_STORM_OF_ROWS).stdout.strip() == b"fine"
