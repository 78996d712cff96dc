"""The command `alembic` works from the root of the repository on the database of the settings."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from alembic.config import CommandLine, Config

from agent_system.database.migrations import head_revision, run_migrations
from tests import requirements as requires
from tests.migration.schema import schema_of

ROOT = Path(__file__).parents[2]


def alembic(url: str, *arguments: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env={**os.environ, "AGENT_SYSTEM_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


async def alembic_here(*arguments: str, fails: bool = False) -> str:
    """Run the command in this process, which has imported everything: two seconds less for each."""
    line, output = CommandLine(), StringIO()
    options = line.parser.parse_args(arguments)
    config = Config(ROOT / "alembic.ini", cmd_opts=options, stdout=output, output_buffer=output)
    with pytest.raises(SystemExit) if fails else nullcontext(), redirect_stdout(output), redirect_stderr(output):
        await asyncio.to_thread(line.run_cmd, config, options)
    return output.getvalue()


@pytest.mark.timeout(120)
async def test_upgrade_check_downgrade_and_upgrade_again(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SYSTEM_DATABASE_URL", database_url)
    alembic(database_url, "upgrade", "head")
    schema = await schema_of(database_url)
    assert "No new upgrade operations" in await alembic_here("check")
    await alembic_here("downgrade", "base")
    assert await schema_of(database_url) == []
    await alembic_here("upgrade", "head")
    assert await schema_of(database_url) == schema
    await alembic_here("downgrade", "-1")
    assert f"{int(head_revision()) - 1:04}" in await alembic_here("current")
    assert "not up to date" in await alembic_here("check", fails=True)


@requires.database_file
async def test_command_and_function_make_the_same_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SYSTEM_DATABASE_URL", str(tmp_path / "command.db"))
    await alembic_here("upgrade", "head")
    await run_migrations(tmp_path / "function.db")
    assert await schema_of(str(tmp_path / "command.db")) == await schema_of(str(tmp_path / "function.db"))


@requires.database_file
async def test_refusal_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.db").write_text("this is no database, and it is long enough to be one " * 40)
    monkeypatch.setenv("AGENT_SYSTEM_DATABASE_URL", str(tmp_path / "text.db"))
    output = await alembic_here("upgrade", "head", fails=True)
    assert "FAILED" in output
    assert "Traceback" not in output


async def test_statements_can_be_printed_for_an_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SYSTEM_DATABASE_URL", "postgresql://nowhere/nothing")
    printed = await alembic_here("upgrade", "head", "--sql")
    assert "CREATE TABLE token_usage" in printed
    assert printed.rstrip().endswith("COMMIT;")
