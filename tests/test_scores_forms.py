"""Promise: whatever labels, scores, weights and outputs are made of, calls on scores give the same results: dtypes,
layouts, lists and objects, declared labels.
"""

import numpy as np
import pytest
from conftest import bits, computing_dtype, every_dtype, misaligned, raises, strided
from kinds import (
    assert_right,
    both_kinds,
    every_way,
    few_kinds_of_classes,
    telling_scores,
)

import hingefast as hf

pytestmark = [pytest.mark.sanitizer, pytest.mark.any_python]

HINGE, CS = hf.Hinge(), hf.CrammerSinger()
LABEL_DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", ">i2", ">i4", ">i8", ">u2", ">u4", ">f4", ">f8"),
]
SCORE_DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", ">i2", ">i4", ">f2", ">f4", ">f8"),
]


# --------------------------------------------------------------------------------------------------
# Labels
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label_dtype", LABEL_DTYPES)
def test_label_dtypes(label_dtype):
    for n in (1, 15, 16, 17, 64, 5000):
        data = telling_scores(max(n, 16), np.float64)
        signs, scores = data.y[:n], data.scores[:n]
        want = bits(HINGE.value_and_grad(signs, scores))
        zero_one = (signs > 0).astype(label_dtype)
        variants = [(zero_one, {"classes": (0, 1)}), ((signs < 0).astype(label_dtype), {"classes": (1, 0)})]
        kind = np.dtype(label_dtype).kind
        if kind == "b":
            variants.append((zero_one, {}))
        else:
            variants.append((np.where(signs > 0, 7, 3).astype(label_dtype), {"classes": (3, 7)}))
        if kind in "if":
            variants.append((signs.astype(label_dtype), {}))
        for y, classes in variants:
            assert y.dtype == np.dtype(label_dtype)
            forms = [y, strided(y), np.ascontiguousarray(y[::-1])[::-1], misaligned(y)]
            if n < 100:
                forms.append(y.tolist())
            for form in forms:
                assert bits(HINGE.value_and_grad(form, scores, **classes)) == want


@pytest.mark.parametrize("label_dtype", LABEL_DTYPES)
def test_one_label_repeated_by_a_zero_stride(label_dtype):
    z = np.linspace(-3, 3, 40)
    y = np.broadcast_to(np.array(1, dtype=label_dtype), 40)
    want = bits(HINGE.value_and_grad(np.ones(40), z))
    assert bits(HINGE.value_and_grad(y, z, classes=(0, 1))) == want


@pytest.mark.parametrize("label_dtype", LABEL_DTYPES[1:])
def test_label_dtypes_of_classes(label_dtype):
    top = 127 if label_dtype == "int8" else 200
    for n, n_classes in ((6, 3), (17, 5), (300, 11), (260, top)):
        data = telling_scores(n, n_classes=n_classes)
        want = bits(CS.value_and_grad(data.y, data.scores))
        y = data.y.astype(label_dtype)
        assert y.dtype == np.dtype(label_dtype)
        forms = [y, strided(y), np.ascontiguousarray(y[::-1])[::-1], misaligned(y)]
        if n < 100:
            forms.append(y.tolist())
        for form in forms:
            assert bits(CS.value_and_grad(form, data.scores)) == want
            assert bits(CS.value_and_grad(form, data.scores, classes=n_classes)) == want
            assert bits(CS.value_and_grad(form, data.scores, classes=np.arange(n_classes))) == want


def test_bool_labels_are_zero_and_one():
    data = telling_scores(40, n_classes=2)
    want = bits(CS.value_and_grad(data.y, data.scores))
    assert bits(CS.value_and_grad(data.y.astype(bool), data.scores)) == want
    wide = np.hstack([data.scores, np.full((40, 1), -9.0)])
    want = bits(CS.value_and_grad(data.y, wide))
    assert bits(CS.value_and_grad(data.y.astype(bool), wide)) == want


