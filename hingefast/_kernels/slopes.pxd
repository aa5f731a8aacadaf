# The slope stage of every pass: row numbers, labels and weights of a block of rows; values and slopes.
from libc.stdint cimport int64_t

cimport numpy as cnp

from hingefast._kernels.table cimport hf_classes, hf_labels, hf_loss

cdef enum:
    # What a pass has to find out.
    VALUE = 1
    SLOPE = 2
    SLOPE_SUM = 4

cdef enum:
    # Rows worked on together. The buffers (Block, 28 KB) live on the stack and stay in the first-level
    # cache while the three stages pass over them.
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
    double sign_buffer[MAX_BLOCK]
    double weight_buffer[MAX_BLOCK]
    double staged[MAX_BLOCK]
    double score_buffer[MAX_BLOCK]
    double value_buffer[MAX_BLOCK]
    double slope_buffer[MAX_BLOCK]
    int64_t rows[MAX_BLOCK]      # row numbers of the caller's arrays, checked
    const int64_t* row_index     # rows, or NULL where the rows are evenly spaced
    Py_ssize_t first_row         # the first row, where they are
    const void* signs            # -1 or +1 in the computing dtype; K classes: columns, int32
    int exponent                 # the weights are those of samples times those of classes times 2^exponent
    const double* weights        # or NULL: all one
    const char* scores           # these three in the computing dtype; they point into the buffers below,
    char* values                 # or straight into the caller's arrays
    char* slopes

cdef struct BlockSpace:
    # Seven arrays, the pointers, and room to begin at a line; asserted in slopes.pyx.
    char bytes[7 * 8 * 512 + 192 + 64]

cdef struct Sums:
    # Sums over the rows of a task, in 16 lanes counted by the row's place in the task.
    double values[16]
    double weights[16]
    double slopes[16]

cdef struct Vector:
    const char* data
    Py_ssize_t stride     # bytes
    int dtype             # HF_INT8 ..., whatever the byte order, or -1: cast block by block
    bint is_swapped       # in the other byte order
    int convertible       # without a dtype: the loop of convert.h that casts; -1: NumPy does
    int log2_itemsize

cdef class Targets:
    cdef object y, sample_weight, rows, given_classes
    cdef readonly Py_ssize_t n_rows     # of the batch
    cdef readonly Py_ssize_t n_total    # rows of the caller's arrays
    cdef readonly Py_ssize_t n_classes  # 0: labels are binary
    cdef Vector labels, weights
    cdef bint has_labels, has_weights, has_class_weight
    cdef bint plain_signs[2]            # labels are -1 and +1 in float32, float64: no decoding
    cdef hf_classes classes
    cdef double class_weight[2]
    cdef const char* row_numbers        # int64, or NULL: first_row + i*row_step
    cdef Py_ssize_t row_stride, first_row, row_step

    cdef Py_ssize_t load_rows(self, Block* block, Py_ssize_t first, Py_ssize_t n, Fault* fault) noexcept nogil
    cdef int weigh(self, int is_f64, bint mean, int* exponent) except -1
    cdef bint is_far(self, double sum, int* exponent) noexcept
    cdef double weight_of_batch(self, int is_f64, int exponent, double* largest, Fault* fault) except? -1
    cdef int load(self, Block* block, int is_f64, Py_ssize_t first, Py_ssize_t n, Fault* fault) noexcept nogil
    cdef int load_labels(self, Block* block, int is_f64, Py_ssize_t first, Py_ssize_t n,
                         Fault* fault) noexcept nogil
    cdef int load_weights(self, Block* block, Py_ssize_t first, Py_ssize_t n, Fault* fault) noexcept nogil
    cdef bint describe_labels(self, int is_f64, hf_labels* labels) noexcept nogil
    cdef int stage(self, Block* block, bint labels, Py_ssize_t n, int* dtype, Fault* fault) noexcept with gil
    cdef object index_of(self, y)
    cdef bint needs_numpy(self) noexcept
    cdef const char* elements(self, Vector* vector, Block* block, bint labels, Py_ssize_t n, int* dtype,
                              Fault* fault) noexcept nogil
    cdef void note(self, Fault* fault, int kind, Block* block, Py_ssize_t first, Py_ssize_t at,
                   const char* found, Vector* vector) noexcept nogil
    cdef void point_at_labels(self, y, Vector labels, classes)
    cdef int select(self, rows) except -1
    cdef Targets share(self, Targets other, rows)
    cdef void apply_class_weights(self, Block* block, int is_f64, Py_ssize_t n) noexcept nogil
    cpdef Targets batch(self, rows)

cdef int element_type(cnp.ndarray x)
cdef int convertible_type(cnp.ndarray x)
cdef Vector describe(cnp.ndarray x)
cdef void keep_error(Fault* fault, object error) noexcept
cdef object take_error(Fault* fault)
cdef Block* block_in(BlockSpace* space) noexcept nogil
cdef void find_slopes(const hf_loss* loss, Block* block, int is_f64, Py_ssize_t at, Py_ssize_t n,
                      int want) noexcept nogil
cdef void find_curved_slopes(const hf_loss* loss, Block* block, int is_f64, Py_ssize_t at,
                             Py_ssize_t n) noexcept nogil
cdef void add_sums(Block* block, int is_f64, Py_ssize_t n, Py_ssize_t place, int want, Sums* sums) noexcept nogil
