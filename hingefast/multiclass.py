"""The multiclass losses: how the scores of K classes become margins, documented.

The formulas live in ``_loops`` and are built on the one formula of each margin loss. s_0 .. s_{K-1} are the scores
of a row and c is its class. A slope is d loss / d score; slopes that are not given are 0.

A row with a NaN score has the value NaN, and NaN slopes at c and at every class whose score is NaN.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hingefast._kernels.slopes import AllRivals, EachClass, ScoreLoss, StrongestRival, TopClasses
from hingefast.checks.losses import as_cost, as_k, as_variant
from hingefast.losses import Hinge, Loss, MarginLoss, as_margin_loss

__all__ = [
    "MULTICLASS_LOSSES",
    "CostSensitiveHinge",
    "CrammerSinger",
    "MulticlassLoss",
    "OneVsRest",
    "TopKHinge",
    "WestonWatkins",
]

_HINGE = Hinge()
_MARGINLESS_HINGE = Hinge(margin=0.0)  # of a cost-sensitive loss, whose margins are the costs

# The longest side of a cost matrix that repr shows.
SHOWN_CLASSES = 4


class MulticlassLoss(Loss):
    """A loss of the scores of K >= 2 classes; the base of all multiclass losses."""

    __slots__ = ("name", "smoothness")

    def __init__(self, name: str, smoothness: str, bound: ScoreLoss, *parameters: Any) -> None:
        super().__init__(bound, parameters)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "smoothness", smoothness)


class _MarginArrangement(MulticlassLoss):
    """A multiclass loss built on a margin loss, which names reach."""

    __slots__ = ()

    _names = ("base",)
    _kind: ClassVar[str]
    _arrangement: ClassVar[type[ScoreLoss]]
    _has_maximum: ClassVar[bool] = False  # which is not smooth where two rivals tie

    def __init__(self, base: str | MarginLoss = "hinge") -> None:
        margin_loss = as_margin_loss(base)
        super().__init__(
            self._kind if margin_loss == _HINGE else f"{self._kind}:{margin_loss.name}",
            "nonsmooth" if self._has_maximum else margin_loss.smoothness,
            self._arrangement(margin_loss._bound.margin),
            margin_loss,
        )

    @property
    def base(self) -> MarginLoss:
        """The margin loss phi that it is built on."""
        return self._parameters[0]  # type: ignore[no-any-return]


class CrammerSinger(_MarginArrangement):
    """A margin loss of the distance to the strongest rival: phi(s_c - max of s_j over j != c).

    Slope phi' of that distance at c and -phi' at the rival, the lowest of tied ones: two classes a row. With
    K = 2 it is the binary loss of the difference of the scores.

    Parameters
    ----------
    base : str or margin loss, default "hinge"
        phi. The hinge gives the multiclass SVM of Crammer & Singer.

    Notes
    -----
    Scores of shape (n, K); O(n*K), one read of them.

    References
    ----------
    Crammer & Singer, On the algorithmic implementation of multiclass kernel-based vector machines, JMLR 2 (2001).

    Examples
    --------
    >>> import hingefast as hf
    >>> scores = [[2.0, 0.5, 0.25, 0.0], [0.5, 2.0, 1.75, 0.0]]
    >>> value, grad = hf.CrammerSinger().value_and_grad([0, 1], scores)
    >>> value
    0.375
    >>> grad
    array([[ 0. ,  0. ,  0. ,  0. ],
           [ 0. , -0.5,  0.5,  0. ]])
    """

    __slots__ = ()

    _kind = "crammer_singer"
    _arrangement = StrongestRival
    _has_maximum = True


class WestonWatkins(_MarginArrangement):
    """The sum of a margin loss over the distances to all rivals: sum of phi(s_c - s_j) over j != c.

    Slope -phi'(s_c - s_j) at each rival j, and minus their sum at c. Not divided by K: with the hinge or the
    squared hinge it is K times torch's ``MultiMarginLoss``.

    Parameters
    ----------
    base : str or margin loss, default "hinge"
        phi.

    Notes
    -----
    Scores of shape (n, K); O(n*K), one read of them.

    References
    ----------
    Weston & Watkins, Support vector machines for multi-class pattern recognition, ESANN (1999).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.WestonWatkins().value([0, 1, 2], [[2.0, 0.5, 0.25], [0.5, 2.0, 1.75], [0.5, 0.75, 0.25]], reduction="none")
    array([0.  , 0.75, 2.75])
    >>> hf.WestonWatkins("squared_hinge").grad([1], [[0.0, 0.5, 0.0]])
    array([[ 1., -2.,  1.]])
    """

    __slots__ = ()

    _kind = "weston_watkins"
    _arrangement = AllRivals


class OneVsRest(_MarginArrangement):
    """K binary problems at once: sum of phi(t_j*s_j), where t_j is +1 for the true class and -1 for the others.

    Slope t_j*phi'(t_j*s_j) at each class.

    Parameters
    ----------
    base : str or margin loss, default "hinge"
        phi.

    Notes
    -----
    Scores of shape (n, K); O(n*K), one read of them.

    References
    ----------
    Rifkin & Klautau, In defense of one-vs-all classification, JMLR 5 (2004).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.OneVsRest().value_and_grad([0], [[0.5, -2.0, 0.25]])
    (1.75, array([[-1.,  0.,  1.]]))
    """

    __slots__ = ()

    _kind = "one_vs_rest"
    _arrangement = EachClass


class CostSensitiveHinge(MulticlassLoss):
    """The hinge with a margin for each pair of classes: max(0, max of D[c, j] - (s_c - s_j) over j != c).

    Slope -1 at c and +1 at the rival, the lowest of tied ones, where that maximum is above 0. With D = 1 - I it
    is `CrammerSinger`.

    Parameters
    ----------
    cost : array_like of shape (K, K)
        D[c, j], the margin that class c asks for against class j, or the cost of taking one for the other;
        finite. Copied. The diagonal is not used.

    Notes
    -----
    Scores of shape (n, K); O(n*K), one read of them. For scores computed in float32 the costs are rounded to it.

    References
    ----------
    Crammer & Singer, JMLR 2 (2001); Tsochantaridis et al., Large margin methods for structured and interdependent
    output variables, JMLR 6 (2005), where it is called margin rescaling.

    Examples
    --------
    >>> import hingefast as hf
    >>> loss = hf.CostSensitiveHinge([[0, 1, 5], [1, 0, 1], [5, 1, 0]])
    >>> loss.value_and_grad([0], [[2.0, 0.5, -1.0]])
    (2.0, array([[-1.,  0.,  1.]]))
    """

    __slots__ = ()

    _names = ("cost",)

    def __init__(self, cost: npt.ArrayLike) -> None:
        matrix = as_cost(cost)
        bound = StrongestRival(_MARGINLESS_HINGE._bound.margin, matrix)
        super().__init__("cost_sensitive_hinge", "nonsmooth", bound, matrix)

    @property
    def cost(self) -> npt.NDArray[np.float64]:
        """The cost matrix, read-only."""
        return self._parameters[0].view()  # type: ignore[no-any-return]

    @property
    def params(self) -> dict[str, Any]:
        """Parameters by name."""
        return {"cost": self.cost}

    def _identity(self) -> Hashable:
        return self.cost.tobytes()

    def __repr__(self) -> str:
        n_classes = len(self.cost)
        is_small = n_classes <= SHOWN_CLASSES
        return f"CostSensitiveHinge(cost={self.cost.tolist() if is_small else f'<{n_classes} x {n_classes} array>'})"


class TopKHinge(MulticlassLoss):
    """The top-k hinge: punishes a true class that is not clearly among the k classes of the highest scores.

    With a_j = 1 - (s_c - s_j), a_c = 0 and the k largest of them, of tied ones the lowest classes first:
    max(0, mean of those k) for variant "alpha", the mean of max(0, a_j) over them for "beta".

    Slopes: "alpha", where the loss is above 0, 1/k at each of the k classes and less 1 at c; "beta", 1/k at
    each of the k with a_j > 0 and minus their sum at c. For k = 1 both are `CrammerSinger`.

    Parameters
    ----------
    k : int
        In 1 .. K - 1.
    variant : {"alpha", "beta"}

    Notes
    -----
    Scores of shape (n, K); O(n*K*log k), one read of them.

    References
    ----------
    Lapin, Hein & Schiele, Top-k multiclass SVM, NIPS 28 (2015).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.TopKHinge(2).value_and_grad([0], [[1.0, 2.0, 0.5]])
    (1.25, array([[-1. ,  0.5,  0.5]]))
    >>> hf.TopKHinge(2, variant="beta").value([0], [[1.0, 2.0, -1.0]])
    1.0
    """

    __slots__ = ()

    _names = ("k", "variant")

    def __init__(self, k: int, variant: str = "alpha") -> None:
        number, which = as_k(k), as_variant(variant)
        bound = TopClasses(_HINGE._bound.margin, number, which == "beta")
        super().__init__("top_k_hinge", "nonsmooth", bound, number, which)

    @property
    def k(self) -> int:
        """How many classes it looks at."""
        return self._parameters[0]  # type: ignore[no-any-return]

    @property
    def variant(self) -> str:
        """Either "alpha" or "beta"."""
        return self._parameters[1]  # type: ignore[no-any-return]


#: Multiclass losses that names reach, by name.
MULTICLASS_LOSSES: dict[str, type[_MarginArrangement]] = {
    cls._kind: cls for cls in (CrammerSinger, WestonWatkins, OneVsRest)
}
