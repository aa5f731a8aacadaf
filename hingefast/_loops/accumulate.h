/* accumulate.h - the accumulate stage: rows of X times their slopes, added to the gradient. Knows no loss.
 *
 * Included once for float32 and once for float64. Every number of the gradient receives its rows one by
 * one in row order, so neither the size of a tile nor rows left out can change its bits.
 */

/* grad += slopes[r]*rows[r] over n_rows rows (a constant where this is inlined), in order, in the line of columns that begins at j. */
HF_INLINE void FN(accumulate_line)(const real *const *rows, const real *slopes, const int n_rows, ptrdiff_t j,
                                   real *HF_RESTRICT grad) {
    HF_UNROLL
    for (int k = 0; k < PARTS; k++) {
        const ptrdiff_t at = j + k * PART_LANES;
        FN(part) g = FN(load_part)(grad + at);
        HF_UNROLL
        for (int r = 0; r < n_rows; r++)
            g += FN(load_part)(rows[r] + at) * slopes[r];
        FN(store_part)(grad + at, g);
    }
}

/* The same in the n columns from j on, fewer than a line. */
HF_INLINE void FN(accumulate_tail)(const real *const *rows, const real *slopes, const int n_rows, ptrdiff_t j,
                                   ptrdiff_t n, real *HF_RESTRICT grad) {
    FN(line) g = FN(load_tail)(grad + j, n);
    HF_UNROLL
    for (int r = 0; r < n_rows; r++) {
        const FN(line) x = FN(load_tail)(rows[r] + j, n);
        HF_UNROLL
        for (int k = 0; k < PARTS; k++)
            g.p[k] += x.p[k] * slopes[r];
    }
    FN(store_tail)(grad + j, n, &g);
}

/* n_rows earlier rows (a constant where this is inlined) times their slopes into grad, in order. O(n_rows * n_features). */
HF_INLINE void FN(accumulate_few)(const void *const *rows, const real *slopes, const int n_rows,
                                  ptrdiff_t n_features, real *HF_RESTRICT grad) {
    const ptrdiff_t n_tail = n_features % LANES, end = n_features - n_tail;
    const real *x[4];
    real slope[4];
    HF_UNROLL
    for (int r = 0; r < n_rows; r++) {
        x[r] = rows[r];
        slope[r] = slopes[r];
    }
    for (ptrdiff_t j = 0; j < end; j += LANES)
        FN(accumulate_line)(x, slope, n_rows, j, grad);
    if (n_tail)
        FN(accumulate_tail)(x, slope, n_rows, end, n_tail, grad);
}

/* grad += slopes[i]*rows[i] over n_rows rows of n_features numbers, in order. O(n_rows * n_features). */
static void FN(accumulate_rows)(const void *const *rows, const void *slopes, ptrdiff_t n_rows,
                                ptrdiff_t n_features, void *grad) {
    const real *slope = slopes;
    ptrdiff_t i = 0;
    for (; i + 4 <= n_rows; i += 4)
        FN(accumulate_few)(rows + i, slope + i, 4, n_features, grad);
    for (; i < n_rows; i++)
        FN(accumulate_few)(rows + i, slope + i, 1, n_features, grad);
}

/* grad += block_grad, block_grad = 0, over n numbers. O(n). */
static void FN(flush)(void *block_grad, ptrdiff_t n, double *grad) {
    real *HF_RESTRICT block = block_grad;
    for (ptrdiff_t j = 0; j < n; j++) {
        grad[j] += (double)block[j];
        block[j] = 0;
    }
}

/* grad[indices[k]] += slopes[i]*data[k] in float64 over the entries of n_rows CSR rows, in order; rows whose
 * slope is zero are skipped. Indices are clamped as in csr_score_rows: one outside adds nothing anywhere
 * but to column 0, of a gradient that is thrown away. O(number of entries of active rows). */
#define HF_DEFINE_CSR_ACCUMULATE(SUFFIX, INDEX)                                                              \
    static void FN(csr_accumulate_rows_##SUFFIX)(                                                            \
        const void *data, const void *indices, const int64_t *starts, const int64_t *ends,                   \
        const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features, double *grad) {                          \
        const real *HF_RESTRICT x = data, *HF_RESTRICT slope = slopes;                                       \
        const INDEX *HF_RESTRICT index = indices;                                                            \
        double *HF_RESTRICT g = grad;                                                                        \
        const uint64_t width = (uint64_t)n_features;                                                         \
        for (ptrdiff_t i = 0; i < n_rows; i++) {                                                             \
            const double s = (double)slope[i];                                                               \
            const int64_t end = ends[i];                                                                     \
            int64_t k = starts[i];                                                                           \
            if (s == 0)                                                                                      \
                continue;                                                                                    \
            for (; k + 4 <= end;                                                                             \
                 k += 4) { /* four indices ahead of the additions, which wait for one another */             \
                uint64_t j[4];                                                                               \
                HF_UNROLL                                                                                    \
                for (int q = 0; q < 4; q++) {                                                                \
                    j[q] = (uint64_t)hf_pinned((int64_t)index[k + q]);                                       \
                    j[q] = j[q] < width ? j[q] : 0;                                                          \
                }                                                                                            \
                HF_UNROLL                                                                                    \
                for (int q = 0; q < 4; q++)                                                                  \
                    g[j[q]] += (double)x[k + q] * s;                                                         \
            }                                                                                                \
            for (; k < end; k++) {                                                                           \
                const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k]);                                   \
                g[j < width ? j : 0] += (double)x[k] * s;                                                    \
            }                                                                                                \
        }                                                                                                    \
    }
HF_DEFINE_CSR_ACCUMULATE(i32, int32_t)
HF_DEFINE_CSR_ACCUMULATE(i64, int64_t)
#undef HF_DEFINE_CSR_ACCUMULATE
