"""Linear models: value and gradient of a loss of X @ coef.T + intercept in one pass over X, and scores alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.csr import CSR
from hingefast._kernels.dense import Dense
from hingefast._kernels.fortran import Fortran, has_contiguous_columns
from hingefast._kernels.labels import Classes, Targets
from hingefast._kernels.layout import Layout
from hingefast._kernels.problem import Problem
from hingefast._kernels.questions import WANT_SLOPE, WANT_VALUE
from hingefast._kernels.table import default_environment
from hingefast.checks import arguments, arrays
from hingefast.checks.explain import explained
from hingefast.losses import Loss
from hingefast.multiclass import MulticlassLoss
from hingefast.names import get_loss

__all__ = ["decision_function", "linear_value_and_grad"]

Array = npt.NDArray[Any]


def linear_value_and_grad(
    X: Any,
    y: npt.ArrayLike,
    coef: npt.ArrayLike,
    intercept: npt.ArrayLike = 0.0,
    *,
    loss: str | Loss = "hinge",
    alpha: float = 0.0,
    sample_weight: npt.ArrayLike | None = None,
    class_weight: npt.ArrayLike | None = None,
    classes: npt.ArrayLike | None = None,
    reduction: str = "mean",
    rows: Any = None,
    out: Array | tuple[Array, Array] | None = None,
    n_threads: int | None = None,
) -> tuple[float, Array, Any]:
    """Value and gradient of reduction(loss(y, X @ coef.T + intercept)) + alpha/2*||coef||^2 in one pass over X.

    Parameters
    ----------
    X : array_like or CSR of shape (n, d)
        float32 and float64 in C or Fortran order, and CSR with int32 or int64 indices, are read in place;
        whatever else NumPy can index goes through a small tile, as do in Fortran order batches of other than
        consecutive rows, and multiclass losses. Never copied as a whole. CSR is anything with ``indptr``,
        ``indices``, ``data`` and ``shape``. A data frame of numeric or boolean columns is read in place where NumPy
        gets a view of it, as a rule where all columns have one NumPy dtype; else, as where boolean and other columns
        meet and for nullable and Arrow columns, it is copied, once a call. Missing values are an error.
    y : array_like of shape (n,)
        Labels of any real dtype, one of the `classes` each.
    coef : array_like of shape (d,) or (1, d), or (K, d) for a multiclass loss
        Rounded once to the dtype that scores are computed in: float32 where X is float32, float16, bool or an
        8- or 16-bit integer, else float64.
    intercept : float, or array_like of shape (1,), or (K,) for a multiclass loss
        A float stands for the same intercept of every class.
    loss : str or loss object
    alpha : float, default 0.0
        Strength of the penalty alpha/2*||coef||^2, which is added once, whatever the reduction, in float64;
        finite and >= 0. The intercept is not penalised.
    sample_weight : array_like of shape (n,), optional
        Finite and >= 0. A row of weight 0 is left out exactly.
    class_weight : array_like of shape (2,) or (K,), optional
        Weights of the classes in the order of `classes`.
    classes : pair of numbers, int K or array_like of shape (K,), optional
        For a binary loss the labels (negative, positive), by default (-1, +1), or (False, True) for boolean `y`.
        For a multiclass loss the number of classes, or the integers that are their labels in the order of the
        rows of `coef`; by default 0 to K - 1.
    reduction : {"mean", "sum"}
        ``"mean"`` divides the weighted sum of losses by the sum of weights.
    rows : slice or 1-D integer array, optional
        The batch; repeats allowed. Bit for bit the call on ``X[rows], y[rows], sample_weight[rows]``.
    out : ndarray of coef's shape and grad_coef's dtype, optional
        Where to write grad_coef; for a multiclass loss also the tuple ``(grad_coef, grad_intercept)``. Overlaps
        no input. Untouched if the call fails.
    n_threads : int, optional
        The result has the same bits for any number.

    Returns
    -------
    value : float
    grad_coef : ndarray of coef's shape
        float32 for float32 `coef`, else float64.
    grad_intercept : float, or ndarray of shape (1,) where `intercept` has it
        For a multiclass loss an ndarray of shape (K,) in the dtype of grad_coef.

    Raises
    ------
    TypeError, ValueError
        For arguments of the wrong kind, dtype, shape or content; the message names argument and position.
    InvalidCSRError
        For broken CSR structure.

    Notes
    -----
    O(n*d), or O(number of entries), for each class, with one read of X; extra memory: a float64 gradient for each
    thread.

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
    found = get_loss(loss)
    parts: dict[str, Any] = {}
    layout = as_layout(X, inputs=None if out is None else parts)
    is_mean = arguments.as_linear_reduction(reduction) == "mean"
    labels = arguments.as_labels(y, layout.n_rows, "X")
    weights = arguments.as_weights(sample_weight, layout.n_rows, "X")
    is_binary = not isinstance(found, MulticlassLoss)
    if is_binary:
        coefs = arguments.as_coef(coef, layout.n_features)
        declared = arguments.as_classes(classes, labels)
    else:
        coefs = arguments.as_class_coef(coef, layout.n_features)
        what = f"coef has {len(coefs)} rows"
        declared = arguments.classes_of_columns(classes, len(coefs), what, found._bound)
    arrays.check_size(layout.n_features, declared.width)
    given = intercept if type(intercept) is float else arguments.intercept_array(intercept)
    intercepts = arguments.as_intercept(given, declared.width)
    batch = arguments.as_rows(rows, layout.n_rows)
    of_classes = arguments.as_class_weights(class_weight, declared.count)
    targets = Targets(layout.n_rows, declared, labels, weights, of_classes, batch)
    penalty = arguments.as_alpha(alpha), 0.0
    if out is not None:  # for its overlaps
        parts |= {
            "y": labels,
            "sample_weight": weights,
            "class_weight": class_weight,
            "classes": classes,
            "coef": coef,
            "intercept": given,
            "alpha": alpha,
            "rows": rows,
        }
    grad, intercept_out = arguments.gradient_outputs(out, coefs, is_binary, parts)
    problem = Problem(layout, targets, found._bound, penalty, is_mean, n_threads)
    value, grad_intercept = explained(
        problem.value_and_grad, WANT_VALUE | WANT_SLOPE, coefs, intercepts, grad
    )
    if out is not None:  # the caller's very objects, not our views of them
        grad = out[0] if isinstance(out, tuple) else out
    if intercept_out is not None and isinstance(out, tuple):
        intercept_out[:] = grad_intercept
        return value, grad, out[1]
    if given is not intercept and given.shape == (1,):  # it is a float where it is the same
        with default_environment():  # rounded to the dtype of coef
            return value, grad, np.array([grad_intercept], coefs.dtype)
    return value, grad, grad_intercept


