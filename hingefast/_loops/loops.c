/* loops.c - all innermost loops of one instruction-set level, and the table that names them.
 *
 * Compiled once per level with -DHF_LEVEL=base, x86_v3 or x86_v4. Everything is static but the table
 * hf_loops_<level>: with shared functions a linker could keep the AVX-512 copy for every level.
 */
#include <float.h>
#include <limits.h>
#include <math.h>

#include "loops.h"

#include "elementary.h"

#define HF_PASTE(a, b) a##b
#define HF_PASTE_EXPANDED(a, b) HF_PASTE(a, b)
/* a_b, where a or b may be macros */
#define HF_JOIN(a, b) HF_JOIN_EXPANDED(a, b)
#define HF_JOIN_EXPANDED(a, b) a##_##b
#define HF_STRING(x) #x
#define HF_STRING_EXPANDED(x) HF_STRING(x)

/* ---- what needs no number type ------------------------------------------------------------------ */

/* Copies bytes, whole cache lines past the caches where the level can. The lines at both ends, which
 * neighbouring calls share, are written as usual. O(bytes). */
static void hf_stream(void *to, const void *from, size_t bytes) {
    char *target = to;
    const char *source = from;
    if (HF_CAN_STREAM && bytes >= 2 * HF_LINE_BYTES) {
        const size_t head = (0 - (uintptr_t)to) % HF_LINE_BYTES;
        memcpy(target, source, head);
        for (bytes -= head, target += head, source += head; bytes >= HF_LINE_BYTES; bytes -= HF_LINE_BYTES) {
            hf_stream_line(target, source);
            target += HF_LINE_BYTES;
            source += HF_LINE_BYTES;
        }
    }
    memcpy(target, source, bytes);
}

/* Writes a long output piece by piece, whole cache lines past the caches. Before the `bytes` of the piece there is
 * room for a line, where each call but the last leaves its last part of a line for the next. The first piece must hold a
 * line, if more follow. O(bytes). */
static void stream_piece(void *piece, size_t bytes, int is_first, int is_last, void *out) {
    const size_t lead = (uintptr_t)out % HF_LINE_BYTES, end = lead + bytes, rest = end % HF_LINE_BYTES;
    char *to = (char *)out - lead, *from = (char *)piece - lead;
    size_t at = 0;
    if (is_first && lead) { /* the line begins with what is not ours */
        at = end < HF_LINE_BYTES ? end : HF_LINE_BYTES;
        memcpy(out, piece, at - lead);
    }
    for (; at + HF_LINE_BYTES <= end; at += HF_LINE_BYTES)
        hf_stream_line(to + at, from + at);
    if (is_last)
        memcpy(to + at, from + at, end - at);
    else
        memcpy((char *)piece - rest, from + end - rest, HF_LINE_BYTES);
}

/* The first n of sixteen lanes, n >= 1; all where there are more. */
HF_INLINE unsigned hf_first_lanes(ptrdiff_t n) { return n < HF_VALUE_LANES ? (1u << n) - 1 : HF_ALL_LANES; }

/* The lane at `place`, none where there is no such lane. */
HF_INLINE unsigned hf_lane_of(ptrdiff_t place) {
    return (unsigned)((size_t)place < HF_VALUE_LANES) << (place & (HF_VALUE_LANES - 1));
}

/* A class as an int32, for labels of 8 and 16 bits: INT32_MIN, which they cannot hold, if out of range. */
HF_INLINE int32_t hf_narrow(int64_t class) {
    return class > INT32_MAX || class < INT32_MIN ? INT32_MIN : (int32_t)class;
}

/* How score_task.h reads labels: signs in the computing dtype, int8 signs, other labels of one byte. */
enum { HF_SIGNS, HF_INT8_SIGNS, HF_BYTES };

HF_INLINE int hf_kind_of_labels(const hf_labels *labels) {
    const int are_plain = labels->classes->negative_int == -1 && labels->classes->positive_int == 1;
    if (!labels->decode || labels->itemsize > 1)
        return HF_SIGNS;
    return are_plain && labels->dtype == HF_INT8 ? HF_INT8_SIGNS : HF_BYTES;
}

