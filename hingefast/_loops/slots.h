/* slots.h - the few columns that a sparse step touches, numbered as they are met. Included once for each
 * type of column indices; knows no number type.
 *
 * The step sums into one number a slot instead of one a column, and reads the caller's indices for the last time here:
 * whatever they become later, what was summed for a column is subtracted from that column.
 */
#ifndef index_type /* opened alone */
#include "once.h"
#define index_type int64_t
#define IX(name) HF_JOIN(name, i64)
#endif

/* Replaces n column indices, which nobody else holds, by slots, with `search` or with `number` below. Entries beyond the
 * capacity were not there when the step began: their numbers are nobody's any more. Indices are clamped as in
 * csr_score_rows. O(n), as a rule.
 *
 * number: entries are numbered through, and a column's slot is the number of its last entry in the block that it is met
 * in first. The table has a place a column and is not cleared: what an earlier call left there is either no number of
 * this call's earlier blocks, or that of an entry of another column. No branch depends on the data.
 * search: a hash table whose free places hold 0, the others slot + 1. A column gets the next number. */
HF_INLINE void IX(number_slots)(index_type *HF_RESTRICT index, int64_t n, uint64_t width,
                                int64_t *HF_RESTRICT columns, int32_t *HF_RESTRICT table, hf_slots *slots) {
    const int64_t before = slots->n, room = slots->capacity - before, counted = n < room ? n : room;
    int64_t *HF_RESTRICT column = columns + before;
    for (int64_t e = 0; e < counted; e++) {
        const uint64_t found = (uint64_t)(int64_t)index[e], j = found < width ? found : 0;
        column[e] = (int64_t)j;
        if (before == 0)
            table[j] = (int32_t)e;
        else {
            const int64_t there = table[j], seen = there >= 0 && there < before ? there : 0;
            table[j] = (int32_t)(columns[seen] == (int64_t)j ? seen : before + e);
        }
    }
    for (int64_t e = 0; e < counted; e++)
        index[e] = (index_type)table[column[e]];
    for (int64_t e = counted; e < n; e++)
        index[e] = 0;
    slots->n = before + counted;
}
HF_INLINE void IX(search_slots)(index_type *HF_RESTRICT index, int64_t n, uint64_t width,
                                int64_t *HF_RESTRICT columns, int32_t *HF_RESTRICT table, hf_slots *slots) {
    const uint64_t mask = slots->mask;
    ptrdiff_t n_slots = slots->n;
    for (int64_t e = 0; e < n; e++) {
        const uint64_t found = (uint64_t)(int64_t)index[e], j = found < width ? found : 0;
        uint64_t at = (j * 0x9E3779B97F4A7C15u) >> 32 & mask; /* of 2^64 over the golden ratio */
        while (table[at] != 0 && columns[table[at] - 1] != (int64_t)j)
            at = (at + 1) & mask;
        if (table[at] == 0 && n_slots < slots->capacity) {
            columns[n_slots] = (int64_t)j;
            table[at] = (int32_t)++n_slots;
        }
        index[e] = (index_type)(table[at] ? table[at] - 1 : 0);
    }
    slots->n = n_slots;
}
static void IX(assign_slots)(void *indices, int64_t n, ptrdiff_t n_features, hf_slots *slots) {
    const uint64_t width = (uint64_t)n_features;
    if (slots->mask == 0)
        IX(number_slots)(indices, n, width, slots->columns, slots->table, slots);
    else
        IX(search_slots)(indices, n, width, slots->columns, slots->table, slots);
}
