"""Identities: made when they are first needed, once, and one person's when they are linked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from uuid_utils.compat import uuid7

from agent_system.errors import ConflictError, DuplicateKeyError, ForeignKeyError, NotFoundError, ValidationError
from agent_system.managers.users.identity_merge import identity_columns
from agent_system.models import User, metadata
from agent_system.testing.factories import Factories
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager


async def test_ensure_gets_or_makes(em: EntityManager) -> None:
    made = await em.identities.ensure("discord:1", "Ada")
    assert (made.id, made.display_name, made.user_id, made.version) == ("discord:1", "Ada", None, 1)
    same = await em.identities.ensure("discord:1", "somebody else")
    assert same.model_dump() == made.model_dump()
    assert (await em.identities.ensure("+49 1")).display_name == "+49 1"


async def test_callers_at_once_get_the_same_identity(em: EntityManager) -> None:
    rows = await asyncio.gather(*(em.identities.ensure("discord:1", f"name {n}") for n in range(16)))
    assert len({row.display_name for row in rows}) == 1
    assert await em.identities.count() == 1


async def test_ensure_joins_a_transaction(database: DatabaseManager, em: EntityManager) -> None:
    async def make_in_vain() -> None:
        async with database.transaction():
            assert (await em.identities.ensure("discord:1")).id == "discord:1"
            assert (await em.identities.ensure("discord:1")).id == "discord:1"
            raise KeyError

    with pytest.raises(KeyError):
        await make_in_vain()
    assert await em.identities.count() == 0


async def test_an_id_may_be_any_text(em: EntityManager) -> None:
    for text in ("", " x ", "\0nul", "lone \ud800", "😀"):
        assert (await em.identities.ensure(text)).id == text
        assert (await em.identities.ensure(text)).id == text
    assert await em.identities.count() == 5
    with pytest.raises(ValidationError, match="id"):
        await em.identities.ensure(7)  # type: ignore[arg-type]


# Who somebody is.


@pytest.fixture
async def ada(em: EntityManager) -> User:
    return await em.users.create({"username": "Ada", "email": "ada@example.org"})


async def test_an_identity_is_found_by_what_a_platform_knows(em: EntityManager) -> None:
    made = await em.identities.ensure("discord:1", "Ada", discord_id="1", email="Ada@Example.org", phone_number="+49 1")
    assert (made.discord_id, made.email, made.phone_number) == ("1", "Ada@Example.org", "+49 1")
    for given in (
        {"id": "discord:1"},
        {"discord_id": "1"},
        {"email": " ADA@example.ORG"},
        {"phone_number": "+49 1"},
        {"id": "unknown", "phone_number": "+49 1"},
    ):
        found = await em.identities.resolve(**given)
        assert found is not None
        assert found.id == "discord:1"
    for given in ({"id": "1"}, {"discord_id": "discord:1"}, {"email": "ada"}, {"phone_number": ""}):
        assert await em.identities.resolve(**given) is None
    # What is known is not made once more.
    assert (await em.identities.ensure("mail:1", email="ada@example.org")).id == "discord:1"
    assert await em.identities.count() == 1


async def test_the_surest_key_wins_and_then_the_one_with_an_account(em: EntityManager, ada: User) -> None:
    create = em.identities.create
    for number in range(3):
        await create({"id": f"mail:{number}", "display_name": "x", "email": "x@example.org"})
    await create({"id": "phone", "display_name": "x", "phone_number": "+49 1"})
    resolve = em.identities.resolve
    assert getattr(await resolve(email="x@example.org"), "id", None) == "mail:0"
    await em.identities.link("mail:2", ada.id)
    assert getattr(await resolve(email="x@example.org"), "id", None) == "mail:2"
    assert getattr(await resolve(phone_number="+49 1", email="x@example.org"), "id", None) == "mail:2"
    assert getattr(await resolve("phone", email="x@example.org"), "id", None) == "phone"


async def test_what_leads_to_nobody_is_refused(em: EntityManager) -> None:
    with pytest.raises(ValidationError):
        await em.identities.resolve()
    with pytest.raises(ValidationError) as caught:
        await em.identities.resolve(discord_id=7)  # type: ignore[arg-type]
    assert caught.value.field == "discord_id"


# Whose an identity is.


async def test_identities_are_linked_to_an_account(em: EntityManager, ada: User) -> None:
    await em.identities.ensure("discord:1", "Ada")
    linked = await em.identities.link("discord:1", ada.id)
    assert (linked.user_id, linked.display_name) == (ada.id, "Ada")
    assert (await em.identities.link("discord:1", ada.id)).version == linked.version
    assert (await em.identities.link("discord:2", ada.id)).user_id == ada.id
    assert [one.id for one in await em.identities.of_user(ada.id)] == sorted(["discord:1", "discord:2", str(ada.id)])
    assert (await em.identities.unlink("discord:1")).user_id is None
    assert (await em.identities.unlink("discord:1")).user_id is None
    events = await em.events.find(entity_type="identity", entity_id="discord:1")
    assert [event.event_type for event in events] == ["identity.linked", "identity.unlinked"]


async def test_an_identity_is_one_users(em: EntityManager, ada: User) -> None:
    bob = await em.users.create({"username": "Bob"})
    await em.identities.link("discord:1", ada.id)
    for id_ in ("discord:1", str(ada.id)):
        with pytest.raises(ConflictError):
            await em.identities.link(id_, bob.id)
    with pytest.raises(ValidationError):
        await em.identities.unlink(str(ada.id))
    with pytest.raises(NotFoundError):
        await em.identities.unlink("unknown")
    with pytest.raises(ForeignKeyError):
        await em.identities.link("discord:3", uuid7())
    with pytest.raises(ValidationError):
        await em.identities.link("discord:3", "nobody")  # type: ignore[arg-type]
    assert await em.identities.get_by_id("discord:3") is None


async def test_of_racing_links_one_wins(em: EntityManager) -> None:
    users = await em.users.create_many({"username": f"user-{n}"} for n in range(8))
    outcomes = await asyncio.gather(
        *(em.identities.link("discord:1", user.id) for user in users), return_exceptions=True
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 7


# Two that turn out to be one.


async def test_all_that_refers_to_an_identity_moves(database: DatabaseManager, em: EntityManager) -> None:
    # Embeddings are written by the search alone, beside the rows that they are of.
    columns = [column for column in identity_columns() if column.table.name != "embeddings"]
    assert {f"{column.table.name}.{column.name}" for column in columns} >= {"messages.user_id", "token_usage.user_id"}
    factories = Factories(em)
    attributes = {manager.entity.__tablename__: name for name, manager in managers_of(em)}
    await em.identities.create({"id": "old", "display_name": "Old", "discord_id": "1", "meta": {"a": 1, "b": 1}})
    await em.identities.create({"id": "new", "display_name": "New", "email": "a@b.c", "meta": {"b": 2}})
    await em.identities.ensure("other")
    expected = {}
    for column in columns:
        attribute = attributes.get(column.table.name)
        assert attribute is not None, f"the test cannot make rows of {column.table.name}"
        for number, identity in enumerate(("old", "old", "new", "other")):
            # Of one game a player has only one that is active, and about one message only one opinion.
            more: dict[str, Any] = {"game_type": f"game {number}"} if attribute == "games" else {}
            if attribute == "message_feedback":
                more["message_id"] = (await em.messages.create({"role": "user"})).id
            await factories.create(attribute, **{column.name: identity}, **more)
        expected[f"{column.table.name}.{column.name}"] = 2
    merged = await em.identities.merge("old", "new")
    assert (merged.identity, dict(merged.moved)) == ("new", expected)
    assert await em.identities.get_by_id("old") is None
    new = await em.identities.require("new")
    assert (new.display_name, new.discord_id, new.email, new.meta) == ("New", "1", "a@b.c", {"a": 1, "b": 2})
    assert getattr(await em.identities.resolve(discord_id="1"), "id", None) == "new"
    async with database.session(read_only=True) as session:
        connection = await session.connection()
        for column in columns:
            rows = (await connection.execute(column.table.select().with_only_columns(column))).scalars().all()
            assert sorted(filter(None, rows)) == ["new", "new", "new", "other"]


async def test_a_merge_takes_as_many_statements_for_many_rows_as_for_one(em: EntityManager) -> None:
    counts = []
    for number in (1, 50):
        await em.identities.ensure(f"into-{number}")
        await em.messages.create_many({"role": "user", "user_id": f"from-{number}"} for _ in range(number))
        with recorded_statements() as statements:
            assert (await em.identities.merge(f"from-{number}", f"into-{number}")).moved == {"messages.user_id": number}
        counts.append(len(statements))
    assert counts[0] == counts[1]
    # Two looks, five for what a person has one of, a move for each column, the removal and the event.
    assert counts[0] <= len(identity_columns()) + 10


async def test_what_both_remember_stays_once(em: EntityManager) -> None:
    for identity in ("old", "new"):
        await em.identities.ensure(identity)
        await em.memories.create({"user_id": identity, "content": "likes tea"})
        await em.memories.create({"user_id": identity, "content": "likes tea", "guild_id": "1"})
    await em.memories.create({"user_id": "old", "content": "cooks"})
    merged = await em.identities.merge("old", "new")
    assert merged.moved == {"memories.user_id": 3}
    active = await em.memories.find(user_id="new", status="active")
    assert sorted((row.content, row.guild_id or "") for row in active) == [
        ("cooks", ""),
        ("likes tea", ""),
        ("likes tea", "1"),
    ]
    parts = await em.memories.find(user_id="new", status="consolidated")
    assert {part.consolidated_into for part in parts} == {row.id for row in active if row.content == "likes tea"}
    # The digest is that of its new owner: said again, it is the same memory.
    with pytest.raises(DuplicateKeyError):
        await em.memories.create({"user_id": "new", "content": "cooks"})
    assert (await em.memories.create({"user_id": "old", "content": "cooks"})).user_id == "old"


async def test_of_what_a_person_has_one_of_the_last_that_changed_stays(em: EntityManager) -> None:
    message, other = [await em.messages.create({"role": "assistant"}) for _ in range(2)]
    for user, rating, said in [("old", "positive", message), ("new", "negative", message), ("new", "positive", other)]:
        await em.message_feedback.give(said.id, rating, user_id=user)
    await em.message_feedback.give(other.id, "negative", user_id="old")
    chess, go = await em.games.save("old", "chess", score=1), await em.games.save("old", "go", score=2)
    for name in ("chess", "go", "draughts"):
        await em.games.save("new", name)
    await em.games.save("old", "go", score=3)
    await em.identities.merge("old", "new")
    ratings = {row.message_id: row.rating for row in await em.message_feedback.find(user_id="new")}
    assert ratings == {message.id: "negative", other.id: "negative"}
    active = await em.games.find(user_id="new", status="active")
    assert {(game.game_type, game.score) for game in active} == {("chess", 0), ("go", 3), ("draughts", 0)}
    assert (await em.games.require(chess.id)).status == "abandoned"
    assert (await em.games.require(chess.id)).ended_at is not None
    assert (await em.games.require(go.id)).status == "active"


async def test_lists_of_one_name_become_one(em: EntityManager) -> None:
    await em.todos.create_list("Shopping", ["bread", "milk"], "new")
    await em.todos.create_list("shopping", ["tea", "sugar"], "old")
    await em.todos.create_list("work", ["mail"], "old")
    await em.identities.merge("old", "new")
    assert [item.content for item in await em.todos.entries("shopping", "new")] == ["bread", "milk", "tea", "sugar"]
    assert [item.content for item in await em.todos.entries("work", "new")] == ["mail"]
    assert len(await em.todos.lists("new")) == 2


async def test_what_cannot_be_merged_stays(em: EntityManager, ada: User) -> None:
    bob = await em.users.create({"username": "Bob"})
    await em.identities.link("discord:1", ada.id)
    await em.identities.link("discord:2", bob.id)
    await em.messages.create({"role": "user", "user_id": "discord:1"})
    for pair, error in [
        (("discord:1", "discord:1"), ValidationError),
        (("discord:1", "unknown"), NotFoundError),
        (("unknown", "discord:1"), NotFoundError),
        ((str(ada.id), "discord:1"), ValidationError),
        (("discord:1", "discord:2"), ConflictError),
    ]:
        with pytest.raises(error):
            await em.identities.merge(*pair)
    assert await em.messages.count(user_id="discord:1") == 1
    await em.identities.merge("discord:1", str(ada.id))
    assert await em.messages.count(user_id=str(ada.id)) == 1


async def test_an_unlinked_identity_takes_the_account_over(em: EntityManager, ada: User) -> None:
    await em.identities.link("discord:1", ada.id)
    await em.identities.ensure("phone:1", phone_number="+49 1")
    await em.identities.merge("discord:1", "phone:1")
    assert (await em.identities.require("phone:1")).user_id == ada.id


async def test_messages_are_not_lost_while_identities_are_merged(em: EntityManager) -> None:
    await em.identities.ensure("into")
    await em.messages.create({"role": "user", "user_id": "from"})

    async def say(number: int) -> Any:
        return await em.messages.create({"role": "user", "user_id": "from", "content": str(number)})

    await asyncio.gather(*(say(number) for number in range(32)), em.identities.merge("from", "into"))
    there = await em.messages.count(user_id="into") + await em.messages.count(user_id="from")
    assert there == await em.messages.count() == 33


def managers_of(em: EntityManager) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(em).items() if hasattr(value, "entity")]


# Limits are set for a name by whoever pays; they do not add up when two names turn out to be one person.
LIMITED_BY_NAME = {"budgets.user_id", "budget_accounts.user_id", "budget_reservations.user_id"}


def test_columns_that_name_a_person_are_known() -> None:
    """A text column called user_id refers to an identity or is named in NAMED_IN."""
    known = {f"{column.table.name}.{column.name}" for column in identity_columns()}
    for table in metadata.sorted_tables:
        column = table.columns.get("user_id")
        if column is not None and column.type.python_type is str:
            assert f"{table.name}.user_id" in known | LIMITED_BY_NAME
