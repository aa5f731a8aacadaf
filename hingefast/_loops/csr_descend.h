/* csr_descend.h - dual coordinate descent over CSR rows. Included once for each number type and type of column indices; coef
 * and all sums are float64. An index is checked each time that it is used.
 */
#ifndef index_type /* opened alone */
#include "csr_score.h"
#include "dense_descend.h"
#define index_type int64_t
#define IX(name) FN(HF_JOIN(name, i64))
#endif

/* The dot product of the entries first .. end and coef, entry k of a row in lane k mod 4; a NaN is no sign of it, but
 * `*outside` becomes 1 where an index is outside. */
HF_INLINE double IX(entries_dot)(const real *HF_RESTRICT x, const index_type *HF_RESTRICT index, int64_t k,
                                 int64_t end, const double *HF_RESTRICT coef, uint64_t width, int *outside) {
    double lane[4] = {0};
    for (; k + 4 <= end; k += 4) {
        HF_UNROLL
        for (int q = 0; q < 4; q++) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k + q]);
            *outside |= j >= width;
            lane[q] += (double)x[k + q] * coef[j < width ? j : 0];
        }
    }
    for (int q = 0; k + q < end; q++) {
        const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k + q]);
        *outside |= j >= width;
        lane[q] += (double)x[k + q] * coef[j < width ? j : 0];
    }
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

/* Visit n_rows rows in order, those at `places` of the state's rows; the first of them where an index is outside, at which it
 * ends, or -1. O(number of entries). */
static ptrdiff_t IX(csr_descend_rows)(const void *data, const void *indices, const int64_t *starts,
                                      const int64_t *ends, const int64_t *places, ptrdiff_t n_rows,
                                      ptrdiff_t n_features, hf_descent *state) {
    const real *HF_RESTRICT x = data;
    const index_type *HF_RESTRICT index = indices;
    double *HF_RESTRICT coef = state->coef;
    const uint64_t width = (uint64_t)n_features;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        hf_dual_row *const row = state->rows + places[i];
        int outside = 0;
        double score, change;
        if (i + 1 < n_rows) {
            HF_PREFETCH(x + starts[i + 1]);
            HF_PREFETCH((const char *)(x + starts[i + 1]) + HF_LINE_BYTES);
            HF_PREFETCH(index + starts[i + 1]);
        }
        if (hf_is_new(row)) {
            double squares = 0;
            for (int64_t k = starts[i]; k < ends[i]; k++)
                squares += (double)x[k] * (double)x[k];
            hf_set_norm(state, row, squares);
        }
        score = IX(entries_dot)(x, index, starts[i], ends[i], coef, width, &outside);
        if (outside)
            return i;
        change = hf_visit(state, places[i], score);
        if (change == 0)
            continue;
        for (int64_t k = starts[i]; k < ends[i]; k++) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k]);
            if (j >= width)
                return i;
            coef[j] += change * (double)x[k];
        }
    }
    return -1;
}

/* The same for K classes. O(number of entries * n_classes). */
static ptrdiff_t IX(csr_descend_class_rows)(const void *data, const void *indices, const int64_t *starts,
                                            const int64_t *ends, const int64_t *places, ptrdiff_t n_rows,
                                            ptrdiff_t n_features, hf_class_descent *state) {
    const real *HF_RESTRICT x = data;
    const index_type *HF_RESTRICT index = indices;
    const ptrdiff_t stride = state->stride;
    const uint64_t width = (uint64_t)n_features;
    double *const scores = state->space, *const change = scores + stride;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        hf_dual_row *const row = state->rows + places[i];
        memset(scores, 0, (size_t)(2 * stride) * sizeof *scores);
        if (row->step == 0) {
            double squares = 0;
            for (int64_t k = starts[i]; k < ends[i]; k++)
                squares += (double)x[k] * (double)x[k];
            row->step = squares + state->intercept_rate;
        }
        for (int64_t k = starts[i]; k < ends[i]; k++) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k]);
            if (j >= width)
                return i;
            hf_add_multiple(state->coef + j * (size_t)stride, (double)x[k], stride, scores);
        }
        if (!hf_visit_row(state, places[i], scores, change))
            continue;
        for (int64_t k = starts[i]; k < ends[i]; k++) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k]);
            if (j >= width)
                return i;
            hf_add_multiple(change, (double)x[k], stride, state->coef + j * (size_t)stride);
        }
    }
    return -1;
}
