"""Promise: the benchmarks' part on fitting tells truly who arrives at the minimum, who does not, and how fast."""

import json
import subprocess
import sys

import pytest
from conftest import TESTS

ROOT = TESTS.parent

pytestmark = [
    pytest.mark.skipif(
        not (ROOT / "benchmarks" / "fit.py").exists(), reason="no benchmarks beside the tests"
    ),
    pytest.mark.no_sanitizer,
]

BEGIN = """
import json, os, time
from functools import partial
from benchmarks import environment
environment.pin(1)  # before NumPy is imported: Python warns of forks beside threads
import numpy as np
from benchmarks import fit, fitters
from benchmarks.fit_report import LOOSEST, OURS
from benchmarks.fitters import FitProblem, Fitter

rng = np.random.default_rng(0)
X = rng.standard_normal((300, 4))
y = np.where(X[:, 0] + 0.5 * rng.standard_normal(300) > 0, 1.0, -1.0)

def problem(loss="squared_hinge", X=X):
    return FitProblem(X, y, loss, 1.0)
"""


def told(code):
    """What code prints, as JSON; it runs in a process of its own, since benchmarks change the path of imports."""
    command = [sys.executable, "-W", "error", "-c", f"{BEGIN}\n{code}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_who_arrives_and_who_does_not():
    """Nobody hides the others: not who stops short, takes too long, raises, or dies."""
    pytest.importorskip("scipy")
    result = told("""
def warm(function):  # all of them do well on the few rows of the warm-up
    return lambda tol: np.zeros(5) if os.getpid() == parent else function(tol)

def slow(tol):
    time.sleep(0.1)
    return np.zeros(5)

parent = os.getpid()
problem = problem()
known = fit.reference(problem, 10.0)
contenders = {
    **fitters.fitters(problem, known.method)[0],
    "stuck": Fitter(lambda tol: np.zeros(5)),
    "capped": Fitter(warm(slow)),
    "sleeper": Fitter(warm(lambda tol: time.sleep(60))),
    "raiser": Fitter(warm(lambda tol: 1 / 0)),
    "dead": Fitter(warm(lambda tol: os._exit(1))),
    "twin": Fitter(lambda tol: np.zeros(5), like="sleeper"),
}
print(json.dumps(fit.compare(problem, known, contenders, 0.5, 3)))
""")
    assert result["method"] == "newton" and -1e-12 < result["known_to"] <= 1e-8
    assert list(result["at"]) == ["0.001", "1e-06"]
    for key, outcomes in result["at"].items():
        ours = outcomes["hingefast"]
        assert ours["tol"] == float(key) and ours["distance"] <= float(key)
        assert ours["ratio"] == 1 and ours["rounds"] == 3
        assert outcomes["hingefast (loosest tolerance)"]["distance"] <= float(key)
        assert outcomes["L-BFGS"]["ratio"] == pytest.approx(outcomes["L-BFGS"]["seconds"] / ours["seconds"])
        expected = {
            "stuck": "never",
            "capped": "never",
            "sleeper": "limit",
            "twin": "limit",
            "raiser": "ZeroDivisionError: division by zero",
            "dead": "its process died",
        }
        assert {name: outcomes[name] for name in expected} == {
            name: {"outcome": outcome} for name, outcome in expected.items()
        }


def test_a_search_finds_the_loosest_tolerance():
    """Of every level, in few runs; it ends early for somebody whose tolerance no longer matters, and tells why."""
    found = told("""
def linear(tol):
    return 1 + tol

def squared(tol):
    return 1 + tol**2

def capped(tol):
    time.sleep(0.02)
    return 1 + max(tol, 0.05)

def slower_and_slower(tol):
    time.sleep(0.0005 / tol)
    return 1 + tol

def raiser(tol):
    return 1 + tol if tol > 0.1 else 1 / 0

found = {}
for fitter in (linear, squared, capped, slower_and_slower, raiser):
    limit = {capped: 0.1, slower_and_slower: 0.4}.get(fitter, 5.0)
    search = fit.search(fitter, float, [1.02, 1.000001], 1.0, limit)
    arrived = [search.arrives(level, None) for level in (1.02, 1.000001)]
    found[fitter.__name__] = [search.end, len(search.trials), *(trial and trial.tol for trial in arrived)]
print(json.dumps([fitters.TOLERANCES[:4], found]))
""")
    tolerances, found = found
    assert tolerances == [1.0, 0.33, 0.11, 0.037]
    assert found["linear"][0] == found["squared"][0] == "arrived"
    assert found["linear"][2:] == [0.012, 6.3e-7]
    assert found["squared"][2:] == [0.11, 0.00046]
    assert max(found["linear"][1], found["squared"][1]) <= 12
    assert found["capped"][0] == "never" and found["capped"][2:] == [None, None] and found["capped"][1] <= 8
    assert found["slower_and_slower"][0] == "limit" and found["slower_and_slower"][2:] == [0.012, None]
    assert found["raiser"][0] == "ZeroDivisionError: division by zero" and found["raiser"][2:] == [None, None]


def test_a_certificate_that_is_wrong_is_found_out():
    message = told("""
problem = problem()
known = fit.reference(problem, 10.0)
wrong = known._replace(value=known.value * 1.01, bound=known.value * 1.01)
try:
    fit.compare(problem, wrong, {OURS: Fitter(partial(fitters._ours, problem, "auto"))}, 5.0, 1)
except RuntimeError as error:
    print(json.dumps(str(error)))
""")
    assert message.startswith("hingefast is below what was proved: ")


def test_a_minimum_that_is_not_known_well_enough():
    """Only distances that are ten times what is known count."""
    result = told("""
problem = problem()
known = fit.reference(problem, 10.0)
known = known._replace(bound=known.value * (1 - 5e-5))
print(json.dumps(fit.compare(problem, known, {OURS: Fitter(partial(fitters._ours, problem, "auto"))}, 5.0, 1)))
""")
    assert list(result["at"]) == ["0.001"] and result["known_to"] == pytest.approx(5e-5, rel=0.01)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "logistic"])
