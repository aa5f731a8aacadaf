# A pass: the tasks of a batch in their order, on some threads.
from libc.stdint cimport int32_t

from hingefast._kernels.job cimport Job
from hingefast._kernels.labels cimport Targets
from hingefast._kernels.layout cimport Coef, Layout, Point
from hingefast._kernels.loaded cimport Fault
from hingefast._kernels.questions cimport Question
from hingefast._kernels.table cimport hf_slots
from hingefast._kernels.total cimport Total
from hingefast._kernels.worker cimport Worker

cdef class Pass(Job):
    cdef Layout layout
    cdef Targets targets
    cdef Question question
    cdef Py_ssize_t width          # scores a row
    cdef Coef coef
    cdef Total total
    cdef bint lends                # the memory of a total that does not outlive the pass is the worker's
    cdef Worker caller             # the calling thread's
    cdef Py_ssize_t layout_size    # numbers in the gradient; behind them stand the sums of the slopes of K classes
    cdef int exponent              # of the weights
    cdef hf_slots slots            # a sparse step: the gradient has a number a slot, not one a column
    cdef bint is_sparse_step
    cdef bint one_accumulator      # gradients too large for one a task: all tasks add into one, in order
    cdef bint in_turn              # ... and threads score their tasks, a block each, before their turn
    cdef bint is_ordered           # tasks add to the total themselves: each waits for those before it
    cdef dict waiting              # sums of tasks by number that cannot be added yet
    cdef Py_ssize_t next_number, next_first, n_merged, fault_number
    cdef Fault fault
    cdef int begin(self, Layout layout, Targets targets, Question question) except -1
    cdef int set_coef(self, Coef* coef, Point* at, int which) except -1
    cdef int use_slots(self, Py_ssize_t n_entries) except -1
    cdef int run(self, n_threads) except -1
    cdef int release(self) except -1
    cdef int plan(self) except -1
    cdef void swap_memory(self) noexcept
    cdef Py_ssize_t count_threads(self, n_threads) except -1
    cdef bint take(self, Worker worker) noexcept
    cdef int prepare(self, Worker worker) except -1
    cdef int do_task(self, Worker worker) except -1
    cdef int walk(self, Worker worker, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef int fail(self, Worker worker) except -1
    cdef int merge(self, Worker worker) except -1
    cdef int add_in_order(self, Worker worker) except -1
    cdef int raise_fault(self) except -1
