/* undef.h - clears the macros of one number type, so that the next can be included. */
#undef real
#undef FN
#undef BITS_BUT_SIGN
#undef LANES
#undef PARTS
#undef PART_LANES
#undef SIXTEEN_PARTS
#undef CAN_TRANSPOSE
#undef SHORT_ROW_BYTES
#undef LONG_ROW_BYTES
#undef AHEAD_BYTES
#undef NARROW_LINES
