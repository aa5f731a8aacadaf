"""Promise: X in Fortran order is read in place, and every call on it has the bits of the call on X in C order."""

import os

import numpy as np
import pytest
from conftest import LEVELS, bits, every_dtype, layout_of, misaligned, run_at_level, run_python
from kinds import FLAT_LOSSES, every_default_loss, problem

import hingefast as hf
from hingefast.losses import MARGIN_LOSSES

pytestmark = pytest.mark.at_every_level

# Around whole lines of lanes, groups of columns, chunks of 64 rows and blocks of 512.
N_ROWS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 67, 127, 129, 300, 511, 512, 513, 517, 577)
N_FEATURES = (2, 3, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 33, 40, 100)
# C order goes over long rows in other ways: of up to 4 KiB, up to 16 KiB, and longer.
N_ROWS_OF_LONG = (1, 3, 4, 5, 17, 63, 64, 66, 131)
LONG_ROWS = (64, 65, 131, 512, 515, 700, 1024, 1027, 1500, 2048, 2049, 4096, 4203)


def fortran(X):
    """The same numbers in Fortran order, between rows that would be noticed."""
    n, d = X.shape
    tall = np.full((n + 3, d), np.nan, X.dtype, order="F")
    tall[2:-1] = X
    return tall[2:-1]


def answers(X, case, loss="squared_hinge", **keywords):
    """Everything a linear model is asked, as bits."""
    rows = keywords.pop("rows", None)
    objective = hf.Objective(X, case.y, loss=loss, alpha=0.5, **keywords)
    theta = objective.pack(case.coef, case.intercept)
    found = [
        hf.decision_function(X, case.coef, case.intercept, rows=rows),
        hf.linear_value_and_grad(
            X, case.y, case.coef, case.intercept, loss=loss, rows=rows, reduction="sum", **keywords
        ),
        objective.value(theta, rows=rows),
        objective.value_and_grad(theta, rows=rows),
    ]
    if MARGIN_LOSSES[getattr(loss, "name", loss)]().smoothness != "nonsmooth":
        found.append(objective.hessp(theta, theta[::-1].copy()))
    found += [objective.step(theta, 0.1, rows=rows), theta]
    return bits(*found)


def assert_same(X, case, **keywords):
    """`X`, which holds the numbers of case.X, is read in place and has its bits."""
    assert (layout_of(X), layout_of(case.X)) == ("Fortran", "Dense")
    assert answers(X, case, **keywords) == answers(case.X, case, **keywords)


def compare_shapes(dtype, n, widths=N_FEATURES):
    """Bits of the scores, and of a pass with rows of slope zero and one without, at every width."""
    for d in widths:
        case = problem(n, d, dtype, seed=71)
        X = fortran(case.X)
        assert layout_of(X) == "Fortran"
        for loss in ("hinge", "logistic"):
            found = [
                (
                    hf.decision_function(x, case.coef, case.intercept),
                    hf.linear_value_and_grad(x, case.y, case.coef, case.intercept, loss=loss),
                )
                for x in (X, case.X)
            ]
            assert bits(*found[0]) == bits(*found[1]), (n, d, loss)
    return len(widths)


@every_dtype
@pytest.mark.parametrize("n", N_ROWS)
def test_any_shape(dtype, n):
    assert compare_shapes(dtype, n) == len(N_FEATURES)


@every_dtype
@pytest.mark.parametrize("n", N_ROWS_OF_LONG)
def test_long_rows(dtype, n):
    assert compare_shapes(dtype, n, LONG_ROWS) == len(LONG_ROWS)


@pytest.mark.parametrize("level", LEVELS)
def test_any_shape_at_any_level(level):
    code = f"""
import numpy as np
import hingefast as hf
from conftest import DTYPES
from test_fortran_order import *
assert hf.show_config(mode="dicts")["level"] == {level!r}
print(sum(compare_shapes(dtype, n) for dtype in DTYPES for n in N_ROWS),
      sum(compare_shapes(dtype, n, LONG_ROWS) for dtype in DTYPES for n in N_ROWS_OF_LONG),
      sum(compare_special_numbers(dtype) for dtype in DTYPES))
"""
    shapes, long, special = map(int, run_at_level(level, code).split())
    assert shapes == 2 * len(N_ROWS) * len(N_FEATURES) and long == 2 * len(N_ROWS_OF_LONG) * len(LONG_ROWS)
    assert special > 50


