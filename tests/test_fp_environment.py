"""Promise: the caller's floating-point environment changes no bit of a result, and comes back as it was, flags
included; what NumPy computes for us obeys neither it nor the caller's errstate.
"""

import ctypes
import platform
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import bits, every_dtype
from kinds import (
    KINDS,
    as_csr,
    both_kinds,
    every_way,
    few_kinds,
    on_a_base,
    telling_scores,
)

import hingefast as hf

# Of glibc: the size of fenv_t, where the control register stands in it (MXCSR, which holds the flags too, or FPCR), and
# the numbers of <fenv.h>. Flushing: on x86 FTZ and DAZ; on arm64 FZ, with default NaNs and the other float16 beside it.
OF_MACHINE = {
    "x86_64": SimpleNamespace(
        fenv_bytes=32,
        control_at=28,
        flags_in_control=0x3F,
        flushing=0x8000 | 0x0040,
        rounding={"to nearest": 0x000, "downward": 0x400, "upward": 0x800, "toward zero": 0xC00},
        flags={"invalid": 0x01, "divide": 0x04, "overflow": 0x08, "underflow": 0x10},
    ),
    "aarch64": SimpleNamespace(
        fenv_bytes=8,
        control_at=0,
        flags_in_control=0,
        flushing=1 << 24 | 1 << 25 | 1 << 26,
        rounding={"to nearest": 0, "downward": 0x800000, "upward": 0x400000, "toward zero": 0xC00000},
        flags={"invalid": 0x01, "divide": 0x02, "overflow": 0x04, "underflow": 0x08},
    ),
}
MACHINE = OF_MACHINE.get(platform.machine(), OF_MACHINE["x86_64"])
INVALID, OVERFLOW = MACHINE.flags["invalid"], MACHINE.flags["overflow"]
# Inexact is left out: the interpreter's own arithmetic between two of our lines may raise it.
FLAGS = sum(MACHINE.flags.values())

pytestmark = [
    pytest.mark.arm64,
    pytest.mark.skipif(
        not (sys.platform == "linux" and platform.machine() in OF_MACHINE),
        reason="reads and writes the control register through glibc's fenv_t of Linux on x86-64 or arm64",
    ),
]


def libm():
    for name in ("libm.so.6", None):
        try:
            library = ctypes.CDLL(name)
            library.fegetenv, library.fesetround, library.fetestexcept  # noqa: B018
        except (OSError, AttributeError):
            continue
        return library
    pytest.skip("no libm with fenv functions")


def environment():
    """(fenv_t, a view of the control register in it)."""
    state = (ctypes.c_char * MACHINE.fenv_bytes)()
    libm().fegetenv(state)
    return state, ctypes.c_uint32.from_buffer(state, MACHINE.control_at)


@contextmanager
def environment_of(*, rounding="to nearest", set_bits=0):
    """Rounding mode and bits of the control register for the block; the environment before it afterwards."""
    library = libm()
    (saved, _), (changed, control) = environment(), environment()
    control.value |= set_bits
    library.fesetenv(changed)
    library.fesetround(MACHINE.rounding[rounding])
    try:
        yield
    finally:
        library.fesetenv(saved)


def control_bits():
    return environment()[1].value & ~MACHINE.flags_in_control


GAUSSIAN = KINDS["psi_g"]


@pytest.fixture(params=["flush to zero", *list(MACHINE.rounding)[1:]])
def strange(request):
    """Keywords of `environment_of` for a caller's environment that is not the default."""
    if request.param == "flush to zero":
        return {"set_bits": MACHINE.flushing}
    return {"rounding": request.param}


@pytest.mark.any_python
def test_this_file_can_change_the_environment():
    tiny = np.array([np.finfo(float).smallest_normal])
    with environment_of(set_bits=MACHINE.flushing):
        flushed = tiny * 0.5
    with environment_of(rounding="upward"):
        up = np.array([1.0]) / np.array([3.0])
    assert flushed[0] == 0
    assert up[0] > 1 / 3
    assert (tiny * 0.5)[0] > 0


