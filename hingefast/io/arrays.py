"""Rows and labels from the files that ``hingefast eval`` takes, told apart by their first bytes.

- **svmlight text** holds the labels of its rows (`io/svmlight.py`).
- **IDX**, the format of MNIST: two zero bytes, a type code, the number of dimensions, each dimension as a
  big-endian uint32, then the numbers in C order.
- **.npy**, NumPy's own.

The last two hold one array; the labels come from a second file. Any of them may be compressed.
"""

import codecs
import math
import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hingefast.checks.arrays import shorten
from hingefast.io.compressed import DAMAGED, ByteReader, foreign_kind, open_decompressed, show_path
from hingefast.io.csr import CSR
from hingefast.io.svmlight import MAX_LABEL, parse_svmlight

__all__ = ["DataFileError", "read_array", "read_data", "read_npy"]

Array: TypeAlias = npt.NDArray[Any]

_NPY_MAGIC = b"\x93NUMPY"
_IDX_MAGIC = b"\x00\x00"
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# Numbers are read in pieces: a damaged header may promise more bytes than there is memory.
_PIECE_BYTES = 2**20

# NumPy's arrays have no more; real files have 3 at most.
_MAX_DIMENSIONS = 64


class DataFileError(ValueError):
    """A file that cannot be used as data or as labels; the message, one line, names it and says why."""


def read_data(
    path: str | os.PathLike[str],
    labels_path: str | os.PathLike[str] | None = None,
    *,
    n_features: int | None = None,
    dtype: npt.DTypeLike = np.float64,
    zero_based: bool | None = None,
    options: tuple[str, str] = ("DATA", "--labels"),
) -> tuple[CSR | Array, npt.NDArray[np.float64]]:
    """Read a data set.

    Parameters
    ----------
    path : str or path-like
        Svmlight text, or an IDX or .npy file of an array of 2 or more dimensions; plain or compressed.
    labels_path : str or path-like, optional
        An IDX or .npy file of one label a row; needed unless `path` is svmlight text, which holds them.
    n_features : int, optional
        Number of columns of svmlight text, by default what the largest id asks for. An array has its own.
    dtype : float32 or float64
        Of X.
    zero_based : bool, optional
        Whether the ids of svmlight text count from 0, by default as the file itself says, else from 1.

    options : pair of str
        How the two files are given, for messages.

    Returns
    -------
    X : CSR, or ndarray in C order, of shape (n_rows, n_features)
        All dimensions of an array but the first make up the columns: images of (n, 28, 28) have 784.
    labels : ndarray of float64, shape (n_rows,)
        Finite.

    Raises
    ------
    DataFileError, SvmlightError
        For damaged files, files of the wrong kind, and files that do not fit together.
    OSError
        If a file cannot be opened.

    Notes
    -----
    An array takes its memory twice while it is read, once as it lies in the file.
    """
    path = os.fspath(path)
    name = show_path(path)
    with open_decompressed(path) as file:
        array_format = _find_format(file, name)
        if array_format is None:
            if labels_path is not None and _foreign_kind(file, name) is None:
                raise DataFileError(
                    f"{name} is svmlight text, which holds its labels: leave out {options[1]}"
                )
            return parse_svmlight(file, path, n_features=n_features, dtype=dtype, zero_based=zero_based)
        if labels_path is None:
            raise DataFileError(
                f"{name} is {array_format.kind}, which holds no labels: name them by {options[1]} FILE"
            )
        if zero_based is not None:
            raise DataFileError(f"{name} is {array_format.kind}, which holds no ids: leave out --zero-based")
        numbers = _read(file, name, array_format)
    X = _as_rows(numbers, name, dtype, options)
    if n_features not in (None, X.shape[1]):
        raise DataFileError(f"{name} has {X.shape[1]} columns, --n-features says {n_features}")
    labels_path = os.fspath(labels_path)
    labels = _read_labels(labels_path)
    if labels.size != X.shape[0]:
        raise DataFileError(
            f"{show_path(labels_path)} has {labels.size:,} labels but {name} has {X.shape[0]:,} rows"
        )
    return X, labels


def read_array(path: str, purpose: str) -> Array:
    """Read the array of real numbers of an IDX or .npy file; `purpose` is what it is read as, for messages.

    Raises
    ------
    DataFileError
        For damaged files and files of the wrong kind.
    OSError
        If the file cannot be opened.
    """
    name = show_path(path)
    with open_decompressed(path) as file:
        array_format = _find_format(file, name)
        if array_format is None:
            kind = _foreign_kind(file, name)
            what = "" if kind is None else f" is {kind}; it"
            raise DataFileError(f"{name}{what} must be an IDX or .npy file to be read as {purpose}")
        return _read(file, name, array_format)


def read_npy(file: ByteReader, name: str, kinds: str) -> Array:
    """Read the array of an .npy file that is open, of a dtype of one of these kinds; `name` is for messages.

    Raises
    ------
    DataFileError
        For damaged files and files of the wrong kind.
    """
    if _find_format(file, name) is not _NPY:
        raise DataFileError(f"{name} is not an .npy file")
    return _read(file, name, _NPY, kinds)


def _as_rows(numbers: Array, name: str, dtype: npt.DTypeLike, options: tuple[str, str]) -> Array:
    """Flatten to 2 dimensions and convert."""
    if numbers.ndim < 2:
        raise DataFileError(
            f"{name} must have 2 or more dimensions, rows first, got shape {numbers.shape} "
            f"(are {options[0]} and {options[1]} swapped?)"
        )
    if numbers.shape[0] == 0:
        raise DataFileError(f"{name}: the file has no rows")
    rows = numbers.reshape(numbers.shape[0], math.prod(numbers.shape[1:]))
    with np.errstate(all="ignore"):  # beyond float32 is infinite, as it is for svmlight
        return np.ascontiguousarray(rows, dtype)


