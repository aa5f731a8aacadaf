"""Dual coordinate descent: passes over rows of X in random order, each with a step in its dual variable and in coef.

Knows no layout and no loss: rows are opened a few at a time and visited where they are, and of the loss there are a
margin and, for each row, an end and a diagonal (`BoundLoss.box`). What is done between the passes is
`hingefast.solvers.dual_cd`'s.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t

from cpython.exc cimport PyErr_CheckSignals

cimport numpy as cnp

import numpy as np

from hingefast._kernels.run import DataFault

from hingefast._kernels.labels cimport SIGNS, Targets
from hingefast._kernels.layout cimport Layout, Rows
from hingefast._kernels.loaded cimport FAULT_ERROR, take_error
from hingefast._kernels.table cimport (
    hf_class_descent, hf_descent, hf_dual_row, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_real_loops, table,
)
from hingefast._kernels.worker cimport Worker, borrow_worker, give_back

cnp.import_array()

cdef enum:
    # Rows opened together: where they begin is known while the ones before them are visited.
    AT_ONCE = 64
    # Visits between two looks for Ctrl-C, at most, and numbers of rows, about.
    LOOK_ROWS = 1048576
    LOOK_NUMBERS = 8388608


cdef class Visits:
    """Visits of rows in random order. Abstract; `Descent` and `ClassDescent` say what a visit does.

    Parameters
    ----------
    layout : Layout
    numbers : ndarray of shape (n_rows,), or None
        Contiguous int64: the number in X of each row; None where they are all rows, in order.
    n_rows : int
    seed : int
        Of the order of visits.
    """

    cdef int begin(self, Layout layout, numbers, Py_ssize_t n_rows, seed) except -1:
        self.layout = layout
        self.targets = Targets(layout.n_rows, SIGNS)
        self.numbers = numbers
        self.numbers_at = <const int64_t*>cnp.PyArray_DATA(<cnp.ndarray>numbers) if numbers is not None else NULL
        self.order = np.arange(n_rows)
        self.order_at = <int64_t*>cnp.PyArray_DATA(self.order)
        self.n_active = n_rows
        self.random = <uint64_t>0x9E3779B97F4A7C15ULL * <uint64_t>(2 * <uint64_t>seed + 1)
        return 0

    def activate(self, cnp.ndarray places):
        """Let these rows be visited, and no others."""
        self.n_active = cnp.PyArray_SIZE(places)
        self.order[:self.n_active] = places

    cdef int visit_open(self, Worker worker, Rows* rows, const int64_t* places) noexcept nogil:
        """Visit the open rows; 0, or -1 with the fault noted."""
        return 0

    cdef int visit_active(self) except -1:
        """Visit each active row once."""
        cdef Worker worker = borrow_worker()
        cdef hf_fp_state caller
        cdef Py_ssize_t at = 0
        cdef int failed = 0
        try:
            worker.begin(self.targets, self.layout.is_f64, 1)
            worker.want = 0
            self.layout.reserve(worker)
            worker.reserve()
            while at < self.n_active and not failed:
                with nogil:
                    caller = hf_fp_enter()
                    failed = self.visit_some(worker, &at)
                    hf_fp_leave(caller)
                if failed and worker.fault.kind == FAULT_ERROR:
                    raise take_error(&worker.fault)
                PyErr_CheckSignals()
            if failed:
                met = worker.fault.kind, worker.fault.position, worker.fault.row, (<char*>worker.fault.seen)[:16]
                raise DataFault(*(self.layout.first_fault(self.targets) or met), self.targets, self.layout)
        finally:
            give_back(worker)
        return 0

    cdef int visit_some(self, Worker worker, Py_ssize_t* at) noexcept nogil:
        """Visit rows from `at` on until it is time to look for Ctrl-C; 0, or -1 with the fault noted."""
        cdef int64_t[AT_ONCE] places
        cdef int64_t* order = self.order_at
        cdef Py_ssize_t first = at[0], n, opened, i, other, n_numbers = 0
        cdef Rows rows
        while at[0] < self.n_active and at[0] - first < LOOK_ROWS and n_numbers < LOOK_NUMBERS:
            n = min(<Py_ssize_t>AT_ONCE, self.n_active - at[0])
            for i in range(n):   # what comes next is drawn from those that are left (Fisher and Yates)
                other = at[0] + i + self.draw(self.n_active - at[0] - i)
                places[i] = order[other]
                order[other] = order[at[0] + i]
                table.prefetch(self.rows_at + places[i], sizeof(hf_dual_row))
                worker.loaded.rows[i] = self.numbers_at[places[i]] if self.numbers_at != NULL else places[i]
            worker.loaded.row_index = worker.loaded.rows
            worker.start = opened = 0
            while opened < n:
                worker.at, worker.n = opened, n - opened
                if self.layout.open(worker) != 0 or self.layout.point(worker, &rows) != 0:
                    return -1
                if self.visit_open(worker, &rows, places + opened) != 0:
                    return -1
                opened += worker.n
                n_numbers += rows.n_numbers
            at[0] += n
        return 0

    cdef Py_ssize_t draw(self, Py_ssize_t n) noexcept nogil:
        """A random number in [0, n), by Vigna's xorshift64*."""
        cdef uint64_t x = self.random
        x ^= x >> 12
        x ^= x << 25
        x ^= x >> 27
        self.random = x
        x *= <uint64_t>0x2545F4914F6CDD1DULL
        if n <= 0x7FFFFFFF:
            return <Py_ssize_t>(((x >> 32) * <uint64_t>n) >> 32)
        return <Py_ssize_t>(x % <uint64_t>n)


