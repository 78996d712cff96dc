"""Finding the addresses in what people write."""

from __future__ import annotations

import re
from unicodedata import category

from agent_system.errors import ValidationError
from agent_system.models.urls import normalise_url

__all__ = ["extract_urls", "is_url_only", "is_valid_url"]

# Scripts that put no space between sentences end an address by their own punctuation, which an address has only in
# percent-encoding: quotation marks, CJK symbols and punctuation, and the full-width forms of ASCII's.
_ELSEWHERE = "\\u2018-\\u201f\\u3000-\\u303f\\uff01-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65"
_CANDIDATE = re.compile(rf"https?://[^\s<>\"`{{}}|\\^\x00-\x1f\x7f{_ELSEWHERE}]+", re.IGNORECASE)

# Punctuation that an address may end in; any other ends a sentence around it.
_MAY_END = "/#%&@"


def extract_urls(text: str) -> list[str]:
    """Return the addresses in a text as they are written there, each once, in order."""
    found = (_trimmed(match[0]) for match in _CANDIDATE.finditer(text))
    return list(dict.fromkeys(url for url in found if is_valid_url(url)))


def is_url_only(text: str) -> bool:
    """Tell whether a text is one address and nothing else."""
    alone = text.strip()
    return _CANDIDATE.fullmatch(alone) is not None and extract_urls(alone) == [alone]


def is_valid_url(url: str) -> bool:
    """Tell whether an address can be saved."""
    try:
        normalise_url(url)
    except ValidationError:
        return False
    return True


def _trimmed(url: str) -> str:
    """The address without the punctuation, of whatever script, that belongs to the sentence around it."""
    while url and _belongs_to_sentence(url):
        url = url[:-1]
    return url


def _belongs_to_sentence(url: str) -> bool:
    last = category(url[-1])
    if last == "Pe":
        # A closing bracket belongs to the address in which it was opened.
        brackets = [category(character) for character in url]
        return brackets.count("Pe") > brackets.count("Ps")
    return last in {"Po", "Pi", "Pf"} and url[-1] not in _MAY_END
