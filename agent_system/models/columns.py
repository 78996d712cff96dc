"""Column types that mean the same on both engines.

SQLite keeps text where PostgreSQL has a type of its own: dates as text whose order is the order in time, UUIDs as 36
characters, JSON through the codec. A column's processors run for every value of every row, so each type hands out a
plain function that does nothing but the work.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, Integer, LargeBinary, String, types
from sqlalchemy import REAL as SQL_REAL
from sqlalchemy import Uuid as SqlUuid
from sqlalchemy.types import TypeDecorator, TypeEngine

from agent_system.errors import SchemaMismatchError
from agent_system.models.codec import ESCAPE, decode_json, decode_parsed_json, decode_text, encode_json, encode_text
from agent_system.models.uuids import native_uuid, parse_uuid, uuid_text

__all__ = ["BigInt", "Enumerated", "FormatVersion", "Json", "Real", "Text", "UtcDateTime", "Uuid", "Vector"]

Processor = Callable[[Any], Any] | None

# PostgreSQL sorts by the locale unless told otherwise; "C" is the order of code points, which is SQLite's.
_SQL_TEXT: TypeEngine[str] = types.Text().with_variant(types.Text(collation="C"), "postgresql")

BigInt: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit integer; on SQLite declared INTEGER, which alone can be an automatic key there."""


class Real(TypeDecorator[float]):
    """A 64-bit floating-point number, handed to the driver as it is."""

    impl: TypeEngine[Any] = Double().with_variant(SQL_REAL(), "sqlite")
    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        """What a value is in Python."""
        return float

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Nothing to do."""
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        """Make whole numbers floating-point ones: SQLite stores them as integers and RETURNING hands those out."""
        return _to_float if isinstance(self.impl_instance.dialect_impl(dialect), SQL_REAL) else None


class FormatVersion(TypeDecorator[int]):
    """The version of the form in which a row keeps its content; one that is newer than the program is not read.

    What is not read is not overwritten either, because every change reads the row first.

    Args:
        newest: The newest version that the program knows.
    """

    impl = BigInt
    cache_ok = True

    def __init__(self, newest: int) -> None:
        self.newest = newest
        super().__init__()

    @property
    def python_type(self) -> type[Any]:
        """What a value is in Python."""
        return int

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Nothing to do."""
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        """Refuse what a newer program has written."""
        newest = self.newest

        def known(version: int | None) -> int | None:
            if version is not None and version > newest:
                message = f"a row is of format {version}, and this version of agent_system knows {newest}: upgrade it"
                raise SchemaMismatchError(message)
            return version

        return known


class Text(TypeDecorator[str]):
    """Any text that Python can hold, NUL and lone surrogates included, sorted by code point."""

    impl = _SQL_TEXT
    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        """What a value is in Python."""
        return str

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Escape what cannot be stored."""
        encode = encode_text

        def process(value: Any) -> Any:
            # The first test of encode_text is repeated here to save its call.
            if value is None or ("\0" not in value and value.isascii()):
                return value
            return encode(value)

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        """Undo the escapes."""
        decode, escape = decode_text, ESCAPE

        def process(value: Any) -> Any:
            return value if value is None or escape not in value else decode(value)

        return process


class Json(TypeDecorator[Any]):
    """A JSON value: text on SQLite, `json` on PostgreSQL (jsonb refuses NUL and re-orders keys).

    None is SQL NULL. A text that is not JSON comes back as the text.
    """

    impl = JSON().with_variant(types.Text(), "sqlite")
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Dump to text."""
        encode = encode_json

        def process(value: Any) -> Any:
            return value if value is None else encode(value)

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        """Load from text; asyncpg has parsed it already, so that only the escapes in its strings are left to undo."""
        if not _is_text(self, dialect):
            return decode_parsed_json
        decode = decode_json

        def process(value: Any) -> Any:
            if value is None:
                return None
            # The first tests of decode_json are repeated here to save its call.
            if value == "{}":
                return {}
            if value == "[]":
                return []
            return decode(value)

        return process


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC to the microsecond; a datetime without a zone is refused with ValueError.

    SQLite keeps 'YYYY-MM-DD HH:MM:SS.ffffff', so that the order of the texts is the order in time.
    """

    impl = DateTime(timezone=True).with_variant(types.Text(), "sqlite")
    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        """What a value is in Python."""
        return datetime

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Turn any aware datetime into UTC."""
        utc = UTC
        if not _is_text(self, dialect):
            return _to_utc

        def process(value: Any) -> Any:
            if value is None:
                return None
            return _moment_text(value if value.tzinfo is utc else _to_utc(value))

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        """Return an aware datetime in UTC."""
        if not _is_text(self, dialect):
            return _to_utc
        parse = datetime.fromisoformat

        def process(value: Any) -> Any:
            if value is None:
                return None
            try:
                return parse(value + "+00:00")
            except (TypeError, ValueError):
                return _parse_foreign(value)

        return process


