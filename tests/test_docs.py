"""Promise: what README and docstrings show runs, and every public name says what it takes, gives and raises."""

import doctest
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import TESTS, run_python

import hingefast as hf

pytestmark = pytest.mark.any_python

README = TESTS.parent / "README.md"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def python_blocks():
    """(line, code) of the README's Python blocks."""
    text = README.read_text(encoding="utf-8")
    found = FENCE.finditer(text)
    return [
        (text[: m.start()].count("\n") + 1, m.group(2)) for m in found if m.group(1) in ("python", "pycon")
    ]


def test_readme_runs(tmp_path, monkeypatch):
    """All blocks in their order share one namespace; a block with prompts is a doctest, without it is executed."""
    if not README.exists():
        pytest.skip("no README beside the tests")
    pytest.importorskip("sklearn")
    shutil.copytree(README.parent / "examples", tmp_path / "examples")  # not where the sources are
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks()
    assert blocks, "the README shows no Python"
    names = {"__name__": "readme"}
    for line, code in blocks:
        if ">>>" in code:
            test = doctest.DocTestParser().get_doctest(code, names, f"README.md:{line}", "README.md", line)
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            messages = []
            runner.run(test, out=messages.append, clear_globs=False)
            assert not runner.failures, "".join(messages)
            names.update(test.globs)
        else:
            exec(compile("\n" * line + code, str(README), "exec"), names)


def public_objects():
    """(name, object) of everything public: names of the package, and the methods and properties of its classes."""
    for name in hf.__all__:
        thing = getattr(hf, name)
        yield name, thing
        if inspect.isclass(thing) and thing.__module__.startswith("hingefast"):
            for member, value in inspect.getmembers(thing):
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    if not isinstance(value, type) and hasattr(Exception, member) is False:
                        yield f"{name}.{member}", value


PUBLIC = dict(public_objects())
FUNCTIONS = {
    name: thing
    for name, thing in PUBLIC.items()
    if not inspect.isclass(thing) and not isinstance(thing, property) and callable(thing)
}
CLASSES = {name: thing for name, thing in PUBLIC.items() if inspect.isclass(thing)}


def test_the_public_names_of_the_interface():
    """What the interface promises is there; more may be."""
    for name in [
        "Hinge",
        "PerceptronLoss",
        "SquaredHinge",
        "SmoothHinge",
        "ModifiedHuber",
        "HuberizedHinge",
        "HuberMargin",
        "GaussianHinge",
        "AlgebraicHinge",
        "SoftplusHinge",
        "LogisticLoss",
        "CrammerSinger",
        "WestonWatkins",
        "OneVsRest",
        "TopKHinge",
        "CostSensitiveHinge",
        "get_loss",
        "linear_value_and_grad",
        "decision_function",
        "margin_report",
        "Objective",
        "InvalidCSRError",
        "show_config",
    ]:
        assert name in hf.__all__ and hasattr(hf, name)
    assert len(FUNCTIONS) > 15 and len(CLASSES) > 10
    assert set(hf.__all__) <= set(dir(hf))
    assert issubclass(hf.InvalidCSRError, ValueError)


def sections(thing):
    """Section titles of a numpydoc docstring."""
    return re.findall(r"^(\w[\w ]*)\n-{3,}$", inspect.getdoc(thing) or "", re.MULTILINE)


@pytest.mark.parametrize("name", list(PUBLIC))
def test_docstrings_exist(name):
    doc = inspect.getdoc(PUBLIC[name])
    assert doc and len(doc.split()) >= 2
    summary = doc.split("\n\n")[0]
    assert summary.rstrip().endswith((".", ":")), summary


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_docstrings_of_functions(name):
    """Parameters, Returns and Raises where there are any; every argument is described."""
    thing = FUNCTIONS[name]
    given = [p for p in inspect.signature(thing).parameters.values() if p.name != "self"]
    found = sections(thing)
    referred = re.search(r"Parameters and errors are those of `(\w+)`", inspect.getdoc(thing) or "")
    if referred:  # the text is in one place: a sister method, which must have it
        assert "Returns" in found
        sister = FUNCTIONS[f"{name.rpartition('.')[0]}.{referred.group(1)}"]
        assert {"Parameters", "Raises"} <= set(sections(sister))
        return
    if given:
        assert "Parameters" in found
    assert "Returns" in found
    if given:  # errors that all methods have in common stand in the class
        owner = PUBLIC[name.partition(".")[0]]
        assert "Raises" in found or (owner is not thing and "Raises" in sections(owner))
    documented = inspect.getdoc(thing)
    for parameter in given:
        assert re.search(
            rf"^(\w+, )*\*{{0,2}}{parameter.name}\b(, \w+)*\s*:|\b{parameter.name}\b", documented, re.M
        ), (
            name,
            parameter.name,
        )


@pytest.mark.parametrize("name", list(CLASSES))
def test_docstrings_of_classes(name):
    thing = CLASSES[name]
    if issubclass(thing, Exception):
        return
    found = sections(thing)
    parameters = [p for p in inspect.signature(thing).parameters if p not in ("args", "kwargs")]
    if parameters:
        assert "Parameters" in found or "Attributes" in found
        documented = inspect.getdoc(thing)
        for parameter in parameters:
            assert re.search(rf"\b{parameter}\b", documented), (name, parameter)


