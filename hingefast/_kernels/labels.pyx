"""Rows, labels and weights of a batch, some rows at a time: row numbers, signs or columns, and float64 weights.

Knows no layout of X and no loss. No full-length copy of labels or weights is ever held.
"""
from cpython.exc cimport PyErr_CheckSignals
from libc.float cimport DBL_MAX
from libc.math cimport frexp
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

cimport numpy as cnp

import numpy as np

from hingefast._kernels.table import default_environment

from hingefast._kernels.loaded cimport (
    FAULT_ERROR, MAX_LOAD, Fault, Loaded, LoadedSpace, keep_error, loaded_in, row_at, take_error,
)
from hingefast._kernels.table cimport (
    HF_BOOL, HF_FAULT_LABEL, HF_FAULT_ROW, HF_FAULT_WEIGHT, HF_FLOAT16, HF_FLOAT32, HF_FLOAT64, HF_INT8, HF_INT16,
    HF_INT32, HF_INT64, HF_LINE_BYTES, HF_SWAPPED, HF_UINT8, HF_UINT16, HF_UINT32, HF_UINT64, HF_VALUE_LANES,
    hf_class_labels, hf_classes, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_labels, hf_pinned, hf_real_loops, table,
)

cnp.import_array()

assert sizeof(LoadedSpace) >= sizeof(Loaded) + HF_LINE_BYTES

cdef enum:
    # Rows whose weights are summed between two looks for Ctrl-C: a millisecond.
    SLICE_ROWS = 262144

# Products of the weights of samples and of classes may leave the range of float64, 2^-2148 to 2^2048. Where their sum
# has overflowed, or is so small that some may have vanished, they are summed again with an exponent of -FAR or FAR:
# with it 2^50 of the largest do not overflow, and the smallest is normal.
cdef enum:
    FAR = 1130

cdef double LEAST_SUM = 2.0 ** -900

cdef int64_t NO_INTEGER = -(<int64_t>1 << 62) * 2   # INT64_MIN: matches no label


# The classes of labels that are indices already.
cdef hf_classes INDEX
INDEX.negative_int, INDEX.positive_int = 0, 1


cdef int64_t as_int64(value) except? -1:
    """A class as an int64; NO_INTEGER where it is none."""
    return int(value) if value == int(value) and -2**63 < value < 2**63 else NO_INTEGER


cdef double as_float64(value) except? -1:
    """A class as a float64; NaN, which matches no label, where it is none."""
    return value if float(value) == value else float("nan")


cdef bint is_plain(object x, bint of_integers) noexcept:
    """Whether x is a vector in one piece, aligned and native, of float32 or float64, or of int32 or int64."""
    cdef int number
    if not (cnp.PyArray_CheckExact(x) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 1
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x)):
        return False
    number = cnp.PyArray_TYPE(<cnp.ndarray>x)
    if of_integers:
        return number == cnp.NPY_INT64 or number == cnp.NPY_INT32
    return number == cnp.NPY_FLOAT64 or number == cnp.NPY_FLOAT32


def plain_vector(x, Py_ssize_t n):
    """A view of x if it is a plain vector of n floats, as most are, so that small batches cost little; else None."""
    return x.view() if is_plain(x, False) and cnp.PyArray_DIM(<cnp.ndarray>x, 0) == n else None


cdef int element_type(cnp.ndarray x):
    """HF_INT8 ... for a native dtype that all loops read, -1 for another."""
    return number_type(x) if cnp.PyArray_ISNOTSWAPPED(x) else -1


cdef int convertible_type(cnp.ndarray x):
    """HF_INT8 ... for a dtype that the loops of convert.h read, in any byte order; -1 for one that NumPy must cast."""
    cdef int number = (HF_BOOL if cnp.PyArray_ISBOOL(x)
                       else HF_FLOAT16 if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT16 else number_type(x))
    return number if number < 0 or cnp.PyArray_ISNOTSWAPPED(x) else HF_SWAPPED + number


