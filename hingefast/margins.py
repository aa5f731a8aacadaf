"""`margin_report`: how a classifier's rows lie about its margin, in numbers and in words."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hingefast._kernels.labels import Classes
from hingefast._kernels.table import default_environment
from hingefast.checks import arguments, arrays

__all__ = ["MarginReport", "margin_report"]

Array = npt.NDArray[Any]

# Scores looked at together: a few arrays of this length are the memory it takes.
BLOCK = 65536


@dataclasses.dataclass(frozen=True)
class MarginReport:
    """What `margin_report` found; ``str()`` of it says it in words.

    The margin m of a row is y*score, or, with K classes, the score of the true class less the highest other one.

    Attributes
    ----------
    n_rows : int
    confident : int
        Rows on the right side and outside the margin: m > 1.
    inside : int
        Rows on the right side but inside the margin: 0 < m <= 1.
    wrong : int
        Rows on the wrong side or on the boundary: m <= 0. A NaN score counts here.
    support_vectors : int
        Rows that the hinge loss depends on: m <= 1. A NaN score counts here.
    smallest_margin : float
        The least m; NaN if a score is NaN, inf without rows.
    weight, confident_weight, inside_weight, wrong_weight : float
        Sums of sample weights over all rows and over the three groups; counts without weights.
    margin_width : float or None
        2/||coef||, for binary scores the distance between the lines m = -1 and m = +1 in units of X; None without
        `coef`.
    n_classes : int or None
        Columns of the scores; None for binary ones.
    weighted : bool
        Whether sample weights were given.
    """

    n_rows: int
    confident: int
    inside: int
    wrong: int
    support_vectors: int
    smallest_margin: float
    weight: float
    confident_weight: float
    inside_weight: float
    wrong_weight: float
    margin_width: float | None = None
    n_classes: int | None = None
    weighted: bool = False

    def __str__(self) -> str:
        def line(text: str, count: int, weight: float) -> str:
            share = f"{100 * count / self.n_rows:5.1f} %" if self.n_rows else "    - "
            weighted = ""
            if self.weighted and 0 < self.weight < math.inf:  # else there are no shares of it
                weighted = f"  ({100 * (weight / self.weight):.1f} % of the weight)"
            return f"  {text:<46}{count:>{width},}  {share}{weighted}"

        width = max(len(f"{self.n_rows:,}"), 1)
        margin = (
            "label times score" if self.n_classes is None else "score of the true class less the best other"
        )
        lines = [
            f"Margins of {self.n_rows:,} rows ({margin}: > 0 is right, > 1 is right and confident)",
            line("right and confident (margin above 1)", self.confident, self.confident_weight),
            line("right, but inside the margin (0 to 1)", self.inside, self.inside_weight),
            line("wrong, or undecided (margin 0 or below)", self.wrong, self.wrong_weight),
            f"  support vectors (margin 1 or below): {self.support_vectors:,}",
            f"  smallest margin: {self.smallest_margin:.6g}",
        ]
        if self.margin_width is not None:
            lines.append(f"  width of the margin, 2/||coef||: {self.margin_width:.6g}")
        return "\n".join(lines)


def margin_report(
    y: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    coef: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    classes: npt.ArrayLike | None = None,
) -> MarginReport:
    """How the rows lie about the margin of a classifier.

    Parameters
    ----------
    y : array_like of shape (n,)
        Labels of any real dtype.
    scores : array_like of shape (n,), or (n, K) for K >= 2 classes
        As `decision_function` returns them.
    coef : array_like of shape (d,) or (1, d), or (K, d) for K classes, optional
        For the width of the margin, 2/||coef|| with the norm over all its numbers.
    sample_weight : array_like of shape (n,), optional
        Finite and >= 0; a row of weight 0 is left out.
    classes : pair of numbers, int K or array_like of shape (K,), optional
        The labels, as the losses take them: (negative, positive), or those of the columns.

    Returns
    -------
    MarginReport

    Raises
    ------
    TypeError, ValueError
        As the losses do.

    Notes
    -----
    O(number of scores); reads the arrays in pieces and copies none as a whole.

    Examples
    --------
    >>> import hingefast as hf
    >>> print(hf.margin_report([1, 1, -1, -1], [2.0, 0.5, -3.0, 0.25], coef=[0.6, 0.8]))
    Margins of 4 rows (label times score: > 0 is right, > 1 is right and confident)
      right and confident (margin above 1)          2   50.0 %
      right, but inside the margin (0 to 1)         1   25.0 %
      wrong, or undecided (margin 0 or below)       1   25.0 %
      support vectors (margin 1 or below): 2
      smallest margin: -0.25
      width of the margin, 2/||coef||: 2
    """
    scores = arguments.any_scores(scores)
    labels = arguments.as_labels(y, scores.shape[0], "scores")
    weights = arguments.as_weights(sample_weight, scores.shape[0], "scores")
    n_classes = None if scores.ndim == 1 else scores.shape[1]
    if n_classes is None:
        declared = arguments.as_classes(classes, labels)
    else:
        declared = arguments.classes_of_columns(classes, n_classes, f"scores has {n_classes} columns")
    margins_of = _binary_margins if n_classes is None else _class_margins
    counts = np.zeros(3, np.int64)
    sums = np.zeros(3)
    n_rows, support_vectors, smallest = 0, 0, math.inf
    with default_environment():  # NaN and infinite scores have their place; nothing is a surprise
        for start in range(0, scores.shape[0], BLOCK):
            part = slice(start, start + BLOCK)
            margins = margins_of(declared, labels[part], scores[part], start)
            weight = None if weights is None else arguments.finite_weights(weights[part], start)
            if weight is not None:
                margins, weight = margins[weight > 0], weight[weight > 0]
            group = np.where(margins > 1, 0, np.where(margins > 0, 1, 2))
            counts += np.bincount(group, minlength=3)
            sums += np.bincount(group, weights=weight, minlength=3)
            n_rows += margins.size
            support_vectors += int(np.count_nonzero(~(margins > 1)))
            if margins.size:
                smallest = float(np.minimum(smallest, margins.min()))
        weight_of_all = float(sums.sum())
        margin_width = None if coef is None else _margin_width(coef, n_classes)
    confident, inside, wrong = (int(count) for count in counts)
    confident_weight, inside_weight, wrong_weight = (float(total) for total in sums)
    return MarginReport(
        n_rows=n_rows,
        confident=confident,
        inside=inside,
        wrong=wrong,
        support_vectors=support_vectors,
        smallest_margin=smallest,
        weight=weight_of_all,
        confident_weight=confident_weight,
        inside_weight=inside_weight,
        wrong_weight=wrong_weight,
        margin_width=margin_width,
        n_classes=n_classes,
        weighted=weights is not None,
    )


def _binary_margins(classes: Classes, y: Array, scores: Array, first: int) -> Array:
    """y*score for a piece of rows that begins at row `first`."""
    return np.where(arguments.columns(y, classes, first), 1.0, -1.0) * scores.astype(np.float64)


def _class_margins(classes: Classes, y: Array, scores: Array, first: int) -> Array:
    """The true class's score less the highest other one, for a piece of rows that begins at row `first`."""
    n_rows, n_classes = scores.shape
    index = arguments.columns(y, classes, first)
    margins = np.empty(n_rows)
    step = max(1, BLOCK // n_classes)
    for start in range(0, n_rows, step):
        block = scores[start : start + step].astype(np.float64)
        true = np.arange(len(block)), index[start : start + step]
        own = block[true]
        block[true] = -math.inf
        margins[start : start + step] = own - block.max(axis=1)  # inf - inf is the NaN it should be
    return margins


def _margin_width(coef: npt.ArrayLike, n_classes: int | None) -> float:
    norm = arrays.euclidean_norm(arguments.any_coef(coef, n_classes))
    return 2 / norm if norm else math.inf
