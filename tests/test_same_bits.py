"""On scores: the same bits from fused and separate calls, on any threads, at any level, from any layout."""

import hashlib
import math

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
    run_at_level,
    run_python,
    strided,
)
from kinds import (
    FEW,
    WHOLE_CATALOGUE,
    both_kinds,
    every_default_loss,
    every_way,
    telling_scores,
    whole_catalogue,
)

import hingefast as hf

pytestmark = [pytest.mark.clang, pytest.mark.arm64]

LARGE = 300_007  # several tasks, and a tail in every lane width
WEIGHTINGS = ("none", "sample_weight", "class_weight", "both")


def weighting(form, kind, weights):
    chosen = {}
    if form in ("sample_weight", "both"):
        chosen["sample_weight"] = weights * (np.arange(weights.size) % 5 > 0)
    if form in ("class_weight", "both"):
        chosen["class_weight"] = np.linspace(0.3, 1.7, len(kind.labels))
    return chosen


@every_dtype
@every_reduction
@whole_catalogue
def test_fused_is_separate(kind, reduction, dtype):
    sizes = [(n, None) for n in (*range(16, 50), 257, 1000, 4099)]
    for n, K in sizes if kind.binary else ((6, 2), (17, 3), (33, 10), (65, 17)):
        (of_K,) = kind.of(K)
        loss, data = of_K.loss, of_K.scores(n, dtype)
        for form in WEIGHTINGS if n in (17, 33, 1000) else ("none",):
            keywords = {"reduction": reduction, **weighting(form, of_K, data.weights)}
            value, grad = loss.value_and_grad(data.y, data.scores, **keywords)
            assert bits(value) == bits(loss.value(data.y, data.scores, **keywords))
            assert bits(value) == bits(loss(data.y, data.scores, **keywords))
            assert bits(grad) == bits(loss.grad(data.y, data.scores, **keywords))


@every_dtype
@every_way
def test_a_row_depends_on_itself_alone(kind, dtype):
    """Its place, its neighbours and the number of rows change no bit; "sum" and "none" have the same slopes."""
    most = 70 if kind.binary else 40
    for of_K in kind.of(2, 5, 16, 33):
        loss, data = of_K.loss, of_K.scores(most, dtype)
        values, grad = loss.value_and_grad(data.y, data.scores, reduction="none")
        for n in range(most + 1):
            for start in {0, 1, most - n}:
                part = slice(start, start + n)
                got = loss.value_and_grad(data.y[part], data.scores[part], reduction="none")
                assert bits(got) == bits((values[part], grad[part]))


@every_dtype
@every_way
def test_sum_and_none_have_the_same_slopes(kind, dtype):
    data = kind.scores(1003 if kind.binary else 203, dtype)
    for form in WEIGHTINGS:
        chosen = weighting(form, kind, data.weights)
        one, other = (
            kind.loss.grad(data.y, data.scores, reduction=each, **chosen) for each in ("sum", "none")
        )
        assert bits(one) == bits(other)


def random_scores(kind, n, dtype):
    rng = np.random.default_rng([n, len(kind.labels)])
    scores = rng.standard_normal((n, *kind.shape)).astype(dtype)
    y = kind.labels[rng.integers(0, len(kind.labels), n)].astype(np.int32)
    return y, scores, rng.uniform(0, 2, n)


@every_dtype
@every_way
def test_any_number_of_threads(kind, dtype):
    sizes = [(40_003, 10), (30_001, 2), (3_001, 100), (301, 1000)]
    for n, K in [(LARGE, None)] if kind.binary else sizes:
        (of_K,) = kind.of(K)
        loss = of_K.loss
        y, scores, weights = random_scores(of_K, n, dtype)
        for form in WEIGHTINGS if kind.binary else ("none", "both"):
            chosen = weighting(form, of_K, weights)
            for reduction in ("mean", "none"):
                chosen["reduction"] = reduction
                results = [
                    loss.value_and_grad(y, scores, n_threads=n_threads, **chosen)
                    for n_threads in (*THREADS, None)
                ]
                assert len({bits(result) for result in results}) == 1
                value, grad = results[0]
                for n_threads in (1, 3):
                    assert bits(loss.value(y, scores, n_threads=n_threads, **chosen)) == bits(value)
                    assert bits(loss.grad(y, scores, n_threads=n_threads, **chosen)) == bits(grad)


