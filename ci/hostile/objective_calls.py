"""Hostile calls of `Objective`: making it, then a few of its methods."""

from __future__ import annotations

import pickle

import matrix_arguments
import numpy as np
import oracle
import outputs
import small_arguments
import wild
from call import Call, Spoiler, combined, is_plain_number, spoiled
from draw import F32, F64
from faults import Fault, no_mean
from linear_calls import batch_of, make_problem, spoil_problem

import hingefast as hf


def objective_calls(draw):
    problem = make_problem(draw, declared=True)
    told = problem.told
    told["alpha"], alpha = small_arguments.alpha(draw)
    told["reduction"], reduction = small_arguments.reduction(draw, ("mean", "mean", "sum"))
    told["n_threads"] = small_arguments.threads(draw)
    has_intercept, penalizes, forces = True, False, False
    if draw.chance() < 0.4:
        told["fit_intercept"], has_intercept = small_arguments.flag(draw)
    if draw.chance() < 0.3:
        told["penalize_intercept"], penalizes = small_arguments.flag(draw)
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
    spoil("fit_intercept", small_arguments.spoil_flag, "fit_intercept")
    spoil("penalize_intercept", small_arguments.spoil_share, "penalize_intercept")
    spoil(
        "reduction",
        lambda draw: (
            ("none", Fault(("reduction",))) if draw.chance() < 0.3 else small_arguments.spoil_reduction(draw)
        ),
    )
    if "dtype" in which:
        told["dtype"] = draw.choice(
            (np.float32, "f4", int, "nonsense", 7, [], "x" * 3000, object, "O", complex)
        )
        spoil.faults.append(Fault(("dtype",)))
    if isinstance(told.get("class_weight"), str) and (problem.factor is None or spoil.faults):
        # A class without rows; or it seems so, because something else is wrong.
        spoil.faults.append(Fault(("class_weight",), (ValueError,), is_sure=problem.factor is None))

    def make():
        given = dict(told)
        return hf.Objective(given.pop("X"), given.pop("y"), **given)

    objective = yield Call("Objective", make, told, spoil.faults, lambda result: None, draw=draw)
    if objective is None or spoil.faults:
        return
    is_known = problem.has_safe_weights or reduction == "mean"
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
            return np.zeros(shape, draw.choice((F32, F64))), Fault((name,))
        return wild.no_numbers(draw, (self.size,)), Fault((name,))

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
            spoil.faults.append(no_mean(is_sure=False))

    def batch(self, spoil):
        rows, batch = small_arguments.rows(self.draw, self.problem.n_rows)
        if rows is not None:
            spoil.told["rows"] = rows
        if "rows" in spoil.which:
            before = len(spoil.faults)
            spoil("rows", small_arguments.spoil_rows, self.problem.n_rows)
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
                outs = [outputs.output(draw, (self.size,), dtype)]
                told["out"] = outs[0][0]
            if "out" in spoil.which:
                outs = []
                told["out"], piece = outputs.spoil_output(draw, (self.size,), dtype)
                if draw.chance() < 0.3 and "theta" not in spoil.which:
                    held = numbers.astype(dtype)
                    found = outputs.overlap(draw, held, (self.size,), dtype)
                    if found is not None:
                        told["theta"], told["out"] = found
                        piece = None
                if isinstance(told["out"], np.ndarray):
                    outs = [(told["out"], piece)]
                spoil.faults.append(Fault(("out",)))
        if "theta" in spoil.which:
            spoil("theta", lambda draw: self.spoil_theta(draw))
        self.add_no_mean(spoil, batch)
        expected = None
        if not spoil.faults and self.is_known:
            expected = self.answers(numbers, dtype, batch)
            if expected is None:
                spoil.faults.append(no_mean())
        elif not spoil.faults:
            spoil.faults.append(no_mean(is_sure=False))

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
            spoil.faults = [Fault(("smooth_hinge",), (ValueError, TypeError))]
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
                spoil.faults.append(no_mean())
        elif not spoil.faults:
            spoil.faults.append(no_mean(is_sure=False))

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
            outs = [outputs.output(draw, shape, computing)]
            told["out"] = outs[0][0]
        if "out" in spoil.which:
            told["out"], piece = outputs.spoil_output(draw, shape, computing)
            outs = [(told["out"], piece)] if isinstance(told["out"], np.ndarray) else []
            spoil.faults.append(Fault(("out",)))
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
        theta, piece = outputs.output(draw, (self.size,), dtype)
        theta[...] = draw.sample((self.size,), dtype, mode)
        before = theta.copy()
        told["theta"] = theta
        told["lr"] = draw.choice((0.1, 1, 0.0, -0.5, np.float32(0.25), np.array(0.5), 1e-8))
        batch = self.batch(spoil)
        outs = [(theta, piece)]
        if "theta" in spoil.which:
            told["theta"], piece = outputs.spoil_output(draw, (self.size,), dtype)
            spoil.faults.append(Fault(("theta",)))
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
            spoil.faults.append(Fault(("lr",)))
        self.add_no_mean(spoil, batch)
        expected = None
        if not spoil.faults and self.is_known:
            expected = self.answers(before.astype(np.float64), dtype, batch)
            if expected is None:
                spoil.faults.append(no_mean())
        elif not spoil.faults:
            spoil.faults.append(no_mean(is_sure=False))

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
                off = np.where(np.isnan(off) | (max(abs(rate), 1) * np.abs(grad.value) > limit), np.inf, off)
            oracle.Answer(wanted, off, dtype).check(theta, "theta after the step")

        def run():
            given = dict(told)
            return self.objective.step(given.pop("theta"), given.pop("lr"), **given)

        yield self.call("Objective.step", told, spoil, run, check, outs=outs, keeps_out=True)

    def pack(self):
        draw = self.draw
        shape = (self.n_classes, self.n_features) if self.n_classes else (self.n_features,)
        told = {}
        told["coef"], coef, dtype = matrix_arguments.coefficients(draw, shape, "normal")
        told["intercept"], intercept = matrix_arguments.intercepts(draw, self.n_classes, "exact")
        spoil = Spoiler(draw, told, spoiled(draw, ("coef", "intercept")))
        spoil("coef", matrix_arguments.spoil_coef, self.n_features, self.n_classes)
        spoil("intercept", matrix_arguments.spoil_intercept, self.n_classes)
        if not spoil.faults and not self.has_intercept and np.any(intercept):
            spoil.faults.append(Fault(("intercept",), (ValueError,)))

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
                # Below the smallest normal number a float64 is off by as much as the smallest of all.
                off = (1e-13 + problem.n_rows * 2.0**-52) * abs(wanted) + oracle.SUBNORMAL[True]
                oracle.Answer(np.asarray(wanted), np.asarray(off), F64).check(np.float64(result), "C")
            if len(repr(objective)) > 2000:
                raise oracle.Wrong("repr is long")

        yield self.call(
            "Objective.C", {}, Spoiler(self.draw, {}, frozenset()), lambda: self.objective.C, check
        )
