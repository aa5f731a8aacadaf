/* four.h - four numbers in registers: half of the lanes of a CSR row.
 *
 * Included once for float32 and once for float64. A CSR row has eight lanes at every level, entry k in lane k mod 8, which
 * are merged by halves: ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7)).
 */
#ifndef real /* opened alone */
#include "lanes.h"
#endif

/* A piece is a register of the level, or half or a quarter of one. */
#if HF_VECTOR_BYTES
#define PIECE_BYTES (HF_VECTOR_BYTES < 4 * sizeof(real) ? HF_VECTOR_BYTES : 4 * sizeof(real))
typedef real FN(piece) __attribute__((vector_size(PIECE_BYTES)));
typedef real FN(loose_piece) __attribute__((vector_size(PIECE_BYTES), aligned(sizeof(real)), may_alias));
typedef FN(bit_pattern) FN(piece_bits) __attribute__((vector_size(PIECE_BYTES)));
typedef FN(bit_pattern) FN(loose_bits)
    __attribute__((vector_size(PIECE_BYTES), aligned(sizeof(real)), may_alias));
HF_INLINE FN(piece) FN(first_of_piece)(FN(piece) x, const FN(bit_pattern) *mask) {
    return (FN(piece))((FN(piece_bits))x & (FN(piece_bits))(*(const FN(loose_bits) *)mask));
}
#else
#define PIECE_BYTES sizeof(real)
typedef real FN(piece);
typedef real FN(loose_piece);
HF_INLINE FN(piece) FN(first_of_piece)(FN(piece) x, const FN(bit_pattern) *mask) { return *mask ? x : 0; }
#endif
#define PIECES ((int)(4 * sizeof(real) / PIECE_BYTES))
#define PIECE_NUMBERS ((int)(PIECE_BYTES / sizeof(real)))

typedef struct {
    FN(piece) p[4 * sizeof(real) / PIECE_BYTES];
} FN(four);

HF_INLINE FN(four) FN(no_four)(void) {
    FN(four) zeros;
    memset(&zeros, 0, sizeof zeros);
    return zeros;
}
/* Put together in registers: what is written number by number and read as a vector waits for memory. */
HF_INLINE FN(four) FN(four_of)(real a, real b, real c, real d) {
#if HF_VECTOR_BYTES == 16 && defined(HF_REAL_IS_F64)
    const FN(four) all = {{{a, b}, {c, d}}};
#elif HF_VECTOR_BYTES
    const FN(four) all = {{{a, b, c, d}}};
#else
    const FN(four) all = {{a, b, c, d}};
#endif
    return all;
}
HF_INLINE FN(four) FN(load_four)(const real *x) {
    FN(four) all;
    HF_UNROLL
    for (int k = 0; k < PIECES; k++)
        all.p[k] = (FN(piece))(*(const FN(loose_piece) *)(x + k * PIECE_NUMBERS));
    return all;
}
HF_INLINE void FN(store_four)(real *x, FN(four) all) {
    HF_UNROLL
    for (int k = 0; k < PIECES; k++)
        *(FN(loose_piece) *)(x + k * PIECE_NUMBERS) = (FN(loose_piece))all.p[k];
}
HF_INLINE FN(four) FN(add_four)(FN(four) x, FN(four) y) {
    HF_UNROLL
    for (int k = 0; k < PIECES; k++)
        x.p[k] += y.p[k];
    return x;
}
HF_INLINE FN(four) FN(multiply_four)(FN(four) x, FN(four) y) {
    HF_UNROLL
    for (int k = 0; k < PIECES; k++)
        x.p[k] *= y.p[k];
    return x;
}

