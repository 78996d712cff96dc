"""What Coach Artie remembered, told and overheard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_system.importers.legacy.accounts import person
from agent_system.importers.legacy.converters import (
    NOW,
    constant,
    count,
    flag,
    future,
    integer,
    moment,
    required,
    text,
    texts,
)
from agent_system.importers.legacy.description import Table
from agent_system.importers.legacy.keeping import metadata
from agent_system.importers.legacy.remembered import ONCE
from agent_system.types import MemoryKind

if TYPE_CHECKING:
    from agent_system.importers.legacy.converters import Converter

__all__ = ["TABLES"]

SHARED: dict[str, Converter] = {
    "user_id": person("user_id", "user_identities"),
    "content": required(text("content"), "content"),
    "context": text("context", ""),
    "importance": integer("importance", 5, low=1, high=10),
    "created_at": moment("created_at", "timestamp", NOW),
    "updated_at": moment("updated_at", "created_at", NOW),
}
MEMORIES = Table(
    source="memories",
    target="memories",
    # The content may have been edited since.
    identity=("id", "user_id", "timestamp", "created_at"),
    needs=frozenset({"user_id", "content", "timestamp"}),
    columns={
        **SHARED,
        "tags": texts("tags", separator=","),
        "timestamp": moment("timestamp", "created_at", NOW),
        "guild_id": text("guild_id", empty=False),
        "channel_id": text("channel_id", empty=False),
        "pinned": flag("is_pinned", default=False),
        "recall_count": count("recall_count", 0),
        "last_recalled_at": moment("last_recalled_at"),
        "meta": metadata(
            (
                "id",
                "user_id",
                "content",
                "tags",
                "context",
                "timestamp",
                "importance",
                "created_at",
                "updated_at",
                "guild_id",
                "channel_id",
                "is_pinned",
                "recall_count",
                "last_recalled_at",
            ),
            "metadata",
        ),
    },
    conflicts=ONCE,
    is_referenced=False,
)
PASSIVE_MEMORIES = Table(
    source="passive_memories",
    target="memories",
    identity=("id", "user_id", "timestamp", "created_at"),
    needs=frozenset({"user_id", "content"}),
    columns={
        **SHARED,
        "kind": constant(MemoryKind.PASSIVE),
        "tags": texts("categories", separator=","),
        "timestamp": moment("timestamp", "created_at", NOW),
        "guild_id": text("guild_id", empty=False),
        "channel_id": text("channel_id", empty=False),
        "expires_at": future("expires_at"),
        "meta": metadata(
            (
                "id",
                "user_id",
                "content",
                "categories",
                "context",
                "timestamp",
                "importance",
                "created_at",
                "updated_at",
                "guild_id",
                "channel_id",
                "expires_at",
            ),
            "metadata",
        ),
    },
    conflicts=ONCE,
    is_referenced=False,
)
TABLES = (MEMORIES, PASSIVE_MEMORIES)
