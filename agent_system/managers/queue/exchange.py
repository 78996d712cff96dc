"""Saying that jobs are done and claiming the next ones, in one unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.managers.queue.claims import ClaimRequest, Claims
    from agent_system.managers.queue.settlements import Completion, Settlements

__all__ = ["complete_all", "exchange_all"]


def complete_all(executor: Executor, settlements: Settlements, done: Sequence[Completion], now: datetime) -> set[int]:
    """Complete jobs, and tell those who waited for it; returns the ids of those that were."""
    executor.prefer_indexes()
    completed = settlements.complete(executor, done, now)
    settlements.announce(executor, done)
    return completed


def exchange_all(
    executor: Executor,
    settlements: Settlements,
    claims: Claims,
    done: Sequence[Completion],
    request: ClaimRequest,
    wanted: int,
    now: datetime,
) -> tuple[set[int], list[Any]]:
    """Complete jobs and claim so many; returns the ids of those that were completed, and the driver's rows."""
    if not wanted or request.types == ():
        return (complete_all(executor, settlements, done, now) if done else set()), []
    glance = claims.look(executor)
    completed = settlements.complete(executor, done, now) if done else set()
    # The claim knows the rules, by which it tells who waited.
    return completed, claims.claim(executor, request, wanted, after=done, glance=glance)
