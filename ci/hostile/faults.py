"""What is wrong with an argument, and so what a call that is given it has to answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REFUSED = (TypeError, ValueError)
INT64 = np.iinfo(np.int64)


@dataclass
class Fault:
    """What is wrong with an argument."""

    names: tuple  # words of which the message must hold one
    errors: tuple = REFUSED
    text: str = ""  # what the message must hold as well, where only this is wrong
    is_content: bool = False  # found while the numbers are read, when an output may hold something already
    is_sure: bool = True  # else the call may accept it


def no_mean(*, is_sure=True):
    """No rows, or weights that sum to 0: whose mean does not exist."""
    return Fault(("sample_weight", "weights", "rows", "reduction"), (ValueError,), is_sure=is_sure)


def first_bad(is_bad, batch):
    """The first row of the batch that is bad, or None."""
    bad = np.flatnonzero(is_bad if batch is None else is_bad[batch])
    return None if not bad.size else int(bad[0] if batch is None else batch[bad[0]])
