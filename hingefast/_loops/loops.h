/* loops.h - the table of innermost loops, one per instruction-set level; what the Cython kernels see.
 *
 * Arrays come as `void *` to float32 or float64 numbers, after the table they stand in ("real" below);
 * `n` counts elements. No loop allocates, raises or keeps state; none reads or writes outside the
 * lengths it is given, whatever the arrays hold.
 */
#ifndef HF_LOOPS_H
#define HF_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#include "losses.h"
#include "port.h"

/* Element types of labels, weights and row selections. */
enum {
    HF_INT8,
    HF_INT16,
    HF_INT32,
    HF_INT64,
    HF_UINT8,
    HF_UINT16,
    HF_UINT32,
    HF_UINT64,
    HF_FLOAT32,
    HF_FLOAT64,
    HF_N_DTYPES
};
/* And those that the loops of convert.h know besides. HF_SWAPPED + one of all these: in the other byte order. */
enum { HF_BOOL = HF_N_DTYPES, HF_FLOAT16, HF_SWAPPED, HF_N_CONVERTIBLE = 2 * HF_SWAPPED };

/* The two classes of binary labels, for float, signed and unsigned labels. A class that is no integer, or no
 * int64, is INT64_MIN there, which matches nothing (Python refuses INT64_MIN itself as a class); `fits_uint`
 * tells whether the class is a uint64. */
typedef struct {
    double negative, positive;
    int64_t negative_int, positive_int;
    uint64_t negative_uint, positive_uint;
    int negative_fits_uint, positive_fits_uint;
} hf_classes;

/* Labels one behind the other: signs, or what `decode` (not NULL) makes signs of. */
typedef struct {
    const void *data;
    int dtype; /* HF_INT8 ... */
    ptrdiff_t itemsize;
    const hf_classes *classes;
    void (*decode)(const void *labels, ptrdiff_t n, const hf_classes *classes, void *signs);
} hf_labels;

/* The labels of K classes: first, first + 1, ..., or, where `sorted` is given, sorted[0] < sorted[1] < ..., of
 * which sorted[i] is the label of column columns[i]. No label overflows int64. */
typedef struct {
    int64_t n_classes;
    int64_t first;
    const int64_t *sorted;
    const int32_t *columns;
} hf_class_labels;

/* The columns that the rows of a sparse step store: each has a number of its own, its slot (slots.h). */
typedef struct {
    int64_t *columns;      /* of each slot; of the slots of a column one has sums */
    int32_t *table;        /* with a place a column, or of mask + 1 places, a power of two above 2*capacity */
    uint64_t mask;         /* 0: a place a column */
    ptrdiff_t n, capacity; /* slots in use, at most */
} hf_slots;

/* What a fault in the data was, for the message. */
enum { HF_NO_FAULT, HF_FAULT_INDPTR, HF_FAULT_INDEX, HF_FAULT_LABEL, HF_FAULT_WEIGHT, HF_FAULT_ROW };

