"""Corrections: the old figure stays, the new one is what the ledger adds up to, and to do it twice changes nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_system.errors import NotFoundError, ValidationError
from agent_system.managers.ledger import repricing
from agent_system.managers.ledger.repricing import RepriceReport
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system.entity_manager import EntityManager

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAMES: Any = {"project": "p", "host": "h", "model": "m"}
MILLION: Any = {"input_tokens": 10**6, "output_tokens": 0}


async def log(em: EntityManager, n: int, **fields: Any) -> Any:
    return await em.token_usage.log_usage(**{**NAMES, **MILLION, "timestamp": NOON + n * HOUR, **fields})


async def test_repricing_writes_what_is_lacking_beside_the_old_figure(em: EntityManager) -> None:
    unpriced = await log(em, 0, user_id="ada", role="coder", session_uuid="s")
    await em.models.set_price("m", "h", input_usd_per_million=2, output_usd_per_million=2, valid_from=NOON + HOUR)
    priced = await log(em, 1)
    reported = await log(em, 2, cost_usd=9)
    missing = await log(em, 3, input_tokens=None, output_tokens=None)
    assert await em.token_usage.reprice() == RepriceReport(checked=3, unpriced=2)
    await em.models.set_price("m", "h", input_usd_per_million=3, output_usd_per_million=3, valid_from=NOON)
    await em.models.set_price("m", "h", input_usd_per_million=1, output_usd_per_million=1, valid_from=NOON + HOUR)
    report = await em.token_usage.reprice()
    assert report == RepriceReport(checked=3, corrected=2, unpriced=1, difference_nano_usd=2_000_000_000)
    for row in (unpriced, priced, reported, missing):
        assert (await em.token_usage.require(row.id)).model_dump() == row.model_dump()
    corrections = await em.token_usage.find(kind="correction")
    assert [(row.corrects_id, row.cost_nano_usd) for row in corrections] == [
        (unpriced.id, 3_000_000_000),
        (priced.id, -1_000_000_000),
    ]
    first = corrections[0]
    assert (first.timestamp, first.user_id, first.role, first.session_uuid) == (NOON, "ada", "coder", "s")
    assert (first.project_id, first.model_id, first.cost_source) == (unpriced.project_id, unpriced.model_id, "computed")
    assert (first.input_tokens, first.total_tokens, first.meta) == (None, None, {"reason": "reprice"})
    summary = await em.token_usage.summary()
    assert (summary.requests, summary.unpriced, summary.input_tokens) == (4, 1, 3 * 10**6)
    assert summary.cost_nano_usd == (3 + 1 + 9) * 10**9
    assert (await em.token_usage.summary(user_id="ada")).cost_usd == 3.0
    # Again: nothing. Another price: the difference to what it is by now.
    assert (await em.token_usage.reprice()).corrected == 0
    await em.models.set_price("m", "h", input_usd_per_million=5, output_usd_per_million=5, valid_from=NOON)
    assert (await em.token_usage.reprice()).difference_nano_usd == 2_000_000_000
    assert (await em.token_usage.summary(user_id="ada")).cost_usd == 5.0


async def test_repricing_is_for_a_range_and_whatever_else_is_said(em: EntityManager) -> None:
    for n in range(6):
        await log(em, n, model=("m", "other")[n % 2])
    for model in ("m", "other"):
        await em.models.set_price(model, "h", input_usd_per_million=1, output_usd_per_million=1, valid_from=NOON)
    report = await em.token_usage.reprice(since=NOON + HOUR, until=NOON + 5 * HOUR, model="m")
    assert (report.checked, report.corrected) == (2, 2)
    assert (await em.token_usage.reprice(since=NOON, until=NOON)).checked == 0
    with pytest.raises(ValidationError):
        await em.token_usage.reprice(since=datetime(2026, 1, 1))  # noqa: DTZ001 (what is refused)
    assert (await em.token_usage.summary(model="m")).unpriced == 1


async def test_a_long_range_is_repriced_page_by_page(em: EntityManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repricing, "PAGE", 7)
    calls: Any = [{**NAMES, **MILLION, "timestamp": NOON} for _ in range(21)]
    await em.token_usage.log_many(calls)
    await em.models.set_price("m", "h", input_usd_per_million=1, output_usd_per_million=1, valid_from=NOON)
    with recorded_statements() as statements:
        report = await em.token_usage.reprice()
    assert report == RepriceReport(checked=21, corrected=21, difference_nano_usd=21 * 10**9)
    assert len(statements) == 4 * 4
    assert (await em.token_usage.summary()).cost_nano_usd == 21 * 10**9


async def test_callers_at_once_correct_once(em: EntityManager) -> None:
    for n in range(10):
        await log(em, n)
    await em.models.set_price("m", "h", input_usd_per_million=1, output_usd_per_million=1, valid_from=NOON)
    reports = await asyncio.gather(*(em.token_usage.reprice() for _ in range(16)))
    assert sum(report.corrected for report in reports) == 10
    assert (await em.token_usage.summary()).cost_nano_usd == 10**10


async def test_an_invoice_corrects_a_call(em: EntityManager) -> None:
    await em.models.set_price("m", "h", input_usd_per_million=1, output_usd_per_million=1, valid_from=NOON)
    row = await log(em, 0)
    assert await em.token_usage.correct(row.id, "1.25", reason="invoice 7")
    assert not await em.token_usage.correct(row.id, 1.25)
    (correction,) = await em.token_usage.find(kind="correction")
    assert (correction.cost_nano_usd, correction.cost_source) == (250_000_000, "reported")
    assert correction.meta == {"reason": "invoice 7"}
    assert (await em.token_usage.summary()).cost_usd == 1.25
    # What somebody reported is not for the price list to correct.
    assert (await em.token_usage.reprice()).checked == 0
    assert await em.token_usage.correct(row.id, 0)
    assert (await em.token_usage.summary()).cost_usd == 0.0
    with pytest.raises(ValidationError) as caught:
        await em.token_usage.correct(correction.id, 1)
    assert caught.value.field == "usage_id"
    with pytest.raises(NotFoundError):
        await em.token_usage.correct(10**6, 1)
    with pytest.raises(ValidationError):
        await em.token_usage.correct(row.id, -1)
    await asyncio.gather(*(em.token_usage.correct(row.id, 3) for _ in range(16)))
    assert (await em.token_usage.summary()).cost_usd == 3.0
    # A call that is deleted takes its corrections along.
    await em.token_usage.delete(row.id)
    assert await em.token_usage.count() == 0
