"""Objects that nobody should pass, for every argument: what a call has to refuse in its own words.

Each function gives (object, is_sure): whether no call may take it for an array, a number, ... of numbers.
"""

from __future__ import annotations

import collections
import contextlib
import decimal
import fractions
from types import SimpleNamespace

import numpy as np


class Foreign:
    """Marks an exception that an object of the caller's raised in its own code: it may come out as it is."""


class ForeignRuntimeError(Foreign, RuntimeError):
    pass


class ForeignValueError(Foreign, ValueError):
    pass


class ForeignKeyError(Foreign, KeyError):
    pass


class Raises:
    """Every attribute raises, but those that Python itself looks for on the type."""

    def __init__(self, error, only=None):
        object.__setattr__(self, "how", (error, only))

    def __getattribute__(self, name):
        error, only = object.__getattribute__(self, "how")
        if name.startswith("__") or (only is not None and name != only):
            raise AttributeError(name)
        raise error("an attribute of the caller's object " + "x" * 700)


class Converts:
    """Says that it is a number, and raises when it is asked for it."""

    def __init__(self, error):
        self.error = error

    def refuse(self, *arguments, **keywords):
        raise self.error("a conversion of the caller's object")

    __float__ = __int__ = __index__ = __len__ = __bool__ = __array__ = __iter__ = refuse

    def __repr__(self):
        return "Converts()"


class LongName:
    """An object whose text is long."""

    def __repr__(self):
        return "y" * 3000


class BadText:
    """An object that has no text."""

    def __repr__(self):
        raise ForeignRuntimeError("no text")


class Text(str):
    """A str like any other."""


def foreign_error(draw):
    return draw.choice((ForeignRuntimeError, ForeignValueError, ForeignKeyError))


class Mirror(SimpleNamespace):
    """A sparse matrix of another format, as SciPy's look."""

    def tocsr(self):
        raise ForeignRuntimeError("tocsr was called")


def sparse(draw):
    return Mirror(
        format=draw.choice(("csc", "bsr", "coo", "lil")),
        indptr=np.array([0, 1]),
        indices=np.array([0]),
        data=np.ones(1),
        shape=(1, 1),
    )


def no_numbers(draw, shape=(3,)):
    """Something that is no array of numbers whatever one does."""
    kind = draw.integer(24)
    base = np.zeros(shape)
    if kind == 0:
        return base.astype(draw.choice((np.complex64, np.complex128)))
    if kind == 1:
        return base.astype("U3")
    if kind == 2:
        return base.astype(object)
    if kind == 3:
        return base.astype(draw.choice(("M8[s]", "m8[s]")))
    if kind == 4:
        return np.ma.masked_array(base, mask=draw.chance() < 0.5)
    if kind == 5:
        return np.zeros(shape, [("a", float), ("b", int)])
    if kind == 6:
        return np.zeros(shape, "V4")
    if kind == 7:
        return sparse(draw)
    if kind == 8:
        return (number for number in (1.0, 2.0))
    if kind == 9:
        return draw.choice(("", "mean", "x" * 3000, b"abc", "\ud800"))
    if kind == 10:
        return draw.choice(({}, {1: 2}, {1, 2}, frozenset(), collections.OrderedDict(a=1)))
    if kind == 11:
        return draw.choice((object, np.ndarray, int, len, Ellipsis, NotImplemented))
    if kind == 12:
        return [[1.0], [1.0, 2.0]]
    if kind == 13:
        return ["a", 1.0]
    if kind == 14:
        return [None] * max(shape[0] if shape else 1, 1)
    if kind == 15:
        return [10**400, 1]
    if kind == 16:
        return slice(*(draw.choice((None, 0, 3, -1)) for _ in range(3)))
    if kind == 17:
        return Converts(foreign_error(draw))
    if kind == 18:
        return 1j
    if kind == 19:
        return np.datetime64("2020-01-01")
    if kind == 20:
        return LongName()
    if kind == 21:
        return np.zeros(shape, np.dtypes.StringDType())
    if kind == 22:
        return [np.zeros(2), np.zeros(3)]
    return BadText()


def no_number(draw):
    """Something that is no single real number."""
    kind = draw.integer(8)
    if kind == 0:
        return None
    if kind == 1:
        return np.zeros(draw.choice((0, 2, 3)))
    if kind == 2:
        return draw.choice((True, False, np.True_))
    if kind == 3:
        return [draw.choice((1.0, 0.5)), 2.0]
    if kind == 4:
        return draw.choice(("0.5", b"1", "nan"))
    return no_numbers(draw, ())


def no_integer(draw):
    """Something that is no integer."""
    kind = draw.integer(8)
    if kind == 0:
        return draw.choice((True, False, np.False_))
    if kind == 1:
        return draw.choice((2.0, 0.5, float("nan"), float("inf"), np.float32(2)))
    if kind == 2:
        return draw.choice(("2", "x" * 5000, b"2", ""))
    if kind == 3:
        return [[0.5] * 100] * 10
    if kind == 4:
        return np.array([1, 2])
    if kind == 5:
        return draw.choice((decimal.Decimal(2), fractions.Fraction(2), 2j))
    if kind == 6:
        return LongName()
    return no_numbers(draw, ())


def no_name(draw):
    """Something that is no name at all, or the name of nothing."""
    kind = draw.integer(8)
    if kind == 0:
        return draw.choice((None, 0, 1.5, True, b"mean", 10**400))
    if kind == 1:
        return draw.choice(
            ("", "MEAN", "mean ", "x" * 5000, "\ud800", "a\0b", "crammer_singer:", ":", "hinge:hinge")
        )
    if kind == 2:
        return np.array(draw.choice((["mean", "sum"], "mean", [])))
    if kind == 3:
        return [draw.choice(("mean", "hinge"))]
    return no_numbers(draw, (2,))


def text_of(value, longest=300):
    """A text of anything, for reports."""
    text = "an object that has no text"
    with contextlib.suppress(Exception):
        text = repr(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
