"""Statements compiled once: the SQL text, the order of its parameters, and how values go in and come out.

SQLAlchemy compiles; what is saved is doing so (and walking through its execution contexts) at every call. `TablePlans`
knows nothing of any table: it reads columns, types and keys off the mapped class that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import Delete, Integer, bindparam, column, delete, insert, literal_column, select, table, update
from sqlalchemy.orm import class_mapper
from sqlalchemy.sql.dml import UpdateBase

from agent_system.database.dialects.expressions import json_is_object, json_merge_patch
from agent_system.database.hydration import Hydrator
from agent_system.database.statements import UnlessThere

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, Dialect
    from sqlalchemy.sql import ClauseElement

__all__ = ["Plan", "TablePlans", "compile_plan", "shared_plans"]

Row = TypeVar("Row")

# Callers with ever different filters shall not fill the memory.
MOST_PLANS = 1_000


@dataclass(frozen=True)
class Plan:
    """One compiled statement."""

    sql: str
    parameters: tuple[str, ...]
    processors: tuple[Callable[[Any], Any] | None, ...]
    constants: Mapping[str, Any]
    """Values that are part of the statement itself, by the name of their parameter."""
    writes: str | None = None
    """The table whose rows it changes; None when it only reads."""
    deletes: bool = False
    """Whether it removes rows, so that foreign keys act."""
    adds_rows: bool = False
    """Whether it only adds rows, so that rows that are there stay as they are."""
    is_plain_insert: bool = False
    """Whether it is an INSERT of one row that ends with its values, so that many rows can travel in one statement."""
    key_position: int | None = None
    """Which parameter is the primary key of the only row that it changes or looks up; None: not one row by its key."""
    hot: str | None = None
    """The table of the hot cache that it looks a row up in; None when it is not for the cache."""
    statement: ClauseElement | None = field(default=None, repr=False, compare=False)
    """What it was compiled from, so that it can be bound to a scope."""

    @cached_property
    def positions(self) -> dict[str, int]:
        """Where each parameter stands."""
        return {name: position for position, name in enumerate(self.parameters)}

    @cached_property
    def _processed(self) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
        """The parameters that are not stored as they are: a third of the time of a look at each of them."""
        return tuple((position, process) for position, process in enumerate(self.processors) if process is not None)

    def put(self, parameters: list[Any], name: str, value: Any) -> None:
        """Encode one value into its place among parameters that are encoded already."""
        position = self.positions[name]
        process = self.processors[position]
        parameters[position] = value if process is None or value is None else process(value)

    def name_bad_value(self, values: Mapping[str, Any]) -> tuple[str, Exception] | None:
        """The attribute whose value cannot be encoded, and why."""
        for name, process in zip(self.parameters, self.processors, strict=True):
            try:
                if process is not None and values.get(name) is not None:
                    process(values[name])
            except (ValueError, TypeError, RecursionError) as exc:
                return name.removeprefix("set_"), exc
        return None

    def encode(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Order and encode named values for the driver."""
        if self.constants:
            values = {**self.constants, **values}
        row = list(map(values.__getitem__, self.parameters))
        for position, process in self._processed:
            value = row[position]
            if value is not None:
                row[position] = process(value)
        return tuple(row)

    def encode_once(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The same of a statement that has some parameters at many places: each value is encoded once."""
        encoded = {**self.constants, **values}
        for name, process in self._encoders:
            value = encoded[name]
            if value is not None:
                encoded[name] = process(value)
        return tuple(map(encoded.__getitem__, self.parameters))

    @cached_property
    def _encoders(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """The names of what is not stored as it is."""
        every = dict(zip(self.parameters, self.processors, strict=True))
        return tuple((name, process) for name, process in every.items() if process is not None)


def compile_plan(statement: ClauseElement, dialect: Dialect, **facts: Any) -> Plan:
    """Compile a statement whose changing values are named `bindparam`s; literal values become part of the plan.

    Args:
        facts: What the plan's other fields say about the statement, but for the table that it writes.
    """
    if isinstance(statement, UpdateBase):
        # Read off here, so that no plan that writes can pass by the hot cache because somebody forgot to say so.
        table: Any = statement.table
        facts = {"writes": table.name, "deletes": isinstance(statement, Delete)} | facts
    compiled: Any = statement.compile(dialect=dialect)
    names = tuple(compiled.positiontup or ())
    processors = tuple(compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names)
    constants = {name: compiled.binds[name].value for name in names if compiled.binds[name].value is not None}
    return Plan(
        sql=str(compiled), parameters=names, processors=processors, constants=constants, statement=statement, **facts
    )


class TablePlans(Generic[Row]):
    """The plans of the common verbs for one mapped class on one dialect, each compiled when first needed."""

    def __init__(
        self, entity: type[Row], dialect: Dialect, *, is_hot: bool = False, hot_name: str | None = None
    ) -> None:
        """Read the class.

        Args:
            entity: The mapped class.
            dialect: What to compile for.
            is_hot: Whether its rows are looked up through the hot cache by their key.
            hot_name: A unique column of texts by which they are looked up through it too; only where the key is a
                number, which no text is taken for.
        """
        self.entity = entity
        self.dialect = dialect
        self.is_hot = is_hot
        self.mapper: Any = class_mapper(entity)
        mapped_table: Any = self.mapper.local_table
        self.table = mapped_table
        self.hydrate = Hydrator(entity, dialect)
        table_columns = mapped_table.columns
        self.columns: dict[str, Column[Any]] = dict(zip(self.hydrate.keys, table_columns, strict=True))
        self.attributes = {column.key: key for key, column in self.columns.items()}
        self.primary_key: tuple[str, ...] = tuple(self.attributes[column.key] for column in self.table.primary_key)
        self.computed = frozenset(key for key, column in self.columns.items() if column.computed is not None)
        counted = self.table.autoincrement_column
        self.counted: tuple[str, ...] = () if counted is None else (self.attributes[counted.key],)
        """The key that the database counts, when it does."""
        self.hot_name = hot_name if is_hot and self.counted else None
        # Without the Python-side defaults that SQLAlchemy would add to every insert.
        self._bare_table = table(self.table.name, *(column(one.name, one.type) for one in self.columns.values()))
        self._plans: dict[Any, Plan] = {}

    def _plan(self, key: Any, build: Callable[[], ClauseElement], *, one_row: bool = False, **facts: Any) -> Plan:
        plan = self._plans.get(key)
        if plan is None:
            plan = compile_plan(build(), self.dialect, **facts)
            # What is in the cache under another name than its key is dropped with the whole table.
            is_named = plan.writes is not None and self.hot_name is not None
            if one_row and len(self.primary_key) == 1 and not is_named:
                plan = replace(plan, key_position=plan.parameters.index(self.primary_key[0]))
            self._plans[key] = plan
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
        hot = self.table.name if self.is_hot and len(self.primary_key) == 1 else None
        return self._plan("get", lambda: select(*self.table.columns).where(self._is_key()), one_row=True, hot=hot)

    def get_several(self, count: int) -> Plan:
        """Select rows by so many values of their one key, `key_0` and so on, and keep others from changing them."""

        def build() -> Any:
            (column,) = (self.columns[key] for key in self.primary_key)
            keys = [bindparam(f"key_{number}", type_=column.type) for number in range(count)]
            return select(*self.table.columns).where(column.in_(keys)).with_for_update()

        return self._plan(("several", count), build)

    def get_by(self, key: str) -> Plan:
        """Select the row that has a value in a unique column."""
        hot = self.table.name if key == self.hot_name else None
        return self._plan(
            ("get by", key), lambda: select(*self.table.columns).where(self.columns[key] == self._bind(key)), hot=hot
        )

    def last(self, key: str) -> Plan:
        """Select the newest rows (by primary key, newest first) that have a value: parameters `<key>` and `limit`."""

        def build() -> Any:
            statement = select(*self.table.columns).where(self.columns[key] == self._bind(key))
            newest = [self.columns[name].desc() for name in self.primary_key]
            return statement.order_by(*newest).limit(bindparam("limit", type_=Integer()))

        return self._plan(("last", key), build)

    def insert(self, keys: Sequence[str], returning: Sequence[str] = ()) -> Plan:
        """Insert these attributes and return those that only the database knows; the others get its defaults."""

        def build() -> Any:
            statement = insert(self._bare_table).values({self.columns[key].name: self._bind(key) for key in keys})
            if not returning:
                return statement.inline()
            return statement.returning(*(self.columns[key] for key in returning))

        facts = {"adds_rows": True, "is_plain_insert": not returning}
        return self._plan(("insert", tuple(keys), tuple(returning)), build, **facts)

    def insert_counted(self, keys: Sequence[str]) -> Plan:
        """Insert these attributes into a table whose key the database counts; for `Executor.insert`."""
        # Declared on the default dialect only, which every real one inherits from.
        dialect: Any = self.dialect
        returning = () if dialect.postfetch_lastrowid else self.primary_key
        return self.insert(keys, returning)

    def unless_there(self, plan: Plan) -> Plan:
        """What a plan of `insert_counted` does, unless a row with one of its unique values is there."""
        statement: Any = plan.statement
        shape = ("unless there", plan.parameters)
        return self._plan(shape, lambda: statement.ext(UnlessThere()), adds_rows=True)

    def get_for_update(self) -> Plan:
        """Select one row by its primary key and keep others from changing it; SQLite's writer is alone anyway."""
        return self._plan("get for update", lambda: select(*self.table.columns).where(self._is_key()).with_for_update())

    def update(
        self,
        keys: Sequence[str],
        *,
        raises_version: bool,
        expects_version: bool = False,
        returning: bool = True,
        patched: str | None = None,
    ) -> Plan:
        """Set these attributes (parameters `set_<key>`) of the row with this primary key.

        Args:
            keys: The attributes.
            raises_version: `version` rises by one.
            expects_version: Only if the row is at the parameter `version`.
            returning: The row is returned whole; it costs SQLite half as much again as the update itself.
            patched: An attribute whose parameter is a merge patch; a row where it holds no object is left alone.
        """

        def build() -> Any:
            values = {self.columns[key].name: self._bind(key, "set_") for key in keys}
            statement = update(self.table).where(self._is_key())
            if patched is not None:
                column = self.columns[patched]
                values[column.name] = json_merge_patch(column, self._bind(patched, "set_"))
                statement = statement.where(json_is_object(column))
            if raises_version:
                values["version"] = self.columns["version"] + literal_column("1")
            if expects_version:
                statement = statement.where(self.columns["version"] == self._bind("version"))
            statement = statement.values(values)
            return statement.returning(*self.table.columns) if returning else statement

        key = ("update", tuple(keys), raises_version, expects_version, returning, patched)
        return self._plan(key, build, one_row=True)

    def remembered(self, shape: tuple[Any, ...], build: Callable[[], ClauseElement]) -> Plan:
        """A plan of somebody else's making, compiled once for its shape; of rare shapes at every call."""
        if len(self._plans) >= MOST_PLANS and shape not in self._plans:
            return compile_plan(build(), self.dialect)
        return self._plan(shape, build)

    def delete(self) -> Plan:
        """Delete the row with this primary key."""
        return self._plan("delete", lambda: delete(self.table).where(self._is_key()), one_row=True)


# Few: one engine speaks one dialect, and a program that opens many databases speaks it with all of them.
_shared: dict[Any, TablePlans[Any]] = {}


def shared_plans(entity: type[Row], dialect: Dialect, **options: Any) -> TablePlans[Row]:
    """The plans of a class that all managers share whose engines speak one dialect: a statement is compiled once.

    Args:
        entity: The mapped class.
        dialect: The dialect of a connected engine, which knows the version of the library or the server.
        options: See `TablePlans`.
    """
    version = dialect.server_version_info
    if version is None:
        # An engine that has never been connected may learn more about whom it talks to.
        return TablePlans(entity, dialect, **options)
    key = (entity, type(dialect), version, dialect.paramstyle, *sorted(options.items()))
    plans: TablePlans[Row] | None = _shared.get(key)
    if plans is None:
        plans = _shared[key] = TablePlans(entity, dialect, **options)
    return plans
