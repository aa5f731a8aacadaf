#!/usr/bin/env bash
# Shows: every pass next to its ceiling, NumPy, SciPy, scikit-learn and numba; writes benchmarks/report.json and report.html.
# Run: bash ci/bench.sh [ARGUMENTS OF python -m benchmarks...]     e.g. bash ci/bench.sh --short, or --readme for eight rows
# Builds the package of this checkout and installs it, with the group "bench", into an environment of its own. Without
# torch, whose default build brings gigabytes of CUDA: `python -m benchmarks` measures it in an environment that has it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

copy_checkout "$tmp/src"
new_venv "$tmp/venv"
install_group "$tmp/venv" bench
"$tmp/venv/bin/python" -m pip install -qq "$tmp/src"
cd "$root"
"$tmp/venv/bin/python" -m benchmarks "$@"
