# One thread in one call: its buffers, the rows it is at, and what it found wrong.
from hingefast._kernels.labels cimport Targets
from hingefast._kernels.loaded cimport Fault, Loaded, Sums
from hingefast._kernels.table cimport hf_slots

cdef struct Buffer:
    void* memory       # as allocated
    void* start       # as used: the first cache line inside
    size_t size
    size_t length     # mapped bytes,
    bint is_mapped    # if it comes from the system and not from malloc

cdef enum:
    # Buffers by who gets them and uses them, and nobody else. Numbers of a block of n rows are in the computing dtype.
    LOADED              # the worker: rows, labels and weights
    SCORES             # ... n*K
    SLOPES             # ... n*K; `Given` asks for more, before
    GRAD               # the pass: float64 gradient of a task
    TOTAL              # ... of a total that does not outlive it
    SLOT_TABLE         # ... a sparse step: which column has which slot
    SLOT_COLUMNS       # ... and which slot which column
    BIASES             # ... K intercepts
    DIRECTION_BIASES   # ... of hessp's vector
    COEF               # the layout: coef in the computing dtype; K classes: side by side
    DIRECTION          # ... hessp's vector, likewise
    ROWS               # ... what it knows about the rows of a block
    BLOCK_GRAD         # ... float32 gradient of up to 64 rows
    TILE               # ... a few rows of X, cast
    INDEX_TILE         # ... their column indices
    COLUMNS            # ... the same rows in columns, or lanes of the scores of a block in contiguous columns
    GROUPS             # ... slopes by class
    PANELS             # ... rows of X in float64, as they are and weighted
    SIGNS              # the slope stage: n or n*K signs
    DIFFERENCES        # ... n*K
    TERMS              # ... K + k
    PAIRS              # ... margins, slopes and rivals
    DIRECTION_SCORES   # the question: n*K
    STEP               # the problem: the gradient of a step
    N_BUFFERS

cdef class Worker:
    cdef Buffer buffers[N_BUFFERS]
    cdef bint busy
    # The call
    cdef Targets targets
    cdef int is_f64                # the computing dtype
    cdef Py_ssize_t itemsize       # of it
    cdef Py_ssize_t width          # scores a row: 1, or K
    cdef int want                  # VALUE, SLOPE, SLOPE_SUM
    cdef Py_ssize_t block_rows     # of a block, at most
    # The task
    cdef Py_ssize_t number
    cdef Py_ssize_t first, end     # rows of the batch
    cdef Sums sums
    cdef double* grad              # float64, in the layout's order; NULL where none is asked for
    cdef bint has_zero_grad        # one of the task's own, GRAD, begins as zeros
    cdef hf_slots* slots           # not NULL: it has a number a slot, not one a column (a sparse step)
    cdef Fault fault
    # The rows whose labels are loaded together, and of them the block that is worked on
    cdef Loaded* loaded
    cdef Py_ssize_t start          # the first one's place in the batch
    cdef Py_ssize_t at, n          # the block: rows start + at .. start + at + n of the batch
    cdef void* scores_buffer
    cdef void* slopes_buffer
    cdef void* scores              # of the block, (n, width); in the buffer, or where a layout has them
    cdef void* slopes              # likewise
    cdef void* get(self, int which, size_t size) except NULL
    cdef int begin(self, Targets targets, int is_f64, Py_ssize_t width) except -1
    cdef int reserve(self) except -1

cdef Worker borrow_worker()
cdef void give_back(Worker worker) noexcept
cdef void* grow(Buffer* buffer, size_t size) except NULL
cdef void drop(Buffer* buffer) noexcept
