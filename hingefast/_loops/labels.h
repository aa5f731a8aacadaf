/* labels.h - what labels, classes and weights are, for the loops that decode them. Included once: knows no number type of
 * scores and no loss.
 */
#ifndef HF_LABELS_H
#define HF_LABELS_H

#include "once.h"

/* A class as an int32, for labels of 8 and 16 bits: INT32_MIN, which they cannot hold, if out of range. */
HF_INLINE int32_t hf_narrow(int64_t class) {
    return class > INT32_MAX || class < INT32_MIN ? INT32_MIN : (int32_t)class;
}

/* How score_task.h reads labels: signs in the computing dtype, int8 signs, other labels of one byte. */
enum { HF_SIGNS, HF_INT8_SIGNS, HF_BYTES };

HF_INLINE int hf_kind_of_labels(const hf_labels *labels) {
    const int are_plain = labels->classes->negative_int == -1 && labels->classes->positive_int == 1;
    if (!labels->decode || labels->itemsize > 1)
        return HF_SIGNS;
    return are_plain && labels->dtype == HF_INT8 ? HF_INT8_SIGNS : HF_BYTES;
}

/* The two classes of labels of one byte, as the byte that stands for each; -1 for one that is no such byte. */
typedef struct {
    int32_t negative, positive;
} hf_byte_classes;

HF_INLINE int32_t hf_byte_of_class(int64_t class, int is_signed) {
    return class < (is_signed ? -128 : 0) || class > (is_signed ? 127 : 255) ? -1 : (int32_t)(class & 255);
}
HF_INLINE hf_byte_classes hf_classes_of_bytes(const hf_labels *labels) {
    const int is_signed = labels->dtype == HF_INT8;
    hf_byte_classes bytes = {hf_byte_of_class(labels->classes->negative_int, is_signed),
                             hf_byte_of_class(labels->classes->positive_int, is_signed)};
    return bytes;
}

/* The column whose label is `label`, or -1. O(log n_classes). */
HF_INLINE int32_t hf_find_class(const hf_class_labels *labels, int64_t label) {
    ptrdiff_t low = 0, high = labels->n_classes;
    while (low < high) {
        const ptrdiff_t middle = low + (high - low) / 2;
        if (labels->sorted[middle] < label)
            low = middle + 1;
        else
            high = middle;
    }
    return low < labels->n_classes && labels->sorted[low] == label ? labels->columns[low] : -1;
}

/* Whether a float is an integer that fits int64, and that integer. */
HF_INLINE int hf_is_int64(double x) { return x >= -0x1p63 && x < 0x1p63 && (double)(int64_t)x == x; }

/* 2^exponent*x*y of two finite numbers: on the way nothing overflows or vanishes. */
static double scaled_product(double x, double y, int exponent) {
    int of_x, of_y;
    const double product = frexp(x, &of_x) * frexp(y, &of_y);
    return ldexp(product, exponent + of_x + of_y);
}

/* The same by multiplications, for weights of rows and classes whose products are no larger than 1/factor, which is
 * 2^-exponent: what `factor_of` gives, or 0 where it must be `scaled_product`. A factor above 1 comes before y, for x*y
 * might vanish: x and the factor, of 2^500 at most, do not overflow. With a larger x, x*y is 2^-574 at least. */
static double factor_of(int exponent) { return exponent < -1022 || exponent > 500 ? 0 : ldexp(1, exponent); }
HF_INLINE double factor_product(double x, double y, double factor) {
    const int is_first = factor > 1 && x <= 0x1p500;
    return x * (is_first ? factor : 1) * y * (is_first ? 1 : factor);
}

/* weights[i] = 2^exponent*weights[i]*of_class[columns[i]]. O(n). */
static void class_weights(const int32_t *columns, const double *of_class, int exponent, ptrdiff_t n,
                          double *weights) {
    const double factor = factor_of(exponent);
    for (ptrdiff_t i = 0; factor == 0 && i < n; i++)
        weights[i] = scaled_product(weights[i], of_class[columns[i]], exponent);
    for (ptrdiff_t i = 0; factor != 0 && i < n; i++)
        weights[i] = factor_product(weights[i], of_class[columns[i]], factor);
}

#endif
