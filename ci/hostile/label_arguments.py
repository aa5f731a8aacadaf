"""Labels with what declares them, and weights: drawn well, or spoiled on purpose.

A function returns the object to pass and what it means; one that spoils gives the object and its `Fault`, which is None
where the call does not meet what is wrong; or it gives None where it found nothing to spoil.
"""

from __future__ import annotations

import numpy as np
import wild
from draw import FLOATS, REAL
from faults import REFUSED, Fault, first_bad


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
        scale = draw.choice((5e-324, 1e-310, 1e-300, 1e-50, 1e-42, 1e30, 1e39, 2.0**500, 1e300))
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
        found = found * draw.choice((5e-324, 1e-300, 1e-50, 1e39, 2.0**500, 1e300))
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
        return fixed[place], Fault(("classes", "y", "k", "cost", "class_weight"), is_sure=not is_right_alone)
    return wild.no_numbers(draw, (n_classes,)), Fault(("classes",))
