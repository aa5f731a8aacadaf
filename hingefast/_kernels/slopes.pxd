# The slope stage: scores and labels of a block of rows in, values and slopes out.
from libc.stdint cimport int32_t

from hingefast._kernels.loaded cimport MAX_LOAD
from hingefast._kernels.table cimport BoundLoss, hf_loss
from hingefast._kernels.worker cimport Worker

cdef struct Pairs:
    # Of a block of rows: the margin to a rival, its slope, and which rival it is.
    double margins[MAX_LOAD]
    double slopes[MAX_LOAD]
    int32_t rivals[MAX_LOAD]

cdef class ScoreLoss:
    cdef readonly BoundLoss margin                 # the loss of one margin that it is made of
    cdef const hf_loss* losses            # [0] as float32 can hold it, [1] float64
    cdef readonly bint has_curvature
    cdef readonly Py_ssize_t k            # of a top-k loss, which needs more classes; else 0
    cdef readonly Py_ssize_t n_classes    # that it is made for; 0: any number
    cdef int reserve(self, Worker worker, bint curved) except -1
    cdef void slopes(self, Worker worker, int want, const double* weights, double factor) noexcept nogil
    cdef void curved(self, Worker worker, void* directions) noexcept nogil
    cdef void curvature(self, Worker worker) noexcept nogil

cdef class OneMargin(ScoreLoss):
    pass

cdef class StrongestRival(ScoreLoss):
    cdef object costs                     # (float32, float64) copies, or None
    cdef const void* cost[2]
    cdef void find_margins(self, Worker worker, Pairs* pairs) noexcept nogil
    cdef void curve_pairs(self, Worker worker, Pairs* pairs) noexcept nogil

cdef class AllRivals(ScoreLoss):
    cdef StrongestRival of_two            # the same loss of two classes
    cdef void curve_rivals(self, Worker worker) noexcept nogil

cdef class EachClass(ScoreLoss):
    pass

cdef class TopClasses(ScoreLoss):
    cdef bint each

cdef void weigh_rows(Worker worker, const double* weights, double factor) noexcept nogil
