"""Converts what callers pass, argument by argument, or says what is wrong with it.

A message names the argument, the rule, the value and the lowest offending position. What is wrong in the *content* of
arrays is found by the pass that reads them, and told by `explain`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.given import Given
from hingefast._kernels.labels import Classes, Targets, plain_vector
from hingefast._kernels.questions import WANT_SLOPE, WANT_VALUE
from hingefast._kernels.slopes import OneMargin, ScoreLoss
from hingefast._kernels.table import default_environment
from hingefast.checks import explain
from hingefast.checks.arrays import (
    DOUBLE,
    as_number,
    as_vector,
    call_foreign,
    check_out,
    check_vector,
    computes_in_float64,
    frozen,
    is_frame,
    new_array,
    own_array,
    quote,
    ravel_hint,
    real_array,
    shorten,
    to_float,
    type_name,
    write_number,
)

__all__ = [
    "any_coef",
    "any_scores",
    "as_alpha",
    "as_class_coef",
    "as_class_labels",
    "as_class_weights",
    "as_classes",
    "as_coef",
    "as_flag",
    "as_intercept",
    "as_labels",
    "as_linear_reduction",
    "as_mode",
    "as_rate",
    "as_reduction",
    "as_rows",
    "as_share",
    "as_theta",
    "as_weights",
    "balanced_weights",
    "check_class_count",
    "check_float64",
    "check_no_intercept",
    "class_totals",
    "classes_of_columns",
    "columns",
    "declared_classes",
    "finite_weights",
    "gradient_outputs",
    "intercept_array",
    "score_arguments",
    "theta_dtype",
    "weight_exponent",
]

Array = npt.NDArray[Any]

INT64_MIN = -(2**63)
MAX_CLASSES = 2**31  # the kernels count columns in 32 bits
MAX_EXACT = 2**53  # integers up to here are exact in float64; beyond, NumPy may have rounded a list of labels
PIECE_ROWS = 65536  # labels and weights looked at together in NumPy
INT64 = np.dtype(np.int64)  # of row numbers that need no conversion
# The pairs of labels that binary losses take undeclared.
SIGNS, BOOLS = Classes((-1, 1)), Classes((0, 1))
# Of gradients, theta and coef; comparing with dtypes is faster than with types.
SINGLE = np.dtype(np.float32)
FLOATS = DOUBLE, SINGLE


# ---- the keywords that all calls share ----------------------------------------------------------------


def as_reduction(reduction: Any) -> str:
    """``"mean"``, ``"sum"`` or ``"none"``."""
    if not isinstance(reduction, str):
        raise TypeError(f"reduction must be a str, got {type_name(reduction)}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {quote(reduction)}, must be 'mean', 'sum' or 'none'")
    return str(reduction)


def as_mode(mode: Any) -> str:
    """How a configuration is told."""
    if not isinstance(mode, str) or mode not in ("stdout", "dicts"):
        raise ValueError(f"mode is {quote(mode)}, must be 'stdout' or 'dicts'")
    return mode


def as_linear_reduction(reduction: Any) -> str:
    """``"mean"`` or ``"sum"``."""
    if as_reduction(reduction) == "none":
        raise ValueError(
            "reduction='none' belongs to losses on scores: pass decision_function(X, coef, intercept) to the loss"
        )
    return str(reduction)


def as_classes(classes: Any, y: Array | None) -> Classes:
    """The pair (negative, positive) of binary labels; (0, 1) for boolean `y` by default, else (-1, 1)."""
    if classes is None:
        return BOOLS if y is not None and y.dtype.kind == "b" else SIGNS
    rule = "must be the pair (negative, positive)"
    if isinstance(classes, (int, np.integer)) and not isinstance(classes, bool):
        raise ValueError(f"classes is {shorten(classes)}, {rule} for a binary loss")
    if isinstance(classes, (str, bytes, dict, set)):
        raise TypeError(f"classes {rule}, got {type_name(classes)}")
    if type(classes) not in (list, tuple):
        classes = real_array(classes, "classes", is_vector=True)
    shape = call_foreign("classes", np.shape, classes)
    if shape != (2,):
        raise ValueError(f"classes has shape {shape}, {rule}")
    # One by one: NumPy would round integers beyond int64 to floats.
    negative, positive = (_as_label(value) for value in classes)
    if not (math.isfinite(negative) and math.isfinite(positive)):
        raise ValueError(f"classes is ({negative}, {positive}), must be finite")
    if negative == positive:
        raise ValueError(f"classes is ({negative}, {positive}), must be two different labels")
    if INT64_MIN in (negative, positive):
        raise ValueError(f"classes is ({negative}, {positive}), must be above {INT64_MIN}")
    for label in (negative, positive):
        if y is not None and y.dtype.kind == "f" and y.dtype.itemsize <= 8 and float(label) != label:
            raise ValueError(
                f"classes has the label {label}, which no float in y can equal; pass y as integers"
            )
    return Classes((negative, positive))


def _as_label(value: Any) -> float:
    """One of a pair of labels as a Python number."""
    if type(value) is float or (type(value) is int and INT64_MIN <= value < 2**64):
        return value
    array = real_array(value, "classes")
    return array.item() if array.dtype.itemsize <= 8 else to_float(array)


def declared_classes(classes: Any) -> tuple[int, Array | None]:
    """The number of classes and their labels as int64, a copy; None for the labels 0 to K - 1 of an int K."""
    if classes is None:
        raise ValueError(
            "classes is None, but a multiclass loss needs them declared, not guessed from y: pass the number of "
            "classes, as in classes=10, or their labels, as in classes=[1, 2, 3]"
        )
    if isinstance(classes, (bool, np.bool_)):
        raise TypeError(f"classes must be the number of classes or their labels, got {classes!r}")
    if isinstance(classes, (int, np.integer)):
        if not 2 <= classes < MAX_CLASSES:
            raise ValueError(
                f"classes is {shorten(classes)}, must be at least 2 and below 2^31 for a multiclass loss"
            )
        return int(classes), None
    given = real_array(classes, "classes", is_vector=True)
    if given.ndim != 1 or given.shape[0] < 2:
        raise ValueError(f"classes has shape {given.shape}, must be an int or 2 labels or more")
    given = given.copy()
    with default_environment():  # NaN and what is too large become some integer, which is unequal
        labels = given.astype(np.int64)
        wrong = labels != given
        rounded = np.abs(given) > MAX_EXACT if given.dtype.kind == "f" else np.zeros(given.shape, bool)
        if given.dtype.kind == "f" and isinstance(classes, (list, tuple)):  # integers beside floats
            rounded |= [
                isinstance(c, int) and at != c for c, at in zip(classes, labels.tolist(), strict=True)
            ]
    if (wrong | rounded).any():
        k = int((wrong | rounded).argmax())
        rule = "must be an integer (int64) to be a class label"
        if rounded[k] and np.isfinite(given[k]):
            rule = "a float beyond 2^53, which may have been rounded; pass an array of int64"
        raise ValueError(f"classes[{k}] is {write_number(given[k])}, {rule}")
    order = np.argsort(labels, kind="stable")
    repeated = np.flatnonzero(labels[order[1:]] == labels[order[:-1]])
    if repeated.size:
        first, second = order[repeated[0]], order[repeated[0] + 1]
        raise ValueError(f"classes[{first}] and classes[{second}] are both {labels[first]}, must be distinct")
    return labels.shape[0], frozen(labels)


def as_class_labels(classes: Any, n_classes: int, what: str) -> Array | None:
    """The labels of a multiclass loss as int64, or None for 0 to K - 1; `what` tells where K comes from."""
    if classes is None:
        return None
    declared, labels = declared_classes(classes)
    if declared != n_classes:
        raise ValueError(f"classes declares {declared} classes but {what}")
    return labels


def classes_of_columns(classes: Any, n_classes: int, what: str, loss: ScoreLoss | None = None) -> Classes:
    """The classes of `n_classes` columns, of which `what` tells where they come from, if they fit the loss."""
    labels = as_class_labels(classes, n_classes, what)
    if loss is not None:
        check_class_count(loss, n_classes, what)
    return Classes(labels, n_classes)


def check_class_count(loss: ScoreLoss, n_classes: int, what: str) -> None:
    """Refuse another number of classes than the loss itself is made for."""
    if loss.n_classes not in (0, n_classes):
        raise ValueError(f"cost is {loss.n_classes} x {loss.n_classes} but {what}")
    if loss.k >= n_classes:
        raise ValueError(f"k is {loss.k}, must be below the number of classes, but {what}")


def as_class_weights(class_weight: Any, n_classes: int) -> Array | None:
    """A copy of the weights of `n_classes` classes as float64, or None."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        raise ValueError("class_weight='balanced' needs all of y; pass it to hingefast.Objective")
    rule = f"must be {n_classes} numbers in the order of classes"
    if isinstance(class_weight, str):
        raise ValueError(f"class_weight is {quote(class_weight)}, {rule}")
    if isinstance(class_weight, (dict, set)):
        raise TypeError(f"class_weight {rule}, got {type_name(class_weight)}")
    given = real_array(class_weight, "class_weight", is_vector=True)
    if given.shape != (n_classes,):
        raise ValueError(f"class_weight has shape {given.shape}, {rule}")
    weights, bad = _as_finite(given)
    if bad.size:
        raise ValueError(
            f"class_weight[{bad[0]}] is {write_number(weights[bad[0]])}, must be finite and >= 0"
        )
    return weights


