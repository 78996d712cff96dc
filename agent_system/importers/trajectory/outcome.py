"""Whether a tool call worked: the files hold no exit codes, so the output is judged and the judgement says by what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent_system.importers.trajectory.run import Outcome, OutcomeSource, ToolCall

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SHELL", "SUBMIT", "judge"]

SHELL = "bash"
"""The tool that every command belongs to which no other tool claims."""
SUBMIT = "submit"

# What SWE-agent's own tools and environment answer when they refuse or give up. They print it first, so that only the
# beginning of an output counts: a file that is shown may well quote one of these lines.
TOOL_MARKERS = (
    ("timeout", re.compile(r"\s*EXECUTION TIMED OUT")),
    ("rejected_edit", re.compile(r"\s*Your proposed edit has introduced new syntax error")),
    ("rejected_edit", re.compile(r"\s*(?:No replacement (?:was )?performed|Your edit was not applied|Text not found)")),
    ("rejected_command", re.compile(r"\s*Interactive operation '.*' is not supported")),
    ("malformed_call", re.compile(r"\s*Your output could not be parsed")),
    ("wrong_answer", re.compile(r"\s*Wrong flag!")),
    ("error", re.compile(r"\s*(?:Error|ERROR): ")),
)

EXCEPTION = re.compile(r"^(?:\w+\.)*[A-Z]\w*(?:Error|Exception)(?:: .*|\s*)$", re.MULTILINE)

# What programs print when they fail. Only for the shell: a tool that shows or searches files may quote such a line.
SHELL_MARKERS = (
    ("exception", re.compile(r"^Traceback \(most recent call last\):", re.MULTILINE)),
    ("exception", EXCEPTION),
    ("command_not_found", re.compile(r"^(?:/\S*/)?(?:ba|da)?sh: .*: (?:command )?not found", re.MULTILINE)),
    ("file_not_found", re.compile(r"^[\w./-]+: .*: No such file or directory", re.MULTILINE)),
)


def judge(calls: Sequence[ToolCall], observation: str | None, *, accepted_submission: bool) -> Outcome:
    """Say whether a step's calls worked.

    Args:
        calls: the calls of the step.
        observation: the output that the agent saw; None when the file ends before it.
        accepted_submission: the step is the run's last one, and the run's exit status says that it was submitted.
    """
    if accepted_submission and any(call.tool == SUBMIT for call in calls):
        return Outcome(success=True, source=OutcomeSource.EXIT_STATUS)
    if observation is None:
        return Outcome(success=None, source=OutcomeSource.UNKNOWN)
    for category, marker in TOOL_MARKERS:
        if found := marker.match(observation):
            return _failure(category, observation, found)
    if any(call.tool == SHELL for call in calls):
        for category, marker in SHELL_MARKERS:
            if found := marker.search(observation):
                return _failure(category, observation, found)
    return Outcome(success=True, source=OutcomeSource.NO_ERROR_MARKER)


def _failure(category: str, observation: str, found: re.Match[str]) -> Outcome:
    start = found.start() + len(found.group()) - len(found.group().lstrip())
    line = observation[start:].splitlines()[0].rstrip()
    if named := EXCEPTION.findall(observation) if category == "exception" else None:
        # The last one: a chained traceback ends with the exception that reached the top.
        line = named[-1].rstrip()
    return Outcome(success=False, source=OutcomeSource.ERROR_MARKER, category=category, error=line)
