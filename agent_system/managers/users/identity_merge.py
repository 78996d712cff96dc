"""Merging two identities of one person: everything that refers to the one refers to the other afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from agent_system.errors import ConflictError, NotFoundError, ValidationError
from agent_system.managers.users.clash_merge import settle_clashes
from agent_system.managers.users.memory_merge import move_memories
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Column

    from agent_system.database.executor import Executor
    from agent_system.managers.core.store import RowStore
    from agent_system.models import UserIdentity

__all__ = ["IdentityMerge", "MergedIdentities", "identity_columns"]

# Columns that name a person without a foreign key, in the words of whoever wrote them. Not those of budgets: a limit is
# set for a name, and two that were spent of separately are no longer one limit.
NAMED_IN = ("token_usage.user_id",)
TAKEN_OVER = ("user_id", "discord_id", "email", "phone_number")


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedIdentities:
    """What a merge has done."""

    identity: str
    """The id of the identity that stayed."""
    moved: Mapping[str, int]
    """How many rows refer to it now that referred to the other one, by `table.column`, where there were any."""


def identity_columns() -> list[Column[Any]]:
    """The columns that name a person by the id of an identity, in the order of the tables."""
    keys = metadata.tables["user_identities"].columns["id"]
    referring = [
        foreign_key.parent
        for table in metadata.sorted_tables
        for foreign_key in sorted(table.foreign_keys, key=lambda one: one.parent.name)
        if foreign_key.column is keys
    ]
    named = (name.split(".") for name in NAMED_IN)
    return referring + [metadata.tables[table].columns[column] for table, column in named]


class IdentityMerge:
    """Makes the unit of work: one statement for each column that may refer to an identity, however many rows do."""

    def __init__(self, store: RowStore[UserIdentity]) -> None:
        self._store = store
        self._columns = identity_columns()

    def run(self, executor: Executor, from_id: str, into_id: str) -> MergedIdentities:
        """Move what refers to the first identity to the second, and remove the first.

        Raises:
            NotFoundError: One of them is not there.
            ValidationError: They are the same, or the first is the one that an account cannot be without.
            ConflictError: They belong to two accounts.
        """
        if from_id == into_id:
            message = "an identity cannot be merged into itself"
            raise ValidationError(message, field="into_id", entity=self._store.name)
        # In one order, so that two merges of the same pair do not wait for each other.
        rows = {key: self._store.get(executor, {"id": key}, lock=True) for key in sorted((from_id, into_id))}
        source, target = rows[from_id], rows[into_id]
        if source is None or target is None:
            raise NotFoundError(self._store.name, from_id if source is None else into_id)
        self._check(source, target)
        settle_clashes(executor, from_id, into_id)
        moved = {"memories.user_id": move_memories(executor, from_id, into_id)}
        for one in self._columns:
            name = f"{one.table.name}.{one.name}"
            moved[name] = moved.get(name, 0) + _move(executor, one, from_id, into_id)
        changes = {key: source[key] for key in TAKEN_OVER if target[key] is None and source[key] is not None}
        meta = {**source["meta"], **target["meta"]}
        if meta != target["meta"]:
            changes["meta"] = meta
        self._store.remove(executor, {"id": from_id})
        if changes:
            self._store.validator.derive(changes)
            self._store.change(executor, {"id": into_id}, changes)
        return MergedIdentities(
            identity=into_id, moved=MappingProxyType({name: count for name, count in moved.items() if count})
        )

    def _check(self, source: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        if str(source["user_id"]) == source["id"]:
            message = "the identity with the user's own id stays with the account: merge the other one into it"
            raise ValidationError(message, field="from_id", entity=self._store.name)
        if None not in {source["user_id"], target["user_id"]} and source["user_id"] != target["user_id"]:
            message = "the two identities belong to two users"
            raise ConflictError(message, entity=self._store.name, entity_id=source["id"])


def _move(executor: Executor, column: Column[Any], from_id: str, into_id: str) -> int:
    return executor.execute(update(column.table).where(column == from_id).values({column: into_id})).rowcount
