/* family.h - every loop with a formula in it, for one family of losses, which losses.h names: FAMILY.
 *
 * Included once for each family and number type. FN(FAMILY) is the formula, OF(f) the loop f of this family.
 */
#ifndef IS_FLAT_HINGE
#define IS_FLAT_HINGE 0
#endif
#define OF(name) FN(HF_JOIN(name, FAMILY))
#include "margin_loss.h"
#include "score_lines.h"
#include "every_class.h"
#undef OF
#undef FAMILY
#undef IS_FLAT_HINGE