def as_labels(y: Any, n_rows: int, of: str) -> Array:
    """`y` as a real array of shape (n_rows,)."""
    plain: Array | None = plain_vector(y, n_rows)
    if plain is not None:
        return plain
    array = real_array(y, "y", is_vector=True)
    if array.ndim == 2 and array.shape[0] == n_rows and array.shape[1] > 1:
        hint = "y.argmax(axis=1)" if type(y) is np.ndarray else "np.argmax(np.asarray(y), axis=1)"
        raise ValueError(f"y must be 1-D, got shape {array.shape}; pass {hint} for one-hot labels")
    return check_vector(y, array, "y", n_rows, of)


def as_weights(sample_weight: Any, n_rows: int, of: str) -> Array | None:
    """`sample_weight` as a real array of shape (n_rows,), or None."""
    return None if sample_weight is None else as_vector(sample_weight, "sample_weight", n_rows, of)


def as_rows(rows: Any, n_rows: int) -> tuple[int, int, int] | Array | None:
    """A batch as the kernels take it: ``(start, stop, step)`` fitted to `n_rows`, or an int64 array.

    Row numbers are checked where they are used, not here.
    """
    if rows is None:
        return None
    if isinstance(rows, slice):
        return _as_range(rows, n_rows)
    numbers = rows.view() if type(rows) is np.ndarray else own_array(rows, "rows", is_vector=True)
    if numbers.dtype is INT64 and numbers.ndim == 1:
        return numbers
    if numbers.dtype.kind == "b":
        raise TypeError("rows is a boolean mask, must be a slice or integers; pass np.flatnonzero(rows)")
    if numbers.size == 0 and numbers.ndim == 1 and not isinstance(rows, np.ndarray):
        numbers = np.empty(0, np.int64)
    if numbers.dtype.kind not in "iu":
        what = "an array" if isinstance(rows, np.ndarray) else type_name(rows)
        raise TypeError(
            f"rows must be a slice or a 1-D integer array, got {what} of dtype {shorten(numbers.dtype)}"
        )
    if numbers.ndim != 1:
        raise ValueError(f"rows must be 1-D, got shape {numbers.shape}")
    if numbers.dtype.kind == "u" and numbers.dtype.itemsize == 8:
        numbers = numbers.copy()  # what is checked and what is converted are the same
        too_large = np.flatnonzero(numbers > np.uint64(2**63 - 1))
        if too_large.size:
            raise ValueError(f"rows[{too_large[0]}] is {numbers[too_large[0]]}, must be in [0, {n_rows})")
    return numbers.astype(np.int64, copy=False)


