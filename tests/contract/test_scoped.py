"""A facade that is bound to somebody: what belongs to others is not there."""

from __future__ import annotations

import asyncio
import re
from contextlib import nullcontext, suppress
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import partial
from inspect import isasyncgen
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import func, literal_column, select, text, union, update
from uuid_utils.compat import uuid7

from agent_system.database.executor import Executor
from agent_system.errors import (
    AgentSystemError,
    DuplicateKeyError,
    ForeignKeyError,
    NotFoundError,
    PermissionDeniedError,
    ScopeError,
    ValidationError,
)
from agent_system.managers.isolation.database import ScopedDatabase
from agent_system.managers.isolation.executor import ScopedExecutor
from agent_system.managers.isolation.policies import Either, Identity, Parent
from agent_system.managers.isolation.registry import POLICIES
from agent_system.models import Agent, Conversation, Message, Task, User, metadata
from agent_system.testing.factories import Factories
from tests.migration.rows import ROWS
from tests.planted import ADA, MARK, plant, read_all, shared_tables
from tests.scoped_arguments import attributes_of, calls_of, verbs_of
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

TASK = {"instruction": "do"}


@pytest.fixture
async def ada(em: EntityManager) -> User:
    return await em.users.create({"username": "ada"})


@pytest.fixture
async def bob(em: EntityManager) -> User:
    return await em.users.create({"username": "bob"})


@pytest.fixture
def hers(em: EntityManager, ada: User) -> EntityManager:
    return em.scoped(user_id=ada.id)


@pytest.fixture
def his(em: EntityManager, bob: User) -> EntityManager:
    return em.scoped(user_id=bob.id)


# Whose rows are.


def test_somebody_has_said_whose_the_rows_of_every_table_are() -> None:
    """Whoever adds a table says in managers/isolation/registry.py whose its rows are."""
    assert POLICIES.keys() == metadata.tables.keys()


def test_what_is_said_fits_the_tables() -> None:
    for name, policy in POLICIES.items():
        columns = metadata.tables[name].columns
        assert policy.changes is None or policy.changes <= {*columns.keys()}
        assert policy.shared is None or policy.shared in columns
        for rule in policy.rules.values():
            for one in rule.rules if isinstance(rule, Either) else (rule,):
                column = columns[one.name]
                if isinstance(one, Identity):
                    assert column.type.python_type is str
                if isinstance(one, Parent):
                    targets = {key.column.table.name for key in column.foreign_keys}
                    assert targets <= {one.table}
                    assert len(metadata.tables[one.table].primary_key.columns) == 1


def test_a_table_with_an_owner_is_not_open() -> None:
    owners = {"user_id", "agent_id", "guild_id", "session_uuid"}
    for name, policy in POLICIES.items():
        assert not (policy.is_open and owners & {*metadata.tables[name].columns.keys()}), name


# What a scope may do.


async def test_new_rows_get_their_owner(ada: User, hers: EntityManager) -> None:
    agent = await hers.agents.create({"name": "a"})
    conversation = await hers.conversations.create({"agent_id": agent.id})
    said = await hers.messages.append(conversation.id, {"role": "user"})
    alone = await hers.messages.create({"role": "user"})
    task = await hers.tasks.create(TASK | {"agent_id": agent.id, "conversation_id": conversation.id})
    memory = await hers.memories.create({"content": "x"})
    assert (agent.user_id, conversation.user_id, task.user_id) == (ada.id, ada.id, ada.id)
    assert (said.user_id, alone.user_id, memory.user_id) == (None, str(ada.id), str(ada.id))
    many = await hers.agents.create_many([{"name": "b"}, {"name": "c", "user_id": ada.id}])
    assert {one.user_id for one in many} == {ada.id}
    put = await hers.agents.upsert({"name": "a", "instruction": "changed"}, on=("name",))
    assert (put.id, put.user_id, put.instruction) == (agent.id, ada.id, "changed")


