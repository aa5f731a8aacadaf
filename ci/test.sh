#!/usr/bin/env bash
# Proves: the wheel installs into an empty environment with NumPy as its only dependency, and passes the tests there.
# Run: bash ci/test.sh [WHEEL] [-- PYTEST_ARGUMENTS...]     e.g. bash ci/test.sh -- -x -k kink
# Without WHEEL it builds one from the sdist of this checkout. PYTHON=... chooses the interpreter.
set -euo pipefail
wheel=
if [ $# -gt 0 ] && [ "$1" != -- ]; then wheel=$(realpath "$1"); shift; fi
if [ "${1:-}" = -- ]; then shift; fi
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [ -z "$wheel" ]; then
    say "building the wheel from the sdist"
    copy_checkout "$tmp/src"
    new_venv "$tmp/build"
    "$tmp/build/bin/python" -m pip install -qq build
    "$tmp/build/bin/python" -m build --outdir "$tmp/dist" "$tmp/src" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    wheel=$(echo "$tmp"/dist/*.whl)
fi

new_venv "$tmp/venv"
export PATH="$tmp/venv/bin:$PATH" # also for the console command of the package
cd "$tmp"                         # away from the sources
say "$(basename "$wheel") with $(python --version)"
python -m pip install -qq "$wheel"
installed=$(python -m pip list --format=freeze 2>/dev/null | sed 's/==.*//' | grep -vxE 'pip|setuptools' | sort | xargs)
[ "$installed" = "hingefast numpy" ] || { echo "expected hingefast and numpy alone, installed: $installed"; exit 1; }
python - <<'PY'
import sys
import hingefast

assert "site-packages" in hingefast.__file__, hingefast.__file__
assert "scipy" not in sys.modules, "importing hingefast imports scipy"
PY

python -m pip install -qq "$wheel[test]"
run_tests "$@"
