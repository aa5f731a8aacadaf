/* transpose.h - sixteen rows of few numbers transposed, so that the rows stand in the lanes, and back.
 *
 * Included once for float32 and once for float64. tile[j][r] = x[r*width + j]. With AVX-512 four columns of all rows are
 * transposed in registers; elsewhere numbers are moved one by one.
 */
#ifndef real /* opened alone */
#include "sixteen.h"
#endif

/* Up to sixteen rows; lanes without a row repeat the first one. */
HF_INLINE void FN(transpose_in_singly)(const real *x, ptrdiff_t n_rows, ptrdiff_t width,
                                       real (*HF_RESTRICT tile)[HF_VALUE_LANES]) {
    if (n_rows < HF_VALUE_LANES)
        for (ptrdiff_t j = 0; j < width; j++)
            for (int r = 0; r < HF_VALUE_LANES; r++)
                tile[j][r] = x[j];
    for (ptrdiff_t r = 0; r < n_rows; r++, x += width)
        for (ptrdiff_t j = 0; j < width; j++)
            tile[j][r] = x[j];
}
HF_INLINE void FN(transpose_out_singly)(real (*HF_RESTRICT tile)[HF_VALUE_LANES], ptrdiff_t n_rows,
                                        ptrdiff_t width, real *HF_RESTRICT x) {
    for (ptrdiff_t r = 0; r < n_rows; r++, x += width)
        for (ptrdiff_t j = 0; j < width; j++)
            x[j] = tile[j][r];
}

#if HF_VECTOR_BYTES == 64 && defined(HF_REAL_IS_F64)
/* Four columns of eight rows: register q holds rows first[q] and first[q] + 2, which leaves all rows in order. */
HF_INLINE void FN(transpose_in_four)(const real *x, ptrdiff_t width,
                                     real (*HF_RESTRICT tile)[HF_VALUE_LANES]) {
    const ptrdiff_t first[4] = {0, 1, 4, 5};
    __m512d q[4], even[2], odd[2];
    HF_UNROLL
    for (int k = 0; k < 4; k++)
        q[k] = _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(x + first[k] * width)),
                                  _mm256_loadu_pd(x + (first[k] + 2) * width), 1);
    HF_UNROLL
    for (int k = 0; k < 2; k++) {
        even[k] = _mm512_unpacklo_pd(q[2 * k], q[2 * k + 1]);
        odd[k] = _mm512_unpackhi_pd(q[2 * k], q[2 * k + 1]);
    }
    _mm512_storeu_pd(tile[0], _mm512_shuffle_f64x2(even[0], even[1], 0x88));
    _mm512_storeu_pd(tile[1], _mm512_shuffle_f64x2(odd[0], odd[1], 0x88));
    _mm512_storeu_pd(tile[2], _mm512_shuffle_f64x2(even[0], even[1], 0xDD));
    _mm512_storeu_pd(tile[3], _mm512_shuffle_f64x2(odd[0], odd[1], 0xDD));
}
HF_INLINE void FN(transpose_out_four)(real (*HF_RESTRICT tile)[HF_VALUE_LANES], ptrdiff_t width,
                                      real *HF_RESTRICT x) {
    const ptrdiff_t first[4] = {0, 1, 4, 5};
    const __m512i low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    __m512d c[4], q[4];
    HF_UNROLL
    for (int k = 0; k < 4; k++)
        c[k] = _mm512_loadu_pd(tile[k]);
    HF_UNROLL
    for (int k = 0; k < 2; k++) {
        const __m512i half = k ? high : low;
        const __m512d even = _mm512_permutex2var_pd(c[0], half, c[2]);
        const __m512d odd = _mm512_permutex2var_pd(c[1], half, c[3]);
        q[2 * k] = _mm512_unpacklo_pd(even, odd);
        q[2 * k + 1] = _mm512_unpackhi_pd(even, odd);
    }
    HF_UNROLL
    for (int k = 0; k < 4; k++) {
        _mm256_storeu_pd(x + first[k] * width, _mm512_castpd512_pd256(q[k]));
        _mm256_storeu_pd(x + (first[k] + 2) * width, _mm512_extractf64x4_pd(q[k], 1));
    }
}
#define TRANSPOSED_ROWS 8
#elif HF_VECTOR_BYTES == 64
/* Four columns of sixteen rows: register q holds rows q, q + 4, q + 8 and q + 12. A transpose of four by four in each
 * quarter is its own inverse. Quarters are inserted: broadcast under a mask they take four times as long on Zen 5. */
