"""Estimators with scikit-learn's interface; the extra ``hingefast[sklearn]``."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast.checks import arguments, estimators, fits
from hingefast.fit import STUCK, FitResult, minimize
from hingefast.io.csr import CSR
from hingefast.linear import decision_function
from hingefast.losses import Loss, MarginLoss, as_margin_loss
from hingefast.multiclass import CrammerSinger, OneVsRest, WestonWatkins
from hingefast.objective import Objective
from hingefast.solvers.methods import FEW_COLUMNS, METHODS

try:
    from scipy.sparse import csr_array
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.multiclass import _ovr_decision_function, check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise estimators.no_sklearn(error) from error

__all__ = ["HingeClassifier"]

Array = npt.NDArray[Any]

# How K > 2 classes are told apart: the loss of K scores a row that is built on the margin loss; None: pair by pair.
MULTI_CLASS: dict[str, Callable[[MarginLoss], Loss] | None] = {
    "ovr": OneVsRest,
    "crammer_singer": CrammerSinger,
    "weston_watkins": WestonWatkins,
    "ovo": None,
}

# Second-order methods go on beyond `tol`, until rounding ends it, where that takes next to nothing: with at most so
# many products of columns, and of at least so many columns, which take no longer. Of the hinge there are some 50 steps.
FREE_PRODUCTS, FREE_COLUMNS = 2**21, 16
SECOND_ORDER = ("auto", "newton", "interior_point")
# Steps in a row that may leave the gap of "newton" as it is: some lead from one smoothed hinge to the next.
IDLE_STEPS = 10


class HingeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Linear classifier with a loss of the hinge family: what `sklearn.svm.LinearSVC` is, on data as they are.

    Minimises, for labels y of two classes as -1 and +1,

        1/2*||w||^2 + 1/2*(b/intercept_scaling)^2 + C*sum of weight_i*loss(y_i*(x_i @ w + b))

    by `hingefast.minimize`, which proves how close to the minimum it is: ``dual_gap_``. X is read in place, never
    copied: float32 and float64 in C or Fortran order, CSR with int32 or int64 indices, and data frames of one such
    dtype. Integers, booleans and other strides are cast a few rows at a time.

    Parameters
    ----------
    loss : str or margin loss, default "squared_hinge"
        A margin loss or its name: "hinge", "squared_hinge", "smooth_hinge", "logistic" and so on.
    C : float, default 1.0
        Weight of the loss next to the penalty; > 0.
    multi_class : {"ovr", "crammer_singer", "weston_watkins", "ovo"}, default "ovr"
        How K > 2 classes are told apart: each against the rest, by a loss of the K scores of a row that is built on
        `loss`, or each pair by itself. Two classes are one problem, whatever this says.
    fit_intercept : bool, default True
    intercept_scaling : float, default 1.0
        The larger, the weaker the penalty on the intercept; ``math.inf`` is an intercept without one.
    class_weight : dict or "balanced", optional
        Weights of rows by their class, 1 where the dict has none; in all problems that a row is in, also as one of
        the rest. "balanced" is W/(K*W_k) for class k, W and W_k the sums of `sample_weight` of all rows and of its
        own, or their numbers.
    solver : {"auto", "newton", "interior_point", "dual_cd", "lbfgs"}, default "auto"
        The method of `hingefast.minimize`, which says what each is for.
    tol : float, default 1e-4
        The relative duality gap to reach. On small data (at most 100 columns, and n*max(d, 16)^2 at most 2^21) "newton"
        and "interior_point" go on, if in float64, until rounding ends it, which takes some ms, of the hinge some 20:
        there, weights of rows equal their repetition to some 1e-7 or less.
    max_iter : int, default 1000
        Iterations, or, of "dual_cd", passes over the rows, at most.
    warm_start : bool, default False
        Whether `fit` begins at what it found before, where shapes agree; it keeps dual variables for that, an array
        of n for each class.
    random_state : int, RandomState instance or None, default None
        For "dual_cd", which visits rows in random order.
    n_threads : int, optional
        As everywhere in hingefast; the results have the same bits for any number.

    Attributes
    ----------
    coef_ : ndarray of shape (1, d), or (K, d), or (K*(K - 1)/2, d) for "ovo"
        float64. The pairs of "ovo" are (0, 1), (0, 2), ..., (1, 2), ...; positive scores speak for the latter class.
    intercept_ : ndarray of shape (1,), or (K,), or (K*(K - 1)/2,) for "ovo"
    classes_ : ndarray of shape (K,)
    n_iter_ : int
        What `max_iter` bounds; the most of all pairs, for "ovo".
    dual_gap_ : float
        The relative duality gap reached: the objective is at most ``dual_gap_`` times itself above the minimum, and
        scores are at most ``sqrt(2*dual_gap_*objective)*||x||`` off, x with `intercept_scaling` as one more number;
        both to the rounding of the dtype of X. The largest of all pairs, for "ovo". NaN where nothing can be proved.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)
        Where X is a data frame whose columns are named by strings.

    Raises
    ------
    TypeError, ValueError
        By `fit`, for parameters and data of the wrong kind, labels of one class only, weights that are all 0, and a
        loss that the solver cannot minimise.

    Notes
    -----
    Beyond passes over X, `fit` takes one to see that it is finite. Memory: a few arrays of n and of d, for each class.

    Examples
    --------
    >>> import numpy as np
    >>> from hingefast.sklearn import HingeClassifier
    >>> X = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0], [2.0, -2.0]], np.float32)
    >>> model = HingeClassifier(C=10).fit(X, ["yes", "no", "yes", "no"])
    >>> model.predict(X)
    array(['yes', 'no', 'yes', 'no'], dtype='<U3')
    >>> model.dual_gap_ <= 1e-4
    True
    """

    def __init__(
        self,
        loss: str | MarginLoss = "squared_hinge",
        *,
        C: float = 1.0,
        multi_class: str = "ovr",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
        solver: str = "auto",
        tol: float = 1e-4,
        max_iter: int = 1000,
        warm_start: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.loss = loss
        self.C = C
        self.multi_class = multi_class
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> HingeClassifier:
        """Fit the model.

        Parameters
        ----------
        X : array_like, CSR or data frame of shape (n, d)
            Other sparse formats are converted to CSR.
        y : array_like of shape (n,)
            Labels: strings, integers, booleans, or objects of one kind that have an order.
        sample_weight : array_like of shape (n,), optional
            Finite and >= 0; a weight of 0 leaves the row out, a weight of 2 is the row twice.

        Returns
        -------
        HingeClassifier
            Itself.

        Raises
        ------
        TypeError, ValueError
            See the class.

        Warns
        -----
        ConvergenceWarning
            Where `max_iter` ended it, or rounding, before the gap was `tol`.
        """
        base = as_margin_loss(self.loss, "loss")
        multi_class = estimators.as_choice(self.multi_class, "multi_class", MULTI_CLASS)
        estimators.as_choice(self.solver, "solver", ["auto", *METHODS])
        penalty, tol = estimators.as_penalty(self.C), fits.as_tolerance(self.tol)
        share = estimators.as_share(self.intercept_scaling)
        keeps = arguments.as_flag(self.warm_start, "warm_start")
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        X, y = validate_data(self, _sparse(X), y, accept_sparse="csr", dtype="numeric")
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        classes, index = _encode(y)
        weights = _Weights(classes, index, sample_weight, self.class_weight)
        earlier = getattr(self, "_results", []) if keeps else []
        results: list[FitResult] = []
        spent, parts = [], []
        for problem in _problems(weights, base, multi_class):
            objective = Objective(
                X,
                problem.y,
                loss=problem.loss,
                alpha=estimators.as_strength(penalty, problem.total),
                fit_intercept=self.fit_intercept,
                penalize_intercept=share,
                sample_weight=problem.sample_weight,
                class_weight=problem.class_weight,
                classes=problem.classes,
                n_threads=self.n_threads,
            )
            start = earlier[len(results)] if len(results) < len(earlier) else None
            if start is not None and start.x.size != objective.size:
                start = None
            result = _minimum(
                objective, start, self.solver, tol, {"max_iter": self.max_iter, "random_state": seed}
            )
            results.append(result)
            spent.append(_iterations(result, objective, self.max_iter))
            parts.append(objective.unpack(result.x))
        self.classes_ = weights.classes
        self._is_pairwise = len(results) > 1
        self.coef_ = np.concatenate([np.atleast_2d(coef) for coef, _ in parts])
        self.intercept_ = np.concatenate([np.atleast_1d(intercept) for _, intercept in parts])
        self._results = results if keeps else []
        self._tell(results, spent, tol)
        return self

    def _tell(self, results: list[FitResult], spent: list[int], tol: float) -> None:
        """Set what was reached, and warn where that is not enough."""
        self.n_iter_ = max(spent)
        self.dual_gap_ = float(np.max([result.gap for result in results]))  # NaN if one is
        for result, n_iter in zip(results, spent, strict=True):
            if not (result.success or result.gap <= tol):
                reached = (result.gap, tol, n_iter, result.method)
                text = estimators.not_converged(
                    type(self).__name__, *reached, is_stuck=result.status == STUCK
                )
                warnings.warn(text, ConvergenceWarning, stacklevel=3)
                return

    def decision_function(self, X: Any) -> Array:
        """Scores: of two classes, > 0 for the second; of more, the largest for the class.

        Parameters
        ----------
        X : array_like, CSR or data frame of shape (n, d)

        Returns
        -------
        ndarray of shape (n,), or (n, K) for K > 2 classes
            float32 where X is float32, float16, bool or an 8- or 16-bit integer, else float64. For "ovo" the number
            of pairs that the class wins, and less than a half more or less by how clearly; float64.

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        check_is_fitted(self)
        X = validate_data(self, _sparse(X), accept_sparse="csr", dtype="numeric", reset=False)
        scores = decision_function(X, self.coef_, self.intercept_, n_threads=self.n_threads)
        if self._is_pairwise:
            return _ovr_decision_function(scores > 0, scores, len(self.classes_))  # type: ignore[no-any-return]
        return scores

    def predict(self, X: Any) -> Array:
        """The class of each row.

        Parameters
        ----------
        X : array_like, CSR or data frame of shape (n, d)

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        NotFittedError, TypeError, ValueError
        """
        scores = self.decision_function(X)
        index = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: Array = self.classes_[index]
        return labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _sparse(X: Any) -> Any:
    """Our own CSR, which `read_svmlight` gives, as SciPy's; all else as it is."""
    return csr_array((X.data, X.indices, X.indptr), shape=X.shape) if isinstance(X, CSR) else X


def _encode(y: Array) -> tuple[Array, Array]:
    """The classes in their order, and the number of the class of each row."""
    if y.dtype == object:  # sorting n of them takes ten times as long as looking them up
        values = y.tolist()
        try:
            labels = sorted(set(values))
        except TypeError as error:
            raise estimators.mixed_labels(error) from None
        classes = np.fromiter(labels, object, len(labels))  # np.array would look into tuples
        numbers = {label: k for k, label in enumerate(labels)}
        return classes, np.fromiter(map(numbers.__getitem__, values), np.intp, len(values))
    ordered = np.sort(y)  # of numbers far faster than np.unique
    classes = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    if y.dtype.kind == "f" and (classes != np.floor(classes)).any():
        check_classification_targets(y)  # raises: fractions are no classes
    if len(classes) == 2:
        return classes, (y == classes[1]).astype(np.intp)
    return classes, np.searchsorted(classes, y)


class _Weights:
    """Labels and weights of the rows. A class whose rows all have weight 0 is none, as if it had no rows.

    Attributes
    ----------
    classes : ndarray of shape (K,)
    index : ndarray of shape (n,)
        The number of each row's class; any number where the row has no weight.
    of_rows : ndarray of shape (n,), or None
        Without the weights of classes.
    of_classes : ndarray of shape (K,), or None
    totals : ndarray of shape (K,)
        The sum of the weights of each class, both multiplied.
    """

    def __init__(self, classes: Array, index: Array, of_rows: Array | None, class_weight: Any) -> None:
        sums = np.bincount(index, of_rows, len(classes)).astype(np.float64)
        if not sums.any():
            raise estimators.no_weight()
        of_classes = _class_weights(class_weight, classes, sums)
        totals = sums if of_classes is None else sums * of_classes
        is_class = totals > 0
        if not is_class.all():
            of_rows = np.where(is_class[index], 1.0 if of_rows is None else of_rows, 0.0)
            index = np.maximum(np.cumsum(is_class) - 1, 0)[index]
            classes, totals = classes[is_class], totals[is_class]
            of_classes = None if of_classes is None else of_classes[is_class]
        if len(classes) < 2:
            raise estimators.one_class(classes.tolist())
        self.classes, self.index, self.totals = classes, index, totals
        self.of_rows, self.of_classes = of_rows, of_classes


def _class_weights(class_weight: Any, classes: Array, sums: Array) -> Array | None:
    """Weights of the classes, whose rows have weights that add up to `sums`."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        has_rows = sums > 0
        balanced: Array = sums.sum() / (has_rows.sum() * np.where(has_rows, sums, np.inf))
        return balanced
    if not isinstance(class_weight, dict):
        raise estimators.no_class_weight(class_weight)
    weights: Array = compute_class_weight(class_weight, classes=classes, y=classes)
    return estimators.check_class_weights(weights, classes)


@dataclasses.dataclass
class _Problem:
    """What one objective is made of, and the sum of its weights."""

    loss: Loss
    y: Array
    sample_weight: Array | None
    class_weight: Array | None
    classes: int | None
    total: float


def _problems(weights: _Weights, base: MarginLoss, multi_class: str) -> Iterator[_Problem]:
    """The problems to solve: one, or one for each pair of classes, on the rows of these alone."""
    n_classes, arrangement = len(weights.classes), MULTI_CLASS[multi_class]
    index, totals, of_rows, of_classes = weights.index, weights.totals, weights.of_rows, weights.of_classes
    if n_classes == 2:
        yield _Problem(base, _signs(index == 1), of_rows, of_classes, None, float(totals.sum()))
    elif arrangement is not None:
        yield _Problem(arrangement(base), index, of_rows, of_classes, n_classes, float(totals.sum()))
    else:
        for pair in itertools.combinations(range(n_classes), 2):
            is_second = index == pair[1]
            is_either = is_second | (index == pair[0])
            of_pair = np.where(is_either, 1.0 if of_rows is None else of_rows, 0.0)
            of_both = None if of_classes is None else of_classes[list(pair)]
            yield _Problem(base, _signs(is_second), of_pair, of_both, None, float(totals[list(pair)].sum()))


def _signs(is_positive: Array) -> Array:
    """Labels -1 and +1."""
    return is_positive.astype(np.int8) * np.int8(2) - np.int8(1)


def _minimum(
    objective: Objective, start: FitResult | None, solver: str, tol: float, options: dict[str, Any]
) -> FitResult:
    """What `minimize` finds, to a gap of `tol`, or to rounding where that takes next to nothing."""
    n, d = objective.n_rows, objective.n_features
    is_free = (
        d <= FEW_COLUMNS
        and n * max(d, FREE_COLUMNS) ** 2 <= FREE_PRODUCTS
        and objective._problem.layout.is_f64
    )
    if not is_free or solver not in SECOND_ORDER:
        return minimize(objective, start, method=solver, tol=tol, **options)
    result = minimize(objective, start, method=solver, tol=0.0, callback=_ToRounding(tol), **options)
    if math.isnan(result.gap):  # the method alone knows whether more than `tol` is left
        result.success = minimize(objective, result, method=solver, tol=tol, max_iter=0).success
    return result


class _ToRounding:
    """A callback that ends a method where steps make a gap of at most `tol` no smaller; without a gap, the value."""

    def __init__(self, tol: float) -> None:
        self.tol, self.gap, self.fun, self.n_idle = tol, math.inf, math.inf, 0

    def __call__(self, result: FitResult) -> None:
        is_near = result.gap <= self.tol and not result.gap < self.gap
        is_idle = is_near or (math.isnan(result.gap) and not result.fun < self.fun)
        self.n_idle = self.n_idle + 1 if is_idle else 0
        if self.n_idle >= (IDLE_STEPS if result.method == "newton" else 1):
            raise StopIteration
        self.gap, self.fun = min(result.gap, self.gap), result.fun


def _iterations(result: FitResult, objective: Objective, max_iter: int | None) -> int:
    """What `max_iter` bounds: the last pass may go beyond it, which nobody expects."""
    spent = result.nit
    if METHODS[result.method].counts_passes:
        n_parts = objective.n_classes if isinstance(objective.loss, OneVsRest) else 1
        spent = math.ceil(result.history["passes"][-1] / n_parts)
    return spent if max_iter is None else min(spent, max_iter)
