"""The pass over dense X: score a block of rows, find its slopes, accumulate it while the next is scored.

Rows are worked on in chunks of 64 (the unit in which labels are decoded and float32 gradients are widened)
and, within those, in blocks of as many rows as a second-level cache holds comfortably. Rows with a slope wait
in a queue; the loops that score the next block add them to the gradient, as a rule in the same sweep over the columns
(score.h), so that X comes from memory once and both halves of the arithmetic overlap with reading it.
"""
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memmove, memset

cimport numpy as cnp

import numpy as np

from hingefast._kernels.table import default_environment

from hingefast._kernels.linear cimport ClassCoef, Layout, LinearPass, Task
from hingefast._kernels.table cimport (
    HF_LINE_BYTES, table, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_real_loops, hf_slots,
)
from hingefast._kernels.scratch cimport BLOCK_GRAD, COLUMNS, GROUPS, ROWS, TILE, Scratch
from hingefast._kernels.slopes cimport (
    SLOPE, Block, BlockSpace, Fault, Targets, add_sums, block_in, convertible_type, find_curved_slopes, find_slopes,
    keep_error,
)

cnp.import_array()

cdef enum:
    # Rows of a chunk; the number that numerics promise for float32 gradients.
    CHUNK = 64
    # Elements of a task: about a millisecond of reading, some hundred times its hand-out and merge.
    TASK_ELEMENTS = 1048576
    MAX_TASK_ROWS = 65536
    # Elements between two looks for Ctrl-C: about 5 ms in place, 50 ms through a slow cast.
    SLICE_ELEMENTS = 4194304
    # Bytes of X in a block: with the block before it and the gradient it should stay in a second-level
    # cache. Smaller blocks pay more calls, larger ones come back from the third level.
    BLOCK_BYTES = 32768
    # Bytes of a tile: in the first-level cache where a loop fills it row by row. Where each fill costs a call of NumPy,
    # or goes over pieces of columns, the more rows the better.
    TILE_BYTES = 16384
    LARGE_TILE_BYTES = 262144
    # K classes. Rows of a task, at least: zeroing and adding its gradient, K*d numbers each, then costs a few percent
    # of K*d products a row.
    CLASS_TASK_ROWS = 512
    # Bytes of X in a block, which is read again when it is accumulated, and of its scores. All coefficients are
    # read once a block: the more rows, the better, and 64 are enough.
    CLASS_BLOCK_BYTES = 4194304
    SCORES_BYTES = 1048576
    # Rows that the loops score together, and a multiple of them.
    PANEL_ROWS = 8


