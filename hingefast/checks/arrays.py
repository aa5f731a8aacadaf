"""What callers pass as an array, a CSR matrix or a number: read as such, or refused.

Knows dtypes, shapes and memory, but no loss; `arguments` builds the arguments of each call on it.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.csr import plain_parts
from hingefast._kernels.table import default_environment

__all__ = [
    "DOUBLE",
    "InvalidCSRError",
    "as_integer",
    "as_number",
    "as_threads",
    "as_vector",
    "attribute",
    "call_foreign",
    "check_out",
    "check_size",
    "check_vector",
    "computes_in_float64",
    "csr_parts",
    "describe",
    "euclidean_norm",
    "frozen",
    "is_frame",
    "matrix",
    "memory",
    "new_array",
    "no_count",
    "own_array",
    "quote",
    "ravel_hint",
    "real_array",
    "shorten",
    "to_float",
    "type_name",
    "write_number",
]

Array = npt.NDArray[Any]

DOUBLE = np.dtype(np.float64)
REAL = "biuf"  # kinds of dtypes: bool, signed and unsigned integers, floats
MAX_SHOWN = 100  # characters of anything foreign in a message, of which there are at most three
# Coefficients: kernels count bytes of up to eight float64 for each in a Py_ssize_t.
MAX_COEFS = 2**56


class InvalidCSRError(ValueError):
    """The structure of a CSR matrix is broken: its row pointers, column indices or their lengths."""


def own_array(x: Any, name: str, *, is_vector: bool = False) -> Array:
    """`x` as an ndarray of our own, without a copy where it is an array or a buffer.

    Another thread or a signal handler may set the `shape`, `dtype` or `strides` of an array that callers hold at any
    moment, also between a check and the use of what was checked. Therefore checks and kernels see this view only.

    Parameters
    ----------
    is_vector : bool
        Whether one dimension is wanted; for the hints in messages.

    Raises
    ------
    TypeError, ValueError
        For masked arrays (the mask would be ignored), sparse matrices, missing values, columns of frames that are
        neither numeric nor boolean, and whatever NumPy or the object itself refuses.
    """
    if type(x) is np.ndarray:
        return x.view()
    if type(x) in (list, tuple, float, int):
        return call_foreign(name, np.asarray, x)  # type: ignore[no-any-return]
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be ignored; pass {name}.filled(...)")
    if is_frame(x):
        return _frame_array(x, name)
    if attribute(x, "tocsr") is not None:
        dense = f"{name}.toarray().ravel()" if is_vector else f"{name}.toarray()"
        raise TypeError(f"{name} is a sparse matrix, must be an array; pass {dense}")
    return _column_array(x, name).view()


def real_array(x: Any, name: str, *, is_vector: bool = False) -> Array:
    """`own_array` of real numbers.

    Raises
    ------
    TypeError, ValueError
        As `own_array`, and where the dtype is not bool, integer or float.
    """
    array = x.view() if type(x) is np.ndarray else own_array(x, name, is_vector=is_vector)
    if array.dtype.kind not in REAL:
        is_huge = (isinstance(value, int) and not -(2**63) <= value < 2**64 for value in array.flat)
        if array.dtype.kind == "O" and any(is_huge):  # which NumPy makes objects of
            raise ValueError(f"{name} holds an integer of more than 64 bits")
        raise TypeError(f"{name} has dtype {shorten(array.dtype)}, must be bool, integer or float")
    return array


def call_foreign(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of somebody else returns; whatever it raises becomes an error that names the argument."""
    try:
        return function(*arguments)
    except MemoryError:
        raise
    except Exception as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} cannot be read as an array: {shorten(error)}") from error


def attribute(x: Any, name: str) -> Any:
    """An attribute of a foreign object; None where it has none, or raises something instead."""
    try:
        return getattr(x, name, None)
    except MemoryError:
        raise
    except Exception:
        return None


def is_frame(x: Any) -> bool:
    """Whether `x` is a table of pandas, polars or Arrow. Asks its class: a column may have any name."""
    return hasattr(type(x), "columns") and any(hasattr(type(x), name) for name in ("dtypes", "column_names"))


def _columns(frame: Any) -> list[tuple[Any, Any]]:
    """Labels and columns of a frame, as pandas, Arrow or polars gives them."""
    if hasattr(type(frame), "items"):
        return list(frame.items())
    if hasattr(type(frame), "column_names"):
        return list(zip(frame.column_names, frame.columns, strict=True))
    return [(column.name, column) for column in frame.get_columns()]


