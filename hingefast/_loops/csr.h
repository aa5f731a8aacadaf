/* csr.h - what there is once for each type of column indices, within a number type: index_type, IX(f) is f_i32_f32 ... */
#include "csr_score.h"
#include "csr_accumulate.h"
#include "csr_squares.h"
#include "csr_descend.h"
#undef index_type
#undef IX
