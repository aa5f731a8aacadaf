"""Files that may be compressed, opened for reading bytes."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Any, TypeAlias, cast

__all__ = ["DAMAGED", "ByteReader", "open_decompressed"]

# What they have in common is what is used here: `read`, `peek`, lines.
ByteReader: TypeAlias = BufferedReader | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile

# What reading a damaged compressed file raises; the errors of gzip and bz2 are OSErrors.
DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error)

# First bytes, usual suffix of the name, and what opens such a file.
_FORMATS: tuple[tuple[bytes, str, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", ".gz", gzip.open),
    (b"BZh", ".bz2", bz2.open),
    (b"\xfd7zXZ\x00", ".xz", lzma.open),
)


@contextmanager
def open_decompressed(path: str) -> Iterator[ByteReader]:
    """Open a file for reading bytes, decompressed if its first bytes, or else its name, call for that.

    The name counts too so that a damaged or mistaken ``data.gz`` is told as such, not as strange text. The
    file is read from its beginning to its end only, so that it may be a pipe.

    Raises
    ------
    OSError
        If the file cannot be opened. Reading it may raise any of `DAMAGED`.
    """
    with open(path, "rb") as file:
        opener = _opener(file.peek(8), path)
        if opener is None:
            yield file
        else:
            with opener(file, "rb") as decompressed:
                yield cast(ByteReader, decompressed)


def _opener(start: bytes, path: str) -> Callable[..., Any] | None:
    for magic, _, opener in _FORMATS:
        if start.startswith(magic):
            return opener
    for _, suffix, opener in _FORMATS:
        if path.endswith(suffix):
            return opener
    return None
