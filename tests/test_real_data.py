"""Promise: on real data the answers are those of plain NumPy and SciPy passes."""

import lzma
from types import SimpleNamespace

import numpy as np
import pytest
import reference
from conftest import bits
from linear_cases import RELATIVE, assert_telling
from scipy import sparse

import hingefast as hf
from hingefast.io.svmlight import read_svmlight

# File, features, rows, rows of the second class, nonzeros, the pair of labels.
SETS = {
    "a9a": ("a9a.xz", 123, 32_561, 7_841, 451_592, (-1, 1)),
    "a9a.t": ("a9a.t.xz", 123, 16_281, 3_846, 225_731, (-1, 1)),
    "agaricus": ("agaricus.txt.train.xz", None, 6_513, 3_140, 143_286, (0, 1)),
    "cod-rna": ("cod-rna.scaled.svm.xz", 8, 59_535, 19_845, 476_280, (-1, 1)),
    "skin": ("skin_nonskin.scaled.svm.xz", 3, 245_057, 194_198, 735_171, (1, 2)),
    "colon-cancer": ("colon-cancer.svm.xz", 2_000, 62, 22, 124_000, (-1, 1)),
    "rcv1-small": ("rcv1_vw_small.train.svm.xz", 47_236, 1_000, 459, 77_739, (-1, 1)),
}


@pytest.fixture(scope="module", params=SETS)
def real(request, data_dir):
    """One set: X (CSR), y, signs, the SciPy matrix, and coefficients that classify better than chance."""
    file, n_features, n_rows, n_positive, nnz, classes = SETS[request.param]
    path = data_dir / file
    if not path.exists():
        pytest.skip(f"{file} is absent")
    X, y = read_svmlight(str(path), n_features=n_features)
    plain = sparse.csr_array((X.data, X.indices, X.indptr), shape=X.shape)
    y = np.asarray(y)
    assert X.shape[0] == n_rows and len(X.data) == nnz and int((y == classes[1]).sum()) == n_positive
    signs = np.where(y == classes[1], 1.0, -1.0)
    direction = plain.T @ (np.where(signs > 0, 1 / n_positive, -1 / (n_rows - n_positive)))
    scores = plain @ direction
    # Scaled and shifted so that rows lie on both sides of the margin.
    coef = direction * (2.0 / scores.std())
    intercept = -float(np.mean([(plain @ coef)[signs > 0].mean(), (plain @ coef)[signs < 0].mean()]))
    margins = signs * (plain @ coef + intercept)
    if n_rows < 10_000:
        assert_telling(signs, margins * signs)
    assert (margins < 1).any() and (margins > 1).any() and (margins > 0).mean() > 0.55
    return SimpleNamespace(
        X=X,
        y=y,
        signs=signs,
        plain=plain,
        coef=coef,
        intercept=intercept,
        classes=classes,
        name=request.param,
    )


def vectorised(loss, margins):
    """phi and phi' of the losses that NumPy writes in one line; the oracles take too long for 245 057 rows."""
    u = 1 - margins
    if loss == "hinge":
        return np.maximum(u, 0), np.where(u > 0, -1.0, 0.0)
    if loss == "squared_hinge":
        return np.maximum(u, 0) ** 2, -2 * np.maximum(u, 0)
    if loss == "modified_huber":
        return np.where(margins >= -1, np.maximum(u, 0) ** 2, -4 * margins), np.clip(-2 * u, -4, 0)
    if loss == "logistic":
        return np.logaddexp(0, -margins), -1 / (1 + np.exp(margins))
    raise AssertionError(loss)


def compare(real, X, loss, margins, losses, slopes, scores_error, alpha=1e-4):
    n = len(margins)
    signed = real.signs * slopes / n
    got = hf.linear_value_and_grad(
        X, real.y, real.coef, real.intercept, loss=loss, alpha=alpha, classes=real.classes
    )
    absolute = abs(real.plain)
    relative = 2 * RELATIVE[np.dtype(np.float64)]
    # The largest slope is 4 (modified Huber) or twice the largest u; the scores' error moves phi' by at most twice it.
    steep = max(1.0, np.abs(slopes).max())
    penalty = alpha / 2 * (real.coef @ real.coef)
    error = steep * scores_error.sum() / n + relative * (losses.mean() + penalty)
    assert abs(got[0] - losses.mean() - penalty) <= error
    bound = (
        relative * (absolute.T @ np.abs(signed) + alpha * np.abs(real.coef))
        + 4 * (absolute.T @ scores_error) / n
    )
    assert (np.abs(got[1] - (real.plain.T @ signed + alpha * real.coef)) <= bound).all()
    assert abs(got[2] - signed.sum()) <= relative * np.abs(signed).sum() + 4 * scores_error.sum() / n
    return got


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "modified_huber", "logistic"])
def test_against_a_pass_of_scipy(real, loss):
    scores = real.plain @ real.coef + real.intercept
    longest = int(np.diff(real.X.indptr).max())
    scores_error = (longest + 3) * 2.3e-16 * (abs(real.plain) @ np.abs(real.coef) + abs(real.intercept) + 1)
    got = hf.decision_function(real.X, real.coef, real.intercept)
    assert (np.abs(got - scores) <= scores_error).all()
    margins = real.signs * scores
    unsure = (np.abs(margins - 1) < scores_error) | (np.abs(margins + 1) < scores_error)
    assert not unsure.any()  # no row of these sets lies at a kink
    losses, slopes = vectorised(loss, margins)
    compare(real, real.X, loss, margins, losses, slopes, scores_error)
    compare(real, real.plain, loss, margins, losses, slopes, scores_error)


