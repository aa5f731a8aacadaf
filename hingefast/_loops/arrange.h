/* arrange.h - the slope stage of K classes: how a loss of several scores is put together from losses of one
 * margin. Knows no layout of X and no formula: margins go to the loops of margin_loss.h and come back as values and slopes.
 *
 * Included once for float32 and once for float64. Blocks hold n rows of K numbers, one behind the other;
 * columns[i], in [0, K), is the true class c of row i. Differences are always formed as s_c - s_j first, so that
 * the same loss reached two ways has the same bits.
 */
#ifndef real /* opened alone */
#include "rivals.h"
#endif

/* Sum of n numbers in float64: few in their order, many over 16 lanes by index. O(n). */
HF_INLINE double FN(sum_row)(const real *x, ptrdiff_t n) {
    hf_wide sums;
    double sum = 0;
    real tail[HF_VALUE_LANES] = {0};
    ptrdiff_t j = 0;
    if (n < 2 * HF_VALUE_LANES) {
        for (; j < n; j++)
            sum += (double)x[j];
        return sum;
    }
    memset(&sums, 0, sizeof sums);
    for (; j + HF_VALUE_LANES <= n; j += HF_VALUE_LANES)
        FN(add_wide)(&sums, x + j);
    memcpy(tail, x + j, (size_t)(n - j) * sizeof(real));
    FN(add_wide)(&sums, tail);
    return hf_merge_wide(sums);
}

/* Fetches s_c of n rows. O(n). */
static void FN(prefetch_own)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes) {
    const real *s = scores;
    for (ptrdiff_t i = 0; i < n; i++)
        HF_PREFETCH(s + i * n_classes + columns[i]);
}

/* ---- one rival: Crammer-Singer and the cost-sensitive hinge -------------------------------------------- */

/* keys[i,j] = cost[c,j] - (s_c - s_j). O(n*K). */
static void FN(cost_keys)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                          const void *cost, void *keys) {
    const real *HF_RESTRICT s = scores;
    real *HF_RESTRICT key = keys;
    for (ptrdiff_t i = 0; i < n; i++, s += n_classes, key += n_classes) {
        const real *HF_RESTRICT price = (const real *)cost + (ptrdiff_t)columns[i] * n_classes;
        const real own = s[columns[i]];
        for (ptrdiff_t j = 0; j < n_classes; j++)
            key[j] = price[j] - (own - s[j]);
    }
}

/* rival_margins of two classes: the rival is the other one. Both differences are formed, because one is not the other with
 * its sign changed where they are zero. O(n). */
HF_INLINE void FN(margins_of_two)(const real *HF_RESTRICT key, const int add_own,
                                  const int32_t *HF_RESTRICT columns, ptrdiff_t n,
                                  int32_t *HF_RESTRICT rivals, real *HF_RESTRICT margins) {
    for (ptrdiff_t i = 0; i < n; i++) {
        const real first = key[2 * i], second = key[2 * i + 1];
        const real of_first = (add_own ? first : 0) - second, of_second = (add_own ? second : 0) - first;
        margins[i] = columns[i] == 0 ? of_first : of_second;
        rivals[i] = 1 - columns[i];
    }
}

/* pair_slopes of two classes; returns whether a slope is NaN. O(n). */
HF_INLINE int FN(slopes_of_two)(const int32_t *HF_RESTRICT columns, const real *HF_RESTRICT slopes,
                                ptrdiff_t n, real *HF_RESTRICT out) {
    int has_nan = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        const real at = slopes[i], other = 0 - at;
        out[2 * i] = columns[i] == 0 ? at : other;
        out[2 * i + 1] = columns[i] == 0 ? other : at;
        has_nan |= at != at;
    }
    return has_nan;
}

/* rivals[i] = the class other than c with the largest key, the lowest one on ties and the first NaN before all;
 * margins[i] = s_c - key of the rival, or 0 - key where `scores` is NULL. O(n*K). */
static void FN(rival_margins)(const void *keys, const void *scores, const int32_t *columns, ptrdiff_t n,
                              ptrdiff_t n_classes, int32_t *rivals, void *margins) {
    enum { N = HF_VALUE_LANES };
    const real *key = keys;
    real *margin = margins;
    if (n_classes == 2 && scores) {
        FN(margins_of_two)(key, 1, columns, n, rivals, margin);
        return;
    }
    if (n_classes == 2) {
        FN(margins_of_two)(key, 0, columns, n, rivals, margin);
        return;
    }
    for (ptrdiff_t i = 0, end; i < n; i = end) {
        if (n_classes < N) {
            end = i + N < n ? i + N : n;
            i = n < N ? 0 : end - N; /* the last sixteen rows may have been met before */
            if (FN(find_rivals_of_few)(key + i * n_classes, columns + i, end - i, n_classes, scores != NULL,
                                       rivals + i, margin + i))
                continue;
            for (ptrdiff_t r = i; r < end; r++)
                rivals[r] = FN(find_rival)(key + r * n_classes, columns[r], n_classes);
        } else {
            end = i + 1;
            rivals[i] = FN(find_rival_in_lanes)(key + i * n_classes, columns[i], n_classes, end == n);
            if (rivals[i] < 0)
                rivals[i] = FN(find_rival)(key + i * n_classes, columns[i], n_classes);
        }
        for (; i < end; i++)
            margin[i] = (scores ? key[i * n_classes + columns[i]] : 0) - key[i * n_classes + rivals[i]];
    }
}

