"""The compiled front door for scores: the rules of every method of a loss.

Recognises the canonical case - contiguous native arrays that fit together, no weights, default classes - and runs it at
once. All else goes to `checks`, which converts it or says what is wrong: the only kernel that asks there. Of a margin
loss without weights few rows are one loop, more are a pass whose tasks are (`FusedPass`).
"""
from libc.math cimport frexp
from libc.string cimport memset

cimport numpy as cnp

from hingefast import _threads
from hingefast._kernels.run import DataFault
from hingefast.checks import arguments, explain

from hingefast._kernels.given cimport Given
from hingefast._kernels.labels cimport SIGNS, Classes, Targets, Vector, describe, element_type, is_far
from hingefast._kernels.loaded cimport CURVATURE, MAX_LOAD, SLOPE, VALUE
from hingefast._kernels.questions cimport SUM_WEIGHTS, FindCurvature, FindSlopes, find_slopes
from hingefast._kernels.run cimport Pass
from hingefast._kernels.slopes cimport OneMargin, ScoreLoss
from hingefast._kernels.table cimport (
    HF_FLOAT32, HF_FLOAT64, HF_VALUE_LANES, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_labels, hf_loss, hf_real_loops,
    table,
)
from hingefast._kernels.worker cimport Worker

cnp.import_array()

cdef enum:
    # Calls of so many rows or fewer are one loop on the calling thread, without a pass.
    FEW_ROWS = 65536
    # Calls of fewer rows or numbers, or bytes of scores where one loop of a few operations a row does everything, stay
    # on the calling thread: below, threads took up to twice the time.
    PARALLEL_ROWS = 262144
    PARALLEL_SIMPLE_BYTES = 3145728
    PARALLEL_NUMBERS = 262144

MEAN, SUM = "mean", "sum"


cdef struct Loop:
    # A few rows without weights, read and written in place: whoever holds their arrays may reshape them meanwhile.
    Py_ssize_t n
    int is_f64
    hf_labels labels
    const void* scores
    void* slopes      # or NULL
    bint is_mean


