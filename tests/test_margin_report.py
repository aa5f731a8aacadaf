"""Promise: `margin_report` counts what its words say, whatever the labels, weights and sizes."""

import numpy as np
import pytest
from conftest import euclidean_norm, raises
from kinds import telling_scores

import hingefast as hf


def counted(signs, scores, weights=None):
    """confident, inside, wrong, support vectors, smallest margin, and the weights of the three: one row at a time."""
    confident = inside = wrong = support = 0
    sums = [0.0, 0.0, 0.0]
    smallest = np.inf
    for i, (sign, score) in enumerate(zip(signs, scores, strict=True)):
        weight = 1.0 if weights is None else float(weights[i])
        if weight == 0:
            continue
        margin = float(sign) * float(score)
        smallest = min(smallest, margin)
        support += margin <= 1
        if margin > 1:
            confident, sums[0] = confident + 1, sums[0] + weight
        elif margin > 0:
            inside, sums[1] = inside + 1, sums[1] + weight
        else:
            wrong, sums[2] = wrong + 1, sums[2] + weight
    return (confident, inside, wrong, support, smallest), sums


def numbers(report):
    return report.confident, report.inside, report.wrong, report.support_vectors, report.smallest_margin


def test_worked_example():
    """Margins 2, 1 (at the margin: a support vector), 0.5, 0 (undecided: wrong), -0.25, 1.5."""
    report = hf.margin_report([1, 1, -1, -1, 1, -1], [2.0, 1.0, -0.5, 0.0, -0.25, -1.5], coef=[3.0, 4.0])
    assert numbers(report) == (2, 2, 2, 4, -0.25)
    assert report.n_rows == 6 and report.margin_width == pytest.approx(0.4)


