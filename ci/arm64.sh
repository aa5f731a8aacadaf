#!/usr/bin/env bash
# Proves: the package cross-compiles for Linux on arm64, and what an emulator runs there gives the right values and x86-64's bits.
# Run: bash ci/arm64.sh [PYTEST_ARGUMENTS...]     as root on Debian 12, x86-64; with nothing installed, it installs what it needs
# Takes half an hour or more, so .ci/run leaves it out. Runs the tests that carry the mark arm64, and compares the hashes of
# `ci/same_bits.py --record`. An emulator shows what is computed, not how fast, nor how arm64 orders memory between threads.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
problems=200 # of the thousands that ci/same_bits.py can draw; an emulator takes seconds for one

say "the cross compiler and the emulator"
needed=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user gcc libc6-dev python3-dev python3-venv git)
{ apt-get update && apt-get install -y --no-install-recommends "${needed[@]}"; } >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
aarch64-linux-gnu-gcc --version | head -n 1
qemu-aarch64 --version | head -n 1

# Debian's Python for arm64 is unpacked into a folder, not installed: apt gets a state of its own, in which nothing is installed
# yet, so that it fetches all that Python depends on, and this machine's packages stay as they are.
say "Python for arm64"
mkdir -p "$tmp/apt/lists/partial" "$tmp/apt/archives/partial" "$tmp/arm64-root"
: >"$tmp/apt/status"
apt_arm64() {
    apt-get -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root -o Dir::Cache="$tmp/apt" \
        -o Dir::State::Lists="$tmp/apt/lists" -o Dir::State::status="$tmp/apt/status" "$@" >"$tmp/log" 2>&1 ||
        { cat "$tmp/log"; exit 1; }
}
apt_arm64 update
apt_arm64 install -y --no-install-recommends --download-only python3.11 libpython3.11-dev libstdc++6
for package in "$tmp"/apt/archives/*.deb; do dpkg-deb --extract "$package" "$tmp/arm64-root"; done

# It looks like a virtual environment whose python is a script. Python takes the script for its executable, so that tests can
# start another one; the kernel need not know how to run programs of arm64.
arm64="$tmp/arm64" site="$tmp/arm64/lib/python3.11/site-packages"
mkdir -p "$arm64/bin" "$site"
printf 'home = /usr/bin\ninclude-system-site-packages = false\n' >"$arm64/pyvenv.cfg"
cat >"$arm64/bin/python" <<SH
#!/bin/sh
exec qemu-aarch64 -L "$tmp/arm64-root" -0 "\$0" "$tmp/arm64-root/usr/bin/python3.11" "\$@"
SH
chmod +x "$arm64/bin/python"

say "the build tools, and the package for x86-64"
copy_checkout "$tmp/src"
new_venv "$tmp/venv"
"$tmp/venv/bin/python" - "$tmp/src/pyproject.toml" >"$tmp/requires" <<'PY'
import sys, tomllib

with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["build-system"]["requires"], sep="\n")
PY
"$tmp/venv/bin/python" -m pip install -qq build -r "$tmp/requires"
"$tmp/venv/bin/python" -m pip install -qq --no-build-isolation "$tmp/src"

# The wheel is named after _PYTHON_HOST_PLATFORM, and setup.py takes its levels from it. No isolation: pip would install NumPy for
# that platform. -idirafter: pyconfig.h of arm64 lies in a folder for the machine, beside the C library's headers, which the
# compiler has its own of.
say "the package for arm64"
root_include="$tmp/arm64-root/usr/include"
env _PYTHON_HOST_PLATFORM=linux-aarch64 CC=aarch64-linux-gnu-gcc LDSHARED="aarch64-linux-gnu-gcc -shared" \
    CFLAGS="-Wall -Werror -I$root_include/python3.11 -idirafter $root_include" \
    "$tmp/venv/bin/python" -m build --wheel --no-isolation --outdir "$tmp/dist" "$tmp/src" >"$tmp/log" 2>&1 ||
    { cat "$tmp/log"; exit 1; }
"$tmp/venv/bin/python" -m pip install -qq --target "$site" --only-binary=:all: --python-version 3.11 --implementation cp \
    --platform linux_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux_2_28_aarch64 "$(echo "$tmp"/dist/*.whl)[test]"
# arm64 has fused multiply-adds at every level; where a compiler makes one of a * b + c, the bits are others.
aarch64-linux-gnu-objdump -d "$site"/hingefast/_kernels/*.so >"$tmp/log"
if grep -m 5 -E '\s(fn?m(add|sub)|fml[as]l?2?)\s' "$tmp/log"; then
    echo "fused multiply-adds, see above"
    exit 1
fi

mkdir -p "$tmp/empty"
cd "$tmp/empty" # away from the sources
export PATH="$arm64/bin:$PATH"
python -m hingefast info

say "the tests, and meanwhile the hashes of $problems problems"
(
    hashes() { "$1" "$root/ci/same_bits.py" --record --problems $problems; }
    hashes "$tmp/venv/bin/python" >"$tmp/x86_64.json"
    hashes python >"$tmp/aarch64.json"
) &
hashes=$!
failed=
run_tests -m arm64 "$@" || failed=" tests"

say "the bits of arm64 and of x86-64"
wait $hashes || { echo "no hashes"; exit 1; }
"$tmp/venv/bin/python" - "$tmp/x86_64.json" "$tmp/aarch64.json" <<'PY' || failed="$failed bits"
import json, sys

x86, arm = (json.load(open(name)) for name in sys.argv[1:])
different = [name for name in x86 if x86[name] != arm.get(name)]
print(f"{len(x86)} results, {len(different)} differ")
for name in different[:20]:
    print(" ", name)
sys.exit(bool(different) or x86.keys() != arm.keys() or not x86)
PY
[ -z "$failed" ] || { printf '\nfailed:%s\n' "$failed"; exit 1; }
