"""Promise: what X is made of does not matter. Dense, CSR and tile agree; in place and through a tile: the same bits."""

import numpy as np
import pytest
from conftest import bits, misaligned, raises
from kinds import (
    CSR_KINDS,
    DEFAULT_LOSSES,
    INDEX_PAIRS,
    Problem,
    as_csr,
    assert_close,
    binary,
    csr_parts,
    expected,
    namespace,
    on_a_base,
    problem,
)
from reference import densify

import hingefast as hf

pytestmark = [pytest.mark.at_every_level, pytest.mark.clang]

# Rows, columns and the number of classes, None for one score a row.
SHAPES = [(1, 1), (5, 3), (9, 17), (64, 8), (65, 33), (130, 1), (131, 40), (300, 100)]
SHAPES_OF_CLASSES = [(1, 1, 2), (9, 17, 3), (64, 8, 9), (65, 33, 17), (131, 40, 5), (70, 19, 66)]
FLOATS = [np.float32, np.float64]
every_shape = pytest.mark.parametrize("n,d,n_classes", [(n, d, None) for n, d in SHAPES] + SHAPES_OF_CLASSES)
one_or_several = pytest.mark.parametrize("n_classes", [None, 5], ids=["one score", "classes"])
every_float = pytest.mark.parametrize("dtype", FLOATS)


VARIANTS = ({"loss": "hinge"}, {"loss": "squared_hinge"}, {"loss": "logistic"})
VARIANTS_OF_CLASSES = (
    {"loss": "crammer_singer"},
    {"loss": "weston_watkins:logistic"},
    {"loss": "one_vs_rest:squared_hinge"},
)


def answers(X, case, **keywords):
    """Everything a linear model is asked, as bits."""
    coef = case.coef.astype(keywords.pop("coef_dtype", case.coef.dtype))
    weighted = {"sample_weight": case.weights, "alpha": 0.5}
    weighted["loss"] = "hinge" if coef.ndim == 1 else "crammer_singer:squared_hinge"
    return bits(
        hf.decision_function(X, coef, case.intercept),
        *(
            hf.linear_value_and_grad(X, case.y, coef, case.intercept, **variant, **keywords)
            for variant in (*(VARIANTS if coef.ndim == 1 else VARIANTS_OF_CLASSES), weighted)
        ),
    )


# In place and through a tile: layouts of the same numbers


def layouts(X):
    """Views and copies that hold the numbers of X otherwise than in contiguous rows."""
    n, d = X.shape
    wide = np.full((n, 2 * d + 3), 7.0, dtype=X.dtype)
    wide[:, 1 : d + 1] = X
    sparse_columns = np.full((n, 3 * d), 7.0, dtype=X.dtype)
    sparse_columns[:, ::3] = X
    tall = np.full((3 * n, d), 7.0, dtype=X.dtype)
    tall[::3] = X
    readonly = X.copy()
    readonly.flags.writeable = False
    return {
        "fortran": np.asfortranarray(X),
        "fortran rows": np.asfortranarray(tall)[::3],
        "row stride": wide[:, 1 : d + 1],
        "row step": tall[::3],
        "column step": sparse_columns[:, ::3],
        "rows reversed": X[::-1].copy()[::-1],
        "columns reversed": X[:, ::-1].copy()[:, ::-1],
        "both reversed": X[::-1, ::-1].copy()[::-1, ::-1],
        "transposed": X.T.copy().T,
        "big endian": X.astype(X.dtype.newbyteorder(">")),
        "little endian": X.astype(X.dtype.newbyteorder("<")),
        "misaligned": misaligned(X),
        "misaligned fortran": misaligned(np.ascontiguousarray(X.T)).T,
        "read only": readonly,
        "subclass": X.copy().view(type("Sub", (np.ndarray,), {})),
    }


@pytest.mark.parametrize("name", layouts(np.zeros((2, 2))))
@every_shape
def test_layouts_have_the_same_bits(name, n, d, n_classes):
    for dtype in FLOATS:
        case = problem(n, d, dtype, seed=1, n_classes=n_classes)
        X = layouts(case.X)[name]
        before = bits(X)
        np.testing.assert_array_equal(X, case.X)
        assert answers(X, case) == answers(case.X, case)
        assert bits(X) == before


