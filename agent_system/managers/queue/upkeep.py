"""What keeps a queue in order: cancel, try again, let go of what was lost, remove what is old."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, delete, func, literal_column, null, or_, select, update

from agent_system.errors import NotFoundError, TransitionError, ValidationError
from agent_system.managers.queue.claim_statement import LOST, TOO_LATE, text_of
from agent_system.models import metadata
from agent_system.types import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from agent_system.database.executor import Executor
    from agent_system.database.manager import DatabaseManager
    from agent_system.managers.core.store import RowStore
    from agent_system.models import Job

__all__ = [
    "OVER",
    "cancelling",
    "mend",
    "move",
    "purge",
    "redriving",
    "release_lost",
    "retrying",
]

_jobs = metadata.tables["queue"]
_effects = metadata.tables["effect_log"]
_columns = _jobs.c
OVER = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
MOST_MENDED = 1_000
OPEN = (text_of("pending"), text_of("in_progress"))
_no_longer_waiting = {"ready_at": null(), "due_at": null(), "lease_expires_at": null()}


def move(
    store: RowStore[Job], key: Mapping[str, Any], change: Any, wanted: JobStatus, executor: Executor
) -> dict[str, Any]:
    """Change the status of one job and return its columns.

    Args:
        change: What changes it unless its status forbids it; without a change nothing is wrong where it has the
            wanted status already.

    Raises:
        NotFoundError: There is no such job.
        TransitionError: Its status forbids it.
    """
    row = executor.execute(change).first()
    if row is not None:
        executor.notify()
        return dict(zip(store.plans.hydrate.keys, row, strict=True))
    found = store.get(executor, key)
    if found is None:
        raise NotFoundError(store.name, key["id"])
    if found["status"] is not wanted:
        message = f"job {key['id']} is {found['status']} and cannot become {wanted}"
        raise TransitionError(message, entity="Job", entity_id=key["id"], current=found["status"], wanted=wanted)
    return found


def cancelling(condition: Any, reason: str | None, now: datetime) -> Any:
    """End jobs that wait or are being done; whoever has one learns at its next word that it is no longer theirs."""
    values = {
        "status": text_of("cancelled"),
        "error_message": func.coalesce(
            bindparam("reason", reason, _columns.error_message.type), _columns.error_message
        ),
        "completed_at": now,
        "updated_at": now,
        **_no_longer_waiting,
    }
    return update(_jobs).where(condition, _columns.status.in_(OPEN)).values(values).returning(*_columns)


def retrying(condition: Any, now: datetime) -> Any:
    """Let jobs that failed or were cancelled begin anew, with all their retries."""
    ended = (text_of("failed"), text_of("cancelled"))
    return update(_jobs).where(condition, _columns.status.in_(ended)).values(_anew(now)).returning(*_columns)


def _anew(now: datetime) -> dict[str, Any]:
    return {
        "status": text_of("pending"),
        "retries": 0,
        "scheduled_for": null(),
        "ready_at": _columns.created_at,
        "due_at": null(),
        "completed_at": null(),
        "progress": null(),
        # Its time was over: who lets it begin anew wants it done all the same.
        "expires_at": case((_columns.expires_at <= now, null()), else_=_columns.expires_at),
        "updated_at": now,
    }


def redriving(condition: Any, limit: int, now: datetime) -> Any:
    """Let dead letters begin anew, the oldest first, but for those of whose like one is waiting or being done."""
    open_one, older = _jobs.alias("open_one"), _jobs.alias("older")
    key = _columns.dedupe_key
    taken = select(literal_column("1")).where(open_one.c.dedupe_key == key, open_one.c.completed_at.is_(None)).exists()
    is_second = (
        select(literal_column("1"))
        .where(older.c.dedupe_key == key, older.c.status == text_of("failed"), older.c.id < _columns.id)
        .exists()
    )
    dead = select(_columns.id).where(_columns.status == text_of("failed"), condition)
    dead = dead.where(or_(key.is_(None), and_(~taken, ~is_second))).order_by(_columns.id).limit(limit)
    chosen = dead.with_for_update(skip_locked=True, of=_jobs).cte("chosen")
    return update(_jobs).where(_columns.id.in_(select(chosen.c.id))).values(_anew(now)).returning(_columns.id)


def release_lost(executor: Executor, now: datetime, steady: datetime) -> Sequence[Any]:
    """Let jobs wait again whose lease has run out, or end them when they are spent or too late; returns the former.

    Args:
        now: The present moment.
        steady: The same by the clock of leases.
    """
    is_spent = _columns.retries >= _columns.max_retries
    values = {
        "status": case((is_spent, text_of("failed")), else_=text_of("pending")),
        "retries": case((is_spent, _columns.retries), else_=_columns.retries + 1),
        "ready_at": case((is_spent, null()), else_=func.coalesce(_columns.scheduled_for, _columns.created_at)),
        "completed_at": case((is_spent, now), else_=null()),
        "error_message": text_of(LOST),
        "lease_expires_at": null(),
        "updated_at": now,
    }
    # One that another transaction has in its hands is being prolonged, completed or taken over. To wait for it with
    # others locked is how two of those who change many jobs come to wait for each other.
    lost = select(_columns.id).where(_columns.lease_expires_at <= steady).with_for_update(skip_locked=True, of=_jobs)
    found = lost.cte("lost")
    release = update(_jobs).where(_columns.id.in_(select(found.c.id))).values(values).returning(*_columns)
    executor.execute(_ending_late(now))
    executor.notify()
    return executor.execute(release).all()


def _ending_late(now: datetime) -> Any:
    """End jobs whose time is over before they were begun."""
    waits = (_columns.completed_at.is_(None), _columns.lease_expires_at.is_(None))
    values = {
        "status": text_of("cancelled"),
        "error_message": text_of(TOO_LATE),
        "completed_at": now,
        "updated_at": now,
        **_no_longer_waiting,
    }
    return update(_jobs).where(_columns.expires_at <= now, *waits).values(values)


def _mending(now: datetime) -> tuple[tuple[Any, dict[str, Any]], ...]:
    """What rows lack whose status plain SQL has changed, so that nobody would find them: conditions and values."""
    nothing = and_(_columns.ready_at.is_(None), _columns.due_at.is_(None))
    ended = (text_of("completed"), text_of("failed"), text_of("cancelled"))
    anew = {"lease_expires_at": null(), "completed_at": null(), "updated_at": now}
    over = {"completed_at": _columns.updated_at, "updated_at": _columns.updated_at, **_no_longer_waiting}
    return (
        (and_(_columns.status == text_of("pending"), nothing), anew | {"due_at": now}),
        (
            and_(_columns.status == text_of("in_progress"), _columns.lease_expires_at.is_(None)),
            anew | {"lease_expires_at": now},
        ),
        (and_(_columns.completed_at.is_(None), _columns.status.in_(ended)), over),
    )


async def mend(db: DatabaseManager, now: datetime) -> int:
    """Give rows whose status plain SQL has changed what belongs to it; returns how many.

    They are looked for without the lock to write: with a million jobs that takes a moment, and mostly finds nothing.
    """
    mended = 0
    for condition, values in _mending(now):
        wanted = select(_columns.id).where(condition).limit(MOST_MENDED)
        while ids := await db.read(partial(_ids, wanted)):
            change = update(_jobs).where(_columns.id.in_(ids), condition).values(values).returning(_columns.id)
            changed = await db.write(partial(_ids, change))
            mended += len(changed)
            if not changed:
                break
    return mended


def _ids(statement: Any, executor: Executor) -> list[int]:
    return list(executor.execute(statement).scalars())


async def purge(
    db: DatabaseManager, before: datetime, statuses: Iterable[JobStatus | str], *, limit: int | None, batch: int
) -> int:
    """Delete jobs that ended before a moment, a batch in one transaction; see `QueueManager.purge`."""
    wanted = set(statuses)
    if not wanted or wanted - set(OVER):
        message = f"queue.purge: statuses are of {', '.join(OVER)}"
        raise ValidationError(message, field="statuses", entity="queue")
    removed = 0
    while limit is None or removed < limit:
        most = batch if limit is None else min(batch, limit - removed)
        statement = _old_jobs(before, [str(status) for status in wanted], most)
        gone = await db.write(partial(_remove, statement))
        removed += gone
        if gone < most:
            break
    return removed


def _remove(statement: Any, executor: Executor) -> int:
    ids = list(executor.execute(statement).scalars())
    if ids:
        executor.execute(delete(_jobs).where(_columns.id.in_(ids)))
    return len(ids)


def _old_jobs(before: datetime, statuses: Sequence[str], limit: int) -> Any:
    """The ids of jobs that ended before a moment, the oldest first; not those with an effect that nobody knows of."""
    unresolved = (
        select(literal_column("1"))
        .where(_effects.c.job_id == _columns.id, _effects.c.state != text_of("done"))
        .exists()
    )
    # An expression, so that SQLite looks along the ends, not through everything of a status.
    status = func.coalesce(_columns.status, "")
    found = select(_columns.id).where(_columns.completed_at < before, status.in_(statuses))
    return found.where(~unresolved).order_by(_columns.completed_at).limit(limit)
