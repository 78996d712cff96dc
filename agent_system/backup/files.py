"""Files that are there whole or not at all; used by the child process, never beside an open database."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent_system.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "BLOCK",
    "compress",
    "decompress",
    "finish",
    "fresh",
    "hash_of",
    "manifest_of",
    "move_into_place",
    "refuse_other",
    "sync",
]

BLOCK = 1 << 20
OWNER_ONLY = 0o600


@contextmanager
def fresh(path: Path) -> Iterator[Path]:
    """Give a new empty file that only its owner may read; it is removed unless it was moved away."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))
    try:
        yield path
    finally:
        for left in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
            left.unlink(missing_ok=True)


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compress(source: Path, target: Path) -> None:
    """Write a file compressed; without a time in it, so that the same content gives the same bytes."""
    with source.open("rb") as read, target.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as write:
        shutil.copyfileobj(read, write, BLOCK)


def decompress(source: Path, target: Path) -> None:
    """Write a backup's content to a file, decompressed if its name says so."""
    with gzip.open(source, "rb") if source.suffix == ".gz" else source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, BLOCK)


def manifest_of(path: Path) -> Path:
    """Where the description of a backup stands."""
    return path.with_name(f"{path.name}.json")


def finish(partial: Path, target: Path, described: dict[str, Any]) -> dict[str, Any]:
    """Give a verified copy its name, its description first: what has no description is no backup.

    Returns:
        The description.
    """
    described |= {"path": target.name, "sha256": hash_of(partial), "size": partial.stat().st_size}
    manifest = manifest_of(target)
    with fresh(manifest.with_name(f"{manifest.name}.partial")) as text:
        text.write_text(json.dumps(described, indent=2) + "\n")
        move_into_place(text, manifest)
    try:
        move_into_place(partial, target)
    except BaseException:
        manifest.unlink(missing_ok=True)
        raise
    return described


def sync(path: Path) -> None:
    """Make sure that a file or folder has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_into_place(source: Path, target: Path) -> None:
    """Give a finished file its name in one step that survives power loss."""
    sync(source)
    source.replace(target)
    sync(target.parent)


def refuse_other(path: Path, sha256: str | None) -> None:
    """Refuse a file that is not there, or whose hash is not the one that was written.

    Raises:
        BackupError: It is not.
    """
    if not path.is_file():
        message = f"there is no backup {path}"
        raise BackupError(message, path=str(path))
    if sha256 is not None and hash_of(path) != sha256:
        message = f"{path.name} is not what was written: its hash differs from the manifest's (truncated or changed)"
        raise BackupError(message, path=str(path))
