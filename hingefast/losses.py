"""Losses: the methods that all of them share, and the margin losses with their parameters and documentation.

Every formula lives in ``_loops/losses.h``; its catalogue row there gives the name, the parameters and the
smoothness that the classes below carry. With y in {-1, +1} and the score z, the margin is m = y*z; t is the
parameter `margin` and u = t - m. [x > 0] is 1 where x > 0 and else 0.

Losses are immutable: they can be compared, hashed, pickled and shared between threads.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar, Self

import numpy.typing as npt

from hingefast._kernels import table
from hingefast._kernels.entry import evaluate
from hingefast._kernels.questions import WANT_CURVATURE, WANT_SLOPE, WANT_VALUE
from hingefast._kernels.slopes import OneMargin, ScoreLoss
from hingefast.checks.losses import as_parameter, immutable, no_formula, unknown

__all__ = [
    "MARGIN_LOSSES",
    "MARGIN_LOSSES_BY_NAME",
    "AlgebraicHinge",
    "GaussianHinge",
    "Hinge",
    "HuberMargin",
    "HuberizedHinge",
    "LogisticLoss",
    "Loss",
    "MarginLoss",
    "ModifiedHuber",
    "PerceptronLoss",
    "SafeLogistic",
    "SmoothHinge",
    "SoftplusHinge",
    "SquaredHinge",
    "as_margin_loss",
]

_ROWS = {row["class_name"]: row for row in table.catalogue()}


class Loss:
    """What all losses are: functions of labels y and scores with a gradient, and immutable. Abstract.

    Scores are a vector for binary losses and, for multiclass losses, a matrix with a column for each of K >= 2
    classes.

    A subclass of a loss has its formula, and its parameters where it leaves the constructor as it is; objects of
    different classes are never equal. Formulas are compiled: a subclass cannot bring one of its own.

    Attributes
    ----------
    name : str
        Canonical name.
    smoothness : str
        ``"nonsmooth"``, ``"c1"`` (the slope is continuous, the second derivative jumps) or ``"smooth"``.
    params : dict
        Parameters by name.
    """

    __slots__ = ("_bound", "_parameters")

    name: str
    smoothness: str
    _names: ClassVar[tuple[str, ...]]  # of the parameters
    _bound: ScoreLoss  # the loss as the kernels take it
    _parameters: tuple[Any, ...]

    def __init__(self, bound: ScoreLoss, parameters: tuple[Any, ...]) -> None:
        object.__setattr__(self, "_bound", bound)
        object.__setattr__(self, "_parameters", parameters)

    @property
    def params(self) -> dict[str, Any]:
        """Parameters by name, in the order of the constructor."""
        return dict(zip(self._names, self._parameters, strict=True))

    def value(
        self,
        y: npt.ArrayLike,
        scores: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
        reduction: str = "mean",
        out: npt.NDArray[Any] | None = None,
        n_threads: int | None = None,
    ) -> Any:
        """Loss of given scores. Calling the loss is the same.

        Parameters
        ----------
        y : array_like of shape (n,)
            Labels of any real dtype, one of the `classes` each; read in place.
        scores : array_like of shape (n,), or (n, K) for a multiclass loss
            float32 or float64 are read in place. Computed in float32 for float32, float16, bool and 8- and
            16-bit integers, else in float64; sums are float64 always.
        sample_weight : array_like of shape (n,), optional
            Weights w_i, finite and >= 0. A row of weight 0 is left out, even where its scores are NaN.
        class_weight : array_like of shape (2,) or (K,), optional
            Weights of the classes in the order of `classes`, multiplied into `sample_weight`.
        classes : pair of numbers, int K or array_like of shape (K,), optional
            For a binary loss the labels (negative, positive), by default (-1, +1), or (False, True) for boolean
            `y`. For a multiclass loss the number of columns, or the distinct integers that are their labels; by
            default 0 to K - 1. Boolean `y` is read as 0 and 1 there.
        reduction : {"mean", "sum", "none"}
            ``"mean"`` is sum(w_i*l_i)/sum(w_i), ``"sum"`` is sum(w_i*l_i), ``"none"`` is w_i*l_i per row.
        out : ndarray of shape (n,), optional
            Where to write the values for ``reduction="none"``, in the computing dtype.
        n_threads : int, optional
            Threads to use at most; the result has the same bits for any number. By default that of
            `hingefast.threads`, else ``HINGEFAST_NUM_THREADS``, else ``OMP_NUM_THREADS``, else what the process
            may use.

        Returns
        -------
        float or ndarray of shape (n,)
            The array for ``reduction="none"``.

        Raises
        ------
        TypeError
            For arguments of the wrong kind or dtype, and for `out` with a scalar value.
        ValueError
            For wrong shapes, labels outside `classes`, bad weights, an `out` that does not fit, and the mean
            of no rows or of weights that sum to 0. `out` may hold unspecified numbers where the content of
            `y` or the weights was found bad.

        Notes
        -----
        One read of `y` and `scores`, and for most losses work in proportion; no memory of length n is allocated
        but the result.
        """
        options = sample_weight, class_weight, classes, reduction, n_threads
        value = evaluate(self._bound, WANT_VALUE, y, scores, out, options)
        return value if out is None else out

    __call__ = value

    def grad(
        self,
        y: npt.ArrayLike,
        scores: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
        reduction: str = "mean",
        out: npt.NDArray[Any] | None = None,
        n_threads: int | None = None,
    ) -> npt.NDArray[Any]:
        """Derivative of the value with respect to the scores.

        Parameters and errors are those of `value`.

        Returns
        -------
        ndarray of the shape of `scores`
            w_i times the slope of row i, divided by sum(w_i) for ``reduction="mean"``; float32 for float32
            scores, else float64; `out` itself where it is given. Scores without a slope get +0.0.
        """
        options = sample_weight, class_weight, classes, reduction, n_threads
        grad = evaluate(self._bound, WANT_SLOPE, y, scores, out, options)
        return grad if out is None else out  # the caller's very object, not our view of it

    def value_and_grad(
        self,
        y: npt.ArrayLike,
        scores: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
        reduction: str = "mean",
        out: Any = None,
        n_threads: int | None = None,
    ) -> tuple[Any, npt.NDArray[Any]]:
        """Value and gradient in one pass over the scores, bit for bit what `value` and `grad` return.

        Parameters and errors are those of `value`; `out` takes the gradient, or ``(values, gradient)`` for
        ``reduction="none"``.

        Returns
        -------
        value : float or ndarray of shape (n,)
        grad : ndarray of the shape of `scores`

        Examples
        --------
        >>> import hingefast as hf
        >>> value, grad = hf.Hinge().value_and_grad([1, 1, 1, -1, -1], [2.0, 0.5, -1.0, -2.0, 0.5])
        >>> value
        0.8
        >>> grad
        array([ 0. , -0.2, -0.2,  0. ,  0.2])
        """
        options = sample_weight, class_weight, classes, reduction, n_threads
        result = evaluate(self._bound, WANT_VALUE | WANT_SLOPE, y, scores, out, options)
        if out is None or result[1] is out:
            return result  # type: ignore[no-any-return]
        return tuple(out) if isinstance(out, tuple) else (result[0], out)

    def curvature(
        self,
        y: npt.ArrayLike,
        scores: npt.ArrayLike,
        *,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
        reduction: str = "mean",
        out: npt.NDArray[Any] | None = None,
        n_threads: int | None = None,
    ) -> npt.NDArray[Any]:
        """Diagonal of the generalised second derivative of the value with respect to the scores.

        Parameters and errors are those of `value`. It is what boosting libraries ask an objective for, beside the
        gradient.

        Returns
        -------
        ndarray of the shape of `scores`
            w_i times the second derivative of row i in each of its scores, divided by sum(w_i) for
            ``reduction="mean"``; 0 at kinks, and so everywhere for the hinge and what is built on it. In the dtype of
            `grad`; `out` itself where it is given.

        Notes
        -----
        Time and memory are those of `grad`.

        Examples
        --------
        >>> import hingefast as hf
        >>> hf.SquaredHinge().curvature([1, 1, -1], [0.5, 1.5, 0.5], reduction="sum")
        array([2., 0., 2.])
        """
        options = sample_weight, class_weight, classes, reduction, n_threads
        curvature = evaluate(self._bound, WANT_SLOPE | WANT_CURVATURE, y, scores, out, options)
        return curvature if out is None else out

    def __setattr__(self, name: str, value: object) -> None:
        raise immutable(type(self).__name__)

    def __delattr__(self, name: str) -> None:
        raise immutable(type(self).__name__)

    def _identity(self) -> Hashable:
        """What losses of one class are compared and hashed by."""
        return self._parameters

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Loss):
            return NotImplemented
        return type(self) is type(other) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._identity()))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{type(self).__name__}({inside})"

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), self._parameters


class MarginLoss(Loss):
    """A loss phi(m) of one margin m = y*z, with the slope y*phi'(m) in z; the base of all binary losses.

    A name, ``"squared_hinge"`` say, stands for the loss with its default parameters wherever a loss is expected.
    """

    __slots__ = ()

    _kinds: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        if MarginLoss not in cls.__bases__:  # somebody's subclass of a loss: it inherits what the loss is
            return
        row = _ROWS.get(cls.__name__)
        if row is None:
            raise no_formula(cls.__name__)
        cls.name = row["name"]
        cls.smoothness = row["smoothness"]
        cls._names = tuple(name for name, _, _ in row["parameters"])
        cls._kinds = tuple(kind for _, kind, _ in row["parameters"])

    def __init__(self, *parameters: Any) -> None:
        values = tuple(
            as_parameter(name, kind, value)
            for name, kind, value in zip(self._names, self._kinds, parameters, strict=True)
        )
        super().__init__(OneMargin(table.BoundLoss(self.name, values)), values)


class Hinge(MarginLoss):
    """The hinge loss phi(m) = max(0, t - m), slope -1 where m < t.

    Parameters
    ----------
    margin : float, default 1.0
        t, where the loss starts; finite and >= 0.
    kink_slope : float, default 0.0
        d phi / d m at m = t exactly, in [-1, 0]. liblinear, XGBoost and Spark use 0, scikit-learn's SGD and
        torch's clamp -1, JAX -1/2.

    References
    ----------
    Cortes & Vapnik, Support-vector networks, Machine Learning 20 (1995).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.Hinge().value([1, 1, 1, -1, -1], [2.0, 0.5, -1.0, -2.0, 0.5])
    0.8
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0, kink_slope: float = 0.0) -> None:
        super().__init__(margin, kink_slope)


