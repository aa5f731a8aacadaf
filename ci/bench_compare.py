"""Shows: how fast one version of hingefast is next to another; fails where it is slower.

Run: python ci/bench_compare.py [BASE [HEAD]]     e.g. python ci/bench_compare.py main --only csr/
Both versions are built in a temporary folder. Two processes, one a version, hold the same problem, made by the
benchmarks of this checkout, and are timed in turns on the same processors.
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # this checkout's benchmarks, whatever is installed

from benchmarks.measure import Failure, OrderFailed, Process, Times, in_turns, quartiles, started, worker  # noqa: E402

# Without --only: one row for each pass and dtype, and the losses that compute something else than the hinge.
SELECTION = (
    "scores/hinge/*/n=1e6",
    "scores/hinge/*/n=32",
    "scores/psi_g/*",
    "scores/psi_m/*",
    "scores/logistic/*",
    "dense/hinge/*/d=32",
    "dense/hinge/*/d=1000",
    "fortran/hinge/*",
    "tile/hinge/uint8/*",
    "csr/hinge/*-text/active=25%",
    "csr/hinge/*-text/active=100%",
    "batch/*",
    "multiclass/scores/*-K=10/*",
    "multiclass/scores/*-K=100/*",
    "multiclass/dense/*-K=10/*",
    "multiclass/dense/*-K=100/*",
    "multiclass/csr/*-news20/*",
)

LIMIT = 1.15
X_MB = 48.0
SECONDS = 3.0  # of timing a case, both versions together
MIN_ROUNDS, MAX_ROUNDS = 7, 400  # each time the data are made

# Where its memory lies makes one process up to a fifth slower for good, and it lies elsewhere in every new one: a row
# over the limit is measured in so many pairs of new processes, of which the median counts.
PAIRS = 7

# Relative; float32 sums of other orders are within a tenth of it. Who computes something else is not faster or slower.
SAME_VALUE = 1e-4

# A sample lasts at least this long: 50 times what waking the process takes.
SAMPLE_SECONDS = 5e-3

LISTED = "\n".join(f"  {pattern}" for pattern in SELECTION)
EPILOG = f"""\
HEAD is by default this checkout with its uncommitted changes. BASE is by default HEAD's last commit where the checkout
has uncommitted changes, else the commit before it. HINGEFAST_LEVEL=base|x86_v3|x86_v4 compares at another
instruction-set level. Without --only, the builds and these cases take 5 to 8 minutes on two cores of 2023 (those on
real data need HINGEFAST_DATA=FOLDER):

{LISTED}

A case that is slower than the limit is measured again in {PAIRS} pairs of new processes, and only counts as slower if
the median of their ratios is above the limit, too. Cases that BASE cannot run are told and not counted.

