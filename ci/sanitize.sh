#!/usr/bin/env bash
# Proves: the tests read and write only their own memory and do nothing undefined, at every level that this processor runs.
# Run: bash ci/sanitize.sh [PYTEST_ARGUMENTS...]
# Builds with gcc's AddressSanitizer and UBSan; the same build must be seen to catch a deliberate over-read, or nothing is proved.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

say "building with $(gcc --version | head -n 1)"
copy_checkout "$tmp/src"
new_venv "$tmp/venv"
export PATH="$tmp/venv/bin:$PATH"
export CC=gcc HINGEFAST_BUILD_SANITIZE=1 HINGEFAST_BUILD_TEST_OVERREAD=1
python -m pip install -qq "$tmp/src[test]"
cd "$tmp" # away from the sources

# libstdc++ too: ASan looks for its exceptions at start, before a library of SciPy loads it.
preload=$(for lib in asan ubsan stdc++; do gcc -print-file-name="lib$lib.so"; done | xargs)
# ASan's findings go to files, lest a test swallows them with its child's output. The interpreter itself leaks at exit.
export ASAN_OPTIONS="log_path=$tmp/report:detect_leaks=0:allocator_may_return_null=1"
export UBSAN_OPTIONS="print_stacktrace=1" # gcc's libubsan ignores log_path beside libasan: see --capture below
sanitized() { LD_PRELOAD="$preload" "$@"; }
reports() { find "$tmp" -maxdepth 1 -name 'report.*'; }
trap 'cat $(reports) /dev/null; rm -rf "$tmp"' EXIT # the report of a run that it ended

say "a deliberate over-read"
if sanitized python -c "import hingefast._kernels.table as loops; loops.overread_for_sanitizer()"; then
    echo "the over-read went unseen"
    exit 1
fi
grep -hs "heap-buffer-overflow" $(reports) /dev/null || { echo "no such report"; exit 1; }
rm $(reports)

# What has loops of its own at every level; and once, what surrounds them: marks beside the tests say which (pyproject.toml). Other
# tests run the same kernels for values, texts and bits; those that measure memory carry the mark no_sanitizer. Hostile calls of
# every kind follow, at every level.
for level in base x86_v3 x86_v4; do
    export HINGEFAST_LEVEL=$level
    say "the tests at level $level"
    what="at_every_level or sanitizer"
    if [ $level != base ]; then
        what=at_every_level
        if ! sanitized python -c "import hingefast" 2>"$tmp/log"; then
            grep ImportError "$tmp/log" || { cat "$tmp/log"; exit 1; } # the processor has no such level
            continue
        fi
    fi
    # Only files that carry the marks: to import the others takes seconds here.
    files=$(cd "$root" && grep -lE "pytest\.mark\.(${what// or /|})\b" tests/test_*.py)
    # no faulthandler: it would take the signals that ASan reports; capture=sys: file descriptor 2 stays open for UBSan
    sanitized run_tests -q -p no:faulthandler --capture=sys -m "($what) and not slow and not no_sanitizer" $files "$@"
    # also where a test expected its child process to fail
    if grep -hs -A 30 "ERROR: AddressSanitizer" $(reports) /dev/null; then exit 1; fi
done

say "hostile calls"
unset HINGEFAST_LEVEL
# Kernels and NumPy take their memory from malloc. What these calls give besides, bytes and array.array, comes from Python's
# own allocator, which would hide where it ends; the tests above would take half as long again without it.
sanitized env PYTHONMALLOC=malloc python "$root/ci/hostile/run.py" --memory heap --seconds 20 --seed 1
