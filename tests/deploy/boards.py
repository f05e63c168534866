"""Boards to deploy to: real sshd processes, each in a network namespace and a mount namespace of its own.

::

    operator --- jump --- inner     behind the jump host, which hides its address (NAT)
        |------- slow               1 Mbit/s both ways
        |------- refusing           accepts no key

The master runs on the jump host, which all boards reach.

All processes in the namespaces, including the deployed programs, end with them.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List

import pytest

SSHD = "/usr/sbin/sshd"
NEEDED = ("ip", "tc", "nft", "unshare", "ssh", "ssh-keygen")
BOARDS = ("jump", "inner", "slow", "refusing")
RATE = ("rate", "1mbit", "burst", "16kb", "latency", "400ms")

# In the place of systemctl, where PID 1 is no systemd: it writes down each call, and starts and stops what a unit says.
# As with Type=notify, a program has started when its main process, and no other, says that it is ready.
SYSTEMCTL = """#!/usr/bin/env bash
set -euo pipefail
folder="{folder}"
echo "$*" >>"$folder/calls"
units=/etc/systemd/system
if [[ "$1" == --user ]]; then units="$HOME/.config/systemd/user"; shift; fi
verb="$1"
shift
unit="" now=""
for word in "$@"; do
    case "$word" in --now) now=yes ;; -*) ;; *) unit="$word" ;; esac
done
running() {{ [[ -f "$folder/$unit.pid" ]] && kill -0 "$(cat "$folder/$unit.pid")" 2>/dev/null; }}
stop() {{
    if running; then
        kill -TERM "$(cat "$folder/$unit.pid")"
        for _ in {{1..300}}; do if running; then sleep 0.1; else break; fi; done
    fi
    rm -f "$folder/$unit.pid"
}}
start() {{
    cd "$(sed -n 's/^WorkingDirectory=//p' "$units/$unit.service")"
    eval "environment=($(sed -n 's/^Environment=//p' "$units/$unit.service"))"
    eval "command=($(sed -n 's/^ExecStart=//p' "$units/$unit.service"))"
    "{python}" "$(dirname "$0")/start" "$folder/$unit" "${{environment[@]}}" -- "${{command[@]}}" </dev/null
}}
case "$verb" in
--version) echo "systemd 252 (252)" ;;
is-active) if running; then echo active; else echo inactive; exit 3; fi ;;
is-enabled) [[ -e "$folder/$unit.enabled" ]] ;;
enable) touch "$folder/$unit.enabled" ;;
disable) rm -f "$folder/$unit.enabled"; if [[ -n "$now" ]]; then stop; fi ;;
restart | start) stop; start ;;
stop) stop ;;
daemon-reload | reset-failed | show-environment) ;;
*) exit 1 ;;
esac
"""

START = """
import os, socket, struct, subprocess, sys
base, cut = sys.argv[1], sys.argv.index("--")
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
    told.bind("\\0" + base)
    told.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    told.settimeout(60)
    environment = dict(os.environ, NOTIFY_SOCKET="@" + base, WATCHDOG_USEC="300000000")
    environment.update(word.split("=", 1) for word in sys.argv[2:cut])
    with open(base + ".out", "ab") as output:
        started = subprocess.Popen(sys.argv[cut + 1:], env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=output, start_new_session=True)
    with open(base + ".pid", "w") as stream:
        stream.write(str(started.pid))
    text = b""
    while b"READY=1" not in text:
        text, about, _, _ = told.recvmsg(4096, socket.CMSG_SPACE(12))
        if struct.unpack("3i", about[0][2])[0] != started.pid:
            text = b""
