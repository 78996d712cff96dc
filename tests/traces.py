"""Looking for traces of a text in the files of a database that is open."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager

# In a process of its own: closing a file of an open database takes SQLite's locks away.
SEARCH = """
import json, pathlib, sys
folder, *texts = sys.argv[1:]
wanted = [text.encode() for text in texts]
files = [path for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()]
print(json.dumps({path.name: sum(path.read_bytes().count(one) for one in wanted) for path in files}))
"""


async def count_in_files(database: DatabaseManager, *texts: str) -> dict[str, int]:
    """Return how often one of the texts stands in each of the files beside a SQLite database, its log among them."""
    folder = Path(str(database.url.database)).parent
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SEARCH, str(folder), *texts, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    counts: dict[str, int] = json.loads(output)
    return counts
