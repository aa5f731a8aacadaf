/* arrange.h - the slope stage of K classes: how a loss of several scores is put together from losses of one
 * margin. Knows no layout of X and no formula: margins go to the loops of slope.h and come back as values and slopes.
 *
 * Included once for float32 and once for float64. Blocks hold n rows of K numbers, one behind the other;
 * columns[i], in [0, K), is the true class c of row i. Differences are always formed as s_c - s_j first, so that
 * the same loss reached two ways has the same bits.
 */

/* Sum of n numbers in float64: few in their order, many over 16 lanes by index. O(n). */
HF_INLINE double FN(sum_row)(const real *x, ptrdiff_t n) {
    double lane[HF_VALUE_LANES] = {0}, tail[HF_VALUE_LANES] = {0};
    ptrdiff_t j = 0;
    if (n < 2 * HF_VALUE_LANES) {
        double sum = 0;
        for (; j < n; j++)
            sum += (double)x[j];
        return sum;
    }
    for (; j + HF_VALUE_LANES <= n; j += HF_VALUE_LANES)
        for (int k = 0; k < HF_VALUE_LANES; k++)
            lane[k] += (double)x[j + k];
    for (ptrdiff_t k = 0; j + k < n; k++)
        tail[k] = (double)x[j + k];
    for (int k = 0; k < HF_VALUE_LANES; k++)
        lane[k] += tail[k];
    return merge_lanes(lane);
}

