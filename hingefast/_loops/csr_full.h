/* csr_full.h - CSR rows that store every column, 0 to n_features - 1, in order: both stages, without their indices. Knows
 * no loss.
 *
 * Included once for float32 and once for float64. Such rows are dense, but their sums are those of CSR rows: eight lanes a
 * score, and a gradient in float64. It stays in registers: through memory, each row would wait for the one before it.
 * `readable`: so many numbers from the first row's first on may be read, at least those of the rows. What is read behind a
 * row is thrown away.
 */
#ifndef real /* opened alone */
#include "four.h"
#include "sixteen.h"
#endif

/* The score of a row of n_eights times eight numbers and n_rest more, which stand in `rest` with seven that may be read
 * behind them, as coef's do in w_rest. O(n_eights). */
HF_INLINE real FN(score_full_row)(const real *row, const real *rest, ptrdiff_t n_eights, ptrdiff_t n_rest,
                                  const real *w, const real *w_rest, real intercept) {
    FN(four) low = FN(no_four)(), high = FN(no_four)();
    for (ptrdiff_t k = 0; k < 8 * n_eights; k += 8) {
        low = FN(add_four)(low, FN(multiply_four)(FN(load_four)(row + k), FN(load_four)(w + k)));
        high = FN(add_four)(high, FN(multiply_four)(FN(load_four)(row + k + 4), FN(load_four)(w + k + 4)));
    }
    if (n_rest > 0) {
        const FN(four) first = FN(multiply_four)(FN(load_four)(rest), FN(load_four)(w_rest));
        low = FN(add_four)(low, FN(first_of_four)(first, 0, n_rest));
    }
    if (n_rest > 4) {
        const FN(four) second = FN(multiply_four)(FN(load_four)(rest + 4), FN(load_four)(w_rest + 4));
        high = FN(add_four)(high, FN(first_of_four)(second, 4, n_rest));
    }
    return FN(sum_of_four)(FN(add_four)(low, high)) + intercept;
}

/* scores[i] = row i . coef + intercept of n_rows full rows. O(n_rows * n_features). */
static void FN(csr_score_full)(const void *data, ptrdiff_t n_rows, ptrdiff_t n_features, ptrdiff_t readable,
                               const void *coef, double intercept, void *scores) {
    const real *row = data, *w = coef;
    const ptrdiff_t n_eights = n_features / 8, n_rest = n_features % 8;
    real *out = scores, w_rest[8] = {0}, rest[8] = {0};
    ptrdiff_t i = 0;
    memcpy(w_rest, w + 8 * n_eights, (size_t)n_rest * sizeof(real));
    if (n_features < 8)
        for (; i < n_rows && i * n_features + 8 <= readable; i++, row += n_features)
            out[i] = FN(score_full_row)(row, row, 0, n_rest, w, w_rest, (real)intercept);
    else
        for (; i < n_rows && (i + 1) * n_features + 8 <= readable; i++, row += n_features)
            out[i] =
                FN(score_full_row)(row, row + 8 * n_eights, n_eights, n_rest, w, w_rest, (real)intercept);
    for (; i < n_rows; i++, row += n_features) {
        memcpy(rest, row + 8 * n_eights, (size_t)n_rest * sizeof(real));
        out[i] = FN(score_full_row)(row, rest, n_eights, n_rest, w, w_rest, (real)intercept);
    }
}

/* Registers of the gradient at a time. */
#define FULL_PARTS 8