def _read_labels(path: str) -> npt.NDArray[np.float64]:
    """Read one finite number a row."""
    name = show_path(path)
    numbers = read_array(path, "labels")
    if numbers.ndim != 1:
        raise DataFileError(
            f"{name} must have 1 dimension to be read as labels, got shape {shorten(numbers.shape)}"
        )
    with np.errstate(all="ignore"):  # beyond float64 is infinite
        labels = numbers.astype(np.float64)
    if not np.isfinite(labels).all():
        row = int(np.argmin(np.isfinite(labels)))
        raise DataFileError(f"{name} has the label {labels[row]} in row {row}, labels must be finite")
    if (
        numbers.dtype.kind in "iu"
        and max(int(numbers.max(initial=0)), -int(numbers.min(initial=0))) > MAX_LABEL
    ):
        raise DataFileError(f"{name} has labels beyond 2^53, labels must be in [-2^53, 2^53]")
    return labels


# ---- the two formats of one array

# dtype, shape, and the order "C" or "F"
_Header: TypeAlias = tuple[np.dtype[Any], tuple[int, ...], Any]


class _Format(NamedTuple):
    kind: str
    read_header: Callable[[ByteReader], _Header]


def _read(file: ByteReader, name: str, array_format: _Format, kinds: str = "biuf") -> Array:
    """Return the array, by default of real numbers, of a file that stands at its beginning."""
    with _damage_told(name):
        dtype, shape, order = array_format.read_header(file)
        if dtype.kind not in kinds:
            what = "text" if kinds == "U" else "real numbers"
            raise DataFileError(f"{name} must hold {what}, got {shorten(dtype)}")
        if len(shape) > _MAX_DIMENSIONS or not all(0 <= size < 2**63 for size in shape):
            raise ValueError(f"an array of shape {shorten(shape)}")
        expected = math.prod(shape) * dtype.itemsize
        content = bytearray()
        while len(content) <= expected:  # until there is one byte too many
            piece = file.read(min(_PIECE_BYTES, expected + 1 - len(content)))
            if not piece:
                break
            content += piece
        if len(content) != expected:
            found = f"only {len(content):,}" if len(content) < expected else "more"
            raise ValueError(
                f"the header promises {shorten(f'{expected:,}')} bytes "
                f"({dtype.name} of shape {shorten(shape)}), {found} follow"
            )
        try:
            return np.ndarray(shape, dtype, content, order=order)
        except ValueError as error:  # an empty array of impossible dimensions
            raise ValueError(f"an array of shape {shorten(shape)}") from error


def _idx_header(file: ByteReader) -> _Header:
    def exactly(n_bytes: int) -> bytes:
        content = file.read(n_bytes)
        if len(content) < n_bytes:
            raise ValueError("the file ends within its header")
        return content

    code, n_dimensions = exactly(4)[2:]
    if code not in _IDX_DTYPES:
        raise ValueError(f"{code:#04x} is no type code of an IDX file")
    if not 1 <= n_dimensions <= _MAX_DIMENSIONS:
        raise ValueError(f"an IDX file of {n_dimensions} dimensions")
    shape = struct.unpack(f">{n_dimensions}I", exactly(4 * n_dimensions))
    return np.dtype(_IDX_DTYPES[code]), shape, "C"


def _npy_header(file: ByteReader) -> _Header:
    """Read it with NumPy's own functions, which leave the numbers.

    `np.load` would take the memory that a damaged header promises, seek, which pipes cannot, and tell damage in
    other words for each kind of it.
    """
    # A damaged length of the header may promise gigabytes; NumPy takes 10,000 bytes at most.
    careful: Any = SimpleNamespace(read=lambda n: file.read(n) if n <= _PIECE_BYTES else b"")
    formats = np.lib.format
    try:
        # 3.0 is written for field names that are not Latin-1: no array of plain numbers has it.
        is_first = formats.read_magic(careful) == (1, 0)
        read = formats.read_array_header_1_0 if is_first else formats.read_array_header_2_0
        with warnings.catch_warnings(action="ignore"):  # a header of Python 2 is as good as any
            shape, fortran_order, dtype = read(careful)
    except DAMAGED:
        raise
    except Exception as error:  # a damaged header is Python text that may fail in any way
        raise ValueError("its .npy header cannot be read") from error
    return dtype, shape, "F" if fortran_order else "C"


_NPY, _IDX = _Format("an .npy file", _npy_header), _Format("an IDX file", _idx_header)


def _find_format(file: ByteReader, name: str) -> _Format | None:
    """Return the format that the first bytes of the file tell, None if neither."""
    start = _first_bytes(file, name)
    if start.startswith(_NPY_MAGIC):
        return _NPY
    return _IDX if start.startswith(_IDX_MAGIC) and not start.startswith(codecs.BOM_UTF32_BE) else None


def _foreign_kind(file: ByteReader, name: str) -> str | None:
    return foreign_kind(_first_bytes(file, name))


def _first_bytes(file: ByteReader, name: str) -> bytes:
    with _damage_told(name):
        return file.peek()


@contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """Turn a ValueError that says what is damaged, and what decompressing raises, into a DataFileError."""
    try:
        yield
    except DataFileError:
        raise
    except (*DAMAGED, ValueError) as error:
        raise DataFileError(f"{name}: damaged: {error}") from error
