"""What solvers and streams are built on: sums that somebody owns, given slopes, norms of rows and columns."""

import pickle

import numpy as np
import pytest
from conftest import problem_of
from kinds import KINDS, RELATIVE, every_kind, random_csr
from scipy import sparse

pytestmark = pytest.mark.sanitizer

N, D = 300, 7
LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "tile": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "CSR": sparse.csr_array,
}
ROWS = {
    "all": None,
    "slice": slice(3, None, 2),
    "backwards": slice(None, None, -1),
    "list": [5, 0, 5, 299, 17],
}

over_layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
over_rows = pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS.keys())
over_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])


def matrix(dtype, n=N, d=D):
    rng = np.random.default_rng([n, d])
    return (
        rng.integers(-5, 6, (n, d)).astype(dtype)
        if dtype is np.int8
        else rng.normal(size=(n, d)).astype(dtype)
    )


def gradient(total, n_classes, is_sparse):
    """A total's gradient as (K, d), or (d,), and its sums of slopes."""
    numbers = total.gradient()
    if n_classes is None:
        return numbers, total.slope
    grad, sums = numbers[:-n_classes], numbers[-n_classes:]
    if is_sparse:  # classes side by side, in lines of a cache
        return grad.reshape(D, -1)[:, :n_classes].T, sums
    return grad.reshape(n_classes, D), sums


@over_rows
@over_dtypes
@over_layouts
@pytest.mark.parametrize("n_classes", [None, 3, 20])
def test_given_slopes(layout, dtype, rows, n_classes):
    """X.T @ slopes, for one score a row and for K."""
    X = matrix(dtype)
    call = problem_of(layout(X), n_classes)
    batch = X[slice(None) if rows is None else rows].astype(np.float64)
    shape = (len(batch),) if n_classes is None else (len(batch), n_classes)
    computing = np.float64 if dtype is np.float64 else np.float32
    slopes = np.random.default_rng(1).normal(size=shape).astype(computing)
    slopes[::3] = 0
    total = call(lambda problem, rows: problem.add_slopes(slopes, rows), rows)
    got, sums = gradient(total, n_classes, layout is sparse.csr_array)
    wide = slopes.astype(np.float64)
    bound = RELATIVE[np.dtype(computing)]
    assert np.abs(got - (batch.T @ wide).T).max() <= bound * (np.abs(batch).T @ np.abs(wide)).max()
    assert np.abs(sums - wide.sum(axis=0)).max() <= bound * np.abs(wide).sum(axis=0).max()


@over_rows
@over_dtypes
@over_layouts
@pytest.mark.parametrize(
    "shape", [(N, D), (N, 1500), (700, 41), *((N, d) for d in (0, 1, 3, 4, 6, 8, 9))], ids=str
)
def test_sums_of_squares(layout, dtype, rows, shape):
    """Of rows, of columns, and products of every two columns; weighted, where a row without weight is left out."""
    X = matrix(dtype, *shape)
    call = problem_of(layout(X))
    batch = X[slice(None) if rows is None else rows].astype(np.float64)
    weights = np.random.default_rng(1).random(len(batch))
    weights[::3] = 0
    got = call(lambda problem, rows: problem.square_rows(rows), rows)
    assert got.dtype == np.float64
    assert np.allclose(got, (batch**2).sum(axis=1), rtol=1500 * 2.0**-52, atol=0)
    for given in (None, weights):
        factors = np.ones(len(batch)) if given is None else given
        got = call(lambda problem, rows, given=given: problem.square_columns(given, rows), rows)
        assert got.dtype == np.float64
        assert np.allclose(got, factors @ batch**2, rtol=1500 * 2.0**-52, atol=0)
        if shape[1] <= 100:
            got, of_ones = call(lambda problem, rows, given=given: problem.product_columns(given, rows), rows)
            assert (got == got.T).all() and got.shape == (shape[1], shape[1])
            size = (factors[:, np.newaxis] * np.abs(batch)).T @ np.abs(batch)
            assert (np.abs(got - (factors[:, np.newaxis] * batch).T @ batch) <= 1500 * 2.0**-52 * size).all()
            assert of_ones.shape == (shape[1],)
            assert (np.abs(of_ones - factors @ batch) <= 1500 * 2.0**-52 * (factors @ np.abs(batch))).all()


