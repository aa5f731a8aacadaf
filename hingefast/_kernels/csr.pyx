"""The pass over CSR X: score a block of rows, find its slopes, accumulate its active rows from the cache.

The buffers are never trusted: row pointers are clamped into the stored entries as they are read, column
indices into [0, n_features) each time one is used, so another thread that changes them meanwhile can only
change numbers. A block's faults are looked at in a fixed order: row pointers, column indices, labels,
weights, rows.
"""
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

cimport numpy as cnp

import numpy as np

from hingefast._kernels.table import default_environment

from hingefast._kernels.linear cimport ClassCoef, Layout, LinearPass, Task
from hingefast._kernels.table cimport (
    HF_FAULT_INDEX, HF_FAULT_INDPTR, HF_LINE_BYTES, table, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_pinned,
    hf_real_loops, hf_slots,
)
from hingefast._kernels.scratch cimport GROUPS, INDEX_TILE, ROWS, TILE, Scratch
from hingefast._kernels.slopes cimport (
    MAX_BLOCK, SLOPE, Block, BlockSpace, Fault, Targets, add_sums, block_in, convertible_type, find_curved_slopes,
    find_slopes, keep_error,
)

cnp.import_array()

cdef enum:
    # Entries of a task, and that they are worth eight passes over a gradient at least.
    TASK_ENTRIES = 262144
    ENTRIES_PER_FEATURE = 8
    # Rows of a task: so that a matrix of all but empty rows is shared out too.
    MAX_TASK_ROWS = 65536
    # Entries between two looks for Ctrl-C: a few milliseconds.
    SLICE_ENTRIES = 1048576
    # K classes. Bytes of the scores of a block.
    SCORES_BYTES = 262144
    # Bytes of a gradient that fits a second-level cache beside the data. A task of larger ones would zero and add
    # K*d numbers for the few entries it has: there, tasks take turns at one gradient.
    MAX_CLASS_GRADIENT = 1048576
    # A batch of fewer entries than d/4 reads coef in place: the copy costs d*K writes in order, an entry K reads here
    # and there. And its step sums by slots: those cost a search an entry, a gradient of d*K numbers is zeroed and read;
    # from K = 4 on they are worth it for K/4 times as many.
    ENTRIES_WORTH_PACKING = 4
    CLASSES_WORTH_SLOTS = 4
    # Entries of a block, of at most MAX_BLOCK rows: 1.5 MB. Each change between scoring and accumulating brings other
    # numbers into the second-level cache, which costs more than reading the entries again from the third.
    BLOCK_ENTRIES = 131072


