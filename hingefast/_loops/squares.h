/* squares.h - sums of squares of the numbers of X, and of products of columns, in float64: what solvers take for step sizes,
 * scales and second derivatives.
 *
 * Included once for float32 and once for float64. Squares neither overflow nor vanish in float64 where X is float32; those
 * of float64 numbers beyond 2^511 are infinite.
 */
#ifndef real /* opened alone */
#include "vectors.h"
#endif

/* norms[i] = sum of rows[i][j]^2 over n_features numbers, in sixteen lanes by j, for n_rows rows.
 * O(n_rows * n_features). */
static void FN(square_rows)(const void *const *rows, ptrdiff_t n_rows, ptrdiff_t n_features, double *norms) {
    for (ptrdiff_t i = 0; i < n_rows; i++)
        norms[i] = FN(squared_norm)(rows[i], 1, n_features);
}

/* sums[j] += weights[i]*rows[i][j]^2 over n_rows rows, in order, for n_features columns; rows of weight 0 are left out, and
 * without weights all are 1. O(n_rows * n_features). */
static void FN(square_columns)(const void *const *rows, const double *weights, ptrdiff_t n_rows,
                               ptrdiff_t n_features, double *sums) {
    double *HF_RESTRICT sum = sums;
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const real *HF_RESTRICT x = rows[i];
        const double weight = weights != NULL ? weights[i] : 1;
        if (weight == 0)
            continue;
        for (ptrdiff_t j = 0; j < n_features; j++)
            sum[j] += weight * ((double)x[j] * (double)x[j]);
    }
}

#ifdef HF_REAL_IS_F64
/* sum[j] += weights[i]*rows[i][j]*rows[i] for j < n, and sum[n] += weights[i]*rows[i], n_rows rows of a line each. */
HF_INLINE void add_products_of_rows(const double *rows, const double *weights, ptrdiff_t n_rows, const int n,
                                    FN(line) *sum) {
    FN(line) held[HF_LINE_BYTES / sizeof(double) + 1];
    memcpy(held, sum, (size_t)(n + 1) * sizeof *held);
    for (ptrdiff_t i = 0; i < n_rows; i++) {
        const double *const row = rows + i * LANES;
        HF_UNROLL
        for (int j = 0; j < n; j++) {
            const double left = weights[i] * row[j];
            HF_UNROLL
            for (int part = 0; part < PARTS; part++)
                held[j].p[part] += left * FN(load_part)(row + part * PART_LANES);
        }
        HF_UNROLL
        for (int part = 0; part < PARTS; part++)
            held[n].p[part] += weights[i] * FN(load_part)(row + part * PART_LANES);
    }
    memcpy(sum, held, (size_t)(n + 1) * sizeof *held);
}

/* The same as product_columns of rows of at most LANES numbers, which lie one behind the other, and behind the last of which
 * LANES more can be read. Rows of weight 0 are left out; without weights all are 1. */