@pytest.mark.parametrize("loss", sorted(hf.losses.MARGIN_LOSSES))
def test_every_loss_against_the_oracle(real, loss):
    rows = np.linspace(0, len(real.y) - 1, min(400, len(real.y))).astype(int)
    margins = real.signs[rows] * (real.plain[rows] @ real.coef + real.intercept)
    losses = reference.phi(loss, {}, margins)
    slopes = real.signs[rows] * reference.slope(loss, {}, margins) / len(rows)
    value, grad, grad_intercept = hf.linear_value_and_grad(
        real.X, real.y, real.coef, real.intercept, loss=loss, classes=real.classes, rows=rows
    )
    assert value == pytest.approx(losses.mean(), rel=1e-11)
    part = real.plain[rows]
    absolute = abs(part).T @ np.abs(slopes)
    assert (
        np.abs(grad - part.T @ slopes) <= 1e-11 * (absolute + abs(part).T @ np.ones(len(rows)) / len(rows))
    ).all()
    assert grad_intercept == pytest.approx(slopes.sum(), rel=1e-10, abs=1e-12)


def test_dense_float32_and_threads(real):
    """Dense where it fits, float32, any number of threads, and the report on the same scores."""
    whole = hf.linear_value_and_grad(
        real.X, real.y, real.coef, real.intercept, classes=real.classes, n_threads=1
    )
    for n_threads in (2, 3):
        again = hf.linear_value_and_grad(
            real.X, real.y, real.coef, real.intercept, classes=real.classes, n_threads=n_threads
        )
        assert bits(again) == bits(whole)
    scores = hf.decision_function(real.X, real.coef, real.intercept)
    if real.X.shape[0] * real.X.shape[1] < 5_000_000:
        dense = real.plain.toarray()
        got = hf.linear_value_and_grad(dense, real.y, real.coef, real.intercept, classes=real.classes)
        assert got[0] == pytest.approx(whole[0], rel=1e-11)
        np.testing.assert_allclose(got[1], whole[1], rtol=1e-8, atol=1e-11)
        narrow = hf.linear_value_and_grad(
            dense.astype(np.float32), real.y, real.coef, real.intercept, classes=real.classes
        )
        assert narrow[0] == pytest.approx(whole[0], rel=1e-4) and narrow[0] != whole[0]
    report = hf.margin_report(real.y, scores, coef=real.coef, classes=real.classes)
    margins = real.signs * scores
    assert report.support_vectors == int((margins <= 1).sum())
    assert report.wrong == int((margins <= 0).sum()) and report.confident == int((margins > 1).sum())


def test_labels_must_be_declared(real):
    if real.classes == (-1, 1):
        hf.linear_value_and_grad(real.X, real.y, real.coef)
        return
    with pytest.raises(ValueError, match="classes"):
        hf.linear_value_and_grad(real.X, real.y, real.coef)


def test_the_reader_reads_what_the_file_says(data_dir):
    """A second reader in a few lines, on the first rows of a9a."""
    path = data_dir / "a9a.xz"
    if not path.exists():
        pytest.skip("a9a.xz is absent")
    X, y = read_svmlight(str(path), n_features=123)
    with lzma.open(path, "rt") as file:
        for row, line in zip(range(200), file, strict=False):
            label, *entries = line.split()
            assert float(label) == y[row]
            stored = slice(X.indptr[row], X.indptr[row + 1])
            assert [int(e.split(":")[0]) - 1 for e in entries] == X.indices[stored].tolist()
            assert [float(e.split(":")[1]) for e in entries] == X.data[stored].tolist()