@every_float
@pytest.mark.parametrize("n,d,n_classes", [(50, 7, None), (200, 33, None), (70, 17, 5)])
def test_zero_strides(dtype, n, d, n_classes):
    """One row seen n times, one column seen d times, one number seen n·d times."""
    case = problem(n, d, dtype, seed=3, n_classes=n_classes)
    for X in (
        np.broadcast_to(case.X[0], (n, d)),
        np.broadcast_to(case.X[:, :1], (n, d)),
        np.broadcast_to(case.X[0, 0], (n, d)),
        np.broadcast_to(case.X[0].astype(case.X.dtype.newbyteorder(">")), (n, d)),
    ):
        assert answers(X, case) == answers(np.ascontiguousarray(X, dtype=dtype), case)


@one_or_several
def test_labels_weights_and_models_in_any_layout(n_classes):
    case = problem(130, 9, seed=4, n_classes=n_classes)
    want = answers(case.X, case)
    for change in (
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        misaligned,
        np.asfortranarray,
    ):
        intercept = case.intercept if n_classes is None else change(case.intercept)
        changed = Problem(case.X, change(case.y), change(case.coef), intercept, change(case.weights))
        assert answers(case.X, changed) == want
    lists = [a.tolist() for a in (case.y, case.coef, np.asarray(case.intercept), case.weights)]
    loss = {"loss": "logistic" if n_classes is None else "weston_watkins"}
    got = hf.linear_value_and_grad(case.X, *lists[:3], sample_weight=lists[3], alpha=1.0, **loss)
    plain = (case.y, case.coef, case.intercept)
    assert bits(got) == bits(
        hf.linear_value_and_grad(case.X, *plain, sample_weight=case.weights, alpha=1.0, **loss)
    )
    case.y = case.y.astype(np.float32)
    assert answers(case.X, case) == want


@one_or_several
def test_memmap(n_classes, tmp_path):
    case = problem(131, 40, seed=5, n_classes=n_classes)
    for dtype in ("<f8", ">f8"):
        path = tmp_path / f"X{dtype[0] == '>'}.npy"
        np.save(path, case.X.astype(dtype))
        for mode in ("r", "c"):
            X = np.load(path, mmap_mode=mode)
            assert isinstance(X, np.memmap)
            assert answers(X, case) == answers(case.X, case)
            assert answers(X[:, ::-1][:, ::-1], case) == answers(case.X, case)


