"""Promise: multiclass results have the same bits for any number of threads and any level, fused or separate, whole or
in parts, wherever their arrays lie.
"""

import numpy as np
import pytest
from conftest import (
    DTYPES,
    LEVELS,
    THREADS,
    bits,
    every_dtype,
    every_reduction,
    misaligned,
    raises,
    run_at_level,
    run_python,
    strided,
)
from kinds import as_csr
from multiclass_cases import (
    FEW,
    every_multiclass_loss,
    few_multiclass_losses,
    problem,
    random_csr,
    telling_scores,
)

import hingefast as hf

LAYOUTS = {"dense": np.asarray, "fortran": np.asfortranarray, "bytes": None, "csr": as_csr}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def make_X(layout, n, d, n_classes, dtype, seed):
    """(X, problem): "bytes" is a matrix of int8, which only a tile can read."""
    case = problem(n, d, n_classes, dtype, seed=seed, density=None if layout != "csr" else min(1.0, 12 / d))
    if layout == "bytes":
        return np.clip(case.X * 20, -100, 100).astype(np.int8), case
    return LAYOUTS[layout](case.X), case


# Scores


@every_dtype
@every_reduction
@every_multiclass_loss
def test_fused_is_separate(make, reduction, dtype):
    for n, n_classes in ((6, 2), (17, 3), (33, 10), (65, 17)):
        loss = make(n_classes)
        data = telling_scores(n, n_classes, dtype)
        by_class = np.linspace(0.5, 1.5, n_classes)
        for keywords in ({}, {"sample_weight": data.weights, "class_weight": by_class}):
            keywords = {"reduction": reduction, **keywords}
            value, grad = loss.value_and_grad(data.labels, data.scores, **keywords)
            assert bits(value) == bits(loss.value(data.labels, data.scores, **keywords))
            assert bits(value) == bits(loss(data.labels, data.scores, **keywords))
            assert bits(grad) == bits(loss.grad(data.labels, data.scores, **keywords))


@every_dtype
@few_multiclass_losses
@pytest.mark.parametrize("n_classes", [2, 5, 16, 33])
def test_a_row_depends_on_itself_alone(make, n_classes, dtype):
    """Its place, its neighbours and the number of rows change no bit; "sum" and "none" have the same slopes."""
    loss = make(n_classes)
    data = telling_scores(40, n_classes, dtype)
    values, grad = loss.value_and_grad(data.labels, data.scores, reduction="none")
    assert bits(loss.grad(data.labels, data.scores, reduction="sum")) == bits(grad)
    for n in range(41):
        for start in {0, 1, 40 - n}:
            part = slice(start, start + n)
            got = loss.value_and_grad(data.labels[part], data.scores[part], reduction="none")
            assert bits(got) == bits((values[part], grad[part]))


@every_dtype
@few_multiclass_losses
@pytest.mark.parametrize("n,n_classes", [(40_003, 10), (30_001, 2), (3_001, 100), (301, 1000)])
def test_any_number_of_threads_on_scores(make, n, n_classes, dtype):
    loss = make(n_classes)
    rng = np.random.default_rng([n, n_classes])
    scores = rng.standard_normal((n, n_classes)).astype(dtype)
    labels = rng.integers(0, n_classes, n).astype(np.int32)
    weights = rng.uniform(0, 2, n)
    for keywords in ({}, {"sample_weight": weights, "class_weight": np.linspace(0.5, 2, n_classes)}):
        for reduction in ("mean", "none"):
            results = [
                loss.value_and_grad(labels, scores, reduction=reduction, n_threads=n_threads, **keywords)
                for n_threads in (*THREADS, None)
            ]
            assert len({bits(result) for result in results}) == 1
            value, grad = results[0]
            assert bits(loss.value(labels, scores, reduction=reduction, n_threads=3, **keywords)) == bits(
                value
            )
            assert bits(loss.grad(labels, scores, reduction=reduction, n_threads=2, **keywords)) == bits(grad)