class Uuid(TypeDecorator[UUID]):
    """A UUID: 36 lower-case characters on SQLite, `uuid` on PostgreSQL."""

    impl = SqlUuid().with_variant(types.Text(), "sqlite")
    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        """What a value is in Python."""
        return UUID

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Write the canonical form; a text is accepted when it is a UUID in any spelling."""
        native = not _is_text(self, dialect)

        def process(value: Any) -> Any:
            if value is None:
                return None
            if value.__class__ is not UUID and not isinstance(value, UUID):
                value = UUID(value)
            return value if native else uuid_text(value)

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        """Return a `uuid.UUID`."""
        return native_uuid if not _is_text(self, dialect) else parse_uuid


class Vector(TypeDecorator[bytes]):
    """Numbers as float32, little-endian, one after the other: `numpy.frombuffer(value, "<f4")` reads them."""

    impl = LargeBinary
    cache_ok = True

    @property
    def python_type(self) -> type[Any]:
        """What a value is in Python."""
        return bytes

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Nothing to do."""
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        """Nothing to do."""
        return None


class Enumerated(TypeDecorator[StrEnum]):
    """A value of a StrEnum, kept as its text; a text that the enum does not know comes back as it is."""

    impl = _SQL_TEXT
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__()
        self.enum = enum

    @property
    def python_type(self) -> type[Any]:
        """What a value is in Python."""
        return self.enum

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Write the member's text."""
        texts: dict[Any, Any] = {member: member.value for member in self.enum}
        get = texts.get

        def process(value: Any) -> Any:
            return get(value, value)

        return process

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        """Return the member."""
        members: dict[Any, Any] = {member.value: member for member in self.enum}
        get = members.get

        def process(value: Any) -> Any:
            return get(value, value)

        return process


def _to_float(value: Any) -> Any:
    return float(value) if value.__class__ is int else value


def _is_text(column_type: TypeDecorator[Any], dialect: Dialect) -> bool:
    return isinstance(column_type.impl_instance.dialect_impl(dialect), String)


# A row names the moment of its writing two or three times, and a transaction that of many rows. To look for an equal
# one would take longer than to write it.
_last_moment: list[tuple[datetime | None, str]] = [(None, "")]


def _moment_text(moment: datetime) -> str:
    last, text = _last_moment[0]
    if moment is not last:
        # A third of the time of isoformat() on an aware datetime, and always 26 characters.
        second = _second_text(moment.toordinal(), moment.hour, moment.minute, moment.second)
        text = "%s.%06d" % (second, moment.microsecond)  # noqa: UP031 (an f-string takes longer)
        _last_moment[0] = moment, text
    return text


# Rows of one second have most of their text in common.
@lru_cache(16)
def _second_text(day: int, hour: int, minute: int, second: int) -> str:
    return f"{date.fromordinal(day).isoformat()} {hour:02}:{minute:02}:{second:02}"


def _to_utc(value: Any) -> Any:
    if value is None or value.tzinfo is UTC:
        return value
    if value.utcoffset() is None:
        message = f"{value!r} has no time zone: only aware datetimes can be stored"
        raise ValueError(message)
    return value.astimezone(UTC)


def _parse_foreign(value: Any) -> datetime:
    """Read what other programs write: 'T', 'Z', offsets, fewer digits."""
    try:
        moment = datetime.fromisoformat(value.strip())
    except (AttributeError, TypeError, ValueError) as exc:
        message = f"{value!r} is not a timestamp"
        raise ValueError(message) from exc
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
