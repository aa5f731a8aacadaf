"""What all test files share beside problems (`kinds`): dtypes, levels, other processes, bits, errors, real data.

Import helpers by name (`from conftest import ...`); fixtures arrive by themselves.
"""

import gc
import os
import pickle
import subprocess
import sys
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import hingefast as hf

TESTS = Path(__file__).resolve().parent
DTYPES = (np.float32, np.float64)
THREADS = (1, 2, 3, 8)
# The levels that this machine can run, lowest first.
LEVELS = tuple(hf.show_config(mode="dicts")["levels"])

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


@pytest.fixture(scope="session")
def data_dir():
    """The folder of real data sets: HINGEFAST_DATA, else shared/data beside the project."""
    folder = Path(os.environ.get("HINGEFAST_DATA") or TESTS.parents[1] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder (set HINGEFAST_DATA)")
    return folder


@pytest.fixture
def run(capsys):
    """Run the command; return (exit code, stdout, stderr)."""

    from hingefast.cli import main

    def run(*arguments):
        code = main.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


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
# Arrays and objects
# --------------------------------------------------------------------------------------------------


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


# --------------------------------------------------------------------------------------------------
# What no public name reaches. All that tests know of kernels and of attributes with an underscore stands here.
# --------------------------------------------------------------------------------------------------


def layout_of(X):
    """How X is read: "Dense", in place or through a tile; "Fortran", in place; or "CSR"."""
    from hingefast.linear import as_layout

    return type(as_layout(X)).__name__


def elementary(name, x):
    """exp, log1p or erfc of each number, as the kernels compute it."""
    from hingefast._kernels import table

    return table.elementary(name, x)


def class_weight_of(objective):
    """The class weights that an `Objective` found for "balanced"."""
    return objective._class_weight


def euclidean_norm(*parts):
    """The norm that `margin_report` divides by."""
    from hingefast.checks.arrays import euclidean_norm

    return euclidean_norm(*parts)


def spoil_a_label_lookup(monkeypatch, n_classes, meanwhile):
    """Have `meanwhile` happen at each lookup of labels that NumPy casts, as another thread could do at that moment."""
    from hingefast._kernels import labels

    name = "pair_index" if n_classes is None else "class_index"
    look_up = getattr(labels, name)

    def spoilt(*given):
        meanwhile()
        return look_up(*given)

    monkeypatch.setattr(labels, name, spoilt)


def problem_of(X, n_classes=None, y=None, loss=None, sample_weight=None, n_threads=None):
    """What calls a method of a `Problem` with a batch: ``call(lambda problem, rows: ..., rows)``."""
    from hingefast._kernels.labels import Classes, Targets
    from hingefast._kernels.problem import Problem

    from hingefast.checks import arguments
    from hingefast.checks.explain import explained
    from hingefast.linear import as_layout

    layout = as_layout(X)
    classes = Classes((-1, 1)) if n_classes is None else Classes(None, n_classes)
    bound = None if loss is None else hf.get_loss(loss)._bound
    problem = Problem(layout, Targets(layout.n_rows, classes, y, sample_weight), bound, n_threads=n_threads)
    return lambda ask, rows: explained(ask, problem, arguments.as_rows(rows, layout.n_rows))
