"""Time to the minimum: hingefast and other libraries minimise the same function, from nothing to a given distance.

The distances are relative, (value - minimum)/minimum, where the minimum is the least value that anybody found. It is
known to the gap that hingefast's reference run has proved; a distance below ten times that is left out.

For everybody the loosest of `TOLERANCES` that leads near enough is searched for first, in forked processes that are
ended when they take too long; the objective is computed by hingefast, outside the clock. Then all
that arrive are timed in turns in one process, each at his loosest tolerance that does: of hingefast that is one
contender, and the one that counts another, which stops where its own certificate proves the distance.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import ceil, isfinite, log
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import hingefast as hf
from benchmarks import data, measure
from benchmarks.data import Array
from benchmarks.fit_report import DISTANCES, LBFGS, LIBLINEAR_TRAINING, LINEAR_SVC, ONE_THREAD, OURS, REHLINE
from benchmarks.fitters import MANY, TOLERANCES, FitProblem, Fitter, fitters, warm_up

# The minimum has to be known to this share of a distance.
KNOWN = 0.1

# What the reference run aims at; less is lost in rounding.
REFERENCE_GAP = 1e-9

# A search goes on by so many tolerances, at most.
MOST_STEPS = 6

# Who takes longer than this leaves the turns after measure.MIN_ROUNDS_SLOW rounds.
SLOW = 1.0

# A value below the certified bound by more than this, relatively, is not rounding.
ROUNDING = 1e-10


@dataclass(frozen=True)
class Budget:
    """Limits in seconds: of one run; of one on MNIST; of the reference run. And how many rounds are timed."""

    run: float = 5.0
    large_run: float = 15.0
    reference: float = 60.0
    rounds: int = 5


FULL = Budget()
SHORT = Budget(run=2.0, large_run=4.0, reference=15.0, rounds=3)


# ----------------------------------------------------------------------------------------------------
# Cases


class FitSet(NamedTuple):
    """A set of data: what it is called in tables, its files, and what reads X and whether rows are positive."""

    title: str
    files: tuple[str, ...]
    load: Callable[[], tuple[Any, Array]]
    is_large: bool = False


def _sparse(name: str) -> tuple[Any, Array]:
    y, X = data.real_rows(name)
    return X, y


def _dense(name: str) -> tuple[Any, Array]:
    y, X = data.real_rows(name)
    return X.toarray(), y


def _file(name: str) -> tuple[str, ...]:
    return (data.REAL[name][0],)


SETS = {
    "a9a": FitSet("a9a", _file("a9a"), partial(_sparse, "a9a")),
    "cod-rna": FitSet("cod-rna", _file("cod-rna"), partial(_dense, "cod-rna")),
    "skin": FitSet("skin", _file("skin"), partial(_dense, "skin")),
    "rcv1": FitSet("rcv1 (small)", _file("rcv1"), partial(_sparse, "rcv1")),
    "imdb": FitSet("imdb", _file("imdb"), data.imdb_of_unit_rows),
    "mnist": FitSet("MNIST, even or odd", data.MNIST, data.mnist_even_or_odd, is_large=True),
}

NARROW = ("a9a", "cod-rna", "skin")
HINGE, SQUARED, LOGISTIC = "hinge", "squared_hinge", "logistic"


@dataclass(frozen=True)
class FitCase:
    """One row of the table.

    Attributes
    ----------
    id : str
        fit/set/loss/C=number, what ``--only`` matches; where threads are compared, with /threads at its end.
    source : str
        A key of `SETS`.
    loss : str
    C : float
        What the loss of a row is multiplied by, next to the penalty 1/2 |theta|^2.
    least : dict
        How many times as fast as whom hingefast has to be.
    largest_growth : float or None
        How many times the time at C = 1 it may take to the smallest distance.
    compares_threads : bool
        Two threads next to one, and nobody else.
    """

    id: str
    source: str
    loss: str
    C: float
    least: Mapping[str, float] = field(default_factory=dict)
    largest_growth: float | None = None
    compares_threads: bool = False

    def fields(self) -> dict[str, Any]:
        """What a result tells of its case."""
        told = {
            name: getattr(self, name) for name in ("id", "loss", "C", "largest_growth", "compares_threads")
        }
        return {**told, "set": self.source, "title": SETS[self.source].title, "least": dict(self.least)}

    def missing(self) -> str:
        """Why the case cannot run here; empty if it can."""
        for file in SETS[self.source].files:
            if data.file_path(file) is None:
                return f"no {file} in the folder named by {data.DATA_VARIABLE}"
        return ""


def all_cases() -> list[FitCase]:
    """Every case, those of one set after the other."""
    return [case for source in SETS for case in _cases_of(source)]


def _cases_of(source: str) -> Iterator[FitCase]:
    for loss in (HINGE, SQUARED, *([LOGISTIC] if source in ("a9a", "mnist") else [])):
        for C in (1.0, 100.0):
            growth = 3.0 if source in NARROW and loss == HINGE and C > 1 else None
            yield FitCase(f"fit/{source}/{loss}/C={C:g}", source, loss, C, _least(source, loss, C), growth)
    if source == "imdb":
        for loss in (HINGE, SQUARED):
            case_id = f"fit/{source}/{loss}/C=1/threads"
            yield FitCase(case_id, source, loss, 1.0, {ONE_THREAD: 1.3}, compares_threads=True)


def _least(source: str, loss: str, C: float) -> dict[str, float]:
    """The targets of the issue that asked for solvers, by whom they name."""
    of_lbfgs = {"a9a": {LBFGS: 8.0}, "mnist": {LBFGS: 4.0}}.get(source, {}) if loss != HINGE else {}
    if loss == LOGISTIC:
        return of_lbfgs
    if source == "rcv1":
        return {LINEAR_SVC: 0.9, LIBLINEAR_TRAINING: 0.9, REHLINE: 1.0}
    if source == "imdb":
        return {LINEAR_SVC: 1.4, LIBLINEAR_TRAINING: 1.05, REHLINE: 1.0}
    if source == "mnist":
        return {LINEAR_SVC: 1.5, LIBLINEAR_TRAINING: 1.5, REHLINE: 1.5, **of_lbfgs}
    if loss == SQUARED:
        svc, alone = (5.0, 3.0) if C == 1 else (2.0, 1.0)
        return {LINEAR_SVC: svc, LIBLINEAR_TRAINING: alone, **of_lbfgs}
    return {LINEAR_SVC: 1.7, LIBLINEAR_TRAINING: 1.8, REHLINE: 1.0} if C == 1 else {}


@lru_cache(maxsize=1)
def _loaded(source: str) -> tuple[Any, Array]:
    """X, and labels -1 and +1."""
    X, is_positive = SETS[source].load()
    return X, np.where(is_positive, 1.0, -1.0)


# ----------------------------------------------------------------------------------------------------
# Measuring


def measured(case: FitCase, budget: Budget) -> dict[str, Any]:
    """What a result holds beside the fields of its case."""
    problem = FitProblem(*_loaded(case.source), case.loss, case.C)
    shape = {"n_rows": problem.X.shape[0], "n_features": problem.X.shape[1]}
    if case.compares_threads:
        return {**shape, **compare_threads(problem, budget)}
    found = reference(problem, budget.reference)
    contenders, missing = fitters(problem, found.method)
    limit = budget.large_run if SETS[case.source].is_large else budget.run
    return {**shape, "missing": missing, **compare(problem, found, contenders, limit, budget.rounds)}


class Reference(NamedTuple):
    """The least value known, what the minimum is not below, and which method "auto" took."""

    value: float
    bound: float
    method: str


def reference(problem: FitProblem, seconds: float) -> Reference:
    """Minimise as far as it goes in this time."""
    start = perf_counter()

    def stop_in_time(_: hf.FitResult) -> None:
        if perf_counter() - start > seconds:
            raise StopIteration

    result = hf.minimize(problem.objective(), tol=REFERENCE_GAP, max_iter=MANY, callback=stop_in_time)
    return Reference(result.fun, result.fun - result.gap * abs(result.fun), result.method)


class Trial(NamedTuple):
    """What a tolerance led to."""

    tol: float
    value: float
    seconds: float


class Search(NamedTuple):
    """Trials, loosest first, and why there are no more: "arrived", "limit", "never" or an error."""

    trials: list[Trial]
    end: str

    def arrives(self, value: float, tol: float | None) -> Trial | None:
        """The first that came down to a value, with this tolerance if one is given."""
        return next(
            (trial for trial in self.trials if trial.value <= value and tol in (None, trial.tol)), None
        )


def compare(
    problem: FitProblem, known: Reference, contenders: Mapping[str, Fitter], limit: float, n_rounds: int
) -> dict[str, Any]:
    """Search for everybody's tolerances, then time all that arrive, in turns."""
    failed = warm_up(problem, contenders)
    value = problem.objective().value
    relative_gap = (known.value - known.bound) / abs(known.value)
    distances = [distance for distance in DISTANCES if relative_gap <= KNOWN * distance]
    levels = [known.bound + distance * abs(known.bound) for distance in distances]
    searches: dict[str, Search] = {}
    for name, fitter in contenders.items():
        if name in failed:
            searches[name] = Search([], failed[name])
        elif not fitter.like:
            searches[name] = (
                search_certified(fitter.fit, value, distances, limit)
                if fitter.is_certified
                else search(fitter.fit, value, levels, known.bound, limit)
            )
    for name, fitter in contenders.items():
        if name not in searches:
            searches[name] = searches[fitter.like]
    values = [(trial.value, name) for name, of_name in searches.items() for trial in of_name.trials]
    least, who = min([(known.value, OURS), *values])
    if least < known.bound - ROUNDING * abs(known.bound):
        raise RuntimeError(f"{who} is below what was proved: {least} < {known.bound}")
    at = {}
    for distance in distances:
        highest = least + distance * abs(least)
        chosen: dict[str, Trial] = {}
        outcomes: dict[str, dict[str, Any]] = {}
        for name, of_name in searches.items():
            trial = of_name.arrives(highest, distance if contenders[name].is_certified else None)
            if trial is None:
                outcomes[name] = {"outcome": "never" if of_name.end == "arrived" else of_name.end}
            else:
                chosen[name] = trial
        timed = _timed({name: (contenders[name].fit, trial) for name, trial in chosen.items()}, n_rounds)
        for name, (seconds, ratio, theta, rounds) in timed.items():
            outcomes[name] = {
                "seconds": seconds,
                "ratio": ratio,
                "tol": chosen[name].tol,
                "rounds": rounds,
                "distance": (float(value(theta)) - least) / abs(least),
            }
        at[f"{distance:g}"] = {name: outcomes[name] for name in contenders}
    return {
        "method": known.method,
        "minimum": least,
        "known_to": (least - known.bound) / abs(least),
        "limit": limit,
        "at": at,
    }


