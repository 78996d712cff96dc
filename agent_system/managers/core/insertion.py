"""`Insertion`: a new row, encoded and ready to be written by a unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.database.executor import Executor
    from agent_system.database.plans import Plan
    from agent_system.managers.core.audit import AuditTrail
    from agent_system.managers.core.store import RowStore

__all__ = ["Insertion"]


class Insertion:
    """Writes one new row with its event, and adds what the database makes to the row's values.

    An object with slots, and not a function within a function: ten thousand of those are a hundred thousand things for
    the garbage collector to follow, which took a quarter of the time of a bulk.
    """

    __slots__ = ("_event", "_late", "_made", "_parameters", "_plan", "_store", "_values")

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
        self._parameters = parameters
        self._values = values
        self._made = made
        self._late = late
        self._event = event

    def __call__(self, executor: Executor) -> None:
        """Write the row; it may be called again when the unit of work runs again."""
        plan, values, made = self._plan, self._values, self._made
        if self._late:
            self._encode_late()
        if not made:
            executor.change(plan, self._parameters)
        elif made == self._store.plans.counted:
            values[made[0]] = executor.insert(plan, self._parameters)
        else:
            values.update(self._store.decode(made, executor.fetch(plan, self._parameters)[0]))
        if self._event is not None:
            trail: AuditTrail | None = self._store.trail
            if trail is not None:
                trail.write(executor, self._event)

    def _encode_late(self) -> None:
        """Take the values that only the unit of work knows."""
        for key in self._late:
            place = self._plan.positions[key]
            process = self._plan.processors[place]
            value = self._values[key]
            self._parameters[place] = value if process is None or value is None else process(value)
