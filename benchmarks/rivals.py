"""The same jobs done by other libraries, where they are installed: torch, numba and scikit-learn.

Each function returns what makes the pass of one job, by the name of the library: a library is imported, and numba's
functions are compiled, only where they are used.

- torch: forward and backward, as its users write it, with the threads of the problem.
- numba: one loop over the rows without fastmath, in one thread; NumPy's dot product for the score of a row.
- scikit-learn: what its `LogisticRegression` runs. Of the hinge it has the value alone.

Those of one score a row do the hinge or the logistic loss, those of K scores Weston-Watkins, which torch calls
`MultiMarginLoss`.
"""

from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from math import exp, log1p
from typing import Any

import numpy as np

from benchmarks.baselines import Makers, Pass
from benchmarks.data import Array, Linear, Multiclass

VALUE_ALONE = "scikit-learn, value alone"


def of_scores(loss: str, y: Array, scores: Array, n_threads: int) -> Makers:
    """Of given scores: (mean, gradient of the mean)."""
    makers: Makers = {"torch": partial(_torch_scores, loss, y, scores, n_threads)}
    if n_threads == 1 and scores.ndim == 1:
        makers["numba"] = partial(_numba_scores, loss, y, scores)
    if loss == "hinge":
        makers[VALUE_ALONE] = partial(_sklearn_hinge_value, y, scores)
    elif loss == "logistic":
        makers["scikit-learn"] = partial(_sklearn_logistic_scores, y, scores, n_threads)
    return _installed(makers)


def of_linear(loss: str, problem: Linear | Multiclass, n_threads: int) -> Makers:
    """Of dense or CSR X: (mean, its gradients with respect to coef and intercept). For CSR torch has no backward."""
    makers: Makers = {}
    if isinstance(problem.X, np.ndarray):
        makers["torch"] = partial(_torch_dense, loss, problem, n_threads)
    if n_threads == 1 and isinstance(problem, Linear):
        makers["numba"] = partial(_numba_linear, loss, problem)
    if loss == "logistic":
        makers["scikit-learn"] = partial(_sklearn_logistic, problem, n_threads)
    return _installed(makers)


def _installed(makers: Makers) -> Makers:
    modules = {"torch": "torch", "numba": "numba", "scikit-learn": "sklearn", VALUE_ALONE: "sklearn"}
    return {name: make for name, make in makers.items() if find_spec(modules[name])}


# ----------------------------------------------------------------------------------------------------
# torch


def _torch_mean(loss: str, n_threads: int) -> Callable[[Any, Any], Any]:
    """Of (y, scores), as tensors."""
    import torch
    from torch.nn.functional import multi_margin_loss, softplus

    torch.set_num_threads(n_threads)
    if loss == "weston_watkins":  # torch's divides by K; to multiply its one number costs next to nothing
        return lambda y, scores: scores.shape[1] * multi_margin_loss(scores, y)
    if loss == "hinge":
        return lambda y, scores: (1 - y * scores).clamp(min=0).mean()
    return lambda y, scores: softplus(-y * scores).mean()


def _torch_scores(loss: str, y: Array, scores: Array, n_threads: int) -> Pass:
    import torch

    mean = _torch_mean(loss, n_threads)
    labels = torch.from_numpy(y)
    variable: Any = torch.from_numpy(scores).requires_grad_()

    def forward_and_backward() -> tuple[float, Any]:
        variable.grad = None
        value = mean(labels, variable)
        value.backward()
        return value.item(), variable.grad.numpy()

    return forward_and_backward


def _torch_dense(loss: str, problem: Linear | Multiclass, n_threads: int) -> Pass:
    import torch

    mean = _torch_mean(loss, n_threads)
    X, labels = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
    coef: Any = torch.from_numpy(problem.coef).requires_grad_()
    intercept: Any = torch.tensor(problem.intercept, dtype=coef.dtype, requires_grad=True)

    def forward_and_backward() -> tuple[float, Any, Any]:
        coef.grad = intercept.grad = None
        value = mean(labels, X @ (coef.T if coef.ndim > 1 else coef) + intercept)
        value.backward()
        return value.item(), coef.grad.numpy(), intercept.grad.numpy()

    return forward_and_backward


# ----------------------------------------------------------------------------------------------------
# numba


@cache
def _numba_loss(loss: str) -> Any:
    """Compiled, of (y, score): the loss and its slope."""
    from numba import njit

    @njit(inline="always")
    def hinge(y: Any, score: Any) -> Any:
        u = 1 - y * score
        return (u, -y) if u > 0 else (0 * u, 0 * y)

    @njit(inline="always")
    def logistic(y: Any, score: Any) -> Any:
        x = -y * score
        e = exp(-abs(x))
        sigmoid = 1 / (1 + e) if x >= 0 else e / (1 + e)
        return max(x, 0.0) + log1p(e), -y * sigmoid

    return {"hinge": hinge, "logistic": logistic}[loss]