cdef int number_type(cnp.ndarray x):
    """HF_INT8 ..., whatever the byte order, or -1."""
    cdef int number = cnp.PyArray_TYPE(x)
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(x)
    if number == cnp.NPY_FLOAT64:
        return HF_FLOAT64
    if number == cnp.NPY_FLOAT32:
        return HF_FLOAT32
    if cnp.PyTypeNum_ISSIGNED(number) and cnp.PyTypeNum_ISINTEGER(number):
        return HF_INT8 if size == 1 else HF_INT16 if size == 2 else HF_INT32 if size == 4 else HF_INT64
    if cnp.PyTypeNum_ISINTEGER(number) or cnp.PyTypeNum_ISBOOL(number):
        return HF_UINT8 if size == 1 else HF_UINT16 if size == 2 else HF_UINT32 if size == 4 else HF_UINT64
    return -1


cdef Vector describe(cnp.ndarray x):
    """Pointer, stride and element type of a 1-D array."""
    cdef Vector vector
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(x)
    vector.data = <const char*>cnp.PyArray_DATA(x)
    vector.stride = cnp.PyArray_STRIDE(x, 0)
    vector.dtype = number_type(x)
    vector.is_swapped = not cnp.PyArray_ISNOTSWAPPED(x)
    vector.convertible = convertible_type(x)
    vector.log2_itemsize = 0 if size == 1 else 1 if size == 2 else 2 if size == 4 else 3
    return vector


def equal_to(y, label):
    """Where numbers of any real dtype are this one exactly: NumPy would round integers beside floats."""
    if y.dtype.kind != "f":
        return np.equal(y, int(label)) if int(label) == label else np.zeros(y.shape, bool)
    exact = np.float64(label)
    if y.dtype.itemsize > 8 and isinstance(label, int):
        exact = np.longdouble(str(int(label)))  # through a float it would lose what makes it one
    is_exact = isinstance(label, float) or int(exact) == label
    return np.equal(y, exact) if is_exact else np.zeros(y.shape, bool)


def pair_index(y, tuple classes):
    """0 and 1 for labels of the negative and the positive class, -1 for others."""
    negative, positive = classes
    is_positive = equal_to(y, positive)
    # Sums, not selections: these wait where labels are in no order.
    return is_positive.astype(np.int8) - ~(is_positive | equal_to(y, negative))


def class_index(y, Py_ssize_t n_classes, labels):
    """The place of each label among K classes, -1 for what is none of them."""
    with default_environment():  # NaN and what is too large become some integer, which is unequal
        numbers = y.astype(np.int64)
        known = numbers == y
    if labels is None:
        return np.where(known & (numbers >= 0) & (numbers < n_classes), numbers, -1)
    order = np.argsort(labels)
    index = order[np.minimum(np.searchsorted(labels, numbers, sorter=order), n_classes - 1)]
    return np.where(known & (labels[index] == numbers), index, -1)


