"""Promise: the benchmarks' page and tables say what report.json says, and README.md and REPORT.md hold those tables."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import TESTS

import hingefast as hf

ROOT = TESTS.parent
REPORT = ROOT / "benchmarks" / "report.json"

pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks" / "page.py").exists(), reason="no benchmarks beside the tests"
)


def result(case, dtype, level="x86_v4", n_threads=1, **fields):
    """One result of benchmarks/measure.py."""
    return {
        "id": case,
        "level": level,
        "is_judged": level == "x86_v4",
        "n_threads": n_threads,
        "dtype": dtype,
        "ceiling": "X @ w",
        "target": 1.1,
        "least_speedup": None,
        "design_row": "dense-200",
        "sweep": "",
        "series": "",
        "x": None,
        "note": "a <note>",
        "ratio": 1.0,
        "quartiles": [0.98, 1.03],
        "ratio_of_minima": 0.99,
        "speedups": {"strongest": 1.7, "idiomatic": 2.4, "torch": 5.0},
        "speedup_quartiles": [1.6, 1.8],
        "gb_per_second": 12.0,
        "n_bytes": 10**8,
        "rounds": 9,
        "seconds": {"hingefast": 0.01 / n_threads, "ceiling": 0.01},
        "minimum_seconds": {"hingefast": 0.009, "ceiling": 0.009},
        **fields,
    }


def scores(loss, others):
    """One row of the README, done by others in so many seconds."""
    seconds = {"hingefast": 0.01, "ceiling": 0.01, "idiomatic": 0.024, **others}
    return result(f"scores/{loss}/f64/n=1e6", "f64", design_row="", target=None, seconds=seconds)


def sweep(name, *xs):
    return [result(f"{name}/{x}", "f64", design_row="", sweep=name, series="float64", x=x) for x in xs]


def fitted(case_set, loss, C, at, **fields):
    """One result of benchmarks/fit.py: `at` holds what came of everybody at 1e-3, at 1e-6 half as fast."""

    def outcome(who, seconds, slower):
        if isinstance(seconds, str):
            return {"outcome": seconds}
        ours = at["hingefast"]
        ratio = seconds / ours if isinstance(ours, float) else None
        return {"seconds": slower * seconds, "ratio": ratio, "tol": 0.1, "rounds": 5, "distance": 1e-7}

    return {
        "id": f"fit/{case_set}/{loss}/C={C}",
        "set": case_set,
        "title": f"the {case_set}",
        "loss": loss,
        "C": C,
        "least": {},
        "largest_growth": None,
        "compares_threads": False,
        "n_rows": 100,
        "n_features": 3,
        "missing": ["rehline"],
        "method": "newton",
        "minimum": 0.3,
        "known_to": 2e-10,
        "limit": 5.0,
        "at": {
            key: {who: outcome(who, seconds, slower) for who, seconds in at.items()}
            for key, slower in (("0.001", 1), ("1e-06", 2))
        },
        "seconds_total": 3.0,
        **fields,
    }


def with_fits(content):
    """The same report with a part on fitting."""
    of_squared = {
        "hingefast": 0.01,
        "hingefast (loosest tolerance)": 0.008,
        "hingefast (dual_cd)": "never",
        "LinearSVC (dual)": "limit",
        "LinearSVC (primal)": 0.025,
        "liblinear, training alone (dual)": 0.008,
        "liblinear, training alone (primal)": "never",
        "L-BFGS": "limit",
    }
    of_hinge = {"hingefast": 0.02, "LinearSVC (dual)": "limit", "liblinear, training alone (dual)": "never"}
    of_harder = {"hingefast": 0.07, "LinearSVC (dual)": "RuntimeError: broken"}
    lost = {"hingefast": "limit", "LinearSVC (dual)": 0.5, "liblinear, training alone (dual)": "limit"}
    unknown = fitted("c", "hinge", 1, of_hinge)
    del unknown["at"]["1e-06"]
    threads = fitted("a", "hinge", 1, of_hinge, compares_threads=True, least={"one thread": 1.3})
    threads |= {"id": f"{threads['id']}/threads", "gain": 1.25, "same_bits": True}
    del threads["at"], threads["missing"], threads["limit"]
    fits = [
        fitted(
            "a", "squared_hinge", 1, of_squared, least={"LinearSVC": 2.0, "liblinear, training alone": 1.5}
        ),
        fitted("a", "hinge", 1, of_hinge, least={"LinearSVC": 1.7, "liblinear, training alone": 1.8}),
        fitted("a", "hinge", 100, of_harder, largest_growth=3.0),
        fitted("b", "hinge", 1, lost, least={"LinearSVC": 0.9, "liblinear, training alone": 0.9}),
        unknown,
        fitted("a", "logistic", 1, {"hingefast": 0.01, "L-BFGS": 0.07}, least={"L-BFGS": 8.0}),
        threads,
        {
            "id": "fit/mnist/hinge/C=1",
            "error": "left out: no file",
            "failed": False,
            "compares_threads": False,
        },
    ]
    run = {
        "date": content["date"],
        "command": content["command"],
        "about": content["about"],
        "seconds_total": 9.0,
    }
    return {**content, "fit_run": run, "fit": fits}


@pytest.fixture
def report(tmp_path):
    """The path of a small report: one row met in float64 and missed in float32, and one with a least speed-up."""
    left_out = result("csr/hinge/f64", "f64", error="left out: scipy is not installed", failed=False)
    for measured in ("ratio", "quartiles", "speedups", "seconds"):
        del left_out[measured]
    content = {
        "date": "2026-01-02T03:04+00:00",
        "command": "python -m benchmarks",
        "x_bytes": 2**28,
        "seconds_per_case": 1.0,
        "seconds_total": 61.0,
        "levels_left_out": [],
        "about": {
            "cpu": "A CPU",
            "cpus": 2,
            "system": "Linux x86_64",
            "python": "3.11.7",
            "versions": {"hingefast": "0.1.0", "numpy": "2.4.0", "torch": None},
            "blas": "openblas",
            "hingefast": {"level": "x86_v4", "compiler": "gcc 12"},
        },
        "design_rows": {
            "dense-200": {"title": "dense X, d = 200", "ceiling": "X @ w"},
            "class-dense": {"title": "dense X, K = 10", "ceiling": "X @ W.T"},
        },
        "results": [
            result("dense/f64/d=200", "f64"),
            result("dense/f32/d=200", "f32", ratio=1.27),
            result("dense/f64/d=200", "f64", n_threads=2, ratio=0.61, target=None, gain=1.8),
            result("dense/f64/d=200", "f64", level="base", ratio=1.49),
            result("class/f64", "f64", design_row="class-dense", target=None, least_speedup=3.0),
            scores("hinge", {"scikit-learn, value alone": 0.1234}),
            scores("logistic", {"scikit-learn": 1.234, "torch": 5e-5}),
            left_out,
            *sweep("rows", 100, 10_000),
            *sweep("features", 10, 1000),
            *sweep("activity", 0, 100),
        ],
    }
    file = tmp_path / "report.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def run(module, *arguments):
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


class Page(HTMLParser):
    """What is asked of a page: closed tags, distinct ids, nothing fetched from elsewhere."""

    VOID = ("meta",)

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in self.VOID:
            self.open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#"), attributes

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


def test_page(report, tmp_path):
    file = tmp_path / "report.html"
    done = run("page", report, file)
    assert done.returncode == 0, done.stderr
    page = Page(file.read_text(encoding="utf-8"))
    assert page.open == []
    assert len(page.ids) == len(set(page.ids)) > 0
    assert {"script", "link", "img"}.isdisjoint(tag for tag, _ in page.tags)
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(pictures) == 6  # ratios, speed-ups, rows, features, activity, threads
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in pictures)
    assert (
        "Ratio to the ceiling: 1 of 3 targets are met" in page.words
    )  # 1.00 <= 1.1; 1.27 > 1.1; 1.7 x < 3 x
    for words in ("dense/f32/d=200", "1.27", "MISSED", "a <note>", "left out: scipy is not installed"):
        assert words in page.words
    assert "1.7 x (>= 3 x: MISSED)" in page.words


MARKS, FIT_MARKS = (
    [f"<!-- made by `python -m benchmarks.tables`{what}: {word} -->" for word in ("begin", "end")]
    for what in ("", ", fit")
)


def test_tables(report, tmp_path):
    """Both are written, checked, and hold the report's figures; what is around the README's stays."""
    readme, judged = tmp_path / "README.md", tmp_path / "REPORT.md"
    begin, end = MARKS
    empty = "\n".join(FIT_MARKS)
    readme.write_text(f"before\n{begin}\nold\n{end}\nbetween\n{empty}\nafter\n", encoding="utf-8")
    arguments = "--json", report, "--readme", readme, "--report", judged
    assert run("tables", *arguments, "--check").returncode == 1
    done = run("tables", *arguments)
    assert done.returncode == 0, done.stderr
    assert run("tables", *arguments, "--check").returncode == 0

    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{begin}\n| loss and gradient of |") and text.endswith(
        f"{end}\nbetween\n{empty}\nafter\n"
    )
    assert [line for line in text.splitlines() if line.startswith("| a million")] == [
        "| a million scores, hinge | 24.0 | 123 \\* |  | **10.0** | 2.4 |",
        "| a million scores, logistic loss | 24.0 | 1,234 | 0.0500 | **10.0** | 2.4 |",
    ]
    assert "A CPU, 2 CPUs" in text and "torch None" not in text  # which is not installed there
    rows = [line for line in judged.read_text(encoding="utf-8").splitlines() if line.startswith("| dense")]
    assert rows == [
        "| dense X, d = 200 | `X @ w` | ≤ 1.1 | 1.00 / **1.27** | 0.61 | 1.49 | 1.7 / 1.7; 2.4 / 2.4 |",
        "| dense X, K = 10 | strongest NumPy | ≤ 0.33 | **0.59** |  |  | 1.7; 2.4 |",
    ]

    judged.write_text("old\n", encoding="utf-8")
    done = run("tables", *arguments, "--check")
    assert done.returncode == 1 and "REPORT.md" in done.stdout and "README.md" not in done.stdout
    readme.write_text("no place for a table\n", encoding="utf-8")
    assert "must hold" in run("tables", *arguments).stderr


def test_the_part_on_fitting(report, tmp_path):
    """Who was stopped, never arrives or is faster than hingefast is told, in both tables and on the page."""
    report.write_text(json.dumps(with_fits(json.loads(report.read_text(encoding="utf-8")))), encoding="utf-8")
    readme, judged = tmp_path / "README.md", tmp_path / "REPORT.md"
    readme.write_text("\n".join([*MARKS, FIT_MARKS[0], "old", FIT_MARKS[1], ""]), encoding="utf-8")
    arguments = "--json", report, "--readme", readme, "--report", judged
    done = run("tables", *arguments)
    assert done.returncode == 0, done.stderr
    assert run("tables", *arguments, "--check").returncode == 0

    text = readme.read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| the")]
    assert table == [
        "| the a, squared hinge | 1 | **10.0 / 20.0** | 2.5 / 2.5 | 0.80 / 0.80 |  | > 500 / > 250 |",
        "| the a, hinge | 1 | **20.0 / 40.0** | > 250 / > 125 | never / never |  |  |",
        "| the a, hinge | 100 | **70.0 / 140** | failed / failed |  |  |  |",
        "| the b, hinge | 1 | **> 5,000 / > 5,000** | lost / lost | stopped / stopped |  |  |",
        "| the c, hinge | 1 | **20.0 / -** | > 250 / - | never / - |  |  |",
    ]
    assert "Not installed: rehline." in text.replace("\n", " ") and "old" not in text

    text = judged.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| the")]
    assert "2.5 / 2.5 | **0.80** / **0.80**" in lines[0] and "| 10.0 / 20.0 | 8.0 / 16.0 |" in lines[0]
    assert "≤ 3 x the time at C = 1: **3.5**" in lines[2]
    assert "| **lost** / **lost** | stopped / stopped |" in lines[3]
    assert "| 7.0 / **7.0** | L-BFGS ≥ 8 |" in lines[5]  # at the smaller distance alone
    assert lines[6] == "| the a, squared hinge | 1 | 10.0 / 20.0 \\* |  | never / never | 2e-10 |"
    assert "two threads are **1.2** times as fast as one (target ≥ 1.3), the same bits." in text
    # met: LinearSVC twice in each of the first two; missed: training alone twice, growth, lost twice, L-BFGS, threads
    assert "4 targets met, 7 missed." in text.replace("\n", " ")

    page = tmp_path / "report.html"
    assert run("page", report, page).returncode == 0
    parsed = Page(page.read_text(encoding="utf-8"))
    assert parsed.open == []
    assert {"the b, hinge", "lost / lost", "0.80 / 0.80"} <= set(parsed.words)


def test_the_tables_are_up_to_date():
    if not REPORT.exists() or not (ROOT / "README.md").exists():
        pytest.skip("no report beside the README")
    done = run("tables", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.no_sanitizer
@pytest.mark.skipif(
    Path(hf.__file__).is_relative_to(ROOT), reason="what is measured is never the sources beside them"
)
def test_a_case_is_measured_as_page_and_tables_want_it(tmp_path):
    """Every way of doing it that is installed gives the same answer, else the command fails; then all are timed."""
    file = tmp_path / "report.json"
    done = run(
        "__main__",
        *[
            "--only",
            "scores/hinge/*/n=1e2",
            "--threads",
            "1",
            "--x-mb",
            "0.01",
            "--seconds",
            "0.001",
            "--json",
        ],
        file,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(file.read_text(encoding="utf-8"))
    assert [result["id"] for result in measured["results"]] == [
        "scores/hinge/f64/n=1e2",
        "scores/hinge/f32/n=1e2",
    ]
    wanted = result("a case", "f64")
    for found in measured["results"]:
        assert wanted.keys() <= found.keys() and found["rounds"] >= 5
        assert {"hingefast", "ceiling", "strongest", "idiomatic"} <= found["seconds"].keys()
    assert run("page", file, tmp_path / "report.html").returncode == 0
    assert "fit" not in measured


@pytest.mark.no_sanitizer
@pytest.mark.skipif(
    Path(hf.__file__).is_relative_to(ROOT), reason="what is measured is never the sources beside them"
)
def test_the_part_on_fitting_is_added_to_a_report(report, tmp_path, monkeypatch):
    """New cases take the place of old ones; without data they say what is missing."""
    monkeypatch.delenv("HINGEFAST_DATA", raising=False)
    before = json.loads(report.read_text(encoding="utf-8"))
    done = run("__main__", "--only", "fit/a9a/", "--into", report)
    assert done.returncode == 0, done.stdout + done.stderr
    after = json.loads(report.read_text(encoding="utf-8"))
    assert after["fit_run"]["about"]["versions"] and len(after["fit"]) == 6
    assert all("no a9a.xz" in result["error"] for result in after["fit"])
    assert {key: after[key] for key in before} == before
    assert run("__main__", "--only", "scores/hinge/*/n=1e2", "--into", report).returncode == 2
