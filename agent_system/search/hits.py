"""Hits: what a search found, how well it fits and why, a page at a time."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agent_system.errors import CursorError
from agent_system.search.snippets import snippet_of
from agent_system.search.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent_system.search.query import Term
    from agent_system.search.snippets import Snippet

__all__ = ["Hit", "Hits", "Place", "digest_of"]

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit(Generic[Row]):
    """One row that a search found."""

    item: Row
    """The row."""
    score: float
    """How well it fits; higher is better. Scores of two searches cannot be compared."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """What the score is made of, by the side that found it."""
    found_by: tuple[str, ...] = ("text",)
    """Which sides found it: `text`, `vector`, `substring`."""
    searched: Sequence[str] = field(default=(), repr=False)
    """The attributes of the row that were looked through."""
    terms: Sequence[Term] = field(default=(), repr=False)
    """What can be found in them."""

    @property
    def texts(self) -> Sequence[str]:
        """The texts that were looked through."""
        return [plain_text(getattr(self.item, name)) for name in self.searched]

    @property
    def snippet(self) -> Snippet:
        """The part of its texts that shows why, cut out when it is asked for."""
        return snippet_of(self.texts, self.terms)


class Hits(list[Hit[Row]]):
    """The hits of one page, the best first.

    Args:
        hits: The hits.
        next_cursor: What to pass as `after` for the next page, or what makes it; None at the end.
    """

    def __init__(self, hits: Iterable[Hit[Row]] = (), next_cursor: str | Callable[[], str] | None = None) -> None:
        super().__init__(hits)
        self._next_cursor = next_cursor

    @property
    def next_cursor(self) -> str | None:
        """What to pass as `after` for the next page, made when it is asked for; None at the end."""
        if callable(self._next_cursor):
            self._next_cursor = self._next_cursor()
        return self._next_cursor

    @property
    def items(self) -> list[Row]:
        """The rows alone."""
        return [hit.item for hit in self]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ends: behind the hit of this score and this key. Of equal scores the higher key comes first."""

    score: float
    key: Any

    def is_before(self, score: float, key: Any) -> bool:
        """Whether a hit comes behind the place."""
        return (score, key) < (self.score, self.key)

    def encoded(self, digest: str) -> str:
        """The cursor for it, which carries a digest of what is searched for."""
        text = json.dumps([digest, self.score.hex(), str(self.key)], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decoded(cls, cursor: str, digest: str, key_type: Callable[[str], Any]) -> Place:
        """Read a cursor.

        Raises:
            CursorError: It is no cursor, or belongs to another search.
        """
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            known, score, key = json.loads(base64.urlsafe_b64decode(padded.encode()))
            place = cls(float.fromhex(score), key_type(key))
        except (ValueError, TypeError, AttributeError) as exc:
            raise CursorError(field="after") from exc
        if known != digest:
            message = "the cursor belongs to another search: start again without it"
            raise CursorError(message, field="after")
        return place


def digest_of(*parts: Any) -> str:
    """A short digest of what is searched for, so that a cursor cannot be used with another search."""
    text = repr(parts).encode("utf-8", "backslashreplace")
    return hashlib.blake2b(text, digest_size=6).hexdigest()
