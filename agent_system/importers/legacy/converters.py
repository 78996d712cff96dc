"""The words in which a table's description says what its columns become.

Each is a function that makes a `Converter`: from a `SourceRow` to the value of one column here. What cannot be read
gets the stated default; the row then keeps the value as it was, and the report tells of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.columns import InColumns, SourcePage, whole
from agent_system.importers.legacy.moments import NOW, future, moment
from agent_system.importers.legacy.rows import Converter, SourceRow
from agent_system.importers.legacy.scalars import count, flag, integer, nano_dollars, number
from agent_system.importers.legacy.values import UnreadableError, plain, to_json, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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


# What stands in a column of texts.
TEXTS = frozenset({str, type(None)})


def constant(value: Any) -> Converter:
    """The same in every row."""
    return InColumns(lambda _row: value, lambda page: [value] * len(page))


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

    def column(page: SourcePage) -> Sequence[str | None]:
        values = page.column(name)
        if not TEXTS.issuperset(map(type, values)):
            return [
                value if value.__class__ is str and (empty or value.strip()) else page.convert(convert, position)
                for position, value in enumerate(values)
            ]
        if not empty:
            return [value if value is not None and value.strip() else default for value in values]
        return values if default is None else [default if value is None else value for value in values]

    return InColumns(convert, column)


def required(convert: Converter, name: str) -> Converter:
    """A value without which the row has no meaning: it is rejected when there is none."""

    def checked(row: SourceRow) -> Any:
        value = convert(row)
        if value is None:
            row.reject(f"{name} has no value that can be read: {plain(row.raw.get(name))!r}")
        return value

    def column(page: SourcePage) -> Sequence[Any]:
        found = whole(convert, page)
        return [page.convert(checked, place) if value is None else value for place, value in enumerate(found)]

    return InColumns(checked, column)


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

    def column(page: SourcePage) -> Sequence[StrEnum | None]:
        nothing = known.get("", default)
        found = []
        for position, value in enumerate(page.column(name)):
            member = nothing if value is None else exact.get(value) if value.__class__ is str else None
            found.append(page.convert(convert, position) if member is None and value is not None else member)
        return found

    return InColumns(convert, column)


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

    def column(page: SourcePage) -> Sequence[Any]:
        return [
            default() if value is None or value == "" else page.convert(convert, position)
            for position, value in enumerate(page.column(name))
        ]

    return InColumns(convert, column)


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

    def column(page: SourcePage) -> Sequence[Any]:
        values = page.column(name)
        find = page.reading.references.find
        known = {value: None if value is None else find(source, value) for value in set(values)}
        doubtful = {value for value, key in known.items() if key is None}
        if otherwise is None:
            doubtful.discard(None)
        return [
            page.convert(convert, position) if value in doubtful else known[value]
            for position, value in enumerate(values)
        ]

    return InColumns(convert, column)
