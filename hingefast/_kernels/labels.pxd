# Rows, labels and weights of a batch: for a block of rows, their numbers, signs or columns, and float64 weights.
from libc.stdint cimport int32_t, int64_t

cimport numpy as cnp

from hingefast._kernels.loaded cimport Fault, Loaded
from hingefast._kernels.table cimport hf_class_labels, hf_classes, hf_labels

cdef struct Vector:
    const char* data
    Py_ssize_t stride     # bytes
    int dtype             # HF_INT8 ..., whatever the byte order, or -1: cast block by block
    bint is_swapped       # in the other byte order
    int convertible       # without a dtype: the loop of convert.h that casts; -1: NumPy does
    int log2_itemsize

cdef class Classes:
    cdef readonly Py_ssize_t n_classes  # 0: a pair, for a loss of one score
    cdef readonly Py_ssize_t width      # scores a row: 1, or K
    cdef readonly object labels         # (negative, positive), or K integers (int64) or None: 0 .. K-1
    cdef hf_classes pair
    cdef hf_class_labels columns
    cdef object sorted_labels, sorted_columns
    cdef int compare_pair(self, negative, positive) except -1
    cdef int compare_columns(self, cnp.ndarray labels) except -1

cdef class Targets:
    cdef object y, sample_weight, rows, class_weight
    cdef readonly Classes classes
    cdef readonly Py_ssize_t n_rows     # of the batch
    cdef readonly Py_ssize_t n_total    # rows of the caller's arrays
    cdef Vector labels, weights
    cdef bint has_labels, has_weights
    cdef bint are_signs[2]              # labels are -1 and +1 in float32, float64: no decoding
    cdef const double* weight_of_class  # or NULL
    cdef const char* row_numbers        # int64, or NULL: first_row + i*row_step
    cdef Py_ssize_t row_stride, first_row, row_step

    cdef void point_at_labels(self, y, Vector labels)
    cdef Targets batch(self, rows)
    cdef int select(self, rows) except -1
    cdef bint are_weighted(self) noexcept nogil
    cdef bint needs_numpy(self) noexcept nogil
    cdef Py_ssize_t load_rows(self, Loaded* loaded, Py_ssize_t first, Py_ssize_t n, Fault* fault) noexcept nogil
    cdef int load(self, Loaded* loaded, int is_f64, Py_ssize_t first, Py_ssize_t n, Fault* fault) noexcept nogil
    cdef int load_labels(self, Loaded* loaded, int is_f64, Py_ssize_t first, Py_ssize_t n,
                         Fault* fault) noexcept nogil
    cdef Py_ssize_t decode_signs(self, Loaded* loaded, int is_f64, const char* found, int dtype,
                                 Py_ssize_t n) noexcept nogil
    cdef int load_weights(self, Loaded* loaded, Py_ssize_t first, Py_ssize_t n, Fault* fault) noexcept nogil
    cdef void apply_class_weights(self, Loaded* loaded, int is_f64, Py_ssize_t n) noexcept nogil
    cdef const char* elements(self, Loaded* loaded, bint labels, Py_ssize_t n, int* dtype, Fault* fault) noexcept nogil
    cdef int cast_by_numpy(self, Loaded* loaded, bint labels, Py_ssize_t n, int* dtype, Fault* fault) noexcept with gil
    cdef void note(self, Fault* fault, Loaded* loaded, bint label, Py_ssize_t first, Py_ssize_t at,
                   const char* found) noexcept nogil
    cdef bint describe_labels(self, int is_f64, hf_labels* labels) noexcept nogil
    cdef int weigh(self, int is_f64, bint mean, int* exponent) except -1
    cdef double weight_of_batch(self, int is_f64, int exponent, double* largest, Fault* fault) except? -1

cdef bint is_plain(object x, bint of_integers) noexcept
cdef int element_type(cnp.ndarray x)
cdef int convertible_type(cnp.ndarray x)
cdef Vector describe(cnp.ndarray x)
cdef bint is_far(double sum, int* exponent) noexcept
cdef Classes SIGNS
