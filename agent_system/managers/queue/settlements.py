"""What the worker that has a job may do with it: prolong its lease, complete it, give it back, end it.

Each statement names the lease_token of the claim. Once another claim has counted it up, or the job is over, none of
them finds its row, and the caller learns that the job is no longer its own.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import Text, bindparam, literal_column, null, select, update

from agent_system.database.dialects.batches import dump_rows, json_item, json_rows
from agent_system.database.plans import compile_plan
from agent_system.errors import LeaseLostError, ValidationError
from agent_system.managers.queue.claim_statement import listed, text_of
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Dialect, Select

    from agent_system.database.executor import Executor
    from agent_system.models import Job

__all__ = ["Completion", "Settlements", "lease_lost"]

T = TypeVar("T", bound="tuple[Any, ...]")

_jobs = metadata.tables["queue"]
_columns = _jobs.c


class Completion(NamedTuple):
    """That a job is done."""

    job_id: int
    """The job."""
    lease_token: int
    """The claim by which it was done."""
    result: str | None
    """What came out of it, as its column gets it."""
    is_keyed: bool
    """Whether others with its concurrency key may wait for its end."""


class Settlements:
    """Makes the statements and runs them in units of work."""

    def __init__(self, dialect: Dialect) -> None:
        self._complete = compile_plan(_completion(), dialect)
        self._prolong = compile_plan(_prolongation(), dialect)
        self._settle = compile_plan(_settlement(), dialect)
        self._progress = compile_plan(_progress(), dialect)
        types = metadata.tables["queue_types"].c
        limits: Select[Any] = select(literal_column("1")).where(types.max_running.is_not(None)).limit(1)
        self._limits = compile_plan(limits, dialect)
        self._status = compile_plan(
            select(_columns.id, _columns.status, _columns.lease_token).where(
                _columns.id.in_(listed("ids", _columns.id))
            ),
            dialect,
        )
        process: Any = _columns.result.type.dialect_impl(dialect).bind_processor(dialect)
        self._encode_result = process

    def completion(self, job: Job, result: Any) -> Completion:
        """That a job is done, and what came out of it.

        Raises:
            ValidationError: The result is not JSON.
        """
        try:
            encoded = None if result is None else self._encode_result(result)
        except (ValueError, TypeError, RecursionError) as exc:
            message = f"queue.result: {exc}"
            raise ValidationError(message, field="result", entity="queue") from None
        return Completion(job.id, job.lease_token, encoded, job.concurrency_key is not None)

    def complete(self, executor: Executor, done: Sequence[Completion], now: datetime) -> set[int]:
        """Complete jobs; returns the ids of those that were."""
        values = {"rows": dump_rows(one[:3] for one in _in_one_order(done)), "now": now}
        return {row[0] for row in executor.fetch(self._complete, self._complete.encode(values))}

    def announce(self, executor: Executor, done: Sequence[Completion]) -> None:
        """Let others look for jobs that waited for the end of these: by their key, or by a limit of their type."""
        if any(one.is_keyed for one in done) or executor.fetch(self._limits, self._limits.encode({})):
            executor.notify()

    def prolong(self, executor: Executor, rows: Sequence[tuple[int, int]], until: datetime) -> set[int]:
        """Prolong leases, given as id and token; returns the ids of those that were."""
        executor.prefer_indexes()
        values = {"rows": dump_rows(_in_one_order(rows)), "until": until}
        return {row[0] for row in executor.fetch(self._prolong, self._prolong.encode(values))}

    def settle(self, executor: Executor, job: Job, values: Mapping[str, Any]) -> bool:
        """Let a job wait again or end it; False when it is no longer its holder's."""
        plan = self._settle
        return executor.change(plan, plan.encode({"id": job.id, "token": job.lease_token, **values})) > 0

    def progress(self, executor: Executor, job: Job, progress: float) -> bool:
        """Write down how much of a job is done; False when it is no longer its holder's."""
        plan = self._progress
        return executor.change(plan, plan.encode({"id": job.id, "token": job.lease_token, "progress": progress})) > 0

    def held(self, executor: Executor, ids: Collection[int]) -> dict[int, tuple[str, int]]:
        """Where jobs stand, and their tokens; those that are gone are left out."""
        plan = self._status
        rows = executor.fetch(plan, plan.encode({"ids": dump_rows([id_] for id_ in ids)}))
        return {id_: (status, token) for id_, status, token in rows}

    def status(self, executor: Executor, ids: Collection[int]) -> dict[int, str]:
        """Where jobs stand; those that are gone are left out."""
        return {id_: status for id_, (status, _) in self.held(executor, ids).items()}


def _in_one_order(rows: Iterable[T]) -> list[T]:
    """By id: two workers that both believe to have some of the same jobs lock them one after the other alike."""
    return sorted(rows, key=itemgetter(0))


def lease_lost(job_id: int, token: int, status: str | None) -> LeaseLostError:
    """The error for a job that is no longer its holder's."""
    now = "it is gone" if status is None else "another worker has it" if status == "in_progress" else f"it is {status}"
    message = f"job {job_id} is no longer held by lease {token}: {now}; nothing was changed"
    return LeaseLostError(message, job_id=job_id, lease_token=token, status=status)


def _moment(name: str) -> Any:
    return bindparam(name, type_=_columns.updated_at.type)


def _held(rows: Any) -> tuple[Any, ...]:
    id_, token = (json_item(rows.c.value, position, _columns.id.type) for position in (0, 1))
    return _columns.id == id_, _columns.lease_token == token, _columns.lease_expires_at.is_not(None)


def _rows() -> Any:
    return json_rows(bindparam("rows", type_=Text())).table_valued("value", name="given")


def _completion() -> Any:
    rows = _rows()
    values = {
        "status": text_of("completed"),
        "result": json_item(rows.c.value, 2, _columns.result.type),
        "error_message": null(),
        "completed_at": _moment("now"),
        "lease_expires_at": null(),
        "updated_at": _moment("now"),
    }
    return update(_jobs).where(*_held(rows)).values(values).returning(_columns.id)


def _prolongation() -> Any:
    rows = _rows()
    values = {"lease_expires_at": _moment("until"), "updated_at": _columns.updated_at}
    return update(_jobs).where(*_held(rows)).values(values).returning(_columns.id)


def _is_held() -> tuple[Any, ...]:
    return (
        _columns.id == bindparam("id", type_=_columns.id.type),
        _columns.lease_token == bindparam("token", type_=_columns.lease_token.type),
        _columns.lease_expires_at.is_not(None),
    )


def _settlement() -> Any:
    given = ("status", "retries", "error_message", "scheduled_for", "due_at", "ready_at", "completed_at")
    values: dict[str, Any] = {name: bindparam(f"set_{name}", type_=_columns[name].type) for name in given}
    values |= {"lease_expires_at": null(), "updated_at": _moment("now")}
    return update(_jobs).where(*_is_held()).values(values)


def _progress() -> Any:
    values = {"progress": bindparam("progress", type_=_columns.progress.type), "updated_at": _columns.updated_at}
    return update(_jobs).where(*_is_held()).values(values)
