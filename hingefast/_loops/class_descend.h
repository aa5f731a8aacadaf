/* class_descend.h - dual coordinate descent for K classes: rows visited one by one, for all classes at once.
 *
 * One against the rest: K descents of one score a row (descend.h) in step, which read a row once. The strongest rival: the
 * exact step in the K - 1 dual variables of a row together (Keerthi et al., A sequential dual method for large scale multi-class linear
 * SVMs, KDD 2008; here for the whole S family, and for costs).
 *
 * A row of class c has variables b_j >= 0 for its rivals, of which the sum a is at most `upper`. Its loss is the largest
 * sum of b_j*(t_j - s_c + s_j) - diagonal/2*a^2; coef of rival j holds -b_j times the row, that of c holds a times it. Numbers of
 * a feature stand side by side, `stride` of them. Rows of X are dense_descend.h's and csr_descend.h's.
 */
#ifndef HF_CLASS_DESCEND_H
#define HF_CLASS_DESCEND_H
#include "descend.h"

/* Eight numbers of classes side by side. */
#if HF_VECTOR_BYTES
typedef double hf_eight __attribute__((vector_size(64), aligned(8), may_alias));
HF_INLINE void hf_add_to_eight(hf_eight *sum, const double *x, double a) { *sum += a * *(const hf_eight *)x; }
#else
typedef struct {
    double number[8];
} hf_eight;
HF_INLINE void hf_add_to_eight(hf_eight *sum, const double *x, double a) {
    for (int l = 0; l < 8; l++)
        sum->number[l] += a * x[l];
}
#endif

/* y += a*x, n numbers, a multiple of eight. */
HF_INLINE void hf_add_multiple(const double *x, double a, ptrdiff_t n, double *y) {
    for (ptrdiff_t j = 0; j < n; j += 8)
        hf_add_to_eight((hf_eight *)(y + j), x + j, a);
}

/* How many eights of scores are summed in registers at once. */
enum { HF_EIGHTS = 4 };

/* Visit the row at `place`, whose K scores without intercepts are given: writes to `change` by what coef changes a row of X,
 * and returns whether it does. Keeps the row among the active ones unless all its variables are 0 and its margin is far enough
 * beyond; adds its share of the gap to `estimate`. O(K) for each rival that leaves the step, as a rule few. */
static int hf_visit_classes(hf_class_descent *state, int64_t place, double *scores, double *change) {
    hf_dual_row *const row = state->rows + place;
    const ptrdiff_t n_classes = state->n_classes, own = state->columns[place];
    const double *costs = state->costs != NULL ? state->costs + own * n_classes : NULL;
    double *const b = state->dual + place * n_classes;
    const double square = row->step, upper = row->upper, diagonal = row->diagonal, a = row->value;
    double said = 0, lack = -INFINITY, level, sum, largest = 0, total = 0;
    double strongest_lack = 0;
    ptrdiff_t n_over, left, strongest = -1;
    for (ptrdiff_t j = 0; j < n_classes; j++)
        scores[j] += state->intercepts[j];
    for (ptrdiff_t j = 0; j < n_classes; j++) {
        const double of_j = (costs != NULL ? costs[j] : state->margin) - scores[own] + scores[j];
        if (j == own)
            continue;
        lack = of_j > lack ? of_j : lack;
        said += b[j] * of_j;
    }
    {
        const double at_end = upper * (lack - 0.5 * diagonal * upper), inside = lack * lack / (2 * diagonal);
        const double loss = lack <= 0 ? 0 : lack >= upper * diagonal ? at_end : inside;
        state->estimate += loss - (said - 0.5 * diagonal * a * a);
    }
    if (a == 0 && -lack > state->high)
        return 0;
    state->order[state->n_kept++] = place;
    if (a == 0 && lack <= 0)
        return 0;
    if (!(square > 0)) { /* a row of zeros, without an intercept: nothing moves its scores */
        for (ptrdiff_t j = 0; j < n_classes; j++) {
            const double of_j = costs != NULL ? costs[j] : state->margin;
            b[j] = 0;
            strongest = j != own && (strongest < 0 || of_j > strongest_lack) ? j : strongest;
            strongest_lack = strongest == j ? of_j : strongest_lack;
        }
        row->value = lack > 0 ? (lack < upper * diagonal ? lack / diagonal : upper) : 0;
        b[strongest] = row->value;
        return 0;
    }
    /* Scores as they would be without the row, those of rivals with what they need beside the own: those above `level` get
     * variables, (score - level)/square. Begin with all that could, and leave out who falls below. */
    level = scores[own] - square * a;
    for (ptrdiff_t j = 0; j < n_classes; j++)
        change[j] =
            j == own ? -INFINITY : scores[j] + square * b[j] + (costs != NULL ? costs[j] : state->margin);
    n_over = n_classes;
    do {
        left = n_over;
        n_over = 0;
        sum = 0;
        for (ptrdiff_t j = 0; j < n_classes; j++) {
            const int is_over = change[j] > level;
            sum += is_over ? change[j] : 0;
            n_over += is_over;
        }
        if (n_over == 0)
            break;
        /* sum of (score - level)/square = a and level = own + (square + diagonal)*a; or, beyond the end, a = upper */
        total = (scores[own] - square * a) * square + (square + diagonal) * sum;
        total /= square + (double)n_over * (square + diagonal);
        level = (sum - square * upper) / (double)n_over;
        level = total > level ? total : level;
    } while (n_over < left);
    total = 0;
    for (ptrdiff_t j = 0; j < n_classes; j++) {
        const double next = j != own && change[j] > level ? (change[j] - level) / square : 0;
        const double by = next - b[j];
        change[j] = -by;
        largest = fabs(by) > largest ? fabs(by) : largest;
        total += next;
        b[j] = next;
    }
    change[own] = total - a;
    row->value = total;
    largest *= square;
    state->largest = largest > state->largest ? largest : state->largest;
    for (ptrdiff_t j = 0; j < n_classes; j++)
        state->intercepts[j] += state->intercept_rate * change[j];
    return largest > HF_NO_GRADIENT;
}

