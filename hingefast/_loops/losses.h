/* losses.h - every margin loss, and nothing about one anywhere else: its family, formula, second derivative, parameters
 * and catalogue row. To add one see CONTRIBUTING.md. Sources are in the docstrings of hingefast/losses.py.
 *
 * Three parts: what the table declares (for table.h); the formulas, once for float32 and once for float64, each with the
 * loops of its family (family.h); and, once, the catalogue.
 *
 * The margin is m = y*z, and u = margin - m. A formula takes u, returns the value phi and writes the slope
 * phi'(m) = d value / d m, which is never positive. Everything is written with selects in which a NaN
 * stays a NaN: `u <= 0 ? 0 : u` keeps it, `u > 0 ? u : 0` would make it a loss of zero.
 */
#ifndef HF_LOSSES_H
#define HF_LOSSES_H

/* Families of margin losses. `name` is the formula below, name_curvature its second derivative; A and B are for F. */
#define HF_FAMILIES(F, A, B)                                                                                 \
    F(HINGE, hinge, A, B)                                                                                    \
    F(FLAT_HINGE, flat_hinge, A, B)                                                                          \
    F(S_FAMILY, s_family, A, B)                                                                              \
    F(PSI_G, psi_g, A, B)                                                                                    \
    F(PSI_M, psi_m, A, B)                                                                                    \
    F(SOFTPLUS, softplus, A, B)                                                                              \
    F(SAFE_LOGISTIC, safe_logistic, A, B)

#define HF_ENUMERATOR(NAME, name, A, B) HF_##NAME,
enum { HF_FAMILIES(HF_ENUMERATOR, , ) HF_N_FAMILIES };

/* A margin loss with its parameters, as the loops take it. What a family does not use is 0. */
typedef struct {
    int family;
    int is_simple;      /* the formula is a few operations: reading and writing a row takes longer */
    double margin;      /* where the loss starts */
    double kink_slope;  /* hinge: the slope at u = 0; others: of the hinge that sharper ones approach */
    double sharpness;   /* the largest number that the formula needs, unless it is a hinge */
    double width, rate; /* S family: u at which the quadratic ends; slope per u on it */
    double steepest;    /* hinge, S family: -slope where it is straight, for solvers of the dual; else 0 */
    double compliance;  /* ... 1/rate, 0 for the hinge */
    double sigma;       /* psi_G, psi_M */
    double beta;        /* softplus */
} hf_loss;

typedef struct {
    const char *name, *kind; /* kinds: margin, width (positive), slope */
    double value;            /* by default */
} hf_parameter;

/* One row of the catalogue: all that Python, the tests and the benchmarks know about a loss. Aliases are separated by
 * spaces; the parameters end before the first without a name; smoothness is "nonsmooth", "c1" (the slope is continuous, but
 * not smooth) or "smooth"; bind sets what is not 0. */
#define HF_MAX_PARAMETERS 4
typedef struct {
    const char *name, *class_name, *aliases;
    hf_parameter parameters[HF_MAX_PARAMETERS];
    const char *smoothness;
    void (*bind)(const double *parameters, hf_loss *loss);
} hf_catalogue_row;
#endif

#ifdef real
/* max(0, u), NaN kept. */
HF_INLINE real FN(positive_part)(real u) { return u <= 0 ? 0 : u; }

/* ---- the hinge: max(0, u) ------------------------------------------------------------------------------- */

HF_INLINE real FN(hinge)(const hf_loss *loss, real u, real *slope) {
    const real positive = FN(positive_part)(u);
    const real flat = u == 0 ? (real)loss->kink_slope : positive; /* 0 or NaN */
    *slope = u > 0 ? -1 : flat;
    return positive;
}
HF_INLINE real FN(hinge_curvature)(const hf_loss *loss, real u) {
    (void)loss;
    return u == u ? 0 : u;
}
#define FAMILY hinge
#include "family.h"

