"""Files that are no databases, broken ones, and those we may not write: each gets an error that says what to do."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_system.database import DatabaseManager
from agent_system.errors import (
    DatabaseCorruptError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    MigrationError,
)
from tests import requirements as requires
from tests.integration.engine.notes import add, count, read_titles, run_sql
from tests.integration.engine.processes import Child

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

pytestmark = requires.database_file

PAGE_BYTES = 4096


async def connect(path: object, *, auto_migrate: bool = True) -> None:
    async with DatabaseManager(str(path), auto_migrate=auto_migrate):
        pass


async def test_a_folder_instead_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="is a folder"):
        await connect(tmp_path)


async def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    await connect(tmp_path / "not" / "yet" / "there" / "system.db")


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(DatabaseUnavailableError, match="cannot be made"):
        await connect(tmp_path / "a file" / "system.db")


@pytest.mark.parametrize("auto_migrate", [True, False])
@pytest.mark.parametrize("content", [b"a letter to my mother\n" * 500, b"\0" * 10_000, b"%PDF-1.7 and so on"])
async def test_a_file_of_another_kind_is_told_and_left_alone(
    tmp_path: Path,
    content: bytes,
    auto_migrate: bool,  # noqa: FBT001 (a case of the test)
) -> None:
    path = tmp_path / "letter.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseCorruptError, match="restore"):
        await connect(path, auto_migrate=auto_migrate)

    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


async def test_a_database_of_another_program_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
        connection.commit()
    content = path.read_bytes()
    with pytest.raises(MigrationError, match="theirs"):
        await connect(path)

    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


async def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    async with DatabaseManager(path) as db:
        assert await db.read(run_sql("SELECT 1")) == [(1,)]


@pytest.fixture
async def filled_path(db: DatabaseManager) -> Path:
    """Return a closed database with rows on many pages."""
    for number in range(50):
        await db.write(add(f"{number} {'x' * 2_000}"))
    await db.disconnect()
    return Path(str(db.url.database))


async def test_a_damaged_page_is_told_when_it_is_read_and_nothing_else_suffers(filled_path: Path) -> None:
    damage(filled_path)
    async with DatabaseManager(filled_path, auto_migrate=False) as db:
        with pytest.raises(DatabaseCorruptError, match="restore the newest backup"):
            await db.read(read_titles)
        assert await db.read(run_sql("SELECT count(*) FROM replies")) == [(0,)]
        assert (await db.health()).cold_storage_connected


async def test_a_write_that_meets_a_damaged_page_is_told(filled_path: Path) -> None:
    damage(filled_path)
    async with DatabaseManager(filled_path, auto_migrate=False) as db:
        with pytest.raises(DatabaseCorruptError, match="restore the newest backup"):
            await db.write(run_sql("UPDATE notes SET amount = amount + 1"))


def damage(path: Path) -> None:
    """Overwrite the last pages, which belong to the table that was filled last."""
    content = bytearray(path.read_bytes())
    content[-10 * PAGE_BYTES :] = b"\xa5" * (10 * PAGE_BYTES)
    path.write_bytes(content)


async def test_a_damaged_schema_is_told_at_once(filled_path: Path) -> None:
    content = bytearray(filled_path.read_bytes())
    content[100:PAGE_BYTES] = b"\xa5" * (PAGE_BYTES - 100)
    filled_path.write_bytes(content)
    with pytest.raises(DatabaseCorruptError, match="restore the newest backup"):
        await connect(filled_path)


async def test_a_file_that_was_cut_off_is_told(filled_path: Path) -> None:
    content = filled_path.read_bytes()
    filled_path.write_bytes(content[: PAGE_BYTES * 3])
    with pytest.raises(DatabaseCorruptError, match="restore the newest backup"):
        await read_everything(filled_path)


async def read_everything(path: Path) -> None:
    async with DatabaseManager(path, auto_migrate=False) as db:
        await db.read(read_titles)


async def test_a_read_only_url_reads_and_refuses_to_write(db: DatabaseManager) -> None:
    await db.write(add("one"))
    url = db.url.update_query_dict({"mode": "ro"})
    async with DatabaseManager(url.render_as_string(), auto_migrate=False) as reading:
        assert await reading.read(read_titles) == ["one"]
        for _ in range(2):
            with pytest.raises(DatabaseReadOnlyError, match="permissions"):
                await reading.write(add("two"))
            with pytest.raises(DatabaseReadOnlyError, match="permissions"):
                async with reading.transaction():
                    await reading.write(add("two"))
        assert await reading.read(count) == 1

    assert await db.read(read_titles) == ["one"]


async def test_a_read_only_url_works_when_nobody_else_has_the_file_open(filled_path: Path) -> None:
    async with DatabaseManager(f"sqlite:///{filled_path}?mode=ro", auto_migrate=False) as db:
        assert await db.read(count) == 50
        with pytest.raises(DatabaseReadOnlyError):
            await db.write(add("two"))


async def test_a_read_only_url_without_a_file_is_told_and_makes_none(sqlite_path: Path) -> None:
    with pytest.raises((DatabaseUnavailableError, DatabaseReadOnlyError, MigrationError)):
        await connect(f"sqlite:///{sqlite_path}?mode=ro")

    assert not sqlite_path.exists()


@pytest.fixture(scope="module")
def filled_template(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a closed database with three rows."""
    path = Path(shutil.copy(sqlite_template, tmp_path_factory.mktemp("filled") / "system.db"))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (title TEXT, amount INTEGER)")
        connection.execute("INSERT INTO notes VALUES ('one', 1), ('two', 2), ('three', 3)")
        connection.commit()
    return path