def test_everybody_that_is_installed_minimises_the_same_function(loss, layout):
    pytest.importorskip("scipy")
    result = told(f"""
from scipy.sparse import csr_array
problem = problem("{loss}", csr_array(X) if "{layout}" == "csr" else X)
known = fit.reference(problem, 10.0)
contenders, missing = fitters.fitters(problem, known.method)
print(json.dumps({{**fit.compare(problem, known, contenders, 5.0, 1), "missing": missing}}))
""")
    assert not {"hingefast", "hingefast (loosest tolerance)"} & set(result["missing"])
    others = (
        {"LinearSVC", "liblinear", "liblinear, training alone", "rehline"} if loss != "logistic" else set()
    )
    others |= {"L-BFGS"} if loss != "hinge" else set()
    names = {name.partition(" (")[0] for name in result["at"]["0.001"]}
    assert names == ({"hingefast"} | others) - set(result["missing"])
    for key, outcomes in result["at"].items():
        for name, outcome in outcomes.items():
            if name.startswith("liblinear") and loss == "hinge" and outcome == {"outcome": "never"}:
                continue  # it ends after 300 passes
            assert outcome["distance"] <= 3 * float(key), (name, outcome)  # some draw rows at random


def test_who_is_not_installed_is_named():
    found, missing = told("""
fitters.find_spec = lambda name: None
found, missing = fitters.fitters(problem(), "newton")
print(json.dumps([list(found), missing]))
""")
    ours = ["hingefast", "hingefast (loosest tolerance)", "hingefast (interior_point)", "hingefast (dual_cd)"]
    assert found == ours
    assert missing == ["L-BFGS", "LinearSVC", "liblinear, training alone", "liblinear", "rehline"]


def test_threads():
    result = told("print(json.dumps(fit.compare_threads(problem(), fit.Budget(rounds=3))))")
    assert result["same_bits"] is True and result["gain"] > 0 and set(result["seconds"]) == {"1", "2"}


def test_the_cases():
    """Distinct ids, targets next to those who take part, and without data a reason."""
    cases = told("""
os.environ.pop("HINGEFAST_DATA", None)
print(json.dumps([{**case.fields(), "missing": case.missing()} for case in fit.all_cases()]))
""")
    assert len({case["id"] for case in cases}) == len(cases) > 20
    rivals = {"LinearSVC", "liblinear, training alone", "rehline", "L-BFGS", "one thread"}
    assert all(set(case["least"]) <= rivals for case in cases)
    assert all("in the folder named by HINGEFAST_DATA" in case["missing"] for case in cases)
