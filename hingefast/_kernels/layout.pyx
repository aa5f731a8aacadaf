"""X as the kernels read it. A layout knows rows; no loss, no pass, and of K classes no more than a width.

A batch is cut into tasks, whose sums are added to the total in their order; a task into slices, between which the
pass looks for Ctrl-C; a slice into loads, whose labels are brought together; and a load by `open` into blocks, whose
rows are scored together. This is the order in which a pass calls,
from `Worker.begin` on:

    grad_size                           once a call; the problem asks `few_entries` before, for a sparse step
    pack                                once a call for coef, and once for the direction of a Hessian product
    cut(TASK)                           under the interpreter's lock, to hand out tasks
    reserve                             once a thread, before its first task
    cut(SLICE), cut(LOAD)               in turn, as the walk goes on
        open                            a block
        score                           if the question needs scores; once more for a direction
        add, or squares                 if it has a gradient; if it is of squares
        drain                           where no `score` follows that would take along what `add` has left
    drain                               at the end of a slice
    finish                              of the total, once

`pack` and `reserve` may raise, and so may `first_fault`, which is called when something has been found wrong. The
others raise nothing: what `open`, `score`, `add` and `squares` find wrong is the worker's fault, and -1. From `open` on
all work under the default floating-point environment, and so does `pack`.

`score` may add to the gradient the rows of earlier blocks that `add` has left for it.
"""
cimport numpy as cnp

from hingefast._kernels.table cimport table

cnp.import_array()


cdef class Layout:
    """Abstract."""

    def first_fault(self, Targets targets):
        """The first fault in the structure of the batch's rows, as `DataFault` takes it, or None."""
        return None

    cdef Py_ssize_t cut(self, Targets targets, Py_ssize_t first, Py_ssize_t end, Py_ssize_t width,
                        int unit) noexcept nogil:
        """Where the TASK, SLICE or LOAD that begins at row `first` of the batch ends; `end` at the latest.

        Where a task ends does not depend on the size of the batch: the bits follow from it.
        """
        return end

    cdef Py_ssize_t rows_alone(self, Targets targets, Py_ssize_t width) noexcept nogil:
        """How many rows of the batch one thread does before a second one would have begun: a task, as a rule."""
        return self.cut(targets, 0, targets.n_rows, width, TASK)

    cdef Py_ssize_t few_entries(self, Targets targets, Py_ssize_t width) noexcept nogil:
        """Entries of the batch, if it is one task and they are few beside the numbers of coef; else 0.

        -1 for a layout that stores every column.
        """
        return -1

    cdef Py_ssize_t grad_size(self, Py_ssize_t width) noexcept nogil:
        """Numbers in the gradient of `width` scores a row, in this layout's own order."""
        return width * self.n_features

    cdef int pack(self, Worker worker, Coef* coef, int which) except -1:
        """Make `coef` what `score` reads: as a rule a copy, in buffer `which` of the worker."""
        return 0

    cdef int reserve(self, Worker worker) except -1:
        """Get the buffers that blocks need, and say how many rows one has at most."""
        return 0

    cdef void finish(self, const double* total, Point* at, double divisor, double alpha, void* out) noexcept nogil:
        """out = total/divisor + alpha*coef, in the shape and type of coef."""
        pass

    cdef int open(self, Worker worker) noexcept nogil:
        """Get the block's n rows ready to be read; n may become less."""
        return 0

    cdef int point(self, Worker worker, Rows* rows) noexcept nogil:
        """Where the numbers of the open rows are, for solvers that visit them one by one; n may become less."""
        return -1

    cdef int note_index(self, Worker worker, Py_ssize_t row) noexcept nogil:
        """Keep that a row of the block has a column index outside; -1."""
        return -1

    cdef int score(self, Worker worker, Coef* coef, void** scores) noexcept nogil:
        """Scores of the open rows into `scores[0]`, or, where they stand somewhere already, `scores[0]` to there."""
        return 0

    cdef int add(self, Worker worker, const void* slopes) noexcept nogil:
        """Add the open rows times their slopes (n, width) to the worker's gradient, at once or in a later call."""
        return 0

    cdef void drain(self, Worker worker) noexcept nogil:
        """Add what `add` has left for later."""
        pass

    cdef int squares(self, Worker worker, int of, const double* weights, double* out) noexcept nogil:
        """OF_ROWS: sums of squares of the open rows' entries, n numbers.

        Or add, of each row times its weight, where weights are given, and nothing of a row whose weight is 0:
        OF_COLUMNS the squares to `n_features` sums; OF_PAIRS the products of every two columns to as many sums as there
        are pairs, (n_features, n_features), that together with their transpose are X.T @ diag(weights) @ X, and
        the columns themselves to `n_features` more sums, X.T @ weights.
        """
        return 0


cdef int round_coef(Layout layout, Worker worker, Coef* coef, int which) except -1:
    """Coefficients of one score in the computing dtype: in place, or rounded into buffer `which`."""
    cdef void* copy
    if coef.given.is_f64 == layout.is_f64:
        coef.data = coef.given.coef
        return 0
    copy = worker.get(which, layout.n_features * worker.itemsize)
    table.real[layout.is_f64].round_coef[coef.given.is_f64](coef.given.coef, layout.n_features, copy)
    coef.data = copy
    return 0
