"""Where rows of older systems are looked up, what their passwords are worth, and that no column is lost."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from agent_system.importers.legacy.accounts import account, is_hash
from agent_system.importers.legacy.references import References
from agent_system.importers.legacy.rows import Reading, SourceRow
from agent_system.importers.legacy.systems.agentdb.description import AGENTDB
from agent_system.importers.legacy.systems.agentlab.description import AGENTLAB
from agent_system.importers.legacy.systems.coachartie.description import COACHARTIE

if TYPE_CHECKING:
    from pathlib import Path

    from agent_system.importers.legacy.description import Table

KEY = UUID("0197d3a0-0000-7000-8000-000000000001")


def test_what_was_missing_is_found_once_it_is_there(tmp_path: Path) -> None:
    with closing(References(tmp_path)) as references:
        assert references.find("tasks", "7") is None
        references.add("users", [("7", 1)])
        assert references.find("tasks", "7") is None
        references.add("tasks", [("7", KEY), ("8", 0)])
        assert [references.find("tasks", value) for value in (7, "7", 7.0, 8)] == [KEY, KEY, KEY, 0]
        references.add("tasks", [("7", 9)])
        assert references.find("tasks", "7") == KEY


def test_what_is_no_key_refers_to_nothing(tmp_path: Path) -> None:
    with closing(References(tmp_path)) as references:
        assert [references.find("tasks", value) for value in (None, "", {"id": 1}, [1], b"7")] == [None] * 5


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("$2b$04$xGJeX/tJsMQDnprzQVLzEefMAK.a/JjUqjJ.FTtBWhqrs6aeQNq2i", True),
        ("$2y$04$xGJeX/tJsMQDnprzQVLzEefMAK.a/JjUqjJ.FTtBWhqrs6aeQNq2i", True),
        ("$2b$12$abcdefghijklmnopqrstuv", False),
        ("$2a$12$short", False),
        ("plain-text!", False),
        ("", False),
        (None, False),
        (b"$2b$", False),
    ],
)
def test_a_hash_is_whole_or_none(text: str | bytes | None, *, verdict: bool) -> None:
    assert is_hash(text) is verdict


def test_one_owner_has_one_account() -> None:
    assert account("a", 7) is account("a", 7)
    assert account("a", 7) is not account("b", 7)


@pytest.mark.parametrize(
    "table",
    [table for system in (AGENTLAB, COACHARTIE, AGENTDB) for table in system.tables if not table.part],
    ids=lambda table: f"{table.source}-{len(table.columns)}",
)
def test_a_column_that_nobody_knows_goes_to_the_metadata(table: Table, tmp_path: Path) -> None:
    with closing(References(tmp_path)) as references:
        reading = Reading(now=datetime(2026, 1, 1, tzinfo=UTC), zone=UTC, references=references)
        row = SourceRow(1, {"id": 1, "came_later": b"\xff", "was_empty": ""}, reading)
        table.columns["meta"](row)
        assert row.kept["came_later"] == {"hex": "ff"}
        assert "was_empty" not in row.kept
