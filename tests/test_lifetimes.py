"""Promise: a call returns or raises when the last thread has left it, whatever happens; and nothing is left behind.

Every moment is made certain from outside: `hand_out`, which brings helpers, or what starts a thread, is replaced by
something that does the same and then raises, forks, or sends a signal.
"""

import os
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import bits, run_python, spoil_a_label_lookup
from kinds import random_csr

import hingefast as hf
from hingefast import _threads

pytestmark = [pytest.mark.sanitizer, pytest.mark.any_python]

needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")

# Calls of several tasks each: name -> (out, call).
CALLS = """
import numpy as np
from types import SimpleNamespace
import hingefast as hf

n = 150_000
y = np.where(np.arange(n) % 3, 1, -1).astype(np.int8)
z = np.linspace(-2, 2, 6 * n)
labels = np.where(np.arange(6 * n) % 3, 1, -1).astype(np.int8)
wide = np.linspace(-1, 1, n * 32).reshape(n, 32)
columns = np.asfortranarray(wide)
indptr = np.arange(n + 1) * 8
indices = (np.arange(8 * n) * 7919 % 1000).astype(np.int32)
sparse = SimpleNamespace(data=np.linspace(-1, 1, 8 * n), indices=indices, indptr=indptr, shape=(n, 1000))
turns = SimpleNamespace(data=sparse.data, indices=indices, indptr=indptr, shape=(n, 70_000))   # one accumulator
classes = np.arange(n) % 3
weights = np.linspace(0.5, 1.5, z.size)

def scores(n_threads):
    out = np.zeros(z.size)
    return out, lambda: hf.GaussianHinge().value_and_grad(labels, z, out=out, n_threads=n_threads)

def weighted_scores(n_threads):
    out = np.zeros(z.size)
    loss = hf.SquaredHinge()
    return out, lambda: loss.value_and_grad(labels, z, sample_weight=weights, out=out, n_threads=n_threads)

def class_scores(n_threads):
    out = np.zeros((n, 3))
    Z = z[:3 * n].reshape(n, 3)
    return out, lambda: hf.WestonWatkins("logistic").value_and_grad(classes, Z, out=out, n_threads=n_threads)

def linear(X, coef, target=y, loss="psi_g"):
    def make(n_threads):
        out = np.zeros_like(coef)
        return out, lambda: hf.linear_value_and_grad(X, target, coef, loss=loss, out=out, n_threads=n_threads)
    return make

def decision(n_threads):
    out = np.zeros(n)
    return out, lambda: hf.decision_function(wide, np.ones(32), out=out, n_threads=n_threads)

MAKERS = {
    "scores": scores,
    "weighted_scores": weighted_scores,
    "class_scores": class_scores,
    "dense": linear(wide, np.ones(32)),
    "fortran": linear(columns, np.ones(32)),
    "float32": linear(wide.astype(np.float32), np.ones(32)),
    "csr": linear(sparse, np.ones(1000)),
    "classes": linear(wide, np.ones((3, 32)), classes, "weston_watkins:logistic"),
    "classes_in_turn": linear(turns, np.ones((3, 70_000)), classes, "weston_watkins"),
    "decision": decision,
}
"""
NAMES = (
    "scores",
    "weighted_scores",
    "class_scores",
    "dense",
    "fortran",
    "float32",
    "csr",
    "classes",
    "classes_in_turn",
    "decision",
)

INTERRUPTED_WHILE_HANDING_OUT = (
    CALLS
    + """
import time
from hingefast import _threads
hand_out = _threads.hand_out
armed = None

def interrupted(work, n_helpers):
    hand_out(work, n_helpers)
    if armed == "late":
        time.sleep(0.003)   # the helpers are at work
    if armed:
        raise KeyboardInterrupt   # as if Ctrl-C had come just now

_threads.hand_out = interrupted
for name, make in MAKERS.items():
    for armed in ("at once", "late", "at once", "late"):
        out, call = make(3)
        try:
            call()
        except KeyboardInterrupt:
            pass
        else:
            raise SystemExit(f"{name}: no KeyboardInterrupt")
        before = out.copy()
        del call
        time.sleep(0.01)   # a helper that had been left behind would write now
        assert np.array_equal(before, out), f"{name}: something wrote to out after the call had raised"
    armed = None
    want = make(1)[1]()
    got = make(3)[1]()
    assert str(want) == str(got), name
print("fine")
"""
)


