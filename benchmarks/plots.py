"""The plots of the report's page, each one an SVG string made from what `--json` writes. Needs matplotlib alone.

Colours are those of Okabe and Ito, which the colour-blind can tell apart; a shape always says the same as a colour.
"""

import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from typing import Any
from zlib import crc32

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator
from matplotlib.transforms import blended_transform_factory

from benchmarks.report import (
    RIVALS,
    TARGETS_LEVEL,
    Ratio,
    Report,
    Result,
    Row,
    level,
    levels,
    rows_of_design,
    threads,
)

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, BLACK, GREY, PALE = "#CC79A7", "#56B4E9", "#000000", "#666666", "#fbe9dd"

STYLE: dict[Any, Any] = {
    # Text stays text: small, and searchable. Other fonts than DejaVu are narrower, so nothing runs into anything.
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
}

# In inches. All figures have the same width, so that their text has the same size on the page.
WIDTH, TOP, BOTTOM = 12.0, 0.75, 0.5

# {type: (shape where a target is met or there is none, shape where it is missed)}; float64 stands above float32.
SHAPES = {"f64": ("o", "X"), "f32": ("D", "P")}

DTYPE_COLORS = {"f64": BLUE, "f32": ORANGE}

# (colour, marker) of the lines of a plot, in the order in which their series appear.
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK, GREY)
LINES = list(zip(COLORS, "oDs^vPX*", strict=True))
RIVAL_STYLES = dict(
    zip(RIVALS, zip((BLUE, SKY, ORANGE, PURPLE, VERMILION, GREEN), "oDsP^v", strict=True), strict=True)
)


@dataclass(frozen=True)
class Plot:
    """A picture, its heading, and what it shows in words, for a caption and for who cannot see it."""

    title: str
    text: str
    svg: str


def all_plots(report: Report) -> list[Plot]:
    """Every plot for which the report has figures."""
    makers: list[Callable[[Report], Plot | None]] = [_ratios, _speedups, *_SWEEPS, _threads]
    with mpl.rc_context(STYLE):
        return [plot for make in makers if (plot := make(report))]


def _figure(height: float, columns: int, **keywords: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout=None)
    axes = figure.subplots(1, columns, squeeze=False, **keywords)
    return figure, list(axes[0])


def _figure_of_rows(
    n_rows: int, row: float, left: float, columns: int = 1, **grid: Any
) -> tuple[Figure, list[Axes]]:
    """Panels of so many rows, `row` inches each, from the top; their names stand in the `left` part."""
    height = TOP + BOTTOM + row * n_rows
    figure, panels = _figure(height, columns, sharey=True, gridspec_kw={"wspace": 0.05, **grid})
    figure.subplots_adjust(left=left, right=0.995, top=1 - TOP / height, bottom=BOTTOM / height)
    panels[0].set_ylim(n_rows - 0.4, -0.6)
    panels[0].set_yticks([])
    for panel in panels:
        panel.axvline(1, color=GREY, linewidth=1)
        for y in range(n_rows - 1):
            panel.axhline(y + 0.5, color="#eeeeee", linewidth=0.6)
    return figure, panels


def _legend(figure: Figure, entries: list[Line2D], side: str) -> None:
    figure.legend(
        handles=entries, loc=f"upper {side}", ncols=len(entries), handletextpad=0.1, columnspacing=1.6
    )


def _plot(title: str, text: str, figure: Figure) -> Plot:
    """The figure as an inline SVG without needless ids; the others are its own on the page."""
    prefix = f"p{crc32(title.encode()):08x}"
    written = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": prefix}):
        figure.savefig(written, format="svg")
    _, _, svg = written.getvalue().partition("<svg ")
    attributes, _, inside = svg.partition(">")
    box = re.search(r'viewBox="[^"]*"', attributes)
    assert box
    inside = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", inside, flags=re.DOTALL)
    used = set(re.findall(r"#([\w-]+)", inside))
    inside = re.sub(
        r' id="([^"]*)"', lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", inside
    )
    inside = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", inside)
    svg = f'<svg {box.group()} role="img" aria-label="{escape(f"{title}. {text}")}">{inside}'
    return Plot(title, text, re.sub(r"\n\s*", "\n", svg))


def _pretty(text: str) -> str:
    """10^7 as ten to the seventh."""
    digits = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"\^(\d+)", lambda found: found.group(1).translate(digits), text)


def _plain_log(axis: Any, limits: tuple[float, float], most: int = 9) -> None:
    """A log axis with 1, 2 and 5 of every decade as ticks, in plain numbers; of too many only the decades."""
    low, high = limits
    decades = [10.0**k for k in range(-4, 9)]
    ticks = [m * decade for decade in decades for m in (1, 2, 5) if low <= m * decade <= high]
    if len(ticks) > most:
        ticks = [decade for decade in decades if low <= decade <= high]
    axis.set_ticks(ticks)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _span(numbers: Iterable[float], room: float = 1.15) -> tuple[float, float]:
    """Limits of a log axis that show all of the numbers, and 1."""
    found = [number for number in numbers if number > 0]
    return min([*found, 1]) / room, max([*found, 1]) * room


