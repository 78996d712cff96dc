"""The words of the ledger."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CostSource", "ExportFormat", "LedgerEntryKind", "UsageState"]


class UsageState(StrEnum):
    """What the token counts of a ledger row are worth; missing is not zero."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    PARTIAL = "partial"
    MISSING = "missing"


class CostSource(StrEnum):
    """Where a ledger row's cost comes from."""

    COMPUTED = "computed"
    REPORTED = "reported"


class LedgerEntryKind(StrEnum):
    """A ledger row is a call to a model, or the correction of an earlier row's cost."""

    USAGE = "usage"
    CORRECTION = "correction"


class ExportFormat(StrEnum):
    """How rows are written into a file."""

    CSV = "csv"
    JSON_LINES = "jsonl"
