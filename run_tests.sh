#!/usr/bin/env bash
# Set up .venv (and .venv36, .venv38, .venv313 where such a CPython is found) and run the tests. Exit status: that of pytest.
set -euo pipefail #
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" #
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh" # it refuses CRLF; up to here a # takes the CR of each line

if asks_for_help "$@"; then
    cat <<'TEXT'
Set everything up on the first start, then run the tests.

    ./run_tests.sh [ARGUMENT OF PYTEST]...

    ./run_tests.sh                      all tests
    ./run_tests.sh -m "not tf"          without those that need TensorFlow (fast)
    ./run_tests.sh tests/core -k lazy   some of them; paths are relative to this folder

The worker's code is also tested under Python 3.6 and 3.8, with the TensorFlow of their time, and workers of these and
of 3.13 train together, where they are found: python3.6 and so on, or those that pyenv installed.
PYTHON=/path/to/python chooses the Python (3.9 to 3.13) that .venv is made with.
TEXT
    exit 0
fi

# ensure_beside VERSION SET [PIP] : a worker's environment, beside the others; what it prints comes in one piece.
ensure_beside() {
    local text
    if find_python_of "$1" >/dev/null; then
        text="$(ensure_worker_environment "$@" 2>&1)" || fail $? "$text"
        if [[ -n "$text" ]]; then printf '%s\n' "$text"; fi
    else
        echo "No CPython $1 found: the tests of the worker under Python $1 will be skipped."
    fi
}

jobs=()
ensure_beside 3.6 test-py36 pip==21.3.1 & # the newest for 3.6, whose own does not know today's wheels
jobs+=("$!")
ensure_beside 3.8 test-py38 &
jobs+=("$!")
ensure_beside 3.13 worker &
jobs+=("$!")
ensure_environment test
for job in "${jobs[@]}"; do wait "$job"; done

set_python_variables
cd "$project_dir"
exec .venv/bin/python -m pytest "$@"
