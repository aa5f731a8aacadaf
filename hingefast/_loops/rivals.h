/* rivals.h - which class has the largest key.
 *
 * Included once for float32 and once for float64. A maximum has no rounding, so it is found first, in any order, and
 * then the lowest class that has it.
 */
#ifndef real /* opened alone */
#include "transpose.h"
#endif

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

/* The number of a class below sixteen, in all lanes. */
HF_INLINE FN(sixteen) FN(class_number)(ptrdiff_t j) {
    static const real numbers[HF_VALUE_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return FN(all_sixteen)(numbers[j]);
}

/* The columns of up to sixteen rows as real numbers; lanes without a row repeat the first. */
HF_INLINE FN(sixteen) FN(load_columns)(const int32_t *columns, ptrdiff_t n_rows) {
    real column[HF_VALUE_LANES];
    if (n_rows == HF_VALUE_LANES)
        for (int r = 0; r < HF_VALUE_LANES; r++)
            column[r] = (real)columns[r];
    else
        for (int r = 0; r < HF_VALUE_LANES; r++)
            column[r] = (real)columns[r < n_rows ? r : 0];
    return FN(load_sixteen)(column);
}

/* The rival of a row of at least sixteen finite keys, classes in the lanes; -1 where one is not finite or their sum
 * overflows. What lies behind the keys may be read too, unless `at_end`. There is no branch on where c or the rival
 * is: a wrong guess would cost more than a line. O(n_classes). */
HF_NOINLINE int32_t FN(find_rival_in_lanes)(const real *key, int32_t own, ptrdiff_t n_classes, int at_end) {
    enum { N = HF_VALUE_LANES, SEARCHED = 16 * HF_VALUE_LANES };
    const ptrdiff_t last_at = (n_classes - 1) & -N;
    const unsigned in_last = hf_first_lanes(n_classes - last_at);
    const FN(sixteen) none = FN(all_sixteen)(-(real)INFINITY), zeros = FN(all_sixteen)(0);
    FN(sixteen) best = none, sum = zeros;
    real last[N] = {0};
    for (ptrdiff_t j = 0; j <= last_at; j += N) {
        const int is_copy = at_end && j == last_at;
        FN(sixteen) x, rival;
        if (is_copy)
            for (ptrdiff_t k = 0; j + k < n_classes; k++)
                last[k] = key[j + k];
        x = FN(load_sixteen)(is_copy ? last : key + j);
        rival = FN(select_sixteen)((j < last_at ? HF_ALL_LANES : in_last) & ~hf_lane_of(own - j), x, none);
        HF_UNROLL
        for (int p = 0; p < SIXTEEN_PARTS; p++) {
            sum.p[p] += x.p[p];
            best.p[p] = FN(max_part)(best.p[p], rival.p[p]);
        }
    }
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++) /* zero where the sum is finite, which takes finite keys */
        sum.p[p] -= sum.p[p];
    if (FN(lanes_equal)(sum, zeros) != HF_ALL_LANES)
        return -1;
    best = FN(all_sixteen)(FN(max_of_sixteen)(best));
    for (ptrdiff_t from = 0; from <= last_at; from += SEARCHED) {
        const ptrdiff_t end = last_at - from < SEARCHED ? last_at : from + SEARCHED - N;
        ptrdiff_t at = n_classes;
        for (ptrdiff_t j = end; j >= from; j -= N) { /* the lowest class comes last */
            const FN(sixteen) x = FN(load_sixteen)(at_end && j == last_at ? last : key + j);
            const unsigned rivals = (j < last_at ? HF_ALL_LANES : in_last) & ~hf_lane_of(own - j);
            const unsigned found = FN(lanes_equal)(x, best) & rivals;
            const ptrdiff_t here = j + hf_lowest_bit(found | (HF_ALL_LANES + 1)),
                            none_here = -(ptrdiff_t)!found;
            at = (at & none_here) | (here & ~none_here);
        }
        if (at < n_classes)
            return (int32_t)at;
    }
    return -1; /* the keys changed in between */
}

/* The rivals of up to sixteen rows of fewer than sixteen classes, rows in the lanes, and own[i] - key of the rival, with
 * the key of c for `own`, or 0 where `subtract_from_own` is not set. Returns 0 where a key is not finite or a sum
 * overflows, and then nothing holds. O(n_classes). */
HF_NOINLINE int FN(find_rivals_of_few)(const real *keys, const int32_t *columns, ptrdiff_t n_rows,
                                       ptrdiff_t n_classes, int subtract_from_own, int32_t *rivals,
                                       real *margins) {
    enum { N = HF_VALUE_LANES };
    real tile[N][N], rival_of[N], margin_of[N];
    const FN(sixteen) column = FN(load_columns)(columns, n_rows), zeros = FN(all_sixteen)(0);
    const FN(sixteen) none = FN(all_sixteen)(-(real)INFINITY);
    FN(sixteen) best = none, own = zeros, rival = zeros, sum = zeros;
    FN(transpose_in)(keys, n_rows, n_classes, tile);
    for (ptrdiff_t j = 0; j < n_classes; j++) {
        const FN(sixteen) x = FN(load_sixteen)(tile[j]);
        const unsigned at_own = FN(lanes_equal)(column, FN(class_number)(j));
        const FN(sixteen) key = FN(select_sixteen)(at_own, none, x);
        FN(store_sixteen)(tile[j], key);
        own = FN(select_sixteen)(at_own, x, own);
        HF_UNROLL
        for (int p = 0; p < SIXTEEN_PARTS; p++) {
            sum.p[p] += x.p[p];
            best.p[p] = FN(max_part)(best.p[p], key.p[p]);
        }
    }
    for (ptrdiff_t j = n_classes - 1; j >= 0; j--) /* the lowest class comes last */
        rival =
            FN(select_sixteen)(FN(lanes_equal)(FN(load_sixteen)(tile[j]), best), FN(class_number)(j), rival);
    HF_UNROLL
    for (int p = 0; p < SIXTEEN_PARTS; p++) {
        sum.p[p] -= sum.p[p]; /* zero where it is finite, which takes finite keys */
        best.p[p] = (subtract_from_own ? own.p[p] : zeros.p[p]) - best.p[p];
    }
    FN(store_sixteen)(rival_of, rival);
    FN(store_sixteen)(margin_of, best);
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        rivals[r] = (int32_t)rival_of[r];
        margins[r] = margin_of[r];
    }
    return FN(lanes_equal)(sum, zeros) == HF_ALL_LANES;
}
