"""Promise: the command line shows what the library computes, and tells the user's errors in one line."""

import dataclasses
import gzip
import io
import itertools
import json
import lzma
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import hingefast as hf
from hingefast.cli import compare, evaluate, inputs, main
from hingefast.cli.text import _duration
from hingefast.io.svmlight import read_svmlight
from hingefast.losses import MARGIN_LOSSES
from hingefast.multiclass import MULTICLASS_LOSSES
from hingefast.solvers.methods import METHODS

pytestmark = pytest.mark.any_python

A9A = Path(__file__).resolve().parents[1] / "examples" / "a9a.xz"

TINY = "+1 1:1\n-1 2:1\n"
TINY_COEF = [2.0, 0.5, -1.0]  # scores 1, -0.5; margins 1, 0.5

THREE = "4 1:1\n7 2:1\n9 1:1 2:1\n"
# Scores (2, 0.5, 0), (0, 1.5, 0.5), (2, 1.5, 1.5); margins 1.5, 1, -0.5.
THREE_COEF = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.5], [1.0, 1.5, -1.0]])

FOUR_LABELS = (-2, 0, 5, 9)


@pytest.fixture(autouse=True)
def few_repeats(monkeypatch):
    """Nothing here looks at how fast a pass is: the least number of repeats will do."""
    monkeypatch.setattr(evaluate, "ENOUGH_SECONDS", 0.0)


@pytest.fixture(scope="module")
def a9a():
    if not A9A.exists():
        pytest.skip("examples/a9a.xz is absent")
    return str(A9A)


@pytest.fixture(scope="module")
def a9a_head(a9a, tmp_path_factory):
    """The first 3000 rows of a9a, for tests that read a file often."""
    path = tmp_path_factory.mktemp("a9a") / "head.svm"
    with lzma.open(a9a, "rb") as file:
        path.write_bytes(b"".join(itertools.islice(file, 3000)))
    return str(path)


