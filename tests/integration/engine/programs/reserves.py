"""Reserves money of one budget as often as it is told, from many tasks at once, and says how often it was granted."""

# ruff: noqa: T201 (it speaks through its output)

from __future__ import annotations

import asyncio
import json
import sys

from agent_system import DatabaseManager, EntityManager
from agent_system.errors import BudgetExceededError
from agent_system.managers.ledger.reservations import Reservation


async def main(url: str, times: int) -> None:
    async with DatabaseManager(url, auto_migrate=False) as db:
        em = EntityManager(db)
        await em.budgets.count()
        print(json.dumps({"ready": True}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        attempts = [em.budgets.reserve(1, user_id="ada") for _ in range(times)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        granted = [outcome for outcome in outcomes if isinstance(outcome, Reservation)]
        refused = sum(isinstance(outcome, BudgetExceededError) for outcome in outcomes)
        # What one process has spent the other one does not get back.
        for reservation in granted[::2]:
            await em.budgets.release(reservation)
        for reservation in granted[1::2]:
            await em.budgets.settle(reservation, 1)
        print(json.dumps({"granted": len(granted), "refused": refused, "spent": len(granted[1::2])}), flush=True)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
