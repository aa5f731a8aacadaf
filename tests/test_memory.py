"""Promise: with many classes nothing of the size n x K is allocated: a call needs a few blocks, its gradients and a
copy of coef.
"""

import sys

import pytest
from conftest import run_python

pytestmark = [
    pytest.mark.no_sanitizer,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status"),
]

# Prints the peak of resident memory during a call beyond what was there before it, in MB.
MEASURE = """
import numpy as np
import hingefast as hf
from types import SimpleNamespace

def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key)) / 1024

def extra(call):
    try:  # start a new high-water mark
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass
    before = status("VmRSS")
    result = call()
    return status("VmHWM") - before, result

rng = np.random.default_rng(0)
"""

LINEAR = """
n, n_classes, d = 50_000, 1_000, 16
X = rng.standard_normal((n, d)).astype(DTYPE)
y = rng.integers(0, n_classes, n).astype(np.int16)
coef = rng.standard_normal((n_classes, d)).astype(DTYPE)
if LAYOUT == "csr":
    X = SimpleNamespace(indptr=np.arange(0, n * 4 + 1, 4), indices=np.tile(np.arange(0, 16, 4), n).astype(np.int32),
                        data=X.ravel()[: 4 * n].copy(), shape=(n, d))
elif LAYOUT == "tile":
    X = X.astype(np.dtype(DTYPE).newbyteorder(">"))
kwargs = dict(loss=LOSS, n_threads=N_THREADS)
hf.linear_value_and_grad(X, y, coef, rows=slice(0, 100), **kwargs)
peak, result = extra(lambda: hf.linear_value_and_grad(X, y, coef, **kwargs))
assert np.isfinite(result[0]) and result[1].any()
print(peak)
"""


def measured(code, **names):
    settings = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    return float(run_python(settings + MEASURE + code).stdout)


def test_this_file_sees_a_matrix():
    assert 70 < measured("print(extra(lambda: np.ones((10_000, 1_000)).sum())[0])") < 100


@pytest.mark.parametrize(
    "layout,loss,dtype,n_threads",
    [
        ("dense", "crammer_singer", "float64", 1),
        ("dense", "weston_watkins", "float32", 2),
        ("tile", "crammer_singer", "float32", 1),
        ("csr", "crammer_singer", "float64", 2),
        ("csr", "one_vs_rest:logistic", "float64", 1),
    ],
)
def test_linear_calls_hold_no_matrix_of_scores(layout, loss, dtype, n_threads):
    """The scores of all rows would be 400 MB (200 in float32)."""
    assert measured(LINEAR, LAYOUT=layout, LOSS=loss, DTYPE=dtype, N_THREADS=n_threads) < 40


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_large_gradients(layout):
    """Gradients of 64 MB: at most 64 MiB of them beside one accumulator, the result and a copy of coef."""
    code = """
n, n_classes, d = 6_000, 1_000, 8_000
y = rng.integers(0, n_classes, n).astype(np.int16)
coef = np.zeros((n_classes, d))
coef[:, ::100] = rng.standard_normal((n_classes, d // 100))
if LAYOUT == "csr":
    X = SimpleNamespace(indptr=np.arange(0, n * 40 + 1, 40), data=rng.standard_normal(n * 40), shape=(n, d),
                        indices=np.tile(np.arange(0, d, d // 40), n).astype(np.int32))
else:
    n = 300
    y = y[:n]
    X = rng.standard_normal((n, d))
peak, result = extra(lambda: hf.linear_value_and_grad(X, y, coef, loss="crammer_singer", n_threads=2))
assert result[1].any()
print(peak)
"""
    gradient = 1_000 * 8_000 * 8 / 2**20
    assert measured(code, LAYOUT=layout) < 64 + 3 * gradient + 40


@pytest.mark.parametrize("form", ["plain", "big endian", "fortran", "float16"])
def test_values_of_scores_copy_nothing(form):
    """Converted a few rows at a time, whatever the scores are made of."""
    code = """
n, n_classes = 20_000, 1_000
scores = rng.standard_normal((n, n_classes), dtype=np.float32)
if FORM == "big endian":
    scores = scores.astype(">f4")
elif FORM == "fortran":
    scores = np.asfortranarray(scores)
elif FORM == "float16":
    scores = scores.astype(np.float16)
y = rng.integers(0, n_classes, n)
loss = hf.WestonWatkins()
loss(y[:10], scores[:10])
peak, value = extra(lambda: loss(y, scores, n_threads=2))
assert value > 0
print(peak)
"""
    assert measured(code, FORM=form) < 15  # a float32 copy would be 76


def test_a_gradient_in_out_needs_no_other():
    code = """
n, n_classes = 20_000, 1_000
scores = rng.standard_normal((n, n_classes), dtype=np.float32)
out = np.ones_like(scores)
y = rng.integers(0, n_classes, n)
loss = hf.CrammerSinger()
peak, _ = extra(lambda: loss.value_and_grad(y, scores, out=out, n_threads=2))
print(peak)
"""
    assert measured(code) < 15