def search(
    fit: Callable[[float], Array],
    value: Callable[[Array], float],
    levels: Sequence[float],
    least: float,
    limit: float,
    tolerances: Sequence[float] = TOLERANCES,
) -> Search:
    """Find for each level, the highest first, the loosest tolerance that leads down to it, in few runs.

    How far a value is above `least` says how much tighter the next tolerance may be; where that was too tight, what is
    between is halved. Nothing is tried that is tighter than what took too long.
    """
    tried: dict[int, Trial] = {}
    too_slow = len(tolerances)
    end = "arrived"
    for level in levels:
        high = max((n for n, trial in tried.items() if trial.value > level), default=-1)
        low = min((n for n, trial in tried.items() if trial.value <= level and n > high), default=None)
        while low is None or low - high > 1:
            if low is None and high + 1 >= too_slow:
                end = "never" if too_slow == len(tolerances) else "limit"
                break
            if low is not None:
                number = (high + low) // 2
            elif too_slow < len(tolerances):
                number = (high + too_slow) // 2
            else:
                steps = 1 if high < 0 else _steps((tried[high].value - least) / (level - least))
                number = min(high + steps, too_slow - 1)
            trial = _tried(fit, value, tolerances[number], limit)
            if trial == "limit":
                too_slow = number
            elif not isinstance(trial, Trial):
                return Search([tried[n] for n in sorted(tried)], trial)
            else:
                tried[number] = trial
                if trial.value <= level:
                    low = number
                    continue
                # Who ends at the same place with two tolerances, and late, has a limit of his own.
                is_capped = high >= 0 and tried[high].value == trial.value and trial.seconds > limit / 10
                high = number
                if is_capped and low is None and too_slow == len(tolerances):
                    last = _tried(fit, value, tolerances[-1], limit)
                    if isinstance(last, Trial) and last.value == trial.value:
                        end = "never"
                        break
        if end != "arrived":
            break
    return Search([tried[n] for n in sorted(tried)], end)


