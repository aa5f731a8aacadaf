/* csr_squares.h - sums of squares of the entries of CSR rows, and of products of columns, in float64.
 *
 * Included once for each number type and type of column indices. Every entry has its own square, also where a row
 * stores a column twice: the norm is that of X only if no row does. Returned is the place of the first row with a column
 * index outside [0, n_features), or -1; arguments as in csr_score.h.
 */
#ifndef index_type /* opened alone */
#include "vectors.h"
#define index_type int64_t
#define IX(name) FN(HF_JOIN(name, i64))
#endif

/* norms[i] = sum of the squares of the entries of row i, entry k of a row in lane k mod 16, for n_rows rows. Indices are
 * only compared. O(number of entries). */
static ptrdiff_t IX(csr_square_rows)(const void *data, const void *indices, const int64_t *starts,
                                     const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                     double *norms) {
    const index_type *HF_RESTRICT index = indices;
    ptrdiff_t fault = -1;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        int outside = 0;
        for (int64_t e = starts[i]; e < ends[i]; e++)
            outside |= (uint64_t)(int64_t)index[e] >= (uint64_t)n_features;
        norms[i] = FN(squared_norm)((const real *)data + starts[i], 1, (ptrdiff_t)(ends[i] - starts[i]));
        fault = outside && fault < 0 ? i : fault;
    }
    return fault;
}

/* sums[indices[e]] += weights[i]*data[e]^2 over the entries of n_rows rows, in order; rows of weight 0 are left out, and
 * without weights all are 1. An index outside adds to column 0, of sums that are thrown away. O(number of entries). */
static ptrdiff_t IX(csr_square_columns)(const void *data, const void *indices, const int64_t *starts,
                                        const int64_t *ends, const double *weights, ptrdiff_t n_rows,
                                        ptrdiff_t n_features, double *sums) {
    const real *HF_RESTRICT x = data;
    const index_type *HF_RESTRICT index = indices;
    double *HF_RESTRICT sum = sums;
    ptrdiff_t fault = -1;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const double weight = weights != NULL ? weights[i] : 1;
        int outside = 0;
        if (weight == 0)
            continue;
        for (int64_t e = starts[i]; e < ends[i]; e++) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[e]);
            const double entry = (double)x[e];
            outside |= j >= (uint64_t)n_features;
            sum[j < (uint64_t)n_features ? j : 0] += weight * (entry * entry);
        }
        fault = outside && fault < 0 ? i : fault;
    }
    return fault;
}

/* The share of entries e to e + n - 1 of a row in product_columns, with themselves and those from `first` on; whether an index
 * is outside. */
HF_INLINE int IX(add_products)(const real *HF_RESTRICT x, const index_type *HF_RESTRICT index, int64_t first,
                               int64_t e, const int n, double weight, ptrdiff_t n_features, double *sums) {
    enum { MOST = 4 };
    uint64_t own[MOST];
    double left[MOST];
    double *sum[MOST];
    HF_UNROLL
    for (int r = 0; r < n; r++) {
        own[r] = (uint64_t)hf_pinned((int64_t)index[e + r]);
        if (own[r] >= (uint64_t)n_features)
            return 1;
        left[r] = weight * (double)x[e + r];
        sum[r] = sums + own[r] * (size_t)n_features;
    }
    for (int64_t f = first; f < e; f++) {
        const uint64_t k = (uint64_t)hf_pinned((int64_t)index[f]);
        if (k >= (uint64_t)n_features)
            return 1;
        HF_UNROLL
        for (int r = 0; r < n; r++)
            sum[r][k] += left[r] * (double)x[f];
    }
    HF_UNROLL
    for (int r = 0; r < n; r++) {
        for (int q = 0; q < r; q++)
            sum[r][own[q]] += left[r] * (double)x[e + q];
        sum[r][own[r]] += 0.5 * (left[r] * (double)x[e + r]);
        sums[(size_t)n_features * (size_t)n_features + own[r]] += left[r];
    }
    return 0;
}

/* Products of columns: for every two entries e and f < e of a row, sums[indices[e]][indices[f]] += weights[i]*data[e]*data[f],
 * and half of that for e = f, so that the sums plus their transpose are the products; and as products with a column of
 * ones behind the others sums[n_features][indices[e]] += weights[i]*data[e]. sums is (n_features + 1, n_features). Rows in
 * order; those of weight 0 are left out, and without weights all are 1. At an index outside it ends.
 * O(sum of squares of the numbers of entries). */
static ptrdiff_t IX(csr_product_columns)(const void *data, const void *indices, const int64_t *starts,
                                         const int64_t *ends, const double *weights, ptrdiff_t n_rows,
                                         ptrdiff_t n_features, double *sums) {
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const double weight = weights != NULL ? weights[i] : 1;
        int64_t e = starts[i];
        int outside = 0;
        if (weight == 0)
            continue;
        for (; e + 4 <= ends[i]; e += 4)
            outside |= IX(add_products)(data, indices, starts[i], e, 4, weight, n_features, sums);
        for (; e < ends[i]; e++)
            outside |= IX(add_products)(data, indices, starts[i], e, 1, weight, n_features, sums);
        if (outside)
            return i;
    }
    return -1;
}
