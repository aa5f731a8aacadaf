"""What the part of the report on fitting says: ratios, targets, and the rows of its tables.

A result of `fit.py` holds under "at", for each distance from the minimum ("0.001", "1e-06": relative), what came of
everybody: {"seconds", "ratio" (to hingefast's), "tol", "rounds", "distance"}, or {"outcome": "limit" | "never" | an
error}. Names are "who" or "who (way)"; the best way of each counts.
"""

from collections.abc import Iterator
from textwrap import wrap
from typing import Any, NamedTuple

from benchmarks.report import Report, Result, level, machine

OURS, LOOSEST = "hingefast", "hingefast (loosest tolerance)"
LINEAR_SVC = "LinearSVC"
LIBLINEAR, LIBLINEAR_TRAINING = "liblinear", "liblinear, training alone"
REHLINE, LBFGS = "rehline", "L-BFGS"

# How near to the minimum, relatively, and what these are called in a result.
DISTANCES = (1e-3, 1e-6)
KEYS = tuple(f"{distance:g}" for distance in DISTANCES)
WORDS = ("1e-3", "1e-6")

# In the order of the tables.
RIVALS = (LINEAR_SVC, LIBLINEAR_TRAINING, LIBLINEAR, REHLINE, LBFGS)

METHODS = ("newton", "interior_point", "dual_cd")

TITLE = "From nothing to the minimum"

INTRODUCTION = "From nothing to the minimum, by `hf.minimize`:"

DETAILS = (
    "Objectives are computed by hingefast outside the clock. rehline gets its column of ones beforehand, and MNIST as "
    "CSR; the others get a9a, rcv1 and imdb as CSR, the other sets dense. Bold: a target is missed; a target holds at "
    "both distances, that of L-BFGS at the smaller one."
)

OF_METHODS = (
    'Milliseconds of each method until its own certificate proves it (\\*: what `"auto"` takes), and how well the '
    "minimum is known:"
)

# The target that is a growth: who it is told of.
GROWTH = "time at C = 1"

ONE_THREAD = "one thread"

LOSSES = {"hinge": "hinge", "squared_hinge": "squared hinge", "logistic": "logistic"}


def results(report: Report) -> list[Result]:
    """What was measured of fitting; nothing in a report without it."""
    return [result for result in report.get("fit", []) if "error" not in result]


def of_solvers(report: Report) -> list[Result]:
    """Those in which others take part."""
    return [result for result in results(report) if not result["compares_threads"]]


class Comparison(NamedTuple):
    """One ratio of somebody's time to hingefast's, the larger the better for hingefast.

    Attributes
    ----------
    who : str
    distance : str
        A key of the result's "at"; empty where threads are compared.
    ratio : float or None
        None where one of them did not arrive.
    text : str
        The ratio; "> 12", where he was stopped: he takes more than so many times as long; "never"; "stopped",
        if so are both; "lost", if it is hingefast that does not arrive; or "failed".
    least : float or None
        The target.
    met : bool or None
        None without target, and where it cannot be told.
    """

    who: str
    distance: str
    ratio: float | None
    text: str
    least: float | None
    met: bool | None


def best(result: Result, distance: str, who: str) -> dict[str, Any] | None:
    """What came of the best way of somebody; None if he did not take part, or there is no such distance."""
    outcomes: list[dict[str, Any]] = [
        outcome
        for name, outcome in result["at"].get(distance, {}).items()
        if name == who or name.startswith(f"{who} (")
    ]
    arrived = [outcome for outcome in outcomes if "seconds" in outcome]
    if arrived:
        return min(arrived, key=lambda outcome: float(outcome["seconds"]))
    stopped = [outcome for outcome in outcomes if outcome["outcome"] == "limit"]
    return next(iter(stopped or outcomes), None)


def compared(result: Result, distance: str, who: str) -> Comparison | None:
    """Somebody next to hingefast; None if he did not take part."""
    theirs, ours = best(result, distance, who), result["at"].get(distance, {}).get(OURS)
    if theirs is None or ours is None:
        return None
    least = result["least"].get(who)
    if who == LBFGS and distance != list(result["at"])[-1]:
        least = None  # asked of the smallest distance alone
    if "seconds" in theirs and "seconds" in ours:
        ratio = float(theirs["ratio"])
        return Comparison(
            who, distance, ratio, _digits(ratio), least, None if least is None else ratio >= least
        )
    if "seconds" in theirs:
        return Comparison(who, distance, None, "lost", least, None if least is None else False)
    if theirs["outcome"] == "limit" and "seconds" in ours:
        at_least = result["limit"] / ours["seconds"]
        met = True if least is not None and at_least >= least else None
        return Comparison(who, distance, None, f"> {_digits(at_least)}", least, met)
    text = {"never": "never", "limit": "stopped"}.get(theirs["outcome"], "failed")
    return Comparison(who, distance, None, text, least, None)


