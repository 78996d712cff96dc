"""Files: which files of the project were used by which tasks, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, bindparam, case, cast, func, select, update

from agent_system.clock import utc_now
from agent_system.database.plans import compile_plan
from agent_system.managers.core.base import Manager
from agent_system.managers.core.moments import aware
from agent_system.managers.core.pruning import delete_in_parts
from agent_system.managers.core.where import conditions, equals
from agent_system.managers.telemetry.task_context import TaskContext
from agent_system.models import File, FileAccess, metadata
from agent_system.types import FILE_OPERATION_LEGACY, FileOperation

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.database.plans import Plan
    from agent_system.managers.core.pagination import Page
    from agent_system.managers.core.where import Where

__all__ = ["FileManager", "FileStatistics", "FileUse", "TaskUse"]

KEPT = timedelta(days=90)
COUNTED = ("access_count", "read_count", "write_count", "edit_count")
COUNTERS = {FileOperation.READ: "read_count", FileOperation.WRITE: "write_count", FileOperation.EDIT: "edit_count"}

SUMMED = {
    "access_count": "accesses",
    "read_count": "reads",
    "write_count": "writes",
    "edit_count": "edits",
    "size_bytes": "size_bytes",
}

_files = metadata.tables["files"]
_accesses = metadata.tables["file_accesses"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileUse:
    """A file with how often one task, or everybody in some time, used it."""

    file: File
    accesses: int
    by_operation: dict[FileOperation, int]
    """The same by what was done; what was never done is not listed."""
    last_accessed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskUse:
    """How often a task used a file."""

    task_id: Any
    """The task; None for all uses that belong to none."""
    accesses: int
    last_accessed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class FileStatistics:
    """What the uses of all files add up to."""

    files: int = 0
    accesses: int = 0
    reads: int = 0
    writes: int = 0
    edits: int = 0
    size_bytes: int = 0
    """Of the files whose size is known, when they were last used."""


class FileAccessManager(Manager[FileAccess]):
    """The single uses of files; `em.files` offers its verbs."""

    entity = FileAccess

    @cached_property
    def context(self) -> TaskContext:
        """Completes a use by what its task tells."""
        return TaskContext(self.store)


class FileManager(Manager[File]):
    """Files: which files of the project were used by which tasks, and how often.

    A path is one file per owner. The counters of a file are raised by the database, so that none gets lost however many
    use it at once.

    Example:
        >>> await em.files.record("src/main.py", "read", task_id=task.id)
        >>> [(use.file.file_path, use.accesses) for use in await em.files.of_task(task.id)]
        [('src/main.py', 1)]
    """

    entity = File

    def __init__(self, db: DatabaseManager, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(db, clock=clock)
        self._accesses = FileAccessManager(db, clock=clock)

    async def record(
        self,
        file_path: str,
        operation: FileOperation | str,
        *,
        task_id: Any = None,
        session_uuid: str | None = None,
        user_id: Any = None,
        size_bytes: int | None = None,
        content_hash: str | None = None,
    ) -> File:
        """Write down that a file was used, and return it with its counters.

        Args:
            operation: What was done: read, write, edit, delete or search, or the name of a tool that does it.
            task_id: For what; a task that is gone is kept in the `meta` of the use.
            session_uuid: Without `task_id` the newest task of this session is meant.
            user_id: Whose use it is; by default the owner of the task.
            size_bytes: How large the file is, when that is known.
            content_hash: Digest of its content, when that is known.

        Raises:
            ValidationError: A value was refused.
        """
        done = FILE_OPERATION_LEGACY.get(operation, operation)
        now = self._clock()
        use = self._accesses.new_values(
            {"file_id": 0, "operation": done, "task_id": task_id, "session_uuid": session_uuid}
            | {"timestamp": now, "created_at": now}
        )
        facts = {"user_id": user_id, "size_bytes": size_bytes, "content_hash": content_hash}
        file = self.new_values({"file_path": file_path, "first_seen_at": now, "last_accessed_at": now, **facts})
        counters = {name: int(use["operation"] is kind) for kind, name in COUNTERS.items()} | {"access_count": 1}
        file |= counters
        work = self._recording(file, use)
        return self.plans.hydrate.build(await self.run_racing(work, file))

    def _recording(self, file: dict[str, Any], use: dict[str, Any]) -> Callable[[Executor], dict[str, Any]]:
        context = self._accesses.context
        given = {key: use[key] for key in context.late}
        insert_file = self.store.prepare_insert(file, late=("user_id",))
        insert_use = self._accesses.store.prepare_insert(use, late=("file_id", *context.late))
        owner = file["user_id"]

        def work(executor: Executor) -> dict[str, Any]:
            use.update(given)
            owned = {**use, "user_id": owner, "agent_id": None}
            context.complete(executor, owned)
            use.update({key: owned[key] for key in context.late})
            file["user_id"] = owned["user_id"]
            plan = self._count_plans[file["user_id"] is not None]
            rows = executor.fetch(plan, plan.encode(file))
            if rows:
                found = self.plans.hydrate.decode(rows[0])
            else:
                insert_file(executor)
                found = file
            use["file_id"] = found["id"]
            insert_use(executor)
            return found

        return work

    async def get_by_path(self, file_path: str, user_id: Any = None) -> File | None:
        """Return the file of this path, or None; without an owner the one that all share."""
        return await self.find_one(file_path=file_path, user_id=user_id)

    async def most_accessed(self, limit: int = 10, where: Where = None, after: str | None = None) -> Page[File]:
        """Return one page of the files that were used most."""
        return await self.list(where, "-access_count", limit, after)

    async def of_task(self, task_id: Any, limit: int = 1000) -> builtins.list[FileUse]:
        """Return the files that a task used, with its own counts, the most used first; by one statement."""
        wanted = [equals(self._accesses.plans, "task_id", task_id)]
        return await self._uses(wanted, limit)

    async def most_accessed_between(self, since: datetime, until: datetime, limit: int = 10) -> builtins.list[FileUse]:
        """Return the files that were used most from `since` up to, but not at, `until`; by one statement."""
        moment = _accesses.c.timestamp
        return await self._uses([moment >= aware(since, "since"), moment < aware(until, "until")], limit)

    async def tasks_of(self, file_path: str, user_id: Any = None) -> builtins.list[TaskUse]:
        """Return the tasks that used a file, the latest first; uses of no task, or of deleted ones, are one entry."""
        owner = equals(self.plans, "user_id", user_id)
        latest = func.max(_accesses.c.timestamp)
        statement = (
            select(_accesses.c.task_id, func.count(), latest)
            .join(_files, _files.c.id == _accesses.c.file_id)
            .where(_files.c.file_path == file_path, owner)
            .group_by(_accesses.c.task_id)
            .order_by(latest.desc())
        )
        rows: Sequence[Any] = await self._db.read(lambda executor: executor.execute(statement).all())
        return [TaskUse(task_id=row[0], accesses=row[1], last_accessed_at=row[2]) for row in rows]

    async def history(self, file_id: int, limit: int = 100, after: str | None = None) -> Page[FileAccess]:
        """Return one page of the uses of a file, the newest first."""
        return await self._accesses.list({"file_id": file_id}, "-id", limit, after)

    async def statistics(self, where: Where = None) -> FileStatistics:
        """Add up the counters of all files."""
        totals = [cast(func.coalesce(func.sum(_files.c[name]), 0), BigInteger) for name in SUMMED]
        statement = select(func.count(), *totals).select_from(_files).where(*conditions(self.plans, where))
        row = await self._db.read(lambda executor: executor.execute(statement).one())
        return FileStatistics(**dict(zip(("files", *SUMMED.values()), row, strict=True)))

    async def cleanup(self, older_than: timedelta = KEPT) -> int:
        """Delete the uses, and the files without newer ones, that are older, by default than 90 days.

        The counters of the files that stay keep what they have counted. Returns how many files are gone.
        """
        before = self._clock() - older_than
        await delete_in_parts(self._db, _accesses, [_accesses.c.timestamp < before])
        return await delete_in_parts(self._db, _files, [_files.c.last_accessed_at < before])

    async def _uses(self, wanted: builtins.list[Any], limit: int) -> builtins.list[FileUse]:
        counts = {kind: func.count().filter(_accesses.c.operation == kind) for kind in FileOperation}
        used = (
            select(
                _accesses.c.file_id,
                func.count().label("accesses"),
                func.max(_accesses.c.timestamp).label("latest"),
                *(count.label(kind.value) for kind, count in counts.items()),
            )
            .where(*wanted)
            .group_by(_accesses.c.file_id)
            .subquery("used")
        )
        statement = select(*_files.columns, used).join(used, used.c.file_id == _files.c.id)
        statement = statement.order_by(used.c.accesses.desc(), _files.c.file_path).limit(limit)
        rows = await self._db.read(lambda executor: executor.execute(statement).all())
        return [self._use(row) for row in rows]

    def _use(self, row: Any) -> FileUse:
        keys = self.plans.hydrate.keys
        file = self.plans.hydrate.build(dict(zip(keys, row[: len(keys)], strict=True)))
        _, accesses, latest, *counts = row[len(keys) :]
        by_operation = {kind: count for kind, count in zip(FileOperation, counts, strict=True) if count}
        return FileUse(file=file, accesses=accesses, by_operation=by_operation, last_accessed_at=latest)

    @cached_property
    def _count_plans(self) -> dict[bool, Plan]:
        return {owned: self._count_plan(owned=owned) for owned in (True, False)}

    def _count_plan(self, *, owned: bool) -> Plan:
        """Raise the counters of a path that is there; None of them is read before it is written."""
        columns = self.plans.columns
        bound = {key: bindparam(key, type_=column.type) for key, column in columns.items()}
        values: dict[str, Any] = {key: columns[key] + bound[key] for key in COUNTED}
        values |= {key: func.coalesce(bound[key], columns[key]) for key in ("size_bytes", "content_hash")}
        now = bound["last_accessed_at"]
        later = case((columns["last_accessed_at"] > now, columns["last_accessed_at"]), else_=now)
        values |= {"last_accessed_at": later, "updated_at": now}
        owner = columns["user_id"] == bound["user_id"] if owned else columns["user_id"].is_(None)
        statement = update(_files).where(columns["file_path"] == bound["file_path"], owner).values(values)
        return compile_plan(statement.returning(*_files.columns), self._db.dialect, writes=_files.name)