class PerceptronLoss(MarginLoss):
    """The perceptron's loss phi(m) = max(0, -m), slope -1 where m <= 0.

    At m = 0 the slope is -1, not 0: otherwise coef = 0 would be stationary and training would never start.

    References
    ----------
    Rosenblatt, The perceptron, Psychological Review 65 (1958).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.PerceptronLoss().grad([1, -1, 1], [0.0, -2.0, -1.0], reduction="sum")
    array([-1.,  0., -1.])
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()


class SquaredHinge(MarginLoss):
    """The squared hinge phi(m) = max(0, u)^2, slope -2*max(0, u), u = t - m; the loss of the L2-SVM.

    Parameters
    ----------
    margin : float, default 1.0
        t, where the loss starts; finite and >= 0.

    References
    ----------
    Fan et al., LIBLINEAR, JMLR 9 (2008).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.SquaredHinge().value([1, 1, 1, -1, -1], [0.5, 1.5, -0.5, -1.5, 0.5], reduction="none")
    array([0.25, 0.  , 2.25, 0.  , 2.25])
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__(margin)


class SmoothHinge(MarginLoss):
    """The hinge with its corner rounded over a width g.

    phi(m) = u^2/(2g) for 0 < u < g, u - g/2 beyond.

    Within g/2 of the hinge; Rennie's smooth hinge for g = 1.

    Parameters
    ----------
    margin : float, default 1.0
        t, where the loss starts; finite and >= 0.
    width : float, default 1.0
        g, how far the quadratic piece goes; > 0 with a finite reciprocal.

    References
    ----------
    Rennie & Srebro, Loss functions for preference levels (2005); Shalev-Shwartz & Zhang, Stochastic dual
    coordinate ascent, JMLR 14 (2013).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.SmoothHinge(width=0.5).value([1, 1, 1], [1.0, 0.75, 0.0], reduction="none")
    array([0.    , 0.0625, 0.75  ])
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0, width: float = 1.0) -> None:
        super().__init__(margin, width)


class ModifiedHuber(MarginLoss):
    """Zhang's modified Huber loss: phi(m) = max(0, u)^2 up to u = 2, then on with slope -4.

    Parameters
    ----------
    margin : float, default 1.0
        t, where the loss starts; finite and >= 0.

    References
    ----------
    Zhang, Statistical behavior and consistency of classification methods, Annals of Statistics 32 (2004).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.ModifiedHuber().value([1, 1, 1], [2.0, 0.0, -2.0], reduction="none")
    array([0., 1., 8.])
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__(margin)