def test_an_interruption_while_helpers_are_handed_out():
    """KeyboardInterrupt comes out, and nobody writes or reads afterwards."""
    assert run_python(INTERRUPTED_WHILE_HANDING_OUT).stdout.strip() == b"fine"


STORM = (
    CALLS
    + """
import os, random, signal, time

signal.signal(signal.SIGALRM, signal.default_int_handler)   # KeyboardInterrupt, from a timer
random.seed(SEED)
want = {name: str(make(1)[1]()) for name, make in MAKERS.items()}
interrupted, end = 0, time.time() + 100
while interrupted < 120 and time.time() < end:
    for name, make in MAKERS.items():
        out, call = make(3)
        pause = random.choice((2e-4, 1e-3, 5e-3)) * random.random() + 1e-5
        try:
            # The second and later ones come while the first is on its way out.
            signal.setitimer(signal.ITIMER_REAL, pause, random.choice((0, 1e-4, 1e-3)))
            call()
        except KeyboardInterrupt:
            interrupted += 1
        while True:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)
                break
            except KeyboardInterrupt:
                pass
        before = out.copy()
        del call
        time.sleep(1e-3)   # a helper that had been left behind would write now
        assert np.array_equal(before, out), name
        assert str(make(3)[1]()) == want[name], name
assert interrupted >= 10, interrupted
print("fine")
"""
)


@needs_posix
def test_a_storm_of_interruptions():
    """At random moments, several to a call: each call raises or returns, and the next one has the right bits."""
    done = run_python(f"SEED = {os.getpid()}\n{STORM}", check=False)
    # An interruption may also come where no try stands.
    assert done.stdout.strip() == b"fine" or done.stderr.rstrip().endswith(b"KeyboardInterrupt"), (
        done.returncode,
        done.stderr[-2000:],
    )


@needs_posix
def test_an_interrupted_process_ends():
    """The interpreter waits for no helper when it ends, not even for those of a call that was interrupted."""
    code = (
        CALLS
        + """
import os, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
out, call = MAKERS["classes_in_turn"](3)
threading.Timer(0.005, os.kill, (os.getpid(), signal.SIGINT)).start()
while True:
    call()
"""
    )
    done = run_python(code, check=False)
    assert done.stderr.rstrip().endswith(b"KeyboardInterrupt")


FORK_IN_A_HANDLER = (
    CALLS
    + """
import faulthandler, os, signal, time
import warnings
warnings.simplefilter("ignore", DeprecationWarning)   # of a fork beside threads
faulthandler.dump_traceback_later(100, exit=True)
parent = os.getpid()
forks = 0
for name, make in MAKERS.items():
    want = str(make(1)[1]())
    for k in range(4):
        child = None
        def handler(*_):
            global child
            child = os.fork()
        signal.signal(signal.SIGALRM, handler)
        out, call = make(3)
        signal.setitimer(signal.ITIMER_REAL, 1e-3 + 2e-3 * k)
        got = str(call())
        signal.setitimer(signal.ITIMER_REAL, 0)
        if child == 0:
            os._exit(0 if got == want and str(make(2)[1]()) == want else 3)
        assert got == want, name
        if child is None:
            continue   # the call was over
        forks += 1
        assert os.waitpid(child, 0)[1] == 0, name
assert forks > 10, forks
print("fine")
"""
)


@needs_fork
def test_a_fork_in_a_signal_handler_during_a_call():
    """The child's call goes on alone: it does not wait for threads that it does not have. Same bits in both."""
    assert run_python(FORK_IN_A_HANDLER).stdout.strip() == b"fine"


