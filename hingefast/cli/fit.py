"""What ``hingefast fit`` does: `fit` reads and checks what the user named, trains, writes the model, fills a `Fit`.

Shapes as in `cli/evaluate.py`: coef (d,) and a float intercept for a loss of one margin; coef (K, d) and intercept
(K,) for a loss of K classes, which one-vs-rest of a margin loss is.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO, TypeAlias

import numpy as np
import numpy.typing as npt

import hingefast as hf
from hingefast._kernels import table
from hingefast.cli.compare import row_blocks
from hingefast.cli.evaluate import whole_report
from hingefast.cli.inputs import (
    UserError,
    columns_of,
    errors_told,
    find_classes,
    get_losses,
    label_text,
    memory_told,
    n_threads,
    parameters_of,
    widened,
    width_text,
)
from hingefast.cli.progress import Progress
from hingefast.io.arrays import read_data
from hingefast.io.compressed import show_path
from hingefast.io.csr import CSR
from hingefast.io.model import Model, write_model
from hingefast.losses import Loss, MarginLoss
from hingefast.multiclass import MulticlassLoss, OneVsRest

__all__ = ["DEFAULT_LOSS", "INTERCEPTS", "Fit", "Part", "fit"]

Array: TypeAlias = npt.NDArray[Any]

# What `sklearn.svm.LinearSVC` and LIBLINEAR take.
DEFAULT_LOSS = "squared_hinge"

# Options of an objective by the word of the command line.
INTERCEPTS: dict[str, dict[str, Any]] = {
    "penalized": {"penalize_intercept": True},
    "free": {"penalize_intercept": False},
    "none": {"fit_intercept": False},
}


@dataclass(frozen=True)
class Part:
    """How the model does on some rows."""

    file: str
    rows: int
    errors: int
    accuracy: float
    margins: hf.MarginReport


@dataclass(frozen=True)
class Fit:
    """Everything that ``hingefast fit`` shows."""

    file: str
    labels_file: str | None  # None: the file holds them
    model: str
    rows: int  # of the file
    features: int
    nonzeros: int
    dense: bool
    dtype: str
    level: str
    threads: int
    multiclass: bool
    classes: tuple[float, ...]  # binary: (negative, positive); else in the order of the rows of coef
    class_rows: tuple[int, ...]  # of the file
    loss: str
    parameters: dict[str, Any]
    C: float
    alpha: float
    intercept: str
    method: str
    tol: float
    converged: bool
    message: str
    objective: float
    gap: float
    iterations: int
    passes: int
    seconds: float
    seed: int
    held_out: float | None  # the share that was asked for
    training: Part
    test: Part | None


@np.errstate(all="ignore")  # what overflows is told by what is shown, or as an error
def fit(
    data: str,
    output: str,
    *,
    labels: str | None = None,
    loss: str = DEFAULT_LOSS,
    C: float = 1.0,
    method: str = "auto",
    tol: float = 1e-4,
    max_iter: int | None = None,
    intercept: str = "penalized",
    test: float | str | None = None,
    test_labels: str | None = None,
    seed: int = 0,
    dtype: str = "float64",
    threads: int | None = None,
    classes: tuple[float, ...] | None = None,
    n_features: int | None = None,
    zero_based: bool | None = None,
    terminal: TextIO | None = None,
) -> Fit:
    """Train a linear classifier on a file and write it; the parameters are the options of the command.

    Parameters
    ----------
    test : float or str, optional
        A share of the rows to hold out, or another file.
    terminal : text stream, optional
        Where the progress is told.

    Raises
    ------
    UserError
        For everything that the user can put right.
    """
    # What can be refused is refused before the file, which may take minutes, is read.
    (named,) = get_losses([loss])
    n_threads_used = n_threads(threads)
    _check_method(named, method, intercept)
    test_file = test if isinstance(test, str) else None
    if test_labels is not None and test_file is None:
        raise UserError("--test-labels names the labels of --test FILE, which is not given")
    _check_output(output, [data, labels, test_file, test_labels])

    with errors_told(data):
        X, found = read_data(data, labels, n_features=n_features, dtype=dtype, zero_based=zero_based)
    labels_source = show_path(data if labels is None else labels)
    width = width_text(X, n_features, data)
    _check_finite(X, data)
    classes = find_classes(found, classes, isinstance(named, MulticlassLoss), labels_source)
    if isinstance(named, MarginLoss) and len(classes) > 2:
        named = OneVsRest(named)
    multiclass = isinstance(named, MulticlassLoss)
    columns = columns_of(found, classes)
    y = _signs_or_columns(columns, multiclass)

    held_out = _held_out(len(y), test, seed, show_path(data)) if isinstance(test, float) else None
    training = None if held_out is None else ~held_out
    training_rows = _check_training(
        columns if training is None else columns[training], classes, labels_source
    )
    test_set = None
    if test_file is not None:
        test_set = _read_test(
            test_file,
            test_labels,
            classes,
            multiclass,
            (X.shape[1], f"the model of {show_path(data)}"),
            dtype=dtype,
            zero_based=zero_based,
        )

    alpha = _alpha(C, training_rows)
    n_coef_rows = len(classes) if multiclass else 1
    began = time.perf_counter()
    # Methods keep some arrays like theta: directions, gradients, sums.
    with memory_told(X, n_coef_rows, 8 * n_coef_rows, width, "train on"), Progress(terminal) as progress:
        with _refusals_told():
            objective = hf.Objective(
                X,
                y,
                loss=named,
                alpha=alpha,
                sample_weight=training,  # rows of weight 0 are left out exactly, and X is not copied
                classes=len(classes) if multiclass else None,
                n_threads=n_threads_used,
                **INTERCEPTS[intercept],
            )
            result = hf.minimize(
                objective,
                method=method,
                tol=tol,
                max_iter=max_iter,
                callback=None if terminal is None else progress,  # a copy of the result so far each time
                random_state=seed,
            )
        seconds = time.perf_counter() - began
        model = _as_model(objective, result.x, named, classes, dtype)
        of_training = _look_at(data, model, X, y, training, n_threads_used)
        of_test = None
        if held_out is not None:
            of_test = _look_at(data, model, X, y, held_out, n_threads_used)
        elif test_set is not None and test_file is not None:
            of_test = _look_at(test_file, model, *test_set, None, n_threads_used)
    _write(output, model)
    return Fit(
        file=data,
        labels_file=labels,
        model=output,
        rows=X.shape[0],
        features=X.shape[1],
        nonzeros=int(np.count_nonzero(X)) if isinstance(X, np.ndarray) else X.data.size,
        dense=isinstance(X, np.ndarray),
        dtype=dtype,
        level=table.level(),
        threads=n_threads_used,
        multiclass=multiclass,
        classes=classes,
        class_rows=tuple(np.bincount(columns, minlength=len(classes)).tolist()),
        loss=named.name,
        parameters=parameters_of(named),
        C=C,
        alpha=alpha,
        intercept=intercept,
        method=result.method,
        tol=tol,
        converged=result.success,
        message=result.message,
        objective=result.fun,
        gap=result.gap,
        iterations=result.nit,
        passes=result.nfev,
        seconds=seconds,
        seed=seed,
        held_out=test if isinstance(test, float) else None,
        training=of_training,
        test=of_test,
    )


# ---- what can be refused at once


def _check_method(loss: Loss, method: str, intercept: str) -> None:
    """Refuse a loss that the method cannot minimise, which two rows tell as well as a million."""
    multiclass = isinstance(loss, MulticlassLoss)
    with _refusals_told():
        objective = hf.Objective(
            np.eye(2),
            [0, 1] if multiclass else [-1, 1],
            loss=loss,
            alpha=1.0,
            classes=2 if multiclass else None,
            **INTERCEPTS[intercept],
        )
        hf.minimize(objective, method=method, max_iter=0)


@contextmanager
def _refusals_told() -> Iterator[None]:
    """Turn what the library refuses into a UserError."""
    try:
        yield
    except (ValueError, ImportError) as error:
        raise UserError(str(error)) from error


def _check_output(output: str, inputs: Sequence[str | None]) -> None:
    """Refuse what cannot be written, and the files that are read."""
    name = show_path(output)
    try:
        target = os.path.realpath(output)
    except ValueError:
        raise UserError(f"cannot write {name}: no file can be called so") from None
    folder = os.path.dirname(target)
    if not output or not os.path.isdir(folder):
        raise UserError(f"cannot write {name}: No such file or directory")
    if os.path.isdir(target):
        raise UserError(f"cannot write {name}: Is a directory")
    if not os.access(folder if not os.path.exists(target) or os.path.isfile(target) else target, os.W_OK):
        raise UserError(f"cannot write {name}: Permission denied")
    for file in inputs:
        with contextlib.suppress(OSError, ValueError):
            if file is not None and os.path.isfile(target) and os.path.samefile(file, target):
                raise UserError(f"{name} is read, the model must be another file")


# ---- rows and labels


def _check_finite(X: CSR | Array, data: str) -> None:
    """Refuse NaN and infinities: no minimum is to be found then."""
    numbers = X if isinstance(X, np.ndarray) else X.data
    for part in row_blocks(numbers.shape[0], numbers.shape[1] if numbers.ndim == 2 else 1):
        wrong = ~np.isfinite(numbers[part])
        if wrong.any():
            first = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            place = part.start + int(first[0])
            if isinstance(X, np.ndarray):
                row, column = place, int(first[1])
            else:
                row, column = int(np.searchsorted(X.indptr, place, side="right")) - 1, int(X.indices[place])
            value = numbers[part][first]
            beyond = f" as {numbers.dtype}" if np.isinf(value) else ""
            raise UserError(
                f"{show_path(data)} has {value}{beyond} in row {row:,}, column {column:,} (both from 0); "
                "training needs finite numbers"
            )


def _signs_or_columns(columns: npt.NDArray[np.int64], multiclass: bool) -> Array:
    """Labels as the loss wants them."""
    return columns if multiclass else np.where(columns == 1, 1, -1).astype(np.int8)


def _held_out(n_rows: int, share: float, seed: int, name: str) -> npt.NDArray[np.bool_]:
    """Which rows are held out: a random choice of so many as the share comes next to, but one at least."""
    n_held_out = max(1, round(share * n_rows))
    if n_held_out >= n_rows:
        raise UserError(f"--test {share:g} leaves none of the {n_rows:,} rows of {name} to train on")
    held_out = np.zeros(n_rows, bool)
    held_out[np.random.default_rng(seed).permutation(n_rows)[:n_held_out]] = True
    return held_out


def _check_training(columns: npt.NDArray[np.int64], classes: tuple[float, ...], name: str) -> int:
    """Refuse rows of one class only; return how many there are."""
    present = np.unique(columns)
    if present.size < 2:
        label = label_text(classes[int(present[0])])
        raise UserError(f"{name}: all rows to train on are of class {label}, there must be two at least")
    return int(columns.size)


def _read_test(
    file: str,
    labels: str | None,
    classes: tuple[float, ...],
    multiclass: bool,
    features: tuple[int, str],
    *,
    dtype: str,
    zero_based: bool | None,
) -> tuple[CSR | Array, Array]:
    """Read the rows of another file; `features` are the number the model has, and what to call it."""
    with errors_told(file):
        X, found = read_data(
            file, labels, dtype=dtype, zero_based=zero_based, options=("--test", "--test-labels")
        )
    X = widened(X, features[0], file, features[1], width_text(X, None, file))
    source = show_path(file if labels is None else labels)
    find_classes(found, classes, multiclass, source, "the model knows")
    return X, _signs_or_columns(columns_of(found, classes), multiclass)


# ---- the model


def _alpha(C: float, n_rows: int) -> float:
    """Strength of the penalty: C times the sum of the losses is LIBLINEAR's, alpha goes with their mean."""
    alpha = 1 / (C * n_rows) if C * n_rows > 0 else math.inf
    if not 0 < alpha < math.inf:
        raise UserError(f"--C {C:g} is too {'small' if alpha else 'large'} for {n_rows:,} rows")
    return alpha


