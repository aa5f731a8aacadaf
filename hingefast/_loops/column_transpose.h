/* column_transpose.h - rows out of contiguous columns: four at a time in registers, or many into a tile. Knows no loss.
 *
 * Included once for float32 and once for float64. On x86 X is transposed by shuffles within 16 bytes, which every
 * level has; elsewhere numbers are moved one by one.
 */
#ifndef real /* opened alone */
#include "lanes.h"
#endif

#if defined(__SSE2__) && HF_VECTOR_BYTES
#define CAN_TRANSPOSE 1
#include <immintrin.h>
#if HF_VECTOR_BYTES == 64
#define MM(name) _mm512_##name
#elif HF_VECTOR_BYTES == 32
#define MM(name) _mm256_##name
#else
#define MM(name) _mm_##name
#endif

/* Quarters of 16 bytes of rows, one column each: quarter q from x + q*step bytes. */
HF_INLINE FN(part) FN(load_quarters)(const char *x, ptrdiff_t step) {
    __m128 quarter[HF_VECTOR_BYTES / 16];
    HF_UNROLL
    for (int q = 0; q < HF_VECTOR_BYTES / 16; q++)
        quarter[q] = _mm_loadu_ps((const float *)(x + q * step));
#if HF_VECTOR_BYTES == 64
    __m512 all = _mm512_castps128_ps512(quarter[0]);
    all = _mm512_insertf32x4(all, quarter[1], 1);
    all = _mm512_insertf32x4(all, quarter[2], 2);
    return (FN(part))_mm512_insertf32x4(all, quarter[3], 3);
#elif HF_VECTOR_BYTES == 32
    return (FN(part))_mm256_insertf128_ps(_mm256_castps128_ps256(quarter[0]), quarter[1], 1);
#else
    return (FN(part))quarter[0];
#endif
}

/* rows[r] = row r of PART_LANES columns, four rows. */
HF_INLINE void FN(transpose_rows)(const char *x, ptrdiff_t column_stride, FN(part) *rows) {
#ifdef HF_REAL_IS_F64
    HF_UNROLL
    for (int r = 0; r < 4; r += 2) {
        const FN(part) even = FN(load_quarters)(x + r * 8, 2 * column_stride);
        const FN(part) odd = FN(load_quarters)(x + column_stride + r * 8, 2 * column_stride);
        rows[r] = MM(unpacklo_pd)(even, odd);
        rows[r + 1] = MM(unpackhi_pd)(even, odd);
    }
#else
    FN(part) q[4];
    HF_UNROLL
    for (int c = 0; c < 4; c++)
        q[c] = FN(load_quarters)(x + c * column_stride, 4 * column_stride);
    HF_UNROLL
    for (int r = 0; r < 4; r += 2) {
        const FN(part) left = r ? MM(unpackhi_ps)(q[0], q[1]) : MM(unpacklo_ps)(q[0], q[1]);
        const FN(part) right = r ? MM(unpackhi_ps)(q[2], q[3]) : MM(unpacklo_ps)(q[2], q[3]);
        rows[r] = MM(castpd_ps)(MM(unpacklo_pd)(MM(castps_pd)(left), MM(castps_pd)(right)));
        rows[r + 1] = MM(castpd_ps)(MM(unpackhi_pd)(MM(castps_pd)(left), MM(castps_pd)(right)));
    }
#endif
}
#undef MM

/* x is row `at` of a line of columns: fetches the share that four rows have in the line of columns that comes next. */
HF_INLINE void FN(prefetch_next_columns)(const char *x, ptrdiff_t column_stride, ptrdiff_t at) {
    const char *next = x + (LANES + at % LANES / 4 * 4) * column_stride;
    HF_UNROLL
    for (int c = 0; c < 4; c++)
        HF_PREFETCH(next + c * column_stride);
}
#else
#define CAN_TRANSPOSE 0
#endif

/* tile[i*n_features + j] = column j of row rows[i] of X, or of row i*row_step where rows is NULL. X, column_stride and
 * prefetch as in score_columns. O(n_rows * n_features). */
static void FN(transpose_columns)(const void *X, ptrdiff_t column_stride, const int64_t *rows,
                                  ptrdiff_t row_step, ptrdiff_t n_rows, ptrdiff_t n_features, int prefetch,
                                  void *tile) {
    real *HF_RESTRICT to = tile;
    (void)prefetch; /* for the transposing below, which not every level has */
    for (ptrdiff_t j = 0; j < n_features; j += LANES) {
#if CAN_TRANSPOSE
        if (rows == NULL && row_step == 1 && n_rows >= 4 && n_features >= LANES) {
            const ptrdiff_t first = j + LANES <= n_features ? j : n_features - LANES; /* some columns twice */
            for (ptrdiff_t i = 0; i < n_rows; i += 4) {
                const ptrdiff_t at = i + 4 <= n_rows ? i : n_rows - 4; /* and some rows */
                const char *x = (const char *)X + first * column_stride + at * (ptrdiff_t)sizeof(real);
                if (prefetch)
                    FN(prefetch_next_columns)(x, column_stride, at);
                HF_UNROLL
                for (int k = 0; k < PARTS; k++) {
                    FN(part) row[4];
                    FN(transpose_rows)(x + k * PART_LANES * column_stride, column_stride, row);
                    HF_UNROLL
                    for (int r = 0; r < 4; r++)
                        FN(store_part)(to + (at + r) * n_features + first + k * PART_LANES, row[r]);
                }
            }
            continue;
        }
#endif
        const ptrdiff_t end = j + LANES < n_features ? j + LANES : n_features;
        for (ptrdiff_t i = 0; i < n_rows; i++) {
            const char *x =
                (const char *)X + (rows ? (ptrdiff_t)rows[i] : i * row_step) * (ptrdiff_t)sizeof(real);
            for (ptrdiff_t k = j; k < end; k++)
                to[i * n_features + k] = *(const real *)(x + k * column_stride);
        }
    }
}
