#!/usr/bin/env bash
# Proves: no call, whatever it is given and whatever happens meanwhile, crashes, hangs, lies or writes where it must not.
# Run: bash ci/hostile.sh [SECONDS | --calls N] [--seed S] [--asan-only | --release-only]
# Random calls with an oracle (hostile/calls.py) on a build with AddressSanitizer and, between pages that cannot be touched,
# on the release build; then storms of signals, forks, scribblers and limits (hostile/storms.py) on both.
# SECONDS (default 300, building not counted) is shared out among them; with --calls each build makes N calls and every
# storm rages.
# HOSTILE_WHEEL=FILE: only the release build, from that wheel. A fault tells the seed that makes it again.
set -euo pipefail
wheel=${HOSTILE_WHEEL:+$(realpath "$HOSTILE_WHEEL")}
unset HOSTILE_WHEEL
seconds=300 calls='' seed=$((RANDOM * 32768 + RANDOM)) builds="asan release"
while [ $# -gt 0 ]; do
    case $1 in
        --calls) calls=$2; shift ;;
        --seed) seed=$2; shift ;;
        --asan-only) builds=asan ;;
        --release-only) builds=release ;;
        [0-9]*) seconds=$1 ;;
        *) echo "unknown argument $1"; exit 2 ;;
    esac
    shift
done
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
if [ -n "$wheel" ]; then builds=release; fi

# install BUILD: the package into a fresh environment, "$tmp/BUILD"
install() {
    new_venv "$tmp/$1"
    if [ ! -d "$tmp/src" ] && [ -z "$wheel" ]; then copy_checkout "$tmp/src"; fi
    if [ "$1" = asan ]; then
        CC=gcc HINGEFAST_BUILD_SANITIZE=1 HINGEFAST_BUILD_TEST_OVERREAD=1 "$tmp/asan/bin/python" -m pip install -qq "$tmp/src"
    else
        "$tmp/$1/bin/python" -m pip install -qq "${wheel:-$tmp/src}"
    fi
}

# libstdc++ too: ASan looks for its exceptions at start, before a library loads it.
preload=$(for lib in asan ubsan stdc++; do gcc -print-file-name="lib$lib.so"; done 2>/dev/null | xargs)
reports() { find "$tmp" -maxdepth 1 -name 'report.*'; }
trap 'cat $(reports) /dev/null; rm -rf "$tmp"' EXIT

# python_of BUILD [ARGUMENTS...]
python_of() {
    local build=$1
    shift
    if [ "$build" = asan ]; then
        # PYTHONMALLOC: Python's own allocator would hide where an object ends.
        ASAN_OPTIONS="log_path=$tmp/report:detect_leaks=0:allocator_may_return_null=1" UBSAN_OPTIONS=print_stacktrace=1 \
            PYTHONMALLOC=malloc LD_PRELOAD="$preload" "$tmp/asan/bin/python" "$@"
    else
        "$tmp/$build/bin/python" "$@"
    fi
}

title_of() { if [ "$1" = asan ]; then echo asan; else echo "guard pages"; fi; }

cd "$tmp" # away from the sources
for build in $builds; do
    say "installing: $(title_of "$build")"
    install "$build"
done
case $builds in *asan*)
    say "a deliberate over-read"
    if python_of asan -c "import hingefast._kernels.table as loops; loops.overread_for_sanitizer()" 2>"$tmp/log"; then
        echo "the over-read went unseen"
        exit 1
    fi
    grep -hs "heap-buffer-overflow" $(reports) /dev/null >"$tmp/log" || { echo "no such report"; exit 1; }
    rm $(reports) ;;
esac

# In time: calls get two thirds, storms the rest; both in equal parts for each build.
share=$((seconds / (3 * $(wc -w <<<"$builds"))))
if [ "$share" -lt 5 ]; then share=5; fi
memory_of() { if [ "$1" = asan ]; then echo heap; else echo guarded; fi; }
summary='' storms=0
for build in $builds; do
    say "calls: $(title_of "$build")"
    how=(--seconds $((2 * share)))
    if [ -n "$calls" ]; then how=(--calls "$calls"); fi
    python_of "$build" "$root/ci/hostile/run.py" --memory "$(memory_of "$build")" --seed "$seed" "${how[@]}" | tee "$tmp/calls.log"
    summary="$summary$(sed -nE 's/^([0-9,]+) calls in .*/\1/p' "$tmp/calls.log") calls ($(title_of "$build")), "
done
for build in $builds; do
    say "storms: $(title_of "$build")"
    how=(--seconds 1 --budget "$share")
    if [ -n "$calls" ]; then how=(--seconds 3); fi
    python_of "$build" "$root/ci/hostile/storms.py" --seed "$seed" "${how[@]}" | tee "$tmp/storms.log"
    storms=$((storms + $(sed -nE 's/^([0-9]+) storms, .*/\1/p' "$tmp/storms.log")))
done
if grep -hs -A 30 "ERROR: AddressSanitizer" $(reports) /dev/null; then exit 1; fi # of a child that was to fail
printf '\nhostile: %s%s storms, seed %s: clean\n' "$summary" "$storms" "$seed"
