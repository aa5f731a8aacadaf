"""The pass over given scores of K classes: as scores.pyx, with rows of K numbers."""
from libc.stdint cimport int32_t
from libc.string cimport memset

cimport numpy as cnp

from hingefast.checks import arguments
from hingefast._kernels.arrangements import class_targets

from hingefast._kernels.arrangements cimport BoundArrangement, find_class_slopes
from hingefast._kernels.table cimport table, hf_fp_enter, hf_fp_leave, hf_fp_state, hf_real_loops
from hingefast._kernels.scores cimport PLAIN_CLASSES, ScorePass, overlap
from hingefast._kernels.scratch cimport CLASS_SCORES, CLASS_SLOPES, Scratch
from hingefast._kernels.slopes cimport (
    LINE_BYTES, MAX_BLOCK, SLOPE, VALUE, Block, BlockSpace, Fault, Sums, Vector, add_sums, block_in, describe,
    element_type,
)

cnp.import_array()

cdef enum:
    # Bytes of the scores of a block: they, the slopes and what lies between stay in half a first-level cache,
    # while scores stream through the other half; fewer would pay more calls (python -m benchmarks --only
    # multiclass/scores).
    BLOCK_BYTES = 4096
    # Rows that the loops turn over together where there are fewer classes (arrange.h): blocks hold no part of them.
    LANES = 16
    # Rows whose targets are loaded together, if a block does not have more.
    LOADED_ROWS = 256
    # Bytes of a row of scores so long that s_c had better be asked for before the row is begun: shorter ones come
    # with the rows before them. Not tuned.
    LONG_ROW = 1024
    # Numbers of a task, and of a call that is worth several threads.
    TASK_NUMBERS = 262144
    PARALLEL_NUMBERS = 262144

MEAN, SUM = "mean", "sum"


cdef class ClassScorePass(ScorePass):
    """One call on scores of K classes."""

    cdef BoundArrangement arrangement
    cdef Py_ssize_t n_classes, task_rows, loaded_rows, block_rows

    cdef int reserve(self, Scratch scratch) except -1:
        cdef size_t size = self.block_rows * self.n_classes * (8 if self.is_f64 else 4)
        self.arrangement.reserve(scratch, self.block_rows, self.n_classes, self.is_f64, False)
        scratch.get(CLASS_SLOPES, size + 2 * LINE_BYTES)
        if self.foreign_scores is not None:
            scratch.get(CLASS_SCORES, size)
        return 0

    cdef int task(self, Py_ssize_t k, Fault* fault, Scratch scratch) noexcept nogil:
        """All rows of one task, block by block; 0, or -1 with the first fault noted."""
        cdef const hf_real_loops* real = &table.real[self.is_f64]
        cdef Py_ssize_t itemsize = 8 if self.is_f64 else 4, width = self.n_classes
        cdef Py_ssize_t grad_itemsize = 8 if self.grad_is_f64 else 4
        cdef Py_ssize_t first = k * self.task_rows, end = min(first + self.task_rows, self.n_rows), at = first
        cdef Py_ssize_t row, n, n_loaded
        cdef bint weigh_later
        cdef BlockSpace space
        cdef Block* block = block_in(&space)
        cdef bint is_cast = self.grad_is_f64 != self.is_f64
        # Slopes go straight where they belong, unless they are cast or streamed there.
        cdef bint in_place = self.grad != NULL and not is_cast and not self.stream
        cdef void* slopes = <char*>scratch.buffers[CLASS_SLOPES] + LINE_BYTES   # room for what stream_piece leaves
        cdef char* grad
        cdef Sums sums
        cdef hf_fp_state caller = hf_fp_enter()
        cdef int failed = 0
        memset(&sums, 0, sizeof(sums))
        block.exponent = self.exponent
        while at < end and failed == 0:
            # Targets of several blocks at once.
            n_loaded = min(self.loaded_rows, end - at)
            self.targets.load_rows(block, at, n_loaded, fault)
            if self.targets.load(block, self.is_f64, at, n_loaded, fault) != 0:
                failed = -1
                break
            if self.weights_only:
                table.real[1].sum_values(block.weights, NULL, at - first, n_loaded, sums.weights)
                at += n_loaded
                continue
            if self.foreign_scores is None and width * itemsize >= LONG_ROW:
                real.prefetch_own(self.scores + at * width * itemsize, <const int32_t*>block.signs, n_loaded, width)
            row = 0
            while row < n_loaded:
                n = min(self.block_rows, n_loaded - row)
                grad = NULL if self.grad == NULL else self.grad + (at + row) * width * grad_itemsize
                if self.foreign_scores is None:
                    block.scores = self.scores + (at + row) * width * itemsize
                elif self.bring_scores(block, scratch.buffers[CLASS_SCORES], at + row, n, fault) != 0:
                    failed = -1
                    break
                if in_place:
                    slopes = grad
                # Weighted slopes that are cast are rounded there, once.
                weigh_later = is_cast and block.weights != NULL
                find_class_slopes(self.arrangement, block, self.is_f64, block.scores, row, n, width, self.want,
                                  NULL if weigh_later else block.weights, 1 if weigh_later else self.factor, scratch,
                                  slopes)
                if self.stream:
                    table.stream_piece(slopes, n * width * itemsize, at + row == first, at + row + n == end, grad)
                elif self.grad != NULL and weigh_later:
                    real.store_weighted[self.grad_is_f64](slopes, block.weights + row, self.factor, n, width, grad)
                elif self.grad != NULL and not in_place:
                    real.store[self.grad_is_f64](slopes, n * width, 1, grad, False)
                row += n
            add_sums(block, self.is_f64, n_loaded, at - first, self.want & VALUE, &sums)
            if self.row_values != NULL:
                if block.weights != NULL:
                    real.scale(block.values, block.weights, 1, n_loaded)
                real.store[self.is_f64](block.values, n_loaded, 1, self.row_values + at * itemsize, False)
            at += n_loaded
        self.task_sums[k] = table.merge_lanes(&sums.weights[0] if self.weights_only else &sums.values[0])
        hf_fp_leave(caller)
        return failed


