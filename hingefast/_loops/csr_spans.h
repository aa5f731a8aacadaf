/* csr_spans.h - where the entries of CSR rows begin and end. Included once for each type of indptr. */
#ifndef index_type /* opened alone */
#include "once.h"
#define index_type int64_t
#define IX(name) HF_JOIN(name, i64)
#endif

/* Of n rows: rows[i], or first + i*step where rows is NULL. Whatever indptr holds, 0 <= starts[i] <= ends[i] <= n_stored
 * comes out. Returns the position of the first row whose own two pointers do not satisfy that, or -1. O(n). */
static ptrdiff_t IX(csr_spans)(const void *indptr, const int64_t *rows, ptrdiff_t first, ptrdiff_t step,
                               ptrdiff_t n, int64_t n_stored, int64_t *starts, int64_t *ends) {
    const index_type *HF_RESTRICT pointer = indptr;
    ptrdiff_t fault = -1;
    for (ptrdiff_t i = 0; i < n; i++) {
        const ptrdiff_t row = rows ? (ptrdiff_t)rows[i] : first + i * step;
        const int64_t start = hf_pinned((int64_t)pointer[row]);
        const int64_t end = hf_pinned((int64_t)pointer[row + 1]);
        const int fits = start >= 0 && start <= end && end <= n_stored;
        starts[i] = fits ? start : 0;
        ends[i] = fits ? end : 0;
        fault = !fits && fault < 0 ? i : fault;
    }
    return fault;
}
