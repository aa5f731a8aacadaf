"""What happens to the scores of a block of rows: the questions that a pass answers, one class each.

A question knows no layout: it gets the scores of the worker's block and leaves values and slopes behind. What it wants
to be made of them, sums and a gradient, the pass does.
"""
from libc.string cimport memcpy

from hingefast._kernels.block cimport SLOPE, SLOPE_SUM, VALUE, Block
from hingefast._kernels.layout cimport Layout
from hingefast._kernels.slopes cimport ScoreLoss
from hingefast._kernels.table cimport hf_real_loops, table
from hingefast._kernels.worker cimport DIRECTION_SCORES, Worker


cdef class Question:
    """Abstract."""

    def __cinit__(self):
        self.reads_rows = self.reads_scores = True

    cdef int reserve(self, Layout layout, Worker worker) except -1:
        """Get the buffers that `ask` needs."""
        return 0

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        """Make of the scores of the block what is asked; 0, or -1 with the fault noted."""
        return 0

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

    cdef int reserve(self, Layout layout, Worker worker) except -1:
        return self.loss.reserve(worker, False)

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        cdef const double* weights = worker.block.weights
        self.loss.slopes(worker, self.want, weights + worker.at if weights != NULL and not self.weigh_later else NULL,
                         1 if self.weigh_later else self.factor)
        return 0

    cdef void note_values(self, Worker worker, Py_ssize_t n) noexcept nogil:
        cdef const hf_real_loops* real = &table.real[worker.is_f64]
        cdef Block* block = worker.block
        add_sums(worker, self.want, n)
        if self.values_out != NULL:
            if block.weights != NULL:
                real.scale(block.value_buffer, block.weights, 1, n)
            real.store[worker.is_f64](block.value_buffer, n, 1, self.values_out + worker.start * worker.itemsize, False)


cdef class CurveDirection(Question):
    """Slopes of a Hessian product: weights times second derivatives times the scores of a direction."""

    cdef int reserve(self, Layout layout, Worker worker) except -1:
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

    cdef int reserve(self, Layout layout, Worker worker) except -1:
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
    """Sums of squares of the entries of each row, or of each column, as float64."""

    def __cinit__(self):
        self.reads_scores = False

    cdef int ask(self, Layout layout, Worker worker) noexcept nogil:
        return layout.norms(worker, self.of_columns,
                            self.out if self.of_columns else self.out + worker.start + worker.at)


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
    cdef const double* weights = worker.block.weights
    if weights == NULL and factor == 1:
        return
    if weights == NULL:
        real.scale(worker.slopes, NULL, factor, worker.n * worker.width)
    elif worker.width == 1:
        real.scale(worker.slopes, weights + worker.at, factor, worker.n)
    else:
        real.store_weighted[worker.is_f64](worker.slopes, weights + worker.at, factor, worker.n, worker.width,
                                           worker.slopes)


cdef void add_sums(Worker worker, int want, Py_ssize_t n) noexcept nogil:
    """Add values, weights and slopes of the n rows whose labels were loaded together to the sums of their task.

    Slopes of K classes are summed by the pass, behind their gradient.
    """
    cdef const hf_real_loops* real = &table.real[worker.is_f64]
    cdef Block* block = worker.block
    cdef Py_ssize_t place = worker.start - worker.first
    if want & VALUE:
        real.sum_values(block.value_buffer, block.weights, place, n, worker.sums.values)
    if block.weights != NULL:
        table.real[1].sum_values(block.weights, NULL, place, n, worker.sums.weights)
    if want & SLOPE_SUM and worker.width == 1:
        real.sum_values(block.slope_buffer, NULL, place, n, worker.sums.slopes)
