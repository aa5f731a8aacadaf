"""A pass over X: tasks of rows, each with its own sums, added to the total in task order.

What happens to the rows of a task stands in dense.pyx, fortran.pyx and csr.pyx; here is what they share: buffers, the
order in which tasks are handed out and merged, faults, interruption, and the finished value and gradient.
"""
from libc.math cimport ldexp
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

cimport numpy as cnp

from hingefast import _threads
from hingefast.checks import arguments
from hingefast._kernels.job cimport Job
from hingefast._kernels.table cimport BoundLoss, table, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_slots
from hingefast._kernels.scratch cimport (
    COEF, DIRECTION, GRAD, SLOT_COLUMNS, SLOT_TABLE, TILE, TOTAL, Scratch, borrow_scratch, give_back,
)
from hingefast._kernels.slopes cimport FAULT_ERROR, SLOPE, SLOPE_SUM, VALUE, Targets, take_error

cnp.import_array()

# Task gradients that live at once may take this much together; one that is larger alone is not made.
cdef size_t MAX_TASK_GRADIENTS = 64 << 20
# Slots are numbered in 32 bits.
cdef Py_ssize_t MAX_SLOTS = 1 << 30
# So many columns have a place each in the table of slots, which is 4 MB at most; more are searched for.
cdef Py_ssize_t MAX_PLACES = 1 << 20


cdef class Layout:
    """X in one layout. What a new layout has to bring: how tasks are cut, and the walk over a task's rows."""

    cdef bint needs_numpy(self) noexcept:
        """Whether X is cast by NumPy, which lets one thread at a time."""
        return False

    cdef Py_ssize_t task_end(self, Targets targets, Py_ssize_t first) noexcept nogil:
        """Where the task that begins at row `first` of the batch ends; does not depend on the batch's size."""
        return targets.n_rows

    cdef Py_ssize_t slice_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        """How far to go before looking whether the call was interrupted."""
        return end

    cdef int walk(self, LinearPass work, Targets targets, Scratch scratch, Task* task, Py_ssize_t first,
                  Py_ssize_t end) noexcept nogil:
        """Score, slope and accumulate rows first .. end of the batch; 0, or -1 with the fault noted."""
        return 0

    def arrays(self):
        """The arrays that X consists of, by name."""
        return {}

    def first_fault(self, Targets targets):
        """The first fault in the structure of the batch's rows, as `arguments.raise_linear_fault` takes it."""
        return None

    cdef int reserve(self, LinearPass work, Scratch scratch, Task* task) except -1:
        """Get the buffers that `walk` needs for a task beside its gradient."""
        return 0

    cdef bint is_sparse(self) noexcept:
        """Whether rows store only some of the columns, and a step without a penalty touches no others."""
        return False

    cdef Py_ssize_t few_entries(self, Targets targets, Py_ssize_t n_classes) noexcept nogil:
        """Entries of the batch, if it is one task and they are few beside the numbers of coef; else 0."""
        return 0

    # K classes. class_linear.pyx walks over the blocks; a layout brings its loops and the order of its gradient.

    cdef size_t max_class_gradient(self) noexcept nogil:
        """Bytes of the largest gradient of which every task has its own."""
        return MAX_TASK_GRADIENTS

    cdef Py_ssize_t class_grad_size(self, Py_ssize_t n_classes) noexcept nogil:
        """Numbers in the gradient for K classes, in this layout's own order."""
        return n_classes * self.n_features

    cdef Py_ssize_t class_task_end(self, Targets targets, Py_ssize_t first) noexcept nogil:
        """`task_end` for K classes."""
        return self.task_end(targets, first)

    cdef Py_ssize_t class_block_rows(self, Py_ssize_t n_classes) noexcept nogil:
        """Rows of a block; depends on the shape alone, because float32 gradients are summed over a block first."""
        return 1

    cdef Py_ssize_t class_block_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        """Where the block of up to `class_block_rows` rows that begins at row `first` of the batch ends."""
        return end

    cdef Py_ssize_t class_slice_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end,
                                    Py_ssize_t block_rows) noexcept nogil:
        """`slice_end` for K classes."""
        return self.slice_end(targets, first, end)

    cdef int reserve_rows(self, Scratch scratch, Py_ssize_t block_rows) except -1:
        """Get the buffers that `open_rows` needs for a block."""
        return 0

    cdef ClassCoef pack_classes(self, Targets targets, const void* coef, int coef_is_f64, Py_ssize_t n_classes,
                                Scratch scratch, int which) except *:
        """`coef` as `score_classes` reads it: as a rule a copy with classes side by side."""
        return ClassCoef(coef, NULL, n_classes, 0, coef_is_f64, False)

    cdef int open_rows(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t first, Py_ssize_t n,
                       Fault* fault) noexcept nogil:
        """Get the block's n rows ready to be read; 0, or -1 with the fault noted."""
        return -1

    cdef int score_classes(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t n, ClassCoef* coef,
                           void* scores, Fault* fault) noexcept nogil:
        """Scores (n, K) of the open rows; 0, or -1 with the fault noted."""
        return -1

    cdef int accumulate_classes(self, Scratch scratch, Py_ssize_t n, Py_ssize_t n_classes, const void* slopes,
                                hf_slots* slots, double* grad, Fault* fault) noexcept nogil:
        """Add the open rows times their slopes (n, K) to the gradient; 0, or -1 with the fault noted.

        The gradient has a place a slot where `slots` are given, by a layout that `is_sparse`.
        """
        return 0

    cdef void finish_classes(self, const double* total, Py_ssize_t n_classes, double divisor, double alpha,
                             int coef_is_f64, const void* coef, void* out) noexcept nogil:
        """out = total/divisor + alpha*coef, (K, n_features) in the type of coef."""
        pass

    cdef Py_ssize_t class_stride(self, Py_ssize_t n_classes, Py_ssize_t itemsize) noexcept nogil:
        """Numbers of a feature in a gradient with classes side by side, of a layout that `is_sparse`."""
        return n_classes


