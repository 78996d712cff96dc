"""Recording tool calls: each is a row from before it runs."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack
from uuid import uuid4

from sqlalchemy import and_, exists, not_, or_, select, update

from agent_system.errors import ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.pruning import delete_in_parts
from agent_system.managers.core.where import conditions
from agent_system.managers.tasks.states import ENDED
from agent_system.managers.telemetry.call_fields import (
    LONGEST_ERROR,
    LONGEST_RESULT,
    CallContext,
    CallEnd,
    checked,
    parameter_hash,
    recorded_parameters,
    recorded_text,
)
from agent_system.managers.telemetry.call_log import IN_PROGRESS, CallLog
from agent_system.managers.telemetry.error_categories import category_of, category_of_exception
from agent_system.managers.telemetry.recording import ToolRecording
from agent_system.managers.telemetry.secrets import redact, redact_text
from agent_system.models import ToolUsage, metadata
from agent_system.types import ToolCallState

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Mapping

    from agent_system.managers.core.where import Where

__all__ = ["ToolCallRecorder"]

KEPT = timedelta(days=30)

_calls = metadata.tables["tool_usage"]
_tasks = metadata.tables["tasks"]


class ToolCallRecorder(Manager[ToolUsage]):
    """Tool calls, each from before it runs.

    Secrets are taken out of parameters, results, errors and `meta` before anything is written, by every verb; `start`
    and `finish` also cut long texts (`call_fields.py` says where).

    Example:
        >>> await em.tool_usage.start("call_1", "Bash", {"command": "make"}, task_id=task.id)
        >>> await em.tool_usage.finish("call_1", result="ok")
        >>> async with em.tool_usage.recording("web_search", {"query": "sqlite"}, task_id=task.id) as call:
        ...     call.result = await search("sqlite")
    """

    entity = ToolUsage

    @cached_property
    def _log(self) -> CallLog:
        return CallLog(self.store)

    def normalise(self, values: dict[str, Any]) -> None:
        """Take the secrets out of whatever is written."""
        for key in ("parameters", "meta"):
            if values.get(key):
                values[key] = redact(values[key])
        for key in ("error", "result"):
            if values.get(key):
                values[key] = redact_text(values[key])

    # One call.

    async def request(
        self, call_id: str | None, tool_name: str, parameters: Any = None, **context: Unpack[CallContext]
    ) -> ToolUsage:
        """Write down that a call was asked for; nothing is written that is there already. Raises as `start` does."""
        return await self._begin(ToolCallState.REQUESTED, call_id, tool_name, parameters, context)

    async def start(
        self, call_id: str | None, tool_name: str, parameters: Any = None, **context: Unpack[CallContext]
    ) -> ToolUsage:
        """Write down that a call begins, before it does.

        Told twice, it is written once; told after the end of the call, it completes what is there.

        Args:
            call_id: Id of the call, by which its end finds it; None where there is none: then the end is told by task
                or session, tool and parameters.
            tool_name: The tool as it is called.
            parameters: What it is called with, as JSON.
            context: Where the call belongs; see `CallContext`.

        Raises:
            ValidationError: A value was refused.
            ForeignKeyError: There is no such agent, user, conversation, message or tool.
        """
        return await self._begin(ToolCallState.RUNNING, call_id, tool_name, parameters, context)

    async def finish(self, call_id: str | None, **end: Unpack[CallEnd]) -> ToolUsage:
        """Write down how a call ended.

        Told twice, the first counts; told before the beginning of the call, or without any, it is written as a call of
        its own. A call that was given up as interrupted has ended after all.

        Args:
            call_id: Id of the call; None matches the end by task or session, tool and parameters.
            end: How it ended; see `CallEnd`.

        Raises:
            ValidationError: A value was refused, or neither the call's id nor its tool is known.
        """
        given = checked(end, is_end=True)
        if call_id is None and not given.get("tool_name"):
            message = "tool_usage.finish needs the id of the call, or the name of its tool with a task or session"
            raise ValidationError(message, field="call_id", entity=self.store.name)
        values = self._end_values(call_id, given)
        work = self._log.end(values, given, is_measured="duration_ms" in given)
        return self.plans.hydrate.build(await self.run_racing(work, values))

    async def interrupt(self, call_id: str, reason: str = "interrupted") -> bool:
        """Give up a call whose end nobody will tell; False when there is none in progress under this id."""
        return await self._interrupt([_calls.c.call_id == call_id], reason) > 0

    @asynccontextmanager
    async def recording(
        self, tool_name: str, parameters: Any = None, *, call_id: str | None = None, **context: Unpack[CallContext]
    ) -> AsyncIterator[ToolRecording]:
        """Record the block as a call: its beginning before it, its end, its time and its error behind it.

        What the block raises is written and goes on; a block that is cancelled is an interrupted call.

        Args:
            call_id: Id of the call; None makes one.
        """
        call_id = call_id or str(uuid4())
        recording = ToolRecording(call=await self.start(call_id, tool_name, parameters, **context))
        began = time.perf_counter()
        try:
            yield recording
        except asyncio.CancelledError:
            await self._finish_recording(recording, began, error="cancelled", state=ToolCallState.INTERRUPTED)
            raise
        except BaseException as exc:
            error = f"{type(exc).__name__}: {exc}"
            category = category_of_exception(exc)
            await self._finish_recording(recording, began, error=error, category=category)
            raise
        await self._finish_recording(recording, began)

    # Calls that nobody ends.

    async def in_progress(self, where: Where = None) -> builtins.list[ToolUsage]:
        """Return the calls that have not ended, the oldest first.

        Args:
            where: Only such calls; see `list`.
        """
        statement = self.query().where(IN_PROGRESS, *conditions(self.plans, where))
        return await self.select(statement.order_by(_calls.c.timestamp, _calls.c.id))

    async def interrupt_abandoned(
        self, older_than: timedelta | None = None, reason: str = "interrupted: its task has ended"
    ) -> int:
        """Give up the calls in progress whose task has ended or is gone; returns how many there were.

        Args:
            older_than: Give up those without a task, too, when they began so long ago; None leaves them alone.
        """
        is_over = exists(select(_tasks.c.id).where(_tasks.c.id == _calls.c.task_id, _tasks.c.status.in_(ENDED)))
        abandoned: list[Any] = [is_over]
        if older_than is not None:
            has_task = _calls.c.task_id.is_not(None)
            abandoned.append(and_(not_(has_task), _calls.c.timestamp < self._clock() - older_than))
        return await self._interrupt([or_(*abandoned)], reason)

    async def cleanup(self, older_than: timedelta = KEPT) -> int:
        """Delete the calls that began longer ago, by default than 30 days; returns how many there were."""
        return await delete_in_parts(self._db, _calls, [_calls.c.timestamp < self._clock() - older_than])

    async def _interrupt(self, wanted: builtins.list[Any], reason: str) -> int:
        now = self._clock()
        statement = (
            update(_calls)
            .where(IN_PROGRESS, *wanted)
            .values(state=ToolCallState.INTERRUPTED, error=redact_text(reason), completed_at=now, updated_at=now)
        )
        return await self.run(lambda executor: executor.execute(statement).rowcount)

    async def _begin(
        self, state: ToolCallState, call_id: str | None, tool_name: str, parameters: Any, context: Mapping[str, Any]
    ) -> ToolUsage:
        known = recorded_parameters(parameters)
        given = checked(context, is_end=False)
        now = given.get("timestamp") or self._clock()
        own = {"parameters": known, "parameter_hash": parameter_hash(known), "timestamp": now, "created_at": now}
        started = {"started_at": now} if state is ToolCallState.RUNNING else {}
        given |= {"call_id": call_id, "tool_name": tool_name, "state": state, **own, **started}
        values = self._recorded(given)
        return self.plans.hydrate.build(await self.run_racing(self._log.begin(values), values))

    def _end_values(self, call_id: str | None, given: dict[str, Any]) -> dict[str, Any]:
        """The values of a whole row that has ended; what is recorded of the caller's texts replaces them in `given`."""
        if "parameters" in given:
            given["parameters"] = recorded_parameters(given["parameters"])
            given["parameter_hash"] = parameter_hash(given["parameters"])
        for key, longest in (("result", LONGEST_RESULT), ("error", LONGEST_ERROR)):
            if key in given:
                given[key] = recorded_text(given[key], longest)
        error, success = given.get("error"), given.get("success")
        if success is None:
            given["success"] = error is None
            given.setdefault("success_source", "error")
        else:
            given.setdefault("success_source", "reported")
        if given["success"] is False:
            given.setdefault("error_category", category_of(error or ""))
        now = self._clock()
        given.setdefault("completed_at", now)
        given["state"] = ToolCallState.DONE if given["success"] else ToolCallState.FAILED
        values = self._recorded({"call_id": call_id, "tool_name": "", "created_at": now, **given})
        # Of a call whose beginning nobody tells, the end is the only moment that is known.
        return values if "timestamp" in given else values | {"timestamp": values["completed_at"]}

    def _recorded(self, given: dict[str, Any]) -> dict[str, Any]:
        """Validate the values of a row from which the secrets have been taken out already."""
        if given.get("meta"):
            given["meta"] = redact(dict(given["meta"]))
        values = self.store.validator.create_values(given)
        values["updated_at"] = self._clock()
        return values

    async def _finish_recording(
        self,
        recording: ToolRecording,
        began: float,
        *,
        error: str | None = None,
        category: str | None = None,
        state: ToolCallState | None = None,
    ) -> None:
        if state is ToolCallState.INTERRUPTED:
            await self.interrupt(recording.call_id, error or "interrupted")
            return
        tokens: Any = recording.tokens
        await self.finish(
            recording.call_id,
            result=recording.result,
            error=error or recording.error,
            success=False if error else recording.success,
            error_category=category,
            duration_ms=(time.perf_counter() - began) * 1000,
            screenshot_path=recording.screenshot_path,
            meta=recording.meta,
            **tokens,
        )
