"""`SourceRow`: a row of an older system while it is being understood, with all that had to be said about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from agent_system.importers.legacy.values import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, tzinfo

    from agent_system.importers.legacy.references import References

__all__ = ["LEGACY", "Converter", "Reading", "RejectedError", "SourceRow"]

LEGACY = "legacy"
"""Under this key of a row's metadata stands what its columns could not hold."""


# The clock of another machine may be wrong by so much.
TOLERANCE = timedelta(minutes=4)


class RejectedError(Exception):
    """The row cannot be brought over; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is known while a file is read."""

    now: datetime
    """When the import began, in UTC: what an unreadable moment becomes for want of another one in its row."""
    zone: tzinfo
    """Where the clocks stood that wrote moments without a zone."""
    references: References
    """Where the rows of this file are here."""
    tables: frozenset[str] = frozenset()
    """The tables that this file has."""

    @cached_property
    def is_utc(self) -> bool:
        """Whether those clocks showed UTC."""
        return self.zone is UTC or self.zone.utcoffset(None) == UTC.utcoffset(None)

    @cached_property
    def latest(self) -> datetime:
        """What happened later cannot be true; a clock may be a little ahead of ours."""
        return self.now + TOLERANCE


@dataclass(slots=True)
class SourceRow:
    """A row as it stands in the file, and what was found out about it."""

    number: int
    """Its rowid."""
    raw: Mapping[str, Any]
    reading: Reading
    repairs: list[tuple[str, str]] = field(default_factory=list)
    """Column and what was mended."""
    orphans: list[tuple[str, str]] = field(default_factory=list)
    """Column and what it refers to that is not there."""
    kept: dict[str, Any] = field(default_factory=dict)
    """Values as they were, for the metadata."""
    target_id: Any = None
    """The key of the row here, where the importer makes it."""

    def get(self, name: str) -> Any:
        """The value of a column as it stands in the file; None also when this version of the file lacks the column."""
        return self.raw.get(name)

    def mend(self, name: str, what: str, *, keep: bool = True) -> None:
        """Note that a value was mended, and keep it as it was."""
        # A value may be looked at more than once.
        if (name, what) not in self.repairs:
            self.repairs.append((name, what))
        if keep:
            self.kept[name] = plain(self.raw.get(name))

    def lose_reference(self, name: str, to: str, *, keep: bool = True) -> None:
        """Note that what a column refers to is not there, and keep what it says."""
        what = f"refers to a row of {to} that is not there"
        if (name, what) not in self.orphans:
            self.orphans.append((name, what))
        if keep:
            self.kept[name] = plain(self.raw.get(name))

    def reject(self, why: str) -> NoReturn:
        """Give the row up.

        Raises:
            RejectedError: Always.
        """
        raise RejectedError(why)


Converter: TypeAlias = "Callable[[SourceRow], Any]"
"""From a row to the value of one column here."""
