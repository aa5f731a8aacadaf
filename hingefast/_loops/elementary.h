/* elementary.h - exp, log1p, erfc and the tail of the normal distribution, for loops that the compiler vectorises.

   Included once for float32 and once for float64; constants and polynomials of both stand at the top.

   Scalar functions without branches, tables or libm calls: a plain loop over them becomes vector code at
   every level, SSE2 included, and gives the same bits at every level, because additions and products are
   written out in a fixed order (compile with -ffp-contract=off, run under round-to-nearest). NaN gives NaN;
   subnormals are neither flushed nor wrong; float functions compute in float only.

   Largest error found, in ulp of the exact value for the argument as given (f64: 7 * 10^5 arguments each;
   f32: all between 1/8 and 16, every fourth from 1/64, and 10^7 others):

                       f64    f32    domain
       exp             0.96   0.99   all
       log1p           1.45   1.54   all
       log1p_unit      1.26   1.32   [0, 1]
       erfc            2.65   2.76   all
       gaussian_tail   2.46   2.78   [0, inf]   Q
                       2.86   3.36   [0, inf]   psi; at most 0.63 (3 + 2x^2)

   Where the result is subnormal, at most 1.7 units of the subnormal grid. A sample of this is measured by
   `python ci/fit_elementary.py --measure`; the same script computes the coefficients.

   Method: Cody and Waite 1980 (exp); Tang 1990 and fdlibm (log1p); for the tail the map t = (x - a)/(x + a)
   of Schonfelder 1978 and of Shepherd and Laframboise 1981, with the rounding errors of x*x, of x + b and of
   the division put back in. */
#include "real.h"

#ifndef HF_ELEMENTARY_H
#define HF_ELEMENTARY_H

#include <math.h> /* INFINITY, NAN and fabs, which every compiler expands in place */

/* --- printed by ci/fit_elementary.py --- */
static const double LOG2_E_f64 = 0x1.71547652b82fep+0;
static const double LN2_HIGH_f64 = 0x1.62e42fefa4p-1;
static const double LN2_LOW_f64 = -0x1.8432a1b0e2634p-43;
static const double SQRT_2_f64 = 0x1.6a09e667f3bcdp+0;
static const double SQRT_2_LOST_f64 = -0x1.3b3efbf5e2228p-54;
static const double CENTRE_f64 = 0x1.8p+2;
static const double OFFSET_f64 = 0x1.8p+0;
static const double ERFC_CENTRE_f64 = 0x1.0f876ccdf6cd9p+2;
static const double ERFC_OFFSET_f64 = 0x1.0f876ccdf6cd9p+0;
static const double ERFC_OFFSET_LOST_f64 = 0x1.b1a18f13a34cp-54;
static const double TAIL_END_f64 = 0x1.35p+5;

static const float LOG2_E_f32 = 0x1.715476p+0f;
static const float LN2_HIGH_f32 = 0x1.62e4p-1f;
static const float LN2_LOW_f32 = 0x1.7f7d1cp-20f;
static const float SQRT_2_f32 = 0x1.6a09e6p+0f;
static const float SQRT_2_LOST_f32 = 0x1.26055cp-26f;
static const float CENTRE_f32 = 0x1.cp+1f;
static const float OFFSET_f32 = 0x1.8p+0f;
static const float ERFC_CENTRE_f32 = 0x1.3cc8aap+1f;
static const float ERFC_OFFSET_f32 = 0x1.0f876cp+0f;
static const float ERFC_OFFSET_LOST_f32 = 0x1.9bed9cp-25f;
static const float TAIL_END_f32 = 0x1.dp+3f;

/* Degree 9, relative error of what it serves 2^-57.9. */
static inline double exp_polynomial_f64(double r) {
    const double square = r * r;
    double odd = 0x1.ad8b86f9ad734p-26;
    double even = 0x1.28ae866ec1e72p-22;
    odd = odd * square + 0x1.71df1eb6a06a4p-19;
    even = even * square + 0x1.a01998dd683e9p-16;
    odd = odd * square + 0x1.a01a012cda502p-13;
    even = even * square + 0x1.6c16c1849d4abp-10;
    odd = odd * square + 0x1.11111111275c1p-7;
    even = even * square + 0x1.555555555064dp-5;
    odd = odd * square + 0x1.55555555554fbp-3;
    return 0x1.000000000000ap-1 + r * (odd + r * even);
}