HF_INLINE void FN(transpose_quarters)(__m512 *q) {
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(q[0], q[1]));
    const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(q[0], q[1]));
    const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(q[2], q[3]));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(q[2], q[3]));
    q[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    q[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    q[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    q[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
}
HF_INLINE void FN(transpose_in_four)(const real *x, ptrdiff_t width,
                                     real (*HF_RESTRICT tile)[HF_VALUE_LANES]) {
    __m512 q[4];
    HF_UNROLL
    for (int k = 0; k < 4; k++) {
        const real *row = x + k * width;
        q[k] = _mm512_castps128_ps512(_mm_loadu_ps(row));
        q[k] = _mm512_insertf32x4(q[k], _mm_loadu_ps(row + 4 * width), 1);
        q[k] = _mm512_insertf32x4(q[k], _mm_loadu_ps(row + 8 * width), 2);
        q[k] = _mm512_insertf32x4(q[k], _mm_loadu_ps(row + 12 * width), 3);
    }
    FN(transpose_quarters)(q);
    HF_UNROLL
    for (int k = 0; k < 4; k++)
        _mm512_storeu_ps(tile[k], q[k]);
}
HF_INLINE void FN(transpose_out_four)(real (*HF_RESTRICT tile)[HF_VALUE_LANES], ptrdiff_t width,
                                      real *HF_RESTRICT x) {
    __m512 q[4];
    HF_UNROLL
    for (int k = 0; k < 4; k++)
        q[k] = _mm512_loadu_ps(tile[k]);
    FN(transpose_quarters)(q);
    HF_UNROLL
    for (int k = 0; k < 4; k++) {
        real *row = x + k * width;
        _mm_storeu_ps(row, _mm512_castps512_ps128(q[k]));
        _mm_storeu_ps(row + 4 * width, _mm512_extractf32x4_ps(q[k], 1));
        _mm_storeu_ps(row + 8 * width, _mm512_extractf32x4_ps(q[k], 2));
        _mm_storeu_ps(row + 12 * width, _mm512_extractf32x4_ps(q[k], 3));
    }
}
#define TRANSPOSED_ROWS 16
#endif

/* The last four columns may be met twice. O(width). */
HF_INLINE void FN(transpose_in)(const real *x, ptrdiff_t n_rows, ptrdiff_t width,
                                real (*HF_RESTRICT tile)[HF_VALUE_LANES]) {
#ifdef TRANSPOSED_ROWS
    if (n_rows == HF_VALUE_LANES && width >= 4) {
        for (ptrdiff_t j = 0; j < width; j += 4) {
            const ptrdiff_t at = j + 4 <= width ? j : width - 4;
            HF_UNROLL
            for (int r = 0; r < HF_VALUE_LANES; r += TRANSPOSED_ROWS)
                FN(transpose_in_four)(x + r * width + at, width, (real (*)[HF_VALUE_LANES])(tile[at] + r));
        }
        return;
    }
#endif
    FN(transpose_in_singly)(x, n_rows, width, tile);
}
HF_INLINE void FN(transpose_out)(real (*HF_RESTRICT tile)[HF_VALUE_LANES], ptrdiff_t n_rows, ptrdiff_t width,
                                 real *HF_RESTRICT x) {
#ifdef TRANSPOSED_ROWS
    if (n_rows == HF_VALUE_LANES && width >= 4) {
        for (ptrdiff_t j = 0; j < width; j += 4) {
            const ptrdiff_t at = j + 4 <= width ? j : width - 4;
            HF_UNROLL
            for (int r = 0; r < HF_VALUE_LANES; r += TRANSPOSED_ROWS)
                FN(transpose_out_four)((real (*)[HF_VALUE_LANES])(tile[at] + r), width, x + r * width + at);
        }
        return;
    }
#endif
    FN(transpose_out_singly)(tile, n_rows, width, x);
}
#undef TRANSPOSED_ROWS
