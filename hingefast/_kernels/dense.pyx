"""Dense X: score a block of rows, and accumulate it while the next is scored.

Rows are worked on in chunks of 64 (in which float32 gradients are summed before they are widened) and, within those, in
blocks of as many rows as a second-level cache holds comfortably. Rows with a slope wait
in a queue; the loops that score the next block add them to the gradient, as a rule in the same sweep over the columns
(score.h), so that X comes from memory once and both halves of the arithmetic overlap with reading it.

Narrow rows, of up to sixteen numbers, have no queue: all that are loaded together are a block, which is accumulated
from the first-level cache (even_rows.h).

K classes have no queue: a block of their scores costs K products a number of X, and X stays in a cache meanwhile.
"""
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memmove, memset

cimport numpy as cnp

import numpy as np

from hingefast._kernels.table import default_environment

from hingefast._kernels.labels cimport Targets, convertible_type
from hingefast._kernels.layout cimport (
    OF_COLUMNS, OF_ROWS, SLICE, SLICE_PRODUCTS, TASK, Coef, Layout, Point, Rows, round_coef,
)
from hingefast._kernels.loaded cimport MAX_LOAD, SLOPE, Loaded, keep_error, row_at
from hingefast._kernels.table cimport HF_FLOAT32, HF_FLOAT64, HF_LINE_BYTES, hf_real_loops, table
from hingefast._kernels.worker cimport BLOCK_GRAD, COLUMNS, GROUPS, PANELS, ROWS, TILE, Worker

cnp.import_array()

