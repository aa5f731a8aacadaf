"""`Objective`: a regularised linear problem as a function of one vector, checked once and called often."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.entry import is_plain_output
from hingefast._kernels.labels import Classes, Targets
from hingefast._kernels.problem import Problem
from hingefast._kernels.questions import WANT_SLOPE, WANT_VALUE
from hingefast._kernels.table import default_environment
from hingefast.checks import arguments, arrays
from hingefast.checks.arguments import FLOATS
from hingefast.checks.explain import explained
from hingefast.checks.losses import check_curvature
from hingefast.linear import as_layout, scores_output
from hingefast.losses import Loss
from hingefast.multiclass import MulticlassLoss
from hingefast.names import get_loss

__all__ = ["Objective"]

Array = npt.NDArray[Any]

# Kinds of theta and rows whose memory one glance tells: arrays, and what is no buffer.
PLAIN = frozenset((np.ndarray, type(None), slice, list))


def _read_only(name: str, doc: str) -> Any:
    return property(operator.attrgetter(name), doc=doc)


class Objective:
    """reduction(loss(y, X @ coef.T + intercept)) + alpha/2*||coef||^2 as a function of one vector theta.

    ``theta`` holds the d coefficients and then, with `fit_intercept`, the intercept; for a multiclass loss the
    coefficients of each of K classes, one class after the other, and then the K intercepts. These are `size`
    numbers, float32 or float64, which also is the dtype of gradients. Everything but theta is checked here once;
    calls check theta alone. X and y are kept by reference, and the kernels stay safe if their contents change
    later: what a call reads it checks again.

    Parameters
    ----------
    X : array_like or CSR of shape (n, d)
        As in `linear_value_and_grad`. A data frame is copied at most once, here.
    y : array_like of shape (n,)
        Labels of any real dtype.
    loss : str or loss object
    alpha : float, default 0.0
        Strength of the penalty; the attribute `C` is what the SVM literature gives instead.
    fit_intercept : bool, default True
        Whether theta ends with an intercept; without, it is 0.
    penalize_intercept : bool or float, default False
        Whether the penalty takes the intercept in; a number >= 0 is how many times as strong it is there.
    sample_weight : array_like of shape (n,), optional
    class_weight : array_like of shape (2,) or (K,), or "balanced", optional
        Weights of the classes in the order of `classes`. ``"balanced"`` is N/(K*N_k) for class k of N_k rows, with
        sums of `sample_weight` where given; K is 2 for a binary loss.
    classes : pair of numbers, int K or array_like of shape (K,)
        For a binary loss the labels (negative, positive), by default (-1, +1), or (False, True) for boolean `y`.
        For a multiclass loss, which needs it, the number K of classes with the labels 0 to K - 1, or the K
        distinct integers that are the labels.
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
        loss: str | Loss,
        alpha: float = 0.0,
        fit_intercept: bool = True,
        penalize_intercept: bool | float = False,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: npt.ArrayLike | str | None = None,
        classes: npt.ArrayLike | None = None,
        reduction: str = "mean",
        dtype: npt.DTypeLike | None = None,
        n_threads: int | None = None,
    ) -> None:
        arguments.check_float64(dtype)
        self._loss = get_loss(loss)
        self._alpha = arguments.as_alpha(alpha)
        self._fit_intercept = arguments.as_flag(fit_intercept, "fit_intercept")
        self._penalize_intercept = arguments.as_share(penalize_intercept, "penalize_intercept")
        self._intercept_alpha = arguments.as_alpha(self._alpha * self._penalize_intercept)
        self._reduction = arguments.as_linear_reduction(reduction)
        self._n_threads = None if n_threads is None else arrays.as_threads(n_threads)
        self._arguments = (
            X,
            y,
            {
                "loss": self._loss,
                "alpha": self._alpha,
                "fit_intercept": self._fit_intercept,
                "penalize_intercept": self._penalize_intercept,
                "sample_weight": sample_weight,
                "class_weight": class_weight,
                "classes": classes,
                "reduction": self._reduction,
                "dtype": None if dtype is None else "float64",
                "n_threads": self._n_threads,
            },
        )
        inputs: dict[str, Any] = {}
        layout = as_layout(X, float64=dtype is not None, inputs=inputs)
        self._n_rows: int = layout.n_rows
        self._n_features: int = layout.n_features
        n_rows = self._n_rows
        labels = arguments.as_labels(y, n_rows, "X")
        weights = arguments.as_weights(sample_weight, n_rows, "X")
        declared = _declared(self._loss, classes, labels)
        arrays.check_size(layout.n_features, declared.width)
        self._width: int = declared.width
        self._n_classes: int = declared.count
        self._n_coefs = declared.width * layout.n_features
        self._size: int = self._n_coefs + self._fit_intercept * declared.width
        self._shape = (self._size,)
        inputs |= {"y": labels, "sample_weight": weights}
        inputs |= arrays.memory(class_weight, "class_weight") | arrays.memory(classes, "classes")
        self._inputs = inputs  # what no output may overlap
        if isinstance(class_weight, str) and class_weight == "balanced":
            with default_environment():
                class_weight = arguments.balanced_weights(labels, declared, weights)
        self._class_weight = arguments.as_class_weights(class_weight, declared.count)
        self._problem = Problem(
            layout,
            Targets(n_rows, declared, labels, weights, self._class_weight),
            self._loss._bound,
            (self._alpha, self._intercept_alpha),
            self._reduction == "mean",
            self._n_threads,
        )
        explained(self._problem.check)

    # Read-only, all of them: kernels rely on what was checked together.
    loss = _read_only("_loss", "The loss, an object.")
    alpha = _read_only("_alpha", "Strength of the penalty.")
    fit_intercept = _read_only("_fit_intercept", "Whether theta ends with intercepts.")
    penalize_intercept = _read_only(
        "_penalize_intercept", "Whether, or how many times, the intercepts are penalised."
    )
    reduction = _read_only("_reduction", 'Either "mean" or "sum".')
    n_threads = _read_only("_n_threads", "Threads to use at most; None leaves it to the process.")

    @property
    def n_rows(self) -> int:
        """Rows of X."""
        return self._n_rows

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return self._n_features

    @property
    def n_classes(self) -> int:
        """Classes: 2 for a binary loss."""
        return self._n_classes

    @property
    def classes(self) -> tuple[float, float] | Array:
        """The labels: the pair (negative, positive), or an int64 array of shape (K,) for a multiclass loss."""
        declared = self._problem.targets.classes
        if declared.n_classes == 0:
            return declared.labels  # type: ignore[no-any-return]
        return np.arange(declared.n_classes) if declared.labels is None else declared.labels.view()

    @property
    def size(self) -> int:
        """Numbers in theta."""
        return self._size

    @property
    def C(self) -> float:
        """1/(alpha*sum of all weights), the weight of a row's loss in the SVM literature; inf without a penalty.

        The weights are `sample_weight` times `class_weight`, 1 each without, so that
        ``LinearSVC(C=objective.C).fit(X, y, sample_weight=weights)`` minimises the same function. With
        ``reduction="sum"`` the loss is not divided by their sum, so it is 1/alpha. O(n) where there are weights.
        """
        total, exponent = 1.0, 0
        with default_environment():
            if self._reduction == "mean":
                total, exponent = arguments.weight_exponent(
                    self._inputs["y"],
                    self._problem.targets.classes,
                    self._inputs["sample_weight"],
                    self._class_weight,
                )
            if self._alpha == 0 or total == 0:
                return float("inf")
            # Neither the product nor its reciprocal overflows on the way.
            (alpha, of_alpha), (total, of_total) = math.frexp(self._alpha), math.frexp(total)
            try:
                return math.ldexp(1 / (alpha * total), -(of_alpha + of_total + exponent))
            except OverflowError:
                return float("inf")

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
        return self._pass(WANT_VALUE, vector, rows, None)

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
        self._pass(WANT_SLOPE, vector, rows, grad)
        return grad if out is None else out

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
        value = self._pass(WANT_VALUE | WANT_SLOPE, vector, rows, grad)
        return value, grad if out is None else out

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
            For losses whose second derivative is zero everywhere: the hinge, the perceptron loss and what is built
            on them.
        """
        check_curvature(self._loss._bound, self._loss, self._width)
        vector, direction = self._theta(theta), self._theta(v, "v")
        result = np.empty(self._size, direction.dtype)
        explained(self._problem.hessp, vector, direction, result)
        return result

    def decision_function(self, theta: npt.ArrayLike, *, rows: Any = None, out: Array | None = None) -> Array:
        """Scores of the batch.

        Parameters
        ----------
        theta : array_like of shape (size,)
        rows : slice or 1-D integer array, optional
        out : ndarray of the result's shape and dtype, optional

        Returns
        -------
        ndarray of shape (n,), or (n, K) for a multiclass loss; n is len(rows) where `rows` is given
            In the computing dtype.
        """
        vector = self._theta(theta)
        batch = arguments.as_rows(rows, self._n_rows)
        targets = Targets(self._n_rows, self._problem.targets.classes, rows=batch)
        problem = Problem(self._problem.layout, targets, n_threads=self._n_threads)
        inputs = self._inputs | {"theta": theta, "rows": rows}
        scores = scores_output(problem, out, inputs)
        explained(problem.scores, vector, None, scores)
        return scores if out is None else out

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
        vector = self._changed_theta(theta, lr, rows)
        rate = arguments.as_rate(lr)
        batch = None if rows is None else arguments.as_rows(rows, self._n_rows)
        value: float = explained(self._problem.step, vector, rate, batch)
        return value

    def pack(self, coef: npt.ArrayLike, intercept: npt.ArrayLike = 0.0) -> Array:
        """A new theta of these coefficients and this intercept.

        Parameters
        ----------
        coef : array_like of shape (d,) or (1, d), or (K, d) for a multiclass loss
        intercept : float, or array_like of shape (1,), or (K,) for a multiclass loss
            Must be 0 without `fit_intercept`.

        Returns
        -------
        ndarray of shape (size,)
            float32 for float32 `coef`, else float64.
        """
        if self._width == 1:
            coefs = arguments.as_coef(coef, self._n_features)
        else:
            coefs = arguments.as_class_coef(coef, self._n_features, self._width)
        intercepts = np.ravel(arguments.as_intercept(intercept, self._width))
        if self._fit_intercept:
            with default_environment():  # rounded to the dtype of coef
                return np.concatenate([coefs.ravel(), intercepts.astype(coefs.dtype)])
        arguments.check_no_intercept(intercepts)
        return coefs.flatten()

    def unpack(self, theta: Array) -> tuple[Array, Any]:
        """Coefficients, as a view of theta, and the intercept (0 without `fit_intercept`).

        Parameters
        ----------
        theta : ndarray of shape (size,)

        Returns
        -------
        coef : ndarray of shape (d,), or (K, d) for a multiclass loss
        intercept : float, or ndarray of shape (K,), a view too, for a multiclass loss
        """
        vector = self._theta(theta)
        coef = vector[: self._n_coefs]
        if self._width == 1:
            return coef, vector.item(self._n_coefs) if self._fit_intercept else 0.0
        coef = coef.reshape(self._width, self._n_coefs // self._width)
        return coef, vector[self._n_coefs :] if self._fit_intercept else np.zeros(self._width, vector.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        X, y, keywords = self._arguments
        return _rebuild, (X, y, keywords)

    def __repr__(self) -> str:
        return f"Objective({self.n_rows} x {self.n_features}, loss={self.loss!r}, alpha={self.alpha!r})"

    def _theta(self, theta: Any, name: str = "theta") -> Array:
        """`theta` as a contiguous float32 or float64 vector of our own; a view where it is one."""
        if type(theta) is np.ndarray:
            vector = theta.view()
            if vector.dtype in FLOATS and vector.shape == self._shape and vector.flags.carray:
                return vector
        return arguments.as_theta(theta, name, self._size)

    def _changed_theta(self, theta: Array, lr: Any, rows: Any) -> Array:
        """A view of our own of a theta that `step` can change in place."""
        if type(theta) is np.ndarray and type(lr) is float and type(rows) in PLAIN:
            vector = theta.view()
            if (
                vector.dtype in FLOATS
                and vector.shape == self._shape
                and is_plain_output(vector, vector, self._inputs, None, rows)
            ):
                return vector
        inputs = self._inputs | {"rows": rows, "lr": lr}
        return arrays.check_out(theta, "theta", (self._size,), arguments.theta_dtype(theta), inputs)

    def _gradient_output(self, vector: Array, theta: Any, rows: Any, out: Array | None) -> Array:
        """A new array, or a view of our own of `out`, checked."""
        if out is None:
            return np.empty(self._size, vector.dtype)
        if type(out) is np.ndarray and type(theta) in PLAIN and type(rows) in PLAIN:
            view = out.view()
            if is_plain_output(view, vector, self._inputs, theta, rows):
                return view
        inputs = self._inputs | {"theta": theta, "rows": rows}
        return arrays.check_out(out, "out", (self._size,), vector.dtype, inputs)

    def _pass(self, want: int, vector: Array, rows: Any, grad: Array | None) -> float:
        batch = None if rows is None else arguments.as_rows(rows, self._n_rows)
        value: float = explained(self._problem.value_and_grad, want, vector, None, grad, batch)[0]
        return value


def _declared(loss: Loss, classes: Any, y: Array) -> Classes:
    """The classes of a problem, which are never guessed from its labels."""
    if not isinstance(loss, MulticlassLoss):
        return arguments.as_classes(classes, y)
    n_classes, labels = arguments.declared_classes(classes)
    arguments.check_class_count(loss._bound, n_classes, f"classes declares {n_classes} classes")
    return Classes(labels, n_classes)


def _rebuild(X: Any, y: Any, keywords: dict[str, Any]) -> Objective:
    """An `Objective` from what it was made of, for pickling."""
    return Objective(X, y, **keywords)
