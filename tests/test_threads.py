"""Promise: threads, forks and Ctrl-C leave everything in order."""

import concurrent.futures
import os
import signal
import threading

import numpy as np
import pytest
from conftest import THREADS, bits, raises, run_python
from kinds import KINDS, as_csr

import hingefast as hf
from hingefast import _threads

pytestmark = [pytest.mark.sanitizer, pytest.mark.any_python]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


# Fork

FORK = """
import faulthandler, os, sys, threading, time
import numpy as np
import hingefast as hf
from conftest import bits
from kinds import problem, random_csr

faulthandler.dump_traceback_later(60, exit=True)
case, several = problem(20_000, 150, seed=91), problem(20_000, 60, seed=91, n_classes=5)
sparse, y, coef, _ = random_csr(30_000, 1_000, 40, seed=91)
wide, labels, W, _ = random_csr(15_000, 1_000, 40, seed=91, n_classes=5)
scores, columns = np.random.default_rng(0).standard_normal((60_000, 10)), np.arange(60_000) % 10

def answers(n_threads):
    more = {"n_threads": n_threads}
    return bits(hf.linear_value_and_grad(case.X, case.y, case.coef, **more),
                hf.linear_value_and_grad(sparse, y, coef, loss="logistic", **more),
                hf.linear_value_and_grad(several.X, several.y, several.coef, loss="crammer_singer", **more),
                hf.linear_value_and_grad(wide, labels, W, loss="weston_watkins", **more),
                hf.CrammerSinger().value_and_grad(columns, scores, **more))

want = answers(2)
if BUSY:
    stop = threading.Event()
    def loop():
        while not stop.is_set():
            answers(2)
    thread = threading.Thread(target=loop)
    thread.start()
    time.sleep(0.05)
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        code = 9
        try:
            good = all(answers(n) == want for n in (1, 2, 3))
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0 if answers(2) == want else 7)
            good = good and os.waitpid(grandchild, 0)[1] == 0
            code = 0 if good else 8
        finally:
            os._exit(code)
    children.append(child)
assert answers(2) == want
statuses = [os.waitpid(child, 0)[1] for child in children]
if BUSY:
    stop.set()
    thread.join()
assert statuses == [0, 0, 0], statuses
assert answers(2) == want
print("fine")
"""


@needs_fork
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_fork_after_use(busy):
    """A child (and its child) calls with threads of its own, also when another thread was inside a call."""
    code = f"import warnings; warnings.simplefilter('ignore', DeprecationWarning)\nBUSY = {busy}\n{FORK}"
    assert run_python(code).stdout.strip() == b"fine"


@needs_fork
def test_multiprocessing():
    code = """
import multiprocessing, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import numpy as np
import hingefast as hf
from kinds import problem

case = problem(20_000, 150, seed=92)

def work(n_threads):
    return hf.linear_value_and_grad(case.X, case.y, case.coef, n_threads=n_threads)[0]

want = work(2)
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map_async(work, [1, 2, 3, 2]).get(timeout=60) == [want] * 4
print("fine")
"""
    assert run_python(code).stdout.strip() == b"fine"


# Many callers


TWO = [KINDS["hinge"], KINDS["crammer_singer:squared_hinge"]]
both = pytest.mark.parametrize("kind", TWO, ids=str)


@both
def test_sixteen_threads_at_once_on_shared_inputs(kind):
    case = kind.problem(9_000 if kind.binary else 4_000, 150, seed=93)
    sparse, y, coef, _ = kind.random_csr(20_000 if kind.binary else 9_000, 1_000, 30, seed=93)
    small = kind.problem(64, 10, seed=93)
    half, columns = small.X.astype(np.float16), np.asfortranarray(small.X)
    objective = kind.objective(sparse, y, loss="squared_hinge" if kind.binary else kind.loss, alpha=0.1)
    theta = objective.pack(coef, 0.5)
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((20_000, *kind.shape)), rng.choice(kind.labels, 20_000)

    def answers(n_threads):
        more = {"n_threads": n_threads}
        return bits(
            kind.call(case.X, case, **more),
            hf.linear_value_and_grad(sparse, y, coef, loss=kind.loss, **more),
            kind.call(half, small, **more),
            hf.decision_function(columns, small.coef, **more),
            kind.loss.value_and_grad(labels, scores, **more),
            objective.value_and_grad(theta),
            objective.hessp(theta, theta),
        )

    want = answers(1)
    barrier = threading.Barrier(16)

    def work(number):
        barrier.wait()
        return [answers(THREADS[(number + turn) % len(THREADS)]) == want for turn in range(3)]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    assert results == [[True] * 3] * 16


