#!/usr/bin/env bash
# Deploy FLQ on a cluster of boards by ssh: code, packages, settings, services. All flags go to python -m flq.deploy.
set -euo pipefail #
#
# List your machines here, or in a file: ./deploy_jetson.sh --cluster cluster.yaml
MASTER_IP="${MASTER_IP:-}"      # the master's address for the workers, such as 192.168.1.10; it may be this machine
WORKER_IPS="${WORKER_IPS:-}"    # such as "192.168.1.11 192.168.1.12"
USERNAME="${USERNAME:-}"        # user name on the boards; empty: that of ~/.ssh/config
PROJECT_DIR="${PROJECT_DIR:-}"  # folder of the installation in the home folder there; empty: flq
SSH_KEY="${SSH_KEY:-}"          # file with your private key; empty: the default of ssh
#
project_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)" #
# shellcheck source=scripts/environment.sh
source "$project_dir/scripts/environment.sh" # it rejects CRLF; up to here a # hides the CR of each line

if asks_for_help "$@"; then
    cat <<'TEXT'
Deploy FLQ on a cluster by ssh, and manage it.

    ./deploy_jetson.sh [deploy] [--cluster FILE] [--dry-run] [--no-systemd] [--wheelhouse DIR] [--jobs N] [--wait_s S]
    ./deploy_jetson.sh check | start | stop | restart | status | uninstall | manifest
    ./deploy_jetson.sh logs [HOST] [--follow no] [--lines N]
    ./deploy_jetson.sh collect [--out DIR]

  check        inspect every host: ssh, disk, clock, L4T, Python; change nothing
  deploy       install code, packages, settings and services, start the programs, wait for every worker
  start        start programs that are not running; the master resumes the unfinished run or starts a new one
  stop         stop the programs; the run can be resumed
  restart      restart everything; the run is resumed
  status       show the run and every program
  logs         show the newest logs; without --follow no, until Ctrl-C
  collect      fetch results and logs to ./collected/HOST/
  uninstall    remove everything except results, state and logs
  manifest     show the number of samples per class at each worker; the data are not copied

  --cluster FILE     the machines (cluster.example.yaml shows one); without it, the variables at the top of this script
  --dry-run          print every remote command and run none
  --no-systemd       plain background processes; they do not come back after a restart of the machine
  --wheelhouse DIR   install packages from this folder: for boards without internet access
  --jobs N           hosts at a time (16)
  --wait_s S         seconds that deploy waits for workers (300)
  --follow yes|no    logs: whether to continue until Ctrl-C (yes)
  --lines N          logs: number of lines to show first (50)
  --out DIR          collect: folder for what is fetched (collected)
  --master_ip IP, --worker_ips "IP IP ...", --username NAME, --project_dir DIR, --ssh_key FILE
                     the machines without a cluster file, in place of the variables at the top of this script

A host that fails has a line and a log, logs/deploy_HOST_TIME.log; the others continue. The exit code is the number of
failed hosts, or 100 for an error in the command line or the cluster file. docs/deploying.md has details.
TEXT
    exit 0
fi

ensure_environment local
set_python_variables
exec "$project_dir/.venv/bin/python" "$project_dir/flq/launch.py" flq.deploy --master_ip "$MASTER_IP" \
    --worker_ips "$WORKER_IPS" --username "$USERNAME" --project_dir "$PROJECT_DIR" --ssh_key "$SSH_KEY" "$@"
