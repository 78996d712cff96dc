"""The rows that a run becomes: pure, with keys that follow from the file's content alone.

The files hold no times of day, only how long each step ran. A run is therefore placed so that it ends when it is
imported: its first step begins as much earlier as all measured steps took, each step follows the one before, and a step
that nobody measured takes no time. The order of a conversation and of its calls is the order of their ids, never of
these times; `metadata.times` of the run says `estimated`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from agent_system.importers.trajectory.run import UNKNOWN, OutcomeSource
from agent_system.types import CostSource, MessageRole, TaskStatus, ToolCallState, UsageState

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from agent_system.importers.trajectory.run import RunMessage, Step, ToolCall, TrajectoryRun

__all__ = ["WORKFLOW", "Owners", "RunRows", "run_id"]

WORKFLOW = "trajectory"
"""The `workflow` of an imported run's task."""
NANO = 1_000_000_000

# The namespace of every key below: the same file gets the same keys in every database.
NAMESPACE = UUID("c2d8a7de-5f0c-5b7e-9a53-0d6f6f1f0b71")

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Owners:
    """The rows that a run shares with other runs."""

    project_id: UUID
    agent_ids: dict[str, UUID]
    tool_ids: dict[str, UUID]
    model_id: int


def run_id(digest: str) -> UUID:
    """Return the key of a run's root task."""
    return uuid5(NAMESPACE, f"{digest}:run")


