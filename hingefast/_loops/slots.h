/* slots.h - the few columns that a sparse step touches, numbered as they are met. Included once: knows no number type.
 *
 * The step sums into one number a slot instead of one a column, and reads the caller's indices for the last time here:
 * whatever they become later, what was summed for a column is subtracted from that column.
 */

/* Replaces n column indices, which nobody else holds, by the slots of their columns; new columns get the next slots.
 * Indices are clamped as in csr_score_rows. O(n), as a rule. */
#define HF_DEFINE_ASSIGN_SLOTS(SUFFIX, INDEX)                                                                \
    static void assign_slots_##SUFFIX(void *indices, int64_t n, ptrdiff_t n_features, hf_slots *slots) {     \
        INDEX *HF_RESTRICT index = indices;                                                                  \
        int64_t *HF_RESTRICT columns = slots->columns;                                                       \
        int32_t *HF_RESTRICT table = slots->table;                                                           \
        const uint64_t width = (uint64_t)n_features, mask = slots->mask;                                     \
        ptrdiff_t n_slots = slots->n;                                                                        \
        for (int64_t e = 0; e < n; e++) {                                                                    \
            const uint64_t found = (uint64_t)(int64_t)index[e], j = found < width ? found : 0;               \
            uint64_t at = (j * 0x9E3779B97F4A7C15u) >> 32 & mask; /* of 2^64 over the golden ratio */        \
            while (table[at] != 0 && columns[table[at] - 1] != (int64_t)j)                                   \
                at = (at + 1) & mask;                                                                        \
            if (table[at] == 0 && n_slots < slots->capacity) {                                               \
                columns[n_slots] = (int64_t)j;                                                               \
                table[at] = (int32_t)++n_slots;                                                              \
            }                                                                                                \
            /* Full: there were fewer entries when the step began. The numbers are nobody's any more. */     \
            index[e] = table[at] == 0 ? 0 : (INDEX)(table[at] - 1);                                          \
        }                                                                                                    \
        slots->n = n_slots;                                                                                  \
    }
HF_DEFINE_ASSIGN_SLOTS(i32, int32_t)
HF_DEFINE_ASSIGN_SLOTS(i64, int64_t)
#undef HF_DEFINE_ASSIGN_SLOTS
