/* undef.h - clears the macros of one number type, so that the next can be included. */
#undef real
#undef FN
#undef HUGE_FACTOR
#undef LANES
#undef PARTS
#undef PART_LANES
