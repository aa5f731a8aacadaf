"""Linear models as the kernels take them: with one row of coefficients, or with a row for each of K classes.

All that the two differ in is here, behind the same methods: shapes, labels, kernels, and where the parts lie in a
vector theta (coefficients row by row, then the intercepts).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hingefast._kernels import arrangements, class_linear, linear, slopes
from hingefast._kernels.table import default_environment
from hingefast.checks import arguments, arrays

__all__ = ["BinaryModel", "ClassModel", "Model"]

Array = npt.NDArray[Any]


class BinaryModel:
    """One score a row: coefficients of shape (d,) or (1, d), and an intercept that is a float.

    Parameters
    ----------
    n_features : int
    classes : tuple of two numbers
        The labels (negative, positive).
    """

    n_classes = 2
    n_intercepts = 1
    columns: tuple[int, ...] = ()  # of the scores, behind their rows
    smooth_loss = "smooth_hinge"  # to name where a loss has no curvature

    value_and_grad = staticmethod(linear.value_and_grad)
    hessp = staticmethod(linear.hessp)
    decision_function = staticmethod(linear.decision_function)
    step = staticmethod(linear.step)

    def __init__(self, n_features: int, classes: tuple[float, float] = (-1, 1)) -> None:
        arrays.check_size(n_features)
        self.n_features = self.n_coefs = n_features
        self.classes = classes

    def targets(
        self,
        n_rows: int,
        y: Array | None = None,
        sample_weight: Array | None = None,
        class_weight: Any = None,
        rows: Any = None,
    ) -> slopes.Targets:
        """Labels, weights and rows; all but `class_weight` converted already."""
        pair = arguments.as_class_weight(class_weight)
        return slopes.Targets(n_rows, y, self.classes, sample_weight, pair, rows)

    def balanced_weights(self, y: Array, sample_weight: Array | None) -> Array:
        """Weights that make both classes count the same."""
        return arguments.balanced_weights(y, self.classes, self.index, sample_weight)

    def index(self, y: Array) -> Array:
        """0 and 1 for labels of the two classes, -1 for others."""
        return arguments.binary_index(y, self.classes)

    def as_coef(self, coef: Any) -> Array:
        """Coefficients as the caller gives them, converted."""
        return arguments.as_coef(coef, self.n_features)

    def as_intercept(self, intercept: Any) -> float:
        """The intercept as the caller gives it, converted."""
        return arguments.as_intercept(intercept)

    def coef(self, theta: Array) -> Array:
        """The coefficients in theta, a view."""
        return theta[: self.n_coefs]

    def intercept(self, theta: Array) -> float:
        """The intercept in theta; 0 where there is none."""
        return theta.item(self.n_coefs) if len(theta) > self.n_coefs else 0.0

    def gradient_outputs(self, out: Any, coef: Array, inputs: dict[str, Any]) -> tuple[Array, Array | None]:
        """Where to write grad_coef, a view of `out` or a new array; and grad_intercept, a float here: None."""
        if out is None:
            return arrays.new_array(coef.shape, coef.dtype, "coef"), None
        return arrays.check_out(out, "out", coef.shape, coef.dtype, inputs), None


class ClassModel:
    """K scores a row: coefficients of shape (K, d) and intercepts of shape (K,).

    Parameters
    ----------
    n_features, n_classes : int
    labels : ndarray of int64 and shape (K,), optional
        By default 0 to K - 1.
    """

    smooth_loss = "crammer_singer:smooth_hinge"

    step = staticmethod(class_linear.step)

    def __init__(self, n_features: int, n_classes: int, labels: Array | None = None) -> None:
        arrays.check_size(n_features, n_classes)
        self.n_features = n_features
        self.n_classes = self.n_intercepts = n_classes
        self.n_coefs = n_classes * n_features
        self.columns = (n_classes,)
        self.labels = labels

    @property
    def classes(self) -> Array:
        """The labels, int64, in an array of the caller's own."""
        return np.arange(self.n_classes) if self.labels is None else self.labels.view()

    def targets(
        self,
        n_rows: int,
        y: Array | None = None,
        sample_weight: Array | None = None,
        class_weight: Any = None,
        rows: Any = None,
    ) -> arrangements.ClassTargets:
        """Labels, weights and rows; all but `class_weight` converted already."""
        weights = arguments.as_class_weights(class_weight, self.n_classes)
        return arrangements.class_targets(
            n_rows, self.n_classes, y, self.labels, sample_weight, weights, rows
        )

    def balanced_weights(self, y: Array, sample_weight: Array | None) -> Array:
        """Weights that make all classes count the same."""
        return arguments.balanced_weights(y, self.classes, self.index, sample_weight)

    def index(self, y: Array) -> Array:
        """The columns of labels, -1 for what is none."""
        return arguments.class_index(y, self.n_classes, self.labels)

    def as_coef(self, coef: Any) -> Array:
        """Coefficients as the caller gives them, converted."""
        return arguments.as_class_coef(coef, self.n_features, self.n_classes)

    def as_intercept(self, intercept: Any) -> Array:
        """The intercepts as the caller gives them, converted; a number stands for all."""
        return arguments.as_class_intercept(intercept, self.n_classes)

    def coef(self, theta: Array) -> Array:
        """The coefficients in theta, a view."""
        return theta[: self.n_coefs].reshape(self.n_classes, self.n_features)

    def intercept(self, theta: Array) -> Array:
        """The intercepts in theta, a view; zeros where there are none."""
        return (
            theta[self.n_coefs :] if theta.shape[0] > self.n_coefs else np.zeros(self.n_classes, theta.dtype)
        )

    def gradient_outputs(self, out: Any, coef: Array, inputs: dict[str, Any]) -> tuple[Array, Array | None]:
        """Where to write grad_coef, a view of `out` or a new array; and grad_intercept, None where not in `out`."""
        if out is None:
            return arrays.new_array(coef.shape, coef.dtype, "coef"), None
        if not isinstance(out, tuple):
            return arrays.check_out(out, "out", coef.shape, coef.dtype, inputs), None
        if len(out) != 2:
            raise TypeError("out must be grad_coef or the tuple (grad_coef, grad_intercept)")
        grad = arrays.check_out(out[0], "out[0]", coef.shape, coef.dtype, inputs)
        inputs = {**inputs, "out[0]": grad}
        return grad, arrays.check_out(out[1], "out[1]", (self.n_classes,), coef.dtype, inputs)

    @staticmethod
    def value_and_grad(
        layout: linear.Layout,
        targets: arrangements.ClassTargets,
        loss: arrangements.BoundArrangement,
        want: int,
        coef: Array,
        intercept: Array,
        alpha: float,
        intercept_alpha: float,
        mean: bool,
        out: Array | None,
        n_threads: int | None,
    ) -> tuple[float, Array | None]:
        """The value, and grad_intercept as a new array; grad_coef goes to `out`, where it is asked for."""
        grad_intercept = None if out is None else np.empty(len(coef), coef.dtype)
        value = class_linear.value_and_grad(
            layout,
            targets,
            loss,
            want,
            coef,
            _in_float64(intercept),
            alpha,
            intercept_alpha,
            mean,
            out,
            grad_intercept,
            n_threads,
        )
        return value, grad_intercept

    @staticmethod
    def hessp(
        layout: linear.Layout,
        targets: arrangements.ClassTargets,
        loss: arrangements.BoundArrangement,
        coef: Array,
        intercept: Array,
        direction: Array,
        direction_intercept: Array,
        alpha: float,
        intercept_alpha: float,
        mean: bool,
        out: Array,
        n_threads: int | None,
    ) -> Array:
        """The part of the Hessian product that belongs to the intercepts, a new array; the rest goes to `out`."""
        of_intercept = np.empty(len(coef), direction.dtype)
        class_linear.hessp(
            layout,
            targets,
            loss,
            coef,
            _in_float64(intercept),
            direction,
            _in_float64(direction_intercept),
            alpha,
            intercept_alpha,
            mean,
            out,
            of_intercept,
            n_threads,
        )
        return of_intercept

    @staticmethod
    def decision_function(
        layout: linear.Layout,
        targets: arrangements.ClassTargets,
        coef: Array,
        intercept: Array,
        out: Array,
        n_threads: int | None,
    ) -> None:
        """The scores, to `out`."""
        class_linear.decision_function(layout, targets, coef, _in_float64(intercept), out, n_threads)


Model: TypeAlias = BinaryModel | ClassModel


def _in_float64(intercept: Array) -> Array:
    if intercept.dtype == np.float64:
        return np.ascontiguousarray(intercept)
    with default_environment():  # a signalling NaN
        return np.ascontiguousarray(intercept, np.float64)
