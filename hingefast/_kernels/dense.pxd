# Dense X in rows, read in place or through a tile.
from hingefast._kernels.layout cimport Coef, Layout
from hingefast._kernels.worker cimport Worker

cdef enum:
    # Rows of a chunk, over which float32 gradients are summed before they are widened to float64.
    CHUNK = 64
    # Rows whose products of columns are added together: their sums are read and written once for so many, and a line of
    # all of them, twice, is half of a first-level cache.
    PANEL_ROWS_OF_PAIRS = 192
    # Features of narrow rows, at most (even_rows.h).
    NARROW = 16

cdef struct Queue:
    const void* rows[CHUNK]              # of the open block
    # Rows of one score whose slopes are known and that are not yet in the gradient: fewer than a tile from the block
    # before, and at most one block. K classes: rows of one class.
    const void* pending[2 * CHUNK]
    double pending_slopes[2 * CHUNK]     # in the computing dtype
    Py_ssize_t n_pending
    const char* narrow                   # not NULL: the block's rows are narrow and lie in X, the first one here
    void* grad                           # float32 gradient of a chunk, or NULL
    bint is_open                         # it may hold something
    Py_ssize_t n_in_panel                # rows of which products of columns are still to be added

cdef class Dense(Layout):
    cdef object X                    # the array
    cdef const char* data            # rows in place; NULL: through a tile
    cdef Py_ssize_t row_stride       # bytes
    cdef Py_ssize_t column_stride
    cdef bint has_close_rows         # the numbers of a column lie closer than those of a row
    cdef int dtype                   # HF_INT8 ...; -1: NumPy fills the tile
    cdef Py_ssize_t itemsize         # of the computing dtype
    cdef Py_ssize_t tile_capacity    # rows of a tile
    cdef Py_ssize_t block_rows       # of a block of one score a row, at most
    cdef bint is_narrow              # rows in place, of few numbers and apart
    cdef Py_ssize_t class_block_rows(self, Py_ssize_t width) noexcept nogil
    cdef void point_at_rows(self, Worker worker, const void** rows) noexcept nogil
    cdef void accumulate(self, Worker worker, Py_ssize_t n) noexcept nogil
    cdef void widen(self, Worker worker) noexcept nogil
    cdef void add_classes(self, Worker worker, const void* slopes) noexcept nogil
    cdef int add_products(self, Worker worker, const double* weights, Py_ssize_t n, double* out) noexcept nogil
    cdef void multiply_panel(self, Worker worker, double* out) noexcept nogil
    cdef int reserve_tile(self, Worker worker, Py_ssize_t n) except -1
    cdef int fill_tile(self, Worker worker) noexcept nogil
    cdef int cast_rows(self, Worker worker) noexcept with gil