@every_dtype
@pytest.mark.parametrize("n,d", [(0, 0), (0, 1), (0, 5), (9, 0), (9, 1), (1, 9)])
def test_degenerate_shapes(dtype, n, d):
    case = problem(n, d, dtype, seed=72)
    for X in (np.asfortranarray(case.X), fortran(case.X)):
        for loss in ("hinge", "logistic"):
            keywords = {"loss": loss, "reduction": "sum", "alpha": 0.5}
            assert bits(hf.decision_function(X, case.coef, 0.5)) == bits(
                hf.decision_function(case.X, case.coef, 0.5)
            )
            assert bits(hf.linear_value_and_grad(X, case.y, case.coef, 0.5, **keywords)) == bits(
                hf.linear_value_and_grad(case.X, case.y, case.coef, 0.5, **keywords)
            )


# Which X is read in place


@every_dtype
def test_views(dtype):
    case = problem(140, 37, dtype, seed=73)
    X = np.asfortranarray(case.X)
    readonly = X.copy(order="F")
    readonly.flags.writeable = False
    wide = np.full((140, 80), np.nan, dtype, order="F")
    wide[:, 2:76:2] = X
    subclass = X.view(type("Sub", (np.ndarray,), {}))
    for view in (X, fortran(case.X), readonly, wide[:, 2:76:2], case.X.T.copy().T, subclass):
        assert_same(view, case)
    backwards = np.asfortranarray(X[:, ::-1])[:, ::-1]
    assert backwards.strides[1] < 0
    assert_same(backwards, case)
    case.X = np.repeat(case.X[:, :1], 37, axis=1)
    assert_same(np.broadcast_to(case.X[:, 0].copy()[:, None], (140, 37)), case)


@every_dtype
def test_what_is_not_read_in_place(dtype):
    case = problem(140, 37, dtype, seed=74)
    X = np.asfortranarray(case.X)
    views = {
        "C order": case.X,
        "one column": X[:, :1],
        "row step": np.repeat(X, 2, axis=0).copy(order="F")[::2],
        "rows reversed": X[::-1].copy(order="F")[::-1],
        "misaligned": misaligned(np.ascontiguousarray(X.T)).T,
        "other byte order": X.astype(X.dtype.newbyteorder()),
        "half": X.astype(np.float16),
        "integers": np.asfortranarray((X * 9).astype(np.int32)),
    }
    for name, view in views.items():
        assert layout_of(view) == "Dense", name
        if view.shape == X.shape and view.dtype.kind == "f" and view.dtype.itemsize > 2:
            assert answers(view, case) == answers(case.X, case), name
    if dtype is np.float32:
        wide = [hf.Objective(x, case.y, loss="hinge", dtype=np.float64) for x in (X, case.X)]
        theta = wide[0].pack(case.coef, case.intercept)
        assert bits(wide[0].value_and_grad(theta)) == bits(wide[1].value_and_grad(theta))


# What a call may ask for


@every_default_loss
@every_dtype
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_every_loss(loss, dtype, weighted):
    case = problem(577, 41, dtype, seed=75)
    keywords = {"sample_weight": case.weights, "class_weight": (1.5, 0.5)} if weighted else {}
    assert_same(fortran(case.X), case, loss=loss, **keywords)


@every_dtype
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("n,d", [(3000, 1100), (1111, 4096), (200, 20_000), (150, 70_001)])
def test_many_tasks_and_threads(dtype, loss, n, d):
    """With 70 001 columns a slice between two looks for Ctrl-C ends inside a chunk of 64 rows."""
    case = problem(n, d, dtype, seed=76)
    X = fortran(case.X)
    assert layout_of(X) == "Fortran"
    for n_threads in (1, 2, 3):
        found = [
            (
                hf.linear_value_and_grad(
                    x,
                    case.y,
                    case.coef.astype(np.float64),
                    case.intercept,
                    loss=loss,
                    sample_weight=case.weights,
                    n_threads=n_threads,
                ),
                hf.decision_function(x, case.coef, case.intercept, n_threads=n_threads),
            )
            for x in (X, case.X)
        ]
        assert bits(*found[0]) == bits(*found[1])


SLICES = [slice(3, 131), slice(64, 65), slice(1, None), slice(5, 8), slice(280, 299), slice(-40, None)]
OTHERS = [
    slice(None, None, 3),
    slice(None, None, -1),
    slice(250, 3, -7),
    np.arange(300),
    np.random.default_rng(0).integers(0, 300, 400),
    np.array([299]),
]


