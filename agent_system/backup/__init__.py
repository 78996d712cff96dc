"""Backups that can be trusted: consistent while writers run, verified after writing, restored without a half-way.

Nothing here opens a SQLite database file in the process that is connected to it: closing any descriptor of the file
would drop SQLite's locks. Copying, hashing and checking happen in a child process.
"""

from __future__ import annotations

from agent_system.backup.archive import Backup, list_backups
from agent_system.backup.service import create_backup, restore_backup, verify_backup

__all__ = ["Backup", "create_backup", "list_backups", "restore_backup", "verify_backup"]
