"""What people suffer from in layers like this one, and ours does not do to them: one test for each complaint."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from agent_system import DatabaseManager, EntityManager
from agent_system.errors import AgentSystemError, BudgetExceededError, ConflictError, ValidationError
from agent_system.managers.ledger.usage import Usage
from agent_system.types import UsageState
from tests.clock import NOW, Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from pathlib import Path

    from agent_system.models import Conversation

CENT = 10_000_000
WRITES_MESSAGES = """
import asyncio, sys
from uuid import UUID
from agent_system import DatabaseManager, EntityManager

async def main(url, conversation, name):
    async with DatabaseManager(url, auto_migrate=False) as database:
        em = EntityManager(database)
        rows = ({"role": "user", "content": f"{name} {number}"} for number in range(40))
        await asyncio.gather(*(em.messages.append(UUID(conversation), row) for row in rows))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


@pytest.fixture
async def conversation(em: EntityManager) -> Conversation:
    return await em.conversations.create({"title": "chat"})


def said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


# Histories.


async def test_two_processes_lose_no_message_of_one_session(
    em: EntityManager, conversation: Conversation, migrated_url: str
) -> None:
    arguments = [sys.executable, "-c", WRITES_MESSAGES, migrated_url, str(conversation.id)]
    writers = [await asyncio.create_subprocess_exec(*arguments, name, stderr=subprocess.PIPE) for name in ("a", "b")]
    for writer in writers:
        _, errors = await writer.communicate()
        assert writer.returncode == 0, errors.decode()
    history = await em.messages.history(conversation.id)
    assert sorted(message.content for message in history) == sorted(f"{w} {n}" for w in ("a", "b") for n in range(40))
    assert [message.id for message in history] == sorted(message.id for message in history)


async def test_a_writer_who_was_overtaken_hears_of_it(em: EntityManager, conversation: Conversation) -> None:
    seen = await em.messages.revision(conversation.id)
    await em.messages.append(conversation.id, said("first"))
    with pytest.raises(ConflictError):
        await em.messages.append(conversation.id, said("too late"), expected_revision=seen)
    assert [message.content for message in await em.messages.last(conversation.id)] == ["first"]


async def test_a_tool_call_without_a_result_poisons_no_session(em: EntityManager, conversation: Conversation) -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "ls"}}]}
    await em.messages.append_many(conversation.id, [said("do"), call])
    loaded = await em.messages.history(conversation.id, for_model=True)
    assert [message.tool_call_id for message in loaded] == [None, None, "c1"]
    assert len((await em.messages.repair(conversation.id)).answered) == 1
    assert (await em.messages.repair(conversation.id)).answered == []


async def test_a_list_of_sessions_reads_no_message(em: EntityManager) -> None:
    for number in range(30):
        conversation = await em.conversations.create({"title": f"c{number}"})
        await em.messages.append(conversation.id, said("long " * 100))
    seen, after = 0, None
    with recorded_statements() as statements:
        while True:
            page = await em.conversations.recent(10, after)
            seen, after = seen + len(page.items), page.next_cursor
            if after is None:
                break
    assert seen == 30
    assert len(statements) <= 4
    assert not any("messages" in statement for statement in statements)


async def test_a_replayed_history_is_stored_once(em: EntityManager, conversation: Conversation) -> None:
    rows = [said("q"), {"role": "assistant", "content": "a"}]
    await em.messages.append_history(conversation.id, rows)
    await em.messages.append_history(conversation.id, [*rows, said("more")])
    assert [message.content for message in await em.messages.last(conversation.id)] == ["q", "a", "more"]


async def test_a_turn_that_never_ended_is_kept_and_told(
    em: EntityManager, clock: Clock, conversation: Conversation
) -> None:
    await em.messages.append(conversation.id, said("q"))
    answer = await em.messages.begin(conversation.id, {"role": "assistant"})
    await em.messages.append_chunk(answer.id, "half an ")
    clock.move(minutes=5)
    (found,) = await em.messages.recover_streams()
    assert (found.content, found.streaming_state) == ("half an ", "interrupted")


async def test_any_earlier_message_is_a_place_to_fork_from(em: EntityManager, conversation: Conversation) -> None:
    rows = await em.messages.append_many(conversation.id, [said(text) for text in "abc"])
    fork = await em.conversations.fork(conversation.id, rows[1].id)
    await em.messages.append(fork.id, said("d"))
    assert [message.content for message in await em.messages.history(fork.id)] == ["a", "b", "d"]
    assert [message.content for message in await em.messages.history(conversation.id)] == ["a", "b", "c"]


