"""What ``hingefast eval`` finds out: `evaluate` reads and checks what the user named, and fills an `Evaluation`.

Labels as the losses want them, coef and intercept come in one of two shapes:

- binary: y (n,) of -1 and +1, coef (d,), a float intercept;
- K classes: y (n,) of 0..K-1, coef (K, d), intercept (K,).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import hingefast as hf
from hingefast._kernels import table
from hingefast.checks.arrays import euclidean_norm, shorten
from hingefast.cli.compare import Answer, Comparison, NumpyPass, compared, row_blocks, tolerance
from hingefast.cli.inputs import (
    UserError,
    columns_of,
    errors_told,
    find_classes,
    get_losses,
    label_text,
    memory_told,
    multiclass_names,
    n_threads,
    parameters_of,
    widened,
    width_text,
)
from hingefast.cli.numpy_losses import numpy_loss
from hingefast.io.arrays import read_array, read_data
from hingefast.io.compressed import show_path
from hingefast.io.csr import CSR
from hingefast.io.model import Model, read_model
from hingefast.losses import MARGIN_LOSSES, Loss
from hingefast.multiclass import MULTICLASS_LOSSES, MulticlassLoss

__all__ = ["Evaluation", "LossResult", "evaluate", "whole_report"]

Array: TypeAlias = npt.NDArray[Any]

DEFAULT_LOSSES = ("hinge", "squared_hinge", "logistic")
DEFAULT_MULTICLASS_LOSSES = tuple(MULTICLASS_LOSSES)
ALL_LOSSES = tuple(MARGIN_LOSSES)
# Every arrangement with every base would be a table three times as long.
ALL_MULTICLASS_LOSSES = tuple(f"{name}:{base}" for name in MULTICLASS_LOSSES for base in DEFAULT_LOSSES)

# A pass is repeated at least 3 times, then until it has taken 0.2 s or 15 repeats: the best of so many is
# steady to a few percent on a quiet machine, and all losses on a file of a million nonzeros take seconds.
MIN_REPEATS, MAX_REPEATS, ENOUGH_SECONDS = 3, 15, 0.2


@dataclass(frozen=True)
class LossResult:
    """One line of the table."""

    loss: str
    parameters: dict[str, Any]
    value: float
    gradient_norm: float
    active_rows: int
    errors: int
    seconds: float
    repeats: int
    comparison: Comparison | None


@dataclass(frozen=True)
class Evaluation:
    """Everything that ``hingefast eval`` shows."""

    file: str
    labels_file: str | None  # None: the file holds them
    rows: int
    features: int
    nonzeros: int
    dense: bool
    dtype: str
    level: str
    threads: int
    multiclass: bool
    classes: tuple[float, ...]  # binary: (negative, positive); else in the order of the columns
    class_rows: tuple[int, ...]
    coef: str
    alpha: float
    losses: list[LossResult]
    margins: hf.MarginReport


@np.errstate(
    all="ignore"
)  # NaN and infinities are allowed; NumPy need not warn about what the table then shows
def evaluate(
    data: str,
    *,
    labels: str | None = None,
    losses: Sequence[str] | None = None,
    every_loss: bool = False,
    coef: str | None = None,
    model: str | None = None,
    alpha: float = 0.0,
    dtype: str | None = None,
    threads: int | None = None,
    classes: tuple[float, ...] | None = None,
    n_features: int | None = None,
    zero_based: bool | None = None,
    compare: bool = False,
) -> Evaluation:
    """Evaluate losses of a linear classifier on a file; the parameters are the options of the command.

    Raises
    ------
    UserError
        For everything that the user can put right.
    """
    # What can be refused is refused before the file, which may take minutes, is read.
    named = None if losses is None else get_losses(losses)
    given_coef = None if coef is None else _load_coef(coef)
    trained = None if model is None else _load_model(model, named, classes)
    if trained is not None and named is None and not every_loss:
        named = [trained.loss]
    if dtype is None:
        dtype = "float64" if trained is None else trained.dtype
    # SciPy and NumPy multiply sparse matrices on one thread: by default compare like with like.
    n_threads_used = n_threads(1 if compare and threads is None else threads)
    with errors_told(data):
        X, found = read_data(data, labels, n_features=n_features, dtype=dtype, zero_based=zero_based)
    labels_source = show_path(data if labels is None else labels)

    width = width_text(X, n_features, data)
    if model is not None and trained is not None:
        X = widened(X, trained.n_features, data, show_path(model), width)
        wants_multiclass = isinstance(trained.loss, MulticlassLoss)
        giver = f"{show_path(model)} knows"
        classes = find_classes(found, trained.classes, wants_multiclass, labels_source, giver)
    else:
        wants_multiclass = named is not None and isinstance(named[0], MulticlassLoss)
        classes = find_classes(found, classes, wants_multiclass, labels_source)
    multiclass = wants_multiclass or len(classes) > 2
    if multiclass and named is not None and not wants_multiclass:
        raise UserError(
            f"{named[0].name} is a loss of two classes, {labels_source} has {len(classes)}; "
            f"{multiclass_names()}"
        )
    columns = columns_of(found, classes)
    y = columns if multiclass else np.where(columns == 1, 1, -1).astype(np.int8)
    class_rows = tuple(np.bincount(columns, minlength=len(classes)).tolist())
    n_coef_rows = len(classes) if multiclass else 1

    if model is not None and trained is not None:
        model_coef, intercept, coef_source = trained.coef, trained.intercept, model
    elif coef is not None and given_coef is not None:
        model_coef, intercept = _split_coef(
            given_coef, len(classes) if multiclass else None, X.shape[1], show_path(coef), width
        )
        coef_source = coef
    else:
        _check_that_rows_have(classes, class_rows, labels_source)
        # Class means and the coef made of them, beside what they have in common.
        with memory_told(X, n_coef_rows, 2 * len(classes) + 3, width):
            model_coef, intercept, coef_source = _default_coef(X, columns, len(classes), multiclass)

    if named is None:
        binary, several = (
            (ALL_LOSSES, ALL_MULTICLASS_LOSSES) if every_loss else (DEFAULT_LOSSES, DEFAULT_MULTICLASS_LOSSES)
        )
        named = get_losses(several if multiclass else binary)
    with memory_told(
        X, n_coef_rows, 3 * n_coef_rows, width
    ):  # coef, its gradient, and the float64 sums of that
        task = _Task(X, y, model_coef.astype(dtype, copy=False), intercept, alpha, n_threads_used)
        margins, active_rows = _look_at_rows(task, named)
        results = [
            _evaluate_loss(task, loss, active, margins.wrong, compare)
            for loss, active in zip(named, active_rows, strict=True)
        ]
    return Evaluation(
        file=data,
        labels_file=labels,
        rows=X.shape[0],
        features=X.shape[1],
        nonzeros=int(np.count_nonzero(X)) if isinstance(X, np.ndarray) else X.data.size,
        dense=isinstance(X, np.ndarray),
        dtype=dtype,
        level=table.level(),  # show_config would refuse a HINGEFAST_NUM_THREADS that --threads overrules
        threads=n_threads_used,
        multiclass=multiclass,
        classes=classes,
        class_rows=class_rows,
        coef=coef_source,
        alpha=alpha,
        losses=results,
        margins=margins,
    )


# ---- coef


def _check_that_rows_have(classes: tuple[float, ...], class_rows: tuple[int, ...], file: str) -> None:
    """Refuse class means of a class without rows."""
    empty = [label_text(label) for label, count in zip(classes, class_rows, strict=True) if count == 0]
    if empty:
        what = "rows of one class only" if len(classes) == 2 else f"no rows of class {empty[0]}"
        raise UserError(f"{file} has {what}, so class means need --coef FILE")


def _load_coef(file: str) -> Array:
    """Read an array of one or two dimensions."""
    with errors_told(file):
        coef = read_array(file, "coef")
    if coef.ndim not in (1, 2):
        raise UserError(
            f"{show_path(file)} must be 1-D or 2-D to be read as coef, got shape {shorten(coef.shape)}"
        )
    return coef.astype(np.float64)


def _load_model(file: str, losses: Sequence[Loss] | None, classes: tuple[float, ...] | None) -> Model:
    """Read a model, which the named losses must fit, and which knows its classes."""
    if classes is not None:
        raise UserError(f"{show_path(file)} names its classes: leave out --classes")
    with errors_told(file):
        model = read_model(file)
    multiclass = isinstance(model.loss, MulticlassLoss)
    if losses is not None and isinstance(losses[0], MulticlassLoss) != multiclass:
        wants, has = ("one score a row", "a score for each class")[:: 1 if multiclass else -1]
        raise UserError(f"{losses[0].name} wants {wants}, {show_path(file)} has {has}")
    return model


def _split_coef(
    numbers: Array, n_classes: int | None, n_features: int, name: str, width_text: str
) -> tuple[Array, float | Array]:
    """Split d or d+1 numbers into coef and intercept, for each class if there are several (else None)."""
    if n_classes is None:
        if numbers.ndim == 2 and numbers.shape[0] == 1:
            numbers = numbers[0]  # as scikit-learn's coef_ is
        if numbers.ndim != 1:
            raise UserError(f"{name} must be 1-D, or one row, for two classes, got shape {numbers.shape}")
    elif numbers.ndim != 2 or numbers.shape[0] != n_classes:
        transposed = numbers.ndim == 2 and numbers.shape[1] == n_classes
        hint = "; save its transpose" if transposed else ""
        raise UserError(
            f"{name} must have shape ({n_classes}, {n_features}) or ({n_classes}, {n_features + 1}), a row for "
            f"each class, got {numbers.shape}{hint}"
        )
    width = numbers.shape[-1]
    if width == n_features:
        return numbers, 0.0 if n_classes is None else np.zeros(n_classes)
    if width == n_features + 1:
        coef, intercept = numbers[..., :-1], numbers[..., -1]
        return coef, float(intercept) if n_classes is None else intercept.copy()
    hint = f"--n-features {width} makes the data wider" if width > n_features else width_text
    each = "" if n_classes is None else " a class"
    raise UserError(
        f"{name} has {width} numbers{each}, must have {n_features} (the features) "
        f"or {n_features + 1} (with the intercept last); {hint}"
    )


def _default_coef(
    X: CSR | Array, columns: Array, n_classes: int, multiclass: bool
) -> tuple[Array, float | Array, str]:
    """Return coef and intercept made from the class means, and how to call them."""
    coef, intercept = _nearest_mean(X, columns, n_classes)
    if multiclass:
        return coef, intercept, "nearest class mean, scaled to a mean margin of 1"
    source = "difference of the class means, scaled to mean scores of -1 and +1"
    return coef[1] - coef[0], float(intercept[1] - intercept[0]), source


def _nearest_mean(X: CSR | Array, columns: Array, n_classes: int) -> tuple[Array, Array]:
    """Return coef (K, d) and intercept (K,) of a classifier that picks the nearest class mean.

    With the means m_k and their centre c, coef_k = a (m_k - c) and intercept_k = -a (|m_k|^2 - |c|^2)/2 make
    s_k - s_l = a (|x - m_l|^2 - |x - m_k|^2)/2: the nearest mean has the highest score, one above 0 if it is
    nearer than the centre. Averaged over the rows of class k, s_k - s_l is a |m_k - m_l|^2/2; with a = 2/(mean of
    |m_k - m_l|^2 over all pairs) the mean of that over all pairs is 1. Equal means give zeros.
    """
    n_features = X.shape[1]
    counts = np.bincount(columns, minlength=n_classes)
    if isinstance(X, np.ndarray):
        means: Array = np.empty((n_classes, n_features))
        order = np.argsort(columns, kind="stable")
        for k, rows in enumerate(np.split(order, np.cumsum(counts)[:-1])):
            means[k] = X[rows].mean(axis=0, dtype=np.float64)
    else:
        places = np.repeat(columns * n_features, np.diff(X.indptr)) + X.indices
        sums = np.bincount(places, X.data, minlength=n_classes * n_features)
        means = sums.reshape(n_classes, n_features).astype(np.float64, copy=False)  # of no numbers: integers
        means /= counts[:, None]
    # In place from here on: `memory_told` counts these arrays. Relative to the first: equal means then differ by 0
    # exactly. And to a power of two, so that no square overflows or underflows that counts.
    shifted = means - means[0]
    largest = max(float(shifted.max(initial=0.0)), -float(shifted.min(initial=0.0)))
    exponent = math.frexp(largest)[1] if math.isfinite(largest) else 0
    np.ldexp(shifted, -exponent, out=shifted)
    centre = shifted.sum(axis=0)
    # Sum over all pairs of |m_k - m_l|^2 = K sum |m_k|^2 - |sum m_k|^2.
    pairs = n_classes * float(np.vdot(shifted, shifted)) - float(centre @ centre)
    scale = 0.0 if pairs == 0 else n_classes * (n_classes - 1) / pairs
    centre /= n_classes
    shifted -= centre
    shifted *= scale
    coef = np.ldexp(shifted, -exponent, out=shifted)
    means += means[0] + np.ldexp(centre, exponent)
    return coef, -np.einsum("kj,kj->k", coef, means) / 2


# ---- passes


@dataclass(frozen=True)
class _Task:
    """Data and a classifier: what every loss is evaluated on."""

    X: CSR | Array
    y: Array
    coef: Array
    intercept: float | Array
    alpha: float
    n_threads: int


def _look_at_rows(task: _Task, losses: Sequence[Loss]) -> tuple[hf.MarginReport, list[int]]:
    """Return the margin report, and for each loss how many rows have a slope.

    The scores are looked at in blocks of rows: all of them may be larger than X.
    """
    n_columns = np.size(task.intercept)
    reports: list[hf.MarginReport] = []
    active = [0] * len(losses)
    for rows in row_blocks(task.X.shape[0], n_columns):
        scores = hf.decision_function(task.X, task.coef, task.intercept, rows=rows, n_threads=task.n_threads)
        y = task.y[rows]
        reports.append(hf.margin_report(y, scores, coef=None if reports else task.coef))
        for i, loss in enumerate(losses):
            slopes = loss.grad(y, scores, reduction="sum", n_threads=task.n_threads)
            moving = slopes != 0
            active[i] += int(np.count_nonzero(moving if moving.ndim == 1 else moving.any(axis=1)))
    return whole_report(reports), active


def whole_report(parts: list[hf.MarginReport]) -> hf.MarginReport:
    """Join the reports of blocks of rows; there are no sample weights."""
    counts = ("n_rows", "confident", "inside", "wrong", "support_vectors")
    weights = ("weight", "confident_weight", "inside_weight", "wrong_weight")
    sums = {name: sum(getattr(part, name) for part in parts) for name in counts + weights}
    smallest = float(np.min([part.smallest_margin for part in parts]))  # NaN if one is
    return dataclasses.replace(parts[0], **sums, smallest_margin=smallest)


def _evaluate_loss(task: _Task, loss: Loss, active_rows: int, errors: int, compare: bool) -> LossResult:
    X, y, coef, intercept, alpha = task.X, task.y, task.coef, task.intercept, task.alpha
    out = np.empty_like(coef)

    def ours() -> Answer:
        result = hf.linear_value_and_grad(
            X, y, coef, intercept, loss=loss, alpha=alpha, out=out, n_threads=task.n_threads
        )
        return Answer(*result)

    passes: list[Callable[[], Answer]] = [ours]
    if compare:
        arrangement = numpy_loss(loss)
        numpy_pass = NumpyPass(X, y, arrangement, np.size(intercept), alpha)
        passes.append(lambda: numpy_pass(coef, intercept))
    answers, seconds, repeats = _time_in_turns(passes)
    value, grad, grad_intercept = answers[0]

    comparison = None
    if compare:
        allowed = tolerance(X, y, coef, intercept, arrangement, alpha)
        comparison = compared(answers[0], answers[1], allowed, numpy_pass.library, seconds[0], seconds[1])
    return LossResult(
        loss=loss.name,
        parameters=parameters_of(loss),
        value=value,
        gradient_norm=euclidean_norm(grad, grad_intercept),
        active_rows=active_rows,
        errors=errors,
        seconds=seconds[0],
        repeats=repeats,
        comparison=comparison,
    )


def _time_in_turns(passes: Sequence[Callable[[], Answer]]) -> tuple[list[Answer], list[float], int]:
    """Call the passes in turns; return their answers, the best time of each, and the number of rounds."""
    answers = [work() for work in passes]  # also warms the caches
    best = [math.inf] * len(passes)
    spent, rounds = 0.0, 0
    while rounds < MIN_REPEATS or (rounds < MAX_REPEATS and spent < ENOUGH_SECONDS * len(passes)):
        for i, work in enumerate(passes):
            start = time.perf_counter()
            work()
            elapsed = time.perf_counter() - start
            best[i] = min(best[i], elapsed)
            spent += elapsed
        rounds += 1
    return answers, best, rounds
