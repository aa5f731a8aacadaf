# What happens to the scores of a block of rows.
from hingefast._kernels.layout cimport Coef, Layout
from hingefast._kernels.slopes cimport ScoreLoss
from hingefast._kernels.worker cimport Worker

cdef class Question:
    cdef int want                  # VALUE, SLOPE, SLOPE_SUM: what is summed, and whether there is a gradient
    cdef bint reads_rows           # else labels and weights alone
    cdef bint reads_scores
    cdef int reserve(self, Worker worker) except -1
    cdef Py_ssize_t grad_size(self, Layout layout, Py_ssize_t width) noexcept nogil
    cdef int ask(self, Layout layout, Worker worker) noexcept nogil
    cdef int add(self, Layout layout, Worker worker) noexcept nogil
    cdef void note_values(self, Worker worker, Py_ssize_t n) noexcept nogil

cdef class WriteScores(Question):
    cdef char* out

cdef class SumWeights(Question):
    pass

cdef class FindSlopes(Question):
    cdef ScoreLoss loss
    cdef bint weigh_later          # slopes are left without weights and without the factor
    cdef double factor
    cdef char* values_out          # weighted values of rows, or NULL

cdef class CurveDirection(Question):
    cdef ScoreLoss loss
    cdef Coef direction

cdef class FindCurvature(Question):
    cdef ScoreLoss loss
    cdef bint weigh_later
    cdef double factor

cdef class TakeSlopes(Question):
    cdef const char* given

cdef class SquareRows(Question):
    cdef double* out

cdef class SquareColumns(Question):
    cdef int of                    # OF_COLUMNS, OF_PAIRS
    cdef const double* given       # weights of rows, or NULL: all one

cdef FindSlopes find_slopes(ScoreLoss loss, int want)
cdef SumWeights SUM_WEIGHTS
