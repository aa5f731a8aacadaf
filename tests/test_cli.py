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
import reference

import hingefast as hf
from hingefast.cli import compare, evaluate, main
from hingefast.cli.numpy_losses import NUMPY_LOSSES
from hingefast.cli.text import _duration
from hingefast.io.svmlight import read_svmlight
from hingefast.losses import MARGIN_LOSSES
from hingefast.multiclass import MULTICLASS_LOSSES

A9A = Path(__file__).resolve().parents[1] / "examples" / "a9a.xz"

TINY = "+1 1:1\n-1 2:1\n"  # with coef (2, 0.5) and intercept -1: scores 1, -0.5; margins 1, 0.5


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
def tiny(tmp_path):
    path = tmp_path / "tiny.svm"
    path.write_text(TINY)
    return str(path)


@pytest.fixture
def tiny_coef(tmp_path):
    path = tmp_path / "coef.npy"
    np.save(path, [2.0, 0.5, -1.0])
    return str(path)


@pytest.fixture
def run(capsys):
    """Run main(); return (exit code, stdout, stderr)."""

    def run(*arguments):
        code = main.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def run_json(run):
    """Run main() with --json, which must succeed; return the object."""

    def run_json(*arguments):
        code, out, err = run(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out, parse_constant=pytest.fail)  # no NaN, no Infinity: not JSON

    return run_json


@pytest.fixture
def fails(run):
    """Run main(), which must fail as the user's error; return the message."""

    def fails(*arguments):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("hingefast: error: ") and err.count("\n") == 1
        return err.removeprefix("hingefast: error: ").rstrip("\n")

    return fails


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


# ---- what is computed


def test_numbers_of_a_small_file_are_those_computed_by_hand(run_json, tiny, tiny_coef):
    result = run_json("eval", tiny, "--coef", tiny_coef, "--loss", "hinge")
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


def test_alpha_penalises_coef_and_not_the_intercept(run_json, tiny, tiny_coef):
    result = run_json("eval", tiny, "--coef", tiny_coef, "--loss", "hinge", "--alpha", "0.5")
    (line,) = result["losses"]
    assert result["alpha"] == 0.5
    assert line["value"] == 0.25 + 0.25 * 4.25
    assert line["gradient_norm"] == pytest.approx(math.sqrt(1 + 0.75**2 + 0.5**2), rel=1e-15)


def test_a_coef_without_intercept_has_intercept_0(run_json, tiny, tmp_path):
    np.save(tmp_path / "w.npy", np.array([2, -1], np.float32))
    result = run_json("eval", tiny, "--coef", tmp_path / "w.npy", "--loss", "perceptron", "squared_hinge")
    assert [line["loss"] for line in result["losses"]] == ["perceptron", "squared_hinge"]
    assert [line["value"] for line in result["losses"]] == [0.0, 0.0]  # margins 2 and 1


def test_errors_count_the_boundary_and_active_rows_follow_the_loss(run_json, tmp_path):
    (tmp_path / "data.svm").write_text("1 1:1\n-1 1:-2\n1 2:1\n-1 1:3\n")  # margins 1, 2, 0, -3
    np.save(tmp_path / "w.npy", [1.0, 0.0])
    result = run_json("eval", tmp_path / "data.svm", "--coef", tmp_path / "w.npy", "--all")
    lines = {line["loss"]: line for line in result["losses"]}
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
    result = run_json("eval", a9a, "--loss", "hinge")
    assert "class means" in result["coef"]
    assert result["margins"]["wrong"] == np.count_nonzero(y * scores <= 0)


def test_equal_class_means_give_zeros(run_json, tmp_path):
    (tmp_path / "data.svm").write_text("1 1:1\n-1 1:1\n")
    result = run_json("eval", tmp_path / "data.svm", "--loss", "hinge")
    assert result["losses"][0]["value"] == 1.0 and result["margins"]["margin_width"] is None


def test_a9a_has_its_known_facts(a9a, run_json):
    result = run_json("eval", a9a, "--loss", "hinge", "--dtype", "float32", "--threads", "1")
    assert (result["rows"], result["features"], result["nonzeros"]) == (32_561, 123, 451_592)
    assert result["class_rows"] == {"negative": 24_720, "positive": 7_841}
    assert (result["dtype"], result["threads"]) == ("float32", 1)
    assert result["level"] == hf.show_config(mode="dicts")["level"]


@pytest.mark.parametrize("labels, mapped", [("-1 1", (-1, 1)), ("0 1", (0, 1)), ("1 2", (1, 2))])
def test_usual_labels_are_mapped_and_the_mapping_is_printed(run, run_json, tmp_path, labels, mapped):
    negative, positive = labels.split()
    (tmp_path / "data.svm").write_text(f"{positive} 1:1\n{negative} 2:1\n{negative} 2:1\n")
    result = run_json("eval", tmp_path / "data.svm", "--loss", "hinge")
    assert tuple(result["classes"].values()) == mapped
    assert result["class_rows"] == {"negative": 2, "positive": 1}
    assert result["losses"][0]["value"] == 0.0  # all margins are 1: no label was taken for its opposite
    code, out, _ = run("eval", tmp_path / "data.svm")
    assert code == 0 and f"{mapped[0]} -> -1 (2 rows), {mapped[1]} -> +1 (1 row)" in out


@pytest.mark.parametrize("option", [["--classes", "-3,7"], ["--classes=-3,7"]])
def test_other_labels_are_named_by_classes(run_json, tmp_path, option):
    (tmp_path / "data.svm").write_text("7 1:1\n-3 2:1\n")
    result = run_json("eval", tmp_path / "data.svm", *option)
    assert result["classes"] == {"negative": -3.0, "positive": 7.0}
    assert [line["loss"] for line in result["losses"]] == ["hinge", "squared_hinge", "logistic"]


def test_classes_can_turn_the_usual_labels_round(run_json, tiny, tiny_coef):
    result = run_json("eval", tiny, "--classes", "1,-1", "--coef", tiny_coef, "--loss", "hinge")
    assert result["losses"][0]["value"] == 1.75  # margins -1 and -0.5


def test_nan_in_the_data_is_null_in_json_and_nan_in_the_table(run, run_json, tmp_path, tiny_coef):
    (tmp_path / "data.svm").write_text("1 1:nan\n-1 2:1\n")
    arguments = ("eval", tmp_path / "data.svm", "--coef", tiny_coef, "--all", "--compare")
    for line in run_json(*arguments)["losses"]:
        assert line["value"] is None and line["errors"] == 1 and line["comparison"]["agree"], line
    code, out, err = run(*arguments)
    assert code == 0 and err == "" and " nan " in out


