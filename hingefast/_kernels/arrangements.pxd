# Losses of K scores, built on a loss of one margin, and the labels of K classes.
from libc.stdint cimport int32_t, int64_t

from hingefast._kernels.table cimport hf_class_labels, hf_loss
from hingefast._kernels.scratch cimport Scratch
from hingefast._kernels.slopes cimport Block, Targets

cdef enum:
    CRAMMER_SINGER
    WESTON_WATKINS
    ONE_VS_REST
    COST_SENSITIVE
    TOP_K_ALPHA
    TOP_K_BETA

cdef class BoundArrangement:
    cdef int number                   # one of the above
    cdef const hf_loss* losses        # of the margin loss: [0] as float32 can hold it, [1] float64
    cdef object margin                # whose losses they are
    cdef object costs                 # (float32, float64) copies, or None
    cdef const void* cost[2]
    cdef readonly str kind
    cdef readonly Py_ssize_t k
    cdef readonly Py_ssize_t n_classes    # of the costs; 0: any number
    cdef readonly bint has_curvature
    cdef int reserve(self, Scratch scratch, Py_ssize_t n_rows, Py_ssize_t n_classes, int is_f64,
                     bint curved) except -1

cdef class ClassTargets(Targets):
    cdef object given_labels          # int64 array of the K labels, or None: 0 .. K-1
    cdef object sorted_labels, sorted_columns, of_class
    cdef hf_class_labels class_labels_
    cdef const double* weight_of_class

cdef void find_class_slopes(BoundArrangement arrangement, Block* block, int is_f64, const void* scores, Py_ssize_t at,
                            Py_ssize_t n, Py_ssize_t n_classes, int want, const double* all_weights, double factor,
                            Scratch scratch, void* slopes) noexcept nogil
cdef void find_curved_class_slopes(BoundArrangement arrangement, Block* block, int is_f64, const void* scores,
                                   void* directions, Py_ssize_t n, Py_ssize_t n_classes, Scratch scratch,
                                   void* slopes) noexcept nogil
