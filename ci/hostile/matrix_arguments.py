"""X, dense and in CSR, with its coefficients and intercepts: drawn well, or spoiled (as in `label_arguments`)."""

from __future__ import annotations

import numpy as np
import oracle
import wild
from draw import F32, F64, FLOATS
from faults import INT64, Fault
from label_arguments import fits

import hingefast as hf

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


def matrix(draw, n_rows, n_features, mode, dtype):
    """(X, `oracle.Features`, the parts of CSR or None)."""
    if draw.chance() < 0.5:
        return *dense(draw, n_rows, n_features, mode, dtype), None
    parts, features = csr(draw, n_rows, n_features, mode, dtype)
    return assemble(draw, parts), features, parts


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
        finite = None
        if not np.isfinite(values).all():
            finite = np.zeros((n_rows, n_features))
            np.add.at(finite, (row, indices), np.where(np.isfinite(values), np.abs(values), 0.0))
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
    features = oracle.Features(dense_, size, computes_in_float64(dtype), mode == "exact", finite)
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