def telling_data(kind, dtype, n=83):
    """Also rows whose losses or slopes are subnormal."""
    data = kind.scores(n, dtype)
    info = np.finfo(dtype)
    few = np.array([-info.smallest_subnormal, -info.smallest_normal / 2, 14.2, 38.5], dtype)
    if kind.binary:
        data.scores[:4] = data.y[:4] * few
    else:
        data.scores[3] = 0
        data.scores[3, :2] = -few[:2]
    return data


def assert_same_under(strange, calls):
    for number, call in enumerate(calls):
        want = call()
        with environment_of(**strange):
            before = control_bits()
            got = call()
            after = control_bits()
        assert before == after
        assert bits(got) == bits(want), number


@pytest.mark.any_python
@every_dtype
@every_way
def test_scores(kind, dtype, strange):
    loss, data = kind.loss, telling_data(kind, dtype)
    y, z, w = data.y, data.scores, data.weights
    tiny = w * float(np.finfo(dtype).smallest_normal) / 8
    # All inputs are made here: what NumPy computes for the test obeys the environment.
    half, narrow, floats = z.astype(np.float16), w.astype(np.float32), y.astype(np.float32)
    swapped, fortran, by_class = z.astype(z.dtype.newbyteorder()), np.asfortranarray(z), kind.class_weight / 3
    assert_same_under(
        strange,
        [
            lambda: loss.value_and_grad(y, z),
            lambda: loss.value_and_grad(y, z, sample_weight=w, class_weight=by_class),
            lambda: loss.value_and_grad(y, z, class_weight=by_class, reduction="sum"),
            lambda: loss.value_and_grad(y, z, sample_weight=tiny, reduction="none"),
            lambda: (loss.value(y, z), loss.grad(y, z)),
            lambda: loss.value_and_grad(y, z[::-1]),
            lambda: loss.value_and_grad(y, fortran),
            lambda: loss.value_and_grad(y, swapped),
            lambda: loss.value_and_grad(floats, half, sample_weight=narrow),
        ],
    )


@every_dtype
@few_kinds
def test_linear_models(kind, dtype, strange):
    """float64 coefficients and intercepts that float32 has to round, too."""
    case = kind.problem(70, 9, dtype, seed=1)
    coef, intercept = np.float64(case.coef) / 3, np.float64(case.intercept) / 3
    for convert in (np.asarray, np.asfortranarray, as_csr, lambda X: X[::-1].copy()[::-1]):
        assert_same_under(strange, linear_calls(kind, case, convert(case.X), coef, intercept))


def linear_calls(kind, case, X, coef, intercept):
    keywords = {"sample_weight": case.weights, "alpha": 0.1}
    objective = kind.objective(X, case.y, class_weight="balanced", penalize_intercept=True, **keywords)
    theta = objective.pack(coef, intercept)
    narrow, narrow_coef = theta.astype(np.float32), coef.astype(np.float32)

    def stepped(start):
        moved = start.copy()
        return objective.step(moved, 0.1, rows=slice(0, 30)), moved

    calls = [
        lambda: hf.decision_function(X, coef, intercept),
        lambda: kind.call(X, case, coef=coef, intercept=intercept, **keywords),
        lambda: kind.call(X, case, coef=narrow_coef, intercept=intercept, **keywords),
        lambda: objective.value_and_grad(theta),
        lambda: objective.value_and_grad(narrow),
        lambda: stepped(theta),
        lambda: stepped(narrow),
    ]
    if kind.has_hessian:
        backwards = theta[::-1].copy()
        calls.append(lambda: objective.hessp(theta, backwards))
    return calls


@pytest.mark.any_python
@every_dtype
@both_kinds
def test_in_threads(kind, dtype, strange):
    kind = GAUSSIAN if kind.binary else on_a_base("crammer_singer", "logistic", 10)
    n, rng = 300_007 if kind.binary else 60_000, np.random.default_rng(0)
    z, w = rng.standard_normal((n, *kind.shape)).astype(dtype), rng.uniform(0.25, 2, n)
    y, loss = kind.labels[np.arange(n) % len(kind.labels)], kind.loss
    z[:2] = np.finfo(dtype).smallest_normal / 2
    case = kind.problem(9_000, 150, dtype, seed=3)
    want = [loss.value_and_grad(y, z, sample_weight=w, n_threads=1), kind.call(case.X, case, n_threads=1)]
    for n_threads in (1, 2, 3):
        with environment_of(**strange):
            before = control_bits()
            got = [loss.value_and_grad(y, z, sample_weight=w, n_threads=n_threads)]
            got.append(kind.call(case.X, case, n_threads=n_threads))
            after = control_bits()
        assert before == after
        assert bits(*got) == bits(*want), n_threads


