"""Promise: however rows of CSR X are read - one by one, by their products, or as dense ones where they store all
columns - their scores are sums in eight lanes, merged by halves, and the gradient receives their entries in order.
"""

import numpy as np
import pytest
from conftest import bits, every_dtype, raises
from kinds import namespace
from scipy import sparse

import hingefast as hf
from hingefast.io.svmlight import read_svmlight

pytestmark = [pytest.mark.at_every_level, pytest.mark.clang, pytest.mark.sanitizer]

INTERCEPT = 0.25
LOSS = hf.SquaredHinge()


def lengths_of(case, rng):
    """How many entries each row has, and how many columns there are."""
    return {
        "0 to 200": (np.arange(201), 300),
        "0 to 40, shuffled": (rng.permutation(np.tile(np.arange(41), 20)), 50),
        "below 4": (rng.integers(0, 4, 700), 30),
        "5 to 8": (rng.integers(5, 9, 700), 30),
        "9 to 12": (rng.integers(9, 13, 700), 30),
        "12 to 16": (rng.integers(12, 17, 700), 30),
        "very unequal": (np.where(rng.random(700) < 0.03, 500, rng.integers(0, 9, 700)), 600),
        "no entries": (np.zeros(100, int), 5),
        "one entry in a thousand rows": (np.bincount([700], minlength=1000), 5),
        "20 on average": (rng.integers(17, 24, 600), 60),
    }[case]


def unequal_rows(case, rng):
    """Rows whose columns are drawn: neither sorted nor distinct."""
    lengths, n_features = lengths_of(case, rng)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    return indptr, rng.integers(0, n_features, indptr[-1]), n_features


def full_rows(n_features, change, rng):
    """Rows that store every column, and what is nearly that."""
    n_rows = 270
    indptr = np.arange(n_rows + 1) * n_features
    indices = np.tile(np.arange(n_features), n_rows)
    at = (n_rows - 7) * n_features + n_features // 2
    if change == "one repeated":
        indices[at] = indices[at - 1]
    elif change == "one missing":
        indices = np.delete(indices, at)
        indptr = indptr - (indptr > at)
    elif change == "two exchanged":
        indices[[at, at + 1]] = indices[[at + 1, at]]
    elif change == "one row longer, the next shorter":
        indptr[n_rows - 6] += 1
    elif change == "all rows reversed":
        indices = np.tile(np.arange(n_features)[::-1], n_rows)
    return indptr, indices, n_features


CASES = ["0 to 200", "0 to 40, shuffled", "below 4", "5 to 8", "9 to 12", "12 to 16", "very unequal"]
CASES += ["no entries", "one entry in a thousand rows", "20 on average"]
CHANGES = ["none", "one repeated", "one missing", "two exchanged", "one row longer, the next shorter"]
CHANGES += ["all rows reversed"]
WIDTHS = [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 60, 65, 130]


def in_eight_lanes(products, dtype):
    lanes = np.zeros(8, dtype)
    for k, product in enumerate(products):
        lanes[k % 8] += product
    four = lanes[:4] + lanes[4:]
    two = four[:2] + four[2:]
    return two[0] + two[1]


def check(indptr, indices, n_features, dtype, rng, slack=0, rows=None):
    """Scores, value and gradient of these rows, bit for bit, for both types of indices."""
    n_rows = len(indptr) - 1
    data = rng.standard_normal(len(indices)).astype(dtype)
    data[rng.random(len(data)) < 0.1] = -0.0
    coef = rng.standard_normal(n_features).astype(dtype)
    y = rng.choice([-1.0, 1.0], n_rows)
    chosen = np.arange(n_rows) if rows is None else np.arange(n_rows)[rows]
    spans = [slice(indptr[i], indptr[i + 1]) for i in chosen]
    scores = np.array([in_eight_lanes(data[k] * coef[indices[k]], dtype) for k in spans], dtype)
    scores = scores + dtype(INTERCEPT)
    value, slopes = LOSS.value_and_grad(y[chosen], scores, reduction="sum")
    assert slopes.any()
    grad = np.zeros(n_features)
    for k, slope in zip(spans, slopes.astype(np.float64), strict=True):
        if slope != 0:
            for j, product in zip(indices[k], data[k].astype(np.float64) * slope, strict=True):
                grad[j] += product
    for index_dtype in (np.int32, np.int64):
        more = np.full(slack, 2**31 - 1)  # what is stored behind the last row is never looked at
        X = namespace(
            indptr.astype(index_dtype),
            np.concatenate((indices, more)).astype(index_dtype),
            np.concatenate((data, np.full(slack, np.nan, dtype))),
            (n_rows, n_features),
        )
        got = hf.decision_function(X, coef, INTERCEPT, rows=rows)
        assert bits(got) == bits(scores)
        got, got_grad, got_intercept = hf.linear_value_and_grad(
            X, y, coef.astype(np.float64), INTERCEPT, loss=LOSS, reduction="sum", rows=rows
        )
        assert bits(got) == bits(value)
        assert bits(got_grad) == bits(grad)
        np.testing.assert_allclose(got_intercept, slopes.sum(dtype=np.float64), rtol=1e-6)


