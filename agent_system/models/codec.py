"""The one reversible codec between Python text or JSON and what both engines can store.

PostgreSQL refuses NUL, UTF-8 has no lone surrogates, and SQLite cuts text at a NUL in its own functions; yet a model
may emit both. Only these code points, and the escape character itself, are replaced; other text is stored as it is.

```
NUL                 →  E '0'
surrogate U+DXXX    →  E 'dxxx'        four lower-case hexadecimal digits
E (U+10FFFD)        →  E E
```

E is the last private-use code point. Python keeps a text without characters beyond U+FFFF in one or two bytes each, so
that looking for E there costs nothing.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from agent_system.json_text import json_parser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ESCAPE", "decode_json", "decode_parsed_json", "decode_text", "encode_json", "encode_text"]

ESCAPE = "\U0010fffd"

_UNSTORABLE = re.compile(f"[\0\ud800-\udfff{ESCAPE}]")
_ESCAPED = re.compile(f"{ESCAPE}(?:{ESCAPE}|0|d[89a-f][0-9a-f]{{2}})")
_JSON_NUL = "\\u0000"
_SPELT_ESCAPE = repr(ESCAPE)[1:-1]


def encode_text(text: str) -> str:
    """Return what is stored for a text: the same object unless it holds NUL, a surrogate or the escape character."""
    if "\0" not in text:
        if text.isascii():
            return text
        if ESCAPE not in text:
            try:
                # By far the fastest search for surrogates that CPython offers.
                text.encode()
            except UnicodeEncodeError:
                pass
            else:
                return text
    return _UNSTORABLE.sub(_escape, text)


def decode_text(text: str) -> str:
    """Return the text that `encode_text` was given."""
    if ESCAPE not in text:
        return text
    return _ESCAPED.sub(_unescape, text)


def encode_json(value: Any) -> str:
    """Return the stored form of a JSON value: compact, readable characters, every string through the text codec.

    Raises:
        ValueError: NaN, an infinity or a circular structure.
        TypeError: A value that JSON does not know.
    """
    if value.__class__ is dict and not value:
        return "{}"
    if value.__class__ is list and not value:
        return "[]"
    try:
        text = _encoded(value)
    except RecursionError as exc:
        message = "the JSON value is nested too deeply, or holds itself"
        raise ValueError(message) from exc
    if _JSON_NUL in text or encode_text(text) is not text:
        return _encoded(_map_strings(value, encode_text))
    return text


def decode_json(text: str) -> Any:
    """Return the value that `encode_json` was given; a text that is not JSON comes back as it is."""
    if text == "{}":
        return {}
    if text == "[]":
        return []
    try:
        value = _decoded(text)
        return _map_strings(value, decode_text) if ESCAPE in text else value
    except (ValueError, RecursionError):
        return decode_text(text)


def decode_parsed_json(value: Any) -> Any:
    """Return the value that `encode_json` was given, from what a driver has parsed."""
    # `repr` spells out what is not printable, and is much faster than a walk through the value in Python.
    return _map_strings(value, decode_text) if value and _SPELT_ESCAPE in repr(value) else value


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character == "\0":
        return ESCAPE + "0"
    if character == ESCAPE:
        return ESCAPE + ESCAPE
    return f"{ESCAPE}{ord(character):x}"


def _unescape(match: re.Match[str]) -> str:
    code = match.group()[1:]
    if code == "0":
        return "\0"
    if code == ESCAPE:
        return ESCAPE
    return chr(int(code, 16))


def _map_strings(value: Any, convert: Any) -> Any:
    if isinstance(value, str):
        return convert(value)
    if isinstance(value, dict):
        return {_map_strings(key, convert): _map_strings(item, convert) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_strings(item, convert) for item in value]
    return value


def _encoded(value: Any) -> str:
    return "".join(_chunks(value, 0))


def _refuse_constant(name: str) -> None:
    # RFC 8259 knows no NaN and no Infinity, and PostgreSQL refuses them: such a text is malformed.
    message = f"{name} is not JSON"
    raise ValueError(message)


def _quick_encoder(encoder: json.JSONEncoder) -> Callable[[Any, int], Iterable[str]]:
    """What an encoder makes anew for each value, which takes as long as a small value itself.

    It keeps no book of what it is in: a value that holds itself ends in a RecursionError.
    """
    inner = vars(json.encoder)
    make: Any = inner.get("c_make_encoder")
    if make is None:
        return lambda value, _level: encoder.iterencode(value)
    quote = inner["encode_basestring"]
    chunks: Any = make(None, encoder.default, quote, None, ":", ",", False, False, False)  # noqa: FBT003 (no names)
    return cast("Callable[[Any, int], Iterable[str]]", chunks)


_chunks = _quick_encoder(json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")))
_decoded = json_parser(json.JSONDecoder(parse_constant=_refuse_constant))
