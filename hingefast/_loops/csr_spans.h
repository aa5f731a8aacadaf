/* csr_spans.h - where the entries of CSR rows begin and end, and whether they are all columns. Included once for each type
 * of indptr and indices.
 */
#ifndef index_type /* opened alone */
#include "once.h"
#define index_type int64_t
#define IX(name) HF_JOIN(name, i64)
#endif

/* Of n rows: rows[i], or first + i*step where rows is NULL. Whatever indptr holds, 0 <= starts[i] <= ends[i] <= n_stored
 * comes out. Returns the position of the first row whose own two pointers do not satisfy that, or -1. O(n). */
static ptrdiff_t IX(csr_spans)(const void *indptr, const int64_t *rows, ptrdiff_t first, ptrdiff_t step,
                               ptrdiff_t n, int64_t n_stored, int64_t *HF_RESTRICT starts,
                               int64_t *HF_RESTRICT ends) {
    const index_type *HF_RESTRICT pointer = indptr;
    const int follow = rows == NULL && step == 1 && n > 0;
    uint64_t bad = 0;
    ptrdiff_t fault = -1;
    if (follow) { /* each pointer is read once: the end of a row is the start of the next, whatever others write */
        for (ptrdiff_t i = 0; i < n; i++)
            starts[i] = (int64_t)pointer[first + i];
        HF_READ_AGAIN(); /* what was written is looked at, not what was read */
        memcpy(ends, starts + 1, (size_t)(n - 1) * sizeof *ends);
        ends[n - 1] = hf_pinned((int64_t)pointer[first + n]);
        for (ptrdiff_t i = 0; i < n; i++) { /* the highest bit: whether any of these is negative */
            const uint64_t start = (uint64_t)starts[i], end = (uint64_t)ends[i];
            bad |= start | end | (end - start) | ((uint64_t)n_stored - end);
        }
        if (bad >> 63 == 0)
            return -1;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        const ptrdiff_t row = rows ? (ptrdiff_t)rows[i] : first + i * step;
        const int64_t start = follow ? starts[i] : hf_pinned((int64_t)pointer[row]);
        const int64_t end = follow ? ends[i] : hf_pinned((int64_t)pointer[row + 1]);
        const int fits = start >= 0 && start <= end && end <= n_stored;
        starts[i] = fits ? start : 0;
        ends[i] = fits ? end : 0;
        fault = !fits && fault < 0 ? i : fault;
    }
    return fault;
}

/* Whether n_rows rows, each of which begins where the one before it ends, are full: columns 0 to n_features - 1, in order.
 * Nothing is read at an index. O(number of entries). */
static int IX(csr_are_full)(const void *indices, const int64_t *starts, const int64_t *ends, ptrdiff_t n_rows,
                            ptrdiff_t n_features) {
    const index_type *HF_RESTRICT index = (const index_type *)indices + starts[0];
    const ptrdiff_t n = n_rows * n_features;
    int64_t other = 0;
    index_type differs = 0;
    for (ptrdiff_t i = 0; i < n_rows; i++)
        other |= (ends[i] - starts[i]) ^ (int64_t)n_features;
    for (ptrdiff_t k = 0; !other && k < n_features; k++)
        differs |= index[k] ^ (index_type)k;
    if (other || differs)
        return 0;
    for (ptrdiff_t k = n_features; k < n; k++)
        differs |= index[k] ^ index[k - n_features];
    return differs == 0;
}
