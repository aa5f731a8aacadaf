/* margin_loss.h - the slope stage of one score a row: one formula over margins.
 *
 * Included once for each family of losses and number type (family.h). All loops are elementwise.
 */

/* n rows: values[i] = phi, slopes[i] = factor * d phi / d score. Either output may be NULL, and the other then has the
 * same bits. Adding +0 makes the slope of an inactive row +0 for y = -1 too. Returns whether a sign was neither -1 nor
 * +1. O(n). */
static int OF(margin_loss)(const hf_loss *loss, const void *signs, const void *scores, ptrdiff_t n,
                           double factor, void *values, void *slopes) {
    const hf_loss fixed = *loss;
    const real *HF_RESTRICT y = signs, *HF_RESTRICT z = scores;
    real *HF_RESTRICT value = values, *HF_RESTRICT grad = slopes, slope;
    const real margin = (real)fixed.margin, by = (real)factor;
    FN(bit_pattern) bad = 0;
    if (values == NULL)
        for (ptrdiff_t i = 0; i < n; i++) {
            const real u = margin - y[i] * z[i];
            (void)FN(FAMILY)(&fixed, u, &slope);
            grad[i] = (y[i] * slope + 0) * by;
            bad |= FN(differs_from_sign)(y[i]);
        }
    else if (slopes == NULL)
        for (ptrdiff_t i = 0; i < n; i++) {
            const real u = margin - y[i] * z[i];
            value[i] = FN(FAMILY)(&fixed, u, &slope);
            bad |= FN(differs_from_sign)(y[i]);
        }
    else
        for (ptrdiff_t i = 0; i < n; i++) {
            const real u = margin - y[i] * z[i];
            value[i] = FN(FAMILY)(&fixed, u, &slope);
            grad[i] = (y[i] * slope + 0) * by;
            bad |= FN(differs_from_sign)(y[i]);
        }
    return bad != 0;
}

/* curvatures[i] = phi''(y*z), for n rows. O(n). */
static void OF(curvature)(const hf_loss *loss, const void *signs, const void *scores, ptrdiff_t n,
                          void *curvatures) {
    const hf_loss fixed = *loss;
    const real *HF_RESTRICT y = signs, *HF_RESTRICT z = scores;
    real *HF_RESTRICT out = curvatures;
    const real margin = (real)fixed.margin;
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = FN(HF_JOIN(FAMILY, curvature))(&fixed, margin - y[i] * z[i]);
}

/* One margin m, rounded to the number type: out = phi(m), phi'(m), phi''(m). For solvers that change coef after every
 * row. O(1). */
static void OF(scalar)(const hf_loss *loss, double margin, double *out) {
    const real u = (real)loss->margin - (real)margin;
    real slope;
    out[0] = FN(FAMILY)(loss, u, &slope);
    out[1] = slope + 0; /* +0 where the loss is flat, as in margin_loss */
    out[2] = FN(HF_JOIN(FAMILY, curvature))(loss, u);
}
