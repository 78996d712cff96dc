"""What the tests of whole files ask: the fate of every row, and what the doctor says afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.doctor.examination import examine
from agent_system.doctor.findings import Severity

if TYPE_CHECKING:
    from agent_system.doctor.findings import Finding
    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy import FileReport

__all__ = ["complaints", "counts"]

# About the file that the test was given, and not about what is in it.
OF_THE_FILE = frozenset({"permissions"})


def counts(report: FileReport) -> dict[str, tuple[int, int, int, int, int]]:
    """Return read, written, merged, skipped and rejected of every table."""
    return {t.table: (t.read, t.written, t.merged, t.skipped, t.rejected) for t in report.tables}


async def complaints(em: EntityManager) -> list[Finding]:
    """Return what the doctor complains about."""
    found = (await examine(em.db)).findings
    return [each for each in found if each.severity is not Severity.INFO and each.check not in OF_THE_FILE]
