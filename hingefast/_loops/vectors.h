/* vectors.h - what a pass does once with coef-sized vectors: the penalty and the finished gradient.
 *
 * Included once for float32 and once for float64: the type of the caller's coef and gradient.
 */

/* Sum of coef[j]^2 in float64, over 16 fixed lanes. O(n). */
static double FN(squared_norm)(const void *coef, ptrdiff_t n) {
    const real *HF_RESTRICT w = coef;
    double sum[HF_VALUE_LANES] = {0};
    ptrdiff_t j = 0;
    for (; j + HF_VALUE_LANES <= n; j += HF_VALUE_LANES)
        for (int k = 0; k < HF_VALUE_LANES; k++)
            sum[k] += (double)w[j + k] * (double)w[j + k];
    for (int k = 0; j + k < n; k++)
        sum[k] += (double)w[j + k] * (double)w[j + k];
    return merge_lanes(sum);
}

/* out[j] = total[j]/divisor + alpha*coef[j], rounded once to the type of out and coef. O(n). */
static void FN(finish_grad)(const double *total, ptrdiff_t n, double divisor, double alpha, const void *coef,
                            void *out) {
    const double *HF_RESTRICT from = total;
    const real *w = coef; /* may be out itself: the element is read before it is written */
    real *to = out;
    if (alpha == 0)
        for (ptrdiff_t j = 0; j < n; j++)
            to[j] = (real)(from[j] / divisor);
    else
        for (ptrdiff_t j = 0; j < n; j++)
            to[j] = (real)(from[j] / divisor + alpha * (double)w[j]);
}

/* out[j] = coef[j] in this type. O(n). */
static void FN(round_coef_from_f32)(const void *coef, ptrdiff_t n, void *out) {
    const float *HF_RESTRICT from = coef;
    real *HF_RESTRICT to = out;
    for (ptrdiff_t j = 0; j < n; j++)
        to[j] = (real)from[j];
}
static void FN(round_coef_from_f64)(const void *coef, ptrdiff_t n, void *out) {
    const double *HF_RESTRICT from = coef;
    real *HF_RESTRICT to = out;
    for (ptrdiff_t j = 0; j < n; j++)
        to[j] = (real)from[j];
}

/* theta[j] -= rate*grad[j], in the type of theta, rate rounded to it. O(n). */
static void FN(step)(const void *grad, ptrdiff_t n, double rate, void *theta) {
    const real *HF_RESTRICT g = grad;
    real *HF_RESTRICT to = theta;
    const real by = (real)rate;
    for (ptrdiff_t j = 0; j < n; j++)
        to[j] -= by * g[j];
}

/* The same for the columns that n_rows CSR rows store, straight from the float64 sum of slopes*entries:
 * theta[j] -= rate * (total[j]/divisor). Sets total[j] to 0 as it goes, so that a column stored twice is
 * stepped once. Indices are clamped as in csr_score_rows. O(number of entries). */
#define HF_DEFINE_STEP_SPARSE(SUFFIX, INDEX)                                                                 \
    static void FN(step_sparse_##SUFFIX)(const void *indices, const int64_t *starts, const int64_t *ends,    \
                                         ptrdiff_t n_rows, ptrdiff_t n_features, double *total,              \
                                         double divisor, double rate, void *theta) {                         \
        const INDEX *HF_RESTRICT index = indices;                                                            \
        double *HF_RESTRICT sum = total;                                                                     \
        real *HF_RESTRICT to = theta;                                                                        \
        const real by = (real)rate;                                                                          \
        for (ptrdiff_t i = 0; i < n_rows; i++)                                                               \
            for (int64_t k = starts[i]; k < ends[i]; k++) {                                                  \
                uint64_t j = (uint64_t)(int64_t)index[k];                                                    \
                j = j < (uint64_t)n_features ? j : 0;                                                        \
                if (sum[j] != 0) {                                                                           \
                    to[j] -= by * (real)(sum[j] / divisor);                                                  \
                    sum[j] = 0;                                                                              \
                }                                                                                            \
            }                                                                                                \
    }
HF_DEFINE_STEP_SPARSE(i32, int32_t)
HF_DEFINE_STEP_SPARSE(i64, int64_t)
#undef HF_DEFINE_STEP_SPARSE
