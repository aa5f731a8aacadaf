/* signs.h - binary labels into signs. Included once for each number type and type of labels (elements.h). */
#ifndef element /* opened alone */
#include "slope.h"
#define IS_FLOAT 1
#define IS_UNSIGNED 0
#define element double
#define EL(name) HF_JOIN(name, f64)
#endif

/* signs[i] = -1, +1, or 0 where label i is neither of the two classes. Narrow integers are compared as int32, which
 * compilers vectorise better. O(n). */
static void FN(EL(decode_labels))(const void *labels, ptrdiff_t n, const hf_classes *classes, void *signs) {
    const element *HF_RESTRICT label = labels;
    real *HF_RESTRICT sign = signs;
    if (IS_FLOAT) {
        const double low = classes->negative, high = classes->positive;
        for (ptrdiff_t i = 0; i < n; i++) {
            const double at = (double)label[i];
            sign[i] = FN(sign_of)(at == low, at == high);
        }
    } else if (sizeof(element) <= 2) {
        const int32_t low = hf_narrow(classes->negative_int), high = hf_narrow(classes->positive_int);
        for (ptrdiff_t i = 0; i < n; i++) {
            const int32_t at = (int32_t)label[i];
            sign[i] = FN(sign_of)(at == low, at == high);
        }
    } else if (IS_UNSIGNED && sizeof(element) == 8) {
        const uint64_t low = classes->negative_uint, high = classes->positive_uint;
        const real at_low = classes->negative_fits_uint ? -1 : 0,
                   at_high = classes->positive_fits_uint ? 1 : 0;
        for (ptrdiff_t i = 0; i < n; i++) {
            const uint64_t at = (uint64_t)label[i];
            sign[i] = at == high && at_high != 0 ? at_high : at == low ? at_low : 0;
        }
    } else {
        const int64_t low = classes->negative_int, high = classes->positive_int;
        for (ptrdiff_t i = 0; i < n; i++) {
            const int64_t at = (int64_t)label[i];
            sign[i] = FN(sign_of)(at == low, at == high);
        }
    }
}
#undef element
#undef EL
