/* csr_score.h - the score stage of CSR rows: their entries times coef, one score a row or K. Knows no loss.
 *
 * Included once for each number type and type of column indices. A column index is checked in the register that it is used
 * from: at one outside [0, n_features) the loop returns the place of its row, the first that has one (else -1). starts and
 * ends must lie within data and indices; n_features must not be 0 where a row has entries.
 */
#ifndef index_type /* opened alone */
#include "csr_flat.h"
#define index_type int64_t
#define IX(name) FN(HF_JOIN(name, i64))
#endif

/* K numbers a column that take more than FAR_BYTES together are asked for COLUMNS_AHEAD entries ahead: the few entries that
 * a processor has in hand need fewer lines than it could wait for. Scores of 20 classes of 20 Newsgroups take 0.85 of the
 * time in float64, 0.5 in float32 (Zen 4, loops alone). FAR_BYTES, a quarter of a second-level cache, is not tuned. */
#define COLUMNS_AHEAD 16
#define FAR_BYTES 262144

/* The n entries of x (four, as a rule, and a constant where this is inlined) times the coefficients they name, and +0;
 * returns whether all indices are inside. The indices are in registers before the branches, which are never taken: scalar
 * loads put together, because gathers are no faster anywhere and much slower on some processors. */
HF_INLINE int IX(four_products)(const real *x, const index_type *index, const int n, const real *w,
                                uint64_t width, FN(four) *products) {
    uint64_t j[4];
    HF_UNROLL
    for (int q = 0; q < n; q++) {
        j[q] = (uint64_t)hf_pinned((int64_t)index[q]);
        if (j[q] >= width)
            return 0;
    }
    if (n == 4)
        *products = FN(multiply_four)(FN(load_four)(x), FN(four_of)(w[j[0]], w[j[1]], w[j[2]], w[j[3]]));
    else
        *products = FN(four_of)(x[0] * w[j[0]], n > 1 ? x[1] * w[j[1]] : 0, n > 2 ? x[2] * w[j[2]] : 0, 0);
    return 1;
}

/* The same for n of 0 to 3, which is no constant. */
HF_INLINE int IX(few_products)(const real *x, const index_type *index, int64_t n, const real *w,
                               uint64_t width, FN(four) *products) {
    if (n == 1)
        return IX(four_products)(x, index, 1, w, width, products);
    if (n == 2)
        return IX(four_products)(x, index, 2, w, width, products);
    if (n == 3)
        return IX(four_products)(x, index, 3, w, width, products);
    *products = FN(no_four)();
    return 1;
}

/* The sum of the products of one row of n entries, plus the intercept, into `out`; returns whether all indices are
 * inside. O(n). */
HF_INLINE int IX(csr_score_row)(const real *x, const index_type *index, int64_t n, const real *w,
                                uint64_t width, real intercept, real *out) {
    FN(four) sum = FN(no_four)(), next = FN(no_four)(), products, added;
    int64_t k = 0;
    for (; k + 4 <= n; k += 4) {
        if (!IX(four_products)(x + k, index + k, 4, w, width, &products))
            return 0;
        added = FN(add_four)(sum, products);
        sum = next; /* the two halves of the lanes in turns */
        next = added;
    }
    if (!IX(few_products)(x + k, index + k, n - k, w, width, &products))
        return 0;
    *out = FN(sum_of_four)(FN(add_four)(FN(add_four)(sum, products), next)) + intercept;
    return 1;
}

/* Rows that are scored together, if they have no more entries than so many each, on average. Over the time that
 * they take one by one, on Zen 4: rows of 14 entries 0.93, of 0 to 114, 12 on average, 0.6 (there the end of a row is
 * guessed wrong), of 22 1.02, of 78 1.17 (products are stored and read again). For full rows see CSR.look_at_block. */
#define STRIP_ROWS 32
#define FLAT_ENTRIES 20

/* The scores of n_rows rows that follow one another, a multiple of four and at most STRIP_ROWS; returns the place of the
 * first with an index outside, or -1. O(number of entries). */
HF_INLINE ptrdiff_t IX(csr_score_strip)(const real *x, const index_type *index, const int64_t *starts,
                                        const int64_t *ends, ptrdiff_t n_rows, const real *w, uint64_t width,
                                        real intercept, real *out) {
    real products[STRIP_ROWS * FLAT_ENTRIES + 4 +
                  16]; /* a last group of four, and what is read behind a row */
    const int64_t first = starts[0], n = ends[n_rows - 1] - first;
    FN(four) four;
    int64_t k = 0;
    x += first;
    index += first;
    for (; k + 4 <= n; k += 4) {
        if (!IX(four_products)(x + k, index + k, 4, w, width, &four))
            break;
        FN(store_four)(products + k, four);
    }
    if (k + 4 <= n || !IX(few_products)(x + k, index + k, n - k, w, width, &four)) {
        ptrdiff_t i = 0;
        while (k < n && (uint64_t)(int64_t)index[k] < width)
            k++;
        while (i < n_rows - 1 && ends[i] <= first + k)
            i++;
        return i;
    }
    FN(store_four)(products + k, four);
    memset(products + k + 4, 0, 16 * sizeof(real)); /* read behind the last row */
    FN(sum_rows)(products, starts, ends, n_rows, intercept, out);
    return -1;
}

