"""Runs hostile calls on every processor, and tells which call it was when one goes wrong or kills the process.

    python ci/hostile/run.py [--calls N | --seconds S] [--seed S] [--memory guarded|heap] [--survey]
    python ci/hostile/run.py --only SEED        one program of calls, printed

Every level that the processor runs gets its share. Workers write the seed that they are at into memory shared with the
parent, which outlives their deaths. `--survey` goes on after faults (not after deaths) and lists them by kind.
`--memory heap` is for a build with AddressSanitizer.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import mmap
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import guard
import judge
import numpy as np
import wild

import hingefast as hf

SEEDS_PER_RUN = 2**32  # programs of run S have the seeds S*2**32 + 0, 1, 2 ...
SEEDS_PER_LEVEL = 2**29  # ... in pieces, one for each level
HANGS_AFTER = 120  # seconds on one program
LATER = 400  # programs until a call that was kept is made again
SLOT = 64  # bytes of shared memory for each worker


def parse():
    parser = argparse.ArgumentParser(description="hostile calls with an oracle")
    parser.add_argument("--calls", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--memory", choices=("guarded", "heap"), default="guarded")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--survey", action="store_true")
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--state", default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


def make_memory(kind):
    return guard.Guarded() if kind == "guarded" else guard.Heap()


def describe(call):
    lines = [f"  {call.entry}"]
    for name, value in call.told.items():
        more = ""
        if isinstance(value, np.ndarray):
            flags = "".join(letter for letter, is_set in (
                ("C", value.flags.c_contiguous), ("F", value.flags.f_contiguous), ("A", value.flags.aligned),
                ("W", value.flags.writeable)) if is_set)  # fmt: skip
            more = (
                f"  <{type(value).__name__} {value.dtype.str} {value.shape} strides {value.strides} {flags}>"
            )
        lines.append(f"    {name} = {wild.text_of(value, 1500)}{more}")
    if call.faults:
        lines.append(f"    wrong: {call.faults}")
    return "\n".join(lines)


# ---- one program


def only(options):
    memory = make_memory(options.memory)
    if options.memory == "guarded":
        faulthandler.enable()
    try:
        for _, result, raised in judge.run_program(
            options.only, memory, lambda call: print(describe(call), flush=True)
        ):
            print(f"    {'refused' if raised else wild.text_of(result, 1500)}")
    except judge.Fault as fault:
        print(f"FAULT: {fault}")
        return 1
    print("clean")
    return 0


# ---- a worker


class Counts:
    """How many calls of which kind."""

    def __init__(self):
        self.entries = collections.Counter()
        self.refused = self.returned = 0
        self.faults = {}  # signature -> [count, seed, text]

    def add(self, call, raised):
        self.entries[call.entry] += 1
        if raised:
            self.refused += 1
        else:
            self.returned += 1

    def add_fault(self, fault, seed):
        entry = fault.call.entry if getattr(fault, "call", None) else "?"
        kind = re.sub(r"\[[^\]]*\] is .*", "[...]", re.sub(r"[-+]?\d[\d.e+-]*", "#", str(fault)))[:110]
        found = self.faults.setdefault(f"{entry}: {kind}", [0, seed, str(fault)])
        found[0] += 1


def work(options):
    if options.memory == "guarded":
        faulthandler.enable()
    else:
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
    with open(options.state, "r+b") as file:
        shared = np.frombuffer(mmap.mmap(file.fileno(), 0), np.int64).reshape(-1, SLOT // 8)[options.worker]
    memory = make_memory(options.memory)
    counts, kept = Counts(), collections.deque()
    end = time.monotonic() + options.seconds if options.seconds else None
    quota = None if options.calls is None else -(-options.calls // options.workers)
    index, n_calls, failed = options.first + options.worker, 0, False
    while (end is None or time.monotonic() < end) and (quota is None or n_calls < quota):
        seed = options.seed * SEEDS_PER_RUN + index
        shared[0] = index
        last = None
        try:
            for call, result, raised in judge.run_program(seed, memory):
                counts.add(call, raised)
                n_calls += 1
                last = (call, result) if not raised and judge.is_repeatable(call) else None
        except judge.Fault as fault:
            counts.add_fault(fault, seed)
            n_calls += 1
            last = None
            if not options.survey:
                report(options, seed, fault)
                failed = True
                break
        except Exception as error:  # of the bench itself
            where = traceback.extract_tb(error.__traceback__)[-1]
            fault = judge.Fault(f"the bench: {error!r} at {os.path.basename(where.filename)}:{where.lineno}")
            counts.add_fault(fault, seed)
            if not options.survey:
                raise
            last = None
        if last is not None and index % 37 < 2:
            kept.append((index, seed, last[0], judge.Result(last[1]), memory.keep()))
        memory.release()
        if kept and kept[0][0] < index - LATER:
            _, old_seed, call, bits, pieces = kept.popleft()
            shared[1] = old_seed % SEEDS_PER_RUN + 1
            if bits.differs(call.run()):
                print(
                    f"FAULT: seed {old_seed}: other bits when called again after seed {seed}\n{describe(call)}"
                )
                failed = True
                break
            shared[1] = 0
            memory.give_back(pieces)
        shared[2] = n_calls
        index += options.workers
    counts_of = {
        "entries": counts.entries,
        "refused": counts.refused,
        "returned": counts.returned,
        "faults": counts.faults,
    }
    with open(f"{options.state}.{options.worker}", "w") as file:
        json.dump(counts_of, file)
    return 1 if failed else 0


def report(options, seed, fault):
    print(f"\nFAULT: {fault}\n{describe(fault.call)}")
    level = hf.show_config(mode="dicts")["level"]
    print(
        f"  HINGEFAST_LEVEL={level} python {sys.argv[0]} --only {seed} --memory {options.memory}", flush=True
    )


# ---- the parent


def start(options, state, worker, level, first, n_calls, seconds):
    command = [sys.executable, *(["-P"] if sys.flags.safe_path else []), os.path.abspath(__file__)]
    command += [
        "--worker",
        str(worker),
        "--state",
        state,
        "--seed",
        str(options.seed),
        "--memory",
        options.memory,
    ]
    command += ["--workers", str(options.workers), "--first", str(first)]
    command += ["--calls", str(n_calls)] if n_calls else ["--seconds", str(seconds)]
    command += ["--survey"] if options.survey else []
    return subprocess.Popen(command, env={**os.environ, "HINGEFAST_LEVEL": level})


def watch(options, processes, shared):
    """Wait for the workers; the texts of what went wrong with them."""
    troubles, seen = [], {}
    running = dict(enumerate(processes))
    while running:
        time.sleep(0.1)
        for worker, process in list(running.items()):
            at = tuple(int(number) for number in shared[worker][:3])
            seed = options.seed * SEEDS_PER_RUN + at[0]
            if process.poll() is not None:
                del running[worker]
                if process.returncode:
                    how = process.returncode
                    how = f"died of {signal.Signals(-how).name}" if how < 0 else f"exit {how}"
                    old = options.seed * SEEDS_PER_RUN + at[1] - 1
                    troubles.append(f"{how} at seed {seed}" + (f", calling {old} again" if at[1] else ""))
            elif seen.get(worker, (None,))[0] != at:
                seen[worker] = at, time.monotonic()
            elif time.monotonic() - seen[worker][1] > HANGS_AFTER:
                troubles.append(f"hangs at seed {seed}")
                process.send_signal(signal.SIGABRT)
                time.sleep(2)
                process.kill()
        if troubles and not options.survey:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait()
            break
    return troubles


class Total:
    """What the workers of all levels counted."""

    def __init__(self):
        self.entries, self.refused, self.returned = collections.Counter(), 0, 0
        self.faults, self.troubles = {}, []

    def add(self, found):
        self.entries.update(found["entries"])
        self.refused += found["refused"]
        self.returned += found["returned"]
        for kind, (count, seed, text) in found["faults"].items():
            self.faults[kind] = (self.faults.get(kind, (0,))[0] + count, seed, text)

    def report(self, seconds):
        n_calls = sum(self.entries.values())
        for entry, count in sorted(self.entries.items()):
            print(f"  {count:>9,}  {entry}")
        speed = f"{n_calls:,} calls in {seconds:.0f} s, {n_calls / max(seconds, 1e-9):,.0f}/s"
        print(f"{speed}: {self.returned:,} returned, {self.refused:,} refused")
        for kind, (count, seed, text) in sorted(self.faults.items(), key=lambda item: -item[1][0]):
            print(f"FAULT {count} x {kind}\n      seed {seed}: {text[:400]}")
        for trouble in self.troubles:
            print(f"FAULT {trouble}")


def rage(options, level, place, n_levels, total):
    """One level's share of calls, on all processors."""
    n_calls = options.calls and -(-options.calls // n_levels)
    seconds = options.seconds and options.seconds / n_levels
    with tempfile.TemporaryDirectory() as folder:
        state = os.path.join(folder, "state")
        with open(state, "w+b") as file:
            file.truncate(max(options.workers * SLOT, mmap.PAGESIZE))
            shared = np.frombuffer(mmap.mmap(file.fileno(), 0), np.int64).reshape(-1, SLOT // 8)
        first = place * SEEDS_PER_LEVEL
        processes = [
            start(options, state, worker, level, first, n_calls, seconds) for worker in range(options.workers)
        ]
        total.troubles += [f"{level}: {trouble}" for trouble in watch(options, processes, shared)]
        for worker in range(options.workers):
            try:
                with open(f"{state}.{worker}") as file:
                    total.add(json.load(file))
            except FileNotFoundError:
                pass  # it died


def main():
    options = parse()
    if options.only is not None:
        return only(options)
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "little")
    if options.worker is not None:
        return work(options)
    if options.calls is None and options.seconds is None:
        options.seconds = 30
    levels = hf.show_config(mode="dicts")["levels"]
    print(f"hingefast {hf.__version__} in {os.path.dirname(hf.__file__)}, levels {', '.join(levels)}")
    print(f"seed {options.seed}, {options.workers} workers", flush=True)
    began, total = time.monotonic(), Total()
    for place, level in enumerate(levels):
        if options.survey or not (total.troubles or total.faults):
            rage(options, level, place, len(levels), total)
    total.report(time.monotonic() - began)
    return 1 if total.troubles or total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
