"""Verifying the audit chain: every link, every event, and what erasures have left of them."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent_system.managers.audit.chain import PAYLOAD, SAID, payload_digest, plain_digest
from agent_system.managers.audit.sealing import LATECOMERS, rows_of
from agent_system.models import metadata
from agent_system.types import SealKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.audit.chain import ChainKeys

__all__ = ["Anchor", "AuditVerdict", "Verification"]

SEALS_AT_ONCE = 20
PROBLEMS_KEPT = 100

events = metadata.tables["events"]
seals = metadata.tables["audit_seals"]
MARKS = ("payload_salt", "payload_digest", "previous_digest", "chain_digest", "seal_id", "key_id")


@dataclass(frozen=True, slots=True)
class Anchor:
    """The newest link as it was at some moment, kept where whoever can write to the database cannot write."""

    seal_id: int
    """The number of the link; 0: there was none."""
    digest: str
    """Its chain digest."""

    def __str__(self) -> str:
        return f"{self.seal_id}:{self.digest}"

    @classmethod
    def parse(cls, written: str) -> Anchor | None:
        """Read what `str` has written; None when it is something else."""
        number, _, digest = written.strip().partition(":")
        return cls(int(number), digest) if number.isascii() and number.isdigit() else None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditVerdict:
    """What came out."""

    seals: int
    """How many links there are."""
    events: int
    """How many events they vouch for."""
    erased: int
    """How many of these were emptied by an erasure that the chain vouches for."""
    unsealed: int
    """How many events nothing vouches for yet."""
    head: Anchor
    """The newest link: keep it elsewhere, and a later verification can tell that nothing was cut off."""
    problems: tuple[str, ...]
    """What is wrong, the first hundred."""

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Verification:
    """One run over the whole chain, some links at a time.

    Args:
        db: The database.
        keys: The keys of the chain.
        anchor: The newest link as somebody has kept it; None: nobody has.
    """

    def __init__(self, db: DatabaseManager, keys: ChainKeys, anchor: Anchor | None) -> None:
        self._db = db
        self._keys = keys
        self._anchor = anchor
        self._problems: list[str] = []
        self._amended: dict[int, str] = {}
        self._links = self._events = self._erased = 0
        self._anchor_found = anchor is None or anchor.seal_id == 0
        self._highest = 0
        self._head: Mapping[str, Any] | None = None

    async def run(self) -> AuditVerdict:
        """Verify everything."""
        await self._verify_links()
        # Erasures come behind the events that they have changed.
        last = self._links
        for first in range(1, last + 1, SEALS_AT_ONCE):
            await self._db.read(partial(self._verify_events, first=first, last=last))
        unsealed, sealed, late = await self._db.read(self._count)
        if sealed != self._events:
            self._note(f"{sealed:,} events say that they are sealed, the seals vouch for {self._events:,}")
        if late:
            self._note(f"{late:,} events have lower keys than sealed ones and were never sealed: they came later")
        if not self._anchor_found and self._anchor is not None:
            self._note(f"the chain does not lead through seal {self._anchor}: its end was cut off or made anew")
        head = Anchor(0, "") if self._head is None else Anchor(self._head["id"], self._head["chain_digest"])
        return AuditVerdict(
            seals=self._links,
            events=self._events,
            erased=self._erased,
            unsealed=unsealed,
            head=head,
            problems=tuple(self._problems),
        )

    def _note(self, problem: str) -> None:
        if len(self._problems) < PROBLEMS_KEPT:
            self._problems.append(problem)

    async def _verify_links(self) -> None:
        while True:
            found = await self._db.read(self._next_links)
            for seal in found:
                self._verify_link(seal)
            if not found:
                return

    def _next_links(self, executor: Executor) -> Sequence[Mapping[str, Any]]:
        statement = select(seals).where(seals.c.id > self._links).order_by(seals.c.id).limit(SEALS_AT_ONCE)
        return rows_of(executor, statement)

    def _verify_link(self, seal: Mapping[str, Any]) -> None:
        number, key_id = seal["id"], seal["key_id"]
        if number != self._links + 1:
            self._note(f"the seals {self._links + 1} to {number - 1} are missing")
        previous = "" if self._head is None else self._head["chain_digest"]
        if seal["previous_digest"] != previous:
            self._note(f"seal {number} does not follow the one before it")
        if key_id is None:
            self._note(f"seal {number} ({seal['kind']}, receipt {seal['receipt_id']}) was made without a key")
        elif key_id not in self._keys:
            self._note(f"seal {number} was made with the key {key_id}, which is not given")
        elif not hmac.compare_digest(self._keys.seal_digest(key_id, seal), seal["chain_digest"]):
            self._note(f"seal {number} was changed")
        if seal["kind"] == SealKind.ERASURE:
            if plain_digest(seal["amended"]) != seal["content_digest"]:
                self._note(f"seal {number} was changed: what it says about erased events is not what was sealed")
            self._amended |= {int(key): digest for key, digest in seal["amended"].items()}
        else:
            self._events += seal["event_count"]
            self._highest = max(self._highest, seal["last_event_id"] or 0)
        if self._anchor is not None and number == self._anchor.seal_id:
            self._anchor_found = seal["chain_digest"] == self._anchor.digest
        self._links, self._head = number, seal

    def _verify_events(self, executor: Executor, first: int, last: int) -> None:
        """Verify the events of some links, one link in memory at a time."""
        numbers = range(first, min(first + SEALS_AT_ONCE, last + 1))
        kept = {
            seal["id"]: seal
            for seal in rows_of(executor, select(seals).where(seals.c.id.in_(numbers)))
            if seal["kind"] == SealKind.EVENTS
        }
        columns = [events.c[name] for name in (*SAID, *PAYLOAD, *MARKS)]
        for number, seal in kept.items():
            found = select(*columns).where(events.c.seal_id == number).order_by(events.c.id)
            self._verify_batch(executor, seal, rows_of(executor, found))

    def _verify_batch(self, executor: Executor, seal: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> None:
        if len(found) != seal["event_count"]:
            self._note(f"seal {seal['id']} vouches for {seal['event_count']} events, {len(found)} are there")
        if seal["key_id"] not in self._keys:
            return  # which is a problem already
        chain = seal["previous_digest"]
        for event in found:
            if event["previous_digest"] != chain:
                self._note(f"before event {event['id']} others are missing or have been added")
            told = self._keys.event_digest(
                seal["key_id"], event, event["previous_digest"] or "", event["payload_digest"]
            )
            if not hmac.compare_digest(told, event["chain_digest"] or ""):
                self._note(f"event {event['id']} was changed")
            self._verify_payload(executor, event)
            chain = event["chain_digest"]
        if chain != seal["content_digest"]:
            self._note(f"the events of seal {seal['id']} are not those that were sealed")

    def _verify_payload(self, executor: Executor, event: Mapping[str, Any]) -> None:
        found = payload_digest(event, event["payload_salt"])
        if found == event["payload_digest"]:
            return
        if found == self._amended.get(event["id"]) or self._is_amended_now(executor, event["id"], found):
            self._erased += 1
            return
        self._note(f"event {event['id']}: what it was about was changed")

    def _is_amended_now(self, executor: Executor, key: int, digest: str) -> bool:
        """Whether an erasure came while we were looking; it has to be verified when somebody looks again."""
        later = select(seals.c.amended).where(seals.c.id > self._links, seals.c.kind == SealKind.ERASURE)
        return any(amended.get(str(key)) == digest for amended in executor.execute(later).scalars())

    def _count(self, executor: Executor) -> tuple[int, int, int]:
        is_late = events.c.id <= self._highest - LATECOMERS
        counts = select(func.count(), func.count().filter(is_late)).where(events.c.seal_id.is_(None))
        unsealed, late = tuple(executor.execute(counts).one())
        sealed = select(func.count()).where(events.c.seal_id.is_not(None), events.c.seal_id <= self._links)
        return unsealed, executor.execute(sealed).scalar_one(), late