@every_dtype
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_any_number_of_threads_where_a_row_is_a_few_operations(loss, dtype):
    """Such a call is shared out from 3 MiB of scores on only."""
    data = telling_scores(3 * LARGE, dtype)
    results = [
        hf.get_loss(loss).value_and_grad(data.y, data.scores, reduction="sum", n_threads=n) for n in THREADS
    ]
    assert len({bits(result) for result in results}) == 1
    assert results[0][0] == pytest.approx(
        math.fsum(hf.get_loss(loss).value(data.y, data.scores, reduction="none"))
    )


@every_dtype
@pytest.mark.parametrize("key", ["crammer_singer:hinge", "weston_watkins:squared_hinge", "top_2_alpha"])
def test_any_number_of_threads_on_a_hundred_thousand_classes(key, dtype):
    (kind,) = FEW[key].of(100_000)
    data = kind.scores(13, dtype)
    results = {
        bits(kind.loss.value_and_grad(data.y, data.scores, sample_weight=data.weights, n_threads=n_threads))
        for n_threads in THREADS
    }
    assert len(results) == 1


@every_dtype
@pytest.mark.parametrize("n_classes", [2, 3, 10, 16, 50, 64, 100, 1000, 100_003])
def test_long_gradients_are_those_of_their_parts(n_classes, dtype):
    """Beyond 12 MiB gradients are written past the caches: wherever they begin, and nothing beside them."""
    n = (13 * 2**20) // (n_classes * np.dtype(dtype).itemsize) + 1
    rng = np.random.default_rng([n, n_classes])
    labels = rng.integers(0, n_classes, n)
    scores = rng.standard_normal((n, n_classes)).astype(dtype)
    cut = n // 3
    for key, shifts in (
        ("crammer_singer:hinge", (0, 1, 5)),
        ("weston_watkins:hinge", (0, 5)),
        ("weston_watkins:squared_hinge", (1,)),
    ):
        loss = hf.get_loss(key)
        parts = [loss.grad(labels[at], scores[at], reduction="sum") for at in (slice(cut), slice(cut, n))]
        assert max(part.nbytes for part in parts) < 12 * 2**20
        for shift in shifts:
            room = np.full(n * n_classes + 16, 7, dtype=dtype)
            out = room[shift : shift + n * n_classes].reshape(n, n_classes)
            for n_threads in (1, 3):
                out[:] = 9
                loss.grad(labels, scores, reduction="sum", out=out, n_threads=n_threads)
                assert bits(out[:cut]) == bits(parts[0])
                assert bits(out[cut:]) == bits(parts[1])
                assert (room[:shift] == 7).all()
                assert (room[shift + n * n_classes :] == 7).all()


_FROM_ENVIRONMENT = """
import hashlib
import hingefast as hf
from conftest import bits
from kinds import KINDS
from test_same_bits import random_scores
for key, n in (("logistic", 300_007), ("crammer_singer:hinge", 60_000)):
    kind = KINDS[key]
    y, scores, _ = random_scores(kind, n, float)
    print(hashlib.sha256(bits(kind.loss.value_and_grad(y, scores))).hexdigest())
    X, y, coef, intercept = kind.random_csr(15_000, 1_000, 40)
    print(hashlib.sha256(bits(hf.linear_value_and_grad(X, y, coef, intercept, loss=kind.loss))).hexdigest())
"""


def test_threads_from_the_environment():
    digests = {
        run_python(_FROM_ENVIRONMENT, HINGEFAST_NUM_THREADS=ours, OMP_NUM_THREADS=theirs).stdout
        for ours, theirs in ((None, None), ("1", None), ("3", "1"), (None, "2"))
    }
    assert len(digests) == 1


# Levels


def line(name, *results):
    print(name.replace(" ", "_"), hashlib.sha256(bits(*results)).hexdigest())


def edge_scores(dtype, n, n_columns):
    """Rows of numbers at which formulas take other ways."""
    info = np.finfo(dtype)
    edges = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0, info.smallest_subnormal, info.max, info.min]
    edges = np.array([*edges, 40.0, -40.0, 100.0, -100.0, 1e-30, 700.0], dtype=dtype)
    return edges if n_columns is None else np.random.default_rng(0).choice(edges, (n, n_columns))