/* scores[i] = sum of data[k]*coef[indices[k]] over starts[i] <= k < ends[i], plus the intercept. Entry k of a row is added
 * into lane k mod 8, and the lanes are merged by halves. `follow`: each row begins where the one before it ends.
 * O(number of entries). */
static ptrdiff_t IX(csr_score_rows)(const void *data, const void *indices, const int64_t *starts,
                                    const int64_t *ends, ptrdiff_t n_rows, int follow, ptrdiff_t n_features,
                                    const void *coef, double intercept, void *scores) {
    const real *x = data, *w = coef;
    const index_type *index = indices;
    const uint64_t width = (uint64_t)n_features;
    real *out = scores;
    for (ptrdiff_t at = 0, n; at < n_rows; at += n) {
        n = n_rows - at < STRIP_ROWS ? n_rows - at : STRIP_ROWS;
        if (n >= 4)
            n = n / 4 * 4;
        if (follow && ends[at + n - 1] == starts[at]) {
            for (ptrdiff_t i = at; i < at + n; i++)
                out[i] = 0 + (real)intercept;
            continue;
        }
        if (follow && n >= 4 && ends[at + n - 1] - starts[at] <= n * FLAT_ENTRIES) {
            const ptrdiff_t fault =
                IX(csr_score_strip)(x, index, starts + at, ends + at, n, w, width, (real)intercept, out + at);
            if (fault >= 0)
                return at + fault;
            continue;
        }
        for (ptrdiff_t i = at; i < at + n; i++)
            if (!IX(csr_score_row)(x + starts[i], index + starts[i], ends[i] - starts[i], w, width,
                                   (real)intercept, out + i))
                return i;
    }
    return -1;
}

/* Asks for `bytes` bytes of what stands for the column `index` names, at `stride` bytes a column; it may name none. */
HF_INLINE void IX(prefetch_column)(const void *first, const index_type *index, ptrdiff_t stride,
                                   const ptrdiff_t bytes) {
    const uintptr_t at = (uintptr_t)first + (uintptr_t)(int64_t)*index * (uintptr_t)stride;
    for (ptrdiff_t b = 0; b < bytes; b += HF_LINE_BYTES)
        HF_PREFETCH((const char *)(at + (uintptr_t)b));
}

/* The entry from which on none is asked for, COLUMNS_AHEAD before the last end of n rows; 0 where all are near. O(n). */
HF_INLINE int64_t IX(end_of_asking)(const int64_t *ends, ptrdiff_t n, ptrdiff_t bytes) {
    int64_t last = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        last = ends[i] > last ? ends[i] : last;
    return bytes > FAR_BYTES ? last - COLUMNS_AHEAD : 0;
}

/* sum += the entry x times the classes of its column; returns whether there is no such column. */
HF_INLINE int IX(csr_score_entry)(real x, const index_type *index, uint64_t width, const real *w,
                                  int64_t stride, const int lines, FN(line) *sum) {
    const uint64_t j = (uint64_t)hf_pinned((int64_t)*index);
    const real *at = w + (ptrdiff_t)(j < width ? j : 0) * stride;
    HF_UNROLL
    for (int l = 0; l < lines; l++) {
        HF_UNROLL
        for (int p = 0; p < PARTS; p++)
            sum[l].p[p] += x * FN(load_part)(at + l * LANES + p * PART_LANES);
    }
    return j >= width;
}

/* One row of n entries times `lines` lines of classes (a constant where this is inlined): csr_score_classes says more. For
 * the first n_ahead of them, the numbers of an entry further on are asked for. */
HF_INLINE int IX(csr_score_lines)(const real *x, const index_type *index, int64_t n, int64_t n_ahead,
                                  uint64_t width, const real *w, ptrdiff_t stride, const int lines,
                                  real *out) {
    FN(line) sum[HF_CSR_LINES];
    int outside = 0;
    int64_t k = 0;
    const int64_t step = hf_pinned((int64_t)stride);
    memset(sum, 0, sizeof sum);
    for (; k < n_ahead; k++) {
        IX(prefetch_column)(w, index + k + COLUMNS_AHEAD, step * (ptrdiff_t)sizeof(real),
                            lines * HF_LINE_BYTES);
        outside |= IX(csr_score_entry)(x[k], index + k, width, w, step, lines, sum);
    }
    for (; k < n; k++)
        outside |= IX(csr_score_entry)(x[k], index + k, width, w, step, lines, sum);
    HF_UNROLL
    for (int l = 0; l < lines; l++) {
        HF_UNROLL
        for (int p = 0; p < PARTS; p++)
            FN(store_part)(out + l * LANES + p * PART_LANES, sum[l].p[p]);
    }
    return outside;
}

