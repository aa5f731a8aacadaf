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
from benchmarks.measure import check_agree
from benchmarks.problem import (
    DTYPES,
    Case,
    Pass,
    Problem,
    Size,
    flat,
    largest_feature,
    mean_tolerance,
    x_bytes,
)

LOSSES = ["crammer_singer", "weston_watkins"]

# Ceilings, in words.
COPY, X_WT = "np.copyto(G, Z)", "X @ W.T"
SCIPY_X_WT = "SciPy's X @ W.T"
TORCH = "torch.nn.MultiMarginLoss"

MNIST_CLASSES, PIXELS = 10, 784

# Rows of dense X at most, by the number of classes: a pass takes a tenth of a second.
DENSE_ROWS = {10: 60_000, 100: 20_000, 1000: 4_000}


# ----------------------------------------------------------------------------------------------------
# Problems


def scores_problem(loss: str, dtype: type, n_classes: int, size: Size) -> Problem:
    """`value_and_grad` of given scores, which take half of size.x_bytes; the ceiling is COPY."""
    y, scores = _scores(dtype, n_classes, size)
    return Problem(
        hingefast=_hingefast_scores(loss, y, scores, size),
        ceiling=partial(np.copyto, np.empty_like(scores), scores),
        strongest=on_scores.ScoresPass(loss, y, scores),
        idiomatic=partial(on_scores.IDIOMATIC[loss], y, scores),
        n_bytes=y.nbytes + 2 * scores.nbytes,
        tolerance=mean_tolerance(dtype, _largest_slope(loss, scores)),
        note=_active_scores(y, scores),
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
        hingefast=_hingefast_scores("weston_watkins", y, scores, size),
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
    n_rows = max(1, min(DENSE_ROWS[n_classes], 2 * size.x_bytes // row_bytes))
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


def _hingefast_scores(loss: str, y: data.Array, scores: data.Array, size: Size) -> Pass:
    grad = np.empty_like(scores)
    return partial(hf.get_loss(loss).value_and_grad, y, scores, out=grad, n_threads=size.n_threads)


def _largest_slope(loss: str, scores: data.Array) -> float:
    """Of the mean. No rounding decides who is active there: see `data.class_scores`."""
    n_rows, n_classes = scores.shape
    return (n_classes - 1 if loss == "weston_watkins" else 1) / n_rows


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
        strongest=strongest(loss, *problem),
        idiomatic=partial(linear.idiomatic_linear, loss, *problem),
        n_bytes=x_bytes(X) + y.nbytes + 2 * coef.nbytes,
        tolerance=mean_tolerance(coef.dtype, largest_feature(X), len(y)),
        note=", ".join(filter(None, [source, _active(*problem.active())])),
    )


# ----------------------------------------------------------------------------------------------------
# The rows of the report


def all_cases() -> list[Case]:
    """Every multiclass row; rows that share data are neighbours and differ in the last part of their id."""
    return [*_on_scores(), *_dense(), *_csr(), *_torch()]


def _on_scores() -> Iterable[Case]:
    targets = {10: 2.0, 100: 1.5, 1000: 1.5}
    for dtype, number in DTYPES.items():
        for n_classes, target in targets.items():
            for loss in LOSSES:
                case_id = f"multiclass/scores/{dtype}-K={n_classes}/{loss}"
                build = partial(scores_problem, loss, number, n_classes)
                yield Case(case_id, COPY, target, build)
                if (dtype, n_classes, loss) == ("f64", 100, "crammer_singer"):
                    yield Case(case_id, COPY, None, build, n_threads=2)


def _dense() -> Iterable[Case]:
    # {(classes, loss): (target, least speed-up)}
    targets: dict[tuple[int, str], tuple[float | None, float | None]] = {
        (10, "crammer_singer"): (0.7, 3.0),
        (10, "weston_watkins"): (0.9, None),
        (100, "crammer_singer"): (None, 1.5),
        (100, "weston_watkins"): (None, None),
        (1000, "crammer_singer"): (None, 1.5),
        (1000, "weston_watkins"): (None, None),
    }
    for dtype, number in DTYPES.items():
        for (n_classes, loss), (target, least_speedup) in targets.items():
            case_id = f"multiclass/dense/{dtype}-K={n_classes}/{loss}"
            build = partial(dense_problem, loss, number, n_classes)
            yield Case(case_id, X_WT, target, build, least_speedup=least_speedup)
            if (dtype, n_classes, loss) == ("f64", 10, "crammer_singer"):
                yield Case(case_id, X_WT, None, build, n_threads=2)


def _csr() -> Iterable[Case]:
    """SciPy always has one thread."""
    for dtype, number in DTYPES.items():
        for loss in LOSSES:
            case_id = f"multiclass/csr/{dtype}-news20/{loss}"
            build = partial(news20_problem, loss, number)
            least_speedup = 3.0 if loss == "crammer_singer" else None
            yield Case(case_id, SCIPY_X_WT, None, build, needs="news20", least_speedup=least_speedup)
            if (dtype, loss) == ("f64", "crammer_singer"):
                yield Case(case_id, SCIPY_X_WT, None, build, n_threads=2, needs="news20")


def _torch() -> Iterable[Case]:
    """At least 5 times faster than forward and backward, that is a ratio of at most 0.2."""
    for dtype, number in DTYPES.items():
        for n_classes in (10, 100):
            case_id = f"multiclass/torch/{dtype}-K={n_classes}/weston_watkins"
            yield Case(case_id, TORCH, 0.2, partial(torch_problem, number, n_classes), needs="torch")
