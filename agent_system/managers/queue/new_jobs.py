"""New jobs as units of work, and how many of them are written together."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from agent_system.database.inline_writes import size_of
from agent_system.managers.core.insertion import Insertion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_system.database.executor import Executor

__all__ = ["NewJob", "write_jobs"]


class NewJob:
    """What writes a new job, returns its columns, and tells those who wait for work.

    Jobs that are enqueued at one time by many are written by one statement; see `database/groups.py`.
    """

    __slots__ = ("_kind", "insert", "values")

    def __init__(self, values: dict[str, Any], insert: Callable[[Executor], None], kind: object | None = None) -> None:
        """Keep what there is to write.

        Args:
            values: The columns of the job.
            insert: What writes them.
            kind: What those have in common that can be written with it, where whoever makes it knows that already.
        """
        self.insert = insert
        self.values = values
        self._kind = kind

    def __call__(self, executor: Executor) -> dict[str, Any]:
        """Write it alone."""
        self.insert(executor)
        executor.notify()
        return self.values

    def kind(self) -> object | None:
        """What it has in common with those that can be written with it; None when it is written by itself."""
        if self._kind is not None:
            return self._kind
        kind = self.insert.kind() if isinstance(self.insert, Insertion) else None
        return None if kind is None else (NewJob, kind)

    def written_size(self) -> int | None:
        """How many bytes and characters it writes; None when nobody knows."""
        return size_of(self.insert)

    def do_with(self, executor: Executor, others: Sequence[NewJob]) -> None:
        """Write it, and after it others of its kind."""
        first, *rest = (each.insert for each in (self, *others) if isinstance(each.insert, Insertion))
        first.do_with(executor, rest)
        executor.notify()


def write_jobs(executor: Executor, writes: Sequence[Callable[[Executor], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Write jobs in order and return their columns; those that are alike travel together."""
    stored: list[dict[str, Any]] = []
    for kind, group in groupby(writes, key=lambda each: each.kind() if isinstance(each, NewJob) else None):
        if kind is None:
            stored += [write(executor) for write in group]
        else:
            first, *others = (each for each in group if isinstance(each, NewJob))
            first.do_with(executor, others)
            stored += [each.values for each in (first, *others)]
    return stored
