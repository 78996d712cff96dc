"""Workers of processes of their own are killed while they do jobs that each write a row: none is lost or done twice."""

from __future__ import annotations

import pytest

from scripts.benchmarks.queue_kills import survive


@pytest.mark.timeout(180)
async def test_each_job_has_its_effect_once_whoever_is_killed(migrated_url: str) -> None:
    survived = await survive(migrated_url, jobs=300, kills=3, processes=3)
    assert survived.is_flawless, survived
    assert survived.begun_again > 0


@pytest.mark.full
@pytest.mark.timeout(1_800)
async def test_fifty_kills_lose_none_of_twenty_thousand_jobs(migrated_url: str) -> None:
    survived = await survive(migrated_url, jobs=20_000, kills=50)
    assert survived.is_flawless, survived
    assert survived.begun_again > 0
