/* interior.h - the rows' part of an interior-point iteration (hingefast/solvers/interior_point.py has the method).
 *
 * A row has a dual variable a inside (0, upper), multipliers p and q > 0 of its two bounds, and a score z. All loops go over
 * n rows, elementwise, with sums and minima in eight lanes by the row's place. Without an upper end (`has_end` 0) what
 * belongs to it is 0.
 */
#ifndef HF_INTERIOR_H
#define HF_INTERIOR_H
#include "once.h"

/* Rows of a block: what is summed of them stays in a first-level cache. Sums run in eight lanes by the row's place. */
enum { ROW_LANES = 8, BLOCK_ROWS = 256 };

/* What a step in a makes of p and q, on the way to products to_a and to_room over a and room. */
HF_INLINE double hf_step_of_p(const hf_interior *s, ptrdiff_t i, double to_a, double da) {
    return to_a - s->p[i] - s->p[i] / s->a[i] * da;
}
HF_INLINE double hf_step_of_q(const hf_interior *s, ptrdiff_t i, double to_room, double da) {
    return s->has_end ? to_room - s->q[i] + s->q[i] / (s->upper[i] - s->a[i]) * da : 0;
}

/* The steepest fall beside where it falls from. */
HF_INLINE double hf_steepest(const hf_interior *s, ptrdiff_t i, double da, double dp, double dq) {
    const double of_a = da / s->a[i], of_p = dp / s->p[i];
    const double of_room = s->has_end ? -da / (s->upper[i] - s->a[i]) : 0,
                 of_q = s->has_end ? dq / s->q[i] : 0;
    const double of_low = of_a < of_p ? of_a : of_p, of_high = of_room < of_q ? of_room : of_q;
    return of_low < of_high ? of_low : of_high;
}

/* Adds n numbers to eight lanes, and the least of each lane and of its numbers. */
HF_INLINE void hf_add_to_lanes(const double *x, ptrdiff_t n, double *lane) {
    ptrdiff_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES) {
        HF_UNROLL
        for (int l = 0; l < ROW_LANES; l++)
            lane[l] += x[i + l];
    }
    for (int l = 0; i + l < n; l++)
        lane[l] += x[i + l];
}
HF_INLINE void hf_least_to_lanes(const double *x, ptrdiff_t n, double *lane) {
    ptrdiff_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES) {
        HF_UNROLL
        for (int l = 0; l < ROW_LANES; l++)
            lane[l] = x[i + l] < lane[l] ? x[i + l] : lane[l];
    }
    for (int l = 0; i + l < n; l++)
        lane[l] = x[i + l] < lane[l] ? x[i + l] : lane[l];
}
HF_INLINE double hf_sum_of(const double *lane) {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}
HF_INLINE double hf_least_of(const double *lane) {
    double least = lane[0];
    for (int l = 1; l < ROW_LANES; l++)
        least = lane[l] < least ? lane[l] : least;
    return least;
}
HF_INLINE ptrdiff_t hf_rows_of_block(ptrdiff_t first, ptrdiff_t n) {
    return n - first < BLOCK_ROWS ? n - first : BLOCK_ROWS;
}

/* weights, excess and right (the right-hand side of the first step) of each row. out: the sum of the products a*p and
 * (upper - a)*q, and the least distance to a bound. */
static void interior_look(const hf_interior *state, ptrdiff_t n, double *out) {
    const hf_interior s = *state;
    double sum[ROW_LANES] = {0}, least[ROW_LANES], products[BLOCK_ROWS], inside[BLOCK_ROWS];
    for (int l = 0; l < ROW_LANES; l++)
        least[l] = INFINITY;
    for (ptrdiff_t first = 0; first < n; first += BLOCK_ROWS) {
        const ptrdiff_t m = hf_rows_of_block(first, n);
        HF_IVDEP
        for (ptrdiff_t k = 0; k < m; k++) {
            const ptrdiff_t i = first + k;
            const double a = s.a[i], room = s.upper[i] - a, y = s.signs[i];
            const double per_room = s.has_end ? s.q[i] / room : 0, of_end = s.has_end ? room * s.q[i] : 0;
            const double weight = 1 / (s.diagonal[i] + s.p[i] / a + per_room);
            const double excess = y * s.scores[i] + s.diagonal[i] * a - s.margin;
            s.weights[i] = weight;
            s.excess[i] = excess;
            s.right[i] = -(y * weight) * excess;
            products[k] = a * s.p[i] + of_end;
            inside[k] = room < a ? room : a;
        }
        hf_add_to_lanes(products, m, sum);
        hf_least_to_lanes(inside, m, least);
    }
    out[0] = hf_sum_of(sum);
    out[1] = hf_least_of(least);
}

/* Newton's own step, where `along` is that of the scores: step (of a). out: by how much the sum of products changes with the
 * length of the step, linearly and with its square, and the steepest fall. */
