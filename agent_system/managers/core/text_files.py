"""Writing text files: whole or not at all, off the event loop, and never onto the database itself."""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from agent_system.errors import ValidationError
from agent_system.models.uuids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_system.database.manager import DatabaseManager

__all__ = ["write_text_file"]

OWNER_ONLY = 0o600
COMPANIONS = ("", "-wal", "-shm", "-journal")


async def write_text_file(db: DatabaseManager, path: str | os.PathLike[str], chunks: AsyncIterator[str]) -> None:
    """Write chunks of text into a file, in UTF-8; a file that is there is replaced when all of them are written.

    Only its owner may read a new file; one that is replaced keeps its permissions.

    What UTF-8 cannot say (a lone surrogate) is written as its escape.

    Args:
        db: The open database, whose own files are refused.

    Raises:
        ValidationError: The path is one of the database's own files.
        OSError: The file cannot be written; what was there before is still there.
    """
    target = Path(path)
    await asyncio.to_thread(_refuse_database, db, target)
    # A new file beside the target, so that what is opened and closed here can never be the database.
    unfinished = target.with_name(f"{target.name}.{uuid7()}.part")
    file = await asyncio.to_thread(_open_new, unfinished, target)
    try:
        try:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
        finally:
            await asyncio.to_thread(file.close)
        await asyncio.to_thread(unfinished.replace, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _open_new(unfinished: Path, target: Path) -> TextIO:
    descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY)
    with suppress(FileNotFoundError):
        unfinished.chmod(stat.S_IMODE(target.stat().st_mode))
    return os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="")


def _refuse_database(db: DatabaseManager, target: Path) -> None:
    database = db.url.database
    for suffix in COMPANIONS if database is not None else ():
        own = Path(f"{database}{suffix}")
        if target.absolute() == own.absolute() or (target.exists() and own.exists() and target.samefile(own)):
            message = f"path: {target} is a file of the open database"
            raise ValidationError(message, field="path")
