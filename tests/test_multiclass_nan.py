"""Promise: NaN in, NaN out, at every class and row, at every level, for every multiclass loss; and nothing is read
out of bounds for it.
"""

import multiclass_reference as oracle
import numpy as np
import pytest
from conftest import bits, every_dtype, every_level, run_at_level
from kinds import as_csr
from multiclass_cases import (
    FEW,
    every_multiclass_loss,
    few_multiclass_losses,
    problem,
    telling_scores,
)

import hingefast as hf

_SWEEP = """
import numpy as np
from conftest import bits
from multiclass_cases import FEW, MULTICLASS

dtype = np.{dtype}

def sweep(loss, n, n_classes, positions):
    rng = np.random.default_rng([n, n_classes])
    scores = rng.uniform(-3, 3, (n, n_classes)).astype(dtype)
    labels = rng.integers(0, n_classes, n)
    clean_values, clean = loss.value_and_grad(labels, scores, reduction="none")
    assert np.isfinite(clean_values).all()
    values, grad = np.empty_like(clean_values), np.empty_like(clean)
    for i, j in positions:
        kept = scores[i, j]
        scores[i, j] = np.nan
        total = loss.value(labels, scores, reduction="sum")
        mean, mean_grad = loss.value_and_grad(labels, scores)
        loss.value_and_grad(labels, scores, reduction="none", out=(values, grad))
        scores[i, j] = kept
        where = (loss, n, n_classes, i, j)
        assert total != total and mean != mean and values[i] != values[i], where
        for g in (grad, mean_grad):
            assert g[i, j] != g[i, j] and g[i, labels[i]] != g[i, labels[i]], where
        values[i], grad[i] = clean_values[i], clean[i]
        assert bits(values, grad) == bits(clean_values, clean), where

for key, make in MULTICLASS.items():
    for n_classes in range(2, 36):
        if (key not in FEW or n_classes > 20) and n_classes % 7 != 3:
            continue
        loss = make(n_classes)
        n = 5
        sweep(loss, n, n_classes, [(i, j) for j in range(n_classes) for i in (j % n,)])
    if key in FEW:
        for n_classes in (64, 129, 1000):
            positions = [(i, j) for i, j in enumerate([0, 1, n_classes // 2, n_classes - 2, n_classes - 1])]
            sweep(make(n_classes), 5, n_classes, positions)
        for n in range(1, 70, 3):
            sweep(make(3), n, 3, [(i, i % 3) for i in range(n)])
print("done")
"""


@every_level
@every_dtype
def test_every_class_and_row(dtype, level):
    assert run_at_level(level, _SWEEP.format(dtype=dtype.__name__)) == b"done\n"


def sweep_tails(dtype):
    """NaN or an infinity in every row, in other places of any number of classes and rows: what the definition says, and
    nothing in the rows beside it. Counts rows.
    """
    made, tolerance = 0, 256 * float(np.finfo(dtype).eps)
    keys = (
        "crammer_singer:hinge",
        "weston_watkins:squared_hinge",
        "weston_watkins:logistic",
        "one_vs_rest:logistic",
    )
    for n_classes in (*range(2, 36), 47, 48, 49, 63, 64, 65, 129):
        for n in (1, 3, 15, 16, 17, 21) if n_classes < 16 else (1, 6):
            rng = np.random.default_rng([n, n_classes])
            scores = rng.uniform(-3, 3, (n, n_classes)).astype(dtype)
            labels, here = rng.integers(0, n_classes, n), np.arange(n)
            for key in (*keys, "cost_sensitive_hinge", "top_2_beta"):
                loss = FEW[key](n_classes)
                what = oracle.definition(loss)
                for bad, place in ((np.nan, 0), (np.inf, 1), (-np.inf, 2)):
                    if n_classes == 2 and bad == -np.inf:
                        continue  # the oracle needs a rival that is finite
                    # From the first class on, from the last one back, or anywhere.
                    at = (here, n_classes - 1 - here, here * 7 + place)[(n + place) % 3] % n_classes
                    given = scores.copy()
                    given[here[::2], at[::2]] = bad
                    values, grad = loss.value_and_grad(labels, given, reduction="none")
                    if np.isnan(bad):
                        assert np.isnan(values[::2]).all() and np.isnan(grad[here, at][::2]).all()
                        assert np.isnan(grad[here, labels][::2]).all()
                        given, values, grad, own = given[1::2], values[1::2], grad[1::2], labels[1::2]
                    else:
                        own = labels
                    want, slopes = oracle.rows(what, own, given, dtype)
                    where = f"{loss} of {n_classes} classes, {n} rows, {bad}"
                    np.testing.assert_allclose(values, want, rtol=tolerance, atol=tolerance, err_msg=where)
                    np.testing.assert_allclose(grad, slopes, rtol=tolerance, atol=tolerance, err_msg=where)
                    made += n
    return made


