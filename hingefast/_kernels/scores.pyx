"""The pass over given scores: values and gradient of a margin loss, in tasks of a fixed number of rows."""
from libc.math cimport frexp
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cimport numpy as cnp

import numpy as np

from hingefast._kernels.table import default_environment

from hingefast import _threads
from hingefast.checks import arguments
from hingefast._kernels.table cimport (
    BoundLoss, table, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_labels, hf_real_loops,
)
from hingefast._kernels.scratch cimport Scratch, borrow_scratch, give_back
from hingefast._kernels.slopes cimport (
    FAULT_ERROR, LINE_BYTES, MAX_BLOCK, SLOPE, VALUE, Block, BlockSpace, Fault, Sums, Targets, Vector, add_sums,
    block_in, convertible_type, describe, element_type, keep_error, take_error,
)

cnp.import_array()

cdef enum:
    # Rows of a task: small enough to share out, large enough that handing it out costs nothing.
    TASK_ROWS = 65536
    # Calls of fewer rows, or bytes of scores where one loop of a few operations a row does everything, stay on the
    # calling thread: below, threads took up to twice the time.
    PARALLEL_ROWS = 262144
    PARALLEL_SIMPLE_BYTES = 3145728

MEAN, SUM = "mean", "sum"
PLAIN_CLASSES = (-1, 1)


