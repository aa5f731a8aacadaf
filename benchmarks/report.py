"""Results as text: one line a case while they come in, or the README's table."""

from typing import Any

Result = dict[str, Any]

COLUMNS = (
    f"{'case':52} {'ms':>9}  {'ratio':>6} {'(quartiles)':13} {'target':>7}  {'':6}  "
    f"{'x strongest':>11} {'target':>8}  {'':6}  {'x idiomatic':>11} {'GB/s':>6}  ceiling; data"
)


def about(facts: dict[str, Any], x_bytes: int) -> str:
    """Machine, level and versions in a few lines."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version)
    return (
        f"{facts['cpu']}, {facts['cpus']} CPUs, {facts['system']}; level {level(facts)}\n"
        f"Python {facts['python']}, {versions}; BLAS {facts['blas']}\n"
        f"X of {x_bytes / 2**20:.0f} MiB. Ratios are median times, hingefast / ceiling, timed in turns."
    )


def level(facts: dict[str, Any]) -> str:
    """The instruction-set level that hingefast chose."""
    return str(facts["hingefast"].get("level", "unknown"))


def name(result: Result) -> str:
    return str(result["id"]) + (f" [{result['n_threads']} threads]" if result["n_threads"] > 1 else "")


def verdict(result: Result) -> str:
    """Of the ratio to the ceiling."""
    return _verdict(result, None if result["target"] is None else result["ratio"] <= result["target"])


def speedup_verdict(result: Result) -> str:
    """Of the speed-up over the strongest pass."""
    least, speedup = result["least_speedup"], result["speedup_strongest"]
    return _verdict(result, None if least is None or speedup is None else speedup >= least)


def _verdict(result: Result, is_met: bool | None) -> str:
    if is_met is None:
        return ""
    if is_met:
        return "met"
    return "MISSED" if result["target_is_due"] else "later"


def line(result: Result) -> str:
    """One line of the table on the terminal."""
    if "error" in result:
        return f"{name(result):52} {result['error']}"
    low, high = result["quartiles"]
    return (
        f"{name(result):52} {_milliseconds(result):>9}  "
        f"{result['ratio']:6.2f} {f'({low:.2f}-{high:.2f})':13} "
        f"{_target(result):>7}  {verdict(result):6}  {_times(result['speedup_strongest']):>11} "
        f"{_least_speedup(result):>8}  {speedup_verdict(result):6}  "
        f"{_times(result['speedup_idiomatic']):>11} {result['gb_per_second']:6.1f}  "
        f"{'; '.join(filter(None, [result['ceiling'], result['note']]))}"
    )


def markdown(facts: dict[str, Any], results: list[Result], x_bytes: int) -> str:
    """The README's table."""
    lines = [
        *about(facts, x_bytes).splitlines(),
        "",
        "| pass | ceiling | ratio | target | | faster than the strongest NumPy | than the idiomatic | GB/s |",
        "|---|---|--:|--:|---|--:|--:|--:|",
    ]
    for result in results:
        if "error" in result:
            lines.append(f"| `{name(result)}` | | | | {result['error']} | | | |")
            continue
        cells = [
            f"`{name(result)}`" + (f" ({result['note']})" if result["note"] else ""),
            result["ceiling"]
            if result["ceiling"].startswith(("SciPy", "hingefast", "the"))
            else f"`{result['ceiling']}`",
            f"{result['ratio']:.2f}",
            _target(result),
            verdict(result).lower(),
            _speedup_cell(result),
            _times(result["speedup_idiomatic"]),
            f"{result['gb_per_second']:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(results: list[Result]) -> str:
    measured = [result for result in results if "error" not in result]
    verdicts = [of(result) for result in measured for of in (verdict, speedup_verdict)]
    errors = sum(bool(result.get("failed")) for result in results)
    left_out = sum("error" in result for result in results) - errors
    return (
        f"{verdicts.count('met')} targets met, {verdicts.count('MISSED')} missed, "
        f"{verdicts.count('later')} not due yet; "
        f"{errors} cases failed, {left_out} left out"
    )


def _milliseconds(result: Result) -> str:
    return f"{result['seconds']['hingefast'] * 1e3:.4g}"


def _target(result: Result) -> str:
    return "" if result["target"] is None else f"<= {result['target']:g}"


def _least_speedup(result: Result) -> str:
    return "" if result["least_speedup"] is None else f">= {result['least_speedup']:g} x"


def _speedup_cell(result: Result) -> str:
    speedup, verdict = _times(result["speedup_strongest"]), speedup_verdict(result).lower()
    return f"{speedup} ({_least_speedup(result)}: {verdict})" if verdict else speedup


def _times(factor: float | None) -> str:
    return "" if factor is None else f"{factor:.1f} x" if factor < 99.95 else f"{factor:.0f} x"