cdef class CSR(Layout):
    """CSR X.

    Parameters
    ----------
    data, indices : ndarray of shape (n_stored,)
        Entries, of any real dtype, and their columns, int32 or int64.
    indptr : ndarray of shape (n_rows + 1,)
        Contiguous native int32 or int64.
    n_features : int
    is_f64 : bool
        Whether scores are computed in float64.
    """

    def __cinit__(self, cnp.ndarray data, cnp.ndarray indices, cnp.ndarray indptr, Py_ssize_t n_features,
                  bint is_f64):
        self.data, self.indices, self.indptr = data, indices, indptr
        self.is_f64 = is_f64
        self.n_rows = cnp.PyArray_DIM(indptr, 0) - 1
        self.n_features = n_features
        self.n_stored = cnp.PyArray_SIZE(data)
        self.wide_indices = cnp.PyArray_ITEMSIZE(indices) == 8
        self.wide_indptr = cnp.PyArray_ITEMSIZE(indptr) == 8
        self.max_task_entries = max(TASK_ENTRIES, ENTRIES_PER_FEATURE * n_features)
        self.indptr_at = cnp.PyArray_DATA(indptr)
        self.dtype = -1
        if cnp.PyArray_ISCARRAY_RO(indices):
            self.indices_at = cnp.PyArray_DATA(indices)
            self.dtype = convertible_type(data)
            if (cnp.PyArray_TYPE(data) == <int>(cnp.NPY_FLOAT64 if is_f64 else cnp.NPY_FLOAT32)
                    and cnp.PyArray_ISCARRAY_RO(data)):
                self.data_at = cnp.PyArray_DATA(data)

    cdef Py_ssize_t length(self, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        """Entries of rows first .. end of X, as far as the row pointers can be believed."""
        cdef int64_t start, stop
        if self.wide_indptr:
            start, stop = (<const int64_t*>self.indptr_at)[first], (<const int64_t*>self.indptr_at)[end]
        else:
            start, stop = (<const int32_t*>self.indptr_at)[first], (<const int32_t*>self.indptr_at)[end]
        start, stop = hf_pinned(start), hf_pinned(stop)   # read once
        if start < 0 or stop < start or stop > self.n_stored:
            return 0
        return stop - start

    cdef Py_ssize_t cut(self, Targets targets, Py_ssize_t first, Py_ssize_t end, Py_ssize_t limit) noexcept nogil:
        """The end of as many rows from `first` as hold at most `limit` entries together; at least one row."""
        cdef Py_ssize_t entries = 0, at, low, high, middle, row
        cdef BlockSpace space
        cdef Block* block = block_in(&space)
        cdef Fault fault
        if targets.row_numbers == NULL and targets.row_step == 1:
            # Row pointers rise: halve the distance. Where they do not, any cut will do, the walk tells.
            low, high = first + 1, end
            while low < high:
                middle = low + (high - low + 1) // 2
                if self.length(targets.first_row + first, targets.first_row + middle) <= limit:
                    low = middle
                else:
                    high = middle - 1
            return low
        at = first
        while at < end:
            if targets.load_rows(block, at, 1, &fault) == 1:
                row = block.rows[0] if block.row_index != NULL else block.first_row
                entries += self.length(row, row + 1)
                if entries > limit and at > first:
                    break
            at += 1
        return at

    def arrays(self):
        """The arrays that X consists of, by name."""
        return {"X.data": self.data, "X.indices": self.indices, "X.indptr": self.indptr}

    cdef Py_ssize_t count(self, Targets targets) noexcept nogil:
        """Entries of the batch, as far as the row pointers can be believed."""
        cdef Py_ssize_t entries = 0, at, row
        cdef BlockSpace space
        cdef Block* block = block_in(&space)
        cdef Fault fault
        if targets.row_numbers == NULL and targets.row_step == 1:
            return self.length(targets.first_row, targets.first_row + targets.n_rows)
        for at in range(targets.n_rows):
            if targets.load_rows(block, at, 1, &fault) == 1:
                row = block.rows[0] if block.row_index != NULL else block.first_row
                entries += self.length(row, row + 1)
        return entries

    cdef bint is_sparse(self) noexcept:
        return True

    cdef Py_ssize_t few_entries(self, Targets targets, Py_ssize_t n_classes) noexcept nogil:
        cdef Py_ssize_t few = self.n_features // ENTRIES_WORTH_PACKING, entries
        few = min(few * max(n_classes, <Py_ssize_t>CLASSES_WORTH_SLOTS) // CLASSES_WORTH_SLOTS, self.max_task_entries)
        # As many rows as entries at most: a look at every row must not cost more than what it saves.
        if targets.n_rows == 0 or targets.n_rows > min(few, <Py_ssize_t>MAX_TASK_ROWS):
            return 0
        entries = self.count(targets)
        return max(entries, <Py_ssize_t>1) if entries <= few else 0

    def first_fault(self, Targets targets):
        """The first fault of the batch's rows: of all row pointers first, then of all column indices."""
        cdef BlockSpace space
        cdef Block* block = block_in(&space)
        cdef Fault fault
        cdef Span span
        cdef Py_ssize_t start = 0, n, good, sound
        found = None
        while start < targets.n_rows:
            PyErr_CheckSignals()
            n = min(<Py_ssize_t>MAX_BLOCK, targets.n_rows - start)
            with nogil:
                good = targets.load_rows(block, start, n, &fault)
                sound = self.load_spans(targets, block, &span, start, good, &fault)
            if sound < good:
                return fault.kind, fault.position, fault.row, (<char*>fault.seen)[:16]
            if found is None and good > 0:
                found = self.index_fault(targets, block, &span, good)
            start += n if good == n else good + 1
        return found

    cdef object index_fault(self, Targets targets, Block* block, Span* span, Py_ssize_t n):
        """The first column index outside among n rows, as `first_fault` tells it, or None."""
        cdef Py_ssize_t i, place
        cdef int64_t k, j
        # Rows that follow one another are looked at together.
        cdef bint together = block.row_index == NULL and targets.row_step == 1
        for i in range(1 if together else n):
            columns = self.indices[span.starts[i]:span.ends[n - 1 if together else i]]
            outside = np.flatnonzero((columns < 0) | (columns >= self.n_features))
            if outside.size:
                k = span.starts[i] + outside[0]
                j = columns[outside[0]]
                place = i
                while k >= span.ends[place] and place < n - 1:
                    place += 1
                row = block.rows[place] if block.row_index != NULL else block.first_row + place * targets.row_step
                return HF_FAULT_INDEX, k, row, (<char*>&j)[:8] + bytes(8)
        return None

    cdef bint needs_numpy(self) noexcept:
        return self.dtype < 0

    cdef Py_ssize_t task_end(self, Targets targets, Py_ssize_t first) noexcept nogil:
        return self.cut(targets, first, min(first + MAX_TASK_ROWS, targets.n_rows), self.max_task_entries)

    cdef Py_ssize_t slice_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        if self.max_task_entries <= SLICE_ENTRIES:
            return end
        return self.cut(targets, first, end, SLICE_ENTRIES)

    cdef Py_ssize_t load_spans(self, Targets targets, Block* block, Span* span, Py_ssize_t first, Py_ssize_t n,
                               Fault* fault) noexcept nogil:
        """Clamped row pointers of n loaded rows; returns the place of the first faulty row, or n."""
        cdef Py_ssize_t at = table.csr_spans[self.wide_indptr](
            self.indptr_at, block.row_index, block.first_row, targets.row_step, n, self.n_stored, span.starts,
            span.ends)
        span.data, span.indices, span.wide = self.data_at, self.indices_at, self.wide_indices
        if at < 0:
            return n
        fault.kind, fault.position = HF_FAULT_INDPTR, first + at
        fault.row = block.rows[at] if block.row_index != NULL else block.first_row + at * targets.row_step
        if self.wide_indptr:
            fault.seen[0] = (<const int64_t*>self.indptr_at)[fault.row]
            fault.seen[1] = (<const int64_t*>self.indptr_at)[fault.row + 1]
        else:
            fault.seen[0] = (<const int32_t*>self.indptr_at)[fault.row]
            fault.seen[1] = (<const int32_t*>self.indptr_at)[fault.row + 1]
        return at

    cdef int walk(self, LinearPass work, Targets targets, Scratch scratch, Task* task, Py_ssize_t first,
                  Py_ssize_t end) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Py_ssize_t itemsize = 8 if self.is_f64 else 4
        cdef BlockSpace space
        cdef Block* block = block_in(&space)
        cdef Span span
        cdef Py_ssize_t start = first, n, good, sound, entries, fault_at, width, i
        cdef hf_fp_state caller = hf_fp_enter()
        cdef int failed = 0
        block.exponent = work.exponent
        while start < end and not failed:
            n = min(<Py_ssize_t>MAX_BLOCK, end - start)
            good = targets.load_rows(block, start, n, &task.fault)
            sound = self.load_spans(targets, block, &span, start, good, &task.fault)
            if sound < good:
                failed = -1
                break
            entries = 0
            for i in range(good):
                entries += span.ends[i] - span.starts[i]
                if entries > BLOCK_ENTRIES and i >= 16:
                    n = good = i // 16 * 16     # whole lines of lanes
                    break
            if self.data_at == NULL and self.fill_tile(scratch, &span, good, &task.fault) != 0:
                failed = -1
                break

            fault_at = -1
            if self.n_features > 0:
                fault_at = real.csr_score_rows[span.wide](span.data, span.indices, span.starts, span.ends, good,
                                                          self.n_features, work.coef, work.intercept,
                                                          block.score_buffer)
            else:
                fault_at = score_empty_rows(&span, real, good, work.intercept, block.score_buffer)
            if fault_at >= 0:
                task.fault.row = (block.rows[fault_at] if block.row_index != NULL
                                  else block.first_row + fault_at * targets.row_step)
                self.find_index(&span, fault_at, &task.fault)
                failed = -1
                break
            if targets.load(block, self.is_f64, start, good, &task.fault) != 0 or good < n:
                failed = -1
                break

            if work.scores_out != NULL:
                memcpy(work.scores_out + start * itemsize, block.score_buffer, n * itemsize)
            if work.loss != NULL:
                if work.direction == NULL:
                    find_slopes(work.loss, block, self.is_f64, 0, n, work.want)
                else:
                    if self.n_features > 0:
                        real.csr_score_rows[span.wide](span.data, span.indices, span.starts, span.ends, n,
                                                       self.n_features, work.direction, work.direction_intercept,
                                                       block.value_buffer)
                    else:
                        score_empty_rows(&span, real, n, work.direction_intercept, block.value_buffer)
                    find_curved_slopes(work.loss, block, self.is_f64, 0, n)
                add_sums(block, self.is_f64, n, start - task.first, work.want, &task.sums)
                width = self.n_features
                if work.is_sparse_step:
                    if self.in_slots(scratch, &span, block.slopes, n, 1, &work.slots, task.grad, &task.fault) != 0:
                        failed = -1
                        break
                    width = work.slots.n
                if work.want & SLOPE and width > 0:
                    real.csr_accumulate_rows[span.wide](span.data, span.indices, span.starts, span.ends,
                                                        block.slopes, n, width, task.grad)
            start += n
        hf_fp_leave(caller)
        return failed

    cdef int open_span(self, Targets targets, Scratch scratch, Block* block, Span* span, Py_ssize_t first,
                       Py_ssize_t n, Fault* fault) noexcept nogil:
        """Spans of n loaded rows, cast into the tile where they must be; 0, or -1."""
        if self.load_spans(targets, block, span, first, n, fault) < n:
            return -1
        if self.data_at == NULL and self.fill_tile(scratch, span, n, fault) != 0:
            return -1
        return 0

    cdef Py_ssize_t class_stride(self, Py_ssize_t n_classes, Py_ssize_t itemsize) noexcept nogil:
        """Numbers a feature where classes stand side by side: no feature straddles more lines than it must."""
        cdef Py_ssize_t lanes = HF_LINE_BYTES // itemsize, stride = 1
        if n_classes > lanes:
            return (n_classes + lanes - 1) // lanes * lanes
        while stride < n_classes:
            stride *= 2
        return stride

    cdef size_t max_class_gradient(self) noexcept nogil:
        return MAX_CLASS_GRADIENT

    cdef Py_ssize_t class_grad_size(self, Py_ssize_t n_classes) noexcept nogil:
        return self.class_stride(n_classes, sizeof(double)) * self.n_features

    cdef Py_ssize_t class_block_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        return self.cut(targets, first, end, BLOCK_ENTRIES)

    cdef Py_ssize_t class_block_rows(self, Py_ssize_t n_classes) noexcept nogil:
        return min(max(SCORES_BYTES // (n_classes * <Py_ssize_t>sizeof(double)), <Py_ssize_t>1), <Py_ssize_t>MAX_BLOCK)

    cdef int reserve_rows(self, Scratch scratch, Py_ssize_t block_rows) except -1:
        scratch.get(ROWS, sizeof(Span))
        return 0

    cdef ClassCoef pack_classes(self, Targets targets, const void* coef, int coef_is_f64, Py_ssize_t n_classes,
                                Scratch scratch, int which) except *:
        cdef Py_ssize_t itemsize = 8 if self.is_f64 else 4, stride = self.class_stride(n_classes, itemsize)
        cdef void* copy
        if self.few_entries(targets, 1) > 0:
            return ClassCoef(coef, NULL, n_classes, 0, coef_is_f64, False)
        copy = scratch.get(which, stride * self.n_features * itemsize + HF_LINE_BYTES)
        table.real[self.is_f64].pack_features[coef_is_f64](coef, n_classes, self.n_features, stride, copy)
        return ClassCoef(copy, NULL, n_classes, stride, self.is_f64, True)

    cdef int open_rows(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t first, Py_ssize_t n,
                       Fault* fault) noexcept nogil:
        return self.open_span(targets, scratch, block, <Span*>scratch.buffers[ROWS], first, n, fault)

    cdef int score_classes(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t n, ClassCoef* coef,
                           void* scores, Fault* fault) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Span* span = <Span*>scratch.buffers[ROWS]
        cdef Py_ssize_t fault_at = -1
        if self.n_features == 0:
            fault_at = score_empty_class_rows(span, real, n, coef, scores)
        elif coef.packed:
            fault_at = real.csr_score_classes[span.wide](
                span.data, span.indices, span.starts, span.ends, n, self.n_features, coef.data, coef.stride,
                coef.n_classes, coef.biases, scores)
        else:
            fault_at = real.csr_score_unpacked[span.wide][coef.is_f64](
                span.data, span.indices, span.starts, span.ends, n, self.n_features, coef.data, coef.n_classes,
                coef.biases, scores)
        if fault_at < 0:
            return 0
        fault.row = block.rows[fault_at] if block.row_index != NULL else block.first_row + fault_at * targets.row_step
        self.find_index(span, fault_at, fault)
        return -1

    cdef int accumulate_classes(self, Scratch scratch, Py_ssize_t n, Py_ssize_t n_classes, const void* slopes,
                                hf_slots* slots, double* grad, Fault* fault) noexcept nogil:
        cdef Span* span = <Span*>scratch.buffers[ROWS]
        cdef double* active_slopes = <double*>scratch.buffers[GROUPS]
        cdef int32_t* active_classes = <int32_t*>(active_slopes + n_classes)
        cdef Py_ssize_t width = self.n_features
        if slots != NULL:
            if self.in_slots(scratch, span, slopes, n, n_classes, slots, grad, fault) != 0:
                return -1
            width = slots.n
        if width > 0:
            table.real[self.is_f64].csr_accumulate_classes[span.wide](
                span.data, span.indices, span.starts, span.ends, slopes, n, width, n_classes,
                self.class_stride(n_classes, sizeof(double)), active_classes, active_slopes, grad)
        return 0

    cdef int in_slots(self, Scratch scratch, Span* span, const void* slopes, Py_ssize_t n, Py_ssize_t n_classes,
                      hf_slots* slots, double* grad, Fault* fault) noexcept nogil:
        """Bring the entries of those of n scored rows that have a slope into the tile, with slots for columns.

        The numbers of new slots in `grad` are zero then.
        """
        cdef Py_ssize_t before = slots.n, stride = self.class_stride(n_classes, sizeof(double))
        table.real[self.is_f64].drop_inactive(slopes, n, n_classes, span.starts, span.ends)
        if self.data_at != NULL and self.fill_tile(scratch, span, n, fault) != 0:
            return -1
        # The tile is ours: only here and when they were scored have the caller's indices been read.
        table.assign_slots[span.wide](<void*>span.indices, span.ends[n - 1] if n > 0 else 0, self.n_features, slots)
        memset(grad + before * stride, 0, (slots.n - before) * stride * sizeof(double))
        return 0

    cdef void finish_classes(self, const double* total, Py_ssize_t n_classes, double divisor, double alpha,
                             int coef_is_f64, const void* coef, void* out) noexcept nogil:
        table.real[coef_is_f64].finish_features(total, n_classes, self.n_features,
                                                 self.class_stride(n_classes, sizeof(double)), divisor, alpha, coef,
                                                 out)

    cdef void find_index(self, Span* span, Py_ssize_t row, Fault* fault) noexcept nogil:
        """Which column index of a row is outside, and what it was."""
        cdef int64_t k, j
        fault.kind = HF_FAULT_INDEX
        for k in range(span.starts[row], span.ends[row]):
            if span.wide:
                j = (<const int64_t*>span.indices)[k]
            else:
                j = (<const int32_t*>span.indices)[k]
            fault.position = k if self.data_at != NULL else span.origins[row] + k - span.starts[row]
            fault.seen[0] = j
            if j < 0 or j >= self.n_features:
                return

    cdef int fill_tile(self, Scratch scratch, Span* span, Py_ssize_t n, Fault* fault) noexcept nogil:
        """Bring the entries of n rows into the tile, one row behind the other; 0, or -1 with the error noted."""
        cdef Py_ssize_t itemsize = 8 if self.is_f64 else 4, index_size = 8 if self.wide_indices else 4
        cdef Py_ssize_t stride, n_entries = 0, at = 0, length, i
        if self.dtype < 0:
            return self.cast_entries(scratch, span, n, fault)
        for i in range(n):
            n_entries += span.ends[i] - span.starts[i]
        if (scratch.buffers[TILE] == NULL or scratch.sizes[TILE] < <size_t>(n_entries * itemsize)
                or scratch.buffers[INDEX_TILE] == NULL
                or scratch.sizes[INDEX_TILE] < <size_t>(n_entries * index_size)):
            if self.grow_tile(scratch, n_entries, fault) != 0:
                return -1
        stride = cnp.PyArray_STRIDE(<cnp.ndarray>self.data, 0)
        for i in range(n):
            length = span.ends[i] - span.starts[i]
            table.real[self.is_f64].convert[self.dtype](
                <const char*>cnp.PyArray_DATA(<cnp.ndarray>self.data) + span.starts[i] * stride, stride, length,
                <char*>scratch.buffers[TILE] + at * itemsize)
            memcpy(<char*>scratch.buffers[INDEX_TILE] + at * index_size,
                   <const char*>self.indices_at + span.starts[i] * index_size, length * index_size)
            span.origins[i] = span.starts[i]
            span.starts[i] = at
            at += length
            span.ends[i] = at
        span.data, span.indices, span.wide = scratch.buffers[TILE], scratch.buffers[INDEX_TILE], self.wide_indices
        return 0

    cdef int grow_tile(self, Scratch scratch, Py_ssize_t n_entries, Fault* fault) noexcept with gil:
        """Memory for `fill_tile` with so many entries; 0, or -1 with the error noted."""
        try:
            scratch.get(TILE, n_entries * (8 if self.is_f64 else 4))
            scratch.get(INDEX_TILE, n_entries * (8 if self.wide_indices else 4))
            return 0
        except BaseException as error:
            keep_error(fault, error)
        return -1   # not inside: Cython lets go of a traceback there that need not exist

    cdef int cast_entries(self, Scratch scratch, Span* span, Py_ssize_t n, Fault* fault) noexcept with gil:
        """`fill_tile` by NumPy, for data of a dtype that the loops do not know, and for indices with gaps."""
        cdef Py_ssize_t i
        cdef int64_t at = 0, length
        try:
            dtype = np.float64 if self.is_f64 else np.float32
            data = np.concatenate([self.data[span.starts[i]:span.ends[i]] for i in range(n)] or [self.data[:0]])
            columns = np.concatenate(
                [self.indices[span.starts[i]:span.ends[i]] for i in range(n)] or [self.indices[:0]])
            with default_environment():
                data = np.ascontiguousarray(data, dtype=dtype)
            columns = np.ascontiguousarray(columns, dtype=np.int64)
            length = cnp.PyArray_NBYTES(<cnp.ndarray>data)
            span.data = memcpy(scratch.get(TILE, length), cnp.PyArray_DATA(<cnp.ndarray>data), length)
            length = cnp.PyArray_NBYTES(<cnp.ndarray>columns)
            span.indices = memcpy(scratch.get(INDEX_TILE, length), cnp.PyArray_DATA(<cnp.ndarray>columns), length)
            span.wide = 1
            for i in range(n):
                length = span.ends[i] - span.starts[i]
                span.origins[i] = span.starts[i]
                span.starts[i] = at
                at += length
                span.ends[i] = at
            return 0
        except BaseException as error:
            keep_error(fault, error)
        return -1   # not inside: Cython lets go of a traceback there that need not exist


cdef Py_ssize_t point_at_nothing(Span* span, Py_ssize_t n, const void* nothing, const void** rows) noexcept nogil:
    """Rows of a matrix without columns, as dense loops take them; the first that has entries all the same, or -1."""
    cdef Py_ssize_t i, fault_at = -1
    for i in range(n):
        rows[i] = nothing
        if span.ends[i] > span.starts[i] and fault_at < 0:
            fault_at = i
    return fault_at


cdef Py_ssize_t score_empty_rows(Span* span, const hf_real_loops* real, Py_ssize_t n, double intercept,
                                 void* scores) noexcept nogil:
    """Scores of rows of a matrix without columns; the place of the first row that has entries all the same."""
    cdef double nothing = 0
    cdef const void* rows[MAX_BLOCK]
    cdef Py_ssize_t fault_at = point_at_nothing(span, n, &nothing, rows)
    real.score_rows(rows, n, 0, &nothing, intercept, scores)
    return fault_at


cdef Py_ssize_t score_empty_class_rows(Span* span, const hf_real_loops* real, Py_ssize_t n, ClassCoef* coef,
                                       void* scores) noexcept nogil:
    """The same for K classes."""
    cdef double nothing = 0
    cdef const void* rows[MAX_BLOCK]
    cdef Py_ssize_t fault_at = point_at_nothing(span, n, &nothing, rows)
    real.score_classes(rows, n, 0, &nothing, coef.n_classes, coef.biases, 0, scores)
    return fault_at
