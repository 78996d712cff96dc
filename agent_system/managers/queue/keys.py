"""Concurrency keys: of the jobs with one key only so many run at once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, select

from agent_system.database.dialects.locks import try_transaction_lock
from agent_system.database.plans import compile_plan
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Dialect

    from agent_system.database.executor import Executor

__all__ = ["KeyCounts"]

_jobs = metadata.tables["queue"]


class KeyCounts:
    """Counts how many jobs run with which key."""

    def __init__(self, dialect: Dialect) -> None:
        key = _jobs.c.concurrency_key
        running = select(key, func.count()).where(key.is_not(None), _jobs.c.lease_expires_at.is_not(None)).group_by(key)
        self._running = compile_plan(running, dialect)
        lock = select(try_transaction_lock(bindparam("name", type_=key.type)))
        self._lock = compile_plan(lock, dialect)

    def running(self, executor: Executor) -> Counter[str]:
        """How many jobs run with each key."""
        return Counter(dict(executor.fetch(self._running, self._running.encode({}))))

    def lock(self, executor: Executor, keys: Collection[str]) -> set[str]:
        """Those of the keys that no other transaction is about to begin a job of; none is until the end of this one."""
        return {key for key in keys if executor.fetch(self._lock, self._lock.encode({"name": f"queue:{key}"}))[0][0]}