typedef struct {
    /* slope stage (slope.h) */
    int (*margin_loss[HF_N_FAMILIES])(const hf_loss *loss, const void *signs, const void *scores, ptrdiff_t n,
                                      double factor, void *values, void *slopes);
    int (*loss_of_scores[HF_N_FAMILIES])(const hf_loss *loss, const hf_labels *labels, const void *scores,
                                         ptrdiff_t n, double factor, double *lanes, void *slopes, int stream);
    void (*curvature[HF_N_FAMILIES])(const hf_loss *loss, const void *signs, const void *scores, ptrdiff_t n,
                                     void *curvatures);
    void (*scalar[HF_N_FAMILIES])(const hf_loss *loss, double margin, double *out);
    ptrdiff_t (*find_bad_sign)(const void *signs, ptrdiff_t n);
    void (*decode_labels[HF_N_DTYPES])(const void *labels, ptrdiff_t n, const hf_classes *classes,
                                       void *signs);
    void (*class_weights)(const void *signs, double negative, double positive, int exponent, ptrdiff_t n,
                          double *weights);
    void (*prefetch_own)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes);
    void (*sum_values)(const void *values, const double *weights, ptrdiff_t first, ptrdiff_t n,
                       double *lanes);
    void (*multiply_nonzero)(void *x, const void *y, ptrdiff_t n);
    void (*scale)(void *x, const double *weights, double factor, ptrdiff_t n);
    void (*store[2])(void *x, ptrdiff_t n, double factor, void *out, int stream);
    void (*store_weighted[2])(const void *x, const double *weights, double factor, ptrdiff_t n,
                              ptrdiff_t n_classes, void *out);
    /* dense score and accumulate (score.h, accumulate.h) */
    void (*score_rows)(const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features, const void *coef,
                       double intercept, void *scores);
    void (*accumulate_rows)(const void *const *rows, const void *slopes, ptrdiff_t n_rows,
                            ptrdiff_t n_features, void *grad);
    void (*score_accumulate_rows)(const void *const *rows, const void *const *pending,
                                  const void *pending_slopes, ptrdiff_t n_rows, ptrdiff_t n_features,
                                  const void *coef, double intercept, void *scores, void *grad);
    void (*flush)(void *block_grad, ptrdiff_t n, double *grad);
    /* numbers of other types, or not side by side (convert.h) */
    void (*convert[HF_N_CONVERTIBLE])(const void *x, ptrdiff_t stride, ptrdiff_t n, void *out);
    /* contiguous columns: score, accumulate, copy rows (column_score.h, column_accumulate.h, column_transpose.h) */
    void (*score_columns)(const void *X, ptrdiff_t column_stride, ptrdiff_t n_rows, ptrdiff_t n_features,
                          const void *coef, double intercept, int prefetch, void *sums, void *scores);
    void (*accumulate_columns)(const void *X, ptrdiff_t column_stride, const void *slopes, ptrdiff_t n_rows,
                               ptrdiff_t n_features, int prefetch, void *grad);
    void (*transpose_columns)(const void *X, ptrdiff_t column_stride, const int64_t *rows, ptrdiff_t row_step,
                              ptrdiff_t n_rows, ptrdiff_t n_features, int prefetch, void *tile);
    /* CSR score and accumulate; [0] int32, [1] int64 column indices */
    ptrdiff_t (*csr_score_rows[2])(const void *data, const void *indices, const int64_t *starts,
                                   const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                   const void *coef, double intercept, void *scores);
    void (*csr_accumulate_rows[2])(const void *data, const void *indices, const int64_t *starts,
                                   const int64_t *ends, const void *slopes, ptrdiff_t n_rows,
                                   ptrdiff_t n_features, double *grad);
    /* vectors of coef's size (vectors.h); round_coef takes float32 [0] or float64 [1] */
    void (*round_coef[2])(const void *coef, ptrdiff_t n, void *out);
    void (*step)(const void *grad, ptrdiff_t n, double rate, void *theta);
    void (*step_columns)(const int64_t *columns, ptrdiff_t n, const double *total, ptrdiff_t stride,
                         ptrdiff_t n_classes, ptrdiff_t n_features, double divisor, double rate, void *theta);
    void (*drop_inactive)(const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, const int64_t *starts,
                          int64_t *ends);
    /* K classes: slope stage (arrange.h) */
    void (*cost_keys)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                      const void *cost, void *keys);
    void (*rival_margins)(const void *keys, const void *scores, const int32_t *columns, ptrdiff_t n,
                          ptrdiff_t n_classes, int32_t *rivals, void *margins);
    void (*pair_slopes)(const void *scores, const int32_t *columns, const int32_t *rivals, const void *slopes,
                        ptrdiff_t n, ptrdiff_t n_classes, void *out);
    void (*pair_directions)(const void *directions, const int32_t *columns, const int32_t *rivals,
                            ptrdiff_t n, ptrdiff_t n_classes, void *slopes);
    void (*differences)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                        void *differences);
    void (*fill)(double value, ptrdiff_t n, void *out);
    void (*mark_own)(const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, double sign, void *signs);
    void (*weston_watkins[HF_N_FAMILIES])(const hf_loss *loss, const void *scores, const int32_t *columns,
                                          ptrdiff_t n, ptrdiff_t n_classes, double factor, void *values,
                                          void *slopes);
    void (*one_vs_rest[HF_N_FAMILIES])(const hf_loss *loss, const void *scores, const int32_t *columns,
                                       ptrdiff_t n, ptrdiff_t n_classes, double factor, void *values,
                                       void *slopes);
    void (*collect_own)(void *slopes, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes);
    void (*spread_nan)(const void *values, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                       void *slopes);
    void (*top_k)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, ptrdiff_t k,
                  int each, void *space, void *values, void *slopes);
    void (*add_columns)(const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, double *sums);
    void (*group_by_class)(const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, int32_t *starts,
                           int32_t *rows, void *grouped, int32_t (*found)[2]);
    /* K classes: score and accumulate (class_score.h, class_accumulate.h); pack_...[0] from float32, [1] float64;
     * csr_score_unpacked[index type][type of coef] */
    void (*pack_panels[2])(const void *coef, ptrdiff_t n_classes, ptrdiff_t n_features, void *out);
    void (*pack_features[2])(const void *coef, ptrdiff_t n_classes, ptrdiff_t n_features, ptrdiff_t stride,
                             void *out);
    void (*score_classes)(const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features, const void *panels,
                          ptrdiff_t n_classes, const void *intercepts, ptrdiff_t ahead, void *scores);
    void (*accumulate_class)(const void *const *rows, const void *slopes, ptrdiff_t n_rows,
                             ptrdiff_t n_features, double *grad);
    ptrdiff_t (*csr_score_classes[2])(const void *data, const void *indices, const int64_t *starts,
                                      const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                      const void *coef, ptrdiff_t stride, ptrdiff_t n_classes,
                                      const void *intercepts, void *scores);
    ptrdiff_t (*csr_score_unpacked[2][2])(const void *data, const void *indices, const int64_t *starts,
                                          const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                          const void *coef, ptrdiff_t n_classes, const void *intercepts,
                                          void *scores);
    void (*csr_accumulate_classes[2])(const void *data, const void *indices, const int64_t *starts,
                                      const int64_t *ends, const void *slopes, ptrdiff_t n_rows,
                                      ptrdiff_t n_features, ptrdiff_t n_classes, ptrdiff_t stride,
                                      int32_t *active, double *active_slopes, double *grad);
    void (*finish_features)(const double *total, ptrdiff_t n_classes, ptrdiff_t n_features, ptrdiff_t stride,
                            double divisor, double alpha, const void *coef, void *out);
    /* the vectorised elementary functions, for their tests */
    void (*elementary[3])(const void *x, ptrdiff_t n, void *out);
} hf_real_loops;

