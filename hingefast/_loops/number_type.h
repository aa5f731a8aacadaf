/* number_type.h - all that there is once for float32 and once for float64, in the order in which it builds on itself.
 * loops.c includes it twice, with and without REAL_IS_F32.
 */
#include "real.h"

#include "elementary.h"
#include "lanes.h"
#include "four.h"
#include "sixteen.h"
#include "transpose.h"

/* labels and outputs into and out of the number type */
#include "slope.h"
#define FOR_ELEMENTS "signs.h"
#include "elements.h"
#include "half.h"
#define FOR_ELEMENTS "convert.h"
#include "elements.h"
#define element uint8_t
#define EL(name) HF_JOIN(name, bool)
#define AS_REAL(item) ((item) != 0 ? (real)1 : (real)0)
#include "convert.h"
#define element uint16_t
#define EL(name) HF_JOIN(name, f16)
#define AS_REAL FN(from_half)
#include "convert.h"
#define element float
#define EL(name) HF_JOIN(name, f32)
#include "given.h"
#define element double
#define EL(name) HF_JOIN(name, f64)
#include "given.h"
#include "vectors.h"
#include "squares.h"

/* rows of X: score and accumulate */
#include "accumulate.h"
#include "score.h"
#include "column_score.h"
#include "column_transpose.h"
#include "column_accumulate.h"
#include "class_score.h"
#include "class_accumulate.h"
#include "csr_flat.h"
#include "even_rows.h"
#include "dense_descend.h"
#define index_type int32_t
#define IX(name) FN(HF_JOIN(name, i32))
#include "csr.h"
#define index_type int64_t
#define IX(name) FN(HF_JOIN(name, i64))
#include "csr.h"

/* losses */
#include "score_task.h"
#include "rivals.h"
#include "arrange.h"
#include "losses.h"

#undef REAL_IS_F32
#undef HF_REAL_IS_F64
#undef real
#undef FN
#undef BITS_BUT_SIGN
#undef LANES
#undef PARTS
#undef PART_LANES
#undef PIECE_BYTES
#undef PIECES
#undef PIECE_NUMBERS
#undef SIXTEEN_PARTS
#undef CAN_TRANSPOSE
#undef SHORT_ROW_BYTES
#undef LONG_ROW_BYTES
#undef AHEAD_BYTES
#undef NARROW_LINES
#undef EVEN_PARTS
#undef EVEN_ROWS
