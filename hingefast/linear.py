"""Linear models: value and gradient of a loss of X @ coef + intercept in one pass over X, and scores alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast import _checks
from hingefast._kernels import csr, dense, linear, slopes
from hingefast.losses import MarginLoss, get_loss

__all__ = ["decision_function", "linear_value_and_grad"]

Array = npt.NDArray[Any]

VALUE, SLOPE = 1, 2


def as_layout(X: Any, *, float64: bool = False) -> linear.Layout:
    """`X` as the kernels read it, in place or through a tile; `float64` forces scores in float64."""
    parts = _checks.csr_parts(X)
    if parts is not None:
        data, indices, indptr, n_features = parts
        return csr.CSR(data, indices, indptr, n_features, float64 or _checks.computes_in_float64(data.dtype))
    array = _checks.real_array(X, "X")
    if array.ndim != 2:
        raise ValueError(f"X must be 2-D (n_rows, n_features), got shape {array.shape}")
    return dense.Dense(array, float64 or _checks.computes_in_float64(array.dtype))


def linear_value_and_grad(
    X: Any,
    y: npt.ArrayLike,
    coef: npt.ArrayLike,
    intercept: npt.ArrayLike = 0.0,
    *,
    loss: str | MarginLoss = "hinge",
    alpha: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: npt.ArrayLike | None = None,
    classes: tuple[Any, Any] | None = None,
    reduction: str = "mean",
    rows: Any = None,
    out: Array | None = None,
    n_threads: int | None = None,
) -> tuple[float, Array, Any]:
    """Value and gradient of reduction(loss(y, X @ coef + intercept)) + alpha/2*||coef||^2 in one pass over X.

    Parameters
    ----------
    X : array_like or CSR of shape (n, d)
        float32 and float64 in C-ordered rows, and CSR with int32 or int64 indices, are read in place; whatever
        else NumPy can index goes through a small tile. Never copied as a whole. CSR is anything with
        ``indptr``, ``indices``, ``data`` and ``shape``.
    y : array_like of shape (n,)
        Labels of any real dtype, one of the two `classes` each.
    coef : array_like of shape (d,) or (1, d)
        Rounded once to the dtype that scores are computed in: float32 where X is float32, float16, bool or an
        8- or 16-bit integer, else float64.
    intercept : float or array_like of shape (1,)
    loss : str or MarginLoss
    alpha : float, default 0.0
        Strength of the penalty alpha/2*||coef||^2, which is added once, whatever the reduction, in float64;
        finite and >= 0. The intercept is not penalised.
    sample_weight : array_like of shape (n,), optional
        Finite and >= 0. A row of weight 0 is left out exactly.
    class_weight : pair of float, optional
        Weights of the negative and of the positive class.
    classes : pair of numbers, optional
        The labels (negative, positive). By default (-1, +1), or (False, True) for boolean `y`.
    reduction : {"mean", "sum"}
        ``"mean"`` divides the weighted sum of losses by the sum of weights.
    rows : slice or 1-D integer array, optional
        The batch; repeats allowed. Bit for bit the call on ``X[rows], y[rows], sample_weight[rows]``.
    out : ndarray of coef's shape and grad_coef's dtype, optional
        Where to write grad_coef; overlaps no input. Untouched if the call fails.
    n_threads : int, optional
        The result has the same bits for any number.

    Returns
    -------
    value : float
    grad_coef : ndarray of coef's shape
        float32 for float32 `coef`, else float64.
    grad_intercept : float, or ndarray of shape (1,) where `intercept` has it

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong kind, dtype, shape or content; the message names argument and position.
    InvalidCSRError
        For broken CSR structure.

    Notes
    -----
    O(n*d), or O(number of entries), with one read of X; extra memory: a float64 gradient for each thread.

    Examples
    --------
    >>> import numpy as np
    >>> import hingefast as hf
    >>> X = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]])
    >>> value, grad_coef, grad_intercept = hf.linear_value_and_grad(X, [1, -1, 1], [0.5, 0.0], 0.25)
    >>> value
    1.25
    >>> grad_coef
    array([ 0.66666667, -1.33333333])
    >>> round(grad_intercept, 12)
    -0.333333333333
    """
    bound = get_loss(loss)
    layout = as_layout(X)
    reduction = as_linear_reduction(reduction)
    labels = _checks.as_labels(y, layout.n_rows, "X")
    weights = _checks.as_weights(sample_weight, layout.n_rows, "X")
    pair = _checks.as_classes(classes, labels)
    targets = slopes.Targets(
        layout.n_rows,
        labels,
        pair,
        weights,
        _checks.as_class_weight(class_weight),
        _checks.as_rows(rows, layout.n_rows),
    )
    vector, coef_shape = _checks.as_coef(coef, layout.n_features)
    bias, bias_shape = _checks.as_intercept(intercept)
    strength = _checks.as_alpha(alpha)
    if out is None:
        grad = np.empty(coef_shape, vector.dtype)
    else:
        inputs = layout.arrays() | {
            "y": labels,
            "sample_weight": weights,
            "coef": vector,
            "coef as given": coef,
            "intercept": intercept,
            "rows": rows,
        }
        grad = _checks.check_out(out, "out", coef_shape, vector.dtype, inputs)
    value, grad_intercept = linear.value_and_grad(
        layout,
        targets,
        bound._bound,
        VALUE | SLOPE,
        vector,
        bias,
        strength,
        0.0,
        reduction == "mean",
        grad,
        n_threads,
    )
    return value, grad, grad_intercept if bias_shape == () else np.array([grad_intercept], vector.dtype)


def decision_function(
    X: Any,
    coef: npt.ArrayLike,
    intercept: npt.ArrayLike = 0.0,
    *,
    rows: Any = None,
    out: Array | None = None,
    n_threads: int | None = None,
) -> Array:
    """Scores X @ coef + intercept.

    Parameters
    ----------
    X, coef, intercept, rows, n_threads
        As in `linear_value_and_grad`.
    out : ndarray of shape (n,), or (len(rows),), of the computing dtype, optional
        Where to write the scores. May hold unspecified numbers if the structure of X or `rows` is found broken
        during the pass.

    Returns
    -------
    ndarray of shape (n,), or (len(rows),)
        float32 where X is float32, float16, bool or an 8- or 16-bit integer, else float64.

    Raises
    ------
    TypeError, ValueError, InvalidCSRError
        As `linear_value_and_grad`.

    Notes
    -----
    O(n*d), or O(number of entries). The scores have the bits that `linear_value_and_grad` uses inside.

    Examples
    --------
    >>> import numpy as np
    >>> import hingefast as hf
    >>> hf.decision_function(np.array([[1.0, 2.0], [3.0, -1.0]]), [0.5, 0.25], 1.0)
    array([2.  , 2.25])
    """
    layout = as_layout(X)
    targets = slopes.Targets(layout.n_rows, rows=_checks.as_rows(rows, layout.n_rows))
    vector, _ = _checks.as_coef(coef, layout.n_features)
    bias, _ = _checks.as_intercept(intercept)
    scores = scores_output(layout, targets, out, {"coef": coef, "intercept": intercept, "rows": rows})
    linear.decision_function(layout, targets, vector, bias, scores, n_threads)
    return scores


def scores_output(
    layout: linear.Layout, targets: slopes.Targets, out: Array | None, inputs: dict[str, Any]
) -> Array:
    """`out` checked, or a new array, for the scores of a batch."""
    dtype = np.dtype(np.float64 if layout.is_f64 else np.float32)
    if out is None:
        return np.empty(targets.n_rows, dtype)
    return _checks.check_out(out, "out", (targets.n_rows,), dtype, layout.arrays() | inputs)


def as_linear_reduction(reduction: Any) -> str:
    """``"mean"`` or ``"sum"``."""
    if _checks.as_reduction(reduction) == "none":
        raise ValueError(
            "reduction='none' belongs to losses on scores: pass decision_function(X, coef, intercept) to the loss"
        )
    return str(reduction)
