/* even_rows.h - rows that store all columns and lie at equal distances: both stages. Knows no loss.
 *
 * Included once for float32 and once for float64. Such are CSR rows with every column from 0 on, of any length, and dense
 * rows of at most sixteen numbers. A score is the sum of eight lanes; of a dense row it is that of LANES lanes by halves,
 * which is the same for float64, and up to sixteen numbers for float32. Four rows are scored together, and the gradient
 * stays in registers: through memory, each row would wait for the one before it.
 *
 * `stride`: numbers from one row to the next. `readable`: so many numbers from the first row's first on may be read, at
 * least those of the rows; what is read behind a row is thrown away.
 */
#ifndef real /* opened alone */
#include "accumulate.h"
#include "four.h"
#endif

/* The lanes l0 .. l3 and l4 .. l7, added, of a row of n_eights times eight numbers and n_rest more, 0 to 7, which stand in
 * `rest`, and coef's in w_rest, with as many that may be read behind them as make eight. O(n_eights). */
HF_INLINE FN(four) FN(lanes_of_row)(const real *row, const real *rest, ptrdiff_t n_eights, ptrdiff_t n_rest,
                                    const real *w, const real *w_rest) {
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
    return FN(add_four)(low, high);
}

/* The same of a row of at most 4*n_fours numbers (n_fours a constant where this is inlined), the last four of which are
 * masked by `n_last`; a sum of lanes may be -0 where it should be +0. */
HF_INLINE FN(four)
    FN(lanes_of_narrow)(const real *row, const int n_fours, ptrdiff_t n_last, const FN(four) *w) {
    FN(four) lanes[4];
    HF_UNROLL
    for (int q = 0; q < n_fours; q++)
        lanes[q] = FN(multiply_four)(FN(load_four)(row + 4 * q), w[q]);
    lanes[n_fours - 1] = FN(first_of_four)(lanes[n_fours - 1], 0, n_last);
    if (n_fours > 2)
        lanes[0] = FN(add_four)(lanes[0], lanes[2]);
    if (n_fours > 3)
        lanes[1] = FN(add_four)(lanes[1], lanes[3]);
    return n_fours > 1 ? FN(add_four)(lanes[0], lanes[1]) : lanes[0];
}

/* n_rows scores, a multiple of four, of rows of at most 4*n_fours numbers; w: coef and zeros. O(n_rows). */
HF_INLINE void FN(score_narrow_fours)(const real *row, ptrdiff_t stride, ptrdiff_t n_rows, const int n_fours,
                                      ptrdiff_t n_last, const real *w, real intercept, real *scores) {
    const FN(four) bias = FN(four_of)(intercept, intercept, intercept, intercept);
    FN(four) coef[4];
    HF_UNROLL
    for (int q = 0; q < n_fours; q++)
        coef[q] = FN(load_four)(w + 4 * q);
    for (ptrdiff_t i = 0; i < n_rows; i += 4, row += 4 * stride) {
        FN(four) lanes[4];
        HF_UNROLL
        for (int r = 0; r < 4; r++) {
            lanes[r] = FN(lanes_of_narrow)(row + r * stride, n_fours, n_last, coef);
            HF_READ_AGAIN(); /* not what is read, but when: in the order of addresses, which hardware follows */
        }
        const FN(four) sums = FN(sums_of_fours)(lanes[0], lanes[1], lanes[2], lanes[3]);
        FN(store_four)(scores + i, FN(add_four)(FN(add_four)(sums, FN(no_four)()), bias));
    }
}

/* The same of rows of two numbers, one behind the other: two of them are four. */
HF_INLINE void FN(score_pairs)(const real *row, ptrdiff_t n_rows, const real *w, real intercept,
                               real *scores) {
    const FN(four) bias = FN(four_of)(intercept, intercept, intercept, intercept);
    const FN(four) coef = FN(four_of)(w[0], w[1], w[0], w[1]);
    for (ptrdiff_t i = 0; i < n_rows; i += 4, row += 8) {
        FN(four) sums = FN(sums_of_pairs)(FN(multiply_four)(FN(load_four)(row), coef),
                                          FN(multiply_four)(FN(load_four)(row + 4), coef));
        FN(store_four)(scores + i, FN(add_four)(FN(add_four)(sums, FN(no_four)()), bias));
    }
}

