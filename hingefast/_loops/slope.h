/* slope.h - the slope stage: scores, labels and weights in, values and slopes out. Knows no layout of X.
 *
 * Included once for float32 and once for float64. All loops are elementwise, but for the sums, which run
 * over HF_VALUE_LANES fixed lanes counted by element index.
 */

/* Zero for -1 and +1, not zero for every other number: the bits in which it differs from 1, without its own sign.
 * Integers, because gcc vectorises a sum of comparisons of doubles poorly at the base level. */
HF_INLINE FN(bit_pattern) FN(differs_from_sign)(real sign) {
    return (FN(bits)(sign) & BITS_BUT_SIGN) ^ FN(bits)(1);
}

/* Position of the first of n signs that is neither -1 nor +1, or -1. The common case is one pass
 * without a branch. O(n). */
static ptrdiff_t FN(find_bad_sign)(const void *signs, ptrdiff_t n) {
    const real *HF_RESTRICT y = signs;
    FN(bit_pattern) bad = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        bad |= FN(differs_from_sign)(y[i]);
    if (!bad)
        return -1;
    for (ptrdiff_t i = 0; i < n; i++)
        if (y[i] != 1 && y[i] != -1)
            return i;
    return -1; /* the labels changed in between; they are read again before use */
}

/* signs[i] = -1, +1, or 0 where label i is neither of the two classes. O(n). */
#define HF_DEFINE_DECODE(SUFFIX, TYPE, WIDE, WIDEN, LOW, HIGH)                                               \
    static void FN(decode_##SUFFIX)(const void *labels, ptrdiff_t n, const hf_classes *classes,              \
                                    void *signs) {                                                           \
        const TYPE *HF_RESTRICT label = labels;                                                              \
        real *HF_RESTRICT sign = signs;                                                                      \
        const WIDE low = LOW, high = HIGH;                                                                   \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                  \
            const WIDE at = WIDEN(label[i]);                                                                 \
            real below = at == low ? (real)-1 : (real)0;                                                     \
            sign[i] = at == high ? (real)1 : below;                                                          \
        }                                                                                                    \
    }
#define HF_DECODE_NARROW(SUFFIX, TYPE)                                                                       \
    HF_DEFINE_DECODE(SUFFIX, TYPE, int32_t, (int32_t), hf_narrow(classes->negative_int),                     \
                     hf_narrow(classes->positive_int))
#define HF_DECODE_WIDE(SUFFIX, TYPE, WIDEN)                                                                  \
    HF_DEFINE_DECODE(SUFFIX, TYPE, int64_t, WIDEN, classes->negative_int, classes->positive_int)
#define HF_DECODE_FLOAT(SUFFIX, TYPE)                                                                        \
    HF_DEFINE_DECODE(SUFFIX, TYPE, double, (double), classes->negative, classes->positive)
HF_DECODE_NARROW(i8, int8_t)
HF_DECODE_NARROW(u8, uint8_t)
HF_DECODE_NARROW(i16, int16_t)
HF_DECODE_NARROW(u16, uint16_t)
HF_DECODE_WIDE(i32, int32_t, (int64_t))
HF_DECODE_WIDE(u32, uint32_t, (int64_t))
HF_DECODE_WIDE(i64, int64_t, (int64_t))
HF_DECODE_FLOAT(f32, float)
HF_DECODE_FLOAT(f64, double)
static void FN(decode_u64)(const void *labels, ptrdiff_t n, const hf_classes *classes, void *signs) {
    const uint64_t *HF_RESTRICT label = labels;
    real *HF_RESTRICT sign = signs;
    const uint64_t low = classes->negative_uint, high = classes->positive_uint;
    const real at_low = classes->negative_fits_uint ? -1 : 0, at_high = classes->positive_fits_uint ? 1 : 0;
    for (ptrdiff_t i = 0; i < n; i++)
        sign[i] = label[i] == high && at_high != 0 ? at_high : label[i] == low ? at_low : 0;
}
#undef HF_DECODE_NARROW
#undef HF_DECODE_WIDE
#undef HF_DECODE_FLOAT
#undef HF_DEFINE_DECODE

/* weights[i] *= 2^exponent times the weight of row i's class. O(n). */
static void FN(class_weights)(const void *signs, double negative, double positive, int exponent, ptrdiff_t n,
                              double *weights) {
    const real *HF_RESTRICT sign = signs;
    double *HF_RESTRICT weight = weights;
    const double factor = factor_of(exponent);
    for (ptrdiff_t i = 0; factor == 0 && i < n; i++)
        weight[i] = scaled_product(weight[i], sign[i] > 0 ? positive : negative, exponent);
    for (ptrdiff_t i = 0; factor != 0 && i < n; i++)
        weight[i] = factor_product(weight[i], sign[i] > 0 ? positive : negative, factor);
}

/* lanes[(first + i) mod 16] += values[i], or weights[i]*values[i] where weights is given; a weight of zero
 * leaves its row out whatever the value is. `first` is the place of the first row in its task. Sums are
 * float64. O(n). */
