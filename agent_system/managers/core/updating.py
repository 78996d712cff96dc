"""`Update`: checked changes of one row, ready to be written by a unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.errors import ConflictError, NotFoundError
from agent_system.managers.core.differences import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.managers.core.store import Check, RowStore

__all__ = ["Update"]


class Update:
    """Changes one row of a table; done with others, all are read by one statement, and all their events are one.

    That takes 60 µs a row of the writer's time, where reading and changing each by itself takes 90 (agents, groups of
    64, SQLite 3.40.1).

    Args:
        changes: Checked values.
        expected_version: Change only a row at this version.
        check: As for `RowStore.change`.
    """

    __slots__ = ("_changes", "_check", "_expected_version", "_row", "_store", "error", "key")

    def __init__(
        self,
        store: RowStore[Any],
        key: Mapping[str, Any],
        changes: Mapping[str, Any],
        expected_version: int | None,
        check: Check | None,
    ) -> None:
        self._store = store
        self.key = key
        self._changes = changes
        self._expected_version = expected_version
        self._check = check
        self._row: dict[str, Any] = {}
        self.error: Exception | None = None
        """Why it was refused; None when it was not."""

    def __call__(self, executor: Executor) -> dict[str, Any]:
        """Change the row and return it; it may be called again when the unit of work runs again.

        Raises:
            NotFoundError: There is no such row; nothing was changed.
            ConflictError: It is at another version; nothing was changed.
        """
        self.error = None
        self._row = self._store.change(
            executor, self.key, self._changes, expected_version=self._expected_version, check=self._check
        )
        return self._row

    @property
    def row(self) -> dict[str, Any]:
        """The row as attribute values, once the unit of work is done.

        Raises:
            NotFoundError: There is no such row; nothing was changed.
            ConflictError: It is at another version; nothing was changed.
        """
        if self.error is not None:
            raise self.error
        return self._row

    def kind(self) -> object | None:
        """Those of one table go together; what a check does besides is nobody else's."""
        return self._store if self._check is None and self._store.only_tells else None

    def written_size(self) -> int | None:
        """How many bytes and characters it writes; None when it does more than that, or when nobody knows."""
        changes = self._changes.values()
        # What is in a list may be anything; it is looked at when it is encoded.
        if self.kind() is None or any(isinstance(value, (list, dict)) for value in changes):
            return None
        return sum([len(value) for value in changes if isinstance(value, (str, bytes))])

    def do_with(self, executor: Executor, others: Sequence[Update]) -> None:
        """Change the row and then those of others; where there is nothing to change, only that caller is told."""
        together = (self, *others)
        for each in together:
            each.error = None
        events = _change_at_once(executor, self._store, together) if _are_known(self._store, together) else None
        if events is None:
            events = [event for each in together for event in each.try_change(executor)]
        if events and self._store.trail is not None:
            self._store.trail.write_many(executor, events)

    def try_change(self, executor: Executor) -> list[Sequence[Any]]:
        """Change the row if there is one of the version, and return its event instead of writing it."""
        try:
            self._row, event = self._store.change_untold(executor, self.key, self._changes, self._expected_version)
        except (NotFoundError, ConflictError) as exc:
            # Both are raised before anything is changed.
            self.error = exc
            return []
        return [] if event is None else [event]

    def prepare(self, before: dict[str, Any] | None) -> tuple[Plan, Sequence[Any], Sequence[Any] | None] | None:
        """What changes the row as it is, and the event; None when it is missing or of another version."""
        store, key, changes = self._store, self.key, dict(self._changes)
        try:
            before = store.require(before, key, self._expected_version)
        except (NotFoundError, ConflictError) as exc:
            self.error = exc
            return None
        plan, parameters, self._row = store.prepare_change(key, changes, before)
        return plan, parameters, store.event("updated", key, before, self._row, changes)


def _are_known(store: RowStore[Any], updates: Sequence[Update]) -> bool:
    """Whether what each row is afterwards follows from what it was before all of them."""
    if store.plans.computed or store.is_triggered or store.is_dated or len(store.plans.primary_key) != 1:
        return False
    return len({shown(each.key) for each in updates}) == len(updates)


def _change_at_once(executor: Executor, store: RowStore[Any], updates: Sequence[Update]) -> list[Sequence[Any]]:
    """Read all rows by one statement and change those of the same columns by one call; returns the events."""
    ids = [shown(each.key) for each in updates]
    # Of few lengths, because a connection keeps a statement for each; a row is found once.
    plan = store.plans.get_several(1 << (len(ids) - 1).bit_length())
    padded = ids + ids[-1:] * (len(plan.parameters) - len(ids))
    found = executor.fetch(plan, plan.encode(dict(zip(plan.parameters, padded, strict=True))))
    (name,) = store.plans.primary_key
    rows = {row[name]: row for row in map(store.plans.hydrate.decode, found)}
    changes: dict[str, tuple[Plan, list[Sequence[Any]]]] = {}
    events: list[Sequence[Any]] = []
    for each, id_ in zip(updates, ids, strict=True):
        prepared = each.prepare(rows.get(id_))
        if prepared is not None:
            plan, parameters, event = prepared
            changes.setdefault(plan.sql, (plan, []))[1].append(parameters)
            events += [] if event is None else [event]
    for plan, many in changes.values():
        executor.change_each(plan, many)
    return events
