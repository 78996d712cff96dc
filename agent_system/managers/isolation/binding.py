"""Binding managers to another database: copies that share everything that was compiled, and lead nowhere else.

A manager keeps its statements, validators and writers for ever, and they are the same in every scope; only what leads
to the database is another one. So a manager of a scope is a copy, made in microseconds, of the one without a scope.
"""

from __future__ import annotations

from copy import copy
from enum import Enum
from functools import cached_property, partial
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from agent_system.database.manager import DatabaseManager
from agent_system.errors import AgentSystemError
from agent_system.managers.core.base import Manager

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_system.managers.isolation.database import ScopedDatabase

__all__ = ["Binder"]

T = TypeVar("T")

PACKAGE = "agent_system."


class Binder:
    """Makes copies of managers that work on a scoped database.

    What it has walked through once it knows: the second scope looks only at what leads to the database.
    """

    def __init__(self) -> None:
        # By identity: the object, so that its id stays its own, the attributes it had, and those that lead there.
        self._known: dict[int, tuple[Any, frozenset[str], tuple[str, ...]]] = {}

    def bound(self, manager: T, db: ScopedDatabase) -> T:
        """A copy of a manager, and of everything in it that leads to the database, bound to a scope."""
        found: T = _Walk(self._known, db).bound(manager)
        return found


class _Walk:
    def __init__(self, known: dict[int, tuple[Any, frozenset[str], tuple[str, ...]]], db: ScopedDatabase) -> None:
        self._known = known
        self._db = db
        self._copies: dict[int, Any] = {}

    def bound(self, value: Any) -> Any:
        if isinstance(value, DatabaseManager):
            return self._db
        copied = self._copies.get(id(value))
        return self._bound(value) if copied is None else copied

    def _bound(self, value: Any) -> Any:
        if isinstance(value, MethodType):
            owner = self.bound(value.__self__)
            return value if owner is value.__self__ else MethodType(value.__func__, owner)
        if isinstance(value, partial):
            arguments = [self.bound(each) for each in value.args]
            named = {key: self.bound(each) for key, each in value.keywords.items()}
            return partial(self.bound(value.func), *arguments, **named)
        if isinstance(value, (list, tuple)):
            return self._bound_items(value)
        if type(value) is dict:
            return self._bound_entries(value)
        return self._bound_object(value) if _is_ours(value) else value

    def _bound_items(self, value: Any) -> Any:
        items = [self.bound(each) for each in value]
        is_same = all(new is old for new, old in zip(items, value, strict=True))
        return value if is_same or hasattr(value, "_fields") else type(value)(items)

    def _bound_entries(self, value: dict[Any, Any]) -> dict[Any, Any]:
        entries = {key: self.bound(each) for key, each in value.items()}
        return value if all(entries[key] is value[key] for key in value) else entries

    def _bound_object(self, value: Any) -> Any:
        state = _state(value)
        known = self._known.get(id(value))
        if known is not None and known[1] == state.keys():
            names: Iterable[str] = known[2]
            if not names:
                return value
        else:
            if isinstance(value, Manager):
                _compile_all(value)
                state = _state(value)
            names = list(state)
        # Known before it is complete: two that know each other are both copied once.
        clone = self._copies[id(value)] = copy(value)
        changed = []
        for name in names:
            new = self.bound(state[name])
            if new is not state[name]:
                object.__setattr__(clone, name, new)
                changed.append(name)
        self._known[id(value)] = (value, frozenset(state), tuple(changed))
        if not changed:
            self._copies[id(value)] = value
            return value
        return clone


def _is_ours(value: Any) -> bool:
    kind = type(value)
    return kind.__module__.startswith(PACKAGE) and not isinstance(value, (type, Enum))


def _state(value: Any) -> dict[str, Any]:
    """The attributes of an object, those in slots too."""
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})


def _compile_all(manager: Manager[Any]) -> None:
    """Make everything that a manager makes when it is first needed, so that all scopes share it."""
    for kind in type(manager).__mro__:
        for name, attribute in vars(kind).items():
            if isinstance(attribute, cached_property) and name not in vars(manager):
                try:
                    getattr(manager, name)
                except AgentSystemError:
                    # It says so again to whoever needs it.
                    continue