/* How many of n_rows rows, of which `reach` numbers are read, may be read so: all but the last, as a rule. */
HF_INLINE ptrdiff_t FN(rows_within)(ptrdiff_t n_rows, ptrdiff_t stride, ptrdiff_t reach, ptrdiff_t readable) {
    while (n_rows > 0 && (n_rows - 1) * stride + reach > readable)
        n_rows--;
    return n_rows;
}

/* scores[i] = row i . coef + intercept of n_rows rows. O(n_rows * n_features). */
static void FN(score_even_rows)(const void *data, ptrdiff_t stride, ptrdiff_t n_rows, ptrdiff_t n_features,
                                ptrdiff_t readable, const void *coef, double intercept, void *scores) {
    const real *row = data, *w = coef;
    const ptrdiff_t n_eights = n_features / 8, n_rest = n_features % 8;
    real *out = scores, padded[16] = {0}, rest[8] = {0};
    ptrdiff_t i = 0;
    if (n_features <= 16) {
        const int n_fours = n_features > 4 ? (int)((n_features + 3) / 4) : 1;
        const ptrdiff_t n_last = n_features - 4 * (n_fours - 1);
        const ptrdiff_t n = FN(rows_within)(n_rows, stride, 4 * n_fours, readable) / 4 * 4;
        memcpy(padded, w, (size_t)n_features * sizeof(real));
        if (n_features == 2 && stride == 2)
            FN(score_pairs)(row, n, padded, (real)intercept, out);
        else if (n_fours == 1)
            FN(score_narrow_fours)(row, stride, n, 1, n_last, padded, (real)intercept, out);
        else if (n_fours == 2)
            FN(score_narrow_fours)(row, stride, n, 2, n_last, padded, (real)intercept, out);
        else if (n_fours == 3)
            FN(score_narrow_fours)(row, stride, n, 3, n_last, padded, (real)intercept, out);
        else
            FN(score_narrow_fours)(row, stride, n, 4, n_last, padded, (real)intercept, out);
        i = n;
    } else {
        const FN(four) bias = FN(four_of)((real)intercept, (real)intercept, (real)intercept, (real)intercept);
        const ptrdiff_t n = FN(rows_within)(n_rows, stride, 8 * n_eights + 8, readable) / 4 * 4;
        memcpy(padded, w + 8 * n_eights, (size_t)n_rest * sizeof(real));
        for (; i < n; i += 4) {
            FN(four) lanes[4];
            HF_UNROLL
            for (int r = 0; r < 4; r++) {
                const real *x = row + (i + r) * stride;
                lanes[r] = FN(lanes_of_row)(x, x + 8 * n_eights, n_eights, n_rest, w, padded);
            }
            FN(store_four)(out + i,
                           FN(add_four)(FN(sums_of_fours)(lanes[0], lanes[1], lanes[2], lanes[3]), bias));
        }
    }
    memset(padded, 0, sizeof padded);
    memcpy(padded, w + 8 * n_eights, (size_t)n_rest * sizeof(real));
    for (; i < n_rows; i++) {
        const real *x = row + i * stride;
        memcpy(rest, x + 8 * n_eights, (size_t)n_rest * sizeof(real));
        out[i] = FN(sum_of_four)(FN(lanes_of_row)(x, rest, n_eights, n_rest, w, padded)) + (real)intercept;
    }
}

/* A few doubles in a register, of at most 32 bytes: longer ones lie across two cache lines in most rows. */
#ifndef HF_FEW_DOUBLES
#if HF_VECTOR_BYTES
#define HF_FEW_BYTES (HF_VECTOR_BYTES < 32 ? HF_VECTOR_BYTES : 32)
typedef double hf_few_doubles __attribute__((vector_size(HF_FEW_BYTES)));
#else
typedef double hf_few_doubles;
#endif
#define HF_FEW_DOUBLES ((int)(sizeof(hf_few_doubles) / sizeof(double)))
#endif
HF_INLINE hf_few_doubles FN(few_doubles)(const real *x) {
#if HF_VECTOR_BYTES
    typedef real few
        __attribute__((vector_size(HF_FEW_BYTES / 8 * sizeof(real)), aligned(sizeof(real)), may_alias));
    return __builtin_convertvector(*(const few *)x, hf_few_doubles);
#else
    return (double)*x;
#endif
}

