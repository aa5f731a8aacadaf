"""What the commands that read data share: the user's errors, losses by name, and labels."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import hingefast as hf
from hingefast._threads import resolve_threads
from hingefast.checks.arrays import shorten
from hingefast.io.arrays import DataFileError
from hingefast.io.compressed import show_path
from hingefast.io.csr import CSR
from hingefast.io.svmlight import SvmlightError
from hingefast.losses import Loss, MarginLoss
from hingefast.multiclass import MULTICLASS_LOSSES, MulticlassLoss
from hingefast.names import OBJECTS

__all__ = [
    "UserError",
    "columns_of",
    "errors_told",
    "find_classes",
    "get_losses",
    "label_number",
    "label_text",
    "memory_told",
    "multiclass_names",
    "n_threads",
    "parameters_of",
    "widened",
    "width_text",
]

Array: TypeAlias = npt.NDArray[Any]

# The label pairs (negative, positive) that are understood without being told. {0, 1} and {1, 2} both hold a
# 1, so a file with a single label is never guessed.
KNOWN_CLASSES = ((-1.0, 1.0), (0.0, 1.0), (1.0, 2.0))


class UserError(Exception):
    """Something the user can put right; the message says what."""


@contextmanager
def errors_told(file: str) -> Iterator[None]:
    """Turn what reading a file raises into a UserError."""
    try:
        yield
    except OSError as error:
        name = show_path(file if error.filename is None else str(error.filename))
        raise UserError(f"cannot read {name}: {error.strerror or error}") from error
    except (DataFileError, SvmlightError) as error:
        raise UserError(str(error)) from error
    except MemoryError as error:
        raise UserError(f"not enough memory to read {show_path(file)}") from error


# ---- memory


@contextmanager
def memory_told(
    X: CSR | Array, n_coef_rows: int, n_vectors: int, width: str, work: str = "evaluate"
) -> Iterator[None]:
    """Turn a MemoryError into a UserError that says what needs so much; refuse at once what cannot end well.

    A single large id is enough, and memory that the system promises but does not have ends the process without a
    word. `n_vectors` is how many vectors of one number a feature live at the same time.
    """
    n_features = X.shape[1]
    try:
        if 8 * n_vectors * n_features > _physical_memory():
            raise MemoryError
        yield
    except MemoryError as error:
        stored = X.size if isinstance(X, np.ndarray) else X.data.size
        if n_coef_rows * n_features <= stored:
            raise UserError(f"not enough memory to {work} {stored:,} numbers") from error
        each = "" if n_coef_rows == 1 else f" for each of {n_coef_rows:,} classes"
        raise UserError(f"not enough memory: coef needs {n_features:,} numbers{each}; {width}") from error


def _physical_memory() -> int:
    """Bytes of this machine; where it does not tell, as many as can be addressed."""
    try:
        n_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        n_bytes = 0
    return n_bytes if n_bytes > 0 else int(np.iinfo(np.intp).max)


def width_text(X: CSR | Array, n_features: int | None, data: str) -> str:
    """What decided the number of features."""
    if isinstance(X, np.ndarray):
        return f"{show_path(data)} has so many columns"
    if n_features is not None:
        return "--n-features says so"
    return f"the largest id is {X.largest_id}, in line {X.largest_id_line} of {show_path(data)}"


def widened(X: CSR | Array, n_features: int, data: str, owner: str, width: str) -> CSR | Array:
    """X with the features of a model.

    A sparse file may end before the last ones, which are zeros then; what the model does not know is refused.
    """
    if X.shape[1] == n_features:
        return X
    if isinstance(X, CSR) and X.shape[1] < n_features:
        return dataclasses.replace(X, shape=(X.shape[0], n_features))
    reason = "" if isinstance(X, np.ndarray) else f"; {width}"
    raise UserError(f"{show_path(data)} has {X.shape[1]:,} features, {owner} has {n_features:,}{reason}")


def n_threads(asked: int | None) -> int:
    """Return the number of threads to use; the environment, which may decide it, may hold anything."""
    try:
        return resolve_threads(asked)
    except ValueError as error:
        raise UserError(str(error)) from error


# ---- losses


def get_losses(names: Sequence[str]) -> list[Loss]:
    """Return the loss objects, each once; they must all be binary, or all multiclass."""
    losses: dict[Loss, None] = {}
    for name in names:
        if name.startswith(tuple(OBJECTS)):
            raise UserError(
                f"{shorten(name)} is not for the command line: the loss needs a parameter, given in Python"
            )
        try:
            losses[hf.get_loss(name)] = None
        except ValueError as error:
            raise UserError(str(error)) from error
    binary = [loss.name for loss in losses if not isinstance(loss, MulticlassLoss)]
    several = [loss.name for loss in losses if isinstance(loss, MulticlassLoss)]
    if binary and several:
        raise UserError(
            f"{binary[0]} wants one score a row and {several[0]} one for each class: evaluate them one after the other"
        )
    return list(losses)


def multiclass_names() -> str:
    """Which losses there are for more than two classes."""
    *others, last = MULTICLASS_LOSSES
    return f"for several classes {', '.join(others)} or {last}, also with a base as in {others[0]}:logistic"


def parameters_of(loss: Loss) -> dict[str, Any]:
    """Return the parameters of a loss, or those of the margin loss that it is built on, and its name."""
    if isinstance(loss, MarginLoss):
        return loss.params
    base = loss.params["base"]
    return {"base": base.name, **base.params}


# ---- labels


def find_classes(
    labels: Array,
    given: tuple[float, ...] | None,
    wants_multiclass: bool,
    file: str,
    giver: str = "--classes names",
) -> tuple[float, ...]:
    """Return the labels (negative, positive), or those of all columns; `giver` is who `given` comes from."""
    found = np.unique(labels)
    shown = ", ".join(map(label_text, found[:8])) + (", ..." if found.size > 8 else "")
    plural = "s" if found.size > 1 else ""
    if given is not None:
        if not np.isin(found, given).all():
            names = ", ".join(map(label_text, given[:-1])) + f" and {label_text(given[-1])}"
            raise UserError(f"{file} has the label{plural} {shown}, {giver} {shorten(names)}")
        return given
    if found.size > 2:
        if not np.array_equal(found, np.round(found)):
            raise UserError(
                f"{file} has {found.size} labels ({shown}); more than two classes must be named by integers"
            )
        return tuple(found.tolist())
    if tuple(found) in KNOWN_CLASSES or (wants_multiclass and found.size == 2):
        return float(found[0]), float(found[1])
    raise UserError(
        f"{file} has the label{plural} {shown}, not {{-1,1}}, {{0,1}} or {{1,2}}; "
        "say which is which with --classes NEG,POS"
    )


def label_number(label: float) -> int | float:
    """A label as an integer, where it is one that a float holds exactly."""
    return int(label) if abs(label) <= 2**53 and label == int(label) else float(label)


def label_text(label: float) -> str:
    """Write a label as one writes it: integers without a point or an exponent."""
    number = label_number(label)
    return str(number) if isinstance(number, int) else f"{number:g}"


def columns_of(labels: Array, classes: tuple[float, ...]) -> npt.NDArray[np.int64]:
    """Return for each label its place in `classes`."""
    order = np.argsort(classes)
    return order[np.searchsorted(np.array(classes)[order], labels)].astype(np.int64, copy=False)
