"""Dense and CSR problems for the tests of linear calls, and how far a right answer may be from the oracle's.

Nothing here knows hingefast's code: the generators draw numbers and assert that the drawn data can tell right from
wrong; the bounds follow from rounding errors and from the convexity of the losses.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import reference
from conftest import computing_dtype
from scipy import sparse

# Every margin loss that is exactly flat for a large margin: only these have rows of slope zero.
FLAT_LOSSES = (
    "hinge",
    "perceptron",
    "squared_hinge",
    "smooth_hinge",
    "modified_huber",
    "huberized_hinge",
    "huber_margin",
)
SMOOTH_LOSSES = ("psi_g", "psi_m", "softplus_hinge", "logistic")

INDEX_PAIRS = [(a, b) for a in (np.int32, np.int64) for b in (np.int32, np.int64)]
# What X is summed to relative to the sums of absolute terms: the promise of the design.
RELATIVE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 2.0**-40}


@dataclass
class Problem:
    """One binary problem: `X` is always the dense (n, d) matrix, `y` holds -1 and +1."""

    X: np.ndarray
    y: np.ndarray
    coef: np.ndarray
    intercept: float
    weights: np.ndarray


def assert_telling(y, scores):
    """Random data must hold both labels, active and inactive rows and distinct scores (8 rows or more)."""
    margins = y * scores
    assert (y > 0).any() and (y < 0).any()
    assert (margins < 1).any() and (margins > 1).any()
    assert np.unique(scores).size > scores.size // 2


def problem(n, d, dtype=np.float64, seed=0, density=None):
    """A problem with about as many active as inactive rows; `density` below 1 zeroes entries."""
    for attempt in range(20):
        rng = np.random.default_rng([seed, n, d, attempt])
        X = rng.standard_normal((n, d))
        if density is not None:
            X[rng.random((n, d)) >= density] = 0.0
        X = X.astype(dtype)
        scale = 2.0 / np.sqrt(max(1.0, d * (1.0 if density is None else density)))
        coef = (rng.standard_normal(d) * scale).astype(dtype)
        intercept = float(dtype(rng.normal() * 0.3))
        scores = X.astype(np.float64) @ coef.astype(np.float64) + intercept
        y = np.where(rng.random(n) < 0.35, -1.0, 1.0) * np.where(scores >= 0, 1.0, -1.0)
        if n >= 2:
            y[:2] = rng.permutation([-1.0, 1.0])
        weights = rng.uniform(0.25, 2.0, n)
        enough = n >= 8 and d >= 3 and (density is None or density * d >= 2)
        try:
            if enough:
                assert_telling(y, scores)
        except AssertionError:
            continue
        return Problem(X, y.astype(np.int8), coef, intercept, weights)
    raise AssertionError(f"no telling problem of {n} x {d} in 20 attempts")


def csr_parts(dense, index_dtype=np.int32, indptr_dtype=np.int32):
    """indptr, indices, data of a dense matrix, written out from the definition (rows in order, columns sorted)."""
    rows, columns = np.nonzero(dense)
    counts = np.bincount(rows, minlength=dense.shape[0]) if dense.shape[0] else np.zeros(0, int)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(indptr_dtype)
    return indptr, columns.astype(index_dtype), np.ascontiguousarray(dense[rows, columns])


def namespace(indptr, indices, data, shape):
    """The plainest thing that is CSR: four attributes and no `format`."""
    return SimpleNamespace(indptr=indptr, indices=indices, data=data, shape=shape)


def as_csr(dense, kind="namespace", index_dtype=np.int32, indptr_dtype=np.int32):
    """`dense` as a CSR object of one of three kinds: csr_array, csr_matrix, namespace."""
    indptr, indices, data = csr_parts(dense, index_dtype, indptr_dtype)
    if kind == "namespace":
        return namespace(indptr, indices, data, dense.shape)
    made = getattr(sparse, kind)((data, indices, indptr), shape=dense.shape)
    made.indices, made.indptr = indices, indptr  # SciPy may have narrowed them
    return made


CSR_KINDS = ("namespace", "csr_array", "csr_matrix")


def random_csr(n, d, per_row, dtype=np.float64, seed=0, index_dtype=np.int32, indptr_dtype=np.int32):
    """A large CSR matrix without a dense copy: (X, y, coef, intercept), columns of a row distinct and sorted."""
    rng = np.random.default_rng([seed, n, d, per_row])
    stride = d // per_row
    columns = (np.arange(per_row) * stride)[None, :] + rng.integers(0, stride, (n, per_row))
    data = rng.standard_normal((n, per_row)).astype(dtype)
    coef = (rng.standard_normal(d) * 2.0 / np.sqrt(per_row)).astype(dtype)
    scores = (data.astype(np.float64) * coef.astype(np.float64)[columns]).sum(axis=1)
    y = (np.where(rng.random(n) < 0.35, -1, 1) * np.where(scores >= 0, 1, -1)).astype(np.int8)
    assert_telling(y, scores)
    indptr = (np.arange(n + 1, dtype=np.int64) * per_row).astype(indptr_dtype)
    X = namespace(indptr, columns.ravel().astype(index_dtype), data.ravel(), (n, d))
    return X, y, coef, 0.25


@dataclass
class Expected:
    """What the oracle says and how far a right answer may be from it."""

    scores: np.ndarray
    scores_bound: np.ndarray
    value: float
    value_bound: float
    grad: np.ndarray
    grad_bound: np.ndarray
    grad_intercept: float
    grad_intercept_bound: float


def expected(
    dense,
    signs,
    coef,
    intercept,
    loss_name,
    params=None,
    *,
    alpha=0.0,
    weights=None,
    reduction="mean",
    dtype=None,
):
    """The oracle's answer with bounds that hold for any order of additions.

    A score of d products has an error of at most (d + 2) roundings of its absolute terms, and u = t - m one more.
    Losses are convex, so phi and phi' at a margin known within e lie between their numbers at m - e and m + e: that is
    the whole effect of the scores' rounding, kinks included. On top comes the promised relative error of the sums.
    """
    params = {} if params is None else params
    dtype = computing_dtype(dense.dtype) if dtype is None else np.dtype(dtype)
    relative = RELATIVE[dtype]
    unit = float(np.finfo(dtype).eps)
    X = np.asarray(dense).astype(np.float64)
    signs = np.asarray(signs, dtype=np.float64)
    coef = np.asarray(coef, dtype=np.float64).reshape(-1)
    w = np.ones(len(signs)) if weights is None else np.asarray(weights, dtype=np.float64)
    rounded = coef.astype(dtype).astype(np.float64)
    scores = X @ rounded + intercept
    scores_bound = (X.shape[1] + 2) * unit * (np.abs(X) @ np.abs(rounded) + abs(intercept))
    margins = signs * scores
    # One more rounding for u = t - m, and three for the argument and the square inside exp and erfc.
    error = scores_bound + 4 * unit * (np.abs(margins) + 3.0)

    def bounds(function):
        low, middle, high = (
            function(loss_name, params, m) for m in (margins - error, margins, margins + error)
        )
        low, middle, high = (np.asarray(v, dtype=np.float64) for v in (low, middle, high))
        return middle, np.maximum(np.abs(low - middle), np.abs(high - middle)) + 4 * unit * np.abs(middle)

    losses, losses_error = bounds(reference.phi)
    slopes, slopes_error = bounds(reference.slope)
    total = w.sum() if reduction == "mean" else 1.0
    if X.size <= 1000:
        value, grad, grad_intercept, _ = reference.linear_value_and_grad(
            X, signs, rounded, intercept, loss_name, params, alpha, w, reduction
        )
    else:  # the same sums by NumPy, whose error is far below 2^-40 of the absolute terms
        value = (w * losses).sum() / total + alpha / 2 * float(coef @ coef)
        grad = (w * signs * slopes) @ X / total + alpha * coef
        grad_intercept = (w * signs * slopes).sum() / total
    penalty = alpha / 2 * float(coef @ coef)
    value_bound = ((w * losses_error).sum() + relative * (w * np.abs(losses)).sum()) / total
    value_bound += 2 * relative * penalty
    absolute = np.abs(X)
    grad_bound = absolute.T @ (w * slopes_error) + relative * (absolute.T @ (w * np.abs(slopes)))
    grad_bound = grad_bound / total + 2 * relative * alpha * np.abs(coef)
    intercept_bound = ((w * slopes_error).sum() + relative * (w * np.abs(slopes)).sum()) / total
    tiny = 1e-300
    return Expected(
        scores,
        scores_bound + tiny,
        float(value),
        float(value_bound) + tiny,
        np.asarray(grad, dtype=np.float64).reshape(-1),
        grad_bound + tiny,
        float(grad_intercept),
        float(intercept_bound) + tiny,
    )


def assert_close(result, want, out_eps=0.0):
    """`result` of linear_value_and_grad lies within the bounds; `out_eps`: rounding to a narrow gradient dtype."""
    value, grad, grad_intercept = result
    assert abs(value - want.value) <= want.value_bound, (value, want.value, want.value_bound)
    grad = np.asarray(grad, dtype=np.float64).reshape(-1)
    assert grad.shape == want.grad.shape
    excess = np.abs(grad - want.grad) - (want.grad_bound + out_eps * np.abs(want.grad))
    assert (excess <= 0).all(), (int(excess.argmax()), grad[excess.argmax()], want.grad[excess.argmax()])
    grad_intercept = float(np.asarray(grad_intercept).reshape(-1)[0])
    allowed = want.grad_intercept_bound + out_eps * abs(want.grad_intercept)
    assert abs(grad_intercept - want.grad_intercept) <= allowed, (
        grad_intercept,
        want.grad_intercept,
        allowed,
    )


def named(loss):
    """(canonical name, parameters) of a loss object, as the oracles take them."""
    from hingefast.losses import MARGIN_LOSSES

    (name,) = (name for name, cls in MARGIN_LOSSES.items() if type(loss) is cls)
    return name, loss.params
