/* class_accumulate.h - the accumulate stage of K classes: rows of X times their slopes, added to the gradient of one
 * class. Knows no loss.
 *
 * Included once for float32 and once for float64. As in accumulate.h every number of the gradient receives its
 * rows in row order; a class for which a row has no slope never sees that row.
 */
#ifndef real /* opened alone */
#include "lanes.h"
#endif

/* float64 rows continue the sums in the gradient, which are loaded and stored. float32 rows begin a block with sums of
 * zero, and the block is added to the gradient in float64. */
#ifdef HF_REAL_IS_F64
HF_INLINE FN(part) FN(open_sums)(const double *grad) { return FN(load_part)(grad); }
HF_INLINE real FN(open_sum)(const double *grad) { return *grad; }
HF_INLINE void FN(close_sums)(const real *sums, const ptrdiff_t n, double *HF_RESTRICT grad) {
    memcpy(grad, sums, (size_t)n * sizeof(real));
}
#else
HF_INLINE FN(part) FN(open_sums)(const double *grad) {
    (void)grad;
    return FN(no_part)();
}
HF_INLINE real FN(open_sum)(const double *grad) {
    (void)grad;
    return 0;
}
HF_INLINE void FN(close_sums)(const real *sums, const ptrdiff_t n, double *HF_RESTRICT grad) {
    for (ptrdiff_t k = 0; k < n; k++)
        grad[k] += (double)sums[k];
}
#endif

/* grad += the sum of slopes[i]*rows[i] over n_rows rows of one block, in order; grad holds n_features numbers. float64
 * rows are added to the gradient one by one, float32 rows first to a float32 sum of the block. Eight registers of sums
 * at a time go over all rows, so that the gradient is read and written once. O(n_rows * n_features). */
static void FN(accumulate_class)(const void *const *rows, const void *slopes, ptrdiff_t n_rows,
                                 ptrdiff_t n_features, double *grad) {
    enum { N_SUMS = 8 };
    const real *slope = slopes;
    real sums[N_SUMS * PART_LANES];
    ptrdiff_t j = 0;
    for (; j + N_SUMS * PART_LANES <= n_features; j += N_SUMS * PART_LANES) {
        FN(part) sum[N_SUMS];
        HF_UNROLL
        for (int p = 0; p < N_SUMS; p++)
            sum[p] = FN(open_sums)(grad + j + p * PART_LANES);
        for (ptrdiff_t i = 0; i < n_rows; i++) {
            const real *x = (const real *)rows[i] + j;
            HF_UNROLL
            for (int p = 0; p < N_SUMS; p++)
                sum[p] += FN(load_part)(x + p * PART_LANES) * slope[i];
        }
        HF_UNROLL
        for (int p = 0; p < N_SUMS; p++)
            FN(store_part)(sums + p * PART_LANES, sum[p]);
        FN(close_sums)(sums, N_SUMS * PART_LANES, grad + j);
    }
    for (; j + PART_LANES <= n_features; j += PART_LANES) {
        FN(part) sum = FN(open_sums)(grad + j);
        for (ptrdiff_t i = 0; i < n_rows; i++)
            sum += FN(load_part)((const real *)rows[i] + j) * slope[i];
        FN(store_part)(sums, sum);
        FN(close_sums)(sums, PART_LANES, grad + j);
    }
    for (; j < n_features; j++) {
        sums[0] = FN(open_sum)(grad + j);
        for (ptrdiff_t i = 0; i < n_rows; i++)
            sums[0] += ((const real *)rows[i])[j] * slope[i];
        FN(close_sums)(sums, 1, grad + j);
    }
}

/* out[k][j] = total[j][k]/divisor + alpha*coef[k][j], rounded once: finish_grad for a gradient with classes beside each
 * feature. O(n_classes * n_features). */
static void FN(finish_features)(const double *total, ptrdiff_t n_classes, ptrdiff_t n_features,
                                ptrdiff_t stride, double divisor, double alpha, const void *coef, void *out) {
    for (ptrdiff_t first = 0; first < n_features; first += 64)
        for (ptrdiff_t k = 0; k < n_classes; k++) {
            const double *from = total + k;
            const real *w = (const real *)coef + k * n_features; /* may be out itself */
            real *to = (real *)out + k * n_features;
            for (ptrdiff_t j = first; j < first + 64 && j < n_features; j++) {
                const double grad = from[j * stride] / divisor;
                to[j] = (real)(alpha == 0 ? grad : grad + alpha * (double)w[j]);
            }
        }
}
