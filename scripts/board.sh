#!/usr/bin/env bash
# One step of a deployment, on a board or on the master's machine. flq/deploy sends this file to `bash -s -- STEP
# ARGUMENT...` by ssh, so FLQ need not be installed there. The input of a step (an archive, a file) follows the last
# line: bash reads a script from a pipe byte by byte, and leaves the rest to the step.
# Steps are idempotent: a step with nothing to do writes nothing.
# shellcheck disable=SC2317  # an argument names the step, and `exit` ends the script
set -euo pipefail

readonly STOP_TIMEOUT_S=120  # a master saves its results before it exits
readonly N_RELEASES=3        # kept, including the current one
readonly N_LINES=15          # shown of a failed program

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

# enter PROJECT : set project, the folder of the installation, which may be missing; relative paths begin at the home.
enter() {
    case "$1" in
    /*) project="$1" ;;
    [~]/*) project="$HOME/${1#*/}" ;;
    *) project="$HOME/$1" ;;
    esac
    deployed="$project/deployed"
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# manager MODE ARGUMENT... : run systemctl of the system, or of this user.
manager() {
    case "$1" in
    system) as_root systemctl "${@:2}" </dev/null ;;
    user) XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$EUID}" systemctl --user "${@:2}" </dev/null ;;
    esac
}

# point LINK TARGET : replace a link atomically.
point() {
    rm -rf "$1.part"
    ln -s "$2" "$1.part"
    mv -T "$1.part" "$1"
}

# ---- Facts

# step_facts PROJECT PYTHON : print facts about this machine, one per line. PYTHON: the only interpreter to check, or -.
# The time is first and last, which bounds the offset of the clocks by the time of the transfer.
step_facts() {
    printf 'clock %s\n' "$(date +%s.%N)"
    enter "$1"
    local place="$project" name
    until [[ -d "$place" ]]; do place="$(dirname "$place")"; done
    printf 'home %s\nproject %s\nuser %s\nmachine %s\n' "$HOME" "$project" "$(id -un)" "$(uname -m)"
    printf 'memory_mb %s\n' "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
    printf 'disk_mb %s\n' "$(df -Pk "$place" | awk 'NR == 2 { print int($4 / 1024) }')"
    printf 'board %s\n' "$(tr -d '\0' 2>/dev/null <"${FLQ_ROOT:-}/proc/device-tree/model" || true)"
    printf 'l4t %s\n' "$(sed -n 's/^# R\([0-9]*\) (release), REVISION: \([0-9.]*\),.*/\1.\2/p' \
        "${FLQ_ROOT:-}/etc/nv_tegra_release" 2>/dev/null || true)"
    service_facts
    python_facts "$2"
    if [[ -L "$project/current" ]]; then
        printf 'current %s\nvenv %s\n' "$(basename "$(readlink "$project/current")")" \
            "$(readlink "$project/current/.venv" || true)"
    fi
    for name in "$project"/releases/*; do
        if [[ -d "$name" && "$name" != *.part ]]; then printf 'release %s\n' "${name##*/}"; fi
    done
    for name in "$project"/env/*; do
        if [[ -f "$name/flq-stamp" ]] && "$name/bin/python" -c '' </dev/null >/dev/null 2>&1; then
            printf 'environment %s\n' "${name##*/}"
        fi
    done
    printf 'clock %s\n' "$(date +%s.%N)"
}

# service_facts : print what can start programs here.
service_facts() {
    if [[ ! -d /run/systemd/system ]] || ! command -v systemctl >/dev/null; then return; fi
    printf 'systemd %s\n' "$(systemctl --version </dev/null | awk 'NR == 1 { print $2 }')"
    if ((EUID == 0)) || sudo -n true </dev/null >/dev/null 2>&1; then printf 'manager system\n'; fi
    if manager user show-environment >/dev/null 2>&1; then printf 'manager user\n'; fi
}

python_facts() {
    local candidate path version seen=" "
    local candidates=(python3.6 python3.8 python3.9 python3.10 python3.11 python3.12 python3.13 python3
        "$HOME"/.pyenv/versions/3.*/bin/python)
    if [[ "$1" != - ]]; then candidates=("$1"); fi
    for candidate in "${candidates[@]}"; do
        path="$(command -v "$candidate")" || continue
        version="$("$path" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null)" || continue
        case "$seen" in *" $version "*) continue ;; esac
        seen+="$version "
        printf 'python %s %s\n' "$version" "$path"
    done
}

# ---- Code and environment

