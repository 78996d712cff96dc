"""Streamed messages: text that grows in order, ends once, and is there after whatever happens to its writer."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import (
    ConflictError,
    DatabaseBusyError,
    NotFoundError,
    TransactionError,
    TransitionError,
    ValidationError,
)
from agent_system.managers.conversations.streaming import StreamStates
from agent_system.types import StreamingState
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_system.database.manager import DatabaseManager
    from agent_system.models import Conversation, Message

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
# Texts that the codec has to escape, pairs of surrogates and escapes among them, to be cut anywhere.
NASTY = "a\0b\U0010fffd0\ud83d\ude00 \U0010fffd\U0010fffd\0d83dü😀\udfff\ud800\U0010fffdd83d"
ENDED = (StreamingState.COMPLETE, StreamingState.STOPPED, StreamingState.INTERRUPTED)


@pytest.fixture
async def conversation(em: EntityManager) -> Conversation:
    return await em.conversations.create({"title": "talk"})


async def content_of(em: EntityManager, message_id: int | None) -> str:
    return (await em.messages.require(message_id)).content


async def begin(em: EntityManager, conversation: Conversation, **data: Any) -> int:
    message = await em.messages.begin(conversation.id, {"role": "assistant", **data})
    assert message.id is not None
    return message.id


async def end(em: EntityManager, message_id: int, state: StreamingState) -> None:
    if state is StreamingState.COMPLETE:
        await em.messages.finish(message_id)
    elif state is StreamingState.STOPPED:
        await em.messages.stop(message_id)
    else:
        await em.messages.recover_streams(timedelta(0))


async def until(condition: Callable[[], Any]) -> None:
    """Let the others run until something is so."""
    async with asyncio.timeout(20):
        while not await condition():
            await turns(1)


async def turns(count: int) -> None:
    """Let the others have so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


# Steps.


async def test_a_message_grows_and_is_complete(em: EntityManager, conversation: Conversation) -> None:
    message = await em.messages.begin(conversation.id)
    assert (message.role, message.content, message.streaming_state) == ("assistant", "", "streaming")
    assert (await em.conversations.require(conversation.id)).head_message_id == message.id
    with recorded_statements() as statements:
        assert await em.messages.append_chunk(message.id, "Hello")
    assert len(statements) == 1
    assert await em.messages.append_chunk(message.id, ", world")
    done = await em.messages.finish(message.id, "!", output_tokens=3, tool_calls=[{"id": "c"}], meta={"a": "\0"})
    assert (done.content, done.streaming_state, done.output_tokens) == ("Hello, world!", "complete", 3)
    assert (done.tool_calls, done.meta) == ([{"id": "c"}], {"a": "\0"})
    assert (await em.messages.last(conversation.id))[0].model_dump() == done.model_dump()
    again = await em.messages.finish(message.id, "again", output_tokens=9)
    assert again.model_dump() == done.model_dump()


async def test_a_message_outside_of_conversations_is_streamed_too(em: EntityManager) -> None:
    message = await em.messages.begin(None, {"role": "assistant", "channel_id": "c", "content": "So: "})
    await em.messages.append_chunk(message.id, "yes")
    assert await content_of(em, message.id) == "So: yes"
    uid = uuid4()
    first = await em.messages.begin(None, {"role": "agent", "uid": uid})
    assert (await em.messages.begin(None, {"role": "agent", "uid": uid})).id == first.id


@pytest.mark.parametrize("state", ENDED)
async def test_what_comes_after_the_end_changes_nothing(
    em: EntityManager, conversation: Conversation, state: StreamingState
) -> None:
    message_id = await begin(em, conversation)
    await em.messages.append_chunk(message_id, "said")
    await end(em, message_id, state)
    before = await em.messages.require(message_id)
    assert (before.streaming_state, before.content) == (state, "said")
    assert not await em.messages.append_chunk(message_id, " late")
    assert (await em.messages.stop(message_id)).streaming_state is state
    assert await em.messages.recover_streams(timedelta(0)) == []
    if state is not StreamingState.COMPLETE:
        with pytest.raises(TransitionError) as caught:
            await em.messages.finish(message_id, " late", output_tokens=3)
        assert (caught.value.current, caught.value.wanted) == (state.value, "complete")
    assert (await em.messages.require(message_id)).model_dump() == before.model_dump()


