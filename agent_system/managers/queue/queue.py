"""The queue: work that waits for a worker, is being done by one, or is over."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.managers.core.base import Manager
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.models import Job
from agent_system.types import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.database.executor import Executor
    from agent_system.managers.users.identity_writer import IdentityWriter

__all__ = ["QueueManager"]


class QueueManager(Manager[Job]):
    """The queue: work that waits for a worker, is being done by one, or is over."""

    entity = Job
    kept = frozenset({"ready_at"})

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._db.dialect, self._clock)

    def fill_in(self, values: dict[str, Any]) -> None:
        """Tell whether a new job may be begun at once, and since when."""
        scheduled_for = values["scheduled_for"]
        is_waiting = values["status"] is JobStatus.PENDING
        if is_waiting and (scheduled_for is None or scheduled_for <= self._clock()):
            values["ready_at"] = scheduled_for or values["created_at"]
        if values["status"] is JobStatus.IN_PROGRESS and values["lease_expires_at"] is None:
            # Nobody has it, so that whoever asks first takes it over.
            values["lease_expires_at"] = values["created_at"]

    def insertion(self, values: dict[str, Any], *, audit: bool = True) -> Callable[[Executor], None]:
        """What writes a new job, and the identity of its user unless it is there."""
        insert = super().insertion(values, audit=audit)
        user_id = values["user_id"]
        if user_id is None:
            return insert

        def insert_with_user(executor: Executor) -> None:
            self._identities.ensure(executor, user_id)
            insert(executor)

        return insert_with_user