# claim : make the project's folder; fail if it contains other things, since unused releases and environments are
# removed from it.
claim() {
    local name
    if [[ ! -d "$deployed" ]]; then
        for name in "$project"/* "$project"/.[!.]*; do
            case "${name##*/}" in logs | results | state | '*' | '.[!.]*') ;; *)
                fail "the folder $project contains other things (${name##*/}): choose another project_dir" ;;
            esac
        done
        mkdir -p "$deployed"
    fi
}

# step_release PROJECT NAME : unpack a release from the archive in stdin.
step_release() {
    enter "$1"
    claim
    local folder="$project/releases/$2" name
    mkdir -p "$project/logs" "$project/results"
    if [[ ! -d "$project/state" ]]; then mkdir -m 700 "$project/state"; fi
    rm -rf "$project"/releases/*.part  # of interrupted deployments
    mkdir -p "$folder.part"
    if ! tar -xzf - -C "$folder.part"; then  # the disk may be full: free it
        rm -rf "$folder.part"
        exit 1
    fi
    # The programs expect these folders next to them; links keep them out of the releases.
    for name in logs results state; do ln -s "../../$name" "$folder.part/$name"; done
    sync
    rm -rf "$folder"
    mv -T "$folder.part" "$folder"
}

# step_wheels PROJECT : print sizes and names of the wheels.
# step_wheelhouse PROJECT : add wheels from the archive in stdin.
step_wheels() {
    enter "$1"
    if [[ -d "$project/wheelhouse" ]]; then find "$project/wheelhouse" -type f -printf '%s %P\n'; fi
}

step_wheelhouse() {
    enter "$1"
    mkdir -p "$project/wheelhouse"
    tar -xf - -C "$project/wheelhouse"
}

# step_environment PROJECT NAME PYTHON PIP OFFLINE LENGTH : make a virtual environment with the requirements in stdin.
# PIP: install this pip first, or -. OFFLINE: yes = from the wheelhouse only.
step_environment() {
    enter "$1"
    local folder="$project/env/$2" pip
    pip=("$folder/bin/python" -m pip --disable-pip-version-check install --quiet --quiet --no-input)
    if [[ "$5" == yes ]]; then export PIP_NO_INDEX=1 PIP_FIND_LINKS="$project/wheelhouse"; fi
    read_content "$6"
    mkdir -p "$project/env"
    if [[ -L "$folder" ]]; then fail "$folder is a link, which is not allowed: remove it and deploy again"; fi
    if ! "$folder/bin/python" -c '' </dev/null >/dev/null 2>&1; then
        "$3" -c 'import ensurepip, venv' </dev/null 2>/dev/null || fail "$3 cannot make virtual environments: install \
its venv module (Debian, Ubuntu: sudo apt install python3-venv) and deploy again"
        "$3" -m venv --clear "$folder" </dev/null
    fi
    printf %s "$content" >"$folder/requirements.txt"
    if [[ "$4" != - ]]; then "${pip[@]}" "pip==$4" </dev/null || fail "pip $4 could not be installed"; fi
    if [[ "$5" != yes && "$(uname -m)" == aarch64 ]]; then compile_h5py "$folder/requirements.txt"; fi
    "${pip[@]}" -r "$folder/requirements.txt" </dev/null || fail "pip could not install $2"
    touch "$folder/flq-stamp"
}

# compile_h5py REQUIREMENTS : compile h5py, which has no wheel for Python 3.6 on aarch64, with the numpy of the
# requirements: by default its build would first compile another numpy.
compile_h5py() {
    local h5py numpy
    h5py="$(grep '^h5py==' "$1")" || return 0
    numpy="$(grep '^numpy==' "$1")"
    export OPENBLAS_CORETYPE=ARMV8 H5PY_SETUP_REQUIRES=0 HDF5_DIR=/usr/lib/aarch64-linux-gnu/hdf5/serial
    "${pip[@]}" wheel==0.37.1 Cython==0.29.37 pkgconfig==1.5.5 "$numpy" </dev/null || fail "pip could not install \
the packages for compiling $h5py"
    "${pip[@]}" --no-build-isolation "$h5py" </dev/null || fail "$h5py could not be compiled: docs/jetson.md names the \
packages that it needs (sudo apt install ...)"
}

# step_switch PROJECT NAME VENV : make this release the current one, with this environment.
# Older releases are removed except the last ones, and so are environments that no remaining release uses.
step_switch() {
    enter "$1"
    local folder="$project/releases/$2" name n=0 used=" "
    point "$folder/.venv" "$3"
    "$folder/.venv/bin/python" -c '' </dev/null || fail "$folder/.venv/bin/python does not start"
    # The programs may not write it later. Errors are ignored: an old Python cannot compile the master, nor needs it.
    "$folder/.venv/bin/python" -m compileall -qq "$folder/flq" "$folder"/flq_*.py </dev/null || true
    touch "$folder"
    sync
    point "$project/current" "releases/$2"
    rm -rf "$project"/releases/*.part
    while IFS= read -r name; do
        if ((++n > N_RELEASES)); then rm -rf "$name"; else used+="$(readlink "$name/.venv" || true) "; fi
    done < <(find "$project/releases" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2-)
    for name in "$project"/env/*; do
        case "$used" in *" ../../env/${name##*/} "*) ;; *) rm -rf "$name" ;; esac
    done
}

