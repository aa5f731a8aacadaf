/* score_task.h - the slope stage over given scores, all in one loop: signs, loss, sum of values, slopes.
 *
 * Included once for float32 and once for float64. The sixteen value lanes stay in registers, and every slope goes
 * straight to where it belongs, so that reading, arithmetic and writing overlap: in blocks, with a loop for each step
 * (slope.h), memory waits while the arithmetic goes on.
 */
#ifndef real /* opened alone */
#include "sixteen.h"
#endif

typedef struct {
    hf_wide values;      /* sums of the value lanes */
    FN(part_bits) wrong; /* the bits, and perhaps the sign bit, in which any sign differs from 1 */
} FN(task_sums);

/* Sixteen signs of labels of this kind, a constant where this is inlined. */
HF_INLINE FN(sixteen)
    FN(sixteen_signs)(const int kind, const void *labels, ptrdiff_t i, hf_byte_classes classes) {
    int32_t label[HF_VALUE_LANES];
    float narrow[HF_VALUE_LANES]; /* as wide as the labels: gcc 12 mixes widths badly */
    real sign[HF_VALUE_LANES];
    if (kind == HF_SIGNS)
        return FN(load_sixteen)((const real *)labels + i);
    hf_widen_bytes((const uint8_t *)labels + i, kind == HF_INT8_SIGNS, label);
    HF_VECTORISE
    for (int k = 0; k < HF_VALUE_LANES; k++) {
        const float below = label[k] == classes.negative ? -1 : 0,
                    other = label[k] == classes.positive ? 1 : below;
        narrow[k] = kind == HF_INT8_SIGNS ? (float)label[k] : other;
    }
    HF_VECTORISE
    for (int k = 0; k < HF_VALUE_LANES; k++)
        sign[k] = (real)narrow[k];
    return FN(load_sixteen)(sign);
}

typedef FN(task_sums)
    FN(loss_of_lines_of)(const hf_loss *loss, const void *labels, hf_byte_classes classes, const real *scores,
                         ptrdiff_t n, real factor, real *slopes, int stream, FN(task_sums) sums);

/* The same for m < 16 rows, of which the first is added into lane `at`. */
static FN(task_sums)
    FN(loss_of_few)(FN(loss_of_lines_of) *lines, const hf_loss *loss, const void *labels,
                    ptrdiff_t label_size, hf_byte_classes classes, const real *scores, ptrdiff_t at,
                    ptrdiff_t m, real factor, real *slopes, FN(task_sums) sums) {
    char padded_labels[HF_VALUE_LANES * sizeof(real)];
    real padded_scores[HF_VALUE_LANES] = {0}, padded_slopes[HF_VALUE_LANES];
    double lane[HF_VALUE_LANES], added[HF_VALUE_LANES];
    FN(task_sums) few = {hf_no_wide(), sums.wrong};
    for (ptrdiff_t k = 0; k < HF_VALUE_LANES; k++) /* lanes without a row repeat the first label */
        memcpy(padded_labels + k * label_size, labels, (size_t)label_size);
    memcpy(padded_labels + at * label_size, labels, (size_t)(m * label_size));
    memcpy(padded_scores + at, scores, (size_t)m * sizeof(real));
    few = lines(loss, padded_labels, classes, padded_scores, HF_VALUE_LANES, factor, padded_slopes, 0, few);
    memcpy(lane, &sums.values, sizeof lane);
    memcpy(added, &few.values, sizeof added);
    for (ptrdiff_t k = at; k < at + m; k++)
        lane[k] += added[k];
    memcpy(&few.values, lane, sizeof lane);
    if (slopes)
        memcpy(slopes, padded_slopes + at, (size_t)m * sizeof(real));
    return few;
}

/* A task of n rows: adds its values to `lanes`, row i into lane i mod 16, and writes its slopes as loss_of_lines does.
 * `of_kind` are the loops of one family for each kind of labels. Returns whether a label was of neither class. O(n). */
static int FN(loss_of_task)(FN(loss_of_lines_of) *const *of_kind, const hf_loss *loss,
                            const hf_labels *labels, const real *scores, ptrdiff_t n, real factor,
                            double *lanes, real *slopes, int stream) {
    enum { N = HF_VALUE_LANES, STRIP = 4 * N };
    const int kind = hf_kind_of_labels(labels), is_decoded = kind == HF_SIGNS && labels->decode;
    const hf_byte_classes classes = hf_classes_of_bytes(labels);
    /* Rows up to the first cache line of what is written; lanes are rotated so that the row after them has the first.
     * Arrays of one allocator as a rule begin at the same place in a line. */
    const uintptr_t written = (uintptr_t)(slopes ? slopes : scores);
    const int is_long = stream || n >= 16 * N;
    const ptrdiff_t to_line = is_long ? (ptrdiff_t)((0 - written) % HF_LINE_BYTES / sizeof(real)) : 0;
    const ptrdiff_t head = to_line < n ? to_line : n;
    real strip[STRIP];
    double lane[N];
    unsigned char wrong[sizeof(FN(part_bits))];
    int is_wrong = 0;
    FN(task_sums) sums = {hf_no_wide(), FN(bits_of_part)(FN(no_part)())};
    for (ptrdiff_t i = 0, m; i < n; i += m) {
        const void *label = (const char *)labels->data + i * labels->itemsize;
        real *out = slopes ? slopes + i : NULL;
        m = i < head ? head : n - i < N ? n - i : (n - i) / N * N;
        if (is_decoded) {
            m = m < STRIP ? m : STRIP;
            labels->decode(label, m, labels->classes, strip);
            label = strip;
        }
        if (m < N)
            sums = FN(loss_of_few)(of_kind[kind], loss, label, kind == HF_SIGNS ? (ptrdiff_t)sizeof(real) : 1,
                                   classes, scores + i, i < head ? N - head : 0, m, factor, out, sums);
        else
            sums = of_kind[kind](loss, label, classes, scores + i, m, factor, out, stream, sums);
    }
    memcpy(lane, &sums.values, sizeof lane);
    for (int k = 0; k < N; k++)
        lanes[(head + k) % N] += lane[k];
    sums.wrong &= BITS_BUT_SIGN;
    memcpy(wrong, &sums.wrong, sizeof wrong);
    for (size_t k = 0; k < sizeof wrong; k++)
        is_wrong |= wrong[k];
    return is_wrong != 0;
}