cdef bint plain(object x, int n_dimensions) noexcept:
    """Whether x is an ndarray of contiguous, aligned, native numbers."""
    return (cnp.PyArray_CheckExact(x) and cnp.PyArray_NDIM(<cnp.ndarray>x) == n_dimensions
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x))


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
    if (not plain(out, 1) or cnp.PyArray_DIM(<cnp.ndarray>out, 0) != cnp.PyArray_DIM(vector, 0)
            or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
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


def evaluate(ScoreLoss loss, int want, y, scores, out, tuple options):
    """Value, gradient or both of a loss of scores, or its curvature.

    Parameters
    ----------
    loss : ScoreLoss
    want : int
        VALUE, SLOPE or both; SLOPE | CURVATURE.
    y, scores, out
        As the caller passed them.
    options : tuple
        (sample_weight, class_weight, classes, reduction, n_threads), likewise.
    """
    cdef int n_dimensions = 1 if type(loss) is OneMargin else 2, number = 0
    cdef Py_ssize_t n = 0, n_classes = 0
    cdef bint is_plain
    cdef cnp.ndarray grad = None
    cdef Vector labels
    cdef Loop loop
    cdef Given given
    cdef Targets targets
    cdef Classes classes = SIGNS
    cdef double value = 0
    values = None
    sample_weight, class_weight, declared, reduction, n_threads = options
    is_plain = (plain(scores, n_dimensions) and plain(y, 1) and sample_weight is None and class_weight is None
                and declared is None and type(reduction) is str and (reduction == MEAN or reduction == SUM))
    if is_plain:
        n = cnp.PyArray_DIM(<cnp.ndarray>scores, 0)
        number = cnp.PyArray_TYPE(<cnp.ndarray>scores)
        is_plain = ((number == cnp.NPY_FLOAT64 or number == cnp.NPY_FLOAT32) and n > 0
                    and cnp.PyArray_DIM(<cnp.ndarray>y, 0) == n and element_type(<cnp.ndarray>y) >= 0)
        if n_dimensions == 1:
            is_plain = is_plain and not cnp.PyArray_ISBOOL(<cnp.ndarray>y)
        else:
            n_classes = cnp.PyArray_DIM(<cnp.ndarray>scores, 1)
            is_plain = (is_plain and n_classes >= 2 and loss.k < n_classes
                        and (loss.n_classes == 0 or loss.n_classes == n_classes))
        if is_plain and out is not None:
            is_plain = (want != VALUE and plain(out, n_dimensions) and cnp.PyArray_TYPE(<cnp.ndarray>out) == number
                        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>out, <cnp.ndarray>scores)
                        and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
                        and not overlap(<cnp.ndarray>out, <cnp.ndarray>scores)
                        and not overlap(<cnp.ndarray>out, <cnp.ndarray>y))
    if is_plain:
        labels = describe(<cnp.ndarray>y)   # at once: whoever holds y may reshape it at any later moment
        if want & SLOPE:
            grad = out
            if out is None:
                grad = cnp.PyArray_EMPTY(n_dimensions, cnp.PyArray_DIMS(<cnp.ndarray>scores), number, 0)
        if n_dimensions == 1 and n <= FEW_ROWS and not want & CURVATURE:
            loop.n, loop.is_f64, loop.is_mean = n, number == cnp.NPY_FLOAT64, reduction == MEAN
            loop.scores = cnp.PyArray_DATA(<cnp.ndarray>scores)
            loop.slopes = cnp.PyArray_DATA(grad) if grad is not None else NULL
            loop.labels.data, loop.labels.dtype, loop.labels.classes = labels.data, labels.dtype, &SIGNS.pair
            loop.labels.itemsize = <Py_ssize_t>1 << labels.log2_itemsize
            loop.labels.decode = table.real[loop.is_f64].decode_labels[labels.dtype]
            if labels.dtype == (HF_FLOAT64 if loop.is_f64 else HF_FLOAT32):
                loop.labels.decode = NULL
            if n_threads is not None:
                _threads.resolve_threads(n_threads)   # an error where it makes no sense
            if in_one_loop(loss, &loop, &value):
                return grad if want == SLOPE else value if want == VALUE else (value, grad)
        if n_classes > 0:
            classes = Classes.__new__(Classes, None, n_classes)
        targets = Targets.__new__(Targets, n, classes)
        targets.point_at_labels(y, labels)
        given = Given.__new__(Given, scores, number == cnp.NPY_FLOAT64)
    else:
        given, targets, values, grad = arguments.score_arguments(loss, want, y, scores, out, options)
    if grad is not None:
        given.write_to(grad, targets.are_weighted())
    try:
        value = ask(loss, want, given, targets, values, (reduction == MEAN, n_threads))
    except DataFault as fault:
        error = explain.error(fault, given.scores)
    else:
        error = None
    if error is not None:
        raise error
    if values is not None:
        return values if want == VALUE else (values, grad)
    return value if want == VALUE else grad if not want & VALUE else (value, grad)


cdef bint in_one_loop(ScoreLoss loss, Loop* loop, double* value) noexcept:
    """Value and slopes; False if a label is bad."""
    cdef const hf_real_loops* real = &table.real[loop.is_f64]
    cdef const hf_loss* of_margin = &loss.losses[loop.is_f64]
    cdef double[HF_VALUE_LANES] lanes
    cdef hf_fp_state caller
    cdef int wrong
    memset(lanes, 0, sizeof(lanes))
    with nogil:
        caller = hf_fp_enter()
        wrong = real.loss_of_scores[of_margin.family](of_margin, &loop.labels, loop.scores, loop.n,
                                                      table.divide(1, loop.n) if loop.is_mean else 1, lanes,
                                                      loop.slopes, False)
        value[0] = table.divide(table.merge_lanes(lanes), loop.n if loop.is_mean else 1)
        hf_fp_leave(caller)
    return wrong == 0


