"""The rows of the report on multiclass losses: on scores, dense X, CSR X, and next to torch.

Labels are int64 throughout. How many rows and classes are active is told beside each result.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

import hingefast as hf
from benchmarks import data
from benchmarks import multiclass_baselines as on_scores
from benchmarks import multiclass_linear_baselines as linear
from benchmarks.design_rows import COPY, SCIPY_X_WT, X_WT
from benchmarks.measure import check_agree
from benchmarks.problem import (
    DESIGN_ROWS,
    DTYPES,
    LONG_NAMES,
    NO_PLOT,
    Case,
    Pass,
    Problem,
    Size,
    bus_cases,
    design_cases,
    flat,
    largest_feature,
    mean_tolerance,
    on_plot,
    when_called,
    x_buffers,
    x_bytes,
)

LOSSES = ["crammer_singer", "weston_watkins"]
INITIALS = {"crammer_singer": "CS", "weston_watkins": "WW"}

MNIST_CLASSES, PIXELS = 10, 784

# Rows of dense X at most, by the number of classes. There the two products decide, and no more rows are needed
# for a pass to take a tenth of a second.
DENSE_ROWS = {100: 20_000, 1000: 4_000}


# ----------------------------------------------------------------------------------------------------
# Problems


def scores_problem(loss: str, dtype: type, n_classes: int, size: Size) -> Problem:
    """`value_and_grad` of given scores, which take half of size.x_bytes; the ceiling is COPY."""
    y, scores = _scores(dtype, n_classes, size)
    grad = np.empty_like(scores)
    return Problem(
        hingefast=_hingefast_scores(loss, y, scores, grad, size),
        ceiling=partial(np.copyto, np.empty_like(scores), scores),
        strongest=on_scores.ScoresPass(loss, y, scores),
        idiomatic=partial(on_scores.IDIOMATIC[loss], y, scores) if size.n_threads == 1 else None,
        n_bytes=y.nbytes + 2 * scores.nbytes,
        tolerance=mean_tolerance(dtype, _largest_slope(loss, scores)),
        note=_active_scores(y, scores),
        buffers=(y, scores, grad),
    )


def torch_problem(dtype: type, n_classes: int, size: Size) -> Problem:
    """Weston-Watkins on the same scores; the ceiling is forward and backward of TORCH, which divides by K."""
    import torch

    torch.set_num_threads(size.n_threads)
    y, scores = _scores(dtype, n_classes, size)
    torch_y, torch_scores = torch.from_numpy(y), torch.from_numpy(scores).requires_grad_()
    criterion = torch.nn.MultiMarginLoss()

    def forward_and_backward() -> tuple[float, Any]:
        torch_scores.grad = None
        value = criterion(torch_scores, torch_y)
        value.backward()
        return value.item(), torch_scores.grad

    problem = Problem(
        hingefast=_hingefast_scores("weston_watkins", y, scores, np.empty_like(scores), size),
        ceiling=forward_and_backward,
        strongest=None,
        idiomatic=None,
        n_bytes=y.nbytes + 2 * scores.nbytes,
        tolerance=mean_tolerance(dtype, _largest_slope("weston_watkins", scores)),
        note=_active_scores(y, scores),
    )
    value, grad = forward_and_backward()
    torch_answer = value * n_classes, grad.numpy().astype(np.float64) * n_classes
    check_agree(flat(problem.hingefast()), flat(torch_answer), problem.tolerance, "torch")
    return problem


def dense_problem(loss: str, dtype: type, n_classes: int, size: Size) -> Problem:
    """`linear_value_and_grad` on MNIST, or on clusters of K classes; the ceiling is X @ W.T, with out=."""
    row_bytes = PIXELS * np.dtype(dtype).itemsize
    n_rows = max(1, min(size.x_bytes // row_bytes, DENSE_ROWS.get(n_classes, size.x_bytes)))
    if n_classes == MNIST_CLASSES:
        problem, source = data.mnist(n_rows, dtype)
    else:
        problem, source = data.clusters(n_rows, n_classes, PIXELS, dtype), "synthetic"
    scores: data.Array = np.empty((n_rows, n_classes), dtype)
    ceiling = partial(np.dot, problem.X, problem.coef.T, out=scores)
    return _linear_problem(loss, problem, source, size, ceiling, linear.DensePass)


def news20_problem(loss: str, dtype: type, size: Size) -> Problem:
    """The same on 20 Newsgroups in CSR; the ceiling is SciPy's X @ W.T."""
    problem = data.news20(dtype)
    return _linear_problem(loss, problem, "", size, lambda: problem.X @ problem.coef.T, linear.CSRPass)


