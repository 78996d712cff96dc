"""What the tests of the importers share: old databases that are made for a test."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


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
