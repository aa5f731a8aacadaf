# Work that several threads do together for one call.

cdef class Job:
    cdef bint cancelled           # no further task begins; running ones end at their next slice
    cdef bint closed              # no helper enters any more
    cdef Py_ssize_t n_inside      # helpers at work
    cdef Py_ssize_t n_helpers     # how many may be, at most
    cdef int n_forks              # of this process when the work began
    cdef object left              # a lock, released by the last helper that leaves a closed job
    cdef object gates             # locks of those who wait for the task before theirs, by the number of theirs
    cdef object error             # the first that a thread met
    cdef int share(self, bint is_caller) except -1
    cdef int restart(self) except -1
    cdef int look(self) except -1
    cdef int stop(self, error) except -1
    cdef int wait_before(self, Py_ssize_t number) except -1
    cdef int wake(self, Py_ssize_t number) except -1
    cdef int wake_all(self) except -1
    cdef int run_on(self, Py_ssize_t n_threads) except -1

cdef class Calls(Job):
    cdef list calls, results
    cdef Py_ssize_t next_call