static void interior_predict(const hf_interior *state, const double *along, ptrdiff_t n, double *out) {
    const hf_interior s = *state;
    double linear[ROW_LANES] = {0}, square[ROW_LANES] = {0}, least[ROW_LANES] = {0};
    double first_order[BLOCK_ROWS], second_order[BLOCK_ROWS], falls[BLOCK_ROWS];
    for (ptrdiff_t first = 0; first < n; first += BLOCK_ROWS) {
        const ptrdiff_t m = hf_rows_of_block(first, n);
        HF_IVDEP
        for (ptrdiff_t k = 0; k < m; k++) {
            const ptrdiff_t i = first + k;
            const double da = s.weights[i] * (-s.excess[i] - s.signs[i] * along[i]);
            const double dp = hf_step_of_p(&s, i, 0, da), dq = hf_step_of_q(&s, i, 0, da);
            const double of_room = s.has_end ? (s.upper[i] - s.a[i]) * dq - s.q[i] * da : 0;
            s.step[i] = da;
            first_order[k] = (s.a[i] * dp + s.p[i] * da) + of_room;
            second_order[k] = da * dp - da * dq;
            falls[k] = hf_steepest(&s, i, da, dp, dq);
        }
        hf_add_to_lanes(first_order, m, linear);
        hf_add_to_lanes(second_order, m, square);
        hf_least_to_lanes(falls, m, least);
    }
    out[0] = hf_sum_of(linear);
    out[1] = hf_sum_of(square);
    out[2] = hf_least_of(least);
}

/* What the products are led to, over a and over room: `target` less what the step that was predicted misses by; and the
 * right-hand side. */
static void interior_correct(const hf_interior *state, double target, ptrdiff_t n) {
    const hf_interior s = *state;
    HF_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) {
        const double da = s.step[i], dp = hf_step_of_p(&s, i, 0, da), dq = hf_step_of_q(&s, i, 0, da);
        const double to_a = (target - da * dp) / s.a[i];
        const double to_room = s.has_end ? (target + da * dq) / (s.upper[i] - s.a[i]) : 0;
        s.to_a[i] = to_a;
        s.to_room[i] = to_room;
        s.right[i] = s.signs[i] * s.weights[i] * (to_a - to_room - s.excess[i]);
    }
}

/* The corrected step, likewise; returned is the steepest fall. */
static double interior_step(const hf_interior *state, const double *along, ptrdiff_t n) {
    const hf_interior s = *state;
    double least[ROW_LANES] = {0}, falls[BLOCK_ROWS];
    for (ptrdiff_t first = 0; first < n; first += BLOCK_ROWS) {
        const ptrdiff_t m = hf_rows_of_block(first, n);
        HF_IVDEP
        for (ptrdiff_t k = 0; k < m; k++) {
            const ptrdiff_t i = first + k;
            const double wanted = s.to_a[i] - s.to_room[i] - s.excess[i];
            const double da = s.weights[i] * (wanted - s.signs[i] * along[i]);
            s.step[i] = da;
            falls[k] = hf_steepest(&s, i, da, hf_step_of_p(&s, i, s.to_a[i], da),
                                   hf_step_of_q(&s, i, s.to_room[i], da));
        }
        hf_least_to_lanes(falls, m, least);
    }
    return hf_least_of(least);
}

/* Take so much of the step. */
static void interior_move(const hf_interior *state, const double *along, double length, ptrdiff_t n) {
    const hf_interior s = *state;
    HF_IVDEP
    for (ptrdiff_t i = 0; i < n; i++) {
        const double da = s.step[i], dp = hf_step_of_p(&s, i, s.to_a[i], da);
        const double dq = hf_step_of_q(&s, i, s.to_room[i], da);
        s.a[i] += length * da;
        s.p[i] += length * dp;
        s.q[i] += length * dq;
        s.scores[i] += length * along[i];
    }
}

/* ---- the loss along a line of scores, for Newton's method ------------------------------------------------------- */

/* out = scores + t*along. */
static void scores_along(const double *scores, const double *along, double t, ptrdiff_t n, double *out) {
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = scores[i] + t * along[i];
}

/* Adds to two sums of eight lanes: weights*slopes*along and weights*curvatures*along^2. Without weights all are 1; n rows
 * from a multiple of eight on. */
static void line_sums(const double *slopes, const double *curvatures, const double *weights,
                      const double *along, ptrdiff_t n, double *lanes) {
    double first[ROW_LANES], second[ROW_LANES];
    ptrdiff_t i = 0;
    memcpy(first, lanes, sizeof first);
    memcpy(second, lanes + ROW_LANES, sizeof second);
    for (; i + ROW_LANES <= n; i += ROW_LANES) {
        HF_UNROLL
        for (int l = 0; l < ROW_LANES; l++) {
            const double to = along[i + l], by = weights != NULL ? weights[i + l] * to : to;
            first[l] += slopes[i + l] * by;
            second[l] += curvatures[i + l] * (to * by);
        }
    }
    for (int l = 0; i + l < n; l++) {
        const double to = along[i + l], by = weights != NULL ? weights[i + l] * to : to;
        first[l] += slopes[i + l] * by;
        second[l] += curvatures[i + l] * (to * by);
    }
    memcpy(lanes, first, sizeof first);
    memcpy(lanes + ROW_LANES, second, sizeof second);
}
#endif
