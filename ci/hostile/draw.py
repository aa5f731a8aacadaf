"""Random choices of one hostile call, and arrays laid out in memory in every way that NumPy allows.

Everything follows from one seed. An array is drawn in two steps: its numbers, in the dtype it will have, and then how
they lie in memory (`Draw.lay_out`) and what kind of object holds them (`Draw.dress`). What a call is expected to
answer is worked out from the finished object, read back through NumPy.
"""

from __future__ import annotations

import array
import random

import numpy as np

REAL = tuple(
    np.dtype(name)
    for name in ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "longdouble")
)
FLOATS = tuple(dtype for dtype in REAL if dtype.kind == "f")
F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


class Plain(np.ndarray):
    """A subclass without a mind of its own: an array like any other."""


class HasArray:
    """What NumPy asks for its array."""

    def __init__(self, held):
        self.held = held

    def __array__(self, dtype=None, copy=None):
        return self.held if dtype is None else self.held.astype(dtype)


class HasInterface:
    """What NumPy asks where its numbers lie."""

    def __init__(self, held):
        self.held = held  # keeps the memory
        self.__array_interface__ = held.__array_interface__


class Draw:
    """Choices, numbers and memory of one seed."""

    def __init__(self, seed, memory):
        self.seed = seed
        self.memory = memory
        self.random = random.Random(seed)
        self.chance = self.random.random
        self.choice = self.random.choice
        self.integer = self.random.randrange
        self.numbers = np.random.Generator(np.random.SFC64(seed))
        self.inputs = []  # pieces of memory that a call must leave as they are

    def often(self, likely, *others, p=0.7):
        """`likely` with probability `p`, else one of the others."""
        return likely if self.chance() < p else self.choice(others)

    # ---- where numbers lie

    def lay_out(self, numbers, *, plain=0.45, may_repeat=True):
        """A copy of `numbers`, an array with the dtype that it shall have, in memory that is watched.

        `plain` is the probability of a contiguous, aligned array in native byte order. With `may_repeat` strides may be
        0, so that not all of the numbers are in it.
        """
        dtype = numbers.dtype
        steps, shift = self.strides(numbers.shape, dtype, plain, may_repeat)
        if self.chance() < 0.12 and dtype.itemsize > 1 and plain < 1:
            dtype = dtype.newbyteorder("S")
        extent, origin = 0, 0
        if numbers.size:
            extent = dtype.itemsize
            for length, step in zip(numbers.shape, steps, strict=True):
                reach = (length - 1) * step
                extent += abs(reach)
                origin -= min(reach, 0)
        at_end = self.chance() < 0.6
        piece = self.memory.take(extent, dtype.alignment, shift, at_end)
        if numbers.size:
            laid = np.ndarray(numbers.shape, dtype, piece.memory, piece.first + origin, steps)
        else:
            laid = np.ndarray(numbers.shape, dtype, piece.memory, piece.first)
        with np.errstate(all="ignore"):
            laid[...] = numbers
        self.inputs.append(piece)
        if self.chance() < 0.2:
            laid.flags.writeable = False
        return laid

    def strides(self, shape, dtype, plain, may_repeat):
        """Bytes from one element to the next along each axis, and how far the first lies from its alignment."""
        size, kind = dtype.itemsize, self.chance()
        misaligned = self.integer(1, dtype.alignment) if dtype.alignment > 1 else 0
        if kind < plain or plain >= 1:
            return self.contiguous(shape, size, range(len(shape))), 0
        if kind < plain + 0.08:
            return self.contiguous(shape, size, range(len(shape))), misaligned
        order = list(range(len(shape)))
        if self.chance() < 0.45:
            order.reverse()  # Fortran order
        if kind < plain + 0.2 and len(shape) > 1:
            return self.contiguous(shape, size, order), 0
        steps, step = [0] * len(shape), size
        odd = self.chance() < 0.15  # whole elements apart, but for these
        for axis in reversed(order):
            gap = self.often(0, 1, 2, 5, p=0.5)
            step += gap if odd else gap * size
            steps[axis] = step if self.chance() < 0.75 else -step
            if may_repeat and self.chance() < 0.04:
                steps[axis] = 0
            step = max(step, 1) * max(shape[axis], 1)
        return tuple(steps), misaligned if odd else 0

    @staticmethod
    def contiguous(shape, size, order):
        steps, step = [0] * len(shape), size
        for axis in reversed(list(order)):
            steps[axis] = step
            step *= max(shape[axis], 1)
        return tuple(steps)

    # ---- what holds them

    def dress(self, laid, p=0.15):
        """`laid` itself, or with probability `p` another object that NumPy reads as the same numbers."""
        if self.chance() >= p or laid.ndim == 0:
            return laid
        kind = self.integer(8)
        if kind == 0:
            return laid.tolist() if laid.dtype.itemsize <= 8 else laid
        if kind == 1:
            return tuple(laid.tolist()) if laid.dtype.itemsize <= 8 else laid
        if kind == 2:
            return laid.view(Plain)
        if kind == 3:
            return laid.view(np.memmap)
        if kind == 4 and 0 not in laid.shape and laid.dtype.isnative:
            return memoryview(laid)
        if kind == 5 and laid.ndim == 1 and laid.dtype.char in "bBhHiIlLfd" and laid.dtype.isnative:
            return array.array(laid.dtype.char, laid.tolist())
        if kind == 6:
            return HasArray(laid)
        if kind == 7:
            return HasInterface(laid)
        return laid

    # ---- numbers

    def size(self, largest=300):
        """How many rows: often few, sometimes none."""
        kind = self.chance()
        if kind < 0.06:
            return 0
        if kind < 0.14:
            return 1
        if kind < 0.75:
            return self.integer(2, 20)
        return self.integer(20, largest + 1)

    def features(self):
        """How many columns of X."""
        kind = self.chance()
        if kind < 0.05:
            return 0
        if kind < 0.6:
            return self.integer(1, 9)
        return self.integer(9, 71)

    def real_dtype(self, p_float=0.65):
        """float32 or float64, else any real dtype."""
        return self.choice((F32, F64)) if self.chance() < p_float else self.choice(REAL)

    def sample(self, shape, dtype, mode):
        """Numbers of a dtype. `mode`: "exact" (a few quarters, of which sums and products are exact), "normal",
        "special" (also NaN, infinities, subnormals, -0.0) or "bits" (anything).
        """
        numbers = self.numbers
        if dtype.kind == "b":
            return numbers.integers(0, 2, shape).astype(bool)
        if dtype.kind in "iu":
            if mode == "bits":
                low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
                return numbers.integers(low, high, shape, dtype=dtype, endpoint=True)
            return numbers.integers(0 if dtype.kind == "u" else -3, 4, shape).astype(dtype)
        if mode == "exact":
            return (numbers.integers(-8, 9, shape) / 4).astype(dtype)
        if mode == "bits" and dtype.itemsize <= 8:
            count = int(np.prod(shape))
            return np.frombuffer(numbers.bytes(count * dtype.itemsize), dtype).reshape(shape)
        found = numbers.standard_normal(shape) * 10.0 ** self.integer(-2, 2)
        with np.errstate(all="ignore"):
            found = found.astype(dtype)
        if mode == "special" and found.size:
            info = np.finfo(dtype)
            strange = (np.nan, np.inf, -np.inf, -0.0, info.smallest_subnormal, -info.tiny, info.max, info.min)
            flat = found.reshape(-1)
            for _ in range(self.integer(1, 4)):
                flat[self.integer(flat.size)] = strange[self.integer(len(strange))]
        return found

    def mode(self):
        kind = self.chance()
        return "exact" if kind < 0.45 else "normal" if kind < 0.88 else "special" if kind < 0.97 else "bits"
