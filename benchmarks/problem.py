"""Jobs to measure, each with everybody who does it.

A `Problem` holds callables that do one and the same job in different ways, on the same data, with all
preparation done: hingefast, the strongest NumPy pass, the idiomatic one, other libraries, and the ceiling,
which is something simpler that nobody can be expected to beat by much. Every answer but the ceiling's is
(value, gradient, ...), or the value alone of a library that has no gradient.

To add a layout, add a function that returns a `Problem`. Those of K classes are told by their names; labels are int64
there, and how many rows and classes are active is told beside each result.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import hingefast as hf
from benchmarks import baselines, data, multiclass_baselines, rivals
from benchmarks.baselines import Makers, Pass
from benchmarks.design_rows import ADD, EXP, EXPRESSION, MULTIPLY

# Wide X has so many rows, in at most so many times the bytes that other X have.
WIDE_ROWS, WIDE_BYTES = 1000, 4
WIDE_FEATURES = 100_000

# Narrow X has at most so many rows: what a row costs decides there, not its bytes.
MOST_ROWS = 2**22

MNIST_CLASSES, PIXELS = 10, 784

# Rows of dense X of K classes at most, by K. There the two products decide, and no more rows are needed for a pass to
# take a tenth of a second.
DENSE_ROWS = {100: 20_000, 1000: 4_000}


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


# ----------------------------------------------------------------------------------------------------
# The problems


AnyLinear: TypeAlias = data.Linear | data.Multiclass


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
    ours = partial(hf.get_loss(loss).value_and_grad, y, scores, out=grad)
    ceilings: dict[str, Pass | None] = {
        MULTIPLY: partial(np.multiply, labels, scores, out=result),
        EXP: partial(np.exp, scores, out=result),
        ADD: partial(np.add, labels, scores, out=result),
        EXPRESSION: None,
    }
    return Problem(
        hingefast=ours if ceiling in (ADD, EXPRESSION) else partial(ours, n_threads=size.n_threads),
        ceiling=ceilings[ceiling],
        others=_others_on_scores(loss, y, scores, size, baselines.ScoresPass, with_others),
        n_bytes=y.nbytes + scores.nbytes + grad.nbytes,
        tolerance=mean_tolerance(scores.dtype, 1 / len(scores)),
        buffers=(y, scores, grad),
    )


def class_scores_problem(loss: str, dtype: type, n_classes: int, size: Size) -> Problem:
    """The same for K scores a row, which take half of size.x_bytes; the ceiling is COPY."""
    n_rows = max(1, size.x_bytes // (2 * n_classes * np.dtype(dtype).itemsize))
    y, scores = data.class_scores(n_rows, n_classes, dtype)
    grad = np.empty_like(scores)
    has_others = loss == "weston_watkins" and size.n_threads == 1
    # No rounding decides who is active: see `data.class_scores`.
    largest_slope = (n_classes - 1 if loss == "weston_watkins" else 1) / n_rows
    return Problem(
        hingefast=partial(hf.get_loss(loss).value_and_grad, y, scores, out=grad, n_threads=size.n_threads),
        ceiling=partial(np.copyto, np.empty_like(scores), scores),
        others=_others_on_scores(loss, y, scores, size, multiclass_baselines.ScoresPass, has_others),
        n_bytes=y.nbytes + 2 * scores.nbytes,
        tolerance=mean_tolerance(dtype, largest_slope),
        note=_active_scores(y, scores),
        buffers=(y, scores, grad),
    )


def torch_problem(dtype: type, n_classes: int, size: Size) -> Problem:
    """Weston-Watkins on the same scores; the ceiling is forward and backward of TORCH, and nobody else is timed."""
    problem = class_scores_problem("weston_watkins", dtype, n_classes, size)
    problem.check(["torch"])
    return replace(problem, ceiling=problem.other("torch"), others={})


def _others_on_scores(
    loss: str,
    y: data.Array,
    scores: data.Array,
    size: Size,
    strongest: Callable[..., Pass],
    with_others: bool,
) -> Makers:
    numpy = _numpy_passes(
        loss, partial(strongest, loss, y, scores), partial(baselines.idiomatic, loss, y, scores), size
    )
    return numpy | (rivals.of_scores(loss, y, scores, size.n_threads) if with_others else {})


def _numpy_passes(
    loss: str, strongest: Callable[[], Pass], idiomatic: Callable[[], Pass], size: Size
) -> Makers:
    """What makes the strongest pass, where there is one, and the idiomatic one, which has one thread."""
    has_strongest = loss in baselines.STRONGEST or loss in multiclass_baselines.STRONGEST
    makers: Makers = {"strongest": strongest} if has_strongest else {}
    return {**makers, "idiomatic": idiomatic} if size.n_threads == 1 else makers


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
        native = _hingefast_linear(loss, problem, size)
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


def class_dense_problem(loss: str, dtype: type, n_classes: int, size: Size) -> Problem:
    """The same on MNIST, or on clusters of K classes; the ceiling is X @ W.T."""
    row_bytes = PIXELS * np.dtype(dtype).itemsize
    n_rows = max(1, min(size.x_bytes // row_bytes, DENSE_ROWS.get(n_classes, size.x_bytes)))
    if n_classes == MNIST_CLASSES:
        problem, source = data.mnist(n_rows, dtype)
    else:
        problem, source = data.clusters(n_rows, n_classes, PIXELS, dtype), "synthetic"
    has_others = loss == "weston_watkins" and size.n_threads == 1
    return _dense_problem(loss, problem, size, has_others, source)


def _dense_problem(
    loss: str, problem: AnyLinear, size: Size, with_others: bool = False, source: str = ""
) -> Problem:
    X, coef = problem.X, problem.coef
    scores: data.Array = np.empty((len(X), *coef.shape[:-1]), coef.dtype)
    ceiling = partial(np.dot, X, coef.T, out=scores)
    strongest = baselines.DensePass if coef.ndim == 1 else multiclass_baselines.DensePass
    return _linear_problem(loss, problem, size, ceiling, strongest, with_others, source)


def tile_problem(loss: str, x_dtype: type, n_features: int, size: Size, dtype: type = np.float32) -> Problem:
    """The same for X that has to be cast; the ceiling is hingefast on that X in `dtype`, of size.x_bytes."""
    n_rows = max(1, size.x_bytes // (np.dtype(dtype).itemsize * n_features))
    problem = data.tile(n_rows, n_features, x_dtype, dtype)
    native = _hingefast_linear(loss, problem._replace(X=problem.X.astype(dtype)), size)
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


def real_problem(name: str, dtype: type, at: float | str, size: Size) -> Problem:
    """The hinge on a real set, at its class "means", where coef is "zero", or with this share of active rows."""
    problem = data.real(name, dtype)
    if at == "zero":
        problem = problem._replace(coef=np.zeros_like(problem.coef), intercept=0.0)
    elif isinstance(at, float):
        problem = data.with_activity(problem.X, at)
    return _sparse_problem("hinge", problem, size, False)


def class_csr_problem(loss: str, name: str, dtype: type, is_first: bool, size: Size) -> Problem:
    """The same on 20 Newsgroups or the 26 letters, trained or where coef is 0; the ceiling is SciPy's X @ W.T."""
    problem = data.news20(dtype) if name == "news20" else data.letter(dtype)
    if is_first:
        problem = problem._replace(
            coef=np.zeros_like(problem.coef), intercept=np.zeros_like(problem.intercept)
        )
    has_others = loss == "weston_watkins" and size.n_threads == 1 and name == "news20" and not is_first
    return _sparse_problem(loss, problem, size, has_others)


