"""`curvature`: the diagonal of the second derivative with respect to the scores."""

import numpy as np
import pytest
import reference
from conftest import every_dtype
from kinds import CURVED_LOSSES, every_default_loss, every_kind, every_kind_of_classes

import hingefast as hf

pytestmark = pytest.mark.arm64

pytestmark = [pytest.mark.sanitizer, pytest.mark.clang]


@every_dtype
@every_default_loss
def test_of_one_margin(loss, dtype):
    """phi'' of the definition, weighted and reduced as the gradient is."""
    rng = np.random.default_rng(3)
    scores = rng.uniform(-4, 4, 500).astype(dtype)
    y, weight = np.where(rng.random(500) < 0.5, -1, 1), rng.uniform(0, 2, 500)
    want = reference.curvature(loss.name, loss.params, y * scores.astype(np.float64))
    # No margin is drawn within a rounding of a bend, where it may fall on either side.
    assert want.any() == (loss.name in CURVED_LOSSES)
    # exp and erfc move with the rounding of their argument; phi'' is at most 2.
    bound = 64 * np.finfo(dtype).eps
    for weights, by in ((None, 1.0), (weight, weight)):
        for reduction, divisor in (("none", 1.0), ("sum", 1.0), ("mean", np.sum(np.broadcast_to(by, 500)))):
            got = loss.curvature(y, scores, sample_weight=weights, reduction=reduction)
            assert got.dtype == dtype
            assert np.abs(got * divisor - by * want).max() <= bound * 4


@every_kind_of_classes
def test_of_classes(kind):
    """The diagonal of the derivative of the gradient, by central differences of it."""
    case = kind.scores(60)
    got = kind.loss.curvature(case.y, case.scores, reduction="sum", sample_weight=case.weights)
    if not kind.has_hessian:
        assert not got.any() and not np.signbit(got).any()
        return
    step = 1e-6
    want = np.empty_like(case.scores)
    for k in range(case.scores.shape[1]):
        moved = np.zeros_like(case.scores)
        moved[:, k] = step
        up, down = (
            kind.loss.grad(case.y, case.scores + sign * moved, reduction="sum", sample_weight=case.weights)[
                :, k
            ]
            for sign in (1, -1)
        )
        want[:, k] = (up - down) / (2 * step)
    # Where a rival or a bend lies within the step, the difference is none: few rows, if any.
    off = np.abs(got - want) > 1e-4 * (1 + np.abs(want))
    assert off.any(axis=1).sum() <= 2
    assert got.any()


@every_kind
def test_out_casts_and_nan(kind):
    case = kind.scores(40)
    want = kind.loss.curvature(case.y, case.scores)
    out = np.empty_like(case.scores)
    assert kind.loss.curvature(case.y, case.scores, out=out) is out
    assert (out == want).all()
    strided = np.repeat(case.scores, 2, axis=0)[::2]
    assert (kind.loss.curvature(case.y, strided) == want).all()
    assert (kind.loss.curvature(case.y, case.scores, n_threads=3) == want).all()
    spoilt = case.scores.copy()
    spoilt[7] = np.nan
    got = kind.loss.curvature(case.y, spoilt)
    if kind.has_hessian:
        assert np.isnan(got[7]).any()
    others = np.arange(40) != 7
    assert (got[others] == want[others]).all()
    with pytest.raises(ValueError, match=r"^out has shape"):
        kind.loss.curvature(case.y, case.scores, out=np.empty(3))


def test_zero_at_kinks_and_where_flat():
    assert hf.SquaredHinge().curvature([1, 1, 1], [0.5, 1.0, 2.0], reduction="sum").tolist() == [
        2.0,
        0.0,
        0.0,
    ]
    assert hf.SafeLogistic().curvature([1, 1], [1.0, 3.0]).tolist() == [0.0, 0.0]
    assert not hf.Hinge().curvature([1, -1, 1], [0.5, -0.5, 1.0]).any()
