"""Tool calls without results: loaded validly as they are, and repaired for good, once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import NotFoundError
from agent_system.managers.conversations.tool_calls import NO_RESULT, is_synthetic

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from agent_system.models import Conversation, Message


@pytest.fixture
async def conversation(em: EntityManager) -> Conversation:
    return await em.conversations.create({"title": "talk"})


def calls(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"id": id_, "type": "function", "function": {}} for id_ in ids]}


def result(id_: str, **data: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": f"result of {id_}", **data}


def said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def shown(messages: list[Message]) -> list[str]:
    return [
        f"{message.tool_call_id}?" if message.content == NO_RESULT else message.content or "call"
        for message in messages
    ]


async def loaded(em: EntityManager, conversation: Conversation, limit: int | None = None, **data: Any) -> list[str]:
    return shown(await em.messages.history(conversation.id, limit, for_model=True, **data))


async def test_a_history_is_valid_wherever_it_is_cut(em: EntityManager, conversation: Conversation) -> None:
    rows = [said("do"), calls("a", "b"), result("a"), result("b"), said("more"), calls("c"), result("c")]
    await em.messages.append_many(conversation.id, rows)
    whole = ["do", "call", "result of a", "result of b", "more", "call", "result of c"]
    assert await loaded(em, conversation) == whole
    assert await loaded(em, conversation, 4) == ["more", "call", "result of c"]
    assert await loaded(em, conversation, 1) == []
    await em.conversations.move_head(conversation.id, (await em.messages.history(conversation.id))[2].id)
    assert await loaded(em, conversation) == ["do", "call", "b?", "result of a"]


async def test_what_a_crash_has_left_is_repaired_once(em: EntityManager, conversation: Conversation) -> None:
    await em.messages.append_many(conversation.id, [said("do"), calls("a", "b"), result("a")])
    repair = await em.messages.repair(conversation.id)
    assert (shown(repair.answered), repair.orphans) == (["b?"], [])
    assert all(is_synthetic(message) for message in repair.answered)
    row = await em.conversations.require(conversation.id)
    assert (row.message_count, row.head_message_id) == (4, repair.answered[0].id)
    assert shown(await em.messages.last(conversation.id)) == ["do", "call", "result of a", "b?"]
    again = await em.messages.repair(conversation.id)
    assert (again.answered, again.orphans) == ([], [])
    assert (await em.conversations.require(conversation.id)).revision == row.revision


async def test_racing_repairs_write_one_result(em: EntityManager, conversation: Conversation) -> None:
    await em.messages.append_many(conversation.id, [calls("a", "b"), said("and?")])
    repairs = await asyncio.gather(
        *(em.messages.repair(conversation.id) for _ in range(32)),
        *(em.messages.append(conversation.id, said("x")) for _ in range(16)),
    )
    assert sum(len(getattr(repair, "answered", [])) for repair in repairs) == 2
    rows = await em.messages.history(conversation.id)
    assert sorted(message.tool_call_id or "" for message in rows if is_synthetic(message)) == ["a", "b"]
    assert (await loaded(em, conversation))[:3] == ["call", "a?", "b?"]
    assert len(rows) == 20


async def test_a_call_that_was_passed_over_gets_its_result_where_it_belongs(
    em: EntityManager, conversation: Conversation
) -> None:
    await em.messages.append_many(conversation.id, [calls("a"), said("are you there?"), said("hello?")])
    assert await loaded(em, conversation) == ["call", "a?", "are you there?", "hello?"]
    await em.messages.repair(conversation.id)
    assert shown(await em.messages.last(conversation.id)) == ["call", "are you there?", "hello?", "a?"]
    assert await loaded(em, conversation) == ["call", "a?", "are you there?", "hello?"]
    # The tool was only slow.
    await em.messages.append(conversation.id, result("a"))
    assert await loaded(em, conversation) == ["call", "result of a", "are you there?", "hello?"]
    repair = await em.messages.repair(conversation.id, delete_orphans=True)
    assert (repair.answered, shown(repair.orphans)) == ([], ["a?"])
    assert shown(await em.messages.last(conversation.id)) == ["call", "are you there?", "hello?", "result of a"]


async def test_results_without_a_call_are_told_and_deleted_when_wanted(
    em: EntityManager, conversation: Conversation
) -> None:
    mixed = {"role": "user", "parts": [{"type": "tool_result", "tool_use_id": "x"}, {"type": "text", "text": "hi"}]}
    await em.messages.append_many(conversation.id, [result("a"), said("do"), result("b"), mixed, said("more")])
    assert await loaded(em, conversation) == ["do", "call", "more"], "the text of the mixed one is kept"
    assert len((await em.messages.repair(conversation.id)).orphans) == 3
    assert (await em.conversations.require(conversation.id)).message_count == 5
    repair = await em.messages.repair(conversation.id, delete_orphans=True)
    assert shown(repair.orphans)[:2] == ["result of a", "result of b"]
    rows = await em.messages.last(conversation.id)
    assert [message.content for message in rows] == ["do", "", "more"]
    assert [message.parent_id for message in rows] == [None, rows[0].id, rows[1].id]


async def test_each_branch_has_its_own_results(em: EntityManager, conversation: Conversation) -> None:
    call, answer = await em.messages.append_many(conversation.id, [calls("a"), result("a")])
    await em.conversations.set_head(conversation.id, "idea", call.id)
    fork = await em.conversations.fork(conversation.id, call.id)
    assert await loaded(em, fork) == ["call", "a?"]
    assert await loaded(em, conversation, head="idea") == ["call", "a?"]
    assert shown((await em.messages.repair(conversation.id, head="idea")).answered) == ["a?"]
    assert shown((await em.messages.repair(fork.id)).answered) == ["a?"]
    assert (await em.messages.repair(conversation.id)).answered == []
    assert shown(await em.messages.history(conversation.id, head="idea")) == ["call", "a?"]
    assert shown(await em.messages.history(fork.id)) == ["call", "a?"]
    assert (await em.conversations.require(conversation.id)).head_message_id == answer.id


async def test_what_is_made_up_for_loading_is_not_stored(em: EntityManager, conversation: Conversation) -> None:
    block = {"type": "tool_use", "id": "a", "name": "look", "input": {}}
    await em.messages.append(conversation.id, {"role": "assistant", "parts": [block]})
    _, made_up = await em.messages.history(conversation.id, for_model=True)
    assert (made_up.id, made_up.role) == (None, "user")
    assert made_up.parts == [{"type": "tool_result", "tool_use_id": "a", "content": NO_RESULT, "is_error": True}]
    assert await em.messages.count() == 1
    (stored,) = (await em.messages.repair(conversation.id)).answered
    assert (stored.role, stored.parts, stored.meta) == ("user", made_up.parts, {"synthetic": True})


async def test_only_what_is_there_is_repaired(em: EntityManager, conversation: Conversation) -> None:
    for attempt in (
        em.messages.repair(uuid4()),
        em.messages.repair(conversation.id, head="nowhere"),
        em.messages.revision(uuid4()),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    assert (await em.messages.repair(conversation.id)).answered == []
    assert await em.messages.revision(conversation.id) == 0
