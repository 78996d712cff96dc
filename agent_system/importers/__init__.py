"""Readers of foreign data, a package per source, each of them idempotent; and seed 000's own functions."""

from __future__ import annotations

from agent_system.importers.legacy import import_legacy
from agent_system.importers.old_databases import (
    CleanupReport,
    MigrationReport,
    cleanup_old_databases,
    init_database,
    migrate_existing_databases,
)
from agent_system.importers.trajectory import import_trajectory

__all__ = [
    "CleanupReport",
    "MigrationReport",
    "cleanup_old_databases",
    "import_legacy",
    "import_trajectory",
    "init_database",
    "migrate_existing_databases",
]
