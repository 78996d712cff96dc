"""A disk that has been told to write and loses its power: what was synced stays, of the rest any part may be there.

The record of `shim.c` is played into it call by call. Where the power goes, every write since the last sync of its file
is kept, lost, or kept in some of its sectors, as a cache that is written back in any order would leave it
(https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.faults.shim import Entry, File, Operation

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    Keep = Callable[[list[Entry]], list[Entry]]

SECTOR_BYTES = 512
SUFFIXES = {File.DATABASE: "", File.WAL: "-wal"}


@dataclass
class Disk:
    """The files of one database while a record is played."""

    synced: dict[File, bytearray]
    pending: dict[File, list[Entry]] = field(default_factory=lambda: {file: [] for file in SUFFIXES})

    def play(self, entry: Entry) -> None:
        """Do what was recorded: nothing reaches the disk for good before its file is synced."""
        if entry.file not in SUFFIXES or entry.operation is Operation.MARK:
            return
        if entry.operation is Operation.SYNC:
            for one in self.pending[entry.file]:
                apply(self.synced[entry.file], one)
            self.pending[entry.file].clear()
        else:
            self.pending[entry.file].append(entry)

    def leave(self, path: Path, keep: Keep) -> None:
        """Write what is left when the power goes now; `keep` chooses among the writes that were not synced."""
        for file, suffix in SUFFIXES.items():
            content = bytearray(self.synced[file])
            for entry in keep(self.pending[file]):
                apply(content, entry)
            path.with_name(path.name + suffix).write_bytes(content)


def apply(content: bytearray, entry: Entry) -> None:
    """Do one recorded call to the bytes of a file."""
    if entry.operation is Operation.WRITE:
        missing = entry.offset - len(content)
        if missing > 0:
            content.extend(bytes(missing))
        content[entry.offset : entry.offset + len(entry.data)] = entry.data
    elif entry.operation is Operation.UNLINK:
        content.clear()
    else:
        del content[entry.offset :]
        content.extend(bytes(entry.offset - len(content)))


def nothing(_pending: list[Entry]) -> list[Entry]:
    """Lose all that was not synced."""
    return []


def everything(pending: list[Entry]) -> list[Entry]:
    """Keep all, as when only the process ends."""
    return pending


def some(luck: random.Random) -> Keep:
    """Keep any of them, and some only in part."""

    def keep(pending: list[Entry]) -> list[Entry]:
        likely = luck.random()
        return [piece for entry in pending for piece in torn(entry, luck, likely)]

    return keep


def torn(entry: Entry, luck: random.Random, likely: float) -> list[Entry]:
    """Return an entry whole, not at all, or those of its sectors that reached the disk."""
    if entry.operation is not Operation.WRITE or luck.random() < 0.5:
        return [entry] if luck.random() < likely else []
    pieces = []
    for start in range(0, len(entry.data), SECTOR_BYTES):
        if luck.random() < likely:
            data = entry.data[start : start + SECTOR_BYTES]
            pieces.append(Entry(entry.operation, entry.file, entry.offset + start, data))
    return pieces
