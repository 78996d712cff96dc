"""`Target`: one of our tables, written as its manager writes it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from agent_system.importers.legacy.lookups import Lookups
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
        self.lookups = Lookups(self.columns, plans.dialect)
        self.has_metadata = "meta" in plans.columns

    @cached_property
    def validator(self) -> RowValidator[Any]:
        """What checks and completes rows."""
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
        values = self.validator.create_values(data)
        self.manager.normalise(values)
        self.manager.fill_in(values)
        return values

    @cached_property
    def is_alike(self) -> bool:
        """Whether nothing goes with a row, so that many can be written by one plan."""
        manager = type(self.manager)
        return manager.insertion is Manager.insertion and not issubclass(manager, MessageManager)

    def complete_columns(self, data: Mapping[str, Sequence[Any]], count: int) -> dict[str, Sequence[Any]]:
        """Check the columns of many new rows and complete them, as `complete` does with each.

        Raises:
            ValidationError: They were refused.
        """
        manager = type(self.manager)
        if manager.normalise is Manager.normalise and manager.fill_in is Manager.fill_in:
            return self.validator.create_columns(data, count, without=self._dated)
        rows = self.complete_rows(data, count)
        return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}

    def complete_rows(self, data: Mapping[str, Sequence[Any]], count: int) -> list[dict[str, Any]]:
        """Check the columns of many new rows, and complete them as `complete` does with each.

        Raises:
            ValidationError: They were refused.
        """
        columns = self.validator.create_columns(data, count)
        names = list(columns)
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        for row in rows:
            self.manager.normalise(row)
            self.manager.fill_in(row)
        return rows

    def encode_columns(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
        """Encode those of the columns that the database would not fill in the same way itself."""
        return {key: self.encode(key, columns[key]) for key in self._written if self._is_needed(key, columns[key])}

    def encode(self, key: str, values: Sequence[Any]) -> Sequence[Any]:
        """Encode the values of a column for the driver."""
        process = self._processors[key]
        if process is None:
            return values
        if self.columns[key].foreign_keys:
            # Most rows refer to few others.
            known = {value: None if value is None else process(value) for value in set(values)}
            return [known[value] for value in values]
        return [value if value is None else process(value) for value in values]

    @cached_property
    def _processors(self) -> dict[str, Any]:
        plan = self.manager.plans.insert(self._written)
        return dict(zip(plan.parameters, plan.processors, strict=True))

    def write_columns(self, executor: Executor, cells: Mapping[str, Sequence[Any]]) -> Sequence[Any] | None:
        """Write encoded columns; returns the keys that the database counted, None when it counts none."""
        plans, keys = self.manager.plans, list(cells)
        plan = plans.insert_counted(keys) if self.is_counted else plans.insert(keys)
        parameters = list(zip(*(cells[key] for key in plan.parameters), strict=True))
        if self.is_counted:
            return executor.insert_many(plan, parameters)
        executor.change_many(plan, parameters)
        return None

    def write(self, executor: Executor, rows: Sequence[dict[str, Any]]) -> None:
        """Write complete rows in order; keys that the database counts are added to them."""
        manager = self.manager
        if not rows:
            return
        if isinstance(manager, MessageManager):
            manager.insertions(rows)(executor)
        elif self.is_alike:
            self._write_alike(executor, rows)
        else:
            write_all(executor, [manager.insertion(values, audit=False) for values in rows])

    def _write_alike(self, executor: Executor, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows that nothing goes with by one plan, without the columns that hold their default in all of them.

        Each row by itself would have a plan of its own columns, and rows of different plans cannot travel together.
        """
        numbers = self.write_columns(
            executor, self.encode_columns({key: [row[key] for row in rows] for key in self._written})
        )
        if numbers is not None:
            for row, number in zip(rows, numbers, strict=True):
                row[self.key] = number

    def _is_needed(self, key: str, values: Sequence[Any]) -> bool:
        """Whether a column holds anything but what the database would put there itself."""
        if key in self._defaults:
            default = self._defaults[key]
            return values[0] is not default or values.count(default) < len(values)
        return key not in self._empty or any(values) or None in values

    @cached_property
    def _written(self) -> list[str]:
        """The columns that are not the database's own, nor moments of now that nobody has given."""
        plans = self.manager.plans
        left_out = {*plans.computed, *plans.counted, *self._dated}
        return [key for key in plans.columns if key not in left_out]

    @cached_property
    def _dated(self) -> frozenset[str]:
        """The moments that nobody has given."""
        return frozenset({"created_at", "updated_at"} - self._given)

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
            for key, value in self.validator.constants.items()
            if (value is None) == (self.columns[key].server_default is None)
            and (value is not None or self.columns[key].nullable)
        }
