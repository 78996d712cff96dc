"""The states of a task: which may follow which, and what a change of state writes besides the state.

```
created  pending  queued  waiting  on_hold  ◄─────► running ──► completed
   │        │        │       │        │                │
   └────────┴────────┴───────┴────────┴────────────────┴──────► failed, stopped, cancelled
                     ▲                                             │       │
                     └───────────── retry, resume ─────────────────┴───────┘
```

Work that has not ended moves freely among the states of waiting, and everything that has not ended may fail, be stopped
or be cancelled. Only what runs, or waits for its parts, can complete: a worker that was taken for dead, and whose task
is pending again, cannot complete it behind the back of the next one. Failed and stopped tasks can be taken up again;
completed and cancelled ones are final.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent_system.errors import TransitionError
from agent_system.types import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = [
    "ENDED",
    "RESUMABLE",
    "RETRIABLE",
    "STARTABLE",
    "TRANSITIONS",
    "UNSUCCESSFUL",
    "WAITING",
    "check_is_one_of",
    "move",
]

WAITING = frozenset({TaskStatus.CREATED, TaskStatus.PENDING, TaskStatus.QUEUED, TaskStatus.WAITING, TaskStatus.ON_HOLD})
"""Not ended, and not running."""

ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.STOPPED, TaskStatus.CANCELLED})
"""Work that is over; `completed_at` is set."""

UNSUCCESSFUL = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED})
"""Ends that decide about the tasks that depend on this one; a stopped task may still be resumed."""

STARTABLE = (TaskStatus.PENDING, TaskStatus.CREATED)
"""Waiting for nothing but its dependencies and a free agent."""

RESUMABLE = frozenset({TaskStatus.ON_HOLD, TaskStatus.STOPPED})
"""Set aside by somebody who may want it to go on."""

RETRIABLE = frozenset({TaskStatus.FAILED, TaskStatus.STOPPED})
"""Ended without a result, but not for good."""

_GIVEN_UP = {TaskStatus.FAILED, TaskStatus.STOPPED, TaskStatus.CANCELLED}
_SET_ASIDE = {TaskStatus.WAITING, TaskStatus.ON_HOLD}
_AGAIN = {TaskStatus.PENDING, TaskStatus.QUEUED}

TRANSITIONS: Mapping[TaskStatus, frozenset[TaskStatus]] = MappingProxyType(
    {
        TaskStatus.CREATED: frozenset(_AGAIN | _SET_ASIDE | _GIVEN_UP | {TaskStatus.RUNNING}),
        TaskStatus.PENDING: frozenset({TaskStatus.QUEUED, TaskStatus.RUNNING} | _SET_ASIDE | _GIVEN_UP),
        TaskStatus.QUEUED: frozenset({TaskStatus.PENDING, TaskStatus.RUNNING} | _SET_ASIDE | _GIVEN_UP),
        TaskStatus.RUNNING: frozenset(_AGAIN | _SET_ASIDE | _GIVEN_UP | {TaskStatus.COMPLETED}),
        TaskStatus.WAITING: frozenset(
            _AGAIN | _GIVEN_UP | {TaskStatus.RUNNING, TaskStatus.ON_HOLD, TaskStatus.COMPLETED}
        ),
        TaskStatus.ON_HOLD: frozenset(_AGAIN | _GIVEN_UP | {TaskStatus.RUNNING, TaskStatus.WAITING}),
        TaskStatus.FAILED: frozenset(_AGAIN),
        TaskStatus.STOPPED: frozenset(_AGAIN | {TaskStatus.CANCELLED}),
        TaskStatus.COMPLETED: frozenset(),
        TaskStatus.CANCELLED: frozenset(),
    }
)
"""Which states may follow each state; staying in one is always allowed and changes nothing."""


def move(before: Mapping[str, Any], status: TaskStatus, now: datetime) -> dict[str, Any]:
    """What changes, besides the status, when a task moves to another state.

    The result and the error stay as they are: a state does not tell that they became wrong.

    Raises:
        TransitionError: The state may not follow the task's present one; the error lists those that may.
    """
    current = before["status"]
    # A text that no state is (written by plain SQL) can be mended by any change.
    allowed = TRANSITIONS.get(current, frozenset(TaskStatus))
    if status not in allowed:
        raise _refused(before, status, allowed)
    changes: dict[str, Any] = {}
    if status is TaskStatus.RUNNING and before["started_at"] is None:
        changes["started_at"] = now
    if current is TaskStatus.RUNNING and before["pid"] is not None:
        changes["pid"] = None
    if status in ENDED:
        changes["completed_at"] = now
    elif before["completed_at"] is not None:
        changes["completed_at"] = None
    if status not in ENDED and before["interrupted_at"] is not None:
        changes["interrupted_at"] = None
    return changes


def check_is_one_of(before: Mapping[str, Any], states: frozenset[TaskStatus], verb: str) -> None:
    """Let a task be taken up again only from these states.

    Raises:
        TransitionError: It is in another one.
    """
    if before["status"] not in states:
        names = " or ".join(member.value for member in TaskStatus if member in states)
        message = f"task {before['id']} is {before['status']} and cannot be {verb}: only what is {names} can"
        raise _error(message, before, TaskStatus.PENDING)


def _refused(before: Mapping[str, Any], status: TaskStatus, allowed: frozenset[TaskStatus]) -> TransitionError:
    current = before["status"]
    names = ", ".join(_names(allowed))
    following = f"from {current} it can become {names}" if names else f"{current} is final"
    return _error(f"task {before['id']} is {current} and cannot become {status}: {following}", before, status)


def _error(message: str, before: Mapping[str, Any], wanted: TaskStatus) -> TransitionError:
    current = before["status"]
    return TransitionError(
        message,
        entity="Task",
        entity_id=before["id"],
        current=str(current),
        wanted=str(wanted),
        allowed=_names(TRANSITIONS.get(current, frozenset(TaskStatus))),
    )


def _names(states: frozenset[TaskStatus]) -> tuple[str, ...]:
    return tuple(member.value for member in TaskStatus if member in states)
