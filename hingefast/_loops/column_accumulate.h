/* column_accumulate.h - the accumulate stage of X whose columns are contiguous. Knows no loss.
 *
 * Included once for float32 and once for float64. As in accumulate.h every number of the gradient receives its rows
 * one by one in row order. Where column_transpose.h can transpose X in registers, columns stand in the lanes; elsewhere
 * eight columns are summed side by side, number by number.
 */
#ifndef real /* opened alone */
#include "column_transpose.h"
#endif

/* Four rows, at least one of them with a slope. Where it has none its bits in `keep` are zero, and so is what is added:
 * a +0 that changes nothing, because no sum here is ever -0. */
typedef struct {
    ptrdiff_t first;
    real slope[4];
    FN(bit_pattern) keep[4];
} FN(four_rows);

#if CAN_TRANSPOSE
typedef FN(bit_pattern) FN(lane_bits) __attribute__((vector_size(HF_VECTOR_BYTES)));

/* sums += the rows of `fours` times their slopes, in LANES columns. O(LANES * n_fours). */
HF_INLINE void FN(accumulate_transposed)(const char *X, ptrdiff_t column_stride, const FN(four_rows) *fours,
                                         ptrdiff_t n_fours, int prefetch, real *sums) {
    FN(part) sum[HF_LINE_BYTES / HF_VECTOR_BYTES];
    HF_UNROLL
    for (int k = 0; k < PARTS; k++)
        sum[k] = FN(load_part)(sums + k * PART_LANES);
    for (; n_fours > 0; n_fours--, fours++) {
        const char *x = X + fours->first * (ptrdiff_t)sizeof(real);
        if (prefetch)
            FN(prefetch_next_columns)(x, column_stride, fours->first);
        HF_UNROLL
        for (int k = 0; k < PARTS; k++) {
            FN(part) row[4];
            FN(transpose_rows)(x + k * PART_LANES * column_stride, column_stride, row);
            HF_UNROLL
            for (int r = 0; r < 4; r++)
                sum[k] += (FN(part))((FN(lane_bits))(row[r] * fours->slope[r]) & fours->keep[r]);
        }
    }
    HF_UNROLL
    for (int k = 0; k < PARTS; k++)
        FN(store_part)(sums + k * PART_LANES, sum[k]);
}
#else
HF_INLINE void FN(accumulate_transposed)(const char *X, ptrdiff_t column_stride, const FN(four_rows) *fours,
                                         ptrdiff_t n_fours, int prefetch, real *sums) {
    (void)X, (void)column_stride, (void)fours, (void)n_fours, (void)prefetch, (void)sums;
}
#endif

/* sums += the n active rows times their slopes, in n_columns columns, at most eight and a constant where this is
 * inlined. O(n_columns * n). */
HF_INLINE void FN(accumulate_singly)(const char *X, ptrdiff_t column_stride, const int32_t *rows,
                                     const real *slopes, ptrdiff_t n, const int n_columns,
                                     real *HF_RESTRICT sums) {
    const real *x[8];
    real sum[8];
    HF_UNROLL
    for (int c = 0; c < n_columns; c++) {
        x[c] = (const real *)(X + c * column_stride);
        sum[c] = sums[c];
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        HF_UNROLL
        for (int c = 0; c < n_columns; c++)
            sum[c] += x[c][rows[i]] * slopes[i];
    }
    HF_UNROLL
    for (int c = 0; c < n_columns; c++)
        sums[c] = sum[c];
}

/* grad += slopes[i]*X[i] over n_rows rows, at most HF_COLUMN_ROWS, in order, but for rows of slope zero, which add
 * nothing. X, column_stride and prefetch as in score_columns. O(n_rows * n_features). */
static void FN(accumulate_columns)(const void *X, ptrdiff_t column_stride, const void *slopes,
                                   ptrdiff_t n_rows, ptrdiff_t n_features, int prefetch, void *grad) {
    const char *columns = X;
    const real *slope = slopes;
    real *g = grad;
    ptrdiff_t j = 0;
    if (CAN_TRANSPOSE && n_rows >= 4 && n_features >= LANES) {
        FN(four_rows) fours[HF_COLUMN_ROWS / 4];
        ptrdiff_t n_fours = 0;
        for (ptrdiff_t i = 0; i < n_rows; i += 4) { /* the last four begin among the rows before */
            FN(four_rows) *const four = &fours[n_fours];
            FN(bit_pattern) any = 0;
            four->first = i + 4 <= n_rows ? i : n_rows - 4;
            for (int r = 0; r < 4; r++) {
                four->slope[r] = four->first + r < i ? 0 : slope[four->first + r];
                four->keep[r] = (FN(bit_pattern))0 - (four->slope[r] != 0);
                any |= four->keep[r];
            }
            n_fours += any != 0;
        }
        for (; j + LANES <= n_features; j += LANES)
            FN(accumulate_transposed)(columns + j * column_stride, column_stride, fours, n_fours, prefetch,
                                      g + j);
        if (j < n_features) { /* the last columns together with those before, which are done */
            real sums[HF_LINE_BYTES / sizeof(real)];
            const ptrdiff_t first = n_features - LANES;
            memcpy(sums, g + first, sizeof sums);
            FN(accumulate_transposed)(columns + first * column_stride, column_stride, fours, n_fours, 0,
                                      sums);
            memcpy(g + j, sums + (j - first), (size_t)(n_features - j) * sizeof(real));
        }
    } else {
        int32_t rows[HF_COLUMN_ROWS];
        real active[HF_COLUMN_ROWS];
        ptrdiff_t n = 0;
        for (ptrdiff_t i = 0; i < n_rows; i++) {
            rows[n] = (int32_t)i;
            active[n] = slope[i];
            n += slope[i] != 0;
        }
        for (; j + 8 <= n_features; j += 8)
            FN(accumulate_singly)(columns + j * column_stride, column_stride, rows, active, n, 8, g + j);
        for (; j < n_features; j++)
            FN(accumulate_singly)(columns + j * column_stride, column_stride, rows, active, n, 1, g + j);
    }
}
