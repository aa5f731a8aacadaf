"""What a pass found wrong in the data, in words: the argument, the rule, what stood there and the first place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hingefast._kernels.labels import equal_to
from hingefast._kernels.problem import ZeroWeight
from hingefast._kernels.run import DataFault
from hingefast._kernels.table import (
    FAULT_INDEX,
    FAULT_INDPTR,
    FAULT_ROW,
    FAULT_WEIGHT,
    default_environment,
)
from hingefast.checks.arrays import InvalidCSRError, write_number

__all__ = ["class_label", "error", "explained", "pair_label", "weight", "zero_weight"]

R = TypeVar("R")
Array = npt.NDArray[Any]

SHOWN_LABELS = 8  # of the declared ones in a message

_BYTE_ORDER: Any = "little" if np.little_endian else "big"


def explained(call: Callable[..., R], *arguments: Any) -> R:
    """What a kernel's call returns; what it finds wrong becomes an error in words."""
    try:
        return call(*arguments)
    except DataFault as fault:
        found = error(fault, None)
    except ZeroWeight as fault:
        found = ValueError(zero_weight(fault.args[0]))
    try:
        raise found  # not inside: neither the fault nor what it holds outlives the call
    finally:
        del found  # which holds this frame


def error(fault: DataFault, scores: Array | None) -> ValueError:
    """The error that a fault is.

    Parameters
    ----------
    scores : ndarray or None
        Where given, it is looked at to tell whether labels and scores were swapped.
    """
    first = int.from_bytes(fault.seen[:8], _BYTE_ORDER, signed=True)
    if fault.kind == FAULT_INDEX:
        n_features = fault.layout.n_features
        return InvalidCSRError(
            f"X.indices[{fault.position}] (row {fault.row}) is {first}, must be in [0, {n_features})"
        )
    if fault.kind == FAULT_INDPTR:
        return _pointers(fault, first)
    if fault.kind == FAULT_ROW:
        return ValueError(f"rows[{fault.position}] is {first}, must be in [0, {fault.targets.n_total})")
    if fault.kind == FAULT_WEIGHT:
        return weight(fault.targets.seen_weight(fault.seen), fault.row)
    label, classes = fault.targets.seen_label(fault.seen), fault.targets.classes
    if classes.n_classes:
        return class_label(label, fault.row, classes.n_classes, classes.labels)
    return pair_label(label, fault.row, classes.labels, fault.targets.labels_are_bool, scores)


def _pointers(fault: DataFault, first: int) -> InvalidCSRError:
    row, second = fault.row, int.from_bytes(fault.seen[8:16], _BYTE_ORDER, signed=True)
    if second < first:
        return InvalidCSRError(
            f"X.indptr[{row + 1}] is {second}, must not be below X.indptr[{row}], which is {first}"
        )
    name, value = (f"X.indptr[{row}]", first) if first < 0 else (f"X.indptr[{row + 1}]", second)
    return InvalidCSRError(f"{name} is {value}, must be in [0, {fault.layout.n_stored}], the entries stored")


def weight(value: Any, row: int) -> ValueError:
    """A weight that is none."""
    return ValueError(f"sample_weight[{row}] is {write_number(value)}, must be finite and >= 0")


def zero_weight(n_rows: int) -> str:
    """Why a mean does not exist."""
    if n_rows == 0:
        return "the mean of no rows is undefined; pass rows, or reduction='sum'"
    return f"the weights of all {n_rows} rows sum to 0, so their mean is undefined; pass reduction='sum'"


def pair_label(
    label: Any, row: int, classes: tuple[float, float], is_bool: bool, scores: Array | None
) -> ValueError:
    """A label that is neither of a pair."""
    negative, positive = classes
    if scores is not None and _look_like_labels(scores, negative, positive):
        hint = "; scores hold only labels: were the two swapped? the order is (y, scores)"
    elif is_bool:  # other classes than 0 and 1 are declared, or no label could be wrong
        hint = " (boolean labels are 0 and 1; pass classes=(False, True))"
    elif (negative, positive) == (-1, 1) and label == 0:
        hint = " (pass classes=(0, 1) for 0/1 labels)"
    elif (negative, positive) == (-1, 1) and label == 2:
        hint = " (pass classes=(1, 2) for 1/2 labels)"
    else:
        hint = " (pass classes=(negative, positive) for other labels)"
    rule = f"{write_number(negative)} and {_signed(positive, negative)}"
    return ValueError(f"y must contain only {rule}; y[{row}] is {write_number(label)}{hint}")


def class_label(label: Any, row: int, n_classes: int, labels: Array | None) -> ValueError:
    """A label that is none of K classes."""
    hint = ""
    if labels is not None:
        shown = [str(number) for number in labels[:SHOWN_LABELS]]
        if n_classes > SHOWN_LABELS:
            shown[-2:] = ["...", str(labels[-1])]
        rule = f"the declared classes {', '.join(shown)}"
    else:
        rule = f"the classes 0 to {n_classes - 1}"
        hint = " (pass classes=[...], the labels in the order of the columns, for others)"
        if label == n_classes:
            hint = f" (pass classes=range(1, {n_classes + 1}) for labels 1 to {n_classes})"
        elif label == -1 and n_classes == 2:
            hint = " (pass classes=(-1, 1) for labels -1 and +1)"
    return ValueError(f"y must contain only {rule}; y[{row}] is {write_number(label)}{hint}")


def _look_like_labels(scores: Array, negative: float, positive: float) -> bool:
    if scores.dtype.kind == "b":
        return True
    sample = scores[:10000]
    with default_environment():  # a signalling NaN
        return bool(sample.size and np.all(equal_to(sample, negative) | equal_to(sample, positive)))


def _signed(value: float, other: float) -> str:
    """The positive label, with its sign where the other one has one."""
    return f"+{write_number(value)}" if other < 0 < value else write_number(value)