@every_dtype
@pytest.mark.parametrize("key", ["crammer_singer:hinge", "weston_watkins:squared_hinge", "top_2_alpha"])
def test_any_number_of_threads_on_a_hundred_thousand_classes(key, dtype):
    n_classes = 100_000
    loss = FEW[key](n_classes) if key in FEW else hf.TopKHinge(2)
    data = telling_scores(13, n_classes, dtype)
    results = {
        bits(loss.value_and_grad(data.labels, data.scores, sample_weight=data.weights, n_threads=n_threads))
        for n_threads in THREADS
    }
    assert len(results) == 1


@every_dtype
@pytest.mark.parametrize("key", ["crammer_singer:hinge", "weston_watkins:hinge"])
@pytest.mark.parametrize("n_classes", [2, 3, 10, 50, 1000, 100_003])
def test_long_gradients_are_those_of_their_parts(key, n_classes, dtype):
    """Beyond 12 MiB gradients are written past the caches: wherever they begin, and nothing beside them."""
    loss = hf.get_loss(key)
    n = (13 * 2**20) // (n_classes * np.dtype(dtype).itemsize) + 1
    rng = np.random.default_rng([n, n_classes])
    labels = rng.integers(0, n_classes, n)
    scores = rng.standard_normal((n, n_classes)).astype(dtype)
    cut = n // 3
    parts = [loss.grad(labels[at], scores[at], reduction="sum") for at in (slice(cut), slice(cut, n))]
    assert max(part.nbytes for part in parts) < 12 * 2**20
    for shift in (0, 1, 5):
        room = np.full(n * n_classes + 16, 7, dtype=dtype)
        out = room[shift : shift + n * n_classes].reshape(n, n_classes)
        for n_threads in (1, 3):
            out[:] = 9
            loss.grad(labels, scores, reduction="sum", out=out, n_threads=n_threads)
            assert bits(out[:cut]) == bits(parts[0])
            assert bits(out[cut:]) == bits(parts[1])
            assert (room[:shift] == 7).all()
            assert (room[shift + n * n_classes :] == 7).all()


@every_dtype
@few_multiclass_losses
def test_addresses_labels_and_layouts_do_not_matter(make, dtype):
    n, n_classes = 261, 11
    loss = make(n_classes)
    data = telling_scores(n, n_classes, dtype)
    want = bits(loss.value_and_grad(data.labels, data.scores))
    for shift in range(0, 17, 3):
        room = np.empty(n * n_classes + 17, dtype=dtype)
        scores = room[shift : shift + n * n_classes].reshape(n, n_classes)
        scores[:] = data.scores
        out = np.empty(n * n_classes + 17, dtype=dtype)[16 - shift :][: n * n_classes].reshape(n, n_classes)
        assert bits(loss.value_and_grad(data.labels.astype(np.int8), scores, out=out)) == want
    for change in (
        np.asfortranarray,
        misaligned,
        lambda a: np.repeat(a, 3, axis=0)[::3],
        lambda a: np.repeat(a, 3, axis=1)[:, ::3],
        lambda a: a.astype(a.dtype.newbyteorder()),
    ):
        for n_threads in (1, 3):
            got = loss.value_and_grad(
                strided(data.labels.astype(np.int16)), change(data.scores), n_threads=n_threads
            )
            assert bits(got) == want


# Linear