/* scores[i][k] = sum of data[e]*coef[k][indices[e]] over starts[i] <= e < ends[i], in order, plus intercepts[k], from
 * the copy that pack_features made with `stride` numbers a feature and a line to spare behind the last.
 * O(number of entries * n_classes). */
static ptrdiff_t IX(csr_score_classes)(const void *data, const void *indices, const int64_t *starts,
                                       const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                       const void *coef, ptrdiff_t stride, ptrdiff_t n_classes,
                                       const void *intercepts, void *scores) {
    const real *bias = intercepts;
    real *out = scores;
    const int64_t ahead_end = IX(end_of_asking)(ends, n_rows, n_features * stride * (ptrdiff_t)sizeof(real));
    ptrdiff_t fault = -1;
    for (ptrdiff_t i = 0; i < n_rows; i++, out += n_classes)
        for (ptrdiff_t at = 0; at < n_classes; at += HF_CSR_LINES * LANES) {
            const real *x = (const real *)data + starts[i], *w = (const real *)coef + at;
            const index_type *index = (const index_type *)indices + starts[i];
            const int64_t n = ends[i] - starts[i], left_ahead = ahead_end - starts[i];
            const int64_t n_ahead = left_ahead < n ? left_ahead : n;
            const uint64_t width = (uint64_t)n_features;
            const ptrdiff_t left = n_classes - at, lines = (left + LANES - 1) / LANES;
            real sums[HF_CSR_LINES * HF_LINE_BYTES / sizeof(real)];
            int outside;
            if (lines == 1)
                outside = IX(csr_score_lines)(x, index, n, n_ahead, width, w, stride, 1, sums);
            else if (lines == 2 || HF_CSR_LINES == 2)
                outside = IX(csr_score_lines)(x, index, n, n_ahead, width, w, stride, 2, sums);
            else if (lines == 3)
                outside = IX(csr_score_lines)(x, index, n, n_ahead, width, w, stride,
                                              HF_CSR_LINES < 3 ? HF_CSR_LINES : 3, sums);
            else
                outside = IX(csr_score_lines)(x, index, n, n_ahead, width, w, stride, HF_CSR_LINES, sums);
            fault = outside && fault < 0 ? i : fault;
            for (ptrdiff_t k = 0; k < left && k < HF_CSR_LINES * LANES; k++)
                out[at + k] = sums[k] + bias[at + k];
        }
    return fault;
}

/* The same from coef itself, (n_classes, n_features) of float32 or float64 (`is_f64`, a constant where this is inlined),
 * rounded as it is read: for batches so small that a copy would cost more. Same bits. */
HF_INLINE real IX(coef_at)(const void *coef, const int is_f64, ptrdiff_t at) {
    return is_f64 ? (real)((const double *)coef)[at] : (real)((const float *)coef)[at];
}
HF_INLINE ptrdiff_t IX(score_unpacked)(const int is_f64, const void *data, const void *indices,
                                       const int64_t *starts, const int64_t *ends, ptrdiff_t n_rows,
                                       ptrdiff_t n_features, const void *coef, ptrdiff_t n_classes,
                                       const void *intercepts, void *scores) {
    const real *x = data, *bias = intercepts;
    const index_type *index = indices;
    real *HF_RESTRICT out = scores;
    ptrdiff_t fault = -1;
    for (ptrdiff_t i = 0; i < n_rows; i++, out += n_classes) {
        int outside = 0;
        memset(out, 0, (size_t)n_classes * sizeof(real));
        for (int64_t e = starts[i]; e < ends[i]; e++) {
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[e]);
            const ptrdiff_t at = (ptrdiff_t)(j < (uint64_t)n_features ? j : 0);
            outside |= j >= (uint64_t)n_features;
            for (ptrdiff_t k = 0; k < n_classes; k++)
                out[k] += x[e] * IX(coef_at)(coef, is_f64, at + k * n_features);
        }
        for (ptrdiff_t k = 0; k < n_classes; k++)
            out[k] += bias[k];
        fault = outside && fault < 0 ? i : fault;
    }
    return fault;
}
static ptrdiff_t IX(csr_score_unpacked_f32)(const void *data, const void *indices, const int64_t *starts,
                                            const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                            const void *coef, ptrdiff_t n_classes, const void *intercepts,
                                            void *scores) {
    return IX(score_unpacked)(0, data, indices, starts, ends, n_rows, n_features, coef, n_classes, intercepts,
                              scores);
}
static ptrdiff_t IX(csr_score_unpacked_f64)(const void *data, const void *indices, const int64_t *starts,
                                            const int64_t *ends, ptrdiff_t n_rows, ptrdiff_t n_features,
                                            const void *coef, ptrdiff_t n_classes, const void *intercepts,
                                            void *scores) {
    return IX(score_unpacked)(1, data, indices, starts, ends, n_rows, n_features, coef, n_classes, intercepts,
                              scores);
}
