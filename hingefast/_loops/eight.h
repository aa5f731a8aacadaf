/* eight.h - eight numbers in registers, or in an array where they cannot be gathered (HF_HAVE_GATHER).
 *
 * Included once for float32 and once for float64.
 */
#ifndef real /* opened alone */
#include "real.h"
#endif

#if HF_HAVE_GATHER && defined(HF_REAL_IS_F64)
typedef __m512d FN(eight);
HF_INLINE FN(eight) FN(eight_zeros)(void) { return _mm512_setzero_pd(); }
HF_INLINE void FN(store_eight)(real *lanes, FN(eight) x) { _mm512_storeu_pd(lanes, x); }
/* w[j] in the wanted lanes. */
HF_INLINE FN(eight) FN(gather_i32)(const real *w, __mmask8 wanted, __m256i j) {
    return _mm512_mask_i32gather_pd(_mm512_setzero_pd(), wanted, j, w, 8);
}
HF_INLINE FN(eight) FN(gather_i64)(const real *w, __mmask8 wanted, __m512i j) {
    return _mm512_mask_i64gather_pd(_mm512_setzero_pd(), wanted, j, w, 8);
}
/* sum + x*at in the wanted lanes. */
HF_INLINE FN(eight) FN(add_wanted)(FN(eight) sum, __mmask8 wanted, const real *x, FN(eight) at) {
    return _mm512_mask_add_pd(sum, wanted, sum, _mm512_mul_pd(_mm512_maskz_loadu_pd(wanted, x), at));
}

#elif HF_HAVE_GATHER
typedef __m256 FN(eight);
HF_INLINE FN(eight) FN(eight_zeros)(void) { return _mm256_setzero_ps(); }
HF_INLINE void FN(store_eight)(real *lanes, FN(eight) x) { _mm256_storeu_ps(lanes, x); }
HF_INLINE FN(eight) FN(gather_i32)(const real *w, __mmask8 wanted, __m256i j) {
    return _mm256_mmask_i32gather_ps(_mm256_setzero_ps(), wanted, j, w, 4);
}
HF_INLINE FN(eight) FN(gather_i64)(const real *w, __mmask8 wanted, __m512i j) {
    return _mm512_mask_i64gather_ps(_mm256_setzero_ps(), wanted, j, w, 4);
}
HF_INLINE FN(eight) FN(add_wanted)(FN(eight) sum, __mmask8 wanted, const real *x, FN(eight) at) {
    return _mm256_mask_add_ps(sum, wanted, sum, _mm256_mul_ps(_mm256_maskz_loadu_ps(wanted, x), at));
}

#else
typedef struct {
    real lane[8];
} FN(eight);
HF_INLINE FN(eight) FN(eight_zeros)(void) {
    FN(eight) zeros = {{0}};
    return zeros;
}
HF_INLINE void FN(store_eight)(real *lanes, FN(eight) x) { memcpy(lanes, x.lane, sizeof x.lane); }
#endif
