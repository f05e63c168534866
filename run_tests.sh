#!/usr/bin/env bash
# Set up .venv (with --all also .venv36, .venv38, .venv313 if such a CPython is found) and run the tests. The exit
# status is that of pytest.
set -euo pipefail #
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" #
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh" # it rejects CRLF; up to here a # hides the CR of each line

if asks_for_help "$@"; then
    cat <<'TEXT'
Set up the environment at the first start, then run the tests on all cores.

    ./run_tests.sh [--all | --drills] [ARGUMENT OF PYTEST]...

    ./run_tests.sh                      the short run, before each commit
    ./run_tests.sh --all                all tests: also whole clusters, old Pythons, browser, ssh, bad links, power loss
    ./run_tests.sh --drills             tests/drills with every kill at every point
    ./run_tests.sh -m "not tf"          the short run without those that need TensorFlow
    ./run_tests.sh tests/core -k lazy   some tests; paths are relative to this folder
    ./run_tests.sh -n0 --pdb            one test after another, in one process

The last lines say how many tests were left out. A test that is named by its path runs in any case; tests/tiers.py has
the tiers.

With --all the worker's code is also tested with Python 3.6 and 3.8, with the TensorFlow of their time, and workers with
these and with 3.13 train together, if they are found: python3.6 and so on, or those that pyenv has installed.
PYTHON=/path/to/python selects the Python (3.9 to 3.13) for .venv.
TEXT
    exit 0
fi

# ensure_beside VERSION SET [PIP] : make a worker's environment in parallel with others; print its output at the end.
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
case " $* " in *" --all "* | *" --drills "*)
    ensure_beside 3.6 test-py36 pip==21.3.1 & # the newest for 3.6, whose own pip does not support today's wheels
    jobs+=("$!")
    ensure_beside 3.8 test-py38 &
    jobs+=("$!")
    ensure_beside 3.13 worker &
    jobs+=("$!")
    ;;
esac
ensure_environment test
for job in ${jobs[@]+"${jobs[@]}"}; do wait "$job"; done # for bash 4.3 an empty array is unset

set_python_variables
cd "$project_dir"
# A file stays on one core, so that its tests share their fixtures; the user's arguments override these.
exec .venv/bin/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder "$@"
