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
    double lane[HF_VALUE_LANES], sum = 0;
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
    hf_store_wide(&sums, lane);
    return merge_lanes(lane);
}

/* Rows of few classes are turned over, so that rows stand in the lanes: tile[j][r] = x[r][j] for up to HF_TILE_LANES rows
 * of n_classes < HF_FEW_CLASSES numbers. Lanes without a row repeat the first one. Two groups of lanes, because a
 * line can be read back only when all that was stored to it one by one has left the store queue. O(n_classes). */
#define HF_TILE_LANES (2 * HF_VALUE_LANES)
#define HF_FEW_CLASSES (2 * HF_VALUE_LANES)
HF_INLINE void FN(turn_in)(const real *x, ptrdiff_t n_rows, ptrdiff_t n_classes,
                           real (*HF_RESTRICT tile)[HF_TILE_LANES]) {
    if (n_rows < HF_TILE_LANES)
        for (ptrdiff_t j = 0; j < n_classes; j++)
            for (int r = 0; r < HF_TILE_LANES; r++)
                tile[j][r] = x[j];
    for (ptrdiff_t r = 0; r < n_rows; r++, x += n_classes)
        for (ptrdiff_t j = 0; j < n_classes; j++)
            tile[j][r] = x[j];
}

/* The way back. O(n_classes). */
HF_INLINE void FN(turn_out)(real (*HF_RESTRICT tile)[HF_TILE_LANES], ptrdiff_t n_rows, ptrdiff_t n_classes,
                            real *HF_RESTRICT x) {
    for (ptrdiff_t r = 0; r < n_rows; r++, x += n_classes)
        for (ptrdiff_t j = 0; j < n_classes; j++)
            x[j] = tile[j][r];
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

/* The same for many classes, in 16 lanes; -1 where a key is not finite. A lane keeps its first best, and the merge takes the
 * lowest class. The last line ends at the last class and may overlap the one before it. O(n_classes). */
static int32_t FN(find_rival_in_lanes)(const real *key, int32_t own, ptrdiff_t n_classes) {
    enum { N = HF_VALUE_LANES };
    const int n_parts = N / PART_LANES;
    const ptrdiff_t n_whole = n_classes - n_classes % N, own_at = own - own % N, last_at = n_classes - N;
    real own_line[N], last_line[N];
    FN(part) best[N / PART_LANES], poison[N / PART_LANES];
    FN(part_bits) line[N / PART_LANES];
    memcpy(last_line, key + last_at, sizeof last_line);
    if (own >= last_at)
        last_line[own - last_at] = -(real)INFINITY;
    if (own_at < n_whole)
        memcpy(own_line, key + own_at, sizeof own_line);
    own_line[own % N] = -(real)INFINITY;
    HF_UNROLL
    for (int p = 0; p < n_parts; p++) {
        poison[p] = FN(no_part)();
        best[p] = FN(no_part)() - (real)INFINITY;
        memset(&line[p], 0, sizeof line[p]);
    }
    for (ptrdiff_t j = 0; j < n_classes; j += N) {
        const ptrdiff_t at = j < n_whole ? j : last_at;
        const real *from = at == last_at ? last_line : at == own_at ? own_line : key + at;
        HF_UNROLL
        for (int p = 0; p < n_parts; p++) {
            const FN(part) x = FN(load_part)(from + p * PART_LANES);
            const FN(part_bits) better = FN(greater_part)(x, best[p]);
            poison[p] += FN(load_part)(key + at + p * PART_LANES) * 0; /* NaN for infinities too */
            best[p] = FN(select_part)(better, x, best[p]);
            line[p] = FN(select_bits)(better, FN(all_bits)((FN(bit_pattern))at), line[p]);
        }
    }
    return FN(merge_rivals)(best, line, poison);
}

/* The same for up to 32 rows of few classes, rows in the lanes; 0 where a key is not finite, and then nothing holds.
 * O(n_classes). */
HF_INLINE int FN(find_rivals_of_few)(const real *keys, const int32_t *columns, ptrdiff_t n_rows,
                                     ptrdiff_t n_classes, int32_t *rivals) {
    enum { N = HF_VALUE_LANES };
    real tile[HF_FEW_CLASSES][HF_TILE_LANES], all_poison = 0;
    FN(turn_in)(keys, n_rows, n_classes, tile);
    for (ptrdiff_t first = 0; first < n_rows; first += N) {
        const int n_parts = N / PART_LANES;
        real poison_of[N];
        FN(bit_pattern) at_of[N], own_of[N];
        FN(part) best[N / PART_LANES], poison[N / PART_LANES];
        FN(part_bits) at[N / PART_LANES], own[N / PART_LANES];
        for (int r = 0; r < N; r++)
            own_of[r] = (FN(bit_pattern))columns[first + r < n_rows ? first + r : 0];
        HF_UNROLL
        for (int p = 0; p < n_parts; p++) {
            best[p] = FN(no_part)() - (real)INFINITY;
            poison[p] = FN(no_part)();
            at[p] = FN(all_bits)(0);
            memcpy(&own[p], own_of + p * PART_LANES, sizeof own[p]);
        }
        for (ptrdiff_t j = 0; j < n_classes; j++) {
            const FN(part_bits) here = FN(all_bits)((FN(bit_pattern))j);
            HF_UNROLL
            for (int p = 0; p < n_parts; p++) {
                const FN(part) x = FN(load_part)(tile[j] + first + p * PART_LANES);
                const FN(part_bits) is_own = FN(equal_bits)(own[p], here);
                const FN(part_bits) better = FN(greater_part)(x, best[p]) & ~is_own;
                poison[p] += x * 0;
                best[p] = FN(select_part)(better, x, best[p]);
                at[p] = FN(select_bits)(better, here, at[p]);
            }
        }
        HF_UNROLL
        for (int p = 0; p < n_parts; p++) {
            FN(store_part)(poison_of + p * PART_LANES, poison[p]);
            memcpy(at_of + p * PART_LANES, &at[p], sizeof at[p]);
        }
        for (ptrdiff_t r = 0; first + r < n_rows && r < N; r++)
            rivals[first + r] = (int32_t)at_of[r];
        HF_UNROLL
        for (int half = N / 2; half > 0; half /= 2) {
            HF_UNROLL
            for (int r = 0; r < half; r++)
                poison_of[r] += poison_of[r + half];
        }
        all_poison += poison_of[0];
    }
    return all_poison == 0;
}

/* rivals[i] = the class other than c with the largest key, the lowest one on ties and the first NaN before all;
 * margins[i] = s_c - key of the rival, or 0 - key where `scores` is NULL. O(n*K). */
static void FN(rival_margins)(const void *keys, const void *scores, const int32_t *columns, ptrdiff_t n,
                              ptrdiff_t n_classes, int32_t *rivals, void *margins) {
    const int few = n_classes < HF_FEW_CLASSES;
    real *margin = margins;
    for (ptrdiff_t i = 0; i < n;) {
        const real *key = (const real *)keys + i * n_classes;
        const ptrdiff_t n_rows = !few ? 1 : n - i < HF_TILE_LANES ? n - i : HF_TILE_LANES;
        int found;
        if (!few)
            found = (rivals[i] = FN(find_rival_in_lanes)(key, columns[i], n_classes)) >= 0;
        else if (HF_HAVE_GATHER && n_classes >= 4 && n_rows >= 4)
            found = FN(find_rivals_in_quads)(key, columns + i, n_rows, n_classes, rivals + i);
        else
            found = FN(find_rivals_of_few)(key, columns + i, n_rows, n_classes, rivals + i);
        for (const ptrdiff_t end = i + n_rows; i < end; i++, key += n_classes) {
            if (!found)
                rivals[i] = FN(find_rival)(key, columns[i], n_classes);
            margin[i] = (scores ? key[columns[i]] : 0) - key[rivals[i]];
        }
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

/* The formula of a family, a constant where this is inlined. */
HF_INLINE real FN(formula)(const int family, const hf_loss *loss, real u, real *slope) {
    switch (family) {
    case HF_HINGE:
        return FN(s_family)(loss, u, 1, slope);
    case HF_S_FAMILY:
        return FN(s_family)(loss, u, 0, slope);
    case HF_PSI_G:
        return FN(psi_g)(loss, u, slope);
    case HF_PSI_M:
        return FN(psi_m)(loss, u, slope);
    default:
        return FN(softplus)(loss, u, slope);
    }
}

/* One line of 16 terms of Weston-Watkins, phi(s_c - s_j), or of one-versus-rest (`rest`), phi(-s_j) and phi(s_c). Writes
 * factor times the slopes of the scores, but +0 at c in Weston-Watkins, and adds the values and, there, these slopes lane
 * by lane. Only with `mixed` there is a c, in the lanes whose mark is `own_mark`, and nothing from lane n_terms on. */
HF_INLINE void FN(add_terms)(const int family, const int rest, const int mixed, const hf_loss *loss,
                             const real *HF_RESTRICT s, const real *HF_RESTRICT own,
                             const FN(bit_pattern) *HF_RESTRICT marks, FN(bit_pattern) own_mark,
                             const FN(bit_pattern) n_terms, real factor, hf_wide *values, hf_wide *sums,
                             real *HF_RESTRICT slopes) {
    const real margin = (real)loss->margin;
    real value[HF_VALUE_LANES];
    for (int k = 0; k < HF_VALUE_LANES; k++) {
        const int at_own = mixed & (marks[k] == own_mark);
        const int none = mixed & (((FN(bit_pattern))k >= n_terms) | (at_own & (rest == 0)));
        const real m = rest ? (at_own ? s[k] : -s[k]) : own[k] - s[k];
        real slope, v = FN(formula)(family, loss, margin - m, &slope);
        value[k] = none ? 0 : v;
        slope = none ? 0 : slope;
        slopes[k] = (rest & at_own ? slope + 0 : 0 - slope) * factor;
    }
    FN(add_wide)(values, value);
    if (!rest)
        FN(add_wide)(sums, slopes);
}

/* Values and slopes of n rows, family and arrangement being constants where this is inlined. Few classes: rows in the
 * lanes, and the sum over classes in their order; many: classes in the lanes, merged by halves. O(n*K). */
HF_INLINE void FN(every_class)(const int family, const int rest, const hf_loss *given, const real *s,
                               const int32_t *columns, ptrdiff_t n, ptrdiff_t n_classes, real factor,
                               real *values, real *slopes) {
    enum { N = HF_VALUE_LANES };
    const hf_loss loss = *given;
    hf_wide value, sum;
    double value_of[N], sum_of[N];
    real own[N];
    FN(bit_pattern) lane[N];
    for (int k = 0; k < N; k++)
        lane[k] = (FN(bit_pattern))k;
    if (n_classes < HF_FEW_CLASSES) {
        for (ptrdiff_t i = 0; i < n; i += HF_TILE_LANES) {
            real tile[HF_FEW_CLASSES][HF_TILE_LANES], turned[HF_FEW_CLASSES][HF_TILE_LANES];
            const ptrdiff_t n_rows = n - i < HF_TILE_LANES ? n - i : HF_TILE_LANES;
            FN(turn_in)(s + i * n_classes, n_rows, n_classes, tile);
            for (ptrdiff_t first = 0; first < n_rows; first += N) {
                FN(bit_pattern) column[N];
                memset(&value, 0, sizeof value);
                memset(&sum, 0, sizeof sum);
                for (int r = 0; r < N; r++) {
                    const int32_t at = columns[i + (first + r < n_rows ? first + r : 0)];
                    column[r] = (FN(bit_pattern))at;
                    own[r] = tile[at][first + r];
                }
                for (ptrdiff_t j = 0; j < n_classes; j++)
                    FN(add_terms)(family, rest, 1, &loss, tile[j] + first, own, column, (FN(bit_pattern))j, N,
                                  factor, &value, &sum, turned[j] + first);
                hf_store_wide(&value, value_of);
                hf_store_wide(&sum, sum_of);
                for (ptrdiff_t r = 0; r < N && first + r < n_rows; r++) {
                    values[i + first + r] = (real)value_of[r];
                    if (!rest)
                        turned[columns[i + first + r]][first + r] = 0 - (real)sum_of[r];
                }
            }
            FN(turn_out)(turned, n_rows, n_classes, slopes + i * n_classes);
        }
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++, s += n_classes, slopes += n_classes) {
        const ptrdiff_t column = columns[i], n_tail = n_classes % N, n_whole = n_classes - n_tail;
        real padded[N] = {0}, padded_slopes[N];
        memset(&value, 0, sizeof value);
        memset(&sum, 0, sizeof sum);
        for (int k = 0; k < N; k++)
            own[k] = s[column];
        for (ptrdiff_t j = 0; j < n_whole; j += N)
            if ((size_t)(column - j) >= N)
                FN(add_terms)(family, rest, 0, &loss, s + j, own, lane, N, N, factor, &value, &sum,
                              slopes + j);
            else
                FN(add_terms)(family, rest, 1, &loss, s + j, own, lane, (FN(bit_pattern))(column - j), N,
                              factor, &value, &sum, slopes + j);
        if (n_tail) {
            memcpy(padded, s + n_whole, (size_t)n_tail * sizeof(real));
            FN(add_terms)(family, rest, 1, &loss, padded, own, lane, (FN(bit_pattern))(column - n_whole),
                          (FN(bit_pattern))n_tail, factor, &value, &sum, padded_slopes);
            memcpy(slopes + n_whole, padded_slopes, (size_t)n_tail * sizeof(real));
        }
        hf_store_wide(&value, value_of);
        values[i] = (real)merge_lanes(value_of);
        if (!rest) {
            hf_store_wide(&sum, sum_of);
            slopes[column] = 0 - (real)merge_lanes(sum_of);
        }
    }
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
#undef HF_TILE_LANES
#undef HF_FEW_CLASSES
