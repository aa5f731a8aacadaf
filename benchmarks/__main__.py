"""`python -m benchmarks`: measure every case and print ratios. This process measures nothing itself."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import report

ROOT = Path(__file__).resolve().parent.parent

# X in MiB: a full run is far beyond any level-2 cache and most last-level ones; a short one only beyond the
# former.
FULL_X, SHORT_X = 256, 48
# Seconds of timing a case, when five rounds do not take longer.
FULL_SECONDS, SHORT_SECONDS = 3.0, 0.5


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    x_bytes = int((options.x_mb or (SHORT_X if options.short else FULL_X)) * 2**20)
    seconds = options.seconds or (SHORT_SECONDS if options.short else FULL_SECONDS)
    progress = sys.stderr if options.markdown else sys.stdout
    facts: dict[str, Any] = {}
    results: list[report.Result] = []
    for n_threads in options.threads or [1, 2]:
        for record in _measure(n_threads, x_bytes, seconds, options.only):
            if "id" in record:
                results.append(record)
                print(report.line(record), file=progress, flush=True)
            elif not facts:
                facts = record
                print(f"{report.about(facts, x_bytes)}\n\n{report.COLUMNS}", file=progress, flush=True)
    if not results:
        print(f"no case matches {options.only!r}", file=sys.stderr)
        return 2
    print(f"\n{report.summary(results)}", file=progress)
    if options.markdown:
        print(report.markdown(facts, results, x_bytes))
    if options.json:
        written = {"about": facts, "x_bytes": x_bytes, "seconds_per_case": seconds, "results": results}
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return int(any(result.get("failed") for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time hingefast in turns with the ceiling of each pass and with NumPy; print ratios. "
        "Exits with 1 if a case fails or answers differ; a missed target is only told.",
    )
    parser.add_argument("--short", action="store_true", help=f"X of {SHORT_X} MiB, a few minutes")
    parser.add_argument(
        "--only", metavar="PATTERN", help="cases whose id contains PATTERN, or matches its wildcards"
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=int,
        nargs="+",
        help="cases with N threads on both sides (default: 1 2)",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure to FILE")
    parser.add_argument(
        "--markdown", action="store_true", help="print the README's table; progress goes to stderr"
    )
    parser.add_argument("--x-mb", metavar="MIB", type=float, help=f"size of X in MiB (default {FULL_X})")
    parser.add_argument(
        "--seconds", metavar="S", type=float, help=f"timing a case (default {FULL_SECONDS:g})"
    )
    return parser


def _measure(n_threads: int, x_bytes: int, seconds: float, pattern: str | None) -> Iterator[dict[str, Any]]:
    """The records of a worker, as they come."""
    options = {"n_threads": n_threads, "x_bytes": x_bytes, "seconds": seconds, "pattern": pattern}
    command = [sys.executable, "-m", "benchmarks.worker", json.dumps(options)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        for record in worker.stdout:
            yield json.loads(record)
    if worker.returncode:
        raise SystemExit(
            f"the benchmarks with {n_threads} threads stopped with exit code {worker.returncode}"
        )


if __name__ == "__main__":
    sys.exit(main())
