#!/usr/bin/env bash
# Proves: Python, Cython and C are formatted and free of what linters find.
# Run: bash ci/lint.sh [WHEEL]
# Without WHEEL it builds the package of this checkout. The tools are pinned in pyproject.toml, group "lint".
set -euo pipefail
wheel=${1:+$(realpath "$1")}
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

copy_checkout "$tmp/checkout"
new_venv "$tmp/venv"
install_group "$tmp/venv" lint
export PATH="$tmp/venv/bin:$PATH"
if [ -z "$wheel" ]; then
    cp -r "$tmp/checkout" "$tmp/src" # a copy, so that linters do not read what the build leaves
    wheel="$tmp/src"
fi
python -m pip install -qq "$wheel"

failed=
check() { say "$1"; "$@" || failed="$failed $1"; }

cd "$tmp/checkout"
c_files() { clang-format --dry-run -Werror hingefast/_loops/*.[ch]; }
# MSVC knows no vector types, but the instruction sets: what it would compile at each level, as far as gcc can tell.
c_for_msvc() {
    local as_msvc=(-D_MSC_VER=1940 -D__forceinline=inline '-D__declspec(x)=') level
    for level in x86-64 x86-64-v3 x86-64-v4; do
        gcc -std=c11 -fsyntax-only -march=$level "${as_msvc[@]}" -DHF_LEVEL=base hingefast/_loops/loops.c || return 1
    done
}
[ "$(uname -m)" != x86_64 ] || check c_for_msvc
check ruff check .
check ruff format --check .
check cython-lint hingefast
check mypy
check c_files
check codespell

[ -z "$failed" ] || { printf '\nfailed:%s\n' "$failed"; exit 1; }
