"""Driver rows become detached instances of the table classes, as `AsyncSession` would leave them.

`SQLModel(...)` on a table class costs 36 µs and a session's load more. Here a row of 38 columns takes 6 µs: one
function per table, generated from its columns as `dataclasses` generates `__init__`, unpacks, decodes and names the
values. The state that SQLAlchemy keeps beside every instance, and what pydantic keeps beside its values, is made when
somebody asks for it: most rows are read and forgotten, and the state with its weak reference and its collections took
two thirds of a row's time.

A row that is asked for again and again is decoded once (`Mould`): what nobody can change is the same in all of its
instances, lists and dictionaries are copied for each.

The rows of a page are decoded together (`pages.py`).
"""

from __future__ import annotations

from functools import lru_cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.orm import class_mapper
from sqlalchemy.orm.state import InstanceState

from agent_system.database.pages import PageDecoder, copier, is_shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Column, Dialect

__all__ = ["Hydrator", "Mould", "result_processor"]

STATE = "_sa_instance_state"
# Of each column: 0.06 µs instead of 0.4 for one that is remembered, 250 bytes each.
REFERENCES = 512
# Fewer rows than these are decoded one by one.
PAGE_ROWS = 16
_state_of = attrgetter(STATE)

Row = TypeVar("Row")
Decode = "Callable[[Sequence[Any]], dict[str, Any]]"


