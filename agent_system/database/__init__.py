"""The engine room: connections, transactions, group commit and migrations. It knows no table."""

from __future__ import annotations

from agent_system.database.manager import DatabaseManager, get_database_connection

__all__ = ["DatabaseManager", "get_database_connection"]