/* The two classes of labels of one byte, as the byte that stands for each; -1 for one that is no such byte. */
typedef struct {
    int32_t negative, positive;
} hf_byte_classes;

HF_INLINE int32_t hf_byte_of_class(int64_t class, int is_signed) {
    return class < (is_signed ? -128 : 0) || class > (is_signed ? 127 : 255) ? -1 : (int32_t)(class & 255);
}
HF_INLINE hf_byte_classes hf_classes_of_bytes(const hf_labels *labels) {
    const int is_signed = labels->dtype == HF_INT8;
    hf_byte_classes bytes = {hf_byte_of_class(labels->classes->negative_int, is_signed),
                             hf_byte_of_class(labels->classes->positive_int, is_signed)};
    return bytes;
}

/* 2^exponent*x*y of two finite numbers: on the way nothing overflows or vanishes. */
static double scaled_product(double x, double y, int exponent) {
    int of_x, of_y;
    const double product = frexp(x, &of_x) * frexp(y, &of_y);
    return ldexp(product, exponent + of_x + of_y);
}

/* The same by multiplications, for weights of rows and classes whose products are no larger than 1/factor, which is
 * 2^-exponent: what `factor_of` gives, or 0 where it must be `scaled_product`. A factor above 1 comes before y, for x*y
 * might vanish: x and the factor, of 2^500 at most, do not overflow. With a larger x, x*y is 2^-574 at least. */
static double factor_of(int exponent) { return exponent < -1022 || exponent > 500 ? 0 : ldexp(1, exponent); }
HF_INLINE double factor_product(double x, double y, double factor) {
    const int is_first = factor > 1 && x <= 0x1p500;
    return x * (is_first ? factor : 1) * y * (is_first ? 1 : factor);
}

/* out[i] = 2^exponent*weights[i] as float64; returns the position of the first weight that is negative or not finite,
 * or -1. Such a weight is written as -1. O(n). */
#define HF_DEFINE_DECODE_WEIGHTS(SUFFIX, TYPE)                                                               \
    static ptrdiff_t decode_weights_##SUFFIX(const void *weights, ptrdiff_t n, int exponent, double *out) {  \
        const TYPE *HF_RESTRICT weight = weights;                                                            \
        const double factor = factor_of(exponent), scale = factor == 0 ? 1 : factor;                         \
        double *HF_RESTRICT to = out;                                                                        \
        int bad = 0;                                                                                         \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                  \
            const double w = (double)weight[i], scaled = w * scale;                                          \
            const int fits = w >= 0 && w <= DBL_MAX;                                                         \
            bad |= !fits;                                                                                    \
            to[i] = fits ? scaled : -1;                                                                      \
        }                                                                                                    \
        for (ptrdiff_t i = 0; bad && i < n; i++)                                                             \
            if (to[i] < 0)                                                                                   \
                return i;                                                                                    \
        for (ptrdiff_t i = 0; factor == 0 && i < n; i++)                                                     \
            to[i] = scaled_product(to[i], 1, exponent);                                                      \
        return -1;                                                                                           \
    }
HF_DEFINE_DECODE_WEIGHTS(i8, int8_t)
HF_DEFINE_DECODE_WEIGHTS(u8, uint8_t)
HF_DEFINE_DECODE_WEIGHTS(i16, int16_t)
HF_DEFINE_DECODE_WEIGHTS(u16, uint16_t)
HF_DEFINE_DECODE_WEIGHTS(i32, int32_t)
HF_DEFINE_DECODE_WEIGHTS(u32, uint32_t)
HF_DEFINE_DECODE_WEIGHTS(i64, int64_t)
HF_DEFINE_DECODE_WEIGHTS(u64, uint64_t)
HF_DEFINE_DECODE_WEIGHTS(f32, float)
HF_DEFINE_DECODE_WEIGHTS(f64, double)

/* out[i] = element rows[i] (or i, where rows is NULL) of a strided array of items of 1, 2, 4 or 8 bytes, at
 * any alignment. The row numbers have been checked. O(n). */
