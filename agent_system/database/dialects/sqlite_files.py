"""The file of a SQLite database before anybody opens it: its folder, who may read it, and what disk it lies on."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from agent_system.database.driver import sqlite
from agent_system.database.engine import MEMORY
from agent_system.database.mounts import mount_of
from agent_system.errors import DatabaseUnavailableError
from agent_system.settings import ENV_PREFIX, NetworkFileSystem

if TYPE_CHECKING:
    from sqlalchemy import URL

    from agent_system.settings import DatabaseSettings

__all__ = ["copy_file", "prepare_sqlite_url"]

logger = logging.getLogger(__name__)

OWNER_ONLY = 0o600
COPY_SECONDS = 30.0
VARIABLE = f"{ENV_PREFIX}NETWORK_FILE_SYSTEM"


def prepare_sqlite_url(url: URL, settings: DatabaseSettings, *, makes: bool = True) -> tuple[URL, Path | None]:
    """Make the folder and the empty file of a database that only its owner may read; nothing unless it `makes` one.

    `:memory:` becomes a file in a temporary folder that is returned too: a database that lives in one connection's
    memory could not be read beside its writer; a private file that goes away with the manager behaves like every other
    database.

    Raises:
        DatabaseUnavailableError: The path is a folder, or on a network file system, or its folder cannot be made.
    """
    if url.database in {None, "", MEMORY}:
        folder = Path(tempfile.mkdtemp(prefix="agent_system-"))
        return url.set(database=str(folder / "memory.db")), folder
    path = Path(str(url.database))
    if path.is_dir():
        message = f"{path} is a folder; the database needs the path of a file"
        raise DatabaseUnavailableError(message)
    _look_at_disk(path, settings.network_file_system)
    if not makes:
        return url, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        message = f"the folder {path.parent} of the database cannot be made: {exc.strerror}"
        raise DatabaseUnavailableError(message) from exc
    if not url.query:
        _make(path)
    return url, None


def _look_at_disk(path: Path, wanted: NetworkFileSystem) -> None:
    """Refuse a disk that other machines may write to: already the first PRAGMA would begin a write-ahead log there.

    Agents lost their databases so on NFS, 9p and virtiofs, which are what virtual machines and containers see their
    host's folders through.
    """
    mount = mount_of(path.absolute())
    if mount is None or not mount.is_network:
        return
    where = f"{path} is on {mount.kind} ({mount.point}), where SQLite's write-ahead log can be damaged"
    if wanted is NetworkFileSystem.REFUSE:
        message = (
            f"{where}: move it to a local disk, use PostgreSQL, or set {VARIABLE}=warn when only one machine uses it"
        )
        raise DatabaseUnavailableError(message)
    logger.warning("%s; %s=warn allows it", where, VARIABLE)


def _make(path: Path) -> None:
    """Make the file if there is none; SQLite would let the umask decide who may read it.

    A -wal and a -shm get the permissions of their database. The file is made without being opened, because closing it
    could drop the locks of whoever was quicker. Where that does not work, SQLite tells why or makes it.
    """
    with suppress(OSError):
        os.mknod(path, stat.S_IFREG | OWNER_ONLY)


def copy_file(path: Path, copy: Path) -> None:
    """Copy a database that may be in use to a file that is not there yet; nobody is kept from writing.

    Raises:
        DatabaseError: The driver's; the copy is of no use.
    """
    # Not read-only: a reader of a database in WAL mode may have to make its shared memory.
    source = sqlite.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=COPY_SECONDS, isolation_level=None)
    try:
        # Its end is no reason to move the log into the file.
        source.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        target = sqlite.connect(str(copy), isolation_level=None)
        try:
            # In one step: one snapshot, however many commits come meanwhile.
            source.backup(target, pages=-1)
        finally:
            target.close()
    finally:
        source.close()
