/* sixteen.h - sixteen numbers in registers, one for each value lane: sums, the largest, sets of lanes.
 *
 * Included once for float32 and once for float64, after lanes.h. A set of lanes is the bits of an unsigned number.
 */
#ifndef real /* opened alone */
#include "lanes.h"
#endif

typedef struct {
    FN(part) p[HF_VECTOR_BYTES ? HF_VALUE_LANES * sizeof(real) / (HF_VECTOR_BYTES ? HF_VECTOR_BYTES : 1)
                               : HF_VALUE_LANES];
} FN(sixteen);
#define SIXTEEN_PARTS ((int)(HF_VALUE_LANES / PART_LANES))

HF_INLINE FN(sixteen) FN(all_sixteen)(real x) {
    FN(sixteen) all;
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        all.p[p] = x - FN(no_part)(); /* not +, which is not nothing for -0 */
    return all;
}
HF_INLINE FN(sixteen) FN(load_sixteen)(const real *x) {
    FN(sixteen) line;
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        line.p[p] = FN(load_part)(x + p * PART_LANES);
    return line;
}
HF_INLINE void FN(store_sixteen)(real *x, FN(sixteen) line) {
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        FN(store_part)(x + p * PART_LANES, line.p[p]);
}

/* Past the caches; x begins at a cache line. */
HF_INLINE void FN(stream_sixteen)(real *x, FN(sixteen) line) {
    real lane[HF_VALUE_LANES];
    FN(store_sixteen)(lane, line);
    HF_UNROLL
    for (int k = 0; k < HF_VALUE_LANES; k += LANES)
        hf_stream_line(x + k, lane + k);
}

/* ---- lane by lane: the larger, b where either is NaN; where they are equal; a in the set, b elsewhere ------- */

#if !HF_VECTOR_BYTES
HF_INLINE FN(part) FN(max_part)(FN(part) a, FN(part) b) { return a > b ? a : b; }
HF_INLINE unsigned FN(equal_lanes)(FN(part) a, FN(part) b) { return a == b; }
HF_INLINE unsigned FN(unequal_lanes)(FN(part) a, FN(part) b) { return a != b; }
HF_INLINE FN(part) FN(select_lanes)(unsigned lanes, FN(part) a, FN(part) b) { return lanes & 1 ? a : b; }
#elif HF_VECTOR_BYTES == 64
#ifdef HF_REAL_IS_F64
#define OF_TYPE(before, after) before##_pd##after
typedef __m512d FN(m512);
#else
#define OF_TYPE(before, after) before##_ps##after
typedef __m512 FN(m512);
#endif
HF_INLINE FN(part) FN(max_part)(FN(part) a, FN(part) b) {
    return (FN(part))OF_TYPE(_mm512_max, )((FN(m512))a, (FN(m512))b);
}
HF_INLINE unsigned FN(equal_lanes)(FN(part) a, FN(part) b) {
    return OF_TYPE(_mm512_cmp, _mask)((FN(m512))a, (FN(m512))b, _CMP_EQ_OQ);
}
HF_INLINE unsigned FN(unequal_lanes)(FN(part) a, FN(part) b) {
    return OF_TYPE(_mm512_cmp, _mask)((FN(m512))a, (FN(m512))b, _CMP_NEQ_UQ);
}
HF_INLINE FN(part) FN(select_lanes)(unsigned lanes, FN(part) a, FN(part) b) {
    return (FN(part))OF_TYPE(_mm512_mask_blend, )(lanes & ((1u << PART_LANES) - 1), (FN(m512))b, (FN(m512))a);
}
#undef OF_TYPE
#else
HF_INLINE FN(part) FN(choose)(FN(part_bits) mask, FN(part) a, FN(part) b) {
    return (FN(part))((mask & (FN(part_bits))a) | (~mask & (FN(part_bits))b));
}
HF_INLINE FN(part) FN(max_part)(FN(part) a, FN(part) b) { return FN(choose)((FN(part_bits))(a > b), a, b); }
HF_INLINE unsigned FN(lanes_of_bits)(FN(part_bits) mask) {
#if defined(__AVX2__) && defined(HF_REAL_IS_F64)
    return (unsigned)_mm256_movemask_pd((__m256d)mask);
#elif defined(__AVX2__)
    return (unsigned)_mm256_movemask_ps((__m256)mask);
#elif defined(__SSE2__) && defined(HF_REAL_IS_F64)
    return (unsigned)_mm_movemask_pd((__m128d)mask);
#elif defined(__SSE2__)
    return (unsigned)_mm_movemask_ps((__m128)mask);
#else
    FN(bit_pattern) bits[PART_LANES];
    unsigned lanes = 0;
    memcpy(bits, &mask, sizeof mask);
    HF_UNROLL
    for (int k = 0; k < PART_LANES; k++)
        lanes |= (unsigned)(bits[k] & 1) << k;
    return lanes;
#endif
}
HF_INLINE unsigned FN(equal_lanes)(FN(part) a, FN(part) b) {
    return FN(lanes_of_bits)((FN(part_bits))(a == b));
}
HF_INLINE unsigned FN(unequal_lanes)(FN(part) a, FN(part) b) {
    return FN(lanes_of_bits)((FN(part_bits))(a != b));
}
HF_INLINE FN(part) FN(select_lanes)(unsigned lanes, FN(part) a, FN(part) b) {
    FN(bit_pattern) bit_of_lane[PART_LANES];
    FN(part_bits) bits;
    HF_UNROLL
    for (int k = 0; k < PART_LANES; k++)
        bit_of_lane[k] = (FN(bit_pattern))1 << k;
    memcpy(&bits, bit_of_lane, sizeof bits);
    return FN(choose)((FN(part_bits))((bits & (FN(bit_pattern))lanes) == bits), a, b);
}
#endif

