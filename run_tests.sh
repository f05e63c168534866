#!/usr/bin/env bash
# Set up .venv (with --all also .venv36, .venv38, .venv313 where such a CPython is found) and run the tests. Exit status:
# that of pytest.
set -euo pipefail #
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" #
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh" # it refuses CRLF; up to here a # takes the CR of each line

if asks_for_help "$@"; then
    cat <<'TEXT'
Set everything up on the first start, then run the tests, on every core.

    ./run_tests.sh [--all | --drills] [ARGUMENT OF PYTEST]...

    ./run_tests.sh                      the short run: what to wait for before a commit
    ./run_tests.sh --all                all tests: also whole clusters, old Pythons, browser, ssh, bad links, power loss
    ./run_tests.sh --drills             tests/drills with every kill at every point: hours
    ./run_tests.sh -m "not tf"          the short run without those that need TensorFlow
    ./run_tests.sh tests/core -k lazy   some of them; paths are relative to this folder
    ./run_tests.sh -n0 --pdb            one after another, in one process

Whatever is left out is said in the last lines. A test that is named by its path runs in whatever tier it is;
tests/tiers.py says which that is.

With --all the worker's code is also tested under Python 3.6 and 3.8, with the TensorFlow of their time, and workers of
these and of 3.13 train together, where they are found: python3.6 and so on, or those that pyenv installed.
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
case " $* " in *" --all "* | *" --drills "*)
    ensure_beside 3.6 test-py36 pip==21.3.1 & # the newest for 3.6, whose own does not know today's wheels
    jobs+=("$!")
    ensure_beside 3.8 test-py38 &
    jobs+=("$!")
    ensure_beside 3.13 worker &
    jobs+=("$!")
    ;;
esac
ensure_environment test
for job in ${jobs[@]+"${jobs[@]}"}; do wait "$job"; done # bash 4.3 takes an empty array for an unset one

set_python_variables
cd "$project_dir"
# A file stays on one core, so that what its tests share is made once; arguments of the user count after these.
exec .venv/bin/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder "$@"
