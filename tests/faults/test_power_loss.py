"""The power goes at any moment of a recorded run: at durability full nothing acknowledged is lost; nothing is torn."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.engine import make_url

from tests import requirements as requires
from tests.faults.disk import Disk, everything, nothing, some
from tests.faults.shim import File, Operation, read_record, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.disk import Keep
    from tests.faults.report import Teller
    from tests.faults.shim import Entry

# Processes are started and ended here: on a machine that is busy with other tests too it takes its time.
pytestmark = pytest.mark.timeout(240)

TITLES = 100
MANY_TITLES = 1_000
# How many moments are tried of each kind: right after a sync, and anywhere.
MOMENTS = 60
MANY_MOMENTS = 4_000

HALVES = {
    "an agent without its event": "SELECT 1 FROM agents WHERE NOT EXISTS (SELECT 1 FROM events"
    " WHERE event_type = 'agent.created' AND entity_id = agents.id)",
    "one task of two": "SELECT 1 FROM tasks GROUP BY substr(instruction, 1, instr(instruction, ' first')"
    " + instr(instruction, ' second')) HAVING count(*) <> 2",
    "a message that its conversation does not count": "SELECT 1 FROM conversations"
    " WHERE message_count <> (SELECT count(*) FROM messages WHERE conversation_id = conversations.id)",
    "a broken reference": "SELECT 1 FROM pragma_foreign_key_check",
}
TOLD = """
    SELECT name FROM agents UNION ALL SELECT content FROM memories UNION ALL SELECT content FROM messages
    UNION ALL SELECT replace(instruction, ' first', '') FROM tasks WHERE instruction LIKE '% first'
"""


def titles_left(path: Path) -> set[str]:
    """Open what the power has left, as the next start would, and return what was written; half of it is an error."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for half, query in HALVES.items():
            assert connection.execute(query).fetchone() is None, half
        connection.execute("INSERT INTO memories_fts (memories_fts) VALUES ('integrity-check')")
        return {title for (title,) in connection.execute(TOLD)}


def moments(entries: list[Entry], luck: random.Random, most: int) -> dict[int, list[Keep]]:
    """Choose the entries after which the power goes, and what is left of the writes that were not synced."""
    syncs = [number for number, entry in enumerate(entries) if entry.operation is Operation.SYNC]
    chosen: dict[int, list[Keep]] = {}
    for number in luck.sample(syncs, min(most, len(syncs))):
        chosen.setdefault(number, []).append(nothing)
    for number in luck.sample(range(len(entries)), min(most, len(entries))):
        chosen.setdefault(number, []).append(some(luck))
    chosen.setdefault(len(entries) - 1, []).extend([nothing, everything])
    return chosen


def losses(before: bytes, entries: list[Entry], titles: list[str], path: Path, most: int) -> Iterator[set[str]]:
    """Yield for each power loss what had been acknowledged and is not there."""
    disk = Disk({File.DATABASE: bytearray(before), File.WAL: bytearray()})
    chosen = moments(entries, random.Random(most), most)
    acknowledged: set[str] = set()
    for number, entry in enumerate(entries):
        disk.play(entry)
        if entry.operation is Operation.MARK:
            acknowledged.add(titles[entry.offset])
        for keep in chosen.get(number, ()):
            disk.leave(path, keep)
            path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
            yield acknowledged - titles_left(path)


def replay(url: str, shim: Path, durability: str, amounts: tuple[int, int], tell: Teller) -> int:
    """Record a run and take its power away at many moments; returns how many acknowledged writes were lost."""
    path = Path(str(make_url(url).database))
    before, record = path.read_bytes(), path.with_name("record")
    output = run_program("writes_on_record", path, durability, amounts[0], shim=shim, database=path, record=record)
    entries, titles = read_record(record), json.loads(output)
    lost = list(losses(before, entries, titles, path.with_name("left.db"), amounts[1]))

    assert sum(entry.operation is Operation.MARK for entry in entries) >= amounts[0]
    assert any(entry.file is File.DATABASE and entry.operation is Operation.SYNC for entry in entries), "no checkpoint"
    most = max(map(len, lost))
    tell(f"power loss, durability {durability}", trials=len(lost), acknowledged=len(titles), lost=most)
    return most


@requires.database_file
def test_at_durability_full_no_acknowledged_write_is_lost_by_a_power_loss(
    migrated_sqlite_url: str, shim: Path, tell: Teller
) -> None:
    assert replay(migrated_sqlite_url, shim, "full", (TITLES, MOMENTS), tell) == 0


@requires.database_file
def test_at_durability_normal_a_power_loss_tears_nothing(migrated_sqlite_url: str, shim: Path, tell: Teller) -> None:
    # What was acknowledged last may be gone; that some of it is shows that the replay does take the power away.
    assert replay(migrated_sqlite_url, shim, "normal", (TITLES, MOMENTS), tell) > 0


@requires.database_file
@pytest.mark.full
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("durability", ["full", "normal"])
def test_a_power_loss_at_any_moment_of_a_long_run(
    migrated_sqlite_url: str, shim: Path, durability: str, tell: Teller
) -> None:
    lost = replay(migrated_sqlite_url, shim, durability, (MANY_TITLES, MANY_MOMENTS), tell)
    assert durability == "normal" or lost == 0
