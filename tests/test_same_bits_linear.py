"""Promise: the same bits for any number of threads and any level, fused or separate, whole or in parts."""

from itertools import pairwise

import numpy as np
import pytest
from conftest import DTYPES, LEVELS, THREADS, bits, every_dtype, run_at_level
from kinds import as_csr, every_default_loss, namespace, problem, random_csr

import hingefast as hf

LAYOUTS = {"dense": np.asarray, "fortran": np.asfortranarray, "bytes": None, "csr": as_csr}


def make(layout, n, d, dtype, seed):
    """(X, problem): "bytes" is a matrix of int8, which only a tile can read."""
    case = problem(n, d, dtype, seed=seed, density=None if layout != "csr" else min(1.0, 12 / d))
    if layout == "bytes":
        return np.clip(case.X * 20, -100, 100).astype(np.int8), case
    return LAYOUTS[layout](case.X), case


@every_default_loss
@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n,d", [(7, 3), (130, 17), (3000, 400)])
def test_fused_and_separate(loss, dtype, layout, n, d):
    if n > 1000 and loss != hf.Hinge() and loss != hf.SquaredHinge():
        pytest.skip("several tasks know nothing of the loss: two losses are enough")
    X, case = make(layout, n, d, dtype, 51)
    keywords = {"loss": loss, "alpha": 0.25, "sample_weight": case.weights}
    objective = hf.Objective(X, case.y, **keywords)
    for theta_dtype in DTYPES:
        theta = objective.pack(case.coef, case.intercept).astype(theta_dtype)
        value, grad = objective.value_and_grad(theta)
        assert bits(objective.value(theta)) == bits(value)
        assert bits(objective.grad(theta)) == bits(grad)
        assert bits(objective(theta)) == bits(value, grad)
        out = np.empty_like(theta)
        assert bits(objective.value_and_grad(theta, out=out)) == bits(value, grad)
        coef, intercept = theta[:-1], float(theta[-1])
        direct = hf.linear_value_and_grad(X, case.y, coef, intercept, **keywords)
        assert bits(direct[0], direct[1]) == bits(value, grad[:-1])
        assert theta_dtype(direct[2]) == grad[-1]


@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n,d", [(9, 3), (12_000, 200), (300, 6_000)])
def test_any_number_of_threads(dtype, layout, n, d):
    X, case = make(layout, n, d, dtype, 52)
    if layout == "csr" and n > 10_000:
        X, y, coef, intercept = random_csr(25_000, 1_000, 40, dtype, seed=52)
        case.y, case.coef, case.intercept = y, coef, intercept
        case.weights = np.random.default_rng(1).uniform(0, 2, 25_000)

    def answers(n_threads):
        keywords = {"sample_weight": case.weights, "n_threads": n_threads}
        return bits(
            hf.decision_function(X, case.coef, case.intercept, n_threads=n_threads),
            hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, **keywords),
            hf.linear_value_and_grad(
                X, case.y, case.coef, case.intercept, loss="logistic", alpha=0.5, **keywords
            ),
        )

    want = answers(1)
    for n_threads in (*THREADS, 64, -1, None):
        assert answers(n_threads) == want


@pytest.mark.parametrize("n_threads", [1, 2, 8])
def test_again_and_again(n_threads):
    """No run differs from another: whatever threads do first, tasks are added in order."""
    X, y, coef, intercept = random_csr(40_000, 1_000, 40, seed=53)
    want = bits(hf.linear_value_and_grad(X, y, coef, intercept, n_threads=1))
    for _ in range(15):
        assert bits(hf.linear_value_and_grad(X, y, coef, intercept, n_threads=n_threads)) == want


