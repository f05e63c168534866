#!/usr/bin/env bash
# One step of a deployment, on a board or on the master's machine. flq/deploy sends this file to `bash -s -- STEP
# ARGUMENT...` by ssh, so nothing of FLQ has to be there before. What a step receives (an archive, a file) follows behind
# the last line: bash reads a script from a pipe byte by byte, and leaves the rest to the step.
# Each step may be repeated: where nothing is to be done, nothing is written.
# shellcheck disable=SC2317  # which step runs is in an argument, and behind `exit` nothing is read
set -euo pipefail

readonly STOP_TIMEOUT_S=120  # a master that ends saves its results first
readonly N_RELEASES=3        # that are kept, the current one among them
readonly N_LINES=15          # shown of a program that failed

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

# enter PROJECT : the folder of the installation, relative to the home folder; it need not be there yet.
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

# manager MODE ARGUMENT... : systemctl of the system, or of this user.
manager() {
    case "$1" in
    system) as_root systemctl "${@:2}" </dev/null ;;
    user) XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$EUID}" systemctl --user "${@:2}" </dev/null ;;
    esac
}

# point LINK TARGET : the link leads there; at no moment is there none.
point() {
    rm -rf "$1.part"
    ln -s "$2" "$1.part"
    mv -T "$1.part" "$1"
}

# ---- What is here

# step_facts PROJECT PYTHON : one fact in a line. PYTHON: the only interpreter to look at, or -. The time comes first
# and last: its difference to the other clock is then known up to the time that the answer takes on its way.
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

# Who can start programs here.
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

# claim : make the project's folder ours, and refuse one that somebody else has something in: releases and environments
# that are not used any more are removed from it.
claim() {
    local name
    if [[ ! -d "$deployed" ]]; then
        for name in "$project"/* "$project"/.[!.]*; do
            case "${name##*/}" in logs | results | state | '*' | '.[!.]*') ;; *)
                fail "the folder $project holds other things (${name##*/}): name another project_dir" ;;
            esac
        done
        mkdir -p "$deployed"
    fi
}

