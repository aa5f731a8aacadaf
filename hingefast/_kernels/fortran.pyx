"""The pass over dense X in Fortran order: blocks of rows scored column by column, then accumulated from a cache.

Every sum is that of dense.pyx, addition by addition, so that the order of X in memory changes no bit. A block is
longer than there: of each column it is a piece, which should be long enough for the hardware to see a stream.
Batches of other rows than consecutive ones, and K classes, go through Dense's tile, filled here by a loop.
"""
from libc.string cimport memcpy

cimport numpy as cnp

from hingefast._kernels.dense cimport Dense
from hingefast._kernels.linear cimport LinearPass, Task
from hingefast._kernels.table cimport (
    HF_COLUMN_ROWS, HF_LINE_BYTES, table, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_real_loops,
)
from hingefast._kernels.scratch cimport COLUMN_SUMS, TILE, Scratch
from hingefast._kernels.slopes cimport (
    MAX_BLOCK, SLOPE, Block, BlockSpace, Fault, Targets, add_sums, block_in, find_curved_slopes, find_slopes,
)

cnp.import_array()

cdef enum:
    # Rows of a chunk, in which float32 gradients are summed; as in dense.pyx.
    CHUNK = 64
    # Bytes of X in a block, which is read again when it is accumulated. The longer its pieces of columns the better,
    # as long as it stays in a second-level cache: with d = 1000, float64, blocks of 512 or 256 rows take 1.5 times the
    # C-ordered pass, blocks of 128 1.24.
    BLOCK_BYTES = 1048576
    # Columns so many bytes apart, or a multiple, lie in the same sets of a cache, where what is prefetched of the next
    # ones drives out what is being read: 1.7 times the C-ordered pass instead of 1.4.
    PAGE_BYTES = 4096

assert HF_COLUMN_ROWS == MAX_BLOCK


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
        self.block_rows = min(max(rows, <Py_ssize_t>CHUNK), <Py_ssize_t>HF_COLUMN_ROWS)
        self.prefetch = self.column_stride % PAGE_BYTES != 0

    cdef bint reads_in_place(self, Targets targets) noexcept nogil:
        """Whether the batch is consecutive rows."""
        return targets.row_numbers == NULL and targets.row_step == 1

    cdef int reserve(self, LinearPass work, Scratch scratch, Task* task) except -1:
        Dense.reserve(self, work, scratch, task)
        scratch.get(COLUMN_SUMS, HF_COLUMN_ROWS * HF_LINE_BYTES)
        return 0

    cdef int fill_tile(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t at, Py_ssize_t n,
                       Fault* fault) noexcept nogil:
        cdef Py_ssize_t first = 0 if block.row_index != NULL else block.first_row + at * targets.row_step
        table.real[self.is_f64].transpose_columns(self.columns + first * self.itemsize, self.column_stride,
                                              block.row_index + at if block.row_index != NULL else NULL,
                                              targets.row_step, n, self.n_features, self.prefetch,
                                              scratch.buffers[TILE])
        return 0

    cdef int walk(self, LinearPass work, Targets targets, Scratch scratch, Task* task, Py_ssize_t first,
                  Py_ssize_t end) noexcept nogil:
        if not self.reads_in_place(targets):
            return Dense.walk(self, work, targets, scratch, task, first, end)
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Py_ssize_t d = self.n_features, start = first, n, good, at, m
        cdef BlockSpace space
        cdef Block* block = block_in(&space)
        cdef void* sums = scratch.buffers[COLUMN_SUMS]
        cdef const char* X
        cdef hf_fp_state caller = hf_fp_enter()
        cdef int failed = -1
        block.exponent = work.exponent
        while start < end:
            n = min(self.block_rows, end - start)
            good = targets.load_rows(block, start, n, &task.fault)
            if targets.load(block, self.is_f64, start, good, &task.fault) != 0 or good < n:
                break
            X = self.columns + block.first_row * self.itemsize
            real.score_columns(X, self.column_stride, n, d, work.coef, work.intercept, self.prefetch, sums,
                               block.score_buffer)
            if work.scores_out != NULL:
                memcpy(work.scores_out + start * self.itemsize, block.score_buffer, n * self.itemsize)
            if work.loss != NULL:
                if work.direction == NULL:
                    find_slopes(work.loss, block, self.is_f64, 0, n, work.want)
                else:
                    real.score_columns(X, self.column_stride, n, d, work.direction, work.direction_intercept,
                                       self.prefetch, sums, block.values)
                    find_curved_slopes(work.loss, block, self.is_f64, 0, n)
                add_sums(block, self.is_f64, n, start - task.first, work.want, &task.sums)
                at = 0
                while work.want & SLOPE and at < n:
                    m = n if self.is_f64 else min(CHUNK - (start + at) % CHUNK, n - at)
                    real.accumulate_columns(X + at * self.itemsize, self.column_stride,
                                            block.slopes + at * self.itemsize, m, d, self.prefetch,
                                            task.block_grad)
                    at += m
                    if self.is_f64 == 0 and ((start + at) % CHUNK == 0 or start + at == task.end):
                        real.flush(task.block_grad, d, task.grad)
            start += n
        if start >= end:
            failed = 0
        hf_fp_leave(caller)
        return failed
