/* gather.h - eight products of CSR entries with the coefficients they name, summed into eight lanes.
 *
 * Included once for float32 and once for float64. With AVX-512 the eight are gathered by one instruction
 * under a mask; elsewhere they are taken one by one. Lane k gets entry k of each group of eight, so the bits
 * are the same. Every column index is clamped as it is read: one outside [0, width) reads coef[0], and
 * raises the flag.
 */
#if HF_HAVE_GATHER && defined(HF_REAL_IS_F64)
typedef __m512d FN(eight);
HF_INLINE FN(eight) FN(eight_zeros)(void) { return _mm512_setzero_pd(); }
HF_INLINE void FN(add_products_i32)(FN(eight) *sum, const real *x, const int32_t *index, int64_t n,
                                    const real *w, uint64_t width, int *outside) {
    const __mmask8 wanted = n >= 8 ? 0xFF : (__mmask8)((1u << n) - 1);
    __m256i j = _mm256_maskz_loadu_epi32(wanted, index);
    HF_PIN_VECTOR(j);
    const __mmask8 inside =
        _mm512_cmplt_epu64_mask(_mm512_cvtepi32_epi64(j), _mm512_set1_epi64((int64_t)width));
    const __m512d at =
        _mm512_mask_i32gather_pd(_mm512_setzero_pd(), wanted, _mm256_maskz_mov_epi32(inside, j), w, 8);
    *outside |= (__mmask8)~inside;
    *sum = _mm512_mask_add_pd(*sum, wanted, *sum, _mm512_mul_pd(_mm512_maskz_loadu_pd(wanted, x), at));
}
HF_INLINE void FN(add_products_i64)(FN(eight) *sum, const real *x, const int64_t *index, int64_t n,
                                    const real *w, uint64_t width, int *outside) {
    const __mmask8 wanted = n >= 8 ? 0xFF : (__mmask8)((1u << n) - 1);
    __m512i j = _mm512_maskz_loadu_epi64(wanted, index);
    HF_PIN_VECTOR(j);
    const __mmask8 inside = _mm512_cmplt_epu64_mask(j, _mm512_set1_epi64((int64_t)width));
    const __m512d at =
        _mm512_mask_i64gather_pd(_mm512_setzero_pd(), wanted, _mm512_maskz_mov_epi64(inside, j), w, 8);
    *outside |= (__mmask8)~inside;
    *sum = _mm512_mask_add_pd(*sum, wanted, *sum, _mm512_mul_pd(_mm512_maskz_loadu_pd(wanted, x), at));
}
HF_INLINE void FN(store_eight)(real *lanes, FN(eight) sum) { _mm512_storeu_pd(lanes, sum); }

#elif HF_HAVE_GATHER
typedef __m256 FN(eight);
HF_INLINE FN(eight) FN(eight_zeros)(void) { return _mm256_setzero_ps(); }
HF_INLINE void FN(add_products_i32)(FN(eight) *sum, const real *x, const int32_t *index, int64_t n,
                                    const real *w, uint64_t width, int *outside) {
    const __mmask8 wanted = n >= 8 ? 0xFF : (__mmask8)((1u << n) - 1);
    __m256i j = _mm256_maskz_loadu_epi32(wanted, index);
    HF_PIN_VECTOR(j);
    const __mmask8 inside =
        _mm512_cmplt_epu64_mask(_mm512_cvtepi32_epi64(j), _mm512_set1_epi64((int64_t)width));
    const __m256 at =
        _mm256_mmask_i32gather_ps(_mm256_setzero_ps(), wanted, _mm256_maskz_mov_epi32(inside, j), w, 4);
    *outside |= (__mmask8)~inside;
    *sum = _mm256_mask_add_ps(*sum, wanted, *sum, _mm256_mul_ps(_mm256_maskz_loadu_ps(wanted, x), at));
}
HF_INLINE void FN(add_products_i64)(FN(eight) *sum, const real *x, const int64_t *index, int64_t n,
                                    const real *w, uint64_t width, int *outside) {
    const __mmask8 wanted = n >= 8 ? 0xFF : (__mmask8)((1u << n) - 1);
    __m512i j = _mm512_maskz_loadu_epi64(wanted, index);
    HF_PIN_VECTOR(j);
    const __mmask8 inside = _mm512_cmplt_epu64_mask(j, _mm512_set1_epi64((int64_t)width));
    const __m256 at =
        _mm512_mask_i64gather_ps(_mm256_setzero_ps(), wanted, _mm512_maskz_mov_epi64(inside, j), w, 4);
    *outside |= (__mmask8)~inside;
    *sum = _mm256_mask_add_ps(*sum, wanted, *sum, _mm256_mul_ps(_mm256_maskz_loadu_ps(wanted, x), at));
}
HF_INLINE void FN(store_eight)(real *lanes, FN(eight) sum) { _mm256_storeu_ps(lanes, sum); }

#else
typedef struct {
    real lane[8];
} FN(eight);
HF_INLINE FN(eight) FN(eight_zeros)(void) {
    FN(eight) zeros = {{0}};
    return zeros;
}
#define HF_DEFINE_ADD_PRODUCTS(SUFFIX, INDEX)                                                                \
    HF_INLINE void FN(add_products_##SUFFIX)(FN(eight) *sum, const real *x, const INDEX *index, int64_t n,   \
                                             const real *w, uint64_t width, int *outside) {                  \
        HF_UNROLL                                                                                            \
        for (int lane = 0; lane < 8; lane++)                                                                 \
            if (lane < n) {                                                                                  \
                const uint64_t j = (uint64_t)hf_pinned((int64_t)index[lane]);                                \
                *outside |= j >= width;                                                                      \
                sum->lane[lane] += x[lane] * w[j < width ? j : 0];                                           \
            }                                                                                                \
    }
HF_DEFINE_ADD_PRODUCTS(i32, int32_t)
HF_DEFINE_ADD_PRODUCTS(i64, int64_t)
#undef HF_DEFINE_ADD_PRODUCTS
HF_INLINE void FN(store_eight)(real *lanes, FN(eight) sum) { memcpy(lanes, sum.lane, sizeof sum.lane); }
#endif
