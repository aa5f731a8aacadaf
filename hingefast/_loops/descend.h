/* descend.h - dual coordinate descent: rows visited one by one, each with a step in its dual variable and in coef.
 *
 * What a row of X is made of is dense_descend.h's and csr_descend.h's; here is what happens to its dual variable, once and
 * without a number type. The dual is a box and a diagonal: 0 <= a <= upper, gradient y*score - margin + diagonal*a.
 */
#ifndef HF_DESCEND_H
#define HF_DESCEND_H
#include "duet.h"

/* Smaller projected gradients, which are in units of the margin, are rounding: no step. */
#define HF_NO_GRADIENT 1e-14

/* How many rows ahead what comes next is asked for, and how many lines of it: the hardware follows from there. */
enum { HF_ROWS_AHEAD = 4, HF_LINES_AHEAD = 4 };
HF_INLINE void hf_prefetch_some(const void *x, size_t bytes) {
    const size_t last = bytes < HF_LINES_AHEAD * HF_LINE_BYTES ? bytes : HF_LINES_AHEAD * HF_LINE_BYTES;
    for (size_t at = 0; at < last; at += HF_LINE_BYTES)
        HF_PREFETCH((const char *)x + at);
}

/* -1 or 1: y of a row. */
HF_INLINE double hf_sign_of(const hf_dual_row *row) { return copysign(1.0, row->step); }

/* Whether a row is visited for the first time: its norm is not known. And to tell it, that of the row without the
 * intercept. */
HF_INLINE int hf_is_new(const hf_dual_row *row) { return row->step == 0; }
HF_INLINE void hf_set_norm(const hf_descent *state, hf_dual_row *row, double squares) {
    row->step = copysign(1 / (squares + row->diagonal + state->intercept_rate), row->step);
}

/* Visit the row at `place`, whose score is given: returns what is to be added to coef a row of X, and keeps the row among
 * the active ones unless it rests at a bound and its gradient would hold it there (Hsieh et al., A dual coordinate descent
 * method for large-scale linear SVM, ICML 2008). Its share of the duality gap before the step is added to `estimate`: by
 * Fenchel and Young, the loss less what the dual variable says of it. */
HF_INLINE double hf_visit(hf_descent *state, int64_t place, double score) {
    hf_dual_row *const row = state->rows + place;
    const double sign = hf_sign_of(row), a = row->value, upper = row->upper, diagonal = row->diagonal;
    const double lack = state->margin - sign * (score + state->intercept), gradient = diagonal * a - lack;
    const double at_end = upper * (lack - 0.5 * diagonal * upper), inside = lack * lack / (2 * diagonal);
    const double loss = lack <= 0 ? 0 : lack >= upper * diagonal ? at_end : inside;
    double projected = gradient, next, change;
    state->estimate += loss - a * (lack - 0.5 * diagonal * a);
    if (a <= 0) {
        if (gradient > state->high)
            return 0;
        projected = gradient < 0 ? gradient : 0;
    } else if (a >= upper) {
        if (gradient < state->low)
            return 0;
        projected = gradient > 0 ? gradient : 0;
    }
    state->order[state->n_kept++] = place;
    state->largest = projected > state->largest ? projected : state->largest;
    state->smallest = projected < state->smallest ? projected : state->smallest;
    if (projected < HF_NO_GRADIENT && projected > -HF_NO_GRADIENT)
        return 0;
    next = a - gradient * fabs(row->step);
    next = next > 0 ? next : 0;
    next = next < upper ? next : upper;
    row->value = next;
    change = sign * (next - a);
    state->intercept += state->intercept_rate * change;
    state->moved += change;
    return change;
}
#endif
