"""Numbers, names, flags and rows: drawn well, or spoiled on purpose (as in `label_arguments`)."""

from __future__ import annotations

import numpy as np
import wild
from draw import REAL
from faults import INT64, Fault
from label_arguments import fits


def threads(draw):
    return draw.choice((None, None, 1, 2, 3, 4, -1, np.int64(2), np.uint8(3), 10**30))


def spoil_threads(draw):
    if draw.chance() < 0.5:
        return draw.choice((0, -2, -5, np.int8(-7), -(10**400), -(10**5000))), Fault(("n_threads",))
    return wild.no_integer(draw), Fault(("n_threads",))


def reduction(draw, choices):
    name = draw.choice(choices)
    return draw.choice((name, name, name, wild.Text(name), np.str_(name))), name


def spoil_reduction(draw):
    spoiled = wild.no_name(draw)
    while isinstance(spoiled, str) and spoiled in ("mean", "sum", "none"):
        spoiled = wild.no_name(draw)
    return spoiled, Fault(("reduction",))


def alpha(draw):
    if draw.chance() < 0.55:
        return draw.choice((0.0, 0, -0.0)), 0.0
    found = draw.choice(
        (0.5, 1e-4, 3, np.float32(0.25), np.float64(2), np.array(0.125), np.int8(1), np.float16(0.5))
    )
    return found, float(found)


def spoil_alpha(draw):
    if draw.chance() < 0.5:
        return draw.choice(
            (-1, -1e-300, np.nan, np.inf, -np.inf, 10**400, -(10**5000), np.float32(-1))
        ), Fault(("alpha",))
    return wild.no_number(draw), Fault(("alpha",))


def rows(draw, n_rows):
    """(rows, the rows that it names as an array, or None for all)."""
    kind = draw.chance()
    if kind < 0.55:
        return None, None
    if kind < 0.75:
        ends = (None, 0, 1, -1, n_rows // 2, n_rows, -n_rows - 3, n_rows + 5, 2**63, -(2**70), np.int64(2))
        steps = (None, 1, 2, 3, -1, -2, n_rows + 1, 2**31, -(2**40), 2**70, -(2**70), np.int8(1))
        found = slice(draw.choice(ends), draw.choice(ends), draw.choice(steps))
        return found, np.arange(n_rows)[np.array(range(n_rows)[found], np.int64)]
    dtype = draw.choice(tuple(dtype for dtype in REAL if dtype.kind in "iu"))
    if n_rows == 0:
        numbers = np.zeros(0, dtype)
    else:
        most = min(n_rows, np.iinfo(dtype).max)
        numbers = draw.numbers.integers(0, most, draw.size(80)).astype(dtype)
    found = draw.dress(draw.lay_out(numbers))
    if draw.chance() < 0.1:
        first, last = sorted((draw.integer(n_rows + 1), draw.integer(n_rows + 1)))
        found = range(first, last)
    return found, np.asarray(found).astype(np.int64) if len(numbers) or not isinstance(
        found, (list, tuple)
    ) else numbers.astype(np.int64)


def spoil_rows(draw, n_rows):
    kind = draw.integer(6)
    if kind < 2:
        dtype = draw.choice(tuple(dtype for dtype in REAL if dtype.kind == "i" or dtype == np.uint64))
        numbers = np.zeros(draw.integer(1, 12), dtype) if n_rows else np.zeros(1, dtype)
        outside = [
            -1,
            n_rows,
            n_rows + 7,
            2**31 - 1,
            -(2**31),
            2**32 + 3,
            INT64.max,
            INT64.min,
            2**64 - 1,
            2**63,
        ]
        outside = [number for number in outside if fits(number, dtype)]
        place = draw.integer(len(numbers)) if n_rows else 0
        if not outside:
            return None
        numbers[place] = draw.choice(outside)
        spoiled = draw.dress(draw.lay_out(numbers, may_repeat=False))
        if isinstance(spoiled, (list, tuple)):  # NumPy may have no integer dtype for them
            return spoiled, Fault(("rows",))
        return spoiled, Fault(("rows",), (ValueError,), f"rows[{place}]", is_content=True)
    if kind == 2:
        fixed = (
            slice(None, None, 0), slice(1.5, None), slice("a"), slice(None, [1]), slice(0, 2, 1.0), slice(1j), True, 0,
            np.ones(n_rows, bool), [True] * max(n_rows, 1), np.zeros(3), [0.0], [[0]], np.zeros((1, 1), int), [10**400],
            np.zeros((), int), [[0], [0, 0]], 10**400, [2**64], Ellipsis,
        )  # fmt: skip
        return draw.choice(fixed), Fault(("rows",))
    if kind == 3:
        return slice(wild.Converts(wild.foreign_error(draw))), Fault(("rows",))
    spoiled = wild.no_numbers(draw, (2,))
    while isinstance(spoiled, slice):
        spoiled = wild.no_numbers(draw, (2,))
    return spoiled, Fault(("rows",))


def flag(draw):
    found = draw.chance() < 0.5
    return draw.choice((found, found, np.bool_(found))), found


def spoil_share(draw, name):
    """What is neither a flag nor a number >= 0."""
    wrong = (None, "yes", np.array([True, False]), [], -1.0, float("nan"), float("inf"), 1j)
    return draw.choice(wrong), Fault((name,))


def spoil_flag(draw, name):
    return draw.choice((0, 1, None, "yes", 1.0, np.array(True), np.array([True, False]), [])), Fault((name,))
