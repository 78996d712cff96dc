"""What a handler may raise to say what becomes of its job."""

from __future__ import annotations

from agent_system.errors import AgentSystemError

__all__ = ["GiveUpError", "TryLaterError"]


class GiveUpError(AgentSystemError):
    """No further attempt would help: the job is a dead letter at once."""


class TryLaterError(AgentSystemError):
    """This attempt failed; another one after a while may not."""

    def __init__(self, message: str | None = None, *, delay_seconds: float | None = None) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds
        """How long to wait; None is as the queue's `retry_policy` says."""
