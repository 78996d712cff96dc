"""`Insertion`: a new row, encoded and ready to be written by a unit of work."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from agent_system.database.groups import kind_of
from agent_system.database.half_statements import require_all
from agent_system.database.many_rows import is_one_part
from agent_system.database.pairs import are_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.managers.core.audit import AuditTrail
    from agent_system.managers.core.store import RowStore

__all__ = ["Insertion", "write_all"]


class Insertion:
    """Writes one new row with its event, and adds what the database makes to the row's values.

    An object with slots, and not a function within a function: ten thousand of those are a hundred thousand things for
    the garbage collector to follow, which took a quarter of the time of a bulk.
    """

    __slots__ = ("_late", "_plan", "_store", "event", "made", "parameters", "values")

    def __init__(
        self,
        store: RowStore[Any],
        plan: Plan,
        parameters: list[Any],
        values: dict[str, Any],
        made: tuple[str, ...],
        late: tuple[str, ...],
        event: Sequence[Any] | None,
    ) -> None:
        self._store = store
        self._plan = plan
        self.parameters = parameters
        self.values = values
        self.made = made
        self._late = late
        self.event = event

    def __call__(self, executor: Executor) -> None:
        """Write the row; it may be called again when the unit of work runs again."""
        plan, values, made = self._plan, self.values, self.made
        if self._late:
            self.encode_late()
        if not made:
            require_all(plan, executor.change(plan, self.parameters), 1)
        elif made == self._store.plans.counted:
            values[made[0]] = executor.insert(plan, self.parameters)
        else:
            rows = executor.fetch(plan, self.parameters)
            require_all(plan, len(rows), 1)
            values.update(self._store.decode(made, rows[0]))
        if self.event is not None:
            trail: AuditTrail | None = self._store.trail
            if trail is not None:
                trail.write(executor, self.event)

    def do_unless_there(self, executor: Executor) -> bool:
        """Write the row unless one with a unique value of it is there; returns whether it was written.

        For a table whose key the database counts and that has no audit trail.
        """
        key = executor.insert_unless_there(self._store.plans.unless_there(self._plan), self.parameters)
        if key is not None:
            self.values[self.made[0]] = key
        return key is not None

    def is_one_statement(self, count: int) -> bool:
        """Whether so many of its kind are."""
        if self.event is None:
            return is_one_part(count)
        return not self.made and are_pairs(count)

    def written_size(self) -> int:
        """How many bytes and characters it writes, with its event."""
        written = self.parameters if self.event is None else [*self.parameters, *self.event]
        return sum([len(value) for value in written if isinstance(value, (str, bytes))])

    def encode_late(self) -> None:
        """Take the values that only the unit of work knows."""
        for key in self._late:
            self._plan.put(self.parameters, key, self.values[key])

    def encoded(self, key: str) -> Any:
        """What is written to a column, as the driver gets it; None also where the column keeps its default."""
        place = self._plan.positions.get(key)
        return None if place is None else self.parameters[place]

    def kind(self, *, is_complete: bool = False) -> object | None:
        """What it has in common with those that can be written with it; None when it is written by itself.

        Args:
            is_complete: Whether what only the unit of work knows is among the values by now.
        """
        is_told = not self.made or self.made == self._store.plans.counted
        return (self._plan, self.event is None) if is_told and (is_complete or not self._late) else None

    def do_with(self, executor: Executor, others: Sequence[Insertion]) -> None:
        """Write the row, and after it others of its kind, as few statements."""
        together = (self, *others)
        if self._late:
            for each in together:
                each.encode_late()
        rows = [each.parameters for each in together]
        keys: Sequence[int] = ()
        events = [each.event for each in together if each.event is not None]
        trail: AuditTrail | None = self._store.trail if events else None
        if trail is not None and not self.made:
            trail.write_with(executor, events, self._plan, rows)
            return
        if self.made:
            keys = executor.insert_many(self._plan, rows)
        else:
            executor.change_many(self._plan, rows)
        if trail is not None:
            trail.write_many(executor, events)
        for insertion, key in zip(together, keys, strict=False):
            insertion.values[insertion.made[0]] = key


def write_all(executor: Executor, inserts: Iterable[Callable[[Executor], None]], *, are_complete: bool = False) -> None:
    """Write new rows in order; those that are alike travel together.

    Args:
        are_complete: Whether what only the unit of work knows is among their values by now.
    """

    def kind(insert: Any) -> object | None:
        return insert.kind(is_complete=are_complete) if isinstance(insert, Insertion) else kind_of(insert)

    for alike, group in groupby(inserts, key=kind):
        if alike is None:
            for insert in group:
                insert(executor)
        else:
            first, *others = group
            companion: Any = first
            companion.do_with(executor, others)