/* Registers of a gradient at a time, and rows whose places are noted at a time. */
#define EVEN_PARTS 8
#define EVEN_ROWS 256

/* grad += slopes[places[a]] * row places[a] in `parts` registers (a constant where this is inlined), in order. */
HF_INLINE void FN(accumulate_even_parts)(const real *x, ptrdiff_t stride, const int32_t *places,
                                         ptrdiff_t n_active, const real *slopes, const int parts,
                                         double *grad) {
    hf_few_doubles g[EVEN_PARTS];
    HF_UNROLL
    for (int p = 0; p < parts; p++)
        memcpy(&g[p], grad + p * HF_FEW_DOUBLES, sizeof g[p]);
    for (ptrdiff_t a = 0; a < n_active; a++) {
        const real *row = x + places[a] * stride;
        const double slope = (double)slopes[places[a]];
        HF_UNROLL
        for (int p = 0; p < parts; p++)
            g[p] += FN(few_doubles)(row + p * HF_FEW_DOUBLES) * slope;
    }
    HF_UNROLL
    for (int p = 0; p < parts; p++)
        memcpy(grad + p * HF_FEW_DOUBLES, &g[p], sizeof g[p]);
}
static void FN(accumulate_even_columns)(const real *x, ptrdiff_t stride, const int32_t *places,
                                        ptrdiff_t n_active, const real *slopes, int parts, double *grad) {
    switch (parts) {
    case 1:
        FN(accumulate_even_parts)(x, stride, places, n_active, slopes, 1, grad);
        break;
    case 2:
        FN(accumulate_even_parts)(x, stride, places, n_active, slopes, 2, grad);
        break;
    case 3:
        FN(accumulate_even_parts)(x, stride, places, n_active, slopes, 3, grad);
        break;
    case 4:
        FN(accumulate_even_parts)(x, stride, places, n_active, slopes, 4, grad);
        break;
    case 5:
        FN(accumulate_even_parts)(x, stride, places, n_active, slopes, 5, grad);
        break;
    case 6:
        FN(accumulate_even_parts)(x, stride, places, n_active, slopes, 6, grad);
        break;
    case 7:
        FN(accumulate_even_parts)(x, stride, places, n_active, slopes, 7, grad);
        break;
    default:
        FN(accumulate_even_parts)(x, stride, places, n_active, slopes, EVEN_PARTS, grad);
    }
}

/* grad += slopes[i] * row i of n_rows rows, in order, in float64, where there is a slope. O(n_rows * n_features). */
static void FN(accumulate_even_rows)(const void *data, ptrdiff_t stride, const void *slopes, ptrdiff_t n_rows,
                                     ptrdiff_t n_features, ptrdiff_t readable, double *grad) {
    enum { COLUMNS = EVEN_PARTS * HF_FEW_DOUBLES };
    int32_t places[EVEN_ROWS];
    for (ptrdiff_t first = 0; first < n_rows; first += EVEN_ROWS) {
        const ptrdiff_t n = n_rows - first < EVEN_ROWS ? n_rows - first : EVEN_ROWS;
        const real *rows = (const real *)data + first * stride, *slope = (const real *)slopes + first;
        const ptrdiff_t n_active = FN(rows_with_slope)(slope, n, places);
        for (ptrdiff_t at = 0; at < n_features; at += COLUMNS) {
            const ptrdiff_t left = n_features - at < COLUMNS ? n_features - at : COLUMNS;
            const int parts = (int)((left + HF_FEW_DOUBLES - 1) / HF_FEW_DOUBLES);
            const ptrdiff_t safe =
                FN(rows_within)(n, stride, at + parts * HF_FEW_DOUBLES, readable - first * stride);
            double g[COLUMNS] = {0};
            ptrdiff_t n_safe = n_active;
            while (n_safe > 0 && places[n_safe - 1] >= safe)
                n_safe--;
            memcpy(g, grad + at, (size_t)left * sizeof *g);
            FN(accumulate_even_columns)(rows + at, stride, places, n_safe, slope, parts, g);
            for (ptrdiff_t a = n_safe; a < n_active; a++) {
                const int32_t only = 0;
                real row[COLUMNS] = {0};
                memcpy(row, rows + places[a] * stride + at, (size_t)left * sizeof(real));
                FN(accumulate_even_columns)(row, 0, &only, 1, slope + places[a], parts, g);
            }
            memcpy(grad + at, g, (size_t)left * sizeof *g);
        }
    }
}

