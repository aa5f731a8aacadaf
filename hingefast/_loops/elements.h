/* elements.h - includes the header FOR_ELEMENTS once for each type of labels, weights and numbers of X.
 *
 * `element` is the type, EL(f) is f_i8 and so on, in the order of the HF_INT8 ... of table.h.
 */
#ifndef IS_FLOAT
#define IS_FLOAT ((element)0.5 > 0)
#define IS_UNSIGNED ((element)(-1) > 1)
#endif
#define element int8_t
#define EL(name) HF_JOIN(name, i8)
#include FOR_ELEMENTS
#define element int16_t
#define EL(name) HF_JOIN(name, i16)
#include FOR_ELEMENTS
#define element int32_t
#define EL(name) HF_JOIN(name, i32)
#include FOR_ELEMENTS
#define element int64_t
#define EL(name) HF_JOIN(name, i64)
#include FOR_ELEMENTS
#define element uint8_t
#define EL(name) HF_JOIN(name, u8)
#include FOR_ELEMENTS
#define element uint16_t
#define EL(name) HF_JOIN(name, u16)
#include FOR_ELEMENTS
#define element uint32_t
#define EL(name) HF_JOIN(name, u32)
#include FOR_ELEMENTS
#define element uint64_t
#define EL(name) HF_JOIN(name, u64)
#include FOR_ELEMENTS
#define element float
#define EL(name) HF_JOIN(name, f32)
#include FOR_ELEMENTS
#define element double
#define EL(name) HF_JOIN(name, f64)
#include FOR_ELEMENTS
#undef FOR_ELEMENTS
