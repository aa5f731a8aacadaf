/* once.h - what needs no number type: streams, sets of the sixteen value lanes, items of any type, single operations. */
#ifndef HF_ONCE_H
#define HF_ONCE_H

#include <float.h>
#include <limits.h>
#include <math.h>

#include "table.h"

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

/* Reads a byte of every cache line of some bytes, and throws it away: they come into the caches one behind the other,
 * faster than to who waits for coefficients between them. Volatile: what nobody uses is not read otherwise. O(bytes). */
static void touch(const void *x, size_t bytes) {
    const volatile char *line = x;
    for (size_t at = 0; at < bytes; at += HF_LINE_BYTES)
        (void)line[at];
}

/* Asks for every cache line of some bytes, which need not be mapped. Hardware that fetches ahead stops where a page does, so
 * that each block of one would wait anew. O(bytes). */
static void prefetch(const void *x, size_t bytes) {
    for (size_t at = 0; at < bytes; at += HF_LINE_BYTES)
        HF_PREFETCH_L2((const char *)x + at);
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

/* out[i] = item rows[i] (or i, where rows is NULL) of a strided array of items of `bytes` bytes, a constant where this is
 * inlined, at any alignment. The row numbers have been checked. O(n). */
HF_INLINE void gather_items(const size_t bytes, const void *source, ptrdiff_t stride, const int64_t *rows,
                            ptrdiff_t n, void *out) {
    const char *from = source;
    char *to = out;
    for (ptrdiff_t i = 0; i < n; i++)
        memcpy(to + i * (ptrdiff_t)bytes, from + (rows ? (ptrdiff_t)rows[i] : i) * stride, bytes);
}
static void gather_1(const void *source, ptrdiff_t stride, const int64_t *rows, ptrdiff_t n, void *out) {
    gather_items(1, source, stride, rows, n, out);
}
static void gather_2(const void *source, ptrdiff_t stride, const int64_t *rows, ptrdiff_t n, void *out) {
    gather_items(2, source, stride, rows, n, out);
}
static void gather_4(const void *source, ptrdiff_t stride, const int64_t *rows, ptrdiff_t n, void *out) {
    gather_items(4, source, stride, rows, n, out);
}
static void gather_8(const void *source, ptrdiff_t stride, const int64_t *rows, ptrdiff_t n, void *out) {
    gather_items(8, source, stride, rows, n, out);
}

/* The n items of 2, 4 or 8 bytes that a gather brought, in the other byte order; a byte has none. O(n). */
HF_INLINE void swap_items(const size_t bytes, void *x, ptrdiff_t n) {
    char *item = x;
    for (ptrdiff_t i = 0; i < n; i++, item += bytes)
        hf_swap(item, bytes);
}
static void swap_bytes_1(void *x, ptrdiff_t n) { (void)x, (void)n; }
static void swap_bytes_2(void *x, ptrdiff_t n) { swap_items(2, x, n); }
static void swap_bytes_4(void *x, ptrdiff_t n) { swap_items(4, x, n); }
static void swap_bytes_8(void *x, ptrdiff_t n) { swap_items(8, x, n); }

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

#endif
