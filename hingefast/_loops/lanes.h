/* lanes.h - one line of lanes and what the dense loops do with it.
 *
 * Included once for float32 and once for float64. Four widths have names, here and in all headers:
 *
 *   part     one vector register of the level: PART_LANES numbers, 16 to 64 bytes; one number where there are no vectors
 *   line     64 bytes, a cache line, in PARTS parts: LANES numbers, 16 float32 or 8 float64, at every level
 *   four     four numbers: half of the lanes of a CSR row (four.h)
 *   sixteen  sixteen numbers: the lanes of values and of classes or rows side by side, HF_VALUE_LANES (sixteen.h);
 *            `wide` are sixteen sums in float64
 *
 * Only the part depends on the level; sums run over the others, so that bits do not. Loops over the parts of a line have a
 * constant length and are unrolled away. With HF_VECTOR_BYTES 0 they are plain C.
 */
#ifndef real /* opened alone */
#include "elementary.h"
#endif

#define LANES ((ptrdiff_t)(HF_LINE_BYTES / sizeof(real)))
#define PARTS ((int)(LANES / PART_LANES))

#if HF_VECTOR_BYTES
#define PART_LANES ((ptrdiff_t)(HF_VECTOR_BYTES / sizeof(real)))
typedef real FN(part) __attribute__((vector_size(HF_VECTOR_BYTES)));
typedef real FN(loose_part) __attribute__((vector_size(HF_VECTOR_BYTES), aligned(sizeof(real)), may_alias));
HF_INLINE FN(part) FN(load_part)(const real *x) { return (FN(part))(*(const FN(loose_part) *)x); }
HF_INLINE void FN(store_part)(real *x, FN(part) v) { *(FN(loose_part) *)x = (FN(loose_part))v; }
#else
#define PART_LANES ((ptrdiff_t)1)
typedef real FN(part);
HF_INLINE FN(part) FN(load_part)(const real *x) { return *x; }
HF_INLINE void FN(store_part)(real *x, FN(part) v) { *x = v; }
#endif

/* The bits of the numbers of a part. */
#if HF_VECTOR_BYTES
typedef FN(bit_pattern) FN(part_bits) __attribute__((vector_size(HF_VECTOR_BYTES)));
HF_INLINE FN(part_bits) FN(bits_of_part)(FN(part) x) { return (FN(part_bits))x; }
#else
typedef FN(bit_pattern) FN(part_bits);
HF_INLINE FN(part_bits) FN(bits_of_part)(FN(part) x) { return FN(bits)(x); }
#endif

HF_INLINE FN(part) FN(no_part)(void) {
    FN(part) zeros;
    memset(&zeros, 0, sizeof zeros);
    return zeros;
}

typedef struct {
    FN(part) p[HF_VECTOR_BYTES ? HF_LINE_BYTES / (HF_VECTOR_BYTES ? HF_VECTOR_BYTES : 1)
                               : HF_LINE_BYTES / sizeof(real)];
} FN(line);

/* The n numbers left over after whole lines, as one line padded with zeros; and such a line back. */
#if HF_VECTOR_BYTES == 64 && defined(HF_REAL_IS_F64)
HF_INLINE FN(line) FN(load_tail)(const real *x, ptrdiff_t n) {
    const FN(line) line = {{(FN(part))_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), x)}};
    return line;
}
HF_INLINE void FN(store_tail)(real *x, ptrdiff_t n, const FN(line) *line) {
    _mm512_mask_storeu_pd(x, (__mmask8)((1u << n) - 1), (__m512d)line->p[0]);
}
#elif HF_VECTOR_BYTES == 64
HF_INLINE FN(line) FN(load_tail)(const real *x, ptrdiff_t n) {
    const FN(line) line = {{(FN(part))_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x)}};
    return line;
}
HF_INLINE void FN(store_tail)(real *x, ptrdiff_t n, const FN(line) *line) {
    _mm512_mask_storeu_ps(x, (__mmask16)((1u << n) - 1), (__m512)line->p[0]);
}
#else
HF_INLINE FN(line) FN(load_tail)(const real *x, ptrdiff_t n) {
    real padded[HF_LINE_BYTES / sizeof(real)] = {0};
    FN(line) line;
    for (ptrdiff_t k = 0; k < n; k++)
        padded[k] = x[k];
    HF_UNROLL
    for (int k = 0; k < PARTS; k++)
        line.p[k] = FN(load_part)(padded + k * PART_LANES);
    return line;
}
HF_INLINE void FN(store_tail)(real *x, ptrdiff_t n, const FN(line) *line) {
    real padded[HF_LINE_BYTES / sizeof(real)];
    HF_UNROLL
    for (int k = 0; k < PARTS; k++)
        FN(store_part)(padded + k * PART_LANES, line->p[k]);
    for (ptrdiff_t k = 0; k < n; k++)
        x[k] = padded[k];
}
#endif

/* Sum of the lanes of one line by halves: lane i and lane i + 8 first, then i and i + 4, and so on. */
#if HF_VECTOR_BYTES == 64 && defined(HF_REAL_IS_F64)
HF_INLINE real FN(sum_line)(const FN(line) *line) {
    const __m512d eight = (__m512d)line->p[0];
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
#elif HF_VECTOR_BYTES == 64
HF_INLINE real FN(sum_line)(const FN(line) *line) {
    const __m512 sixteen = (__m512)line->p[0];
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps(sixteen, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
#else
HF_INLINE real FN(sum_line)(const FN(line) *line) {
    FN(line) sum = *line;
    real lane[PART_LANES];
    HF_UNROLL
    for (int half = PARTS / 2; half > 0; half /= 2) {
        HF_UNROLL
        for (int k = 0; k < half; k++)
            sum.p[k] += sum.p[k + half];
    }
    FN(store_part)(lane, sum.p[0]);
    HF_UNROLL
    for (ptrdiff_t half = PART_LANES / 2; half > 0; half /= 2) {
        HF_UNROLL
        for (ptrdiff_t i = 0; i < half; i++)
            lane[i] += lane[i + half];
    }
    return lane[0];
}
#endif
