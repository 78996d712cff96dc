"""Migrates copies of an old database while the disk is full or broken, and prints what became of each as JSON."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import shutil
import sqlite3
import sys
from contextlib import closing
from typing import Any

from agent_system import AgentSystemError
from agent_system.database.migrations import run_migrations
from tests.faults.shim import FOR_EVER, File, Operation, Orders


def digest(path: str) -> str:
    """Tell the whole content of a database that nobody has open."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return hashlib.sha256("\n".join(connection.iterdump()).encode("utf-8", "surrogatepass")).hexdigest()


async def told(path: str) -> str:
    try:
        await run_migrations(path)
    except AgentSystemError as exc:
        return type(exc).__name__
    return "done"


async def attempt(old: str, path: str, case: list[Any]) -> dict[str, Any]:
    operation, file, error, first = case
    shutil.copyfile(old, path)
    before = digest(path)
    orders = Orders()
    orders.arm(Operation[operation], File[file], getattr(errno, error), first=first, times=FOR_EVER)
    answer = await told(path)
    fired = orders.disarm()
    return {"fired": fired, "answer": answer, "same": digest(path) == before, "afterwards": await told(path)}


async def main(old: str, path: str, cases: str) -> None:
    print(json.dumps([await attempt(old, path, case) for case in json.loads(cases)]))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
