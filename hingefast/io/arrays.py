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
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hingefast.checks.arrays import shorten
from hingefast.io.compressed import DAMAGED, ByteReader, foreign_kind, open_decompressed, show_path
from hingefast.io.svmlight import CSR, MAX_LABEL, parse_svmlight

__all__ = ["DataFileError", "read_array", "read_data"]

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
        reader = _array_reader(file, name)
        if reader is None:
            if labels_path is not None and _foreign_kind(file, name) is None:
                raise DataFileError(f"{name} is svmlight text, which holds its labels: leave out --labels")
            return parse_svmlight(file, path, n_features=n_features, dtype=dtype, zero_based=zero_based)
        if labels_path is None:
            raise DataFileError(f"{name} is {reader.kind}, which holds no labels: name them by --labels FILE")
        if zero_based is not None:
            raise DataFileError(f"{name} is {reader.kind}, which holds no ids: leave out --zero-based")
        numbers = reader.read()
    X = _as_rows(numbers, name, dtype)
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
        reader = _array_reader(file, name)
        if reader is None:
            kind = _foreign_kind(file, name)
            what = "" if kind is None else f" is {kind}; it"
            raise DataFileError(f"{name}{what} must be an IDX or .npy file to be read as {purpose}")
        return reader.read()


def _as_rows(numbers: Array, name: str, dtype: npt.DTypeLike) -> Array:
    """Flatten to 2 dimensions and convert."""
    if numbers.ndim < 2:
        raise DataFileError(
            f"{name} must have 2 or more dimensions, rows first, got shape {numbers.shape} "
            "(are DATA and --labels swapped?)"
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


class _ArrayReader:
    """Reads the array of an open file, from after the first bytes that tell its format."""

    kind: str

    def __init__(self, file: ByteReader, name: str) -> None:
        self._file = file
        self._name = name

    def read(self) -> Array:
        """Return the array, of real numbers."""
        with _damage_told(self._name):
            dtype, shape, order = self._read_header()
            if dtype.kind not in "biuf":
                raise DataFileError(f"{self._name} must hold real numbers, got {shorten(dtype)}")
            if len(shape) > _MAX_DIMENSIONS or not all(0 <= size < 2**63 for size in shape):
                raise DataFileError(f"{self._name}: damaged: an array of shape {shorten(shape)}")
            expected = math.prod(shape) * dtype.itemsize
            content = bytearray()
            while len(content) <= expected:  # until there is one byte too many
                piece = self._file.read(min(_PIECE_BYTES, expected + 1 - len(content)))
                if not piece:
                    break
                content += piece
        if len(content) != expected:
            found = f"only {len(content):,}" if len(content) < expected else "more"
            raise DataFileError(
                f"{self._name}: damaged: the header promises {shorten(f'{expected:,}')} bytes "
                f"({dtype.name} of shape {shorten(shape)}), {found} follow"
            )
        try:
            return np.ndarray(shape, dtype, content, order=order)
        except ValueError as error:  # an empty array of impossible dimensions
            raise DataFileError(f"{self._name}: damaged: an array of shape {shorten(shape)}") from error

    def _read_header(self) -> tuple[np.dtype[Any], tuple[int, ...], Any]:
        """Return dtype, shape, and the order "C" or "F"."""
        raise NotImplementedError


class _Idx(_ArrayReader):
    kind = "an IDX file"

    def _read_header(self) -> tuple[np.dtype[Any], tuple[int, ...], Any]:
        code, n_dimensions = self._exactly(4)[2:]
        if code not in _IDX_DTYPES:
            raise DataFileError(f"{self._name}: damaged: {code:#04x} is no type code of an IDX file")
        if not 1 <= n_dimensions <= _MAX_DIMENSIONS:
            raise DataFileError(f"{self._name}: damaged: an IDX file of {n_dimensions} dimensions")
        shape = struct.unpack(f">{n_dimensions}I", self._exactly(4 * n_dimensions))
        return np.dtype(_IDX_DTYPES[code]), shape, "C"

    def _exactly(self, n_bytes: int) -> bytes:
        content = self._file.read(n_bytes)
        if len(content) < n_bytes:
            raise DataFileError(f"{self._name}: damaged: the file ends within its header")
        return content


class _Npy(_ArrayReader):
    kind = "an .npy file"

    def _read_header(self) -> tuple[np.dtype[Any], tuple[int, ...], Any]:
        # A damaged length of the header may promise gigabytes; NumPy takes 10,000 bytes at most.
        file: Any = SimpleNamespace(read=lambda n: self._file.read(n) if n <= _PIECE_BYTES else b"")
        try:
            version = np.lib.format.read_magic(file)
            # 3.0 is written for field names that are not Latin-1: no array of plain numbers has it.
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            with warnings.catch_warnings(action="ignore"):  # a header of Python 2 is as good as any
                shape, fortran_order, dtype = read(file)
        except DAMAGED:
            raise
        except Exception as error:  # a damaged header is Python text that may fail in any way
            raise DataFileError(f"{self._name}: damaged: its .npy header cannot be read") from error
        return dtype, shape, "F" if fortran_order else "C"


def _array_reader(file: ByteReader, name: str) -> _ArrayReader | None:
    """Return the reader that the first bytes of the file ask for, None if they are those of neither format."""
    start = _first_bytes(file, name)
    if start.startswith(_NPY_MAGIC):
        return _Npy(file, name)
    if start.startswith(_IDX_MAGIC) and not start.startswith(codecs.BOM_UTF32_BE):
        return _Idx(file, name)
    return None


def _foreign_kind(file: ByteReader, name: str) -> str | None:
    return foreign_kind(_first_bytes(file, name))


def _first_bytes(file: ByteReader, name: str) -> bytes:
    with _damage_told(name):
        return file.peek()


@contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """Turn what decompressing damaged bytes raises into a DataFileError."""
    try:
        yield
    except DAMAGED as error:
        raise DataFileError(f"{name}: damaged: {error}") from error
