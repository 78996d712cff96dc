"""How jobs come into the queue: what a caller gives becomes a row, unless one with its dedupe_key is there."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_system.errors import ValidationError
from agent_system.managers.core.insertion import Insertion
from agent_system.managers.queue.new_jobs import NewJob
from agent_system.managers.queue.plain_jobs import PlainJobs
from agent_system.managers.users.identity_writer import identity_writer
from agent_system.types import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_system.database.executor import Executor
    from agent_system.managers.core.store import RowStore
    from agent_system.managers.queue.payloads import PayloadModels
    from agent_system.managers.users.identity_writer import IdentityWriter
    from agent_system.models import Job

__all__ = ["Intake", "moment_after"]

WAITS = {"delay": "scheduled_for", "expires_in": "expires_at"}


class Intake:
    """Makes rows of what callers give, and the units of work that write them."""

    def __init__(self, store: RowStore[Job], clock: Callable[[], datetime], payloads: PayloadModels) -> None:
        self._store = store
        self._clock = clock
        self._payloads = payloads

    @cached_property
    def plain(self) -> PlainJobs:
        """The short way, for jobs of which the caller says little."""
        return PlainJobs(self._store, self._clock, self._payloads)

    @cached_property
    def _identities(self) -> IdentityWriter:
        return identity_writer(self._store.plans.dialect, self._clock)

    def row(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a job, given the arguments of `enqueue`.

        Raises:
            ValidationError: The payload is refused, or a wait is no number of seconds.
        """
        row = dict(data)
        row["payload"] = self._payloads.dump(row.get("task_type", ""), row.get("payload"))
        for key, column in WAITS.items():
            wait = row.pop(key, None)
            if wait is not None:
                if row.get(column) is not None:
                    raise _refusal(key, f"give either {key} or {column}")
                row[column] = moment_after(self._clock(), wait, key)
        return row

    def complete(self, values: dict[str, Any]) -> None:
        """Fill in what follows from the status of a new job: whether it may be begun, who has it, when it ended."""
        schedule, status = values["scheduled_for"], values["status"]
        values["ready_at"] = values["due_at"] = None
        if status is JobStatus.PENDING:
            is_early = schedule is not None and schedule > self._clock()
            values["due_at" if is_early else "ready_at"] = schedule or values["created_at"]
        elif status is JobStatus.IN_PROGRESS:
            # Nobody holds it, so that whoever asks first takes it over.
            values["lease_expires_at"] = values["created_at"]
        else:
            values["completed_at"] = values["completed_at"] or values["updated_at"]

    def insertion(
        self, values: Mapping[str, Any], prepare: Callable[[], Callable[[Executor], None]]
    ) -> Callable[[Executor], None]:
        """What writes a new job, and the identity of its user unless it is there.

        Args:
            prepare: Encodes the row.

        Raises:
            ValidationError: The payload is no JSON or too large, or another value cannot be stored.
        """
        try:
            insert = prepare()
        except ValidationError:
            self._payloads.check_size(values["payload"])
            raise
        if isinstance(insert, Insertion):
            self._payloads.check_encoded(insert.encoded("payload"))
        return self._identities.before(values["user_id"], insert)

    def once(self, values: dict[str, Any], insert: Callable[[Executor], None]) -> Callable[[Executor], dict[str, Any]]:
        """What writes a new job unless one of its like is not over, and returns the one that is there then."""
        key = values["dedupe_key"]
        store, new = self._store, NewJob(values, insert)
        if key is None:
            return new

        def write(executor: Executor) -> dict[str, Any]:
            found = store.find_key(executor, {"dedupe_key": key, "completed_at": None})
            stored = None if found is None else store.get(executor, found)
            return new(executor) if stored is None else stored

        return write


def moment_after(now: datetime, wait: float | timedelta, field: str) -> datetime:
    """The moment that lies so long after another one.

    Args:
        wait: Seconds, from 0.

    Raises:
        ValidationError: It is no such number, or leads beyond the year 9999.
    """
    try:
        span = wait if isinstance(wait, timedelta) else timedelta(seconds=wait)
        if span < timedelta(0):
            raise _refusal(field, f"seconds from 0, not {wait!r}")
        return now + span
    except (TypeError, ValueError, OverflowError):
        raise _refusal(field, f"seconds from 0 that end before the year 10000, not {wait!r}") from None


def _refusal(field: str, rule: str) -> ValidationError:
    return ValidationError(f"queue.{field}: {rule}", field=field, entity="queue")