HF_INLINE unsigned FN(lanes_equal)(FN(sixteen) a, FN(sixteen) b) {
    unsigned lanes = 0;
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        lanes |= FN(equal_lanes)(a.p[p], b.p[p]) << p * PART_LANES;
    return lanes;
}
HF_INLINE unsigned FN(lanes_unequal)(FN(sixteen) a, FN(sixteen) b) {
    unsigned lanes = 0;
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        lanes |= FN(unequal_lanes)(a.p[p], b.p[p]) << p * PART_LANES;
    return lanes;
}
HF_INLINE FN(sixteen) FN(select_sixteen)(unsigned lanes, FN(sixteen) a, FN(sixteen) b) {
    FN(sixteen) chosen;
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        chosen.p[p] = FN(select_lanes)(lanes >> p * PART_LANES, a.p[p], b.p[p]);
    return chosen;
}

/* ---- sums in float64 ---------------------------------------------------------------------------------------- */

#ifndef HF_WIDE
#define HF_WIDE
#if HF_VECTOR_BYTES
typedef double hf_doubles __attribute__((vector_size(HF_VECTOR_BYTES)));
#else
typedef double hf_doubles;
#endif
#define HF_DOUBLES ((int)(sizeof(hf_doubles) / sizeof(double)))
#define HF_WIDE_PARTS ((int)(HF_VALUE_LANES / HF_DOUBLES))
typedef struct {
    hf_doubles p[HF_VALUE_LANES * sizeof(double) / sizeof(hf_doubles)];
} hf_wide;

/* As many floats as a register holds doubles, widened. gcc 12 widens vectors of 64 bytes piece by piece. */
#if HF_VECTOR_BYTES == 64
HF_INLINE hf_doubles hf_widen(const float *x) { return (hf_doubles)_mm512_cvtps_pd(_mm256_loadu_ps(x)); }
#elif HF_VECTOR_BYTES
typedef float hf_half_floats
    __attribute__((vector_size(HF_VECTOR_BYTES / 2), aligned(sizeof(float)), may_alias));
HF_INLINE hf_doubles hf_widen(const float *x) {
    return __builtin_convertvector(*(const hf_half_floats *)x, hf_doubles);
}
#else
HF_INLINE hf_doubles hf_widen(const float *x) { return (double)*x; }
#endif

/* Sixteen bytes widened. gcc 12 goes by way of 16 bits, and through memory in pieces. */
HF_INLINE void hf_widen_bytes(const uint8_t *from, const int are_signed, int32_t *to) {
#if HF_VECTOR_BYTES == 64
    const __m128i bytes = _mm_loadu_si128((const __m128i *)from);
    _mm512_storeu_si512(to, are_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes));
