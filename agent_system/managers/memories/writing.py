"""Writing memories so that one content is remembered once, whoever comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from agent_system.errors import ConflictError, ForeignKeyError
from agent_system.managers.core.failures import may_be_missing
from agent_system.managers.core.json_edits import with_items
from agent_system.managers.core.plain_rows import Plainness, PlainRows
from agent_system.managers.core.store import differing
from agent_system.managers.memories.digests import DIGESTED, content_hash, scope_key
from agent_system.managers.users.familiar import FamiliarIdentities
from agent_system.search.text import extra_terms
from agent_system.types import MemoryStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor, Work
    from agent_system.managers.core.insertion import Insertion
    from agent_system.managers.core.store import RowStore
    from agent_system.managers.users.identity_writer import IdentityWriter
    from agent_system.models import Memory

__all__ = ["MemoryWriter", "Remembering", "clean_tags", "normalise"]

# The row that was in the way may be gone when it is looked for; it will hardly come and go three times.
ATTEMPTS = 3


def normalise(values: dict[str, Any]) -> None:
    """Take blanks and repetitions out of the tags."""
    if "tags" in values:
        values["tags"] = clean_tags(values["tags"])


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Tags without blanks around them, each once, in order; empty ones are none."""
    stripped = (tag.strip() for tag in tags)
    return list(dict.fromkeys(tag for tag in stripped if tag))


def _extra_terms(values: Mapping[str, Any]) -> str | None:
    return extra_terms(values["content"], " ".join(_texts(values.get("tags"))), values.get("context", ""))


def _texts(tags: Any) -> Iterable[str]:
    return (tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


FOLLOWED = DIGESTED | {"tags", "context"}
FOLLOWING: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "content_hash": lambda values: content_hash(values["content"]),
    "scope_key": scope_key,
    "extra_terms": _extra_terms,
}
"""Columns that follow from the FOLLOWED ones, and how."""
PLAIN = Plainness(
    needed=frozenset({"user_id", "content"}),
    more=frozenset(
        {
            "tags",
            "importance",
            "context",
            "category",
            "kind",
            "pinned",
            "guild_id",
            "channel_id",
            "agent_id",
            "project_id",
            "conversation_id",
            "session_uuid",
            "meta",
        }
    ),
    moments=("timestamp", "created_at", "updated_at"),
    computed=FOLLOWING,
    aliases={"metadata": "meta"},
    normalise=normalise,
)


class Remembering:
    """Writes a memory, or strengthens the active one that says the same, and returns the row.

    Those that are remembered at one time by many are written by one statement, unless something is said already; then
    none of them is, and each is remembered by itself. See `database/groups.py`.
    """

    __slots__ = ("_writer", "insertion", "is_owner_known", "row")

    def __init__(self, writer: MemoryWriter, insertion: Insertion) -> None:
        self._writer = writer
        self.insertion = insertion
        self.row: dict[str, Any] = insertion.values
        """What has become of it, when it is done."""
        self.is_owner_known = False
        """Whether the identity whose it is was seen, so that no look is taken whether it is there."""

    def __call__(self, executor: Executor) -> dict[str, Any]:
        """Remember it alone."""
        new = self.insertion.values
        if not self.is_owner_known:
            self._writer.ensure_owners(executor, (new["user_id"],))
        for _ in range(ATTEMPTS):
            if self.insertion.do_unless_there(executor):
                self.row = new
                return new
            same = self._writer.find_same(executor, new)
            if same is not None:
                self.row = self._writer.strengthen(executor, same, new)
                return self.row
        message = "a memory of the same content comes and goes; try again"
        raise ConflictError(message, entity="Memory")

    def kind(self) -> object | None:
        """What it has in common with those that can be remembered with it."""
        kind = self.insertion.kind()
        return None if kind is None else (Remembering, kind)

    def written_size(self) -> int:
        """How many bytes and characters it writes."""
        return self.insertion.written_size()

    def do_with(self, executor: Executor, others: Sequence[Remembering]) -> None:
        """Remember it, and after it others of its kind."""
        together = (self, *others)
        self._writer.ensure_owners(executor, (each.row["user_id"] for each in together if not each.is_owner_known))
        first, *rest = (each.insertion for each in together)
        first.do_with(executor, rest)


class MemoryWriter:
    """Makes the units of work that write memories."""

    def __init__(self, store: RowStore[Memory], identities: IdentityWriter, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._identities = identities
        self._plain = PlainRows(store, clock, PLAIN)
        self._owners = FamiliarIdentities()

    def digest(self, values: dict[str, Any]) -> None:
        """Fill in what follows from the texts and the scope."""
        values.update({key: compute(values) for key, compute in FOLLOWING.items()})

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

    def remember_plain(self, data: Mapping[str, Any]) -> Remembering | None:
        """What remembers a memory of which little is said; None: it goes the long way, see `core/plain_rows.py`."""
        insertion = self._plain.make(data)
        return None if insertion is None else Remembering(self, insertion)

    def remember(self, values: dict[str, Any]) -> Remembering:
        """What writes a memory or strengthens the one that is the same."""
        # Without companions: a memory is one row.
        return Remembering(self, cast("Insertion", self._store.prepare_insert(values)))

    async def write(self, work: Remembering, run: Callable[[Work[Any], Mapping[str, Any]], Awaitable[Any]]) -> None:
        """Remember a memory; once more when the identity whose it is is not there any more, as it was before.

        Args:
            work: What remembers it.
            run: What runs units of work that write these values.
        """
        owner = work.row["user_id"]
        work.is_owner_known = self._owners.knows(owner)
        try:
            await run(work, work.row)
        except ForeignKeyError as exc:
            if not work.is_owner_known or not may_be_missing("user_id", exc):
                raise
            self._owners.forget(owner)
            work.is_owner_known = False
            await run(work, work.row)
        if not work.is_owner_known:
            self._owners.remember((work.row,))

    def ensure_owners(self, executor: Executor, ids: Iterable[str | None]) -> None:
        """Make the identities whose memories they are, unless they are there."""
        self._identities.ensure_all(executor, ids)

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
