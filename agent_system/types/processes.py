"""Where a run of a process stands."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from agent_system.types.legacy import spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROCESS_INSTANCE_STATUS_LEGACY", "ProcessInstanceStatus"]


class ProcessInstanceStatus(StrEnum):
    """Where one run of a process stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


PROCESS_INSTANCE_STATUS_LEGACY: Mapping[str, ProcessInstanceStatus] = spellings(
    complete=ProcessInstanceStatus.COMPLETED, canceled=ProcessInstanceStatus.CANCELLED
)
