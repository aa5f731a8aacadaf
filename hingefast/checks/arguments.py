"""Converts what callers pass, or explains what is wrong with it: with `arrays`, what knows bad input.

The kernels recognise the plain case themselves and come here for everything else; what they find wrong in
the *content* of arrays they hand over as a fault, and the ``raise_*`` functions turn it into an error. A
message names the argument, the rule, the value and the lowest offending position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from hingefast._kernels.table import default_environment
from hingefast.checks.arrays import (
    InvalidCSRError,
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
    "as_alpha",
    "as_class_coef",
    "as_class_intercept",
    "as_class_labels",
    "as_class_weight",
    "as_class_weights",
    "as_classes",
    "as_coef",
    "as_flag",
    "as_intercept",
    "as_labels",
    "as_rate",
    "as_reduction",
    "as_rows",
    "as_theta",
    "as_weights",
    "balanced_weights",
    "binary_index",
    "check_class_count",
    "check_float64",
    "class_index",
    "class_score_arguments",
    "declared_classes",
    "equal_to",
    "finite_weights",
    "intercept_array",
    "raise_linear_fault",
    "raise_target_fault",
    "score_arguments",
    "signs",
    "theta_dtype",
    "true_classes",
    "weight_exponent",
    "zero_weight_message",
]

Array = npt.NDArray[Any]

# As in hingefast/_loops/loops.h.
FAULT_INDPTR, FAULT_INDEX, FAULT_LABEL, FAULT_WEIGHT, FAULT_ROW = 1, 2, 3, 4, 5
VALUE, SLOPE = 1, 2
INT64_MIN = -(2**63)
MAX_CLASSES = 2**31  # the kernels count columns in 32 bits
MAX_EXACT = 2**53  # integers up to here are exact in float64; beyond, NumPy may have rounded a list of labels
SHOWN_LABELS = 8  # of the declared ones in a message
PIECE_ROWS = 65536  # labels and weights looked at together in NumPy
INT64 = np.dtype(np.int64)  # of row numbers that need no conversion
# Of theta and coef; comparing with dtypes is faster than with types.
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


# ---- the keywords that all calls share ----------------------------------------------------------------


def as_reduction(reduction: Any) -> str:
    """``"mean"``, ``"sum"`` or ``"none"``."""
    if not isinstance(reduction, str):
        raise TypeError(f"reduction must be a str, got {type_name(reduction)}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {quote(reduction)}, must be 'mean', 'sum' or 'none'")
    return str(reduction)


def as_classes(classes: Any, y: Array | None) -> tuple[float, float]:
    """The pair (negative, positive) of binary labels; (0, 1) for boolean `y` by default, else (-1, 1)."""
    if classes is None:
        return (0, 1) if y is not None and y.dtype.kind == "b" else (-1, 1)
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
    return negative, positive


def _as_label(value: Any) -> float:
    """One of a pair of labels as a Python number."""
    if type(value) is float or (type(value) is int and INT64_MIN <= value < 2**64):
        return value
    array = real_array(value, "classes")
    return array.item() if array.dtype.itemsize <= 8 else to_float(array)


def declared_classes(classes: Any) -> tuple[int, Array | None]:
    """The number of classes and their labels as int64, a copy; None for the labels 0 to K - 1 of an int K."""
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


def check_class_count(arrangement: Any, n_classes: int, what: str) -> None:
    """Nothing, or an error where the loss itself is made for another number of classes."""
    if arrangement.n_classes not in (0, n_classes):
        raise ValueError(f"cost is {arrangement.n_classes} x {arrangement.n_classes} but {what}")
    if arrangement.k >= n_classes:
        raise ValueError(f"k is {arrangement.k}, must be below the number of classes, but {what}")


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


def as_class_weight(class_weight: Any) -> tuple[float, float] | None:
    """Weights of the negative and the positive class of a binary loss, or None."""
    weights = as_class_weights(class_weight, 2)
    return None if weights is None else (float(weights[0]), float(weights[1]))


def as_labels(y: Any, n_rows: int, of: str) -> Array:
    """`y` as a real array of shape (n_rows,)."""
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


def zero_weight_message(n_rows: int) -> str:
    """Why a mean does not exist."""
    if n_rows == 0:
        return "the mean of no rows is undefined; pass rows, or reduction='sum'"
    return f"the weights of all {n_rows} rows sum to 0, so their mean is undefined; pass reduction='sum'"


# ---- scores -----------------------------------------------------------------------------------------


def score_arguments(
    want: int,
    y: Any,
    scores: Any,
    sample_weight: Any,
    class_weight: Any,
    classes: Any,
    reduction: Any,
    out: Any,
) -> tuple[Any, ...]:
    """Everything a pass over scores needs, converted; see `hingefast._kernels.scores.evaluate`.

    Returns
    -------
    y, scores, is_f64, sample_weight, class_weight, classes, reduction, values, grad
        `values` is the array of per-row values for ``reduction="none"``, `grad` that of the gradient; None where
        not asked for. All arrays are views of our own; `Loss` returns the caller's `out` in their place.
    """
    array = real_array(scores, "scores", is_vector=True)
    if array.ndim != 1:
        hint = ravel_hint(scores, array, "scores")
        if array.ndim == 2 and not hint:
            hint = "; for K classes take a loss such as CrammerSinger()"
        raise ValueError(f"scores must be 1-D for a binary loss, got shape {array.shape}{hint}")
    labels = as_labels(y, array.shape[0], "scores")
    weights = as_weights(sample_weight, array.shape[0], "scores")
    pair = as_class_weight(class_weight)
    negative_positive = as_classes(classes, labels)
    reduction = as_reduction(reduction)
    inputs = {
        "scores": array,
        "y": labels,
        "sample_weight": weights,
        "class_weight": class_weight,
        "classes": classes,
    }
    is_f64, values, grad = _score_results(want, reduction == "none", array, out, inputs)
    return labels, array, is_f64, weights, pair, negative_positive, reduction, values, grad


def class_score_arguments(
    arrangement: Any,
    want: int,
    y: Any,
    scores: Any,
    sample_weight: Any,
    class_weight: Any,
    classes: Any,
    reduction: Any,
    out: Any,
) -> tuple[Any, ...]:
    """The same for (n, K) scores; see `hingefast._kernels.class_scores.evaluate`.

    Returns
    -------
    y, scores, is_f64, sample_weight, class_weight, labels, reduction, values, grad
        `class_weight` and `labels` as arrays of shape (K,), or None.
    """
    array = real_array(scores, "scores")
    if array.ndim != 2 or array.shape[1] < 2:
        hint = ""
        if array.ndim == 1 and real_array(y, "y").ndim == 2:
            hint = "; were y and scores swapped? the order is (y, scores)"
        raise ValueError(
            "scores must have shape (n_rows, n_classes) with 2 classes or more for a multiclass loss, "
            f"got shape {array.shape}{hint}"
        )
    n_rows, n_classes = array.shape
    what = f"scores has {n_classes} columns"
    y = as_labels(y, n_rows, "scores")
    sample_weight = as_weights(sample_weight, n_rows, "scores")
    weights = as_class_weights(class_weight, n_classes)
    labels = as_class_labels(classes, n_classes, what)
    check_class_count(arrangement, n_classes, what)
    reduction = as_reduction(reduction)
    inputs = {
        "scores": scores if type(scores) is not np.ndarray and is_frame(scores) else array,
        "y": y,
        "sample_weight": sample_weight,
        "class_weight": class_weight,
        "classes": classes,
    }
    is_f64, values, grad = _score_results(want, reduction == "none", array, out, inputs)
    return y, array, is_f64, sample_weight, weights, labels, reduction, values, grad


def _score_results(
    want: int, per_row: bool, scores: Array, out: Any, inputs: dict[str, Any]
) -> tuple[bool, Array | None, Array | None]:
    """Whether scores are computed in float64; where values of rows and the gradient go, from `out` or new."""
    is_f64 = computes_in_float64(scores.dtype)
    computing = np.dtype(np.float64 if is_f64 else np.float32)
    of_scores = scores.dtype.newbyteorder("=")
    grad_dtype = of_scores if of_scores in (np.float32, np.float64) else np.dtype(np.float64)
    values = grad = None
    if out is not None:
        if want == VALUE and not per_row:
            raise TypeError("a scalar value takes no out; it belongs to reduction='none' or to a gradient")
        if want == VALUE | SLOPE and per_row:
            if not isinstance(out, tuple) or len(out) != 2:
                raise TypeError("out must be the tuple (values, gradient) for reduction='none'")
            values, grad = out
        elif want == VALUE:
            values = out
        else:
            grad = out
    if values is not None:
        values = check_out(values, "out", scores.shape[:1], computing, inputs)
    if grad is not None:
        grad = check_out(grad, "out", scores.shape, grad_dtype, {**inputs, "the other output": values})
    if want & VALUE and per_row and values is None:
        values = new_array(scores.shape[:1], computing, "scores")
    if want & SLOPE and grad is None:
        grad = new_array(scores.shape, grad_dtype, "scores")
    return is_f64, values, grad


# ---- linear models ----------------------------------------------------------------------------------


def as_coef(coef: Any, n_features: int) -> Array:
    """The coefficients of a binary loss, contiguous float32 or float64, in their shape: (d,) or (1, d)."""
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


def _transposed(coef: Any) -> str:
    return "np.transpose(coef)" if isinstance(coef, (list, tuple)) else "coef.T"


def as_intercept(intercept: Any) -> float:
    """The intercept of a binary loss, a number or of shape (1,), as a float."""
    if type(intercept) is float:
        return intercept
    array = intercept_array(intercept)
    if array.shape not in ((), (1,)):
        raise ValueError(f"intercept has shape {array.shape}, must be a number for a binary loss")
    return to_float(array)


def as_class_intercept(intercept: Any, n_classes: int) -> Array:
    """The intercepts of K classes, from a number or of shape (K,), as a new float64 array."""
    array = intercept_array(intercept)
    if array.shape not in ((), (n_classes,)):
        raise ValueError(
            f"intercept has shape {array.shape}, must be a number or ({n_classes},), one for each class"
        )
    with default_environment():
        return np.full(n_classes, array, np.float64)


def intercept_array(intercept: Any) -> Array:
    """Intercepts as the caller gives them: a number, or numbers in whatever shape."""
    if isinstance(intercept, (bool, np.bool_)):
        raise TypeError(f"intercept must be a number, got {intercept!r}")
    return real_array(intercept, "intercept")


def _contiguous(array: Array) -> Array:
    """`array` as it is if it is contiguous native float32 or float64, else as such a copy."""
    if array.dtype in FLOATS and array.flags.c_contiguous and array.flags.aligned:
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


def equal_to(y: Array, label: Any) -> Array:
    """Where numbers of any real dtype are this one exactly: NumPy would round integers beside floats."""
    if y.dtype.kind != "f":
        return np.equal(y, int(label)) if int(label) == label else np.zeros(y.shape, bool)
    exact: Any = np.float64(label)
    if y.dtype.itemsize > 8 and isinstance(label, int):
        exact = np.longdouble(str(int(label)))  # through a float it would lose what makes it one
    is_exact = isinstance(label, float) or int(exact) == label
    return np.equal(y, exact) if is_exact else np.zeros(y.shape, bool)


def binary_index(y: Array, classes: tuple[float, float]) -> Array:
    """0 and 1 for labels of the negative and the positive class, -1 for others."""
    negative, positive = classes
    return np.where(equal_to(y, positive), 1, np.where(equal_to(y, negative), 0, -1))


def class_index(y: Array, n_classes: int, labels: Array | None) -> Array:
    """The place of each label among K classes, -1 for what is none of them."""
    with default_environment():  # NaN and what is too large become some integer, which is unequal
        numbers = y.astype(np.int64)
        known = numbers == y
    if labels is None:
        return np.where(known & (numbers >= 0) & (numbers < n_classes), numbers, -1)
    order = np.argsort(labels)
    index = order[np.minimum(np.searchsorted(labels, numbers, sorter=order), n_classes - 1)]
    return np.where(known & (labels[index] == numbers), index, -1)


def signs(y: Array, classes: tuple[float, float], first: int) -> npt.NDArray[np.float64]:
    """-1 and +1 for a piece of labels that begins at row `first`."""
    y = y.copy()  # read once: a message must not show another label than the one found wrong
    index = binary_index(y, classes)
    bad = np.flatnonzero(index < 0)
    if bad.size:
        _raise_label(y[bad[0]], first + int(bad[0]), classes, y.dtype.kind == "b", None)
    return np.where(index, 1.0, -1.0)


def true_classes(y: Array, n_classes: int, labels: Array | None, first: int) -> Array:
    """The column of each row's class for a piece of labels that begins at row `first`."""
    y = y.copy()  # as in `signs`
    index = class_index(y, n_classes, labels)
    bad = np.flatnonzero(index < 0)
    if bad.size:
        _raise_class_label(y[bad[0]], first + int(bad[0]), n_classes, labels)
    return index


