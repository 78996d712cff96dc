"""No text raises, whatever somebody types: half noise and half made of what has a meaning somewhere.

20,000 of them in a full run, and 2,000 in every run.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import bindparam, text

from agent_system.search import postgresql, sqlite
from agent_system.search.query import MOST_TERMS, Query, parse

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

COUNT = 20_000
OFTEN = 2_000
WORDS = [
    "pizza",
    "AND", "OR", "NOT", "NEAR", "near/2", '"', "'", "*", "(", ")", "^", ":", "-", "+", "{", "}", "\\", "|", "&",
    "!",
    "<->", "content:", "it's", "C++", "-d", "%", "_", "\0", "\ud800", "比萨", "ที่", "é", "e\u0301", "😀", "\n", "a*",
    "**", '""', "0x1f", "1e5", "3.14", "foo.bar@example.org", "ß", "İ", "ﬁ", "½", "\x1f", "\U0010fffd", "x" * 300,
]  # fmt: skip


def some_texts(count: int) -> list[str]:
    """The same texts at every run."""
    chance = random.Random(5)
    made = [chance.choice(["", " "]).join(chance.choices(WORDS, k=chance.randint(0, 9))) for _ in range(count // 2)]
    while len(made) < count:
        made.append("".join(chr(chance.randrange(chance.choice([0x80, 0x800, 0x11_0000]))) for _ in range(9)))
    return made


@pytest.fixture(scope="module", params=[OFTEN, pytest.param(COUNT, marks=pytest.mark.full)])
def texts(request: pytest.FixtureRequest) -> list[str]:
    return some_texts(request.param)


@pytest.fixture(scope="module")
def queries(texts: list[str]) -> list[Query]:
    return [query for query in map(parse, texts) if query]


def test_every_text_is_a_query_of_limited_size(texts: list[str], queries: list[Query]) -> None:
    assert len(queries) > len(texts) // 2
    assert max(len(query.terms) for query in queries) <= MOST_TERMS
    assert len(parse("word " * 10_000).terms) == 1
    assert len(parse(" ".join(f"w{number}" for number in range(10_000))).terms) == MOST_TERMS


async def test_the_engine_understands_every_query(
    database: DatabaseManager, em: EntityManager, queries: list[Query], engine_name: str
) -> None:
    await em.memories.remember("u", "pizza 比萨 it's")
    ask = {"sqlite": _ask_sqlite, "postgresql": _ask_postgresql}[engine_name]
    assert await database.read(lambda executor: ask(executor, queries)) > 0


def _ask_sqlite(executor: Any, queries: list[Query]) -> int:
    statement = "SELECT count(*) FROM memories_fts WHERE memories_fts MATCH ?"
    wanted = {sqlite.SYNTAX.expression(query) for query in queries}
    return sum(executor.raw.execute(statement, (one,)).fetchone()[0] for one in wanted)


def _ask_postgresql(executor: Any, queries: list[Query]) -> int:
    wanted = sorted({postgresql.SYNTAX.expression(query) for query in queries})
    statement = text(
        "SELECT count(*) FROM unnest(CAST(:wanted AS text[])) AS one (query) JOIN memories_fts"
        " ON memories_fts.terms @@ CAST(one.query AS tsquery)"
    ).bindparams(bindparam("wanted", wanted))
    return int(executor.execute(statement).scalar_one())


@pytest.mark.parametrize("is_scoped", [True, False])
async def test_no_search_raises(em: EntityManager, texts: list[str], is_scoped: bool) -> None:  # noqa: FBT001
    await em.memories.remember("u", "pizza 比萨 it's", tags=["c++"])
    await em.context_documents.create({"name": "pizza", "content": "it's"})
    for one in texts[:: len(texts) // 100]:
        filters: Any = {"user_id": "u"} if is_scoped else {}
        for hit in await em.memories.search(one, **filters):
            assert hit.score > 0
            assert str(hit.snippet)
        await em.context_documents.search(one)
        await em.messages.search(one)
