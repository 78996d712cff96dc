"""Whose data: the conditions under which a row is a person's, or names them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import and_, cast, false, or_, select

from agent_system.managers.isolation.conditions import Access, Conditions
from agent_system.managers.isolation.scope import Dimension
from agent_system.managers.privacy.registry import ENTITY_TABLES, PRIVACY
from agent_system.models import metadata

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement, Table

    from agent_system.database.executor import Executor

__all__ = ["Person"]

_users = metadata.tables["users"]
_identities = metadata.tables["user_identities"]
_tasks = metadata.tables["tasks"]


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody with an account, and all names that they have."""

    user_id: UUID
    identities: tuple[str, ...]
    """The ids of their identities."""
    names: tuple[str, ...]
    """By what they may be named: the key, the name, the addresses, and what platforms call them."""

    @classmethod
    def find(cls, executor: Executor, user_id: UUID, *, lock: bool = False) -> Person | None:
        """Read who somebody is; locked, nobody writes under their identities before the transaction ends."""
        account: Any = select(_users.c.username, _users.c.email).where(_users.c.id == user_id)
        known: Any = select(_identities.c.id, _identities.c.discord_id, _identities.c.email).where(
            _identities.c.user_id == user_id
        )
        found = executor.execute(account.with_for_update() if lock else account).first()
        if found is None:
            return None
        rows = executor.execute((known.with_for_update() if lock else known).order_by(_identities.c.id)).all()
        names = [str(user_id), *found, *(value for row in rows for value in row)]
        return cls(
            user_id,
            tuple(row[0] for row in rows),
            tuple(dict.fromkeys(str(name) for name in names if name)),
        )

    @cached_property
    def _conditions(self) -> Conditions:
        return Conditions(frozenset({Dimension.USER}), {Dimension.USER: self.user_id}, by_key=False)

    def owns(self, table: Table) -> ColumnElement[bool]:
        """The condition that a row is theirs."""
        return self._conditions.of(table.name, table, Access.OWN)

    def concerns(self, table: Table) -> ColumnElement[bool]:
        """The condition that a row is theirs or about what is theirs."""
        rule = PRIVACY[table.name]
        wanted = [self.owns(table), *(table.c[name].in_(self.names) for name in rule.named)]
        if rule.written is not None:
            wanted.append(table.c[rule.written].in_(self.identities))
        wanted += [self._is_about(table, *columns) for columns in rule.entities]
        if rule.tree is not None:
            wanted.append(table.c[rule.tree].in_(select(_tasks.c.tree_id).where(self.owns(_tasks))))
        return or_(*wanted)

    def wrote(self, table: Table) -> ColumnElement[bool]:
        """The condition that a row is somebody else's and written by them."""
        rule = PRIVACY[table.name]
        if rule.authored is None:
            return false()
        return and_(table.c[rule.authored].in_(self.identities), self.owns(table).is_not(True))

    def _is_about(self, table: Table, type_column: str, key_column: str) -> ColumnElement[bool]:
        kinds = []
        for entity_type, name in ENTITY_TABLES.items():
            entities = metadata.tables[name]
            (key,) = entities.primary_key.columns
            theirs = select(cast(key, sa.Text)).where(self.owns(entities))
            kinds.append(and_(table.c[type_column] == entity_type, table.c[key_column].in_(theirs)))
        return or_(*kinds)