/* The same for one class against the rest, each: hf_visit of K rows, so to speak. The row stays active while it does not rest
 * for all classes. O(K). */
static int hf_visit_each(hf_class_descent *state, int64_t place, double *scores, double *change) {
    const hf_dual_row *const row = state->rows + place;
    const ptrdiff_t n_classes = state->n_classes, own = state->columns[place];
    const double upper = row->upper, diagonal = row->diagonal, by = 1 / (row->step + diagonal);
    const double margin = state->margin, halved = 0.5 / diagonal, longest = upper * diagonal;
    const double *const intercepts = state->intercepts, *const high = state->of_classes,
                        *const low = high + n_classes;
    double *const largest = state->of_classes + 2 * n_classes, *const smallest = largest + n_classes;
    double *const b = state->dual + place * n_classes, lane[8] = {0};
    int64_t is_active = 0, is_changed = 0;
    ptrdiff_t j = 0;
    HF_IVDEP
    for (j = 0; j < n_classes; j++) {
        const double sign = j == own ? 1 : -1, a = b[j], lack = margin - sign * (scores[j] + intercepts[j]);
        const double inside = lack >= longest ? upper * (lack - 0.5 * longest) : lack * lack * halved;
        const double loss = lack <= 0 ? 0 : inside, gradient = diagonal * a - lack;
        const double fall = gradient < 0 ? gradient : 0, rise = gradient > 0 ? gradient : 0;
        const double projected = a <= 0 ? fall : a >= upper ? rise : gradient;
        const double beyond = a <= 0 ? gradient - high[j] : a >= upper ? low[j] - gradient : -1;
        const double moved = a - gradient * by, over = moved > 0 ? moved : 0,
                     next = over < upper ? over : upper;
        const double kept = projected >= HF_NO_GRADIENT || projected <= -HF_NO_GRADIENT ? next : a;
        largest[j] = projected > largest[j] ? projected : largest[j];
        smallest[j] = projected < smallest[j] ? projected : smallest[j];
        scores[j] = loss - a * (lack - 0.5 * diagonal * a);
        change[j] = sign * (kept - a);
        b[j] = kept;
        is_active |= beyond > 0 ? 0 : 1;
        is_changed |= kept != a ? 1 : 0;
    }
    for (j = 0; j + 8 <= n_classes; j += 8) {
        HF_UNROLL
        for (int l = 0; l < 8; l++)
            lane[l] += scores[j + l];
    }
    for (int l = 0; j + l < n_classes; l++)
        lane[l] += scores[j + l];
    state->estimate +=
        ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    if (is_active)
        state->order[state->n_kept++] = place;
    if (!is_changed)
        return 0;
    HF_IVDEP
    for (j = 0; j < n_classes; j++) {
        state->intercepts[j] += state->intercept_rate * change[j];
        state->of_classes[4 * n_classes + j] += change[j];
    }
    return 1;
}

/* Whichever it is. */
HF_INLINE int hf_visit_row(hf_class_descent *state, int64_t place, double *scores, double *change) {
    return state->of_classes != NULL ? hf_visit_each(state, place, scores, change)
                                     : hf_visit_classes(state, place, scores, change);
}
#endif