# ---- Settings

# read_content LENGTH : read the rest of stdin, a text of LENGTH bytes, into content. A broken connection looks like the
# end of stdin.
read_content() {
    local LC_ALL=C
    content="$(cat && printf x)"
    content="${content%x}"
    if ((${#content} != $1)); then fail "received ${#content} of $1 bytes of text"; fi
}

# holds FILE PERMISSIONS : return true if the file already has the content.
holds() {
    [[ -f "$1" && "$(stat -c %a "$1")" == "$2" ]] && printf %s "$content" | cmp -s - "$1"
}

# put FILE PERMISSIONS : write the content to this file, atomically; print whether it has changed.
put() {
    if holds "$1" "$2"; then
        echo unchanged
        return
    fi
    mkdir -p "$(dirname "$1")"
    rm -f "$1.part"
    if ! (umask 077 && printf %s "$content" >"$1.part"); then
        rm -f "$1.part"
        exit 1
    fi
    chmod "$2" "$1.part"
    mv -T "$1.part" "$1"
    echo changed
}

# step_put PROJECT PATH PERMISSIONS LENGTH : write a small text file in the project's folder.
step_put() {
    enter "$1"
    read_content "$4"
    put "$project/$2" "$3"
}

# unit_file MODE UNIT : print the file from which systemd, or this script (mode none), starts a unit.
unit_file() {
    case "$1" in
    system) printf '%s\n' "/etc/systemd/system/$2.service" ;;
    user) printf '%s\n' "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$2.service" ;;
    none) printf '%s\n' "$project/settings/$2.sh" ;;
    esac
}

# step_unit PROJECT MODE UNIT LENGTH : install a unit, and enable it for each start of the machine.
step_unit() {
    enter "$1"
    local file
    file="$(unit_file "$2" "$3")"
    read_content "$4"
    if [[ "$2" == system ]]; then
        if holds "$file" 644; then
            echo unchanged
        else
            printf %s "$content" | as_root tee "$file.part" >/dev/null
            as_root chmod 644 "$file.part"
            as_root mv -T "$file.part" "$file"
            manager system daemon-reload
            echo changed
        fi
    elif [[ "$(put "$file" 644)" == unchanged ]]; then
        echo unchanged
    else
        if [[ "$2" == user ]]; then manager user daemon-reload; fi
        echo changed
    fi
    if [[ "$2" != none ]] && ! manager "$2" is-enabled --quiet "$3" 2>/dev/null; then
        manager "$2" enable --quiet "$3"
    fi
    if [[ "$2" == user && ! -e "/var/lib/systemd/linger/$(id -un)" ]] &&
        ! loginctl enable-linger </dev/null >/dev/null 2>&1; then
        echo "note programs end when this user logs out, unless this is run there once: sudo loginctl enable-linger \
$(id -un)"
    fi
}

# ---- Programs

# started PID : print the process's start time in the kernel's clock ticks, since a pid alone may be reused; print
# nothing if the process has exited, also if it is a zombie.
started() {
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

# background_pid UNIT : print the pid of a unit that this script has started, if it still runs.
background_pid() {
    local pid since
    [[ -f "$deployed/$1.pid" ]] || return 1
    read -r pid since <"$deployed/$1.pid" || return 1
    [[ -n "$since" && "$(started "$pid")" == "$since" ]] || return 1
    printf '%s\n' "$pid"
}

# state_of MODE UNIT : print active, inactive, failed, activating ...
state_of() {
    if [[ "$1" != none ]]; then
        manager "$1" is-active "$2" 2>/dev/null || true
    elif background_pid "$2" >/dev/null; then
        echo active
    elif [[ ! -f "$deployed/$2.pid" ]]; then
        echo inactive
    else
        case "$(cat "$deployed/$2.exit" 2>/dev/null)" in 0 | 143) echo inactive ;; *) echo failed ;; esac
    fi
}

