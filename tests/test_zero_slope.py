"""Promise: a row adds nothing to the gradient of a class for which its slope is zero, whatever its features hold, in
any layout and at any level.
"""

import numpy as np
import pytest
from conftest import DTYPES, LEVELS, bits, every_dtype, run_at_level
from kinds import FLAT, KINDS, SMOOTH_LOSSES, as_csr, binary, flat_kinds, problem

import hingefast as hf
from hingefast.losses import MARGIN_LOSSES

pytestmark = [pytest.mark.clang, pytest.mark.arm64]

LAYOUTS = {
    "dense": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "row step": lambda X: np.repeat(X, 2, axis=0)[::2],
    "tile": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "csr": as_csr,
    "csr64": lambda X: as_csr(X, "csr_array", np.int64, np.int64),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
# Rows and columns, and the number of classes of kinds that have classes.
SHAPES = [(13, 1), (9, 3), (13, 8), (13, 17), (70, 5), (13, 40)]
SHAPES_OF_CLASSES = [(9, 2, 2), (13, 3, 3), (13, 8, 5), (13, 17, 9), (21, 40, 17), (33, 40, 27)]
every_shape = pytest.mark.parametrize("shape", SHAPES + SHAPES_OF_CLASSES, ids=str)

HINGE, SQUARED = KINDS["hinge"], KINDS["squared_hinge"]
CRAMMER_SINGER, WESTON_WATKINS = FLAT["crammer_singer:hinge"], FLAT["weston_watkins:squared_hinge"]


def of_shape(kinds, shape):
    """Those of the kinds that a shape of rows, columns (and classes) is for, with its number of classes."""
    binaries = len(shape) == 2
    return [of_K for kind in kinds if kind.binary == binaries for of_K in kind.of(*shape[2:])]


def separable(kind, n, d, dtype=np.float64, seed=0):
    """A problem in which every row can be moved far away; of K, column j speaks for class j against all others."""
    case = kind.problem(n, d, dtype, seed=seed)
    if kind.binary:
        assert (case.coef != 0).all()
        return case
    K = kind.n_classes
    case.coef[:, :K] = np.where(np.eye(K) > 0, 0.5, -0.25)
    case.X[:, :K] *= dtype(0.5)
    case.y[:K] = np.arange(K)
    return case


def far_away(kind, case, rows, value):
    """X whose `rows` lie far on their right side: each score, or s_c and all others, by features of `value`."""
    X = case.X.copy()
    if kind.binary:
        X[rows] = np.where(case.coef > 0, value, -value) * case.y[rows][:, None]
    else:
        X[rows, case.y[rows]] = value
    return X.astype(case.X.dtype)


def answer(X, case, loss, **keywords):
    return hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, loss=loss, **keywords)


def groups(n):
    """Each row of few, every second one of many, all rows and some."""
    return [[row] for row in range(0, n, 1 if n < 20 else 2)] + [
        list(range(n)),
        list(range(0, n, 2)),
        list(range(4)),
        [n - 1, 0],
    ]


def compare_infinite_rows(layout, dtype, shape, kinds):
    """Infinite features in inactive rows: the bits of large finite ones. Counts comparisons."""
    made = 0
    for kind in of_shape(kinds, shape):
        case = separable(kind, *shape[:2], dtype, seed=61)
        for rows in groups(shape[0]):
            finite, infinite = (far_away(kind, case, rows, value) for value in (1e4, np.inf))
            scores = hf.decision_function(infinite, case.coef, case.intercept)[rows]
            assert np.isinf(scores).all() and (not kind.binary or (case.y[rows] * scores > 0).all())
            want = kind.call(LAYOUTS[layout](finite), case)
            got = kind.call(LAYOUTS[layout](infinite), case)
            assert np.isfinite(got[0]) and np.isfinite(got[1]).all() and np.isfinite(got[2]).all()
            assert bits(got) == bits(want), (kind, rows)
            made += 1
        # Something is left to be seen: not all rows of the smaller groups' problems are inactive.
        assert kind.call(case.X, case)[0] > 0
    return made


def compare_rows_of_weight_zero(layout, dtype, shape, kinds):
    """NaN and infinities in rows of weight 0: the bits of finite features in the same rows."""
    made = 0
    for kind in of_shape(kinds, shape):
        case = kind.problem(*shape[:2], dtype, seed=62)
        for rows in groups(shape[0]):
            if len(rows) == shape[0]:
                rows = rows[1:]
            weights = case.weights.copy()
            weights[rows] = 0.0
            want = kind.call(LAYOUTS[layout](case.X), case, sample_weight=weights, alpha=0.5)
            for bad in (np.nan, np.inf, -np.inf):
                X = case.X.copy()
                X[rows] = bad
                X[rows, 0] = np.nan
                got = kind.call(LAYOUTS[layout](X), case, sample_weight=weights, alpha=0.5)
                assert bits(got) == bits(want), (kind, rows, bad)
                made += 1
    return made


@every_layout
@every_dtype
@every_shape
def test_infinite_features_of_inactive_rows(layout, dtype, shape):
    few = list(FLAT.values())[:: 1 if shape[0] < 20 else 3]
    assert compare_infinite_rows(layout, dtype, shape, few) > 25