def battery(level):
    """Prints a name and a hash for results of every loss, size and weighting."""
    assert hf.show_config(mode="dicts")["level"] == level
    for dtype in DTYPES:
        name = np.dtype(dtype).name
        for key, kind in WHOLE_CATALOGUE.items():
            if kind.binary:
                battery_of_one_score(key, kind, dtype)
        for K in (2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 65, 100, 1000):
            chosen = WHOLE_CATALOGUE if K in (3, 17) else FEW
            for n in (6, 7, 9, 67):
                data = telling_scores(n, dtype, 1, n_classes=K)
                for key, kind in chosen.items():
                    if not kind.binary:
                        keywords = {"reduction": "mean", "sample_weight": data.weights}, {"reduction": "none"}
                        loss = kind.make(K)
                        results = [loss.value_and_grad(data.y, data.scores, **each) for each in keywords]
                        line(f"scores {key} {n} {K} {name}", *results)
        rows = edge_scores(dtype, 500, 6)
        for key, kind in WHOLE_CATALOGUE.items():
            if not kind.binary:
                values, grad = kind.make(6).value_and_grad(np.arange(500) % 6, rows, reduction="none")
                # What classes other than c and those of NaN get in a row of NaN is not specified.
                grad[np.isnan(values)] = np.where(np.isnan(rows[np.isnan(values)]), 0.0, 1.0)
                line(f"edges {key} {name}", values, grad)
        data = telling_scores(7, dtype, 2, n_classes=100_000)
        for key in ("crammer_singer:hinge", "weston_watkins:logistic", "one_vs_rest:squared_hinge"):
            line(f"scores {key} 100000 {name}", FEW[key].make(100_000).value_and_grad(data.y, data.scores))
        for k in (2, 1000):
            line(f"top {k} {name}", hf.TopKHinge(k).value_and_grad(data.y, data.scores))


def battery_of_one_score(key, kind, dtype):
    loss, name = kind.loss, np.dtype(dtype).name
    for n in (*range(16, 66, 3), 4099, LARGE):
        if n == LARGE and "-" in key:
            continue
        y, scores, weights = random_scores(kind, n, dtype)
        results = []
        for form in WEIGHTINGS if n == 4099 else ("none", "both"):
            chosen = weighting(form, kind, weights)
            reductions = ("mean", "none") if n == LARGE else ("mean", "sum", "none")
            results += [loss.value_and_grad(y, scores, reduction=each, **chosen) for each in reductions]
        line(f"scores {key} {n} {name}", *results)
    edges = edge_scores(dtype, 0, None)
    results = [loss.value_and_grad(np.full(edges.size, c), edges, reduction="none") for c in (-1, 1)]
    line(f"edges {key} {name}", *results)


@pytest.fixture(scope="module")
def battery_at():
    """What the battery prints at a level, as lines."""

    def lines(level):
        code = f"from test_same_bits import battery; battery({level!r})"
        return run_at_level(level, code).decode().splitlines()

    at_base = lines(LEVELS[0])
    return lambda level: at_base if level == LEVELS[0] else lines(level)


@pytest.mark.parametrize("level", LEVELS[1:])
def test_any_level(level, battery_at):
    base, got = battery_at(LEVELS[0]), battery_at(level)
    assert len(base) > 2000 and len({each.split()[-1] for each in base}) > 1500
    assert [a for a, b in zip(got, base, strict=True) if a != b] == []


def test_unknown_and_unsupported_levels_are_import_errors():
    unsupported = {"x86_v3", "x86_v4", "neon", "nonsense", "BASE", ""} - set(LEVELS)
    for level in unsupported:
        done = run_python("import hingefast", check=False, HINGEFAST_LEVEL=level)
        if level == "" and done.returncode == 0:
            continue  # an empty variable may count as none
        assert done.returncode != 0, level
        assert b"ImportError" in done.stderr, level
        assert b"HINGEFAST_LEVEL" in done.stderr, level


# Layouts and addresses


@every_dtype
@every_way
def test_layout_and_dtype_of_inputs(kind, dtype):
    n = 2051 if kind.binary else 261
    (kind,) = kind.of(11)
    data, loss = kind.scores(n, dtype), kind.loss
    want = bits(loss.value_and_grad(data.y, data.scores, sample_weight=data.weights))

    def check(y, z, w=data.weights, **more):
        assert bits(loss.value_and_grad(y, z, sample_weight=w, **more)) == want

    for label_dtype in ("int8", "int16", "int32", "int64", "float16", "float32", "float64", ">i4", ">f8"):
        check(data.y.astype(label_dtype), data.scores)
    if kind.binary:
        for label_dtype in (bool, np.uint8, np.uint16, np.uint32, np.uint64):
            check((data.y > 0).astype(label_dtype), data.scores, classes=(0, 1))
        check(data.y > 0, data.scores)
    for change in (
        lambda a: np.repeat(a, 3, axis=0)[::3],
        lambda a: np.repeat(a, 3, axis=-1)[..., ::3],
        misaligned,
        np.asfortranarray,
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
    ):
        check(change(data.y), data.scores)
        check(data.y, change(data.scores))
        check(data.y, data.scores, change(data.weights))
        for n_threads in (1, 3):
            floats, z, w = change(data.y.astype(np.float64)), change(data.scores), change(data.weights)
            check(floats, z, w, n_threads=n_threads)


