"""Consolidating, fading and sweeping: nothing gets lost but what was to go."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent_system.errors import ConflictError, NotFoundError, ValidationError
from agent_system.types import MemoryKind, MemoryStatus

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager
    from tests.clock import Clock


async def test_merged_memories_keep_all_that_they_said(em: EntityManager, clock: Clock) -> None:
    """Seed 004's system computed the details of what it merged, did not write them, and deleted the memories."""
    one = await em.memories.remember("u", "Likes pizza", tags=["a"], importance=3, context="mon", metadata={"x": 1})
    clock.move(days=1)
    two = await em.memories.remember("u", "Likes pizza with olives", tags=["b"], importance=8, timestamp=clock())
    three = await em.memories.remember("u", "Hates anchovies", tags=["a", "c"], context="tue", timestamp=clock())
    friend = await em.memories.remember("u", "Ada's favourite dishes")
    await em.memories.link(one.id, friend.id, weight=0.7)
    await em.memories.recalled([one.id, two.id])
    merged = await em.memories.merge([three.id, one.id, two.id])
    assert merged.content == "Likes pizza with olives\n\nHates anchovies"
    assert (merged.tags, merged.context) == (["a", "b", "c"], "mon\n\ntue")
    assert (merged.importance, merged.recall_count, merged.meta) == (8, 2, {"x": 1})
    assert (merged.timestamp, merged.consolidated_from) == (three.timestamp, [one.id, two.id, three.id])
    sources = await em.memories.get_many([one.id, two.id, three.id])
    assert {row.status for row in sources.values()} == {MemoryStatus.CONSOLIDATED}
    assert {row.consolidated_into for row in sources.values()} == {merged.id}
    assert [row.content for row in sources.values()] == [one.content, two.content, three.content]
    assert [row.id for row in await em.memories.recent(user_id="u")] == [friend.id, merged.id]
    assert [row.id for row in await em.memories.linked(friend.id)] == [merged.id]


async def test_merging_copies_of_one_text_gives_that_text(em: EntityManager) -> None:
    copies = [await em.memories.remember("u", f"Likes tea{'.' * n}") for n in range(2)]
    merged = await em.memories.merge(copy.id for copy in copies)
    assert merged.content == "Likes tea."
    assert (await em.memories.remember("u", "Likes tea.")).id == merged.id


async def test_merging_into_what_another_memory_says_strengthens_that_one(em: EntityManager) -> None:
    there = await em.memories.remember("u", "sum", tags=["t"])
    sources = [await em.memories.remember("u", content, tags=[content]) for content in ("a", "b")]
    made = await em.memories.summarise([row.id for row in sources], "sum")
    assert (made.id, made.tags) == (there.id, ["t", "a", "b"])
    assert made.consolidated_from == [row.id for row in sources]


async def test_a_summary_takes_the_place_of_what_it_sums_up(em: EntityManager) -> None:
    rows = [await em.memories.remember("u", f"step {n}", kind="short_term", session_uuid="s") for n in range(3)]
    summary = await em.memories.summarise([row.id for row in rows], "three steps", importance=9)
    assert (summary.content, summary.kind, summary.importance) == ("three steps", MemoryKind.LONG_TERM, 9)
    assert (summary.category, summary.session_uuid, summary.expires_at) == ("summary", "s", None)
    assert await em.memories.candidates(user_id="u") == []
    restored = await em.memories.restore(rows[0].id)
    assert (restored.status, restored.consolidated_into) == (MemoryStatus.ACTIVE, None)


async def test_what_cannot_be_merged_is_left_alone(em: EntityManager) -> None:
    one, two = await em.memories.remember("u", "one"), await em.memories.remember("v", "two")
    with pytest.raises(ValidationError, match="user_id"):
        await em.memories.merge([one.id, two.id])
    with pytest.raises(NotFoundError):
        await em.memories.merge([one.id, 10**9])
    with pytest.raises(ValidationError, match="nothing"):
        await em.memories.merge([])
    with pytest.raises(ValidationError, match="importance"):
        await em.memories.merge([one.id], importance=99)
    await em.memories.archive(two.id)
    with pytest.raises(ConflictError, match="archived"):
        await em.memories.merge([two.id])
    assert (await em.memories.require(one.id)).status == MemoryStatus.ACTIVE
    assert await em.memories.count() == 2


