/* convert.h - numbers of X of any type, and any distance apart, as the numbers that are computed with.
 *
 * Included once for float32 and once for float64. Every number is rounded once, as a cast in C and in NumPy rounds it.
 * "Swapped" are numbers in the other byte order.
 */

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

/* out[i] = number i of x, which are `stride` bytes apart and may lie at any address, for n numbers; SWAP is what brings
 * their bytes into order. O(n). */
#define HF_DEFINE_CONVERT(NAME, TYPE, BITS, SWAP, AS_REAL)                                                   \
    static void FN(NAME)(const void *x, ptrdiff_t stride, ptrdiff_t n, void *out) {                          \
        const char *HF_RESTRICT from = x;                                                                    \
        real *HF_RESTRICT to = out;                                                                          \
        BITS bits;                                                                                           \
        TYPE number;                                                                                         \
        if (stride == sizeof(TYPE))                                                                          \
            for (ptrdiff_t i = 0; i < n; i++) {                                                              \
                memcpy(&bits, from + i * (ptrdiff_t)sizeof bits, sizeof bits);                               \
                bits = SWAP(bits);                                                                           \
                memcpy(&number, &bits, sizeof number);                                                       \
                to[i] = AS_REAL(number);                                                                     \
            }                                                                                                \
        else                                                                                                 \
            for (ptrdiff_t i = 0; i < n; i++) {                                                              \
                memcpy(&bits, from + i * stride, sizeof bits);                                               \
                bits = SWAP(bits);                                                                           \
                memcpy(&number, &bits, sizeof number);                                                       \
                to[i] = AS_REAL(number);                                                                     \
            }                                                                                                \
    }
#define HF_DEFINE_CONVERTS(SUFFIX, TYPE, BITS, SWAP, AS_REAL)                                                \
    HF_DEFINE_CONVERT(convert_##SUFFIX, TYPE, BITS, , AS_REAL)                                               \
    HF_DEFINE_CONVERT(convert_swapped_##SUFFIX, TYPE, BITS, SWAP, AS_REAL)
#define HF_IS_TRUE(byte) ((byte) != 0 ? (real)1 : (real)0)
HF_DEFINE_CONVERT(convert_i8, int8_t, uint8_t, , (real))
HF_DEFINE_CONVERT(convert_u8, uint8_t, uint8_t, , (real))
HF_DEFINE_CONVERT(convert_bool, uint8_t, uint8_t, , HF_IS_TRUE)
HF_DEFINE_CONVERTS(i16, int16_t, uint16_t, hf_swap_16, (real))
HF_DEFINE_CONVERTS(i32, int32_t, uint32_t, hf_swap_32, (real))
HF_DEFINE_CONVERTS(i64, int64_t, uint64_t, hf_swap_64, (real))
HF_DEFINE_CONVERTS(u16, uint16_t, uint16_t, hf_swap_16, (real))
HF_DEFINE_CONVERTS(u32, uint32_t, uint32_t, hf_swap_32, (real))
HF_DEFINE_CONVERTS(u64, uint64_t, uint64_t, hf_swap_64, (real))
HF_DEFINE_CONVERTS(f16, uint16_t, uint16_t, hf_swap_16, FN(from_half))
HF_DEFINE_CONVERTS(f32, float, uint32_t, hf_swap_32, (real))
HF_DEFINE_CONVERTS(f64, double, uint64_t, hf_swap_64, (real))
#undef HF_IS_TRUE
#undef HF_DEFINE_CONVERTS
#undef HF_DEFINE_CONVERT
