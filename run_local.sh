#!/usr/bin/env bash
# Run FLQ on this machine: set up .venv, start master and workers, train, write the Excel file.
set -euo pipefail #
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" #
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh" # it rejects CRLF; up to here a # hides the CR of each line

readonly HEALTH_TIMEOUT_S=180  # the master reads and partitions the data set before it serves
readonly SAVE_TIMEOUT_S=90     # from the signal until the master has saved the results and exited
readonly STOP_TIMEOUT_S=30     # for a worker to exit, after the master or after a signal
readonly LOG_LINES=20          # shown of a failed program

# ---- The command line

if asks_for_help "$@"; then
    cat <<'TEXT'
Run FLQ on this machine, one master and some workers, and write the Excel file in results/ (report.results_dir).

    ./run_local.sh [--workers 4] [--rounds R] [--mode M] [--dataset D] [--port 5000] [--set section.key=value]...
    ./run_local.sh --resume [RUN] [--rounds R] [--port 5000]
    ./run_local.sh --setup_only

  --workers N              number of workers to start (default: 4); the run waits for all of them
  --rounds R               number of rounds (system.max_rounds)
  --mode M                 flq_algorithm.mode, e.g. fedavg or bbit
  --dataset D              dataset.name, e.g. fashion_mnist or csv:FILE
  --port P                 the master's port (default: 5000, or a free one if 5000 is taken)
  --set section.key=value  any other setting of flq_config.json; can be repeated
  --resume [RUN]           resume a run with its own number of workers and settings; RUN is the name or path of its
                           folder in results/ (default: the newest unfinished run)
  --setup_only             make the environment .venv, or check that it is complete, and exit

A model of your own (model.name=package.module:function) and data of each worker's own (dataset.partition=local) need
flags of a worker: start ./start_master.sh, and ./start_worker.sh for each worker with its --model or --data_dir.

The first start makes .venv and installs the packages. The output of the programs is in logs/.
Ctrl-C interrupts the run; the master first saves the results so far. A second Ctrl-C does not wait for it.
If only the master is killed, the workers wait for it: ./start_master.sh --resume continues the run.
PYTHON=/path/to/python selects the Python (3.9 to 3.13) for .venv.
TEXT
    exit 0
fi

if [[ "$project_dir$*" == *$'\n'* ]]; then fail 2 "The path of this folder, or an argument, has a line break."; fi

n_workers=""  # 4, or those of the resumed run
port=""
resume=()
setup_only=""
settings=()

# require_whole_number FLAG TEXT LOWEST HIGHEST
require_whole_number() {
    if ! [[ "$2" =~ ^[0-9]{1,9}$ ]] || ((10#$2 < $3 || 10#$2 > $4)); then
        fail 2 "$1 must be a whole number from $3 to $4, got $2."
    fi
}

# refuse_flags_of_workers SETTING COMMAND
refuse_flags_of_workers() {
    fail 2 "Workers need flags of their own for $1 (--data_dir or --model): start $2 and, for each worker, \
./start_worker.sh."
}

while (($# > 0)); do
    case "$1" in
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    esac
    case "$1" in
    --setup_only)
        setup_only=yes
        shift
        continue
        ;;
    --resume)
        resume=(--resume)
        shift
        if (($# > 0)) && [[ "$1" != -* ]]; then
            resume+=("$1")
            shift
        fi
        continue
        ;;
    --workers | --rounds | --mode | --dataset | --port | --set)
        if (($# < 2)); then fail 2 "$1 needs a value; ./run_local.sh --help shows the flags."; fi
        ;;
    *) fail 2 "Unknown argument $1; ./run_local.sh --help shows the flags." ;;
    esac
    case "$1 $2" in
    "--dataset own" | "--set "*dataset.name=own | "--set "*partition=local | "--set model.name="*:*)
        refuse_flags_of_workers "$2" ./start_master.sh
        ;;
    esac
    case "$1" in
    --workers)
        require_whole_number "$1" "$2" 1 1000
        n_workers="$((10#$2))"
        ;;
    --port)
        require_whole_number "$1" "$2" 1 65535
        port="$((10#$2))"
        ;;
    --rounds)
        require_whole_number "$1" "$2" 1 999999999
        settings+=(--set "system.max_rounds=$((10#$2))")
        ;;
    --mode) settings+=(--set "flq_algorithm.mode=$2") ;;
    --dataset) settings+=(--set "dataset.name=$2") ;;
    --set) settings+=(--set "$2") ;;
    esac
    shift 2
