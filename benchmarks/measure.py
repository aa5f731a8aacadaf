"""Timing callables against each other, and checking first that they compute the same.

Times of different moments cannot be compared: frequency, neighbours and caches drift. So the callables are
timed in turns, a round of all of them after the other, each round in another order, and what is reported is a
ratio.
"""

import gc
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

# One sample lasts at least this long: 1000 times what reading the clock twice costs.
SAMPLE_SECONDS = 2e-4

MIN_ROUNDS = 5
MAX_ROUNDS = 300


@dataclass(frozen=True)
class Times:
    """Seconds of one call of each callable, one number a round, the rounds in the same order for all."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def minimum(self, name: str) -> float:
        return min(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Median time of `name` divided by the median time of `to`."""
        return self.median(name) / self.median(to)

    def ratio_quartiles(self, name: str, to: str) -> tuple[float, float]:
        """How far the ratio moved from round to round: its first and third quartile."""
        ratios = [ours / theirs for ours, theirs in zip(self.seconds[name], self.seconds[to], strict=True)]
        first, _, third = statistics.quantiles(ratios, n=4, method="inclusive")
        return first, third


def gigabytes_per_second(n_bytes: int, seconds: float) -> float:
    return n_bytes / seconds / 1e9


def interleave(callables: Mapping[str, Callable[[], object]], seconds: float) -> Times:
    """Time the callables in turns for about `seconds` seconds, at least MIN_ROUNDS rounds.

    Every callable is called once before the clock starts, which also touches its buffers. A callable that is
    faster than SAMPLE_SECONDS is called several times a sample.
    """
    calls = {name: _calls_per_sample(function) for name, function in callables.items()}
    samples: dict[str, list[float]] = {name: [] for name in callables}
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = perf_counter()
        for n_rounds in itertools.count(1):
            for name in _order(list(callables), n_rounds):
                samples[name].append(_sample(callables[name], calls[name]))
            elapsed = perf_counter() - start
            if n_rounds >= MAX_ROUNDS or (n_rounds >= MIN_ROUNDS and elapsed >= seconds):
                break
    finally:
        if collecting:
            gc.enable()
    return Times(samples)


def _order(names: list[str], n_rounds: int) -> list[str]:
    """Another order every round, so that nobody always finds the cache as the same neighbour left it."""
    first = (n_rounds // 2) % len(names)
    rotated = names[first:] + names[:first]
    return rotated[::-1] if n_rounds % 2 else rotated


def _calls_per_sample(function: Callable[[], object]) -> int:
    function()
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
