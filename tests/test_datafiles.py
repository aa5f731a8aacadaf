"""Promise: rows and labels are read from svmlight, IDX and .npy files told apart by content, and every file that
cannot be used is told in one line that names it.
"""

import bz2
import gzip
import io
import lzma
import os
import struct
import sys
import threading
import tracemalloc

import numpy as np
import pytest

from hingefast.io.arrays import DataFileError, read_array, read_data
from hingefast.io.csr import CSR
from hingefast.io.svmlight import SvmlightError

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
COMPRESSIONS = {
    "plain": lambda content: content,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}

# Numbers that tell a wrong width, sign, byte order or axis order.
NUMBERS = np.arange(24).reshape(4, 2, 3) * 5
LABELS = np.array([3, 0, 250, 7])


def idx(array, dtype="u1"):
    """The bytes of an IDX file."""
    array = np.asarray(array)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, IDX_CODES[dtype], array.ndim, *array.shape)
    return header + array.astype(f">{dtype}").tobytes()


def npy(array, version=None):
    """The bytes of an .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version=version, allow_pickle=True)
    return file.getvalue()


def npy_of_shape(shape):
    """The beginning of an .npy file whose header holds this text as the shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header


@pytest.fixture
def write(tmp_path):
    """Write bytes to a file and return its path."""

    def write(content, name="data.bin"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def labels(write):
    return write(idx(LABELS), "labels.bin")


def refused(path, labels_path=None, **keywords):
    """read_data must refuse the files; return the message."""
    with pytest.raises((DataFileError, SvmlightError)) as caught:
        read_data(path, labels_path, **keywords)
    message = str(caught.value)
    assert message.isascii() and "\n" not in message and len(message) <= 500, message
    return message


def answer(path, labels_path):
    """The shape of the rows and the number of labels, or the message of the refusal."""
    try:
        X, y = read_data(path, labels_path)
    except (DataFileError, SvmlightError) as error:
        return str(error)
    return X.shape, len(y)


# ---- what is read


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("code", IDX_CODES)
def test_idx_of_every_type_and_compression(write, labels, code, compress):
    numbers = NUMBERS if code.startswith("u") else NUMBERS - 60
    X, y = read_data(write(compress(idx(numbers, code))), labels)
    assert isinstance(X, np.ndarray) and X.dtype == np.float64 and X.flags.c_contiguous and X.dtype.isnative
    assert X.tolist() == numbers.reshape(4, 6).tolist()
    assert y.dtype == np.float64 and y.tolist() == LABELS.tolist()


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("dtype", ["?", "u1", "i8", ">i4", "f2", "<f4", ">f4", "f8", ">f8"])
def test_npy_of_every_type_and_compression(write, dtype, compress):
    numbers = NUMBERS.astype(dtype)
    X, y = read_data(write(compress(npy(numbers))), write(compress(npy(LABELS)), "labels"))
    assert isinstance(X, np.ndarray) and X.dtype == np.float64 and X.flags.c_contiguous and X.dtype.isnative
    assert X.tolist() == numbers.astype(float).reshape(4, 6).tolist() and y.tolist() == LABELS.tolist()


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3), (4, 2, 3, 1)])
def test_npy_in_fortran_order_is_the_same_array(write, labels, version, shape):
    numbers = NUMBERS.astype(float).reshape(shape)
    X, _ = read_data(write(npy(np.asfortranarray(numbers), version)), labels)
    assert X.flags.c_contiguous and X.tolist() == numbers.reshape(4, 6).tolist()


def test_both_dtypes_can_be_asked_for(write, labels):
    path = write(npy(np.full((4, 1), 0.1)))
    assert read_data(path, labels)[0].tolist() == [[0.1]] * 4
    X, y = read_data(path, labels, dtype=np.float32)
    assert X.dtype == np.float32 and X[0, 0] == np.float32(0.1) and y.dtype == np.float64
    assert np.isinf(read_data(write(npy(np.full((4, 1), 1e300))), labels, dtype=np.float32)[0]).all()


def test_labels_may_be_floats_negative_and_boolean(write):
    data = write(npy(np.eye(2)))
    for given in ([-1.5, 2.0], [-(2**53), 2**53], [True, False]):
        assert read_data(data, write(npy(np.array(given)), "labels"))[1].tolist() == given


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("name", ["data.svm", "data", "idx1-ubyte", "data.npy"])
def test_svmlight_is_what_is_neither(write, name, compress):
    X, y = read_data(write(compress(b"1 2:3\n-1 1:4\n"), name), n_features=3)
    assert isinstance(X, CSR) and X.shape == (2, 3) and X.data.tolist() == [3, 4] and y.tolist() == [1, -1]


