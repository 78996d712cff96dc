"""Seed 000's own functions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent_system.importers import cleanup_old_databases, init_database, migrate_existing_databases

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    MakeFile = Callable[..., Path]

THEN = "2025-06-01 10:00:00"
LINKS = "CREATE TABLE links (id INTEGER PRIMARY KEY, url TEXT, domain TEXT, analysis_status TEXT, created_at DATETIME)"
HOSTS = "CREATE TABLE hosts (id INTEGER PRIMARY KEY, name TEXT, base_url TEXT, created_at TIMESTAMP)"


async def test_old_databases_are_found_brought_over_and_put_away(
    migrated_url: str, make_file: MakeFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_file(LINKS, name="links.db", links=[(1, "https://example.com/a", "example.com", "pending", THEN)])
    make_file(HOSTS, name="token_usage.db", hosts=[(1, "Anthropic", None, THEN)])
    make_file("CREATE TABLE tasks (id INTEGER)", name="agentlab.db")
    with caplog.at_level(logging.WARNING, "agent_system.importers"):
        found = await init_database(migrated_url, folder=tmp_path)
    assert [path.name for path in found] == ["token_usage.db", "links.db", "agentlab.db"]
    assert "agent-system import legacy" in caplog.text

    early = await cleanup_old_databases(migrated_url, folder=tmp_path)
    assert (early.renamed, set(early.left.values())) == ({}, {"1 rows of it are not here yet"})

    done = await migrate_existing_databases(migrated_url, folder=tmp_path)
    assert done.is_complete
    assert [report.total("written") for report in done.files] == [1, 1]
    again = await migrate_existing_databases(migrated_url, folder=tmp_path)
    assert [report.total("written") for report in again.files] == [0, 0]

    contents = {name: (tmp_path / name).read_bytes() for name in ("links.db", "token_usage.db")}
    tidy = await cleanup_old_databases(migrated_url, folder=tmp_path)
    assert tidy.left == {}
    for name, content in contents.items():
        assert not (tmp_path / name).exists()
        assert (tmp_path / f"{name}.backup").read_bytes() == content

    make_file(LINKS, name="links.db")
    refused = await cleanup_old_databases(migrated_url, folder=tmp_path)
    assert list(refused.left.values()) == ["links.db.backup is there already"]
