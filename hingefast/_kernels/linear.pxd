# A pass over X: what is asked, the accumulators, and the tasks in their order.
from hingefast._kernels.job cimport Job
from hingefast._kernels.table cimport hf_loss, hf_slots
from hingefast._kernels.scratch cimport Scratch
from hingefast._kernels.slopes cimport Block, Fault, Sums, Targets

cdef struct ClassCoef:
    const void* data        # as the layout's loops read it
    const void* biases      # K intercepts in the computing dtype
    Py_ssize_t n_classes
    Py_ssize_t stride       # CSR: numbers a feature
    int is_f64              # of `data` where it is coef itself
    bint packed             # False: `data` is coef itself

cdef class Layout:
    # X as the kernels read it. Subclasses know one layout each, and no loss.
    cdef readonly Py_ssize_t n_rows, n_features
    cdef readonly int is_f64
    cdef bint needs_numpy(self) noexcept
    cdef Py_ssize_t task_end(self, Targets targets, Py_ssize_t first) noexcept nogil
    cdef Py_ssize_t slice_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef int walk(self, LinearPass work, Targets targets, Scratch scratch, Task* task, Py_ssize_t first,
                  Py_ssize_t end) noexcept nogil
    cdef int reserve(self, LinearPass work, Scratch scratch, Task* task) except -1
    cdef bint is_sparse(self) noexcept
    cdef Py_ssize_t few_entries(self, Targets targets, Py_ssize_t n_classes) noexcept nogil
    # K classes
    cdef size_t max_class_gradient(self) noexcept nogil
    cdef Py_ssize_t class_grad_size(self, Py_ssize_t n_classes) noexcept nogil
    cdef Py_ssize_t class_task_end(self, Targets targets, Py_ssize_t first) noexcept nogil
    cdef Py_ssize_t class_block_rows(self, Py_ssize_t n_classes) noexcept nogil
    cdef Py_ssize_t class_block_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef Py_ssize_t class_slice_end(self, Targets targets, Py_ssize_t first, Py_ssize_t end,
                                    Py_ssize_t block_rows) noexcept nogil
    cdef int reserve_rows(self, Scratch scratch, Py_ssize_t block_rows) except -1
    cdef ClassCoef pack_classes(self, Targets targets, const void* coef, int coef_is_f64, Py_ssize_t n_classes,
                                Scratch scratch, int which) except *
    cdef int open_rows(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t first, Py_ssize_t n,
                       Fault* fault) noexcept nogil
    cdef int score_classes(self, Targets targets, Scratch scratch, Block* block, Py_ssize_t n, ClassCoef* coef,
                           void* scores, Fault* fault) noexcept nogil
    cdef int accumulate_classes(self, Scratch scratch, Py_ssize_t n, Py_ssize_t n_classes, const void* slopes,
                                hf_slots* slots, double* grad, Fault* fault) noexcept nogil
    cdef void finish_classes(self, const double* total, Py_ssize_t n_classes, double divisor, double alpha,
                             int coef_is_f64, const void* coef, void* out) noexcept nogil
    cdef Py_ssize_t class_stride(self, Py_ssize_t n_classes, Py_ssize_t itemsize) noexcept nogil

cdef struct Task:
    Py_ssize_t number
    Py_ssize_t first, end     # rows of the batch
    Sums sums
    double* grad              # float64, of X's width; NULL where no gradient is asked
    void* block_grad          # what the dense loops add to: grad, or the float32 gradient of 64 rows
    Py_ssize_t n_open         # tasks that take turns: rows of the block that `walk` left open, with their slopes
    Fault fault

cdef class LinearPass(Job):
    cdef Layout layout
    cdef Targets targets
    cdef object keep
    cdef const hf_loss* loss
    cdef int want
    cdef size_t grad_size          # numbers in the gradient
    cdef bint can_accumulate_in_turn   # whether threads help where there is one accumulator
    cdef const void* coef          # in the computing dtype
    cdef double intercept
    cdef const void* direction     # hessp's vector, or NULL
    cdef double direction_intercept
    cdef char* scores_out          # decision_function's, or NULL
    cdef double total_value, total_weight, total_slope
    cdef double* total             # gradient
    cdef int exponent              # of the weights
    cdef hf_slots slots            # a sparse step: the gradient has a number a slot, not one a column
    cdef Py_ssize_t slots_size     # numbers of all slots, or 0
    cdef bint is_sparse_step
    cdef bint one_accumulator      # gradients too large for one a task: all tasks add into one, in order
    cdef Py_ssize_t next_number, next_first, n_merged, fault_number
    cdef Fault fault
    cdef Scratch scratch           # the calling thread's
    cdef int release(self) except -1
    cdef int run(self, bint mean, n_threads) except -1
    cdef int do_task(self, Task* task, Scratch scratch) except -1
    cdef int fail(self, Task* task) except -1
    cdef int merge(self, Scratch scratch, Task* task) except -1
    cdef int use_slots(self, Py_ssize_t n_classes) except -1
    cdef double divisor(self, bint mean) except? -1
    cdef Py_ssize_t task_end(self, Py_ssize_t first) noexcept nogil
    cdef Py_ssize_t slice_end(self, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef int reserve(self, Scratch scratch, Task* task) except -1
    cdef int walk(self, Scratch scratch, Task* task, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef size_t max_task_gradient(self) noexcept nogil
    cdef void accumulate_in_turn(self, Scratch scratch, Task* task) noexcept nogil
    cdef bint take(self, Task* task) noexcept

cdef int begin(LinearPass work, Layout layout, Targets targets, int want) except -1
cdef double reduced(double total, double divisor, double penalty) noexcept nogil
