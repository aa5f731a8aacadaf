"""Random data that is fast to make, and real data where it is at hand.

All of it holds all labels, and rows on both sides of the margin unless a share of active rows is asked for.
"""

import gzip
import lzma
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

DATA_VARIABLE = "HINGEFAST_DATA"
IMDB = "imdb.train.svm.xz"
NEWS20 = "news20_bydate.train.svm.xz"
MNIST = ("mnist-train-images-idx3-ubyte.gz", "mnist-train-labels-idx1-ubyte.gz")

# Real sets with two classes, or made so: the names of their files, and the labels above which rows are positive.
REAL: dict[str, tuple[str, float]] = {
    "a9a": ("a9a.xz", 0),
    "agaricus": ("agaricus.txt.train.xz", 0.5),
    "rcv1": ("rcv1_vw_small.train.svm.xz", 0),
    "farm-ads": ("farm-ads.svm.xz", 0),
    "cod-rna": ("cod-rna.scaled.svm.xz", 0),
    "splice": ("splice_scale.svm.xz", 0),
    "letter": ("letter.scale.svm.xz", 13),
    "mq2008": ("mq2008.fold1.train.xz", 0),
    "skin": ("skin_nonskin.scaled.svm.xz", 1.5),
    "imdb": (IMDB, 0),
    "news20": (NEWS20, 9),
}

# Numbers drawn at a time: keeps temporaries in the cache.
CHUNK = 2**18

# Of the rows of multiclass problems.
ACTIVE = 0.25

# The unigrams and bigrams of imdb, the text that the synthetic CSR matrix imitates.
TEXT_FEATURES = 177_206
NEWS20_FEATURES = 56_755

# Of a row of the synthetic matrix, on average.
TEXT_NONZEROS = 207

# So many rows have their columns drawn: sorting these takes the time. Their indices are beyond a level-2 cache.
TEXT_ROWS = 2**15

# Of the CSR arrays whose columns are uniform.
SPARSE_FEATURES = 100_000

# The coef of a multiclass problem is trained on so many rows: all, if neither many are wrong nor it takes long.
LEAST_TRAINING, MOST_TRAINING = 2_000, 20_000


class Linear(NamedTuple):
    """One linear problem. X is an ndarray or a scipy.sparse.csr_array."""

    X: Any
    y: Array
    coef: Array
    intercept: float


class Multiclass(NamedTuple):
    """One multiclass linear problem; y are class numbers, coef is (n_classes, n_features)."""

    X: Any
    y: Array
    coef: Array
    intercept: Array

    def active(self) -> tuple[float, float]:
        """The shares of rows below margin 1, and of the classes that come within 1 of the true one."""
        rows = np.arange(len(self.y))
        scores = self.X @ self.coef.T + self.intercept
        close = scores > scores[rows, self.y][:, None] - 1
        close[rows, self.y] = False
        return float(close.any(axis=1).mean()), float(close.sum() / (close.size - len(close)))


def labels_and_scores(n_rows: int, dtype: npt.DTypeLike, label_dtype: npt.DTypeLike) -> tuple[Array, Array]:
    """Labels -1 and +1, margins uniform in [-2, 3): of 5 rows, 2 are wrong and 3 are below margin 1."""
    rng = np.random.default_rng(1)
    y, scores = np.empty(n_rows, label_dtype), np.empty(n_rows, dtype)
    for start in range(0, n_rows, CHUNK):
        block = slice(start, min(start + CHUNK, n_rows))
        signs = rng.integers(0, 2, block.stop - start, dtype=np.int8) * np.int8(2) - np.int8(1)
        y[block] = signs
        scores[block] = (rng.random(block.stop - start, dtype=np.float32) * 5 - 2) * signs
    return y, scores


@lru_cache(maxsize=1)
def uniform(n: int, dtype: type) -> Array:
    """Numbers in [-1/2, 1/2). Dense X of any shape is a view of these, so that shapes can share them."""
    rng = np.random.default_rng(2)
    numbers: Array = np.empty(n, dtype)
    for start in range(0, n, CHUNK):
        block = numbers[start : start + CHUNK]
        rng.random(out=block, dtype=dtype)
        block -= 0.5
    return numbers