def test_more_than_two_to_the_31_elements(tmp_path):
    """Index arithmetic in 64 bits: the last row of a sparse file of 2^31 elements and more is read where it lies."""
    d, n = 2**16, 2**15 + 3
    X = np.memmap(tmp_path / "X", dtype=np.float32, mode="w+", shape=(n, d))
    assert X.size > 2**31
    X[-1] = 1.0
    X[-1, : d // 2] = 2.0
    X[2**15] = 0.5
    one = np.ones(d, dtype=np.float32)
    rows = np.array([0, n - 1, 2**15])
    sums = np.array([0.0, 1.5 * d, 0.5 * d])
    np.testing.assert_array_equal(hf.decision_function(X, one, rows=rows), sums)
    scores = hf.decision_function(X, np.stack([one, 0 * one, -one]), rows=rows)
    np.testing.assert_array_equal(scores, np.outer(sums, [1, 0, -1]))
    y, last = np.broadcast_to(np.int8(1), (n,)), slice(n - 1, None)
    _, grad, _ = hf.linear_value_and_grad(X, y, 0 * one, rows=last)
    np.testing.assert_array_equal(grad, -X[-1])
    _, grad, _ = hf.linear_value_and_grad(
        X, y, np.zeros((3, d), dtype=np.float32), loss="weston_watkins", rows=last
    )
    np.testing.assert_array_equal(grad, np.outer([1, -2, 1], X[-1]))


# Dtypes


def integers(n, d, seed, low, high, n_classes=None):
    case = problem(n, d, seed=seed, n_classes=n_classes)
    rng = np.random.default_rng([seed, n, d, 1])
    X = rng.integers(low, high, (n, d))
    case.coef = case.coef / max(abs(low), abs(high), 1)
    return X, case


NARROW = [np.uint8, np.int8, np.int16, np.uint16, bool, np.float16]
WIDE = [np.int32, np.uint32, np.int64, np.uint64]


@pytest.mark.parametrize("dtype", NARROW + WIDE)
@every_shape
def test_dtypes_that_are_cast(dtype, n, d, n_classes):
    """Narrow dtypes are computed in float32, wide ones in float64: the bits of the cast matrix."""
    low, high = (0, 2) if dtype is bool else (0, 100) if np.dtype(dtype).kind == "u" else (-100, 100)
    numbers, case = integers(n, d, 6, low, high, n_classes)
    plain = numbers.astype(dtype)
    computed = np.float32 if dtype in NARROW else np.float64
    for coef_dtype in FLOATS:
        want = answers(plain.astype(computed), case, coef_dtype=coef_dtype)
        for X in (plain, np.asfortranarray(plain), np.repeat(plain, 2, axis=1)[:, ::2]):
            assert hf.decision_function(X, case.coef).dtype == computed
            assert answers(X, case, coef_dtype=coef_dtype) == want


@one_or_several
@pytest.mark.parametrize("dtype", [np.float16, np.int16, np.int32, np.int64])
def test_other_byte_order_of_other_dtypes(dtype, n_classes):
    numbers, case = integers(65, 9, 7, -50, 50, n_classes)
    X = numbers.astype(dtype)
    assert answers(X.astype(X.dtype.newbyteorder(">")), case) == answers(X, case)


def test_large_integers_are_rounded_once():
    X = np.array([[2**53 + 1, -(2**62) - 1], [3, 2**24 + 1]])
    coef = np.array([1.0, 2.0**-20])
    np.testing.assert_array_equal(hf.decision_function(X, coef), X.astype(np.float64) @ coef)
    assert hf.decision_function(np.array([[2**63 + 2**11]], dtype=np.uint64), [1.0])[0] == 2.0**63 + 2.0**11


def test_longdouble_is_computed_in_float64():
    case = problem(30, 5, seed=8)
    assert answers(case.X.astype(np.longdouble), case) == answers(case.X, case)


def test_lists_and_frames():
    """Whatever `np.asarray` takes: nested lists, and objects with `__array__` that give Fortran-ordered views."""
    case = problem(40, 6, seed=9)

    class Frame:
        """What a data frame is to us: an `__array__` and some attributes of its own."""

        def __init__(self, values):
            self.values = values
            self.shape = values.shape
            self.index = range(len(values))
            self.columns = list(range(values.shape[-1]))

        def __array__(self, dtype=None, copy=None):
            return np.asfortranarray(self.values)

    want = answers(case.X, case)
    assert answers(case.X.tolist(), case) == want
    assert answers(tuple(map(tuple, case.X)), case) == want
    assert answers(Frame(case.X), case) == want
    frames = problem(40, 6, seed=9)
    frames.y, frames.weights = Frame(case.y), Frame(case.weights)
    assert answers(Frame(case.X), frames) == want


class Column:
    """A column of a frame as polars has them: a dtype that is not NumPy's, and values that may be missing."""

    def __init__(self, name, values, missing=()):
        self.name, self.values, self.missing = name, np.asarray(values), missing
        self.dtype = f"Dtype({self.values.dtype})"

    def is_null(self):
        return [i in self.missing for i in range(len(self.values))]

    def __array__(self, dtype=None, copy=None):
        return self.values


class OtherFrame:
    """A frame of such columns: knows nothing of pandas, and its own conversion makes objects."""

    def __init__(self, *columns):
        self.all = columns

    columns = property(lambda self: [column.name for column in self.all])
    dtypes = property(lambda self: [column.dtype for column in self.all])

    def get_columns(self):
        return list(self.all)

    def __array__(self, dtype=None, copy=None):
        return np.array([column.values for column in self.all], object).T


def test_frames_column_by_column():
    case = problem(40, 3, seed=9)
    case.X[:, 1] = case.X[:, 1] > 0
    columns = [
        Column("a", case.X[:, 0]),
        Column("b", case.X[:, 1].astype(bool)),
        Column("indptr", case.X[:, 2]),
    ]
    assert answers(OtherFrame(*columns), case) == answers(case.X, case)
    for dtypes, want in (
        (("f4", "i1", "?"), np.float32),
        (("i8", "?", "f4"), np.float64),
        (("?", "?", "?"), bool),
    ):
        kinds = [Column(str(k), case.X[:, k].astype(dtype)) for k, dtype in enumerate(dtypes)]
        X = np.column_stack([column.values for column in kinds])
        assert X.dtype == want
        assert answers(OtherFrame(*kinds), case) == answers(X, case)
    columns[1] = Column("b", case.X[:, 1], missing=(7, 9))
    with raises(ValueError, "column 'b' of X", "missing", "7"):
        hf.decision_function(OtherFrame(*columns), case.coef)
    columns[1] = Column("b", case.X[:, 1].astype(str))
    with raises(TypeError, "column 'b' of X", "dtype"):
        hf.decision_function(OtherFrame(*columns), case.coef)
    with raises(ValueError, "y ", "missing", "position 3"):
        hf.linear_value_and_grad(case.X, Column("y", case.y, missing=(3,)), case.coef)
    memory = np.zeros((40, 3))
    wide = OtherFrame(
        Column("a", memory[:, 0]), Column("b", case.X[:, 1].astype(bool)), Column("c", memory[:, 2])
    )
    with raises(ValueError, "out", "overlap", "'a'"):
        hf.decision_function(wide, case.coef, out=memory.reshape(-1)[:40])


class TestPandas:
    """Frames as pandas has them; nothing of ours imports it."""

    NULLABLE = ("Float64", "Float32", "Int64", "Int8", "UInt8", "boolean")
    ARROW = ("double[pyarrow]", "float[pyarrow]", "int64[pyarrow]", "uint8[pyarrow]", "bool[pyarrow]")

    @pytest.fixture
    def pd(self):
        return pytest.importorskip("pandas")

    @pytest.fixture
    def case(self):
        case = problem(40, 4, seed=19)
        case.X[:, 1] = case.X[:, 1] > 0
        case.X[:, 3] = np.arange(40) % 3
        return case

    def test_one_dtype_is_read_in_place(self, pd, case):
        X = case.X.copy()
        frame = pd.DataFrame(X, copy=False)
        assert answers(frame, case) == answers(case.X, case)
        objective = hf.Objective(frame, case.y, loss="hinge")
        theta = objective.pack(case.coef, 0.5)
        before = objective.value(theta)
        X *= 2
        assert objective.value(theta) == hf.Objective(X, case.y, loss="hinge").value(theta) != before

    def test_boolean_columns_beside_others(self, pd, case):
        frame = pd.DataFrame(case.X)
        frame[1] = frame[1].astype(bool)
        frame[3] = frame[3].astype(np.int8)
        assert np.asarray(frame).dtype == object
        assert answers(frame, case) == answers(case.X, case)
        small = pd.DataFrame({"a": [True, False], "b": np.array([2, 3], np.int8)})
        assert hf.decision_function(small, [1.0, 1.0]).dtype == np.float32

    @pytest.mark.parametrize("dtype", NULLABLE + ARROW)
    def test_nullable_and_arrow_columns(self, pd, case, dtype):
        if "pyarrow" in dtype:
            pytest.importorskip("pyarrow")
        X = np.abs(np.round(case.X)) if "oat" not in dtype and "double" not in dtype else case.X
        frame = pd.DataFrame(X.astype(bool) if "bool" in dtype else X).astype(dtype)
        want = X.astype(np.asarray(frame[0]).dtype)
        assert answers(frame, case) == answers(want, case)
        mixed = frame.assign(more=case.y)
        coef = np.append(case.coef, 1.0)
        want = hf.decision_function(np.column_stack([want, case.y]), coef)
        assert bits(hf.decision_function(mixed, coef)) == bits(want)
        frame.loc[[5, 17], 2] = None
        with raises(ValueError, "column 2 of X", "missing", "position 5"):
            hf.decision_function(frame, case.coef)

    @pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]", "category", "int8"])
    def test_series_and_indices(self, pd, case, dtype):
        if "pyarrow" in dtype:
            pytest.importorskip("pyarrow")
        y = pd.Series(case.y.astype(int)).astype(dtype)
        want = hf.linear_value_and_grad(case.X, case.y, case.coef, sample_weight=case.weights)
        weights, coef = pd.Series(case.weights).astype("Float64"), pd.Series(case.coef)
        for labels in (y, pd.Index(y), y.array):
            got = hf.linear_value_and_grad(case.X, labels, coef, sample_weight=weights)
            assert bits(got) == bits(want)
        rows = pd.Series([3, 1, 2]).astype("Int64")
        assert bits(hf.decision_function(case.X, coef, rows=rows)) == bits(
            hf.decision_function(case.X, case.coef, rows=[3, 1, 2])
        )
        if dtype != "int8":
            y[4] = None
            with raises(ValueError, "y ", "missing", "position 4"):
                hf.linear_value_and_grad(case.X, y, case.coef)
        weights[9] = None
        with raises(ValueError, "sample_weight", "missing", "position 9"):
            hf.Hinge().value(case.y, case.X[:, 0], sample_weight=weights)

    @pytest.mark.parametrize(
        "values",
        [["a", "b"], [1, None], [1 + 2j, 3], ["2026-01-01", "2026-01-02"], [1, 2], [(1,), 2]],
        ids=str,
    )
    def test_other_columns_are_named(self, pd, values):
        column = pd.Series(values)
        if values[0] == "2026-01-01":
            column = pd.to_datetime(column)
        elif values == [1, 2]:
            column = column.astype("category")
        elif values[1] is None:
            column = column.astype(object)
        for frame in (
            pd.DataFrame({"good": [1.0, 2.0], "bad": column}),
            pd.DataFrame({"good": pd.array([1, 2], "Int64"), "bad": column}),
            pd.DataFrame({"good": [True, False], "bad" * 2000: column}),
        ):
            with raises((TypeError, ValueError), "X", "column 'bad"):
                hf.decision_function(frame, [1.0, 2.0])

    def test_columns_named_as_parts_of_a_sparse_matrix(self, pd, case):
        names = ["indptr", "indices", "data", "tocsr"]
        assert answers(pd.DataFrame(case.X, columns=names), case) == answers(case.X, case)
        assert answers(pd.DataFrame(case.X, columns=["a", "a", 0, None]), case) == answers(case.X, case)

    @pytest.mark.parametrize("dtype", ["int64", "Int64", "boolean"])
    def test_the_hint_for_a_frame_of_one_column_works(self, pd, dtype):
        y = pd.DataFrame({"y": [1, 0, 1]}).astype(dtype)
        with pytest.raises(ValueError) as caught:
            hf.Hinge().value(y, [0.5, 0.25, 2.0], classes=(0, 1))
        hint = str(caught.value).partition("; pass ")[2]
        got = hf.Hinge().value(eval(hint, {"np": np, "y": y}), [0.5, 0.25, 2.0], classes=(0, 1))
        assert got == hf.Hinge().value([1, 0, 1], [0.5, 0.25, 2.0], classes=(0, 1))

    def test_tables_of_arrow(self, case):
        pa = pytest.importorskip("pyarrow")
        columns = {
            "a": case.X[:, 0],
            "b": case.X[:, 1].astype(bool),
            "c": case.X[:, 2],
            "indptr": case.X[:, 3],
        }
        table = pa.table(columns)
        labels = problem(40, 4, seed=19)
        labels.X, labels.y, labels.weights = case.X, pa.array(case.y), pa.chunked_array([case.weights])
        assert answers(table, labels) == answers(case.X, case)
        with raises(ValueError, "column 'd' of X", "missing", "position 1"):
            hf.decision_function(pa.table({"a": [1.0, 2.0], "d": [1, None]}), [1.0, 2.0])
        with raises(TypeError, "column 'd' of X"):
            hf.decision_function(pa.table({"a": [1.0, 2.0], "d": ["x", "y"]}), [1.0, 2.0])
        with raises(ValueError, "y ", "missing", "position 2"):
            hf.Hinge().value(pa.array([1, -1, None]), [0.5, 0.25, 2.0])

    def test_frames_of_scores_and_coefficients(self, pd, case):
        scores = pd.DataFrame({"a": [0.5, 1.0], "b": [True, False], "c": pd.array([1, 2], "Int8")})
        plain = np.array([[0.5, 1.0, 1.0], [1.0, 0.0, 2.0]])
        loss = hf.CrammerSinger()
        assert bits(loss.value_and_grad([0, 2], scores)) == bits(loss.value_and_grad([0, 2], plain))
        assert str(hf.margin_report([0, 2], scores, coef=scores.iloc[[0, 1, 1]])) == str(
            hf.margin_report([0, 2], plain, coef=plain[[0, 1, 1]])
        )
        assert hf.CostSensitiveHinge(scores.assign(d=1).iloc[[0, 1], [1, 3]]) == hf.CostSensitiveHinge(
            [[1, 1], [0, 1]]
        )


