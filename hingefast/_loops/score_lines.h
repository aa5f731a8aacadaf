/* score_lines.h - the slope stage over given scores, sixteen rows at a time.
 *
 * Included once for each family of losses and number type (family.h). score_task.h says why.
 */

/* n rows, a multiple of sixteen: row i is added into lane i mod 16, and slopes[i] = factor * d phi / d score where
 * slopes is not NULL. With `stream` they go past the caches, and begin at a cache line. O(n). */
HF_INLINE FN(task_sums) OF(loss_of_lines)(const int kind, const hf_loss *given, const void *labels,
                                          hf_byte_classes classes, const real *scores, ptrdiff_t n,
                                          real factor, real *slopes, int stream, FN(task_sums) sums) {
    const hf_loss loss = *given;
    const FN(part) one = (real)1 - FN(no_part)();
    for (ptrdiff_t i = 0; i < n; i += HF_VALUE_LANES) {
        const FN(sixteen) y = FN(sixteen_signs)(kind, labels, i, classes), z = FN(load_sixteen)(scores + i);
        FN(sixteen) d;
        real u[HF_VALUE_LANES], value[HF_VALUE_LANES], slope[HF_VALUE_LANES];
        HF_UNROLL
        for (int p = 0; p < SIXTEEN_PARTS; p++) {
            sums.wrong |= FN(bits_of_part)(y.p[p]) ^ FN(bits_of_part)(one);
            FN(store_part)(u + p * PART_LANES, (real)loss.margin - y.p[p] * z.p[p]);
        }
        HF_VECTORISE
        for (int k = 0; k < HF_VALUE_LANES; k++)
            value[k] = FN(FAMILY)(&loss, u[k], &slope[k]);
        FN(add_wide)(&sums.values, value);
        if (IS_FLAT_HINGE) {
            /* The same bits in fewer operations: an inactive row's value is +0 or NaN. */
            real sign[HF_VALUE_LANES];
            FN(store_sixteen)(sign, y);
            HF_VECTORISE
            for (int k = 0; k < HF_VALUE_LANES; k++)
                slope[k] = u[k] > 0 ? sign[k] * -factor : value[k];
            d = FN(load_sixteen)(slope);
        } else {
            d = FN(load_sixteen)(slope);
            HF_UNROLL
            for (int p = 0; p < SIXTEEN_PARTS; p++)
                d.p[p] = (y.p[p] * d.p[p] + 0) * factor; /* + 0: an inactive row of y = -1 has slope +0 too */
        }
        if (stream)
            FN(stream_sixteen)(slopes + i, d);
        else if (slopes)
            FN(store_sixteen)(slopes + i, d);
    }
    return sums;
}

/* The same for each kind of labels; not inlined, for loss_of_task calls one of them in a loop. */
HF_NOINLINE FN(task_sums) OF(loss_of_signs)(const hf_loss *loss, const void *labels, hf_byte_classes classes,
                                            const real *scores, ptrdiff_t n, real factor, real *slopes,
                                            int stream, FN(task_sums) sums) {
    return OF(loss_of_lines)(HF_SIGNS, loss, labels, classes, scores, n, factor, slopes, stream, sums);
}
HF_NOINLINE FN(task_sums) OF(loss_of_int8_signs)(const hf_loss *loss, const void *labels,
                                                 hf_byte_classes classes, const real *scores, ptrdiff_t n,
                                                 real factor, real *slopes, int stream, FN(task_sums) sums) {
    return OF(loss_of_lines)(HF_INT8_SIGNS, loss, labels, classes, scores, n, factor, slopes, stream, sums);
}
HF_NOINLINE FN(task_sums) OF(loss_of_bytes)(const hf_loss *loss, const void *labels, hf_byte_classes classes,
                                            const real *scores, ptrdiff_t n, real factor, real *slopes,
                                            int stream, FN(task_sums) sums) {
    return OF(loss_of_lines)(HF_BYTES, loss, labels, classes, scores, n, factor, slopes, stream, sums);
}

/* A task of n rows, see loss_of_task. O(n). */
static int OF(loss_of_scores)(const hf_loss *loss, const hf_labels *labels, const void *scores, ptrdiff_t n,
                              double factor, double *lanes, void *slopes, int stream) {
    static FN(loss_of_lines_of) *const of_kind[] = {OF(loss_of_signs), OF(loss_of_int8_signs),
                                                    OF(loss_of_bytes)};
    return FN(loss_of_task)(of_kind, loss, labels, scores, n, (real)factor, lanes, slopes, stream);
}
