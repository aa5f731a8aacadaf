"""Dense X in Fortran order: blocks of rows scored column by column, then accumulated from a cache.

Every sum is that of dense.pyx, addition by addition, so that the order of X in memory changes no bit. A block is
longer than there: of each column it is a piece, which should be long enough for the hardware to see a stream.
Batches of other rows than consecutive ones, and K classes, go through Dense's tile, filled here by a loop.
"""
cimport numpy as cnp

from hingefast._kernels.dense cimport CHUNK, Dense, Queue
from hingefast._kernels.labels cimport Targets
from hingefast._kernels.layout cimport LOAD, OF_ROWS, Coef, Rows
from hingefast._kernels.loaded cimport MAX_LOAD, Loaded, row_at
from hingefast._kernels.table cimport HF_COLUMN_ROWS, HF_LINE_BYTES, hf_real_loops, table
from hingefast._kernels.worker cimport COLUMNS, ROWS, TILE, Worker

cnp.import_array()

cdef enum:
    # Bytes of X in a block, which is read again when it is accumulated. The longer its pieces of columns the better,
    # as long as it stays in a second-level cache: with d = 1000, float64, blocks of 512 or 256 rows take 1.5 times the
    # C-ordered pass, blocks of 128 1.24.
    BLOCK_BYTES = 1048576
    # Columns so many bytes apart, or a multiple, lie in the same sets of a cache, where what is prefetched of the next
    # ones drives out what is being read: 1.7 times the C-ordered pass instead of 1.4.
    PAGE_BYTES = 4096

assert HF_COLUMN_ROWS == MAX_LOAD


def has_contiguous_columns(cnp.ndarray X, bint is_f64):
    """Whether `Fortran` can read X, and `Dense` could not read it in place."""
    cdef Py_ssize_t itemsize = 8 if is_f64 else 4
    return (cnp.PyArray_TYPE(X) == <int>(cnp.NPY_FLOAT64 if is_f64 else cnp.NPY_FLOAT32)
            and cnp.PyArray_ISNOTSWAPPED(X) and cnp.PyArray_ISALIGNED(X)
            and cnp.PyArray_STRIDE(X, 0) == itemsize and cnp.PyArray_STRIDE(X, 1) != itemsize
            and cnp.PyArray_DIM(X, 1) > 1)


cdef class Fortran(Dense):
    """Dense X whose columns are contiguous.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Such that ``has_contiguous_columns(X, is_f64)``.
    is_f64 : bool
        Whether scores are computed in float64.
    """

    def __cinit__(self, cnp.ndarray X, bint is_f64):
        cdef Py_ssize_t rows
        if not has_contiguous_columns(X, is_f64):
            raise ValueError("X has no contiguous columns")
        self.columns = <const char*>cnp.PyArray_DATA(X)
        rows = BLOCK_BYTES // (self.n_features * self.itemsize) // CHUNK * CHUNK
        self.column_rows = min(max(rows, <Py_ssize_t>CHUNK), <Py_ssize_t>HF_COLUMN_ROWS)
        self.prefetch = self.column_stride % PAGE_BYTES != 0

    cdef bint reads_in_place(self, Targets targets, Py_ssize_t width) noexcept nogil:
        """Whether the batch is consecutive rows of one score each."""
        return width == 1 and targets.row_numbers == NULL and targets.row_step == 1

    cdef Py_ssize_t cut(self, Targets targets, Py_ssize_t first, Py_ssize_t end, Py_ssize_t width,
                        int unit) noexcept nogil:
        if unit == LOAD and self.reads_in_place(targets, width):
            return min(first + self.column_rows, end)
        return Dense.cut(self, targets, first, end, width, unit)

    cdef int reserve(self, Worker worker) except -1:
        Dense.reserve(self, worker)
        if self.reads_in_place(worker.targets, worker.width):
            worker.block_rows = self.column_rows
            worker.get(COLUMNS, HF_COLUMN_ROWS * HF_LINE_BYTES)   # lanes of scores
        return 0

    cdef int open(self, Worker worker) noexcept nogil:
        if not self.reads_in_place(worker.targets, worker.width):
            return Dense.open(self, worker)
        return 0

    cdef int point(self, Worker worker, Rows* rows) noexcept nogil:
        if self.reads_in_place(worker.targets, worker.width):   # rows to visit come in any order: a tile of them
            worker.n = min(worker.n, self.tile_capacity)
            self.fill_tile(worker)
            self.point_at_rows(worker, (<Queue*>worker.buffers[ROWS].start).rows)
        return Dense.point(self, worker, rows)

    cdef int score(self, Worker worker, Coef* coef, void** scores) noexcept nogil:
        if not self.reads_in_place(worker.targets, coef.given.width):
            return Dense.score(self, worker, coef, scores)
        table.real[self.is_f64].score_columns(self.block_start(worker), self.column_stride, worker.n, self.n_features,
                                              coef.data, coef.intercept, self.prefetch,
                                              worker.buffers[COLUMNS].start, scores[0])
        return 0

    cdef int add(self, Worker worker, const void* slopes) noexcept nogil:
        if not self.reads_in_place(worker.targets, worker.width):
            return Dense.add(self, worker, slopes)
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        cdef Py_ssize_t place = worker.start + worker.at, at = 0, m
        cdef const char* X = self.block_start(worker)
        while at < worker.n:
            m = worker.n if self.is_f64 else min(CHUNK - (place + at) % CHUNK, worker.n - at)
            real.accumulate_columns(X + at * self.itemsize, self.column_stride,
                                    <const char*>slopes + at * self.itemsize, m, self.n_features, self.prefetch,
                                    queue.grad if queue.grad != NULL else worker.grad)
            queue.is_open = queue.grad != NULL
            at += m
            if (place + at) % CHUNK == 0:
                self.widen(worker)
        return 0

    cdef int squares(self, Worker worker, int of, const double* weights, double* out) noexcept nogil:
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        cdef Py_ssize_t n = worker.n, at = worker.at, done = 0
        if not self.reads_in_place(worker.targets, worker.width):
            return Dense.squares(self, worker, of, weights, out)
        while done < n:   # through the tile, which holds fewer rows
            worker.at, worker.n = at + done, min(n - done, self.tile_capacity)
            self.fill_tile(worker)
            self.point_at_rows(worker, queue.rows)
            if Dense.squares(self, worker, of, weights + done if weights != NULL else NULL,
                             out + done if of == OF_ROWS else out) != 0:
                return -1
            done += worker.n
        worker.at, worker.n = at, n
        return 0

    cdef const char* block_start(self, Worker worker) noexcept nogil:
        """The block's first number in the first column."""
        return self.columns + row_at(worker.loaded, worker.at) * self.itemsize

    cdef int fill_tile(self, Worker worker) noexcept nogil:
        cdef Loaded* loaded = worker.loaded
        cdef Py_ssize_t at = worker.at, first = 0 if loaded.row_index != NULL else row_at(loaded, at)
        table.real[self.is_f64].transpose_columns(self.columns + first * self.itemsize, self.column_stride,
                                                  loaded.row_index + at if loaded.row_index != NULL else NULL,
                                                  loaded.row_step, worker.n, self.n_features, self.prefetch,
                                                  worker.buffers[TILE].start)
        return 0
