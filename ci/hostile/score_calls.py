"""Hostile calls on scores: every method of every loss, and `margin_report`."""

from __future__ import annotations

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


def large_rows(draw):
    return draw.choice((511, 512, 513, 1025, 4097, 65535, 65537, 131073))


def score_calls(draw):
    is_binary = draw.chance() < 0.55
    n_rows = draw.size() if draw.chance() > 0.004 else large_rows(draw)
    n_classes = 2 if is_binary else draw.often(draw.integer(2, 7), draw.integer(2, 41), p=0.85)
    if n_rows > 600:
        n_classes = min(n_classes, 3)
        n_rows = n_rows if is_binary else min(n_rows, 4097)
    passed, meant, easy = (
        loss_arguments.margin_loss(draw) if is_binary else loss_arguments.class_loss(draw, n_classes)
    )
    loss = loss_arguments.as_object(passed)
    mode = draw.mode()
    shape = (n_rows,) if is_binary else (n_rows, n_classes)
    numbers = draw.sample(shape, draw.real_dtype(), mode)
    scores = draw.dress(draw.lay_out(numbers), 0.15 if n_rows or is_binary else 0)
    read = np.asarray(scores)
    is_f64 = matrix_arguments.computes_in_float64(read.dtype)
    if is_binary:
        y, classes, labels, names = label_arguments.binary_labels(draw, n_rows)
        columns = (labels > 0).astype(int)
    else:
        y, classes, labels, names = label_arguments.class_labels(draw, n_rows, n_classes)
        columns = labels
    sample_weight, weight, is_safe = label_arguments.weights(draw, n_rows)
    class_weight, factor, is_safe_too = label_arguments.class_weights(draw, n_classes)
    passed_reduction, reduction = small_arguments.reduction(draw, ("mean", "mean", "sum", "none"))
    want = draw.choice(("value", "grad", "value_and_grad", "__call__", "curvature"))
    gives_grad = want in ("grad", "value_and_grad", "curvature")
    told = {
        "y": y,
        "scores": scores,
        "reduction": passed_reduction,
        "n_threads": small_arguments.threads(draw),
    }
    told |= passed_on(draw, 0.1, sample_weight=sample_weight, class_weight=class_weight, classes=classes)
    computing = F64 if is_f64 else F32
    grad_dtype = read.dtype.newbyteorder("=")
    grad_dtype = grad_dtype if grad_dtype in (F32, F64) else F64

    # where the results go
    outs, wanted = [], []
    if gives_grad:
        wanted.append((shape, grad_dtype))
    if reduction == "none" and want not in ("grad", "curvature"):
        wanted.insert(0, ((n_rows,), computing))
    if wanted and draw.chance() < 0.4:
        outs = [outputs.output(draw, *each) for each in wanted]
        told["out"] = outs[0][0] if len(outs) == 1 else tuple(out for out, _ in outs)

    # what is wrong
    which = spoiled(
        draw, ("y", "scores", "sample_weight", "class_weight", "classes", "reduction", "out", "n_threads")
    )
    spoil = Spoiler(draw, told, which)
    spoil("y", label_arguments.spoil_y, y, names, n_rows, None, "scores")
    spoil("scores", spoil_scores, shape)
    spoil("sample_weight", label_arguments.spoil_weight, n_rows, None, "scores")
    spoil("class_weight", label_arguments.spoil_class_weight, n_classes, False)
    if is_binary:
        spoil("classes", label_arguments.spoil_pair)
    else:
        spoil("classes", label_arguments.spoil_declared, n_classes)
    spoil("reduction", small_arguments.spoil_reduction)
    spoil("n_threads", small_arguments.spoil_threads)
    if "out" in which:
        outs = spoil_score_output(draw, spoil, wanted, reduction, want, numbers, is_binary)

    add_no_mean(spoil, reduction, n_rows)
    total = combined(weight, factor, columns)
    is_product = weight is not None and factor is not None
    if is_product and not (is_safe and is_safe_too) and reduction != "mean":
        expected = None  # a product of weights may overflow or vanish
        spoil.faults.append(no_mean(is_sure=False))
    elif spoil.faults:
        expected = None
    else:
        with np.errstate(all="ignore"):
            z = read.astype(read.dtype.newbyteorder("=")).astype(np.float64)
            expected = oracle.score_answers(
                meant, z, labels, total, reduction, is_f64, grad_dtype, mode == "exact" and easy
            )
        if expected is None:
            spoil.faults.append(no_mean())
        elif not is_f64 and reduction != "mean" and total is not None and not is_safe:
            expected[1].off = np.full(shape, np.inf)

    def check(result):
        parts = result if want == "value_and_grad" else (result,)
        if want == "value_and_grad" and (type(result) is not tuple or len(result) != 2):
            raise oracle.Wrong(f"{want} returned {wild.text_of(result)}")
        found = expected if expected and want != "curvature" else (None, None)  # of which there is no oracle
        is_array = want in ("grad", "curvature")
        answers = found if want == "value_and_grad" else found[1:] if is_array else found[:1]
        for part, answer, what in zip(
            parts, answers, ("grad",) if is_array else ("value", "grad"), strict=False
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
        return np.zeros(draw.choice(wrong), draw.choice((F32, F64))), Fault(
            ("scores", "y", "classes", "coef")
        )
    return wild.no_numbers(draw, shape), Fault(("scores", "y"))


def spoil_score_output(draw, spoil, wanted, reduction, want, numbers, is_binary):
    """Put an output that does not fit in its place; the outputs that must stay as they are."""
    told, fault = spoil.told, Fault(("out",))
    told.pop("out", None)
    if not wanted:  # a scalar value takes none
        out, piece = outputs.output(draw, (1,), F64)
        told["out"] = draw.choice((out, (out, out), 0))
        spoil.faults.append(fault)
        return [(out, piece)]
    outs = [outputs.output(draw, *each) for each in wanted]
    place = draw.integer(len(outs))
    kind = draw.integer(4)
    if kind == 0:
        found = outputs.overlap(draw, np.ascontiguousarray(numbers), *wanted[place])
        if found is None or "scores" in spoil.which:
            return []
        told["scores"], out = found
        given = np.asarray(told["scores"])
        if given.shape != numbers.shape:
            return []
        outs[place] = (out, None)
        fault = Fault(("out",), (ValueError,))
    elif kind == 1 and len(outs) == 2:
        told["out"] = draw.choice(
            ((outs[0][0],), (outs[0][0], outs[1][0], outs[1][0]), [out for out, _ in outs], outs[1][0], ())
        )
        spoil.faults.append(fault)
        return outs
    else:
        out, piece = outputs.spoil_output(draw, *wanted[place])
        outs[place] = (out, piece)
    told["out"] = outs[0][0] if len(outs) == 1 else tuple(out for out, _ in outs)
    spoil.faults.append(fault)
    return [(out, piece) for out, piece in outs if isinstance(out, np.ndarray)]


# ---- margin_report


def margin_calls(draw):
    is_binary = draw.chance() < 0.5
    n_rows, n_classes = draw.size(), draw.integer(2, 8)
    mode = draw.mode()
    shape = (n_rows,) if is_binary else (n_rows, n_classes)
    scores = draw.dress(
        draw.lay_out(draw.sample(shape, draw.real_dtype(), mode)), 0.15 if n_rows or is_binary else 0
    )
    if is_binary:
        y, classes, labels, names = label_arguments.binary_labels(draw, n_rows)
    else:
        y, classes, labels, names = label_arguments.class_labels(draw, n_rows, n_classes)
    sample_weight, weight, _ = label_arguments.weights(draw, n_rows)
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
    spoil("y", label_arguments.spoil_y, y, names, n_rows, None, "scores")
    spoil("scores", spoil_scores, shape)
    spoil("sample_weight", label_arguments.spoil_weight, n_rows, None, "scores")
    if is_binary:
        spoil("classes", label_arguments.spoil_pair)
    else:
        spoil("classes", label_arguments.spoil_declared, n_classes)
    if "coef" in which:
        told["coef"] = draw.choice((np.zeros(()), np.zeros((n_classes + 1, 2, 2)), wild.no_numbers(draw)))
        spoil.faults.append(Fault(("coef",)))
    if "scores" in which and isinstance(
        told["scores"], np.ndarray
    ):  # may be right for another number of classes
        for fault in spoil.faults:
            fault.is_sure = False

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
