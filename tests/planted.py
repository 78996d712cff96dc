"""Somebody's rows in every table, each text of which can be told again: what isolation and erasure are tried on.

The rows are those of tests/migration/rows.py with a mark in every column that can hold one, and with their owner in
every column that names one. All of it is Ada's, whose key is `ADA`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, MetaData, Table, func, insert, select

from agent_system.managers.isolation.registry import POLICIES
from agent_system.models import metadata
from agent_system.models.columns import Json, Text
from agent_system.models.naming import name_key
from tests.migration.rows import MORE_ROWS, ROWS, key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy import Connection, Select

    from agent_system.database.executor import Executor

ADA: UUID = key(1)
MARK = "planted-mark"

# What cannot hold any text: the reason why.
UNMARKED: dict[str, str] = {
    "agent_permissions.agent_type": "either an agent or a kind of agents",
    "budgets.scope_key": "a budget of the user's own",
    "budgets.user_id": "names the user",
    "budget_accounts.scope_key": "names the user",
    "budget_accounts.user_id": "names the user",
    "budget_reservations.user_id": "names the user",
    "token_usage.user_id": "names the user",
    "user_identities.id": "names the user",
    "events.event_type": "a word of the layer",
    "entity_relationships.source_id": "names an entity",
    "entity_relationships.source_type": "a word of the layer",
    "entity_relationships.target_id": "names an entity",
    "entity_relationships.target_type": "a word of the layer",
    "users.password_hash": "what is no hash lets nobody in",
    "queue_clocks.boot": "the machine's",
    "queue_schedules.cron": "a schedule",
    "queue_schedules.timezone": "a time zone",
    "queue_schedules.task_type": "a type of jobs",
    "queue_types.task_type": "a type of jobs",
    "links.url": "an address",
    "links.url_hash": "a digest",
    "links.domain": "a part of an address",
    "conversations.current_head": "names a head",
}
# Columns that name the user in their own words.
NAMES_USER = ("user_id", "scope_key")
# References that stay empty although there is a row: another rule of their table.
UNREFERENCED = {
    "embeddings.message_id",
    "embeddings.context_document_id",
    "token_usage.corrects_id",
    "conversations.parent_conversation_id",
    "messages.parent_id",
    "messages.response_id",
    "tasks.parent_task_id",
    "memories.consolidated_into",
    "context_documents.parent_document_id",
    "events.parent_event_id",
}


def mark(table: str, column: str) -> str:
    """The mark of a column."""
    return f"{MARK}-{table}-{column}-end"


def marked_columns() -> Iterator[Column[Any]]:
    """The columns that hold a mark."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            is_text = isinstance(column.type, (Text, Json))
            names_user = column.name in NAMES_USER and not column.foreign_keys
            is_free = column.name not in {"entity_type", "entity_id"} and f"{table}.{column.name}" not in UNMARKED
            if is_text and is_free and not column.foreign_keys and not names_user:
                yield column


def shared_tables() -> set[str]:
    """The tables whose rows are nobody's."""
    return {name for name, policy in POLICIES.items() if policy.is_open}


def plant(connection: Connection, tables: set[str], *, marked: bool = True) -> None:
    """Write the rows of these tables."""
    for table in metadata.sorted_tables:
        # The numbers of documents are given by a trigger.
        if table.name in tables and table.name != "context_document_keys":
            for number, row in enumerate([ROWS[table.name], *MORE_ROWS.get(table.name, [])]):
                values = _owned(table, row)
                if marked:
                    values |= _marks(table, number)
                connection.execute(insert(table).values(values))
            if connection.dialect.supports_sequences and table.autoincrement_column is not None:
                # The keys were given; the next ones that the database makes come after them.
                sequence = func.pg_get_serial_sequence(table.name, table.autoincrement_column.name)
                connection.execute(select(func.setval(sequence, 100)))


def _owned(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    values = dict(row)
    for column in table.columns:
        if column.name in values or column.name in {"id", "key"}:
            continue
        if column.foreign_keys and f"{table.name}.{column.name}" not in UNREFERENCED:
            target = next(iter(column.foreign_keys)).column
            values[column.name] = ROWS[target.table.name][target.name]
    if "user_id" in table.columns:
        values["user_id"] = ADA if table.c.user_id.type.python_type is not str else str(ADA)
    if "entity_id" in table.columns:
        values |= {"entity_type": "agent", "entity_id": str(ROWS["agents"]["id"])}
    if table.name in {"budgets", "budget_accounts"}:
        values["scope_key"] = str(ADA)
    if table.name == "agent_permissions":
        values.pop("agent_type", None)
    return values


def _marks(table: Table, number: int) -> dict[str, Any]:
    marks: dict[str, Any] = {}
    for column in marked_columns():
        if column.table is not table:
            continue
        text = mark(table.name, column.name) + (f"-{number}" if number else "")
        if isinstance(column.type, Json):
            marks[column.name] = [text] if str(getattr(column.server_default, "arg", "")) == "[]" else {text: text}
        else:
            marks[column.name] = text
    for name in list(marks):
        source = name.removesuffix("_key")
        if source != name and source in marks:
            marks[name] = name_key(marks[source])
    return marks


def read_all(connection: Connection | Executor) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, in the types that the driver gives."""
    return {
        name: sorted(tuple(map(str, row)) for row in connection.execute(statement))
        for name, statement in _reads().items()
    }


@cache
def _reads() -> dict[str, Select[Any]]:
    # Made once: to compile a statement for each table takes ten times as long as to run it.
    return {
        table.name: select(Table(table.name, MetaData(), *(Column(column.name) for column in table.columns)))
        for table in metadata.sorted_tables
    }
