"""The engine room: connections, transactions, group commit and migrations. It knows no table."""

from __future__ import annotations

from agent_system.database.connection import get_database_connection
from agent_system.database.manager import DatabaseManager

__all__ = ["DatabaseManager", "get_database_connection"]