# ----------------------------------------------------------------------------------------------------
# The ratios to the ceilings, with their targets


def _ratios(report: Report) -> Plot | None:
    rows = [
        Row(f"{row.title}, {threads(n_threads)}" if n_threads > least else row.title, row.ceiling, some)
        for row in rows_of_design(report)
        for least in [min(ratio.n_threads for ratio in row.ratios)]
        for n_threads in sorted({ratio.n_threads for ratio in row.ratios})
        if (some := [ratio for ratio in row.ratios if ratio.n_threads == n_threads])
        and (n_threads == least or any(ratio.target is not None for ratio in some))
    ]
    if not rows:
        return None
    all_ratios = [ratio for row in rows for ratio in row.ratios]
    shown = levels(report)
    widths = [3] + [1] * (len(shown) - 1)
    figure, panels = _figure_of_rows(len(rows), 0.27, 0.42, len(shown), width_ratios=widths)
    limits = _span((number for ratio in all_ratios for number in (ratio.ratio, ratio.target or 1)), 1.25)
    for panel, of_level in zip(panels, shown, strict=True):
        is_first = panel is panels[0]
        _log_x(
            panel,
            limits,
            "time / time of the ceiling (log)" if is_first else "the same",
            9 if is_first else 5,
        )
        panel.set_title(f"level {of_level}" if is_first else of_level)
        for y, row in enumerate(rows):
            ratios = [ratio for ratio in row.ratios if ratio.level == of_level]
            _row_of_ratios(panel, y, ratios, in_use=is_first)
    for y, row in enumerate(rows):
        missed = any(ratio.met is False for ratio in row.ratios)
        panels[0].text(
            0.004,
            y,
            _pretty(row.title),
            transform=blended_transform_factory(figure.transFigure, panels[0].transData),
            va="center",
            size=8.5,
            color=VERMILION if missed else BLACK,
            weight="bold" if missed else "normal",
        )
        _beside(panels[0], y, row.ceiling, size=7.5, color=GREY)
    entries = [
        _mark("float64, target met", SHAPES["f64"][0], BLUE),
        _mark("float32, met", SHAPES["f32"][0], BLUE),
        _mark("float64, missed", SHAPES["f64"][1], VERMILION, 6.5),
        _mark("float32, missed", SHAPES["f32"][1], VERMILION, 6.5),
        _mark("no target", SHAPES["f64"][0], GREY),
        _mark("target", "|", BLACK, 9, markeredgewidth=1.6),
    ]
    _legend(figure, entries, "left")
    judged = [ratio.met for ratio in all_ratios if ratio.met is not None]
    return _plot(
        f"Ratio to the ceiling: {sum(judged)} of {len(judged)} targets are met",
        "The time of value and gradient together, divided by the time of its ceiling, something simpler that moves the "
        "same bytes and is named beside each row. Left is faster. The black tick is the target, a thin bar spans the "
        f"quartiles from round to round. Targets are meant for {TARGETS_LEVEL}; other levels, to which NumPy and "
        "OpenBLAS are held too, are what older processors get, with the same targets and hollow marks.",
        figure,
    )


def _row_of_ratios(panel: Axes, y: int, ratios: list[Ratio], in_use: bool) -> None:
    order = list(SHAPES)
    gap = min(0.36, 0.66 / max(1, len(ratios)))
    for number, ratio in enumerate(sorted(ratios, key=lambda ratio: order.index(ratio.dtype))):
        height = y + (number - (len(ratios) - 1) / 2) * gap
        above = ratio.target is not None and ratio.ratio > ratio.target
        color = GREY if ratio.target is None else VERMILION if above else BLUE
        if above and in_use:
            panel.axhspan(y - 0.5, y + 0.5, color=PALE, linewidth=0, zorder=0)
        panel.plot(ratio.quartiles, [height] * 2, color=color, linewidth=1, solid_capstyle="butt")
        if ratio.target is not None:
            panel.plot([ratio.target] * 2, [height - gap / 2, height + gap / 2], color=BLACK, linewidth=1.5)
        panel.plot(
            ratio.ratio,
            height,
            SHAPES[ratio.dtype][above],
            color=color,
            markersize=6.5 if above else 5,
            markerfacecolor=color if in_use else "white",
            markeredgewidth=0.6 if in_use else 1,
        )


def _mark(label: str, marker: str, color: str, size: float = 5.5, **style: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], linestyle="", marker=marker, color=color, label=label, markersize=size, **style)


