"""A model of a disk that keeps only synced data, rebuilt from a record of oplog.c, operation by operation.

The rules are those of POSIX, not of a more generous file system: fsync of a file keeps its bytes but not its name, and
a change of a name (created, renamed, removed) is kept only by fsync of its folder.
"""

import os
import random
import struct
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple, Union

HEAD = struct.Struct("=cQQIIQ")  # as `struct head` in oplog.c
SECTOR = 512  # what a disk writes whole
MAPPED = "-shm"  # SQLite's index of the log: kept in memory, and rebuilt after a power failure
CREATE, WRITE, TRUNCATE, SYNC, RENAME, LINK, UNLINK, MKDIR, MARK, UNKNOWN = "CWTSRLUM!?"

Image = Dict[str, Optional[bytes]]  # path -> content; None: a folder


class Op(NamedTuple):
    """One operation of a record; its kind determines the fields."""

    kind: str
    inode: int
    offset: int
    path: str
    other: str
    data: bytes

    def __str__(self) -> str:
        sizes = f" at {self.offset}, {len(self.data)} bytes" if self.kind == WRITE else ""
        return f"{self.kind} {self.path or self.inode} {self.other}".rstrip() + sizes


def read_record(path: Path) -> List[Op]:
    """Read the record of a program that has ended; an operation that cannot be rebuilt is an error."""
    text, at, ops = path.read_bytes(), 0, []
    while at < len(text):
        kind, inode, offset, *sizes = HEAD.unpack_from(text, at)
        at += HEAD.size
        parts = []
        for size in sizes:
            parts.append(text[at : at + size])
            at += size
        op = Op(kind.decode(), inode, offset, os.fsdecode(parts[0]), os.fsdecode(parts[1]), parts[2])
        if op.kind == UNKNOWN and not op.path.endswith(MAPPED):
            raise ValueError(f"the program does what the test layer can not rebuild: {op.other} of {op.path}")
        ops.append(op)
    return ops


class File:
    """Bytes as the program sees them, and as they were at the last fsync."""

    def __init__(self, content: bytes = b"") -> None:
        self.now = content
        self.kept = content
        self.pending: List[Op] = []

    def change(self, op: Op) -> None:
        self.now = changed(self.now, op)
        self.pending.append(op)

    def sync(self) -> None:
        self.kept = self.now
        self.pending = []


class Folder:
    """Names as the program sees them, and as they were at the last fsync of the folder."""

    def __init__(self) -> None:
        self.now: Dict[str, Node] = {}
        self.kept: Dict[str, Node] = {}
        self.pending: List[Dict[str, Optional[Node]]] = []  # each happens as a whole

    def change(self, names: Dict[str, "Optional[Node]"]) -> None:
        self.now = renamed(self.now, names)
        self.pending.append(names)

    def sync(self) -> None:
        self.kept = self.now
        self.pending = []


Node = Union[File, Folder]


def changed(content: bytes, op: Op) -> bytes:
    """Return a file's bytes after a write or truncation; a gap is filled with zeros."""
    if op.kind == TRUNCATE:
        return content[: op.offset].ljust(op.offset, b"\0")
    return content[: op.offset].ljust(op.offset, b"\0") + op.data + content[op.offset + len(op.data) :]


def renamed(names: Dict[str, Node], change: Dict[str, Optional[Node]]) -> Dict[str, Node]:
    """Return the entries of a folder after a change; None removes a name."""
    return {name: node for name, node in {**names, **change}.items() if node is not None}


class Disk:
    """The content that the program sees, and the content that is certainly on the disk."""

    def __init__(self) -> None:
        self.root = Folder()
        self._nodes: Dict[int, Node] = {}  # by inode number; one that is free is given again

    def apply(self, op: Op) -> None:
        """Apply an operation."""
        if op.kind in (CREATE, MKDIR):
            self._nodes[op.inode] = node = File() if op.kind == CREATE else Folder()
            folder, name = self._place(op.path)
            folder.change({name: node})
        elif op.kind in (WRITE, TRUNCATE):
            self._nodes[op.inode].change(op)
        elif op.kind == SYNC:
            (self._nodes[op.inode] if op.path else self.root).sync()
        elif op.kind == UNLINK:
            folder, name = self._place(op.path)
            folder.change({name: None})
        elif op.kind in (RENAME, LINK):
            self._move(op)

    def _move(self, op: Op) -> None:
        (source, old), (target, new) = self._place(op.path), self._place(op.other)
        if op.kind == LINK:
            target.change({new: source.now[old]})
        elif source is target:
            target.change({new: source.now[old], old: None})
        else:
            target.change({new: source.now[old]})
            source.change({old: None})

    def _place(self, path: str) -> Tuple[Folder, str]:
        *above, name = path.split("/")
        folder = self.root
        for part in above:
            folder = folder.now[part]
        return folder, name

    def image(self, content: Callable[[File], bytes], names: Callable[[Folder], Dict[str, Node]]) -> Image:
        """Return the content of the disk if files have this content and folders these names."""
        found: Image = {}
        contents: Dict[int, bytes] = {}  # a file with two names is lost once
        waiting = [("", self.root)]
        while waiting:
            path, node = waiting.pop()
            if isinstance(node, Folder):
                found[path] = None
                waiting += [(f"{path}/{name}".lstrip("/"), inner) for name, inner in sorted(names(node).items())]
            else:
                if id(node) not in contents:
                    contents[id(node)] = content(node)
                found[path] = contents[id(node)]
        return found


class Surviving:
    """A seeded part of the unsynced changes survives, in any order; one write is torn."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def names(self, folder: Folder) -> Dict[str, Node]:
        """Return a folder's entries: each change survives or not."""
        names = folder.kept
        for change in folder.pending:
            if self._random.random() < 0.5:
                names = renamed(names, change)
        return names

    def content(self, file: File) -> bytes:
        """Return a file's bytes: each write survives or not, one of them in part."""
        survivors = [op for op in file.pending if self._random.random() < 0.5]
        torn = self._random.choice(file.pending) if file.pending else None
        content = file.kept
        for op in file.pending:
            if op is torn and op.kind == WRITE:
                content = changed(content, self._tear(op))
            elif op in survivors:
                content = changed(content, op)
        return content

    def _tear(self, op: Op) -> Op:
        """Cut a write at a sector; its head or its tail survives."""
        end = op.offset + len(op.data)
        cuts = range((op.offset // SECTOR + 1) * SECTOR, end, SECTOR)
        if not cuts:
            return op
        cut = self._random.choice(cuts) - op.offset
        if self._random.random() < 0.5:
            return op._replace(data=op.data[:cut])
        return op._replace(offset=op.offset + cut, data=op.data[cut:])


def zeros(file: File) -> bytes:
    """Return a file that has its new size but not its new bytes (delayed allocation)."""
    return file.kept[: len(file.now)].ljust(len(file.now), b"\0")


def images_after(disk: Disk, seeds: range, at: int) -> Dict[str, Image]:
    """Return the outcomes of a power failure now: {what is lost: content of the disk}."""
    images = {
        "bytes and names": disk.image(lambda file: file.kept, lambda folder: folder.kept),
        "names": disk.image(lambda file: file.now, lambda folder: folder.kept),
        "bytes": disk.image(lambda file: file.kept, lambda folder: folder.now),
        "bytes, but not sizes": disk.image(zeros, lambda folder: folder.now),
        "nothing": disk.image(lambda file: file.now, lambda folder: folder.now),
    }
    for seed in seeds:
        some = Surviving(f"{at} {seed}")
        images[f"a part, seed {seed}"] = disk.image(some.content, some.names)
    return images
