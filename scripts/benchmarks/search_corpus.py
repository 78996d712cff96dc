"""What `scripts/bench search` searches: pieces of the standard library, and questions whose answer is known.

Everybody has the standard library, nobody has to download it, and it is text that people have written: docstrings,
comments, names cut into their words. The same seed gives the same memories and questions on the same Python.
"""

from __future__ import annotations

import random
import re
import sysconfig
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Corpus", "Question", "corpus"]

LINES = 6
LEAST_WORDS, MOST_WORDS = 12, 80
ASKED_WORDS = 6
# How many of the words of a question are not as they stand in the text, as if somebody remembered them by half.
MANGLED = 0.3
LEAST_LETTERS = 3
_NAME = re.compile(r"[A-Za-z]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|_")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the memory that it is about."""

    text: str
    answer: int
    """The memory's position."""
    user: str
    """Whose memory it is."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Memories and questions."""

    texts: list[str]
    users: list[str]
    questions: list[Question]


def corpus(rows: int, users: int, questions: int, seed: int = 5) -> Corpus:
    """Make memories of so many users, and questions of which each is about one memory."""
    chance = random.Random(seed)
    # Twice as many to choose from; for few memories not all modules are read.
    texts = list(dict.fromkeys(islice(_pieces(offset=0), 2 * rows)))
    for offset in range(1, LINES):
        if len(texts) >= rows:
            break
        texts = list(dict.fromkeys([*texts, *_pieces(offset=offset)]))
    chance.shuffle(texts)
    texts = texts[:rows]
    owners = [f"user-{chance.randrange(users)}" for _ in texts]
    asked = chance.sample(range(len(texts)), min(questions, len(texts)))
    return Corpus(texts, owners, [Question(_asked(chance, texts[at]), at, owners[at]) for at in asked])


def _asked(chance: random.Random, text: str) -> str:
    words = sorted({word for word in _NAME.findall(text.lower()) if len(word) >= LEAST_LETTERS})
    chosen = chance.sample(words, min(ASKED_WORDS, len(words)))
    return " ".join(_mangled(chance, word) if chance.random() < MANGLED else word for word in chosen)


def _mangled(chance: random.Random, word: str) -> str:
    return chance.choice([f"{word}s", word[:-1], f"{word}ing"])


def _pieces(offset: int) -> Iterator[str]:
    """Pieces of some lines of every module, in the order of their paths."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        told = [line for line in lines if _NAME.search(line)][offset:]
        for start in range(0, len(told), LINES):
            piece = _HUMP.sub(" ", " ".join(told[start : start + LINES]))
            words = piece.split()[:MOST_WORDS]
            if len(words) >= LEAST_WORDS:
                yield " ".join(words)
