"""The README tells the truth: its programs run, its commands exist, its settings are settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from agent_system import DatabaseSettings
from agent_system.cli.main import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_every_program_runs(tmp_path: Path) -> None:
    programs = blocks("python")
    assert programs
    for program in programs:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "researcher" in done.stdout


def test_every_command_exists() -> None:
    named = set(
        re.findall(r"^agent-system ((?:[a-z]+ ?)+?)(?: +[a-zA-Z]*[./#]|  )", "\n".join(blocks("bash")), re.MULTILINE)
    )
    assert named
    for command in named:
        # In this process: to start Python for each of them takes a minute.
        done = CliRunner().invoke(app, [*command.split(), "--help"])
        assert done.exit_code == 0, f"{command}: {done.output}"


def test_every_script_exists() -> None:
    for script in set(re.findall(r"\bscripts/([a-z]+)\b", README)):
        assert (ROOT / "scripts" / script).exists(), script


def test_every_setting_is_one() -> None:
    fields = {f"AGENT_SYSTEM_{name.upper()}" for name in DatabaseSettings.model_fields}
    others = {"AGENT_SYSTEM_SAMPLE_DATA", "AGENT_SYSTEM_"}
    assert set(re.findall(r"AGENT_SYSTEM_[A-Z_]*", README)) <= fields | others