def modules():
    """The package's importable modules, by file name."""
    root = Path(hf.__file__).parent
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        if parts[-1] == "__main__":
            continue
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", list(modules()))
def test_doctests(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = __import__(name, fromlist=["_"])
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_there_are_doctests():
    """Every public function and every loss shows an example."""
    finder = doctest.DocTestFinder(recurse=False)
    for name in (
        "linear_value_and_grad",
        "decision_function",
        "margin_report",
        "Objective",
        "Hinge",
        "LogisticLoss",
        "CrammerSinger",
        "WestonWatkins",
        "OneVsRest",
        "TopKHinge",
        "CostSensitiveHinge",
    ):
        tests = finder.find(getattr(hf, name), name)
        assert tests and tests[0].examples, name


def test_signatures_of_the_interface():
    """Names, order, defaults and which arguments are keywords only."""

    def shape(function):
        parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
        plain = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        return plain, {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    common = {"sample_weight": None, "class_weight": None, "classes": None, "reduction": "mean"}
    assert shape(hf.linear_value_and_grad) == (
        ["X", "y", "coef", "intercept"],
        {"loss": "hinge", "alpha": 0.0, **common, "rows": None, "out": None, "n_threads": None},
    )
    assert shape(hf.decision_function) == (
        ["X", "coef", "intercept"],
        {"rows": None, "out": None, "n_threads": None},
    )
    assert shape(hf.margin_report) == (
        ["y", "scores"],
        {"coef": None, "sample_weight": None, "classes": None},
    )
    plain, keywords = shape(hf.Objective)
    assert plain == ["X", "y"]
    required = {
        "loss": inspect.Parameter.empty,
        "alpha": 0.0,
        "fit_intercept": True,
        "penalize_intercept": False,
    }
    assert keywords == {**required, **common, "dtype": None, "n_threads": None}
    for loss in (
        hf.Hinge,
        hf.CrammerSinger,
        hf.WestonWatkins,
        hf.OneVsRest,
        hf.TopKHinge,
        hf.CostSensitiveHinge,
    ):
        for method in ("value", "grad", "value_and_grad", "__call__"):
            assert shape(getattr(loss, method)) == (
                ["y", "scores"],
                {**common, "out": None, "n_threads": None},
            )
    for loss in (hf.CrammerSinger, hf.WestonWatkins, hf.OneVsRest):
        assert [(p.name, p.default) for p in inspect.signature(loss).parameters.values()] == [
            ("base", "hinge")
        ]
    assert [(p.name, p.default) for p in inspect.signature(hf.TopKHinge).parameters.values()] == [
        ("k", inspect.Parameter.empty),
        ("variant", "alpha"),
    ]
    assert list(inspect.signature(hf.CostSensitiveHinge).parameters) == ["cost"]
    assert shape(hf.Objective.step) == (["theta", "lr"], {"rows": None})
    assert shape(hf.Objective.value) == (["theta"], {"rows": None})
    assert shape(hf.Objective.grad) == (["theta"], {"rows": None, "out": None})
    assert shape(hf.Objective.hessp) == (["theta", "v"], {})


def test_import_brings_numpy_alone():
    """Neither SciPy nor anything else that is not ours, NumPy's or the standard library's; nor does a CSR call."""
    code = """
import sys
import numpy
before = set(sys.modules)
import hingefast as hf
from types import SimpleNamespace
X = SimpleNamespace(indptr=numpy.array([0, 1, 2]), indices=numpy.array([0, 1]), data=numpy.ones(2), shape=(2, 2))
hf.linear_value_and_grad(X, [1, -1], [1.0, 2.0])
hf.Objective(X, [1, -1], loss="squared_hinge").value([0.5, 0.5, 0.0])
hf.linear_value_and_grad(X, [0, 1], [[1.0, 2.0], [0.5, 0.0]], loss="crammer_singer")
foreign = {name.partition(".")[0] for name in set(sys.modules) - before}
cython = {name for name in foreign if name == "cython_runtime" or name.startswith("_cython_")}  # made by our modules
print(sorted(foreign - cython - set(sys.stdlib_module_names) - {"hingefast", "numpy"}))
print("scipy" in sys.modules)
"""
    assert run_python(code).stdout.split(b"\n")[:2] == [b"[]", b"False"]


def test_the_version():
    """A constant, and the same as in pyproject.toml."""
    project = TESTS.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("no pyproject.toml beside the tests")
    version = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    assert hf.__version__ == version == hf.show_config(mode="dicts")["hingefast"]


def test_import_without_metadata():
    """Frozen programs and copied folders carry none."""
    code = """
import importlib.metadata as metadata
def distribution(name):
    raise metadata.PackageNotFoundError(name)
metadata.distribution = distribution
import hingefast as hf
hf.show_config()
print(hf.__version__, hf.Hinge()([1, -1], [0.5, 0.5]))
"""
    assert run_python(code).stdout.split()[-2:] == [hf.__version__.encode(), b"1.0"]


def test_import_of_sources_that_were_not_built(tmp_path):
    """Python in a clone finds the clone's folder first, whatever is installed."""
    package = Path(hf.__file__).parent
    shutil.copytree(
        package, tmp_path / "hingefast", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    )
    done = subprocess.run(
        [sys.executable, "-c", "import hingefast"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    expected = f"ImportError: hingefast in {tmp_path} is source that has not been built; "
    assert done.stderr.splitlines()[-1].startswith(expected)


def test_import_is_quick():
    """Nothing slow at import: no probing of the machine that takes a second."""
    code = """
import numpy, time
start = time.perf_counter()
import hingefast
print(time.perf_counter() - start)
"""
    assert min(float(run_python(code).stdout) for _ in range(3)) < 0.5