def _as_range(rows: slice, n_rows: int) -> tuple[int, int, int]:
    """A slice as start, stop and step that fit `n_rows`, whatever its own parts are."""
    try:
        start, stop, step = rows.indices(n_rows)
    except MemoryError:
        raise
    except Exception as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"rows is {quote(rows)}: {shorten(error)}") from None
    n = len(range(start, stop, step))
    if n < 2:  # the step, which may be beyond any integer of the kernels, does not matter
        return (start, start + 1, 1) if n else (0, 0, 1)
    return start, stop, step


# ---- scores -----------------------------------------------------------------------------------------


def score_arguments(
    loss: ScoreLoss, want: int, y: Any, scores: Any, out: Any, options: tuple[Any, ...]
) -> tuple[Given, Targets, Array | None, Array | None]:
    """Everything a pass over scores needs, converted; see `hingefast._kernels.entry.evaluate`.

    Returns
    -------
    scores, targets, values, grad
        `values` is the array of per-row values for ``reduction="none"``, `grad` that of the gradient; None where
        not asked for. All arrays are views of our own; `Loss` returns the caller's `out` in their place.
    """
    sample_weight, class_weight, classes, reduction, _ = options
    is_binary = isinstance(loss, OneMargin)
    array = _as_scores(scores, y, is_binary)
    labels = as_labels(y, array.shape[0], "scores")
    weights = as_weights(sample_weight, array.shape[0], "scores")
    of_classes = as_class_weights(class_weight, 2 if is_binary else array.shape[1])
    if is_binary:
        declared = as_classes(classes, labels)
    else:
        declared = classes_of_columns(classes, array.shape[1], f"scores has {array.shape[1]} columns", loss)
    reduction = as_reduction(reduction)
    inputs = {
        "scores": scores if type(scores) is not np.ndarray and is_frame(scores) else array,
        "y": labels,
        "sample_weight": weights,
        "class_weight": class_weight,
        "classes": classes,
    }
    is_f64, values, grad = _score_results(want, reduction == "none", array, out, inputs)
    targets = Targets(array.shape[0], declared, labels, weights, of_classes)
    return Given(array, is_f64), targets, values, grad


