"""What is measured: the rows of the report. To add one, add a `Case`."""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

import numpy as np

from benchmarks import data
from benchmarks.design_rows import (
    ADD,
    BUS,
    COPY,
    DESIGN_ROWS,
    EXP,
    EXPRESSION,
    FLOAT32_X,
    FLOAT64_X,
    LOWER_LEVELS,
    MULTIPLY,
    REAL_BY_ACTIVITY,
    REAL_SPEEDUPS,
    SCIPY_X_W,
    TWO_THREADS,
    X_W,
    X_WT,
    ceiling_at,
)
from benchmarks.problem import (
    WIDE_FEATURES,
    Problem,
    Size,
    active_problem,
    batch_problem,
    class_csr_problem,
    class_dense_problem,
    class_scores_problem,
    dense_problem,
    imdb_problem,
    next_to_bus,
    real_problem,
    scores_problem,
    text_problem,
    tile_problem,
    torch_problem,
    uniform_problem,
)
from hingefast.losses import MARGIN_LOSSES

DTYPES = {"f64": np.float64, "f32": np.float32}
LONG_NAMES = {"f64": "float64", "f32": "float32"}
CLASS_LOSSES = {"crammer_singer": "CS", "weston_watkins": "WW"}

# What a case may need: a module, and a file of the data folder.
MODULES = {"scipy": "scipy", "torch": "torch"} | dict.fromkeys(data.REAL, "scipy")
FILES = {name: file for name, (file, _) in data.REAL.items()}


@dataclass(frozen=True)
class Case:
    """One row of the report.

    Attributes
    ----------
    id : str
        group/what/dtype/size, unique together with n_threads; what ``--only`` matches. Rows that differ only in
        the last part share data.
    ceiling : str
        What the ratio refers to, in words.
    target : float or None
        The largest ratio to the ceiling that meets the design; None where it only is to be reported.
    build : callable
        Makes the problem from a Size.
    n_threads : int
        On both sides.
    needs : str
        A key of `MODULES`, or nothing.
    least_speedup : float or None
        A second target: how many times as fast as the strongest pass hingefast has to be.
    dtype : str
        "f64" or "f32": what hingefast computes scores in.
    design_row : str
        A key of `DESIGN_ROWS`, or nothing.
    levels : tuple of str
        Instruction-set levels, beside the one in use, at which the case is measured too.
    sweep, series : str
        The plot that shows the case, and its line in that plot, or nothing.
    x : float or None
        Its place on the axis of the plot.
    """

    id: str
    ceiling: str
    target: float | None
    build: Callable[[Size], Problem]
    n_threads: int = 1
    needs: str = ""
    least_speedup: float | None = None
    dtype: str = ""
    design_row: str = ""
    levels: tuple[str, ...] = ()
    sweep: str = ""
    series: str = ""
    x: float | None = None

    def fields(self) -> dict[str, Any]:
        """What a result tells of its case."""
        names = (
            "id",
            "n_threads",
            "dtype",
            "ceiling",
            "target",
            "least_speedup",
            "design_row",
            "sweep",
            "series",
            "x",
        )
        return {name: getattr(self, name) for name in names}

    def missing(self) -> str:
        """Why the case cannot run here; empty if it can."""
        module, file = MODULES.get(self.needs), FILES.get(self.needs)
        if module and find_spec(module) is None:
            return f"{module} is not installed"
        if file and data.file_path(file) is None:
            return f"no {file} in the folder named by {data.DATA_VARIABLE}"
        return ""


def on_plot(sweep: str, series: str, x: float) -> Mapping[str, Any]:
    """The fields of a `Case` that is a point of a plot."""
    return {"sweep": sweep, "series": series, "x": x}


NO_PLOT: Mapping[str, Any] = {}


def design_cases(
    key: str,
    case_id: str,
    dtype: str,
    build: Callable[[Size], Problem],
    threads: tuple[int, ...] = (1, 2),
    plot: Mapping[str, Any] = NO_PLOT,
    **fields: Any,
) -> Iterator[Case]:
    """The cases of a row of the design's table, one for each number of threads; `fields` of all of them.

    The targets are for one thread, except those of the rows whose keys end in `TWO_THREADS`. In the plot is the
    case of one thread.
    """
    for n_threads in threads:
        of_two = key + TWO_THREADS
        row_key = of_two if n_threads == 2 and of_two in DESIGN_ROWS else key
        row = DESIGN_ROWS[row_key]
        has_targets = row.n_threads == n_threads
        yield Case(
            case_id,
            ceiling_at(row.ceiling, n_threads),
            row.target(dtype) if has_targets else None,
            build,
            n_threads=n_threads,
            least_speedup=row.least_speedup if has_targets else None,
            dtype=dtype,
            design_row=row_key,
            levels=LOWER_LEVELS,
            **(plot if n_threads == 1 else NO_PLOT),
            **fields,
        )


