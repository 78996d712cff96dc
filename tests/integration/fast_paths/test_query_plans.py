"""The hot statements find their rows by an index: what the engines themselves say about how they would run them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from agent_system import EntityManager
from agent_system.models import Agent, Message
from tests.integration.fast_paths.managers import inline_of
from tests.integration.fast_paths.rich_rows import ENTITIES, Managers, key_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from agent_system.database import DatabaseManager
    from agent_system.database.plans import Plan


# What a recursive statement begins with, and has found so far, and the versions of one row: they are read once, whole.
READ_ONCE = re.compile(r".* (ROW|contents|line|pair|versions|way|\(subquery-\d+\))")


class Sqlite:
    """Asks SQLite."""

    def __init__(self, db: DatabaseManager) -> None:
        self.db = db
        backend: Any = db._backend
        self.connections = [inline_of(db)._raw, backend._reading.lane.raw, backend._writing.lane.raw]

    @contextmanager
    def listening(self) -> Iterator[list[tuple[str, Sequence[Any]]]]:
        """Give a list that grows by every statement, which comes with its parameters in it."""
        heard: list[tuple[str, Sequence[Any]]] = []
        for raw in self.connections:
            raw.set_trace_callback(lambda statement: heard.append((statement, ())))
        yield heard
        for raw in self.connections:
            raw.set_trace_callback(None)

    async def explain(self, statement: str, parameters: Sequence[Any], *, sorts: bool) -> str:  # noqa: ARG002
        def work(executor: Any) -> str:
            rows = executor.raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            return "\n".join(row[3] for row in rows)

        # On the writer, which has used the full-text tables already that a trigger may name.
        return await self.db.write(work)

    def is_indexed(self, explained: str, *, has_condition: bool) -> bool:
        scans = [line for line in explained.splitlines() if "SCAN" in line and not READ_ONCE.fullmatch(line)]
        return not scans if has_condition else all("USING" in line for line in scans)

    def sorts(self, explained: str) -> bool:
        # Rows that are equal so far are put in order as they come (the "right part"), so that a LIMIT ends it early.
        return any("TEMP B-TREE" in line and "RIGHT PART" not in line for line in explained.splitlines())


class Postgresql:
    """Asks PostgreSQL, which has to be told that few rows could be many."""

    def __init__(self, db: DatabaseManager) -> None:
        self.db = db

    @contextmanager
    def listening(self) -> Iterator[list[tuple[str, Sequence[Any]]]]:
        heard: list[tuple[str, Sequence[Any]]] = []

        def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
            heard.append((statement, parameters))

        engine = self.db.engine.sync_engine
        event.listen(engine, "before_cursor_execute", listen)
        yield heard
        event.remove(engine, "before_cursor_execute", listen)

    async def explain(self, statement: str, parameters: Sequence[Any], *, sorts: bool) -> str:
        async with self.db.engine.begin() as connection:
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            await connection.exec_driver_sql(f"SET LOCAL enable_sort = {'on' if sorts else 'off'}")
            rows = await connection.exec_driver_sql(f"EXPLAIN {statement}", tuple(parameters))
            return "\n".join(row[0] for row in rows)

    def is_indexed(self, explained: str, *, has_condition: bool) -> bool:
        # An index that is read from its beginning to its end, only for the order, has no condition.
        return "Seq Scan" not in explained and (not has_condition or "Cond:" in explained)

    def sorts(self, explained: str) -> bool:
        return "Sort" in explained


class Explainer:
    """Tells how the engine of a test runs statements."""

    def __init__(self, engine: Sqlite | Postgresql) -> None:
        self.engine = engine

    async def check_plan(self, plan: Plan, values: dict[str, Any], *, sorts: bool = False) -> None:
        await self._check(plan.sql, plan.encode(values), sorts=sorts)

    async def check(self, verb: Awaitable[Any], *, sorts: bool = False, index: str | None = None) -> None:
        """Run a verb and look at all statements that it sent; one may read the whole of this index."""
        with self.engine.listening() as heard:
            await verb
        statements = [one for one in heard if one[0].startswith(("SELECT", "WITH", "UPDATE", "DELETE"))]
        assert statements
        for statement, parameters in statements:
            await self._check(statement, parameters, sorts=sorts, index=index)

    async def _check(self, statement: str, parameters: Sequence[Any], *, sorts: bool, index: str | None = None) -> None:
        explained = await self.engine.explain(statement, parameters, sorts=sorts)
        is_indexed = (index is not None and index in explained) or self.engine.is_indexed(
            explained, has_condition="WHERE" in statement
        )
        assert is_indexed, f"{statement}\n{explained}"
        assert sorts or not self.engine.sorts(explained), f"{statement}\n{explained}"


@pytest.fixture
def explainer(db: DatabaseManager, engine_name: str) -> Explainer:
    kinds: dict[str, Callable[[DatabaseManager], Any]] = {"sqlite": Sqlite, "postgresql": Postgresql}
    return Explainer(kinds[engine_name](db))


@pytest.fixture
def managers(db: DatabaseManager) -> Managers:
    return Managers(db)


@pytest.fixture
async def rows(managers: Managers) -> dict[type[Any], Any]:
    """Return a row of every table."""
    return {type(row): row for row in await managers.create()}


async def test_a_statement_without_an_index_would_be_found_out(db: DatabaseManager, explainer: Explainer) -> None:
    agents = Managers(db)[Agent]
    with pytest.raises(AssertionError, match="SELECT"):
        await explainer.check(agents.find(specialization="x"))
    with pytest.raises(AssertionError, match="SELECT"):
        await explainer.check(agents.list(order_by="specialization"), sorts=False)


async def test_rows_of_every_table_are_found_changed_and_deleted_by_their_keys(
    managers: Managers, rows: dict[type[Any], Any], explainer: Explainer
) -> None:
    for entity in ENTITIES:
        plans = managers[entity].plans
        key = managers[entity].store.keys.values(key_of(rows[entity]))
        await explainer.check_plan(plans.get(), key)
        await explainer.check_plan(plans.get_for_update(), key)
        await explainer.check_plan(plans.delete(), key)
        moments = {name: rows[entity].created_at for name in ("created_at", "updated_at") if name in plans.columns}
        update = plans.update(list(moments), raises_version="version" in plans.columns)
        await explainer.check_plan(update, key | {f"set_{name}": moment for name, moment in moments.items()})


async def test_rows_that_refer_to_another_one_are_found_by_it(
    managers: Managers, rows: dict[type[Any], Any], explainer: Explainer
) -> None:
    for entity in ENTITIES:
        plans = managers[entity].plans
        references = [key for key, column in plans.columns.items() if column.foreign_keys]
        for key in references:
            value = getattr(rows[entity], key)
            if value is not None:
                statement = managers[entity].query({key: value}).with_only_columns(plans.columns[key])
                await explainer.check(managers.db.read(lambda executor, one=statement: executor.execute(one).all()))


async def test_the_newest_rows_are_found_without_sorting(
    managers: Managers, rows: dict[type[Any], Any], explainer: Explainer
) -> None:
    plan = managers[Message].plans.last("conversation_id")
    await explainer.check_plan(plan, {"conversation_id": rows[Message].conversation_id, "limit": 50})


async def test_pages_are_found_by_where_the_one_before_ended(
    managers: Managers, rows: dict[type[Any], Any], explainer: Explainer
) -> None:
    agents, messages = managers[Agent], managers[Message]
    first = await agents.list(limit=1)
    await explainer.check(agents.list(limit=1))
    await explainer.check(agents.list(limit=1, after=first.next_cursor))
    where = {"conversation_id": rows[Message].conversation_id}
    await messages.create({"role": "user", **where})
    page = await messages.list(where, limit=1)
    assert page.next_cursor
    await explainer.check(messages.list(where, limit=1))
    await explainer.check(messages.list(where, limit=1, after=page.next_cursor))
    await explainer.check(messages.list(where, order_by="-id", limit=1))


async def test_many_rows_are_found_by_their_keys(
    managers: Managers, rows: dict[type[Any], Any], explainer: Explainer
) -> None:
    await explainer.check(managers[Agent].get_many([rows[Agent].id]))


async def test_names_are_found(db: DatabaseManager, rows: dict[type[Any], Any], explainer: Explainer) -> None:
    em = EntityManager(db)
    owner = rows[Agent].user_id
    for verb in (
        lambda: em.agents.get_by_name("few"),
        lambda: em.agents.get_by_name("few", owner),
        lambda: em.tools.get_by_name("few"),
        lambda: em.users.get_by_username("few"),
        lambda: em.users.get_by_email("few"),
        lambda: em.hosts.get_by_name("few"),
        lambda: em.identities.resolve("few", discord_id="few", email="few", phone_number="few"),
        lambda: em.identities.of_user(owner),
    ):
        # One row has the name; to sort it costs nothing.
        await explainer.check(verb(), sorts=True)
    await explainer.check_plan(em.users._credentials.find_plan, {"key": "few"}, sorts=True)


async def test_conversations_are_listed_along_an_index(db: DatabaseManager, explainer: Explainer) -> None:
    em = EntityManager(db)
    owners = {"user_id": (await em.users.create({"username": "ada"})).id}
    owners["agent_id"] = (await em.agents.create({"name": "a"})).id
    owners["project_id"] = (await em.projects.create({"name": "p"})).id
    for _ in range(3):
        await em.conversations.create({"title": "talk", **owners})
    for key, value in owners.items():
        page = await em.conversations.recent(1, **{key: value})
        await explainer.check(em.conversations.recent(1, **{key: value}))
        await explainer.check(em.conversations.recent(1, page.next_cursor, **{key: value}))
    page = await em.conversations.recent(1)
    await explainer.check(em.conversations.recent(1, page.next_cursor))


async def test_branches_are_read_along_indexes(db: DatabaseManager, explainer: Explainer) -> None:
    em = EntityManager(db)
    conversation = await em.conversations.create({"title": "talk"})
    rows = await em.messages.append_many(conversation.id, [{"role": "user", "content": text} for text in "abcd"])
    fork = await em.conversations.fork(conversation.id, rows[2].id)
    await em.conversations.set_head(conversation.id, "idea", rows[1].id)
    for one in (conversation, fork):
        await explainer.check(em.messages.history(one.id), sorts=True)
        await explainer.check(em.messages.page(one.id, before=rows[2].id, limit=1), sorts=True)
        await explainer.check(em.messages.page(one.id, after=rows[0].id, limit=1), sorts=True)
    await em.messages.append(conversation.id, {"role": "user"}, head="idea")
    # A way up is put in order by its steps: that sort is as long as the page.
    for verb in (
        lambda: em.messages.last(conversation.id, 2),
        lambda: em.messages.before(conversation.id, rows[2].id, 1),
        lambda: em.messages.after(conversation.id, rows[1].id, 1),
        lambda: em.messages.history(conversation.id, head="idea"),
        lambda: em.conversations.compare(conversation.id, "idea"),
        lambda: em.conversations.fork(conversation.id, rows[0].id),
    ):
        await explainer.check(verb(), sorts=True)


async def test_channels_and_guilds_are_read_along_indexes(db: DatabaseManager, explainer: Explainer) -> None:
    em = EntityManager(db)
    since = datetime(2025, 1, 1, tzinfo=UTC)
    for _ in range(3):
        await em.messages.create({"role": "user", "channel_id": "c", "guild_id": "g"})
    # Among messages of one microsecond the later one is looked for.
    for read, key in ((em.messages.recent_in_channel, "c"), (em.messages.recent_in_guild, "g")):
        page = await read(key, 1)
        await explainer.check(read(key, 1), sorts=True)
        await explainer.check(read(key, 1, page.next_cursor), sorts=True)
    await explainer.check(em.messages.count_since(since, channel_id="c"))
    await explainer.check(em.messages.count_since(since, since, guild_id="g"))


async def test_feedback_and_what_refers_to_a_message_is_found_by_it(db: DatabaseManager, explainer: Explainer) -> None:
    em = EntityManager(db)
    conversation = await em.conversations.create({"title": "talk"})
    message = await em.messages.append(conversation.id, {"role": "user"})
    await explainer.check(em.message_feedback.give(message.id, "neutral", user_id="a"), sorts=True)
    await explainer.check(em.message_feedback.of(message.id), sorts=True)
    await explainer.check(em.message_feedback.summary(conversation_id=conversation.id), sorts=True)
    await explainer.check(em.messages.delete(message.id), sorts=True)


async def test_streams_are_found_by_their_keys_and_the_stale_ones_by_their_index(
    db: DatabaseManager, explainer: Explainer
) -> None:
    em = EntityManager(db)
    conversation = await em.conversations.create({"title": "talk"})
    message = await em.messages.begin(conversation.id)
    states = em.messages._streams
    # The index has nothing but what is being streamed, so that all of it is little.
    for verb in (
        lambda: em.messages.append_chunk(message.id, "more"),
        lambda: states.append(message.id, "more", 4),
        em.messages.recover_streams,
        lambda: em.messages.finish(message.id),
        lambda: em.messages.stop(message.id),
    ):
        await explainer.check(verb(), index="idx_messages_streaming")


async def test_prompts_settings_and_flags_are_found_along_indexes(db: DatabaseManager, explainer: Explainer) -> None:
    em = EntityManager(db)
    now = datetime.now(UTC)
    await em.prompts.create({"name": "greeting", "content": "one"})
    await em.prompts.update_content("greeting", "two")
    await em.prompts.set_label("greeting", "production")
    await em.config.set("limit", 5)
    await em.capabilities.create({"name": "web"})
    await em.flags.create({"flag_name": "fast"})
    # The few versions of one row are put in order.
    for verb in (
        lambda: em.prompts.render("greeting"),
        lambda: em.prompts.render("greeting", label="production"),
        lambda: em.prompts.by_label("greeting", "production", now),
        lambda: em.prompts.versions("greeting"),
        lambda: em.prompts.as_of("greeting", now),
        lambda: em.prompts.history("greeting"),
        lambda: em.prompts.update_content("greeting", "three"),
        lambda: em.prompts.set_label("greeting", "production"),
        lambda: em.prompts.label_moves("greeting"),
        lambda: em.config.get("limit"),
        lambda: em.config.set("limit", 6),
        lambda: em.config.substitute("{{limit}} {{other}}"),
        lambda: em.config.values("lim"),
        lambda: em.config.as_of("limit", now),
        lambda: em.config.unset("limit"),
        lambda: em.config.as_of("limit", now),
        lambda: em.capabilities.is_enabled("web"),
        lambda: em.flags.is_enabled("fast", "ada"),
    ):
        await explainer.check(verb(), sorts=True)


async def test_what_is_meant_for_a_person_is_found_by_indexes(db: DatabaseManager, explainer: Explainer) -> None:
    em = EntityManager(db)
    asks = {"role": "agent", "user_id": "ada", "requires_response": True}
    message_id = (await em.messages.create(asks)).id or 0
    # The indexes have nothing but what is pending or unread, so that to sort it is little.
    for verb in (em.messages.pending_responses, lambda: em.messages.pending_responses("ada")):
        await explainer.check(verb(), sorts=True, index="idx_messages_pending_response")
    for verb in (em.messages.unread, em.messages.count_unread):
        await explainer.check(verb(), sorts=True, index="idx_messages_unread")
        await explainer.check(verb("ada"), sorts=True)
    await explainer.check(em.messages.mark_read([message_id]))
    await explainer.check(em.messages.responses([message_id]), sorts=True)
    await explainer.check(em.messages.respond(message_id, "yes"))


async def test_goals_lists_and_logs_are_found_along_indexes(db: DatabaseManager, explainer: Explainer) -> None:
    em = EntityManager(db)
    now = datetime.now(UTC)
    goal = await em.goals.set("ada", "learn", now)
    await em.todos.create_list("trip", ["a", "b"], user_id="ada", goal_id=goal.id)
    await em.logs.append("warn", "slow", "api")
    for verb in (
        lambda: em.goals.check("ada"),
        lambda: em.goals.due(now),
        lambda: em.goals.history("ada"),
        lambda: em.goals.summary("ada"),
        lambda: em.goals.progress(goal.id),
        lambda: em.todos.next("trip", "ada"),
        lambda: em.todos.complete("trip", 1, "ada"),
        lambda: em.todos.status("trip", "ada"),
        lambda: em.todos.lists("ada"),
        em.logs.recent,
        lambda: em.logs.recent(level="warn", since=now),
        lambda: em.logs.recent(service="api", until=now),
        lambda: em.logs.cleanup(datetime(2001, 1, 1, tzinfo=UTC)),
    ):
        await explainer.check(verb(), sorts=True)
