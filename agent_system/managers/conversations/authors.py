"""Remembering whose identity is there, so that what they say next needs no look at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FamiliarAuthors"]

MOST_FAMILIAR = 10_000
# The author of a message without one; no identity has this id, because it would be empty.
NOBODY = ""


class FamiliarAuthors:
    """The authors whose identities were seen.

    Only a hint: an identity that has been deleted since is a ForeignKeyError, and is then made again.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, data: Any) -> str | None:
        """The author of a message that stands alone, when their identity was seen; None when more has to be written."""
        if not isinstance(data, Mapping) or "uid" in data or data.get("conversation_id") is not None:
            return None
        author = data.get("user_id")
        if author is None:
            return NOBODY
        return author if isinstance(author, str) and author in self._known else None

    def remember(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take note of the authors of messages that were written."""
        if len(self._known) > MOST_FAMILIAR:
            self._known.clear()
        self._known.update(author for values in rows if (author := values["user_id"]) is not None)

    def forget(self, author: str) -> None:
        """Take note that the identity of an author is gone."""
        self._known.discard(author)
