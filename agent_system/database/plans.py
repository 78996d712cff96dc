"""Statements compiled once: the SQL text, the order of its parameters, and how values go in and come out.

SQLAlchemy compiles; what is saved is doing so (and walking through its execution contexts) at every call. `TablePlans`
knows nothing of any table: it reads columns, types and keys off the mapped class that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import bindparam, delete, insert, literal_column, select, update
from sqlalchemy.orm import class_mapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Column, Dialect
    from sqlalchemy.sql import ClauseElement

__all__ = ["Hydrator", "Plan", "TablePlans", "compile_plan"]

Row = TypeVar("Row")
Processor = "Callable[[Any], Any] | None"


@dataclass(frozen=True, slots=True)
class Plan:
    """One compiled statement."""

    sql: str
    parameters: tuple[str, ...]
    processors: tuple[Callable[[Any], Any] | None, ...]

    def encode(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Order and encode named values for the driver."""
        return tuple(
            value if processor is None else processor(value)
            for value, processor in zip(map(values.__getitem__, self.parameters), self.processors, strict=True)
        )


def bind_processor(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """How a value of this column is written for the driver; None when as it is."""
    return column.type.dialect_impl(dialect).bind_processor(dialect)


def result_processor(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """How a value of this column is read from the driver; None when as it is."""
    return column.type.dialect_impl(dialect).result_processor(dialect, None)


def compile_plan(statement: ClauseElement, dialect: Dialect) -> Plan:
    """Compile a statement whose parameters are all named `bindparam`s.

    A literal value in the statement would be frozen into the plan without a name of the caller's, so it is refused.
    """
    compiled: Any = statement.compile(dialect=dialect)
    names = tuple(compiled.positiontup or ())
    anonymous = [name for name in names if compiled.binds[name].value is not None]
    if anonymous:
        message = f"a plan must not contain literal values: {anonymous}"
        raise ValueError(message)
    processors = tuple(compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names)
    return Plan(sql=str(compiled), parameters=names, processors=processors)


class Hydrator(Generic[Row]):
    """Turns driver rows (all columns, in table order) into detached instances, as `AsyncSession` would leave them."""

    def __init__(self, entity: type[Row], dialect: Dialect) -> None:
        mapper: Any = class_mapper(entity)
        table: Any = mapper.local_table
        self._identity_class = mapper.class_
        self._new_instance = mapper.class_manager.new_instance
        self._dispatch = mapper.class_manager.dispatch
        self._keys = tuple(mapper.get_property_by_column(column).key for column in table.columns)
        processors = {
            key: result_processor(column, dialect) for key, column in zip(self._keys, table.columns, strict=True)
        }
        self._by_key = {key: processor for key, processor in processors.items() if processor is not None}
        self._processors = tuple(self._by_key.items())
        self._primary = tuple(mapper.get_property_by_column(column).key for column in table.primary_key.columns)

    @property
    def keys(self) -> tuple[str, ...]:
        """Attribute names in the order of the table's columns."""
        return self._keys

    def processor(self, key: str) -> Callable[[Any], Any] | None:
        """How a value of this attribute is read from the driver; None when as it is."""
        return self._by_key.get(key)

    def decode(self, row: Sequence[Any]) -> dict[str, Any]:
        """Turn one driver row into attribute values."""
        values = dict(zip(self._keys, row, strict=True))
        for key, process in self._processors:
            value = values[key]
            if value is not None:
                values[key] = process(value)
        return values

    def build(self, values: dict[str, Any]) -> Row:
        """Make a detached instance of decoded attribute values."""
        instance = self._new_instance()
        instance.__dict__.update(values)
        state = instance._sa_instance_state  # noqa: SLF001 (guarded by tests/unit/test_private_api.py)
        state.key = (self._identity_class, tuple(values[key] for key in self._primary), None)
        if self._dispatch.load:
            self._dispatch.load(state, None)
        return instance  # type: ignore[no-any-return]

    def __call__(self, row: Sequence[Any]) -> Row:
        """Turn one driver row into an instance."""
        return self.build(self.decode(row))

    def all(self, rows: Iterable[Sequence[Any]]) -> list[Row]:
        """Turn many driver rows into instances."""
        build, decode = self.build, self.decode
        return [build(decode(row)) for row in rows]


class TablePlans(Generic[Row]):
    """The plans of the common verbs for one mapped class on one dialect, each compiled when first needed."""

    def __init__(self, entity: type[Row], dialect: Dialect) -> None:
        self.entity = entity
        self.dialect = dialect
        self.mapper: Any = class_mapper(entity)
        self.table: Any = self.mapper.local_table
        self.hydrate = Hydrator(entity, dialect)
        table_columns: Any = self.table.columns
        self.columns: dict[str, Column[Any]] = dict(zip(self.hydrate.keys, table_columns, strict=True))
        self.attributes = {column.key: key for key, column in self.columns.items()}
        self.primary_key: tuple[str, ...] = tuple(self.attributes[column.key] for column in self.table.primary_key)
        self.computed = frozenset(key for key, column in self.columns.items() if column.computed is not None)
        self._plans: dict[Any, Plan] = {}

    def _plan(self, key: Any, build: Callable[[], ClauseElement]) -> Plan:
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = compile_plan(build(), self.dialect)
        return plan

    def _bind(self, key: str, prefix: str = "") -> Any:
        return bindparam(prefix + key, type_=self.columns[key].type)

    def _is_key(self, *, prefix: str = "") -> Any:
        conditions = [self.columns[key] == self._bind(key, prefix) for key in self.primary_key]
        combined = conditions[0]
        for condition in conditions[1:]:
            combined = combined & condition
        return combined

    def get(self) -> Plan:
        """Select one row by its primary key."""
        return self._plan("get", lambda: select(*self.table.columns).where(self._is_key()))

    def insert(self, keys: Sequence[str], returning: Sequence[str] = ()) -> Plan:
        """Insert these attributes and return those that only the database knows."""

        def build() -> Any:
            statement = insert(self.table).values({self.columns[key].name: self._bind(key) for key in keys})
            if not returning:
                return statement.inline()
            return statement.returning(*(self.columns[key] for key in returning))

        return self._plan(("insert", tuple(keys), tuple(returning)), build)

    def insert_counted(self, keys: Sequence[str]) -> Plan:
        """Insert these attributes into a table whose key the database counts; for `Executor.insert`."""
        # Declared on the default dialect only, which every real one inherits from.
        dialect: Any = self.dialect
        returning = () if dialect.postfetch_lastrowid else self.primary_key
        return self.insert(keys, returning)

    def get_for_update(self) -> Plan:
        """Select one row by its primary key and keep others from changing it; SQLite's writer is alone anyway."""
        return self._plan("get for update", lambda: select(*self.table.columns).where(self._is_key()).with_for_update())

    def update(self, keys: Sequence[str], *, raises_version: bool, expects_version: bool) -> Plan:
        """Set these attributes (parameters `set_<key>`) of the row with this primary key and return it whole.

        Args:
            raises_version: `version` rises by one.
            expects_version: Only if the row is at the parameter `version`.
        """

        def build() -> Any:
            values = {self.columns[key].name: self._bind(key, "set_") for key in keys}
            statement = update(self.table).where(self._is_key())
            if raises_version:
                values["version"] = self.columns["version"] + literal_column("1")
            if expects_version:
                statement = statement.where(self.columns["version"] == self._bind("version"))
            return statement.values(values).returning(*self.table.columns)

        return self._plan(("update", tuple(keys), raises_version, expects_version), build)

    def delete(self) -> Plan:
        """Delete the row with this primary key."""
        return self._plan("delete", lambda: delete(self.table).where(self._is_key()))