@every_level
def test_every_tail(level):
    code = """
from conftest import DTYPES
from test_multiclass_nan import sweep_tails
print(*(sweep_tails(dtype) for dtype in DTYPES))
"""
    assert min(map(int, run_at_level(level, code).split())) > 10_000


@every_dtype
@every_multiclass_loss
def test_any_nan(make, dtype):
    """Negative, quiet and signalling NaN, several in one row, whole rows and all of them."""
    raw = {
        np.float32: np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFBFFFFF], dtype=np.uint32),
        np.float64: np.array(
            [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0xFFF7FFFFFFFFFFFF], dtype=np.uint64
        ),
    }[dtype].view(dtype)
    loss = make(5)
    data = telling_scores(12, 5, dtype)
    unsigned = data.scores.view(f"u{data.scores.itemsize}")
    for nan in raw.view(unsigned.dtype):
        for columns in ([0], [4], [1, 3], [0, 1, 2, 3, 4]):
            kept = unsigned[7].copy()
            unsigned[7, columns] = nan
            value, grad = loss.value_and_grad(data.labels, data.scores)
            assert np.isnan(value)
            assert np.isnan(grad[7, columns]).all() and np.isnan(grad[7, data.labels[7]])
            assert np.isfinite(np.delete(grad, 7, axis=0)).all()
            unsigned[7] = kept
    everything = np.full((9, 5), np.nan, dtype=dtype)
    value, grad = loss.value_and_grad(np.arange(9) % 5, everything)
    assert np.isnan(value) and np.isnan(grad).all()


@every_dtype
@few_multiclass_losses
def test_nan_beside_infinities(make, dtype):
    """Whatever else stands in the row: an infinite rival must not hide a NaN."""
    loss = make(4)
    for other in (np.inf, -np.inf, np.finfo(dtype).max):
        for nan in range(4):
            for c in range(4):
                scores = np.full((1, 4), other, dtype=dtype)
                scores[0, nan] = np.nan
                value, grad = loss.value_and_grad([c], scores, reduction="sum")
                assert np.isnan(value)
                assert np.isnan(grad[0, nan]) and np.isnan(grad[0, c])


@every_dtype
@few_multiclass_losses
def test_converted_scores_keep_nan(make, dtype):
    loss = make(3)
    data = telling_scores(30, 3, dtype)
    data.scores[11, 2] = np.nan
    for given in (
        np.asfortranarray(data.scores),
        data.scores[::-1].copy()[::-1],
        data.scores.astype(data.scores.dtype.newbyteorder()),
        data.scores.astype(np.float16),
        data.scores.tolist(),
    ):
        value, grad = loss.value_and_grad(data.labels, given)
        assert np.isnan(value) and np.isnan(grad[11, 2]) and np.isnan(grad[11, data.labels[11]])
        assert np.isfinite(np.delete(grad, 11, axis=0)).all()


