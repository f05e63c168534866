# Functions that start_master.sh, start_worker.sh, run_local.sh and run_tests.sh share: which Python runs the programs,
# and the folders .venv, .venv36 and so on. This file is sourced, never run; the caller sets project_dir.
# shellcheck shell=bash
#
# Up to the end of this check bash can read lines with CRLF too: each ends with a #, which takes the CR.
if grep -qs $'\r' "${BASH_SOURCE[@]}"; then #
    # shellcheck disable=SC2154
    mend="cd $(printf %q "$project_dir") && sed -i 's/\r\$//' *.sh scripts/*.sh" #
    echo "The scripts have CRLF line ends, which bash cannot read; this mends them: $mend" >&2 #
    exit 2 #
fi #

: "${project_dir:?is set by the script that sources this file}"

# A closed stream's descriptor would be given to the next file.
[[ -e /dev/fd/0 ]] || exec </dev/null
[[ -e /dev/fd/1 ]] || exec >/dev/null
[[ -e /dev/fd/2 ]] || exec 2>/dev/null

# fail CODE SENTENCE : end the script.
fail() {
    printf '%s\n' "$2" >&2
    exit "$1"
}

# asks_for_help ARGUMENT... : true if --help or -h is among the arguments.
asks_for_help() {
    local argument
    for argument in "$@"; do
        case "$argument" in --help | -h) return 0 ;; esac
    done
    return 1
}

# shows_bars : true if stdout is a terminal on which a line can be drawn again.
shows_bars() {
    [[ -t 1 && "${TERM:-dumb}" != dumb ]]
}

# exec_program FILE ARGUMENT... : go on as the Python program FILE, in the environment that the user has.
# The folder is not changed, so that a relative path among the arguments means what the user meant.
exec_program() {
    local program="$1" python
    shift
    if [[ "${CONDA_DEFAULT_ENV:-}" == fed || "${CONDA_DEFAULT_ENV:-}" == */fed ]]; then
        python=python
    elif [[ -x "$project_dir/.venv/bin/python" ]]; then
        python="$project_dir/.venv/bin/python"
    else
        fail 2 "No Python environment: start ./run_local.sh or ./run_tests.sh once (they make .venv), or run: \
conda env create -f environment.yml && conda activate fed"
    fi
    # On a Jetson the OpenBLAS inside numpy 1.19.5 takes the CPU for another one and dies of an illegal instruction.
    # It reads this variable while numpy is imported, so it is set before Python starts.
    if [[ "$(uname -m)" == aarch64 ]] && is_python_between "$python" 3.6 3.6; then
        export OPENBLAS_CORETYPE=ARMV8
    fi
    set_python_variables
    exec "$python" "$project_dir/$program" "$@"
}

# Log lines appear at once, and TensorFlow keeps its start-up messages to itself.
set_python_variables() {
    export PYTHONUNBUFFERED=1
    export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-2}"
}

# is_python_between PYTHON LOWEST HIGHEST : true if PYTHON runs and its version is in the range (3.9 3.13, say).
is_python_between() {
    "$1" -c 'import sys
lowest, highest = (tuple(int(part) for part in text.split(".")) for text in sys.argv[1:])
sys.exit(not lowest <= sys.version_info[:2] <= highest)' "$2" "$3" >/dev/null 2>&1
}

# find_python : print the interpreter that .venv is made with.
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
or name yours: PYTHON=/path/to/python3.11 $0"
}

# find_python_of VERSION : print a CPython of this version, 3.6 say; false if there is none.
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

# ensure_environment local|test : .venv holds what requirements/local.txt or requirements/test.txt asks for.
ensure_environment() {
    ensure_folder .venv "$1" find_python 3.9 3.13 ""
}

# ensure_worker_environment VERSION SET [PIP] : .venv36, say, holds what requirements/SET.txt asks for, installed by this
# pip or by the one that comes with Python. Call it only where find_python_of finds that version.
ensure_worker_environment() {
    ensure_folder ".venv${1//./}" "$2" "find_python_of $1" "$1" "$1" "${3:-}"
}

