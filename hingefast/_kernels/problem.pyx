"""What is asked: X, labels, loss, penalty and reduction, in one immutable object that threads share freely.

Coefficients and intercepts come in one of two ways: together in a contiguous float32 or float64 vector theta, coef row
by row and then, if there are any, the intercepts, with None for `intercept`; or apart, coef as such an array of `width`
rows and the intercepts as a float for one score a row, else as a contiguous float64 array of `width` numbers. Batches
come as in `Targets`.
"""
cimport numpy as cnp

import numpy as np

from hingefast._kernels.run import DataFault
from hingefast._kernels.total import ForeignTotal

from hingefast._kernels.labels cimport SIGNS, Targets
from hingefast._kernels.layout cimport OF_COLUMNS, OF_PAIRS, Layout, Point
from hingefast._kernels.loaded cimport SLOPE, SLOPE_SUM, VALUE
from hingefast._kernels.questions cimport (
    CurveDirection, Question, SquareColumns, SquareRows, TakeSlopes, WriteScores, find_slopes,
)
from hingefast._kernels.run cimport Pass
from hingefast._kernels.slopes cimport ScoreLoss
from hingefast._kernels.table cimport hf_fp_enter, hf_fp_leave, hf_fp_state, table
from hingefast._kernels.total cimport Total
from hingefast._kernels.worker cimport COEF, DIRECTION, STEP

cnp.import_array()


class ZeroWeight(Exception):
    """The weights of all rows, of which there are so many, sum to 0, so that there is no mean."""


