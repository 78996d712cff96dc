"""The file of an older system, which is never written to: what SQLite opens is a private copy of it and of its log.

SQLite makes `-wal` and `-shm` beside every file in WAL mode that it opens, and rolls an unfinished journal back, also
when it only reads. So the file and its log are copied into a folder of our own first, and their digest is taken before
and after.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from agent_system.database.driver import sqlite
from agent_system.errors import ImportFileError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["LegacyFile", "is_database", "opened"]

# What belongs to a database: the file, the log of WAL mode, the journal that an interrupted write leaves.
PARTS = ("", "-wal", "-journal")
MAGIC = b"SQLite format 3\0"
CHUNK_BYTES = 1 << 20
HEADER_BYTES = 100
# A damaged header may say anything.
LONGEST_BYTES = 1 << 40
ATTEMPTS = 3


@dataclass(slots=True)
class LegacyFile:
    """A private copy of a file, open for reading."""

    path: Path
    """The file itself."""
    digest: str
    """SHA-256 of the file and its log, hexadecimal."""
    folder: Path
    """A folder of our own, which goes with the block that opened the file."""
    connection: Any
    """The driver's connection to the copy; used by one thread at a time."""

    async def is_unchanged(self) -> bool:
        """Whether the file is as it was when it was copied; another program may be writing it."""
        try:
            return await asyncio.to_thread(_digest, self.path) == self.digest
        except OSError:
            return False


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[LegacyFile]:
    """Copy a file away from the event loop and open the copy for the block.

    Raises:
        ImportFileError: There is no such file, it cannot be read, it is no SQLite database, or it is being written.
    """
    with tempfile.TemporaryDirectory(prefix="agent_system_import_", ignore_cleanup_errors=True) as name:
        file = await asyncio.to_thread(_open, path, Path(name))
        try:
            yield file
        finally:
            file.connection.close()


def _open(path: Path, folder: Path) -> LegacyFile:
    try:
        digest = _copied(path, folder)
    except OSError as exc:
        message = f"{path}: {exc.strerror or exc}"
        raise ImportFileError(message, path=str(path)) from exc
    copy = folder / "source.db"
    _lengthen(copy)
    try:
        connection = _connect(copy)
    except sqlite.Error as exc:
        message = f"{path}: cannot be opened as a SQLite database ({exc})"
        raise ImportFileError(message, path=str(path)) from exc
    return LegacyFile(path, digest, folder, connection)


def _connect(copy: Path) -> Any:
    connection = sqlite.connect(
        f"file:{quote(str(copy))}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        connection.text_factory = _decode
        # Of the copy nothing shall be changed but what recovering its log takes.
        connection.execute("PRAGMA query_only = ON").fetchall()
        connection.execute("PRAGMA cache_size = -16384").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _decode(text: bytes) -> str:
    # What is no UTF-8 comes back as lone surrogates, which our codec can store and which lose nothing.
    return text.decode("utf-8", "surrogateescape")


def _copied(path: Path, folder: Path) -> str:
    for _ in range(ATTEMPTS):
        before = _stamps(path)
        digest = _copy(path, folder)
        if _stamps(path) == before:
            return digest
    message = f"{path}: is being written; stop the program that uses it, or import a backup of it"
    raise ImportFileError(message, path=str(path))


def _lengthen(copy: Path) -> None:
    """Give a file whose end is missing its length back: SQLite opens none that is shorter than it says.

    The pages that are missing are empty then, which no page of a table is, so that reading tells which rows are lost.
    The places are those of https://sqlite.org/fileformat2.html#the_database_header.
    """
    with copy.open("r+b") as file:
        head = file.read(HEADER_BYTES)
        if len(head) < HEADER_BYTES or head[24:28] != head[92:96]:
            return
        # 1 stands for 65,536, which two bytes cannot hold.
        page_bytes = {1: 65_536}.get(found := int.from_bytes(head[16:18], "big"), found)
        length, size = int.from_bytes(head[28:32], "big") * page_bytes, copy.stat().st_size
        if size < length <= LONGEST_BYTES:
            # Half a page would give rows of zeros away.
            file.truncate(size // page_bytes * page_bytes)
            file.truncate(length)


def is_database(path: Path) -> bool:
    """Whether a file is a SQLite database, or empty as a new one is; it must not be open in this process."""
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    return not head or head == MAGIC


def _stamps(path: Path) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for part in PARTS:
        file = path.with_name(path.name + part)
        found.append((file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else None)
    return found


def _copy(path: Path, folder: Path) -> str:
    if not is_database(path):
        message = f"{path}: is no SQLite database"
        raise ImportFileError(message, path=str(path))
    for part in PARTS:
        source, copy = path.with_name(path.name + part), folder / f"source.db{part}"
        copy.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, copy)
    return _digest(folder / "source.db")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for part in PARTS:
        file = path.with_name(path.name + part)
        if file.exists():
            digest.update(f"{part}:{file.stat().st_size}:".encode())
            with file.open("rb") as opened_file:
                _add(digest, opened_file)
    return digest.hexdigest()


def _add(digest: Any, file: BinaryIO) -> None:
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
