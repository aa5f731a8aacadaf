/* accumulate.h - the accumulate stage: rows of X times their slopes, added to the gradient. Knows no loss.
 *
 * Included once for float32 and once for float64. Every number of the gradient receives its rows one by
 * one in row order, so neither the size of a tile nor rows left out can change its bits.
 */
#ifndef real /* opened alone */
#include "lanes.h"
#endif

/* The places of those of n rows that have a slope, without a branch that would be guessed wrong; how many. O(n). */
HF_INLINE ptrdiff_t FN(rows_with_slope)(const real *slopes, ptrdiff_t n, int32_t *places) {
    ptrdiff_t n_active = 0, i = 0;
#if HF_VECTOR_BYTES == 64
    __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (; i + 8 <= n; i += 8) { /* writes eight, no further than place i + 8 */
#ifdef HF_REAL_IS_F64
        const __mmask8 active =
            _mm512_cmp_pd_mask(_mm512_loadu_pd(slopes + i), _mm512_setzero_pd(), _CMP_NEQ_UQ);
#else
        const __mmask8 active =
            _mm256_cmp_ps_mask(_mm256_loadu_ps(slopes + i), _mm256_setzero_ps(), _CMP_NEQ_UQ);
#endif
        _mm256_storeu_si256((__m256i *)(places + n_active), _mm256_maskz_compress_epi32(active, place));
        n_active += _mm_popcnt_u32(active);
        place = _mm256_add_epi32(place, _mm256_set1_epi32(8));
    }
#endif
    for (; i < n; i++) {
        places[n_active] = (int32_t)i;
        n_active += slopes[i] != 0;
    }
    return n_active;
}

/* grad += slopes[r]*rows[r] over n_rows rows (a constant where this is inlined), in order, in the line of columns that
 * begins at j. */
HF_INLINE void FN(accumulate_line)(const real *const *rows, const real *slopes, const int n_rows, ptrdiff_t j,
                                   real *HF_RESTRICT grad) {
    HF_UNROLL
    for (int k = 0; k < PARTS; k++) {
        const ptrdiff_t at = j + k * PART_LANES;
        FN(part) g = FN(load_part)(grad + at);
        HF_UNROLL
        for (int r = 0; r < n_rows; r++)
            g += FN(load_part)(rows[r] + at) * slopes[r];
        FN(store_part)(grad + at, g);
    }
}

/* The same in the n columns from j on, fewer than a line. */
HF_INLINE void FN(accumulate_tail)(const real *const *rows, const real *slopes, const int n_rows, ptrdiff_t j,
                                   ptrdiff_t n, real *HF_RESTRICT grad) {
    FN(line) g = FN(load_tail)(grad + j, n);
    HF_UNROLL
    for (int r = 0; r < n_rows; r++) {
        const FN(line) x = FN(load_tail)(rows[r] + j, n);
        HF_UNROLL
        for (int k = 0; k < PARTS; k++)
            g.p[k] += x.p[k] * slopes[r];
    }
    FN(store_tail)(grad + j, n, &g);
}

/* n_rows earlier rows (a constant where this is inlined) times their slopes into grad, in order. O(n_rows *
 * n_features). */
HF_INLINE void FN(accumulate_few)(const void *const *rows, const real *slopes, const int n_rows,
                                  ptrdiff_t n_features, real *HF_RESTRICT grad) {
    const ptrdiff_t n_tail = n_features % LANES, end = n_features - n_tail;
    const real *x[4];
    real slope[4];
    HF_UNROLL
    for (int r = 0; r < n_rows; r++) {
        x[r] = rows[r];
        slope[r] = slopes[r];
    }
    for (ptrdiff_t j = 0; j < end; j += LANES)
        FN(accumulate_line)(x, slope, n_rows, j, grad);
    if (n_tail)
        FN(accumulate_tail)(x, slope, n_rows, end, n_tail, grad);
}

/* grad += slopes[i]*rows[i] over n_rows rows of n_features numbers, in order. O(n_rows * n_features). */
static void FN(accumulate_rows)(const void *const *rows, const void *slopes, ptrdiff_t n_rows,
                                ptrdiff_t n_features, void *grad) {
    const real *slope = slopes;
    ptrdiff_t i = 0;
    for (; i + 4 <= n_rows; i += 4)
        FN(accumulate_few)(rows + i, slope + i, 4, n_features, grad);
    for (; i < n_rows; i++)
        FN(accumulate_few)(rows + i, slope + i, 1, n_features, grad);
}

/* grad += block_grad, block_grad = 0, over n numbers. O(n). */
static void FN(flush)(void *block_grad, ptrdiff_t n, double *grad) {
    real *HF_RESTRICT block = block_grad;
    for (ptrdiff_t j = 0; j < n; j++) {
        grad[j] += (double)block[j];
        block[j] = 0;
    }
}