/* Those of the four whose place among sixteen, from `at` on, is below n; +0 for the others. */
static const FN(bit_pattern) FN(masks)[32] = {
    ~(FN(bit_pattern))0, ~(FN(bit_pattern))0, ~(FN(bit_pattern))0, ~(FN(bit_pattern))0,
    ~(FN(bit_pattern))0, ~(FN(bit_pattern))0, ~(FN(bit_pattern))0, ~(FN(bit_pattern))0,
    ~(FN(bit_pattern))0, ~(FN(bit_pattern))0, ~(FN(bit_pattern))0, ~(FN(bit_pattern))0,
    ~(FN(bit_pattern))0, ~(FN(bit_pattern))0, ~(FN(bit_pattern))0, ~(FN(bit_pattern))0,
};
HF_INLINE FN(four) FN(first_of_four)(FN(four) x, int at, ptrdiff_t n) {
    HF_UNROLL
    for (int k = 0; k < PIECES; k++)
        x.p[k] = FN(first_of_piece)(x.p[k], FN(masks) + 16 - n + at + k * PIECE_NUMBERS);
    return x;
}

/* The sum of eight lanes, l0 .. l3 and l4 .. l7 added, and that of four rows side by side. */
HF_INLINE real FN(sum_of_four)(FN(four) sum) {
    real lane[4];
    FN(store_four)(lane, sum);
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}
HF_INLINE FN(four) FN(sums_of_fours)(FN(four) a, FN(four) b, FN(four) c, FN(four) d) {
#if HF_HAVE_SHUFFLE && HF_VECTOR_BYTES == 16 && defined(HF_REAL_IS_F64)
    const FN(piece) sum_a = a.p[0] + a.p[1], sum_b = b.p[0] + b.p[1];
    const FN(piece) sum_c = c.p[0] + c.p[1], sum_d = d.p[0] + d.p[1];
    const FN(four) sums = {
        {__builtin_shufflevector(sum_a, sum_b, 0, 2) + __builtin_shufflevector(sum_a, sum_b, 1, 3),
         __builtin_shufflevector(sum_c, sum_d, 0, 2) + __builtin_shufflevector(sum_c, sum_d, 1, 3)}};
    return sums;
#elif HF_HAVE_SHUFFLE
    const FN(piece) ab = __builtin_shufflevector(a.p[0], b.p[0], 0, 1, 4, 5) +
                         __builtin_shufflevector(a.p[0], b.p[0], 2, 3, 6, 7);
    const FN(piece) cd = __builtin_shufflevector(c.p[0], d.p[0], 0, 1, 4, 5) +
                         __builtin_shufflevector(c.p[0], d.p[0], 2, 3, 6, 7);
    const FN(four) sums = {
        {__builtin_shufflevector(ab, cd, 0, 2, 4, 6) + __builtin_shufflevector(ab, cd, 1, 3, 5, 7)}};
    return sums;
#else
    return FN(four_of)(FN(sum_of_four)(a), FN(sum_of_four)(b), FN(sum_of_four)(c), FN(sum_of_four)(d));
#endif
}

/* a0 + a1, a2 + a3, b0 + b1, b2 + b3. */
HF_INLINE FN(four) FN(sums_of_pairs)(FN(four) a, FN(four) b) {
#if HF_HAVE_SHUFFLE && HF_VECTOR_BYTES == 16 && defined(HF_REAL_IS_F64)
    const FN(four) sums = {
        {__builtin_shufflevector(a.p[0], a.p[1], 0, 2) + __builtin_shufflevector(a.p[0], a.p[1], 1, 3),
         __builtin_shufflevector(b.p[0], b.p[1], 0, 2) + __builtin_shufflevector(b.p[0], b.p[1], 1, 3)}};
    return sums;
#elif HF_HAVE_SHUFFLE
    const FN(four) sums = {{__builtin_shufflevector(a.p[0], b.p[0], 0, 2, 4, 6) +
                            __builtin_shufflevector(a.p[0], b.p[0], 1, 3, 5, 7)}};
    return sums;
#else
    real x[4], y[4];
    FN(store_four)(x, a);
    FN(store_four)(y, b);
    return FN(four_of)(x[0] + x[1], x[2] + x[3], y[0] + y[1], y[2] + y[3]);
#endif
}
