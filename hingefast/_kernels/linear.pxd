# A pass over X: what is asked, the accumulators, and the tasks in their order.
from hingefast._kernels.loops cimport hf_loss
from hingefast._kernels.slopes cimport Fault, Sums, Targets

cdef class Scratch:
    # Buffers of one thread, kept from call to call; they only grow.
    cdef void* blocks[7]        # as allocated
    cdef void* buffers[7]       # as used: the first cache line inside
    cdef size_t sizes[7]
    cdef bint busy
    cdef bint grad_is_zero      # buffers[GRAD] holds zeros throughout
    cdef void* get(self, int which, size_t size) except NULL

cdef enum:
    GRAD = 0          # float64 gradient of a task
    TOTAL = 1         # float64 gradient of the call
    BLOCK_GRAD = 2    # float32 gradient of up to 64 rows
    COEF = 3          # coef in the computing dtype
    DIRECTION = 4     # hessp's vector in the computing dtype
    TILE = 5          # a few rows of X, cast
    INDEX_TILE = 6    # their column indices
    N_BUFFERS = 7

cdef class Layout:
    # X as the kernels read it. Subclasses know one layout each, and no loss.
    cdef readonly Py_ssize_t n_rows, n_features
    cdef readonly int is_f64
    cdef readonly object error
    cdef Py_ssize_t task_end(self, Targets targets, Py_ssize_t first) noexcept nogil
    cdef Py_ssize_t slice_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef int walk(self, LinearPass work, Targets targets, Scratch scratch, Task* task, Py_ssize_t first,
                  Py_ssize_t end) noexcept nogil
    cdef int reserve(self, LinearPass work, Scratch scratch, Task* task) except -1
    cdef int step_stored(self, Targets targets, double* total, double divisor, double rate, int theta_is_f64,
                         void* theta) noexcept nogil

cdef struct Task:
    Py_ssize_t number
    Py_ssize_t first, end     # rows of the batch
    Sums sums
    double* grad              # float64, of X's width; NULL where no gradient is asked
    void* block_grad          # what the dense loops add to: grad, or the float32 gradient of 64 rows
    Fault fault

cdef class LinearPass:
    cdef Layout layout
    cdef Targets targets
    cdef object keep
    cdef const hf_loss* loss
    cdef int want
    cdef const void* coef          # in the computing dtype
    cdef double intercept
    cdef const void* direction     # hessp's vector, or NULL
    cdef double direction_intercept
    cdef char* scores_out          # decision_function's, or NULL
    cdef double total_value, total_weight, total_slope
    cdef double* total             # gradient
    cdef bint one_accumulator      # gradients too large for one a task: all tasks add into one, in order
    cdef bint cancelled
    cdef Py_ssize_t next_number, next_first, n_merged, fault_number
    cdef Fault fault
    cdef object lock, turn, error, main_scratch, main_thread
    cdef int release(self) except -1
    cdef int run(self, n_threads) except -1
    cdef int do_task(self, Task* task, Scratch scratch) except -1
    cdef int fail(self, Task* task) except -1
    cdef int merge(self, Task* task) except -1
    cdef bint take(self, Task* task) noexcept
