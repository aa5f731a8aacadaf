/* class_accumulate.h - the accumulate stage of K classes: rows of X times their slopes, added to the gradient of one
 * class (dense) or of the classes beside each feature (CSR). Knows no loss.
 *
 * Included once for float32 and once for float64. As in accumulate.h every number of the gradient receives its
 * rows in row order; a class for which a row has no slope never sees that row.
 */

/* What the sums of one block of rows start from, and how they reach the gradient. */
#ifdef HF_REAL_IS_F64
HF_INLINE FN(part) FN(begin_sum)(const double *grad) { return FN(load_part)(grad); }
HF_INLINE real FN(begin_one)(const double *grad) { return *grad; }
HF_INLINE void FN(end_sums)(const real *sums, const ptrdiff_t n, double *HF_RESTRICT grad) {
    memcpy(grad, sums, (size_t)n * sizeof(real));
}
#else
HF_INLINE FN(part) FN(begin_sum)(const double *grad) {
    (void)grad;
    return FN(no_part)();
}
HF_INLINE real FN(begin_one)(const double *grad) {
    (void)grad;
    return 0;
}
HF_INLINE void FN(end_sums)(const real *sums, const ptrdiff_t n, double *HF_RESTRICT grad) {
    for (ptrdiff_t k = 0; k < n; k++)
        grad[k] += (double)sums[k];
}
#endif

/* grad += the sum of slopes[i]*rows[i] over n_rows rows of one block, in order; grad holds n_features numbers. float64
 * rows are added to the gradient one by one, float32 rows first to a float32 sum of the block. Eight registers of sums at a
 * time go over all rows, so that the gradient is read and written once. O(n_rows * n_features). */
static void FN(accumulate_class)(const void *const *rows, const void *slopes, ptrdiff_t n_rows,
                                 ptrdiff_t n_features, double *grad) {
    enum { N_SUMS = 8 };
    const real *slope = slopes;
    real sums[N_SUMS * PART_LANES];
    ptrdiff_t j = 0;
    for (; j + N_SUMS * PART_LANES <= n_features; j += N_SUMS * PART_LANES) {
        FN(part) sum[N_SUMS];
        HF_UNROLL
        for (int p = 0; p < N_SUMS; p++)
            sum[p] = FN(begin_sum)(grad + j + p * PART_LANES);
        for (ptrdiff_t i = 0; i < n_rows; i++) {
            const real *x = (const real *)rows[i] + j;
            HF_UNROLL
            for (int p = 0; p < N_SUMS; p++)
                sum[p] += FN(load_part)(x + p * PART_LANES) * slope[i];
        }
        HF_UNROLL
        for (int p = 0; p < N_SUMS; p++)
            FN(store_part)(sums + p * PART_LANES, sum[p]);
        FN(end_sums)(sums, N_SUMS * PART_LANES, grad + j);
    }
    for (; j + PART_LANES <= n_features; j += PART_LANES) {
        FN(part) sum = FN(begin_sum)(grad + j);
        for (ptrdiff_t i = 0; i < n_rows; i++)
            sum += FN(load_part)((const real *)rows[i] + j) * slope[i];
        FN(store_part)(sums, sum);
        FN(end_sums)(sums, PART_LANES, grad + j);
    }
    for (; j < n_features; j++) {
        sums[0] = FN(begin_one)(grad + j);
        for (ptrdiff_t i = 0; i < n_rows; i++)
            sums[0] += ((const real *)rows[i])[j] * slope[i];
        FN(end_sums)(sums, 1, grad + j);
    }
}

/* grad[indices[e]][k] += slopes[k]*data[e] for the n entries of one row, where there is a slope: elsewhere g stays,
 * whatever the entry is. Of all n_classes (a constant where they fill so few lines that their slopes stay in
 * registers), of two, or of n_active. csr_accumulate_classes, which calls them, says more. The stride is pinned: gcc
 * would read it from the stack for each entry, which took a tenth longer. */
