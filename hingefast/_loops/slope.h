/* slope.h - the slope stage: scores, labels and weights in, values and slopes out. Knows no layout of X.
 *
 * Included once for float32 and once for float64. All loops are elementwise, but for the sums, which run
 * over HF_VALUE_LANES fixed lanes counted by element index.
 */
#ifndef real /* opened alone */
#include "elementary.h"
#endif

/* Zero for -1 and +1, not zero for every other number: the bits in which it differs from 1, without its own sign.
 * Integers, because gcc vectorises a sum of comparisons of doubles poorly at the base level. */
HF_INLINE FN(bit_pattern) FN(differs_from_sign)(real sign) {
    return (FN(bits)(sign) & BITS_BUT_SIGN) ^ FN(bits)(1);
}

/* The sign of a label that is one of the classes, or 0. */
HF_INLINE real FN(sign_of)(int is_negative, int is_positive) {
    const real below = is_negative ? (real)-1 : (real)0;
    return is_positive ? (real)1 : below;
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

/* x[i] = |x[i]|, NaN kept. O(n). */
static void FN(absolute)(void *x, ptrdiff_t n) {
    real *out = x;
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = FN(fabs)(out[i]);
}

/* The vectorised elementary functions over arrays, for their tests. O(n). */
static void FN(elementary_exp)(const void *x, ptrdiff_t n, void *out) {
    for (ptrdiff_t i = 0; i < n; i++)
        ((real *)out)[i] = FN(exp)(((const real *)x)[i]);
}
static void FN(elementary_log1p)(const void *x, ptrdiff_t n, void *out) {
    for (ptrdiff_t i = 0; i < n; i++)
        ((real *)out)[i] = FN(log1p)(((const real *)x)[i]);
}
static void FN(elementary_erfc)(const void *x, ptrdiff_t n, void *out) {
    for (ptrdiff_t i = 0; i < n; i++)
        ((real *)out)[i] = FN(erfc)(((const real *)x)[i]);
}
