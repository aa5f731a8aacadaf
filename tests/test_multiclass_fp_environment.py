"""Promise: the caller's floating-point environment changes no bit of a multiclass result, and comes back as it was."""

import numpy as np
import pytest
from conftest import bits, every_dtype
from kinds import as_csr
from multiclass_cases import FEW, few_multiclass_losses, has_hessian, problem, telling_scores
from test_fp_environment import (
    FLAGS,
    INVALID,
    OVERFLOW,
    ROUNDING,
    control_bits,
    environment_of,
    libm,
    pytestmark,
)

import hingefast as hf

__all__ = ["pytestmark"]  # skips where the helpers cannot work

ENVIRONMENTS = {
    "flush to zero": {"set_bits": 0x8040},
    **{name: {"rounding": name} for name in list(ROUNDING)[1:]},
}


@pytest.fixture(params=ENVIRONMENTS)
def strange(request):
    return ENVIRONMENTS[request.param]


def assert_same_under(strange, calls):
    for number, call in enumerate(calls):
        want = call()
        with environment_of(**strange):
            before = control_bits()
            got = call()
            after = control_bits()
        assert before == after
        assert bits(got) == bits(want), number


@every_dtype
@few_multiclass_losses
def test_scores(make, dtype, strange):
    loss = make(5)
    data = telling_scores(40, 5, dtype)
    info = np.finfo(dtype)
    data.scores[3] = [info.smallest_subnormal, 0, -info.smallest_normal / 2, 0, 0]
    tiny = data.weights * float(info.smallest_normal) / 8
    y, s, w = data.labels, data.scores, data.weights
    half, narrow = s.astype(np.float16), w.astype(np.float32)  # NumPy rounds as the caller says
    assert_same_under(
        strange,
        [
            lambda: loss.value_and_grad(y, s),
            lambda: loss.value_and_grad(y, s, sample_weight=w, class_weight=[0.1, 0.2, 0.3, 0.4, 0.5]),
            lambda: loss.value_and_grad(y, s, sample_weight=tiny, reduction="none"),
            lambda: loss.value_and_grad(y, np.asfortranarray(s)),
            lambda: loss.value_and_grad(y, half, sample_weight=narrow),
        ],
    )


@every_dtype
@few_multiclass_losses
@pytest.mark.parametrize("layout", ["dense", "csr", "tile"])
def test_linear_models(make, layout, dtype, strange):
    """float64 coefficients and intercepts that float32 has to round, too."""
    loss = make(5)
    case = problem(70, 9, 5, dtype, seed=1)
    X = {"dense": case.X, "csr": as_csr(case.X), "tile": np.asfortranarray(case.X)}[layout]
    coef = case.coef.astype(np.float64) / 3
    intercept = case.intercept.astype(np.float64) / 3
    keywords = {"loss": loss, "sample_weight": case.weights, "alpha": 0.1}
    objective = hf.Objective(
        X, case.y, classes=5, class_weight="balanced", penalize_intercept=True, **keywords
    )
    theta = objective.pack(coef, intercept)
    narrow, narrow_coef = theta.astype(np.float32), coef.astype(np.float32)

    def stepped(start):
        moved = start.copy()
        return objective.step(moved, 0.1, rows=slice(0, 30)), moved

    calls = [
        lambda: hf.decision_function(X, coef, intercept),
        lambda: hf.linear_value_and_grad(X, case.y, coef, intercept, **keywords),
        lambda: hf.linear_value_and_grad(X, case.y, narrow_coef, intercept, **keywords),
        lambda: objective.value_and_grad(theta),
        lambda: objective.value_and_grad(narrow),
        lambda: stepped(theta),
        lambda: stepped(narrow),
    ]
    if has_hessian(loss):
        calls.append(lambda: objective.hessp(theta, theta[::-1].copy()))
    assert_same_under(strange, calls)


def test_losses_made_under_it(strange):
    """A cost that float32 has to round is rounded to the nearest, whoever makes the loss."""
    data = telling_scores(40, 5, np.float32)
    cost = np.random.default_rng(0).uniform(0.5, 3, (5, 5))
    assert (cost.astype(np.float32) != cost).all()

    def of_cost():
        return hf.CostSensitiveHinge(cost)

    def of_base():
        return hf.CrammerSinger(hf.SmoothHinge(width=0.3))

    for make in (of_cost, of_base):
        want = make()
        with environment_of(**strange):
            made = make()
        for dtype in (np.float32, np.float64):
            scores = data.scores.astype(dtype)
            assert bits(made.value_and_grad(data.labels, scores)) == bits(
                want.value_and_grad(data.labels, scores)
            )


def test_balanced_weights_found_under_it(strange):
    case = problem(70, 9, 5, seed=2)

    def balanced():
        keywords = {"classes": 5, "class_weight": "balanced", "sample_weight": case.weights}
        return hf.Objective(case.X, case.y, loss="crammer_singer", **keywords)

    want = balanced()
    with environment_of(**strange):
        made = balanced()
    theta = want.pack(case.coef, case.intercept)
    assert bits(made.value_and_grad(theta)) == bits(want.value_and_grad(theta))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_in_threads(n_threads, strange):
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((60_000, 10)), np.arange(60_000) % 10
    case = problem(9_000, 150, 5, seed=3)
    results = []
    for keywords in ({}, strange):
        with environment_of(**keywords):
            before = control_bits()
            results.append(
                bits(
                    hf.CrammerSinger("logistic").value_and_grad(labels, scores, n_threads=n_threads),
                    hf.linear_value_and_grad(
                        case.X, case.y, case.coef, loss="weston_watkins", n_threads=n_threads
                    ),
                )
            )
            assert control_bits() == before
    assert results[0] == results[1]


@every_dtype
@pytest.mark.parametrize("key", FEW)
def test_no_flag_is_raised_or_lost(key, dtype):
    """NaN compares, overflowing squares and tails of exp raise flags inside; the caller sees none of them."""
    library = libm()
    loss = FEW[key](4)
    data = telling_scores(40, 4, dtype)
    data.scores[5] = [np.nan, np.inf, -np.inf, -np.finfo(dtype).max]
    data.scores[6] = [-np.finfo(dtype).max, np.finfo(dtype).max, 0, 1]
    for n_threads in (1, 2):
        library.feclearexcept(FLAGS)
        loss.value_and_grad(data.labels, data.scores, reduction="sum", n_threads=n_threads)
        loss.value_and_grad(data.labels, data.scores, reduction="none", n_threads=n_threads)
        assert library.fetestexcept(FLAGS) == 0
        library.feraiseexcept(INVALID | OVERFLOW)
        loss.value_and_grad(data.labels, data.scores, reduction="sum", n_threads=n_threads)
        kept = library.fetestexcept(FLAGS)
        library.feclearexcept(FLAGS)
        assert kept & (INVALID | OVERFLOW) == INVALID | OVERFLOW


@pytest.mark.skipif(
    np.finfo(np.longdouble).max <= np.finfo(np.float64).max, reason="no longdouble beyond float64"
)
def test_intercepts_beyond_float64_whatever_the_callers_errstate():
    intercept = np.array([np.longdouble(10) ** 400, 0])
    with np.errstate(all="raise"):
        scores = hf.decision_function(np.ones((3, 2)), np.ones((2, 2)), intercept)
    assert np.isinf(scores[:, 0]).all() and (scores[:, 1] == 2).all()