@few_multiclass_losses
@every_dtype
@every_layout
@pytest.mark.parametrize("n,d,n_classes", [(7, 3, 2), (130, 17, 5), (70, 40, 18)])
def test_fused_and_separate(make, dtype, layout, n, d, n_classes):
    loss = make(n_classes)
    X, case = make_X(layout, n, d, n_classes, dtype, 51)
    keywords = {"loss": loss, "alpha": 0.25, "sample_weight": case.weights, "classes": n_classes}
    objective = hf.Objective(X, case.y, **keywords)
    for theta_dtype in DTYPES:
        theta = objective.pack(case.coef, case.intercept).astype(theta_dtype)
        value, grad = objective.value_and_grad(theta)
        assert bits(objective.value(theta)) == bits(value)
        assert bits(objective.grad(theta)) == bits(grad)
        out = np.empty_like(theta)
        assert bits(objective(theta, out=out)) == bits(value, grad) and bits(out) == bits(grad)
        coef, intercept = objective.unpack(theta)
        direct = hf.linear_value_and_grad(X, case.y, coef, intercept, **keywords)
        assert bits(direct[0], direct[1].ravel(), direct[2]) == bits(
            value, grad[: n_classes * d], grad[n_classes * d :]
        )


@every_dtype
@every_layout
@pytest.mark.parametrize("n,d,n_classes", [(9, 3, 4), (12_000, 100, 10), (300, 4_000, 3), (2_500, 60, 100)])
def test_any_number_of_threads(dtype, layout, n, d, n_classes):
    """Several tasks of rows, of every layout."""
    if layout == "csr" and n > 10_000:
        X, y, coef, intercept = random_csr(n, 1_000, 50, n_classes, dtype, seed=52)
        weights = np.random.default_rng(1).uniform(0, 2, n)
    else:
        X, case = make_X(layout, n, d, n_classes, dtype, 52)
        y, coef, intercept, weights = case.y, case.coef, case.intercept, case.weights

    def answers(n_threads):
        keywords = {"sample_weight": weights, "n_threads": n_threads}
        scores = hf.decision_function(X, coef, intercept, n_threads=n_threads)
        results = [
            hf.linear_value_and_grad(X, y, coef, intercept, loss=loss, alpha=0.5, **keywords)
            for loss in ("crammer_singer", "weston_watkins:logistic")
        ]
        return bits(scores, *results)

    want = answers(1)
    for n_threads in (2, 3, 8, None):
        assert answers(n_threads) == want


@pytest.mark.parametrize("n_threads", [2, 8])
def test_again_and_again(n_threads):
    """No run differs from another: whatever threads do first, tasks are added in order."""
    X, y, coef, intercept = random_csr(20_000, 1_000, 40, 5, seed=53)

    def answer(n_threads):
        return bits(
            hf.linear_value_and_grad(X, y, coef, intercept, loss="crammer_singer", n_threads=n_threads)
        )

    want = answer(1)
    for _ in range(8):
        assert answer(n_threads) == want


@pytest.mark.parametrize("dtype", DTYPES, ids=["f32", "f64"])
@pytest.mark.parametrize("sparse_too", [False, True], ids=["dense", "csr"])
def test_gradients_beyond_the_memory_of_tasks(dtype, sparse_too):
    """More than 64 MiB of float64 for one gradient: one accumulator, and threads share classes or columns."""
    n_classes, d, n = 300, 30_000, 40
    assert n_classes * d * 8 > 64 * 2**20
    rng = np.random.default_rng(54)
    if sparse_too:
        X, y, coef, intercept = random_csr(2_500, d, 30, n_classes, dtype, seed=54)
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
    X, y, coef, intercept = random_csr(3_000, 30_000, 30, 8, seed=56)
    objective = hf.Objective(X, y, loss="crammer_singer:logistic", classes=8)
    for factor in np.linspace(0.5, 1.5, 20):
        theta = objective.pack(coef * factor, intercept)
        assert bits(objective.value(theta)) == bits(objective.value_and_grad(theta)[0]), factor


def test_everything_beyond_the_memory_of_tasks():
    """step, hessp, rows and faults, too, where one accumulator takes the rows in their order."""
    n_classes, d = 290, 30_000
    X, y, coef, intercept = random_csr(2_400, d, 30, n_classes, np.float32, seed=55)
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