@pytest.mark.parametrize("n", [16, 100, 70_000, 140_001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts(n, dtype):
    data = telling_scores(n, dtype, seed=81)
    want, _ = counted(data.y, data.scores)
    report = hf.margin_report(data.y, data.scores)
    assert numbers(report) == want and report.n_rows == n
    assert min(want[:3]) > 0
    assert report.margin_width is None
    assert report.confident + report.inside + report.wrong == n


def test_weights():
    data = telling_scores(500, seed=82)
    weights = data.weights.copy()
    weights[::7] = 0.0
    scores = data.scores.copy()
    scores[::7] = np.nan  # weight 0: left out even so
    want, sums = counted(data.y, scores, weights)
    report = hf.margin_report(data.y, scores, sample_weight=weights)
    assert numbers(report) == want
    got = (report.confident_weight, report.inside_weight, report.wrong_weight)
    np.testing.assert_allclose(got, sums, rtol=1e-12)
    assert report.weight == pytest.approx(weights.sum(), rel=1e-12)


def test_weights_are_shown_where_they_were_given():
    """Known from the argument: weights of a mean of 1, as balanced ones have, sum to the number of rows."""
    report = hf.margin_report([1, 1], [2.0, 0.5], sample_weight=[1.75, 0.25])
    assert report.weighted and "87.5 % of the weight" in str(report) and "12.5 % of the weight" in str(report)
    report = hf.margin_report([1, 1], [2.0, 0.5], sample_weight=[1, 1])
    assert report.weighted and str(report).count("50.0 % of the weight") == 2
    report = hf.margin_report([0, 1], np.eye(2), sample_weight=[3, 1])
    assert report.weighted and "of the weight" in str(report)
    report = hf.margin_report([1, 1], [2.0, 0.5])
    assert not report.weighted and "of the weight" not in str(report)
    report = hf.margin_report([1, 1], [2.0, 0.5], sample_weight=[0, 0])
    assert report.weighted and report.n_rows == 0 and "nan" not in str(report)


@pytest.mark.parametrize("scale", [1e-310, 1e-100, 1e100, 1e307])
def test_shares_of_tiny_and_huge_weights(scale):
    report = hf.margin_report([1, 1, 1], [2.0, 0.5, -1.0], sample_weight=np.array([2.0, 1.0, 1.0]) * scale)
    for share in ("(50.0 % of", "(25.0 % of"):
        assert share in str(report)
    report = hf.margin_report(
        [1, 1], [2.0, 0.5], sample_weight=[1.5e308, 1.5e308]
    )  # no float64 holds the sum
    assert report.weight == np.inf and "nan" not in str(report)


@pytest.mark.parametrize(
    "classes,dtype",
    [((0, 1), np.uint8), ((1, 2), np.float32), ((1, -1), np.int8), (None, bool), ((False, True), bool)],
)
def test_classes(classes, dtype):
    data = telling_scores(64, seed=83)
    negative, positive = classes or (False, True)
    y = np.where(data.y > 0, positive, negative).astype(dtype)
    assert hf.margin_report(y, data.scores, classes=classes) == hf.margin_report(data.y, data.scores)


@pytest.mark.parametrize("others", [[0.0], [np.inf], [3.0, 4.0], []], ids=str)
def test_a_norm_with_nan_is_nan(others):
    """Of one array and of several, wherever the NaN is."""
    others, nan = np.array(others), np.array([0.0, np.nan])
    norms = [
        euclidean_norm(others, nan),
        euclidean_norm(nan, others),
        euclidean_norm(np.append(others, nan)),
    ]
    assert np.isnan(norms).all()


@pytest.mark.parametrize("shape", [(2,), (1, 2)])
def test_width(shape):
    coef = np.array([0.6, 0.8]).reshape(shape)
    assert hf.margin_report([1, -1], [0.5, 0.25], coef=coef).margin_width == pytest.approx(2.0)
    assert hf.margin_report([1, -1], [0.5, 0.25], coef=coef * 0).margin_width == np.inf


@pytest.mark.parametrize(
    "coef,width",
    [
        ([3e200, 4e200], 4e-201),
        ([3e-200, 4e-200], 4e199),
        (np.float32([3e30, 4e30]), 4e-31),
        (np.float32([3e-30, 4e-30]), 4e29),
        (np.array([3e200, 4e200], np.longdouble), 4e-201),
        (np.array([3, 4], np.int8), 0.4),
        (np.full(4, 100, np.int8), 0.01),
        ([np.inf, 1.0], 0.0),
        ([5e-324, 0.0], np.inf),
    ],
    ids=str,
)
def test_width_of_tiny_and_huge_coefficients(coef, width):
    """The norm overflows and underflows only where it is itself too large or too small."""
    report = hf.margin_report([1, -1], [0.5, 0.25], coef=coef)
    assert report.margin_width == pytest.approx(
        width, rel=1e-6 if getattr(coef, "dtype", 0) == "f4" else 1e-14
    )
    several = hf.margin_report([0, 1], np.eye(2), coef=np.array([coef, np.zeros_like(coef)]))
    assert several.margin_width == report.margin_width


ENDS = [-(2**63) + 1, -(2**53) - 1, -1, 2**53, 2**53 + 1, 2**63 - 1]


@pytest.mark.parametrize("positive", [*ENDS, 2**63, 2**64 - 1])
def test_labels_at_the_ends_of_their_type(positive):
    """No label is taken for a neighbour that float64 cannot tell from it; as the losses see it."""
    dtype = np.uint64 if positive >= 2**63 else np.int64
    scores = np.array([0.5, 2.0])
    for label in (positive - 1, positive + 1):
        if not np.iinfo(dtype).min < label <= np.iinfo(dtype).max:
            continue
        y = np.array([positive, label], dtype)
        for call in (hf.margin_report, hf.Hinge().value):
            with raises(ValueError, f"y[1] is {label}"):
                call(y, scores, classes=(3, positive))
        assert hf.margin_report(y, scores, classes=(label, positive)).confident == 0
    if dtype is np.int64:
        for y in ([float(positive), 3.0], np.array([positive, 3])):
            same = int(np.asarray(y)[0]) == positive
            for call in (hf.margin_report, hf.Hinge().value):
                if same:
                    call(y, scores, classes=(3, positive))
                else:
                    with raises(ValueError, "classes", str(positive), "integers"):
                        call(y, scores, classes=(3, positive))
        names = [3, positive]
        assert hf.margin_report([positive, 3], np.eye(2)[::-1], classes=names).wrong == 0
        if positive < 2**63 - 1:
            with raises(ValueError, f"y[0] is {positive + 1}"):
                hf.margin_report([positive + 1, 3], np.eye(2), classes=names)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_labels_are_compared_as_they_are(dtype):
    """A float32 label near 0.1 is not the class 0.1."""
    y = np.array([0.1, 0.5], dtype)
    for call in (hf.margin_report, hf.Hinge().value):
        with raises(ValueError, "y[0] is 0.1" if dtype is np.float32 else "y[0] is 0.09"):
            call(y, [1.0, 2.0], classes=(0.1, 0.5))
        call(y, [1.0, 2.0], classes=(float(y[0]), 0.5))


def test_nan_and_infinities():
    report = hf.margin_report([1, 1, -1], [np.nan, np.inf, 0.5])
    assert np.isnan(report.smallest_margin) and report.confident == 1
    report = hf.margin_report([1, -1], [np.inf, np.inf])
    assert report.smallest_margin == -np.inf and report.confident == 1 and report.wrong == 1


def test_it_reads_well():
    data = telling_scores(12_345, seed=84)
    report = hf.margin_report(data.y, data.scores, coef=[0.5])
    text = str(report)
    for count in (report.confident, report.inside, report.wrong, report.support_vectors):
        assert f"{count:,}" in text or str(count) in text
    for word in ("confident", "inside", "wrong", "support vectors", "smallest margin", "width"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 110
    assert "width" not in str(hf.margin_report([1, -1], [0.5, 2.0]))


def test_no_rows():
    report = hf.margin_report(np.zeros(0, np.int8), np.zeros(0))
    assert (report.n_rows, report.support_vectors) == (0, 0) and str(report)


def test_faults():
    for arguments, keywords, error, match in (
        (([1, -1, 1], [0.5, 1.0]), {}, ValueError, "y has 3 rows"),
        (([1, 0], [0.5, 1.0]), {}, ValueError, r"y\[1\] is 0"),
        (([1, -1], [[0.5], [1.0]]), {}, ValueError, "scores"),
        (([1, -1], np.ones(2, complex)), {}, TypeError, "scores"),
        ((["a", "b"], [0.5, 1.0]), {}, TypeError, r"\by\b"),
        (([1, -1], [0.5, 1.0]), {"sample_weight": [1.0]}, ValueError, "sample_weight"),
        (([1, -1], [0.5, 1.0]), {"sample_weight": [1.0, -1.0]}, ValueError, r"sample_weight\[1\]"),
        (([1, -1], [0.5, 1.0]), {"coef": np.ones((2, 2))}, ValueError, "coef"),
        (([1, -1], [0.5, 1.0]), {"coef": ["a"]}, TypeError, "coef"),
        (([1, -1], [0.5, 1.0]), {"classes": (1, 1)}, ValueError, "classes"),
    ):
        with pytest.raises(error, match=match):
            hf.margin_report(*arguments, **keywords)


# K classes


def counted_classes(labels, scores):
    """The margins s_c - max of the others, one row at a time, and what `counted` says of them."""
    margins = []
    for c, row in zip(labels.tolist(), scores.tolist(), strict=True):
        margins.append(row[c] - max(s for j, s in enumerate(row) if j != c))
    return np.array(margins)


def test_worked_example_of_classes():
    """Margins 1.5, 1 (at the margin), 0.5, 0 (a tie: wrong), -2."""
    scores = [[2.0, 0.5, 0.25], [0.0, 2.0, 1.0], [-1.0, -1.5, -0.5], [1.0, 1.0, 0.0], [3.0, 0.0, 1.0]]
    report = hf.margin_report([0, 1, 2, 1, 2], scores, coef=[[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    assert numbers(report) == (1, 2, 2, 4, -2.0)
    assert report.n_rows == 5 and report.margin_width == pytest.approx(0.4)


@pytest.mark.parametrize("n,n_classes", [(40, 2), (200, 7), (3_000, 33), (70_001, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_of_classes(n, n_classes, dtype):
    data = telling_scores(n, dtype, seed=85, n_classes=n_classes)
    margins = counted_classes(data.y, data.scores)
    want, sums = counted(np.ones(n), margins.astype(dtype), data.weights)
    for scores in (
        data.scores,
        np.asfortranarray(data.scores),
        data.scores.astype(data.scores.dtype.newbyteorder()),
    ):
        report = hf.margin_report(data.y, scores, sample_weight=data.weights)
        assert numbers(report)[:4] == want[:4] and report.n_rows == n
        assert report.smallest_margin == pytest.approx(want[4], rel=1e-6)
        got = (report.confident_weight, report.inside_weight, report.wrong_weight)
        np.testing.assert_allclose(got, sums, rtol=1e-12)
    assert min(want[:3]) > 0
    assert report.confident + report.inside + report.wrong == n


@pytest.mark.parametrize("classes", [None, 4, [3, 7, -2, 100], np.array([9, 8, 7, 6], dtype=np.uint8)])
def test_declared_classes(classes):
    data = telling_scores(60, seed=86, n_classes=4)
    labels = np.arange(4) if classes is None or isinstance(classes, int) else np.asarray(classes)
    want = hf.margin_report(data.y, data.scores)
    for dtype in (np.int64, np.float32, np.int16):
        assert hf.margin_report(labels[data.y].astype(dtype), data.scores, classes=classes) == want


def test_two_classes_are_the_binary_report_of_the_difference():
    data = telling_scores(80, seed=87, n_classes=2)
    several = hf.margin_report(data.y, data.scores)
    binary = hf.margin_report(data.y, data.scores[:, 1] - data.scores[:, 0], classes=(0, 1))
    assert numbers(several) == numbers(binary)


def test_nan_infinities_and_weight_zero_of_classes():
    scores = np.array([[np.nan, 0.0, 1.0], [np.inf, 0.0, 1.0], [0.0, 0.5, -np.inf], [0.0, 5.0, 1.0]])
    report = hf.margin_report([1, 0, 2, 1], scores)
    assert np.isnan(report.smallest_margin) and (report.confident, report.wrong) == (2, 2)
    report = hf.margin_report([1, 0, 2, 1], scores, sample_weight=[0, 1, 1, 1])
    assert report.smallest_margin == -np.inf and (report.confident, report.wrong) == (2, 1)


def test_it_reads_well_with_classes():
    report = hf.margin_report([0, 1, 2], np.eye(3) * 2, coef=np.eye(3))
    text = str(report)
    assert "true class" in text and "width" in text
    assert max(map(len, text.splitlines())) <= 110


def test_no_rows_of_classes():
    report = hf.margin_report(np.zeros(0, np.int8), np.zeros((0, 4)))
    assert (report.n_rows, report.support_vectors) == (0, 0) and str(report)


def test_faults_of_classes():
    scores = np.eye(3)
    for arguments, keywords, error, match in (
        (([0, 1], scores), {}, ValueError, "y has 2 rows"),
        (([0, 1, 3], scores), {}, ValueError, r"y\[2\] is 3"),
        (([0, -1, 3], scores), {}, ValueError, r"y\[1\] is -1"),
        (([0, 1, 1.5], scores), {}, ValueError, r"y\[2\] is 1\.5"),
        (([0, 1, 2], np.zeros((3, 1))), {}, ValueError, "scores"),
        (([0, 1, 2], np.zeros((3, 3, 3))), {}, ValueError, "scores"),
        (([0, 1, 2], scores.astype(complex)), {}, TypeError, "scores"),
        (([0, 1, 2], scores), {"classes": 4}, ValueError, "classes"),
        (([0, 1, 2], scores), {"classes": (0, 1)}, ValueError, "classes"),
        (([0, 1, 2], scores), {"classes": (0, 1, 1)}, ValueError, "classes"),
        (([0, 1, 2], scores), {"sample_weight": [1.0, -1.0, 1.0]}, ValueError, r"sample_weight\[1\]"),
        (([0, 1, 2], scores), {"coef": np.ones((2, 4))}, ValueError, "coef"),
        (([0, 1, 2], scores), {"coef": np.ones(4)}, ValueError, "coef"),
    ):
        with pytest.raises(error, match=match):
            hf.margin_report(*arguments, **keywords)


def test_columns_of_large_counts_are_aligned():
    text = str(hf.margin_report(np.ones(1500), np.r_[np.full(1200, 2.0), np.full(300, 0.5)]))
    counts = [line for line in text.splitlines() if "80.0 %" in line or "20.0 %" in line]
    assert len(counts) == 2, text
    ends = {
        line.index(number) + len(number) for line in counts for number in ("1,200", "300") if number in line
    }
    assert len(ends) == 1, text


@pytest.mark.parametrize("shape", [(70_001,), (70_001, 2)])
def test_positions_in_large_data(shape):
    """Rows are looked at some at a time; a position counts from the first of all."""
    n = shape[0]
    y, w = np.ones(n), np.ones(n)
    w[70_000] = -1
    with raises(ValueError, "sample_weight[70000] is -1"):
        hf.margin_report(y, np.ones(shape), sample_weight=w)
    y[70_000] = 7
    with raises(ValueError, "y[70000] is 7"):
        hf.margin_report(y, np.ones(shape))


def test_shares_of_weights_whose_sum_overflows_are_not_told():
    text = str(hf.margin_report([1, 1], [2.0, 0.5], sample_weight=[1.7e308] * 2))
    assert "of the weight" not in text
