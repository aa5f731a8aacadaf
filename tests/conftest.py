"""What all test files share: the catalogue to parametrise over, dtypes, levels, random data, the folder of
real data.

Import helpers by name (`from conftest import ...`); fixtures arrive by themselves.
"""

import gc
import json
import math
import os
import pickle
import subprocess
import sys
import tracemalloc
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import reference

import hingefast as hf
from hingefast.losses import MARGIN_LOSSES

TESTS = Path(__file__).resolve().parent
DTYPES = (np.float32, np.float64)
THREADS = (1, 2, 3, 8)
# The levels that this machine can run, lowest first.
LEVELS = tuple(hf.show_config(mode="dicts")["levels"])

# One other value per parameter, dyadic so that it is exact in float32 too; a parameter that a later loss
# brings along gets 1.5. Two sets, because a width below 1 and one above 1 lie on different sides of every
# threshold.
_NARROW = {
    "margin": 0.5,
    "kink_slope": -0.5,
    "width": 0.25,
    "half_width": 0.25,
    "delta": 0.5,
    "sigma": 0.5,
    "beta": 4.0,
}
_WIDE = {
    "margin": 2.0,
    "kink_slope": -1.0,
    "width": 2.0,
    "half_width": 1.5,
    "delta": 3.0,
    "sigma": 2.0,
    "beta": 0.5,
}


def _catalogue():
    """(id, loss object): each class with its defaults and with two other sets of parameters, where it has
    any.
    """
    for name, cls in MARGIN_LOSSES.items():
        names = tuple(cls().params)
        yield name, cls()
        if names:
            yield f"{name}-narrow", cls(**{key: _NARROW.get(key, 1.5) for key in names})
            yield f"{name}-wide", cls(**{key: _WIDE.get(key, 1.5) for key in names})


CATALOGUE = dict(_catalogue())
DEFAULT_LOSSES = {name: cls() for name, cls in MARGIN_LOSSES.items()}

every_loss = pytest.mark.parametrize("loss", CATALOGUE.values(), ids=CATALOGUE.keys())
every_default_loss = pytest.mark.parametrize("loss", DEFAULT_LOSSES.values(), ids=DEFAULT_LOSSES.keys())
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["f32", "f64"])
every_level = pytest.mark.parametrize("level", LEVELS)
every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests that are marked slow")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: runs with --slow"))


@pytest.fixture(params=DTYPES, ids=["f32", "f64"])
def dtype(request):
    return request.param


@pytest.fixture(params=CATALOGUE.values(), ids=CATALOGUE.keys())
def loss(request):
    return request.param