# CSR

AGREEING = {name: binary(loss) for name, loss in DEFAULT_LOSSES.items()} | {
    f"crammer_singer {K}": on_a_base("crammer_singer", "logistic", K) for K in (3, 10, 40)
}
every_agreement = pytest.mark.parametrize("kind", AGREEING.values(), ids=AGREEING.keys())


@pytest.mark.parametrize("kind", CSR_KINDS)
@pytest.mark.parametrize("index_dtype,indptr_dtype", INDEX_PAIRS)
@every_float
@pytest.mark.parametrize(
    "n,d,n_classes", [(1, 1, None), (65, 33, None), (200, 12, None), (70, 30, 3), (70, 30, 18)]
)
def test_kinds_and_index_widths_have_the_same_bits(kind, index_dtype, indptr_dtype, dtype, n, d, n_classes):
    case = problem(n, d, dtype, seed=10, density=0.4, n_classes=n_classes)
    plain = as_csr(case.X)
    X = as_csr(case.X, kind, index_dtype, indptr_dtype)
    assert X.indices.dtype == index_dtype and X.indptr.dtype == indptr_dtype
    assert answers(X, case) == answers(plain, case)


@every_agreement
@every_float
@pytest.mark.parametrize("n,d,density", [(64, 8, 1.0), (131, 40, 0.3), (9, 100, 0.05), (300, 33, 0.1)])
def test_dense_and_csr_agree(kind, dtype, n, d, density):
    """All lie within the bounds of one oracle, and their scores within the bounds of the rounding of sums."""
    case = kind.problem(n, d, dtype, seed=11, density=density)
    want = kind.expected(case, alpha=0.25, weights=case.weights, most_unsure=max(0.05, 1.5 / n))
    for X in (case.X, as_csr(case.X), np.asfortranarray(case.X)):
        got = kind.call(X, case, alpha=0.25, sample_weight=case.weights)
        assert_close(got, want, out_eps=np.finfo(dtype).eps)
        scores = hf.decision_function(X, case.coef, case.intercept)
        assert (np.abs(scores - want.scores) <= want.scores_bound).all()


