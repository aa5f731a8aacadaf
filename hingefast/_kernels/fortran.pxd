# Dense X in contiguous columns.
from hingefast._kernels.dense cimport Dense
from hingefast._kernels.labels cimport Targets
from hingefast._kernels.worker cimport Worker

cdef class Fortran(Dense):
    cdef const char* columns            # the first row's number in the first column
    cdef Py_ssize_t column_rows         # of a block
    cdef bint prefetch
    cdef bint reads_in_place(self, Targets targets, Py_ssize_t width) noexcept nogil
    cdef const char* block_start(self, Worker worker) noexcept nogil
