"""`agent-system queue` and `agent-system worker` as a shell sees them."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from agent_system.cli import queue
from agent_system.cli.context import Options
from agent_system.cli.main import run
from agent_system.cli.queue import statistics_view
from agent_system.cli.worker import load_worker
from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.errors import ConfigurationError
from agent_system.jobs import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from rich.console import RenderableType

    from agent_system.managers.queue.statistics import QueueStatistics
    from agent_system.models import Job

JOBS = """
from agent_system.jobs import Worker

worker = Worker()


@worker.handler("double")
async def double(context):
    return context.payload * 2


def make():
    return worker


nothing = None
"""


class Shell:
    """Runs commands on one database."""

    def __init__(
        self, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        self.url = url
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        (folder / "jobs_of_a_test.py").write_text(JOBS)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.delitem(sys.modules, "jobs_of_a_test", raising=False)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        self._monkeypatch.setattr(sys, "argv", ["agent-system", "--url", self.url, *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            run()
        captured = self._capsys.readouterr()
        assert (exited.value.code or 0) == code, captured.err
        return captured.out + captured.err

    def do(self, work: Callable[[EntityManager], Coroutine[Any, Any, Any]]) -> Any:
        async def connected() -> Any:
            async with DatabaseManager(self.url) as db:
                return await work(EntityManager(db))

        return asyncio.run(connected())


@pytest.fixture
def shell(
    migrated_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Shell:
    return Shell(migrated_url, capsys, monkeypatch, tmp_path)


async def make_jobs(em: EntityManager) -> list[Job]:
    jobs = await em.queue.enqueue_many([{"task_type": "double", "payload": 21}, {"task_type": "other"}])
    (other,) = await em.queue.claim(types=["other"])
    await em.queue.fail(other, "no\x1b[31m luck", retry=False)
    return jobs


def test_jobs_are_listed_and_shown(shell: Shell) -> None:
    first, second = shell.do(make_jobs)
    listed = shell("queue", "ls")
    assert "double" in listed
    assert "no\\x1b[31m luck" in listed
    (dead,) = json.loads(shell("queue", "ls", "--status", "failed", "--type", "other", "--json"))
    assert (dead["id"], dead["error_message"]) == (second.id, "no\x1b[31m luck")
    assert json.loads(shell("queue", "show", str(first.id), "--json"))["payload"] == 21
    assert "payload" in shell("queue", "show", str(first.id))
    shell("queue", "show", "999", code=5)


def test_an_operator_intervenes(shell: Shell) -> None:
    first, second = shell.do(make_jobs)
    assert "1 job cancelled" in shell("queue", "cancel", str(first.id), "--reason", "enough")
    assert "1 job begin anew" in shell("queue", "retry", str(first.id))
    assert "1 job begin anew" in shell("queue", "retry", "--dead")
    shell("queue", "retry", str(second.id))
    shell("queue", "retry", code=2)
    assert "double is paused" in shell("queue", "pause", "double", "--by", "ada")
    figures = json.loads(shell("queue", "stats", "--json"))
    assert (figures["ready"], figures["by_status"]["failed"]) == (2, 0)
    assert [one["is_paused"] for one in figures["types"]] == [True, False]
    assert "double goes on" in shell("queue", "resume", "double")
    assert "oldest ready" in shell("queue", "stats")
    shell("queue", "cancel", str(first.id))
    assert "1 job deleted" in shell("queue", "purge", "--days", "0")


def test_a_worker_of_a_module_does_jobs(shell: Shell) -> None:
    (first, _second) = shell.do(make_jobs)
    shell("worker", "jobs_of_a_test:worker", "--until-idle", "--concurrency", "2")
    assert shell.do(lambda em: em.queue.require(first.id)).result == 42


@pytest.mark.parametrize("target", ["jobs_of_a_test", "no_such_module:worker", "jobs_of_a_test:nothing", ":", "a:"])
def test_what_is_no_worker_is_refused(shell: Shell, target: str) -> None:
    assert shell("worker", target, code=3)
    with pytest.raises(ConfigurationError):
        load_worker(target)


def test_a_function_may_make_the_worker(shell: Shell) -> None:
    assert shell.url
    assert isinstance(load_worker("jobs_of_a_test:make"), Worker)


async def test_the_live_view_shows_the_figures(entity_manager: EntityManager) -> None:
    await make_jobs(entity_manager)
    out = Console(width=100, record=True, file=None, quiet=False)
    with out.capture() as captured:
        out.print(statistics_view(await entity_manager.queue.stats()))
    assert "ready" in captured.get()


async def test_the_live_view_goes_on_until_it_is_stopped(
    entity_manager: EntityManager, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Console(width=100, file=io.StringIO())
    seen, looked = list[int](), asyncio.Event()

    def view(counted: QueueStatistics) -> RenderableType:
        seen.append(counted.ready)
        looked.set()
        return statistics_view(counted)

    monkeypatch.setattr(queue, "console", lambda: out)
    monkeypatch.setattr(queue, "statistics_view", view)
    watching = asyncio.create_task(queue.watch(Options(url=migrated_url), 0.01))
    async with asyncio.timeout(30):
        await looked.wait()
        await entity_manager.queue.enqueue("a")
        while seen[-1] != 1:
            looked.clear()
            await looked.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert seen[0] == 0
