"""What results say, whether they meet their targets, and one line of text for each while they come in."""

import json
from typing import Any, NamedTuple

Result = dict[str, Any]
Report = dict[str, Any]  # what --json writes

# What the design's targets are meant for.
TARGETS_LEVEL = "x86_v4"

# Who else does the job, in the order of tables and plots, and what they are called there.
RIVALS = {
    "strongest": "strongest NumPy",
    "idiomatic": "idiomatic NumPy",
    "scikit-learn": "scikit-learn",
    "scikit-learn, value alone": "scikit-learn, value alone",
    "torch": "torch",
    "numba": "numba",
}

COLUMNS = (
    f"{'case':52} {'ms':>9}  {'ratio':>6} {'(quartiles)':13} {'target':>7}  {'':6}  "
    f"{'x strongest':>11} {'target':>8}  {'':6}  {'x idiomatic':>11} {'GB/s':>6}  ceiling; data; others"
)


def as_json(report: Report) -> str:
    """The report as text, one line a result or row of the design: two reports can be compared line by line."""
    parts = []
    for key, value in _rounded(report).items():
        if isinstance(value, dict):
            entries = [f"{json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()]
        else:
            entries = list(map(json.dumps, value)) if isinstance(value, list) else []
        brackets = "{}" if isinstance(value, dict) else "[]"
        inside = ",\n  ".join(entries)
        text = f"{brackets[0]}\n  {inside}\n {brackets[1]}" if entries else json.dumps(value)
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _rounded(value: Any) -> Any:
    """Floats with five digits, which is more than any of them is good for."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def about(facts: dict[str, Any], x_bytes: int) -> str:
    """Machine, level and versions in a few lines."""
    return (
        f"{machine(facts)}; level {level(facts)}\n"
        f"{versions(facts)}\n"
        f"X of {x_bytes / 2**20:.0f} MiB. Ratios are median times, hingefast / ceiling, timed in turns."
    )


def machine(facts: dict[str, Any]) -> str:
    return f"{facts['cpu']}, {facts['cpus']} CPUs, {facts['system']}"


def versions(facts: dict[str, Any]) -> str:
    installed = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version)
    return (
        f"Python {facts['python']}, {installed}; BLAS {facts['blas']}; "
        f"hingefast compiled by {facts['hingefast'].get('compiler', 'an unknown compiler')}"
    )


def level(facts: dict[str, Any]) -> str:
    """The instruction-set level that hingefast chose."""
    return str(facts["hingefast"].get("level", "unknown"))


def levels(report: Report) -> list[str]:
    """The levels that were measured, the one in use first."""
    return list(dict.fromkeys([level(report["about"]), *(result["level"] for result in report["results"])]))


def threads(n_threads: int) -> str:
    return "1 thread" if n_threads == 1 else f"{n_threads} threads"


def minutes(report: Report) -> str:
    """How long it took."""
    whole, rest = divmod(round(report["seconds_total"]), 60)
    return f"{whole} min {rest} s"


def name(result: Result) -> str:
    return str(result["id"]) + (f" [{threads(result['n_threads'])}]" if result["n_threads"] > 1 else "")


def is_met(result: Result) -> bool | None:
    """Whether the ratio to the ceiling is at most its target; None without target, and at levels that have none."""
    if result["target"] is None or not result["is_judged"]:
        return None
    return bool(result["ratio"] <= result["target"])


def is_fast_enough(result: Result) -> bool | None:
    """The same of the speed-up over the strongest pass, which should be at least its target."""
    if result["least_speedup"] is None or "strongest" not in result["speedups"] or not result["is_judged"]:
        return None
    return bool(result["speedups"]["strongest"] >= result["least_speedup"])


def verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "MISSED"


def line(result: Result) -> str:
    """One line of the table on the terminal."""
    if "error" in result:
        return f"{name(result):52} {result['error']}"
    low, high = result["quartiles"]
    speedups = result["speedups"]
    others = [f"{other} {times(speedups[other])}" for other in list(RIVALS)[2:] if other in speedups]
    return (
        f"{name(result):52} {result['seconds']['hingefast'] * 1e3:>9.4g}  "
        f"{result['ratio']:6.2f} {f'({low:.2f}-{high:.2f})':13} "
        f"{target(result):>7}  {verdict(is_met(result)):6}  {times(speedups.get('strongest')):>11} "
        f"{least_speedup(result):>8}  {verdict(is_fast_enough(result)):6}  "
        f"{times(speedups.get('idiomatic')):>11} {result['gb_per_second']:6.1f}  "
        f"{'; '.join(filter(None, [result['ceiling'], result['note'], *others]))}"
    )


def summary(results: list[Result]) -> str:
    measured = [result for result in results if "error" not in result]
    found = [verdict(met(result)) for result in measured for met in (is_met, is_fast_enough)]
    errors = sum(bool(result.get("failed")) for result in results)
    left_out = sum("error" in result for result in results) - errors
    return (
        f"{found.count('met')} targets met, {found.count('MISSED')} missed; "
        f"{errors} cases failed, {left_out} left out"
    )


def target(result: Result) -> str:
    return "" if result["target"] is None else f"<= {result['target']:g}"


def least_speedup(result: Result) -> str:
    return "" if result["least_speedup"] is None else f">= {result['least_speedup']:g} x"


def times(factor: float | None) -> str:
    return "" if factor is None else f"{factor:.1f} x" if factor < 99.95 else f"{factor:.0f} x"


# ----------------------------------------------------------------------------------------------------
# The rows of the design's table of targets, and the ratios measured for each: what plot and REPORT.md show


class Ratio(NamedTuple):
    """One measured ratio of times; the smaller the better.

    Attributes
    ----------
    result : Result
        How it was measured.
    ratio, quartiles, target : float
        Of the time over the ceiling's, or over the strongest pass's.
    met : bool or None
        None where there is no target, and at levels that the targets are not for.
    """

    result: Result
    ratio: float
    quartiles: tuple[float, float]
    target: float | None
    met: bool | None

    @property
    def dtype(self) -> str:
        return str(self.result["dtype"])

    @property
    def n_threads(self) -> int:
        return int(self.result["n_threads"])

    @property
    def level(self) -> str:
        return str(self.result["level"])


class Row(NamedTuple):
    """What a row is called, what its times are divided by, and the ratios."""

    title: str
    ceiling: str
    ratios: list[Ratio]


def rows_of_design(report: Report) -> list[Row]:
    """Every row of the design for which there are figures, in the design's order.

    A target that is a least speed-up over NumPy's strongest pass makes a row of its own, as a ratio to that pass.
    """
    found = []
    for key, design_row in report["design_rows"].items():
        results = [
            result for result in report["results"] if result["design_row"] == key and "error" not in result
        ]
        has_least_speedup = any(result["least_speedup"] is not None for result in results)
        if any(result["target"] is not None for result in results) or (results and not has_least_speedup):
            ratios = [
                Ratio(result, result["ratio"], tuple(result["quartiles"]), result["target"], is_met(result))
                for result in results
            ]
            found.append(Row(design_row["title"], design_row["ceiling"], ratios))
        if has_least_speedup:
            ratios = [_to_strongest(result) for result in results if "strongest" in result["speedups"]]
            found.append(Row(design_row["title"], RIVALS["strongest"], ratios))
    return [row for row in found if row.ratios]


def _to_strongest(result: Result) -> Ratio:
    first, third = result["speedup_quartiles"]
    least = result["least_speedup"]
    ratio = 1 / result["speedups"]["strongest"]
    return Ratio(result, ratio, (1 / third, 1 / first), least and 1 / least, is_fast_enough(result))
