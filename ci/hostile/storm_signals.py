"""Signals and forks during calls: Ctrl-C in bursts; handlers that call, fork, scribble, reshape; threads that fork.

The moments are random; each storm goes on until its time is over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings

import kinds
import numpy as np
from storm_scribble import scribble

CHILD_ENDS_IN = 30  # seconds


def inside(call):
    return call()


def is_inside(frame):
    """Whether a signal came while the call was on the stack."""
    while frame is not None:
        if frame.f_code is inside.__code__:
            return True
        frame = frame.f_back
    return False


def raise_inside(signum, frame):
    if is_inside(frame):
        raise KeyboardInterrupt


def pester_from_thread(choose, stop):
    while not stop.is_set():
        time.sleep(choose.random() * 0.006)
        for _ in range(choose.choice((1, 1, 2, 5))):
            os.kill(os.getpid(), signal.SIGINT)
            if choose.random() < 0.5:
                time.sleep(choose.random() * 0.0005)


def pester_from_process(choose, parent):
    while os.getppid() == parent:
        time.sleep(choose.random() * 0.006)
        for _ in range(choose.choice((1, 1, 2, 5))):
            os.kill(parent, signal.SIGINT)
            if choose.random() < 0.5:
                time.sleep(choose.random() * 0.0005)


def ctrl_c(name, from_process):
    """Only KeyboardInterrupt comes out, nothing is written afterwards, the next call is right, the process ends."""

    def storm(choose, seconds):
        kind = kinds.make(name)
        signal.signal(signal.SIGINT, raise_inside)
        stop, parent, pesterer = threading.Event(), os.getpid(), None
        if from_process:
            pesterer = os.fork()
            if pesterer == 0:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                pester_from_process(choose, parent)
                os._exit(0)
        else:
            threading.Thread(target=pester_from_thread, args=(choose, stop), daemon=True).start()
        end, interrupted = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            try:
                inside(lambda: kind.call(choose.choice((2, 3, 4))))
            except KeyboardInterrupt:
                interrupted += 1
                if kind.out is not None:
                    at_once = kind.out.copy()
                    time.sleep(0.004)
                    assert np.array_equal(at_once, kind.out, equal_nan=True), (
                        "out was written after KeyboardInterrupt"
                    )
            if interrupted % 16 == 15:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                kind.calm("after KeyboardInterrupt")
                signal.signal(signal.SIGINT, raise_inside)
        stop.set()
        if pesterer:
            os.kill(pesterer, signal.SIGKILL)
            os.waitpid(pesterer, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        kind.calm("after KeyboardInterrupt")
        print(interrupted, "interrupted")

    return storm


def alarm_in(choose, longest=0.02):
    signal.setitimer(signal.ITIMER_REAL, 1e-5 + choose.random() ** 2 * longest)


def no_alarm():
    signal.setitimer(signal.ITIMER_REAL, 0)


def handler_calls(name, other_name):
    """A handler that itself calls the package, this kind or another."""

    def storm(choose, seconds):
        kind, other = kinds.make(name), kinds.make(other_name)
        busy, handled, wrong = [], [], []

        def handler(*_):
            if not busy:
                busy.append(1)
                found = other.bits(choose.choice((1, 2, 3)))
                handled.append(1)
                if found != other.want:
                    wrong.append(1)
                busy.clear()

        signal.signal(signal.SIGALRM, handler)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            alarm_in(choose)
            assert kind.bits(choose.choice((2, 3))) == kind.want, "the interrupted call has other bits"
        no_alarm()
        assert not wrong, "the handler's call has other bits"
        kind.calm("after a handler that called")
        print(len(handled), "handled")

    return storm


def wait_for(child):
    """The exit status of a child that ends in time."""
    end = time.monotonic() + CHILD_ENDS_IN
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.005)
    os.kill(child, signal.SIGABRT)
    time.sleep(0.5)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("a forked child hangs in the call that was interrupted")


def handler_forks(name):
    """A handler forks: the child's call fails or goes on alone, with the right bits; the parent's is not disturbed."""

    def storm(choose, seconds):
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork in a process with threads
        kind = kinds.make(name)
        forked = []

        def handler(*_):
            forked.append(os.fork())

        signal.signal(signal.SIGALRM, handler)
        end, n_forks = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            forked.clear()
            alarm_in(choose)
            try:
                got = kind.bits(choose.choice((2, 3)))
            except Exception as error:
                if 0 in forked:
                    os._exit(0 if isinstance(error, (RuntimeError, OSError, MemoryError)) else 4)
                raise
            no_alarm()
            if 0 in forked:
                if got == kind.want:
                    got = kind.bits(2)  # and its next one
                os._exit(0 if got == kind.want else 3)
            for child in forked:
                n_forks += 1
                status = wait_for(child)
                assert status == 0, f"a forked child ended with status {status}"
            assert got == kind.want, "the parent's call has other bits"
        kind.calm("after forks")
        print(n_forks, "forks")

    return storm


def handler_scribbles(name):
    """A handler fills buffers with anything."""

    def storm(choose, seconds):
        kind, handled = kinds.make(name), []

        def handler(*_):
            handled.append(1)
            scribble(choose, kind.buffers)

        signal.signal(signal.SIGALRM, handler)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            kind.restore()
            alarm_in(choose, 0.01)
            with contextlib.suppress(*kinds.REFUSALS):
                kind.call(choose.choice((1, 1, 3)))
            no_alarm()
            kind.calm("after a handler that scribbled", (1,))
        print(len(handled), "handled")

    return storm


def reshape(how, array):
    """Set shape, dtype or strides of an array in place; gives what undoes it."""
    shape, dtype, strides = array.shape, array.dtype, array.strides
    try:
        if how == 0:
            array.shape = (array.size, 1)
        elif how == 1:
            array.shape = (array.size // 4, 4)
        elif how == 2:
            array.dtype = np.dtype("u1")
        else:
            array.strides = (0,) * array.ndim
    except (ValueError, AttributeError, TypeError):
        return lambda: None  # NumPy itself refuses

    def undo():
        if how == 2:
            array.dtype = dtype
        elif how == 3:
            array.strides = strides
        else:
            array.shape = shape

    return undo


def handler_reshapes(name):
    """A handler sets shape, dtype or strides of the very arrays that a call reads."""

    def storm(choose, seconds):
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy's, of setting them
        kind, undone, handled = kinds.make(name, kinds.viewed), [], 0

        def handler(*_):
            undone.extend([reshape(how, array) for array in kind.buffers.values()])

        signal.signal(signal.SIGALRM, handler)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            how = choose.randrange(4)
            alarm_in(choose, 0.01)
            try:
                got = kind.bits(choose.choice((1, 1, 3)))
            except kinds.REFUSALS:  # it came before the call had looked
                got = kind.want
            no_alarm()
            handled += bool(undone)
            # The numbers are the same. Strides of 0, or the bytes of rows, may have come before the call had looked.
            is_open = how == 3 or (how == 2 and "rows" in kind.buffers)
            assert got == kind.want or is_open, "other bits: it read something else than its own view"
            while undone:
                undone.pop()()
            kind.calm("after a handler that reshaped", (1,))
        print(handled, "handled")

    return storm


def threads_fork(name):
    """Other threads fork while a call runs; the children call too."""

    def storm(choose, seconds):
        warnings.simplefilter("ignore", DeprecationWarning)
        kind, stop, faults = kinds.make(name), threading.Event(), []

        def fork():
            while not stop.is_set() and not faults:
                time.sleep(choose.random() * 0.01)
                child = os.fork()
                if child == 0:
                    try:
                        is_right = kind.bits(1) == kind.want and kind.bits(2) == kind.want
                        os._exit(0 if is_right else 3)
                    finally:
                        os._exit(4)
                try:
                    status = wait_for(child)
                    if status:
                        faults.append(f"a forked child ended with status {status}")
                except AssertionError as error:
                    faults.append(str(error))

        forker = threading.Thread(target=fork)
        forker.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not faults:
            # results of its own: a child may have written the parent's copy only in its own memory
            assert kind.bits(choose.choice((2, 3))) == kind.want, "other bits while another thread forks"
        stop.set()
        forker.join()
        assert not faults, faults[0]
        kind.calm("after forks of other threads")

    return storm


EVERY = tuple(kinds.MAKERS)
RESHAPED = (
    "scores longdouble", "dense longdouble", "dense int16", "CSR longdouble", "scores f64", "CSR f64", "Objective CSR",
    "Objective dense", "Objective CSR rows", "step CSR", "scores K classes",
)  # fmt: skip
OTHERS = ("scores f64", "CSR f64", "dense f64", "CSR one accumulator", "step CSR K classes")

STORMS = {
    **{f"ctrl-c of a thread: {name}": ctrl_c(name, False) for name in EVERY},
    **{f"ctrl-c of a process: {name}": ctrl_c(name, True) for name in EVERY[::2]},
    **{
        f"a handler calls: {name}": handler_calls(name, OTHERS[k % len(OTHERS)])
        for k, name in enumerate(EVERY[::2])
    },
    **{f"a handler forks: {name}": handler_forks(name) for name in EVERY[1::2]},
    **{f"a handler scribbles: {name}": handler_scribbles(name) for name in EVERY},
    **{f"a handler reshapes: {name}": handler_reshapes(name) for name in RESHAPED},
    **{f"threads fork: {name}": threads_fork(name) for name in EVERY[::4]},
}
