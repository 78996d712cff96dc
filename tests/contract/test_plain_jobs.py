"""The short way into the queue writes and returns what the long way does."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.entity_manager import EntityManager
from agent_system.errors import ValidationError
from agent_system.managers.queue.new_jobs import NewJob
from agent_system.managers.queue.payloads import MOST_PAYLOAD_BYTES
from tests.clock import Clock

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager


class _Colour(StrEnum):
    RED = "red"


JOBS: list[dict[str, Any]] = [
    {"task_type": "a", "payload": None},
    {"task_type": "a", "payload": {"number": 1, "shade": _Colour.RED, "pair": (1, 2.5)}},
    {"task_type": "a\0\ud800é", "payload": ["\0", {"\udfff": None}]},
    *({"task_type": "a", "payload": payload} for payload in ({}, [], (), "", 0, False, 0.5, "text")),
    {"task_type": "a", "payload": {"n": 1}, "priority": 9, "max_retries": 0, "timeout_seconds": 3, "chat_id": -(2**62)},
    {"payload": {}, "task_type": "a", "created_by": "\0", "concurrency_key": "k", "priority": 5, "respond_to": None},
    {"task_type": "a", "payload": {"n": 1}, "respond_to": {"chat": (1,)}, "metadata": {"x": [1, {}]}},
    {"task_type": "a", "payload": {"n": 1}, "meta": {}},
]
REFUSED: list[dict[str, Any]] = [
    {"task_type": None, "payload": {}},
    {"task_type": ["a"], "payload": {}},
    {"task_type": "a", "payload": {"n": float("nan")}},
    {"task_type": "a", "payload": {"n": object()}},
    {"task_type": "a", "payload": "x" * MOST_PAYLOAD_BYTES},
    {"task_type": "a", "payload": {}, "priority": 0},
    {"task_type": "a", "payload": {}, "priority": "5"},
    {"task_type": "a", "payload": {}, "metadata": [1]},
    {"task_type": "a", "payload": {}, "respond_to": {1, 2}},
    {"task_type": "a", "payload": {}, "timeout_seconds": float("inf")},
    {"task_type": "a", "payload": {}, "nonsense": 1},
]


@pytest.fixture
def em(database: DatabaseManager) -> EntityManager:
    return EntityManager(database, clock=Clock.ahead())


async def test_what_is_written_and_returned_is_that_of_the_long_way(em: EntityManager) -> None:
    queue = em.queue
    for data in JOBS:
        assert isinstance(queue.enqueueing(data), NewJob)
        before = repr(data)
        short = await queue.enqueue(**data)
        assert repr(data) == before
        # A key that says nothing leads to the long way.
        long = await queue.enqueue(**data, expires_at=None)
        columns = set(queue.plans.columns) - {"id"}
        assert queue._intake.plain.prepare(data | {"expires_at": None}) is None
        assert short.__dict__.keys() == long.__dict__.keys()
        for job in (short, long):
            stored = await queue.require(job.id)
            for key in columns:
                wanted = getattr(long, key)
                assert (getattr(job, key), getattr(stored, key)) == (wanted, wanted), (data, key)
                assert type(getattr(job, key)) is type(getattr(stored, key)) is type(wanted), (data, key)


@pytest.mark.parametrize("data", REFUSED, ids=range(len(REFUSED)))
async def test_what_is_refused_is_refused_in_the_words_of_the_long_way(em: EntityManager, data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as short:
        await em.queue.enqueue(**data)
    with pytest.raises(ValidationError) as long:
        await em.queue.enqueue(**data, expires_at=None)
    assert (str(short.value), short.value.field) == (str(long.value), long.value.field)
    assert await em.queue.count() == 0


async def test_the_row_does_not_share_its_values_with_the_caller(em: EntityManager) -> None:
    payload: dict[str, Any] = {"list": [1]}
    first = await em.queue.enqueue("a", payload)
    payload["list"].append(2)
    first.meta["x"] = 1
    assert first.payload == {"list": [1]}
    assert (await em.queue.enqueue("a", payload)).meta == {}
