"""The reasons not to migrate, or to take a migration back, each with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.errors import MigrationError, SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.database.dialects.migration import SchemaState

__all__ = ["refuse_broken_keys", "refuse_drift", "refuse_unusable", "refuse_waiting"]

# A message is for people: it names the first few and counts the rest.
NAMED_AT_MOST = 5


def refuse_unusable(state: SchemaState, history: Sequence[str]) -> None:
    """Refuse a database that this version cannot have made.

    Raises:
        SchemaMismatchError: It is at a revision that is not among ours.
        MigrationError: It holds tables but no revision.
    """
    unknown = [revision for revision in state.revisions if revision not in history]
    if unknown or len(state.revisions) > 1:
        message = (
            f"the database is at revision {', '.join(unknown or state.revisions)}, "
            f"but this version of agent_system only knows {history[0]} to {history[-1]}: "
            "install the agent_system that wrote it (a newer one), or restore a backup made before its upgrade"
        )
        raise SchemaMismatchError(message)
    if state.tables and not state.revisions:
        message = (
            f"the database holds tables that agent_system did not make ({_some(state.tables)}) and was left alone: "
            "choose another file or database, and bring the old data over with `agent-system import legacy`"
        )
        raise MigrationError(message)


def refuse_waiting(state: SchemaState, head: str) -> None:
    """Refuse to work on a schema that has to be migrated first.

    Raises:
        SchemaMismatchError: It is not at the newest revision.
    """
    if state.revision != head:
        found = f"at revision {state.revision}" if state.revision else "empty"
        message = f"the database is {found} and has to be at {head}: run `agent-system upgrade`, or set auto_migrate"
        raise SchemaMismatchError(message)


def refuse_broken_keys(violations: Sequence[str], when: str) -> None:
    """Refuse a database whose rows refer to nothing.

    Raises:
        MigrationError: There are violations.
    """
    if violations:
        message = f"foreign keys are broken {when} the migration, which was rolled back: {_some(violations)}"
        raise MigrationError(message)


def refuse_drift(differences: Sequence[str]) -> None:
    """Refuse a schema that is not what its revision says.

    Raises:
        MigrationError: There are differences.
    """
    if differences:
        message = (
            f"the schema differs from what its revision says, so nothing was changed: {_some(differences)}; "
            "undo what was done by hand, or restore a backup"
        )
        raise MigrationError(message)


def _some(names: Sequence[str]) -> str:
    rest = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")
