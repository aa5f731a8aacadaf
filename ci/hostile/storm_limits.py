"""Few threads or none to be had, and little memory: the right bits or MemoryError; then all is well again."""

from __future__ import annotations

import _thread
import os
import resource
import threading
import time

import kinds

NOBODY = 65534


def refuse_threads(choose, chance):
    """From now on the system grants a thread by chance only; gives what undoes it."""
    real = _thread.start_new_thread

    def start(*arguments, **keywords):
        if choose.random() < chance:
            raise RuntimeError("can't start new thread")
        return real(*arguments, **keywords)

    places = [
        (_thread, "start_new_thread"),
        (threading, "_start_new_thread"),
        (threading, "_start_joinable_thread"),
    ]
    held = [(module, name, getattr(module, name)) for module, name in places if hasattr(module, name)]
    for module, name, found in held:
        if name == "_start_joinable_thread":  # since Python 3.13

            def start_joinable(*arguments, found=found, **keywords):
                if choose.random() < chance:
                    raise RuntimeError("can't start new thread")
                return found(*arguments, **keywords)

            setattr(module, name, start_joinable)
        else:
            setattr(module, name, start)

    def undo():
        for module, name, found in held:
            setattr(module, name, found)

    return undo


def threads_refused(name, chance):
    def storm(choose, seconds):
        kind = kinds.make(name)
        undo = refuse_threads(choose, chance)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert kind.bits(choose.choice((2, 3, 5, 9))) == kind.want, "other bits with fewer threads"
        undo()
        kind.calm("once there are threads again")

    return storm


def no_processes(name):
    """RLIMIT_NPROC, which binds everybody but root."""

    def storm(choose, seconds):
        kind = kinds.make(name)
        if os.getuid() == 0:
            os.setuid(NOBODY)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert kind.bits(choose.choice((2, 3, 5, 9))) == kind.want, "other bits without threads"

    return storm


def address_space():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def little_memory(name):
    """RLIMIT_AS a little above what is in use, a new limit for each call."""

    def storm(choose, seconds):
        kind = kinds.make(name)
        end, refused, done = time.monotonic() + seconds, 0, 0
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        while time.monotonic() < end:
            more = choose.choice((0, 1 << 16, 1 << 20, 1 << 22, 1 << 24, 1 << 26, choose.randrange(1 << 27)))
            resource.setrlimit(resource.RLIMIT_AS, (address_space() + more, hard))
            try:
                got = kind.call(choose.choice((1, 2, 3, 5)))
            except MemoryError:
                got = None
                refused += 1
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            if got is not None:
                done += 1
                assert [kinds.np.array(part).tobytes() for part in got] == kind.want, (
                    "other bits with little memory"
                )
            if choose.random() < 0.2:
                kind.calm("after little memory")
        kind.calm("after little memory")
        print(done, "returned,", refused, "MemoryError")

    return storm


EVERY = tuple(kinds.MAKERS)

STORMS = {
    **{f"no thread: {name}": threads_refused(name, 1.0) for name in EVERY[::3]},
    **{f"some threads: {name}": threads_refused(name, 0.5) for name in EVERY[1::3]},
    **{f"RLIMIT_NPROC: {name}": no_processes(name) for name in EVERY[2::6]},
    **{f"RLIMIT_AS: {name}": little_memory(name) for name in EVERY[::2]},
}
if os.environ.get("ASAN_OPTIONS"):  # which reserves terabytes
    STORMS = {name: storm for name, storm in STORMS.items() if not name.startswith("RLIMIT_AS")}