def test_declared_classes():
    z = np.array([0.25, -0.5, 2.0])
    want = bits(HINGE.value_and_grad([1, -1, 1], z))
    for classes in (
        (0, 1),
        (1, 0),
        (5, 2),
        (-3, 1000),
        (0, -1),
        [2, 4],
        np.array([7, 8]),
        (1.0, 2.0),
        (False, True),
    ):
        y = np.array([classes[1], classes[0], classes[1]])
        assert bits(HINGE.value_and_grad(y, z, classes=classes)) == want
    assert bits(HINGE.value_and_grad([True, False, True], z)) == want
    assert bits(HINGE.value_and_grad(np.array([1, 0, 1]), z, classes=(False, True))) == want
    big = 2**53
    y = np.array([big + 1, big, big + 1], dtype=np.int64)  # equal to each other once rounded to float64
    assert bits(HINGE.value_and_grad(y, z, classes=(big, big + 1))) == want
    with raises(ValueError, "y[1]"):
        HINGE(np.array([big + 1, big + 2, big]), z, classes=(big, big + 1))
    top = 2**64 - 1
    y = np.array([top, 0, top], dtype=np.uint64)
    assert bits(HINGE.value_and_grad(y, z, classes=(0, top))) == want
    # Labels are declared: a batch of one class means what it says.
    assert HINGE([0, 0], [-2.0, -2.0], classes=(0, 1)) == 0.0
    assert HINGE([0, 0], [-2.0, -2.0], classes=(1, 0)) == 3.0


LABELINGS = {
    "sorted": [0, 1, 2, 3, 4],
    "reversed": [4, 3, 2, 1, 0],
    "gaps": [3, 7, 20, 21, 100],
    "inner order": [0, 2, 1, 3, 4],
    "unsorted": [3, 7, -2, 100, 5],
    "negative": [-5, -4, -3, -2, -1],
    "one based": [1, 2, 3, 4, 5],
    "tuple": (3, 7, -2, 9, 1),
    "array": np.array([9, 8, 127, -128, 0], dtype=np.int8),
    "unsigned": np.array([9, 8, 200, 1, 0], dtype=np.uint8),
    "far apart": [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1],
    "lowest": [-(2**63) + j for j in range(5)],
    "highest": [2**63 - 5 + j for j in range(5)],
    "close": [2**53, 2**53 + 1, 2**53 + 2, -(2**53), -(2**53) - 1],
}


@pytest.mark.parametrize("labeling", LABELINGS)
@few_kinds_of_classes
def test_declared_labels_of_columns(labeling, kind):
    """classes[j] is the label of column j, whatever its order."""
    loss, data = kind.loss, kind.scores(60)
    by_class = [0.5, 1.0, 2.0, 3.0, 0.25]
    want = bits(loss.value_and_grad(data.y, data.scores, class_weight=by_class))
    classes = LABELINGS[labeling]
    y = np.asarray(classes, dtype=np.int64)[data.y]
    for labels in (y, strided(y), y.tolist()):
        got = loss.value_and_grad(labels, data.scores, classes=classes, class_weight=by_class)
        assert bits(got) == want
    if np.abs(y).max() < 2**24:
        for narrow in (np.float32, np.int32, ">i4"):
            got = loss.value_and_grad(y.astype(narrow), data.scores, classes=classes, class_weight=by_class)
            assert bits(got) == want


def test_many_declared_classes():
    """Looked up, not searched for one by one; unsorted labels of 100 000 columns."""
    n_classes = 100_000
    rng = np.random.default_rng(0)
    classes = rng.permutation(n_classes) * 7 - 12_345
    data = telling_scores(6, np.float32, n_classes=n_classes)
    want = bits(CS.value_and_grad(data.y, data.scores))
    assert bits(CS.value_and_grad(classes[data.y], data.scores, classes=classes)) == want


def test_labels_are_declared_not_guessed():
    """A batch without the lowest or the highest class means what it says."""
    s = [[0.0, 0.0, 5.0]] * 2
    assert CS([2, 2], s) == 0.0
    assert CS([1, 1], s) == 6.0
    assert CS([7, 7], s, classes=(3, 7, 9)) == 6.0


# --------------------------------------------------------------------------------------------------
# Scores
# --------------------------------------------------------------------------------------------------


@every_way
def test_score_dtypes(kind):
    rng, loss, n = np.random.default_rng(1), kind.loss, 60
    y = kind.labels[np.arange(n) % len(kind.labels)]
    for score_dtype in map(np.dtype, SCORE_DTYPES):
        low, high = {"b": (0, 2), "u": (0, 7)}.get(score_dtype.kind, (-6, 7))
        scores = rng.integers(low, high, (n, *kind.shape)).astype(score_dtype)
        if score_dtype.kind == "f":
            scores = (scores / score_dtype.type(4)).astype(score_dtype)
        computed = computing_dtype(score_dtype)
        wide = score_dtype.kind == "f" and score_dtype.itemsize >= 4
        grad_dtype = np.dtype(score_dtype.newbyteorder("=") if wide else "f8")
        values, grad = loss.value_and_grad(y, scores, reduction="none")
        assert values.dtype == computed and values.dtype.isnative
        assert grad.dtype == grad_dtype and grad.dtype.isnative and grad.flags.c_contiguous
        want_values, want_grad = loss.value_and_grad(y, scores.astype(computed), reduction="none")
        assert bits(values) == bits(want_values)
        np.testing.assert_array_equal(grad, want_grad)
        total, grad = loss.value_and_grad(y, scores)
        assert type(total) is float and grad.dtype == grad_dtype
        assert_right((total, grad), loss, y, scores)