# ----------------------------------------------------------------------------------------------------
# How many times as fast as others


def _speedups(report: Report) -> Plot | None:
    """One row for each row of the design and for what else other libraries do, at the level in use, one thread."""
    rows: dict[str, list[Result]] = {}
    for result in report["results"]:
        if "error" in result or result["n_threads"] > 1 or result["level"] != level(report["about"]):
            continue
        if result["design_row"]:
            title = report["design_rows"][result["design_row"]]["title"]
        elif set(result["speedups"]) - {"strongest", "idiomatic"}:
            title = re.sub(r"/f(64|32)\b-?", "/", result["id"]).replace("//", "/").replace("/", ", ")
        else:
            continue
        if result["speedups"]:
            rows.setdefault(title, []).append(result)
    if not rows:
        return None
    factors = [factor for some in rows.values() for result in some for factor in result["speedups"].values()]
    figure, panels = _figure_of_rows(len(rows), 0.24, 0.29, 2)
    limits = _span(factors, 1.25)
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.5}
    for panel, dtype, name in zip(panels, ("f64", "f32"), ("float64", "float32"), strict=True):
        _log_x(panel, limits, f"times as fast, {name} (log)")
        panel.axvspan(limits[0], 1, color=PALE, linewidth=0, zorder=0)
        for y, some in enumerate(rows.values()):
            for result in some:
                if result["dtype"] == dtype:
                    for rival, factor in reversed(result["speedups"].items()):  # strongest on top
                        color, marker = RIVAL_STYLES[rival]
                        panel.plot(factor, y, marker, color=color, markersize=5.5, **edge)
    for y, title in enumerate(rows):
        _beside(panels[0], y, title)
    found = {rival for some in rows.values() for result in some for rival in result["speedups"]}
    entries = [
        _mark(RIVALS[rival], marker, color, 6.5)
        for rival, (color, marker) in RIVAL_STYLES.items()
        if rival in found
    ]
    _legend(figure, entries, "right")
    return _plot(
        "How many times as fast as others that do the same job",
        "Their time divided by hingefast's, one thread on both sides. In the shaded part hingefast loses. The "
        "strongest NumPy pass has its buffers made beforehand, uses BLAS and works in blocks that stay in cache; the "
        "idiomatic one is what people write.",
        figure,
    )


def _beside(panel: Axes, y: int, text: str, size: float = 8.5, color: str = BLACK) -> None:
    """Text that ends left of a row."""
    at = panel.get_yaxis_transform()
    panel.text(-0.012, y, _pretty(text), transform=at, va="center", ha="right", size=size, color=color)


def _log_x(panel: Axes, limits: tuple[float, float], label: str, most_ticks: int = 9) -> None:
    panel.set_xscale("log")
    panel.set_xlim(*limits)
    _plain_log(panel.xaxis, limits, most_ticks)
    panel.set_xlabel(label)


# ----------------------------------------------------------------------------------------------------
# Lines over a size


@dataclass(frozen=True)
class Sweep:
    """Panels beside each other, one for each sweep that the report has figures for.

    Attributes
    ----------
    title, text : str
        Of the plot.
    panels : dict
        {sweep: label of the x axis}
    y : callable
        (result) -> what is plotted upwards.
    y_label : str
        Of ratios: empty, they are named after their ceiling.
    """

    title: str
    text: str
    panels: dict[str, str]
    y: Callable[[Result], float]
    y_label: str = ""

    def __call__(self, report: Report) -> Plot | None:
        by_sweep = {sweep: _of_sweep(report, sweep) for sweep in self.panels}
        by_sweep = {sweep: results for sweep, results in by_sweep.items() if results}
        if not by_sweep:
            return None
        figure, panels = _figure(3.9, len(by_sweep))
        figure.subplots_adjust(left=0.055, right=0.995, top=0.86, bottom=0.13, wspace=0.15)
        for panel, (sweep, results) in zip(panels, by_sweep.items(), strict=True):
            self._draw(panel, self.panels[sweep], results)
        return _plot(self.title, self.text, figure)

    def _draw(self, panel: Axes, x_label: str, results: list[Result]) -> None:
        by_series: dict[str, list[Result]] = {}
        for result in results:
            by_series.setdefault(result["series"], []).append(result)
        for number, (series, some) in enumerate(by_series.items()):
            color, marker = LINES[number % len(LINES)]
            some.sort(key=lambda result: result["x"])
            xs, ys = [result["x"] for result in some], [self.y(result) for result in some]
            panel.plot(xs, ys, color=color, marker=marker, label=series)
            if not self.y_label:
                low, high = zip(*(result["quartiles"] for result in some), strict=True)
                panel.fill_between(xs, low, high, color=color, alpha=0.15, linewidth=0)
        xs = [result["x"] for result in results]
        if min(xs) > 0 and max(xs) / min(xs) >= 20:
            panel.set_xscale("log")
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xticks(sorted(set(xs)))
            panel.xaxis.set_major_formatter(FuncFormatter(_short))
        ys = [self.y(result) for result in results]
        if not self.y_label:
            panel.axhline(1, color=GREY, linewidth=1)
        if max(ys) > 8 * min(ys):  # the small ones would lie on the axis
            limits = _span(ys)
            panel.set_yscale("log")
            panel.set_ylim(*limits)
            _plain_log(panel.yaxis, limits)
        else:
            panel.set_ylim(0, 1.12 * max([*ys, 0 if self.y_label else 1]))
        panel.set_xlabel(x_label)
        ceilings = {result["ceiling"].removeprefix("SciPy's ") for result in results}
        panel.set_ylabel(self.y_label or f"time / {' or '.join(sorted(ceilings))}")
        panel.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, columnspacing=1.2, handlelength=1.6
        )