@over_layouts
def test_rows_without_weight_are_not_multiplied(layout):
    X = matrix(np.float64)
    weights = np.ones(N)
    weights[[3, 200]] = 0
    call = problem_of(layout(X))
    before = [*call(lambda problem, _: problem.product_columns(weights), None)]
    before.append(call(lambda problem, _: problem.square_columns(weights), None))
    X[3], X[200] = np.nan, np.inf
    call = problem_of(layout(X))
    after = [*call(lambda problem, _: problem.product_columns(weights), None)]
    after.append(call(lambda problem, _: problem.square_columns(weights), None))
    assert all((got == wanted).all() for got, wanted in zip(after, before, strict=True))


def test_contiguous_columns_after_narrow_rows():
    """What one layout left in the buffers of the thread is nothing to the next."""
    X = matrix(np.float64, 2000, 3)
    problem_of(X.copy())(lambda problem, _: problem.square_rows(), None)
    problem_of(np.asfortranarray(X))(lambda problem, _: problem.square_rows(), None)
    problem_of(X.copy())(lambda problem, _: problem.add_slopes(np.ones(2000)), None)
    got = problem_of(np.asfortranarray(X))(lambda problem, _: problem.square_rows(), None)
    assert np.allclose(got, (X**2).sum(axis=1), rtol=2.0**-50, atol=0)


SQUARES = {
    "rows": lambda problem, rows: problem.square_rows(rows),
    "columns": lambda problem, rows: problem.square_columns(None, rows),
    "products": lambda problem, rows: problem.product_columns(None, rows),
}


@pytest.mark.parametrize("squares", SQUARES.values(), ids=SQUARES.keys())
def test_squares_of_broken_rows(squares):
    """As in every pass: the lowest position, and nothing is read or written outside."""
    A = random_csr(N, D, 3)[0]
    A.indices[11] = D
    with pytest.raises(ValueError, match=rf"^X\.indices\[11\] \(row \d+\) is {D}, must be in \[0, {D}\)$"):
        problem_of(A)(squares, None)


@over_layouts
def test_squares_have_the_same_bits_for_any_number_of_threads(layout):
    X = layout(np.random.default_rng(2).normal(size=(20000, 60)))
    weights = np.random.default_rng(3).random(20000)
    results = []
    for n_threads in (1, 2, 3):
        call = problem_of(X, n_threads=n_threads)
        results.append(np.vstack(call(lambda problem, _: problem.product_columns(weights), None)))
        assert (results[-1] == results[0]).all()