WEIGHED = [HINGE, SQUARED, CRAMMER_SINGER, KINDS["weston_watkins:logistic"], KINDS["top_2_beta"]]


@every_layout
@every_dtype
@every_shape
def test_features_of_rows_of_weight_zero(layout, dtype, shape):
    smooth = [binary(MARGIN_LOSSES[name]()) for name in SMOOTH_LOSSES] if shape[0] < 20 else []
    assert compare_rows_of_weight_zero(layout, dtype, shape, WEIGHED + smooth) > 30


@every_layout
@every_dtype
def test_the_loss_of_infinite_margins(layout, dtype):
    """Losses that are flat nowhere vanish at a margin of +inf too: slope and value are 0 there, not NaN."""
    case = problem(13, 5, dtype, seed=63)
    for kind in (binary(MARGIN_LOSSES[name]()) for name in SMOOTH_LOSSES):
        for row in range(13):
            X = LAYOUTS[layout](far_away(kind, case, [row], np.inf))
            got = kind.call(X, case, reduction="sum")
            others = [i for i in range(13) if i != row]
            want = kind.call(LAYOUTS[layout](case.X), case, reduction="sum", rows=others)
            assert np.isfinite(got[1]).all()
            np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
            np.testing.assert_allclose(got[1], want[1], rtol=1e-4, atol=1e-5)


@every_layout
@every_dtype
def test_classes_without_a_slope(layout, dtype):
    """Infinite features of a row that is wrong reach the two classes that have a slope, and no other one."""
    for n_classes, d in ((5, 8), (9, 9), (18, 23)):
        case = separable(*CRAMMER_SINGER.of(n_classes), 24, d, dtype, seed=63)
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
@flat_kinds
def test_inactive_rows_give_plus_zero(kind, layout, dtype):
    """Nothing active: the gradient is +0.0 in every bit, and the value is +0.0."""
    n, d = (70, 9) if kind.binary else (35, 11)
    for of_K in kind.of(9):
        case = separable(of_K, n, d, dtype, seed=64)
        for value in (1e4, np.inf):
            got = of_K.call(LAYOUTS[layout](far_away(of_K, case, list(range(n)), value)), case)
            assert bits(got[1]) == bits(np.zeros((*of_K.shape, d), dtype=dtype))
            assert bits(got[0]) == bits(0.0)
            assert bits(got[2]) == bits(0.0 if kind.binary else np.zeros(9, dtype=dtype))


@every_layout
@every_dtype
def test_classes_that_nothing_touches_keep_plus_zero(layout, dtype):
    """Of a hundred classes the few rows touch some."""
    case = problem(6, 9, dtype, seed=65, n_classes=100)
    for loss in (hf.CrammerSinger(), hf.TopKHinge(2, "beta")):
        _, grad, grad_intercept = answer(LAYOUTS[layout](case.X), case, loss)
        idle = ~grad.any(axis=1)
        assert idle.sum() > 70 and not idle.all()
        assert not np.signbit(grad[idle]).any() and not np.signbit(grad_intercept[idle]).any()


@every_layout
def test_step_and_hessp_skip_them_too(layout):
    for kind in of_shape(FLAT.values(), (13, 5)) + of_shape(FLAT.values(), (13, 8, 5)):
        if not kind.has_hessian:
            continue
        case = separable(kind, 13, 5 if kind.binary else 8, seed=65)
        results = []
        for value in (1e4, np.inf):
            X = LAYOUTS[layout](far_away(kind, case, [0, 5, 12], value))
            objective = kind.objective(X, case.y, alpha=0.1)
            theta = objective.pack(case.coef, case.intercept)
            product = objective.hessp(theta, np.linspace(-1, 1, objective.size))
            value = objective.step(theta, 0.1)
            assert np.isfinite(product).all() and np.isfinite(theta).all()
            results.append(bits(product, value, theta))
        assert results[0] == results[1], kind


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
        for shape in promise.SHAPES_AT_LEVELS:
            made = promise.compare_infinite_rows(layout, dtype, shape, promise.INFINITE_AT_LEVELS)
            made += promise.compare_rows_of_weight_zero(layout, dtype, shape, promise.WEIGHED_AT_LEVELS)
            print(layout, np.dtype(dtype), shape, made, hf.show_config(mode="dicts")["level"])
"""
SHAPES_AT_LEVELS = [(9, 3), (13, 17), (13, 40), (13, 3, 3), (13, 17, 9), (21, 40, 17), (33, 40, 27)]
INFINITE_AT_LEVELS = [HINGE, SQUARED, CRAMMER_SINGER, WESTON_WATKINS, FLAT["top_2_alpha"]]
WEIGHED_AT_LEVELS = [HINGE, KINDS["logistic"], CRAMMER_SINGER, WESTON_WATKINS]


@pytest.mark.parametrize("level", LEVELS)
def test_every_level(level):
    lines = run_at_level(level, LEVEL_CODE).decode().splitlines()
    assert len(lines) == len(LAYOUTS) * len(DTYPES) * len(SHAPES_AT_LEVELS)
    assert all(line.endswith(level) and int(line.split()[-2]) > 50 for line in lines)
