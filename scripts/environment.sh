# Functions shared by start_master.sh, start_worker.sh, run_local.sh and run_tests.sh: choose the Python, and make the
# environments .venv, .venv36 and so on. This file is sourced, never run; the caller sets project_dir.
# shellcheck shell=bash
#
# Up to the end of this check bash can also read lines with CRLF: each ends with a #, which hides the CR.
if grep -qs $'\r' "${BASH_SOURCE[@]}"; then #
    # shellcheck disable=SC2154
    mend="cd $(printf %q "$project_dir") && sed -i 's/\r\$//' *.sh scripts/*.sh" #
    echo "The scripts have CRLF line ends, which bash cannot read; to fix them: $mend" >&2 #
    exit 2 #
fi #

: "${project_dir:?is set by the script that sources this file}"

# Reopen closed streams: the next opened file would get their descriptors.
[[ -e /dev/fd/0 ]] || exec </dev/null
[[ -e /dev/fd/1 ]] || exec >/dev/null
[[ -e /dev/fd/2 ]] || exec 2>/dev/null

# fail CODE SENTENCE : print the sentence to stderr and exit.
fail() {
    printf '%s\n' "$2" >&2
    exit "$1"
}

# asks_for_help ARGUMENT... : return true if --help or -h is among the arguments.
asks_for_help() {
    local argument
    for argument in "$@"; do
        case "$argument" in --help | -h) return 0 ;; esac
    done
    return 1
}

# shows_bars : return true if stdout is a terminal that can redraw a line.
shows_bars() {
    [[ -t 1 && "${TERM:-dumb}" != dumb ]]
}

# exec_program FILE ARGUMENT... : replace this process by the Python program FILE, in the user's environment.
# The working directory does not change, so that relative paths among the arguments stay valid.
exec_program() {
    local program="$1" python
    shift
    if [[ "${CONDA_DEFAULT_ENV:-}" == fed || "${CONDA_DEFAULT_ENV:-}" == */fed ]]; then
        python=python
    elif [[ -x "$project_dir/.venv/bin/python" ]]; then
        python="$project_dir/.venv/bin/python"
    else
        fail 2 "No Python environment: run ./run_local.sh --setup_only, which makes .venv, or: \
conda env create -f environment.yml && conda activate fed"
    fi
    # On a Jetson the OpenBLAS in numpy 1.19.5 misdetects the CPU and crashes with an illegal instruction. It reads this
    # variable while numpy is imported, so it is set before Python starts.
    if [[ "$(uname -m)" == aarch64 ]] && is_python_between "$python" 3.6 3.6; then
        export OPENBLAS_CORETYPE=ARMV8
    fi
    set_python_variables
    exec "$python" "$project_dir/$program" "$@"
}

# Do not buffer log lines, and hide TensorFlow's start-up messages.
set_python_variables() {
    export PYTHONUNBUFFERED=1
    export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"
}

# is_python_between PYTHON LOWEST HIGHEST : return true if PYTHON runs and its version is in the range, e.g. 3.9 3.13.
is_python_between() {
    "$1" -c 'import sys
lowest, highest = (tuple(int(part) for part in text.split(".")) for text in sys.argv[1:])
sys.exit(not lowest <= sys.version_info[:2] <= highest)' "$2" "$3" >/dev/null 2>&1
}

# find_python : print the interpreter for .venv.
find_python() {
    local candidate
    if [[ -n "${PYTHON:-}" ]]; then
        is_python_between "$PYTHON" 3.9 3.13 || fail 2 "PYTHON=$PYTHON is not a Python from 3.9 to 3.13."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.13 python3.10 python3.9 python; do
        if is_python_between "$candidate" 3.9 3.13; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail 2 "No Python from 3.9 to 3.13 found: install one (Debian, Ubuntu: sudo apt install python3 python3-venv), \
or name one: PYTHON=/path/to/python3.11 $0"
}