async def test_what_is_somebody_elses_is_not_there(hers: EntityManager, his: EntityManager) -> None:
    agent = await hers.agents.create({"name": "a"})
    conversation = await hers.conversations.create({"title": "secret"})
    message = await hers.messages.append(conversation.id, {"role": "user", "content": "secret"})
    assert await his.agents.get_by_id(agent.id) is None
    assert await his.agents.get_by_name("a") is None
    assert await his.conversations.find() == []
    assert await his.messages.last(conversation.id) == []
    assert (await his.messages.list()).items == []
    assert [row async for row in his.messages.iter()] == []
    assert await his.messages.count() == 0
    assert not await his.messages.exists(id=message.id)
    assert await his.messages.get_many([message.id]) == {}
    assert await his.search("agent", "a") == []
    assert not await his.conversations.delete(conversation.id)
    for refused in (
        his.agents.require(agent.id),
        his.agents.update(agent.id, {"name": "b"}),
        his.agents.add_capability(agent.id, "x"),
        his.conversations.archive(conversation.id),
        his.messages.append(conversation.id, {"role": "user"}),
    ):
        with pytest.raises(NotFoundError):
            await refused
    assert await hers.messages.count() == 1
    assert (await hers.agents.require(agent.id)).model_dump() == agent.model_dump()


async def test_nothing_is_given_to_somebody_else(ada: User, hers: EntityManager, his: EntityManager) -> None:
    agent = await his.agents.create({"name": "mine"})
    for refused in (
        his.agents.create({"name": "a", "user_id": ada.id}),
        his.agents.create_many([{"name": "b"}, {"name": "a", "user_id": ada.id}]),
        his.agents.upsert({"name": "a", "user_id": ada.id}, on=("name",)),
        his.agents.update(agent.id, {"user_id": ada.id}),
        his.agents.update(agent.id, {"user_id": None}),
        his.messages.create({"role": "user", "user_id": str(ada.id)}),
        his.messages.create({"role": "user", "user_id": "discord:1"}),
        his.memories.create({"content": "x", "user_id": str(ada.id)}),
    ):
        with pytest.raises(ScopeError) as caught:
            await refused
        assert caught.value.field == "user_id"
    assert await hers.agents.count() == await hers.messages.count() == await hers.memories.count() == 0
    assert await his.agents.count() == 1
    assert await his.messages.count() == 0


async def test_nothing_refers_to_what_is_somebody_elses(
    em: EntityManager, hers: EntityManager, his: EntityManager
) -> None:
    agent = await hers.agents.create({"name": "a"})
    conversation = await hers.conversations.create({})
    task = await hers.tasks.create(TASK)
    message = await hers.messages.append(conversation.id, {"role": "user"})
    own = await his.tasks.create(TASK)
    for refused, field in (
        (his.tasks.create(TASK | {"agent_id": agent.id}), "agent_id"),
        (his.tasks.create(TASK | {"conversation_id": conversation.id}), "conversation_id"),
        (his.tasks.create_many([TASK, TASK | {"parent_task_id": task.id}]), "parent_task_id"),
        (his.tasks.update(own.id, {"agent_id": agent.id}), "agent_id"),
        (his.conversations.create({"agent_id": agent.id}), "agent_id"),
        (his.messages.create({"role": "user", "conversation_id": conversation.id}), "conversation_id"),
        (his.messages.create({"role": "user", "response_id": message.id}), "response_id"),
    ):
        # As if there were none.
        with pytest.raises(ForeignKeyError) as caught:
            await refused
        assert caught.value.field == field
    missing = await _error(his.tasks.create(TASK | {"agent_id": uuid7()}))
    foreign = await _error(his.tasks.create(TASK | {"agent_id": agent.id}))
    assert type(missing) is type(foreign)
    assert await em.tasks.count() == 2


async def _error(verb: Any) -> Exception:
    with pytest.raises(ForeignKeyError) as caught:
        await verb
    return caught.value


async def test_what_all_share_is_read_and_not_changed(em: EntityManager, his: EntityManager) -> None:
    shared = await em.agents.create({"name": "shared"})
    tool = await em.tools.create({"name": "search"})
    await em.agents.add_tool(shared.id, tool.id)
    assert (await his.agents.require(shared.id)).name == "shared"
    assert [row.name for row in await his.agents.tools_of(shared.id)] == ["search"]
    assert (await his.tools.get_by_name("search")) is not None
    assert (await his.tasks.create(TASK | {"agent_id": shared.id})).agent_id == shared.id
    for refused in (
        his.agents.update(shared.id, {"name": "x"}),
        his.agents.add_capability(shared.id, "x"),
        his.agents.add_tool(shared.id, tool.id),
        his.tools.update(tool.id, {"name": "x"}),
        his.tools.create({"name": "x"}),
    ):
        with pytest.raises((ScopeError, NotFoundError, ForeignKeyError)):
            await refused
    assert not await his.tools.delete(tool.id)
    assert not await his.agents.delete(shared.id)
    assert (await em.agents.require(shared.id)).model_dump() == shared.model_dump()
    assert await em.tools.count() == 1


