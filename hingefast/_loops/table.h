/* table.h - the table of innermost loops, one per instruction-set level, and the types they share with the Cython kernels.
 * Which loops there are is in loops.h, losses in losses.h.
 *
 * Arrays come as `void *` to float32 or float64 numbers, after the table they stand in ("real" below);
 * `n` counts elements. No loop allocates, raises or keeps state; none reads or writes outside the
 * lengths it is given, whatever the arrays hold.
 */
#ifndef HF_TABLE_H
#define HF_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "losses.h"
#include "port.h"

/* Element types of labels and weights. */
enum {
    HF_INT8,
    HF_INT16,
    HF_INT32,
    HF_INT64,
    HF_UINT8,
    HF_UINT16,
    HF_UINT32,
    HF_UINT64,
    HF_FLOAT32,
    HF_FLOAT64,
    HF_N_DTYPES
};
/* Numbers of X may besides be of these two types. In the other byte order a number has its type + HF_SWAPPED. */
enum { HF_BOOL = HF_N_DTYPES, HF_FLOAT16, HF_SWAPPED, HF_N_NUMBERS = 2 * HF_SWAPPED };

/* The two classes of binary labels, for float, signed and unsigned labels. A class that is no integer, or no
 * int64, is INT64_MIN there, which matches nothing (Python refuses INT64_MIN itself as a class); `fits_uint`
 * tells whether the class is a uint64. */
typedef struct {
    double negative, positive;
    int64_t negative_int, positive_int;
    uint64_t negative_uint, positive_uint;
    int negative_fits_uint, positive_fits_uint;
} hf_classes;

/* A contiguous array of binary labels. Where `decode` is NULL they are signs in the computing dtype; else it makes such
 * signs of them. */
typedef struct {
    const void *data;
    int dtype; /* HF_INT8 ... */
    ptrdiff_t itemsize;
    const hf_classes *classes;
    void (*decode)(const void *labels, ptrdiff_t n, const hf_classes *classes, void *signs);
} hf_labels;

/* The labels of K classes: first, first + 1, ..., or, where `sorted` is given, sorted[0] < sorted[1] < ..., of
 * which sorted[i] is the label of column columns[i]. No label overflows int64. */
typedef struct {
    int64_t n_classes;
    int64_t first;
    const int64_t *sorted;
    const int32_t *columns;
} hf_class_labels;

/* The columns that the rows of a sparse step store: each has a number of its own, its slot (slots.h). */
typedef struct {
    int64_t *columns;      /* of each slot; of the slots of a column one has sums */
    int32_t *table;        /* with a place a column, or of mask + 1 places, a power of two above 4*capacity */
    uint64_t mask;         /* 0: a place a column */
    ptrdiff_t n, capacity; /* slots in use, at most */
} hf_slots;

/* Dual coordinate descent (descend.h). Of a row of X: */
typedef struct {
    double value;    /* its dual variable */
    double upper;    /* which is at most this */
    double diagonal; /* its share of the diagonal */
    double step; /* 1/(|x|^2 + diagonal + intercept_rate), with the sign of its label; +-0: not known yet */
} hf_dual_row;
/* Two threads that visit the same rows, of which each has the coefficients of its own features (duet.h). What one tells the
 * other, and of which turn it is; a batch of rows is HF_TURNS turns. */
enum { HF_TURNS = 64 };
typedef struct {
    double value;
    ptrdiff_t turn;
    char rest_of_line[48]; /* who looks at a word does not hinder who writes the next */
} hf_word;
typedef struct {
    hf_word sums[HF_TURNS];     /* of the helper: its share of each row's score */
    hf_word changes[HF_TURNS];  /* to the helper: what is to be added to coef a row of X */
    hf_word here;               /* of the helper, in turn 1 */
    hf_word done;               /* of the helper: the first row where an index is outside, or -1 */
    hf_word asked;              /* to the helper: a batch of so many rows; none: it is not needed any more */
    const void *data, *indices; /* the batch */
    const int64_t *starts, *ends;
    int64_t middles[HF_TURNS]; /* where the helper's entries begin */
    int wide;
    ptrdiff_t turn; /* of the last batch */
    int is_late;    /* the helper was waited for too long */
    int is_over;    /* it has been told to go */
} hf_duet;
typedef struct {
    double *coef;
    hf_dual_row *rows;
    /* Of each row how many entries belong to the lower features, -1 where these do not come first. NULL: rows are whole. */
    int32_t *middles;
    int64_t split; /* the first of the upper features */
    int is_ahead;  /* whether each row is scored before the step of the one before it */
    hf_duet *duet; /* NULL: a thread alone */
    double margin;
    double intercept,
        intercept_rate; /* the intercept moves by so much for a change of a dual variable by y; 0: not at all */
    double high, low;   /* rows at a bound with a gradient beyond these rest */
    int64_t *order;     /* places of rows that do not; the visited ones are written from n_kept on */
    ptrdiff_t n_kept;
    double largest, smallest; /* projected gradients met */
    double estimate;          /* of the duality gap */
    double moved;             /* sum of y times changes of dual variables */
} hf_descent;