@pytest.fixture
def svm(tmp_path):
    """Write a file of svmlight text and return its path."""

    def svm(text, name="data.svm"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return svm


@pytest.fixture
def npy(tmp_path):
    """Write an .npy file and return its path."""

    def npy(array, name="w.npy"):
        np.save(tmp_path / name, array)
        return str(tmp_path / name)

    return npy


@pytest.fixture
def tiny(svm):
    return svm(TINY, "tiny.svm")


@pytest.fixture
def tiny_coef(npy):
    return npy(TINY_COEF, "coef.npy")


@pytest.fixture
def three(svm):
    return svm(THREE, "three.svm")


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """900 rows of four overlapping classes, in a svmlight file and in two .npy files."""
    folder = tmp_path_factory.mktemp("four")
    rng = np.random.default_rng(11)
    y = rng.choice(4, 900, p=[0.1, 0.2, 0.3, 0.4])
    X = rng.standard_normal((900, 12)) + 1.5 * rng.standard_normal((4, 12))[y]
    X[rng.random(X.shape) < 0.5] = 0
    labels = np.array(FOUR_LABELS)[y]
    rows = (
        " ".join([str(label), *(f"{j + 1}:{x!r}" for j, x in enumerate(row.tolist()) if x)])
        for label, row in zip(labels, X, strict=True)
    )
    (folder / "four.svm").write_text("\n".join(rows))
    np.save(folder / "rows.npy", X)
    np.save(folder / "labels.npy", labels)
    rows, labels = str(folder / "rows.npy"), str(folder / "labels.npy")
    return SimpleNamespace(
        X=X, y=y, svm=str(folder / "four.svm"), rows=rows, labels=labels, dense=(rows, "--labels", labels)
    )


@pytest.fixture
def shown(run):
    """Run eval, which must succeed; return the text."""

    def shown(*arguments):
        code, out, err = run("eval", *arguments)
        assert (code, err) == (0, "")
        return out

    return shown


@pytest.fixture
def run_json(shown):
    """Run eval with --json, which must succeed; return the object."""
    # No NaN, no Infinity: they are not JSON.
    return lambda *arguments: json.loads(shown(*arguments, "--json"), parse_constant=pytest.fail)


@pytest.fixture
def fails(run):
    """Run eval, which must fail as the user's error; return the message."""

    def fails(*arguments, command="eval"):
        code, out, err = run(command, *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("hingefast: error: ") and err.count("\n") == 1
        return err.removeprefix("hingefast: error: ").rstrip("\n")

    return fails


@pytest.fixture(params=["SciPy", "NumPy"])
def library(request, monkeypatch):
    """Whose products the other side of --compare uses on sparse rows."""
    if request.param == "SciPy":
        pytest.importorskip("scipy")
    else:
        without_scipy(monkeypatch)
    return request.param


def without_scipy(monkeypatch):
    for name in ("scipy", "scipy.sparse", "scipy.special"):
        monkeypatch.setitem(sys.modules, name, None)


def make_numpy_wrong(monkeypatch, part, error):
    """Falsify the values or the slopes of the other side of --compare, but not the tolerance."""

    class WrongPass(compare.NumpyPass):
        def __init__(self, X, y, arrangement, *others):
            super().__init__(X, y, arrangement, *others)
            self._arrangement = SimpleNamespace(evaluate=lambda y, scores: wrong(arrangement, y, scores))

    def wrong(arrangement, y, scores):
        values, slopes = arrangement.evaluate(y, scores)
        return (values * (1 + error), slopes) if part == "value" else (values, slopes * (1 + error))

    monkeypatch.setattr(evaluate, "NumpyPass", WrongPass)
    monkeypatch.setattr(evaluate, "MIN_REPEATS", 1)
    monkeypatch.setattr(evaluate, "MAX_REPEATS", 1)


def without_times(result):
    """The JSON without what differs between two runs."""
    for line in result["losses"]:
        del line["seconds"], line["repeats"]
        for key in ("seconds", "ratio") if line["comparison"] else ():
            del line["comparison"][key]
    return result


def by_loss(result):
    return {line["loss"]: line for line in result["losses"]}


# ---- what is computed


def test_numbers_of_a_small_file_are_those_computed_by_hand(run_json, tiny, tiny_coef):
    result = run_json(tiny, "--coef", tiny_coef, "--loss", "hinge")
    (line,) = result["losses"]
    assert line["loss"] == "hinge" and line["parameters"] == {"margin": 1.0, "kink_slope": 0.0}
    assert line["value"] == 0.25  # (0 + 0.5) / 2
    assert line["gradient_norm"] == pytest.approx(math.sqrt(0.5), rel=1e-15)  # (0, 0.5) and 0.5
    assert (line["active_rows"], line["errors"], line["comparison"]) == (1, 0, None)
    assert line["seconds"] > 0 and line["repeats"] >= 3
    assert (result["rows"], result["features"], result["nonzeros"]) == (2, 2, 2)
    assert result["classes"] == {"negative": -1.0, "positive": 1.0}
    assert result["class_rows"] == {"negative": 1, "positive": 1}
    assert result["coef"] == tiny_coef and result["dtype"] == "float64"
    report = result["margins"]
    assert (report["confident"], report["inside"], report["wrong"], report["support_vectors"]) == (0, 2, 0, 2)
    assert report["smallest_margin"] == 0.5
    assert report["margin_width"] == pytest.approx(2 / math.sqrt(4.25), rel=1e-15)


def test_numbers_of_a_small_multiclass_file_are_those_computed_by_hand(run_json, three, npy):
    result = run_json(three, "--coef", npy(THREE_COEF))
    lines = by_loss(result)
    values = {"crammer_singer": 1.5 / 3, "weston_watkins": 2.5 / 3, "one_vs_rest": 10.5 / 3}
    assert {name: line["value"] for name, line in lines.items()} == values
    assert list(lines) == list(MULTICLASS_LOSSES)
    # -1/3 of (1, 1) and 1 at the last class, +1/3 of it at the first.
    assert lines["crammer_singer"]["gradient_norm"] == pytest.approx(math.sqrt(6) / 3, rel=1e-15)
    assert [line["active_rows"] for line in lines.values()] == [1, 1, 3]
    assert {line["errors"] for line in lines.values()} == {1}
    assert lines["crammer_singer"]["parameters"] == {"base": "hinge", "margin": 1.0, "kink_slope": 0.0}
    assert result["classes"] == [4, 7, 9] and result["class_rows"] == [1, 1, 1]
    assert (result["rows"], result["features"], result["nonzeros"]) == (3, 2, 4)
    report = result["margins"]
    assert (report["confident"], report["inside"], report["wrong"], report["support_vectors"]) == (1, 1, 1, 2)
    assert report["smallest_margin"] == -0.5
    assert report["margin_width"] == pytest.approx(2 / math.sqrt(8.25), rel=1e-15)


def test_alpha_penalises_coef_and_not_the_intercept(run_json, tiny, tiny_coef):
    result = run_json(tiny, "--coef", tiny_coef, "--loss", "hinge", "--alpha", "0.5")
    (line,) = result["losses"]
    assert result["alpha"] == 0.5
    assert line["value"] == 0.25 + 0.25 * 4.25
    assert line["gradient_norm"] == pytest.approx(math.sqrt(1 + 0.75**2 + 0.5**2), rel=1e-15)


def test_a_coef_without_intercept_has_intercept_0(run_json, tiny, npy):
    coef = npy(np.array([2, -1], np.float32))
    lines = by_loss(run_json(tiny, "--coef", coef, "--loss", "perceptron", "squared_hinge"))
    assert list(lines) == ["perceptron", "squared_hinge"]
    assert [line["value"] for line in lines.values()] == [0.0, 0.0]  # margins 2 and 1


def test_errors_count_the_boundary_and_active_rows_follow_the_loss(run_json, svm, npy):
    data = svm("1 1:1\n-1 1:-2\n1 2:1\n-1 1:3\n")  # margins 1, 2, 0, -3
    lines = by_loss(run_json(data, "--coef", npy([1.0, 0.0]), "--all"))
    assert list(lines) == list(MARGIN_LOSSES)
    assert {line["errors"] for line in lines.values()} == {2}
    assert lines["hinge"]["active_rows"] == 2 and lines["huberized_hinge"]["active_rows"] == 3
    assert lines["logistic"]["active_rows"] == 4


def test_default_coef_gives_both_classes_a_mean_score_of_1(a9a, run_json):
    X, y = read_svmlight(a9a)
    coef, intercept = evaluate._nearest_mean(X, (y > 0).astype(int), 2)
    scores = hf.decision_function(X, coef[1] - coef[0], intercept[1] - intercept[0])
    assert np.mean(scores[y > 0]) == pytest.approx(1, abs=1e-12)
    assert np.mean(scores[y < 0]) == pytest.approx(-1, abs=1e-12)
    result = run_json(a9a, "--loss", "hinge")
    assert "class means" in result["coef"]
    assert result["margins"]["wrong"] == np.count_nonzero(y * scores <= 0)


def test_the_default_coef_picks_the_nearest_mean_with_a_mean_margin_of_1(four, run_json):
    means = np.array([four.X[four.y == k].mean(axis=0) for k in range(4)])
    distances = ((four.X[:, None] - means) ** 2).sum(axis=2)
    errors = np.count_nonzero(distances.argmin(axis=1) != four.y)
    assert run_json(four.svm)["losses"][0]["errors"] == errors
    scale = 2 / np.mean([((a - b) ** 2).sum() for a, b in itertools.combinations(means, 2)])
    for X in (four.X, read_svmlight(four.svm)[0]):
        coef, intercept = evaluate._nearest_mean(X, four.y, 4)
        scores = four.X @ coef.T + intercept
        np.testing.assert_allclose(np.diff(scores), -np.diff(distances) / 2 * scale, atol=1e-10)
        np.testing.assert_allclose(scores.sum(axis=1), scores.sum(axis=1)[0], atol=1e-10)
        of_class = np.array([scores[four.y == k].mean(axis=0) for k in range(4)])
        margins = [of_class[k, k] - of_class[k, j] for k in range(4) for j in range(4) if j != k]
        assert np.mean(margins) == pytest.approx(1, abs=1e-12)


def test_equal_class_means_give_zeros(run_json, svm):
    result = run_json(svm("1 1:1\n-1 1:1\n"), "--loss", "hinge")
    assert result["losses"][0]["value"] == 1.0 and result["margins"]["margin_width"] is None


def test_a9a_has_its_known_facts(a9a, run_json):
    result = run_json(a9a, "--loss", "hinge", "--dtype", "float32", "--threads", "1")
    assert (result["rows"], result["features"], result["nonzeros"]) == (32_561, 123, 451_592)
    assert result["class_rows"] == {"negative": 24_720, "positive": 7_841}
    assert (result["dtype"], result["threads"]) == ("float32", 1)
    assert result["level"] == hf.show_config(mode="dicts")["level"]


@pytest.mark.parametrize("negative, positive", [(-1, 1), (0, 1), (1, 2)])
def test_usual_labels_are_mapped_and_the_mapping_is_printed(shown, run_json, svm, negative, positive):
    data = svm(f"{positive} 1:1\n{negative} 2:1\n{negative} 2:1\n")
    result = run_json(data, "--loss", "hinge")
    assert tuple(result["classes"].values()) == (negative, positive)
    assert result["class_rows"] == {"negative": 2, "positive": 1}
    assert result["losses"][0]["value"] == 0.0  # all margins are 1: no label was taken for its opposite
    assert f"{negative} -> -1 (2 rows), {positive} -> +1 (1 row)" in shown(data)


@pytest.mark.parametrize("option", [["--classes", "-3,7"], ["--classes=-3,7"]])
def test_other_labels_are_named_by_classes(run_json, svm, option):
    result = run_json(svm("7 1:1\n-3 2:1\n"), *option)
    assert result["classes"] == {"negative": -3.0, "positive": 7.0}
    assert list(by_loss(result)) == ["hinge", "squared_hinge", "logistic"]


def test_classes_can_turn_the_usual_labels_round(run_json, tiny, tiny_coef):
    result = run_json(tiny, "--classes", "1,-1", "--coef", tiny_coef, "--loss", "hinge")
    assert result["losses"][0]["value"] == 1.75  # margins -1 and -0.5


def test_classes_name_the_rows_of_coef(run_json, fails, three, npy):
    result = run_json(three, "--coef", npy(THREE_COEF[[2, 0, 1]]), "--classes", "9,4,7")
    assert result["classes"] == [9, 4, 7]
    assert [line["value"] for line in result["losses"]] == [0.5, 2.5 / 3, 3.5]
    # A class without rows; its scores are far below all others.
    coef = npy(np.vstack([THREE_COEF, [[0, 0, -100]]]))
    result = run_json(three, "--coef", coef, "--classes", "4,7,9,-11")
    assert result["class_rows"] == [1, 1, 1, 0] and result["losses"][0]["value"] == 0.5
    message = fails(three, "--classes", "4,7,9,-11")
    assert message == f"{three} has no rows of class -11, so class means need --coef FILE"


def test_one_class_is_enough_with_a_coef(run_json, svm, tiny_coef):
    result = run_json(svm("1 1:1\n1 2:1\n"), "--classes", "0,1", "--coef", tiny_coef, "--loss", "hinge")
    assert result["losses"][0]["value"] == 0.75 and result["class_rows"] == {"negative": 0, "positive": 2}


def test_two_classes_are_the_binary_loss_of_the_difference(a9a, run_json):
    binary = run_json(a9a, "--loss", "hinge", "logistic")
    several = run_json(a9a, "--loss", "crammer_singer", "crammer_singer:logistic", "weston_watkins")
    values = [line["value"] for line in binary["losses"]]
    assert [line["value"] for line in several["losses"]] == pytest.approx([*values, values[0]], rel=1e-12)
    assert several["classes"] == [-1, 1] and several["class_rows"] == [24_720, 7_841]
    assert several["margins"]["wrong"] == binary["margins"]["wrong"]


def test_two_unusual_labels_need_no_names_for_a_multiclass_loss(run_json, fails, svm):
    path = svm("7 1:1\n3 2:1\n")
    assert run_json(path, "--loss", "one_vs_rest")["classes"] == [3, 7]
    assert run_json(path, "--loss", "one_vs_rest", "--classes", "7,3")["classes"] == [7, 3]
    assert "has the label 7" in fails(svm("7 1:1\n7 2:1\n"), "--loss", "one_vs_rest")


def test_all_layouts_give_the_same_numbers(run_json, four, tmp_path):
    header = b"\0\0\x0e\3" + np.array([900, 3, 4], ">u4").tobytes()
    (tmp_path / "rows").write_bytes(gzip.compress(header + four.X.astype(">f8").tobytes()))
    idx = [tmp_path / "rows", "--labels", four.labels, "--threads", "1"]
    expected, *results = (
        run_json(*data, "--all", "--alpha", "0.1") for data in ([four.svm], four.dense, idx)
    )
    for result in results:
        assert result["nonzeros"] == expected["nonzeros"] and result["class_rows"] == expected["class_rows"]
        for one, other in zip(expected["losses"], result["losses"], strict=True):
            assert other["value"] == pytest.approx(one["value"], rel=1e-12)
            assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-12)
            assert (other["active_rows"], other["errors"]) == (one["active_rows"], one["errors"])


def test_an_array_of_two_labels_is_binary(run_json, npy, tiny_coef):
    data = npy(np.eye(2), "rows.npy"), "--labels", npy([True, False], "labels.npy")
    result = run_json(*data, "--coef", tiny_coef, "--compare", "--all")
    assert result["classes"] == {"negative": 0.0, "positive": 1.0}
    lines = by_loss(result)
    assert lines["hinge"]["value"] == 0.25 and all(line["comparison"]["agree"] for line in lines.values())
    assert lines["hinge"]["comparison"]["library"] == "NumPy"


def test_blocks_of_rows_change_nothing(run_json, four, monkeypatch):
    for data in ([four.svm], four.dense):
        whole = without_times(run_json(*data))
        with monkeypatch.context() as patch:
            patch.setattr(compare, "BLOCK_NUMBERS", 100)
            assert without_times(run_json(*data)) == whole
            assert all(line["comparison"]["agree"] for line in run_json(*data, "--compare")["losses"])


def test_an_alias_is_its_loss_and_a_loss_is_shown_once(run_json, tiny):
    lines = by_loss(run_json(tiny, "--loss", "log_loss", "hinge", "--loss", "logistic"))
    assert list(lines) == ["logistic", "hinge"]


@pytest.mark.parametrize("coef", [[[2, 0.5]], [[2, 0.5, -1]]])
@pytest.mark.parametrize("dtype", ["f4", ">f8", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_row_of_coef_is_that_of_two_classes(run_json, tiny, npy, tmp_path, coef, dtype, order):
    flat, row = npy(np.array(coef[0], dtype), "flat.npy"), npy(np.array(coef, dtype, order=order), "row.npy")
    (tmp_path / "row.npy.gz").write_bytes(gzip.compress(Path(row).read_bytes()))
    expected, result = (
        without_times(run_json(tiny, "--loss", "hinge", "--coef", name)) for name in (flat, row + ".gz")
    )
    del expected["coef"], result["coef"]
    assert result == expected
    value = 0.25 if len(coef[0]) == 3 else 0.75  # margins 1 and 0.5; 2 and -0.5
    assert result["losses"][0]["value"] == value


# ---- NaN, and numbers far from 1


NAN_CASES = {
    "binary": ("1 1:nan\n-1 2:1\n", TINY_COEF, 1),
    "several": (THREE.replace("2:1", "2:nan", 1), THREE_COEF, 2),
    "dense": ([[1, 0], [0, np.nan], [1, 1]], THREE_COEF, 2),
}


@pytest.mark.parametrize("data, coef, errors", NAN_CASES.values(), ids=NAN_CASES)
def test_nan_in_the_data_is_null_in_json_and_nan_in_the_table(shown, run_json, svm, npy, data, coef, errors):
    if isinstance(data, str):
        files = [svm(data)]
    else:
        files = [npy(data, "rows.npy"), "--labels", npy([4, 7, 9], "labels.npy")]
    arguments = *files, "--coef", npy(coef), "--all", "--compare"
    for line in run_json(*arguments)["losses"]:
        assert line["value"] is None and line["errors"] == errors and line["comparison"]["agree"], line
    assert " nan " in shown(*arguments)


def test_nan_in_one_block_of_rows(run_json, svm, tiny_coef, monkeypatch):
    """The smallest margin is NaN, whichever block the NaN is in."""
    monkeypatch.setattr(compare, "BLOCK_NUMBERS", 1)
    for text in ("1 1:nan\n-1 2:1\n1 1:1\n", "1 1:1\n-1 2:nan\n1 1:1\n", "1 1:1\n-1 2:1\n1 2:nan\n"):
        margins = run_json(svm(text), "--coef", tiny_coef)["margins"]
        assert margins["smallest_margin"] is None and margins["wrong"] >= 1


@pytest.mark.parametrize("power", [-700, -500, 0, 500, 1000])
@pytest.mark.parametrize("layout", ["csr", "dense"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_default_coef_scales_with_the_features(four, power, layout, n_classes):
    """Squares of features beyond 1e154 overflow, those below 1e-162 vanish; powers of two change no bit."""
    y = four.y % n_classes
    X = four.X if layout == "dense" else read_svmlight(four.svm)[0]
    coef, intercept = evaluate._nearest_mean(X, y, n_classes)
    scaled = np.ldexp(X, power) if layout == "dense" else dataclasses.replace(X, data=np.ldexp(X.data, power))
    other, other_intercept = evaluate._nearest_mean(scaled, y, n_classes)
    assert np.array_equal(other, np.ldexp(coef, -power)) and np.array_equal(other_intercept, intercept)
    assert np.abs(coef).min() > 0


@pytest.mark.parametrize("size", ["1e300", "1e-200", "5e-324"])
def test_features_far_from_1_are_told_apart(shown, run_json, svm, size):
    arguments = svm(f"1 1:{size} 3:1\n-1 2:{size} 3:1\n"), "--loss", "hinge", "squared_hinge"
    if size == "5e-324":  # coef would be 4e323, beyond all numbers: nothing right to show, but nothing breaks
        assert shown(*arguments)
        return
    for line in run_json(*arguments)["losses"]:
        assert line["errors"] == 0 and line["value"] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
@pytest.mark.parametrize("loss, coef", [("hinge", np.zeros(2)), ("crammer_singer", np.zeros((2, 2)))])
def test_the_norm_of_a_gradient_neither_overflows_nor_underflows(run_json, svm, npy, scale, loss, coef):
    data = svm(f"1 1:{3 * scale!r} 2:{4 * scale!r}\n" * 2)
    result = run_json(data, "--coef", npy(coef), "--classes", "0,1", "--loss", loss)
    # d loss / d score is -1, and +1 for the other class; the intercepts have a gradient of 1 each.
    length = 5 * scale if scale > 1 else 1
    expected = length * math.sqrt(coef.ndim)
    assert result["losses"][0]["gradient_norm"] == pytest.approx(expected, rel=1e-15)


def test_the_callers_floating_point_state_changes_nothing(run_json, svm, library):
    for values in (("1e300", "-1e300"), ("1e-200", "5e-324"), ("inf", "nan"), ("1e39", "1e-45")):
        data = svm("1 1:{} 2:1\n-1 1:{} 2:2\n2 1:1\n".format(*values))
        for dtype in ("float32", "float64"):
            for classes in ([], ["--loss", "crammer_singer:logistic", "one_vs_rest:psi_m"]):
                command = [data, "--dtype", dtype, "--compare", *classes]
                expected = without_times(run_json(*command))
                with np.errstate(all="raise"):
                    assert without_times(run_json(*command)) == expected


def test_huge_labels_are_written_briefly(shown, run_json, fails, svm):
    path = svm("1e300 1:1\n-1e300 2:1\n9007199254740992 1:1\n")
    assert "-1e+300 (1 row), 9007199254740992 (1 row), 1e+300 (1 row)" in shown(path)
    assert run_json(path)["classes"] == [-1e300, 2**53, 1e300]
    path = svm("".join(f"{k}e300 1:1\n" for k in range(1, 40)))
    assert "has the labels 1e+300, 2e+300, " in fails(path, "--classes", "0,1")


def test_a_clock_that_sees_no_time_pass(shown, run_json, tiny, monkeypatch):
    monkeypatch.setattr(evaluate.time, "perf_counter", lambda: 1.0)
    assert run_json(tiny, "--compare")["losses"][0]["comparison"]["ratio"] is None
    assert shown(tiny, "--compare")


# ---- the comparison

SEVERAL = [f"{name}:{base}" for name in MULTICLASS_LOSSES for base in MARGIN_LOSSES]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["a9a", "four", "four, dense"])
def test_compare_agrees_for_all_losses(a9a, four, run_json, library, kind, dtype):
    data = {"a9a": [a9a], "four": [four.svm], "four, dense": four.dense}[kind]
    names = list(MARGIN_LOSSES) if kind == "a9a" else SEVERAL
    result = run_json(*data, "--loss", *names, "--compare", "--dtype", dtype, "--alpha", "0.01")
    assert list(by_loss(result)) == names or kind != "a9a"
    assert len(result["losses"]) == len(names)
    assert result["threads"] == 1  # as the other side
    # Coarser than what decided `agree`, but from outside: n roundings of sums of size 1.
    rounding = np.finfo(dtype).eps * (451_592 if kind == "a9a" else 900 * 12 * 4)
    for line in result["losses"]:
        other = line["comparison"]
        assert other["library"] == ("NumPy" if "dense" in kind else library) and other["agree"], line
        assert other["ratio"] == pytest.approx(other["seconds"] / line["seconds"])
        assert other["value_difference"] <= rounding * max(1, line["value"])
        assert other["gradient_difference"] <= rounding * max(1, line["gradient_norm"])


@pytest.mark.parametrize("dtype, error", [("float64", 1e-8), ("float32", 0.02)])
@pytest.mark.parametrize("part", ["value", "slope"])
@pytest.mark.parametrize(
    "loss", [*MARGIN_LOSSES, "crammer_singer", "weston_watkins:logistic", "one_vs_rest:squared_hinge"]
)
def test_compare_notices_a_wrong_formula(
    a9a_head, four, shown, run_json, monkeypatch, dtype, error, part, loss
):
    for data in [[a9a_head]] if loss in MARGIN_LOSSES else [[four.svm], four.dense]:
        arguments = *data, "--loss", loss, "--compare", "--dtype", dtype
        assert run_json(*arguments)["losses"][0]["comparison"]["agree"] is True
        with monkeypatch.context() as patch:
            make_numpy_wrong(patch, part, error)
            assert run_json(*arguments)["losses"][0]["comparison"]["agree"] is False
            assert shown(*arguments).count("  NO\n") == 1


@pytest.mark.parametrize("option", [[], ["--n-features", "5"]])
def test_classes_without_any_feature(run_json, svm, library, option):
    values = {"crammer_singer": 1, "weston_watkins": 2, "one_vs_rest": 3}
    for line in run_json(svm("1\n2\n3\n"), "--compare", *option)["losses"]:
        assert line["value"] == values[line["loss"]]
        assert line["errors"] == 3 and line["comparison"]["agree"]
    for line in run_json(svm("1\n-1\n"), "--compare", *option)["losses"]:
        assert line["errors"] == 2 and line["comparison"]["agree"]


def test_scipy_is_imported_for_compare_only(tiny, tmp_path):
    code = (
        "import sys, hingefast.cli.main as cli\n"
        f"assert cli.main(['eval', {tiny!r}, '--all']) == 0\n"
        "assert not [name for name in sys.modules if name.startswith('scipy')]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_mnist_and_news20_agree_with_numpy(run_json, data_dir):
    mnist = [data_dir / f"mnist-train-{part}-ubyte.gz" for part in ("images-idx3", "labels-idx1")]
    news = data_dir / "news20_bydate.train.svm.xz"
    if not all(path.exists() for path in [*mnist, news]):
        pytest.skip("MNIST or news20_bydate is absent")
    for arguments, shape, nonzeros, n_classes, smallest, largest in (
        ([mnist[0], "--labels", mnist[1]], (60_000, 784), 8_994_156, 10, 5_421, 6_742),
        ([news], (11_314, 56_755), 1_780_675, 20, 377, 600),
    ):
        result = run_json(*arguments, "--compare")
        assert (result["rows"], result["features"]) == shape and result["nonzeros"] == nonzeros
        assert result["classes"] == list(range(n_classes))
        assert (min(result["class_rows"]), max(result["class_rows"])) == (smallest, largest)
        for line in result["losses"]:
            assert line["comparison"]["agree"], line
            # The classes are better told apart than by chance, and not perfectly.
            assert 0 < line["errors"] < shape[0] * (1 - 1 / n_classes)


# ---- how it is shown

A9A_FACTS = ["32,561", "123", "451,592", "11.3 %", "float64", "-1 -> -1 (24,720 rows)"]
ALL_SEVERAL = [f"{name}{base}" for name in MULTICLASS_LOSSES for base in ("", ":squared_hinge", ":logistic")]


@pytest.mark.parametrize(
    "arguments, losses",
    [
        ("a9a.xz --all", MARGIN_LOSSES),
        ("a9a.xz --all --compare", MARGIN_LOSSES),
        ("a9a.xz --alpha 0.1 --compare --threads 2", evaluate.DEFAULT_LOSSES),
        ("four.svm --all --compare", ALL_SEVERAL),
        ("rows.npy --labels labels.npy --compare", MULTICLASS_LOSSES),
    ],
)
def test_the_table_is_aligned_narrow_complete_and_that_of_the_json(
    a9a, four, shown, run_json, monkeypatch, arguments, losses
):
    is_binary = arguments.startswith("a9a")
    monkeypatch.chdir(Path(a9a if is_binary else four.svm).parent)
    out = shown(*arguments.split())
    assert out.isascii()
    lines = out.splitlines()
    start = "Margins of 32,561 rows" if is_binary else "Margins of 900 rows (score of the true class"
    (report,) = (i for i, line in enumerate(lines) if line.startswith(start))
    assert max(map(len, lines if is_binary else lines[:report])) <= 100
    (head,) = (i for i, line in enumerate(lines) if line.startswith("loss "))
    table = lines[head : lines.index("", head)]
    assert len({len(line) for line in table}) == 1  # the last column ends where it began
    for column in table[0].split()[1:]:
        assert any(line.startswith(column) for line in lines[head + len(table) :]), (
            f"{column} is not explained"
        )

    counts = zip(FOUR_LABELS, np.bincount(four.y), strict=True)
    listed = ", ".join(f"{label} ({n_rows} rows)" for label, n_rows in counts)
    assert all(fact in out for fact in (A9A_FACTS if is_binary else [listed, "900"]))
    assert ("labels.npy" in out) == ("--labels" in arguments)
    assert [row.split()[0] for row in table[1:]] == list(losses)
    for row, line in zip(table[1:], run_json(*arguments.split())["losses"], strict=True):
        cells = [f"{line['value']:.6g}", f"{line['gradient_norm']:.5g}"]
        cells += [f"{line['active_rows']:,}", f"{line['errors']:,}"]
        assert row.split()[:5] == [line["loss"], *cells]


def test_multiclass_json_has_the_keys_of_binary_json(run_json, three, tiny, four):
    binary, several = run_json(tiny), run_json(three)
    assert several.keys() == binary.keys() and several["losses"][0].keys() == binary["losses"][0].keys()
    dense = run_json(*four.dense)
    assert dense.keys() == binary.keys() | {"labels_file"} and dense["labels_file"] == four.labels


def test_many_classes_are_counted_not_listed(shown, svm):
    labels = [*range(10, 20), 1_000_000, 1_000_000]
    out = shown(svm("".join(f"{label} {i + 1}:1\n" for i, label in enumerate(labels))))
    assert "11 classes, 10, 11, ..., 1000000, each of 1 to 2 rows" in out


@pytest.mark.parametrize(
    "seconds, text",
    [
        (1.5, "1.50 s"),
        (123.4, "123 s"),
        (0.0123, "12.3 ms"),
        (0.9999, "1.00 s"),
        (0.00099999, "1.00 ms"),
        (3.21e-6, "3.21 us"),
        (0.000456, "456 us"),
        (4321.0, "4,321 s"),
        (0.09999, "100 ms"),
        (9.999e-6, "10.0 us"),
        (0.0, "0.00 us"),
    ],
)
def test_durations_have_three_digits_and_a_unit(seconds, text):
    assert _duration(seconds) == text


def test_without_arguments_it_explains_itself_by_an_example_that_runs(run, svm, monkeypatch, tmp_path):
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "hingefast eval" in out and "hingefast info" in out and "--help" in out
    lines = [line.strip() for line in out.splitlines()]
    printf = next(line for line in lines if line.startswith("printf"))
    command = next(line for line in lines if line.startswith("hingefast eval tiny.svm"))
    svm(printf.split("'")[1].replace("\\n", "\n"), "tiny.svm")
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*command.split()[1:])
    assert (code, err) == (0, "") and "psi_g" in out


def test_help_names_every_loss_and_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(["eval", "--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    options = "labels loss all coef model alpha dtype threads classes n-features zero-based compare json"
    assert all(f"--{option}" in out for option in options.split())
    assert all(name in out for name in MARGIN_LOSSES)


def test_help_of_fit_names_every_loss_and_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(["fit", "--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    options = (
        "labels output loss C intercept method tol max-iter test test-labels seed dtype threads classes n-features "
        "zero-based json"
    )
    assert all(f"--{option}" in out for option in options.split())
    assert all(name in out for name in [*MARGIN_LOSSES, *METHODS])


def test_info_prints_the_configuration(run, capsys):
    hf.show_config()
    expected = capsys.readouterr().out
    assert run("info") == (0, expected, "") and "level" in expected


# ---- errors of the user


def test_missing_and_broken_files(fails, svm, tmp_path):
    absent = tmp_path / "absent.svm"
    assert fails(absent) == f"cannot read {absent}: No such file or directory"
    assert fails(tmp_path).startswith(f"cannot read {tmp_path}: ")
    broken = svm("1 1:2\n1 2:x\n")
    assert fails(broken) == f"{broken}: line 2: the value in '2:x' is not a number"
    assert fails(svm(""), "--json") == f"{broken}: the file has no rows"


def test_unknown_losses(fails, tiny):
    message = fails(tiny, "--loss", "hinge", "hing")
    assert message.startswith("loss is 'hing', must be one of hinge, ")
    assert all(name in message for name in [*MARGIN_LOSSES, *MULTICLASS_LOSSES])
    message = fails(tiny, "--loss", "crammer_singer:hing")
    assert message.startswith("loss is 'crammer_singer:hing', must")
    for name in ("top_k_hinge", "top_k_hinge:5", "cost_sensitive_hinge"):
        assert fails(tiny, "--loss", name).startswith(f"{name} is not for the command line: ")


def test_binary_losses_of_a_multiclass_file(fails, four):
    for data, labels in (([four.svm], four.svm), (four.dense, four.labels)):
        message = fails(*data, "--loss", "hinge")
        assert message.startswith(f"hinge is a loss of two classes, {labels} has 4; ")
        assert all(name in message for name in MULTICLASS_LOSSES)
    assert fails(four.svm, "--loss", "hinge", "weston_watkins") == (
        "hinge wants one score a row and weston_watkins one for each class: evaluate them one after the other"
    )
    message = fails(four.svm, "--classes", "-2,0,5")
    assert message == f"{four.svm} has the labels -2, 0, 5, 9, --classes names -2, 0 and 5"
    message = fails(four.svm, "--classes", ",".join(map(str, range(100, 5000))))
    assert message.startswith(f"{four.svm} has the labels -2, 0, 5, 9, --classes names 100, 101, ")


@pytest.mark.parametrize(
    "labels, option, parts",
    [
        ("1 1", [], ["the label 1,", "--classes NEG,POS"]),
        ("-1 0", [], ["the labels -1, 0,", "--classes NEG,POS"]),
        ("3 7", [], ["the labels 3, 7,", "--classes NEG,POS"]),
        ("0 1 2.5", [], ["3 labels (0, 1, 2.5)", "integers"]),
        (" ".join(f"{i}.5" for i in range(8)), [], ["8 labels (0.5, 1.5, 2.5, ", ", 7.5)", "integers"]),
        (" ".join(f"{i}.5" for i in range(9)), [], ["9 labels (0.5, 1.5, 2.5, ", ", 7.5, ...)", "integers"]),
        ("0 1 2", ["--classes", "0,1"], ["the labels 0, 1, 2,", "names 0 and 1"]),
        ("1 1", ["--classes", "0,1"], ["one class only", "--coef"]),
    ],
)
def test_labels_that_do_not_fit(fails, svm, labels, option, parts):
    path = svm("".join(f"{label} 1:1\n" for label in labels.split()))
    message = fails(path, *option)
    assert message.startswith(path) and all(part in message for part in parts)


COEF_FILES = [  # (data, the array, the message after the name of the file)
    (
        TINY,
        np.ones(5),
        " has 5 numbers, must have 2 (the features) or 3 (with the intercept last); "
        "--n-features 5 makes the data wider",
    ),
    (
        TINY,
        np.ones(1),
        " has 1 numbers, must have 2 (the features) or 3 (with the intercept last); "
        "the largest id is 2, in line 2 of {}",
    ),
    (TINY, np.ones((2, 2)), " must be 1-D, or one row, for two classes, got shape (2, 2)"),
    (TINY, np.ones(2, complex), " must hold real numbers, got complex128"),
    (TINY, np.array([1, "x"], object), " must hold real numbers, got object"),
    (
        THREE,
        THREE_COEF[:, :1],
        " has 1 numbers a class, must have 2 (the features) or 3 (with the intercept last); "
        "the largest id is 2, in line 2 of {}",
    ),
    (
        THREE,
        np.ones((3, 5)),
        " has 5 numbers a class, must have 2 (the features) or 3 (with the intercept last); "
        "--n-features 5 makes the data wider",
    ),
    (
        THREE,
        np.ones((2, 3)),
        " must have shape (3, 2) or (3, 3), a row for each class, got (2, 3); save its transpose",
    ),
    (THREE, np.ones(3), " must have shape (3, 2) or (3, 3), a row for each class, got (3,)"),
    (THREE, np.ones((3, 2, 1)), " must be 1-D or 2-D to be read as coef, got shape (3, 2, 1)"),
]


@pytest.mark.parametrize("text, coef, message", COEF_FILES)
def test_coef_files_that_do_not_fit(fails, svm, npy, text, coef, message):
    data, path = svm(text), npy(coef)
    assert fails(data, "--coef", path) == path + message.format(data)


def test_coef_files_that_are_none(fails, run_json, tiny, npy, tmp_path):
    path = tmp_path / "coef"
    for content in (b"", b"1 2 3"):
        path.write_bytes(content)
        assert fails(tiny, "--coef", path) == f"{path} must be an IDX or .npy file to be read as coef"
    with path.open("wb") as file:
        np.savez(file, np.ones(2))
    assert fails(tiny, "--coef", path).startswith(f"{path} is a zip archive (.zip, .npz): unpack it;")
    path.unlink()
    assert fails(tiny, "--coef", path) == f"cannot read {path}: No such file or directory"
    coef = npy(np.ones(5))
    assert run_json(tiny, "--coef", coef, "--n-features", "5")["features"] == 5
    assert fails(tiny, "--coef", coef, "--n-features", 9).endswith("; --n-features says so")


def test_data_files_that_do_not_fit(fails, three, four, npy, tmp_path):
    assert fails(four.rows) == (
        f"{four.rows} is an .npy file, which holds no labels: name them by --labels FILE"
    )
    message = fails(three, "--labels", four.labels)
    assert message.endswith("which holds its labels: leave out --labels")
    absent = tmp_path / "absent"
    assert fails(four.rows, "--labels", absent) == f"cannot read {absent}: No such file or directory"
    assert fails(*four.dense, "--n-features", "13").endswith("has 12 columns, --n-features says 13")
    labels = npy(np.arange(900) / 2)
    message = fails(four.rows, "--labels", labels)
    assert message.startswith(f"{labels} has 900 labels (0, 0.5, 1, ") and "integers" in message


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["--alpha", "-1"], "argument --alpha: must be finite and >= 0"),
        (["--alpha", "nan"], "argument --alpha: must be finite and >= 0"),
        (["--alpha", "x"], "argument --alpha: must be finite and >= 0, got 'x'"),
        (["--alpha", "1e400"], "argument --alpha: must be finite and >= 0, got '1e400'"),
        (["--alpha", "1_0"], "argument --alpha: must be finite and >= 0, got '1_0'"),
        (["--alpha", "a\nb"], r"argument --alpha: must be finite and >= 0, got 'a\nb'"),
        (["--alpha", "9" * 5000 + "x"], "argument --alpha: must be finite and >= 0, got '999"),
        (["--threads", "0"], "argument --threads: must be a positive integer or -1"),
        (["--threads", "2.0"], "argument --threads: must be a positive integer or -1, got '2.0'"),
        (["--threads", "1_0"], "argument --threads: must be a positive integer or -1, got '1_0'"),
        (["--threads", "9" * 5000], "argument --threads: must be a positive integer or -1, got '999"),
        (["--n-features", "1_0"], "argument --n-features: must be a positive integer, got '1_0'"),
        (["--n-features", "\u0663"], "argument --n-features: must be a positive integer, got '\u0663'"),
        (["--n-features", "9" * 5000], "argument --n-features: must be a positive integer, got '999"),
        (["--n-features", str(2**63)], "argument --n-features: must be a positive integer, got '9223"),
        (
            ["--classes", "1_0,2"],
            "argument --classes: must be two numbers NEG,POS or more integers, got '1_0,2'",
        ),
        (["--classes", "-1,1e400"], "argument --classes: must be different finite numbers"),
        (
            ["--classes", "," * 5000],
            "argument --classes: must be two numbers NEG,POS or more integers, got ',,,",
        ),
        (["--loss", "x" * 5000], "loss is 'xxx"),
        (["--loss", "top_k_hinge" * 500], "... is not for the command line"),
        (["--loss", "a\nb"], r"loss is 'a\nb', must be one of"),
        (["--dtype", "x" * 5000], '... (see "hingefast eval --help")'),
        (["--" + "x" * 5000], '... (see "hingefast --help")'),
        (["a\nb"], r"unrecognized arguments: a\nb"),
        (["--zero-based=1"], "argument --zero-based"),
        (["--n-features", "0"], "argument --n-features: must be a positive integer"),
        (["--n-features", "1"], "line 2: the id in '2:1' is larger than n_features=1"),
        (["--classes", "1"], "argument --classes: must be two numbers NEG,POS or more integers"),
        (["--classes", "1,x"], "argument --classes: must be two numbers NEG,POS or more integers"),
        (["--classes", "1,1"], "argument --classes: must be different finite numbers"),
        (["--classes", "0,nan"], "argument --classes: must be different finite numbers"),
        (["--classes", "0,1,2.5"], "argument --classes: more than two labels must be integers"),
        (["--dtype", "float16"], "argument --dtype"),
        (["--all", "--loss", "hinge"], "not allowed with argument --all"),
        (["--frobnicate"], "--frobnicate"),
    ],
)
def test_options_out_of_range(fails, tiny, arguments, part):
    assert part in fails(tiny, *arguments)


def test_commands_and_options_in_the_wrong_place(fails, tiny):
    assert "before --loss" in fails("--loss", "hinge", tiny)
    assert "frobnicate" in fails(command="frobnicate")


def test_a_broken_thread_setting_is_told_before_the_file_is_read(
    fails, run_json, tiny, tmp_path, monkeypatch
):
    monkeypatch.setenv("HINGEFAST_NUM_THREADS", "many")
    assert "HINGEFAST_NUM_THREADS is 'many'" in fails(tmp_path / "absent")
    assert "HINGEFAST_NUM_THREADS is 'many'" in fails(command="info")
    assert run_json(tiny, "--threads", "1")["threads"] == 1  # which asks nobody else


@pytest.mark.parametrize("text", ["all", "0", "3500m", "4.0", "-3", "9" * 5000])
def test_what_others_may_mean_by_their_variable_is_ignored(run, run_json, tiny, monkeypatch, text):
    monkeypatch.delenv("HINGEFAST_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    run_json(tiny)
    assert run("info")[0] == 0


# ---- memory that the number of features decides


@pytest.mark.parametrize("feature_id", [2**42, 2**48, 2**60, 2**63 - 1])
@pytest.mark.parametrize("zero_based", [False, True])
def test_an_id_too_large_for_memory_is_told_with_its_line(fails, svm, feature_id, zero_based):
    path = svm(f"# a comment\n1 1:1\n\n-1 {feature_id - zero_based}:1\n1 {2**41}:1\n")
    arguments = (path, "--zero-based") if zero_based else (path,)
    assert fails(*arguments) == (
        f"not enough memory: coef needs {feature_id:,} numbers; "
        f"the largest id is {feature_id - zero_based}, in line 4 of {path}"
    )
    assert fails(*arguments, "--loss", "crammer_singer").startswith(
        f"not enough memory: coef needs {feature_id:,} numbers for each of 2 classes; the largest id is "
    )


def test_memory_that_runs_out_is_told(fails, tiny, three, svm, npy, monkeypatch):
    """Wherever it does: the number of features is told where it is what takes the memory."""

    def nothing_left(*arguments, **keywords):
        raise MemoryError

    wide = svm("1 1:1\n-1 9:1\n")
    dense = npy(np.eye(3), "rows.npy"), "--labels", npy([3, 1, 2], "labels.npy")
    with monkeypatch.context() as patch:
        patch.setattr(hf, "linear_value_and_grad", nothing_left)
        assert fails(wide) == (
            f"not enough memory: coef needs 9 numbers; the largest id is 9, in line 2 of {wide}"
        )
        assert fails(tiny) == "not enough memory to evaluate 2 numbers"
        assert fails(*dense) == "not enough memory to evaluate 9 numbers"
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "read_data", nothing_left)
        assert fails(tiny) == f"not enough memory to read {tiny}"
    with monkeypatch.context() as patch:
        patch.setattr(inputs, "_physical_memory", lambda: 8 * (2 * 3 + 3) * 2 - 1)
        assert "coef needs 2 numbers for each of 3 classes" in fails(three)
    assert fails(tiny, "--n-features", 2**63 - 1) == (
        f"not enough memory: coef needs {2**63 - 1:,} numbers; --n-features says so"
    )


# ---- ids that count from 0


def test_ids_count_from_0_where_the_file_or_the_option_says_so(run_json, fails, svm, npy, tiny_coef):
    says_zero, rows = "# Column indices are zero-based\n", TINY.replace("1:1", "0:1").replace("2:1", "1:1")
    for content, option in (
        (says_zero + rows, []),
        (rows, ["--zero-based"]),
        (says_zero + TINY, ["--no-zero-based"]),
    ):
        result = run_json(svm(content), "--loss", "hinge", "--coef", tiny_coef, *option)
        assert result["features"] == 2 and result["losses"][0]["value"] == 0.25
    data, coef = svm(TINY.replace("1:1", "0:1")), npy([2.0, 9.0, 0.5, -1.0])
    result = run_json(data, "--loss", "hinge", "--coef", coef, "--zero-based", "--n-features", "3")
    assert result["losses"][0]["value"] == 0.25
    path = svm(rows)
    assert fails(path) == (
        f"{path}: line 1: the id in '0:1' must be at least 1 (--zero-based reads ids that count from 0)"
    )


# ---- names that a terminal may not know


NAMES = ["\u0434\u0430\u043d\u043d\u044b\u0435", "d\udce9", "a\nb", "\x1b[31m"]


@pytest.fixture
def run_in(monkeypatch):
    """Run main() with outputs of an encoding; return (exit code, stdout, stderr)."""

    def run_in(encoding, *arguments):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n") for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            code = main.main(list(arguments))
        return code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)

    return run_in


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "utf-16"])
@pytest.mark.parametrize("name", NAMES)
def test_names_that_the_output_cannot_encode_are_escaped(run_in, tmp_path, tiny_coef, name, encoding):
    data, coef, absent = (str(tmp_path / (name + suffix)) for suffix in (".svm", ".npy", ".none"))
    try:
        Path(data).write_text(TINY)
        os.rename(tiny_coef, coef)
    except (OSError, ValueError):
        pytest.skip("no file can be called so here")
    code, out, err = run_in(encoding, "eval", data, "--coef", coef)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    shown = name if name.isprintable() else name.encode("unicode_escape").decode()
    shown = shown.encode(encoding, "backslashreplace").decode(encoding)
    assert lines[0] == str(tmp_path / shown) + ".svm" and str(tmp_path / shown) + ".npy" in lines[6]

    code, out, err = run_in(encoding, "eval", data, "--json")
    assert (code, err) == (0, "") and json.loads(out)["file"] == data

    message = f"hingefast: error: cannot read {tmp_path / shown}.none: No such file or directory\n"
    assert run_in(encoding, "eval", absent) == (2, "", message)


def test_a_long_name_makes_a_short_message(fails, tmp_path):
    for name in ("x" * 5000, "\u0434" * 3000, "\n" * 3000, "a/" * 2000):
        assert len(fails(tmp_path / name)) < 480
        assert len(fails("data", "--dtype", name)) < 480
    assert fails("") == "cannot read '': No such file or directory"
    assert fails("a\0b") == r"cannot read a\x00b: No such file or directory"


# ---- files that cannot be read


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no such file here")
def test_a_file_whose_reading_fails_is_named(fails, four):
    assert fails("/proc/self/mem") == "cannot read /proc/self/mem: Input/output error"
    for command in ([four.rows, "--labels"], [four.svm, "--coef"]):
        assert fails(*command, "/proc/self/mem").startswith("cannot read /proc/self/mem: ")


def test_folders_and_files_without_permission_are_named(fails, svm, tiny, four, tmp_path):
    closed = svm(TINY, "closed")
    os.chmod(closed, 0)
    files = [(tmp_path, "Is a directory")] if sys.platform != "win32" else []
    if not os.access(closed, os.R_OK):
        files.append((closed, "Permission denied"))
    for path, reason in files:
        for command in ([path], [four.rows, "--labels", path], [tiny, "--coef", path]):
            assert fails(*command) == f"cannot read {path}: {reason}"


# ---- as a process


def process(*command, **keywords):
    """Run a command on one thread; stdout and stderr are bytes unless told otherwise."""
    variables = {**os.environ, "HINGEFAST_NUM_THREADS": "1", **keywords.pop("variables", {})}
    keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **keywords}
    return subprocess.run([*map(str, command)], env=variables, timeout=300, check=False, **keywords)


