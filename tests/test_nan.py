"""Promise: NaN in, NaN out: in every lane and tail, at every class and level, for every loss; and nowhere else."""

from itertools import product

import multiclass_reference as oracle
import numpy as np
import pytest
from conftest import bits, every_dtype, every_level, misaligned, run_at_level, strided
from kinds import (
    CATALOGUE,
    FEW,
    KINDS,
    WHOLE_CATALOGUE,
    as_csr,
    binary,
    both_kinds,
    every_kind,
    few_kinds,
    on_a_base,
    whole_catalogue,
)

import hingefast as hf

pytestmark = pytest.mark.arm64

NANS = {  # quiet and signalling, of either sign
    np.float32: np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFBFFFFF], dtype=np.uint32),
    np.float64: np.array(
        [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0xFFF7FFFFFFFFFFFF], dtype=np.uint64
    ),
}


def own(place, y):
    """Where the slope of a row's own class stands, if its score at `place` is NaN."""
    return place if len(place) == 1 else (place[0], y[place[0]])


def sweep(loss, y, scores, places, **keywords):
    """A NaN at each place: everywhere it belongs, and every other number as without it. Counts places."""
    clean_values, clean = loss.value_and_grad(y, scores, reduction="none", **keywords)
    clean_mean = loss.grad(y, scores, **keywords)
    assert np.isfinite(clean_values).all()
    values, grad = np.empty_like(clean_values), np.empty_like(clean)
    for place in places:
        kept = scores[place]
        scores[place] = np.nan
        total, mean = loss.value_and_grad(y, scores, **keywords)
        loss.value_and_grad(y, scores, reduction="none", out=(values, grad), **keywords)
        alone = loss.value(y, scores, reduction="sum", **keywords)
        scores[place] = kept
        where, row, of_row = (loss, scores.shape, place, keywords.keys()), place[0], own(place, y)
        assert total != total and alone != alone and values[row] != values[row], where
        for got in (grad, mean):
            assert got[place] != got[place] and got[of_row] != got[of_row], where
        for got, want in ((values, clean_values), (grad, clean), (mean, clean_mean)):
            got[row] = want[row]
            assert got.tobytes() == want.tobytes(), where
    return len(places)


def sweep_rows(dtype):
    """Every position of every number of rows up to 70 of one score."""
    made, rng = 0, np.random.default_rng(0)
    all_signs = rng.choice(np.array([-1, 1], dtype=np.int8), 70)
    all_scores = rng.uniform(-3, 3, 70).astype(dtype)
    assert set(all_signs[:16]) == {-1, 1}
    for key, loss in CATALOGUE.items():
        for n in range(1, 71):
            if "-" in key and n % 7:
                continue  # other parameters: every seventh length
            signs, scores, places = all_signs[:n], all_scores[:n].copy(), [(i,) for i in range(n)]
            made += sweep(loss, signs, scores, places)
            if n % 9 == 5:
                for y in (signs.astype(np.float64), signs.astype(np.int64)):
                    made += sweep(loss, y, scores, places)
                made += sweep(loss, signs, scores, places, sample_weight=np.linspace(0.5, 2, n))
                made += sweep(loss, signs, scores, places, class_weight=(0.5, 2.0))
        assert loss.value(signs[:0], scores[:0], reduction="sum") == 0.0
    return made


