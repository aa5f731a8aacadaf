/* class_score.h - the score stage of K classes: dense rows of X times every row of coef, plus intercepts. Knows no loss.
 *
 * Included once for float32 and once for float64. Classes stand in the lanes, so that each score is a sum over
 * features in their order, over stretches of HF_STRETCH features, whose sums are added one after
 * the other. coef is read from a copy with classes side by side.
 */
#ifndef real /* opened alone */
#include "lanes.h"
#endif

/* Features of a stretch: 16 KB of a panel, which is a line of classes, stay in a first-level cache beside the rows. */
#ifndef HF_STRETCH
#define HF_STRETCH ((ptrdiff_t)256)
#endif

/* Rows scored together: their sums take half of the registers of a level, and more than eight rows would have no
 * registers for their addresses. */
#define PANEL_ROWS                                                                                           \
    (HF_REGISTERS / 2 / PARTS > 8 ? 8 : HF_REGISTERS / 2 / PARTS < 1 ? 1 : HF_REGISTERS / 2 / PARTS)

/* sums[r] = sum of rows[r][j]*panel[j] over n_features features from `first` on, for PANEL_ROWS rows and one line of
 * classes. Prefetches `ahead` bytes behind what it reads of the rows, unless that is 0. O(PANEL_ROWS * n_features). */
HF_INLINE void FN(score_panel)(const void *const *rows, ptrdiff_t first, ptrdiff_t n_features,
                               const real *HF_RESTRICT panel, ptrdiff_t ahead,
                               real (*HF_RESTRICT sums)[HF_LINE_BYTES / sizeof(real)]) {
    const real *row[PANEL_ROWS];
    FN(part) sum[PANEL_ROWS][HF_LINE_BYTES / sizeof(FN(part))];
    HF_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++) {
        row[r] = (const real *)rows[r] + first;
        HF_UNROLL
        for (int k = 0; k < PARTS; k++)
            sum[r][k] = FN(no_part)();
    }
    for (ptrdiff_t j = 0; j < n_features;) {
        const ptrdiff_t end = j + LANES < n_features ? j + LANES : n_features;
        if (ahead != 0) {
            HF_UNROLL
            for (int r = 0; r < PANEL_ROWS; r++)
                HF_PREFETCH((const char *)(row[r] + j) + ahead);
        }
        for (; j < end; j++, panel += LANES) {
            HF_UNROLL
            for (int k = 0; k < PARTS; k++) {
                const FN(part) w = FN(load_part)(panel + k * PART_LANES);
                HF_UNROLL
                for (int r = 0; r < PANEL_ROWS; r++)
                    sum[r][k] += row[r][j] * w;
            }
        }
    }
    HF_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++) {
        HF_UNROLL
        for (int k = 0; k < PARTS; k++)
            FN(store_part)(sums[r] + k * PART_LANES, sum[r][k]);
    }
}

/* out += sums, or = sums for the first stretch, and += bias for the last, over n classes. O(n). */
HF_INLINE void FN(add_stretch)(const real *HF_RESTRICT sums, const real *HF_RESTRICT bias, const ptrdiff_t n,
                               int is_first, int is_last, real *HF_RESTRICT out) {
    for (ptrdiff_t k = 0; k < n; k++) {
        const real sum = is_first ? sums[k] : out[k] + sums[k];
        out[k] = is_last ? sum + bias[k] : sum;
    }
}

/* scores[i][k] = rows[i] . coef[k] + intercepts[k] for n_rows rows of n_features numbers, from the copy that
 * pack_panels made. While a stretch of a panel is in a first-level cache all rows pass over it; a row is brought
 * there by the first panel, and the row `ahead` bytes behind it prefetched. O(n_rows * n_features * n_classes). */
static void FN(score_classes)(const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features,
                              const void *panels, ptrdiff_t n_classes, const void *intercepts,
                              ptrdiff_t ahead, void *scores) {
    const real *bias = intercepts;
    ptrdiff_t first = 0;
    do {
        const ptrdiff_t length = n_features - first < HF_STRETCH ? n_features - first : HF_STRETCH;
        const int is_first = first == 0, is_last = first + length == n_features;
        for (ptrdiff_t at = 0; at < n_classes; at += LANES) {
            const real *panel = (const real *)panels + at * n_features + first * LANES;
            const ptrdiff_t width = n_classes - at < LANES ? n_classes - at : LANES;
            for (ptrdiff_t i = 0; i < n_rows; i += PANEL_ROWS) {
                const void *tile[PANEL_ROWS]; /* the last one is filled up with its first row */
                real sums[PANEL_ROWS][HF_LINE_BYTES / sizeof(real)];
                for (int r = 0; r < PANEL_ROWS; r++)
                    tile[r] = rows[i + r < n_rows ? i + r : i];
                FN(score_panel)(tile, first, length, panel, at ? 0 : ahead, sums);
                for (int r = 0; r < PANEL_ROWS && i + r < n_rows; r++) {
                    real *HF_RESTRICT out = (real *)scores + (i + r) * n_classes + at;
                    if (width == LANES) /* a constant length is a vector or two */
                        FN(add_stretch)(sums[r], bias + at, LANES, is_first, is_last, out);
                    else
                        FN(add_stretch)(sums[r], bias + at, width, is_first, is_last, out);
                }
            }
        }
        first += length;
    } while (first < n_features);
}
#undef HF_STRETCH
#undef PANEL_ROWS
