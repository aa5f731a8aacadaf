/* arrange.h - the slope stage of K classes: how a loss of several scores is put together from losses of one
 * margin. Knows no layout of X and no formula: margins go to the loops of slope.h and come back as values and slopes.
 *
 * Included once for float32 and once for float64. Blocks hold n rows of K numbers, one behind the other;
 * columns[i], in [0, K), is the true class c of row i. Differences are always formed as s_c - s_j first, so that
 * the same loss reached two ways has the same bits.
 */

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

/* rivals[i] = the class other than c with the largest key, the lowest one on ties and the first NaN before all;
 * margins[i] = s_c - key of the rival, or 0 - key where `scores` is NULL. O(n*K). */
static void FN(rival_margins)(const void *keys, const void *scores, const int32_t *columns, ptrdiff_t n,
                              ptrdiff_t n_classes, int32_t *rivals, void *margins) {
    enum { N = HF_VALUE_LANES };
    const real *key = keys;
    real *margin = margins;
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

/* Sixteen terms of Weston-Watkins, phi(s_c - s_j), or of one-versus-rest (`rest`), phi(-s_j) and phi(s_c), from sixteen
 * s_j and their s_c; at_own are the lanes of class c. Adds values and slopes lane by lane and writes factor times the
 * slopes, all of them zero in lanes that are not `kept`: those without a class, and c of Weston-Watkins. */
HF_INLINE void FN(add_terms)(const int family, const int rest, const hf_loss *loss, const real *scores,
                             FN(sixteen) own, unsigned at_own, unsigned kept, real factor, hf_wide *values,
                             FN(sixteen) *sums, real *slopes) {
    const FN(sixteen) s = FN(load_sixteen)(scores), zeros = FN(all_sixteen)(0);
    FN(sixteen) m, v, d;
    real u[HF_VALUE_LANES], value[HF_VALUE_LANES], slope[HF_VALUE_LANES];
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        m.p[p] = rest ? -s.p[p] : own.p[p] - s.p[p];
    if (rest)
        m = FN(select_sixteen)(at_own, s, m);
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        m.p[p] = (real)loss->margin - m.p[p];
    FN(store_sixteen)(u, m);
    HF_VECTORISE
    for (int k = 0; k < HF_VALUE_LANES; k++)
        value[k] = FN(formula)(family, loss, u[k], &slope[k]);
    v = FN(load_sixteen)(value);
    d = FN(load_sixteen)(slope);
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++) {
        m.p[p] = d.p[p] + 0;
        d.p[p] = 0 - d.p[p];
    }
    if (rest)
        d = FN(select_sixteen)(at_own, m, d);
    v = FN(select_sixteen)(kept, v, zeros);
    d = FN(select_sixteen)(kept, d, zeros);
    FN(add_sixteen)(values, v);
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++) {
        sums->p[p] += d.p[p];
        d.p[p] *= factor;
    }
    FN(store_sixteen)(slopes, d);
}

/* Values and slopes of n rows of fewer than sixteen classes, rows in the lanes and sums in the order of the classes.
 * The last sixteen rows may have been met before. O(n*K). */
HF_INLINE void FN(few_classes)(const int family, const int rest, const hf_loss *given, const real *scores,
                               const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, real factor,
                               real *values, real *all_slopes) {
    enum { N = HF_VALUE_LANES };
    const hf_loss loss = *given;
    for (ptrdiff_t next = 0; next < n; next += N) {
        const ptrdiff_t i = next + N <= n || n < N ? next : n - N, n_rows = n < N ? n : N;
        const real *s = scores + i * n_classes;
        real *slopes = all_slopes + i * n_classes;
        const FN(sixteen) column = FN(load_columns)(columns + i, n_rows), zeros = FN(all_sixteen)(0);
        FN(sixteen) own = zeros, sum = zeros;
        real tile[N][N], transposed[N][N], sum_of[N];
        double value_of[N];
        hf_wide value = hf_no_wide();
        FN(transpose_in)(s, n_rows, n_classes, tile);
        for (ptrdiff_t j = 0; j < n_classes; j++)
            own = FN(select_sixteen)(FN(lanes_equal)(column, FN(class_number)(j)), FN(load_sixteen)(tile[j]),
                                     own);
        for (ptrdiff_t j = 0; j < n_classes; j++) {
            const FN(sixteen) here = FN(class_number)(j);
            FN(add_terms)(family, rest, &loss, tile[j], own, FN(lanes_equal)(column, here),
                          rest ? HF_ALL_LANES : FN(lanes_unequal)(column, here), factor, &value, &sum,
                          transposed[j]);
        }
        FN(transpose_out)(transposed, n_rows, n_classes, slopes);
        memcpy(value_of, &value, sizeof value);
        for (ptrdiff_t r = 0; r < n_rows; r++)
            values[i + r] = (real)value_of[r];
        if (rest)
            continue;
        HF_UNROLL
        for (int p = 0; p < SIXTEEN_PARTS; p++)
            sum.p[p] = 0 - sum.p[p] * factor;
        FN(store_sixteen)(sum_of, sum);
        for (ptrdiff_t r = 0; r < n_rows; r++)
            slopes[r * n_classes + columns[i + r]] = sum_of[r];
    }
}

