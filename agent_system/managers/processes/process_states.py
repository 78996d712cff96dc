"""The states of a run of a process: which may follow which, and what a change of state writes besides the state.

```
pending ──► running ◄──► waiting           failed ──► running (tried again)
   │           │            │
   └───────────┴────────────┴──► completed, failed, cancelled ──► rolling_back ──► rolled_back
```

A run that did something may be undone, also while it is under way; an undoing that fails is a failed run.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent_system.errors import TransitionError
from agent_system.types import ProcessInstanceStatus as Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["OVER", "TRANSITIONS", "UNDER_WAY", "counted", "move"]

UNDER_WAY = frozenset({Status.PENDING, Status.RUNNING, Status.WAITING})
"""Not over, and not being undone."""

OVER = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.ROLLED_BACK})
"""Ended, in whatever way; `completed_at` is set."""

_ENDS = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.ROLLING_BACK})

TRANSITIONS: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.PENDING: frozenset({Status.RUNNING, Status.FAILED, Status.CANCELLED}),
        Status.RUNNING: _ENDS | {Status.WAITING},
        Status.WAITING: _ENDS | {Status.RUNNING},
        Status.COMPLETED: frozenset({Status.ROLLING_BACK}),
        Status.FAILED: frozenset({Status.RUNNING, Status.ROLLING_BACK}),
        Status.CANCELLED: frozenset({Status.ROLLING_BACK}),
        Status.ROLLING_BACK: frozenset({Status.ROLLED_BACK, Status.FAILED}),
        Status.ROLLED_BACK: frozenset(),
    }
)
"""Which states may follow each state; staying in one is always allowed and changes nothing."""


def move(before: Mapping[str, Any], status: Status, now: datetime) -> dict[str, Any]:
    """What changes, besides the status, when a run moves to another state.

    Raises:
        TransitionError: The state may not follow the run's present one; the error lists those that may.
    """
    current = before["status"]
    # A text that no state is (written by plain SQL) can be mended by any change.
    allowed = TRANSITIONS.get(current, frozenset(Status))
    if status not in allowed:
        known = ", ".join(sorted(allowed)) or "none"
        message = f"process instance {before['id']} is {current}; after that may come: {known}, not {status}"
        raise TransitionError(message, entity="ProcessInstance", entity_id=before["id"])
    changes: dict[str, Any] = {}
    if status is Status.RUNNING and before["started_at"] is None:
        changes["started_at"] = now
    if status is Status.RUNNING and current is Status.FAILED:
        changes["error"] = None
    if status in OVER:
        changes["completed_at"] = now
    elif before["completed_at"] is not None:
        changes["completed_at"] = None
    return changes


def counted(before: Status | None, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a run adds to the counters of its process when it comes from one state to that of `row`.

    Only the end of a run that was under way counts; undoing it takes nothing back.

    Args:
        before: The state that it was in; None for a new run.
        row: The run as it is now.
    """
    added = {"usage_count": int(before is None), "success_count": 0, "failure_count": 0, "total_execution_seconds": 0.0}
    if row["status"] in OVER and (before is None or before in UNDER_WAY):
        added["success_count"] = int(row["status"] is Status.COMPLETED)
        added["failure_count"] = int(row["status"] is Status.FAILED)
        if row["started_at"] is not None and row["completed_at"] is not None:
            # Clocks are set back now and then; a running time is never negative.
            seconds = (row["completed_at"] - row["started_at"]).total_seconds()
            added["total_execution_seconds"] = max(seconds, 0.0)
    return added
