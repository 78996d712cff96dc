"""Export: seed 000's ten columns first, the newest call first, exact, and in pieces."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import ValidationError
from agent_system.managers.ledger import export

if TYPE_CHECKING:
    from pathlib import Path

    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEED_000 = [
    "timestamp", "project", "host", "model", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "request_id",
    "user_id",
]  # fmt: skip
AWKWARD = 'a,"b"\n\r;\ttelegram_bot — проект 🚀\ud800\0'


async def text_of(em: EntityManager, *arguments: Any, **filters: Any) -> str:
    return "".join([chunk async for chunk in em.token_usage.export(*arguments, **filters)])


async def fill(em: EntityManager, count: int) -> None:
    names: Any = {"project": "p", "host": "h", "model": "m", "input_tokens": 10, "output_tokens": 5}
    # Some at the same time, so that the order needs a tie-break.
    await em.token_usage.log_many(
        [{**names, "timestamp": NOON + timedelta(seconds=n // 3), "request_id": f"r{n}"} for n in range(count)]
    )


async def test_csv_has_the_seeds_columns_first_and_exact_costs(em: EntityManager) -> None:
    await em.models.set_price("m", "h", input_usd_per_million="0.07", output_usd_per_million=0, valid_from=NOON)
    tokens: Any = {"model": "m", "host": "h", "input_tokens": 10, "output_tokens": 5}
    await em.token_usage.log_usage(**tokens, project=AWKWARD, user_id=AWKWARD, request_id="r", timestamp=NOON)
    await em.token_usage.log_usage(timestamp=NOON + timedelta(hours=1), metadata={"a": [1]}, success=False)
    rows = list(csv.DictReader(io.StringIO(await text_of(em), newline="")))
    assert list(rows[0])[:10] == SEED_000
    newest, oldest = rows
    assert newest["timestamp"] == "2026-03-01T13:00:00+00:00"
    assert [newest[name] for name in ("cost_usd", "project", "input_tokens", "success")] == ["", "", "", "false"]
    assert json.loads(newest["metadata"]) == {"a": [1]}
    assert (oldest["project"], oldest["user_id"], oldest["host"], oldest["model"]) == (AWKWARD, AWKWARD, "h", "m")
    assert (oldest["cost_usd"], oldest["cost_nano_usd"], oldest["total_tokens"]) == ("0.000000700", "700", "15")


async def test_json_lines_are_objects_of_the_same_columns(em: EntityManager) -> None:
    await fill(em, 3)
    await em.token_usage.log_usage(project=AWKWARD, raw_usage={"n": [AWKWARD]}, timestamp=NOON)
    lines = (await text_of(em, "jsonl")).splitlines()
    rows = [json.loads(line) for line in lines]
    assert list(rows[0]) == list(export.COLUMNS)
    assert rows[0]["project"] == AWKWARD
    assert rows[0]["raw_usage"] == {"n": [AWKWARD]}
    assert rows[1]["cost_usd"] is None
    assert [row["request_id"] for row in rows] == [None, "r2", "r1", "r0"]
    assert datetime.fromisoformat(rows[0]["timestamp"]) == NOON


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
async def test_pages_neither_repeat_nor_skip(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    monkeypatch.setattr(export, "PAGE", 4)
    await fill(em, 20)
    text = await text_of(em, file_format)
    rows: Any = csv.DictReader(io.StringIO(text)) if file_format == "csv" else map(json.loads, text.splitlines())
    assert [row["request_id"] for row in rows] == [f"r{n}" for n in reversed(range(20))]


async def test_filters_say_what_is_exported(em: EntityManager) -> None:
    await fill(em, 6)
    ids = [
        json.loads(line)["request_id"]
        for line in (await text_of(em, "jsonl", until=NOON + timedelta(seconds=1))).split()
    ]
    assert ids == ["r2", "r1", "r0"]
    assert await text_of(em, "jsonl", project="nobody") == ""
    assert (await text_of(em, "csv", where={"request_id": "none"})).split(",")[0] == "timestamp"
    for bad in (("xml",), ("",)):
        with pytest.raises(ValidationError) as caught:
            await text_of(em, *bad)
        assert caught.value.field == "file_format"
    with pytest.raises(ValidationError):
        await text_of(em, "csv", sice=NOON)


async def test_a_file_is_written_whole_or_not_at_all(em: EntityManager, tmp_path: Path) -> None:
    await fill(em, 5)
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / "usage.csv"
    await em.token_usage.export_to(target)
    assert target.read_text() == await text_of(em)
    await em.token_usage.export_to(folder / "usage.JSONL", until=NOON)
    assert (folder / "usage.JSONL").read_text() == ""
    await em.token_usage.export_to(str(target), "jsonl", since=NOON)
    before = target.read_text()
    assert before == await text_of(em, "jsonl")
    for bad in ({"since": datetime(2026, 1, 1)}, {"nobody": 1}):  # noqa: DTZ001 (what is refused)
        with pytest.raises(ValidationError):
            await em.token_usage.export_to(target, **bad)  # type: ignore[arg-type]
    with pytest.raises(ValidationError) as caught:
        await em.token_usage.export_to(folder / "usage.txt")
    assert caught.value.field == "file_format"
    with pytest.raises(OSError, match="missing"):
        await em.token_usage.export_to(tmp_path / "missing" / "usage.csv")
    await em.token_usage.log_usage(project=AWKWARD, timestamp=NOON)
    await em.token_usage.export_to(target)
    assert "\\ud800" in target.read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["usage.JSONL", "usage.csv"]


async def test_a_broken_export_leaves_nothing(
    em: EntityManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(em, 20)
    monkeypatch.setattr(export, "PAGE", 5)
    done = 0

    def fail(*_: Any) -> str:
        nonlocal done
        done += 1
        if done == 3:
            raise KeyboardInterrupt
        return "x"

    monkeypatch.setattr("agent_system.managers.ledger.token_usage.format_rows", fail)
    target = tmp_path / "usage.csv"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        await em.token_usage.export_to(target)
    assert target.read_text() == "old"
    assert not list(tmp_path.glob("*.part"))


async def test_the_database_itself_is_no_target(database: DatabaseManager, em: EntityManager, tmp_path: Path) -> None:
    own = database.url.database or ""
    if database.url.get_backend_name() == "sqlite":
        link = tmp_path / "link.csv"
        link.hardlink_to(own)
        for target in (own, f"{own}-wal", f"{own}-shm", link):
            with pytest.raises(ValidationError) as caught:
                await em.token_usage.export_to(target, "csv")
            assert caught.value.field == "path"
    assert await em.token_usage.count() == 0


async def test_memory_does_not_grow_with_the_ledger(em: EntityManager, tmp_path: Path) -> None:
    await fill(em, 4_000)
    await em.token_usage.export_to(tmp_path / "warm.csv", until=NOON + timedelta(seconds=200))
    tracemalloc.start()
    await em.token_usage.export_to(tmp_path / "usage.csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = (tmp_path / "usage.csv").stat().st_size
    # 500 entries with their rows and their text are 1.5 MB, 4,000 would be 12.
    assert peak < 4_000_000 < size * 12