FORK_WHILE_WAITING = (
    CALLS
    + """
import faulthandler, os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)   # of a fork beside threads
faulthandler.dump_traceback_later(100, exit=True)
child, main = None, threading.get_ident()
real = threading.Lock

class Lock:
    def __init__(self):
        self.lock = real()
        self.release = self.lock.release
    def acquire(self, *args):
        global child
        if len(args) == 2 and child is None and threading.get_ident() == main:   # the call waits for helpers
            child = os.fork()
        return self.lock.acquire(*args)

forks = 0
for name, make in MAKERS.items():
    want = str(make(1)[1]())
    for _ in range(30):
        child = None
        _, call = make(3)
        threading.Lock = Lock
        got = str(call())
        threading.Lock = real
        if child == 0:
            os._exit(0 if got == want and str(make(2)[1]()) == want else 3)
        assert got == want, name
        if child is not None:
            forks += 1
            assert os.waitpid(child, 0)[1] == 0, name
            break
assert forks > 3, forks
print("fine")
"""
)


@needs_fork
def test_a_fork_while_a_call_waits_for_its_helpers():
    """As above, at the moment at which all that is left to do is in threads that the child does not have."""
    assert run_python(FORK_WHILE_WAITING).stdout.strip() == b"fine"


@needs_posix
def test_a_handler_that_calls_while_helpers_are_started():
    """A signal handler runs a threaded call of its own while the call it interrupts is starting threads."""
    code = (
        CALLS
        + """
import faulthandler, signal
from types import SimpleNamespace
from hingefast import _threads
import _thread
faulthandler.dump_traceback_later(60, exit=True)

def start(*arguments):
    _thread.start_new_thread(*arguments)
    signal.raise_signal(signal.SIGUSR1)

_threads._thread = SimpleNamespace(start_new_thread=start)
answers, busy = [], False

def handler(*_):
    global busy
    if not busy:
        busy = True
        answers.append(str(MAKERS["csr"](5)[1]()))
        busy = False

want = str(MAKERS["csr"](1)[1]())
signal.signal(signal.SIGUSR1, handler)
assert str(MAKERS["csr"](3)[1]()) == want
assert answers and all(answer == want for answer in answers)
print("fine")
"""
    )
    assert run_python(code).stdout.strip() == b"fine"


@pytest.mark.parametrize("granted", [0, 1])
@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), MemoryError()], ids=["refused", "memory"]
)
def test_threads_that_cannot_be_had(monkeypatch, granted, error):
    """A limit of the system: the same bits on fewer threads, at last on the calling one."""
    start, started = _threads._thread.start_new_thread, []

    def limited(*arguments):
        if len(started) >= granted:
            raise error
        started.append(start(*arguments))

    monkeypatch.setattr(_threads, "_thread", SimpleNamespace(start_new_thread=limited))
    monkeypatch.setattr(_threads, "_queue", _threads.SimpleQueue())
    monkeypatch.setattr(_threads, "_n_helpers", 0)
    X = np.linspace(-1, 1, 250_000 * 32).reshape(250_000, 32)
    y = np.where(np.arange(250_000) % 3, 1, -1)
    want = bits(hf.linear_value_and_grad(X, y, np.ones(32), n_threads=1))
    for _ in range(3):
        assert bits(hf.linear_value_and_grad(X, y, np.ones(32), n_threads=4)) == want
    assert len(started) == granted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of POSIX")
@pytest.mark.no_sanitizer
def test_a_limit_on_memory_that_leaves_no_room_for_threads():
    code = (
        CALLS
        + """
import resource
want = {name: str(make(1)[1]()) for name, make in MAKERS.items()}
out, call = MAKERS["dense"](4)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
# A thread's stack alone takes 8 MB.
resource.setrlimit(resource.RLIMIT_AS, (used + (6 << 20), resource.RLIM_INFINITY))
assert str(call()) == want["dense"]
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for name, make in MAKERS.items():
    assert str(make(3)[1]()) == want[name]
print("fine")
"""
    )
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("memory is read from /proc")
    assert run_python(code).stdout.strip() == b"fine"


