"""Arguments of hostile calls, one function for each: drawn well, or spoiled on purpose.

A function returns the object to pass and what it means; a spoiled one comes with a `Fault`, which says what the call
has to answer.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import oracle
import wild
from draw import F32, F64, FLOATS, REAL

import hingefast as hf

REFUSED = (TypeError, ValueError)
INT64 = np.iinfo(np.int64)


@dataclass
class Fault:
    """What is wrong with an argument."""

    names: tuple  # words of which the message must hold one
    errors: tuple = REFUSED
    text: str = ""  # what the message must hold as well, where only this is wrong
    is_content: bool = False  # found while the numbers are read, when an output may hold something already
    is_sure: bool = True  # else the call may accept it


def fits(number, dtype):
    """Whether a dtype holds a number exactly."""
    if dtype.kind == "b":
        return number in (0, 1)
    if dtype.kind in "iu":
        return number == int(number) and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max
    with np.errstate(all="ignore"):
        held = np.array([number]).astype(dtype)[0] if abs(number) < 2**53 else dtype.type(number)
    return bool(np.isfinite(held)) and (
        int(held) == number if number == int(number) else float(held) == number
    )


def table(labels, dtype):
    """The labels as an array of a dtype that holds them."""
    if dtype.kind in "iu" or max(map(abs, labels)) < 2**53:
        return np.array(labels).astype(dtype) if dtype.kind not in "iu" else np.array(labels, dtype)
    return np.array([dtype.type(label) for label in labels], dtype)


# ---- losses

PARAMETERS = {
    "hinge": ("Hinge", ("margin", "kink_slope")),
    "perceptron": ("PerceptronLoss", ()),
    "squared_hinge": ("SquaredHinge", ("margin",)),
    "smooth_hinge": ("SmoothHinge", ("margin", "width")),
    "modified_huber": ("ModifiedHuber", ("margin",)),
    "huberized_hinge": ("HuberizedHinge", ("margin", "half_width")),
    "huber_margin": ("HuberMargin", ("margin", "delta")),
    "psi_g": ("GaussianHinge", ("margin", "sigma")),
    "psi_m": ("AlgebraicHinge", ("margin", "sigma")),
    "softplus_hinge": ("SoftplusHinge", ("margin", "beta")),
    "logistic": ("LogisticLoss", ()),
    "safe_logistic": ("SafeLogistic", ("margin",)),
}
CLASSES = {name: getattr(hf, known[0]) for name, known in PARAMETERS.items() if hasattr(hf, known[0])}
DEFAULTS = {"margin": 1.0, "kink_slope": 0.0, "half_width": 0.5}  # 1 for all others
EASY = (1.0, 0.5, 0.25, 2.0)  # exact in every dtype
NAMES = {"crammer_singer": "CrammerSinger", "weston_watkins": "WestonWatkins", "one_vs_rest": "OneVsRest"}


def margin_loss(draw):
    """(loss object or name, `oracle.Loss`, whether its parameters are easy)."""
    base = draw.choice(tuple(CLASSES))
    kind, names = CLASSES[base], PARAMETERS[base][1]
    if draw.chance() < 0.4:
        passed = base if draw.chance() < 0.6 else kind()
        return passed, oracle.Loss("binary", base, {name: DEFAULTS.get(name, 1.0) for name in names}), True
    params, easy = {}, True
    for name in names:
        if name == "kink_slope":
            params[name] = draw.choice((0.0, -1.0, -0.5, -0.25))
        elif draw.chance() < 0.8:
            params[name] = draw.choice((*EASY, 0.0) if name == "margin" else EASY)
        else:
            params[name] = round(draw.random.uniform(0.05, 4), 3)
            easy = False
    return kind(**params), oracle.Loss("binary", base, params), easy


def class_loss(draw, n_classes):
    """The same for K classes."""
    kind = draw.integer(5)
    if kind == 3:
        easy = draw.chance() < 0.7
        cost = draw.numbers.integers(-4, 9, (n_classes, n_classes)) / 4
        if not easy:
            cost = cost + draw.numbers.standard_normal(cost.shape)
        loss = hf.CostSensitiveHinge(cost.tolist() if draw.chance() < 0.2 else cost)
        return loss, oracle.Loss("CostSensitiveHinge", cost=cost), easy
    if kind == 4:
        k, variant = draw.integer(1, n_classes), draw.choice(("alpha", "beta"))
        return hf.TopKHinge(k, variant), oracle.Loss("TopKHinge", k=k, variant=variant), k in (1, 2, 4, 8)
    name = tuple(NAMES)[kind]
    passed, found, easy = margin_loss(draw)
    meant = oracle.Loss(NAMES[name], found.base, found.params)
    if isinstance(passed, str) and draw.chance() < 0.5:
        return f"{name}:{passed}", meant, easy
    return getattr(hf, NAMES[name])(passed), meant, easy


def as_object(loss):
    return hf.get_loss(loss) if isinstance(loss, str) else loss


# ---- labels

PAIRS = (
    (0, 1), (1, 2), (1, -1), (-5, 7), (2, 100), (2**53, 2**53 + 1), (-(2**63) + 1, 2**63 - 1), (0, 2**64 - 1),
    (2**63, 2**63 + 1), (2**53 + 1, 2**53), (0.5, -0.5), (1e300, -1e300), (3, 1.5), (False, True), (255, 0), (-1, 255),
)  # fmt: skip


def binary_labels(draw, n_rows):
    """(y, classes, signs (n,)): labels with the pair that declares them."""
    pair = (-1, 1)
    classes = None
    if draw.chance() < 0.5:
        pair = draw.choice(PAIRS)
        classes = draw.choice((tuple, list))(pair)
        if draw.chance() < 0.2 and all(-(2**63) <= label < 2**63 for label in pair):
            classes = np.array(pair)
    dtypes = [dtype for dtype in REAL if fits(pair[0], dtype) and fits(pair[1], dtype)]
    dtype = draw.choice(dtypes)
    if classes is None and draw.chance() < 0.15:
        pair, dtype = (0, 1), np.dtype(bool)
    index = draw.numbers.integers(0, 2, n_rows)
    y = draw.dress(draw.lay_out(table(pair, dtype)[index]))
    y, found = read_labels(y, pair)
    return y, classes, np.where(found == pair[1], 1.0, -1.0), pair


def read_labels(y, labels):
    """Labels and how NumPy reads them; an array of them, where it would read a list as something else."""
    if isinstance(y, (list, tuple)) and max(map(abs, labels)) >= 2**53:
        is_integral = all(isinstance(label, int) for label in y)
        y = np.array(y, np.float64 if not is_integral else np.int64 if max(labels) < 2**63 else np.uint64)
    return y, np.asarray(y)


ENDS = (-(2**63), -(2**63) + 1, 2**63 - 1, 2**63 - 2, 2**53, 2**53 + 1, -(2**53) - 1, 0, -1, 1)


def class_labels(draw, n_rows, n_classes, *, declared=False):
    """(y, classes, columns (n,)): labels of K classes; `declared`: with `classes`."""
    kind = draw.chance()
    labels = list(range(n_classes))
    classes = None
    if kind < 0.3 or (declared and kind < 0.5):
        classes = draw.choice((int, np.int64, np.int32))(n_classes)
    elif kind < 0.6 or declared:
        if n_classes <= len(ENDS) and draw.chance() < 0.35:
            labels = draw.random.sample(ENDS, n_classes)
        else:
            labels = draw.random.sample(range(-60, 100), n_classes)
        classes = draw.choice((list, tuple))(labels)
        if draw.chance() < 0.5:
            classes = draw.lay_out(np.array(labels, np.int64), may_repeat=False)
        elif max(map(abs, labels)) < 2**53 and draw.chance() < 0.4:
            classes = np.array(
                labels, draw.choice((np.float64, np.int32 if max(map(abs, labels)) < 2**31 else np.int64))
            )
    dtypes = [dtype for dtype in REAL if all(fits(label, dtype) for label in labels)]
    names = table(labels, draw.choice(dtypes))
    index = draw.numbers.integers(0, n_classes, n_rows)
    y, found = read_labels(draw.dress(draw.lay_out(names[index])), labels)
    held = np.asarray(found)
    columns = np.full(n_rows, -1)
    native = held.astype(held.dtype.newbyteorder("="))
    for column, label in enumerate(table(labels, native.dtype) if n_rows else ()):
        columns[native == label] = column
    return y, classes, columns, labels


def not_a_label(draw, labels, dtype):
    """A number of this dtype that is none of the labels; None if there is none at hand."""
    if dtype.kind == "f":
        candidates = [np.nan, 1.5, -7.25, np.inf, -0.5, 0.0, 3.0]
        if dtype.itemsize > 8:
            candidates.append(np.longdouble(labels[-1]) * (1 + np.longdouble(2) ** -60))
        if abs(labels[-1]) > 1e17:
            candidates = [0.25, np.nan]
    else:
        info = np.iinfo(dtype) if dtype.kind != "b" else None
        candidates = (
            [0, 1]
            if info is None
            else [info.min, info.max, 0, 3, info.min // 2, labels[-1] + 1, labels[0] - 1]
        )
        candidates = [number for number in candidates if fits(number, dtype)]
    with np.errstate(all="ignore"):
        candidates = [dtype.type(number) for number in candidates]
    good = [number for number in candidates if not any(int_or_self(number) == label for label in labels)]
    return draw.choice(good) if good else None


def int_or_self(number):
    """A Python int where the number is integral, so that comparisons are exact."""
    if number.dtype.kind in "iub":
        return int(number)
    return int(number) if np.isfinite(number) and number == np.floor(number) else number


def no_mean(*, is_sure=True):
    """No rows, or weights that sum to 0: whose mean does not exist."""
    return Fault(("sample_weight", "weights", "rows", "reduction"), (ValueError,), is_sure=is_sure)


def first_bad(is_bad, batch):
    """The first row of the batch that is bad, or None."""
    bad = np.flatnonzero(is_bad if batch is None else is_bad[batch])
    return None if not bad.size else int(bad[0] if batch is None else batch[bad[0]])


def spoil_y(draw, y, labels, n_rows, batch, of):
    """y that is no labels of these rows; None where nothing was found to spoil it with."""
    kind = draw.integer(6)
    if kind < 3 and n_rows:
        held = np.asarray(y)
        held = held.astype(held.dtype.newbyteorder("="))
        wrong = not_a_label(draw, labels, held.dtype)
        if wrong is None:
            return None
        held[[draw.integer(n_rows) for _ in range(draw.integer(1, 4))]] = wrong
        spoiled = draw.dress(draw.lay_out(held, may_repeat=False))
        if isinstance(spoiled, (list, tuple)):
            spoiled = held  # NumPy might round them, or find no dtype
        read = np.asarray(spoiled)
        is_bad = np.array(
            [all(int_or_self(label) != other for other in labels) for label in read.astype(held.dtype)]
        )
        row = first_bad(is_bad, batch)
        return spoiled, None if row is None else Fault(("y",), (ValueError,), f"y[{row}]", is_content=True)
    names = ("y", of)
    if kind == 3:
        longer = np.resize(np.asarray(y), n_rows + draw.choice((1, 2, -1 if n_rows else 3)))
        return draw.dress(draw.lay_out(longer)), Fault(names, REFUSED)
    if kind == 4:
        return np.asarray(y).reshape(draw.choice(((n_rows, 1), (1, n_rows), (1, n_rows, 1)))), Fault(
            names, REFUSED
        )
    return wild.no_numbers(draw, (n_rows,)), Fault(names, REFUSED)


# ---- weights


def weights(draw, n_rows):
    """(sample_weight, its numbers in longdouble, whether products with others are safe)."""
    if draw.chance() < 0.5:
        return None, None, True
    kind, dtype = draw.chance(), draw.real_dtype(0.6)
    numbers = draw.numbers
    safe = True
    if dtype.kind in "biu":
        found = numbers.integers(0, 2 if dtype.kind == "b" else 4, n_rows).astype(dtype)
    elif kind < 0.25 and dtype.itemsize >= 8:
        scale = draw.choice((1e-310, 1e-300, 1e-50, 1e-42, 1e30, 1e39, 1e300))
        found = (numbers.integers(1, 5, n_rows) * scale).astype(dtype)
        safe = False
    elif kind < 0.35 and dtype.itemsize >= 8:
        found = (10.0 ** numbers.uniform(-60, 60, n_rows)).astype(dtype)
        safe = False
    elif kind < 0.4:
        found = np.full(n_rows, {2: 6e-8, 4: 1e-42}.get(dtype.itemsize, 5e-324)).astype(dtype)
        safe = False
    else:
        found = numbers.integers(0, 9, n_rows) / 4
        found = (found if kind < 0.7 else numbers.exponential(1, n_rows)).astype(dtype)
    if draw.chance() < 0.25:
        found = found * numbers.integers(0, 2, n_rows).astype(dtype)
    given = draw.dress(draw.lay_out(found.astype(dtype)))
    return given, np.asarray(given).astype(np.float64).astype(np.longdouble), safe


def spoil_weight(draw, n_rows, batch, of):
    kind = draw.integer(5)
    if kind < 3 and n_rows:
        dtype = draw.choice((*FLOATS, np.dtype(np.int8), np.dtype(np.int64)))
        held = np.ones(n_rows, dtype)
        wrong = -1 if dtype.kind == "i" else draw.choice((-1, np.nan, np.inf, -np.inf, -1e-4))
        held[[draw.integer(n_rows) for _ in range(draw.integer(1, 4))]] = wrong
        spoiled = draw.dress(draw.lay_out(held))
        read = np.asarray(spoiled).astype(np.float64)
        row = first_bad(~((read >= 0) & (read < np.inf)), batch)
        if row is None:
            return None
        return spoiled, Fault(("sample_weight",), (ValueError,), f"sample_weight[{row}]", is_content=True)
    if kind == 3:
        shape = draw.choice(((n_rows + 1,), (n_rows, 1), (), (2, n_rows)))
        return np.ones(shape), Fault(("sample_weight", of))
    return wild.no_numbers(draw, (n_rows,)), Fault(("sample_weight", of))


def class_weights(draw, n_classes):
    """(class_weight, its numbers, whether products with others are safe)."""
    if draw.chance() < 0.75:
        return None, None, True
    kind = draw.integer(4)
    found = draw.numbers.integers(0 if kind == 0 else 1, 5, n_classes) / 2
    safe = True
    if kind == 1:
        found = found * draw.choice((1e-300, 1e-50, 1e39, 1e300))
        safe = False
    given = found.tolist() if draw.chance() < 0.4 else draw.lay_out(found)
    return given, np.asarray(given, np.float64), safe


def spoil_class_weight(draw, n_classes, in_objective):
    kind = draw.integer(6)
    names = ("class_weight",)
    if kind == 0:
        return {0: 1.0, 1: 2.0}, Fault(names)
    if kind == 1:
        return draw.choice(("balance", "", "x" * 4000)) if in_objective else "balanced", Fault(names)
    if kind == 2:
        return np.ones(draw.choice((n_classes + 1, 1, 0))), Fault(names)
    if kind == 3:
        return np.ones((1, n_classes)), Fault(names)
    if kind == 4:
        spoiled = np.ones(n_classes)
        spoiled[draw.integer(n_classes)] = draw.choice((-1, np.nan, np.inf, -5e-324))
        return spoiled, Fault(names)
    return wild.no_numbers(draw, (n_classes,)), Fault(names)


def spoil_pair(draw):
    """`classes` that no binary loss takes."""
    fixed = (
        1, 2, (1, 1), (1,), (1, 2, 3), (float("nan"), 1), (1, float("inf")), 10**400, -(10**5000), (10**400, 1), "ab",
        b"ab", {0, 1}, {0: 1, 1: 2}, [[1], [1, 2]], [[0, 1]], (0, "1"), (0, None), (0, 1j), True, [], np.zeros(0),
        np.int64(2), (0.0, -0.0), np.array(1.0),
    )  # fmt: skip
    if draw.chance() < 0.75:
        return draw.choice(fixed), Fault(("classes",))
    return wild.no_numbers(draw, (2,)), Fault(("classes",))


def spoil_declared(draw, n_classes, is_alone=False):
    """`classes` that no loss of K classes takes; `is_alone`: nothing else says how many classes there are."""
    ready = list(range(n_classes))
    fixed = (
        n_classes + 1, 1, 0, -3, True, 2**31, 10**400, -(10**5000), [0] * n_classes, [*ready, 77], ready[:-1],
        [*ready[:-1], 0.5], [*ready[:-1], float("nan")], [*ready[:-1], 2**63], [*ready[:-1], 10**400], [ready],
        np.array([*ready[:-1], 2.0**60]), float(n_classes), str(n_classes), {0, 1}, np.float64(n_classes),
        [*ready[:-1], "1"], np.array(ready, complex), [[1], [1, 2]], [], np.array(ready, np.uint64) + np.uint64(2**63),
    )  # fmt: skip
    if draw.chance() < 0.8:
        place = draw.integer(len(fixed))
        is_right_alone = is_alone and place in (0, 9, 10)
        return fixed[place], Fault(("classes", "y", "k", "cost"), is_sure=not is_right_alone)
    return wild.no_numbers(draw, (n_classes,)), Fault(("classes",))


# ---- small arguments


def threads(draw):
    return draw.choice((None, None, 1, 2, 3, 4, -1, np.int64(2), np.uint8(3), 10**30))


def spoil_threads(draw):
    if draw.chance() < 0.5:
        return draw.choice((0, -2, -5, np.int8(-7), -(10**400), -(10**5000))), Fault(("n_threads",))
    return wild.no_integer(draw), Fault(("n_threads",))


def reduction(draw, choices):
    name = draw.choice(choices)
    return draw.choice((name, name, name, wild.Text(name), np.str_(name))), name


def spoil_reduction(draw):
    spoiled = wild.no_name(draw)
    while isinstance(spoiled, str) and spoiled in ("mean", "sum", "none"):
        spoiled = wild.no_name(draw)
    return spoiled, Fault(("reduction",))


def alpha(draw):
    if draw.chance() < 0.55:
        return draw.choice((0.0, 0, -0.0)), 0.0
    found = draw.choice(
        (0.5, 1e-4, 3, np.float32(0.25), np.float64(2), np.array(0.125), np.int8(1), np.float16(0.5))
    )
    return found, float(found)


def spoil_alpha(draw):
    if draw.chance() < 0.5:
        return draw.choice(
            (-1, -1e-300, np.nan, np.inf, -np.inf, 10**400, -(10**5000), np.float32(-1))
        ), Fault(("alpha",))
    return wild.no_number(draw), Fault(("alpha",))


def rows(draw, n_rows):
    """(rows, the rows that it names as an array, or None for all)."""
    kind = draw.chance()
    if kind < 0.55:
        return None, None
    if kind < 0.75:
        ends = (None, 0, 1, -1, n_rows // 2, n_rows, -n_rows - 3, n_rows + 5, 2**63, -(2**70), np.int64(2))
        steps = (None, 1, 2, 3, -1, -2, n_rows + 1, 2**31, -(2**40), 2**70, -(2**70), np.int8(1))
        found = slice(draw.choice(ends), draw.choice(ends), draw.choice(steps))
        return found, np.arange(n_rows)[np.array(range(n_rows)[found], np.int64)]
    dtype = draw.choice(tuple(dtype for dtype in REAL if dtype.kind in "iu"))
    if n_rows == 0:
        numbers = np.zeros(0, dtype)
    else:
        most = min(n_rows, np.iinfo(dtype).max)
        numbers = draw.numbers.integers(0, most, draw.size(80)).astype(dtype)
    found = draw.dress(draw.lay_out(numbers))
    if draw.chance() < 0.1:
        first, last = sorted((draw.integer(n_rows + 1), draw.integer(n_rows + 1)))
        found = range(first, last)
    return found, np.asarray(found).astype(np.int64) if len(numbers) or not isinstance(
        found, (list, tuple)
    ) else numbers.astype(np.int64)


def spoil_rows(draw, n_rows):
    kind = draw.integer(6)
    if kind < 2:
        dtype = draw.choice(tuple(dtype for dtype in REAL if dtype.kind == "i" or dtype == np.uint64))
        numbers = np.zeros(draw.integer(1, 12), dtype) if n_rows else np.zeros(1, dtype)
        outside = [
            -1,
            n_rows,
            n_rows + 7,
            2**31 - 1,
            -(2**31),
            2**32 + 3,
            INT64.max,
            INT64.min,
            2**64 - 1,
            2**63,
        ]
        outside = [number for number in outside if fits(number, dtype)]
        place = draw.integer(len(numbers)) if n_rows else 0
        if not outside:
            return None
        numbers[place] = draw.choice(outside)
        spoiled = draw.dress(draw.lay_out(numbers, may_repeat=False))
        if isinstance(spoiled, (list, tuple)):  # NumPy may have no integer dtype for them
            return spoiled, Fault(("rows",))
        return spoiled, Fault(("rows",), (ValueError,), f"rows[{place}]", is_content=True)
    if kind == 2:
        fixed = (
            slice(None, None, 0), slice(1.5, None), slice("a"), slice(None, [1]), slice(0, 2, 1.0), slice(1j), True, 0,
            np.ones(n_rows, bool), [True] * max(n_rows, 1), np.zeros(3), [0.0], [[0]], np.zeros((1, 1), int), [10**400],
            np.zeros((), int), [[0], [0, 0]], 10**400, [2**64], Ellipsis,
        )  # fmt: skip
        return draw.choice(fixed), Fault(("rows",))
    if kind == 3:
        return slice(wild.Converts(wild.foreign_error(draw))), Fault(("rows",))
    spoiled = wild.no_numbers(draw, (2,))
    while isinstance(spoiled, slice):
        spoiled = wild.no_numbers(draw, (2,))
    return spoiled, Fault(("rows",))


def flag(draw):
    found = draw.chance() < 0.5
    return draw.choice((found, found, np.bool_(found))), found


def spoil_flag(draw, name):
    return draw.choice((0, 1, None, "yes", 1.0, np.array(True), np.array([True, False]), [])), Fault((name,))


# ---- X


class CSR:
    """A matrix in CSR, as any library might bring it; pickles."""

    def __init__(self, data, indices, indptr, shape, **more):
        self.data, self.indices, self.indptr, self.shape = data, indices, indptr, shape
        self.__dict__.update(more)

    def __repr__(self):
        inside = ", ".join(f"{name}={wild.text_of(value, 120)}" for name, value in self.__dict__.items())
        return f"CSR({inside})"


def computes_in_float64(dtype):
    return not (dtype.kind == "b" or dtype.itemsize <= 2 or (dtype.kind == "f" and dtype.itemsize == 4))


def dense(draw, n_rows, n_features, mode, dtype):
    """(X, `oracle.Features`)."""
    X = draw.lay_out(draw.sample((n_rows, n_features), dtype, mode))
    given = X
    if draw.chance() < 0.05 and n_rows and n_features:
        given = X.view(np.matrix)
    elif n_rows and n_features:
        given = draw.dress(X, 0.06)
    read = np.asarray(given)
    is_f64 = computes_in_float64(read.dtype)
    with np.errstate(all="ignore"):
        values = np.ascontiguousarray(read).astype(np.float64)
    return given, oracle.Features(values, np.abs(values), is_f64, mode == "exact")


def csr(draw, n_rows, n_features, mode, dtype, most=9):
    """(X, `oracle.Features`), and the parts to spoil."""
    numbers = draw.numbers
    kind = draw.chance()
    if n_features == 0:
        lengths = np.zeros(n_rows, np.int64)
    elif kind < 0.1 and n_rows:
        lengths = np.full(n_rows, n_features)  # full rows
    elif kind < 0.15 and n_rows:
        lengths = np.zeros(n_rows, np.int64)
        lengths[draw.integer(n_rows)] = draw.integer(min(4 * n_features, 2000))
    else:
        lengths = numbers.integers(0, most if kind < 0.8 else 2 * most, n_rows)
    indptr = np.zeros(n_rows + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    stored = int(indptr[-1])
    if kind < 0.1 and n_features:
        indices = np.tile(np.arange(n_features), n_rows)
    elif n_features:
        indices = numbers.integers(0, n_features, stored)
    else:
        indices = np.zeros(0, np.int64)
    data = draw.sample(stored, dtype, mode)
    if stored and draw.chance() < 0.1:
        data = np.where(numbers.integers(0, 2, stored), data, dtype.type(0))  # zeros that are stored
    slack = draw.often(0, 1, 5, p=0.8)
    dense_, size = np.zeros((n_rows, n_features)), np.zeros((n_rows, n_features))
    row = np.repeat(np.arange(n_rows), lengths)
    with np.errstate(all="ignore"):
        values = data.astype(np.float64)
        np.add.at(dense_, (row, indices), values)
        np.add.at(size, (row, indices), np.abs(values))
    index_dtypes = (np.dtype(np.int32), np.dtype(np.int64))
    strange = np.array([-1, 2**31 - 1, -(2**31), 5, 0])[:slack]
    parts = {
        "data": np.concatenate(
            [data, draw.sample(slack, dtype, "bits" if dtype.itemsize <= 8 else "normal")]
        ),
        "indices": np.concatenate([indices, strange]).astype(draw.choice(index_dtypes)),
        "indptr": indptr.astype(draw.choice(index_dtypes)),
        "shape": (n_rows, n_features),
    }
    features = oracle.Features(dense_, size, computes_in_float64(dtype), mode == "exact")
    return parts, features


def assemble(draw, parts, more=None):
    """The CSR object of its parts, laid out anew."""
    plain = draw.choice((0.9, 0.5))
    laid = {}
    for name, part in parts.items():
        laid[name] = part
        if type(part) is np.ndarray and part.dtype.kind in "biuf":
            laid[name] = draw.lay_out(part, plain=plain, may_repeat=False)
            dressed = draw.dress(laid[name], 0.03)
            if not isinstance(dressed, (list, tuple)):  # NumPy might give those another dtype
                laid[name] = dressed
    shape = laid["shape"]
    if isinstance(shape, tuple) and more is None:
        laid["shape"] = draw.choice((shape, shape, list(shape), np.array(shape), tuple(map(np.int64, shape))))
    extra = {} if more is None else dict(more)
    if "format" not in extra and draw.chance() < 0.5:
        extra["format"] = "csr"
    if draw.chance() < 0.2:
        extra |= {"has_sorted_indices": True, "has_canonical_format": True, "nnz": -5}
    missing = extra.pop("missing", None)
    found = CSR(**laid, **extra)
    if missing:
        delattr(found, missing)
    return found


def spoil_csr(draw, parts, n_rows, n_features, batch):
    """(X, Fault or None): any content in the parts of a CSR matrix."""
    parts = dict(parts)
    indptr, indices, data = parts["indptr"], parts["indices"], parts["data"]
    stored = int(indptr[-1])
    structure = Fault(("X",), (hf.InvalidCSRError,))
    kind = draw.integer(13)
    if kind < 3:
        if not stored:
            return None
        dtype = indices.dtype
        outside = [
            -1,
            n_features,
            n_features + 9,
            2**31 - 1,
            -(2**31),
            2**32 + 3,
            2**32,
            INT64.max,
            INT64.min,
        ]
        outside = [number for number in outside if fits(number, dtype) and not 0 <= number < n_features]
        indices = indices.copy()
        places = sorted({draw.integer(stored) for _ in range(draw.integer(1, 3))})
        for place in places:
            indices[place] = draw.choice(outside)
        parts["indices"] = indices
        row_of = {place: int(np.searchsorted(indptr, place, side="right")) - 1 for place in places}
        named = range(n_rows) if batch is None else batch.tolist()
        first = next((row for row in named if row in row_of.values()), None)
        if first is None:
            return assemble(draw, parts, {}), None
        place = next(place for place in places if row_of[place] == first)
        return assemble(draw, parts, {}), Fault(
            ("X",), (hf.InvalidCSRError,), f"X.indices[{place}] (row {first})", is_content=True
        )
    if kind == 3:
        if n_rows < 2:
            return None
        indptr = indptr.copy()
        place = draw.integer(1, n_rows)
        low, high = int(indptr[place - 1]), int(indptr[place + 1])
        choices = [low - 1, high + 1, -1, len(data) + 5, 2**31 - 1, -(2**31), 2**40, INT64.max, INT64.min]
        indptr[place] = draw.choice([number for number in choices if fits(number, indptr.dtype)])
        parts["indptr"] = indptr
        sure = batch is None
        return assemble(draw, parts, {}), Fault(("X",), (hf.InvalidCSRError,), is_content=True, is_sure=sure)
    if kind == 4:
        indptr = indptr.copy()
        if draw.chance() < 0.5 or n_rows == 0:
            indptr[0] = draw.choice((1, -1, 2**31 - 1, -(2**31)))
        else:
            indptr[-1] = draw.choice((-1, len(data) + 1, 2**31 - 1, -(2**31)))
        parts["indptr"] = indptr
        return assemble(draw, parts, {}), structure
    if kind == 5:
        name = draw.choice(("indptr", "indices", "data"))
        part = parts[name]
        parts[name] = draw.choice((part[:-1], np.append(part, part.dtype.type(0)), part[:0]))
        if len(parts[name]) == len(part):
            return None
        return assemble(draw, parts, {}), structure
    if kind == 6:
        name = draw.choice(("indptr", "indices"))
        dtype = draw.choice(
            (np.int8, np.uint16, np.uint32, np.uint64, np.float64, np.float32, bool, "U2", object, "M8[s]")
        )
        with np.errstate(all="ignore"):
            parts[name] = parts[name].astype(dtype)
        return assemble(draw, parts, {}), Fault(("X",), (TypeError, hf.InvalidCSRError))
    if kind == 7:
        name = draw.choice(("indptr", "indices", "data"))
        parts[name] = draw.choice((parts[name][:, None], parts[name][None], np.array(parts[name][:1].sum())))
        return assemble(draw, parts, {}), Fault(("X",))
    if kind == 8:
        parts["data"] = wild.no_numbers(draw, (len(data),))
        return assemble(draw, parts, {}), Fault(("X",))
    if kind == 9:
        shapes = (
            (n_rows,), (n_rows, n_features, 1), (), ("a", "b"), ("1", "3"), (n_rows + 0.5, n_features),
            (-1, n_features), (n_rows, -1), (n_rows, 2**63), (10**400, n_features), (-(10**5000), 1), (float("inf"), 3),
            (float("nan"), 3), None, 7, "ab", (n_rows + 1, n_features), (2**40, n_features), (None, None),
            [[1, 2], [3]], (2**64, 2**64), (1j, 1), {1: 2}, np.zeros((2, 2)), (n_rows, n_features - 0.25), (True, "x"),
            (2**62, 2**62),
        )  # fmt: skip
        parts["shape"] = draw.choice(shapes)
        return assemble(draw, parts, {}), Fault(("X", "coef", "theta"))
    if kind == 10:
        missing = draw.choice(("indices", "data", "shape"))
        return assemble(draw, parts, {"missing": missing}), Fault(("X",))
    if kind == 11:
        named = draw.choice(("csc", "bsr", "coo", "CSR", "", "x" * 3000))
        return assemble(draw, parts, {"format": named}), Fault(("X",), (TypeError,))
    error = wild.foreign_error(draw)
    return wild.Raises(error, draw.choice((None, "indptr", "indices", "data", "shape", "format"))), Fault(
        ("X",)
    )


def spoil_dense(draw, n_rows, n_features):
    shape = draw.choice(((n_features,), (n_rows, n_features, 1), (), (1, n_rows, n_features)))
    if draw.chance() < 0.5:
        return np.zeros(shape, draw.choice((F32, F64))), Fault(("X",))
    return wild.no_numbers(draw, (n_rows, n_features)), Fault(("X",))


# ---- coefficients


def coefficients(draw, shape, mode):
    """(coef, its numbers in float64, the dtype of its gradient)."""
    dtype = draw.real_dtype(0.85)
    given = draw.dress(
        draw.lay_out(draw.sample(shape, dtype, mode), plain=0.7), 0.08 if 0 not in shape else 0
    )
    read = np.asarray(given)
    grad_dtype = read.dtype.newbyteorder("=")
    if grad_dtype not in (F32, F64):
        grad_dtype = F64
    with np.errstate(all="ignore"):
        return given, read.astype(np.float64), grad_dtype


def spoil_coef(draw, n_features, n_classes):
    """coef of a wrong shape or kind; n_classes is 0 for a binary loss."""
    if n_classes:
        shapes = [
            (n_features,),
            (n_classes, n_features + 1),
            (n_classes, n_features, 1),
            (),
            (1, n_features),
            (0, n_features),
        ]
        shapes += [(n_features, n_classes)] if n_features != n_classes else []
    else:
        shapes = [(n_features + 1,), (2, n_features), (1, 1, n_features), (), (1, n_features + 1)]
        shapes += [(n_features, 1)] if n_features > 1 else []
    if draw.chance() < 0.6:
        return np.zeros(draw.choice(shapes), draw.choice((F32, F64))), Fault(("coef",))
    return wild.no_numbers(draw, (n_classes, n_features) if n_classes else (n_features,)), Fault(("coef",))


def intercepts(draw, n_classes, mode):
    """(intercept, its numbers in float64: a number or (K,))."""
    kind = draw.chance()
    value = draw.numbers.integers(-4, 5) / 4 if mode == "exact" else float(draw.numbers.standard_normal())
    if kind < 0.3:
        return draw.choice((0.0, 0, -0.0)), 0.0
    if kind < 0.6 or (kind < 0.7 and n_classes):
        found = draw.choice((value, np.float32(value), np.array(value), np.float16(value)))
        return found, float(found)
    if not n_classes:
        dtype = draw.choice(FLOATS)
        found = draw.dress(draw.lay_out(np.array([value]).astype(dtype)))
        return found, float(np.asarray(found)[0])
    found = draw.dress(
        draw.lay_out(draw.sample((n_classes,), draw.real_dtype(), mode if mode == "exact" else "normal"))
    )
    return found, np.asarray(found).astype(np.float64)


def spoil_intercept(draw, n_classes):
    names = ("intercept",)
    kind = draw.integer(3)
    if kind == 0:
        return np.zeros(draw.choice(((n_classes or 1) + 1, 0, (1, 1), (2, 2)))), Fault(names)
    if kind == 1:
        return draw.choice((10**400, -(10**5000), "1", None, True, 1j, [[1], [1, 2]], b"1")), Fault(names)
    return wild.no_numbers(draw, (n_classes or 1,)), Fault(names)


# ---- outputs


def output(draw, shape, dtype):
    """An output of the right kind, full of something."""
    count = int(np.prod(shape))
    piece = draw.memory.take(count * dtype.itemsize, dtype.alignment, 0, draw.chance() < 0.5)
    return np.ndarray(shape, dtype, piece.memory, piece.first), piece


def spoil_output(draw, shape, dtype):
    """(out, the piece of memory it lies in or None): nothing that a result of this shape and dtype goes into."""
    kind = draw.integer(8)
    if kind == 0:
        other = draw.choice(((*shape, 1), (shape[0] + 1, *shape[1:]), (), (1, *shape)))
        return output(draw, other, dtype)
    if kind == 1:
        other = draw.choice([other for other in REAL if other != dtype])
        return output(draw, shape, other)
    if kind == 2:
        return output(draw, shape, dtype.newbyteorder("S"))
    if kind == 3:
        found, piece = output(draw, shape, dtype)
        found.flags.writeable = False
        return found, piece
    if kind == 4 and int(np.prod(shape)):
        piece = draw.memory.take(
            int(np.prod(shape)) * dtype.itemsize, dtype.alignment, draw.integer(1, dtype.itemsize), True
        )
        return np.ndarray(shape, dtype, piece.memory, piece.first), piece
    if kind == 5 and int(np.prod(shape)) > 1:
        wide = (*shape[:-1], 2 * shape[-1])
        found, piece = output(draw, wide, dtype)
        found = found[..., ::2]
        if not found.flags.c_contiguous:
            return found, piece
    if kind == 6:
        return np.ma.masked_array(np.zeros(shape, dtype)), None
    found = wild.no_numbers(draw, shape)
    while found is None:
        found = wild.no_numbers(draw, shape)
    return found, None


def overlap(draw, numbers, shape, dtype):
    """(input, out): the numbers of an input, and an output of a shape and dtype that shares bytes with them.

    None where one of them has no bytes.
    """
    size, room = numbers.nbytes, int(np.prod(shape)) * dtype.itemsize
    if not size or not room:
        return None
    first = draw.integer(size) // dtype.itemsize * dtype.itemsize
    piece = draw.memory.take(max(size, first + room), max(dtype.alignment, numbers.dtype.alignment), 0, True)
    given = np.ndarray(numbers.shape, numbers.dtype, piece.memory, piece.first)
    given[...] = numbers
    draw.inputs.append(piece)
    out = np.ndarray(shape, dtype, piece.memory, piece.first + first)
    if draw.chance() < 0.15:
        return memoryview(given), out
    if draw.chance() < 0.15 and given.ndim == 1 and len(given) > 1:
        return given[::-1], out
    return given, out


def product(*sizes):
    return list(itertools.product(*sizes))
