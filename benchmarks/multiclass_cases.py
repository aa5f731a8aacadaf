"""The rows of the report on multiclass losses: on scores, dense X, CSR X, and next to torch.

Labels are int64 throughout. How many rows and classes are active is told beside each result.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np

import hingefast as hf
from benchmarks import baselines, data, rivals
from benchmarks import multiclass_baselines as strongest
from benchmarks.design_rows import COPY, SCIPY_X_WT, X_WT
from benchmarks.problem import (
    DESIGN_ROWS,
    DTYPES,
    LONG_NAMES,
    NO_PLOT,
    Case,
    Makers,
    Pass,
    Problem,
    Size,
    bus_cases,
    design_cases,
    largest_feature,
    mean_tolerance,
    on_plot,
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
    n_rows = max(1, size.x_bytes // (2 * n_classes * np.dtype(dtype).itemsize))
    y, scores = data.class_scores(n_rows, n_classes, dtype)
    grad = np.empty_like(scores)
    others: Makers = {"strongest": partial(strongest.ScoresPass, loss, y, scores)}
    if size.n_threads == 1:
        others["idiomatic"] = partial(baselines.idiomatic, loss, y, scores)
        others |= rivals.of_scores(loss, y, scores, 1) if loss == "weston_watkins" else {}
    # No rounding decides who is active: see `data.class_scores`.
    largest_slope = (n_classes - 1 if loss == "weston_watkins" else 1) / n_rows
    return Problem(
        hingefast=partial(hf.get_loss(loss).value_and_grad, y, scores, out=grad, n_threads=size.n_threads),
        ceiling=partial(np.copyto, np.empty_like(scores), scores),
        others=others,
        n_bytes=y.nbytes + 2 * scores.nbytes,
        tolerance=mean_tolerance(dtype, largest_slope),
        note=_active_scores(y, scores),
        buffers=(y, scores, grad),
    )


def torch_problem(dtype: type, n_classes: int, size: Size) -> Problem:
    """Weston-Watkins on the same scores; the ceiling is forward and backward of TORCH, and nobody else is timed."""
    problem = scores_problem("weston_watkins", dtype, n_classes, size)
    problem.check(["torch"])
    return replace(problem, ceiling=problem.other("torch"), others={})


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
    return _linear_problem(loss, problem, source, size, ceiling, strongest.DensePass)


def news20_problem(loss: str, dtype: type, size: Size) -> Problem:
    """The same on 20 Newsgroups in CSR; the ceiling is SciPy's X @ W.T."""
    problem = data.news20(dtype)
    return _linear_problem(loss, problem, "", size, lambda: problem.X @ problem.coef.T, strongest.CSRPass)


def _active_scores(y: data.Array, scores: data.Array) -> str:
    """The note on scores, of the first rows."""
    _, grad = hf.get_loss("weston_watkins").value_and_grad(y[:10_000], scores[:10_000])
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
    strongest_pass: Callable[..., Pass],
) -> Problem:
    X, y, coef, intercept = problem
    out = np.empty_like(coef), np.empty_like(intercept)
    others: Makers = {"strongest": partial(strongest_pass, loss, *problem)}
    if size.n_threads == 1:
        others["idiomatic"] = partial(baselines.idiomatic_linear, loss, *problem)
        others |= rivals.of_linear(loss, problem, 1) if loss == "weston_watkins" else {}
    return Problem(
        hingefast=partial(hf.linear_value_and_grad, *problem, loss=loss, out=out, n_threads=size.n_threads),
        ceiling=ceiling,
        others=others,
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
