"""Snippets: the part of a text that shows why it was found, with the found words marked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_system.search.text import pieces, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent_system.search.query import Term

__all__ = ["Snippet", "snippet_of"]

# About three lines of a terminal.
LENGTH = 200
# How much of a very long text is looked at.
MOST_CHARACTERS = 100_000
# How far a cut is moved to fall between two words.
SLACK = 20

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a text."""

    text: str
    """The part as it stands in the text, with `…` where it was cut off."""
    spans: tuple[tuple[int, int], ...] = ()
    """From where to where in it a word of the query stands."""

    def marked(self, before: str = "**", after: str = "**") -> str:
        """The part with marks around what was found."""
        parts = []
        end = 0
        for start, stop in self.spans:
            parts += [self.text[end:start], before, self.text[start:stop], after]
            end = stop
        return "".join([*parts, self.text[end:]])

    def __str__(self) -> str:
        """The part with asterisks around what was found."""
        return self.marked()


def snippet_of(texts: Sequence[str], terms: Sequence[Term]) -> Snippet:
    """The part of the first text with the most of the terms, or of the first one that has text."""
    best: tuple[int, str, list[tuple[int, int, int]]] = (0, "", [])
    for text in texts:
        found = list(_find(text[:MOST_CHARACTERS], terms))
        distinct = len({term for _, _, term in found})
        if distinct > best[0] or (not best[1] and text):
            best = (distinct, text, found)
    return _cut(best[1], best[2])


def _find(text: str, terms: Sequence[Term]) -> Iterator[tuple[int, int, int]]:
    """Where in a text words of the terms stand: beginning, end, and which word."""
    exact = {word: number for number, word in enumerate(_spaced(terms))}
    beginnings = [(term.words[-1], len(exact) + number) for number, term in enumerate(terms) if term.is_prefix]
    runs = [(term.words[0], len(exact) + len(terms) + number) for number, term in enumerate(terms) if term.is_run]
    for match in _WORD.finditer(text):
        start, stop = match.span()
        yield from _in_word(text, start, stop, exact, beginnings)
    for run, number in runs:
        yield from ((found.start(), found.end(), number) for found in re.finditer(re.escape(run), text, re.IGNORECASE))


def _spaced(terms: Sequence[Term]) -> list[str]:
    return list(dict.fromkeys(word for term in terms if not term.is_run for word in term.words))


def _in_word(
    text: str, start: int, stop: int, exact: dict[str, int], beginnings: Sequence[tuple[str, int]]
) -> Iterator[tuple[int, int, int]]:
    # `\w` takes an underscore for a letter; the words of `snake_case` are two.
    for part in re.finditer(r"[^_]+", text[start:stop]):
        for piece in (piece for word in words(part.group()) for piece in pieces(word)):
            number = exact.get(piece)
            if number is None:
                number = next((number for beginning, number in beginnings if piece.startswith(beginning)), None)
            if number is not None:
                yield start + part.start(), start + part.end(), number
                break


def _cut(text: str, found: Sequence[tuple[int, int, int]]) -> Snippet:
    """The window of a text with the most different words, the earliest of equal ones."""
    ordered = sorted(found)
    if len(text) <= LENGTH:
        return Snippet(text, _merged([(start, stop) for start, stop, _ in ordered]))
    begin = 0
    most = 0
    for position, (start, _, _) in enumerate(ordered):
        inside = {number for _, stop, number in ordered[position : position + LENGTH] if stop <= start + LENGTH - SLACK}
        if len(inside) > most:
            most, begin = len(inside), start
    begin = _between_words(text, max(0, begin - SLACK))
    end = min(len(text), begin + LENGTH)
    head, tail = "…" if begin else "", "…" if end < len(text) else ""
    shift = len(head) - begin
    inside_spans = [(start + shift, stop + shift) for start, stop, _ in ordered if start >= begin and stop <= end]
    return Snippet(f"{head}{text[begin:end]}{tail}", _merged(inside_spans))


def _between_words(text: str, at: int) -> int:
    """A place at which no word is cut, if there is one near."""
    if at == 0:
        return 0
    blank = text.find(" ", at, at + SLACK)
    return at if blank < 0 else blank + 1


def _merged(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Spans in order, those that touch as one."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return tuple(merged)