@both
def test_errors_of_one_caller_do_not_reach_another(kind):
    n = 20_000 if kind.binary else 9_000
    sparse, y, coef, _ = kind.random_csr(n, 1_000, 30 if kind.binary else 40, seed=94)
    broken = y.copy()
    broken[[n - 3_000, n - 1]] = kind.wrong_label
    want = bits(hf.linear_value_and_grad(sparse, y, coef, loss=kind.loss))
    barrier = threading.Barrier(8)

    def work(number):
        barrier.wait()
        for _ in range(5):
            if number % 2:
                with raises(ValueError, f"y[{n - 3_000}] is {kind.wrong_label}"):
                    hf.linear_value_and_grad(sparse, broken, coef, loss=kind.loss, n_threads=2)
            else:
                got = hf.linear_value_and_grad(sparse, y, coef, loss=kind.loss, n_threads=2)
                assert bits(got) == want
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@pytest.mark.parametrize(
    "n,coef,loss,least",
    [(60_000, np.ones(20_000), "hinge", 20), (20_000, np.ones((8, 5_000)), "crammer_singer", 10)],
    ids=["one score", "classes"],
)
def test_the_interpreter_runs_during_a_call(n, coef, loss, least):
    """The GIL is released: another thread counts on while one long call works."""
    d = coef.shape[-1]
    X = np.broadcast_to(np.linspace(-1, 1, d), (n, d))
    y = np.ones(n, dtype=np.int8)
    stop = threading.Event()
    ticks = 0

    def tick():
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            stop.wait(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    hf.linear_value_and_grad(X, y, coef, loss=loss, n_threads=1)
    stop.set()
    thread.join()
    assert ticks > least


def test_the_end_of_the_interpreter():
    """A process that used the pool ends, also from a thread that is no longer waited for."""
    code = """
import atexit, threading
import numpy as np
import hingefast as hf
X = np.broadcast_to(np.linspace(-1, 1, 2_000), (20_000, 2_000))
y = np.ones(20_000, dtype=np.int8)
hf.linear_value_and_grad(X, y, np.ones(2_000), n_threads=3)
thread = threading.Thread(target=lambda: hf.linear_value_and_grad(X, y, np.ones(2_000), n_threads=2))
thread.start()
print("fine")
"""
    assert run_python(code).stdout.strip() == b"fine"


# Ctrl-C

INTERRUPT = """
import os, signal, sys, threading, time
from types import SimpleNamespace
import numpy as np
import hingefast as hf

# One row seen n times: seconds of work in 160 KB.
n, d = (1_500_000, 20_000) if K is None else (200_000, 5_000)
row = np.linspace(-1.0, 1.0, d)
y = (np.where(np.arange(n) % 3, 1, -1) if K is None else np.arange(n) % K).astype(np.int8)
coef, rows, labels = np.ones(d if K is None else (K, d)), None, y
short = LAYOUT == "csr"   # such passes are short: the signal falls into one of them
if LAYOUT == "dense":
    X = np.broadcast_to(row, (n, d))
elif LAYOUT == "tile":
    X = np.broadcast_to(row.astype(">f8"), (n, d))
elif LAYOUT == "rows":
    X, rows, labels = np.broadcast_to(row, (5, d)), np.arange(n) % 5, y[:5]
elif LAYOUT == "csr" and K is None:
    n, nnz = 5, 60_000_000
    indptr = np.array([0, 7, nnz - 9, nnz - 8, nnz - 7, nnz])
    X = SimpleNamespace(indptr=indptr, indices=np.zeros(nnz, np.int32), data=np.zeros(nnz), shape=(n, d))
    X.data[::100_000] = 1.0
    labels = y[:n]
elif LAYOUT == "csr":
    n, nnz = 50_000, 20_000_000
    indptr, indices = np.arange(n + 1) * (nnz // n), np.broadcast_to(np.int32(7), nnz).copy()
    X = SimpleNamespace(indptr=indptr, indices=indices, data=np.ones(nnz), shape=(n, d))
    labels = y[:n]
else:
    short, n = True, 60_000_000
    scores = np.broadcast_to(row[:K], (n, K))
    labels = np.broadcast_to(np.int8(0), n)
out = np.full(n if CALL == "decision" else coef.shape, 7.0)
times = {}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have us ignore it

def interrupt():
    times["sent"] = time.perf_counter()
    os.kill(os.getpid(), signal.SIGINT)

def call():
    if CALL == "linear":
        loss = "hinge" if K is None else "weston_watkins"
        hf.linear_value_and_grad(X, labels, coef, loss=loss, rows=rows, out=out, n_threads=N_THREADS)
    elif CALL == "decision":
        hf.decision_function(X, coef, rows=rows, out=out, n_threads=N_THREADS)
    else:
        hf.WestonWatkins("logistic")(labels, scores, n_threads=N_THREADS)

timer = threading.Timer(0.25, interrupt)
timer.start()
try:
    while True:
        call()
        if not short:
            sys.exit("the call ended before it was interrupted: too little work")
except KeyboardInterrupt:
    seen = time.perf_counter()
snapshot = out.copy()
time.sleep(0.15)
assert np.array_equal(out, snapshot), "something wrote to out after the interruption"
if CALL == "linear" and not short:
    assert (out == 7.0).all(), "a gradient was written"
delay = seen - times["sent"]
# 50 ms between looks at the signal; the rest is room for a busy machine.
assert delay < 1.0, f"noticed after {delay:.3f} s"
assert threading.active_count() <= 1 + 2 * N_THREADS
small = np.arange(6.0).reshape(3, 2)
scores = hf.decision_function(small, np.array([1.0, 1.0]), n_threads=N_THREADS)
assert scores.tolist() == [1.0, 5.0, 9.0]
scores = hf.decision_function(small, np.array([[1.0, 1.0], [0.0, 2.0]]), n_threads=N_THREADS)
assert scores.tolist() == [[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]]
if LAYOUT == "dense" and K is None:
    part = np.broadcast_to(row, (1_000, d))
    a = hf.linear_value_and_grad(part, y[:1_000], coef, n_threads=N_THREADS)
    b = hf.linear_value_and_grad(part, y[:1_000], coef, n_threads=1)
    assert a[0] == b[0] and np.array_equal(a[1], b[1])
print("fine", round(delay, 3))
"""


@needs_posix
@pytest.mark.parametrize(
    "layout,call,n_threads,n_classes",
    [
        ("dense", "linear", 1, None),
        ("dense", "linear", 2, None),
        ("dense", "decision", 1, None),
        ("dense", "decision", 2, None),
        ("tile", "linear", 2, None),
        ("rows", "linear", 1, None),
        ("csr", "linear", 1, None),
        ("csr", "decision", 2, None),
        ("dense", "linear", 1, 20),
        ("dense", "linear", 2, 20),
        ("tile", "linear", 1, 20),
        ("csr", "linear", 2, 20),
        ("scores", "scores", 1, 20),
        ("scores", "scores", 2, 20),
    ],
)
def test_ctrl_c(layout, call, n_threads, n_classes):
    """KeyboardInterrupt promptly, nothing written to `out` afterwards, and the next call works."""
    settings = f"LAYOUT, CALL, N_THREADS, K = {layout!r}, {call!r}, {n_threads}, {n_classes}\n"
    assert run_python(settings + INTERRUPT).stdout.startswith(b"fine")


@needs_posix
@both
def test_a_signal_handler_that_returns(kind):
    """A handler that raises nothing runs during the call and changes no bit of its answer."""
    case = kind.problem(4_000, 300, seed=95)
    want = bits(kind.call(case.X, case, n_threads=1))
    seen = []
    previous = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        for turn in range(60):
            got = kind.call(case.X, case, n_threads=1 + turn % 3)
            assert bits(got) == want
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert seen


# How many threads

COUNT = """
import os, threading
import numpy as np
import hingefast as hf
X = np.broadcast_to(np.linspace(-1, 1, 2_000), (60_000, 2_000))
y = np.ones(60_000, dtype=np.int8)
before = threading.active_count()
hf.linear_value_and_grad(X, y, np.ones(2_000), n_threads=N_THREADS)
print(threading.active_count() - before, hf.show_config(mode="dicts")["threads"])
"""


def threads_used(n_threads=None, hingefast=None, omp=None):
    """(threads that a large call started, what show_config tells)."""
    code = f"N_THREADS = {n_threads}\n{COUNT}"
    done = run_python(code, HINGEFAST_NUM_THREADS=hingefast, OMP_NUM_THREADS=omp)
    started, told = done.stdout.split()
    return int(started), int(told)


@pytest.mark.parametrize(
    "hingefast,omp,want",
    [("1", None, 1), ("3", None, 3), ("3", "1", 3), ("1", "4", 1), (None, "1", 1), (None, "3", 3)],
)
def test_variables_are_honoured(hingefast, omp, want):
    started, told = threads_used(hingefast=hingefast, omp=omp)
    assert told == want
    # The calling thread may be one of them or wait for them.
    assert started == 0 if want == 1 else started in (want - 1, want)


def test_any_positive_integer_is_a_number_of_threads():
    for n_threads in (_threads.MAX_THREADS + 1, 2**63, 10**30):
        assert _threads.resolve_threads(n_threads) == _threads.MAX_THREADS
        with hf.threads(n_threads):
            assert _threads.resolve_threads(None) == _threads.MAX_THREADS
    assert hf.decision_function(np.eye(2), [1.0, 2.0], n_threads=10**30).tolist() == [1.0, 2.0]


def test_the_argument_comes_first():
    assert threads_used(n_threads=1, hingefast="3")[0] == 0
    assert threads_used(n_threads=3, hingefast="1")[0] in (2, 3)


@pytest.mark.parametrize("value", ["-1", "", None])
def test_all_that_affinity_and_cgroup_allow(value):
    _, told = threads_used(hingefast=value)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if os.environ.get("OMP_NUM_THREADS") is None or value == "-1":
        assert 1 <= told <= allowed


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity_is_respected():
    code = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nN_THREADS = None\n" + COUNT
    done = run_python(code, HINGEFAST_NUM_THREADS=None, OMP_NUM_THREADS=None)
    assert done.stdout.split() == [b"0", b"1"]


NONSENSE = ["0", "-2", "two", "2.5", "1e1", "all", "3500m", "9" * 5000]


@pytest.mark.parametrize("value", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_in_our_variable_is_told(monkeypatch, value):
    monkeypatch.setenv("HINGEFAST_NUM_THREADS", value)
    with raises(ValueError, "HINGEFAST_NUM_THREADS", value[:50]):
        hf.linear_value_and_grad(np.ones((600_000, 2)), np.ones(600_000, np.int8), [1.0, 1.0])


def test_nonsense_in_the_environment_of_a_process():
    done = run_python(f"N_THREADS = None\n{COUNT}", check=False, HINGEFAST_NUM_THREADS="two")
    assert done.returncode == 1
    assert done.stderr.decode().strip().splitlines()[-1].startswith("ValueError: HINGEFAST_NUM_THREADS")


@pytest.mark.parametrize("value", [*NONSENSE, "all,2", "-1,x"], ids=range(len(NONSENSE) + 2))
def test_nonsense_in_another_variable_is_ignored(monkeypatch, value):
    """OMP_NUM_THREADS is not ours: what it holds may be meant for somebody else, and never makes a call fail."""
    for variable in ("HINGEFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    usual = hf.show_config("dicts")["threads"]
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert hf.show_config("dicts")["threads"] == usual
    assert hf.decision_function(np.ones((600_000, 2)), [1.0, 1.0])[0] == 2


def test_a_block_bounds_its_thread():
    """The innermost block counts, for the calls of its own thread that do not say `n_threads` themselves."""
    code = """
import threading
import numpy as np
import hingefast as hf
from hingefast import _threads

def told():
    return hf.show_config(mode="dicts")["threads"]

def in_another_thread(function):
    answer = []
    thread = threading.Thread(target=lambda: answer.append(function()))
    thread.start()
    thread.join()
    return answer[0]

X = np.broadcast_to(np.linspace(-1, 1, 2_000), (60_000, 2_000))
y, coef = np.ones(60_000, dtype=np.int8), np.ones(2_000)
objective = hf.Objective(X, y, loss="hinge")
with hf.threads(1):
    assert told() == 1
    hf.linear_value_and_grad(X, y, coef)
    objective.value(np.zeros(2_001))
    assert _threads._n_helpers == 0
    with hf.threads(7):
        assert told() == 7
        with hf.threads(None):   # as without a block
            assert told() == 5
    assert told() == 1
    assert in_another_thread(told) == 5
    hf.linear_value_and_grad(X, y, coef, n_threads=3)
    assert threading.active_count() == 3
assert told() == 5
hf.threads(4).set()
assert told() == 4 and in_another_thread(told) == 4
with hf.threads(2):
    assert told() == 2
bound = hf.threads(6)
with bound, bound:   # again, inside itself
    assert told() == 6
try:
    with bound:
        raise KeyError
except KeyError:
    assert told() == 4
hf.threads(None).set()
assert told() == 5
print("fine")
"""
    assert run_python(code, HINGEFAST_NUM_THREADS="5").stdout.strip() == b"fine"


@pytest.mark.parametrize(
    "wrong,error", [(0, ValueError), (-2, ValueError), (True, TypeError), (2.0, TypeError), ("2", TypeError)]
)
def test_a_block_of_a_wrong_number(wrong, error):
    with raises(error, "n "):
        hf.threads(wrong)


CONTROL_GROUPS = """
import builtins, io, os
import hingefast as hf
FILES = {files!r}
really_open = io.open

def fake_open(file, mode="r", *args, **kwargs):
    name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else ""
    if name in FILES:
        return io.StringIO(FILES[name])
    if name.startswith("/sys/fs/cgroup") or name == "/proc/self/cgroup":
        raise FileNotFoundError(name)
    return really_open(file, mode, *args, **kwargs)

io.open = builtins.open = fake_open
os.sched_getaffinity = lambda pid: set(range(64))
print(hf.show_config(mode="dicts")["threads"])
"""
JOB = "/sys/fs/cgroup/system.slice/job.service/cpu.max"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no control groups here")
@pytest.mark.parametrize(
    "files,want",
    [
        ({JOB: "200000 100000\n", "/sys/fs/cgroup/system.slice/cpu.max": "max 100000\n"}, 2),
        ({JOB: "max 100000\n", "/sys/fs/cgroup/system.slice/cpu.max": "350000 100000\n"}, 4),
        ({JOB: "900000 100000\n", "/sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({JOB: "50000 100000\n"}, 1),
        ({}, 64),
        ({JOB: "rubbish\n"}, 64),
        ({JOB: "100000 0\n"}, 64),
        ({"/proc/self/cgroup": "3:cpu:/a\n1:name=systemd:/b\n"}, 64),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
    ],
)
def test_the_quota_of_the_process_s_own_control_group(files, want):
    """That of the group named in /proc, and of those above it: a systemd unit's, a batch job's, a container's."""
    files = {"/proc/self/cgroup": "0::/system.slice/job.service\n", **files}
    code = CONTROL_GROUPS.format(files=files)
    assert run_python(code, HINGEFAST_NUM_THREADS=None, OMP_NUM_THREADS=None).stdout.split() == [b"%d" % want]


def test_small_work_starts_no_threads():
    code = """
import hingefast as hf
from hingefast import _threads
from kinds import KINDS, as_csr
for kind in (KINDS["hinge"], KINDS["crammer_singer:hinge"]):
    case = kind.problem(64, 20, seed=96)
    for X in (case.X, as_csr(case.X)):
        kind.call(X, case, n_threads=8)
        scores = hf.decision_function(X, case.coef, n_threads=8)
    kind.loss.value_and_grad(case.y, scores, n_threads=8)
# Two tasks and more of CSR are still less than waking a thread: 150,000 entries, or 300,000 of full rows.
for n, d, per_row in ((5_000, 1_000, 30), (15_000, 20, 20)):
    case = KINDS["hinge"].problem(n, d, seed=96)
    case.X[:, per_row:] = 0
    X = as_csr(case.X)
    assert len(X.data) == n * per_row
    KINDS["hinge"].call(X, case, n_threads=8)
assert _threads._n_helpers == 0
n = 30_000   # 900,000 are shared out
case = KINDS["hinge"].problem(n, 30, seed=96)
case.X[0, 0] = 0
KINDS["hinge"].call(as_csr(case.X), case, n_threads=8)
assert _threads._n_helpers == 7
print("fine")
"""
    assert run_python(code).stdout.strip() == b"fine"


def test_float_environment_is_of_no_account():
    """NumPy's errstate is never consulted: infinities and NaN make no warning (warnings are errors here)."""
    X = np.array([[np.inf, 1.0], [np.nan, 1.0], [1e308, 1e308]])
    coef = np.array([[1.0, 10.0], [-1.0, 1e300], [0.5, 0.5]])
    with np.errstate(all="raise"):
        for A in (X, as_csr(X)):
            value, _, _ = hf.linear_value_and_grad(A, [1, -1, 1], np.array([1.0, 10.0]), loss="squared_hinge")
            assert np.isnan(value)
            hf.decision_function(A, np.array([-1.0, 1e300]))
            for loss in ("crammer_singer:squared_hinge", "weston_watkins:psi_g", "one_vs_rest:logistic"):
                value, _, _ = hf.linear_value_and_grad(A, [1, 0, 2], coef, loss=loss)
                assert np.isnan(value)
            hf.decision_function(A, coef)
        scores = np.array([[np.inf, np.nan, 1e308], [-1e308, 1e308, -np.inf]])
        for loss in (hf.TopKHinge(2), hf.CostSensitiveHinge(np.ones((3, 3))), hf.WestonWatkins("psi_m")):
            assert np.isnan(loss([0, 1], scores))


@pytest.mark.parametrize(
    "name,text,n",
    [
        ("HINGEFAST_NUM_THREADS", " 3 ", 3),
        ("HINGEFAST_NUM_THREADS", " ", None),
        ("OMP_NUM_THREADS", "1,2", 1),
    ],
)
def test_forms_of_the_variables(monkeypatch, name, text, n):
    """Blanks around a number are none of it, blanks alone are no number; of OpenMP's list the first counts."""
    for variable in ("HINGEFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    usual = hf.show_config("dicts")["threads"]
    monkeypatch.setenv(name, text)
    assert hf.show_config("dicts")["threads"] == (n or usual)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_the_affinity_of_the_moment_counts(monkeypatch):
    for variable in ("HINGEFAST_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    allowed = os.sched_getaffinity(0)
    hf.show_config("dicts")
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert hf.show_config("dicts")["threads"] == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_work_for_threads_that_cannot_be_had_is_not_kept():
    """Where no thread starts nothing waits for one, and the next call asks for threads again."""
    code = """
import _thread
from hingefast import _threads

def none_to_be_had(*_):
    raise RuntimeError("can't start new thread")

_thread.start_new_thread = none_to_be_had
for _ in range(3):
    _threads.hand_out(lambda: None, 2)
print(_threads._n_helpers, _threads._queue.qsize())
"""
    assert run_python(code).stdout.split() == [b"0", b"0"]


@needs_fork
def test_a_child_has_no_work_of_its_parent():
    """What waits for the parent's threads does not wait in the child, which starts threads of its own."""
    code = """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)   # of a fork beside threads
from hingefast import _threads

go, done = threading.Event(), threading.Semaphore(0)

def work():
    go.wait()
    done.release()

for _ in range(6):
    _threads.hand_out(work, 1)
child = os.fork()
if child == 0:
    waiting = _threads._queue.qsize()
    served = threading.Event()
    _threads.hand_out(served.set, 1)
    os._exit(0 if waiting == 0 and served.wait(20) else 3)
go.set()
assert os.waitpid(child, 0)[1] == 0
for _ in range(6):
    assert done.acquire(timeout=20)
print("fine")
"""
    assert run_python(code).stdout.strip() == b"fine"
