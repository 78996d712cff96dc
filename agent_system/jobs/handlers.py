"""Which function does which type of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from agent_system.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.jobs.context import JobContext

    HandlerFunction: TypeAlias = Callable[[JobContext], Awaitable[Any]]

__all__ = ["Handler", "Handlers", "Periodic"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Handler:
    """A function that does jobs of one type."""

    function: HandlerFunction
    timeout_seconds: float | None
    """Longest run of one attempt; None is as the job or the worker says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Periodic:
    """A schedule that a worker asks for."""

    name: str
    cron: str
    task_type: str
    payload: Any
    fields: dict[str, Any]


class Handlers:
    """The handlers of a worker, by type."""

    def __init__(self) -> None:
        self._by_type: dict[str, Handler] = {}

    def add(self, task_type: str, handler: Handler) -> None:
        """Let a handler do a type.

        Raises:
            ConfigurationError: Another one does it already.
        """
        if task_type in self._by_type:
            message = f"there are two handlers for jobs of the type {task_type!r}"
            raise ConfigurationError(message)
        self._by_type[task_type] = handler

    def __getitem__(self, task_type: str) -> Handler:
        return self._by_type[task_type]

    @property
    def types(self) -> tuple[str, ...]:
        """The types that there are handlers for."""
        return tuple(sorted(self._by_type))