@one_or_several
@pytest.mark.parametrize("dtype", [*NARROW, *WIDE, ">f8", ">f4"])
def test_data_of_other_dtypes(dtype, n_classes):
    numbers, case = integers(65, 20, 12, 0, 2, n_classes)
    dense = numbers.astype(dtype)
    X = as_csr(dense)
    assert X.data.dtype == np.dtype(dtype)
    computed = hf.decision_function(X, case.coef).dtype
    assert computed == hf.decision_function(dense, case.coef).dtype
    cast = namespace(X.indptr, X.indices, X.data.astype(computed), X.shape)
    assert answers(X, case) == answers(cast, case)


@one_or_several
def test_members_in_other_layouts(n_classes):
    case = problem(65, 20, seed=13, density=0.4, n_classes=n_classes)
    X = as_csr(case.X)
    want = answers(X, case)
    for change in (
        lambda a: np.repeat(a, 2)[::2],
        lambda a: a[::-1].copy()[::-1],
        misaligned,
        lambda a: a.astype(a.dtype.newbyteorder(">")),
    ):
        for member in ("indptr", "indices", "data"):
            other = namespace(X.indptr, X.indices, X.data, X.shape)
            setattr(other, member, change(getattr(X, member)))
            assert answers(other, case) == want


def check_csr(X, y, coef, intercept, dtype):
    """Against the oracle on the dense matrix that the parts mean."""
    dense = densify(X).astype(dtype)
    case = problem(len(y), 2, dtype)  # weights only
    scores = hf.decision_function(X, coef, intercept)
    of_classes = (hf.CrammerSinger("squared_hinge"), hf.WestonWatkins("logistic"), hf.OneVsRest("logistic"))
    for loss in of_classes if coef.ndim == 2 else (hf.Hinge(), hf.SquaredHinge(), hf.LogisticLoss()):
        # Duplicates are rounded one by one: bounds for three times as many terms.
        want = expected(
            dense, y, coef, intercept, loss, weights=case.weights, alpha=0.1, longest=3 * dense.shape[1]
        )
        got = hf.linear_value_and_grad(
            X, y, coef, intercept, loss=loss, sample_weight=case.weights, alpha=0.1
        )
        assert_close(got, want, out_eps=np.finfo(dtype).eps)
        assert (np.abs(scores - want.scores) <= want.scores_bound).all()


