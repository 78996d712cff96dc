"""Child processes that the tests talk with through pipes, so that nothing has to be waited for by the clock."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS = Path(__file__).with_name("programs")
ROOT = Path(__file__).parents[3]


class Child:
    """A running program of the folder `programs`: lines go in and come out."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, program: str, *arguments: object, options: Sequence[str] = ("-W", "error")) -> Child:
        """Start a program; warnings are errors in it."""
        command = [sys.executable, *options, str(PROGRAMS / program), *map(str, arguments)]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT))

    async def hear(self) -> Any:
        """Wait for the next line and return what it says."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the child process has ended: {await self._errors()}")
        return json.loads(line)

    async def tell(self, **command: object) -> Any:
        """Send a command and return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        return await self.hear()

    async def finish(self) -> list[Any]:
        """Wait for the program's end and return the lines that it still wrote; it must not have failed."""
        output, errors = await self.process.communicate()
        assert self.process.returncode == 0, errors.decode()
        return [json.loads(line) for line in output.splitlines()]

    async def kill(self) -> list[Any]:
        """Kill it as the machine would, and return the lines that it still wrote."""
        if self.process.returncode is None:
            self.process.kill()
        output, _ = await self.process.communicate()
        return [json.loads(line) for line in output.splitlines()]

    async def _errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


class OtherProcess:
    """Another process that has the same database file open."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @classmethod
    async def start(cls, path: object) -> OtherProcess:
        """Let it open the file."""
        child = await Child.start("other_process.py", path)
        await child.hear()
        return cls(child)

    async def run(self, sql: str) -> list[Any]:
        """Let it execute a statement that works."""
        answer = await self._child.tell(sql=sql)
        assert "rows" in answer, answer
        return list(answer["rows"])

    async def try_to(self, sql: str) -> str | None:
        """Let it try a statement; returns SQLite's name for the error, or None when it worked."""
        answer = await self._child.tell(sql=sql)
        error = answer.get("error")
        return None if error is None else str(error)

    async def open_and_close(self, path: object) -> None:
        """Let it read a file as any program does."""
        await self._child.tell(open_and_close=str(path))

    async def close(self) -> None:
        """Let it close its connection."""
        await self._child.tell(close=True)

    async def stop(self) -> None:
        """End the process."""
        await self._child.kill()
