"""Workers: programs that do the jobs of the queue.

Read `worker.py` first, then `context.py` for what a handler gets.
"""

from __future__ import annotations

from agent_system.jobs.context import JobContext
from agent_system.jobs.outcomes import GiveUpError, TryLaterError
from agent_system.jobs.promises import keeps_promises
from agent_system.jobs.ready_tasks import enqueue_ready_tasks
from agent_system.jobs.retention import RetentionPolicy, retains
from agent_system.jobs.worker import Worker

__all__ = [
    "GiveUpError",
    "JobContext",
    "RetentionPolicy",
    "TryLaterError",
    "Worker",
    "enqueue_ready_tasks",
    "keeps_promises",
    "retains",
]
