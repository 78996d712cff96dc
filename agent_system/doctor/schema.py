"""Whether the schema is what its revision says, and whether what SQLite keeps fits together."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agent_system.database.dialects.full_text import FULL_TEXT_INDEXES, full_text_command
from agent_system.database.migrations import check_schema, current_revision, head_revision
from agent_system.doctor.findings import Finding, Severity
from agent_system.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_system.database.executor import Executor
    from agent_system.doctor.patient import Patient

__all__ = ["check_full_text", "check_integrity", "check_references", "check_revision"]

SHOWN = 20


async def check_revision(patient: Patient) -> Iterator[Finding]:
    """Compare the schema with its revision and with the newest one."""
    async with patient.db.engine.connect() as connection:
        revision = await current_revision(connection)
        if revision != head_revision():
            return iter(
                (
                    Finding(
                        check="migration",
                        severity=Severity.WARNING,
                        message=f"the schema is at {revision or 'nothing'}, the newest revision is {head_revision()}",
                        advice="agent-system upgrade",
                    ),
                )
            )
        differences = await check_schema(connection)
    return (
        Finding(
            check="schema",
            severity=Severity.ERROR,
            message=difference,
            advice="undo what was done by hand, or restore a backup",
        )
        for difference in differences
    )


async def check_integrity(patient: Patient) -> Iterator[Finding]:
    """Let SQLite look through its file."""
    faults = await patient.rows(f"PRAGMA integrity_check({SHOWN})")
    return (
        Finding(
            check="integrity",
            severity=Severity.ERROR,
            message=str(fault),
            advice="stop writing; `agent-system restore` the newest backup",
        )
        for (fault,) in faults
        if fault != "ok"
    )


async def check_references(patient: Patient) -> Iterator[Finding]:
    """Find rows that refer to nothing."""
    faults = await patient.rows("PRAGMA foreign_key_check")
    shown = (
        Finding(
            check="references",
            severity=Severity.ERROR,
            message=f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there",
            advice="delete the row, or write what it refers to",
        )
        for row in faults[:SHOWN]
    )
    return iter((*shown, *_and_more("references", len(faults) - SHOWN)))


async def check_full_text(patient: Patient) -> Iterator[Finding]:
    """Compare every full-text index with its table."""
    found = []
    for (name,) in await patient.rows(str(FULL_TEXT_INDEXES)):
        if await _agrees(patient, name):
            continue
        found.append(
            Finding(
                check="full text",
                severity=Severity.ERROR,
                message=f"the full-text index {name} does not agree with its table",
                advice="agent-system doctor --fix builds it again",
                fix=partial(_command, patient, name, "rebuild"),
            )
        )
    return iter(found)


async def _agrees(patient: Patient, name: str) -> bool:
    try:
        await _command(patient, name, "integrity-check", rank=1)
    except DatabaseError:
        return False
    return True


async def _command(patient: Patient, name: str, command: str, rank: int | None = None) -> None:
    """Give a full-text index one of its commands."""
    statement = full_text_command(name, command, rank)

    def work(executor: Executor) -> None:
        executor.execute(statement)

    await patient.db.write(work)


def _and_more(check: str, rest: int) -> tuple[Finding, ...]:
    if rest <= 0:
        return ()
    return (Finding(check=check, severity=Severity.ERROR, message=f"and {rest:,} more"),)
