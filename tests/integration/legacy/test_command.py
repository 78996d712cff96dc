"""`agent-system import legacy` as a shell sees it."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeFile = Callable[..., Path]
    Command = Callable[..., tuple[int, str, str]]

LINKS = "CREATE TABLE links (id INTEGER PRIMARY KEY, url TEXT, domain TEXT, analysis_status TEXT, created_at DATETIME)"
ROWS = [(1, "https://example.com/a", "example.com", "pending", "2025-06-01 17:00:00")]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return what runs a command in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agent-system", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            run()
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return call


@pytest.fixture
def old(make_file: MakeFile) -> Path:
    """Return an old database with a row that can be brought over and one that cannot."""
    path = make_file(LINKS, links=ROWS)
    with closing(sqlite3.connect(path)) as connection, connection:
        # What is no UTF-8 can be in a file all the same.
        connection.execute(
            "INSERT INTO links SELECT 2, CAST(x'6674703a2f2fff' AS TEXT), domain, 'pending', NULL FROM links"
        )
    return path


def test_an_import_tells_what_became_of_every_row(
    command: Command, migrated_url: str, old: Path, tmp_path: Path
) -> None:
    rejected = tmp_path / "rejected.csv"
    code, out, _ = command("--url", migrated_url, "import", "legacy", old, "--rejected", rejected)
    assert code == 0
    assert "rejected: links.url has to begin with http:// or https://" in out
    with rejected.open(newline="") as file:
        header, row = csv.reader(file)
    assert header == ["file", "table", "row", "reason", "values"]
    assert row[1:3] == ["links", "2"]
    assert json.loads(row[4])["id"] == 2

    code, out, _ = command("import", "legacy", old, "--json", "--url", migrated_url)
    (report,) = json.loads(out)
    (links,) = [table for table in report["tables"] if table["table"] == "links"]
    assert (code, links["read"], links["written"], links["skipped"], links["rejected"]) == (0, 2, 0, 1, 1)
    assert links["reasons"]["rejected"][0]["rows"] == [2]


def test_a_preview_makes_no_database(command: Command, old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    code, out, _ = command("--url", new, "import", "legacy", old, "--dry-run", "--timezone", "Asia/Jakarta")
    assert code == 0
    assert "preview, nothing was written" in out
    assert not new.exists()


def test_what_is_no_old_database_is_one_line_and_the_others_are_imported(
    command: Command, migrated_sqlite_url: str, old: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.db"
    wrong.write_text("no database at all, but long enough to have a header")
    code, out, err = command("--url", migrated_sqlite_url, "import", "legacy", wrong, old)
    assert (code, err.count("\n")) == (8, 1)
    assert "is no SQLite database" in err
    assert "links" in out
    assert command("--url", migrated_sqlite_url, "import", "legacy", old, "--timezone", "Mars")[0] == 3