def test_calls_when_the_interpreter_shuts_down():
    """At exit, from a thread that outlives main, and from a finalizer: the answer, on the calling thread if need be."""
    code = (
        CALLS
        + """
import atexit, threading, time
want = str(MAKERS["csr"](1)[1]())
make = MAKERS["csr"]

def train(wait, where, make=make, want=want, str=str, print=print, sleep=time.sleep):
    sleep(wait)
    print(where, str(make(2)[1]()) == want, flush=True)

class Late:
    def __del__(self):
        train(0, "finalizer")

late = Late()
atexit.register(train, 0, "atexit")
threading.Thread(target=train, args=(0.3, "thread")).start()
"""
    )
    done = run_python(code)
    assert sorted(done.stdout.split(b"\n")) == [b"", b"atexit True", b"finalizer True", b"thread True"], done


def test_helpers_serve_one_call_after_another():
    """What is handed out is done, or forgotten when its call is over: the queue keeps no work and no data."""
    code = (
        CALLS
        + """
import gc, weakref
from hingefast import _threads
gc.disable()
for name, make in MAKERS.items():
    for _ in range(20):
        make(4)[1]()
class Array(np.ndarray):
    pass
X = np.ones((n, 32)).view(Array)
dead = weakref.ref(X)
hf.decision_function(X, np.ones(32), n_threads=4)
del X
assert dead() is None
print(_threads._n_helpers)
"""
    )
    assert run_python(code).stdout.strip() == b"3"


def test_work_that_waits_keeps_no_data():
    """All helpers are busy elsewhere: a call ends without them, and what waits for them holds nothing of it."""
    code = """
import gc, threading, weakref
import numpy as np
import hingefast as hf
from hingefast import _threads
gc.disable()

n = 150_000
y = np.arange(n) % 3
signs = np.where(y, 1, -1)
X, Z, z = np.ones((n, 32)), np.ones((6 * n, 3)), np.linspace(-2, 2, 6 * n)
half, halves = z.astype(np.float16), Z.astype(np.float16)   # read through a cast
coef = np.ones((3, 32))
calls = {
    "scores": lambda: hf.Hinge().value_and_grad(np.tile(signs, 6), z, n_threads=3),
    "scores of classes": lambda: hf.CrammerSinger().value(np.tile(y, 6), Z, n_threads=3),
    "cast scores": lambda: hf.Hinge().value(np.tile(signs, 6), half, n_threads=3),
    "cast scores of classes": lambda: hf.CrammerSinger().value(np.tile(y, 6), halves, n_threads=3),
    "linear": lambda: hf.linear_value_and_grad(X, signs, coef[0], n_threads=3),
    "linear of classes": lambda: hf.linear_value_and_grad(X, y, coef, loss="one_vs_rest", n_threads=3),
    "decision function": lambda: hf.decision_function(X, coef[0], n_threads=3),
}
busy = threading.Event()
_threads.hand_out(lambda: busy.wait(100), 2)
for call in calls.values():
    call()
assert _threads._queue.qsize() >= 2 * len(calls) and _threads._n_helpers == 2
calls.clear()
call = None
names = ["X", "Z", "z", "half", "halves", "coef", "y", "signs"]
gone = {name: weakref.ref(globals().pop(name)) for name in names}
print([name for name, array in gone.items() if array() is not None])
busy.set()
"""
    assert run_python(code).stdout.strip() == b"[]"


def test_work_that_waits_is_bounded():
    """However many calls are made while all helpers are busy: what waits for them is given up at some number."""
    code = """
import threading
from hingefast import _threads
busy = threading.Event()
_threads.hand_out(lambda: busy.wait(100), 2)
for _ in range(10_000):
    _threads.hand_out(lambda: None, 2)
print(_threads._queue.qsize() <= _threads.MAX_WAITING + 2)
busy.set()
"""
    assert run_python(code).stdout.strip() == b"True"


