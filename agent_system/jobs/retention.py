"""Retention as jobs of the queue (seed 003): each policy is a job of its own, at its times, done by any worker."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from agent_system.managers.retention import RetentionPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_system.jobs.context import JobContext
    from agent_system.jobs.worker import Worker

__all__ = ["NIGHTLY", "RETENTION", "RetentionPolicy", "retains"]

RETENTION = "agent_system.retention"
"""The type of the jobs."""
NIGHTLY = "17 3 * * *"
"""At 3:17 in the night, UTC."""


def retains(worker: Worker, policies: Iterable[RetentionPolicy] = (), cron: str = NIGHTLY) -> None:
    """Let a worker carry out retention: the jobs of the type, and one for each policy at its times.

    Args:
        worker: Who does the jobs.
        policies: What stays of which table; a table has one policy.
        cron: When, as a cron expression in UTC.

    Raises:
        ConfigurationError: The worker does it already.

    Example:
        >>> retains(worker, [RetentionPolicy(table="logs", older_than=timedelta(days=30), most=100_000)])
    """
    worker.handler(RETENTION)(_apply)
    for policy in policies:
        worker.periodic(cron, RETENTION, payload_of(policy), name=f"{RETENTION}.{policy.table}")


def payload_of(policy: RetentionPolicy) -> dict[str, Any]:
    """What a job says that carries out a policy."""
    seconds = None if policy.older_than is None else policy.older_than.total_seconds()
    return {"table": policy.table, "older_than_seconds": seconds, "most": policy.most}


async def _apply(context: JobContext) -> dict[str, Any]:
    payload = context.payload
    seconds = payload.get("older_than_seconds")
    policy = RetentionPolicy(
        table=payload["table"],
        older_than=None if seconds is None else timedelta(seconds=seconds),
        most=payload.get("most"),
    )
    removed = await context.em.retention.apply(policy)
    context.log.info("retention removed %d rows of %s", removed, policy.table)
    return {"table": policy.table, "removed": removed}
