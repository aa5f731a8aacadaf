"""Promise: `out` is aligned and overlaps no input, by address ranges, or it is refused and untouched: in every call
that takes one, and for every input, whether it is read in place or converted first.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import bits, every_dtype, raises
from kinds import csr_parts, namespace

import hingefast as hf

N, D, K = 40, 6, 3
LINE = 64


def make_case(dtype, n_classes, layout):
    """Every array that a call may get, in the form in which it is read in place."""
    rng = np.random.default_rng(n_classes)
    shape = () if n_classes == 2 else (n_classes,)
    case = SimpleNamespace(
        X=rng.standard_normal((N, D)).astype(dtype),
        y=rng.integers(0, n_classes, N).astype(dtype),
        sample_weight=rng.uniform(0.5, 2, N),
        class_weight=rng.uniform(0.5, 2, n_classes),
        classes=np.arange(n_classes),
        rows=rng.integers(0, N, N - 4),
        scores=rng.standard_normal((N, *shape)).astype(dtype),
        coef=rng.standard_normal((*shape, D)).astype(dtype),
        intercept=rng.standard_normal(shape).astype(dtype),
        loss=hf.LogisticLoss() if n_classes == 2 else hf.CrammerSinger(),
    )
    if n_classes == 2:
        case.y, case.classes = 2 * case.y - 1, np.array([-1, 1])
    case.theta = np.append(case.coef.ravel(), case.intercept)
    if layout == "csr":
        case.indptr, case.indices, case.data = csr_parts(case.X)
    return case


def matrix(case):
    return namespace(case.indptr, case.indices, case.data, (N, D)) if hasattr(case, "data") else case.X


def weighted(case):
    names = ("sample_weight", "class_weight", "classes")
    return {name: getattr(case, name) for name in names}


def linear(case, out):
    arguments = (matrix(case), case.y, case.coef, case.intercept)
    return hf.linear_value_and_grad(*arguments, loss=case.loss, rows=case.rows, out=out, **weighted(case))


def objective(case):
    classes = K if case.coef.ndim == 2 else None
    return hf.Objective(
        matrix(case), case.y, loss=case.loss, sample_weight=case.sample_weight, classes=classes
    )


def with_another(shape, out):
    """Two outputs, of which the first is beyond reproach."""
    return None if out is None else (np.empty(shape, out.dtype), out)


ALL_SCORES = ("y", "scores", "sample_weight", "class_weight", "classes")
ALL_LINEAR = ("y", "coef", "intercept", "sample_weight", "class_weight", "classes", "rows")

# The inputs; the array of the case that `out` is like; the call.
OF_SCORES = {
    "gradient": (
        ("y", "scores"),
        lambda case: case.scores,
        lambda case, out: case.loss.grad(case.y, case.scores, out=out),
    ),
    "value and gradient": (
        ("y", "scores"),
        lambda case: case.scores,
        lambda case, out: case.loss.value_and_grad(case.y, case.scores, out=out),
    ),
    "weighted gradient": (
        ALL_SCORES,
        lambda case: case.scores,
        lambda case, out: case.loss.grad(case.y, case.scores, out=out, **weighted(case)),
    ),
    "values": (
        ALL_SCORES,
        lambda case: case.y,
        lambda case, out: case.loss.value(case.y, case.scores, reduction="none", out=out, **weighted(case)),
    ),
    "values and gradient": (
        ALL_SCORES,
        lambda case: case.scores,
        lambda case, out: case.loss.value_and_grad(
            case.y, case.scores, reduction="none", out=with_another(N, out), **weighted(case)
        ),
    ),
}
OF_X = {
    "linear gradient": (ALL_LINEAR, lambda case: case.coef, linear),
    "linear gradient of intercepts": (
        ALL_LINEAR,
        lambda case: case.intercept,
        lambda case, out: linear(case, with_another((K, D), out)),
    ),
    "linear scores": (
        ("coef", "intercept", "rows"),
        lambda case: case.scores[: N - 4],
        lambda case, out: hf.decision_function(
            matrix(case), case.coef, case.intercept, rows=case.rows, out=out
        ),
    ),
    "Objective's gradient": (
        ("y", "sample_weight", "theta", "rows"),
        lambda case: case.theta,
        lambda case, out: objective(case).grad(case.theta, rows=case.rows, out=out),
    ),
    "Objective's value and gradient": (
        ("y", "sample_weight", "theta", "rows"),
        lambda case: case.theta,
        lambda case, out: objective(case).value_and_grad(case.theta, rows=case.rows, out=out),
    ),
    "Objective's scores": (
        ("theta", "rows"),
        lambda case: case.scores[: N - 4],
        lambda case, out: objective(case).decision_function(case.theta, rows=case.rows, out=out),
    ),
}
FORMS = ("in place", "other byte order", "every second")
CASES = [(name, "scores", n_classes) for name in OF_SCORES for n_classes in (2, K)] + [
    (name, layout, n_classes)
    for name in OF_X
    for layout in ("dense", "csr")
    for n_classes in (2, K)
    if n_classes == K or name != "linear gradient of intercepts"  # which is a float
]


def described(name, layout, n_classes, dtype):
    """The case, the names of its inputs, what `out` is like, the call."""
    case = make_case(dtype, n_classes, layout)
    inputs, like, call = (OF_SCORES if layout == "scores" else OF_X)[name]
    inputs += {"dense": ("X",), "csr": ("data", "indices", "indptr"), "scores": ()}[layout]
    return case, inputs, like(case), call


def room(n_bytes):
    """Zero bytes from a cache line on."""
    store = np.zeros(n_bytes + LINE, np.uint8)
    first = -store.ctypes.data % LINE
    return store[first : first + n_bytes]


def placed(array, form, like, where):
    """(all memory, the array in this form, an `out` that begins or ends in it or beside it)."""
    dtype = array.dtype.newbyteorder() if form == "other byte order" else array.dtype
    step = 2 if form == "every second" and array.ndim else 1
    whole = (step * array.shape[0], *array.shape[1:]) if array.ndim else ()
    # Of every second row the gap behind the last one does not count.
    n_bytes = array.nbytes * step - (array.nbytes // len(array) if step == 2 else 0)
    first = like.nbytes + LINE - like.nbytes % LINE
    store = room(2 * (first + like.nbytes + 2 * array.nbytes))
    view = store[first : first + array.nbytes * step].view(dtype).reshape(whole)
    view = view[::step] if array.ndim else view
    view[...] = array
    size = like.itemsize
    start = {
        "head": first - like.nbytes + size,
        "tail": (first + n_bytes - 1) // size * size,
        "before": first - like.nbytes,
        "behind": -(-(first + n_bytes) // size) * size,
    }[where]
    return store, view, store[start : start + like.nbytes].view(like.dtype).reshape(like.shape)


every_call = pytest.mark.parametrize("name,layout,n_classes", CASES)


def check_overlap(case, which, form, like, call):
    """An `out` that begins or ends within an input is refused, and all stays as it is."""
    good = getattr(case, which)
    for where in ("head", "tail"):
        store, view, out = placed(good, form, like, where)
        setattr(case, which, view)
        before = bits(store)
        with raises(ValueError, "out", "overlap"):
            call(case, out)
        assert bits(store) == before, (which, where)
    setattr(case, which, good)


@every_dtype
@pytest.mark.parametrize("form", FORMS)
@every_call
def test_out_over_an_input(name, layout, n_classes, form, dtype):
    case, inputs, like, call = described(name, layout, n_classes, dtype)
    for which in inputs:
        if which != "indptr" or form == "in place":
            check_overlap(case, which, form, like, call)


@every_dtype
@every_call
def test_out_beside_an_input(name, layout, n_classes, dtype):
    """Ranges that touch do not overlap."""
    case, inputs, like, call = described(name, layout, n_classes, dtype)
    want = bits(call(case, None))
    for which in inputs:
        good = getattr(case, which)
        for where in ("before", "behind"):
            _, view, out = placed(good, "in place", like, where)
            setattr(case, which, view)
            call(case, out)
            assert bits(view) == bits(good), (which, where)
            assert out.tobytes() in want
        setattr(case, which, good)


@every_dtype
@every_call
def test_out_that_is_not_aligned(name, layout, n_classes, dtype):
    case, _, like, call = described(name, layout, n_classes, dtype)
    for shift in (1, like.itemsize // 2):
        store = room(like.nbytes + LINE)
        out = store[shift : shift + like.nbytes].view(like.dtype).reshape(like.shape)
        assert not out.flags.aligned
        with raises(ValueError, "out", "aligned"):
            call(case, out)
        assert not store.any()


@every_dtype
@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize("name,layout,n_classes", [case for case in CASES if case[1] == "csr"])
def test_out_over_row_pointers_that_are_converted(name, layout, n_classes, form, dtype):
    case, _, like, call = described(name, layout, n_classes, dtype)
    check_overlap(case, "indptr", form, like, call)


@every_dtype
@pytest.mark.parametrize("n_classes", [2, K])
def test_out_in_the_gaps_of_an_input(n_classes, dtype):
    """Address ranges decide: between the rows of a strided input, and over one that runs backwards."""
    case = make_case(dtype, n_classes, "dense")
    wide = np.zeros((N, 3 * D), dtype)
    wide[:, :D] = case.X
    gap = wide.ravel()[D : D + case.coef.size].reshape(case.coef.shape)
    before = bits(wide)
    case.X = wide[:, :D]
    with raises(ValueError, "out", "overlap"):
        linear(case, gap)
    assert bits(wide) == before
    size = case.scores.size
    gappy = np.repeat(case.scores.ravel(), 2)
    for view in (gappy[::2], gappy[::-2]):
        before = bits(gappy)
        for first in (1, size - 1):
            out = gappy[first : first + size].reshape(case.scores.shape)
            with raises(ValueError, "out", "overlap"):
                case.loss.grad(case.y, view.reshape(case.scores.shape), out=out)
        assert bits(gappy) == before
    labels = np.ones(8 * (size + N), np.int8)
    with raises(ValueError, "out", "overlap"):
        out = labels[: case.scores.nbytes].view(dtype).reshape(case.scores.shape)
        case.loss.grad(labels[:N], case.scores, out=out)
    assert (labels == 1).all()
    backwards = np.zeros(N + case.coef.size, dtype)
    backwards[:N] = case.y[::-1]
    case = make_case(dtype, n_classes, "dense")
    case.y = backwards[:N][::-1]
    with raises(ValueError, "out", "overlap"):
        linear(case, backwards[: case.coef.size].reshape(case.coef.shape))


@every_dtype
@pytest.mark.parametrize("n_classes", [2, K])
def test_outputs_over_one_another(n_classes, dtype):
    case = make_case(dtype, n_classes, "dense")
    size, loss = case.scores.size, case.loss
    both = np.full(size + N, 7, dtype=dtype)
    gradient = both[:size].reshape(case.scores.shape)
    for start in (0, 1, size - 1):
        with raises(ValueError, "out", "overlap"):
            loss.value_and_grad(
                case.y, case.scores, reduction="none", out=(both[start : start + N], gradient)
            )
    assert (both == 7).all()
    got = loss.value_and_grad(case.y, case.scores, reduction="none", out=(both[size:], gradient))
    assert bits(got) == bits(loss.value_and_grad(case.y, case.scores, reduction="none"))
    if n_classes == 2:  # the gradient of an intercept is a float
        return
    both = np.full(K * D + K, 7, dtype=dtype)
    grad = both[: K * D].reshape(K, D)
    for start in (0, K * D - 1):
        with raises(ValueError, "out", "overlap"):
            linear(case, (grad, both[start : start + K]))
    assert (both == 7).all()
    assert bits(linear(case, (grad, both[K * D :]))) == bits(linear(case, None))


def test_scores_over_the_row_numbers():
    X, rows = np.eye(3), np.zeros(3)
    with raises(ValueError, "out", "rows", "overlap"):
        hf.decision_function(X, np.ones(3), rows=rows.view(np.int64), out=rows)
    objective = hf.Objective(X, [1, -1, 1], loss="hinge")
    with raises(ValueError, "out", "rows", "overlap"):
        objective.decision_function(np.ones(4), rows=rows.view(np.int64), out=rows)


def test_a_masked_out_is_refused_without_advice():
    """What `filled` gives is a copy, which a caller would never see written."""
    with pytest.raises(TypeError) as caught:
        hf.Hinge().grad([1, -1], np.zeros(2), out=np.ma.zeros(2))
    assert "out" in str(caught.value) and "filled" not in str(caught.value)