async def test_messages_of_one_moment_keep_their_order(em: EntityManager, conversation: Conversation) -> None:
    texts = [str(number) for number in range(50)]
    for text in texts:
        await em.messages.append(conversation.id, {**said(text), "created_at": NOW})
    assert [message.content for message in await em.messages.last(conversation.id, 50)] == texts


# The ledger.


async def test_cached_and_reasoning_tokens_are_paid_once_and_at_their_own_price(em: EntityManager) -> None:
    await em.models.set_price(
        "m", "h", input_usd_per_million=3, output_usd_per_million=15, cache_read_usd_per_million="0.3"
    )
    anthropic = Usage.from_anthropic({"input_tokens": 1_000, "cache_read_input_tokens": 9_000, "output_tokens": 100})
    openai = Usage.from_openai(
        {
            "prompt_tokens": 10_000,
            "prompt_tokens_details": {"cached_tokens": 9_000},
            "completion_tokens": 100,
            "completion_tokens_details": {"reasoning_tokens": 60},
        }
    )
    bills = [await em.token_usage.log_usage(model="m", host="h", usage=usage) for usage in (anthropic, openai)]
    # 1,000 x $3 + 9,000 x $0.30 + 100 x $15, each per million.
    assert [bill.cost_nano_usd for bill in bills] == [7_200_000] * 2


async def test_usage_that_a_stream_repeats_is_counted_once(em: EntityManager) -> None:
    for output in (10, 250, 900):
        await em.token_usage.log_usage(model="m", request_id="r", input_tokens=100, output_tokens=output)
    summary = await em.token_usage.summary()
    assert (summary.requests, summary.input_tokens, summary.output_tokens) == (1, 100, 900)
    unknown = await em.token_usage.log_usage(model="m", request_id="s")
    assert (unknown.usage_state, unknown.output_tokens) == (UsageState.MISSING, None)


async def test_parallel_requests_never_pass_a_budget(em: EntityManager) -> None:
    await em.budgets.set_limit(30 * CENT, scope="session", key="s")
    attempts = [em.budgets.reserve(CENT, session_uuid="s") for _ in range(100)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) == 70
    assert {type(outcome) for outcome in refused} == {BudgetExceededError}
    assert await em.budgets.discrepancies() == []


async def test_an_unknown_price_is_not_zero(em: EntityManager, clock: Clock) -> None:
    entry = await em.token_usage.log_usage(model="new", host="h", input_tokens=1_000_000, output_tokens=0)
    assert entry.cost_nano_usd is None
    assert (await em.token_usage.summary()).unpriced == 1
    await em.models.set_price(
        "new", "h", input_usd_per_million=2, output_usd_per_million=0, valid_from=clock() - timedelta(days=1)
    )
    await em.token_usage.reprice()
    summary = await em.token_usage.summary()
    assert (summary.unpriced, summary.cost_usd) == (0, 2)


# Whose it is.


async def test_nobody_reads_what_is_somebody_elses(em: EntityManager) -> None:
    ada, bob = [await em.users.register(name, None, "correct horse battery") for name in ("ada", "bob")]
    mine = await em.scoped(user_id=ada.id).conversations.create({"title": "mine"})
    memory = await em.memories.remember(ada.id, "the key is under the mat")
    foreign = em.scoped(user_id=bob.id)
    assert await foreign.conversations.get_by_id(mine.id) is None
    assert await foreign.messages.find(conversation_id=mine.id) == []
    assert await foreign.memories.count() == 0
    assert (await foreign.memories.search("key")).items == []
    assert not await foreign.memories.delete(memory.id)
    assert await em.memories.exists(id=memory.id)


async def test_the_key_of_a_filter_is_never_sql(em: EntityManager) -> None:
    await em.agents.create({"name": "kept", "configuration": {"a": 1}})
    for key in ("name' OR 1=1 --", 'name"); DROP TABLE agents; --', "configuration->>'a'", "__class__", "id\0"):
        with pytest.raises(ValidationError):
            await em.agents.find(**{key: "x"})
        with pytest.raises(ValidationError):
            await em.agents.list({key: "x"})
        with pytest.raises(AgentSystemError):
            await em.memories.search("x", **cast("Any", {key: "y"}))
    assert await em.agents.count() == 1


async def test_a_deleted_user_is_in_no_other_table(em: EntityManager) -> None:
    user = await em.users.register("ada", "ada@example.com", "correct horse battery")
    await em.memories.remember(user.id, "zanzibar is where I was born")
    conversation = await em.conversations.create({"title": "zanzibar", "user_id": user.id})
    await em.messages.append(conversation.id, {**said("zanzibar"), "user_id": str(user.id)})
    receipt = await em.users.erase(user.id)
    assert receipt.counts
    assert (await em.messages.search("zanzibar")).items == []
    assert (await em.memories.search("zanzibar")).items == []
    assert await em.conversations.find(title="zanzibar") == []