@every_dtype
@pytest.mark.parametrize("case", CASES)
def test_rows_of_every_length(case, dtype):
    rng = np.random.default_rng(len(case))
    check(*unequal_rows(case, rng), dtype, rng)


@every_dtype
@pytest.mark.parametrize("slack", [0, 5])
@pytest.mark.parametrize("n_features", WIDTHS)
def test_full_rows(n_features, slack, dtype):
    """Behind the last row may be nothing, or something that is none of its own."""
    rng = np.random.default_rng(n_features)
    check(*full_rows(n_features, "none", rng), dtype, rng, slack)


@every_dtype
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("n_features", [3, 8, 21])
def test_nearly_full_rows(n_features, change, dtype):
    rng = np.random.default_rng(n_features)
    check(*full_rows(n_features, change, rng), dtype, rng)


@every_dtype
@pytest.mark.parametrize("n_features", [3, 16, 60])
@pytest.mark.parametrize("rows", ["slice", "step", "numbers"])
def test_rows_that_do_not_follow_one_another(rows, n_features, dtype):
    rng = np.random.default_rng(n_features)
    indptr, indices, _ = full_rows(n_features, "none", rng)
    chosen = {
        "slice": slice(5, 200),
        "step": slice(260, 1, -3),
        "numbers": rng.integers(0, len(indptr) - 1, 200),
    }[rows]
    check(indptr, indices, n_features, dtype, rng, rows=chosen)
    indptr, indices, n_features = unequal_rows("0 to 40, shuffled", rng)
    check(indptr, indices, n_features, dtype, rng, rows=chosen)