/* Degree 4, relative error of what it serves 2^-28.2. */
static inline float exp_polynomial_f32(float r) {
    const float square = r * r;
    float even = 0x1.6a5cacp-10f;
    float odd = 0x1.123af2p-7f;
    even = even * square + 0x1.5558a4p-5f;
    odd = odd * square + 0x1.55549p-3f;
    return 0x1.fffffcp-2f + r * (odd + r * even);
}

/* Degree 6, relative error of what it serves 2^-59.5. */
static inline double log1p_polynomial_f64(double z) {
    const double square = z * z;
    double even = 0x1.2f024f0d837a6p-3;
    double odd = 0x1.39a20c889439p-3;
    even = even * square + 0x1.74663b9351253p-3;
    odd = odd * square + 0x1.c71c521a8b5abp-3;
    even = even * square + 0x1.24924941da98ep-2;
    odd = odd * square + 0x1.999999997ff6fp-2;
    return 0x1.5555555555592p-1 + z * (odd + z * even);
}

/* Degree 2, relative error of what it serves 2^-30.2. */
static inline float log1p_polynomial_f32(float z) {
    float even = 0x1.31dfecp-2f;
    float odd = 0x1.995edap-2f;
    return 0x1.55557ap-1f + z * (odd + z * even);
}

/* Degree 9, relative error of what it serves 2^-59.4. */
static inline double log1p_unit_polynomial_f64(double z) {
    const double square = z * z;
    double odd = 0x1.5c64e38305d99p-3;
    double even = 0x1.55c5bb696c626p-4;
    odd = odd * square + 0x1.efd3cc127fc6p-4;
    even = even * square + 0x1.1068099cc6768p-3;
    odd = odd * square + 0x1.3b1dd699d39c7p-3;
    even = even * square + 0x1.745cb434ff909p-3;
    odd = odd * square + 0x1.c71c741b2281ap-3;
    even = even * square + 0x1.249249208e8c3p-2;
    odd = odd * square + 0x1.99999999a0722p-2;
    return 0x1.5555555555535p-1 + z * (odd + z * even);
}

/* Degree 3, relative error of what it serves 2^-27.7. */
static inline float log1p_unit_polynomial_f32(float z) {
    const float square = z * z;
    float odd = 0x1.1ec834p-2f;
    float even = 0x1.1ec09ap-2f;
    odd = odd * square + 0x1.99d1c8p-2f;
    return 0x1.555502p-1f + z * (odd + z * even);
}

/* Degree 22, relative error of what it serves 2^-56.8. Without its constant. */
static const double MILLS_CONSTANT_f64 = 0x1.f18150766c924p-2;
static inline double mills_rest_f64(double t) {
    const double square = t * t;
    double even = 0x1.9579f3a74dc56p-30;
    double odd = 0x1.a8b13aa41d6f5p-29;
    even = even * square + -0x1.e4b771f329ce8p-27;
    odd = odd * square + -0x1.7eba0094e19c7p-26;
    even = even * square + 0x1.022d8ee33fc97p-23;
    odd = odd * square + 0x1.0742a71e7013ep-25;
    even = even * square + -0x1.fa31292cae006p-21;
    odd = odd * square + 0x1.7ea1cfe130e91p-20;
    even = even * square + 0x1.381e5ca75b01ep-18;
    odd = odd * square + -0x1.8c1e229a43005p-16;
    even = even * square + 0x1.ce0c2712cdebfp-16;
    odd = odd * square + 0x1.07902c4b249e3p-13;
    even = even * square + -0x1.9851ddb6a335cp-11;
    odd = odd * square + 0x1.3e5d59181fdadp-9;
    even = even * square + -0x1.5eac750363d5ap-8;
    odd = odd * square + 0x1.21221be73146ap-7;
    even = even * square + -0x1.509d25d82c3f7p-7;
    odd = odd * square + 0x1.4bf3e81b801cbp-8;
    even = even * square + 0x1.9210b707dc42bp-7;
    odd = odd * square + -0x1.73505d4aa27a9p-5;
    even = even * square + 0x1.7bcf7c8219079p-4;
    odd = odd * square + -0x1.2c490fc8288c7p-3;
    return t * (odd + t * even);
}

