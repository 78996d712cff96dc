"""Whatever is left of a history, a model accepts what is loaded of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_system.managers.conversations.model_history import ModelHistory
from agent_system.managers.conversations.tool_calls import NO_RESULT, calls_of, is_synthetic, results_of
from agent_system.models import Message
from agent_system.types import StreamingState


def said(role: str, content: str = "", **data: Any) -> Message:
    return Message(role=role, content=content, **data)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(id_: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": "look", "input": {}}


def result(id_: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id_, "content": f"result of {id_}"}


def asked(shape: str, ids: list[str]) -> Message:
    """A message that asks for calls, in one of the shapes."""
    if shape == "openai":
        calls = [{"id": id_, "type": "function", "function": {"name": "look", "arguments": "{}"}} for id_ in ids]
        return said("assistant", tool_calls=calls)
    if shape == "responses":
        return said("assistant", parts=[{"type": "function_call", "call_id": id_, "id": f"fc{id_}"} for id_ in ids])
    if shape == "stored twice":
        return said("agent", "so", tool_calls=[use(id_) for id_ in ids], parts=[text("so"), *map(use, ids)])
    return said("assistant", "so", parts=[text("so"), *map(use, ids)])


def answered(shape: str, ids: list[str], *, together: bool, more: bool) -> list[Message]:
    """The messages that answer them."""
    if shape == "openai":
        return [said("tool", f"result of {id_}", tool_call_id=id_) for id_ in ids]
    if shape == "responses":
        return [said("tool", parts=[{"type": "function_call_output", "call_id": id_, "output": ""}]) for id_ in ids]
    groups = [ids] if together else [[id_] for id_ in ids]
    blocks = [[result(id_) for id_ in group] for group in groups]
    if more:
        blocks[-1].append(text("and now?"))
    return [said("user", parts=parts) for parts in blocks]


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    shape = draw(st.sampled_from(["openai", "responses", "anthropic", "stored twice"]))
    # Few ids, so that they are used again: some runtimes number the calls of each turn.
    ids = draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3))
    asking = [asked(shape, ids)] if ids else []
    order = draw(st.permutations(ids))
    answers = answered(shape, order, together=draw(st.booleans()), more=draw(st.booleans())) if ids else []
    before = [said("system", "be good")] if draw(st.booleans()) else []
    after = [said("assistant", "done")] if draw(st.booleans()) else []
    return [*before, said("user", "do it"), *asking, *answers, *after]


HISTORIES = st.lists(turns(), max_size=4).map(lambda many: [message for turn in many for message in turn])


def blocks_of(message: Message) -> list[dict[str, Any]]:
    return message.parts if isinstance(message.parts, list) else []


def call_ids(message: Message) -> set[str]:
    """The calls of a message as the APIs see them, found in another way than the layer does."""
    if message.role not in {"assistant", "agent"}:
        return set()
    of_openai = {call["id"] for call in message.tool_calls or []}
    blocks = [block for block in blocks_of(message) if block["type"] in {"tool_use", "function_call"}]
    return of_openai | {block.get("call_id") or block["id"] for block in blocks}


def result_ids(message: Message) -> list[str]:
    if message.role == "tool" and message.tool_call_id:
        return [message.tool_call_id]
    known = {"tool_result": "tool_use_id", "function_call_output": "call_id"}
    return [block[known[block["type"]]] for block in blocks_of(message) if block["type"] in known]


def says_more(message: Message) -> bool:
    return message.role == "user" and len(result_ids(message)) < len(blocks_of(message))


def check_accepted(history: list[Message]) -> None:
    """Refuse what the APIs refuse: each call is answered once, right behind it, and nothing else is answered."""
    waiting: set[str] = set()
    has_said_more = False
    for message in history:
        results = result_ids(message)
        if results:
            assert not has_said_more, "a text stands before a result"
            assert max(Counter(results).values()) == 1
            assert set(results) <= waiting, f"results of nothing: {results}"
            waiting -= set(results)
            has_said_more = says_more(message)
        else:
            assert not waiting, f"no results of {waiting}"
            waiting = call_ids(message)
            has_said_more = False
            assert message.content or message.parts or message.tool_calls
    assert not waiting, f"no results of {waiting}"


def words(history: list[Message]) -> list[str]:
    """What people and models have said, without what tools have."""
    texts = [
        [block["text"] for block in blocks_of(message) if block["type"] == "text"] or [message.content]
        for message in history
        if message.role != "tool" and (not result_ids(message) or says_more(message))
    ]
    return [word for part in texts for word in part]


@given(HISTORIES)
def test_a_valid_history_is_loaded_as_it_is(history: list[Message]) -> None:
    check_accepted(history)
    loaded = ModelHistory(history)
    assert [id(message) for message in loaded.messages()] == [id(message) for message in history]
    assert (loaded.unanswered, loaded.orphans, loaded.superfluous) == ([], [], [])


@given(HISTORIES, st.integers(0, 40), st.integers(0, 40))
def test_any_piece_of_a_valid_history_is_accepted(history: list[Message], first: int, last: int) -> None:
    piece = history[first : len(history) - last]
    loaded = ModelHistory(piece).messages()
    check_accepted(loaded)
    assert words(loaded) == words(piece)
    # Only what was cut off is missing, and only that was made up.
    made_up = [message for message in loaded if is_synthetic(message)]
    assert len(made_up) == len(ModelHistory(piece).unanswered)


@given(HISTORIES, st.data())
def test_whatever_is_lost_or_mixed_up_the_rest_is_accepted(history: list[Message], data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(history), unique_by=id) if history else st.just([]))
    loaded = ModelHistory(some).messages()
    check_accepted(loaded)
    check_accepted(ModelHistory(loaded).messages())
    assert sorted(words(loaded)) == sorted(words(some))


@given(HISTORIES, st.data())
def test_what_was_loaded_has_every_result_that_belongs_to_a_call(history: list[Message], data: st.DataObject) -> None:
    """A history from which only calls and texts were moved between calls and results loses no result."""
    interruption = said("user", "are you there?")
    place = data.draw(st.integers(0, len(history)))
    loaded = ModelHistory([*history[:place], interruption, *history[place:]]).messages()
    check_accepted(loaded)
    assert not any(is_synthetic(message) for message in loaded)
    found = sorted(id_ for message in loaded for id_ in result_ids(message))
    assert found == sorted(id_ for message in history for id_ in result_ids(message))


def test_a_real_result_takes_the_place_of_one_that_was_made_up() -> None:
    call, made_up = asked("openai", ["a"]), said("tool", NO_RESULT, tool_call_id="a", meta={"synthetic": True})
    late = said("tool", "late", tool_call_id="a")
    loaded = ModelHistory([call, made_up, said("user", "go on"), late])
    assert [message.content for message in loaded.messages()] == ["", "late", "go on"]
    assert loaded.unanswered == []
    assert (loaded.orphans, loaded.superfluous) == ([made_up], [made_up])
    second = said("tool", "second", tool_call_id="a")
    assert [message.content for message in ModelHistory([call, late, second]).messages()] == ["", "late"]


def test_results_in_one_message_are_taken_apart_where_they_must_be() -> None:
    both = said("user", "x", parts=[result("a"), result("b"), result("a"), text("x")])
    history = [asked("anthropic", ["a"]), asked("anthropic", ["b", "c"]), both]
    loaded = ModelHistory(history)
    check_accepted(loaded.messages())
    shown = [result_ids(message) or message.role for message in loaded.messages()]
    assert shown == ["assistant", ["a"], "assistant", ["c"], ["b"], "user"]
    assert both.parts == [result("a"), result("b"), result("a"), text("x")], "what is stored stays"
    assert (loaded.orphans, loaded.superfluous) == ([both], [])


def test_what_says_nothing_is_not_loaded() -> None:
    streamed = said("assistant", "half", streaming_state=StreamingState.STREAMING)
    nothing = [said("assistant"), said("tool", "of nobody knows what"), streamed]
    kept = [said("user", "hello"), said("assistant", "half", streaming_state=StreamingState.INTERRUPTED)]
    assert ModelHistory([*nothing, *kept]).messages() == kept


@pytest.mark.parametrize(
    "broken",
    [
        "not JSON",
        {"type": "tool_use", "id": "a"},
        ["text", 7, None],
        [{"type": ["tool_use"]}, {"type": "tool_use"}, {"type": "tool_use", "id": 7}, {"id": None}],
        [{"type": {}, "tool_use_id": "a"}, {"type": "tool_result", "tool_use_id": {}}],
    ],
)
def test_blocks_that_are_none_are_left_as_they_are(broken: Any) -> None:
    for role in ("assistant", "user", "tool"):
        message = said(role, "text", parts=broken, tool_calls=broken, meta=broken)
        assert (calls_of(message), results_of(message), is_synthetic(message)) == ([], [], False)
        assert ModelHistory([message]).messages() == ([] if role == "tool" else [message])
