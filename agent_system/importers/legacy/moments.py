"""The two words of a description for moments: `moment` for what has happened, `future` for what is to come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent_system.importers.legacy.columns import InColumns, SourcePage
from agent_system.importers.legacy.values import UnreadableError, to_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_system.importers.legacy.rows import SourceRow

__all__ = ["NOW", "future", "moment"]

NOW = object()
"""The default of a moment that has to be something: when the import began."""
IMPORT_TIME = "the time of the import"
# What stands behind the seconds of a time without a zone.
USUAL = frozenset({"", "."})
SECONDS = len("2025-06-01 10:00:00")
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def moment(name: str, *otherwise: Any) -> InColumns:
    """When something happened, in UTC.

    Args:
        name: The column there.
        otherwise: What stands for a value that is missing or cannot be read, the first that there is: other columns,
            or `NOW`; without any it is None. A time before 1970 or after now cannot be true and is not read either.
    """
    return _moment(name, otherwise, is_past=True)


def future(name: str, *otherwise: Any) -> InColumns:
    """When something is to happen, in UTC; see `moment`."""
    return _moment(name, otherwise, is_past=False)


def _moment(name: str, otherwise: tuple[Any, ...], *, is_past: bool) -> InColumns:
    def convert(row: SourceRow) -> datetime | None:
        value = row.raw.get(name)
        if value is None:
            found, where = _instead(row, otherwise, is_past=is_past)
            if where == IMPORT_TIME:
                row.mend(name, f"is missing, now {where}", keep=False)
            return found
        if value.__class__ is str and value[4:5] == "-" and value[19:20] in USUAL:
            # Nearly all of them: what CURRENT_TIMESTAMP and isoformat() write on a clock without a zone.
            plain_moment = _plain_moment(row, value)
            if plain_moment is not None and (plain_moment <= row.reading.latest or not is_past):
                return plain_moment
        try:
            return _read_moment(row, value, is_past=is_past)
        except UnreadableError as exc:
            found, where = _instead(row, otherwise, is_past=is_past)
            row.mend(name, f"{exc}, now {where}")
            return found

    def column(page: SourcePage) -> Sequence[datetime | None]:
        is_utc, latest = page.reading.is_utc, page.reading.latest
        found: list[datetime | None] = []
        for position, value in enumerate(page.column(name)):
            plain_moment = _usual_moment(value) if is_utc else None
            if plain_moment is None or (is_past and plain_moment > latest):
                plain_moment = None if value is None and not otherwise else page.convert(convert, position)
            found.append(plain_moment)
        return found

    return InColumns(convert, column)


def _usual_moment(value: Any) -> datetime | None:
    """What clocks in UTC write without saying so; None when it is anything else."""
    if value.__class__ is not str or value[4:5] != "-" or len(value) < SECONDS or value[19:20] not in USUAL:
        return None
    try:
        # With the zone it is in UTC at once, which replacing it afterwards takes twice as long for.
        found = datetime.fromisoformat(value + "+00:00")
    except ValueError:
        return None
    return found if found >= EARLIEST else None


def _plain_moment(row: SourceRow, value: str) -> datetime | None:
    """A moment on a clock that showed UTC; None when it is another one."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    if found.tzinfo is not None or not row.reading.is_utc:
        return None
    found = found.replace(tzinfo=UTC)
    return found if found >= EARLIEST else None


def _read_moment(row: SourceRow, value: Any, *, is_past: bool) -> datetime:
    found = to_moment(value, row.reading.zone)
    if found < EARLIEST or (is_past and found > row.reading.latest):
        message = f"{value!r} cannot be true"
        raise UnreadableError(message)
    return found


def _instead(row: SourceRow, otherwise: tuple[Any, ...], *, is_past: bool) -> tuple[datetime | None, str]:
    """What stands for a moment that cannot be read, and where it is from."""
    for other in otherwise:
        if other is NOW:
            return row.reading.now, IMPORT_TIME
        value = row.raw.get(other)
        if value is not None:
            try:
                return _read_moment(row, value, is_past=is_past), other
            except UnreadableError:
                continue
    return None, "empty"
