"""The slope stage: which margins a loss of the scores of a row is made of, and what their slopes mean for the scores.

Knows no layout of X, and no formula: margins go to the loops of the margin loss, and values and slopes come back.
"""
from libc.stdint cimport int32_t

cimport numpy as cnp

import numpy as np

from hingefast._kernels.table import default_environment

from hingefast._kernels.loaded cimport SLOPE, VALUE
from hingefast._kernels.table cimport BoundLoss, hf_loss, hf_real_loops, table
from hingefast._kernels.worker cimport DIFFERENCES, PAIRS, SIGNS, TERMS, Worker

cnp.import_array()


cdef class ScoreLoss:
    """A loss of the scores of a row, as the loops take it. Abstract.

    Parameters
    ----------
    margin : BoundLoss
        The loss of one margin that it is made of.
    """

    def __cinit__(self, BoundLoss margin, *arguments):
        self.margin = margin
        self.losses = margin.real
        self.has_curvature = margin.has_curvature

    @property
    def box(self):
        """`BoundLoss.box` of the margin loss."""
        return self.margin.box

    cdef int reserve(self, Worker worker, bint curved) except -1:
        """Get the buffers of `slopes`, or with `curved` of the other two, for the rows of a block."""
        return 0

    cdef void slopes(self, Worker worker, int want, const double* weights, double factor) noexcept nogil:
        """Values of the block's rows, and slopes (n, width) times `factor`, and times the weights where they are given.

        With weights the product of the three is rounded once. The worker's slopes always have room; without SLOPE in
        `want` they hold nothing of use.
        """
        pass

    cdef void curved(self, Worker worker, void* directions) noexcept nogil:
        """Slopes (n, width) of a Hessian product: second derivatives times the directions, which are overwritten."""
        pass

    cdef void curvature(self, Worker worker) noexcept nogil:
        """Second derivatives with respect to each score into the worker's slopes, (n, width), without weights."""
        pass


cdef char* values_of(Worker worker) noexcept nogil:
    """Where the values of the block's rows go."""
    return <char*>worker.loaded.value_buffer + worker.at * worker.itemsize


cdef const char* signs_of(Worker worker) noexcept nogil:
    return <const char*>worker.loaded.signs + worker.at * worker.itemsize


cdef class OneMargin(ScoreLoss):
    """phi(y*z) of one score."""

    cdef void slopes(self, Worker worker, int want, const double* weights, double factor) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef const hf_loss* loss = &self.losses[worker.is_f64]
        real.margin_loss[loss.family](loss, signs_of(worker), worker.scores, worker.n, factor if weights == NULL else 1,
                                      values_of(worker) if want & VALUE else NULL,
                                      worker.slopes if want & SLOPE else NULL)
        if weights != NULL and want & SLOPE:
            real.scale(worker.slopes, weights, factor, worker.n)

    cdef void curved(self, Worker worker, void* directions) noexcept nogil:
        self.curvature(worker)
        table.real[worker.is_f64].multiply_nonzero(worker.slopes, directions, worker.n)

    cdef void curvature(self, Worker worker) noexcept nogil:
        cdef const hf_loss* loss = &self.losses[worker.is_f64]
        table.real[worker.is_f64].curvature[loss.family](loss, signs_of(worker), worker.scores, worker.n, worker.slopes)