# ensure_folder FOLDER SET FINDER LOWEST HIGHEST PIP : nothing to do where the stamp fits. Two scripts that start at the
# same time take turns, where the flock program exists.
ensure_folder() {
    if ! holds_set "$1" "$2"; then
        require_place "$@"
        (
            if command -v flock >/dev/null; then flock 9 2>/dev/null || true; fi # some file systems have no locks
            if ! holds_set "$1" "$2"; then fill_folder "$@"; fi
        ) 9>"$project_dir/$1.lock"
    fi
}

# require_place FOLDER SET FINDER ... : refuse to change an environment behind a link, and to make one in a path where
# packages do not work: with a colon (PATH), a line break (the first line of scripts), or not in UTF-8 (TensorFlow).
require_place() {
    local folder="$project_dir/$1" base target here
    if [[ -L "$folder" ]]; then
        target="$(readlink "$folder")"
        fail 2 "$1 is a link to $target, which does not hold what requirements/$2.txt asks for, and FLQ changes nothing \
behind a link. Start this script where that environment was made, or remove the link: then $1 is made here."
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

# The stamp is one line: the checksum of the requirement files, the version of Python, the set that was installed.
requirements_checksum() {
    cat "$project_dir"/requirements/*.txt | cksum | tr ' ' '-'
}

python_version() {
    "$1" -c 'import sys; print("{}.{}".format(*sys.version_info[:2]))' 2>/dev/null
}

# holds_set FOLDER SET : true if the set is installed there; the test set includes the local one.
holds_set() {
    local folder="$project_dir/$1" checksum version installed
    [[ -f "$folder/flq-stamp" && ! -e "$folder.unfinished" ]] || return 1
    read -r checksum version installed <"$folder/flq-stamp" || return 1
    [[ "$checksum" == "$(requirements_checksum)" ]] || return 1
    [[ "$version" == "$(python_version "$folder/bin/python")" ]] || return 1
    [[ "$installed" == "$2" || "$installed $2" == "test local" ]]
}

# fill_folder FOLDER SET FINDER LOWEST HIGHEST PIP : make the folder where it is missing or unfinished, and install.
# A folder that works is kept, whoever made it. FOLDER.unfinished stands beside it while it may be half written.
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
        show_seconds 9>&- & # it may outlive this script for a second, and must not hold the lock
        ticker=$!
    fi
    if [[ -n "$pip_version" ]]; then quiet_pip "$folder" "$pip_version" || status=$?; fi
    if ((status == 0)); then quiet_pip "$folder" -r "$project_dir/requirements/$set_name.txt" || status=$?; fi
    if [[ -n "$ticker" ]]; then
        kill "$ticker" 2>/dev/null || true
        wait "$ticker" 2>/dev/null || true
    fi
    # Status 1 is a failure that pip saw itself: it has left the folder as it was. Any other: it was cut short.
    if ((status <= 1)); then rm -f "$folder.unfinished"; fi
    if ((status != 0)); then fail 1 "pip could not install requirements/$set_name.txt: its message stands above."; fi
    printf 'Installed requirements/%s.txt in %d s\n' "$set_name" "$((SECONDS - began))"
    printf '%s %s %s\n' "$(requirements_checksum)" "$(python_version "$folder/bin/python")" "$set_name" \
        >"$folder/flq-stamp"
}

# show_seconds : say every second how long it has taken, for as long as this script lives. The cursor stays at the
# beginning of the line, so that whatever is printed meanwhile takes its place.
show_seconds() {
    local began=$SECONDS
    while sleep 1 && kill -0 "$$" 2>/dev/null; do
        printf '\033[K%d:%02d\r' "$(((SECONDS - began) / 60))" "$(((SECONDS - began) % 60))"
    done
}

# quiet_pip FOLDER ARGUMENT... : pip install, showing only errors.
quiet_pip() {
    "$1/bin/python" -m pip --disable-pip-version-check install --quiet --quiet --no-input "${@:2}"
}