/* grad += slopes[places[a]] * row places[a] in `parts` registers (a constant where this is inlined), in order. */
HF_INLINE void FN(accumulate_full_parts)(const real *x, ptrdiff_t row_numbers, const int32_t *places,
                                         ptrdiff_t n_active, const real *slopes, const int parts, double *grad) {
    hf_doubles g[FULL_PARTS];
    HF_UNROLL
    for (int p = 0; p < parts; p++)
        memcpy(&g[p], grad + p * HF_DOUBLES, sizeof g[p]);
    for (ptrdiff_t a = 0; a < n_active; a++) {
        const real *row = x + places[a] * row_numbers;
        const double slope = (double)slopes[places[a]];
        HF_UNROLL
        for (int p = 0; p < parts; p++)
            g[p] += FN(widen_part)(row + p * HF_DOUBLES) * slope;
    }
    HF_UNROLL
    for (int p = 0; p < parts; p++)
        memcpy(grad + p * HF_DOUBLES, &g[p], sizeof g[p]);
}
static void FN(accumulate_full_chunk)(const real *x, ptrdiff_t row_numbers, const int32_t *places,
                                      ptrdiff_t n_active, const real *slopes, int parts, double *grad) {
    switch (parts) {
    case 1:
        FN(accumulate_full_parts)(x, row_numbers, places, n_active, slopes, 1, grad);
        break;
    case 2:
        FN(accumulate_full_parts)(x, row_numbers, places, n_active, slopes, 2, grad);
        break;
    case 3:
        FN(accumulate_full_parts)(x, row_numbers, places, n_active, slopes, 3, grad);
        break;
    case 4:
        FN(accumulate_full_parts)(x, row_numbers, places, n_active, slopes, 4, grad);
        break;
    case 5:
        FN(accumulate_full_parts)(x, row_numbers, places, n_active, slopes, 5, grad);
        break;
    case 6:
        FN(accumulate_full_parts)(x, row_numbers, places, n_active, slopes, 6, grad);
        break;
    case 7:
        FN(accumulate_full_parts)(x, row_numbers, places, n_active, slopes, 7, grad);
        break;
    default:
        FN(accumulate_full_parts)(x, row_numbers, places, n_active, slopes, FULL_PARTS, grad);
    }
}

/* grad += slopes[i] * row i of n_rows full rows, in order, where there is a slope. O(n_rows * n_features). */
static void FN(csr_accumulate_full)(const void *data, const void *slopes, ptrdiff_t n_rows, ptrdiff_t n_features,
                                    ptrdiff_t readable, double *grad) {
    enum { AT_ONCE = 256, COLUMNS = FULL_PARTS * HF_DOUBLES };
    const real *x = data, *slope = slopes;
    int32_t places[AT_ONCE];
    for (ptrdiff_t first = 0; first < n_rows; first += AT_ONCE) {
        const ptrdiff_t n = n_rows - first < AT_ONCE ? n_rows - first : AT_ONCE;
        const ptrdiff_t n_active = FN(rows_with_slope)(slope + first, n, places);
        const real *rows = x + first * n_features;
        for (ptrdiff_t at = 0; at < n_features; at += COLUMNS) {
            const ptrdiff_t left = n_features - at < COLUMNS ? n_features - at : COLUMNS;
            const int parts = (int)((left + HF_DOUBLES - 1) / HF_DOUBLES);
            /* the first row from which on so much may not be read */
            const ptrdiff_t spare = readable - (first * n_features + at + parts * HF_DOUBLES);
            double g[COLUMNS] = {0};
            ptrdiff_t n_safe = n_active;
            while (n_safe > 0 && places[n_safe - 1] * n_features > spare)
                n_safe--;
            memcpy(g, grad + at, (size_t)left * sizeof *g);
            FN(accumulate_full_chunk)(rows + at, n_features, places, n_safe, slope + first, parts, g);
            for (ptrdiff_t a = n_safe; a < n_active; a++) {
                const int32_t only = 0;
                real row[COLUMNS] = {0};
                memcpy(row, rows + places[a] * n_features + at, (size_t)left * sizeof(real));
                FN(accumulate_full_chunk)(row, 0, &only, 1, slope + first + places[a], parts, g);
            }
            memcpy(grad + at, g, (size_t)left * sizeof *g);
        }
    }
}
