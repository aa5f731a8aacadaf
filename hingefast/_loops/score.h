/* score.h - the score stage: rows of X times coef, plus the intercept. Knows no loss.
 *
 * Included once for float32 and once for float64. Column j is added into lane j mod LANES of its row, in
 * the order of j, and the lanes are merged by halves: the same sum at every level and in every tile.
 */
#ifndef real /* opened alone */
#include "accumulate.h"
#endif

/* How rows are scored and earlier ones accumulated, by bytes of a row. Hardware follows one stream better than several,
 * so rows come one after the other as long as coef and grad, which every row meets, stay in a first-level cache: short
 * ones each with an earlier row in the same loop, others in a loop of their own, because an earlier row beside them
 * would drive coef and grad out. Of longer ones a tile side by side shares what it reads of coef and grad.
 * benchmarks/NOTES.md has the figures. */
#define SHORT_ROW_BYTES 4096
#define LONG_ROW_BYTES 16384
/* How far ahead of what is being read of long rows is prefetched. */
#define AHEAD_BYTES 1024

/* Scores HF_TILE_ROWS rows and, in the same loop over the columns, adds HF_TILE_ROWS earlier rows times
 * their slopes to grad, row by row in order (with `fused`, a constant where this is inlined).
 * rows, pending: HF_TILE_ROWS pointers to n_features numbers; scores: HF_TILE_ROWS numbers, written;
 * grad: n_features numbers, updated. O(HF_TILE_ROWS * n_features). */
HF_INLINE void FN(score_tile)(const void *const *rows, const void *const *pending, const real *pending_slopes,
                              ptrdiff_t n_features, const real *HF_RESTRICT coef, real intercept,
                              real *scores, real *HF_RESTRICT grad, const int fused) {
    const real *row[HF_TILE_ROWS], *earlier[HF_TILE_ROWS];
    real slope[HF_TILE_ROWS];
    FN(line) sum[HF_TILE_ROWS];
    ptrdiff_t j = 0, n_tail = n_features % LANES;
    HF_UNROLL
    for (int r = 0; r < HF_TILE_ROWS; r++) {
        row[r] = rows[r];
        memset(&sum[r], 0, sizeof sum[r]);
        if (fused) {
            earlier[r] = pending[r];
            slope[r] = pending_slopes[r];
        }
    }
    for (; j < n_features - n_tail; j += LANES) {
        HF_UNROLL
        for (int k = 0; k < PARTS; k++) {
            const ptrdiff_t at = j + k * PART_LANES;
            const FN(part) w = FN(load_part)(coef + at);
            HF_UNROLL
            for (int r = 0; r < HF_TILE_ROWS; r++) {
                sum[r].p[k] += FN(load_part)(row[r] + at) * w;
                if (k == 0)
                    HF_PREFETCH((const char *)(row[r] + at) + AHEAD_BYTES);
            }
        }
        if (fused)
            FN(accumulate_line)(earlier, slope, HF_TILE_ROWS, j, grad);
    }
    if (n_tail) {
        const FN(line) w = FN(load_tail)(coef + j, n_tail);
        HF_UNROLL
        for (int r = 0; r < HF_TILE_ROWS; r++) {
            const FN(line) x = FN(load_tail)(row[r] + j, n_tail);
            HF_UNROLL
            for (int k = 0; k < PARTS; k++)
                sum[r].p[k] += x.p[k] * w.p[k];
        }
        if (fused)
            FN(accumulate_tail)(earlier, slope, HF_TILE_ROWS, j, n_tail, grad);
    }
    HF_UNROLL
    for (int r = 0; r < HF_TILE_ROWS; r++)
        scores[r] = FN(sum_line)(&sum[r]) + intercept;
}

/* row . coef + intercept of one row; in the same loop, with `fused` (a constant where this is inlined), adds slope times
 * an earlier row to grad. O(n_features). */
