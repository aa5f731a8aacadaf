"""Promise: a label is read exactly, whatever its dtype, byte order and stride; none is met by rounding."""

import numpy as np
import pytest
from conftest import bits, raises
from kinds import as_csr

import hingefast as hf

pytestmark = pytest.mark.sanitizer

INTEGERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
LAYOUTS = {
    "as they are": lambda y: y,
    "swapped": lambda y: y.astype(y.dtype.newbyteorder("S")),
    "backwards": lambda y: y[::-1].copy()[::-1],
    "every second": lambda y: np.repeat(y, 2)[::2],
    "swapped, every second": lambda y: np.repeat(y.astype(y.dtype.newbyteorder("S")), 2)[::2],
    "misaligned": lambda y: np.frombuffer(b"x" + y.tobytes(), y.dtype, offset=1),
}
N = 700  # more than a block


def ends(dtype):
    """Pairs of neighbouring labels at the ends of a type, and beyond what float64 can tell apart."""
    info = np.iinfo(dtype)
    pairs = [(info.min, info.min + 1), (info.max - 1, info.max)]
    if info.bits == 64:
        pairs += [(2**53, 2**53 + 1), (2**62 + 1, 2**62 + 2)]
        pairs = [(a, b) for a, b in pairs if b < 2**63]  # a class is an int64
    return [(int(a), int(b)) for a, b in pairs if a != -(2**63)]


def calls(y, classes):
    """The bits of every way to read labels: scores and X, a pair, K classes, consecutive and not."""
    first = np.arange(N) % 3 == 0
    scores = np.where(first, 0.25, -3.0)
    Z = np.stack([scores, -scores, scores / 2], axis=1)
    X = np.stack([scores, np.ones(N)], axis=1)
    low, high = classes
    other = low - 1 if low > 0 else high + 1
    objective = hf.Objective(X, y, loss="logistic", classes=classes)
    return bits(
        hf.Hinge().value_and_grad(y, scores, classes=classes),
        hf.CrammerSinger().value_and_grad(y, Z[:, :2], classes=classes),
        hf.WestonWatkins().value_and_grad(y, Z, classes=[high, other, low]),
        hf.linear_value_and_grad(X, y, [1.0, 0.5], classes=classes),
        hf.linear_value_and_grad(as_csr(X), y, [1.0, 0.5], classes=classes, rows=np.arange(N)[::-1]),
        hf.linear_value_and_grad(X, y, np.eye(2), loss="crammer_singer", classes=classes),
        objective.value_and_grad(np.array([1.0, 0.5, 0.1])),
        hf.margin_report(y, scores, classes=classes).confident,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(dtype, layout):
    """Labels at the ends of their type give the answers of -1 and +1 in their place."""
    signs = np.where(np.arange(N) % 2, 1, -1)
    want = None
    for pair in ends(dtype):
        y = np.where(signs > 0, *(np.array(label, dtype) for label in pair[::-1])).astype(dtype)
        got = calls(LAYOUTS[layout](y), pair)
        want = want or calls(y, pair)
        assert got == want, pair


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_neighbours_that_float64_cannot_tell_apart(dtype, layout):
    """A label one beside a declared class is refused, and told as it is."""
    y = np.full(N, 2**53, dtype)
    y[600] += 1
    y = LAYOUTS[layout](y)
    with raises(ValueError, f"y[600] is {2**53 + 1}"):
        hf.Hinge().value(y, np.zeros(N), classes=(0, 2**53))
    with raises(ValueError, f"y[600] is {2**53 + 1}"):
        hf.CrammerSinger().value(y, np.zeros((N, 2)), classes=[0, 2**53])
    with raises(ValueError, f"y[600] is {2**53 + 1}"):
        hf.Objective(np.zeros((N, 1)), y, loss="hinge", classes=(0, 2**53))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="longdouble is no wider than float64 here")
