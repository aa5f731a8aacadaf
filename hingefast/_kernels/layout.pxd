# X as the kernels read it: what a layout answers, about rows only.
from libc.stdint cimport int64_t

from hingefast._kernels.labels cimport Targets
from hingefast._kernels.worker cimport Worker

cdef enum:
    # What `Layout.cut` cuts.
    TASK        # rows whose sums are added to the total together
    SLICE       # of a task: rows between two looks for Ctrl-C
    LOAD        # of a slice: rows whose labels are loaded together

cdef enum:
    # Which sums of squares `Layout.squares` makes.
    OF_ROWS
    OF_COLUMNS
    OF_PAIRS    # products of every two columns

cdef enum:
    # K classes: products between two looks for Ctrl-C, some 20 ms.
    SLICE_PRODUCTS = 134217728

cdef struct Point:
    # Coefficients and intercepts as the caller gives them.
    Py_ssize_t width
    const void* coef        # (width, n_features), contiguous
    int is_f64              # of coef
    const void* biases      # `width` intercepts, or NULL: there are none
    int biases_are_f64
    double bias             # where `biases` may point

cdef struct Coef:
    # The same as the layout's loops read them.
    Point given
    const void* data        # NULL: they read the given coef itself
    Py_ssize_t stride       # CSR: numbers a feature in `data`
    double intercept        # of one score a row
    const void* biases      # of K classes, in the computing dtype

cdef struct Rows:
    # Where the numbers of the open rows are: of dense rows a pointer each, of others the entries of a CSR matrix.
    const void* const* dense
    const void* data
    const void* indices
    const int64_t* starts     # NULL: they are dense
    const int64_t* ends
    int wide                  # whether indices are int64
    Py_ssize_t n_numbers      # in all rows together

cdef class Layout:
    cdef readonly Py_ssize_t n_rows, n_features
    cdef readonly int is_f64           # whether scores are computed in float64
    cdef bint needs_numpy              # X is cast by NumPy, which lets one thread at a time
    cdef bint is_small                 # too little work for several threads
    cdef bint by_feature               # gradients of K classes are in the order (feature, class), else (class, feature)
    cdef size_t max_class_gradient     # bytes of the largest gradient for K classes of which each task has its own
    # Which rows
    cdef Py_ssize_t cut(self, Targets targets, Py_ssize_t first, Py_ssize_t end, Py_ssize_t width,
                        int unit) noexcept nogil
    cdef Py_ssize_t rows_alone(self, Targets targets, Py_ssize_t width) noexcept nogil
    cdef Py_ssize_t few_entries(self, Targets targets, Py_ssize_t width) noexcept nogil
    # Before and after the rows
    cdef Py_ssize_t grad_size(self, Py_ssize_t width) noexcept nogil
    cdef int pack(self, Worker worker, Coef* coef, int which) except -1
    cdef int reserve(self, Worker worker) except -1
    cdef void finish(self, const double* total, Point* at, double divisor, double alpha, void* out) noexcept nogil
    # The rows of a block
    cdef int open(self, Worker worker) noexcept nogil
    cdef int point(self, Worker worker, Rows* rows) noexcept nogil
    cdef int note_index(self, Worker worker, Py_ssize_t row) noexcept nogil
    cdef int score(self, Worker worker, Coef* coef, void** scores) noexcept nogil
    cdef int add(self, Worker worker, const void* slopes) noexcept nogil
    cdef void drain(self, Worker worker) noexcept nogil
    cdef int squares(self, Worker worker, int of, const double* weights, double* out) noexcept nogil

cdef int round_coef(Layout layout, Worker worker, Coef* coef, int which) except -1
