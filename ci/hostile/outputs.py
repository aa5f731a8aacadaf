"""Outputs: such as a result goes into, and others."""

from __future__ import annotations

import numpy as np
import wild
from draw import REAL


def output(draw, shape, dtype):
    """An output of the right kind, full of something."""
    count = int(np.prod(shape))
    piece = draw.memory.take(count * dtype.itemsize, dtype.alignment, 0, draw.chance() < 0.5)
    return np.ndarray(shape, dtype, piece.memory, piece.first), piece


def spoil_output(draw, shape, dtype):
    """(out, the piece of memory it lies in or None): nothing that a result of this shape and dtype goes into."""
    kind = draw.integer(8)
    if kind == 0:
        other = draw.choice(((*shape, 1), (shape[0] + 1, *shape[1:]), (), (1, *shape)))
        return output(draw, other, dtype)
    if kind == 1:
        other = draw.choice([other for other in REAL if other != dtype])
        return output(draw, shape, other)
    if kind == 2:
        return output(draw, shape, dtype.newbyteorder("S"))
    if kind == 3:
        found, piece = output(draw, shape, dtype)
        found.flags.writeable = False
        return found, piece
    if kind == 4 and int(np.prod(shape)):
        piece = draw.memory.take(
            int(np.prod(shape)) * dtype.itemsize, dtype.alignment, draw.integer(1, dtype.itemsize), True
        )
        return np.ndarray(shape, dtype, piece.memory, piece.first), piece
    if kind == 5 and int(np.prod(shape)) > 1:
        wide = (*shape[:-1], 2 * shape[-1])
        found, piece = output(draw, wide, dtype)
        found = found[..., ::2]
        if not found.flags.c_contiguous:
            return found, piece
    if kind == 6:
        return np.ma.masked_array(np.zeros(shape, dtype)), None
    found = wild.no_numbers(draw, shape)
    while found is None:
        found = wild.no_numbers(draw, shape)
    return found, None


def overlap(draw, numbers, shape, dtype):
    """(input, out): the numbers of an input, and an output of a shape and dtype that shares bytes with them.

    None where one of them has no bytes.
    """
    size, room = numbers.nbytes, int(np.prod(shape)) * dtype.itemsize
    if not size or not room:
        return None
    first = draw.integer(size) // dtype.itemsize * dtype.itemsize
    piece = draw.memory.take(max(size, first + room), max(dtype.alignment, numbers.dtype.alignment), 0, True)
    given = np.ndarray(numbers.shape, numbers.dtype, piece.memory, piece.first)
    given[...] = numbers
    draw.inputs.append(piece)
    out = np.ndarray(shape, dtype, piece.memory, piece.first + first)
    if draw.chance() < 0.15:
        return memoryview(given), out
    if draw.chance() < 0.15 and given.ndim == 1 and len(given) > 1:
        return given[::-1], out
    return given, out
