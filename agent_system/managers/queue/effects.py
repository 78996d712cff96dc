"""Effects: what jobs do outside of the database, written down before it is done.

A mail is sent once if its job is run once. A job that was lost, or that failed after the mail, is run again: then the
log tells whether the mail was sent, with what came back. Where a worker ended between the sending and the writing
nobody can tell; such an effect is listed until somebody has looked.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, or_, select

from agent_system.database.transactions import current_transaction
from agent_system.errors import EffectUnknownError, TransactionError, TransitionError, ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.queue.settlements import lease_lost
from agent_system.models import Effect, metadata
from agent_system.types import EffectState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_system.database.executor import Executor
    from agent_system.managers.core.pagination import Page
    from agent_system.models import Job

__all__ = ["EffectManager", "effect_key"]

T = TypeVar("T")

_jobs = metadata.tables["queue"]


def effect_key(job_id: int, step: str, arguments: Any = None) -> str:
    """The digest by which an effect is known: 128 bits of the job, the step and the arguments, whatever their order."""
    try:
        text = json.dumps([job_id, step, arguments], sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        message = f"effect_log.arguments: {exc}"
        raise ValidationError(message, field="arguments", entity="effect_log") from None
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


class EffectManager(Manager[Effect]):
    """Effects: what jobs do outside of the database.

    Example:
        >>> async def send(effect: Effect) -> str:
        ...     return await mail.send(letter, idempotency_key=effect.key)
        >>> receipt = await em.effects.once(job, "send_mail", send, arguments={"to": "ada"})
    """

    entity = Effect
    fixed = frozenset({"key", "job_id", "step"})

    async def once(
        self,
        job: Job,
        step: str,
        make: Callable[[Effect], Awaitable[T]],
        *,
        arguments: Any = None,
        repeat_unknown: bool = False,
        not_made: tuple[type[Exception], ...] = (),
    ) -> T:
        """Have an effect, unless an earlier attempt at the job had it; returns what came back then or now.

        Args:
            job: The job, which the caller has to hold.
            step: What the effect is called, such as send_mail.
            make: Has the effect. Its `key` is for the other side, if that can tell a repetition by it.
            arguments: What tells it from other effects of the same step: any JSON.
            repeat_unknown: Have it again when nobody knows whether it was: where a repetition does no harm.
            not_made: Errors of `make` that say for certain that there was no effect; after others nobody knows.

        Raises:
            EffectUnknownError: An earlier attempt was about to have it, and nobody knows whether it did.
            LeaseLostError: The job is no longer the caller's; the effect was not had.
            TransactionError: There is a transaction open: what is written in it is not there before it ends.
        """
        effect = await self.begin(job, step, arguments, repeat_unknown=repeat_unknown)
        if effect.state is EffectState.DONE:
            known: T = effect.result
            return known
        try:
            result = await make(effect)
        except BaseException as exc:
            if isinstance(exc, not_made):
                await self.resolve(effect.id, was_made=False)
            else:
                await self._change(effect.id, {"state": EffectState.UNKNOWN, "note": repr(exc)})
            raise
        await self.resolve(effect.id, was_made=True, result=result)
        return result

    async def begin(self, job: Job, step: str, arguments: Any = None, *, repeat_unknown: bool = False) -> Effect:
        """Write down that an effect is about to be had; one that is done comes back with its result.

        Raises:
            EffectUnknownError: An earlier attempt was about to have it, and nobody knows whether it did.
            LeaseLostError: The job is no longer the caller's.
            TransactionError: There is a transaction open.
        """
        if current_transaction(self._db) is not None:
            message = (
                "an effect is written down before it is had, which an open transaction would undo: begin it before"
            )
            raise TransactionError(message)
        key = effect_key(job.id, step, arguments)
        values = self.new_values(
            {"key": key, "job_id": job.id, "step": step, "arguments": arguments, "attempt": job.lease_token}
        )
        insert = self.insertion(values)

        def work(executor: Executor) -> dict[str, Any]:
            _check_held(executor, job)
            found = self.store.find_key(executor, {"key": key})
            if found is None:
                insert(executor)
                return values
            stored = self.store.get(executor, found) or values
            if stored["state"] is EffectState.DONE:
                return stored
            if repeat_unknown:
                return self.store.change(executor, found, {"state": EffectState.PENDING, "attempt": job.lease_token})
            raise EffectUnknownError(effect_id=stored["id"], job_id=job.id, step=step)

        return self.plans.hydrate.build(await self.run_racing(work))

    async def resolve(self, effect_id: Any, *, was_made: bool, result: Any = None, note: str | None = None) -> None:
        """Say whether an effect was had: then every later attempt gets its result, otherwise it will be had.

        Args:
            result: What came back, any JSON.
            note: How somebody found out.

        Raises:
            NotFoundError: There is no such effect.
            TransitionError: It is done, and that it was not had would be a lie.
            ValidationError: The result is no JSON.
        """
        if was_made:
            changes = {"state": EffectState.DONE, "result": result, "completed_at": self._clock()}
            await self._change(effect_id, changes | ({} if note is None else {"note": note}))
            return
        key = self.store.keys.existing(effect_id)

        def work(executor: Executor) -> None:
            found = self.store.get(executor, key, lock=True)
            if found is not None and found["state"] is EffectState.DONE:
                message = f"effect {effect_id} is done"
                raise TransitionError(message, entity="Effect", entity_id=effect_id, current=EffectState.DONE)
            self.store.remove(executor, key)

        await self.run(work)

    async def unresolved(self, *, limit: int = 100, after: str | None = None) -> Page[Effect]:
        """Return one page of the effects of which nobody knows whether they were had, the oldest first.

        One that a running job is about to have is not among them.
        """
        columns = self.plans.columns
        running = and_(
            _jobs.c.id == columns["job_id"],
            _jobs.c.lease_token == columns["attempt"],
            _jobs.c.lease_expires_at.is_not(None),
        )
        is_gone = ~select(_jobs.c.id).where(running).exists()
        is_open = columns["state"] != EffectState.DONE
        return await self.list(
            [is_open, or_(columns["state"] == EffectState.UNKNOWN, is_gone)], limit=limit, after=after
        )

    async def _change(self, effect_id: Any, changes: dict[str, Any]) -> None:
        key = self.store.keys.existing(effect_id)
        values = self.store.validator.change_values(changes)
        await self.run(lambda executor: self.store.change(executor, key, values), values)


def _check_held(executor: Executor, job: Job) -> None:
    columns = _jobs.c
    held = select(columns.status, columns.lease_token).where(columns.id == job.id).with_for_update()
    row: Any = executor.execute(held).first()
    if row is None or row[0] is not JobStatus.IN_PROGRESS or row[1] != job.lease_token:
        raise lease_lost(job.id, job.lease_token, None if row is None else row[0])