@pytest.mark.any_python
def test_losses_made_under_it(strange):
    """Constants derived from parameters (a reciprocal, a cost in float32) must not be rounded the caller's way."""
    data, of_classes = telling_scores(40), telling_scores(40, n_classes=5)
    cost = np.random.default_rng(0).uniform(0.5, 3, (5, 5))
    assert (cost.astype(np.float32) != cost).all()
    makers = [
        (lambda cls=cls, key=key, parameter=parameter: cls(**{key: parameter}), data)
        for cls, key in [
            (hf.SmoothHinge, "width"),
            (hf.HuberizedHinge, "half_width"),
            (hf.HuberMargin, "delta"),
            (hf.GaussianHinge, "sigma"),
            (hf.AlgebraicHinge, "sigma"),
            (hf.SoftplusHinge, "beta"),
        ]
        for parameter in (0.3, 0.7, 3.0, 1.1)
    ]
    makers.append((lambda: hf.CostSensitiveHinge(cost), of_classes))
    makers.append((lambda: hf.CrammerSinger(hf.SmoothHinge(width=0.3)), of_classes))
    for make, of_loss in makers:
        want = make()
        with environment_of(**strange):
            made = make()
        for dtype in (np.float32, np.float64):
            scores = of_loss.scores.astype(dtype)
            assert bits(made.value_and_grad(of_loss.y, scores)) == bits(
                want.value_and_grad(of_loss.y, scores)
            ), want


@pytest.mark.any_python
@both_kinds
def test_balanced_weights_found_under_it(kind, strange):
    case = kind.problem(70, 9, seed=2)

    def balanced():
        return kind.objective(case.X, case.y, class_weight="balanced", sample_weight=case.weights)

    want = balanced()
    with environment_of(**strange):
        made = balanced()
    theta = want.pack(case.coef, case.intercept)
    assert bits(made.value_and_grad(theta)) == bits(want.value_and_grad(theta))


@pytest.mark.any_python
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


@pytest.mark.any_python
@every_dtype
@every_way
def test_no_flag_is_raised_or_lost(kind, dtype):
    """NaN compares, overflowing squares and tails of exp raise flags inside; the caller sees none of them."""
    library, loss, data = libm(), kind.loss, telling_data(kind, dtype)
    special = [np.nan, np.inf, -np.inf, -np.finfo(dtype).max]
    if kind.binary:
        data.scores[5:9] = special
    else:
        data.scores[5, :4] = special
        data.scores[6, :4] = [-np.finfo(dtype).max, np.finfo(dtype).max, 0, 1]
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


@pytest.mark.any_python
def test_numpy_sees_no_floating_point_error():
    """np.errstate(all="raise") reads the flags that a call left behind: it must find none."""
    scores = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, 0.0])
    with np.errstate(all="raise"):
        for loss in (hf.SquaredHinge(), hf.LogisticLoss(), hf.GaussianHinge(), hf.AlgebraicHinge()):
            loss.value_and_grad(np.ones(7), scores)
            assert (np.ones(3) + np.ones(3)).sum() == 6


@pytest.mark.any_python
@pytest.mark.skipif(
    np.finfo(np.longdouble).max <= np.finfo(np.float64).max, reason="no longdouble beyond float64"
)
def test_intercepts_beyond_float64_whatever_the_callers_errstate():
    intercept = np.array([np.longdouble(10) ** 400, 0])
    with np.errstate(all="raise"):
        scores = hf.decision_function(np.ones((3, 2)), np.ones((2, 2)), intercept)
    assert np.isinf(scores[:, 0]).all() and (scores[:, 1] == 2).all()
