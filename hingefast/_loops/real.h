/* real.h - the number type of the headers that are included once for float32 and once for float64: `real`; FN(f) is f_f32
 * or f_f64.
 * Alone, for an editor, such a header is read for float64: then it includes what it builds on, which otherwise stands
 * before it (number_type.h).
 */
#ifndef real

#include "labels.h"
#include "once.h"

#ifdef REAL_IS_F32
#define real float
#define FN(name) HF_PASTE(name, _f32)
#define BITS_BUT_SIGN 0x7FFFFFFFu
#else
#define HF_REAL_IS_F64
#define real double
#define FN(name) HF_PASTE(name, _f64)
#define BITS_BUT_SIGN 0x7FFFFFFFFFFFFFFFu
#endif

#ifndef HF_BIT_PATTERN
#define HF_BIT_PATTERN
typedef uint32_t bit_pattern_f32;
typedef uint64_t bit_pattern_f64;
#define square_root_f32 sqrtf
#define square_root_f64 sqrt
#define fabs_f32 fabsf
#define fabs_f64 fabs
#endif

#endif
