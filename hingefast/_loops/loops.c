/* loops.c - all innermost loops of one instruction-set level, and the table that names them.
 *
 * Compiled once per level with -DHF_LEVEL=base, x86_v3 or x86_v4. Everything is static but the table
 * hf_loops_<level>: with shared functions a linker could keep the AVX-512 copy for every level.
 */
#include "table.h"

#include "once.h"
#include "labels.h"
#include "descend.h"
#include "class_descend.h"
#include "interior.h"
#define FOR_ELEMENTS "decode.h"
#include "elements.h"

/* ---- once for each type of column indices ---------------------------------------------------------------- */

#define index_type int32_t
#define IX(name) HF_JOIN(name, i32)
#include "csr_spans.h"
#include "slots.h"
#undef index_type
#undef IX
#define index_type int64_t
#define IX(name) HF_JOIN(name, i64)
#include "csr_spans.h"
#include "slots.h"
#undef index_type
#undef IX

/* ---- once for float32, once for float64 ----------------------------------------------------------- */

#define REAL_IS_F32
#include "number_type.h"
#include "number_type.h"

/* ---- the table ------------------------------------------------------------------------------------- */

#define HF_STRING(x) #x
#define HF_STRING_EXPANDED(x) HF_STRING(x)

/* The functions of each kind in loops.h. S is _f32 or _f64, or nothing where there is no number type. */
#define HF_OF_FAMILY(FAMILY, name, NAME, S) NAME##_##name##S,
#define HF_OF_DTYPES(NAME, S)                                                                                \
    NAME##_i8##S, NAME##_i16##S, NAME##_i32##S, NAME##_i64##S, NAME##_u8##S, NAME##_u16##S, NAME##_u32##S,   \
        NAME##_u64##S, NAME##_f32##S, NAME##_f64##S
#define HF_OF_NUMBERS(NAME, S) HF_OF_DTYPES(NAME, S), NAME##_bool##S, NAME##_f16##S
#define HF_NAMES_ONE(NAME, S) NAME##S
#define HF_NAMES_PER_FAMILY(NAME, S) {HF_FAMILIES(HF_OF_FAMILY, NAME, S)}
#define HF_NAMES_PER_DTYPE(NAME, S) {HF_OF_DTYPES(NAME, S)}
#define HF_NAMES_PER_NUMBER(NAME, S) {HF_OF_NUMBERS(NAME, S), HF_OF_NUMBERS(NAME##_swapped, S)}
#define HF_NAMES_PER_REAL(NAME, S) {NAME##_f32##S, NAME##_f64##S}
#define HF_NAMES_PER_INDEX(NAME, S) {NAME##_i32##S, NAME##_i64##S}
#define HF_NAMES_PER_INDEX_AND_REAL(NAME, S)                                                                 \
    {HF_NAMES_PER_REAL(NAME, _i32##S), HF_NAMES_PER_REAL(NAME, _i64##S)}
#define HF_NAMES_PER_SIZE(NAME, S) {NAME##_1##S, NAME##_2##S, NAME##_4##S, NAME##_8##S}
#define HF_NAMES_PER_FUNCTION(NAME, S) {NAME##_exp##S, NAME##_log1p##S, NAME##_erfc##S}

const hf_loops HF_JOIN(hf_loops, HF_LEVEL) = {
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
    .real =
        {
            {
#define REAL_LOOP(KIND, RESULT, NAME, ARGUMENTS) .NAME = HF_NAMES_##KIND(NAME, _f32),
#include "loops.h"
            },
            {
#define REAL_LOOP(KIND, RESULT, NAME, ARGUMENTS) .NAME = HF_NAMES_##KIND(NAME, _f64),
#include "loops.h"
            },
        },
#define LOOP(KIND, RESULT, NAME, ARGUMENTS) .NAME = HF_NAMES_##KIND(NAME, ),
#include "loops.h"
};