def decision_function(
    X: Any,
    coef: npt.ArrayLike,
    intercept: npt.ArrayLike = 0.0,
    *,
    rows: Any = None,
    out: Array | None = None,
    n_threads: int | None = None,
) -> Array:
    """Scores X @ coef.T + intercept.

    Parameters
    ----------
    X, coef, intercept, rows, n_threads
        As in `linear_value_and_grad`; `coef` of K >= 2 rows gives the scores of K classes.
    out : ndarray of the result's shape and dtype, optional
        Where to write the scores. May hold unspecified numbers if the structure of X or `rows` is found broken
        during the pass.

    Returns
    -------
    ndarray of shape (n,), or (n, K) for `coef` of shape (K, d); n is len(rows) where `rows` is given
        float32 where X is float32, float16, bool or an 8- or 16-bit integer, else float64.

    Raises
    ------
    TypeError, ValueError, InvalidCSRError
        As `linear_value_and_grad`.

    Notes
    -----
    O(n*d), or O(number of entries), for each class. The scores have the bits that `linear_value_and_grad` uses inside.

    Examples
    --------
    >>> import numpy as np
    >>> import hingefast as hf
    >>> hf.decision_function(np.array([[1.0, 2.0], [3.0, -1.0]]), [0.5, 0.25], 1.0)
    array([2.  , 2.25])
    >>> hf.decision_function(np.array([[1.0, 2.0], [3.0, -1.0]]), [[0.5, 0.25], [1.0, 0.0]], [1.0, 2.0])
    array([[2.  , 3.  ],
           [2.25, 5.  ]])
    """
    parts: dict[str, Any] = {}
    layout = as_layout(X, inputs=None if out is None else parts)
    given = arrays.real_array(coef, "coef")
    source = coef if isinstance(coef, (list, tuple)) else given  # what a hint in a message is about
    if given.ndim == 2 and given.shape[0] != 1:
        coefs = arguments.as_class_coef(source, layout.n_features)
        declared = Classes(None, len(coefs))
    else:
        coefs = arguments.as_coef(source, layout.n_features)
        declared = arguments.SIGNS
    arrays.check_size(layout.n_features, declared.width)
    intercepts = arguments.as_intercept(intercept, declared.width)
    batch = arguments.as_rows(rows, layout.n_rows)
    problem = Problem(layout, Targets(layout.n_rows, declared, rows=batch), n_threads=n_threads)
    if out is not None:  # for its overlaps
        parts |= {"coef": coef, "intercept": intercept, "rows": rows}
    scores = scores_output(problem, out, parts)
    explained(problem.scores, coefs, intercepts, scores)
    return scores if out is None else out


def as_layout(X: Any, *, float64: bool = False, inputs: dict[str, Any] | None = None) -> Layout:
    """`X` as the kernels read it, in place or through a tile.

    Parameters
    ----------
    float64 : bool
        Whether scores are computed in float64 whatever the dtype of X.
    inputs : dict, optional
        Gets what X consists of, by name, for `arrays.check_out`.
    """
    parts = arrays.csr_parts(X)
    if parts is not None:
        data, indices, indptr, n_features, given_indptr = parts
        if inputs is not None:
            inputs |= {"X.data": data, "X.indices": indices, "X.indptr": given_indptr}
        return CSR(data, indices, indptr, n_features, float64 or arrays.computes_in_float64(data.dtype))
    array = arrays.matrix(X)
    if inputs is not None:
        inputs |= {"X": array} if type(X) is np.ndarray or not arrays.is_frame(X) else arrays.memory(X, "X")
    is_f64 = float64 or arrays.computes_in_float64(array.dtype)
    kind = Fortran if has_contiguous_columns(array, is_f64) else Dense
    return kind(array, is_f64)


def scores_output(problem: Problem, out: Array | None, inputs: dict[str, Any]) -> Array:
    """A view of `out`, checked, or a new array, for the scores of a problem's batch."""
    dtype = np.dtype(np.float64 if problem.layout.is_f64 else np.float32)
    n_rows = problem.targets.n_rows
    shape = (n_rows,) if problem.width == 1 else (n_rows, problem.width)
    if out is None:
        return arrays.new_array(shape, dtype, "X")
    return arrays.check_out(out, "out", shape, dtype, inputs)
