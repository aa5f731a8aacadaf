"""Hostile calls: one seed makes a short program of them, each with what it has to answer.

`program(seed, memory)` is a generator of `Call`s; what a call returned is sent back to it, None where it raised. Most
programs are one call; one on an `Objective` makes it and calls it a few times. About half of the calls are spoiled: one
or two arguments are what they must not be.
"""

from __future__ import annotations

from draw import Draw
from linear_calls import decision_calls, linear_calls
from objective_calls import objective_calls
from score_calls import margin_calls, score_calls
from small_calls import small_calls


def program(seed, memory):
    """The calls of a seed."""
    draw = Draw(seed, memory)
    kind = draw.chance()
    if kind < 0.3:
        yield from score_calls(draw)
    elif kind < 0.62:
        yield from linear_calls(draw)
    elif kind < 0.7:
        yield from decision_calls(draw)
    elif kind < 0.9:
        yield from objective_calls(draw)
    elif kind < 0.95:
        yield from margin_calls(draw)
    else:
        yield from small_calls(draw)