cdef class Classes:
    """The labels that a caller declared, as the kernels compare them.

    Parameters
    ----------
    labels : tuple of two numbers, or ndarray of shape (K,) and int64, or None
        (negative, positive), for a loss of one score; else the distinct labels of K columns, None for 0 .. K-1.
    n_classes : int
        K; 0 for a pair.
    """

    def __cinit__(self, labels, Py_ssize_t n_classes=0):
        self.labels = labels
        self.n_classes = self.columns.n_classes = n_classes
        self.width = max(n_classes, <Py_ssize_t>1)
        if n_classes == 0:
            self.compare_pair(labels[0], labels[1])
        elif labels is not None:
            self.compare_columns(labels)

    cdef int compare_pair(self, negative, positive) except -1:
        """Keep the pair as labels of every type may be."""
        self.pair.negative = as_float64(negative)
        self.pair.positive = as_float64(positive)
        self.pair.negative_int = as_int64(negative)
        self.pair.positive_int = as_int64(positive)
        self.pair.negative_fits_uint = negative == int(negative) and 0 <= negative < 2**64
        self.pair.positive_fits_uint = positive == int(positive) and 0 <= positive < 2**64
        if self.pair.negative_fits_uint:
            self.pair.negative_uint = int(negative)
        if self.pair.positive_fits_uint:
            self.pair.positive_uint = int(positive)
        return 0

    cdef int compare_columns(self, cnp.ndarray labels) except -1:
        """Keep the labels as their first, where they are consecutive, or in their order."""
        cdef Py_ssize_t n = self.n_classes
        if bool((np.diff(labels) > 0).all()) and int(labels[n - 1]) - int(labels[0]) == n - 1:
            self.columns.first = labels[0]
            return 0
        order = np.argsort(labels)
        self.sorted_labels = np.ascontiguousarray(labels[order])
        self.sorted_columns = order.astype(np.int32)
        self.columns.sorted = <const int64_t*>cnp.PyArray_DATA(<cnp.ndarray>self.sorted_labels)
        self.columns.columns = <const int32_t*>cnp.PyArray_DATA(<cnp.ndarray>self.sorted_columns)
        return 0

    @property
    def count(self):
        """Classes: 2, or K."""
        return self.n_classes or 2

    def index(self, y):
        """The place of each label among the classes, -1 for what is none of them."""
        if self.n_classes == 0:
            return pair_index(y, self.labels)
        return class_index(y, self.n_classes, self.labels)


SIGNS = Classes((-1, 1))