cdef class Problem:
    """reduction(loss) + alpha/2*|coef|^2 + intercept_alpha/2*|intercept|^2.

    Parameters
    ----------
    layout : Layout
        X.
    targets : Targets
        Labels, weights and, where none are given with a call, rows.
    loss : ScoreLoss, optional
        None where only scores are asked for.
    penalty : tuple of two floats
        (alpha, intercept_alpha).
    is_mean : bool
        Whether the sum of losses is divided by the sum of weights.
    n_threads : int or None
    """

    def __cinit__(self, Layout layout not None, Targets targets not None, ScoreLoss loss=None, tuple penalty=(0.0, 0.0),
                  bint is_mean=False, n_threads=None):
        self.layout, self.targets, self.loss = layout, targets, loss
        self.alpha, self.intercept_alpha = penalty
        self.is_mean = is_mean
        self.n_threads = n_threads
        self.width = targets.classes.width
        if loss is not None:
            self.value_and_slope = find_slopes(loss, VALUE | SLOPE)

    def check(self):
        """Go over labels, weights and the structure of X once; `DataFault` where something is wrong."""
        fault = self.layout.first_fault(self.targets) or self.targets.first_fault()
        if fault is not None:
            raise DataFault(*fault, self.targets, self.layout)

    def value_and_grad(self, int want, cnp.ndarray coef, intercept, cnp.ndarray out, rows=None):
        """Value and gradient over a batch: `total` and `finish` in one."""
        cdef Pass work = Pass.__new__(Pass)
        cdef Point at
        point_at(&at, coef, intercept, self.width, self.layout.n_features)
        work.lends = True
        try:
            return self.finished(self.sum_up(work, want, &at, rows), &at, intercept, out)
        finally:
            work.release()

    def total(self, int want, cnp.ndarray coef, intercept, rows=None):
        """The sums of a batch as a `Total`: VALUE, SLOPE or both."""
        cdef Pass work = Pass.__new__(Pass)
        cdef Point at
        point_at(&at, coef, intercept, self.width, self.layout.n_features)
        try:
            return self.sum_up(work, want, &at, rows)
        finally:
            work.release()

    def finish(self, Total total not None, cnp.ndarray coef, intercept, cnp.ndarray out):
        """The reduced and penalised value, and the gradient if the total has one.

        Parameters
        ----------
        total : Total
            Of this problem, or of others of the same shape and layout.
        out : ndarray of the shape and dtype of coef, or of theta, or None
            Where the gradient goes, if the total has one; may be coef's own memory.

        Returns
        -------
        value : float
            0 where values were not summed.
        grad_intercept : float, or new ndarray of shape (width,) in coef's dtype
            0.0 where it is in `out`, or nowhere.

        Raises
        ------
        ForeignTotal
            If the total is of another shape, or in another layout's order.
        """
        cdef Point at
        if (total.n_features != self.layout.n_features or total.width != self.width
                or total.by_feature != (self.layout.by_feature and self.width > 1)
                or total.grad != NULL and total.size < self.layout.grad_size(self.width)):
            raise ForeignTotal(total, self)
        point_at(&at, coef, intercept, self.width, self.layout.n_features)
        return self.finished(total, &at, intercept, out)

    cdef Total sum_up(self, Pass work, int want, Point* at, rows):
        """`total` by a pass that the caller releases, at coefficients and intercepts that were pointed at."""
        work.begin(self.layout, self.targets.batch(rows),
                   self.value_and_slope if want == VALUE | SLOPE else find_slopes(self.loss, want))
        work.set_coef(&work.coef, at, COEF)
        return self.go(work)

    cdef tuple finished(self, Total total, Point* at, intercept, cnp.ndarray out):
        """`finish` likewise."""
        cdef double divisor = self.divisor(total), value = 0, grad_bias = 0
        cdef char* grad = <char*>cnp.PyArray_DATA(out) if out is not None else NULL
        cdef void* grad_biases = NULL
        cdef int of_biases = at.is_f64
        cdef hf_fp_state caller
        new = None
        if intercept is None:
            if at.biases != NULL:
                grad_biases = grad + (<const char*>at.biases - <const char*>at.coef)
        elif self.width == 1:
            grad_biases, of_biases = &grad_bias, 1
        else:
            new = np.empty(self.width, np.float64 if at.is_f64 else np.float32)
            grad_biases = cnp.PyArray_DATA(<cnp.ndarray>new)
        with nogil:
            caller = hf_fp_enter()
            if total.has_value:
                value = self.reduced(total, divisor, at)
            if total.grad != NULL and grad != NULL:
                self.layout.finish(total.grad, at, divisor, self.alpha, grad)
                if grad_biases != NULL:
                    self.finish_biases(total, divisor, at, of_biases, grad_biases)
            hf_fp_leave(caller)
        return value, grad_bias if new is None else new

    def hessp(self, cnp.ndarray theta, cnp.ndarray direction, cnp.ndarray out):
        """Generalised Hessian at theta times a direction, into `out`, of its shape and dtype."""
        cdef CurveDirection question = CurveDirection.__new__(CurveDirection)
        cdef Pass work = Pass.__new__(Pass)
        cdef Point at, along
        point_at(&at, theta, None, self.width, self.layout.n_features)
        point_at(&along, direction, None, self.width, self.layout.n_features)
        question.loss, question.want = self.loss, SLOPE | SLOPE_SUM
        work.lends = True
        try:
            work.begin(self.layout, self.targets, question)
            work.set_coef(&work.coef, &at, COEF)
            work.set_coef(&question.direction, &along, DIRECTION)
            # The penalty's Hessian is a multiple of the identity: what it adds to a gradient at `direction`.
            self.finished(self.go(work), &along, None, out)
        finally:
            work.release()

    def scores(self, cnp.ndarray coef, intercept, cnp.ndarray out, rows=None):
        """Scores of the batch into `out`, in the computing dtype."""
        cdef WriteScores question = WriteScores.__new__(WriteScores)
        cdef Pass work = Pass.__new__(Pass)
        cdef Point at
        point_at(&at, coef, intercept, self.width, self.layout.n_features)
        question.out = <char*>cnp.PyArray_DATA(out)
        try:
            work.begin(self.layout, self.targets.batch(rows), question)
            work.set_coef(&work.coef, &at, COEF)
            work.run(self.n_threads)
        finally:
            work.release()

    def add_slopes(self, cnp.ndarray slopes, rows=None):
        """X.T @ slopes, of the batch's rows.

        Parameters
        ----------
        slopes : ndarray of shape (n,), or (n, width)
            Contiguous, in the computing dtype.

        Returns
        -------
        Total
        """
        cdef TakeSlopes question = TakeSlopes.__new__(TakeSlopes)
        cdef Pass work = Pass.__new__(Pass)
        question.given, question.want = <const char*>cnp.PyArray_DATA(slopes), SLOPE | SLOPE_SUM
        try:
            work.begin(self.layout, self.targets.batch(rows), question)
            work.run(self.n_threads)
            return work.total
        finally:
            work.release()

    def square_rows(self, rows=None):
        """Sums of the squares of the entries of each row of the batch, as a new float64 array."""
        cdef SquareRows question = SquareRows.__new__(SquareRows)
        cdef Targets batch = self.targets.batch(rows)
        norms = np.zeros(batch.n_rows)
        question.out = <double*>cnp.PyArray_DATA(<cnp.ndarray>norms)
        self.sum_squares(question, batch)
        return norms

    def square_columns(self, cnp.ndarray weights=None, rows=None):
        """Sums of the squares of each column over the batch, as a new float64 array.

        Parameters
        ----------
        weights : ndarray of shape (number of rows,), optional
            Contiguous float64: what each row's squares are multiplied by.
        """
        return self.sum_columns(OF_COLUMNS, weights, rows).gradient()

    def product_columns(self, cnp.ndarray weights=None, rows=None):
        """X.T @ diag(weights) @ X over the batch, and X.T @ weights, new, float64 (d, d) and (d,).

        weights as in `square_columns`. The second is what a column of ones adds to the first.
        """
        cdef Py_ssize_t d = self.layout.n_features
        sums = self.sum_columns(OF_PAIRS, weights, rows).gradient().reshape(d + 1, d)
        half = sums[:d]
        return half + half.T, sums[d]

    cdef Total sum_columns(self, int of, cnp.ndarray weights, rows):
        cdef SquareColumns question = SquareColumns.__new__(SquareColumns)
        question.of = of
        question.given = <const double*>cnp.PyArray_DATA(weights) if weights is not None else NULL
        return self.sum_squares(question, self.targets.batch(rows))

    cdef Total sum_squares(self, Question question, Targets batch):
        cdef Pass work = Pass.__new__(Pass)
        # One score a row, whatever the loss: rows are read as for its gradient.
        cdef Targets of_one = batch if self.width == 1 else Targets(batch.n_total, SIGNS, rows=batch.rows)
        try:
            work.begin(self.layout, of_one, question)
            work.run(self.n_threads)
            return work.total
        finally:
            work.release()

    def step(self, cnp.ndarray theta, double rate, rows=None):
        """theta -= rate * gradient of the batch, in place; returns the value before the step.

        Where the layout stores only some of the columns and alpha is 0, only those with a gradient are touched; and
        where the batch stores few of them, the step costs no more than its entries.
        """
        cdef Pass work = Pass.__new__(Pass)
        cdef Layout layout = self.layout
        cdef Targets batch = self.targets.batch(rows)
        cdef Py_ssize_t d = layout.n_features, size = self.width * d
        cdef Py_ssize_t n_entries = layout.few_entries(batch, self.width) if self.alpha == 0 else -1
        cdef bint few_columns = n_entries >= 0
        cdef double divisor, value
        cdef Point at
        cdef void* grad
        cdef hf_fp_state caller
        point_at(&at, theta, None, self.width, d)
        work.lends = True
        try:
            work.begin(layout, batch, self.value_and_slope)
            work.set_coef(&work.coef, &at, COEF)
            if few_columns:
                work.use_slots(n_entries)
            self.go(work)
            divisor = self.divisor(work.total)
            grad = work.caller.get(STEP, max(self.width, 0 if few_columns else size) * (8 if at.is_f64 else 4))
            with nogil:
                caller = hf_fp_enter()
                value = self.reduced(work.total, divisor, &at)
                if at.biases != NULL:
                    self.finish_biases(work.total, divisor, &at, at.is_f64, grad)
                    table.real[at.is_f64].step(grad, self.width, rate, <void*>at.biases)
                if few_columns:
                    table.real[at.is_f64].step_columns(
                        work.slots.columns, work.slots.n if work.is_sparse_step else d, work.total.grad,
                        layout.grad_size(self.width) // d if d > 0 else 1, self.width, d, divisor, rate, <void*>at.coef)
                else:
                    layout.finish(work.total.grad, &at, divisor, self.alpha, grad)
                    table.real[at.is_f64].step(grad, size, rate, <void*>at.coef)
                hf_fp_leave(caller)
        finally:
            work.release()
        return value

    cdef Total go(self, Pass work):
        """Find the exponent of the weights, then do all tasks."""
        work.targets.weigh(self.layout.is_f64, self.is_mean, &work.exponent)
        work.run(self.n_threads)
        return work.total

    cdef double divisor(self, Total total) except? -1:
        """What the sums are divided by."""
        cdef double divisor = total.divisor(self.is_mean)
        if divisor == 0:
            raise ZeroWeight(total.n_rows)
        return divisor

    cdef double reduced(self, Total total, double divisor, Point* at) noexcept nogil:
        """value/divisor + alpha/2*|coef|^2 + intercept_alpha/2*|intercept|^2."""
        cdef double[2] part
        part[0], part[1] = table.divide(total.value, divisor), 0
        if self.alpha != 0:
            part[1] = table.penalty[at.is_f64](self.alpha, at.coef, self.width * self.layout.n_features)
        part[0] = table.sum_in_order(part, 2)
        if self.intercept_alpha != 0 and at.biases != NULL:
            part[1] = table.penalty[at.biases_are_f64](self.intercept_alpha, at.biases, self.width)
            part[0] = table.sum_in_order(part, 2)
        return part[0]

    cdef void finish_biases(self, Total total, double divisor, Point* at, int is_f64, void* out) noexcept nogil:
        """The gradient of the intercepts, in float64 or float32; penalised ones are in the same type."""
        cdef const double* slopes = &total.slope if self.width == 1 else total.grad + total.size - self.width
        table.finish_grad[is_f64](slopes, self.width, divisor, self.intercept_alpha, at.biases, out)


cdef int point_at(Point* at, cnp.ndarray coef, intercept, Py_ssize_t width, Py_ssize_t n_features) except -1:
    """Where coefficients and intercepts are."""
    cdef Py_ssize_t size = width * n_features
    at.width = width
    at.coef = cnp.PyArray_DATA(coef)
    at.is_f64 = cnp.PyArray_TYPE(coef) == cnp.NPY_FLOAT64
    at.biases, at.biases_are_f64 = NULL, at.is_f64
    if intercept is None:
        if cnp.PyArray_SIZE(coef) > size:
            at.biases = <const char*>at.coef + size * (8 if at.is_f64 else 4)
    elif width == 1:
        at.bias = intercept
        at.biases, at.biases_are_f64 = &at.bias, 1
    else:
        at.biases, at.biases_are_f64 = cnp.PyArray_DATA(<cnp.ndarray>intercept), 1
    return 0
