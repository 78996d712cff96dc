"""Another process with the database file open: does what it is told, a line of JSON at a time, and answers with one.

It uses the plain driver, as any other program may. Commands: {"sql": ...} answers {"rows": ...} or {"error": ...};
{"open_and_close": path} reads a file as innocent code does; {"close": true} closes the connection.
"""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path


def main(path: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    connection.execute("PRAGMA foreign_keys = ON")
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(connection, json.loads(line))), flush=True)


def _answer(connection: sqlite3.Connection, command: dict[str, str]) -> dict[str, object]:
    if "open_and_close" in command:
        return {"bytes": len(Path(command["open_and_close"]).read_bytes())}
    if "close" in command:
        connection.close()
        return {"closed": True}
    try:
        return {"rows": connection.execute(command["sql"]).fetchall()}
    except sqlite3.Error as exc:
        return {"error": exc.sqlite_errorname}


main(sys.argv[1])
