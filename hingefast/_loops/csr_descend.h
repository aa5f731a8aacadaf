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
    if (k < end) {
        HF_UNROLL
        for (int q = 0; q < 4; q++) {
            const int64_t at = k + q < end ? k + q : end - 1;
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[at]);
            if (j >= width)
                return 0;
            const double t = (double)x[at] * coef[j];
            lane[q] += k + q < end ? t : 0;
        }
    }
    *sum = (lane[0] + lane[2]) + (lane[1] + lane[3]);
    return 1;
}

/* How many entries of a row belong to the lower features; -1 where these do not come first. O(end - start). */
static int32_t IX(middle_of)(const index_type *index, int64_t start, int64_t end, int64_t split) {
    int64_t n_lower = 0, n_apart = 0;
    for (int64_t k = start; k < end; k++)
        n_lower += index[k] < split;
    for (int64_t k = start; k < start + n_lower; k++)
        n_apart += index[k] < split;
    return n_apart == n_lower && n_lower <= INT32_MAX ? (int32_t)n_lower : -1;
}

/* coef += change times the entries start .. end; 0 if an index is outside. */
HF_INLINE int IX(add_entries)(const real *HF_RESTRICT x, const index_type *HF_RESTRICT index, int64_t start,
                              int64_t end, double change, uint64_t width, double *HF_RESTRICT coef) {
    for (int64_t k = start; k < end; k++) {
        const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k]);
        if (j >= width)
            return 0;
        coef[j] += change * (double)x[k];
    }
    return 1;
}

/* Asks for the beginning of what comes next. */
HF_INLINE void IX(prefetch_entries)(const real *x, const index_type *index, int64_t start, int64_t end) {
    hf_prefetch_some(x + start, (size_t)(end - start) * sizeof *x);
    hf_prefetch_some(index + start, (size_t)(end - start) * sizeof *index);
}

/* Where the upper entries of each of n_rows rows begin, its end where rows are not halved; whether they could be halved, all
 * of them. O(number of entries), or O(n_rows) where these rows have been visited. */
static int IX(find_middles)(const index_type *index, const int64_t *starts, const int64_t *ends,
                            const int64_t *places, ptrdiff_t n_rows, const hf_descent *state,
                            int64_t *middles) {
    int are_apart = state->middles != NULL;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        int64_t n_lower = -1;
        if (state->middles) {
            int32_t *const known = state->middles + places[i];
            if (hf_is_new(state->rows + places[i])) {
                if (i + HF_ROWS_AHEAD < n_rows) {
                    const int64_t next = starts[i + HF_ROWS_AHEAD];
                    prefetch(index + next, (size_t)(ends[i + HF_ROWS_AHEAD] - next) * sizeof *index);
                }
                *known = IX(middle_of)(index, starts[i], ends[i], state->split);
            }
            n_lower = *known;
        }
        are_apart &= n_lower >= 0;
        middles[i] = n_lower >= 0 && n_lower < ends[i] - starts[i] ? starts[i] + n_lower : ends[i];
    }
    return are_apart;
}

/* Visit n_rows rows in order, HF_TURNS at most, those at `places` of the state's rows; the first of them where an index is
 * outside, at which it ends, or -1. O(number of entries). */
static ptrdiff_t IX(csr_descend_rows)(const void *data, const void *indices, const int64_t *starts,
                                      const int64_t *ends, const int64_t *places, ptrdiff_t n_rows,
                                      ptrdiff_t n_features, hf_descent *state) {
    const real *HF_RESTRICT x = data;
    const index_type *HF_RESTRICT index = indices;
    const uint64_t width = (uint64_t)n_features;
    hf_duet *duet = hf_has_help(state->duet) ? state->duet : NULL;
    int64_t own_middles[HF_TURNS], *const middles = duet ? duet->middles : own_middles;
    double sums[2], rest = 0;
    ptrdiff_t n_summed = 0, bad = -1, turn = 0;
    if (!IX(find_middles)(index, starts, ends, places, n_rows, state, middles))
        duet = NULL;
    if (duet) { /* the helper's half belongs to it until it is done */
        duet->data = data, duet->indices = indices, duet->starts = starts, duet->ends = ends;
        turn = ++duet->turn;
        hf_tell(&duet->asked, (double)n_rows, turn);
    }
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        hf_dual_row *const row = state->rows + places[i];
        double score, change = 0;
        for (; n_summed < n_rows && n_summed <= i + state->is_ahead && bad < 0; n_summed++) {
            const ptrdiff_t next = n_summed + HF_ROWS_AHEAD;
            double *const sum = sums + n_summed % 2;
            if (next < n_rows)
                IX(prefetch_entries)(x, index, starts[next], duet ? middles[next] : ends[next]);
            rest = 0;
            if (!IX(entries_dot)(x, index, starts[n_summed], middles[n_summed], state->coef, width, sum) ||
                (!duet && middles[n_summed] < ends[n_summed] &&
                 !IX(entries_dot)(x, index, middles[n_summed], ends[n_summed], state->coef, width, &rest)))
                bad = n_summed;
            *sum += rest;
        }
        if (bad < 0) {
            if (hf_is_new(row)) {
                double squares = 0;
                for (int64_t k = starts[i]; k < ends[i]; k++)
                    squares += (double)x[k] * (double)x[k];
                hf_set_norm(state, row, squares);
            }
            score = sums[i % 2];
            if (duet)
                score += hf_await(duet->sums + i, turn, &duet->is_late);
            change = hf_visit(state, places[i], score);
        }
        if (duet)
            hf_tell(duet->changes + i, change, turn);
        else if (bad >= 0)
            return bad;
        if (change != 0 &&
            !IX(add_entries)(x, index, starts[i], duet ? middles[i] : ends[i], change, width, state->coef))
            bad = i;
    }
    if (duet) {
        const ptrdiff_t bad_there = (ptrdiff_t)hf_await(&duet->done, turn, &duet->is_late);
        bad = bad < 0 || (bad_there >= 0 && bad_there < bad) ? bad_there : bad;
        if (duet->is_late)
            dismiss(duet);
    }
    return bad;
}

/* The helper's part of that: the upper features. */
static void IX(csr_help_descend)(hf_duet *duet, ptrdiff_t turn, ptrdiff_t n_rows, ptrdiff_t n_features,
                                 double *coef) {
    const real *HF_RESTRICT x = duet->data;
    const index_type *HF_RESTRICT index = duet->indices;
    const int64_t *const middles = duet->middles, *const ends = duet->ends;
    const uint64_t width = (uint64_t)n_features;
    ptrdiff_t bad = -1;
    int is_late;
    for (ptrdiff_t i = 0; i <= n_rows; i++) {
        double sum = 0, change;
        if (i + HF_ROWS_AHEAD < n_rows)
            IX(prefetch_entries)(x, index, middles[i + HF_ROWS_AHEAD], ends[i + HF_ROWS_AHEAD]);
        if (i < n_rows) {
            if (bad < 0 && !IX(entries_dot)(x, index, middles[i], ends[i], coef, width, &sum))
                bad = i;
            hf_tell(duet->sums + i, sum, turn);
        }
        if (i == 0)
            continue;
        change = hf_await(duet->changes + i - 1, turn, &is_late);
        if (change != 0 && !IX(add_entries)(x, index, middles[i - 1], ends[i - 1], change, width, coef))
            bad = i - 1;
    }
    hf_tell(&duet->done, (double)bad, turn);
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
