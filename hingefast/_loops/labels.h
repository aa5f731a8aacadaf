/* labels.h - class labels into column numbers. Included once: knows no number type of scores and no loss. */

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

/* columns[i] = column of label i. Returns the position of the first label that is no class, or -1; such a label
 * gets column -1. O(n), O(n log n_classes) for labels that are not consecutive. */
#define HF_DEFINE_DECODE_CLASSES(SUFFIX, TYPE, IS_INT64)                                                     \
    static ptrdiff_t decode_classes_##SUFFIX(const void *labels, ptrdiff_t n,                                \
                                             const hf_class_labels *classes, int32_t *columns) {             \
        const TYPE *HF_RESTRICT label = labels;                                                              \
        int32_t *HF_RESTRICT column = columns;                                                               \
        const uint64_t first = (uint64_t)classes->first, n_classes = (uint64_t)classes->n_classes;           \
        int bad = 0;                                                                                         \
        if (classes->sorted == NULL)                                                                         \
            for (ptrdiff_t i = 0; i < n; i++) {                                                              \
                const TYPE at = label[i];                                                                    \
                const uint64_t k = IS_INT64 ? (uint64_t)(int64_t)at - first : n_classes;                     \
                column[i] = k < n_classes ? (int32_t)k : -1;                                                 \
            }                                                                                                \
        else                                                                                                 \
            for (ptrdiff_t i = 0; i < n; i++) {                                                              \
                const TYPE at = label[i];                                                                    \
                column[i] = IS_INT64 ? hf_find_class(classes, (int64_t)at) : -1;                             \
            }                                                                                                \
        /* Columns are indices later: what was written is looked at, not what was read. */                   \
        HF_READ_AGAIN();                                                                                     \
        for (ptrdiff_t i = 0; i < n; i++)                                                                    \
            bad |= (uint64_t)(int64_t)column[i] >= n_classes;                                                \
        for (ptrdiff_t i = 0; bad && i < n; i++)                                                             \
            if ((uint64_t)(int64_t)column[i] >= n_classes)                                                   \
                return i;                                                                                    \
        return -1;                                                                                           \
    }
HF_DEFINE_DECODE_CLASSES(i8, int8_t, 1)
HF_DEFINE_DECODE_CLASSES(u8, uint8_t, 1)
HF_DEFINE_DECODE_CLASSES(i16, int16_t, 1)
HF_DEFINE_DECODE_CLASSES(u16, uint16_t, 1)
HF_DEFINE_DECODE_CLASSES(i32, int32_t, 1)
HF_DEFINE_DECODE_CLASSES(u32, uint32_t, 1)
HF_DEFINE_DECODE_CLASSES(i64, int64_t, 1)
HF_DEFINE_DECODE_CLASSES(u64, uint64_t, at <= (uint64_t)INT64_MAX)
HF_DEFINE_DECODE_CLASSES(f32, float, hf_is_int64((double)at))
HF_DEFINE_DECODE_CLASSES(f64, double, hf_is_int64(at))

/* weights[i] = 2^exponent*weights[i]*of_class[columns[i]]. O(n). */
static void class_weights_by_column(const int32_t *columns, const double *of_class, int exponent, ptrdiff_t n,
                                    double *weights) {
    const double factor = factor_of(exponent);
    for (ptrdiff_t i = 0; factor == 0 && i < n; i++)
        weights[i] = scaled_product(weights[i], of_class[columns[i]], exponent);
    for (ptrdiff_t i = 0; factor != 0 && i < n; i++)
        weights[i] = factor_product(weights[i], of_class[columns[i]], factor);
}
