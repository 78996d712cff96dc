"""Calls are recorded while they are made, however they end."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from agent_system.errors import DatabaseBusyError, ForeignKeyError, ValidationError
from agent_system.managers.ledger.usage import Usage

if TYPE_CHECKING:
    from agent_system.database.manager import DatabaseManager
    from agent_system.entity_manager import EntityManager
    from agent_system.managers.ledger.tracking import UsageBatch
    from agent_system.models import TokenUsage

NAMES: Any = {"project": "p", "host": "h", "model": "m"}
USAGE = Usage(input_tokens=100, output_tokens=20)


class ModelError(Exception):
    """What a client raises."""


async def only_row(em: EntityManager) -> TokenUsage:
    (row,) = await em.token_usage.find()
    return row


# One call.


async def test_a_call_is_recorded_with_the_time_it_took(em: EntityManager) -> None:
    async with em.token_usage.track(**NAMES, user_id="ada") as call:
        assert await em.token_usage.count() == 0
        call.set_usage(USAGE)
        call.set(request_id="r1", role="coder")
    row = await only_row(em)
    assert call.row is not None
    assert call.row.model_dump() == row.model_dump()
    assert (row.input_tokens, row.output_tokens, row.success, row.error_type) == (100, 20, True, None)
    assert (row.request_id, row.role, row.user_id) == ("r1", "coder", "ada")
    assert row.response_time_ms is not None
    assert row.response_time_ms > 0


async def test_a_call_that_raises_is_recorded_and_raises(em: EntityManager) -> None:
    with pytest.raises(ModelError):
        async with em.token_usage.track(**NAMES):
            raise ModelError
    row = await only_row(em)
    assert (row.success, row.error_type, row.usage_state) == (False, "ModelError", "missing")
    assert row.response_time_ms is not None


async def test_a_call_that_is_cancelled_is_recorded(em: EntityManager) -> None:
    entered = asyncio.Event()

    async def call_model() -> None:
        async with em.token_usage.track(**NAMES) as call:
            call.set_usage(Usage(input_tokens=7))
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call_model())
    await entered.wait()
    task.cancel()
    # It is cancelled again while it writes.
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = await only_row(em)
    assert (row.success, row.error_type, row.input_tokens, row.usage_state) == (False, "CancelledError", 7, "partial")


async def test_a_timeout_is_recorded(em: EntityManager) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0), em.token_usage.track(**NAMES):
            await asyncio.Event().wait()
    assert (await only_row(em)).error_type == "CancelledError"


async def test_what_is_refused_is_refused_before_the_model_is_paid(em: EntityManager) -> None:
    for fields in ({"tokens": 1}, {"input_tokens": "1"}, {"cost_usd": "free"}, {"model": 1.5}):
        with pytest.raises(ValidationError):
            async with em.token_usage.track(**fields):  # type: ignore[arg-type]
                pytest.fail("the block was entered")
    with pytest.raises(ValidationError):
        async with em.token_usage.track(**NAMES) as call:
            call.set(tokens=5)  # type: ignore[call-arg]
    assert (await only_row(em)).error_type == "ValidationError"


async def test_several_requests_of_a_call_add_up(em: EntityManager) -> None:
    async with em.token_usage.track(**NAMES) as call:
        for cost in (0.1, Decimal("0.2")):
            call.add_usage(Usage(input_tokens=10, output_tokens=1, cost_usd=cost, raw_usage={"n": 1}))
        call.add_usage(Usage(input_tokens=5))
    row = await only_row(em)
    assert (row.input_tokens, row.output_tokens, row.cost_nano_usd) == (25, 2, 300_000_000)
    assert row.raw_usage == [{"n": 1}, {"n": 1}]
    async with em.token_usage.track(**NAMES) as call:
        call.add_usage(USAGE)
        call.set_usage(None)
    assert call.row is not None
    assert call.row.usage_state == "missing"


async def test_what_a_caller_says_of_the_end_stands(em: EntityManager) -> None:
    async with em.token_usage.track(**NAMES) as call:
        call.set(success=False, error_type="refusal", response_time_ms=5.0)
    row = await only_row(em)
    assert (row.success, row.error_type, row.response_time_ms) == (False, "refusal", 5.0)


async def test_the_models_error_is_told_when_recording_fails_too(em: EntityManager) -> None:
    with pytest.raises(ModelError) as caught:
        async with em.token_usage.track(**NAMES, agent_id=uuid4()):
            raise ModelError
    assert any("could not be recorded" in note for note in caught.value.__notes__)
    with pytest.raises(ForeignKeyError):
        async with em.token_usage.track(**NAMES, agent_id=uuid4()):
            pass
    assert await em.token_usage.count() == 0


async def test_a_call_in_a_transaction_is_recorded_in_it(database: DatabaseManager, em: EntityManager) -> None:
    async with database.transaction(), em.token_usage.track(**NAMES):
        pass
    assert await em.token_usage.count() == 1
    with pytest.raises(ModelError):
        async with database.transaction(), em.token_usage.track(**NAMES):
            raise ModelError
    assert await em.token_usage.count() == 1


async def test_a_decorated_function_is_recorded(em: EntityManager) -> None:
    @em.token_usage.tracked(lambda answer: Usage.from_openai(answer["usage"]), **NAMES, role="coder")
    async def ask(question: str, *, fails: bool = False) -> dict[str, Any]:
        """Ask."""
        if fails:
            raise ModelError(question)
        return {"text": question.upper(), "usage": {"prompt_tokens": 5, "completion_tokens": 2}}

    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
    assert (await ask("why"))["text"] == "WHY"
    with pytest.raises(ModelError):
        await ask("why", fails=True)
    first, second = await em.token_usage.find()
    assert (first.input_tokens, first.success, first.role) == (5, True, "coder")
    assert (second.usage_state, second.success, second.error_type) == ("missing", False, "ModelError")

    @em.token_usage.tracked(**NAMES)
    async def plain() -> int:
        return 5

    assert await plain() == 5
    results = await asyncio.gather(*(plain() for _ in range(20)))
    assert results == [5] * 20
    assert await em.token_usage.count() == 23


# Many calls.


async def test_a_batch_is_recorded_at_its_end(em: EntityManager) -> None:
    await em.token_usage.log_usage(**NAMES)
    async with em.token_usage.batch(**NAMES, user_id="ada") as batch:
        for n in range(50):
            batch.add(input_tokens=n, output_tokens=1, role="coder" if n % 2 else None)
        batch.add(model="other", user_id="eve", usage=USAGE)
        assert len(batch) == 51
        assert await em.token_usage.count() == 1
    assert len(batch) == 0
    stored = (await em.token_usage.find())[1:]
    assert [row.model_dump() for row in stored] == [row.model_dump() for row in batch.rows]
    assert (stored[-1].user_id, stored[0].user_id) == ("eve", "ada")
    summary = batch.summary
    assert (summary.requests, summary.unpriced, summary.input_tokens) == (51, 51, sum(range(50)) + 100)


async def test_a_batch_loses_nothing_by_an_exception(em: EntityManager) -> None:
    async def collect(*counts: Any) -> None:
        async with em.token_usage.batch(**NAMES) as batch:
            for count in counts:
                batch.add(input_tokens=count)
            raise ModelError

    with pytest.raises(ModelError):
        await collect(1, 2)
    assert await em.token_usage.count() == 2
    with pytest.raises(ValidationError):
        await collect(3, "4")
    assert await em.token_usage.count() == 3


async def test_a_batch_loses_nothing_by_a_cancellation(em: EntityManager) -> None:
    entered = asyncio.Event()

    async def collect() -> None:
        async with em.token_usage.batch(**NAMES) as batch:
            batch.add(input_tokens=1)
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(collect())
    await entered.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await em.token_usage.count() == 1


async def test_a_batch_records_the_others_when_one_is_refused(em: EntityManager) -> None:
    batches: list[UsageBatch] = []

    async def collect(error: type[Exception] | None = None) -> None:
        async with em.token_usage.batch(**NAMES) as batch:
            batches.append(batch)
            for n in range(5):
                batch.add(input_tokens=n, agent_id=uuid4() if n in {1, 3} else None)
            if error is not None:
                raise error

    with pytest.raises(ForeignKeyError) as caught:
        await collect()
    assert "another call was refused too" in caught.value.__notes__[0]
    assert [row.input_tokens for row in await em.token_usage.find()] == [0, 2, 4]
    assert len(batches[0]) == 2
    with pytest.raises(ModelError) as told:
        await collect(ModelError)
    assert "2 calls of the batch" in told.value.__notes__[0]
    assert await em.token_usage.count() == 6


async def test_what_could_not_be_recorded_stays_for_another_attempt(
    em: EntityManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: Any) -> None:
        raise DatabaseBusyError

    batch: Any = None
    with monkeypatch.context() as patch:
        patch.setattr(type(em.token_usage), "run", busy)
        with pytest.raises(DatabaseBusyError):
            async with em.token_usage.batch(**NAMES) as batch:
                batch.add(input_tokens=1)
    assert len(batch) == 1
    await batch.flush()
    assert (len(batch), await em.token_usage.count()) == (0, 1)
    await batch.flush()
    assert await em.token_usage.count() == 1


async def test_a_batch_can_be_recorded_in_parts(em: EntityManager) -> None:
    async with em.token_usage.batch(**NAMES) as batch:
        batch.add(input_tokens=1)
        await batch.flush()
        assert await em.token_usage.count() == 1
        batch.add(input_tokens=2)
    assert [row.input_tokens for row in batch.rows] == [1, 2]
    async with em.token_usage.batch(**NAMES):
        pass
    assert await em.token_usage.count() == 2
    with pytest.raises(ValidationError):
        async with em.token_usage.batch(tokens=1):  # type: ignore[call-arg]
            pytest.fail("the block was entered")
