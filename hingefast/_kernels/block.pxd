# What a pass knows about a few rows: their numbers, labels and weights, values and slopes; and what it found wrong.
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t

cdef enum:
    # What a pass has to find out.
    VALUE = 1
    SLOPE = 2
    SLOPE_SUM = 4

cdef enum:
    # Rows worked on together. The buffers (Block, 28 KB) stay in the first-level cache while the three stages pass over
    # them.
    MAX_BLOCK = 512
    # Blocks begin at a cache line, and so do all their arrays: no vector straddles two.
    LINE_BYTES = 64

cdef enum:
    # A fault that is none of the data: `error` was raised, by a cast of NumPy's.
    FAULT_ERROR = -1

cdef struct Fault:
    int kind              # HF_FAULT_*, or FAULT_ERROR; HF_NO_FAULT is 0
    Py_ssize_t position   # row of the batch, or, for HF_FAULT_INDEX, entry of X.indices
    Py_ssize_t row        # row of X
    int64_t seen[2]       # what stood there: integers, or the bytes of a label or weight
    void* error           # a reference that the fault holds: `take_error`

cdef struct Block:
    double label_buffer[MAX_BLOCK]
    double weight_buffer[MAX_BLOCK]
    double cast_buffer[MAX_BLOCK]
    double score_buffer[MAX_BLOCK]
    double value_buffer[MAX_BLOCK]
    double slope_buffer[MAX_BLOCK]
    int64_t rows[MAX_BLOCK]      # row numbers of the caller's arrays, checked
    const int64_t* row_index     # rows, or NULL where the rows are evenly spaced
    Py_ssize_t first_row         # the first row, where they are
    const void* signs            # of the labels of a pair: -1 or +1 in the computing dtype
    const int32_t* columns       # of the labels of K classes
    int exponent                 # the weights are those of samples times those of classes times 2^exponent
    const double* weights        # or NULL: all one

cdef struct BlockSpace:
    # Seven arrays, the pointers, and room to begin at a line; asserted in labels.pyx.
    char bytes[7 * 8 * 512 + 192 + 64]

cdef struct Sums:
    # Sums over the rows of a task, in 16 lanes counted by the row's place in the task.
    double values[16]
    double weights[16]
    double slopes[16]

cdef inline Block* block_in(BlockSpace* space) noexcept nogil:
    # A block at the first cache line of `space`.
    cdef Block* block = <Block*>(space.bytes + LINE_BYTES - <size_t>space.bytes % LINE_BYTES)
    block.exponent = 0
    return block

cdef inline void keep_error(Fault* fault, object error) noexcept:
    # Let a fault be an exception that was raised while the interpreter's lock was held.
    Py_INCREF(error)
    fault.kind, fault.error = FAULT_ERROR, <void*>error

cdef inline object take_error(Fault* fault):
    # The exception that `keep_error` kept.
    error = <object>fault.error
    Py_DECREF(error)
    fault.kind, fault.error = 0, NULL
    return error
