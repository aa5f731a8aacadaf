/* losses.h - every margin loss: one formula, its second derivative and its catalogue rows.
 *
 * Included once for float32 and once for float64: `real` is the number type, FN(f) is f_f32 or f_f64.
 * The margin is m = y*z, and u = margin - m. A formula takes u, returns the value phi and writes the slope
 * phi'(m) = d value / d m, which is never positive. Everything is written with selects in which a NaN
 * stays a NaN: `u <= 0 ? 0 : u` keeps it, `u > 0 ? u : 0` would turn it into a loss of zero.
 *
 * To add a loss see CONTRIBUTING.md. Sources are in the docstrings of hingefast/losses.py.
 */

/* max(0, u), NaN kept. */
HF_INLINE real FN(positive_part)(real u) { return u <= 0 ? 0 : u; }

/* ------------------------------------------------------------------------------------------------
 * The S family: 0 for u <= 0, rate*u^2/2 up to u = width, then straight on with slope rate*width.
 * The hinge is its limit for width -> 0 with slope 1 (`family`, a constant where this is inlined). The product is formed slope first, so that neither
 * a huge width (the squared hinge has the largest finite one) nor an infinite u makes inf - inf. */
HF_INLINE real FN(s_family)(const hf_loss *loss, real u, int family, real *slope) {
    real positive = FN(positive_part)(u), curved, steepness;
    if (family != HF_S_FAMILY) {
        real flat = positive; /* 0 or NaN */
        if (family != HF_FLAT_HINGE)
            flat = u == 0 ? (real)loss->kink_slope : flat;
        *slope = u > 0 ? -1 : flat;
        return positive;
    }
    curved = positive > (real)loss->width ? (real)loss->width : positive;
    steepness = (real)loss->rate * curved;
    *slope = -steepness;
    return steepness * ((real)0.5 * curved + (positive - curved));
}
HF_INLINE real FN(s_family_curvature)(const hf_loss *loss, real u) {
    real inside = u < (real)loss->width ? (real)loss->rate : 0;
    return u > 0 ? inside : u <= 0 ? 0 : u;
}
#define HF_S_FAMILY_ROWS(ROW)                                                                                \
    ROW("hinge", "Hinge", "", "margin:margin=1 kink_slope:slope=0", "nonsmooth", bind_hinge)                 \
    ROW("perceptron", "PerceptronLoss", "perceptron_loss", "", "nonsmooth", bind_perceptron)                 \
    ROW("squared_hinge", "SquaredHinge", "", "margin:margin=1", "c1", bind_squared_hinge)                    \
    ROW("smooth_hinge", "SmoothHinge", "", "margin:margin=1 width:width=1", "c1", bind_smooth_hinge)         \
    ROW("modified_huber", "ModifiedHuber", "", "margin:margin=1", "c1", bind_modified_huber)                 \
    ROW("huberized_hinge", "HuberizedHinge", "", "margin:margin=1 half_width:width=0.5", "c1",               \
        bind_huberized_hinge)                                                                                \
    ROW("huber_margin", "HuberMargin", "", "margin:margin=1 delta:width=1", "c1", bind_huber_margin)

/* ------------------------------------------------------------------------------------------------
 * psi_G, the hinge smoothed by a Gaussian: u*Phi(v) + sigma*pdf(v) with v = u/sigma. With the two tail
 * functions Q(|v|) and psi(|v|) = pdf - |v|*Q it is max(0, u) + sigma*psi(|v|): no cancellation. */
HF_INLINE real FN(psi_g)(const hf_loss *loss, real u, real *slope) {
    real sigma = (real)loss->width, v = u * ((real)1 / sigma), psi;
    real tail = FN(gaussian_tail)(v < 0 ? -v : v, &psi);
    *slope = u > 0 ? tail - 1 : -tail;
    return FN(positive_part)(u) + sigma * psi;
}
HF_INLINE real FN(psi_g_curvature)(const hf_loss *loss, real u) {
    const real inverse_sqrt_2pi = (real)0.398942280401432677939946;
    real inverse = (real)1 / (real)loss->width, v = u * inverse;
    return inverse * (inverse_sqrt_2pi * FN(exp)((real)-0.5 * v * v));
}
#define HF_PSI_G_ROWS(ROW)                                                                                   \
    ROW("psi_g", "GaussianHinge", "gaussian_hinge", "margin:margin=1 sigma:width=1", "smooth", bind_psi_g)

/* ------------------------------------------------------------------------------------------------
 * psi_M: (u + h)/2 with h = sqrt(u^2 + sigma^2). The larger of |u| and sigma is taken out of the root, so
 * that nothing overflows; for u < 0 the form sigma^2/2/(h - u) does not cancel. With r the smaller over
 * the larger: h = larger*q, |u| = larger*e, sigma = larger*f. */
HF_INLINE real FN(psi_m)(const hf_loss *loss, real u, real *slope) {
    real sigma = (real)loss->width, size = u < 0 ? -u : u;
    int far = size >= sigma;
    real larger = far ? size : sigma, r = (far ? sigma : size) / larger;
    real e = far ? 1 : r, f = far ? r : 1, q = FN(square_root)(1 + r * r), k = e + q;
    real rising = k / (2 * q), falling = f * f / (2 * q * k);
    *slope = -(u < 0 ? falling : rising);
    return u < 0 ? sigma * f / (2 * k) : (real)0.5 * larger * k;
}
HF_INLINE real FN(psi_m_curvature)(const hf_loss *loss, real u) {
    real sigma = (real)loss->width, size = u < 0 ? -u : u;
    int far = size >= sigma;
    real r = (far ? sigma : size) / (far ? size : sigma);
    real f = (far ? r : 1) / FN(square_root)(1 + r * r);
    return f * f * f * ((real)0.5 / sigma);
}
#define HF_PSI_M_ROWS(ROW)                                                                                   \
    ROW("psi_m", "AlgebraicHinge", "algebraic_hinge", "margin:margin=1 sigma:width=1", "smooth", bind_psi_m)

