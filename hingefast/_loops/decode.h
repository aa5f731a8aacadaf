/* decode.h - labels of K classes into column numbers, and weights into float64. Included once for each type of these
 * (elements.h).
 */
#ifndef element /* opened alone */
#include "labels.h"
#define IS_FLOAT 1
#define IS_UNSIGNED 0
#define element double
#define EL(name) HF_JOIN(name, f64)
#endif

/* Whether a label is an int64. */
HF_INLINE int EL(is_int64)(element label) {
    if (IS_FLOAT)
        return hf_is_int64((double)label);
    return !IS_UNSIGNED || (uint64_t)label >> 63 == 0;
}

/* columns[i] = column of label i. Returns the position of the first label that is no class, or -1; such a label
 * gets column -1. O(n), O(n log n_classes) for labels that are not consecutive. */
static ptrdiff_t EL(decode_classes)(const void *labels, ptrdiff_t n, const hf_class_labels *classes,
                                    int32_t *columns) {
    const element *HF_RESTRICT label = labels;
    int32_t *HF_RESTRICT column = columns;
    const uint64_t first = (uint64_t)classes->first, n_classes = (uint64_t)classes->n_classes;
    int bad = 0;
    if (classes->sorted == NULL)
        for (ptrdiff_t i = 0; i < n; i++) {
            const element at = label[i];
            const uint64_t k = EL(is_int64)(at) ? (uint64_t)(int64_t)at - first : n_classes;
            column[i] = k < n_classes ? (int32_t)k : -1;
        }
    else
        for (ptrdiff_t i = 0; i < n; i++) {
            const element at = label[i];
            column[i] = EL(is_int64)(at) ? hf_find_class(classes, (int64_t)at) : -1;
        }
    /* Columns are indices later: what was written is looked at, not what was read. */
    HF_READ_AGAIN();
    for (ptrdiff_t i = 0; i < n; i++)
        bad |= (uint64_t)(int64_t)column[i] >= n_classes;
    for (ptrdiff_t i = 0; bad && i < n; i++)
        if ((uint64_t)(int64_t)column[i] >= n_classes)
            return i;
    return -1;
}

/* out[i] = 2^exponent*weights[i] as float64; returns the position of the first weight that is negative or not finite,
 * or -1. Such a weight is written as -1. O(n). */
static ptrdiff_t EL(decode_weights)(const void *weights, ptrdiff_t n, int exponent, double *out) {
    const element *HF_RESTRICT weight = weights;
    const double factor = factor_of(exponent), scale = factor == 0 ? 1 : factor;
    double *HF_RESTRICT to = out;
    int bad = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const double w = (double)weight[i], scaled = w * scale;
        const int fits = w >= 0 && w <= DBL_MAX;
        bad |= !fits;
        to[i] = fits ? scaled : -1;
    }
    for (ptrdiff_t i = 0; bad && i < n; i++)
        if (to[i] < 0)
            return i;
    for (ptrdiff_t i = 0; factor == 0 && i < n; i++)
        to[i] = scaled_product(to[i], 1, exponent);
    return -1;
}
#undef element
#undef EL