def comparisons(report: Report) -> Iterator[Comparison]:
    """Everybody at every distance, growths and threads."""
    for result in results(report):
        if result["compares_threads"]:
            gain, least = float(result["gain"]), result["least"].get(ONE_THREAD)
            met = None if least is None else gain >= least and result["same_bits"]
            yield Comparison(ONE_THREAD, "", gain, _digits(gain), least, met)
            continue
        for distance in result["at"]:
            for who in RIVALS:
                if found := compared(result, distance, who):
                    yield found
        if (growth := growth_of(report, result)) is not None:
            largest = result["largest_growth"]
            yield Comparison(GROWTH, "", growth, _digits(growth), largest, growth <= largest)


def growth_of(report: Report, result: Result) -> float | None:
    """Time to the smallest distance over that of the same problem at C = 1, where that has a target."""
    if result["largest_growth"] is None or not result["at"]:
        return None
    distance = list(result["at"])[-1]
    for other in of_solvers(report):
        if (other["set"], other["loss"], other["C"]) == (result["set"], result["loss"], 1):
            times = [of["at"].get(distance, {}).get(OURS, {}).get("seconds") for of in (result, other)]
            if None not in times:
                return float(times[0] / times[1])
    return None


def summary(report: Report) -> str:
    found = [comparison.met for comparison in comparisons(report)]
    return f"{found.count(True)} targets met, {found.count(False)} missed"


def line(result: Result) -> str:
    """One line of the terminal."""
    start = f"{result['id']:40}"
    if "error" in result:
        return f"{start} {result['error']}"
    if result["compares_threads"]:
        bits = "same bits" if result["same_bits"] else "OTHER BITS"
        return f"{start} {_digits(result['gain'])} x one thread, {bits}"
    parts = [f"ms {_milliseconds(result, OURS)} {result['method']}"]
    parts += [f"{who} {cell}" for who in RIVALS if (cell := _cell(result, who, is_marked=False))]
    parts += [f"minimum known to {result['known_to']:.0e} alone"] * (len(result["at"]) < len(KEYS))
    parts += [f"not installed: {', '.join(result['missing'])}"] * bool(result["missing"])
    return f"{start} {'; '.join(parts)}; {result['seconds_total']:.0f} s"


# ----------------------------------------------------------------------------------------------------
# Tables


class Table(NamedTuple):
    """Heads, and cells of the rows, as Markdown; the first column is text."""

    heads: list[str]
    rows: list[list[str]]

    def lines(self) -> list[str]:
        return [
            f"| {' | '.join(self.heads)} |",
            f"|---|{'--:|' * (len(self.heads) - 1)}",
            *(f"| {' | '.join(cells)} |" for cells in self.rows),
        ]


def table_of_solvers(report: Report) -> Table:
    """Everybody, and the targets."""
    rows = [
        [
            *_names(result),
            _milliseconds(result, OURS),
            _milliseconds(result, LOOSEST),
            *(_cell(result, who, is_marked=True) for who in RIVALS),
            _targets(report, result),
        ]
        for result in of_solvers(report)
    ]
    return Table(["set, loss", "C", "ms", "ms, loosest tolerance", *RIVALS, "targets"], rows)


def table_of_methods(report: Report) -> Table:
    """Each method of hingefast, and how well the minimum is known."""
    rows = [
        [
            *_names(result),
            *(_of_method(result, method) for method in METHODS),
            f"{max(result['known_to'], 1e-16):.0e}",
        ]
        for result in of_solvers(report)
    ]
    return Table(["set, loss", "C", *(f"`{method}`" for method in METHODS), "minimum known to"], rows)


def readme_lines(report: Report) -> list[str]:
    """The table of the README, without logistic loss, and what it says; nothing without figures."""
    rivals = (LINEAR_SVC, LIBLINEAR_TRAINING, REHLINE, LBFGS)
    rows = [
        [
            *_names(result),
            f"**{_milliseconds(result, OURS)}**",
            *(_cell(result, who, is_marked=False) for who in rivals),
        ]
        for result in of_solvers(report)
        if result["loss"] != "logistic"
    ]
    if not rows:
        return []
    table = Table(["set, loss", "C", "hingefast, ms", *rivals], rows)
    return [INTRODUCTION, "", *table.lines(), "", *_wrapped(told(report))]


