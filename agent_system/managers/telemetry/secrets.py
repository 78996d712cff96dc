"""Taking secrets out of what a runtime reports, before it is written anywhere.

A value is a secret because of its name (`password`, `api_key`, `Authorization`), wherever it stands: in nested objects,
in JSON within a string, in a list of headers or of command-line arguments. A text may hold secrets that have no name or
whose name stands before them: tokens in the formats of their issuers, private keys, passwords in URLs and connection
strings, headers and assignments. Rather too much is taken out than too little; counts such as `max_tokens` stay.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

from agent_system.managers.telemetry.secret_patterns import (
    BEFORE_NAME,
    HINTS,
    NAME,
    NAME_HINTS,
    PATTERNS,
    REDACTED,
    VALUE_OF_NAME,
    is_secret_name,
)

__all__ = ["REDACTED", "redact", "redact_text"]

# JSON is not nested more deeply by people who want it to be read.
DEEPEST = 64
# A longer text is not parsed as JSON but searched like any other.
LONGEST_JSON = 200_000
LONGEST_NAME = 40
SEARCHED_BEYOND = 4_000
# Lower-casing by Unicode's rules may change the length of a text.
ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

_NOT_NAME = re.compile(r"[^\w.-]")


def redact(value: Any, longest: int | None = None) -> Any:
    """Return a JSON value without the secrets in it; the same object where there are none.

    Args:
        longest: Characters that are kept of each text; a longer one ends in a note of how many are missing. None: all.
    """
    return _redact(value, DEEPEST, longest)


def redact_text(text: str, longest: int | None = None) -> str:
    """Return a text without the secrets in it, as `redact` does."""
    return _redact_text(text, DEEPEST, longest)


def _redact(value: Any, depth: int, longest: int | None) -> Any:
    if isinstance(value, str):
        return _redact_text(value, depth, longest)
    if not isinstance(value, (dict, list, tuple)) or not value:
        return value
    if depth == 0:
        return REDACTED
    cleaned: Any = (
        _redact_object(value, depth, longest) if isinstance(value, dict) else _redact_list(value, depth, longest)
    )
    is_same = len(cleaned) == len(value) and all(
        new is old for new, old in zip(_items(cleaned), _items(value), strict=True)
    )
    return value if is_same else cleaned


def _items(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


def _redact_object(value: dict[Any, Any], depth: int, longest: int | None) -> dict[Any, Any]:
    cleaned = {
        key: REDACTED if _is_secret(key, item) else _redact(item, depth - 1, longest) for key, item in value.items()
    }
    # {"name": "Authorization", "value": "..."}, as some write headers and variables of the environment.
    name = next((value[key] for key in ("name", "key", "header") if key in value), None)
    if "value" in cleaned and _is_secret(name, value["value"]):
        cleaned["value"] = REDACTED
    return cleaned


def _redact_list(value: list[Any] | tuple[Any, ...], depth: int, longest: int | None) -> list[Any]:
    cleaned = [_redact(item, depth - 1, longest) for item in value]
    for position, (name, item) in enumerate(pairwise(value), 1):
        # ["--password", "..."] of a command, or the pair of a header.
        if isinstance(name, str) and (name.startswith("-") or len(value) == 2) and _is_secret(name, item):  # noqa: PLR2004
            cleaned[position] = REDACTED
    return cleaned


def _is_secret(name: Any, value: Any) -> bool:
    if value is None or isinstance(value, bool) or value in ("", REDACTED):
        return False
    return isinstance(name, str) and is_secret_name(name, is_number=isinstance(value, (int, float)))


def _redact_text(text: str, depth: int, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return _cleaned(text, depth)
    # So much more is searched, so that no secret is cut in two before it is found.
    kept = _cleaned(text[: longest + SEARCHED_BEYOND], depth)[:longest]
    return f"{kept}… [{len(text) - longest} more characters]"


def _cleaned(text: str, depth: int) -> str:
    lowered = text.lower()
    if not any(hint in lowered for hint in HINTS):
        return text
    if depth and len(text) <= LONGEST_JSON and text.lstrip()[:1] in {"{", "["}:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            cleaned = _redact(value, depth - 1, None)
            return text if cleaned is value else json.dumps(cleaned, ensure_ascii=False)
    cleaned = text
    for hints, pattern, replace in PATTERNS:
        if any(hint in lowered for hint in hints):
            cleaned = pattern.sub(replace, cleaned)
    if any(hint in lowered for hint in NAME_HINTS):
        cleaned = _redact_named(cleaned)
    return text if cleaned == text else cleaned


def _redact_named(text: str) -> str:
    """Take out what a text gives names of secrets to: `password = ...`, `"token": "..."`, `--api-key ...`."""
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = text.translate(ASCII_LOWER)
    parts: list[str] = []
    done = 0
    for found in NAME.finditer(lowered):
        value = VALUE_OF_NAME.match(text, found.end()) if found.start() >= done else None
        if value is None:
            continue
        group = "bare" if value.group("quoted") is None else "quoted"
        name = f"{_end_of_name(text[done : found.start()])}{text[found.start() : value.start(group)]}"
        is_option = name.startswith("-")
        secret = value.group(group)
        is_number = secret.replace(".", "", 1).isdecimal()
        if (value.group("sign") or is_option) and is_secret_name(_NOT_NAME.split(name)[0], is_number=is_number):
            parts += (text[done : value.start(group)], REDACTED)
            done = value.end(group)
    return "".join([*parts, text[done:]])


def _end_of_name(text: str) -> str:
    found = BEFORE_NAME.search(text[-LONGEST_NAME:])
    return found.group() if found else ""