async def test_only_streams_are_ended(em: EntityManager, conversation: Conversation) -> None:
    message = await em.messages.append(conversation.id, {"role": "user", "content": "said"})
    assert not await em.messages.append_chunk(message.id, " more")
    assert (await em.messages.stop(message.id)).streaming_state == "none"
    with pytest.raises(TransitionError):
        await em.messages.finish(message.id)
    with pytest.raises(ValidationError, match="streaming_state: cannot be changed"):
        await em.messages.update(message.id, {"streaming_state": "streaming"})
    assert await content_of(em, message.id) == "said"


async def test_bad_steps_change_nothing(em: EntityManager, conversation: Conversation) -> None:
    message_id = await begin(em, conversation)
    for attempt in (
        lambda: em.messages.append_chunk(10**9, "x"),
        lambda: em.messages.finish(10**9),
        lambda: em.messages.stop(10**9),
        lambda: em.messages.begin(uuid4()),
    ):
        with pytest.raises(NotFoundError):
            await attempt()
    text: Any = b"x"
    for refused, field in (
        (lambda: em.messages.append_chunk(message_id, text), "content"),
        (lambda: em.messages.finish(message_id, text), "content"),
        (lambda: em.messages.finish(message_id, "x", output_tokens=-1), "output_tokens"),
        (lambda: em.messages.finish(message_id, "x", meta={"a": float("nan")}), "meta"),
        (lambda: em.messages.finish(message_id, "x", streaming_state="none"), "streaming_state"),
        (lambda: em.messages.recover_streams(timedelta(-1)), "older_than"),
    ):
        with pytest.raises(ValidationError) as caught:
            await refused()
        assert caught.value.field == field
    assert (await em.messages.require(message_id)).streaming_state is StreamingState.STREAMING
    assert await content_of(em, message_id) == ""


@pytest.mark.parametrize("seed", range(5))
async def test_a_text_is_the_same_wherever_it_was_cut(em: EntityManager, conversation: Conversation, seed: int) -> None:
    cuts = random.Random(seed)
    message_id = await begin(em, conversation)
    rest = NASTY * 2
    while rest:
        chunk, rest = rest[: (size := cuts.randint(1, 3))], rest[size:]
        await em.messages.append_chunk(message_id, chunk)
    assert await content_of(em, message_id) == NASTY * 2


async def test_a_stop_beats_whatever_comes_after_it(em: EntityManager, conversation: Conversation) -> None:
    message_id = await begin(em, conversation)

    async def chunk(n: int) -> str:
        return f"<{n}>" if await em.messages.append_chunk(message_id, f"<{n}>") else ""

    chunks = [chunk(n) for n in range(64)]
    results = await asyncio.gather(*chunks[:32], em.messages.stop(message_id), *chunks[32:])
    stopped: Any = results.pop(32)
    assert stopped.streaming_state is StreamingState.STOPPED
    message = await em.messages.require(message_id)
    assert message.content == stopped.content
    assert sorted(message.content.split(">")) == sorted("".join(map(str, results)).split(">"))


async def test_racing_ends_are_one(em: EntityManager, conversation: Conversation) -> None:
    message_id = await begin(em, conversation)
    verbs: list[Any] = [em.messages.stop, lambda one: em.messages.finish(one, "x")]
    results = await asyncio.gather(*(verbs[n % 2](message_id) for n in range(64)), return_exceptions=True)
    message = await em.messages.require(message_id)
    states = {result.streaming_state for result in results if not isinstance(result, BaseException)}
    assert states == {message.streaming_state}
    assert len(message.content) <= 1
    if message.streaming_state is StreamingState.STOPPED:
        assert sum(isinstance(result, TransitionError) for result in results) == 32


# Streams.


async def test_a_stream_writes_what_it_is_given_in_order(em: EntityManager, conversation: Conversation) -> None:
    words = [f"{n} " for n in range(500)]
    with recorded_statements() as statements:
        async with em.messages.stream(conversation.id, flush_seconds=3600, flush_characters=100) as stream:
            assert stream.is_open
            for word in words:
                assert await stream.write(word)
    assert not stream.is_open
    assert (stream.message.content, stream.message.streaming_state) == ("".join(words), "complete")
    assert await content_of(em, stream.message.id) == "".join(words)
    updates = [statement for statement in statements if statement.startswith("UPDATE messages")]
    assert len(updates) == len("".join(words)) // 100 + 2


