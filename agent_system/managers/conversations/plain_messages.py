"""`PlainMessages`: the short way for messages outside of conversations; see `core/plain_rows.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.managers.core.plain_rows import Plainness, PlainRows
from agent_system.models.uuids import uuid7
from agent_system.search.text import extra_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.insertion import Insertion
    from agent_system.managers.core.store import RowStore
    from agent_system.models import Message

__all__ = ["PlainMessages"]

PLAIN = Plainness(
    needed=frozenset({"role", "content"}),
    more=frozenset(
        {
            "user_id",
            "agent_id",
            "task_id",
            "channel_id",
            "guild_id",
            "author_name",
            "message_type",
            "parts",
            "tool_calls",
            "tool_call_id",
            "model",
            "provider",
            "input_tokens",
            "output_tokens",
            "meta",
        }
    ),
    moments=("created_at", "updated_at"),
    computed={"uid": lambda _: uuid7(), "extra_terms": lambda given: extra_terms(given["content"])},
    aliases={"metadata": "meta"},
)


class PlainMessages:
    """Makes rows of what callers give, where nothing else follows from it."""

    def __init__(self, db: DatabaseManager, store: RowStore[Message], clock: Callable[[], datetime]) -> None:
        self._db = db
        self._rows = PlainRows(store, clock, PLAIN)

    def prepare(self, data: Mapping[str, Any]) -> Insertion | None:
        """What writes a new message, if the identity of its author is there; None: it goes the long way."""
        # A scope has its say about every column.
        return None if self._db.is_scoped else self._rows.make(data)