def bus_cases(
    case_id: str, dtype: str, series: str, build: Callable[[Size], Problem], needs: str = ""
) -> Iterator[Case]:
    """The problem next to the memory bus, at 1 and 2 threads: the points of the plot of threads."""
    for n_threads in (1, 2):
        plot = on_plot("threads", series, n_threads)
        beside = partial(next_to_bus, build)
        yield Case(case_id, BUS, None, beside, n_threads=n_threads, needs=needs, dtype=dtype, **plot)


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
        *_real(),
        *_batches(),
        *_class_scores(),
        *_class_dense(),
        *_class_csr(),
        *_torch(),
    ]


class HasId(Protocol):
    """What can be selected."""

    @property
    def id(self) -> str: ...


Selected = TypeVar("Selected", bound=HasId)


def select(cases: Iterable[Selected], pattern: str | None) -> list[Selected]:
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


def _real() -> Iterable[Case]:
    """Real sets at their class means; some of them also with other shares of active rows."""
    for name in REAL_SPEEDUPS:
        for dtype, number in DTYPES.items():
            build: Callable[[Size], Problem] = partial(real_problem, name, number, "means")
            yield from design_cases(f"real-{name}", f"csr/real/{dtype}/{name}", dtype, build, needs=name)
    for name in REAL_BY_ACTIVITY:
        for what, at in (("0%", 0.0), ("25%", 0.25), ("100%", 1.0), ("first", "zero")):
            build = partial(real_problem, name, np.float64, at)
            case_id = f"csr/real/f64/{name}-active={what}"
            yield from design_cases(f"real-{name}-active", case_id, "f64", build, threads=(1,), needs=name)


def _batches() -> Iterable[Case]:
    for layout, needs in (("dense", ""), ("csr", "scipy")):
        for n_rows in (1, 32):
            build = partial(batch_problem, "hinge", layout, n_rows)
            case_id = f"batch/objective-{layout}/f64/rows={n_rows}"
            yield Case(case_id, EXPRESSION, None, build, needs=needs, dtype="f64")


def _class_scores() -> Iterable[Case]:
    for dtype, number in DTYPES.items():
        for n_classes in (2, 10, 30, 100, 300, 1000):
            for loss, initials in CLASS_LOSSES.items():
                key = f"class-scores-{initials}-{n_classes}"
                case_id = f"multiclass/scores/{dtype}-K={n_classes}/{loss}"
                build = partial(class_scores_problem, loss, number, n_classes)
                plot = on_plot("classes", LONG_NAMES[dtype], n_classes)
                if key not in DESIGN_ROWS and loss == "crammer_singer":
                    yield Case(case_id, COPY, None, build, dtype=dtype, **plot)
                elif key in DESIGN_ROWS:
                    plot = plot if loss == "crammer_singer" else NO_PLOT
                    yield from design_cases(key, case_id, dtype, build, plot=plot)
                if (dtype, n_classes, loss) == ("f64", 100, "crammer_singer"):
                    yield from bus_cases(f"{case_id}-bus", dtype, "scores, K = 100, float64", build)


def _class_dense() -> Iterable[Case]:
    for dtype, number in DTYPES.items():
        for n_classes in (10, 100, 1000):
            for loss, initials in CLASS_LOSSES.items():
                key = f"class-dense-{initials}-{n_classes}"
                case_id = f"multiclass/dense/{dtype}-K={n_classes}/{loss}"
                build = partial(class_dense_problem, loss, number, n_classes)
                if key in DESIGN_ROWS:
                    yield from design_cases(key, case_id, dtype, build)
                else:
                    yield Case(case_id, X_WT, None, build, dtype=dtype)


def _class_csr() -> Iterable[Case]:
    """With a quarter of the rows active, and at the first iteration, where all are."""
    for name in ("news20", "letter"):
        for dtype, number in DTYPES.items():
            for is_first in (False, True):
                for loss, initials in CLASS_LOSSES.items():
                    first = "-first" if is_first else ""
                    case_id = f"multiclass/csr/{dtype}-{name}{first}/{loss}"
                    build = partial(class_csr_problem, loss, name, number, is_first)
                    threads = (1, 2) if loss == "crammer_singer" and name == "news20" else (1,)
                    key = f"class-csr-{initials}-{name}{first}"
                    yield from design_cases(key, case_id, dtype, build, threads, needs=name)


def _torch() -> Iterable[Case]:
    """At least 5 times faster than forward and backward, which have one thread."""
    for dtype, number in DTYPES.items():
        for n_classes in (10, 100):
            key = f"class-torch-{n_classes}"
            case_id = f"multiclass/torch/{dtype}-K={n_classes}/weston_watkins"
            build = partial(torch_problem, number, n_classes)
            yield from design_cases(key, case_id, dtype, build, threads=(1,), needs="torch")