@every_float
@pytest.mark.parametrize("n_classes", [None, 2, 7, 17])
def test_unsorted_duplicates_zeros_empty_rows_and_slack(dtype, n_classes):
    case = problem(60, 25, dtype, seed=9, density=0.4, n_classes=n_classes)
    case.X[[0, 7, 8, 9, 59]] = 0
    indptr, indices, data = csr_parts(case.X, np.int64, np.int64)
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(60), np.diff(indptr))
    unsorted = np.lexsort((rng.random(rows.size), rows))
    # Unsorted: the same numbers in another order within each row.
    check_csr(
        namespace(indptr, indices[unsorted], data[unsorted], case.X.shape),
        case.y,
        case.coef,
        case.intercept,
        dtype,
    )
    # Duplicates: every entry twice, in parts; some rows hold one column three times.
    part = (data * rng.uniform(0.2, 0.8, data.size)).astype(dtype)
    twice = np.lexsort((rng.random(2 * rows.size), np.concatenate([rows, rows])))
    X = namespace(
        2 * indptr,
        np.concatenate([indices, indices])[twice],
        np.concatenate([part, data - part])[twice],
        case.X.shape,
    )
    check_csr(X, case.y, case.coef, case.intercept, dtype)
    # Explicit zeros change no bit of a score.
    zeros = namespace(2 * indptr, np.repeat(indices, 2), np.repeat(data, 2), case.X.shape)
    zeros.data[1::2] = 0
    zeros.indices[1::2] = (zeros.indices[1::2] + 1) % 25
    check_csr(zeros, case.y, case.coef, case.intercept, dtype)
    # Trailing slack is never read.
    slack = namespace(
        indptr,
        np.concatenate([indices, [-5, 10**12]]),
        np.concatenate([data, [np.nan, np.inf]]).astype(dtype),
        case.X.shape,
    )
    assert answers(slack, case) == answers(as_csr(case.X), case)


