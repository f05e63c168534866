#!/usr/bin/env bash
# Set up .venv (and .venv36 where a CPython 3.6 is found) and run the tests. Exit status: that of pytest.
set -euo pipefail
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh"

if asks_for_help "$@"; then
    cat <<'TEXT'
Set everything up on the first start, then run the tests.

    ./run_tests.sh [ARGUMENT OF PYTEST]...

    ./run_tests.sh                      all tests
    ./run_tests.sh -m "not tf"          without those that need TensorFlow (fast)
    ./run_tests.sh tests/core -k lazy   some of them; paths are relative to this folder

The worker's code is also tested under Python 3.6 where one is found: python3.6, or one that pyenv installed.
PYTHON=/path/to/python chooses the Python (3.9 to 3.13) that .venv is made with.
TEXT
    exit 0
fi

ensure_environment test
if find_python36 >/dev/null; then
    ensure_environment36
else
    echo "No CPython 3.6 found: the tests of the worker under Python 3.6 will be skipped."
fi

set_python_variables
cd "$project_dir"
exec .venv/bin/python -m pytest "$@"
