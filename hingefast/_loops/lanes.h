/* lanes.h - one line of lanes (64 bytes: 16 float32 or 8 float64) and what the dense loops do with it.
 *
 * Included once for float32 and once for float64. A line is an array of the level's vector registers; the
 * loops over its parts have a constant length and are unrolled away. With HF_VECTOR_BYTES 0 a part is one
 * number, and the same loops are plain C.
 */
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

HF_INLINE FN(part) FN(no_part)(void) {
    FN(part) zeros;
    memset(&zeros, 0, sizeof zeros);
    return zeros;
}

/* Sixteen sums in float64, in registers: one for each value lane. */
#ifndef HF_WIDE
#define HF_WIDE
#if HF_VECTOR_BYTES
typedef double hf_doubles __attribute__((vector_size(HF_VECTOR_BYTES)));
#else
typedef double hf_doubles;
#endif
/* As many floats as a register holds doubles, widened. gcc 12 widens vectors of 64 bytes piece by piece. */
#if defined(__AVX512F__)
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
#define HF_DOUBLES ((int)(sizeof(hf_doubles) / sizeof(double)))
#define HF_WIDE_PARTS ((int)(HF_VALUE_LANES / HF_DOUBLES))
typedef struct {
    hf_doubles p[HF_VALUE_LANES * sizeof(double) / sizeof(hf_doubles)];
} hf_wide;
HF_INLINE void hf_store_wide(const hf_wide *sums, double *lanes) { memcpy(lanes, sums, sizeof *sums); }
#endif

/* sums[k] += x[k] for sixteen numbers, which it widens. */
HF_INLINE void FN(add_wide)(hf_wide *sums, const real *x) {
    HF_UNROLL
    for (int p = 0; p < HF_WIDE_PARTS; p++) {
#ifdef HF_REAL_IS_F64
        sums->p[p] += FN(load_part)(x + p * HF_DOUBLES);
#else
        sums->p[p] += hf_widen(x + p * HF_DOUBLES);
#endif
    }
}

/* Integers as wide as real, lane by lane: all bits set where a comparison holds. */
#if HF_VECTOR_BYTES
typedef FN(bit_pattern) FN(part_bits) __attribute__((vector_size(HF_VECTOR_BYTES)));
HF_INLINE FN(part_bits) FN(greater_part)(FN(part) a, FN(part) b) { return (FN(part_bits))(a > b); }
HF_INLINE FN(part_bits) FN(equal_bits)(FN(part_bits) a, FN(part_bits) b) { return (FN(part_bits))(a == b); }
#else
typedef FN(bit_pattern) FN(part_bits);
HF_INLINE FN(part_bits) FN(greater_part)(FN(part) a, FN(part) b) { return a > b ? ~(FN(bit_pattern))0 : 0; }
HF_INLINE FN(part_bits) FN(equal_bits)(FN(part_bits) a, FN(part_bits) b) {
    return a == b ? ~(FN(bit_pattern))0 : 0;
}
#endif
HF_INLINE FN(part_bits) FN(all_bits)(FN(bit_pattern) x) {
    FN(part_bits) zeros;
    memset(&zeros, 0, sizeof zeros);
    return zeros + x;
}
HF_INLINE FN(part_bits) FN(select_bits)(FN(part_bits) mask, FN(part_bits) a, FN(part_bits) b) {
    return (mask & a) | (~mask & b);
}
HF_INLINE FN(part) FN(select_part)(FN(part_bits) mask, FN(part) a, FN(part) b) {
    FN(part_bits) x, y;
    FN(part) chosen;
    memcpy(&x, &a, sizeof a);
    memcpy(&y, &b, sizeof b);
    x = FN(select_bits)(mask, x, y);
    memcpy(&chosen, &x, sizeof x);
    return chosen;
}

typedef struct {
    FN(part) p[HF_VECTOR_BYTES ? HF_LINE_BYTES / (HF_VECTOR_BYTES ? HF_VECTOR_BYTES : 1)
                               : HF_LINE_BYTES / sizeof(real)];
} FN(line);

/* Sum of the lanes of one line by halves: lane i and lane i + 8 first, then i and i + 4, and so on. */
HF_INLINE real FN(sum_line)(const FN(line) *line) {
    real lane[HF_LINE_BYTES / sizeof(real)];
    HF_UNROLL
    for (int k = 0; k < PARTS; k++)
        FN(store_part)(lane + k * PART_LANES, line->p[k]);
    HF_UNROLL
    for (ptrdiff_t half = LANES / 2; half > 0; half /= 2) {
        HF_UNROLL
        for (ptrdiff_t i = 0; i < half; i++)
            lane[i] += lane[i + half];
    }
    return lane[0];
}
