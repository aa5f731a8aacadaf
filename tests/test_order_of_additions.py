"""Promise: sums are made in one documented order, at every level and for any number of threads: rows in sixteen lanes
by their place in the task, lanes merged by halves, tasks one after the other; gradients receive rows in row order.

All levels and threads share that order, so comparing them with one another cannot show a change of it. Here it is
written out from `_loops/README.md`, and the bits are compared. A change of a task's size changes bits, too: streaming
and distributed sums rely on them.
"""

import numpy as np
import pytest
from conftest import bits, every_dtype, strided
from kinds import namespace

import hingefast as hf

pytestmark = [pytest.mark.sanitizer, pytest.mark.arm64]

LANES = 16
LINE_BYTES = 64
SCORE_TASK_ROWS = 65536  # of a call on the scores of one margin
CHUNK = 64  # rows whose float32 gradients are summed in float32
STRETCH = 256  # features whose products with K classes are summed before they join the score


# The order, written out


def merged(lanes):
    """The sum of lanes by halves: lane i and lane i + 8 first, then i and i + 4, and so on; over the last axis."""
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def in_lanes(numbers, n_lanes=LANES):
    """The sum of numbers in lanes by their place, over the last axis."""
    n = numbers.shape[-1]
    if n == 0:
        return np.zeros(numbers.shape[:-1], numbers.dtype)
    # What is added to a lane without a number is +0, which changes no sum that is not -0.
    padded = np.zeros((*numbers.shape[:-1], -(-n // n_lanes) * n_lanes), numbers.dtype)
    padded[..., :n] = numbers
    lanes = np.zeros((*numbers.shape[:-1], n_lanes), numbers.dtype)
    for first in range(0, n, n_lanes):
        lanes = lanes + padded[..., first : first + n_lanes]
    return merged(lanes)


def one_by_one(terms):
    """The sum over the first axis, in order."""
    total = np.zeros(terms.shape[1:], terms.dtype)
    for term in terms:
        total = total + term
    return total


def in_tasks(numbers, ends):
    """The sum of the tasks' sums, in task order."""
    numbers = numbers.astype(np.float64)
    return one_by_one(np.array([in_lanes(part) for part in np.split(numbers, ends[:-1])]))


def dense_ends(n, d, n_classes=1):
    """Where the tasks of dense X end."""
    rows = min(max(2**20 // (CHUNK * max(d, 1)), 1) * CHUNK, 65536)
    rows = max(rows, 512) if n_classes > 1 else rows
    return np.minimum(np.arange(rows, n + rows, rows), n)


def csr_ends(indptr, d):
    """As many rows as hold at most so many entries, at least one and at most 32768, or one a column up to 65536."""
    limit, ends, first, n = max(2**16, 8 * d), [], 0, len(indptr) - 1
    most = min(max(d, 2**15), 2**16)
    while first < n:
        end = int(np.searchsorted(indptr, indptr[first] + limit, side="right")) - 1
        first = min(max(end, first + 1), first + most, n)
        ends.append(first)
    return np.array(ends)


def class_score_task_rows(n_classes, itemsize):
    """Rows of a task of a call on the scores of K classes: whole blocks of about 4 KB of scores."""
    rows = min(max(4096 // (n_classes * itemsize), 1), 512)
    rows -= rows % LANES if n_classes < LANES else 0
    return max(2**18 // (n_classes * rows), 1) * rows


def sizes(n, dtype, seed, usual=(1.0,)):
    """The `usual` sizes of rows, but 2^53 in four places: what other rows add to a lane depends on whether they come
    before or after such a row, and on the lane.
    """
    rng = np.random.default_rng([n, seed])
    scale = rng.choice(usual, n)
    scale[rng.integers(0, n, 4)] = 2.0**53
    return scale.astype(dtype)


def tells(numbers, ends, cut=None):
    """Whether the sum shows the lanes, where tasks end, and their order (of two there is none), and whether lanes are
    counted anew from `cut` on.
    """
    numbers = numbers.astype(np.float64)
    tasks = np.array([in_lanes(part) for part in np.split(numbers, ends[:-1])])
    others = [in_lanes(numbers, 8), one_by_one(numbers)]
    if len(ends) > 1:
        others.append(in_lanes(numbers))
    if len(ends) > 2:
        others.append(one_by_one(tasks[::-1]))
    if cut is not None:
        place = np.arange(ends[0])
        lanes = np.zeros(LANES)
        np.add.at(lanes, np.where(place < cut, place, place - cut) % LANES, numbers[: ends[0]])
        others.append(one_by_one(np.array([merged(lanes), *tasks[1:]])))
    return one_by_one(tasks) not in others


def first_telling(make):
    """What make(seed) returns for the first seed that tells: whether it does comes last."""
    for seed in range(200):
        *case, is_telling = make(seed)
        if is_telling:
            return case
    raise AssertionError("no telling problem in 200 attempts")


# Values of scores


@every_dtype
@pytest.mark.parametrize("form", ["in place", "strided", "weighted"])
def test_values_of_scores(form, dtype):
    n = 3 * SCORE_TASK_ROWS + 1_003
    loss = hf.Hinge()
    y = np.where(np.random.default_rng(1).random(n) < 0.5, -1, 1).astype(np.int8)

    normal = np.random.default_rng(2).standard_normal(n).astype(dtype)

    def make(seed):
        scores = normal * sizes(n, dtype, seed)
        values = loss.value(y, scores, reduction="none")
        return scores, values, tells(values, ends)

    ends = np.append(np.arange(1, 4) * SCORE_TASK_ROWS, n)
    scores, values = first_telling(make)
    keywords = {"reduction": "sum"}
    if form == "strided":
        y, scores = strided(y), strided(scores)
    if form == "weighted":
        keywords["sample_weight"] = np.ones(n, np.float32)
    for n_threads in (1, 2):
        assert bits(loss.value(y, scores, n_threads=n_threads, **keywords)) == bits(in_tasks(values, ends))
        got = loss.value_and_grad(y, scores, n_threads=n_threads, **keywords)
        assert bits(got[0]) == bits(in_tasks(values, ends))


@every_dtype
@pytest.mark.parametrize("n_classes", [2, 7, 16, 20, 33, 300])
def test_values_of_scores_of_classes(n_classes, dtype):
    task = class_score_task_rows(n_classes, np.dtype(dtype).itemsize)
    n = 3 * task + task // 3 + 5
    loss = hf.CrammerSinger()
    y = np.random.default_rng(1).integers(0, n_classes, n)

    normal = np.random.default_rng(2).standard_normal((n, n_classes)).astype(dtype)

    def make(seed):
        scores = normal * sizes(n, dtype, seed)[:, None]
        values = loss.value(y, scores, reduction="none")
        return scores, values, tells(values, ends)

    ends = np.append(np.arange(1, 4) * task, n)
    scores, values = first_telling(make)
    want = bits(in_tasks(values, ends))
    for n_threads in (1, 2):
        assert bits(loss.value(y, scores, reduction="sum", n_threads=n_threads)) == want
    assert bits(loss.value_and_grad(y, scores, reduction="sum")[0]) == want
    assert bits(loss.value(y, np.repeat(scores, 2, axis=0)[::2], reduction="sum")) == want
    assert bits(loss.value(y, scores, reduction="sum", sample_weight=np.ones(n))) == want


# Values, gradients and scores of linear models


def dense_rows(n, d, dtype, order="C"):
    return np.array(np.random.default_rng([n, d]).standard_normal((n, d)), dtype, order=order)


def csr_rows(lengths, d, dtype):
    """Rows of these lengths; columns in any order, some twice."""
    rng = np.random.default_rng([len(lengths), d])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    data = rng.standard_normal(indptr[-1]).astype(dtype)
    return namespace(indptr, rng.integers(0, d, indptr[-1]), data, (len(lengths), d))


def scaled(X, scale):
    """X with each row multiplied by a power of two, so that scores without an intercept are multiplied exactly."""
    if isinstance(X, np.ndarray):
        return np.array(X * scale[:, None], X.dtype, order="F" if X.flags.f_contiguous else "C")
    return namespace(X.indptr, X.indices, X.data * np.repeat(scale, np.diff(X.indptr)), X.shape)


def columns_and_entries(X):
    """(n, L) of each: what the rows store, filled up with zeros, which change no sum."""
    if isinstance(X, np.ndarray):
        return np.broadcast_to(np.arange(X.shape[1]), X.shape), X
    lengths = np.diff(X.indptr)
    stored = np.arange(lengths.max()) < lengths[:, None]
    columns, entries = np.zeros(stored.shape, np.int64), np.zeros(stored.shape, X.data.dtype)
    columns[stored], entries[stored] = X.indices, X.data
    return columns, entries


def products(X, coef):
    """One class: products by the column's place in lanes of a line of 64 bytes, or by the entry's place in eight."""
    columns, entries = columns_and_entries(X)
    n_lanes = LINE_BYTES // coef.dtype.itemsize if isinstance(X, np.ndarray) else 8
    return in_lanes(entries * coef[0, columns], n_lanes)[:, None]


def class_products(X, coef):
    """K classes: products in the order of features, dense ones in stretches."""
    columns, entries = columns_and_entries(X)
    length = STRETCH if isinstance(X, np.ndarray) else columns.shape[1]
    total = np.zeros((X.shape[0], len(coef)), coef.dtype)
    for first in range(0, columns.shape[1], length):
        sums = np.zeros_like(total)
        for at, x in zip(columns.T[first : first + length], entries.T[first : first + length], strict=True):
            sums = sums + x[:, None] * coef.T[at]
        total = sums if first == 0 else total + sums
    return total


def gradient(X, slopes, ends):
    """(K, d) in float64: rows in row order within a task, tasks in their order."""
    find = dense_gradient if isinstance(X, np.ndarray) else csr_gradient
    firsts = [0, *ends[:-1]]
    return one_by_one(np.array([find(X, slopes, *rows) for rows in zip(firsts, ends, strict=True)]))


def dense_gradient(X, slopes, first, end):
    """Of one task: rows one by one, of float32 in float32 over a chunk first."""
    total, length = np.zeros((slopes.shape[1], X.shape[1])), CHUNK if X.dtype == np.float32 else end - first
    for at in range(first, end, length):
        for k in range(len(total)):
            active = at + np.flatnonzero(slopes[at : min(at + length, end), k])
            total[k] = total[k] + one_by_one(X[active] * slopes[active, k][:, None]).astype(np.float64)
    return total


def csr_gradient(X, slopes, first, end):
    """Of one task, entry by entry, in float64."""
    entries = slice(X.indptr[first], X.indptr[end])
    of_entries = np.repeat(slopes[first:end].astype(np.float64), np.diff(X.indptr[first : end + 1]), axis=0)
    terms = X.data[entries].astype(np.float64)[:, None] * of_entries
    # bincount adds in the order of the entries; those without a slope add nothing.
    return np.array([np.bincount(X.indices[entries], column, X.shape[1]) for column in terms.T])


def check(X, n_classes, dtype, ends, cut=None):
    """Scores, value and gradients of one class or several have the bits of the order written out."""
    (n, d), loss, binary = X.shape, hf.SquaredHinge(), n_classes == 1
    rng = np.random.default_rng([n, d, n_classes])
    coef = (rng.standard_normal((n_classes, d)) / 64).astype(dtype)
    # Further apart than the margin: of the rows in which nothing else counts some have no slope.
    intercept = (1.25 * np.arange(1, n_classes + 1) + rng.random(n_classes) / 8).astype(dtype)
    without_intercept = (products if binary else class_products)(X, coef)
    keywords = {"classes": (0, 1)} if binary else {}
    loss = loss if binary else hf.WestonWatkins(loss)

    def make(seed):
        y = np.random.default_rng(seed).integers(0, max(n_classes, 2), n)
        scale = sizes(n, dtype, seed, (1.0, 2.0**26))  # of squares and of their slopes
        scores = without_intercept * scale[:, None] + intercept
        scores = scores[:, 0] if binary else scores
        values, slopes = loss.value_and_grad(y, scores, reduction="none", **keywords)
        is_telling = tells(values, ends, cut) and (not binary or tells(slopes, ends, cut))
        return y, scale, scores, slopes.reshape(n, n_classes), values, is_telling

    y, scale, scores, slopes, values = first_telling(make)
    assert (slopes == 0).any()
    X = scaled(X, scale)
    model = (coef[0], float(intercept[0])) if binary else (coef, intercept)
    assert bits(hf.decision_function(X, *model)) == bits(scores)
    value, grad = in_tasks(values, ends), gradient(X, slopes, ends)
    if binary:
        want = value, grad[0], in_tasks(slopes[:, 0], ends)
    else:
        tasks = np.split(slopes.astype(np.float64), ends[:-1])
        want = value, grad, one_by_one(np.array([one_by_one(task) for task in tasks]))
    # The gradient has the dtype of coef.
    model = model[0].astype(np.float64), model[1]
    for n_threads in (1, 2):
        got = hf.linear_value_and_grad(
            X, y, *model, loss=loss, reduction="sum", n_threads=n_threads, **keywords
        )
        assert bits(got) == bits(want)


@every_dtype
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n,d", [(200, 17_001), (700, 4_100)])
def test_dense_rows(n, d, order, dtype):
    check(dense_rows(n, d, dtype, order), 1, dtype, dense_ends(n, d))


@every_dtype
@pytest.mark.parametrize("n_classes", [3, 18])
def test_dense_rows_of_classes(n_classes, dtype):
    n, d = 1_100, 1_300
    check(dense_rows(n, d, dtype), n_classes, dtype, dense_ends(n, d, n_classes))


@every_dtype
@pytest.mark.parametrize("n_classes", [1, 3, 7, 12, 18, 27, 34])
def test_csr_rows(n_classes, dtype):
    X = csr_rows(np.random.default_rng(3).integers(0, 3_000, 430), 900, dtype)
    check(X, n_classes, dtype, csr_ends(X.indptr, 900))


@every_dtype
@pytest.mark.parametrize("n_classes", [1, 3])
def test_all_but_empty_csr_rows(n_classes, dtype):
    """So many that rows end a task, not entries."""
    for d, most in ((40, 32768), (40_000, 40_000), (70_000, 65536))[: None if n_classes == 1 else 1]:
        n = most + 900
        X = csr_rows(np.where(np.arange(n) % 50 == 0, 3, 0), d, dtype)
        ends = csr_ends(X.indptr, d)
        assert ends.tolist() == [most, n]
        check(X, n_classes, dtype, ends)


@every_dtype
def test_csr_rows_in_slices(dtype):
    """Between looks for Ctrl-C the rows of a long task are gone through in slices that end anywhere."""
    n, d, per_row = 330, 140_000, 3_600
    X = csr_rows(np.full(n, per_row), d, dtype)
    cut = 2**20 // per_row
    assert cut % LANES and csr_ends(X.indptr, d).tolist() == [8 * d // per_row, n]
    check(X, 1, dtype, csr_ends(X.indptr, d), cut)


# Weights. Here the rows of a call are those of one task


def weigh(n, find_mean, cut):
    """Only one row has a loss, so that a mean shows the sum of weights: find_mean(weights) / weights[-1] is 1 / it."""

    def make(seed):
        weights = sizes(n, np.float64, seed)
        weights[-1] = 1.0
        return weights, tells(weights, np.array([n]), cut)

    (weights,) = first_telling(make)
    assert find_mean(weights) == pytest.approx(1 / in_lanes(weights), rel=2.0**-52, abs=0)


@every_dtype
def test_weights_of_scores(dtype):
    n = 50_003
    scores = np.where(np.arange(n) == n - 1, 0, 9).astype(dtype)
    y = np.ones(n, np.int8)
    weigh(n, lambda weights: hf.Hinge().value(y, scores, sample_weight=weights), 512 + 7)


@every_dtype
@pytest.mark.parametrize("n_classes", [3, 20, 33, 100])
def test_weights_of_scores_of_classes(n_classes, dtype):
    """The rows of a block, whose scores take 4 KB, are no whole lanes."""
    itemsize = np.dtype(dtype).itemsize
    n = class_score_task_rows(n_classes, itemsize) - 3
    rows = 4096 // (n_classes * itemsize)
    scores = np.zeros((n, n_classes), dtype)
    scores[:-1, 0] = 9
    y = np.zeros(n, np.int64)
    loss = hf.CrammerSinger()
    weigh(n, lambda weights: loss.value(y, scores, sample_weight=weights), max(256 // rows, 1) * rows)


@every_dtype
def test_weights_of_csr_rows_in_slices(dtype):
    n, d, per_row = 305, 140_000, 3_600
    X = csr_rows(np.full(n, per_row), d, dtype)
    X.data[:] = 1
    X.data[-per_row:] = 0
    y, coef = np.ones(n, np.int8), np.full(d, 9)
    weigh(n, lambda weights: hf.linear_value_and_grad(X, y, coef, sample_weight=weights)[0], 2**20 // per_row)
