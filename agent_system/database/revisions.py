"""The revisions that ship with the package: where they are, their order, and which one a target means."""

from __future__ import annotations

from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory

from agent_system.errors import MigrationError

__all__ = ["BASE", "HEAD", "alembic_config", "head_revision", "resolve_target", "revision_history", "script_location"]

BASE = "base"
HEAD = "head"

_PACKAGE = Path(__file__).parents[1]
# How many digits the revision numbers have.
_DIGITS = 4


def script_location() -> Path:
    """Return the folder of the migrations: inside the package where it is installed, beside it in the repository."""
    packaged = _PACKAGE / "_alembic"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "alembic"


def alembic_config(**attributes: Any) -> Config:
    """Make alembic's configuration without an ini file; `attributes` is what env.py is told."""
    config = Config(output_buffer=StringIO(), stdout=StringIO())
    # Alembic interpolates options as configparser does.
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config


def revision_history() -> list[str]:
    """Return the ids of all revisions, from the first to the newest."""
    names = frozenset(file.name for file in (script_location() / "versions").glob("*.py"))
    return list(_read_history(script_location(), names))


@lru_cache(maxsize=1)
def _read_history(_location: Path, _names: frozenset[str]) -> tuple[str, ...]:
    # Alembic loads every file, which takes 14 ms: too long to do so at every connect().
    script = ScriptDirectory.from_config(alembic_config())
    return tuple(revision.revision for revision in script.walk_revisions())[::-1]


def head_revision() -> str:
    """Return the id of the newest revision."""
    return revision_history()[-1]


def resolve_target(target: str | int | None, history: list[str]) -> str:
    """Return what a target means: `base` or the id of a revision; n is revision 000n, None the newest.

    Raises:
        MigrationError: There is no such revision.
    """
    if target is None or target == HEAD:
        return history[-1]
    if target == BASE:
        return BASE
    number = int(target) if isinstance(target, str) and target.isdecimal() else target
    if number == 0 and not isinstance(number, bool):
        return BASE
    revision = f"{number:0{_DIGITS}}" if isinstance(number, int) and not isinstance(number, bool) else target
    if revision not in history:
        message = f"there is no revision {target!r}: this version of agent_system has {history[0]} to {history[-1]}"
        raise MigrationError(message)
    return str(revision)
