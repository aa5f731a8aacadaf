"""Promise: a row adds nothing to the gradient of a class for which its slope is zero, whatever its features hold, in
any layout and at any level.
"""

import numpy as np
import pytest
from conftest import DTYPES, LEVELS, bits, every_dtype, run_at_level
from kinds import as_csr
from multiclass_cases import FEW, FLAT, flat_multiclass_losses, has_hessian, problem

import hingefast as hf

LAYOUTS = {
    "dense": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "row step": lambda X: np.repeat(X, 2, axis=0)[::2],
    "tile": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "csr": as_csr,
    "csr64": lambda X: as_csr(X, "csr_array", np.int64, np.int64),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
SHAPES = [(9, 2, 2), (13, 3, 3), (13, 8, 5), (13, 17, 9), (21, 40, 17), (33, 40, 27)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def own_columns(n, d, n_classes, dtype, seed):
    """A problem (d >= K) whose column j speaks for class j and against all others."""
    case = problem(n, d, n_classes, dtype, seed=seed)
    case.coef[:, :n_classes] = np.where(np.eye(n_classes) > 0, 0.5, -0.25)
    case.X[:, :n_classes] *= dtype(0.5)
    case.y[:n_classes] = np.arange(n_classes)
    return case


def far_away(case, rows, value):
    """X whose `rows` lie far on their right side: s_c is as far above as all others are below."""
    X = case.X.copy()
    X[rows, case.y[rows]] = value
    return X


def answer(X, case, loss, **keywords):
    return hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, loss=loss, **keywords)


def groups(n):
    return [[row] for row in range(0, n, 2)] + [
        list(range(n)),
        list(range(0, n, 2)),
        list(range(4)),
        [n - 1, 0],
    ]


def compare_infinite_rows(layout, dtype, shape, losses):
    """Infinite features in inactive rows: the bits of large finite ones. Counts comparisons."""
    made = 0
    case = own_columns(*shape, dtype, seed=61)
    for loss in losses:
        for rows in groups(shape[0]):
            finite, infinite = far_away(case, rows, 1e4), far_away(case, rows, np.inf)
            scores = hf.decision_function(infinite, case.coef, case.intercept)
            assert (np.isinf(scores[rows]).all(axis=1)).all()
            want = answer(LAYOUTS[layout](finite), case, loss)
            got = answer(LAYOUTS[layout](infinite), case, loss)
            assert np.isfinite(got[0]) and np.isfinite(got[1]).all() and np.isfinite(got[2]).all()
            assert bits(got) == bits(want), (loss, rows)
            made += 1
    # Something is left to be seen: not all rows of the smaller groups' problems are inactive.
    assert answer(case.X, case, losses[0])[0] > 0
    return made


def compare_rows_of_weight_zero(layout, dtype, shape, losses):
    """NaN and infinities in rows of weight 0: the bits of finite features in the same rows."""
    made = 0
    case = problem(*shape, dtype, seed=62)
    for loss in losses:
        for rows in groups(shape[0]):
            if len(rows) == shape[0]:
                rows = rows[1:]
            weights = case.weights.copy()
            weights[rows] = 0.0
            want = answer(LAYOUTS[layout](case.X), case, loss, sample_weight=weights, alpha=0.5)
            for bad in (np.nan, np.inf):
                X = case.X.copy()
                X[rows] = bad
                X[rows, 0] = np.nan
                got = answer(LAYOUTS[layout](X), case, loss, sample_weight=weights, alpha=0.5)
                assert bits(got) == bits(want), (loss, rows, bad)
                made += 1
    return made


@every_layout
@every_dtype
@every_shape
def test_infinite_features_of_inactive_rows(layout, dtype, shape):
    losses = [make(shape[2]) for make in (FLAT if shape[0] < 20 else FEW).values()]
    losses = [loss for loss in losses if getattr(loss, "base", None) != hf.LogisticLoss()]
    assert compare_infinite_rows(layout, dtype, shape, losses) > 50


@every_layout
@every_dtype
@every_shape
def test_features_of_rows_of_weight_zero(layout, dtype, shape):
    losses = [FEW[key](shape[2]) for key in ("crammer_singer:hinge", "weston_watkins:logistic", "top_2_beta")]
    assert compare_rows_of_weight_zero(layout, dtype, shape, losses) > 30


@every_layout
@every_dtype
def test_classes_without_a_slope(layout, dtype):
    """Infinite features of a row that is wrong reach the two classes that have a slope, and no other one."""
    for n_classes, d in ((5, 8), (9, 9), (18, 23)):
        case = own_columns(24, d, n_classes, dtype, seed=63)
        case.coef[:, n_classes - 1] = -0.25  # the last column speaks against all
        for row in (0, 3, 17, 23):
            c = int(case.y[row])
            rival = (c + 1) % (n_classes - 1)
            X = case.X.copy()
            X[row, rival] = np.inf  # the rival's score is +inf, all others are -inf
            others = [k for k in range(n_classes) if k not in (c, rival)]
            # s_c - s_j is NaN for the others, so it must be the scores that tell the rival.
            for loss in (
                hf.CrammerSinger(),
                hf.CrammerSinger("perceptron"),
                hf.CrammerSinger("smooth_hinge"),
            ):
                clean = answer(LAYOUTS[layout](case.X), case, loss, reduction="sum", rows=[row])
                without = [i for i in range(24) if i != row]
                want = answer(LAYOUTS[layout](X), case, loss, reduction="sum", rows=without)
                got = answer(LAYOUTS[layout](X), case, loss, reduction="sum")
                assert got[0] == np.inf and np.isfinite(clean[0])
                if c != rival:
                    assert got[1][c, rival] == -np.inf and got[1][rival, rival] == np.inf
                assert np.isfinite(got[1][others]).all()
                np.testing.assert_allclose(got[1][others], want[1][others], rtol=1e-5, atol=1e-5)
            X = case.X.copy()
            X[row, n_classes - 1] = np.inf  # all scores are -inf: right for all binary problems but c's own
            got = answer(LAYOUTS[layout](X), case, hf.OneVsRest(), reduction="sum")
            assert got[0] == np.inf and got[1][c, n_classes - 1] == -np.inf
            others = [k for k in range(n_classes) if k != c]
            assert np.isfinite(got[1][others]).all()


@every_layout
@every_dtype
@flat_multiclass_losses
def test_inactive_rows_give_plus_zero(make, layout, dtype):
    """Nothing active: the gradient is +0.0 in every bit, and the value is +0.0."""
    case = own_columns(35, 11, 9, dtype, seed=64)
    for value in (1e4, np.inf):
        got = answer(LAYOUTS[layout](far_away(case, list(range(35)), value)), case, make(9))
        assert bits(got[1]) == bits(np.zeros((9, 11), dtype=dtype))
        assert bits(got[2]) == bits(np.zeros(9, dtype=dtype))
        assert bits(got[0]) == bits(0.0)


@every_layout
@every_dtype
def test_classes_that_nothing_touches_keep_plus_zero(layout, dtype):
    """Of a hundred classes the few rows touch some."""
    case = problem(6, 9, 100, dtype, seed=65)
    for loss in (hf.CrammerSinger(), hf.TopKHinge(2, "beta")):
        _, grad, grad_intercept = answer(LAYOUTS[layout](case.X), case, loss)
        idle = ~grad.any(axis=1)
        assert idle.sum() > 70 and not idle.all()
        assert not np.signbit(grad[idle]).any() and not np.signbit(grad_intercept[idle]).any()


@every_layout
def test_step_and_hessp_skip_them_too(layout):
    case = own_columns(13, 8, 5, np.float64, seed=66)
    finite, infinite = far_away(case, [0, 5, 12], 1e4), far_away(case, [0, 5, 12], np.inf)
    for key in ("crammer_singer:squared_hinge", "weston_watkins:squared_hinge", "one_vs_rest:squared_hinge"):
        loss = FEW[key](5)
        assert has_hessian(loss)
        results = []
        for X in (finite, infinite):
            objective = hf.Objective(LAYOUTS[layout](X), case.y, loss=loss, alpha=0.1, classes=5)
            theta = objective.pack(case.coef, case.intercept)
            product = objective.hessp(theta, np.linspace(-1, 1, objective.size))
            value = objective.step(theta, 0.1)
            assert np.isfinite(product).all() and np.isfinite(theta).all()
            results.append(bits(product, value, theta))
        assert results[0] == results[1], key


LEVEL_CODE = """
import numpy as np
import hingefast as hf
import test_multiclass_zero_slope as promise
from multiclass_cases import FEW

for layout in promise.LAYOUTS:
    for dtype in promise.DTYPES:
        for shape in [(13, 3, 3), (13, 17, 9), (21, 40, 17), (33, 40, 27)]:
            keys = ["crammer_singer:hinge", "weston_watkins:squared_hinge", "top_2_alpha"]
            losses = [FEW[key](shape[2]) for key in keys]
            made = promise.compare_infinite_rows(layout, dtype, shape, losses)
            made += promise.compare_rows_of_weight_zero(layout, dtype, shape, losses[:2])
            print(layout, np.dtype(dtype), shape, made, hf.show_config(mode="dicts")["level"])
"""


@pytest.mark.parametrize("level", LEVELS)
def test_every_level(level):
    lines = run_at_level(level, LEVEL_CODE).decode().splitlines()
    assert len(lines) == len(LAYOUTS) * len(DTYPES) * 4
    assert all(line.endswith(level) for line in lines)