#define HF_DEFINE_GATHER(BYTES)                                                                              \
    static void gather_##BYTES(const void *source, ptrdiff_t stride, const int64_t *rows, ptrdiff_t n,       \
                               void *out) {                                                                  \
        const char *from = source;                                                                           \
        char *to = out;                                                                                      \
        for (ptrdiff_t i = 0; i < n; i++)                                                                    \
            memcpy(to + i * BYTES, from + (rows ? (ptrdiff_t)rows[i] : i) * stride, BYTES);                  \
    }
HF_DEFINE_GATHER(1)
HF_DEFINE_GATHER(2)
HF_DEFINE_GATHER(4)
HF_DEFINE_GATHER(8)

/* The n items of 2, 4 or 8 bytes that a gather brought, in the other byte order; a byte has none. O(n). */
static void swap_bytes_1(void *x, ptrdiff_t n) { (void)x, (void)n; }
#define HF_DEFINE_SWAP(BYTES, TYPE, SWAP)                                                                    \
    static void swap_bytes_##BYTES(void *x, ptrdiff_t n) {                                                   \
        TYPE *items = x;                                                                                     \
        for (ptrdiff_t i = 0; i < n; i++)                                                                    \
            items[i] = SWAP(items[i]);                                                                       \
    }
HF_DEFINE_SWAP(2, uint16_t, hf_swap_16)
HF_DEFINE_SWAP(4, uint32_t, hf_swap_32)
HF_DEFINE_SWAP(8, uint64_t, hf_swap_64)

/* Where the entries of n CSR rows begin and end: rows[i], or first + i*step where rows is NULL. Whatever
 * indptr holds, 0 <= starts[i] <= ends[i] <= n_stored comes out. Returns the position of the first row whose
 * own two pointers do not satisfy that, or -1. O(n). */
#define HF_DEFINE_CSR_SPANS(SUFFIX, INDEX)                                                                   \
    static ptrdiff_t csr_spans_##SUFFIX(const void *indptr, const int64_t *rows, ptrdiff_t first,            \
                                        ptrdiff_t step, ptrdiff_t n, int64_t n_stored, int64_t *starts,      \
                                        int64_t *ends) {                                                     \
        const INDEX *HF_RESTRICT pointer = indptr;                                                           \
        ptrdiff_t fault = -1;                                                                                \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                  \
            const ptrdiff_t row = rows ? (ptrdiff_t)rows[i] : first + i * step;                              \
            const int64_t start = hf_pinned((int64_t)pointer[row]);                                          \
            const int64_t end = hf_pinned((int64_t)pointer[row + 1]);                                        \
            const int fits = start >= 0 && start <= end && end <= n_stored;                                  \
            starts[i] = fits ? start : 0;                                                                    \
            ends[i] = fits ? end : 0;                                                                        \
            fault = !fits && fault < 0 ? i : fault;                                                          \
        }                                                                                                    \
        return fault;                                                                                        \
    }
HF_DEFINE_CSR_SPANS(i32, int32_t)
HF_DEFINE_CSR_SPANS(i64, int64_t)

#include "labels.h"
#include "slots.h"

/* Sum of 16 lanes by halves. */
static double merge_lanes(const double *lanes) {
    double lane[HF_VALUE_LANES];
    memcpy(lane, lanes, sizeof lane);
    for (int half = HF_VALUE_LANES / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++)
            lane[k] += lane[k + half];
    return lane[0];
}

static double divide(double x, double y) { return x / y; }