# The record of a unit is a line: mode, fingerprint, and starting, started or stopped.
# step_states PROJECT UNIT... : print a line for each deployed unit: name, state and record.
step_states() {
    enter "$1"
    local unit mode rest
    for unit in "${@:2}"; do
        if [[ -f "$deployed/$unit" ]] && read -r mode rest <"$deployed/$unit"; then
            printf '%s %s %s %s\n' "$unit" "$(state_of "$mode" "$unit")" "$mode" "$rest"
        fi
    done
}

# step_start PROJECT MODE UNIT FINGERPRINT WANTED : start or restart a unit. The fingerprint identifies its code and
# settings. WANTED: yes = a master without an unfinished run begins one.
step_start() {
    enter "$1"
    if [[ "$5" == yes ]]; then touch "$project/state/run_wanted"; fi
    printf '%s %s starting\n' "$2" "$4" >"$deployed/$3"
    if [[ "$2" == none ]]; then
        stop_background "$3"
        start_background "$3"
    else
        manager "$2" reset-failed "$3" 2>/dev/null || true
        if ! manager "$2" restart "$3"; then
            last_lines "$2" "$3" >&2
            fail "$3 did not start"
        fi
    fi
    printf '%s %s started\n' "$2" "$4" >"$deployed/$3"
}

# The keeper runs as long as the program, forwards SIGTERM to it, and records its exit status.
# shellcheck disable=SC2016  # the keeper expands the variables
readonly KEEPER='
bash "$1" &
child=$!
trap "kill -TERM $child 2>/dev/null" TERM
wait "$child"
status=$?
while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    status=$?
done
echo "$status" >"$2"'

start_background() {
    local output="$project/logs/$1.out" pid
    if [[ -f "$output" ]]; then mv -T "$output" "$output.1"; fi
    cd "$project"
    setsid bash -c "$KEEPER" flq "$project/settings/$1.sh" "$deployed/$1.exit" </dev/null >"$output" 2>&1 &
    pid=$!
    printf '%s %s\n' "$pid" "$(started "$pid")" >"$deployed/$1.pid"
}

# stop_background UNIT : terminate the unit; after a time limit kill it and its children.
stop_background() {
    local pid deadline=$((SECONDS + STOP_TIMEOUT_S))
    if pid="$(background_pid "$1")"; then
        kill -TERM "$pid" 2>/dev/null || true
        while background_pid "$1" >/dev/null; do
            if ((SECONDS >= deadline)); then
                kill -KILL -- "-$pid" 2>/dev/null || true
                break
            fi
            sleep 0.2
        done
    fi
    rm -f "$deployed/$1.pid" "$deployed/$1.exit"
}

# stop MODE UNIT : stop the unit, and wait until it has exited.
stop() {
    if [[ "$1" == none ]]; then stop_background "$2"; else manager "$1" stop "$2"; fi
}

# step_stop PROJECT UNIT... : stop the units that are deployed here.
step_stop() {
    enter "$1"
    local unit mode mark stage
    for unit in "${@:2}"; do
        if [[ ! -f "$deployed/$unit" ]]; then
            printf '%s was not deployed\n' "$unit"
            continue
        fi
        read -r mode mark stage <"$deployed/$unit"
        if [[ "$(state_of "$mode" "$unit")" == inactive && "$stage" == stopped ]]; then
            printf '%s did not run\n' "$unit"
        else
            stop "$mode" "$unit"
            printf '%s %s stopped\n' "$mode" "$mark" >"$deployed/$unit"
            printf '%s stopped\n' "$unit"
        fi
    done
}

# remove MODE UNIT : stop a unit, and remove its file and record.
remove() {
    local file
    file="$(unit_file "$1" "$2")"
    if [[ "$1" == none ]]; then
        stop none "$2"
        rm -f "$file"
    elif [[ -f "$file" ]]; then
        manager "$1" disable --now --quiet "$2"
        if [[ "$1" == system ]]; then as_root rm -f "$file"; else rm -f "$file"; fi
        manager "$1" daemon-reload
    fi
    rm -f "$deployed/$2"
    printf 'removed %s\n' "$2"
}

# step_retire PROJECT MODE UNIT... : remove deployed units with other names or of another mode.
step_retire() {
    enter "$1"
    local record mode rest
    for record in "$deployed"/*; do
        if [[ ! -f "$record" || "$record" == *.pid || "$record" == *.exit ]]; then continue; fi
        read -r mode rest <"$record" || continue
        case " ${*:3} " in
        *" ${record##*/} "*) if [[ "$mode" == "$2" ]]; then continue; fi ;;
        esac
        remove "$mode" "${record##*/}"
    done
}

