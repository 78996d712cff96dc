"""The other side of `shim.c`: compiling it, giving it orders from inside a process, and reading what it recorded."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SOURCE = Path(__file__).with_name("shim.c")
ROOT = Path(__file__).parents[2]
ENTRY = struct.Struct("=IIQQ")
FOR_EVER = -1


class Operation(IntEnum):
    """What is done to a file, as the enum of `shim.c` numbers it."""

    ANY = 0
    WRITE = 1
    SYNC = 2
    READ = 3
    TRUNCATE = 4
    OPEN = 5
    UNLINK = 6
    MARK = 7


class File(IntEnum):
    """Which file of the database, as the enum of `shim.c` numbers it."""

    ANY = 0
    DATABASE = 1
    WAL = 2
    OTHER = 3


class Entry(NamedTuple):
    """One recorded call, in the order in which they happened."""

    operation: Operation
    file: File
    offset: int
    """Of a write; the new length of a truncation; the number of a mark."""
    data: bytes


def compile_shim(folder: Path) -> Path:
    """Compile the shim with the machine's C compiler; a machine without one is an error, no test is skipped for it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("the fault tests compile a few lines of C: install gcc and libc6-dev")
    library = folder / "shim.so"
    options = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *options, "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
    return library


class Orders:
    """Tells the shim that this process was started with what shall fail, and when."""

    def __init__(self) -> None:
        self._library: Any = ctypes.CDLL(None)
        self._library.fault_disarm.restype = ctypes.c_long
        self._library.fault_mark.argtypes = (ctypes.c_long,)
        self._library.fault_arm.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)

    def arm(self, operation: Operation, file: File, error: int, *, first: int, times: int) -> None:
        """Let calls of a kind fail: from the `first` one on, counted from now, `times` times or FOR_EVER."""
        self._library.fault_arm(operation, file, error, first, times)

    def disarm(self) -> int:
        """Let nothing fail any more; returns how many calls have failed."""
        return int(self._library.fault_disarm())

    def mark(self, number: int) -> None:
        """Write into the record that the write of this number has been acknowledged."""
        self._library.fault_mark(number)


def run_program(
    program: str, *arguments: object, shim: Path, database: Path, record: Path | None = None, seconds: float = 120
) -> str:
    """Run a program of the folder `programs` under the shim and return its output; it must not fail."""
    environment: Mapping[str, str] = os.environ | {
        "LD_PRELOAD": str(shim),
        # SQLite opens the real path of a file.
        "AGENT_SYSTEM_FAULT_PATH": str(database.resolve()),
        **({"AGENT_SYSTEM_FAULT_LOG": str(record)} if record is not None else {}),
    }
    command: Sequence[str] = [sys.executable, "-m", f"tests.faults.programs.{program}", *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_record(path: Path) -> list[Entry]:
    """Read what the shim recorded."""
    content, position, entries = path.read_bytes(), 0, []
    while position < len(content):
        operation, file, offset, length = ENTRY.unpack_from(content, position)
        position += ENTRY.size
        # Only a write carries bytes.
        data = content[position : position + length]
        position += length
        entries.append(Entry(Operation(operation), File(file), offset, data))
    return entries
