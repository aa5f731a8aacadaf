/* half.h - float16, which C has no type for. Included once for float32 and once for float64. */
#ifndef real /* opened alone */
#include "real.h"
#endif

/* float16 bits as a number: exponent and fraction are moved to their places in a float32, where a subnormal is one too,
 * and the product, which is exact, corrects the bias of the exponent. */
HF_INLINE real FN(from_half)(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, rest = (uint32_t)(half & 0x7FFFu) << 13;
    float magnitude;
    uint32_t bits;
    memcpy(&magnitude, &rest, sizeof magnitude);
    magnitude *= 0x1p112f;
    memcpy(&bits, &magnitude, sizeof bits);
    bits |= sign | (rest >= 0x0F800000u ? 0x7F800000u : 0); /* infinite or NaN */
    memcpy(&magnitude, &bits, sizeof magnitude);
    return (real)magnitude;
}
