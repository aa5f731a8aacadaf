"""Promise: linear models give the same bits for any number of threads and any level, fused or separate, whole or in
parts, wherever their rows lie.
"""

from itertools import pairwise

import numpy as np
import pytest
from conftest import DTYPES, LEVELS, THREADS, bits, every_dtype, raises, run_at_level
from kinds import (
    FEW,
    KINDS,
    WHOLE_CATALOGUE,
    as_csr,
    every_way,
    namespace,
    problem,
    random_csr,
)
from test_same_bits import line

import hingefast as hf

pytestmark = [pytest.mark.clang, pytest.mark.arm64]

LAYOUTS = {"dense": np.asarray, "fortran": np.asfortranarray, "bytes": None, "csr": as_csr}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def make(layout, n, d, dtype, seed, n_classes=None):
    """(X, problem): "bytes" is a matrix of int8, which only a tile can read."""
    case = problem(n, d, dtype, seed, None if layout != "csr" else min(1.0, 12 / d), n_classes)
    if layout == "bytes":
        return np.clip(case.X * 20, -100, 100).astype(np.int8), case
    return LAYOUTS[layout](case.X), case


def check_fused(kind, X, case):
    keywords = {"alpha": 0.25, "sample_weight": case.weights}
    objective = kind.objective(X, case.y, **keywords)
    for theta_dtype in DTYPES:
        theta = objective.pack(case.coef, case.intercept).astype(theta_dtype)
        value, grad = objective.value_and_grad(theta)
        assert bits(objective.value(theta)) == bits(value)
        assert bits(objective.grad(theta)) == bits(grad)
        assert bits(objective(theta)) == bits(value, grad)
        out = np.empty_like(theta)
        assert bits(objective.value_and_grad(theta, out=out)) == bits(value, grad) and bits(out) == bits(grad)
        coef, intercept = objective.unpack(theta)
        direct = kind.call(X, case, coef=coef, intercept=intercept, **keywords)
        assert bits(direct[0], direct[1].ravel()) == bits(value, grad[: coef.size])
        assert bits(theta_dtype(direct[2]).reshape(-1)) == bits(grad[coef.size :])


@every_way
@every_dtype
@every_layout
def test_fused_and_separate(kind, dtype, layout):
    for n, d, K in ((7, 3, 2), (130, 17, 5)) if kind.binary else ((7, 3, 2), (130, 17, 5), (70, 40, 18)):
        (of_K,) = kind.of(K)
        check_fused(of_K, *make(layout, n, d, dtype, 51, of_K.n_classes))


@pytest.mark.parametrize("kind", [KINDS["hinge"], KINDS["squared_hinge"]], ids=str)
@every_dtype
@every_layout
def test_fused_and_separate_in_several_tasks(kind, dtype, layout):
    """They know nothing of the loss: two losses are enough."""
    check_fused(kind, *make(layout, 3000, 400, dtype, 51))


SIZES = [(9, 3, None), (12_000, 200, None), (300, 6_000, None)]
SIZES += [(9, 3, 4), (12_000, 100, 10), (300, 4_000, 3), (2_500, 60, 100)]


@every_dtype
@every_layout
@pytest.mark.parametrize("n,d,n_classes", SIZES)
def test_any_number_of_threads(dtype, layout, n, d, n_classes):
    """Several tasks of rows, of every layout."""
    if layout == "csr" and n > 10_000:
        n, d, per_row = (25_000, 1_000, 40) if n_classes is None else (12_000, 1_000, 50)
        X, y, coef, intercept = random_csr(n, d, per_row, dtype, seed=52, n_classes=n_classes)
        weights = np.random.default_rng(1).uniform(0, 2, n)
    else:
        X, case = make(layout, n, d, dtype, 52, n_classes)
        y, coef, intercept, weights = case.y, case.coef, case.intercept, case.weights
    losses = ("hinge", "logistic") if n_classes is None else ("crammer_singer", "weston_watkins:logistic")

    def answers(n_threads):
        keywords = {"sample_weight": weights, "n_threads": n_threads}
        return bits(
            hf.decision_function(X, coef, intercept, n_threads=n_threads),
            hf.linear_value_and_grad(X, y, coef, intercept, loss=losses[0], **keywords),
            hf.linear_value_and_grad(X, y, coef, intercept, loss=losses[1], alpha=0.5, **keywords),
        )

    want = answers(1)
    for n_threads in (*THREADS[1:], 64, -1, None):
        assert answers(n_threads) == want


