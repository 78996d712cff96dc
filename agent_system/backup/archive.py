"""The folder of backups: how they are called, what stands beside each, which ones are kept."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_system.backup.files import manifest_of
from agent_system.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Backup", "list_backups", "name_backup", "prune", "read_manifest"]

# The moment stands in the name to the microsecond: two backups never share one, and the names sort by age.
_STAMP = "%Y%m%dT%H%M%S%fZ"
_NAME = re.compile(r"(?P<stem>.+)-(?P<stamp>\d{8}T\d{12}Z)\.(db|db\.gz|dump|copy)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """One backup, as its manifest describes it."""

    path: Path
    """The file; its manifest stands beside it."""
    created_at: datetime
    """When it was begun, in UTC: it holds everything that was committed before."""
    engine: str
    """`sqlite` or `postgresql`."""
    revision: str | None
    """The schema's revision; None for an empty database."""
    size: int
    """Bytes of the file."""
    sha256: str
    """Hash of the file."""
    tables: Mapping[str, int]
    """Rows of each table at the moment of the copy; empty where the copying program does not tell."""

    def as_json(self) -> dict[str, Any]:
        """What a manifest holds, and what is printed for programs."""
        return asdict(self) | {"path": self.path.name, "created_at": self.created_at.isoformat()}


def name_backup(stem: str, moment: datetime, suffix: str) -> str:
    """Return the file name of a new backup; whatever the stem is, the name stays in its folder."""
    safe = re.sub(r"[^\w.-]", "_", stem).lstrip(".") or "database"
    return f"{safe}-{moment.astimezone(UTC).strftime(_STAMP)}{suffix}"


def list_backups(folder: str | Path, stem: str | None = None) -> list[Backup]:
    """Return the finished backups of a folder, the newest first.

    Args:
        folder: Where they are; one that is not there holds none.
        stem: Only those of the database of this name.

    Raises:
        BackupError: A manifest cannot be read.
    """
    found = []
    for path in Path(folder).glob("*"):
        match = _NAME.fullmatch(path.name)
        if match and (stem is None or match["stem"] == stem) and manifest_of(path).exists():
            found.append(read_manifest(path))
    return sorted(found, key=lambda backup: backup.created_at, reverse=True)


def read_manifest(path: Path) -> Backup:
    """Read what stands beside a backup.

    Raises:
        BackupError: There is no manifest, or it is not one of ours.
    """
    try:
        described: dict[str, Any] = json.loads(manifest_of(path).read_text())
        moment = datetime.fromisoformat(described.pop("created_at"))
        return Backup(**described | {"path": path, "created_at": moment})
    except FileNotFoundError:
        message = f"{path} has no manifest ({manifest_of(path).name}) and cannot be verified: it is no finished backup"
        raise BackupError(message, path=str(path)) from None
    except (ValueError, TypeError, KeyError, OSError) as exc:
        message = f"the manifest of {path} cannot be read: {exc}"
        raise BackupError(message, path=str(path)) from exc


def prune(folder: Path, stem: str, keep: int) -> list[Path]:
    """Delete the oldest backups of a database but for `keep`, and return their paths."""
    removed = []
    for backup in list_backups(folder, stem)[keep:]:
        # The file first: without its manifest it would look like one that is being written.
        backup.path.unlink(missing_ok=True)
        manifest_of(backup.path).unlink(missing_ok=True)
        removed.append(backup.path)
    return removed