static double sum_in_order(const double *x, ptrdiff_t n) {
    double sum = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

/* The power of two that brings a positive sum near 1, between 2^-1000 and 2^1000; 1 for 0. */
static double scale_of(double sum) {
    int exponent = 0;
    if (sum > 0 && sum <= DBL_MAX)
        (void)frexp(sum, &exponent);
    return ldexp(1, exponent > 1000 ? -1000 : exponent < -1000 ? 1000 : -exponent);
}

/* total += part, part = 0, n numbers: one sweep instead of two. O(n). */
static void move_into(double *total, double *part, ptrdiff_t n) {
    double *HF_RESTRICT to = total, *HF_RESTRICT from = part;
    for (ptrdiff_t i = 0; i < n; i++) {
        to[i] += from[i];
        from[i] = 0;
    }
}

/* ---- once for float32, once for float64 ----------------------------------------------------------- */

#define real float
#define FN(name) HF_PASTE(name, _f32)
#define square_root_f32 sqrtf
typedef uint32_t bit_pattern_f32;
#define BITS_BUT_SIGN 0x7FFFFFFFu
#include "lanes.h"
#include "slope.h"
#include "gather.h"
#include "accumulate.h"
#include "score.h"
#include "convert.h"
#include "vectors.h"
#include "sixteen.h"
#include "score_task.h"
#include "column_score.h"
#include "column_transpose.h"
#include "column_accumulate.h"
#include "transpose.h"
#include "rivals.h"
#include "arrange.h"
#include "class_score.h"
#include "class_accumulate.h"
#include "losses.h"
#include "undef.h"

#define real double
#define FN(name) HF_PASTE(name, _f64)
#define HF_REAL_IS_F64
#define square_root_f64 sqrt
typedef uint64_t bit_pattern_f64;
#define BITS_BUT_SIGN 0x7FFFFFFFFFFFFFFFu
#include "lanes.h"
#include "slope.h"
#include "gather.h"
#include "accumulate.h"
#include "score.h"
#include "convert.h"
#include "vectors.h"
#include "sixteen.h"
#include "score_task.h"
#include "column_score.h"
#include "column_transpose.h"
#include "column_accumulate.h"
#include "transpose.h"
#include "rivals.h"
#include "arrange.h"
#include "class_score.h"
#include "class_accumulate.h"
#include "losses.h"
#include "undef.h"

/* ---- the table ------------------------------------------------------------------------------------- */

#define HF_OF_FAMILY(FAMILY, NAME, LOOP, S) LOOP##_##NAME##_##S,
#define HF_DTYPES(PREFIX, POSTFIX)                                                                           \
    PREFIX##i8##POSTFIX, PREFIX##i16##POSTFIX, PREFIX##i32##POSTFIX, PREFIX##i64##POSTFIX,                   \
        PREFIX##u8##POSTFIX, PREFIX##u16##POSTFIX, PREFIX##u32##POSTFIX, PREFIX##u64##POSTFIX,               \
        PREFIX##f32##POSTFIX, PREFIX##f64##POSTFIX

#define HF_REAL_LOOPS(S)                                                                                     \
    {                                                                                                        \
        .margin_loss = {HF_FAMILIES(HF_OF_FAMILY, margin_loss, S)},                                          \
        .loss_of_scores = {HF_FAMILIES(HF_OF_FAMILY, loss_of_scores, S)},                                    \
        .curvature = {HF_FAMILIES(HF_OF_FAMILY, curvature, S)},                                              \
        .scalar = {HF_FAMILIES(HF_OF_FAMILY, scalar, S)},                                                    \
        .find_bad_sign = find_bad_sign_##S,                                                                  \
        .decode_labels = {HF_DTYPES(decode_, _##S)},                                                         \
        .class_weights = class_weights_##S,                                                                  \
        .prefetch_own = prefetch_own_##S,                                                                    \
        .sum_values = sum_values_##S,                                                                        \
        .multiply_nonzero = multiply_nonzero_##S,                                                            \
        .scale = scale_##S,                                                                                  \
        .store = {store_f32_##S, store_f64_##S},                                                             \
        .store_weighted = {store_weighted_f32_##S, store_weighted_f64_##S},                                  \
        .score_rows = score_rows_##S,                                                                        \
        .accumulate_rows = accumulate_rows_##S,                                                              \
        .score_accumulate_rows = score_accumulate_rows_##S,                                                  \
        .flush = flush_##S,                                                                                  \
        .convert = {HF_DTYPES(convert_, _##S), convert_bool_##S, convert_f16_##S, convert_i8_##S,            \
                    convert_swapped_i16_##S, convert_swapped_i32_##S, convert_swapped_i64_##S,               \
                    convert_u8_##S, convert_swapped_u16_##S, convert_swapped_u32_##S,                        \
                    convert_swapped_u64_##S, convert_swapped_f32_##S, convert_swapped_f64_##S,               \
                    convert_bool_##S, convert_swapped_f16_##S},                                              \
        .score_columns = score_columns_##S,                                                                  \
        .accumulate_columns = accumulate_columns_##S,                                                        \
        .transpose_columns = transpose_columns_##S,                                                          \
        .csr_score_rows = {csr_score_rows_i32_##S, csr_score_rows_i64_##S},                                  \
        .csr_accumulate_rows = {csr_accumulate_rows_i32_##S, csr_accumulate_rows_i64_##S},                   \
        .round_coef = {round_coef_from_f32_##S, round_coef_from_f64_##S},                                    \
        .step = step_##S,                                                                                    \
        .step_columns = step_columns_##S,                                                                    \
        .drop_inactive = drop_inactive_##S,                                                                  \
        .cost_keys = cost_keys_##S,                                                                          \
        .rival_margins = rival_margins_##S,                                                                  \
        .pair_slopes = pair_slopes_##S,                                                                      \
        .pair_directions = pair_directions_##S,                                                              \
        .differences = differences_##S,                                                                      \
        .fill = fill_##S,                                                                                    \
        .mark_own = mark_own_##S,                                                                            \
        .weston_watkins = {HF_FAMILIES(HF_OF_FAMILY, weston_watkins, S)},                                    \
        .one_vs_rest = {HF_FAMILIES(HF_OF_FAMILY, one_vs_rest, S)},                                          \
        .collect_own = collect_own_##S,                                                                      \
        .spread_nan = spread_nan_##S,                                                                        \
        .top_k = top_k_##S,                                                                                  \
        .add_columns = add_columns_##S,                                                                      \
        .group_by_class = group_by_class_##S,                                                                \
        .pack_panels = {pack_panels_from_f32_##S, pack_panels_from_f64_##S},                                 \
        .pack_features = {pack_features_from_f32_##S, pack_features_from_f64_##S},                           \
        .score_classes = score_classes_##S,                                                                  \
        .accumulate_class = accumulate_class_##S,                                                            \
        .csr_score_classes = {csr_score_classes_i32_##S, csr_score_classes_i64_##S},                         \
        .csr_score_unpacked = {{csr_score_unpacked_i32_from_f32_##S, csr_score_unpacked_i32_from_f64_##S},   \
                               {csr_score_unpacked_i64_from_f32_##S, csr_score_unpacked_i64_from_f64_##S}},  \
        .csr_accumulate_classes = {csr_accumulate_classes_i32_##S, csr_accumulate_classes_i64_##S},          \
        .finish_features = finish_features_##S,                                                              \
        .elementary = {array_exp_##S, array_log1p_##S, array_erfc_##S},                                      \
    }

const hf_loops HF_PASTE_EXPANDED(hf_loops_, HF_LEVEL) = {
    .level = HF_STRING_EXPANDED(HF_LEVEL),
#if defined(__clang__)
    .compiler = "clang " __clang_version__,
#elif defined(__GNUC__)
    .compiler = "gcc " __VERSION__,
#elif defined(_MSC_VER)
    .compiler = "MSVC " HF_STRING_EXPANDED(_MSC_VER),
#else
    .compiler = "unknown",
#endif
    .tile_rows = HF_TILE_ROWS,
    .catalogue = catalogue,
    .n_catalogue = sizeof catalogue / sizeof catalogue[0],
    .real = {HF_REAL_LOOPS(f32), HF_REAL_LOOPS(f64)},
    .decode_classes = {HF_DTYPES(decode_classes_, )},
    .class_weights = class_weights_by_column,
    .decode_weights = {HF_DTYPES(decode_weights_, )},
    .gather = {gather_1, gather_2, gather_4, gather_8},
    .swap_bytes = {swap_bytes_1, swap_bytes_2, swap_bytes_4, swap_bytes_8},
    .csr_spans = {csr_spans_i32, csr_spans_i64},
    .assign_slots = {assign_slots_i32, assign_slots_i64},
    .merge_lanes = merge_lanes,
    .stream_piece = stream_piece,
    .move_into = move_into,
    .penalty = {penalty_f32, penalty_f64},
    .finish_grad = {finish_grad_f32, finish_grad_f64},
    .divide = divide,
    .sum_in_order = sum_in_order,
    .bind_loss = bind_loss,
};
