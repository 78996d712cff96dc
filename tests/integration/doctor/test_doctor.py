"""The doctor finds what is wrong, says how much it matters, and mends only what loses nothing."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from agent_system import DatabaseManager, EntityManager
from agent_system.database.migrations import run_migrations
from agent_system.database.mounts import mount_of
from agent_system.doctor import Severity, examine, examine_url

if TYPE_CHECKING:
    from agent_system.doctor import Report


@pytest.fixture
def path(migrated_sqlite_url: str) -> Path:
    path = Path(str(make_url(migrated_sqlite_url).database))
    path.chmod(0o600)
    return path


def raw(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def found(report: Report, check: str) -> list[tuple[Severity, str]]:
    return [(finding.severity, finding.message) for finding in report.findings if finding.check == check]


async def with_rows(url: str) -> None:
    async with DatabaseManager(url) as db:
        em = EntityManager(db)
        conversation = await em.conversations.create({"title": "one"})
        await em.messages.append_many(conversation.id, [{"role": "user", "content": "Hello \ud800"}] * 3)
        await em.agents.create({"name": "one", "capabilities": ["a\0b"]})


async def test_a_healthy_database_has_nothing_to_mend(migrated_url: str) -> None:
    await with_rows(migrated_url)
    async with DatabaseManager(migrated_url, auto_migrate=False) as db:
        report = await examine(db)

    assert [finding for finding in report.findings if finding.check not in {"library", "permissions"}] == []
    assert {"revision", "json", "moments", "counts", "work"} <= set(report.checks)


async def test_a_row_that_refers_to_nothing_is_an_error(path: Path) -> None:
    raw(path, "INSERT INTO agents (id, user_id, name, name_key) VALUES ('x', 'nobody', 'a', 'a')")
    report = await examine_url(str(path))
    assert [severity for severity, _ in found(report, "references")] == [Severity.ERROR]
    assert report.worst is Severity.ERROR


async def test_malformed_json_is_named_with_its_row(path: Path) -> None:
    await with_rows(str(path))
    raw(path, "UPDATE agents SET capabilities = '[broken'")
    ((severity, message),) = found(await examine_url(str(path)), "json")
    assert severity is Severity.WARNING
    assert message.startswith("agents.capabilities is no JSON in 1 rows")


@pytest.mark.parametrize("fix", [False, True])
async def test_wrong_counts_are_mended(migrated_url: str, fix: bool) -> None:  # noqa: FBT001
    await with_rows(migrated_url)
    async with DatabaseManager(migrated_url) as db:
        await db.write(lambda executor: executor.execute(text("UPDATE conversations SET message_count = 7")).close())
        report = await examine(db, fix=fix)
        (conversation,) = await EntityManager(db).conversations.find()

    assert conversation.message_count == (3 if fix else 7)
    assert len(found(report, "counts")) == (0 if fix else 1)
    assert len(report.fixed) == (1 if fix else 0)


async def test_a_moment_in_the_future_is_a_warning(migrated_url: str) -> None:
    await with_rows(migrated_url)
    async with DatabaseManager(migrated_url) as db:
        report = await examine(db, clock=lambda: datetime.now(UTC) - timedelta(days=1))
    assert {severity for severity, _ in found(report, "moments")} == {Severity.WARNING}
    assert any(message.startswith("messages.created_at") for _, message in found(report, "moments"))


async def test_a_damaged_page_is_an_error(path: Path) -> None:
    await with_rows(str(path))
    connection = sqlite3.connect(path)
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'idx_messages_created_at'").fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 + 8 : (root - 1) * 4096 + 40] = b"\xff" * 32
    path.write_bytes(content)

    report = await examine_url(str(path))

    assert report.worst is Severity.ERROR
    assert found(report, "integrity")


async def test_a_file_that_is_no_database_is_an_error(path: Path) -> None:
    path.write_bytes(b"no database" * 1_000)
    assert (await examine_url(str(path))).worst is Severity.ERROR


async def test_a_schema_that_was_changed_by_hand_is_an_error(path: Path) -> None:
    raw(path, "DROP INDEX idx_messages_created_at")
    report = await examine_url(str(path))
    assert any("idx_messages_created_at" in message for _, message in found(report, "schema"))


async def test_an_unfinished_migration_is_told(path: Path) -> None:
    await run_migrations(path, target_version=8)
    report = await examine_url(str(path))
    assert [severity for severity, _ in found(report, "migration")] == [Severity.WARNING]


async def test_a_second_name_and_open_permissions_are_told(path: Path) -> None:
    os.link(path, path.with_name("second.db"))
    path.chmod(0o644)
    report = await examine_url(str(path))
    assert [severity for severity, _ in found(report, "hard links")] == [Severity.ERROR]
    assert [severity for severity, _ in found(report, "permissions")] == [Severity.WARNING]


LISTING = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:30 / /mnt/shared\\040folder rw - nfs4 server:/export rw
23 21 0:31 / /mnt/shared\\040folder/local rw - ext4 /dev/sdb1 rw
24 21 0:32 / /remote rw - fuse.sshfs me@host: rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "is_network"),
    [
        ("/data/system.db", "ext4", False),
        ("/mnt/shared folder/system.db", "nfs4", True),
        ("/mnt/shared folder/local/system.db", "ext4", False),
        ("/mnt/shared folders/system.db", "ext4", False),
        ("/remote/system.db", "fuse.sshfs", True),
    ],
)
def test_the_mount_of_a_path_is_the_nearest_one(path: str, kind: str, is_network: bool) -> None:  # noqa: FBT001
    mount = mount_of(Path(path), LISTING)
    assert mount is not None
    assert (mount.kind, mount.is_network) == (kind, is_network)
