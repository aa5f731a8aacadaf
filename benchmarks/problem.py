"""What a row of the report is: a `Case`, and the `Problem` that it builds when its turn comes.

A `Problem` holds callables that do one and the same job in different ways, on the same data, with all
preparation done: hingefast, the strongest NumPy pass, the idiomatic one, and the ceiling, which is something
simpler that nobody can be expected to beat by much. Every answer of the first three is (value, gradient,
...).
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks import data
from benchmarks.measure import Tolerance, check_agree

Pass: TypeAlias = Callable[[], Any]

DTYPES = {"f64": np.float64, "f32": np.float32}

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
class Problem:
    """One job done in several ways.

    Attributes
    ----------
    hingefast, strongest, idiomatic : callable
        Return the value and the gradient, in one part or several. A baseline is None where there is none.
    ceiling : callable or None
        Its result is not looked at.
    n_bytes : int
        What the job has to read and write at least.
    tolerance : Tolerance
    note : str
        What a reader of the row should know about the data.
    """

    hingefast: Pass
    ceiling: Pass | None
    strongest: Pass | None
    idiomatic: Pass | None
    n_bytes: int
    tolerance: Tolerance
    note: str = ""

    def contenders(self) -> dict[str, Pass]:
        ways = {
            "hingefast": self.hingefast,
            "ceiling": self.ceiling,
            "strongest": self.strongest,
            "idiomatic": self.idiomatic,
        }
        return {name: way for name, way in ways.items() if way is not None}

    def check(self) -> None:
        """Raise AnswersDiffer unless all ways of doing the job give the same answer."""
        ours = flat(self.hingefast())
        for name, way in (("strongest", self.strongest), ("idiomatic", self.idiomatic)):
            if way is not None:
                check_agree(ours, flat(way()), self.tolerance, name)


def flat(answer: Any) -> list[Any]:
    """Value and whole gradient, one vector; a copy, since the next call overwrites what it returned."""
    value, *grads = answer
    return [value, np.concatenate([np.ravel(grad) for grad in grads])]


@dataclass(frozen=True)
class Case:
    """One row of the report.

    Attributes
    ----------
    id : str
        group/what/dtype/size, unique together with n_threads; what ``--only`` matches.
    ceiling : str
        What the ratio refers to, in words.
    target : float or None
        The largest ratio to the ceiling that meets the design; None where it only is to be reported.
    build : callable
        Makes the problem from a Size.
    n_threads : int
        On both sides.
    target_is_due : bool
        False where the design wants the target only later.
    needs : str
        A key of `MODULES`, or nothing.
    least_speedup : float or None
        A second target: how many times as fast as the strongest pass hingefast has to be.
    """

    id: str
    ceiling: str
    target: float | None
    build: Callable[[Size], Problem]
    n_threads: int = 1
    target_is_due: bool = True
    needs: str = ""
    least_speedup: float | None = None

    def missing(self) -> str:
        """Why the case cannot run here; empty if it can."""
        module, file = MODULES.get(self.needs), FILES.get(self.needs)
        if module and find_spec(module) is None:
            return f"{module} is not installed"
        if file and data.file_path(file) is None:
            return f"no {file} in the folder named by {data.DATA_VARIABLE}"
        return ""


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
    if isinstance(X, np.ndarray):
        return X.nbytes
    return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)


def largest_feature(X: Any) -> float:
    numbers = X if isinstance(X, np.ndarray) else X.data
    return max(float(numbers.max()), -float(numbers.min()))