/* ... for K classes (class_descend.h); `value` of a row is the sum of its variables and `step` |x|^2 + intercept_rate. */
typedef struct {
    double *coef; /* (n_features, stride) */
    hf_dual_row *rows;
    double *dual; /* (n_rows, n_classes); 0 at a row's own class */
    const int32_t *columns;
    const double *costs; /* (n_classes, n_classes), in place of the margin; or NULL */
    ptrdiff_t n_classes;
    ptrdiff_t stride;
    double margin;
    double *intercepts;
    double intercept_rate;
    double *of_classes; /* one against the rest, else NULL: high, low, largest, smallest, moved of each */
    double high;
    int64_t *order;
    ptrdiff_t n_kept;
    double largest; /* change of a variable, in units of scores */
    double estimate;
    double *space; /* 2*stride numbers */
} hf_class_descent;

/* The rows of an interior-point method (interior.h): variables, what they are bounded by, and what an iteration makes of them;
 * arrays of a number a row. */
typedef struct {
    double *a;
    double *p;
    double *q;
    double *scores;
    const double *signs;
    const double *upper;
    const double *diagonal;
    double margin;
    int has_end; /* whether upper is finite, in all rows */
    double *weights;
    double *excess;
    double *right;
    double *to_a;
    double *to_room;
    double *step;
} hf_interior;

/* What a fault in the data was, for the message. */
enum { HF_NO_FAULT, HF_FAULT_INDPTR, HF_FAULT_INDEX, HF_FAULT_LABEL, HF_FAULT_WEIGHT, HF_FAULT_ROW };

/* How many loops there are of a kind in loops.h, and in which order. */
#define HF_EXTENT_ONE
#define HF_EXTENT_PER_FAMILY [HF_N_FAMILIES]
#define HF_EXTENT_PER_DTYPE [HF_N_DTYPES]
#define HF_EXTENT_PER_NUMBER [HF_N_NUMBERS]
#define HF_EXTENT_PER_REAL [2]              /* float32, float64: of the caller's coef or output */
#define HF_EXTENT_PER_INDEX [2]             /* int32, int64 */
#define HF_EXTENT_PER_INDEX_AND_REAL [2][2] /* both */
#define HF_EXTENT_PER_SIZE [4]              /* items of 1, 2, 4 and 8 bytes */
#define HF_EXTENT_PER_FUNCTION [3]          /* exp, log1p, erfc */

#define REAL_LOOP(KIND, RESULT, NAME, ARGUMENTS) RESULT(*NAME HF_EXTENT_##KIND) ARGUMENTS;
typedef struct {
#include "loops.h"
} hf_real_loops;

#define LOOP(KIND, RESULT, NAME, ARGUMENTS) RESULT(*NAME HF_EXTENT_##KIND) ARGUMENTS;
typedef struct {
    const char *level;
    const char *compiler;
    ptrdiff_t tile_rows;
    const hf_catalogue_row *catalogue;
    ptrdiff_t n_catalogue;
    hf_real_loops real[2]; /* [0] float32, [1] float64 */
#include "loops.h"
} hf_loops;

extern const hf_loops hf_loops_base;
#if HF_HAVE_X86_LEVELS
extern const hf_loops hf_loops_x86_v3;
extern const hf_loops hf_loops_x86_v4;
#endif

/* cpu.c: whether the machine and its operating system support a level, by name; 0 for unknown names. */
int hf_cpu_supports(const char *level);

#define HF_VALUE_LANES 16
#define HF_COLUMN_ROWS 512 /* at most so many rows at once in contiguous columns */
#define HF_ALL_LANES 0xFFFFu

#endif
