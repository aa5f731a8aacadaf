/* csr_descend.h - dual coordinate descent over CSR rows. Included once for each number type and type of column indices; coef
 * and all sums are float64. An index is checked each time that it is used.
 */
#ifndef index_type /* opened alone */
#include "csr_score.h"
#include "dense_descend.h"
#define index_type int64_t
#define IX(name) FN(HF_JOIN(name, i64))
#endif

/* *sum = the dot product of the entries first .. end and coef, entry k of a row in lane k mod 4; 0 if an index is outside. */
HF_INLINE int IX(entries_dot)(const real *HF_RESTRICT x, const index_type *HF_RESTRICT index, int64_t k,
                              int64_t end, const double *HF_RESTRICT coef, uint64_t width, double *sum) {
    double lane[4] = {0};
    for (; k + 4 <= end; k += 4) {
        HF_UNROLL
        for (int q = 0; q < 4; q++) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k + q]);
            if (j >= width)
                return 0;
            lane[q] += (double)x[k + q] * coef[j];
        }
    }
    for (int q = 0; k + q < end; q++) {
        const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k + q]);
        if (j >= width)
            return 0;
        lane[q] += (double)x[k + q] * coef[j];
    }
    *sum = (lane[0] + lane[2]) + (lane[1] + lane[3]);
    return 1;
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
        double score, change;
        if (i + HF_ROWS_AHEAD < n_rows) {
            const int64_t next = starts[i + HF_ROWS_AHEAD], size = ends[i + HF_ROWS_AHEAD] - next;
            hf_prefetch_some(x + next, (size_t)size * sizeof *x);
            hf_prefetch_some(index + next, (size_t)size * sizeof *index);
        }
        if (hf_is_new(row)) {
            double squares = 0;
            for (int64_t k = starts[i]; k < ends[i]; k++)
                squares += (double)x[k] * (double)x[k];
            hf_set_norm(state, row, squares);
        }
        if (!IX(entries_dot)(x, index, starts[i], ends[i], coef, width, &score))
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

/* n eights of the scores of a row, unless an index is outside: then 0. */
HF_INLINE int IX(entries_eights)(const real *x, const index_type *index, int64_t k, int64_t end,
                                 const double *coef, ptrdiff_t stride, uint64_t width, const int n,
                                 double *scores) {
    hf_eight sum[HF_EIGHTS];
    memset(sum, 0, sizeof sum);
    for (; k < end; k++) {
        const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k]);
        if (j >= width)
            return 0;
        HF_UNROLL
        for (int e = 0; e < n; e++)
            hf_add_to_eight(sum + e, coef + j * (size_t)stride + 8 * e, (double)x[k]);
    }
    memcpy(scores, sum, (size_t)n * sizeof *sum);
    return 1;
}

/* The scores of a row for all classes, likewise. */
static int IX(entries_scores)(const real *x, const index_type *index, int64_t start, int64_t end,
                              const double *coef, ptrdiff_t stride, uint64_t width, double *scores) {
    int is_inside = 1;
    for (ptrdiff_t c = 0; c < stride && is_inside; c += 8 * HF_EIGHTS) {
        const double *const of = coef + c;
        switch ((stride - c) / 8) {
        case 1:
            is_inside = IX(entries_eights)(x, index, start, end, of, stride, width, 1, scores + c);
            break;
        case 2:
            is_inside = IX(entries_eights)(x, index, start, end, of, stride, width, 2, scores + c);
            break;
        case 3:
            is_inside = IX(entries_eights)(x, index, start, end, of, stride, width, 3, scores + c);
            break;
        default:
            is_inside = IX(entries_eights)(x, index, start, end, of, stride, width, HF_EIGHTS, scores + c);
        }
    }
    return is_inside;
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
        if (i + HF_ROWS_AHEAD < n_rows) {
            const int64_t next = starts[i + HF_ROWS_AHEAD], size = ends[i + HF_ROWS_AHEAD] - next;
            hf_prefetch_some(x + next, (size_t)size * sizeof *x);
            hf_prefetch_some(index + next, (size_t)size * sizeof *index);
        }
        if (row->step == 0) {
            double squares = 0;
            for (int64_t k = starts[i]; k < ends[i]; k++)
                squares += (double)x[k] * (double)x[k];
            row->step = squares + state->intercept_rate;
        }
        if (!IX(entries_scores)(x, index, starts[i], ends[i], state->coef, stride, width, scores))
            return i;
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
