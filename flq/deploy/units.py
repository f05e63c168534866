"""Writes the systemd unit that starts a program, or a script where there is no systemd."""

import os
import shlex
from typing import Dict, List, Optional

from ..addresses import is_ipv6
from .cluster import Cluster, MasterEntry
from .facts import Facts, Fit
from .hosts import Host, Program

RUN_WANTED = "state/run_wanted"
WATCHDOG_S = 600  # programs reset the watchdog in the loop of the run, which a slow SD card may delay
START_S = 600  # until a program is ready, before it loads TensorFlow: Python starts slowly from a busy SD card
STOP_S = 120  # the master saves its results
FAILED_USAGE = 2  # exit code of a master with invalid settings: a restart would not help
WORKER_PAUSE_S = 60  # a worker's restart after that code may help: the clock is set, a disk or a download is ready
MAX_FILES = 65536  # open files, including connections; the default of 1024 is too low for a master
LEFT_MB = 400  # memory for the rest of the machine
GROWING_PAUSES = 254  # the first version of systemd with growing pauses between restarts


def arguments_of(program: Program, cluster: Cluster, facts: Facts) -> List[str]:
    """Return the command that starts a program."""
    project, entry = facts.project, program.entry
    if isinstance(entry, MasterEntry):
        words = [
            project + "/current/start_master.sh",
            "--start_once",
            "%s/%s" % (project, RUN_WANTED),
            "--host",
            "::" if is_ipv6(entry.address) else "0.0.0.0",
            "--port",
            str(entry.port),
        ]
        if entry.tls_cert is not None:
            words += ["--tls_cert", project + "/settings/master.pem", "--tls_key", project + "/settings/master.key"]
        return words + settings_flags(program, cluster, facts.project)
    words = [
        project + "/current/start_worker.sh",
        "--stay",
        "--worker_id",
        str(entry.worker_id),
        "--master_ip",
        cluster.master.address,
        "--port",
        str(cluster.master.port),
        "--token_file",
        "%s/settings/%s.token" % (project, program.log_name),
    ]
    if cluster.master.tls_cert is not None:
        words += ["--ca", project + "/settings/ca.pem"] if cluster.ca is not None else ["--tls"]
    if entry.name is not None:
        words += ["--name", entry.name]
    if entry.data_dir is not None:
        words += ["--data_dir", absolute(entry.data_dir, facts.home)]
    if entry.model is not None:
        words += ["--model", entry.model]
    if entry.settings:
        words += ["--config", "%s/settings/%s.json" % (project, program.log_name)]
    return words


def settings_flags(program: Program, cluster: Cluster, project: str) -> List[str]:
    """Return the flags that pass the master's settings."""
    flags = [word for setting in settings_of(cluster) for word in ("--set", setting)]
    own = isinstance(program.entry, MasterEntry) and program.entry.config is not None
    return (["--config", project + "/settings/flq_config.json"] if own else []) + flags


def settings_of(cluster: Cluster) -> List[str]:
    """Return the master's settings, including the number of workers, which the cluster file may override."""
    chosen = {key_of(text) for text in cluster.master.set}
    counts = {
        "total_workers": max(worker.worker_id for worker in cluster.workers) + 1,
        "min_workers": len(cluster.workers),
    }
    return ["system.%s=%d" % item for item in counts.items() if item[0] not in chosen] + list(cluster.master.set)


def results_dir_of(cluster: Cluster) -> Optional[str]:
    """Return report.results_dir from the master's settings; None if unset."""
    values = [text.partition("=")[2].strip() for text in cluster.master.set if key_of(text) == "results_dir"]
    return values[-1] if values else None


def key_of(setting: str) -> str:
    """Return the key of section.key=value or key=value."""
    return setting.partition("=")[0].strip().rpartition(".")[2]


def absolute(path: str, home: str) -> str:
    """Return an absolute path on that machine; a relative one starts in the home folder."""
    return os.path.join(home, path[2:] if path.startswith("~/") else path)