/* Degree 9, relative error of what it serves 2^-26.7. Without its constant. */
static const float MILLS_CONSTANT_f32 = 0x1.103e5cp-1f;
static inline float mills_rest_f32(float t) {
    const float square = t * t;
    float odd = 0x1.299c3ap-13f;
    float even = 0x1.552b36p-13f;
    odd = odd * square + -0x1.3d8d98p-10f;
    even = even * square + -0x1.a588fep-12f;
    odd = odd * square + 0x1.3a7666p-7f;
    even = even * square + -0x1.539d5ep-6f;
    odd = odd * square + 0x1.d9b304p-8f;
    even = even * square + 0x1.04f9d6p-4f;
    odd = odd * square + -0x1.87bf14p-3f;
    return t * (odd + t * even);
}

/* Degree 23, relative error of what it serves 2^-57.1. Without its constant. */
static const double LOSS_CONSTANT_f64 = 0x1.27ac12b27c9f1p-1;
static inline double loss_rest_f64(double t) {
    const double square = t * t;
    double odd = 0x1.f45c713a935fp-27;
    double even = 0x1.57c34c5ac6f94p-25;
    odd = odd * square + -0x1.d599b93154a39p-24;
    even = even * square + -0x1.436ef33f97486p-22;
    odd = odd * square + 0x1.cb64f082e1196p-21;
    even = even * square + 0x1.329c857536a99p-20;
    odd = odd * square + -0x1.caf53bca19477p-18;
    even = even * square + 0x1.8dc4843c2dd67p-19;
    odd = odd * square + 0x1.54a5b705f40ap-15;
    even = even * square + -0x1.c3024336e1015p-14;
    odd = odd * square + -0x1.1efb0950b1e1ep-16;
    even = even * square + 0x1.ae219e574daeep-11;
    odd = odd * square + -0x1.5c19b51d3f202p-9;
    even = even * square + 0x1.2df9bd3152d78p-8;
    odd = odd * square + -0x1.af5b708bd4ab8p-9;
    even = even * square + -0x1.ad78d74ae7081p-8;
    odd = odd * square + 0x1.c935ae0a60c42p-6;
    even = even * square + -0x1.c0d25bc51cf92p-5;
    odd = odd * square + 0x1.17db18b2b819p-4;
    even = even * square + -0x1.5a5d541acb76bp-5;
    odd = odd * square + -0x1.4b5fdae46092p-5;
    even = even * square + 0x1.5a4de3317fc07p-3;
    odd = odd * square + -0x1.325e80c5c12a7p-2;
    return t * (odd + t * even);
}

/* Degree 10, relative error of what it serves 2^-26.5. Without its constant. */
static const float LOSS_CONSTANT_f32 = 0x1.5632c4p-1f;
static inline float loss_rest_f32(float t) {
    const float square = t * t;
    float even = 0x1.2c34p-11f;
    float odd = 0x1.5c47dp-10f;
    even = even * square + -0x1.6ed7bp-9f;
    odd = odd * square + -0x1.babd9p-8f;
    even = even * square + 0x1.2d21d4p-6f;
    odd = odd * square + 0x1.0ff0e2p-7f;
    even = even * square + -0x1.597acep-4f;
    odd = odd * square + 0x1.cb5358p-4f;
    even = even * square + 0x1.8abf2cp-5f;
    odd = odd * square + -0x1.750628p-2f;
    return t * (odd + t * even);
}
/* --- end of what ci/fit_elementary.py prints --- */

/* 1.5 * 2^52 and 1.5 * 2^23: adding one rounds to an integer, of either sign, and leaves it in the low
   bits. */
static const double SHIFT_f64 = 0x1.8p52;
static const float SHIFT_f32 = 0x1.8p23f;

