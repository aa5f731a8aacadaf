"""A pass: tasks of rows, each with its own sums, added to the total in task order; and the one walk over their rows.

Knows no layout, no loss and no question: what happens to the rows of a block stands in theirs. Here is what all share:
the order in which tasks are handed out and merged, faults, interruption.
"""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from hingefast import _threads

from hingefast._kernels.job cimport Job
from hingefast._kernels.labels cimport Targets
from hingefast._kernels.layout cimport LOAD, SLICE, TASK, Coef, Layout, Point
from hingefast._kernels.loaded cimport FAULT_ERROR, SLOPE, VALUE, Loaded, Sums, take_error
from hingefast._kernels.questions cimport Question
from hingefast._kernels.table cimport hf_fp_enter, hf_fp_leave, hf_fp_state, hf_real_loops, table
from hingefast._kernels.total cimport Total
from hingefast._kernels.worker cimport (
    BIASES, COEF, DIRECTION_BIASES, GRAD, SLOT_COLUMNS, SLOT_TABLE, TOTAL, Buffer, Worker, borrow_worker, give_back,
)

# Task gradients that live at once may take this much together; one that is larger alone is not made.
cdef size_t MAX_TASK_GRADIENTS = 64 << 20
# Slots are numbered in 32 bits.
cdef Py_ssize_t MAX_SLOTS = 1 << 30
# So many columns have a place each in the table of slots, which is 4 MB at most; more are searched for.
cdef Py_ssize_t MAX_PLACES = 1 << 20


class DataFault(Exception):
    """What a pass found wrong in the data; `hingefast.checks.explain` says it in words.

    Parameters
    ----------
    kind, position, row : int
        What it is (HF_FAULT_...), its place in the batch, or in X.indices, and its row in the caller's arrays.
    seen : bytes
        What stood there when it was read.
    targets : Targets
    layout : Layout
    """

    def __init__(self, *what):
        super().__init__(*what)
        self.kind, self.position, self.row, self.seen, self.targets, self.layout = what


