# The table of C loops of the level in use, and a loss as the loops take it.
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from "../_loops/table.h" nogil:
    enum:
        HF_VALUE_LANES
        HF_LINE_BYTES
        HF_COLUMN_ROWS
        HF_MAX_PARAMETERS

# --- printed by ci/print_table.py ---
cdef extern from "../_loops/table.h" nogil:
    enum:
        HF_N_FAMILIES
    enum:
        HF_INT8
        HF_INT16
        HF_INT32
        HF_INT64
        HF_UINT8
        HF_UINT16
        HF_UINT32
        HF_UINT64
        HF_FLOAT32
        HF_FLOAT64
        HF_N_DTYPES
    enum:
        HF_BOOL
        HF_FLOAT16
        HF_SWAPPED
        HF_N_NUMBERS
    enum:
        HF_TURNS
    enum:
        HF_NO_FAULT
        HF_FAULT_INDPTR
        HF_FAULT_INDEX
        HF_FAULT_LABEL
        HF_FAULT_WEIGHT
        HF_FAULT_ROW

    ctypedef struct hf_loss:
        int family
        int is_simple
        double margin
        double kink_slope
        double sharpness
        double width
        double rate
        double steepest
        double compliance
        double sigma
        double beta

    ctypedef struct hf_parameter:
        const char* name
        const char* kind
        double value

    ctypedef struct hf_catalogue_row:
        const char* name
        const char* class_name
        const char* aliases
        hf_parameter parameters[HF_MAX_PARAMETERS]
        const char* smoothness
        void (*bind)(const double* parameters, hf_loss* loss) noexcept nogil

    ctypedef struct hf_classes:
        double negative
        double positive
        int64_t negative_int
        int64_t positive_int
        uint64_t negative_uint
        uint64_t positive_uint
        int negative_fits_uint
        int positive_fits_uint

    ctypedef struct hf_labels:
        const void* data
        int dtype
        Py_ssize_t itemsize
        const hf_classes* classes
        void (*decode)(const void* labels, Py_ssize_t n, const hf_classes* classes, void* signs) noexcept nogil

    ctypedef struct hf_class_labels:
        int64_t n_classes
        int64_t first
        const int64_t* sorted
        const int32_t* columns

    ctypedef struct hf_slots:
        int64_t* columns
        int32_t* table
        uint64_t mask
        Py_ssize_t n
        Py_ssize_t capacity

    ctypedef struct hf_dual_row:
        double value
        double upper
        double diagonal
        double step

    ctypedef struct hf_word:
        double value
        Py_ssize_t turn
        char rest_of_line[48]

    ctypedef struct hf_duet:
        hf_word sums[HF_TURNS]
        hf_word changes[HF_TURNS]
        hf_word here
        hf_word done
        hf_word asked
        const void* data
        const void* indices
        const int64_t* starts
        const int64_t* ends
        int64_t middles[HF_TURNS]
        int wide
        Py_ssize_t turn
        int is_late
        int is_over

    ctypedef struct hf_descent:
        double* coef
        hf_dual_row* rows
        int32_t* middles
        int64_t split
        int is_ahead
        hf_duet* duet
        double margin
        double intercept
        double intercept_rate
        double high
        double low
        int64_t* order
        Py_ssize_t n_kept
        double largest
        double smallest
        double estimate
        double moved

    ctypedef struct hf_class_descent:
        double* coef
        hf_dual_row* rows
        double* dual
        const int32_t* columns
        const double* costs
        Py_ssize_t n_classes
        Py_ssize_t stride
        double margin
        double* intercepts
        double intercept_rate
        double* of_classes
        double high
        int64_t* order
        Py_ssize_t n_kept
        double largest
        double estimate
        double* space

    ctypedef struct hf_interior:
        double* a
        double* p
        double* q
        double* scores
        const double* signs
        const double* upper
        const double* diagonal
        double margin
        int has_end
        double* weights
        double* excess
        double* right
        double* to_a
        double* to_room
        double* step

    ctypedef struct hf_real_loops:
        int (*margin_loss[HF_N_FAMILIES])(const hf_loss* loss, const void* signs, const void* scores, Py_ssize_t n,
                                          double factor, void* values, void* slopes) noexcept nogil
        int (*loss_of_scores[HF_N_FAMILIES])(const hf_loss* loss, const hf_labels* labels, const void* scores,
                                             Py_ssize_t n, double factor, double* lanes, void* slopes,
                                             int stream) noexcept nogil
        void (*curvature[HF_N_FAMILIES])(const hf_loss* loss, const void* signs, const void* scores, Py_ssize_t n,
                                         void* curvatures) noexcept nogil
        void (*scalar[HF_N_FAMILIES])(const hf_loss* loss, double margin, double* out) noexcept nogil
        Py_ssize_t (*find_bad_sign)(const void* signs, Py_ssize_t n) noexcept nogil
        void (*decode_labels[HF_N_DTYPES])(const void* labels, Py_ssize_t n, const hf_classes* classes,
                                           void* signs) noexcept nogil
        void (*class_weights)(const void* signs, double negative, double positive, int exponent, Py_ssize_t n,
                              double* weights) noexcept nogil
        void (*sum_values)(const void* values, const double* weights, Py_ssize_t first, Py_ssize_t n,
                           double* lanes) noexcept nogil
        void (*multiply_nonzero)(void* x, const void* y, Py_ssize_t n) noexcept nogil
        void (*absolute)(void* x, Py_ssize_t n) noexcept nogil
        void (*scale)(void* x, const double* weights, double factor, Py_ssize_t n) noexcept nogil
        void (*store[2])(void* x, Py_ssize_t n, double factor, void* out, int stream) noexcept nogil
        void (*store_weighted[2])(const void* x, const double* weights, double factor, Py_ssize_t n,
                                  Py_ssize_t n_classes, void* out) noexcept nogil
        void (*score_rows)(const void* const* rows, Py_ssize_t n_rows, Py_ssize_t n_features, const void* coef,
                           double intercept, void* scores) noexcept nogil
        void (*accumulate_rows)(const void* const* rows, const void* slopes, Py_ssize_t n_rows, Py_ssize_t n_features,
                                void* grad) noexcept nogil
        void (*score_accumulate_rows)(const void* const* rows, const void* const* pending, const void* pending_slopes,
                                      Py_ssize_t n_rows, Py_ssize_t n_features, const void* coef, double intercept,
                                      void* scores, void* grad) noexcept nogil
        void (*flush)(void* block_grad, Py_ssize_t n, double* grad) noexcept nogil
        void (*convert[HF_N_NUMBERS])(const void* x, Py_ssize_t stride, Py_ssize_t n, void* out) noexcept nogil
        void (*score_columns)(const void* X, Py_ssize_t column_stride, Py_ssize_t n_rows, Py_ssize_t n_features,
                              const void* coef, double intercept, int prefetch, void* sums, void* scores) noexcept nogil
        void (*accumulate_columns)(const void* X, Py_ssize_t column_stride, const void* slopes, Py_ssize_t n_rows,
                                   Py_ssize_t n_features, int prefetch, void* grad) noexcept nogil
        void (*transpose_columns)(const void* X, Py_ssize_t column_stride, const int64_t* rows, Py_ssize_t row_step,
                                  Py_ssize_t n_rows, Py_ssize_t n_features, int prefetch, void* tile) noexcept nogil
        Py_ssize_t (*csr_score_rows[2])(const void* data, const void* indices, const int64_t* starts,
                                        const int64_t* ends, Py_ssize_t n_rows, int follow, Py_ssize_t n_features,
                                        const void* coef, double intercept, void* scores) noexcept nogil
        Py_ssize_t (*csr_accumulate_rows[2])(const void* data, const void* indices, const int64_t* starts,
                                             const int64_t* ends, const void* slopes, Py_ssize_t n_rows,
                                             Py_ssize_t n_features, double* grad) noexcept nogil
        void (*score_even_rows)(const void* data, Py_ssize_t stride, Py_ssize_t n_rows, Py_ssize_t n_features,
                                Py_ssize_t readable, const void* coef, double intercept, void* scores) noexcept nogil
        void (*accumulate_even_rows)(const void* data, Py_ssize_t stride, const void* slopes, Py_ssize_t n_rows,
                                     Py_ssize_t n_features, Py_ssize_t readable, double* grad) noexcept nogil
        void (*accumulate_narrow_rows)(const void* data, Py_ssize_t stride, const void* slopes, Py_ssize_t n_rows,
                                       Py_ssize_t n_features, Py_ssize_t readable, Py_ssize_t chunk,
                                       double* grad) noexcept nogil
        void (*square_rows)(const void* const* rows, Py_ssize_t n_rows, Py_ssize_t n_features,
                            double* norms) noexcept nogil
        void (*square_columns)(const void* const* rows, const double* weights, Py_ssize_t n_rows,
                               Py_ssize_t n_features, double* sums) noexcept nogil
        Py_ssize_t (*csr_square_rows[2])(const void* data, const void* indices, const int64_t* starts,
                                         const int64_t* ends, Py_ssize_t n_rows, Py_ssize_t n_features,
                                         double* norms) noexcept nogil
        Py_ssize_t (*csr_square_columns[2])(const void* data, const void* indices, const int64_t* starts,
                                            const int64_t* ends, const double* weights, Py_ssize_t n_rows,
                                            Py_ssize_t n_features, double* sums) noexcept nogil
        Py_ssize_t (*csr_product_columns[2])(const void* data, const void* indices, const int64_t* starts,
                                             const int64_t* ends, const double* weights, Py_ssize_t n_rows,
                                             Py_ssize_t n_features, double* sums) noexcept nogil
        void (*descend_rows)(const void* const* rows, const int64_t* places, Py_ssize_t n_rows, Py_ssize_t n_features,
                             hf_descent* state) noexcept nogil
        Py_ssize_t (*csr_descend_rows[2])(const void* data, const void* indices, const int64_t* starts,
                                          const int64_t* ends, const int64_t* places, Py_ssize_t n_rows,
                                          Py_ssize_t n_features, hf_descent* state) noexcept nogil
        void (*csr_help_descend[2])(hf_duet * duet, Py_ssize_t turn, Py_ssize_t n_rows, Py_ssize_t n_features,
                                    double* coef) noexcept nogil
        void (*descend_class_rows)(const void* const* rows, const int64_t* places, Py_ssize_t n_rows,
                                   Py_ssize_t n_features, hf_class_descent* state) noexcept nogil
        Py_ssize_t (*csr_descend_class_rows[2])(const void* data, const void* indices, const int64_t* starts,
                                                const int64_t* ends, const int64_t* places, Py_ssize_t n_rows,
                                                Py_ssize_t n_features, hf_class_descent* state) noexcept nogil
        void (*round_coef[2])(const void* coef, Py_ssize_t n, void* out) noexcept nogil
        void (*step)(const void* grad, Py_ssize_t n, double rate, void* theta) noexcept nogil
        void (*step_columns)(const int64_t* columns, Py_ssize_t n, const double* total, Py_ssize_t stride,
                             Py_ssize_t n_classes, Py_ssize_t n_features, double divisor, double rate,
                             void* theta) noexcept nogil
        void (*drop_inactive)(const void* slopes, Py_ssize_t n, Py_ssize_t n_classes, const int64_t* starts,
                              int64_t* ends) noexcept nogil
        void (*prefetch_own)(const void* scores, const int32_t* columns, Py_ssize_t n,
                             Py_ssize_t n_classes) noexcept nogil
        void (*cost_keys)(const void* scores, const int32_t* columns, Py_ssize_t n, Py_ssize_t n_classes,
                          const void* cost, void* keys) noexcept nogil
        void (*rival_margins)(const void* keys, const void* scores, const int32_t* columns, Py_ssize_t n,
                              Py_ssize_t n_classes, int32_t* rivals, void* margins) noexcept nogil
        void (*pair_slopes)(const void* scores, const int32_t* columns, const int32_t* rivals, const void* slopes,
                            Py_ssize_t n, Py_ssize_t n_classes, void* out) noexcept nogil
        void (*pair_directions)(const void* directions, const int32_t* columns, const int32_t* rivals, Py_ssize_t n,
                                Py_ssize_t n_classes, void* slopes) noexcept nogil
        void (*differences)(const void* scores, const int32_t* columns, Py_ssize_t n, Py_ssize_t n_classes,
                            void* differences) noexcept nogil
        void (*fill)(double value, Py_ssize_t n, void* out) noexcept nogil
        void (*mark_own)(const int32_t* columns, Py_ssize_t n, Py_ssize_t n_classes, double sign,
                         void* signs) noexcept nogil
        void (*weston_watkins[HF_N_FAMILIES])(const hf_loss* loss, const void* scores, const int32_t* columns,
                                              Py_ssize_t n, Py_ssize_t n_classes, double factor, void* values,
                                              void* slopes) noexcept nogil
        void (*one_vs_rest[HF_N_FAMILIES])(const hf_loss* loss, const void* scores, const int32_t* columns,
                                           Py_ssize_t n, Py_ssize_t n_classes, double factor, void* values,
                                           void* slopes) noexcept nogil
        void (*collect_own)(void* slopes, const int32_t* columns, Py_ssize_t n, Py_ssize_t n_classes) noexcept nogil
        void (*spread_nan)(const void* values, const int32_t* columns, Py_ssize_t n, Py_ssize_t n_classes,
                           void* slopes) noexcept nogil
        void (*top_k)(const void* scores, const int32_t* columns, Py_ssize_t n, Py_ssize_t n_classes, Py_ssize_t k,
                      int hinge_each, void* space, void* values, void* slopes) noexcept nogil
        void (*add_columns)(const void* slopes, Py_ssize_t n, Py_ssize_t n_classes, double* sums) noexcept nogil
        void (*group_by_class)(const void* slopes, Py_ssize_t n, Py_ssize_t n_classes, int32_t* starts, int32_t* rows,
                               void* grouped, int32_t (*found)[2]) noexcept nogil
        void (*pack_panels[2])(const void* coef, Py_ssize_t n_classes, Py_ssize_t n_features, void* out) noexcept nogil
        void (*pack_features[2])(const void* coef, Py_ssize_t n_classes, Py_ssize_t n_features, Py_ssize_t stride,
                                 void* out) noexcept nogil
        void (*score_classes)(const void* const* rows, Py_ssize_t n_rows, Py_ssize_t n_features, const void* panels,
                              Py_ssize_t n_classes, const void* intercepts, Py_ssize_t ahead,
                              void* scores) noexcept nogil
        void (*accumulate_class)(const void* const* rows, const void* slopes, Py_ssize_t n_rows, Py_ssize_t n_features,
                                 double* grad) noexcept nogil
        Py_ssize_t (*csr_score_classes[2])(const void* data, const void* indices, const int64_t* starts,
                                           const int64_t* ends, Py_ssize_t n_rows, Py_ssize_t n_features,
                                           const void* coef, Py_ssize_t stride, Py_ssize_t n_classes,
                                           const void* intercepts, void* scores) noexcept nogil
        Py_ssize_t (*csr_score_unpacked[2][2])(const void* data, const void* indices, const int64_t* starts,
                                               const int64_t* ends, Py_ssize_t n_rows, Py_ssize_t n_features,
                                               const void* coef, Py_ssize_t n_classes, const void* intercepts,
                                               void* scores) noexcept nogil
        void (*csr_accumulate_classes[2])(const void* data, const void* indices, const int64_t* starts,
                                          const int64_t* ends, const void* slopes, Py_ssize_t n_rows,
                                          Py_ssize_t n_features, Py_ssize_t n_classes, Py_ssize_t stride,
                                          int32_t* active, double* active_slopes, double* grad) noexcept nogil
        void (*finish_features)(const double* total, Py_ssize_t n_classes, Py_ssize_t n_features, Py_ssize_t stride,
                                double divisor, double alpha, const void* coef, void* out) noexcept nogil
        void (*elementary[3])(const void* x, Py_ssize_t n, void* out) noexcept nogil

    ctypedef struct hf_loops:
        const char* level
        const char* compiler
        Py_ssize_t tile_rows
        const hf_catalogue_row* catalogue
        Py_ssize_t n_catalogue
        hf_real_loops real[2]
        void (*product_narrow)(const double* rows, const double* weights, Py_ssize_t n_rows, Py_ssize_t n_features,
                               double* sums) noexcept nogil
        void (*product_columns)(const double* panel, const double* weighted, Py_ssize_t n_rows, Py_ssize_t capacity,
                                Py_ssize_t n_features, double* sums) noexcept nogil
        void (*arrive)(hf_duet * duet) noexcept nogil
        Py_ssize_t (*rows_asked)(hf_duet * duet, Py_ssize_t turn) noexcept nogil
        void (*dismiss)(hf_duet * duet) noexcept nogil
        Py_ssize_t (*decode_classes[HF_N_DTYPES])(const void* labels, Py_ssize_t n, const hf_class_labels* classes,
                                                  int32_t* columns) noexcept nogil
        void (*class_weights)(const int32_t* columns, const double* of_class, int exponent, Py_ssize_t n,
                              double* weights) noexcept nogil
        Py_ssize_t (*decode_weights[HF_N_DTYPES])(const void* weights, Py_ssize_t n, int exponent,
                                                  double* out) noexcept nogil
        void (*gather[4])(const void* source, Py_ssize_t stride, const int64_t* rows, Py_ssize_t n,
                          void* out) noexcept nogil
        void (*swap_bytes[4])(void* x, Py_ssize_t n) noexcept nogil
        Py_ssize_t (*csr_spans[2])(const void* indptr, const int64_t* rows, Py_ssize_t first, Py_ssize_t step,
                                   Py_ssize_t n, int64_t n_stored, int64_t* starts, int64_t* ends) noexcept nogil
        int (*csr_are_full[2])(const void* indices, const int64_t* starts, const int64_t* ends, Py_ssize_t n_rows,
                               Py_ssize_t n_features) noexcept nogil
        void (*touch)(const void* x, size_t bytes) noexcept nogil
        void (*prefetch)(const void* x, size_t bytes) noexcept nogil
        void (*assign_slots[2])(void* indices, int64_t n, Py_ssize_t n_features, hf_slots* slots) noexcept nogil
        double (*merge_lanes)(const double* lanes) noexcept nogil
        void (*stream_piece)(void* piece, size_t bytes, int is_first, int is_last, void* out) noexcept nogil
        void (*move_into)(double* total, double* part, Py_ssize_t n) noexcept nogil
        double (*penalty[2])(double alpha, const void* coef, Py_ssize_t n) noexcept nogil
        void (*finish_grad[2])(const double* total, Py_ssize_t n, double divisor, double alpha, const void* coef,
                               void* out) noexcept nogil
        void (*interior_look)(const hf_interior* state, Py_ssize_t n, double* out) noexcept nogil
        void (*interior_predict)(const hf_interior* state, const double* along, Py_ssize_t n,
                                 double* out) noexcept nogil
        void (*interior_correct)(const hf_interior* state, double target, Py_ssize_t n) noexcept nogil
        double (*interior_step)(const hf_interior* state, const double* along, Py_ssize_t n) noexcept nogil
        void (*interior_move)(const hf_interior* state, const double* along, double length, Py_ssize_t n) noexcept nogil
        void (*scores_along)(const double* scores, const double* along, double t, Py_ssize_t n,
                             double* out) noexcept nogil
        void (*line_sums)(const double* slopes, const double* curvatures, const double* weights, const double* along,
                          Py_ssize_t n, double* lanes) noexcept nogil
        double (*divide)(double x, double y) noexcept nogil
        double (*sum_in_order)(const double* x, Py_ssize_t n) noexcept nogil
        void (*bind_loss)(const hf_catalogue_row* row, const double* parameters, hf_loss* bound) noexcept nogil
# --- end of what ci/print_table.py prints ---

cdef extern from "../_loops/table.h" nogil:
    int64_t hf_pinned(int64_t x)
    ctypedef int hf_fp_state
    hf_fp_state hf_fp_enter()
    void hf_fp_leave(hf_fp_state caller)
    int hf_cpu_supports(const char* level)

cdef const hf_loops* table

cdef class BoundLoss:
    cdef hf_loss real[2]    # [0] as float32 arithmetic can hold it, [1] float64
    cdef readonly bint has_curvature
