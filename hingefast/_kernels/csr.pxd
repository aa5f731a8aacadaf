# CSR X, read in place or, where its entries must be cast, through a tile.
from libc.stdint cimport int64_t

from hingefast._kernels.labels cimport Targets
from hingefast._kernels.layout cimport Layout
from hingefast._kernels.loaded cimport MAX_LOAD, Fault, Loaded
from hingefast._kernels.table cimport hf_slots
from hingefast._kernels.worker cimport Worker

cdef struct Span:
    # The entries of a block's rows: where each begins and ends in data and indices.
    const void* data
    const void* indices
    int wide                 # whether indices are int64
    int follow               # whether each row begins where the one before it ends
    int are_full             # whether they do, and all store all columns, in order
    Py_ssize_t readable      # how many numbers there are in data from the block's first on
    int64_t starts[MAX_LOAD]
    int64_t ends[MAX_LOAD]
    int64_t origins[MAX_LOAD]   # where each row begins in X.indices, for messages (set with the tile)

cdef class CSR(Layout):
    cdef object data, indices, indptr
    cdef const void* data_at         # NULL: through a tile
    cdef const void* indices_at
    cdef const void* indptr_at
    cdef int wide_indices, wide_indptr
    cdef int dtype                   # of data: HF_INT8 ...; -1: NumPy fills the tile
    cdef readonly int64_t n_stored
    cdef Py_ssize_t max_task_entries
    cdef bint is_touched             # X does not fit a cache

    cdef Py_ssize_t length(self, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef Py_ssize_t cut_entries(self, Targets targets, Py_ssize_t first, Py_ssize_t end,
                                Py_ssize_t limit) noexcept nogil
    cdef Py_ssize_t count(self, Targets targets) noexcept nogil
    cdef Py_ssize_t class_stride(self, Py_ssize_t width, Py_ssize_t itemsize) noexcept nogil
    cdef object index_fault(self, Loaded* loaded, Span* span, Py_ssize_t n)
    cdef Py_ssize_t load_spans(self, Loaded* loaded, Span* span, Py_ssize_t at, Py_ssize_t n) noexcept nogil
    cdef void look_at_block(self, Span* span, Py_ssize_t n) noexcept nogil
    cdef void note_pointers(self, Py_ssize_t position, Py_ssize_t row, Fault* fault) noexcept nogil
    cdef int in_slots(self, Worker worker, const void* slopes) noexcept nogil
    cdef int fill_tile(self, Worker worker) noexcept nogil
    cdef int grow_tile(self, Worker worker, Py_ssize_t n_entries) noexcept with gil
    cdef int cast_entries(self, Worker worker) noexcept with gil
