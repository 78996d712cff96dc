"""`Syntax`: how a query is spelled for an engine's full-text index; the engines differ in words, not in grammar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_system.search.text import pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.search.query import Query, Term

__all__ = ["Syntax"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Syntax:
    """What an engine writes between terms, and around and between the words of a term."""

    any_of: str
    all_of: str
    except_: str
    """Between what matches and a group in brackets that must not."""
    phrase: tuple[str, str, str, str]
    """Before, between and behind the words of a term, which are letters, digits and marks, and at its end."""
    star: str
    """Behind the words, where the last one is a beginning."""

    def expression(self, query: Query) -> str:
        """A query as the engine reads it."""
        ways = self.any_of.join(
            f"({self._without([self.term(term) for term in one.required], one.excluded)})" for one in query.alternatives
        )
        return self._without([ways], query.excluded)

    def term(self, term: Term) -> str:
        """A term as the engine reads it."""
        words = pairs(term.words[0]) if term.is_run else term.words
        before, between, behind, end = self.phrase
        return f"{before}{between.join(words)}{behind}{self.star if term.is_prefix else ''}{end}"

    def _without(self, required: Sequence[str], excluded: Sequence[Sequence[Term]]) -> str:
        wanted = f"({self.all_of.join(required)})"
        for group in excluded:
            wanted += f"{self.except_}({self.all_of.join(map(self.term, group))})"
        return wanted
