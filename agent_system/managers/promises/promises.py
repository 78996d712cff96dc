"""Promises: what agents said they would do."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.clock import utc_now
from agent_system.managers.promises.making import LATE, Draft, Making, Prerequisites, in_order, policies_of
from agent_system.managers.promises.statistics import PromiseStatistics, measure
from agent_system.managers.promises.work import PromiseWork
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.types import PromiseStatus, PromiseType

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.pagination import Page
    from agent_system.managers.users.identity_writer import IdentityWriter
    from agent_system.models import Promise

__all__ = ["PromiseManager"]


class PromiseManager(PromiseWork):
    """Promises: what agents said they would do, each kept by a job of the queue.

    A promise of the type `search` has a job of the type `promise.search` with its id as payload, from the moment on
    that nothing holds it up.

    Example:
        >>> found = await em.promises.make(chat_id, message_id, "Find the report", task_type="search")
        >>> await em.promises.make(chat_id, message_id, "Sum it up", task_type="analysis", depends_on=[found.id])
        >>> (job,) = await em.queue.claim(types=["promise.search"])
        >>> await em.promises.start(job.payload["promise_id"], job=job)
        >>> await em.promises.complete(job.payload["promise_id"], "It is in the archive.", job=job)
    """

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(db, clock=clock)
        self._making = Making(self._jobs)

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """What writes a new promise, and the identity of its user unless it is there."""
        return self._identities.before(values["user_id"], super().insertion(values, audit=audit))

    # Making them.

    async def make(
        self,
        chat_id: int,
        message_id: int,
        task_description: str,
        *,
        task_type: PromiseType | str = PromiseType.CODE,
        depends_on: Prerequisites = (),
        **fields: Any,
    ) -> Promise:
        """Make a promise, and return it: pending with a job in the queue, or waiting for what it depends on.

        Args:
            chat_id: The chat in which it is made.
            message_id: The message in which it is made.
            task_description: What is promised.
            task_type: Which of the workers' handlers does it.
            depends_on: Ids of promises that have to be kept first; as a mapping with the policy of each: `fail` (this
                one fails with it, which is the default), `block` (this one waits on) or `ignore`.
            fields: priority (1 to 10, higher first), metadata, user_id.

        Raises:
            ValidationError: The data were refused; the error names the field.
            NotFoundError: It depends on a promise that is not there.
        """
        named = {"task_description": task_description, "task_type": task_type, "depends_on": depends_on}
        (promise,) = await self.make_parallel(chat_id, message_id, [named | fields])
        return promise

    async def make_parallel(
        self, chat_id: int, message_id: int, promises: Iterable[Mapping[str, Any]]
    ) -> builtins.list[Promise]:
        """Make promises that do not wait for each other, all or none, and return them in order.

        Args:
            promises: For each the arguments of `make` by name.

        Raises:
            ValidationError: One was refused; nothing was written.
            NotFoundError: One depends on a promise that is not there; nothing was written.
        """
        drafts = {str(place): self._draft(chat_id, message_id, one) for place, one in enumerate(promises)}
        for draft in drafts.values():
            in_order({"": draft})
        return await self._make(drafts)

    async def make_dependent(
        self, chat_id: int, message_id: int, promises: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Promise]:
        """Make a graph of promises, all or none, and return them by name.

        Args:
            promises: For each name the arguments of `make`; its `depends_on` holds other names, or ids of promises that
                are there.

        Raises:
            ValidationError: One was refused, some wait for each other, or one for a name that is not there; nothing
                was written.
            NotFoundError: One depends on a promise that is not there; nothing was written.

        Example:
            >>> await em.promises.make_dependent(chat_id, message_id, {
            ...     "find": {"task_description": "Find it", "task_type": "search"},
            ...     "read": {"task_description": "Read it", "task_type": "analysis", "depends_on": ["find"]},
            ... })
        """
        drafts = in_order({name: self._draft(chat_id, message_id, one) for name, one in promises.items()})
        made = dict(zip(drafts, await self._make(drafts), strict=True))
        return {name: made[name] for name in promises}

    def _draft(self, chat_id: int, message_id: int, data: Mapping[str, Any]) -> Draft:
        columns = {key: value for key, value in data.items() if key != "depends_on"}
        values = self.new_values({"chat_id": chat_id, "message_id": message_id, **columns})
        return Draft(
            values=values,
            insert=self._identities.before(values["user_id"], self.store.prepare_insert(values, late=LATE)),
            depends_on=policies_of(data.get("depends_on", ())),
        )

    async def _make(self, drafts: Mapping[str, Draft]) -> builtins.list[Promise]:
        if not drafts:
            return []
        values = [draft.values for draft in drafts.values()]
        rows = await self.run_racing(lambda executor: self._making.write(executor, drafts), values)
        return [self.plans.hydrate.build(row) for row in rows]

    # Looking at them.

    async def of_chat(
        self, chat_id: int, status: PromiseStatus | str | None = None, *, limit: int = 100, after: str | None = None
    ) -> Page[Promise]:
        """Return one page of the promises of a chat, the newest first.

        Args:
            status: Only those that stand there; None is all.
        """
        return await self.list(_with_status({"chat_id": chat_id}, status), "-id", limit, after)

    async def of_user(
        self, user_id: str, status: PromiseStatus | str | None = None, *, limit: int = 100, after: str | None = None
    ) -> Page[Promise]:
        """Return one page of the promises to a user, the newest first; see `of_chat`."""
        return await self.list(_with_status({"user_id": user_id}, status), "-id", limit, after)

    async def pending(self, chat_id: int | None = None, *, limit: int = 100, after: str | None = None) -> Page[Promise]:
        """Return one page of the promises that nobody has begun and nothing holds up, the oldest first.

        Args:
            chat_id: Only of this chat, which may be 0; None is all.
        """
        chat = {} if chat_id is None else {"chat_id": chat_id}
        return await self.list(_with_status(chat, PromiseStatus.PENDING), None, limit, after)

    async def statistics(
        self, since: datetime | None = None, until: datetime | None = None, *, chats: int = 5
    ) -> PromiseStatistics:
        """Measure the promises that were made in [since, until): how they ended, how long it took, when and where.

        Args:
            since: The first moment that counts; None is from the beginning.
            until: The first moment that does not count any more; None is to the end.
            chats: So many of the most active chats.

        Raises:
            ValidationError: A moment has no time zone, or `chats` is below 1.
        """
        return await measure(self._db, since, until, chats)


def _with_status(where: dict[str, Any], status: PromiseStatus | str | None) -> dict[str, Any]:
    return where if status is None else where | {"status": status}