@every_dtype
def test_numbers_behind_a_full_row_do_not_matter(dtype):
    """They are read with it and thrown away, whatever they are."""
    X = np.zeros((40, 3), dtype)
    X[::2] = [1, 2, 3]
    X[1::2] = [np.nan, np.inf, -np.inf]
    y, coef = np.ones(40), np.zeros(3)
    X = sparse.csr_array(X)
    weights = np.tile([1.0, 0.0], 20)
    value, grad, _ = hf.linear_value_and_grad(X, y, coef, sample_weight=weights)
    assert value == 1
    np.testing.assert_array_equal(grad, [-1, -2, -3])
    scores = hf.decision_function(X, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(scores[::2], 6)
    assert np.isnan(scores[1::2]).all()


@every_dtype
@pytest.mark.parametrize("n_features", WIDTHS)
def test_no_sum_of_lanes_is_minus_zero(n_features, dtype):
    """They begin at +0: products of -0 alone, and an intercept of -0, make +0, dense or CSR, full or not."""
    dense = np.full((40, n_features), -0.0, dtype)
    indices = np.tile(np.arange(n_features), 40)
    coef = np.ones(n_features)
    for columns in (n_features, n_features + 1):  # full rows, and rows that are not
        X = namespace(np.arange(41) * n_features, indices, dense.ravel(), (40, columns))
        assert not np.signbit(hf.decision_function(X, np.ones(columns), -0.0)).any()
    assert not np.signbit(hf.decision_function(dense, coef, -0.0)).any()
    assert not np.signbit(hf.decision_function(dense[::2], coef, -0.0)).any()


@every_dtype
@pytest.mark.parametrize("loss", ["crammer_singer", "weston_watkins"])
@pytest.mark.parametrize("n_classes", [2, 5, 11, 20, 40])
def test_many_columns_of_classes(n_classes, loss, dtype):
    """Where K numbers a column do not fit a cache they are asked for ahead: with the bits of few columns."""
    rng = np.random.default_rng(n_classes)
    indptr, indices, few = unequal_rows("0 to 200", rng)
    many = 70_000
    data = rng.standard_normal(len(indices)).astype(dtype)
    coef, intercept = rng.standard_normal((n_classes, few)), rng.standard_normal(n_classes)
    y = rng.integers(0, n_classes, len(indptr) - 1)
    place = np.sort(rng.choice(many, few, replace=False))
    place[-1] = many - 1
    wide_coef = np.zeros((n_classes, many))
    wide_coef[:, place] = coef
    for rows in (None, rng.permutation(len(y)), slice(None, None, -2)):
        for scale in (1.0, 0.05):  # a few classes active, all
            got, want = (
                hf.linear_value_and_grad(
                    namespace(indptr, columns, data, (len(y), d)),
                    y,
                    w * scale,
                    intercept * scale,
                    loss=loss,
                    rows=rows,
                )
                for columns, d, w in ((place[indices], many, wide_coef), (indices, few, coef))
            )
            assert bits(got[0]) == bits(want[0])
            assert bits(got[1][:, place]) == bits(want[1])
            assert bits(got[2]) == bits(want[2])
            assert np.count_nonzero(got[1]) == np.count_nonzero(want[1])


@pytest.mark.parametrize("per_row", [5, 40, 50])
def test_entries_beyond_the_caches(per_row):
    """X of more than 12 MB is read in other blocks, with the bits of its parts; 50 of 50 columns are full rows."""
    n_rows, n_features = 1_600_000 // per_row, 50
    rng = np.random.default_rng(per_row)
    indices = rng.integers(0, n_features, n_rows * per_row).astype(np.int32)
    if per_row == n_features:
        indices = np.tile(np.arange(n_features, dtype=np.int32), n_rows)
    data, coef = rng.standard_normal(len(indices)), rng.standard_normal(n_features)
    assert data.nbytes + indices.nbytes > 2**24

    def rows(first, end):
        part = slice(first * per_row, end * per_row)
        indptr = np.arange(end - first + 1) * per_row
        return namespace(indptr, indices[part], data[part], (end - first, n_features))

    half = n_rows // 2
    parts = [hf.decision_function(rows(*part), coef) for part in ((0, half), (half, n_rows))]
    assert bits(hf.decision_function(rows(0, n_rows), coef)) == bits(np.concatenate(parts))


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize(
    "make",
    [lambda rng: unequal_rows("12 to 16", rng), lambda rng: unequal_rows("0 to 200", rng)]
    + [lambda rng, d=d: full_rows(d, "none", rng) for d in (3, 16)],
    ids=["short", "long", "full, d = 3", "full, d = 16"],
)
def test_an_index_outside_in_every_place(make, index_dtype):
    """Of every group of four, every row of a strip and both loops, at the ends and in between."""
    rng = np.random.default_rng(3)
    indptr, indices, n_features = make(rng)
    indices = indices.astype(index_dtype)
    X = namespace(indptr.astype(index_dtype), indices, np.ones(len(indices)), (len(indptr) - 1, n_features))
    y = np.ones(len(indptr) - 1)
    places = np.unique(
        np.r_[:130, len(indices) // 2 : len(indices) // 2 + 70, len(indices) - 70 : len(indices)]
    )
    for place in places:
        for bad in (n_features, -1, np.iinfo(index_dtype).min):
            good, indices[place] = indices[place], bad
            row = np.searchsorted(indptr, place, side="right") - 1
            with raises(hf.InvalidCSRError, f"X.indices[{place}] (row {row}) is {bad}"):
                hf.linear_value_and_grad(X, y, np.ones(n_features))
            indices[place] = good


@every_dtype
@pytest.mark.parametrize("name", ["a9a.xz", "cod-rna.scaled.svm.xz", "rcv1_vw_small.train.svm.xz"])
def test_real_rows(name, data_dir, dtype):
    X, _ = read_svmlight(data_dir / name)
    indptr = np.asarray(X.indptr)[:1001]
    check(indptr, np.asarray(X.indices)[: indptr[-1]], X.shape[1], dtype, np.random.default_rng(1))