/* out = 0, but slopes[i] at c and -slopes[i] at the rival; where the slope is NaN, so is every class whose score is.
 * O(n*K). */
static void FN(pair_slopes)(const void *scores, const int32_t *columns, const int32_t *rivals,
                            const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, void *out) {
    const real *s = scores, *slope = slopes;
    real *to = out;
    if (n_classes == 2 && !FN(slopes_of_two)(columns, slope, n, to))
        return;
    memset(out, 0, (size_t)(n * n_classes) * sizeof(real));
    for (ptrdiff_t i = 0; i < n; i++, s += n_classes, to += n_classes) {
        const real at = slope[i];
        to[columns[i]] = at;
        to[rivals[i]] = 0 - at;
        if (at != at)
            for (ptrdiff_t j = 0; j < n_classes; j++)
                to[j] = s[j] != s[j] ? s[j] : to[j];
    }
}

/* hessp: slopes[i] = curvatures[i]*(v_c - v_rival) where the curvature is not zero, for directions v. O(n). */
static void FN(pair_directions)(const void *directions, const int32_t *columns, const int32_t *rivals,
                                ptrdiff_t n, ptrdiff_t n_classes, void *slopes) {
    const real *v = directions;
    real *slope = slopes;
    for (ptrdiff_t i = 0; i < n; i++, v += n_classes)
        slope[i] = slope[i] == 0 ? 0 : slope[i] * (v[columns[i]] - v[rivals[i]]);
}

/* differences[i,j] = s_c - s_j. O(n*K). */
static void FN(differences)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                            void *differences) {
    const real *HF_RESTRICT s = scores;
    real *HF_RESTRICT to = differences;
    for (ptrdiff_t i = 0; i < n; i++, s += n_classes, to += n_classes) {
        const real own = s[columns[i]];
        for (ptrdiff_t j = 0; j < n_classes; j++)
            to[j] = own - s[j];
    }
}

/* out = value, n numbers. O(n). */
static void FN(fill)(double value, ptrdiff_t n, void *out) {
    real *to = out;
    for (ptrdiff_t i = 0; i < n; i++)
        to[i] = (real)value;
}

/* signs[i,c] = sign, for n rows. O(n). */
static void FN(mark_own)(const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, double sign, void *signs) {
    real *to = signs;
    for (ptrdiff_t i = 0; i < n; i++, to += n_classes)
        to[columns[i]] = (real)sign;
}

/* Slopes of differences into slopes of scores, in place: -slope at every j, their sum, in float64, at c. O(n*K). */
static void FN(collect_own)(void *slopes, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes) {
    real *HF_RESTRICT slope = slopes;
    for (ptrdiff_t i = 0; i < n; i++, slope += n_classes) {
        real own;
        slope[columns[i]] = 0;
        own = (real)FN(sum_row)(slope, n_classes);
        for (ptrdiff_t j = 0; j < n_classes; j++)
            slope[j] = 0 - slope[j];
        slope[columns[i]] = own;
    }
}

/* slopes[i,c] = NaN where values[i] is. O(n). */
static void FN(spread_nan)(const void *values, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                           void *slopes) {
    const real *value = values;
    real *slope = slopes;
    for (ptrdiff_t i = 0; i < n; i++, slope += n_classes)
        if (value[i] != value[i])
            slope[columns[i]] = value[i];
}

/* ---- several rivals: the top-k hinge -------------------------------------------------------------------------- */

/* Lets the number at the top of a heap of n, smallest first, sink to its place. O(log n). */
static void FN(sink)(real *heap, ptrdiff_t n, ptrdiff_t at) {
    const real sinking = heap[at];
    for (ptrdiff_t child = 2 * at + 1; child < n; at = child, child = 2 * at + 1) {
        child += child + 1 < n && heap[child + 1] < heap[child];
        if (!(heap[child] < sinking))
            break;
        heap[at] = heap[child];
    }
    heap[at] = sinking;
}

/* The k-th largest of n numbers without NaN; `heap` holds k. O(n log k), however they are ordered. */
static real FN(kth_largest)(const real *x, ptrdiff_t n, ptrdiff_t k, real *heap) {
    memcpy(heap, x, (size_t)k * sizeof(real));
    for (ptrdiff_t at = k / 2; at-- > 0;)
        FN(sink)(heap, k, at);
    for (ptrdiff_t j = k; j < n; j++)
        if (x[j] > heap[0]) {
            heap[0] = x[j];
            FN(sink)(heap, k, 0);
        }
    return heap[0];
}

