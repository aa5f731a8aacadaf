"""Threads and processes write anything to the buffers of running calls; then all is put back, and bits are right."""

from __future__ import annotations

import os
import signal
import threading
import time

import kinds
import numpy as np

OUTSIDE = (-1, 2**31 - 1, -(2**31), 2**31, 2**32 + 3, 2**62, -(2**63), 7, 0, 1, 100_000)


def anything(choose, dtype):
    """A number of the dtype that does harm where it can."""
    if dtype.kind == "f":
        return choose.choice((np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, 3.0, -(2.0**63), 1e-310))
    info = np.iinfo(dtype)
    return choose.choice([number for number in OUTSIDE if info.min <= number <= info.max])


def scribble(choose, buffers, names=None):
    """Write something to one buffer: a number, a piece of it, or all of it."""
    buffer = buffers[choose.choice(names or list(buffers))]
    flat = buffer.reshape(-1) if buffer.flags.c_contiguous else buffer.T.reshape(-1)
    if not flat.size:
        return
    how, first = choose.randrange(5), choose.randrange(flat.size)
    if how == 0:
        flat[first] = anything(choose, flat.dtype)
    elif how == 1:
        flat[first : first + 1000] = anything(choose, flat.dtype)
    elif how == 2:
        flat[:] = anything(choose, flat.dtype)
    elif how == 3:
        flat[:] = np.roll(flat, choose.randrange(1, 50))
    else:
        flat[first : first + 1000] = flat[first : first + 1000][::-1].copy()


def scribble_often(choose, kind):
    for _ in range(choose.randrange(1, 20)):
        scribble(choose, kind.buffers)


def rage(kind, choose, seconds, stop_scribblers):
    """Call until the time is over, then be calm."""
    end, refused, returned = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        try:
            kind.call(choose.choice((1, 2, 3)))
            returned += 1
        except kinds.REFUSALS:
            refused += 1
    stop_scribblers()
    kind.calm("after scribblers")
    print(returned, "returned,", refused, "refused")


def threads(name):
    def storm(choose, seconds):
        kind, stop = kinds.make(name), threading.Event()

        def write():
            while not stop.is_set():
                scribble_often(choose, kind)
                time.sleep(choose.random() * 0.002)
                if choose.random() < 0.7:
                    kind.restore()
                    time.sleep(choose.random() * 0.002)

        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()

        def stop_all():
            stop.set()
            for writer in writers:
                writer.join()

        try:
            rage(kind, choose, seconds, stop_all)
        finally:
            stop.set()

    return storm


def flip(choose, kind, states):
    """Go back and forth between two states of one buffer, fast: what was checked is not what is used."""
    key = choose.choice(list(states))
    end = time.monotonic() + choose.random() * 0.1
    while time.monotonic() < end:
        for state in states[key]:
            kind.buffers[key][...] = state


def states_of(choose, kind):
    """Two or three states of each buffer of integers: the good one, and others that are sound, or outside."""
    states = {
        key: [good, np.full_like(good, anything(choose, good.dtype))]
        for key, good in kind.good.items()
        if good.dtype.kind in "iu"
    }
    if "indptr" in states:
        good = kind.good["indptr"]
        few = good // 3
        few[-1] = good[-1]
        late = np.where(np.arange(len(good)) < len(good) // 2, 0, good).astype(good.dtype)
        states["indptr"] = [good, few, late]
    return states


def processes(name):
    def storm(choose, seconds):
        kind = kinds.make(name, kinds.shared)
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            while os.getppid() == parent:
                states = states_of(choose, kind)
                if states and choose.random() < 0.5:
                    flip(choose, kind, states)
                else:
                    scribble_often(choose, kind)
                    time.sleep(choose.random() * 0.001)
                if choose.random() < 0.5:
                    kind.restore()
                    time.sleep(choose.random() * 0.003)
            os._exit(0)

        def stop_it():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

        rage(kind, choose, seconds, stop_it)

    return storm


STORMS = {
    **{f"threads scribble: {name}": threads(name) for name in kinds.MAKERS},
    **{f"processes scribble: {name}": processes(name) for name in kinds.MAKERS},
}
