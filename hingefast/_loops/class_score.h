/* class_score.h - the score stage of K classes: rows of X times every row of coef, plus intercepts. Knows no loss.
 *
 * Included once for float32 and once for float64. Classes stand in the lanes, so that each score is a sum over
 * features in their order: in dense rows over stretches of HF_STRETCH features, whose sums are added one after
 * the other; in CSR rows over the stored entries. coef is read from a copy with classes side by side.
 */

/* Features of a stretch: 16 KB of a panel, which is a line of classes, stay in a first-level cache beside the rows. */
#ifndef HF_STRETCH
#define HF_STRETCH ((ptrdiff_t)256)
#endif

/* Rows scored together: their sums take half of the registers of a level, and more than eight rows would have no
 * registers for their addresses. */
#define PANEL_ROWS                                                                                           \
    (HF_REGISTERS / 2 / PARTS > 8 ? 8 : HF_REGISTERS / 2 / PARTS < 1 ? 1 : HF_REGISTERS / 2 / PARTS)

/* sums[r] = sum of rows[r][j]*panel[j] over n_features features from `first` on, for PANEL_ROWS rows and one line of
 * classes. Prefetches `ahead` bytes behind what it reads of the rows, unless that is 0. O(PANEL_ROWS * n_features). */
HF_INLINE void FN(score_panel)(const void *const *rows, ptrdiff_t first, ptrdiff_t n_features,
                               const real *HF_RESTRICT panel, ptrdiff_t ahead,
                               real (*HF_RESTRICT sums)[HF_LINE_BYTES / sizeof(real)]) {
    const real *row[PANEL_ROWS];
    FN(part) sum[PANEL_ROWS][HF_LINE_BYTES / sizeof(FN(part))];
    HF_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++) {
        row[r] = (const real *)rows[r] + first;
        HF_UNROLL
        for (int k = 0; k < PARTS; k++)
            sum[r][k] = FN(no_part)();
    }
    for (ptrdiff_t j = 0; j < n_features;) {
        const ptrdiff_t end = j + LANES < n_features ? j + LANES : n_features;
        if (ahead != 0) {
            HF_UNROLL
            for (int r = 0; r < PANEL_ROWS; r++)
                HF_PREFETCH((const char *)(row[r] + j) + ahead);
        }
        for (; j < end; j++, panel += LANES) {
            HF_UNROLL
            for (int k = 0; k < PARTS; k++) {
                const FN(part) w = FN(load_part)(panel + k * PART_LANES);
                HF_UNROLL
                for (int r = 0; r < PANEL_ROWS; r++)
                    sum[r][k] += row[r][j] * w;
            }
        }
    }
    HF_UNROLL
    for (int r = 0; r < PANEL_ROWS; r++) {
        HF_UNROLL
        for (int k = 0; k < PARTS; k++)
            FN(store_part)(sums[r] + k * PART_LANES, sum[r][k]);
    }
}

/* out += sums, or = sums for the first stretch, and += bias for the last, over n classes. O(n). */
HF_INLINE void FN(add_stretch)(const real *HF_RESTRICT sums, const real *HF_RESTRICT bias, const ptrdiff_t n,
                               int is_first, int is_last, real *HF_RESTRICT out) {
    for (ptrdiff_t k = 0; k < n; k++) {
        const real sum = is_first ? sums[k] : out[k] + sums[k];
        out[k] = is_last ? sum + bias[k] : sum;
    }
}

/* scores[i][k] = rows[i] . coef[k] + intercepts[k] for n_rows rows of n_features numbers, from the copy that
 * pack_panels made. While a stretch of a panel is in a first-level cache all rows pass over it; a row is brought
 * there by the first panel, and the row `ahead` bytes behind it prefetched. O(n_rows * n_features * n_classes). */
static void FN(score_classes)(const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features,
                              const void *panels, ptrdiff_t n_classes, const void *intercepts,
                              ptrdiff_t ahead, void *scores) {
    const real *bias = intercepts;
    ptrdiff_t first = 0;
    do {
        const ptrdiff_t length = n_features - first < HF_STRETCH ? n_features - first : HF_STRETCH;
        const int is_first = first == 0, is_last = first + length == n_features;
        for (ptrdiff_t at = 0; at < n_classes; at += LANES) {
            const real *panel = (const real *)panels + at * n_features + first * LANES;
            const ptrdiff_t width = n_classes - at < LANES ? n_classes - at : LANES;
            for (ptrdiff_t i = 0; i < n_rows; i += PANEL_ROWS) {
                const void *tile[PANEL_ROWS]; /* the last one is filled up with its first row */
                real sums[PANEL_ROWS][HF_LINE_BYTES / sizeof(real)];
                for (int r = 0; r < PANEL_ROWS; r++)
                    tile[r] = rows[i + r < n_rows ? i + r : i];
                FN(score_panel)(tile, first, length, panel, at ? 0 : ahead, sums);
                for (int r = 0; r < PANEL_ROWS && i + r < n_rows; r++) {
                    real *HF_RESTRICT out = (real *)scores + (i + r) * n_classes + at;
                    if (width == LANES) /* a constant length is a vector or two */
                        FN(add_stretch)(sums[r], bias + at, LANES, is_first, is_last, out);
                    else
                        FN(add_stretch)(sums[r], bias + at, width, is_first, is_last, out);
                }
            }
        }
        first += length;
    } while (first < n_features);
}

