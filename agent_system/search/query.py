"""The query language for people: words, "phrases", AND, OR, NOT and prefix*; anything else is literal.

```
pizza olives            one of the words; what has more of them, and rarer ones, comes first
pizza AND olives        both
"thin crust"            these words one after the other
pizz*                   words that begin so
pizza NOT anchovies     without that word; what follows a NOT is taken from everything before it
pizza OR pasta          the same as `pizza pasta`
```

AND binds closer than OR, and the operators are in capitals. An operator that has nothing to stand between is a word
like any other, as is a quotation mark without a second one; no text is an error, and one without words finds nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from agent_system.search.text import LONGEST_WORD, is_unspaced, pairs, pieces, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["LONGEST_QUERY", "MOST_TERMS", "Alternative", "Query", "Term", "parse"]

MOST_TERMS = 64
"""How many terms of a query are looked for; FTS5 allows expressions of a depth of 256."""

LONGEST_QUERY = 10_000
"""Characters; what comes behind them is not read."""

_TOKEN = re.compile(r'"([^"]*)"|(\S+)')
_OPERATORS = frozenset({"AND", "OR", "NOT"})


@dataclass(frozen=True, slots=True)
class Term:
    """Words that stand one after the other, or one run of characters of a script without blanks."""

    words: tuple[str, ...]
    """In their canonical form; a run is one word."""
    is_prefix: bool = False
    """Whether the last word is only the beginning of one."""

    is_run: bool = False
    """Whether it is a run of characters of a script without blanks; it is looked for as a part of a text."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to match: all of these terms, and none of those groups of terms as a whole."""

    required: tuple[Term, ...]
    excluded: tuple[tuple[Term, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody looks for: one of the alternatives, and none of the excluded groups of terms as a whole."""

    alternatives: tuple[Alternative, ...] = ()
    excluded: tuple[tuple[Term, ...], ...] = ()
    plain: tuple[str, ...] = field(default=(), compare=False)
    """The words, each once, when it is nothing else, so that nobody has to look at the alternatives."""

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.alternatives)

    @property
    def terms(self) -> tuple[Term, ...]:
        """What can be found in a text that matches, each term once."""
        if self.plain:
            return tuple([one.required[0] for one in self.alternatives])
        return tuple(dict.fromkeys(term for one in self.alternatives for term in one.required))

    @property
    def is_bag(self) -> bool:
        """Whether any of the terms will do, so that common ones can be left to the ranking."""
        return bool(self.plain) or all(len(one.required) == 1 and not one.excluded for one in self.alternatives)

    def only(self, terms: Sequence[Term]) -> Query:
        """The same query with these of the alternatives of a bag."""
        wanted = set(terms)
        return Query(tuple(one for one in self.alternatives if one.required[0] in wanted), self.excluded)


@dataclass(frozen=True, slots=True)
class _Operand:
    terms: tuple[Term, ...]
    is_plain: bool
    """Whether it is a word without quotation marks or a star, of which any part will do."""


def parse(text: str) -> Query:
    """Read a query; every text is one."""
    return _parsed(text[:LONGEST_QUERY])


@lru_cache(maxsize=16)
def _parsed(text: str) -> Query:
    # A search looks into its query at several places.
    plain = _words_alone(text)
    if plain is not None:
        return Query(tuple([Alternative((Term((word,)),)) for word in plain]), plain=tuple(plain))
    groups: list[list[tuple[bool, _Operand]]] = []
    excluded: list[tuple[Term, ...]] = []
    operator = ""
    tokens = list(_tokens(text))
    for position, (token, is_quoted) in enumerate(tokens):
        if not is_quoted and token in _OPERATORS and _joins(token, tokens, position, has_left=bool(groups)):
            # Of several operators the last one counts, but `AND NOT` is one.
            operator = "AND NOT" if (operator, token) == ("AND", "NOT") else token
            continue
        operand = _operand(token, is_quoted=is_quoted)
        if not operand.terms:
            continue
        if operator == "AND" and groups:
            groups[-1].append((False, operand))
        elif operator == "AND NOT" and groups:
            groups[-1].append((True, operand))
        elif operator == "NOT" and groups:
            excluded.append(operand.terms)
        else:
            groups.append([(False, operand)])
        operator = ""
    return _limited([one for group in groups for one in _alternatives(group)], excluded)


def _words_alone(text: str) -> list[str] | None:
    """The words of a query of nothing else, each once; None when it has to be looked at more closely."""
    # As most are; to tell it by a pattern would take longer.
    if not (text.isascii() and text.replace(" ", "").isalnum()):
        return None
    found = text.split()
    if not _OPERATORS.isdisjoint(found) or max(map(len, found), default=0) > LONGEST_WORD:
        return None
    return list(dict.fromkeys(map(str.lower, found)))[:MOST_TERMS]


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    for match in _TOKEN.finditer(text):
        if match.group(1) is not None:
            yield match.group(1), True
        else:
            # A quotation mark without a second one, or within a word.
            yield match.group(2), False


def _joins(operator: str, tokens: Sequence[tuple[str, bool]], position: int, *, has_left: bool) -> bool:
    """Whether an operator stands where it can act: behind something, and before something that is no operator."""
    following = tokens[position + 1 : position + 3]
    if not has_left or not following:
        return False
    if operator == "AND" and following[0] == ("NOT", False):
        following = following[1:]
    if not following:
        return False
    next_token, is_quoted = following[0]
    is_operator = not is_quoted and next_token in _OPERATORS
    return not is_operator and bool(_operand(next_token, is_quoted=is_quoted).terms)


def _operand(token: str, *, is_quoted: bool) -> _Operand:
    is_prefix = not is_quoted and token.endswith("*") and not token.endswith("**")
    found: list[Term] = []
    spaced: list[str] = []
    for piece in (piece for word in words(token) for piece in pieces(word)):
        if len(piece) > LONGEST_WORD:
            continue
        if is_unspaced(piece):
            found.extend(_phrase(spaced))
            found.append(Term((piece,), is_run=True))
            spaced = []
        else:
            spaced.append(piece)
    found.extend(_phrase(spaced, is_prefix=is_prefix))
    return _Operand(tuple(found[:MOST_TERMS]), is_plain=not is_quoted and not is_prefix)


def _phrase(spaced: Sequence[str], *, is_prefix: bool = False) -> Iterator[Term]:
    if spaced:
        yield Term(tuple(spaced[:MOST_TERMS]), is_prefix=is_prefix)


def _alternatives(group: Sequence[tuple[bool, _Operand]]) -> Iterator[Alternative]:
    (_, first), *more = group
    if not more and first.is_plain:
        # Of words that stick together any will do, and of a run without blanks any pair: nobody knows its words.
        for term in first.terms:
            parts = pairs(term.words[0]) if term.is_run else term.words
            yield from (Alternative((Term((part,), is_run=term.is_run),)) for part in parts)
        return
    required = tuple(dict.fromkeys(term for is_not, one in group if not is_not for term in one.terms))
    yield Alternative(required, tuple(one.terms for is_not, one in group if is_not))


def _limited(alternatives: Sequence[Alternative], excluded: Sequence[tuple[Term, ...]]) -> Query:
    """A query of no more terms than the engines can take."""
    kept: list[Alternative] = []
    room = MOST_TERMS
    for one in dict.fromkeys(alternatives):
        size = len(one.required) + sum(map(len, one.excluded))
        if size <= room:
            kept.append(one)
            room -= size
    without: list[tuple[Term, ...]] = []
    for group in dict.fromkeys(excluded):
        if len(group) <= room:
            without.append(group)
            room -= len(group)
    return Query(tuple(kept), tuple(without))
