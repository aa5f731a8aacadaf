"""How many threads work on a call, and the pool they come from.

Tasks are cut in the kernels, from the data alone; here is only who works on them. The pool is made when it
is first needed, shared by all callers, and forgotten in a forked child, where its threads do not exist. No
OpenMP: its runtime hangs in a child forked after use.
"""

from __future__ import annotations

import math
import operator
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

__all__ = ["available_threads", "resolve_threads", "run"]

# More threads than this are never started, whatever n_threads asks for.
MAX_THREADS = 1024

_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_pool_lock = threading.Lock()


def _forget_pool() -> None:
    """In a forked child: the pool's threads are gone, and its lock may be held by one of them."""
    global _pool, _pool_size, _pool_lock
    _pool = None
    _pool_size = 0
    _pool_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _submit(work: Callable[[], None], n_helpers: int) -> list[Future[None]]:
    """Let up to `n_helpers` threads of the pool call ``work()`` as they become free.

    The pool has as many threads as the largest call asked for, no more: callers at the same time share them.
    """
    global _pool, _pool_size
    with _pool_lock:
        if _pool is None or n_helpers > _pool_size:
            if _pool is not None:
                _pool.shutdown(wait=False)  # what it has begun or queued is still done
            _pool_size = max(n_helpers, available_threads() - 1)
            _pool = ThreadPoolExecutor(_pool_size, thread_name_prefix="hingefast")
        return [_pool.submit(work) for _ in range(n_helpers)]


def available_threads() -> int:
    """Processors this process may use: its affinity, less what its control group allows.

    Returns
    -------
    int
        At least 1. Reads the process's affinity and, on Linux, ``cpu.max`` of control group v2.
    """
    if hasattr(os, "sched_getaffinity"):
        n_threads = len(os.sched_getaffinity(0))
    else:
        n_threads = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            n_threads = min(n_threads, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no control group, or not version 2
    return max(1, min(n_threads, MAX_THREADS))


def _from_environment(name: str) -> int | None:
    """The number of threads that an environment variable asks for; None where it is unset or empty."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if name == "OMP_NUM_THREADS":
        text = text.split(",")[0].strip()  # a list names one number per nesting level
    try:
        n_threads = int(text)
    except ValueError:
        n_threads = 0
    if n_threads < 1 and n_threads != -1:
        raise ValueError(f"{name} is {os.environ[name]!r}, must be a positive integer or -1")
    return n_threads


def resolve_threads(n_threads: int | None) -> int:
    """The number of threads that an ``n_threads`` argument means.

    Parameters
    ----------
    n_threads : int or None
        None: ``HINGEFAST_NUM_THREADS``, else ``OMP_NUM_THREADS``, else all available; -1: all available.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    TypeError
        If `n_threads` is a bool, a float or a str.
    ValueError
        If it is 0 or below -1, or an environment variable holds something else than a count.
    """
    if n_threads is None:
        n_threads = _from_environment("HINGEFAST_NUM_THREADS")
        if n_threads is None:
            n_threads = _from_environment("OMP_NUM_THREADS")
        if n_threads is None:
            n_threads = -1
    else:
        n_threads = check_threads(n_threads)
    return available_threads() if n_threads == -1 else min(n_threads, MAX_THREADS)


def check_threads(n_threads: object) -> int:
    """`n_threads` as a plain int, if it is a positive integer or -1.

    Raises
    ------
    TypeError, ValueError
        As `resolve_threads`.
    """
    if type(n_threads).__name__ in ("bool", "bool_"):
        raise TypeError(f"n_threads must be an integer or None, got {n_threads!r}")
    try:
        count = operator.index(n_threads)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"n_threads must be an integer or None, got {n_threads!r}") from None
    if count < 1 and count != -1:
        raise ValueError(f"n_threads is {count}, must be a positive integer, or -1 for all processors")
    return count


def run(work: Callable[[], None], n_threads: int, cancel: Callable[[], None]) -> None:
    """Call ``work()`` on `n_threads` threads, the calling one among them, and wait for all.

    Parameters
    ----------
    work : callable
        Takes tasks until none is left. Calls that start late find nothing to do.
    n_threads : int
    cancel : callable
        Makes running calls of `work` return soon; called when this thread is interrupted.

    Notes
    -----
    Whatever happens, no call of `work` is running or waiting when this returns, so nothing writes to an
    output afterwards. An interruption while waiting is kept until then.
    """
    if n_threads <= 1:
        work()
        return
    helpers: list[Future[None]] = []
    interruption: BaseException | None = None
    try:
        helpers = _submit(work, n_threads - 1)
        work()
    except BaseException as error:
        cancel()
        interruption = error
    for helper in helpers:
        if helper.cancel():
            continue
        while True:
            try:
                failure = helper.exception()
                interruption = interruption or failure
                break
            except BaseException as error:
                cancel()
                interruption = interruption or error
    if interruption is not None:
        raise interruption
