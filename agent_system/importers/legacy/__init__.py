"""Databases of older systems."""

from __future__ import annotations

from agent_system.importers.legacy.report import FileReport, Reason, TableReport
from agent_system.importers.legacy.running import import_legacy

__all__ = ["FileReport", "Reason", "TableReport", "import_legacy"]
