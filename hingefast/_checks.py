"""Converts what callers pass, or explains what is wrong with it: the only file that knows bad input.

The kernels recognise the plain case themselves and come here for everything else; what they find wrong in
the *content* of arrays they hand over as a fault, and the ``raise_*`` functions turn it into an error. A
message names the argument, the rule, the value and the lowest offending position.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

__all__ = [
    "InvalidCSRError",
    "as_alpha",
    "as_class_weight",
    "as_classes",
    "as_coef",
    "as_flag",
    "as_intercept",
    "as_labels",
    "as_number",
    "as_rate",
    "as_reduction",
    "as_rows",
    "as_theta",
    "as_vector",
    "as_weights",
    "balanced_weights",
    "check_float64",
    "check_out",
    "computes_in_float64",
    "csr_parts",
    "finite_weights",
    "raise_linear_fault",
    "raise_target_fault",
    "real_array",
    "score_arguments",
    "shorten",
    "signs",
    "theta_dtype",
    "zero_weight_message",
]

Array = npt.NDArray[Any]

# As in hingefast/_loops/loops.h.
FAULT_INDPTR, FAULT_INDEX, FAULT_LABEL, FAULT_WEIGHT, FAULT_ROW = 1, 2, 3, 4, 5
VALUE, SLOPE = 1, 2
INT64_MIN = -(2**63)


class InvalidCSRError(ValueError):
    """The structure of a CSR matrix is broken: its row pointers, column indices or their lengths."""


# ---- arrays ---------------------------------------------------------------------------------------


def real_array(x: Any, name: str) -> Array:
    """`x` as an ndarray of real numbers, without a copy where it is one.

    Raises
    ------
    TypeError
        For masked arrays (the mask would be ignored), sparse matrices, and anything whose dtype is not
        bool, integer or float.
    """
    if type(x) is not np.ndarray:
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array, whose mask would be ignored; pass {name}.filled(...)")
        if hasattr(x, "tocsr"):
            raise TypeError(f"{name} is a sparse matrix, must be an array; pass {name}.toarray()")
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise ValueError(f"{name} is not a regular array: {shorten(error)}") from None
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {shorten(x.dtype)}, must be bool, integer or float")
    return x  # type: ignore[no-any-return]


def as_vector(x: Any, name: str, n_rows: int, of: str) -> Array:
    """`x` as a real array of shape (n_rows,), as many as `of` has."""
    array = real_array(x, name)
    if array.ndim != 1:
        hint = f"; pass {name}.ravel()" if array.ndim == 2 and 1 in array.shape else ""
        raise ValueError(f"{name} must be 1-D, got shape {array.shape}{hint}")
    if array.shape[0] != n_rows:
        raise ValueError(f"{name} has {array.shape[0]} rows but {of} has {n_rows}")
    return array


def computes_in_float64(dtype: np.dtype[Any]) -> bool:
    """Whether scores of data of this dtype are computed in float64: all but small types are."""
    return not (dtype.kind == "b" or dtype.itemsize <= 2 or (dtype.kind == "f" and dtype.itemsize == 4))


def check_out(
    out: Any, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike, inputs: dict[str, Any]
) -> Array:
    """`out`, if a result of this shape and dtype can be written to it.

    Parameters
    ----------
    inputs : dict
        What `out` must not share memory with, by name, judged by address ranges; anything but ndarrays is
        skipped.
    """
    dtype = np.dtype(dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, got {type(out).__name__}")
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, must be a plain numpy array")
    if out.shape != shape:
        raise ValueError(f"{name} has shape {out.shape}, must have {shape}")
    if out.dtype != dtype or not out.dtype.isnative:
        raise ValueError(f"{name} has dtype {shorten(out.dtype)}, must have {dtype}")
    if not out.flags.c_contiguous or not out.flags.aligned:
        raise ValueError(f"{name} must be C-contiguous and aligned")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only")
    for other, array in inputs.items():
        if isinstance(array, np.ndarray) and np.may_share_memory(out, array):
            raise ValueError(f"{name} overlaps the memory of {other}")
    return out


# ---- the keywords that all calls share ----------------------------------------------------------------


def as_reduction(reduction: Any) -> str:
    """``"mean"``, ``"sum"`` or ``"none"``."""
    if not isinstance(reduction, str):
        raise TypeError(f"reduction must be a str, got {type(reduction).__name__}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {shorten(reduction)!r}, must be 'mean', 'sum' or 'none'")
    return str(reduction)


def as_classes(classes: Any, y: Array | None) -> tuple[float, float]:
    """The pair (negative, positive) of binary labels; (0, 1) for boolean `y` by default, else (-1, 1)."""
    if classes is None:
        return (0, 1) if y is not None and y.dtype.kind == "b" else (-1, 1)
    if isinstance(classes, (int, np.integer)) and not isinstance(classes, bool):
        raise ValueError(f"classes is {classes}, must be the pair (negative, positive) for a binary loss")
    if isinstance(classes, (str, bytes, dict, set)):
        raise TypeError(f"classes must be the pair (negative, positive), got {type(classes).__name__}")
    shape = np.shape(classes)
    if shape != (2,):
        raise ValueError(f"classes has shape {shape}, must be the pair (negative, positive)")
    # One by one: NumPy would round integers beyond int64 to floats.
    negative, positive = (real_array(value, "classes").item() for value in classes)
    if not (math.isfinite(negative) and math.isfinite(positive)):
        raise ValueError(f"classes is ({negative}, {positive}), must be finite")
    if negative == positive:
        raise ValueError(f"classes is ({negative}, {positive}), must be two different labels")
    if INT64_MIN in (negative, positive):
        raise ValueError(f"classes is ({negative}, {positive}), must be above {INT64_MIN}")
    return negative, positive


def as_class_weight(class_weight: Any) -> tuple[float, float] | None:
    """Weights of the negative and the positive class, or None."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if class_weight == "balanced":
            raise ValueError("class_weight='balanced' needs all of y; pass it to hingefast.Objective")
        raise ValueError(
            f"class_weight is {shorten(class_weight)!r}, must be two numbers in the order of classes"
        )
    if isinstance(class_weight, (dict, set)):
        raise TypeError(
            "class_weight must be two numbers in the order of classes, got " + type(class_weight).__name__
        )
    pair = real_array(class_weight, "class_weight")
    if pair.shape != (2,):
        raise ValueError(f"class_weight has shape {pair.shape}, must be two numbers in the order of classes")
    for k, value in enumerate(pair.tolist()):
        if not (0 <= value < math.inf):
            raise ValueError(f"class_weight[{k}] is {value}, must be finite and >= 0")
    return float(pair[0]), float(pair[1])


