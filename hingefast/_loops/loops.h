/* loops.h - every loop of the table, once: how many there are of it, what it returns, its name and its arguments.
 *
 * REAL_LOOP: once for float32 and once for float64. Whoever includes this says what the two become: members of the table
 * (table.h), or the functions of these names (loops.c). ci/print_table.py prints the declarations for Cython from it.
 * Kinds are explained in table.h.
 */
#ifndef REAL_LOOP
#define REAL_LOOP(KIND, RESULT, NAME, ARGUMENTS)
#endif
#ifndef LOOP
#define LOOP(KIND, RESULT, NAME, ARGUMENTS)
#endif

/* slope stage of one score (margin_loss.h, score_task.h, signs.h, slope.h, given.h) */
REAL_LOOP(PER_FAMILY, int, margin_loss,
          (const hf_loss *loss, const void *signs, const void *scores, ptrdiff_t n, double factor,
           void *values, void *slopes))
REAL_LOOP(PER_FAMILY, int, loss_of_scores,
          (const hf_loss *loss, const hf_labels *labels, const void *scores, ptrdiff_t n, double factor,
           double *lanes, void *slopes, int stream))
REAL_LOOP(PER_FAMILY, void, curvature,
          (const hf_loss *loss, const void *signs, const void *scores, ptrdiff_t n, void *curvatures))
REAL_LOOP(PER_FAMILY, void, scalar, (const hf_loss *loss, double margin, double *out))
REAL_LOOP(ONE, ptrdiff_t, find_bad_sign, (const void *signs, ptrdiff_t n))
REAL_LOOP(PER_DTYPE, void, decode_labels,
          (const void *labels, ptrdiff_t n, const hf_classes *classes, void *signs))
REAL_LOOP(ONE, void, class_weights,
          (const void *signs, double negative, double positive, int exponent, ptrdiff_t n, double *weights))
REAL_LOOP(ONE, void, sum_values,
          (const void *values, const double *weights, ptrdiff_t first, ptrdiff_t n, double *lanes))
REAL_LOOP(ONE, void, multiply_nonzero, (void *x, const void *y, ptrdiff_t n))
REAL_LOOP(ONE, void, absolute, (void *x, ptrdiff_t n))
REAL_LOOP(ONE, void, scale, (void *x, const double *weights, double factor, ptrdiff_t n))
REAL_LOOP(PER_REAL, void, store, (void *x, ptrdiff_t n, double factor, void *out, int stream))
REAL_LOOP(PER_REAL, void, store_weighted,
          (const void *x, const double *weights, double factor, ptrdiff_t n, ptrdiff_t n_classes, void *out))

/* dense score and accumulate (score.h, accumulate.h) */
REAL_LOOP(ONE, void, score_rows,
          (const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features, const void *coef,
           double intercept, void *scores))
REAL_LOOP(ONE, void, accumulate_rows,
          (const void *const *rows, const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features, void *grad))
REAL_LOOP(ONE, void, score_accumulate_rows,
          (const void *const *rows, const void *const *pending, const void *pending_slopes, ptrdiff_t n_rows,
           ptrdiff_t n_features, const void *coef, double intercept, void *scores, void *grad))
REAL_LOOP(ONE, void, flush, (void *block_grad, ptrdiff_t n, double *grad))

/* numbers of other types, or not side by side (convert.h) */
REAL_LOOP(PER_NUMBER, void, convert, (const void *x, ptrdiff_t stride, ptrdiff_t n, void *out))

/* contiguous columns: score, accumulate, copy rows (column_score.h, column_accumulate.h, column_transpose.h) */
REAL_LOOP(ONE, void, score_columns,
          (const void *X, ptrdiff_t column_stride, ptrdiff_t n_rows, ptrdiff_t n_features, const void *coef,
           double intercept, int prefetch, void *sums, void *scores))
REAL_LOOP(ONE, void, accumulate_columns,
          (const void *X, ptrdiff_t column_stride, const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features,
           int prefetch, void *grad))
