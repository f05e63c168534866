"""Fail the power at every operation of a recorded program, and recover from what the disk may hold then."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

from disk_model import MAPPED, MARK, Disk, Image, Op, images_after, read_record

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
KILLED = -9


class Recorder:
    """Runs programs of storage_writers.py in a folder, one after the other, over the recording layer.

    Parameters
    ----------
    library : Path
        oplog.c, compiled.
    folder : Path
        For the record and ``disk``, the programs' own folder; it is created.
    scratch : Path
        A folder for recoveries, which does not exist yet.
    """

    def __init__(self, library: Path, folder: Path, scratch: Path) -> None:
        self._library = library
        self.disk = folder.resolve() / "disk"
        self.disk.mkdir(parents=True)
        self.scratch = scratch
        self._record = folder / "record"

    def run(self, *arguments: object, kill_at: int = -1) -> List[Op]:
        """Run a program to its end, or kill it right after one of its operations.

        Returns
        -------
        list of Op
            Those of all programs so far.
        """
        environment = dict(
            os.environ,
            LD_PRELOAD=str(self._library),
            OPLOG_ROOT=str(self.disk),
            OPLOG_FILE=str(self._record),
            OPLOG_KILL_AT=str(kill_at),
            PYTHONPATH=str(PROJECT),
        )
        program = [sys.executable, str(HERE / "storage_writers.py"), *map(str, arguments)]
        ended = subprocess.run(
            program,
            cwd=str(self.disk),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            timeout=120,
        )
        assert ended.returncode == (0 if kill_at < 0 else KILLED), ended.stdout
        ops = read_record(self._record)
        assert rebuilt(ops) == seen(self.disk), "a change of the folder has passed the test layer by"
        return ops


def rebuilt(ops: Sequence[Op]) -> Image:
    """Return the content of the disk after the operations, without a power failure."""
    disk = Disk()
    for op in ops:
        disk.apply(op)
    return without_mapped(images_after(disk, range(0), 0)["nothing"])


def seen(root: Path) -> Image:
    """Return the content of a folder."""
    found: Image = {"": None}
    for path in root.rglob("*"):
        found[path.relative_to(root).as_posix()] = None if path.is_dir() else path.read_bytes()
    return without_mapped(found)


def without_mapped(image: Image) -> Image:
    return {path: content for path, content in image.items() if not path.endswith(MAPPED)}


def lay_out(image: Image, folder: Path) -> None:
    """Create a folder from an image."""
    for path, content in sorted(image.items()):
        if content is None:
            (folder / path).mkdir(parents=True)
        else:
            (folder / path).write_bytes(content)


class Drill(NamedTuple):
    """The result of a drill."""

    crash_points: int  # operations after which the power failed
    at_risk: int  # those of them at which there was something to lose
    disks: int  # crash points x ways to fail
    different: int  # recoveries that were tried, one for each content of the disk
    losses: List[str]  # one sentence for each disk from which recovery lost a promised version

    def __str__(self) -> str:
        return (
            f"{self.crash_points} crash points ({self.at_risk} with something to lose), {self.disks} disks, "
            f"{self.different} of them different, {len(self.losses)} losses"
        )


def drill(
    ops: Sequence[Op],
    scratch: Path,
    recover: Callable[[Path], Any],
    judge: Callable[[Any, List[str]], Optional[str]],
    seeds: int = 2,
    begin_at: int = 0,
) -> Drill:
    """Fail the power after every operation, in every way, and judge the recovered state.

    Parameters
    ----------
    scratch : Path
        A folder that does not exist yet.
    recover : callable
        Gets a folder after the power failure, and returns the recovered state; it may raise.
    judge : callable
        Gets the recovered state, and the program's output until then; returns the complaint, or None.
    seeds : int
        Number of seeded partial survivals of the writes at each operation.
    begin_at : int
        The first operation after which the power fails.
    """
    disk, said, outcomes, losses, at_risk, disks = Disk(), [], {}, [], 0, 0
    for at, op in enumerate(ops):
        disk.apply(op)
        if op.kind == MARK:
            said.append(op.path)
        if at < begin_at:
            continue
        images = images_after(disk, range(seeds), at)
        at_risk += without_mapped(images["bytes and names"]) != without_mapped(images["nothing"])
        disks += len(images)
        for lost, image in images.items():
            key = digest(image)
            if key not in outcomes:
                outcomes[key] = attempt(recover, image, scratch)
            outcome, failure = outcomes[key]
            complaint = failure or judge(outcome, said)
            if complaint:
                losses.append(f"after operation {at} ({op}), lost: {lost}: {complaint}")
    return Drill(len(ops) - begin_at, at_risk, disks, len(outcomes), losses)


def attempt(recover: Callable[[Path], Any], image: Image, scratch: Path) -> Tuple[Any, Optional[str]]:
    """Return the state recovered from an image, or the reason why there is none."""
    lay_out(image, scratch)
    try:
        return recover(scratch), None
    except Exception as error:  # the drill reports the place of any error
        return None, f"recovery failed: {type(error).__name__}: {error}"
    finally:
        shutil.rmtree(scratch)


def digest(image: Image) -> bytes:
    whole = hashlib.sha256()
    for path, content in sorted(image.items()):
        whole.update(repr((path, None if content is None else len(content))).encode())
        whole.update(content or b"")
    return whole.digest()
