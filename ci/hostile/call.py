"""One hostile call: how to make it, what it has to answer, and how its arguments get spoiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from faults import Fault, no_mean


@dataclass
class Call:
    """One call: how to make it and what it has to answer."""

    entry: str
    run: Callable[..., Any]  # takes n_threads, where `takes_threads`
    told: dict  # its arguments by name, for reports
    faults: list  # of `arguments.Fault`; none where the call must succeed
    check: Callable[[Any], None] | None = None  # raises oracle.Wrong
    takes_threads: bool = False
    outs: list = field(default_factory=list)  # (array, piece) of outputs
    out_is_result: bool = False  # an output must come back as the very object
    keeps_out: bool = False  # outputs stay as they are whatever the error
    named: tuple = ()  # further words that a message may name
    draw: Any = None

    @property
    def must_refuse(self):
        return any(fault.is_sure for fault in self.faults)

    @property
    def must_succeed(self):
        return not self.faults


def spoiled(draw, names):
    """Which arguments to spoil: none of them in half of the calls."""
    if draw.chance() < 0.5:
        return frozenset()
    return frozenset(draw.random.sample(names, 1 if len(names) == 1 or draw.chance() < 0.85 else 2))


class Spoiler:
    """Replaces arguments by spoiled ones and collects the faults."""

    def __init__(self, draw, told, which):
        self.draw, self.told, self.which, self.faults = draw, told, which, []

    def __call__(self, name, spoil, *others):
        """`told[name]`, spoiled where that is wanted; `spoil` gives (object, Fault or None), or None."""
        if name not in self.which:
            return
        found = spoil(self.draw, *others)
        if found is None:
            return
        self.told[name], fault = found
        if fault is not None:
            self.faults.append(fault)
        elif "rows" in self.which:  # which rows are met, and so what is told first, is open
            self.faults.append(Fault(("X", "y", "sample_weight"), is_content=True, is_sure=False))


def passed_on(draw, odds, **arguments):
    """The arguments that are not None; with these odds also one that is."""
    return {name: value for name, value in arguments.items() if value is not None or draw.chance() < odds}


def combined(weight, factor, columns):
    """Weights of rows in longdouble, None where there are none."""
    if factor is None:
        return weight
    of_class = factor.astype(np.longdouble)[columns]
    return of_class if weight is None else weight * of_class


def add_no_mean(spoil, reduction, n_rows):
    """A call that is wrong already may be told first that there is no mean."""
    if (
        spoil.faults
        and (n_rows == 0 or "sample_weight" in spoil.told or "class_weight" in spoil.told)
        and reduction == "mean"
    ):
        spoil.faults.append(no_mean(is_sure=False))


def is_plain_number(value):
    return type(value) is float
