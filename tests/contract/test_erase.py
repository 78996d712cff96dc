"""Erasing somebody: nothing of them is left, nothing of others is touched, and a receipt tells what was done."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from agent_system.backup.service import create_backup
from agent_system.errors import NotFoundError, ScopeError, TransactionError
from agent_system.managers.privacy.registry import ENTITY_TABLES, PRIVACY
from agent_system.managers.privacy.rules import Action
from agent_system.models import metadata
from agent_system.models.columns import Json, Text
from tests import requirements as requires
from tests.planted import ADA, MARK, mark, marked_columns, plant, read_all
from tests.traces import count_in_files

if TYPE_CHECKING:
    from pathlib import Path

    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager

WORDS = (MARK, MARK.replace("-", " "), "planted")


async def plant_all(database: DatabaseManager) -> None:
    async with database.session() as session:
        connection = await session.connection()
        await connection.run_sync(partial(plant, tables=set(metadata.tables)))
        await session.commit()


async def everything(database: DatabaseManager) -> dict[str, Any]:
    async with database.session(read_only=True) as session:
        connection = await session.connection()
        return await connection.run_sync(read_all)


def personal_columns() -> set[str]:
    """The marked columns whose mark may not be found any more."""
    found = set()
    for column in marked_columns():
        rule = PRIVACY[column.table.name]
        if rule.action is Action.DELETE or column.name in rule.empties:
            found.add(f"{column.table.name}.{column.name}")
    return found


# What is said about every column.


def test_every_table_says_what_becomes_of_it() -> None:
    """Whoever adds a table says in managers/privacy/registry.py what becomes of it when somebody is erased."""
    assert PRIVACY.keys() == metadata.tables.keys()
    assert all(rule.why for rule in PRIVACY.values())


def test_every_text_says_what_becomes_of_it() -> None:
    silent = []
    for table in metadata.sorted_tables:
        rule = PRIVACY[table.name]
        said = {*rule.empties, *rule.keeps, *rule.mentions}
        for column in table.columns:
            is_text = isinstance(column.type, (Text, Json)) and not column.foreign_keys
            if is_text and rule.action is Action.ANONYMISE and column.name not in said:
                silent.append(f"{table.name}.{column.name}")
    assert silent == []


def test_what_is_said_fits_the_tables() -> None:
    for name, rule in PRIVACY.items():
        columns = {*metadata.tables[name].columns.keys()}
        named = {
            *rule.empties,
            *rule.keeps,
            *rule.mentions,
            *rule.named,
            *(one for pair in rule.entities for one in pair),
        }
        named |= {one for one in (rule.authored, rule.written, rule.tree) if one is not None}
        assert named <= columns, name
        assert not {*rule.empties} & {*rule.keeps}, name
        assert rule.action is not Action.KEEP or not (rule.empties or rule.entities or rule.named), name
    assert {*ENTITY_TABLES.values()} <= metadata.tables.keys()


def test_what_belongs_to_a_user_is_not_kept() -> None:
    for table in metadata.sorted_tables:
        if "user_id" in table.columns:
            assert PRIVACY[table.name].action is not Action.KEEP, table.name


# Erasing.


async def test_nothing_of_somebody_is_left(database: DatabaseManager, em: EntityManager) -> None:
    await plant_all(database)
    before = await everything(database)
    planted = {f"{column.table.name}.{column.name}" for column in marked_columns()}
    assert all(mark(*name.split(".")) in str(before) for name in planted if not name.endswith("_key"))
    receipt = await em.users.erase(ADA)
    after = await everything(database)
    text = str(after)
    assert [name for name in sorted(personal_columns()) if mark(*name.split(".")) in text] == []
    assert str(ADA) not in text
    # What is about nobody stays.
    kept = [name for name, rule in PRIVACY.items() if rule.action is Action.KEEP and name != "erasure_receipts"]
    for name in kept:
        assert len(after[name]) == len(before[name]), name
    for name, rule in PRIVACY.items():
        if rule.action is Action.DELETE and name != "queue":
            assert after[name] == [], name
        if rule.action is Action.ANONYMISE and name != "events":
            assert len(after[name]) == len(before[name]), name
    assert receipt.counts["users"] == {"deleted": 1}
    assert receipt.counts["token_usage"] == {"anonymised": 1}
    assert receipt.counts["memories"] == {"deleted": 2}


async def test_a_receipt_tells_what_was_done_and_not_to_whom(database: DatabaseManager, em: EntityManager) -> None:
    user = await em.users.register("ada", "ada@example.org", "long enough")
    await em.scoped(user_id=user.id).agents.create_many([{"name": "a"}, {"name": "b"}])
    receipt = await em.users.erase(user.id)
    assert receipt.counts == {
        "agents": {"deleted": 2},
        "events": {"anonymised": 1},
        "user_identities": {"deleted": 1},
        "users": {"deleted": 1},
    }
    assert str(user.id) not in str(receipt.model_dump())
    assert str(user.id) not in str((await everything(database))["erasure_receipts"])
    (event,) = await em.events.find(event_type="user.erased")
    assert (event.entity_id, event.data) == ("", {"receipt": str(receipt.id)})


async def test_erasing_again_brings_the_first_receipt(database: DatabaseManager, em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    first = await em.users.erase(user.id)
    rows = await everything(database)
    assert (await em.users.erase(user.id)).model_dump() == first.model_dump()
    assert await everything(database) == rows
    with pytest.raises(NotFoundError):
        await em.users.erase(uuid7())


async def test_of_racing_erasures_one_does_it(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    receipts = await asyncio.gather(*(em.users.erase(user.id) for _ in range(4)))
    assert len({receipt.id for receipt in receipts}) == 1
    assert await em.users.count() == 0


async def test_nothing_of_others_is_touched(database: DatabaseManager, em: EntityManager) -> None:
    ada = await em.users.create({"username": "ada", "email": "ada@example.org"})
    bob = await em.users.create({"username": "bob"})
    his = em.scoped(user_id=bob.id)
    await em.agents.create({"name": "shared"})
    agent = await his.agents.create({"name": "ada"})
    conversation = await his.conversations.create({"title": "ada"})
    await his.messages.append(conversation.id, {"role": "user", "content": "ada"})
    await his.memories.create({"content": "ada"})
    await his.tasks.create({"instruction": "ada", "agent_id": agent.id})
    before = await everything(database)
    await em.users.erase(ada.id)
    after = await everything(database)
    for name, rows in before.items():
        mine = [row for row in rows if str(ada.id) not in row]
        assert [row for row in mine if row not in after[name]] == [], name


async def test_what_somebody_said_among_others_loses_its_words(em: EntityManager) -> None:
    ada, bob = [await em.users.create({"username": name}) for name in ("ada", "bob")]
    conversation = await em.conversations.create({"user_id": bob.id})
    first = await em.messages.append(conversation.id, {"role": "user", "user_id": str(bob.id), "content": "his"})
    hers = await em.messages.append(
        conversation.id, {"role": "user", "user_id": str(ada.id), "content": "secret", "author_name": "Ada"}
    )
    last = await em.messages.append(conversation.id, {"role": "user", "user_id": str(bob.id), "content": "his too"})
    await em.message_feedback.give(first.id, "positive", user_id=str(ada.id), comment="secret")
    receipt = await em.users.erase(ada.id)
    assert receipt.counts["messages"] == {"anonymised": 1}
    assert receipt.counts["message_feedback"] == {"deleted": 1}
    told = await em.messages.last(conversation.id)
    assert [(one.id, one.content, one.user_id) for one in told] == [
        (first.id, "his", str(bob.id)),
        (hers.id, "", None),
        (last.id, "his too", str(bob.id)),
    ]
    assert told[1].author_name is None


async def test_all_identities_go_and_names_are_taken_out(em: EntityManager) -> None:
    ada = await em.users.create({"username": "ada", "email": "ada@example.org"})
    await em.identities.ensure("discord:1", "Ada", discord_id="4711")
    await em.identities.link("discord:1", ada.id)
    await em.memories.create({"content": "secret", "user_id": "discord:1"})
    agent = await em.agents.create({"name": "shared"})
    tool = await em.tools.create({"name": "search"})
    await em.agents.add_tool(agent.id, tool.id, granted_by="ada")
    with em.events.context(actor=str(ada.id)):
        await em.agents.update(agent.id, {"instruction": "changed"})
    flag = await em.flags.create({"flag_name": "beta", "allowed_users": [str(ada.id), "bob"]})
    await em.users.erase(ada.id)
    assert await em.identities.count() == await em.memories.count() == 0
    events = await em.events.find(entity_id=str(agent.id))
    assert [event.actor for event in events] == [None, None, None]
    assert events[-1].after is not None
    assert (await em.flags.require(flag.id)).allowed_users == ["bob"]


async def test_what_adds_up_still_does(em: EntityManager) -> None:
    ada = await em.users.create({"username": "ada"})
    mine = em.scoped(user_id=ada.id)
    await mine.token_usage.log_usage(model="gpt", host="host", input_tokens=5, output_tokens=7, cost_usd=1.5)
    before = await em.token_usage.summary()
    await em.users.erase(ada.id)
    assert await em.token_usage.summary() == before
    (entry,) = await em.token_usage.find()
    assert entry.user_id is None


async def test_an_erasure_takes_as_many_statements_for_many_rows_as_for_few(em: EntityManager) -> None:
    from tests.statements import recorded_statements  # noqa: PLC0415 (needed here alone)

    counts = []
    for number in (1, 60):
        user = await em.users.create({"username": f"user-{number}"})
        mine = em.scoped(user_id=user.id)
        conversation = await mine.conversations.create({})
        await mine.messages.append_many(conversation.id, [{"role": "user"}] * number)
        await mine.agents.create_many({"name": f"agent-{n}"} for n in range(number))
        with recorded_statements() as statements:
            await em.users.erase(user.id)
        counts.append(len(statements))
    assert counts[0] == counts[1]


async def test_an_erasure_is_all_or_nothing(database: DatabaseManager, em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    await em.agents.create({"name": "a", "user_id": user.id})
    before = await everything(database)

    async def in_vain() -> None:
        async with database.transaction():
            await em.users.erase(user.id)
            assert await em.users.count() == 0
            with pytest.raises(TransactionError):
                await database.scrub()
            raise KeyError

    with pytest.raises(KeyError):
        await in_vain()
    assert await everything(database) == before


async def test_nobody_is_erased_from_within_a_scope(em: EntityManager) -> None:
    ada, bob = [await em.users.create({"username": name}) for name in ("ada", "bob")]
    his = em.scoped(user_id=bob.id)
    for key in (ada.id, bob.id):
        with pytest.raises((ScopeError, NotFoundError)):
            await his.users.erase(key)
    with pytest.raises(ScopeError):
        await his.db.scrub()
    assert await em.users.count() == 2


# In the files.


@requires.database_file
@pytest.mark.parametrize("rebuild", [False, True])
async def test_no_trace_is_left_in_the_files(database: DatabaseManager, em: EntityManager, rebuild: bool) -> None:  # noqa: FBT001
    await plant_all(database)
    assert sum((await count_in_files(database, MARK)).values()) > 0
    await em.users.erase(ADA, rebuild=rebuild)
    left = [mark(*name.split(".")) for name in sorted(personal_columns())]
    counts = await count_in_files(database, *left)
    assert set(counts.values()) == {0}, counts
    assert sum((await count_in_files(database, str(ADA))).values()) == 0


@requires.database_file
async def test_no_word_is_left_in_the_full_text_indexes(database: DatabaseManager, em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    mine = em.scoped(user_id=user.id)
    for number in range(30):
        await mine.memories.create({"content": f"xylophonist number {number}"})
        await mine.messages.create({"role": "user", "content": f"xylophonist number {number}"})
    assert sum((await count_in_files(database, "xylophonist")).values()) > 0
    await em.users.erase(user.id)
    assert sum((await count_in_files(database, "xylophonist")).values()) == 0


@requires.database_file
async def test_no_backup_that_is_made_afterwards_has_a_trace(
    database: DatabaseManager, em: EntityManager, tmp_path: Path
) -> None:
    user = await em.users.create({"username": "xylophonist"})
    await em.scoped(user_id=user.id).memories.create({"content": "xylophonist"})
    await em.users.erase(user.id)
    await create_backup(database.url.render_as_string(hide_password=False), tmp_path / "backups", compress=False)
    files = [path for path in (tmp_path / "backups").rglob("*") if path.is_file()]
    assert files
    assert not any(b"xylophonist" in path.read_bytes() for path in files)