def score_layouts(z):
    """The same numbers, held otherwise than in contiguous rows."""
    wide, tall = (
        np.full((len(z), 99), 99, dtype=z.dtype),
        np.full((3 * len(z), *z.shape[1:]), 99, dtype=z.dtype),
    )
    K = z[0].size
    wide[:, 1 : K + 1], tall[::3] = z.reshape(len(z), K), z
    read_only = z.copy()
    read_only.flags.writeable = False
    column = np.repeat(z, 2, axis=-1)[..., ::2]
    forms = {
        "row stride": wide[:, 1 : K + 1].reshape(z.shape) if K == 1 else wide[:, 1 : K + 1],
        "row step": tall[::3],
        "column step": column,
        "rows reversed": z[::-1].copy()[::-1],
        "all reversed": np.flip(np.flip(z).copy()),
        "misaligned": misaligned(z),
        "big endian": z.astype(z.dtype.newbyteorder(">")),
        "little endian": z.astype(z.dtype.newbyteorder("<")),
        "read only": read_only,
        "subclass": z.copy().view(type("Sub", (np.ndarray,), {})),
        "fortran": np.asfortranarray(z),
    }
    if z.ndim == 1:
        return forms | {
            "column of two": np.asfortranarray(np.stack([z, z], axis=1))[:, 1],
            "diagonal": np.diag(z).diagonal(),
        }
    return forms | {"columns reversed": z[:, ::-1].copy()[:, ::-1]}


@every_dtype
@every_way
def test_score_layouts(kind, dtype):
    for n, K in ((1, 2), (7, 3), (31, 5), (65, 17)):
        (of_K,) = kind.of(K)
        loss, data = of_K.loss, of_K.scores(max(n, 16), dtype)
        y, z, w = data.y[:n], data.scores[:n], data.weights[:n]
        want = bits(loss.value_and_grad(y, z, sample_weight=w))
        for name, form in score_layouts(z).items():
            got = loss.value_and_grad(y, form, sample_weight=w)
            assert bits(got) == want, name
            assert got[1].flags.c_contiguous and type(got[1]) is np.ndarray
        if dtype is np.float64:
            assert bits(loss.value_and_grad(y.tolist(), z.tolist(), sample_weight=tuple(w))) == want
            assert (
                bits(
                    loss.value_and_grad(
                        tuple(y), tuple(map(tuple, z)) if z.ndim > 1 else tuple(z), sample_weight=w
                    )
                )
                == want
            )
        for repeated in (np.broadcast_to(z[0], z.shape), np.broadcast_to(z[..., :1], z.shape)):
            assert bits(loss.value_and_grad(y, repeated)) == bits(loss.value_and_grad(y, repeated.copy()))


def test_array_likes():
    """Anything that np.asarray understands."""

    class Series:
        def __init__(self, data):
            self.data = data

        def __array__(self, dtype=None, copy=None):
            return np.array(self.data, dtype=dtype)

    y, z = [1, -1, 1], [0.5, -0.25, 2.0]
    want = bits(HINGE.value_and_grad(y, z))
    assert bits(HINGE.value_and_grad(Series(y), Series(z), sample_weight=Series([1, 1, 1]))) == want
    z = [[0.5, -0.25, 2.0], [0.1, 0.2, 0.3], [1.0, 0.0, 0.5]]
    want = bits(CS.value_and_grad([0, 2, 1], z))
    assert bits(CS.value_and_grad(Series([0, 2, 1]), Series(z), sample_weight=Series([1, 1, 1]))) == want
    assert bits(CS.value_and_grad(range(3), np.eye(3))) == bits(CS.value_and_grad([0, 1, 2], np.eye(3)))
    assert bits(HINGE.value_and_grad(range(1, 2), memoryview(np.array([0.5])))) == bits(
        HINGE.value_and_grad([1], np.array([0.5]))
    )


