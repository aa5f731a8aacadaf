# Dual coordinate descent.
from libc.stdint cimport int64_t, uint64_t

cimport numpy as cnp

from hingefast._kernels.labels cimport Targets
from hingefast._kernels.layout cimport Layout, Rows
from hingefast._kernels.table cimport hf_descent
from hingefast._kernels.worker cimport Worker

cdef class Descent:
    cdef Layout layout
    cdef Targets targets
    cdef object numbers
    cdef const int64_t* numbers_at
    cdef readonly object rows, coef, order
    cdef readonly Py_ssize_t n_active
    cdef uint64_t random
    cdef hf_descent state
    cdef int visit_some(self, Worker worker, Py_ssize_t* at) noexcept nogil
    cdef int visit_open(self, Worker worker, Rows* rows, const int64_t* places) noexcept nogil
    cdef Py_ssize_t draw(self, Py_ssize_t n) noexcept nogil
