"""Promise: on real data the answers are those of plain NumPy and SciPy passes, of two classes and of many."""

import gzip
import lzma
from types import SimpleNamespace

import numpy as np
import pytest
import reference
from conftest import bits
from kinds import assert_close, assert_telling_linear, expected
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


OF_TWO_CLASSES = ("hinge", "squared_hinge", "modified_huber", "logistic")
OF_CLASSES = {
    "crammer_singer": hf.CrammerSinger(),
    "crammer_singer:squared_hinge": hf.CrammerSinger("squared_hinge"),
    "weston_watkins": hf.WestonWatkins(),
    "weston_watkins:logistic": hf.WestonWatkins("logistic"),
    "one_vs_rest:squared_hinge": hf.OneVsRest("squared_hinge"),
    "top_3": hf.TopKHinge(3),
}
every_loss_of_classes = pytest.mark.parametrize("loss", OF_CLASSES.values(), ids=OF_CLASSES.keys())


def read(data_dir, file, n_features):
    path = data_dir / file
    if not path.exists():
        pytest.skip(f"{file} is absent")
    X, y = read_svmlight(str(path), n_features=n_features)
    return X, np.asarray(y)


@pytest.fixture(scope="module", params=SETS)
def real(request, data_dir):
    """One set: X (CSR), y, signs, the SciPy matrix, and coefficients that classify better than chance."""
    file, n_features, n_rows, n_positive, nnz, classes = SETS[request.param]
    X, y = read(data_dir, file, n_features)
    plain = sparse.csr_array((X.data, X.indices, X.indptr), shape=X.shape)
    assert X.shape[0] == n_rows and len(X.data) == nnz and int((y == classes[1]).sum()) == n_positive
    signs = np.where(y == classes[1], 1.0, -1.0)
    direction = plain.T @ (np.where(signs > 0, 1 / n_positive, -1 / (n_rows - n_positive)))
    scores = plain @ direction
    # Scaled and shifted so that rows lie on both sides of the margin.
    coef = direction * (2.0 / scores.std())
    intercept = -float(np.mean([(plain @ coef)[signs > 0].mean(), (plain @ coef)[signs < 0].mean()]))
    margins = signs * (plain @ coef + intercept)
    if n_rows < 10_000:
        assert_telling_linear(signs, margins * signs)
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


def centroids(X, y, n_classes):
    """(K, d): the mean row of each class, less the mean of all; a classifier better than chance."""
    member = sparse.csr_array((np.ones(len(y)), (y, np.arange(len(y)))), shape=(n_classes, len(y)))
    counts = np.bincount(y, minlength=n_classes)[:, None]
    means = np.asarray((member @ X).todense() if sparse.issparse(X) else member @ X.astype(np.float64))
    return means / counts - np.asarray(X.mean(axis=0)).reshape(1, -1)


def scaled(X, y, coef):
    """coef scaled so that rows lie inside and outside the margin, and intercepts that are not 0."""
    scores = np.asarray(X @ coef.T)
    here = np.arange(len(y))
    own, others = scores[here, y].copy(), scores.copy()
    others[here, y] = -np.inf
    margins = own - others.max(axis=1)
    coef = coef * (1.5 / np.abs(margins).mean())
    margins *= 1.5 / np.abs(margins).mean()
    assert (margins > 0).mean() > 0.55
    assert (margins < 1).mean() > 0.1 and (margins > 1).mean() > 0.1
    return coef, np.linspace(-0.1, 0.1, len(coef))


@pytest.fixture(scope="module")
def news20(data_dir):
    X, y = read(data_dir, "news20_bydate.train.svm.xz", 56_755)
    assert X.shape == (11_314, 56_755) and len(X.data) == 1_780_675
    assert set(y.tolist()) == set(range(20))
    labels = y.astype(int)
    # The usual weighting of counts (sublinear tf-idf), rows of length 1.
    documents = np.bincount(X.indices, minlength=X.shape[1])
    rarity = np.log((1 + len(y)) / (1 + documents)) + 1
    data = (1 + np.log(X.data)) * rarity[X.indices]
    plain = sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
    norms = np.sqrt(np.asarray(plain.multiply(plain).sum(axis=1)))
    plain = sparse.csr_array(plain.multiply(1 / norms.reshape(-1, 1)))
    coef, intercept = scaled(plain, labels, centroids(plain, labels, 20))
    return SimpleNamespace(
        X=plain, plain=plain, y=y, signs=labels, classes=None, coef=coef, intercept=intercept
    )