cdef class StrongestRival(ScoreLoss):
    """phi(s_c - max of s_j over j != c); with costs, the margin of the hinge for each rival is its cost.

    Parameters
    ----------
    cost : ndarray of shape (K, K), optional
        Contiguous float64; the margin loss is the hinge without a margin then.
    """

    def __cinit__(self, BoundLoss margin, cost=None):
        if cost is not None:
            with default_environment():   # a cost that float32 cannot hold is infinite there
                self.costs = (cost.astype(np.float32), cost)
            self.cost[0] = cnp.PyArray_DATA(<cnp.ndarray>self.costs[0])
            self.cost[1] = cnp.PyArray_DATA(<cnp.ndarray>self.costs[1])
            self.n_classes = cnp.PyArray_DIM(<cnp.ndarray>cost, 0)

    @property
    def cost_matrix(self):
        """The costs that are the margins, float64, or None."""
        return None if self.costs is None else self.costs[1]

    cdef int reserve(self, Worker worker, bint curved) except -1:
        worker.get(PAIRS, sizeof(Pairs))
        if self.costs is not None:
            worker.get(DIFFERENCES, worker.block_rows * worker.width * worker.itemsize)
        # Margins as they are.
        table.real[worker.is_f64].fill(1, worker.block_rows, worker.get(SIGNS, worker.block_rows * worker.itemsize))
        return 0

    cdef void find_margins(self, Worker worker, Pairs* pairs) noexcept nogil:
        """The strongest rival of each row and the margin to it."""
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef const int32_t* columns = worker.loaded.columns + worker.at
        cdef void* keys = worker.buffers[DIFFERENCES].start
        if self.costs is None:
            real.rival_margins(worker.scores, worker.scores, columns, worker.n, worker.width, pairs.rivals,
                               pairs.margins)
        else:
            real.cost_keys(worker.scores, columns, worker.n, worker.width, self.cost[worker.is_f64], keys)
            real.rival_margins(keys, NULL, columns, worker.n, worker.width, pairs.rivals, pairs.margins)

    cdef void slopes(self, Worker worker, int want, const double* weights, double factor) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef const hf_loss* loss = &self.losses[worker.is_f64]
        cdef Pairs* pairs = <Pairs*>worker.buffers[PAIRS].start
        self.find_margins(worker, pairs)
        real.margin_loss[loss.family](loss, worker.buffers[SIGNS].start, pairs.margins, worker.n,
                                      factor if weights == NULL else 1, values_of(worker) if want & VALUE else NULL,
                                      pairs.slopes if want & SLOPE else NULL)
        if not want & SLOPE:
            return
        if weights != NULL:
            real.scale(pairs.slopes, weights, factor, worker.n)
        real.pair_slopes(worker.scores, worker.loaded.columns + worker.at, pairs.rivals, pairs.slopes, worker.n,
                         worker.width, worker.slopes)

    cdef void curved(self, Worker worker, void* directions) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef const int32_t* columns = worker.loaded.columns + worker.at
        cdef Pairs* pairs = <Pairs*>worker.buffers[PAIRS].start
        self.curve_pairs(worker, pairs)
        real.pair_directions(directions, columns, pairs.rivals, worker.n, worker.width, pairs.slopes)
        real.pair_slopes(worker.scores, columns, pairs.rivals, pairs.slopes, worker.n, worker.width, worker.slopes)

    cdef void curvature(self, Worker worker) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef Pairs* pairs = <Pairs*>worker.buffers[PAIRS].start
        self.curve_pairs(worker, pairs)
        real.pair_slopes(worker.scores, worker.loaded.columns + worker.at, pairs.rivals, pairs.slopes, worker.n,
                         worker.width, worker.slopes)
        real.absolute(worker.slopes, worker.n * worker.width)   # the same at both scores: a slope has two signs

    cdef void curve_pairs(self, Worker worker, Pairs* pairs) noexcept nogil:
        """Second derivatives of each row's margin, in place of its slope."""
        cdef const hf_loss* loss = &self.losses[worker.is_f64]
        self.find_margins(worker, pairs)
        table.real[worker.is_f64].curvature[loss.family](loss, worker.buffers[SIGNS].start, pairs.margins, worker.n,
                                                         pairs.slopes)


cdef class AllRivals(ScoreLoss):
    """Sum of phi(s_c - s_j) over j != c."""

    def __cinit__(self, BoundLoss margin):
        self.of_two = StrongestRival(margin)

    cdef int reserve(self, Worker worker, bint curved) except -1:
        cdef Py_ssize_t n = worker.block_rows * worker.width
        if worker.width == 2:   # of two classes, the only rival is the strongest
            self.of_two.reserve(worker, curved)
        if curved:
            worker.get(DIFFERENCES, n * worker.itemsize)
            table.real[worker.is_f64].fill(1, n, worker.get(SIGNS, n * worker.itemsize))
        return 0

    cdef void slopes(self, Worker worker, int want, const double* weights, double factor) noexcept nogil:
        cdef const hf_loss* loss = &self.losses[worker.is_f64]
        if worker.width == 2:
            self.of_two.slopes(worker, want, weights, factor)
            return
        table.real[worker.is_f64].weston_watkins[loss.family](
            loss, worker.scores, worker.loaded.columns + worker.at, worker.n, worker.width,
            factor if weights == NULL else 1, values_of(worker), worker.slopes)
        weigh_rows(worker, weights, factor)

    cdef void curved(self, Worker worker, void* directions) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef const int32_t* columns = worker.loaded.columns + worker.at
        cdef void* differences = worker.buffers[DIFFERENCES].start
        self.curve_rivals(worker)
        real.differences(directions, columns, worker.n, worker.width, differences)
        real.multiply_nonzero(worker.slopes, differences, worker.n * worker.width)
        real.collect_own(worker.slopes, columns, worker.n, worker.width)

    cdef void curvature(self, Worker worker) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        self.curve_rivals(worker)
        real.collect_own(worker.slopes, worker.loaded.columns + worker.at, worker.n, worker.width)
        real.absolute(worker.slopes, worker.n * worker.width)   # at c their sum, which collect_own leaves negative

    cdef void curve_rivals(self, Worker worker) noexcept nogil:
        """Second derivatives of each margin, in place of its slope at the rival; nothing of use at c."""
        cdef const hf_loss* loss = &self.losses[worker.is_f64]
        cdef void* differences = worker.buffers[DIFFERENCES].start
        table.real[worker.is_f64].differences(worker.scores, worker.loaded.columns + worker.at, worker.n, worker.width,
                                              differences)
        table.real[worker.is_f64].curvature[loss.family](loss, worker.buffers[SIGNS].start, differences,
                                                         worker.n * worker.width, worker.slopes)


