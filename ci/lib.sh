# Sourced by the scripts in this folder, not run: where the checkout is, a temporary directory, fresh environments.
# Gives: $root, $tmp (removed at exit), $PYTHON, and the functions below.
# Every script starts from nothing: no build product, package or path of the caller is used.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
PYTHON=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV

say() { printf '\n== %s\n' "$*"; }

# new_venv DIR: a fresh virtual environment of $PYTHON
new_venv() { "$PYTHON" -m venv "$1"; }

# install_group VENV GROUP: the tools of one dependency group of pyproject.toml (which pip knows since 25.1)
install_group() {
    "$1/bin/python" -m pip install -qq --upgrade pip
    "$1/bin/python" -m pip install -qq --group "$root/pyproject.toml:$2"
}

# copy_checkout DIR: what git would commit, and nothing that it ignores; builds in it leave the checkout clean
copy_checkout() {
    mkdir -p "$1"
    # safe.directory: the checkout may belong to another user, as in a container
    git -c safe.directory='*' -C "$root" ls-files -z --cached --others --exclude-standard |
        tar -C "$root" --null --files-from=- --ignore-failed-read -cf - | tar -C "$1" -xf -
}

# run_tests [PYTEST_ARGUMENTS...]: with the `python` of PATH, from an empty folder, so that only the installed package can be imported
# Hypothesis works without its plugin for pytest, which takes a millisecond a test.
run_tests() {
    local arg args=() tests=("$root/tests")
    for arg; do
        case $arg in tests/*) arg="$root/$arg" tests=() ;; esac
        args+=("$arg")
    done
    mkdir -p "$tmp/empty"
    (cd "$tmp/empty" && python -m pytest -c "$root/pyproject.toml" -p no:hypothesispytest "${args[@]}" "${tests[@]}")
}