class HuberizedHinge(MarginLoss):
    """The hinge with a quadratic piece of half width h centred on its corner.

    phi(m) = 0 for m > t + h, (t + h - m)^2/(4h) for |t - m| <= h, t - m below.

    Parameters
    ----------
    margin : float, default 1.0
        t, the corner of the hinge it follows; finite and >= 0.
    half_width : float, default 0.5
        h > 0 with a finite reciprocal.

    References
    ----------
    Chapelle, Training a support vector machine in the primal, Neural Computation 19 (2007); Rosset & Zhu,
    Piecewise linear regularized solution paths, Annals of Statistics 35 (2007).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.HuberizedHinge().value([1, 1, 1], [1.5, 1.0, 0.0], reduction="none")
    array([0.   , 0.125, 1.   ])
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0, half_width: float = 0.5) -> None:
        super().__init__(margin, half_width)


class HuberMargin(MarginLoss):
    """The Huber loss of the margin's shortfall u = t - m, one-sided.

    phi(m) = u^2/2 for 0 < u <= d, d*(u - d/2) beyond.

    Parameters
    ----------
    margin : float, default 1.0
        t, where the loss starts; finite and >= 0. Margins above it are never punished.
    delta : float, default 1.0
        d, where the loss turns linear; > 0 with a finite reciprocal.

    References
    ----------
    Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics 35 (1964).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.HuberMargin(delta=2.0).value([1, 1, 1], [2.0, 0.0, -2.0], reduction="none")
    array([0. , 0.5, 4. ])
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0, delta: float = 1.0) -> None:
        super().__init__(margin, delta)