def as_labels(y: Any, n_rows: int, of: str) -> Array:
    """`y` as a real array of shape (n_rows,)."""
    return as_vector(y, "y", n_rows, of)


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
        return rows.indices(n_rows)
    if isinstance(rows, np.ma.MaskedArray):
        raise TypeError("rows is a masked array, whose mask would be ignored")
    numbers = np.asarray(rows)
    if numbers.dtype.kind == "b":
        raise TypeError("rows is a boolean mask, must be a slice or integers; pass np.flatnonzero(rows)")
    if numbers.size == 0 and numbers.ndim == 1 and not isinstance(rows, np.ndarray):
        numbers = numbers.astype(np.int64)
    if numbers.dtype.kind not in "iu":
        what = "an array" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise TypeError(
            f"rows must be a slice or a 1-D integer array, got {what} of dtype {shorten(numbers.dtype)}"
        )
    if numbers.ndim != 1:
        raise ValueError(f"rows must be 1-D, got shape {numbers.shape}")
    if numbers.dtype == np.uint64:
        too_large = np.flatnonzero(numbers > np.uint64(2**63 - 1))
        if too_large.size:
            raise ValueError(f"rows[{too_large[0]}] is {numbers[too_large[0]]}, must be in [0, {n_rows})")
    return numbers.astype(np.int64, copy=False)


