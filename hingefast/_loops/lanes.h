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
