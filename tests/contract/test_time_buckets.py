"""Moments are grouped by their hour, day and month in UTC, by the same texts on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from agent_system.database.dialects.expressions import utc_day, utc_hour, utc_month
from agent_system.models import metadata

if TYPE_CHECKING:
    from agent_system import DatabaseManager, EntityManager

MOMENTS = (
    datetime(302, 1, 2, 3, 4, 5, tzinfo=UTC),
    datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 3, 1, 6, 59, tzinfo=timezone(timedelta(hours=7))),
    datetime(2026, 3, 1, 0, 0, tzinfo=UTC),
)


async def test_moments_are_grouped_by_their_time_in_utc(em: EntityManager, database: DatabaseManager) -> None:
    for moment in MOMENTS:
        await em.agents.create({"name": str(moment), "created_at": moment})
    column = metadata.tables["agents"].c.created_at

    async def counts(bucket: type[utc_day | utc_hour | utc_month]) -> list[tuple[str, int]]:
        statement = select(bucket(column), func.count()).group_by(bucket(column)).order_by(bucket(column))
        return [tuple(row) for row in await database.read(lambda executor: executor.execute(statement).all())]

    assert await counts(utc_hour) == [("0302-01-02 03", 1), ("2026-02-28 23", 2), ("2026-03-01 00", 1)]
    assert await counts(utc_day) == [("0302-01-02", 1), ("2026-02-28", 2), ("2026-03-01", 1)]
    assert await counts(utc_month) == [("0302-01", 1), ("2026-02", 2), ("2026-03", 1)]