def zero_weight_message(n_rows: int) -> str:
    """Why a mean does not exist."""
    if n_rows == 0:
        return "the mean of no rows is undefined; pass rows, or reduction='sum'"
    return f"the weights of all {n_rows} rows sum to 0, so their mean is undefined; pass reduction='sum'"


def balanced_weights(
    y: Array, classes: tuple[float, float], sample_weight: Array | None
) -> tuple[float, float]:
    """N/(2*N_k) for both classes, with sums of weights where they are given.

    Reads `y` in pieces; labels other than the two classes are left for the kernels to report.
    """
    totals = [0.0, 0.0]
    for start in range(0, y.shape[0], 65536):
        part = y[start : start + 65536]
        weight = None if sample_weight is None else sample_weight[start : start + 65536].astype(np.float64)
        for k in (0, 1):
            chosen = part == classes[k]
            totals[k] += float(np.count_nonzero(chosen) if weight is None else weight[chosen].sum())
    for k in (0, 1):
        if not totals[k] > 0:
            raise ValueError(
                f"class_weight='balanced' needs rows of both classes, but class {_number(classes[k])} has none"
            )
    return sum(totals) / (2 * totals[0]), sum(totals) / (2 * totals[1])


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
        `values` is the array of per-row values for ``reduction="none"``, `grad` that of the gradient;
        None where not asked for.
    """
    scores = real_array(scores, "scores")
    if scores.ndim != 1:
        raise ValueError(
            f"scores must be 1-D for a binary loss, got shape {scores.shape}"
            + ("; pass scores.ravel()" if scores.ndim == 2 and 1 in scores.shape else "")
        )
    n_rows = scores.shape[0]
    y = as_labels(y, n_rows, "scores")
    sample_weight = as_weights(sample_weight, n_rows, "scores")
    class_weight = as_class_weight(class_weight)
    classes = as_classes(classes, y)
    reduction = as_reduction(reduction)
    is_f64 = computes_in_float64(scores.dtype)
    computing = np.dtype(np.float64 if is_f64 else np.float32)
    of_scores = scores.dtype.newbyteorder("=")
    grad_dtype = of_scores if of_scores in (np.float32, np.float64) else np.dtype(np.float64)

    per_row = reduction == "none"
    values_out = grad_out = None
    if out is not None:
        if want == VALUE and not per_row:
            raise TypeError("a scalar value takes no out; it belongs to reduction='none' or to a gradient")
        if want == VALUE | SLOPE and per_row:
            if not isinstance(out, tuple) or len(out) != 2:
                raise TypeError("out must be the tuple (values, gradient) for reduction='none'")
            values_out, grad_out = out
        elif want == VALUE:
            values_out = out
        else:
            grad_out = out
    inputs = {"y": y, "scores": scores, "sample_weight": sample_weight}
    if values_out is not None:
        check_out(values_out, "out", (n_rows,), computing, inputs)
    if grad_out is not None:
        check_out(grad_out, "out", (n_rows,), grad_dtype, {**inputs, "the other output": values_out})
    if want & VALUE and per_row and values_out is None:
        values_out = np.empty(n_rows, computing)
    if want & SLOPE and grad_out is None:
        grad_out = np.empty(n_rows, grad_dtype)
    return y, scores, is_f64, sample_weight, class_weight, classes, reduction, values_out, grad_out


# ---- linear models ----------------------------------------------------------------------------------


def csr_parts(X: Any) -> tuple[Array, Array, Array, int] | None:
    """Checked parts of a CSR matrix, or None if `X` is not sparse; each attribute of `X` is read once.

    Returns
    -------
    data, indices, indptr : ndarray
        `indptr` contiguous and native.
    n_features : int

    Raises
    ------
    TypeError
        For another sparse format, and for dtypes other than real data and int32 or int64 indices.
    InvalidCSRError
        For lengths and first and last row pointers that do not fit together. The rest of the structure is
        checked while it is read.
    """
    if isinstance(X, (np.ndarray, list, tuple)):
        return None
    indptr = getattr(X, "indptr", None)
    if indptr is None and not hasattr(X, "tocsr"):
        return None
    layout = getattr(X, "format", "csr")
    if indptr is None or (isinstance(layout, str) and layout != "csr"):
        raise TypeError(f"X is a sparse matrix in format {shorten(layout)!r}, must be 'csr'; pass X.tocsr()")
    try:
        indices, data, shape = X.indices, X.data, X.shape
    except AttributeError as error:
        raise TypeError(
            f"X must be an array or a CSR matrix with indptr, indices, data and shape: {error}"
        ) from None
    try:
        n_rows, n_features = (int(size) for size in shape)
    except (TypeError, ValueError):
        raise ValueError(f"X must have two dimensions, got shape {shorten(shape)}") from None
    if n_rows < 0 or n_features < 0:
        raise InvalidCSRError(f"X.shape is {(n_rows, n_features)}, must not be negative")
    data = real_array(data, "X.data")
    numbers = []
    for name, part in (("X.indices", indices), ("X.indptr", indptr)):
        part = real_array(part, name)
        if part.dtype.kind != "i" or part.dtype.itemsize not in (4, 8):
            raise TypeError(f"{name} has dtype {part.dtype}, must be int32 or int64")
        if part.ndim != 1:
            raise InvalidCSRError(f"{name} must be 1-D, got shape {part.shape}")
        numbers.append(part)
    indices, indptr = numbers
    if data.ndim != 1:
        raise InvalidCSRError(f"X.data must be 1-D, got shape {data.shape}")
    if indptr.shape[0] != n_rows + 1:
        raise InvalidCSRError(
            f"X.indptr has {indptr.shape[0]} entries, must have {n_rows + 1} for {n_rows} rows"
        )
    if indices.shape[0] != data.shape[0]:
        raise InvalidCSRError(f"X.indices has {indices.shape[0]} entries but X.data has {data.shape[0]}")
    indptr = np.require(indptr, indptr.dtype.newbyteorder("="), ["C_CONTIGUOUS", "ALIGNED"])
    if indptr[0] != 0:
        raise InvalidCSRError(f"X.indptr[0] is {indptr[0]}, must be 0")
    if not 0 <= indptr[-1] <= data.shape[0]:
        raise InvalidCSRError(
            f"X.indptr[{n_rows}] is {indptr[-1]}, must be in [0, {data.shape[0]}], the entries stored"
        )
    return data, indices, indptr, n_features


def as_coef(coef: Any, n_features: int) -> tuple[Array, tuple[int, ...]]:
    """`coef` as a contiguous (n_features,) vector of float32 or float64, and the shape it was given in."""
    array = real_array(coef, "coef")
    shape = array.shape
    if shape not in ((n_features,), (1, n_features)):
        if array.ndim == 2 and shape[0] == n_features:
            raise ValueError(
                f"coef has shape {shape}, must be ({n_features},) or (1, {n_features}); pass coef.T"
            )
        if array.ndim == 2 and shape[1] == n_features:
            raise ValueError(f"coef has {shape[0]} rows, but a binary loss takes one: shape ({n_features},)")
        raise ValueError(f"coef has shape {shape}, must be ({n_features},) for X with {n_features} features")
    dtype = array.dtype.newbyteorder("=")
    if dtype not in (np.float32, np.float64):
        dtype = np.dtype(np.float64)
    return np.require(array.reshape(n_features), dtype, ["C_CONTIGUOUS", "ALIGNED"]), shape


def as_intercept(intercept: Any) -> tuple[float, tuple[int, ...]]:
    """`intercept` as a float, and the shape it was given in: () or (1,)."""
    if isinstance(intercept, (bool, np.bool_)):
        raise TypeError(f"intercept must be a number, got {intercept!r}")
    array = real_array(intercept, "intercept")
    if array.shape not in ((), (1,)):
        raise ValueError(f"intercept has shape {array.shape}, must be a number for a binary loss")
    return float(array.reshape(())), array.shape


def as_alpha(alpha: Any) -> float:
    """The regularisation strength: finite and >= 0."""
    value = as_number(alpha, "alpha")
    if not 0 <= value < math.inf:
        raise ValueError(f"alpha is {value}, must be finite and >= 0")
    return value


def as_number(value: Any, name: str) -> float:
    """A real number as a float."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    array = value if isinstance(value, (int, float)) else real_array(value, name)
    if isinstance(array, np.ndarray) and array.ndim:
        raise TypeError(f"{name} has shape {array.shape}, must be a number")
    try:
        return float(array)
    except OverflowError:
        raise ValueError(f"{name} is too large for a float") from None


