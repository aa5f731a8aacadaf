#!/usr/bin/env bash
# Proves: clang compiles the package as well, and what it compiles gives the right values and the same bits at every level.
# Run: bash ci/clang.sh [PYTEST_ARGUMENTS...]
# Without clang it installs Debian's where it may, and says plainly when it has to skip.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if ! command -v clang >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    { apt-get update && apt-get install -y --no-install-recommends clang; } >"$tmp/log" 2>&1 || tail -n 3 "$tmp/log"
fi
if ! command -v clang >/dev/null; then
    say "SKIPPED: no clang on this machine, nothing was compiled with it"
    exit 0
fi

say "$(clang --version | head -n 1)"
CC=clang bash "$root/ci/test.sh" -- -m clang "$@"