# Every warning is an error.
HINGEFAST = (sys.executable, "-P", "-W", "error", "-m", "hingefast")


def shell(command, redirection, **variables):
    """Run hingefast behind a redirection of a POSIX shell."""
    script = f'exec "{sys.executable}" {" ".join(HINGEFAST[1:])} {command} {redirection}'
    return process("sh", "-c", script, variables=variables)


def test_a_name_that_the_output_cannot_encode(tiny, tmp_path):
    name = str(tmp_path / NAMES[0])
    shown = name.encode("ascii", "backslashreplace")
    ascii_output = {"PYTHONIOENCODING": "ascii"}
    done = process(*HINGEFAST, "eval", name, variables=ascii_output)
    message = b"hingefast: error: cannot read %s: No such file or directory\n" % shown
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", message)
    os.rename(tiny, name)
    done = process(*HINGEFAST, "eval", name, variables=ascii_output)
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(shown)


COMMANDS = [
    "",
    "--help",
    "info",
    "eval --help",
    "eval {} --all --compare",
    "eval {} --json",
    "fit --help",
    f"fit {{}} -o {os.devnull}",
]
needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="the redirections are those of a POSIX shell")


@needs_sh
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such file here")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told(tiny, command, unbuffered):
    done = shell(command.format(tiny), ">/dev/full", PYTHONUNBUFFERED=unbuffered)
    message = b"hingefast: error: cannot write: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, message)