def balanced_weights(
    y: Array,
    classes: Sequence[float] | Array,
    index_of: Callable[[Array], Array],
    sample_weight: Array | None,
) -> Array:
    """N/(K*N_k) for each of K classes, with sums of weights where they are given.

    Parameters
    ----------
    index_of : callable
        The place of each of some labels among `classes`; -1, which is left for the kernels to report, for
        none. `y` is read in pieces.
    """
    parts, exponents = class_totals(y, len(classes), index_of, sample_weight)
    empty = np.flatnonzero(~(parts > 0))
    if empty.size:
        name = write_number(classes[empty[0]])
        raise ValueError(f"class_weight='balanced' needs rows of every class, but class {name} has none")
    with default_environment():
        total, exponent = _scaled_sum(parts, exponents)
        weights: Array = np.ldexp(total / (len(classes) * parts), exponent - exponents)
    huge = np.flatnonzero(~(weights < math.inf))
    if huge.size:
        name = write_number(classes[huge[0]])
        raise ValueError(
            f"class_weight='balanced' would be infinite: sample_weight of class {name} is too small"
        )
    return weights


def weight_exponent(
    y: Array,
    n_classes: int,
    index_of: Callable[[Array], Array],
    sample_weight: Array | None,
    class_weight: Array | None,
) -> tuple[float, int]:
    """The sum of all weights as a number and the exponent of a power of two, which together do not overflow."""
    if class_weight is None:
        if sample_weight is None:
            return float(y.shape[0]), 0
        n_classes, index_of = 1, _first_class
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
        _raise_weight(weights[bad[0]], first + int(bad[0]))
    return weights