async def test_one_memory_is_merged_once(em: EntityManager) -> None:
    rows = [await em.memories.remember("u", f"m{n}") for n in range(4)]
    ids = [row.id for row in rows]
    outcomes = await asyncio.gather(*(em.memories.merge(ids, f"merged {n}") for n in range(16)), return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} == {ConflictError}
    assert len(await em.memories.recent(user_id="u")) == 1


async def test_short_term_memories_that_matter_are_promoted(em: EntityManager, clock: Clock) -> None:
    soon = clock() + timedelta(hours=1)
    short = {"kind": MemoryKind.SHORT_TERM, "session_uuid": "s", "expires_at": soon}
    matters = await em.memories.remember("u", "matters", importance=8, **short)
    await em.memories.remember("u", "does not", importance=7, **short)
    known = await em.memories.remember("u", "known", importance=2, tags=["a"])
    again = await em.memories.remember("u", "known", importance=10, tags=["b"], **short)
    promoted = {row.id: row for row in await em.memories.promote(user_id="u")}
    assert set(promoted) == {matters.id, known.id}
    assert (promoted[matters.id].kind, promoted[matters.id].expires_at) == (MemoryKind.LONG_TERM, None)
    assert (promoted[known.id].importance, promoted[known.id].tags) == (10, ["a", "b"])
    assert (await em.memories.require(again.id)).consolidated_into == known.id
    assert await em.memories.promote(user_id="u") == []
    assert (await em.memories.remember("u", "matters")).id == matters.id


async def test_many_promote_at_once(em: EntityManager) -> None:
    for number in range(8):
        await em.memories.remember("u", f"m{number}", kind="short_term", importance=9)
    await asyncio.gather(*(em.memories.promote(user_id="u") for _ in range(8)))
    found = await em.memories.statistics(user_id="u")
    assert found.by_kind[MemoryKind.LONG_TERM] == found.total == 8


async def test_what_nobody_recalls_fades_to_one_and_not_below(em: EntityManager, clock: Clock) -> None:
    async def importances() -> dict[str, int]:
        return {row.content: row.importance for row in await em.memories.recent(user_id="u")}

    for content, importance, pinned in (("low", 1, False), ("two", 2, False), ("five", 5, False), ("pin", 5, True)):
        await em.memories.remember("u", content, importance=importance, pinned=pinned, timestamp=clock())
    await em.memories.remember("v", "other", timestamp=clock())
    assert await em.memories.fade() == 0
    clock.move(days=31)
    await em.memories.remember("u", "new", timestamp=clock())
    assert await em.memories.fade(user_id="u", batch=1) == 2
    assert await em.memories.fade(user_id="u") == 0
    assert await importances() == {"low": 1, "two": 1, "five": 4, "pin": 5, "new": 5}
    clock.move(days=31)
    five = next(row for row in await em.memories.recent(user_id="u") if row.content == "five")
    await em.memories.recalled([five.id])
    assert await em.memories.fade(user_id="u") == 1
    assert await importances() == {"low": 1, "two": 1, "five": 4, "pin": 5, "new": 4}
    clock.move(days=31)
    assert await em.memories.fade() == 3
    assert (await importances())["five"] == 3


async def test_expired_memories_are_swept_away_with_all_that_hangs_on_them(em: EntityManager, clock: Clock) -> None:
    kept = await em.memories.remember("u", "kept", tags=["t"])
    for number in range(5):
        going = await em.memories.remember("u", f"m{number}", tags=["t"], expires_at=clock() + timedelta(days=1))
        await em.memories.link(kept.id, going.id)
    assert await em.memories.sweep() == 0
    clock.move(days=1)
    assert await em.memories.sweep(batch=2) == 5
    assert await em.memories.count() == 1
    assert await em.memories.tag_counts(include_expired=True, status=None) == {"t": 1}
    assert await em.memories.linked(kept.id) == []
    # What went can be learned again.
    assert (await em.memories.remember("u", "m0")).id != going.id