cdef enum:
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
    # Bytes of a gradient for K classes of which every task has its own.
    MAX_GRADIENT = 67108864


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
        self.max_class_gradient = MAX_GRADIENT
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
        self.needs_numpy = self.data == NULL and self.dtype < 0
        self.block_rows = BLOCK_BYTES // max(self.n_features * self.itemsize, <Py_ssize_t>1)
        self.block_rows = max(self.block_rows // table.tile_rows, <Py_ssize_t>1) * table.tile_rows
        self.block_rows = min(self.block_rows, <Py_ssize_t>CHUNK) if self.data != NULL else self.tile_capacity
        self.is_narrow = (self.data != NULL and 0 < self.n_features <= NARROW
                          and self.row_stride >= self.n_features * self.itemsize
                          and self.row_stride % self.itemsize == 0)

    cdef Py_ssize_t cut(self, Targets targets, Py_ssize_t first, Py_ssize_t end, Py_ssize_t width,
                        int unit) noexcept nogil:
        cdef Py_ssize_t d = max(self.n_features, <Py_ssize_t>1), n
        if unit == TASK:
            n = min(max(TASK_ELEMENTS // (CHUNK * d), <Py_ssize_t>1) * CHUNK, <Py_ssize_t>MAX_TASK_ROWS)
            n = n if width == 1 else max(n, <Py_ssize_t>CLASS_TASK_ROWS)
        elif unit == SLICE and width == 1:
            n = SLICE_ELEMENTS // d
            n = n // CHUNK * CHUNK if n >= CHUNK else max(n // 4 * 4, <Py_ssize_t>4)
        elif unit == SLICE:   # whole blocks, whose float32 sums are parts of the gradient
            n = min(SLICE_ELEMENTS // d, SLICE_PRODUCTS // (d * width))
            n = max(n // self.class_block_rows(width), <Py_ssize_t>1) * self.class_block_rows(width)
        else:
            n = MAX_LOAD - first % MAX_LOAD if width == 1 else self.class_block_rows(width)
        return min(first + n, end)

    cdef Py_ssize_t class_block_rows(self, Py_ssize_t width) noexcept nogil:
        """Rows of a block of K classes; depends on the shape alone, because float32 gradients are summed over it."""
        cdef Py_ssize_t n = CLASS_BLOCK_BYTES // max(self.n_features * self.itemsize, <Py_ssize_t>1)
        n = max(min(n, <Py_ssize_t>CHUNK) // PANEL_ROWS * PANEL_ROWS, <Py_ssize_t>PANEL_ROWS)
        if n * width * self.itemsize > SCORES_BYTES:
            n = max(SCORES_BYTES // (width * self.itemsize), <Py_ssize_t>1)
            n = n // PANEL_ROWS * PANEL_ROWS if n > PANEL_ROWS else n
        return n

    cdef int pack(self, Worker worker, Coef* coef, int which) except -1:
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Py_ssize_t lanes = HF_LINE_BYTES // self.itemsize, n_panels = (coef.given.width + lanes - 1) // lanes
        cdef void* copy
        if coef.given.width > 1:
            copy = worker.get(which, n_panels * HF_LINE_BYTES * self.n_features)
            real.pack_panels[coef.given.is_f64](coef.given.coef, coef.given.width, self.n_features, copy)
            coef.data = copy
            return 0
        return round_coef(self, worker, coef, which)

    cdef int reserve(self, Worker worker) except -1:
        cdef Queue* queue = <Queue*>worker.get(ROWS, sizeof(Queue))
        cdef Py_ssize_t width = worker.width
        cdef size_t size
        worker.block_rows = (self.class_block_rows(width) if width > 1 else MAX_LOAD if self.is_narrow
                             else self.block_rows)
        queue.n_pending = 0
        queue.is_open = False
        queue.grad = NULL
        queue.narrow = NULL
        queue.n_in_panel = 0
        if width == 1 and not self.is_f64 and worker.want & SLOPE:
            queue.grad = worker.get(BLOCK_GRAD, self.n_features * self.itemsize)
            memset(queue.grad, 0, self.n_features * self.itemsize)
        if width > 1 and worker.want & SLOPE:
            # Slopes and rows by class, where each class begins, and as many pairs of row and class.
            size = worker.block_rows * width * self.itemsize
            worker.get(GROUPS, size + (3 * worker.block_rows + 4) * width * <size_t>4 + <size_t>64)
        if self.data == NULL:
            self.reserve_tile(worker, worker.block_rows)
        return 0

    cdef int reserve_tile(self, Worker worker, Py_ssize_t n) except -1:
        """Memory for `fill_tile` with n rows."""
        worker.get(TILE, n * self.n_features * self.itemsize)
        if self.has_close_rows:
            worker.get(COLUMNS, n * self.n_features * self.itemsize)
        return 0

    cdef int open(self, Worker worker) noexcept nogil:
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        worker.n = min(worker.n, worker.block_rows)
        queue.narrow = NULL
        if self.is_narrow and worker.width == 1 and worker.loaded.row_index == NULL and worker.loaded.row_step > 0:
            queue.narrow = self.data + row_at(worker.loaded, worker.at) * self.row_stride
            return 0
        worker.n = min(worker.n, self.block_rows) if worker.width == 1 else worker.n
        if worker.width == 1:   # a block lies in one chunk
            worker.n = min(worker.n, CHUNK - (worker.start + worker.at) % CHUNK)
        if self.data == NULL:
            self.accumulate(worker, queue.n_pending)   # what waits in the tile, which is about to be overwritten
            if self.fill_tile(worker) != 0:
                return -1
        self.point_at_rows(worker, queue.rows)
        return 0

    cdef void point_at_rows(self, Worker worker, const void** rows) noexcept nogil:
        """Where the block's rows lie: in X, or in the tile that was filled with them."""
        cdef Loaded* loaded = worker.loaded
        cdef const char* first = <const char*>worker.buffers[TILE].start
        cdef Py_ssize_t stride = self.n_features * self.itemsize, i
        if self.data != NULL and loaded.row_index != NULL:
            for i in range(worker.n):
                rows[i] = self.data + loaded.rows[worker.at + i] * self.row_stride
            return
        if self.data != NULL:
            first = self.data + row_at(loaded, worker.at) * self.row_stride
            stride = loaded.row_step * self.row_stride
        for i in range(worker.n):
            rows[i] = first + i * stride

    cdef int point(self, Worker worker, Rows* rows) noexcept nogil:
        rows.dense, rows.starts = (<Queue*>worker.buffers[ROWS].start).rows, NULL
        rows.n_numbers = worker.n * self.n_features
        return 0

    cdef int score(self, Worker worker, Coef* coef, void** scores) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        cdef Py_ssize_t d = self.n_features, n = worker.n, ahead = 0, fused, left, stride
        cdef bint begins_chunk
        if coef.given.width > 1:
            if self.data != NULL and worker.loaded.row_index == NULL:
                ahead = PANEL_ROWS * self.row_stride * worker.loaded.row_step
            real.score_classes(queue.rows, n, d, coef.data, coef.given.width, coef.biases, ahead, scores[0])
            return 0
        if queue.narrow != NULL:
            stride = worker.loaded.row_step * self.row_stride // self.itemsize
            real.score_even_rows(queue.narrow, stride, n, d, (n - 1) * stride + d, coef.data, coef.intercept, scores[0])
            return 0
        # As far as rows are waiting, they are accumulated in the loop that scores others.
        fused = min(queue.n_pending, n) // table.tile_rows * table.tile_rows
        if fused > 0:
            real.score_accumulate_rows(queue.rows, queue.pending, queue.pending_slopes, fused, d, coef.data,
                                       coef.intercept, scores[0], queue.grad if queue.grad != NULL else worker.grad)
        if fused < n:
            real.score_rows(queue.rows + fused, n - fused, d, coef.data, coef.intercept,
                            <char*>scores[0] + fused * self.itemsize)
        left = queue.n_pending - fused
        if fused > 0:
            memmove(queue.pending, queue.pending + fused, left * sizeof(void*))
            memmove(queue.pending_slopes, <char*>queue.pending_slopes + fused * self.itemsize, left * self.itemsize)
            queue.n_pending = left
        begins_chunk = (worker.start + worker.at) % CHUNK == 0
        if left >= table.tile_rows or not self.is_f64 and begins_chunk:
            self.accumulate(worker, left)
        if begins_chunk:
            self.widen(worker)
        return 0

    cdef void accumulate(self, Worker worker, Py_ssize_t n) noexcept nogil:
        """Add all n rows that are waiting to the gradient."""
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        if n > 0:
            table.real[self.is_f64].accumulate_rows(queue.pending, queue.pending_slopes, n, self.n_features,
                                                    queue.grad if queue.grad != NULL else worker.grad)
        queue.n_pending = 0

    cdef void widen(self, Worker worker) noexcept nogil:
        """Add the float32 sums of a chunk, if there are any, to the gradient, and begin them anew."""
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        if queue.is_open:
            table.real[self.is_f64].flush(queue.grad, self.n_features, worker.grad)
            queue.is_open = False

    cdef int add(self, Worker worker, const void* slopes) noexcept nogil:
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        cdef Py_ssize_t stride
        if worker.width > 1:
            self.add_classes(worker, slopes)
            return 0
        if queue.narrow != NULL:   # a block begins where a chunk does
            stride = worker.loaded.row_step * self.row_stride // self.itemsize
            table.real[self.is_f64].accumulate_narrow_rows(
                queue.narrow, stride, slopes, worker.n, self.n_features, (worker.n - 1) * stride + self.n_features,
                CHUNK, worker.grad)
            return 0
        # Rows without a slope do not join the queue, and are never multiplied with anything.
        if self.is_f64:
            queue.n_pending = queue_f64(queue, slopes, worker.n)
        else:
            queue.n_pending = queue_f32(queue, slopes, worker.n)
        queue.is_open = queue.grad != NULL
        return 0

    cdef void drain(self, Worker worker) noexcept nogil:
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        cdef Py_ssize_t reached = worker.start + worker.at
        self.accumulate(worker, queue.n_pending)
        if reached == worker.end:
            self.multiply_panel(worker, worker.grad)
        if reached % CHUNK == 0 or reached == worker.end:
            self.widen(worker)

    cdef int squares(self, Worker worker, int of, const double* weights, double* out) noexcept nogil:
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        cdef Py_ssize_t stride = worker.loaded.row_step * self.row_stride, at = 0, n, i
        cdef const double* of_these
        while at < worker.n:   # of narrow rows, so many pointers at a time as there is room for
            n = min(worker.n - at, <Py_ssize_t>CHUNK)
            of_these = weights + at if weights != NULL else NULL
            for i in range(n if queue.narrow != NULL else 0):
                queue.rows[i] = queue.narrow + (at + i) * stride
            if of == OF_ROWS:
                table.real[self.is_f64].square_rows(queue.rows, n, self.n_features, out + at)
            elif of == OF_COLUMNS:
                table.real[self.is_f64].square_columns(queue.rows, of_these, n, self.n_features, out)
            elif self.add_products(worker, of_these, n, out) != 0:
                return -1
            at += n
        return 0

    cdef int add_products(self, Worker worker, const double* weights, Py_ssize_t n, double* out) noexcept nogil:
        """OF_PAIRS of n rows, at most CHUNK; of wide rows when a panel is full of them, and at the end of the task."""
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        cdef Py_ssize_t d = self.n_features, lanes = HF_LINE_BYTES // <Py_ssize_t>sizeof(double)
        cdef Py_ssize_t stride = (d + lanes - 1) // lanes * lanes, i, j, k, at
        cdef size_t size = (2 * PANEL_ROWS_OF_PAIRS + 1) * max(stride, lanes) * sizeof(double)
        cdef double* panel
        cdef double* weighted
        cdef double* row
        cdef double weight
        if worker.buffers[PANELS].start == NULL or worker.buffers[PANELS].size < size:
            if grow_panels(worker, size) != 0:
                return -1
        panel = <double*>worker.buffers[PANELS].start
        convert = table.real[1].convert[HF_FLOAT64 if self.is_f64 else HF_FLOAT32]
        if d <= lanes:
            if queue.narrow != NULL and self.row_stride == d * self.itemsize and worker.loaded.row_step == 1:
                convert(queue.rows[0], self.itemsize, n * d, panel)
            else:
                for i in range(n):
                    convert(queue.rows[i], self.itemsize, d, panel + i * d)
            memset(panel + n * d, 0, lanes * sizeof(double))
            table.product_narrow(panel, weights, n, d, out)
            return 0
        weighted = panel + PANEL_ROWS_OF_PAIRS * stride
        row = weighted + PANEL_ROWS_OF_PAIRS * stride
        for i in range(n):
            weight = weights[i] if weights != NULL else 1
            if weight == 0:
                continue
            convert(queue.rows[i], self.itemsize, d, row)
            memset(row + d, 0, (stride - d) * sizeof(double))
            j = 0
            while j < stride:   # line by line, so that a line of all rows lies together
                at = j * PANEL_ROWS_OF_PAIRS + queue.n_in_panel * lanes
                memcpy(panel + at, row + j, HF_LINE_BYTES)
                for k in range(lanes):
                    weighted[at + k] = weight * row[j + k]
                j += lanes
            queue.n_in_panel += 1
            if queue.n_in_panel == PANEL_ROWS_OF_PAIRS:
                self.multiply_panel(worker, out)
        return 0

    cdef void multiply_panel(self, Worker worker, double* out) noexcept nogil:
        """Add the products of the rows in the panel."""
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        cdef Py_ssize_t lanes = HF_LINE_BYTES // <Py_ssize_t>sizeof(double)
        cdef Py_ssize_t stride = (self.n_features + lanes - 1) // lanes * lanes
        cdef double* panel = <double*>worker.buffers[PANELS].start
        if queue.n_in_panel > 0:
            table.product_columns(panel, panel + PANEL_ROWS_OF_PAIRS * stride, queue.n_in_panel, PANEL_ROWS_OF_PAIRS,
                                  self.n_features, out)
        queue.n_in_panel = 0

    cdef void add_classes(self, Worker worker, const void* slopes) noexcept nogil:
        """`add` for K classes: class by class, so that the gradient of each stays in a cache."""
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Queue* queue = <Queue*>worker.buffers[ROWS].start
        cdef const void** chosen = queue.pending
        cdef Py_ssize_t n = worker.n, width = worker.width, k, i, m
        # Slopes by class, their rows, and where each class begins.
        cdef char* grouped = <char*>worker.buffers[GROUPS].start
        cdef int32_t* row_of = <int32_t*>(grouped + n * width * self.itemsize)
        cdef int32_t* starts = row_of + n * width
        cdef int32_t* found = starts + width + 1
        real.group_by_class(slopes, n, width, starts, row_of, grouped, <int32_t(*)[2]>found)
        for k in range(width):
            m = starts[k + 1] - starts[k]
            if m == 0:
                continue
            for i in range(m):
                chosen[i] = queue.rows[row_of[starts[k] + i]]
            real.accumulate_class(chosen, grouped + starts[k] * self.itemsize, m, self.n_features,
                                  worker.grad + k * self.n_features)

    cdef void finish(self, const double* total, Point* at, double divisor, double alpha, void* out) noexcept nogil:
        table.finish_grad[at.is_f64](total, at.width * self.n_features, divisor, alpha, at.coef, out)

    cdef int fill_tile(self, Worker worker) noexcept nogil:
        """Bring the block's rows of X into the tile; 0, or -1 with the error noted."""
        cdef const char* X = <const char*>cnp.PyArray_DATA(<cnp.ndarray>self.X)
        cdef char* tile = <char*>worker.buffers[TILE].start
        cdef char* columns
        cdef Loaded* loaded = worker.loaded
        cdef Py_ssize_t d = self.n_features, n = worker.n, i
        if self.dtype < 0:
            return self.cast_rows(worker)
        convert = table.real[self.is_f64].convert[self.dtype]
        if loaded.row_index == NULL and self.has_close_rows:
            columns = <char*>worker.buffers[COLUMNS].start
            X += row_at(loaded, worker.at) * self.row_stride
            for i in range(d):
                convert(X + i * self.column_stride, loaded.row_step * self.row_stride, n,
                        columns + i * n * self.itemsize)
            table.real[self.is_f64].transpose_columns(columns, n * self.itemsize, NULL, 1, n, d, False, tile)
        else:
            for i in range(n):
                convert(X + row_at(loaded, worker.at + i) * self.row_stride, self.column_stride, d,
                        tile + i * d * self.itemsize)
        return 0

    cdef int cast_rows(self, Worker worker) noexcept with gil:
        """`fill_tile` by NumPy, for X of a dtype that the loops do not know."""
        cdef Loaded* loaded = worker.loaded
        cdef Py_ssize_t n = worker.n, at = worker.at, i
        try:
            if loaded.row_index != NULL:
                source = self.X[[loaded.rows[at + i] for i in range(n)]]
            elif loaded.row_step < 0:
                source = [self.X[row_at(loaded, at + i)] for i in range(n)]
            else:
                source = self.X[row_at(loaded, at):row_at(loaded, at + n):loaded.row_step]
            with default_environment():
                cast = np.ascontiguousarray(source, dtype=np.float64 if self.is_f64 else np.float32)
            memcpy(worker.buffers[TILE].start, cnp.PyArray_DATA(<cnp.ndarray>cast),
                   n * self.n_features * self.itemsize)
            return 0
        except BaseException as error:
            keep_error(&worker.fault, error)
        return -1   # not inside: Cython lets go of a traceback there that need not exist


cdef int grow_panels(Worker worker, size_t size) noexcept with gil:
    """Memory for `add_products`; 0, or -1 with the error noted."""
    try:
        worker.get(PANELS, size)
        return 0
    except BaseException as error:
        keep_error(&worker.fault, error)
    return -1   # not inside: Cython lets go of a traceback there that need not exist


cdef Py_ssize_t queue_f64(Queue* queue, const void* slopes, Py_ssize_t n) noexcept nogil:
    """Append those of n rows whose slope is not zero; how many wait then."""
    cdef const double* slope = <const double*>slopes
    cdef Py_ssize_t n_pending = queue.n_pending, i
    for i in range(n):
        queue.pending[n_pending] = queue.rows[i]
        queue.pending_slopes[n_pending] = slope[i]
        n_pending += slope[i] != 0
    return n_pending


cdef Py_ssize_t queue_f32(Queue* queue, const void* slopes, Py_ssize_t n) noexcept nogil:
    """The same for float32."""
    cdef const float* slope = <const float*>slopes
    cdef float* pending_slopes = <float*>queue.pending_slopes
    cdef Py_ssize_t n_pending = queue.n_pending, i
    for i in range(n):
        queue.pending[n_pending] = queue.rows[i]
        pending_slopes[n_pending] = slope[i]
        n_pending += slope[i] != 0
    return n_pending
