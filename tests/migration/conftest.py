"""Migrations that go wrong are made here: a copy of the revisions, to which a test adds its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import IO, TYPE_CHECKING

import pytest

from agent_system.database import revisions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]

REVISION = '''
"""A revision of the tests; its downgrade loses what it made."""

import sys

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{below}"


def upgrade():
{upgrade}


def downgrade():
{downgrade}
'''

PROGRAM = """
import asyncio, sys
from pathlib import Path
from agent_system.database import revisions
from agent_system.database.migrations import run_migrations

folder, url, target = sys.argv[1:]
revisions.script_location = lambda: Path(folder)
print("ready", flush=True)
sys.stdin.readline()
asyncio.run(run_migrations(url, target))
"""


@dataclass(frozen=True)
class Revisions:
    """A folder of revisions that tests may add to."""

    folder: Path

    def add(self, upgrade: str, downgrade: str = "pass") -> str:
        """Add a revision above the newest one and return its id."""
        below = revisions.head_revision()
        revision = f"{int(below) + 1:04}"
        source = REVISION.format(
            revision=revision,
            below=below,
            upgrade=indent(dedent(upgrade), "    "),
            downgrade=indent(dedent(downgrade), "    "),
        )
        (self.folder / "versions" / f"{revision}_of_a_test.py").write_text(source.lstrip())
        return revision

    def remove(self, revision: str) -> None:
        """Take a revision of a test away again, as an older version of the program would have it."""
        (self.folder / "versions" / f"{revision}_of_a_test.py").unlink()


@pytest.fixture
def own_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Revisions:
    """Return a copy of the revisions, used instead of the real ones."""
    folder = tmp_path / "revisions"
    shutil.copytree(ROOT / "alembic", folder)
    monkeypatch.setattr(revisions, "script_location", lambda: folder)
    return Revisions(folder)


Start = "Callable[[str, str], subprocess.Popen[str]]"


@pytest.fixture
def start_migration(tmp_path: Path) -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    """Return a function that starts a process which migrates; it begins when it gets a line."""
    processes: list[subprocess.Popen[str]] = []
    folder = tmp_path / "revisions"

    def start(url: str, target: str) -> subprocess.Popen[str]:
        location = folder if folder.exists() else ROOT / "alembic"
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(location), url, target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        processes.append(process)
        assert stream(process.stdout).readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def stream(pipe: IO[str] | None) -> IO[str]:
    """Return a pipe that is known to be there."""
    assert pipe is not None
    return pipe
