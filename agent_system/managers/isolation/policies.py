"""The words in which `registry.py` says whose the rows of a table are."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from agent_system.managers.isolation.scope import Dimension

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Column", "Either", "Identity", "Parent", "Policy", "Rule", "child", "closed", "open_to_all", "owned"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column has the key of the one to whom the row belongs; a new row gets it."""

    name: str


@dataclass(frozen=True, slots=True)
class Identity:
    """A text column has the id of one of the user's identities; a new row gets the user's own."""

    name: str


@dataclass(frozen=True, slots=True)
class Parent:
    """The row belongs to whom the row belongs that a column refers to."""

    name: str
    table: str
    follows_shared: bool = False
    """Whether the row may be read by all when its parent may: it is a part of it, not something done with it."""


@dataclass(frozen=True, slots=True)
class Either:
    """The first of the rules whose column has a value decides."""

    rules: tuple[Column | Identity | Parent, ...]
    fills: str | None = None
    """The column that a new row gets also when another one decides; None: only where there would be no value at all."""


Rule: TypeAlias = Column | Identity | Parent | Either


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Whose the rows of a table are.

    A scope sees and changes the rows that all of its dimensions with a rule here allow. A table that has a rule for
    none of them is closed to it, unless it is open to all.
    """

    rules: Mapping[Dimension, Rule] = field(default_factory=lambda: MappingProxyType({}))
    shared: str | None = None
    """The owner column whose NULL means that all may read the row; None: a row without an owner is nobody's."""
    is_open: bool = False
    """Whether all rows may be read in every scope; none may be changed."""
    may_be_named: bool = False
    """Whether a row may refer to one of these although the scope has no dimension that tells whose it is."""
    adds: bool = True
    """Whether rows may be added in a scope."""
    deletes: bool = True
    """Whether rows may be deleted in a scope."""
    stays_empty: frozenset[str] = frozenset()
    """The columns that a scope gives no value in a new row, because all would believe it."""
    changes: frozenset[str] | None = None
    """The only columns that may be changed in a scope; None is any but those that tell whose the row is."""


def owned(
    *,
    user: Rule | str | None = None,
    agent: Rule | str | None = None,
    guild: Rule | str | None = None,
    project: Rule | str | None = None,
    session: Rule | str | None = None,
    shared: bool = False,
) -> Policy:
    """The policy of a table whose rows belong to somebody; a text is the name of the owner's column.

    A rule for users that is no column of accounts holds for identities without an account, too.

    Args:
        user: The rule for accounts, and so on for the other dimensions.
        shared: Whether rows without a user are read by all.
    """
    given = {
        Dimension.USER: user,
        Dimension.IDENTITY: None if isinstance(user, (str, Column)) else user,
        Dimension.AGENT: agent,
        Dimension.GUILD: guild,
        Dimension.PROJECT: project,
        Dimension.SESSION: session,
    }
    rules = {key: Column(rule) if isinstance(rule, str) else rule for key, rule in given.items() if rule is not None}
    owner = rules.get(Dimension.USER)
    return Policy(rules=MappingProxyType(rules), shared=owner.name if shared and isinstance(owner, Column) else None)


def child(column: str, table: str, *, follows_shared: bool = False) -> Policy:
    """The policy of a table whose rows belong to whom their parents belong, in every dimension."""
    return Policy(rules=MappingProxyType(dict.fromkeys(Dimension, Parent(column, table, follows_shared))))


def open_to_all(*, adds: bool = False, stays_empty: Iterable[str] = ()) -> Policy:
    """The policy of a table that every scope reads and none changes.

    Args:
        adds: Whether a scope may add rows: names that are nobody's, such as that of a new model.
        stays_empty: The columns of such a row that are for others to fill, such as a price.
    """
    return Policy(is_open=True, adds=adds, deletes=False, stays_empty=frozenset(stays_empty), changes=frozenset())


def closed() -> Policy:
    """The policy of a table that no scope reads or changes."""
    return Policy(adds=False, deletes=False, changes=frozenset())