/* CSR rows times `lines` lines of classes from line `at` on; see csr_score_classes, which calls it with constants. */
#define HF_DEFINE_CSR_SCORE_LINES(SUFFIX, INDEX)                                                             \
    HF_INLINE int FN(csr_score_lines_##SUFFIX)(const real *x, const INDEX *index, int64_t n, uint64_t width, \
                                               const real *w, ptrdiff_t stride, const int lines,             \
                                               real *out) {                                                  \
        FN(line) sum[HF_CSR_LINES];                                                                          \
        int outside = 0;                                                                                     \
        const int64_t step = hf_pinned((int64_t)stride);                                                     \
        memset(sum, 0, sizeof sum);                                                                          \
        for (int64_t k = 0; k < n; k++) {                                                                    \
            const uint64_t j = (uint64_t)hf_pinned((int64_t)index[k]);                                       \
            const real *at = w + (ptrdiff_t)(j < width ? j : 0) * step, entry = x[k];                        \
            outside |= j >= width;                                                                           \
            HF_UNROLL                                                                                        \
            for (int l = 0; l < lines; l++) {                                                                \
                HF_UNROLL                                                                                    \
                for (int p = 0; p < PARTS; p++)                                                              \
                    sum[l].p[p] += entry * FN(load_part)(at + l * LANES + p * PART_LANES);                   \
            }                                                                                                \
        }                                                                                                    \
        HF_UNROLL                                                                                            \
        for (int l = 0; l < lines; l++) {                                                                    \
            HF_UNROLL                                                                                        \
            for (int p = 0; p < PARTS; p++)                                                                  \
                FN(store_part)(out + l * LANES + p * PART_LANES, sum[l].p[p]);                               \
        }                                                                                                    \
        return outside;                                                                                      \
    }

/* scores[i][k] = sum of data[e]*coef[k][indices[e]] over starts[i] <= e < ends[i], in order, plus intercepts[k], from
 * the copy that pack_features made with `stride` numbers a feature and a line to spare behind the last. Column
 * indices are clamped as in csr_score_rows, and the place of the first row with one outside is returned (else -1).
 * O(number of entries * n_classes). */