cdef class Dense(Layout):
    """Dense X.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Any real dtype, any strides.
    is_f64 : bool
        Whether scores are computed in float64.
    """

    def __cinit__(self, cnp.ndarray X, bint is_f64):
        cdef Py_ssize_t tile_bytes
        self.X = X
        self.is_f64 = is_f64
        self.itemsize = 8 if is_f64 else 4
        self.n_rows = cnp.PyArray_DIM(X, 0)
        self.n_features = cnp.PyArray_DIM(X, 1)
        self.row_stride = cnp.PyArray_STRIDE(X, 0)
        self.column_stride = cnp.PyArray_STRIDE(X, 1)
        self.has_close_rows = abs(self.row_stride) < abs(self.column_stride)
        self.dtype = convertible_type(X)
        if (cnp.PyArray_TYPE(X) == <int>(cnp.NPY_FLOAT64 if is_f64 else cnp.NPY_FLOAT32)
                and cnp.PyArray_ISNOTSWAPPED(X) and cnp.PyArray_ISALIGNED(X)
                and (self.column_stride == self.itemsize or self.n_features <= 1)):
            self.data = <const char*>cnp.PyArray_DATA(X)
        else:
            tile_bytes = LARGE_TILE_BYTES if self.dtype < 0 or self.has_close_rows else TILE_BYTES
            self.tile_capacity = min(max(tile_bytes // max(self.n_features * self.itemsize, 1) // 4 * 4, 4), CHUNK)

    def arrays(self):
        """The arrays that X consists of, by name."""
        return {"X": self.X}

    cdef bint needs_numpy(self) noexcept:
        return self.data == NULL and self.dtype < 0

    cdef Py_ssize_t task_end(self, Targets targets, Py_ssize_t first) noexcept nogil:
        cdef Py_ssize_t chunks = TASK_ELEMENTS // (CHUNK * max(self.n_features, <Py_ssize_t>1))
        return min(first + min(max(chunks, <Py_ssize_t>1) * CHUNK, <Py_ssize_t>MAX_TASK_ROWS), targets.n_rows)

    cdef Py_ssize_t slice_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        cdef Py_ssize_t n = SLICE_ELEMENTS // max(self.n_features, <Py_ssize_t>1)
        n = n // CHUNK * CHUNK if n >= CHUNK else max(n // 4 * 4, <Py_ssize_t>4)
        return min(first + n, end)

    cdef int reserve(self, LinearPass work, Scratch scratch, Task* task) except -1:
        if work.want & SLOPE:
            task.block_grad = task.grad
            if not self.is_f64:
                task.block_grad = scratch.get(BLOCK_GRAD, self.n_features * self.itemsize)
                memset(task.block_grad, 0, self.n_features * self.itemsize)
        if self.data == NULL:
            self.reserve_tile(scratch, self.tile_capacity)
        return 0

    cdef int reserve_tile(self, Scratch scratch, Py_ssize_t n) except -1:
        """Memory for `fill_tile` with n rows."""
        scratch.get(TILE, n * self.n_features * self.itemsize)
        if self.has_close_rows:
            scratch.get(COLUMNS, n * self.n_features * self.itemsize)
        return 0

    cdef int walk(self, LinearPass work, Targets targets, Scratch scratch, Task* task, Py_ssize_t first,
                  Py_ssize_t end) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Py_ssize_t d = self.n_features, tile_rows = table.tile_rows
        cdef BlockSpace space
        cdef Block* block = block_in(&space)
        cdef const void* rows[CHUNK]
        # Rows whose slopes are known and that are not yet in the gradient: fewer than a tile from the block
        # before, and at most one block.
        cdef const void* pending[2 * CHUNK]
        cdef double pending_slopes[2 * CHUNK]          # in the computing dtype
        cdef Py_ssize_t n_pending = 0, block_rows, start, n, good, at, m, fused, left
        cdef hf_fp_state caller = hf_fp_enter()
        cdef int failed = 0
        block.exponent = work.exponent
        block_rows = BLOCK_BYTES // max(d * self.itemsize, <Py_ssize_t>1) // tile_rows * tile_rows
        block_rows = min(max(block_rows, tile_rows), <Py_ssize_t>CHUNK)
        if self.data == NULL:
            block_rows = self.tile_capacity
        start = first
        while start < end and not failed:
            n = min(CHUNK - start % CHUNK, end - start)
            good = targets.load_rows(block, start, n, &task.fault)
            if targets.load(block, self.is_f64, start, good, &task.fault) != 0 or good < n:
                failed = -1
                break
            at = -block_rows
            while at + block_rows < n:
                at += block_rows
                m = min(block_rows, n - at)
                if self.data == NULL:
                    # The tile is about to be overwritten: what waits in it goes into the gradient first.
                    real.accumulate_rows(pending, pending_slopes, n_pending, d, task.block_grad)
                    n_pending = 0
                    if self.fill_tile(targets, scratch, block, at, m, &task.fault) != 0:
                        failed = -1
                        break
                self.point_at_rows(targets, scratch, block, at, m, rows)

                # Score this block; as far as rows are waiting, accumulate them in the same loop.
                fused = min(n_pending, m) // tile_rows * tile_rows
                if fused > 0:
                    real.score_accumulate_rows(rows, pending, pending_slopes, fused, d, work.coef, work.intercept,
                                               <char*>block.score_buffer + at * self.itemsize, task.block_grad)
                if fused < m:
                    real.score_rows(rows + fused, m - fused, d, work.coef, work.intercept,
                                    <char*>block.score_buffer + (at + fused) * self.itemsize)
                left = n_pending - fused
                if self.is_f64 == 0 and at == 0 or left >= tile_rows:
                    real.accumulate_rows(pending + fused, <char*>pending_slopes + fused * self.itemsize, left, d,
                                         task.block_grad)
                    left = 0
                elif left > 0:
                    memmove(pending, pending + fused, left * sizeof(void*))
                    memmove(pending_slopes, <char*>pending_slopes + fused * self.itemsize, left * self.itemsize)
                n_pending = left
                if self.is_f64 == 0 and start % CHUNK == 0 and at == 0 and start > task.first and work.want & SLOPE:
                    real.flush(task.block_grad, d, task.grad)

                # Slopes of this block; its active rows join the queue.
                if work.loss == NULL:
                    continue
                if work.direction == NULL:
                    find_slopes(work.loss, block, self.is_f64, at, m, work.want)
                else:
                    real.score_rows(rows, m, d, work.direction, work.direction_intercept,
                                    block.values + at * self.itemsize)
                    find_curved_slopes(work.loss, block, self.is_f64, at, m)
                if work.want & SLOPE:
                    n_pending = queue_active(block, rows, self.is_f64, at, m, pending, pending_slopes, n_pending)
            if work.loss != NULL and not failed:
                add_sums(block, self.is_f64, n, start - task.first, work.want, &task.sums)
            if work.scores_out != NULL and not failed:
                memcpy(work.scores_out + start * self.itemsize, block.score_buffer, n * self.itemsize)
            start += n
        if not failed:
            real.accumulate_rows(pending, pending_slopes, n_pending, d, task.block_grad)
            if self.is_f64 == 0 and end == task.end and work.want & SLOPE:
                real.flush(task.block_grad, d, task.grad)
        hf_fp_leave(caller)
        return failed

    cdef Py_ssize_t class_task_end(self, Targets targets, Py_ssize_t first) noexcept nogil:
        return min(max(self.task_end(targets, first), first + CLASS_TASK_ROWS), targets.n_rows)

    cdef Py_ssize_t class_block_rows(self, Py_ssize_t n_classes) noexcept nogil:
        cdef Py_ssize_t n = CLASS_BLOCK_BYTES // max(self.n_features * self.itemsize, <Py_ssize_t>1)
        n = max(min(n, <Py_ssize_t>CHUNK) // PANEL_ROWS * PANEL_ROWS, <Py_ssize_t>PANEL_ROWS)
        if n * n_classes * self.itemsize > SCORES_BYTES:
            n = max(SCORES_BYTES // (n_classes * self.itemsize), <Py_ssize_t>1)
            n = n // PANEL_ROWS * PANEL_ROWS if n > PANEL_ROWS else n
        return n

    cdef Py_ssize_t class_slice_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end,
                                    Py_ssize_t block_rows) noexcept nogil:
        # Whole blocks, whose float32 sums are parts of the gradient.
        cdef Py_ssize_t n = SLICE_ELEMENTS // max(self.n_features, <Py_ssize_t>1) // block_rows * block_rows
        return min(first + max(n, block_rows), end)

    cdef int reserve_rows(self, Scratch scratch, Py_ssize_t block_rows) except -1:
        # Pointers to the block's rows, and to those of one class.
        scratch.get(ROWS, 2 * block_rows * sizeof(void*))
        if self.data == NULL:
            self.reserve_tile(scratch, block_rows)
        return 0

    cdef ClassCoef pack_classes(self, Targets targets, const void* coef, int coef_is_f64, Py_ssize_t n_classes,
                                Scratch scratch, int which) except *:
        cdef Py_ssize_t lanes = HF_LINE_BYTES // self.itemsize, n_panels = (n_classes + lanes - 1) // lanes
        cdef void* panels = scratch.get(which, n_panels * HF_LINE_BYTES * self.n_features)
        table.real[self.is_f64].pack_panels[coef_is_f64](coef, n_classes, self.n_features, panels)
        return ClassCoef(panels, NULL, n_classes, 0, self.is_f64, True)

    cdef int open_rows(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t first, Py_ssize_t n,
                       Fault* fault) noexcept nogil:
        if self.data == NULL and self.fill_tile(targets, scratch, block, 0, n, fault) != 0:
            return -1
        self.point_at_rows(targets, scratch, block, 0, n, <const void**>scratch.buffers[ROWS])
        return 0

    cdef int score_classes(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t n, ClassCoef* coef,
                           void* scores, Fault* fault) noexcept nogil:
        cdef Py_ssize_t ahead = 0
        if self.data != NULL and block.row_index == NULL:
            ahead = PANEL_ROWS * self.row_stride * targets.row_step
        table.real[self.is_f64].score_classes(<const void* const*>scratch.buffers[ROWS], n, self.n_features,
                                               coef.data, coef.n_classes, coef.biases, ahead, scores)
        return 0

    cdef int accumulate_classes(self, Scratch scratch, Py_ssize_t n, Py_ssize_t n_classes, const void* slopes,
                                hf_slots* slots, double* grad, Fault* fault) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef const void** rows = <const void**>scratch.buffers[ROWS]
        cdef const void** chosen = rows + n
        # Reserved by the pass: slopes by class, their rows, and where each class begins.
        cdef char* grouped = <char*>scratch.buffers[GROUPS]
        cdef int32_t* row_of = <int32_t*>(grouped + n * n_classes * self.itemsize)
        cdef int32_t* starts = row_of + n * n_classes
        cdef int32_t* found = starts + n_classes + 1
        cdef Py_ssize_t k, i, m
        real.group_by_class(slopes, n, n_classes, starts, row_of, grouped, <int32_t(*)[2]>found)
        for k in range(n_classes):
            m = starts[k + 1] - starts[k]
            if m == 0:
                continue
            for i in range(m):
                chosen[i] = rows[row_of[starts[k] + i]]
            real.accumulate_class(chosen, grouped + starts[k] * self.itemsize, m, self.n_features,
                                  grad + k * self.n_features)
        return 0

    cdef void finish_classes(self, const double* total, Py_ssize_t n_classes, double divisor, double alpha,
                             int coef_is_f64, const void* coef, void* out) noexcept nogil:
        table.finish_grad[coef_is_f64](total, n_classes * self.n_features, divisor, alpha, coef, out)

    cdef void point_at_rows(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t at, Py_ssize_t n,
                            const void** rows) noexcept nogil:
        """Where n rows from place `at` of the block lie: in X, or in the tile that was filled with them."""
        cdef const char* first = <const char*>scratch.buffers[TILE]
        cdef Py_ssize_t stride = self.n_features * self.itemsize, i
        if self.data != NULL and block.row_index != NULL:
            for i in range(n):
                rows[i] = self.data + block.rows[at + i] * self.row_stride
            return
        if self.data != NULL:
            first = self.data + (block.first_row + at * targets.row_step) * self.row_stride
            stride = targets.row_step * self.row_stride
        for i in range(n):
            rows[i] = first + i * stride

    cdef int fill_tile(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t at, Py_ssize_t n,
                       Fault* fault) noexcept nogil:
        """Bring n rows of X from place `at` of the block into the tile; 0, or -1 with the error noted."""
        cdef const char* X = <const char*>cnp.PyArray_DATA(<cnp.ndarray>self.X)
        cdef char* tile = <char*>scratch.buffers[TILE]
        cdef char* columns
        cdef Py_ssize_t d = self.n_features, first = 0, i, row
        if self.dtype < 0:
            return self.cast_rows(targets, scratch, block, at, n, fault)
        convert = table.real[self.is_f64].convert[self.dtype]
        if block.row_index == NULL:
            first = block.first_row + at * targets.row_step
        if block.row_index == NULL and self.has_close_rows:
            columns = <char*>scratch.buffers[COLUMNS]
            for i in range(d):
                convert(X + first * self.row_stride + i * self.column_stride, targets.row_step * self.row_stride, n,
                        columns + i * n * self.itemsize)
            table.real[self.is_f64].transpose_columns(columns, n * self.itemsize, NULL, 1, n, d, False, tile)
        else:
            for i in range(n):
                row = block.rows[at + i] if block.row_index != NULL else first + i * targets.row_step
                convert(X + row * self.row_stride, self.column_stride, d, tile + i * d * self.itemsize)
        return 0

    cdef int cast_rows(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t at, Py_ssize_t n,
                       Fault* fault) noexcept with gil:
        """`fill_tile` by NumPy, for X of a dtype that the loops do not know."""
        cdef Py_ssize_t i, first
        cdef char* tile = <char*>scratch.buffers[TILE]
        try:
            if block.row_index != NULL:
                source = self.X[[block.rows[at + i] for i in range(n)]]
            else:
                first = block.first_row + at * targets.row_step
                source = [self.X[first + i * targets.row_step] for i in range(n)] if targets.row_step < 0 else (
                    self.X[first:first + n * targets.row_step:targets.row_step])
            with default_environment():
                cast = np.ascontiguousarray(source, dtype=np.float64 if self.is_f64 else np.float32)
            memcpy(tile, cnp.PyArray_DATA(<cnp.ndarray>cast), n * self.n_features * self.itemsize)
            return 0
        except BaseException as error:
            keep_error(fault, error)
        return -1   # not inside: Cython lets go of a traceback there that need not exist


cdef Py_ssize_t queue_active(Block* block, const void** rows, int is_f64, Py_ssize_t at, Py_ssize_t n,
                             const void** pending, void* pending_slopes, Py_ssize_t n_pending) noexcept nogil:
    """Append the rows whose slope is not zero, so that the others are never multiplied with anything."""
    cdef Py_ssize_t i
    cdef const double* slopes_f64 = <const double*>block.slope_buffer + at
    cdef const float* slopes_f32 = <const float*>block.slope_buffer + at
    for i in range(n):
        pending[n_pending] = rows[i]
        if is_f64:
            (<double*>pending_slopes)[n_pending] = slopes_f64[i]
            n_pending += slopes_f64[i] != 0
        else:
            (<float*>pending_slopes)[n_pending] = slopes_f32[i]
            n_pending += slopes_f32[i] != 0
    return n_pending