/* exp is 0 below and inf above. */
static const double EXP_LOW_f64 = -746.0;
static const double EXP_HIGH_f64 = 710.0;
static const float EXP_LOW_f32 = -104.0f;
static const float EXP_HIGH_f32 = 89.0f;

/* erfc is 0 from here on; ERFC_END * sqrt(2) must stay below TAIL_END. */
static const double ERFC_END_f64 = 27.3125;
static const float ERFC_END_f32 = 10.25f;

/* For corrections that need two digits. */
static const double SQRT_HALF_f64 = 0.707;
static const float SQRT_HALF_f32 = 0.707f;

/* 2^64 and 2^-64, as numbers and as bits: enough to lift the smallest subnormal to the normal numbers. */
static const double RAISE_f64 = 0x1p64;
static const double LOWER_f64 = 0x1p-64;
static const uint64_t RAISE_BITS_f64 = 0x43f0000000000000u;
static const uint64_t LOWER_BITS_f64 = 0x3bf0000000000000u;
static const float RAISE_f32 = 0x1p64f;
static const float LOWER_f32 = 0x1p-64f;
static const uint32_t RAISE_BITS_f32 = 0x5f800000u;
static const uint32_t LOWER_BITS_f32 = 0x1f800000u;

/* Bit patterns: 1.0, sqrt(1/2), the fraction field, 2^52 or 2^23, and a mask for the upper half of a
   significand. */
static const uint64_t ONE_BITS_f64 = 0x3ff0000000000000u;
static const uint64_t SQRT_HALF_BITS_f64 = 0x3fe6a09e667f3bcdu;
static const uint64_t FRACTION_BITS_f64 = 0x000fffffffffffffu;
static const uint64_t INTEGER_BITS_f64 = 0x4330000000000000u;
static const uint64_t UPPER_HALF_BITS_f64 = 0xfffffffff8000000u;
static const uint32_t ONE_BITS_f32 = 0x3f800000u;
static const uint32_t SQRT_HALF_BITS_f32 = 0x3f3504f3u;
static const uint32_t FRACTION_BITS_f32 = 0x007fffffu;
static const uint32_t INTEGER_BITS_f32 = 0x4b000000u;
static const uint32_t UPPER_HALF_BITS_f32 = 0xfffff000u;

/* Bits of the fraction, and what is added to an exponent. INTEGER is 2^52 or 2^23. */
enum { FRACTION_WIDTH_f64 = 52, EXPONENT_BIAS_f64 = 1023, FRACTION_WIDTH_f32 = 23, EXPONENT_BIAS_f32 = 127 };
static const double INTEGER_f64 = 0x1p52;
static const float INTEGER_f32 = 0x1p23f;
#endif

#define K(name) FN(name) /* a constant from above */

