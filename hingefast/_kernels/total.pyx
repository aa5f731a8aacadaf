"""The sums of a pass: owned by whoever asked, mergeable and picklable."""
from libc.math cimport ldexp
from libc.string cimport memcpy, memset

cimport numpy as cnp

import numpy as np

from hingefast._kernels.loaded cimport Sums
from hingefast._kernels.table cimport hf_fp_enter, hf_fp_leave, hf_fp_state, table
from hingefast._kernels.worker cimport drop, grow

cnp.import_array()


class ForeignTotal(Exception):
    """A total is of other things than what it is used with: of another shape, or without value or gradient."""


cdef class Total:
    """Sums of values, weights and slopes over some rows, and their gradient, in float64.

    The gradient is in the order of the layout that made it; behind that of K classes stand their K sums of slopes.
    """

    def __dealloc__(self):
        drop(&self.buffer)

    cdef int make_gradient(self, Py_ssize_t size) except -1:
        """Get a gradient of so many numbers, which `clear` makes 0."""
        self.grad = <double*>grow(&self.buffer, size * sizeof(double))
        self.size = size
        return 0

    cdef void clear(self, Py_ssize_t first) noexcept nogil:
        """Forget what was added; of the gradient the numbers from `first` on."""
        self.value = self.weight = self.slope = 0
        if self.grad != NULL:
            memset(self.grad + first, 0, (self.size - first) * sizeof(double))

    cdef void add(self, Sums* sums) noexcept nogil:
        """Add the sums of a task; the order of tasks makes the bits."""
        cdef double part[2]
        part[0], part[1] = self.value, table.merge_lanes(sums.values)
        self.value = table.sum_in_order(part, 2)
        part[0], part[1] = self.weight, table.merge_lanes(sums.weights)
        self.weight = table.sum_in_order(part, 2)
        part[0], part[1] = self.slope, table.merge_lanes(sums.slopes)
        self.slope = table.sum_in_order(part, 2)

    cdef double divisor(self, bint mean) noexcept nogil:
        """What sums are divided by: the sum of weights, for a mean, or what the weights were multiplied by."""
        return self.weight if mean else ldexp(1, self.exponent)

    cdef bint is_like(self, Total other) noexcept:
        """Whether gradients of the two have the same order."""
        return (self.n_features == other.n_features and self.width == other.width
                and self.by_feature == other.by_feature)

    def gradient(self):
        """A copy of the gradient, or None."""
        if self.grad == NULL:
            return None
        copy = np.empty(self.size)
        memcpy(cnp.PyArray_DATA(<cnp.ndarray>copy), self.grad, self.size * sizeof(double))
        return copy

    def merge(self, Total other not None):
        """Add the sums of other rows, of the same problem.

        Raises
        ------
        ForeignTotal
            If the other holds sums of other things, or in another order.
        """
        cdef int exponent = min(self.exponent, other.exponent)
        cdef double[3] mine, theirs
        cdef hf_fp_state caller
        if (not self.is_like(other) or self.size != other.size or self.has_value != other.has_value
                or (self.grad == NULL) != (other.grad == NULL)):
            raise ForeignTotal(self, other)
        copy = other.gradient()
        mine[0], mine[1], mine[2] = self.value, self.weight, self.slope
        theirs[0], theirs[1], theirs[2] = other.value, other.weight, other.slope
        caller = hf_fp_enter()
        add_scaled(mine, exponent - self.exponent, theirs, exponent - other.exponent, 3)
        if copy is not None:
            add_scaled(self.grad, exponent - self.exponent, <double*>cnp.PyArray_DATA(<cnp.ndarray>copy),
                       exponent - other.exponent, self.size)
        hf_fp_leave(caller)
        self.value, self.weight, self.slope = mine[0], mine[1], mine[2]
        self.exponent = exponent
        self.n_rows += other.n_rows

    def __reduce__(self):
        sums = self.value, self.weight, self.slope, self.exponent, self.n_rows, self.has_value
        return _restored, (sums, (self.n_features, self.width, self.by_feature), self.gradient())


cdef void add_scaled(double* x, int of_x, double* y, int of_y, Py_ssize_t n) noexcept nogil:
    """x = 2^of_x*x + 2^of_y*y, n numbers; y is lost. Exponents are 0 or below: what vanishes is too small to count."""
    if of_x != 0:
        table.real[1].scale(x, NULL, ldexp(1, of_x), n)
    if of_y != 0:
        table.real[1].scale(y, NULL, ldexp(1, of_y), n)
    table.move_into(x, y, n)


def _restored(tuple sums, tuple order, cnp.ndarray grad):
    """A `Total` from what it was pickled as."""
    cdef Total total = Total.__new__(Total)
    total.value, total.weight, total.slope, total.exponent, total.n_rows, total.has_value = sums
    total.n_features, total.width, total.by_feature = order
    if grad is not None:
        total.make_gradient(cnp.PyArray_SIZE(grad))
        memcpy(total.grad, cnp.PyArray_DATA(grad), total.size * sizeof(double))
    return total
