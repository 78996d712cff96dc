"""`Target`: one of our tables, written as its manager writes it."""

from __future__ import annotations

from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agent_system.managers.conversations.messages import MessageManager
from agent_system.managers.core.base import Manager
from agent_system.managers.core.insertion import write_all
from agent_system.managers.core.validation import RowValidator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Column

    from agent_system.database.executor import Executor
    from agent_system.entity_manager import EntityManager

__all__ = ["Target"]


class _Plain(Manager[Any]):
    """The manager of a table that the facade has none for."""

    def __init__(self, em: EntityManager, entity: type[Any]) -> None:
        super().__init__(em.db)
        self.entity = entity


class Target:
    """Writes rows into one of our tables.

    Args:
        em: The facade.
        table: The facade's attribute, or the class of the table.
    """

    def __init__(self, em: EntityManager, table: str | type[Any]) -> None:
        self.manager: Manager[Any] = getattr(em, table) if isinstance(table, str) else _Plain(em, table)
        self.entity = self.manager.entity
        plans = self.manager.plans
        self.table = plans.table
        self.name: str = plans.table.name
        self.columns: Mapping[str, Column[Any]] = plans.columns
        self.key: str = plans.primary_key[0]
        self.is_counted = bool(plans.counted)
        self.has_metadata = "meta" in plans.columns

    @cached_property
    def _validator(self) -> RowValidator[Any]:
        # Without the columns that managers keep for themselves: an importer brings what they were.
        return RowValidator(self.manager.plans)

    @cached_property
    def own_key(self) -> bool:
        """Whether the key of a new row is a UUID that we make."""
        column = self.columns[self.key]
        return not self.is_counted and not column.foreign_keys and column.type.python_type is UUID

    def any_key(self, name: str) -> Any:
        """A value of the type of a column that refers to another table."""
        kind = self.columns[name].type.python_type
        return UUID(int=0) if kind is UUID else kind()

    def complete(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Check the data of a new row and complete them, as the manager does.

        Raises:
            ValidationError: They were refused.
        """
        values = self._validator.create_values(data)
        self.manager.normalise(values)
        self.manager.fill_in(values)
        return values

    def write(self, executor: Executor, rows: Sequence[dict[str, Any]]) -> None:
        """Write complete rows in order; keys that the database counts are added to them."""
        manager = self.manager
        if not rows:
            return
        if isinstance(manager, MessageManager):
            manager.insertions(rows)(executor)
        elif type(manager).insertion is Manager.insertion:
            self._write_alike(executor, rows)
        else:
            write_all(executor, [manager.insertion(values, audit=False) for values in rows])

    def _write_alike(self, executor: Executor, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows that nothing goes with by one plan, without the columns that hold their default in all of them.

        Each row by itself would have a plan of its own columns, and rows of different plans cannot travel together.
        """
        plans, defaults = self.manager.plans, self._defaults
        keys = [
            key for key in self._written if key not in defaults or any(row[key] is not defaults[key] for row in rows)
        ]
        plan = plans.insert_counted(keys) if self.is_counted else plans.insert(keys)
        values_of, processors = itemgetter(*plan.parameters), plan.processors
        parameters = [
            tuple(
                value if process is None or value is None else process(value)
                for value, process in zip(values_of(row), processors, strict=True)
            )
            for row in rows
        ]
        if not self.is_counted:
            executor.change_many(plan, parameters)
            return
        for row, key in zip(rows, executor.insert_many(plan, parameters), strict=True):
            row[self.key] = key

    @cached_property
    def _written(self) -> list[str]:
        """The columns that are not the database's own."""
        plans = self.manager.plans
        return [key for key in plans.columns if key not in plans.computed and key not in plans.counted]

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        """The defaults that the database has, too."""
        return {
            key: value
            for key, value in self._validator.constants.items()
            if (value is None) == (self.columns[key].server_default is None)
            and (value is not None or self.columns[key].nullable)
        }
