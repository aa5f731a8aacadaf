"""Promise: an svmlight file is read as it is written, and a broken one is named by file, line and token."""

import bz2
import gzip
import lzma
import random
from pathlib import Path

import numpy as np
import pytest

from hingefast._svmlight import CSR, SvmlightError, read_svmlight

A9A = Path(__file__).resolve().parents[1] / "examples" / "a9a.xz"


@pytest.fixture
def write(tmp_path):
    """Write bytes or text to a file and return its path."""

    def write(content, name="data.svm"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def dense(X):
    """The matrix as nested lists, entry by entry."""
    rows = [[0.0] * X.shape[1] for _ in range(X.shape[0])]
    for i in range(X.shape[0]):
        for k in range(X.indptr[i], X.indptr[i + 1]):
            rows[i][X.indices[k]] += X.data[k]
    return rows


def test_a_small_file_is_read_as_written(write):
    X, y = read_svmlight(write("+1 1:0.5 3:-2e1\n-1\n2.5 2:1 4:0\n"))
    assert isinstance(X, CSR) and X.format == "csr" and X.shape == (3, 4)
    assert y.tolist() == [1.0, -1.0, 2.5] and y.dtype == np.float64
    assert X.indptr.tolist() == [0, 2, 2, 4]
    assert X.indices.tolist() == [0, 2, 1, 3]
    assert X.data.tolist() == [0.5, -20.0, 1.0, 0.0]  # a zero that is written is stored
    assert X.indptr.dtype == X.indices.dtype == np.int32 and X.data.dtype == np.float64


@pytest.mark.parametrize(
    "line",
    [
        "1 1:2 2:3",
        "  1\t1:2   2:3  ",
        "1 1:2 2:3\r",
        "1 1:2 2:3 # 3:4 a comment_with: anything",
        "1 1:2 2:3#3:4",
        "1 qid:7 1:2 2:3",
        "+1.0 1:+2 2:3e0",
        "\n# only a comment\n\n1 1:2 2:3\n\n",
    ],
)
def test_spaces_comments_and_qid_change_nothing(write, line):
    for content in (line, line + "\n"):  # the last line may lack its end
        X, y = read_svmlight(write(content))
        assert y.tolist() == [1.0] and X.indices.tolist() == [0, 1] and X.data.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("suffix, compress", [("gz", gzip), ("bz2", bz2), ("xz", lzma), ("txt", None)])
def test_random_rows_come_back_through_every_compression(write, suffix, compress):
    rng = random.Random(5)
    rows = [sorted(rng.sample(range(1, 60), rng.randrange(0, 12))) for _ in range(300)]
    values = [
        [rng.choice([rng.gauss(0, 1), float(rng.randrange(9)), 1e-310, -1e300]) for _ in ids] for ids in rows
    ]
    labels = [rng.choice([-1.0, 1.0]) for _ in rows]
    lines = [
        f"{label!r} " + " ".join(f"{i}:{v!r}" for i, v in zip(ids, row, strict=True))
        for label, ids, row in zip(labels, rows, values, strict=True)
    ]
    text = "\n".join(lines).encode()
    assert len(set(labels)) == 2 and any(not ids for ids in rows)
    X, y = read_svmlight(write(compress.compress(text) if compress else text, f"data.{suffix}"))
    assert y.tolist() == labels
    assert X.indptr.tolist() == [0, *np.cumsum([len(ids) for ids in rows]).tolist()]
    assert X.indices.tolist() == [i - 1 for ids in rows for i in ids]
    assert X.data.tolist() == [v for row in values for v in row]  # every bit


def test_dtype_and_number_of_features_can_be_asked_for(write):
    path = write("1 1:0.1\n-1 3:2\n")
    X, y = read_svmlight(path, n_features=7, dtype=np.float32)
    assert X.shape == (2, 7) and X.data.dtype == np.float32 and y.dtype == np.float64
    assert X.data.tolist() == [np.float32(0.1), 2.0]
    with pytest.raises(SvmlightError, match=r"line 2: the id in '3:2' is larger than n_features=2"):
        read_svmlight(path, n_features=2)


def test_columns_beyond_int32_are_int64(write):
    X, _ = read_svmlight(write(f"1 {2**31 - 1}:1\n"))
    assert X.indices.dtype == np.int32 and X.indices.tolist() == [2**31 - 2]
    X, _ = read_svmlight(write(f"1 1:1 {2**31}:1 {2**40}:2\n"))
    assert X.indices.dtype == X.indptr.dtype == np.int64
    assert X.indices.tolist() == [0, 2**31 - 1, 2**40 - 1] and X.shape == (1, 2**40)


def test_rows_without_features_have_no_columns(write):
    X, y = read_svmlight(write("1\n-1\n"))
    assert X.shape == (2, 0) and X.indptr.tolist() == [0, 0, 0] and y.tolist() == [1.0, -1.0]


def test_feature_values_may_be_nan_or_infinite(write):
    X, _ = read_svmlight(write("1 1:nan 2:inf 3:-Infinity\n"))
    assert np.array_equal(X.data, [np.nan, np.inf, -np.inf], equal_nan=True)


@pytest.mark.parametrize(
    "line, reason",
    [
        ("x 1:2", "label 'x' is not a number"),
        ("1:2 2:3", "label '1:2' is not a number"),
        ("1,2 1:2", "label '1,2' is not a number"),
        ("1_0 1:2", "label '1_0' is not a number"),
        ("nan 1:2", "label 'nan' is not finite"),
        ("-inf 1:2", "label '-inf' is not finite"),
        ("\ufeff1 1:2", r"label '\ufeff1' is not a number"),
        ("1 2", "'2' is not of the form id:value"),
        ("1 1:2 3", "'3' is not of the form id:value"),
        ("1 1:2:3", "'1:2:3' is not of the form id:value"),
        ("1 1:2:3 4", "'1:2:3' is not of the form id:value"),
        ("1 1::2", "'1::2' is not of the form id:value"),
        ("1 1 :2", "'1' is not of the form id:value"),
        ("1 1: 2:3", "the value in '1:' is not a number"),
        ("1 1: 2", "the value in '1:' is not a number"),
        ("1 :2 3:4", "the id in ':2' is not an integer"),
        ("1 a:2", "the id in 'a:2' is not an integer"),
        ("1 1.0:2", "the id in '1.0:2' is not an integer"),
        ("1 1_0:2", "the id in '1_0:2' is not an integer"),
        ("1 1:2_0", "the value in '1:2_0' is not a number"),
        ("1 1:two", "the value in '1:two' is not a number"),
        ("1 1:0x10", "the value in '1:0x10' is not a number"),
        ("1 1:\u0662", "the value in '1:\u0662' is not a number"),
        ("1 1:2 qid:3", "the id in 'qid:3' is not an integer"),
        ("1 0:2", "the id in '0:2' must be at least 1 (ids count from 1, not from 0)"),
        ("1 -1:2", "the id in '-1:2' must be at least 1 (ids count from 1, not from 0)"),
        ("1 1:2 3:1 2:1", "'2:1' follows id 3, ids must increase within a line"),
        ("1 3:1 3:2", "'3:2' follows id 3, ids must increase within a line"),
        (f"1 {2**63}:2", f"the id in '{2**63}:2' is too large for 64 bits"),
        ("1 1:2 " + "7" * 100, "'" + "7" * 60 + "...' is not of the form id:value"),
    ],
)
def test_a_broken_line_is_an_error_that_names_file_line_and_token(write, line, reason):
    path = write(f"# a comment\n1 1:2 5:3\n{line}\n1 bad\n")
    with pytest.raises(SvmlightError) as caught:
        read_svmlight(path)
    assert str(caught.value) == f"{path}: line 3: {reason}"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n"])
def test_a_file_without_rows_is_an_error(write, content):
    path = write(content)
    with pytest.raises(SvmlightError) as caught:
        read_svmlight(path)
    assert str(caught.value) == f"{path}: the file has no rows"


@pytest.mark.parametrize("suffix, compress", [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
def test_a_damaged_compressed_file_is_an_error(write, suffix, compress):
    whole = compress.compress(b"".join(b"1 %d:1\n" % i for i in range(1, 20_000)))
    for damaged in (whole[: len(whole) // 2], b"1 1:2\n"):
        path = write(damaged, f"data.{suffix}")
        with pytest.raises(SvmlightError) as caught:
            read_svmlight(path)
        assert str(caught.value).startswith(f"{path}: damaged after line ")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_svmlight(tmp_path / "absent.svm")


def test_a9a_is_the_known_data_set():
    if not A9A.exists():
        pytest.skip("examples/a9a.xz is absent")
    X, y = read_svmlight(A9A)
    assert X.shape == (32_561, 123) and X.data.size == X.indices.size == X.indptr[-1] == 451_592
    assert (np.count_nonzero(y == 1), np.count_nonzero(y == -1)) == (7_841, 24_720)
    assert np.all(X.data == 1) and X.indices.min() == 0 and X.indices.max() == 122
    # The first line of the file.
    assert (X.indices[: X.indptr[1]] + 1).tolist() == [3, 11, 14, 19, 39, 42, 55, 64, 67, 73, 75, 76, 80, 83]


def test_the_stored_matrix_is_the_dense_one(write):
    X, _ = read_svmlight(write("1 2:1 3:2\n-1\n1 1:3\n"))
    assert dense(X) == [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]