@pytest.fixture(params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data sets: HINGEFAST_DATA, else shared/data beside the project."""
    folder = Path(os.environ.get("HINGEFAST_DATA") or TESTS.parents[1] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder (set HINGEFAST_DATA)")
    return folder


# --------------------------------------------------------------------------------------------------
# Other processes
# --------------------------------------------------------------------------------------------------


def run_python(code, *, check=True, **env):
    """Run a snippet in a new interpreter that finds the installed package and the helpers of this folder.

    `env`: variables to set, or None to remove. Returns the completed process, stdout and stderr as bytes.
    """
    environment = {**os.environ, **{key: value for key, value in env.items() if value is not None}}
    for key, value in env.items():
        if value is None:
            environment.pop(key, None)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    # -P: not the current folder, where the uncompiled source tree would hide the installed package.
    command = [sys.executable, "-P", "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
    if check and done.returncode:
        raise AssertionError(f"exit code {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done


def run_at_level(level, code, **env):
    """What a snippet prints, as bytes, when the instruction-set level is forced."""
    return run_python(code, HINGEFAST_LEVEL=level, **env).stdout


def json_at_level(level, code, **env):
    """The same for a snippet that prints one JSON document."""
    return json.loads(run_at_level(level, code, **env))


# --------------------------------------------------------------------------------------------------
# Results
# --------------------------------------------------------------------------------------------------


def bits(*results):
    """The bytes of numbers, arrays and tuples of them, with their dtypes and shapes; any NaN equals any
    NaN.
    """
    pieces = []
    for result in results:
        if isinstance(result, tuple):
            pieces.append(bits(*result))
            continue
        array = np.array(result, copy=True)
        if array.dtype.kind == "f":
            array[np.isnan(array)] = np.nan
        pieces.append(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return b"|".join(pieces)


def computing_dtype(dtype):
    """float32 for float32, float16, bool and 8- or 16-bit integers, else float64."""
    dtype = np.dtype(dtype)
    narrow = (
        dtype.kind == "b"
        or (dtype.kind in "iu" and dtype.itemsize <= 2)
        or (dtype.itemsize <= 4 and dtype.kind == "f")
    )
    return np.dtype(np.float32 if narrow else np.float64)


# --------------------------------------------------------------------------------------------------
# What is right on scores, and how far a right answer may be from it
# --------------------------------------------------------------------------------------------------


def slack(loss, margins, dtype):
    """How far the margin may effectively be moved by rounding, per row.

    u = t - m is rounded once, scaled by a rounded reciprocal of the width and squared inside exp: relative
    errors of u, at most eight halves of eps in the kernel and in the oracle together. Parameters are rounded
    to the computing dtype, which moves the threshold t (plus half_width) by an absolute amount.
    """
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).smallest_subnormal)
    params = loss.params
    threshold = Fraction(params.get("margin", 0.0)) + Fraction(params.get("half_width", 0.0))
    exact = all(Fraction(float(np.dtype(dtype).type(float(p)))) == p for p in (*params.values(), threshold))
    distance = np.abs(params.get("margin", 0.0) - margins) + params.get("half_width", 0.0)
    return 4 * eps * distance + (0.0 if exact else 4 * (eps * float(threshold) + tiny))


def row_bounds(loss, margins, dtype):
    """(low, high) of phi and (low, high) of phi' that a right implementation may return at these margins.

    phi falls and phi' rises with m, so both lie between their values at m - slack and m + slack, give or take
    four roundings of the result itself (and of the smallest subnormal).
    """
    margins = np.asarray(margins, dtype=np.float64)
    move = slack(loss, margins, dtype)
    last = 4 * float(np.finfo(dtype).eps)
    tiny = 4 * float(np.finfo(dtype).smallest_subnormal)
    # A kink must be met exactly where the parameters are exact: there the margin itself counts, too.
    at = [
        (reference.phi(loss.name, loss.params, m), reference.slope(loss.name, loss.params, m))
        for m in (margins - move, margins, margins + move)
    ]
    bounds = []
    for which in (0, 1):
        values = np.array([pair[which] for pair in at])
        low, high = values.min(axis=0), values.max(axis=0)
        bounds += [low - last * np.abs(low) - tiny, high + last * np.abs(high) + tiny]
    return bounds


def assert_right(result, loss, signs, scores, weights=None, reduction="mean", dtype=None):
    """`result` of value_and_grad is right: value and each slope lie between the bounds of their rows."""
    value, grad = result
    scores = np.asarray(scores)
    dtype = computing_dtype(scores.dtype) if dtype is None else np.dtype(dtype)
    signs = np.asarray(signs, dtype=np.float64)
    n = signs.size
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    eps = float(np.finfo(dtype).eps)
    low, high, slope_low, slope_high = row_bounds(loss, signs * scores.astype(np.float64), dtype)
    factor = w / math.fsum(w) if reduction == "mean" else w
    # Two more roundings for the weight and for the division by the sum, which itself has n of float64.
    rounding = 2 * eps + (n + 4) * float(np.finfo(np.float64).eps)

    def inside(got, low, high):
        low = np.where(factor == 0, 0.0, factor * low)
        high = np.where(factor == 0, 0.0, factor * high)
        margin = rounding * np.maximum(np.abs(low), np.abs(high)) + float(np.finfo(dtype).smallest_subnormal)
        wrong = ~((got >= low - margin) & (got <= high + margin))
        assert not wrong.any(), (int(wrong.argmax()), got[wrong][:3], low[wrong][:3], high[wrong][:3])

    assert isinstance(grad, np.ndarray)
    assert grad.shape == (n,)
    inside(signs * grad.astype(np.float64), slope_low, slope_high)
    if reduction == "none":
        assert value.shape == (n,)
        assert value.dtype == dtype
        inside(value.astype(np.float64), low, high)
        return
    assert type(value) is float
    low, high = math.fsum(factor * low), math.fsum(factor * high)
    assert low - rounding * abs(low) <= value <= high + rounding * abs(high), (low, value, high)


# --------------------------------------------------------------------------------------------------
# Errors
# --------------------------------------------------------------------------------------------------


@contextmanager
def raises(kind, *fragments):
    """Exactly `kind` is raised, in one line of at most 500 characters that holds every fragment."""
    with pytest.raises(kind) as caught:
        yield caught
    message = str(caught.value)
    assert 0 < len(message) <= 500, message
    assert "\n" not in message, message
    for fragment in fragments:
        assert fragment in message, f"{fragment!r} is not in {message!r}"


# --------------------------------------------------------------------------------------------------
# Random data
# --------------------------------------------------------------------------------------------------


def assert_telling(signs, scores, thresholds=(0.0, 1.0)):
    """Data that could hide an error proves nothing: both labels, distinct scores, and for either label rows
    on both sides of each threshold of the margin."""
    signs, scores = np.asarray(signs), np.asarray(scores, dtype=np.float64)
    assert set(np.unique(signs)) == {-1, 1}
    assert np.unique(scores).size == scores.size
    for label in (-1, 1):
        margins = label * scores[signs == label]
        for threshold in thresholds:
            assert (margins < threshold).any(), (label, threshold)
            assert (margins > threshold).any(), (label, threshold)


def telling_scores(n, dtype=np.float64, seed=0, spread=4.0):
    """`n` >= 16 rows: .signs (int8, -1 and +1), .scores (distinct, within +-spread), .weights (float64,
    positive).
    """
    assert n >= 16
    rng = np.random.default_rng([seed, n])
    step = 2 * spread / n
    grid = -spread + step * (np.arange(n) + 0.5)
    scores = rng.permutation(grid + rng.uniform(-0.4, 0.4, n) * step).astype(dtype)
    signs = rng.choice(np.array([-1, 1], dtype=np.int8), n)
    extremes = np.argsort(scores)[[0, 1, -2, -1]]  # one row of either label at either end
    signs[extremes] = [-1, 1, -1, 1]
    assert_telling(signs, scores)
    return SimpleNamespace(signs=signs, scores=scores, weights=rng.uniform(0.25, 2.0, n))


def strided(array, step=3):
    """The same numbers, `step` items apart, between numbers that would be noticed."""
    wide = np.full(array.size * step, 99, dtype=array.dtype)
    wide[::step] = array
    return wide[::step]


def misaligned(array):
    """The same numbers at an odd address."""
    raw = np.empty(array.nbytes + 1, dtype=np.uint8)[1:]
    view = raw.view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def pickled(thing):
    return pickle.loads(pickle.dumps(thing))


def least_growth(batch, batches=5):
    """The least growth of traced memory, in bytes, over several calls of `batch`: caches of the interpreter fill
    up in the first ones, a leak grows in each.
    """
    growths = []
    tracemalloc.start()
    try:
        for _ in range(batches):
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            batch()
            gc.collect()
            growths.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    return min(growths)
