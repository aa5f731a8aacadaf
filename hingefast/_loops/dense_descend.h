/* dense_descend.h - dual coordinate descent over dense rows. Included once for float32 and once for float64; coef and all sums
 * are float64.
 */
#ifndef real /* opened alone */
#include "accumulate.h"
#endif

/* The dot product of a row and coef in eight lanes by column, merged by halves. */
HF_INLINE double FN(row_dot)(const real *HF_RESTRICT x, const double *HF_RESTRICT coef, ptrdiff_t n) {
    double lane[8] = {0};
    ptrdiff_t j = 0;
    for (; j + 8 <= n; j += 8) {
        HF_UNROLL
        for (int l = 0; l < 8; l++)
            lane[l] += (double)x[j + l] * coef[j + l];
    }
    for (int l = 0; j + l < n; l++)
        lane[l] += (double)x[j + l] * coef[j + l];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Visit n_rows rows in order, those at `places` of the state's rows. O(n_rows * n_features). */
static void FN(descend_rows)(const void *const *rows, const int64_t *places, ptrdiff_t n_rows,
                             ptrdiff_t n_features, hf_descent *state) {
    double *HF_RESTRICT coef = state->coef;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const real *HF_RESTRICT x = rows[i];
        hf_dual_row *const row = state->rows + places[i];
        double change;
        if (i + HF_ROWS_AHEAD < n_rows)
            hf_prefetch_some(rows[i + HF_ROWS_AHEAD], (size_t)n_features * sizeof *x);
        if (hf_is_new(row)) {
            double squares = 0;
            for (ptrdiff_t j = 0; j < n_features; j++)
                squares += (double)x[j] * (double)x[j];
            hf_set_norm(state, row, squares);
        }
        change = hf_visit(state, places[i], FN(row_dot)(x, coef, n_features));
        if (change == 0)
            continue;
        for (ptrdiff_t j = 0; j < n_features; j++)
            coef[j] += change * (double)x[j];
    }
}

/* Eights `first` to `first + n` of the scores of a row. */
HF_INLINE void FN(row_eights)(const real *x, ptrdiff_t n_features, const double *coef, ptrdiff_t stride,
                              const int n, double *scores) {
    hf_eight sum[HF_EIGHTS];
    memset(sum, 0, sizeof sum);
    for (ptrdiff_t j = 0; j < n_features; j++) {
        HF_UNROLL
        for (int e = 0; e < n; e++)
            hf_add_to_eight(sum + e, coef + j * stride + 8 * e, (double)x[j]);
    }
    memcpy(scores, sum, (size_t)n * sizeof *sum);
}

/* The same for K classes. O(n_rows * n_features * n_classes). */
static void FN(descend_class_rows)(const void *const *rows, const int64_t *places, ptrdiff_t n_rows,
                                   ptrdiff_t n_features, hf_class_descent *state) {
    const ptrdiff_t stride = state->stride;
    double *const scores = state->space, *const change = scores + stride;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const real *HF_RESTRICT x = rows[i];
        hf_dual_row *const row = state->rows + places[i];
        if (row->step == 0) {
            double squares = 0;
            for (ptrdiff_t j = 0; j < n_features; j++)
                squares += (double)x[j] * (double)x[j];
            row->step = squares + state->intercept_rate;
        }
        for (ptrdiff_t c = 0; c < stride; c += 8 * HF_EIGHTS) {
            const double *const coef = state->coef + c;
            switch ((stride - c) / 8) {
            case 1:
                FN(row_eights)(x, n_features, coef, stride, 1, scores + c);
                break;
            case 2:
                FN(row_eights)(x, n_features, coef, stride, 2, scores + c);
                break;
            case 3:
                FN(row_eights)(x, n_features, coef, stride, 3, scores + c);
                break;
            default:
                FN(row_eights)(x, n_features, coef, stride, HF_EIGHTS, scores + c);
            }
        }
        if (!hf_visit_row(state, places[i], scores, change))
            continue;
        for (ptrdiff_t j = 0; j < n_features; j++)
            hf_add_multiple(change, (double)x[j], stride, state->coef + j * stride);
    }
}