# ---- faults that kernels found ------------------------------------------------------------------------


def raise_target_fault(
    kind: int, position: int, row: int, seen: bytes, targets: Any, scores: Any
) -> NoReturn:
    """Raise what a pass found wrong in labels, weights or rows.

    Parameters
    ----------
    position, row : int
        Place in the batch, and in the caller's arrays.
    seen : bytes
        What stood there when it was read.
    scores : ndarray or None
        Where given, it is looked at to tell whether labels and scores were swapped.
    """
    if kind == FAULT_WEIGHT:
        _raise_weight(targets.seen_weight(seen), row)
    if kind == FAULT_ROW:
        number = int.from_bytes(seen[:8], _BYTE_ORDER, signed=True)
        raise ValueError(f"rows[{position}] is {number}, must be in [0, {targets.n_total})")
    label = targets.seen_label(seen)
    if targets.n_classes:
        _raise_class_label(label, row, targets.n_classes, targets.class_labels())
    _raise_label(label, row, targets.class_pair(), targets.labels_are_bool(), scores)


def _raise_weight(weight: Any, row: int) -> NoReturn:
    raise ValueError(f"sample_weight[{row}] is {write_number(weight)}, must be finite and >= 0")


def _raise_label(label: Any, row: int, classes: tuple[float, float], is_bool: bool, scores: Any) -> NoReturn:
    negative, positive = classes
    if scores is not None and _look_like_labels(scores, negative, positive):
        hint = "; scores hold only labels: were the two swapped? the order is (y, scores)"
    elif is_bool:  # other classes than 0 and 1 are declared, or no label could be wrong
        hint = " (boolean labels are 0 and 1; pass classes=(False, True))"
    elif (negative, positive) == (-1, 1) and label == 0:
        hint = " (pass classes=(0, 1) for 0/1 labels)"
    elif (negative, positive) == (-1, 1) and label == 2:
        hint = " (pass classes=(1, 2) for 1/2 labels)"
    else:
        hint = " (pass classes=(negative, positive) for other labels)"
    rule = f"{write_number(negative)} and {_signed(positive, negative)}"
    raise ValueError(f"y must contain only {rule}; y[{row}] is {write_number(label)}{hint}")


