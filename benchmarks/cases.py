"""What is measured: the rows of the report on binary losses, and the list of all rows.

To add a row, add a `Case`; to add a layout, add a function that returns a `Problem`.
"""

import fnmatch
from collections.abc import Callable, Iterable
from functools import partial
from math import log10
from typing import Any

import numpy as np

import hingefast as hf
from benchmarks import baselines, data, multiclass_cases
from benchmarks.problem import (
    DTYPES,
    NO_X,
    Case,
    Pass,
    Problem,
    Size,
    largest_feature,
    mean_tolerance,
    x_bytes,
)
from hingefast.losses import MARGIN_LOSSES

LABEL_DTYPES = {"i8": np.int8, "f32": np.float32, "f64": np.float64}

# Ceilings, in words.
MULTIPLY, EXP, X_W = "np.multiply(y, z, out=g)", "np.exp(z, out=g)", "X @ w"
SCIPY_X_W = "SciPy's X @ w"
EXPRESSION = "the idiomatic expression"
C_ORDER, FLOAT32_X = "hingefast, C order", "hingefast, float32 X"


# ----------------------------------------------------------------------------------------------------
# Problems


def scores_problem(
    loss: str, dtype: type, label_dtype: type, n_rows: int, ceiling: str, size: Size = NO_X
) -> Problem:
    """`value_and_grad` of given scores; the ceiling is MULTIPLY or EXP.

    The ceiling's labels have the scores' dtype even where hingefast gets int8: it would be slower otherwise.
    """
    y, scores = data.labels_and_scores(n_rows, dtype, label_dtype)
    result = np.empty_like(scores)
    if ceiling == EXP:
        simpler = partial(np.exp, scores, out=result)
    else:
        simpler = partial(np.multiply, y.astype(dtype, copy=False), scores, out=result)
    return _scores_problem(loss, y, scores, simpler, n_threads=size.n_threads)


def small_scores_problem(loss: str, dtype: type, n_rows: int, size: Size = NO_X) -> Problem:
    """The same for a small batch, called as users do; the ceiling is one call of the idiomatic expression."""
    y, scores = data.labels_and_scores(n_rows, dtype, dtype)
    return _scores_problem(loss, y, scores, None)


def _scores_problem(
    loss: str, y: data.Array, scores: data.Array, ceiling: Pass | None, **keywords: Any
) -> Problem:
    grad = np.empty_like(scores)
    has_baseline = loss in baselines.STRONGEST
    idiomatic = partial(baselines.IDIOMATIC[loss], y, scores) if has_baseline else None
    return Problem(
        hingefast=partial(MARGIN_LOSSES[loss]().value_and_grad, y, scores, out=grad, **keywords),
        ceiling=ceiling or idiomatic,
        strongest=baselines.ScoresPass(loss, y, scores) if has_baseline else None,
        idiomatic=idiomatic,
        n_bytes=y.nbytes + scores.nbytes + grad.nbytes,
        tolerance=mean_tolerance(scores.dtype, 1 / len(scores)),
    )


