"""Dual coordinate descent: passes over rows of X in random order, each with a step in its dual variable and in coef.

Knows no layout and no loss: rows are opened a few at a time and visited where they are, and of the loss there are a
margin and, for each row, an end and a diagonal (`BoundLoss.box`). What is done between the passes is
`hingefast.solvers.dual_cd`'s.
"""
from libc.math cimport INFINITY, copysign, fabs
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from cpython.exc cimport PyErr_CheckSignals

cimport numpy as cnp

import numpy as np

from hingefast import _threads
from hingefast._kernels.run import DataFault

from hingefast._kernels.job cimport Job
from hingefast._kernels.labels cimport SIGNS, Targets
from hingefast._kernels.layout cimport Layout, Rows
from hingefast._kernels.loaded cimport FAULT_ERROR, take_error
from hingefast._kernels.table cimport (
    HF_TURNS, hf_class_descent, hf_descent, hf_dual_row, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_real_loops, table,
)
from hingefast._kernels.worker cimport Worker, borrow_worker, give_back

cnp.import_array()

cdef enum:
    # Rows opened together: where they begin is known while the ones before them are visited.
    AT_ONCE = HF_TURNS
    # Visits between two looks for Ctrl-C, at most, and numbers of rows, about.
    LOOK_ROWS = 1048576
    LOOK_NUMBERS = 8388608
    # With fewer rows to visit none is scored ahead of time, and nobody is woken.
    LEAST_AHEAD = 2048
    # A helper may be late so many times in a row until nobody waits longer for the next.
    MOST_LATE = 6

# How the gain of a centre's steps may change from pass to pass, and how far a step may go next to the one before; tried
# on rcv1 and imdb.
cdef double SLOWER = 0.25, FASTER = 2, LONGER = 1.5, FIRST_RADIUS = 0.5

# The share of the largest gradient met from which on rows rest: all of it (Hsieh et al.) takes up to 1.3 times the time
# (imdb, rcv1). And how far an intercept must have moved, in units of scores, so that all rows are looked at.
cdef double REST = 0.1, FAR = 0.1