LET_GO = """
import gc, weakref
import numpy as np
import hingefast as hf
from hingefast import _threads
gc.disable()

class Array(np.ndarray):
    pass

n = 200_000
y = np.where(np.arange(n) % 3, 1, -1)
hand_out = _threads.hand_out

def failing(work, n_helpers):
    hand_out(work, n_helpers)
    raise error()

def failed_call(n_threads):
    X = np.ones((n, 32)).view(Array)
    try:
        if kind == "content":
            hf.linear_value_and_grad(X, np.where(np.arange(n) == n - 1, 3, y), np.ones(32), n_threads=n_threads)
        else:
            hf.linear_value_and_grad(X, y, np.ones(32), n_threads=n_threads)
    except (KeyboardInterrupt, MemoryError, ValueError):
        return weakref.ref(X)
    raise SystemExit("no error")

for kind, error in (("hand out", KeyboardInterrupt), ("hand out", MemoryError), ("content", None)):
    _threads.hand_out = failing if error else hand_out
    for n_threads in (3,) if error else (1, 3):
        assert failed_call(n_threads)() is None, (kind, error, n_threads)
print("fine")
"""


def test_nothing_keeps_the_data_after_an_error():
    """X is gone when the call has raised and its caller lets go of it, without the cyclic collector."""
    assert run_python(LET_GO).stdout.strip() == b"fine"


def test_an_error_of_a_cast_reaches_its_own_caller(monkeypatch):
    """Two threads share an Objective; NumPy casts X and has no memory for one of them."""
    X = np.ones((64, 40), np.longdouble)
    if X.dtype == np.float64:
        pytest.skip("longdouble is float64 here, which no cast is needed for")
    objective = hf.Objective(X, np.ones(64), loss="logistic")
    theta = np.zeros(41)
    real, a_failed, b_waits = np.ascontiguousarray, threading.Event(), threading.Event()

    def cast(x, dtype=None):
        name = threading.current_thread().name
        if name == "A":
            b_waits.wait(5)
            a_failed.set()
            raise MemoryError("A's own")
        if name == "B":
            b_waits.set()
            a_failed.wait(5)
        return real(x, dtype=dtype)

    monkeypatch.setattr(np, "ascontiguousarray", cast)
    caught = {"A": None, "B": None}

    def call():
        try:
            objective.value(theta)
        except BaseException as error:
            caught[threading.current_thread().name] = error

    for _ in range(50):
        a_failed.clear()
        b_waits.clear()
        pair = [threading.Thread(target=call, name=name) for name in "AB"]
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()
        assert isinstance(caught["A"], MemoryError)
        assert caught["B"] is None


@needs_proc
@pytest.mark.no_sanitizer
def test_memory_is_given_back():
    """A gradient of 32 MB takes memory while it is computed, in whichever thread, and none afterwards."""
    code = """
import concurrent.futures, resource
from types import SimpleNamespace
import numpy as np
import hingefast as hf

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

d = 2_000_000
X, y = np.ones((4, d)), np.ones(4)
indices = np.arange(4_000, dtype=np.int32) * 500
S = SimpleNamespace(data=np.ones(4_000), indices=indices, indptr=np.array([0, 1000, 2000, 3000, 4000]), shape=(4, d))
dense, sparse = (hf.Objective(A, y, loss="squared_hinge") for A in (X, S))
K = hf.Objective(S, [0, 1, 0, 1], loss="weston_watkins", classes=2)
theta, thetas = np.ones(d + 1), np.ones(K.size)
outs = [(np.ones(d + 1), np.ones(K.size)) for _ in range(4)]

def calls(out):
    dense.value_and_grad(theta, out=out[0])
    sparse.value_and_grad(theta, out=out[0])
    K.value_and_grad(thetas, out=out[1])
    sparse.step(out[0], 0.0)
    sparse.step(out[0], 0.0, rows=slice(0, 2))

with concurrent.futures.ThreadPoolExecutor(4) as pool:   # threads that stay
    list(pool.map(lambda _: None, range(4)))
    before = resident()
    for _ in range(3):
        list(pool.map(calls, outs))
        calls(outs[0])
    print(resident() - before)
"""
    # Five threads may keep a few MB each.
    assert float(run_python(code).stdout) < 5 * 6


