"""The command line as a shell sees it: what it prints where, and what it returns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from sqlalchemy.engine import make_url

from agent_system import errors
from agent_system.cli.exit_codes import EXIT_CODES, exit_code
from agent_system.cli.main import run
from agent_system.cli.output import one_line
from agent_system.errors import AgentSystemError, ImportFileError, MigrationError, NotFoundError, ValidationError
from tests import requirements as requires

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "scripts" / "sample_run.traj"
HEAD = max(path.name[:4] for path in (ROOT / "alembic" / "versions").glob("0*.py"))


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output as a program reads it."""
        return json.loads(self.out)


class Command(Protocol):
    """Runs `agent-system` on the database of the test."""

    def __call__(self, *arguments: str | Path, url: str | None = None) -> Finished: ...


@pytest.fixture
def command(database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return what runs a command in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str | Path, url: str | None = None) -> Finished:
        monkeypatch.setattr(sys, "argv", ["agent-system", "--url", url or database_url, *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            run()
        captured = capsys.readouterr()
        return Finished(code=int(exited.value.code or 0), out=captured.out, err=captured.err)

    return call


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def test_a_run_goes_in_and_comes_out(command: Command) -> None:
    imported = command("import", "trajectory", SHIPPED, "--json")
    assert imported.code == 0
    assert [run["is_new"] for run in imported.json] == [True]
    shown = command("show", "run", "sample_run")
    assert shown.code == 0
    assert "shop/cafe-bills" in shown.out
    assert "11840 in, 612 out" in shown.out
    assert "$0.008130" in shown.out
    assert "> find_file" in shown.out
    assert "0.118 s" in shown.out
    assert "! NameError: name 'Decimal' is not defined" in shown.out
    assert "no (error_marker)" in shown.out
    whole = command("show", "run", "sample_run", "--json").json
    kinds = [entry["kind"] for entry in whole["timeline"]]
    assert (kinds.count("message"), kinds.count("tool_call")) == (18, 9)
    assert kinds[:4] == ["message", "message", "message", "tool_call"]
    assert kinds[-1] == "tool_call"


def test_a_second_import_says_that_it_added_nothing(command: Command) -> None:
    assert "1 of 1 runs added" in command("import", "trajectory", SHIPPED).out
    again = command("import", "trajectory", SHIPPED)
    assert "0 of 1 runs added" in again.out
    assert "already there" in again.out


def test_a_bad_file_is_one_line_and_the_good_ones_are_imported_all_the_same(command: Command, tmp_path: Path) -> None:
    bad = tmp_path / "bad.traj"
    bad.write_text('{"history": 3}')
    finished = command("import", "trajectory", bad, SHIPPED)
    assert finished.code == EXIT_CODES[ImportFileError]
    wanted = f"agent-system: {bad}: history should be a list, not a number"
    assert lines(finished.err)[-1] == wanted
    assert "1 of 1 runs added" in finished.out
    runs = command("show", "runs", "--json").json
    assert [run["title"] for run in runs] == ["sample_run"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"SQLite format 3\x00", b"[]"])
def test_a_file_that_is_no_trajectory_leaves_nothing(command: Command, tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.traj"
    bad.write_bytes(content)
    finished = command("import", "trajectory", bad)
    assert finished.code == EXIT_CODES[ImportFileError]
    assert finished.out == ""
    assert len(finished.err.splitlines()) == 1
    assert command("show", "runs", "--json").json == []
    assert command("stats", "--json").json["tools"] == []


def test_a_run_is_found_by_its_id_by_how_it_begins_and_by_its_name(command: Command) -> None:
    run_id = command("import", "trajectory", SHIPPED, "--json").json[0]["run_id"]
    for text in (run_id, run_id.upper(), run_id.replace("-", ""), run_id[:8], run_id[:10], "sample_run", "sample"):
        assert command("show", "run", text, "--json").json["run_id"] == run_id


def test_a_run_that_is_not_there_or_not_the_only_one_is_an_error(command: Command, tmp_path: Path) -> None:
    for number in range(2):
        history = [{"role": "user", "content": str(number)}]
        (tmp_path / f"same{number}.traj").write_text(json.dumps({"history": history}))
    command("import", "trajectory", *sorted(tmp_path.glob("*.traj")))
    missing = command("show", "run", "nothing")
    assert (missing.code, lines(missing.err)) == (
        EXIT_CODES[NotFoundError],
        ["agent-system: there is no run with the id 'nothing'"],
    )
    several = command("show", "run", "same")
    assert several.code == EXIT_CODES[ValidationError]
    assert "'same' means several runs" in several.err


def test_stats_add_up_calls_tokens_and_cost(command: Command, tmp_path: Path) -> None:
    unmeasured = tmp_path / "unmeasured.traj"
    unmeasured.write_text(json.dumps({"trajectory": [{"action": "ls", "observation": "a"}]}))
    command("import", "trajectory", SHIPPED, unmeasured)
    stats = command("stats", "--json").json
    tools = {tool["tool_name"]: tool for tool in stats["tools"]}
    assert (tools["bash"]["calls"], tools["bash"]["succeeded"], tools["bash"]["failed"]) == (4, 3, 1)
    assert tools["bash"]["timed"] == 3
    assert tools["bash"]["min_duration_ms"] == pytest.approx(229.0)
    assert tools["bash"]["average_duration_ms"] == pytest.approx((241.0 + 229.0 + 238.1) / 3)
    assert tools["bash"]["max_duration_ms"] == pytest.approx(241.0)
    assert stats["tokens"] == {
        "requests": 2,
        "failed": 0,
        "missing": 1,
        "unpriced": 1,
        "input_tokens": 11840,
        "output_tokens": 612,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "reasoning_output_tokens": 0,
        "timed": 0,
        "response_time_ms": 0.0,
        "cost_nano_usd": 8_130_000,
        "cost_usd": 0.00813,
    }
    assert [(one["host"], one["model"]) for one in stats["models"]] == [
        ("example", "small-coder"),
        ("unknown", "unknown"),
    ]
    shown = command("stats").out
    assert "find_file" in shown
    assert "$0.008130" in shown


def test_the_schema_goes_up_and_down(command: Command) -> None:
    assert lines(command("current").out) == [f"empty, head is {HEAD}"]
    assert lines(command("upgrade", "3").out) == ["empty -> 0003"]
    assert command("current", "--json").json == {"revision": "0003", "head": HEAD}
    assert command("check").code == EXIT_CODES[MigrationError]
    assert lines(command("upgrade").out) == [f"0003 -> {HEAD}"]
    assert lines(command("upgrade").out) == [f"{HEAD} already"]
    assert command("check", "--json").json == {"revision": HEAD, "faults": []}
    assert lines(command("downgrade", "base").out) == [f"{HEAD} -> empty"]


def test_an_upgrade_never_downgrades(command: Command) -> None:
    command("upgrade")
    refused = command("upgrade", "2")
    assert refused.code == EXIT_CODES[MigrationError]
    assert "use `agent-system downgrade`" in refused.err
    command("downgrade", "2")
    assert "use `agent-system upgrade`" in command("downgrade", "3").err
    assert lines(command("current").out) == [f"0002, head is {HEAD}"]


def test_health_is_told(command: Command) -> None:
    command("upgrade")
    health = command("health", "--json").json
    assert health["cold_storage_connected"] is True
    assert "library version" in command("health").out


def test_what_only_reads_makes_no_database(command: Command, sqlite_path: Path) -> None:
    for arguments in (["stats"], ["health"], ["show", "runs"], ["current"], ["check"]):
        command(*arguments, url=str(sqlite_path))
        assert not sqlite_path.exists()


def test_a_password_is_never_shown(command: Command, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://somebody:hunter2@host.invalid/name"
    monkeypatch.setenv("AGENT_SYSTEM_CONNECT_TIMEOUT_SECONDS", "1")
    finished = command("health", url=url)
    assert finished.code == exit_code(errors.DatabaseUnavailableError())
    assert "hunter2" not in finished.out + finished.err
    assert len(lines(finished.err)) == 1
    command("upgrade")
    shown = command("health", "--json").json["database"]
    password = make_url(database_url).password
    assert password is None or password not in shown


def test_a_wrong_url_is_one_line(command: Command) -> None:
    finished = command("health", url="mysql://host/name")
    assert finished.code == EXIT_CODES[errors.ConfigurationError]
    assert len(lines(finished.err)) == 1


def test_the_url_comes_from_the_environment_too(migrated_sqlite_url: str) -> None:
    environment = {**os.environ, "AGENT_SYSTEM_DATABASE_URL": migrated_sqlite_url}
    words = [sys.executable, "-m", "agent_system", "current"]
    finished = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout == f"{HEAD} (head)\n"


def test_every_error_of_ours_has_an_exit_code_and_no_two_classes_share_one() -> None:
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    assert {0, 2} & set(EXIT_CODES.values()) == set()
    for error in subclasses(AgentSystemError):
        assert exit_code(error.__new__(error)) in EXIT_CODES.values()


def subclasses(error: type[AgentSystemError]) -> Iterator[type[AgentSystemError]]:
    yield error
    for child in error.__subclasses__():
        yield from subclasses(child)


def test_nothing_reaches_the_terminal_that_it_would_obey() -> None:
    assert one_line("a\x1b[31m\n\tb\x00\x08 \ud800 \u202e") == "a\\x1b[31m b\\x00\\x08 \\ud800 \\u202e"
    assert one_line("abcdef", 4) == "abc…"


@requires.database_file
def test_a_backup_is_made_listed_verified_and_restored(command: Command, tmp_path: Path) -> None:
    command("upgrade")
    command("import", "trajectory", SHIPPED)
    (made,) = command("backup", "--folder", tmp_path / "kept", "--compress", "--json").json
    assert command("backup", "list", "--folder", tmp_path / "kept", "--json").json == [made]
    path = tmp_path / "kept" / made["path"]
    assert command("backup", "verify", path).code == 0
    command("downgrade", "base")
    restored = command("restore", path)
    assert restored.code == 0
    assert "what was there before" in restored.out
    assert command("show", "run", "sample_run").code == 0
    path.write_bytes(path.read_bytes()[:-10])
    refused = command("backup", "verify", path)
    assert (refused.code, len(lines(refused.err))) == (14, 1)


def test_seeding_makes_what_is_lacking_once(command: Command) -> None:
    made = command("seed", "--json").json
    assert (made["models"], made["flags"]) == ({"hosts": 3, "models": 10, "prices": 11}, {"flags": 4})
    assert made["permissions"] == {"tools": 7, "permissions": 13}
    assert command("seed", "flags", "--json").json == {"flags": {"flags": 0}}
    assert command("seed", "permissions", "--json").json == {"permissions": {"tools": 0, "permissions": 0}}
    assert command("seed", "models", "--json").json == {"models": {"hosts": 0, "models": 0, "prices": 0}}
    assert "models" in command("seed").out
    wrong = command("seed", "nonsense")
    assert wrong.code == EXIT_CODES[ValidationError]
    assert "models" in wrong.err


@requires.database_file
def test_the_doctor_tells_how_bad_it_is(command: Command, database_url: str) -> None:
    command("upgrade")
    Path(str(make_url(database_url).database)).chmod(0o600)
    assert command("doctor").code == 0
    assert command("doctor", "--json").json["fixed"] == []
    Path(str(make_url(database_url).database)).chmod(0o666)
    assert command("doctor").code == 20
    os.link(str(make_url(database_url).database), f"{make_url(database_url).database}.second")
    examined = command("doctor")
    assert (examined.code, "hard links" in examined.out) == (21, True)


def test_events_are_sealed_and_verified(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command("upgrade")
    assert command("audit", "seal").code == EXIT_CODES[errors.ConfigurationError]
    monkeypatch.setenv("AGENT_SYSTEM_AUDIT_KEY", "k" * 32)
    command("import", "trajectory", SHIPPED)
    anchors = tmp_path / "anchors.txt"
    sealed = command("audit", "seal", "--anchor-file", anchors, "--json").json
    assert sealed["sealed"] > 0
    assert anchors.read_text().split() == [sealed["head"]]
    assert anchors.stat().st_mode & 0o777 == 0o600
    verified = command("audit", "verify", "--anchor-file", anchors, "--json")
    assert (verified.code, verified.json["is_valid"], verified.json["events"]) == (0, True, sealed["sealed"])
    assert "valid" in command("audit", "verify").out
    other = command("audit", "verify", "--anchor", "1:0123")
    assert (other.code, "NOT VALID" in other.out, "cut off" in other.out) == (21, True, True)


def test_the_size_of_each_table_is_told(command: Command) -> None:
    command("upgrade")
    assert command("stats", "--sizes", "--json").json["tables"]["agents"] > 0
    assert "agents" in command("stats", "--sizes").out
