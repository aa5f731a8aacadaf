"""Scores that the caller has, as a layout: nothing to score, and what `add` gets are slopes to write out.

Where rows have no weights, nothing is cast and nobody asks for the value of a row, a margin loss goes over everything
in one loop (`FusedPass`, entry.pyx).
"""
from libc.string cimport memcpy

cimport numpy as cnp

import numpy as np

from hingefast._kernels.table import default_environment

from hingefast._kernels.labels cimport Targets, convertible_type
from hingefast._kernels.layout cimport LOAD, TASK, Coef, Layout
from hingefast._kernels.loaded cimport MAX_LOAD, Loaded, keep_error
from hingefast._kernels.table cimport HF_LINE_BYTES, hf_real_loops, table
from hingefast._kernels.worker cimport SLOPES, Worker

cnp.import_array()

cdef enum:
    # Rows of a task: small enough to share out, large enough that handing it out costs nothing; K classes: numbers.
    TASK_ROWS = 65536
    TASK_NUMBERS = 262144
    # Gradients of more bytes are written past the caches: four times a second-level cache of 2 to 4 MB.
    # Below that whoever reads the gradient next finds it in a cache.
    STREAM_BYTES = 12582912
    # K classes. Bytes of the scores of a block: they and the slopes stay in half a first-level cache of 32 KiB, while
    # scores stream through the other half; fewer pay more calls (python -m benchmarks --only multiclass/scores).
    BLOCK_BYTES = 8192
    # The rows of a task are a multiple of those that have so many bytes of scores. Part of the bits, else of no weight.
    TASK_BLOCK_BYTES = 4096
    # Rows that the loops transpose together where there are fewer classes (arrange.h): blocks hold no part of them.
    LANES = 16
    # Rows whose labels are loaded together, if a block does not have more.
    LOADED_ROWS = 256
    # Bytes of a row of scores so long that s_c had better be asked for before the row is begun: shorter ones come
    # with the rows before them. Not tuned.
    LONG_ROW = 1024