cdef class FusedPass(Pass):
    """A pass of which every task is one loop, over rows without weights that are read and written in place."""

    cdef Given given   # the layout
    cdef ScoreLoss loss

    cdef int release(self) except -1:
        self.given = self.loss = None
        return Pass.release(self)

    cdef int walk(self, Worker worker, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        cdef const hf_loss* loss = &self.loss.losses[self.given.is_f64]
        cdef char* grad = self.given.grad + first * self.given.itemsize if self.given.grad != NULL else NULL
        cdef Py_ssize_t n
        cdef hf_labels labels
        self.targets.describe_labels(self.given.is_f64, &labels)
        labels.data = <const char*>labels.data + first * labels.itemsize
        if table.real[self.given.is_f64].loss_of_scores[loss.family](
                loss, &labels, self.given.data + first * self.given.itemsize, end - first, self.given.factor,
                worker.sums.values, grad, self.given.stream) == 0:
            return 0
        while first < end:   # a label is bad: which one
            n = min(<Py_ssize_t>MAX_LOAD, end - first)
            self.targets.load_rows(worker.loaded, first, n, &worker.fault)
            if self.targets.load(worker.loaded, self.given.is_f64, first, n, &worker.fault) != 0:
                return -1
            first += n
        return 0


cdef double ask(ScoreLoss loss, int want, Given given, Targets targets, values, tuple how) except? -1:
    """Weigh, where a mean needs it, then go over all tasks; the reduced value.

    `how` is (whether it is a mean, n_threads).
    """
    cdef FindSlopes slopes
    cdef FindCurvature curvature
    cdef Pass work
    cdef double weight = given.n_rows, value = 0
    cdef bint is_fused
    cdef Loop loop
    is_mean, n_threads = how
    is_fused = (type(loss) is OneMargin and given.data != NULL and values is None and not targets.are_weighted()
                and not want & CURVATURE and (given.grad == NULL or given.grad_is_f64 == given.is_f64)
                and targets.describe_labels(given.is_f64, &loop.labels))
    if is_fused and 0 < given.n_rows <= FEW_ROWS:
        if n_threads is not None:
            _threads.resolve_threads(n_threads)   # an error where it makes no sense
        loop.n, loop.is_f64, loop.is_mean = given.n_rows, given.is_f64, is_mean
        loop.scores, loop.slopes = given.data, given.grad
        if in_one_loop(loss, &loop, &value):
            return value
    given.is_small = not is_worth_threads(loss, given, is_fused)
    work = FusedPass.__new__(FusedPass) if is_fused else Pass.__new__(Pass)
    try:
        work.begin(given, targets, SUM_WEIGHTS)
        if is_mean and targets.are_weighted():
            weight = sum_of_weights(work, n_threads)
        if is_mean:
            if weight == 0:
                raise ValueError(explain.zero_weight(given.n_rows))
            given.factor = quotient(1, weight)
        if is_fused:
            (<FusedPass>work).given, (<FusedPass>work).loss = given, loss
        if want & CURVATURE:
            curvature = FindCurvature.__new__(FindCurvature)
            curvature.loss, curvature.want = loss, SLOPE
            curvature.weigh_later, curvature.factor = given.weigh_later, given.factor
            work.question = curvature
        else:
            slopes = find_slopes(loss, want)
            slopes.want = want   # their sum is of no use
            slopes.weigh_later, slopes.factor = given.weigh_later, given.factor
            if values is not None:
                slopes.values_out = <char*>cnp.PyArray_DATA(<cnp.ndarray>values)
            work.question = slopes
        work.run(n_threads)
        return quotient(work.total.value, weight if is_mean else 1)
    finally:
        work.release()


cdef bint is_worth_threads(ScoreLoss loss, Given given, bint is_fused) noexcept:
    """Whether several threads gain time."""
    if given.width > 1:
        return given.n_rows * given.width >= PARALLEL_NUMBERS
    if is_fused and loss.losses[1].is_simple:
        return given.n_rows >= PARALLEL_SIMPLE_BYTES // given.itemsize
    return given.n_rows >= PARALLEL_ROWS


cdef double sum_of_weights(Pass work, n_threads) except? -1:
    """The sum of the weights, brought near 1 by the exponent that they get from now on."""
    cdef double sum
    cdef int of_sum = 0
    cdef hf_fp_state caller
    while True:
        work.run(n_threads)
        sum = work.total.weight
        if not is_far(sum, &work.exponent):
            break
    caller = hf_fp_enter()
    sum = frexp(sum, &of_sum)
    hf_fp_leave(caller)
    work.exponent -= of_sum
    return sum


cdef double quotient(double x, double y) noexcept:
    """x / y under the default rounding, whatever the caller's."""
    cdef hf_fp_state caller = hf_fp_enter()
    cdef double result = table.divide(x, y)   # behind a pointer: the compiler cannot move it out
    hf_fp_leave(caller)
    return result