# find_python_of VERSION : print a CPython of this version, e.g. 3.6; return false if there is none.
find_python_of() {
    local candidate pyenv_dir="${PYENV_ROOT:-${HOME:-}/.pyenv}"
    if command -v pyenv >/dev/null; then pyenv_dir="$(pyenv root)"; fi
    for candidate in "python$1" "$pyenv_dir"/versions/"$1".*/bin/python; do
        if is_python_between "$candidate" "$1" "$1"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# ensure_environment local|test : make sure that .venv has the packages of requirements/local.txt or test.txt.
ensure_environment() {
    ensure_folder .venv "$1" find_python 3.9 3.13 ""
}

# ensure_worker_environment VERSION SET [PIP] : make sure that e.g. .venv36 has the packages of requirements/SET.txt,
# installed by this pip or by Python's own. Call it only if find_python_of finds that version.
ensure_worker_environment() {
    ensure_folder ".venv${1//./}" "$2" "find_python_of $1" "$1" "$1" "${3:-}"
}

# ensure_folder FOLDER SET FINDER LOWEST HIGHEST PIP : make or update an environment unless its stamp is right. Two
# scripts that start at the same time take turns, if there is a flock program.
ensure_folder() {
    if ! holds_set "$1" "$2"; then
        require_place "$@"
        (
            if command -v flock >/dev/null; then flock 9 2>/dev/null || true; fi # some file systems have no locks
            if ! holds_set "$1" "$2"; then fill_folder "$@"; fi
        ) 9>"$project_dir/$1.lock"
    fi
}

# require_place FOLDER SET FINDER ... : fail if the environment is a link, or would be made in a path where packages do
# not work: with a colon (PATH), a line break (the first line of scripts), or not in UTF-8 (TensorFlow).
require_place() {
    local folder="$project_dir/$1" base target here
    if [[ -L "$folder" ]]; then
        target="$(readlink "$folder")"
        fail 2 "$1 is a link to $target, which lacks packages of requirements/$2.txt, and FLQ does not change a linked \
environment. Start this script where that environment was made, or remove the link: then $1 is made here."
    fi
    if [[ -e "$folder" ]]; then return; fi
    base="$($3)" # a function, perhaps with an argument
    if [[ "$project_dir" == *[:$'\n']* ]] ||
        ! "$base" -c 'import os, sys; os.fsencode(sys.argv[1]).decode("utf-8")' "$project_dir" 2>/dev/null; then
        here="$(printf %q "$project_dir")"
        fail 2 "$1 cannot be made in $here: the path of a Python environment must be UTF-8, \
without colons and line breaks. Move this folder to another path, or make $1 a link to an environment elsewhere."
    fi
}

# The stamp is one line: checksum of the requirement files, version of Python, installed set.
requirements_checksum() {
    cat "$project_dir"/requirements/*.txt | cksum | tr ' ' '-'
}

python_version() {
    "$1" -c 'import sys; print("{}.{}".format(*sys.version_info[:2]))' 2>/dev/null
}

# holds_set FOLDER SET : return true if the set is installed there; the test set includes the local one.
holds_set() {
    local folder="$project_dir/$1" checksum version installed
    [[ -f "$folder/flq-stamp" && ! -e "$folder.unfinished" ]] || return 1
    read -r checksum version installed <"$folder/flq-stamp" || return 1
    [[ "$checksum" == "$(requirements_checksum)" ]] || return 1
    [[ "$version" == "$(python_version "$folder/bin/python")" ]] || return 1
    [[ "$installed" == "$2" || "$installed $2" == "test local" ]]
}

# fill_folder FOLDER SET FINDER LOWEST HIGHEST PIP : make the environment if it is missing or incomplete, and install.
# An environment that works is kept, also one made by the user. FOLDER.unfinished exists while it may be incomplete.
fill_folder() {
    local folder="$project_dir/$1" set_name="$2" finder="$3" lowest="$4" highest="$5" pip_version="$6"
    local base began status=0 ticker=""

    if [[ -e "$folder.unfinished" ]] || ! "$folder/bin/python" -c '' >/dev/null 2>&1; then
        base="$($finder)" # a function, perhaps with an argument
        "$base" -c 'import ensurepip, venv' 2>/dev/null || fail 2 "$base cannot make virtual environments: install its \
venv module (Debian, Ubuntu: sudo apt install python3-venv) and start again."
        printf 'Making %s with Python %s\n' "$1" "$(python_version "$base")"
        touch "$folder.unfinished"
        "$base" -m venv --clear "$folder"
    elif ! is_python_between "$folder/bin/python" "$lowest" "$highest"; then
        fail 2 "$1 holds Python $(python_version "$folder/bin/python"), but $lowest to $highest is needed: \
move $1 away and start again."
    fi

    printf 'Installing requirements/%s.txt into %s (the first time takes some minutes)\n' "$set_name" "$1"
    touch "$folder.unfinished"
    began=$SECONDS
    if shows_bars; then
        show_seconds 9>&- & # it may outlive this script by a second, and must not keep the lock
        ticker=$!
    fi
    if [[ -n "$pip_version" ]]; then quiet_pip "$folder" "$pip_version" || status=$?; fi
    if ((status == 0)); then quiet_pip "$folder" -r "$project_dir/requirements/$set_name.txt" || status=$?; fi
    if [[ -n "$ticker" ]]; then
        kill "$ticker" 2>/dev/null || true
        wait "$ticker" 2>/dev/null || true
    fi
    # Status 1 is an error that pip has handled, so the folder is intact. With any other, pip was interrupted.
    if ((status <= 1)); then rm -f "$folder.unfinished"; fi
    if ((status != 0)); then fail 1 "pip could not install requirements/$set_name.txt: see its message above."; fi
    printf 'Installed requirements/%s.txt in %d s\n' "$set_name" "$((SECONDS - began))"
    printf '%s %s %s\n' "$(requirements_checksum)" "$(python_version "$folder/bin/python")" "$set_name" \
        >"$folder/flq-stamp"
}

# show_seconds : print the elapsed time every second while this script runs. The cursor stays at the beginning of the
# line, so that other output overwrites it.
show_seconds() {
    local began=$SECONDS
    while sleep 1 && kill -0 "$$" 2>/dev/null; do
        printf '\033[K%d:%02d\r' "$(((SECONDS - began) / 60))" "$(((SECONDS - began) % 60))"
    done
}

# quiet_pip FOLDER ARGUMENT... : run pip install, and show only errors.
quiet_pip() {
    "$1/bin/python" -m pip --disable-pip-version-check install --quiet --quiet --no-input "${@:2}"
}
