"""What stands in the rows: JSON that is none, moments that cannot be, counts that are wrong, work that stands still."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, or_, select, update

from agent_system.doctor.findings import Finding, Severity
from agent_system.managers.conversations.stale_streams import is_stale_stream
from agent_system.models import metadata
from agent_system.models.columns import Json, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, Table

    from agent_system.database.executor import Executor
    from agent_system.doctor.patient import Patient

__all__ = ["check_counts", "check_json", "check_moments", "check_stalled"]

EXAMPLES = 5
# A clock may be a little ahead of the one that we ask.
TOLERANCE = timedelta(minutes=5)
# Columns that speak of what is to come; everything else has happened.
FUTURE = frozenset(
    {"expires_at", "scheduled_for", "lease_expires_at", "due_at", "deadline", "valid_from", "next_run_at"}
)


async def check_json(patient: Patient) -> Iterator[Finding]:
    """Find JSON columns whose text is no JSON; a read gives such a text as it is."""
    if patient.path is None:
        return iter(())  # PostgreSQL refuses it
    found = []
    for table in metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, Json):
                # Read as text, or the column's own type would try to read it.
                bad = column.is_not(None) & (func.json_valid(column) == 0)
                found += await _report(patient, table, column, bad, "json", "is no JSON")
    return iter(found)


async def check_moments(patient: Patient) -> Iterator[Finding]:
    """Find moments of things that have happened which lie in the future."""
    found = []
    for table in metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, UtcDateTime) and column.name not in FUTURE:
                late = column > patient.now + TOLERANCE
                found += await _report(patient, table, column, late, "moments", "lies in the future")
    return iter(found)


async def check_counts(patient: Patient) -> Iterator[Finding]:
    """Compare what conversations say about their messages with the messages."""
    conversations = metadata.tables["conversations"]
    wrong = _wrongly_counted()
    statement = select(func.count()).select_from(conversations).where(wrong)
    count = await patient.db.read(lambda executor: executor.execute(statement).scalar_one())
    if not count:
        return iter(())
    return iter(
        (
            Finding(
                check="counts",
                severity=Severity.WARNING,
                message=f"{count:,} conversations do not say how many messages they have",
                advice="agent-system doctor --fix counts them again",
                fix=partial(_count_again, patient),
            ),
        )
    )


async def check_stalled(patient: Patient) -> Iterator[Finding]:
    """Find messages whose streaming nobody goes on with."""
    messages = metadata.tables["messages"]
    statement = select(func.count()).select_from(messages).where(is_stale_stream(patient.now))
    count = await patient.db.read(lambda executor: executor.execute(statement).scalar_one())
    if not count:
        return iter(())
    message = f"{count:,} messages have been streaming for more than an hour without a new chunk"
    advice = "the program that wrote them is gone: em.messages.recover_streams() marks them"
    return iter((Finding(check="work", severity=Severity.INFO, message=message, advice=advice),))


async def _report(
    patient: Patient, table: Table, column: Column[Any], wrong: ColumnElement[bool], check: str, what: str
) -> list[Finding]:
    keys = list(table.primary_key.columns)

    def work(executor: Executor) -> tuple[int, list[Any]]:
        count = executor.execute(select(func.count()).select_from(table).where(wrong)).scalar_one()
        rows = executor.execute(select(*keys).where(wrong).limit(EXAMPLES)).all() if count else []
        return int(count), list(rows)

    count, rows = await patient.db.read(work)
    if not count:
        return []
    examples = ", ".join("/".join(str(part) for part in row) for row in rows)
    message = f"{table.name}.{column.name} {what} in {count:,} rows ({examples})"
    return [Finding(check=check, severity=Severity.WARNING, message=message)]


def _wrongly_counted() -> ColumnElement[bool]:
    conversations = metadata.tables["conversations"]
    return or_(conversations.c.message_count != _messages_of(conversations))


def _messages_of(conversations: Any) -> Any:
    messages = metadata.tables["messages"]
    counted = select(func.count()).select_from(messages).where(messages.c.conversation_id == conversations.c.id)
    return counted.scalar_subquery()


async def _count_again(patient: Patient) -> None:
    conversations = metadata.tables["conversations"]
    statement = update(conversations).where(_wrongly_counted()).values(message_count=_messages_of(conversations))

    def work(executor: Executor) -> None:
        executor.execute(statement)

    await patient.db.write(work)
