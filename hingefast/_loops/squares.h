/* squares.h - sums of squares of the numbers of X, in float64: what solvers take for step sizes and scales.
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

/* sums[j] += rows[i][j]^2 over n_rows rows, in order, for n_features columns. O(n_rows * n_features). */
static void FN(square_columns)(const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features,
                               double *sums) {
    double *HF_RESTRICT sum = sums;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const real *HF_RESTRICT x = rows[i];
        for (ptrdiff_t j = 0; j < n_features; j++)
            sum[j] += (double)x[j] * (double)x[j];
    }
}
