"""Migrations that go wrong are made here: a copy of the revisions, to which a test adds its own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

import pytest

from agent_system.database import revisions

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