def as_rate(lr: Any) -> float:
    """A learning rate: finite."""
    value = as_number(lr, "lr")
    if not math.isfinite(value):
        raise ValueError(f"lr is {value}, must be finite")
    return value


def as_flag(value: Any, name: str) -> bool:
    """A bool, and nothing that only looks like one."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")
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
    except TypeError:
        raise TypeError(f"dtype is {shorten(dtype)!r}, must be float64 or None") from None
    if wanted != np.float64:
        raise ValueError(f"dtype is {wanted}, must be float64 or None")


def as_theta(theta: Any, name: str, size: int) -> Array:
    """`theta` as a contiguous float32 or float64 vector of `size` numbers."""
    array = real_array(theta, name)
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {array.shape}, must be ({size},)")
    dtype = array.dtype.newbyteorder("=")
    if dtype not in (np.float32, np.float64):
        dtype = np.dtype(np.float64)
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


# ---- labels and weights in NumPy, for what needs no kernel --------------------------------------------


def signs(y: Array, classes: tuple[float, float], first: int) -> npt.NDArray[np.float64]:
    """-1 and +1 for a piece of labels that begins at row `first`."""
    positive, negative = y == classes[1], y == classes[0]
    bad = np.flatnonzero(~(positive | negative))
    if bad.size:
        row = int(bad[0])
        _raise_label(y[row], first + row, classes, y.dtype.kind == "b", None)
    return np.where(positive, 1.0, -1.0)


def finite_weights(sample_weight: Array, first: int) -> npt.NDArray[np.float64]:
    """A piece of weights that begins at row `first`, as float64."""
    weight = sample_weight.astype(np.float64)
    bad = np.flatnonzero(~((weight >= 0) & (weight < math.inf)))
    if bad.size:
        _raise_weight(sample_weight[bad[0]], first + int(bad[0]))
    return weight


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
    _raise_label(targets.seen_label(seen), row, targets.class_pair(), targets.labels_are_bool(), scores)


def _raise_weight(weight: Any, row: int) -> NoReturn:
    raise ValueError(f"sample_weight[{row}] is {_number(weight)}, must be finite and >= 0")


def _raise_label(label: Any, row: int, classes: tuple[float, float], is_bool: bool, scores: Any) -> NoReturn:
    negative, positive = classes
    rule = "False and True" if is_bool else f"{_number(negative)} and {_signed(positive, negative)}"
    if scores is not None and _look_like_labels(scores, negative, positive):
        hint = "; scores hold only labels: were the two swapped? the order is (y, scores)"
    elif (negative, positive) == (-1, 1) and label == 0:
        hint = " (pass classes=(0, 1) for 0/1 labels)"
    elif (negative, positive) == (-1, 1) and label == 2:
        hint = " (pass classes=(1, 2) for 1/2 labels)"
    else:
        hint = " (pass classes=(negative, positive) for other labels)"
    raise ValueError(f"y must contain only {rule}; y[{row}] is {_number(label)}{hint}")


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
    return bool(sample.size and np.all((sample == negative) | (sample == positive)))


def _number(value: Any) -> str:
    """A label or weight as a person would write it."""
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value:.17g}" if isinstance(value, float) and value.is_integer() else f"{value!r}"


def _signed(value: float, other: float) -> str:
    """The positive label, with its sign where the other one has one."""
    return f"+{_number(value)}" if other < 0 < value else _number(value)


def shorten(value: Any) -> str:
    """Text of something foreign, short enough for a message."""
    text = str(value)
    return text if len(text) <= 100 else text[:97] + "..."