static void product_narrow(const double *rows, const double *weights, ptrdiff_t n_rows, ptrdiff_t n_features,
                           double *sums) {
    enum { AT_ONCE = 64, WIDTH = 8 };
    FN(line) sum[WIDTH + 1];
    double kept[(AT_ONCE + 1) * WIDTH], of_kept[AT_ONCE + 1];
    memset(sum, 0, sizeof sum);
    for (ptrdiff_t first = 0; first < n_rows; first += AT_ONCE) {
        const ptrdiff_t n = n_rows - first < AT_ONCE ? n_rows - first : AT_ONCE;
        ptrdiff_t m = 0;
        /* Rows with a weight move together, without a branch. */
        for (ptrdiff_t i = first; i < first + n; i++) {
            const double weight = weights != NULL ? weights[i] : 1;
            HF_UNROLL
            for (int part = 0; part < PARTS; part++)
                FN(store_part)(kept + m * WIDTH + part * PART_LANES,
                               FN(load_part)(rows + i * n_features + part * PART_LANES));
            of_kept[m] = weight;
            m += weight != 0;
        }
        switch (n_features) {
        case 1:
            add_products_of_rows(kept, of_kept, m, 1, sum);
            break;
        case 2:
            add_products_of_rows(kept, of_kept, m, 2, sum);
            break;
        case 3:
            add_products_of_rows(kept, of_kept, m, 3, sum);
            break;
        case 4:
            add_products_of_rows(kept, of_kept, m, 4, sum);
            break;
        default:
            add_products_of_rows(kept, of_kept, m, 8, sum);
        }
    }
    /* Those of more than four columns are taken for WIDTH, so that the sums of columns are behind so many. */
    for (ptrdiff_t j = 0; j <= n_features; j++) {
        double lane[HF_LINE_BYTES / sizeof(double)];
        const FN(line) *const of_j = sum + (j == n_features && j > 4 ? WIDTH : j);
        for (int part = 0; part < PARTS; part++)
            FN(store_part)(lane + part * PART_LANES, of_j->p[part]);
        for (ptrdiff_t k = j < n_features ? j : 0; k < n_features; k++)
            sums[j * n_features + k] += k == j ? 0.5 * lane[k] : lane[k];
    }
}

/* Products of columns: sums[j][k] += sum over n_rows rows of weights[i]*row[j]*row[k] for k > j, and half of it for k = j, so
 * that the sums plus their transpose are the products; and as products with a column of ones behind the others
 * sums[n_features][k] += sum of weights[i]*row[k]. panel holds the rows line by line: line l of row i, numbers 8*l to 8*l + 7
 * of it, begins at 8*(l*capacity + i), and `weighted` the same times the weights; numbers from n_features on are 0. sums is
 * (n_features + 1, n_features). O(n_rows * n_features^2). */
enum { PAIR_ROWS = HF_VECTOR_BYTES == 64 ? 8 : 4 };
static void product_columns(const double *panel, const double *weighted, ptrdiff_t n_rows, ptrdiff_t capacity,
                            ptrdiff_t n_features, double *sums) {
    for (ptrdiff_t j = 0; j < n_features; j += PAIR_ROWS) {
        const int n_left = (int)(n_features - j < PAIR_ROWS ? n_features - j : PAIR_ROWS);
        const double *const left = weighted + j / LANES * LANES * capacity + j % LANES;
        for (ptrdiff_t k = j / LANES * LANES; k < n_features; k += LANES) {
            const double *const right = panel + k * capacity;
            FN(line) sum[PAIR_ROWS];
            memset(sum, 0, sizeof sum);
            for (ptrdiff_t i = 0; i < n_rows; i++) {
                HF_UNROLL
                for (int part = 0; part < PARTS; part++) {
                    const FN(part) numbers = FN(load_part)(right + i * LANES + part * PART_LANES);
                    HF_UNROLL
                    for (int r = 0; r < PAIR_ROWS; r++)
                        sum[r].p[part] += left[i * LANES + r] * numbers;
                }
            }
            for (int r = 0; r < n_left; r++) {
                double lane[HF_LINE_BYTES / sizeof(double)];
                for (int part = 0; part < PARTS; part++)
                    FN(store_part)(lane + part * PART_LANES, sum[r].p[part]);
                for (ptrdiff_t l = k > j + r ? k : j + r; l < k + LANES && l < n_features; l++)
                    sums[(j + r) * n_features + l] += l > j + r ? lane[l - k] : 0.5 * lane[l - k];
            }
        }
    }
    for (ptrdiff_t k = 0; k < n_features; k++) {
        double sum = 0;
        for (ptrdiff_t i = 0; i < n_rows; i++)
            sum += weighted[k / LANES * LANES * capacity + i * LANES + k % LANES];
        sums[n_features * n_features + k] += sum;
    }
}
#endif
