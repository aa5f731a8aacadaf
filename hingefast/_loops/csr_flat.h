/* csr_flat.h - the products of CSR rows, one behind the other, summed row by row.
 *
 * Included once for float32 and once for float64. Of short rows the products are computed without regard to where a row
 * ends, so that no branch is guessed wrong there; this is the rest.
 */
#ifndef real /* opened alone */
#include "four.h"
#endif

/* The lanes of a row whose products these are, l0 .. l3 and l4 .. l7 added, if it has at most 4*n_fours, of 1 to 4 (a
 * constant where this is inlined). All but the last four are known to be its own where `are_whole`. */
HF_INLINE FN(four)
    FN(add_row_products)(const real *products, ptrdiff_t length, const int n_fours, const int are_whole) {
    FN(four) lanes[4];
    HF_UNROLL
    for (int q = 0; q < n_fours; q++) {
        lanes[q] = FN(load_four)(products + 4 * q);
        if (q == n_fours - 1 || !are_whole)
            lanes[q] = FN(first_of_four)(lanes[q], 4 * q, length);
    }
    if (n_fours > 2)
        lanes[0] = FN(add_four)(lanes[0], lanes[2]);
    if (n_fours > 3)
        lanes[1] = FN(add_four)(lanes[1], lanes[3]);
    return n_fours > 1 ? FN(add_four)(lanes[0], lanes[1]) : lanes[0];
}

/* The same for any length. */
HF_INLINE FN(four) FN(add_long_products)(const real *products, ptrdiff_t length) {
    FN(four) low = FN(no_four)(), high = FN(no_four)();
    for (ptrdiff_t k = 0; k < length; k += 8) {
        const ptrdiff_t left = length - k < 8 ? length - k : 8;
        low = FN(add_four)(low, FN(first_of_four)(FN(load_four)(products + k), 0, left));
        high = FN(add_four)(high, FN(first_of_four)(FN(load_four)(products + k + 4), 4, left));
    }
    return FN(add_four)(low, high);
}

/* scores[i] = the sum of the products of row i, plus the intercept, of n_rows rows, a multiple of four. n_fours is 0 where a
 * row may have more than 16. O(n_rows). */
HF_INLINE void FN(sum_strip)(const real *products, const int64_t *starts, const int64_t *ends,
                             ptrdiff_t n_rows, const int n_fours, const int are_whole, real intercept,
                             real *scores) {
    const FN(four) bias = FN(four_of)(intercept, intercept, intercept, intercept);
    for (ptrdiff_t i = 0; i < n_rows; i += 4) {
        FN(four) row[4];
        HF_UNROLL
        for (int r = 0; r < 4; r++) {
            const real *p = products + (starts[i + r] - starts[0]);
            const ptrdiff_t length = (ptrdiff_t)(ends[i + r] - starts[i + r]);
            row[r] = n_fours ? FN(add_row_products)(p, length, n_fours, are_whole)
                             : FN(add_long_products)(p, length);
        }
        /* lanes begin at +0: no sum of them is -0 */
        FN(four) sums = FN(add_four)(FN(sums_of_fours)(row[0], row[1], row[2], row[3]), FN(no_four)());
        FN(store_four)(scores + i, FN(add_four)(sums, bias));
    }
}

/* The same, whatever their lengths. */
static void FN(sum_rows)(const real *products, const int64_t *starts, const int64_t *ends, ptrdiff_t n_rows,
                         real intercept, real *scores) {
    int64_t longest = 0, shortest = 0;
    for (ptrdiff_t i = 0; i < n_rows; i++)
        longest = longest < ends[i] - starts[i] ? ends[i] - starts[i] : longest;
    shortest = longest;
    for (ptrdiff_t i = 0; i < n_rows; i++)
        shortest = shortest > ends[i] - starts[i] ? ends[i] - starts[i] : shortest;
    if (longest > 16)
        FN(sum_strip)(products, starts, ends, n_rows, 0, 0, intercept, scores);
    else if (longest > 12 && shortest >= 12)
        FN(sum_strip)(products, starts, ends, n_rows, 4, 1, intercept, scores);
    else if (longest > 12)
        FN(sum_strip)(products, starts, ends, n_rows, 4, 0, intercept, scores);
    else if (longest > 8)
        FN(sum_strip)(products, starts, ends, n_rows, 3, 0, intercept, scores);
    else if (longest > 4)
        FN(sum_strip)(products, starts, ends, n_rows, 2, 0, intercept, scores);
    else
        FN(sum_strip)(products, starts, ends, n_rows, 1, 0, intercept, scores);
}
