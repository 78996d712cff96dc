"""The things on lists: added, put in order and found inside the unit of work that holds their list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select, update

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.records.completion import date_change, date_new
from agent_system.models import TodoItem
from agent_system.models.naming import name_key
from agent_system.types import TodoStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_system.database.executor import Executor

__all__ = ["TodoItemManager"]

OPEN = (TodoStatus.PENDING, TodoStatus.IN_PROGRESS)


class TodoItemManager(Manager[TodoItem]):
    """The things on lists, as the manager of the lists writes and reads them."""

    entity = TodoItem

    def fill_in(self, values: dict[str, Any]) -> None:
        """Date what is done already."""
        date_new(values, self._clock)

    def check_change(self, executor: Executor, before: dict[str, Any], changes: dict[str, Any]) -> None:
        """Let the moment of completion follow the status."""
        del executor
        date_change(before, changes, self._clock)

    def append(self, executor: Executor, todo_id: int, many: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Write items behind those of a locked list."""
        columns = self.plans.columns
        last = select(func.coalesce(func.max(columns["position"]), 0)).where(columns["todo_id"] == todo_id)
        start = int(executor.execute(last).scalar_one()) + 1
        rows = []
        for position, data in enumerate(many, start):
            values = self.new_values({**data, "todo_id": todo_id, "position": position})
            self.insertion(values)(executor)
            rows.append(values)
        return rows

    def locate(self, executor: Executor, todo_id: int, item: int | str) -> dict[str, Any]:
        """Find an item of a locked list by its place, from 1, or by its text.

        A text means the item that has it, in any spelling, else the only one that contains it; open ones come first.

        Raises:
            NotFoundError: There is none.
            ValidationError: Several contain the text.
        """
        if isinstance(item, int):
            statement = self._in_order(todo_id).limit(1).offset(item - 1)
            found = executor.execute(statement).mappings().first() if item >= 1 else None
            if found is None:
                raise NotFoundError(self.store.name, (todo_id, item))
            return self._attributes(found)
        wanted = name_key(item)
        rows = [self._attributes(row) for row in executor.execute(self._in_order(todo_id)).mappings()]
        same = [row for row in rows if name_key(row["content"]) == wanted]
        if same:
            return _open_first(same)[0]
        part = _open_first([row for row in rows if wanted and wanted in name_key(row["content"])])
        if len(part) > 1:
            message = f"{len(part)} items contain {item!r}: say which"
            raise ValidationError(message, field="item", entity=self.store.name)
        if not part:
            raise NotFoundError(self.store.name, (todo_id, item))
        return part[0]

    def arrange(self, executor: Executor, todo_id: int, ids: Sequence[int]) -> None:
        """Put the items of a locked list in an order; those that are not named come behind, as they were.

        Raises:
            ValidationError: One is named twice, or is not on the list.
        """
        columns = self.plans.columns
        present = executor.execute(
            select(columns["id"]).where(columns["todo_id"] == todo_id).order_by(columns["position"], columns["id"])
        )
        old = list(present.scalars())
        if len(set(ids)) != len(ids) or not set(ids) <= set(old):
            message = "the order names an item twice, or one that is not on the list"
            raise ValidationError(message, field="order", entity=self.store.name)
        order = [*ids, *(each for each in old if each not in set(ids))]
        places = {each: place for place, each in enumerate(order, 1)}
        if places:
            statement = update(self.plans.table).where(columns["todo_id"] == todo_id)
            values = {"position": case(places, value=columns["id"]), "updated_at": self._clock()}
            executor.execute(statement.values(values))

    async def of(self, todo_id: int) -> list[TodoItem]:
        """Return the items of a list, in order."""
        return await self.select(self._in_order(todo_id))

    def _in_order(self, todo_id: int) -> Any:
        columns = self.plans.columns
        return self.query({"todo_id": todo_id}).order_by(columns["position"], columns["id"])

    def _attributes(self, row: Any) -> dict[str, Any]:
        return dict(zip(self.plans.hydrate.keys, row.values(), strict=True))


def _open_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The open ones of the rows; all, when none is open."""
    return [row for row in rows if row["status"] in OPEN] or rows
