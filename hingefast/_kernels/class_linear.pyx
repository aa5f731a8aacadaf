"""The pass over X for K classes: scores of a block of rows, their slopes and the gradient, while they are in cache.

Knows no layout and no loss: `Layout` scores and accumulates, `BoundArrangement` finds the slopes. Gradients are in the
layout's own order, followed by the K sums of slopes.
"""
from libc.string cimport memcpy

cimport numpy as cnp

import numpy as np

from hingefast._kernels.table import default_environment

from hingefast._kernels.arrangements cimport (
    BoundArrangement, ClassTargets, find_class_slopes, find_curved_class_slopes,
)
from hingefast._kernels.linear cimport ClassCoef, Layout, LinearPass, Task, begin, reduced
from hingefast._kernels.table cimport table, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_real_loops, hf_slots
from hingefast._kernels.scratch cimport (
    BIASES, CLASS_SCORES, CLASS_SLOPES, COEF, DIRECTION, DIRECTION_SCORES, GROUPS, TILE, Scratch,
)
from hingefast._kernels.slopes cimport SLOPE, VALUE, Block, BlockSpace, add_sums, block_in

cnp.import_array()

# Products between two looks for Ctrl-C: some 20 ms.
cdef Py_ssize_t SLICE_PRODUCTS = 1 << 27


