/* every_class.h - the slope stage of losses that compare every class: Weston-Watkins and one-versus-rest.
 *
 * Included once for each family of losses and number type (family.h). Blocks as in arrange.h.
 */

/* Sixteen terms of Weston-Watkins, phi(s_c - s_j), or of one-versus-rest (`is_rest`, a constant where this is inlined),
 * phi(-s_j) and phi(s_c), from sixteen s_j and their s_c; at_own are the lanes of class c. Adds values and slopes lane by
 * lane and writes factor times the slopes, both zero in lanes that are not `counted`: lanes without a class, and that of c
 * in Weston-Watkins. */
HF_INLINE void OF(add_terms)(const int is_rest, const hf_loss *loss, const real *scores, FN(sixteen) own,
                             unsigned at_own, unsigned counted, real factor, hf_wide *values,
                             FN(sixteen) *sums, real *slopes) {
    const FN(sixteen) s = FN(load_sixteen)(scores), zeros = FN(all_sixteen)(0);
    FN(sixteen) m, v, d;
    real u[HF_VALUE_LANES], value[HF_VALUE_LANES], slope[HF_VALUE_LANES];
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        m.p[p] = is_rest ? -s.p[p] : own.p[p] - s.p[p];
    if (is_rest)
        m = FN(select_sixteen)(at_own, s, m);
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++)
        m.p[p] = (real)loss->margin - m.p[p];
    FN(store_sixteen)(u, m);
    HF_VECTORISE
    for (int k = 0; k < HF_VALUE_LANES; k++)
        value[k] = FN(FAMILY)(loss, u[k], &slope[k]);
    v = FN(load_sixteen)(value);
    d = FN(load_sixteen)(slope);
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++) {
        m.p[p] = d.p[p] + 0;
        d.p[p] = 0 - d.p[p];
    }
    if (is_rest)
        d = FN(select_sixteen)(at_own, m, d);
    v = FN(select_sixteen)(counted, v, zeros);
    d = FN(select_sixteen)(counted, d, zeros);
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
HF_INLINE void OF(few_classes)(const int is_rest, const hf_loss *given, const real *scores,
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
            OF(add_terms)(is_rest, &loss, tile[j], own, FN(lanes_equal)(column, here),
                          is_rest ? HF_ALL_LANES : FN(lanes_unequal)(column, here), factor, &value, &sum,
                          transposed[j]);
        }
        FN(transpose_out)(transposed, n_rows, n_classes, slopes);
        memcpy(value_of, &value, sizeof value);
        for (ptrdiff_t r = 0; r < n_rows; r++)
            values[i + r] = (real)value_of[r];
        if (is_rest)
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
 * over four lines (line_sums) and then in float64. The last line of a row may reach into the next row, whose slopes are
 * written later; in the last row it is a copy. O(n*K). */
HF_INLINE void OF(many_classes)(const int is_rest, const hf_loss *given, const real *scores,
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
        FN(sixteen) line_sums = FN(all_sixteen)(0);
        hf_wide value = hf_no_wide(), sum = hf_no_wide();
        for (ptrdiff_t j = 0; j <= last_at; j += N) {
            const int is_copy = i == n - 1 && j == last_at;
            const unsigned at_own = hf_lane_of(columns[i] - j),
                           existing = j < last_at ? HF_ALL_LANES : in_last;
            if (is_copy)
                for (ptrdiff_t k = 0; k < n_last; k++)
                    padded[k] = s[j + k];
            OF(add_terms)(is_rest, &loss, is_copy ? padded : s + j, own, at_own,
                          is_rest ? existing : existing & ~at_own, factor, &value, &line_sums,
                          is_copy ? padded_slopes : slopes + j);
            if (!is_rest && (j & (GROUP - N)) == GROUP - N) {
                FN(add_sixteen)(&sum, line_sums);
                line_sums = FN(all_sixteen)(0);
            }
        }
        if (i == n - 1)
            memcpy(slopes + last_at, padded_slopes, (size_t)n_last * sizeof(real));
        values[i] = (real)hf_merge_wide(value);
        if (!is_rest) {
            const double earlier = last_at < GROUP - N ? 0 : hf_merge_wide(sum);
            slopes[columns[i]] = 0 - (real)(earlier + (double)FN(merge_sixteen)(line_sums)) * factor;
        }
    }
}

HF_INLINE void OF(every_class)(const int is_rest, const hf_loss *loss, const real *s, const int32_t *columns,
                               ptrdiff_t n, ptrdiff_t n_classes, real factor, real *values, real *slopes) {
    if (n_classes < HF_VALUE_LANES)
        OF(few_classes)(is_rest, loss, s, columns, n, n_classes, factor, values, slopes);
    else
        OF(many_classes)(is_rest, loss, s, columns, n, n_classes, factor, values, slopes);
}

/* values[i] = sum of phi(s_c - s_j) over j != c; slopes = factor times the slopes of the scores. O(n*K). */
static void OF(weston_watkins)(const hf_loss *loss, const void *scores, const int32_t *columns, ptrdiff_t n,
                               ptrdiff_t n_classes, double factor, void *values, void *slopes) {
    OF(every_class)(0, loss, scores, columns, n, n_classes, (real)factor, values, slopes);
}

/* values[i] = phi(s_c) + sum of phi(-s_j) over j != c; slopes likewise. O(n*K). */
static void OF(one_vs_rest)(const hf_loss *loss, const void *scores, const int32_t *columns, ptrdiff_t n,
                            ptrdiff_t n_classes, double factor, void *values, void *slopes) {
    OF(every_class)(1, loss, scores, columns, n, n_classes, (real)factor, values, slopes);
}