@every_dtype
@pytest.mark.parametrize("rows", SLICES + OTHERS, ids=lambda rows: str(rows)[:25])
def test_rows(dtype, rows):
    case = problem(300, 41, dtype, seed=77)
    for loss in ("squared_hinge", "logistic"):
        assert_same(fortran(case.X), case, loss=loss, rows=rows, sample_weight=case.weights)


@every_dtype
@pytest.mark.parametrize(
    "rows", [slice(None, None, 2), np.arange(149, -1, -1), slice(None, None, -1)], ids=str
)
def test_rows_in_several_tiles(dtype, rows):
    """At 1200 columns a chunk of 64 rows is more than one tile."""
    case = problem(150, 1200, dtype, seed=83)
    assert_same(fortran(case.X), case, rows=rows)


@every_dtype
@pytest.mark.parametrize("n", [1, 3, 4, 5, 63, 64, 67, 130])
def test_classes(dtype, n):
    """K classes read their rows through a tile."""
    rng = np.random.default_rng([84, n])
    for d in (2, 8, 15, 16, 17, 33, 100, 131):
        X = rng.standard_normal((n, d)).astype(dtype)
        coef = rng.standard_normal((3, d)).astype(dtype)
        y = rng.integers(0, 3, n)
        assert layout_of(fortran(X)) == "Fortran"
        for rows in (None, slice(n // 2, None), rng.integers(0, n, 9)):
            found = [
                (
                    hf.decision_function(x, coef, rows=rows),
                    hf.linear_value_and_grad(
                        x, y, coef, np.zeros(3), loss="weston_watkins", classes=3, rows=rows, reduction="sum"
                    ),
                )
                for x in (fortran(X), X)
            ]
            assert bits(*found[0]) == bits(*found[1]), (n, d)


# What rows hold


def compare_special_numbers(dtype):
    """Inactive rows of NaN and infinity, active rows of NaN, zeros of both signs; counts comparisons."""
    return sum(compare_special_rows(dtype, n, d) for n, d in ((150, 35), (70, 5), (3, 35)))


def compare_special_rows(dtype, n, d):
    """The same for one shape."""
    made = 0
    case = problem(n, d, dtype, seed=78)
    rng = np.random.default_rng(78)
    groups = [[0], [n - 1], [n // 2], list(range(1, n)), list(range(0, n, 2)), list(range(n))]
    groups += [list(range(60, 70))] if n >= 70 else []
    for loss in FLAT_LOSSES:
        for rows in groups:
            weights = case.weights.copy()
            weights[rows] = 0.0
            for bad in (np.nan, np.inf):
                X = case.X.copy()
                X[rows] = bad
                found = [
                    hf.linear_value_and_grad(
                        x, case.y, case.coef, loss=loss, sample_weight=weights, reduction="sum"
                    )
                    for x in (fortran(X), X, case.X)
                ]
                assert bits(found[0]) == bits(found[1]) == bits(found[2]), (loss, rows, bad)
                made += 1
            X = case.X.copy()
            X[rows] = np.nan
            found = [hf.linear_value_and_grad(x, case.y, case.coef, loss=loss) for x in (fortran(X), X)]
            assert np.isnan(found[0][0]) and bits(found[0]) == bits(found[1]), (loss, rows)
            X = case.X.copy()
            X[rows] = rng.choice(np.array([0.0, -0.0, np.finfo(dtype).smallest_subnormal]), (len(rows), d))
            found = [hf.linear_value_and_grad(x, case.y, case.coef, loss=loss) for x in (fortran(X), X)]
            assert bits(found[0]) == bits(found[1]), (loss, rows)
            made += 2
    return made


@every_dtype
def test_special_numbers(dtype):
    assert compare_special_numbers(dtype) > 50


@every_dtype
def test_infinite_rows_far_on_their_right_side(dtype):
    """Such rows have slope zero by themselves, not by their weight."""
    case = problem(140, 21, dtype, seed=79)
    assert (case.coef != 0).all()
    for rows in ([5], [139], list(range(0, 140, 3)), list(range(140))):
        far = []
        for value in (1e4, np.inf):
            X = case.X.copy()
            X[rows] = np.where(case.coef > 0, value, -value) * case.y[rows][:, None]
            far.append(hf.linear_value_and_grad(fortran(X), case.y, case.coef))
        assert np.isfinite(far[1][1]).all() and bits(far[0]) == bits(far[1])


@every_dtype
@pytest.mark.parametrize("n,d", [(70, 20), (3, 20), (70, 5)])
def test_no_active_row_gives_plus_zeros(dtype, n, d):
    X = fortran(np.ones((n, d), dtype))
    value, grad, grad_intercept = hf.linear_value_and_grad(X, np.ones(n), np.ones(d, dtype))
    assert bits(value, grad, grad_intercept) == bits(0.0, np.zeros(d, dtype), 0.0)


@every_dtype
@pytest.mark.parametrize("kink_slope", [0.0, -0.5, -1.0])
def test_kink_rows(dtype, kink_slope):
    """Margins of small integers are exact: 1, the kink, among them."""
    rng = np.random.default_rng(80)
    case = problem(577, 41, dtype, seed=80)
    case.X = rng.integers(-2, 3, (577, 41)).astype(dtype)
    case.coef = rng.integers(-1, 2, 41).astype(dtype)
    case.intercept = 1.0
    margins = case.y * (case.X @ case.coef + 1)
    assert (margins == 1).sum() > 20 and (margins > 1).any() and (margins < 1).any()
    assert_same(fortran(case.X), case, loss=hf.Hinge(kink_slope=kink_slope))


# What may be wrong


@every_dtype
def test_faults_are_those_of_c_order(dtype):
    case = problem(1500, 41, dtype, seed=81)
    labels, weights = case.y.copy(), case.weights.copy()
    labels[[700, 1400]] = 7
    weights[1300] = -1
    calls = [
        {"y": labels},
        {"y": labels, "sample_weight": weights},
        {"y": case.y, "sample_weight": weights, "n_threads": 2},
        {"y": labels, "rows": slice(600, 1450)},
        {"y": case.y, "rows": np.array([3, 1500])},
    ]
    for keywords in calls:
        said = []
        for X in (fortran(case.X), case.X):
            with pytest.raises((ValueError, IndexError)) as caught:
                hf.linear_value_and_grad(X, coef=case.coef, **keywords)
            said.append((type(caught.value), str(caught.value)))
        assert said[0] == said[1]


@every_dtype
def test_after_the_arrays_have_changed(dtype):
    """An objective reads X where it lies, at each call anew."""
    case = problem(140, 21, dtype, seed=82)
    X = fortran(case.X)
    objective = hf.Objective(X, case.y, loss="hinge")
    theta = objective.pack(case.coef, case.intercept)
    before = objective.value(theta)
    X *= 2
    assert (
        objective.value(theta) == hf.Objective(case.X * dtype(2), case.y, loss="hinge").value(theta) != before
    )


@pytest.mark.skipif(os.name != "posix", reason="protects memory by mprotect")
def test_nothing_behind_the_last_column_is_read():
    """X, labels and weights end where readable memory ends, for numbers of rows and columns around those of a line."""
    code = """
import ctypes, mmap
import numpy as np
import hingefast as hf

protect = ctypes.CDLL(None).mprotect
protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

def at_the_end(array):
    size = -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    room = np.frombuffer(mmap.mmap(-1, size + mmap.PAGESIZE), np.uint8)
    assert protect(room.ctypes.data + size, mmap.PAGESIZE, 0) == 0
    copy = room[size - array.nbytes : size].view(array.dtype).reshape(array.shape[::-1]).T
    copy[...] = array
    return copy

rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    for n in (1, 2, 3, 5, 7, 9, 15, 17, 63, 66, 129):
        for d in (2, 7, 9, 15, 16, 17, 33):
            X, y = np.asfortranarray(rng.standard_normal((n, d)).astype(dtype)), rng.integers(0, 2, n)
            weights = rng.uniform(0.5, 1, n)
            rows = np.arange(n)[::-1].copy()
            for coef, loss in ((rng.standard_normal(d), "logistic"), (rng.standard_normal((2, d)), "one_vs_rest")):
                keywords = {"loss": loss, "classes": (0, 1) if loss == "logistic" else None}
                for batch in (None, slice(None, None, 2), rows):
                    want = hf.linear_value_and_grad(X, y, coef, sample_weight=weights, rows=batch, **keywords)
                    got = hf.linear_value_and_grad(
                        at_the_end(X), at_the_end(y), coef, sample_weight=at_the_end(weights), rows=batch, **keywords
                    )
                    for a, b in zip(got, want):
                        assert np.array_equal(a, b)
print("fine")
"""
    assert run_python(code).stdout.strip() == b"fine"
