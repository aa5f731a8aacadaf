/* csr_accumulate.h - the accumulate stage of CSR rows: entries times slopes, into the gradient of one score a row or K.
 * Knows no loss.
 *
 * Included once for each number type and type of column indices. Every number of the gradient, which is float64, receives
 * its rows in row order; rows whose slope is zero are skipped. An index is checked in the register that it is used from: at one
 * outside the loop over rows of one score ends; those of K scores add to column 0, of a gradient that is thrown away.
 */
#ifndef index_type /* opened alone */
#include "csr_score.h"
#define index_type int64_t
#define IX(name) FN(HF_JOIN(name, i64))
#endif

/* The rows at n_active places, which have a slope; behind the last place stands another that can be read. The bounds of a row
 * are read before the entries of the row before it are added: without that a row of 14 entries took 1.2 times as long
 * (Zen 4, loops alone). */
HF_NOINLINE ptrdiff_t IX(csr_accumulate_active)(const real *HF_RESTRICT x,
                                                const index_type *HF_RESTRICT index, const int64_t *starts,
                                                const int64_t *ends, const real *slopes,
                                                const int32_t *places, ptrdiff_t n_active, uint64_t width,
                                                double *HF_RESTRICT g) {
    const int32_t *const last = places + n_active;
    int64_t k = starts[*places], end = ends[*places];
    double slope = (double)slopes[*places];
    while (places < last) {
        const int32_t next = *++places;
        const int64_t next_start = starts[next], next_end = ends[next];
        const double next_slope = (double)slopes[next];
        for (; k + 4 <= end; k += 4) { /* four indices ahead of the additions, which wait for one another */
            uint64_t j[4];
            HF_UNROLL
            for (int q = 0; q < 4; q++) {
                j[q] = (uint64_t)hf_pinned((int64_t)index[k + q]);
                if (j[q] >= width)
                    return places[-1];
            }
            HF_UNROLL
            for (int q = 0; q < 4; q++)
                g[j[q]] += (double)x[k + q] * slope;
        }
        for (; k < end; k++) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k]);
            if (j >= width)
                return places[-1];
            g[j] += (double)x[k] * slope;
        }
        k = next_start;
        end = next_end;
        slope = next_slope;
    }
    return -1;
}

/* grad[indices[k]] += slopes[i]*data[k] over the entries of n_rows rows, in order; the place of the row where an index is
 * outside, or -1. O(number of entries of rows with a slope). */
static ptrdiff_t IX(csr_accumulate_rows)(const void *data, const void *indices, const int64_t *starts,
                                         const int64_t *ends, const void *slopes, ptrdiff_t n_rows,
                                         ptrdiff_t n_features, double *grad) {
    enum { AT_ONCE = 512 };
    int32_t places[AT_ONCE + 1];
    for (ptrdiff_t at = 0; at < n_rows; at += AT_ONCE) {
        const real *slope = (const real *)slopes + at;
        const ptrdiff_t n = n_rows - at < AT_ONCE ? n_rows - at : AT_ONCE;
        const ptrdiff_t n_active = FN(rows_with_slope)(slope, n, places);
        places[n_active] = 0;
        const ptrdiff_t fault = IX(csr_accumulate_active)(data, indices, starts + at, ends + at, slope,
                                                          places, n_active, (uint64_t)n_features, grad);
        if (fault >= 0)
            return at + fault;
    }
    return -1;
}

/* grad[indices[e]][k] += slopes[k]*data[e] for the n entries of one row, where there is a slope: elsewhere g stays,
 * whatever the entry is. Of all n_classes (a constant where they fill so few lines that their slopes stay in
 * registers), of two, or of n_active. csr_accumulate_classes, which calls them, says more. The stride is pinned: gcc
 * would read it from the stack for each entry, which took a tenth longer. */
