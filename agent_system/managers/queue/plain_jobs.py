"""`PlainJobs`: the short way into the queue, for jobs of which callers say little; see `core/plain_rows.py`.

From a few keys depends what else is written of a job (its schedule, its status, whose it is); it goes the long way, by
`Intake`, when one of these is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_system.managers.core.plain_rows import Plainness, PlainRows
from agent_system.managers.queue.new_jobs import NewJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from agent_system.managers.core.store import RowStore
    from agent_system.managers.queue.payloads import PayloadModels
    from agent_system.models import Job

__all__ = ["PlainJobs"]

PLAIN = Plainness(
    needed=frozenset({"task_type", "payload"}),
    more=frozenset(
        {
            "priority",
            "max_retries",
            "created_by",
            "chat_id",
            "respond_to",
            "timeout_seconds",
            "concurrency_key",
            "meta",
        }
    ),
    moments=("ready_at", "created_at", "updated_at"),
    computed={"due_at": lambda _: None},
    aliases={"metadata": "meta"},
)


class PlainJobs:
    """Makes rows of what callers give, where nothing else follows from it."""

    def __init__(self, store: RowStore[Job], clock: Callable[[], datetime], payloads: PayloadModels) -> None:
        self._payloads = payloads
        self._rows = PlainRows(store, clock, PLAIN)

    def prepare(self, data: Mapping[str, Any]) -> NewJob | None:
        """What writes a new job; None: it goes the long way.

        Args:
            data: The arguments of `enqueue` by name.

        Raises:
            ValidationError: The model of its type refuses the payload, or it is too large.
        """
        shape = self._rows.shape(data)
        if shape is None:
            return None
        payload = self._payloads.dump(data["task_type"], data["payload"])
        if payload is not data["payload"]:
            data = {**data, "payload": payload}
        insert = self._rows.prepare(data, shape)
        if insert is None:
            return None
        encoded = insert.encoded("payload")
        if encoded is not None:
            self._payloads.check_encoded(encoded)
        # The plan is that of all facades of a database, so that they are written together whoever enqueues them.
        return NewJob(insert.values, insert, shape.plan)
