"""Real masters and workers that are killed with kill -9 by themselves, at points of their own, and started again."""

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "e2e"))

from armed import MASTER, NOTHING, WORKER  # noqa: E402
from cluster import BITS, RUN_S, Cluster, Master, Program, free_port, settings_of  # noqa: E402

from flq.core.layout import flatten  # noqa: E402
from flq.core.settings import Settings
from flq.master.records.round_log import from_stored  # noqa: E402
from flq.master.storage.journal import open_journal  # noqa: E402
from flq.training.frameworks import make_task  # noqa: E402

LAUNCHER = str(Path(__file__).resolve().parent / "armed.py")
PATIENCE_S = 10 * RUN_S


class Kill(NamedTuple):
    """One life of a program, which is killed the ``count``-th time that it reaches the point."""

    point: str
    count: int = 1


UNHARMED = Kill(NOTHING)
NEVER = (
    "Traceback",
    "memories are empty",
    "starts over",
    "differs from the master's",
)  # texts that no program may print


class Seat:
    """A sequence of programs: each is killed at its own point, and the last one runs to the end.

    Attributes
    ----------
    fired : list of Kill
        The kills that have happened.
    programs : list of Program
    """

    def __init__(self, cluster: "ArmedCluster", name: str, kills: Sequence[Kill]) -> None:
        self.fired: List[Kill] = []
        self.programs: List[Program] = []
        self._cluster, self._name, self._kills = cluster, name, list(kills)
        self._thread = threading.Thread(target=self._run_and_tell, daemon=True)
        self._thread.start()

    def end(self) -> Program:
        """Wait for the end of the last program, and return it."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), self.programs[-1].text
        if self._cluster.failures:
            raise self._cluster.failures[0]  # which has made the others fail
        return self.programs[-1]

    def _run_and_tell(self) -> None:
        try:
            self._run()
        except BaseException as failure:  # for the thread that waits, and not in vain
            self._cluster.fail(failure)

    def _run(self) -> None:
        for number, kill in enumerate(self._kills + [None]):
            if self._cluster.failures:
                return
            fired_file = os.path.join(self._cluster.folder, "%s.fired%d" % (self._name, number))
            program = self._cluster.begin(self._name, kill or UNHARMED, fired_file, is_first=number == 0)
            self.programs.append(program)
            code = program.wait(PATIENCE_S)
            if kill is not None:
                assert code == -signal.SIGKILL and os.path.exists(fired_file), "%s did not come to %s:\n%s" % (
                    self._name,
                    kill,
                    program.text,
                )
                self.fired.append(kill)


class ArmedCluster(Cluster):
    """A cluster whose programs may be armed; the master has the same port in all its lives."""

    def __init__(self, folder: str, overrides: Sequence[str]) -> None:
        super().__init__(folder)
        self.port, self.overrides = free_port(), list(BITS) + list(overrides)
        self.results_dir = os.path.join(folder, "results")
        self.failures: List[BaseException] = []

    def fail(self, failure: BaseException) -> None:
        """Record the failure, and kill every program, because the others would wait for ever."""
        self.failures.append(failure)
        for program in self._programs:
            if program.process.returncode is None:
                with suppress(ProcessLookupError):
                    os.kill(program.pid, signal.SIGKILL)  # its own kill() would wait for the thread that waits for it

    def begin(
        self,
        name: str,
        kill: Kill = UNHARMED,
        fired_file: str = "",
        is_first: bool = True,
        flags: Sequence[str] = (),
        run_id: str = "",
        by: Sequence[str] = (),
    ) -> Program:
        """Start a program; a later master resumes a run, by default the newest unfinished one.

        ``by`` is the prefix of the command of the master's Python, if any.
        """
        prefix = [LAUNCHER, kill.point, str(kill.count), fired_file]
        if name == "master":
            argv = prefix + [MASTER, "--host", "127.0.0.1", "--port", str(self.port)] + list(flags)
            argv += [] if is_first else ["--resume"] + ([run_id] if run_id else [])
            always = ["report.results_dir=" + self.results_dir, "report.figure_every=0"]
            for override in always + (self.overrides if is_first else []):
                argv += ["--set", override]
            program: Program = Master(argv, self.folder, self.results_dir, by=by)
            program.port = self.port
        else:
            state_dir = os.path.join(self.folder, "state", name)
            program = Program(
                prefix
                + [
                    WORKER,
                    "--worker_id",
                    name[-1],
                    "--master_ip",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                    "--state_dir",
                    state_dir,
                ]
                + list(flags),
                self.folder,
            )
        self._programs.append(program)
        return program

    def run_dir(self) -> str:
        """Return the folder of the only run."""
        (name,) = [name for name in os.listdir(self.results_dir) if os.path.isdir(os.path.join(self.results_dir, name))]
        return os.path.join(self.results_dir, name)

    def model(self, settings: Settings) -> np.ndarray:
        """Return the saved model as one vector."""
        layout = make_task(settings).layout
        with np.load(os.path.join(self.run_dir(), "model.npz"), allow_pickle=False) as tensors:
            return flatten([tensors[tensor.name] for tensor in layout.tensors], layout)

    def reports(self) -> List[Any]:
        """Return the reports of the rounds in the journal."""
        journal = open_journal(self.run_dir(), only_to_look=True)
        try:
            return [from_stored(value).report for _, value in journal.rounds()]
        finally:
            journal.close()


def drill(cluster: ArmedCluster, kills: Dict[str, Sequence[Kill]]) -> Dict[str, Seat]:
    """Run to the end with these kills, by program; check that all kills happen and all programs end well."""
    seats = {name: Seat(cluster, name, sequence) for name, sequence in kills.items()}
    last = {name: seat.end() for name, seat in seats.items()}
    for name, program in last.items():
        assert program.wait() == 0, program.text
        assert seats[name].fired == list(kills[name])
    for program in (program for seat in seats.values() for program in seat.programs):
        for words in NEVER:
            assert words not in program.text, program.text
    return seats


def rounds_of(reports: Sequence[Any]) -> List[Any]:
    """Return the parts of rounds that must be equal: the roll calls, and the payload."""
    return [
        [report.round_index, sorted(map(list, report.roll_call.items())), report.payload_bits_up] for report in reports
    ]


def check_same(cluster: ArmedCluster, result: np.ndarray, rounds: List[Any]) -> None:
    """Compare the results with the undisturbed run: the model, and each round once."""
    assert cluster.model(settings_of(*cluster.overrides)).tobytes() == result.tobytes()
    assert rounds_of(cluster.reports()) == rounds
