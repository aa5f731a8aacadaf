"""The caller's floating-point environment changes no bit of a result, and comes back as it was, flags
included.
"""

import ctypes
import platform
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import bits, every_dtype
from kinds import every_default_loss, telling_scores

import hingefast as hf

pytestmark = pytest.mark.skipif(
    not (sys.platform == "linux" and platform.machine() == "x86_64"),
    reason="reads and writes MXCSR through glibc's fenv_t of x86-64 Linux",
)

FENV_BYTES, MXCSR_AT = 32, 28
FLUSH_TO_ZERO, DENORMALS_ARE_ZERO = 0x8000, 0x0040
ROUNDING = {"to nearest": 0x000, "downward": 0x400, "upward": 0x800, "toward zero": 0xC00}
INVALID, DIVIDE, OVERFLOW, UNDERFLOW, INEXACT = 0x01, 0x04, 0x08, 0x10, 0x20
# INEXACT is left out: the interpreter's own arithmetic between two of our lines may raise it.
FLAGS = INVALID | DIVIDE | OVERFLOW | UNDERFLOW


def libm():
    for name in ("libm.so.6", None):
        try:
            library = ctypes.CDLL(name)
            library.fegetenv, library.fesetround, library.fetestexcept  # noqa: B018
        except (OSError, AttributeError):
            continue
        return library
    pytest.skip("no libm with fenv functions")


def mxcsr():
    environment = (ctypes.c_char * FENV_BYTES)()
    libm().fegetenv(environment)
    return int.from_bytes(environment.raw[MXCSR_AT:], "little")


@contextmanager
def environment_of(*, rounding="to nearest", set_bits=0):
    """Rounding mode and MXCSR bits for the block; the environment before it afterwards."""
    library = libm()
    saved, changed = (ctypes.c_char * FENV_BYTES)(), (ctypes.c_char * FENV_BYTES)()
    library.fegetenv(saved)
    library.fegetenv(changed)
    control = int.from_bytes(changed.raw[MXCSR_AT:], "little") | set_bits
    changed.raw = changed.raw[:MXCSR_AT] + control.to_bytes(4, "little")
    library.fesetenv(changed)
    library.fesetround(ROUNDING[rounding])
    try:
        yield
    finally:
        library.fesetenv(saved)


def control_bits():
    return mxcsr() & ~0x3F


@pytest.fixture(params=["flush to zero", *list(ROUNDING)[1:]])
def strange(request):
    """Keywords of `environment_of` for a caller's environment that is not the default."""
    if request.param == "flush to zero":
        return {"set_bits": FLUSH_TO_ZERO | DENORMALS_ARE_ZERO}
    return {"rounding": request.param}


def test_this_file_can_change_the_environment():
    tiny = np.array([np.finfo(float).smallest_normal])
    with environment_of(set_bits=FLUSH_TO_ZERO | DENORMALS_ARE_ZERO):
        flushed = tiny * 0.5
    with environment_of(rounding="upward"):
        up = np.array([1.0]) / np.array([3.0])
    assert flushed[0] == 0
    assert up[0] > 1 / 3
    assert (tiny * 0.5)[0] > 0


def telling_data(dtype, n=83):
    """Also rows whose losses or slopes are subnormal."""
    data = telling_scores(n, dtype)
    info = np.finfo(dtype)
    data.scores[:4] = data.y[:4] * np.array(
        [-info.smallest_subnormal, -info.smallest_normal / 2, 14.2, 38.5], dtype
    )
    return data


@every_dtype
@every_default_loss
def test_results_do_not_depend_on_it(loss, dtype, strange):
    data = telling_data(dtype)
    tiny = data.weights * float(np.finfo(dtype).smallest_normal) / 8
    calls = [
        lambda: loss.value_and_grad(data.y, data.scores),
        lambda: loss.value_and_grad(data.y, data.scores, sample_weight=data.weights, reduction="mean"),
        lambda: loss.value_and_grad(data.y, data.scores, class_weight=(0.3, 1.7), reduction="sum"),
        lambda: loss.value_and_grad(data.y, data.scores, sample_weight=tiny, reduction="none"),
        lambda: (loss.value(data.y, data.scores), loss.grad(data.y, data.scores)),
        lambda: loss.value_and_grad(data.y, data.scores[::-1]),
        lambda: loss.value_and_grad(data.y, data.scores.astype(data.scores.dtype.newbyteorder())),
        lambda: loss.value_and_grad(data.y.astype(np.float32), data.scores.astype(np.float16)),
    ]
    for number, call in enumerate(calls):
        want = call()
        with environment_of(**strange):
            before = control_bits()
            got = call()
            after = control_bits()
        assert before == after
        assert bits(got) == bits(want), number


@every_dtype
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_in_threads(n_threads, dtype, strange):
    data = telling_data(dtype, 300_007)
    loss = hf.GaussianHinge()
    want = loss.value_and_grad(data.y, data.scores, sample_weight=data.weights, n_threads=1)
    with environment_of(**strange):
        before = control_bits()
        got = loss.value_and_grad(data.y, data.scores, sample_weight=data.weights, n_threads=n_threads)
        after = control_bits()
    assert before == after
    assert bits(got) == bits(want)


