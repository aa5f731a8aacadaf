"""Promise: ``hingefast fit`` writes the model that it tells about, whole or not at all, and ``eval`` trusts none."""

import io
import json
import os
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

import hingefast as hf
from hingefast.cli import evaluate, progress
from hingefast.cli import fit as fit_module
from hingefast.io import model as model_file
from hingefast.io.arrays import read_data
from hingefast.solvers.methods import METHODS

pytestmark = pytest.mark.any_python


@pytest.fixture(autouse=True)
def few_repeats(monkeypatch):
    """Nothing here looks at how fast a pass is."""
    monkeypatch.setattr(evaluate, "ENOUGH_SECONDS", 0.0)
    monkeypatch.setattr(evaluate, "MIN_REPEATS", 1)


def write_svm(path, X, labels):
    rows = (
        " ".join([str(label), *(f"{j + 1}:{x!r}" for j, x in enumerate(row.tolist()) if x)])
        for label, row in zip(labels, X, strict=True)
    )
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def make(folder, labels, n_rows=400, d=8, seed=5):
    """Overlapping classes in a svmlight file and in two .npy files."""
    rng = np.random.default_rng(seed)
    column = rng.integers(len(labels), size=n_rows)
    X = rng.standard_normal((n_rows, d)) + rng.standard_normal((len(labels), d))[column]
    X[rng.random(X.shape) < 0.4] = 0
    X[0, -1] = 1.0
    y = np.array(labels)[column]
    assert set(y) == set(labels)
    rows, labels_file = str(folder / "rows.npy"), str(folder / "labels.npy")
    np.save(rows, X)
    np.save(labels_file, y)
    return SimpleNamespace(
        X=X,
        y=y,
        labels=labels,
        svm=write_svm(folder / "data.svm", X, y),
        dense=(rows, "--labels", labels_file),
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return make(tmp_path_factory.mktemp("two"), (-1, 1))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return make(tmp_path_factory.mktemp("three"), (-2, 5, 9))


@pytest.fixture
def output(tmp_path):
    return str(tmp_path / "model.npz")


@pytest.fixture
def shown(run):
    """Run a command that must succeed; return the text."""

    def shown(*arguments):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        return out

    return shown


@pytest.fixture
def as_json(shown):
    """Run a command with --json; return the object."""
    return lambda *arguments: json.loads(shown(*arguments, "--json"), parse_constant=pytest.fail)


@pytest.fixture
def fails(run):
    """Run a command that must fail as the user's error; return the message."""

    def fails(*arguments):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("hingefast: error: ") and err.count("\n") == 1 and len(err) <= 501
        return err.removeprefix("hingefast: error: ").rstrip("\n")

    return fails


def load(path):
    with np.load(path) as file:  # allow_pickle is False
        return dict(file)


def errors_of(model, X, y):
    """Rows that are not right, from the definition."""
    scores = X @ model["coef"].T + model["intercept"]
    if scores.ndim == 1:
        return np.count_nonzero(np.where(y == model["classes"][1], 1, -1) * scores <= 0)
    right = model["classes"][:, None] == y
    return np.count_nonzero(
        scores.T[right.argmax(axis=0), np.arange(len(y))] <= np.where(right, -np.inf, scores.T).max(axis=0)
    )


# ---- what is trained


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("layout", ["svm", "dense"])
def test_the_model_is_what_is_told_and_what_eval_takes(request, as_json, shown, output, n_classes, layout):
    data = request.getfixturevalue("two" if n_classes == 2 else "three")
    files = (data.svm,) if layout == "svm" else data.dense
    told = as_json("fit", *files, "-o", output, "--tol", 1e-6)
    model = load(output)
    assert list(model) == ["version", "loss", "loss_parameters", "classes", "coef", "intercept", "dtype"]
    name = "squared_hinge" if n_classes == 2 else "one_vs_rest:squared_hinge"
    assert (model["version"], model["loss"], model["dtype"]) == (1, name, "float64") and told["loss"] == name
    assert model["classes"].tolist() == list(data.labels)
    assert model["coef"].shape == ((8,) if n_classes == 2 else (3, 8)) and told["gap"] <= 1e-6

    errors = errors_of(model, data.X, data.y)
    assert 0 < errors < 400
    part = told["training"]
    assert (part["errors"], part["accuracy"], told["test"]) == (errors, (400 - errors) / 400, None)
    assert f"{100 * (1 - errors / 400):.2f} %" in shown("fit", *files, "-o", output, "--tol", 1e-6)
    found = as_json("eval", *files, "--model", output)
    (line,) = found["losses"]
    assert (line["loss"], line["errors"], found["coef"]) == (name, errors, output)
    assert found["margins"] == part["margins"]
    # The objective is the mean loss and the penalty, intercept included, of alpha = 1/(C n).
    penalty = (np.sum(model["coef"] ** 2) + np.sum(model["intercept"] ** 2)) / (2 * 400)
    assert told["objective"] == pytest.approx(line["value"] + penalty, rel=1e-12)


@pytest.mark.parametrize("method", ["auto", *METHODS])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_method_arrives_at_the_same_minimum(request, as_json, output, method, n_classes):
    if method == "lbfgs":
        pytest.importorskip("scipy")
    data = request.getfixturevalue("two" if n_classes == 2 else "three")
    told = as_json("fit", data.svm, "-o", output, "--method", method, "--tol", 1e-7)
    exact = as_json("fit", data.svm, "-o", output, "--method", "newton", "--tol", 1e-12)
    assert told["method"] == ("newton" if method == "auto" else method)
    assert told["converged"] and told["gap"] <= 1e-7
    assert told["objective"] == pytest.approx(exact["objective"], rel=2e-7)


@pytest.mark.parametrize(
    "loss, classes", [("hinge", 2), ("logistic", 3), ("weston_watkins:logistic", 3), ("one_vs_rest", 2)]
)
def test_losses_by_name(request, as_json, output, loss, classes):
    data = request.getfixturevalue("two" if classes == 2 else "three")
    told = as_json("fit", data.svm, "-o", output, "--loss", loss)
    assert told["loss"] == ("one_vs_rest:logistic" if loss == "logistic" else loss)
    (line,) = as_json("eval", data.svm, "--model", output)["losses"]
    assert line["loss"] == told["loss"] and line["errors"] == told["training"]["errors"]


@pytest.mark.parametrize("labels", [(0, 1), (1, 2), (-1, 1)])
def test_labels_of_two_classes(as_json, tmp_path, output, labels):
    data = make(tmp_path, labels)
    told = as_json("fit", data.svm, "-o", output)
    assert told["classes"] == {"negative": labels[0], "positive": labels[1]}
    assert errors_of(load(output), data.X, data.y) == told["training"]["errors"] < 200
    turned = as_json("fit", data.svm, "-o", output, "--classes", f"{labels[1]},{labels[0]}")
    assert load(output)["classes"].tolist() == [labels[1], labels[0]]
    assert as_json("eval", data.svm, "--model", output)["margins"]["wrong"] == turned["training"]["errors"]


@pytest.mark.parametrize("intercept", ["penalized", "free", "none"])
def test_intercepts_and_C(as_json, two, output, intercept):
    told = as_json("fit", two.svm, "-o", output, "--intercept", intercept, "--C", 0.25, "--tol", 1e-8)
    assert told["alpha"] == 1 / 100 and told["C"] == 0.25
    options = {"penalized": {"penalize_intercept": True}, "free": {}, "none": {"fit_intercept": False}}[
        intercept
    ]
    objective = hf.Objective(two.X, two.y, loss="squared_hinge", alpha=0.01, **options)
    assert told["objective"] == pytest.approx(hf.minimize(objective, tol=1e-8).fun, rel=1e-7)
    assert (load(output)["intercept"] == 0) == (intercept == "none")


def test_float32_is_kept(as_json, two, output):
    told = as_json("fit", two.svm, "-o", output, "--dtype", "float32")
    model = load(output)
    assert model["coef"].dtype == model["intercept"].dtype == np.float32 and model["dtype"] == "float32"
    found = as_json("eval", two.svm, "--model", output)
    assert found["dtype"] == "float32" and found["margins"] == told["training"]["margins"]
    assert as_json("eval", two.svm, "--model", output, "--dtype", "float64")["dtype"] == "float64"


def test_the_table_says_what_the_json_says(as_json, shown, three, output):
    told = as_json("fit", *three.dense, "-o", output, "--test", 0.25)
    out = shown("fit", *three.dense, "-o", output, "--test", 0.25)
    assert out.isascii() and all(len(line) <= 120 for line in out.splitlines())
    facts = [output, "labels in", "one_vs_rest:squared_hinge, C 1 (alpha ", "intercept penalised", "newton: "]
    facts += [
        "100 rows held out at random, seed 0",
        f"{told['objective']:.8g}",
        f"{told['gap']:.3g}",
        "  time ",
    ]
    facts += ["Margins of 300 rows", "support vectors"]
    assert all(fact in out for fact in facts)
    for name, key in (("training", "training"), ("held out", "test")):
        part = told[key]
        cells = [*name.split(), str(part["rows"]), str(part["errors"]), f"{100 * part['accuracy']:.2f}", "%"]
        assert cells in [line.split() for line in out.splitlines()]


def test_out_of_iterations_is_told_and_the_model_is_written(shown, as_json, two, output):
    arguments = ("fit", two.svm, "-o", output, "--max-iter", 1, "--tol", 1e-12)
    assert "not converged after 1 iterations" in shown(*arguments)
    assert as_json(*arguments)["converged"] is False and load(output)["version"] == 1


# ---- rows held out


def test_a_share_is_held_out_by_the_seed_and_exactly(as_json, two, tmp_path, output):
    def bits(*options, data=two.svm):
        told = as_json("fit", data, "-o", output, *options)
        with open(output, "rb") as file:
            return file.read(), told

    first, told = bits("--test", 0.3, "--seed", 7)
    assert (told["training"]["rows"], told["test"]["rows"], told["held_out"]) == (280, 120, 0.3)
    assert told["alpha"] == 1 / 280
    assert bits("--test", 0.3, "--seed", 7)[0] == first != bits("--test", 0.3)[0]
    held_out = fit_module._held_out(400, 0.3, 7, "")
    errors = errors_of(load(output), two.X, two.y)
    assert np.count_nonzero(held_out) == 120 and errors == sum(
        bits("--test", 0.3)[1][part]["errors"] for part in ("training", "test")
    )
    changed = np.where(held_out[:, None], -9.0, two.X)
    data = write_svm(tmp_path / "changed.svm", changed, two.y)
    again, told_again = bits("--test", 0.3, "--seed", 7, data=data)
    assert again == first and told_again["test"]["errors"] != told["test"]["errors"]
    alone = write_svm(tmp_path / "alone.svm", two.X[~held_out], two.y[~held_out])
    assert bits("--tol", 1e-9, data=alone)[1]["objective"] == pytest.approx(told["objective"], rel=1e-4)


def test_rows_to_train_on_are_not_copied(two, output, monkeypatch, run):
    seen = []

    def reading(*arguments, **keywords):
        X, y = read_data(*arguments, **keywords)
        seen.append(X)
        return X, y

    class Watched(hf.Objective):
        def __init__(self, X, y, **options):
            seen.append(X)
            super().__init__(X, y, **options)

    monkeypatch.setattr(fit_module, "read_data", reading)
    monkeypatch.setattr(hf, "Objective", Watched)
    assert run("fit", two.svm, "-o", output, "--test", 0.5)[0] == 0
    assert seen[-1] is seen[-2]


def test_another_file_as_test(as_json, fails, two, tmp_path, output):
    other = write_svm(tmp_path / "other.svm", two.X[:50, :5], two.y[:50])
    told = as_json("fit", two.svm, "-o", output, "--test", other)
    wide = np.hstack([two.X[:50, :5], np.zeros((50, 3))])
    assert (
        told["test"]["errors"] == errors_of(load(output), wide, two.y[:50]) and told["test"]["file"] == other
    )
    assert as_json("eval", other, "--model", output)["margins"] == told["test"]["margins"]
    assert as_json("eval", other, "--model", output, "--n-features", 6)["features"] == 8

    longer = write_svm(tmp_path / "longer.svm", np.hstack([two.X, two.X])[:3], two.y[:3])
    message = f"{longer} has 16 features, {{}} has 8; the largest id is 16, in line {{}} of {longer}"
    line = 1 + int(np.argmax(two.X[:3, -1] != 0))
    assert fails("fit", two.svm, "-o", output, "--test", longer) == (
        message.format(f"the model of {two.svm}", line)
    )
    assert fails("eval", longer, "--model", output) == message.format(output, line)
    assert fails("eval", other, "--model", output, "--n-features", 9) == (
        f"{other} has 9 features, {output} has 8; --n-features says so"
    )
    strange = write_svm(tmp_path / "strange.svm", two.X[:2], [1, 3])
    assert fails("fit", two.svm, "-o", output, "--test", strange) == (
        f"{strange} has the labels 1, 3, the model knows -1 and 1"
    )
    assert (
        fails("eval", strange, "--model", output) == f"{strange} has the labels 1, 3, {output} knows -1 and 1"
    )
    assert fails("fit", two.svm, "-o", output, "--test", tmp_path / "absent").startswith("cannot read ")


def test_an_array_as_test(as_json, fails, two, output):
    rows, _, labels = two.dense
    told = as_json("fit", two.svm, "-o", output, "--test", rows, "--test-labels", labels)
    assert told["test"]["margins"] == told["training"]["margins"]
    assert "name them by --test-labels FILE" in fails("fit", two.svm, "-o", output, "--test", rows)
    assert "leave out --test-labels" in fails(
        "fit", two.svm, "-o", output, "--test", two.svm, "--test-labels", labels
    )
    swapped = fails("fit", two.svm, "-o", output, "--test", labels, "--test-labels", rows)
    assert swapped.endswith("(are --test and --test-labels swapped?)")
    assert fails("fit", two.svm, "-o", output, "--test-labels", labels).startswith(
        "--test-labels names the labels"
    )


# ---- errors of the user


@pytest.mark.parametrize(
    "options, part",
    [
        (["--C", "0"], "argument --C: must be finite and > 0, got '0'"),
        (["--C", "1e-312"], "--C 1e-312 is too small for 400 rows"),
        (["--C", "1e308"], "--C 1e+308 is too large for 400 rows"),
        (["--tol", "-1"], "argument --tol: must be finite and >= 0"),
        (["--max-iter", "0"], "argument --max-iter: must be a positive integer"),
        (["--seed", str(2**32)], "argument --seed: must be an integer in [0, 2^32), got '4294967296'"),
        (["--test", "0"], "must be a share between 0 and 1, or a file (./0 is one), got '0'"),
        (["--test", "1"], "must be a share between 0 and 1"),
        (["--test", "nan"], "must be a share between 0 and 1"),
        (["--test", "0.9999"], "--test 0.9999 leaves none of the 400 rows of "),
        (["--method", "sgd"], "argument --method: invalid choice: 'sgd'"),
        (["--intercept", "some"], "argument --intercept: invalid choice"),
        (["--loss", "hing"], "loss is 'hing', must be one of hinge, "),
        (["--loss", "top_k_hinge"], "top_k_hinge is not for the command line"),
        (["--loss", "weston_watkins"], "no method minimises WestonWatkins(base=Hinge("),
        (["--loss", "hinge", "--method", "lbfgs"], "method 'lbfgs' needs a loss with a second derivative"),
        (["--loss", "logistic", "--method", "dual_cd"], "method 'dual_cd' needs the hinge or a loss"),
        (["--classes", "0,1"], "has the labels -1, 1, --classes names 0 and 1"),
        (["--n-features", "3"], "is larger than n_features=3"),
    ],
)
def test_options_that_do_not_fit(fails, two, output, options, part):
    assert part in fails("fit", two.svm, "-o", output, *options)
    assert not os.path.exists(output)


def test_a_model_must_be_named(fails, two):
    assert "required: -o/--output" in fails("fit", two.svm)


def test_what_needs_no_data_is_refused_before_they_are_read(fails, output, tmp_path):
    absent = str(tmp_path / "absent")
    assert fails("fit", absent, "-o", output, "--loss", "hinge", "--method", "lbfgs").startswith(
        "method 'lbfgs' "
    )
    assert fails("fit", absent, "-o", tmp_path).endswith("Is a directory")
    assert fails("fit", absent, "-o", output) == f"cannot read {absent}: No such file or directory"


def test_lbfgs_without_scipy(fails, two, output, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    message = fails("fit", two.svm, "-o", output, "--method", "lbfgs")
    assert message == "method 'lbfgs' is SciPy's, which is not installed: pip install scipy"


@pytest.mark.parametrize("number, dtype", [("nan", "float64"), ("-inf", "float64"), ("1e39", "float32")])
def test_numbers_that_are_not_finite_are_named(fails, tmp_path, output, number, dtype):
    path = tmp_path / "data.svm"
    path.write_text(f"1 1:1\n-1\n1 1:1 4:{number}\n-1 1:{number}\n")
    told = {"nan": "nan", "-inf": "-inf as float64", "1e39": "inf as float32"}[number]
    place = "in row 2, column 3 (both from 0); training needs finite numbers"
    assert fails("fit", path, "-o", output, "--dtype", dtype) == f"{path} has {told} {place}"
    X = np.zeros((4, 5))
    X[2, 3] = float(number)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", [0, 1, 0, 1])
    dense = (tmp_path / "X.npy", "--labels", tmp_path / "y.npy")
    assert fails("fit", *dense, "-o", output, "--dtype", dtype) == f"{dense[0]} has {told} {place}"


def test_rows_of_one_class_only(fails, tmp_path, output):
    path = tmp_path / "data.svm"
    path.write_text("1 1:1\n1 2:1\n")
    message = f"{path}: all rows to train on are of class 1, there must be two at least"
    assert fails("fit", path, "-o", output, "--classes", "0,1") == message
    path.write_text("1 1:1\n-1 2:1\n")
    assert "all rows to train on are of class" in fails("fit", path, "-o", output, "--test", 0.5)


def test_memory_that_runs_out_is_told(fails, tmp_path, two, output, monkeypatch):
    path = tmp_path / "data.svm"
    path.write_text(f"1 1:1\n-1 {2**42}:1\n")
    assert fails("fit", path, "-o", output).startswith(f"not enough memory: coef needs {2**42:,} numbers; ")

    def nothing_left(*arguments, **keywords):
        raise MemoryError

    monkeypatch.setattr(hf, "Objective", lambda *arguments, **keywords: nothing_left())
    monkeypatch.setattr(fit_module, "_check_method", lambda *arguments: None)
    assert fails("fit", two.svm, "-o", output).startswith("not enough memory to train on ")


# ---- the file that is written


def test_the_data_are_not_overwritten(fails, two, tmp_path):
    for files, target in (
        ((two.svm,), two.svm),
        (two.dense, two.dense[2]),
        ((two.svm, "--test", two.dense[0], "--test-labels", two.dense[2]), two.dense[0]),
    ):
        link = tmp_path / "link"
        link.symlink_to(target)
        for path in (target, link):
            assert fails("fit", *files, "-o", path) == f"{path} is read, the model must be another file"
        link.unlink()


def test_places_that_cannot_be_written(fails, two, tmp_path):
    absent = tmp_path / "absent" / "model"
    assert fails("fit", two.svm, "-o", absent) == f"cannot write {absent}: No such file or directory"
    assert fails("fit", two.svm, "-o", tmp_path) == f"cannot write {tmp_path}: Is a directory"
    assert fails("fit", two.svm, "-o", "") == "cannot write '': No such file or directory"
    assert fails("fit", two.svm, "-o", "a\0b") == r"cannot write a\x00b: no file can be called so"
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if not os.access(closed, os.W_OK):
        assert fails("fit", two.svm, "-o", closed / "model").endswith("model: Permission denied")


def test_an_older_model_is_replaced_where_it_is(shown, two, three, tmp_path, output):
    shown("fit", three.svm, "-o", output)
    os.chmod(output, 0o640)
    link = tmp_path / "link.npz"
    link.symlink_to(output)
    shown("fit", two.svm, "-o", link)
    assert link.is_symlink() and load(output)["loss"] == "squared_hinge"
    assert stat.S_IMODE(os.stat(output).st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "model.npz"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such files here")
def test_what_is_no_file_is_written_to(shown, fails, two):
    shown("fit", two.svm, "-o", "/dev/null")
    assert not stat.S_ISREG(os.stat("/dev/null").st_mode)
    assert fails("fit", two.svm, "-o", "/dev/full") == "cannot write /dev/full: No space left on device"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_writing_that_fails_leaves_what_was_there(run, two, tmp_path, output, monkeypatch, error):
    with open(output, "wb") as file:
        file.write(b"old")
    original = np.lib.format.write_array

    def failing(file, array, **keywords):
        if array.size > 1:
            raise error
        original(file, array, **keywords)

    monkeypatch.setattr(np.lib.format, "write_array", failing)
    code, out, err = run("fit", two.svm, "-o", output)
    message = f"error: cannot write {output}: No space left on device"
    if isinstance(error, KeyboardInterrupt):
        message = f"interrupted, {output} is not written"
    assert (code, out, err) == (2 if isinstance(error, OSError) else 130, "", f"hingefast: {message}\n")
    assert os.listdir(tmp_path) == ["model.npz"] and os.path.getsize(output) == 3


def test_the_model_is_there_when_the_reader_of_the_output_is_not(two, output):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        command(two.svm, "-o", output), stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"") and load(output)["version"] == 1


# ---- files that are no models

GOOD = {
    "version": np.array(1),
    "loss": np.array("squared_hinge"),
    "loss_parameters": np.array([1.0]),
    "classes": np.array([-1, 1]),
    "coef": np.arange(8.0),
    "intercept": np.array(0.5),
    "dtype": np.array("float64"),
}
SEVERAL = {
    **GOOD,
    "loss": np.array("one_vs_rest"),
    "loss_parameters": np.array([1.0, 0.0]),
    "classes": np.array([-1, 1, 3]),
    "coef": np.ones((3, 8)),
    "intercept": np.ones(3),
}


class Unpickled:
    """What must never come to life."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def objects(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


def text_of_no_characters():
    return np.array([0x41, 0x7FFFFFFF], np.uint32).view("U2")[0:1].reshape(())


HOSTILE = [  # (arrays that replace those of a model, the message after the name of the file)
    (
        {"version": np.array(2)},
        " is a model of version 2, this hingefast reads versions up to 1: a newer one is needed",
    ),
    ({"version": np.array(2), "loss": None}, " is a model of version 2, "),
    ({"version": np.array(0)}, ": version must be a number >= 1, got 0"),
    ({"version": np.array([1])}, ": version must be a number >= 1, got [1]"),
    ({"version": np.array(1.0)}, ": version must hold real numbers, got float64"),
    *(({name: None}, f" is not a model, as hingefast fit writes it: it has no {name}") for name in GOOD),
    ({"loss": np.array("hing")}, ": no loss is called 'hing'"),
    ({"loss": np.array("crammer_singer:")}, ": loss_parameters must have shape (2,) for hinge, got (1,)"),
    ({"loss": np.array("top_k_hinge")}, ": no loss is called 'top_k_hinge'"),
    ({"loss": np.array("one_vs_rest:one_vs_rest")}, ": no loss is called 'one_vs_rest:one_vs_rest'"),
    ({"loss": np.array("x" * 1000)}, ": loss must be one name"),
    ({"loss": np.array(["squared_hinge"])}, ": loss must be one name, got shape (1,)"),
    ({"loss": np.array(b"squared_hinge")}, ": loss must hold text, got |S13"),
    ({"loss": np.array(7)}, ": loss must hold text, got int64"),
    ({"loss": objects(Unpickled())}, ": loss must hold text, got object"),
    ({"loss_parameters": np.array([-1.0])}, ": margin is -1"),
    ({"loss_parameters": np.array([np.nan])}, ": margin is nan"),
    (
        {"loss_parameters": np.ones((1, 1))},
        ": loss_parameters must have shape (1,) for squared_hinge, got (1, 1)",
    ),
    ({"classes": np.array([1, 1])}, ": classes must be different finite numbers"),
    ({"classes": np.array([1, np.nan])}, ": classes must be different finite numbers"),
    ({"classes": np.array([0, 1, 2])}, ": classes must have shape (2,), a label for each class, got (3,)"),
    ({"classes": np.array(["a", "b"])}, ": classes must hold real numbers, got <U1"),
    ({"coef": np.ones((1, 8))}, ": coef must have shape (d,), got (1, 8)"),
    ({"coef": np.array(1.0)}, ": coef must have shape (d,), got ()"),
    ({"coef": np.ones(8, np.float32)}, ": coef must be of dtype float64, got float32"),
    ({"coef": np.ones(8, np.float16)}, ": coef must be of dtype float64, got float16"),
    ({"coef": np.ones(8, int)}, ": coef must hold real numbers, got int64"),
    ({"coef": np.ones(8, complex)}, ": coef must hold real numbers, got complex128"),
    ({"coef": objects(Unpickled(), 1)}, ": coef must hold real numbers, got object"),
    ({"coef": np.zeros(8, [("a", "f8")])}, ": coef must hold real numbers, got "),
    ({"coef": np.array([0, np.nan, 1])}, ": coef[1] is nan, must be finite"),
    ({"intercept": np.array(np.inf)}, ": intercept is inf, must be finite"),
    ({"intercept": np.ones(1)}, ": intercept must have shape (), got (1,)"),
    ({"dtype": np.array("float16")}, ": dtype is 'float16', must be 'float32' or 'float64'"),
    ({"dtype": np.array("float32")}, ": coef must be of dtype float32, got float64"),
    ({**SEVERAL, "coef": np.ones((1, 8))}, ": coef must have shape (K, d) with K >= 2, got (1, 8)"),
    ({**SEVERAL, "coef": np.ones(8)}, ": coef must have shape (K, d) with K >= 2, got (8,)"),
    ({**SEVERAL, "intercept": np.ones(2)}, ": intercept must have shape (3,), got (2,)"),
    (
        {**SEVERAL, "classes": np.array([0, 1])},
        ": classes must have shape (3,), a label for each class, got (2,)",
    ),
    ({**SEVERAL, "classes": np.array([0, 1, 2.5])}, ": more than two classes must be integers"),
    ({**SEVERAL, "coef": np.array([[1.0], [2], [np.inf]])}, ": coef[2, 0] is inf, must be finite"),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # np.savez about pickles of old
@pytest.mark.parametrize("changes, message", HOSTILE)
def test_models_that_are_none(fails, two, output, changes, message):
    arrays = {name: array for name, array in {**GOOD, **changes}.items() if array is not None}
    np.savez(output, **arrays)
    told = fails("eval", two.svm, "--model", output)
    assert told.startswith(output + message)


def npy(header, content=b""):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def archive(path, compression=zipfile.ZIP_STORED, **members):
    """A model some of whose files are these bytes."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, array in GOOD.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            file.writestr(f"{name}.npy", members.get(name, buffer.getvalue()))


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"


@pytest.mark.parametrize(
    "content, message",
    [
        (npy(HUGE % 2**40), ": coef: damaged: the header promises 8,796,093,022,208 bytes"),
        (npy(HUGE % 2**62), ": coef: damaged: the header promises "),
        (npy(HUGE % (10**30)), ": coef: damaged: an array of shape "),
        (npy(HUGE % "-1"), ": coef: damaged: an array of shape (-1,)"),
        (npy(HUGE % 1), ": coef: damaged: the header promises 8 bytes"),
        (
            npy(HUGE % 1, b"x" * 9),
            ": coef: damaged: the header promises 8 bytes (float64 of shape (1,)), more follow",
        ),
        (npy("__import__('os').abort()"), ": coef: damaged: its .npy header cannot be read"),
        (
            npy("{'descr': '<U99999999', 'fortran_order': False, 'shape': (9,)}"),
            ": coef must hold real numbers",
        ),
        (b"\x93NUMPY\x01", ": coef: damaged: "),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", ": coef: damaged: its .npy header cannot be read"),
        (b"\x80\x04\x95", ": coef is not an .npy file"),
        (b"", ": coef is not an .npy file"),
        (b"\0\0\x08\x01\0\0\0\x01x", ": coef is not an .npy file"),
    ],
)
def test_members_that_promise_too_much(fails, two, output, content, message):
    archive(output, coef=content)
    assert fails("eval", two.svm, "--model", output).startswith(output + message)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_archives_that_are_none(fails, two, output):
    def told(content=None):
        if content is not None:
            with open(output, "wb") as file:
                file.write(content)
        message = fails("eval", two.svm, "--model", output)
        assert message.startswith(output)
        return message.removeprefix(output)

    no_zip = " is not a model, as hingefast fit writes it: no .npz file"
    for content in (b"", b"P", b"1 1:1\n", b"\x93NUMPY\x01\x00", b"\x80\x04\x95pickle", b"\x1f\x8b"):
        assert told(content) == no_zip
    assert told(b"PK\x05\x06" + bytes(18)) == " is not a model, as hingefast fit writes it: it has no version"
    assert told(b"PK\x03\x04" + b"x" * 100).startswith(": damaged: File is not a zip file")
    archive(output, zipfile.ZIP_DEFLATED, coef=npy(HUGE % 10**7, bytes(8 * 10**7)))
    assert os.path.getsize(output) < 2 * 10**5
    assert told() == ": version is compressed: in a model nothing is"
    # A list of its arrays that would take memory.
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, 3 * 2**20, 0, 0)
    message = ": damaged: 3,145,728 bytes at once are too many for the list of its arrays"
    assert told(b"PK" + bytes(3 * 2**20 - 2) + end) == message

    archive(output)
    with open(output, "rb") as file:
        whole = file.read()
    for n_bytes in range(2, len(whole), 37):
        assert told(whole[:n_bytes]).startswith(": damaged: ")
    rng = np.random.default_rng(3)
    outcomes = set()
    for _ in range(300):  # a byte changed anywhere: another model, or an error in one line
        content = bytearray(whole)
        content[rng.integers(2, len(whole))] ^= 1 << rng.integers(8)
        with open(output, "wb") as file:
            file.write(content)
        outcomes.add(outcome(output))
    assert outcomes == {"read", "refused"}


def outcome(path):
    """What comes of a file: a model, or an error in one line that names it."""
    try:
        model_file.read_model(path)
    except model_file.DataFileError as error:
        return "refused" if re.fullmatch(re.escape(path) + "[: ].{1,400}", str(error)) else str(error)
    return "read"


def test_text_that_is_none(fails, two, output):
    np.savez(output, **{**GOOD, "loss": text_of_no_characters()})
    assert "loss" in fails("eval", two.svm, "--model", output)


def test_files_that_cannot_be_read_as_models(fails, two, tmp_path):
    absent = tmp_path / "absent"
    assert fails("eval", two.svm, "--model", absent) == f"cannot read {absent}: No such file or directory"
    assert fails("eval", two.svm, "--model", tmp_path) == f"cannot read {tmp_path}: Is a directory"
    assert fails("eval", two.svm, "--model", "a\0b") == r"cannot read a\x00b: No such file or directory"
    reading, writing = os.pipe()
    if os.path.exists(f"/dev/fd/{reading}"):
        pipe = f"/dev/fd/{reading}"
        assert fails("eval", two.svm, "--model", pipe) == f"{pipe} is a pipe: a model must be a file"
    os.close(reading)
    os.close(writing)


def test_models_and_options_that_do_not_fit(fails, as_json, two, three, output, tmp_path):
    np.savez(output, **GOOD)
    assert fails("eval", two.svm, "--model", output, "--coef", output).endswith(
        '(see "hingefast eval --help")'
    )
    assert fails("eval", two.svm, "--model", output, "--classes", "-1,1") == (
        f"{output} names its classes: leave out --classes"
    )
    assert fails("eval", two.svm, "--model", output, "--loss", "crammer_singer") == (
        f"crammer_singer wants a score for each class, {output} has one score a row"
    )
    assert "the labels -2, 5, 9" in fails("eval", three.svm, "--model", output)
    rows = tmp_path / "rows.npy"
    np.save(rows, two.X[:, :3])
    assert fails("eval", rows, "--labels", two.dense[2], "--model", output) == (
        f"{rows} has 3 features, {output} has 8"
    )
    lines = as_json("eval", two.svm, "--model", output, "--loss", "hinge", "logistic")["losses"]
    assert [line["loss"] for line in lines] == ["hinge", "logistic"]
    np.savez(output, **{**GOOD, "loss_parameters": np.array([2.5])})
    (line,) = as_json("eval", two.svm, "--model", output)["losses"]
    assert line["parameters"] == {"margin": 2.5}
    np.savez(output, **SEVERAL)
    assert fails("eval", two.svm, "--model", output, "--loss", "hinge").startswith(
        "hinge wants one score a row"
    )
    assert as_json("eval", two.svm, "--model", output, "--all")["classes"] == [-1, 1, 3]


# ---- progress, and Ctrl-C


def command(*arguments):
    return [sys.executable, "-P", "-W", "error", "-m", "hingefast", "fit", *map(str, arguments)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def line_of(text):
    """What is left to see of one line."""
    seen, at = [], 0
    for character in text:
        if character == "\r":
            at = 0
            continue
        seen[at : at + 1] = [character]
        at += 1
    return "".join(seen).rstrip()


def test_progress_is_one_line_that_is_wiped(two, output, monkeypatch):
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "PAUSE_SECONDS", 0.0)
    terminal = Terminal()
    fit_module.fit(two.svm, output, method="newton", tol=1e-12, terminal=terminal)
    text = terminal.getvalue()
    parts = text.split("\r")
    assert text.startswith("\rnewton: 0 s, iteration ") and "\n" not in text and len(parts) > 4
    assert all(len(part) < 80 for part in parts) and "gap" in text
    assert line_of(text) == "" and line_of("\r".join(parts[:-2])).startswith("newton: 0 s, iteration ")


def test_nothing_is_told_of_what_is_quick_or_on_no_terminal(two, output, monkeypatch, run):
    terminal = Terminal()
    fit_module.fit(two.svm, output, terminal=terminal)
    assert terminal.getvalue() == ""
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    assert run("fit", two.svm, "-o", output)[2] == ""
    assert not progress.is_terminal(None) and not progress.is_terminal(io.StringIO())
    terminal.close()
    assert not progress.is_terminal(terminal)


def test_a_terminal_that_is_gone_ends_nothing(two, output, monkeypatch):
    class Gone(Terminal):
        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    fit_module.fit(two.svm, output, tol=1e-12, terminal=Gone())
    assert load(output)["version"] == 1


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """Arguments of a training that takes minutes."""
    folder = tmp_path_factory.mktemp("endless")
    rng = np.random.default_rng(1)
    np.save(folder / "rows.npy", rng.standard_normal((2000, 30)))
    np.save(folder / "labels.npy", rng.integers(2, size=2000))
    options = "--loss hinge --C 1e6 --tol 0 --method dual_cd --max-iter 1000000000 --threads 1"
    return [folder / "rows.npy", "--labels", folder / "labels.npy", *options.split()]


def read_until(descriptor, pattern, seconds=30):
    """What comes from a terminal until there is a match, or the other side is closed."""
    content, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([descriptor], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # how Linux tells that nobody is there
            break
        content += piece
        if not piece or (pattern and re.search(pattern, content)):
            break
    return content


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX terminal")
def test_ctrl_c_at_a_terminal(endless, tmp_path):
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(*endless, "-o", tmp_path / "m"), stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        content = read_until(ours, rb"\rdual_cd: \d+ s, iteration [\d,]+, value [\d.]+, gap ")
        assert b"\rdual_cd: " in content
        process.send_signal(signal.SIGINT)
        content += read_until(ours, None)
        assert process.wait(10) == 130 and process.stdout.read() == b""
    os.close(ours)
    *wiped, told = content.decode().removesuffix("\r\n").split("\r")
    assert told == f"hingefast: interrupted, {tmp_path / 'm'} is not written"
    assert line_of("\r".join(wiped)) == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_ctrl_c_while_the_data_are_read(tmp_path):
    data, output = tmp_path / "data.svm", tmp_path / "model.npz"
    os.mkfifo(data)
    # Warnings are off: a file that is not yet closed when the signal comes is one.
    arguments = [word for word in command(data, "-o", output) if word not in ("-W", "error")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, **pipes) as process, open(data, "wb"):  # once it has opened it, too
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert err.decode() == f"hingefast: interrupted, {output} is not written\n"
    assert os.listdir(tmp_path) == ["data.svm"]
