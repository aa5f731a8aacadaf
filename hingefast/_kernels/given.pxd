# Scores that the caller has.
cimport numpy as cnp

from hingefast._kernels.layout cimport Layout
from hingefast._kernels.worker cimport Worker

cdef class Given(Layout):
    cdef object scores               # the array
    cdef Py_ssize_t width            # scores a row
    cdef const char* data            # contiguous, in the computing dtype; NULL: cast block by block
    cdef Py_ssize_t row_stride, column_stride   # bytes
    cdef int dtype                   # HF_INT8 ...; -1: NumPy casts
    cdef Py_ssize_t itemsize         # of the computing dtype
    cdef Py_ssize_t task_rows, load_rows, block_rows
    cdef char* grad                  # where slopes go, or NULL
    cdef int grad_is_f64
    cdef bint stream                 # past the caches
    cdef bint weigh_later            # slopes come without weights and without the factor
    cdef double factor               # of the slopes
    cdef Py_ssize_t rows_in(self, Py_ssize_t n_bytes) noexcept nogil
    cdef int write_to(self, cnp.ndarray grad, bint are_weighted) except -1
    cdef int cast(self, Worker worker, void* to) noexcept nogil
    cdef int cast_by_numpy(self, Worker worker, void* to) noexcept with gil
