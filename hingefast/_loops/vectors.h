/* vectors.h - what a call does with coef-sized vectors: the penalty, the finished gradient, a step; and which rows take
 * part in a sparse step.
 *
 * Included once for float32 and once for float64: the type of the caller's coef and gradient, or of slopes.
 */
#ifndef real /* opened alone */
#include "real.h"
#endif

/* Sum of (scale*coef[j])^2 in float64, over 16 fixed lanes. O(n). */
HF_INLINE double FN(squared_norm)(const real *HF_RESTRICT w, double scale, ptrdiff_t n) {
    double sum[HF_VALUE_LANES] = {0};
    ptrdiff_t j = 0;
    for (; j + HF_VALUE_LANES <= n; j += HF_VALUE_LANES)
        for (int k = 0; k < HF_VALUE_LANES; k++) {
            const double at = (double)w[j + k] * scale;
            sum[k] += at * at;
        }
    for (int k = 0; j + k < n; k++) {
        const double at = (double)w[j + k] * scale;
        sum[k] += at * at;
    }
    return merge_lanes(sum);
}

/* alpha/2 times the sum of coef[j]^2. Where the squares leave the range of float64, with coef scaled by a power of two:
 * the result alone may overflow or vanish. O(n). */
static double FN(penalty)(double alpha, const void *coef, ptrdiff_t n) {
    const real *w = coef;
    const double norm = FN(squared_norm)(w, 1, n);
    double largest = 0, scale;
    if (norm != norm || (norm >= 0x1p-900 && norm <= DBL_MAX))
        return 0.5 * alpha * norm;
    for (ptrdiff_t j = 0; j < n; j++) {
        const double size = w[j] < 0 ? -(double)w[j] : (double)w[j];
        largest = size > largest ? size : largest;
    }
    scale = scale_of(largest); /* 1 for 0, and for infinity */
    return 0.5 * alpha / scale * FN(squared_norm)(w, scale, n) / scale;
}

/* out[j] = total[j]/divisor + alpha*coef[j], rounded once to the type of out and coef. O(n). */
static void FN(finish_grad)(const double *total, ptrdiff_t n, double divisor, double alpha, const void *coef,
                            void *out) {
    const double *HF_RESTRICT from = total;
    const real *w = coef; /* may be out itself: the element is read before it is written */
    real *to = out;
    if (alpha == 0)
        for (ptrdiff_t j = 0; j < n; j++)
            to[j] = (real)(from[j] / divisor);
    else
        for (ptrdiff_t j = 0; j < n; j++)
            to[j] = (real)(from[j] / divisor + alpha * (double)w[j]);
}

/* theta[j] -= rate*grad[j], in the type of theta, rate rounded to it. O(n). */
static void FN(step)(const void *grad, ptrdiff_t n, double rate, void *theta) {
    const real *HF_RESTRICT g = grad;
    real *HF_RESTRICT to = theta;
    const real by = (real)rate;
    for (ptrdiff_t j = 0; j < n; j++)
        to[j] -= by * g[j];
}

/* theta[k][columns[s]] -= rate * (total[s][k]/divisor), in the type of theta, for n columns (the first n where `columns`
 * is NULL) and n_classes rows of theta; total has `stride` numbers a column. A number of theta whose total is zero
 * stays as it is. O(n * n_classes). */
static void FN(step_columns)(const int64_t *columns, ptrdiff_t n, const double *total, ptrdiff_t stride,
                             ptrdiff_t n_classes, ptrdiff_t n_features, double divisor, double rate,
                             void *theta) {
    const real by = (real)rate;
    real change[64]; /* of as many columns as a block below */
    for (ptrdiff_t first = 0; first < n;
         first += 64) /* of whose totals every class finds its own in the cache */
        for (ptrdiff_t k = 0; k < n_classes; k++) {
            const double *HF_RESTRICT sum = total + first * stride + k;
            const ptrdiff_t length = n - first < 64 ? n - first : 64;
            real *to = (real *)theta + k * n_features;
            if (!columns || n_classes > 1) { /* few have a total */
                for (ptrdiff_t s = 0; s < length; s++)
                    if (sum[s * stride] != 0)
                        to[columns ? columns[first + s] : first + s] -=
                            by * (real)(sum[s * stride] / divisor);
                continue;
            }
            /* divided in lanes, and subtracted without a branch: no number changes by the 0 of an empty slot */
            for (ptrdiff_t s = 0; s < length; s++)
                change[s] = sum[s] != 0 ? by * (real)(sum[s] / divisor) : 0;
            for (ptrdiff_t s = 0; s < length; s++)
                to[columns[first + s]] -= change[s];
        }
}

/* Leaves rows without any slope no entries: ends[i] = starts[i]. O(n * n_classes). */
static void FN(drop_inactive)(const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, const int64_t *starts,
                              int64_t *ends) {
    const real *slope = slopes;
    for (ptrdiff_t i = 0; i < n; i++, slope += n_classes) {
        int is_active = 0;
        for (ptrdiff_t k = 0; k < n_classes; k++)
            is_active |= slope[k] != 0;
        ends[i] = is_active ? ends[i] : starts[i];
    }
}
