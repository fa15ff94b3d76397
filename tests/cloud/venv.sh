#!/bin/sh
# Makes the Python environment of the tests in a folder, unless it is there and
# of this lock file, and prints its Python:
#
#     venv.sh FOLDER
#
# Prints nothing where it cannot be made: the tests that need it then name
# themselves as skipped. With OW_TEST_REQUIRE_CLOUD=1 that is an error. An
# OW_TEST_PYTHON that is set is taken as it is.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
lock=$here/requirements.lock

if [ -n "${OW_TEST_PYTHON:-}" ]; then
    echo "$OW_TEST_PYTHON"
    exit
fi

without() {
    [ "${OW_TEST_REQUIRE_CLOUD:-}" != 1 ] || { echo "error: $1" >&2; exit 1; }
    echo "skipped: tests/cloud and the storages' tests against it: $1" >&2
    exit 0
}

python=$(command -v python3) || without "there is no python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    without "$("$python" --version) is older than 3.11"

mkdir -p "$1"
folder=$(cd "$1" && pwd)
# What the environment was made of: another Python needs other packages.
made_of() { "$python" --version && cat "$lock"; }
if ! made_of | cmp -s - "$folder/made-of"; then
    echo "installing the Python packages of tests/cloud into $folder" >&2
    rm -rf "$folder"
    "$python" -m venv "$folder" >&2 || without "python3 -m venv failed; install python3-venv"
    # The lock file names every package, so there is nothing to resolve; Python
    # compiles what is used when it is used.
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
        --no-compile -r "$lock" >&2 || without "its Python packages could not be installed"
    made_of >"$folder/made-of"
fi
echo "$folder/bin/python"
