"""Writing memories so that one content is remembered once, whoever comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert

from agent_system.database.plans import compile_plan
from agent_system.database.statements import UnlessThere
from agent_system.errors import ConflictError
from agent_system.managers.core.json_edits import with_items
from agent_system.managers.core.store import differing
from agent_system.managers.memories.digests import DIGESTED, content_hash, scope_key
from agent_system.search.text import extra_terms
from agent_system.types import MemoryStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.core.store import RowStore
    from agent_system.managers.users.identity_writer import IdentityWriter
    from agent_system.models import Memory

__all__ = ["MemoryWriter", "clean_tags"]

# The row that was in the way may be gone when it is looked for; it will hardly come and go three times.
ATTEMPTS = 3

FOLLOWED = DIGESTED | {"tags", "context"}
FOLLOWING = ("content_hash", "scope_key", "extra_terms")
"""Columns that follow from the FOLLOWED ones."""


class MemoryWriter:
    """Makes the units of work that write memories."""

    def __init__(self, store: RowStore[Memory], identities: IdentityWriter, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._identities = identities
        self._clock = clock
        plans = store.plans
        columns = {
            column.name: bindparam(key, type_=column.type) for key, column in plans.columns.items() if key != "id"
        }
        statement = insert(plans.table).values(columns).ext(UnlessThere()).returning(plans.columns["id"])
        self._insert = compile_plan(statement, plans.dialect, adds_rows=True)

    def digest(self, values: dict[str, Any]) -> None:
        """Fill in what follows from the texts and the scope."""
        values["content_hash"] = content_hash(values["content"])
        values["scope_key"] = scope_key(values)
        values["extra_terms"] = extra_terms(values["content"], " ".join(_texts(values["tags"])), values["context"])

    def follow(self, executor: Executor, before: Mapping[str, Any], changes: dict[str, Any]) -> None:
        """Complete the changes of a row by what follows from them."""
        if not FOLLOWED.isdisjoint(changes) or before["content_hash"] is None:
            after = {**before, **changes}
            self.digest(after)
            changes.update(differing(before, **{key: after[key] for key in FOLLOWING}))
        if changes.get("user_id") is not None:
            self._identities.ensure(executor, changes["user_id"])

    def owned(self, values: Mapping[str, Any], insert_row: Callable[[Executor], None]) -> Callable[[Executor], None]:
        """What makes the identity whose memory it is, unless it is there, and then writes the row."""
        return self._identities.before(values["user_id"], insert_row)

    def remember(self, values: Mapping[str, Any]) -> Work[dict[str, Any]]:
        """What writes a memory or strengthens the one that is the same, and returns the row."""
        parameters = self._store.encode(self._insert, values)

        def work(executor: Executor) -> dict[str, Any]:
            if values["user_id"] is not None:
                self._identities.ensure(executor, values["user_id"])
            for _ in range(ATTEMPTS):
                rows = executor.fetch(self._insert, parameters)
                if rows:
                    return self._store.get(executor, {"id": rows[0][0]}) or {}
                same = self.find_same(executor, values)
                if same is not None:
                    return self.strengthen(executor, same, values)
            message = "a memory of the same content comes and goes; try again"
            raise ConflictError(message, entity="Memory")

        return work

    def find_same(self, executor: Executor, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The active memory of the same scope, kind and content, locked; None when there is none."""
        same = {key: values[key] for key in ("scope_key", "kind", "content_hash")}
        key = self._store.find_key(executor, {**same, "status": MemoryStatus.ACTIVE})
        return None if key is None else self._store.get(executor, key, lock=True)

    def strengthen(self, executor: Executor, row: dict[str, Any], again: Mapping[str, Any]) -> dict[str, Any]:
        """Add to a memory what is new in the same one said again: tags, importance, time to live; nothing gets lost."""
        changes = differing(
            row,
            tags=with_items(row, "tags", again["tags"]) if isinstance(row["tags"], list) else row["tags"],
            importance=max(row["importance"], again["importance"]),
            context=row["context"] or again["context"],
            pinned=row["pinned"] or again["pinned"],
            expires_at=later(row["expires_at"], again["expires_at"]),
            meta={**again["meta"], **row["meta"]} if isinstance(row["meta"], dict) else row["meta"],
        )
        if not changes:
            return row
        self.follow(executor, row, changes)
        return self._store.change(executor, {"id": row["id"]}, changes)


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two expiries; None is never."""
    return None if one is None or other is None else max(one, other)


def _texts(tags: Any) -> Iterable[str]:
    return (tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Tags without blanks around them, each once, in order; empty ones are none."""
    stripped = (tag.strip() for tag in tags)
    return list(dict.fromkeys(tag for tag in stripped if tag))