cdef class Pass(Job):
    """One call over the rows of a batch: what is asked, and its sums while they grow. To be released, always.

    How tasks come to the total, which `plan` and `use_slots` decide by the question and the size of the gradient:

        not is_ordered     no gradient: the sums of a task are kept until those before it have been added
        is_ordered         each task has a gradient of its own, and waits with it until its turn to be added
        one_accumulator    that is too large: all tasks add into the total's, one after the other, on one thread;
        in_turn            ... of K classes: threads score tasks of one block each, and add them when their turn comes
        is_sparse_step     the gradient has a number a slot: one thread, one gradient
    """

    cdef int begin(self, Layout layout, Targets targets, Question question) except -1:
        """Set out to ask a question about a batch of a layout's rows."""
        self.width = targets.classes.width
        self.layout, self.targets, self.question = layout, targets, question
        self.total = Total.__new__(Total)
        self.total.n_features, self.total.width = layout.n_features, self.width
        self.total.by_feature = layout.by_feature and self.width > 1
        self.caller = borrow_worker()
        self.caller.begin(targets, layout.is_f64, self.width)
        self.layout_size = question.grad_size(layout, self.width)
        return 0

    cdef int set_coef(self, Coef* coef, Point* at, int which) except -1:
        """Take coefficients and intercepts, as the layout's loops read them; `which`: COEF or DIRECTION."""
        cdef const hf_real_loops* real = &table.real[self.layout.is_f64]
        cdef void* biases = NULL
        cdef hf_fp_state caller
        coef.given = at[0]
        if self.width > 1:
            biases = self.caller.get(BIASES if which == COEF else DIRECTION_BIASES, self.width * sizeof(double))
            coef.biases = biases
        caller = hf_fp_enter()
        try:
            self.layout.pack(self.caller, coef, which)
            if self.width > 1 and at.biases == NULL:
                real.fill(0, self.width, biases)
            elif self.width > 1:
                real.round_coef[at.biases_are_f64](at.biases, self.width, biases)
            elif at.biases == NULL:
                coef.intercept = 0
            else:
                table.real[1].round_coef[at.biases_are_f64](at.biases, 1, &coef.intercept)
        finally:
            hf_fp_leave(caller)
        return 0

    cdef int use_slots(self, Py_ssize_t n_entries) except -1:
        """Let the gradient have a number a slot, at no cost of d; `n_entries` of the batch, if they are few, else 0."""
        cdef Py_ssize_t n_features = self.layout.n_features, size = 4, capacity = min(n_entries, n_features)
        if n_entries <= 0 or capacity > MAX_SLOTS:
            return 0
        while size <= 4 * capacity:
            size *= 2
        self.slots.capacity, self.slots.mask = capacity, size - 1
        if self.width == 1 and n_features <= MAX_PLACES:   # of K sums each, fewer slots are worth a search
            size, self.slots.mask = n_features, 0
        self.slots.table = <int32_t*>self.caller.get(SLOT_TABLE, size * sizeof(int32_t))
        self.slots.columns = <int64_t*>self.caller.get(SLOT_COLUMNS, capacity * sizeof(int64_t))
        self.layout_size = capacity * (self.layout_size // n_features if n_features > 0 else 1)
        self.is_sparse_step = True
        return 0

    cdef int run(self, n_threads) except -1:
        """Do all tasks, on as many threads as help; `DataFault` if something is wrong with the data."""
        cdef Py_ssize_t n_threads_used
        self.plan()
        n_threads_used = self.count_threads(n_threads)
        self.total.exponent = self.exponent
        self.restart()
        self.run_on(n_threads_used)
        if self.fault_number <= self.targets.n_rows:
            self.raise_fault()
        self.total.n_rows = self.targets.n_rows
        self.total.has_value = self.question.want & VALUE != 0
        if not self.targets.are_weighted():
            self.total.weight = self.targets.n_rows
        return 0

    cdef int raise_fault(self) except -1:
        """Raise the first fault of the batch, in the promised order; if there is none any more, what the pass met."""
        met = self.fault.kind, self.fault.position, self.fault.row, (<char*>self.fault.seen)[:16]
        first = self.layout.first_fault(self.targets) or self.targets.first_fault()
        raise DataFault(*(first or met), self.targets, self.layout)

    cdef int plan(self) except -1:
        """Find out whose the gradient is, and how tasks are added to the total."""
        cdef Py_ssize_t size = self.layout_size + (self.width if self.width > 1 else 0)
        cdef size_t largest = MAX_TASK_GRADIENTS if self.width == 1 else self.layout.max_class_gradient
        cdef bint has_gradient = self.question.want & SLOPE and self.layout_size >= 0
        if self.layout_size < 0:
            size = 0
        # Also where no gradient is asked: tasks are cut the same.
        self.one_accumulator = size * sizeof(double) > largest and self.question.want != 0
        self.in_turn = self.one_accumulator and self.width > 1
        self.is_ordered = has_gradient
        if has_gradient:
            if self.lends:
                self.swap_memory()
            self.total.make_gradient(size)
        return 0

    cdef void swap_memory(self) noexcept:
        """Lend the total the worker's memory for one, or take it back."""
        cdef Buffer mine = self.caller.buffers[TOTAL]
        self.caller.buffers[TOTAL], self.total.buffer = self.total.buffer, mine
        self.total.grad = NULL

    cdef Py_ssize_t count_threads(self, n_threads) except -1:
        """How many threads are worth it."""
        cdef Py_ssize_t n_rows = self.targets.n_rows, first_end = 0, n = 1
        cdef size_t grad_bytes = self.total.size * sizeof(double)
        cdef bint is_shared
        if n_rows > 0 and self.in_turn:
            first_end = self.layout.cut(self.targets, 0, n_rows, self.width, LOAD)
        elif n_rows > 0:
            first_end = self.layout.rows_alone(self.targets, self.width)
        # What is left for a second thread must be worth waking it.
        is_shared = (first_end < n_rows and 2 * n_rows >= 3 * first_end and not self.layout.is_small
                     and not self.layout.needs_numpy and not self.targets.needs_numpy())
        if is_shared or n_threads is not None and (type(n_threads) is not int or n_threads != 1):   # or to check it
            n = _threads.resolve_threads(n_threads)
        if not is_shared or self.is_ordered and self.one_accumulator and not self.in_turn:
            return 1
        if self.is_sparse_step and not self.one_accumulator:   # there are more entries than when they were counted
            return 1
        if self.is_ordered and not self.one_accumulator:
            n = min(n, max(<Py_ssize_t>1, <Py_ssize_t>(MAX_TASK_GRADIENTS // max(grad_bytes, <size_t>1))))
        return n

    cdef int restart(self) except -1:
        self.next_number = self.next_first = self.n_merged = 0
        self.fault_number = self.targets.n_rows + 1
        self.waiting = None
        self.total.clear(self.layout_size if self.is_sparse_step else 0)   # of a slot when it is assigned
        self.slots.n = 0
        if self.slots.mask != 0:
            memset(self.slots.table, 0, (self.slots.mask + 1) * sizeof(int32_t))
        return self.prepare(self.caller)

    cdef int release(self) except -1:
        """Let go of the caller's arrays and of the buffers: the helpers' queue may hold the pass itself longer."""
        self.closed = True
        if self.lends and self.total is not None and self.total.grad != NULL:   # None: it never began
            self.swap_memory()
        give_back(self.caller)
        self.layout = self.targets = self.question = self.caller = None
        return 0

    cdef int prepare(self, Worker worker) except -1:
        """Get a thread the buffers that it needs for its tasks."""
        worker.want = self.question.want
        worker.has_zero_grad = False
        self.layout.reserve(worker)
        worker.reserve()
        self.question.reserve(worker)
        worker.loaded.exponent = self.exponent
        if self.is_sparse_step:
            worker.slots = &self.slots
        return 0

    cdef int share(self, bint is_caller) except -1:
        """Take tasks until none is left, merging each when its turn has come."""
        cdef Worker worker = None
        try:
            if is_caller:
                worker = self.caller
            else:
                worker = borrow_worker()
                worker.begin(self.targets, self.layout.is_f64, self.width)
                self.prepare(worker)
            while self.take(worker):
                self.do_task(worker)
        finally:
            if not is_caller:
                give_back(worker)
        return 0

    cdef bint take(self, Worker worker) noexcept:
        """The next task; False when there is none."""
        if self.cancelled or self.next_first >= self.targets.n_rows or self.next_number > self.fault_number:
            return False
        worker.number = self.next_number
        worker.first = self.next_first
        worker.end = self.layout.cut(self.targets, worker.first, self.targets.n_rows, self.width,
                                     LOAD if self.in_turn else TASK)
        self.next_number += 1
        self.next_first = worker.end
        return True

    cdef int do_task(self, Worker worker) except -1:
        cdef Py_ssize_t first = worker.first, end
        cdef int failed = 0
        cdef hf_fp_state caller
        memset(&worker.sums, 0, sizeof(worker.sums))
        worker.fault.kind = 0
        if self.is_ordered:
            worker.grad = self.total.grad   # the first task is the first addition to it
            if not (self.one_accumulator or self.is_sparse_step) and worker.number > 0:
                worker.grad = <double*>worker.get(GRAD, self.total.size * sizeof(double))
                if not worker.has_zero_grad:
                    memset(worker.grad, 0, self.total.size * sizeof(double))
                worker.has_zero_grad = True   # again, when it is merged
        while first < worker.end and not failed:
            with nogil:
                caller = hf_fp_enter()
                end = worker.end
                if not self.in_turn:
                    end = self.layout.cut(self.targets, first, end, self.width, SLICE)
                failed = self.walk(worker, first, end)
                hf_fp_leave(caller)
            if failed and worker.fault.kind == FAULT_ERROR:
                raise take_error(&worker.fault)
            first = end
            if self.cancelled:
                return 0
            self.look()
        if failed:
            return self.fail(worker)
        if not self.is_ordered:
            return self.add_in_order(worker)
        while self.n_merged != worker.number:
            if self.cancelled or self.fault_number < worker.number:
                return 0
            self.wait_before(worker.number)
        self.merge(worker)
        return self.wake(self.n_merged)

    cdef int walk(self, Worker worker, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
        """Rows first .. end of the batch, which are a slice of the worker's task; 0, or -1 with the fault noted."""
        cdef Loaded* loaded = worker.loaded
        cdef Py_ssize_t n, good
        cdef bint adds = self.question.want & SLOPE and not self.in_turn
        while first < end:
            # A task that takes its turn is one block, cut once: row pointers may have changed since.
            n = end - first
            if not self.in_turn:
                n = self.layout.cut(self.targets, first, end, worker.width, LOAD) - first
            worker.start, worker.at = first, 0
            good = self.targets.load_rows(loaded, first, n, &worker.fault)
            if self.targets.load(loaded, worker.is_f64, first, good, &worker.fault) != 0 or good < n:
                return -1
            while self.question.reads_rows and worker.at < n:
                worker.n = n - worker.at
                worker.scores, worker.slopes = worker.scores_buffer, worker.slopes_buffer
                if worker.width == 1:   # these keep what belongs to rows whose labels were loaded together
                    worker.scores = <char*>worker.scores + worker.at * worker.itemsize
                    worker.slopes = <char*>worker.slopes + worker.at * worker.itemsize
                if self.layout.open(worker) != 0:
                    return -1
                if self.question.reads_scores and self.layout.score(worker, &self.coef, &worker.scores) != 0:
                    return -1
                if self.question.ask(self.layout, worker) != 0:
                    return -1
                if adds:
                    if self.question.add(self.layout, worker) != 0:
                        return -1
                    if worker.width > 1 and worker.grad != NULL:
                        table.real[worker.is_f64].add_columns(worker.slopes, worker.n, worker.width,
                                                              worker.grad + self.layout_size)
                worker.at += worker.n
                if adds and not self.question.reads_scores:
                    self.layout.drain(worker)   # no `score` takes along what `add` has left
            self.question.note_values(worker, n)
            first += n
        self.layout.drain(worker)
        return 0

    cdef int fail(self, Worker worker) except -1:
        """Keep the fault of the lowest task."""
        if worker.number < self.fault_number:
            self.fault_number = worker.number
            self.fault = worker.fault
        return self.wake_all()

    cdef int merge(self, Worker worker) except -1:
        """Add the sums and the gradient of a task to the total; tasks come here in their order."""
        cdef hf_fp_state caller
        cdef Total total = self.total
        with nogil:
            caller = hf_fp_enter()
            total.add(&worker.sums)
            if worker.grad != total.grad:
                table.move_into(total.grad, worker.grad, total.size)
            elif self.in_turn and self.question.add(self.layout, worker) == 0:
                table.real[worker.is_f64].add_columns(worker.slopes, worker.n, worker.width,
                                                      total.grad + self.layout_size)
            hf_fp_leave(caller)
        if worker.fault.kind == FAULT_ERROR:
            raise take_error(&worker.fault)
        self.n_merged += 1
        return 0

    cdef int add_in_order(self, Worker worker) except -1:
        """Add the sums of a task without a gradient to the total, at once or when those before it have been."""
        cdef hf_fp_state caller
        if worker.number != self.n_merged:
            if self.waiting is None:
                self.waiting = {}
            self.waiting[worker.number] = bytes((<char*>&worker.sums)[:sizeof(Sums)])
            return 0
        while True:
            caller = hf_fp_enter()
            self.total.add(&worker.sums)
            hf_fp_leave(caller)
            self.n_merged += 1
            if not self.waiting or self.n_merged not in self.waiting:
                return 0
            sums = self.waiting.pop(self.n_merged)
            memcpy(&worker.sums, <const char*>sums, sizeof(Sums))