cdef class Targets:
    """Labels, weights and rows of a batch, as the kernels read them.

    Parameters
    ----------
    n_total : int
        Rows of the caller's arrays.
    classes : Classes
    y : ndarray of shape (n_total,) or None
        Labels of any real dtype; None where only the rows matter.
    sample_weight : ndarray of shape (n_total,) or None
    class_weight : ndarray of shape (2,) or (K,), contiguous float64, or None
        Weights of the classes in their order.
    rows : tuple, ndarray of int64 or None
        The batch: a slice with indices already fitted to ``n_total`` as ``(start, stop, step)``, or row
        numbers, which are checked as they are used.
    """

    def __cinit__(self, Py_ssize_t n_total=0, Classes classes=SIGNS, y=None, sample_weight=None, class_weight=None,
                  rows=None):
        self.n_total = self.n_rows = n_total
        self.classes = classes
        self.row_step = 1
        if y is not None:
            self.point_at_labels(y, describe(y))
        if sample_weight is not None:
            self.has_weights = True
            self.sample_weight = sample_weight
            self.weights = describe(sample_weight)
        if class_weight is not None:
            self.class_weight = class_weight
            self.weight_of_class = <const double*>cnp.PyArray_DATA(<cnp.ndarray>class_weight)
        if rows is not None:
            self.select(rows)

    cdef void point_at_labels(self, y, Vector labels):
        """Take labels, described already."""
        cdef bint are_signs = self.classes.pair.negative == -1 and self.classes.pair.positive == 1
        self.y = y
        self.has_labels = True
        self.labels = labels
        self.are_signs[0] = are_signs and labels.dtype == HF_FLOAT32
        self.are_signs[1] = are_signs and labels.dtype == HF_FLOAT64

    cdef Targets batch(self, rows):
        """The same labels and weights for other rows; nothing is checked or converted again."""
        cdef Targets other
        if rows is None:
            return self
        other = Targets.__new__(Targets)
        other.n_total, other.classes = self.n_total, self.classes
        other.y, other.sample_weight, other.class_weight = self.y, self.sample_weight, self.class_weight
        other.labels, other.weights, other.weight_of_class = self.labels, self.weights, self.weight_of_class
        other.has_labels, other.has_weights = self.has_labels, self.has_weights
        other.are_signs[0], other.are_signs[1] = self.are_signs[0], self.are_signs[1]
        other.select(rows)
        return other

    cdef int select(self, rows) except -1:
        """Make `rows` the batch: a ``(start, stop, step)`` tuple or an int64 array."""
        self.rows = rows
        if type(rows) is tuple:
            start, stop, step = rows
            self.first_row, self.row_step = start, step
            self.n_rows = len(range(start, stop, step))
        else:
            self.row_numbers = <const char*>cnp.PyArray_DATA(<cnp.ndarray>rows)
            self.row_stride = cnp.PyArray_STRIDE(<cnp.ndarray>rows, 0)
            self.n_rows = cnp.PyArray_SIZE(<cnp.ndarray>rows)
        return 0

    def first_fault(self):
        """The first fault of the batch by kind - labels, weights, rows - and then by position.

        A pass stops at the first fault of any kind that it meets; this goes over everything to tell the one
        that the promised order names.

        Returns
        -------
        tuple or None
            What `DataFault` takes.
        """
        cdef LoadedSpace space
        cdef Loaded* loaded = loaded_in(&space)
        cdef Fault fault
        cdef Py_ssize_t first = 0, n, good
        cdef bint is_label, failed
        cdef hf_fp_state caller
        found = {}
        while first < self.n_rows:
            PyErr_CheckSignals()
            n = min(<Py_ssize_t>MAX_LOAD, self.n_rows - first)
            with nogil:
                caller = hf_fp_enter()
                good = self.load_rows(loaded, first, n, &fault)
                hf_fp_leave(caller)
            if good < n:
                found.setdefault(fault.kind, (fault.kind, fault.position, fault.row, (<char*>fault.seen)[:16]))
            for kind, look in ((HF_FAULT_LABEL, self.has_labels), (HF_FAULT_WEIGHT, self.has_weights)):
                if not look or kind in found:
                    continue
                is_label = kind == HF_FAULT_LABEL
                with nogil:
                    caller = hf_fp_enter()
                    if is_label:
                        failed = self.load_labels(loaded, 1, first, good, &fault)
                    else:
                        failed = self.load_weights(loaded, first, good, &fault)
                    hf_fp_leave(caller)
                if failed and fault.kind == FAULT_ERROR:
                    raise take_error(&fault)
                if failed:
                    found[kind] = (kind, fault.position, fault.row, (<char*>fault.seen)[:16])
            first += n if good == n else good + 1
        return found[min(found)] if found else None

    cdef Py_ssize_t load_rows(self, Loaded* loaded, Py_ssize_t first, Py_ssize_t n, Fault* fault) noexcept nogil:
        """Row numbers of positions first .. first + n of the batch; returns how many before a bad one."""
        cdef Py_ssize_t i
        cdef int64_t row
        if self.row_numbers == NULL:
            loaded.row_index = NULL
            loaded.first_row, loaded.row_step = self.first_row + first * self.row_step, self.row_step
            return n
        loaded.row_index = loaded.rows
        for i in range(n):
            memcpy(&row, self.row_numbers + (first + i) * self.row_stride, sizeof(row))
            row = hf_pinned(row)   # read once: it is used when it has been checked
            if row < 0 or row >= self.n_total:
                fault.kind, fault.position, fault.row = HF_FAULT_ROW, first + i, first + i
                fault.seen[0] = row
                return i
            loaded.rows[i] = row
        return n

    cdef const char* elements(self, Loaded* loaded, bint labels, Py_ssize_t n, int* dtype,
                              Fault* fault) noexcept nogil:
        """The labels or weights of the n rows loaded, one behind the other; NULL with the error noted if NumPy failed.

        `dtype` is what they are then: their own, in this machine's byte order, or float64 for one that not all loops
        read. Integers always keep their own: float64 holds not all of them. See `cast_by_numpy` for the rest.
        """
        cdef Vector* vector = &self.labels if labels else &self.weights
        cdef Py_ssize_t step = self.row_step * vector.stride, i
        cdef const char* found
        dtype[0] = vector.dtype if vector.dtype >= 0 else HF_FLOAT64
        if vector.dtype < 0 and vector.convertible < 0:
            return <const char*>loaded.cast_buffer if self.cast_by_numpy(loaded, labels, n, dtype, fault) == 0 else NULL
        if vector.dtype < 0:
            convert = table.real[1].convert[vector.convertible]
            if loaded.row_index == NULL:
                convert(vector.data + loaded.first_row * vector.stride, step, n, loaded.cast_buffer)
            else:
                for i in range(n):
                    convert(vector.data + loaded.rows[i] * vector.stride, 0, 1, loaded.cast_buffer + i)
            return <const char*>loaded.cast_buffer
        if loaded.row_index == NULL and not vector.is_swapped and step == (<Py_ssize_t>1 << vector.log2_itemsize):
            if <size_t>vector.data % <size_t>step == 0:
                found = vector.data + loaded.first_row * vector.stride
                table.prefetch(found + n * step, n * step)   # of the next load
                return found
        if loaded.row_index == NULL:
            table.gather[vector.log2_itemsize](vector.data + loaded.first_row * vector.stride, step, NULL, n,
                                               loaded.cast_buffer)
        else:
            table.gather[vector.log2_itemsize](vector.data, vector.stride, loaded.row_index, n, loaded.cast_buffer)
        if vector.is_swapped:
            table.swap_bytes[vector.log2_itemsize](loaded.cast_buffer, n)
        return <const char*>loaded.cast_buffer

    cdef bint are_weighted(self) noexcept nogil:
        """Whether rows have weights."""
        return self.has_weights or self.weight_of_class != NULL

    cdef bint needs_numpy(self) noexcept nogil:
        """Whether labels or weights are cast by NumPy, which lets one thread at a time."""
        return self.has_labels and self.labels.convertible < 0 or self.has_weights and self.weights.convertible < 0

    cdef int cast_by_numpy(self, Loaded* loaded, bint labels, Py_ssize_t n, int* dtype, Fault* fault) noexcept with gil:
        """Bring labels or weights of a dtype that the loops do not know into `cast_buffer`, as `elements` does.

        Weights become float64, labels the index of their class as int64, -1 for none: no label is met by rounding.
        """
        cdef Py_ssize_t i, last
        try:
            source = self.y if labels else self.sample_weight
            if loaded.row_index != NULL:
                source = source[[loaded.rows[i] for i in range(n)]]
            else:
                last = row_at(loaded, n - 1)
                source = (source[loaded.first_row:last + 1:self.row_step] if self.row_step > 0
                          else source[last:loaded.first_row + 1:-self.row_step][::-1])
            with default_environment():
                if labels:
                    cast = np.ascontiguousarray(self.classes.index(source), dtype=np.int64)
                    dtype[0] = HF_INT64
                else:
                    cast = np.ascontiguousarray(source, dtype=np.float64)
            memcpy(loaded.cast_buffer, cnp.PyArray_DATA(<cnp.ndarray>cast), n * sizeof(double))
            return 0
        except BaseException as error:
            keep_error(fault, error)
        return -1   # not inside: Cython lets go of a traceback there that need not exist

    cdef bint describe_labels(self, int is_f64, hf_labels* labels) noexcept nogil:
        """Labels of all rows as the loops read them in place; False where they must be gathered or cast first."""
        cdef Py_ssize_t itemsize = 1 << self.labels.log2_itemsize
        if (self.row_numbers != NULL or self.labels.dtype < 0 or self.labels.is_swapped
                or self.row_step * self.labels.stride != itemsize
                or <size_t>self.labels.data % <size_t>itemsize != 0):
            return False
        labels.data = self.labels.data + self.first_row * self.labels.stride
        labels.dtype, labels.itemsize, labels.classes = self.labels.dtype, itemsize, &self.classes.pair
        labels.decode = NULL if self.are_signs[is_f64] else table.real[is_f64].decode_labels[self.labels.dtype]
        return True

    cdef int weigh(self, int is_f64, bint mean, int* exponent) except -1:
        """Find the exponent with which the largest of the batch's weights is near 1, going over them once.

        So they neither overflow nor vanish where the slopes themselves, and their products with X, do not.
        Where labels or weights are found bad any will do: who uses them meets the same fault.
        """
        cdef Fault fault
        cdef double sum, largest = 0
        cdef int of_largest = 0
        cdef hf_fp_state caller
        exponent[0] = 0
        if not self.are_weighted():
            return 0
        while True:
            fault.kind = 0
            sum = self.weight_of_batch(is_f64, exponent[0], &largest, &fault)
            if fault.kind == FAULT_ERROR:
                raise take_error(&fault)
            if fault.kind != 0 or not is_far(sum, exponent):
                break
        caller = hf_fp_enter()
        frexp(largest, &of_largest)
        hf_fp_leave(caller)
        exponent[0] -= of_largest
        if not mean:   # the sums are divided by 2^exponent, which must be a float64
            exponent[0] = max(-1023, min(1023, exponent[0]))
        return 0

    cdef double weight_of_batch(self, int is_f64, int exponent, double* largest, Fault* fault) except? -1:
        """The sum of the batch's weights, and the largest, up to the first fault, which is noted."""
        cdef LoadedSpace space
        cdef Loaded* loaded = loaded_in(&space)
        cdef double[HF_VALUE_LANES] lanes
        cdef Py_ssize_t first = 0, end = 0, n, i
        cdef int failed = 0
        cdef double sum
        cdef int64_t bits = 0, one   # of the largest: those of numbers from 0 on are in the order of the numbers
        cdef hf_fp_state caller
        memset(lanes, 0, sizeof(lanes))
        loaded.exponent = exponent
        while first < self.n_rows and not failed:
            end = min(first + SLICE_ROWS, self.n_rows)
            with nogil:
                caller = hf_fp_enter()
                while first < end and not failed:
                    n = min(<Py_ssize_t>MAX_LOAD, end - first)
                    if self.load_rows(loaded, first, n, fault) < n or self.load(loaded, is_f64, first, n, fault) != 0:
                        failed = 1
                        break
                    table.real[1].sum_values(loaded.weights, NULL, first, n, lanes)
                    for i in range(n):
                        memcpy(&one, &loaded.weights[i], sizeof(one))
                        bits = max(bits, one)
                    first += n
                hf_fp_leave(caller)
            PyErr_CheckSignals()
        caller = hf_fp_enter()
        sum = table.merge_lanes(lanes)
        hf_fp_leave(caller)
        memcpy(largest, &bits, sizeof(bits))
        return sum

    cdef int load(self, Loaded* loaded, int is_f64, Py_ssize_t first, Py_ssize_t n, Fault* fault) noexcept nogil:
        """Labels and weights of the n rows loaded; 0, or -1 with the first fault noted."""
        cdef Py_ssize_t i
        loaded.weights = NULL
        if self.has_labels and self.load_labels(loaded, is_f64, first, n, fault) != 0:
            return -1
        if self.has_weights and self.load_weights(loaded, first, n, fault) != 0:
            return -1
        if self.weight_of_class != NULL:
            if not self.has_weights:
                for i in range(n):
                    loaded.weight_buffer[i] = 1
            self.apply_class_weights(loaded, is_f64, n)
            loaded.weights = loaded.weight_buffer
        return 0

    cdef void apply_class_weights(self, Loaded* loaded, int is_f64, Py_ssize_t n) noexcept nogil:
        """Multiply the weights of the n rows loaded by those of their classes."""
        cdef const double* of = self.weight_of_class
        if self.classes.n_classes == 0:
            table.real[is_f64].class_weights(loaded.signs, of[0], of[1], loaded.exponent, n, loaded.weight_buffer)
        else:
            table.class_weights(loaded.columns, of, loaded.exponent, n, loaded.weight_buffer)

    cdef int load_labels(self, Loaded* loaded, int is_f64, Py_ssize_t first, Py_ssize_t n,
                         Fault* fault) noexcept nogil:
        """Signs of the n rows loaded, or, for K classes, their columns; 0, or -1 with the fault noted."""
        cdef int dtype
        cdef hf_class_labels index    # of labels that are indices already
        cdef const char* found = self.elements(loaded, True, n, &dtype, fault)
        cdef Py_ssize_t at
        if found == NULL:
            return -1
        if self.classes.n_classes == 0:
            at = self.decode_signs(loaded, is_f64, found, dtype, n)
        else:
            index.n_classes, index.first, index.sorted, index.columns = self.classes.n_classes, 0, NULL, NULL
            loaded.columns = <const int32_t*>loaded.label_buffer
            if self.labels.convertible >= 0:
                index = self.classes.columns
            at = table.decode_classes[dtype](found, n, &index, <int32_t*>loaded.label_buffer)
        if at >= 0:
            self.note(fault, loaded, True, first, at, found)
            return -1
        return 0

    cdef Py_ssize_t decode_signs(self, Loaded* loaded, int is_f64, const char* found, int dtype,
                                 Py_ssize_t n) noexcept nogil:
        """Signs: the labels themselves, where those are -1 and +1 in the computing dtype; the first bad one, or -1."""
        cdef const hf_real_loops* real = &table.real[is_f64]
        loaded.signs = loaded.label_buffer
        if not self.are_signs[is_f64]:
            real.decode_labels[dtype](found, n, &self.classes.pair if self.labels.convertible >= 0 else &INDEX,
                                      loaded.label_buffer)
        elif found == <const char*>loaded.cast_buffer:
            memcpy(loaded.label_buffer, found, n << self.labels.log2_itemsize)
        else:
            loaded.signs = found
        return real.find_bad_sign(loaded.signs, n)

    cdef int load_weights(self, Loaded* loaded, Py_ssize_t first, Py_ssize_t n, Fault* fault) noexcept nogil:
        """Weights of the n rows loaded, as float64; 0, or -1 with the fault noted."""
        cdef int dtype
        cdef const char* found = self.elements(loaded, False, n, &dtype, fault)
        cdef Py_ssize_t at
        if found == NULL:
            return -1
        at = table.decode_weights[dtype](found, n, 0 if self.weight_of_class != NULL else loaded.exponent,
                                         loaded.weight_buffer)
        if at >= 0:
            self.note(fault, loaded, False, first, at, found)
            return -1
        loaded.weights = loaded.weight_buffer
        return 0

    cdef void note(self, Fault* fault, Loaded* loaded, bint label, Py_ssize_t first, Py_ssize_t at,
                   const char* found) noexcept nogil:
        """Keep where a label or weight is wrong, and what stood there: its bytes, or its row where NumPy cast it."""
        cdef Vector* vector = &self.labels if label else &self.weights
        cdef Py_ssize_t itemsize = 8 if vector.dtype < 0 else <Py_ssize_t>1 << vector.log2_itemsize
        fault.kind, fault.position = HF_FAULT_LABEL if label else HF_FAULT_WEIGHT, first + at
        fault.row = row_at(loaded, at)
        fault.seen[0] = fault.row
        if vector.convertible >= 0:
            fault.seen[0] = 0
            memcpy(fault.seen, found + at * itemsize, itemsize)

    def seen_label(self, bytes seen):
        """The label that a fault kept."""
        return seen_element(&self.labels, self.y, seen)

    def seen_weight(self, bytes seen):
        """The weight that a fault kept."""
        return seen_element(&self.weights, self.sample_weight, seen)

    @property
    def labels_are_bool(self):
        """Whether labels are booleans, read as 0 and 1."""
        return self.y.dtype.kind == "b"


cdef bint is_far(double sum, int* exponent) noexcept:
    """Whether weights, which have this sum, must be gone over again with the exponent that is left here."""
    if exponent[0] != 0 or LEAST_SUM <= sum <= DBL_MAX:
        return False
    exponent[0] = FAR if sum < LEAST_SUM else -FAR
    return True


cdef object seen_element(Vector* vector, cnp.ndarray array, bytes seen):
    """What `note` kept of an array's element."""
    if vector.convertible < 0:
        return array[np.frombuffer(seen, np.int64)[0]]
    dtype = np.dtype(np.float64) if vector.dtype < 0 else array.dtype.newbyteorder("=")
    return np.frombuffer(seen[:dtype.itemsize], dtype)[0]