# step_uninstall PROJECT : remove everything that was deployed, except results, state and logs.
step_uninstall() {
    enter "$1"
    if [[ ! -d "$deployed" ]]; then return; fi
    step_retire "$1" -
    rm -rf "$project/current" "$project/releases" "$project/env" "$project/settings" "$project/deployed" \
        "$project/wheelhouse"
    rmdir "$project/logs" "$project/results" "$project/state" "$project" 2>/dev/null || true
    if [[ -d "$project" ]]; then printf 'left %s\n' "$project"; fi
}

# last_lines MODE UNIT : print the last lines of a unit's output.
last_lines() {
    case "$1" in
    system) as_root journalctl --quiet --no-pager --output=cat -n "$N_LINES" -u "$2" </dev/null ;;
    user) journalctl --user --quiet --no-pager --output=cat -n "$N_LINES" --user-unit "$2" </dev/null ;;
    none) tail -n "$N_LINES" "$project/logs/$2.out" ;;
    esac 2>/dev/null || true
}

# step_last PROJECT UNIT NAME : print the last lines of a unit's output or, if it is empty, of its newest log.
step_last() {
    enter "$1"
    local mode="" rest lines newest
    if [[ -f "$deployed/$2" ]]; then read -r mode rest <"$deployed/$2"; fi
    lines="$(last_lines "$mode" "$2")"
    newest="$(newest_log "$3")"
    if [[ -z "$lines" && -n "$newest" ]]; then lines="$(tail -n "$N_LINES" "$newest")"; fi
    printf '%s\n' "$lines"
}

# newest_log NAME : print the newest log of a program; NAME is the beginning of its name (master, worker0).
newest_log() {
    find "$project/logs" -maxdepth 1 -name "$1_*.log" -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1 |
        cut -d' ' -f2-
}

# ---- Queries and results

# step_config PROJECT ARGUMENT... : print the complete configuration that the master makes of these settings.
step_config() {
    enter "$1"
    if [[ ! -x "$project/current/start_master.sh" ]]; then
        fail "nothing is deployed in $project: run ./deploy_jetson.sh deploy"
    fi
    "$project/current/start_master.sh" --print_config --start_once "$project/state/run_wanted" "${@:2}" </dev/null
}

# step_ask PROJECT ARGUMENT... : run flq.deploy.on_master of the current release.
step_ask() {
    enter "$1"
    if [[ ! -x "$project/current/.venv/bin/python" ]]; then
        fail "nothing is deployed in $project: run ./deploy_jetson.sh deploy"
    fi
    cd "$project/current"
    PYTHONDONTWRITEBYTECODE=1 .venv/bin/python -m flq.deploy.on_master --project "$project" "${@:2}" </dev/null
}

# step_worker PROJECT ARGUMENT... : run start_worker.sh of the current release.
step_worker() {
    enter "$1"
    if [[ ! -x "$project/current/start_worker.sh" ]]; then
        fail "nothing is deployed in $project: run ./deploy_jetson.sh deploy"
    fi
    cd "$project"
    "$project/current/start_worker.sh" "${@:2}" </dev/null
}

# step_logs PROJECT LINES FOLLOW NAME... : print the ends of the newest logs of programs; FOLLOW yes = follow them.
step_logs() {
    enter "$1"
    local name newest found=()
    for name in "${@:4}"; do
        newest="$(newest_log "$name")"
        if [[ -n "$newest" ]]; then found+=("$newest"); fi
    done
    if ((${#found[@]} == 0)); then fail "there is no log in $project/logs yet"; fi
    if [[ "$3" == yes ]]; then found=(-F "${found[@]}"); fi
    tail -n "$2" "${found[@]}" </dev/null
}

# step_files PROJECT : print size, modification time and path of each file in results and logs, separated by zero bytes.
step_files() {
    enter "$1"
    local folder
    for folder in results logs; do
        if [[ -d "$project/$folder" ]]; then (cd "$project" && find "$folder" -type f -printf '%s %T@ %p\0'); fi
    done
}

# step_pack PROJECT : write an archive of the files named in stdin, separated by zero bytes.
step_pack() {
    enter "$1"
    cd "$project"
    # 1: a file changed while it was read, such as those of a running run.
    tar -cf - --null --ignore-failed-read --verbatim-files-from -T - || (($? == 1))
}

main() {
    local step="step_$1"
    shift
    "$step" "$@"
}

main "$@"; exit
