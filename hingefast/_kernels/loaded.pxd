# What a pass knows about the rows that it has loaded: their numbers, labels and weights, values and slopes; and what it
# found wrong. A block, of which all are scored together, is some of them.
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t

from hingefast._kernels.table cimport HF_LINE_BYTES, HF_VALUE_LANES

cdef enum:
    # What a pass has to find out.
    VALUE = 1
    SLOPE = 2
    SLOPE_SUM = 4
    CURVATURE = 8   # in place of slopes

cdef enum:
    # Rows loaded together. The buffers (Loaded, 28 KB) stay in the first-level cache while the three stages pass over
    # them, and each begins at a cache line: no vector straddles two.
    MAX_LOAD = 512

cdef enum:
    # A fault that is none of the data: `error` was raised, by a cast of NumPy's.
    FAULT_ERROR = -1

cdef struct Fault:
    int kind              # HF_FAULT_*, or FAULT_ERROR; HF_NO_FAULT is 0
    Py_ssize_t position   # row of the batch, or, for HF_FAULT_INDEX, entry of X.indices
    Py_ssize_t row        # row of X
    int64_t seen[2]       # what stood there: integers, or the bytes of a label or weight
    void* error           # a reference that the fault holds: `take_error`

cdef struct Loaded:
    double label_buffer[MAX_LOAD]
    double weight_buffer[MAX_LOAD]
    double cast_buffer[MAX_LOAD]
    double score_buffer[MAX_LOAD]
    double value_buffer[MAX_LOAD]
    double slope_buffer[MAX_LOAD]
    int64_t rows[MAX_LOAD]       # row numbers of the caller's arrays, checked
    const int64_t* row_index     # rows, or NULL where they are first_row, first_row + row_step, ...
    Py_ssize_t first_row, row_step
    const void* signs            # of the labels of a pair: -1 or +1 in the computing dtype
    const int32_t* columns       # of the labels of K classes
    int exponent                 # the weights are those of samples times those of classes times 2^exponent
    const double* weights        # or NULL: all one

cdef struct LoadedSpace:
    # Seven arrays, the pointers, and room to begin at a line; asserted in labels.pyx.
    char bytes[7 * 8 * 512 + 192 + 64]

cdef struct Sums:
    # Sums over the rows of a task, in lanes counted by the row's place in the task.
    double values[HF_VALUE_LANES]
    double weights[HF_VALUE_LANES]
    double slopes[HF_VALUE_LANES]

cdef inline Loaded* loaded_in(LoadedSpace* space) noexcept nogil:
    # Room for rows to load, from the first cache line of `space` on.
    cdef Loaded* loaded = <Loaded*>(space.bytes + HF_LINE_BYTES - <size_t>space.bytes % HF_LINE_BYTES)
    loaded.exponent = 0
    return loaded

cdef inline Py_ssize_t row_at(const Loaded* loaded, Py_ssize_t i) noexcept nogil:
    # The number of row i of those loaded.
    return loaded.rows[i] if loaded.row_index != NULL else loaded.first_row + i * loaded.row_step

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
