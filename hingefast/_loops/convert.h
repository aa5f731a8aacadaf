/* convert.h - numbers of X of any type, and any distance apart, as the numbers that are computed with.
 *
 * Included once for each number type and type of numbers of X (elements.h), and for booleans and float16, whose items are
 * integers that AS_REAL makes numbers of. Every number is rounded once, as a cast in C and in NumPy rounds it.
 */
#ifndef element /* opened alone */
#include "half.h"
#define element double
#define EL(name) HF_JOIN(name, f64)
#endif

#ifndef AS_REAL
#define AS_REAL(item) ((real)(item))
#endif

/* The number at any address; with `swapped`, a constant where this is inlined, its bytes are in the other order. */
HF_INLINE real FN(EL(number_at))(const char *x, const int swapped) {
    element item;
    memcpy(&item, x, sizeof item);
    if (swapped)
        hf_swap(&item, sizeof item);
    return AS_REAL(item);
}

/* out[i] = number i of x, which are `stride` bytes apart, for n numbers. O(n). */
HF_INLINE void FN(EL(convert_all))(const char *HF_RESTRICT from, ptrdiff_t stride, ptrdiff_t n,
                                   real *HF_RESTRICT to, const int swapped) {
    if (stride == sizeof(element)) /* known, loads are vectors */
        for (ptrdiff_t i = 0; i < n; i++)
            to[i] = FN(EL(number_at))(from + i * (ptrdiff_t)sizeof(element), swapped);
    else
        for (ptrdiff_t i = 0; i < n; i++)
            to[i] = FN(EL(number_at))(from + i * stride, swapped);
}
static void FN(EL(convert))(const void *x, ptrdiff_t stride, ptrdiff_t n, void *out) {
    FN(EL(convert_all))(x, stride, n, out, 0);
}
static void FN(EL(convert_swapped))(const void *x, ptrdiff_t stride, ptrdiff_t n, void *out) {
    FN(EL(convert_all))(x, stride, n, out, 1);
}
#undef AS_REAL
#undef element
#undef EL
