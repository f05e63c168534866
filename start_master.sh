#!/usr/bin/env bash
# Start the master. All flags are passed to flq_master.py.
set -euo pipefail #
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" #
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh" # it rejects CRLF; up to here a # hides the CR of each line

if asks_for_help "$@"; then
    cat <<'TEXT'
Start the FLQ master, which holds the model and waits for the workers.

    ./start_master.sh [--config FILE] [--host 0.0.0.0] [--port 5000] [--resume [RUN]] [--keep_serving]
                      [--set section.key=value]...

  --config FILE            settings (default: flq_config.json in this folder; with --resume, those of the run)
  --host ADDRESS           address of this machine to listen on (default: 0.0.0.0, all of IPv4)
  --port P                 port to listen on (default: 5000)
  --token_file FILE        tokens of the operator and the workers, made at the first start (default: state/tokens)
  --tls_cert FILE, --tls_key FILE
                           use HTTPS with this certificate and its key (docs/security.md)
  --resume [RUN]           resume a run, named by its folder in results/ (default: the newest unfinished run)
  --keep_serving           keep serving /status, the live page and the results after the run, until stopped
  --set section.key=value  override a setting, e.g. --set flq_algorithm.mode=bbit; can be repeated
  --print_config           print the complete configuration, with --resume that of the run, and exit
  --doctor [--json]        check whether this machine can run a master, give advice, and exit
  --start_once FILE        for services: resume the newest unfinished run, or begin one if FILE exists
  --verbose                log more

Ctrl-C saves the results so far and ends the master; --resume continues the run, also after a crash or a power failure.
Results are in results/, logs in logs/. The master runs in the conda environment `fed` if that is active, otherwise in
.venv.
TEXT
    exit 0
fi
exec_program flq_master.py "$@"
