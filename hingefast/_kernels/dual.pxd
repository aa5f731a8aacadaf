# Dual coordinate descent.
from libc.stdint cimport int64_t, uint64_t

cimport numpy as cnp

from hingefast._kernels.job cimport Job
from hingefast._kernels.labels cimport Targets
from hingefast._kernels.layout cimport Layout, Rows
from hingefast._kernels.table cimport hf_class_descent, hf_descent, hf_dual_row, hf_duet
from hingefast._kernels.worker cimport Worker

cdef class Visits(Job):
    cdef Layout layout
    cdef Targets targets
    cdef object numbers
    cdef const int64_t* numbers_at
    cdef readonly object rows, order
    cdef hf_dual_row* rows_at
    cdef int64_t* order_at
    cdef readonly Py_ssize_t n_active
    cdef uint64_t random
    cdef Worker worker          # of the caller
    cdef Py_ssize_t at          # how many active rows have been visited
    cdef int begin(self, Layout layout, numbers, Py_ssize_t n_rows, seed) except -1
    cdef int visit_open(self, Worker worker, Rows* rows, const int64_t* places) noexcept nogil
    cdef int visit_active(self) except -1
    cdef Py_ssize_t n_together(self) noexcept
    cdef void help(self) noexcept nogil
    cdef int visit_some(self, Worker worker) noexcept nogil
    cdef Py_ssize_t draw(self, Py_ssize_t n) noexcept nogil

cdef class Descent(Visits):
    cdef readonly object coef, dual
    cdef object middles
    cdef Py_ssize_t n_late            # how often the helper was late, less where it was not
    cdef Py_ssize_t n_alone           # parts of passes until it is asked for
    cdef hf_descent state
    cdef hf_duet duet

cdef class ClassDescent(Visits):
    cdef readonly object coef, intercepts, dual
    cdef object by_feature, of_classes, columns, costs, space
    cdef hf_class_descent state
    cdef double visit_for_all(self, double rate, double high) except? -1
