"""The slope stage of K classes: which margins a loss of K scores is made of, and what their slopes mean for the scores.

Knows no layout of X, and no formula: margins go to the loops of the margin loss, and values and slopes come back.
"""
from libc.stdint cimport int32_t, int64_t

cimport numpy as cnp

import numpy as np

from hingefast.checks import arguments
from hingefast._kernels.table import default_environment

from hingefast._kernels.table cimport (
    HF_FAULT_LABEL, BoundLoss, table, hf_class_labels, hf_loss, hf_real_loops,
)
from hingefast._kernels.scratch cimport DIFFERENCES, PAIRS, SIGNS, TERMS, Scratch
from hingefast._kernels.slopes cimport MAX_BLOCK, SLOPE, VALUE, Block, Fault, Targets, describe

cnp.import_array()

KINDS = ("crammer_singer", "weston_watkins", "one_vs_rest", "cost_sensitive", "top_k_alpha", "top_k_beta")


cdef class BoundArrangement:
    """A loss of K scores, as the loops take it.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    margin : BoundLoss
        The loss of one margin that it is built on; for costs the hinge without a margin.
    k : int
        Of the top-k hinge.
    cost : ndarray of shape (K, K), or None
        Contiguous float64, for ``"cost_sensitive"``.
    """

    def __cinit__(self, str kind, BoundLoss margin, Py_ssize_t k=0, cost=None):
        self.kind = kind
        self.number = KINDS.index(kind)
        self.margin = margin
        self.losses = margin.real
        self.k = k
        self.has_curvature = margin.has_curvature and self.number <= ONE_VS_REST
        if cost is not None:
            with default_environment():   # a cost that float32 cannot hold is infinite there
                self.costs = (cost.astype(np.float32), cost)
            self.cost[0] = cnp.PyArray_DATA(<cnp.ndarray>self.costs[0])
            self.cost[1] = cnp.PyArray_DATA(<cnp.ndarray>self.costs[1])
            self.n_classes = cnp.PyArray_DIM(<cnp.ndarray>cost, 0)

    cdef int reserve(self, Scratch scratch, Py_ssize_t n_rows, Py_ssize_t n_classes, int is_f64,
                     bint curved) except -1:
        """Get the buffers of `find_class_slopes`, or with `curved` of `find_curved_class_slopes`, for n_rows rows."""
        cdef Py_ssize_t itemsize = 8 if is_f64 else 4, size = n_rows * n_classes * itemsize, n_signs = n_rows
        cdef double sign = 1
        scratch.get(PAIRS, 3 * MAX_BLOCK * sizeof(double))
        if self.number >= TOP_K_ALPHA:
            scratch.get(TERMS, (n_classes + self.k) * itemsize)
            return 0
        if self.number == COST_SENSITIVE or curved and self.number == WESTON_WATKINS:
            scratch.get(DIFFERENCES, size)
        if self.number == WESTON_WATKINS or self.number == ONE_VS_REST:
            if not curved:
                return 0
            n_signs = n_rows * n_classes
            sign = -1 if self.number == ONE_VS_REST else 1
        table.real[is_f64].fill(sign, n_signs, scratch.get(SIGNS, n_signs * itemsize))
        return 0