REAL_LOOP(ONE, void, transpose_columns,
          (const void *X, ptrdiff_t column_stride, const int64_t *rows, ptrdiff_t row_step, ptrdiff_t n_rows,
           ptrdiff_t n_features, int prefetch, void *tile))

/* CSR score and accumulate; [0] int32, [1] int64 column indices */
REAL_LOOP(PER_INDEX, ptrdiff_t, csr_score_rows,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           ptrdiff_t n_rows, int follow, ptrdiff_t n_features, const void *coef, double intercept,
           void *scores))
REAL_LOOP(PER_INDEX, ptrdiff_t, csr_accumulate_rows,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features, double *grad))

/* rows that store all columns and lie at equal distances: full CSR rows, narrow dense rows (even_rows.h) */
REAL_LOOP(ONE, void, score_even_rows,
          (const void *data, ptrdiff_t stride, ptrdiff_t n_rows, ptrdiff_t n_features, ptrdiff_t readable,
           const void *coef, double intercept, void *scores))
REAL_LOOP(ONE, void, accumulate_even_rows,
          (const void *data, ptrdiff_t stride, const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features,
           ptrdiff_t readable, double *grad))
REAL_LOOP(ONE, void, accumulate_narrow_rows,
          (const void *data, ptrdiff_t stride, const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features,
           ptrdiff_t readable, ptrdiff_t chunk, double *grad))

/* sums of squares of rows and columns, of products of columns (squares.h, csr_squares.h) */
REAL_LOOP(ONE, void, square_rows,
          (const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features, double *norms))
REAL_LOOP(ONE, void, square_columns,
          (const void *const *rows, const double *weights, ptrdiff_t n_rows, ptrdiff_t n_features,
           double *sums))
REAL_LOOP(PER_INDEX, ptrdiff_t, csr_square_rows,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           ptrdiff_t n_rows, ptrdiff_t n_features, double *norms))
REAL_LOOP(PER_INDEX, ptrdiff_t, csr_square_columns,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           const double *weights, ptrdiff_t n_rows, ptrdiff_t n_features, double *sums))
REAL_LOOP(PER_INDEX, ptrdiff_t, csr_product_columns,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           const double *weights, ptrdiff_t n_rows, ptrdiff_t n_features, double *sums))
LOOP(ONE, void, product_narrow,
     (const double *rows, const double *weights, ptrdiff_t n_rows, ptrdiff_t n_features, double *sums))
LOOP(ONE, void, product_columns,
     (const double *panel, const double *weighted, ptrdiff_t n_rows, ptrdiff_t capacity, ptrdiff_t n_features,
      double *sums))

/* dual coordinate descent (dense_descend.h, csr_descend.h) */
REAL_LOOP(ONE, void, descend_rows,
          (const void *const *rows, const int64_t *places, ptrdiff_t n_rows, ptrdiff_t n_features,
           hf_descent *state))
REAL_LOOP(PER_INDEX, ptrdiff_t, csr_descend_rows,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           const int64_t *places, ptrdiff_t n_rows, ptrdiff_t n_features, hf_descent *state))
REAL_LOOP(PER_INDEX, void, csr_help_descend,
          (hf_duet * duet, ptrdiff_t turn, ptrdiff_t n_rows, ptrdiff_t n_features, double *coef))
LOOP(ONE, void, arrive, (hf_duet * duet))
LOOP(ONE, ptrdiff_t, rows_asked, (hf_duet * duet, ptrdiff_t turn))
LOOP(ONE, void, dismiss, (hf_duet * duet))

REAL_LOOP(ONE, void, descend_class_rows,
          (const void *const *rows, const int64_t *places, ptrdiff_t n_rows, ptrdiff_t n_features,
           hf_class_descent *state))
REAL_LOOP(PER_INDEX, ptrdiff_t, csr_descend_class_rows,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           const int64_t *places, ptrdiff_t n_rows, ptrdiff_t n_features, hf_class_descent *state))

