"""A plain reader of svmlight (libsvm) text files.

One line is one row: ``label [qid:Q] id:value id:value ... [# comment]``. Ids increase strictly within a line and
count from 1, or from 0 where the file's own header or the caller says so. The reader is made to be correct and to say
what is wrong in a broken file; it works line by line, and nearly all of its time is spent inside `bytes.split`, `int`
and `float`.
"""

import codecs
import os
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import lt
from typing import NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from hingefast.io.compressed import DAMAGED, ByteReader, foreign_kind, open_decompressed, show_path
from hingefast.io.csr import CSR

Number = TypeVar("Number", int, float)

_MAX_FEATURES = 2**63 - 1  # a number of columns is at most int64

# Labels are kept as float64, which holds every integer up to here.
MAX_LABEL = 2**53

# What scikit-learn's `dump_svmlight_file` writes about its ids, if it writes a header.
_ID_BASE = re.compile(rb"\s*#\s*column indices are (zero|one)-based\s*", re.IGNORECASE)


class SvmlightError(ValueError):
    """A file that is not svmlight text. The message names the file, the line and the token at fault."""


def read_svmlight(
    path: str | os.PathLike[str],
    *,
    n_features: int | None = None,
    dtype: npt.DTypeLike = np.float64,
    zero_based: bool | None = None,
) -> tuple[CSR, npt.NDArray[np.float64]]:
    """Read an svmlight file.

    Blank lines, what follows a ``#``, a ``qid:`` after the label and UTF-8's byte order mark are ignored. Zeros that
    the file writes out are stored. Feature values may be ``nan`` or ``inf``, as in scikit-learn's reader, and so reach
    the losses, which answer NaN with NaN; a label must be finite.

    Parameters
    ----------
    path : str or path-like
        May be compressed by gzip, bzip2 or xz; it is then decompressed on the fly.
    n_features : int, optional
        Number of columns; by default as many as the largest id in the file asks for.
    dtype : float32 or float64
        Of the feature values. Each is read as float64 first.
    zero_based : bool, optional
        Whether ids count from 0. By default what the comments before the first row say, as scikit-learn's
        `dump_svmlight_file` writes them; without any, ids count from 1.

    Returns
    -------
    X : CSR
        Of shape (n_rows, n_features); row pointers and columns are int32 where they fit, else int64.
    y : ndarray of float64, shape (n_rows,)
        The labels as written.

    Raises
    ------
    SvmlightError
        For a line that is not svmlight text, a file without rows, a file of another kind and a damaged
        compressed file.
    OSError
        If the file cannot be opened.

    Notes
    -----
    Needs 16 bytes a nonzero while it reads. 7.3 million nonzeros take about 4 s.
    """
    path = os.fspath(path)
    with open_decompressed(path) as file:
        return parse_svmlight(file, path, n_features=n_features, dtype=dtype, zero_based=zero_based)


def parse_svmlight(
    file: ByteReader,
    path: str,
    *,
    n_features: int | None = None,
    dtype: npt.DTypeLike = np.float64,
    zero_based: bool | None = None,
) -> tuple[CSR, npt.NDArray[np.float64]]:
    """Do what `read_svmlight` does with an open file; `path` is its name in messages."""
    path = show_path(path)
    labels, indptr, ids, values = array("d"), array("q", [0]), array("q"), array("d")
    largest_id, largest_id_line = -1, 0
    n_ids = _MAX_FEATURES if n_features is None else n_features
    first_id = 0 if zero_based else 1
    decided = zero_based is not None
    for line_number, line in _numbered_lines(file, path):
        # Inside a line it is the end of a line to old programs: all that follows a # would be lost without a word.
        if b"\r" in line and b"\r" in line.rstrip(b"\r\n"):
            raise SvmlightError(
                f"{path}: line {line_number}: holds a carriage return (\\r): end lines with \\n or \\r\\n"
            )
        tokens = line.partition(b"#")[0].split()
        if not tokens:
            stated = _ID_BASE.fullmatch(line) if zero_based is None else None
            if stated:
                base = 0 if stated[1].lower() == b"zero" else 1
                if base != first_id and (decided or labels):
                    raise SvmlightError(
                        f"{path}: line {line_number} says that ids count from {base}, those before it from {first_id}: "
                        "say which by --zero-based or --no-zero-based"
                    )
                first_id, decided = base, True
            continue
        try:
            label, row_ids, row_values = _parse_row(tokens, first_id, n_ids)
        except ValueError as error:
            raise SvmlightError(f"{path}: line {line_number}: {error}") from None
        labels.append(label)
        ids.extend(row_ids)
        values.extend(row_values)
        indptr.append(len(ids))
        if row_ids and row_ids[-1] > largest_id:
            largest_id, largest_id_line = row_ids[-1], line_number
    if not labels:
        raise SvmlightError(f"{path}: the file has no rows")

    width = max(0, largest_id - first_id + 1) if n_features is None else n_features
    index_dtype = np.int32 if max(width, len(ids)) <= np.iinfo(np.int32).max else np.int64
    indices = np.frombuffer(ids, np.int64)
    indices -= first_id
    with np.errstate(all="ignore"):  # beyond float32 is infinite
        data = np.frombuffer(values, np.float64).astype(dtype, copy=False)
    X = CSR(
        np.frombuffer(indptr, np.int64).astype(index_dtype, copy=False),
        indices.astype(index_dtype, copy=False),
        data,
        (len(labels), width),
        largest_id=max(0, largest_id),
        largest_id_line=largest_id_line,
    )
    return X, np.frombuffer(labels, np.float64)


