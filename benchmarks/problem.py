"""What a row of the report is: a `Case`, and the `Problem` that it builds when its turn comes.

A `Problem` holds callables that do one and the same job in different ways, on the same data, with all
preparation done: hingefast, the strongest NumPy pass, the idiomatic one, other libraries, and the ceiling,
which is something simpler that nobody can be expected to beat by much. Every answer but the ceiling's is
(value, gradient, ...), or the value alone of a library that has no gradient.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks import data
from benchmarks.baselines import BusPass
from benchmarks.design_rows import BUS, LOWER_LEVELS, TWO_THREADS, ceiling_at
from benchmarks.design_rows import DESIGN_ROWS as DESIGN_ROWS

Pass: TypeAlias = Callable[[], Any]
Makers: TypeAlias = dict[str, Callable[[], Pass]]

DTYPES = {"f64": np.float64, "f32": np.float32}
LONG_NAMES = {"f64": "float64", "f32": "float32"}

# What a case may need: a module, and a file of the data folder.
MODULES = {"scipy": "scipy", "imdb": "scipy", "news20": "scipy", "torch": "torch"}
FILES = {"imdb": data.IMDB, "news20": data.NEWS20}


@dataclass(frozen=True)
class Size:
    """How large X is, and how many threads both sides have."""

    x_bytes: int = 0
    n_threads: int = 1


NO_X = Size()


@dataclass(frozen=True)
class Tolerance:
    """How far two correct answers may be apart.

    Attributes
    ----------
    value : float
        Relative, for the value of the loss.
    grad : float
        Absolute, for every number of the gradients.
    """

    value: float
    grad: float


class AnswersDiffer(AssertionError):
    """Two passes that were about to be compared do not compute the same."""


@dataclass(frozen=True)
class Problem:
    """One job done in several ways.

    Attributes
    ----------
    hingefast : callable
        Returns the value and the gradient, in one part or several.
    ceiling : callable or None
        Its result is not looked at. None: it is the idiomatic pass.
    others : dict
        Who else does the job, by name: "strongest" and "idiomatic" NumPy, other libraries. What makes the pass, which
        is made when it is first asked for: it may take long, or need what is not installed, and not every run calls
        it. It may answer with the value alone.
    n_bytes : int
        What the job has to read and write at least.
    tolerance : Tolerance
    note : str
        What a reader of the row should know about the data.
    buffers : tuple of ndarray
        X, labels and whatever else is large that the job reads or writes.
    """

    hingefast: Pass
    ceiling: Pass | None
    others: Makers
    n_bytes: int
    tolerance: Tolerance
    note: str = ""
    buffers: tuple[npt.NDArray[Any], ...] = ()
    _made: dict[str, Pass] = field(default_factory=dict, init=False, repr=False)

    def other(self, name: str) -> Pass:
        if name not in self._made:
            self._made[name] = self.others[name]()
        return self._made[name]

    def contenders(self, others: Collection[str] | None = None) -> dict[str, Pass]:
        """hingefast, the ceiling, and those of the others, by default all."""
        ceiling = self.ceiling or self.other("idiomatic")
        names = self.others if others is None else others
        return {"hingefast": self.hingefast, "ceiling": ceiling, **{name: self.other(name) for name in names}}

    def check(self, others: Collection[str] | None = None) -> None:
        """Raise AnswersDiffer unless all of these, by default all others, give hingefast's answer."""
        ours = flat(self.hingefast())
        for name in self.others if others is None else others:
            theirs = flat(self.other(name)())
            check_agree(ours[: len(theirs)], theirs, self.tolerance, name)


def check_agree(
    ours: Sequence[float | npt.NDArray[Any]],
    theirs: Sequence[float | npt.NDArray[Any]],
    tolerance: Tolerance,
    name: str,
) -> None:
    """Raise AnswersDiffer unless value and gradients agree; what is not finite never does.

    Both hold the value first, then the gradients; `name` is whose answer `theirs` is, for the message.
    """
    if len(ours) != len(theirs):
        raise AnswersDiffer(f"hingefast returns {len(ours)} results, {name} {len(theirs)}")
    value, other = float(ours[0]), float(theirs[0])
    if not abs(value - other) <= tolerance.value * abs(other):
        raise AnswersDiffer(f"value: hingefast {value!r}, {name} {other!r}")
    for part, (grad, grad_other) in enumerate(zip(ours[1:], theirs[1:], strict=True), start=1):
        if np.shape(grad) != np.shape(grad_other):
            raise AnswersDiffer(f"result {part}: shape {np.shape(grad)}, {name} {np.shape(grad_other)}")
        difference = float(np.max(np.abs(np.asarray(grad, np.float64) - grad_other), initial=0.0))
        if not difference <= tolerance.grad:
            raise AnswersDiffer(
                f"result {part}: {name} differs by {difference:.3g}, allowed is {tolerance.grad:.3g}"
            )


def flat(answer: Any) -> list[Any]:
    """Value and whole gradient, one vector; of a value alone, that.

    A gradient in one part is not copied: every way of doing a job has a buffer of its own.
    """
    if not isinstance(answer, tuple):
        return [answer]
    value, *grads = answer
    return [value, np.ravel(grads[0]) if len(grads) == 1 else np.concatenate([np.ravel(g) for g in grads])]


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


def next_to_bus(build: Callable[[Size], Problem], size: Size) -> Problem:
    """A problem whose ceiling only reads the same bytes, with as many threads; other rows check the answer."""
    problem = build(size)
    bus = BusPass(problem.buffers, size.n_threads)
    return replace(problem, ceiling=bus, others={})


def mean_tolerance(dtype: npt.DTypeLike, largest: float, n_rows: int = 0) -> Tolerance:
    """Tolerance of a mean over rows, whose features (1/n for gradients of scores) are at most `largest`.

    NumPy's float32 sums are good to about 1e-6 of the sum of absolute terms, and no slope is larger than 4.
    In a linear pass of float32 a score within rounding of the kink may fall on either side: room for four
    such rows is given.
    """
    if np.dtype(dtype) == np.float32:
        flips = 4 * largest / n_rows if n_rows else 0.0
        return Tolerance(value=1e-5, grad=4e-5 * largest + flips)
    return Tolerance(value=1e-11, grad=4e-11 * largest)


def x_bytes(X: Any) -> int:
    """What X takes in memory, an ndarray or a SciPy CSR array."""
    return sum(buffer.nbytes for buffer in x_buffers(X))


def x_buffers(X: Any) -> tuple[npt.NDArray[Any], ...]:
    """The arrays that hold X, an ndarray or a SciPy CSR array."""
    return (X,) if isinstance(X, np.ndarray) else (X.data, X.indices, X.indptr)


def largest_feature(X: Any) -> float:
    numbers = X if isinstance(X, np.ndarray) else X.data
    return max(float(numbers.max()), -float(numbers.min()))