cdef class ClassPass(LinearPass):
    """One call over X for K classes."""

    cdef BoundArrangement arrangement     # None: scores only
    cdef Py_ssize_t n_classes, block_rows, layout_size
    cdef ClassCoef class_coef, class_direction

    cdef size_t max_task_gradient(self) noexcept nogil:
        return self.layout.max_class_gradient()

    cdef Py_ssize_t task_end(self, Py_ssize_t first) noexcept nogil:
        if self.one_accumulator:
            # Threads score blocks ahead, and each adds its own to the accumulator when its turn has come.
            return self.block_end(first, self.targets.n_rows)
        return self.layout.class_task_end(self.targets, first)

    cdef Py_ssize_t block_end(self, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        """Where the block that begins at row `first` of the batch ends."""
        return self.layout.class_block_end(self.targets, first, min(first + self.block_rows, end))

    cdef Py_ssize_t slice_end(self, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        # Whole blocks: a task that takes turns leaves the slopes of one block behind, and must not be cut.
        cdef Py_ssize_t n = SLICE_PRODUCTS // max(self.layout.n_features * self.n_classes, <Py_ssize_t>1)
        n = max(n // self.block_rows, <Py_ssize_t>1) * self.block_rows
        if self.one_accumulator:
            return end
        return self.layout.class_slice_end(self.targets, first, min(first + n, end), self.block_rows)

    cdef int reserve(self, Scratch scratch, Task* task) except -1:
        cdef int is_f64 = self.layout.is_f64
        cdef size_t size = self.block_rows * self.n_classes * (8 if is_f64 else 4)
        self.layout.reserve_rows(scratch, self.block_rows)
        scratch.get(CLASS_SCORES, size)
        if self.arrangement is not None:
            self.arrangement.reserve(scratch, self.block_rows, self.n_classes, is_f64,
                                     self.class_direction.data != NULL)
            scratch.get(CLASS_SLOPES, size)
        if self.class_direction.data != NULL:
            scratch.get(DIRECTION_SCORES, size)
        if self.want & SLOPE:
            # Dense: slopes and rows by class, where each class begins, and as many pairs of row and class. CSR: classes
            # and slopes of one row.
            scratch.get(GROUPS, size + (3 * self.block_rows + 4) * self.n_classes * <size_t>4 + <size_t>64)
        return 0

    cdef int walk(self, Scratch scratch, Task* task, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.layout.is_f64]
        cdef Py_ssize_t itemsize = 8 if self.layout.is_f64 else 4, width = self.n_classes, start = first, n, good
        cdef BlockSpace space
        cdef Block* block = block_in(&space)
        cdef void* scores = scratch.buffers[CLASS_SCORES]
        cdef void* slopes = scratch.buffers[CLASS_SLOPES]
        cdef hf_fp_state caller = hf_fp_enter()
        cdef int failed = -1
        block.exponent = self.exponent
        while start < end:
            # A task that takes its turn is one block, cut once: row pointers may have changed since.
            n = end - start if self.one_accumulator else self.block_end(start, end) - start
            good = self.targets.load_rows(block, start, n, &task.fault)
            if self.layout.open_rows(self.targets, scratch, block, start, good, &task.fault) != 0:
                break
            if self.layout.score_classes(self.targets, scratch, block, good, &self.class_coef, scores,
                                         &task.fault) != 0:
                break
            if self.targets.load(block, self.layout.is_f64, start, good, &task.fault) != 0 or good < n:
                break
            if self.scores_out != NULL:
                memcpy(self.scores_out + start * width * itemsize, scores, n * width * itemsize)
            if self.arrangement is not None:
                if self.class_direction.data == NULL:
                    find_class_slopes(self.arrangement, block, self.layout.is_f64, scores, 0, n, width, self.want,
                                      block.weights, 1, scratch, slopes)
                else:
                    self.layout.score_classes(self.targets, scratch, block, n, &self.class_direction,
                                              scratch.buffers[DIRECTION_SCORES], &task.fault)
                    find_curved_class_slopes(self.arrangement, block, self.layout.is_f64, scores,
                                             scratch.buffers[DIRECTION_SCORES], n, width, scratch, slopes)
                add_sums(block, self.layout.is_f64, n, start - task.first, self.want & VALUE, &task.sums)
                if self.want & SLOPE and not self.one_accumulator:
                    if self.layout.accumulate_classes(scratch, n, width, slopes, self.slots_or_none(), task.grad,
                                                      &task.fault) != 0:
                        break
                    real.add_columns(slopes, n, width, task.grad + self.layout_size)
                task.n_open = n
            start += n
        if start >= end:
            failed = 0
        hf_fp_leave(caller)
        return failed

    cdef void accumulate_in_turn(self, Scratch scratch, Task* task) noexcept nogil:
        cdef void* slopes = scratch.buffers[CLASS_SLOPES]
        if self.want & SLOPE and self.layout.accumulate_classes(scratch, task.n_open, self.n_classes, slopes,
                                                                self.slots_or_none(), self.total, &task.fault) == 0:
            table.real[self.layout.is_f64].add_columns(slopes, task.n_open, self.n_classes,
                                                        self.total + self.layout_size)

    cdef hf_slots* slots_or_none(self) noexcept nogil:
        return &self.slots if self.is_sparse_step else NULL


cdef ClassPass prepare(ClassPass work, Layout layout, ClassTargets targets, BoundArrangement arrangement, int want,
                       cnp.ndarray coef, cnp.ndarray intercept):
    """Make a pass ready to run; `coef` is a contiguous (K, d) array of float32 or float64, `intercept` (K,) float64."""
    begin(work, layout, targets, want)
    work.keep = (coef, intercept)
    work.arrangement = arrangement
    work.n_classes = targets.n_classes
    work.layout_size = layout.class_grad_size(targets.n_classes)
    work.grad_size = work.layout_size + targets.n_classes
    work.can_accumulate_in_turn = True
    work.block_rows = layout.class_block_rows(targets.n_classes)
    work.class_coef = pack(layout, targets, coef, intercept, work.scratch, COEF, 0)
    return work


cdef ClassCoef pack(Layout layout, ClassTargets targets, cnp.ndarray coef, cnp.ndarray intercept, Scratch scratch,
                    int which, Py_ssize_t place) except *:
    """Coefficients as the layout's loops read them, and intercepts in the computing dtype."""
    cdef Py_ssize_t n_classes = targets.n_classes, itemsize = 8 if layout.is_f64 else 4
    cdef char* biases = <char*>scratch.get(BIASES, 2 * n_classes * sizeof(double)) + place * n_classes * itemsize
    cdef hf_fp_state caller = hf_fp_enter()
    cdef ClassCoef packed
    try:
        packed = layout.pack_classes(targets, cnp.PyArray_DATA(coef), cnp.PyArray_TYPE(coef) == cnp.NPY_FLOAT64,
                                     n_classes, scratch, which)
        table.real[layout.is_f64].round_coef[1](cnp.PyArray_DATA(intercept), n_classes, biases)
    finally:
        hf_fp_leave(caller)
    packed.biases = biases
    return packed


cdef cnp.ndarray rounded_to(cnp.ndarray intercept, cnp.ndarray coef):
    """Intercepts in coef's dtype, which a penalty on them and their gradient are made of."""
    with default_environment():
        return np.ascontiguousarray(intercept, coef.dtype)


def value_and_grad(Layout layout, ClassTargets targets, BoundArrangement arrangement, int want, cnp.ndarray coef,
                   cnp.ndarray intercept, double alpha, double intercept_alpha, bint mean, cnp.ndarray out,
                   cnp.ndarray out_intercept, n_threads):
    """Value and gradient of reduction(loss) + alpha/2 |coef|^2 + intercept_alpha/2 |intercept|^2.

    Parameters
    ----------
    layout, targets, arrangement
        X, labels and the loss.
    want : int
        VALUE, SLOPE or both.
    coef : ndarray of shape (K, n_features)
        Contiguous float32 or float64.
    intercept : ndarray of shape (K,)
        Contiguous float64.
    out : ndarray of shape (K, n_features) and coef's dtype, or None
        Written last; may be coef's own memory.
    out_intercept : ndarray of shape (K,) and coef's dtype, or None

    Returns
    -------
    float
        The value; 0 where it is not asked for.
    """
    cdef ClassPass work = ClassPass.__new__(ClassPass)
    cdef int is_f64 = cnp.PyArray_TYPE(coef) == cnp.NPY_FLOAT64
    cdef Py_ssize_t n_classes = targets.n_classes
    cdef double divisor, value = 0
    cdef const void* coef_data = cnp.PyArray_DATA(coef)
    cdef void* out_data = cnp.PyArray_DATA(out) if out is not None else NULL
    cdef cnp.ndarray rounded = rounded_to(intercept, coef)
    cdef const void* intercepts = cnp.PyArray_DATA(rounded)
    cdef void* out_intercepts = cnp.PyArray_DATA(out_intercept) if out_intercept is not None else NULL
    cdef hf_fp_state caller
    try:
        prepare(work, layout, targets, arrangement, want, coef, intercept)
        work.run(mean, n_threads)
        divisor = work.divisor(mean)
        with nogil:
            caller = hf_fp_enter()
            if want & VALUE:
                value = reduced(work.total_value, divisor,
                                table.penalty[is_f64](alpha, coef_data, n_classes * layout.n_features)
                                if alpha != 0 else 0)
                if intercept_alpha != 0:
                    value = reduced(value, 1, table.penalty[is_f64](intercept_alpha, intercepts, n_classes))
            if want & SLOPE:
                layout.finish_classes(work.total, n_classes, divisor, alpha, is_f64, coef_data, out_data)
                if out_intercepts != NULL:
                    table.finish_grad[is_f64](work.total + work.layout_size, n_classes, divisor, intercept_alpha,
                                               intercepts, out_intercepts)
            hf_fp_leave(caller)
    finally:
        work.release()
    return value


def decision_function(Layout layout, ClassTargets targets, cnp.ndarray coef, cnp.ndarray intercept, cnp.ndarray out,
                      n_threads):
    """Scores of the batch into `out`, (n, K) in the computing dtype."""
    cdef ClassPass work = ClassPass.__new__(ClassPass)
    try:
        prepare(work, layout, targets, None, 0, coef, intercept)
        work.scores_out = <char*>cnp.PyArray_DATA(out)
        work.run(False, n_threads)
    finally:
        work.release()


def hessp(Layout layout, ClassTargets targets, BoundArrangement arrangement, cnp.ndarray coef, cnp.ndarray intercept,
          cnp.ndarray direction, cnp.ndarray direction_intercept, double alpha, double intercept_alpha, bint mean,
          cnp.ndarray out, cnp.ndarray out_intercept, n_threads):
    """Generalised Hessian at (coef, intercept) times a direction, into `out` and `out_intercept`."""
    cdef ClassPass work = ClassPass.__new__(ClassPass)
    cdef int is_f64 = cnp.PyArray_TYPE(direction) == cnp.NPY_FLOAT64
    cdef double divisor
    cdef cnp.ndarray rounded = rounded_to(direction_intercept, direction)
    cdef hf_fp_state caller
    try:
        prepare(work, layout, targets, arrangement, SLOPE, coef, intercept)
        work.class_direction = pack(layout, targets, direction, direction_intercept, work.scratch, DIRECTION, 1)
        work.run(mean, n_threads)
        divisor = work.divisor(mean)
        with nogil:
            caller = hf_fp_enter()
            layout.finish_classes(work.total, work.n_classes, divisor, alpha, is_f64, cnp.PyArray_DATA(direction),
                                  cnp.PyArray_DATA(out))
            table.finish_grad[is_f64](work.total + work.layout_size, work.n_classes, divisor, intercept_alpha,
                                       cnp.PyArray_DATA(rounded), cnp.PyArray_DATA(out_intercept))
            hf_fp_leave(caller)
    finally:
        work.release()


def step(Layout layout, ClassTargets targets, BoundArrangement arrangement, cnp.ndarray theta, bint has_intercept,
         double rate, double alpha, double intercept_alpha, bint mean, n_threads):
    """theta -= rate * gradient of the batch, in place; returns the value before the step.

    `theta` is contiguous float32 or float64: coef row by row, then the K intercepts if there are any. As in
    `linear.step`, a sparse batch touches the columns that it stores, if alpha is 0.
    """
    cdef ClassPass work = ClassPass.__new__(ClassPass)
    cdef int is_f64 = cnp.PyArray_TYPE(theta) == cnp.NPY_FLOAT64
    cdef Py_ssize_t n_classes = targets.n_classes, size = n_classes * layout.n_features
    cdef Py_ssize_t itemsize = 8 if is_f64 else 4
    cdef char* data = <char*>cnp.PyArray_DATA(theta)
    cdef char* intercepts = data + size * itemsize
    cdef double divisor, value = 0
    cdef void* grad
    cdef bint few_columns = alpha == 0 and layout.is_sparse()
    cdef hf_fp_state caller
    intercept = theta[size:].astype(np.float64) if has_intercept else np.zeros(n_classes)   # exact
    try:
        prepare(work, layout, targets, arrangement, VALUE | SLOPE, theta, intercept)
        if few_columns and work.use_slots(n_classes):
            work.layout_size, work.grad_size = work.grad_size, work.grad_size + n_classes
        work.run(mean, n_threads)
        divisor = work.divisor(mean)
        grad = work.scratch.get(TILE, max(n_classes, 0 if few_columns else size) * itemsize)
        with nogil:
            caller = hf_fp_enter()
            value = reduced(work.total_value, divisor,
                            table.penalty[is_f64](alpha, data, size) if alpha != 0 else 0)
            if has_intercept:
                if intercept_alpha != 0:
                    value = reduced(value, 1, table.penalty[is_f64](intercept_alpha, intercepts, n_classes))
                table.finish_grad[is_f64](work.total + work.layout_size, n_classes, divisor, intercept_alpha,
                                           intercepts, grad)
                table.real[is_f64].step(grad, n_classes, rate, intercepts)
            if few_columns:
                table.real[is_f64].step_columns(
                    work.slots.columns, work.slots.n if work.is_sparse_step else layout.n_features, work.total,
                    layout.class_stride(n_classes, sizeof(double)), n_classes, layout.n_features, divisor, rate, data)
            else:
                layout.finish_classes(work.total, n_classes, divisor, alpha, is_f64, data, grad)
                table.real[is_f64].step(grad, size, rate, data)
            hf_fp_leave(caller)
    finally:
        work.release()
    return value