@pytest.fixture(scope="module")
def mnist(data_dir):
    """The 10 000 test images: X uint8, as the file holds them."""
    arrays = []
    for name, header, shape in (("images-idx3", 16, (10_000, 784)), ("labels-idx1", 8, (10_000,))):
        path = data_dir / f"mnist-t10k-{name}-ubyte.gz"
        if not path.exists():
            pytest.skip(f"{path.name} is absent")
        with gzip.open(path) as file:
            arrays.append(np.frombuffer(file.read(), dtype=np.uint8, offset=header).reshape(shape))
    X, y = arrays
    assert np.count_nonzero(X) == 1_511_219 and set(y.tolist()) == set(range(10))
    coef, intercept = scaled(X.astype(np.float64), y.astype(int), centroids(X, y.astype(int), 10))
    return SimpleNamespace(X=X, y=y, classes=y.astype(int), coef=coef, intercept=intercept)


def assert_right_answers(real, loss):
    """Value, gradient and scores lie within the oracle's bounds, on any threads, and those of scores agree."""
    longest = int(np.diff(real.plain.indptr).max())
    want = expected(real.plain, real.signs, real.coef, real.intercept, loss, alpha=1e-4, longest=longest)
    keywords = {"loss": loss, "alpha": 1e-4, "classes": real.classes}
    got = hf.linear_value_and_grad(real.X, real.y, real.coef, real.intercept, **keywords)
    assert_close(got, want)
    scores = hf.decision_function(real.X, real.coef, real.intercept)
    assert (np.abs(scores - want.scores) <= want.scores_bound).all()
    for n_threads in (1, 2, 3):
        again = hf.linear_value_and_grad(
            real.plain, real.y, real.coef, real.intercept, n_threads=n_threads, **keywords
        )
        assert bits(again) == bits(got)
    of_scores = hf.get_loss(loss).value(real.y, scores, classes=real.classes)
    assert abs(of_scores + 5e-5 * (real.coef**2).sum() - got[0]) <= 1e-12 * got[0]


@pytest.mark.parametrize("loss", OF_TWO_CLASSES)
def test_against_a_pass_of_scipy(real, loss):
    margins = real.signs * (real.plain @ real.coef + real.intercept)
    assert (np.abs(np.abs(margins) - 1) > 1e-12).all()  # no row of these sets lies at a kink
    assert_right_answers(real, loss)


@every_loss_of_classes
def test_news20(news20, loss):
    assert_right_answers(news20, loss)


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


def test_dense_and_float32(real):
    """Dense where it fits, float32, and the report on the same scores."""
    whole = hf.linear_value_and_grad(real.X, real.y, real.coef, real.intercept, classes=real.classes)
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


@every_loss_of_classes
def test_mnist(mnist, loss):
    """uint8 through a tile, computed in float32; and float64 pixels in place."""
    X = mnist.X / 255.0
    coef = mnist.coef * 255.0
    want = expected(X, mnist.classes, coef, mnist.intercept, loss, alpha=1e-4)
    got = hf.linear_value_and_grad(X, mnist.y, coef, mnist.intercept, loss=loss, alpha=1e-4)
    assert_close(got, want)
    want = expected(mnist.X, mnist.classes, mnist.coef, mnist.intercept, loss, most_unsure=0.2)
    got = hf.linear_value_and_grad(mnist.X, mnist.y, mnist.coef, mnist.intercept, loss=loss)
    assert_close(got, want)


def test_mnist_as_csr_and_in_layouts(mnist):
    """The same bits from C and Fortran order; nearly the same numbers from CSR."""
    dense = mnist.X.astype(np.float32)
    arguments = (mnist.y, mnist.coef.astype(np.float32), mnist.intercept)
    want = hf.linear_value_and_grad(dense, *arguments, loss="crammer_singer")
    for X in (mnist.X, np.asfortranarray(dense), dense.astype(np.float16)):
        assert bits(hf.linear_value_and_grad(X, *arguments, loss="crammer_singer")) == bits(want)
    got = hf.linear_value_and_grad(sparse.csr_array(dense), *arguments, loss="crammer_singer")
    assert got[0] == pytest.approx(want[0], rel=1e-5)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-3, atol=2e-2)


def test_training_goes_down(mnist):
    """An epoch of plain gradient steps on small batches learns the digits."""
    X = (mnist.X / 255.0).astype(np.float32)
    objective = hf.Objective(X, mnist.y, loss="crammer_singer", alpha=1e-4, classes=10)
    theta = np.zeros(objective.size, dtype=np.float32)
    rng = np.random.default_rng(0)
    for batch in np.split(rng.permutation(10_000), 200):
        objective.step(theta, 0.05, rows=batch)
    scores = objective.decision_function(theta)
    assert (scores.argmax(axis=1) == mnist.y).mean() > 0.85
    report = hf.margin_report(mnist.y, scores)
    here = np.arange(10_000)
    others = scores.copy()
    others[here, mnist.classes] = -np.inf
    margins = (scores[here, mnist.classes] - others.max(axis=1)).astype(np.float64)
    assert report.wrong == int((margins <= 0).sum()) and report.confident == int((margins > 1).sum())
