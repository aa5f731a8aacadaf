# Dense X in rows, read in place or through a tile.
from hingefast._kernels.linear cimport ClassCoef, Layout, LinearPass, Task
from hingefast._kernels.scratch cimport Scratch
from hingefast._kernels.slopes cimport Block, Fault, Targets

cdef class Dense(Layout):
    cdef object X                    # the array
    cdef const char* data            # rows in place; NULL: through a tile
    cdef Py_ssize_t row_stride       # bytes
    cdef Py_ssize_t column_stride
    cdef bint has_close_rows         # the numbers of a column lie closer than those of a row
    cdef int dtype                   # HF_INT8 ...; -1: NumPy fills the tile
    cdef Py_ssize_t itemsize         # of the computing dtype
    cdef Py_ssize_t tile_capacity    # rows of a tile
    cdef void point_at_rows(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t at, Py_ssize_t n,
                            const void** rows) noexcept nogil
    cdef int reserve_tile(self, Scratch scratch, Py_ssize_t n) except -1
    cdef int fill_tile(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t at, Py_ssize_t n,
                       Fault* fault) noexcept nogil
    cdef int cast_rows(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t at, Py_ssize_t n,
                       Fault* fault) noexcept with gil
