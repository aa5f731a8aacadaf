"""Promise: a row whose slope is zero adds nothing to any gradient, whatever its features hold, in any layout."""

import numpy as np
import pytest
from conftest import DTYPES, LEVELS, bits, every_dtype, run_at_level
from kinds import FLAT_LOSSES, SMOOTH_LOSSES, as_csr, problem

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
SHAPES = [(13, 1), (9, 3), (13, 8), (13, 17), (70, 5), (13, 40)]


def far_away(case, rows, value):
    """X whose `rows` lie infinitely far on their right side: each feature `value` with its sign."""
    X = case.X.copy()
    X[rows] = np.where(case.coef > 0, value, -value) * case.y[rows][:, None]
    return X.astype(case.X.dtype)


def answer(X, case, loss, **keywords):
    return hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, loss=loss, **keywords)


def compare_infinite_rows(layout, dtype, shape, losses):
    """Infinite features in inactive rows: the bits of large finite ones. Counts comparisons."""
    made = 0
    case = problem(*shape, dtype, seed=61)
    assert (case.coef != 0).all()
    n = shape[0]
    groups = [[row] for row in range(n)] + [list(range(n)), list(range(0, n, 2)), list(range(4)), [n - 1, 0]]
    for loss in losses:
        for rows in groups:
            finite, infinite = far_away(case, rows, 1e4), far_away(case, rows, np.inf)
            assert (case.y[rows] * (finite[rows].astype(float) @ case.coef.astype(float)) > 10).all()
            want = answer(LAYOUTS[layout](finite), case, loss)
            got = answer(LAYOUTS[layout](infinite), case, loss)
            assert np.isfinite(got[1]).all() and np.isfinite(got[0])
            assert bits(got) == bits(want), (loss, rows)
            made += 1
    return made


def compare_rows_of_weight_zero(layout, dtype, shape, losses):
    """NaN and infinities in rows of weight 0: the bits of finite features in the same rows."""
    made = 0
    case = problem(*shape, dtype, seed=62)
    n = shape[0]
    groups = [[row] for row in range(n)] + [
        list(range(1, n)),
        list(range(0, n, 2)),
        list(range(4)),
        [n - 1, 0],
    ]
    for loss in losses:
        for rows in groups:
            weights = case.weights.copy()
            weights[rows] = 0.0
            want = answer(LAYOUTS[layout](case.X), case, loss, sample_weight=weights, alpha=0.5)
            for bad in (np.nan, np.inf, -np.inf):
                X = case.X.copy()
                X[rows] = bad
                X[rows, 0] = np.nan
                got = answer(LAYOUTS[layout](X), case, loss, sample_weight=weights, alpha=0.5)
                assert bits(got) == bits(want), (loss, rows, bad)
                made += 1
    return made


@every_layout
@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_infinite_features_of_inactive_rows(layout, dtype, shape):
    assert compare_infinite_rows(layout, dtype, shape, FLAT_LOSSES[:: 1 if shape[0] < 20 else 3])


@every_layout
@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_features_of_rows_of_weight_zero(layout, dtype, shape):
    losses = ("hinge", "squared_hinge") + (SMOOTH_LOSSES if shape[0] < 20 else ())
    assert compare_rows_of_weight_zero(layout, dtype, shape, losses)


@every_layout
@every_dtype
def test_the_loss_of_infinite_margins(layout, dtype):
    """Losses that are flat nowhere vanish at a margin of +inf too: slope and value are 0 there, not NaN."""
    case = problem(13, 5, dtype, seed=63)
    for loss in SMOOTH_LOSSES:
        for row in range(13):
            got = answer(LAYOUTS[layout](far_away(case, [row], np.inf)), case, loss, reduction="sum")
            others = [i for i in range(13) if i != row]
            want = answer(LAYOUTS[layout](case.X), case, loss, reduction="sum", rows=others)
            assert np.isfinite(got[1]).all()
            np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
            np.testing.assert_allclose(got[1], want[1], rtol=1e-4, atol=1e-5)


@every_layout
@every_dtype
@pytest.mark.parametrize("loss", FLAT_LOSSES)
def test_inactive_rows_give_plus_zero(layout, dtype, loss):
    """Nothing active: the gradient is +0.0 in every bit, and the value is +0.0."""
    case = problem(70, 9, dtype, seed=64)
    for value in (1e4, np.inf):
        X = far_away(case, list(range(70)), value)
        got = answer(LAYOUTS[layout](X), case, loss)
        assert bits(got[1]) == bits(np.zeros(9, dtype=dtype))
        assert bits(got[0], got[2]) == bits(0.0, 0.0)
        assert case.y.min() < 0 < case.y.max()


