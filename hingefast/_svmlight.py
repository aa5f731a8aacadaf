"""A plain reader of svmlight (libsvm) text files.

One line is one row: ``label [qid:Q] id:value id:value ... [# comment]``. Ids start at 1 and increase strictly
within a line. The reader is made to be correct and to say what is wrong in a broken file; it works line by
line, and nearly all of its time is spent inside `bytes.split`, `int` and `float`.
"""

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import Any, NoReturn, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from hingefast._decompress import DAMAGED, ByteReader, open_decompressed

AnyArray: TypeAlias = npt.NDArray[Any]
Number = TypeVar("Number", int, float)

_MAX_ID = 2**63 - 1  # a column index is at most int64


class SvmlightError(ValueError):
    """A file that is not svmlight text. The message names the file, the line and the token at fault."""


@dataclass(frozen=True, slots=True, eq=False)
class CSR:
    """Compressed sparse rows: the attributes of `scipy.sparse.csr_array` that hingefast reads, without SciPy.

    Attributes
    ----------
    indptr : ndarray of int32 or int64, shape (n_rows + 1,)
        Row ``i`` is stored at ``indptr[i]:indptr[i + 1]``.
    indices : ndarray of the same dtype, shape (n_nonzeros,)
        Column of each stored number, from 0.
    data : ndarray of float32 or float64, shape (n_nonzeros,)
        The stored numbers.
    shape : tuple of int
        ``(n_rows, n_features)``.
    format : str
        Always ``"csr"``.
    """

    indptr: AnyArray
    indices: AnyArray
    data: AnyArray
    shape: tuple[int, int]
    format: str = "csr"


def read_svmlight(
    path: str | os.PathLike[str], *, n_features: int | None = None, dtype: npt.DTypeLike = np.float64
) -> tuple[CSR, npt.NDArray[np.float64]]:
    """Read an svmlight file.

    Blank lines, what follows a ``#``, and a ``qid:`` after the label are ignored. Zeros that the file writes
    out are stored. Feature values may be ``nan`` or ``inf``, as in scikit-learn's reader, and so reach the
    losses, which answer NaN with NaN; a label must be finite.

    Parameters
    ----------
    path : str or path-like
        May be compressed by gzip, bzip2 or xz; it is then decompressed on the fly.
    n_features : int, optional
        Number of columns; by default the largest id in the file.
    dtype : float32 or float64
        Of the feature values. Each is read as float64 first.

    Returns
    -------
    X : CSR
        Of shape (n_rows, n_features); row pointers and columns are int32 where they fit, else int64.
    y : ndarray of float64, shape (n_rows,)
        The labels as written.

    Raises
    ------
    SvmlightError
        For a line that is not svmlight text, a file without rows and a damaged compressed file.
    OSError
        If the file cannot be opened.

    Notes
    -----
    Needs 16 bytes a nonzero while it reads. 7.3 million nonzeros take about 4 s.
    """
    path = os.fspath(path)
    with open_decompressed(path) as file:
        return parse_svmlight(file, path, n_features=n_features, dtype=dtype)


def parse_svmlight(
    file: ByteReader, path: str, *, n_features: int | None = None, dtype: npt.DTypeLike = np.float64
) -> tuple[CSR, npt.NDArray[np.float64]]:
    """Do what `read_svmlight` does with an open file; `path` is its name in messages."""
    labels, indptr, ids, values = array("d"), array("q", [0]), array("q"), array("d")
    largest_id = 0
    for line_number, line in _numbered_lines(file, path):
        tokens = line.partition(b"#")[0].split()
        if not tokens:
            continue
        try:
            label, row_ids, row_values = _parse_row(tokens, n_features)
        except ValueError as error:
            raise SvmlightError(f"{path}: line {line_number}: {error}") from None
        labels.append(label)
        ids.extend(row_ids)
        values.extend(row_values)
        indptr.append(len(ids))
        if row_ids:
            largest_id = max(largest_id, row_ids[-1])
    if not labels:
        raise SvmlightError(f"{path}: the file has no rows")

    width = largest_id if n_features is None else n_features
    index_dtype = np.int32 if max(width, len(ids)) <= np.iinfo(np.int32).max else np.int64
    indices = np.frombuffer(ids, np.int64)
    indices -= 1
    X = CSR(
        np.frombuffer(indptr, np.int64).astype(index_dtype, copy=False),
        indices.astype(index_dtype, copy=False),
        np.frombuffer(values, np.float64).astype(dtype, copy=False),
        (len(labels), width),
    )
    return X, np.frombuffer(labels, np.float64)


