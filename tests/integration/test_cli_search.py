"""`agent-system search` as a shell sees it."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from agent_system.cli.main import run
from agent_system.cli.search import marked
from agent_system.database.manager import DatabaseManager
from agent_system.entity_manager import EntityManager
from agent_system.search.embedding.hashing import HashingEmbedder
from agent_system.search.snippets import Snippet

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(migrated_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["agent-system", "--url", migrated_url, "search", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            run()
        printed = capsys.readouterr()
        return int(exited.value.code or 0), printed.out, printed.err

    return call


async def fill(url: str) -> None:
    async with DatabaseManager(url, auto_migrate=False) as db:
        em = EntityManager(db, embedder=HashingEmbedder())
        await em.memories.remember("ada", "Likes Pizza\nwith olives \x1b[31m", tags=["food"])
        await em.memories.remember("eve", "Hates pizza", tags=["food", "taste"])
        await em.messages.create({"role": "user", "content": "who wants pizza", "user_id": "ada"})
        await em.context_documents.create({"name": "menu", "content": "pizza and pasta"})


@pytest.fixture
def filled(migrated_url: str) -> None:
    asyncio.run(fill(migrated_url))


@pytest.mark.usefixtures("filled")
def test_people_see_hits_with_their_words_and_programs_see_json(command: Command) -> None:
    code, out, _ = command("pizza", "--user", "ada")
    assert code == 0
    assert "1 memories" in out
    assert r"Likes Pizza with olives \x1b[31m" in out
    code, out, _ = command("pizza", "--tag", "food", "--tag", "taste", "--json")
    (hit,) = json.loads(out)
    assert (hit["item"]["content"], hit["found_by"], hit["spans"]) == ("Hates pizza", ["text"], [[6, 11]])
    for kind, text in (("messages", "who wants pizza"), ("documents", "pizza and pasta")):
        code, out, _ = command("pizza", "--in", kind, "--json")
        assert [one["item"]["content"] for one in json.loads(out)] == [text]
    code, out, _ = command("olive dishes", "--embedder", "hashing", "--mode", "vector", "--json", "--limit", "1")
    assert [one["found_by"] for one in json.loads(out)] == [["vector"]]


def test_what_is_not_there_is_one_line(command: Command) -> None:
    code, out, _ = command("nothing", "--json")
    assert (code, json.loads(out)) == (0, [])
    for arguments in (("x", "--in", "links"), ("x", "--embedder", "none"), ("x", "--mode", "vector")):
        code, out, err = command(*arguments)
        assert (code > 0, out, err.count("\n")) == (True, "", 1)


def test_what_was_found_is_marked_and_nothing_is_sent_that_a_terminal_obeys() -> None:
    snippet = Snippet("one \x1btwo\n three", ((4, 8), (10, 15)))
    text = marked(snippet)
    assert text.plain == r"one \x1btwo three"
    assert [text.plain[span.start : span.end] for span in text.spans] == [r"\x1btwo", "three"]