def any_scores(scores: Any) -> Array:
    """Scores of either kind of loss, (n,) or (n, K)."""
    array = real_array(scores, "scores")
    if array.ndim not in (1, 2) or array.shape[1:] in ((0,), (1,)):
        raise ValueError(
            f"scores must have shape (n,), or (n, K) with K >= 2 classes, got shape {array.shape}"
        )
    return array


def any_coef(coef: Any, n_classes: int | None) -> Array:
    """Coefficients of any number of features, (d,) or (1, d), or (K, d) for K classes."""
    array = real_array(coef, "coef")
    if n_classes is None and array.ndim != 1 and array.shape[:1] != (1,):
        raise ValueError(f"coef has shape {array.shape}, must be (d,) or (1, d)")
    if n_classes is not None and (array.ndim != 2 or array.shape[0] != n_classes):
        raise ValueError(f"coef has shape {array.shape}, must be ({n_classes}, d)")
    return array


def _as_scores(scores: Any, y: Any, is_binary: bool) -> Array:
    """Scores of a binary loss, (n,), or of a multiclass loss, (n, K)."""
    array = real_array(scores, "scores", is_vector=is_binary)
    if is_binary and array.ndim != 1:
        hint = ravel_hint(scores, array, "scores")
        if array.ndim == 2 and not hint:
            hint = "; for K classes take a loss such as CrammerSinger()"
        raise ValueError(f"scores must be 1-D for a binary loss, got shape {array.shape}{hint}")
    if not is_binary and (array.ndim != 2 or array.shape[1] < 2):
        hint = ""
        if array.ndim == 1 and real_array(y, "y").ndim == 2:
            hint = "; were y and scores swapped? the order is (y, scores)"
        raise ValueError(
            "scores must have shape (n_rows, n_classes) with 2 classes or more for a multiclass loss, "
            f"got shape {array.shape}{hint}"
        )
    return array


