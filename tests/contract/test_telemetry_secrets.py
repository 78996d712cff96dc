"""No secret of a tool call, a status or a use of a file reaches the disk, whichever verb writes it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from agent_system.models import metadata
from tests import requirements as requires

if TYPE_CHECKING:
    from agent_system import DatabaseManager, EntityManager

MARK = "Pl4ntedS3cret"
READ = "import sys; print(sum(open(p, 'rb').read().count(sys.argv[1].encode()) for p in sys.argv[2:]))"


async def plant(em: EntityManager) -> None:
    """Tell a secret in every way in which a runtime may."""
    parameters = {"command": f"deploy --token {MARK}", "env": {"API_KEY": MARK}, "body": f'{{"password": "{MARK}"}}'}
    url = f"postgresql://u:{MARK}@host/db"
    task = await em.tasks.create({"instruction": "i"})
    await em.tool_usage.request("c1", "Bash", parameters, meta={"cookie": MARK})
    await em.tool_usage.start("c1", "Bash", parameters, task_id=task.id)
    await em.tool_usage.finish("c1", result={"stdout": f"secret={MARK}"}, error=f"cannot reach {url}")
    await em.tool_usage.finish("c2", tool_name="Bash", parameters=parameters, result=f"Authorization: Bearer {MARK}")
    row = await em.tool_usage.create({"tool_name": "Bash", "parameters": parameters, "error": url, "result": url})
    await em.tool_usage.update(row.id, {"parameters": parameters, "meta": {"token": MARK}})
    await em.tool_usage.upsert({"call_id": "c3", "tool_name": "x", "parameters": parameters}, on=("call_id",))
    await em.tool_usage.upsert({"call_id": "c3", "tool_name": "x", "parameters": parameters}, on=("call_id",))
    await em.tool_usage.create_many([{"tool_name": "Bash", "parameters": parameters, "result": url}] * 3)
    await em.tool_usage.start("c4", "Bash")
    await em.tool_usage.interrupt("c4", f"password={MARK}")
    with pytest.raises(RuntimeError):
        await fail(em, parameters)
    await em.agent_status.record("tool_call", task_id=task.id, message=f"token={MARK}", meta={"password": MARK})
    await em.agent_status.create({"status": "x", "message": url})


async def fail(em: EntityManager, parameters: dict[str, Any]) -> None:
    async with em.tool_usage.recording("Bash", parameters) as recording:
        recording.meta = {"api_key": MARK}
        raise RuntimeError(parameters["command"])


async def test_no_secret_reaches_a_row(em: EntityManager, database: DatabaseManager) -> None:
    await plant(em)
    found = []
    async with database.engine.connect() as connection:
        for table in metadata.sorted_tables:
            rows = (await connection.execute(text(f"SELECT * FROM {table.name}"))).all()
            found += [(table.name, row) for row in rows if MARK in repr(row)]
    assert found == []
    assert await em.tool_usage.count() == 9


@requires.database_file
async def test_no_secret_reaches_the_file_or_its_log(em: EntityManager, database: DatabaseManager) -> None:
    await plant(em)
    path = str(database.url.database)
    # Another process reads: closing a file of ours here would drop the locks.
    files = [path, f"{path}-wal"]
    assert await counted(MARK, files) == 0
    assert await counted("deploy", files) > 0


async def counted(mark: str, files: list[str]) -> int:
    """Count how often a text stands in files, in a process of its own."""
    command = [sys.executable, "-c", READ, mark, *files]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return int(output)
