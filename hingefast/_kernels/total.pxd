# The sums of a pass.
from hingefast._kernels.loaded cimport Sums
from hingefast._kernels.worker cimport Buffer, Worker

cdef class Total:
    cdef readonly double value, weight, slope   # the sum of the slopes of K classes stands behind the gradient
    cdef readonly int exponent            # weights, and with them all sums, are multiplied by 2^exponent
    cdef readonly Py_ssize_t n_rows
    cdef readonly bint has_value
    cdef readonly Py_ssize_t n_features, width   # of the problem
    cdef readonly bint by_feature         # the gradient of K classes is in the order (feature, class)
    cdef readonly Py_ssize_t size         # numbers in the gradient
    cdef Buffer buffer
    cdef double* grad                     # NULL without one
    cdef int make_gradient(self, Py_ssize_t size) except -1
    cdef void clear(self, Py_ssize_t first) noexcept nogil
    cdef void add(self, Sums* sums) noexcept nogil
    cdef double divisor(self, bint mean) noexcept nogil
    cdef bint is_like(self, Total other) noexcept