def dense_problem(loss: str, dtype: type, n_features: int, order: str, size: Size) -> Problem:
    """`linear_value_and_grad` of dense X; the ceiling is X @ w (of the C-ordered pass for Fortran order)."""
    n_rows = max(1, size.x_bytes // (n_features * np.dtype(dtype).itemsize))
    problem = data.dense(n_rows, n_features, dtype, dtype)
    if order == "F":
        native = _hingefast_linear(loss, problem, size.n_threads)
        fortran = problem._replace(X=np.asfortranarray(problem.X))
        return _linear_problem(loss, fortran, size.n_threads, native, baselines.DensePass)
    scores: data.Array = np.empty(n_rows, dtype)
    ceiling = partial(np.dot, problem.X, problem.coef, out=scores)
    return _linear_problem(loss, problem, size.n_threads, ceiling, baselines.DensePass)


def tile_problem(loss: str, x_dtype: type, n_features: int, size: Size) -> Problem:
    """The same for X of small integers; the ceiling is hingefast on that X in float32, of size.x_bytes."""
    problem = data.tile(max(1, size.x_bytes // (4 * n_features)), n_features, x_dtype)
    native = _hingefast_linear(loss, problem._replace(X=problem.X.astype(np.float32)), size.n_threads)
    return _linear_problem(loss, problem, size.n_threads, native, baselines.TilePass)


def text_problem(loss: str, dtype: type, index_dtype: type, activity: float, size: Size) -> Problem:
    """The same for a text-like CSR array with this share of active rows; the ceiling is SciPy's X @ w."""
    return _csr_problem(loss, data.text_like(size.x_bytes, dtype, index_dtype), activity, size)


def imdb_problem(loss: str, activity: float, size: Size) -> Problem:
    """The same for the imdb training set."""
    return _csr_problem(loss, data.imdb(), activity, size)


def _csr_problem(loss: str, X: Any, activity: float, size: Size) -> Problem:
    problem = data.with_activity(X, activity)
    return _linear_problem(loss, problem, size.n_threads, lambda: X @ problem.coef, baselines.CSRPass)


def batch_problem(loss: str, layout: str, n_rows: int, size: Size) -> Problem:
    """`Objective.value_and_grad` of a batch of rows; the ceiling is one call of the idiomatic expression."""
    n_bytes = min(size.x_bytes, 2**26)  # random rows miss the caches in more X than this just as often
    if layout == "csr":
        problem = data.with_activity(data.text_like(n_bytes), 0.5)
    else:
        problem = data.dense(max(n_rows, n_bytes // 800), 100, np.float64)
    X, y, coef, intercept = problem
    rows = np.random.default_rng(6).permutation(X.shape[0])[:n_rows]
    objective = hf.Objective(X, y, loss=loss, n_threads=1)
    theta = objective.pack(coef, intercept)

    def idiomatic() -> tuple[float, Any, float]:
        return baselines.idiomatic_linear(loss, X[rows], y[rows], coef, intercept)

    return Problem(
        hingefast=partial(objective.value_and_grad, theta, rows=rows, out=np.empty(objective.size)),
        ceiling=idiomatic,
        strongest=baselines.BatchPass(loss, *problem, rows) if layout == "dense" else None,
        idiomatic=idiomatic,
        n_bytes=n_rows * (x_bytes(X) // X.shape[0]),
        tolerance=mean_tolerance(X.dtype, largest_feature(X), n_rows),
    )


def _hingefast_linear(loss: str, problem: data.Linear, n_threads: int) -> Pass:
    bound = MARGIN_LOSSES[loss]()
    grad_coef = np.empty_like(problem.coef)
    return partial(hf.linear_value_and_grad, *problem, loss=bound, out=grad_coef, n_threads=n_threads)


def _linear_problem(
    loss: str, problem: data.Linear, n_threads: int, ceiling: Pass, strongest: Callable[..., Pass]
) -> Problem:
    X, y, coef, _ = problem
    has_baseline = loss in baselines.STRONGEST
    return Problem(
        hingefast=_hingefast_linear(loss, problem, n_threads),
        ceiling=ceiling,
        strongest=strongest(loss, *problem) if has_baseline else None,
        idiomatic=partial(baselines.idiomatic_linear, loss, *problem) if has_baseline else None,
        n_bytes=x_bytes(X) + y.nbytes + 2 * coef.nbytes,
        tolerance=mean_tolerance(coef.dtype, largest_feature(X), X.shape[0]),
    )


# ----------------------------------------------------------------------------------------------------
# The rows of the report


def all_cases() -> list[Case]:
    """Every row, in the order of the report; rows that share data are neighbours."""
    return [
        *_scores(),
        *_catalogue(),
        *_dense(),
        *_tiles(),
        *_csr(),
        *_batches(),
        *multiclass_cases.all_cases(),
    ]


def select(cases: Iterable[Case], pattern: str | None) -> list[Case]:
    """The cases whose id contains the pattern, or matches it where it has wildcards."""
    if pattern is None:
        return list(cases)
    wild = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    return [case for case in cases if fnmatch.fnmatchcase(case.id, wild)]


def _scores() -> Iterable[Case]:
    # (dtype, label dtype, rows, target)
    rows: list[tuple[str, str, int, float]] = [
        ("f64", "f64", 10**7, 0.85),
        ("f32", "f32", 10**7, 0.85),
        ("f64", "i8", 10**7, 0.7),
        ("f32", "i8", 10**7, 0.7),
        ("f64", "f64", 10**6, 1.05),
        ("f32", "f32", 10**6, 1.05),
        ("f64", "f64", 10**5, 1.3),
        ("f32", "f32", 10**5, 2.0),
    ]
    for dtype, labels, n_rows, target in rows:
        name = "hinge" if labels == dtype else "hinge-int8-labels"
        build = partial(scores_problem, "hinge", DTYPES[dtype], LABEL_DTYPES[labels], n_rows, MULTIPLY)
        yield Case(f"scores/{name}/{dtype}/n=1e{round(log10(n_rows))}", MULTIPLY, target, build)
    for dtype, number in DTYPES.items():
        build_small = partial(small_scores_problem, "hinge", number, 32)
        yield Case(f"scores/hinge/{dtype}/n=32", EXPRESSION, 0.2, build_small)


def _catalogue() -> Iterable[Case]:
    """Every other loss on 10^6 scores; the ceiling of those that need exp is exp."""
    of_exp = {"softplus_hinge": 4.0, "logistic": 4.0, "psi_g": 8.0}
    for loss in MARGIN_LOSSES:
        if loss == "hinge":
            continue
        ceiling = EXP if loss in of_exp else MULTIPLY
        for dtype, number in DTYPES.items():
            build = partial(scores_problem, loss, number, number, 10**6, ceiling)
            needs = "scipy" if loss == "psi_g" else ""
            yield Case(f"scores/{loss}/{dtype}/n=1e6", ceiling, of_exp.get(loss), build, needs=needs)


def _dense() -> Iterable[Case]:
    targets = {
        "f64": {32: 1.3, 200: 1.1, 1000: 1.1, 10000: 1.1},
        "f32": {32: 1.6, 200: 1.3, 1000: 1.15, 10000: 1.15},
    }
    for dtype, by_features in targets.items():
        for n_features, target in by_features.items():
            build = partial(dense_problem, "hinge", DTYPES[dtype], n_features, "C")
            yield Case(f"dense/hinge/{dtype}/d={n_features}", X_W, target, build)
            if n_features == 1000:
                yield Case(f"dense/hinge/{dtype}/d={n_features}", X_W, target, build, n_threads=2)


def _tiles() -> Iterable[Case]:
    for dtype, number in DTYPES.items():
        build = partial(dense_problem, "hinge", number, 1000, "F")
        yield Case(f"fortran/hinge/{dtype}/d=1000", C_ORDER, 1.5, build, target_is_due=False)
    for x_dtype in (np.uint8, np.int8, np.bool_):
        name = np.dtype(x_dtype).name
        build_tile = partial(tile_problem, "hinge", x_dtype, 1000)
        yield Case(f"tile/hinge/{name}/d=1000", FLOAT32_X, 2.0, build_tile, target_is_due=False)


def _csr() -> Iterable[Case]:
    """By percentage of active rows; 100 is what every first iteration has. SciPy always has one thread."""
    targets, targets_2_threads = {25: 1.35, 100: 1.8}, {25: 0.75}
    percentages = (0, 10, 25, 50, 100)
    problems: list[tuple[str, str, tuple[int, ...], Callable[..., Problem]]] = [
        ("f64-text", "scipy", percentages, partial(text_problem, "hinge", np.float64, np.int32)),
        ("f32-text", "scipy", (25, 100), partial(text_problem, "hinge", np.float32, np.int32)),
        ("f64-imdb", "imdb", percentages, partial(imdb_problem, "hinge")),
    ]
    for name, needs, shown, problem in problems:
        for percent in shown:
            case_id, build = f"csr/hinge/{name}/active={percent}%", partial(problem, percent / 100)
            yield Case(case_id, SCIPY_X_W, targets.get(percent), build, needs=needs)
            if percent in (25, 100) and name.startswith("f64"):
                yield Case(
                    case_id, SCIPY_X_W, targets_2_threads.get(percent), build, n_threads=2, needs=needs
                )


def _batches() -> Iterable[Case]:
    for layout, needs in (("dense", ""), ("csr", "scipy")):
        build = partial(batch_problem, "hinge", layout, 32)
        yield Case(f"batch/objective-{layout}/f64/rows=32", EXPRESSION, None, build, needs=needs)
