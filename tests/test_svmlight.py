"""Promise: an svmlight file is read as it is written, and a broken one is named by file, line and token."""

import bz2
import gzip
import lzma
import random
from pathlib import Path

import numpy as np
import pytest

from hingefast.io.csr import CSR
from hingefast.io.svmlight import SvmlightError, read_svmlight

pytestmark = pytest.mark.sanitizer

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
        "1 1:2 2:3\r\r",
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


def test_the_largest_labels_are_read(write):
    _, y = read_svmlight(write(f"{2**53} 1:1\n-{2**53} 1:1\n1e300 1:1\n"))
    assert y.tolist() == [2**53, -(2**53), 1e300]


@pytest.mark.parametrize(
    "line, reason",
    [
        ("x 1:2", "label 'x' is not a number"),
        ("1:2 2:3", "label '1:2' is not a number"),
        ("1,2 1:2", "label '1,2' is not a number"),
        ("1_0 1:2", "label '1_0' is not a number"),
        ("nan 1:2", "label 'nan' is not finite"),
        ("-inf 1:2", "label '-inf' is not finite"),
        # float64 rounds it to 2^53, which is another label
        (f"{2**53 + 1} 1:2", f"label '{2**53 + 1}' is beyond 2^53, integer labels must be in [-2^53, 2^53]"),
        (f"-{2**60} 1:2", f"label '-{2**60}' is beyond 2^53, integer labels must be in [-2^53, 2^53]"),
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
        ("1 0:2", "the id in '0:2' must be at least 1 (--zero-based reads ids that count from 0)"),
        ("1 -1:2", "the id in '-1:2' must be at least 1"),
        ("1 1:2 3:1 2:1", "'2:1' follows id 3, ids must increase within a line"),
        ("1 3:1 3:2", "'3:2' follows id 3, ids must increase within a line"),
        (f"1 {2**63}:2", f"the id in '{2**63}:2' is too large for 64 bits"),
        (f"1 {'9' * 5000}:2", f"the id in '{'9' * 60}...' is too large for 64 bits"),
        ("1 1:2\r-1 2:3", r"holds a carriage return (\r): end lines with \n or \r\n"),
        ("1 1:2 # a comment\r-1 2:3", r"holds a carriage return (\r): end lines with \n or \r\n"),
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


# ---- ids that count from 0

SAYS_ZERO = "# Generated by dump_svmlight_file from scikit-learn 1.9.1\n# Column indices are zero-based\n#\n"
SAYS_ONE = SAYS_ZERO.replace("zero", "one")
ROWS = "1 1:2 3:4\n-1 2:5\n"


@pytest.mark.parametrize("zero_based, first", [(None, None), (True, 0), (False, 1)])
@pytest.mark.parametrize("header, stated", [("", 1), (SAYS_ZERO, 0), (SAYS_ONE, 1)])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_base_of_ids_is_what_the_caller_says_else_the_header_else_1(
    write, zero_based, first, header, stated, ends, mark
):
    first = stated if first is None else first
    path = write(mark + (header + ROWS).replace("\n", ends))
    X, y = read_svmlight(path, zero_based=zero_based)
    assert X.indices.tolist() == [1 - first, 3 - first, 2 - first] and X.shape == (2, 4 - first)
    assert y.tolist() == [1, -1] and (X.largest_id, X.largest_id_line) == (3, 1 + header.count("\n"))
    assert read_svmlight(path, zero_based=zero_based, n_features=9)[0].shape == (2, 9)
    assert read_svmlight(path, zero_based=zero_based, n_features=4 - first)[0].shape == (2, 4 - first)
    with pytest.raises(SvmlightError, match=r"the id in '3:4' (is larger than|must be below) n_features="):
        read_svmlight(path, zero_based=zero_based, n_features=3 - first)


def test_id_0_is_the_first_column_where_ids_count_from_0(write):
    for path, zero_based in ((write(SAYS_ZERO + "1 0:7\n"), None), (write("1 0:7\n", "plain"), True)):
        X, _ = read_svmlight(path, zero_based=zero_based)
        assert X.indices.tolist() == [0] and X.data.tolist() == [7] and X.shape == (1, 1)
    with pytest.raises(SvmlightError, match=r"line 2: the id in '-1:2' must be at least 0$"):
        read_svmlight(write("1 0:7\n1 -1:2\n"), zero_based=True)
    assert read_svmlight(write("1\n-1\n"), zero_based=True)[0].shape == (2, 0)


def test_what_scikit_learn_writes_is_read_as_it_was(write, tmp_path):
    dump_svmlight_file = pytest.importorskip("sklearn.datasets").dump_svmlight_file
    full = np.array([[0, 1.5, 0, 2], [0, 0, -3, 0]])  # the first column is empty: no id 0 tells the base
    for zero_based in (True, False):
        path = tmp_path / f"{zero_based}.svm"
        dump_svmlight_file(full, [1, -1], str(path), zero_based=zero_based, comment="a test")
        assert dense(read_svmlight(path)[0]) == full.tolist()


@pytest.mark.parametrize(
    "content", [SAYS_ZERO + ROWS + SAYS_ONE, ROWS + SAYS_ZERO, SAYS_ZERO + SAYS_ONE + ROWS]
)
def test_statements_that_contradict_each_other_are_refused(write, content):
    with pytest.raises(SvmlightError, match=r"line \d says that ids count from [01], .*--zero-based"):
        read_svmlight(write(content))
    assert read_svmlight(write(content), zero_based=True)[0].shape == (2, 4)
    assert read_svmlight(write(SAYS_ZERO + ROWS + SAYS_ZERO + ROWS))[0].indices.tolist() == [1, 3, 2] * 2


@pytest.mark.parametrize("zero_based, largest", [(False, 2**63 - 1), (True, 2**63 - 2)])
def test_the_number_of_columns_fits_64_bits(write, zero_based, largest):
    X, _ = read_svmlight(write(f"1 {largest}:1\n"), zero_based=zero_based)
    assert X.shape == (1, 2**63 - 1) and X.indices.tolist() == [2**63 - 2] and X.largest_id == largest
    with pytest.raises(SvmlightError, match="too large for 64 bits"):
        read_svmlight(write(f"1 {largest + 1}:1\n"), zero_based=zero_based)


# ---- files that are not plain text


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_the_mark_of_utf8_is_skipped(write, compress):
    X, y = read_svmlight(write(compress(b"\xef\xbb\xbf1 1:2\n-1 2:3\n")))
    assert y.tolist() == [1, -1] and X.data.tolist() == [2, 3]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize(
    "content, kind",
    [
        ("1 1:2\n".encode("utf-16"), "text in UTF-16"),
        (b"\xfe\xff" + "1 1:2\n".encode("utf-16-be"), "text in UTF-16"),
        ("1 1:2\n".encode("utf-16-le"), "UTF-16"),
        ("1 1:2\n".encode("utf-32"), "text in UTF-32"),
        (b"\0\0\xfe\xff" + "1 1:2\n".encode("utf-32-be"), "text in UTF-32"),
        (b"PK\x03\x04" + bytes(30), "a zip archive"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x28\xb5\x2f\xfd\x24", "compressed by zstd"),
    ],
)
def test_another_kind_of_file_is_told_by_name(write, content, kind, compress):
    path = write(compress(content))
    with pytest.raises(SvmlightError) as caught:
        read_svmlight(path)
    assert str(caught.value).startswith(f"{path} is ") and kind in str(caught.value)


def test_a_file_compressed_twice_is_told(write):
    with pytest.raises(SvmlightError, match="is compressed twice"):
        read_svmlight(write(gzip.compress(lzma.compress(b"1 1:2\n"))))


def test_carriage_returns_alone_are_told(write):
    for content in (b"1 1:2\r-1 2:3\r", b"# a comment\r1 1:2\r-1 2:3\r"):
        with pytest.raises(SvmlightError, match=r"line 1: holds a carriage return"):
            read_svmlight(write(content))


@pytest.mark.parametrize("name", ["a\nb.svm", "\x1b[31m.svm", "\udce9.svm", "x" * 250])
def test_any_name_is_told_on_one_line(tmp_path, name):
    path = tmp_path / name
    try:
        path.write_text("1 1:x\n")
    except (OSError, ValueError):
        pytest.skip("no file can be called so here")
    with pytest.raises(SvmlightError) as caught:
        read_svmlight(path)
    message = str(caught.value)
    assert (
        message.isprintable()
        and len(message) <= 250
        and message.endswith(
            f"{'x' * 9 if name[0] == 'x' else '.svm'}: line 1: the value in '1:x' is not a number"
        )
    )


@pytest.mark.filterwarnings("error")
def test_values_beyond_float32_are_infinite_without_a_warning(write):
    with np.errstate(all="raise"):
        X, _ = read_svmlight(write("1 1:1e300 2:-1e39 3:1e-60\n"), dtype=np.float32)
    assert X.data.tolist() == [np.inf, -np.inf, 0]


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_svmlight(tmp_path / "absent.svm")
    for name in ("\0", "\ud800"):  # the second is no name where file names are UTF-8
        with pytest.raises(OSError):
            read_svmlight(name)


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