@every_float
@one_or_several
def test_one_row_holds_everything(n_classes, dtype):
    case = problem(40, 300, dtype, seed=10, n_classes=n_classes)
    case.X[np.arange(40) != 17] = 0
    check_csr(as_csr(case.X), case.y, case.coef, case.intercept, dtype)


def test_unsorted_and_duplicate_indices_are_summed():
    """Whatever the flags claim. Small integers make every order of additions exact."""
    rng = np.random.default_rng(14)
    n, d = 70, 9
    counts = rng.integers(0, 25, n)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    indices = rng.integers(0, d, indptr[-1]).astype(np.int32)
    data = rng.integers(-4, 5, indptr[-1]).astype(np.float64)
    assert (np.diff(indices) < 0).any() and (data == 0).any() and (counts == 0).any()
    X = namespace(indptr, indices, data, (n, d))
    X.has_sorted_indices = X.has_canonical_format = True
    dense = densify(X)
    y = np.where(rng.random(n) < 0.5, 1, -1)
    coef = rng.integers(-2, 3, d) / 8
    np.testing.assert_array_equal(hf.decision_function(X, coef), dense @ coef)
    for loss in ("hinge", "squared_hinge"):
        assert bits(hf.linear_value_and_grad(X, y, coef, loss=loss, reduction="sum")) == bits(
            hf.linear_value_and_grad(dense, y, coef, loss=loss, reduction="sum")
        )


def test_explicit_zeros_and_empty_rows():
    case = problem(40, 12, seed=15, density=0.5)
    case.X[[0, 7, 8, 9, 39]] = 0.0
    full = case.X.astype(bool)
    full[5:30] = True  # stores zeros too
    rows, columns = np.nonzero(full)
    indptr = np.concatenate([[0], np.cumsum(full.sum(axis=1))])
    X = namespace(indptr, columns, case.X[rows, columns], case.X.shape)
    scores = hf.decision_function(X, case.coef, case.intercept)
    np.testing.assert_allclose(scores, case.X @ case.coef + case.intercept, rtol=1e-13, atol=1e-14)
    assert (scores[[0, 7, 8, 9, 39]] == case.intercept).all()
    want = expected(case.X, case.y, case.coef, case.intercept, "hinge")
    assert_close(hf.linear_value_and_grad(X, case.y, case.coef, case.intercept), want)


def test_all_rows_empty():
    X = namespace(np.zeros(6, np.int32), np.zeros(0, np.int32), np.zeros(0), (5, 3))
    y = np.array([1, 1, -1, 1, -1])
    value, grad, grad_intercept = hf.linear_value_and_grad(X, y, np.ones(3), 0.5)
    assert value == (3 * 0.5 + 2 * 1.5) / 5 and grad_intercept == (2 - 3) / 5
    assert bits(grad) == bits(np.zeros(3))  # +0.0
    value, grad, grad_intercept = hf.linear_value_and_grad(
        X, [0, 1, 2, 0, 1], np.ones((3, 3)), [0.5, 0.0, 0.0], loss="crammer_singer"
    )
    assert value == pytest.approx((2 * 0.5 + 3 * 1.5) / 5, rel=1e-15)
    assert bits(grad) == bits(np.zeros((3, 3)))
    np.testing.assert_allclose(grad_intercept, [(3 - 2) / 5, (2 - 2) / 5, -1 / 5], atol=1e-15)


