"""The main job on a new SQLite file: agent runs go in and come out again, and what fails leaves nothing behind.

The runs are the `*.traj` files in AGENT_SYSTEM_SAMPLE_DATA, by default ../shared/data/trajectories where that exists,
or else the one run that the project ships.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from agent_system import DatabaseManager, EntityManager

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_DATA = "AGENT_SYSTEM_SAMPLE_DATA"
DEFAULT_DATA = ROOT.parent / "shared" / "data" / "trajectories"
SHIPPED_RUN = ROOT / "scripts" / "sample_run.traj"
COUNTED = ("projects", "agents", "tools", "tasks", "conversations", "messages", "tool_usage", "token_usage", "events")


def main() -> None:
    """Show everything, and stop with an error where something is not as it should be."""
    folder = Path(tempfile.mkdtemp(prefix="agent_system-demo-"))
    database = folder / "system.db"
    files = sample_files()
    heading(f"A new database: {database}")
    heading(f"1. Agent runs go into it, each in one transaction (files: {len(files)})")
    command(database, "import", "trajectory", *files)
    stored = asyncio.run(counts(database))
    show_counts(stored)
    heading("2. What the tools did, and what the models used and cost")
    command(database, "stats")
    heading("3. One run comes out again")
    command(database, "show", "run", files[0].name.removesuffix(".traj"))
    heading("4. The same files once more add nothing")
    command(database, "import", "trajectory", *files)
    insist(asyncio.run(counts(database)) == stored, "the second import added something")
    show_counts(stored)
    heading("5. A file that breaks off gets one line and leaves nothing behind")
    broken = folder / "broken.traj"
    broken.write_bytes(files[0].read_bytes()[:-100])
    insist(command(database, "import", "trajectory", broken, may_fail=True) != 0, "the broken file was taken")
    insist(asyncio.run(counts(database)) == stored, "the broken file left something behind")
    show_counts(stored)
    heading("6. A transaction that fails leaves nothing behind")
    asyncio.run(roll_back(database))
    insist(asyncio.run(counts(database)) == stored, "the transaction left something behind")
    show_counts(stored)
    heading("7. How the database is")
    command(database, "health")
    # With its folder: the environment that was set up for this need not be the shell's own.
    program = Path(sys.executable).with_name("agent-system")
    print(f"\nAll as it should be. Look around: {shlex.join([str(program), '--url', str(database)])} show runs")


def sample_files() -> list[Path]:
    """Return the files of the demonstration, in the order of their names."""
    wanted = os.environ.get(SAMPLE_DATA)
    folder = Path(wanted) if wanted else DEFAULT_DATA
    files = sorted(folder.rglob("*.traj"))
    if wanted and not files:
        sys.exit(f"{SAMPLE_DATA}: there is no *.traj file in {wanted}")
    return files or [SHIPPED_RUN]


def command(database: Path, *arguments: str | Path, may_fail: bool = False) -> int:
    """Run `agent-system` as a shell would, and return its exit code."""
    words = ["--url", str(database), *map(str, arguments)]
    shown = [Path(word).name if isinstance(word, Path) else word for word in arguments]
    print(f"$ agent-system {shlex.join(shown)}", flush=True)
    code = subprocess.run([sys.executable, "-m", "agent_system", *words], check=False, cwd=ROOT).returncode  # noqa: S603
    insist(may_fail or code == 0, f"the command failed with exit code {code}")
    if code:
        print(f"(exit code {code})")
    return code


async def counts(database: Path) -> dict[str, int]:
    """Count the rows of the tables that an import writes."""
    async with DatabaseManager(database) as db:
        em = EntityManager(db)
        return {name: await getattr(em, name).count() for name in COUNTED}


async def roll_back(database: Path) -> None:
    """Write two rows in a transaction and fail before its end."""
    async with DatabaseManager(database) as db:
        em = EntityManager(db)
        before = await em.agents.count()
        try:
            async with db.transaction():
                agent = await em.agents.create({"name": "clumsy", "instruction": "Trip over something."})
                await em.tasks.create({"agent_id": agent.id, "instruction": "Walk to the end of the block."})
                print(f"inside: {before} agents have become {await em.agents.count()}, then something divides by zero")
                _ = 1 / 0
        except ZeroDivisionError:
            print(f"after:  {await em.agents.count()} agents; clumsy is {await em.agents.find_one(name='clumsy')}")


def heading(text: str) -> None:
    """Print what comes next."""
    print(f"\n=== {text}", flush=True)


def show_counts(rows: dict[str, int]) -> None:
    """Print how many rows there are."""
    print("rows: " + ", ".join(f"{name} {count}" for name, count in rows.items()), flush=True)


def insist(holds: bool, otherwise: str) -> None:  # noqa: FBT001 (a truth is the point)
    """Stop the demonstration unless something is true."""
    if not holds:
        sys.exit(f"the demonstration failed: {otherwise}")


if __name__ == "__main__":
    main()
