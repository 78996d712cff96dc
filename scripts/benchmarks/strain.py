"""The operations of the endurance run: each does one thing at random and tells the ledger what it was told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from uuid_utils.compat import uuid7

from agent_system import AgentSystemError
from agent_system.errors import DatabaseBusyError, DuplicateKeyError, ForeignKeyError, OutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent_system import DatabaseManager, EntityManager
    from scripts.benchmarks.ledger import Ledger

__all__ = ["Strain"]

ONE_IN_THREE = 1 / 3
NOBODY = UUID(int=0)
# The bit of a message's key that says that it belongs to no conversation.
LONELY = 2
# A caller that gives up does so within this time, about that of a group commit.
LONGEST_PATIENCE_SECONDS = 0.01


class _ChangedMindError(Exception):
    """A caller's own error inside a transaction."""


class Strain:
    """Random operations on one database."""

    def __init__(self, db: DatabaseManager, em: EntityManager, ledger: Ledger, conversations: Sequence[UUID]) -> None:
        self._db = db
        self._conversations = conversations
        self._em = em
        self._ledger = ledger
        self._problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._steps: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._create, 30),
            (self._create_and_leave, 10),
            (self._create_many, 3),
            (self._create_many_with_a_bad_one, 2),
            (self._append_and_read, 15),
            (self._repeat, 5),
            (self._create_namesake, 5),
            (self._create_for_nobody, 5),
            (self._transaction, 3),
            (self._delete, 10),
            (self._update_agent, 15),
            (self._read_agent, 25),
            (self._read_message, 15),
            (self._list, 3),
        ]

    @property
    def total(self) -> int:
        """How many operations there have been."""
        return sum(self.counts.values())

    def take_problems(self) -> list[str]:
        """What was wrong since the last call."""
        problems, self._problems = self._problems, []
        return problems

    async def step(self) -> None:
        """Do one operation."""
        steps, weights = zip(*self._steps, strict=True)
        step = random.choices(steps, weights)[0]
        self.counts[step.__name__.strip("_")] += 1
        try:
            await step()
        except DatabaseBusyError:
            self.counts["busy"] += 1
        except AgentSystemError as exc:
            self._problems.append(f"{step.__name__}: {type(exc).__name__}: {exc}")

    # Writing.

    async def _create(self) -> None:
        uid = uuid7()
        await self._write([uid], self._em.messages.create(self._row(uid)))

    async def _create_and_leave(self) -> None:
        uids = [uuid7(), uuid7()]
        writing = self._transact(uids, fails=False) if random.random() < ONE_IN_THREE else self._insert(uids)
        task = asyncio.ensure_future(self._write(uids, writing))
        await asyncio.sleep(random.uniform(0, LONGEST_PATIENCE_SECONDS))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _insert(self, uids: list[UUID]) -> list[Any]:
        return await self._em.messages.create_many([self._row(uid) for uid in uids])

    async def _create_many(self) -> None:
        uids = [uuid7() for _ in range(random.randint(1, 20))]
        await self._write(uids, self._insert(uids))

    async def _create_many_with_a_bad_one(self) -> None:
        uids = [uuid7() for _ in range(5)]
        rows = [self._row(uid) for uid in uids]
        rows[random.randrange(5)]["conversation_id"] = NOBODY
        await self._expect_refusal(uids, self._em.messages.create_many(rows), ForeignKeyError)

    async def _append_and_read(self) -> None:
        uid = UUID(int=uuid7().int & ~LONELY)
        conversation_id = self._conversation_of(uid)
        history: list[Any] = []

        async def append() -> list[Any]:
            read = await self._em.messages.append_and_read(conversation_id, self._row(uid), 10)
            history.extend(read)
            return read[-1:]

        await self._write([uid], append())
        if history and (history[-1].uid != uid or any(one.conversation_id != conversation_id for one in history)):
            self._problems.append(f"message {uid} is not at the end of what was read with it")

    async def _repeat(self) -> None:
        """A retried write must give the row that is there."""
        uid = self._some_uid(deletable=False)
        if uid is not None:
            message = await self._em.messages.create(self._row(uid))
            if message.id != self._ledger.written[uid]:
                self._problems.append(f"message {uid} was written twice")

    async def _create_namesake(self) -> None:
        name = (await self._em.agents.require(random.choice([*self._ledger.versions]))).name
        await self._expect_refusal([], self._em.agents.create({"name": name.upper()}), DuplicateKeyError)

    async def _create_for_nobody(self) -> None:
        uid = uuid7()
        row = self._row(uid) | {"conversation_id": NOBODY}
        await self._expect_refusal([uid], self._em.messages.create(row), ForeignKeyError)

    async def _transaction(self) -> None:
        uids = [uuid7(), uuid7()]
        fails = random.random() < ONE_IN_THREE
        try:
            await self._write(uids, self._transact(uids, fails=fails))
        except _ChangedMindError:
            self._ledger.refused.update(uids)

    async def _transact(self, uids: list[UUID], *, fails: bool) -> list[Any]:
        async with self._db.transaction():
            rows = [await self._em.messages.create(self._row(uid)) for uid in uids]
            if fails:
                raise _ChangedMindError
        return rows

    async def _delete(self) -> None:
        uid = self._some_uid(deletable=True)
        if uid is None:
            return
        id_ = self._ledger.written.pop(uid)
        self._ledger.uncertain.add(uid)
        if not await self._em.messages.delete(id_):
            self._problems.append(f"message {id_} was acknowledged but could not be deleted")
        self._ledger.uncertain.discard(uid)
        self._ledger.refused.add(uid)

    async def _update_agent(self) -> None:
        agent_id = random.choice([*self._ledger.versions])
        before = self._ledger.versions[agent_id]
        agent = await self._em.agents.update(agent_id, {"description": str(uuid7())})
        if agent.version <= before:
            self._problems.append(f"an update made version {agent.version} of an agent that was at {before}")
        self._ledger.saw_version(agent_id, agent.version)

    async def _write(self, uids: list[UUID], writing: Awaitable[Any]) -> None:
        """Await a write and note what became of it."""
        self._ledger.uncertain.update(uids)
        try:
            result = await writing
        except OutcomeUnknownError:
            self.counts["unknown outcome"] += 1
            return
        except (AgentSystemError, _ChangedMindError):
            self._ledger.uncertain.difference_update(uids)
            self._ledger.refused.update(uids)
            raise
        self._ledger.uncertain.difference_update(uids)
        for row in result if isinstance(result, list) else [result]:
            self._ledger.written[row.uid] = row.id

    async def _expect_refusal(self, uids: list[UUID], writing: Awaitable[Any], error: type[AgentSystemError]) -> None:
        self._ledger.refused.update(uids)
        try:
            await writing
        except error:
            return
        self._problems.append(f"a row was accepted that should have been refused with {error.__name__}")

    # Reading.

    async def _read_agent(self) -> None:
        agent_id = random.choice([*self._ledger.versions])
        known = self._ledger.versions[agent_id]
        agent = await self._em.agents.require(agent_id)
        if agent.version < known:
            self._problems.append(f"a read showed version {agent.version} of an agent that was at {known} before")
        self._ledger.saw_version(agent_id, agent.version)

    async def _read_message(self) -> None:
        uid = self._some_uid()
        if uid is None:
            return
        message = await self._em.messages.get_by_id(self._ledger.written[uid])
        if message is None:
            if uid in self._ledger.written:
                self._problems.append(f"message {uid} was acknowledged but cannot be read")
        elif message.content != str(uid):
            self._problems.append(f"message {uid} has the content {message.content!r}")

    async def _list(self) -> None:
        page = await self._em.messages.list(order_by="-id", limit=50)
        if any(message.content != str(message.uid) for message in page.items):
            self._problems.append("a list showed a message with another's content")

    def _row(self, uid: UUID) -> dict[str, Any]:
        """A message that follows from its key, so that it can be written again."""
        row = {"uid": uid, "role": "user", "content": str(uid)}
        return row if uid.int & LONELY else {**row, "conversation_id": self._conversation_of(uid)}

    def _conversation_of(self, uid: UUID) -> UUID:
        return self._conversations[uid.int // 4 % len(self._conversations)]

    def _some_uid(self, *, deletable: bool | None = None) -> UUID | None:
        """One of the newest acknowledged messages.

        Args:
            deletable: One that may be deleted, or one that may not, so that what is written twice is there for sure.
        """
        newest = [
            uid for uid in itertools.islice(reversed(self._ledger.written), 20) if deletable in {None, uid.int % 2 == 0}
        ]
        return random.choice(newest) if newest else None
