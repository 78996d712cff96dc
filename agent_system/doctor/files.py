"""How the file of a SQLite database lies: only `os.stat` and the kernel's list of mounts are asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent_system.database.driver import library_verdict
from agent_system.database.mounts import mount_of
from agent_system.doctor.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_system.doctor.patient import Patient

__all__ = ["check_file", "check_library", "check_log"]

PAGE_BYTES = 4096
# A log of this many times the size at which a checkpoint is due means that something keeps it from being reset.
OVERSIZE = 4
OTHERS_MAY_READ = 0o077


async def check_library(patient: Patient) -> Iterator[Finding]:
    """Tell about the library's known bugs."""
    del patient
    verdict = library_verdict()
    if not verdict.has_wal_reset_bug:
        return iter(())
    advice = "nothing has to be done: checkpoints run where they are safe; a newer library would be better"
    return iter((Finding(check="library", severity=Severity.INFO, message=verdict.summary, advice=advice),))


async def check_file(patient: Patient) -> Iterator[Finding]:
    """Look at where the file lies and who may read it."""
    path = patient.path
    return iter(()) if path is None else _look_at_file(path)


def _look_at_file(path: Path) -> Iterator[Finding]:
    mount = mount_of(path)
    if mount is not None and mount.is_network:
        yield Finding(
            check="file system",
            severity=Severity.ERROR,
            message=f"the file is on {mount.kind} ({mount.point}), where SQLite's write-ahead log can be damaged",
            advice="move it to a local disk, or use PostgreSQL",
        )
    found = os.stat(path)  # noqa: PTH116 (never open() beside SQLite)
    if found.st_nlink > 1:
        yield Finding(
            check="hard links",
            severity=Severity.ERROR,
            message=f"the file has {found.st_nlink} names; whoever opens it by another one has another log",
            advice="remove the other names",
        )
    if Path(path).is_symlink():
        yield Finding(
            check="file system",
            severity=Severity.INFO,
            message=f"{path} is a symbolic link to {path.resolve()}",
        )
    if found.st_mode & OTHERS_MAY_READ:
        yield Finding(
            check="permissions",
            severity=Severity.WARNING,
            message=f"others than the owner may read or write the file (mode {found.st_mode & 0o777:o})",
            advice=f"chmod 600 {path}",
        )


async def check_log(patient: Patient) -> Iterator[Finding]:
    """Look at the size of the write-ahead log."""
    limit = OVERSIZE * 2 * patient.db.settings.checkpoint_pages * PAGE_BYTES
    size = (await patient.db.health()).wal_file_size
    if patient.path is None or size <= limit:
        return iter(())
    return iter(
        (
            Finding(
                check="write-ahead log",
                severity=Severity.WARNING,
                message=f"the write-ahead log has {size:,} bytes: a long reader keeps it from being reset",
                advice="end the programs that read for long; the log is reset when nobody reads it",
            ),
        )
    )