@needs_proc
@pytest.mark.no_sanitizer
@pytest.mark.parametrize("calls", ["large", "large and small", "several", "threads that end"])
def test_what_calls_leave_behind(calls):
    """Neither memory nor addresses, whatever sizes follow one another, on threads that stay and that end."""
    code = f"""
import resource, threading
from types import SimpleNamespace
import numpy as np
import hingefast as hf

def taken():
    return [int(size) * resource.getpagesize() / 2**20 for size in open("/proc/self/statm").read().split()[:2]]

def linear(d, K=2):
    X, y = np.broadcast_to(np.ones(d), (4, d)), np.arange(4) % K
    coef, out = ((np.zeros((K, d)), (np.ones((K, d)), np.ones(K))) if K > 2 else (np.zeros(d), np.ones(d)))
    loss = "weston_watkins" if K > 2 else "hinge"
    return lambda: hf.linear_value_and_grad(X, y, coef, loss=loss, classes=range(K), out=out, n_threads=1)

def step():                                              # buffers of 1 to 3.5 MB
    objective.step(theta, 1e-3)

def in_a_thread():
    thread = threading.Thread(target=step)
    thread.start()
    thread.join()

indices = np.arange(220_000, dtype=np.int32) * 4
X = SimpleNamespace(data=np.ones(220_000), indices=indices, indptr=np.arange(0, 220_001, 20), shape=(11_000, 900_000))
objective = hf.Objective(X, np.arange(11_000) % 2, loss="hinge", classes=(0, 1), n_threads=1)
theta = np.ones(objective.size)

calls = {{
    "large": [linear(600_000)],                          # a gradient of 4.6 MB
    "large and small": [linear(600_000), linear(100_000)],
    "several": [step, linear(450_000), linear(110_000, 4)],
    "threads that end": [in_a_thread],
}}[{calls!r}]
if {calls!r} == "several":   # what is kept counts from a first, small call
    linear(4)()
else:
    for call in calls * 5:
        call()
before = taken()
for _ in range(60):
    for call in calls:
        call()
grown = [after - earlier for after, earlier in zip(taken(), before)]
print(grown[1] if calls == [in_a_thread] else max(grown))   # malloc reserves addresses for a thread
"""
    assert float(run_python(code).stdout) < 8  # a thread keeps 4 MB


@needs_proc
@pytest.mark.no_sanitizer
def test_helpers_give_memory_back():
    """Task gradients of 16 MB live in the threads that help; none of it stays with them."""
    code = """
import resource
import numpy as np
import hingefast as hf

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

d = 2_000_000
X, y = np.broadcast_to(np.ones(d), (64 * 6, d)), np.ones(64 * 6)   # six tasks of one row in memory
coef, out = np.zeros(d), np.ones(d)

def call():
    hf.linear_value_and_grad(X, y, coef, loss="squared_hinge", out=out, n_threads=4)

hf.linear_value_and_grad(X[:1], y[:1], coef, out=out)
before = resident()
for _ in range(3):
    call()
print(resident() - before)
"""
    # Four threads may keep a few MB each.
    assert float(run_python(code).stdout) < 4 * 6