def _score_results(
    want: int, per_row: bool, scores: Array, out: Any, inputs: dict[str, Any]
) -> tuple[bool, Array | None, Array | None]:
    """Whether scores are computed in float64; where values of rows and the gradient go, from `out` or new."""
    is_f64 = computes_in_float64(scores.dtype)
    computing = DOUBLE if is_f64 else SINGLE
    of_scores = scores.dtype.newbyteorder("=")
    grad_dtype = of_scores if of_scores in FLOATS else DOUBLE
    values = grad = None
    if out is not None:
        if want == WANT_VALUE and not per_row:
            raise TypeError("a scalar value takes no out; it belongs to reduction='none' or to a gradient")
        if want == WANT_VALUE | WANT_SLOPE and per_row:
            if not isinstance(out, tuple) or len(out) != 2:
                raise TypeError("out must be the tuple (values, gradient) for reduction='none'")
            values, grad = out
        elif want == WANT_VALUE:
            values = out
        else:
            grad = out
    if values is not None:
        values = check_out(values, "out", scores.shape[:1], computing, inputs)
    if grad is not None:
        grad = check_out(grad, "out", scores.shape, grad_dtype, {**inputs, "the other output": values})
    if want & WANT_VALUE and per_row and values is None:
        values = new_array(scores.shape[:1], computing, "scores")
    if want & WANT_SLOPE and grad is None:
        grad = new_array(scores.shape, grad_dtype, "scores")
    return is_f64, values, grad


# ---- linear models ----------------------------------------------------------------------------------


def as_coef(coef: Any, n_features: int) -> Array:
    """The coefficients of a binary loss, contiguous float32 or float64, in their shape: (d,) or (1, d)."""
    plain: Array | None = plain_vector(coef, n_features)
    if plain is not None:
        return plain
    array = real_array(coef, "coef")
    shape = array.shape
    if shape not in ((n_features,), (1, n_features)):
        if array.ndim == 2 and shape[0] == n_features:
            raise ValueError(
                f"coef has shape {shape}, must be ({n_features},) or (1, {n_features}); pass {_transposed(coef)}"
            )
        if array.ndim == 2 and shape[1] == n_features:
            raise ValueError(
                f"coef has {shape[0]} rows, but a binary loss takes one: shape ({n_features},); for K classes "
                "take a loss such as 'crammer_singer'"
            )
        raise ValueError(f"coef has shape {shape}, must be ({n_features},) for X with {n_features} features")
    return _contiguous(array)


def as_class_coef(coef: Any, n_features: int, n_classes: int | None = None) -> Array:
    """The coefficients of K classes, contiguous float32 or float64, of shape (K, d); any K >= 2 by default."""
    array = real_array(coef, "coef")
    shape = array.shape
    if shape in ((n_features,), (1, n_features)):
        raise ValueError(
            f"coef has shape {shape}, must be (n_classes, {n_features}) with 2 classes or more for a multiclass loss"
        )
    if array.ndim != 2 or shape[1] != n_features or shape[0] < 2:
        hint = f"; pass {_transposed(coef)}" if array.ndim == 2 and shape[0] == n_features else ""
        raise ValueError(
            f"coef has shape {shape}, must be (n_classes, {n_features}) for X with {n_features} features{hint}"
        )
    if n_classes not in (None, shape[0]):
        raise ValueError(f"coef has {shape[0]} rows, must have {n_classes}, one for each class")
    return _contiguous(array)


def gradient_outputs(
    out: Any, coef: Array, is_binary: bool, inputs: dict[str, Any]
) -> tuple[Array, Array | None]:
    """Where to write grad_coef, a view of `out` or a new array; and grad_intercept, None where not in `out`."""
    if out is None:
        return new_array(coef.shape, coef.dtype, "coef"), None
    if is_binary or not isinstance(out, tuple):
        return check_out(out, "out", coef.shape, coef.dtype, inputs), None
    if len(out) != 2:
        raise TypeError("out must be grad_coef or the tuple (grad_coef, grad_intercept)")
    grad = check_out(out[0], "out[0]", coef.shape, coef.dtype, inputs)
    inputs = {**inputs, "out[0]": grad}
    return grad, check_out(out[1], "out[1]", coef.shape[:1], coef.dtype, inputs)


def _transposed(coef: Any) -> str:
    return "np.transpose(coef)" if isinstance(coef, (list, tuple)) else "coef.T"


