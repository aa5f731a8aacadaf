"""Losses as callers pass them, and what they mean."""

from __future__ import annotations

import oracle

import hingefast as hf

PARAMETERS = {
    "hinge": ("Hinge", ("margin", "kink_slope")),
    "perceptron": ("PerceptronLoss", ()),
    "squared_hinge": ("SquaredHinge", ("margin",)),
    "smooth_hinge": ("SmoothHinge", ("margin", "width")),
    "modified_huber": ("ModifiedHuber", ("margin",)),
    "huberized_hinge": ("HuberizedHinge", ("margin", "half_width")),
    "huber_margin": ("HuberMargin", ("margin", "delta")),
    "psi_g": ("GaussianHinge", ("margin", "sigma")),
    "psi_m": ("AlgebraicHinge", ("margin", "sigma")),
    "softplus_hinge": ("SoftplusHinge", ("margin", "beta")),
    "logistic": ("LogisticLoss", ()),
    "safe_logistic": ("SafeLogistic", ("margin",)),
}
CLASSES = {name: getattr(hf, known[0]) for name, known in PARAMETERS.items() if hasattr(hf, known[0])}
DEFAULTS = {"margin": 1.0, "kink_slope": 0.0, "half_width": 0.5}  # 1 for all others
EASY = (1.0, 0.5, 0.25, 2.0)  # exact in every dtype
NAMES = {"crammer_singer": "CrammerSinger", "weston_watkins": "WestonWatkins", "one_vs_rest": "OneVsRest"}


def margin_loss(draw):
    """(loss object or name, `oracle.Loss`, whether its parameters are easy)."""
    base = draw.choice(tuple(CLASSES))
    kind, names = CLASSES[base], PARAMETERS[base][1]
    if draw.chance() < 0.4:
        passed = base if draw.chance() < 0.6 else kind()
        return passed, oracle.Loss("binary", base, {name: DEFAULTS.get(name, 1.0) for name in names}), True
    params, easy = {}, True
    for name in names:
        if name == "kink_slope":
            params[name] = draw.choice((0.0, -1.0, -0.5, -0.25))
        elif draw.chance() < 0.8:
            params[name] = draw.choice((*EASY, 0.0) if name == "margin" else EASY)
        else:
            params[name] = round(draw.random.uniform(0.05, 4), 3)
            easy = False
    return kind(**params), oracle.Loss("binary", base, params), easy


def class_loss(draw, n_classes):
    """The same for K classes."""
    kind = draw.integer(5)
    if kind == 3:
        easy = draw.chance() < 0.7
        cost = draw.numbers.integers(-4, 9, (n_classes, n_classes)) / 4
        if not easy:
            cost = cost + draw.numbers.standard_normal(cost.shape)
        loss = hf.CostSensitiveHinge(cost.tolist() if draw.chance() < 0.2 else cost)
        return loss, oracle.Loss("CostSensitiveHinge", cost=cost), easy
    if kind == 4:
        k, variant = draw.integer(1, n_classes), draw.choice(("alpha", "beta"))
        return hf.TopKHinge(k, variant), oracle.Loss("TopKHinge", k=k, variant=variant), k in (1, 2, 4, 8)
    name = tuple(NAMES)[kind]
    passed, found, easy = margin_loss(draw)
    meant = oracle.Loss(NAMES[name], found.base, found.params)
    if isinstance(passed, str) and draw.chance() < 0.5:
        return f"{name}:{passed}", meant, easy
    return getattr(hf, NAMES[name])(passed), meant, easy


def as_object(loss):
    return hf.get_loss(loss) if isinstance(loss, str) else loss