typedef struct {
    const char *level;
    const char *compiler;
    ptrdiff_t tile_rows;
    const hf_catalogue_row *catalogue;
    ptrdiff_t n_catalogue;
    hf_real_loops real[2]; /* [0] float32, [1] float64 */
    ptrdiff_t (*decode_classes[HF_N_DTYPES])(const void *labels, ptrdiff_t n, const hf_class_labels *classes,
                                             int32_t *columns);
    void (*class_weights)(const int32_t *columns, const double *of_class, int exponent, ptrdiff_t n,
                          double *weights);
    ptrdiff_t (*decode_weights[HF_N_DTYPES])(const void *weights, ptrdiff_t n, int exponent, double *out);
    void (*gather[4])(const void *source, ptrdiff_t stride, const int64_t *rows, ptrdiff_t n, void *out);
    void (*swap_bytes[4])(void *x, ptrdiff_t n);
    ptrdiff_t (*csr_spans[2])(const void *indptr, const int64_t *rows, ptrdiff_t first, ptrdiff_t step,
                              ptrdiff_t n, int64_t n_stored, int64_t *starts, int64_t *ends);
    void (*assign_slots[2])(void *indices, int64_t n, ptrdiff_t n_features, hf_slots *slots);
    double (*merge_lanes)(const double *lanes);
    void (*stream_piece)(void *piece, size_t bytes, int is_first, int is_last, void *out);
    void (*move_into)(double *total, double *part, ptrdiff_t n);
    double (*penalty[2])(double alpha, const void *coef, ptrdiff_t n);
    void (*finish_grad[2])(const double *total, ptrdiff_t n, double divisor, double alpha, const void *coef,
                           void *out);
    /* Single operations of float64 numbers behind a pointer, where no compiler can move them out of the
     * default floating-point environment. */
    double (*divide)(double x, double y);
    double (*sum_in_order)(const double *x, ptrdiff_t n);
    void (*bind_loss)(const hf_catalogue_row *row, const double *parameters, hf_loss *bound);
} hf_loops;

extern const hf_loops hf_loops_base;
#if HF_HAVE_X86_LEVELS
extern const hf_loops hf_loops_x86_v3;
extern const hf_loops hf_loops_x86_v4;
#endif

/* cpu.c: whether the machine and its operating system support a level, by name; 0 for unknown names. */
int hf_cpu_supports(const char *level);

#define HF_VALUE_LANES 16
#define HF_COLUMN_ROWS 512 /* at most so many rows at once in contiguous columns */
#define HF_ALL_LANES 0xFFFFu

#endif
