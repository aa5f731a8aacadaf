# A pass over given scores: tasks of rows, their faults and sums.
cimport numpy as cnp

from hingefast._kernels.job cimport Job
from hingefast._kernels.table cimport hf_labels, hf_loss
from hingefast._kernels.scratch cimport Scratch
from hingefast._kernels.slopes cimport Block, Fault, Sums, Targets

cdef enum:
    # Gradients of more bytes are written past the caches: four times a second-level cache of 2 to 4 MB.
    # Below that whoever reads the gradient next finds it in a cache.
    STREAM_BYTES = 12582912

cdef class ScorePass(Job):
    cdef const hf_loss* loss
    cdef object keep                 # the loss and arrays that the pointers belong to; [1] the scores
    cdef Targets targets
    cdef object foreign_scores       # scores that must be cast block by block, or None
    cdef int foreign_dtype           # HF_INT8 ...; -1: by NumPy
    cdef Py_ssize_t row_stride, column_stride   # of theirs, in bytes
    cdef Py_ssize_t row_size         # numbers a row: 1, or K
    cdef const char* scores          # the first
    cdef char* grad                  # or NULL
    cdef char* row_values            # or NULL
    cdef int is_f64, grad_is_f64, want
    cdef bint is_plain               # no weights, all arrays of the computing dtype: one loop does everything
    cdef bint stream, weights_only
    cdef bint is_large               # enough work for several threads
    cdef double factor               # of the slopes
    cdef int exponent                # of the weights
    cdef double* task_sums           # one number a task
    cdef Py_ssize_t n_rows, n_tasks, next_task, fault_task
    cdef Fault fault
    cdef int release(self) except -1
    cdef int attach(self, cnp.ndarray scores, int is_f64, cnp.ndarray grad, values, bint is_plain) except -1
    cdef double total(self) noexcept nogil
    cdef int reserve(self, Scratch scratch) except -1
    cdef int do_tasks(self, Scratch scratch) except -1
    cdef int task(self, Py_ssize_t k, Fault* fault, Scratch scratch) noexcept nogil
    cdef int in_one_loop(self, hf_labels* labels, Py_ssize_t first, Py_ssize_t end, Sums* sums,
                         Fault* fault) noexcept nogil
    cdef int block_by_block(self, Py_ssize_t first, Py_ssize_t end, Sums* sums, Fault* fault) noexcept nogil
    cdef int bring_scores(self, Block* block, void* to, Py_ssize_t at, Py_ssize_t n, Fault* fault) noexcept nogil
    cdef int cast_scores(self, void* to, Py_ssize_t at, Py_ssize_t n, Fault* fault) noexcept with gil
    cdef int run(self, bint weights_only, n_threads) except -1
    cdef double weigh(self, n_threads) except? -1
    cdef double finish(self, bint is_mean, n_threads) except? -1

cdef object PLAIN_CLASSES

cdef bint overlap(cnp.ndarray x, cnp.ndarray y) noexcept
