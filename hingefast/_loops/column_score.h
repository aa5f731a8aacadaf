/* column_score.h - the score stage of X whose columns are contiguous: rows stand in the lanes. Knows no loss.
 *
 * Included once for float32 and once for float64. The sums are those of score.h: column j is added into lane j mod
 * LANES of its row, in the order of j, and the lanes are merged by halves. Here the lanes of a row lie one below the
 * other, in LANES lines of sums for LANES rows, so that no sum runs across a line.
 */
#ifndef real /* opened alone */
#include "lanes.h"
#endif

/* Columns read side by side. As many streams as hardware prefetchers follow, and as a first-level cache has ways,
 * should the columns be a power of two apart: with d = 1000 four or sixteen take 1.1 to 1.2 times as long. A divisor of
 * LANES, so that each has a lane of its own. */
#define COLUMNS 8

/* sums[lane of c] += x[c]*coef[c] over the rows of `n_columns` columns (a constant where this is inlined), LANES rows
 * at a time; the last LANES rows overlap those before where n_rows, at least LANES, is no multiple of it. `ahead` bytes
 * behind what is read is prefetched, unless that is 0. O(n_rows * n_columns). */
HF_INLINE void FN(score_side_by_side)(const real *const *columns, const int n_columns, ptrdiff_t n_rows,
                                      const real *coef, ptrdiff_t ahead, real *HF_RESTRICT sums) {
    const real *x[COLUMNS];
    real w[COLUMNS];
    HF_UNROLL
    for (int c = 0; c < n_columns; c++) {
        x[c] = columns[c];
        w[c] = coef[c];
    }
    for (ptrdiff_t i = 0; i < n_rows; i += LANES, sums += LANES * LANES) {
        const ptrdiff_t at = i + LANES <= n_rows ? i : n_rows - LANES;
        HF_UNROLL
        for (int c = 0; c < n_columns; c++) {
            real *sum = sums + c * LANES;
            if (ahead != 0)
                HF_PREFETCH((const char *)(x[c] + at) + ahead);
            HF_UNROLL
            for (int k = 0; k < PARTS; k++) {
                const FN(part) s = FN(load_part)(sum + k * PART_LANES);
                FN(store_part)(sum + k * PART_LANES, s + FN(load_part)(x[c] + at + k * PART_LANES) * w[c]);
            }
        }
    }
}

/* scores[i] = X[i] . coef + intercept for n_rows rows, at most HF_COLUMN_ROWS, of n_features columns, each
 * `column_stride` bytes behind the one before; X is the first row's number in the first of them. `prefetch`: whether to
 * prefetch the columns that come next. sums: LANES * n_rows numbers, n_rows rounded up to whole lines; overwritten.
 * O(n_rows * n_features). */
static void FN(score_columns)(const void *X, ptrdiff_t column_stride, ptrdiff_t n_rows, ptrdiff_t n_features,
                              const void *coef, double intercept, int prefetch, void *sums, void *scores) {
    const real *w = coef;
    real padded[COLUMNS][HF_LINE_BYTES / sizeof(real)] = {{0}}; /* where there are not even LANES rows */
    real *lanes = sums, *out = scores;
    const ptrdiff_t n = n_rows < LANES ? LANES : n_rows, ahead = prefetch ? COLUMNS * column_stride : 0;
    memset(lanes, 0, (size_t)((n + LANES - 1) / LANES * LANES * LANES) * sizeof(real));
    for (ptrdiff_t j = 0; j < n_features;) {
        const int n_columns = n_features - j >= COLUMNS ? COLUMNS : 1;
        const real *column[COLUMNS];
        for (int c = 0; c < n_columns; c++) {
            column[c] = (const real *)((const char *)X + (j + c) * column_stride);
            if (n_rows < LANES) {
                for (ptrdiff_t i = 0; i < n_rows; i++)
                    padded[c][i] = column[c][i];
                column[c] = padded[c];
            }
        }
        if (n_columns == COLUMNS)
            FN(score_side_by_side)(column, COLUMNS, n, w + j, ahead, lanes + j % LANES * LANES);
        else
            FN(score_side_by_side)(column, 1, n, w + j, 0, lanes + j % LANES * LANES);
        j += n_columns;
    }
    for (ptrdiff_t i = 0; i < n; i += LANES, lanes += LANES * LANES) {
        const ptrdiff_t at = i + LANES <= n ? i : n - LANES;
        for (ptrdiff_t half = LANES / 2; half > 0; half /= 2)
            for (ptrdiff_t k = 0; k < half * LANES; k += PART_LANES)
                FN(store_part)(lanes + k, FN(load_part)(lanes + k) + FN(load_part)(lanes + half * LANES + k));
        for (ptrdiff_t k = 0; k < LANES && at + k < n_rows; k++)
            out[at + k] = lanes[k] + (real)intercept;
    }
}
#undef COLUMNS