def _csr_problem(loss: str, X: Any, activity: float, size: Size, with_others: bool = False) -> Problem:
    return _sparse_problem(loss, data.with_activity(X, activity), size, with_others)


def _sparse_problem(loss: str, problem: AnyLinear, size: Size, with_others: bool) -> Problem:
    X, coef = problem.X, problem.coef
    strongest = baselines.CSRPass if coef.ndim == 1 else multiclass_baselines.CSRPass
    return _linear_problem(loss, problem, size, lambda: X @ coef.T, strongest, with_others)


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


def _hingefast_linear(loss: str, problem: AnyLinear, size: Size) -> Pass:
    grad_coef = np.empty_like(problem.coef)
    out = grad_coef if grad_coef.ndim == 1 else (grad_coef, np.empty_like(problem.intercept))
    call = partial(hf.linear_value_and_grad, *problem, loss=hf.get_loss(loss), out=out)
    return partial(call, n_threads=size.n_threads)


def _linear_problem(
    loss: str,
    problem: AnyLinear,
    size: Size,
    ceiling: Pass,
    strongest: Callable[..., Pass],
    with_others: bool = False,
    source: str = "",
) -> Problem:
    X, y, coef, _ = problem
    idiomatic = partial(baselines.idiomatic_linear, loss, *problem)
    is_known = isinstance(problem, data.Linear) or not problem.coef.any()  # in which rows are active
    notes = [] if is_known else [source, _active(*problem.active())]
    return Problem(
        hingefast=_hingefast_linear(loss, problem, size),
        ceiling=ceiling,
        others=_numpy_passes(loss, partial(strongest, loss, *problem), idiomatic, size)
        | (rivals.of_linear(loss, problem, size.n_threads) if with_others else {}),
        n_bytes=x_bytes(X) + y.nbytes + 2 * coef.nbytes,
        tolerance=mean_tolerance(coef.dtype, largest_feature(X), X.shape[0]),
        note=", ".join(filter(None, notes)),
        buffers=(*x_buffers(X), y),
    )


def next_to_bus(build: Callable[[Size], Problem], size: Size) -> Problem:
    """A problem whose ceiling only reads the same bytes, with as many threads; other rows check the answer."""
    problem = build(size)
    bus = baselines.BusPass(problem.buffers, size.n_threads)
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
