# CSR X, read in place or, where NumPy must cast it, through a tile.
from libc.stdint cimport int64_t

from hingefast._kernels.linear cimport ClassCoef, Layout, LinearPass, Task
from hingefast._kernels.table cimport hf_slots
from hingefast._kernels.scratch cimport Scratch
from hingefast._kernels.slopes cimport MAX_BLOCK, Block, Fault, Targets

cdef struct Span:
    # The entries of a block's rows: where each begins and ends in data and indices.
    const void* data
    const void* indices
    int wide                 # whether indices are int64
    int64_t starts[MAX_BLOCK]
    int64_t ends[MAX_BLOCK]
    int64_t origins[MAX_BLOCK]   # where each row begins in X.indices, for messages (set with the tile)

cdef class CSR(Layout):
    cdef object data, indices, indptr
    cdef const void* data_at         # NULL: through a tile
    cdef const void* indices_at
    cdef const void* indptr_at
    cdef int wide_indices, wide_indptr
    cdef int dtype                   # of data: HF_INT8 ...; -1: NumPy fills the tile
    cdef readonly int64_t n_stored
    cdef Py_ssize_t max_task_entries

    cdef Py_ssize_t cut(self, Targets targets, Py_ssize_t first, Py_ssize_t end, Py_ssize_t limit) noexcept nogil
    cdef Py_ssize_t count(self, Targets targets) noexcept nogil
    cdef object index_fault(self, Targets targets, Block* block, Span* span, Py_ssize_t n)
    cdef Py_ssize_t length(self, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef Py_ssize_t load_spans(self, Targets targets, Block* block, Span* span, Py_ssize_t first, Py_ssize_t n,
                               Fault* fault) noexcept nogil
    cdef int open_span(self, Targets targets, Scratch scratch, Block* block, Span* span, Py_ssize_t first,
                       Py_ssize_t n, Fault* fault) noexcept nogil
    cdef int in_slots(self, Scratch scratch, Span* span, const void* slopes, Py_ssize_t n, Py_ssize_t n_classes,
                      hf_slots* slots, double* grad, Fault* fault) noexcept nogil
    cdef int fill_tile(self, Scratch scratch, Span* span, Py_ssize_t n, Fault* fault) noexcept nogil
    cdef int grow_tile(self, Scratch scratch, Py_ssize_t n_entries, Fault* fault) noexcept with gil
    cdef int cast_entries(self, Scratch scratch, Span* span, Py_ssize_t n, Fault* fault) noexcept with gil
    cdef void find_index(self, Span* span, Py_ssize_t row, Fault* fault) noexcept nogil
