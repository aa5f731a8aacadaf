"""What is measured: the rows of the report on binary losses, and the list of all rows.

To add a row, add a `Case`; to add a layout, add a function that returns a `Problem`.
"""

import fnmatch
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

import hingefast as hf
from benchmarks import baselines, data, multiclass_cases, rivals
from benchmarks.design_rows import (
    ADD,
    EXP,
    EXPRESSION,
    FLOAT32_X,
    FLOAT64_X,
    MULTIPLY,
    SCIPY_X_W,
    X_W,
)
from benchmarks.problem import (
    DESIGN_ROWS,
    DTYPES,
    LONG_NAMES,
    NO_X,
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
from hingefast.losses import MARGIN_LOSSES

# Wide X has so many rows, in at most so many times the bytes that other X have.
WIDE_ROWS, WIDE_BYTES = 1000, 4
WIDE_FEATURES = 100_000

# Narrow X has at most so many rows: what a row costs decides there, not its bytes.
MOST_ROWS = 2**22


# ----------------------------------------------------------------------------------------------------
# Problems


def scores_problem(
    loss: str,
    dtype: type,
    label_dtype: type,
    n_rows: int,
    ceiling: str,
    size: Size = NO_X,
    with_others: bool = False,
) -> Problem:
    """`value_and_grad` of given scores, next to other libraries or not.

    The ceiling is MULTIPLY, EXP, or of a small batch one call, EXPRESSION or ADD: then hingefast is called as users do,
    without n_threads. Its labels have the scores' dtype even where hingefast gets int8: it would be slower otherwise.
    """
    y, scores = data.labels_and_scores(n_rows, dtype, label_dtype)
    grad, result = np.empty_like(scores), np.empty_like(scores)
    labels: data.Array = y.astype(dtype, copy=False)
    ours = partial(MARGIN_LOSSES[loss]().value_and_grad, y, scores, out=grad)
    ceilings: dict[str, Pass | None] = {
        MULTIPLY: partial(np.multiply, labels, scores, out=result),
        EXP: partial(np.exp, scores, out=result),
        ADD: partial(np.add, labels, scores, out=result),
        EXPRESSION: None,
    }
    strongest = partial(baselines.ScoresPass, loss, y, scores)
    idiomatic = partial(baselines.idiomatic, loss, y, scores)
    return Problem(
        hingefast=ours if ceiling in (ADD, EXPRESSION) else partial(ours, n_threads=size.n_threads),
        ceiling=ceilings[ceiling],
        others={
            **_numpy_passes(loss, strongest, idiomatic, size.n_threads),
            **(rivals.of_scores(loss, y, scores, size.n_threads) if with_others else {}),
        },
        n_bytes=y.nbytes + scores.nbytes + grad.nbytes,
        tolerance=mean_tolerance(scores.dtype, 1 / len(scores)),
        buffers=(y, scores, grad),
    )


def _numpy_passes(
    loss: str, strongest: Callable[[], Pass], idiomatic: Callable[[], Pass], n_threads: int
) -> Makers:
    """What makes the strongest pass, where there is one, and the idiomatic one, which has one thread."""
    makers: Makers = {"strongest": strongest} if loss in baselines.STRONGEST else {}
    return {**makers, "idiomatic": idiomatic} if n_threads == 1 else makers


def dense_problem(
    loss: str,
    dtype: type,
    n_features: int,
    order: str,
    size: Size,
    label_dtype: type | None = None,
    with_others: bool = False,
) -> Problem:
    """`linear_value_and_grad` of dense X; the ceiling is X @ w (of the C-ordered pass for Fortran order)."""
    n_rows = _n_rows(dtype, n_features, size)
    problem = data.dense(n_rows, n_features, dtype, label_dtype or dtype, size.x_bytes)
    if order == "F":
        native = _hingefast_linear(loss, problem, size.n_threads)
        fortran = problem._replace(X=np.asfortranarray(problem.X))
        return _linear_problem(loss, fortran, size, native, baselines.DensePass)
    return _dense_problem(loss, problem, size, with_others)


def active_problem(loss: str, dtype: type, n_features: int, activity: float, size: Size) -> Problem:
    """The same for dense X with this share of active rows."""
    X = data.uniform_rows(_n_rows(dtype, n_features, size), n_features, dtype, size.x_bytes)
    return _dense_problem(loss, data.with_activity(X, activity), size)


def _n_rows(dtype: type, n_features: int, size: Size) -> int:
    row_bytes = n_features * np.dtype(dtype).itemsize
    if n_features == WIDE_FEATURES:
        return max(1, min(WIDE_ROWS, WIDE_BYTES * size.x_bytes // row_bytes))
    return max(1, min(MOST_ROWS, size.x_bytes // row_bytes))


def _dense_problem(loss: str, problem: data.Linear, size: Size, with_others: bool = False) -> Problem:
    scores: data.Array = np.empty(len(problem.X), problem.coef.dtype)
    ceiling = partial(np.dot, problem.X, problem.coef, out=scores)
    return _linear_problem(loss, problem, size, ceiling, baselines.DensePass, with_others)


def tile_problem(loss: str, x_dtype: type, n_features: int, size: Size, dtype: type = np.float32) -> Problem:
    """The same for X that has to be cast; the ceiling is hingefast on that X in `dtype`, of size.x_bytes."""
    n_rows = max(1, size.x_bytes // (np.dtype(dtype).itemsize * n_features))
    problem = data.tile(n_rows, n_features, x_dtype, dtype)
    native = _hingefast_linear(loss, problem._replace(X=problem.X.astype(dtype)), size.n_threads)
    return _linear_problem(loss, problem, size, native, baselines.TilePass)


def text_problem(
    loss: str, dtype: type, index_dtype: type, activity: float, size: Size, with_others: bool = False
) -> Problem:
    """The same for a text-like CSR array with this share of active rows; the ceiling is SciPy's X @ w."""
    return _csr_problem(loss, data.text_like(size.x_bytes, dtype, index_dtype), activity, size, with_others)


def uniform_problem(loss: str, nonzeros: int, n_heavy: int, activity: float, size: Size) -> Problem:
    """The same for a CSR array of short or long rows, n_heavy of whose columns are stored in every row."""
    return _csr_problem(loss, data.uniform_sparse(size.x_bytes, nonzeros, n_heavy), activity, size)


def imdb_problem(loss: str, activity: float, size: Size) -> Problem:
    """The same for the imdb training set."""
    return _csr_problem(loss, data.imdb(), activity, size)


def _csr_problem(loss: str, X: Any, activity: float, size: Size, with_others: bool = False) -> Problem:
    problem = data.with_activity(X, activity)
    ceiling: Pass = lambda: X @ problem.coef  # noqa: E731
    return _linear_problem(loss, problem, size, ceiling, baselines.CSRPass, with_others)


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

    others: Makers = {"idiomatic": partial(baselines.idiomatic_linear, loss, *problem, rows)}
    if layout == "dense":
        others["strongest"] = partial(baselines.BatchPass, loss, *problem, rows)
    return Problem(
        hingefast=partial(objective.value_and_grad, theta, rows=rows, out=np.empty(objective.size)),
        ceiling=None,
        others=others,
        n_bytes=n_rows * (x_bytes(X) // X.shape[0]),
        tolerance=mean_tolerance(X.dtype, largest_feature(X), n_rows),
    )


def _hingefast_linear(loss: str, problem: data.Linear, n_threads: int) -> Pass:
    bound = MARGIN_LOSSES[loss]()
    grad_coef = np.empty_like(problem.coef)
    return partial(hf.linear_value_and_grad, *problem, loss=bound, out=grad_coef, n_threads=n_threads)


def _linear_problem(
    loss: str,
    problem: data.Linear,
    size: Size,
    ceiling: Pass,
    strongest: Callable[..., Pass],
    with_others: bool = False,
) -> Problem:
    X, y, coef, _ = problem
    idiomatic = partial(baselines.idiomatic_linear, loss, *problem)
    return Problem(
        hingefast=_hingefast_linear(loss, problem, size.n_threads),
        ceiling=ceiling,
        others={
            **_numpy_passes(loss, partial(strongest, loss, *problem), idiomatic, size.n_threads),
            **(rivals.of_linear(loss, problem, size.n_threads) if with_others else {}),
        },
        n_bytes=x_bytes(X) + y.nbytes + 2 * coef.nbytes,
        tolerance=mean_tolerance(coef.dtype, largest_feature(X), X.shape[0]),
        buffers=(*x_buffers(X), y),
    )


# ----------------------------------------------------------------------------------------------------
# The rows of the report


def all_cases() -> list[Case]:
    """Every row, in the order of the report; rows that share data are neighbours."""
    return [
        *_scores(),
        *_calls(),
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
    """The hinge, from some hundred scores to 10^7; other labels."""
    sizes = [10**2, 10**3, 10**4, 10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7]
    for dtype, number in DTYPES.items():
        for n_rows in sizes:
            power = f"{n_rows:.0e}".replace("+0", "")
            case_id = f"scores/hinge/{dtype}/n={power}"
            build: Callable[[Size], Problem] = partial(
                scores_problem, "hinge", number, number, n_rows, MULTIPLY, with_others=n_rows == 10**6
            )
            plot = on_plot("rows", LONG_NAMES[dtype], n_rows)
            if f"scores-{power}" in DESIGN_ROWS:
                # 10^5 rows take less than a thread is worth
                threads = (1, 2) if n_rows > 10**5 else (1,)
                yield from design_cases(f"scores-{power}", case_id, dtype, build, threads, plot)
            else:
                yield Case(case_id, MULTIPLY, None, build, dtype=dtype, **plot)
            if n_rows == 10**7:
                yield from bus_cases(f"{case_id}-bus", dtype, f"scores, {LONG_NAMES[dtype]}", build)
        build = partial(scores_problem, "hinge", number, np.int8, 10**7, MULTIPLY)
        case_id = f"scores/hinge-int8-labels/{dtype}/n=1e7"
        yield from design_cases("scores-1e7-int8", case_id, dtype, build)
    build = partial(scores_problem, "hinge", np.float32, np.float64, 10**7, MULTIPLY)
    yield Case("scores/hinge-f64-labels/f32/n=1e7", MULTIPLY, None, build, dtype="f32")


def _calls() -> Iterable[Case]:
    """What a call costs: a few rows, next to the expression that users write and to the smallest call."""
    for dtype, number in DTYPES.items():
        for n_rows in (1, 32):
            of_call = partial(scores_problem, "hinge", number, number, n_rows)
            case_id = f"scores/hinge/{dtype}/n={n_rows}"
            if n_rows == 32:
                build: Callable[[Size], Problem] = partial(of_call, EXPRESSION, with_others=dtype == "f64")
                yield from design_cases("scores-32", case_id, dtype, build, threads=(1,))
            else:
                yield Case(case_id, EXPRESSION, None, partial(of_call, EXPRESSION), dtype=dtype)
            yield Case(f"{case_id}-np.add", ADD, None, partial(of_call, ADD), dtype=dtype)


def _catalogue() -> Iterable[Case]:
    """Every other loss on 10^6 scores; the ceiling of those that need exp is exp."""
    rows_of_design = {"softplus_hinge": "softplus", "logistic": "logistic", "psi_g": "psi_g"}
    for loss in MARGIN_LOSSES:
        if loss == "hinge":
            continue
        needs = "scipy" if loss == "psi_g" else ""
        for dtype, number in DTYPES.items():
            case_id = f"scores/{loss}/{dtype}/n=1e6"
            ceiling = EXP if loss in rows_of_design else MULTIPLY
            with_others = loss == "logistic"
            build = partial(scores_problem, loss, number, number, 10**6, ceiling, with_others=with_others)
            if loss in rows_of_design:
                yield from design_cases(rows_of_design[loss], case_id, dtype, build, needs=needs)
            else:
                yield Case(case_id, ceiling, None, build, dtype=dtype, needs=needs)


def _dense() -> Iterable[Case]:
    """From 2 features to 100 000; by activity; other labels and the logistic loss."""
    for dtype, number in DTYPES.items():
        name = LONG_NAMES[dtype]
        for n_features in (2, 4, 8, 16, 32, 200, 1000, 10000, WIDE_FEATURES):
            case_id = f"dense/hinge/{dtype}/d={n_features}"
            with_others = n_features == 200 or (n_features == 1000 and dtype == "f64")
            build = partial(dense_problem, "hinge", number, n_features, "C", with_others=with_others)
            plot = on_plot("features", name, n_features)
            if f"dense-{n_features}" in DESIGN_ROWS:
                yield from design_cases(f"dense-{n_features}", case_id, dtype, build, plot=plot)
            else:
                yield Case(case_id, X_W, None, build, dtype=dtype, **plot)
            if n_features == 1000:
                yield from bus_cases(f"{case_id}-bus", dtype, f"dense X, {name}", build)
        if dtype == "f64":
            for percent in (0, 1, 10, 50, 100):
                build = partial(active_problem, "hinge", number, 1000, percent / 100)
                plot = on_plot("activity", "dense X, float64, d = 1000", percent)
                yield Case(f"dense/hinge/f64/active={percent}%", X_W, None, build, dtype=dtype, **plot)
        build = partial(dense_problem, "hinge", number, 200, "C", label_dtype=np.int8)
        yield Case(f"dense/hinge-int8-labels/{dtype}/d=200", X_W, None, build, dtype=dtype)
        build = partial(dense_problem, "logistic", number, 200, "C", with_others=True)
        yield Case(f"dense/logistic/{dtype}/d=200", X_W, None, build, dtype=dtype)


def _tiles() -> Iterable[Case]:
    """X that is not used in place, of 1000 features."""
    for dtype, number in DTYPES.items():
        build = partial(dense_problem, "hinge", number, 1000, "F")
        case_id = f"fortran/hinge/{dtype}/d=1000"
        yield from design_cases("fortran", case_id, dtype, build)
    for x_dtype in (np.uint8, np.int8, np.bool_):
        name = np.dtype(x_dtype).name
        build_tile = partial(tile_problem, "hinge", x_dtype, 1000)
        case_id = f"tile/hinge/{name}/d=1000"
        yield from design_cases(f"tile-{name}", case_id, "f32", build_tile)
    build_tile = partial(tile_problem, "hinge", np.float16, 1000)
    yield Case("tile/hinge/float16/d=1000", FLOAT32_X, None, build_tile, dtype="f32")
    build_tile = partial(tile_problem, "hinge", np.int64, 1000, dtype=np.float64)
    yield Case("tile/hinge/int64/d=1000", FLOAT64_X, None, build_tile, dtype="f64")


def _csr() -> Iterable[Case]:
    """By percentage of active rows, 100 being what every first iteration has; by nonzeros a row."""
    percentages = (0, 10, 25, 50, 100)
    text = partial(text_problem, "hinge")
    sources: list[tuple[str, str, str, tuple[int, ...], Callable[..., Problem]]] = [
        ("text", "f64", "scipy", percentages, partial(text, np.float64, np.int32)),
        ("text", "f32", "scipy", (25, 100), partial(text, np.float32, np.int32)),
        ("imdb", "f64", "imdb", percentages, partial(imdb_problem, "hinge")),
    ]
    for source, dtype, needs, shown, problem in sources:
        row_key = "csr" if source == "text" else f"csr-{source}"
        series = "CSR, text-like" if source == "text" else f"CSR, {source}"
        for percent in shown:
            case_id = f"csr/hinge/{dtype}-{source}/active={percent}%"
            build: Callable[[Size], Problem] = partial(problem, percent / 100)
            compared = (source, dtype, percent) == ("text", "f64", 25)
            if compared:
                build = partial(problem, percent / 100, with_others=True)
            plot = on_plot("activity", f"{series}, {LONG_NAMES[dtype]}", percent)
            if percent in (25, 100):
                key = f"{row_key}-{percent}"
                yield from design_cases(key, case_id, dtype, build, plot=plot, needs=needs)
            else:
                yield Case(case_id, SCIPY_X_W, None, build, needs=needs, dtype=dtype, **plot)
            if compared:
                name = f"{series}, {LONG_NAMES[dtype]}"
                yield from bus_cases(f"{case_id}-bus", dtype, name, build, needs=needs)
    build = partial(text_problem, "logistic", np.float64, np.int32, 0.5, with_others=True)
    yield Case("csr/logistic/f64-text/all-rows", SCIPY_X_W, None, build, needs="scipy", dtype="f64")
    for nonzeros, n_heavy in ((5, 0), (50, 0), (50, 5), (500, 0)):
        build = partial(uniform_problem, "hinge", nonzeros, n_heavy, 0.25)
        heavy = f"-{n_heavy}-in-every-row" if n_heavy else ""
        case_id = f"csr/hinge/f64-uniform/nonzeros={nonzeros}{heavy}"
        plot = on_plot("nonzeros", f"{n_heavy} columns in every row" if n_heavy else "uniform", nonzeros)
        yield Case(case_id, SCIPY_X_W, None, build, needs="scipy", dtype="f64", **plot)


def _batches() -> Iterable[Case]:
    for layout, needs in (("dense", ""), ("csr", "scipy")):
        for n_rows in (1, 32):
            build = partial(batch_problem, "hinge", layout, n_rows)
            case_id = f"batch/objective-{layout}/f64/rows={n_rows}"
            yield Case(case_id, EXPRESSION, None, build, needs=needs, dtype="f64")