/* sums += slopes[places[a]] * row places[a] in n_fours fours (a constant where this is inlined), in order. */
HF_INLINE void FN(accumulate_even_fours)(const real *x, ptrdiff_t stride, const int32_t *places,
                                         ptrdiff_t n_active, const real *slopes, const int n_fours,
                                         real *sums) {
    FN(four) sum[4];
    HF_UNROLL
    for (int q = 0; q < n_fours; q++)
        sum[q] = FN(load_four)(sums + 4 * q);
    for (ptrdiff_t a = 0; a < n_active; a++) {
        const real *row = x + places[a] * stride, s = slopes[places[a]];
        const FN(four) slope = FN(four_of)(s, s, s, s);
        HF_UNROLL
        for (int q = 0; q < n_fours; q++)
            sum[q] = FN(add_four)(sum[q], FN(multiply_four)(FN(load_four)(row + 4 * q), slope));
    }
    HF_UNROLL
    for (int q = 0; q < n_fours; q++)
        FN(store_four)(sums + 4 * q, sum[q]);
}
HF_INLINE void FN(accumulate_narrow)(const real *x, ptrdiff_t stride, const int32_t *places,
                                     ptrdiff_t n_active, const real *slopes, int n_fours, real *sums) {
    if (n_fours == 1)
        FN(accumulate_even_fours)(x, stride, places, n_active, slopes, 1, sums);
    else if (n_fours == 2)
        FN(accumulate_even_fours)(x, stride, places, n_active, slopes, 2, sums);
    else if (n_fours == 3)
        FN(accumulate_even_fours)(x, stride, places, n_active, slopes, 3, sums);
    else
        FN(accumulate_even_fours)(x, stride, places, n_active, slopes, 4, sums);
}

/* The same for at most sixteen numbers, of float32 in float32 over each `chunk` of rows, at most EVEN_ROWS, as those of
 * longer dense rows are. */
static void FN(accumulate_narrow_rows)(const void *data, ptrdiff_t stride, const void *slopes,
                                       ptrdiff_t n_rows, ptrdiff_t n_features, ptrdiff_t readable,
                                       ptrdiff_t chunk, double *grad) {
#ifdef HF_REAL_IS_F64
    (void)chunk;
    FN(accumulate_even_rows)(data, stride, slopes, n_rows, n_features, readable, grad);
#else
    const int n_fours = (int)((n_features + 3) / 4);
    const ptrdiff_t safe = FN(rows_within)(n_rows, stride, 4 * n_fours, readable);
    int32_t places[EVEN_ROWS];
    for (ptrdiff_t first = 0; first < n_rows; first += chunk) {
        const ptrdiff_t n = n_rows - first < chunk ? n_rows - first : chunk;
        const real *rows = (const real *)data + first * stride, *slope = (const real *)slopes + first;
        const ptrdiff_t n_active = FN(rows_with_slope)(slope, n, places);
        ptrdiff_t n_safe = n_active;
        real sums[16] = {0};
        while (n_safe > 0 && first + places[n_safe - 1] >= safe)
            n_safe--;
        FN(accumulate_narrow)(rows, stride, places, n_safe, slope, n_fours, sums);
        for (ptrdiff_t a = n_safe; a < n_active; a++) {
            const int32_t only = 0;
            real row[16] = {0};
            memcpy(row, rows + places[a] * stride, (size_t)n_features * sizeof(real));
            FN(accumulate_narrow)(row, 0, &only, 1, slope + places[a], n_fours, sums);
        }
        for (ptrdiff_t j = 0; j < n_features; j++)
            grad[j] += (double)sums[j];
    }
#endif
}
