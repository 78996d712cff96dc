"""Remembering whose identity is there, so that what they say next needs no look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FamiliarIdentities"]

MOST_FAMILIAR = 10_000


class FamiliarIdentities:
    """The identities that were seen.

    Only a hint: one that has been deleted since is a ForeignKeyError, and is then made again.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: set[str] = set()

    def knows(self, id_: Any) -> bool:
        """Whether what a caller gives is an identity that was seen; nobody is never missing."""
        return id_ is None or (isinstance(id_, str) and id_ in self._known)

    def remember(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take note of the identities of rows that were written."""
        if len(self._known) > MOST_FAMILIAR:
            self._known.clear()
        self._known.update(id_ for values in rows if (id_ := values["user_id"]) is not None)

    def forget(self, id_: str | None) -> None:
        """Take note that an identity is gone."""
        self._known.discard(id_)
