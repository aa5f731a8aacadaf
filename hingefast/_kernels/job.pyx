"""Work that several threads do together for one call: who is in it, how it is interrupted, and when it is over.

A call returns or raises when the last thread has left its job, whatever happens. The job counts its helpers itself,
and keeps what they use until then. All of that is done under the interpreter's lock, in functions that run no Python
code: there is no moment at which a signal handler, another thread or a fork could find it half done, and no lock that
somebody might take along.
"""
from cpython.exc cimport PyErr_CheckSignals

import os
import threading
import time

from hingefast import _threads

# How long somebody waits before looking around: a signal (Windows does not interrupt a wait), or a fork.
LOOK_SECONDS = 0.05

cdef int forks_of_this_process = 0


def _count_fork():
    global forks_of_this_process
    forks_of_this_process += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class Forked(BaseException):
    """This process is the child of a fork that a signal handler made during the call: its helpers are not here."""


cdef object shut_lock():
    """A lock that is released by somebody else, once."""
    try:
        lock = threading.Lock()
    except RuntimeError as error:   # "can't allocate lock"
        raise MemoryError from error
    lock.acquire()
    return lock


cdef class Job:
    """One call's work. A subclass brings `share`, what a thread does, and `restart`, which forgets what was done."""

    cdef int share(self, bint is_caller) except -1:
        """Take tasks until none is left, or until `cancelled`."""
        return 0

    cdef int restart(self) except -1:
        """Forget all that was done, so that `share` does it again."""
        return 0

    def work(self):
        """What a helper does: its share, if it is still wanted."""
        if (self.closed or self.cancelled or self.n_inside >= self.n_helpers
                or self.n_forks != forks_of_this_process):
            return
        self.n_inside += 1
        try:
            self.share(False)
        except BaseException as error:
            self.stop(error)
        finally:
            self.n_inside -= 1
            if self.closed and self.n_inside == 0:
                self.left.release()

    cdef int look(self) except -1:
        """Between two slices of a task: run signal handlers, if this is the main thread, and notice a fork."""
        PyErr_CheckSignals()
        if self.n_helpers > 0 and self.n_forks != forks_of_this_process:
            raise Forked
        return 0

    cdef int stop(self, error) except -1:
        """Let the work end soon; the first error is raised when it has."""
        self.cancelled = True
        if self.error is None:
            self.error = error
        try:
            self.wake_all()
        except MemoryError:
            pass   # who waits looks around in a moment
        return 0

    cdef int wait_before(self, Py_ssize_t number) except -1:
        """Wait until somebody wakes task `number`, or for a while."""
        gate = None
        try:
            gate = shut_lock()
            if self.gates is None:
                self.gates = {}
            self.gates[number] = gate
        except MemoryError:
            gate = None   # no return inside: Cython lets go of a traceback there that need not exist
        if gate is None:
            time.sleep(LOOK_SECONDS / 10)
            return self.look()
        try:
            gate.acquire(True, LOOK_SECONDS)
        finally:
            self.gates.pop(number, None)
        return self.look()

    cdef int wake(self, Py_ssize_t number) except -1:
        if self.gates is not None:
            gate = self.gates.pop(number, None)
            if gate is not None:
                gate.release()
        return 0

    cdef int wake_all(self) except -1:
        while self.gates:
            self.gates.popitem()[1].release()
        return 0

    cdef int run_on(self, Py_ssize_t n_threads) except -1:
        """Do the work on up to `n_threads` threads, the calling one among them.

        Raises what any of them met, when all have left. Where threads cannot be had there are fewer. In the child of a
        fork that a signal handler made, everything is done again, by this thread alone.
        """
        self.error = self.gates = None
        self.cancelled = self.closed = False
        self.n_inside = self.n_helpers = 0
        if n_threads > 1:
            try:
                self.left = shut_lock()
            except MemoryError:
                n_threads = 1
        if n_threads <= 1:
            return self.share(True)
        self.n_forks = forks_of_this_process
        self.n_helpers = n_threads - 1
        try:
            _threads.hand_out(self.work, self.n_helpers)
            self.share(True)
        except BaseException as error:
            self.stop(error)
        self.closed = True
        while self.n_inside > 0 and self.n_forks == forks_of_this_process:
            try:
                self.left.acquire(True, LOOK_SECONDS)
            except BaseException as error:
                self.stop(error)
        failure, self.error = self.error, None
        if self.n_forks != forks_of_this_process and (failure is None or isinstance(failure, Forked)):
            self.restart()
            return self.run_on(1)
        if failure is not None:
            raise failure
        return 0


cdef class Calls(Job):
    """Calls without arguments that have nothing to do with one another."""

    def __init__(self, list calls):
        self.calls = calls
        self.restart()

    cdef int restart(self) except -1:
        self.next_call = 0
        self.results = [None] * len(self.calls)
        return 0

    cdef int share(self, bint is_caller) except -1:
        cdef Py_ssize_t k
        while self.next_call < len(self.calls) and not self.cancelled:
            k = self.next_call
            self.next_call += 1
            self.results[k] = self.calls[k]()
            self.look()
        return 0


def call_all(list calls, n_threads):
    """What calls return, in a list; they are shared out to at most so many threads, None being all that there are."""
    cdef Calls job = Calls(calls)
    cdef Py_ssize_t n = min(_threads.resolve_threads(n_threads), max(len(calls), 1))
    job.run_on(n)
    return job.results
