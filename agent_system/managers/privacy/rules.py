"""The words in which `registry.py` says what becomes of the data of somebody who is erased."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Action", "TableRule", "anonymised", "deleted", "kept"]


class Action(StrEnum):
    """What becomes of data."""

    DELETE = "delete"
    """The row goes, and with it everything in it."""
    ANONYMISE = "anonymise"
    """The row stays for what it adds up to; what tells about the person is emptied."""
    KEEP = "keep"
    """It is not about the person."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRule:
    """What becomes of the rows of one table.

    Whose a row is, `managers/isolation/registry.py` says; a row of somebody else can still name the person.
    """

    action: Action
    """What becomes of the person's rows."""
    why: str
    """Why."""
    empties: tuple[str, ...] = ()
    """The columns that are emptied in rows that stay: NULL where that may be, else an empty text, object or list."""
    keeps: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The columns of rows that stay which tell nothing about the person, with the reason."""
    authored: str | None = None
    """A column with an identity: rows that the person wrote among somebody else's things are emptied, too."""
    written: str | None = None
    """A column with an identity: rows that the person wrote among somebody else's things are deleted, too."""
    mentions: tuple[str, ...] = ()
    """The columns of anybody's rows that may name who did something; the person's name is taken out of them."""
    named: tuple[str, ...] = ()
    """The columns that name the person in the words of a caller; the rows that do are the person's, too."""
    entities: tuple[tuple[str, str], ...] = ()
    """The columns with type and key of what the row is about; it is the person's when that is."""
    tree: str | None = None
    """The column with the task tree in which it happened; it is the person's when that is."""


def deleted(why: str, **more: Unpack[_More]) -> TableRule:
    """The rule of a table whose rows go with the person; see the fields of `TableRule`."""
    return TableRule(action=Action.DELETE, why=why, **more)


def anonymised(why: str, empties: tuple[str, ...], keeps: Mapping[str, str], **more: Unpack[_More]) -> TableRule:
    """The rule of a table whose rows stay without the person; see the fields of `TableRule`."""
    return TableRule(
        action=Action.ANONYMISE, why=why, empties=empties, keeps=MappingProxyType(dict(keeps)), **more
    )  # fmt: skip


def kept(why: str, *, mentions: tuple[str, ...] = ()) -> TableRule:
    """The rule of a table that is about nobody.

    Args:
        mentions: Columns that may name who did something.
    """
    return TableRule(action=Action.KEEP, why=why, mentions=mentions)


class _More(TypedDict, total=False):
    written: str
    mentions: tuple[str, ...]
    named: tuple[str, ...]
    entities: tuple[tuple[str, str], ...]
    tree: str
