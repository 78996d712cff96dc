"""The examination: every check in turn, and the mending of what can be mended without losing anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent_system.clock import utc_now
from agent_system.database.manager import DatabaseManager
from agent_system.doctor import files, rows, schema, vectors
from agent_system.doctor.findings import Finding, Report, Severity
from agent_system.doctor.patient import Patient
from agent_system.errors import AgentSystemError, DatabaseCorruptError, SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime

    Check = Callable[[Patient], Awaitable[Iterator[Finding]]]

__all__ = ["examine", "examine_url"]


COMMON: dict[str, Check] = {
    "revision": schema.check_revision,
    "json": rows.check_json,
    "moments": rows.check_moments,
    "counts": rows.check_counts,
    "work": rows.check_stalled,
    "vectors": vectors.check_vectors,
}
# What only an engine has that keeps a file of ours; PostgreSQL looks after its own.
FILE_CHECKS: dict[str, dict[str, Check]] = {
    "sqlite": {
        "library": files.check_library,
        "file": files.check_file,
        "log": files.check_log,
        "integrity": schema.check_integrity,
        "references": schema.check_references,
        "full text": schema.check_full_text,
    }
}


async def examine(db: DatabaseManager, *, fix: bool = False, clock: Callable[[], datetime] = utc_now) -> Report:
    """Look a connected database through.

    Args:
        db: The database; connect it with `auto_migrate=False`, so that it is seen as it is.
        fix: Whether what can be mended without losing anything is mended; it is looked at again afterwards.
        clock: What moments of rows are compared with.

    Returns:
        What is wrong now, and what has been mended.
    """
    of_files = FILE_CHECKS.get(db.url.get_backend_name(), {})
    patient = Patient(db=db, now=clock(), path=Path(str(db.url.database)) if of_files else None)
    checks = of_files | COMMON
    findings: list[Finding] = []
    fixed: list[Finding] = []
    for name, check in checks.items():
        found = await _run(name, check, patient)
        mendable = [finding for finding in found if finding.fix is not None] if fix else []
        for finding in mendable:
            await _mend(finding)
        if mendable:
            still = await _run(name, check, patient)
            fixed += [finding for finding in mendable if finding not in still]
            found = still
        findings += found
    ordered = sorted(findings, key=lambda finding: -finding.severity)
    return Report(findings=tuple(ordered), fixed=tuple(fixed), checks=tuple(checks))


async def _run(name: str, check: Check, patient: Patient) -> list[Finding]:
    try:
        return list(await check(patient))
    except AgentSystemError as exc:
        # A damaged file fails where it is read; the other checks go on.
        return [Finding(check=name, severity=Severity.ERROR, message=f"the check itself failed: {exc}")]


async def _mend(finding: Finding) -> None:
    if finding.fix is not None:
        await finding.fix()


async def examine_url(path_or_url: str | None, *, fix: bool = False) -> Report:
    """Look a database through that is not connected; one that cannot be connected to is a finding too."""
    try:
        async with DatabaseManager(path_or_url, auto_migrate=False) as db:
            return await examine(db, fix=fix)
    except SchemaMismatchError as exc:
        found = Finding(check="migration", severity=Severity.WARNING, message=str(exc), advice="agent-system upgrade")
    except DatabaseCorruptError as exc:
        advice = "`agent-system restore` the newest backup"
        found = Finding(check="integrity", severity=Severity.ERROR, message=str(exc), advice=advice)
    return Report(findings=(found,), checks=("connect",))