@every_layout
def test_step_and_hessp_skip_them_too(layout):
    case = problem(13, 5, seed=65)
    finite, infinite = far_away(case, [0, 5, 12], 1e4), far_away(case, [0, 5, 12], np.inf)
    results = []
    for X in (finite, infinite):
        objective = hf.Objective(LAYOUTS[layout](X), case.y, loss="squared_hinge", alpha=0.1)
        theta = objective.pack(case.coef, case.intercept)
        product = objective.hessp(theta, np.arange(6.0))
        value = objective.step(theta, 0.1)
        assert np.isfinite(product).all() and np.isfinite(theta).all()
        results.append(bits(product, value, theta))
    assert results[0] == results[1]


@every_layout
@every_dtype
def test_nothing_is_read_of_a_class_of_weight_zero(layout, dtype):
    """Its rows hold NaN: value, gradient, step and Hessian product of an Objective, of one class and of several."""
    for n, d, n_classes in ((13, 5, 2), (70, 17, 2), (13, 5, 3), (70, 17, 9)):
        rng = np.random.default_rng([n, d])
        finite, y = rng.standard_normal((n, d)).astype(dtype), rng.integers(0, n_classes, n)
        y[:2] = 0, 1
        weights = rng.uniform(0.5, 2, n)
        keywords = {
            "loss": "logistic" if n_classes == 2 else "weston_watkins:logistic",
            "class_weight": np.append(0.0, rng.uniform(0.5, 2, n_classes - 1)),
            "alpha": 0.25,
        }
        results = []
        for bad in (None, np.nan, np.inf):
            X = finite.copy()
            if bad is not None:
                X[y == 0] = bad
            X = LAYOUTS[layout](X)
            objective = hf.Objective(
                X, y, classes=(0, 1) if n_classes == 2 else n_classes, sample_weight=weights, **keywords
            )
            theta = np.linspace(-0.5, 0.5, objective.size)
            got = [objective.value_and_grad(theta), objective.hessp(theta, theta[::-1].copy())]
            got += [
                objective.value(theta),
                objective.grad(theta, rows=slice(1, None)),
                objective.step(theta, 0.5),
            ]
            coef, intercept = objective.unpack(theta)
            got.append(hf.linear_value_and_grad(X, y, coef, intercept, classes=range(n_classes), **keywords))
            assert np.isfinite(theta).all() and np.isfinite(got[0][0])
            results.append(bits(*got, theta))
        assert len(set(results)) == 1, (n, d, n_classes)


@pytest.mark.parametrize("layout", ["dense", "csr", "tile"])
def test_a_kink_without_slope(layout):
    """Exactly at the kink, with kink_slope 0, the row is as inactive as any; with -1 it counts."""
    X = np.array([[1.0, 0.0], [1.0, 0.5], [0.25, 2.0]])
    y, coef = np.array([1, -1, 1]), np.array([1.0, 0.0])
    value, grad, _ = hf.linear_value_and_grad(LAYOUTS[layout](X), y, coef, loss=hf.Hinge(), reduction="sum")
    np.testing.assert_array_equal(grad, [1 - 0.25, 0.5 - 2])
    _, grad, _ = hf.linear_value_and_grad(
        LAYOUTS[layout](X), y, coef, loss=hf.Hinge(kink_slope=-1.0), reduction="sum"
    )
    np.testing.assert_array_equal(grad, [-1 + 1 - 0.25, 0.5 - 2])
    assert value == 2 + 0.75


LEVEL_CODE = """
import numpy as np
import hingefast as hf
import test_zero_slope as promise

for layout in promise.LAYOUTS:
    for dtype in promise.DTYPES:
        for shape in [(9, 3), (13, 17), (13, 40)]:
            made = promise.compare_infinite_rows(layout, dtype, shape, ["hinge", "squared_hinge"])
            made += promise.compare_rows_of_weight_zero(layout, dtype, shape, ["hinge", "logistic"])
            print(layout, np.dtype(dtype), shape, made, hf.show_config(mode="dicts")["level"])
"""


@pytest.mark.parametrize("level", LEVELS)
def test_every_level(level):
    lines = run_at_level(level, LEVEL_CODE).decode().splitlines()
    assert len(lines) == len(LAYOUTS) * len(DTYPES) * 3
    assert all(line.endswith(level) for line in lines)
