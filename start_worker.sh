#!/usr/bin/env bash
# Start one worker. Every flag goes to flq_worker.py.
set -euo pipefail #
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" #
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh" # it refuses CRLF; up to here a # takes the CR of each line

if asks_for_help "$@"; then
    cat <<'TEXT'
Start one FLQ worker, which trains on the data of this machine.

    ./start_worker.sh --worker_id N --master_ip IP [--port 5000] [--data_dir FOLDER] [--state_dir FOLDER] [--verbose]

  --worker_id N              0, 1, 2, ... below the master's total_workers; each worker has its own
  --master_ip IP             address of the machine where start_master.sh runs
  --port                     the master's port
  --data_dir FOLDER          where the data set lies on this machine
  --state_dir FOLDER         where the worker keeps what it needs after a restart
  --token_file FILE          this worker's token, or a file of tokens; without it, the environment variable FLQ_TOKEN,
                             then state/tokens of this folder (docs/security.md)
  --ca FILE, --tls           speak HTTPS, and trust these certificates, or those of the system
  --config FILE              this worker's own jetson_optimization, dataset.data_dir and system.master_url
                             (http://host:port, in place of --master_ip), as in flq_config.json
  --gpu_memory_limit_mb MB   memory that TensorFlow may take on the GPU
  --model MODULE:FUNCTION    a model of your own that the master may ask for: its code runs here
  --stay                     wait for the next run after the end of one
  --doctor [--json]          look whether this machine is fit, say what to do where it is not, and end
  --manifest [--json]        show how many samples of each class lie in --data_dir, and end

The log lies in logs/. It runs in the conda environment `fed` where that is active, otherwise in .venv.
TEXT
    exit 0
fi
exec_program flq_worker.py "$@"
