"""Budgets: what is spent and set aside never passes a limit, and what was given back can be spent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from agent_system import EntityManager
from agent_system.errors import (
    BudgetExceededError,
    CheckError,
    ConflictError,
    NotFoundError,
    ScopeError,
    ValidationError,
)
from agent_system.managers.ledger.reservations import BudgetStatus, Reservation
from agent_system.models import Budget, BudgetReservation, metadata
from agent_system.types import BudgetPeriod, BudgetScope
from tests.clock import NOW, Clock
from tests.statements import recorded_statements

if TYPE_CHECKING:
    from agent_system import DatabaseManager

ROWS = metadata.tables["budget_reservations"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def em(database: DatabaseManager, clock: Clock) -> EntityManager:
    return EntityManager(database, clock=clock)


async def status_of(em: EntityManager, **spender: Any) -> BudgetStatus:
    (status,) = await em.budgets.status(**spender)
    return status


async def figures(em: EntityManager, **spender: Any) -> tuple[int, int, int]:
    status = await status_of(em, **spender)
    return status.spent_nano_usd, status.reserved_nano_usd, status.available_nano_usd


async def states(em: EntityManager) -> dict[str, int]:
    statement = select(ROWS.c.state, func.count()).group_by(ROWS.c.state)
    rows = await em.db.read(lambda executor: executor.execute(statement).all())
    return {str(state): count for state, count in rows}


async def check_books(em: EntityManager) -> None:
    assert await em.budgets.discrepancies() == []


async def test_an_estimate_is_set_aside_and_settled_by_what_the_call_cost(em: EntityManager) -> None:
    budget = await em.budgets.set_limit(100, period="total")
    assert (budget.scope_kind, budget.scope_key, budget.period) == (BudgetScope.GLOBAL, None, BudgetPeriod.TOTAL)
    reservation = await em.budgets.reserve(60)
    assert (reservation.estimate_nano_usd, reservation.budgets) == (60, (budget.id,))
    assert reservation.expires_at == NOW + timedelta(minutes=15)
    assert await figures(em) == (0, 60, 40)
    assert await em.budgets.settle(reservation, 25)
    assert await figures(em) == (25, 0, 75)
    assert await states(em) == {"settled": 1}
    await check_books(em)


async def test_what_would_pass_a_limit_is_refused_and_leaves_no_trace(em: EntityManager) -> None:
    budget = await em.budgets.set_limit(100)
    await em.budgets.reserve(70)
    with pytest.raises(BudgetExceededError, match="30 of 100") as caught:
        await em.budgets.reserve(31)
    error = caught.value
    assert (error.budget_id, error.scope_kind, error.scope_key, error.period) == (budget.id, "global", None, "day")
    assert (error.limit_nano_usd, error.available_nano_usd, error.wanted_nano_usd) == (100, 30, 31)
    await em.budgets.reserve(30)
    with pytest.raises(BudgetExceededError):
        await em.budgets.reserve(1)
    assert await figures(em) == (0, 100, 0)
    assert (await status_of(em)).is_exhausted
    assert await states(em) == {"held": 2}


async def test_several_budgets_are_reserved_all_or_none(em: EntityManager) -> None:
    await em.budgets.set_limit(1_000, period="month")
    await em.budgets.set_limit(100, scope="user", key="ada")
    await em.budgets.set_limit(50, scope="session", key="s", period="total")
    whole = await em.budgets.reserve(50, user_id="ada", session_uuid="s")
    assert len(whole.budgets) == 3
    with pytest.raises(BudgetExceededError, match="session 's'"):
        await em.budgets.reserve(1, user_id="ada", session_uuid="s")
    assert {status.reserved_nano_usd for status in await em.budgets.status(user_id="ada", session_uuid="s")} == {50}
    # Another session of the same user, and another user, are not held back by it.
    await em.budgets.reserve(50, user_id="ada", session_uuid="t")
    with pytest.raises(BudgetExceededError, match="user 'ada'"):
        await em.budgets.reserve(1, user_id="ada")
    await em.budgets.reserve(800, user_id="grace")
    with pytest.raises(BudgetExceededError, match="month budget of global"):
        await em.budgets.reserve(200, user_id="grace")
    await em.budgets.settle(whole, 20)
    assert {status.spent_nano_usd for status in await em.budgets.status(user_id="ada", session_uuid="s")} == {20}
    await check_books(em)


async def test_a_limit_without_a_key_is_one_for_each(em: EntityManager) -> None:
    await em.budgets.set_limit(10, scope="user")
    await em.budgets.set_limit(99, scope="user", key="ada")
    for user in ("grace", "joan"):
        await em.budgets.reserve(10, user_id=user)
        with pytest.raises(BudgetExceededError, match=user):
            await em.budgets.reserve(1, user_id=user)
    await em.budgets.reserve(99, user_id="ada")
    assert (await em.budgets.reserve(5)).budgets == ()
    assert (await status_of(em, user_id="grace")).scope_key == "grace"
    owners = select(metadata.tables["budget_accounts"].c.user_id).order_by("user_id")
    found = await em.db.read(lambda executor: executor.execute(owners).scalars().all())
    assert found == ["ada", "grace", "joan"]


async def test_projects_and_agents_have_budgets_too(em: EntityManager) -> None:
    agent, project = uuid4(), uuid4()
    await em.budgets.set_limit(10, scope="agent", key=str(agent))
    await em.budgets.set_limit(5, scope="project", key=str(project))
    await em.budgets.reserve(5, agent_id=agent, project_id=project)
    with pytest.raises(BudgetExceededError, match="project"):
        await em.budgets.reserve(1, agent_id=agent, project_id=project)
    await em.budgets.reserve(5, agent_id=agent)


@pytest.mark.parametrize("estimate", [1, 7])
async def test_a_hundred_callers_at_once_never_pass_the_limit(em: EntityManager, estimate: int) -> None:
    await em.budgets.set_limit(50)
    await em.budgets.set_limit(30, scope="user", key="ada", period="month")
    callers = [em.budgets.reserve(estimate, user_id="ada") for _ in range(100)]
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    granted = [outcome for outcome in outcomes if isinstance(outcome, Reservation)]
    assert len(granted) == 30 // estimate
    assert all(isinstance(outcome, (Reservation, BudgetExceededError)) for outcome in outcomes)
    for status in await em.budgets.status(user_id="ada"):
        assert status.reserved_nano_usd == len(granted) * estimate
    await asyncio.gather(*(em.budgets.settle(one, estimate) for one in granted[::2]))
    await asyncio.gather(*(em.budgets.release(one) for one in granted[1::2]))
    assert {status.spent_nano_usd for status in await em.budgets.status(user_id="ada")} == {
        len(granted[::2]) * estimate
    }
    assert {status.reserved_nano_usd for status in await em.budgets.status(user_id="ada")} == {0}
    await check_books(em)


async def test_callers_who_reserve_settle_and_release_at_once_keep_the_books_balanced(em: EntityManager) -> None:
    await em.budgets.set_limit(40)
    await em.budgets.set_limit(40, scope="user")

    async def spend(number: int) -> int:
        for _ in range(200):
            try:
                reservation = await em.budgets.reserve(4, user_id=f"user {number % 3}")
            except BudgetExceededError:
                await asyncio.sleep(0)
                continue
            if number % 2:
                await em.budgets.release(reservation)
                return 0
            await em.budgets.settle(reservation, 1)
            return 1
        return 0

    spent = sum(await asyncio.gather(*(spend(number) for number in range(64))))
    assert spent == 32
    statuses = {status.scope_kind: status for status in await em.budgets.status(user_id="user 0")}
    assert statuses[BudgetScope.GLOBAL].spent_nano_usd == spent
    assert statuses[BudgetScope.GLOBAL].reserved_nano_usd == 0
    await check_books(em)


async def test_accounts_are_opened_once_by_many(em: EntityManager) -> None:
    await em.budgets.set_limit(1_000, scope="user")
    await asyncio.gather(*(em.budgets.reserve(1, user_id="ada") for _ in range(64)))
    accounts = select(func.count()).select_from(metadata.tables["budget_accounts"])
    assert await em.db.read(lambda executor: executor.execute(accounts).scalar_one()) == 1
    assert await figures(em, user_id="ada") == (0, 64, 936)


async def test_what_is_released_or_has_expired_blocks_nobody(em: EntityManager, clock: Clock) -> None:
    await em.budgets.set_limit(100, period="total")
    released = await em.budgets.reserve(100)
    assert await em.budgets.release(released)
    assert not await em.budgets.release(released)
    expiring = await em.budgets.reserve(100, expires_in_seconds=30)
    with pytest.raises(BudgetExceededError):
        await em.budgets.reserve(1)
    clock.move(seconds=30)
    # The status knows it before anybody has swept.
    assert await figures(em) == (0, 0, 100)
    assert await states(em) == {"released": 1, "held": 1}
    last = await em.budgets.reserve(100)
    assert await states(em) == {"released": 1, "expired": 1, "held": 1}
    assert not await em.budgets.release(expiring)
    await em.budgets.release(last)
    assert await figures(em) == (0, 0, 100)
    await check_books(em)


async def test_expired_reservations_are_given_back_once_by_many_sweepers(em: EntityManager, clock: Clock) -> None:
    await em.budgets.set_limit(100, scope="user")
    for user in ("ada", "grace"):
        for _ in range(5):
            await em.budgets.reserve(2, user_id=user, expires_in_seconds=1)
        await em.budgets.reserve(3, user_id=user)
    clock.move(seconds=2)
    swept = await asyncio.gather(*(em.budgets.sweep() for _ in range(8)))
    assert sum(swept) == 10
    assert await em.budgets.sweep() == 0
    assert await figures(em, user_id="ada") == (0, 3, 97)
    await check_books(em)


async def test_money_that_was_spent_is_booked_whatever_was_expected(em: EntityManager, clock: Clock) -> None:
    await em.budgets.set_limit(100, period="total")
    above = await em.budgets.reserve(10)
    assert await em.budgets.settle(above, 150)
    assert await figures(em) == (150, 0, 0)
    with pytest.raises(BudgetExceededError, match="0 of 100"):
        await em.budgets.reserve(0)
    await em.budgets.set_limit(1_000, period="total")
    late = await em.budgets.reserve(10, expires_in_seconds=1)
    clock.move(seconds=5)
    await em.budgets.sweep()
    assert await em.budgets.settle(late, 7)
    given_back = await em.budgets.reserve(10)
    await em.budgets.release(given_back)
    assert await em.budgets.settle(given_back, 3)
    assert await figures(em) == (160, 0, 840)
    await check_books(em)


async def test_settling_twice_counts_once(em: EntityManager) -> None:
    await em.budgets.set_limit(100)
    reservation = await em.budgets.reserve(10)
    outcomes = await asyncio.gather(*(em.budgets.settle(reservation.id, 8) for _ in range(8)))
    assert sum(outcomes) == 1
    with pytest.raises(ConflictError, match="8 nano-dollars, not 9"):
        await em.budgets.settle(reservation, 9)
    assert not await em.budgets.release(reservation)
    assert await figures(em) == (8, 0, 92)


async def test_a_period_begins_anew_in_utc_and_late_costs_belong_to_the_old_one(
    em: EntityManager, clock: Clock
) -> None:
    await em.budgets.set_limit(10, period="day")
    await em.budgets.set_limit(15, period="month")
    old = await em.budgets.reserve(10)
    day, month = await em.budgets.status()
    assert (day.starts_at, day.ends_at) == (datetime(2026, 3, 31, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    assert (month.starts_at, month.ends_at) == (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    clock.move(seconds=10)
    assert [status.available_nano_usd for status in await em.budgets.status()] == [10, 15]
    await em.budgets.settle(old, 9)
    assert [status.available_nano_usd for status in await em.budgets.status()] == [10, 15]
    for _ in range(2):
        await em.budgets.charge(6)
        clock.move(days=1)
    assert [status.available_nano_usd for status in await em.budgets.status()] == [10, 3]
    clock.now = datetime(2026, 12, 31, 12, tzinfo=UTC)
    assert (await em.budgets.status())[1].ends_at == datetime(2027, 1, 1, tzinfo=UTC)
    await check_books(em)


async def test_a_call_without_a_reservation_is_charged(em: EntityManager) -> None:
    await em.budgets.set_limit(10)
    charged = await em.budgets.charge(25)
    assert await figures(em) == (25, 0, 0)
    assert not await em.budgets.settle(charged, 25)
    with pytest.raises(BudgetExceededError):
        await em.budgets.reserve(1)
    await check_books(em)


async def test_limits_are_changed_and_taken_away(em: EntityManager) -> None:
    budget = await em.budgets.set_limit(10, scope="user", key="ada")
    await em.budgets.reserve(10, user_id="ada")
    raised = await em.budgets.set_limit(12, scope="user", key="ada")
    assert (raised.id, raised.limit_nano_usd, raised.user_id) == (budget.id, 12, "ada")
    await em.budgets.reserve(2, user_id="ada")
    assert await em.budgets.clear_limit(scope="user", key="ada")
    assert not await em.budgets.clear_limit(scope="user", key="ada")
    assert not await em.budgets.clear_limit(scope="user", key="nobody")
    assert await em.budgets.status(user_id="ada") == []
    assert (await em.budgets.reserve(1_000, user_id="ada")).budgets == ()
    again = await em.budgets.set_limit(12, scope="user", key="ada")
    assert again.id == budget.id
    assert await figures(em, user_id="ada") == (0, 12, 0)
    limits = await asyncio.gather(*(em.budgets.set_limit(number, scope="session", key="s") for number in range(8)))
    assert len({limit.id for limit in limits}) == 1


async def test_without_budgets_nothing_is_kept_and_nothing_refused(em: EntityManager) -> None:
    reservation = await em.budgets.reserve(10**15, user_id="ada")
    assert reservation.budgets == ()
    assert not await em.budgets.settle(reservation, 5)
    assert not await em.budgets.release(reservation)
    assert await em.budgets.status(user_id="ada") == []
    assert await states(em) == {}


async def test_a_block_settles_what_it_says(em: EntityManager) -> None:
    await em.budgets.set_limit(100)
    async with em.budgets.spending(60, user_id="ada") as spending:
        assert await figures(em) == (0, 60, 40)
        spending.settle(1)
        spending.settle(11)
    assert await figures(em) == (11, 0, 89)
    async with em.budgets.spending(5) as spending:
        assert spending.reservation.estimate_nano_usd == 5
    # A block that says nothing may have cost what was expected.
    assert await figures(em) == (16, 0, 84)
    with pytest.raises(BudgetExceededError):
        async with em.budgets.spending(85):
            pytest.fail("the block must not run")
    with pytest.raises(ValidationError):
        async with em.budgets.spending(5) as spending:
            spending.settle(-1)
    assert await figures(em) == (16, 0, 84)
    await check_books(em)


async def test_a_block_that_fails_gives_back_what_it_did_not_spend(em: EntityManager) -> None:
    await em.budgets.set_limit(100)

    async def fail(actual: int | None) -> None:
        async with em.budgets.spending(60) as spending:
            if actual is not None:
                spending.settle(actual)
            raise LookupError

    with pytest.raises(LookupError):
        await fail(None)
    assert await figures(em) == (0, 0, 100)
    with pytest.raises(LookupError):
        await fail(3)
    assert await figures(em) == (3, 0, 97)


async def test_a_block_that_is_cancelled_gives_the_estimate_back(em: EntityManager) -> None:
    await em.budgets.set_limit(100)
    entered = asyncio.Event()

    async def call() -> None:
        async with em.budgets.spending(60):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await figures(em) == (0, 0, 100)
    assert await states(em) == {"released": 1}


async def test_a_reservation_of_a_transaction_is_taken_back_with_it(
    em: EntityManager, database: DatabaseManager
) -> None:
    await em.budgets.set_limit(100)

    async def fail() -> None:
        async with database.transaction():
            await em.budgets.reserve(60)
            with pytest.raises(BudgetExceededError):
                await em.budgets.reserve(60)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await figures(em) == (0, 0, 100)
    assert await states(em) == {}


async def test_reserving_and_settling_take_few_statements(em: EntityManager) -> None:
    await em.budgets.set_limit(100)
    await em.budgets.set_limit(100, scope="user")
    await em.budgets.reserve(1, user_id="ada")
    with recorded_statements() as statements:
        reservation = await em.budgets.reserve(1, user_id="ada")
    # What applies, and in each of two accounts the money and its row.
    assert len(statements) == 5
    with recorded_statements() as statements:
        await em.budgets.settle(reservation, 1)
    assert len(statements) == 5
    with recorded_statements() as statements:
        await em.budgets.status(user_id="ada")
    assert len(statements) == 1


async def test_bad_amounts_and_spenders_are_refused(em: EntityManager) -> None:
    await em.budgets.set_limit(100)
    reservation = await em.budgets.reserve(1)
    for bad in (-1, 1.5, "1", True, None, 10**15 + 1):
        amount: Any = bad
        with pytest.raises(ValidationError, match="nano-dollars") as caught:
            await em.budgets.reserve(amount)
        assert caught.value.field == "estimate_nano_usd"
        with pytest.raises(ValidationError, match="actual_nano_usd"):
            await em.budgets.settle(reservation, amount)
        with pytest.raises(ValidationError, match="actual_nano_usd"):
            await em.budgets.charge(amount)
    nobody: dict[str, Any] = {"guild_id": "g"}
    for spender, field in (({"user_id": ""}, "user_id"), ({"session_uuid": 3}, "session_uuid"), (nobody, "guild_id")):
        with pytest.raises(ValidationError) as caught:
            await em.budgets.reserve(1, **spender)
        assert caught.value.field == field
    for seconds in (0, -1, 10**9, float("nan")):
        with pytest.raises(ValidationError, match="expires_in_seconds"):
            await em.budgets.reserve(1, expires_in_seconds=seconds)
    for missing in (uuid4(), reservation.__class__(id=uuid4(), estimate_nano_usd=1, expires_at=NOW, budgets=(1,))):
        with pytest.raises(NotFoundError):
            await em.budgets.settle(missing, 1)
        with pytest.raises(NotFoundError):
            await em.budgets.release(missing)
    assert await figures(em) == (0, 1, 99)


async def test_bad_limits_are_refused(em: EntityManager) -> None:
    for arguments, field in (
        ({"limit_nano_usd": -1}, "limit_nano_usd"),
        ({"limit_nano_usd": 1.5}, "limit_nano_usd"),
        ({"limit_nano_usd": 1, "scope": "guild"}, "scope_kind"),
        ({"limit_nano_usd": 1, "period": "week"}, "period"),
        ({"limit_nano_usd": 1, "scope": "global", "key": "k"}, "scope_key"),
        ({"limit_nano_usd": 1, "scope": "user", "key": ""}, "scope_key"),
    ):
        limit: dict[str, Any] = arguments
        with pytest.raises(ValidationError) as caught:
            await em.budgets.set_limit(**limit)
        assert caught.value.field == field
    assert await em.budgets.count() == 0


async def test_the_books_tell_when_somebody_else_has_written_in_them(
    em: EntityManager, database: DatabaseManager
) -> None:
    await em.budgets.set_limit(100)
    reservation = await em.budgets.reserve(10)
    await em.budgets.settle(reservation, 4)
    await em.budgets.reserve(7)
    async with database.session() as session:
        row = (await session.exec(select(BudgetReservation).order_by(BudgetReservation.id))).scalars().first()
        row.actual_nano_usd = 5
        await session.commit()
    (found,) = await em.budgets.discrepancies()
    assert (found.spent_nano_usd, found.settled_nano_usd) == (4, 5)
    assert (found.reserved_nano_usd, found.held_nano_usd) == (7, 7)


async def test_the_database_refuses_what_cannot_be(em: EntityManager, database: DatabaseManager) -> None:
    async def write(budget: Budget) -> None:
        async with database.session() as session:
            session.add(budget)
            await session.commit()

    for budget in (
        Budget(scope_kind=BudgetScope.GLOBAL, scope_key="k", limit_nano_usd=1),
        Budget(scope_kind=BudgetScope.USER, scope_key="", limit_nano_usd=1),
        Budget(limit_nano_usd=-1),
    ):
        with pytest.raises(CheckError):
            await write(budget)
    assert await em.budgets.count() == 0


async def test_a_deleted_budget_takes_its_accounts_with_it(em: EntityManager) -> None:
    budget = await em.budgets.set_limit(10)
    reservation = await em.budgets.reserve(10)
    assert await em.budgets.delete(budget.id)
    assert await states(em) == {}
    with pytest.raises(NotFoundError):
        await em.budgets.settle(reservation, 10)
    assert (await em.budgets.reserve(10)).budgets == ()


async def test_a_scope_cannot_spend_past_the_budgets_that_it_does_not_see(em: EntityManager) -> None:
    await em.budgets.set_limit(10)
    reservation = await em.budgets.reserve(1, user_id="ada")
    scoped = em.scoped(user_id="ada").budgets
    for verb in (
        scoped.reserve(1_000, user_id="ada"),
        scoped.charge(1_000, user_id="ada"),
        scoped.settle(reservation, 1_000),
        scoped.release(reservation),
        scoped.status(user_id="ada"),
        scoped.sweep(),
        scoped.set_limit(1_000),
    ):
        with pytest.raises(ScopeError):
            await verb
    assert await figures(em) == (0, 1, 9)
