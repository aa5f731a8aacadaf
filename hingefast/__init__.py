"""Fused loss and gradient for the hinge-loss family, over NumPy arrays and CSR matrices.

>>> import hingefast as hf
>>> hf.SquaredHinge().value_and_grad([1, -1], [0.5, -2.0], reduction="sum")
(0.25, array([-1.,  0.]))
"""

from hingefast._config import VERSION, show_config
from hingefast._threads import threads
from hingefast.checks.arrays import InvalidCSRError
from hingefast.fit import FitResult, minimize
from hingefast.linear import decision_function, linear_value_and_grad
from hingefast.losses import (
    AlgebraicHinge,
    GaussianHinge,
    Hinge,
    HuberizedHinge,
    HuberMargin,
    LogisticLoss,
    ModifiedHuber,
    PerceptronLoss,
    SafeLogistic,
    SmoothHinge,
    SoftplusHinge,
    SquaredHinge,
)
from hingefast.margins import MarginReport, margin_report
from hingefast.multiclass import CostSensitiveHinge, CrammerSinger, OneVsRest, TopKHinge, WestonWatkins
from hingefast.names import get_loss
from hingefast.objective import Objective

__version__ = VERSION

__all__ = [
    "AlgebraicHinge",
    "CostSensitiveHinge",
    "CrammerSinger",
    "FitResult",
    "GaussianHinge",
    "Hinge",
    "HuberMargin",
    "HuberizedHinge",
    "InvalidCSRError",
    "LogisticLoss",
    "MarginReport",
    "ModifiedHuber",
    "Objective",
    "OneVsRest",
    "PerceptronLoss",
    "SafeLogistic",
    "SmoothHinge",
    "SoftplusHinge",
    "SquaredHinge",
    "TopKHinge",
    "WestonWatkins",
    "decision_function",
    "get_loss",
    "linear_value_and_grad",
    "margin_report",
    "minimize",
    "show_config",
    "threads",
]
