"""Child processes that touch database files.

Closing any descriptor of a SQLite file drops the locks that the process holds on it, so that copying, hashing and
checking a file happen in a process that is not connected. The child gets a JSON request and prints a JSON answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agent_system import errors

__all__ = ["ask"]

PACKAGES = ("agent_system", "agent_system.backup", "agent_system.database")
# The packages' own modules would load SQLAlchemy, pydantic and alembic for a program that needs nothing but the driver:
# 1.1 s instead of 0.05.
PROGRAM = """
import sys, types
for name, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [folder]
from agent_system.backup.program import main
main()
"""


async def ask(verb: str, **arguments: Any) -> dict[str, Any]:
    """Let a child process do something with database files, and return what it tells.

    A cancelled caller ends the child; what it had not finished leaves nothing.

    Raises:
        AgentSystemError: What the child raised.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *_folders(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, problems = await process.communicate(json.dumps({"verb": verb, **arguments}).encode())
    finally:
        if process.returncode is None:
            # SIGTERM becomes SystemExit there, so that its unfinished files are removed.
            process.terminate()
            await asyncio.shield(process.wait())
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError:
        message = (
            f"the copying process ended with code {process.returncode}: {problems.decode(errors='replace')[-500:]}"
        )
        raise errors.BackupError(message) from None
    if "error" in answer:
        kind: type[errors.AgentSystemError] = getattr(errors, answer["error"], errors.BackupError)
        raise kind(answer["message"])
    return answer


def _folders() -> list[str]:
    root = Path(__file__).parents[1]
    return [part for name in PACKAGES for part in (name, str(root.joinpath(*name.split(".")[1:])))]
