"""What solvers do with arrays of rows, once their scores are known: no X here, and no number of theta.

All arrays are contiguous float64 of shape (n_rows,).
"""
from libc.string cimport memcpy, memset

cimport numpy as cnp

import numpy as np

from hingefast._kernels.loaded cimport MAX_LOAD
from hingefast._kernels.table cimport (
    HF_VALUE_LANES, BoundLoss, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_interior, hf_loss, hf_real_loops, table,
)

cnp.import_array()

cdef enum:
    LANES = 8


cdef double* numbers(cnp.ndarray x) noexcept:
    return <double*>cnp.PyArray_DATA(x)


cdef class Line:
    """The weighted sum of a loss of one margin over rows, at scores and along lines of them.

    Parameters
    ----------
    loss : BoundLoss
    signs : ndarray
        -1 and +1.
    weights : ndarray or float
        Of the rows; a float where it is the same for all.
    """

    cdef BoundLoss loss
    cdef object signs, weights
    cdef double factor
    cdef Py_ssize_t n

    def __cinit__(self, BoundLoss loss not None, cnp.ndarray signs not None, weights):
        self.loss, self.signs = loss, signs
        self.weights, self.factor = (None, weights) if isinstance(weights, float) else (weights, 1.0)
        self.n = cnp.PyArray_SIZE(signs)

    def along(self, cnp.ndarray scores, cnp.ndarray direction, double t):
        """First and second derivative in t of the sum at scores + t*direction. O(n_rows)."""
        cdef double[2 * LANES] lanes
        cdef double[MAX_LOAD] at
        cdef double[MAX_LOAD] slopes
        cdef double[MAX_LOAD] curvatures
        cdef const hf_real_loops* real = &table.real[1]
        cdef const hf_loss* loss = &self.loss.real[1]
        cdef const double* z = numbers(scores)
        cdef const double* to = numbers(direction)
        cdef const double* signs = numbers(self.signs)
        cdef const double* weights = numbers(self.weights) if self.weights is not None else NULL
        cdef Py_ssize_t first = 0, m
        cdef hf_fp_state caller
        memset(lanes, 0, sizeof(lanes))
        with nogil:
            caller = hf_fp_enter()
            while first < self.n:
                m = min(<Py_ssize_t>MAX_LOAD, self.n - first)
                table.scores_along(z + first, to + first, t, m, at)
                real.margin_loss[loss.family](loss, signs + first, at, m, 1, NULL, slopes)
                real.curvature[loss.family](loss, signs + first, at, m, curvatures)
                table.line_sums(slopes, curvatures, weights + first if weights != NULL else NULL, to + first, m,
                                lanes)
                first += m
            hf_fp_leave(caller)
        return self.factor * sum_lanes(lanes), self.factor * sum_lanes(lanes + LANES)

    def at(self, cnp.ndarray scores, cnp.ndarray slopes, cnp.ndarray curvatures, cnp.ndarray direction=None,
           double t=0):
        """The sum at scores, to which t*direction is added first; fills slopes and curvatures, weighted. O(n_rows)."""
        cdef double[HF_VALUE_LANES] lanes
        cdef double[MAX_LOAD] moved
        cdef double[MAX_LOAD] values
        cdef const hf_real_loops* real = &table.real[1]
        cdef const hf_loss* loss = &self.loss.real[1]
        cdef const double* weights = numbers(self.weights) if self.weights is not None else NULL
        cdef const double* these
        cdef hf_fp_state caller
        cdef Py_ssize_t first = 0, m
        cdef double* slope = numbers(slopes)
        cdef double* curvature = numbers(curvatures)
        cdef double* z = numbers(scores)
        cdef const double* to = numbers(direction) if direction is not None else NULL
        cdef const double* signs = numbers(self.signs)
        memset(lanes, 0, sizeof(lanes))
        with nogil:
            caller = hf_fp_enter()
            while first < self.n:
                m = min(<Py_ssize_t>MAX_LOAD, self.n - first)
                if to != NULL:
                    table.scores_along(z + first, to + first, t, m, moved)
                    memcpy(z + first, moved, m * sizeof(double))
                these = weights + first if weights != NULL else NULL
                real.margin_loss[loss.family](loss, signs + first, z + first, m, 1, values, slope + first)
                real.curvature[loss.family](loss, signs + first, z + first, m, curvature + first)
                real.sum_values(values, these, first, m, lanes)
                real.scale(slope + first, these, self.factor, m)
                real.scale(curvature + first, these, self.factor, m)
                first += m
            hf_fp_leave(caller)
        return self.factor * table.merge_lanes(lanes)