def sweep_classes(dtype):
    """Every class of rows of K scores, and of many classes some; every row of some numbers of rows."""
    made = 0

    def of(kind, n, places):
        rng = np.random.default_rng([n, kind.n_classes])
        scores = rng.uniform(-3, 3, (n, kind.n_classes)).astype(dtype)
        return sweep(kind.loss, rng.integers(0, kind.n_classes, n), scores, places)

    for key, kind in WHOLE_CATALOGUE.items():
        if kind.binary:
            continue
        for K in range(2, 36):
            if (key not in FEW or K > 20) and K % 7 != 3:
                continue
            made += of(*kind.of(K), 5, [(j % 5, j) for j in range(K)])
        if key in FEW:
            for K in (64, 129, 1000):
                places = list(enumerate([0, 1, K // 2, K - 2, K - 1]))
                made += of(*kind.of(K), 5, places)
            for n in range(1, 70, 3):
                made += of(*kind.of(3), n, [(i, i % 3) for i in range(n)])
    return made


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
                loss = FEW[key].make(n_classes)
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
@every_dtype
def test_every_position(dtype, level):
    code = f"""
import numpy as np
from test_nan import sweep_classes, sweep_rows, sweep_tails
print(*(sweep(np.{dtype.__name__}) for sweep in (sweep_classes, sweep_rows, sweep_tails)))
"""
    assert min(map(int, run_at_level(level, code).split())) > 10_000


@every_dtype
@whole_catalogue
def test_any_nan(kind, dtype):
    """Negative, quiet and signalling NaN, several in one row, whole rows and all of them."""
    loss, data, row = kind.loss, kind.scores(20, dtype), 7
    unsigned = data.scores.view(f"u{data.scores.itemsize}")
    kept = unsigned[row].copy()
    for nan in NANS[dtype]:
        for columns in [()] if kind.binary else ([0], [4], [1, 3], [0, 1, 2, 3, 4]):
            for label in kind.labels[:2]:
                data.y[row] = label
                at = row if kind.binary else (row, columns)
                unsigned[at] = nan  # not as a float: no conversion touches the bits
                value, grad = loss.value_and_grad(data.y, data.scores)
                assert np.isnan(value)
                assert np.isnan(grad[at]).all() and np.isnan(grad[own((row, 0)[: grad.ndim], data.y)])
                assert np.isfinite(np.delete(grad, row, axis=0)).all()
                unsigned[row] = kept
    value, grad = loss.value_and_grad(data.y, np.full(data.scores.shape, np.nan, dtype=dtype))
    assert np.isnan(value) and np.isnan(grad).all()


@every_dtype
@few_kinds
def test_nan_beside_infinities(kind, dtype):
    """Whatever else stands in the row or beside it: an infinite rival must not hide a NaN."""
    (kind,) = kind.of(4)
    if kind.binary:
        scores = np.array([np.inf, np.nan, -np.inf, np.inf, 0.5], dtype=dtype)
        value, grad = kind.loss.value_and_grad([1, 1, -1, 1, -1], scores, reduction="sum")
        assert np.isnan(value)
        np.testing.assert_array_equal(np.isnan(grad), [False, True, False, False, False])
        return
    for other in (np.inf, -np.inf, np.finfo(dtype).max):
        for nan, c in product(range(4), range(4)):
            scores = np.full((1, 4), other, dtype=dtype)
            scores[0, nan] = np.nan
            value, grad = kind.loss.value_and_grad([c], scores, reduction="sum")
            assert np.isnan(value) and np.isnan(grad[0, nan]) and np.isnan(grad[0, c])


@both_kinds
@every_dtype
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_nan_in_any_task(n_threads, dtype, kind):
    n = 300_007 if kind.binary else 60_000
    scores = np.random.default_rng(0).standard_normal((n, *kind.shape)).astype(dtype)
    y = kind.labels[np.random.default_rng(1).integers(0, len(kind.labels), n)]
    for row in (0, n // 2, n - 1):
        for place in [(row,)] if kind.binary else [(row, 0), (row, kind.n_classes - 1)]:
            kept = scores[place]
            scores[place] = np.nan
            value, grad = kind.loss.value_and_grad(y, scores, reduction="sum", n_threads=n_threads)
            scores[place] = kept
            assert np.isnan(value) and np.isnan(grad[place]) and np.isnan(grad[own(place, y)])
            assert np.flatnonzero(np.isnan(grad).reshape(n, -1).any(axis=1)).tolist() == [row]


@every_dtype
@every_kind
def test_converted_scores_keep_nan(kind, dtype):
    """The ways that do not read in place: strided, in other orders of bytes and of axes, float16, lists."""
    data, row = kind.scores(50, dtype), 31
    place = (row,) if kind.binary else (row, 2)
    data.scores[place] = np.nan
    for given in (
        np.repeat(data.scores, 2, axis=0)[::2],
        data.scores[::-1].copy()[::-1],
        np.asfortranarray(data.scores),
        data.scores.astype(data.scores.dtype.newbyteorder()),
        data.scores.astype(np.float16),
        data.scores.tolist(),
    ):
        value, grad = kind.loss.value_and_grad(data.y, given)
        assert np.isnan(value) and np.isnan(grad[place]) and np.isnan(grad[own(place, data.y)])
        assert np.isfinite(np.delete(grad, row, axis=0)).all()


@every_dtype
@whole_catalogue
def test_weight_zero_leaves_a_nan_row_out(kind, dtype):
    """A select, not a product: the same bits as with any finite score there, by either kind of weight."""
    loss = kind.loss
    for position in range(0, 24, 5):
        data = kind.scores(24, dtype)
        y, weights = data.y, data.weights.copy()
        weights[position] = 0
        by_class = np.where(kind.labels == y[position], 0.0, 2.0)
        finite = loss.value_and_grad(y, data.scores, sample_weight=weights)
        finite_class = loss.value_and_grad(y, data.scores, class_weight=by_class)
        assert not finite_class[1][y == y[position]].any()
        for bad in (np.nan, np.inf, -np.inf):
            scores = data.scores.copy()
            scores[position] = bad
            assert bits(loss.value_and_grad(y, scores, sample_weight=weights)) == bits(finite)
            assert bits(loss.value_and_grad(y, scores, class_weight=by_class)) == bits(finite_class)
            values, grad = loss.value_and_grad(y, scores, sample_weight=weights, reduction="none")
            assert bits(values[position]) == bits(dtype(0))
            assert bits(grad[position]) == bits(np.zeros(kind.shape, dtype))


SCORE_LAYOUTS = {
    "in place": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "every second": lambda z: np.repeat(z, 2, axis=0)[::2],
    "backwards": lambda z: z[::-1].copy()[::-1],
    "misaligned": misaligned,
    "other byte order": lambda z: z.astype(z.dtype.newbyteorder()),
    "float16": lambda z: z.astype(np.float16),
    "longdouble": lambda z: z.astype(np.longdouble),
}


WEIGHED = (
    *map(binary, (hf.Hinge(), hf.LogisticLoss())),
    on_a_base("crammer_singer", "squared_hinge", 4),
    on_a_base("weston_watkins", "logistic", 4),
    on_a_base("one_vs_rest", "hinge", 4),
    *KINDS["top_2_alpha"].of(4),
)


@every_dtype
@pytest.mark.parametrize("layout", SCORE_LAYOUTS)
def test_weight_zero_leaves_nan_rows_out_in_every_layout(layout, dtype):
    """One class or several, a few rows and many, by either kind of weight: the bits of finite scores there."""
    change = SCORE_LAYOUTS[layout]
    for kind, n in product(WEIGHED, (3, 17, 600)):
        rng = np.random.default_rng(n)
        scores = rng.standard_normal((n, *kind.shape)).astype(dtype)
        y, loss = kind.labels[rng.integers(0, len(kind.labels), n)], kind.loss
        y[:2] = kind.labels[:2]
        first = y == kind.labels[0]
        by_row = rng.uniform(0.5, 2, n)
        by_row[::3] = 0
        by_class = np.array([0.0, 1.5, 0.5, 2.0])[: len(kind.labels)]
        weightings = (
            ({"sample_weight": by_row}, by_row == 0),
            ({"sample_weight": strided(by_row > 0)}, by_row == 0),
            ({"class_weight": by_class}, first),
            ({"sample_weight": by_row.astype(np.float32), "class_weight": by_class}, (by_row == 0) | first),
        )
        for (weights, left_out), reduction in product(weightings, ("mean", "sum", "none")):
            keywords = {**weights, "reduction": reduction}
            want = loss.value_and_grad(y, change(scores), **keywords)
            for bad in (np.nan, np.inf, -np.inf):
                given = scores.copy()
                given[left_out] = bad
                got = loss.value_and_grad(y, change(given), **keywords)
                assert bits(got) == bits(want), (loss, n, weights, bad)
                assert bits(loss.value(y, change(given), **keywords)) == bits(want[0])
            assert not np.asarray(got[1])[left_out].any()


@every_dtype
@few_kinds
@pytest.mark.parametrize("convert", [np.asarray, as_csr], ids=["dense", "csr"])
def test_a_nan_feature_is_seen_in_every_row(kind, convert, dtype):
    """In every place of a block of rows, and at classes on both sides of a vector's width."""
    for of_K, n in product(kind.of(3, 9, 17), (1, 2, 3, 5, 8, 13, 37, 64, 70) if kind.binary else (37,)):
        case = of_K.problem(n, 6, dtype, seed=1)
        for row in range(n):
            X = case.X.copy()
            X[row, row % 6] = np.nan
            value, grad, grad_intercept = of_K.call(convert(X), case)
            c = () if kind.binary else (case.y[row],)
            assert np.isnan(value) and np.isnan(grad[(*c, row % 6)])
            assert np.isnan(np.asarray(grad_intercept)[c])


@every_dtype
@pytest.mark.parametrize("convert", [np.asarray, as_csr], ids=["dense", "csr"])
@pytest.mark.parametrize("position", [0, 3, 8])
def test_a_nan_coefficient_makes_its_class_nan(position, convert, dtype):
    """A NaN score of one class: NaN for that class and for each row's own."""
    (kind,) = KINDS["crammer_singer:hinge"].of(9)
    case = kind.problem(60, 5, dtype, seed=2)
    X = convert(case.X)
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