class GaussianHinge(MarginLoss):
    """psi_G, the hinge smoothed by a Gaussian: phi(m) = u*Phi(v) + sigma*pdf(v), v = u/sigma.

    Infinitely smooth, and above the hinge by at most sigma/sqrt(2*pi). Phi and pdf are the standard
    normal's distribution function and density. Computed within (3 + 2*v^2) ulp.

    Parameters
    ----------
    margin : float, default 1.0
        t, the corner of the hinge; finite and >= 0.
    sigma : float, default 1.0
        Width of the smoothing; > 0 with a finite reciprocal.

    References
    ----------
    arXiv:2103.00233 (the smooth hinge losses psi_G and psi_M).

    Examples
    --------
    >>> import hingefast as hf
    >>> round(hf.GaussianHinge().value([1], [1.0]), 12)  # 1/sqrt(2*pi)
    0.398942280401
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0, sigma: float = 1.0) -> None:
        super().__init__(margin, sigma)


class AlgebraicHinge(MarginLoss):
    """psi_M, the hinge smoothed by a square root: phi(m) = (u + sqrt(u^2 + sigma^2))/2.

    Infinitely smooth, and above the hinge by at most sigma/2.

    Parameters
    ----------
    margin : float, default 1.0
        t, the corner of the hinge; finite and >= 0.
    sigma : float, default 1.0
        Width of the smoothing; > 0 with a finite reciprocal.

    References
    ----------
    arXiv:2103.00233 (the smooth hinge losses psi_G and psi_M).

    Examples
    --------
    >>> import hingefast as hf
    >>> hf.AlgebraicHinge(sigma=2.0).value([1], [1.0])
    1.0
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0, sigma: float = 1.0) -> None:
        super().__init__(margin, sigma)