/* vectors of coef's size (vectors.h, given.h); round_coef takes float32 [0] or float64 [1] */
REAL_LOOP(PER_REAL, void, round_coef, (const void *coef, ptrdiff_t n, void *out))
REAL_LOOP(ONE, void, step, (const void *grad, ptrdiff_t n, double rate, void *theta))
REAL_LOOP(ONE, void, step_columns,
          (const int64_t *columns, ptrdiff_t n, const double *total, ptrdiff_t stride, ptrdiff_t n_classes,
           ptrdiff_t n_features, double divisor, double rate, void *theta))
REAL_LOOP(ONE, void, drop_inactive,
          (const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, const int64_t *starts, int64_t *ends))

/* slope stage of K classes (arrange.h, every_class.h) */
REAL_LOOP(ONE, void, prefetch_own,
          (const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes))
REAL_LOOP(ONE, void, cost_keys,
          (const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, const void *cost,
           void *keys))
REAL_LOOP(ONE, void, rival_margins,
          (const void *keys, const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
           int32_t *rivals, void *margins))
REAL_LOOP(ONE, void, pair_slopes,
          (const void *scores, const int32_t *columns, const int32_t *rivals, const void *slopes, ptrdiff_t n,
           ptrdiff_t n_classes, void *out))
REAL_LOOP(ONE, void, pair_directions,
          (const void *directions, const int32_t *columns, const int32_t *rivals, ptrdiff_t n,
           ptrdiff_t n_classes, void *slopes))
REAL_LOOP(ONE, void, differences,
          (const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, void *differences))
REAL_LOOP(ONE, void, fill, (double value, ptrdiff_t n, void *out))
REAL_LOOP(ONE, void, mark_own,
          (const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, double sign, void *signs))
REAL_LOOP(PER_FAMILY, void, weston_watkins,
          (const hf_loss *loss, const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
           double factor, void *values, void *slopes))
REAL_LOOP(PER_FAMILY, void, one_vs_rest,
          (const hf_loss *loss, const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
           double factor, void *values, void *slopes))
REAL_LOOP(ONE, void, collect_own, (void *slopes, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes))
REAL_LOOP(ONE, void, spread_nan,
          (const void *values, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, void *slopes))
REAL_LOOP(ONE, void, top_k,
          (const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, ptrdiff_t k,
           int hinge_each, void *space, void *values, void *slopes))
REAL_LOOP(ONE, void, add_columns, (const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, double *sums))
REAL_LOOP(ONE, void, group_by_class,
          (const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, int32_t *starts, int32_t *rows,
           void *grouped, int32_t (*found)[2]))

/* score and accumulate of K classes (class_score.h, class_accumulate.h, csr_score.h, csr_accumulate.h, given.h); pack_...[0] from float32, [1] float64;
 * csr_score_unpacked[index type][type of coef] */
REAL_LOOP(PER_REAL, void, pack_panels,
          (const void *coef, ptrdiff_t n_classes, ptrdiff_t n_features, void *out))
REAL_LOOP(PER_REAL, void, pack_features,
          (const void *coef, ptrdiff_t n_classes, ptrdiff_t n_features, ptrdiff_t stride, void *out))
REAL_LOOP(ONE, void, score_classes,
          (const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features, const void *panels,
           ptrdiff_t n_classes, const void *intercepts, ptrdiff_t ahead, void *scores))
REAL_LOOP(ONE, void, accumulate_class,
          (const void *const *rows, const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features, double *grad))
REAL_LOOP(PER_INDEX, ptrdiff_t, csr_score_classes,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           ptrdiff_t n_rows, ptrdiff_t n_features, const void *coef, ptrdiff_t stride, ptrdiff_t n_classes,
           const void *intercepts, void *scores))
REAL_LOOP(PER_INDEX_AND_REAL, ptrdiff_t, csr_score_unpacked,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           ptrdiff_t n_rows, ptrdiff_t n_features, const void *coef, ptrdiff_t n_classes,
           const void *intercepts, void *scores))