#elif defined(__AVX2__)
    HF_UNROLL
    for (int k = 0; k < HF_VALUE_LANES; k += 8) {
        const __m128i bytes = _mm_loadl_epi64((const __m128i *)(from + k));
        _mm256_storeu_si256((__m256i *)(to + k),
                            are_signed ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
    }
#else
    for (int k = 0; k < HF_VALUE_LANES; k++)
        to[k] = are_signed ? (int8_t)from[k] : from[k];
#endif
}

HF_INLINE hf_wide hf_no_wide(void) {
    hf_wide zeros;
    hf_doubles none;
    memset(&none, 0, sizeof none);
    HF_UNROLL
    for (int p = 0; p < HF_WIDE_PARTS; p++)
        zeros.p[p] = none;
    return zeros;
}

/* Sum by halves, as merge_lanes adds sixteen numbers in memory. */
HF_INLINE double hf_merge_wide(hf_wide sums) {
#if HF_VECTOR_BYTES == 64
    const __m512d eight = (__m512d)(sums.p[0] + sums.p[1]);
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
#else
    double lane[HF_VALUE_LANES];
    memcpy(lane, &sums, sizeof sums);
    return merge_lanes(lane);
#endif
}
#endif

/* As many numbers as a register holds doubles, as such. */
HF_INLINE hf_doubles FN(widen_part)(const real *x) {
#ifdef HF_REAL_IS_F64
    return FN(load_part)(x);
#else
    return hf_widen(x);
#endif
}

/* sums[k] += x[k] for sixteen numbers, which it widens. */
HF_INLINE void FN(add_wide)(hf_wide *sums, const real *x) {
    HF_UNROLL
    for (int p = 0; p < HF_WIDE_PARTS; p++)
        sums->p[p] += FN(widen_part)(x + p * HF_DOUBLES);
}
HF_INLINE void FN(add_sixteen)(hf_wide *sums, FN(sixteen) x) {
    real lane[HF_VALUE_LANES];
    FN(store_sixteen)(lane, x);
    FN(add_wide)(sums, lane);
}

/* ---- across the lanes: their sum by halves, and the largest, where none is NaN ------------------------------ */

#if HF_VECTOR_BYTES == 64 && defined(HF_REAL_IS_F64)
HF_INLINE real FN(merge_sixteen)(FN(sixteen) x) {
    const hf_wide sums = {{(hf_doubles)x.p[0], (hf_doubles)x.p[1]}};
    return hf_merge_wide(sums);
}
HF_INLINE real FN(max_of_sixteen)(FN(sixteen) x) {
    return _mm512_reduce_max_pd((__m512d)FN(max_part)(x.p[0], x.p[1]));
}
#elif HF_VECTOR_BYTES == 64
HF_INLINE real FN(merge_sixteen)(FN(sixteen) x) {
    const FN(line) line = {{x.p[0]}};
    return FN(sum_line)(&line);
}
HF_INLINE real FN(max_of_sixteen)(FN(sixteen) x) { return _mm512_reduce_max_ps((__m512)x.p[0]); }
#else
HF_INLINE real FN(merge_sixteen)(FN(sixteen) x) {
    real lane[HF_VALUE_LANES];
    FN(store_sixteen)(lane, x);
    HF_UNROLL
    for (int half = HF_VALUE_LANES / 2; half > 0; half /= 2) {
        HF_UNROLL
        for (int k = 0; k < half; k++)
            lane[k] += lane[k + half];
    }
    return lane[0];
}
HF_INLINE real FN(max_of_sixteen)(FN(sixteen) x) {
    FN(part) best = x.p[0];
    real lane[PART_LANES];
    HF_UNROLL
    for (int p = 1; p < SIXTEEN_PARTS; p++)
        best = FN(max_part)(best, x.p[p]);
    FN(store_part)(lane, best);
    HF_UNROLL
    for (int k = 1; k < PART_LANES; k++)
        lane[0] = lane[k] > lane[0] ? lane[k] : lane[0];
    return lane[0];
}
#endif