def test_arrays_without_columns_have_rows(write, labels):
    for content in (npy(np.zeros((4, 0))), idx(np.zeros((4, 0)))):
        assert read_data(write(content), labels)[0].shape == (4, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
@pytest.mark.parametrize("content", [idx(NUMBERS), npy(NUMBERS), gzip.compress(npy(NUMBERS)), b"1 2:3\n" * 4])
@pytest.mark.parametrize("piece", [1, 4096], ids=["byte by byte", "at once"])
def test_a_pipe_is_read_once(tmp_path, labels, content, piece):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def fill():
        with open(pipe, "wb", buffering=0) as file:
            for at in range(0, len(content), piece):
                file.write(content[at : at + piece])

    writer = threading.Thread(target=fill)
    writer.start()
    try:
        X, _ = read_data(pipe, None if content.startswith(b"1") else labels)
    finally:
        writer.join()
    assert X.shape == ((4, 2) if content.startswith(b"1") else (4, 6))


def test_ids_count_from_0_if_the_caller_says_so(write, labels):
    path = write(b"1 0:3\n-1 1:4\n")
    X, _ = read_data(path, zero_based=True)
    assert X.indices.tolist() == [0, 1]
    path = write(idx(NUMBERS))
    for zero_based in (True, False):  # False, too, says something of ids
        assert refused(path, labels, zero_based=zero_based) == (
            f"{path} is an IDX file, which holds no ids: leave out --zero-based"
        )


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("make", [idx, npy])
def test_an_array_alone_has_its_own_shape_and_dtype(write, make, compress):
    array = read_array(str(write(compress(make(NUMBERS)))), "coef")
    assert array.shape == (4, 2, 3) and array.dtype.kind in "ui" and array.tolist() == NUMBERS.tolist()


def test_a_header_of_python_2_is_read_without_a_warning(write, labels):
    content = npy(NUMBERS).replace(b"(4, 2, 3), }   ", b"(4L, 2L, 3L), }")
    assert b"3L" in content
    assert read_data(write(content), labels)[0].tolist() == NUMBERS.reshape(4, 6).tolist()


def test_the_callers_floating_point_state_changes_nothing(write, labels):
    big = write(npy(np.array([[1e300], [1e-300], [1], [-1e39]])))
    with np.errstate(all="raise"):
        X, _ = read_data(big, labels, dtype=np.float32)
    assert X.tolist() == [[np.inf], [0], [1], [-np.inf]]
    if np.finfo(np.longdouble).max > np.finfo(float).max:
        huge = write(npy(np.array([0, 1, 2, np.longdouble("1e4000")])), "labels")
        with np.errstate(all="raise"):
            assert refused(big, huge) == f"{huge} has the label inf in row 3, labels must be finite"


# ---- what is refused


def test_a_missing_file_is_an_os_error_that_names_it(tmp_path, write, labels):
    with pytest.raises(FileNotFoundError) as caught:
        read_data(tmp_path / "absent", labels)
    assert caught.value.filename == str(tmp_path / "absent")
    with pytest.raises(FileNotFoundError) as caught:
        read_data(write(idx(NUMBERS)), tmp_path / "absent")
    assert caught.value.filename == str(tmp_path / "absent")


def test_labels_missing_and_superfluous(write, labels):
    path = write(idx(NUMBERS))
    assert refused(path) == f"{path} is an IDX file, which holds no labels: name them by --labels FILE"
    path = write(npy(NUMBERS))
    assert refused(path) == f"{path} is an .npy file, which holds no labels: name them by --labels FILE"
    path = write(b"1 1:2\n")
    assert refused(path, labels) == f"{path} is svmlight text, which holds its labels: leave out --labels"


def test_files_that_do_not_fit_together(write, labels):
    path = write(idx(NUMBERS[:3]))
    assert refused(path, labels) == f"{labels} has 4 labels but {path} has 3 rows"
    path = write(idx(NUMBERS))
    assert refused(path, labels, n_features=784) == f"{path} has 6 columns, --n-features says 784"
    assert read_data(path, labels, n_features=6)[0].shape == (4, 6)
    assert refused(labels, path) == (
        f"{labels} must have 2 or more dimensions, rows first, got shape (4,) (are DATA and --labels swapped?)"
    )


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"1 1:2\n", " must be an IDX or .npy file to be read as labels"),
        (b"", " must be an IDX or .npy file to be read as labels"),
        (idx(NUMBERS), " must have 1 dimension to be read as labels, got shape (4, 2, 3)"),
        (npy(LABELS[:, None]), " must have 1 dimension to be read as labels, got shape (4, 1)"),
        (npy(np.float64(3)), " must have 1 dimension to be read as labels, got shape ()"),
        (npy([0, 1, np.nan, np.inf]), " has the label nan in row 2, labels must be finite"),
        (idx([0, 1, 2, -np.inf], "f4"), " has the label -inf in row 3, labels must be finite"),
        (
            npy(np.array([0, 1, 2, 2**60])),
            " has labels beyond 2^53, labels must be in [-2^53, 2^53]",
        ),
        (
            npy(np.array([0, 1, 2, 2**53 + 1], np.uint64)),  # which float64 rounds to 2^53
            " has labels beyond 2^53, labels must be in [-2^53, 2^53]",
        ),
        (
            npy(np.array([-(2**53) - 1, 1, 2, 3])),
            " has labels beyond 2^53, labels must be in [-2^53, 2^53]",
        ),
        (npy(np.array(list("abcd"))), " must hold real numbers, got <U1"),
        (
            b"PK\x03\x04" + bytes(30),
            " is a zip archive (.zip, .npz): unpack it; it must be an IDX or .npy file to be read as labels",
        ),
        (
            b"\xff\xfe1\x00\n\x00",
            " is text in UTF-16: save it as UTF-8; it must be an IDX or .npy file to be read as labels",
        ),
        (npy(LABELS.astype(complex)), " must hold real numbers, got complex128"),
    ],
)
def test_labels_that_are_none(write, content, reason):
    data = write(idx(NUMBERS))
    path = write(content, "labels")
    assert refused(data, path) == f"{path}{reason}"