def _steps(ratio: float) -> int:
    """How many tolerances on, where a value is so many times as far away as wanted.

    Distances fall with the tolerance or with its square; too far on would cost more than too near.
    """
    return min(max(ceil(log(ratio) / log(9)), 1), MOST_STEPS) if ratio > 1 and isfinite(ratio) else 1


def search_certified(
    fit: Callable[[float], Array], value: Callable[[Array], float], distances: Sequence[float], limit: float
) -> Search:
    """One run for each distance, the largest first."""
    trials: list[Trial] = []
    for distance in distances:
        trial = _tried(fit, value, distance, limit)
        if not isinstance(trial, Trial):
            return Search(trials, trial)
        trials.append(trial)
    return Search(trials, "arrived")


def _tried(
    fit: Callable[[float], Array], value: Callable[[Array], float], tol: float, limit: float
) -> Trial | str:
    """One run in a process of its own, which can be ended; "limit" if it had to be, or the error."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run() -> None:
        try:
            start = perf_counter()
            theta = fit(tol)
            seconds = perf_counter() - start
            sender.send(Trial(tol, float(value(theta)), seconds))
        except Exception as error:
            sender.send(f"{type(error).__name__}: {error}")

    process = context.Process(target=run, daemon=True)
    process.start()
    sender.close()
    try:
        # The value is computed outside the clock, so there is some time for it.
        if not receiver.poll(limit + 0.5):
            return "limit"
        told: Trial | str = receiver.recv()
    except EOFError:
        told = "its process died"
    finally:
        process.kill()
        process.join()
        receiver.close()
    return "limit" if isinstance(told, Trial) and told.seconds > limit else told


def _timed(
    runs: Mapping[str, tuple[Callable[[float], Array], Trial]], n_rounds: int
) -> dict[str, tuple[float, float | None, Array, int]]:
    """Median seconds, ratio to ours, the last theta, and how many rounds, of everybody."""
    if not runs:
        return {}
    thetas: dict[str, Array] = {}

    def run(name: str) -> None:
        fit, trial = runs[name]
        thetas[name] = fit(trial.tol)

    quick = [name for name, (_, trial) in runs.items() if trial.seconds < SLOW]
    samplers = {name: partial(measure.sample, partial(run, name), 1) for name in runs}
    with measure.no_collection():
        for name in quick:
            run(name)
        times = measure.in_turns(samplers, 0.0, n_rounds, n_rounds, throughout=quick)
    return {
        name: (
            times.median(name),
            times.ratio(name, OURS) if OURS in runs else None,
            thetas[name],
            len(times.seconds[name]),
        )
        for name in runs
    }


def compare_threads(problem: FitProblem, budget: Budget) -> dict[str, Any]:
    """To the smallest distance, with two threads and with one."""
    results: dict[int, hf.FitResult] = {}

    def run(n_threads: int) -> None:
        results[n_threads] = hf.minimize(problem.objective(n_threads), tol=DISTANCES[-1], max_iter=MANY)

    with measure.no_collection():
        samplers = {
            str(n_threads): partial(measure.sample, partial(run, n_threads), 1) for n_threads in (1, 2)
        }
        times = measure.in_turns(samplers, 0.0, budget.rounds, budget.rounds, throughout=list(samplers))
    return {
        "method": results[1].method,
        "seconds": {name: times.median(name) for name in samplers},
        "gain": times.ratio("1", "2"),
        "same_bits": results[1].x.tobytes() == results[2].x.tobytes(),
    }
