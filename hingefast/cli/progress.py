"""The line that tells how far training has come, on a terminal."""

from __future__ import annotations

import math
import os
import time
from typing import TextIO

import hingefast as hf

__all__ = ["Progress", "is_terminal"]

# Training that takes less shows nothing.
DELAY_SECONDS = 1.0

# The line is written this often at most.
PAUSE_SECONDS = 0.1


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that is open."""
    return stream is not None and not stream.closed and stream.isatty()


class Progress:
    """A callback of `hf.minimize` that writes one line over and over; leaving its context wipes the line.

    Parameters
    ----------
    stream : text stream or None
        A terminal; without, nothing is told.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._width = 0  # of what stands there
        self._next = time.perf_counter() + DELAY_SECONDS
        self._began = time.perf_counter()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def __call__(self, result: hf.FitResult) -> None:
        """Tell where the method is, if it is time to."""
        now = time.perf_counter()
        if self._stream is None or now < self._next:
            return
        self._next = now + PAUSE_SECONDS
        gap = "" if math.isnan(result.gap) else f", gap {result.gap:.1e}"
        told = f"{result.method}: {now - self._began:.0f} s, iteration {result.nit:,}, value {result.fun:.6g}{gap}"
        line = told[: self._columns() - 1].ljust(self._width)
        self._width = len(line)  # before it stands there: Ctrl-C may come in between
        self._write("\r" + line)

    def _columns(self) -> int:
        """Of the terminal: a longer line could not be wiped."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80  # type: ignore[union-attr]
        except (OSError, ValueError):
            return 80

    def _write(self, text: str) -> None:
        """Write; a terminal that is gone ends the telling, not the work."""
        if self._stream is not None:
            try:
                self._stream.write(text)
                self._stream.flush()
            except OSError:
                self._stream = None