HF_INLINE real FN(score_row)(const real *row, const real *earlier, real slope, ptrdiff_t n_features,
                             const real *HF_RESTRICT coef, real intercept, real *HF_RESTRICT grad,
                             const int fused) {
    const ptrdiff_t n_tail = n_features % LANES, end = n_features - n_tail;
    FN(line) sum;
    memset(&sum, 0, sizeof sum);
    HF_UNROLL_BY_FOUR
    for (ptrdiff_t j = 0; j < end; j += LANES) {
        HF_UNROLL
        for (int k = 0; k < PARTS; k++)
            sum.p[k] += FN(load_part)(row + j + k * PART_LANES) * FN(load_part)(coef + j + k * PART_LANES);
        if (fused)
            FN(accumulate_line)(&earlier, &slope, 1, j, grad);
    }
    if (n_tail) {
        const FN(line) x = FN(load_tail)(row + end, n_tail), w = FN(load_tail)(coef + end, n_tail);
        HF_UNROLL
        for (int k = 0; k < PARTS; k++)
            sum.p[k] += x.p[k] * w.p[k];
        if (fused)
            FN(accumulate_tail)(&earlier, &slope, 1, end, n_tail, grad);
    }
    return FN(sum_line)(&sum) + intercept;
}

#if HF_VECTOR_BYTES == HF_LINE_BYTES
/* Rows of at most NARROW_LINES lines: coef and grad stay in registers. */
#define NARROW_LINES 4

/* A line of a row: all of it, or the first n_last numbers. On Zen 5 loads under a mask seem to wait for the stores before
 * them, here for the score of the row before: without a mask rows of one line take half the time. */
HF_INLINE FN(part) FN(load_narrow)(const real *x, int is_whole, ptrdiff_t n_last) {
    return is_whole ? FN(load_part)(x) : FN(load_tail)(x, n_last).p[0];
}

/* Scores n_rows rows of n_lines lines, of which the last has n_last numbers; with `fused`, as many pending rows times
 * their slopes are added to grad (n_lines and fused are constants where this is inlined, and n_last where it is LANES).
 * O(n_rows). */
HF_INLINE void FN(score_narrow)(const void *const *rows, const void *const *pending, const real *slopes,
                                ptrdiff_t n_rows, const int n_lines, ptrdiff_t n_last, const real *coef,
                                real intercept, real *scores, real *grad, const int fused) {
    FN(part) w[NARROW_LINES], g[NARROW_LINES];
    const int last = n_lines - 1;
    HF_UNROLL
    for (int k = 0; k < n_lines; k++) {
        w[k] = FN(load_narrow)(coef + k * LANES, k < last, n_last);
        if (fused)
            g[k] = FN(load_narrow)(grad + k * LANES, k < last, n_last);
    }
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const real *row = rows[i], *earlier = fused ? pending[i] : NULL;
        FN(line) sum = {{FN(no_part)()}};
        HF_UNROLL
        for (int k = 0; k < n_lines; k++) {
            const real *x = row + k * LANES;
            sum.p[0] += FN(load_narrow)(x, k < last || n_last == LANES, n_last) * w[k];
            if (fused) {
                const real *e = earlier + k * LANES;
                g[k] += FN(load_narrow)(e, k < last || n_last == LANES, n_last) * slopes[i];
            }
        }
        scores[i] = FN(sum_line)(&sum) + intercept;
    }
    if (fused) {
        HF_UNROLL
        for (int k = 0; k < n_lines; k++) {
            const FN(line) line = {{g[k]}};
            FN(store_tail)(grad + k * LANES, k < last ? LANES : n_last, &line);
        }
    }
}

/* The same with n_lines of 1 to NARROW_LINES, which is no constant. */
HF_INLINE void FN(score_lines)(const void *const *rows, const void *const *pending, const real *slopes,
                               ptrdiff_t n_rows, ptrdiff_t n_lines, ptrdiff_t n_last, const real *coef,
                               real intercept, real *scores, real *grad, const int fused) {
    if (n_lines == 1)
        FN(score_narrow)(rows, pending, slopes, n_rows, 1, n_last, coef, intercept, scores, grad, fused);
    else if (n_lines == 2)
        FN(score_narrow)(rows, pending, slopes, n_rows, 2, n_last, coef, intercept, scores, grad, fused);
    else if (n_lines == 3)
        FN(score_narrow)(rows, pending, slopes, n_rows, 3, n_last, coef, intercept, scores, grad, fused);
    else
        FN(score_narrow)(rows, pending, slopes, n_rows, NARROW_LINES, n_last, coef, intercept, scores, grad,
                         fused);
}