cdef double sum_lanes(const double* lane) noexcept nogil:
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]))


cdef class Interior:
    """The rows of an interior-point method: their variables, and what an iteration makes of them.

    Parameters
    ----------
    signs, upper, diagonal : ndarray
        y, U (inf in all rows: they have no end) and D.
    margin : float
    a : ndarray
        Where the dual variables begin; this very array is changed.

    Attributes
    ----------
    a, scores, weights, right : ndarray
        Dual variables; scores, which begin at 0; what X.T @ diag(weights) @ X is asked with; what X.T is multiplied
        with for the right-hand side.
    """

    cdef hf_interior state
    cdef Py_ssize_t n
    cdef object signs, upper, diagonal, p, q, excess, to_a, to_room, step
    cdef readonly object a, scores, weights, right

    def __cinit__(self, cnp.ndarray signs not None, cnp.ndarray upper not None, cnp.ndarray diagonal not None,
                  double margin, cnp.ndarray a not None):
        cdef Py_ssize_t n = cnp.PyArray_SIZE(signs)
        cdef bint has_end = n > 0 and upper[0] < np.inf
        self.n = n
        self.signs, self.upper, self.diagonal, self.a = signs, upper, diagonal, a
        self.p, self.q, self.scores = np.ones(n), np.full(n, float(has_end)), np.zeros(n)
        self.weights, self.right, self.excess = np.empty(n), np.empty(n), np.empty(n)
        self.to_a, self.to_room, self.step = np.empty(n), np.empty(n), np.empty(n)
        self.state.signs, self.state.upper = numbers(signs), numbers(upper)
        self.state.diagonal, self.state.margin, self.state.has_end = numbers(diagonal), margin, has_end
        self.state.a, self.state.p, self.state.q = numbers(a), numbers(self.p), numbers(self.q)
        self.state.scores, self.state.weights = numbers(self.scores), numbers(self.weights)
        self.state.right, self.state.excess = numbers(self.right), numbers(self.excess)
        self.state.to_a, self.state.to_room = numbers(self.to_a), numbers(self.to_room)
        self.state.step = numbers(self.step)

    @property
    def n_products(self):
        """Products of a variable and its multiplier."""
        return max(self.n, 1) * (2 if self.state.has_end else 1)

    def look(self):
        """Find `weights` and, for Newton's own step, `right`; the sum of products, the least distance to a bound."""
        cdef double[2] out
        cdef hf_fp_state caller
        with nogil:
            caller = hf_fp_enter()
            table.interior_look(&self.state, self.n, out)
            hf_fp_leave(caller)
        return out[0], out[1]

    def predict(self, cnp.ndarray along):
        """Newton's own step, along which scores change by `along`.

        Returns
        -------
        linear, square : float
            How the sum of products changes with the length of the step and with its square.
        steepest : float
            The steepest fall of a variable beside its distance from its bound, at most 0.
        """
        cdef double[3] out
        cdef hf_fp_state caller
        cdef const double* to = numbers(along)
        with nogil:
            caller = hf_fp_enter()
            table.interior_predict(&self.state, to, self.n, out)
            hf_fp_leave(caller)
        return out[0], out[1], out[2]

    def correct(self, double target):
        """Find `right` for a step to products of `target`, corrected by what the one predicted misses."""
        cdef hf_fp_state caller
        with nogil:
            caller = hf_fp_enter()
            table.interior_correct(&self.state, target, self.n)
            hf_fp_leave(caller)

    def steepest(self, cnp.ndarray along):
        """The corrected step; the steepest fall as in `predict`."""
        cdef double steepest
        cdef hf_fp_state caller
        cdef const double* to = numbers(along)
        with nogil:
            caller = hf_fp_enter()
            steepest = table.interior_step(&self.state, to, self.n)
            hf_fp_leave(caller)
        return steepest

    def move(self, cnp.ndarray along, double length):
        """Take so much of that step."""
        cdef hf_fp_state caller
        cdef const double* to = numbers(along)
        with nogil:
            caller = hf_fp_enter()
            table.interior_move(&self.state, to, length, self.n)
            hf_fp_leave(caller)