cdef class Visits(Job):
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
        self.at = 0
        self.worker = borrow_worker()
        try:
            self.worker.begin(self.targets, self.layout.is_f64, 1)
            self.worker.want = 0
            self.layout.reserve(self.worker)
            self.worker.reserve()
            while self.at < self.n_active:
                self.run_on(self.n_together())
                PyErr_CheckSignals()
        finally:
            give_back(self.worker)
            self.worker = None
        return 0

    cdef Py_ssize_t n_together(self) noexcept:
        """The number of threads that are worth it."""
        return 1

    cdef int share(self, bint is_caller) except -1:
        cdef Worker worker = self.worker
        cdef hf_fp_state caller
        cdef int failed = 0
        with nogil:
            caller = hf_fp_enter()
            if is_caller:
                failed = self.visit_some(worker)
            else:
                self.help()
            hf_fp_leave(caller)
        if not failed:
            return 0
        if worker.fault.kind == FAULT_ERROR:
            raise take_error(&worker.fault)
        met = worker.fault.kind, worker.fault.position, worker.fault.row, (<char*>worker.fault.seen)[:16]
        raise DataFault(*(self.layout.first_fault(self.targets) or met), self.targets, self.layout)

    cdef void help(self) noexcept nogil:
        """What a second thread does."""
        pass

    cdef int visit_some(self, Worker worker) noexcept nogil:
        """Visit rows from `at` on until it is time to look for Ctrl-C; 0, or -1 with the fault noted."""
        cdef int64_t[AT_ONCE] places
        cdef int64_t* order = self.order_at
        cdef Py_ssize_t first = self.at, n, opened, i, other, n_numbers = 0
        cdef Rows rows
        while self.at < self.n_active and self.at - first < LOOK_ROWS and n_numbers < LOOK_NUMBERS:
            n = min(<Py_ssize_t>AT_ONCE, self.n_active - self.at)
            for i in range(n):   # what comes next is drawn from those that are left (Fisher and Yates)
                other = self.at + i + self.draw(self.n_active - self.at - i)
                places[i] = order[other]
                order[other] = order[self.at + i]
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
            self.at += n
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
    coef : ndarray of shape (1, n_features)
        float64: the sum of y_i*a_i*x_i, but for rounding.
    dual : ndarray of shape (n_rows, 1)
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
        self.coef, self.dual = np.zeros((1, layout.n_features)), self.rows[:, :1]
        self.rows_at = <hf_dual_row*>cnp.PyArray_DATA(self.rows)
        self.state.margin = margin
        self.state.rows, self.state.order = self.rows_at, self.order_at
        self.state.coef = <double*>cnp.PyArray_DATA(self.coef)

    def halve(self, Py_ssize_t split, n_threads):
        """Let many rows be scored in halves, each row before the step of the one before it, so that two threads can.

        One that is alone does the same, to the bit (duet.h). Few rows stay as they are. To be called before the first
        visit.

        Parameters
        ----------
        split : int
            The first feature of the second half.
        n_threads : int or None
        """
        if len(self.rows) < LEAST_AHEAD:
            return
        self.middles = np.empty(len(self.rows), np.int32)
        self.state.middles, self.state.split = <int32_t*>cnp.PyArray_DATA(<cnp.ndarray>self.middles), split
        self.state.duet = &self.duet if _threads.resolve_threads(n_threads) > 1 else NULL

    cdef Py_ssize_t n_together(self) noexcept:
        # Processors are busy where a helper was late: each time twice as long nobody is asked for.
        if self.duet.is_late:
            self.n_late = min(self.n_late + 1, MOST_LATE)
            self.n_alone = 1 << self.n_late
        elif self.duet.turn > 0:
            self.n_late //= 2
        memset(&self.duet, 0, sizeof(self.duet))
        if self.state.duet == NULL or not self.state.is_ahead or self.n_active - self.at < LEAST_AHEAD:
            return 1
        self.n_alone = max(self.n_alone - 1, 0)
        return 1 if self.n_alone > 0 else 2

    cdef void help(self) noexcept nogil:
        cdef Py_ssize_t turn = 1, n
        table.arrive(&self.duet)
        n = table.rows_asked(&self.duet, turn)
        while n > 0:
            table.real[self.layout.is_f64].csr_help_descend[self.duet.wide](
                &self.duet, turn, n, self.layout.n_features, self.state.coef)
            turn += 1
            n = table.rows_asked(&self.duet, turn)

    cdef int stop(self, error) except -1:
        """A helper may have come before the work began, which now does not."""
        table.dismiss(&self.duet)
        return Job.stop(self, error)

    cdef int visit_some(self, Worker worker) noexcept nogil:
        cdef int failed = Visits.visit_some(self, worker)
        table.dismiss(&self.duet)
        return failed

    def visit(self, intercepts, double rate, highs, lows):
        """Visit each active row once; those that rest at a bound with gradients beyond these are active no more.

        Parameters
        ----------
        intercepts : ndarray of shape (1,)
        rate : float
            By how much a change of a dual variable by y moves the intercept meanwhile; 0: not at all.
        highs, lows : ndarray of shape (1,)

        Returns
        -------
        estimate : float
            Sum of the rows' shares of the duality gap, each as it was when its row was visited.
        largest, smallest : ndarray of shape (1,)
            Projected gradients met, at least 0 and at most 0.
        moved : ndarray of shape (1,)
            Sum of y times the changes of dual variables.
        """
        cdef hf_descent* state = &self.state
        if rate != state.intercept_rate:
            self.rows[:, 3] = np.copysign(0.0, self.rows[:, 3])
        state.intercept, state.intercept_rate = intercepts[0], rate
        state.high, state.low = highs[0], lows[0]
        state.largest = state.smallest = state.estimate = state.moved = 0
        state.n_kept = 0
        state.is_ahead = state.middles != NULL and self.n_active >= LEAST_AHEAD
        self.visit_active()
        self.n_active = state.n_kept
        return state.estimate, np.array([state.largest]), np.array([state.smallest]), np.array([state.moved])

    cdef int visit_open(self, Worker worker, Rows* rows, const int64_t* places) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.layout.is_f64]
        cdef Py_ssize_t d = self.layout.n_features, at
        if rows.starts == NULL:
            real.descend_rows(rows.dense, places, worker.n, d, &self.state)
            return 0
        self.duet.wide = rows.wide
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
    is_each : bool
        One class against the rest, each: K problems of one score a row. Else the strongest rival.

    Attributes
    ----------
    coef : ndarray of shape (K, n_features)
        A view.
    intercepts : ndarray of shape (K,)
        A view.
    dual : ndarray of shape (n_rows, K)
        Those of the classes, or those of the rivals, 0 at a row's own class.
    """

    def __cinit__(self, Layout layout not None, numbers, cnp.ndarray columns, Py_ssize_t n_classes, bint is_each, costs,
                  tuple box, seed):
        cdef Py_ssize_t n = cnp.PyArray_SIZE(columns), stride = (n_classes + 7) // 8 * 8
        margin, upper, diagonal = box
        self.begin(layout, numbers, n, seed)
        self.rows = np.zeros((n, 4))
        self.rows[:, 1], self.rows[:, 2] = upper, diagonal
        self.rows_at = <hf_dual_row*>cnp.PyArray_DATA(self.rows)
        self.columns, self.costs = columns, costs
        self.by_feature, self.dual = np.zeros((layout.n_features, stride)), np.zeros((n, n_classes))
        padded, self.space = np.zeros(stride), np.zeros(2 * stride)
        self.intercepts, self.of_classes = padded[:n_classes], np.zeros((5, n_classes))
        self.coef = self.by_feature[:, :n_classes].T
        self.state.coef = <double*>cnp.PyArray_DATA(self.by_feature)
        self.state.rows, self.state.order = self.rows_at, self.order_at
        self.state.dual = <double*>cnp.PyArray_DATA(self.dual)
        self.state.columns = <const int32_t*>cnp.PyArray_DATA(columns)
        self.state.costs = <const double*>cnp.PyArray_DATA(<cnp.ndarray>costs) if costs is not None else NULL
        self.state.n_classes, self.state.stride, self.state.margin = n_classes, stride, margin
        self.state.intercepts = <double*>cnp.PyArray_DATA(self.intercepts)
        self.state.of_classes = <double*>cnp.PyArray_DATA(self.of_classes) if is_each else NULL
        self.state.space = <double*>cnp.PyArray_DATA(self.space)

    def visit(self, intercepts, double rate, highs, lows):
        """`Descent.visit` of one class against the rest, each: arrays of shape (K,). A row rests if it does for all."""
        self.of_classes[0], self.of_classes[1], self.of_classes[2:] = highs, lows, 0
        self.intercepts[:] = intercepts
        estimate = self.visit_for_all(rate, 0)
        return estimate, *self.of_classes[2:].copy()

    def visit_rivals(self, double rate, double high):
        """Visit each active row once for the strongest rival.

        Rows without dual variables whose margin is by more than `high` beyond are active no more.

        Returns
        -------
        estimate : float
            As of `visit`.
        largest : float
            The largest change of a score of its own row.
        """
        self.state.largest = 0
        return self.visit_for_all(rate, high), self.state.largest

    cdef double visit_for_all(self, double rate, double high) except? -1:
        """Visit each active row once; the estimate."""
        cdef hf_class_descent* state = &self.state
        if rate != state.intercept_rate:
            self.rows[:, 3] = 0
        state.intercept_rate, state.high = rate, high
        state.estimate = 0
        state.n_kept = 0
        self.visit_active()
        self.n_active = state.n_kept
        return state.estimate

    cdef int visit_open(self, Worker worker, Rows* rows, const int64_t* places) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[self.layout.is_f64]
        cdef Py_ssize_t d = self.layout.n_features, at
        if rows.starts == NULL:
            real.descend_class_rows(rows.dense, places, worker.n, d, &self.state)
            return 0
        at = real.csr_descend_class_rows[rows.wide](rows.data, rows.indices, rows.starts, rows.ends, places, worker.n,
                                                    d, &self.state)
        return 0 if at < 0 else self.layout.note_index(worker, at)


cdef struct Centre:
    # Of one class. What was missing at the last move and how long that was; how long the next may be for what is
    # missing, and at all; since the sign of what is missing changed: the most of it and the largest gain; the most
    # before, and what the gain may be for good.
    double lack, last, gain, radius, most, gain_then, most_before, gain_limit
    # The intercept since all rows were seen, and the least gradient from which on rows have rested since.
    double lowest, highest, borne


cdef class Centres:
    """Intercepts b = centre + rate*(sum of y_i*a_i - share*centre), one or K, and how their centres move.

    With a centre held, rows are visited as if a penalty of stiffness 1/rate held the intercept; at the minimum the sum
    of y_i*a_i is share*b whatever the rate. A step of `rate` times what is missing there is that of the proximal point
    method, which converges; longer ones come from the secant through the last two, and are never beyond bounds that
    halve when the sign changes. Dual variables follow late, so that the two may swing: where what is missing grows from
    one change of the sign to the next, the gain is limited to half of what it was, for good.

    Rows rest at a bound by a gradient of which the intercept is a part: see `rest` and `is_far`.

    Parameters
    ----------
    centres, totals : ndarray of shape (K,)
        Where they begin, and the sums of y_i*a_i; these very arrays are changed.
    rate, share, gain : float
        share: the intercept's penalty in units of alpha. gain: the first guess of b's change for what is missing.
    """

    cdef readonly object centres, totals
    cdef readonly double rate, share
    cdef object states
    cdef double* centre
    cdef double* total
    cdef Centre* state
    cdef Py_ssize_t n

    def __cinit__(self, cnp.ndarray centres, cnp.ndarray totals, double rate, double share, double gain):
        cdef Py_ssize_t k
        self.n = cnp.PyArray_SIZE(centres)
        self.centres, self.totals = centres, totals
        self.rate, self.share = rate, share
        self.states = np.zeros((self.n, sizeof(Centre) // sizeof(double)))
        self.centre, self.total = <double*>cnp.PyArray_DATA(centres), <double*>cnp.PyArray_DATA(totals)
        self.state = <Centre*>cnp.PyArray_DATA(self.states)
        for k in range(self.n):
            self.state[k].gain, self.state[k].radius = gain, FIRST_RADIUS
            self.state[k].most_before = self.state[k].gain_limit = INFINITY
        self.begin()

    cdef double intercept(self, Py_ssize_t k) noexcept:
        return self.centre[k] + self.rate * (self.total[k] - self.share * self.centre[k])

    def intercepts(self):
        """b, a new array."""
        return self.centres + self.rate * (self.totals - self.share * self.centres)

    def gap(self):
        """The intercepts' share of the duality gap, in units of alpha."""
        if self.share == 0:
            return 0.0
        return float(np.sum((self.totals - self.share * self.intercepts()) ** 2)) / (2 * self.share)

    def begin(self):
        """All rows have been seen, or are about to be."""
        for k in range(self.n):
            self.state[k].lowest = self.state[k].highest = self.intercept(k)
            self.state[k].borne = INFINITY

    def rest(self, cnp.ndarray largest, cnp.ndarray smallest):
        """The gradients beyond which rows rest at a bound in the next pass, from the extremes that the last one met.

        A share of these, and as much more as the intercept has moved since all rows were seen: as much as it may move
        yet. Where no row of that sign moved, none rests.
        """
        cdef cnp.ndarray highs = largest.copy(), lows = smallest.copy()
        cdef double* high = <double*>cnp.PyArray_DATA(highs)
        cdef double* low = <double*>cnp.PyArray_DATA(lows)
        cdef double slack
        cdef Py_ssize_t k
        for k in range(self.n):
            slack = self.state[k].highest - self.state[k].lowest
            high[k] = REST * high[k] + slack if high[k] > 0 else INFINITY
            low[k] = REST * low[k] - slack if low[k] < 0 else -INFINITY
            self.state[k].borne = min(self.state[k].borne, min(high[k], -low[k]))
        return highs, lows

    @property
    def is_far(self):
        """Whether an intercept has moved further than rows can bear that rest, and not just a little.

        Else those that are left agree on one at which the others would not rest, and do so again after each check.
        """
        cdef Py_ssize_t k
        for k in range(self.n):
            if self.state[k].highest - self.state[k].lowest > max(self.state[k].borne, FAR):
                return True
        return False

    def move(self, cnp.ndarray moved, double noise):
        """Move on after a pass that changed the totals by `moved`.

        noise : what of a sum of y_i*a_i is rounding.
        """
        cdef const double* change = <const double*>cnp.PyArray_DATA(moved)
        cdef double missing, size, ratio, faster, length, b
        cdef Centre* state
        cdef Py_ssize_t k
        for k in range(self.n):
            state = &self.state[k]
            self.total[k] += change[k]
            missing = self.total[k] - self.share * self.centre[k]
            size = fabs(missing)
            if size > noise:
                if state.lack != 0:
                    ratio = missing / state.lack
                    faster = min(max(1 / (1 - ratio), SLOWER), FASTER) if ratio < 1 else FASTER
                    state.gain = max(self.rate, state.gain * faster)
                    state.radius = min(state.radius, fabs(state.last) / 2) if ratio < 0 else LONGER * state.radius
                    if ratio < 0:
                        if state.most >= state.most_before:
                            state.gain_limit = max(self.rate, min(state.gain_limit, state.gain_then) / 2)
                        state.most_before, state.most, state.gain_then = state.most, 0, 0
                length = max(min(min(state.gain, state.gain_limit) * size, state.radius), self.rate * size)
                state.radius = max(state.radius, length)
                state.gain = length / size
                state.most, state.gain_then = max(state.most, size), max(state.gain_then, state.gain)
                state.last, state.lack = copysign(length, missing), missing
                self.centre[k] += state.last
            b = self.intercept(k)
            state.lowest, state.highest = min(state.lowest, b), max(state.highest, b)
