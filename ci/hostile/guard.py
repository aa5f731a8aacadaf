"""Memory for the arrays of a hostile call: whoever reads or writes beside an array is caught.

Two kinds, with the same methods. `Heap` allocates exactly the bytes of an array, for a build with AddressSanitizer,
which watches both ends. `Guarded`, for the release build, puts an array at the very end or the very beginning of pages
whose neighbours cannot be touched, and can forbid writing: the process dies at the instruction that goes wrong. Pages
are used again by later calls; in between nobody may touch them, so that a worker who stays too long dies too.

What a page holds beside the array is 0xFF (NaN as a float, -1 as an integer); `disturbed` tells whether it still is.
"""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

PAGE = mmap.PAGESIZE
FILL = 0xFF
SLOT_PAGES = (1, 4, 16, 64)  # sizes kept for later calls; what is larger is mapped and unmapped each time
SLOTS_AT_ONCE = {1: 64, 4: 16, 16: 8, 64: 2}
PROT_NONE, PROT_READ, PROT_WRITE = 0, 1, 2

_mprotect = ctypes.CDLL(None, use_errno=True).mprotect
_mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def address_of(array):
    return array.__array_interface__["data"][0]


class Piece:
    """Bytes first .. first + nbytes of `memory`, a uint8 array, which itself belongs to whoever was given them."""

    __slots__ = ("before", "first", "memory", "nbytes", "slot")

    def __init__(self, memory, first, nbytes, slot):
        self.memory, self.first, self.nbytes, self.slot = memory, first, nbytes, slot
        self.before = None

    def view(self):
        return self.memory[self.first : self.first + self.nbytes]

    def remember(self):
        """Keep what it holds now."""
        self.before = self.view().tobytes()

    def changed(self):
        """Whether it holds something else than was remembered."""
        return self.before is not None and self.view().tobytes() != self.before


class Heap:
    """Exactly as many bytes as asked for."""

    def __init__(self):
        self.pieces = []

    def take(self, nbytes, align, shift, at_end):
        """`nbytes` bytes; the address is `shift` more than a multiple of `align`."""
        memory = np.empty(nbytes + shift, np.uint8)
        memory.fill(FILL)
        piece = Piece(memory, shift, nbytes, None)
        self.pieces.append(piece)
        return piece

    def seal(self, piece):
        """Forbid writing, where that can be done."""

    def unseal(self, piece):
        """Allow it again."""

    def disturbed(self, piece):
        """Whether bytes beside the piece were written."""
        return False

    def release(self):
        """End the use of all pieces taken since the last time, but those that were `kept`."""
        self.pieces = []

    def keep(self):
        """The pieces taken so far, which stay in use until they are given to `give_back`."""
        kept, self.pieces = self.pieces, []
        return kept

    def give_back(self, kept):
        """End their use."""


class Slot:
    """Pages between two that cannot be touched."""

    __slots__ = ("address", "end", "is_pooled", "memory", "pages", "start")

    def __init__(self, memory, start, pages, is_pooled):
        self.memory, self.start, self.pages, self.is_pooled = memory, start, pages, is_pooled
        self.end = start + pages * PAGE
        self.address = address_of(memory) + start

    def protect(self, how):
        if _mprotect(self.address, self.pages * PAGE, how):
            raise OSError(ctypes.get_errno(), "mprotect")


def map_slots(pages, count, is_pooled):
    memory = np.frombuffer(mmap.mmap(-1, (count * (pages + 1) + 1) * PAGE), np.uint8)
    if _mprotect(address_of(memory), memory.size, PROT_NONE):
        raise OSError(ctypes.get_errno(), "mprotect")
    return [Slot(memory, (k * (pages + 1) + 1) * PAGE, pages, is_pooled) for k in range(count)]


class Guarded(Heap):
    """Pages between two that cannot be touched."""

    def __init__(self):
        super().__init__()
        self.free = {pages: [] for pages in SLOT_PAGES}

    def slot_for(self, nbytes):
        need = max(1, -(-nbytes // PAGE))
        for pages in SLOT_PAGES:
            if need <= pages:
                if not self.free[pages]:
                    self.free[pages] = map_slots(pages, SLOTS_AT_ONCE[pages], True)
                return self.free[pages].pop()
        return map_slots(need, 1, False)[0]

    def take(self, nbytes, align, shift, at_end):
        slot = self.slot_for(nbytes + 2 * align)
        slot.protect(PROT_READ | PROT_WRITE)
        slot.memory[slot.start : slot.end].fill(FILL)
        if at_end:
            first = (slot.end - nbytes - shift) // align * align + shift
        else:
            first = slot.start + shift
        piece = Piece(slot.memory, first, nbytes, slot)
        self.pieces.append(piece)
        return piece

    def seal(self, piece):
        piece.slot.protect(PROT_READ)

    def unseal(self, piece):
        piece.slot.protect(PROT_READ | PROT_WRITE)

    def disturbed(self, piece):
        slot = piece.slot
        beside = (
            slot.memory[slot.start : piece.first],
            slot.memory[piece.first + piece.nbytes : slot.end],
        )
        return any(part.size and part.min() != FILL for part in beside)

    def release(self):
        self.give_back(self.keep())

    def give_back(self, kept):
        for piece in kept:
            slot = piece.slot
            slot.protect(PROT_NONE)
            if slot.is_pooled:
                self.free[slot.pages].append(slot)
