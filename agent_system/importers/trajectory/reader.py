"""Reading a `.traj` file: pure, and complete before anything is written."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, NoReturn

from agent_system.errors import ImportFileError
from agent_system.importers.trajectory.messages import messages_from_steps, read_messages
from agent_system.importers.trajectory.naming import declared_tools, model_and_host, project_name
from agent_system.importers.trajectory.run import UNKNOWN, RunMessage, Step, ToolSpec, TrajectoryRun
from agent_system.importers.trajectory.shape import Fields
from agent_system.importers.trajectory.steps import Executed, build_steps, executed_from_history, read_executed
from agent_system.importers.trajectory.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["parse_trajectory", "read_trajectory"]

SECRET_WORDS = ("api_key", "token", "password", "secret")


def read_trajectory(path: Path) -> TrajectoryRun:
    """Read one file completely.

    Never call it with the path of an open database: closing any descriptor of such a file drops SQLite's locks.

    Raises:
        ImportFileError: the file cannot be read, or is not a trajectory; the message names the file and the place.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        message = f"{path}: cannot be read: {(exc.strerror or str(exc)).lower()}"
        raise ImportFileError(message, path=str(path)) from exc
    return parse_trajectory(data, file_name=path.name, shown_as=str(path))


def parse_trajectory(data: bytes, *, file_name: str, shown_as: str | None = None) -> TrajectoryRun:
    """Turn the bytes of a file into a run.

    Args:
        data: the whole file.
        file_name: its name, without folders.
        shown_as: what errors call it; None: its name.

    Raises:
        ImportFileError: the bytes are not a trajectory; the message names the file and the place.
    """
    shown = shown_as or file_name
    top = Fields(_load(data, shown), file=shown)
    messages, executed = _conversation(top)
    info, configuration = top.child("info"), _configuration(top)
    system_prompt = next((m.content for m in messages if m.role == "system"), "")
    declared = declared_tools(system_prompt)
    exit_status = info.text("exit_status") if info else None
    known_tools = frozenset(tool.name for tool in declared) | _called_names(messages)
    steps = build_steps(executed, known_tools, exit_status)
    name = file_name.removesuffix(".traj")
    model, host = model_and_host(configuration)
    return TrajectoryRun(
        digest=hashlib.sha256(data).hexdigest(),
        name=name,
        file_name=file_name,
        project=project_name(configuration, name, _directories(executed)),
        agents=_agents(messages, configuration),
        model=model,
        host=host,
        instruction=_instruction(messages),
        system_prompt=system_prompt,
        messages=tuple(messages),
        steps=tuple(steps),
        tools=_tools(declared, steps),
        usage=read_usage(info),
        environment=top.text("environment"),
        exit_status=exit_status,
        submission=info.text("submission") if info else None,
        configuration=_kept_configuration(configuration),
    )


def _conversation(top: Fields) -> tuple[list[RunMessage], list[Executed]]:
    """Return what was said and what was executed; a file may have only one of the two lists."""
    messages = read_messages(top.children("history"))
    entries = top.children("trajectory")
    executed = read_executed(entries, messages) if entries else executed_from_history(messages)
    if not messages:
        messages = messages_from_steps(executed)
    if not messages:
        message = f"{top.file}: holds no run: it has neither a history nor a trajectory"
        raise ImportFileError(message, path=top.file)
    return messages, executed


def _load(data: bytes, file_name: str) -> object:
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as exc:
        message = f"{file_name}: is not a JSON text in UTF-8 (byte {exc.start})"
        raise ImportFileError(message, path=file_name) from exc
    except json.JSONDecodeError as exc:
        message = f"{file_name}: is not JSON: {exc.msg} in line {exc.lineno}, column {exc.colno}"
        raise ImportFileError(message, path=file_name) from exc
    except RecursionError as exc:
        message = f"{file_name}: is not a trajectory: nested too deeply"
        raise ImportFileError(message, path=file_name) from exc
    except ValueError as exc:  # a number of thousands of digits, NaN
        message = f"{file_name}: is not JSON: {exc}"
        raise ImportFileError(message, path=file_name) from exc


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not a number"
    raise ValueError(message)


def _configuration(top: Fields) -> Fields | None:
    """Return `replay_config`, which some versions of SWE-agent write as JSON text."""
    value = top.values.get("replay_config")
    if isinstance(value, str):
        return Fields(_load(value.encode("utf-8", "surrogatepass"), top.file), file=top.file, where="replay_config")
    return top.child("replay_config")


def _kept_configuration(configuration: Fields | None) -> Mapping[str, object]:
    """Return what a run is reproduced from; templates and tools are left out, the prompts hold them."""
    if configuration is None:
        return {}
    agent, environment = configuration.child("agent"), configuration.child("env")
    places = {
        "model": agent.child("model") if agent else None,
        "repository": environment.child("repo") if environment else None,
        "problem_statement": configuration.child("problem_statement"),
    }
    return {name: _without_secrets(place.values) for name, place in places.items() if place is not None}


def _without_secrets(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if not any(word in key.lower() for word in SECRET_WORDS)}


def _agents(messages: Sequence[RunMessage], configuration: Fields | None) -> tuple[str, ...]:
    """Return who speaks, the agent that answers first in front."""
    speakers = [m.agent for m in messages if m.agent and m.role == "assistant"]
    others = [m.agent for m in messages if m.agent]
    configured = configuration.child("agent") if configuration else None
    fallback = (configured.text("name") if configured else None) or UNKNOWN
    return tuple(dict.fromkeys(speakers + others)) or (fallback,)


def _instruction(messages: Sequence[RunMessage]) -> str:
    users = [m.content for m in messages if m.role == "user" and not m.is_demonstration]
    return users[0] if users else ""


def _called_names(messages: Sequence[RunMessage]) -> frozenset[str]:
    functions = [call["function"] for message in messages for call in message.tool_calls]
    return frozenset(str(function["name"]) for function in functions if isinstance(function, dict))


def _directories(executed: Sequence[Executed]) -> list[str]:
    places = []
    for item in executed:
        directory = (item.state or {}).get("working_dir")
        places.append(directory if isinstance(directory, str) else item.observation or "")
    return places


def _tools(declared: Sequence[ToolSpec], steps: Sequence[Step]) -> tuple[ToolSpec, ...]:
    tools = {tool.name: tool for tool in declared}
    for step in steps:
        for call in step.calls:
            tools.setdefault(call.tool, ToolSpec(name=call.tool))
    return tuple(tools.values())
