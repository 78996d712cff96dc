"""What agents know and do not know: uses of documents, and gaps that are open once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from agent_system import EntityManager
from agent_system.errors import CheckError, ForeignKeyError, TransitionError, ValidationError
from agent_system.types import KnowledgeGapStatus, KnowledgeUse
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def em(database: DatabaseManager) -> EntityManager:
    return EntityManager(database, clock=lambda: NOON)


async def test_uses_of_documents_are_counted(em: EntityManager) -> None:
    documents = [await em.context_documents.create({"name": f"d{n}"}) for n in range(3)]
    task = await em.tasks.create({"instruction": "i"})
    keys = [document.id for document in documents]
    uses = await em.knowledge_usage.record(keys[:2], task_id=task.id)
    assert [use.document_id for use in uses] == keys[:2]
    await em.knowledge_usage.record([keys[1]], "cited", relevance=0.5)
    await em.knowledge_usage.record([keys[1]], "rejected", relevance=0.0)
    with recorded_statements() as statements:
        most = await em.knowledge_usage.most_used()
    assert len(statements) == 1
    assert [(use.document_id, use.name, use.uses, use.average_relevance) for use in most] == [
        (keys[1], "d1", 3, 0.25), (keys[0], "d0", 1, None),
    ]  # fmt: skip
    assert most[0].by_usage == {KnowledgeUse.ASSEMBLED: 1, KnowledgeUse.CITED: 1, KnowledgeUse.REJECTED: 1}
    assert [use.uses for use in await em.knowledge_usage.most_used(where={"usage_type": "cited"}, since=NOON)] == [1]
    assert [one.name for one in await em.knowledge_usage.unused(NOON)] == ["d2"]
    page = await em.knowledge_usage.of_document(keys[1], limit=2)
    assert len(page.items) == 2
    assert page.next_cursor is not None
    with pytest.raises(ForeignKeyError, match="document_id"):
        await em.knowledge_usage.record([uuid4()])
    with pytest.raises(CheckError, match="relevance"):
        await em.knowledge_usage.record([keys[0]], relevance=1.5)
    await em.knowledge_usage.create({"document_id": keys[0], "created_at": NOON - timedelta(days=91)})
    assert await em.knowledge_usage.cleanup() == 1
    await em.context_documents.delete(keys[1])
    assert await em.knowledge_usage.count() == 1


async def test_a_gap_is_open_once(em: EntityManager) -> None:
    user = await em.users.create({"username": "ada"})
    agent = await em.agents.create({"name": "a"})
    first = await em.knowledge_gaps.record("How deploys are rolled back", agent_id=agent.id)
    again = await em.knowledge_gaps.record(" how DEPLOYS are rolled back", "which command?")
    hers = await em.knowledge_gaps.record("How deploys are rolled back", user_id=user.id)
    assert (again.id, again.occurrence_count, again.description) == (first.id, 2, "which command?")
    assert (hers.id != first.id, hers.occurrence_count) == (True, 1)
    gaps = await asyncio.gather(*(em.knowledge_gaps.record("racing") for _ in range(32)))
    assert len({gap.id for gap in gaps}) == 1
    assert [gap.occurrence_count for gap in await em.knowledge_gaps.find_open()] == [32, 2, 1]
    with pytest.raises(ValidationError, match="topic"):
        await em.knowledge_gaps.record(None)  # type: ignore[arg-type]


async def test_a_gap_is_closed_once_and_may_open_again(em: EntityManager) -> None:
    document = await em.context_documents.create({"name": "runbook"})
    gap = await em.knowledge_gaps.record("deploys")
    resolved = await em.knowledge_gaps.resolve(gap.id, document_id=document.id, resolution="written")
    assert (resolved.status, resolved.resolved_at, resolved.resolution) == (
        KnowledgeGapStatus.RESOLVED, NOON, "written",
    )  # fmt: skip
    with pytest.raises(TransitionError):
        await em.knowledge_gaps.dismiss(gap.id)
    anew = await em.knowledge_gaps.record("deploys")
    assert anew.id != gap.id
    assert (await em.knowledge_gaps.dismiss(anew.id, "no")).status is KnowledgeGapStatus.DISMISSED
    assert await em.knowledge_gaps.statistics() == {
        KnowledgeGapStatus.OPEN: 0, KnowledgeGapStatus.RESOLVED: 1, KnowledgeGapStatus.DISMISSED: 1,
    }  # fmt: skip
    await em.context_documents.delete(document.id)
    assert (await em.knowledge_gaps.require(gap.id)).resolved_by_document_id is None