def test_longdouble():
    """Cast by NumPy: an integer beyond 2^53 keeps its value, and what is no float64 is no class."""
    y = np.array([2**53, 2**53 + 1], np.longdouble)
    pair = (2**53, 2**53 + 1)
    want = hf.Hinge().value_and_grad([-1, 1], [2.0, -3.0])
    assert bits(hf.Hinge().value_and_grad(y, [2.0, -3.0], classes=pair)) == bits(want)
    assert bits(hf.linear_value_and_grad(np.eye(2), y, [2.0, -3.0], classes=pair)[0]) == bits(want[0])
    top = np.array([2**64 - 1, 2**63], np.longdouble)
    assert bits(hf.Hinge().value_and_grad(top, [-3.0, 2.0], classes=(2**63, 2**64 - 1))[0]) == bits(3.5)
    ends = np.where(np.arange(N) % 2, 2**63 - 1, -(2**63) + 1).astype(np.longdouble)
    signs, scores = np.where(np.arange(N) % 2, 1, -1), np.linspace(-2, 2, N)
    pair = (-(2**63) + 1, 2**63 - 1)
    want = bits(hf.Hinge().value_and_grad(signs, scores))
    assert bits(hf.Hinge().value_and_grad(ends, scores, classes=pair)) == want
    report = hf.margin_report(ends, scores, classes=pair)
    assert report == hf.margin_report(signs, scores)
    weighted = hf.Objective(scores[:, None], ends, loss="hinge", classes=pair, class_weight="balanced")
    assert bits(weighted.value([1.0, 0.0])) == bits(hf.Hinge().value(signs, scores))
    ends[5] = 0.5  # one that is none beside many that are: told, and no other
    with raises(ValueError, "y[5] is 0.5"):
        hf.Hinge().value(ends, scores, classes=pair)
    truth = np.array([0, 1], np.longdouble)
    assert hf.Hinge().value(truth, [-3.0, 3.0], classes=(False, True)) == 0
    near = np.array([1, -1, 1], np.longdouble)
    near[2] += np.longdouble(2) ** -60
    with raises(ValueError, "y[2] is 1.000000000000000000"):
        hf.Hinge().value(near, np.zeros(3))
    with raises(ValueError, "y[2] is 1.000000000000000000"):
        hf.linear_value_and_grad(np.zeros((3, 1)), near, [0.0], rows=[0, 2, 1])
    half = np.array([0.5, 1.5, 0.5], np.longdouble)
    assert hf.Hinge().value(half, [1.0, 2.0, -1.0], classes=(0.5, 1.5)) == pytest.approx((2 + 0 + 0) / 3)


@pytest.mark.parametrize("pair", [(2**53, 2**53 + 1), (2**53 + 1, 2**53)])
def test_floats_beside_a_class_that_is_no_float(pair):
    """2^53 + 1 is a class that float64 rounds to 2^53: a float label 2^53 must not be taken for it."""
    X, scores = np.ones((3, 1)), np.full(3, 3.5)
    for dtype in (np.float32, np.float64, ">f8"):
        y = np.full(3, 2**53, dtype)
        with raises(ValueError, "classes", str(2**53 + 1)):
            hf.Hinge().value(y, scores, classes=pair)
        with raises(ValueError, "classes", str(2**53 + 1)):
            hf.linear_value_and_grad(X, y, [3.5], classes=pair)
    want = 4.5 if pair[0] == 2**53 else 0.0
    y = np.full(3, 2**53, np.longdouble)
    if y.dtype != np.float64:
        assert hf.Hinge().value(y, scores, classes=pair) == want
        assert hf.linear_value_and_grad(X, y, [3.5], classes=pair)[0] == want


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_floats(dtype):
    y = np.where(np.arange(N) % 2, 1.5, -2.0).astype(dtype)
    signs = np.where(np.arange(N) % 2, 1, -1)
    scores = np.linspace(-2, 2, N)
    want = bits(hf.Hinge().value_and_grad(signs, scores))
    assert bits(hf.Hinge().value_and_grad(y, scores, classes=(-2.0, 1.5))) == want
    y[650] = np.nan
    with raises(ValueError, "y[650] is nan"):
        hf.Hinge().value(y, scores, classes=(-2.0, 1.5))


def test_declared_floats_are_exact_up_to_2_53():
    y, scores = np.array([0, 2**53, -(2**53)]), np.eye(3)
    want = hf.CrammerSinger().value_and_grad([0, 1, 2], scores)
    for declared in ([0.0, 2.0**53, -(2.0**53)], np.array([0, 2.0**53, -(2.0**53)])):
        assert bits(hf.CrammerSinger().value_and_grad(y, scores, classes=declared)) == bits(want)
    with raises(ValueError, "classes[1]", "beyond 2^53"):
        hf.CrammerSinger().value(y, scores, classes=[0.0, 2.0**53 + 2, -(2.0**53)])


@pytest.mark.parametrize("dtype", [">i8", ">u2", ">f4", "<f2", ">f8", np.longdouble])
def test_weights_of_any_dtype(dtype):
    """Weights are read likewise, and told as they are where they are bad."""
    weights = (np.arange(N) % 7).astype(dtype)
    signs, scores = np.where(np.arange(N) % 2, 1, -1), np.linspace(-2, 2, N)
    want = bits(hf.Hinge().value_and_grad(signs, scores, sample_weight=np.arange(N) % 7.0))
    assert bits(hf.Hinge().value_and_grad(signs, scores, sample_weight=weights)) == want
    if weights.dtype.kind == "f":
        weights[640] = -2
        with raises(ValueError, "sample_weight[640] is -2"):
            hf.Hinge().value(signs, scores, sample_weight=weights)