/* ------------------------------------------------------------------------------------------------
 * Softplus: log(1 + exp(beta*u))/beta. exp is only taken of -|beta*u|, so that it cannot overflow. */
HF_INLINE real FN(softplus)(const hf_loss *loss, real u, real *slope) {
    real beta = (real)loss->width, x = beta * u;
    real decay = FN(exp)(x < 0 ? x : -x), p = (x < 0 ? decay : 1) / (1 + decay);
    *slope = -p;
    return FN(positive_part)(u) + FN(log1p_unit)(decay) * ((real)1 / beta);
}
HF_INLINE real FN(softplus_curvature)(const hf_loss *loss, real u) {
    real beta = (real)loss->width, x = beta * u;
    real decay = FN(exp)(x < 0 ? x : -x), p = 1 / (1 + decay);
    return beta * (decay * p) * p;
}
#define HF_SOFTPLUS_ROWS(ROW)                                                                                \
    ROW("softplus_hinge", "SoftplusHinge", "softplus", "margin:margin=1 beta:width=1", "smooth",             \
        bind_softplus)                                                                                       \
    ROW("logistic", "LogisticLoss", "log_loss logistic_loss", "", "smooth", bind_logistic)

/* The formula of a family, a constant where this is inlined. */
HF_INLINE real FN(formula)(const int family, const hf_loss *loss, real u, real *slope) {
    switch (family) {
    case HF_HINGE:
    case HF_FLAT_HINGE:
    case HF_S_FAMILY:
        return FN(s_family)(loss, u, family, slope);
    case HF_PSI_G:
        return FN(psi_g)(loss, u, slope);
    case HF_PSI_M:
        return FN(psi_m)(loss, u, slope);
    default:
        return FN(softplus)(loss, u, slope);
    }
}

#ifndef HF_LOSSES_BIND
#define HF_LOSSES_BIND
/* From the public parameters, in the order of the catalogue row, to what the formula takes. */

static void bind_s_family(hf_loss *loss, double margin, double width, double rate) {
    loss->family = HF_S_FAMILY;
    loss->margin = margin;
    loss->width = width < DBL_MAX ? width : DBL_MAX;
    loss->rate = rate;
}
static void bind_hinge(const double *p, hf_loss *loss) {
    loss->family = HF_HINGE;
    loss->margin = p[0];
    loss->kink_slope = p[1];
}
static void bind_perceptron(const double *p, hf_loss *loss) {
    (void)p;
    loss->family = HF_HINGE;
    loss->kink_slope = -1; /* with 0 the point w = 0 is stationary and training never starts */
}
static void bind_squared_hinge(const double *p, hf_loss *loss) { bind_s_family(loss, p[0], DBL_MAX, 2); }
static void bind_smooth_hinge(const double *p, hf_loss *loss) { bind_s_family(loss, p[0], p[1], 1 / p[1]); }
static void bind_modified_huber(const double *p, hf_loss *loss) { bind_s_family(loss, p[0], 2, 2); }
static void bind_huberized_hinge(const double *p, hf_loss *loss) {
    bind_s_family(loss, p[0] + p[1], 2 * p[1], 0.5 / p[1]);
}
static void bind_huber_margin(const double *p, hf_loss *loss) { bind_s_family(loss, p[0], p[1], 1); }
static void bind_smoothed(hf_loss *loss, int family, double margin, double width) {
    loss->family = family;
    loss->margin = margin;
    loss->width = width;
}
static void bind_psi_g(const double *p, hf_loss *loss) { bind_smoothed(loss, HF_PSI_G, p[0], p[1]); }
static void bind_psi_m(const double *p, hf_loss *loss) { bind_smoothed(loss, HF_PSI_M, p[0], p[1]); }
static void bind_softplus(const double *p, hf_loss *loss) { bind_smoothed(loss, HF_SOFTPLUS, p[0], p[1]); }
static void bind_logistic(const double *p, hf_loss *loss) {
    (void)p;
    bind_smoothed(loss, HF_SOFTPLUS, 0, 1);
}

/* The loss as float32 arithmetic can hold it. A smoothing too narrow for float32 (a reciprocal beyond its
 * range, so below 3e-39) becomes the hinge it approaches, with the slope of its middle at the kink; the
 * two differ by less than the width. */
static void round_loss_f32(const hf_loss *loss, hf_loss *rounded) {
    int narrow;
    *rounded = *loss;
    if (loss->family == HF_S_FAMILY) {
        narrow = loss->rate > FLT_MAX;
        rounded->kink_slope = 0;
        if (loss->width > FLT_MAX)
            rounded->width = FLT_MAX;
    } else {
        narrow = loss->family == HF_SOFTPLUS ? loss->width > FLT_MAX
                 : loss->family != HF_HINGE  ? 1 / loss->width > FLT_MAX
                                             : 0;
        if (narrow)
            rounded->kink_slope = -0.5;
    }
    if (narrow)
        rounded->family = HF_HINGE;
}

#define HF_CATALOGUE_ROWS(ROW)                                                                               \
    HF_S_FAMILY_ROWS(ROW) HF_PSI_G_ROWS(ROW) HF_PSI_M_ROWS(ROW) HF_SOFTPLUS_ROWS(ROW)
#endif