@every_dtype
@both_kinds
def test_results_are_new_plain_arrays(kind, dtype):
    data, loss = kind.scores(20, dtype), kind.loss
    for scores in (data.scores, data.scores.view(type("Sub", (np.ndarray,), {}))):
        values, grad = loss.value_and_grad(data.y, scores, reduction="none")
        for result in (values, grad):
            assert type(result) is np.ndarray
            assert result.flags.c_contiguous and result.flags.writeable
            assert not np.shares_memory(result, data.scores)
        assert not np.shares_memory(values, grad)
    for reduction in ("mean", "sum"):
        assert type(loss(data.y, data.scores, reduction=reduction)) is float


# --------------------------------------------------------------------------------------------------
# out=
# --------------------------------------------------------------------------------------------------


@every_dtype
@every_way
def test_out_is_filled_and_returned(kind, dtype):
    for n, K in [(100, None)] if kind.binary else [(70, 9)]:
        (of_K,) = kind.of(K)
        loss, data = of_K.loss, of_K.scores(n, dtype)
        y, z = data.y, data.scores
        for reduction in ("mean", "sum", "none"):
            value, grad = loss.value_and_grad(y, z, reduction=reduction)
            out = np.full(z.shape, 7, dtype=dtype)
            assert loss.grad(y, z, reduction=reduction, out=out) is out
            assert bits(out) == bits(grad)
            assert loss.grad(y, z, reduction=reduction, out=None) is not None
            out[:] = np.nan
            if reduction != "none":
                again, same = loss.value_and_grad(y, z, reduction=reduction, out=out)
                assert same is out and bits(again, out) == bits(value, grad)
                continue
            values_out = np.full(n, np.nan, dtype=dtype)
            assert loss.value(y, z, reduction="none", out=values_out) is values_out
            assert bits(values_out) == bits(value)
            assert loss(y, z, reduction="none", out=values_out) is values_out
            values_out[:] = 7
            result = loss.value_and_grad(y, z, reduction="none", out=(values_out, out))
            assert result[0] is values_out and result[1] is out
            assert bits(values_out, out) == bits(value, grad)


@both_kinds
def test_out_for_other_score_dtypes(kind):
    """The result's dtype, not the scores'."""
    loss, y = kind.loss, kind.labels[[1, 0, 1]]
    numbers = np.arange(3 * int(np.prod(kind.shape, dtype=int))).reshape(3, *kind.shape)
    for scores in (numbers.astype(np.int8), numbers.astype(np.float16)):
        grad = np.empty(scores.shape)
        assert loss.grad(y, scores, out=grad) is grad
        values = np.empty(3, dtype=np.float32)
        assert loss.value_and_grad(y, scores, reduction="none", out=(values, grad))[0] is values
        with pytest.raises(ValueError, match="out"):
            loss.grad(y, scores, out=np.empty(scores.shape, dtype=np.float32))
        with pytest.raises(ValueError, match="out"):
            loss.value(y, scores, reduction="none", out=np.empty(3))


def test_out_comes_back_as_the_very_object(tmp_path):
    """Also where the kernels write to a view of our own: subclasses, memory maps, any keyword."""
    data = telling_scores(40)
    for out in (
        np.empty(40),
        np.empty(40).view(type("Out", (np.ndarray,), {})),
        np.memmap(tmp_path / "out", np.float64, "w+", shape=(40,)),
    ):
        for keywords in ({}, {"sample_weight": data.weights}):
            want = HINGE.value_and_grad(data.y, data.scores, **keywords)
            assert HINGE.grad(data.y, data.scores, out=out, **keywords) is out
            got = HINGE.value_and_grad(data.y, data.scores, out=out, **keywords)
            assert got[1] is out and bits(got[0], np.asarray(out)) == bits(*want)
            assert HINGE.value(data.y, data.scores, reduction="none", out=out, **keywords) is out
            both = (np.empty(40), out)
            got = HINGE.value_and_grad(data.y, data.scores, reduction="none", out=both, **keywords)
            assert got[0] is both[0] and got[1] is out
            X = np.eye(40)
            assert hf.decision_function(X, data.scores, out=out) is out
            assert hf.linear_value_and_grad(X, data.y, data.scores, out=out, **keywords)[1] is out
            objective = hf.Objective(X, data.y, loss="hinge", fit_intercept=False, **keywords)
            assert objective.grad(data.scores, out=out) is out
            assert objective.value_and_grad(data.scores, out=out)[1] is out
            assert objective.decision_function(data.scores, out=out) is out
