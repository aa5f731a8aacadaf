"""Storms: what signals, forks, scribblers, limits and the end of the interpreter do to calls that run meanwhile.

    python ci/hostile/storms.py [--seed S] [--seconds S] [--budget S] [--list] [NAME...]

Each storm is a process of its own with a time limit; it fails loudly on a crash, a hang, wrong bits or another
exception than the contract's. `--seconds` is how long one rages, `--budget` how long all of them may take together:
with it, as many as fit, in an order that the seed decides. A storm is named `what: on which kind`; the seed also
decides its level.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

GRACE = 90  # seconds that a storm may take beside raging: to start, to calm down and to end


def scenarios():
    """All storms by name: callables that take (random.Random, seconds)."""
    import storm_ends
    import storm_limits
    import storm_memory
    import storm_scribble
    import storm_signals

    found = {}
    for module in (storm_signals, storm_scribble, storm_limits, storm_ends, storm_memory):
        found.update(module.STORMS)
    return found


def level_of(name, seed):
    """The level at which a storm runs: that of the environment, if one is set there."""
    import hingefast as hf

    levels = hf.show_config(mode="dicts")["levels"]
    return os.environ.get("HINGEFAST_LEVEL") or random.Random(f"{seed} level {name}").choice(levels)


def child(name, seed, seconds):
    import faulthandler

    if not os.environ.get("ASAN_OPTIONS"):
        faulthandler.enable()
    scenarios()[name](random.Random(f"{seed} {name}"), seconds)


def begin(name, options, folder):
    log = open(os.path.join(folder, name.replace("/", " ")), "w+")  # noqa: SIM115
    command = [sys.executable, *(["-P"] if sys.flags.safe_path else []), os.path.abspath(__file__)]
    command += ["--child", name, "--seed", str(options.seed), "--seconds", str(options.seconds)]
    # a session of its own: a storm that hangs is ended with its children
    level = level_of(name, options.seed)
    environment = {**os.environ, "HINGEFAST_LEVEL": level}
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=environment
    )
    return f"{name} ({level})", process, log, time.monotonic()


def verdict(process, log, is_late):
    """What went wrong with a storm that is over; empty if nothing did."""
    log.seek(0)
    lines = log.read().strip()
    log.close()
    if is_late:
        return f"hangs\n{lines[-1500:]}"
    if process.returncode < 0:
        return f"died of {signal.Signals(-process.returncode).name}\n{lines[-2500:]}"
    return f"exit {process.returncode}\n{lines[-2500:]}" if process.returncode else ""


def end(process):
    try:
        os.killpg(process.pid, signal.SIGABRT)  # faulthandler tells where it hangs
        time.sleep(1)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def main():
    parser = argparse.ArgumentParser(description="storms")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--budget", type=float, default=None)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        return child(options.child, options.seed, options.seconds)
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "little")
    known = scenarios()
    if options.list:
        print("\n".join(known))
        return 0
    names = [name for name in known if any(name.startswith(start) for start in options.names)] or list(known)
    random.Random(options.seed).shuffle(names)
    begun, running, failed, done = time.monotonic(), [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        while names or running:
            is_over = options.budget is not None and time.monotonic() - begun > options.budget
            if is_over or (failed and not options.keep_going):
                names = []
            while names and len(running) < max(1, len(os.sched_getaffinity(0))):
                running.append(begin(names.pop(), options, folder))
            time.sleep(0.05)
            for storm in list(running):
                name, process, log, since = storm
                is_late = time.monotonic() - since > options.seconds + GRACE
                if process.poll() is None and not is_late:
                    continue
                if is_late:
                    end(process)
                running.remove(storm)
                trouble = verdict(process, log, is_late)
                done += 1
                print(
                    f"{'FAULT' if trouble else 'ok   '} {time.monotonic() - since:5.1f} s  {name}", flush=True
                )
                if trouble:
                    failed.append(name)
                    print(trouble)
                    print(
                        f"  again: {sys.argv[0]} --seed {options.seed} '{name.rpartition(' (')[0]}'",
                        flush=True,
                    )
    print(f"{done} storms, seed {options.seed}: {f'{len(failed)} failed' if failed else 'clean'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