/* Values and slopes of the top-k hinge: with a_j = 1 - (s_c - s_j), a_c = 0, over the k largest a_j, the lowest classes
 * on ties, max(0, mean of a_j), or, with `hinge_each`, the mean of max(0, a_j). A row without a value has NaN slopes at
 * c and at every NaN class. `slopes` may be NULL; `space` holds K + k numbers. O(n*K*log k). */
static void FN(top_k)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                      ptrdiff_t k, int hinge_each, void *space, void *values, void *slopes) {
    const real *s = scores, share = (real)(1 / (double)k);
    real *a = space, *heap = a + n_classes, *value = values, *slope = slopes;
    for (ptrdiff_t i = 0; i < n; i++, s += n_classes, slope += slopes ? n_classes : 0) {
        const int32_t own = columns[i];
        const real at_own = s[own];
        ptrdiff_t left = k, n_active = 0;
        real least = 0;
        double sum = 0;
        int has_nan = 0;
        for (ptrdiff_t j = 0; j < n_classes; j++) {
            a[j] = 1 - (at_own - s[j]);
            has_nan |= j != own && a[j] != a[j];
        }
        a[own] = at_own == at_own ? 0 : at_own;
        has_nan |= at_own != at_own;
        if (slopes != NULL)
            memset(slope, 0, (size_t)n_classes * sizeof(real));
        if (!has_nan) {
            least = FN(kth_largest)(a, n_classes, k, heap);
            for (ptrdiff_t j = 0; j < n_classes; j++)
                left -= a[j] > least;
            for (ptrdiff_t j = 0; j < n_classes; j++) {
                const int tied = a[j] == least && left > 0, chosen = a[j] > least || tied;
                left -= tied;
                if (!chosen)
                    continue;
                if (!hinge_each)
                    sum += (double)a[j];
                else if (a[j] > 0)
                    sum += (double)a[j];
                else
                    continue;
                if (slopes != NULL)
                    slope[j] = share;
                n_active += j != own;
            }
        }
        value[i] = has_nan ? (real)NAN : (real)(sum / (double)k);
        if (value[i] != value[i]) {
            if (slopes != NULL) {
                for (ptrdiff_t j = 0; j < n_classes; j++)
                    slope[j] = s[j] != s[j] ? s[j] : 0;
                slope[own] = value[i];
            }
        } else if (!(value[i] > 0)) {
            value[i] = 0;
            if (slopes != NULL)
                memset(slope, 0, (size_t)n_classes * sizeof(real));
        } else if (slopes != NULL)
            slope[own] = hinge_each ? -(real)((double)n_active / (double)k) : slope[own] - 1;
    }
}

/* ---- what the linear passes do with slopes ---------------------------------------------------------------------- */

/* sums[j] += slopes[i,j], row by row. O(n*K). */
static void FN(add_columns)(const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, double *sums) {
    const real *HF_RESTRICT slope = slopes;
    double *HF_RESTRICT sum = sums;
    for (ptrdiff_t i = 0; i < n; i++, slope += n_classes)
        for (ptrdiff_t j = 0; j < n_classes; j++)
            sum[j] += (double)slope[j];
}

/* Which rows have a slope for a class: those of class j are rows[starts[j]] .. rows[starts[j + 1] - 1], in order, with
 * their slopes beside them. starts holds K + 1 numbers; rows and grouped hold n*K, and so does the space for
 * `found`, pairs of row and class. O(n*K). */
static void FN(group_by_class)(const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, int32_t *starts,
                               int32_t *rows, void *grouped, int32_t (*found)[2]) {
    const real *slope = slopes;
    real *to = grouped;
    int32_t end = 0;
    ptrdiff_t n_found = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < n_classes; j++) {
            found[n_found][0] = (int32_t)i;
            found[n_found][1] = (int32_t)j;
            n_found += slope[i * n_classes + j] != 0;
        }
    memset(starts, 0, (size_t)(n_classes + 1) * sizeof *starts);
    for (ptrdiff_t e = 0; e < n_found; e++)
        starts[found[e][1]]++;
    for (ptrdiff_t j = 0; j <= n_classes; j++) { /* counts into where each class begins */
        const int32_t count = starts[j];
        starts[j] = end;
        end += count;
    }
    for (ptrdiff_t e = 0; e < n_found; e++) {
        const int32_t i = found[e][0], j = found[e][1];
        rows[starts[j]] = i;
        to[starts[j]++] = slope[i * n_classes + j];
    }
    for (ptrdiff_t j = n_classes; j > 0; j--) /* each start has moved to the next one's place */
        starts[j] = starts[j - 1];
    starts[0] = 0;
}