cdef class LinearPass(Job):
    """One call over X: what is asked, and its sums while they grow.

    The pass of a loss of one margin; `ClassPass` (class_linear.pyx) is that of K classes.
    """

    cdef Py_ssize_t task_end(self, Py_ssize_t first) noexcept nogil:
        """Where the task that begins at row `first` of the batch ends."""
        return self.layout.task_end(self.targets, first)

    cdef Py_ssize_t slice_end(self, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        """How far to go before looking whether the call was interrupted."""
        return self.layout.slice_end(self.targets, first, end)

    cdef int reserve(self, Scratch scratch, Task* task) except -1:
        """Get the buffers that `walk` needs for a task beside its gradient."""
        return self.layout.reserve(self, scratch, task)

    cdef int walk(self, Scratch scratch, Task* task, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        """Score, slope and accumulate rows first .. end of the batch; 0, or -1 with the fault noted."""
        return self.layout.walk(self, self.targets, scratch, task, first, end)

    cdef size_t max_task_gradient(self) noexcept nogil:
        """Bytes of the largest gradient of which every task has its own."""
        return MAX_TASK_GRADIENTS

    cdef void accumulate_in_turn(self, Scratch scratch, Task* task) noexcept nogil:
        """Add to the only accumulator what `walk` left for the task's turn."""
        pass

    cdef bint take(self, Task* task) noexcept:
        """The next task; False when there is none."""
        if self.cancelled or self.next_first >= self.targets.n_rows or self.next_number > self.fault_number:
            return False
        task.number = self.next_number
        task.first = self.next_first
        task.end = self.task_end(task.first)
        self.next_number += 1
        self.next_first = task.end
        return True

    cdef int share(self, bint is_caller) except -1:
        """Take tasks until none is left, merging each when its turn has come."""
        cdef Task task
        cdef Scratch scratch = None
        try:
            scratch = self.scratch if is_caller else borrow_scratch()
            while self.take(&task):
                self.do_task(&task, scratch)
        finally:
            if not is_caller:
                give_back(scratch)
        return 0

    cdef int restart(self) except -1:
        self.next_number = self.next_first = self.n_merged = 0
        self.fault_number = self.targets.n_rows + 1
        self.total_value = self.total_weight = self.total_slope = 0
        self.slots.n = 0
        if self.slots.mask != 0:
            memset(self.slots.table, 0, (self.slots.mask + 1) * sizeof(int32_t))
        if self.is_sparse_step:   # the numbers of a slot are zeroed when it is assigned
            self.total = <double*>self.scratch.get(TOTAL, self.grad_size * sizeof(double))
            memset(self.total + self.slots_size, 0, (self.grad_size - self.slots_size) * sizeof(double))
        elif self.want & SLOPE:
            self.total = <double*>self.scratch.zeros(TOTAL, self.grad_size * sizeof(double))
        return 0

    cdef int release(self) except -1:
        """Let go of the caller's arrays and of the buffers: the helpers' queue may hold the pass itself longer."""
        self.closed = True
        give_back(self.scratch)
        self.keep = self.layout = self.targets = self.scratch = None
        return 0

    cdef int do_task(self, Task* task, Scratch scratch) except -1:
        cdef Py_ssize_t first = task.first, end
        cdef int failed = 0
        memset(&task.sums, 0, sizeof(task.sums))
        task.fault.kind = 0
        task.grad = NULL
        task.block_grad = NULL
        task.n_open = 0
        if self.want & SLOPE:
            task.grad = self.total   # the first task is the first addition to it
            if not (self.one_accumulator or self.is_sparse_step) and task.number > 0:
                task.grad = <double*>scratch.zeros(GRAD, self.grad_size * sizeof(double))
        self.reserve(scratch, task)
        while first < task.end and not failed:
            with nogil:
                end = self.slice_end(first, task.end)
                failed = self.walk(scratch, task, first, end)
            if failed and task.fault.kind == FAULT_ERROR:
                raise take_error(&task.fault)
            first = end
            if self.cancelled:
                return 0
            self.look()
        if failed:
            return self.fail(task)
        while self.n_merged != task.number:
            if self.cancelled or self.fault_number < task.number:
                return 0
            self.wait_before(task.number)
        self.merge(scratch, task)
        return self.wake(self.n_merged)

    cdef int fail(self, Task* task) except -1:
        """Keep the fault of the lowest task."""
        if task.number < self.fault_number:
            self.fault_number = task.number
            self.fault = task.fault
        return self.wake_all()

    cdef int merge(self, Scratch scratch, Task* task) except -1:
        """Add the sums of a task to the total; tasks come here in their order."""
        cdef hf_fp_state caller
        cdef double part[2]
        with nogil:
            caller = hf_fp_enter()
            part[0], part[1] = self.total_value, table.merge_lanes(task.sums.values)
            self.total_value = table.sum_in_order(part, 2)
            part[0], part[1] = self.total_weight, table.merge_lanes(task.sums.weights)
            self.total_weight = table.sum_in_order(part, 2)
            part[0], part[1] = self.total_slope, table.merge_lanes(task.sums.slopes)
            self.total_slope = table.sum_in_order(part, 2)
            if task.grad != NULL and task.grad != self.total:
                table.move_into(self.total, task.grad, self.grad_size)
                scratch.zero_bytes[GRAD] = self.grad_size * sizeof(double)
            if self.one_accumulator:
                self.accumulate_in_turn(scratch, task)
            hf_fp_leave(caller)
        if task.fault.kind == FAULT_ERROR:
            raise take_error(&task.fault)
        self.n_merged += 1
        return 0

    cdef int use_slots(self, Py_ssize_t n_classes) except -1:
        """Give the gradient a place a slot, if the batch is sparse enough: 1 then, at no cost of d; else 0."""
        cdef Py_ssize_t n_entries = self.layout.few_entries(self.targets, n_classes), size = 4
        cdef Py_ssize_t capacity = min(n_entries, self.layout.n_features)
        if n_entries == 0 or capacity > MAX_SLOTS:
            return 0
        while size <= 4 * capacity:
            size *= 2
        self.slots.capacity, self.slots.mask = capacity, size - 1
        if n_classes == 1 and self.layout.n_features <= MAX_PLACES:   # of K sums each, fewer slots are worth a search
            size, self.slots.mask = self.layout.n_features, 0
        self.slots.table = <int32_t*>self.scratch.get(SLOT_TABLE, size * sizeof(int32_t))
        self.slots.columns = <int64_t*>self.scratch.get(SLOT_COLUMNS, capacity * sizeof(int64_t))
        self.grad_size = self.slots_size = capacity * self.layout.class_stride(n_classes, sizeof(double))
        self.is_sparse_step = True
        return 1

    cdef int run(self, bint mean, n_threads) except -1:
        """Do all tasks, on as many threads as help, and raise what was found wrong.

        Afterwards the sums of the call are in total_value, total_weight, total_slope and total.
        """
        cdef size_t grad_bytes = self.grad_size * sizeof(double)
        cdef Py_ssize_t threads = 1, n_rows = self.targets.n_rows, first_end
        cdef bint single, is_shared
        # Also where no gradient is asked: tasks are cut the same.
        self.one_accumulator = grad_bytes > self.max_task_gradient() and self.want != 0
        first_end = self.task_end(0) if n_rows > 0 else 0
        single = first_end >= n_rows
        # What is left for a second thread must be worth waking it.
        is_shared = not single and 2 * n_rows >= 3 * first_end and not self.layout.needs_numpy()
        if n_threads is not None or is_shared:
            threads = _threads.resolve_threads(n_threads)
        if not is_shared or self.want & SLOPE and self.one_accumulator and not self.can_accumulate_in_turn:
            threads = 1
        elif self.is_sparse_step and not self.one_accumulator:   # there are more entries than when they were counted
            threads = 1
        elif self.want & SLOPE and not self.one_accumulator:
            threads = min(threads, max(<Py_ssize_t>1, <Py_ssize_t>(MAX_TASK_GRADIENTS // max(grad_bytes, <size_t>1))))
        if self.want:
            self.targets.weigh(self.layout.is_f64, mean, &self.exponent)
        self.restart()
        self.run_on(threads)
        if self.fault_number <= n_rows:
            met = self.fault.kind, self.fault.position, self.fault.row, (<char*>self.fault.seen)[:16]
            first = self.layout.first_fault(self.targets) or self.targets.first_fault()
            arguments.raise_linear_fault(*(first or met), self.targets, self.layout)
        return 0

    cdef double divisor(self, bint mean) except? -1:
        """What the sums are divided by: the sum of weights, for a mean, or what the weights were multiplied by."""
        cdef double weight = self.total_weight
        if not mean:
            return ldexp(1, self.exponent)
        if not self.targets.has_weights and not self.targets.has_class_weight:
            weight = self.targets.n_rows
        if weight == 0:
            raise ValueError(arguments.zero_weight_message(self.targets.n_rows))
        return weight


cdef int begin(LinearPass work, Layout layout, Targets targets, int want) except -1:
    """Give a pass what every pass has; `release` it, whatever happens."""
    work.scratch = borrow_scratch()
    work.layout = layout
    work.targets = targets
    work.want = want
    work.exponent = 0
    return 0


cdef LinearPass prepare(LinearPass work, Layout layout, Targets targets, BoundLoss loss, int want, cnp.ndarray coef,
                        double intercept):
    """Make a pass ready to run; `coef` is a contiguous float32 or float64 vector."""
    begin(work, layout, targets, want)
    work.grad_size = layout.n_features
    work.keep = (loss, coef)
    work.loss = &loss.real[layout.is_f64] if loss is not None else NULL
    work.intercept = intercept
    work.coef = in_computing_dtype(layout, coef, work.scratch, COEF)
    return work


cdef const void* in_computing_dtype(Layout layout, cnp.ndarray coef, Scratch scratch, int which) except NULL:
    """The numbers of `coef` in the dtype the scores are computed in: in place, or rounded into scratch."""
    cdef int coef_is_f64 = cnp.PyArray_TYPE(coef) == cnp.NPY_FLOAT64
    cdef const void* source = cnp.PyArray_DATA(coef)
    cdef void* target
    cdef hf_fp_state caller
    if coef_is_f64 == layout.is_f64:
        return source
    target = scratch.get(which, layout.n_features * (8 if layout.is_f64 else 4))
    caller = hf_fp_enter()
    table.real[layout.is_f64].round_coef[coef_is_f64](source, layout.n_features, target)
    hf_fp_leave(caller)
    return target


cdef double reduced(double total, double divisor, double penalty) noexcept nogil:
    """total/divisor + penalty."""
    cdef double[2] part
    part[0], part[1] = table.divide(total, divisor), penalty
    return table.sum_in_order(part, 2)


def value_and_grad(Layout layout, Targets targets, BoundLoss loss, int want, cnp.ndarray coef, double intercept,
                   double alpha, double intercept_alpha, bint mean, cnp.ndarray out, n_threads):
    """Value and gradient of reduction(loss) + alpha/2 |coef|^2 + intercept_alpha/2 intercept^2.

    Parameters
    ----------
    layout, targets, loss
        X, labels and the loss.
    want : int
        VALUE, SLOPE or both.
    coef : ndarray of shape (n_features,)
        Contiguous float32 or float64.
    out : ndarray of shape (n_features,) and coef's dtype, or None
        Written last; may be coef's own memory.

    Returns
    -------
    value : float or None
    grad_intercept : float or None
    """
    cdef LinearPass work = LinearPass.__new__(LinearPass)
    cdef int coef_is_f64 = cnp.PyArray_TYPE(coef) == cnp.NPY_FLOAT64
    cdef double divisor, value = 0, grad_intercept = 0
    cdef const void* coef_data = cnp.PyArray_DATA(coef)
    cdef void* out_data = cnp.PyArray_DATA(out) if out is not None else NULL
    cdef hf_fp_state caller
    try:
        prepare(work, layout, targets, loss, want | (SLOPE_SUM if want & SLOPE else 0), coef, intercept)
        work.run(mean, n_threads)
        divisor = work.divisor(mean)
        with nogil:
            caller = hf_fp_enter()
            if work.want & VALUE:
                value = reduced(work.total_value, divisor,
                                table.penalty[coef_is_f64](alpha, coef_data, layout.n_features) if alpha != 0 else 0)
                if intercept_alpha != 0:
                    value = reduced(value, 1, table.penalty[1](intercept_alpha, &intercept, 1))
            if work.want & SLOPE:
                table.finish_grad[coef_is_f64](work.total, layout.n_features, divisor, alpha, coef_data, out_data)
                table.finish_grad[1](&work.total_slope, 1, divisor, intercept_alpha, &intercept, &grad_intercept)
            hf_fp_leave(caller)
    finally:
        work.release()
    return value, grad_intercept


def decision_function(Layout layout, Targets targets, cnp.ndarray coef, double intercept, cnp.ndarray out, n_threads):
    """Scores of the batch into `out`, in the computing dtype."""
    cdef LinearPass work = LinearPass.__new__(LinearPass)
    try:
        prepare(work, layout, targets, None, 0, coef, intercept)
        work.scores_out = <char*>cnp.PyArray_DATA(out)
        work.run(False, n_threads)
    finally:
        work.release()


def hessp(Layout layout, Targets targets, BoundLoss loss, cnp.ndarray coef, double intercept, cnp.ndarray direction,
          double direction_intercept, double alpha, double intercept_alpha, bint mean, cnp.ndarray out, n_threads):
    """Generalised Hessian at (coef, intercept) times a direction; coefficients into `out`, intercept returned."""
    cdef LinearPass work = LinearPass.__new__(LinearPass)
    cdef int is_f64 = cnp.PyArray_TYPE(direction) == cnp.NPY_FLOAT64
    cdef double divisor, of_intercept = 0
    cdef hf_fp_state caller
    try:
        prepare(work, layout, targets, loss, SLOPE | SLOPE_SUM, coef, intercept)
        work.direction = in_computing_dtype(layout, direction, work.scratch, DIRECTION)
        work.direction_intercept = direction_intercept
        work.run(mean, n_threads)
        divisor = work.divisor(mean)
        caller = hf_fp_enter()
        table.finish_grad[is_f64](work.total, layout.n_features, divisor, alpha, cnp.PyArray_DATA(direction),
                                   cnp.PyArray_DATA(out))
        table.finish_grad[1](&work.total_slope, 1, divisor, intercept_alpha, &direction_intercept, &of_intercept)
        hf_fp_leave(caller)
    finally:
        work.release()
    return of_intercept


def step(Layout layout, Targets targets, BoundLoss loss, cnp.ndarray theta, bint has_intercept, double rate,
         double alpha, double intercept_alpha, bint mean, n_threads):
    """theta -= rate * gradient of the batch, in place; returns the value before the step.

    `theta` is contiguous float32 or float64: coef, then the intercept if there is one. Where the layout stores only
    some of the columns and alpha is 0, only those with a gradient are touched; and where the batch stores few of them,
    the step costs no more than its entries.
    """
    cdef LinearPass work = LinearPass.__new__(LinearPass)
    cdef int is_f64 = cnp.PyArray_TYPE(theta) == cnp.NPY_FLOAT64
    cdef Py_ssize_t n_features = layout.n_features
    cdef char* data = <char*>cnp.PyArray_DATA(theta)
    cdef char* at_intercept = data + n_features * (8 if is_f64 else 4)
    cdef double divisor, value = 0, intercept = 0, grad_intercept = 0
    cdef float[1] rounded
    cdef void* grad = NULL
    cdef bint few_columns = alpha == 0 and layout.is_sparse()
    cdef hf_fp_state caller
    if has_intercept:
        intercept = (<double*>at_intercept)[0] if is_f64 else (<float*>at_intercept)[0]
    try:
        prepare(work, layout, targets, loss, VALUE | SLOPE | SLOPE_SUM, theta, intercept)
        if few_columns:
            work.use_slots(1)
        work.run(mean, n_threads)
        divisor = work.divisor(mean)
        if not few_columns:
            grad = work.scratch.get(TILE, n_features * (8 if is_f64 else 4))
        with nogil:
            caller = hf_fp_enter()
            value = reduced(work.total_value, divisor,
                            table.penalty[is_f64](alpha, data, n_features) if alpha != 0 else 0)
            if has_intercept:
                if intercept_alpha != 0:
                    value = reduced(value, 1, table.penalty[1](intercept_alpha, &intercept, 1))
                if is_f64:
                    table.finish_grad[1](&work.total_slope, 1, divisor, intercept_alpha, &intercept, &grad_intercept)
                    table.real[1].step(&grad_intercept, 1, rate, at_intercept)
                else:
                    table.finish_grad[0](&work.total_slope, 1, divisor, intercept_alpha, at_intercept, rounded)
                    table.real[0].step(rounded, 1, rate, at_intercept)
            if few_columns:
                table.real[is_f64].step_columns(
                    work.slots.columns, work.slots.n if work.is_sparse_step else n_features, work.total, 1, 1,
                    n_features, divisor, rate, data)
            else:
                table.finish_grad[is_f64](work.total, n_features, divisor, alpha, data, grad)
                table.real[is_f64].step(grad, n_features, rate, data)
            hf_fp_leave(caller)
    finally:
        work.release()
    return value