# step_release PROJECT NAME : a release, from the archive that follows.
step_release() {
    enter "$1"
    claim
    local folder="$project/releases/$2" name
    mkdir -p "$project/logs" "$project/results"
    if [[ ! -d "$project/state" ]]; then mkdir -m 700 "$project/state"; fi
    rm -rf "$project"/releases/*.part  # of deployments that broke off
    mkdir -p "$folder.part"
    if ! tar -xzf - -C "$folder.part"; then  # a full disk gets its room back
        rm -rf "$folder.part"
        exit 1
    fi
    # The programs look for these beside themselves, so that no release takes them along.
    for name in logs results state; do ln -s "../../$name" "$folder.part/$name"; done
    sync
    rm -rf "$folder"
    mv -T "$folder.part" "$folder"
}

# step_wheels PROJECT : the names and sizes of the wheelhouse; step_wheelhouse PROJECT : more for it, an archive.
step_wheels() {
    enter "$1"
    if [[ -d "$project/wheelhouse" ]]; then find "$project/wheelhouse" -type f -printf '%s %P\n'; fi
}

step_wheelhouse() {
    enter "$1"
    mkdir -p "$project/wheelhouse"
    tar -xf - -C "$project/wheelhouse"
}

# step_environment PROJECT NAME PYTHON PIP OFFLINE LENGTH : a virtual environment with the requirements that follow.
# PIP: install this pip first, or -. OFFLINE: yes = from the wheelhouse only.
step_environment() {
    enter "$1"
    local folder="$project/env/$2" pip
    pip=("$folder/bin/python" -m pip --disable-pip-version-check install --quiet --quiet --no-input)
    if [[ "$5" == yes ]]; then export PIP_NO_INDEX=1 PIP_FIND_LINKS="$project/wheelhouse"; fi
    read_content "$6"
    mkdir -p "$project/env"
    if [[ -L "$folder" ]]; then fail "$folder is a link, which is not followed: remove it and deploy again"; fi
    if ! "$folder/bin/python" -c '' </dev/null >/dev/null 2>&1; then
        "$3" -c 'import ensurepip, venv' </dev/null 2>/dev/null || fail "$3 can not make virtual environments: install \
its venv module (Debian, Ubuntu: sudo apt install python3-venv) and deploy again"
        "$3" -m venv --clear "$folder" </dev/null
    fi
    printf %s "$content" >"$folder/requirements.txt"
    if [[ "$4" != - ]]; then "${pip[@]}" "pip==$4" </dev/null || fail "pip $4 could not be installed"; fi
    if [[ "$5" != yes && "$(uname -m)" == aarch64 ]]; then compile_h5py "$folder/requirements.txt"; fi
    "${pip[@]}" -r "$folder/requirements.txt" </dev/null || fail "pip could not install $2"
    touch "$folder/flq-stamp"
}

# compile_h5py REQUIREMENTS : there is no wheel of it for Python 3.6 on aarch64. It is compiled with the numpy that it will
# run with: left to itself, its build would compile a numpy of its own first.
compile_h5py() {
    local h5py numpy
    h5py="$(grep '^h5py==' "$1")" || return 0
    numpy="$(grep '^numpy==' "$1")"
    export OPENBLAS_CORETYPE=ARMV8 H5PY_SETUP_REQUIRES=0 HDF5_DIR=/usr/lib/aarch64-linux-gnu/hdf5/serial
    "${pip[@]}" wheel==0.37.1 Cython==0.29.37 pkgconfig==1.5.5 "$numpy" </dev/null || fail "pip could not install \
what $h5py is compiled with"
    "${pip[@]}" --no-build-isolation "$h5py" </dev/null || fail "$h5py could not be compiled: docs/jetson.md names the \
packages that it needs (sudo apt install ...)"
}

# step_switch PROJECT NAME VENV : from now on this release is the current one, with this environment.
# What is older than the last releases goes, and the environments that none of the rest uses.
step_switch() {
    enter "$1"
    local folder="$project/releases/$2" name n=0 used=" "
    point "$folder/.venv" "$3"
    "$folder/.venv/bin/python" -c '' </dev/null || fail "$folder/.venv/bin/python does not start"
    # What the programs may not write later; an old Python does not understand the master's part, and needs none of it.
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

# read_content LENGTH : the rest of stdin, which is text of so many bytes, in content. A connection that breaks off looks
# like the end of it.
read_content() {
    local LC_ALL=C
    content="$(cat && printf x)"
    content="${content%x}"
    if ((${#content} != $1)); then fail "of $1 bytes of text ${#content} have come"; fi
}

# holds FILE PERMISSIONS : true if the file holds the content already.
holds() {
    [[ -f "$1" && "$(stat -c %a "$1")" == "$2" ]] && printf %s "$content" | cmp -s - "$1"
}

# put FILE PERMISSIONS : the content becomes this file.
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

# step_put PROJECT PATH PERMISSIONS LENGTH : a small text file in the project's folder.
step_put() {
    enter "$1"
    read_content "$4"
    put "$project/$2" "$3"
}

# unit_file MODE UNIT : where systemd, or this script (mode none), finds how to start it.
unit_file() {
    case "$1" in
    system) printf '%s\n' "/etc/systemd/system/$2.service" ;;
    user) printf '%s\n' "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$2.service" ;;
    none) printf '%s\n' "$project/settings/$2.sh" ;;
    esac
}

# step_unit PROJECT MODE UNIT LENGTH : install it, for now and for every start of the machine.
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
        echo "note programs end when nobody is logged in, until this has run there once: sudo loginctl enable-linger \
$(id -un)"
    fi
}

# ---- Programs

# started PID : when it was started, by the kernel's count; a pid alone may be another process by now. Nothing if it has
# ended, even where nobody has taken notice of that yet.
started() {
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

# background_pid UNIT : print the process that was started here, if it still runs.
background_pid() {
    local pid since
    [[ -f "$deployed/$1.pid" ]] || return 1
    read -r pid since <"$deployed/$1.pid" || return 1
    [[ -n "$since" && "$(started "$pid")" == "$since" ]] || return 1
    printf '%s\n' "$pid"
}

# state_of MODE UNIT : active, inactive, failed, activating ...
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

# The record of a program is a line: how it is started, of what it was made, and starting, started or stopped.
# step_states PROJECT UNIT... : a line for each that was deployed: its state, and its record.
step_states() {
    enter "$1"
    local unit mode rest
    for unit in "${@:2}"; do
        if [[ -f "$deployed/$unit" ]] && read -r mode rest <"$deployed/$unit"; then
            printf '%s %s %s %s\n' "$unit" "$(state_of "$mode" "$unit")" "$mode" "$rest"
        fi
    done
}

# step_start PROJECT MODE UNIT FINGERPRINT WANTED : start it, again where it runs. The fingerprint says of what it was
# made. WANTED: yes = a master without an unfinished run begins one.
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

# Stays as long as the program, hands a request to end on to it, and writes down how it has ended.
# shellcheck disable=SC2016  # the keeper is to expand it
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

# stop_background UNIT : ask it to end; after a while end it and what it has started.
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

# stop MODE UNIT : true when it does not run any more.
stop() {
    if [[ "$1" == none ]]; then stop_background "$2"; else manager "$1" stop "$2"; fi
}

# step_stop PROJECT UNIT... : what has not been deployed does not run.
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

# remove MODE UNIT : stop it, and forget it.
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

# step_retire PROJECT MODE UNIT... : what was deployed here by another name, or started in another way, goes.
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

# step_uninstall PROJECT : everything that was deployed goes; results, state and logs stay.
step_uninstall() {
    enter "$1"
    if [[ ! -d "$deployed" ]]; then return; fi
    step_retire "$1" -
    rm -rf "$project/current" "$project/releases" "$project/env" "$project/settings" "$project/deployed" \
        "$project/wheelhouse"
    rmdir "$project/logs" "$project/results" "$project/state" "$project" 2>/dev/null || true
    if [[ -d "$project" ]]; then printf 'left %s\n' "$project"; fi
}

# last_lines MODE UNIT : what it said last.
last_lines() {
    case "$1" in
    system) as_root journalctl --quiet --no-pager --output=cat -n "$N_LINES" -u "$2" </dev/null ;;
    user) journalctl --user --quiet --no-pager --output=cat -n "$N_LINES" --user-unit "$2" </dev/null ;;
    none) tail -n "$N_LINES" "$project/logs/$2.out" ;;
    esac 2>/dev/null || true
}

# step_last PROJECT UNIT NAME : the same, or the end of its newest log if that is empty.
step_last() {
    enter "$1"
    local mode="" rest lines newest
    if [[ -f "$deployed/$2" ]]; then read -r mode rest <"$deployed/$2"; fi
    lines="$(last_lines "$mode" "$2")"
    newest="$(newest_log "$3")"
    if [[ -z "$lines" && -n "$newest" ]]; then lines="$(tail -n "$N_LINES" "$newest")"; fi
    printf '%s\n' "$lines"
}

# newest_log NAME : the newest log of a program, NAME being how its name begins (master, worker0).
newest_log() {
    find "$project/logs" -maxdepth 1 -name "$1_*.log" -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1 |
        cut -d' ' -f2-
}

# ---- What the programs have left

# step_config PROJECT ARGUMENT... : the whole configuration that the master makes of these settings, or what is wrong.
step_config() {
    enter "$1"
    if [[ ! -x "$project/current/start_master.sh" ]]; then
        fail "nothing is deployed in $project: ./deploy_jetson.sh deploy does it"
    fi
    "$project/current/start_master.sh" --print_config --start_once "$project/state/run_wanted" "${@:2}" </dev/null
}

# step_ask PROJECT ARGUMENT... : flq.deploy.on_master of the current release.
step_ask() {
    enter "$1"
    if [[ ! -x "$project/current/.venv/bin/python" ]]; then
        fail "nothing is deployed in $project: ./deploy_jetson.sh deploy does it"
    fi
    cd "$project/current"
    PYTHONDONTWRITEBYTECODE=1 .venv/bin/python -m flq.deploy.on_master --project "$project" "${@:2}" </dev/null
}

# step_worker PROJECT ARGUMENT... : start_worker.sh of the current release.
step_worker() {
    enter "$1"
    if [[ ! -x "$project/current/start_worker.sh" ]]; then
        fail "nothing is deployed in $project: ./deploy_jetson.sh deploy does it"
    fi
    cd "$project"
    "$project/current/start_worker.sh" "${@:2}" </dev/null
}

# step_logs PROJECT LINES FOLLOW NAME... : the ends of the newest logs of programs, and with FOLLOW yes: what comes.
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

# step_files PROJECT : size, time of the last change and path of everything in results and logs, a zero byte behind each.
step_files() {
    enter "$1"
    local folder
    for folder in results logs; do
        if [[ -d "$project/$folder" ]]; then (cd "$project" && find "$folder" -type f -printf '%s %T@ %p\0'); fi
    done
}

# step_pack PROJECT : an archive of the files whose names follow, with a zero byte behind each.
step_pack() {
    enter "$1"
    cd "$project"
    # 1: a file has changed while it was read, as those of a run that goes on do.
    tar -cf - --null --ignore-failed-read --verbatim-files-from -T - || (($? == 1))
}

main() {
    local step="step_$1"
    shift
    "$step" "$@"
}

main "$@"; exit