#define HF_DEFINE_CSR_SCORE_CLASSES(SUFFIX, INDEX)                                                           \
    static ptrdiff_t FN(csr_score_classes_##SUFFIX)(                                                         \
        const void *data, const void *indices, const int64_t *starts, const int64_t *ends, ptrdiff_t n_rows, \
        ptrdiff_t n_features, const void *coef, ptrdiff_t stride, ptrdiff_t n_classes,                       \
        const void *intercepts, void *scores) {                                                              \
        const real *bias = intercepts;                                                                       \
        real *out = scores;                                                                                  \
        ptrdiff_t fault = -1;                                                                                \
        for (ptrdiff_t i = 0; i < n_rows; i++, out += n_classes)                                             \
            for (ptrdiff_t at = 0; at < n_classes; at += HF_CSR_LINES * LANES) {                             \
                const real *x = (const real *)data + starts[i], *w = (const real *)coef + at;                \
                const INDEX *index = (const INDEX *)indices + starts[i];                                     \
                const int64_t n = ends[i] - starts[i];                                                       \
                const uint64_t width = (uint64_t)n_features;                                                 \
                const ptrdiff_t left = n_classes - at, lines = (left + LANES - 1) / LANES;                   \
                real sums[HF_CSR_LINES * HF_LINE_BYTES / sizeof(real)];                                      \
                int outside;                                                                                 \
                if (lines == 1)                                                                              \
                    outside = FN(csr_score_lines_##SUFFIX)(x, index, n, width, w, stride, 1, sums);          \
                else if (lines == 2 || HF_CSR_LINES == 2)                                                    \
                    outside = FN(csr_score_lines_##SUFFIX)(x, index, n, width, w, stride, 2, sums);          \
                else if (lines == 3)                                                                         \
                    outside = FN(csr_score_lines_##SUFFIX)(x, index, n, width, w, stride,                    \
                                                           HF_CSR_LINES < 3 ? HF_CSR_LINES : 3, sums);       \
                else                                                                                         \
                    outside =                                                                                \
                        FN(csr_score_lines_##SUFFIX)(x, index, n, width, w, stride, HF_CSR_LINES, sums);     \
                fault = outside && fault < 0 ? i : fault;                                                    \
                for (ptrdiff_t k = 0; k < left && k < HF_CSR_LINES * LANES; k++)                             \
                    out[at + k] = sums[k] + bias[at + k];                                                    \
            }                                                                                                \
        return fault;                                                                                        \
    }

/* The same from coef itself, (n_classes, n_features) of either type, rounded as it is read: for batches so small that
 * a copy would cost more. Same bits. */
#define HF_DEFINE_CSR_SCORE_UNPACKED(SUFFIX, INDEX, TYPE)                                                    \
    static ptrdiff_t FN(csr_score_unpacked_##SUFFIX)(                                                        \
        const void *data, const void *indices, const int64_t *starts, const int64_t *ends, ptrdiff_t n_rows, \
        ptrdiff_t n_features, const void *coef, ptrdiff_t n_classes, const void *intercepts, void *scores) { \
        const real *x = data, *bias = intercepts;                                                            \
        const INDEX *index = indices;                                                                        \
        real *HF_RESTRICT out = scores;                                                                      \
        ptrdiff_t fault = -1;                                                                                \
        for (ptrdiff_t i = 0; i < n_rows; i++, out += n_classes) {                                           \
            int outside = 0;                                                                                 \
            memset(out, 0, (size_t)n_classes * sizeof(real));                                                \
            for (int64_t e = starts[i]; e < ends[i]; e++) {                                                  \
                const uint64_t j = (uint64_t)hf_pinned((int64_t)index[e]);                                   \
                const TYPE *w = (const TYPE *)coef + (j < (uint64_t)n_features ? j : 0);                     \
                outside |= j >= (uint64_t)n_features;                                                        \
                for (ptrdiff_t k = 0; k < n_classes; k++)                                                    \
                    out[k] += x[e] * (real)w[k * n_features];                                                \
            }                                                                                                \
            for (ptrdiff_t k = 0; k < n_classes; k++)                                                        \
                out[k] += bias[k];                                                                           \
            fault = outside && fault < 0 ? i : fault;                                                        \
        }                                                                                                    \
        return fault;                                                                                        \
    }
HF_DEFINE_CSR_SCORE_LINES(i32, int32_t)
HF_DEFINE_CSR_SCORE_LINES(i64, int64_t)
HF_DEFINE_CSR_SCORE_CLASSES(i32, int32_t)
HF_DEFINE_CSR_SCORE_CLASSES(i64, int64_t)
HF_DEFINE_CSR_SCORE_UNPACKED(i32_from_f32, int32_t, float)
HF_DEFINE_CSR_SCORE_UNPACKED(i64_from_f32, int64_t, float)
HF_DEFINE_CSR_SCORE_UNPACKED(i32_from_f64, int32_t, double)
HF_DEFINE_CSR_SCORE_UNPACKED(i64_from_f64, int64_t, double)
#undef HF_DEFINE_CSR_SCORE_LINES
#undef HF_DEFINE_CSR_SCORE_CLASSES
#undef HF_DEFINE_CSR_SCORE_UNPACKED

/* Copies of coef, (n_classes, n_features) of either type, with classes side by side, rounded and padded with zeros.
 * pack_panels: out[p][j] is the line of classes p*LANES and on, feature j. pack_features: out[j][k] with `stride` numbers a feature. Both
 * go over 64 features at a time, so that what they write is in a first-level cache. O(n_classes * n_features). */
#define HF_DEFINE_PACK(SUFFIX, TYPE)                                                                         \
    static void FN(pack_panels_from_##SUFFIX)(const void *coef, ptrdiff_t n_classes, ptrdiff_t n_features,   \
                                              void *out) {                                                   \
        real *to = out;                                                                                      \
        for (ptrdiff_t at = 0; at < n_classes; at += LANES, to += n_features * LANES)                        \
            for (ptrdiff_t first = 0; first < n_features; first += 64)                                       \
                for (ptrdiff_t k = 0; k < LANES; k++) {                                                      \
                    const TYPE *from = (const TYPE *)coef + (at + k) * n_features;                           \
                    for (ptrdiff_t j = first; j < first + 64 && j < n_features; j++)                         \
                        to[j * LANES + k] = at + k < n_classes ? (real)from[j] : 0;                          \
                }                                                                                            \
    }                                                                                                        \
    static void FN(pack_features_from_##SUFFIX)(const void *coef, ptrdiff_t n_classes, ptrdiff_t n_features, \
                                                ptrdiff_t stride, void *out) {                               \
        real *to = out;                                                                                      \
        for (ptrdiff_t first = 0; first < n_features; first += 64)                                           \
            for (ptrdiff_t k = 0; k < stride; k++) {                                                         \
                const TYPE *from = (const TYPE *)coef + k * n_features;                                      \
                for (ptrdiff_t j = first; j < first + 64 && j < n_features; j++)                             \
                    to[j * stride + k] = k < n_classes ? (real)from[j] : 0;                                  \
            }                                                                                                \
    }
HF_DEFINE_PACK(f32, float)
HF_DEFINE_PACK(f64, double)
#undef HF_DEFINE_PACK
#undef HF_STRETCH
#undef PANEL_ROWS