@every_dtype
def test_layout_in_large_data(dtype):
    """Across tasks, too: what is converted piece by piece counts its lanes by element, not by piece."""
    data = telling_scores(LARGE, dtype)
    loss = hf.LogisticLoss()
    want = bits(loss.value_and_grad(data.y, data.scores))
    for change in (strided, misaligned, lambda a: a.astype(a.dtype.newbyteorder())):
        for n_threads in (1, 3):
            got = loss.value_and_grad(
                change(data.y.astype(np.int16)), change(data.scores), n_threads=n_threads
            )
            assert bits(got) == want


@every_dtype
@every_way
def test_address_does_not_matter(kind, dtype):
    (kind,) = kind.of(11)
    n = 333 if kind.binary else 61
    data, size = kind.scores(n, dtype), n * (kind.n_classes or 1)
    results = set()
    for shift in range(17):
        room, labels = np.empty(size + 17, dtype=dtype), np.empty(n + 17, np.int8)[shift : shift + n]
        scores = room[shift : shift + size].reshape(data.scores.shape)
        out = np.empty(size + 17, dtype=dtype)[16 - shift :][:size].reshape(data.scores.shape)
        scores[:], labels[:] = data.scores, data.y
        results.add(bits(kind.loss.value_and_grad(labels, scores, out=out)))
    assert len(results) == 1


@every_dtype
def test_address_of_a_large_weighted_gradient_does_not_matter(dtype):
    """Beyond 12 MiB it is written past the caches, from a cache line on: lanes are counted by row all the same."""
    n = 13 * 2**20 // np.dtype(dtype).itemsize
    data, loss = telling_scores(n, dtype), hf.Hinge()
    weights = data.weights.copy()
    weights[[7, 40_000, 300_000, n // 2]] = 2.0**53  # what is added to their lanes later is lost
    want = loss.value(data.y, data.scores, sample_weight=weights)
    room = np.empty(n + 32, dtype)
    first = -room.ctypes.data % 64 // room.itemsize
    grads = set()
    for shift in range(0, 64 // room.itemsize, 3):
        out = room[first + shift : first + shift + n]
        value, _ = loss.value_and_grad(data.y, data.scores, sample_weight=weights, out=out)
        assert bits(value) == bits(want), shift
        grads.add(bits(out[::97]))
    assert len(grads) == 1


@both_kinds
def test_repeated_calls(kind):
    y, scores, _ = random_scores(kind, LARGE if kind.binary else 60_000, np.float64)
    assert len({bits(kind.loss.value_and_grad(y, scores, n_threads=2)) for _ in range(10)}) == 1


@every_dtype
@every_default_loss
def test_sums_are_additive(loss, dtype):
    """Values are added in float64, whatever the dtype: parts, rows and any order agree within n eps of
    the sum.
    """
    data = telling_scores(20_011, dtype)
    n = data.y.size
    total = loss(data.y, data.scores, reduction="sum")
    allowed = n * np.finfo(np.float64).eps * total
    parts = [
        loss(data.y[a : a + 1777], data.scores[a : a + 1777], reduction="sum") for a in range(0, n, 1777)
    ]
    assert abs(math.fsum(parts) - total) <= allowed
    rows = loss(data.y, data.scores, reduction="none")
    assert abs(math.fsum(rows.tolist()) - total) <= allowed
    order = np.random.default_rng(0).permutation(n)
    assert abs(loss(data.y[order], data.scores[order], reduction="sum") - total) <= allowed
    assert abs(loss(data.y, data.scores) * n - total) <= 2 * allowed
    grad = loss.grad(data.y, data.scores, reduction="sum")
    assert bits(loss.grad(data.y[order], data.scores[order], reduction="sum")) == bits(grad[order])
