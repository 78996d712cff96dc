"""Recalling: by whom, by what, in which order, with how many statements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import NotFoundError, ValidationError
from agent_system.types import MemoryKind
from tests.contract.memories.sql import run
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager
    from agent_system.models import Memory
    from tests.clock import Clock


def contents(memories: list[Memory]) -> list[str]:
    return [memory.content for memory in memories]


async def test_the_newest_come_first_and_only_those_asked_for(em: EntityManager, clock: Clock) -> None:
    agent = await em.agents.create({"name": "a"})
    for number in range(5):
        clock.move(hours=1)
        await em.memories.remember("u", f"u{number}", timestamp=clock(), guild_id="g" if number % 2 else None)
    await em.memories.remember("v", "v", timestamp=clock(), agent_id=agent.id, category="work")
    await em.memories.remember(None, "nobody's", timestamp=clock())
    recent = em.memories.recent
    assert contents(await recent()) == ["nobody's", "v", "u4", "u3", "u2", "u1", "u0"]
    assert contents(await recent(2, user_id="u")) == ["u4", "u3"]
    assert contents(await recent(user_id="u", guild_id="g")) == ["u3", "u1"]
    assert contents(await recent(user_id="u", guild_id=None)) == ["u4", "u2", "u0"]
    assert contents(await recent(user_id=None)) == ["nobody's"]
    assert contents(await recent(agent_id=agent.id)) == contents(await recent(category="work")) == ["v"]
    since = datetime(2026, 5, 1, 14, 0, tzinfo=UTC)
    in_between = await recent(user_id="u", since=since, until=since + timedelta(hours=1, minutes=30))
    assert contents(in_between) == ["u2", "u1"]
    assert await recent(user_id="somebody else") == []


@pytest.mark.parametrize(
    "filters",
    [
        {"mood": "good"},
        {"user_id": 7},
        {"guild_id": 7},
        {"min_importance": "5"},
        {"match_tags": "some"},
        {"tags": [7]},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"until": "yesterday"},
        {"limit": 0},
    ],
    ids=str,
)
async def test_a_wrong_filter_is_an_error(em: EntityManager, filters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        await em.memories.recent(**filters)
    assert caught.value.field == next(iter(filters))


async def test_what_expired_or_was_put_away_is_not_recalled(em: EntityManager, clock: Clock) -> None:
    await em.memories.remember("u", "for a day", expires_at=clock() + timedelta(days=1))
    away = await em.memories.remember("u", "away")
    await em.memories.archive(away.id)
    assert contents(await em.memories.recent(user_id="u")) == ["for a day"]
    assert contents(await em.memories.recent(user_id="u", status="archived")) == ["away"]
    clock.move(days=1)
    assert await em.memories.recent(user_id="u") == []
    assert contents(await em.memories.recent(user_id="u", include_expired=True)) == ["for a day"]
    assert len(await em.memories.recent(user_id="u", include_expired=True, status=None)) == 2


@pytest.mark.parametrize("scope", [{"user_id": "u"}, {}], ids=["one user's", "everybody's"])
async def test_tags_all_or_any(em: EntityManager, scope: dict[str, Any]) -> None:
    for content, tags in (("a", ["x"]), ("b", ["x", "y"]), ("c", ["y", "z%"]), ("d", []), ("e", ["X"])):
        await em.memories.remember("u", content, tags=tags)
    find = em.memories.find_by_tags
    assert contents(await find(["x"], **scope)) == ["b", "a"]
    assert contents(await find(["x", "y", "x"], **scope)) == ["b"]
    assert contents(await find(["x", "y"], match="any", **scope)) == ["c", "b", "a"]
    assert contents(await find(["z%"], **scope)) == ["c"]
    assert await find(["z"], **scope) == []
    assert await find([], **scope) == []
    assert await em.memories.tag_counts(**scope) == {"x": 2, "y": 2, "X": 1, "z%": 1}
    assert await em.memories.tag_counts(1, **scope) == {"x": 2}


async def test_tags_are_kept_whoever_writes(database: DatabaseManager, em: EntityManager) -> None:
    for content, tags in (("a", '["x", "x", 1, null]'), ("b", '{"x": 1}'), ("c", "[]")):
        await run(database, "INSERT INTO memories (content, tags) VALUES (:content, :tags)", content=content, tags=tags)
    assert await em.memories.tag_counts() == {"x": 1}
    await run(database, "UPDATE memories SET tags = :tags WHERE content <> 'b'", tags='["y"]')
    assert await em.memories.tag_counts() == {"y": 2}
    assert contents(await em.memories.find_by_tags(["y"])) == ["c", "a"]


async def test_updated_at_is_kept_whoever_writes(database: DatabaseManager, em: EntityManager) -> None:
    memory = await em.memories.remember("u", "x")
    await run(database, "UPDATE memories SET importance = 9")
    changed = await em.memories.require(memory.id)
    assert changed.updated_at != memory.updated_at
    assert abs((datetime.now(UTC) - changed.updated_at).total_seconds()) < 60
    # A row of seed 003's own statement, which knows nothing of what the layer fills in.
    await run(database, "INSERT INTO memories (user_id, content, timestamp) VALUES ('u', 'x', '2025-08-28 10:00:00')")
    assert (await em.memories.recent(user_id="u"))[-1].content == "x"


async def test_the_most_recalled_and_the_most_important_come_first(em: EntityManager) -> None:
    ids = [(await em.memories.remember("u", f"m{n}", importance=n + 1)).id for n in range(4)]
    for _ in range(3):
        await em.memories.recalled([ids[1]])
    await em.memories.recalled([ids[0], ids[1]])
    assert contents(await em.memories.most_recalled(user_id="u")) == ["m1", "m0"]
    assert contents(await em.memories.most_important(2, user_id="u")) == ["m3", "m2"]
    assert contents(await em.memories.recent(user_id="u", min_importance=3)) == ["m3", "m2"]


async def test_what_matters_and_was_long_forgotten_comes_back(em: EntityManager, clock: Clock) -> None:
    gem = await em.memories.remember("u", "gem", importance=9, timestamp=clock())
    await em.memories.remember("u", "pebble", importance=2, timestamp=clock())
    recalled = await em.memories.remember("u", "often thought of", importance=10, timestamp=clock())
    clock.move(days=40)
    await em.memories.recalled([recalled.id])
    await em.memories.remember("u", "new", importance=10, timestamp=clock())
    assert contents(await em.memories.resurface(user_id="u")) == ["gem", "pebble"]
    await em.memories.recalled([gem.id])
    assert contents(await em.memories.resurface(user_id="u")) == ["pebble"]


async def test_statistics_add_up(em: EntityManager, clock: Clock) -> None:
    empty = await em.memories.statistics(user_id="u")
    assert (empty.total, empty.average_importance, empty.first_at, empty.by_kind["passive"]) == (0, None, None, 0)
    old, new = clock() - timedelta(days=8), clock()
    await em.memories.remember("u", "old", importance=2, timestamp=old, pinned=True)
    memory = await em.memories.remember("u", "new", importance=7, timestamp=new)
    await em.memories.remember("u", "short", importance=6, timestamp=new, kind="short_term")
    await em.memories.remember("v", "other")
    await em.memories.recalled([memory.id])
    found = await em.memories.statistics(user_id="u")
    assert (found.total, found.last_7_days, found.pinned, found.recalls) == (3, 2, 1, 1)
    assert (found.average_importance, found.first_at, found.last_at) == (5.0, old, new)
    assert found.by_kind == {MemoryKind.LONG_TERM: 2, MemoryKind.SHORT_TERM: 1, MemoryKind.PASSIVE: 0}
    assert (await em.memories.statistics()).total == 4


async def test_one_person_is_one_whatever_identity_is_named(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    for id_, user_id in (("discord:1", user.id), ("mail:ada", user.id), ("discord:2", None)):
        await em.identities.create({"id": id_, "display_name": id_, "user_id": user_id})
        await em.memories.remember(id_, f"said as {id_}")
    await em.memories.remember(user.id, "said as the user")
    expected = {"said as the user", "said as discord:1", "said as mail:ada"}
    for one in (user.id, str(user.id), "discord:1", "mail:ada"):
        assert set(contents(await em.memories.recent(user_id=one))) == expected
        assert (await em.memories.statistics(user_id=one)).total == 3
    assert contents(await em.memories.recent(user_id="discord:2")) == ["said as discord:2"]
    assert contents(await em.memories.recent(user_id="unknown")) == []


async def test_near_duplicates_are_grouped(em: EntityManager) -> None:
    texts = [
        "Ada likes pizza with olives and cheese a lot",
        "ada likes pizza, with olives and cheese, a lot!",
        "Ada likes pizza with olives and cheese a bit",
        "Bob repairs bicycles in his garage on Sundays",
        "我喜欢吃比萨和意大利面",
        "我喜欢吃比萨和意大利面吗",
        "...",
        "???",
    ]
    rows = [await em.memories.remember("u", one) for one in texts]
    await em.memories.remember("v", texts[0])
    groups = await em.memories.near_duplicates(0.7, user_id="u")
    ids = [row.id for row in rows]
    assert [[memory.id for memory in group] for group in groups] == [ids[:3], ids[4:6]]
    assert [len(group) for group in await em.memories.near_duplicates(1.0, user_id="u")] == [2]
    with pytest.raises(ValidationError, match="likeness"):
        await em.memories.near_duplicates(0, user_id="u")


async def test_links_lead_both_ways(em: EntityManager) -> None:
    one, two, three = [await em.memories.remember("u", content) for content in ("one", "two", "three")]
    link = await em.memories.link(one.id, two.id, weight=0.5)
    again = await em.memories.link(one.id, two.id, weight=0.9, metadata={"why": "x"})
    assert (again.id, again.weight, again.meta) == (link.id, 0.9, {"why": "x"})
    await em.memories.link(three.id, one.id, "contradicts", weight=1.0)
    assert contents(await em.memories.linked(one.id)) == ["three", "two"]
    assert contents(await em.memories.linked(two.id)) == ["one"]
    assert contents(await em.memories.linked(one.id, "related")) == ["two"]
    assert await em.memories.unlink(two.id, one.id) == 1
    assert await em.memories.linked(two.id) == []
    await em.memories.delete(three.id)
    assert await em.memories.linked(one.id) == []
    with pytest.raises(NotFoundError):
        await em.memories.linked(10**9)
    for wrong in ({"weight": 2.0}, {"link_type": "friend"}):
        with pytest.raises((ValidationError, Exception), match=r"weight|link_type"):
            await em.memories.link(one.id, two.id, **wrong)


async def test_memories_that_share_tags_are_linked(em: EntityManager) -> None:
    tags = {"a": ["x", "y"], "b": ["x", "y", "z"], "c": ["x"], "d": ["p", "q"]}
    rows = {name: await em.memories.remember("u", name, tags=words) for name, words in tags.items()}
    await em.memories.remember("v", "other", tags=["x", "y"])
    assert await em.memories.link_by_tags(user_id="u") == 1
    assert await em.memories.link_by_tags(user_id="u") == 1
    assert contents(await em.memories.linked(rows["b"].id)) == ["a"]
    assert await em.memories.link_by_tags(1, user_id="u") == 3
    assert contents(await em.memories.linked(rows["c"].id)) == ["a", "b"]
    await em.memories.remove_tags(rows["c"].id, "x")
    assert await em.memories.link_by_tags(1, user_id="u") == 1


async def test_reading_takes_one_statement_and_one_for_the_person(em: EntityManager) -> None:
    for number in range(20):
        memory = await em.memories.remember("u", f"{number} {number % 3}", tags=["x", "y"])
    verbs = (
        em.memories.recent, em.memories.most_recalled, em.memories.most_important, em.memories.resurface,
        em.memories.candidates, em.memories.statistics, em.memories.tag_counts,
    )  # fmt: skip
    for verb in verbs:
        with recorded_statements() as statements:
            await verb(user_id="u", tags=["x", "y"])  # type: ignore[operator]
        assert len(statements) == 2, verb
    with recorded_statements() as statements:
        await em.memories.near_duplicates(0.5, user_id="u")
    assert len(statements) <= 3
    with recorded_statements() as statements:
        await em.memories.linked(memory.id)
    assert len(statements) == 2
