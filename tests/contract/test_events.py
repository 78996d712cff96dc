"""Events: the trail that changes leave, and the chains that callers make of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import DuplicateKeyError, NotFoundError, ValidationError
from agent_system.managers.core.base import Manager
from agent_system.managers.core.cascade import AUDITED_TABLES
from agent_system.testing.factories import Factories
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Event

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
AUDITED = ("agents", "tools", "tasks", "context_documents", "processes")


@pytest.fixture
def factories(em: EntityManager) -> Factories:
    return Factories(em)


def types(events: list[Event]) -> list[str]:
    return [event.event_type for event in events]


async def trail(em: EntityManager) -> list[Event]:
    return [event for event in await em.events.find() if event.entity_type in set(AUDITED_TABLES.values())]


async def test_the_audited_managers_are_those_of_the_cascade(em: EntityManager) -> None:
    managers = [value for value in vars(em).values() if isinstance(value, Manager)]
    audited = {manager.plans.table.name: manager.audited for manager in managers if manager.audited is not None}
    assert audited == dict(AUDITED_TABLES)


@pytest.mark.parametrize("attribute", AUDITED)
async def test_a_change_leaves_its_event(em: EntityManager, factories: Factories, attribute: str) -> None:
    manager = factories.manager(attribute)
    name = manager.audited
    with em.events.context(actor="ada"):
        row = await factories.create(attribute, meta={"n": 1})
        await manager.update(row.id, {"meta": {"n": 2}})
        await manager.delete(row.id)
    created, updated, deleted = await trail(em)
    assert types([created, updated, deleted]) == [f"{name}.created", f"{name}.updated", f"{name}.deleted"]
    assert {(event.entity_type, event.entity_id, event.actor) for event in (created, updated, deleted)} == {
        (name, str(row.id), "ada")
    }
    assert created.before is None
    assert created.after["meta"] == {"n": 1}
    assert created.after["id"] == str(row.id)
    assert updated.before["meta"] == {"n": 1}
    assert updated.after["meta"] == {"n": 2}
    assert set(updated.before) == set(updated.after) <= {"meta", "updated_at"}
    assert deleted.before["meta"] == {"n": 2}
    assert deleted.after is None


@pytest.mark.parametrize("attribute", AUDITED)
async def test_create_many_leaves_one_event_with_the_keys(
    em: EntityManager, factories: Factories, attribute: str
) -> None:
    manager = factories.manager(attribute)
    rows = await manager.create_many([await factories.data(attribute) for _ in range(3)])
    (event,) = await trail(em)
    assert event.event_type == f"{manager.audited}.created"
    assert event.entity_id == ""
    assert event.data == {"ids": [str(row.id) for row in rows]}


@pytest.mark.parametrize("attribute", ["events", "messages", "users", "projects", "relations", "conversations"])
async def test_other_tables_leave_no_event(em: EntityManager, factories: Factories, attribute: str) -> None:
    row = await factories.create(attribute)
    await factories.manager(attribute).update(row.id, {"meta": {"n": 2}})
    await factories.manager(attribute).delete(row.id)
    assert await em.events.find() == []


async def test_an_event_goes_with_the_change_that_failed(
    database: DatabaseManager, em: EntityManager, factories: Factories
) -> None:
    agent = await factories.create("agents")

    async def change_in_vain() -> None:
        async with database.transaction():
            await em.agents.update(agent.id, {"status": "thinking"})
            raise KeyError(agent.name)

    with pytest.raises(KeyError):
        await change_in_vain()
    with pytest.raises(DuplicateKeyError):
        await em.agents.create({"name": agent.name})
    with pytest.raises(NotFoundError):
        await em.agents.update(uuid4(), {"status": "thinking"})
    assert await em.agents.delete(uuid4()) is False
    assert types(await trail(em)) == ["agent.created"]


async def test_concurrent_changes_keep_their_own_context(em: EntityManager) -> None:
    async def work(actor: str) -> None:
        with em.events.context(actor=actor, tree=uuid4()):
            agent = await em.agents.create({"name": actor})
            await em.agents.update(agent.id, {"description": actor})
            await em.agents.delete(agent.id)

    await asyncio.gather(*(work(f"actor-{n}") for n in range(8)))
    events = await trail(em)
    assert len(events) == 24
    for event in events:
        assert (event.after or event.before)["description"] in {event.actor, None}
        assert sum(other.tree_id == event.tree_id for other in events) == 3


async def test_what_falls_with_its_owner_leaves_an_event(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "a", "user_id": user.id})
    root = await em.tasks.create({"instruction": "root", "user_id": user.id})
    parts = [await em.tasks.create({"instruction": "part", "parent_task_id": root.id}) for _ in range(2)]
    leaf = await em.tasks.create({"instruction": "leaf", "parent_task_id": parts[0].id})
    with em.events.context(actor="admin"):
        await em.users.delete(user.id)
    fallen = {event.entity_type: event for event in await trail(em) if event.event_type.endswith(".deleted")}
    assert set(fallen) == {"agent", "task"}
    assert fallen["agent"].data["ids"] == [str(agent.id)]
    assert set(fallen["task"].data["ids"]) == {str(task.id) for task in (root, *parts, leaf)}
    assert all(event.data["fell_with"] == {"table": "users", "id": str(user.id)} for event in fallen.values())
    assert all(event.actor == "admin" for event in fallen.values())


async def test_log_takes_the_rest_from_the_context(em: EntityManager) -> None:
    tree = uuid4()
    with em.events.context(actor="scheduler", tree=tree):
        first = await em.events.log("run.started", "document", uuid4(), outcome="partial", duration_ms=1.5)
        with em.events.context(parent=first):
            second = await em.events.log("run.step", actor="worker", data={"step": 1})
        third = await em.events.log("run.ended")
    assert (first.actor, first.tree_id, first.parent_event_id) == ("scheduler", tree, None)
    assert first.entity_type == "context_document"
    assert (second.actor, second.tree_id, second.parent_event_id) == ("worker", tree, first.id)
    assert (second.entity_type, second.entity_id, second.data) == ("system", "", {"step": 1})
    assert third.parent_event_id is None
    after = await em.events.log("alone")
    assert (after.actor, after.tree_id) == (None, None)
    with pytest.raises(ValidationError, match="colour"):
        await em.events.log("x", colour="red")
    with pytest.raises(ValidationError, match="outcome"):
        await em.events.log("x", outcome="splendid")


async def test_chain_leads_to_the_root_and_to_all_that_followed(em: EntityManager) -> None:
    root = await em.events.log("root")
    left, right = [await em.events.log(name, parent_event_id=root.id) for name in ("left", "right")]
    leaves = [await em.events.log(name, parent_event_id=left.id) for name in ("a", "b")]
    await em.events.log("alone")
    assert types(await em.events.chain(left.id)) == ["root", "left", "a", "b"]
    assert types(await em.events.chain(root.id)) == ["root", "left", "right", "a", "b"]
    assert types(await em.events.chain(leaves[1].id)) == ["root", "left", "b"]
    assert types(await em.events.chain(right.id)) == ["root", "right"]
    with pytest.raises(NotFoundError):
        await em.events.chain(10**9)


async def test_a_circle_of_parents_comes_to_an_end(em: EntityManager) -> None:
    first, second = await em.events.log("first"), await em.events.log("second")
    await em.events.update(first.id, {"parent_event_id": second.id})
    await em.events.update(second.id, {"parent_event_id": first.id})
    assert types(await em.events.chain(first.id)) == ["first", "second"]


async def test_changes_become_links_of_a_chain(em: EntityManager) -> None:
    event = await em.events.log("plan.made")
    with em.events.context(parent=event.id):
        agent = await em.agents.create({"name": "a"})
        await em.agents.update(agent.id, {"status": "thinking"})
    assert types(await em.events.chain(event.id)) == ["plan.made", "agent.created", "agent.updated"]


async def test_events_of_one_entity(database: DatabaseManager) -> None:
    clock = Clock(NOON)
    em = EntityManager(database, clock=clock)
    key = uuid4()
    for hours, event_type in ((30, "old"), (2, "seen"), (1, "moved"), (0, "seen")):
        clock.now = NOON - timedelta(hours=hours)
        await em.events.log(event_type, "document", key, created_at=clock.now)
    await em.events.log("seen", "context_document", uuid4())
    clock.now = NOON
    assert types(await em.events.for_entity("context_document", key)) == ["seen", "moved", "seen", "old"]
    assert types(await em.events.for_entity("document", str(key).upper(), hours=2)) == ["seen", "moved", "seen"]
    assert types(await em.events.for_entity("document", key, types=["moved", "old"])) == ["moved", "old"]
    assert types(await em.events.for_entity("document", key, hours=24, types=["old"])) == []
    assert types(await em.events.for_entity("document", key, limit=1)) == ["seen"]
    assert await em.events.for_entity("agent", key) == []


async def test_events_by_type_by_time_and_the_recent_ones(em: EntityManager) -> None:
    for minute in range(5):
        moment = NOON + timedelta(minutes=minute)
        await em.events.log("even" if minute % 2 == 0 else "odd", entity_id=str(minute), created_at=moment)

    def minutes(events: list[Event]) -> list[str]:
        return [event.entity_id for event in events]

    assert minutes(await em.events.find_by_type("even")) == ["4", "2", "0"]
    assert minutes(await em.events.find_by_type("even", since=NOON + timedelta(minutes=2))) == ["4", "2"]
    # Half-open: two neighbouring ranges neither share an event nor miss one.
    start, end = NOON + timedelta(minutes=1), NOON + timedelta(minutes=3)
    assert minutes(await em.events.find_between(start, end)) == ["1", "2"]
    assert minutes(await em.events.find_between(end, NOON + timedelta(hours=1), {"event_type": "even"})) == ["4"]
    assert minutes(await em.events.recent(2)) == ["4", "3"]
    naive: Any = datetime(2026, 5, 1, 12)  # noqa: DTZ001 (that is what is refused)
    for wrong in (em.events.find_between(naive, end), em.events.find_by_type("even", since=naive)):
        with pytest.raises(ValidationError, match="time zone"):
            await wrong


async def test_a_change_without_a_change_is_told_as_one(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a"})
    await em.agents.update(agent.id, {"description": None})
    (_, updated) = await trail(em)
    assert (updated.before, updated.after) != (None, None)
    assert "description" not in updated.before
