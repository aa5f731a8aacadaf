/* given.h - coef and outputs of the caller's number type, which need not be the one that is computed with.
 *
 * Included once for each number type and type of these (`element`), which are float32 and float64.
 */
#ifndef element /* opened alone */
#include "lanes.h"
#include "slope.h"
#define element double
#define EL(name) HF_JOIN(name, f64)
#endif

/* out[j] = coef[j] in this type. O(n). */
static void FN(EL(round_coef))(const void *coef, ptrdiff_t n, void *out) {
    const element *HF_RESTRICT from = coef;
    real *HF_RESTRICT to = out;
    for (ptrdiff_t j = 0; j < n; j++)
        to[j] = (real)from[j];
}

/* Copies of coef, (n_classes, n_features) of either type, with classes side by side, rounded and padded with zeros.
 * pack_panels: out[p][j] is the line of classes p*LANES and on, feature j. pack_features: out[j][k] with `stride` numbers a
 * feature. Both go over 64 features at a time, so that what they write is in a first-level cache.
 * O(n_classes * n_features). */
static void FN(EL(pack_panels))(const void *coef, ptrdiff_t n_classes, ptrdiff_t n_features, void *out) {
    real *to = out;
    for (ptrdiff_t at = 0; at < n_classes; at += LANES, to += n_features * LANES)
        for (ptrdiff_t first = 0; first < n_features; first += 64)
            for (ptrdiff_t k = 0; k < LANES; k++) {
                const element *from = (const element *)coef + (at + k) * n_features;
                for (ptrdiff_t j = first; j < first + 64 && j < n_features; j++)
                    to[j * LANES + k] = at + k < n_classes ? (real)from[j] : 0;
            }
}
static void FN(EL(pack_features))(const void *coef, ptrdiff_t n_classes, ptrdiff_t n_features,
                                  ptrdiff_t stride, void *out) {
    real *to = out;
    for (ptrdiff_t first = 0; first < n_features; first += 64)
        for (ptrdiff_t k = 0; k < stride; k++) {
            const element *from = (const element *)coef + k * n_features;
            for (ptrdiff_t j = first; j < first + 64 && j < n_features; j++)
                to[j * stride + k] = k < n_classes ? (real)from[j] : 0;
        }
}

/* out[i] = factor*x[i], out being float32 or float64. `stream` writes past the caches, which saves reading
 * the destination first; it overwrites x, and goes with equal element types only. O(n). */
static void FN(EL(store))(void *x, ptrdiff_t n, double factor, void *out, int stream) {
    const real by = (real)factor;
    const real *HF_RESTRICT from = x;
    element *HF_RESTRICT to = out;
    if (stream) {
        if (by != 1)
            FN(scale)(x, NULL, factor, n);
        hf_stream(out, x, (size_t)n * sizeof(element));
    } else
        for (ptrdiff_t i = 0; i < n; i++)
            to[i] = (element)(from[i] * by);
}

/* out[i,j] = weights[i]*factor*x[i,j], rounded once, for n rows of n_classes numbers; +0 where the weight is zero,
 * whatever x is. x may be out itself. O(n*n_classes). */
static void FN(EL(store_weighted))(const void *x, const double *weights, double factor, ptrdiff_t n,
                                   ptrdiff_t n_classes, void *out) {
    const real *from = x;
    element *to = out;
    for (ptrdiff_t i = 0; i < n; i++, from += n_classes, to += n_classes) {
        const double by = weights[i] * factor;
        for (ptrdiff_t j = 0; j < n_classes; j++)
            to[j] = weights[i] == 0 ? 0 : (element)(by * (double)from[j]);
    }
}
#undef element
#undef EL
