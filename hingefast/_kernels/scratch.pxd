# Buffers of one thread; small ones are kept from call to call.

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
    SLOT_TABLE = 19    # a sparse step: which column has which slot
    SLOT_COLUMNS = 20  # ... and which slot which column
    N_BUFFERS = 21

cdef class Scratch:
    # Buffers grow during a call; `give_back` frees what is large.
    cdef void* blocks[21]       # as allocated
    cdef void* buffers[21]      # as used: the first cache line inside
    cdef size_t sizes[21]
    cdef size_t lengths[21]     # mapped bytes,
    cdef bint is_mapped[21]     # if they come from the system and not from malloc
    cdef bint busy
    cdef size_t zero_bytes[21]  # how many bytes, from the first one on, are known to be zero in this call
    cdef void* get(self, int which, size_t size) except NULL
    cdef void* zeros(self, int which, size_t size) except NULL
    cdef void* grow(self, int which, size_t size) except NULL
    cdef void drop(self, int which) noexcept

cdef Scratch borrow_scratch()
cdef void give_back(Scratch scratch) noexcept