BATTERY = """
import hashlib
import numpy as np
import hingefast as hf
from conftest import bits
from kinds import as_csr
from multiclass_cases import FEW, MULTICLASS, has_hessian, problem, random_csr, telling_scores

def line(name, *results):
    print(name.replace(" ", "_"), hashlib.sha256(bits(*results)).hexdigest())

assert hf.show_config(mode="dicts")["level"] == LEVEL
for dtype in (np.float32, np.float64):
    name = np.dtype(dtype).name
    info = np.finfo(dtype)
    for n_classes in (2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 65, 100, 1000):
        chosen = MULTICLASS if n_classes in (3, 17) else FEW
        for n in (6, 7, 9, 67):
            data = telling_scores(n, n_classes, dtype, seed=1)
            for key, make in chosen.items():
                results = [make(n_classes).value_and_grad(data.labels, data.scores, reduction=reduction,
                                                          sample_weight=weights)
                           for reduction, weights in (("mean", data.weights), ("none", None))]
                line(f"scores {key} {n} {n_classes} {name}", *results)
    edges = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0, info.smallest_subnormal, info.max,
                      40.0, -40.0, 1e-30, 700.0], dtype=dtype)
    rows = np.random.default_rng(0).choice(edges, (500, 6))
    for key, make in MULTICLASS.items():
        values, grad = make(6).value_and_grad(np.arange(500) % 6, rows, reduction="none")
        # What classes other than c and those of NaN get in a row of NaN is not specified.
        grad[np.isnan(values)] = np.where(np.isnan(rows[np.isnan(values)]), 0.0, 1.0)
        line(f"edges {key} {name}", values, grad)
    data = telling_scores(7, 100_000, dtype, seed=2)
    for key in ("crammer_singer:hinge", "weston_watkins:logistic", "one_vs_rest:squared_hinge"):
        line(f"scores {key} 100000 {name}", FEW[key](100_000).value_and_grad(data.labels, data.scores))
    for k in (2, 1000):
        line(f"top {k} {name}", hf.TopKHinge(k).value_and_grad(data.labels, data.scores))

    for n in (1, 2, 3, 4, 5, 7, 8, 9, 31, 63, 64, 65, 130):
        for d in (0, 1, 3, 7, 8, 9, 15, 16, 17, 33, 65, 257):
            for n_classes in (2, 3, 8, 9, 16, 17, 33):
                if (n + d + n_classes) % 3 and d > 0 and n > 1:
                    continue
                case = problem(n, d, n_classes, dtype, seed=3)
                layouts = {"dense": case.X, "fortran": np.asfortranarray(case.X), "csr": as_csr(case.X)}
                layouts["half"] = case.X.astype(np.float16)
                for layout, X in layouts.items():
                    results = [hf.decision_function(X, case.coef, case.intercept)]
                    for loss in ("crammer_singer", "weston_watkins:squared_hinge"):
                        results.append(hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, loss=loss))
                    line(f"{layout} {n} {d} {n_classes} {name}", *results)
    case = problem(900, 131, 12, dtype, seed=4)
    sparse, y, coef, intercept = random_csr(9_000, 1_000, 40, 12, dtype, seed=4)
    few = [hf.decision_function(sparse, coef, intercept, rows=rows) for rows in ([5], [8_999, 0, 7])]
    line(f"few rows {name}", *few)
    for d in (511, 512, 513, 1_030):
        wide = problem(9, d, 17, dtype, seed=5)
        line(f"wide {d} {name}", hf.decision_function(wide.X, wide.coef, wide.intercept))
    for key, make in MULTICLASS.items():
        if "narrow" in key:
            continue
        loss = make(12)
        line(f"dense {key} {name}", hf.linear_value_and_grad(
            case.X, case.y, case.coef, case.intercept, loss=loss, sample_weight=case.weights, alpha=0.5))
        if key in FEW:
            line(f"csr {key} {name}", hf.linear_value_and_grad(sparse, y, coef, intercept, loss=loss))
        for X in (case.X, as_csr(case.X)):
            objective = hf.Objective(X, case.y, loss=loss, alpha=0.1, classes=12)
            theta = objective.pack(case.coef, case.intercept)
            if has_hessian(loss):
                line(f"hessp {key} {name}", objective.hessp(theta, theta[::-1].copy()))
            line(f"step {key} {name}", objective.step(theta, 0.1), theta)
"""