def result_processor(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """How a value of this column is read from the driver; None when as it is."""
    return column.type.dialect_impl(dialect).result_processor(dialect, None)


# What SQLModel.__new__ and SQLAlchemy's class manager do for a loaded row, without their six calls: 0.3 µs, not 3.5.
_new = object.__new__
_set_dict = BaseModel.__dict__["__dict__"].__set__
FIELDS_SET = "__pydantic_fields_set__"
SLOTS = {name: BaseModel.__dict__[name].__set__ for name in (FIELDS_SET, "__pydantic_extra__", "__pydantic_private__")}


class _StateOnDemand:
    """Makes the state of a detached row when SQLAlchemy first looks for it.

    It stands on the table class under the name of the state's attribute, behind the instance's own dictionary, so that
    it is found only where there is no state yet. An instance without a key in its dictionary is not ours but one that
    is being built, and has none.
    """

    __slots__ = ("_class", "_manager", "_primary")

    def __init__(self, class_: type[Any], manager: Any, primary: tuple[str, ...]) -> None:
        self._class = class_
        self._manager = manager
        self._primary = primary

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        if instance is None:
            raise AttributeError(STATE)
        values = instance.__dict__
        try:
            key = tuple([values[name] for name in self._primary])
        except KeyError:
            raise AttributeError(STATE) from None
        state: Any = InstanceState(instance, self._manager)
        state.key = (self._class, key, None)
        return values.setdefault(STATE, state)


def _give_slots_on_demand(class_: type[Any]) -> None:
    """Let the instances of a class have pydantic's three slots when somebody first looks for them, as the state.

    Where a slot is empty, Python asks `__getattr__`. Only our instances begin with empty ones: SQLModel fills them in
    `__new__`. The set of the fields that were set alone took as much memory as a fifth of a row.
    """
    inherited = class_.__getattr__
    if inherited.__module__ == __name__:
        return

    def attribute(instance: Any, name: str) -> Any:
        if name not in SLOTS:
            return inherited(instance, name)
        value: set[str] | None = set() if name == FIELDS_SET else None
        SLOTS[name](instance, value)
        return value

    type.__setattr__(class_, "__getattr__", attribute)


class Mould(Generic[Row]):
    """One driver row, decoded so that many instances can be made of it: 1 µs each instead of 6."""

    __slots__ = ("changeable", "hydrate", "values")

    def __init__(
        self, hydrate: Hydrator[Row], values: dict[str, Any], changeable: Sequence[tuple[str, Callable[[], Any]]]
    ) -> None:
        self.hydrate = hydrate
        """Who made it and can use it."""
        self.values = values
        """All attributes, in the order of the table."""
        self.changeable = changeable
        """Those that every instance has for itself, each with what makes another one."""


class Hydrator(Generic[Row]):
    """Turns driver rows (all columns, in table order) into instances of one table class."""

    def __init__(self, entity: type[Row], dialect: Dialect) -> None:
        mapper: Any = class_mapper(entity)
        table: Any = mapper.local_table
        self._class = mapper.class_
        self._dispatch = mapper.class_manager.dispatch
        self.keys: tuple[str, ...] = tuple(mapper.get_property_by_column(column).key for column in table.columns)
        processors = [_remembering(column, result_processor(column, dialect)) for column in table.columns]
        self._processors = dict(zip(self.keys, processors, strict=True))
        self._primary = tuple(mapper.get_property_by_column(column).key for column in table.primary_key.columns)
        type.__setattr__(self._class, STATE, _StateOnDemand(self._class, mapper.class_manager, self._primary))
        _give_slots_on_demand(self._class)
        self._empty: dict[tuple[str, Callable[[], Any]], tuple[str, Callable[[], Any]]] = {}
        self._page = PageDecoder(self._processors, self._primary)
        self.decode: Callable[[Sequence[Any]], dict[str, Any]] = _generate_decode(self.keys, processors)
        """Turn one driver row into attribute values."""

    def processor(self, key: str) -> Callable[[Any], Any] | None:
        """How a value of this attribute is read from the driver; None when as it is."""
        return self._processors[key]

    def build(self, values: dict[str, Any]) -> Row:
        """Make a detached instance of decoded attribute values."""
        return self.adopt(dict(values))

    def adopt(self, values: dict[str, Any]) -> Row:
        """Make a detached instance whose attributes are this very dictionary."""
        instance: Any = _new(self._class)
        _set_dict(instance, values)
        if self._dispatch.load:
            self._dispatch.load(_state_of(instance), None)
        adopted: Row = instance
        return adopted

    def __call__(self, row: Sequence[Any]) -> Row:
        """Turn one driver row into an instance."""
        # What `adopt` does, without its call.
        instance: Any = _new(self._class)
        _set_dict(instance, self.decode(row))
        if self._dispatch.load:
            self._dispatch.load(_state_of(instance), None)
        turned: Row = instance
        return turned

    def mould(self, row: Sequence[Any]) -> Mould[Row]:
        """Decode a driver row of which many instances will be wanted."""
        values = self.decode(row)
        changeable: list[tuple[str, Callable[[], Any]]] = []
        for (key, process), stored in zip(self._processors.items(), row, strict=True):
            value = values[key]
            if process is not None and not is_shared(value):
                make = copier(value) or partial(process, stored)
                pair = key, make
                # What is empty is made the same way for all rows: fewer objects for the garbage collector to look at.
                changeable.append(self._empty.setdefault(pair, pair) if make in {dict, list} else pair)
        return Mould(self, values, changeable)

    def another(self, mould: Mould[Row]) -> Row:
        """Make an instance of a row that is decoded already."""
        values = {**mould.values}
        for key, make in mould.changeable:
            values[key] = make()
        # What `adopt` does, without its call.
        instance: Any = _new(self._class)
        _set_dict(instance, values)
        if self._dispatch.load:
            self._dispatch.load(_state_of(instance), None)
        another: Row = instance
        return another

    def all(self, rows: Iterable[Sequence[Any]]) -> list[Row]:
        """Turn many driver rows into instances."""
        found = list(rows)
        if len(found) < PAGE_ROWS:
            return [self.adopt(self.decode(row)) for row in found]
        instances = []
        for values in self._page.decode(found):
            # What `adopt` does, without its call.
            instance: Any = _new(self._class)
            _set_dict(instance, values)
            instances.append(instance)
        if self._dispatch.load:
            for instance in instances:
                self._dispatch.load(_state_of(instance), None)
        return instances


def _remembering(column: Column[Any], process: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """Remember the last references: the rows of a page refer to the same conversation, agent and user."""
    if process is None or not column.foreign_keys or not issubclass(column.type.python_type, UUID):
        return process
    return lru_cache(REFERENCES)(process)


def _generate_decode(keys: Sequence[str], processors: Sequence[Any]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    names = [f"value_{position}" for position in range(len(keys))]
    lines = ["def decode(row):", f"    ({', '.join(names)},) = row"]
    scope: dict[str, Any] = {}
    for position, (name, process) in enumerate(zip(names, processors, strict=True)):
        if process is not None:
            scope[f"process_{position}"] = process
            lines.append(f"    if {name} is not None: {name} = process_{position}({name})")
    entries = ", ".join(f"{key!r}: {name}" for key, name in zip(keys, names, strict=True))
    lines.append(f"    return {{{entries}}}")
    exec("\n".join(lines), scope)  # noqa: S102 (made of attribute names of our own classes)
    decode: Callable[[Sequence[Any]], dict[str, Any]] = scope["decode"]
    return decode