def test_losses_made_under_it(strange):
    """Constants derived from parameters (a reciprocal) must not be rounded the caller's way."""
    data = telling_scores(40)
    for cls, key in [
        (hf.SmoothHinge, "width"),
        (hf.HuberizedHinge, "half_width"),
        (hf.HuberMargin, "delta"),
        (hf.GaussianHinge, "sigma"),
        (hf.AlgebraicHinge, "sigma"),
        (hf.SoftplusHinge, "beta"),
    ]:
        for parameter in (0.3, 0.7, 3.0, 1.1):
            want = cls(**{key: parameter}).value_and_grad(data.y, data.scores)
            with environment_of(**strange):
                made = cls(**{key: parameter})
            assert bits(made.value_and_grad(data.y, data.scores)) == bits(want), (cls, parameter)


def test_what_numpy_rounds_for_us(strange):
    """Casts and sums outside the kernels are independent of it too: intercepts, long doubles, weights, reports."""
    rng = np.random.default_rng(8)
    X, y = rng.standard_normal((60, 7)), np.where(np.arange(60) % 3, 1, -1)
    classes, third = np.arange(60) % 3, np.longdouble(1) / 3
    coef, theta, thetas = (rng.standard_normal(n) for n in (7, 8, 24))
    weights = rng.uniform(0.1, 1, 60)
    # All inputs are made here: what NumPy multiplies for the test obeys the environment.
    long = {"X": X * third, "coef": coef * third, "weights": weights * third, "scores": (X @ coef) * third}
    scores, narrow, rows = X @ coef, np.eye(3, 7) * third, [third, 2 * third]
    in_f32 = {"X": X.astype(np.float32), "coef": coef.astype(np.float32)}
    in_f32 |= {"theta": theta.astype(np.float32), "thetas": thetas.astype(np.float32)}
    made = hf.Objective(X, y, loss="psi_g", sample_weight=weights, alpha=0.3)
    made_of_classes = hf.Objective(
        X, classes, loss="one_vs_rest:psi_g", classes=3, penalize_intercept=True, alpha=0.3
    )

    def answers():
        balanced = hf.Objective(
            in_f32["X"], y, loss="logistic", class_weight="balanced", sample_weight=long["weights"]
        )
        stepped, stepped_classes = in_f32["theta"].copy(), in_f32["thetas"].copy()
        made.step(stepped, 0.1)
        made_of_classes.step(stepped_classes, 0.1)
        report = hf.margin_report(y, scores, sample_weight=long["weights"], coef=long["coef"])
        return bits(
            made.value_and_grad(in_f32["theta"]),
            made.hessp(theta, in_f32["theta"]),
            made_of_classes.value_and_grad(in_f32["thetas"]),
            made_of_classes.hessp(thetas, in_f32["thetas"]),
            stepped,
            stepped_classes,
            made.C,
            balanced.value_and_grad(theta),
            made.pack(in_f32["coef"], third),
            hf.linear_value_and_grad(X, y, in_f32["coef"], [third], loss="psi_m"),
            hf.linear_value_and_grad(long["X"], y, long["coef"], third, sample_weight=long["weights"]),
            hf.linear_value_and_grad(X, classes, narrow, [third] * 3, loss="crammer_singer"),
            hf.decision_function(np.zeros((1, 7)), coef, third),
            hf.Hinge(third).params["margin"],
            hf.LogisticLoss().value_and_grad(y, long["scores"], class_weight=rows),
            tuple(v for v in vars(report).values() if isinstance(v, (int, float))),
        )

    want = answers()
    with environment_of(**strange), np.errstate(all="raise", under="warn"):
        before, state = control_bits(), np.geterr()
        got = answers()
        after = control_bits()
        assert np.geterr() == state
    assert before == after
    assert got == want


@every_dtype
@every_default_loss
def test_no_flag_is_raised_or_lost(loss, dtype):
    """NaN compares, overflowing squares and tails of exp raise flags inside; the caller sees none of them."""
    library = libm()
    data = telling_data(dtype)
    data.scores[5:9] = [np.nan, np.inf, -np.inf, -np.finfo(dtype).max]
    for n_threads in (1, 2):
        library.feclearexcept(FLAGS)
        loss.value_and_grad(data.y, data.scores, reduction="sum", n_threads=n_threads)
        loss.value_and_grad(data.y, data.scores, reduction="none", n_threads=n_threads)
        raised = library.fetestexcept(FLAGS)
        assert raised == 0
        library.feraiseexcept(INVALID | OVERFLOW)
        loss.value_and_grad(data.y, data.scores, reduction="sum", n_threads=n_threads)
        kept = library.fetestexcept(FLAGS)
        library.feclearexcept(FLAGS)
        assert kept & (INVALID | OVERFLOW) == INVALID | OVERFLOW


def test_numpy_sees_no_floating_point_error():
    """np.errstate(all="raise") reads the flags that a call left behind: it must find none."""
    scores = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, 0.0])
    with np.errstate(all="raise"):
        for loss in (hf.SquaredHinge(), hf.LogisticLoss(), hf.GaussianHinge(), hf.AlgebraicHinge()):
            loss.value_and_grad(np.ones(7), scores)
            assert (np.ones(3) + np.ones(3)).sum() == 6