REAL_LOOP(PER_INDEX, void, csr_accumulate_classes,
          (const void *data, const void *indices, const int64_t *starts, const int64_t *ends,
           const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features, ptrdiff_t n_classes, ptrdiff_t stride,
           int32_t *active, double *active_slopes, double *grad))
REAL_LOOP(ONE, void, finish_features,
          (const double *total, ptrdiff_t n_classes, ptrdiff_t n_features, ptrdiff_t stride, double divisor,
           double alpha, const void *coef, void *out))

/* the vectorised elementary functions, for their tests */
REAL_LOOP(PER_FUNCTION, void, elementary, (const void *x, ptrdiff_t n, void *out))

/* what needs no number type */
LOOP(PER_DTYPE, ptrdiff_t, decode_classes,
     (const void *labels, ptrdiff_t n, const hf_class_labels *classes, int32_t *columns))
LOOP(ONE, void, class_weights,
     (const int32_t *columns, const double *of_class, int exponent, ptrdiff_t n, double *weights))
LOOP(PER_DTYPE, ptrdiff_t, decode_weights, (const void *weights, ptrdiff_t n, int exponent, double *out))
LOOP(PER_SIZE, void, gather,
     (const void *source, ptrdiff_t stride, const int64_t *rows, ptrdiff_t n, void *out))
LOOP(PER_SIZE, void, swap_bytes, (void *x, ptrdiff_t n))
LOOP(PER_INDEX, ptrdiff_t, csr_spans,
     (const void *indptr, const int64_t *rows, ptrdiff_t first, ptrdiff_t step, ptrdiff_t n, int64_t n_stored,
      int64_t *starts, int64_t *ends))
LOOP(PER_INDEX, int, csr_are_full,
     (const void *indices, const int64_t *starts, const int64_t *ends, ptrdiff_t n_rows,
      ptrdiff_t n_features))
LOOP(ONE, void, touch, (const void *x, size_t bytes))
LOOP(ONE, void, prefetch, (const void *x, size_t bytes))
LOOP(PER_INDEX, void, assign_slots, (void *indices, int64_t n, ptrdiff_t n_features, hf_slots *slots))
LOOP(ONE, double, merge_lanes, (const double *lanes))
LOOP(ONE, void, stream_piece, (void *piece, size_t bytes, int is_first, int is_last, void *out))
LOOP(ONE, void, move_into, (double *total, double *part, ptrdiff_t n))
LOOP(PER_REAL, double, penalty, (double alpha, const void *coef, ptrdiff_t n))
LOOP(PER_REAL, void, finish_grad,
     (const double *total, ptrdiff_t n, double divisor, double alpha, const void *coef, void *out))

/* rows of solvers (interior.h) */
LOOP(ONE, void, interior_look, (const hf_interior *state, ptrdiff_t n, double *out))
LOOP(ONE, void, interior_predict, (const hf_interior *state, const double *along, ptrdiff_t n, double *out))
LOOP(ONE, void, interior_correct, (const hf_interior *state, double target, ptrdiff_t n))
LOOP(ONE, double, interior_step, (const hf_interior *state, const double *along, ptrdiff_t n))
LOOP(ONE, void, interior_move, (const hf_interior *state, const double *along, double length, ptrdiff_t n))
LOOP(ONE, void, scores_along, (const double *scores, const double *along, double t, ptrdiff_t n, double *out))
LOOP(ONE, void, line_sums,
     (const double *slopes, const double *curvatures, const double *weights, const double *along, ptrdiff_t n,
      double *lanes))

/* Single operations of float64 numbers behind a pointer, where no compiler can move them out of the
 * default floating-point environment. */
LOOP(ONE, double, divide, (double x, double y))
LOOP(ONE, double, sum_in_order, (const double *x, ptrdiff_t n))
LOOP(ONE, void, bind_loss, (const hf_catalogue_row *row, const double *parameters, hf_loss *bound))

#undef REAL_LOOP
#undef LOOP