def report_lines(report: Report) -> list[str]:
    """The section of REPORT.md; nothing without figures."""
    if not of_solvers(report):
        return []
    return [
        f"## {TITLE}",
        "",
        *_wrapped(f"{told(report)} {DETAILS} {summary(report)}."),
        "",
        *table_of_solvers(report).lines(),
        "",
        *_wrapped(OF_METHODS),
        "",
        *table_of_methods(report).lines(),
        *_of_threads(report),
    ]


def _of_threads(report: Report) -> Iterator[str]:
    """One line for each case, after an empty one."""
    for number, result in enumerate(result for result in results(report) if result["compares_threads"]):
        if number == 0:
            yield ""
        least = result["least"][ONE_THREAD]
        gain = _marked(_digits(result["gain"]), result["gain"] >= least)
        bits = "the same bits" if result["same_bits"] else "**other bits**"
        name, C = _names(result)
        yield f"- {name}, C = {C}: two threads are {gain} times as fast as one (target ≥ {least:g}), {bits}."


def told(report: Report) -> str:
    """What the figures of the tables are, and of which machine."""
    rows, run = of_solvers(report), report["fit_run"]
    facts, packages = run["about"], ("numpy", "scipy", "scikit-learn", "liblinear-official", "rehline")
    installed = [f"{name} {facts['versions'][name]}" for name in packages if facts["versions"].get(name)]
    limits = " or ".join(f"{limit:g}" for limit in sorted({row["limit"] for row in rows}))
    missing = sorted({name for row in rows for name in row["missing"]})
    absent = f" Not installed: {', '.join(missing)}." if missing else ""
    return (
        f"To within {' / '.join(WORDS)} (relatively) of the minimum of |w|²/2 + C · (sum of the losses), with a "
        "penalised intercept, in float64, one thread. hingefast: milliseconds until its certificate proves it, by "
        'the method that `"auto"` takes. Others: how many times as long they take, with the loosest tolerance that '
        "leads there, dual or primal, whichever is faster; **below 1 they are faster**. "
        f'"> 9": stopped after {limits} s; "never": ends too far away whatever its tolerance; "lost": hingefast does '
        'not get there, "stopped": neither does; "-": the minimum is not known well enough. '
        f"{LINEAR_SVC} converts X inside the clock; {LBFGS} is SciPy's, on `Objective.value_and_grad`.{absent} "
        f"{machine(facts)}, level `{level(facts)}`; {', '.join(installed)}; {run['date'][:10]}."
    )


def _wrapped(text: str) -> list[str]:
    return wrap(text, 118, break_on_hyphens=False)


def _names(result: Result) -> list[str]:
    return [f"{result['title']}, {LOSSES[result['loss']]}", f"{result['C']:g}"]


def _cell(result: Result, who: str, is_marked: bool) -> str:
    """Ratios at every distance; empty if he takes no part."""
    found = [compared(result, distance, who) for distance in KEYS]
    if not any(found):
        return ""
    return " / ".join(
        "-" if one is None else _marked(one.text, one.met if is_marked else None) for one in found
    )


def _marked(text: str, met: bool | None) -> str:
    return f"**{text}**" if met is False else text


def _milliseconds(result: Result, name: str) -> str:
    """At every distance for which the minimum is known; empty if it takes no part."""
    outcomes = [result["at"].get(distance, {}).get(name) for distance in KEYS]
    if result["at"] and not any(outcomes):
        return ""
    return " / ".join(
        "-" if one is None else _digits(one["seconds"] * 1e3) if "seconds" in one else _stopped(result, one)
        for one in outcomes
    )


def _stopped(result: Result, outcome: dict[str, Any]) -> str:
    return f"> {_digits(result['limit'] * 1e3)}" if outcome["outcome"] == "limit" else "never"


def _of_method(result: Result, method: str) -> str:
    return (
        f"{_milliseconds(result, OURS)} \\*"
        if method == result["method"]
        else _milliseconds(result, f"{OURS} ({method})")
    )


def _targets(report: Report, result: Result) -> str:
    told = [f"{who} ≥ {least:g}" for who, least in result["least"].items()]
    if result["largest_growth"] is not None:
        growth = growth_of(report, result)
        measured = (
            "" if growth is None else f": {_marked(_digits(growth), growth <= result['largest_growth'])}"
        )
        told.append(f"≤ {result['largest_growth']:g} x the {GROWTH}{measured}")
    return "; ".join(told)


def _digits(number: float) -> str:
    """In two or three digits."""
    decimals = 0 if number >= 99.5 else 1 if number >= 0.995 else 2
    return f"{number:,.{decimals}f}"