@cache
def _numba_loops(loss: str) -> dict[str, Any]:
    """Compiled loops over scores, dense rows and CSR rows."""
    from numba import njit

    of_margin = _numba_loss(loss)

    @njit
    def scores_loop(y: Any, scores: Any, grad: Any) -> Any:
        value, scale = 0.0, 1 / len(y)
        for i in range(len(y)):
            row_value, slope = of_margin(y[i], scores[i])
            value += row_value
            grad[i] = slope * scale
        return value * scale

    @njit
    def dense_loop(X: Any, y: Any, coef: Any, intercept: Any, grad: Any) -> Any:
        value, grad_intercept, scale = 0.0, 0.0, 1 / len(y)
        grad[:] = 0
        for i in range(len(y)):
            row = X[i]
            row_value, slope = of_margin(y[i], np.dot(row, coef) + intercept)
            value += row_value
            if slope != 0:
                grad_intercept += slope
                slope = coef.dtype.type(slope)
                for j in range(len(row)):
                    grad[j] += slope * row[j]
        for j in range(len(grad)):
            grad[j] *= scale
        return value * scale, grad_intercept * scale

    @njit
    def csr_loop(data: Any, indices: Any, indptr: Any, y: Any, coef: Any, intercept: Any, grad: Any) -> Any:
        value, grad_intercept, scale = 0.0, 0.0, 1 / len(y)
        grad[:] = 0
        for i in range(len(y)):
            score = intercept
            for k in range(indptr[i], indptr[i + 1]):
                score += data[k] * coef[indices[k]]
            row_value, slope = of_margin(y[i], score)
            value += row_value
            if slope != 0:
                grad_intercept += slope
                slope = coef.dtype.type(slope)
                for k in range(indptr[i], indptr[i + 1]):
                    grad[indices[k]] += slope * data[k]
        for j in range(len(grad)):
            grad[j] *= scale
        return value * scale, grad_intercept * scale

    return {"scores": scores_loop, "dense": dense_loop, "csr": csr_loop}


def _numba_scores(loss: str, y: Array, scores: Array) -> Pass:
    loop, grad = _numba_loops(loss)["scores"], np.empty_like(scores)
    return lambda: (loop(y, scores, grad), grad)


def _numba_linear(loss: str, problem: Linear) -> Pass:
    X, y, coef, intercept = problem
    is_dense = isinstance(X, np.ndarray)
    loop = _numba_loops(loss)["dense" if is_dense else "csr"]
    rows = (X, y) if is_dense else (X.data, X.indices, X.indptr, y)
    grad, rounded = np.empty_like(coef), coef.dtype.type(intercept)

    def one_loop() -> tuple[float, Any, float]:
        value, grad_intercept = loop(*rows, coef, rounded, grad)
        return value, grad, grad_intercept

    return one_loop


# ----------------------------------------------------------------------------------------------------
# scikit-learn


def _sklearn_hinge_value(y: Array, scores: Array) -> Pass:
    from sklearn.metrics import hinge_loss

    return partial(hinge_loss, y, scores)


def _sklearn_logistic_scores(y: Array, scores: Array, n_threads: int) -> Pass:
    """Its labels are 0 and 1; it returns the loss of every row."""
    from sklearn._loss import HalfBinomialLoss

    loss_gradient = HalfBinomialLoss().loss_gradient
    labels = (y > 0).astype(scores.dtype)
    losses, grad = np.empty_like(scores), np.empty_like(scores)

    def mean() -> tuple[float, Any]:
        loss_gradient(labels, scores, loss_out=losses, gradient_out=grad, n_threads=n_threads)
        np.divide(grad, len(grad), out=grad)
        return losses.mean(dtype=np.float64), grad

    return mean


def _sklearn_logistic(problem: Linear | Multiclass, n_threads: int) -> Pass:
    """Its coef holds the intercept at the end, and so does its gradient; labels are 0 and 1."""
    from sklearn._loss import HalfBinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    X, y, coef, intercept = problem
    linear_loss = LinearModelLoss(base_loss=HalfBinomialLoss(), fit_intercept=True)
    labels = (y > 0).astype(coef.dtype)
    theta = np.append(coef, coef.dtype.type(intercept))
    return partial(linear_loss.loss_gradient, theta, X, labels, n_threads=n_threads)