/* The hinge whose kink_slope is 0, which takes fewer operations. */
HF_INLINE real FN(flat_hinge)(const hf_loss *loss, real u, real *slope) {
    const real positive = FN(positive_part)(u);
    (void)loss;
    *slope = u > 0 ? -1 : positive; /* 0 or NaN */
    return positive;
}
HF_INLINE real FN(flat_hinge_curvature)(const hf_loss *loss, real u) { return FN(hinge_curvature)(loss, u); }
#define FAMILY flat_hinge
#define IS_FLAT_HINGE 1
#include "family.h"

/* ---- the S family: 0 for u <= 0, rate*u^2/2 up to u = width, then straight on with slope rate*width -------- */

/* The product is formed slope first, so that neither a huge width (the squared hinge has the largest finite one) nor an
 * infinite u makes inf - inf. */
HF_INLINE real FN(s_family)(const hf_loss *loss, real u, real *slope) {
    const real positive = FN(positive_part)(u), width = (real)loss->width;
    const real curved = positive > width ? width : positive, steepness = (real)loss->rate * curved;
    *slope = -steepness;
    return steepness * ((real)0.5 * curved + (positive - curved));
}
HF_INLINE real FN(s_family_curvature)(const hf_loss *loss, real u) {
    const real inside = u < (real)loss->width ? (real)loss->rate : 0;
    return u > 0 ? inside : u <= 0 ? 0 : u;
}
#define FAMILY s_family
#include "family.h"

/* ---- psi_G, the hinge smoothed by a Gaussian: u*Phi(v) + sigma*pdf(v) with v = u/sigma -------------------- */

/* With the two tail functions Q(|v|) and psi(|v|) = pdf - |v|*Q it is max(0, u) + sigma*psi(|v|): no cancellation. */
HF_INLINE real FN(psi_g)(const hf_loss *loss, real u, real *slope) {
    real sigma = (real)loss->sigma, v = u * ((real)1 / sigma), psi;
    real tail = FN(gaussian_tail)(v < 0 ? -v : v, &psi);
    *slope = u > 0 ? tail - 1 : -tail;
    return FN(positive_part)(u) + sigma * psi;
}
HF_INLINE real FN(psi_g_curvature)(const hf_loss *loss, real u) {
    const real inverse_sqrt_2pi = (real)0.398942280401432677939946;
    real inverse = (real)1 / (real)loss->sigma, v = u * inverse;
    return inverse * (inverse_sqrt_2pi * FN(exp)((real)-0.5 * v * v));
}
#define FAMILY psi_g
#include "family.h"

/* ---- psi_M: (u + h)/2 with h = sqrt(u^2 + sigma^2) ----------------------------------------------------------- */

/* The larger of |u| and sigma is taken out of the root, so that nothing overflows; for u < 0 the form sigma^2/2/(h - u)
 * does not cancel. With r the smaller over the larger: h = larger*q, |u| = larger*e, sigma = larger*f. */
HF_INLINE real FN(psi_m)(const hf_loss *loss, real u, real *slope) {
    real sigma = (real)loss->sigma, size = u < 0 ? -u : u;
    int far = size >= sigma;
    real larger = far ? size : sigma, r = (far ? sigma : size) / larger;
    real e = far ? 1 : r, f = far ? r : 1, q = FN(square_root)(1 + r * r), k = e + q;
    real rising = k / (2 * q), falling = f * f / (2 * q * k);
    *slope = -(u < 0 ? falling : rising);
    return u < 0 ? sigma * f / (2 * k) : (real)0.5 * larger * k;
}
HF_INLINE real FN(psi_m_curvature)(const hf_loss *loss, real u) {
    real sigma = (real)loss->sigma, size = u < 0 ? -u : u;
    int far = size >= sigma;
    real r = (far ? sigma : size) / (far ? size : sigma);
    real f = (far ? r : 1) / FN(square_root)(1 + r * r);
    return f * f * f * ((real)0.5 / sigma);
}
#define FAMILY psi_m
#include "family.h"

/* ---- softplus: log(1 + exp(beta*u))/beta ------------------------------------------------------------------------ */

