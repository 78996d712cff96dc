"""What the tests of the importers share: old databases that are made for a test."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LEGACY_DATA = Path(
    os.environ.get("AGENT_SYSTEM_LEGACY_DATA") or Path(__file__).parents[4] / "shared" / "data" / "legacy"
)


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[..., Path]:
    """Return what makes an old database out of statements, and of rows by table."""

    def make(*statements: str, name: str = "old.db", **rows: Iterable[tuple[Any, ...]]) -> Path:
        path = tmp_path / name
        with closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)
            for table, many in rows.items():
                for row in many:
                    marks = ", ".join("?" * len(row))
                    connection.execute("INSERT INTO {} VALUES ({})".format(table, marks), row)  # noqa: UP032
        return path

    return make


@pytest.fixture
def real_file() -> Callable[[str], Path]:
    """Return what finds a database of one of the systems itself; where there are none, the test is skipped."""

    def find(name: str) -> Path:
        path = LEGACY_DATA / name
        if not path.exists():
            pytest.skip(f"{path} is not there; AGENT_SYSTEM_LEGACY_DATA names its folder")
        return path

    return find