@pytest.mark.parametrize("place", [0, 50, 99])
@every_float
def test_one_row_that_holds_everything(place, dtype):
    """More nonzeros in one row than any task may have, between rows that are empty."""
    size = 700_001
    rng = np.random.default_rng(16)
    data = rng.standard_normal(size).astype(dtype)
    indices = rng.integers(0, 50, size).astype(np.int32)
    indptr = np.where(np.arange(101) > place, size, 0).astype(np.int64)
    X = namespace(indptr, indices, data, (100, 50))
    coef = (rng.standard_normal(50) / 1000).astype(dtype)
    y = np.where(np.arange(100) % 3, 1, -1)
    sums = np.bincount(indices, weights=data.astype(np.float64), minlength=50)
    absolute = np.bincount(indices, weights=np.abs(data.astype(np.float64)), minlength=50)
    scores = hf.decision_function(X, coef)
    assert not np.delete(scores, place).any()
    assert abs(scores[place] - sums @ coef) <= size**0.5 * np.finfo(dtype).eps * (absolute @ np.abs(coef))
    y[place] = -1 if scores[place] > 0 else 1
    value, grad, _ = hf.linear_value_and_grad(X, y, coef, reduction="sum")
    assert value == pytest.approx(99 + 1 + abs(sums @ coef), rel=1e-4)
    relative = 1e-6 if dtype is np.float32 else 2.0**-40
    assert (np.abs(grad + y[place] * sums) <= (relative + np.finfo(dtype).eps) * absolute).all()


@one_or_several
def test_trailing_slack_is_never_read(n_classes):
    case = problem(65, 20, seed=17, density=0.4, n_classes=n_classes)
    X = as_csr(case.X)
    want = answers(X, case)
    slack = namespace(
        X.indptr,
        np.append(X.indices, [-1, 10**6] * 50).astype(np.int32),
        np.append(X.data, [np.nan] * 100),
        X.shape,
    )
    assert answers(slack, case) == want


@one_or_several
def test_no_columns(n_classes):
    case = problem(20, 0, seed=18, n_classes=n_classes)
    assert answers(as_csr(case.X), case) == answers(case.X, case)


@one_or_several
def test_csr_is_used_in_place(n_classes, tmp_path):
    """Memory-mapped members, read-only members: the same bits."""
    case = problem(65, 20, seed=19, density=0.4, n_classes=n_classes)
    X = as_csr(case.X)
    mapped = namespace(None, None, None, X.shape)
    for member in ("indptr", "indices", "data"):
        np.save(tmp_path / f"{member}.npy", getattr(X, member))
        setattr(mapped, member, np.load(tmp_path / f"{member}.npy", mmap_mode="r"))
    assert answers(mapped, case) == answers(X, case)


def test_in_place_means_no_copy():
    """A pass over large X, in place or through a tile, allocates less than a hundredth of it."""
    import tracemalloc

    n, d = 20_000, 100
    rng = np.random.default_rng(20)
    dense = rng.standard_normal((n, d))
    y = np.where(rng.random(n) < 0.5, 1, -1).astype(np.int8)
    wide = np.zeros((n, 2 * d))
    wide[:, ::2] = dense
    indptr, indices, data = csr_parts(dense)
    matrices = {
        "rows": dense,
        "fortran": np.asfortranarray(dense),
        "column step": wide[:, ::2],
        "bytes": (dense * 20).astype(np.int8),
        "big endian": dense.astype(">f8"),
        "csr": namespace(indptr, indices, data, (n, d)),
        "mixed csr": namespace(indptr.astype(np.int64), indices, data, (n, d)),
    }
    coef = rng.standard_normal(d) / 10
    for name, X in matrices.items():
        for _ in range(2):
            tracemalloc.start()
            try:
                hf.linear_value_and_grad(X, y, coef, n_threads=1)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert peak < 0.3 * n * d, name  # int8 X is n·d bytes: no copy of any kind