@pytest.mark.parametrize("n_threads", [1, 2, 8])
@pytest.mark.parametrize("kind", [KINDS["hinge"], *KINDS["crammer_singer:hinge"].of(5)], ids=str)
def test_again_and_again(kind, n_threads):
    """No run differs from another: whatever threads do first, tasks are added in order."""
    X, y, coef, intercept = kind.random_csr(40_000 if kind.binary else 20_000, 1_000, 40, seed=53)
    keywords = {"loss": kind.loss}
    want = bits(hf.linear_value_and_grad(X, y, coef, intercept, n_threads=1, **keywords))
    for _ in range(15 if kind.binary else 8):
        assert bits(hf.linear_value_and_grad(X, y, coef, intercept, n_threads=n_threads, **keywords)) == want


@pytest.mark.parametrize("dtype", DTYPES, ids=["f32", "f64"])
@pytest.mark.parametrize("sparse_too", [False, True], ids=["dense", "csr"])
def test_gradients_beyond_the_memory_of_tasks(dtype, sparse_too):
    """More than 64 MiB of float64 for one gradient: one accumulator, and threads share classes or columns."""
    n_classes, d, n = 300, 30_000, 40
    assert n_classes * d * 8 > 64 * 2**20
    rng = np.random.default_rng(54)
    if sparse_too:
        X, y, coef, intercept = random_csr(2_500, d, 30, dtype, seed=54, n_classes=n_classes)
        n = 2_500
    else:
        X = rng.standard_normal((n, d)).astype(dtype)
        coef = (rng.standard_normal((n_classes, d)) / np.sqrt(d)).astype(dtype)
        intercept = np.zeros(n_classes)
        y = rng.integers(0, n_classes, n)
    results = [
        hf.linear_value_and_grad(X, y, coef, intercept, loss="crammer_singer", n_threads=n_threads)
        for n_threads in (1, 2, 3)
    ]
    want = results[0]
    for got in results[1:]:
        assert got[0] == want[0]
        assert np.array_equal(got[1], want[1]) and np.array_equal(got[2], want[2])
    # And they are right: each row gives to two classes.
    if sparse_too:
        columns, data = X.indices.reshape(n, 30), X.data.reshape(n, 30).astype(np.float64)
        scores = hf.decision_function(X, coef, intercept).astype(np.float64)
    else:
        scores = hf.decision_function(X, coef, intercept).astype(np.float64)
    here = np.arange(n)
    others = scores.copy()
    others[here, y] = -np.inf
    rival = others.argmax(axis=1)
    active = 1 - (scores[here, y] - scores[here, rival]) > 0
    assert active.mean() > 0.1
    slopes = np.zeros((n, n_classes))
    slopes[here[active], y[active]] = -1 / n
    slopes[here[active], rival[active]] = 1 / n
    for k in {0, 150, n_classes - 1, int(y[active][0]), int(rival[active][-1])}:
        if sparse_too:
            want_row = np.bincount(columns.ravel(), (data * slopes[:, [k]]).ravel(), minlength=d)
        else:
            want_row = slopes[:, k] @ X.astype(np.float64)
        np.testing.assert_allclose(want[1][k], want_row, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(want[2], slopes.sum(axis=0), atol=1e-7)


def test_fused_and_separate_where_tasks_take_turns():
    """The value beside a gradient too large for one a task is that of the value alone."""
    X, y, coef, intercept = random_csr(3_000, 30_000, 30, seed=56, n_classes=8)
    objective = hf.Objective(X, y, loss="crammer_singer:logistic", classes=8)
    for factor in np.linspace(0.5, 1.5, 20):
        theta = objective.pack(coef * factor, intercept)
        assert bits(objective.value(theta)) == bits(objective.value_and_grad(theta)[0]), factor


def test_everything_beyond_the_memory_of_tasks():
    """step, hessp, rows and faults, too, where one accumulator takes the rows in their order."""
    n_classes, d = 290, 30_000
    X, y, coef, intercept = random_csr(2_400, d, 30, np.float32, seed=55, n_classes=n_classes)
    assert n_classes * d * 8 > 64 * 2**20
    loss = hf.WestonWatkins("squared_hinge")
    rows = np.random.default_rng(0).integers(0, 2_400, 600)
    answers = []
    for n_threads in (1, 3):
        objective = hf.Objective(X, y, loss=loss, classes=n_classes, alpha=0.1, n_threads=n_threads)
        theta = objective.pack(coef, intercept).astype(np.float32)
        product = objective.hessp(theta, theta[::-1].copy())
        value, grad = objective.value_and_grad(theta, rows=rows)
        want = theta - np.float32(0.25) * grad
        assert objective.step(theta, 0.25, rows=rows) == value
        assert np.array_equal(theta, want)
        answers.append((value, grad, product))
        bad = y.copy()
        bad[[700, 2_000]] = n_classes
        out = np.full((n_classes, d), 7, dtype=np.float32)
        with raises(ValueError, f"y[700] is {n_classes}"):
            hf.linear_value_and_grad(X, bad, coef, loss=loss, n_threads=n_threads, out=out)
        assert (out == 7).all()
    assert answers[0][0] == answers[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(answers[0][1:], answers[1][1:], strict=True))


# Levels


def answers_of_layouts(case, dtype, name, losses):
    layouts = {"dense": case.X, "fortran": np.asfortranarray(case.X), "csr": as_csr(case.X)}
    layouts["half"] = case.X.astype(np.float16)
    for layout, X in layouts.items():
        results = [hf.decision_function(X, case.coef, case.intercept)]
        model = (X, case.y, case.coef, case.intercept)
        results += [hf.linear_value_and_grad(*model, loss=loss) for loss in losses]
        line(f"{layout} {name} {np.dtype(dtype)}", *results)


def battery(level):
    """Prints a name and a hash for results of every shape, layout, loss and question."""
    assert hf.show_config(mode="dicts")["level"] == level
    for dtype in DTYPES:
        for n in (1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 31, 63, 64, 65, 130):
            for d in (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 100, 257):
                case = problem(n, d, dtype, seed=54)
                answers_of_layouts(case, dtype, f"{n} {d}", ("hinge", "squared_hinge"))
        for n in (1, 2, 3, 4, 5, 7, 8, 9, 31, 63, 64, 65, 130):
            for d in (0, 1, 3, 7, 8, 9, 15, 16, 17, 33, 65, 257):
                for K in (2, 3, 8, 9, 16, 17, 33):
                    if (n + d + K) % 3 and d > 0 and n > 1:
                        continue
                    case = problem(n, d, dtype, seed=3, n_classes=K)
                    losses = ("crammer_singer", "weston_watkins:squared_hinge")
                    answers_of_layouts(case, dtype, f"{n} {d} {K}", losses)
        battery_of_losses(dtype)


def battery_of_losses(dtype):
    name = np.dtype(dtype).name
    dense = {None: problem(3000, 431, dtype, seed=55), 12: problem(900, 131, dtype, seed=4, n_classes=12)}
    sparse = {
        None: random_csr(30_000, 1_000, 30, dtype, seed=55),
        12: random_csr(9_000, 1_000, 40, dtype, seed=4, n_classes=12),
    }
    X, _, coef, intercept = sparse[12]
    few = [hf.decision_function(X, coef, intercept, rows=rows) for rows in ([5], [8_999, 0, 7])]
    line(f"few rows {name}", *few)
    for d in (511, 512, 513, 1_030):
        wide = problem(9, d, dtype, seed=5, n_classes=17)
        line(f"wide {d} {name}", hf.decision_function(wide.X, wide.coef, wide.intercept))
    weights = np.random.default_rng(1).uniform(0, 2, 30_000)
    for key, kind in WHOLE_CATALOGUE.items():
        if "-" in key:
            continue
        (kind,) = kind.of(12)
        case = dense[kind.n_classes]
        line(f"dense {key} {name}", kind.call(case.X, case, sample_weight=case.weights, alpha=0.5))
        if kind.binary or key in FEW:
            X, y, *model = sparse[kind.n_classes]
            keywords = {"sample_weight": weights} if kind.binary else {}
            line(f"csr {key} {name}", hf.linear_value_and_grad(X, y, *model, loss=kind.loss, **keywords))
        for A in (case.X,) if kind.binary else (case.X, as_csr(case.X)):
            objective = kind.objective(A, case.y, alpha=0.1)
            theta = objective.pack(case.coef, case.intercept)
            line(f"objective {key} {name}", objective.value_and_grad(theta))
            if kind.has_hessian:
                line(f"hessp {key} {name}", objective.hessp(theta, theta[::-1].copy()))
            line(f"step {key} {name}", objective.step(theta, 0.1), theta)


@pytest.fixture(scope="module")
def battery_at():
    """What the battery prints at a level, as lines."""

    def lines(level):
        code = f"from test_same_bits_linear import battery; battery({level!r})"
        return run_at_level(level, code).decode().splitlines()

    at_base = lines(LEVELS[0])
    return lambda level: at_base if level == LEVELS[0] else lines(level)


@pytest.mark.parametrize("level", LEVELS[1:])
def test_any_level(level, battery_at):
    base, got = battery_at(LEVELS[0]), battery_at(level)
    assert len(base) > 4000 and len({each.split()[-1] for each in base}) > 2500
    assert [a for a, b in zip(got, base, strict=True) if a != b] == []


# Parts


def added(parts):
    """Value, gradient and intercept of parts, added in their order as one call adds its tasks."""
    value, grad, grad_intercept = 0.0, None, 0.0
    for part in parts:
        value += part[0]
        grad = part[1].copy() if grad is None else grad + part[1]
        grad_intercept += part[2]
    return value, grad, grad_intercept


@every_dtype
def test_dense_parts_cut_at_tasks(dtype):
    """At 2^14 columns a task has 64 rows: parts of whole tasks, added in order, have the bits of one call."""
    case = problem(300, 2**14, dtype, seed=56)
    coef = case.coef.astype(np.float64)  # a float64 gradient: nothing is rounded between tasks
    keywords = {"loss": "squared_hinge", "reduction": "sum"}
    whole = hf.linear_value_and_grad(case.X, case.y, coef, **keywords)
    bounds = [0, 64, 128, 192, 256, 300]
    in_slices = added(
        hf.linear_value_and_grad(case.X, case.y, coef, rows=slice(a, b), **keywords)
        for a, b in pairwise(bounds)
    )
    assert bits(in_slices) == bits(whole)
    copies = added(
        hf.linear_value_and_grad(case.X[a:b].copy(), case.y[a:b], coef, **keywords)
        for a, b in pairwise(bounds)
    )
    assert bits(copies) == bits(whole)


@every_dtype
def test_csr_parts_cut_at_tasks(dtype):
    """A CSR task is as many whole rows as fit into max(2^16, 8·d) nonzeros."""
    per_row = 50
    X, y, coef, _ = random_csr(25_000, 1_000, per_row, dtype, seed=57)
    coef = coef.astype(np.float64)
    rows_per_task = 2**16 // per_row
    keywords = {"loss": "squared_hinge", "reduction": "sum"}
    whole = hf.linear_value_and_grad(X, y, coef, **keywords)
    starts = range(0, 25_000, rows_per_task)
    assert len(starts) > 4
    parts = []
    for start in starts:
        stop = min(start + rows_per_task, 25_000)
        entries = slice(start * per_row, stop * per_row)
        part = namespace(
            X.indptr[start : stop + 1] - X.indptr[start],
            X.indices[entries],
            X.data[entries],
            (stop - start, 1_000),
        )
        of_part = hf.linear_value_and_grad(part, y[start:stop], coef, **keywords)
        assert bits(of_part) == bits(
            hf.linear_value_and_grad(X, y, coef, rows=slice(start, stop), **keywords)
        )
        parts.append(of_part)
    assert bits(added(parts)) == bits(whole)


@every_dtype
@every_layout
@pytest.mark.parametrize("kind", [KINDS["logistic"], *KINDS["weston_watkins:logistic"].of(6)], ids=str)
def test_any_parts_add_up(layout, dtype, kind):
    X, case = make(layout, 997, 40, dtype, 58, kind.n_classes)
    keywords = {"reduction": "sum", "sample_weight": case.weights, "coef": case.coef.astype(np.float64)}
    whole = kind.call(X, case, **keywords)
    order = np.random.default_rng(3).permutation(997)
    cuts = np.sort(np.random.default_rng(4).choice(997, 10, replace=False))
    total = added(kind.call(X, case, rows=part, **keywords) for part in np.split(order, cuts))
    tolerance = 1e-5 if dtype is np.float32 or layout == "bytes" else 1e-11
    assert total[0] == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(total[1], whole[1], rtol=tolerance, atol=100 * tolerance)
    np.testing.assert_allclose(total[2], whole[2], rtol=tolerance, atol=100 * tolerance)


def test_the_order_of_rows_changes_roundings_only():
    case = problem(500, 20, seed=59)
    order = np.random.default_rng(5).permutation(500)
    a = hf.linear_value_and_grad(case.X, case.y, case.coef)
    b = hf.linear_value_and_grad(case.X[order], case.y[order], case.coef)
    assert a[0] == pytest.approx(b[0], rel=1e-13)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-10, atol=1e-13)