@pytest.mark.parametrize(
    "content, reason",
    [
        (npy(np.array([[1, "x"]], object)), " must hold real numbers, got object"),
        (npy(np.zeros(4, [("a", "f8")])), " must hold real numbers, got [('a', '<f8')]"),
        (npy(np.zeros((4, 2), "M8[s]")), " must hold real numbers, got datetime64[s]"),
        (idx(np.zeros((0, 2, 3))), ": the file has no rows"),
        (npy(np.zeros((0, 2))), ": the file has no rows"),
        (b"\0\0\x07\x02" + bytes(40), ": damaged: 0x07 is no type code of an IDX file"),
        (b"\0\0\x08\x00" + bytes(40), ": damaged: an IDX file of 0 dimensions"),
        (b"\0\0\x08\xff" + bytes(4000), ": damaged: an IDX file of 255 dimensions"),
        (b"\0\0\x08\x02\0\0", ": damaged: the file ends within its header"),
        (
            idx(NUMBERS)[:-1],
            ": damaged: the header promises 24 bytes (uint8 of shape (4, 2, 3)), only 23 follow",
        ),
        (
            idx(NUMBERS, "f8") + b"\0",
            ": damaged: the header promises 192 bytes (float64 of shape (4, 2, 3)), more follow",
        ),
        (
            npy(NUMBERS.astype("f4"))[:-4],
            ": damaged: the header promises 96 bytes (float32 of shape (4, 2, 3)), only 92 follow",
        ),
        (b"\x93NUMPY\x09\x09", ": damaged: its .npy header cannot be read"),
        (npy(NUMBERS).replace(b"(4, 2, 3)", b"(4, -2,)*9"), ": damaged: its .npy header cannot be read"),
        (
            npy(np.zeros(2, [(f"a{i}", "f8") for i in range(300)])),
            " must hold real numbers, got "
            + str(np.dtype([(f"a{i}", "f8") for i in range(300)]))[:97]
            + "...",
        ),
        (npy_of_shape(f"({10**30}, 2)"), f": damaged: an array of shape ({10**30}, 2)"),
        (npy_of_shape(f"({'9' * 4000}, 2)"), f": damaged: an array of shape ({'9' * 96}..."),
        (npy_of_shape(f"({'9' * 5000}, 2)"), ": damaged: its .npy header cannot be read"),
        (npy_of_shape("(" + "1, " * 65 + ")"), f": damaged: an array of shape {str((1,) * 65)[:97]}..."),
        (npy_of_shape("(" * 2000 + ")" * 2000), ": damaged: its .npy header cannot be read"),
        (npy_of_shape("(2.0, 2)"), ": damaged: its .npy header cannot be read"),
        (npy_of_shape("(4, -2)"), ": damaged: an array of shape (4, -2)"),
        (
            npy_of_shape((2**60, 2**60)),
            f": damaged: the header promises {2**123:,} bytes (float64 of shape {(2**60, 2**60)}), only 0 follow",
        ),
        (npy(NUMBERS).replace(b"(4, 2, 3)", b"(4, 2,-3)"), ": damaged: an array of shape (4, 2, -3)"),
        (npy(NUMBERS).replace(b"(4, 2, 3)", b"(4, 2; 3)"), ": damaged: its .npy header cannot be read"),
        (npy(NUMBERS).replace(b"'<i8'", b"'<q9'"), ": damaged: its .npy header cannot be read"),
    ],
)
def test_data_that_is_damaged_or_of_the_wrong_kind(write, labels, content, reason):
    path = write(content)
    assert refused(path, labels) == f"{path}{reason}"