cdef class ScorePass:
    """One call on scores: what to read, what to find out, where to write.

    The pass of a loss of one margin; `ClassScorePass` (class_scores.pyx) is that of K classes.
    """

    def __dealloc__(self):
        free(self.task_sums)

    cdef int release(self) except -1:
        """Let go of the caller's arrays: the queue of the helpers may hold the pass itself a little longer."""
        self.closed = True
        self.keep = self.targets = self.foreign_scores = None
        return 0

    cdef int attach(self, cnp.ndarray scores, int is_f64, cnp.ndarray grad, values, bint is_plain) except -1:
        """Point at the scores, where they can be read in place, and at the outputs; None where there is none.

        `is_plain`: all arrays are known to be contiguous and of the scores' dtype, and there are no weights. The caller
        may make them something else at any moment: of their objects only the address is read then.
        """
        self.is_f64 = is_f64
        self.factor = 1
        self.exponent = 0
        self.scores = <const char*>cnp.PyArray_DATA(scores)
        if grad is not None:
            self.grad = <char*>cnp.PyArray_DATA(grad)
        if is_plain:
            self.grad_is_f64 = is_f64
            self.stream = grad is not None and self.n_rows * self.row_size * (8 if is_f64 else 4) > STREAM_BYTES
            self.is_plain = True
            return 0
        if (not cnp.PyArray_ISCARRAY_RO(scores)
                or cnp.PyArray_TYPE(scores) != <int>(cnp.NPY_FLOAT64 if is_f64 else cnp.NPY_FLOAT32)):
            self.foreign_scores = scores
            self.foreign_dtype = convertible_type(scores)
            self.row_stride = self.column_stride = cnp.PyArray_STRIDE(scores, 0)
            if cnp.PyArray_NDIM(scores) == 2:
                self.column_stride = cnp.PyArray_STRIDE(scores, 1)
        if grad is not None:
            self.grad_is_f64 = cnp.PyArray_TYPE(grad) == cnp.NPY_FLOAT64
            self.stream = cnp.PyArray_NBYTES(grad) > STREAM_BYTES and self.grad_is_f64 == is_f64
        if values is not None:
            self.row_values = <char*>cnp.PyArray_DATA(<cnp.ndarray>values)
        self.is_plain = (self.foreign_scores is None and values is None and not self.targets.has_weights
                         and not self.targets.has_class_weight and (grad is None or self.grad_is_f64 == is_f64))
        return 0

    cdef double total(self) noexcept nogil:
        """The sum over all tasks, in task order."""
        cdef hf_fp_state caller = hf_fp_enter()
        cdef double sum = table.sum_in_order(self.task_sums, self.n_tasks)
        hf_fp_leave(caller)
        return sum

    cdef int reserve(self, Scratch scratch) except -1:
        """Get the buffers that a thread needs for its tasks; here the stack is enough."""
        return 0

    cdef int restart(self) except -1:
        self.next_task = 0
        self.fault_task = self.n_tasks
        return 0

    cdef int share(self, bint is_caller) except -1:
        """Take tasks until none is left; the lowest fault found is kept."""
        cdef Scratch scratch = None
        try:
            if self.row_size > 1:
                scratch = borrow_scratch()
                self.reserve(scratch)
            self.do_tasks(scratch)
        finally:
            give_back(scratch)
        return 0

    cdef int do_tasks(self, Scratch scratch) except -1:
        cdef Py_ssize_t k
        cdef Fault fault
        cdef bint failed
        while not self.cancelled:
            k = self.next_task
            self.next_task += 1
            if k >= self.n_tasks or k > self.fault_task:
                return 0
            fault.kind = 0
            with nogil:
                failed = self.task(k, &fault, scratch) != 0
            if failed and fault.kind == FAULT_ERROR:
                raise take_error(&fault)
            if failed and k < self.fault_task:
                self.fault_task = k
                self.fault = fault
            self.look()
        return 0

    cdef int task(self, Py_ssize_t k, Fault* fault, Scratch scratch) noexcept nogil:
        """All rows of one task; 0, or -1 with the first fault noted."""
        cdef Py_ssize_t first = k * TASK_ROWS, end = min(first + TASK_ROWS, self.n_rows)
        cdef hf_labels labels
        cdef Sums sums
        cdef hf_fp_state caller = hf_fp_enter()
        cdef int failed
        memset(&sums, 0, sizeof(sums))
        if self.is_plain and self.targets.describe_labels(self.is_f64, &labels):
            failed = self.in_one_loop(&labels, first, end, &sums, fault)
        else:
            failed = self.block_by_block(first, end, &sums, fault)
        self.task_sums[k] = table.merge_lanes(&sums.weights[0] if self.weights_only else &sums.values[0])
        hf_fp_leave(caller)
        return failed

    cdef int in_one_loop(self, hf_labels* labels, Py_ssize_t first, Py_ssize_t end, Sums* sums,
                         Fault* fault) noexcept nogil:
        """Rows without weights, everything read and written in place."""
        cdef Py_ssize_t itemsize = 8 if self.is_f64 else 4
        cdef BlockSpace space
        cdef Block* block
        cdef Py_ssize_t n
        cdef bint wrong
        labels.data = <const char*>labels.data + first * labels.itemsize
        wrong = table.real[self.is_f64].loss_of_scores[self.loss.family](
            self.loss, labels, self.scores + first * itemsize, end - first, self.factor, sums.values,
            self.grad + first * itemsize if self.grad != NULL else NULL, self.stream)
        if wrong:
            block = block_in(&space)
            while first < end:
                n = min(<Py_ssize_t>MAX_BLOCK, end - first)
                self.targets.load_rows(block, first, n, fault)
                if self.targets.load(block, self.is_f64, first, n, fault) != 0:
                    return -1
                first += n
        return 0

    cdef int block_by_block(self, Py_ssize_t first, Py_ssize_t end, Sums* sums, Fault* fault) noexcept nogil:
        """Any rows."""
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Py_ssize_t itemsize = 8 if self.is_f64 else 4, grad_itemsize = 8 if self.grad_is_f64 else 4
        cdef Py_ssize_t at = first, n
        cdef BlockSpace space
        cdef Block* block = block_in(&space)
        block.exponent = self.exponent
        while at < end:
            n = min(<Py_ssize_t>MAX_BLOCK, end - at)
            if self.stream and at == first:
                # From the next block on, blocks of the gradient begin at a cache line: no line is written twice.
                n = min(MAX_BLOCK - <Py_ssize_t>((<size_t>self.grad + at * itemsize) % LINE_BYTES) // itemsize, n)
            self.targets.load_rows(block, at, n, fault)
            if self.targets.load(block, self.is_f64, at, n, fault) != 0:
                return -1
            if self.weights_only:
                table.real[1].sum_values(block.weights, NULL, at - first, n, sums.weights)
                at += n
                continue
            if self.foreign_scores is None:
                block.scores = self.scores + at * itemsize
            elif self.bring_scores(block, block.score_buffer, at, n, fault) != 0:
                return -1
            real.margin_loss[self.loss.family](self.loss, block.signs, block.scores, n, 1,
                                               block.values if self.want & VALUE else NULL,
                                               block.slopes if self.want & SLOPE else NULL)
            add_sums(block, self.is_f64, n, at - first, self.want, sums)
            if self.grad != NULL and block.weights != NULL:
                real.store_weighted[self.grad_is_f64](block.slopes, block.weights, self.factor, n, 1,
                                                      self.grad + at * grad_itemsize)
            elif self.grad != NULL:
                real.store[self.grad_is_f64](block.slopes, n, self.factor, self.grad + at * grad_itemsize,
                                             self.stream)
            if self.row_values != NULL:
                if block.weights != NULL:
                    real.scale(block.values, block.weights, 1, n)
                real.store[self.is_f64](block.values, n, 1, self.row_values + at * itemsize, False)
            at += n
        return 0

    cdef int bring_scores(self, Block* block, void* to, Py_ssize_t at, Py_ssize_t n, Fault* fault) noexcept nogil:
        """Make n rows of scores of another dtype or order the block's; 0, or -1 with the error noted."""
        cdef const char* first = self.scores + at * self.row_stride
        cdef Py_ssize_t i
        block.scores = <const char*>to
        if self.foreign_dtype < 0:
            return self.cast_scores(to, at, n, fault)
        convert = table.real[self.is_f64].convert[self.foreign_dtype]
        if self.row_size == 1:
            convert(first, self.row_stride, n, to)
            return 0
        for i in range(n):
            convert(first + i * self.row_stride, self.column_stride, self.row_size,
                    <char*>to + i * self.row_size * (8 if self.is_f64 else 4))
        return 0

    cdef int cast_scores(self, void* to, Py_ssize_t at, Py_ssize_t n, Fault* fault) noexcept with gil:
        """`bring_scores` by NumPy."""
        try:
            with default_environment():
                cast = np.ascontiguousarray(self.foreign_scores[at:at + n],
                                            dtype=np.float64 if self.is_f64 else np.float32)
            memcpy(to, cnp.PyArray_DATA(<cnp.ndarray>cast), n * self.row_size * (8 if self.is_f64 else 4))
            return 0
        except BaseException as error:
            keep_error(fault, error)
        return -1   # not inside: Cython lets go of a traceback there that need not exist

    cdef int run(self, bint weights_only, n_threads) except -1:
        """Do all tasks and raise what was found wrong."""
        cdef Py_ssize_t threads = 1
        cdef bint is_shared = self.is_large and not self.targets.needs_numpy() and (
            self.foreign_scores is None or self.foreign_dtype >= 0)
        self.weights_only = weights_only
        if self.task_sums == NULL:
            self.task_sums = <double*>malloc(max(self.n_tasks, <Py_ssize_t>1) * sizeof(double))
            if self.task_sums == NULL:
                raise MemoryError()
        if n_threads is not None or is_shared:
            threads = min(<Py_ssize_t>_threads.resolve_threads(n_threads), self.n_tasks)
        self.restart()
        self.run_on(threads if is_shared else 1)
        if self.fault_task < self.n_tasks:
            met = self.fault.kind, self.fault.position, self.fault.row, (<char*>self.fault.seen)[:16]
            arguments.raise_target_fault(*(self.targets.first_fault() or met), self.targets, self.keep[1])
        return 0

    cdef double weigh(self, n_threads) except? -1:
        """The sum of the weights, brought near 1 by the exponent that they get."""
        cdef double sum
        cdef int of_sum = 0
        cdef hf_fp_state caller
        while True:
            self.run(True, n_threads)
            sum = self.total()
            if not self.targets.is_far(sum, &self.exponent):
                break
        caller = hf_fp_enter()
        sum = frexp(sum, &of_sum)
        hf_fp_leave(caller)
        self.exponent -= of_sum
        return sum

    cdef double finish(self, bint is_mean, n_threads) except? -1:
        """Weigh, where a mean needs it, then go over all tasks; the reduced value."""
        cdef double total_weight = self.n_rows
        try:
            if is_mean:
                if self.targets.has_weights or self.targets.has_class_weight:
                    total_weight = self.weigh(n_threads)
                if total_weight == 0:
                    raise ValueError(arguments.zero_weight_message(self.n_rows))
                self.factor = quotient(1, total_weight)
            self.run(False, n_threads)
            return quotient(self.total(), total_weight if is_mean else 1)
        finally:
            self.release()


cdef bint plain(object x, Py_ssize_t n) noexcept:
    """Whether x is an ndarray of n contiguous, aligned, native numbers in one dimension."""
    return (cnp.PyArray_CheckExact(x) and cnp.PyArray_NDIM(<cnp.ndarray>x) == 1
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x)
            and (n < 0 or cnp.PyArray_DIM(<cnp.ndarray>x, 0) == n))


