# Dense X in contiguous columns.
from hingefast._kernels.dense cimport Dense
from hingefast._kernels.slopes cimport Targets

cdef class Fortran(Dense):
    cdef const char* columns            # the first row's number in the first column
    cdef Py_ssize_t block_rows
    cdef bint prefetch
    cdef bint reads_in_place(self, Targets targets) noexcept nogil
