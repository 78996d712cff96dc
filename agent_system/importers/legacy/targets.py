"""`Target`: one of our tables, written as its manager writes it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agent_system.managers.conversations.messages import MessageManager
from agent_system.managers.core.base import Manager
from agent_system.managers.core.insertion import write_all
from agent_system.managers.core.validation import RowValidator

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

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
        given: The columns that are given; None is any of them.
    """

    def __init__(self, em: EntityManager, table: str | type[Any], given: Collection[str] | None = None) -> None:
        self.manager: Manager[Any] = getattr(em, table) if isinstance(table, str) else _Plain(em, table)
        self.entity = self.manager.entity
        plans = self.manager.plans
        self.table = plans.table
        self.name: str = plans.table.name
        self.columns: Mapping[str, Column[Any]] = plans.columns
        self.key: str = plans.primary_key[0]
        self.is_counted = bool(plans.counted)
        self._given = frozenset(self.columns if given is None else given)
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
        plans = self.manager.plans
        keys = [key for key in self._written if self._is_needed(key, rows)]
        plan = plans.insert_counted(keys) if self.is_counted else plans.insert(keys)
        # Column by column: a loop over the cells of each row takes twice as long.
        cells = []
        for key, process in zip(plan.parameters, plan.processors, strict=True):
            values = [row[key] for row in rows]
            if process is not None:
                values = [value if value is None else process(value) for value in values]
            cells.append(values)
        parameters = list(zip(*cells, strict=True))
        if not self.is_counted:
            executor.change_many(plan, parameters)
            return
        for row, number in zip(rows, executor.insert_many(plan, parameters), strict=True):
            row[self.key] = number

    def _is_needed(self, key: str, rows: Sequence[dict[str, Any]]) -> bool:
        """Whether a column holds anything but what the database would put there itself."""
        if key in self._defaults:
            default = self._defaults[key]
            return any(row[key] is not default for row in rows)
        return key not in self._empty or any(row[key] or row[key] is None for row in rows)

    @cached_property
    def _written(self) -> list[str]:
        """The columns that are not the database's own, nor moments of now that nobody has given."""
        plans = self.manager.plans
        dated = {"created_at", "updated_at"} - self._given
        return [key for key in plans.columns if key not in plans.computed and key not in {*plans.counted, *dated}]

    @cached_property
    def _empty(self) -> frozenset[str]:
        """The columns that are an empty object or list for the database, too."""
        defaults = {key: getattr(column.server_default, "arg", None) for key, column in self.columns.items()}
        return frozenset(key for key, default in defaults.items() if str(default) in {"{}", "[]"})

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        """The defaults that the database has, too."""
        return {
            key: value
            for key, value in self._validator.constants.items()
            if (value is None) == (self.columns[key].server_default is None)
            and (value is not None or self.columns[key].nullable)
        }