cdef bint overlap(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Whether the address ranges of two contiguous arrays meet."""
    cdef const char* a = <const char*>cnp.PyArray_DATA(x)
    cdef const char* b = <const char*>cnp.PyArray_DATA(y)
    return a < b + cnp.PyArray_NBYTES(y) and b < a + cnp.PyArray_NBYTES(x)


def is_plain_output(out, cnp.ndarray vector, dict inputs, theta, rows):
    """Whether `out` can take a gradient like `vector`, as far as one can tell at a glance.

    False where it cannot, and where `inputs` (by name), `theta` or `rows` are arrays that do not lie in one piece:
    `arrays.check_out` tells.
    """
    cdef cnp.ndarray grad
    if (not plain(out, cnp.PyArray_DIM(vector, 0)) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
            or cnp.PyArray_TYPE(<cnp.ndarray>out) != cnp.PyArray_TYPE(vector)):
        return False
    grad = <cnp.ndarray>out
    for other in inputs.values():
        if not lies_apart(grad, other):
            return False
    return lies_apart(grad, theta) and lies_apart(grad, rows)


cdef bint lies_apart(cnp.ndarray out, other) noexcept:
    """Whether `other` is no array, or one in one piece that does not meet `out`."""
    if not cnp.PyArray_Check(other):
        return True
    return cnp.PyArray_ISONESEGMENT(<cnp.ndarray>other) and not overlap(out, <cnp.ndarray>other)


def evaluate(BoundLoss loss, int want, y, scores, sample_weight, class_weight, classes, reduction, out, n_threads):
    """Value (want = 1), gradient (2) or both (3) of a margin loss on scores; the rules of every loss method.

    Recognises the plain case - contiguous native arrays of one length, no weights, default classes - and
    runs it at once. All else goes to `arguments.score_arguments`, which converts it or raises.
    """
    cdef ScorePass work
    cdef Targets targets
    cdef Vector labels
    cdef Py_ssize_t n
    cdef int number, label_type, is_f64
    cdef bint is_plain = False, is_mean, is_none, is_simple
    cdef cnp.ndarray grad = None
    cdef double value
    values = None
    if plain(scores, -1) and sample_weight is None and class_weight is None and classes is None:
        n = cnp.PyArray_DIM(<cnp.ndarray>scores, 0)
        number = cnp.PyArray_TYPE(<cnp.ndarray>scores)
        is_f64 = number == cnp.NPY_FLOAT64
        is_plain = (is_f64 or number == cnp.NPY_FLOAT32) and plain(y, n) and n > 0
        is_plain = is_plain and type(reduction) is str and (reduction == MEAN or reduction == SUM)
        if is_plain:
            label_type = element_type(<cnp.ndarray>y)
            is_plain = label_type >= 0 and not cnp.PyArray_ISBOOL(<cnp.ndarray>y)
        if is_plain and out is not None:
            is_plain = (want != VALUE and plain(out, n) and cnp.PyArray_TYPE(<cnp.ndarray>out) == number
                        and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
                        and not overlap(<cnp.ndarray>out, <cnp.ndarray>scores)
                        and not overlap(<cnp.ndarray>out, <cnp.ndarray>y))
        if is_plain:
            labels = describe(<cnp.ndarray>y)   # at once: whoever holds y may reshape it at any later moment
    if is_plain:
        if want & SLOPE:
            grad = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(<cnp.ndarray>scores), number, 0) if out is None else out
    else:
        (y, scores, is_f64, sample_weight, class_weight, classes, reduction, values, grad) = (
            arguments.score_arguments(want, y, scores, sample_weight, class_weight, classes, reduction, out))
        n = cnp.PyArray_DIM(<cnp.ndarray>scores, 0)
    is_mean = reduction == MEAN
    is_none = values is not None
    if is_plain:
        targets = Targets.__new__(Targets, n)
        targets.point_at_labels(y, labels, PLAIN_CLASSES)
    else:
        targets = Targets.__new__(Targets, n, y, classes, sample_weight, class_weight)
    work = ScorePass.__new__(ScorePass)
    work.keep = (loss, scores, values, grad)
    work.loss = &loss.real[is_f64]
    work.targets = targets
    work.want = want
    work.n_rows = n
    work.row_size = 1
    work.n_tasks = (n + TASK_ROWS - 1) // TASK_ROWS
    work.attach(scores, is_f64, grad, values, is_plain)
    is_simple = work.is_plain and work.loss.is_simple
    work.is_large = n >= (PARALLEL_SIMPLE_BYTES // (8 if is_f64 else 4) if is_simple else PARALLEL_ROWS)
    value = work.finish(is_mean, n_threads)
    if is_none:
        return values if want == VALUE else grad if want == SLOPE else (values, grad)
    if want == SLOPE:
        return grad
    return value if want == VALUE else (value, grad)


cdef double quotient(double x, double y) noexcept:
    """x / y under the default rounding, whatever the caller's."""
    cdef hf_fp_state caller = hf_fp_enter()
    cdef double result = table.divide(x, y)   # behind a pointer: the compiler cannot move it out
    hf_fp_leave(caller)
    return result