@every_dtype
@few_multiclass_losses
def test_weight_zero_leaves_a_nan_row_out(make, dtype):
    """A select, not a product: the bits of any finite scores there, by either kind of weight."""
    loss = make(4)
    for position in range(0, 24, 5):
        data = telling_scores(24, 4, dtype)
        weights = data.weights.copy()
        weights[position] = 0
        finite = loss.value_and_grad(data.labels, data.scores, sample_weight=weights)
        by_class = np.ones(4)
        by_class[data.labels[position]] = 0
        finite_class = loss.value_and_grad(data.labels, data.scores, class_weight=by_class)
        for bad in (np.nan, np.inf, -np.inf):
            scores = data.scores.copy()
            scores[position] = bad
            assert bits(loss.value_and_grad(data.labels, scores, sample_weight=weights)) == bits(finite)
            values, grad = loss.value_and_grad(data.labels, scores, sample_weight=weights, reduction="none")
            assert bits(values[position]) == bits(dtype(0))
            assert bits(grad[position]) == bits(np.zeros(4, dtype))
            assert bits(loss.value_and_grad(data.labels, scores, class_weight=by_class)) == bits(finite_class)


@every_dtype
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_nan_in_any_task(n_threads, dtype):
    n, n_classes = 60_000, 10
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((n, n_classes)).astype(dtype)
    labels = rng.integers(0, n_classes, n)
    for row in (0, n // 2, n - 1):
        for column in (0, n_classes - 1):
            kept = scores[row, column]
            scores[row, column] = np.nan
            value, grad = hf.CrammerSinger().value_and_grad(
                labels, scores, reduction="sum", n_threads=n_threads
            )
            scores[row, column] = kept
            assert np.isnan(value) and np.isnan(grad[row, column]) and np.isnan(grad[row, labels[row]])
            assert np.flatnonzero(np.isnan(grad).any(axis=1)).tolist() == [row]


@every_dtype
@few_multiclass_losses
@pytest.mark.parametrize("sparse_too", [False, True], ids=["dense", "csr"])
def test_a_nan_feature_is_seen_in_every_row(make, sparse_too, dtype):
    """In every place of a block of rows, and at classes on both sides of a vector's width."""
    for n_classes in (3, 9, 17):
        loss = make(n_classes)
        case = problem(37, 6, n_classes, dtype, seed=1)
        for row in range(37):
            X = case.X.copy()
            X[row, row % 6] = np.nan
            value, grad, grad_intercept = hf.linear_value_and_grad(
                as_csr(X) if sparse_too else X, case.y, case.coef, case.intercept, loss=loss
            )
            c = case.y[row]
            assert np.isnan(value) and np.isnan(grad[c, row % 6]) and np.isnan(grad_intercept[c])


@every_dtype
@pytest.mark.parametrize("sparse_too", [False, True], ids=["dense", "csr"])
@pytest.mark.parametrize("position", [0, 3, 8])
def test_a_nan_coefficient_makes_its_class_nan(position, sparse_too, dtype):
    """A NaN score of one class: NaN for that class and for each row's own."""
    case = problem(60, 5, 9, dtype, seed=2)
    X = as_csr(case.X) if sparse_too else case.X
    coef = case.coef.copy()
    coef[position, 2] = np.nan
    scores = hf.decision_function(X, coef, case.intercept)
    assert np.isnan(scores[:, position]).all()
    assert np.isfinite(np.delete(scores, position, axis=1)).all()
    for loss in ("crammer_singer", "weston_watkins", "one_vs_rest", hf.TopKHinge(2)):
        value, grad, grad_intercept = hf.linear_value_and_grad(X, case.y, coef, case.intercept, loss=loss)
        assert np.isnan(value)
        assert np.isnan(grad).all() and np.isnan(grad_intercept).all()  # each class has rows of its own
    for k in range(9):
        intercept = case.intercept.copy()
        intercept[k] = np.nan
        assert np.isnan(hf.linear_value_and_grad(X, case.y, case.coef, intercept, loss="crammer_singer")[0])
