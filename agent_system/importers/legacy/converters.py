"""The words in which a table's description says what its columns become.

Each is a function that makes a `Converter`: from a `SourceRow` to the value of one column here. What cannot be read
gets the stated default; the row then keeps the value as it was, and the report tells of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.moments import NOW, future, moment
from agent_system.importers.legacy.rows import Converter, SourceRow
from agent_system.importers.legacy.values import (
    UnreadableError,
    plain,
    to_boolean,
    to_integer,
    to_json,
    to_number,
    to_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import StrEnum

__all__ = [
    "NOW",
    "OWN_ID",
    "Converter",
    "constant",
    "count",
    "flag",
    "future",
    "integer",
    "json_list",
    "json_object",
    "json_value",
    "moment",
    "nano_dollars",
    "number",
    "reference",
    "required",
    "text",
    "texts",
    "word",
]

NANO = 10**9
LARGEST = 2**63 - 1


def constant(value: Any) -> Converter:
    """The same in every row."""
    return lambda _row: value


def OWN_ID(row: SourceRow) -> Any:  # noqa: N802 (a word of the descriptions, told from the others by its identity)
    """The key that the importer makes for the row: the same at every import."""
    return row.target_id


def text(name: str, default: str | None = None, *, empty: bool = True) -> Converter:
    """A text.

    Args:
        name: The column there.
        default: What NULL becomes.
        empty: Whether a text of nothing but blanks is kept; otherwise it becomes the default, too.
    """

    def convert(row: SourceRow) -> str | None:
        value = row.raw.get(name)
        if value is None:
            return default
        if value.__class__ is not str:
            value, mended = to_text(value)
            if mended is not None:
                row.mend(name, mended)
        return default if not empty and not value.strip() else value

    return convert


def required(convert: Converter, name: str) -> Converter:
    """A value without which the row has no meaning: it is rejected when there is none."""

    def checked(row: SourceRow) -> Any:
        value = convert(row)
        if value is None:
            row.reject(f"{name} has no value that can be read: {plain(row.raw.get(name))!r}")
        return value

    return checked


def _scalar(
    name: str, read: Callable[[Any], tuple[Any, str | None]], default: Any, allowed: Callable[[Any], str | None] | None
) -> Converter:
    def convert(row: SourceRow) -> Any:
        value = row.raw.get(name)
        if value is None:
            return default
        try:
            found, mended = read(value)
            wrong = None if allowed is None else allowed(found)
        except UnreadableError as exc:
            found, mended, wrong = default, None, str(exc)
        if wrong is not None:
            row.mend(name, f"{wrong}, now {'empty' if default is None else default}")
            return default
        if mended is not None:
            row.mend(name, mended)
        return found

    return convert


def _not_negative(value: float) -> str | None:
    return "is negative" if value < 0 else None


def integer(name: str, default: int | None = None, *, low: int | None = None, high: int | None = None) -> Converter:
    """A whole number; one out of range becomes the default."""

    def allowed(value: int) -> str | None:
        if (low is not None and value < low) or (high is not None and value > high):
            return f"{value} is not from {low} to {high}"
        return None

    return _scalar(name, to_integer, default, allowed)


def count(name: str, default: int | None = None) -> Converter:
    """A number of things: whole and not negative."""
    return _scalar(name, to_integer, default, _not_negative)


def number(name: str, default: float | None = None, *, negative: bool = True) -> Converter:
    """Any number."""
    return _scalar(name, to_number, default, None if negative else _not_negative)


def flag(name: str, *, default: bool | None = None) -> Converter:
    """A truth value."""
    return _scalar(name, to_boolean, default, None)


def nano_dollars(name: str) -> Converter:
    """US dollars as whole billionths; a negative amount is none."""

    def allowed(value: float) -> str | None:
        return _not_negative(value) or (f"{value} is too large" if value * NANO > LARGEST else None)

    dollars = _scalar(name, to_number, None, allowed)

    def convert(row: SourceRow) -> int | None:
        value = dollars(row)
        return None if value is None else round(value * NANO)

    return convert


def word(
    name: str, enum: type[StrEnum], default: StrEnum | None, legacy: Mapping[str, StrEnum] | None = None
) -> Converter:
    """A value of an enumeration, in the spellings of the older system too; case does not matter.

    Args:
        name: The column there.
        enum: The enumeration.
        default: What NULL and an unknown word become; the row keeps the word.
        legacy: What other spellings mean.
    """
    known: dict[str, StrEnum] = {key.casefold(): value for key, value in (legacy or {}).items()}
    known |= {member.value.casefold(): member for member in enum}
    exact = {member.value: member for member in enum}

    def convert(row: SourceRow) -> StrEnum | None:
        value = row.raw.get(name)
        if value is None:
            return known.get("", default)
        found: StrEnum | None = exact.get(value) if value.__class__ is str else None
        if found is not None:
            return found
        spelled = to_text(value)[0]
        found = known.get(spelled.strip().casefold())
        row.mend(name, f"{spelled!r} is {found or default} here")
        return found or default

    return convert


def _json(name: str, wanted: type | None, default: Callable[[], Any]) -> Converter:
    def convert(row: SourceRow) -> Any:
        value = row.raw.get(name)
        if value is None or value == "":
            return default()
        try:
            found, mended = to_json(value)
        except UnreadableError as exc:
            # In a column for any JSON the text itself is kept; where it has to be an object it goes to the metadata.
            row.mend(name, str(exc))
            return to_text(value)[0] if wanted is None else default()
        if wanted is not None and not isinstance(found, wanted):
            if found is not None:
                row.mend(name, f"is a JSON {type(found).__name__}, not the expected {wanted.__name__}")
            return default()
        if mended is not None:
            row.mend(name, mended, keep=False)
        return found

    return convert


def json_value(name: str) -> Converter:
    """Any JSON; what is none is kept as its text."""
    return _json(name, None, lambda: None)


def json_object(name: str) -> Converter:
    """A JSON object, empty when there is none."""
    return _json(name, dict, dict)


def json_list(name: str) -> Converter:
    """A JSON array, empty when there is none."""
    return _json(name, list, list)


def texts(name: str, *, separator: str | None = None) -> Converter:
    """An array of texts, each once: a JSON array, or words with a separator between them."""

    def convert(row: SourceRow) -> list[str]:
        value = row.raw.get(name)
        if value is None or value == "":
            return []
        try:
            found, _ = to_json(value)
        except UnreadableError as exc:
            if separator is None:
                row.mend(name, str(exc))
                return []
            found = [part.strip() for part in to_text(value)[0].split(separator)]
            row.mend(name, "words instead of a JSON array", keep=False)
        if not isinstance(found, list):
            row.mend(name, "is no JSON array")
            return []
        return list(dict.fromkeys(item if isinstance(item, str) else _shown(item) for item in found if item != ""))

    return convert


def _shown(item: Any) -> str:
    if isinstance(item, dict):
        for key in ("type", "name", "id"):
            if isinstance(item.get(key), str):
                return str(item[key])
    return str(int(item)) if isinstance(item, float) and math.isfinite(item) and item.is_integer() else str(item)


def reference(name: str, source: str, *, otherwise: Any = None, quiet: bool = False) -> Converter:
    """The key here of the row that a column refers to.

    Args:
        name: The column there.
        source: The table there that it refers to.
        otherwise: What a reference to nothing becomes: None where that may be, a `Placeholder`, or "reject".
        quiet: Whether a reference to nothing is no orphan, as of a tool that need not be registered.
    """

    def convert(row: SourceRow) -> Any:
        value = row.raw.get(name)
        found = None if value is None else row.reading.references.find(source, value)
        if found is None:
            if value is not None and value != "" and not quiet:
                row.lose_reference(name, source)
            if otherwise == "reject":
                row.reject(f"{name} refers to a row of {source} that is not there: {plain(value)!r}")
            return otherwise
        return found

    return convert