"""

SSHD_CONFIG = """
Port 22
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
SetEnv PATH={folder}/bin:{path}
"""

# What a board says to everybody who logs in, and when they leave.
BASHRC = """
printf 'Hello {ada}! "quoted\\033[0m\\nchanged\\nhome /nowhere\\n> '
echo "ERROR: a board says so to all" >&2
trap 'printf "{}\\nchanged\\n"; echo "ERROR: bye" >&2' EXIT
"""

# What a board has of its own: its user's home folder, units, /run.
BEGIN = """
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/units /etc/systemd/system
mount -t tmpfs none /run
mkdir -p /run/sshd /run/systemd/system
exec {sshd} -D -e -f {folder}/sshd_config
"""


def run(*words: str, **options) -> str:
    """Run a program; return its output."""
    done = subprocess.run(
        list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, timeout=60, **options
    )
    if done.returncode:
        raise OSError("%s: %s" % (" ".join(words), done.stdout.strip()))
    return done.stdout


def skip_unless_possible() -> None:
    """Skip with the reason if such boards cannot be created."""
    if os.geteuid() != 0:
        pytest.skip("boards in namespaces need root")
    missing = [name for name in NEEDED if shutil.which(name) is None] + [SSHD] * (not os.path.exists(SSHD))
    if missing:
        pytest.skip("boards in namespaces need %s" % ", ".join(missing))


class Impossible(OSError):
    """This machine does not allow such a network."""


class Boards:
    """Four sshds and the network between them, created on entry and removed on exit.

    Attributes
    ----------
    addresses : dict
        By name of a board; "operator" is where a deployment is started.
    ssh_config : str
        The configuration of ssh instead of the user's: the key, and the boards' host keys.
    """

    addresses = {
        "operator": "10.214.1.1",
        "jump": "10.214.1.2",
        "inner": "10.214.9.2",
        "slow": "10.214.2.2",
        "refusing": "10.214.3.2",
    }

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._tag = "flq%d" % (os.getpid() % 10**6)
        self._processes: List["subprocess.Popen[bytes]"] = []
        self.ssh_config = os.path.join(folder, "ssh_config")

    def __enter__(self) -> "Boards":
        try:
            self._make_network()
            self._make_boards()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        for name in ("operator",) + BOARDS:
            with contextlib.suppress(OSError):
                for pid in run("ip", "netns", "pids", self.namespace(name)).split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        for process in self._processes:
            process.kill()
            process.wait()
        for name in ("operator",) + BOARDS:
            with contextlib.suppress(OSError):
                run("ip", "netns", "del", self.namespace(name))

    def namespace(self, name: str) -> str:
        """Return the name of a network namespace."""
        return "%s-%s" % (self._tag, name)

    def within(self, name: str) -> List[str]:
        """Return the prefix of a command that runs it in a namespace."""
        return ["ip", "netns", "exec", self.namespace(name)]

    def path(self, name: str, *parts: str) -> str:
        """Return a path in a board's folder; its home is below "home", the calls of systemctl below "systemd"."""
        return os.path.join(self._folder, name, *parts)

    def calls(self, name: str) -> List[str]:
        """Return the calls of systemctl on a board."""
        with open(self.path(name, "systemd", "calls")) as stream:
            return stream.read().splitlines()

    def _make_boards(self) -> None:
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(self._folder, "client_key"))
        known = [self._begin(name) for name in BOARDS]
        with open(os.path.join(self._folder, "known_hosts"), "w") as stream:
            stream.writelines(known)
        with open(self.ssh_config, "w") as stream:
            stream.write(
                "IdentityFile {0}/client_key\nIdentitiesOnly yes\nUserKnownHostsFile {0}/known_hosts\n"
                "GlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\nUser root\n".format(self._folder)
            )
        for name in BOARDS:
            self._wait_for_sshd(name)

    def _make_network(self) -> None:
        try:
            run("unshare", "--mount", "--propagation", "private", "true")
            self._join_all()
        except OSError as error:
            raise Impossible(str(error)) from None

    def _join_all(self) -> None:
        for name in ("operator",) + BOARDS:
            run("ip", "netns", "add", self.namespace(name))
            run(*self.within(name), "ip", "link", "set", "lo", "up")
        self._join("operator", "10.214.1.1", "jump", "10.214.1.2")
        self._join("operator", "10.214.2.1", "slow", "10.214.2.2")
        self._join("operator", "10.214.3.1", "refusing", "10.214.3.2")
        self._join("jump", "10.214.9.1", "inner", "10.214.9.2")
        for name, where in (("slow", "to-operator"), ("operator", "to-slow")):
            run(*self.within(name), "tc", "qdisc", "add", "dev", where, "root", "tbf", *RATE)
        for name in ("jump", "operator"):
            run(*self.within(name), "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        run(
            *self.within("jump"),
            "nft",
            "add table ip hide; add chain ip hide out { type nat hook postrouting "
            "priority 100; }; add rule ip hide out oifname to-operator masquerade",
        )

    def _join(self, upper: str, upper_address: str, lower: str, lower_address: str) -> None:
        """Create a link; the lower end reaches everything through it."""
        run(
            "ip",
            "link",
            "add",
            "to-" + lower,
            "netns",
            self.namespace(upper),
            "type",
            "veth",
            "peer",
            "name",
            "to-" + upper,
            "netns",
            self.namespace(lower),
        )
        for name, device, address in ((upper, "to-" + lower, upper_address), (lower, "to-" + upper, lower_address)):
            run(*self.within(name), "ip", "addr", "add", address + "/30", "dev", device)
            run(*self.within(name), "ip", "link", "set", device, "up")
        run(*self.within(lower), "ip", "route", "add", "default", "via", upper_address)

    def _begin(self, name: str) -> str:
        """Start the sshd of a board; return the line of its host key."""
        folder = self.path(name)
        for part in ("home", "units", "systemd", "bin"):
            os.makedirs(os.path.join(folder, part))
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(folder, "host_key"))
        with open("/etc/passwd") as stream:
            users = [line for line in stream if not line.startswith("root:")]
        texts: Dict[str, str] = {
            "passwd": "root:x:0:0:root:%s/home:/bin/bash\n" % folder + "".join(users),
            "sshd_config": SSHD_CONFIG.format(folder=folder, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
            "bin/systemctl": SYSTEMCTL.format(folder=folder + "/systemd", python=sys.executable),
            "bin/start": START,
            "home/.bashrc": BASHRC,
            "authorized_keys": "" if name == "refusing" else self._read("client_key.pub"),
        }
        for path, text in texts.items():
            with open(os.path.join(folder, path), "w") as stream:
                stream.write(text)
        os.chmod(os.path.join(folder, "bin", "systemctl"), 0o755)
        with open(os.path.join(folder, "sshd.log"), "wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [
                        *self.within(name),
                        "unshare",
                        "--mount",
                        "--propagation",
                        "private",
                        "sh",
                        "-ec",
                        BEGIN.format(folder=folder, sshd=SSHD),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )
        kind, key = self._read(name, "host_key.pub").split()[:2]
        return "%s %s %s\n" % (self.addresses[name], kind, key)

    def _wait_for_sshd(self, name: str) -> None:
        deadline = time.monotonic() + 20
        while "Server listening" not in self._read(name, "sshd.log"):
            if time.monotonic() > deadline or self._processes[BOARDS.index(name)].poll() is not None:
                raise OSError("sshd did not start: " + self._read(name, "sshd.log"))
            time.sleep(0.02)

    def _read(self, *parts: str) -> str:
        with open(os.path.join(self._folder, *parts)) as stream:
            return stream.read()