@needs_posix
@pytest.mark.parametrize("loss,K", [("squared_hinge", None), ("weston_watkins:squared_hinge", 3)])
def test_indices_that_change_during_a_sparse_step(loss, K):
    """A handler overwrites the indices at any moment of a step; a later gradient of the same thread is right."""
    rng = np.random.default_rng(0)
    sparse, y, _, _ = random_csr(3_000, 20_000, 40, seed=17)
    labels = y if K is None else rng.integers(0, K, y.shape[0])
    # few rows beside the columns, and all of them: by slots, and in a gradient of all columns
    objective = hf.Objective(sparse, labels, loss=loss, classes=K, n_threads=1)
    theta = rng.standard_normal(objective.size)
    want = objective.grad(theta)
    good = sparse.indices.copy()
    spoilt = 0

    def handler(*_):
        nonlocal spoilt
        spoilt += 1
        sparse.indices.fill(0)

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        for k in range(120):
            rows = slice(0, 100) if k % 2 else None
            signal.setitimer(signal.ITIMER_REAL, (2e-6 if k % 2 else 1e-5) * (1 + k % 60))
            objective.step(theta.copy(), 0.1, rows=rows)
            signal.setitimer(signal.ITIMER_REAL, 0)
            sparse.indices[:] = good
            assert np.array_equal(objective.grad(theta), want)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert spoilt


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="no labels that NumPy looks up")
@pytest.mark.parametrize("loss,K", [("squared_hinge", None), ("weston_watkins:squared_hinge", 3)])
def test_rows_that_grow_during_a_sparse_step(monkeypatch, loss, K):
    """There is room for as many columns as there were entries; what comes later is nowhere outside."""
    n, d = 10, 20_000
    few, many = np.arange(n + 1) * 100, np.arange(n + 1) * 40_000  # 3 MB more than there is room for
    indptr = few.copy()
    indices = np.arange(400_000, dtype=np.int32) % 4_000 * 5
    X = SimpleNamespace(data=np.ones(400_000), indices=indices, indptr=indptr, shape=(n, d))
    y = (np.arange(n) % (K or 2)).astype(np.longdouble)
    objective = hf.Objective(X, y, loss=loss, classes=K or (0, 1), sample_weight=np.ones(n), n_threads=1)
    theta = np.zeros(objective.size)
    want = objective.grad(theta)
    # First when weights are summed, after the entries were counted.
    spoil_a_label_lookup(monkeypatch, K, lambda: np.copyto(indptr, many))
    objective.step(theta, 0.1)
    monkeypatch.undo()
    coef, _ = objective.unpack(theta)
    assert np.array_equal(indptr, many)
    assert np.count_nonzero(np.reshape(coef, (-1, d)).any(axis=0)) <= few[-1]
    indptr[:] = few
    assert np.array_equal(objective.grad(np.zeros(objective.size)), want)


@needs_fork
def test_row_pointers_that_another_process_changes():
    """Two sound states of indptr in turn: tasks cut by one and walked by the other stay inside the arrays.

    Tasks that take turns at one accumulator are one block each; what a block left open is what is accumulated. An
    earlier call of a larger matrix leaves row pointers behind that would lead far outside.
    """
    code = """
import mmap, os, signal, time
from types import SimpleNamespace
import numpy as np
import hingefast as hf

K, d, n = 2, 70_000, 256
few = np.arange(n + 1, dtype=np.int32) * 4
many = np.arange(n + 1, dtype=np.int32) * 1000   # blocks of half as many rows
shared = mmap.mmap(-1, few.nbytes)
indptr = np.frombuffer(shared, np.int32)
indptr[:] = few
child = os.fork()
if child == 0:
    end = time.time() + 20
    while time.time() < end:
        for _ in range(500):
            indptr[:] = many
            indptr[:] = few
    os._exit(0)
m = int(many[-1])
rng = np.random.default_rng(0)
X = SimpleNamespace(data=np.ones(m), indices=rng.integers(0, d, m).astype(np.int32), indptr=indptr, shape=(n, d))
far = 150_000_000   # entries whose pages are never touched
big_indptr = np.concatenate([[0], far + np.arange(n + 1)]).astype(np.int64)
big = SimpleNamespace(data=np.zeros(far + n + 1), indices=np.zeros(far + n + 1, np.int32), indptr=big_indptr,
                      shape=(n + 1, d))
y, y_big = np.zeros(n, int), np.zeros(n + 1, int)
coef = rng.standard_normal((K, d))
rows = np.arange(1, n + 1)
end = time.time() + 3
while time.time() < end:
    hf.linear_value_and_grad(big, y_big, coef, loss="weston_watkins", rows=rows, n_threads=1)
    try:
        hf.linear_value_and_grad(X, y, coef, loss="weston_watkins", n_threads=1)
        hf.linear_value_and_grad(X, np.ones(n), coef[0], loss="logistic", n_threads=1)
    except ValueError:
        pass   # a state half written
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print("fine")
"""
    assert run_python(code).stdout.strip() == b"fine"


