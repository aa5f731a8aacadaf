/* duet.h - two threads that visit the same rows: words that one of them writes and the other waits for.
 *
 * Each has the coefficients of half of the features, which nobody else touches: of a row it takes its own half, for the score
 * and for the step. The helper's half of a score is told to the caller, who visits the row; the step is told to the helper.
 * A row is scored before the step of the one before it, so that nobody waits for what takes the way between two cores.
 */
#ifndef HF_DUET_H
#define HF_DUET_H
#include "once.h"

/* Looks at a word before a wait is long (about 0.1 ms), and then between two yields. */
enum { HF_LONG_WAIT = 4096, HF_LOOKS = 64 };

HF_INLINE void hf_tell(hf_word *word, double value, ptrdiff_t turn) {
    word->value = value;
    HF_STORE(&word->turn, turn);
}

/* The word of that turn, or of a later one; *is_late is set where it took long. */
HF_INLINE double hf_await(const hf_word *word, ptrdiff_t turn, int *is_late) {
    for (int looks = 0; HF_LOAD(&word->turn) < turn;) {
        HF_PAUSE();
        if (++looks == HF_LONG_WAIT) {
            *is_late = 1;
            looks -= HF_LOOKS;
            hf_yield();
        }
    }
    return word->value;
}

/* The caller: whether there is a helper who does not keep others waiting. */
HF_INLINE int hf_has_help(const hf_duet *duet) {
    return duet && !duet->is_over && !duet->is_late && HF_LOAD(&duet->here.turn) == 1;
}

/* The caller: the helper may go. */
static void dismiss(hf_duet *duet) {
    if (!duet->is_over)
        hf_tell(&duet->asked, 0, duet->turn + 1);
    duet->is_over = 1;
}

/* The helper: I am here. */
static void arrive(hf_duet *duet) { hf_tell(&duet->here, 0, 1); }

/* The helper: rows of the batch of that turn; 0: no more, or this is a second helper, who came when the first had gone. */
static ptrdiff_t rows_asked(hf_duet *duet, ptrdiff_t turn) {
    int is_late;
    const double n_rows = hf_await(&duet->asked, turn, &is_late);
    return HF_LOAD(&duet->asked.turn) == turn ? (ptrdiff_t)n_rows : 0;
}
#endif
