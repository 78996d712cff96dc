"""Migrations that are stopped at a statement of the test's choice."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from agent_system.database.migrations import run_migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONLY_READS = ("SELECT", "PRAGMA", "WITH", "SHOW")


class Statements:
    """Counts the statements of all engines that change something, and does what it was told at one of them."""

    def __init__(self, at: int, action: Callable[[], None]) -> None:
        self._at = at
        self._action = action
        self.seen = 0

    def __call__(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        """Take notice of a statement that is about to be executed."""
        if not statement.lstrip().upper().startswith(ONLY_READS):
            self.seen += 1
            if self.seen == self._at:
                self._action()


@contextmanager
def stopping(at: int, action: Callable[[], None]) -> Iterator[Statements]:
    """Do something at the n-th changing statement of the block; 0 only counts."""
    statements = Statements(at, action)
    event.listen(Engine, "before_cursor_execute", statements)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", statements)


def fail() -> None:
    """Raise what no migration expects."""
    raise RuntimeError("out of luck")


def die() -> None:
    """End the process as the machine would."""
    os.kill(os.getpid(), signal.SIGKILL)


def migrate_and_die(url: str, target: str, at: int) -> None:
    """Run as a process: migrate, and be killed at the n-th changing statement."""
    with stopping(at, die):
        asyncio.run(run_migrations(url, target))
