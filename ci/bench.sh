#!/usr/bin/env bash
# Shows: ratios of hingefast to the strongest NumPy and SciPy passes, measured in turns within one run.
# Run: bash ci/bench.sh [ARGUMENTS OF python -m benchmarks...]     (default: --short)
# Measures the hingefast installed for PYTHON (default python3), which also needs the extra "test".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# = 0 ]; then set -- --short; fi
exec "${PYTHON:-python3}" -m benchmarks "$@"
