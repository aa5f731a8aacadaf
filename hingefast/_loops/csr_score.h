/* csr_score.h - the score stage of CSR rows: their entries times coef, one score a row or K. Knows no loss.
 *
 * Included once for each number type and type of column indices. A column index is clamped as it is read: one outside
 * [0, n_features) reads column 0, and the loop returns the place of the first row that has one (else -1). starts and ends
 * must lie within data and indices; n_features must not be 0 where a row has entries.
 */
#ifndef index_type /* opened alone */
#include "lanes.h"
#include "gather.h"
#endif

/* scores[i] = sum of data[k]*coef[indices[k]] over starts[i] <= k < ends[i], plus the intercept. Entry k of a row is added
 * into lane k mod 8, and the lanes are merged by halves. O(number of entries). */
static ptrdiff_t IX(csr_score_rows)(const void *data, const void *indices, const int64_t *starts,
                                    const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                    const void *coef, double intercept, void *scores) {
    const real *x = data, *w = coef;
    const index_type *index = indices;
    const uint64_t width = (uint64_t)n_features;
    real *out = scores;
    ptrdiff_t fault = -1;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        FN(eight) sum = FN(eight_zeros)();
        real lane[8];
        int64_t k = starts[i];
        const int64_t end = ends[i];
        int outside = 0;
        for (; k + 8 <= end; k += 8)
            IX(add_products)(&sum, x + k, index + k, 8, w, width, &outside);
        if (k < end)
            IX(add_products)(&sum, x + k, index + k, end - k, w, width, &outside);
        FN(store_eight)(lane, sum);
        out[i] = (((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]))) +
                 (real)intercept;
        fault = outside && fault < 0 ? i : fault;
    }
    return fault;
}

/* One row of n entries times `lines` lines of classes (a constant where this is inlined): csr_score_classes says more. */
HF_INLINE int IX(csr_score_lines)(const real *x, const index_type *index, int64_t n, uint64_t width,
                                  const real *w, ptrdiff_t stride, const int lines, real *out) {
    FN(line) sum[HF_CSR_LINES];
    int outside = 0;
    const int64_t step = hf_pinned((int64_t)stride);
    memset(sum, 0, sizeof sum);
    for (int64_t k = 0; k < n; k++) {
        const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k]);
        const real *at = w + (ptrdiff_t)(j < width ? j : 0) * step, entry = x[k];
        outside |= j >= width;
        HF_UNROLL
        for (int l = 0; l < lines; l++) {
            HF_UNROLL
            for (int p = 0; p < PARTS; p++)
                sum[l].p[p] += entry * FN(load_part)(at + l * LANES + p * PART_LANES);
        }
    }
    HF_UNROLL
    for (int l = 0; l < lines; l++) {
        HF_UNROLL
        for (int p = 0; p < PARTS; p++)
            FN(store_part)(out + l * LANES + p * PART_LANES, sum[l].p[p]);
    }
    return outside;
}

/* scores[i][k] = sum of data[e]*coef[k][indices[e]] over starts[i] <= e < ends[i], in order, plus intercepts[k], from
 * the copy that pack_features made with `stride` numbers a feature and a line to spare behind the last.
 * O(number of entries * n_classes). */
static ptrdiff_t IX(csr_score_classes)(const void *data, const void *indices, const int64_t *starts,
                                       const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                       const void *coef, ptrdiff_t stride, ptrdiff_t n_classes,
                                       const void *intercepts, void *scores) {
    const real *bias = intercepts;
    real *out = scores;
    ptrdiff_t fault = -1;
    for (ptrdiff_t i = 0; i < n_rows; i++, out += n_classes)
        for (ptrdiff_t at = 0; at < n_classes; at += HF_CSR_LINES * LANES) {
            const real *x = (const real *)data + starts[i], *w = (const real *)coef + at;
            const index_type *index = (const index_type *)indices + starts[i];
            const int64_t n = ends[i] - starts[i];
            const uint64_t width = (uint64_t)n_features;
            const ptrdiff_t left = n_classes - at, lines = (left + LANES - 1) / LANES;
            real sums[HF_CSR_LINES * HF_LINE_BYTES / sizeof(real)];
            int outside;
            if (lines == 1)
                outside = IX(csr_score_lines)(x, index, n, width, w, stride, 1, sums);
            else if (lines == 2 || HF_CSR_LINES == 2)
                outside = IX(csr_score_lines)(x, index, n, width, w, stride, 2, sums);
            else if (lines == 3)
                outside = IX(csr_score_lines)(x, index, n, width, w, stride,
                                              HF_CSR_LINES < 3 ? HF_CSR_LINES : 3, sums);
            else
                outside = IX(csr_score_lines)(x, index, n, width, w, stride, HF_CSR_LINES, sums);
            fault = outside && fault < 0 ? i : fault;
            for (ptrdiff_t k = 0; k < left && k < HF_CSR_LINES * LANES; k++)
                out[at + k] = sums[k] + bias[at + k];
        }
    return fault;
}

/* The same from coef itself, (n_classes, n_features) of float32 or float64 (`is_f64`, a constant where this is inlined),
 * rounded as it is read: for batches so small that a copy would cost more. Same bits. */
HF_INLINE real IX(coef_at)(const void *coef, const int is_f64, ptrdiff_t at) {
    return is_f64 ? (real)((const double *)coef)[at] : (real)((const float *)coef)[at];
}
HF_INLINE ptrdiff_t IX(score_unpacked)(const int is_f64, const void *data, const void *indices,
                                       const int64_t *starts, const int64_t *ends, ptrdiff_t n_rows,
                                       ptrdiff_t n_features, const void *coef, ptrdiff_t n_classes,
                                       const void *intercepts, void *scores) {
    const real *x = data, *bias = intercepts;
    const index_type *index = indices;
    real *HF_RESTRICT out = scores;
    ptrdiff_t fault = -1;
    for (ptrdiff_t i = 0; i < n_rows; i++, out += n_classes) {
        int outside = 0;
        memset(out, 0, (size_t)n_classes * sizeof(real));
        for (int64_t e = starts[i]; e < ends[i]; e++) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[e]);
            const ptrdiff_t at = (ptrdiff_t)(j < (uint64_t)n_features ? j : 0);
            outside |= j >= (uint64_t)n_features;
            for (ptrdiff_t k = 0; k < n_classes; k++)
                out[k] += x[e] * IX(coef_at)(coef, is_f64, at + k * n_features);
        }
        for (ptrdiff_t k = 0; k < n_classes; k++)
            out[k] += bias[k];
        fault = outside && fault < 0 ? i : fault;
    }
    return fault;
}
static ptrdiff_t IX(csr_score_unpacked_f32)(const void *data, const void *indices, const int64_t *starts,
                                            const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                            const void *coef, ptrdiff_t n_classes, const void *intercepts,
                                            void *scores) {
    return IX(score_unpacked)(0, data, indices, starts, ends, n_rows, n_features, coef, n_classes, intercepts,
                              scores);
}
static ptrdiff_t IX(csr_score_unpacked_f64)(const void *data, const void *indices, const int64_t *starts,
                                            const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                            const void *coef, ptrdiff_t n_classes, const void *intercepts,
                                            void *scores) {
    return IX(score_unpacked)(1, data, indices, starts, ends, n_rows, n_features, coef, n_classes, intercepts,
                              scores);
}