async def test_text_does_not_wait_longer_than_it_may(em: EntityManager, conversation: Conversation) -> None:
    async with em.messages.stream(conversation.id, flush_seconds=0.01) as stream:

        async def is_there() -> bool:
            return await content_of(em, stream.message.id) == written

        written = "first"
        await stream.write(written)
        await until(is_there)
        written = "first second"
        await stream.write(" second")
        await until(is_there)
    assert (await em.messages.require(stream.message.id)).streaming_state is StreamingState.COMPLETE


async def test_text_waits_for_its_time(em: EntityManager, conversation: Conversation) -> None:
    async with em.messages.stream(conversation.id, flush_seconds=3600) as stream:
        await stream.write("waits")
        assert await content_of(em, stream.message.id) == ""
        assert await stream.flush()
        assert await content_of(em, stream.message.id) == "waits"
        done = await stream.finish(output_tokens=1)
        assert not await stream.write("late")
        assert not await stream.flush()
    assert (done.content, done.output_tokens) == ("waits", 1)
    assert (await em.messages.require(done.id)).model_dump() == done.model_dump()


async def test_a_stream_that_waits_says_that_it_is_alive(em: EntityManager, conversation: Conversation) -> None:
    with patch("agent_system.managers.conversations.message_stream.HEARTBEAT_SECONDS", 0.01):
        async with em.messages.stream(conversation.id) as stream:
            began = stream.message.updated_at

            async def has_beaten() -> bool:
                return (await em.messages.require(stream.message.id)).updated_at > began

            await until(has_beaten)
            await em.messages.stop(stream.message.id or 0)

            async def knows() -> bool:
                return not stream.is_open

            await until(knows)
    assert (await em.messages.require(stream.message.id)).streaming_state is StreamingState.STOPPED


async def test_a_stopped_stream_ends_its_writer_and_keeps_the_bill(
    em: EntityManager, conversation: Conversation
) -> None:
    async with em.messages.stream(conversation.id, flush_characters=1) as stream:
        assert await stream.write("said")
        await em.messages.stop(stream.message.id or 0)
        assert not await stream.write(" late")
        assert not await stream.write(" later")
        done = await stream.finish(output_tokens=7, content="late", tool_calls=[{"id": "late"}])
    assert (done.streaming_state, done.content, done.output_tokens) == ("stopped", "said", 7)
    assert done.tool_calls is None
    async with em.messages.stream(conversation.id, flush_seconds=3600) as stream:
        await stream.write("late")
        await em.messages.stop(stream.message.id or 0)
    assert (stream.message.streaming_state, stream.message.content) == ("stopped", "")


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_a_stream_that_fails_keeps_what_was_said(
    em: EntityManager, conversation: Conversation, error: type[BaseException]
) -> None:
    async def talk() -> None:
        async with em.messages.stream(conversation.id, flush_seconds=3600) as stream:
            await stream.write("half a")
            raise error

    with pytest.raises(error):
        await talk()
    (row,) = await em.messages.last(conversation.id)
    assert (row.content, row.streaming_state) == ("half a", StreamingState.INTERRUPTED)


async def test_a_cancelled_stream_is_interrupted_and_whole(em: EntityManager, conversation: Conversation) -> None:
    """Wherever the cancellation strikes, the text is a whole number of what was written, each once."""
    for ticks in range(24):
        told: list[int] = []
        stream_id = 0

        async def talk(told: list[int] = told) -> None:
            nonlocal stream_id
            async with em.messages.stream(conversation.id, flush_characters=1) as stream:
                stream_id = stream.message.id or 0
                for n in range(1_000):
                    told.append(n)
                    await stream.write(f"{n} ")

        task = asyncio.create_task(talk())
        while not told:
            await turns(1)
        await turns(ticks)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        row = await em.messages.require(stream_id)
        assert row.streaming_state is StreamingState.INTERRUPTED
        assert row.content == "".join(f"{n} " for n in told)


async def test_a_step_whose_outcome_is_unknown_is_written_once(em: EntityManager, conversation: Conversation) -> None:
    append = StreamStates.append
    fails = [False, True, True, False]

    async def flaky(states: StreamStates, id_: int, text: str, offset: int | None = None) -> bool:
        commits, raises = fails.pop() if fails else True, bool(fails)
        result = await append(states, id_, text, offset) if commits else True
        if raises:
            raise DatabaseBusyError
        return result

    with patch.object(StreamStates, "append", flaky):
        async with em.messages.stream(conversation.id, flush_seconds=3600, flush_characters=3) as stream:
            for chunk in ("a\0", "bcd", NASTY, "e", "f"):
                with suppress(DatabaseBusyError):
                    await stream.write(chunk)
    row = await em.messages.require(stream.message.id)
    assert (row.content, row.streaming_state) == (f"a\0bcd{NASTY}ef", StreamingState.COMPLETE)