cdef void find_class_slopes(BoundArrangement arrangement, Block* block, int is_f64, const void* scores, Py_ssize_t at,
                            Py_ssize_t n, Py_ssize_t n_classes, int want, const double* all_weights, double factor,
                            Scratch scratch, void* slopes) noexcept nogil:
    """Values of n rows of the block from row `at` on, and slopes (n, K) times `factor`, and times their weights where
    the block's are given, from the scores of these rows.

    `slopes` always has room; without SLOPE in `want` it holds nothing of use.
    """
    cdef const hf_real_loops* real = &table.real[is_f64]
    cdef const hf_loss* loss = &arrangement.losses[is_f64]
    cdef const int32_t* columns = <const int32_t*>block.signs + at
    cdef const double* weights = NULL if all_weights == NULL else all_weights + at
    cdef char* values = block.values + at * (8 if is_f64 else 4)
    cdef void* signs = scratch.buffers[SIGNS]
    cdef void* differences = scratch.buffers[DIFFERENCES]
    cdef char* margins = <char*>scratch.buffers[PAIRS]
    cdef char* pair_slopes = margins + MAX_BLOCK * sizeof(double)
    cdef int32_t* rivals = <int32_t*>(pair_slopes + MAX_BLOCK * sizeof(double))
    cdef bint in_pairs = arrangement.number == CRAMMER_SINGER or arrangement.number == COST_SENSITIVE
    # With weights the product of the three is rounded once.
    cdef double at_once = factor if weights == NULL else 1

    if in_pairs:
        if arrangement.number == COST_SENSITIVE:
            real.cost_keys(scores, columns, n, n_classes, arrangement.cost[is_f64], differences)
            real.rival_margins(differences, NULL, columns, n, n_classes, rivals, margins)
        else:
            real.rival_margins(scores, scores, columns, n, n_classes, rivals, margins)
        real.margin_loss[loss.family](loss, signs, margins, n, at_once, values if want & VALUE else NULL,
                                      pair_slopes if want & SLOPE else NULL)
        if not want & SLOPE:
            return
        if weights != NULL:
            real.scale(pair_slopes, weights, factor, n)
        real.pair_slopes(scores, columns, rivals, pair_slopes, n, n_classes, slopes)
        return

    if arrangement.number == WESTON_WATKINS:
        real.weston_watkins[loss.family](loss, scores, columns, n, n_classes, at_once, values, slopes)
    elif arrangement.number == ONE_VS_REST:
        real.one_vs_rest[loss.family](loss, scores, columns, n, n_classes, at_once, values, slopes)
        real.spread_nan(values, columns, n, n_classes, slopes)
    else:
        real.top_k(scores, columns, n, n_classes, arrangement.k, arrangement.number == TOP_K_BETA,
                   scratch.buffers[TERMS], values, slopes)
        if at_once != 1:
            real.scale(slopes, NULL, at_once, n * n_classes)
    if weights != NULL:
        real.store_weighted[is_f64](slopes, weights, factor, n, n_classes, slopes)


cdef void find_curved_class_slopes(BoundArrangement arrangement, Block* block, int is_f64, const void* scores,
                                   void* directions, Py_ssize_t n, Py_ssize_t n_classes, Scratch scratch,
                                   void* slopes) noexcept nogil:
    """Slopes (n, K) of a Hessian product: second derivatives times the directions (n, K), which are overwritten."""
    cdef const hf_real_loops* real = &table.real[is_f64]
    cdef const hf_loss* loss = &arrangement.losses[is_f64]
    cdef const int32_t* columns = <const int32_t*>block.signs
    cdef void* signs = scratch.buffers[SIGNS]
    cdef void* differences = scratch.buffers[DIFFERENCES]
    cdef char* margins = <char*>scratch.buffers[PAIRS]
    cdef char* pair_slopes = margins + MAX_BLOCK * sizeof(double)
    cdef int32_t* rivals = <int32_t*>(pair_slopes + MAX_BLOCK * sizeof(double))
    if arrangement.number == CRAMMER_SINGER:
        real.rival_margins(scores, scores, columns, n, n_classes, rivals, margins)
        real.curvature[loss.family](loss, signs, margins, n, pair_slopes)
        real.pair_directions(directions, columns, rivals, n, n_classes, pair_slopes)
        real.pair_slopes(scores, columns, rivals, pair_slopes, n, n_classes, slopes)
    elif arrangement.number == WESTON_WATKINS:
        real.differences(scores, columns, n, n_classes, differences)
        real.curvature[loss.family](loss, signs, differences, n * n_classes, slopes)
        real.differences(directions, columns, n, n_classes, differences)
        real.multiply_nonzero(slopes, differences, n * n_classes)
        real.collect_own(slopes, columns, n, n_classes)
    else:
        real.mark_own(columns, n, n_classes, 1, signs)
        real.curvature[loss.family](loss, signs, scores, n * n_classes, slopes)
        real.mark_own(columns, n, n_classes, -1, signs)
        real.multiply_nonzero(slopes, directions, n * n_classes)
    if block.weights != NULL:
        real.store_weighted[is_f64](slopes, block.weights, 1, n, n_classes, slopes)