cdef class Given(Layout):
    """Scores that the caller has.

    Parameters
    ----------
    scores : ndarray of shape (n_rows,), or (n_rows, K) with K >= 2
        Any real dtype, any strides. Whoever holds the array may reshape it at any later moment: it is described here.
    is_f64 : bool
        The computing dtype.
    """

    def __cinit__(self, cnp.ndarray scores, bint is_f64):
        cdef bint is_contiguous = cnp.PyArray_ISCARRAY_RO(scores)
        cdef int number = cnp.PyArray_TYPE(scores)
        cdef Py_ssize_t n
        self.scores = scores
        self.is_f64 = is_f64
        self.itemsize = 8 if is_f64 else 4
        self.n_rows = cnp.PyArray_DIM(scores, 0)
        self.width = cnp.PyArray_DIM(scores, 1) if cnp.PyArray_NDIM(scores) == 2 else 1
        self.row_stride = self.column_stride = cnp.PyArray_STRIDE(scores, 0)
        if cnp.PyArray_NDIM(scores) == 2:
            self.column_stride = cnp.PyArray_STRIDE(scores, 1)
        self.factor = 1
        if is_contiguous and number == <int>(cnp.NPY_FLOAT64 if is_f64 else cnp.NPY_FLOAT32):
            self.data = <const char*>cnp.PyArray_DATA(scores)
        else:
            self.dtype = convertible_type(scores)
            self.needs_numpy = self.dtype < 0
        self.task_rows, self.load_rows, self.block_rows = TASK_ROWS, MAX_LOAD, MAX_LOAD
        if self.width > 1:
            self.block_rows = self.rows_in(BLOCK_BYTES)
            n = self.rows_in(TASK_BLOCK_BYTES)
            self.task_rows = max(TASK_NUMBERS // (self.width * n), <Py_ssize_t>1) * n
            self.load_rows = max(LOADED_ROWS // self.block_rows, <Py_ssize_t>1) * self.block_rows

    cdef Py_ssize_t rows_in(self, Py_ssize_t n_bytes) noexcept nogil:
        """Rows of K classes with so many bytes of scores, a block of them."""
        cdef Py_ssize_t n = min(max(n_bytes // (self.width * self.itemsize), <Py_ssize_t>1), <Py_ssize_t>MAX_LOAD)
        return n if self.width >= LANES else n // LANES * LANES   # rows stand in the lanes

    cdef int write_to(self, cnp.ndarray grad, bint are_weighted) except -1:
        """Where `add` writes slopes: contiguous float32 or float64, in the shape of the scores."""
        self.grad = <char*>cnp.PyArray_DATA(grad)
        self.grad_is_f64 = cnp.PyArray_TYPE(grad) == cnp.NPY_FLOAT64
        self.stream = (self.n_rows * self.width * self.itemsize > STREAM_BYTES and self.grad_is_f64 == self.is_f64)
        # K classes: only where they are cast, and rounded once there.
        self.weigh_later = self.width == 1 or self.grad_is_f64 != self.is_f64 and are_weighted
        return 0

    cdef Py_ssize_t cut(self, Targets targets, Py_ssize_t first, Py_ssize_t end, Py_ssize_t width,
                        int unit) noexcept nogil:
        cdef Py_ssize_t n = self.load_rows
        if unit == TASK:
            n = self.task_rows
        elif unit != LOAD:
            return end
        elif width == 1 and self.stream and first % TASK_ROWS == 0:
            # From the next block on, blocks of the gradient begin at a cache line: no line is written twice.
            n -= <Py_ssize_t>((<size_t>self.grad + first * self.itemsize) % HF_LINE_BYTES) // self.itemsize
        return min(first + n, end)

    cdef Py_ssize_t grad_size(self, Py_ssize_t width) noexcept nogil:
        return -1   # none: slopes are all

    cdef int reserve(self, Worker worker) except -1:
        worker.block_rows = self.block_rows
        if self.width > 1:   # with room for what stream_piece leaves
            worker.get(SLOPES, self.block_rows * self.width * self.itemsize + 2 * HF_LINE_BYTES)
        return 0

    cdef int open(self, Worker worker) noexcept nogil:
        cdef Py_ssize_t size = self.width * self.itemsize, place = worker.start + worker.at
        if worker.at == 0 and self.data != NULL and self.width > 1 and size >= LONG_ROW:
            table.real[self.is_f64].prefetch_own(self.data + place * size, worker.loaded.columns, worker.n, self.width)
        worker.n = min(worker.n, self.block_rows)
        if self.width == 1:
            return 0
        if self.data != NULL and self.width < LANES:   # the next block, while this one is worked on
            table.prefetch(self.data + (place + worker.n) * size, worker.n * size)
        if self.grad != NULL and self.grad_is_f64 == self.is_f64 and not self.stream:   # slopes are written in place
            worker.slopes = self.grad + place * size
        else:
            worker.slopes = <char*>worker.slopes_buffer + HF_LINE_BYTES
        return 0

    cdef int score(self, Worker worker, Coef* coef, void** scores) noexcept nogil:
        if self.data == NULL:
            return self.cast(worker, scores[0])
        scores[0] = <void*>(self.data + (worker.start + worker.at) * self.width * self.itemsize)
        return 0

    cdef int cast(self, Worker worker, void* to) noexcept nogil:
        """Bring the block's scores into the computing dtype; 0, or -1 with the error noted."""
        cdef const char* first = <const char*>cnp.PyArray_DATA(<cnp.ndarray>self.scores)
        cdef Py_ssize_t i
        first += (worker.start + worker.at) * self.row_stride
        if self.dtype < 0:
            return self.cast_by_numpy(worker, to)
        convert = table.real[self.is_f64].convert[self.dtype]
        if self.width == 1:
            convert(first, self.row_stride, worker.n, to)
            return 0
        for i in range(worker.n):
            convert(first + i * self.row_stride, self.column_stride, self.width,
                    <char*>to + i * self.width * self.itemsize)
        return 0

    cdef int cast_by_numpy(self, Worker worker, void* to) noexcept with gil:
        cdef Py_ssize_t at = worker.start + worker.at
        try:
            with default_environment():
                cast = np.ascontiguousarray(self.scores[at:at + worker.n],
                                            dtype=np.float64 if self.is_f64 else np.float32)
            memcpy(to, cnp.PyArray_DATA(<cnp.ndarray>cast), worker.n * self.width * self.itemsize)
            return 0
        except BaseException as error:
            keep_error(&worker.fault, error)
        return -1   # not inside: Cython lets go of a traceback there that need not exist

    cdef int add(self, Worker worker, const void* slopes) noexcept nogil:
        """Write the slopes of the block where they belong."""
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Loaded* loaded = worker.loaded
        cdef Py_ssize_t n = worker.n, place = worker.start + worker.at
        cdef char* to = self.grad + place * self.width * (8 if self.grad_is_f64 else 4)
        if slopes == <const void*>to:
            return 0
        if self.weigh_later and loaded.weights != NULL:
            real.store_weighted[self.grad_is_f64](slopes, loaded.weights + worker.at, self.factor, n, self.width, to)
        elif self.width == 1:
            real.store[self.grad_is_f64](<void*>slopes, n, self.factor, to, self.stream)
        elif self.stream:
            table.stream_piece(<void*>slopes, n * self.width * self.itemsize, place == worker.first,
                               place + n == worker.end, to)
        else:
            real.store[self.grad_is_f64](<void*>slopes, n * self.width, 1, to, False)
        return 0
