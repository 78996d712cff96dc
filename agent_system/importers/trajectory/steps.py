"""The steps of a run: what was executed, paired with the messages that asked for it and that answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_system.importers.trajectory.outcome import SHELL, SUBMIT, judge
from agent_system.importers.trajectory.run import RunMessage, Step, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_system.importers.trajectory.shape import Fields

__all__ = ["Executed", "build_steps", "executed_from_history", "read_executed"]

ANSWERING_ROLES = frozenset({"tool", "user"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Executed:
    """What one entry of `trajectory` says, or what a message and its answer say where there is no `trajectory`."""

    action: str
    thought: str
    response: str
    observation: str | None
    execution_time_seconds: float | None
    state: Mapping[str, object] | None
    message: RunMessage | None
    answer: RunMessage | None


def read_executed(entries: Sequence[Fields], messages: Sequence[RunMessage]) -> list[Executed]:
    """Read the entries of `trajectory` and pair each with its message.

    The two lists are in the same order but need not be equally long: the last step is often not part of the history,
    and a history may hold answers that were never executed. Call ids do not help, since replayed runs repeat them.
    """
    executed, start = [], 0
    for entry in entries:
        action, response = entry.required_text("action"), entry.text("response") or ""
        message = _find(messages, start, action=action, response=response)
        if message is not None:
            start = message.position + 1
        executed.append(
            Executed(
                action=action,
                thought=entry.text("thought") or "",
                response=response,
                observation=entry.text("observation"),
                execution_time_seconds=entry.number("execution_time"),
                state=_state(entry),
                message=message,
                answer=_answer(messages, message),
            )
        )
    return executed


def executed_from_history(messages: Sequence[RunMessage]) -> list[Executed]:
    """Return the steps of a file that has only its history: every message that asked for something to be done."""
    executed = []
    for message in messages:
        if message.role != "assistant" or message.is_demonstration or not (message.action or message.tool_calls):
            continue
        answer = _answer(messages, message)
        executed.append(
            Executed(
                action=message.action or "",
                thought=message.thought or "",
                response=message.content,
                observation=None if answer is None else answer.content,
                execution_time_seconds=None,
                state=None,
                message=message,
                answer=answer,
            )
        )
    return executed


def build_steps(executed: Sequence[Executed], known_tools: frozenset[str], exit_status: str | None) -> list[Step]:
    """Number the steps, name their tools and judge their outcomes.

    Args:
        executed: what was executed, in order.
        known_tools: the commands that are tools of their own; everything else was typed into the shell.
        exit_status: the run's own verdict, None when the file has none.
    """
    submitted = exit_status is not None and exit_status.startswith("submitted")
    steps = []
    for number, item in enumerate(executed, start=1):
        calls = _calls(item, known_tools)
        steps.append(
            Step(
                number=number,
                agent=item.message.agent if item.message else None,
                thought=item.thought,
                response=item.response,
                calls=calls,
                observation=item.observation,
                execution_time_seconds=item.execution_time_seconds,
                state=item.state,
                outcome=judge(calls, item.observation, accepted_submission=submitted and number == len(executed)),
                message_position=item.message.position if item.message else None,
                observation_position=item.answer.position if item.answer else None,
            )
        )
    return steps


def _find(messages: Sequence[RunMessage], start: int, *, action: str, response: str) -> RunMessage | None:
    for message in messages[start:]:
        if message.role != "assistant" or message.is_demonstration:
            continue
        if message.content == response or (action and message.action == action):
            return message
    return None


def _answer(messages: Sequence[RunMessage], message: RunMessage | None) -> RunMessage | None:
    """Return the message that shows the result: the one right behind, if it is not the agent's own."""
    if message is None or message.position + 1 >= len(messages):
        return None
    following = messages[message.position + 1]
    return following if following.role in ANSWERING_ROLES else None


def _state(entry: Fields) -> Mapping[str, object] | None:
    """Return the state, which older files hold as JSON text; text that is no JSON is kept as it is."""
    value = entry.values.get("state")
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {"text": value}
    if not isinstance(value, dict):
        raise entry.wrong(name="state", wanted="an object", value=value)
    return value


def _calls(item: Executed, known_tools: frozenset[str]) -> tuple[ToolCall, ...]:
    if item.message is not None and item.message.tool_calls:
        return tuple(_function_call(call, item.action) for call in item.message.tool_calls)
    if not item.action.strip():
        return ()
    word = item.action.split(maxsplit=1)[0]
    return (ToolCall(tool=word if word in known_tools | {SUBMIT} else SHELL, command=item.action),)


def _function_call(call: Mapping[str, object], action: str) -> ToolCall:
    function = call["function"]
    if not isinstance(function, dict):  # the reader has checked it
        raise TypeError
    call_id = call.get("id")
    return ToolCall(
        tool=str(function["name"]),
        command=action,
        arguments=_arguments(function.get("arguments")),
        call_id=call_id if isinstance(call_id, str) else None,
    )


def _arguments(value: object) -> Mapping[str, object]:
    """Return the arguments of a function call; what a model wrote wrongly is kept as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {"text": value}
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"value": value}
