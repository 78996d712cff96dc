"""What became of every row: counted for each table, with the reasons and the first rows that each concerns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_system.importers.legacy.tables import Loss

__all__ = ["FileReport", "Reason", "TableReport"]

MOST_ROWS = 100
"""Rows that a reason names; it counts all of them."""
MOST_REASONS = 200
"""Reasons of one kind in a table; more, which only a flood of different values makes, are counted together."""
OTHERS = "other reasons"


@dataclass(slots=True)
class Reason:
    """Why something happened to rows, and to which."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    """Rowids of the first of them."""

    def add(self, number: int) -> None:
        """Count a row."""
        self.count += 1
        # What stands in a list of a row may happen to several of its items.
        if len(self.rows) < MOST_ROWS and self.rows[-1:] != [number]:
            self.rows.append(number)


@dataclass(slots=True)
class TableReport:
    """What became of the rows of a table: read = written + merged + skipped + rejected."""

    table: str
    target: str
    read: int = 0
    written: int = 0
    """Rows that are here now and were not before."""
    merged: int = 0
    """Rows for which there was one here already that is the same thing, such as a project of the same name."""
    skipped: int = 0
    """Rows that an earlier import, or an earlier part of this file, has brought."""
    rejected: int = 0
    """Rows that could not be brought over."""
    repaired: int = 0
    """Rows, among those written and merged, in which something was mended."""
    orphaned: int = 0
    """Rows, among all but the skipped ones, that refer to rows which are not there."""
    reasons: dict[str, dict[str, Reason]] = field(default_factory=dict)
    """By kind (rejected, merged, skipped, repaired, orphaned) and reason."""
    losses: list[Loss] = field(default_factory=list)
    """What a damaged file no longer gives away."""

    @property
    def is_reconciled(self) -> bool:
        """Whether every row that was read is accounted for."""
        return self.read == self.written + self.merged + self.skipped + self.rejected

    def note(self, kind: str, reason: str, number: int) -> None:
        """Say why something happened to a row."""
        known = self.reasons.setdefault(kind, {})
        if reason not in known and len(known) >= MOST_REASONS:
            reason = OTHERS
        known.setdefault(reason, Reason()).add(number)

    def note_all(self, kind: str, notes: Iterable[tuple[str, str]], number: int) -> None:
        """Say what happened to columns of a row."""
        for column, what in notes:
            self.note(kind, f"{column}: {what}", number)

    def as_dict(self) -> dict[str, Any]:
        """The counts and reasons as JSON."""
        return {
            "table": self.table,
            "target": self.target,
            **self.counts(),
            "reasons": {
                kind: [{"reason": reason, "count": each.count, "rows": each.rows} for reason, each in known.items()]
                for kind, known in self.reasons.items()
            },
            "lost": [loss.shown for loss in self.losses],
        }

    def counts(self) -> dict[str, int]:
        """The counts by name."""
        names = ("read", "written", "merged", "skipped", "rejected", "repaired", "orphaned")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class FileReport:
    """What became of a file."""

    path: str
    system: str
    digest: str
    """SHA-256 of the file and its log, as they were read, hexadecimal."""
    is_preview: bool = False
    is_unchanged: bool = True
    """Whether the file was, at the end, what it was at the beginning."""
    tables: list[TableReport] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Tables that were not imported, with the reason."""

    @property
    def is_reconciled(self) -> bool:
        """Whether every row that was read is accounted for."""
        return all(table.is_reconciled for table in self.tables)

    @property
    def is_complete(self) -> bool:
        """Whether nothing was rejected or lost."""
        return not any(table.rejected or table.losses for table in self.tables)

    def total(self, name: str) -> int:
        """The sum of one of the counts over all tables."""
        return sum(getattr(table, name) for table in self.tables)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "path": self.path,
            "system": self.system,
            "digest": self.digest,
            "is_preview": self.is_preview,
            "is_unchanged": self.is_unchanged,
            "tables": [table.as_dict() for table in self.tables],
            "left_out": self.left_out,
        }