# ---- the comparison


@pytest.mark.parametrize("library", ["SciPy", "NumPy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compare_agrees_for_all_losses(a9a, run_json, monkeypatch, library, dtype):
    if library == "NumPy":
        without_scipy(monkeypatch)
    else:
        pytest.importorskip("scipy")
    result = run_json("eval", a9a, "--all", "--compare", "--dtype", dtype, "--alpha", "0.01")
    assert [line["loss"] for line in result["losses"]] == list(MARGIN_LOSSES)
    assert result["threads"] == 1  # as the other side
    eps = np.finfo(dtype).eps
    for line in result["losses"]:
        other = line["comparison"]
        assert other["library"] == library and other["agree"], line
        assert other["ratio"] == pytest.approx(other["seconds"] / line["seconds"])
        # Coarser than what decided `agree`, but from outside: n roundings of sums of size 1.
        assert other["value_difference"] <= 451_592 * eps * max(1, line["value"])
        assert other["gradient_difference"] <= 451_592 * eps * max(1, line["gradient_norm"])


@pytest.mark.parametrize("dtype, error", [("float64", 1e-8), ("float32", 0.02)])
@pytest.mark.parametrize("part", ["value", "slope"])
@pytest.mark.parametrize("loss", MARGIN_LOSSES)
def test_compare_notices_a_wrong_formula(a9a_head, run, run_json, monkeypatch, dtype, error, part, loss):
    arguments = ("eval", a9a_head, "--loss", loss, "--compare", "--dtype", dtype)
    assert run_json(*arguments)["losses"][0]["comparison"]["agree"] is True
    make_numpy_wrong(monkeypatch, part, error)
    assert run_json(*arguments)["losses"][0]["comparison"]["agree"] is False
    _, out, _ = run(*arguments)
    assert out.count("  NO\n") == 1


@pytest.mark.parametrize("loss", MARGIN_LOSSES)
@pytest.mark.parametrize("number", [1.0, 0.25, 3.0])
def test_numpy_formulas_are_those_of_the_literature(loss, number, monkeypatch):
    params = dict.fromkeys(reference.DEFAULTS[loss], number)
    if "kink_slope" in params:
        params["kink_slope"] = -0.5
    margins = np.concatenate(
        [np.linspace(-6, 12, 73), params.get("margin", 0) + np.array([0.0, -1e-9, 1e-9, -1e3, 20.0])]
    )
    for remove_scipy in (False, True):
        if remove_scipy:
            without_scipy(monkeypatch)
        values, slopes = NUMPY_LOSSES[loss](margins, **params)
        for m, value, slope in zip(margins.tolist(), values.tolist(), slopes.tolist(), strict=True):
            # Relative, except that u = margin - m rounds: u*u and exp(-u*u/2) carry (1 + u*u) eps, and smooth
            # losses of a small width carry that divided by the width.
            u = (abs(m) + number) / min(number, 1.0)
            allowed = 16 * np.finfo(float).eps * (1 + u * u)
            assert value == pytest.approx(float(reference.phi_mp(loss, params, m)), rel=allowed, abs=1e-300)
            assert slope == pytest.approx(float(reference.slope_mp(loss, params, m)), rel=allowed, abs=1e-300)


@pytest.mark.parametrize("loss", MARGIN_LOSSES)
def test_numpy_formulas_do_not_overflow_and_keep_float32(loss):
    params = reference.DEFAULTS[loss]
    values, slopes = NUMPY_LOSSES[loss](np.array([-1e4, 1e4, 0.0], np.float32), **params)
    assert values.dtype == slopes.dtype == np.float32
    assert np.isfinite(values).all() and np.isfinite(slopes).all()
    assert values[1] == pytest.approx(0, abs=1e-4) and slopes[1] == pytest.approx(0, abs=1e-4)


def test_products_survive_empty_rows_and_columns(tmp_path, monkeypatch):
    (tmp_path / "data.svm").write_text("1\n-1 2:3\n1\n1\n-1 1:1 2:2 5:4\n1\n")
    X, _ = read_svmlight(tmp_path / "data.svm", n_features=6)
    full = np.zeros(X.shape)
    full[1, 1], full[4, [0, 1, 4]] = 3, [1, 2, 4]
    coef, slopes = np.arange(1.0, 7.0), np.arange(2.0, 8.0)
    for library in ("SciPy", "NumPy"):
        if library == "NumPy":
            without_scipy(monkeypatch)
        elif "scipy" not in sys.modules:
            pytest.importorskip("scipy")
        products, name = compare._products(X)
        assert name == library
        assert products.scores(coef).tolist() == (full @ coef).tolist()
        assert products.gradient(slopes).tolist() == (full.T @ slopes).tolist()


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


# ---- how it is shown


def test_table_is_aligned_narrow_and_complete(a9a, run, monkeypatch):
    monkeypatch.chdir(Path(a9a).parent)
    for arguments in (["--all", "--compare"], ["--all"], ["--alpha", "0.1", "--compare", "--threads", "2"]):
        code, out, err = run("eval", "a9a.xz", *arguments)
        lines = out.splitlines()
        assert (code, err) == (0, "")
        assert max(map(len, lines)) <= 100
        assert out.isascii()
        (head,) = (i for i, line in enumerate(lines) if line.startswith("loss "))
        table = lines[head : lines.index("", head)]
        assert len({len(line) for line in table}) == 1  # the last column ends where it began
        assert [line.split()[0] for line in table[1:]] == (
            list(MARGIN_LOSSES) if "--all" in arguments else list(evaluate.DEFAULT_LOSSES)
        )
        for fact in ("32,561", "123", "451,592", "11.3 %", "float64", "-1 -> -1 (24,720 rows)"):
            assert fact in out
        for column in table[0].split()[1:]:
            assert any(line.startswith(column) for line in lines[head + len(table) :]), (
                f"{column} is not explained"
            )
        assert str(hf.margin_report([1], [2.0])).split(" of ")[0] in out


def test_table_shows_the_numbers_of_the_json(a9a, run, run_json):
    code, out, _ = run("eval", a9a, "--loss", "squared_hinge")
    (line,) = run_json("eval", a9a, "--loss", "squared_hinge")["losses"]
    cells = next(row for row in out.splitlines() if row.startswith("squared_hinge")).split()
    assert code == 0 and cells[1] == f"{line['value']:.6g}" and cells[2] == f"{line['gradient_norm']:.5g}"
    assert cells[3] == f"{line['active_rows']:,}" and cells[4] == f"{line['errors']:,}"


@pytest.mark.parametrize(
    "seconds, shown",
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
def test_durations_have_three_digits_and_a_unit(seconds, shown):
    assert _duration(seconds) == shown


def test_without_arguments_it_explains_itself(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "hingefast eval" in out and "hingefast info" in out and "--help" in out


def test_the_example_of_the_explanation_runs(run, tmp_path, monkeypatch):
    _, out, _ = run()
    printf = next(line for line in out.splitlines() if line.strip().startswith("printf"))
    monkeypatch.chdir(tmp_path)
    Path("tiny.svm").write_text(printf.split("'")[1].replace("\\n", "\n"))
    command = next(line for line in out.splitlines() if line.strip().startswith("hingefast eval tiny.svm"))
    code, out, err = run(*command.split()[1:])
    assert (code, err) == (0, "") and "psi_g" in out


def test_help_names_every_loss_and_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(["eval", "--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0
    for name in (
        "--labels",
        "--loss",
        "--all",
        "--coef",
        "--alpha",
        "--dtype",
        "--threads",
        "--classes",
        "--n-features",
        "--zero-based",
    ):
        assert name in out
    assert all(name in out for name in MARGIN_LOSSES)


def test_info_prints_the_configuration(run, capsys):
    hf.show_config()
    expected = capsys.readouterr().out
    assert run("info") == (0, expected, "") and "level" in expected


# ---- several classes

# With THREE_COEF the scores are (2, 0.5, 0), (0, 1.5, 0.5), (2, 1.5, 1.5); margins 1.5, 1, -0.5.
THREE = "4 1:1\n7 2:1\n9 1:1 2:1\n"
THREE_COEF = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.5], [1.0, 1.5, -1.0]])

FOUR_LABELS = (-2, 0, 5, 9)


@pytest.fixture
def three(tmp_path):
    path = tmp_path / "three.svm"
    path.write_text(THREE)
    return str(path)


@pytest.fixture
def three_coef(tmp_path):
    path = tmp_path / "three.npy"
    np.save(path, THREE_COEF)
    return str(path)


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
    return SimpleNamespace(
        X=X,
        y=y,
        svm=str(folder / "four.svm"),
        rows=str(folder / "rows.npy"),
        labels=str(folder / "labels.npy"),
        dense=(str(folder / "rows.npy"), "--labels", str(folder / "labels.npy")),
    )


def without_times(result):
    """The JSON without what differs between two runs."""
    for line in result["losses"]:
        del line["seconds"], line["repeats"]
        for key in ("seconds", "ratio") if line["comparison"] else ():
            del line["comparison"][key]
    return result


def test_numbers_of_a_small_multiclass_file_are_those_computed_by_hand(run_json, three, three_coef):
    result = run_json("eval", three, "--coef", three_coef)
    lines = {line["loss"]: line for line in result["losses"]}
    assert list(lines) == list(MULTICLASS_LOSSES)
    assert {name: line["value"] for name, line in lines.items()} == {
        "crammer_singer": 1.5 / 3,
        "weston_watkins": 2.5 / 3,
        "one_vs_rest": 10.5 / 3,
    }
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


def test_multiclass_json_has_the_keys_of_binary_json(run_json, three, tiny, four):
    binary, several = run_json("eval", tiny), run_json("eval", three)
    assert several.keys() == binary.keys() and several["losses"][0].keys() == binary["losses"][0].keys()
    dense = run_json("eval", *four.dense)
    assert dense.keys() == binary.keys() | {"labels_file"} and dense["labels_file"] == four.labels


def test_the_table_of_several_classes_shows_the_numbers_of_the_json(run, run_json, four):
    lines = run_json("eval", four.svm, "--all")["losses"]
    bases = ("", ":squared_hinge", ":logistic")
    assert [line["loss"] for line in lines] == [
        f"{name}{base}" for name in MULTICLASS_LOSSES for base in bases
    ]
    _, out, _ = run("eval", four.svm, "--all")
    for line in lines:
        cells = next(row for row in out.splitlines() if row.startswith(line["loss"] + " ")).split()
        assert cells[1] == f"{line['value']:.6g}" and cells[2] == f"{line['gradient_norm']:.5g}"
        assert cells[3] == f"{line['active_rows']:,}" and cells[4] == f"{line['errors']:,}"


def test_classes_name_the_rows_of_coef(run_json, fails, three, tmp_path):
    np.save(tmp_path / "w.npy", THREE_COEF[[2, 0, 1]])
    arguments = ("eval", three, "--coef", tmp_path / "w.npy", "--classes", "9,4,7")
    result = run_json(*arguments)
    assert result["classes"] == [9, 4, 7] and [line["value"] for line in result["losses"]] == [
        0.5,
        2.5 / 3,
        3.5,
    ]
    # A class without rows; its scores are far below all others.
    np.save(tmp_path / "w.npy", np.vstack([THREE_COEF, [[0, 0, -100]]]))
    result = run_json(*arguments[:-1], "4,7,9,-11")
    assert result["class_rows"] == [1, 1, 1, 0] and result["losses"][0]["value"] == 0.5
    message = fails("eval", three, "--classes", "4,7,9,-11")
    assert message == f"{three} has no rows of class -11, so class means need --coef FILE"


def test_the_default_coef_picks_the_nearest_mean_with_a_mean_margin_of_1(four, run_json):
    result = run_json("eval", four.svm)
    means = np.array([four.X[four.y == k].mean(axis=0) for k in range(4)])
    distances = ((four.X[:, None] - means) ** 2).sum(axis=2)
    nearest = distances.argmin(axis=1)
    assert result["losses"][0]["errors"] == np.count_nonzero(nearest != four.y)
    for X in (four.X, read_svmlight(four.svm)[0]):
        coef, intercept = evaluate._nearest_mean(X, four.y, 4)
        scores = four.X @ coef.T + intercept
        np.testing.assert_allclose(np.diff(scores), -np.diff(distances) / 2 * coef_scale(means), atol=1e-10)
        np.testing.assert_allclose(scores.sum(axis=1), scores.sum(axis=1)[0], atol=1e-10)
        of_class = np.array([scores[four.y == k].mean(axis=0) for k in range(4)])
        margins = [of_class[k, k] - of_class[k, j] for k in range(4) for j in range(4) if j != k]
        assert np.mean(margins) == pytest.approx(1, abs=1e-12)


def coef_scale(means):
    pairs = [((a - b) ** 2).sum() for a, b in itertools.combinations(means, 2)]
    return 2 / np.mean(pairs)


@pytest.mark.parametrize("library", ["SciPy", "NumPy"])
@pytest.mark.parametrize("option", [[], ["--n-features", "5"]])
def test_classes_without_any_feature(run_json, tmp_path, monkeypatch, library, option):
    if library == "NumPy":
        without_scipy(monkeypatch)
    else:
        pytest.importorskip("scipy")
    (tmp_path / "data.svm").write_text("1\n2\n3\n")
    for line in run_json("eval", tmp_path / "data.svm", "--compare", *option)["losses"]:
        assert line["value"] == {"crammer_singer": 1, "weston_watkins": 2, "one_vs_rest": 3}[line["loss"]]
        assert line["errors"] == 3 and line["comparison"]["agree"]
    (tmp_path / "data.svm").write_text("1\n-1\n")
    for line in run_json("eval", tmp_path / "data.svm", "--compare", *option)["losses"]:
        assert line["errors"] == 2 and line["comparison"]["agree"]


def test_two_classes_are_the_binary_loss_of_the_difference(a9a, run_json):
    binary = run_json("eval", a9a, "--loss", "hinge", "logistic")
    several = run_json("eval", a9a, "--loss", "crammer_singer", "crammer_singer:logistic", "weston_watkins")
    values = [line["value"] for line in binary["losses"]]
    assert [line["value"] for line in several["losses"]] == pytest.approx([*values, values[0]], rel=1e-12)
    assert several["classes"] == [-1, 1] and several["class_rows"] == [24_720, 7_841]
    assert several["margins"]["wrong"] == binary["margins"]["wrong"]


def test_two_unusual_labels_need_no_names_for_a_multiclass_loss(run_json, fails, tmp_path):
    path = tmp_path / "data.svm"
    path.write_text("7 1:1\n3 2:1\n")
    assert run_json("eval", path, "--loss", "one_vs_rest")["classes"] == [3, 7]
    assert run_json("eval", path, "--loss", "one_vs_rest", "--classes", "7,3")["classes"] == [7, 3]
    path.write_text("7 1:1\n7 2:1\n")
    assert "has the label 7" in fails("eval", path, "--loss", "one_vs_rest")


def test_all_layouts_give_the_same_numbers(run_json, four, tmp_path):
    expected = run_json("eval", four.svm, "--all", "--alpha", "0.1")
    results = [run_json("eval", *four.dense, "--all", "--alpha", "0.1")]
    header = b"\0\0\x0e\3" + np.array([900, 3, 4], ">u4").tobytes()
    (tmp_path / "rows").write_bytes(gzip.compress(header + four.X.astype(">f8").tobytes()))
    results.append(
        run_json(
            "eval", tmp_path / "rows", "--labels", four.labels, "--all", "--alpha", "0.1", "--threads", "1"
        )
    )
    for result in results:
        assert result["nonzeros"] == expected["nonzeros"] and result["class_rows"] == expected["class_rows"]
        for one, other in zip(expected["losses"], result["losses"], strict=True):
            assert other["value"] == pytest.approx(one["value"], rel=1e-12)
            assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-12)
            assert (other["active_rows"], other["errors"]) == (one["active_rows"], one["errors"])


def test_an_array_of_two_labels_is_binary(run_json, tmp_path, tiny_coef):
    np.save(tmp_path / "rows.npy", np.eye(2))
    np.save(tmp_path / "labels.npy", [True, False])
    result = run_json(
        "eval",
        tmp_path / "rows.npy",
        "--labels",
        tmp_path / "labels.npy",
        "--coef",
        tiny_coef,
        "--compare",
        "--all",
    )
    assert result["classes"] == {"negative": 0.0, "positive": 1.0}
    lines = {line["loss"]: line for line in result["losses"]}
    assert lines["hinge"]["value"] == 0.25 and all(line["comparison"]["agree"] for line in lines.values())
    assert lines["hinge"]["comparison"]["library"] == "NumPy"


def test_blocks_of_rows_change_nothing(run_json, four, monkeypatch):
    for data in ([four.svm], four.dense):
        whole = without_times(run_json("eval", *data))
        with monkeypatch.context() as patch:
            patch.setattr(compare, "BLOCK_NUMBERS", 100)
            parts = without_times(run_json("eval", *data))
            assert parts == whole
            assert all(line["comparison"]["agree"] for line in run_json("eval", *data, "--compare")["losses"])


def test_nan_in_one_block_of_rows(run_json, tmp_path, tiny_coef, monkeypatch):
    """The smallest margin is NaN, whichever block the NaN is in."""
    monkeypatch.setattr(compare, "BLOCK_NUMBERS", 1)
    for text in ("1 1:nan\n-1 2:1\n1 1:1\n", "1 1:1\n-1 2:nan\n1 1:1\n", "1 1:1\n-1 2:1\n1 2:nan\n"):
        (tmp_path / "data.svm").write_text(text)
        result = run_json("eval", tmp_path / "data.svm", "--coef", tiny_coef)
        assert result["margins"]["smallest_margin"] is None and result["margins"]["wrong"] >= 1


@pytest.mark.parametrize("layout", ["SciPy", "NumPy", "dense"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compare_agrees_for_all_multiclass_losses(four, run_json, monkeypatch, layout, dtype):
    if layout == "NumPy":
        without_scipy(monkeypatch)
    else:
        pytest.importorskip("scipy")
    names = [f"{name}:{base}" for name in MULTICLASS_LOSSES for base in MARGIN_LOSSES]
    data = four.dense if layout == "dense" else [four.svm]
    result = run_json("eval", *data, "--loss", *names, "--compare", "--dtype", dtype, "--alpha", "0.01")
    assert len(result["losses"]) == len(names) and result["threads"] == 1
    for line in result["losses"]:
        other = line["comparison"]
        assert other["library"] == ("SciPy" if layout == "SciPy" else "NumPy") and other["agree"], line
        # Coarser than what decided `agree`, but from outside: sums of 900 rows of 12 products, 4 classes.
        rounding = 900 * 12 * 4 * np.finfo(dtype).eps
        assert other["value_difference"] <= rounding * max(1, line["value"])
        assert other["gradient_difference"] <= rounding * max(1, line["gradient_norm"])


@pytest.mark.parametrize("dtype, error", [("float64", 1e-8), ("float32", 0.02)])
@pytest.mark.parametrize("part", ["value", "slope"])
@pytest.mark.parametrize("loss", ["crammer_singer", "weston_watkins:logistic", "one_vs_rest:squared_hinge"])
def test_compare_notices_a_wrong_multiclass_formula(four, run_json, monkeypatch, dtype, error, part, loss):
    make_numpy_wrong(monkeypatch, part, error)
    for data in ([four.svm], four.dense):
        result = run_json("eval", *data, "--loss", loss, "--compare", "--dtype", dtype)
        assert result["losses"][0]["comparison"]["agree"] is False


@pytest.mark.parametrize("layout", ["csr", "dense"])
def test_nan_among_several_classes(run, run_json, four, three, three_coef, tmp_path, layout):
    arguments = ["eval", tmp_path / "data", "--coef", three_coef, "--all", "--compare"]
    if layout == "csr":
        (tmp_path / "data").write_text(THREE.replace("2:1", "2:nan", 1))
    else:
        np.save(tmp_path / "labels.npy", [4, 7, 9])
        np.save(tmp_path / "data.npy", [[1, 0], [0, np.nan], [1, 1]])
        arguments[1:2] = [tmp_path / "data.npy", "--labels", tmp_path / "labels.npy"]
    for line in run_json(*arguments)["losses"]:
        assert line["value"] is None and line["errors"] == 2 and line["comparison"]["agree"], line
    code, out, err = run(*arguments)
    assert code == 0 and err == "" and " nan " in out


def test_the_table_of_several_classes_is_aligned_narrow_and_complete(run, four, monkeypatch):
    monkeypatch.chdir(Path(four.svm).parent)
    for arguments in (
        ["four.svm", "--all", "--compare"],
        ["rows.npy", "--labels", "labels.npy", "--compare"],
    ):
        code, out, err = run("eval", *arguments)
        lines = out.splitlines()
        assert (code, err) == (0, "") and out.isascii()
        (report,) = (
            i
            for i, line in enumerate(lines)
            if line.startswith("Margins of 900 rows (score of the true class")
        )
        assert max(map(len, lines[:report])) <= 100
        (head,) = (i for i, line in enumerate(lines) if line.startswith("loss "))
        table = lines[head : lines.index("", head)]
        assert len({len(line) for line in table}) == 1
        assert len(table) == (10 if "--all" in arguments else 4)
        counts = np.bincount([FOUR_LABELS.index(int(label)) for label in np.load(four.labels)])
        listed = ", ".join(f"{label} ({n} rows)" for label, n in zip(FOUR_LABELS, counts, strict=True))
        assert listed in out and "900" in out
        for column in table[0].split()[1:]:
            assert any(line.startswith(column) for line in lines[head + len(table) :]), column
        assert ("labels.npy" in out) == ("--labels" in arguments)


def test_many_classes_are_counted_not_listed(run, tmp_path):
    labels = [*range(10, 20), 1_000_000, 1_000_000]
    (tmp_path / "data.svm").write_text("".join(f"{label} {i + 1}:1\n" for i, label in enumerate(labels)))
    _, out, _ = run("eval", tmp_path / "data.svm")
    assert "11 classes, 10, 11, ..., 1000000, each of 1 to 2 rows" in out


def test_binary_losses_of_a_multiclass_file(fails, four):
    message = fails("eval", four.svm, "--loss", "hinge")
    assert message.startswith(f"hinge is a loss of two classes, {four.svm} has 4; ")
    assert all(name in message for name in MULTICLASS_LOSSES)
    message = fails("eval", *four.dense, "--loss", "hinge")
    assert message.startswith(f"hinge is a loss of two classes, {four.labels} has 4; ")
    message = fails("eval", four.svm, "--loss", "hinge", "weston_watkins")
    assert (
        message
        == "hinge wants one score a row and weston_watkins one for each class: evaluate them one after the other"
    )
    message = fails("eval", four.svm, "--classes", "-2,0,5")
    assert message == f"{four.svm} has the labels -2, 0, 5, 9, --classes names -2, 0 and 5"
    many = ",".join(map(str, range(100, 5000)))
    message = fails("eval", four.svm, "--classes", many)
    assert message.startswith(f"{four.svm} has the labels -2, 0, 5, 9, --classes names 100, 101, ")


def test_multiclass_coef_files_that_do_not_fit(fails, three, three_coef, tmp_path):
    path = tmp_path / "w.npy"
    np.save(path, THREE_COEF[:, :1])
    assert fails("eval", three, "--coef", path) == (
        f"{path} has 1 numbers a class, must have 2 (the features) or 3 (with the intercept last); "
        f"the largest id is 2, in line 2 of {three}"
    )
    np.save(path, np.ones((3, 5)))
    assert fails("eval", three, "--coef", path).endswith("; --n-features 5 makes the data wider")
    np.save(path, np.ones((2, 3)))
    assert fails("eval", three, "--coef", path) == (
        f"{path} must have shape (3, 2) or (3, 3), a row for each class, got (2, 3); save its transpose"
    )
    np.save(path, np.ones(3))
    assert fails("eval", three, "--coef", path).endswith("a row for each class, got (3,)")
    np.save(path, np.ones((3, 2, 1)))
    assert fails("eval", three, "--coef", path) == (
        f"{path} must be 1-D or 2-D to be read as coef, got shape (3, 2, 1)"
    )


def test_data_files_that_do_not_fit(fails, three, four, tmp_path):
    assert fails("eval", four.rows) == (
        f"{four.rows} is an .npy file, which holds no labels: name them by --labels FILE"
    )
    assert fails("eval", three, "--labels", four.labels).endswith(
        "which holds its labels: leave out --labels"
    )
    absent = tmp_path / "absent"
    assert fails("eval", four.rows, "--labels", absent) == f"cannot read {absent}: No such file or directory"
    assert fails("eval", *four.dense, "--n-features", "13").endswith("has 12 columns, --n-features says 13")
    np.save(tmp_path / "floats.npy", np.arange(900) / 2)
    message = fails("eval", four.rows, "--labels", tmp_path / "floats.npy")
    assert (
        message.startswith(f"{tmp_path / 'floats.npy'} has 900 labels (0, 0.5, 1, ") and "integers" in message
    )


@pytest.mark.slow
def test_mnist_and_news20_agree_with_numpy(run, run_json, data_dir):
    mnist = [data_dir / f"mnist-train-{part}-ubyte.gz" for part in ("images-idx3", "labels-idx1")]
    news = data_dir / "news20_bydate.train.svm.xz"
    if not all(path.exists() for path in [*mnist, news]):
        pytest.skip("MNIST or news20_bydate is absent")
    for arguments, shape, nonzeros, n_classes, smallest, largest in (
        ([mnist[0], "--labels", mnist[1]], (60_000, 784), 8_994_156, 10, 5_421, 6_742),
        ([news], (11_314, 56_755), 1_780_675, 20, 377, 600),
    ):
        result = run_json("eval", *arguments, "--compare")
        assert (result["rows"], result["features"]) == shape and result["nonzeros"] == nonzeros
        assert result["classes"] == list(range(n_classes))
        assert (min(result["class_rows"]), max(result["class_rows"])) == (smallest, largest)
        for line in result["losses"]:
            assert line["comparison"]["agree"], line
            # The classes are better told apart than by chance, and not perfectly.
            assert 0 < line["errors"] < shape[0] * (1 - 1 / n_classes)


# ---- errors of the user


def test_missing_and_broken_files(fails, tmp_path):
    absent = tmp_path / "absent.svm"
    assert fails("eval", absent) == f"cannot read {absent}: No such file or directory"
    assert fails("eval", tmp_path).startswith(f"cannot read {tmp_path}: ")
    broken = tmp_path / "broken.svm"
    broken.write_text("1 1:2\n1 2:x\n")
    assert fails("eval", broken) == f"{broken}: line 2: the value in '2:x' is not a number"
    broken.write_text("")
    assert fails("eval", broken, "--json") == f"{broken}: the file has no rows"


def test_unknown_losses(fails, tiny):
    message = fails("eval", tiny, "--loss", "hinge", "hing")
    assert message.startswith("loss is 'hing', must be one of hinge, ")
    assert all(name in message for name in [*MARGIN_LOSSES, *MULTICLASS_LOSSES])
    assert fails("eval", tiny, "--loss", "crammer_singer:hing").startswith(
        "loss is 'crammer_singer:hing', must"
    )
    for name in ("top_k_hinge", "top_k_hinge:5", "cost_sensitive_hinge"):
        assert fails("eval", tiny, "--loss", name).startswith(f"{name} is not for the command line: ")


def test_an_alias_is_its_loss_and_a_loss_is_shown_once(run_json, tiny):
    result = run_json("eval", tiny, "--loss", "log_loss", "hinge", "--loss", "logistic")
    assert [line["loss"] for line in result["losses"]] == ["logistic", "hinge"]


@pytest.mark.parametrize(
    "labels, option, parts",
    [
        ("1 1", [], ["the label 1,", "--classes NEG,POS"]),
        ("-1 0", [], ["the labels -1, 0,", "--classes NEG,POS"]),
        ("3 7", [], ["the labels 3, 7,", "--classes NEG,POS"]),
        ("0 1 2.5", [], ["3 labels (0, 1, 2.5)", "integers"]),
        (
            " ".join(f"{i}.5" for i in range(20)),
            [],
            ["20 labels (0.5, 1.5, 2.5, ", ", 7.5, ...)", "integers"],
        ),
        ("0 1 2", ["--classes", "0,1"], ["the labels 0, 1, 2,", "names 0 and 1"]),
        ("1 1", ["--classes", "0,1"], ["one class only", "--coef"]),
    ],
)
def test_labels_that_do_not_fit(fails, tmp_path, labels, option, parts):
    path = tmp_path / "data.svm"
    path.write_text("".join(f"{label} 1:1\n" for label in labels.split()))
    message = fails("eval", path, *option)
    assert message.startswith(str(path)) and all(part in message for part in parts)


def test_one_class_is_enough_with_a_coef(run_json, tmp_path, tiny_coef):
    (tmp_path / "data.svm").write_text("1 1:1\n1 2:1\n")
    result = run_json(
        "eval", tmp_path / "data.svm", "--classes", "0,1", "--coef", tiny_coef, "--loss", "hinge"
    )
    assert result["losses"][0]["value"] == 0.75 and result["class_rows"] == {"negative": 0, "positive": 2}


def test_coef_files_that_do_not_fit(fails, run_json, tiny, tmp_path):
    path = tmp_path / "w.npy"
    np.save(path, np.ones(5))
    message = fails("eval", tiny, "--coef", path)
    assert message == (
        f"{path} has 5 numbers, must have 2 (the features) or 3 (with the intercept last); "
        "--n-features 5 makes the data wider"
    )
    assert run_json("eval", tiny, "--coef", path, "--n-features", "5")["features"] == 5
    np.save(path, np.ones(1))
    assert fails("eval", tiny, "--coef", path) == (
        f"{path} has 1 numbers, must have 2 (the features) or 3 (with the intercept last); "
        f"the largest id is 2, in line 2 of {tiny}"
    )
    assert fails("eval", tiny, "--coef", path, "--n-features", 9).endswith("; --n-features says so")
    np.save(path, np.ones((2, 2)))
    message = fails("eval", tiny, "--coef", path)
    assert message == f"{path} must be 1-D, or one row, for two classes, got shape (2, 2)"
    np.save(path, np.ones(2, complex))
    assert fails("eval", tiny, "--coef", path) == f"{path} must hold real numbers, got complex128"
    np.save(path, np.array([1, "x"], object), allow_pickle=True)
    assert fails("eval", tiny, "--coef", path) == f"{path} must hold real numbers, got object"
    for content in (b"", b"1 2 3"):
        path.write_bytes(content)
        assert fails("eval", tiny, "--coef", path) == f"{path} must be an IDX or .npy file to be read as coef"
    with path.open("wb") as file:
        np.savez(file, np.ones(2))
    assert fails("eval", tiny, "--coef", path).startswith(f"{path} is a zip archive (.zip, .npz): unpack it;")
    path.unlink()
    assert fails("eval", tiny, "--coef", path) == f"cannot read {path}: No such file or directory"


@pytest.mark.parametrize("coef", [[[2, 0.5]], [[2, 0.5, -1]]])
@pytest.mark.parametrize("dtype", ["f4", ">f8", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_row_of_coef_is_that_of_two_classes(run_json, tiny, tmp_path, coef, dtype, order):
    np.save(tmp_path / "flat.npy", np.array(coef[0], dtype))
    (tmp_path / "row.npy.gz").write_bytes(gzip.compress(npy(np.array(coef, dtype, order=order))))
    expected, result = (
        without_times(run_json("eval", tiny, "--loss", "hinge", "--coef", tmp_path / name))
        for name in ("flat.npy", "row.npy.gz")
    )
    del expected["coef"], result["coef"]
    assert result == expected
    value = 0.25 if len(coef[0]) == 3 else 0.75  # margins 1 and 0.5; 2 and -0.5
    assert result["losses"][0]["value"] == value


def npy(array):
    """The bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


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
    assert part in fails("eval", tiny, *arguments)


def test_data_after_loss_is_explained(fails, tiny):
    assert "before --loss" in fails("eval", "--loss", "hinge", tiny)


def test_unknown_commands(fails):
    assert "frobnicate" in fails("frobnicate")


def test_a_broken_thread_setting_of_the_environment_is_told(fails, tiny, monkeypatch):
    monkeypatch.setenv("HINGEFAST_NUM_THREADS", "many")
    assert "HINGEFAST_NUM_THREADS is 'many'" in fails("eval", tiny)
    assert "HINGEFAST_NUM_THREADS is 'many'" in fails("info")


# ---- memory that the number of features decides


@pytest.mark.parametrize("feature_id", [2**42, 2**48, 2**60, 2**63 - 1])
@pytest.mark.parametrize("zero_based", [False, True])
def test_an_id_too_large_for_memory_is_told_with_its_line(fails, tmp_path, feature_id, zero_based):
    path = tmp_path / "data.svm"
    path.write_text(f"# a comment\n1 1:1\n\n-1 {feature_id - zero_based}:1\n1 {2**41}:1\n")
    arguments = ("eval", path, "--zero-based") if zero_based else ("eval", path)
    assert fails(*arguments) == (
        f"not enough memory: coef needs {feature_id:,} numbers; "
        f"the largest id is {feature_id - zero_based}, in line 4 of {path}"
    )
    assert fails(*arguments, "--loss", "crammer_singer").startswith(
        f"not enough memory: coef needs {feature_id:,} numbers for each of 2 classes; the largest id is "
    )


def test_a_number_of_features_too_large_for_memory_is_told(fails, tiny):
    assert fails("eval", tiny, "--n-features", 2**63 - 1) == (
        f"not enough memory: coef needs {2**63 - 1:,} numbers; --n-features says so"
    )


def test_memory_that_runs_out_is_told(fails, tiny, three, tmp_path, monkeypatch):
    """Wherever it does: the number of features is told where it is what takes the memory."""

    def nothing_left(*arguments, **keywords):
        raise MemoryError

    (tmp_path / "wide.svm").write_text("1 1:1\n-1 9:1\n")
    np.save(tmp_path / "rows.npy", np.eye(3))
    np.save(tmp_path / "labels.npy", [3, 1, 2])
    dense = (tmp_path / "rows.npy", "--labels", tmp_path / "labels.npy")
    with monkeypatch.context() as patch:
        patch.setattr(hf, "linear_value_and_grad", nothing_left)
        assert fails("eval", tmp_path / "wide.svm") == (
            f"not enough memory: coef needs 9 numbers; the largest id is 9, in line 2 of {tmp_path / 'wide.svm'}"
        )
        assert fails("eval", tiny) == "not enough memory to evaluate 2 numbers"
        assert fails("eval", *dense) == "not enough memory to evaluate 9 numbers"
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "read_data", nothing_left)
        assert fails("eval", tiny) == f"not enough memory to read {tiny}"
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "_physical_memory", lambda: 8 * (2 * 3 + 3) * 2 - 1)
        assert "coef needs 2 numbers for each of 3 classes" in fails("eval", three)


# ---- numbers far from 1


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
def test_features_far_from_1_are_told_apart(run, run_json, tmp_path, size):
    (tmp_path / "data.svm").write_text(f"1 1:{size} 3:1\n-1 2:{size} 3:1\n")
    arguments = ("eval", tmp_path / "data.svm", "--loss", "hinge", "squared_hinge")
    if size == "5e-324":  # coef would be 4e323, beyond all numbers: nothing right to show, but nothing breaks
        assert run(*arguments)[0] == 0
        return
    for line in run_json(*arguments)["losses"]:
        assert line["errors"] == 0 and line["value"] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_the_norm_of_a_gradient_neither_overflows_nor_underflows(run_json, tmp_path, scale):
    (tmp_path / "data.svm").write_text(
        f"1 1:{3 * scale!r} 2:{4 * scale!r}\n1 1:{3 * scale!r} 2:{4 * scale!r}\n"
    )
    np.save(tmp_path / "w.npy", [0.0, 0.0])
    for loss in ("hinge", "crammer_singer"):
        np.save(tmp_path / "w.npy", np.zeros((2, 2) if loss == "crammer_singer" else 2))
        result = run_json(
            "eval", tmp_path / "data.svm", "--coef", tmp_path / "w.npy", "--classes", "0,1", "--loss", loss
        )
        # d loss / d score is -1, and +1 for the other class; the intercepts have a gradient of 1 each.
        length = 5 * scale if scale > 1 else 1
        rows = 2 if loss == "crammer_singer" else 1
        assert result["losses"][0]["gradient_norm"] == pytest.approx(length * math.sqrt(rows), rel=1e-15)


@pytest.mark.parametrize("library", ["SciPy", "NumPy"])
def test_the_callers_floating_point_state_changes_nothing(run, tmp_path, monkeypatch, library):
    if library == "NumPy":
        without_scipy(monkeypatch)
    else:
        pytest.importorskip("scipy")
    for values in (("1e300", "-1e300"), ("1e-200", "5e-324"), ("inf", "nan"), ("1e39", "1e-45")):
        (tmp_path / "data.svm").write_text("1 1:{} 2:1\n-1 1:{} 2:2\n2 1:1\n".format(*values))
        for dtype in ("float32", "float64"):
            for classes in ([], ["--loss", "crammer_singer:logistic", "one_vs_rest:psi_m"]):
                command = ["eval", tmp_path / "data.svm", "--json", "--dtype", dtype, "--compare", *classes]
                code, expected, err = run(*command)
                with np.errstate(all="raise"):
                    result = run(*command)
                assert (code, err) == (0, "") and result[0] == 0
                assert without_times(json.loads(result[1])) == without_times(json.loads(expected))


def test_huge_labels_are_written_briefly(run, run_json, fails, tmp_path):
    path = tmp_path / "data.svm"
    path.write_text("1e300 1:1\n-1e300 2:1\n9007199254740992 1:1\n")
    code, out, _ = run("eval", path)
    assert code == 0 and "-1e+300 (1 row), 9007199254740992 (1 row), 1e+300 (1 row)" in out
    assert run_json("eval", path)["classes"] == [-1e300, 2**53, 1e300]
    path.write_text("".join(f"{k}e300 1:1\n" for k in range(1, 40)))
    assert "has the labels 1e+300, 2e+300, " in fails("eval", path, "--classes", "0,1")


def test_a_clock_that_sees_no_time_pass(run, run_json, tiny, monkeypatch):
    monkeypatch.setattr(evaluate.time, "perf_counter", lambda: 1.0)
    assert run_json("eval", tiny, "--compare")["losses"][0]["comparison"]["ratio"] is None
    assert run("eval", tiny, "--compare")[0] == 0


# ---- ids that count from 0


def test_ids_count_from_0_where_the_file_or_the_option_says_so(run_json, fails, tmp_path, tiny_coef):
    says_zero, rows = "# Column indices are zero-based\n", TINY.replace("1:1", "0:1").replace("2:1", "1:1")
    path = tmp_path / "data.svm"
    for content, option, value in (
        (says_zero + rows, [], 0.25),
        (rows, ["--zero-based"], 0.25),
        (says_zero + TINY, ["--no-zero-based"], 0.25),
        (TINY.replace("1:1", "0:1"), ["--zero-based", "--n-features", "3"], None),
    ):
        path.write_text(content)
        command = ["eval", path, "--loss", "hinge", "--coef", tiny_coef, *option]
        if value is not None:
            result = run_json(*command)
            assert result["features"] == 2 and result["losses"][0]["value"] == value
    np.save(tiny_coef, [2.0, 9.0, 0.5, -1.0])
    assert run_json(*command)["losses"][0]["value"] == 0.25
    path.write_text(rows)
    assert fails("eval", path) == (
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
        assert len(fails("eval", tmp_path / name)) < 480
        assert len(fails("eval", "data", "--dtype", name)) < 480
    assert fails("eval", "") == "cannot read '': No such file or directory"
    assert fails("eval", "a\0b") == r"cannot read a\x00b: No such file or directory"


# ---- files that cannot be read


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no such file here")
def test_a_file_whose_reading_fails_is_named(fails, four):
    assert fails("eval", "/proc/self/mem") == "cannot read /proc/self/mem: Input/output error"
    assert fails("eval", four.rows, "--labels", "/proc/self/mem").startswith("cannot read /proc/self/mem: ")
    assert fails("eval", four.svm, "--coef", "/proc/self/mem").startswith("cannot read /proc/self/mem: ")


def test_folders_and_files_without_permission_are_named(fails, tiny, four, tmp_path):
    closed = tmp_path / "closed"
    closed.write_text(TINY)
    closed.chmod(0)
    files = [(tmp_path, "Is a directory")] if sys.platform != "win32" else []
    if not os.access(closed, os.R_OK):
        files.append((closed, "Permission denied"))
    for path, reason in files:
        for command in ([path], [four.rows, "--labels", path], [tiny, "--coef", path]):
            assert fails("eval", *command) == f"cannot read {path}: {reason}"


def test_a_broken_thread_setting_is_told_before_the_file_is_read(fails, tmp_path, monkeypatch):
    monkeypatch.setenv("HINGEFAST_NUM_THREADS", "many")
    assert "HINGEFAST_NUM_THREADS is 'many'" in fails("eval", tmp_path / "absent")


@pytest.mark.parametrize("text", ["all", "0", "3500m", "4.0", "-3", "9" * 5000])
def test_what_others_may_mean_by_their_variable_is_ignored(run, run_json, tiny, monkeypatch, text):
    monkeypatch.delenv("HINGEFAST_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    run_json("eval", tiny)
    assert run("info")[0] == 0


# ---- as a process


def environment():
    return {**os.environ, "HINGEFAST_NUM_THREADS": "1"}


def process(*arguments, **variables):
    """Run the command as a process in which every warning is an error; stdout and stderr are bytes."""
    return subprocess.run(
        [sys.executable, "-P", "-W", "error", "-m", "hingefast", *map(str, arguments)],
        env={**environment(), **variables},
        capture_output=True,
        timeout=300,
        check=False,
    )


def test_a_name_that_the_output_cannot_encode(tiny, tmp_path):
    name = str(tmp_path / NAMES[0])
    shown = name.encode("ascii", "backslashreplace")
    done = process("eval", name, PYTHONIOENCODING="ascii")
    message = b"hingefast: error: cannot read %s: No such file or directory\n" % shown
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", message)
    os.rename(tiny, name)
    done = process("eval", name, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(shown)


COMMANDS = ["", "--help", "info", "eval --help", "eval {} --all --compare", "eval {} --json"]
needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="the redirections are those of a POSIX shell")


def shell(command, redirection, **variables):
    """Run the command behind a redirection of a POSIX shell."""
    script = f'exec "{sys.executable}" -P -W error -m hingefast {command} {redirection}'
    return subprocess.run(
        ["sh", "-c", script],
        env={**environment(), **variables},
        capture_output=True,
        timeout=300,
        check=False,
    )


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
    command = command.format(tiny)
    done = shell(command, ">&-")
    assert (done.returncode, done.stderr) == (2, b"hingefast: error: cannot write: the output is closed\n")
    done = shell(command, ">&- 2>&-")
    assert (done.returncode, done.stderr) == (2, b"")
    done = shell(command, "2>&-")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout
    done = shell(command, "<&-")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout


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
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["rows"] == 2
    done = subprocess.run(
        [*command, "--loss", "nothing"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        done.returncode == 2
        and done.stdout == ""
        and done.stderr.startswith("hingefast: error: loss is 'nothing'")
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_pipe_ends_quietly(tiny, tmp_path, command):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "hingefast", *command.format(tiny).split()]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c_ends_quietly(run, tiny, monkeypatch):
    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "read_data", interrupted)
    assert run("eval", tiny) == (130, "", "")


@pytest.mark.parametrize("n", [8, 9])
def test_up_to_eight_labels_of_a_file_are_all_told(fails, tmp_path, n):
    path = tmp_path / "data.svm"
    path.write_text("".join(f"{k}.5 1:1\n" for k in range(n)))
    told = fails("eval", path)
    assert ("..." in told) == (n > 8) and "7.5" in told