def _as_model(
    objective: hf.Objective, theta: Array, loss: Loss, classes: tuple[float, ...], dtype: str
) -> Model:
    """The model in the dtype in which its scores are computed."""
    coef, intercept = objective.unpack(theta)
    coef = np.asarray(coef, dtype)
    intercept = np.zeros(coef.shape[:-1], dtype) + np.asarray(intercept, dtype)
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise UserError("the minimum is beyond the numbers of " + dtype + ": scale the features")
    return Model(loss, classes, coef, intercept if coef.ndim == 2 else float(intercept))


def _look_at(
    file: str, model: Model, X: CSR | Array, y: Array, chosen_rows: Array | None, n_threads: int
) -> Part:
    """How the model does on all rows, or on those that are chosen; scores are looked at in blocks of rows."""
    rows = None if chosen_rows is None else np.flatnonzero(chosen_rows)
    reports: list[hf.MarginReport] = []
    for part in row_blocks(y.size if rows is None else rows.size, np.size(model.intercept)):
        chosen = part if rows is None else rows[part]
        scores = hf.decision_function(X, model.coef, model.intercept, rows=chosen, n_threads=n_threads)
        reports.append(hf.margin_report(y[chosen], scores, coef=None if reports else model.coef))
    margins = whole_report(reports)
    right = margins.confident + margins.inside
    return Part(file, margins.n_rows, margins.wrong, right / margins.n_rows, margins)


def _write(output: str, model: Model) -> None:
    try:
        write_model(output, model)
    except OSError as error:
        raise UserError(f"cannot write {show_path(output)}: {error.strerror or error}") from error