def _numbered_lines(file: ByteReader, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line); a damaged compressed file is an SvmlightError."""
    line_number = 0
    lines = iter(file)
    while True:
        try:
            line = next(lines)
        except StopIteration:
            return
        except DAMAGED as error:
            raise SvmlightError(f"{path}: damaged after line {line_number}: {error}") from error
        line_number += 1
        yield line_number, line


def _parse_row(tokens: list[bytes], n_features: int | None) -> tuple[float, Sequence[int], list[float]]:
    """Turn the tokens of one line into its label, its ids as written (from 1) and its values.

    The numbers of a line are converted together, which is several times faster than token by token. Only a
    line that fails is looked at token by token, to name the one at fault.
    """
    label = _parse_label(tokens[0])
    first = 2 if len(tokens) > 1 and tokens[1].startswith(b"qid:") else 1
    features = tokens[first:]
    n = len(features)
    text = b" ".join(features)
    pieces = text.replace(b":", b" : ").split()
    # n tokens that give 3 n pieces with n colons, one at every second place of three, are n times `id:value`.
    # Python's numbers may hold underscores (1_000), those of svmlight may not.
    if len(pieces) != 3 * n or pieces[1::3].count(b":") != n or b"_" in text:
        _raise_for(features, n_features)
    try:
        ids = array("q", map(int, pieces[0::3]))
        values = list(map(float, pieces[2::3]))
    except (ValueError, OverflowError):
        _raise_for(features, n_features)
    increasing = all(map(lt, ids, islice(ids, 1, None)))
    if n and not (increasing and ids[0] >= 1 and (n_features is None or ids[-1] <= n_features)):
        _raise_for(features, n_features)
    return label, ids, values


def _parse_label(token: bytes) -> float:
    """Read a finite number; ValueError otherwise."""
    label = _number(token, float)
    if label is None:
        raise ValueError(f"label {_show(token)} is not a number")
    if not np.isfinite(label):
        raise ValueError(f"label {_show(token)} is not finite")
    return label


def _raise_for(features: list[bytes], n_features: int | None) -> NoReturn:
    """Raise a ValueError for the first of the tokens that is wrong."""
    previous = 0
    for token in features:
        id_text, colon, value_text = token.partition(b":")
        if not colon or b":" in value_text:
            raise ValueError(f"{_show(token)} is not of the form id:value")
        feature_id = _number(id_text, int)
        if feature_id is None:
            raise ValueError(f"the id in {_show(token)} is not an integer")
        if _number(value_text, float) is None:
            raise ValueError(f"the value in {_show(token)} is not a number")
        if feature_id < 1:
            raise ValueError(f"the id in {_show(token)} must be at least 1 (ids count from 1, not from 0)")
        if feature_id > _MAX_ID:
            raise ValueError(f"the id in {_show(token)} is too large for 64 bits")
        if feature_id <= previous:
            raise ValueError(f"{_show(token)} follows id {previous}, ids must increase within a line")
        if n_features is not None and feature_id > n_features:
            raise ValueError(f"the id in {_show(token)} is larger than n_features={n_features}")
        previous = feature_id
    raise AssertionError("a line was refused without a reason")  # the two ways of checking a row disagree


def _number(text: bytes, kind: Callable[[bytes], Number]) -> Number | None:
    """Read a number with `int` or `float`; None if it is none, or one with underscores."""
    try:
        return None if b"_" in text else kind(text)
    except ValueError:
        return None


def _show(token: bytes) -> str:
    """Quote a token for a message; a very long one is cut."""
    text = token[:60].decode("utf-8", "replace")
    return repr(text + "..." if len(token) > 60 else text)
