"""How many threads work on a call, and the helpers they are.

Tasks are cut in the kernels, from the data alone, and a job (``_kernels/job.pyx``) counts who is in it; here is only
how many threads are asked for, and threads that wait for work. They are started when they are first needed, serve all
callers, and are forgotten in a forked child, where they do not exist. Nobody waits for them when the interpreter ends.
No OpenMP: its runtime hangs in a child forked after use.
"""

from __future__ import annotations

import _thread
import functools
import math
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from pathlib import PurePosixPath
from queue import SimpleQueue
from types import TracebackType
from typing import TypeAlias

from hingefast.checks.arrays import as_threads, no_count

__all__ = ["available_threads", "hand_out", "resolve_threads", "threads"]

# More threads than this are never started, whatever n_threads asks for.
MAX_THREADS = 1024

# Work that nobody has taken yet: if there is so much, all helpers are busy, and no more is handed out.
MAX_WAITING = 1024

_Queue: TypeAlias = "SimpleQueue[Callable[[], None]]"

# Its `put` may be interrupted anywhere by a signal handler that puts something itself: it holds no lock.
_queue: _Queue = SimpleQueue()
_n_helpers = 0


def _forget_helpers() -> None:
    """In a forked child: the helpers are not there."""
    global _queue, _n_helpers
    _queue = SimpleQueue()
    _n_helpers = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)


def _serve(queue: _Queue, number: int) -> None:
    """What a helper does: whatever is handed out, for ever."""
    with suppress(BaseException):  # no memory, say: it works without a name
        threading.current_thread().name = f"hingefast-{number}"  # for debuggers and profilers
    while True:
        with suppress(BaseException):  # the job keeps what it met, for its caller
            queue.get()()


def hand_out(work: Callable[[], None], n_helpers: int) -> None:
    """Let up to `n_helpers` other threads call ``work()`` as they become free.

    Threads are help, never a need: where none can be started there are fewer. There are as many as the largest call
    asked for, no more: callers at the same time share them.
    """
    global _n_helpers
    queue = _queue
    while _n_helpers < n_helpers:
        try:
            # Not threading.Thread: it would wait for the new thread, which may end before it can say a word, and the
            # interpreter would wait for it when it ends.
            _thread.start_new_thread(_serve, (queue, _n_helpers))
        except (RuntimeError, MemoryError):
            break  # a limit of the system, or the interpreter is shutting down
        _n_helpers += 1
    if queue.qsize() < MAX_WAITING:
        for _ in range(min(n_helpers, _n_helpers)):
            queue.put(work)


def available_threads() -> int:
    """Processors this process may use: its affinity, less what its control groups allow.

    Returns
    -------
    int
        At least 1. Reads the process's affinity and, on Linux, once, ``cpu.max`` of its control groups (version 2).
    """
    if hasattr(os, "sched_getaffinity"):
        n_threads = len(os.sched_getaffinity(0))
    else:
        n_threads = os.cpu_count() or 1
    return max(1, min(n_threads, _allowed_by_control_groups(), MAX_THREADS))


@functools.cache
def _allowed_by_control_groups() -> int:
    """Processors that the quotas of the process's own control group and of those above it amount to.

    In a container its group is the root of what it can see; on a host a group below is named in ``/proc``.
    """
    allowed = MAX_THREADS
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return allowed  # not Linux
    for path in (line.removeprefix("0::") for line in lines if line.startswith("0::/")):
        group = PurePosixPath(path.lstrip("/"))
        for folder in (group, *group.parents):
            try:
                with open(PurePosixPath("/sys/fs/cgroup") / folder / "cpu.max", encoding="ascii") as file:
                    quota, period = file.read().split()
                if quota != "max":
                    allowed = min(allowed, max(1, math.ceil(int(quota) / int(period))))
            except (OSError, ValueError, ArithmeticError):
                pass  # a group without the controller, or the root
    return allowed


class threads:
    """At most so many threads for each call within, where the call does not say `n_threads` itself.

    Used as ``with hf.threads(n):`` it counts for what the current thread (or asynchronous task) calls inside, and the
    innermost one counts; ``hf.threads(n).set()`` counts for the whole process, wherever no such block says otherwise.
    Both come before the variables ``HINGEFAST_NUM_THREADS`` and ``OMP_NUM_THREADS``.

    Parameters
    ----------
    n : int or None
        A positive number, -1 for all processors that the process may use, or None for what counts without a block.

    Raises
    ------
    TypeError
        If `n` is a bool, a float or a str.
    ValueError
        If it is 0 or below -1.

    Notes
    -----
    Results have the same bits for any number.

    Examples
    --------
    >>> import hingefast as hf
    >>> with hf.threads(1):
    ...     hf.show_config(mode="dicts")["threads"]
    1
    """

    def __init__(self, n: int | None) -> None:
        self._n = None if n is None else as_threads(n, "n")
        self._tokens: list[Token[int | None]] = []

    def set(self) -> None:
        """Let it count for the whole process from now on; ``hf.threads(None).set()`` undoes it.

        Returns
        -------
        None
        """
        global _of_process
        _of_process = self._n

    def __enter__(self) -> None:
        self._tokens.append(_of_block.set(self._n))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _of_block.reset(self._tokens.pop())

    def __repr__(self) -> str:
        return f"threads({self._n})"


_of_block: ContextVar[int | None] = ContextVar("hingefast.threads", default=None)
_of_process: int | None = None


def _from_environment() -> int | None:
    """The number of threads that the environment asks for; None where it does not."""
    text = os.environ.get("HINGEFAST_NUM_THREADS", "").strip()
    if text:
        n_threads = _read_count(text)
        if n_threads is None:
            raise no_count("HINGEFAST_NUM_THREADS", text)
        return n_threads
    # Not ours: what is no count there is meant for somebody else. A list names one number per nesting level.
    return _read_count(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0])


def _read_count(text: str) -> int | None:
    """A positive integer, or -1, or None for what is neither."""
    try:
        count = int(text)
    except ValueError:  # digits by the thousand among them
        return None
    return count if count > 0 or count == -1 else None


def resolve_threads(n_threads: int | None) -> int:
    """The number of threads that an ``n_threads`` argument means.

    Parameters
    ----------
    n_threads : int or None
        None: the innermost ``with hf.threads(n):``, else ``hf.threads(n).set()``, else ``HINGEFAST_NUM_THREADS``, else
        ``OMP_NUM_THREADS`` if that holds a count, else all available; -1: all available.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    TypeError
        If `n_threads` is a bool, a float or a str.
    ValueError
        If it is 0 or below -1, or ``HINGEFAST_NUM_THREADS`` holds something else than a count.
    """
    if n_threads is not None:
        count: int | None = as_threads(n_threads)
    else:
        count = _of_block.get()
        if count is None:
            count = _of_process
        if count is None:
            count = _from_environment()
    return available_threads() if count is None or count == -1 else min(count, MAX_THREADS)