async def test_what_a_scope_adds_for_all_says_nothing_that_all_would_believe(
    em: EntityManager, his: EntityManager
) -> None:
    host = await em.hosts.create({"name": "host"})
    for refused, field in (
        (his.hosts.create({"name": "evil", "base_url": "https://evil.example"}), "base_url"),
        (his.models.create({"name": "m", "host_id": host.id, "input_cost_per_1k": 9.0}), "input_cost_per_1k"),
        (his.models.ensure("m", "evil", output_cost_per_1k=0.0), "output_cost_per_1k"),
        (his.hosts.update(host.id, {"base_url": "https://evil.example"}), "base_url"),
    ):
        with pytest.raises(ScopeError) as caught:
            await refused
        assert caught.value.field == field
    assert (await em.hosts.count(), await em.models.count()) == (1, 0)


async def test_a_name_is_ones_own(hers: EntityManager, his: EntityManager) -> None:
    first, second = await hers.agents.create({"name": "a"}), await his.agents.create({"name": "a"})
    assert first.id != second.id
    with pytest.raises(DuplicateKeyError):
        await his.agents.create({"name": "A"})


async def test_a_taken_key_tells_nothing_and_changes_nothing(hers: EntityManager, his: EntityManager) -> None:
    message = await hers.messages.create({"role": "user", "content": "secret"})
    with pytest.raises(DuplicateKeyError):
        await his.messages.create({"role": "user", "uid": message.uid, "content": "mine"})
    assert (await hers.messages.require(message.id)).content == "secret"


async def test_a_scope_covers_the_identities_of_its_user(
    em: EntityManager, ada: User, hers: EntityManager, his: EntityManager
) -> None:
    await em.identities.link("discord:1", ada.id)
    await em.messages.create({"role": "user", "user_id": "discord:1"})
    await em.memories.create({"content": "x", "user_id": "discord:1"})
    assert (await hers.messages.count(), await hers.memories.count(), await hers.identities.count()) == (1, 1, 2)
    assert (await his.messages.count(), await his.memories.count(), await his.identities.count()) == (0, 0, 1)
    assert (await hers.messages.create({"role": "user", "user_id": "discord:1"})).user_id == "discord:1"
    await em.identities.unlink("discord:1")
    assert await hers.messages.count() == 0


async def test_somebody_without_an_account_is_an_identity(em: EntityManager, his: EntityManager) -> None:
    await em.identities.ensure("discord:1")
    await em.identities.ensure("discord:2")
    one, two = em.scoped(user_id="discord:1"), em.scoped(user_id="discord:2")
    message = await one.messages.create({"role": "user"})
    assert message.user_id == "discord:1"
    assert (await one.messages.count(), await two.messages.count(), await his.messages.count()) == (1, 0, 0)
    assert [row.id for row in await one.identities.find()] == ["discord:1"]
    with pytest.raises(ScopeError):
        await one.agents.create({"name": "a"})


async def test_nobody_raises_themselves(em: EntityManager, bob: User, his: EntityManager) -> None:
    root = await em.users.import_account({"username": "root", "role": "admin"})
    for refused in (
        his.users.set_role(bob.id, "admin", by=None),
        his.users.set_role(bob.id, "admin", by=root.id),
        his.users.deactivate(root.id),
        his.users.set_password(bob.id, "long enough"),
        his.users.register("eve", None, "long enough"),
        his.users.create({"username": "eve"}),
        his.users.update(bob.id, {"email": "ada@example.org"}),
        his.identities.link("discord:1", bob.id),
        his.identities.create({"id": "discord:1", "display_name": "x"}),
        his.identities.update(str(bob.id), {"discord_id": "1"}),
        his.identities.ensure("discord:1"),
        his.users.delete(bob.id),
    ):
        with pytest.raises((PermissionDeniedError, NotFoundError)):
            await refused
    assert (await em.users.require(bob.id)).model_dump() == bob.model_dump()
    assert await em.identities.count() == 2
    assert await his.users.get_by_username("root") is None
    changed = await his.users.update(bob.id, {"username": "Robert", "preferences": {"theme": "dark"}})
    assert (changed.username, changed.preferences) == ("Robert", {"theme": "dark"})
    assert (await his.identities.require(str(bob.id))).display_name == "Robert"


# Other dimensions.