Exit code: 0 if no case is slower, 1 if one is or HEAD cannot run what BASE can or finds another value, 2 if nothing
could be compared.
"""


class Version(NamedTuple):
    """One side. `revision` is a commit, or empty for the checkout as it is."""

    role: str
    revision: str
    name: str


# ----------------------------------------------------------------------------------------------------
# What was measured


@dataclass
class Row:
    """One case. Either `first` is there or `problem` says why not.

    `again` holds the times of each pair of new processes if `first` was over the limit. Times are those of "base" and
    "head"; a ratio above 1 says that the head is slower.
    """

    case_id: str
    n_threads: int
    problem: str = ""
    head_failed: bool = False
    first: Times | None = None
    again: list[Times] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.case_id + (f" [{self.n_threads} threads]" if self.n_threads > 1 else "")

    @property
    def ratio(self) -> float | None:
        """Of the medians, head / base; of several pairs of processes the median."""
        counts = self.again or ([self.first] if self.first else [])
        return statistics.median(times.ratio("head", "base") for times in counts) if counts else None

    @property
    def quartiles(self) -> tuple[float, float]:
        """Of the ratio from round to round, or from pair to pair."""
        if self.again:
            return quartiles([times.ratio("head", "base") for times in self.again])
        assert self.first is not None
        return self.first.ratio_quartiles("head", "base")

    def is_suspect(self, limit: float) -> bool:
        return self.first is not None and not self.again and self.first.ratio("head", "base") > limit

    def has_failed(self, limit: float) -> bool:
        """Slower both times, or broken."""
        return self.head_failed or bool(self.again and self.ratio is not None and self.ratio > limit)

    def line(self, limit: float) -> str:
        if self.ratio is None or self.first is None:
            return f"{self.name:46} {self.problem}"
        low, high = self.quartiles
        counts = self.again or [self.first]
        base, head = (
            f"{statistics.median(times.median(role) for times in counts) * 1e3:.4g} ms"
            for role in ("base", "head")
        )
        if self.has_failed(limit):
            remark = "SLOWER"
        elif self.is_suspect(limit):
            remark = "over the limit: will be measured again"
        elif self.again:
            remark = f"not slower: {self.first.ratio('head', 'base'):.2f} was one pair of processes"
        else:
            remark = "faster" if self.ratio < 1 / limit else ""
        spread = f"({low:.2f}-{high:.2f})"
        return f"{self.name:46} {base:>11} {head:>11} {self.ratio:6.2f}  {spread:13} {remark}".rstrip()


HEADER = f"{'case':46} {'base':>11} {'head':>11} {'ratio':>6}  (quartiles)"


def summary(rows: Sequence[Row], limit: float) -> str:
    """The last lines: how many of what, the worst row, and those that failed."""
    compared = [(row.ratio, row) for row in rows if row.ratio is not None]
    failed = [row for row in rows if row.has_failed(limit)]
    left_out = len(rows) - len(compared) - sum(row.head_failed for row in rows)
    lines = [f"{len(compared)} cases compared, {len(failed)} failed, {left_out} left out"]
    if compared:
        mean = statistics.geometric_mean(ratio for ratio, _ in compared)
        ratio, worst = max(compared, key=lambda pair: pair[0])
        lines[0] += f"; on average head / base = {mean:.3f}"
        lines.append(f"the worst ratio: {ratio:.2f}, {worst.name} (the limit is {limit:g})")
    lines += ["failed:", *(row.line(limit) for row in failed)] if failed else []
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------------------
# The two versions, built


def git(*arguments: str) -> str:
    # safe.directory: the checkout may belong to another user, as in a container
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise Failure("git is not installed") from error
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip()
        raise Failure(f"git {' '.join(arguments)}: {message or f'exit code {done.returncode}'}")
    return os.fsdecode(done.stdout)


def versions(base: str | None, head: str | None) -> tuple[Version, Version]:
    """What BASE and HEAD mean; see EPILOG for what they mean where they are not given."""
    is_changed = bool(git("status", "--porcelain"))
    if base is None:
        base = "HEAD" if is_changed else "HEAD~1"
    return commit("base", base), commit("head", head) if head is not None else checkout("head", is_changed)


def checkout(role: str, is_changed: bool) -> Version:
    name = git("log", "-1", "--format=%h %s").strip()
    return Version(role, "", f"this checkout, {name}{', with uncommitted changes' * is_changed}")


def commit(role: str, revision: str) -> Version:
    try:
        found = git("rev-parse", "--verify", "--end-of-options", revision + "^{commit}").strip()
    except Failure as error:
        raise Failure(f"{role}: {revision!r} is no commit of this repository") from error
    return Version(role, found, git("log", "-1", "--format=%h %s", found).strip())


def export(version: Version, folder: Path) -> None:
    """The files of a version, and nothing that git ignores."""
    folder.mkdir()
    if version.revision:
        archive = folder.with_suffix(".tar")
        git("archive", "--format=tar", f"--output={archive}", version.revision)
        shutil.unpack_archive(archive, folder, filter="data")
        return
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():  # not where it was deleted
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)


def run(tmp: Path, commands: dict[str, list[str]]) -> None:
    """Run commands side by side; raise Failure with the end of what the first one printed that did not succeed."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": str(tmp)}
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        environment.pop(name, None)
    with contextlib.ExitStack() as stack:
        running = {}
        for number, (what, command) in enumerate(commands.items()):
            log = stack.enter_context(open(tmp / f"log{number}", "w+", encoding="utf-8", errors="replace"))
            keywords = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": tmp}
            process = stack.enter_context(started(command, env=environment, **keywords))
            running[what] = process, log
        for what, (process, log) in running.items():
            if process.wait():
                log.seek(0)
                raise Failure("\n".join([f"{what} failed:", *log.read().splitlines()[-25:]]))


