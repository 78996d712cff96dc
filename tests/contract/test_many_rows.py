"""Many rows at once: each gets its own key and event, and the event loop is not kept from everybody else."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from agent_system.errors import (
    ConflictError,
    DuplicateKeyError,
    ForeignKeyError,
    IntegrityError,
    NotFoundError,
    ScopeError,
)
from agent_system.managers.core.audit import audit_context
from agent_system.managers.core.steps import ROWS_BETWEEN_YIELDS, in_steps
from agent_system.models import Agent, Message
from tests import requirements as requires
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager, EntityManager

ROWS = 4 * ROWS_BETWEEN_YIELDS


@pytest.mark.parametrize("attribute", ["agents", "messages"])
async def test_others_have_their_turn_while_many_rows_are_prepared(em: EntityManager, attribute: str) -> None:
    rows = [{"name": f"agent {n}"} if attribute == "agents" else {"role": "user", "content": "x"} for n in range(ROWS)]
    manager = getattr(em, attribute)
    await manager.create_many(rows[:1])
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    stored = await manager.create_many(rows[1:])
    counting.cancel()
    assert len(stored) == ROWS - 1
    assert turns >= 2 * ROWS // ROWS_BETWEEN_YIELDS


async def test_results_are_in_order_and_an_error_passes_through() -> None:
    assert await in_steps(lambda n: n * n, range(300)) == [n * n for n in range(300)]
    with pytest.raises(ZeroDivisionError):
        await in_steps(lambda n: 1 // (200 - n), range(300))


async def test_the_garbage_collector_waits_during_a_step_and_never_longer() -> None:
    seen = await in_steps(lambda _: gc.isenabled(), range(2))
    assert seen == [False, False]
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        await in_steps(lambda n: 1 // n, [0])
    assert gc.isenabled()


async def test_a_garbage_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        await in_steps(str, range(2))
        assert not gc.isenabled()
    finally:
        gc.enable()


async def test_rows_that_many_write_at_once_are_each_told_their_own_key(em: EntityManager) -> None:
    bad = 40
    data: list[dict[str, Any]] = [{"role": "user", "content": f"text {n}"} for n in range(150)]
    data[bad]["task_id"] = uuid4()
    made = await asyncio.gather(*(em.messages.create(one) for one in data), return_exceptions=True)

    assert isinstance(made[bad], ForeignKeyError)
    assert made[bad].field == "task_id"
    messages = [one for one in made if isinstance(one, Message)]
    stored = await em.messages.get_many(message.id for message in messages)
    assert [stored[message.id].content for message in messages] == [f"text {n}" for n in range(150) if n != bad]
    assert all(stored[message.id].uid == message.uid for message in messages)
    found = await em.messages.search("text 149", mode="text", limit=1)
    assert found[0].item.id == messages[-1].id


async def test_each_of_many_that_are_made_at_once_has_its_event(em: EntityManager) -> None:
    bad = 3
    data: list[dict[str, Any]] = [{"name": f"agent {n}"} for n in range(20)]
    data[bad]["user_id"] = uuid4()
    with audit_context(actor="a test"):
        made = await asyncio.gather(*(em.agents.create(one) for one in data), return_exceptions=True)

    assert isinstance(made[bad], ForeignKeyError)
    agents = {str(one.id): one.name for one in made if isinstance(one, Agent)}
    events = await em.events.find(event_type="agent.created")
    assert {event.entity_id: (event.after or {})["name"] for event in events} == agents
    assert len(events) == len(agents) == 19
    assert {event.actor for event in events} == {"a test"}


SPAM = {
    "sqlite": ["CREATE TRIGGER no_{0}_{2} BEFORE {2} ON {0} WHEN NEW.{1} = 'spam' BEGIN SELECT RAISE(IGNORE); END"],
    "postgresql": [
        """CREATE FUNCTION no_{0}_{2}() RETURNS trigger LANGUAGE plpgsql
            AS $$BEGIN IF NEW.{1} = 'spam' THEN RETURN NULL; END IF; RETURN NEW; END$$""",
        "CREATE TRIGGER no_{0}_{2} BEFORE {2} ON {0} FOR EACH ROW EXECUTE FUNCTION no_{0}_{2}()",
    ],
}


async def leave_out_spam(database: DatabaseManager, table: str, column: str, verb: str) -> None:
    async with database.transaction() as transaction:
        connection = await transaction.connection()
        for statement in SPAM[database.dialect.name]:
            await connection.execute(text(statement.format(table, column, verb)))


async def test_a_row_that_a_trigger_leaves_out_is_refused_and_the_others_are_told_their_own_keys(
    em: EntityManager, database: DatabaseManager
) -> None:
    for table, column in (("messages", "content"), ("agents", "name")):
        await leave_out_spam(database, table, column, "INSERT")
    texts = ["one", "spam", "two", "three"]
    messages = await asyncio.gather(
        *(em.messages.create({"role": "user", "content": one}) for one in texts), return_exceptions=True
    )
    agents = await asyncio.gather(*(em.agents.create({"name": one}) for one in texts), return_exceptions=True)

    assert isinstance(messages.pop(1), IntegrityError)
    assert isinstance(agents.pop(1), IntegrityError)
    stored = await em.messages.find()
    made = [one for one in messages if isinstance(one, Message)]
    assert {one.id: one.content for one in stored} == {one.id: one.content for one in made}
    assert sorted(one.content for one in stored) == ["one", "three", "two"]
    events = await em.events.find(event_type="agent.created")
    assert sorted((event.after or {})["name"] for event in events) == ["one", "three", "two"]


@requires.one_writer
async def test_where_a_trigger_adds_rows_to_its_own_table_all_are_told_their_own_keys(
    em: EntityManager, database: DatabaseManager
) -> None:
    reply = "INSERT INTO messages (uid, role, content) VALUES (lower(hex(randomblob(16))), 'system', 'reply')"
    async with database.transaction() as transaction:
        when = "CREATE TRIGGER reply AFTER INSERT ON messages WHEN NEW.role = 'user'"
        await (await transaction.connection()).execute(text(f"{when} BEGIN {reply}; END"))
    conversation = await em.conversations.create({"title": "replied"})
    rows = [{"role": "user", "content": f"text {n}"} for n in range(4)]
    made = await asyncio.gather(*(em.messages.create(one) for one in rows))
    made += await em.messages.append_many(conversation.id, rows)

    stored = await em.messages.get_many(message.id for message in made)
    assert [stored[message.id].uid for message in made] == [message.uid for message in made]


async def test_a_change_that_a_trigger_leaves_out_is_refused_and_leaves_no_event(
    em: EntityManager, database: DatabaseManager
) -> None:
    await leave_out_spam(database, "agents", "description", "UPDATE")
    agents = await em.agents.create_many([{"name": f"agent {n}"} for n in range(3)])
    texts = ["one", "spam", "two"]
    updates = [em.agents.update(agent.id, {"description": one}) for agent, one in zip(agents, texts, strict=True)]
    made = await asyncio.gather(*updates, return_exceptions=True)

    assert [isinstance(one, IntegrityError) for one in made] == [False, True, False]
    assert [agent.description for agent in await em.agents.find()] == ["one", None, "two"]
    assert await em.events.count(event_type="agent.updated") == 2


async def test_of_many_updates_at_once_each_has_its_event_and_its_own_answer(em: EntityManager) -> None:
    agents = await em.agents.create_many([{"name": f"agent {n}"} for n in range(20)])
    ids = [agent.id for agent in agents]
    updates = [em.agents.update(id_, {"description": f"first {n}"}) for n, id_ in enumerate(ids)]
    updates.insert(3, em.agents.update(uuid4(), {"description": "nobody's"}))
    updates.insert(6, em.agents.update(ids[0], {"description": "too late"}, expected_version=7))
    updates.append(em.agents.update(ids[0], {"description": "another"}))
    made = await asyncio.gather(*updates, return_exceptions=True)

    assert isinstance(made.pop(6), ConflictError)
    assert isinstance(made.pop(3), NotFoundError)
    changed = [one for one in made if isinstance(one, Agent)]
    assert [agent.description for agent in changed] == [*(f"first {n}" for n in range(20)), "another"]
    assert sorted(agent.version for agent in changed) == [2] * 20 + [3]
    last = max(changed, key=lambda agent: agent.version)
    assert (await em.agents.require(ids[0])).model_dump() == last.model_dump()
    events = await em.events.find(event_type="agent.updated")
    told = [(event.entity_id, (event.after or {})["description"]) for event in events]
    assert sorted(told) == sorted((str(agent.id), str(agent.description)) for agent in changed)


async def test_updates_of_different_rows_and_columns_are_few_statements(
    em: EntityManager, database: DatabaseManager
) -> None:
    agents = await em.agents.create_many([{"name": f"agent {n}", "meta": {"n": n}} for n in range(20)])
    changes = [{"description": f"new {n}"} if n % 2 else {"status": "thinking", "meta": {"m": n}} for n in range(20)]
    with recorded_statements() as statements:
        changed = await asyncio.gather(
            em.agents.update(uuid4(), {"description": "nobody's"}),
            *map(em.agents.update, [agent.id for agent in agents], changes, [1] * 20),
            return_exceptions=True,
        )

    assert isinstance(changed.pop(0), NotFoundError)
    assert [one.model_dump() for one in changed] == [
        (await em.agents.require(agent.id)).model_dump() for agent in agents
    ]
    assert {one.version for one in changed} == {2}
    for agent, told in zip(agents, changes, strict=True):
        (event,) = await em.events.find(event_type="agent.updated", entity_id=str(agent.id))
        assert {key: (event.after or {})[key] for key in told} == told
        assert {key: (event.before or {})[key] for key in told} == {key: getattr(agent, key) for key in told}
    if database.dialect.name == "sqlite":
        # All rows, those of each set of columns, all events.
        assert len(statements) == 4


async def test_one_of_many_updates_that_breaks_a_rule_harms_no_other(em: EntityManager) -> None:
    *agents, _ = await em.agents.create_many([{"name": f"agent {n}"} for n in range(11)])
    names = [f"new {n}" for n in range(10)]
    names[4] = "agent 10"
    updates = [em.agents.update(agent.id, {"name": name}) for agent, name in zip(agents, names, strict=True)]
    made = await asyncio.gather(*updates, return_exceptions=True)

    assert isinstance(made[4], DuplicateKeyError)
    assert {agent.name for agent in await em.agents.find()} == {*names, "agent 4"}
    assert await em.events.count(event_type="agent.updated") == 9


async def test_messages_that_come_together_follow_each_other_whatever_they_hold(em: EntityManager) -> None:
    conversation = await em.conversations.create({"title": "long"})
    rows = [{"role": "user", "content": f"{n}", **({"model": "small"} if n % 7 == 0 else {})} for n in range(100)]
    await asyncio.gather(*(em.messages.append_many(conversation.id, rows) for _ in range(3)))

    stored = await em.messages.last(conversation.id, 400)
    assert [message.content for message in stored] == [f"{n}" for n in range(100)] * 3
    assert [message.parent_id for message in stored] == [None, *(message.id for message in stored[:-1])]
    assert [message.model for message in stored[:8]] == ["small", *[None] * 6, "small"]
    current = await em.conversations.require(conversation.id)
    assert (current.head_message_id, current.message_count) == (stored[-1].id, 300)


async def test_what_many_write_at_once_in_a_scope_is_all_checked(em: EntityManager) -> None:
    ada, eve = [await em.users.create({"username": name}) for name in ("ada", "eve")]
    hers = em.scoped(user_id=ada.id)
    data: list[dict[str, Any]] = [{"name": f"agent {n}"} for n in range(20)]
    data[7]["user_id"] = eve.id
    made = await asyncio.gather(*(hers.agents.create(one) for one in data), return_exceptions=True)

    assert isinstance(made[7], ScopeError)
    agents = [one for one in made if isinstance(one, Agent)]
    assert [agent.name for agent in agents] == [f"agent {n}" for n in range(20) if n != 7]
    assert {agent.user_id for agent in await em.agents.find()} == {ada.id}
    assert await hers.agents.count() == len(agents) == 19
    foreign = await em.agents.create({"name": "eve's", "user_id": eve.id})
    both = [*agents[:9], foreign]
    changed = await asyncio.gather(
        *(hers.agents.update(one.id, {"description": "hers"}) for one in both), return_exceptions=True
    )
    assert isinstance(changed.pop(), NotFoundError)
    assert {one.description for one in changed if isinstance(one, Agent)} == {"hers"}
    assert {one.id for one in await em.agents.find(description="hers")} == {one.id for one in agents[:9]}