done
if ((${#resume[@]} > 0)); then
    settings=("${resume[@]}" ${settings[@]+"${settings[@]}"})
else
    n_workers="${n_workers:-4}"
    settings=(--set "system.total_workers=$n_workers" ${settings[@]+"${settings[@]}"})
fi

# ---- The environment

trap '' PIPE  # a closed stdout does not end this script
copy_pids=()  # of the programs that show and log the master's lines

# say SENTENCE : print it; on a terminal, it replaces the progress bar, which is redrawn below. Errors are ignored.
say() {
    local before=""
    if ((${#copy_pids[@]} > 0)) && shows_bars; then before=$'\r\033[K'; fi
    printf '%s%s\n' "$before" "$1" 2>/dev/null || true
}

ensure_environment local
if [[ -n "$setup_only" ]]; then
    say "The environment is ready: .venv"
    exit 0
fi
python="$project_dir/.venv/bin/python"
set_python_variables

# ask_run : set n_workers from the settings of the run to resume, which the master checks without starting.
ask_run() {
    local folder config facts has
    folder="$(mktemp -d "${TMPDIR:-/tmp}/flq_run_local.XXXXXX")"
    if ! config="$("$python" "$project_dir/flq_master.py" --print_config "${settings[@]}" 2>"$folder/said")"; then
        cat "$folder/said" >&2
        rm -r "$folder"
        exit 2
    fi
    run_id="$(sed -n 's/^configuration [^ ]* of run //p' "$folder/said")"
    rm -r "$folder"
    facts="$("$python" -c 'import json, sys
run = json.load(sys.stdin)
data, model = run["dataset"], run["model"]["name"]
found = ["dataset.name=own"] * (data["name"] == "own") + ["dataset.partition=local"] * (data["partition"] == "local")
found += ["model.name=" + model] * (":" in model)
print(run["system"]["total_workers"], *found[:1])' <<<"$config")"
    has="${facts%% *}"
    if [[ "$facts" == *" "* ]]; then
        refuse_flags_of_workers "${facts#* }" "./start_master.sh --resume $(printf %q "${resume[1]:-$run_id}")"
    fi
    if [[ -n "$n_workers" && "$n_workers" != "$has" ]]; then
        fail 2 "Run $run_id has $has workers, got --workers $n_workers: omit the flag, or begin a new run."
    fi
    n_workers="$has"
}

run_id=""
if ((${#resume[@]} > 0)); then ask_run; fi

# The workers connect to this machine, without any proxy.
export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}"
export no_proxy="$NO_PROXY"

# free_port PORT : print PORT (0: any) if it is free; return false if it is taken.
free_port() {
    "$python" -c 'import os, socket, sys
with socket.socket() as listener:
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        listener.listen()
    except OSError:
        sys.exit(1)
    print(listener.getsockname()[1])' "$1"
}

if [[ -n "$port" ]]; then
    free_port "$port" >/dev/null || fail 2 "Port $port is taken: choose another --port, or omit the flag."
elif ! port="$(free_port 5000)"; then
    port="$(free_port 0)"
    say "Port 5000 is taken: this run uses $port."
fi

# ---- Programs that this script starts, and how they end

run_name="run_local_$(date +%Y%m%d_%H%M%S)_$$"
master_output="$project_dir/logs/${run_name}_master.out"
mkdir -p "$project_dir/logs" || true  # the run does not need logs
master_pid=""
worker_pids=()
ready=""         # the master's line "FLQ master ready ..."
is_told=""       # whether the master has printed how to resume the run
excel=""         # the Excel file that it has named, if any
signals=0        # number of signals received
signal_status=0  # the exit status of the last signal

# A handler only notes the signal; the loops below check it, so that no step is interrupted.
trap 'signals=$((signals + 1)); signal_status=130' INT
trap 'signals=$((signals + 1)); signal_status=143' TERM
trap 'signals=$((signals + 1)); signal_status=129' HUP
trap 'end_everything' EXIT

worker_output() {
    printf '%s\n' "$project_dir/logs/${run_name}_worker$1.out"
}

# start OUTPUT COMMAND... : start a program in its own process group; set started_pid.
# Ctrl-C reaches only the group of this script, which ends the programs in order, the master first.
start() {
    local output="$1"
    if ! : 2>/dev/null >>"$output"; then output=/dev/null; fi  # on a full disk
    set -m
    "${@:2}" </dev/null >"$output" 2>&1 &
    started_pid=$!
    set +m
}

copied='' to_copy='' lines='' to_filter='' from_master='' to_script=''  # descriptors that open_pipe sets

# open_pipe READ WRITE : open a pipe, without leaving a file; set the variables to the descriptors of its ends.
open_pipe() {
    local folder held
    folder="$(mktemp -d "${TMPDIR:-/tmp}/flq_run_local.XXXXXX")"
    mkfifo "$folder/pipe"
    exec {held}<>"$folder/pipe"  # does not wait for the other end, as the next two would
    eval "exec {$1}<\"\$folder/pipe\" {$2}>\"\$folder/pipe\""
    exec {held}>&-
    rm -r "$folder"
}

# hear : read the master's lines so far, from a pipe because the logs may be on a full disk.
hear() {
    local line
    while read -r -t 0.01 line <&"$from_master"; do
        case "$line" in
        "to resume: "*) is_told=yes ;;
        "results: "*) if [[ -f "${line#results: }" ]]; then excel="${line#results: }"; fi ;;
        *) ready="$line" ;;
        esac
    done
}

is_running() {
    kill -0 "$1" 2>/dev/null
}

pause() {
    sleep 0.2 || true  # Ctrl-C interrupts it
}

# wait_for_end SECONDS PID... : return true when all have exited; false after that time, or when another signal arrives.
wait_for_end() {
    local deadline=$((SECONDS + $1)) signals_before=$signals pid
    for pid in "${@:2}"; do
        while is_running "$pid"; do
            if ((SECONDS >= deadline || signals > signals_before)); then return 1; fi
            pause
        done
    done
}

# end_programs SECONDS PID... : terminate them, wait that long, then kill them and the processes that they started.
end_programs() {
    local pid
    for pid in "${@:2}"; do
        if is_running "$pid"; then kill -TERM "$pid" 2>/dev/null || true; fi
    done
    if wait_for_end "$@"; then return; fi
    for pid in "${@:2}"; do
        if is_running "$pid"; then kill -KILL -- "-$pid" 2>/dev/null || true; fi
    done
}

# end_everything : end all programs, the master first, because it saves the results and tells the workers.
end_everything() {
    if [[ -n "$master_pid" ]]; then end_programs "$SAVE_TIMEOUT_S" "$master_pid"; fi
    if ((${#worker_pids[@]} > 0)); then end_programs "$STOP_TIMEOUT_S" "${worker_pids[@]}"; fi
    # They exit by themselves after the master's last line.
    if ((${#copy_pids[@]} > 0)); then
        if ! wait_for_end "$STOP_TIMEOUT_S" "${copy_pids[@]}"; then end_programs 1 "${copy_pids[@]}"; fi
        hear
    fi
    master_pid=""
    worker_pids=()
    copy_pids=()
}

# say_how_to_resume : name the run as it was named, or by its folder in results/, or by a path elsewhere.
say_how_to_resume() {
    local run="$run_id"
    if ((${#resume[@]} > 0)); then
        run="${resume[1]:-}"
    elif [[ -n "$excel" && "$excel" != "$project_dir/results/"* ]]; then
        run="$(dirname "$excel")/$run_id"
    fi
    say "To resume: ./run_local.sh --resume${run:+ $(printf %q "$run")}"
}

# stop_on_signal : if a signal has arrived, let the master save, say where, and exit with the signal's status.
stop_on_signal() {
    if ((signals == 0)); then return; fi
    say "Stopping: the master saves the results first."
    end_everything
    if [[ -n "$excel" ]]; then
        say "Results so far: $excel"
        if [[ -z "$is_told" ]]; then say_how_to_resume; fi
    else
        say "No results were saved." >&2
    fi
    exit "$signal_status"
}

# stop_on_failure SENTENCE OUTPUT [STATUS] : end the run, show the end of the failed program's output, and exit with 1,
# or with 2 if that was the program's status: wrong settings.
stop_on_failure() {
    end_everything
    {
        printf '%s Last lines of %s:\n' "$1" "$2"
        tail -n "$LOG_LINES" "$2" | sed 's/^/    /'
        if [[ -n "$excel" ]]; then echo "Results so far: $excel"; fi
    } >&2 || true
    exit "$((${3:-1} == 2 ? 2 : 1))"
}

# check_master_starts : stop if the master has ended. If it has refused its settings, show its sentence on stderr,
# unless that is also where stdout goes, which has it already.
check_master_starts() {
    local status=0
    if is_running "$master_pid"; then return; fi
    wait "$master_pid" 2>/dev/null || status=$?
    if ((status == 2)); then
        end_everything
        if [[ ! /dev/fd/1 -ef /dev/fd/2 ]]; then tail -n 1 "$master_output" >&2 || true; fi
        exit 2
    fi
    if ((status != 0)); then stop_on_failure "The master failed with exit status $status." "$master_output"; fi
    stop_on_failure "The master ended before it served." "$master_output"
}

# wait_for_another_master STATUS : the master was killed; wait for the workers, which wait for another master.
wait_for_another_master() {
    master_pid=""
    say "The master was killed (exit status $1). The workers wait for it; Ctrl-C ends them. In another terminal:"
    say "    ./start_master.sh --resume --host 127.0.0.1 --port $port"
    while ((${#worker_pids[@]} > 0)); do
        if ((signals > 0)); then
            end_everything
            say_how_to_resume
            exit "$signal_status"
        fi
        check_workers
        pause
    done
    rm -rf "$state_dir"
    say "The run has ended; its last master has printed where the results are."
    exit 0
}

# stop_if_failed NAME PID OUTPUT : PID has exited; continue only if its exit status is 0.
stop_if_failed() {
    local status=0
    wait "$2" 2>/dev/null || status=$?
    if ((status != 0)); then stop_on_failure "$1 failed with exit status $status." "$3" "$status"; fi
}

# check_workers : forget the workers that have exited with 0 (the run is over for them); stop if one has failed.
check_workers() {
    local id pid
    for id in "${!worker_pids[@]}"; do
        pid="${worker_pids[id]}"
        if ! is_running "$pid"; then
            unset "worker_pids[$id]"
            stop_if_failed "Worker $id" "$pid" "$(worker_output "$id")"
        fi
    done
}

master_answers() {
    "$python" -c 'import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=2)
connection.request("GET", "/healthz")
sys.exit(connection.getresponse().status != 200)' "$port" >/dev/null 2>&1
}

# ---- The run

open_pipe copied to_copy
open_pipe lines to_filter
open_pipe from_master to_script
copy=(tee -p)
if shows_bars; then  # like tee, with a progress bar, since the master has no terminal
    copy=("$python" "$project_dir/flq/launch.py" flq.console)
fi
set -m
"${copy[@]}" "$master_output" "/dev/fd/$to_filter" <&"$copied" {to_copy}>&- {lines}<&- {from_master}<&- {to_script}>&- &
copy_pids=("$!")
grep -a --line-buffered -e "^FLQ master ready" -e "^results: " -e "^to resume: " <&"$lines" >&"$to_script" {to_copy}>&- {to_filter}>&- &
copy_pids+=("$!")
set +m
exec {copied}<&- {lines}<&- {to_filter}>&- {to_script}>&-
export FLQ_RESUME_COMMAND="./run_local.sh --resume"
start "/dev/fd/$to_copy" "$python" "$project_dir/flq_master.py" --host 127.0.0.1 --port "$port" "${settings[@]}"
master_pid=$started_pid
exec {to_copy}>&-
# Secrets for the master only (workers may run a user's own model), and its command.
unset FLQ_NOTIFY FLQ_NOTIFY_PROXY FLQ_RESUME_COMMAND

deadline=$((SECONDS + HEALTH_TIMEOUT_S))
until master_answers; do
    stop_on_signal
    check_master_starts
    if ((SECONDS >= deadline)); then
        stop_on_failure "The master did not answer within $HEALTH_TIMEOUT_S s." "$master_output"
    fi
    pause
done

# The workers' state is in a folder of the run, so that it is found when the run is resumed.
until hear && [[ -n "$ready" ]] || ((SECONDS >= deadline)); do
    stop_on_signal
    pause
    if ! is_running "$master_pid"; then
        pause  # its last lines may be on their way
        hear
        if [[ -z "$ready" ]]; then check_master_starts; fi
    fi
done
if [[ "$ready" =~ \(run\ ([^\)]*)\)$ ]]; then run_id="${BASH_REMATCH[1]}"; fi
state_dir="$project_dir/state/run_local/${run_id:-$port}"
for ((id = 0; id < n_workers; id++)); do
    start "$(worker_output "$id")" "$python" "$project_dir/flq_worker.py" --worker_id "$id" --master_ip 127.0.0.1 \
        --port "$port" --state_dir "$state_dir/worker$id"
    worker_pids[id]=$started_pid
done
say "Started $n_workers workers; their output is in $(worker_output '*')"

while is_running "$master_pid"; do
    stop_on_signal
    check_workers
    pause
done
stop_on_signal
status=0
wait "$master_pid" 2>/dev/null || status=$?
if ((status == 137)); then wait_for_another_master "$status"; fi
if ((status != 0)); then stop_on_failure "The master failed with exit status $status." "$master_output"; fi

deadline=$((SECONDS + STOP_TIMEOUT_S))
while ((${#worker_pids[@]} > 0)); do
    stop_on_signal
    check_workers
    if ((SECONDS >= deadline)); then
        for id in "${!worker_pids[@]}"; do
            stop_on_failure "Worker $id did not end within $STOP_TIMEOUT_S s after the master." "$(worker_output "$id")"
        done
    fi
    pause
done

wait_for_end "$STOP_TIMEOUT_S" "${copy_pids[@]}" || true
hear
if [[ -z "$excel" ]]; then
    stop_on_failure "The run has ended, but the master named no Excel file." "$master_output"
fi
rm -rf "$state_dir"
say "Results: $excel"
