"""Merge patches (RFC 7396) of JSON columns, applied by the database to what is there when they arrive.

Nobody reads a document, changes it and writes it back, so that two writers of one document both survive. Where a table
has a check of its own, which has to see the whole new value, the merge is done here instead, while the row is locked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.core.json_edits import merged
from agent_system.managers.core.where import attribute
from agent_system.models.columns import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.managers.core.store import Check, RowStore

__all__ = ["PatchWork", "patched_column"]

# The function on PostgreSQL calls itself for every level of a patch, on a stack of 2 MB.
DEEPEST = 64


def patched_column(store: RowStore[Any], column: str, patch: Any) -> str:
    """The attribute that a patch is for.

    Raises:
        ValidationError: There is no such column, it holds no JSON, or the patch is no object.
    """
    name = attribute(store.plans, column)
    if not isinstance(store.plans.columns[name].type, Json):
        message = f"{store.name}.{name} holds no JSON that could be patched"
        raise ValidationError(message, field=name, entity=store.name)
    if not isinstance(patch, dict):
        message = f"{store.name}.{name}: a merge patch is a JSON object, not {type(patch).__name__}"
        raise ValidationError(message, field=name, entity=store.name)
    return name


@dataclass(frozen=True, slots=True)
class PatchWork:
    """The unit of work that applies a patch to one column of one row and returns the row.

    Raises:
        NotFoundError: There is no such row; nothing was changed.
        ConflictError: It is at another version; nothing was changed.
        ValidationError: The column holds something else than an object; nothing was changed.
    """

    store: RowStore[Any]
    key: Mapping[str, Any]
    """The primary key."""
    values: Mapping[str, dict[str, Any]]
    """The column and the patch, checked and normalised."""
    clock: Callable[[], datetime]
    expected_version: int | None = None
    check: Check | None = None
    """As for `RowStore.change`; it sees the whole new value, so the merge is done here."""

    def __call__(self, executor: Executor) -> dict[str, Any]:
        """Apply it."""
        store, key = self.store, self.key
        ((column, patch),) = self.values.items()
        if self.check is None and _depth(patch) <= DEEPEST:
            after = self._in_database(executor, column, patch)
            if after is not None:
                return after
        before = store.get(executor, key, lock=True)
        if before is None:
            raise NotFoundError(store.name, next(iter(key.values())))
        changes = {column: merged(before, column, patch)}
        return store.change(executor, key, changes, expected_version=self.expected_version, check=self.check)

    def _in_database(self, executor: Executor, column: str, patch: dict[str, Any]) -> dict[str, Any] | None:
        """Apply it by one statement; None when no row was there to be changed by it."""
        store, key = self.store, self.key
        before: dict[str, Any] | None = None
        if store.trail is not None or store.is_dated:
            before = store.get(executor, key, lock=True)
            if before is None:
                return None
        changes: dict[str, Any] = {column: patch}
        if "updated_at" in store.plans.columns:
            changes["updated_at"] = self.clock() if before is None else store.moment_after(before)
        plan = store.plans.update(
            tuple(changes),
            raises_version=store.counts_changes,
            expects_version=self.expected_version is not None,
            patched=column,
        )
        named = {f"set_{name}": value for name, value in changes.items()} | dict(key)
        rows = executor.fetch(plan, store.encode(plan, named | {"version": self.expected_version}))
        if not rows:
            return None
        after = store.plans.hydrate.decode(rows[0])
        if store.is_triggered:
            after = store.get(executor, key) or after
        if before is not None:
            store.write_event(executor, "updated", key, before, after, (column,))
        return after


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= DEEPEST:
        level = [item for part in level if isinstance(part, dict) for item in part.values()]
        deepest += 1
    return deepest