def uniform_rows(n_rows: int, n_features: int, dtype: type, n_bytes: int = 0) -> Array:
    """X of `uniform` numbers, a view of n_bytes of them if n_rows * n_features take less."""
    n = n_rows * n_features
    return uniform(max(n, n_bytes // np.dtype(dtype).itemsize), dtype)[:n].reshape(n_rows, n_features)


@lru_cache(maxsize=1)
def dense(
    n_rows: int, n_features: int, dtype: type, label_dtype: type = np.float64, n_bytes: int = 0
) -> Linear:
    """X of `uniform_rows`, scores of standard deviation 1.5, labels their signs with noise."""
    rng = np.random.default_rng(2)
    X = uniform_rows(n_rows, n_features, dtype, n_bytes)
    coef = (rng.standard_normal(n_features) * (1.5 * np.sqrt(12 / n_features))).astype(dtype)
    return Linear(X, _noisy_signs(rng, X @ coef, label_dtype), coef, 0.125)


@lru_cache(maxsize=1)
def tile(n_rows: int, n_features: int, x_dtype: type, dtype: type = np.float32) -> Linear:
    """X of float16 or of integers (int64: of 8 bits; bool: zeros and ones), coef of `dtype`; else as `dense`."""
    rng = np.random.default_rng(3)
    X: Array
    if x_dtype is np.float16:
        X, spread = uniform_rows(n_rows, n_features, np.float32).astype(np.float16), 1 / np.sqrt(12)
    elif x_dtype is np.bool_:
        X = rng.integers(0, 2, (n_rows, n_features), dtype=np.uint8).view(np.bool_)
        spread = 0.5
    else:
        drawn = np.int8 if x_dtype is np.int64 else x_dtype
        limits = np.iinfo(drawn)
        X = rng.integers(limits.min, limits.max, (n_rows, n_features), dtype=drawn, endpoint=True)
        X = X.astype(x_dtype, copy=False)
        spread = (limits.max - limits.min) / np.sqrt(12)
    coef = rng.standard_normal(n_features)
    coef -= coef.mean()  # so that the mean of X, which is not 0, does not shift all scores
    coef = (coef * (1.5 / spread / np.sqrt(n_features))).astype(dtype)
    scores = np.concatenate(
        [X[start : start + 1024].astype(dtype) @ coef for start in range(0, n_rows, 1024)]
    )
    return Linear(X, _noisy_signs(rng, scores, dtype), coef, 0.125)


def _noisy_signs(rng: np.random.Generator, scores: Array, label_dtype: npt.DTypeLike) -> Array:
    return np.where(scores + rng.standard_normal(len(scores)) > 0, 1, -1).astype(label_dtype)


@lru_cache(maxsize=1)
def text_like(n_bytes: int, dtype: type = np.float64, index_dtype: type = np.int32) -> Any:
    """A CSR array that looks like text: most rows have 100 to 300 of the columns, which follow Zipf's law.

    Row i stores the columns of row i - TEXT_ROWS, and numbers of its own.
    """
    n_rows = max(8, n_bytes // (TEXT_NONZEROS * (np.dtype(dtype).itemsize + np.dtype(index_dtype).itemsize)))
    lengths, columns = _text_columns(min(n_rows, TEXT_ROWS))
    indptr = np.concatenate(([0], np.cumsum(np.resize(lengths, n_rows))))
    return _csr(np.resize(columns, indptr[-1]), indptr, TEXT_FEATURES, dtype, index_dtype)


@lru_cache(maxsize=1)
def _text_columns(n_rows: int) -> tuple[Array, Array]:
    """How many columns each row stores, and these."""
    rng = np.random.default_rng(4)
    draws = np.clip(rng.lognormal(np.log(250), 0.4, n_rows), 10, 2000).astype(np.int64)
    # d**uniform has a density proportional to 1/k, which is Zipf's law; a row keeps a column once.
    rank = np.exp(np.log(TEXT_FEATURES) * rng.random(draws.sum())).astype(np.int32) - 1
    keys = rng.permutation(TEXT_FEATURES)[rank]
    keys += np.repeat(np.arange(n_rows) * TEXT_FEATURES, draws)
    keys.sort()
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
    row = keys // TEXT_FEATURES
    return np.bincount(row, minlength=n_rows), (keys - row * TEXT_FEATURES).astype(np.int32)


@lru_cache(maxsize=1)
def uniform_sparse(n_bytes: int, nonzeros: int, n_heavy: int = 0) -> Any:
    """A float64 CSR array: in each row the first n_heavy columns, and one of every stratum of the others."""
    rng = np.random.default_rng(10)
    n_rows = max(8, n_bytes // (12 * nonzeros + 4))
    n_strata = nonzeros - n_heavy
    width = (SPARSE_FEATURES - n_heavy) // n_strata
    columns = np.empty((n_rows, nonzeros), np.int32)
    columns[:, :n_heavy] = np.arange(n_heavy)
    strata = n_heavy + width * np.arange(n_strata, dtype=np.int32)
    np.add(rng.integers(0, width, (n_rows, n_strata), dtype=np.int32), strata, out=columns[:, n_heavy:])
    return _csr(columns.reshape(-1), np.arange(n_rows + 1) * nonzeros, SPARSE_FEATURES)


def _csr(
    columns: Array, indptr: Array, n_features: int, dtype: type = np.float64, index_dtype: type = np.int32
) -> Any:
    """With values in (0, 1]: no stored zeros."""
    from scipy.sparse import csr_array

    values = np.random.default_rng(11).random(len(columns), dtype=np.float32)
    np.subtract(1, values, out=values)
    shape = len(indptr) - 1, n_features
    return _with_indices(csr_array((values.astype(dtype), columns, indptr), shape=shape), index_dtype)


def file_path(name: str) -> Path | None:
    """Where this data file lies: in the folder that the environment variable HINGEFAST_DATA names, if any."""
    folder = os.environ.get(DATA_VARIABLE)
    path = Path(folder, name) if folder else None
    return path if path is not None and path.is_file() else None


@lru_cache(maxsize=1)
def imdb() -> Any:
    """The training rows of imdb as a float64 CSR array with int32 indices; term counts as 1 + log(count)."""
    return _read_text(IMDB, TEXT_FEATURES)[1]


def _read_text(name: str, n_features: int) -> tuple[Array, Any]:
    """Labels and a CSR array with int32 indices; term counts as 1 + log(count)."""
    from scipy.sparse import csr_array

    path = file_path(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not in the folder named by {DATA_VARIABLE}")
    text = lzma.decompress(path.read_bytes())
    nonzeros = np.array([line.count(b":") for line in text.splitlines()])
    indptr = np.concatenate(([0], np.cumsum(nonzeros)))
    # label id count id count ... label id count ...
    numbers = np.fromstring(text.replace(b":", b" "), dtype=np.int64, sep=" ")
    labels = 2 * indptr[:-1] + np.arange(len(nonzeros))
    pairs = np.delete(numbers, labels).reshape(-1, 2)
    shape = len(nonzeros), n_features
    X = csr_array((1 + np.log(pairs[:, 1]), pairs[:, 0] - 1, indptr), shape=shape)
    return numbers[labels], _with_indices(X, np.int32)


@lru_cache(maxsize=2)
def _real(name: str) -> tuple[Array, Any]:
    """Labels and a float64 CSR array with int32 indices of a set of `REAL`."""
    from scipy.sparse import csr_array

    from hingefast.io.svmlight import read_svmlight

    file, _ = REAL[name]
    if name in ("imdb", "news20"):
        return _read_text(file, TEXT_FEATURES if name == "imdb" else NEWS20_FEATURES)
    path = file_path(file)
    if path is None:
        raise FileNotFoundError(f"{file} is not in the folder named by {DATA_VARIABLE}")
    X, y = read_svmlight(path)
    return y, _with_indices(csr_array((X.data, X.indices, X.indptr), shape=X.shape), np.int32)


def real_rows(name: str) -> tuple[Array, Any]:
    """Which rows of a set of `REAL` are positive, and a float64 CSR array with int32 indices."""
    labels, X = _real(name)
    return labels > REAL[name][1], X


def imdb_of_unit_rows() -> tuple[Any, Array]:
    """Imdb as a CSR array of rows of length 1, of log(1 + count), and which rows are positive."""
    is_positive, X = real_rows("imdb")
    counts = np.rint(np.exp(X.data - 1))
    return _of_unit_rows(_with_data(X, np.log1p(counts))), is_positive


def mnist_even_or_odd() -> tuple[Array, Array]:
    """All images of MNIST, float64 in [0, 1], and whether their numbers are even."""
    images_file, labels_file = map(file_path, MNIST)
    if images_file is None or labels_file is None:
        raise FileNotFoundError(f"MNIST is not in the folder named by {DATA_VARIABLE}")
    images, labels = _mnist(images_file, labels_file)
    return images * (1 / 255), labels % 2 == 0


def real(name: str, dtype: type) -> Linear:
    """A set of `REAL` at the difference of the class means, scaled so that the means have the scores -1 and +1."""
    is_positive, X = real_rows(name)
    means = [X.T @ (rows / rows.sum()) for rows in (is_positive.astype(float), (~is_positive).astype(float))]
    coef = means[0] - means[1]
    coef *= 2 / (coef @ coef)
    intercept = -float(coef @ (means[0] + means[1])) / 2
    y: Array = np.where(is_positive, 1, -1).astype(dtype)
    return Linear(_with_indices(X.astype(dtype), np.int32), y, coef.astype(dtype), intercept)


def _with_indices(X: Any, index_dtype: type) -> Any:
    """The same array with the index dtype wanted: SciPy's constructor chooses the smallest one itself."""
    X.indices = X.indices.astype(index_dtype, copy=False)
    X.indptr = X.indptr.astype(index_dtype, copy=False)
    return X


def _with_data(X: Any, values: Array) -> Any:
    """A CSR array of other values in the same places."""
    from scipy.sparse import csr_array

    return _with_indices(csr_array((values, X.indices, X.indptr), shape=X.shape), X.indices.dtype)


def with_activity(X: Any, share: float) -> Linear:
    """Labels and a coef for X, dense or CSR, such that exactly this share of the rows lies below margin 1.

    The labels are the signs of the scores, so a row's margin is abs(score), and coef is scaled so that the
    wanted share of them is below 1. Which rows these are is random, as in training.
    """
    rng = np.random.default_rng(5)
    coef = rng.standard_normal(X.shape[1]).astype(X.dtype)
    scores = X @ coef
    margins = np.sort(np.abs(scores.astype(np.float64)))
    n_active = round(share * len(margins))
    if n_active == len(margins):
        threshold = 2 * margins[-1]
    elif n_active == 0:
        threshold = margins[0] / 2
    else:
        threshold = (margins[n_active - 1] + margins[n_active]) / 2
    y = np.where(scores > 0, 1, -1).astype(X.dtype)
    return Linear(X, y, (coef / threshold).astype(X.dtype), 0.0)


@lru_cache(maxsize=1)
def class_scores(n_rows: int, n_classes: int, dtype: npt.DTypeLike) -> tuple[Array, Array]:
    """Labels and scores (n_rows, n_classes): normal, those of the true classes higher.

    About 7 rows of 10 are below margin 1, and half of these are wrong. Scores are multiples of 2**-18, so that
    differences are exact even in float32 and nobody's rounding decides which classes are active.
    """
    rng = np.random.default_rng(7)
    y = rng.integers(0, n_classes, n_rows)
    scores: Array = np.empty((n_rows, n_classes), dtype)
    step = max(1, CHUNK // n_classes)
    for start in range(0, n_rows, step):
        block = scores[start : start + step]
        drawn = rng.standard_normal(block.shape, dtype=np.float32)
        drawn[np.arange(len(block)), y[start : start + step]] += np.sqrt(2 * np.log(n_classes))
        np.clip(drawn, -7.5, 7.5, out=drawn)
        np.multiply(np.rint(drawn * 2**18), 2.0**-18, out=block, casting="same_kind")
    return y, scores


@lru_cache(maxsize=1)
def mnist(n_rows: int, dtype: type) -> tuple[Multiclass, str]:
    """The images of MNIST, pixels in [0, 1], and what it is; clusters of the same shape if not at hand.

    After its last image it starts again with the first.
    """
    images_file, labels_file = map(file_path, MNIST)
    if images_file is None or labels_file is None:
        return clusters(n_rows, 10, 784, dtype), "synthetic, MNIST is not at hand"
    images, labels = _mnist(images_file, labels_file)
    X: Array = np.empty((n_rows, 784), dtype)
    for start in range(0, n_rows, len(images)):
        block = X[start : start + len(images)]
        np.multiply(images[: len(block)], dtype(1 / 255), out=block)
    return trained(X, np.resize(labels, n_rows), 10), "MNIST"


@lru_cache(maxsize=1)
def _mnist(images_file: Path, labels_file: Path) -> tuple[Array, Array]:
    """All training images, 784 uint8 each, and their int64 labels."""
    images = np.frombuffer(gzip.decompress(images_file.read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress(labels_file.read_bytes()), np.uint8, offset=8)
    return images.reshape(-1, 784), labels.astype(np.int64)


@lru_cache(maxsize=1)
def clusters(n_rows: int, n_classes: int, n_features: int, dtype: type) -> Multiclass:
    """Rows around the centre of their class, a third of whose features are not zero; coef is trained."""
    rng = np.random.default_rng(8)
    centres = rng.random((n_classes, n_features), dtype=np.float32)
    centres *= rng.random(centres.shape, dtype=np.float32) < 1 / 3
    y = rng.integers(0, n_classes, n_rows)
    X: Array = np.empty((n_rows, n_features), dtype)
    for start in range(0, n_rows, 1024):
        block = X[start : start + 1024]
        noise = rng.standard_normal(block.shape, dtype=np.float32)
        np.add(centres[y[start : start + 1024]], noise / 2, out=block, casting="same_kind")
    return trained(X, y, n_classes)


@lru_cache(maxsize=1)
def news20(dtype: type) -> Multiclass:
    """The training rows of 20 Newsgroups as a CSR array of rows of length 1, and a trained coef."""
    y, X = _news20()
    return trained(X.astype(dtype), y, 20)


@lru_cache(maxsize=1)
def letter(dtype: type) -> Multiclass:
    """The 26 letters, CSR rows of all 16 columns, and a trained coef."""
    labels, X = _real("letter")
    return trained(_with_indices(X.astype(dtype), np.int32), (labels - 1).astype(np.int64), 26)


@lru_cache(maxsize=1)
def _news20() -> tuple[Array, Any]:
    y, X = _read_text(NEWS20, NEWS20_FEATURES)
    return y, _of_unit_rows(X)


def _of_unit_rows(X: Any) -> Any:
    """The same CSR array, its rows divided by their lengths; none is empty."""
    lengths = np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1]))
    X.data /= np.repeat(lengths, np.diff(X.indptr))
    return X


def trained(X: Any, y: Array, n_classes: int) -> Multiclass:
    """X and y with a coef that gradient descent made, Crammer-Singer by batches in NumPy.

    So the rivals are those that training meets. It takes about one epoch. coef is scaled at the end so that a
    share of ACTIVE of the rows is below margin 1, as it is on MNIST and 20 Newsgroups after some epochs.
    """
    rng = np.random.default_rng(9)
    coef: Array = np.zeros((n_classes, X.shape[1]), X.dtype)
    numbers = (X if isinstance(X, np.ndarray) else X.data).reshape(-1)
    rate = 0.1 * len(y) / np.dot(numbers, numbers)
    n_training = min(max(len(y), LEAST_TRAINING), MOST_TRAINING)
    order = np.resize(rng.permutation(len(y)), n_training)
    for start in range(0, len(order), 100):
        rows = order[start : start + 100]
        batch, true, each = X[rows], y[rows], np.arange(len(rows))
        margins, rival = _margins(batch @ coef.T, true)
        active = margins < 1
        slopes = np.zeros((len(rows), n_classes), coef.dtype)
        slopes[each[active], rival[active]] = rate
        slopes[each[active], true[active]] = -rate
        coef -= (batch.T @ slopes).T
    coef /= np.quantile(_margins(X @ coef.T, y)[0], ACTIVE)
    return Multiclass(X, y, coef, rng.uniform(-0.01, 0.01, n_classes).astype(X.dtype))


def _margins(scores: Array, y: Array) -> tuple[Array, Array]:
    """(s_true - s_rival, rivals) of every row."""
    rows = np.arange(len(y))
    true = scores[rows, y]
    scores[rows, y] = -np.inf
    rival = scores.argmax(axis=1)
    return true - scores[rows, rival], rival


def forget() -> None:
    """Free the data kept from the last case. What is small and takes long to read or to draw stays."""
    for cached in (
        uniform,
        dense,
        tile,
        text_like,
        uniform_sparse,
        imdb,
        class_scores,
        mnist,
        clusters,
        news20,
        letter,
    ):
        cached.cache_clear()
