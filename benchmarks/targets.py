"""The rows of the design's table of targets, and the ratios measured for each: what plot and README show."""

from typing import NamedTuple

from benchmarks.report import RIVALS, Report, Result, is_fast_enough, is_met


class Ratio(NamedTuple):
    """One measured ratio of times; the smaller the better.

    Attributes
    ----------
    level, n_threads : str, int
        How it was measured.
    dtype : str
        "f64" or "f32".
    ratio, quartiles, target : float
        Of the time over the ceiling's.
    met : bool or None
        None where there is no target, and at levels that the targets are not for.
    result : Result
    """

    level: str
    n_threads: int
    dtype: str
    ratio: float
    quartiles: tuple[float, float]
    target: float | None
    met: bool | None
    result: Result


class Row(NamedTuple):
    """What a row is called, what its times are divided by, and the ratios."""

    title: str
    ceiling: str
    ratios: list[Ratio]


def rows(report: Report) -> list[Row]:
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
            ratios = [_of_ceiling(result) for result in results]
            found.append(Row(design_row["title"], design_row["ceiling"], ratios))
        if has_least_speedup:
            ratios = [_of_strongest(result) for result in results if "strongest" in result["speedups"]]
            found.append(Row(design_row["title"], RIVALS["strongest"], ratios))
    return [row for row in found if row.ratios]


def _of_ceiling(result: Result) -> Ratio:
    return Ratio(
        result["level"],
        result["n_threads"],
        result["dtype"],
        result["ratio"],
        tuple(result["quartiles"]),
        result["target"],
        is_met(result),
        result,
    )


def _of_strongest(result: Result) -> Ratio:
    first, third = result["speedup_quartiles"]
    return Ratio(
        result["level"],
        result["n_threads"],
        result["dtype"],
        1 / result["speedups"]["strongest"],
        (1 / third, 1 / first),
        result["least_speedup"] and 1 / result["least_speedup"],
        is_fast_enough(result),
        result,
    )
