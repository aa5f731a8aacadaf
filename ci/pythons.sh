#!/usr/bin/env bash
# Shows: the other released CPythons on this machine, 3.12 and later, one path a line; the same wheel is tested with each.
# Run: bash ci/pythons.sh
# Looked for on PATH and among pyenv's versions; one that does not start or cannot make environments is left out.
set -euo pipefail

# Free-threaded interpreters are left out: they take no abi3 wheel.
describe='
import ensurepip, platform, sys, sysconfig, venv
if (platform.python_implementation() == "CPython" and sys.version_info >= (3, 12)
        and sys.version_info.releaselevel == "final" and not sysconfig.get_config_var("Py_GIL_DISABLED")):
    print("%d.%d" % sys.version_info[:2], sys.executable)
'
for minor in {12..19}; do
    for python in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python; do
        "$python" -c "$describe" 2>/dev/null || true
    done
done | sort -s -u -k1,1 -V | cut -d' ' -f2-