@pytest.mark.parametrize("n_bytes", [2**20, 2**21])
def test_a_byte_behind_a_large_array_is_told(write, n_bytes):
    """Files are read in pieces: also where the array fills the last one."""
    content = npy(np.zeros(n_bytes, np.uint8))
    assert read_array(str(write(content)), "labels").size == n_bytes
    with pytest.raises(DataFileError, match=r", more follow$"):
        read_array(str(write(content + b"\0")), "labels")


def test_a_header_that_promises_too_much_takes_no_memory(write, labels):
    message = refused(write(struct.pack(">BBBB2I", 0, 0, 0x0E, 2, 2**32 - 1, 2**32 - 1) + bytes(64)), labels)
    assert message.endswith(", only 64 follow")
    # No numbers at all, but dimensions beyond any array.
    refused(write(struct.pack(">BBBB4I", 0, 0, 0x08, 4, 4, 2**32 - 1, 2**32 - 1, 0)), labels)


def test_a_header_that_is_too_long_is_not_read(write, labels):
    """Four bytes of a damaged file may ask for gigabytes of header, which a compressed file can well hold."""
    content = b"\x93NUMPY\2\0" + struct.pack("<I", 2**26) + bytes(2**26)
    path = write(lzma.compress(content, preset=0))
    tracemalloc.start()
    try:
        assert refused(path, labels) == f"{path}: damaged: its .npy header cannot be read"
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_archives_and_other_encodings_are_told_by_name(write, labels, compress):
    archive = io.BytesIO()
    np.savez(archive, NUMBERS)
    for content, kind in (
        (archive.getvalue(), "a zip archive (.zip, .npz): unpack it"),
        ("1 1:2\n".encode("utf-16"), "text in UTF-16: save it as UTF-8"),
        (b"\0\0\xfe\xff" + "1 1:2\n".encode("utf-32-be"), "text in UTF-32: save it as UTF-8"),
    ):
        path = write(compress(content))
        assert refused(path) == refused(path, labels) == f"{path} is {kind}"
        with pytest.raises(DataFileError) as caught:
            read_array(str(path), "coef")
        assert str(caught.value) == f"{path} is {kind}; it must be an IDX or .npy file to be read as coef"


def test_many_long_names_still_make_a_short_message(tmp_path):
    folder = tmp_path / ("x" * 200) / ("y" * 200)
    try:
        folder.mkdir(parents=True)
    except OSError:
        pytest.skip("the file system has no such long names")
    (folder / "rows.npy").write_bytes(npy(NUMBERS))
    (folder / "labels.npy").write_bytes(npy(LABELS[:3]))
    message = refused(folder / "rows.npy", folder / "labels.npy")
    assert "y/labels.npy has 3 labels but ..." in message and message.endswith("y/rows.npy has 4 rows")


@pytest.mark.parametrize("make", [idx, npy])
@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_a_file_cut_anywhere_is_refused(write, labels, make, compress):
    whole = compress(make(NUMBERS))
    for end in range(len(whole)):
        refused(write(whole[:end]), labels)


@pytest.mark.parametrize("make", [idx, npy])
@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_a_changed_byte_is_refused_or_changes_a_number(write, labels, make, compress):
    whole = compress(make(NUMBERS))
    for place in range(min(len(whole), 256)):
        for change in (0x01, 0x80, 0xFF):
            content = bytearray(whole)
            content[place] ^= change
            told = answer(write(content), labels)
            assert "\n" not in told if isinstance(told, str) else told == ((4, told[0][1]), 4)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_what_is_only_named_compressed_is_damaged(write, labels, suffix):
    path = write(idx(NUMBERS), f"data.{suffix}")
    assert refused(path, labels).startswith(f"{path}: damaged: ")


# ---- real files


def test_mnist_is_the_known_data_set(data_dir):
    images = data_dir / "mnist-t10k-images-idx3-ubyte.gz"
    labels = data_dir / "mnist-t10k-labels-idx1-ubyte.gz"
    if not (images.exists() and labels.exists()):
        pytest.skip("MNIST is absent")
    X, y = read_data(images, labels, dtype=np.float32)
    assert X.shape == (10_000, 784) and np.count_nonzero(X) == 1_511_219 and (X.min(), X.max()) == (0, 255)
    assert np.bincount(y.astype(int)).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # The first image is a 7: ink in the middle of the upper bar, none in the lower left.
    first = X[0].reshape(28, 28)
    assert y[0] == 7 and first[8, 10] > 200 and not first[20:, :8].any()