/* Whether n numbers are free of NaN; infinities may count as NaN. O(n). */
HF_INLINE int FN(all_finite)(const real *x, ptrdiff_t n) {
    real lane[HF_VALUE_LANES] = {0}, sum = 0;
    ptrdiff_t j = 0;
    for (; j + HF_VALUE_LANES <= n; j += HF_VALUE_LANES)
        for (int k = 0; k < HF_VALUE_LANES; k++)
            lane[k] += x[j + k] * 0;
    for (; j < n; j++)
        sum += x[j] * 0;
    for (int k = 0; k < HF_VALUE_LANES; k++)
        sum += lane[k];
    return sum == 0;
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

/* The rival of one row that may hold anything: its first NaN, else its largest key, the lowest class on ties. */
static int32_t FN(find_rival)(const real *key, int32_t own, ptrdiff_t n_classes) {
    int32_t at = own == 0;
    for (int32_t j = at; j < n_classes; j++)
        if (j != own) {
            if (key[j] != key[j])
                return j;
            if (key[j] > key[at])
                at = j;
        }
    return at;
}

/* The same for finite keys of many classes, in 16 lanes. A lane keeps its first best; the merge takes the lowest class. */
static int32_t FN(find_rival_in_lanes)(const real *key, int32_t own, ptrdiff_t n_classes, real *best_key) {
    real best[HF_VALUE_LANES], own_line[HF_VALUE_LANES], last_line[HF_VALUE_LANES];
    FN(bit_pattern) line[HF_VALUE_LANES] = {0}; /* where each lane's best stands; as wide as real */
    const ptrdiff_t n_tail = n_classes % HF_VALUE_LANES, n_whole = n_classes - n_tail;
    const ptrdiff_t own_at = own - own % HF_VALUE_LANES;
    int lowest = 0;
    for (int k = 0; k < HF_VALUE_LANES; k++)
        best[k] = own_line[k] = last_line[k] = -(real)INFINITY;
    memcpy(last_line, key + n_whole, (size_t)n_tail * sizeof(real));
    memcpy(own_line, own_at < n_whole ? key + own_at : last_line, sizeof own_line);
    own_line[own % HF_VALUE_LANES] = -(real)INFINITY;
    for (ptrdiff_t j = 0; j < n_classes; j += HF_VALUE_LANES) {
        const real *HF_RESTRICT from = j == own_at ? own_line : j == n_whole ? last_line : key + j;
        for (int k = 0; k < HF_VALUE_LANES; k++) {
            const int better = from[k] > best[k];
            best[k] = better ? from[k] : best[k];
            line[k] = better ? (FN(bit_pattern))j : line[k];
        }
    }
    for (int k = 1; k < HF_VALUE_LANES; k++) {
        const int better = best[k] > best[lowest] || (best[k] == best[lowest] && line[k] < line[lowest]);
        lowest = better ? k : lowest;
    }
    *best_key = best[lowest];
    return (int32_t)line[lowest] + lowest;
}

/* rivals[i] = the class other than c with the largest key, the lowest one on ties and the first NaN before all;
 * margins[i] = s_c - key of the rival, or -key where `scores` is NULL. O(n*K). */
static void FN(rival_margins)(const void *keys, const void *scores, const int32_t *columns, ptrdiff_t n,
                              ptrdiff_t n_classes, int32_t *rivals, void *margins) {
    const real *key = keys, *s = scores;
    real *HF_RESTRICT margin = margins;
    const int careful = !FN(all_finite)(keys, n * n_classes);
    for (ptrdiff_t i = 0; i < n; i++, key += n_classes) {
        const int32_t own = columns[i];
        int32_t at;
        real best;
        if (careful) {
            at = FN(find_rival)(key, own, n_classes);
            best = key[at];
        } else if (n_classes < 2 * HF_VALUE_LANES) {
            best = -(real)INFINITY;
            at = 0;
            for (int32_t j = 0; j < n_classes; j++) {
                const int better = key[j] > best && j != own;
                best = better ? key[j] : best;
                at = better ? j : at;
            }
        } else
            at = FN(find_rival_in_lanes)(key, own, n_classes, &best);
        rivals[i] = at;
        margin[i] = s ? s[i * n_classes + own] - best : -best;
    }
}

/* out = 0, but slopes[i] at c and -slopes[i] at the rival; where the slope is NaN, so is every class whose score is.
 * O(n*K). */
static void FN(pair_slopes)(const void *scores, const int32_t *columns, const int32_t *rivals,
                            const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, void *out) {
    const real *s = scores, *slope = slopes;
    real *to = out;
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

/* ---- every class: Weston-Watkins and one-versus-rest -------------------------------------------------------- */

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

/* values[i] = sum of terms[i,j] over all j, or over j != c where `columns` is given, for which the term at c is
 * set to zero. O(n*K). */
static void FN(row_values)(void *terms, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                           void *values) {
    real *term = terms, *value = values;
    for (ptrdiff_t i = 0; i < n; i++, term += n_classes) {
        if (columns != NULL)
            term[columns[i]] = 0;
        value[i] = (real)FN(sum_row)(term, n_classes);
    }
}

/* Slopes of differences into slopes of scores, in place: -slope*factor at every j, their sum times factor at c. The
 * sum is float64. O(n*K). */
static void FN(collect_own)(void *slopes, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                            double factor) {
    real *HF_RESTRICT slope = slopes;
    const real by = (real)factor;
    for (ptrdiff_t i = 0; i < n; i++, slope += n_classes) {
        real own;
        slope[columns[i]] = 0;
        own = (real)FN(sum_row)(slope, n_classes);
        for (ptrdiff_t j = 0; j < n_classes; j++)
            slope[j] = (0 - slope[j]) * by;
        slope[columns[i]] = own * by;
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

/* x[i,j] *= weights[i], +0 where the weight is zero, whatever x is. O(n*K). */
static void FN(scale_rows)(void *x, const double *weights, ptrdiff_t n, ptrdiff_t n_classes) {
    real *HF_RESTRICT to = x;
    for (ptrdiff_t i = 0; i < n; i++, to += n_classes) {
        const double weight = weights[i];
        if (weight == 0)
            memset(to, 0, (size_t)n_classes * sizeof(real));
        else
            for (ptrdiff_t j = 0; j < n_classes; j++)
                to[j] = (real)(weight * (double)to[j]);
    }
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

/* Values and slopes of the top-k hinge: with a_j = 1 - (s_c - s_j), a_c = 0, over the k largest a_j, the lowest
 * classes on ties, max(0, mean of a_j), or, with `each`, the mean of max(0, a_j). A row without a value has NaN slopes at
 * c and at every NaN class. `slopes` may be NULL; `space` holds K + k numbers. O(n*K*log k). */
static void FN(top_k)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, ptrdiff_t k,
                      int each, void *space, void *values, void *slopes) {
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
                if (!each)
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
            slope[own] = each ? -(real)((double)n_active / (double)k) : slope[own] - 1;
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
 * their slopes beside them. starts holds K + 1 numbers; rows and grouped hold n*K. O(n*K). */
static void FN(group_by_class)(const void *slopes, ptrdiff_t n, ptrdiff_t n_classes, int32_t *starts,
                               int32_t *rows, void *grouped) {
    const real *slope = slopes;
    real *to = grouped;
    int32_t end = 0;
    memset(starts, 0, (size_t)(n_classes + 1) * sizeof *starts);
    for (ptrdiff_t i = 0; i < n; i++, slope += n_classes)
        for (ptrdiff_t j = 0; j < n_classes; j++)
            starts[j] += slope[j] != 0;
    for (ptrdiff_t j = 0; j <= n_classes; j++) { /* counts into where each class begins */
        const int32_t count = starts[j];
        starts[j] = end;
        end += count;
    }
    slope = slopes;
    for (ptrdiff_t i = 0; i < n; i++, slope += n_classes)
        for (ptrdiff_t j = 0; j < n_classes; j++)
            if (slope[j] != 0) {
                rows[starts[j]] = (int32_t)i;
                to[starts[j]++] = slope[j];
            }
    for (ptrdiff_t j = n_classes; j > 0; j--) /* each start has moved to the next one's place */
        starts[j] = starts[j - 1];
    starts[0] = 0;
}