@pytest.fixture(scope="module")
def answers(filled_template: Path) -> Iterator[dict[str, dict[str, str]]]:
    """Let an unprivileged user try files and folders with all kinds of permissions; yields what he was told of each."""
    # Everybody may enter it, unlike pytest's own.
    root = Path(tempfile.mkdtemp(prefix="agent_system_permissions_"))
    root.chmod(0o755)
    for name, (folder_mode, file_mode) in PERMISSIONS.items():
        folder = root / name
        folder.mkdir()
        if file_mode is not None:
            shutil.copy(filled_template, folder / "system.db")
            (folder / "system.db").chmod(file_mode)
        folder.chmod(folder_mode)
    paths = {name: root / name / "system.db" for name in PERMISSIONS} | {
        "folder that may not be made": root / "new folder" / "system.db"
    }
    told = asyncio.run(_answers_of_an_unprivileged_user(paths.values()))
    yield dict(zip(paths, told, strict=True))
    shutil.rmtree(root)


# Of the folder and of the file in it; None: there is no file.
PERMISSIONS = {
    "file that may be read": (0o777, 0o444),
    "file in a folder that may be read": (0o555, 0o644),
    "file that may not be read": (0o755, 0o000),
    "new file in a folder that may be read": (0o555, None),
}


async def _answers_of_an_unprivileged_user(paths: Iterable[Path]) -> list[dict[str, str]]:
    child = await Child.start("unprivileged.py", *paths)
    return await child.finish()


def test_a_file_that_may_only_be_read_is_read_and_refuses_writes(answers: dict[str, dict[str, str]]) -> None:
    told = answers["file that may be read"]

    assert told["read"] == "3 rows"
    assert told["write"].startswith("DatabaseReadOnlyError: The database cannot be written to: check the permissions")


def test_a_file_in_a_folder_that_may_only_be_read_is_told(answers: dict[str, dict[str, str]]) -> None:
    for answer in answers["file in a folder that may be read"].values():
        assert answer.startswith(("DatabaseReadOnlyError", "DatabaseUnavailableError"))
        assert "check the p" in answer


def test_a_file_that_may_not_even_be_read_is_told(answers: dict[str, dict[str, str]]) -> None:
    for answer in answers["file that may not be read"].values():
        assert answer.startswith("DatabaseUnavailableError")


def test_a_new_file_in_a_folder_that_may_only_be_read_is_told(answers: dict[str, dict[str, str]]) -> None:
    assert answers["new file in a folder that may be read"]["connect"].startswith("DatabaseUnavailableError")


def test_a_folder_that_may_not_be_made_is_told(answers: dict[str, dict[str, str]]) -> None:
    assert answers["folder that may not be made"]["connect"].startswith("DatabaseUnavailableError: the folder")