def variables_of(facts: Facts, fit: Optional[Fit]) -> Dict[str, str]:
    """Return the environment variables of a program, which keep compiled code and downloads between runs."""
    variables = {
        "CUDA_CACHE_PATH": facts.project + "/state/cuda_cache",
        "XDG_CACHE_HOME": facts.project + "/state/cache",
    }
    if facts.machine == "aarch64" and fit is not None and fit.version == "3.6":
        variables["OPENBLAS_CORETYPE"] = "ARMV8"  # without it, numpy crashes with an illegal instruction
    return variables


def memory_max_mb(program: Program, host: Host, facts: Facts) -> int:
    """Return the memory limit of a program in MB: the memory less ``LEFT_MB``, divided by the number of programs."""
    if program.entry.memory_max_mb is not None:
        return program.entry.memory_max_mb
    return max(facts.memory_mb - LEFT_MB, facts.memory_mb // 2) // len(host.programs)


def unit_text(program: Program, host: Host, cluster: Cluster, facts: Facts, fit: Optional[Fit], manager: str) -> str:
    """Return the unit of a program or, with manager "none", the script that starts it."""
    words, variables = arguments_of(program, cluster, facts), variables_of(facts, fit)
    if manager == "none":
        lines = ["export %s=%s" % (name, shlex.quote(value)) for name, value in variables.items()]
        return "\n".join(["# Made by deploy_jetson.sh.", *lines, "exec " + shlex.join(words), ""])
    is_master = program.worker_id is None
    unit = [
        "Description=FLQ %s" % ("master" if is_master else "worker %d" % program.worker_id),
        *(["StartLimitIntervalSec=1h", "StartLimitBurst=20"] if is_master else ["StartLimitIntervalSec=0"]),
    ]
    if manager == "system":
        unit += ["Wants=network-online.target", "After=network-online.target time-sync.target"]
    pauses = ["RestartSec=%d" % (15 if is_master else WORKER_PAUSE_S)]
    if facts.systemd >= GROWING_PAUSES:
        pauses += ["RestartSteps=5", "RestartMaxDelaySec=300"]
    service = [
        "Type=notify",
        "ExecStart=" + " ".join(map(unit_word, words)),
        "WorkingDirectory=" + facts.project.replace("%", "%%"),
        *["Environment=" + unit_word("%s=%s" % item, False) for item in variables.items()],
        # After the end of a run, the exit code is 0: no restart.
        "Restart=on-failure",
        *pauses,
        *(["RestartPreventExitStatus=%d" % FAILED_USAGE] if is_master else []),
        "SuccessExitStatus=143",
        "WatchdogSec=%d" % WATCHDOG_S,
        "TimeoutStartSec=%d" % START_S,
        "TimeoutStopSec=%d" % STOP_S,
        "KillMode=mixed",
        "LimitNOFILE=%d" % MAX_FILES,
        "MemoryMax=%dM" % memory_max_mb(program, host, facts),
        "UMask=0077",
        "NoNewPrivileges=yes",
    ]
    if manager == "system":
        service += [
            "User=" + facts.user,
            *_SANDBOX,
            "ReadWritePaths="
            + " ".join(unit_word("%s/%s" % (facts.project, name), False) for name in ("logs", "results", "state")),
        ]
    target = "multi-user.target" if manager == "system" else "default.target"
    return "\n".join(
        [
            "# Made by deploy_jetson.sh; the next deployment overwrites it.",
            "[Unit]",
            *unit,
            "",
            "[Service]",
            *service,
            "",
            "[Install]",
            "WantedBy=" + target,
            "",
        ]
    )


# Nothing here may hide /dev/nv*, which a Jetson's GPU needs: no PrivateDevices, no DeviceAllow, and no ProtectClock,
# which implies DeviceAllow. TensorFlow compiles code, so no MemoryDenyWriteExecute. A user's systemd cannot create
# mount namespaces, so NoNewPrivileges is all that remains there.
_SANDBOX = (
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateTmp=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "CapabilityBoundingSet=",
)


def unit_word(word: str, is_of_command: bool = True) -> str:
    """Return a word quoted for systemd, which expands variables in commands only."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    text = text.replace("$", "$$") if is_of_command else text
    return '"%s"' % text if text != word or any(letter.isspace() or letter in "';" for letter in text) else text