@every_dtype
@every_layout
@pytest.mark.parametrize("n_classes", [None, 3, 16, 21])
def test_a_score_depends_on_its_row_alone(layout, dtype, n_classes):
    """Wherever a row stands, and whatever stands beside it: position in groups and tails changes no bit."""
    n = 70 if n_classes is None else 41
    X, case = make(layout, n, 19, dtype, 60, n_classes)
    scores = hf.decision_function(X, case.coef, case.intercept)
    for row in range(n):
        alone = hf.decision_function(X, case.coef, case.intercept, rows=[row])
        assert bits(alone) == bits(scores[row : row + 1])


@every_dtype
@pytest.mark.parametrize("n_classes", [3, 17, 40])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_few_rows_of_wide_data_have_the_bits_of_many(dtype, n_classes, index_dtype):
    """However coef is brought into reach: of a few rows as it is, of many rows in a copy."""
    d = 6_000
    X, _, coef, intercept = random_csr(
        2_000, d, 30, dtype, seed=61, index_dtype=index_dtype, n_classes=n_classes
    )
    for coef_dtype in DTYPES:
        given = coef.astype(coef_dtype)
        scores = hf.decision_function(X, given, intercept)
        for rows in ([7], [1_999, 3], slice(0, 17), np.arange(300)):
            got = hf.decision_function(X, given, intercept, rows=rows)
            assert bits(got) == bits(scores[rows])
