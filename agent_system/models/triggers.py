"""What the database keeps whoever writes: triggers, functions and search tables that belong to a table.

They are declared beside the table class, so that `create_all` makes what a migrated database has. The revision that
made them repeats them word for word, as it repeats the columns, and tests/migration compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import DDL, MetaData, Table, event

__all__ = ["DatabaseKept", "keep_in_database", "leave_to_triggers", "written_by_triggers"]

# Where a table says which of its columns triggers write.
_TRIGGERED = "triggered"


@dataclass(frozen=True, kw_only=True)
class DatabaseKept:
    """Statements of one engine."""

    create: Sequence[str]
    """What makes it, after all tables are there."""
    drop: Sequence[str] = ()
    """What has to go before the tables do; triggers go with theirs."""


def keep_in_database(metadata: MetaData, **engines: DatabaseKept) -> None:
    """Run statements of an engine (`sqlite=`, `postgresql=`) whenever all tables are made or dropped."""
    for dialect, kept in engines.items():
        for statement in kept.create:
            event.listen(metadata, "after_create", _literally(statement).execute_if(dialect=dialect))
        for statement in kept.drop:
            event.listen(metadata, "before_drop", _literally(statement).execute_if(dialect=dialect))


def leave_to_triggers(table: Table, *columns: str) -> None:
    """Say that triggers write these columns of a row that is changed: the layer reads it again afterwards.

    Of `updated_at` it is enough to say so: the layer dates its changes, and no two of one row alike.
    """
    table.info[_TRIGGERED] = written_by_triggers(table) | set(columns)


def written_by_triggers(table: Table) -> frozenset[str]:
    """The columns that triggers write in a row of the table that is changed."""
    columns: frozenset[str] = table.info.get(_TRIGGERED, frozenset())
    return columns


def _literally(statement: str) -> DDL:
    make: Any = DDL
    # It would fill in `%(table)s`; nothing here is to be filled in.
    made: DDL = make(statement.replace("%", "%%"))
    return made
