# What is asked: X, labels, loss, penalty, and how it is reduced.
cimport numpy as cnp

from hingefast._kernels.labels cimport Targets
from hingefast._kernels.layout cimport Layout, Point
from hingefast._kernels.questions cimport FindSlopes, Question
from hingefast._kernels.run cimport Pass
from hingefast._kernels.slopes cimport ScoreLoss
from hingefast._kernels.total cimport Total

cdef class Problem:
    cdef readonly Layout layout
    cdef readonly Targets targets
    cdef readonly ScoreLoss loss
    cdef readonly Py_ssize_t width        # scores a row: 1, or K
    cdef FindSlopes value_and_slope       # the question of most calls; None without a loss
    cdef double alpha, intercept_alpha
    cdef bint is_mean
    cdef object n_threads
    cdef Total sum_up(self, Pass work, int want, Point* at, rows)
    cdef tuple finished(self, Total total, Point* at, intercept, cnp.ndarray out)
    cdef Total go(self, Pass work)
    cdef Total sum_columns(self, int of, cnp.ndarray weights, rows)
    cdef Total sum_squares(self, Question question, Targets batch)
    cdef double divisor(self, Total total) except? -1
    cdef double reduced(self, Total total, double divisor, Point* at) noexcept nogil
    cdef void finish_biases(self, Total total, double divisor, Point* at, int is_f64, void* out) noexcept nogil
