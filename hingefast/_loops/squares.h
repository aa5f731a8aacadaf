/* squares.h - sums of squares of the numbers of X, and of products of columns, in float64: what solvers take for step sizes,
 * scales and second derivatives.
 *
 * Included once for float32 and once for float64. Squares neither overflow nor vanish in float64 where X is float32; those
 * of float64 numbers beyond 2^511 are infinite.
 */
#ifndef real /* opened alone */
#include "vectors.h"
#endif

/* norms[i] = sum of rows[i][j]^2 over n_features numbers, in sixteen lanes by j, for n_rows rows.
 * O(n_rows * n_features). */
static void FN(square_rows)(const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features, double *norms) {
    for (ptrdiff_t i = 0; i < n_rows; i++)
        norms[i] = FN(squared_norm)(rows[i], 1, n_features);
}

/* sums[j] += weights[i]*rows[i][j]^2 over n_rows rows, in order, for n_features columns; rows of weight 0 are left out, and
 * without weights all are 1. O(n_rows * n_features). */
static void FN(square_columns)(const void *const *rows, const double *weights, ptrdiff_t n_rows,
                               ptrdiff_t n_features, double *sums) {
    double *HF_RESTRICT sum = sums;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const real *HF_RESTRICT x = rows[i];
        const double weight = weights != NULL ? weights[i] : 1;
        if (weight == 0)
            continue;
        for (ptrdiff_t j = 0; j < n_features; j++)
            sum[j] += weight * ((double)x[j] * (double)x[j]);
    }
}

#ifdef HF_REAL_IS_F64
/* The same as product_columns of rows of at most LANES numbers, which lie one behind the other, and behind the last of which
 * LANES more can be read. Rows of weight 0 are left out; without weights all are 1. */
static void product_narrow(const double *rows, const double *weights, ptrdiff_t n_rows, ptrdiff_t n_features,
                           double *sums) {
    FN(line) sum[HF_LINE_BYTES / sizeof(double)];
    memset(sum, 0, sizeof sum);
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const double *const row = rows + i * n_features, weight = weights != NULL ? weights[i] : 1;
        if (weight == 0)
            continue;
        for (ptrdiff_t j = 0; j < n_features; j++) {
            const double left = weight * row[j];
            HF_UNROLL
            for (int part = 0; part < PARTS; part++)
                sum[j].p[part] += left * FN(load_part)(row + part * PART_LANES);
        }
    }
    for (ptrdiff_t j = 0; j < n_features; j++) {
        double lane[HF_LINE_BYTES / sizeof(double)];
        for (int part = 0; part < PARTS; part++)
            FN(store_part)(lane + part * PART_LANES, sum[j].p[part]);
        for (ptrdiff_t k = j; k < n_features; k++)
            sums[j * n_features + k] += k > j ? lane[k] : 0.5 * lane[k];
    }
}

/* Products of columns: sums[j][k] += sum over the n_rows rows of panel of weighted[i][j]*panel[i][k] for k > j, and half of
 * it for k = j, so that the sums plus their transpose are the products. Both panels hold rows of `stride` numbers, whole lines
 * of which those from n_features on are 0; sums is (n_features, n_features). O(n_rows * n_features^2). */
enum { PAIR_ROWS = HF_VECTOR_BYTES == 64 ? 8 : 4 };
static void product_columns(const double *panel, const double *weighted, ptrdiff_t n_rows, ptrdiff_t stride,
                            ptrdiff_t n_features, double *sums) {
    for (ptrdiff_t j = 0; j < n_features; j += PAIR_ROWS) {
        const int n_left = (int)(n_features - j < PAIR_ROWS ? n_features - j : PAIR_ROWS);
        for (ptrdiff_t k = j / LANES * LANES; k < n_features; k += LANES) {
            FN(line) sum[PAIR_ROWS];
            memset(sum, 0, sizeof sum);
            for (ptrdiff_t i = 0; i < n_rows; i++) {
                const double *const left = weighted + i * stride + j, *const right = panel + i * stride + k;
                HF_UNROLL
                for (int part = 0; part < PARTS; part++) {
                    const FN(part) numbers = FN(load_part)(right + part * PART_LANES);
                    HF_UNROLL
                    for (int r = 0; r < PAIR_ROWS; r++)
                        sum[r].p[part] += left[r] * numbers;
                }
            }
            for (int r = 0; r < n_left; r++) {
                double lane[HF_LINE_BYTES / sizeof(double)];
                for (int part = 0; part < PARTS; part++)
                    FN(store_part)(lane + part * PART_LANES, sum[r].p[part]);
                for (ptrdiff_t l = k > j + r ? k : j + r; l < k + LANES && l < n_features; l++)
                    sums[(j + r) * n_features + l] += l > j + r ? lane[l - k] : 0.5 * lane[l - k];
            }
        }
    }
}
#endif