/* exp is only taken of -|beta*u|, so that it cannot overflow. */
HF_INLINE real FN(softplus)(const hf_loss *loss, real u, real *slope) {
    real beta = (real)loss->beta, x = beta * u;
    real decay = FN(exp)(x < 0 ? x : -x), p = (x < 0 ? decay : 1) / (1 + decay);
    *slope = -p;
    return FN(positive_part)(u) + FN(log1p_unit)(decay) * ((real)1 / beta);
}
HF_INLINE real FN(softplus_curvature)(const hf_loss *loss, real u) {
    real beta = (real)loss->beta, x = beta * u;
    real decay = FN(exp)(x < 0 ? x : -x), p = 1 / (1 + decay);
    return beta * (decay * p) * p;
}
#define FAMILY softplus
#include "family.h"

/* ---- safe logistic: exp(-u) + u - 1 for u > 0 ---------------------------------------------------------------------- */

/* (exp(-u) + u - 1)/u^2 for 0 <= u <= 1, where the sum cancels: 1/2! - u/3! + u^2/4! - ..., up to the last term that
 * counts; float32 needs fewer. */
HF_INLINE real FN(safe_logistic_series)(real u) {
    real p = 0;
    if (sizeof(real) == sizeof(double)) {
        p = (real)(1 / 6402373705728000.0);
        p = (real)(1 / 355687428096000.0) - u * p;
        p = (real)(1 / 20922789888000.0) - u * p;
        p = (real)(1 / 1307674368000.0) - u * p;
        p = (real)(1 / 87178291200.0) - u * p;
        p = (real)(1 / 6227020800.0) - u * p;
        p = (real)(1 / 479001600.0) - u * p;
    }
    p = (real)(1 / 39916800.0) - u * p;
    p = (real)(1 / 3628800.0) - u * p;
    p = (real)(1 / 362880.0) - u * p;
    p = (real)(1 / 40320.0) - u * p;
    p = (real)(1 / 5040.0) - u * p;
    p = (real)(1 / 720.0) - u * p;
    p = (real)(1 / 120.0) - u * p;
    p = (real)(1 / 24.0) - u * p;
    p = (real)(1 / 6.0) - u * p;
    p = (real)(1 / 2.0) - u * p;
    return p;
}
HF_INLINE real FN(safe_logistic)(const hf_loss *loss, real u, real *slope) {
    real positive = FN(positive_part)(u), decay = FN(exp)(-positive);
    real near = FN(safe_logistic_series)(positive > 1 ? 1 : positive) * positive;
    (void)loss;
    *slope = positive > 1 ? decay - 1 : positive * (near - 1);
    return positive > 1 ? decay + (positive - 1) : positive * near;
}
HF_INLINE real FN(safe_logistic_curvature)(const hf_loss *loss, real u) {
    real decay = FN(exp)(-FN(positive_part)(u));
    (void)loss;
    return u > 0 ? decay : u <= 0 ? 0 : u;
}
#define FAMILY safe_logistic
#include "family.h"
#endif

#if defined(real) && !defined(HF_CATALOGUE)
#define HF_CATALOGUE
/* From the public parameters, in the order of the catalogue row, to what the formula takes. */