def _raise_class_label(label: Any, row: int, n_classes: int, labels: Array | None) -> NoReturn:
    hint = ""
    if labels is not None:
        shown = [str(number) for number in labels[:SHOWN_LABELS]]
        if n_classes > SHOWN_LABELS:
            shown[-2:] = ["...", str(labels[-1])]
        rule = f"the declared classes {', '.join(shown)}"
    else:
        rule = f"the classes 0 to {n_classes - 1}"
        hint = " (pass classes=[...], the labels in the order of the columns, for others)"
        if label == n_classes:
            hint = f" (pass classes=range(1, {n_classes + 1}) for labels 1 to {n_classes})"
        elif label == -1 and n_classes == 2:
            hint = " (pass classes=(-1, 1) for labels -1 and +1)"
    raise ValueError(f"y must contain only {rule}; y[{row}] is {write_number(label)}{hint}")


def raise_linear_fault(
    kind: int, position: int, row: int, seen: bytes, targets: Any, layout: Any
) -> NoReturn:
    """Raise what a pass over X found wrong."""
    first = int.from_bytes(seen[:8], _BYTE_ORDER, signed=True)
    if kind == FAULT_INDEX:
        raise InvalidCSRError(
            f"X.indices[{position}] (row {row}) is {first}, must be in [0, {layout.n_features})"
        )
    if kind == FAULT_INDPTR:
        second = int.from_bytes(seen[8:16], _BYTE_ORDER, signed=True)
        if second < first:
            raise InvalidCSRError(
                f"X.indptr[{row + 1}] is {second}, must not be below X.indptr[{row}], which is {first}"
            )
        name, value = (f"X.indptr[{row}]", first) if first < 0 else (f"X.indptr[{row + 1}]", second)
        raise InvalidCSRError(f"{name} is {value}, must be in [0, {layout.n_stored}], the entries stored")
    raise_target_fault(kind, position, row, seen, targets, None)


_BYTE_ORDER: Any = "little" if np.little_endian else "big"


def _look_like_labels(scores: Array, negative: float, positive: float) -> bool:
    if scores.dtype.kind == "b":
        return True
    sample = scores[:10000]
    with default_environment():  # a signalling NaN
        return bool(sample.size and np.all(equal_to(sample, negative) | equal_to(sample, positive)))


def _signed(value: float, other: float) -> str:
    """The positive label, with its sign where the other one has one."""
    return f"+{write_number(value)}" if other < 0 < value else write_number(value)