async def test_what_is_remembered_under_one_identity_is_found_under_another(em: EntityManager) -> None:
    user = await em.users.register("ada", None, "correct horse battery")
    for identity in ("discord:1", "mail:ada"):
        await em.identities.ensure(identity)
        await em.identities.link(identity, user.id)
    await em.memories.remember("discord:1", "prefers short answers")
    await em.identities.merge("discord:1", "mail:ada")
    hits = await em.memories.search("short answers", user_id="mail:ada")
    assert [memory.content for memory in hits.items] == ["prefers short answers"]


async def test_secrets_of_a_tool_reach_no_file(em: EntityManager, database: DatabaseManager, tmp_path: Path) -> None:
    secret = "sk-ant-" + uuid4().hex * 2
    await em.tool_usage.start("c", "Bash", {"env": {"API_KEY": secret}, "command": f"curl -H 'x: {secret}'"})
    await em.tool_usage.finish("c", result=f"used {secret}")
    (call,) = await em.tool_usage.find(call_id="c")
    assert secret not in repr(call.model_dump())
    await database.disconnect()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(secret.encode() in path.read_bytes() for path in files)


# Values.


async def test_no_text_of_a_model_aborts_the_run(em: EntityManager, conversation: Conversation) -> None:
    odd = {"a\0b": "\ud800 😀", "\udfff": ["\0", "\U0010fffd"]}
    message = await em.messages.append(conversation.id, {**said("\0 and \udfff"), "metadata": odd})
    loaded = await em.messages.require(message.id)
    assert (loaded.content, loaded.meta) == ("\0 and \udfff", odd)


async def test_a_moment_without_a_zone_is_refused_and_others_keep_their_microseconds(em: EntityManager) -> None:
    exact = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)
    with pytest.raises(ValidationError) as refused:
        await em.messages.create({**said("x"), "created_at": exact.replace(tzinfo=None)})
    assert refused.value.field == "created_at"
    assert await em.messages.count() == 0
    message = await em.messages.create({**said("x"), "created_at": exact})
    assert (await em.messages.require(message.id)).created_at == exact


async def test_two_writers_of_one_document_both_survive(em: EntityManager) -> None:
    agent = await em.agents.create({"name": "a", "configuration": {"model": {"name": "m"}}})
    patches = [{f"key{number}": number, "model": {f"k{number}": True}} for number in range(20)]
    await asyncio.gather(*(em.agents.update_configuration(agent.id, patch) for patch in patches))
    stored = (await em.agents.require(agent.id)).configuration
    assert stored.keys() == {"model"} | {f"key{number}" for number in range(20)}
    assert stored["model"].keys() == {"name"} | {f"k{number}" for number in range(20)}


# Memories and prompts.


async def test_parallel_adds_are_one_memory(em: EntityManager) -> None:
    memories = await asyncio.gather(*(em.memories.remember("u", "likes tea") for _ in range(30)))
    assert len({memory.id for memory in memories}) == 1
    assert await em.memories.count() == 1


async def test_an_expired_memory_is_gone_from_everywhere(em: EntityManager, clock: Clock) -> None:
    await em.memories.remember("u", "the code is 1234", expires_at=clock() + timedelta(hours=1))
    kept = await em.memories.remember("u", "the code of the door is pinned")
    await em.memories.pin(kept.id)
    clock.move(hours=2)
    assert await em.memories.sweep() == 1
    assert [memory.id for memory in (await em.memories.search("code", user_id="u")).items] == [kept.id]
    assert await em.memories.count() == 1


async def test_who_moved_a_label_is_known_and_undone(em: EntityManager, clock: Clock) -> None:
    await em.prompts.ensure("greeting", "Hello")
    await em.prompts.set_label("greeting", "production", 1, by="ada", why="launch")
    before = clock()
    clock.move(hours=1)
    await em.prompts.update_content("greeting", "Howdy", author="bob")
    await em.prompts.set_label("greeting", "production", 2, by="bob", why="friendlier")
    moves = await em.prompts.label_moves("greeting", "production")
    assert {(move.moved_by, move.reason) for move in moves} == {("ada", "launch"), ("bob", "friendlier")}
    assert (await em.prompts.undo_label("greeting", "production", by="ada")) is not None
    assert await em.prompts.render("greeting", label="production") == "Hello"
    then = await em.prompts.by_label("greeting", "production", at=before)
    assert then is not None
    assert then.content == "Hello"