cdef class ClassTargets(Targets):
    """Labels of K classes, weights and rows of a batch; made by `class_targets`. A block's signs are columns here."""

    cpdef Targets batch(self, rows):
        """The same targets for other rows; nothing is checked or converted again."""
        cdef ClassTargets other = ClassTargets.__new__(ClassTargets, self.n_total)
        other.n_classes = self.n_classes
        other.given_labels, other.of_class = self.given_labels, self.of_class
        other.sorted_labels, other.sorted_columns = self.sorted_labels, self.sorted_columns
        other.class_labels_, other.weight_of_class = self.class_labels_, self.weight_of_class
        return self.share(other, rows)

    cdef int load_labels(self, Block* block, int is_f64, Py_ssize_t first, Py_ssize_t n,
                         Fault* fault) noexcept nogil:
        """Columns of the n rows loaded, as int32."""
        cdef int dtype
        cdef hf_class_labels index    # of labels that are indices already
        cdef const char* found = self.elements(&self.labels, block, True, n, &dtype, fault)
        cdef Py_ssize_t at
        if found == NULL:
            return -1
        index.n_classes, index.first, index.sorted, index.columns = self.n_classes, 0, NULL, NULL
        at = table.decode_classes[dtype](found, n, &self.class_labels_ if self.labels.convertible >= 0 else &index,
                                          <int32_t*>block.sign_buffer)
        block.signs = block.sign_buffer
        if at >= 0:
            self.note(fault, HF_FAULT_LABEL, block, first, at, found, &self.labels)
            return -1
        return 0

    cdef object index_of(self, y):
        return arguments.class_index(y, self.n_classes, self.given_labels)

    cdef void apply_class_weights(self, Block* block, int is_f64, Py_ssize_t n) noexcept nogil:
        table.class_weights(<const int32_t*>block.signs, self.weight_of_class, block.exponent, n,
                             block.weight_buffer)

    def class_labels(self):
        """The K labels in the order of the columns, or None for 0 .. K-1."""
        return self.given_labels


def class_targets(Py_ssize_t n_total, Py_ssize_t n_classes, y=None, labels=None, sample_weight=None, class_weight=None,
                  rows=None):
    """Labels of K classes, weights and rows of a batch, as the kernels read them.

    Parameters
    ----------
    n_total : int
        Rows of the caller's arrays.
    n_classes : int
        K.
    y : ndarray of shape (n_total,) or None
        Labels of any real dtype; None where only the rows matter.
    labels : ndarray of shape (K,), int64, or None
        Distinct labels of the columns; None for 0 .. K-1.
    sample_weight : ndarray of shape (n_total,) or None
    class_weight : ndarray of shape (K,), contiguous float64, or None
    rows
        As in `Targets`.

    Returns
    -------
    ClassTargets
    """
    cdef ClassTargets targets = ClassTargets.__new__(ClassTargets, n_total, None, (-1, 1), sample_weight, None, rows)
    cdef bint consecutive
    targets.n_classes = targets.class_labels_.n_classes = n_classes
    if y is not None:
        targets.y = y
        targets.labels = describe(y)
        targets.has_labels = True
    if labels is not None:
        targets.given_labels = labels
        # Rising, and as far apart as they are many.
        consecutive = bool((np.diff(labels) > 0).all()) and int(labels[n_classes - 1]) - int(labels[0]) == n_classes - 1
        if consecutive:
            targets.class_labels_.first = labels[0]
        else:
            order = np.argsort(labels)
            targets.sorted_labels = np.ascontiguousarray(labels[order])
            targets.sorted_columns = order.astype(np.int32)
            targets.class_labels_.sorted = <const int64_t*>cnp.PyArray_DATA(<cnp.ndarray>targets.sorted_labels)
            targets.class_labels_.columns = <const int32_t*>cnp.PyArray_DATA(<cnp.ndarray>targets.sorted_columns)
    if class_weight is not None:
        targets.of_class = class_weight
        targets.weight_of_class = <const double*>cnp.PyArray_DATA(<cnp.ndarray>class_weight)
        targets.has_class_weight = True
    return targets