cdef bint plain(object x, int n_dimensions) noexcept:
    """Whether x is an ndarray of contiguous, aligned, native numbers."""
    return (cnp.PyArray_CheckExact(x) and cnp.PyArray_NDIM(<cnp.ndarray>x) == n_dimensions
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x))


def evaluate(BoundArrangement arrangement, int want, y, scores, sample_weight, class_weight, classes, reduction, out,
             n_threads):
    """Value (want = 1), gradient (2) or both (3) of a loss of K scores; the rules of every loss method.

    Recognises the plain case - contiguous native arrays that fit together, no weights, classes 0 .. K-1 - and runs
    it at once. All else goes to `arguments.class_score_arguments`, which converts it or raises.
    """
    cdef ClassScorePass work = ClassScorePass.__new__(ClassScorePass)
    cdef Py_ssize_t n, n_classes = 0
    cdef int number, is_f64
    cdef bint is_plain = False, is_none
    cdef cnp.ndarray grad = None
    cdef double value
    cdef Vector described
    labels = values = None
    if plain(scores, 2) and plain(y, 1) and sample_weight is None and class_weight is None and classes is None:
        n = cnp.PyArray_DIM(<cnp.ndarray>scores, 0)
        n_classes = cnp.PyArray_DIM(<cnp.ndarray>scores, 1)
        number = cnp.PyArray_TYPE(<cnp.ndarray>scores)
        is_f64 = number == cnp.NPY_FLOAT64
        is_plain = ((is_f64 or number == cnp.NPY_FLOAT32) and n > 0 and n_classes >= 2
                    and cnp.PyArray_DIM(<cnp.ndarray>y, 0) == n and element_type(<cnp.ndarray>y) >= 0
                    and arrangement.k < n_classes and arrangement.n_classes in (0, n_classes)
                    and type(reduction) is str and (reduction == MEAN or reduction == SUM))
        if is_plain and out is not None:
            is_plain = (want != VALUE and plain(out, 2) and cnp.PyArray_TYPE(<cnp.ndarray>out) == number
                        and cnp.PyArray_SAMESHAPE(<cnp.ndarray>out, <cnp.ndarray>scores)
                        and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)
                        and not overlap(<cnp.ndarray>out, <cnp.ndarray>scores)
                        and not overlap(<cnp.ndarray>out, <cnp.ndarray>y))
        if is_plain:
            described = describe(<cnp.ndarray>y)   # at once: whoever holds y may reshape it at any later moment
    if is_plain:
        if want & SLOPE:
            grad = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(<cnp.ndarray>scores), number, 0) if out is None else out
    else:
        (y, scores, is_f64, sample_weight, class_weight, labels, reduction, values, grad) = (
            arguments.class_score_arguments(arrangement, want, y, scores, sample_weight, class_weight, classes, reduction,
                                          out))
        n = cnp.PyArray_DIM(<cnp.ndarray>scores, 0)
        n_classes = cnp.PyArray_DIM(<cnp.ndarray>scores, 1)
        described = describe(<cnp.ndarray>y)
    is_none = values is not None
    work.keep = (arrangement, scores, values, grad)
    work.arrangement = arrangement
    work.targets = class_targets(n, n_classes, None, labels, sample_weight, class_weight)
    work.targets.point_at_labels(y, described, PLAIN_CLASSES)
    work.want = want
    work.n_rows = n
    work.n_classes = work.row_size = n_classes
    work.block_rows = min(max(BLOCK_BYTES // (n_classes * (8 if is_f64 else 4)), <Py_ssize_t>1), <Py_ssize_t>MAX_BLOCK)
    if n_classes < LANES:   # rows stand in the lanes
        work.block_rows -= work.block_rows % LANES
    work.loaded_rows = max(LOADED_ROWS // work.block_rows, <Py_ssize_t>1) * work.block_rows
    work.task_rows = max(TASK_NUMBERS // (n_classes * work.block_rows), <Py_ssize_t>1) * work.block_rows
    work.n_tasks = (n + work.task_rows - 1) // work.task_rows
    work.is_large = n * n_classes >= PARALLEL_NUMBERS
    work.attach(scores, is_f64, grad, values, is_plain)
    value = work.finish(reduction == MEAN, n_threads)
    if is_none:
        return values if want == VALUE else grad if want == SLOPE else (values, grad)
    if want == SLOPE:
        return grad
    return value if want == VALUE else (value, grad)