class SoftplusHinge(MarginLoss):
    """The softplus of the margin's shortfall u = t - m: phi(m) = log(1 + exp(beta*u))/beta.

    Infinitely smooth, and above the hinge by at most log(2)/beta. Computed within (3 + |beta*u|) ulp.

    Parameters
    ----------
    margin : float, default 1.0
        t, the corner of the hinge; finite and >= 0.
    beta : float, default 1.0
        Sharpness; > 0 with a finite reciprocal.

    References
    ----------
    Dugas et al., Incorporating second-order functional knowledge, NIPS 13 (2001).

    Examples
    --------
    >>> import hingefast as hf
    >>> round(hf.SoftplusHinge(beta=2.0).value([1], [1.0]), 12)  # log(2)/2
    0.34657359028
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0, beta: float = 1.0) -> None:
        super().__init__(margin, beta)


class LogisticLoss(MarginLoss):
    """The logistic loss phi(m) = log(1 + exp(-m)): binary cross-entropy for labels -1 and +1.

    Examples
    --------
    >>> import hingefast as hf
    >>> round(hf.LogisticLoss().value([1, -1], [0.0, 0.0]), 12)  # log(2)
    0.69314718056
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()


class SafeLogistic(MarginLoss):
    """The safe logistic loss phi(m) = exp(m - t) - (m - t) - 1 for m < t, 0 beyond.

    Its slope, exp(m - t) - 1, is continuous, and it is flat beyond the margin as the hinge is, so that rows on the
    right side drop out. Below the hinge, by less than 1.

    Parameters
    ----------
    margin : float, default 1.0
        t, where the loss starts; finite and >= 0.

    References
    ----------
    Mairal, Cyanure: an open-source toolbox for empirical risk minimization, arXiv:1912.08165 (2019).

    Examples
    --------
    >>> import hingefast as hf
    >>> round(hf.SafeLogistic().value([1], [0.0]), 12)  # 1/e
    0.367879441171
    """

    __slots__ = ()

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__(margin)


#: Margin losses by canonical name, in the order of the documentation.
MARGIN_LOSSES: dict[str, type[MarginLoss]] = {row["name"]: globals()[name] for name, row in _ROWS.items()}

#: The same with default parameters, by canonical name and by alias.
MARGIN_LOSSES_BY_NAME: dict[str, MarginLoss] = {
    name: MARGIN_LOSSES[row["name"]]() for row in _ROWS.values() for name in (row["name"], *row["aliases"])
}


def as_margin_loss(base: Any, argument: str = "base") -> MarginLoss:
    """The margin loss that an argument is, or that it names.

    Raises
    ------
    ValueError
        If no margin loss is called so; the message lists the names.
    TypeError
        If it is neither, say a multiclass loss.
    """
    if isinstance(base, MarginLoss):
        return base
    found = MARGIN_LOSSES_BY_NAME.get(base) if isinstance(base, str) else None
    if found is None:
        raise unknown(argument, base, MARGIN_LOSSES, what="a margin loss or its name")
    return found
