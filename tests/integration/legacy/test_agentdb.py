"""Seed 004: agentdb9.db as TypeORM made it, and as later versions did."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import AuthenticationError
from agent_system.importers.legacy import import_legacy
from agent_system.importers.legacy.converters import required, text
from agent_system.importers.legacy.description import System
from agent_system.importers.legacy.systems.agentdb.people import USERS as USERS_THERE
from agent_system.models import Message, MessageFeedback, metadata
from agent_system.types import (
    AgentStatus,
    ConversationStatus,
    FeedbackRating,
    MessageRole,
    ProjectStatus,
    StreamingState,
    UserRole,
)
from tests.integration.legacy.outcome import complaints, counts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from agent_system.entity_manager import EntityManager

    MakeFile = Callable[..., Path]

USERS = """CREATE TABLE users (id varchar PRIMARY KEY NOT NULL, email varchar NOT NULL, username varchar NOT NULL,
  password varchar NOT NULL, firstName varchar, lastName varchar, isActive boolean, role varchar, preferences text,
  lastLoginAt datetime, createdAt datetime, updatedAt datetime)"""
AGENTS = """CREATE TABLE agents (id varchar PRIMARY KEY, name varchar, description varchar, userId varchar,
  configuration text, status varchar(20), capabilities text, createdAt datetime, updatedAt datetime)"""
CONVERSATIONS = """CREATE TABLE conversations (id varchar PRIMARY KEY, agentId varchar, userId varchar,
  projectId varchar, title varchar, status varchar(20), workspaceId varchar, createdAt datetime, updatedAt datetime)"""
MESSAGES = """CREATE TABLE messages (id varchar PRIMARY KEY, conversationId varchar, role varchar, content text,
  metadata text, timestamp datetime)"""
LATER = (
    """CREATE TABLE workspaces (id varchar PRIMARY KEY, name varchar, userId varchar, type varchar, isDefault boolean,
       config text, status varchar, createdAt datetime, updatedAt datetime)""",
    """CREATE TABLE projects (id varchar PRIMARY KEY, name varchar, userId varchar, language varchar, agents text,
       workspaceId varchar, workspaceType varchar, volumeName varchar, createdAt datetime, updatedAt datetime)""",
    """CREATE TABLE long_term_memories (id varchar PRIMARY KEY, agentId varchar, projectId varchar, category varchar,
       summary text, details text, metadata text, importance float, accessCount integer, lastAccessedAt datetime,
       embedding text, createdAt datetime, updatedAt datetime)""",
    "CREATE TABLE knowledge_sources (id varchar PRIMARY KEY, status varchar)",
    "CREATE VIEW active_agents AS SELECT * FROM agents_that_were_dropped",
)
BCRYPT = "$2b$04$xGJeX/tJsMQDnprzQVLzEefMAK.a/JjUqjJ.FTtBWhqrs6aeQNq2i"
THEN = "2025-10-06 07:01:01"
MOMENT = datetime(2025, 10, 6, 7, 1, 1, tzinfo=UTC)


def user(key: str, name: str, password: str = BCRYPT, preferences: str | None = None) -> tuple[Any, ...]:
    return (key, f"{name}@x.io", name, password, None, None, 1, "user", preferences, None, THEN, THEN)


async def test_the_whole_file_comes_over(em: EntityManager, real_file: Callable[[str], Path]) -> None:
    path = real_file("agentdb9.db")
    report = await import_legacy(em, path)
    assert counts(report) == {
        "users": (10, 10, 0, 0, 0),
        "agents": (16, 16, 0, 0, 0),
        "projects": (21, 21, 0, 0, 0),
        "projects.agents": (24, 20, 0, 0, 4),
        "conversations": (37, 37, 0, 0, 0),
        "messages": (456, 456, 0, 0, 0),
        "messages.feedback": (0, 0, 0, 0, 0),
    }
    assert "plain-text!" not in str(report.as_dict())
    await check_users(em)
    await check_agents(em)
    await check_conversations(em)
    again = await import_legacy(em, path)
    assert (again.total("written"), again.total("rejected"), again.is_reconciled) == (0, 4, True)
    assert (await em.agents.count(), await em.users.count(), await em.messages.count()) == (16, 12, 456)
    assert await complaints(em) == []


async def check_users(em: EntityManager) -> None:
    found = {each.username: each for each in await em.users.find()}
    assert {"racer", "racer (2)", "racer (3)", "racer (4)"} <= found.keys()
    plain, second, broken = found["demo"], found["demo2"], found["alice"]
    assert (plain.password_hash, plain.must_reset_password, plain.role) == (None, True, UserRole.ADMIN)
    assert "plain-text!" not in str(plain.model_dump())
    assert (second.email, second.meta["legacy"]["email"]) == (None, "Demo@AgentDB9.com")
    assert second.last_login_at == datetime(2025, 10, 6, 7, 1, 1, tzinfo=UTC)
    assert broken.preferences == {"unreadable": '{"theme":'}
    assert (found["bob"].is_active, found["юзер"].first_name) == (False, "Иван")
    padded = found["racer (4)"]
    assert (padded.email, padded.password_hash) == ("spaced@x.io", None)
    assert (found["admin"].password_hash or "").startswith("$2b$12$")


async def check_agents(em: EntityManager) -> None:
    ghost, gone = await em.users.get_by_username("agentdb-ghost-user"), await em.users.get_by_username("agentdb-ghost")
    assert ghost is not None
    assert gone is not None
    broken, null = await em.agents.find_one(name="broken config"), await em.agents.find_one(name="null json")
    assert broken is not None
    assert null is not None
    # An agent without an owner would be everybody's.
    assert broken.user_id == ghost.id
    assert broken.configuration == {}
    assert broken.meta["legacy"] == {"id": "not-a-uuid", "userId": "ghost-user", "configuration": '{"model": "x",'}
    assert (null.status, null.capabilities, null.meta["legacy"]["status"]) == (AgentStatus.IDLE, [], "unknown-status")
    owner = await em.users.get_by_username("юзер")
    assert owner is not None
    names = {each.name for each in await em.agents.find(user_id=owner.id)}
    assert names == {"日本語エージェント", "O'Reilly", "TypeScript Assistant", "Бот 🤖", "O'Reilly (2)"}
    agent = await em.agents.find_one(user_id=owner.id, name="O'Reilly")
    assert agent is not None
    assert agent.instruction == "“smart quotes”\n"
    assert agent.capabilities[:2] == ["code-generation", "code-modification"]
    project = await em.projects.find_one(name="bad agents")
    assert project is not None
    assert (project.user_id, project.status, project.language) == (gone.id, ProjectStatus.DELETED, None)
    assert project.meta["legacy"]["agents"] == "not json"


async def check_conversations(em: EntityManager) -> None:
    dangling = await em.conversations.find_one(title="dangling")
    assert dangling is not None
    assert (dangling.status, dangling.agent_id) == (ConversationStatus.ARCHIVED, None)
    assert dangling.created_at == MOMENT
    shown = {name: dangling.meta["legacy"][name] for name in ("agentId", "userId")}
    assert shown == {"agentId": "ghost-agent", "userId": "ghost-user"}
    assert sum(each.message_count for each in (await em.conversations.list(limit=50)).items) == 455
    found = (await em.messages.list(where=(Message.content.startswith("ts "),), order_by="id")).items
    odd = sorted(found, key=lambda each: each.conversation_id is None)
    assert [each.role for each in odd] == [MessageRole.AGENT] * 5
    assert [each.created_at for each in odd[:4]] == [
        MOMENT,
        MOMENT.replace(microsecond=123000),
        MOMENT.replace(microsecond=123000),
        MOMENT,
    ]
    lost = odd[4]
    assert (lost.conversation_id, lost.meta["legacy"]["conversationId"]) == (None, "ghost-conv")
    assert (odd[0].meta["legacy"]["metadata"], lost.meta["legacy"]["timestamp"]) == ("{bad", "")
    called = (await em.messages.list(where=(Message.model == "gpt-4o",), limit=1)).items[0]
    assert (called.response_time_ms, called.tool_calls) == (1200.0, [{"name": "read"}])
    assert called.streaming_state is StreamingState.COMPLETE
    assert await em.messages.count(streaming_state=StreamingState.INTERRUPTED) == 89
    # A person's message is the owner's of its conversation.
    said = (await em.messages.list(where=(Message.role == MessageRole.USER,), limit=100)).items
    assert all(each.user_id is not None for each in said)


async def test_tables_and_columns_that_came_later(em: EntityManager, make_file: MakeFile) -> None:
    path = make_file(
        USERS,
        AGENTS,
        CONVERSATIONS,
        MESSAGES,
        *LATER,
        users=[user("u", "ada")],
        agents=[("a", "A", None, "u", None, "coding", '[{"type":"x","enabled":false},"y"]', THEN, THEN)],
        workspaces=[(key, key, "u", "docker", 1, '{"k":1}', "running", THEN, THEN) for key in ("w", "v")],
        projects=[("p", "P", "u", "go", '["a","a",{"id":"a"}]', "v", "node", "vol", THEN, THEN)],
        long_term_memories=[
            (f"m{number}", "a", "p", "lessons", "S", "D", '{"t":1}', 0.5, 3, THEN, "[1]", THEN, THEN)
            for number in (1, 2)
        ],
        conversations=[("c", "a", "u", "p", "T", "active", "w", THEN, THEN)],
        messages=[
            ("1", "c", "user", "hi", '{"feedback":"positive"}', THEN),
            ("2", "c", "agent", "yes", '{"feedback":{"rating":"odd"},"model":7,"streaming":true}', THEN),
        ],
        knowledge_sources=[("k", "indexed")],
    )
    report = await import_legacy(em, path)
    assert counts(report)["messages.feedback"] == (2, 1, 0, 0, 1)
    assert counts(report)["projects.agents"] == (3, 1, 0, 1, 1)
    assert (report.total("rejected"), list(report.left_out)) == (2, ["knowledge_sources"])
    owner = await em.users.get_by_username("ada")
    assert owner is not None
    (agent,) = await em.agents.find()
    assert (agent.status, agent.capabilities, agent.user_id) == (AgentStatus.CODING, ["y"], owner.id)
    first, second = await em.workspaces.find()
    assert [each.is_default for each in (first, second)] == [True, False]
    (project,) = await em.projects.find()
    assert (project.workspace_id, project.volume_name) == (second.id, "vol")
    assert project.meta["legacy"] == {"id": "p", "workspaceType": "node"}
    assert [each.id for each in (await em.projects.list(include=("agents",))).items[0].agents] == [agent.id]
    memory, twin = await em.memories.find()
    assert (memory.content, memory.context, memory.importance) == ("S", "D", 5)
    assert (memory.agent_id, memory.user_id, memory.recall_count) == (agent.id, str(owner.id), 3)
    assert (memory.status, twin.status) == ("active", "archived")
    message, answer = await em.messages.find()
    assert (message.user_id, answer.user_id, answer.meta["model"]) == (str(owner.id), None, 7)
    assert answer.streaming_state is StreamingState.INTERRUPTED
    table = metadata.tables[str(MessageFeedback.__tablename__)]
    (opinion,) = await em.db.read(lambda executor: executor.execute(table.select()).all())
    assert (opinion.message_id, opinion.rating) == (message.id, FeedbackRating.POSITIVE)


async def test_passwords_and_preferences_are_shown_to_nobody(em: EntityManager, make_file: MakeFile) -> None:
    rejected: list[Mapping[str, Any]] = []
    users = [user("u", "ada"), user("v", "bob", "hunter2"), user("w", "eve" * 3, "hunter2", '{"apiKey": "sk-1')]
    path = make_file(USERS, users=users)
    report = await import_legacy(em, path)
    await em.users.login("ada", "secret")
    with pytest.raises(AuthenticationError):
        await em.users.login("bob", "hunter2")
    bob = await em.users.get_by_username("bob")
    assert bob is not None
    assert (bob.must_reset_password, bob.password_hash) == (True, None)
    # What is rejected is shown, but not all of it.
    strict = replace(USERS_THERE, columns={**USERS_THERE.columns, "last_name": required(text("lastName"), "lastName")})
    systems = (System(name="strict", title="Strict", tables=(strict,)),)
    again = await import_legacy(em, path, systems=systems, rejected=lambda *row: rejected.append(row[3]))
    assert (again.total("rejected"), rejected[1]["password"], rejected[1]["username"]) == (3, "(secret)", "bob")
    shown = str(report.as_dict()) + str(again.as_dict()) + str(rejected)
    assert not any(secret in shown for secret in ("hunter2", "sk-1"))


async def test_rows_of_one_system_stay_apart_from_those_of_another(em: EntityManager, make_file: MakeFile) -> None:
    """Somebody who has registered with a name beforehand does not get what belongs to its old owner."""
    thief = await em.users.register("agentdb-ghost", None, "correct horse battery")
    path = make_file(AGENTS, agents=[("a", "A", None, "ghost", "{}", "idle", "[]", THEN, THEN)])
    await import_legacy(em, path)
    (agent,) = await em.agents.find()
    assert agent.user_id is not None
    owner = await em.users.require(agent.user_id)
    assert owner.id != thief.id
    assert (owner.username, owner.password_hash) == ("agentdb-ghost (2)", None)
