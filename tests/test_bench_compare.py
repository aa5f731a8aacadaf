"""Promise: ci/bench_compare.py calls a version slower only if several pairs of processes say so, and tells everything
that it did not compare.
"""

import contextlib
import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "ci" / "bench_compare.py"
LIMIT = 1.15

if not SCRIPT.is_file():  # the wheel builder copies the tests without it
    pytest.skip("ci/ is not beside the tests", allow_module_level=True)


def load():
    spec = importlib.util.spec_from_file_location("bench_compare", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_compare"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


tool = load()


def compared(ratio, rounds=9):
    """Seconds of both sides: medians 2 and 2 * ratio, a single round ten times as slow."""
    base = [2.0] * (rounds - 1) + [20.0]
    return tool.Times({"base": base, "head": [ratio * seconds for seconds in base]})


def row(first=None, again=(), **keywords):
    times = None if first is None else compared(first)
    return tool.Row(
        "dense/hinge/f64/d=32", 1, first=times, again=[compared(ratio) for ratio in again], **keywords
    )


def test_the_ratio_is_of_medians_and_head_by_base():
    times = tool.Times({"base": [1.0, 2.0, 90.0], "head": [3.0, 50.0, 4.0]})
    measured = tool.Row("a/case", 1, first=times)
    assert measured.ratio == 4.0 / 2.0
    # of the rounds 3, 25 and 2/45; inclusive quartiles lie halfway to the median
    assert measured.quartiles == pytest.approx(((3 + 4 / 90) / 2, (3 + 25) / 2))


@pytest.mark.parametrize(
    "first, again, is_suspect, has_failed",
    [
        (1.0, [], False, False),
        (LIMIT, [], False, False),  # the limit itself is allowed
        (1.16, [], True, False),  # not before it was measured again
        (1.16, [1.14] * 3, False, False),
        (1.16, [1.16] * 3, False, True),
        (0.5, [], False, False),
        # some processes are slower for good, by where their memory lies: the median of the pairs counts
        (1.3, [1.0, 1.3, 1.01, 1.3, 0.99, 1.3, 1.02], False, False),
        (1.3, [1.0, 1.3, 1.01, 1.3, 1.16, 1.3, 1.02], False, True),
        (1.3, [LIMIT] * 7, False, False),
    ],
)
def test_slower_in_most_pairs_of_processes_fails(first, again, is_suspect, has_failed):
    measured = row(first, again)
    assert measured.is_suspect(LIMIT) == is_suspect
    assert measured.has_failed(LIMIT) == has_failed
    assert ("SLOWER" in measured.line(LIMIT)) == has_failed
    assert ("measured again" in measured.line(LIMIT)) == is_suspect


def test_the_pairs_are_what_is_shown():
    line = row(1.3, [1.02, 0.98, 1.04]).line(LIMIT)
    assert " 1.02  (1.00-1.03)" in line
    assert "not slower: 1.30" in line


def test_every_pair_is_of_new_processes(monkeypatch):
    pairs = iter(range(99))
    bench = tool.Bench("python", {}, 1, 0, [])
    monkeypatch.setattr(tool.Bench, "sides", lambda self: contextlib.nullcontext((next(pairs), "head")))
    monkeypatch.setattr(tool, "compare", lambda case_id, base, *_: (case_id, base))
    measured = row(1.3)
    bench.measure_again(measured, 3.0)
    assert measured.again == [(measured.case_id, pair) for pair in range(tool.PAIRS)]
    assert tool.PAIRS >= 5 and tool.PAIRS % 2


def test_what_the_base_cannot_run_is_told_and_not_counted():
    absent = row(problem="left out: the base cannot run it: AttributeError")
    assert not absent.has_failed(LIMIT)
    assert absent.problem in absent.line(LIMIT)
    told = tool.summary([absent, row(1.1), row(1.0)], LIMIT)
    assert "2 cases compared, 0 failed, 1 left out" in told
    assert "the worst ratio: 1.10" in told


def test_what_the_head_alone_cannot_run_fails():
    broken = row(problem="FAILED: the head cannot run it: TypeError", head_failed=True)
    assert broken.has_failed(LIMIT)
    told = tool.summary([broken, row(1.0)], LIMIT)
    assert "1 cases compared, 1 failed, 0 left out" in told
    assert "TypeError" in told


def side(role, log, seconds_of_call, seconds, value=0.5):
    """What compare() needs of a process: answers to its orders, the seconds of the builds taken from a list."""
    of_builds, of_samples = iter(seconds_of_call), iter(seconds)

    def order(name, *arguments):
        log.append((role, name, *arguments))
        return {"build": lambda: [value, next(of_builds)], "sample": lambda: next(of_samples)}.get(
            name, int
        )()

    order.role = role
    return order


def test_samples_are_taken_in_turns():
    """base, head, base, head, then on new data head, base, ...; as many calls a sample as the faster side needs."""
    log = []
    base = side("base", log, [tool.SAMPLE_SECONDS / 2, tool.SAMPLE_SECONDS], [1.0] * 5 + [3.0] * 5)
    head = side("head", log, [tool.SAMPLE_SECONDS / 3, tool.SAMPLE_SECONDS], [2.0] * 5 + [4.0] * 5)
    comparison = tool.compare("a/case", base, head, seconds=0.0, min_rounds=5)
    assert [name for _, name, *_ in log] == [*["forget"] * 2, *["build"] * 2, *["sample"] * 10] * 2
    assert [role for role, *_ in log] == ["base", "head"] * 7 + ["head", "base"] * 7
    assert [order[-1] for order in log[4:14]] == [3] * 10
    assert [order[-1] for order in log[18:]] == [1] * 10
    assert comparison.seconds == {"base": [1.0] * 5 + [3.0] * 5, "head": [2.0] * 5 + [4.0] * 5}


@pytest.mark.parametrize("value, fails", [(0.5 + 1e-6, False), (0.51, True), (float("nan"), True)])
def test_who_finds_another_value_is_not_timed(value, fails):
    log, measured = [], row()
    sides = [side(role, log, [1.0] * 2, [1.0] * 99, of) for role, of in (("base", 0.5), ("head", value))]
    tool.measure(measured, *sides, seconds=0.0)
    assert measured.head_failed == fails == ("another value" in measured.problem)
    assert any(name == "sample" for _, name, *_ in log) != fails


@pytest.mark.parametrize("failing", ["base", "head"])
def test_a_side_that_fails(failing):
    def broken(name, *arguments):
        raise tool.OrderFailed(failing, "TypeError: no such argument")

    sides = {role: side(role, [], [1.0] * 2, [1.0] * 99) for role in ("base", "head")}
    broken.role = failing
    sides[failing] = broken
    measured = row()
    tool.measure(measured, sides["base"], sides["head"], seconds=0.0)
    assert measured.head_failed == (failing == "head")
    assert f"the {failing} cannot run it: TypeError: no such argument" in measured.problem


def test_no_such_revision_is_told(capsys):
    """Whether there is no git, no repository or no such revision: one message, exit code 2."""
    assert tool.main(["no-such-revision"]) == 2
    assert capsys.readouterr().err.strip()
