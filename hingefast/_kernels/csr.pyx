"""CSR X: score a block of rows, then accumulate its rows that have a slope from the cache.

The buffers are never trusted: row pointers are clamped into the stored entries as they are read, column
indices into [0, n_features) each time one is used, so another thread that changes them meanwhile can only
change numbers.
"""
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport INT32_MAX, int32_t, int64_t
from libc.string cimport memcpy, memset

cimport numpy as cnp

import numpy as np

from hingefast._kernels.table import default_environment

from hingefast._kernels.labels cimport Targets, convertible_type, is_plain
from hingefast._kernels.layout cimport (
    OF_COLUMNS, OF_PAIRS, OF_ROWS, SLICE, SLICE_PRODUCTS, TASK, Coef, Layout, Point, Rows, round_coef,
)
from hingefast._kernels.loaded cimport MAX_LOAD, SLOPE, Fault, Loaded, LoadedSpace, keep_error, loaded_in, row_at
from hingefast._kernels.table cimport (
    HF_FAULT_INDEX, HF_FAULT_INDPTR, HF_LINE_BYTES, hf_pinned, hf_real_loops, table,
)
from hingefast._kernels.worker cimport GROUPS, INDEX_TILE, ROWS, TILE, Worker

cnp.import_array()

cdef enum:
    # Entries of a task at most, or so many a feature: its gradient has numbers to be zeroed and added once a task.
    # Fewer are shared out more evenly, but one takes less than waking a thread.
    TASK_ENTRIES = 65536
    ENTRIES_PER_FEATURE = 8
    # Entries looked at for the feature in the middle, about.
    SOME_ENTRIES = 8192
    # Rows of a task, or one a feature: so that a matrix of all but empty rows is shared out too.
    TASK_ROWS = 32768
    MAX_TASK_ROWS = 65536
    # Entries between two looks for Ctrl-C: a few milliseconds.
    SLICE_ENTRIES = 1048576
    # K classes. Bytes of the scores of a block.
    SCORES_BYTES = 262144
    # Bytes of a gradient that fits a second-level cache beside the data. A task of larger ones would zero and add
    # K*d numbers for the few entries it has: there, tasks take turns at one gradient.
    MAX_CLASS_GRADIENT = 1048576
    # A batch of fewer entries than d/4 reads coef in place, K numbers here and there for each entry: a copy would write
    # d*K numbers. Its step sums by slots, one search an entry: a gradient of d*K numbers would be zeroed and read. So
    # for steps K/4 times as many entries are few, where K is above 4.
    ENTRIES_WORTH_PACKING = 4
    CLASSES_WORTH_SLOTS = 4
    # Entries of a block, of at most MAX_LOAD rows: 1.5 MB. Each change between scoring and accumulating brings other
    # numbers into the second-level cache, which costs more than reading the entries again from the third.
    BLOCK_ENTRIES = 131072
    # X of more bytes than a last-level cache holds for one core is touched before it is read, in blocks of so many
    # entries, which stay in the second level. Reading X and waiting for coef overlap badly: imdb took 2.1 ns an entry
    # in all, and 1.8 touched; where X is in a cache, nothing is gained (Zen 4, loops alone).
    TOUCH_BYTES = 12582912
    TOUCHED_ENTRIES = 16384


def plain_parts(data, indices, indptr, shape):
    """Views of the parts of a CSR matrix as most are, and its number of columns, so that small batches cost little.

    None where anything is unusual, for `checks` to convert or to refuse: parts that are not plain, lengths that do
    not fit, more than 2^31 - 1 columns.
    """
    cdef Py_ssize_t n_stored, n_pointers
    if not (is_plain(data, False) and is_plain(indices, True) and is_plain(indptr, True)
            and type(shape) is tuple and len(shape) == 2
            and type(shape[0]) is int and type(shape[1]) is int and 0 <= shape[1] <= INT32_MAX):
        return None
    # Views are returned: whoever holds the arrays may reshape them at any later moment.
    n_stored, n_pointers = cnp.PyArray_DIM(<cnp.ndarray>data, 0), cnp.PyArray_DIM(<cnp.ndarray>indptr, 0)
    if (cnp.PyArray_DIM(<cnp.ndarray>indices, 0) != n_stored or n_pointers == 0 or shape[0] != n_pointers - 1
            or pointer_at(<cnp.ndarray>indptr, 0) != 0
            or not 0 <= pointer_at(<cnp.ndarray>indptr, n_pointers - 1) <= n_stored):
        return None
    return data.view(), indices.view(), indptr.view(), shape[1]