def as_intercept(intercept: Any, width: int) -> Any:
    """Intercepts: one as a float, from a number or of shape (1,); those of K classes as a new float64 array."""
    if width == 1 and type(intercept) is float:
        return intercept
    array = intercept_array(intercept)
    if width == 1:
        if array.shape not in ((), (1,)):
            raise ValueError(f"intercept has shape {array.shape}, must be a number for a binary loss")
        return to_float(array)
    if array.shape not in ((), (width,)):
        raise ValueError(
            f"intercept has shape {array.shape}, must be a number or ({width},), one for each class"
        )
    with default_environment():
        return np.full(width, array, np.float64)


def check_no_intercept(intercepts: Array) -> None:
    """Refuse intercepts other than 0 where there are none."""
    other = np.flatnonzero(intercepts)
    if other.size:
        raise ValueError(
            f"intercept is {write_number(intercepts[other[0]])}, must be 0 with fit_intercept=False"
        )


def intercept_array(intercept: Any) -> Array:
    """Intercepts as the caller gives them: a number, or numbers in whatever shape."""
    if isinstance(intercept, (bool, np.bool_)):
        raise TypeError(f"intercept must be a number, got {intercept!r}")
    return real_array(intercept, "intercept")


def _contiguous(array: Array) -> Array:
    """`array` as it is if it is contiguous native float32 or float64, else as such a copy."""
    flags = array.flags
    if array.dtype in FLOATS and flags.c_contiguous and flags.aligned:
        return array
    dtype = array.dtype.newbyteorder("=")
    if dtype not in FLOATS:
        with default_environment():  # a long double beyond float64 is infinite
            return array.astype(np.float64, order="C")
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


def as_alpha(alpha: Any) -> float:
    """The regularisation strength: finite and >= 0."""
    value = as_number(alpha, "alpha")
    if not 0 <= value < math.inf:
        raise ValueError(f"alpha is {value}, must be finite and >= 0")
    return value


def as_rate(lr: Any) -> float:
    """A learning rate: finite."""
    value = as_number(lr, "lr")
    if not math.isfinite(value):
        raise ValueError(f"lr is {value}, must be finite")
    return value


def as_flag(value: Any, name: str) -> bool:
    """A bool, and nothing that only looks like one."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a bool, got {type_name(value)}")
    return bool(value)


def as_share(value: Any, name: str) -> bool | float:
    """A flag, or a number >= 0 that says how much of it."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = as_number(value, name)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} is {number}, must be True, False or a finite number >= 0")
    return number


def theta_dtype(theta: Any) -> np.dtype[Any]:
    """The dtype of a theta that is to be changed in place: float32 or float64."""
    array = real_array(theta, "theta")
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"theta has dtype {array.dtype}, must be float32 or float64")
    return array.dtype.newbyteorder("=")


def check_float64(dtype: Any) -> None:
    """Nothing, or float64 spelt any way; all else is an error."""
    if dtype is None:
        return
    try:
        wanted = np.dtype(dtype)
    except MemoryError:
        raise
    except Exception:
        raise TypeError(f"dtype is {quote(dtype)}, must be float64 or None") from None
    if wanted != np.float64:
        raise ValueError(f"dtype is {shorten(wanted)}, must be float64 or None")


def as_theta(theta: Any, name: str, size: int) -> Array:
    """`theta` as a contiguous float32 or float64 vector of `size` numbers."""
    array = real_array(theta, name)
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {array.shape}, must be ({size},)")
    return _contiguous(array)


# ---- labels and weights in NumPy, for what needs no kernel --------------------------------------------


def columns(y: Array, classes: Classes, first: int) -> Array:
    """The place of each label among the classes, for a piece of labels that begins at row `first`."""
    y = y.copy()  # read once: a message must not show another label than the one found wrong
    index: Array = classes.index(y)
    bad = np.flatnonzero(index < 0)
    if bad.size and classes.n_classes:
        raise explain.class_label(y[bad[0]], first + int(bad[0]), classes.n_classes, classes.labels)
    if bad.size:
        raise explain.pair_label(y[bad[0]], first + int(bad[0]), classes.labels, y.dtype.kind == "b", None)
    return index