@needs_sh
@pytest.mark.parametrize("command", COMMANDS)
def test_closed_outputs(tiny, command):
    closed = b"hingefast: error: cannot write: the output is closed\n"
    for redirection, code, told in (
        (">&-", 2, closed),
        (">&- 2>&-", 2, b""),
        ("2>&-", 0, b""),
        ("<&-", 0, b""),
    ):
        done = shell(command.format(tiny), redirection)
        assert (done.returncode, done.stderr) == (code, told) and bool(done.stdout) == (code == 0)


@needs_sh
@pytest.mark.parametrize("redirection", ["2>&-", ">&- 2>&-", "2>/dev/full", ">/dev/full 2>/dev/full"])
def test_errors_that_cannot_be_told_keep_their_code(redirection):
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("no such file here")
    done = shell("eval", redirection)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


def test_an_output_without_a_file_behind_it(monkeypatch, capsys):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert main.main([]) == 2
    assert capsys.readouterr().err == "hingefast: error: cannot write: No space left on device\n"
    monkeypatch.setattr(sys, "stderr", Full())
    assert main.main([]) == 2


def test_python_m_hingefast_is_the_command(tiny, tmp_path):
    command = [sys.executable, "-m", "hingefast", "eval", tiny, "--loss", "hinge", "--json"]
    done = process(*command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"") and json.loads(done.stdout)["rows"] == 2
    done = process(*command, "--loss", "nothing", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"hingefast: error: loss is 'nothing'")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_pipe_ends_quietly(tiny, tmp_path, command):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = process(
            sys.executable, "-m", "hingefast", *command.format(tiny).split(), cwd=tmp_path, stdout=writing
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c_ends_quietly(run, tiny, monkeypatch):
    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "read_data", interrupted)
    assert run("eval", tiny) == (130, "", "")