cdef int64_t pointer_at(cnp.ndarray indptr, Py_ssize_t at) noexcept:
    """A number of contiguous int32 or int64."""
    if cnp.PyArray_ITEMSIZE(indptr) == 8:
        return (<const int64_t*>cnp.PyArray_DATA(indptr))[at]
    return (<const int32_t*>cnp.PyArray_DATA(indptr))[at]


# One score a row: nanoseconds that an entry and a row take, about (Zen 4; a9a, mq2008), and those in which a second
# thread gets going. With tasks alone counted, agaricus, letter and mq2008 took 1.05 to 1.5 times as long on two.
cdef double ENTRY_NS = 0.8, FULL_ENTRY_NS = 0.35, ROW_NS = 3, ALONE_NS = 130000


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
        self.max_class_gradient = MAX_CLASS_GRADIENT
        self.by_feature = True
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
        self.needs_numpy = self.dtype < 0
        self.is_touched = self.n_stored * ((8 if is_f64 else 4) + (8 if self.wide_indices else 4)) > TOUCH_BYTES

    def middle_feature(self):
        """The feature below which about half of the entries are, by some of them; at least 0."""
        if self.n_stored == 0:
            return 0
        some = self.indices[::max(self.n_stored // SOME_ENTRIES, 1)]
        return max(int(np.median(some)), 0)

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

    cdef Py_ssize_t cut(self, Targets targets, Py_ssize_t first, Py_ssize_t end, Py_ssize_t width,
                        int unit) noexcept nogil:
        cdef Py_ssize_t n, limit
        if unit == TASK:
            limit = min(max(self.n_features, <Py_ssize_t>TASK_ROWS), <Py_ssize_t>MAX_TASK_ROWS)
            return self.cut_entries(targets, first, min(first + limit, end), self.max_task_entries)
        if unit == SLICE:
            if width > 1:
                n = SLICE_PRODUCTS // max(self.n_features * width, <Py_ssize_t>1) // block_rows(width)
                end = min(first + max(n, <Py_ssize_t>1) * block_rows(width), end)
            if self.max_task_entries <= SLICE_ENTRIES:
                return end
            return self.cut_entries(targets, first, end, SLICE_ENTRIES)
        if width > 1:
            return self.cut_entries(targets, first, min(first + block_rows(width), end), BLOCK_ENTRIES)
        return min(first + MAX_LOAD, end)

    cdef Py_ssize_t rows_alone(self, Targets targets, Py_ssize_t width) noexcept nogil:
        cdef bint are_full = self.n_stored == self.n_rows * self.n_features
        cdef double entry = FULL_ENTRY_NS if are_full else ENTRY_NS, row = ROW_NS
        cdef Py_ssize_t task = self.cut(targets, 0, targets.n_rows, width, TASK)
        if width > 1:
            return task
        if self.n_stored > 0:   # a share of its row
            entry += row * self.n_rows / self.n_stored
        return max(task, self.cut_entries(targets, 0, min(<Py_ssize_t>(ALONE_NS / row), targets.n_rows),
                                          <Py_ssize_t>(ALONE_NS / entry)))

    cdef Py_ssize_t cut_entries(self, Targets targets, Py_ssize_t first, Py_ssize_t end,
                                Py_ssize_t limit) noexcept nogil:
        """The end of as many rows from `first` as hold at most `limit` entries together; at least one row."""
        cdef Py_ssize_t entries = 0, at, low, high, middle, row
        cdef LoadedSpace space
        cdef Loaded* loaded = loaded_in(&space)
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
            if targets.load_rows(loaded, at, 1, &fault) == 1:
                row = row_at(loaded, 0)
                entries += self.length(row, row + 1)
                if entries > limit and at > first:
                    break
            at += 1
        return at

    cdef Py_ssize_t count(self, Targets targets) noexcept nogil:
        """Entries of the batch, as far as the row pointers can be believed."""
        cdef Py_ssize_t entries = 0, at, row
        cdef LoadedSpace space
        cdef Loaded* loaded = loaded_in(&space)
        cdef Fault fault
        if targets.row_numbers == NULL and targets.row_step == 1:
            return self.length(targets.first_row, targets.first_row + targets.n_rows)
        for at in range(targets.n_rows):
            if targets.load_rows(loaded, at, 1, &fault) == 1:
                row = row_at(loaded, 0)
                entries += self.length(row, row + 1)
        return entries

    cdef Py_ssize_t few_entries(self, Targets targets, Py_ssize_t width) noexcept nogil:
        cdef Py_ssize_t few = self.n_features // ENTRIES_WORTH_PACKING, entries
        few = min(few * max(width, <Py_ssize_t>CLASSES_WORTH_SLOTS) // CLASSES_WORTH_SLOTS, self.max_task_entries)
        # As many rows as entries at most: a look at every row must not cost more than what it saves.
        if targets.n_rows == 0 or targets.n_rows > min(few, <Py_ssize_t>MAX_TASK_ROWS):
            return 0
        entries = self.count(targets)
        return max(entries, <Py_ssize_t>1) if entries <= few else 0

    def first_fault(self, Targets targets):
        """The first fault of the batch's rows: of all row pointers first, then of all column indices."""
        cdef LoadedSpace space
        cdef Loaded* loaded = loaded_in(&space)
        cdef Fault fault
        cdef Span span
        cdef Py_ssize_t start = 0, n, good, sound
        found = None
        while start < targets.n_rows:
            PyErr_CheckSignals()
            n = min(<Py_ssize_t>MAX_LOAD, targets.n_rows - start)
            with nogil:
                good = targets.load_rows(loaded, start, n, &fault)
                sound = self.load_spans(loaded, &span, 0, good)
            if sound < good:
                self.note_pointers(start + sound, row_at(loaded, sound), &fault)
                return fault.kind, fault.position, fault.row, (<char*>fault.seen)[:16]
            if found is None and good > 0:
                found = self.index_fault(loaded, &span, good)
            start += n if good == n else good + 1
        return found

    cdef object index_fault(self, Loaded* loaded, Span* span, Py_ssize_t n):
        """The first column index outside among n rows, as `first_fault` tells it, or None."""
        cdef Py_ssize_t i, place
        cdef int64_t k, j
        # Rows that follow one another are looked at together.
        cdef bint together = loaded.row_index == NULL and loaded.row_step == 1
        for i in range(1 if together else n):
            columns = self.indices[span.starts[i]:span.ends[n - 1 if together else i]]
            outside = np.flatnonzero((columns < 0) | (columns >= self.n_features))
            if outside.size:
                k = span.starts[i] + outside[0]
                j = columns[outside[0]]
                place = i
                while k >= span.ends[place] and place < n - 1:
                    place += 1
                return HF_FAULT_INDEX, k, row_at(loaded, place), (<char*>&j)[:8] + bytes(8)
        return None

    cdef Py_ssize_t load_spans(self, Loaded* loaded, Span* span, Py_ssize_t at, Py_ssize_t n) noexcept nogil:
        """Clamped row pointers of n loaded rows from place `at` on; the first faulty row among them, or n."""
        cdef Py_ssize_t faulty = table.csr_spans[self.wide_indptr](
            self.indptr_at, loaded.row_index + at if loaded.row_index != NULL else NULL,
            loaded.first_row + at * loaded.row_step, loaded.row_step, n, self.n_stored, span.starts, span.ends)
        span.data, span.indices, span.wide = self.data_at, self.indices_at, self.wide_indices
        return faulty if faulty >= 0 else n

    cdef void note_pointers(self, Py_ssize_t position, Py_ssize_t row, Fault* fault) noexcept nogil:
        """Keep that the pointers of a row are wrong."""
        fault.kind, fault.position, fault.row = HF_FAULT_INDPTR, position, row
        if self.wide_indptr:
            fault.seen[0] = (<const int64_t*>self.indptr_at)[row]
            fault.seen[1] = (<const int64_t*>self.indptr_at)[row + 1]
        else:
            fault.seen[0] = (<const int32_t*>self.indptr_at)[row]
            fault.seen[1] = (<const int32_t*>self.indptr_at)[row + 1]

    cdef Py_ssize_t class_stride(self, Py_ssize_t n_classes, Py_ssize_t itemsize) noexcept nogil:
        """Numbers a feature where classes stand side by side: whole lines, or a part of one; of float32 half lines.

        20 classes of 20 Newsgroups in float32 took a third less with 24 numbers than with 32: more stay in a cache.
        """
        cdef Py_ssize_t lanes = HF_LINE_BYTES // itemsize, stride = 1
        if n_classes > lanes:
            return (n_classes + 7) // 8 * 8
        while stride < n_classes:
            stride *= 2
        return stride

    cdef Py_ssize_t grad_size(self, Py_ssize_t width) noexcept nogil:
        return self.class_stride(width, sizeof(double)) * self.n_features

    cdef int pack(self, Worker worker, Coef* coef, int which) except -1:
        cdef Py_ssize_t stride = self.class_stride(coef.given.width, worker.itemsize)
        cdef void* copy
        if coef.given.width == 1:
            return round_coef(self, worker, coef, which)
        if self.few_entries(worker.targets, 1) > 0:
            return 0
        copy = worker.get(which, stride * self.n_features * worker.itemsize + HF_LINE_BYTES)
        table.real[self.is_f64].pack_features[coef.given.is_f64](coef.given.coef, coef.given.width, self.n_features,
                                                                 stride, copy)
        coef.data, coef.stride = copy, stride
        return 0

    cdef int reserve(self, Worker worker) except -1:
        worker.get(ROWS, sizeof(Span))
        worker.block_rows = MAX_LOAD if worker.width == 1 else block_rows(worker.width)
        if worker.width > 1 and worker.want & SLOPE:
            worker.get(GROUPS, worker.width * (sizeof(double) + sizeof(int32_t)))   # slopes and classes of one row
        return 0

    cdef int open(self, Worker worker) noexcept nogil:
        cdef Span* span = <Span*>worker.buffers[ROWS].start
        cdef Py_ssize_t faulty = self.load_spans(worker.loaded, span, worker.at, worker.n)
        if faulty < worker.n:
            self.note_pointers(worker.start + worker.at + faulty, row_at(worker.loaded, worker.at + faulty),
                               &worker.fault)
            return -1
        span.follow = worker.loaded.row_index == NULL and worker.loaded.row_step == 1
        if worker.width == 1:
            worker.n = rows_of_block(span, worker.n, TOUCHED_ENTRIES if self.is_touched else BLOCK_ENTRIES)
        span.readable = self.n_stored - span.starts[0] if worker.n > 0 else 0
        if self.data_at == NULL and self.fill_tile(worker) != 0:
            return -1
        if worker.width == 1:
            self.look_at_block(span, worker.n)
        return 0

    cdef void look_at_block(self, Span* span, Py_ssize_t n) noexcept nogil:
        """Find out how the rows of a block of one score are best read, and bring them into the caches.

        Full rows are read as dense ones, others as `csr_score.h` decides for every 32 of them.
        """
        cdef int64_t entries = n_entries(span, n)
        cdef Py_ssize_t data_size = 8 if self.is_f64 else 4, index_size = 8 if span.wide else 4
        span.are_full = (span.follow and entries == n * self.n_features and entries > 0
                         and table.csr_are_full[span.wide](span.indices, span.starts, span.ends, n, self.n_features))
        if span.follow and self.is_touched:
            table.touch(<const char*>span.data + span.starts[0] * data_size, entries * data_size)
            if not span.are_full:
                table.touch(<const char*>span.indices + span.starts[0] * index_size, entries * index_size)

    cdef int point(self, Worker worker, Rows* rows) noexcept nogil:
        cdef Span* span = <Span*>worker.buffers[ROWS].start
        rows.dense = NULL
        rows.data, rows.indices, rows.wide = span.data, span.indices, span.wide
        rows.starts, rows.ends = span.starts, span.ends
        rows.n_numbers = n_entries(span, worker.n)
        return 0

    cdef int score(self, Worker worker, Coef* coef, void** scores) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Span* span = <Span*>worker.buffers[ROWS].start
        cdef Py_ssize_t n = worker.n, d = self.n_features, fault_at
        if d == 0:
            fault_at = score_empty_rows(span, real, n, coef, scores[0])
        elif coef.given.width == 1 and span.are_full:
            fault_at = -1
            real.score_even_rows(<const char*>span.data + span.starts[0] * worker.itemsize, d, n, d, span.readable,
                                 coef.data, coef.intercept, scores[0])
        elif coef.given.width == 1:
            fault_at = real.csr_score_rows[span.wide](
                span.data, span.indices, span.starts, span.ends, n, span.follow, d, coef.data, coef.intercept,
                scores[0])
        elif coef.data != NULL:
            fault_at = real.csr_score_classes[span.wide](
                span.data, span.indices, span.starts, span.ends, n, d, coef.data, coef.stride, coef.given.width,
                coef.biases, scores[0])
        else:
            fault_at = real.csr_score_unpacked[span.wide][coef.given.is_f64](
                span.data, span.indices, span.starts, span.ends, n, d, coef.given.coef, coef.given.width, coef.biases,
                scores[0])
        return 0 if fault_at < 0 else self.note_index(worker, fault_at)

    cdef int add(self, Worker worker, const void* slopes) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Span* span = <Span*>worker.buffers[ROWS].start
        cdef Py_ssize_t n = worker.n, n_columns = self.n_features, fault_at
        cdef double* few_slopes
        if worker.slots != NULL:
            if self.in_slots(worker, slopes) != 0:
                return -1
            n_columns = worker.slots.n
        if n_columns == 0 or n_entries(span, n) == 0:
            return 0
        if worker.width == 1 and span.are_full and worker.slots == NULL:
            real.accumulate_even_rows(<const char*>span.data + span.starts[0] * worker.itemsize, n_columns, slopes, n,
                                      n_columns, span.readable, worker.grad)
        elif worker.width == 1:
            fault_at = real.csr_accumulate_rows[span.wide](span.data, span.indices, span.starts, span.ends, slopes, n,
                                                           n_columns, worker.grad)
            if fault_at >= 0:
                return self.note_index(worker, fault_at)
        else:
            few_slopes = <double*>worker.buffers[GROUPS].start
            real.csr_accumulate_classes[span.wide](
                span.data, span.indices, span.starts, span.ends, slopes, n, n_columns, worker.width,
                self.class_stride(worker.width, sizeof(double)), <int32_t*>(few_slopes + worker.width), few_slopes,
                worker.grad)
        return 0

    cdef int in_slots(self, Worker worker, const void* slopes) noexcept nogil:
        """Bring the entries of those of the block's rows that have a slope into the tile, with slots for columns.

        The numbers of new slots in the gradient are zero then.
        """
        cdef Span* span = <Span*>worker.buffers[ROWS].start
        cdef Py_ssize_t n = worker.n, before = worker.slots.n
        cdef Py_ssize_t stride = self.class_stride(worker.width, sizeof(double))
        table.real[self.is_f64].drop_inactive(slopes, n, worker.width, span.starts, span.ends)
        span.follow = False
        if self.data_at != NULL and self.fill_tile(worker) != 0:
            return -1
        # The tile is ours: only here and when they were scored have the caller's indices been read.
        table.assign_slots[span.wide](<void*>span.indices, span.ends[n - 1] if n > 0 else 0, self.n_features,
                                      worker.slots)
        memset(worker.grad + before * stride, 0, (worker.slots.n - before) * stride * sizeof(double))
        return 0

    cdef int squares(self, Worker worker, int of, const double* weights, double* out) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Span* span = <Span*>worker.buffers[ROWS].start
        cdef Py_ssize_t fault_at
        if self.n_features == 0:
            fault_at = first_with_entries(span, worker.n)
            if of == OF_ROWS:
                memset(out, 0, worker.n * sizeof(double))
        elif of == OF_COLUMNS:
            fault_at = real.csr_square_columns[span.wide](span.data, span.indices, span.starts, span.ends, weights,
                                                          worker.n, self.n_features, out)
        elif of == OF_PAIRS:
            fault_at = real.csr_product_columns[span.wide](span.data, span.indices, span.starts, span.ends, weights,
                                                           worker.n, self.n_features, out)
        else:
            fault_at = real.csr_square_rows[span.wide](span.data, span.indices, span.starts, span.ends, worker.n,
                                                       self.n_features, out)
        return 0 if fault_at < 0 else self.note_index(worker, fault_at)

    cdef void finish(self, const double* total, Point* at, double divisor, double alpha, void* out) noexcept nogil:
        if at.width == 1:
            table.finish_grad[at.is_f64](total, self.n_features, divisor, alpha, at.coef, out)
        else:
            table.real[at.is_f64].finish_features(
                total, at.width, self.n_features, self.class_stride(at.width, sizeof(double)), divisor, alpha,
                at.coef, out)

    cdef int note_index(self, Worker worker, Py_ssize_t row) noexcept nogil:
        """Keep which column index of a row of the block is outside, and what it was; -1."""
        cdef Span* span = <Span*>worker.buffers[ROWS].start
        cdef Fault* fault = &worker.fault
        cdef int64_t k, j
        fault.kind, fault.row = HF_FAULT_INDEX, row_at(worker.loaded, worker.at + row)
        for k in range(span.starts[row], span.ends[row]):
            if span.wide:
                j = (<const int64_t*>span.indices)[k]
            else:
                j = (<const int32_t*>span.indices)[k]
            fault.position = k if self.data_at != NULL else span.origins[row] + k - span.starts[row]
            fault.seen[0] = j
            if j < 0 or j >= self.n_features:
                break
        return -1

    cdef int fill_tile(self, Worker worker) noexcept nogil:
        """Bring the entries of the block into the tile, one row behind the other; 0, or -1 with the error noted."""
        cdef Span* span = <Span*>worker.buffers[ROWS].start
        cdef Py_ssize_t itemsize = worker.itemsize, index_size = 8 if self.wide_indices else 4
        cdef Py_ssize_t stride, at = 0, length, size, i
        cdef char* tile
        cdef char* index_tile
        if self.dtype < 0:
            return self.cast_entries(worker)
        size = n_entries(span, worker.n)
        if (worker.buffers[TILE].start == NULL or worker.buffers[TILE].size < <size_t>(size * itemsize)
                or worker.buffers[INDEX_TILE].start == NULL
                or worker.buffers[INDEX_TILE].size < <size_t>(size * index_size)):
            if self.grow_tile(worker, size) != 0:
                return -1
        tile, index_tile = <char*>worker.buffers[TILE].start, <char*>worker.buffers[INDEX_TILE].start
        stride = cnp.PyArray_STRIDE(<cnp.ndarray>self.data, 0)
        for i in range(worker.n):
            length = span.ends[i] - span.starts[i]
            table.real[self.is_f64].convert[self.dtype](
                <const char*>cnp.PyArray_DATA(<cnp.ndarray>self.data) + span.starts[i] * stride, stride, length,
                tile + at * itemsize)
            memcpy(index_tile + at * index_size, <const char*>self.indices_at + span.starts[i] * index_size,
                   length * index_size)
            at = move_row(span, i, at)
        span.data, span.indices, span.wide = tile, index_tile, self.wide_indices
        span.follow, span.readable = True, at
        return 0

    cdef int grow_tile(self, Worker worker, Py_ssize_t n_entries) noexcept with gil:
        """Memory for `fill_tile` with so many entries; 0, or -1 with the error noted."""
        try:
            worker.get(TILE, n_entries * worker.itemsize)
            worker.get(INDEX_TILE, n_entries * (8 if self.wide_indices else 4))
            return 0
        except BaseException as error:
            keep_error(&worker.fault, error)
        return -1   # not inside: Cython lets go of a traceback there that need not exist

    cdef int cast_entries(self, Worker worker) noexcept with gil:
        """`fill_tile` by NumPy, for data of a dtype that the loops do not know, and for indices with gaps."""
        cdef Span* span = <Span*>worker.buffers[ROWS].start
        cdef Py_ssize_t n = worker.n, at = 0, i
        cdef int64_t length
        try:
            dtype = np.float64 if self.is_f64 else np.float32
            data = np.concatenate([self.data[span.starts[i]:span.ends[i]] for i in range(n)] or [self.data[:0]])
            columns = np.concatenate(
                [self.indices[span.starts[i]:span.ends[i]] for i in range(n)] or [self.indices[:0]])
            with default_environment():
                data = np.ascontiguousarray(data, dtype=dtype)
            columns = np.ascontiguousarray(columns, dtype=np.int64)
            length = cnp.PyArray_NBYTES(<cnp.ndarray>data)
            span.data = memcpy(worker.get(TILE, length), cnp.PyArray_DATA(<cnp.ndarray>data), length)
            length = cnp.PyArray_NBYTES(<cnp.ndarray>columns)
            span.indices = memcpy(worker.get(INDEX_TILE, length), cnp.PyArray_DATA(<cnp.ndarray>columns), length)
            span.wide = 1
            for i in range(n):
                at = move_row(span, i, at)
            span.follow, span.readable = True, at
            return 0
        except BaseException as error:
            keep_error(&worker.fault, error)
        return -1   # not inside: Cython lets go of a traceback there that need not exist


cdef Py_ssize_t block_rows(Py_ssize_t width) noexcept nogil:
    """Rows of a block of K classes, at most."""
    return min(max(SCORES_BYTES // (width * <Py_ssize_t>sizeof(double)), <Py_ssize_t>1), <Py_ssize_t>MAX_LOAD)


cdef int64_t n_entries(const Span* span, Py_ssize_t n) noexcept nogil:
    """Entries of the first n rows of a block."""
    cdef int64_t entries = 0
    cdef Py_ssize_t i
    if span.follow:
        return span.ends[n - 1] - span.starts[0] if n > 0 else 0
    for i in range(n):
        entries += span.ends[i] - span.starts[i]
    return entries


cdef Py_ssize_t rows_of_block(const Span* span, Py_ssize_t n, Py_ssize_t limit) noexcept nogil:
    """How many of n rows make a block of one score: as many as hold `limit` entries, in whole lines of lanes."""
    cdef int64_t entries = 0
    cdef Py_ssize_t i
    if n_entries(span, n) <= limit:
        return n
    for i in range(n):
        entries += span.ends[i] - span.starts[i]
        if entries > limit and i >= 16:
            return i // 16 * 16
    return n


cdef Py_ssize_t move_row(Span* span, Py_ssize_t i, Py_ssize_t at) noexcept nogil:
    """Note that the entries of row i have gone to place `at` of the tile; where they end there."""
    span.origins[i] = span.starts[i]
    span.starts[i], span.ends[i] = at, at + span.ends[i] - span.starts[i]
    return span.ends[i]


cdef Py_ssize_t score_empty_rows(Span* span, const hf_real_loops* real, Py_ssize_t n, Coef* coef,
                                 void* scores) noexcept nogil:
    """Scores of rows of a matrix without columns; the place of the first row that has entries all the same, or -1."""
    cdef double nothing = 0
    cdef const void* rows[MAX_LOAD]
    cdef Py_ssize_t i
    for i in range(n):
        rows[i] = &nothing
    if coef.given.width == 1:
        real.score_rows(rows, n, 0, &nothing, coef.intercept, scores)
    else:
        real.score_classes(rows, n, 0, &nothing, coef.given.width, coef.biases, 0, scores)
    return first_with_entries(span, n)


cdef Py_ssize_t first_with_entries(Span* span, Py_ssize_t n) noexcept nogil:
    """The first of n rows that has entries, or -1."""
    cdef Py_ssize_t i
    for i in range(n):
        if span.ends[i] > span.starts[i]:
            return i
    return -1
