"""What every contender can do: the same operations on the same tables, each its own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from agent_system.database.driver import ConnectionOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from scripts.benchmarks.rows import Row

__all__ = ["BatchContender", "Contender", "Options", "pragmas"]

# What a lone connection waits for a lock, as seed 003 has it; agent_system waits as long, asynchronously.
BUSY_TIMEOUT_MS = 30_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a database is opened."""

    durability: str = "full"
    """What PRAGMA synchronous says: "full" or "normal"."""
    hot_cache: bool = False
    """Whether a contender that has a cache of rows may use it."""


def pragmas(options: Options) -> tuple[str, ...]:
    """The PRAGMAs that agent_system uses; only the checkpoints are left to SQLite, because nobody else starts any."""
    ours = ConnectionOptions(synchronous=options.durability.upper())
    kept = [one for one in ours.pragmas() if "busy_timeout" not in one and "wal_autocheckpoint" not in one]
    return (f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}", *kept, f"PRAGMA wal_autocheckpoint = {ours.wal_pages}")


class Contender(Protocol):
    """One way to use the database; operations commit before they return."""

    writes_events: bool
    """Whether creating and changing an agent writes an audit event in the same transaction."""

    async def open(self, path: Path, options: Options) -> None:
        """Connect to a database whose schema is there."""

    async def close(self) -> None:
        """Disconnect."""

    async def create_message(self, row: Row) -> None:
        """Write one message."""

    async def create_agent(self, row: Row) -> None:
        """Write one agent."""

    async def create_messages(self, rows: Sequence[Row]) -> None:
        """Write many messages in one transaction."""

    async def update_agent(self, agent_id: UUID, changes: Row) -> None:
        """Change columns of an agent and raise its version."""

    async def get_agent(self, agent_id: UUID) -> Any:
        """Read one agent by its key."""

    async def last_messages(self, conversation_id: UUID, count: int) -> Sequence[Any]:
        """Read the last messages of a conversation, in either order."""

    async def list_agents(self, after: Any, count: int) -> tuple[Sequence[Any], Any]:
        """Read a page of agents in the order of their names; None as `after` is the first page, as result the end."""

    async def chat_turn(self, conversation_id: UUID, row: Row, count: int) -> Sequence[Any]:
        """Append a message to a conversation, with its counters, and read the last ones back."""

    def value(self, item: Any, column: str) -> Any:
        """What a returned item holds in one column."""


@runtime_checkable
class BatchContender(Protocol):
    """A floor: it does all operations of a workload in one transaction."""

    async def batch(self, operation: str, arguments: Sequence[Any]) -> None:
        """Do the operation once for each argument."""
