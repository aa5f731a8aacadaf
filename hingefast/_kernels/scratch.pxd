# Buffers of one thread, kept from call to call.

cdef enum:
    GRAD = 0           # float64 gradient of a task
    TOTAL = 1          # float64 gradient of the call
    BLOCK_GRAD = 2     # float32 gradient of up to 64 rows
    COEF = 3           # coef in the computing dtype; K classes: with classes side by side
    DIRECTION = 4      # hessp's vector, likewise
    TILE = 5           # a few rows of X, cast
    INDEX_TILE = 6     # their column indices
    # K classes; numbers of a block of n rows are in the computing dtype.
    BIASES = 7         # K intercepts, and behind them K of hessp's
    ROWS = 8           # what a layout knows about the rows of a block
    CLASS_SCORES = 9   # n*K
    CLASS_SLOPES = 10  # n*K
    DIRECTION_SCORES = 11  # n*K
    SIGNS = 12         # n or n*K signs
    DIFFERENCES = 13   # n*K
    TERMS = 14         # n*K
    PAIRS = 15         # 3*n: margins, slopes and rivals
    GROUPS = 16        # slopes by class
    COLUMN_SUMS = 17   # lanes of the scores of a block, where columns are contiguous
    COLUMNS = 18       # a few rows of X, cast, in columns
    N_BUFFERS = 19

cdef class Scratch:
    # Buffers only grow.
    cdef void* blocks[19]       # as allocated
    cdef void* buffers[19]      # as used: the first cache line inside
    cdef size_t sizes[19]
    cdef bint busy
    cdef size_t zero_bytes      # how many bytes of buffers[GRAD], from the first one on, are known to be zero
    cdef void* zeros(self, size_t size) except NULL
    cdef void* get(self, int which, size_t size) except NULL

cdef Scratch borrow_scratch()