/* The bits of a number as an integer, and back. memcpy is how C says it; compilers emit no call. */
static inline FN(bit_pattern) FN(bits)(real x) {
    FN(bit_pattern) bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline real FN(from_bits)(FN(bit_pattern) bits) {
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A power of e in two parts: (1 + fraction) * scale / lift, scale a power of two and lift 2^64 or 2^-64. */
typedef struct {
    real fraction;
    real scale;
} FN(exponential);

/* exp(high + low), in parts.

   high: a number whose exponential neither overflows nor is more than a little below the subnormals, or NaN.
   low: |low| at most about 2^-9.
   lift_bits: the bits of the lift. Where the result may be subnormal it must be 2^64, where it may overflow
   2^-64: then scale is an ordinary number, and dividing by lift, the last operation, rounds once.

   Cody and Waite: high = n log(2) + r, the product of n and LN2_HIGH is exact, low joins r. n is rounded to
   an integer by adding a number whose last place is 1; its low bits are then an exponent. */
static inline FN(exponential) FN(exponential_of_sum)(real high, real low, FN(bit_pattern) lift_bits) {
    const real shifted = high * K(LOG2_E) + K(SHIFT);
    const real n = shifted - K(SHIFT);
    const real r = (high - n * K(LN2_HIGH)) + (low - n * K(LN2_LOW));
    FN(exponential) power;
    power.fraction = r + (r * r) * FN(exp_polynomial)(r);
    power.scale = FN(from_bits)((FN(bits)(shifted) << K(FRACTION_WIDTH)) + lift_bits);
    return power;
}

/* factor * (constant + rest) * power, for a power with lift 2^64.

   The constant is added once, to all the rest: two roundings, where rounding constant + rest, the power and
   their products one by one makes four. */
static inline real FN(times_exponential)(real factor, real constant, real rest, FN(exponential) power) {
    const real sum = constant + (rest + (constant + rest) * power.fraction);
    return ((factor * sum) * power.scale) * K(LOWER);
}

/* exp(x).

   x: any number; -inf gives 0, NaN gives NaN, overflow inf. Subnormal results are rounded, not flushed. */
static inline real FN(exp)(real x) {
    /* Beyond these the result is 0 and inf anyway; comparisons are written so that NaN stays. */
    const real at_least = x < K(EXP_LOW) ? K(EXP_LOW) : x;
    const real clamped = x > K(EXP_HIGH) ? K(EXP_HIGH) : at_least;
    const FN(bit_pattern) lift_bits = x > 0 ? K(LOWER_BITS) : K(RAISE_BITS);
    const real unlift = x > 0 ? K(RAISE) : K(LOWER);
    const FN(exponential) power = FN(exponential_of_sum)(clamped, 0, lift_bits);
    return ((1 + power.fraction) * power.scale) * unlift;
}

/* log(1 + x) for x from 0 to 1, or NaN, in two thirds of the time of log1p; the x of a softplus is such.

   log(1 + x) = x - s (x - z q(z)), s = x/(2 + x), z = s*s: no reduction. */
static inline real FN(log1p_unit)(real x) {
    const real s = x / (2 + x);
    const real z = s * s;
    return x - s * (x - z * FN(log1p_unit_polynomial)(z));
}

/* log(1 + x).

   x: any number; below -1 gives NaN, -1 gives -inf, inf gives inf, NaN gives NaN; tiny x, -0 and subnormals
   included, gives x.

   1 + x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); what rounding 1 + x lost is put back into f, so for
   k = 0 f is x itself. log(1 + f) = f - s (f - z q(z)), s = f/(2 + f), z = s*s. The signs (minus k, "f -
   ...") are chosen so that -0 gives -0. */
static inline real FN(log1p)(real x) {
    const real sum = 1 + x;
    const real lost = x - (sum - 1);
    const FN(bit_pattern) offset_bits = FN(bits)(sum) + (K(ONE_BITS) - K(SQRT_HALF_BITS));
    const FN(bit_pattern) biased_k = offset_bits >> K(FRACTION_WIDTH);
    /* An integer below 2^52 becomes floating point as the low bits of a number whose last place is 1. */
    const real minus_k = (K(INTEGER) + K(EXPONENT_BIAS)) - FN(from_bits)(K(INTEGER_BITS) | biased_k);
    /* One more than -k, so that the largest k stays in range; halved at once. */
    const real two_to_1_minus_k = FN(from_bits)((2 * K(EXPONENT_BIAS) + 1 - biased_k) << K(FRACTION_WIDTH));
    const real near_one = FN(from_bits)((offset_bits & K(FRACTION_BITS)) + K(SQRT_HALF_BITS));
    const real f = (lost * two_to_1_minus_k) * (real)0.5 - (1 - near_one);
    const real s = f / (2 + f);
    const real z = s * s;
    const real correction = s * (f - z * FN(log1p_polynomial)(z));
    const real result = (f - (correction + minus_k * K(LN2_LOW))) - minus_k * K(LN2_HIGH);
    const real with_pole = x == -1 ? -(real)INFINITY : result;
    const real with_domain = x < -1 ? (real)NAN : with_pole;
    return x == (real)INFINITY ? x : with_domain;
}

/* x without the lower half of its significand. */
static inline real FN(upper_half)(real x) { return FN(from_bits)(FN(bits)(x) & K(UPPER_HALF_BITS)); }

/* exp(-x*x*factor + low), in parts, without the rounding error of the square.

   x: from 0 to a little beyond where the result underflows, or NaN. factor: 1 or 1/2. low: tiny.

   The upper half of the significand of x has an exact square; the rest of the square is small. */
static inline FN(exponential) FN(exponential_of_square)(real x, real factor, real low) {
    const real upper = FN(upper_half)(x);
    const real square_rest = (x - upper) * (x + upper);
    return FN(exponential_of_sum)(-(upper * upper) * factor, low - square_rest * factor, K(RAISE_BITS));
}

/* numerator - (denominator + denominator_lost) * quotient for a rounded quotient: what the division lost, and
   the sum in its denominator. The products of upper halves are exact. */
static inline real FN(remainder)(real numerator, real denominator, real denominator_lost, real quotient) {
    const real denominator_upper = FN(upper_half)(denominator);
    const real quotient_upper = FN(upper_half)(quotient);
    const real rest =
        (numerator - denominator_upper * quotient_upper) - denominator_upper * (quotient - quotient_upper);
    return rest - ((denominator - denominator_upper) + denominator_lost) * quotient;
}

/* erfc(x).

   x: any number; inf gives 0, -inf gives 2, NaN gives NaN.

   erfc(x) = 2 Q(x sqrt(2)) = sqrt(2) exp(-x*x) mills(t) / (x + ERFC_OFFSET). What the sum, the quotient and
   sqrt(2) lost in rounding is put back in the exponential. */
static inline real FN(erfc)(real x) {
    const real magnitude = FN(fabs)(x);
    const real size = magnitude > K(ERFC_END) ? K(ERFC_END) : magnitude;
    const real t = (size + size) / (size + K(ERFC_CENTRE)) - 1;
    const real sum = size + K(ERFC_OFFSET);
    const real larger = size > K(ERFC_OFFSET) ? size : K(ERFC_OFFSET);
    const real smaller = size > K(ERFC_OFFSET) ? K(ERFC_OFFSET) : size;
    const real sum_lost = (smaller - (sum - larger)) + K(ERFC_OFFSET_LOST);
    const real quotient = K(SQRT_2) / sum;
    const real correction = FN(remainder)(K(SQRT_2), sum, sum_lost, quotient) * K(SQRT_HALF) + K(SQRT_2_LOST);
    const FN(exponential) power = FN(exponential_of_square)(size, 1, correction);
    const real upper_tail = FN(times_exponential)(quotient, K(MILLS_CONSTANT), FN(mills_rest)(t), power);
    return x < 0 ? 2 - upper_tail : upper_tail;
}

/* Upper tail Q(x) of the standard normal distribution, and psi = pdf(x) - x Q(x), the integral of Q above x.

   x: at least 0; inf gives 0 for both, NaN gives NaN for both. For x < 0 use Q(x) = 1 - Q(-x) and
   psi(x) = psi(-x) - x.
   psi: one number, written.
   Returns Q(x).

   Q = exp(-x*x/2) mills(t) / (x + OFFSET) and psi = exp(-x*x/2) loss(t) / (x + OFFSET)^2. */
static inline real FN(gaussian_tail)(real x, real *psi) {
    const real size = x > K(TAIL_END) ? K(TAIL_END) : x;
    const real t = (size + size) / (size + K(CENTRE)) - 1;
    const real sum = size + K(OFFSET);
    const real sum_lost = size - (sum - K(OFFSET)); /* exact: OFFSET is a short number */
    const real inverse = 1 / sum;
    const real correction = FN(remainder)(1, sum, sum_lost, inverse);
    const FN(exponential) power = FN(exponential_of_square)(size, (real)0.5, correction);
    /* The square of the upper half is exact. What it lacks of the square, and the correction, which the
       exponential holds once and a square needs twice, are a factor 1 + square_correction: 1/(1 - rest)^2 but
       for rest^3. */
    const real upper = FN(upper_half)(inverse);
    const real rest = (inverse - upper) * sum;
    const real square_correction = rest * (2 + 3 * rest) + correction;
    FN(exponential) square_power = power;
    square_power.fraction += square_correction + square_correction * power.fraction;
    *psi = FN(times_exponential)(upper * upper, K(LOSS_CONSTANT), FN(loss_rest)(t), square_power);
    return FN(times_exponential)(inverse, K(MILLS_CONSTANT), FN(mills_rest)(t), power);
}
#undef K
