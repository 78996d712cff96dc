"""Sealing events, a batch at a time, beside those who write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select, update

from agent_system.managers.audit.chain import PAYLOAD, SAID, new_salt, payload_digest, plain_digest
from agent_system.models import metadata
from agent_system.types import SealKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select

    from agent_system.database.executor import Executor
    from agent_system.managers.audit.chain import ChainKeys

__all__ = ["EVENTS_AT_ONCE", "LATECOMERS", "Sealer", "head_of", "rows_of"]

# 500 events take about 20 ms, for which other writers wait.
EVENTS_AT_ONCE = 500
# On PostgreSQL events are committed in another order than that of their keys: so far back they are looked for again.
LATECOMERS = 10_000

events = metadata.tables["events"]
seals = metadata.tables["audit_seals"]

_MARK = (
    update(events)
    .where(events.c.id == bindparam("event"))
    .values({name: bindparam(f"new_{name}") for name in ("payload_salt", "payload_digest", "previous_digest")})
    .values({name: bindparam(f"new_{name}") for name in ("chain_digest", "seal_id", "key_id")})
)
_AMEND = update(events).where(events.c.id == bindparam("event")).values(payload_salt=bindparam("new_payload_salt"))


def rows_of(executor: Executor, statement: Select[Any]) -> list[dict[str, Any]]:
    """The rows of a statement by column."""
    result = executor.execute(statement)
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


def head_of(executor: Executor) -> dict[str, Any] | None:
    """The newest seal, or None."""
    return next(iter(rows_of(executor, select(seals).order_by(seals.c.id.desc()).limit(1))), None)


class Sealer:
    """Makes the links of the chain.

    Args:
        keys: The keys of the chain.
        clock: Where the moments come from.
    """

    def __init__(self, keys: ChainKeys, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._clock = clock

    def seal_batch(self, executor: Executor) -> int:
        """Seal the next events in the running unit of work; returns how many there were.

        Raises:
            ConfigurationError: There is no key.
            DuplicateKeyError: Somebody else made the very first seal just now.
        """
        key_id = self._keys.require()
        _lock(executor)
        head = head_of(executor)
        newest = executor.execute(select(func.max(seals.c.last_event_id))).scalar()
        wanted = select(*_columns()).where(events.c.seal_id.is_(None), events.c.id > (newest or 0) - LATECOMERS)
        found = rows_of(executor, wanted.order_by(events.c.id).limit(EVENTS_AT_ONCE))
        if not found:
            return 0
        number = 1 if head is None else head["id"] + 1
        chain = previous = "" if head is None else head["chain_digest"]
        marks = []
        for event in found:
            salt = new_salt()
            digest = payload_digest(event, salt)
            before, chain = chain, self._keys.event_digest(key_id, event, chain, digest)
            marks.append(
                {
                    "event": event["id"],
                    "new_payload_salt": salt,
                    "new_payload_digest": digest,
                    "new_previous_digest": before,
                    "new_chain_digest": chain,
                    "new_seal_id": number,
                    "new_key_id": key_id,
                }
            )
        executor.execute(_MARK, marks)
        values = {"first_event_id": found[0]["id"], "last_event_id": found[-1]["id"], "event_count": len(found)}
        self._write(executor, SealKind.EVENTS, number, previous, {**values, "content_digest": chain})
        return len(found)

    def find_sealed(self, executor: Executor, concerned: ColumnElement[bool]) -> Sequence[int]:
        """The sealed events that an erasure is about to change, asked before it does."""
        wanted = select(events.c.id).where(events.c.seal_id.is_not(None), concerned).order_by(events.c.id)
        return list(executor.execute(wanted).scalars())

    def seal_erasure(self, executor: Executor, keys: Sequence[int], receipt_id: UUID) -> None:
        """Vouch for what an erasure has left of sealed events, in the unit of work of the erasure.

        Without a key it is written all the same, because nobody may be kept from being forgotten; `verify` tells.

        Args:
            keys: What `find_sealed` returned.
            receipt_id: The receipt of the erasure, which is there already.
        """
        if not keys:
            return
        _lock(executor)
        amended: dict[str, str] = {}
        for start in range(0, len(keys), EVENTS_AT_ONCE):
            part = keys[start : start + EVENTS_AT_ONCE]
            left = rows_of(executor, select(*_columns()).where(events.c.id.in_(part)))
            # The old salt goes, or what was taken out could be guessed with the digest of it.
            salts = {event["id"]: new_salt() for event in left}
            executor.execute(_AMEND, [{"event": key, "new_payload_salt": salt} for key, salt in salts.items()])
            amended |= {str(event["id"]): payload_digest(event, salts[event["id"]]) for event in left}
        head = head_of(executor)
        number, previous = (1, "") if head is None else (head["id"] + 1, head["chain_digest"])
        values: dict[str, Any] = {"first_event_id": keys[0], "last_event_id": keys[-1], "event_count": len(amended)}
        values |= {"content_digest": plain_digest(amended), "amended": amended, "receipt_id": receipt_id}
        self._write(executor, SealKind.ERASURE, number, previous, values)

    def _write(self, executor: Executor, kind: SealKind, number: int, previous: str, values: dict[str, Any]) -> None:
        seal: dict[str, Any] = {
            "id": number,
            "kind": kind,
            "previous_digest": previous,
            "receipt_id": None,
            "amended": {},
            "created_at": self._clock(),
            "key_id": self._keys.newest(),
        } | values
        seal["chain_digest"] = "" if seal["key_id"] is None else self._keys.seal_digest(seal["key_id"], seal)
        executor.execute(insert(seals).values(seal))


def _columns() -> list[Any]:
    return [events.c[name] for name in (*SAID, *PAYLOAD)]


def _lock(executor: Executor) -> None:
    """Let one at a time go on: who makes a link locks the first one, which stays for ever."""
    executor.execute(select(seals.c.id).where(seals.c.id == 1).with_for_update())