def _frame_array(frame: Any, name: str) -> Array:
    """The numbers of a frame: a view where NumPy gets one, else a copy, column by column."""
    dtypes = (
        call_foreign(name, list, attribute(frame, "dtypes")) if hasattr(type(frame), "dtypes") else [None]
    )
    kinds = {dtype.kind if isinstance(dtype, np.dtype) else "O" for dtype in dtypes}
    # pandas makes objects of boolean and other columns together.
    if kinds <= {"i", "u", "f"} or kinds == {"b"}:
        array: Array = call_foreign(name, np.asarray, frame)
        if array.dtype.kind in REAL:
            return array.view()
    columns = []
    for label, column in call_foreign(name, _columns, frame):
        where = f"column {quote(label)} of {name}"
        array = _column_array(column, where)
        dtype = attribute(column, "dtype")
        kind = getattr(dtype, "kind", array.dtype.kind)  # a category of numbers is none
        if array.dtype.kind not in REAL or kind not in REAL:
            raise TypeError(
                f"{where} has dtype {shorten(array.dtype if dtype is None else dtype)}, must be bool, integer or float"
            )
        columns.append(array)
    return call_foreign(name, np.column_stack, columns)  # type: ignore[no-any-return]


def _column_array(x: Any, name: str) -> Array:
    """`x` through `np.asarray`; a value that is missing, which would become NaN or an object, is an error."""
    if isinstance(x, np.ndarray):
        return np.asarray(x)
    dtype = attribute(x, "dtype")
    wanted = None
    if not isinstance(dtype, np.dtype):
        # pandas' own and Arrow's dtypes; then polars' and Arrow's arrays.
        look = attribute(x, "isna") or attribute(x, "is_null")
        if callable(look):
            missing = np.flatnonzero(call_foreign(name, np.asarray, call_foreign(name, look)))
            if missing.size:
                raise ValueError(f"{name} has a missing value at position {missing[0]}")
            wanted = attribute(dtype, "numpy_dtype")  # without it, pandas 2 makes objects
            if not isinstance(wanted, np.dtype) or wanted.kind not in REAL:
                wanted = None
    return call_foreign(name, np.asarray, x, wanted)  # type: ignore[no-any-return]


def memory(x: Any, name: str) -> dict[str, Array]:
    """Arrays over the memory of an argument as the caller passed it, by what to call them; empty where it has none."""
    if isinstance(x, np.ndarray):
        return {name: x}
    if x is None or isinstance(x, (int, float, str, slice, list, tuple)):
        return {}
    try:
        if is_frame(x):
            return {f"column {quote(label)} of {name}": np.asarray(column) for label, column in _columns(x)}
        return {name: np.asarray(x)}
    except MemoryError:
        raise
    except Exception:  # it was read as an array by other means, or will be refused
        return {}


def as_vector(x: Any, name: str, n_rows: int, of: str) -> Array:
    """`x` as a real array of shape (n_rows,), as many as `of` has."""
    return check_vector(x, real_array(x, name, is_vector=True), name, n_rows, of)


def check_vector(x: Any, array: Array, name: str, n_rows: int, of: str) -> Array:
    """`array`, which `x` was read as, if it has the shape (n_rows,)."""
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {array.shape}{ravel_hint(x, array, name)}")
    if array.shape[0] != n_rows:
        raise ValueError(f"{name} has {array.shape[0]} rows but {of} has {n_rows}")
    return array


def ravel_hint(x: Any, array: Array, name: str) -> str:
    """How to make a vector of `x`, which was read as `array`: np.matrix, frames and lists have no ravel that does."""
    if array.ndim != 2 or 1 not in array.shape:
        return ""
    if type(x) is np.ndarray:
        return f"; pass {name}.ravel()"
    if is_frame(x) and hasattr(x, "iloc") and array.shape[1] == 1:
        return f"; pass {name}.iloc[:, 0]"  # which stays right for columns with pandas' own dtypes
    return f"; pass np.ravel(np.asarray({name}))"


def computes_in_float64(dtype: np.dtype[Any]) -> bool:
    """Whether scores of data of this dtype are computed in float64: all but small types are."""
    if dtype is DOUBLE:  # as most are
        return True
    return not (dtype.kind == "b" or dtype.itemsize <= 2 or (dtype.kind == "f" and dtype.itemsize == 4))