def _numbered_lines(file: ByteReader, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line); a damaged compressed file, or one of another kind, is an SvmlightError."""
    line_number = 0
    try:
        start = file.peek()
        kind = foreign_kind(start)
        if kind is not None:
            raise SvmlightError(f"{path} is {kind}")
        if start.startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        for line in file:
            line_number += 1
            yield line_number, line
    except DAMAGED as error:
        raise SvmlightError(f"{path}: damaged after line {line_number}: {error}") from error


def _parse_row(tokens: list[bytes], first_id: int, n_ids: int) -> tuple[float, Sequence[int], list[float]]:
    """Turn the tokens of one line into its label, its ids as written and its values.

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
        _raise_for(features, first_id, n_ids)
    try:
        ids = array("q", map(int, pieces[0::3]))
        values = list(map(float, pieces[2::3]))
    except (ValueError, OverflowError):
        _raise_for(features, first_id, n_ids)
    increasing = all(map(lt, ids, islice(ids, 1, None)))
    if n and not (increasing and ids[0] >= first_id and ids[-1] - first_id < n_ids):
        _raise_for(features, first_id, n_ids)
    return label, ids, values


def _parse_label(token: bytes) -> float:
    """Read a finite number; ValueError otherwise."""
    label = _number(token, float)
    if label is None:
        raise ValueError(f"label {_show(token)} is not a number")
    if not np.isfinite(label):
        raise ValueError(f"label {_show(token)} is not finite")
    if abs(label) >= MAX_LABEL and abs(_number(token, int) or 0) > MAX_LABEL:
        raise ValueError(f"label {_show(token)} is beyond 2^53, integer labels must be in [-2^53, 2^53]")
    return label


def _raise_for(features: list[bytes], first_id: int, n_ids: int) -> NoReturn:
    """Raise a ValueError for the first of the tokens that is wrong."""
    previous = first_id - 1
    for token in features:
        id_text, colon, value_text = token.partition(b":")
        if not colon or b":" in value_text:
            raise ValueError(f"{_show(token)} is not of the form id:value")
        feature_id = _number(id_text, int)
        if feature_id is None and not id_text.isdigit():  # int() takes 4300 digits at most
            raise ValueError(f"the id in {_show(token)} is not an integer")
        if _number(value_text, float) is None:
            raise ValueError(f"the value in {_show(token)} is not a number")
        if feature_id is None or feature_id - first_id >= _MAX_FEATURES:
            raise ValueError(f"the id in {_show(token)} is too large for 64 bits")
        if feature_id < first_id:
            hint = " (--zero-based reads ids that count from 0)" if feature_id == 0 else ""
            raise ValueError(f"the id in {_show(token)} must be at least {first_id}{hint}")
        if feature_id <= previous:
            raise ValueError(f"{_show(token)} follows id {previous}, ids must increase within a line")
        if feature_id - first_id >= n_ids:
            wrong = "is larger than" if first_id == 1 else "must be below"
            raise ValueError(f"the id in {_show(token)} {wrong} n_features={n_ids}")
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