cdef class Descent(Visits):
    """A descent for one score a row.

    Parameters
    ----------
    signs : ndarray of shape (n_rows,)
        -1 and +1.
    box : tuple
        margin, and U and D of each row: (margin, upper, diagonal).

    Attributes
    ----------
    coef : ndarray of shape (n_features,)
        float64: the sum of y_i*a_i*x_i, but for rounding.
    intercept : float
    dual : ndarray of shape (n_rows,)
        A view.
    """

    def __cinit__(self, Layout layout not None, numbers, cnp.ndarray signs, tuple box, seed):
        cdef Py_ssize_t n = cnp.PyArray_SIZE(signs)
        margin, upper, diagonal = box
        self.begin(layout, numbers, n, seed)
        self.rows = np.empty((n, 4))
        self.rows[:, 0] = 0
        self.rows[:, 1], self.rows[:, 2] = upper, diagonal
        self.rows[:, 3] = np.copysign(0.0, signs)
        self.coef = np.zeros(layout.n_features)
        self.rows_at = <hf_dual_row*>cnp.PyArray_DATA(self.rows)
        self.state.margin = margin
        self.state.rows, self.state.order = self.rows_at, self.order_at
        self.state.coef = <double*>cnp.PyArray_DATA(self.coef)

    @property
    def dual(self):
        return self.rows[:, 0]

    @property
    def intercept(self):
        return self.state.intercept

    def set_intercept(self, double intercept, double rate):
        """Where the intercept is, and by how much a change of a dual variable by y moves it (0: not at all)."""
        if rate != self.state.intercept_rate:
            self.rows[:, 3] = np.copysign(0.0, self.rows[:, 3])
        self.state.intercept, self.state.intercept_rate = intercept, rate

    def visit(self, double high, double low):
        """Visit each active row once; those that rest at a bound with gradients beyond these are active no more.

        Returns
        -------
        estimate : float
            Sum of the rows' shares of the duality gap, each as it was when its row was visited.
        largest, smallest : float
            Projected gradients met, at least 0 and at most 0.
        moved : float
            Sum of y times the changes of dual variables.
        """
        cdef hf_descent* state = &self.state
        state.high, state.low = high, low
        state.largest = state.smallest = state.estimate = state.moved = 0
        state.n_kept = 0
        self.visit_active()
        self.n_active = state.n_kept
        return state.estimate, state.largest, state.smallest, state.moved

    cdef int visit_open(self, Worker worker, Rows* rows, const int64_t* places) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.layout.is_f64]
        cdef Py_ssize_t d = self.layout.n_features, at
        if rows.starts == NULL:
            real.descend_rows(rows.dense, places, worker.n, d, &self.state)
            return 0
        at = real.csr_descend_rows[rows.wide](rows.data, rows.indices, rows.starts, rows.ends, places, worker.n, d,
                                              &self.state)
        return 0 if at < 0 else self.layout.note_index(worker, at)