async def test_the_scope_of_an_agent_a_project_and_a_session(em: EntityManager) -> None:
    agents = await em.agents.create_many([{"name": "a"}, {"name": "b"}])
    projects = await em.projects.create_many([{"name": "p"}, {"name": "q"}])
    for dimension, keys, column in (
        ("agent_id", [one.id for one in agents], "agent_id"),
        ("project_id", [one.id for one in projects], "project_id"),
        ("session", ["s", "t"], "session_uuid"),
    ):
        mine, other = (em.scoped(**{dimension: key}) for key in keys)
        conversation = await mine.conversations.create({})
        assert getattr(conversation, column) == keys[0]
        await mine.messages.append(conversation.id, {"role": "user"})
        task = await mine.tasks.create(TASK)
        assert getattr(task, column) == keys[0]
        assert (await mine.messages.count(), await mine.tasks.count(), await mine.conversations.count()) == (1, 1, 1)
        assert (await other.messages.count(), await other.tasks.count(), await other.conversations.count()) == (0, 0, 0)
        with pytest.raises(NotFoundError):
            await other.messages.append(conversation.id, {"role": "user"})
        with pytest.raises(ScopeError):
            await other.tasks.create(TASK | {column: keys[0]})


async def test_the_scope_of_a_guild_meets_people(em: EntityManager) -> None:
    mine, other = em.scoped(guild_id="1"), em.scoped(guild_id="2")
    message = await mine.messages.create({"role": "user", "user_id": "discord:1"})
    assert (message.guild_id, message.user_id) == ("1", "discord:1")
    assert (await em.identities.require("discord:1")).user_id is None
    assert (await mine.messages.count(), await other.messages.count()) == (1, 0)
    assert await mine.identities.find() == []
    # What no guild has is closed.
    with pytest.raises(ScopeError):
        await mine.tasks.create(TASK)
    assert await mine.tasks.count() == 0