/* The same, whatever the number of features; returns whether it did, which is so for few. */
HF_INLINE int FN(score_if_narrow)(const void *const *rows, const void *const *pending, const real *slopes,
                                  ptrdiff_t n_rows, ptrdiff_t n_features, const real *coef, real intercept,
                                  real *scores, real *grad, const int fused) {
    const ptrdiff_t n_lines = (n_features + LANES - 1) / LANES, n_last = n_features - (n_lines - 1) * LANES;
    if (n_lines < 1 || n_lines > NARROW_LINES)
        return 0;
    if (n_last == LANES)
        FN(score_lines)(rows, pending, slopes, n_rows, n_lines, LANES, coef, intercept, scores, grad, fused);
    else
        FN(score_lines)(rows, pending, slopes, n_rows, n_lines, n_last, coef, intercept, scores, grad, fused);
    return 1;
}
#else
HF_INLINE int FN(score_if_narrow)(const void *const *rows, const void *const *pending, const real *slopes,
                                  ptrdiff_t n_rows, ptrdiff_t n_features, const real *coef, real intercept,
                                  real *scores, real *grad, const int fused) {
    (void)rows, (void)pending, (void)slopes, (void)n_rows, (void)n_features, (void)coef, (void)intercept;
    (void)scores, (void)grad, (void)fused;
    return 0;
}
#endif

/* scores[i] = rows[i] . coef + intercept for n_rows rows of n_features numbers. O(n_rows * n_features). */
static void FN(score_rows)(const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features, const void *coef,
                           double intercept, void *scores) {
    const int are_long = n_features * (ptrdiff_t)sizeof(real) > LONG_ROW_BYTES;
    real *out = scores;
    ptrdiff_t i = 0;
    if (FN(score_if_narrow)(rows, NULL, NULL, n_rows, n_features, coef, (real)intercept, out, NULL, 0))
        return;
    for (; i + HF_TILE_ROWS <= n_rows && are_long; i += HF_TILE_ROWS)
        FN(score_tile)(rows + i, NULL, NULL, n_features, coef, (real)intercept, out + i, NULL, 0);
    for (; i < n_rows; i++)
        out[i] = FN(score_row)(rows[i], NULL, 0, n_features, coef, (real)intercept, NULL, 0);
}

/* Both stages: scores `rows` and adds pending_slopes[i]*pending[i] to grad. n_rows is a multiple of HF_TILE_ROWS, and
 * there are as many pending rows. O(n_rows * n_features). */
static void FN(score_accumulate_rows)(const void *const *rows, const void *const *pending,
                                      const void *pending_slopes, ptrdiff_t n_rows, ptrdiff_t n_features,
                                      const void *coef, double intercept, void *scores, void *grad) {
    const ptrdiff_t row_bytes = n_features * (ptrdiff_t)sizeof(real);
    const real *slopes = pending_slopes;
    real *out = scores;
    ptrdiff_t i = 0;
    if (FN(score_if_narrow)(rows, pending, slopes, n_rows, n_features, coef, (real)intercept, out, grad, 1))
        return;
    if (row_bytes <= SHORT_ROW_BYTES)
        for (; i < n_rows; i++)
            out[i] =
                FN(score_row)(rows[i], pending[i], slopes[i], n_features, coef, (real)intercept, grad, 1);
    else if (row_bytes <= LONG_ROW_BYTES) {
        FN(score_rows)(rows, n_rows, n_features, coef, intercept, scores);
        FN(accumulate_rows)(pending, pending_slopes, n_rows, n_features, grad);
    } else
        for (; i < n_rows; i += HF_TILE_ROWS)
            FN(score_tile)(rows + i, pending + i, slopes + i, n_features, coef, (real)intercept, out + i,
                           grad, 1);
}
