"""What happens to the scores of a block of rows: the questions that a pass answers, one class each.

A question knows no kind of layout: it gets the scores of the worker's block and leaves values and slopes behind. What
it wants to be made of them, sums and a gradient, the pass does. Where it needs more, norms of rows or their scores in
another direction, it asks the layout that it is handed.
"""
from libc.string cimport memcpy

from hingefast._kernels.layout cimport OF_PAIRS, OF_ROWS, Layout
from hingefast._kernels.loaded cimport CURVATURE, SLOPE, SLOPE_SUM, VALUE, Loaded
from hingefast._kernels.slopes cimport ScoreLoss, weigh_rows
from hingefast._kernels.table cimport hf_real_loops, table
from hingefast._kernels.worker cimport DIRECTION_SCORES, Worker

# What Python asks for.
WANT_VALUE, WANT_SLOPE, WANT_CURVATURE = VALUE, SLOPE, CURVATURE


cdef class Question:
    """Abstract."""

    def __cinit__(self):
        self.reads_rows = self.reads_scores = True

    cdef int reserve(self, Worker worker) except -1:
        """Get the buffers that `ask` needs."""
        return 0

    cdef Py_ssize_t grad_size(self, Layout layout, Py_ssize_t width) noexcept nogil:
        """Numbers in the sums that each task makes with `add`."""
        return layout.grad_size(width)

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        """Make of the scores of the block what is asked; 0, or -1 with the fault noted."""
        return 0

    cdef int add(self, Layout layout, Worker worker) noexcept nogil:
        """Add what is asked of the block to the worker's sums; likewise. As a rule, its rows times their slopes."""
        return layout.add(worker, worker.slopes)

    cdef void note_values(self, Worker worker, Py_ssize_t n) noexcept nogil:
        """What is to be done with the n rows whose labels were loaded together, when all their slopes are known."""
        add_sums(worker, self.want, n)


cdef class WriteScores(Question):
    """Scores into `out`, (n, width) in the computing dtype."""

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        cdef Py_ssize_t size = worker.width * worker.itemsize
        memcpy(self.out + (worker.start + worker.at) * size, worker.scores, worker.n * size)
        return 0


cdef class SumWeights(Question):
    """The sum of the weights."""

    def __cinit__(self):
        self.reads_rows = self.reads_scores = False


cdef class FindSlopes(Question):
    """Values, slopes or both of a loss."""

    cdef int reserve(self, Worker worker) except -1:
        return self.loss.reserve(worker, False)

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        cdef const double* weights = worker.loaded.weights
        self.loss.slopes(worker, self.want, weights + worker.at if weights != NULL and not self.weigh_later else NULL,
                         1 if self.weigh_later else self.factor)
        return 0

    cdef void note_values(self, Worker worker, Py_ssize_t n) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef Loaded* loaded = worker.loaded
        add_sums(worker, self.want, n)
        if self.values_out != NULL:
            if loaded.weights != NULL:
                real.scale(loaded.value_buffer, loaded.weights, 1, n)
            real.store[worker.is_f64](loaded.value_buffer, n, 1, self.values_out + worker.start * worker.itemsize,
                                      False)


cdef class CurveDirection(Question):
    """Slopes of a Hessian product: weights times second derivatives times the scores of a direction."""

    cdef int reserve(self, Worker worker) except -1:
        worker.get(DIRECTION_SCORES, worker.block_rows * worker.width * worker.itemsize)
        return self.loss.reserve(worker, True)

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        cdef void* directions = worker.buffers[DIRECTION_SCORES].start
        if layout.score(worker, &self.direction, &directions) != 0:
            return -1
        self.loss.curved(worker, directions)
        weigh(worker, 1)
        return 0


cdef class FindCurvature(Question):
    """Weighted second derivatives with respect to each score, in place of slopes."""

    cdef int reserve(self, Worker worker) except -1:
        return self.loss.reserve(worker, True)

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        self.loss.curvature(worker)
        if not self.weigh_later:
            weigh(worker, self.factor)
        return 0


cdef class TakeSlopes(Question):
    """Slopes that the caller has, weighted or not, (n, width) in the computing dtype: X.T @ slopes."""

    def __cinit__(self):
        self.reads_scores = False

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        cdef Py_ssize_t size = worker.width * worker.itemsize
        memcpy(worker.slopes, self.given + (worker.start + worker.at) * size, worker.n * size)
        return 0


cdef class SquareRows(Question):
    """Sums of squares of the entries of each row, as float64."""

    def __cinit__(self):
        self.reads_scores = False

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        return layout.squares(worker, OF_ROWS, NULL, self.out + worker.start + worker.at)


cdef class SquareColumns(Question):
    """Sums of weighted squares of each column, or of products of every two columns: `Layout.squares`."""

    def __cinit__(self):
        self.reads_scores = False
        self.want = SLOPE

    cdef Py_ssize_t grad_size(self, Layout layout, Py_ssize_t width) noexcept nogil:
        return layout.n_features * (layout.n_features + 1 if self.of == OF_PAIRS else 1)

    cdef int add(self, Layout layout, Worker worker) noexcept nogil:
        cdef const double* weights = self.given + worker.start + worker.at if self.given != NULL else NULL
        return layout.squares(worker, self.of, weights, worker.grad)


cdef FindSlopes find_slopes(ScoreLoss loss, int want):
    """The question for VALUE, SLOPE or both, whose gradient has an intercept."""
    cdef FindSlopes question = FindSlopes.__new__(FindSlopes)
    question.loss, question.factor = loss, 1
    question.want = want | SLOPE_SUM if want & SLOPE else want
    return question


SUM_WEIGHTS = SumWeights()


cdef void weigh(Worker worker, double factor) noexcept nogil:
    """Multiply the slopes of the block by the weights of their rows, if there are any, and by `factor`."""
    cdef const hf_real_loops* real = &table.real[worker.is_f64]
    cdef const double* weights = worker.loaded.weights
    if weights == NULL and factor != 1:
        real.scale(worker.slopes, NULL, factor, worker.n * worker.width)
    elif weights != NULL and worker.width == 1:
        real.scale(worker.slopes, weights + worker.at, factor, worker.n)
    elif weights != NULL:
        weigh_rows(worker, weights + worker.at, factor)


cdef void add_sums(Worker worker, int want, Py_ssize_t n) noexcept nogil:
    """Add values, weights and slopes of the n rows whose labels were loaded together to the sums of their task.

    Slopes of K classes are summed by the pass, behind their gradient.
    """
    cdef const hf_real_loops* real = &table.real[worker.is_f64]
    cdef Loaded* loaded = worker.loaded
    cdef Py_ssize_t place = worker.start - worker.first
    if want & VALUE:
        real.sum_values(loaded.value_buffer, loaded.weights, place, n, worker.sums.values)
    if loaded.weights != NULL:
        table.real[1].sum_values(loaded.weights, NULL, place, n, worker.sums.weights)
    if want & SLOPE_SUM and worker.width == 1:
        real.sum_values(loaded.slope_buffer, NULL, place, n, worker.sums.slopes)