async def test_dimensions_narrow_each_other(em: EntityManager, ada: User, bob: User) -> None:
    hers, his = (em.scoped(user_id=user.id, guild_id="1") for user in (ada, bob))
    for facade in (hers, his, em.scoped(user_id=ada.id), em.scoped(guild_id="1")):
        await facade.messages.create({"role": "user"})
    assert (await hers.messages.count(), await em.scoped(user_id=ada.id).messages.count()) == (1, 2)
    assert await em.scoped(guild_id="1").messages.count() == 3
    # A table without guilds belongs to the user.
    assert (await hers.tasks.create(TASK)).user_id == ada.id
    agent = await em.agents.create({"name": "b", "user_id": bob.id})
    assert await em.scoped(user_id=ada.id, agent_id=agent.id).agents.find() == []


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"user_id": None},
        {"user_id": 7},
        {"agent_id": "a"},
        {"agent_id": 7},
        {"project_id": "p"},
        {"guild_id": 7},
        {"session": 7},
    ],
)
async def test_a_scope_is_somebodys(em: EntityManager, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        em.scoped(**given)


# What leads past a scope.


async def test_nothing_leads_past_a_scope(em: EntityManager, his: EntityManager) -> None:
    assert isinstance(his.db, ScopedDatabase)
    for name in ("engine",):
        with pytest.raises(ScopeError):
            getattr(his.db, name)
    for refused in (his.db.connect, his.db.disconnect, his.db.health, his.health):
        with pytest.raises(ScopeError):
            await refused()
    for read_only in (True, False):
        with pytest.raises(ScopeError):
            async with his.db.session(read_only=read_only):
                pass
    with pytest.raises(ScopeError):
        his.scoped(user_id=uuid7())
    assert em.db.is_connected
    assert his.db.is_connected
    assert str(em.db.url) not in repr(his.db)


def test_all_that_a_database_offers_is_answered_or_refused() -> None:
    from agent_system.database.manager import DatabaseManager as Whole  # noqa: PLC0415 (beside the type of that name)

    ours = {name for name in vars(Whole) if not name.startswith("_")}
    assert ours <= vars(ScopedDatabase).keys(), "what is new in DatabaseManager has to be scoped or refused"


def test_all_that_an_executor_offers_is_bound_to_the_scope() -> None:
    offered = {name for name in vars(Executor) if not name.startswith("_")}
    assert offered <= vars(ScopedExecutor).keys(), "what is new in Executor has to be scoped or refused"


async def test_no_manager_of_a_scope_leads_to_the_whole_database(em: EntityManager, his: EntityManager) -> None:
    """Whatever a manager keeps is bound to the scope, or leads nowhere."""
    await em.agents.create({"name": "a"})
    names = [name for name, value in vars(em).items() if hasattr(value, "entity")]
    assert len(names) > 30
    for name in names:
        assert leads_to(getattr(his, name), em.db) is None, name
    assert leads_to(em.agents, em.db) is not None


def leads_to(start: Any, whole: Any) -> str | None:
    """The way from an object to the whole database; None when there is none."""
    seen: set[int] = set()
    waiting: list[tuple[Any, str]] = [(start, type(start).__name__)]
    while waiting:
        value, way = waiting.pop()
        if value is whole:
            return way
        if id(value) in seen or isinstance(value, ScopedDatabase):
            continue
        seen.add(id(value))
        for name, part in parts_of(value):
            waiting.append((part, f"{way}.{name}"))
    return None


def parts_of(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(str(number), part) for number, part in enumerate(value)]
    parts: list[tuple[str, Any]] = []
    for name in ("__self__", "func", "args", "keywords", "__closure__"):
        part = getattr(value, name, None) if callable(value) and not isinstance(value, type) else None
        parts.append((name, [cell.cell_contents for cell in part] if name == "__closure__" and part else part))
    if type(value).__module__.startswith("agent_system."):
        parts += list(getattr(value, "__dict__", {}).items())
        slots = [slot for kind in type(value).__mro__ for slot in getattr(kind, "__slots__", ())]
        parts += [(slot, getattr(value, slot, None)) for slot in slots]
    return parts


# Statements of any kind.


async def test_any_statement_is_bound(em: EntityManager, hers: EntityManager, his: EntityManager) -> None:
    conversation = await hers.conversations.create({})
    await hers.messages.append(conversation.id, {"role": "user", "content": "secret"})
    shared = await em.agents.create({"name": "shared"})
    await hers.tasks.create(TASK | {"agent_id": shared.id})
    messages, tasks, agents = (metadata.tables[name] for name in ("messages", "tasks", "agents"))
    other = messages.alias("other")
    inner = select(messages.c.id).where(messages.c.content == "secret").cte("inner_messages")
    statements = {
        "all": select(messages),
        "class": select(Message).where(Message.content == "secret"),
        "alias": select(other.c.content),
        "anonymous alias": select(messages.alias().c.content),
        "subquery": select(select(messages.c.id).subquery().c.id),
        "cte": select(inner.c.id),
        "union": union(select(messages.c.id), select(other.c.id)),
        "or": select(messages.c.id).where(literal_column("1=1 OR 1=1")),
        "exists": select(agents.c.id).where(select(tasks.c.id).where(tasks.c.agent_id == agents.c.id).exists()),
        "in": select(agents.c.id).where(agents.c.id.in_(select(tasks.c.agent_id))),
        "join": select(agents.c.id, tasks.c.id).join_from(agents, tasks, tasks.c.agent_id == agents.c.id),
        "lock": select(messages.c.id).with_for_update(),
    }
    for name, statement in statements.items():
        assert await his.db.read(lambda executor, one=statement: executor.execute(one).all()) == [], name
        if name != "lock":
            assert await hers.db.read(lambda executor, one=statement: executor.execute(one).all()) != [], name
    scalar = select(select(func.count()).select_from(messages).scalar_subquery())
    assert await his.db.read(lambda executor: executor.execute(scalar).scalar_one()) == 0
    assert await hers.db.read(lambda executor: executor.execute(scalar).scalar_one()) == 1
    outer = select(agents.c.id, tasks.c.id).join_from(agents, tasks, tasks.c.agent_id == agents.c.id, isouter=True)
    assert await his.db.read(lambda executor: executor.execute(outer).all()) == [(shared.id, None)]


async def test_what_cannot_be_bound_is_refused(hers: EntityManager, his: EntityManager) -> None:
    await hers.messages.create({"role": "user", "content": "secret"})
    messages = metadata.tables["messages"]
    twice = select(messages.c.id).subquery()
    for statement in (
        text("SELECT * FROM messages"),
        text("SELECT content FROM messages").columns(messages.c.content),
        select(literal_column("(SELECT content FROM messages)")),
        select(messages.c.id).where(text("EXISTS (SELECT 1 FROM messages)")),
        select(literal_column("1")).select_from(text("messages")),
        update(messages).where(messages.c.id.in_(select(twice.c.id))).values(content="x"),
        metadata.tables["messages"].insert().values([{"role": "user"}, {"role": "user"}]),
    ):
        with pytest.raises(ScopeError):
            await his.db.write(lambda executor, one=statement: executor.execute(one))


async def test_a_filter_does_not_widen_a_scope(hers: EntityManager, his: EntityManager) -> None:
    agent = await hers.agents.create({"name": "secret"})
    await hers.tasks.create(TASK | {"agent_id": agent.id})
    assert (await his.agents.list([Agent.name == "secret"])).items == []
    assert (await his.agents.list(literal_column("1=1 OR 1=1"))).items == []
    own = await his.agents.create({"name": "mine"})
    assert [row.id for row in (await his.agents.list(Agent.id.not_in(select(Task.agent_id)))).items] == [own.id]  # type: ignore[attr-defined]
    assert (await his.agents.list(Agent.id.in_(select(Task.agent_id)))).items == []  # type: ignore[attr-defined]
    with pytest.raises(ScopeError):
        await his.agents.list(literal_column("EXISTS (SELECT 1 FROM tasks)"))


async def test_statements_that_write_are_bound(ada: User, hers: EntityManager, his: EntityManager) -> None:
    await hers.conversations.create({"title": "secret"})
    table = Conversation.__table__  # type: ignore[attr-defined]

    async def run(statement: Any, parameters: Any = None) -> int:
        return int(await his.db.write(lambda executor: executor.execute(statement, parameters).rowcount))

    assert await run(update(table).values(title="x")) == 0
    assert await run(table.delete()) == 0
    key = {"id": uuid7()}
    assert await run(table.insert().values(**key, title="mine")) == 1
    await run(table.insert(), [{"id": uuid7()}, {"id": uuid7()}])
    assert await run(table.insert(), {"id": uuid7(), "title": "one"}) == 1
    assert await his.conversations.count() == 4
    for statement, parameters in (
        (table.insert().values(id=uuid7(), user_id=ada.id), None),
        (table.insert(), [{"id": uuid7()}, {"id": uuid7(), "user_id": ada.id}]),
        (update(table).values(user_id=ada.id), None),
        (update(table).values(user_id=None), None),
        (update(table).values(user_id=table.c.agent_id), None),
        (update(table), {"user_id": ada.id}),
    ):
        with pytest.raises(ScopeError):
            await run(statement, parameters)
    copies = select(table.c.user_id, literal_column("'copy'")).select_from(table)
    assert await run(table.insert().from_select(["user_id", "title"], copies.where(table.c.title == "secret"))) == 0
    assert [row.title for row in await hers.conversations.find()] == ["secret"]


# Together with the rest.


async def test_a_scope_joins_a_transaction(
    database: DatabaseManager, em: EntityManager, hers: EntityManager, his: EntityManager
) -> None:
    class Undo(Exception):  # noqa: N818 (nothing is wrong)
        pass

    async def in_vain() -> None:
        async with hers.db.transaction() as transaction:
            await hers.agents.create({"name": "a"})
            await em.agents.create({"name": "shared"})
            assert await hers.agents.count() == 2
            assert await his.agents.count() == 1
            assert await transaction.run(_count_agents, isolate=False) == 2
            with pytest.raises(ScopeError):
                await transaction.connection()
            raise Undo

    with pytest.raises(Undo):
        await in_vain()
    assert await em.agents.count() == 0
    async with database.transaction():
        await hers.agents.create({"name": "a"})
    assert await hers.agents.count() == 1


def _count_agents(executor: Any) -> int:
    return int(executor.execute(select(func.count()).select_from(metadata.tables["agents"])).scalar_one())


async def test_changes_of_a_scope_are_audited(em: EntityManager, hers: EntityManager) -> None:
    agent = await hers.agents.create({"name": "a"})
    await hers.agents.update(agent.id, {"name": "b"})
    await hers.agents.delete(agent.id)
    types = [event.event_type for event in await em.events.find(entity_id=str(agent.id))]
    assert types == ["agent.created", "agent.updated", "agent.deleted"]
    assert await hers.events.count() == 0


async def test_many_scopes_work_at_once(em: EntityManager) -> None:
    users = await em.users.create_many({"username": f"user-{n}"} for n in range(16))

    async def work(user: User) -> None:
        mine = em.scoped(user_id=user.id)
        conversation = await mine.conversations.create({"title": user.username})
        await asyncio.gather(*(mine.messages.append(conversation.id, {"role": "user"}) for _ in range(4)))
        assert [one.title for one in await mine.conversations.find()] == [user.username]
        assert await mine.messages.count() == 4

    await asyncio.gather(*map(work, users))
    assert await em.messages.count() == 64


async def test_a_scope_costs_no_more_statements_to_read(em: EntityManager, ada: User, hers: EntityManager) -> None:
    conversation = await hers.conversations.create({})
    await hers.messages.append_many(conversation.id, [{"role": "user"}] * 20)
    for verb in (
        lambda facade: facade.conversations.get_by_id(conversation.id),
        lambda facade: facade.conversations.list(include=("messages",)),
        lambda facade: facade.messages.last(conversation.id),
        lambda facade: facade.messages.count(),
        lambda facade: facade.users.get_by_id(ada.id),
    ):
        counts = []
        for facade in (em, hers):
            with recorded_statements() as statements:
                await verb(facade)
            counts.append(len(statements))
        assert counts[1] <= counts[0]


async def test_a_scope_may_log_a_model_that_nobody_has_named(em: EntityManager) -> None:
    user = await em.users.register("ada", None, "correct horse battery")
    scoped = em.scoped(user_id=user.id)
    logged = await scoped.token_usage.log_usage(host="newcomer", model="m", input_tokens=3)
    assert (await scoped.token_usage.summary()).requests == 1
    with pytest.raises(ScopeError, match="cannot be changed"):
        await scoped.models.update(logged.model_id, {"input_cost_per_1k": 0.0})


async def test_a_shared_project_is_named_but_not_made_in_a_scope(em: EntityManager) -> None:
    user = await em.users.register("ada", None, "correct horse battery")
    scoped = em.scoped(user_id=user.id)
    with pytest.raises(ScopeError, match="no shared project"):
        await scoped.token_usage.log_usage(project="shop", model="m", input_tokens=3)
    assert await em.projects.count() == await em.token_usage.count() == 0
    shared = await em.projects.ensure("shop")
    assert (await scoped.token_usage.log_usage(project="shop", model="m", input_tokens=3)).project_id == shared.id


# Every verb of every manager.


class Undo(Exception):  # noqa: N818 (nothing is wrong)
    """Takes back what a verb has done."""


class Attempt:
    """Eve calls every verb with Ada's keys, each in a transaction that is taken back."""

    def __init__(self, em: EntityManager, eve: User) -> None:
        self.em = em
        self.eve = eve
        self.factories = Factories(em)
        tables = {name: ROWS[getattr(em, name).entity.__tablename__] for name in attributes_of(em)}
        self.factories._owners |= {name: row["id"] for name, row in tables.items() if "id" in row}
        self.problems: list[str] = []
        self.before: dict[str, list[tuple[Any, ...]]] = {}

    async def all_outcomes(
        self, facade: EntityManager, *, is_watched: bool, only: Collection[str] = ()
    ) -> dict[str, Any]:
        """What came of each call; with `is_watched`, whatever is not Eve's must be as it was."""
        outcomes: dict[str, Any] = {}
        for attribute in only or attributes_of(self.em):
            manager = getattr(facade, attribute)
            for verb in verbs_of(manager):
                minimal = await self.minimal(attribute)
                for how, arguments, named in calls_of(manager, attribute, verb, minimal):
                    name = f"em.{attribute}.{verb}() {how}"
                    call = partial(getattr(manager, verb), *arguments, **named)
                    outcomes[name] = await self.outcome(name, call, is_watched=is_watched)
        return outcomes

    async def minimal(self, attribute: str) -> dict[str, Any]:
        known = attribute in self.factories.attributes
        data = self.factories._minimal[attribute](f"eve-{next(self.factories._numbers)}") if known else {}
        return {key: value for key, value in data.items() if key != "user_id"}

    async def outcome(self, name: str, call: Any, *, is_watched: bool) -> Any:
        outcome: Any = None
        with suppress(Undo):
            is_grouped = any(f"em.{one}()" in name for one in GROUPED)
            async with nullcontext() if is_grouped else self.em.db.transaction():
                if is_watched and (is_grouped or not self.before):
                    # What a verb does is taken back: all begin with the same rows.
                    self.before = await self.rows()
                with recorded_statements() as statements:
                    outcome = await result_of(name, call)
                if is_watched and any(one.lstrip().startswith(WRITES) for one in statements):
                    self.compare(name, self.before, await self.rows())
                undo()
        self.check(name, outcome)
        return shape(outcome)

    async def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        return await self.em.db.read(read_all)

    def compare(self, name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Nothing that was there has changed, but for what is Eve's own, and nothing new is about Ada."""
        for table, rows in before.items():
            kept, now = {row for row in rows if str(self.eve.id) not in row}, set(after[table])
            if not kept <= now:
                self.problems.append(f"{name} changes {table}: {kept - now}")
            for row in now - set(rows):
                if str(ADA) in row or any(MARK in value for value in row if str(self.eve.id) not in row):
                    self.problems.append(f"{name} adds to {table}: {row}")

    def check(self, name: str, outcome: Any) -> None:
        """What is told is none of Ada's; an error may repeat the arguments."""
        told = str(outcome) if isinstance(outcome, Exception) else repr(plain(outcome))
        if isinstance(outcome, WrongCall):
            self.problems.append(told)
        if MARK in told and not isinstance(outcome, Exception):
            self.problems.append(f"{name} tells {told}")


class WrongCall(Exception):  # noqa: N818 (an outcome)
    """A call that failed otherwise than verbs fail."""


# They wait for others to be written together with them, which nobody can while a transaction is open.
GROUPED = ("queue.complete", "queue.fail", "queue.heartbeat")


def undo() -> None:
    raise Undo


async def result_of(name: str, call: Any) -> Any:
    try:
        async with asyncio.timeout(20):
            result = call()
            return [row async for row in result] if isasyncgen(result) else await result
    except AgentSystemError as exc:
        return exc
    except Exception as exc:  # noqa: BLE001 (told with all the others)
        return WrongCall(f"{name} raised {exc!r}: a wrong argument?")


WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")


def plain(value: Any) -> Any:
    """A result as plain values."""
    if hasattr(value, "model_dump"):
        return {"class": type(value).__name__, **value.model_dump()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple, set, frozenset)) else value


# Keys are new each time, and so are the names that the factories count.
KEY = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|eve-\d+")


def shape(outcome: Any) -> Any:
    """What is compared: an error's class, or the result without what is new each time."""
    if isinstance(outcome, Exception):
        return type(outcome).__name__
    return _shape(plain(outcome))


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "..." if key == "id" or key.endswith("_id") else _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    if isinstance(value, (UUID, datetime)):
        return "..."
    return KEY.sub("...", value) if isinstance(value, str) else value


@pytest.mark.timeout(300)
async def test_no_verb_gets_at_what_is_somebody_elses(database: DatabaseManager, em: EntityManager) -> None:
    """What Eve gets is what she would get if Ada had never been there, and what is Ada's stays as it is.

    A verb of a new manager is called by itself; when it has an argument of a new name, add that to
    tests/scoped_arguments.py.
    """
    await write(database, shared_tables(), marked=False)
    eve = await em.users.create({"username": "eve"})
    attempt = Attempt(em, eve)
    facade = em.scoped(user_id=eve.id)
    alone = await attempt.all_outcomes(facade, is_watched=False)
    await write(database, metadata.tables.keys() - shared_tables())
    beside_ada = await attempt.all_outcomes(facade, is_watched=True)
    assert not attempt.problems, "\n".join(attempt.problems)
    different = {
        name: (outcome, beside_ada[name])
        for name, outcome in alone.items()
        # That a key or a name is taken is all that she may learn. PostgreSQL counts keys as if the planted rows, whose
        # keys are given, were not there, and does not take its count back.
        if outcome != beside_ada[name] and "DuplicateKeyError" not in {str(outcome), str(beside_ada[name])}
    }
    assert not different, "\n".join(f"{name}: {pair}" for name, pair in different.items())
    assert len(alone) > 900


async def test_the_attempt_finds_what_it_is_looking_for(database: DatabaseManager, em: EntityManager) -> None:
    """Without a scope nearly every verb gets at Ada's rows; a test that misses that would prove nothing."""
    eve = await em.users.create({"username": "eve"})
    await write(database, metadata.tables.keys())
    attempt = Attempt(em, eve)
    outcomes = await attempt.all_outcomes(em, is_watched=True, only=("agents", "conversations", "memories"))
    assert len({problem.split(" ")[0] for problem in attempt.problems}) > 0.6 * len(outcomes)


async def write(database: DatabaseManager, tables: Iterable[str], *, marked: bool = True) -> None:
    async with database.session() as session:
        connection = await session.connection()
        await connection.run_sync(partial(plant, tables=set(tables), marked=marked))
        await session.commit()