def build(pair: Sequence[Version], tmp: Path) -> tuple[str, dict[str, Path]]:
    """The interpreter to measure with, and the folder of each built version by role."""
    python = sys.executable
    if not all(map(find_spec, ("pip", "numpy", "scipy"))):
        print("making an environment with NumPy and SciPy", flush=True)
        run(tmp, {"making an environment": [python, "-m", "venv", str(tmp / "venv")]})
        python = str(tmp / "venv" / "bin" / "python")
        tools = ["numpy", "scipy", "threadpoolctl"]
        run(tmp, {"installing NumPy and SciPy": [python, "-m", "pip", "install", *tools]})

    # Each with the build tools that its own pyproject.toml asks for.
    print("building both versions", flush=True)
    commands, folders = {}, {}
    for version in pair:
        source, folders[version.role] = tmp / f"{version.role}-source", tmp / version.role
        export(version, source)
        install = [python, "-m", "pip", "install", "--no-deps", "--target"]
        commands[f"building the {version.role}, {version.name},"] = [
            *install,
            str(folders[version.role]),
            str(source),
        ]
    run(tmp, commands)
    return python, folders


# ----------------------------------------------------------------------------------------------------
# Timing in turns


def processors(n_threads: int) -> list[int]:
    """One for each thread, the last ones: the first handle most interrupts. Empty where none can be set."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < n_threads:
        raise Failure(f"{n_threads} threads need as many processors; usable are {len(usable)}")
    return usable[-n_threads:]


@dataclass(frozen=True)
class Bench:
    """Both versions, and how to measure them."""

    python: str
    folders: dict[str, Path]
    n_threads: int
    x_bytes: int
    processors: list[int]

    @contextlib.contextmanager
    def sides(self) -> Iterator[tuple[Process, Process]]:
        """Two new processes, the base's first."""
        options = {"n_threads": self.n_threads, "x_bytes": self.x_bytes, "processors": self.processors}
        with contextlib.ExitStack() as stack:
            base, head = (
                stack.enter_context(
                    worker(
                        role,
                        options,
                        {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
                        self.python,
                    )
                )
                for role, folder in self.folders.items()
            )
            yield base, head

    def about(self) -> dict[str, str]:
        """The level of each version, by role, after a look that the right one is imported."""
        levels = {}
        with self.sides() as sides:
            for side in sides:
                try:
                    file, level = side("imported"), side("about")["hingefast"]["level"]
                except OrderFailed as error:
                    raise Failure(
                        f"the benchmarks of this checkout do not run with the {side.role}: {error.reason}"
                    ) from error
                if not Path(file).resolve().is_relative_to(self.folders[side.role].resolve()):
                    raise Failure(f"the process of the {side.role} imported {file}, not what was built")
                levels[side.role] = str(level)
        return levels

    def measure_all(self, patterns: Sequence[str | None], seconds: float) -> Iterator[Row]:
        """The rows as they are measured."""
        with self.sides() as (base, head):
            known = base("find", patterns)
            for case_id, missing in head("find", patterns).items():
                row = Row(case_id, self.n_threads)
                if missing:
                    row.problem = f"left out: {missing}"
                elif case_id not in known:
                    row.problem = "left out: the base has no such case"
                else:
                    measure(row, base, head, seconds)
                yield row

    def measure_again(self, row: Row, seconds: float) -> None:
        """Measure a row in PAIRS pairs of new processes."""
        for _ in range(PAIRS):
            with self.sides() as (base, head):
                row.again.append(compare(row.case_id, base, head, seconds, MIN_ROUNDS))


def measure(row: Row, base: Process, head: Process, seconds: float) -> None:
    """Fill in what was measured, or what prevented it."""
    try:
        row.first = compare(row.case_id, base, head, seconds, MIN_ROUNDS)
    except OrderFailed as error:
        row.head_failed = error.role == head.role
        row.problem = f"{'FAILED' if row.head_failed else 'left out'}: {error}"


def compare(case_id: str, base: Process, head: Process, seconds: float, min_rounds: int) -> Times:
    """Time a case in strict turns: base, head, base, head, ...

    So every sample finds the caches as the other version left them. With base, head, head, base every second one finds
    its own numbers there: times of 0.61 and 0.69 ms in one place, whose median is a matter of chance.

    In the middle the data are made anew, the head's first: where the system puts them can cost one side a tenth.
    """
    both = Times({base.role: [], head.role: []})
    for turns in ((base, head), (head, base)):
        for side in turns:
            side("forget")
        built = {side.role: side("build", case_id) for side in turns}
        values = {role: value for role, (value, _) in built.items()}
        if not math.isclose(*values.values(), rel_tol=SAME_VALUE):
            raise OrderFailed(head.role, f"it finds another value: {values}")
        calls = max(
            1, math.ceil(SAMPLE_SECONDS / min(seconds_of_call for _, seconds_of_call in built.values()))
        )
        samplers = {side.role: partial(side, "sample", calls) for side in turns}
        times = in_turns(
            samplers, seconds / 2, min_rounds, MAX_ROUNDS, throughout=list(samplers), is_strict=True
        )
        for role, some in times.seconds.items():
            both.seconds[role] += some
    return both


# ----------------------------------------------------------------------------------------------------
# The command


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description="Build two versions of hingefast and compare their speed, timed in turns on the same processor.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("base", metavar="BASE", nargs="?", help="what to compare with: a commit, tag or branch")
    add("head", metavar="HEAD", nargs="?", help="what is compared (default: this checkout as it is)")
    add("--only", metavar="PATTERN", help="cases whose id contains PATTERN, or matches its wildcards")
    add("--threads", metavar="N", type=count, default=1, help="cases with N threads (default 1)")
    add(
        "--limit",
        metavar="RATIO",
        type=positive,
        default=LIMIT,
        help=f"slower is what is above (default {LIMIT})",
    )
    add("--seconds", metavar="S", type=positive, default=SECONDS, help=f"timing a case (default {SECONDS:g})")
    add(
        "--x-mb",
        metavar="MIB",
        type=positive,
        default=X_MB,
        help=f"size of X in MiB, twice (default {X_MB:g})",
    )
    add("--json", metavar="FILE", type=Path, help="write every sample to FILE")
    return made


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def bench(options: argparse.Namespace, tmp: Path) -> int:
    on = processors(options.threads)
    pair = versions(options.base, options.head)
    for version in pair:
        print(f"{version.role}: {version.name}", flush=True)
    python, folders = build(pair, tmp)
    both = Bench(python, folders, options.threads, int(options.x_mb * 2**20), on)
    levels = both.about()
    level = ", ".join(dict.fromkeys(levels.values()))  # one, unless they choose differently
    print(f"level {level}; X of {options.x_mb:g} MiB. Ratios are median times, head / base.\n", flush=True)
    print(HEADER, flush=True)

    patterns = [options.only] if options.only else list(SELECTION)
    rows = []
    for row in both.measure_all(patterns, options.seconds):
        rows.append(row)
        print(row.line(options.limit), flush=True)
    if not rows:
        what = repr(options.only) if options.only else "the default patterns"
        raise Failure(f"no case with {options.threads} threads matches {what}")
    suspects = [row for row in rows if row.is_suspect(options.limit)]
    if suspects:
        print(f"\nover the limit, measured again in {PAIRS} pairs of new processes:", flush=True)
    for row in suspects:
        both.measure_again(row, options.seconds)
        print(row.line(options.limit), flush=True)
    print(f"\n{summary(rows, options.limit)}")
    if options.json:
        write(options, pair, levels, rows)
    if not any(row.first or row.head_failed for row in rows):
        raise Failure("no case could be compared")
    return int(any(row.has_failed(options.limit) for row in rows))


def write(
    options: argparse.Namespace, pair: Sequence[Version], levels: dict[str, str], rows: Sequence[Row]
) -> None:
    written = {
        **{version.role: {**version._asdict(), "level": levels[version.role]} for version in pair},
        "limit": options.limit,
        "x_mb": options.x_mb,
        "cases": [
            {
                "id": row.case_id,
                "n_threads": row.n_threads,
                "problem": row.problem,
                "failed": row.has_failed(options.limit),
                "ratio": row.ratio,
                "measured": [times.seconds for times in (row.first, *row.again) if times is not None],
            }
            for row in rows
        ],
    }
    options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="hingefast-compare-") as tmp:
            return bench(options, Path(tmp))
    except Failure as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is removed then, too
    sys.exit(main())
