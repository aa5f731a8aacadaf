"""Hostile calls: one seed makes a short program of them, each with what it has to answer.

`program(seed, memory)` is a generator of `Call`s; what a call returned is sent back to it, None where it raised. Most
programs are one call; one on an `Objective` makes it and calls it a few times. About half of the calls are spoiled: one
or two arguments are what they must not be.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import arguments as arg
import numpy as np
import oracle
import wild
from draw import F32, F64, Draw

import hingefast as hf

SUM_LIMIT = 1e30  # beyond, a float32 sum of weights is not promised: only means are free of their scale


@dataclass
class Call:
    """One call: how to make it and what it has to answer."""

    entry: str
    run: Callable[..., Any]  # takes n_threads, where `takes_threads`
    told: dict  # its arguments by name, for reports
    faults: list  # of `arguments.Fault`; none where the call must succeed
    check: Callable[[Any], None] | None = None  # raises oracle.Wrong
    takes_threads: bool = False
    outs: list = field(default_factory=list)  # (array, piece) of outputs
    out_is_result: bool = False  # an output must come back as the very object
    keeps_out: bool = False  # outputs stay as they are whatever the error
    named: tuple = ()  # further words that a message may name
    draw: Any = None

    @property
    def must_refuse(self):
        return any(fault.is_sure for fault in self.faults)

    @property
    def must_succeed(self):
        return not self.faults


def program(seed, memory):
    """The calls of a seed."""
    draw = Draw(seed, memory)
    kind = draw.chance()
    if kind < 0.3:
        yield from score_calls(draw)
    elif kind < 0.62:
        yield from linear_calls(draw)
    elif kind < 0.7:
        yield from decision_calls(draw)
    elif kind < 0.9:
        yield from objective_calls(draw)
    elif kind < 0.95:
        yield from margin_calls(draw)
    else:
        yield from small_calls(draw)


def spoiled(draw, names):
    """Which arguments to spoil: none of them in half of the calls."""
    if draw.chance() < 0.5:
        return frozenset()
    return frozenset(draw.random.sample(names, 1 if len(names) == 1 or draw.chance() < 0.85 else 2))


class Spoiler:
    """Replaces arguments by spoiled ones and collects the faults."""

    def __init__(self, draw, told, which):
        self.draw, self.told, self.which, self.faults = draw, told, which, []

    def __call__(self, name, spoil, *others):
        """`told[name]`, spoiled where that is wanted; `spoil` gives (object, Fault or None), or None."""
        if name not in self.which:
            return
        found = spoil(self.draw, *others)
        if found is None:
            return
        self.told[name], fault = found
        if fault is not None:
            self.faults.append(fault)
        elif "rows" in self.which:  # which rows are met, and so what is told first, is open
            self.faults.append(arg.Fault(("X", "y", "sample_weight"), is_content=True, is_sure=False))


def keywords(told, *names):
    """Those of the arguments that are not left at their default, which is None but for some."""
    return {name: told[name] for name in names if name in told}


def combined(weight, factor, columns):
    """Weights of rows in longdouble, None where there are none."""
    if factor is None:
        return weight
    of_class = factor.astype(np.longdouble)[columns]
    return of_class if weight is None else weight * of_class


def add_no_mean(spoil, reduction, n_rows):
    """A call that is wrong already may be told first that there is no mean."""
    if (
        spoil.faults
        and (n_rows == 0 or "sample_weight" in spoil.told or "class_weight" in spoil.told)
        and reduction == "mean"
    ):
        spoil.faults.append(arg.no_mean(is_sure=False))


def is_plain_number(value):
    return type(value) is float


# ---- losses on scores


def large_rows(draw):
    return draw.choice((511, 512, 513, 1025, 4097, 65535, 65537, 131073))


def score_calls(draw):
    is_binary = draw.chance() < 0.55
    n_rows = draw.size() if draw.chance() > 0.004 else large_rows(draw)
    n_classes = 2 if is_binary else draw.often(draw.integer(2, 7), draw.integer(2, 41), p=0.85)
    if n_rows > 600:
        n_classes = min(n_classes, 3)
        n_rows = n_rows if is_binary else min(n_rows, 4097)
    passed, meant, easy = arg.margin_loss(draw) if is_binary else arg.class_loss(draw, n_classes)
    loss = arg.as_object(passed)
    mode = draw.mode()
    shape = (n_rows,) if is_binary else (n_rows, n_classes)
    numbers = draw.sample(shape, draw.real_dtype(), mode)
    scores = draw.dress(draw.lay_out(numbers), 0.15 if n_rows or is_binary else 0)
    read = np.asarray(scores)
    is_f64 = arg.computes_in_float64(read.dtype)
    if is_binary:
        y, classes, labels, names = arg.binary_labels(draw, n_rows)
        columns = (labels > 0).astype(int)
    else:
        y, classes, labels, names = arg.class_labels(draw, n_rows, n_classes)
        columns = labels
    sample_weight, weight, is_safe = arg.weights(draw, n_rows)
    class_weight, factor, is_safe_too = arg.class_weights(draw, n_classes)
    passed_reduction, reduction = arg.reduction(draw, ("mean", "mean", "sum", "none"))
    want = draw.choice(("value", "grad", "value_and_grad", "__call__"))
    gives_grad = want in ("grad", "value_and_grad")
    told = {"y": y, "scores": scores, "reduction": passed_reduction, "n_threads": arg.threads(draw)}
    told |= {
        name: value
        for name, value in (
            ("sample_weight", sample_weight),
            ("class_weight", class_weight),
            ("classes", classes),
        )
        if value is not None or draw.chance() < 0.1
    }
    computing = F64 if is_f64 else F32
    grad_dtype = read.dtype.newbyteorder("=")
    grad_dtype = grad_dtype if grad_dtype in (F32, F64) else F64

    # where the results go
    outs, wanted = [], []
    if gives_grad:
        wanted.append((shape, grad_dtype))
    if reduction == "none" and want != "grad":
        wanted.insert(0, ((n_rows,), computing))
    if wanted and draw.chance() < 0.4:
        outs = [arg.output(draw, *each) for each in wanted]
        told["out"] = outs[0][0] if len(outs) == 1 else tuple(out for out, _ in outs)

    # what is wrong
    which = spoiled(
        draw, ("y", "scores", "sample_weight", "class_weight", "classes", "reduction", "out", "n_threads")
    )
    spoil = Spoiler(draw, told, which)
    spoil("y", arg.spoil_y, y, names, n_rows, None, "scores")
    spoil("scores", spoil_scores, shape)
    spoil("sample_weight", arg.spoil_weight, n_rows, None, "scores")
    spoil("class_weight", arg.spoil_class_weight, n_classes, False)
    if is_binary:
        spoil("classes", arg.spoil_pair)
    else:
        spoil("classes", arg.spoil_declared, n_classes)
    spoil("reduction", arg.spoil_reduction)
    spoil("n_threads", arg.spoil_threads)
    if "out" in which:
        outs = spoil_score_output(draw, spoil, wanted, reduction, want, numbers, is_binary)

    add_no_mean(spoil, reduction, n_rows)
    total = combined(weight, factor, columns)
    if total is not None and not (is_safe and is_safe_too) and weight is not None and factor is not None:
        expected = None  # a product of weights may overflow or vanish
        spoil.faults.append(arg.no_mean(is_sure=False))
    elif spoil.faults:
        expected = None
    else:
        with np.errstate(all="ignore"):
            z = read.astype(read.dtype.newbyteorder("=")).astype(np.float64)
            expected = oracle.score_answers(
                meant, z, labels, total, reduction, is_f64, grad_dtype, mode == "exact" and easy
            )
        if expected is None:
            spoil.faults.append(arg.no_mean())
        elif not is_f64 and reduction != "mean" and total is not None and not is_safe:
            expected[1].off = np.full(shape, np.inf)

    def check(result):
        parts = result if want == "value_and_grad" else (result,)
        if want == "value_and_grad" and (type(result) is not tuple or len(result) != 2):
            raise oracle.Wrong(f"{want} returned {wild.text_of(result)}")
        found = expected or (None, None)
        answers = found if want == "value_and_grad" else found[1:] if want == "grad" else found[:1]
        for part, answer, what in zip(
            parts, answers, ("grad",) if want == "grad" else ("value", "grad"), strict=False
        ):
            if what == "value" and reduction != "none" and not is_plain_number(part):
                raise oracle.Wrong(f"{what} is a {type(part).__name__}")
            if answer is not None:
                answer.check(part, what)
        if outs:
            arrays = tuple(part for part in parts if isinstance(part, np.ndarray))
            if len(arrays) != len(outs) or any(a is not b for a, (b, _) in zip(arrays, outs, strict=True)):
                raise oracle.Wrong("out did not come back as the very same object")

    method = getattr(loss, want)

    def run(**more):
        given = dict(told)
        return method(given.pop("y"), given.pop("scores"), **(given | more))

    yield Call(
        f"{'binary' if is_binary else 'multiclass'} {want}",
        run,
        {"loss": loss, **told},
        spoil.faults,
        check,
        takes_threads=True,
        outs=outs,
        draw=draw,
    )


def spoil_scores(draw, shape):
    if draw.chance() < 0.5:
        wrong = [(), (*shape, 1), (*shape, 3)]
        wrong += [(*shape, 2)] if len(shape) == 1 else [(shape[0],), (shape[0], 1), (shape[0], 0)]
        return np.zeros(draw.choice(wrong), draw.choice((F32, F64))), arg.Fault(
            ("scores", "y", "classes", "coef")
        )
    return wild.no_numbers(draw, shape), arg.Fault(("scores", "y"))


def spoil_score_output(draw, spoil, wanted, reduction, want, numbers, is_binary):
    """Put an output that does not fit in its place; the outputs that must stay as they are."""
    told, fault = spoil.told, arg.Fault(("out",))
    told.pop("out", None)
    if not wanted:  # a scalar value takes none
        out, piece = arg.output(draw, (1,), F64)
        told["out"] = draw.choice((out, (out, out), 0))
        spoil.faults.append(fault)
        return [(out, piece)]
    outs = [arg.output(draw, *each) for each in wanted]
    place = draw.integer(len(outs))
    kind = draw.integer(4)
    if kind == 0:
        found = arg.overlap(draw, np.ascontiguousarray(numbers), *wanted[place])
        if found is None or "scores" in spoil.which:
            return []
        told["scores"], out = found
        given = np.asarray(told["scores"])
        if given.shape != numbers.shape:
            return []
        outs[place] = (out, None)
        fault = arg.Fault(("out",), (ValueError,))
    elif kind == 1 and len(outs) == 2:
        told["out"] = draw.choice(
            ((outs[0][0],), (outs[0][0], outs[1][0], outs[1][0]), [out for out, _ in outs], outs[1][0], ())
        )
        spoil.faults.append(fault)
        return outs
    else:
        out, piece = arg.spoil_output(draw, *wanted[place])
        outs[place] = (out, piece)
    told["out"] = outs[0][0] if len(outs) == 1 else tuple(out for out, _ in outs)
    spoil.faults.append(fault)
    return [(out, piece) for out, piece in outs if isinstance(out, np.ndarray)]


# ---- linear models


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


def make_problem(draw, *, declared=False, takes_class_weight=True):
    """Draw everything that `linear_value_and_grad` and `Objective` share."""
    is_binary = draw.chance() < 0.6
    n_rows, n_features = draw.size(), draw.features()
    if draw.chance() < 0.006:
        n_rows, n_features = draw.choice(LARGE)
    n_classes = 0 if is_binary else draw.often(draw.integer(2, 7), draw.integer(2, 41), p=0.85)
    if n_rows * n_features > 20000:
        n_classes = min(n_classes, 4)
    passed, meant, easy = arg.margin_loss(draw) if is_binary else arg.class_loss(draw, n_classes)
    mode, dtype = draw.mode(), draw.real_dtype()
    parts = None
    if draw.chance() < 0.5:
        X, features = arg.dense(draw, n_rows, n_features, mode, dtype)
    else:
        parts, features = arg.csr(draw, n_rows, n_features, mode, dtype)
        X = arg.assemble(draw, parts)
    if is_binary:
        y, classes, labels, names = arg.binary_labels(draw, n_rows)
        columns = (labels > 0).astype(int)
    else:
        y, classes, labels, names = arg.class_labels(draw, n_rows, n_classes, declared=declared)
        columns = labels
    sample_weight, weight, is_safe = arg.weights(draw, n_rows)
    class_weight, factor, is_safe_too = arg.class_weights(draw, n_classes or 2)
    told = {"X": X, "y": y, "loss": passed}
    told |= {
        name: value
        for name, value in (
            ("sample_weight", sample_weight),
            ("class_weight", class_weight),
            ("classes", classes),
        )
        if value is not None
    }
    return Problem(
        told, n_rows, n_features, n_classes, mode, features, parts, labels, columns, tuple(names), weight, factor,
        weight is None or factor is None or (is_safe and is_safe_too), is_safe and is_safe_too, meant, easy,
    )  # fmt: skip


def spoil_problem(draw, spoil, problem, batch, *, is_checked_whole=False):
    """Spoil what is wanted of the arguments that all linear calls share."""
    named = None if is_checked_whole else batch
    n_rows, n_features, n_classes = problem.n_rows, problem.n_features, problem.n_classes
    if problem.parts is not None and draw.chance() < 0.9:
        spoil("X", arg.spoil_csr, problem.parts, n_rows, n_features, named)
    else:
        spoil("X", arg.spoil_dense, n_rows, n_features)
    spoil("y", arg.spoil_y, problem.told["y"], problem.names, n_rows, named, "X")
    spoil("sample_weight", arg.spoil_weight, n_rows, named, "X")
    spoil("class_weight", arg.spoil_class_weight, n_classes or 2, is_checked_whole)
    if n_classes:
        spoil("classes", arg.spoil_declared, n_classes, is_checked_whole)
    else:
        spoil("classes", arg.spoil_pair)
    spoil("loss", spoil_loss)
    spoil("alpha", lambda draw: arg.spoil_alpha(draw))
    spoil("n_threads", lambda draw: arg.spoil_threads(draw))


def spoil_loss(draw):
    return wild.no_name(draw), arg.Fault(("loss",))


def batch_of(problem, rows):
    """(X, labels, weight) of the batch, weights of classes included; None for weights that may overflow."""
    weight = combined(problem.weight, problem.factor, problem.columns)
    X = oracle.Features(problem.X.dense, problem.X.size, problem.X.is_f64, problem.is_exact)
    if rows is None:
        return X, problem.labels, weight
    return X.batch(rows), problem.labels[rows], None if weight is None else weight[rows]


def linear_calls(draw):
    problem = make_problem(draw)
    told, n_classes, n_features = problem.told, problem.n_classes, problem.n_features
    is_row = not n_classes and draw.chance() < 0.2
    shape = (n_classes, n_features) if n_classes else (1, n_features) if is_row else (n_features,)
    mode = problem.mode if problem.mode == "exact" else "normal"
    told["coef"], coef, grad_dtype = arg.coefficients(draw, shape, mode)
    intercept, b = arg.intercepts(draw, n_classes, problem.mode)
    if not (isinstance(intercept, float) and intercept == 0) or draw.chance() < 0.3:
        told["intercept"] = intercept
    told["alpha"], alpha = arg.alpha(draw)
    told["reduction"], reduction = arg.reduction(draw, ("mean", "mean", "sum"))
    told["n_threads"] = arg.threads(draw)
    rows, batch = arg.rows(draw, problem.n_rows)
    if rows is not None:
        told["rows"] = rows
    outs = []
    if draw.chance() < 0.35:
        outs = [arg.output(draw, shape, grad_dtype)]
        if n_classes and draw.chance() < 0.5:
            outs.append(arg.output(draw, (n_classes,), grad_dtype))
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
        spoil("rows", arg.spoil_rows, problem.n_rows)
        batch = None if not spoil.faults else np.zeros(0, int)
        if not spoil.faults:
            told.pop("rows", None)
    spoil_problem(draw, spoil, problem, batch)
    spoil("coef", arg.spoil_coef, n_features, n_classes)
    spoil("intercept", arg.spoil_intercept, n_classes)
    spoil(
        "reduction",
        lambda draw: (
            ("none", arg.Fault(("reduction",))) if draw.chance() < 0.3 else arg.spoil_reduction(draw)
        ),
    )
    if "out" in which:
        outs = spoil_linear_output(draw, spoil, shape, grad_dtype, n_classes)

    add_no_mean(spoil, reduction, problem.n_rows if batch is None else len(batch))
    expected = None
    if not spoil.faults and problem.has_safe_weights:
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
            spoil.faults.append(arg.no_mean())
        elif not problem.has_safe_scale and reduction == "sum" and not problem.X.is_f64:
            expected[1].off = np.full(expected[1].value.shape, np.inf)
            expected[2].off = np.full(expected[2].value.shape, np.inf)
    elif not spoil.faults:
        spoil.faults.append(arg.no_mean(is_sure=False))

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
    spoil.faults.append(arg.Fault(("out",)))
    if kind == 0:
        held = np.zeros(0) if "coef" in spoil.which else np.asarray(told["coef"])
        found = None
        if held.dtype.kind == "f" and held.shape == shape:
            found = arg.overlap(draw, held.astype(held.dtype.newbyteorder("=")), shape, dtype)
        if found is not None and np.asarray(found[0]).dtype.newbyteorder("=") == held.dtype.newbyteorder("="):
            told["coef"], told["out"] = found
            spoil.faults[-1] = arg.Fault(("out",), (ValueError,))
            return [(told["out"], None)]
    if kind == 1 and n_classes:
        first, second = arg.output(draw, shape, dtype), arg.output(draw, (n_classes,), dtype)
        told["out"] = draw.choice(
            ((first[0],), (first[0], second[0], 0), [first[0], second[0]], (second[0], first[0]), ())
        )
        if shape == (n_classes,):
            told["out"] = ()
        return [first, second]
    out, piece = arg.spoil_output(draw, shape, dtype)
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
    parts = None
    if draw.chance() < 0.5:
        X, features = arg.dense(draw, n_rows, n_features, mode, dtype)
    else:
        parts, features = arg.csr(draw, n_rows, n_features, mode, dtype)
        X = arg.assemble(draw, parts)
    shape = (n_classes, n_features) if n_classes else draw.choice(((n_features,), (1, n_features)))
    told = {"X": X}
    told["coef"], coef, _ = arg.coefficients(draw, shape, mode if mode in ("exact", "special") else "normal")
    told["intercept"], b = arg.intercepts(draw, n_classes, mode)
    told["n_threads"] = arg.threads(draw)
    rows, batch = arg.rows(draw, n_rows)
    if rows is not None:
        told["rows"] = rows
    n_out = n_rows if batch is None else len(batch)
    out_shape = (n_out, n_classes) if n_classes else (n_out,)
    computing = F64 if features.is_f64 else F32
    outs = []
    if draw.chance() < 0.4:
        outs = [arg.output(draw, out_shape, computing)]
        told["out"] = outs[0][0]
    which = spoiled(draw, ("X", "X", "coef", "intercept", "rows", "out", "n_threads"))
    spoil = Spoiler(draw, told, which)
    if "rows" in which:
        spoil("rows", arg.spoil_rows, n_rows)
        if spoil.faults:
            outs = []
            told.pop("out", None)
    if parts is not None:
        spoil("X", arg.spoil_csr, parts, n_rows, n_features, batch)
    else:
        spoil("X", arg.spoil_dense, n_rows, n_features)
    if "coef" in which:
        wrong = [(n_features + 1,), (1, 1, n_features), (), (0, n_features), (2, n_features + 1)]
        told["coef"] = (
            np.zeros(draw.choice(wrong)) if draw.chance() < 0.6 else wild.no_numbers(draw, (n_features,))
        )
        spoil.faults.append(arg.Fault(("coef",)))
    spoil("intercept", arg.spoil_intercept, n_classes)
    spoil("n_threads", lambda draw: arg.spoil_threads(draw))
    if "out" in which:
        told["out"], piece = arg.spoil_output(draw, out_shape, computing)
        outs = [(told["out"], piece)] if isinstance(told["out"], np.ndarray) else []
        spoil.faults.append(arg.Fault(("out",)))
    expected = None
    if not spoil.faults:
        with np.errstate(all="ignore"):
            X = oracle.Features(features.dense, features.size, features.is_f64, mode == "exact")
            X = X if batch is None else X.batch(batch)
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


# ---- Objective


def objective_calls(draw):
    problem = make_problem(draw, declared=True)
    told = problem.told
    told["alpha"], alpha = arg.alpha(draw)
    told["reduction"], reduction = arg.reduction(draw, ("mean", "mean", "sum"))
    told["n_threads"] = arg.threads(draw)
    has_intercept, penalizes, forces = True, False, False
    if draw.chance() < 0.4:
        told["fit_intercept"], has_intercept = arg.flag(draw)
    if draw.chance() < 0.3:
        told["penalize_intercept"], penalizes = arg.flag(draw)
    if draw.chance() < 0.25:
        told["dtype"], forces = draw.choice((None, np.float64, "float64", "f8", F64, float)), True
        forces = told["dtype"] is not None
    if draw.chance() < 0.12:
        told["class_weight"] = "balanced"
        problem.factor, problem.has_safe_weights = balanced(problem), problem.has_safe_scale
    which = spoiled(
        draw,
        (
            "X", "X", "y", "loss", "alpha", "sample_weight", "class_weight", "classes", "reduction", "n_threads",
            "fit_intercept", "penalize_intercept", "dtype",
        ),
    ) if draw.chance() < 0.5 else frozenset()  # fmt: skip
    spoil = Spoiler(draw, told, which)
    spoil_problem(draw, spoil, problem, None, is_checked_whole=True)
    spoil("fit_intercept", arg.spoil_flag, "fit_intercept")
    spoil("penalize_intercept", arg.spoil_flag, "penalize_intercept")
    spoil(
        "reduction",
        lambda draw: (
            ("none", arg.Fault(("reduction",))) if draw.chance() < 0.3 else arg.spoil_reduction(draw)
        ),
    )
    if "dtype" in which:
        told["dtype"] = draw.choice(
            (np.float32, "f4", int, "nonsense", 7, [], "x" * 3000, object, "O", complex)
        )
        spoil.faults.append(arg.Fault(("dtype",)))
    if (
        told.get("class_weight") is not None
        and isinstance(told["class_weight"], str)
        and problem.factor is None
    ):
        spoil.faults.append(arg.Fault(("class_weight",), (ValueError,)))

    def make():
        given = dict(told)
        return hf.Objective(given.pop("X"), given.pop("y"), **given)

    objective = yield Call("Objective", make, told, spoil.faults, lambda result: None, draw=draw)
    if objective is None or spoil.faults:
        return
    is_known = problem.has_safe_weights
    if forces:
        problem.X.is_f64 = True
    context = Objective(draw, problem, objective, alpha, reduction, has_intercept, penalizes, is_known, told)
    if draw.chance() < 0.1 and not has_memoryview(told):
        copied = yield Call(
            "pickle", lambda: pickle.loads(pickle.dumps(objective)), told, [], lambda result: None, draw=draw
        )
        if copied is None:
            return
        context.objective = copied
    for _ in range(draw.integer(1, 5)):
        method = draw.choice(
            (
                "value",
                "grad",
                "value_and_grad",
                "__call__",
                "hessp",
                "decision_function",
                "step",
                "pack",
                "unpack",
                "C",
            )
        )
        if method in ("value", "grad", "value_and_grad", "__call__"):
            yield from context.evaluate(method)
        else:
            yield from getattr(context, method)()


def has_memoryview(told):
    """Whether an argument cannot be pickled."""
    parts = [*told.values(), *getattr(told["X"], "__dict__", {}).values()]
    return any(isinstance(part, memoryview) for part in parts)


def balanced(problem):
    """N/(K*N_k), with sums of weights where there are any; None where a class has none."""
    n_classes = problem.n_classes or 2
    weight = problem.weight if problem.weight is not None else np.ones(problem.n_rows, np.longdouble)
    totals = np.zeros(n_classes, np.longdouble)
    np.add.at(totals, problem.columns, weight)
    if not (totals > 0).all():
        return None
    return (totals.sum() / (n_classes * totals)).astype(np.float64)


class Objective:
    """Calls of the methods of an `Objective` whose making succeeded."""

    def __init__(self, draw, problem, objective, alpha, reduction, has_intercept, penalizes, is_known, told):
        self.draw, self.problem, self.objective = draw, problem, objective
        self.alpha, self.reduction = alpha, reduction
        self.has_intercept, self.intercept_alpha = (
            has_intercept,
            alpha if penalizes and has_intercept else 0.0,
        )
        self.is_known = is_known  # whether an oracle is at hand
        self.told = {name: told[name] for name in told}
        self.n_classes, self.n_features = problem.n_classes, problem.n_features
        self.n_coefs = max(self.n_classes, 1) * self.n_features
        self.size = self.n_coefs + has_intercept * max(self.n_classes, 1)

    def theta(self, *, plain=0.6):
        mode = "exact" if self.problem.mode == "exact" else "normal"
        dtype = self.draw.real_dtype(0.85)
        laid = self.draw.lay_out(self.draw.sample((self.size,), dtype, mode), plain=plain)
        given = self.draw.dress(laid, 0.1)
        read = np.asarray(given)
        native = read.dtype.newbyteorder("=")
        with np.errstate(all="ignore"):
            return given, read.astype(np.float64), native if native in (F32, F64) else F64

    def split(self, numbers):
        """(coef, intercept) of a theta in float64."""
        coef = numbers[: self.n_coefs]
        if self.n_classes:
            coef = coef.reshape(self.n_classes, self.n_features)
            return coef, numbers[self.n_coefs :] if self.has_intercept else np.zeros(self.n_classes)
        return coef, float(numbers[self.n_coefs]) if self.has_intercept else 0.0

    def spoil_theta(self, draw, name="theta"):
        if draw.chance() < 0.6:
            shape = draw.choice(
                ((self.size + 1,), (self.size, 1), (), (1, self.size), (max(self.size - 1, 0) + 2,))
            )
            return np.zeros(shape, draw.choice((F32, F64))), arg.Fault((name,))
        return wild.no_numbers(draw, (self.size,)), arg.Fault((name,))

    def answers(self, numbers, dtype, batch):
        """(value, gradient as one vector) of the oracle; None where a mean does not exist."""
        coef, intercept = self.split(numbers)
        X, labels, weight = batch_of(self.problem, batch)
        with np.errstate(all="ignore"):
            found = oracle.linear_answers(
                self.problem.loss,
                X,
                labels,
                weight,
                self.reduction,
                coef,
                intercept,
                self.alpha,
                dtype,
                self.intercept_alpha,
            )
        if found is None:
            return None
        value, grad, flat = found
        parts, offs = [grad.value.reshape(-1)], [np.broadcast_to(grad.off, grad.value.shape).reshape(-1)]
        if self.has_intercept:
            eps = float(np.finfo(dtype).eps)
            parts.append(np.atleast_1d(flat.value))
            offs.append(np.atleast_1d(flat.off + 4 * eps * np.abs(flat.value)))
        whole, off = np.concatenate(parts), np.concatenate(offs)
        if not self.problem.has_safe_scale and self.reduction == "sum" and not self.problem.X.is_f64:
            off = np.full(off.shape, np.inf)
        return value, oracle.Answer(whole, off, dtype)

    def add_no_mean(self, spoil, batch):
        n_rows = self.problem.n_rows if batch is None else len(batch)
        has_weights = self.problem.weight is not None or self.problem.factor is not None
        if spoil.faults and self.reduction == "mean" and (n_rows == 0 or has_weights):
            spoil.faults.append(arg.no_mean(is_sure=False))

    def batch(self, spoil):
        rows, batch = arg.rows(self.draw, self.problem.n_rows)
        if rows is not None:
            spoil.told["rows"] = rows
        if "rows" in spoil.which:
            before = len(spoil.faults)
            spoil("rows", arg.spoil_rows, self.problem.n_rows)
            if len(spoil.faults) == before:
                spoil.told.pop("rows", None)
                batch = None
        return batch

    def call(self, entry, told, spoil, run, check, **more):
        faults = spoil.faults
        return Call(entry, run, {"objective": self.told, **told}, faults, check, draw=self.draw, **more)

    def evaluate(self, method):
        draw = self.draw
        told = {}
        spoil = Spoiler(draw, told, spoiled(draw, ("theta", "rows", "out")))
        told["theta"], numbers, dtype = self.theta()
        batch = self.batch(spoil)
        outs = []
        if method != "value":
            if draw.chance() < 0.4:
                outs = [arg.output(draw, (self.size,), dtype)]
                told["out"] = outs[0][0]
            if "out" in spoil.which:
                outs = []
                told["out"], piece = arg.spoil_output(draw, (self.size,), dtype)
                if draw.chance() < 0.3 and "theta" not in spoil.which:
                    held = numbers.astype(dtype)
                    found = arg.overlap(draw, held, (self.size,), dtype)
                    if found is not None:
                        told["theta"], told["out"] = found
                        piece = None
                if isinstance(told["out"], np.ndarray):
                    outs = [(told["out"], piece)]
                spoil.faults.append(arg.Fault(("out",)))
        if "theta" in spoil.which:
            spoil("theta", lambda draw: self.spoil_theta(draw))
        self.add_no_mean(spoil, batch)
        expected = None
        if not spoil.faults and self.is_known:
            expected = self.answers(numbers, dtype, batch)
            if expected is None:
                spoil.faults.append(arg.no_mean())
        elif not spoil.faults:
            spoil.faults.append(arg.no_mean(is_sure=False))

        def check(result):
            if method in ("value_and_grad", "__call__"):
                value, grad = result
            else:
                value, grad = (result, None) if method == "value" else (None, result)
            if value is not None and not is_plain_number(value):
                raise oracle.Wrong(f"value is a {type(value).__name__}")
            if outs and grad is not outs[0][0]:
                raise oracle.Wrong("out did not come back as the very same object")
            if expected is not None:
                if value is not None:
                    expected[0].check(value, "value")
                if grad is not None:
                    expected[1].check(grad, "gradient")

        def run():
            given = dict(told)
            return getattr(self.objective, method)(given.pop("theta"), **given)

        yield self.call(f"Objective.{method}", told, spoil, run, check, outs=outs, keeps_out=True)

    def hessp(self):
        draw = self.draw
        told = {}
        spoil = Spoiler(draw, told, spoiled(draw, ("theta", "v")))
        told["theta"], numbers, _ = self.theta()
        told["v"], along, dtype = self.theta()
        if "theta" in spoil.which:
            spoil("theta", lambda draw: self.spoil_theta(draw))
        if "v" in spoil.which:
            spoil("v", lambda draw: self.spoil_theta(draw, "v"))
        loss = self.problem.loss
        if not loss.has_curvature:
            spoil.faults = [arg.Fault(("smooth_hinge",), (ValueError, TypeError))]
        if loss.has_curvature:
            self.add_no_mean(spoil, None)
        expected = None
        if not spoil.faults and self.is_known:
            X, labels, weight = batch_of(self.problem, None)
            coef, intercept = self.split(numbers)
            towards, towards_b = self.split(along)
            with np.errstate(all="ignore"):
                expected = oracle.hessian_answers(
                    loss,
                    X,
                    labels,
                    weight,
                    self.reduction,
                    coef,
                    intercept,
                    self.alpha,
                    self.intercept_alpha,
                    towards,
                    towards_b,
                    dtype,
                )
            if expected is None:
                spoil.faults.append(arg.no_mean())
        elif not spoil.faults:
            spoil.faults.append(arg.no_mean(is_sure=False))

        def check(result):
            if expected is None or (not self.problem.has_safe_scale and self.reduction == "sum"):
                return
            if result.shape != (self.size,):
                raise oracle.Wrong(f"the product has shape {result.shape}")
            coef, intercept = expected
            coef.check(result[: self.n_coefs].reshape(coef.value.shape), "product")
            if self.has_intercept:
                intercept.check(
                    result[self.n_coefs :].reshape(intercept.value.shape), "product of the intercept"
                )

        def run():
            return self.objective.hessp(told["theta"], told["v"])

        yield self.call("Objective.hessp", told, spoil, run, check, named=("smooth_hinge",))

    def decision_function(self):
        draw = self.draw
        told = {}
        spoil = Spoiler(draw, told, spoiled(draw, ("theta", "rows", "out")))
        told["theta"], numbers, _ = self.theta()
        batch = self.batch(spoil)
        n_out = self.problem.n_rows if batch is None else len(batch)
        shape = (n_out, self.n_classes) if self.n_classes else (n_out,)
        computing = F64 if self.problem.X.is_f64 else F32
        outs = []
        if draw.chance() < 0.4 and not spoil.faults:
            outs = [arg.output(draw, shape, computing)]
            told["out"] = outs[0][0]
        if "out" in spoil.which:
            told["out"], piece = arg.spoil_output(draw, shape, computing)
            outs = [(told["out"], piece)] if isinstance(told["out"], np.ndarray) else []
            spoil.faults.append(arg.Fault(("out",)))
        if "theta" in spoil.which:
            spoil("theta", lambda draw: self.spoil_theta(draw))
        expected = None
        if not spoil.faults:
            X, _, _ = batch_of(self.problem, batch)
            with np.errstate(all="ignore"):
                expected = oracle.decision_answer(X, *self.split(numbers))

        def check(result):
            if outs and result is not outs[0][0]:
                raise oracle.Wrong("out did not come back as the very same object")
            if expected is not None:
                expected.check(result, "scores")

        def run():
            given = dict(told)
            return self.objective.decision_function(given.pop("theta"), **given)

        yield self.call("Objective.decision_function", told, spoil, run, check, outs=outs)

    def step(self):
        draw = self.draw
        dtype = draw.choice((F32, F64))
        mode = "exact" if self.problem.mode == "exact" else "normal"
        told = {}
        spoil = Spoiler(draw, told, spoiled(draw, ("theta", "lr", "rows")))
        theta, piece = arg.output(draw, (self.size,), dtype)
        theta[...] = draw.sample((self.size,), dtype, mode)
        before = theta.copy()
        told["theta"] = theta
        told["lr"] = draw.choice((0.1, 1, 0.0, -0.5, np.float32(0.25), np.array(0.5), 1e-8))
        batch = self.batch(spoil)
        outs = [(theta, piece)]
        if "theta" in spoil.which:
            told["theta"], piece = arg.spoil_output(draw, (self.size,), dtype)
            spoil.faults.append(arg.Fault(("theta",)))
            if type(told["theta"]) is np.ndarray and told["theta"].dtype in (
                F32,
                F64,
            ):  # the other of the two is fine
                is_fine = told["theta"].shape == (self.size,) and told["theta"].dtype.isnative
                flags = told["theta"].flags
                if is_fine and flags.c_contiguous and flags.aligned and flags.writeable:
                    told["theta"], piece = theta, outs[0][1]
                    spoil.faults.pop()
            outs = [(told["theta"], piece)] if isinstance(told["theta"], np.ndarray) else []
        if "lr" in spoil.which:
            told["lr"] = draw.choice(
                (np.nan, np.inf, -np.inf, 10**400, -(10**5000), "1", None, True, 1j, [1.0, 2.0], np.zeros(0))
            )
            spoil.faults.append(arg.Fault(("lr",)))
        self.add_no_mean(spoil, batch)
        expected = None
        if not spoil.faults and self.is_known:
            expected = self.answers(before.astype(np.float64), dtype, batch)
            if expected is None:
                spoil.faults.append(arg.no_mean())
        elif not spoil.faults:
            spoil.faults.append(arg.no_mean(is_sure=False))

        def check(result):
            if not is_plain_number(result):
                raise oracle.Wrong(f"step returned a {type(result).__name__}")
            if expected is None:
                return
            value, grad = expected
            value.check(result, "value")
            rate = float(told["lr"])
            limit = 1e300 if dtype == F64 else 1e37  # what overflows on the way is not covered
            eps = float(np.finfo(dtype).eps)
            with np.errstate(all="ignore"):
                wanted = before - rate * grad.value
                off = abs(rate) * grad.off + 4 * eps * (np.abs(before) + np.abs(rate * grad.value)) + 1e-44
                off = np.where(np.isnan(off) | (np.abs(rate * grad.value) > limit), np.inf, off)
            oracle.Answer(wanted, off, dtype).check(theta, "theta after the step")

        def run():
            given = dict(told)
            return self.objective.step(given.pop("theta"), given.pop("lr"), **given)

        yield self.call("Objective.step", told, spoil, run, check, outs=outs, keeps_out=True)

    def pack(self):
        draw = self.draw
        shape = (self.n_classes, self.n_features) if self.n_classes else (self.n_features,)
        told = {}
        told["coef"], coef, dtype = arg.coefficients(draw, shape, "normal")
        told["intercept"], intercept = arg.intercepts(draw, self.n_classes, "exact")
        spoil = Spoiler(draw, told, spoiled(draw, ("coef", "intercept")))
        spoil("coef", arg.spoil_coef, self.n_features, self.n_classes)
        spoil("intercept", arg.spoil_intercept, self.n_classes)
        if not spoil.faults and not self.has_intercept and np.any(intercept):
            spoil.faults.append(arg.Fault(("intercept",), (ValueError,)))

        def check(result):
            if spoil.faults:
                return
            wanted = coef.reshape(-1)
            if self.has_intercept:
                wanted = np.concatenate([wanted, np.full(max(self.n_classes, 1), intercept)])
            oracle.Answer(wanted, np.full(wanted.shape, 0.0), dtype).check(result, "theta")

        yield self.call(
            "Objective.pack", told, spoil, lambda: self.objective.pack(told["coef"], told["intercept"]), check
        )

    def unpack(self):
        draw = self.draw
        told = {}
        spoil = Spoiler(draw, told, spoiled(draw, ("theta",)))
        told["theta"], numbers, dtype = self.theta()
        spoil("theta", lambda draw: self.spoil_theta(draw))

        def check(result):
            coef, intercept = self.split(numbers)
            oracle.Answer(coef, np.zeros(coef.shape), dtype).check(result[0], "coef")
            if not np.array_equal(np.asarray(result[1], np.float64), np.asarray(intercept), equal_nan=True):
                raise oracle.Wrong(f"intercept is {result[1]!r}, not {intercept!r}")

        yield self.call("Objective.unpack", told, spoil, lambda: self.objective.unpack(told["theta"]), check)

    def C(self):
        problem, objective = self.problem, self.objective

        def check(result):
            if (objective.n_rows, objective.n_features, objective.size) != (
                problem.n_rows,
                problem.n_features,
                self.size,
            ):
                raise oracle.Wrong(
                    f"n_rows, n_features, size: {objective.n_rows, objective.n_features, objective.size}"
                )
            if (
                objective.n_classes != (problem.n_classes or 2)
                or len(objective.classes) != objective.n_classes
            ):
                raise oracle.Wrong(f"n_classes is {objective.n_classes}, classes {objective.classes}")
            if not self.is_known:
                return
            weight = combined(problem.weight, problem.factor, problem.columns)
            total = problem.n_rows if weight is None else weight.sum()
            scale = np.longdouble(self.alpha) * (total if self.reduction == "mean" else 1)
            with np.errstate(all="ignore"):
                wanted = 1 / scale if scale > 0 else np.longdouble(np.inf)
                oracle.Answer(np.asarray(wanted), np.asarray(1e-13 * abs(wanted)), F64).check(
                    np.float64(result), "C"
                )
            if len(repr(objective)) > 2000:
                raise oracle.Wrong("repr is long")

        yield self.call(
            "Objective.C", {}, Spoiler(self.draw, {}, frozenset()), lambda: self.objective.C, check
        )


# ---- margin_report and what is small


def margin_calls(draw):
    is_binary = draw.chance() < 0.5
    n_rows, n_classes = draw.size(), draw.integer(2, 8)
    mode = draw.mode()
    shape = (n_rows,) if is_binary else (n_rows, n_classes)
    scores = draw.dress(
        draw.lay_out(draw.sample(shape, draw.real_dtype(), mode)), 0.15 if n_rows or is_binary else 0
    )
    if is_binary:
        y, classes, labels, names = arg.binary_labels(draw, n_rows)
    else:
        y, classes, labels, names = arg.class_labels(draw, n_rows, n_classes)
    sample_weight, weight, _ = arg.weights(draw, n_rows)
    told = {"y": y, "scores": scores, "sample_weight": sample_weight, "classes": classes}
    norm = None
    if draw.chance() < 0.4:
        d = draw.integer(9)
        coef_shape = draw.choice(((d,), (1, d))) if is_binary else (n_classes, d)
        coef = draw.sample(coef_shape, draw.real_dtype(), "exact")
        if coef.dtype == F64:
            coef = coef * draw.choice((1.0, 1e-200, 1e200))
        told["coef"] = draw.lay_out(coef)
        norm = np.sqrt((np.asarray(told["coef"]).astype(np.longdouble) ** 2).sum())
    which = spoiled(draw, ("y", "scores", "sample_weight", "classes", "coef"))
    spoil = Spoiler(draw, told, which)
    spoil("y", arg.spoil_y, y, names, n_rows, None, "scores")
    spoil("scores", spoil_scores, shape)
    spoil("sample_weight", arg.spoil_weight, n_rows, None, "scores")
    if is_binary:
        spoil("classes", arg.spoil_pair)
    else:
        spoil("classes", arg.spoil_declared, n_classes)
    if "coef" in which:
        told["coef"] = draw.choice((np.zeros(()), np.zeros((n_classes + 1, 2, 2)), wild.no_numbers(draw)))
        spoil.faults.append(arg.Fault(("coef",)))
    if is_binary and "scores" in which:
        for fault in spoil.faults:
            fault.is_sure = (
                fault.is_sure and np.ndim(told["scores"]) != 2
                if isinstance(told["scores"], np.ndarray)
                else fault.is_sure
            )

    def check(report):
        if spoil.faults:
            return
        read = np.asarray(scores)
        with np.errstate(all="ignore"):
            margins = oracle.margins_of(
                read.astype(read.dtype.newbyteorder("=")).astype(np.float64), labels, is_binary
            )
            amount = np.ones(n_rows, np.longdouble) if weight is None else weight
            counts = amount > 0
            margins, amount = margins[counts], amount[counts]
            confident, wrong = margins > 1, ~(margins > 0)
            inside = ~confident & ~wrong
            smallest = margins.min() if margins.size else np.inf
        for name, rows in (("confident", confident), ("inside", inside), ("wrong", wrong)):
            if getattr(report, name) != rows.sum():
                raise oracle.Wrong(f"{name} is {getattr(report, name)}, not {rows.sum()}")
            wanted = amount[rows].sum()
            got = getattr(report, f"{name}_weight")
            if not abs(got - wanted) <= 1e-13 * wanted + 1e-322:
                raise oracle.Wrong(f"{name}_weight is {got}, not {wanted}")
        if report.n_rows != margins.size or report.support_vectors != (~confident).sum():
            raise oracle.Wrong(f"n_rows {report.n_rows}, support_vectors {report.support_vectors}")
        if not (
            report.smallest_margin == smallest or (np.isnan(smallest) and np.isnan(report.smallest_margin))
        ):
            raise oracle.Wrong(f"smallest_margin is {report.smallest_margin}, not {smallest}")
        if norm is not None:
            width = np.longdouble(2) / norm if norm else np.longdouble(np.inf)
            if not (report.margin_width == width or abs(report.margin_width - width) <= 1e-13 * width):
                raise oracle.Wrong(f"margin_width is {report.margin_width}, not {width}")
        if len(str(report)) > 4000:
            raise oracle.Wrong("the text is long")

    def run():
        given = dict(told)
        return hf.margin_report(given.pop("y"), given.pop("scores"), **given)

    yield Call("margin_report", run, told, spoil.faults, check, draw=draw)


def small_calls(draw):
    kind = draw.integer(7)
    if kind == 0:
        loss = wild.no_name(draw)
        yield Call("get_loss", lambda: hf.get_loss(loss), {"loss": loss}, [arg.Fault(("loss",))], draw=draw)
    elif kind == 1:
        yield from loss_parameters(draw)
    elif kind == 2:
        base = draw.choice((wild.no_name(draw), hf.CrammerSinger(), "crammer_singer", hf.Hinge))
        maker = draw.choice((hf.CrammerSinger, hf.WestonWatkins, hf.OneVsRest))
        yield Call(
            "loss of K classes", lambda: maker(base), {"base": base}, [arg.Fault(("base",))], draw=draw
        )
    elif kind == 3:
        shapes = (np.zeros((2, 3)), np.zeros(3), np.zeros((1, 1)), np.full((2, 2), np.nan))
        cost = draw.choice((*shapes, np.array([[0, np.inf], [1, 0]]), wild.no_numbers(draw, (2, 2))))
        yield Call(
            "CostSensitiveHinge",
            lambda: hf.CostSensitiveHinge(cost),
            {"cost": cost},
            [arg.Fault(("cost",))],
            draw=draw,
        )
    elif kind == 4:
        if draw.chance() < 0.5:
            told = {
                "k": draw.choice((0, -1, -(10**400), 10**5000, 2**64))
                if draw.chance() < 0.5
                else wild.no_integer(draw)
            }
            name = "k"
        else:
            told, name = {"k": 1, "variant": wild.no_name(draw)}, "variant"
        yield Call("TopKHinge", lambda: hf.TopKHinge(**told), told, [arg.Fault((name,))], draw=draw)
    elif kind == 5:
        mode = draw.choice(("dicts", wild.no_name(draw)))
        faults = [] if isinstance(mode, str) and mode == "dicts" else [arg.Fault(("mode",))]
        yield Call(
            "show_config",
            lambda: hf.show_config(mode),
            {"mode": mode},
            faults,
            lambda result: None,
            draw=draw,
        )
    else:
        yield from loss_objects(draw)


def loss_parameters(draw):
    base = draw.choice([name for name in arg.CLASSES if arg.PARAMETERS[name][1]])
    names = arg.PARAMETERS[base][1]
    told = {name: arg.DEFAULTS.get(name, 1.0) for name in names}
    name = draw.choice(names)
    bad = [np.nan, np.inf, -np.inf, 10**400, -(10**5000), -1.5]
    bad += [0, 0.0, 5e-324, 1e-310] if name not in ("margin", "kink_slope") else []
    bad += [0.5, 1e-9] if name == "kink_slope" else []
    told[name] = draw.choice(bad) if draw.chance() < 0.6 else wild.no_number(draw)
    yield Call(f"loss {base}", lambda: arg.CLASSES[base](**told), told, [arg.Fault((name,))], draw=draw)


def loss_objects(draw):
    """Equal losses are equal, hash alike, and come back from a pickle and from repr."""
    n_classes = draw.integer(2, 5)
    passed, _, _ = arg.margin_loss(draw) if draw.chance() < 0.5 else arg.class_loss(draw, n_classes)
    loss = arg.as_object(passed)

    def run():
        return (
            pickle.loads(pickle.dumps(loss)),
            eval(repr(loss), vars(hf)),
            loss == draw.choice((0, "hinge", None, 1.5, loss)),
        )

    def check(result):
        for other in result[:2]:
            if other != loss or hash(other) != hash(loss):
                raise oracle.Wrong(f"{other!r} is not {loss!r}")

    yield Call(
        "loss object",
        run,
        {"loss": loss},
        [] if len(repr(loss)) < 3000 and "<" not in repr(loss) else [arg.Fault((), is_sure=False)],
        check,
        draw=draw,
    )
