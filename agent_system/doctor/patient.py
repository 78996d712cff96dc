"""What the checks are given: the database that is looked through, and the moment it is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from agent_system.database.manager import DatabaseManager

__all__ = ["Patient"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """A connected database, as the checks see it."""

    db: DatabaseManager
    now: datetime
    path: Path | None = None
    """The database file; None where there is none of ours."""

    async def rows(self, statement: str) -> list[Any]:
        """Run one of the doctor's own reading statements."""
        compiled = text(statement)
        return list(await self.db.read(lambda executor: executor.execute(compiled).all()))
