"""What the reader of `.traj` files makes of real runs, of the shipped one, and of files that are none."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agent_system.errors import ImportFileError
from agent_system.importers.trajectory import (
    OutcomeSource,
    TrajectoryRun,
    parse_trajectory,
    read_trajectory,
)

SAMPLE = Path(__file__).parents[2] / "scripts" / "sample_run.traj"


def parse(document: object, file_name: str = "run.traj") -> TrajectoryRun:
    return parse_trajectory(json.dumps(document).encode(), file_name=file_name)


def call(name: str, arguments: str = "{}", call_id: str = "call_1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def step(action: str, observation: str | None = "done", **more: Any) -> dict[str, Any]:
    return {"action": action, "observation": observation, "response": f"I run {action}", "thought": "so", **more}


def outcome_of(action: str, observation: str, *, exit_status: str | None = None) -> tuple[bool | None, OutcomeSource]:
    run = parse({"trajectory": [step(action, observation)], "info": {"exit_status": exit_status}})
    return run.steps[0].outcome.success, run.steps[0].outcome.source


def test_the_shipped_run_is_read_completely() -> None:
    run = read_trajectory(SAMPLE)
    assert run.digest == hashlib.sha256(SAMPLE.read_bytes()).hexdigest()
    assert (run.name, run.project, run.agents) == ("sample_run", "shop/cafe-bills", ("main",))
    assert (run.model, run.host) == ("small-coder", "example")
    assert len(run.messages) == 18
    expected = ["find_file", "bash", "open", "edit", "edit", "bash", "edit", "bash", "submit"]
    assert [s.calls[0].tool for s in run.steps] == expected
    assert [s.outcome.success for s in run.steps] == [True, True, True, False, True, False, True, True, True]
    assert run.usage.input_tokens == 11840
    assert run.usage.cost_usd == Decimal("0.00813")
    assert run.exit_status == "submitted"


def test_the_last_step_need_not_be_part_of_the_history() -> None:
    run = read_trajectory(SAMPLE)
    assert run.steps[-2].message_position == 16
    assert run.steps[-2].observation_position == 17
    assert run.steps[-1].message_position is None
    assert run.steps[-1].response.startswith("2.68")


def test_a_file_with_only_its_history_has_steps_without_durations() -> None:
    messages = [
        {"role": "user", "content": "Fix it"},
        {"role": "assistant", "content": "I look", "action": "ls", "tool_calls": [call("bash", '{"command": "ls"}')]},
        {"role": "tool", "content": "a.py", "tool_call_ids": ["call_1"]},
        {"role": "assistant", "content": "I read", "action": "open a.py", "tool_calls": [call("open")]},
    ]
    run = parse({"history": messages})
    assert [s.calls[0].tool for s in run.steps] == ["bash", "open"]
    assert run.steps[0].calls[0].arguments == {"command": "ls"}
    assert [s.observation for s in run.steps] == ["a.py", None]
    assert [s.execution_time_seconds for s in run.steps] == [None, None]
    assert run.steps[1].outcome.success is None
    assert run.steps[1].outcome.source == OutcomeSource.UNKNOWN
    assert not run.usage.is_reported
    assert (run.model, run.host) == ("unknown", "unknown")


def test_a_file_with_only_its_trajectory_has_a_conversation_made_of_its_steps() -> None:
    run = parse({"trajectory": [step("ls", "a.py"), step("cat a.py", None)]})
    assert [(m.role, m.content) for m in run.messages] == [
        ("assistant", "I run ls"),
        ("tool", "a.py"),
        ("assistant", "I run cat a.py"),
    ]


def test_call_ids_that_a_replayed_run_repeats_do_not_confuse_the_pairing() -> None:
    history: list[dict[str, Any]] = []
    for n in range(3):
        history += [
            {"role": "assistant", "content": "Again", "action": f"echo {n}", "tool_calls": [call("bash")]},
            {"role": "tool", "content": str(n), "tool_call_ids": ["call_1"]},
        ]
    entries = [{"action": f"echo {n}", "observation": str(n), "response": "Again"} for n in range(3)]
    run = parse({"history": history, "trajectory": entries})
    assert [s.message_position for s in run.steps] == [0, 2, 4]
    assert [s.observation_position for s in run.steps] == [1, 3, 5]


def test_a_command_is_a_tool_when_the_prompt_declares_it_and_the_shell_otherwise() -> None:
    prompt = (
        "COMMANDS:\nopen:\n  docstring: opens a file\n  signature: open <path>\n\n"
        "goto:\n  docstring: moves\n  signature: goto <n>\n"
    )
    run = parse({"history": [{"role": "system", "content": prompt}], "trajectory": [step("open a.py"), step("ls -F")]})
    assert [s.calls[0].tool for s in run.steps] == ["open", "bash"]
    assert [(t.name, t.description, t.signature) for t in run.tools] == [
        ("open", "opens a file", "open <path>"),
        ("goto", "moves", "goto <n>"),
        ("bash", None, None),
    ]


def test_several_calls_in_one_message_are_kept_apart() -> None:
    message = {"role": "assistant", "content": "", "tool_calls": [call("open"), call("bash", "not json", "call_2")]}
    run = parse({"history": [message, {"role": "tool", "content": "ok"}]})
    assert [(c.tool, c.call_id, c.arguments) for c in run.steps[0].calls] == [
        ("open", "call_1", {}),
        ("bash", "call_2", {"text": "not json"}),
    ]


def test_the_demonstration_in_a_history_is_no_step_and_no_instruction() -> None:
    history = [
        {"role": "user", "content": "Here is a demonstration", "is_demo": True},
        {"role": "assistant", "content": "ls", "action": "ls", "is_demo": True},
        {"role": "user", "content": "The issue"},
        {"role": "assistant", "content": "I run ls", "action": "ls"},
    ]
    run = parse({"history": history})
    assert run.instruction == "The issue"
    assert [s.message_position for s in run.steps] == [3]
    assert run.messages[0].is_demonstration


@pytest.mark.parametrize(
    ("stats", "tokens", "cost"),
    [
        (None, (None, None), None),
        ({}, (None, None), None),
        ({"tokens_sent": 0, "tokens_received": 0, "api_calls": 0, "instance_cost": 0}, (None, None), None),
        ({"tokens_sent": 0, "tokens_received": 0, "api_calls": 11, "instance_cost": 0}, (None, None), None),
        ({"tokens_sent": 7, "tokens_received": 0, "instance_cost": 0}, (7, 0), Decimal(0)),
        ({"tokens_sent": 7, "tokens_received": 2}, (7, 2), None),
        ({"tokens_sent": 7, "tokens_received": 2, "total_cost": 0.1}, (7, 2), Decimal("0.1")),
        ({"instance_cost": 0.5}, (None, None), Decimal("0.5")),
    ],
)
def test_missing_usage_is_not_zero(
    stats: dict[str, Any] | None, tokens: tuple[int | None, int | None], cost: Decimal | None
) -> None:
    usage = parse({"trajectory": [step("ls")], "info": {"model_stats": stats}}).usage
    assert (usage.input_tokens, usage.output_tokens) == tokens
    assert usage.cost_usd == cost
    assert usage.is_reported == (tokens != (None, None))


@pytest.mark.parametrize(
    ("action", "observation", "expected"),
    [
        ("ls", "", (True, OutcomeSource.NO_ERROR_MARKER)),
        ("python a.py", "\nEXECUTION TIMED OUT", (False, OutcomeSource.ERROR_MARKER)),
        ("python a.py", "x\nTraceback (most recent call last):\nKeyError: 1", (False, OutcomeSource.ERROR_MARKER)),
        ("python a.py", '  File "a.py", line 4\nSyntaxError: invalid syntax', (False, OutcomeSource.ERROR_MARKER)),
        ("frob", "bash: line 1: frob: command not found", (False, OutcomeSource.ERROR_MARKER)),
        ("ls x", "ls: cannot access 'x': No such file or directory", (False, OutcomeSource.ERROR_MARKER)),
        ("ls", "ValueError.py\nTraceback.txt", (True, OutcomeSource.NO_ERROR_MARKER)),
        ("submit 'x'", "Wrong flag!", (False, OutcomeSource.ERROR_MARKER)),
    ],
)
def test_the_output_is_judged_and_the_judgement_says_by_what(
    action: str, observation: str, expected: tuple[bool, OutcomeSource]
) -> None:
    assert outcome_of(action, observation) == expected


def test_an_accepted_submission_worked_whatever_it_printed() -> None:
    assert outcome_of("submit", "", exit_status="submitted") == (True, OutcomeSource.EXIT_STATUS)
    assert outcome_of("submit", "", exit_status="exit_cost") == (True, OutcomeSource.NO_ERROR_MARKER)


def test_a_file_that_is_shown_may_quote_an_error() -> None:
    prompt = "open:\n  docstring: opens\n  signature: open <path>\n"
    shown = "[File: log.txt]\n1:\nTraceback (most recent call last):\n"
    run = parse({"history": [{"role": "system", "content": prompt}], "trajectory": [step("open log.txt", shown)]})
    assert run.steps[0].outcome.success is True


def test_a_failed_program_is_told_by_its_last_exception() -> None:
    traceback = "Traceback (most recent call last):\n  ...\n"
    output = f"{traceback}KeyError: 'a'\n\n{traceback}ValueError: b\r\n"
    outcome = parse({"trajectory": [step("python a.py", output)]}).steps[0].outcome
    assert (outcome.category, outcome.error) == ("exception", "ValueError: b")


@pytest.mark.parametrize(
    ("document", "file_name", "project"),
    [
        ({"replay_config": {"env": {"repo": {"github_url": "https://github.com/a/b.git"}}}}, "x.traj", "a/b"),
        ({"replay_config": {"problem_statement": {"id": "a__b-12"}}}, "x.traj", "a/b"),
        ({"replay_config": json.dumps({"problem_statement": {"id": "a__b-i1"}})}, "x.traj", "a/b"),
        ({}, "pydicom__pydicom-1458.traj", "pydicom/pydicom"),
        ({"state": '{"working_dir": "/a-b__c.d/src"}'}, "x.traj", "a-b/c.d"),
        ({"state": {"working_dir": "/__Users__me__data"}}, "x.traj", "x"),
        ({}, "katy.traj", "katy"),
    ],
)
def test_the_project_is_the_repository_where_the_run_names_one(
    document: dict[str, Any], file_name: str, project: str
) -> None:
    state = document.pop("state", None)
    assert parse({**document, "trajectory": [step("ls", state=state)]}, file_name).project == project


def test_a_state_in_text_is_read_and_text_that_is_no_json_is_kept() -> None:
    entries = [step("ls", state='{"open_file": "n/a"}\n'), step("ls", state="n/a")]
    assert [s.state for s in parse({"trajectory": entries}).steps] == [{"open_file": "n/a"}, {"text": "n/a"}]


def test_content_in_parts_is_joined_and_its_parts_are_kept() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "image_url"}, {"type": "text", "text": "two"}]
    message = parse({"history": [{"role": "user", "content": parts, "tags": ["t"]}]}).messages[0]
    assert message.content == "one\ntwo"
    assert message.extra == {"content_parts": parts, "tags": ["t"]}


def test_secrets_of_the_configuration_are_not_kept() -> None:
    model = {"name": "m", "api_key": "sk-1", "temperature": 0}
    run = parse({"trajectory": [step("ls")], "replay_config": {"agent": {"model": model}}})
    assert run.configuration == {"model": {"name": "m", "temperature": 0}}


def test_nul_and_lone_surrogates_survive_the_reader() -> None:
    data = b'{"history": [{"role": "user", "content": "a\\u0000\\ud800b"}]}'
    assert parse_trajectory(data, file_name="x.traj").messages[0].content == "a\x00\ud800b"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.traj: is not JSON: Expecting value in line 1, column 1"),
        (b"\xff\xfe", "x.traj: is not a JSON text in UTF-8 (byte 0)"),
        (b"SQLite format 3\x00", "x.traj: is not JSON: Expecting value in line 1, column 1"),
        (b"[" * 100_000, "x.traj: is not a trajectory: nested too deeply"),
        (b'{"trajectory": NaN}', "x.traj: is not JSON: NaN is not a number"),
        (b"[]", "x.traj: the file should be an object, not a list"),
        (b"{}", "x.traj: holds no run: it has neither a history nor a trajectory"),
        (b'{"history": [], "trajectory": []}', "x.traj: holds no run: it has neither a history nor a trajectory"),
        (b'{"history": {}}', "x.traj: history should be a list, not an object"),
        (b'{"history": ["x"]}', "x.traj: history[0] should be an object, not 'x'"),
        (b'{"history": [{"content": "x"}]}', "x.traj: history[0].role should be text, not null"),
        (b'{"history": [{"role": "user", "content": 3}]}', "x.traj: history[0].content should be text, not a number"),
        (
            b'{"history": [{"role": "boss", "content": ""}]}',
            "x.traj: history[0].role should be one of user, assistant, agent, system, tool, developer, not 'boss'",
        ),
        (
            b'{"history": [{"role": "assistant", "content": "", "tool_calls": [{}]}]}',
            "x.traj: history[0].tool_calls[0].function should be an object, not null",
        ),
        (b'{"trajectory": [{"observation": ""}]}', "x.traj: trajectory[0].action should be text, not null"),
        (
            b'{"trajectory": [{"action": "ls", "execution_time": "1 s"}]}',
            "x.traj: trajectory[0].execution_time should be a number, not '1 s'",
        ),
        (
            b'{"trajectory": [{"action": "ls", "execution_time": -1}]}',
            "x.traj: trajectory[0].execution_time should be between 0 and 2^63-1, not -1",
        ),
        (
            b'{"trajectory": [{"action": "ls"}], "info": {"model_stats": {"tokens_sent": 9223372036854775808}}}',
            "x.traj: info.model_stats.tokens_sent should be between 0 and 2^63-1, not 9.22337e+18",
        ),
        (
            b'{"trajectory": [{"action": "ls"}], "info": {"model_stats": {"tokens_sent": 1.5}}}',
            "x.traj: info.model_stats.tokens_sent should be a whole number, not a number",
        ),
    ],
)
def test_a_wrong_file_is_told_in_one_line_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(ImportFileError) as caught:
        parse_trajectory(data, file_name="x.traj")
    assert str(caught.value) == message
    assert caught.value.path == "x.traj"


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(ImportFileError, match="is not JSON"):
        parse_trajectory(b'{"trajectory": ' + b"9" * 5_000 + b"}", file_name="x.traj")


def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"gone\.traj: cannot be read: no such file or directory$"):
        read_trajectory(tmp_path / "gone.traj")
    with pytest.raises(ImportFileError, match=r"cannot be read: is a directory$"):
        read_trajectory(tmp_path)