HF_INLINE double *IX(sums_of_feature)(double *grad, const index_type *index, uint64_t width, int64_t stride) {
    const uint64_t j = (uint64_t)hf_pinned((int64_t)*index);
    return grad + (int64_t)(j < width ? j : 0) * stride;
}
HF_INLINE void IX(csr_accumulate_all)(const real *x, const index_type *index, int64_t n, const int asks,
                                      uint64_t width, const double *HF_RESTRICT slopes, ptrdiff_t stride,
                                      ptrdiff_t n_classes, double *grad) {
    const int64_t step = hf_pinned(stride);
    for (int64_t e = 0; e < n; e++) {
        double *HF_RESTRICT g = IX(sums_of_feature)(grad, index + e, width, step);
        const double entry = (double)x[e];
        if (asks)
            IX(prefetch_column)(grad, index + e + COLUMNS_AHEAD, step * (ptrdiff_t)sizeof *grad,
                                n_classes * (ptrdiff_t)sizeof *grad);
        HF_VECTORISE
        for (ptrdiff_t k = 0; k < n_classes; k++) {
            const double sum = g[k] + entry * slopes[k];
            g[k] = slopes[k] != 0 ? sum : g[k];
        }
    }
}
HF_INLINE void IX(csr_accumulate_lines)(const real *x, const index_type *index, int64_t n, int64_t n_ahead,
                                        uint64_t width, const double *slopes, ptrdiff_t stride,
                                        const int lines, double *grad) {
    const int64_t first = n_ahead < 0 ? 0 : n_ahead < n ? n_ahead : n;
    if (first > 0)
        IX(csr_accumulate_all)(x, index, first, 1, width, slopes, stride, lines * HF_F64_LANES, grad);
    IX(csr_accumulate_all)(x + first, index + first, n - first, 0, width, slopes, stride,
                           lines * HF_F64_LANES, grad);
}
HF_INLINE void IX(csr_accumulate_two)(const real *x, const index_type *index, int64_t n, int64_t n_ahead,
                                      uint64_t width, const double *slopes, ptrdiff_t stride,
                                      const int32_t *active, double *grad) {
    const int64_t step = hf_pinned(stride), first = active[0], second = active[1];
    const double first_slope = slopes[0], second_slope = slopes[1];
    for (int64_t e = 0; e < n; e++) {
        if (e < n_ahead) {
            IX(prefetch_column)(grad + first, index + e + COLUMNS_AHEAD, step * (ptrdiff_t)sizeof *grad, 1);
            IX(prefetch_column)(grad + second, index + e + COLUMNS_AHEAD, step * (ptrdiff_t)sizeof *grad, 1);
        }
        double *g = IX(sums_of_feature)(grad, index + e, width, step);
        const double entry = (double)x[e];
        g[first] += entry * first_slope;
        g[second] += entry * second_slope;
    }
}
HF_INLINE void IX(csr_accumulate_few)(const real *x, const index_type *index, int64_t n, int64_t n_ahead,
                                      uint64_t width, const double *HF_RESTRICT slopes, ptrdiff_t stride,
                                      const int32_t *HF_RESTRICT active, ptrdiff_t n_active, double *grad) {
    const int64_t step = hf_pinned(stride);
    for (int64_t e = 0; e < n; e++) {
        for (ptrdiff_t a = 0; e < n_ahead && a < n_active; a++)
            IX(prefetch_column)(grad + active[a], index + e + COLUMNS_AHEAD, step * (ptrdiff_t)sizeof *grad,
                                1);
        double *HF_RESTRICT g = IX(sums_of_feature)(grad, index + e, width, step);
        const double entry = (double)x[e];
        for (ptrdiff_t a = 0; a < n_active; a++)
            g[active[a]] += entry * slopes[a];
    }
}

/* grad[indices[e]][k] += slopes[i][k]*data[e] in float64 over the entries of n_rows CSR rows, in order, for the classes k
 * for which the row has a slope; grad has `stride` numbers a feature. `active` and `active_slopes` are
 * space for n_classes numbers each. O(number of entries * active classes). */
static void IX(csr_accumulate_classes)(const void *data, const void *indices, const int64_t *starts,
                                       const int64_t *ends, const void *slopes, ptrdiff_t n_rows,
                                       ptrdiff_t n_features, ptrdiff_t n_classes, ptrdiff_t stride,
                                       int32_t *active, double *active_slopes, double *grad) {
    const real *slope = slopes;
    const uint64_t width = (uint64_t)n_features;
    const ptrdiff_t lines = stride / HF_F64_LANES;
    const int64_t ahead_end = IX(end_of_asking)(ends, n_rows, n_features * stride * (ptrdiff_t)sizeof *grad);
    for (ptrdiff_t i = 0; i < n_rows; i++, slope += n_classes) {
        const real *x = (const real *)data + starts[i];
        const index_type *index = (const index_type *)indices + starts[i];
        const int64_t n = ends[i] - starts[i], n_ahead = ahead_end - starts[i];
        ptrdiff_t n_active = 0;
        for (ptrdiff_t k = 0; k < n_classes; k++) {
            active[n_active] = (int32_t)k;
            active_slopes[n_active] = (double)slope[k];
            n_active += slope[k] != 0;
        }
        if (4 * n_active < n_classes) {
            if (n_active == 2)
                IX(csr_accumulate_two)(x, index, n, n_ahead, width, active_slopes, stride, active, grad);
            else if (n_active > 0)
                IX(csr_accumulate_few)(x, index, n, n_ahead, width, active_slopes, stride, active, n_active,
                                       grad);
            continue;
        }
        if (lines == 0 || lines > HF_CSR_LINES) {
            for (ptrdiff_t k = 0; k < n_classes; k++)
                active_slopes[k] = (double)slope[k];
            IX(csr_accumulate_all)(x, index, n, 0, width, active_slopes, stride, n_classes, grad);
            continue;
        }
        double padded[HF_CSR_LINES * HF_F64_LANES] = {0};
        for (ptrdiff_t k = 0; k < n_classes; k++)
            padded[k] = (double)slope[k];
        if (lines == 1)
            IX(csr_accumulate_lines)(x, index, n, n_ahead, width, padded, stride, 1, grad);
        else if (lines == 2 || HF_CSR_LINES == 2)
            IX(csr_accumulate_lines)(x, index, n, n_ahead, width, padded, stride, 2, grad);
        else if (lines == 3)
            IX(csr_accumulate_lines)(x, index, n, n_ahead, width, padded, stride, 3, grad);
        else
            IX(csr_accumulate_lines)(x, index, n, n_ahead, width, padded, stride, 4, grad);
    }
}
