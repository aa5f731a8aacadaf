"""Timing callables against each other, and checking first that they compute the same.

Times of different moments cannot be compared: frequency, neighbours and caches drift. So the callables are
timed in turns, a round of all of them after the other, each round in another order, and what is reported is a
ratio.
"""

import gc
import itertools
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

# One sample lasts at least this long: 1000 times what reading the clock twice costs.
SAMPLE_SECONDS = 2e-4

MIN_ROUNDS = 5
MAX_ROUNDS = 300

# A slow one of the others leaves the turns after this many rounds.
MIN_ROUNDS_SLOW = 3

# Timing ends early when the ratio is known this well: the standard error of its median, relative. Fewer rounds
# than SETTLED_ROUNDS do not tell it.
SETTLED, SETTLED_ROUNDS = 0.004, 15

# The two of the ratio that counts.
OURS, CEILING = "hingefast", "ceiling"


@dataclass(frozen=True)
class Times:
    """Seconds of one call of each callable, one number a round, the first round first for all."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def minimum(self, name: str) -> float:
        return min(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Median time of `name` divided by the median time of `to`, over the rounds that both took part in."""
        ours, theirs = self._common(name, to)
        return statistics.median(ours) / statistics.median(theirs)

    def ratio_of_minima(self, name: str, to: str) -> float:
        ours, theirs = self._common(name, to)
        return min(ours) / min(theirs)

    def ratio_quartiles(self, name: str, to: str) -> tuple[float, float]:
        """How far the ratio moved from round to round: its first and third quartile."""
        ratios = [ours / theirs for ours, theirs in zip(*self._common(name, to), strict=True)]
        first, _, third = statistics.quantiles(ratios, n=4, method="inclusive")
        return first, third

    def _common(self, *names: str) -> list[list[float]]:
        n_rounds = min(len(self.seconds[name]) for name in names)
        return [self.seconds[name][:n_rounds] for name in names]


def gigabytes_per_second(n_bytes: int, seconds: float) -> float:
    return n_bytes / seconds / 1e9


def interleave(
    callables: Mapping[str, Callable[[], object]],
    seconds: float,
    throughout: Collection[str] = (OURS, CEILING),
) -> Times:
    """Time the callables in turns for about `seconds` seconds, at least MIN_ROUNDS rounds.

    Every callable is called once before the clock starts, which also touches its buffers. A callable that is
    faster than SAMPLE_SECONDS is called several times a sample. Those of `throughout` take part in every round; of
    the others each leaves when MIN_ROUNDS_SLOW rounds or more took it longer than its share of `seconds`.
    """
    calls = {name: _calls_per_sample(function) for name, function in callables.items()}
    samples: dict[str, list[float]] = {name: [] for name in callables}
    spent = dict.fromkeys(callables, 0.0)
    share = seconds / len(callables)
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = perf_counter()
        for n_rounds in itertools.count(1):
            taking_part = [
                name
                for name in callables
                if name in throughout or n_rounds <= MIN_ROUNDS_SLOW or spent[name] < share
            ]
            for name in _order(taking_part, n_rounds):
                sample = _sample(callables[name], calls[name])
                samples[name].append(sample)
                spent[name] += sample * calls[name]
            late = perf_counter() - start >= seconds
            if n_rounds >= MAX_ROUNDS or (n_rounds >= MIN_ROUNDS and late) or _is_settled(samples, n_rounds):
                break
    finally:
        if collecting:
            gc.enable()
    return Times(samples)


def _is_settled(samples: Mapping[str, list[float]], n_rounds: int) -> bool:
    """The median of OURS / CEILING is known to SETTLED, as far as its rounds tell."""
    if n_rounds < SETTLED_ROUNDS or CEILING not in samples:
        return False
    first, third = Times(dict(samples)).ratio_quartiles(OURS, CEILING)
    # Of normal noise: the standard deviation is IQR / 1.349, the median's error 1.2533 deviations / sqrt(n).
    return 0.93 * (third - first) / sqrt(n_rounds) <= SETTLED * first


def _order(names: list[str], n_rounds: int) -> list[str]:
    """Another order every round, so that nobody always finds the cache as the same neighbour left it."""
    first = (n_rounds // 2) % len(names)
    rotated = names[first:] + names[:first]
    return rotated[::-1] if n_rounds % 2 else rotated


def _calls_per_sample(function: Callable[[], object]) -> int:
    first = _sample(function, 1)
    if first >= 20 * SAMPLE_SECONDS:  # also when the first call took much longer than the next ones will
        return 1
    calls = 1
    while (seconds := _sample(function, calls) * calls) < SAMPLE_SECONDS:
        calls = max(2 * calls, int(calls * SAMPLE_SECONDS / max(seconds, 1e-9)))
    return calls


def _sample(function: Callable[[], object], calls: int) -> float:
    repeats = itertools.repeat(None, calls)
    start = perf_counter()
    for _ in repeats:
        function()
    return (perf_counter() - start) / calls


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


def check_agree(
    ours: Sequence[float | npt.NDArray[Any]],
    theirs: Sequence[float | npt.NDArray[Any]],
    tolerance: Tolerance,
    name: str,
) -> None:
    """Raise AnswersDiffer unless value and gradients agree.

    Parameters
    ----------
    ours, theirs : sequence
        The value first, then the gradients; both of the same length. What is not finite never agrees.
    tolerance : Tolerance
    name : str
        Whose answer `theirs` is, for the message.
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
