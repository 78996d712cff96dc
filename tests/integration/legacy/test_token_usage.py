"""Seed 000's ledger: what its own migration loses, doubles and books under the wrong project."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import ImportFileError
from agent_system.importers.legacy import import_legacy
from agent_system.types import UsageState
from tests import requirements as requires

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent_system.entity_manager import EntityManager
    from agent_system.importers.legacy import FileReport

    MakeFile = Callable[..., Path]

TABLES = (
    "CREATE TABLE projects (id INTEGER PRIMARY KEY, name TEXT, description TEXT, created_at TIMESTAMP)",
    "CREATE TABLE hosts (id INTEGER PRIMARY KEY, name TEXT, base_url TEXT, created_at TIMESTAMP)",
    """CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT, host_id INTEGER, input_cost_per_1k REAL,
       output_cost_per_1k REAL, created_at TIMESTAMP)""",
    """CREATE TABLE token_usage (id INTEGER PRIMARY KEY, timestamp TIMESTAMP, project_id INTEGER, model_id INTEGER,
       input_tokens INTEGER, output_tokens INTEGER, total_tokens INTEGER, cost_usd REAL, request_id TEXT, user_id TEXT,
       created_at TIMESTAMP)""",
)
THEN = "2025-06-01 10:00:00"
MOMENT = datetime(2025, 6, 1, 10, tzinfo=UTC)


def call(number: int, project: int = 5, model: int = 7, **columns: Any) -> tuple[Any, ...]:
    """A row of token_usage; numbers have gaps, as INSERT OR IGNORE left them in the real files."""
    row = {
        "id": number,
        "timestamp": THEN,
        "project_id": project,
        "model_id": model,
        "input_tokens": 100,
        "output_tokens": 10,
        "total_tokens": 110,
        "cost_usd": 0.024,
        "request_id": None,
        "user_id": "u",
        "created_at": THEN,
    }
    return tuple((row | columns).values())


@pytest.fixture
def make(make_file: MakeFile) -> MakeFile:
    """Return what makes a token_usage.db with these calls."""

    def make_ledger(*calls: tuple[Any, ...], name: str = "token_usage.db", project: str = "demo_project") -> Path:
        return make_file(
            *TABLES,
            name=name,
            projects=[(5, project, None, THEN), (9, "other", None, THEN)],
            hosts=[(3, "Anthropic", None, THEN), (25, "anthropic", "https://api.anthropic.com", THEN)],
            models=[(7, "opus", 3, 0.015, 0.075, THEN), (81, "opus", 25, None, None, THEN)],
            token_usage=calls,
        )

    return make_ledger


def counts(report: FileReport) -> dict[str, tuple[int, int, int, int, int]]:
    return {t.table: (t.read, t.written, t.merged, t.skipped, t.rejected) for t in report.tables}


async def test_every_row_goes_to_its_own_project_and_model(em: EntityManager, make: MakeFile) -> None:
    await em.projects.create({"name": "someone_elses_project"})
    report = await import_legacy(em, make(call(1), call(2, project=9), call(3, model=81)))
    assert counts(report) == {
        "projects": (2, 2, 0, 0, 0),
        "hosts": (2, 1, 1, 0, 0),
        "models": (2, 1, 1, 0, 0),
        "token_usage": (3, 3, 0, 0, 0),
    }
    by_project = {each.project: each.summary.cost_usd for each in await em.token_usage.by_project()}
    assert by_project == pytest.approx({"demo_project": 0.048, "other": 0.024})
    host = await em.hosts.find_one(name_key="anthropic")
    assert host is not None
    assert (host.name, host.base_url) == ("Anthropic", "https://api.anthropic.com")


async def test_a_second_import_adds_nothing_and_another_file_is_merged(em: EntityManager, make: MakeFile) -> None:
    path = make(call(1), call(2))
    await import_legacy(em, path)
    again = await import_legacy(em, path)
    assert (again.total("written"), again.total("skipped"), again.total("read")) == (0, 8, 8)
    # The old program went on, and another machine had a file of its own.
    grown = await import_legacy(em, make(call(4, input_tokens=1), name="grown.db"))
    other = await import_legacy(em, make(call(1, request_id="r"), name="other.db", project="Demo_Project "))
    assert (grown.total("written"), other.total("written"), other.tables[0].merged) == (1, 1, 1)
    assert await em.token_usage.count() == 4
    assert await em.projects.count() == 2


async def test_what_cannot_be_read_is_kept_and_told(em: EntityManager, make: MakeFile) -> None:
    path = make(
        call(1, timestamp="not a timestamp", cost_usd="n/a"),
        call(2, timestamp=1748736000, input_tokens="12", total_tokens=22),
        call(3, input_tokens=-5, output_tokens=3.5, cost_usd=-1.0, total_tokens=None),
        call(4, request_id=b"\xff\xfe", timestamp="2025-06-01T17:00:00+07:00"),
        call(5, model=8888, project=9999, request_id="nul\0inside"),
    )
    report = await import_legacy(em, path)
    rows = await em.token_usage.find()
    assert rows[0].timestamp == MOMENT
    assert rows[0].meta == {"legacy": {"timestamp": "not a timestamp", "cost_usd": "n/a"}}
    assert (rows[0].cost_usd, rows[0].cost_source) == (None, None)
    assert (rows[1].timestamp, rows[1].input_tokens) == (datetime(2025, 6, 1, tzinfo=UTC), 12)
    assert (rows[2].input_tokens, rows[2].output_tokens, rows[2].usage_state) == (None, None, UsageState.MISSING)
    assert (rows[3].timestamp, rows[3].request_id) == (MOMENT, "fffe")
    assert (rows[4].project_id, rows[4].request_id) == (None, "nul\0inside")
    model = await em.models.require(rows[4].model_id)
    assert (model.name, rows[4].meta["legacy"]) == ("unknown", {"project_id": 9999, "model_id": 8888})
    ledger = report.tables[-1]
    assert (ledger.repaired, ledger.orphaned) == (3, 1)
    assert [(why, each.rows) for why, each in ledger.reasons["orphaned"].items()] == [
        ("project_id: refers to a row of projects that is not there", [5]),
        ("model_id: refers to a row of models that is not there", [5]),
    ]


async def test_calls_with_one_request_id_are_attempts(em: EntityManager, make: MakeFile) -> None:
    await import_legacy(em, make(*(call(number, request_id="r") for number in (1, 2, 3))))
    await import_legacy(em, make(call(9, request_id="r"), name="other.db"))
    assert [row.attempt for row in await em.token_usage.find(request_id="r")] == [1, 2, 3, 4]


async def test_a_preview_tells_the_same_and_keeps_nobody_from_writing(em: EntityManager, make: MakeFile) -> None:
    path = make(call(1), call(2, project=9999))
    async with em.db.transaction():
        await em.agents.create({"name": "at work"})
        preview = await import_legacy(em, path, dry_run=True)
    assert await em.token_usage.count() == await em.projects.count() == 0
    done = await import_legacy(em, path)
    assert preview.is_preview
    assert counts(preview) == counts(done)


async def test_a_row_that_the_database_refuses_is_alone_in_being_refused(em: EntityManager, make: MakeFile) -> None:
    # PostgreSQL has no room for such a name in an index.
    path = make(call(1), call(2, project=9), project="x" * 20_000 + "".join(map(chr, range(0x400, 0x4000))))
    report = await import_legacy(em, path)
    assert report.is_reconciled
    assert await em.projects.exists(name_key="other")
    projects, calls = report.tables[0], report.tables[-1]
    assert (calls.written, calls.orphaned) == (2, projects.rejected)
    assert (await import_legacy(em, path)).total("written") == 0


async def test_two_imports_at_once_bring_every_row_once(em: EntityManager, make: MakeFile) -> None:
    path = make(*(call(number, request_id=f"r{number % 7}") for number in range(1, 40)))
    both = await asyncio.gather(import_legacy(em, path), import_legacy(em, path))
    assert await em.token_usage.count() == 39
    assert sum(report.tables[-1].written for report in both) == 39
    assert all(report.is_reconciled for report in both)
    assert await em.projects.count() == 2


@requires.database_file
async def test_the_file_is_not_touched(em: EntityManager, make: MakeFile) -> None:
    path = make(call(1))
    before = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns
    path.chmod(0o400)
    folder = path.parent
    names = sorted(folder.iterdir())
    report = await import_legacy(em, path)
    assert report.is_unchanged
    assert (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) == before
    assert sorted(folder.iterdir()) == names


@requires.database_file
async def test_what_is_no_old_database_is_refused(em: EntityManager, make_file: MakeFile, tmp_path: Path) -> None:
    text = tmp_path / "notes.db"
    text.write_text("no database at all, but long enough to have a header")
    for path, why in (
        (text, "is no SQLite database"),
        (tmp_path / "missing.db", "No such file"),
        (make_file("CREATE TABLE birds (id INTEGER PRIMARY KEY)"), "belong to none of the systems"),
    ):
        with pytest.raises(ImportFileError, match=why):
            await import_legacy(em, path)
    empty = tmp_path / "empty.db"
    empty.touch()
    assert (await import_legacy(em, empty)).tables == []
