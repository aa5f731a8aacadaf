"""`Objective`: a regularised linear problem as a function of one vector, checked once and called often."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast import _checks
from hingefast._kernels import linear, slopes
from hingefast._parallel import check_threads
from hingefast.linear import SLOPE, VALUE, as_layout, as_linear_reduction, scores_output
from hingefast.losses import MarginLoss, get_loss

__all__ = ["Objective"]

Array = npt.NDArray[Any]


class Objective:
    """reduction(loss(y, X @ coef + intercept)) + alpha/2*||coef||^2 as a function of one vector theta.

    ``theta`` holds the d coefficients and then, with `fit_intercept`, the intercept: `size` numbers, float32 or
    float64, which also is the dtype of gradients. Everything but theta is checked here once; calls check theta
    alone. X and y are kept by reference, and the kernels stay safe if their contents change later: what a call
    reads it checks again.

    Parameters
    ----------
    X : array_like or CSR of shape (n, d)
        As in `linear_value_and_grad`.
    y : array_like of shape (n,)
        Labels of any real dtype.
    loss : str or MarginLoss
    alpha : float, default 0.0
        Strength of the penalty; the SVM's C is 1/(n*alpha).
    fit_intercept : bool, default True
        Whether theta ends with an intercept; without, it is 0.
    penalize_intercept : bool, default False
        Whether the penalty takes the intercept in.
    sample_weight : array_like of shape (n,), optional
    class_weight : pair of float or "balanced", optional
        ``"balanced"`` is N/(2*N_k) for class k of N_k rows, with sums of `sample_weight` where given.
    classes : pair of numbers, optional
        The labels (negative, positive). By default (-1, +1), or (False, True) for boolean `y`.
    reduction : {"mean", "sum"}
    dtype : {None, numpy.float64}
        float64 computes scores in float64 whatever the dtype of X.
    n_threads : int, optional
        For every call; the results have the same bits for any number.

    Raises
    ------
    TypeError, ValueError, InvalidCSRError
        As `linear_value_and_grad`.

    Examples
    --------
    >>> import numpy as np
    >>> import hingefast as hf
    >>> X = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]])
    >>> objective = hf.Objective(X, [1, -1, 1], loss="squared_hinge", alpha=0.1)
    >>> theta = np.zeros(objective.size)
    >>> objective.value(theta)
    1.0
    >>> objective.step(theta, lr=0.5)
    1.0
    >>> coef, intercept = objective.unpack(theta)
    >>> coef
    array([-0.66666667,  1.33333333])
    >>> round(intercept, 6)
    0.333333
    """

    def __init__(
        self,
        X: Any,
        y: npt.ArrayLike,
        *,
        loss: str | MarginLoss,
        alpha: float = 0.0,
        fit_intercept: bool = True,
        penalize_intercept: bool = False,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: npt.ArrayLike | str | None = None,
        classes: tuple[Any, Any] | None = None,
        reduction: str = "mean",
        dtype: npt.DTypeLike | None = None,
        n_threads: int | None = None,
    ) -> None:
        _checks.check_float64(dtype)
        self._arguments = (
            X,
            y,
            {
                "loss": loss,
                "alpha": alpha,
                "fit_intercept": fit_intercept,
                "penalize_intercept": penalize_intercept,
                "sample_weight": sample_weight,
                "class_weight": class_weight,
                "classes": classes,
                "reduction": reduction,
                "dtype": None if dtype is None else "float64",
                "n_threads": n_threads,
            },
        )
        self.loss = get_loss(loss)
        self.alpha = _checks.as_alpha(alpha)
        self.fit_intercept = _checks.as_flag(fit_intercept, "fit_intercept")
        self.penalize_intercept = _checks.as_flag(penalize_intercept, "penalize_intercept")
        self._intercept_alpha = self.alpha if self.penalize_intercept else 0.0
        self.reduction = as_linear_reduction(reduction)
        self._is_mean = self.reduction == "mean"
        self.n_threads = None if n_threads is None else check_threads(n_threads)
        self._layout = as_layout(X, float64=dtype is not None)
        n_rows = self._layout.n_rows
        labels = _checks.as_labels(y, n_rows, "X")
        weights = _checks.as_weights(sample_weight, n_rows, "X")
        self.classes = _checks.as_classes(classes, labels)
        if isinstance(class_weight, str) and class_weight == "balanced":
            pair: tuple[float, float] | None = _checks.balanced_weights(labels, self.classes, weights)
        else:
            pair = _checks.as_class_weight(class_weight)
        self._targets = slopes.Targets(n_rows, labels, self.classes, weights, pair)
        fault = self._layout.first_fault(self._targets) or self._targets.first_fault()
        if fault is not None:
            _checks.raise_linear_fault(*fault, self._targets, self._layout)
        self._inputs: dict[str, Any] = {**self._layout.arrays(), "y": labels, "sample_weight": weights}

    @property
    def n_rows(self) -> int:
        """Rows of X."""
        return self._layout.n_rows

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return self._layout.n_features

    @property
    def size(self) -> int:
        """Numbers in theta."""
        return self._layout.n_features + self.fit_intercept

    @property
    def C(self) -> float:
        """1/(n*alpha), the weight of the loss in the SVM literature; inf without a penalty.

        With ``reduction="sum"`` the loss is not divided by n, so it is 1/alpha.
        """
        scale = self.alpha * (self.n_rows if self._is_mean else 1)
        return 1 / scale if scale > 0 else float("inf")

    def value(self, theta: npt.ArrayLike, *, rows: Any = None) -> float:
        """The objective at theta, over the batch `rows` (default: all rows).

        Parameters
        ----------
        theta : array_like of shape (size,)
        rows : slice or 1-D integer array, optional

        Returns
        -------
        float
        """
        vector = self._theta(theta)
        return self._pass(VALUE, vector, rows, None)[0]

    def grad(self, theta: npt.ArrayLike, *, rows: Any = None, out: Array | None = None) -> Array:
        """The gradient at theta, over the batch `rows`.

        Parameters
        ----------
        theta : array_like of shape (size,)
        rows : slice or 1-D integer array, optional
        out : ndarray of shape (size,) and theta's dtype, optional
            Overlaps neither theta nor the data.

        Returns
        -------
        ndarray of shape (size,)
        """
        vector = self._theta(theta)
        grad = self._gradient_output(vector, theta, rows, out)
        self._pass(SLOPE, vector, rows, grad)
        return grad

    def value_and_grad(
        self, theta: npt.ArrayLike, *, rows: Any = None, out: Array | None = None
    ) -> tuple[float, Array]:
        """Value and gradient at theta in one pass, bit for bit what `value` and `grad` return.

        Calling the objective is the same, so that ``scipy.optimize.minimize(objective, theta, jac=True)`` works.

        Parameters
        ----------
        theta : array_like of shape (size,)
        rows : slice or 1-D integer array, optional
        out : ndarray of shape (size,) and theta's dtype, optional
            Where to write the gradient; a new array each call without.

        Returns
        -------
        value : float
        grad : ndarray of shape (size,)
        """
        vector = self._theta(theta)
        grad = self._gradient_output(vector, theta, rows, out)
        return self._pass(VALUE | SLOPE, vector, rows, grad)[0], grad

    __call__ = value_and_grad

    def hessp(self, theta: npt.ArrayLike, v: npt.ArrayLike) -> Array:
        """The generalised Hessian at theta times `v`, the penalty included.

        phi'' is taken as 0 at kinks.

        Parameters
        ----------
        theta, v : array_like of shape (size,)

        Returns
        -------
        ndarray of shape (size,)
            In the dtype of `v`.

        Raises
        ------
        ValueError
            For the hinge and the perceptron loss, whose second derivative is zero everywhere.
        """
        if not self.loss._bound.has_curvature:
            raise ValueError(
                f"the second derivative of {self.loss!r} is zero everywhere; use a smooth loss such as 'smooth_hinge'"
            )
        vector, direction = self._theta(theta), self._theta(v, "v")
        result = np.empty(self.size, direction.dtype)
        n_features = self.n_features
        of_intercept = linear.hessp(
            self._layout,
            self._targets,
            self.loss._bound,
            vector[:n_features],
            self._intercept(vector),
            direction[:n_features],
            self._intercept(direction),
            self.alpha,
            self._intercept_alpha,
            self._is_mean,
            result[:n_features],
            self.n_threads,
        )
        if self.fit_intercept:
            result[n_features] = of_intercept
        return result

    def decision_function(self, theta: npt.ArrayLike, *, rows: Any = None, out: Array | None = None) -> Array:
        """Scores of the batch.

        Parameters
        ----------
        theta : array_like of shape (size,)
        rows : slice or 1-D integer array, optional
        out : ndarray of shape (n,), or (len(rows),), of the computing dtype, optional

        Returns
        -------
        ndarray of shape (n,), or (len(rows),)
        """
        vector = self._theta(theta)
        targets = slopes.Targets(self.n_rows, rows=_checks.as_rows(rows, self.n_rows))
        scores = scores_output(self._layout, targets, out, {"theta": theta, "rows": rows})
        coef, intercept = vector[: self.n_features], self._intercept(vector)
        linear.decision_function(self._layout, targets, coef, intercept, scores, self.n_threads)
        return scores

    def step(self, theta: Array, lr: float, *, rows: Any = None) -> float:
        """One step of gradient descent in place: theta -= lr * gradient of the batch.

        On CSR with ``alpha=0`` only the columns that the batch stores are touched, so that a step costs the
        batch's entries, not d. The bits are those of ``theta - lr*grad(theta, rows=rows)``.

        Parameters
        ----------
        theta : ndarray of shape (size,)
            C-contiguous float32 or float64, changed in place.
        lr : float
            Finite.
        rows : slice or 1-D integer array, optional

        Returns
        -------
        float
            The objective over the batch before the step.
        """
        dtype = _checks.theta_dtype(theta)
        _checks.check_out(theta, "theta", (self.size,), dtype, self._inputs | {"rows": rows})
        rate = _checks.as_rate(lr)
        return linear.step(
            self._layout,
            self._batch(rows),
            self.loss._bound,
            theta,
            self.fit_intercept,
            rate,
            self.alpha,
            self._intercept_alpha,
            self._is_mean,
            self.n_threads,
        )

    def pack(self, coef: npt.ArrayLike, intercept: npt.ArrayLike = 0.0) -> Array:
        """A new theta of these coefficients and this intercept.

        Parameters
        ----------
        coef : array_like of shape (d,) or (1, d)
        intercept : float or array_like of shape (1,)
            Must be 0 without `fit_intercept`.

        Returns
        -------
        ndarray of shape (size,)
            float32 for float32 `coef`, else float64.
        """
        vector, _ = _checks.as_coef(coef, self.n_features)
        bias, _ = _checks.as_intercept(intercept)
        if not self.fit_intercept:
            if bias != 0:
                raise ValueError(f"intercept is {bias}, must be 0 with fit_intercept=False")
            return vector.copy()
        return np.append(vector, vector.dtype.type(bias))

    def unpack(self, theta: Array) -> tuple[Array, float]:
        """Coefficients, as a view of theta, and the intercept (0.0 without `fit_intercept`).

        Parameters
        ----------
        theta : ndarray of shape (size,)

        Returns
        -------
        coef : ndarray of shape (d,)
        intercept : float
        """
        vector = self._theta(theta)
        return vector[: self.n_features], self._intercept(vector)

    def __reduce__(self) -> tuple[Any, ...]:
        X, y, keywords = self._arguments
        return _rebuild, (X, y, keywords)

    def __repr__(self) -> str:
        return f"Objective({self.n_rows} x {self.n_features}, loss={self.loss!r}, alpha={self.alpha!r})"

    def _theta(self, theta: Any, name: str = "theta") -> Array:
        """`theta` as a contiguous float32 or float64 vector; the very object where it is one."""
        if (
            type(theta) is np.ndarray
            and theta.dtype in (np.float64, np.float32)
            and theta.shape == (self.size,)
            and theta.flags.carray
        ):
            return theta
        return _checks.as_theta(theta, name, self.size)

    def _intercept(self, vector: Array) -> float:
        return float(vector[self.n_features]) if self.fit_intercept else 0.0

    def _batch(self, rows: Any) -> slopes.Targets:
        return self._targets if rows is None else self._targets.batch(_checks.as_rows(rows, self.n_rows))

    def _gradient_output(self, vector: Array, theta: Any, rows: Any, out: Array | None) -> Array:
        if out is None:
            return np.empty(self.size, vector.dtype)
        return _checks.check_out(
            out, "out", (self.size,), vector.dtype, self._inputs | {"theta": theta, "rows": rows}
        )

    def _pass(self, want: int, vector: Array, rows: Any, grad: Array | None) -> tuple[float, float]:
        n_features = self.n_features
        value, grad_intercept = linear.value_and_grad(
            self._layout,
            self._batch(rows),
            self.loss._bound,
            want,
            vector[:n_features],
            self._intercept(vector),
            self.alpha,
            self._intercept_alpha,
            self._is_mean,
            None if grad is None else grad[:n_features],
            self.n_threads,
        )
        if grad is not None and self.fit_intercept:
            grad[n_features] = grad_intercept
        return value, grad_intercept


def _rebuild(X: Any, y: Any, keywords: dict[str, Any]) -> Objective:
    """An `Objective` from what it was made of, for pickling."""
    return Objective(X, y, **keywords)
