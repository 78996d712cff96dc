"""`Update`: checked changes of one row, ready to be written by a unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_system.database.executor import Executor
    from agent_system.managers.core.store import Check, RowStore

__all__ = ["Update"]


class Update:
    """Changes one row of a table; done with others, all their events are one statement.

    Args:
        changes: Checked values.
        expected_version: Change only a row at this version.
        check: As for `RowStore.change`.
    """

    __slots__ = ("_changes", "_check", "_expected_version", "_key", "_row", "_store", "error")

    def __init__(
        self,
        store: RowStore[Any],
        key: Mapping[str, Any],
        changes: Mapping[str, Any],
        expected_version: int | None,
        check: Check | None,
    ) -> None:
        self._store = store
        self._key = key
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
            executor, self._key, self._changes, expected_version=self._expected_version, check=self._check
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

    def do_with(self, executor: Executor, others: Sequence[Update]) -> None:
        """Change the row and then those of others; where there is nothing to change, only that caller is told."""
        events: list[Sequence[Any]] = []
        for each in (self, *others):
            each.error = None
            try:
                events += each.change_untold(executor)
            except (NotFoundError, ConflictError) as exc:
                # Both are raised before anything is changed.
                each.error = exc
        if events and self._store.trail is not None:
            self._store.trail.write_many(executor, events)

    def change_untold(self, executor: Executor) -> list[Sequence[Any]]:
        """Change the row, and return its event instead of writing it."""
        self._row, event = self._store.change_untold(executor, self._key, self._changes, self._expected_version)
        return [] if event is None else [event]
