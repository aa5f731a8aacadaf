/* gather.h - eight products of CSR entries with the coefficients they name, summed into eight lanes.
 *
 * Included once for each number type and type of column indices. With AVX-512 the eight are gathered by one instruction
 * under a mask; elsewhere they are taken one by one. Lane k gets entry k of each group of eight, so the bits
 * are the same. Every column index is clamped as it is read: one outside [0, width) reads coef[0], and
 * raises the flag.
 */
#ifndef index_type /* opened alone */
#include "eight.h"
#define INDEX_IS_I64
#define index_type int64_t
#define IX(name) FN(HF_JOIN(name, i64))
#endif

HF_INLINE void IX(add_products)(FN(eight) *sum, const real *x, const index_type *index, int64_t n,
                                const real *w, uint64_t width, int *outside) {
#if HF_HAVE_GATHER
    const __mmask8 wanted = n >= 8 ? 0xFF : (__mmask8)((1u << n) - 1);
    const __m512i end = _mm512_set1_epi64((int64_t)width);
#ifdef INDEX_IS_I64
    __m512i j = _mm512_maskz_loadu_epi64(wanted, index);
    HF_PIN_VECTOR(j);
    const __mmask8 inside = _mm512_cmplt_epu64_mask(j, end);
    const FN(eight) at = FN(gather_i64)(w, wanted, _mm512_maskz_mov_epi64(inside, j));
#else
    __m256i j = _mm256_maskz_loadu_epi32(wanted, index);
    HF_PIN_VECTOR(j);
    const __mmask8 inside = _mm512_cmplt_epu64_mask(_mm512_cvtepi32_epi64(j), end);
    const FN(eight) at = FN(gather_i32)(w, wanted, _mm256_maskz_mov_epi32(inside, j));
#endif
    *outside |= (__mmask8)~inside;
    *sum = FN(add_wanted)(*sum, wanted, x, at);
#else
    HF_UNROLL
    for (int lane = 0; lane < 8; lane++)
        if (lane < n) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[lane]);
            *outside |= j >= width;
            sum->lane[lane] += x[lane] * w[j < width ? j : 0];
        }
#endif
}
