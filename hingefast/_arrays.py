"""What callers pass as an array, a CSR matrix or a number: read as such, or refused.

Knows dtypes, shapes and memory, but no loss; `_checks` builds the arguments of each call on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "InvalidCSRError",
    "as_number",
    "as_vector",
    "check_out",
    "computes_in_float64",
    "csr_parts",
    "describe",
    "euclidean_norm",
    "real_array",
    "shorten",
    "write_number",
]

Array = npt.NDArray[Any]


class InvalidCSRError(ValueError):
    """The structure of a CSR matrix is broken: its row pointers, column indices or their lengths."""


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


def euclidean_norm(*arrays: npt.ArrayLike) -> float:
    """The root of the sum of the squares of all numbers, in float64.

    It neither overflows nor underflows where the result does not: the numbers are scaled by a power of two first. NaN
    where one of them is NaN.
    """
    parts = [np.ravel(np.asarray(array, np.float64)) for array in arrays]
    largest = max((float(np.abs(part).max(initial=0.0)) for part in parts), key=lambda x: (x != x, x))
    if largest == 0 or not np.isfinite(largest):
        return largest
    exponent = int(np.frexp(largest)[1])
    with np.errstate(all="ignore"):  # what vanishes is too small to count; what overflows is infinite
        scaled = np.sqrt(sum(float(np.sum(np.ldexp(part, -exponent) ** 2)) for part in parts))
        return float(np.ldexp(scaled, exponent))


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


def describe(value: Any) -> str:
    """What kind of thing something is that is none of the kinds allowed."""
    return (
        f"the class {value.__name__}, not an object of it"
        if isinstance(value, type)
        else type(value).__name__
    )


def write_number(value: Any) -> str:
    """A label or weight as a person would write it."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.longdouble):  # no Python number holds it
        return np.format_float_positional(value, trim="-") if abs(value) < 1e20 else str(value)
    return f"{value:.17g}" if isinstance(value, float) and value.is_integer() else f"{value!r}"


def shorten(value: Any) -> str:
    """Text of something foreign, short enough for a message."""
    try:
        text = str(value)
    except ValueError:  # Python does not write integers of thousands of digits
        text = "a huge integer"
    return text if len(text) <= 100 else text[:97] + "..."
