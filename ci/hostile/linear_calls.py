"""Hostile calls of `linear_value_and_grad` and `decision_function`, and the problems that `Objective` shares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import label_arguments
import loss_arguments
import matrix_arguments
import numpy as np
import oracle
import outputs
import small_arguments
import wild
from call import Call, Spoiler, add_no_mean, combined, is_plain_number, passed_on, spoiled
from draw import F32, F64
from faults import Fault, no_mean

import hingefast as hf


@dataclass
class Problem:
    """A linear problem: what is passed and what it means."""

    told: dict
    n_rows: int
    n_features: int
    n_classes: int  # 0 for a binary loss
    mode: str
    X: oracle.Features
    parts: dict | None  # of CSR
    labels: np.ndarray
    columns: np.ndarray
    names: tuple
    weight: np.ndarray | None
    factor: np.ndarray | None
    has_safe_weights: bool
    has_safe_scale: bool
    loss: oracle.Loss
    easy: bool
    rows: np.ndarray | None = None

    @property
    def is_exact(self):
        return self.mode == "exact" and self.easy


LARGE = (
    (513, 3), (1025, 8), (3, 257), (5, 2049), (2, 8193), (70, 300), (65537, 1), (700, 70), (4097, 2), (9, 4096),
    (300, 255), (1537, 0), (66, 1024), (140000, 1),
)  # fmt: skip


def make_problem(draw, *, declared=False):
    """Draw everything that `linear_value_and_grad` and `Objective` share."""
    is_binary = draw.chance() < 0.6
    n_rows, n_features = draw.size(), draw.features()
    if draw.chance() < 0.006:
        n_rows, n_features = draw.choice(LARGE)
    n_classes = 0 if is_binary else draw.often(draw.integer(2, 7), draw.integer(2, 41), p=0.85)
    if n_rows * n_features > 20000:
        n_classes = min(n_classes, 4)
    passed, meant, easy = (
        loss_arguments.margin_loss(draw) if is_binary else loss_arguments.class_loss(draw, n_classes)
    )
    mode, dtype = draw.mode(), draw.real_dtype()
    X, features, parts = matrix_arguments.matrix(draw, n_rows, n_features, mode, dtype)
    if is_binary:
        y, classes, labels, names = label_arguments.binary_labels(draw, n_rows)
        columns = (labels > 0).astype(int)
    else:
        y, classes, labels, names = label_arguments.class_labels(draw, n_rows, n_classes, declared=declared)
        columns = labels
    sample_weight, weight, is_safe = label_arguments.weights(draw, n_rows)
    class_weight, factor, is_safe_too = label_arguments.class_weights(draw, n_classes or 2)
    told = {"X": X, "y": y, "loss": passed}
    told |= passed_on(draw, 0.0, sample_weight=sample_weight, class_weight=class_weight, classes=classes)
    return Problem(
        told, n_rows, n_features, n_classes, mode, features, parts, labels, columns, tuple(names), weight, factor,
        weight is None or factor is None or (is_safe and is_safe_too), is_safe and is_safe_too, meant, easy,
    )  # fmt: skip


def spoil_problem(draw, spoil, problem, batch, *, is_checked_whole=False):
    """Spoil what is wanted of the arguments that all linear calls share."""
    named = None if is_checked_whole else batch
    n_rows, n_features, n_classes = problem.n_rows, problem.n_features, problem.n_classes
    if problem.parts is not None and draw.chance() < 0.9:
        spoil("X", matrix_arguments.spoil_csr, problem.parts, n_rows, n_features, named)
    else:
        spoil("X", matrix_arguments.spoil_dense, n_rows, n_features)
    spoil("y", label_arguments.spoil_y, problem.told["y"], problem.names, n_rows, named, "X")
    spoil("sample_weight", label_arguments.spoil_weight, n_rows, named, "X")
    spoil("class_weight", label_arguments.spoil_class_weight, n_classes or 2, is_checked_whole)
    if n_classes:
        spoil("classes", label_arguments.spoil_declared, n_classes, is_checked_whole)
    else:
        spoil("classes", label_arguments.spoil_pair)
    spoil("loss", spoil_loss)
    spoil("alpha", lambda draw: small_arguments.spoil_alpha(draw))
    spoil("n_threads", lambda draw: small_arguments.spoil_threads(draw))


def spoil_loss(draw):
    return wild.no_name(draw), Fault(("loss",))


def batch_of(problem, rows):
    """(X, labels, weight) of the batch, weights of classes included; None for weights that may overflow."""
    weight = combined(problem.weight, problem.factor, problem.columns)
    X = replace(problem.X, is_exact=problem.is_exact)
    if rows is None:
        return X, problem.labels, weight
    return X.batch(rows), problem.labels[rows], None if weight is None else weight[rows]


def linear_calls(draw):
    problem = make_problem(draw)
    told, n_classes, n_features = problem.told, problem.n_classes, problem.n_features
    is_row = not n_classes and draw.chance() < 0.2
    shape = (n_classes, n_features) if n_classes else (1, n_features) if is_row else (n_features,)
    mode = problem.mode if problem.mode == "exact" else "normal"
    told["coef"], coef, grad_dtype = matrix_arguments.coefficients(draw, shape, mode)
    intercept, b = matrix_arguments.intercepts(draw, n_classes, problem.mode)
    if not (isinstance(intercept, float) and intercept == 0) or draw.chance() < 0.3:
        told["intercept"] = intercept
    told["alpha"], alpha = small_arguments.alpha(draw)
    told["reduction"], reduction = small_arguments.reduction(draw, ("mean", "mean", "sum"))
    told["n_threads"] = small_arguments.threads(draw)
    rows, batch = small_arguments.rows(draw, problem.n_rows)
    if rows is not None:
        told["rows"] = rows
    outs = []
    if draw.chance() < 0.35:
        outs = [outputs.output(draw, shape, grad_dtype)]
        if n_classes and draw.chance() < 0.5:
            outs.append(outputs.output(draw, (n_classes,), grad_dtype))
        told["out"] = outs[0][0] if len(outs) == 1 else tuple(out for out, _ in outs)

    which = spoiled(
        draw,
        (
            "X", "X", "y", "coef", "intercept", "loss", "alpha", "sample_weight", "class_weight", "classes",
            "reduction", "rows", "out", "n_threads",
        ),
    )  # fmt: skip
    spoil = Spoiler(draw, told, which)
    if "rows" in which:
        spoil("rows", small_arguments.spoil_rows, problem.n_rows)
        batch = None if not spoil.faults else np.zeros(0, int)
        if not spoil.faults:
            told.pop("rows", None)
    spoil_problem(draw, spoil, problem, batch)
    spoil("coef", matrix_arguments.spoil_coef, n_features, n_classes)
    spoil("intercept", matrix_arguments.spoil_intercept, n_classes)
    spoil(
        "reduction",
        lambda draw: (
            ("none", Fault(("reduction",))) if draw.chance() < 0.3 else small_arguments.spoil_reduction(draw)
        ),
    )
    if "out" in which:
        outs = spoil_linear_output(draw, spoil, shape, grad_dtype, n_classes)

    add_no_mean(spoil, reduction, problem.n_rows if batch is None else len(batch))
    expected = None
    if not spoil.faults and (problem.has_safe_weights or reduction == "mean"):
        X, labels, weight = batch_of(problem, batch)
        with np.errstate(all="ignore"):
            expected = oracle.linear_answers(
                problem.loss,
                X,
                labels,
                weight,
                reduction,
                coef.reshape(-1) if not n_classes else coef,
                b,
                alpha,
                grad_dtype,
            )
        if expected is None:
            spoil.faults.append(no_mean())
        elif not problem.has_safe_scale and reduction == "sum" and not problem.X.is_f64:
            expected[1].off = np.full(expected[1].value.shape, np.inf)
            expected[2].off = np.full(expected[2].value.shape, np.inf)
    elif not spoil.faults:
        spoil.faults.append(no_mean(is_sure=False))

    def check(result):
        if type(result) is not tuple or len(result) != 3:
            raise oracle.Wrong(f"it returned {wild.text_of(result)}")
        value, grad, grad_intercept = result
        if not is_plain_number(value):
            raise oracle.Wrong(f"value is a {type(value).__name__}")
        if outs and grad is not outs[0][0]:
            raise oracle.Wrong("out did not come back as the very same object")
        if len(outs) == 2 and grad_intercept is not outs[1][0]:
            raise oracle.Wrong("out[1] did not come back as the very same object")
        if expected is None:
            return
        expected[0].check(value, "value")
        if grad.shape != shape:
            raise oracle.Wrong(f"grad_coef has shape {grad.shape}, not {shape}")
        expected[1].check(grad if n_classes else grad.reshape(-1), "grad_coef")
        flat = expected[2]
        if not n_classes and np.shape(intercept) == (1,) and "intercept" in told:
            flat = oracle.Answer(
                flat.value[None], flat.off[None] + 4 * np.finfo(grad_dtype).eps * abs(flat.value), grad_dtype
            )
        elif not n_classes and not is_plain_number(grad_intercept):
            raise oracle.Wrong(f"grad_intercept is a {type(grad_intercept).__name__}")
        flat.check(grad_intercept, "grad_intercept")

    def run(**more):
        given = dict(told)
        return hf.linear_value_and_grad(given.pop("X"), given.pop("y"), given.pop("coef"), **(given | more))

    yield Call(
        f"linear_value_and_grad {'CSR' if problem.parts else 'dense'}",
        run,
        told,
        spoil.faults,
        check,
        takes_threads=True,
        outs=outs,
        keeps_out=True,
        draw=draw,
    )


def spoil_linear_output(draw, spoil, shape, dtype, n_classes):
    told = spoil.told
    told.pop("out", None)
    kind = draw.integer(4)
    spoil.faults.append(Fault(("out",)))
    if kind == 0:
        held = np.zeros(0) if "coef" in spoil.which else np.asarray(told["coef"])
        found = None
        if held.dtype.kind == "f" and held.shape == shape:
            found = outputs.overlap(draw, held.astype(held.dtype.newbyteorder("=")), shape, dtype)
        if found is not None and np.asarray(found[0]).dtype.newbyteorder("=") == held.dtype.newbyteorder("="):
            told["coef"], told["out"] = found
            spoil.faults[-1] = Fault(("out",), (ValueError,))
            return [(told["out"], None)]
    if kind == 1 and n_classes:
        first, second = outputs.output(draw, shape, dtype), outputs.output(draw, (n_classes,), dtype)
        told["out"] = draw.choice(
            ((first[0],), (first[0], second[0], 0), [first[0], second[0]], (second[0], first[0]), ())
        )
        if shape == (n_classes,):
            told["out"] = ()
        return [first, second]
    out, piece = outputs.spoil_output(draw, shape, dtype)
    if not isinstance(out, np.ndarray):
        told["out"] = out
        return []
    told["out"] = out
    return [(out, piece)]


def decision_calls(draw):
    mode, dtype = draw.mode(), draw.real_dtype()
    n_rows, n_features = draw.size(), draw.features()
    if draw.chance() < 0.006:
        n_rows, n_features = draw.choice(LARGE)
    n_classes = 0 if draw.chance() < 0.5 else draw.integer(2, 12)
    X, features, parts = matrix_arguments.matrix(draw, n_rows, n_features, mode, dtype)
    shape = (n_classes, n_features) if n_classes else draw.choice(((n_features,), (1, n_features)))
    told = {"X": X}
    told["coef"], coef, _ = matrix_arguments.coefficients(
        draw, shape, mode if mode in ("exact", "special") else "normal"
    )
    told["intercept"], b = matrix_arguments.intercepts(draw, n_classes, mode)
    told["n_threads"] = small_arguments.threads(draw)
    rows, batch = small_arguments.rows(draw, n_rows)
    if rows is not None:
        told["rows"] = rows
    n_out = n_rows if batch is None else len(batch)
    out_shape = (n_out, n_classes) if n_classes else (n_out,)
    computing = F64 if features.is_f64 else F32
    outs = []
    if draw.chance() < 0.4:
        outs = [outputs.output(draw, out_shape, computing)]
        told["out"] = outs[0][0]
    which = spoiled(draw, ("X", "X", "coef", "intercept", "rows", "out", "n_threads"))
    spoil = Spoiler(draw, told, which)
    if "rows" in which:
        spoil("rows", small_arguments.spoil_rows, n_rows)
        if spoil.faults:
            outs = []
            told.pop("out", None)
    if parts is not None:
        spoil("X", matrix_arguments.spoil_csr, parts, n_rows, n_features, batch)
    else:
        spoil("X", matrix_arguments.spoil_dense, n_rows, n_features)
    if "coef" in which:
        wrong = [(n_features + 1,), (1, 1, n_features), (), (0, n_features), (2, n_features + 1)]
        told["coef"] = (
            np.zeros(draw.choice(wrong)) if draw.chance() < 0.6 else wild.no_numbers(draw, (n_features,))
        )
        spoil.faults.append(Fault(("coef",)))
    spoil("intercept", matrix_arguments.spoil_intercept, n_classes)
    spoil("n_threads", lambda draw: small_arguments.spoil_threads(draw))
    if "out" in which:
        told["out"], piece = outputs.spoil_output(draw, out_shape, computing)
        outs = [(told["out"], piece)] if isinstance(told["out"], np.ndarray) else []
        spoil.faults.append(Fault(("out",)))
    expected = None
    if not spoil.faults:
        with np.errstate(all="ignore"):
            X = features if batch is None else features.batch(batch)
            expected = oracle.decision_answer(X, coef if n_classes else coef.reshape(-1), b)

    def check(result):
        if outs and result is not outs[0][0]:
            raise oracle.Wrong("out did not come back as the very same object")
        if expected is not None:
            expected.check(result, "scores")

    def run(**more):
        given = dict(told)
        return hf.decision_function(given.pop("X"), given.pop("coef"), **(given | more))

    yield Call("decision_function", run, told, spoil.faults, check, takes_threads=True, outs=outs, draw=draw)