static void FN(sum_values)(const void *values, const double *weights, ptrdiff_t first, ptrdiff_t n,
                           double *lanes) {
    const real *HF_RESTRICT value = values;
    double sum[HF_VALUE_LANES]; /* rotated so that the first row's lane comes first */
    ptrdiff_t i = 0;
    for (int k = 0; k < HF_VALUE_LANES; k++)
        sum[k] = lanes[(first + k) % HF_VALUE_LANES];
    if (weights == NULL)
        for (; i + HF_VALUE_LANES <= n; i += HF_VALUE_LANES)
            for (int k = 0; k < HF_VALUE_LANES; k++)
                sum[k] += (double)value[i + k];
    for (; i < n; i++) {
        const double at = (double)value[i];
        sum[i % HF_VALUE_LANES] += weights == NULL ? at : weights[i] == 0 ? 0 : weights[i] * at;
    }
    for (int k = 0; k < HF_VALUE_LANES; k++)
        lanes[(first + k) % HF_VALUE_LANES] = sum[k];
}

/* x[i] = factor*x[i], or weights[i]*factor*x[i] where weights is given; +0 where a weight is zero,
 * whatever x is. O(n). */
static void FN(scale)(void *x, const double *weights, double factor, ptrdiff_t n) {
    real *HF_RESTRICT out = x;
    if (weights == NULL) {
        const real by = (real)factor;
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] *= by;
    } else
        for (ptrdiff_t i = 0; i < n; i++) {
            double scaled = weights[i] * factor * (double)out[i];
            out[i] = weights[i] == 0 ? 0 : (real)scaled;
        }
}

/* x[i] *= y[i] where x[i] is not zero; a zero stays, whatever y is. O(n). */
static void FN(multiply_nonzero)(void *x, const void *y, ptrdiff_t n) {
    real *HF_RESTRICT out = x;
    const real *HF_RESTRICT by = y;
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = out[i] == 0 ? 0 : out[i] * by[i];
}

/* out[i] = factor*x[i], out being float32 or float64. `stream` writes past the caches, which saves reading
 * the destination first; it overwrites x, and goes with equal element types only. O(n). */
#define HF_DEFINE_STORE(SUFFIX, TYPE)                                                                        \
    static void FN(store_##SUFFIX)(void *x, ptrdiff_t n, double factor, void *out, int stream) {             \
        const real by = (real)factor;                                                                        \
        const real *HF_RESTRICT from = x;                                                                    \
        TYPE *HF_RESTRICT to = out;                                                                          \
        if (stream) {                                                                                        \
            if (by != 1)                                                                                     \
                FN(scale)(x, NULL, factor, n);                                                               \
            hf_stream(out, x, (size_t)n * sizeof(TYPE));                                                     \
        } else                                                                                               \
            for (ptrdiff_t i = 0; i < n; i++)                                                                \
                to[i] = (TYPE)(from[i] * by);                                                                \
    }
HF_DEFINE_STORE(f32, float)
HF_DEFINE_STORE(f64, double)
#undef HF_DEFINE_STORE

/* out[i,j] = weights[i]*factor*x[i,j], rounded once, for n rows of n_classes numbers; +0 where the weight is zero,
 * whatever x is. x may be out itself. O(n*n_classes). */
#define HF_DEFINE_STORE_WEIGHTED(SUFFIX, TYPE)                                                               \
    static void FN(store_weighted_##SUFFIX)(const void *x, const double *weights, double factor,             \
                                            ptrdiff_t n, ptrdiff_t n_classes, void *out) {                   \
        const real *from = x;                                                                                \
        TYPE *to = out;                                                                                      \
        for (ptrdiff_t i = 0; i < n; i++, from += n_classes, to += n_classes) {                              \
            const double by = weights[i] * factor;                                                           \
            for (ptrdiff_t j = 0; j < n_classes; j++)                                                        \
                to[j] = weights[i] == 0 ? 0 : (TYPE)(by * (double)from[j]);                                  \
        }                                                                                                    \
    }
HF_DEFINE_STORE_WEIGHTED(f32, float)
HF_DEFINE_STORE_WEIGHTED(f64, double)
#undef HF_DEFINE_STORE_WEIGHTED

/* The vectorised elementary functions over arrays, for their tests. O(n). */
#define HF_DEFINE_ELEMENTARY(NAME)                                                                           \
    static void FN(array_##NAME)(const void *x, ptrdiff_t n, void *out) {                                    \
        const real *HF_RESTRICT from = x;                                                                    \
        real *HF_RESTRICT to = out;                                                                          \
        for (ptrdiff_t i = 0; i < n; i++)                                                                    \
            to[i] = FN(NAME)(from[i]);                                                                       \
    }
HF_DEFINE_ELEMENTARY(exp)
HF_DEFINE_ELEMENTARY(log1p)
HF_DEFINE_ELEMENTARY(erfc)
#undef HF_DEFINE_ELEMENTARY