/* The same for many classes, which stand in the lanes themselves. Values are summed in float64, slopes in their own type
 * over four lines and then in float64. The last line of a row may reach into the next row, whose slopes are
 * written later; in the last row it is a copy. O(n*K). */
HF_INLINE void FN(many_classes)(const int family, const int rest, const hf_loss *given, const real *scores,
                                const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, real factor,
                                real *values, real *all_slopes) {
    enum { N = HF_VALUE_LANES, GROUP = 4 * HF_VALUE_LANES };
    const hf_loss loss = *given;
    const ptrdiff_t last_at = (n_classes - 1) & -N, n_last = n_classes - last_at;
    const unsigned in_last = hf_first_lanes(n_last);
    real padded[N] = {0}, padded_slopes[N];
    for (ptrdiff_t i = 0; i < n; i++) {
        const real *s = scores + i * n_classes;
        real *slopes = all_slopes + i * n_classes;
        const FN(sixteen) own = FN(all_sixteen)(s[columns[i]]);
        FN(sixteen) some = FN(all_sixteen)(0);
        hf_wide value = hf_no_wide(), sum = hf_no_wide();
        for (ptrdiff_t j = 0; j <= last_at; j += N) {
            const int is_copy = i == n - 1 && j == last_at;
            const unsigned at_own = hf_lane_of(columns[i] - j),
                           existing = j < last_at ? HF_ALL_LANES : in_last;
            if (is_copy)
                for (ptrdiff_t k = 0; k < n_last; k++)
                    padded[k] = s[j + k];
            FN(add_terms)(family, rest, &loss, is_copy ? padded : s + j, own, at_own,
                          rest ? existing : existing & ~at_own, factor, &value, &some,
                          is_copy ? padded_slopes : slopes + j);
            if (!rest && (j & (GROUP - N)) == GROUP - N) {
                FN(add_sixteen)(&sum, some);
                some = FN(all_sixteen)(0);
            }
        }
        if (i == n - 1)
            memcpy(slopes + last_at, padded_slopes, (size_t)n_last * sizeof(real));
        values[i] = (real)hf_merge_wide(value);
        if (!rest) {
            const double earlier = last_at < GROUP - N ? 0 : hf_merge_wide(sum);
            slopes[columns[i]] = 0 - (real)(earlier + (double)FN(merge_sixteen)(some)) * factor;
        }
    }
}

HF_INLINE void FN(every_class)(const int family, const int rest, const hf_loss *loss, const real *s,
                               const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, real factor,
                               real *values, real *slopes) {
    if (n_classes < HF_VALUE_LANES)
        FN(few_classes)(family, rest, loss, s, columns, n, n_classes, factor, values, slopes);
    else
        FN(many_classes)(family, rest, loss, s, columns, n, n_classes, factor, values, slopes);
}

/* values[i] = sum of phi(s_c - s_j) over j != c; slopes = factor times the slopes of the scores. O(n*K). */
#define HF_DEFINE_EVERY_CLASS(NAME, FAMILY)                                                                  \
    static void FN(weston_watkins_##NAME)(const hf_loss *loss, const void *scores, const int32_t *columns,   \
                                          ptrdiff_t n, ptrdiff_t n_classes, double factor, void *values,     \
                                          void *slopes) {                                                    \
        FN(every_class)(FAMILY, 0, loss, scores, columns, n, n_classes, (real)factor, values, slopes);       \
    } /* values[i] = phi(s_c) + sum of phi(-s_j) over j != c; slopes likewise. O(n*K). */                    \
    static void FN(one_vs_rest_##NAME)(const hf_loss *loss, const void *scores, const int32_t *columns,      \
                                       ptrdiff_t n, ptrdiff_t n_classes, double factor, void *values,        \
                                       void *slopes) {                                                       \
        FN(every_class)(FAMILY, 1, loss, scores, columns, n, n_classes, (real)factor, values, slopes);       \
    }
HF_DEFINE_EVERY_CLASS(hinge, HF_HINGE)
HF_DEFINE_EVERY_CLASS(s_family, HF_S_FAMILY)
HF_DEFINE_EVERY_CLASS(psi_g, HF_PSI_G)
HF_DEFINE_EVERY_CLASS(psi_m, HF_PSI_M)
HF_DEFINE_EVERY_CLASS(softplus, HF_SOFTPLUS)
#undef HF_DEFINE_EVERY_CLASS

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

/* Values and slopes of the top-k hinge: with a_j = 1 - (s_c - s_j), a_c = 0, over the k largest a_j, the lowest
 * classes on ties, max(0, mean of a_j), or, with `each`, the mean of max(0, a_j). A row without a value has NaN slopes at
 * c and at every NaN class. `slopes` may be NULL; `space` holds K + k numbers. O(n*K*log k). */
static void FN(top_k)(const void *scores, const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes,
                      ptrdiff_t k, int each, void *space, void *values, void *slopes) {
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