BATTERY = """
import hashlib
import numpy as np
import hingefast as hf
from conftest import bits
from kinds import as_csr, problem, random_csr

def line(name, *results):
    print(name, hashlib.sha256(bits(*results)).hexdigest())

assert hf.show_config(mode="dicts")["level"] == LEVEL
for dtype in (np.float32, np.float64):
    for n in (1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 31, 63, 64, 65, 130):
        for d in (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 100, 257):
            case = problem(n, d, dtype, seed=54)
            layouts = {"dense": case.X, "fortran": np.asfortranarray(case.X), "csr": as_csr(case.X)}
            layouts["half"] = case.X.astype(np.float16)
            for name, X in layouts.items():
                results = [hf.decision_function(X, case.coef, case.intercept)]
                for loss in ("hinge", "squared_hinge"):
                    results.append(hf.linear_value_and_grad(X, case.y, case.coef, case.intercept, loss=loss))
                line(f"{name} {n} {d} {np.dtype(dtype)}", *results)
    case = problem(3000, 431, dtype, seed=55)
    sparse, y, coef, intercept = random_csr(30_000, 1_000, 30, dtype, seed=55)
    weights = np.random.default_rng(1).uniform(0, 2, 30_000)
    for loss in hf.losses.MARGIN_LOSSES:
        dense = hf.linear_value_and_grad(case.X, case.y, case.coef, case.intercept, loss=loss,
                                         sample_weight=case.weights, alpha=0.5)
        line(f"dense {loss}", dense)
        keywords = {"loss": loss, "sample_weight": weights}
        line(f"csr {loss}", hf.linear_value_and_grad(sparse, y, coef, intercept, **keywords))
        objective = hf.Objective(case.X, case.y, loss=loss, alpha=0.1)
        theta = objective.pack(case.coef, case.intercept)
        line(f"objective {loss}", objective.value_and_grad(theta), objective.step(theta, 0.1), theta)
        try:
            line(f"hessp {loss}", objective.hessp(theta, theta[::-1].copy()))
        except ValueError:
            print("hessp", loss, "none")
"""


@pytest.fixture(scope="module")
def battery_at_base():
    return run_at_level(LEVELS[0], f"LEVEL = {LEVELS[0]!r}\n{BATTERY}").decode().splitlines()


@pytest.mark.parametrize("level", LEVELS[1:])
def test_any_level(level, battery_at_base):
    assert len(battery_at_base) > 2000 and len({line.split()[-1] for line in battery_at_base}) > 1000
    got = run_at_level(level, f"LEVEL = {level!r}\n{BATTERY}").decode().splitlines()
    assert [a for a, b in zip(got, battery_at_base, strict=True) if a != b] == []


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
    """A CSR task is as many whole rows as fit into max(2^18, 8·d) nonzeros."""
    per_row = 50
    X, y, coef, _ = random_csr(25_000, 1_000, per_row, dtype, seed=57)
    coef = coef.astype(np.float64)
    rows_per_task = 2**18 // per_row
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


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_any_parts_add_up(layout):
    X, case = make(layout, 997, 40, np.float64, 58)
    keywords = {"loss": "logistic", "reduction": "sum", "sample_weight": case.weights}
    whole = hf.linear_value_and_grad(X, case.y, case.coef, **keywords)
    order = np.random.default_rng(3).permutation(997)
    cuts = np.sort(np.random.default_rng(4).choice(997, 10, replace=False))
    total = added(
        hf.linear_value_and_grad(X, case.y, case.coef, rows=part, **keywords)
        for part in np.split(order, cuts)
    )
    assert total[0] == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(total[1], whole[1], rtol=1e-9, atol=1e-10)
    assert total[2] == pytest.approx(whole[2], rel=1e-9, abs=1e-10)


def test_the_order_of_rows_changes_roundings_only():
    case = problem(500, 20, seed=59)
    order = np.random.default_rng(5).permutation(500)
    a = hf.linear_value_and_grad(case.X, case.y, case.coef)
    b = hf.linear_value_and_grad(case.X[order], case.y[order], case.coef)
    assert a[0] == pytest.approx(b[0], rel=1e-13)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-10, atol=1e-13)


@every_dtype
@pytest.mark.parametrize("layout", ["dense", "fortran", "csr"])
def test_a_score_depends_on_its_row_alone(layout, dtype):
    """Wherever a row stands, and whatever stands beside it: position in groups and tails changes no bit."""
    X, case = make(layout, 70, 19, dtype, 60)
    scores = hf.decision_function(X, case.coef, case.intercept)
    for row in range(70):
        assert bits(hf.decision_function(X, case.coef, case.intercept, rows=[row])) == bits(
            scores[row : row + 1]
        )
