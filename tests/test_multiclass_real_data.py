"""Promise: on real data of many classes the answers are those of plain NumPy and SciPy passes."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import bits
from multiclass_cases import assert_close, expected
from scipy import sparse

import hingefast as hf
from hingefast.io.svmlight import read_svmlight


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
    path = data_dir / "news20_bydate.train.svm.xz"
    if not path.exists():
        pytest.skip(f"{path.name} is absent")
    X, y = read_svmlight(str(path), n_features=56_755)
    assert X.shape == (11_314, 56_755) and len(X.data) == 1_780_675
    labels = np.asarray(y)
    assert set(labels.tolist()) == set(range(20))
    # The usual weighting of counts (sublinear tf-idf), rows of length 1.
    documents = np.bincount(X.indices, minlength=X.shape[1])
    rarity = np.log((1 + len(y)) / (1 + documents)) + 1
    data = (1 + np.log(X.data)) * rarity[X.indices]
    plain = sparse.csr_array((data, X.indices, X.indptr), shape=X.shape)
    norms = np.sqrt(np.asarray(plain.multiply(plain).sum(axis=1)))
    plain = sparse.csr_array(plain.multiply(1 / norms.reshape(-1, 1)))
    coef, intercept = scaled(plain, labels.astype(int), centroids(plain, labels.astype(int), 20))
    return SimpleNamespace(X=plain, y=labels, classes=labels.astype(int), coef=coef, intercept=intercept)


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


LOSSES = {
    "crammer_singer": hf.CrammerSinger(),
    "crammer_singer:squared_hinge": hf.CrammerSinger("squared_hinge"),
    "weston_watkins": hf.WestonWatkins(),
    "weston_watkins:logistic": hf.WestonWatkins("logistic"),
    "one_vs_rest:squared_hinge": hf.OneVsRest("squared_hinge"),
    "top_3": hf.TopKHinge(3),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@every_loss
def test_news20(news20, loss):
    longest = int(np.diff(news20.X.indptr).max())
    want = expected(news20.X, news20.classes, news20.coef, news20.intercept, loss, alpha=1e-4, matrix=longest)
    keywords = {"loss": loss, "alpha": 1e-4}
    got = hf.linear_value_and_grad(news20.X, news20.y, news20.coef, news20.intercept, **keywords)
    assert_close(got, want)
    for n_threads in (1, 2):
        again = hf.linear_value_and_grad(
            news20.X, news20.y, news20.coef, news20.intercept, n_threads=n_threads, **keywords
        )
        assert bits(again[0]) == bits(got[0]) and np.array_equal(again[1], got[1])
    scores = hf.decision_function(news20.X, news20.coef, news20.intercept)
    assert (np.abs(scores - want.scores) <= want.scores_bound).all()
    assert abs(loss(news20.y, scores) + 5e-5 * (news20.coef**2).sum() - got[0]) <= 1e-12 * got[0]


@every_loss
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
