"""Words: how a text is cut for search, with or without blanks, with or without accents.

- A word is a run of letters, digits and marks; everything else separates. Compatible characters are their plain ones
  (Unicode's NFKC): `ﬁle` is `file`.
- Case does not matter, nor do accents on Latin letters: `Café` is `cafe`. A letter that only looks like one with an
  accent stays: `ø` is not `o`, and `й` is not `и`.
- Scripts that put no blanks between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer; and Korean, whose particles
  stick to the words) are cut into overlapping pairs of characters: `東京都` is `東京` and `京都`. That needs no
  dictionary, works in every build of SQLite, and finds words of one and two characters, as no trigram index does.

The engines cut by themselves what they index, FTS5's unicode61 and a function of ours on PostgreSQL, so that a text is
found whoever wrote it. What they do not find in it goes into the column `extra_terms` beside the text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent_system.models.codec import encode_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LONGEST_WORD", "canonical", "extra_terms", "is_unspaced", "pairs", "pieces", "plain_text", "terms", "words"]

LONGEST_WORD = 255
"""Characters; longer runs of letters are data, not words, and are not looked for."""

# Thai and Lao; Burmese; Khmer; kana, bopomofo and Han with their marks; Hangul; half-width kana; later Han blocks.
UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u3005-\u3007"
    "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{UNSPACED}]+")
_ACCENTED = re.compile("([A-Za-z])[\u0300-\u036f]+")
# At the end of a Greek word sigma has a form of its own.
_FINAL_SIGMA = ("\u03c2", "\u03c3")
_ASCII_WORD = re.compile("[0-9a-z]+")


def plain_text(value: Any) -> str:
    """What is indexed of a value: a text, or the texts of a JSON list."""
    if isinstance(value, str):
        return value
    return " ".join(item for item in value if isinstance(item, str)) if isinstance(value, list) else ""


def canonical(text: str) -> str:
    """A text without the differences that do not matter: case, accents of Latin letters, compatible characters."""
    if text.isascii():
        return text.lower()
    return _fold(unicodedata.normalize("NFKC", text))


def words(text: str) -> list[str]:
    """The words of a text in order, in their canonical form, cut only at what separates words."""
    return _cut(canonical(text), _is_of_word)


def terms(text: str) -> list[str]:
    """What the words of a text consist of, in order: words, and of scripts without blanks the pairs of characters."""
    plain = canonical(text)
    if plain.isascii():
        return _ASCII_WORD.findall(plain)
    found: list[str] = []
    for piece in (piece for word in _cut(plain, _is_of_word) for piece in pieces(word)):
        if is_unspaced(piece):
            found.extend(pairs(piece))
        else:
            found.append(piece)
    return found


def pieces(word: str) -> Iterator[str]:
    """The parts of a canonical word in which scripts meet: `iphoneを買う` is `iphone` and `を買う`."""
    end = 0
    for run in _RUN.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        yield run.group()
        end = run.end()
    if end < len(word):
        yield word[end:]


def is_unspaced(piece: str) -> bool:
    """Whether a piece of a word is of a script without blanks."""
    return _RUN.match(piece) is not None


def pairs(run: str) -> list[str]:
    """The overlapping pairs of a run of characters; a single one is itself."""
    return [run[at : at + 2] for at in range(len(run) - 1)] or [run]


def extra_terms(*texts: str) -> str | None:
    """What is indexed beside texts because the engines' own way of cutting does not find it; None: nothing is.

    Of each run of a script without blanks all pairs, one after the other, so that a phrase of pairs is the run itself,
    and then its characters. Of other words those that stick to such a run or to a character that FTS5 does not know to
    separate, and those that are spelled in compatible characters.
    """
    lines = [line for text in texts if not _is_plain(text) for line in _extra_lines(text)]
    return "\n".join(lines) or None


def _is_plain(text: str) -> bool:
    """Whether the engines cut it as we do, as most texts."""
    return text.isascii() and "\0" not in text


def _extra_lines(text: str) -> Iterator[str]:
    found = [piece for word in words(text) for piece in pieces(word)]
    for run in (piece for piece in found if is_unspaced(piece)):
        yield " ".join([*(pairs(run) if len(run) > 1 else ()), *run])
    # As it is stored, because the engine cuts what is stored.
    known = set(_cut(_fold(encode_text(text)), _is_surely_of_word))
    unknown = [piece for piece in dict.fromkeys(found) if piece not in known and not is_unspaced(piece)]
    if unknown:
        yield " ".join(unknown)


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    plain = _ACCENTED.sub(r"\1", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", plain).lower().replace(*_FINAL_SIGMA)


def _cut(text: str, is_of_word: _Test) -> list[str]:
    if text.isascii():
        return _ASCII_WORD.findall(text)
    return "".join(_blanked(text, is_of_word)).split()


def _blanked(text: str, is_of_word: _Test) -> Iterable[str]:
    return (character if is_of_word(character) else " " for character in text)


@lru_cache(maxsize=8192)
def _is_of_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


@lru_cache(maxsize=8192)
def _is_surely_of_word(character: str) -> bool:
    # FTS5 of SQLite 3.40 has the tables of Unicode 6.1 and takes a later symbol for a letter. Of what separated already
    # in Unicode 3.2 it is known that it separates.
    category = unicodedata.ucd_3_2_0.category(character)
    return category[0] not in "PSZC" or category in {"Cn", "Co"}


if TYPE_CHECKING:
    from collections.abc import Callable

    _Test = Callable[[str], bool]