def _scores(dtype: type, n_classes: int, size: Size) -> tuple[data.Array, data.Array]:
    n_rows = max(1, size.x_bytes // (2 * n_classes * np.dtype(dtype).itemsize))
    return data.class_scores(n_rows, n_classes, dtype)


def _hingefast_scores(loss: str, y: data.Array, scores: data.Array, grad: data.Array, size: Size) -> Pass:
    return partial(hf.get_loss(loss).value_and_grad, y, scores, out=grad, n_threads=size.n_threads)


def _largest_slope(loss: str, scores: data.Array) -> float:
    """Of the mean. No rounding decides who is active there: see `data.class_scores`."""
    n_rows, n_classes = scores.shape
    return float((n_classes - 1 if loss == "weston_watkins" else 1) / n_rows)


def _active_scores(y: data.Array, scores: data.Array) -> str:
    """The note on scores, of the first rows."""
    _, grad = on_scores.idiomatic_weston_watkins(y[:10_000], scores[:10_000])
    n_rows, n_classes = grad.shape
    classes = np.count_nonzero(grad > 0) / (n_rows * (n_classes - 1))
    return _active(float((grad > 0).any(axis=1).mean()), classes)


def _active(rows: float, classes: float) -> str:
    if not 0 < rows < 1:
        raise ValueError(f"{rows:.0%} of the rows are active: no case for a benchmark")
    return f"{rows:.0%} of rows, {100 * classes:.2g}% of classes active"


def _linear_problem(
    loss: str,
    problem: data.Multiclass,
    source: str,
    size: Size,
    ceiling: Pass,
    strongest: Callable[..., Pass],
) -> Problem:
    X, y, coef, intercept = problem
    out = np.empty_like(coef), np.empty_like(intercept)
    return Problem(
        hingefast=partial(hf.linear_value_and_grad, *problem, loss=loss, out=out, n_threads=size.n_threads),
        ceiling=ceiling,
        strongest=when_called(partial(strongest, loss, *problem)),
        idiomatic=partial(linear.idiomatic_linear, loss, *problem) if size.n_threads == 1 else None,
        n_bytes=x_bytes(X) + y.nbytes + 2 * coef.nbytes,
        tolerance=mean_tolerance(coef.dtype, largest_feature(X), len(y)),
        note=", ".join(filter(None, [source, _active(*problem.active())])),
        buffers=(*x_buffers(X), y),
    )


# ----------------------------------------------------------------------------------------------------
# The rows of the report


def all_cases() -> list[Case]:
    """Every multiclass row; rows that share data are neighbours and differ in the last part of their id."""
    return [*_on_scores(), *_dense(), *_csr(), *_torch()]


def _on_scores() -> Iterable[Case]:
    for dtype, number in DTYPES.items():
        for n_classes in (2, 10, 30, 100, 300, 1000):
            for loss in LOSSES:
                key = f"class-scores-{INITIALS[loss]}-{n_classes}"
                case_id = f"multiclass/scores/{dtype}-K={n_classes}/{loss}"
                build = partial(scores_problem, loss, number, n_classes)
                plot = on_plot("classes", LONG_NAMES[dtype], n_classes)
                if key not in DESIGN_ROWS and loss == "crammer_singer":
                    yield Case(case_id, COPY, None, build, dtype=dtype, **plot)
                elif key in DESIGN_ROWS:
                    plot = plot if loss == "crammer_singer" else NO_PLOT
                    yield from design_cases(key, case_id, dtype, build, plot=plot)
                if (dtype, n_classes, loss) == ("f64", 100, "crammer_singer"):
                    yield from bus_cases(f"{case_id}-bus", dtype, "scores, K = 100, float64", build)


def _dense() -> Iterable[Case]:
    for dtype, number in DTYPES.items():
        for n_classes in (10, 100, 1000):
            for loss in LOSSES:
                key = f"class-dense-{INITIALS[loss]}-{n_classes}"
                case_id = f"multiclass/dense/{dtype}-K={n_classes}/{loss}"
                build = partial(dense_problem, loss, number, n_classes)
                if key in DESIGN_ROWS:
                    yield from design_cases(key, case_id, dtype, build)
                else:
                    yield Case(case_id, X_WT, None, build, dtype=dtype)


def _csr() -> Iterable[Case]:
    for dtype, number in DTYPES.items():
        for loss in LOSSES:
            key = f"class-csr-{INITIALS[loss]}"
            case_id = f"multiclass/csr/{dtype}-news20/{loss}"
            build = partial(news20_problem, loss, number)
            if key in DESIGN_ROWS:
                yield from design_cases(key, case_id, dtype, build, needs="news20")
            else:
                yield Case(case_id, SCIPY_X_WT, None, build, needs="news20", dtype=dtype)


def _torch() -> Iterable[Case]:
    """At least 5 times faster than forward and backward, which have one thread."""
    for dtype, number in DTYPES.items():
        for n_classes in (10, 100):
            key = f"class-torch-{n_classes}"
            case_id = f"multiclass/torch/{dtype}-K={n_classes}/weston_watkins"
            build = partial(torch_problem, number, n_classes)
            yield from design_cases(key, case_id, dtype, build, threads=(1,), needs="torch")