cdef class ClassDescent(Visits):
    """A descent for K scores a row and the strongest rival.

    Parameters
    ----------
    columns : ndarray of shape (n_rows,)
        int32: the class of each row.
    n_classes : int
    costs : ndarray of shape (K, K), or None
        In place of the margin.
    box : tuple
        As in `Descent`.
    intercept_rate : float
        By how much a change of a dual variable moves the intercepts; 0: there are none.

    Attributes
    ----------
    coef : ndarray of shape (K, n_features)
        A view.
    intercepts : ndarray of shape (K,)
    dual : ndarray of shape (n_rows, K)
        Those of the rivals; 0 at a row's own class.
    """

    def __cinit__(self, Layout layout not None, numbers, cnp.ndarray columns, Py_ssize_t n_classes, costs, tuple box,
                  double intercept_rate, seed):
        cdef Py_ssize_t n = cnp.PyArray_SIZE(columns), stride = (n_classes + 7) // 8 * 8
        margin, upper, diagonal = box
        self.begin(layout, numbers, n, seed)
        self.rows = np.zeros((n, 4))
        self.rows[:, 1], self.rows[:, 2] = upper, diagonal
        self.rows_at = <hf_dual_row*>cnp.PyArray_DATA(self.rows)
        self.columns, self.costs = columns, costs
        self.by_feature, self.dual = np.zeros((layout.n_features, stride)), np.zeros((n, n_classes))
        self.intercepts, self.space = np.zeros(stride), np.empty(2 * stride)
        self.coef = self.by_feature[:, :n_classes].T
        self.state.coef = <double*>cnp.PyArray_DATA(self.by_feature)
        self.state.rows, self.state.order = self.rows_at, self.order_at
        self.state.dual = <double*>cnp.PyArray_DATA(self.dual)
        self.state.columns = <const int32_t*>cnp.PyArray_DATA(columns)
        self.state.costs = <const double*>cnp.PyArray_DATA(<cnp.ndarray>costs) if costs is not None else NULL
        self.state.n_classes, self.state.stride, self.state.margin = n_classes, stride, margin
        self.state.intercepts = <double*>cnp.PyArray_DATA(self.intercepts)
        self.state.intercept_rate = intercept_rate
        self.state.space = <double*>cnp.PyArray_DATA(self.space)

    def visit(self, double high):
        """Visit each active row once; those are active no more whose margin is by more than `high` beyond.

        Returns
        -------
        estimate : float
            As of `Descent.visit`.
        largest : float
            The largest change of a score of its own row.
        """
        cdef hf_class_descent* state = &self.state
        state.high = high
        state.largest = state.estimate = 0
        state.n_kept = 0
        self.visit_active()
        self.n_active = state.n_kept
        return state.estimate, state.largest

    cdef int visit_open(self, Worker worker, Rows* rows, const int64_t* places) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.layout.is_f64]
        cdef Py_ssize_t d = self.layout.n_features, at
        if rows.starts == NULL:
            real.descend_class_rows(rows.dense, places, worker.n, d, &self.state)
            return 0
        at = real.csr_descend_class_rows[rows.wide](rows.data, rows.indices, rows.starts, rows.ends, places, worker.n,
                                                    d, &self.state)
        return 0 if at < 0 else self.layout.note_index(worker, at)