async def test_a_stream_finds_out_that_another_one_wrote_to_its_message(
    em: EntityManager, conversation: Conversation
) -> None:
    async def talk() -> None:
        async with em.messages.stream(conversation.id, flush_characters=1) as stream:
            await stream.write("mine")
            await em.messages.append_chunk(stream.message.id or 0, "theirs")
            await stream.write("mine")

    with pytest.raises(ConflictError, match="somebody else"):
        await talk()
    assert [row.content for row in await em.messages.last(conversation.id)] == ["minetheirs"]


async def test_a_stream_whose_message_is_deleted_says_so(em: EntityManager, conversation: Conversation) -> None:
    async def talk() -> None:
        async with em.messages.stream(conversation.id, flush_characters=1) as stream:
            await em.messages.delete(stream.message.id)
            await stream.write("nowhere")

    with pytest.raises(NotFoundError):
        await talk()
    assert await em.messages.count() == 0


async def test_a_stream_is_refused(em: EntityManager, conversation: Conversation, database: DatabaseManager) -> None:
    async with database.transaction():
        with pytest.raises(TransactionError, match="outside of transactions"):
            async with em.messages.stream(conversation.id):
                pass
    for arguments in ({"flush_seconds": -1}, {"flush_characters": 0}):
        with pytest.raises(ValidationError, match=next(iter(arguments))):
            em.messages.stream(conversation.id, **arguments)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        async with em.messages.stream(uuid4()):
            pass
    wrong: Any = 7
    with pytest.raises(ValidationError, match="content"):
        async with em.messages.stream(conversation.id) as stream:
            await stream.write(wrong)
    assert await em.messages.count() == 1


async def test_a_transaction_beside_a_stream_does_not_take_its_text_back(
    em: EntityManager, conversation: Conversation, database: DatabaseManager
) -> None:
    async with em.messages.stream(conversation.id, flush_seconds=3600, flush_characters=100) as stream:
        with suppress(ZeroDivisionError):
            async with database.transaction():
                await stream.write("waits")
                with pytest.raises(TransactionError):
                    await stream.flush()
                raise ZeroDivisionError
    assert await content_of(em, stream.message.id) == "waits"


async def test_many_streams_at_once_keep_their_own_text(em: EntityManager, conversation: Conversation) -> None:
    async def talk(n: int) -> Message:
        async with em.messages.stream(conversation.id, flush_seconds=0.001, flush_characters=40) as stream:
            for word in range(50):
                await stream.write(f"{n}:{word} ")
                await asyncio.sleep(0)
        return stream.message

    messages = await asyncio.gather(*(talk(n) for n in range(64)))
    for n, message in enumerate(messages):
        assert message.content == "".join(f"{n}:{word} " for word in range(50))
        assert await content_of(em, message.id) == message.content
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, len(await em.messages.history(conversation.id))) == (64, 64)


# What is left of processes that are gone.


async def test_streams_of_dead_processes_are_interrupted(database: DatabaseManager) -> None:
    now = NOON
    em = EntityManager(database, clock=lambda: now)
    conversation = await em.conversations.create({"title": "talk"})
    dead, grown, _stopped, done = [await begin(em, conversation) for _ in range(4)]
    await em.messages.stop(_stopped)
    await em.messages.finish(done)
    now = NOON + timedelta(minutes=5)
    await em.messages.append_chunk(grown, "alive")
    assert [row.id for row in await em.messages.recover_streams()] == [dead]
    now = NOON + timedelta(minutes=6)
    found = await em.messages.recover_streams(timedelta(seconds=60))
    assert [(row.id, row.content, row.streaming_state) for row in found] == [(grown, "alive", "interrupted")]
    assert await em.messages.recover_streams(timedelta(0)) == []


async def test_racing_recoveries_find_each_stream_once(em: EntityManager, conversation: Conversation) -> None:
    begun = [await begin(em, conversation) for _ in range(10)]
    found = await asyncio.gather(*(em.messages.recover_streams(timedelta(0)) for _ in range(16)))
    assert sorted(row.id or 0 for rows in found for row in rows) == begun