#define HF_DEFINE_CSR_ACCUMULATE_ENTRIES(SUFFIX, INDEX)                                                      \
    HF_INLINE double *FN(sums_of_feature_##SUFFIX)(double *grad, const INDEX *index, uint64_t width,         \
                                                   int64_t stride) {                                         \
        const uint64_t j = (uint64_t)hf_pinned((int64_t)*index);                                             \
        return grad + (int64_t)(j < width ? j : 0) * stride;                                                 \
    }                                                                                                        \
    HF_INLINE void FN(csr_accumulate_all_##SUFFIX)(const real *x, const INDEX *index, int64_t n,             \
                                                   uint64_t width, const double *HF_RESTRICT slopes,         \
                                                   ptrdiff_t stride, ptrdiff_t n_classes, double *grad) {    \
        const int64_t step = hf_pinned(stride);                                                              \
        for (int64_t e = 0; e < n; e++) {                                                                    \
            double *HF_RESTRICT g = FN(sums_of_feature_##SUFFIX)(grad, index + e, width, step);              \
            const double entry = (double)x[e];                                                               \
            HF_VECTORISE                                                                                     \
            for (ptrdiff_t k = 0; k < n_classes; k++) {                                                      \
                const double sum = g[k] + entry * slopes[k];                                                 \
                g[k] = slopes[k] != 0 ? sum : g[k];                                                          \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    HF_INLINE void FN(csr_accumulate_two_##SUFFIX)(const real *x, const INDEX *index, int64_t n,             \
                                                   uint64_t width, const double *slopes, ptrdiff_t stride,   \
                                                   const int32_t *active, double *grad) {                    \
        const int64_t step = hf_pinned(stride), first = active[0], second = active[1];                       \
        const double first_slope = slopes[0], second_slope = slopes[1];                                      \
        for (int64_t e = 0; e < n; e++) {                                                                    \
            double *g = FN(sums_of_feature_##SUFFIX)(grad, index + e, width, step);                          \
            const double entry = (double)x[e];                                                               \
            g[first] += entry * first_slope;                                                                 \
            g[second] += entry * second_slope;                                                               \
        }                                                                                                    \
    }                                                                                                        \
    HF_INLINE void FN(csr_accumulate_few_##SUFFIX)(                                                          \
        const real *x, const INDEX *index, int64_t n, uint64_t width, const double *HF_RESTRICT slopes,      \
        ptrdiff_t stride, const int32_t *HF_RESTRICT active, ptrdiff_t n_active, double *grad) {             \
        const int64_t step = hf_pinned(stride);                                                              \
        for (int64_t e = 0; e < n; e++) {                                                                    \
            double *HF_RESTRICT g = FN(sums_of_feature_##SUFFIX)(grad, index + e, width, step);              \
            const double entry = (double)x[e];                                                               \
            for (ptrdiff_t a = 0; a < n_active; a++)                                                         \
                g[active[a]] += entry * slopes[a];                                                           \
        }                                                                                                    \
    }

/* grad[indices[e]][k] += slopes[i][k]*data[e] in float64 over the entries of n_rows CSR rows, in order, for the classes k
 * for which the row has a slope; grad has `stride` numbers a feature. Indices are clamped as in csr_accumulate_rows.
 * `active` and `active_slopes` are space for n_classes numbers each. O(number of entries * active classes). */
#define HF_DEFINE_CSR_ACCUMULATE_CLASSES(SUFFIX, INDEX)                                                      \
    static void FN(csr_accumulate_classes_##SUFFIX)(                                                         \
        const void *data, const void *indices, const int64_t *starts, const int64_t *ends,                   \
        const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features, ptrdiff_t n_classes, ptrdiff_t stride,   \
        int32_t *active, double *active_slopes, double *grad) {                                              \
        const real *slope = slopes;                                                                          \
        const uint64_t width = (uint64_t)n_features;                                                         \
        const ptrdiff_t lines = stride / HF_F64_LANES;                                                       \
        for (ptrdiff_t i = 0; i < n_rows; i++, slope += n_classes) {                                         \
            const real *x = (const real *)data + starts[i];                                                  \
            const INDEX *index = (const INDEX *)indices + starts[i];                                         \
            const int64_t n = ends[i] - starts[i];                                                           \
            ptrdiff_t n_active = 0;                                                                          \
            for (ptrdiff_t k = 0; k < n_classes; k++) {                                                      \
                active[n_active] = (int32_t)k;                                                               \
                active_slopes[n_active] = (double)slope[k];                                                  \
                n_active += slope[k] != 0;                                                                   \
            }                                                                                                \
            if (4 * n_active < n_classes) {                                                                  \
                if (n_active == 2)                                                                           \
                    FN(csr_accumulate_two_##SUFFIX)(x, index, n, width, active_slopes, stride, active,       \
                                                    grad);                                                   \
                else if (n_active > 0)                                                                       \
                    FN(csr_accumulate_few_##SUFFIX)(x, index, n, width, active_slopes, stride, active,       \
                                                    n_active, grad);                                         \
                continue;                                                                                    \
            }                                                                                                \
            if (lines == 0 || lines > HF_CSR_LINES) {                                                        \
                for (ptrdiff_t k = 0; k < n_classes; k++)                                                    \
                    active_slopes[k] = (double)slope[k];                                                     \
                FN(csr_accumulate_all_##SUFFIX)(x, index, n, width, active_slopes, stride, n_classes, grad); \
                continue;                                                                                    \
            }                                                                                                \
            double padded[HF_CSR_LINES * HF_F64_LANES] = {0};                                                \
            for (ptrdiff_t k = 0; k < n_classes; k++)                                                        \
                padded[k] = (double)slope[k];                                                                \
            if (lines == 1)                                                                                  \
                FN(csr_accumulate_all_##SUFFIX)(x, index, n, width, padded, stride, HF_F64_LANES, grad);     \
            else if (lines == 2 || HF_CSR_LINES == 2)                                                        \
                FN(csr_accumulate_all_##SUFFIX)(x, index, n, width, padded, stride, 2 * HF_F64_LANES, grad); \
            else if (lines == 3)                                                                             \
                FN(csr_accumulate_all_##SUFFIX)(x, index, n, width, padded, stride, 3 * HF_F64_LANES, grad); \
            else                                                                                             \
                FN(csr_accumulate_all_##SUFFIX)(x, index, n, width, padded, stride, 4 * HF_F64_LANES, grad); \
        }                                                                                                    \
    }
HF_DEFINE_CSR_ACCUMULATE_ENTRIES(i32, int32_t)
HF_DEFINE_CSR_ACCUMULATE_ENTRIES(i64, int64_t)
HF_DEFINE_CSR_ACCUMULATE_CLASSES(i32, int32_t)
HF_DEFINE_CSR_ACCUMULATE_CLASSES(i64, int64_t)
#undef HF_DEFINE_CSR_ACCUMULATE_ENTRIES
#undef HF_DEFINE_CSR_ACCUMULATE_CLASSES

/* out[k][j] = total[j][k]/divisor + alpha*coef[k][j], rounded once: finish_grad for a gradient with classes beside each
 * feature. O(n_classes * n_features). */
static void FN(finish_features)(const double *total, ptrdiff_t n_classes, ptrdiff_t n_features,
                                ptrdiff_t stride, double divisor, double alpha, const void *coef, void *out) {
    for (ptrdiff_t first = 0; first < n_features; first += 64)
        for (ptrdiff_t k = 0; k < n_classes; k++) {
            const double *from = total + k;
            const real *w = (const real *)coef + k * n_features; /* may be out itself */
            real *to = (real *)out + k * n_features;
            for (ptrdiff_t j = first; j < first + 64 && j < n_features; j++) {
                const double grad = from[j * stride] / divisor;
                to[j] = (real)(alpha == 0 ? grad : grad + alpha * (double)w[j]);
            }
        }
}