@pytest.mark.parametrize("which", [0, N // 2, -1])
def test_given_slopes_of_broken_rows(which):
    """Nobody has scored them: an index outside is found where it is used, and nowhere if the row has no slope."""
    A = random_csr(N, D, 3)[0]
    row = np.flatnonzero(np.diff(A.indptr))[: N // 2 + 1][which]
    at = A.indptr[row + 1] - 1
    A.indices[at] = -1
    slopes = np.ones(N)
    with pytest.raises(ValueError, match=rf"^X\.indices\[{at}\] \(row {row}\) is -1, must be in \[0, {D}\)$"):
        problem_of(A)(lambda problem, rows: problem.add_slopes(slopes, rows), None)
    slopes[row] = 0
    problem_of(A)(lambda problem, rows: problem.add_slopes(slopes, rows), None)


@every_kind
def test_totals_are_owned_and_pickle(kind):
    """Sums of parts of the rows, merged in order, are those of all rows, also over a pickle."""
    case = kind.problem(200, D)
    call = problem_of(case.X, kind.n_classes, case.y, kind.loss)

    def sums(rows):
        return call(lambda problem, rows: problem.total(3, case.coef, case.intercept, rows), rows)

    whole, first, second = sums(None), sums(slice(0, 90)), sums(slice(90, None))
    before = first.value, first.gradient()
    first = pickle.loads(pickle.dumps(first))
    assert first.value == before[0] and (first.gradient() == before[1]).all()
    first.merge(second)
    assert first.n_rows == whole.n_rows and first.weight == whole.weight
    assert np.isclose(first.value, whole.value, rtol=1e-13, atol=0)
    assert np.allclose(first.gradient(), whole.gradient(), rtol=1e-12, atol=1e-12)
    wanted, out = np.empty_like(case.coef), np.empty_like(case.coef)
    value, grad_intercept = call(
        lambda problem, rows: problem.value_and_grad(3, case.coef, case.intercept, wanted, rows), None
    )
    finished = call(lambda problem, _: problem.finish(first, case.coef, case.intercept, out), None)
    assert np.isclose(finished[0], value, rtol=1e-13, atol=0)
    assert np.allclose(finished[1], grad_intercept, rtol=1e-12, atol=1e-12)
    assert np.allclose(out, wanted, rtol=1e-12, atol=1e-12)


def test_totals_of_far_weights_merge():
    """Each pass scales its weights by a power of two of its own."""
    case = KINDS["logistic"].problem(200, D)
    weight = np.where(np.arange(200) < 90, 1e-290, 1e290)
    call = problem_of(case.X, None, case.y, "logistic", weight)

    def sums(rows):
        return call(lambda problem, rows: problem.total(3, case.coef, 0.0, rows), rows)

    whole, first, second = sums(None), sums(slice(0, 90)), sums(slice(90, None))
    assert first.exponent != second.exponent
    first.merge(second)
    assert np.isclose(first.value / first.weight, whole.value / whole.weight, rtol=1e-13, atol=0)
    gradients = [total.gradient() / total.weight for total in (first, whole)]
    assert np.allclose(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("other", ["features", "classes", "order", "size", "value", "gradient"])
def test_totals_of_other_things(other):
    """Sums are added to and finished as what they are, also where two gradients have as many numbers."""
    from hingefast._kernels.total import ForeignTotal

    K = 4  # a power of two: no room is left between the classes of a feature
    y = np.arange(N) % K
    X = matrix(np.float64)
    coef, intercept = np.ones((K, D)), np.zeros(K)

    def total(X, n_classes=K, want=3):
        call = problem_of(X, n_classes, y % n_classes, "crammer_singer")
        at = np.ones((n_classes, X.shape[1])), np.zeros(n_classes)
        return call(lambda problem, rows: problem.total(want, *at, rows), None)

    def shortened(whole):
        rebuild, (sums, order, gradient) = whole.__reduce__()
        return rebuild(sums, order, gradient[: D * K - 1])

    foreign = {
        "features": lambda: total(matrix(np.float64, N, 2 * D), 2),
        "classes": lambda: total(X, 3),
        "order": lambda: total(sparse.csr_array(X)),
        "size": lambda: shortened(total(X)),
        "value": lambda: total(X, want=2),
        "gradient": lambda: total(X, want=1),
    }[other]()
    mine = total(X)
    assert other != "order" or foreign.size == mine.size
    before = mine.value, mine.gradient()
    with pytest.raises(ForeignTotal):
        mine.merge(foreign)
    assert mine.value == before[0] and (mine.gradient() == before[1]).all()
    if other in ("features", "classes", "order", "size"):
        call = problem_of(X, K, y, "crammer_singer")
        out = np.full((K, D), 7.0)
        with pytest.raises(ForeignTotal):
            call(lambda problem, rows: problem.finish(foreign, coef, intercept, out), None)
        assert (out == 7).all()


@pytest.mark.parametrize("want", [1, 3])
def test_a_call_that_never_begins(want):
    """An error before a pass has anything, as one of memory may be, leaves nothing to give back."""
    X = matrix(np.float64)
    call = problem_of(X, None, np.ones(N), "hinge")
    coef = np.ones(D)
    for ask in (
        lambda problem, _: problem.value_and_grad(want, coef, 0.0, np.empty(D), (1, 2)),
        lambda problem, _: problem.total(want, coef, 0.0, (1, 2)),
        lambda problem, _: problem.step(np.ones(D), 0.1, (1, 2)),
    ):
        with pytest.raises(ValueError, match="values to unpack"):
            call(ask, None)
    assert call(lambda problem, _: problem.value_and_grad(want, coef, 0.0, np.empty(D))[0], None) > 0