@needs_fork
@needs_proc
@pytest.mark.no_sanitizer
def test_memory_that_ends_within_a_step():
    """At whatever point of a step of K classes no more is to be had: it raises and theta stays, or all is done."""
    code = """
import os, resource, warnings
from types import SimpleNamespace
import numpy as np
import hingefast as hf

warnings.simplefilter("ignore", DeprecationWarning)
K, n, m = 8, 200, 600
d = 4 * n * m + 8
indices = (np.arange(n * m) * 3 % d).astype(np.int32)
X = SimpleNamespace(data=np.ones(n * m, np.float32), indices=indices, indptr=np.arange(n + 1) * m, shape=(n, d))
objective = hf.Objective(X, np.arange(n) % K, loss="weston_watkins", classes=K, n_threads=1)
theta = np.zeros(objective.size, np.float32)
want = theta - np.float32(0.5) * objective.grad(theta)

def left(megabytes):
    child = os.fork()
    if child == 0:
        taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + int(megabytes * 2**20),) * 2)
        code = 9
        try:
            objective.step(theta, 0.5)
            code = 0 if np.array_equal(theta, want) else 2
        except MemoryError:
            code = 1 if not theta.any() else 3
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

ends = [left(k / 4) for k in range(160)]
print(sorted(set(ends)), ends)
"""
    said = run_python(code).stdout
    assert said.startswith(b"[0, 1]"), said


@needs_proc
@pytest.mark.no_sanitizer
def test_buffers_are_free_again_after_an_error():
    """An error before, during or after a pass leaves the thread its buffers: later calls allocate nothing."""
    code = """
import resource
import numpy as np
import hingefast as hf

n, d, K = 64, 4_000, 8
X, y = np.ones((n, d)), np.arange(n) % K
wrong = np.where(np.arange(n) == 63, K, y)
coef, out = np.zeros((K, d)), (np.empty((K, d)), np.empty(K))
objective = hf.Objective(X, y, loss="one_vs_rest:logistic", classes=K, n_threads=1)
theta = np.zeros(objective.size)

def calm():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        hf.linear_value_and_grad(X, y, coef, loss="crammer_singer", out=out, n_threads=1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def failing():
    yield lambda: hf.linear_value_and_grad(X, wrong, coef, loss="crammer_singer", n_threads=1)
    yield lambda: hf.linear_value_and_grad(X, y, coef, loss="crammer_singer", sample_weight=np.zeros(n), n_threads=1)
    yield lambda: hf.linear_value_and_grad(X, y, coef, ["x"] * K, loss="crammer_singer")
    yield lambda: hf.decision_function(X, coef, rows=[0, n], n_threads=1)
    yield lambda: objective.step(theta, 0.1, rows=[0, n])
    yield lambda: hf.linear_value_and_grad(X, np.zeros(n), coef[0], n_threads=1)
    yield lambda: hf.CrammerSinger().grad(wrong, np.zeros((n, K)))

for _ in range(3):
    calm()
for call in failing():
    try:
        call()
    except (TypeError, ValueError):
        pass
    else:
        raise SystemExit("no error")
    assert calm() <= 20, call
print("fine")
"""
    assert run_python(code).stdout.strip() == b"fine"