def check_out(
    out: Any, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike, inputs: dict[str, Any]
) -> Array:
    """A view of our own of `out`, if a result of this shape and dtype can be written to it.

    Parameters
    ----------
    inputs : dict
        The arguments that `out` must not share memory with, by name and as the caller passed them; judged by address
        ranges.
    """
    dtype = np.dtype(dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, got {type_name(out)}")
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, must be a plain numpy array")
    view = out.view() if type(out) is np.ndarray else own_array(out, name)
    if view.shape != shape:
        raise ValueError(f"{name} has shape {view.shape}, must have {shape}")
    if view.dtype != dtype or not view.dtype.isnative:
        raise ValueError(f"{name} has dtype {shorten(view.dtype)}, must have {dtype}")
    if not view.flags.c_contiguous or not view.flags.aligned:
        raise ValueError(f"{name} must be C-contiguous and aligned")
    if not view.flags.writeable:
        raise ValueError(f"{name} is read-only")
    for other, x in inputs.items():
        if x is None or type(x) is float:
            continue
        if type(x) is np.ndarray:  # the usual case, without a dict
            overlapping = [other] if np.may_share_memory(view, x) else []
        else:
            overlapping = [
                label for label, array in memory(x, other).items() if np.may_share_memory(view, array)
            ]
        if overlapping:
            raise ValueError(f"{name} overlaps the memory of {overlapping[0]}")
    return view


def frozen(array: Array) -> Array:
    """A read-only copy that nobody can make writable: the memory is that of a bytes object."""
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


def new_array(shape: tuple[int, ...], dtype: npt.DTypeLike, of: str) -> Array:
    """A new array for a result whose size the argument `of` decides."""
    try:
        return np.empty(shape, dtype)
    except ValueError:  # more bytes than there are addresses
        raise ValueError(f"{of} is too large: a result of shape {shape} does not fit into memory") from None


def csr_parts(X: Any) -> tuple[Array, Array, Array, int, Array] | None:
    """Checked parts of a CSR matrix, or None if `X` is not sparse; each attribute of `X` is read once.

    Returns
    -------
    data, indices, indptr : ndarray
        `indptr` contiguous and native.
    n_features : int
    given_indptr : ndarray
        Before it was made so.

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
    indptr = attribute(X, "indptr")
    if type(indptr) is not np.ndarray:  # which no column of a table is
        if is_frame(X) or (indptr is None and attribute(X, "tocsr") is None):
            return None
    layout = attribute(X, "format")
    if indptr is None or (isinstance(layout, str) and layout != "csr"):
        raise TypeError(f"X is a sparse matrix in format {quote(layout)}, must be 'csr'; pass X.tocsr()")
    try:
        indices, data, shape = X.indices, X.data, X.shape
    except MemoryError:
        raise
    except Exception as error:
        raise TypeError(
            f"X must be an array or a CSR matrix with indptr, indices, data and shape: {shorten(error)}"
        ) from None
    plain = plain_parts(data, indices, indptr, shape)
    if plain is not None:
        data, indices, indptr, n_features = plain
        return data, indices, indptr, n_features, indptr
    n_rows, n_features = _matrix_shape(shape)
    data = real_array(data, "X.data")
    numbers = []
    for name, part in (("X.indices", indices), ("X.indptr", indptr)):
        part = real_array(part, name)
        if part.dtype.kind != "i" or part.dtype.itemsize not in (4, 8):
            raise TypeError(f"{name} has dtype {part.dtype}, must be int32 or int64")
        if part.ndim != 1:
            raise InvalidCSRError(f"{name} must be 1-D, got shape {part.shape}")
        numbers.append(part)
    indices, given_indptr = numbers
    if data.ndim != 1:
        raise InvalidCSRError(f"X.data must be 1-D, got shape {data.shape}")
    if given_indptr.shape[0] != n_rows + 1:
        raise InvalidCSRError(
            f"X.indptr has {given_indptr.shape[0]} entries, must have {n_rows + 1} for {n_rows} rows"
        )
    if indices.shape[0] != data.shape[0]:
        raise InvalidCSRError(f"X.indices has {indices.shape[0]} entries but X.data has {data.shape[0]}")
    indptr = given_indptr
    if not (indptr.flags.c_contiguous and indptr.flags.aligned and indptr.dtype.isnative):
        indptr = np.require(indptr, indptr.dtype.newbyteorder("="), ["C_CONTIGUOUS", "ALIGNED"])
    first, last = indptr.item(0), indptr.item(-1)
    if first != 0:
        raise InvalidCSRError(f"X.indptr[0] is {first}, must be 0")
    if not 0 <= last <= data.shape[0]:
        raise InvalidCSRError(
            f"X.indptr[{n_rows}] is {last}, must be in [0, {data.shape[0]}], the entries stored"
        )
    return data, indices, indptr, n_features, given_indptr


def matrix(X: Any) -> Array:
    """`X` as a real array of shape (n_rows, n_features)."""
    array = real_array(X, "X")
    if array.ndim != 2:
        raise ValueError(f"X must be 2-D (n_rows, n_features), got shape {array.shape}")
    check_size(array.shape[1])
    return array


def _matrix_shape(shape: Any) -> tuple[int, int]:
    """The shape that a CSR matrix says it has: two integers."""
    try:
        n_rows, n_features = (operator.index(size) for size in shape)
    except MemoryError:
        raise
    except Exception:
        raise ValueError(f"X must have two dimensions, both integers, got shape {quote(shape)}") from None
    if n_rows < 0 or n_features < 0:
        raise InvalidCSRError(f"X.shape is {quote((n_rows, n_features))}, must not be negative")
    if n_rows > sys.maxsize - 1:
        raise InvalidCSRError(f"X.shape is {quote((n_rows, n_features))}, must be below 2^63")
    check_size(n_features)
    return n_rows, n_features


def check_size(n_features: int, n_classes: int = 1) -> None:
    """Nothing, or an error where a gradient would have more bytes than kernels can count."""
    if n_features * n_classes > MAX_COEFS:
        of = f" for {n_classes} classes" if n_classes > 1 else ""
        raise ValueError(f"X has {shorten(n_features)} features, too many{of}")


def euclidean_norm(*arrays: npt.ArrayLike) -> float:
    """The root of the sum of the squares of all numbers, in float64.

    It neither overflows nor underflows where the result does not: the numbers are scaled by a power of two first. NaN
    where one of them is NaN.
    """
    with default_environment():  # what vanishes is too small to count; what overflows is infinite
        parts = [np.ravel(np.asarray(array, np.float64)) for array in arrays]
        largest = max((float(np.abs(part).max(initial=0.0)) for part in parts), key=lambda x: (x != x, x))
        if largest == 0 or not math.isfinite(largest):
            return largest
        exponent = int(np.frexp(largest)[1])
        scaled = np.sqrt(sum(float(np.sum(np.ldexp(part, -exponent) ** 2)) for part in parts))
        return float(np.ldexp(scaled, exponent))


def as_number(value: Any, name: str) -> float:
    """A real number as a float."""
    if type(value) is float:
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if type(value) in (int, float, np.float64):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name} is too large for a float") from None
    array = real_array(value, name)
    if array.ndim:
        raise TypeError(f"{name} has shape {array.shape}, must be a number")
    return to_float(array)


def to_float(array: Array) -> float:
    """The only number in an array; infinite for a long double beyond float64."""
    if array.dtype.itemsize <= 8:
        return float(array.item())
    with default_environment():
        return float(array.reshape(()))


def as_integer(value: Any, name: str) -> int:
    """An integer, of any kind but bool, as an int."""
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        return operator.index(value)
    except MemoryError:
        raise
    except Exception:
        raise TypeError(f"{name} must be an integer, got {describe(value)}") from None


def as_threads(n_threads: Any, name: str = "n_threads") -> int:
    """A number of threads as a plain int: a positive integer or -1."""
    count = as_integer(n_threads, name)
    if count < 1 and count != -1:
        raise ValueError(f"{name} is {shorten(count)}, must be a positive integer, or -1 for all processors")
    return count


def no_count(variable: str, text: str) -> ValueError:
    """Why an environment variable says no number of threads."""
    return ValueError(f"{variable} is {quote(text)}, must be a positive integer or -1")


def describe(value: Any) -> str:
    """What kind of thing something is that is none of the kinds allowed."""
    if isinstance(value, type):
        return f"the class {shorten(value.__name__)}, not an object of it"
    return type_name(value)


def type_name(value: Any) -> str:
    """The name of its class."""
    return shorten(type(value).__name__)


def write_number(value: Any) -> str:
    """A label or weight as a person would write it."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.longdouble):  # no Python number holds it
        return np.format_float_positional(value, trim="-") if abs(value) < 1e20 else str(value)
    return f"{value:.17g}" if isinstance(value, float) and value.is_integer() else f"{value!r}"


def shorten(value: Any) -> str:
    """Text of something foreign, in one line and short enough for a message of 500 characters."""
    return _shorten(str, value)


def quote(value: Any) -> str:
    """The same of its repr."""
    return _shorten(repr, value)


def _shorten(write: Callable[[Any], str], value: Any) -> str:
    try:
        text = str(write(value))
    except MemoryError:
        raise
    except Exception:  # Python does not write integers of thousands of digits, and objects may raise anything
        text = "a huge integer" if isinstance(value, int) else f"some {type(value).__name__}"
    text = "".join(c if c.isprintable() else " " for c in text[: 10 * MAX_SHOWN])
    text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
