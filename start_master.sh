#!/usr/bin/env bash
# Start the master. Every flag goes to flq_master.py.
set -euo pipefail #
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" #
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh" # it refuses CRLF; up to here a # takes the CR of each line

if asks_for_help "$@"; then
    cat <<'TEXT'
Start the FLQ master, which holds the model and waits for the workers.

    ./start_master.sh [--config FILE] [--host 0.0.0.0] [--port 5000] [--resume [RUN]]
                      [--keep_serving] [--set section.key=value]... [--verbose]

  --config FILE            settings; without it, flq_config.json of this folder
  --host, --port           where it listens
  --token_file FILE        tokens of the operator and the workers, made at the first start; without it, state/tokens
  --tls_cert FILE, --tls_key FILE
                           speak HTTPS with this certificate and its key (docs/security.md)
  --resume [RUN]           go on with a run, a folder of results/; without a name, with the newest that has not ended
  --keep_serving           stay after the last round, until stopped
  --doctor [--json]        look whether this machine is fit, say what to do where it is not, and end
  --set section.key=value  change one setting, e.g. --set flq_algorithm.mode=bbit

Ctrl-C saves the results so far and ends it; --resume goes on, also after a crash or a power failure. The results lie in results/, the log in logs/.
It runs in the conda environment `fed` where that is active, otherwise in .venv.
TEXT
    exit 0
fi
exec_program flq_master.py "$@"