@pytest.fixture(scope="module")
def battery_at_base():
    return run_at_level(LEVELS[0], f"LEVEL = {LEVELS[0]!r}\n{BATTERY}").decode().splitlines()


@pytest.mark.parametrize("level", LEVELS[1:])
def test_any_level(level, battery_at_base):
    assert len(battery_at_base) > 2000 and len({line.split()[-1] for line in battery_at_base}) > 1500
    got = run_at_level(level, f"LEVEL = {level!r}\n{BATTERY}").decode().splitlines()
    assert [a for a, b in zip(got, battery_at_base, strict=True) if a != b] == []


_FROM_ENVIRONMENT = """
import hashlib
import hingefast as hf
from conftest import bits
from multiclass_cases import random_csr
X, y, coef, intercept = random_csr(15_000, 1_000, 40, 4)
print(hashlib.sha256(bits(hf.linear_value_and_grad(X, y, coef, intercept, loss="crammer_singer"))).hexdigest())
"""


def test_threads_from_the_environment():
    digests = {
        run_python(_FROM_ENVIRONMENT, HINGEFAST_NUM_THREADS=ours, OMP_NUM_THREADS=None).stdout
        for ours in (None, "1", "3")
    }
    assert len(digests) == 1


# Parts


@every_dtype
@every_layout
def test_parts_add_up(layout, dtype):
    X, case = make_X(layout, 997, 40, 6, dtype, 58)
    keywords = {"loss": "weston_watkins:logistic", "reduction": "sum", "sample_weight": case.weights}
    coef = case.coef.astype(np.float64)
    whole = hf.linear_value_and_grad(X, case.y, coef, case.intercept, **keywords)
    order = np.random.default_rng(3).permutation(997)
    cuts = np.sort(np.random.default_rng(4).choice(997, 10, replace=False))
    parts = [
        hf.linear_value_and_grad(X, case.y, coef, case.intercept, rows=part, **keywords)
        for part in np.split(order, cuts)
    ]
    tolerance = 1e-5 if dtype is np.float32 or layout == "bytes" else 1e-11
    assert sum(part[0] for part in parts) == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(sum(p[1] for p in parts), whole[1], rtol=tolerance, atol=100 * tolerance)


@every_dtype
@every_layout
@pytest.mark.parametrize("n_classes", [3, 16, 21])
def test_a_score_depends_on_its_row_alone(layout, dtype, n_classes):
    """Wherever a row stands, and whatever stands beside it: position in groups and tails changes no bit."""
    X, case = make_X(layout, 41, 19, n_classes, dtype, 60)
    scores = hf.decision_function(X, case.coef, case.intercept)
    for row in range(41):
        alone = hf.decision_function(X, case.coef, case.intercept, rows=[row])
        assert bits(alone) == bits(scores[row : row + 1])


@every_dtype
@pytest.mark.parametrize("n_classes", [3, 17, 40])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_few_rows_of_wide_data_have_the_bits_of_many(dtype, n_classes, index_dtype):
    """However coef is brought into reach: of a few rows as it is, of many rows in a copy."""
    d = 6_000
    X, _, coef, intercept = random_csr(2_000, d, 30, n_classes, dtype, seed=61, index_dtype=index_dtype)
    for coef_dtype in DTYPES:
        given = coef.astype(coef_dtype)
        scores = hf.decision_function(X, given, intercept)
        for rows in ([7], [1_999, 3], slice(0, 17), np.arange(300)):
            got = hf.decision_function(X, given, intercept, rows=rows)
            assert bits(got) == bits(scores[rows])
