"""Two processes that spend the same budget never get more than it has between them."""

from __future__ import annotations

import asyncio

from agent_system import DatabaseManager, EntityManager
from tests.integration.engine.processes import Child

LIMIT = 60
TIMES = 100


async def test_two_processes_never_pass_the_limit(migrated_url: str) -> None:
    async with DatabaseManager(migrated_url, auto_migrate=False) as db:
        em = EntityManager(db)
        await em.budgets.set_limit(LIMIT, scope="user")
        children = [await Child.start("reserves.py", migrated_url, TIMES) for _ in range(2)]
        for child in children:
            assert await child.hear() == {"ready": True}
        answers = await asyncio.gather(*(child.tell(go=True) for child in children))
        for child in children:
            await child.finish()
        (status,) = await em.budgets.status(user_id="ada")
        spent = sum(answer["spent"] for answer in answers)
        assert (status.spent_nano_usd, status.reserved_nano_usd) == (spent, 0)
        # A process that was slower may have got what the other one gave back, but never more than there was.
        assert spent <= LIMIT <= sum(answer["granted"] for answer in answers)
        assert all(answer["granted"] + answer["refused"] == TIMES for answer in answers)
        assert await em.budgets.discrepancies() == []
