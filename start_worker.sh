#!/usr/bin/env bash
# Start one worker. All flags are passed to flq_worker.py.
set -euo pipefail #
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" #
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh" # it rejects CRLF; up to here a # hides the CR of each line

if asks_for_help "$@"; then
    cat <<'TEXT'
Start one FLQ worker, which trains on the data of this machine.

    ./start_worker.sh --worker_id N --master_ip IP [--port 5000] [--data_dir FOLDER] [--state_dir FOLDER]

  --worker_id N              0, 1, 2, ... below the master's total_workers, different for each worker
  --master_ip IP             address of the machine where start_master.sh runs
  --port P                   the master's port (default: 5000)
  --data_dir FOLDER          folder of the data set on this machine
  --state_dir FOLDER         folder of the worker's state, which it needs after a restart (default: state/worker<N>)
  --token_file FILE          this worker's token, or a token file (default: the environment variable FLQ_TOKEN, then
                             state/tokens in this folder; docs/security.md)
  --ca FILE, --tls           use HTTPS, and trust these certificates, or those of the system
  --config FILE              this worker's own jetson_optimization, dataset.data_dir and system.master_url
                             (http://host:port, instead of --master_ip), as in flq_config.json
  --gpu_memory_limit_mb MB   limit of TensorFlow's memory on the GPU
  --model MODULE:FUNCTION    allow a model of your own: its code runs here if the master names it
  --name NAME                a name for this worker, shown in /status, on the live page and in the workbook
  --give_up_s S              seconds without the master before this worker exits (default: 3600)
  --stay                     wait for the next run after the end of one
  --doctor [--json]          check whether this machine can run a worker, give advice, and exit
  --manifest [--json] [--dataset NAME]
                             show the number of samples of each class in --data_dir, and exit; NAME is npz:FILE,
                             images:FOLDER, csv:FILE or own (default)
  --verbose                  log more

Logs are in logs/. The worker runs in the conda environment `fed` if that is active, otherwise in .venv.
TEXT
    exit 0
fi
exec_program flq_worker.py "$@"
