"""Making one memory of several, so that nothing gets lost: what it was made of stays, marked and linked to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from agent_system.errors import ConflictError, NotFoundError, ValidationError
from agent_system.managers.memories.digests import SCOPE
from agent_system.managers.memories.writing import later
from agent_system.types import MemoryKind, MemoryStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.core.store import RowStore
    from agent_system.managers.memories.links import MemoryLinkManager
    from agent_system.managers.memories.writing import MemoryWriter
    from agent_system.models import Memory

__all__ = ["Consolidation", "joined"]

# Where a memory comes from; kept when all agree.
ORIGIN = ("conversation_id", "session_uuid", "category")


class Consolidation:
    """Makes the units of work that consolidate memories.

    Args:
        new_values: Checks and completes the values of a new memory.
    """

    def __init__(
        self,
        store: RowStore[Memory],
        writer: MemoryWriter,
        links: MemoryLinkManager,
        new_values: Callable[[Mapping[str, Any]], dict[str, Any]],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._writer = writer
        self._links = links
        self._new_values = new_values
        self._clock = clock

    def fold(self, ids: Iterable[Any], content: str | None, values: Mapping[str, Any]) -> Work[dict[str, Any]]:
        """What makes one long-term memory of several and returns it.

        Args:
            ids: Those memories.
            content: What it says; None joins what they say.
            values: What it is to have instead of what follows from them.
        """
        keys = sorted({self._store.keys.existing(one)["id"] for one in ids})
        if not keys:
            message = "memories: there is nothing to consolidate"
            raise ValidationError(message, field="ids", entity="Memory")

        def work(executor: Executor) -> dict[str, Any]:
            rows = [self._source(executor, key) for key in keys]
            self._check_owner(rows)
            text = joined([row["content"] for row in _by_time(rows)]) if content is None else content
            new = self._new_values({**self._combined(rows), "content": text, **values})
            # First, so that the new one may say the same as one of them.
            self._mark(executor, keys, status=MemoryStatus.CONSOLIDATED)
            made = self._writer.remember(new)(executor)
            known = made["consolidated_from"]
            if known != keys:
                together = [*known, *(key for key in keys if key not in known)]
                made = self._store.change(executor, {"id": made["id"]}, {"consolidated_from": together})
            self._mark(executor, keys, consolidated_into=made["id"])
            self._links.take_over(executor, keys, made["id"])
            return made

        return work

    def promote(self, executor: Executor, row: dict[str, Any], check: Any) -> dict[str, Any]:
        """Make a short-term memory a long-term one, or a part of the long-term memory that says the same."""
        promoted = {**row, "kind": MemoryKind.LONG_TERM, "expires_at": None}
        self._writer.digest(promoted)
        same = self._writer.find_same(executor, promoted)
        if same is None:
            changes = {"kind": MemoryKind.LONG_TERM, "expires_at": None}
            return self._store.change(executor, {"id": row["id"]}, changes, check=check)
        self._mark(executor, [row["id"]], status=MemoryStatus.CONSOLIDATED, consolidated_into=same["id"])
        made = self._writer.strengthen(executor, same, promoted)
        together = {"consolidated_from": [*made["consolidated_from"], row["id"]]}
        made = self._store.change(executor, {"id": made["id"]}, together)
        self._links.take_over(executor, [row["id"]], made["id"])
        return made

    def _source(self, executor: Executor, key: int) -> dict[str, Any]:
        row = self._store.get(executor, {"id": key}, lock=True)
        if row is None:
            raise NotFoundError(self._store.name, key)
        if row["status"] != MemoryStatus.ACTIVE:
            message = f"Memory {key} is {row['status']}: only active memories are consolidated"
            raise ConflictError(message, entity="Memory", entity_id=key)
        return row

    def _check_owner(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Refuse to mix what belongs to different people or places."""
        for key in SCOPE:
            if len({row[key] for row in rows}) > 1:
                message = f"memories.{key}: memories of different scopes cannot be made one"
                raise ValidationError(message, field=key, entity="Memory")

    def _combined(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What a memory has that is made of others."""
        in_time = _by_time(rows)
        meta: dict[str, Any] = {}
        for row in in_time:
            meta |= row["meta"] if isinstance(row["meta"], dict) else {}
        expires_at = in_time[0]["expires_at"]
        for row in in_time:
            expires_at = later(expires_at, row["expires_at"])
        return {
            **{key: rows[0][key] for key in SCOPE},
            **{key: rows[0][key] for key in ORIGIN if len({row[key] for row in rows}) == 1},
            "kind": MemoryKind.LONG_TERM,
            "tags": [tag for row in in_time if isinstance(row["tags"], list) for tag in row["tags"]],
            "context": joined([row["context"] for row in in_time]),
            "timestamp": in_time[-1]["timestamp"],
            "importance": max(row["importance"] for row in rows),
            "pinned": any(row["pinned"] for row in rows),
            "expires_at": expires_at if all(row["kind"] == MemoryKind.LONG_TERM for row in rows) else None,
            "recall_count": sum(row["recall_count"] for row in rows),
            "last_recalled_at": max((row["last_recalled_at"] for row in rows if row["last_recalled_at"]), default=None),
            "consolidated_from": [row["id"] for row in rows],
            "meta": meta,
        }

    def _mark(self, executor: Executor, keys: Sequence[int], **values: Any) -> None:
        table = self._store.plans.table
        statement = update(table).where(table.c.id.in_(keys))
        executor.execute(statement.values(version=table.c.version + 1, updated_at=self._clock(), **values))


def joined(texts: Iterable[str]) -> str:
    """Texts as one, a paragraph each; one that another one contains is not repeated."""
    distinct = list(dict.fromkeys(text.strip() for text in texts))
    kept = [text for text in distinct if not any(text in other for other in distinct if other is not text)]
    return "\n\n".join(text for text in kept if text)


def _by_time(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["timestamp"], row["id"]))