def _of_sweep(report: Report, sweep: str) -> list[Result]:
    return [
        result
        for result in report["results"]
        if result["sweep"] == sweep and "error" not in result and result["level"] == level(report["about"])
    ]


def _short(value: float, _: object = None) -> str:
    """1000000 as 10 to the sixth, 50 as 50."""
    if value >= 10_000:
        exponent = len(f"{value:.0f}") - 1
        return _pretty(f"{'' if value == 10**exponent else f'{value / 10**exponent:g}·'}10^{exponent}")
    return f"{value:g}"


def _ratio(result: Result) -> float:
    return float(result["ratio"])


_SWEEPS = [
    Sweep(
        "Bytes per second on scores, from a few rows to ten million",
        "The hinge: labels and scores read, slopes written, one thread. On the left calls cost most; then come the "
        "caches, then memory.",
        {"rows": "rows"},
        lambda result: float(result["gb_per_second"]),
        y_label="GB/s",
    ),
    Sweep(
        "Ratio to the ceiling by features of dense X, and by classes on given scores",
        "Value and gradient of the hinge, and of Crammer-Singer, divided by what is written on the axis; one thread. "
        "Shaded: the quartiles from round to round.",
        {"features": "features", "classes": "classes"},
        _ratio,
    ),
    Sweep(
        "Ratio to the ceiling by nonzeros in a row of CSR, and by active rows",
        "Value and gradient of the hinge, divided by the product alone (SciPy's for CSR); one thread. Rows whose slope "
        "is zero are not read a second time: the fewer are active, the cheaper the gradient.",
        {"nonzeros": "nonzeros in a row", "activity": "active rows, %"},
        _ratio,
    ),
]


# ----------------------------------------------------------------------------------------------------
# Threads


def _threads(report: Report) -> Plot | None:
    """Passes next to the memory they read, then the rows of the design, all with two threads and with one in turns."""
    rows: dict[str, list[Result]] = {}
    for result in report["results"]:
        if "gain" in result and result["n_threads"] == 2 and "error" not in result:
            if result["sweep"] == "threads":
                title = f"{result['series']}: next to its memory"
            elif result["design_row"]:
                title = report["design_rows"][result["design_row"]]["title"].removesuffix(", 2 threads")
            else:
                title = result["id"]
            rows.setdefault(title, []).append(result)
    if not rows:
        return None
    titles = sorted(rows, key=lambda title: rows[title][0]["sweep"] != "threads")
    figure, (panel,) = _figure_of_rows(len(rows), 0.24, 0.34)
    panel.set_xlim(0, 1.08 * max(2.0, *(result["gain"] for some in rows.values() for result in some)))
    panel.set_xlabel("times as fast as with one thread")
    for y, title in enumerate(titles):
        _beside(panel, y, title)
        for result in rows[title]:
            if "ceiling_gain" in result:
                panel.plot([result["ceiling_gain"]] * 2, [y - 0.35, y + 0.35], color=BLACK, linewidth=1.6)
            dtype = result["dtype"]
            panel.plot(result["gain"], y, SHAPES[dtype][0], color=DTYPE_COLORS[dtype], markersize=5.5)
    entries = [
        _mark("float64", SHAPES["f64"][0], DTYPE_COLORS["f64"]),
        _mark("float32", SHAPES["f32"][0], DTYPE_COLORS["f32"]),
        _mark("only reading the same bytes", "|", BLACK, 9, markeredgewidth=1.6),
    ]
    _legend(figure, entries, "right")
    return _plot(
        "How many times as fast two threads are as one",
        "Both timed in turns. The black tick is what two threads gain that only read the same bytes: no pass that "
        "reads as fast as memory delivers can gain more. A pass to the right of its tick did not with one thread.",
        figure,
    )
