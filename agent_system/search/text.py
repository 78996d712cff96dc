"""Words: how a text is cut for search, with or without blanks, with or without accents.

- A word is a run of letters, digits and private-use characters; everything else separates, as in FTS5's unicode61
  (https://www.sqlite.org/fts5.html#unicode61_tokenizer).
- Case and accents do not matter: `Café` is `cafe`. A letter that is not a letter with an accent stays: `ø` is not `o`.
- Scripts that put no blanks between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer; and Korean, whose particles
  stick to the words) are cut into overlapping pairs of characters: `東京都` is `東京` and `京都`. That needs no
  dictionary, works in every build of SQLite, and finds words of one and two characters, as no trigram index does.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["fold", "grams", "has_unspaced", "pairs", "unspaced_runs", "words"]

# Thai and Lao; Burmese; Khmer; kana, bopomofo and Han with their marks; Hangul; half-width kana; later Han blocks.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u3105-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_RUN = re.compile(f"[{_UNSPACED}]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_WORD_CATEGORIES = frozenset("LN")


def has_unspaced(text: str) -> bool:
    """Whether a text has characters of a script that puts no blanks between words."""
    return not text.isascii() and _RUN.search(text) is not None


def fold(text: str) -> str:
    """A text without the differences that do not matter: case and accents."""
    if text.isascii():
        return text.lower()
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", plain).lower()


def words(text: str) -> list[str]:
    """All words of a text in order, as they are compared; of scripts without blanks the pairs of characters."""
    found: list[str] = []
    for word in _spaced_words(fold(text)):
        if has_unspaced(word):
            found.extend(_cut(word))
        else:
            found.append(word)
    return found


def pairs(run: str) -> list[str]:
    """The overlapping pairs of a run of characters; a single one is itself."""
    return [run[at : at + 2] for at in range(len(run) - 1)] or [run]


def unspaced_runs(text: str) -> list[str]:
    """The runs of characters that scripts without blanks have in a text, in their compatible form."""
    return [] if not has_unspaced(text) else _RUN.findall(unicodedata.normalize("NFKC", text))


def grams(*texts: str) -> str | None:
    """What is indexed beside the words of texts, so that words of scripts without blanks are found; None for others.

    Of each run all pairs, one after the other, so that a phrase of pairs is the run itself, and then its characters.
    """
    lines = [" ".join([*(pairs(run) if len(run) > 1 else ()), *run]) for text in texts for run in unspaced_runs(text)]
    return "\n".join(lines) or None


def _cut(word: str) -> Iterator[str]:
    """A word in which scripts meet: `iPhoneを買う` is `iphone`, `を買`, `買う`."""
    end = 0
    for run in _RUN.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        yield from pairs(run.group())
        end = run.end()
    if end < len(word):
        yield word[end:]


def _spaced_words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORD.findall(text)
    return "".join(character if _is_of_word(character) else " " for character in text).split()


_ASCII_WORD = re.compile("[0-9a-z]+")


@lru_cache(maxsize=4096)
def _is_of_word(character: str) -> bool:
    category = unicodedata.category(character)
    # Marks of scripts without blanks are parts of their words.
    return category[0] in _WORD_CATEGORIES or category == "Co" or _RUN.match(character) is not None
