"""The table of C loops: declared once, and its formula of one margin is the formula of all."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
from conftest import LEVELS, bits, every_dtype, run_at_level
from kinds import every_loss

from hingefast._kernels import table

pytestmark = pytest.mark.arm64

ROOT = Path(__file__).resolve().parent.parent
LOOPS = ROOT / "hingefast" / "_loops"
with_sources = pytest.mark.skipif(
    not (LOOPS / "loops.h").exists(), reason="needs the C sources beside the tests"
)


# --------------------------------------------------------------------------------------------------
# One list
# --------------------------------------------------------------------------------------------------


@with_sources
def test_the_declarations_are_what_the_script_prints():
    script = ROOT / "ci" / "print_table.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@with_sources
@pytest.mark.parametrize("header", sorted(LOOPS.glob("*.[ch]")), ids=lambda path: path.name)
def test_no_loop_stands_in_a_macro(header):
    """A debugger shows one line for all of a macro, and a compiler's message points into it."""
    macros = re.findall(r"^#define(?:.*\\\n)*.*", header.read_text(), flags=re.MULTILINE)
    assert [macro for macro in macros if re.search(r"\b(for|while|if|return|switch) *[(;]", macro)] == []


@pytest.mark.parametrize("parameters", [(), (1.0,), (1.0, 0.0, 2.0), (1.0,) * 9])
def test_a_loss_takes_its_parameters_and_no_others(parameters):
    with pytest.raises(ValueError, match=rf"^'hinge' has 2 parameters, got {len(parameters)}$"):
        table.BoundLoss("hinge", parameters)


# --------------------------------------------------------------------------------------------------
# The formula of one margin
# --------------------------------------------------------------------------------------------------


def bound(loss):
    return table.BoundLoss(loss.name, tuple(loss.params.values()))


def margins(loss, dtype):
    """Where the loss bends, its neighbours, around, far away, infinite and NaN."""
    p = loss.params
    kinks = [
        p.get("margin", 0.0) + s * p.get(key, 0.0)
        for key in ("width", "half_width", "delta")
        for s in (-1, 1)
    ]
    kinks = np.array([*kinks, 0.0, -0.0], dtype=dtype)
    beside = [np.nextafter(kinks, dtype(side)) for side in (-np.inf, np.inf)]
    around = np.random.default_rng(0).uniform(-6, 8, 60).astype(dtype)
    far = np.array([-1e30, -1e5, 1e5, 1e30, -np.inf, np.inf, np.nan], dtype=dtype)
    return np.concatenate([kinks, *beside, around, far])


@every_dtype
@every_loss
def test_one_margin_has_the_bits_of_many(loss, dtype):
    m = margins(loss, dtype)
    values, slopes = loss.value_and_grad(np.ones(m.size, dtype=np.int8), m, reduction="none")
    one = np.array([bound(loss).at_margin(float(each), dtype is np.float64) for each in m], dtype=dtype)
    assert bits(one[:, 0], one[:, 1]) == bits(values, slopes)


@every_dtype
@every_loss
def test_second_derivatives_are_right(loss, dtype):
    """Between kinks, against the definition: some roundings, one of which, of u/sigma, an exponential of -u*u/2
    multiplies by u*u."""
    m = np.random.default_rng(1).uniform(-4, 5, 40).astype(dtype)
    for each in m:
        got = bound(loss).at_margin(float(each), dtype is np.float64)[2]
        want = float(reference.curvature_mp(loss.name, loss.params, float(each)))
        u = (float(each) - loss.params.get("margin", 0.0)) / loss.params.get("sigma", 1.0)
        beta = loss.params.get("beta", 1.0)
        error = np.finfo(dtype).eps * (16 + 2 * u * u + 2 * beta * abs(u))
        assert abs(got - want) <= error * want + np.finfo(dtype).tiny


@every_loss
def test_nan_has_nan_everywhere(loss):
    for is_f64 in (False, True):
        assert np.isnan(bound(loss).at_margin(np.nan, is_f64)).all()


PRINT_SOME = """
from hingefast._kernels import table
for row in table.catalogue():
    loss = table.BoundLoss(row["name"], tuple(value for _, _, value in row["parameters"]))
    print(*[loss.at_margin(m / 7, is_f64) for m in range(-30, 30) for is_f64 in (0, 1)])
"""


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_has_the_same_bits(level):
    assert run_at_level(level, PRINT_SOME) == run_at_level("base", PRINT_SOME)
