"""What the values of older systems mean: one function for each type, which says what it had to mend.

A value that has no meaning raises `UnreadableError`; nothing is guessed and nothing is evaluated.
"""

from __future__ import annotations

import ast
import json
import math
import warnings
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = [
    "UnreadableError",
    "plain",
    "to_boolean",
    "to_integer",
    "to_json",
    "to_moment",
    "to_number",
    "to_text",
]

LARGEST = 2**63 - 1
# A text that only looks like Python is not worth a parser's memory; real ones have a few thousand characters.
LONGEST_PYTHON = 200_000
DEEPEST_PYTHON = 50
# Numbers are seconds since 1970 from 1973 on; a thousand times as many are milliseconds, and so on to nanoseconds.
EPOCH_FLOOR = 1e8
EPOCH_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (1e20, 1_000_000_000))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TRUE = frozenset({"true", "t", "yes", "y", "on"})
FALSE = frozenset({"false", "f", "no", "n", "off"})

Mended = str | None
"""What was mended, in words; None when the value is as it should be."""


class UnreadableError(ValueError):
    """The value has no meaning in the type that it should have."""


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it, for the metadata of a row: bytes as hexadecimal digits."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def to_text(value: Any) -> tuple[str, Mended]:
    """Return a text; bytes that are no UTF-8 become their hexadecimal digits."""
    if value.__class__ is str:
        return value, None
    if isinstance(value, bytes):
        try:
            return value.decode(), "a blob that is text"
        except UnicodeDecodeError:
            return value.hex(), "a blob, kept as its hexadecimal digits"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value), "a number where a text was expected"


def to_integer(value: Any) -> tuple[int, Mended]:
    """Return a whole number.

    Raises:
        UnreadableError: It is none, or larger than a database can hold.
    """
    if value.__class__ is int:
        return value, None
    number, mended = _number(value)
    if isinstance(number, float):
        if not number.is_integer():
            message = f"{value!r} is not a whole number"
            raise UnreadableError(message)
        number, mended = int(number), mended or "a whole number written as a fraction"
    if not -LARGEST - 1 <= number <= LARGEST:
        message = f"{value!r} is too large"
        raise UnreadableError(message)
    return number, mended


def to_number(value: Any) -> tuple[float, Mended]:
    """Return a number.

    Raises:
        UnreadableError: It is none.
    """
    if value.__class__ is float and math.isfinite(value):
        return value, None
    number, mended = _number(value)
    try:
        return float(number), mended
    except OverflowError as exc:
        message = f"{value!r} is too large"
        raise UnreadableError(message) from exc


def _number(value: Any) -> tuple[int | float, Mended]:
    if isinstance(value, (int, float)) and math.isfinite(value):
        return value, None
    text = value.strip() if isinstance(value, str) else ""
    # Python's own spellings, such as 1_000 and nan, are not those of a database.
    if text and "_" not in text and text.isascii():
        for kind in (int, float):
            try:
                number: int | float = kind(text)
            except ValueError:
                continue
            if math.isfinite(number):
                return number, "a number written as text"
    message = f"{_short(value)} is not a number"
    raise UnreadableError(message)


def to_boolean(value: Any) -> tuple[bool, Mended]:
    """Return whether something holds: every number but 0 is true, and the usual words.

    Raises:
        UnreadableError: It is neither.
    """
    if value.__class__ is int and value in (0, 1):
        return bool(value), None
    if isinstance(value, (int, float)) and math.isfinite(value):
        return value != 0, "a number other than 0 and 1"
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in TRUE or word in FALSE:
        return word in TRUE, "a truth value written as text"
    if word:
        return to_boolean(to_number(word)[0])[0], "a truth value written as text"
    message = f"{_short(value)} is not a truth value"
    raise UnreadableError(message)


def to_moment(value: Any, zone: tzinfo = UTC) -> datetime:
    """Return a moment in UTC.

    Args:
        value: ISO 8601 with a space or a T, with or without a zone and fractions, a date, slashes, RFC 2822, seconds
            since 1970 (or milli-, micro- or nanoseconds, told by their size) as a number or as text.
        zone: Where clocks without a zone stood.

    Raises:
        UnreadableError: It is no moment.
    """
    if value.__class__ is str and value[4:5] == "-":
        try:
            return _in_utc(datetime.fromisoformat(value), zone)
        except (ValueError, OverflowError):
            pass
    try:
        return _odd_moment(value, zone)
    except (ValueError, OverflowError, TypeError, AttributeError, IndexError) as exc:
        message = f"{_short(value)} is not a moment"
        raise UnreadableError(message) from exc


def _odd_moment(value: Any, zone: tzinfo) -> datetime:
    try:
        number, _ = _number(value)
    except UnreadableError:
        number = None
    if number is not None:
        return _from_epoch(number)
    text = value.strip()
    if "/" in text[:8]:
        text = text.replace("/", "-")
    if text[4:5] == "-":
        return _in_utc(datetime.fromisoformat(text), zone)
    # What JavaScript's Date prints is RFC 2822 in another order.
    words = text.split()
    if len(words) > 5 and words[5].startswith("GMT"):  # noqa: PLR2004 (Fri Jun 13 2025 10:00:00 GMT+0000 ...)
        text = f"{words[0]}, {words[2]} {words[1]} {words[3]} {words[4]} {words[5].removeprefix('GMT') or '+0000'}"
    return _in_utc(parsedate_to_datetime(text), zone)


def _from_epoch(number: float) -> datetime:
    if number >= EPOCH_FLOOR:
        for limit, parts in EPOCH_UNITS:
            if number < limit:
                if isinstance(number, int):
                    seconds, rest = divmod(number, parts)
                    return EPOCH + timedelta(seconds=seconds, microseconds=rest * 1_000_000 // parts)
                return EPOCH + timedelta(seconds=number / parts)
    message = f"{number} is no time since 1970"
    raise UnreadableError(message)


def _in_utc(moment: datetime, zone: tzinfo) -> datetime:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def to_json(value: Any) -> tuple[Any, Mended]:
    """Return what a text of JSON, or of Python's literals, says.

    Raises:
        UnreadableError: It is neither.
    """
    if isinstance(value, (int, float)):
        return plain(value), None
    text, mended = to_text(value)
    try:
        return json.loads(text, parse_constant=_refuse), mended
    except (ValueError, RecursionError):
        pass
    found = _from_python(text)
    return found, "a Python value instead of JSON"


def _refuse(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _from_python(text: str) -> Any:
    """Read what `repr` wrote: literals only, of bounded size and depth, by the parser that evaluates nothing."""
    stripped = text.strip()
    if not stripped.startswith(("{", "[", "(")) or len(stripped) > LONGEST_PYTHON or _depth(stripped) > DEEPEST_PYTHON:
        message = f"{_short(text)} is not JSON"
        raise UnreadableError(message)
    try:
        with warnings.catch_warnings():
            # About escapes in strings, which are the writer's business.
            warnings.simplefilter("ignore")
            return _as_json(ast.literal_eval(stripped))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as exc:
        message = f"{_short(text)} is neither JSON nor a Python value"
        raise UnreadableError(message) from exc


def _depth(text: str) -> int:
    """The most brackets that are open at once; those in strings count too, which only makes it careful."""
    depth = deepest = 0
    for character in text:
        if character in "{[(":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}])":
            depth -= 1
    return deepest


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key if isinstance(key, str) else repr(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_as_json(item) for item in value), key=repr)
    if isinstance(value, (complex, type(...))):
        return repr(value)
    return plain(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 (enough to recognise it)