static void become_hinge(hf_loss *loss, double kink_slope) {
    loss->family = kink_slope == 0 ? HF_FLAT_HINGE : HF_HINGE;
    loss->is_simple = 1;
    loss->kink_slope = kink_slope;
    loss->steepest = 1;
    loss->compliance = 0;
}
static void bind_hinge(const double *p, hf_loss *loss) {
    become_hinge(loss, p[1]);
    loss->margin = p[0];
}
static void bind_perceptron(const double *p, hf_loss *loss) {
    (void)p;
    become_hinge(loss, -1); /* with 0 the point w = 0 is stationary and training never starts */
}
static void bind_s_family(hf_loss *loss, double margin, double width, double rate) {
    loss->family = HF_S_FAMILY;
    loss->is_simple = 1;
    loss->margin = margin;
    loss->sharpness = loss->rate = rate;
    loss->width = width < DBL_MAX ? width : DBL_MAX;
    loss->steepest = rate * width; /* infinite: the quadratic has no end */
    loss->compliance = 1 / rate;
}
static void bind_squared_hinge(const double *p, hf_loss *loss) { bind_s_family(loss, p[0], DBL_MAX, 2); }
static void bind_smooth_hinge(const double *p, hf_loss *loss) { bind_s_family(loss, p[0], p[1], 1 / p[1]); }
static void bind_modified_huber(const double *p, hf_loss *loss) { bind_s_family(loss, p[0], 2, 2); }
static void bind_huberized(const double *p, hf_loss *loss) {
    bind_s_family(loss, p[0] + p[1], 2 * p[1], 0.5 / p[1]);
}
static void bind_huber_margin(const double *p, hf_loss *loss) { bind_s_family(loss, p[0], p[1], 1); }
/* A loss other than the hinge and the S family; sharper ones approach a hinge of slope -1/2 at its kink. */
static void bind_smooth(hf_loss *loss, int family, double margin, double sharpness) {
    loss->family = family;
    loss->margin = margin;
    loss->kink_slope = -0.5;
    loss->sharpness = sharpness;
}
static void bind_psi_g(const double *p, hf_loss *loss) {
    bind_smooth(loss, HF_PSI_G, p[0], 1 / p[1]);
    loss->sigma = p[1];
}
static void bind_psi_m(const double *p, hf_loss *loss) {
    bind_smooth(loss, HF_PSI_M, p[0], 1 / p[1]);
    loss->sigma = p[1];
}
static void bind_softplus(const double *p, hf_loss *loss) {
    bind_smooth(loss, HF_SOFTPLUS, p[0], p[1]);
    loss->beta = p[1];
}
static void bind_safe_logistic(const double *p, hf_loss *loss) {
    bind_smooth(loss, HF_SAFE_LOGISTIC, p[0], 1);
}
static void bind_logistic(const double *p, hf_loss *loss) {
    const double softplus[] = {0, 1};
    (void)p;
    bind_softplus(softplus, loss);
}

#define MARGIN {"margin", "margin", 1}
static const hf_catalogue_row catalogue[] = {
    {"hinge", "Hinge", "", {MARGIN, {"kink_slope", "slope", 0}}, "nonsmooth", bind_hinge},
    {"perceptron", "PerceptronLoss", "perceptron_loss", {{0}}, "nonsmooth", bind_perceptron},
    {"squared_hinge", "SquaredHinge", "", {MARGIN}, "c1", bind_squared_hinge},
    {"smooth_hinge", "SmoothHinge", "", {MARGIN, {"width", "width", 1}}, "c1", bind_smooth_hinge},
    {"modified_huber", "ModifiedHuber", "", {MARGIN}, "c1", bind_modified_huber},
    {"huberized_hinge", "HuberizedHinge", "", {MARGIN, {"half_width", "width", 0.5}}, "c1", bind_huberized},
    {"huber_margin", "HuberMargin", "", {MARGIN, {"delta", "width", 1}}, "c1", bind_huber_margin},
    {"psi_g", "GaussianHinge", "gaussian_hinge", {MARGIN, {"sigma", "width", 1}}, "smooth", bind_psi_g},
    {"psi_m", "AlgebraicHinge", "algebraic_hinge", {MARGIN, {"sigma", "width", 1}}, "smooth", bind_psi_m},
    {"softplus_hinge", "SoftplusHinge", "softplus", {MARGIN, {"beta", "width", 1}}, "smooth", bind_softplus},
    {"logistic", "LogisticLoss", "log_loss logistic_loss", {{0}}, "smooth", bind_logistic},
    {"safe_logistic", "SafeLogistic", "", {MARGIN}, "c1", bind_safe_logistic},
};
#undef MARGIN

/* A loss of the catalogue with its parameters, as float64 arithmetic takes it [1], and as float32 can hold it [0]: a
 * smoothing too narrow for that (below 3e-39) becomes the hinge it approaches, with the slope of its middle at the kink;
 * the two differ by less than the width. */
static void bind_loss(const hf_catalogue_row *row, const double *parameters, hf_loss *bound) {
    memset(&bound[1], 0, sizeof bound[1]);
    row->bind(parameters, &bound[1]);
    bound[0] = bound[1];
    if (bound->sharpness > FLT_MAX)
        become_hinge(bound, bound->kink_slope);
    if (bound->width > FLT_MAX)
        bound->width = FLT_MAX;
}
#endif