class RunRows:
    """Makes the rows of one run.

    Args:
        run: the run.
        imported_at: when it is imported, which stands for the end of the run.
    """

    def __init__(self, run: TrajectoryRun, *, imported_at: datetime) -> None:
        self.run = run
        self.id = run_id(run.digest)
        self.conversation_id = uuid5(NAMESPACE, f"{run.digest}:conversation")
        seconds = [step.execution_time_seconds or 0.0 for step in run.steps]
        self.started_at = imported_at - timedelta(seconds=sum(seconds))
        self.ended_at = imported_at
        self._begins, self._ends = [], []
        moment = self.started_at
        for each in seconds:
            self._begins.append(moment)
            moment += timedelta(seconds=each)
            self._ends.append(moment)

    @property
    def status(self) -> TaskStatus:
        """How the run ended, by its exit status; without one by its last step."""
        exit_status = self.run.exit_status
        if exit_status is not None:
            return TaskStatus.COMPLETED if exit_status.startswith("submitted") else TaskStatus.FAILED
        last = self.run.steps[-1] if self.run.steps else None
        submitted = last is not None and last.outcome.success and any(call.tool == "submit" for call in last.calls)
        return TaskStatus.COMPLETED if submitted else TaskStatus.STOPPED

    def conversation(self, owners: Owners) -> Row:
        """Return the row of the conversation."""
        return {
            "id": self.conversation_id,
            "title": self.run.name,
            "agent_id": owners.agent_ids[self.run.agents[0]],
            "project_id": owners.project_id,
            "meta": {"source": WORKFLOW, "file": self.run.file_name},
            "created_at": self.started_at,
        }

    def root_task(self, owners: Owners) -> Row:
        """Return the row of the run itself."""
        run = self.run
        return {
            "id": self.id,
            "tree_id": self.id,
            "title": run.name,
            "instruction": run.instruction,
            "workflow": WORKFLOW,
            "status": self.status,
            "agent_id": owners.agent_ids[run.agents[0]],
            "project_id": owners.project_id,
            "conversation_id": self.conversation_id,
            "model": _known(run.model),
            "result": run.submission,
            "error": run.exit_status if self.status is TaskStatus.FAILED else None,
            "context": dict(run.configuration) or None,
            "started_at": self.started_at,
            "completed_at": self.ended_at,
            "meta": {
                "source": WORKFLOW,
                "file": run.file_name,
                "digest": run.digest,
                "environment": run.environment,
                "exit_status": run.exit_status,
                "times": "estimated",
            },
        }

    def step_task(self, step: Step, owners: Owners) -> Row:
        """Return the row of one step, a child of the run."""
        commands = [call.command for call in step.calls]
        outcome = step.outcome
        status = {True: TaskStatus.COMPLETED, False: TaskStatus.FAILED, None: TaskStatus.STOPPED}[outcome.success]
        meta: Row = {"step": step.number, "state": step.state}
        if step.message_position is None:
            # Nothing else of the run holds what the agent answered in this step.
            meta["response"] = step.response
        return {
            "id": self.step_id(step),
            "parent_task_id": self.id,
            "tree_id": self.id,
            "title": f"{step.number}. {', '.join(call.tool for call in step.calls) or 'answer'}",
            "instruction": commands[0] if commands else step.response,
            "description": step.thought or None,
            "status": status,
            "agent_id": self._agent_id(step.agent, owners),
            "project_id": owners.project_id,
            "conversation_id": self.conversation_id,
            "result": step.observation,
            "error": outcome.error,
            "started_at": self._begins[step.number - 1],
            "completed_at": self._ends[step.number - 1],
            "meta": meta,
        }

    def message(self, message: RunMessage, owners: Owners) -> Row:
        """Return the row of one message."""
        is_agent = message.role in {MessageRole.ASSISTANT, MessageRole.AGENT}
        calls = message.tool_call_ids
        parts = message.extra.get("content_parts")
        kept: Row = {key: value for key, value in message.extra.items() if key != "content_parts"}
        kept |= {"position": message.position, "thought": message.thought, "action": message.action}
        kept |= {"is_demonstration": message.is_demonstration or None, "tool_call_ids": calls[1:] and list(calls)}
        step = self._steps_by_message().get(message.position)
        return {
            "uid": uuid5(NAMESPACE, f"{self.run.digest}:message:{message.position}"),
            "task_id": self.id if step is None else self.step_id(step),
            "agent_id": self._agent_id(message.agent, owners) if is_agent else None,
            "author_name": message.agent if is_agent else None,
            "role": message.role,
            "message_type": message.message_type,
            "content": message.content,
            "parts": parts,
            "tool_calls": [dict(call) for call in message.tool_calls] or None,
            "tool_call_id": calls[0] if len(calls) == 1 else None,
            "model": _known(self.run.model) if is_agent else None,
            "provider": _known(self.run.host) if is_agent else None,
            "meta": {key: value for key, value in kept.items() if value not in (None, ())},
            "created_at": self._said_at(message),
        }

    def tool_call(self, step: Step, number: int, owners: Owners, message_ids: dict[int, int]) -> Row:
        """Return the row of one call.

        Args:
            step: the step.
            number: which of the step's calls, from 0.
            owners: the shared rows.
            message_ids: the keys of the stored messages, by position.
        """
        call, outcome = step.calls[number], step.outcome
        # The step was measured and judged as a whole; with several calls nobody knows which one it was.
        alone = len(step.calls) == 1
        seconds = step.execution_time_seconds if alone else None
        success = outcome.success if alone else None
        return {
            "call_id": f"{self.id}:{step.number}:{number + 1}",
            "timestamp": self._begins[step.number - 1],
            "tool_name": call.tool,
            "tool_id": owners.tool_ids[call.tool],
            "task_id": self.step_id(step),
            "agent_id": self._agent_id(step.agent, owners),
            "conversation_id": self.conversation_id,
            "message_id": None if step.message_position is None else message_ids[step.message_position],
            "state": _call_state(step),
            "success": success,
            "success_source": (outcome.source if alone else OutcomeSource.UNKNOWN).value,
            "duration_ms": None if seconds is None else seconds * 1000,
            "error": outcome.error if alone else None,
            "error_category": outcome.category if alone else None,
            "parameters": _parameters(call),
            "result": step.observation if alone else None,
            "started_at": self._begins[step.number - 1],
            "completed_at": None if step.observation is None else self._ends[step.number - 1],
            "meta": {} if call.call_id is None else {"model_call_id": call.call_id},
        }

    def token_usage(self, owners: Owners) -> Row:
        """Return the ledger's entry of the whole run; what the file does not say is missing, not 0."""
        usage = self.run.usage
        return {
            "timestamp": self.ended_at,
            "project_id": owners.project_id,
            "model_id": owners.model_id,
            "agent_id": owners.agent_ids[self.run.agents[0]],
            "task_id": self.id,
            "conversation_id": self.conversation_id,
            "request_id": f"{WORKFLOW}:{self.run.digest}",
            "usage_state": UsageState.REPORTED if usage.is_reported else UsageState.MISSING,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_nano_usd": None if usage.cost_usd is None else nano_usd(usage.cost_usd),
            "cost_source": None if usage.cost_usd is None else CostSource.REPORTED,
            "meta": {"covers": "run", "api_calls": usage.api_calls},
        }

    def step_id(self, step: Step) -> UUID:
        """Return the key of a step's task."""
        # The last 32 bits count, so that keys, and with them the children of the run, are in the order of the steps.
        base = uuid5(NAMESPACE, f"{self.run.digest}:steps")
        return UUID(int=base.int >> 32 << 32 | step.number)

    def _agent_id(self, name: str | None, owners: Owners) -> UUID:
        return owners.agent_ids[name or self.run.agents[0]]

    def _steps_by_message(self) -> dict[int, Step]:
        positions = [(step.message_position, step) for step in self.run.steps]
        positions += [(step.observation_position, step) for step in self.run.steps]
        return {position: step for position, step in positions if position is not None}

    def _said_at(self, message: RunMessage) -> datetime:
        """Return when a message was said: with its step, or with the last step before it."""
        moment = self.started_at
        for step in self.run.steps:
            if step.message_position is None or step.message_position > message.position:
                break
            moment = self._begins[step.number - 1]
            if message.position > step.message_position:
                moment = self._ends[step.number - 1]
        return moment


def nano_usd(cost: Decimal) -> int:
    """Return a cost in whole billionths of a US dollar."""
    return round(cost * NANO)


def _known(name: str) -> str | None:
    return None if name == UNKNOWN else name


def _call_state(step: Step) -> ToolCallState:
    if step.observation is None and step.outcome.success is None:
        return ToolCallState.INTERRUPTED
    return ToolCallState.FAILED if step.outcome.success is False and len(step.calls) == 1 else ToolCallState.DONE


def _parameters(call: ToolCall) -> Row:
    if call.arguments is None:
        return {"command": call.command}
    return dict(call.arguments)
