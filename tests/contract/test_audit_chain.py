"""The audit chain: it holds while nobody touches what was sealed, and tells whatever somebody did to it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, insert, select, update

from agent_system import DatabaseManager, DatabaseSettings, EntityManager
from agent_system.errors import ConfigurationError, ValidationError
from agent_system.managers.audit import sealing
from agent_system.managers.audit.verification import Anchor
from agent_system.models import metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "a key that nobody else knows at all"
OLDER = "an older key that was in use before"
events = metadata.tables["events"]
seals = metadata.tables["audit_seals"]


def settings(*keys: str) -> DatabaseSettings:
    return DatabaseSettings(audit_key=",".join(keys or (KEY,)))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "EVENTS_AT_ONCE", 3)
    monkeypatch.setattr("agent_system.managers.audit.audit.EVENTS_AT_ONCE", 3)


@pytest.fixture
async def em(migrated_url: str) -> AsyncIterator[EntityManager]:
    """Yield a facade over a database with a key, in which eight events are sealed and one is not."""
    async with DatabaseManager(migrated_url, settings=settings(), auto_migrate=False) as db:
        em = EntityManager(db)
        for number in range(7):
            data = {"n": number, "float": 0.1 + number, "text": "\0 \ud800 ü", "none": None, "deep": [{"b": 1, "a": 2}]}
            await em.events.log("thing.done", "thing", str(number), data=data, duration_ms=number / 3, actor="ada")
        await em.agents.create({"name": "sealed"})
        assert await em.audit.seal() == 8
        await em.events.log("thing.done", "thing", "later")
        yield em


async def change(em: EntityManager, statement: Any) -> None:
    await em.db.write(lambda executor: executor.execute(statement).rowcount)


async def rows(em: EntityManager, statement: Any) -> list[Any]:
    return list(await em.db.read(lambda executor: executor.execute(statement).all()))


async def test_what_nobody_touched_is_valid(em: EntityManager) -> None:
    verdict = await em.audit.verify()
    assert verdict.is_valid, verdict.problems
    assert (verdict.seals, verdict.events, verdict.erased, verdict.unsealed) == (3, 8, 0, 1)
    assert verdict.head == await em.audit.head()
    assert await em.audit.seal() == 1
    assert (await em.audit.verify(verdict.head)).is_valid
    assert (await em.audit.verify(str(verdict.head))).seals == 4
    assert await em.audit.seal() == 0


async def test_a_changed_event_is_found(em: EntityManager) -> None:
    (original,) = await rows(em, select(events).where(events.c.id == 2))
    for changes, problem in (
        ({"after": {"other": 1}}, "what it was about"),
        ({"actor": "eve"}, "what it was about"),
        ({"data": None, "payload_salt": None}, "what it was about"),
        ({"metadata": {"x": 1}}, "what it was about"),
        ({"entity_id": "7"}, "event 2 was changed"),
        ({"severity": "debug"}, "event 2 was changed"),
        ({"parent_event_id": 1}, "event 2 was changed"),
        ({"created_at": datetime(2020, 1, 1, tzinfo=UTC)}, "event 2 was changed"),
        ({"payload_digest": "0"}, "event 2 was changed"),
        ({"chain_digest": "0"}, "event 2 was changed"),
        ({"seal_id": None}, "vouches for 3 events, 2 are there"),
        ({"seal_id": 2}, "vouches for 3 events, 2 are there"),
        ({"seal_id": 99}, "vouches for 3 events, 2 are there"),
    ):
        await change(em, update(events).where(events.c.id == 2).values(changes))
        assert problem in "; ".join((await em.audit.verify()).problems)
        await change(em, update(events).where(events.c.id == 2).values(dict(original._mapping)))
    assert (await em.audit.verify()).is_valid


async def test_what_is_taken_out_or_put_in_is_found(em: EntityManager) -> None:
    anchor = await em.audit.head()
    await change(em, delete(events).where(events.c.id == 5))
    assert any("seal 2 vouches for 3 events" in problem for problem in (await em.audit.verify()).problems)
    # To count one less is not enough.
    await change(em, update(seals).where(seals.c.id == 2).values(event_count=2))
    problems = "; ".join((await em.audit.verify()).problems)
    assert "seal 2 was changed" in problems
    assert "before event 6 others are missing" in problems
    # Nor is it to take a whole seal out, or to put events in.
    await change(em, delete(seals).where(seals.c.id == 2))
    assert "the seals 2 to 2 are missing" in (await em.audit.verify()).problems
    await change(em, insert(events).values(event_type="x.y", entity_type="x", entity_id="", seal_id=3))
    assert "seal 3 vouches for 2 events, 3 are there" in (await em.audit.verify()).problems
    # What cuts the end off leaves a chain that is valid but for who has kept its head.
    await change(em, delete(events))
    await change(em, delete(seals))
    assert (await em.audit.verify()).is_valid
    assert "cut off" in (await em.audit.verify(anchor)).problems[0]


async def test_a_chain_made_anew_with_another_key_is_found(em: EntityManager) -> None:
    anchor = await em.audit.head()
    async with DatabaseManager(em.db.url.render_as_string(hide_password=False), settings=settings(OLDER)) as db:
        assert any("is not given" in problem for problem in (await EntityManager(db).audit.verify()).problems)
        await change(em, delete(seals))
        await change(em, update(events).values(seal_id=None))
        assert await EntityManager(db).audit.seal() == 9
    assert any("is not given" in problem for problem in (await em.audit.verify()).problems)
    assert "cut off" in "; ".join((await em.audit.verify(anchor)).problems)


async def test_keys_can_be_changed(em: EntityManager) -> None:
    url = em.db.url.render_as_string(hide_password=False)
    async with DatabaseManager(url, settings=settings(OLDER, KEY)) as db:
        both = EntityManager(db)
        assert await both.audit.seal() == 1
        assert (await both.audit.verify()).is_valid


async def test_the_chain_stays_valid_when_somebody_is_erased(em: EntityManager) -> None:
    ada = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "ada's secret plan", "user_id": ada.id})
    await em.agents.update(agent.id, {"status": "thinking"})
    await em.agents.create({"name": "another's"})
    await em.audit.seal()
    before = await em.audit.verify()
    receipt = await em.users.erase(ada.id)
    verdict = await em.audit.verify(before.head)
    assert verdict.is_valid, verdict.problems
    # Two events of the agent were emptied; in seven of others her name was the actor's.
    assert (verdict.erased, verdict.events) == (9, before.events)
    (row,) = await rows(em, select(seals).order_by(seals.c.id.desc()).limit(1))
    rest = await rows(em, select(events.c.before, events.c.after, events.c.actor))
    assert (row.kind, row.receipt_id) == ("erasure", receipt.id)
    assert "secret plan" not in str(rest)
    # What is left of an erased event cannot be changed either, nor what the seal says about it.
    emptied = next(iter(row.amended))
    await change(em, update(events).where(events.c.id == int(emptied)).values(actor="eve"))
    assert "what it was about was changed" in (await em.audit.verify()).problems[0]
    await change(em, update(seals).where(seals.c.id == row.id).values(amended={}))
    assert any("erased events is not what was sealed" in problem for problem in (await em.audit.verify()).problems)


async def test_an_erasure_without_the_key_happens_and_is_told(em: EntityManager) -> None:
    ada = await em.users.create({"username": "ada"})
    async with DatabaseManager(em.db.url.render_as_string(hide_password=False)) as db:
        await EntityManager(db).users.erase(ada.id)
    problems = (await em.audit.verify()).problems
    assert len(problems) == 1
    assert "without a key" in problems[0]


async def test_many_may_seal_at_once_beside_writers(em: EntityManager) -> None:
    async def write(number: int) -> None:
        await em.events.log("thing.done", "thing", str(number))
        if number % 8 == 0:
            await em.audit.seal()

    await asyncio.gather(*map(write, range(64)))
    await em.audit.seal()
    verdict = await em.audit.verify()
    assert verdict.is_valid, verdict.problems
    assert (verdict.events, verdict.unsealed) == (73, 0)


async def test_without_a_key_nothing_is_sealed(database: DatabaseManager) -> None:
    em = EntityManager(database)
    await em.events.log("thing.done")
    for work in (em.audit.seal, em.audit.verify):
        with pytest.raises(ConfigurationError, match="AGENT_SYSTEM_AUDIT_KEY"):
            await work()
    assert await em.audit.head() == Anchor(0, "")


def test_the_key_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        DatabaseSettings(audit_key="too short")
    assert "too short" not in str(caught.value)
    assert KEY not in repr(settings())
    assert KEY not in str(settings())


async def test_what_is_no_anchor_is_refused(em: EntityManager) -> None:
    for anchor in ("", "x", "x:y", "²:y"):
        with pytest.raises(ValidationError):
            await em.audit.verify(anchor)
    with pytest.raises(ValidationError):
        await em.audit.seal(0)


async def test_a_scope_sees_nothing_of_the_chain(em: EntityManager) -> None:
    mine = em.scoped(user_id="somebody")
    assert await mine.audit.head() == Anchor(0, "")
    assert await mine.audit.seal() == 0
    assert (await mine.audit.verify()).events == 0
    assert (await em.audit.verify()).is_valid