def balanced_weights(y: Array, classes: Classes, sample_weight: Array | None) -> Array:
    """N/(K*N_k) for each of K classes, with sums of weights where they are given; `y` is read in pieces."""
    parts, exponents = class_totals(y, classes.count, classes.index, sample_weight)
    empty = np.flatnonzero(~(parts > 0))
    if empty.size:
        name = write_number(_label(classes, int(empty[0])))
        raise ValueError(f"class_weight='balanced' needs rows of every class, but class {name} has none")
    with default_environment():
        total, exponent = _scaled_sum(parts, exponents)
        weights: Array = np.ldexp(total / (classes.count * parts), exponent - exponents)
    huge = np.flatnonzero(~(weights < math.inf))
    if huge.size:
        name = write_number(_label(classes, int(huge[0])))
        raise ValueError(
            f"class_weight='balanced' would be infinite: sample_weight of class {name} is too small"
        )
    return weights


def _label(classes: Classes, place: int) -> Any:
    return place if classes.labels is None else classes.labels[place]


def weight_exponent(
    y: Array, classes: Classes, sample_weight: Array | None, class_weight: Array | None
) -> tuple[float, int]:
    """The sum of all weights as a number and the exponent of a power of two, which together do not overflow."""
    if class_weight is None and sample_weight is None:
        return float(y.shape[0]), 0
    n_classes, index_of = (1, _first_class) if class_weight is None else (classes.count, classes.index)
    parts, exponents = class_totals(y, n_classes, index_of, sample_weight)
    if class_weight is not None:
        mantissas, more = np.frexp(class_weight)
        parts, exponents = parts * mantissas, exponents + more
    return _scaled_sum(parts, exponents)


def _first_class(y: Array) -> Array:
    return np.zeros(y.shape, np.intp)


def _scaled_sum(parts: Array, exponents: Array) -> tuple[float, int]:
    """The sum of parts*2**exponents as a number and an exponent: what vanishes is too small to count."""
    is_used = parts > 0
    if not is_used.any():
        return 0.0, 0
    mantissas, more = np.frexp(parts[is_used])
    exponents = exponents[is_used] + more
    largest = int(exponents.max())
    with default_environment():
        return float(np.ldexp(mantissas, exponents - largest).sum()), largest


def class_totals(
    y: Array, n_classes: int, index_of: Callable[[Array], Array], sample_weight: Array | None
) -> tuple[Array, Array]:
    """Sums of weights of each class as numbers and exponents of powers of two; without weights, of ones.

    Weights are scaled by the largest of their class, so that neither tiny nor huge ones make the sum inexact.
    """
    pieces = range(0, y.shape[0], PIECE_ROWS)
    exponents = np.zeros(n_classes, np.intc)
    if sample_weight is not None:
        largest = np.zeros(n_classes)
        for start in pieces:
            index, weight = _piece(y, index_of, sample_weight, start)
            np.maximum.at(largest, index, weight)
        exponents = np.frexp(largest)[1]
    totals = np.zeros(n_classes)
    with default_environment():
        for start in pieces:
            index, weight = _piece(y, index_of, sample_weight, start)
            if weight is not None:
                weight = np.ldexp(weight, -exponents[index])
            totals += np.bincount(index, weight, n_classes)
    return totals, exponents


def _piece(
    y: Array, index_of: Callable[[Array], Array], sample_weight: Array | None, start: int
) -> tuple[Array, Any]:
    """Classes and weights of the rows from `start` on whose label is one of the classes."""
    rows = slice(start, start + PIECE_ROWS)
    index = index_of(y[rows])
    known = index >= 0
    weight = None if sample_weight is None else finite_weights(sample_weight[rows], start)[known]
    return index[known], weight


def _as_finite(given: Array) -> tuple[npt.NDArray[np.float64], Array]:
    """A copy of weights as float64, and the places of those that are not finite and >= 0."""
    with default_environment():
        weights = given.astype(np.float64)
        return weights, np.flatnonzero(~((weights >= 0) & (weights < math.inf)))


def finite_weights(sample_weight: Array, first: int) -> npt.NDArray[np.float64]:
    """A piece of weights that begins at row `first`, as float64."""
    weights, bad = _as_finite(sample_weight)
    if bad.size:
        raise explain.weight(weights[bad[0]], first + int(bad[0]))
    return weights