cdef class EachClass(ScoreLoss):
    """Sum of phi(t_j*s_j), where t_j is +1 for the true class and -1 for the others."""

    cdef int reserve(self, Worker worker, bint curved) except -1:
        cdef Py_ssize_t n = worker.block_rows * worker.width
        if curved:
            table.real[worker.is_f64].fill(-1, n, worker.get(SIGNS, n * worker.itemsize))
        return 0

    cdef void slopes(self, Worker worker, int want, const double* weights, double factor) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef const hf_loss* loss = &self.losses[worker.is_f64]
        cdef const int32_t* columns = worker.loaded.columns + worker.at
        real.one_vs_rest[loss.family](loss, worker.scores, columns, worker.n, worker.width,
                                      factor if weights == NULL else 1, values_of(worker), worker.slopes)
        real.spread_nan(values_of(worker), columns, worker.n, worker.width, worker.slopes)
        weigh_rows(worker, weights, factor)

    cdef void curved(self, Worker worker, void* directions) noexcept nogil:
        self.curvature(worker)
        table.real[worker.is_f64].multiply_nonzero(worker.slopes, directions, worker.n * worker.width)

    cdef void curvature(self, Worker worker) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef const hf_loss* loss = &self.losses[worker.is_f64]
        cdef const int32_t* columns = worker.loaded.columns + worker.at
        cdef void* signs = worker.buffers[SIGNS].start
        real.mark_own(columns, worker.n, worker.width, 1, signs)
        real.curvature[loss.family](loss, signs, worker.scores, worker.n * worker.width, worker.slopes)
        real.mark_own(columns, worker.n, worker.width, -1, signs)


cdef class TopClasses(ScoreLoss):
    """The top-k hinge.

    Parameters
    ----------
    k : int
    each : bool
        Whether each of the k margins is taken positive, not their mean.
    """

    def __cinit__(self, BoundLoss margin, Py_ssize_t k, bint each):
        self.k, self.each = k, each
        self.has_curvature = False

    cdef int reserve(self, Worker worker, bint curved) except -1:
        worker.get(TERMS, (worker.width + self.k) * worker.itemsize)
        return 0

    cdef void slopes(self, Worker worker, int want, const double* weights, double factor) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        real.top_k(worker.scores, worker.loaded.columns + worker.at, worker.n, worker.width, self.k, self.each,
                   worker.buffers[TERMS].start, values_of(worker), worker.slopes)
        if weights == NULL and factor != 1:
            real.scale(worker.slopes, NULL, factor, worker.n * worker.width)
        weigh_rows(worker, weights, factor)

    cdef void curvature(self, Worker worker) noexcept nogil:
        self.slopes(worker, SLOPE, NULL, 0)   # 0, or NaN where the loss is
        table.real[worker.is_f64].absolute(worker.slopes, worker.n * worker.width)


cdef void weigh_rows(Worker worker, const double* weights, double factor) noexcept nogil:
    """Multiply slopes of K classes by their rows' weights, where there are any, and by `factor`, rounding once."""
    if weights != NULL:
        table.real[worker.is_f64].store_weighted[worker.is_f64](worker.slopes, weights, factor, worker.n, worker.width,
                                                                worker.slopes)
