"""Files that may be compressed, opened for reading bytes; what else they may be, and their names in messages."""

import bz2
import codecs
import errno
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

__all__ = ["DAMAGED", "ByteReader", "foreign_kind", "open_decompressed", "printable", "show_path"]

ByteReader: TypeAlias = "io.BufferedReader[Any]"

# What reading a damaged compressed file raises; the errors of gzip and bz2 are OSErrors.
DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error)

# First bytes, usual suffix of the name, and what opens such a file.
_FORMATS: tuple[tuple[bytes, str, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", ".gz", gzip.open),
    (b"BZh", ".bz2", bz2.open),
    (b"\xfd7zXZ\x00", ".xz", lzma.open),
)

# So many bytes at the beginning tell every format.
START_BYTES = 16

# First bytes of what is given by mistake, and what it is. UTF-32 before UTF-16, whose mark begins like its own.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive (.zip, .npz): unpack it"),
    (b"PK\x05\x06", "a zip archive (.zip, .npz) without any file in it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    *((magic, "compressed twice: unpack it once") for magic, _, _ in _FORMATS),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"\x80\x05\x95", "a Python pickle"),
    (codecs.BOM_UTF32_LE, "text in UTF-32: save it as UTF-8"),
    (codecs.BOM_UTF32_BE, "text in UTF-32: save it as UTF-8"),
    (codecs.BOM_UTF16_LE, "text in UTF-16: save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "text in UTF-16: save it as UTF-8"),
)

# A longer name is cut in messages: two of them and a sentence fit into 500 characters.
_MAX_NAME = 180


@contextmanager
def open_decompressed(path: str) -> Iterator[ByteReader]:
    """Open a file for reading bytes, decompressed if its first bytes, or else its name, call for that.

    The name counts too so that a damaged or mistaken ``data.gz`` is told as such, not as strange text. The
    file is read from its beginning to its end only, so that it may be a pipe. The first `peek` returns at least
    `START_BYTES` bytes where there are as many.

    Raises
    ------
    OSError
        If the file cannot be opened. Reading it may raise any of `DAMAGED`.
    """
    try:
        raw = _File(path, "rb")
    except ValueError as error:  # a name that no file can have
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    with io.BufferedReader(raw) as file:
        try:
            opener = _opener(file.peek(START_BYTES), path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from error
        if opener is None:
            yield file
        else:
            # Lines are cut in C here, in Python by what is opened.
            with io.BufferedReader(opener(file, "rb")) as decompressed:
                yield decompressed


class _File(io.FileIO):
    """A file whose first bytes come together, also through a pipe into which they are written one by one."""

    _begun = False

    def readinto(self, buffer: Any) -> int | None:  # type: ignore[override,unused-ignore]
        n_bytes = super().readinto(buffer)
        while not self._begun and n_bytes and n_bytes < START_BYTES:
            more = super().readinto(memoryview(buffer)[n_bytes:])
            if not more:
                break
            n_bytes += more
        self._begun = True
        return n_bytes


def _opener(start: bytes, path: str) -> Callable[..., Any] | None:
    for magic, _, opener in _FORMATS:
        if start.startswith(magic):
            return opener
    for _, suffix, opener in _FORMATS:
        if path.endswith(suffix):
            return opener
    return None


def foreign_kind(start: bytes) -> str | None:
    """What a decompressed file is that begins so and holds neither plain text nor an array, if that can be told."""
    for magic, kind in _FOREIGN:
        if start.startswith(magic):
            return kind
    return "no text but binary, or text in UTF-16" if b"\0" in start[:START_BYTES] else None


def printable(text: str) -> str:
    """Text on one line: what cannot be printed is escaped, also bytes of a file name that are no characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_path(path: str) -> str:
    """The name of a file as it is told in messages; of a long one the end."""
    name = printable(path) or "''"
    return name if len(name) <= _MAX_NAME else "..." + name[3 - _MAX_NAME :]
